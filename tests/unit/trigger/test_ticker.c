/* SPDX-License-Identifier: Apache-2.0 */
/* Firing, against a real redis-server and with a moved clock: each slot once, limits, catch-up,
 * crashes, many at once. */
#include "trigger_fixture.h"

#include <inttypes.h>

#include "base/map.h"
#include "trigger/ticker.h"
#include "trigger_scripts.h"

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

/* Runs of this one: `count` of them, one for each slot from first on, every `step_s`. */
static void check_slots(
    const struct id *rr, const char *name, int64_t first_us, int64_t step_s, size_t count)
{
    const json_t *runs = fixture_runs(&f, rr);
    if (json_array_size(runs) != count) {
        fail_msg("%s: %zu runs instead of %zu", name, json_array_size(runs), count);
    }
    bool *seen = xcalloc(count + 1, sizeof(*seen));
    for (size_t i = 0; i < count; i++) {
        const json_t *run = json_array_get(runs, i);
        int64_t index = jget_i64(run, "index", 0);
        int64_t slot = jget_i64(run, "scheduled_us", 0);
        if (index < 1 || index > (int64_t)count || seen[index - 1] ||
            slot != first_us + (index - 1) * step_s * US_PER_S) {
            fail_msg("%s: index %" PRId64 " has slot %" PRId64, name, index, slot);
        }
        seen[index - 1] = true;
        char expected[64];
        snprintf(expected, sizeof(expected), "nightly-%" PRId64, index);
        assert_string_equal(jget_str(run, "name", ""), expected);
        assert_string_equal(jget_str(run, "recurring_run_id", ""), rr->text);
        assert_string_equal(jget_str(run, "experiment_id", ""), EXPERIMENT);
        assert_string_equal(jget_str(run, "spec", ""), SPEC);
    }
    free(seen);
}

/* Three hours, ten minutes at a time, and the daemon dies on the way: each slot fires once. */
static void test_each_slot_once(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request minutely = fixture_request("* * * * *", 0);
    struct recurring_request every90 = fixture_request(NULL, 90);
    struct recurring_request five = fixture_request("0 */5 * * * *", 0);
    struct id a = fixture_create(&f, &minutely);
    struct id b = fixture_create(&f, &every90);
    struct id c = fixture_create(&f, &five);
    int64_t before = 0; /* fired by daemons that died */
    for (int i = 1; i <= 18; i++) {
        bool dies = i % 4 == 0;
        if (dies) {
            before += fixture_fired(&f);
            fixture_stop_daemon(&f);
        }
        char text[40];
        snprintf(text, sizeof(text), "2026-03-04T%02d:%02d:05Z", 10 + i / 6, i % 6 * 10);
        fixture_clock(&f, text);
        if (dies) {
            fixture_start_daemon(&f);
        }
        fixture_wait_fired(&f, i * 10 + i * 600 / 90 + i * 2 - before);
        fixture_end_all(&f, &a);
        fixture_end_all(&f, &b);
        fixture_end_all(&f, &c);
    }
    check_slots(&a, "minutely", fixture_instant("2026-03-04T10:01:00Z"), 60, 180);
    check_slots(&b, "every 90 s", fixture_instant("2026-03-04T10:01:30Z"), 90, 120);
    check_slots(&c, "every 5 min", fixture_instant("2026-03-04T10:05:00Z"), 300, 36);
    const json_t *record = fixture_get(&f, &a);
    assert_int_equal(jget_i64(record, "index", 0), 180);
    assert_int_equal(jget_i64(record, "active", 1), 0);
    assert_int_equal(jget_i64(record, "next_us", 0), fixture_instant("2026-03-04T13:01:00Z"));
}

