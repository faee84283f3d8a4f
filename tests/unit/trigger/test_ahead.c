/* SPDX-License-Identifier: Apache-2.0 */
/* Ticks that are claimed before their instant: nobody sees them, a change takes them back, and each
 * fires once. */
#include "ahead_fixture.h"

static void test_nobody_sees_it_before(void **unused)
{
    (void)unused;
    struct id rr = minutely(1);
    struct id run = run_of(&rr, 1, "10:01:00");
    assert_int_equal(fixture_fired(&f), 0);
    assert_false(has_run(&run));
    assert_int_equal(json_array_size(fixture_runs(&f, &rr)), 0);
    const json_t *record = fixture_get(&f, &rr);
    assert_int_equal(jget_i64(record, "next_us", 0), instant("10:01:00"));
    assert_int_equal(jget_i64(record, "last_us", 1), 0);
    assert_int_equal(jget_i64(record, "index", 1), 0);
    assert_int_equal(jget_i64(record, "active", 1), 0);
    const char *prefix = store_id_prefix(f.h.store, rr.text);
    assert_int_equal(harness_cmd(&f.h, "XLEN %sevents", prefix), 0);

    clock_at("10:01:00");
    check_fired(&rr, 1);
    assert_true(has_run(&run));
    assert_true(jget_i64(f.record, "created_us", 0) >= instant("10:01:00"));
    assert_int_equal(jget_i64(f.record, "scheduled_us", 0), instant("10:01:00"));
    record = fixture_get(&f, &rr);
    assert_int_equal(jget_i64(record, "next_us", 0), instant("10:02:00"));
    assert_int_equal(jget_i64(record, "active", 0), 1);
    assert_int_equal(harness_cmd(&f.h, "XLEN %sevents", prefix), 1);
}

static void test_the_timer_lets_it_happen(void **unused)
{
    (void)unused;
    struct id rr = minutely(10);
    clock_at("10:00:59.9");
    check_fired(&rr, 1);
}

static void test_disabled_before(void **unused)
{
    (void)unused;
    struct id rr = minutely(10);
    recurring_set_enabled(f.ticker, rr.text, false, fixture_on_record, &f);
    fixture_good(&f);
    assert_int_equal(hidden(&rr), 0);
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "active", 1), 0);
    clock_at("10:03:00");
    check_fired(&rr, 0);
    recurring_set_enabled(f.ticker, rr.text, true, fixture_on_record, &f);
    fixture_good(&f);
    clock_at("10:04:00");
    check_fired(&rr, 1);
    assert_int_equal(
        jget_i64(json_array_get(fixture_runs(&f, &rr), 0), "scheduled_us", 0), instant("10:04:00"));
}

static void test_edited_before(void **unused)
{
    (void)unused;
    struct id rr = minutely(10);
    edit(&rr, "{\"parameters\":{\"when\":\"now\"}}");
    clock_at("10:01:00"); /* claimed ahead again, or when it is due: with the new ones */
    check_fired(&rr, 1);
    const json_t *run = json_array_get(fixture_runs(&f, &rr), 0);
    assert_string_equal(jget_str(json_object_get(run, "parameters"), "when", ""), "now");

    clock_at("10:01:57.5");
    wait_hidden(&rr, 1);
    edit(&rr, "{\"cron\":\"59 * * * * *\"}"); /* earlier than what was claimed */
    clock_at("10:01:59");
    check_fired(&rr, 2);
    clock_at("10:02:01");
    check_fired(&rr, 2);
    struct id old = run_of(&rr, 1, "10:02:00");
    assert_false(has_run(&old));
}

static void test_deleted_before(void **unused)
{
    (void)unused;
    struct id rr = minutely(10);
    struct id run = run_of(&rr, 1, "10:01:00");
    recurring_delete(f.ticker, rr.text, fixture_on_record, &f);
    fixture_good(&f);
    clock_at("10:01:01");
    check_fired(&rr, 0);
    assert_false(has_run(&run));
}

