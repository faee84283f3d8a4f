/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: order, timers on both clocks, a moved wall clock, deferred calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/util.h"

struct fixture {
    struct loop *loop;
    char trace[256]; /* a letter for each call */
};

struct letter {
    struct fixture *f;
    struct timer timer;
    struct deferred deferred;
    char c;
    struct letter *other;
};

static void note(struct letter *l)
{
    size_t len = strlen(l->f->trace);
    assert_true(len + 1 < sizeof l->f->trace);
    l->f->trace[len] = l->c;
}

static void on_letter(void *owner)
{
    note(owner);
}

static void letter_init(struct letter *l, struct fixture *f, char c)
{
    *l = (struct letter){.f = f, .c = c};
    timer_init(&l->timer, f->loop, on_letter, l);
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    clock_set_shift_us(0);
    f->loop = loop_new(NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    clock_set_shift_us(0);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void turn_for(struct fixture *f, int64_t ms)
{
    struct letter end;
    letter_init(&end, f, '.');
    timer_start_ms(&end.timer, ms);
    while (timer_is_armed(&end.timer)) {
        loop_turn(f->loop, true);
    }
    timer_done(&end.timer);
}

/* Until so many letters are there. What is due by then comes first, however late it is: a pause of
 * this machine may make the end of turn_for() due along with it. */
static void turn_until(struct fixture *f, size_t letters)
{
    int64_t limit_us = clock_mono_us() + 60 * US_PER_S;
    while (strlen(f->trace) < letters) {
        assert_true(clock_mono_us() < limit_us);
        loop_turn(f->loop, true);
    }
}

static void relative_timers_run_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct letter a, b, c;
    letter_init(&a, f, 'a');
    letter_init(&b, f, 'b');
    letter_init(&c, f, 'c');
    timer_start_ms(&c.timer, 30);
    timer_start_ms(&a.timer, 10);
    timer_start_ms(&b.timer, 1);
    timer_start_ms(&b.timer, 20); /* moves it */
    assert_true(timer_is_armed(&a.timer));
    turn_for(f, 60);
    assert_string_equal(f->trace, "abc.");
    assert_false(timer_is_armed(&a.timer));
    timer_start_ms(&a.timer, 1);
    timer_stop(&a.timer);
    timer_stop(&a.timer);
    turn_for(f, 10);
    assert_string_equal(f->trace, "abc..");
    timer_done(&a.timer);
    timer_done(&b.timer);
    timer_done(&c.timer);
    timer_done(&c.timer);
    struct timer zeroed = {0};
    timer_done(&zeroed);
}

static void a_relative_timer_never_fires_early(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        struct letter a;
        letter_init(&a, f, 'a');
        int64_t start_us = clock_mono_us();
        timer_start_ms(&a.timer, 3);
        while (timer_is_armed(&a.timer)) {
            loop_turn(f->loop, true);
        }
        assert_true(clock_mono_us() - start_us >= 2900);
        timer_done(&a.timer);
    }
}

static void instants_run_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct letter a, b, c, d, e;
    int64_t now_us = clock_now_us();
    letter_init(&a, f, 'a');
    letter_init(&b, f, 'b');
    letter_init(&c, f, 'c');
    letter_init(&d, f, 'd');
    letter_init(&e, f, 'e');
    timer_start_at(&d.timer, now_us + 20000);
    timer_start_at(&b.timer, now_us + 5000);
    timer_start_at(&c.timer, now_us + 5000); /* equal instants: as they were started */
    timer_start_at(&a.timer, INT64_MIN);
    timer_start_at(&e.timer, INT64_MAX);
    assert_string_equal(f->trace, ""); /* never from inside */
    turn_until(f, 4);
    turn_for(f, 5);
    assert_string_equal(f->trace, "abcd.");
    assert_true(timer_is_armed(&e.timer));
    timer_done(&e.timer);
    assert_false(timer_is_armed(&e.timer));
}

static void on_again(void *owner)
{
    struct letter *l = owner;
    note(l);
    if (strlen(l->f->trace) < 5) {
        timer_start_at(&l->timer, 0);
    }
}

static void an_instant_that_starts_again_lets_others_run(void **state)
{
    struct fixture *f = *state;
    struct letter a, b;
    letter_init(&a, f, 'a');
    letter_init(&b, f, 'b');
    a.timer.fn = on_again;
    timer_start_at(&a.timer, 0);
    timer_start_at(&b.timer, 1);
    turn_until(f, 5);
    turn_for(f, 5);
    assert_string_equal(f->trace, "abaaa.");
}

static void on_stop_other(void *owner)
{
    struct letter *l = owner;
    note(l);
    timer_stop(&l->other->timer);
    loop_defer_cancel(l->f->loop, &l->other->deferred);
}

static void a_timer_due_in_the_same_turn_can_be_stopped(void **state)
{
    struct fixture *f = *state;
    struct letter a, b, c;
    letter_init(&a, f, 'a');
    letter_init(&b, f, 'b');
    letter_init(&c, f, 'c');
    a.timer.fn = on_stop_other;
    a.other = &b;
    timer_start_at(&a.timer, 0);
    timer_start_at(&b.timer, 1);
    timer_start_at(&c.timer, 2);
    turn_until(f, 2);
    turn_for(f, 5);
    assert_string_equal(f->trace, "ac.");
}

