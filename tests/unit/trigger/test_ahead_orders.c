/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of steps around ticks that are claimed before their instant, as the model found them
 * (tests/model/ahead.pml, BREAK_LATE and BREAK_LOOK). */
#include "ahead_fixture.h"

/* A claim of its first tick, at 10:01, as a daemon has prepared it. */
static void send_claim_ahead(const struct id *rr, const char *prefix)
{
    long long at = (long long)fixture_instant("2026-03-04T10:01:00Z");
    harness_cmd(&f.h, "HGET %sprogress %s", prefix, rr->text);
    char *progress CLEANUP(cleanup_free) = xstrdup(f.h.text);
    char *moved_on CLEANUP(cleanup_free) = xasprintf("%s {\"skip\":1}", progress);
    struct id run;
    id_new(&run);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%sdue", prefix);
    store_key(args, "%sprogress", prefix);
    store_key(args, "%sborn:%lld", prefix, at);
    store_key(args, "%sahead", prefix);
    store_key(args, "%sahead:%lld:undo", prefix, at);
    store_key(args, "%sbirths", prefix);
    store_arg_i(args, store_id_epoch(f.h.store, rr->text));
    store_arg_i(args, clock_shift_us());
    store_arg_i(args, 1);
    store_arg(args, prefix);
    store_arg_i(args, 10);
    store_arg_i(args, at);
    store_arg(args, rr->text);
    store_arg(args, "f");
    store_arg(args, progress);
    store_arg_i(args, 1);
    store_arg_i(args, 0);
    store_arg(args, moved_on);
    store_arg_i(args, at + US_PER_S);
    store_arg(args, run.text);
    store_arg(args, "0 0 1 - - - {}");
    store_arg(args, "");
    ahead_eval(&script_claim, args);
    assert_int_equal(f.h.err.code, ERR_NONE);
}

/* A claim that arrives when its instant has come, and perhaps its group has happened, hides
 * nothing. */
static void test_no_group_begins_late(void **unused)
{
    (void)unused;
    static const struct {
        const char *time;
        int64_t hidden;
    } rows[] = {{"2026-03-04T10:01:00Z", 0}, {"2026-03-04T10:00:59Z", 1}};
    struct recurring_request req = fixture_request("1 10 * * *", 0);
    struct id rr = fixture_create(&f, &req);
    const char *prefix = store_id_prefix(f.h.store, rr.text);
    ticker_shard_stop(f.ticker, id_shard(rr.text, 16));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fixture_clock(&f, rows[i].time);
        send_claim_ahead(&rr, prefix);
        assert_int_equal(fixture_hidden(&f, prefix), rows[i].hidden);
        assert_int_equal(
            harness_cmd(&f.h, "HEXISTS %sprogress %s:active", prefix, rr.text), rows[i].hidden);
    }
}

static void start_daemon(void)
{
    f.h.store = harness_store(&f.h);
    harness_take_over(&f.h);
    f.catalog = catalog_new(f.h.loop, f.h.store);
    struct ticker_settings settings = {
        .loop = f.h.loop, .store = f.h.store, .catalog = f.catalog, .claim_batch = 100};
    f.ticker = ticker_new(&settings);
    f.started = 0;
    ticker_start(f.ticker, fixture_on_started, &f);
}

/* Who has not seen yet what others have hidden does not claim what comes after it: a change takes
 * back the tick that was claimed last. */
static void test_nothing_is_claimed_before_the_first_look(void **unused)
{
    (void)unused;
    struct recurring_request req = fixture_request("1,2 1 10 * * *", 0);
    struct id rr = fixture_create(&f, &req);
    fixture_clock(&f, "2026-03-04T10:00:58.5Z");
    char *prefix CLEANUP(cleanup_free) = xstrdup(store_id_prefix(f.h.store, rr.text));
    while (fixture_hidden(&f, prefix) != 1) {
        loop_turn(f.h.loop, true);
    }
    harness_cmd(&f.h, "RENAME %srr_counts %saside", prefix, prefix);
    harness_cmd(&f.h, "SET %srr_counts x",
        prefix); /* looking fails, and reading a recurring run does not */
    fixture_stop_daemon(&f);
    static const char both_are_near[] = "2026-03-04T10:00:59.1Z";
    fixture_clock(&f, both_are_near);
    start_daemon();
    harness_pass_ms(&f.h, 50);
    ticker_changed(f.ticker, rr.text);
    harness_pass_ms(&f.h, 300);
    assert_int_equal(f.started, 0);
    assert_int_equal(fixture_hidden(&f, prefix), 1);
    harness_cmd(&f.h, "RENAME %saside %srr_counts", prefix, prefix);
    fixture_clock(&f, both_are_near);
    harness_wait(&f.h, &f.started);
    recurring_set_enabled(f.ticker, rr.text, false, fixture_on_record, &f);
    fixture_good(&f);
    fixture_clock(&f, "2026-03-04T10:01:01Z");
    fixture_wait_fired(&f, 0);
    assert_int_equal(json_array_size(fixture_runs(&f, &rr)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_group_begins_late),
        TEST(test_nothing_is_claimed_before_the_first_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