static void test_concurrency_waits(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    req.max_concurrency = 2;
    struct id each = fixture_create(&f, &req);
    req.no_catchup = true;
    struct id latest = fixture_create(&f, &req);
    fixture_clock(&f, "2026-03-04T10:01:01Z");
    fixture_wait_fired(&f, 2);
    fixture_clock(&f, "2026-03-04T10:02:01Z");
    fixture_wait_fired(&f, 4);
    fixture_clock(&f, "2026-03-04T10:05:01Z");
    fixture_wait_fired(&f, 4);
    const json_t *record = fixture_get(&f, &each);
    assert_true(jget_bool(record, "waiting", false));
    assert_int_equal(jget_i64(record, "active", 0), 2);
    assert_int_equal(jget_i64(record, "next_us", 0), fixture_instant("2026-03-04T10:03:00Z"));

    /* One place each: the oldest missed slot fires; without catch-up the latest one. */
    struct id ids[] = {each, latest};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        const json_t *runs = fixture_runs(&f, &ids[i]);
        struct id run = {{0}};
        memcpy(run.text, jget_str(json_array_get(runs, 0), "id", ""), ID_LEN);
        fixture_end_run(&f, run.text, ids[i].text);
    }
    fixture_wait_fired(&f, 6);
    record = fixture_get(&f, &each);
    assert_int_equal(jget_i64(record, "last_us", 0), fixture_instant("2026-03-04T10:03:00Z"));
    assert_int_equal(jget_i64(record, "active", 0), 2);
    assert_true(jget_bool(record, "waiting", false)); /* 10:04 is due already */
    record = fixture_get(&f, &latest);
    assert_int_equal(jget_i64(record, "last_us", 0), fixture_instant("2026-03-04T10:05:00Z"));
    assert_false(jget_bool(record, "waiting", true));
    struct ticker_counts counts;
    ticker_counts(f.ticker, &counts);
    assert_true(counts.outcomes[1] >= 2);

    /* A daemon that starts anew knows nothing of who waits. */
    fixture_stop_daemon(&f);
    fixture_start_daemon(&f);
    assert_int_equal(fixture_end_all(&f, &each), 2);
    fixture_wait_fired(&f, 2); /* 10:04, 10:05 */
    assert_int_equal(json_array_size(fixture_runs(&f, &each)), 5);
}

/* KFP's own test, TestRecurringRunApis_noCatchupOption. */
static void test_window_in_the_past(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *cron;
        int64_t interval_s;
        bool no_catchup;
        size_t runs;
    } rows[] = {
        {"cron, catch-up", "0 * * * * *", 0, false, 2},
        {"cron, no catch-up", "0 * * * * *", 0, true, 1},
        {"periodic, catch-up", NULL, 60, false, 2},
        {"periodic, no catch-up", NULL, 60, true, 1},
    };
    int64_t fired = 0;
    fixture_clock(&f, "2026-03-04T10:00:20Z");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct recurring_request req = fixture_request(rows[i].cron, rows[i].interval_s);
        req.no_catchup = rows[i].no_catchup;
        req.start_us = fixture_instant("2026-03-04T09:50:20Z");
        req.end_us = fixture_instant("2026-03-04T09:52:20Z");
        struct id id = fixture_create(&f, &req);
        fired += (int64_t)rows[i].runs;
        fixture_wait_fired(&f, fired);
        if (json_array_size(fixture_runs(&f, &id)) != rows[i].runs) {
            fail_msg("%s: %zu runs", rows[i].name, json_array_size(f.record));
        }
        assert_int_equal(jget_i64(fixture_get(&f, &id), "next_us", 1), 0);
    }
}

static void test_once(void **unused)
{
    (void)unused;
    struct recurring_request req = fixture_request(NULL, 0);
    struct id id = fixture_create(&f, &req);
    fixture_wait_fired(&f, 1);
    assert_int_equal(jget_i64(fixture_get(&f, &id), "next_us", 1), 0);
    harness_move_clock(&f.h, 3600 * US_PER_S);
    fixture_wait_fired(&f, 1);
}

/* ---- the script by itself ---- */

struct claim_row {
    const char *name;
    const char *rr;
    const char *from, *to;
    int64_t limit, due_us;
    const char *run;
    int64_t result;
};

static int64_t claim_result;

static void on_claim(void *owner, redisReply *reply, const struct err *err)
{
    claim_result = err == NULL && reply->elements == 2 ? reply_int(reply->element[1], -1) : -1;
    harness_on_reply(owner, reply, err);
}

