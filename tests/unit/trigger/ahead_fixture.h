/* SPDX-License-Identifier: Apache-2.0 */
/* Words for tests of ticks that are claimed ahead of their instant. */
#ifndef TESTS_TRIGGER_AHEAD_FIXTURE_H
#define TESTS_TRIGGER_AHEAD_FIXTURE_H

#include "trigger_fixture.h"

#include <inttypes.h>

#include "trigger/ticker.h"
#include "trigger_scripts.h"

static struct fixture f;

static inline int setup(void **unused)
{
    (void)unused;
    fixture_init(&f);
    fixture_clock(&f, "2026-03-04T10:00:10Z");
    return 0;
}

static inline int teardown(void **unused)
{
    (void)unused;
    fixture_done(&f);
    return 0;
}

static inline void clock_at(const char *time)
{
    char text[40];
    snprintf(text, sizeof text, "2026-03-04T%sZ", time);
    fixture_clock(&f, text);
}

static inline int64_t instant(const char *time)
{
    char text[40];
    snprintf(text, sizeof text, "2026-03-04T%sZ", time);
    return fixture_instant(text);
}

static inline int64_t keys_like(const char *pattern)
{
    return harness_cmd(&f.h, "EVAL %s 0 %s", "return #redis.call('KEYS', ARGV[1])", pattern);
}

/* Ticks that are claimed ahead in the shard of this one. */
static inline int64_t hidden(const struct id *rr)
{
    return fixture_hidden(&f, store_id_prefix(f.h.store, rr->text));
}

static inline void wait_hidden(const struct id *rr, int64_t count)
{
    int64_t limit = clock_mono_us() + HARNESS_LIMIT_US;
    while (hidden(rr) != count) {
        if (clock_mono_us() > limit) {
            fail_msg("%lld claimed ahead", (long long)hidden(rr));
        }
        loop_turn(f.h.loop, true);
    }
}

/* Each minute, and the tick of 10:01 is claimed ahead. */
static inline struct id minutely(int64_t max_concurrency)
{
    struct recurring_request req = fixture_request("* * * * *", 0);
    req.max_concurrency = max_concurrency;
    struct id rr = fixture_create(&f, &req);
    clock_at("10:00:57.5");
    wait_hidden(&rr, 1);
    return rr;
}

static inline struct id run_of(const struct id *rr, int64_t generation, const char *time)
{
    char name[64];
    snprintf(name, sizeof name, "tick/%" PRId64 "/%" PRId64, generation, instant(time));
    struct id run;
    id_derive(&run, rr->text, name);
    return run;
}

static inline bool has_run(const struct id *run)
{
    run_get(f.h.store, run->text, false, fixture_on_record, &f);
    fixture_answer(&f);
    return f.err.code == ERR_NONE;
}

/* Nothing is left of what was hidden, and no run waits for its records. */
static inline void check_nothing_left(void)
{
    int64_t limit = clock_mono_us() + HARNESS_LIMIT_US;
    while (keys_like("rondo:*:ahead*") + keys_like("rondo:*:birth*") + keys_like("rondo:*:born*") >
           0) {
        assert_true(clock_mono_us() < limit);
        loop_turn(f.h.loop, true);
    }
}

static inline void check_fired(const struct id *rr, size_t count)
{
    fixture_wait_fired(&f, (int64_t)count);
    assert_int_equal(json_array_size(fixture_runs(&f, rr)), count);
    check_nothing_left();
}

static inline void edit(const struct id *rr, const char *changes)
{
    json_t *members = json_loads(changes, 0, NULL);
    recurring_edit(f.ticker, rr->text, members, fixture_on_record, &f);
    json_decref(members);
    fixture_good(&f);
}

static inline void ahead_eval(struct script *script, struct store_args *args)
{
    f.h.answered = 0;
    store_eval(f.h.store, script, args, harness_on_reply, &f.h);
    harness_wait(&f.h, &f.h.answered);
}

/* Somebody lets the group of this instant happen, with an older epoch and a later clock. */
static inline void ahead_reveal(
    const char *prefix, const char *time, int64_t epoch_less, int64_t clock_more_us)
{
    long long at = (long long)instant(time);
    unsigned shard = (unsigned)strtoul(strchr(prefix, '{') + 1, NULL, 16);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%sahead", prefix);
    store_key(args, "%sahead:%lld:undo", prefix, at);
    store_key(args, "%sahead:%lld:undone", prefix, at);
    store_key(args, "%sborn:%lld", prefix, at);
    store_key(args, "%sbirths", prefix);
    store_key(args, "%sevents", prefix);
    store_key(args, "%stold", prefix);
    store_arg_i(args, store_shard_epoch(f.h.store, shard) - epoch_less);
    store_arg_i(args, clock_shift_us() + clock_more_us);
    store_arg_i(args, at);
    store_arg(args, prefix);
    ahead_eval(&script_ahead_reveal, args);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
