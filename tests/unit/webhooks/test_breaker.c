/* SPDX-License-Identifier: Apache-2.0 */
/* The circuit breaker and the endpoint around it, as scripts of what happens and what must be then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "webhooks/out/endpoint.h"

#define START_US (INT64_C(1795000000) * US_PER_S)
#define S US_PER_S

/*
 * One letter a step: s success, digit: failure of that delivery, w: wait 1 s, W: wait 12 min (past
 * any probe), p: a probe begins, f: it fails, o: it succeeds, u: it ends undecided.
 * The state afterwards: c(losed), o(pen), h(alf open).
 */
static const struct {
    const char *steps;
    char state;
    int failures;
} scripts[] = {
    {"", 'c', 0},
    {"s", 'c', 0},
    {"1", 'c', 1},
    {"1111111111", 'c', 10}, /* one delivery alone */
    {"1212121212", 'c', 10}, /* two */
    {"1234", 'c', 4},
    {"12345", 'o', 5},
    {"11123", 'o', 5},
    {"1234s5678", 'c', 4},
    {"1234s56789", 'o', 5},
    {"12345s", 'c', 0},    /* one begun before it opened arrives after all */
    {"123456789", 'o', 9}, /* and those that do not change nothing */
    {"12345Wp", 'h', 5},
    {"12345Wpf", 'o', 6},
    {"12345Wpo", 'c', 0},
    {"12345Wpu", 'o', 5},
    {"12345Wp678", 'h', 8}, /* late failures are not the probe's */
    {"12345Wps", 'c', 0},
    {"12345WpfWpfWpo", 'c', 0},
    {"12345Wpo12345", 'o', 5},
    {"12345Wpo1234", 'c', 4},
    /* most of the last minutes: 7 in 10, never five in a row */
    {"111s111s111s111s111s", 'c', 0}, /* a success at the end opens nothing */
    {"111s111s111s111s111s1", 'o', 1},
    {"111s11s111s11s111s11", 'o', 2},
    {"11s11s11s11s11s11s11s", 'c', 0},
};

static enum breaker_state state_of(char letter)
{
    return letter == 'c' ? BREAKER_CLOSED : letter == 'o' ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

static void play(struct breaker *b, const char *steps, int64_t *now)
{
    for (const char *step = steps; *step != '\0'; step++) {
        switch (*step) {
        case 's':
        case 'o':
            breaker_succeeded(b, *now);
            break;
        case 'f':
            assert_true(breaker_failed(b, *now, 99, true));
            break;
        case 'u':
            breaker_undecided(b, *now, true);
            assert_true(breaker_allows(b, *now));
            break;
        case 'w':
            *now += S;
            break;
        case 'W':
            *now += 720 * S;
            break;
        case 'p':
            assert_true(breaker_allows(b, *now));
            assert_true(breaker_begin(b, *now));
            assert_false(breaker_allows(b, *now)); /* one only */
            break;
        default:
            breaker_failed(b, *now, (uint64_t)*step, false);
        }
    }
}

static void test_scripts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        struct breaker b = {0};
        int64_t now = START_US;
        play(&b, scripts[i].steps, &now);
        if (b.state != state_of(scripts[i].state)) {
            fail_msg("'%s' gives %s", scripts[i].steps, breaker_state_name(b.state));
        }
        if (scripts[i].failures > 0 || scripts[i].state == 'c') {
            assert_int_equal(b.failures, scripts[i].failures);
        }
        assert_int_equal(b.failing_since_us != 0, b.failures > 0);
    }
}