static void claim_once(const struct claim_row *row, int64_t epoch)
{
    const char *prefix = store_id_prefix(f.h.store, row->rr);
    struct store_args *args = store_args_new();
    const char *const keys[] = {"epoch", "due", "progress", "born", "events"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        store_key(args, "%s%s", prefix, keys[i]);
    }
    store_arg_i(args, epoch);
    store_arg_i(args, clock_shift_us());
    store_arg_i(args, 1);
    store_arg(args, prefix);
    store_arg_i(args, 10);
    store_arg_i(args, 0);
    store_arg(args, row->rr);
    store_arg(args, "f");
    store_arg(args, row->from);
    store_arg_i(args, row->limit);
    store_arg_i(args, row->due_us);
    store_arg(args, row->to);
    store_arg_i(args, 0);
    store_arg(args, row->run);
    store_arg(args, "1 1 1 x y - {}");
    store_arg(args, "{}");
    f.h.answered = 0;
    store_eval(f.h.store, &script_claim, args, on_claim, &f.h);
    harness_wait(&f.h, &f.h.answered);
}

/* Events of one shard; a claim writes those of all its ticks as one entry. */
static int64_t event_count(const char *prefix)
{
    return harness_cmd(&f.h, "EVAL %s 1 %sevents",
        "local n = 0 for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do n = n + #e[2] "
        "/ 2 "
        "end return n",
        prefix);
}

static void test_claim_again(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    struct id id = fixture_create(&f, &req);
    char before[200], after[200];
    snprintf(before, sizeof before, "%s", jget_str(f.record, "progress", ""));
    fixture_clock(&f, "2026-03-04T10:01:00.1Z");
    fixture_wait_fired(&f, 1);
    snprintf(after, sizeof after, "%s", jget_str(fixture_get(&f, &id), "progress", ""));
    int64_t slot = fixture_instant("2026-03-04T10:01:00Z");
    char name[64];
    snprintf(name, sizeof(name), "tick/1/%" PRId64, slot);
    struct id run, other;
    id_derive(&run, id.text, name);
    id_derive(&other, id.text, "other");
    assert_string_equal(jget_str(json_array_get(fixture_runs(&f, &id), 0), "id", ""), run.text);

    int64_t next = slot + 60 * US_PER_S;
    const struct claim_row rows[] = {
        {"the same claim again", id.text, before, after, 10, slot, run.text, 1},
        {"stale", id.text, before, "1 1 2 0 0 0 0", 10, slot, other.text, 0},
        {"not yet due by Redis's clock", id.text, after, "x", 10, next, other.text, 5},
        {"as many as may be are active", id.text, after, "x", 1, slot, other.text, 2},
        {"not there", other.text, before, after, 10, slot, other.text, 3},
    };
    const char *prefix = store_id_prefix(f.h.store, id.text);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        claim_once(&rows[i], store_id_epoch(f.h.store, id.text));
        if (claim_result != rows[i].result) {
            fail_msg("%s: %" PRId64, rows[i].name, claim_result);
        }
        assert_int_equal(harness_cmd(&f.h, "ZCARD %sruns", prefix), 1);
        assert_int_equal(harness_cmd(&f.h, "HLEN %sborn", prefix), 0);
        assert_int_equal(event_count(prefix), 1);
    }
    claim_once(&rows[0], store_id_epoch(f.h.store, id.text) - 1);
    assert_int_equal(f.h.err.code, ERR_FENCED);
    assert_string_equal(jget_str(fixture_get(&f, &id), "progress", ""), after);
}