/* Who asks now comes first: with one place the tick waits until that run has ended. */
static void test_fired_by_hand_before(void **unused)
{
    (void)unused;
    static const char *const overlaps[] = {"skip", "allow"};
    for (size_t i = 0; i < ARRAY_LEN(overlaps); i++) {
        struct id rr = minutely(1);
        recurring_fire(f.ticker, rr.text, "by-hand", overlaps[i], fixture_on_record, &f);
        fixture_good(&f);
        char by_hand[ID_LEN + 1];
        snprintf(by_hand, sizeof by_hand, "%s", jget_str(f.record, "run_id", ""));
        assert_int_equal(jget_i64(fixture_get(&f, &rr), "active", 0), 1);
        clock_at("10:01:00");
        fixture_wait_fired(&f, 0);
        while (!jget_bool(fixture_get(&f, &rr), "waiting", false)) {
            loop_turn(f.h.loop, true);
        }
        fixture_end_run(&f, by_hand, rr.text);
        fixture_wait_fired(&f, 1);
        assert_int_equal(json_array_size(fixture_runs(&f, &rr)), 2);
        check_nothing_left();
        fixture_done(&f);
        fixture_init(&f);
        clock_at("10:00:10");
    }
}

/* As many as may be are active: that is decided when the tick is due. */
static void test_no_place_before(void **unused)
{
    (void)unused;
    struct id rr = minutely(1);
    clock_at("10:01:00");
    check_fired(&rr, 1);
    clock_at("10:01:58");
    harness_pass_ms(&f.h, 100);
    assert_int_equal(hidden(&rr), 0);
    assert_int_equal(fixture_end_all(&f, &rr), 1);
    clock_at("10:02:00");
    check_fired(&rr, 2);
}

/* The daemon dies with a tick claimed; the next one finds it, before its instant or after. */
static void test_death_before(void **unused)
{
    (void)unused;
    static const char *const starts[] = {"10:00:58", "10:01:00", "10:05:30"};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        struct recurring_request req = fixture_request("1 10 * * *", 0);
        struct id rr = fixture_create(&f, &req);
        clock_at("10:00:57.5");
        wait_hidden(&rr, 1);
        fixture_stop_daemon(&f);
        clock_at(starts[i]);
        fixture_start_daemon(&f);
        clock_at("10:05:30");
        check_fired(&rr, 1);
        const json_t *run = json_array_get(fixture_runs(&f, &rr), 0);
        assert_int_equal(jget_i64(run, "scheduled_us", 0), instant("10:01:00"));
        assert_string_equal(jget_str(run, "id", ""), run_of(&rr, 1, "10:01:00").text);
        fixture_done(&f);
        fixture_init(&f);
        clock_at("10:00:10");
    }
}

/* Nobody was there at its instant, nor when others came: they are all a matter of catch-up. */
static void test_absence(void **unused)
{
    (void)unused;
    static const struct {
        const char *policy;
        size_t fired, first;
    } rows[] = {{"all", 5, 0}, {"last", 1, 4}, {"first", 1, 0}, {"none", 1, 4}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct recurring_request req = fixture_request("* * * * *", 0);
        json_t *more = json_pack("{s:s}", "catchup", rows[i].policy);
        req.more = more;
        struct id rr = fixture_create(&f, &req);
        json_decref(more);
        clock_at("10:00:57.5");
        wait_hidden(&rr, 1);
        fixture_stop_daemon(&f);
        clock_at("10:05:00");
        fixture_start_daemon(&f);
        check_fired(&rr, rows[i].fired);
        int64_t slot_us = instant("10:01:00") + (int64_t)rows[i].first * 60 * US_PER_S;
        const json_t *run = json_array_get(fixture_runs(&f, &rr), 0);
        assert_int_equal(jget_i64(run, "scheduled_us", 0), slot_us);
        assert_int_equal(jget_i64(fixture_get(&f, &rr), "index", 0), (int64_t)rows[i].fired);
        fixture_done(&f);
        fixture_init(&f);
        clock_at("10:00:10");
    }
}

