/* SPDX-License-Identifier: Apache-2.0 */
/* Recurring runs through their calls: what is refused, changed, listed, deleted. */
#include "trigger_fixture.h"

#include "base/map.h"
#include "trigger/ticker.h"

static struct fixture f;

static int setup(void **unused)
{
    (void)unused;
    fixture_init(&f);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    fixture_done(&f);
    return 0;
}

static void test_what_is_refused(void **unused)
{
    (void)unused;
    const struct recurring_request base = fixture_request("0 0 * * *", 0);
    struct {
        const char *name;
        struct recurring_request req;
        const char *part; /* NULL: accepted */
    } rows[] = {
        {"good", base, NULL},
        {"no name", base, "display_name"},
        {"name is not UTF-8", base, "UTF-8"},
        {"no experiment", base, "experiment_id"},
        {"no pipeline", base, "pipeline_spec"},
        {"no places", base, "max_concurrency: it is 0"},
        {"too many places", base, "1 to 1000000"},
        {"most places", base, NULL},
        {"cron and interval", base, "not both"},
        {"negative interval", base, "interval_second"},
        {"smallest interval", base, NULL},
        {"end before start", base, "before its start_time"},
        {"end is start", base, NULL},
        {"bad cron", base, "trigger"},
        {"never fires", base, "trigger"},
        {"unknown zone", base, "Nowhere"},
        {"zone", base, NULL},
        {"end is long gone", base, NULL},
    };
    size_t i = 1;
    rows[i++].req.name = "";
    rows[i++].req.name = "\xff";
    rows[i++].req.experiment_id = "";
    rows[i++].req.spec = NULL;
    rows[i++].req.max_concurrency = 0;
    rows[i++].req.max_concurrency = 1000001;
    rows[i++].req.max_concurrency = 1000000;
    rows[i++].req.interval_s = 60;
    rows[i].req.cron = NULL;
    rows[i++].req.interval_s = -1;
    rows[i].req.cron = NULL;
    rows[i++].req.interval_s = 1;
    rows[i].req.start_us = 2000000;
    rows[i++].req.end_us = 1000000;
    rows[i].req.start_us = 1000000;
    rows[i++].req.end_us = 1000000;
    rows[i++].req.cron = "61 * * * *";
    rows[i++].req.cron = "0 0 30 2 *";
    rows[i++].req.time_zone = "Nowhere/Land";
    rows[i++].req.time_zone = "Asia/Seoul";
    rows[i].req.no_catchup = true;
    rows[i++].req.end_us = 1000000;
    assert_int_equal(i, ARRAY_LEN(rows));
    for (i = 0; i < ARRAY_LEN(rows); i++) {
        recurring_create(f.ticker, &rows[i].req, fixture_on_record, &f);
        fixture_answer(&f);
        if (rows[i].part == NULL) {
            if (f.err.code != ERR_NONE) {
                fail_msg("%s: %s", rows[i].name, f.err.msg);
            }
        } else if (f.err.code != ERR_INVALID || strstr(f.err.msg, rows[i].part) == NULL) {
            fail_msg("%s: %s: %s", rows[i].name, err_code_name(f.err.code), f.err.msg);
        }
    }
}

/* What is as it always is takes no room in Redis, and is there when it is read. */
static void test_small_record(void **unused)
{
    (void)unused;
    struct recurring_request req = fixture_request("0 0 * * *", 0);
    req.max_concurrency = 1;
    struct id id = fixture_create(&f, &req);
    const json_t *r = fixture_get(&f, &id);
    assert_string_equal(jget_str(r, "id", ""), id.text);
    assert_int_equal(jget_i64(r, "max_concurrency", 0), 1);
    static const char *const texts[] = {"description", "pipeline_id", "version_id", "time_zone",
        "pipeline_root", "service_account"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_string_equal(json_string_value(json_object_get(r, texts[i])), "");
    }
    assert_true(json_is_false(json_object_get(r, "no_catchup")));
    assert_int_equal(json_integer_value(json_object_get(r, "interval_s")), 0);
    assert_true(json_is_integer(json_object_get(r, "start_us")));
    assert_int_equal(json_object_size(json_object_get(r, "parameters")), 0);
    assert_true(json_is_object(json_object_get(r, "parameters")));
    int64_t bytes =
        harness_cmd(&f.h, "STRLEN %srr:%s", store_id_prefix(f.h.store, id.text), id.text);
    assert_in_range(bytes, 100, 300);
}