/* One whose keys are spoilt keeps nobody else from firing, and nothing of it is half written. */
static void test_spoilt_keys(void **unused)
{
    (void)unused;
    static const char *const spoil[] = {
        "SET %srun:%s spoilt", "SET %srr:%s:runs spoilt", "SET %srr:%s spoilt"};
    log_set(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
    for (size_t i = 0; i < ARRAY_LEN(spoil); i++) {
        fixture_clock(&f, "2026-03-04T10:00:00.5Z");
        struct recurring_request req = fixture_request("* * * * *", 0);
        struct id bad = fixture_create(&f, &req), good[20];
        const char *prefix = store_id_prefix(f.h.store, bad.text);
        for (size_t n = 0; n < ARRAY_LEN(good); n++) {
            do {
                good[n] = fixture_create(&f, &req);
            } while (good[n].text[1] != bad.text[1]); /* the same shard, the same claim */
        }
        char name[64];
        snprintf(name, sizeof(name), "tick/1/%" PRId64, fixture_instant("2026-03-04T10:01:00Z"));
        struct id run;
        id_derive(&run, bad.text, name);
        harness_cmd(&f.h, spoil[i], prefix, i == 0 ? run.text : bad.text);
        fixture_clock(&f, "2026-03-04T10:01:00.1Z");
        int64_t runs = 0;
        while (runs < (int64_t)ARRAY_LEN(good)) {
            harness_pass_ms(&f.h, 20);
            runs = harness_cmd(&f.h, "ZCARD %sruns", prefix);
        }
        harness_pass_ms(&f.h, 50);
        assert_int_equal(harness_cmd(&f.h, "ZCARD %sruns", prefix), ARRAY_LEN(good));
        assert_int_equal(harness_cmd(&f.h, "ZCARD %slive", prefix), ARRAY_LEN(good));
        /* Its firing stands, and its run comes to light when its keys have been repaired. */
        assert_int_equal(harness_cmd(&f.h, "HLEN %sborn", prefix), i < 2 ? 1 : 0);
        assert_int_equal(event_count(prefix), ARRAY_LEN(good) + (i < 2 ? 1 : 0));
        if (i == 0) {
            assert_int_equal(harness_cmd(&f.h, "EXISTS %srr:%s:runs", prefix, bad.text), 0);
        }
        fixture_done(&f);
        fixture_init(&f);
        log_set(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
    }
}

/* Redis has no memory left: nobody is told that a run that has fired does not exist, and as soon as
 * there is room they all get their records. */
static void test_no_memory(void **unused)
{
    (void)unused;
    enum { COUNT = 3 };
    struct id runs[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        id_new(&runs[i]);
        runs[i].text[0] = runs[i].text[1] = '0';
        harness_cmd(&f.h, "HSET %sborn %s %s", store_shard_prefix(f.h.store, 0), runs[i].text,
            "1 1 1 rr experiment - {}");
    }
    harness_cmd(&f.h, "CONFIG SET maxmemory 1");
    ticker_shard_look(f.ticker, 0);
    harness_pass_ms(&f.h, 200);
    assert_int_equal(harness_cmd(&f.h, "EXISTS %sruns", store_shard_prefix(f.h.store, 0)), 0);
    run_get(f.h.store, runs[0].text, false, fixture_on_record, &f);
    fixture_bad(&f, ERR_TRANSIENT, "OOM");
    harness_cmd(&f.h, "CONFIG SET maxmemory 0");
    int64_t limit = clock_mono_us() + 10 * US_PER_S;
    while (harness_cmd(&f.h, "ZCARD %sruns", store_shard_prefix(f.h.store, 0)) < COUNT) {
        assert_true(clock_mono_us() < limit);
        harness_pass_ms(&f.h, 10);
    }
    run_get(f.h.store, runs[0].text, false, fixture_on_record, &f);
    fixture_good(&f);
}

/* Another daemon has taken the shards over: this one fires nothing any more. */
static void test_fenced(void **unused)
{
    (void)unused;
    log_set(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    struct id id = fixture_create(&f, &req);
    harness_cmd(&f.h, "INCR %sepoch", store_id_prefix(f.h.store, id.text));
    fixture_clock(&f, "2026-03-04T10:03:00.5Z");
    harness_pass_ms(&f.h, 300);
    assert_int_equal(fixture_fired(&f), 0);
    assert_int_equal(json_array_size(fixture_runs(&f, &id)), 0);
    /* People may ask any daemon: whoever carries the shard on is told. */
    recurring_set_enabled(f.ticker, id.text, false, fixture_on_record, &f);
    fixture_good(&f);
    recurring_set_enabled(f.ticker, id.text, true, fixture_on_record, &f);
    fixture_good(&f);
    assert_int_equal(harness_cmd(&f.h, "GET %sknocks", store_id_prefix(f.h.store, id.text)), 2);
    harness_cmd(&f.h, "LINDEX %sknocks:ids -1", store_id_prefix(f.h.store, id.text));
    char *expected CLEANUP(cleanup_free) = xasprintf("recurring %s", id.text);
    assert_string_equal(f.h.text, expected);
    fixture_clock(&f, "2026-03-04T10:06:00.5Z");
    harness_pass_ms(&f.h, 300);
    assert_int_equal(fixture_fired(&f), 0);
    /* It comes back as the owner and goes on where it was. */
    fixture_stop_daemon(&f);
    fixture_start_daemon(&f);
    fixture_wait_fired(&f, 3);
}

static void test_redis_stops(void **unused)
{
    (void)unused;
    enum { COUNT = 50 };
    struct id ids[COUNT];
    log_set(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    for (int i = 0; i < COUNT; i++) {
        ids[i] = fixture_create(&f, &req);
    }
    fixture_clock(&f, "2026-03-04T10:01:00.5Z");
    /* In the middle of it. */
    while (fixture_fired(&f) == 0) {
        loop_turn(f.h.loop, true);
    }
    harness_stop_redis(&f.h);
    fixture_clock(&f, "2026-03-04T10:03:00.5Z");
    harness_pass_ms(&f.h, 1000);
    harness_start_redis(&f.h);
    int64_t limit = clock_mono_us() + HARNESS_LIMIT_US;
    int64_t indexes = 0;
    while (indexes < COUNT * 3 && clock_mono_us() < limit) {
        harness_pass_ms(&f.h, 200);
        indexes = 0;
        for (int i = 0; i < COUNT; i++) {
            recurring_get(f.ticker, ids[i].text, fixture_on_record, &f);
            fixture_answer(&f);
            indexes += f.record == NULL ? 0 : jget_i64(f.record, "index", 0);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        check_slots(&ids[i], "after redis", fixture_instant("2026-03-04T10:01:00Z"), 60, 3);
    }
}

/* ---- follow latest ---- */

static struct plan *plan_of(const char *image)
{
    char *text CLEANUP(cleanup_free) = xasprintf(
        "{\"components\":{\"comp-a\":{\"executorLabel\":\"exec-a\"}},"
        "\"deploymentSpec\":{\"executors\":{\"exec-a\":{\"container\":{"
        "\"image\":\"%s\",\"command\":[\"echo\"]}}}},\"pipelineInfo\":{\"name\":\"tiny\"},"
        "\"root\":{\"dag\":{\"tasks\":{\"a\":{\"componentRef\":{\"name\":\"comp-a\"},"
        "\"taskInfo\":{\"name\":\"a\"}}}}},\"schemaVersion\":\"2.1.0\","
        "\"sdkVersion\":\"kfp-2.17.0\"}",
        image);
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile(text, strlen(text), &complaints);
    assert_non_null(plan);
    complaints_done(&complaints);
    return plan;
}

static void add_version(const char *pipeline, const char *name, char id_out[ID_LEN + 1])
{
    struct plan *plan = plan_of(name);
    struct version_input in = {.pipeline_id = pipeline, .name = name, .plan = plan};
    version_create(f.catalog, &in, fixture_on_record, &f);
    fixture_good(&f);
    snprintf(id_out, ID_LEN + 1, "%s", jget_str(f.record, "id", ""));
    plan_unref(plan);
}

static void test_follow_latest(void **unused)
{
    (void)unused;
    log_set(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct pipeline_input in = {.name = "tiny"};
    pipeline_create(f.catalog, &in, NULL, fixture_on_record, &f);
    fixture_good(&f);
    char pipeline[ID_LEN + 1], first[ID_LEN + 1], second[ID_LEN + 1], third[ID_LEN + 1];
    snprintf(pipeline, sizeof(pipeline), "%s", jget_str(f.record, "id", ""));
    add_version(pipeline, "one", first);
    struct recurring_request req = fixture_request("* * * * *", 0);
    req.spec = NULL;
    req.pipeline_id = pipeline;
    struct id id = fixture_create(&f, &req);
    struct id twin = fixture_create(&f, &req); /* due together: one question for both */
    add_version(pipeline, "two", second);
    fixture_clock(&f, "2026-03-04T10:01:00.5Z");
    fixture_wait_fired(&f, 2);
    const json_t *run = json_array_get(fixture_runs(&f, &twin), 0);
    assert_string_equal(jget_str(run, "version_id", ""), second);
    run = json_array_get(fixture_runs(&f, &id), 0);
    assert_string_equal(jget_str(run, "version_id", ""), second);
    assert_string_equal(jget_str(run, "pipeline_id", ""), pipeline);
    assert_string_equal(jget_str(run, "pipeline_name", ""), "tiny");
    assert_int_equal(strlen(jget_str(run, "spec", "")), 64);
    recurring_delete(f.ticker, twin.text, fixture_on_record, &f);
    fixture_good(&f);

    version_delete(f.catalog, first, fixture_on_record, &f);
    fixture_good(&f);
    version_delete(f.catalog, second, fixture_on_record, &f);
    fixture_good(&f);
    fixture_clock(&f, "2026-03-04T10:02:00.5Z");
    struct ticker_counts counts = {0};
    while (counts.failed == 0) {
        loop_turn(f.h.loop, true);
        ticker_counts(f.ticker, &counts);
    }
    const json_t *record;
    do {
        record = fixture_get(&f, &id); /* it is written right after */
    } while (jget_str(record, "error", "")[0] == '\0');
    assert_non_null(strstr(jget_str(record, "error", ""), pipeline));
    add_version(pipeline, "three", third);
    fixture_clock(&f, "2026-03-04T10:02:40Z");
    fixture_wait_fired(&f, 3);
    run = json_array_get(fixture_runs(&f, &id), 1);
    assert_string_equal(jget_str(run, "version_id", ""), third);
    assert_int_equal(jget_i64(run, "scheduled_us", 0), fixture_instant("2026-03-04T10:02:00Z"));
    assert_string_equal(jget_str(fixture_get(&f, &id), "error", "x"), "");
}

/* ---- many ---- */

static void on_counted(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    if (err != NULL) {
        fail_msg("%s", err->msg);
    }
    (*(int *)owner)++;
}

static void create_many(const struct recurring_request *req, int count)
{
    int created = 0;
    for (int i = 0; i < count; i++) {
        recurring_create(f.ticker, req, on_counted, &created);
        if (i - created > 500) {
            loop_turn(f.h.loop, true);
        }
    }
    while (created < count) {
        loop_turn(f.h.loop, true);
    }
}

static void test_ten_thousand_at_once(void **unused)
{
    (void)unused;
    enum { COUNT = 10000 };
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("0 12 * * *", 0);
    create_many(&req, COUNT);
    fixture_clock(&f, "2026-03-04T12:00:00Z");
    int64_t begin = clock_mono_us();
    fixture_wait_fired(&f, COUNT);
    print_message("%d fired in %" PRId64 " ms\n", COUNT, (clock_mono_us() - begin) / US_PER_MS);
    int64_t runs = 0, events = 0, live = 0, born = 1;
    while (born > 0) { /* firing comes first */
        harness_pass_ms(&f.h, 20);
        born = 0;
        for (unsigned i = 0; i < 16; i++) {
            born += harness_cmd(&f.h, "HLEN %sborn", store_shard_prefix(f.h.store, i));
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        const char *prefix = store_shard_prefix(f.h.store, i);
        runs += harness_cmd(&f.h, "ZCARD %sruns", prefix);
        live += harness_cmd(&f.h, "ZCARD %slive", prefix);
        events += event_count(prefix);
    }
    assert_int_equal(runs, COUNT);
    assert_int_equal(live, COUNT);
    assert_int_equal(events, COUNT);
    assert_int_equal(map_count(f.ticker->entries), 0); /* due tomorrow: not in memory */
}

/* No more than allowed are in memory, and all fire nevertheless. */
static void test_memory_is_bounded(void **unused)
{
    (void)unused;
    enum { COUNT = 1500 };
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    f.ticker->loaded_max = 20;
    struct recurring_request req = fixture_request("0 12 * * *", 0);
    create_many(&req, COUNT);
    fixture_clock(&f, "2026-03-04T12:00:00Z");
    while (fixture_fired(&f) < COUNT) {
        assert_true(map_count(f.ticker->entries) <= 20 * 16);
        loop_turn(f.h.loop, true);
    }
    fixture_wait_fired(&f, COUNT);
}

/* Starting does not read what is not due soon. */
static void test_start_with_many(void **unused)
{
    (void)unused;
    enum { COUNT = 100000 };
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    struct id id = fixture_create(&f, &req);
    fixture_stop_daemon(&f);
    f.h.store = harness_store(&f.h);
    harness_take_over(&f.h);
    for (unsigned shard = 0; shard < 16; shard++) {
        harness_cmd(&f.h, "EVAL %s 0 %s %d %d",
            "for i = 1, tonumber(ARGV[2]) do "
            "local id = string.format('%02x000000-0000-4000-8000-%012x', ARGV[3], i) "
            "redis.call('SET', ARGV[1] .. 'rr:' .. id, '{}') "
            "redis.call('HSET', ARGV[1] .. 'progress', id, '1 1 0 0 0 2000000000000000 0') "
            "redis.call('ZADD', ARGV[1] .. 'rrs', i, id) "
            "redis.call('ZADD', ARGV[1] .. 'due', '2000000000000000', id) end "
            "redis.call('HINCRBY', ARGV[1] .. 'rr_counts', 'enabled', ARGV[2]) return 1",
            store_shard_prefix(f.h.store, shard), COUNT / 16, (int)shard);
    }
    fixture_clock(&f, "2026-03-04T10:01:00Z");
    f.catalog = catalog_new(f.h.loop, f.h.store);
    int64_t begin = clock_mono_us();
    fixture_start_ticker(&f);
    while (fixture_fired(&f) < 1) {
        loop_turn(f.h.loop, true);
    }
    int64_t took_ms = (clock_mono_us() - begin) / US_PER_MS;
    print_message("first fire after %" PRId64 " ms\n", took_ms);
    assert_true(took_ms < 20000);
    assert_true(map_count(f.ticker->entries) <= 1);
    struct ticker_counts counts;
    ticker_counts(f.ticker, &counts);
    assert_int_equal(counts.recurring_runs, COUNT + 1);
    assert_int_equal(counts.enabled, COUNT + 1);
    assert_int_equal(json_array_size(fixture_runs(&f, &id)), 1);
}

/* One that catches up does not keep others waiting: it has a turn, then those due meanwhile. */
static void test_catch_up_takes_turns(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    ticker_free(f.ticker);
    struct ticker_settings settings = {
        .loop = f.h.loop,
        .store = f.h.store,
        .catalog = f.catalog,
        .claim_batch = 1,
    };
    f.ticker = ticker_new(&settings);
    struct recurring_request behind = fixture_request("* * * * *", 0);
    struct recurring_request live = fixture_request("10 * * * *", 0);
    struct id a = fixture_create(&f, &behind), b;
    do {
        b = fixture_create(&f, &live);
        if (b.text[1] != a.text[1]) {
            recurring_delete(f.ticker, b.text, fixture_on_record, &f);
            fixture_good(&f);
        }
    } while (b.text[1] != a.text[1]); /* the same shard */
    fixture_clock(&f, "2026-03-04T10:10:01Z");
    ticker_start(f.ticker, fixture_on_started, &f);
    fixture_wait_fired(&f, 11);
    int64_t live_at = jget_i64(json_array_get(fixture_runs(&f, &b), 0), "created_us", 0);
    const json_t *runs = fixture_runs(&f, &a);
    size_t before = 0;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        before += jget_i64(json_array_get(runs, i), "created_us", 0) < live_at;
    }
    assert_int_equal(before, 1);
}

/* The clock is set back: what has fired does not fire again. */
static void test_clock_set_back(void **unused)
{
    (void)unused;
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    struct id id = fixture_create(&f, &req);
    fixture_clock(&f, "2026-03-04T10:02:00.5Z");
    fixture_wait_fired(&f, 2);
    fixture_clock(&f, "2026-03-04T08:00:00Z");
    fixture_wait_fired(&f, 2);
    fixture_clock(&f, "2026-03-04T10:03:00.5Z");
    fixture_wait_fired(&f, 3);
    check_slots(&id, "set back", fixture_instant("2026-03-04T10:01:00Z"), 60, 3);
}

static void on_events(void *owner, unsigned shard)
{
    *(int *)owner |= 1 << shard;
}

static void test_event_and_lateness(void **unused)
{
    (void)unused;
    int shards = 0;
    ticker_on_events(f.ticker, on_events, &shards);
    fixture_clock(&f, "2026-03-04T10:00:59.5Z");
    struct recurring_request req = fixture_request("* * * * *", 0);
    req.name = "say \"hi\" \xc3\xa9";
    json_t *parameters = json_pack("{s:s, s:i}", "when", "[[ScheduledTime]]", "n", 3);
    req.parameters = parameters;
    struct id id = fixture_create(&f, &req);
    fixture_wait_fired(&f, 1); /* by the timer, in real time */
    assert_int_equal(shards, 1 << id_shard(id.text, 16));
    const char *prefix = store_id_prefix(f.h.store, id.text);
    harness_cmd(&f.h, "EVAL %s 1 %sevents", /* claimed ahead, so its run tells of it */
        "local entry = redis.call('XRANGE', KEYS[1], '-', '+')[1][1] "
        "return table.concat(redis.call('HGETALL', (KEYS[1]:gsub('events', 'told:' .. entry))))",
        prefix);
    char run_id[ID_LEN + 1];
    snprintf(run_id, sizeof run_id, "%s", f.h.text);
    json_t *event =
        run_born_event(run_id, f.h.text + ID_LEN, fixture_instant("2026-03-04T10:01:00.25Z"));
    assert_non_null(event);
    const json_t *data = json_object_get(event, "data");
    assert_string_equal(jget_str(event, "type", ""), "recurring_run.fired");
    assert_true(id_is_valid(jget_str(event, "id", "")));
    assert_string_equal(jget_str(data, "recurring_run_id", ""), id.text);
    assert_string_equal(jget_str(data, "recurring_run_name", ""), req.name);
    assert_string_equal(jget_str(data, "experiment_id", ""), EXPERIMENT);
    assert_string_equal(jget_str(data, "pipeline_name", ""), "tiny");
    assert_int_equal(jget_i64(data, "index", 0), 1);
    assert_int_equal(jget_i64(data, "scheduled_us", 0), fixture_instant("2026-03-04T10:01:00Z"));
    assert_int_equal(jget_i64(data, "lateness_us", -1), 250 * US_PER_MS);
    assert_int_equal(jget_i64(event, "time_us", 0), fixture_instant("2026-03-04T10:01:00.25Z"));
    const json_t *run = json_array_get(fixture_runs(&f, &id), 0);
    assert_string_equal(jget_str(run, "name", ""), "say \"hi\" \xc3\xa9-1");
    assert_string_equal(jget_str(data, "run_name", ""), "say \"hi\" \xc3\xa9-1");
    assert_string_equal(jget_str(data, "run_id", ""), jget_str(run, "id", "?"));
    assert_true(json_equal(json_object_get(run, "parameters"), parameters));
    assert_string_equal(jget_str(json_object_get(run, "trigger"), "kind", ""), "schedule");
    assert_string_equal(
        jget_str(json_array_get(json_object_get(run, "history"), 0), "state", ""), "PENDING");
    json_decref(event);
    json_decref(parameters);
    struct ticker_counts counts;
    ticker_counts(f.ticker, &counts);
    int64_t total = 0;
    for (size_t i = 0; i < ARRAY_LEN(counts.lateness_buckets); i++) {
        total += counts.lateness_buckets[i];
    }
    assert_int_equal(total, 1);
}

/* A pace: all fire in the end, none before its turn, and no shard waits for another one's backlog.
 */
static void test_pace(void **unused)
{
    (void)unused;
    enum { COUNT = 40 };
    ticker_free(f.ticker);
    struct ticker_settings settings = {
        .loop = f.h.loop,
        .store = f.h.store,
        .catalog = f.catalog,
        .max_fires_per_s = 50,
    };
    f.ticker = ticker_new(&settings);
    f.started = 0;
    ticker_start(f.ticker, fixture_on_started, &f);
    harness_wait(&f.h, &f.started);
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    struct recurring_request req = fixture_request("1 10 * * *", 0);
    create_many(&req, COUNT);
    int64_t begin = clock_mono_us();
    fixture_clock(&f, "2026-03-04T10:01:00Z");
    fixture_wait_fired(&f, COUNT);
    assert_true(clock_mono_us() - begin >= (COUNT - 5) * US_PER_S / 50 - 30 * US_PER_MS);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_slot_once),
        TEST(test_concurrency_waits),
        TEST(test_window_in_the_past),
        TEST(test_once),
        TEST(test_claim_again),
        TEST(test_spoilt_keys),
        TEST(test_no_memory),
        TEST(test_fenced),
        TEST(test_redis_stops),
        TEST(test_follow_latest),
        TEST(test_ten_thousand_at_once),
        TEST(test_memory_is_bounded),
        TEST(test_start_with_many),
        TEST(test_catch_up_takes_turns),
        TEST(test_clock_set_back),
        TEST(test_pace),
        TEST(test_event_and_lateness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