static void test_waits_double_up_to_a_ceiling(void **state)
{
    (void)state;
    struct breaker b = {0};
    int64_t now = START_US, wait_ms = BREAKER_WAIT_MS;
    play(&b, "12345", &now);
    for (int trip = 0; trip < 10; trip++) {
        int64_t waited_ms = (b.probe_us - now) / US_PER_MS;
        assert_in_range(waited_ms, wait_ms * 4 / 5 - 1, wait_ms * 6 / 5 + 1);
        assert_false(breaker_allows(&b, b.probe_us - 1));
        now = b.probe_us;
        play(&b, "pf", &now);
        assert_int_equal(b.since_us, START_US); /* open since then, whatever probes said */
        wait_ms = wait_ms * 2 > BREAKER_WAIT_MAX_MS ? BREAKER_WAIT_MAX_MS : wait_ms * 2;
    }
    /* Whoever asks again and again makes the waits no longer: each is as long as the one before. */
    struct breaker asked = {0};
    int64_t asked_us = START_US;
    play(&asked, "12345", &asked_us);
    for (int i = 0; i < 2; i++) {
        asked_us = asked.probe_us;
        play(&asked, "pf", &asked_us);
    }
    for (int i = 0; i < 5; i++) {
        asked_us += S;
        breaker_hurry(&asked, asked_us);
        breaker_hurry(&asked, asked_us);
        assert_true(breaker_allows(&asked, asked_us));
        play(&asked, "pf", &asked_us);
        assert_in_range(asked.probe_us - asked_us, 4 * BREAKER_WAIT_MS * US_PER_MS * 4 / 5 - S,
            4 * BREAKER_WAIT_MS * US_PER_MS * 6 / 5 + S);
    }
    breaker_hurry(&b, now);
    assert_true(breaker_allows(&b, now));
    play(&b, "po", &now);
    /* Flapping: the waits go on where they were; after a calm while they begin anew. */
    play(&b, "12345", &now);
    assert_true(b.probe_us - now > 300 * S);
    now = b.probe_us;
    play(&b, "poWs12345", &now);
    assert_true(b.probe_us - now < 60 * S);
}

static void test_record(void **state)
{
    (void)state;
    static const char *const steps[] = {"", "12", "12345", "12345Wpf", "12345Wp", "12345Wpo1"};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct breaker b = {0}, back;
        int64_t now = START_US;
        play(&b, steps[i], &now);
        json_t *record = breaker_record(&b);
        breaker_restore(&back, record);
        json_decref(record);
        assert_int_equal(back.failures, b.failures);
        assert_int_equal(back.failing_since_us, b.failing_since_us);
        assert_int_equal(back.since_us, b.since_us);
        if (b.state == BREAKER_HALF_OPEN) { /* that probe is gone */
            assert_int_equal(back.state, BREAKER_OPEN);
            assert_true(breaker_allows(&back, now));
        } else {
            assert_int_equal(back.state, b.state);
            assert_int_equal(back.probe_us, b.probe_us);
        }
    }
    struct breaker odd;
    json_t *nothing = json_object();
    breaker_restore(&odd, nothing);
    json_decref(nothing);
    assert_int_equal(odd.state, BREAKER_CLOSED);
}

/* ---- the endpoint ---- */

static const struct endpoint_limits usual = {.is_enabled = true, .max_in_flight = 16};

static void test_window(void **state)
{
    (void)state;
    struct endpoint e;
    int64_t now = START_US;
    endpoint_init(&e, &usual);
    assert_int_equal(endpoint_room(&e, now, false), ENDPOINT_AHEAD);
    assert_int_equal(endpoint_room(&e, now, true), 1);
    assert_false(endpoint_begin(&e, now));
    assert_false(endpoint_may_begin(&e, now)); /* one, until we know more */
    endpoint_succeeded(&e, now);
    for (int round = 2; round <= 64; round *= 2) {
        int expect = round > 16 ? 16 : round;
        int begun = 0;
        while (endpoint_may_begin(&e, now)) {
            endpoint_begin(&e, now);
            begun++;
        }
        assert_int_equal(begun, expect);
        e.held = begun;
        assert_int_equal(endpoint_room(&e, now, false), 4 * expect - begun);
        e.held = 2 * expect + 1; /* half of it is enough for now */
        assert_int_equal(endpoint_room(&e, now, false), 0);
        for (int i = 0; i < begun; i++) {
            endpoint_succeeded(&e, now);
        }
    }
    e.held = 0;
    static const int after[] = {8, 4, 2, 1, 1};
    for (size_t i = 0; i < ARRAY_LEN(after); i++) {
        endpoint_begin(&e, now);
        endpoint_failed(&e, now, 1, false, 0, "no");
        assert_int_equal(e.window, after[i]);
    }
    assert_string_equal(e.last_error, "no");
    assert_int_equal(e.sending, 0);
}