static void test_record(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    json_t *parameters = json_pack("{s:f, s:[i,i]}", "lr", 0.5, "n", 1, 2);
    struct recurring_request req = fixture_request("0 0 * * *", 0);
    req.description = "why";
    req.parameters = parameters;
    req.pipeline_root = "s3://bucket";
    req.service_account = "robot";
    req.time_zone = "Asia/Seoul";
    req.end_us = fixture_instant("2027-01-01T00:00:00Z");
    req.no_catchup = true;
    struct id id = fixture_create(&f, &req);
    json_t *created = json_incref(f.record);
    const json_t *r = fixture_get(&f, &id);
    assert_true(json_equal(r, created));
    json_decref(created);
    assert_int_equal(jget_i64(r, "v", 0), 2);
    assert_string_equal(jget_str(r, "id", ""), id.text);
    assert_string_equal(jget_str(r, "name", ""), "nightly");
    assert_string_equal(jget_str(r, "description", ""), "why");
    assert_string_equal(jget_str(r, "cron", ""), "0 0 * * *");
    assert_string_equal(jget_str(r, "time_zone", ""), "Asia/Seoul");
    assert_string_equal(jget_str(r, "pipeline_root", ""), "s3://bucket");
    assert_string_equal(jget_str(r, "service_account", ""), "robot");
    assert_string_equal(jget_str(r, "error", "x"), "");
    assert_true(json_equal(json_object_get(r, "parameters"), parameters));
    assert_int_equal(jget_i64(r, "max_concurrency", 0), 10);
    assert_int_equal(jget_i64(r, "generation", 0), 1);
    assert_int_equal(jget_i64(r, "index", -1), 0);
    assert_int_equal(jget_i64(r, "end_us", 0), req.end_us);
    assert_true(jget_bool(r, "no_catchup", false));
    assert_true(jget_bool(r, "enabled", false));
    assert_false(jget_bool(r, "waiting", true));
    assert_int_equal(jget_i64(r, "active", -1), 0);
    assert_int_equal(jget_i64(r, "next_us", 0), fixture_instant("2026-03-04T15:00:00Z"));
    json_decref(parameters);
}

/* Enabling does not replay what was missed; running runs are left alone. */
static void test_disable_and_enable(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    struct id id = fixture_create(&f, &req);
    fixture_clock(&f, "2026-03-04T10:01:00.5Z");
    fixture_wait_fired(&f, 1);
    for (int i = 0; i < 2; i++) { /* again: the same */
        recurring_set_enabled(f.ticker, id.text, false, fixture_on_record, &f);
        fixture_good(&f);
        assert_false(jget_bool(f.record, "enabled", true));
        assert_int_equal(jget_i64(f.record, "active", 0), 1);
    }
    struct ticker_counts counts;
    ticker_counts(f.ticker, &counts);
    assert_int_equal(counts.enabled, 0);
    assert_int_equal(counts.recurring_runs, 1);
    fixture_clock(&f, "2026-03-04T11:00:30Z");
    fixture_wait_fired(&f, 1);
    for (int i = 0; i < 2; i++) {
        recurring_set_enabled(f.ticker, id.text, true, fixture_on_record, &f);
        fixture_good(&f);
        assert_true(jget_bool(f.record, "enabled", false));
        assert_int_equal(jget_i64(f.record, "next_us", 0), fixture_instant("2026-03-04T11:01:00Z"));
    }
    fixture_wait_fired(&f, 1);
    ticker_counts(f.ticker, &counts);
    assert_int_equal(counts.enabled, 1);
    fixture_clock(&f, "2026-03-04T11:01:00.5Z");
    fixture_wait_fired(&f, 2);
    /* The daemon's own absence is caught up. */
    fixture_stop_daemon(&f);
    fixture_clock(&f, "2026-03-04T11:04:00.5Z");
    fixture_start_daemon(&f);
    fixture_wait_fired(&f, 3);
    assert_int_equal(jget_i64(fixture_get(&f, &id), "index", 0), 5);
}

/* A slot that waits for a place is forgotten by disabling. */
static void test_disable_while_waiting(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    req.max_concurrency = 1;
    struct id id = fixture_create(&f, &req);
    fixture_clock(&f, "2026-03-04T10:02:00.5Z");
    fixture_wait_fired(&f, 1);
    assert_true(jget_bool(fixture_get(&f, &id), "waiting", false));
    recurring_set_enabled(f.ticker, id.text, false, fixture_on_record, &f);
    fixture_good(&f);
    assert_false(jget_bool(f.record, "waiting", true));
    assert_int_equal(fixture_end_all(&f, &id), 1);
    fixture_wait_fired(&f, 1);
    recurring_set_enabled(f.ticker, id.text, true, fixture_on_record, &f);
    fixture_good(&f);
    fixture_wait_fired(&f, 1);
    fixture_clock(&f, "2026-03-04T10:03:00.5Z");
    fixture_wait_fired(&f, 2);
}

static void test_created_disabled(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request(NULL, 60);
    req.is_enabled = false;
    struct id id = fixture_create(&f, &req);
    fixture_clock(&f, "2026-03-04T10:10:00.7Z");
    fixture_wait_fired(&f, 0);
    recurring_set_enabled(f.ticker, id.text, true, fixture_on_record, &f);
    fixture_good(&f);
    fixture_clock(&f, "2026-03-04T10:11:00.7Z");
    fixture_wait_fired(&f, 1);
}

