/* SPDX-License-Identifier: Apache-2.0 */
/* Ticks that are claimed before their instant, when Redis or a clock does what it should not. */
#include "ahead_fixture.h"

#include "base/map.h"
#include "trigger/tick.h"

static void turn_until(bool (*is_so)(const struct id *rr), const struct id *rr, const char *what)
{
    int64_t limit = clock_mono_us() + HARNESS_LIMIT_US / 6;
    while (!is_so(rr)) {
        if (clock_mono_us() > limit) {
            fail_msg("not so: %s", what);
        }
        loop_turn(f.h.loop, true);
    }
}

static bool has_fired(const struct id *rr UNUSED)
{
    return fixture_fired(&f) > 0;
}

static bool has_failed(const struct id *rr UNUSED)
{
    struct ticker_counts counts;
    ticker_counts(f.ticker, &counts);
    return counts.failed > 0;
}

static bool is_loaded(const struct id *rr)
{
    return map_has(f.ticker->entries, rr->text);
}

static bool has_skipped(const struct id *rr UNUSED)
{
    struct ticker_counts counts;
    ticker_counts(f.ticker, &counts);
    return counts.outcomes[TICK_SKIPPED_OVERLAP] > 0;
}

static bool is_hidden(const struct id *rr)
{
    return hidden(rr) > 0;
}

/* Redis came back without what it had confirmed last (a replica took over, or a crash): the tick is
 * due as before, and nobody waits for the next look at all of the shard. */
static void test_redis_loses_what_was_claimed(void **unused)
{
    (void)unused;
    timer_stop(&f.ticker->guard); /* it would have the shard looked at because the clock moves */
    struct recurring_request req = fixture_request("* * * * *", 0);
    struct id rr = fixture_create(&f, &req);
    const char *prefix = store_id_prefix(f.h.store, rr.text);
    harness_cmd(&f.h, "HGET %sprogress %s", prefix, rr.text);
    char *before CLEANUP(cleanup_free) = xstrdup(f.h.text);
    clock_at("10:00:57.5");
    wait_hidden(&rr, 1);
    harness_cmd(&f.h, "EVAL %s 0 %s %s %s %lld",
        "for _, key in ipairs(redis.call('KEYS', ARGV[1] .. 'ahead*')) do redis.call('DEL', key) end "
        "redis.call('DEL', ARGV[1] .. 'born:' .. ARGV[4]) "
        "redis.call('HDEL', ARGV[1] .. 'progress', ARGV[2] .. ':active') "
        "redis.call('HSET', ARGV[1] .. 'progress', ARGV[2], ARGV[3]) "
        "return redis.call('ZADD', ARGV[1] .. 'due', ARGV[4], ARGV[2])",
        prefix, rr.text, before, (long long)instant("10:01:00"));
    clock_at("10:01:00");
    turn_until(has_fired, &rr, "the tick fires");
    check_fired(&rr, 1);
}

/* Somebody asks for a run, on a daemon that does not hold the shard. */
static void fire_elsewhere(const struct id *rr, const char *prefix)
{
    struct id run;
    id_new(&run);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%sprogress", prefix);
    store_key(args, "%sborn", prefix);
    store_key(args, "%srun:%s", prefix, run.text);
    store_key(args, "%sevents", prefix);
    store_arg_i(args, 0);
    store_arg(args, rr->text);
    store_arg_i(args, 0);
    store_arg(args, run.text);
    store_arg(args, "1 1 1 - - - {}");
    store_arg(args, "{}");
    store_arg_i(args, clock_shift_us());
    ahead_eval(&script_fire, args);
    assert_int_equal(hidden(rr), 0);
}

/* The answer that tells of a tick that was taken back is lost: it is looked for at the next one. */
static void test_answer_is_lost(void **unused)
{
    (void)unused;
    timer_stop(&f.ticker->guard);
    struct id rr = minutely(10);
    const char *prefix = store_id_prefix(f.h.store, rr.text);
    fire_elsewhere(&rr, prefix);
    ahead_reveal(prefix, "10:01:00", 0, 3 * US_PER_S);
    clock_at("10:01:00");
    turn_until(has_fired, &rr, "the tick fires");
}

/* A claim that Redis refuses is tried again when its wait is over; nothing of that is "ahead". */
static void test_refused_is_not_ahead(void **unused)
{
    (void)unused;
    timer_stop(&f.ticker->guard);
    struct recurring_request req = fixture_request("* * * * *", 0);
    struct id rr = fixture_create(&f, &req);
    const char *prefix = store_id_prefix(f.h.store, rr.text);
    clock_at("10:00:56.2");
    turn_until(is_loaded, &rr, "it is loaded");
    harness_cmd(&f.h, "RENAME %sdue %saside", prefix, prefix);
    harness_cmd(&f.h, "SET %sdue spoilt", prefix);
    clock_at("10:01:00.2");
    turn_until(has_failed, &rr, "the claim fails");
    harness_cmd(&f.h, "DEL %sdue", prefix);
    harness_cmd(&f.h, "RENAME %saside %sdue", prefix, prefix);
    for (int i = 0; i < 30 && !has_fired(&rr); i++) {
        harness_move_clock(&f.h, 400 * US_PER_MS);
        harness_pass_ms(&f.h, 20);
        assert_int_equal(keys_like("rondo:*:ahead*"), 0);
    }
    assert_true(has_fired(&rr));
    check_fired(&rr, 1);
}

/* It found its places taken once; when that is over its ticks are claimed ahead again. */
static void test_ahead_again_after_a_skip(void **unused)
{
    (void)unused;
    struct recurring_request req = fixture_request("* * * * * *", 0);
    req.max_concurrency = 2;
    json_t *more = json_pack("{s:s}", "overlap", "skip");
    req.more = more;
    struct id rr = fixture_create(&f, &req);
    json_decref(more);
    turn_until(has_skipped, &rr, "a tick is skipped");
    for (int ended = 0; ended < 2;) { /* firing comes first */
        ended += fixture_end_all(&f, &rr);
    }
    turn_until(is_hidden, &rr, "a tick is claimed ahead");
}

/* How late a tick was is told by Redis's clock, whatever ours says. */
static void test_lateness_by_redis_clock(void **unused)
{
    (void)unused;
    static const char *const policies[] = {"{}", "{\"overlap\":\"terminate_other\"}"};
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        struct recurring_request req = fixture_request("1 10 * * *", 0);
        json_t *more = json_loads(policies[i], 0, NULL);
        req.more = more;
        struct id rr = fixture_create(&f, &req);
        json_decref(more);
        clock_at("10:00:57.5");
        clock_set_error_us(-5 * US_PER_S);
        ticker_shard_look(f.ticker, id_shard(rr.text, 16)); /* hears Redis's clock */
        if (i == 0) {
            wait_hidden(&rr, 1);
        } else {
            turn_until(is_loaded, &rr, "it is loaded");
        }
        harness_move_clock(&f.h, 2500 * US_PER_MS);
        turn_until(has_fired, &rr, "it fires");
        struct ticker_counts counts;
        ticker_counts(f.ticker, &counts);
        clock_set_error_us(0);
        assert_true(counts.lateness_sum_s >= 0); /* ours is five seconds behind */
        teardown(NULL);
        setup(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_redis_loses_what_was_claimed),
        TEST(test_answer_is_lost),
        TEST(test_refused_is_not_ahead),
        TEST(test_ahead_again_after_a_skip),
        TEST(test_lateness_by_redis_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