/* The same of more than are taken back at once. */
static void test_many_late(void **unused)
{
    (void)unused;
    enum { COUNT = 300 };
    clock_at("08:00:00"); /* however long it takes to create them */
    struct recurring_request req = fixture_request("1 10 * * *", 0);
    struct id rr = {{0}};
    int64_t in_shard = 0;
    while (in_shard < COUNT) {
        struct id one = fixture_create(&f, &req);
        if (rr.text[0] == '\0' || id_shard(one.text, 16) == id_shard(rr.text, 16)) {
            rr = one;
            in_shard++;
        } else {
            recurring_delete(f.ticker, one.text, fixture_on_record, &f);
            fixture_good(&f);
        }
    }
    clock_at("10:00:57.5");
    wait_hidden(&rr, COUNT);
    fixture_stop_daemon(&f);
    clock_at("10:01:02");
    fixture_start_daemon(&f);
    fixture_wait_fired(&f, COUNT);
    check_nothing_left();
    assert_int_equal(harness_cmd(&f.h, "ZCARD %sruns", store_id_prefix(f.h.store, rr.text)), COUNT);
}

/* Somebody else changes it after the daemon died: what it has hidden is not there. */
static void test_taken_back_without_its_daemon(void **unused)
{
    (void)unused;
    struct id rr = minutely(1);
    ticker_shard_stop(f.ticker, id_shard(rr.text, 16));
    recurring_set_enabled(f.ticker, rr.text, false, fixture_on_record, &f);
    fixture_good(&f);
    fixture_stop_daemon(&f);
    fixture_start_daemon(&f);
    clock_at("10:02:00");
    check_fired(&rr, 0);
}

/* The clock is set back: it can be changed, and fires once when its instant comes again. */
static void test_clock_set_back(void **unused)
{
    (void)unused;
    struct id rr = minutely(10);
    clock_at("08:00:00");
    harness_pass_ms(&f.h, 50);
    assert_int_equal(fixture_fired(&f), 0);
    edit(&rr, "{\"description\":\"x\"}");
    clock_at("10:01:00");
    check_fired(&rr, 1);
}

/* What waits for a group is not lost behind it: each second, through many groups. */
static void test_each_second(void **unused)
{
    (void)unused;
    enum { SECONDS = 20 };
    struct recurring_request req = fixture_request("* * * * * *", 0);
    req.max_concurrency = 1000;
    struct id rr = fixture_create(&f, &req);
    int64_t first_us = jget_i64(f.record, "next_us", 0);
    for (int i = 0; i < SECONDS; i++) {
        harness_move_clock(&f.h, first_us + i * US_PER_S - clock_now_us());
        int64_t limit = clock_mono_us() + HARNESS_LIMIT_US;
        while (fixture_fired(&f) < i + 1) {
            assert_true(clock_mono_us() < limit);
            loop_turn(f.h.loop, true);
        }
    }
    while (json_array_size(fixture_runs(&f, &rr)) < SECONDS) { /* firing comes first */
        loop_turn(f.h.loop, true);
    }
    for (size_t i = 0; i < SECONDS; i++) {
        const json_t *run = json_array_get(f.record, i);
        assert_int_equal(jget_i64(run, "scheduled_us", 0), first_us + (int64_t)i * US_PER_S);
        assert_int_equal(jget_i64(run, "index", 0), (int64_t)i + 1);
    }
}