static void a_moved_clock_fires_at_once_and_not_early(void **state)
{
    struct fixture *f = *state;
    struct letter day, week;
    letter_init(&day, f, 'd');
    letter_init(&week, f, 'w');
    int64_t now_us = clock_now_us();
    timer_start_at(&day.timer, now_us + 86400 * US_PER_S);
    timer_start_at(&week.timer, now_us + 7 * 86400 * US_PER_S);
    turn_for(f, 5);
    assert_string_equal(f->trace, ".");
    clock_set_shift_us(86401 * US_PER_S);
    loop_clock_changed(f->loop);
    turn_until(f, 2);
    turn_for(f, 5);
    assert_string_equal(f->trace, ".d.");
    /* Back again: the other one waits for the clock as it reads now. */
    clock_set_shift_us(-5 * US_PER_S);
    loop_clock_changed(f->loop);
    timer_start_at(&day.timer, clock_now_us() + 10000);
    turn_until(f, 4);
    turn_for(f, 5);
    assert_string_equal(f->trace, ".d.d.");
    timer_done(&week.timer);
}

static void thousands_of_instants_keep_their_order(void **state)
{
    enum { COUNT = 5000 };
    struct fixture *f = *state;
    struct letter *l = xcalloc(COUNT, sizeof *l);
    uint32_t random = 1;
    int64_t base_us = clock_now_us() - 1000000;
    for (int i = 0; i < COUNT; i++) {
        random = random * 1664525 + 1013904223;
        letter_init(&l[i], f, 'x');
        l[i].timer.fn = on_letter;
        timer_start_at(&l[i].timer, base_us + random % 500000);
    }
    /* Stop most, so that removal from the middle is exercised; the rest must come in order. */
    for (int i = 0; i < COUNT; i++) {
        if (i % 50 != 0) {
            timer_stop(&l[i].timer);
        }
    }
    turn_until(f, COUNT / 50);
    turn_for(f, 5);
    assert_int_equal(strlen(f->trace), COUNT / 50 + 1);
    free(l);
}

struct chain {
    struct fixture *f;
    int left;
    struct letter *after;
};

static void on_chain(void *owner)
{
    struct chain *chain = owner;
    struct letter c = {.f = chain->f, .c = 'c'};
    note(&c);
    if (--chain->left > 0) {
        loop_defer_once(chain->f->loop, on_chain, chain);
    }
}

static void deferred_calls_keep_order_and_let_the_loop_turn(void **state)
{
    struct fixture *f = *state;
    struct letter a, b, t;
    struct chain chain = {.f = f, .left = 3};
    letter_init(&a, f, 'a');
    letter_init(&b, f, 'b');
    letter_init(&t, f, 't');
    loop_defer(f->loop, &a.deferred, on_letter, &a);
    loop_defer_once(f->loop, on_chain, &chain);
    loop_defer(f->loop, &b.deferred, on_letter, &b);
    loop_defer(f->loop, &b.deferred, on_letter, &b); /* queued once */
    timer_start_at(&t.timer, 0);
    assert_string_equal(f->trace, "");
    turn_until(f, 6);
    turn_for(f, 5);
    /* The chain's later links come in later rounds, after the due timer. */
    assert_string_equal(f->trace, "acbtcc.");
}

static void on_cancel_deferred(void *owner)
{
    struct letter *l = owner;
    note(l);
    loop_defer_cancel(l->f->loop, &l->other->deferred);
}

static void a_deferred_call_can_be_cancelled(void **state)
{
    struct fixture *f = *state;
    struct letter a, b, c, d;
    letter_init(&a, f, 'a');
    letter_init(&b, f, 'b');
    letter_init(&c, f, 'c');
    letter_init(&d, f, 'd');
    a.other = &b;
    loop_defer(f->loop, &d.deferred, on_letter, &d);
    loop_defer(f->loop, &a.deferred, on_cancel_deferred, &a);
    loop_defer(f->loop, &b.deferred, on_letter, &b);
    loop_defer(f->loop, &c.deferred, on_letter, &c);
    loop_defer_cancel(f->loop, &d.deferred);
    loop_defer_cancel(f->loop, &d.deferred);
    turn_until(f, 2);
    turn_for(f, 5);
    assert_string_equal(f->trace, "ac.");
    /* All cancelled: nothing runs, and the next one does. */
    loop_defer(f->loop, &b.deferred, on_letter, &b);
    loop_defer_cancel(f->loop, &b.deferred);
    turn_for(f, 5);
    loop_defer(f->loop, &b.deferred, on_letter, &b);
    turn_until(f, 5);
    turn_for(f, 5);
    assert_string_equal(f->trace, "ac..b.");
    /* One left over when the loop goes leaks nothing. */
    loop_defer_once(f->loop, on_letter, &b);
}

static void on_stop(void *owner)
{
    loop_stop(owner);
}

static void stop_ends_run_even_before_it(void **state)
{
    struct fixture *f = *state;
    loop_stop(f->loop);
    loop_run(f->loop);
    loop_defer_once(f->loop, on_stop, f->loop);
    loop_run(f->loop);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(relative_timers_run_in_their_order),
        TEST(a_relative_timer_never_fires_early),
        TEST(instants_run_in_their_order),
        TEST(an_instant_that_starts_again_lets_others_run),
        TEST(a_timer_due_in_the_same_turn_can_be_stopped),
        TEST(a_moved_clock_fires_at_once_and_not_early),
        TEST(thousands_of_instants_keep_their_order),
        TEST(deferred_calls_keep_order_and_let_the_loop_turn),
        TEST(a_deferred_call_can_be_cancelled),
        TEST(stop_ends_run_even_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