static void test_delete(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    struct id id = fixture_create(&f, &req);
    fixture_clock(&f, "2026-03-04T10:01:00.5Z");
    fixture_wait_fired(&f, 1);
    recurring_delete(f.ticker, id.text, fixture_on_record, &f);
    fixture_good(&f);
    recurring_delete(f.ticker, id.text, fixture_on_record, &f);
    fixture_bad(&f, ERR_NOT_FOUND, id.text);
    recurring_get(f.ticker, id.text, fixture_on_record, &f);
    fixture_bad(&f, ERR_NOT_FOUND, id.text);
    recurring_set_enabled(f.ticker, id.text, true, fixture_on_record, &f);
    fixture_bad(&f, ERR_NOT_FOUND, id.text);
    recurring_set_enabled(f.ticker, id.text, false, fixture_on_record, &f);
    fixture_bad(&f, ERR_NOT_FOUND, id.text);
    recurring_get(f.ticker, "nonsense", fixture_on_record, &f);
    fixture_bad(&f, ERR_NOT_FOUND, "nonsense");
    fixture_clock(&f, "2026-03-04T10:05:00.5Z");
    fixture_wait_fired(&f, 1);
    assert_int_equal(json_array_size(fixture_runs(&f, &id)), 1); /* its run stays */
    assert_int_equal(fixture_end_all(&f, &id), 1);               /* and ends */
    const char *prefix = store_id_prefix(f.h.store, id.text);
    assert_int_equal(harness_cmd(&f.h, "EXISTS %srr:%s", prefix, id.text), 0);
    assert_int_equal(harness_cmd(&f.h, "ZCARD %sdue", prefix), 0);
    struct ticker_counts counts;
    ticker_counts(f.ticker, &counts);
    assert_int_equal(counts.recurring_runs, 0);
    assert_int_equal(counts.enabled, 0);
}

/* Changes while a claim is under way: the claim decides, nothing is fired twice or left over. */
static void test_change_during_claim(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    for (int i = 0; i < 20; i++) {
        struct id id = fixture_create(&f, &req);
        harness_move_clock(&f.h, 60 * US_PER_S);
        /* No turn of the loop has passed since the tick became due, or a few have. */
        for (int turns = 0; turns < i % 5; turns++) {
            loop_turn(f.h.loop, false);
        }
        if (i % 2 == 0) {
            recurring_delete(f.ticker, id.text, fixture_on_record, &f);
        } else {
            recurring_set_enabled(f.ticker, id.text, false, fixture_on_record, &f);
        }
        fixture_good(&f);
        harness_pass_ms(&f.h, 20);
        assert_int_equal(map_count(f.ticker->entries), 0);
        assert_true(json_array_size(fixture_runs(&f, &id)) <= 1);
    }
}

struct each {
    json_t *names;
    bool is_done;
};

static void on_each(void *owner, json_t *record)
{
    const struct each *each = owner;
    assert_false(each->is_done);
    const char *name = jget_str(record, "name", "");
    assert_null(json_object_get(each->names, name));
    json_object_set_new(each->names, name, json_true());
}

static void on_each_done(void *owner, const json_t *record, const struct err *err)
{
    struct each *each = owner;
    assert_true(record == NULL && err == NULL && !each->is_done);
    each->is_done = true;
}

static void wait_each(const struct each *each)
{
    while (!each->is_done) {
        loop_turn(f.h.loop, true);
    }
}

static void test_lists(void **unused)
{
    (void)unused;
    enum { COUNT = 2400 }; /* more than a batch in most shards */
    struct recurring_request req = fixture_request("0 0 1 1 *", 0);
    const char *other = "22222222-2222-4222-8222-222222222222";
    for (int i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof(name), "r%d", i);
        req.name = name;
        req.experiment_id = i % 10 == 0 ? other : EXPERIMENT;
        recurring_create(f.ticker, &req, NULL, NULL);
        loop_turn(f.h.loop, false);
    }
    json_t *names CLEANUP(json_decrefp) = json_object();
    struct each each = {.names = names};
    recurring_each(f.ticker, NULL, on_each, on_each_done, &each);
    wait_each(&each);
    assert_int_equal(json_object_size(names), COUNT);
    json_object_clear(names);
    each.is_done = false;
    recurring_each(f.ticker, other, on_each, on_each_done, &each);
    wait_each(&each);
    assert_int_equal(json_object_size(names), COUNT / 10);
    assert_non_null(json_object_get(names, "r2390"));
}

/* The ticker goes while calls are under way: no answers, nothing leaks. */
static void test_gone_in_the_middle(void **unused)
{
    (void)unused;
    struct recurring_request req = fixture_request("* * * * *", 0);
    recurring_create(f.ticker, &req, fixture_on_record, &f);
    req.max_concurrency = 99;
    recurring_create(f.ticker, &req, fixture_on_record, &f);
    recurring_each(f.ticker, NULL, NULL, fixture_on_record, &f);
    ticker_free(f.ticker);
    f.ticker = NULL;
    harness_pass_ms(&f.h, 50);
    assert_int_equal(f.times, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_refused),
        TEST(test_record),
        TEST(test_small_record),
        TEST(test_disable_and_enable),
        TEST(test_disable_while_waiting),
        TEST(test_created_disabled),
        TEST(test_delete),
        TEST(test_change_during_claim),
        TEST(test_lists),
        TEST(test_gone_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