/* Between its instant and its happening it stands: a change is one of what comes after. */
static void test_changed_as_it_comes(void **unused)
{
    (void)unused;
    struct id rr = minutely(10);
    ticker_shard_stop(f.ticker, id_shard(rr.text, 16)); /* nobody lets it happen just now */
    clock_at("10:01:00.1");
    const json_t *record = fixture_get(&f, &rr);
    assert_int_equal(jget_i64(record, "index", 0), 1);
    assert_int_equal(jget_i64(record, "next_us", 0), instant("10:02:00"));
    recurring_set_enabled(f.ticker, rr.text, false, fixture_on_record, &f);
    fixture_good(&f);
    assert_int_equal(hidden(&rr), 1);
    fixture_stop_daemon(&f);
    clock_at("10:01:00.2");
    fixture_start_daemon(&f);
    clock_at("10:03:00");
    check_fired(&rr, 1);
    assert_int_equal(jget_i64(json_array_get(f.record, 0), "scheduled_us", 0), instant("10:01:00"));
}

/* Letting it happen again changes nothing, and only the holder of the shard may. */
static void test_reveal_by_itself(void **unused)
{
    (void)unused;
    struct id rr = minutely(10);
    const char *prefix = store_id_prefix(f.h.store, rr.text);
    ticker_shard_stop(f.ticker, id_shard(rr.text, 16));
    const struct {
        const char *time;
        int64_t epoch_less, count;
    } rows[] = {{"10:00:59", 0, -1}, {"10:01:00", 1, -2}, {"10:01:00", 0, 1}, {"10:01:00.5", 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        clock_at(rows[i].time);
        ahead_reveal(prefix, "10:01:00", rows[i].epoch_less, 0);
        assert_int_equal(f.h.err.code, rows[i].count == -2 ? ERR_FENCED : ERR_NONE);
        assert_int_equal(harness_cmd(&f.h, "XLEN %sevents", prefix), i < 2 ? 0 : 1);
        assert_int_equal(harness_cmd(&f.h, "HLEN %sbirths", prefix), i < 2 ? 0 : 1);
    }
    struct id run = run_of(&rr, 1, "10:01:00");
    assert_true(has_run(&run)); /* whoever reads it first gives it its records */
    assert_int_equal(keys_like("rondo:*:birth*"), 0);
}

/* What depends on the moment is not claimed ahead. */
static void test_what_waits_for_its_instant(void **unused)
{
    (void)unused;
    static const char *const rows[] = {"{\"overlap\":\"cancel_other\",\"pause_after_failures\":1}",
        "{\"spread_s\":30}", "{\"overlap\":\"terminate_other\"}"};
    struct id rrs[ARRAY_LEN(rows) + 1];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct recurring_request req = fixture_request("* * * * *", 0);
        json_t *more = json_loads(rows[i], 0, NULL);
        req.more = more;
        rrs[i] = fixture_create(&f, &req);
        json_decref(more);
    }
    struct recurring_request large = fixture_request("* * * * *", 0);
    char text[4000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    json_t *parameters = json_pack("{s:s}", "large", text);
    large.parameters = parameters;
    rrs[ARRAY_LEN(rows)] = fixture_create(&f, &large);
    json_decref(parameters);
    clock_at("10:00:58");
    harness_pass_ms(&f.h, 100);
    assert_int_equal(keys_like("rondo:*:ahead*"), 0);
    clock_at("10:01:30");
    fixture_wait_fired(&f, ARRAY_LEN(rrs));
    for (size_t i = 0; i < ARRAY_LEN(rrs); i++) {
        assert_int_equal(json_array_size(fixture_runs(&f, &rrs[i])), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_sees_it_before),
        TEST(test_the_timer_lets_it_happen),
        TEST(test_disabled_before),
        TEST(test_edited_before),
        TEST(test_deleted_before),
        TEST(test_fired_by_hand_before),
        TEST(test_no_place_before),
        TEST(test_death_before),
        TEST(test_absence),
        TEST(test_many_late),
        TEST(test_taken_back_without_its_daemon),
        TEST(test_clock_set_back),
        TEST(test_each_second),
        TEST(test_changed_as_it_comes),
        TEST(test_reveal_by_itself),
        TEST(test_what_waits_for_its_instant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