static void test_recovery_is_a_ramp(void **state)
{
    (void)state;
    struct endpoint e;
    int64_t now = START_US;
    endpoint_init(&e, &usual);
    for (int i = 0; i < 5; i++) {
        endpoint_begin(&e, now);
        assert_int_equal(endpoint_failed(&e, now, (uint64_t)i, false, 0, "no"),
            i == 4 ? ENDPOINT_OPENED : ENDPOINT_SAME);
    }
    assert_false(endpoint_may_begin(&e, now));
    assert_int_equal(endpoint_room(&e, now, false), 0);
    assert_int_equal(endpoint_wakes_us(&e, now), e.breaker.probe_us);
    now = e.breaker.probe_us;
    assert_int_equal(endpoint_wakes_us(&e, now), -1);
    assert_int_equal(endpoint_room(&e, now, false), 1);
    assert_true(endpoint_begin(&e, now));
    assert_int_equal(endpoint_room(&e, now, false), 0);
    assert_int_equal(endpoint_succeeded(&e, now), ENDPOINT_CLOSED);
    assert_int_equal(e.window, 2);
    json_t *health = endpoint_health(&e, now);
    assert_string_equal(json_string_value(json_object_get(health, "state")), "closed");
    json_decref(health);
}

static void test_rate(void **state)
{
    (void)state;
    static const int64_t rates[] = {1, 3, 10, 1000};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        struct endpoint_limits limits = usual;
        struct endpoint e;
        int64_t now = START_US, begun = 0;
        limits.max_per_second = rates[i];
        endpoint_init(&e, &limits);
        for (; now < START_US + 10 * S; now += 500) {
            while (endpoint_may_begin(&e, now)) {
                endpoint_begin(&e, now);
                endpoint_succeeded(&e, now);
                begun++;
            }
            int64_t wakes = endpoint_wakes_us(&e, now);
            assert_true(wakes > now && wakes <= now + S);
        }
        assert_in_range(
            begun, 10 * rates[i], 11 * rates[i] + 1); /* and a second's worth at first */
        now -= 3600 * S; /* the clock is set back: nothing is given away, nothing is stuck */
        assert_false(endpoint_may_begin(&e, now));
        assert_true(endpoint_wakes_us(&e, now) <= now + S);
    }
}

static void test_pause(void **state)
{
    (void)state;
    struct endpoint e;
    endpoint_init(&e, &usual);
    endpoint_begin(&e, START_US);
    endpoint_failed(&e, START_US, 1, false, 60000, "the receiver answered 429");
    assert_false(endpoint_may_begin(&e, START_US + 59 * S));
    assert_int_equal(endpoint_wakes_us(&e, START_US), START_US + 60 * S);
    assert_true(endpoint_may_begin(&e, START_US + 60 * S));
    endpoint_begin(&e, START_US + 60 * S);
    endpoint_failed(&e, START_US + 60 * S, 1, false, INT64_C(86400000), "later");
    assert_int_equal(endpoint_wakes_us(&e, START_US + 60 * S), START_US + 3660 * S);
}

static void test_switched_off_and_on(void **state)
{
    (void)state;
    struct endpoint e;
    struct endpoint_limits off = usual;
    off.is_enabled = false;
    endpoint_init(&e, &usual);
    for (uint64_t i = 0; i < 5; i++) {
        endpoint_begin(&e, START_US);
        endpoint_failed(&e, START_US, i, false, 1000, "no");
    }
    endpoint_set_limits(&e, &off);
    assert_int_equal(endpoint_room(&e, START_US + 86400 * S, false), 0);
    assert_int_equal(endpoint_wakes_us(&e, START_US), -1);
    endpoint_set_limits(&e, &usual);
    assert_true(endpoint_may_begin(&e, START_US));
    json_t *record = endpoint_record(&e);
    struct endpoint back;
    endpoint_init(&back, &usual);
    endpoint_restore(&back, record);
    json_decref(record);
    assert_string_equal(back.last_error, "no");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_waits_double_up_to_a_ceiling),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_recovery_is_a_ramp),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_switched_off_and_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
