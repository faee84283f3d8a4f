/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of ticks, through the ticker and a real redis-server with a moved clock: overlap,
 * catch-up, pauses, edits, firing by hand, and the defects that users of other schedulers have met.
 */
#include "trigger_fixture.h"

#include "base/buf.h"
#include "trigger/policy.h"
#include "trigger/tick.h"
#include "trigger/ticker.h"

static struct fixture f;

static int setup(void **unused)
{
    (void)unused;
    fixture_init(&f);
    fixture_clock(&f, "2026-03-04T10:00:00.5Z");
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    fixture_done(&f);
    return 0;
}

/* ---- words ---- */

/* Every minute, with these members; "10:00" of 4 March is now. */
static struct id minutely(const char *members)
{
    json_t *more = json_loads(members, 0, NULL);
    assert_non_null(more);
    struct recurring_request req = fixture_request("* * * * *", 0);
    req.max_concurrency = 1;
    req.more = more;
    struct id id = fixture_create(&f, &req);
    json_decref(more);
    return id;
}

static void clock_at(const char *time)
{
    char text[40];
    snprintf(text, sizeof text, "2026-03-04T%sZ", time);
    fixture_clock(&f, text);
}

static int64_t outcome_count(enum tick_outcome outcome)
{
    struct ticker_counts counts;
    ticker_counts(f.ticker, &counts);
    return outcome == TICK_FIRED ? counts.fired : counts.outcomes[outcome];
}

/* Turn the loop until so many ticks ended so since the ticker started, and then not one more. */
static void wait_outcome(enum tick_outcome outcome, int64_t count)
{
    int64_t limit = clock_mono_us() + HARNESS_LIMIT_US;
    while (outcome_count(outcome) < count && clock_mono_us() < limit) {
        loop_turn(f.h.loop, true);
    }
    harness_pass_ms(&f.h, 20);
    if (outcome_count(outcome) != count) {
        fail_msg("%lld %s instead of %lld", (long long)outcome_count(outcome),
            tick_outcome_name(outcome), (long long)count);
    }
}

static void add_time(struct buf *out, int64_t us)
{
    char text[CLOCK_TEXT_MAX];
    clock_format_s(us, text);
    /* The day only where it is another one. */
    buf_addf(out, "%.*s", 8, text + 11);
    if (strncmp(text, "2026-03-04", 10) != 0) {
        buf_addf(out, "(%.5s)", text + 5);
    }
}

/* Its ledger, oldest first: "10:01:00 fired, 10:02:00-10:03:00 skipped-window 2 catchup last". */
static void check_ledger(const struct id *rr, const char *want)
{
    recurring_ticks(f.ticker, rr->text, fixture_on_record, &f);
    fixture_good(&f);
    struct buf out;
    buf_init(&out, 1 << 16);
    for (size_t i = json_array_size(f.record); i > 0; i--) {
        const json_t *line = json_array_get(f.record, i - 1);
        const json_t *detail = json_object_get(line, "detail");
        int64_t to_us = jget_i64(detail, "to_us", 0), count = jget_i64(detail, "count", 1);
        add_time(&out, jget_i64(line, "scheduled_us", 0));
        if (count > 1) {
            buf_addc(&out, '-');
            add_time(&out, to_us);
        }
        buf_addf(&out, " %s", jget_str(line, "outcome", "?"));
        if (count > 1) {
            buf_addf(&out, " %lld", (long long)count);
        }
        const char *why = jget_str(detail, "why", "");
        buf_addf(&out, "%s%s%s", why[0] != '\0' ? " " : "", why, i > 1 ? ", " : "");
    }
    if (strcmp(buf_str(&out), want) != 0) {
        fail_msg("the ledger is\n  %s\ninstead of\n  %s", buf_str(&out), want);
    }
    buf_done(&out);
}

static void check_next(const struct id *rr, const char *time)
{
    char text[40];
    snprintf(text, sizeof text, "%s%sZ", strchr(time, 'T') == NULL ? "2026-03-04T" : "", time);
    assert_int_equal(jget_i64(fixture_get(&f, rr), "next_us", 0), fixture_instant(text));
}

/* The first tick that is to come, as people are told. */
static void check_preview(const json_t *record, const char *time)
{
    char text[40];
    snprintf(text, sizeof text, "2026-03-04T%sZ", time);
    json_t *ticks = recurring_explain(record, clock_now_us(), 1);
    assert_string_equal(jget_str(json_array_get(ticks, 0), "time", ""), text);
    json_decref(ticks);
}

/* The run of this slot. */
static struct id run_at(const struct id *rr, const char *time)
{
    char text[40];
    struct id id = {{0}};
    snprintf(text, sizeof text, "2026-03-04T%sZ", time);
    const json_t *runs = fixture_runs(&f, rr);
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        if (jget_i64(run, "scheduled_us", 0) == fixture_instant(text)) {
            memcpy(id.text, jget_str(run, "id", ""), ID_LEN);
        }
    }
    assert_true(id_is_valid(id.text));
    return id;
}

static void end_at(const struct id *rr, const char *time, const char *state)
{
    struct id run = run_at(rr, time);
    fixture_end_run_as(&f, run.text, rr->text, state);
}

static const char *state_of(const struct id *run)
{
    run_get(f.h.store, run->text, false, fixture_on_record, &f);
    fixture_good(&f);
    return jget_str(f.record, "state", "");
}

static void wait_state(const struct id *run, const char *state)
{
    int64_t limit = clock_mono_us() + HARNESS_LIMIT_US;
    while (strcmp(state_of(run), state) != 0) {
        if (clock_mono_us() > limit) {
            fail_msg("the run is %s instead of %s", state_of(run), state);
        }
        harness_pass_ms(&f.h, 5);
    }
}

/* The daemon dies. Calls about runs that were sent cannot be taken back and end by themselves;
 * nobody acts on their answers any more. */
static void restart(void)
{
    ticker_free(STEAL(f.ticker));
    harness_cmd(&f.h, "PING"); /* answers come in order; run_all() asks twice */
    harness_cmd(&f.h, "PING");
    harness_cmd(&f.h, "PING");
    fixture_stop_daemon(&f);
    fixture_start_daemon(&f);
}

static void edit(const struct id *rr, const char *changes)
{
    json_t *members = json_loads(changes, 0, NULL);
    assert_non_null(members);
    recurring_edit(f.ticker, rr->text, members, fixture_on_record, &f);
    json_decref(members);
    fixture_good(&f);
}

static void enable(const struct id *rr, bool is_enabled)
{
    recurring_set_enabled(f.ticker, rr->text, is_enabled, fixture_on_record, &f);
    fixture_good(&f);
}

/* Events of this kind about it that are in its shard's stream. */
static int64_t events_of(const struct id *rr, const char *type, const char *outcome)
{
    char pattern[64], other[64];
    snprintf(pattern, sizeof pattern, "\"type\":\"recurring_run.%s\"", type);
    snprintf(other, sizeof other, "\"outcome\":\"%s\"", outcome);
    return harness_cmd(&f.h, "EVAL %s 1 %sevents %s %s %s",
        "local n = 0 for _, e in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do for i = 2, "
        "#e[2], 2 do local t = e[2][i] if t:find(ARGV[1], 1, true) and t:find(ARGV[2], 1, true) "
        "and "
        "t:find(ARGV[3], 1, true) then n = n + 1 end end end return n",
        store_id_prefix(f.h.store, rr->text), rr->text, pattern, other);
}

/* ---- overlap ---- */

static void test_skip(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"skip\"}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:03:01");
    wait_outcome(TICK_SKIPPED_OVERLAP, 2);
    end_at(&rr, "10:01:00", "SUCCEEDED");
    clock_at("10:04:01");
    fixture_wait_fired(&f, 2);
    check_ledger(
        &rr, "10:01:00 fired, 10:02:00 skipped-overlap, 10:03:00 skipped-overlap, 10:04:00 fired");
    assert_int_equal(events_of(&rr, "skipped", "skipped-overlap"), 2);
}

static void test_buffer_one(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"buffer_one\"}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:03:01");
    wait_outcome(TICK_SKIPPED_OVERLAP, 1);
    end_at(&rr, "10:01:00", "SUCCEEDED");
    fixture_wait_fired(&f, 2);
    end_at(&rr, "10:02:00", "SUCCEEDED");
    clock_at("10:04:01");
    fixture_wait_fired(&f, 3);
    check_ledger(&rr, "10:01:00 fired, 10:02:00 waiting, 10:03:00 skipped-overlap, 10:02:00 fired, "
                      "10:04:00 fired");
}

/* Those that wait fire in order, before any that is due; the buffer is bounded; a daemon that
 * starts anew finds them. */
static void test_buffer_all(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"buffer_all\",\"buffer_max\":2}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:05:01");
    wait_outcome(TICK_DROPPED_BUFFER, 2);
    json_t *queue = recurring_queue(fixture_get(&f, &rr), clock_now_us(), 10);
    assert_int_equal(json_array_size(queue), 2);
    assert_int_equal(
        json_integer_value(json_array_get(queue, 0)), fixture_instant("2026-03-04T10:02:00Z"));
    json_decref(queue);
    restart();
    end_at(&rr, "10:01:00", "SUCCEEDED");
    fixture_wait_fired(&f, 1);
    clock_at("10:06:01");
    wait_outcome(TICK_WAITING, 1);
    for (int i = 0; i < 3; i++) {
        fixture_wait_fired(&f, i + 1);
        assert_int_equal(fixture_end_all(&f, &rr), 1);
    }
    check_ledger(&rr,
        "10:01:00 fired, 10:02:00 waiting, 10:03:00 waiting, 10:04:00 dropped-buffer, "
        "10:05:00 dropped-buffer, 10:02:00 fired, 10:06:00 waiting, 10:03:00 fired, "
        "10:06:00 fired");
    check_next(&rr, "10:07:00");
}

static void test_cancel_other(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"cancel_other\"}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:02:01");
    wait_outcome(TICK_WAITING, 1);
    struct id first = run_at(&rr, "10:01:00");
    wait_state(&first, "CANCELING");
    clock_at("10:03:01"); /* the first is slow to end: the newer one takes the place in the queue */
    wait_outcome(TICK_WAITING, 2);
    fixture_end_run_as(&f, first.text, rr.text, "CANCELED");
    fixture_wait_fired(&f, 2);
    check_ledger(&rr,
        "10:01:00 fired, 10:02:00 waiting, 10:02:00 skipped-overlap, 10:03:00 waiting, "
        "10:03:00 fired");
}

/* A place is free: nobody has to go. */
static void test_cancel_other_with_places(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"cancel_other\",\"max_concurrency\":2}");
    clock_at("10:02:01");
    fixture_wait_fired(&f, 2);
    harness_pass_ms(&f.h, 50);
    struct id first = run_at(&rr, "10:01:00");
    assert_string_equal(state_of(&first), "PENDING");
    clock_at("10:03:01");
    wait_outcome(TICK_WAITING, 1);
    wait_state(&first, "CANCELING");
}

static void test_terminate_other(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"terminate_other\"}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:02:01");
    fixture_wait_fired(&f, 2);
    struct id first = run_at(&rr, "10:01:00"), second = run_at(&rr, "10:02:00");
    wait_state(&first, "CANCELING");
    assert_string_equal(state_of(&second), "PENDING");
}

static void test_allow(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"allow\"}");
    clock_at("10:04:01");
    fixture_wait_fired(&f, 4);
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "active", 0), 4);
}

/* The daemon dies after the claim and before it has asked the other runs to end: the next one asks,
 * long before the next tick. */
static void check_asked_after_death(const char *members, enum tick_outcome outcome)
{
    struct id rr = minutely(members);
    edit(&rr, "{\"cron\":\"30 * * * *\"}");
    clock_at("10:30:01");
    fixture_wait_fired(&f, 1);
    struct id first = run_at(&rr, "10:30:00");
    int64_t want = outcome_count(outcome) + 1;
    clock_at("11:30:01");
    while (outcome_count(outcome) < want) {
        loop_turn(f.h.loop, true);
    }
    restart();
    wait_state(&first, "CANCELING");
    check_next(&rr, "12:30:00");
    clock_at("11:40:00");
    restart();
    if (outcome == TICK_FIRED) {
        struct id second = run_at(&rr, "11:30:00");
        assert_string_equal(state_of(&second), "PENDING");
    }
}

static void test_death_before_asking_to_cancel(void **unused)
{
    (void)unused;
    check_asked_after_death("{\"overlap\":\"cancel_other\"}", TICK_WAITING);
}

static void test_death_before_asking_to_terminate(void **unused)
{
    (void)unused;
    check_asked_after_death("{\"overlap\":\"terminate_other\"}", TICK_FIRED);
}

/* ---- catch-up ---- */

static void test_after_an_absence(void **unused)
{
    (void)unused;
    static const struct {
        const char *members, *ledger;
        int64_t fired;
    } rows[] = {
        {"{\"catchup\":\"all\"}", "10:01:00 fired, 10:02:00 fired, 10:03:00 fired, 10:04:00 fired",
            3},
        {"{\"catchup\":\"last\"}",
            "10:01:00 fired, 10:02:00-10:03:00 skipped-window 2 catchup last, 10:04:00 fired", 1},
        {"{\"catchup\":\"first\"}",
            "10:01:00 fired, 10:03:00-10:04:00 skipped-window 2 catchup first, 10:02:00 fired", 1},
        {"{\"catchup\":\"none\"}",
            "10:01:00 fired, 10:02:00-10:03:00 skipped-window 2 catchup none, 10:04:00 fired", 1},
        {"{\"catchup_window_s\":100}",
            "10:01:00 fired, 10:02:00 skipped-window older than the window, 10:03:00 fired, "
            "10:04:00 fired",
            2},
    };
    struct id ids[ARRAY_LEN(rows)];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ids[i] = minutely(rows[i].members);
        edit(&ids[i], "{\"max_concurrency\":10}");
    }
    clock_at("10:01:01");
    fixture_wait_fired(&f, ARRAY_LEN(rows));
    fixture_stop_daemon(&f);
    clock_at("10:04:30");
    fixture_start_daemon(&f);
    int64_t fired = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fired += rows[i].fired;
    }
    fixture_wait_fired(&f, fired);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check_ledger(&ids[i], rows[i].ledger);
        check_next(&ids[i], "10:05:00");
        assert_int_equal(events_of(&ids[i], "missed", "skipped-window"), i == 0 ? 0 : 1);
    }
    assert_int_equal(outcome_count(TICK_SKIPPED_WINDOW), 7);
}

/* kubernetes/kubernetes#42649: more than a hundred were missed, and it never fired again. */
static void test_a_week_of_missed_ticks(void **unused)
{
    (void)unused;
    struct id last = minutely("{\"catchup\":\"last\"}"), none = minutely("{\"catchup\":\"none\"}");
    edit(&last, "{\"max_concurrency\":10}");
    edit(&none, "{\"max_concurrency\":10}");
    fixture_stop_daemon(&f);
    fixture_clock(&f, "2026-03-11T10:00:30Z");
    fixture_start_daemon(&f);
    fixture_wait_fired(&f, 2);
    check_ledger(&last, "10:01:00-09:59:00(03-11) skipped-window 10079 catchup last, "
                        "10:00:00(03-11) fired");
    check_ledger(&none, "10:01:00-09:59:00(03-11) skipped-window 10079 catchup none, "
                        "10:00:00(03-11) fired");
    fixture_clock(&f, "2026-03-11T10:01:01Z");
    fixture_wait_fired(&f, 4);
}

/* ---- pauses ---- */

static void test_pause_until(void **unused)
{
    (void)unused;
    struct id rr = minutely("{}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    end_at(&rr, "10:01:00", "SUCCEEDED");
    recurring_pause(f.ticker, rr.text, "moving", "ann", fixture_instant("2026-03-04T10:05:30Z"),
        fixture_on_record, &f);
    fixture_good(&f);
    clock_at("10:03:01");
    restart();
    clock_at("10:05:29");
    fixture_wait_fired(&f, 0);
    const json_t *pause = json_object_get(fixture_get(&f, &rr), "pause");
    assert_string_equal(jget_str(pause, "note", ""), "moving");
    assert_string_equal(jget_str(pause, "by", ""), "ann");
    check_preview(f.record, "10:06:00");
    clock_at("10:05:31");
    harness_pass_ms(&f.h, 50);
    assert_true(jget_bool(fixture_get(&f, &rr), "enabled", false));
    assert_null(json_object_get(f.record, "pause"));
    clock_at("10:06:01");
    fixture_wait_fired(&f, 1);
    check_ledger(&rr, "10:01:00 fired, 10:02:00-10:05:00 skipped-paused 4 paused, 10:06:00 fired");
}

static void test_pause_drops_what_waits(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"buffer_all\"}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:03:01");
    wait_outcome(TICK_WAITING, 2);
    enable(&rr, false);
    end_at(&rr, "10:01:00", "SUCCEEDED");
    clock_at("10:04:01");
    enable(&rr, true);
    fixture_wait_fired(&f, 1);
    check_ledger(&rr, "10:01:00 fired, 10:02:00 waiting, 10:03:00 waiting, 10:02:00-10:03:00 "
                      "dropped-buffer 2 paused, 10:04:00 skipped-paused paused");
}

/* Nobody was there at the end of the pause: what came due after it was missed, not paused. */
static void test_pause_that_ended_during_an_absence(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"catchup\":\"all\",\"overlap\":\"allow\"}");
    recurring_pause(
        f.ticker, rr.text, "", "", fixture_instant("2026-03-04T10:03:00Z"), fixture_on_record, &f);
    fixture_good(&f);
    fixture_stop_daemon(&f);
    clock_at("10:04:30");
    fixture_start_daemon(&f);
    fixture_wait_fired(&f, 2);
    check_ledger(&rr, "10:01:00-10:02:00 skipped-paused 2 paused, 10:03:00 fired, 10:04:00 fired");
}

/* A slot whose place in the window comes after the pause was not due during it. */
static void test_pause_before_the_place_in_the_window(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"spread_s\":3000}");
    edit(&rr, "{\"cron\":\"0 * * * *\"}");
    int64_t due_us =
        fixture_instant("2026-03-04T11:00:00Z") + recurring_offset_us(fixture_get(&f, &rr));
    harness_move_clock(&f.h, due_us - 10 * US_PER_S - clock_now_us());
    enable(&rr, false);
    enable(&rr, true);
    harness_move_clock(&f.h, due_us + US_PER_MS - clock_now_us());
    fixture_wait_fired(&f, 1);
    check_ledger(&rr, "11:00:00 fired");
}

/* A backfill is all past: a pause only holds it up. */
static void test_pause_of_a_backfill(void **unused)
{
    (void)unused;
    struct recurring_request req = fixture_request("* * * * *", 0);
    req.max_concurrency = 1;
    req.start_us = fixture_instant("2026-03-04T09:00:00Z");
    req.end_us = fixture_instant("2026-03-04T09:03:00Z");
    req.more = json_pack("{s:s}", "backfill_of", EXPERIMENT);
    struct id rr = fixture_create(&f, &req);
    json_decref((json_t *)req.more);
    wait_outcome(TICK_WAITING, 1);
    enable(&rr, false);
    assert_int_equal(fixture_end_all(&f, &rr), 1);
    fixture_wait_fired(&f, 1);
    restart();
    enable(&rr, true);
    fixture_wait_fired(&f, 1);
    assert_int_equal(fixture_end_all(&f, &rr), 1);
    fixture_wait_fired(&f, 2);
    assert_int_equal(outcome_count(TICK_SKIPPED_PAUSED), 0);
    run_at(&rr, "09:02:00");
    run_at(&rr, "09:03:00");
}

/* One that waits at its slot is dropped by the pause, and told of at once. */
static void test_pause_drops_what_waits_at_its_slot(void **unused)
{
    (void)unused;
    struct id rr = minutely("{}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:02:01");
    wait_outcome(TICK_WAITING, 1);
    clock_at("10:03:01");
    enable(&rr, false);
    end_at(&rr, "10:01:00", "SUCCEEDED");
    clock_at("10:04:01");
    enable(&rr, true);
    fixture_wait_fired(&f, 1);
    check_ledger(&rr,
        "10:01:00 fired, 10:02:00 waiting, 10:02:00-10:03:00 dropped-buffer 2 paused, "
        "10:04:00 skipped-paused paused");
    check_next(&rr, "10:05:00");
}

/* More than are counted one by one: the range tells where it ends all the same. */
static void test_pause_of_many_ticks(void **unused)
{
    (void)unused;
    struct id rr = minutely("{}");
    edit(&rr, "{\"cron\":\"* * * * * *\"}");
    enable(&rr, false);
    fixture_clock(&f, "2026-03-06T10:00:00.5Z");
    enable(&rr, true);
    recurring_ticks(f.ticker, rr.text, fixture_on_record, &f);
    fixture_good(&f);
    const json_t *detail = json_object_get(json_array_get(f.record, 0), "detail");
    assert_int_equal(jget_i64(detail, "count", 0), 100000);
    assert_true(jget_bool(detail, "at_least", false));
    assert_int_equal(jget_i64(detail, "to_us", 0), fixture_instant("2026-03-06T10:00:00Z"));
}

static void test_pause_after_failures(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"pause_after_failures\":2}");
    static const struct {
        const char *time, *state;
        bool is_enabled;
    } rows[] = {{"10:01:00", "FAILED", true}, {"10:02:00", "SUCCEEDED", true},
        {"10:03:00", "FAILED", true}, {"10:04:00", "FAILED", false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[16];
        snprintf(text, sizeof text, "%.6s01", rows[i].time);
        clock_at(text);
        fixture_wait_fired(&f, (int64_t)i + 1);
        end_at(&rr, rows[i].time, rows[i].state);
        harness_pass_ms(&f.h, 50);
        if (jget_bool(fixture_get(&f, &rr), "enabled", false) != rows[i].is_enabled) {
            fail_msg("after %s", rows[i].time);
        }
    }
    const json_t *pause = json_object_get(f.record, "pause");
    assert_string_equal(jget_str(pause, "note", ""), "2 runs in a row have failed");
    clock_at("10:06:01");
    fixture_wait_fired(&f, 4);
    enable(&rr, true);
    clock_at("10:07:01");
    fixture_wait_fired(&f, 5);
    end_at(&rr, "10:07:00", "FAILED"); /* counted from the start again */
    clock_at("10:08:01");
    fixture_wait_fired(&f, 6);
}

/* Two runs that failed while no daemon looked: nothing fires at the start. */
static void test_failures_are_found_at_the_start(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"pause_after_failures\":1}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    struct id run = run_at(&rr, "10:01:00");
    ticker_stop(f.ticker);
    fixture_end_run_as(&f, run.text, rr.text, "FAILED");
    fixture_stop_daemon(&f);
    clock_at("10:02:01");
    fixture_start_daemon(&f);
    harness_pass_ms(&f.h, 100);
    assert_false(jget_bool(fixture_get(&f, &rr), "enabled", true));
    fixture_wait_fired(&f, 0);
}

/* kubeflow/pipelines#8344: a resumed schedule ran all the days it was disabled. */
static void test_resume_does_not_replay(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"catchup\":\"all\"}");
    enable(&rr, false);
    clock_at("15:00:30");
    enable(&rr, true);
    fixture_wait_fired(&f, 0);
    assert_int_equal(outcome_count(TICK_SKIPPED_PAUSED), 300);
    restart();
    fixture_wait_fired(&f, 0);
    check_ledger(&rr, "10:01:00-15:00:00 skipped-paused 300 paused");
    assert_int_equal(events_of(&rr, "skipped", "skipped-paused"), 1);
    check_next(&rr, "15:01:00");
}

/* ---- skipping, limits, spread ---- */

static struct ticker_counts counted;

/* Counted at once: the next look at the shard puts numbers right that a change got wrong. */
static void on_skipped(void *owner, const json_t *record, const struct err *err)
{
    ticker_counts(f.ticker, &counted);
    fixture_on_record(owner, record, err);
}

static void test_skip_the_next(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"max_fires\":2,\"overlap\":\"allow\"}");
    recurring_skip(f.ticker, rr.text, 2, on_skipped, &f);
    fixture_good(&f);
    assert_int_equal(counted.enabled, 1); /* as many as before */
    clock_at("10:09:01");
    fixture_wait_fired(&f, 2);
    check_ledger(&rr, "10:01:00 skipped-requested, 10:02:00 skipped-requested, 10:03:00 fired, "
                      "10:04:00 fired");
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "next_us", 1), 0);
    recurring_skip(f.ticker, rr.text, -1, fixture_on_record, &f);
    fixture_bad(&f, ERR_INVALID, "n: it is -1");
}

/* The last fire: those that wait get their lines. */
static void test_max_fires_with_a_queue(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"buffer_all\",\"max_fires\":2}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:04:01");
    wait_outcome(TICK_WAITING, 3);
    end_at(&rr, "10:01:00", "SUCCEEDED");
    fixture_wait_fired(&f, 2);
    check_ledger(&rr, "10:01:00 fired, 10:02:00 waiting, 10:03:00 waiting, 10:04:00 waiting, "
                      "10:03:00-10:04:00 dropped-buffer 2 max_fires, 10:02:00 fired");
    assert_int_equal(outcome_count(TICK_DROPPED_BUFFER), 2);
    assert_int_equal(events_of(&rr, "skipped", "dropped-buffer"), 1);
}

/* What is over stays so when it is enabled or gets another schedule, and goes on with more fires.
 */
static void test_max_fires_and_changes(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"allow\",\"max_fires\":1}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    enable(&rr, false);
    enable(&rr, true);
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "next_us", 1), 0);
    edit(&rr, "{\"cron\":\"* * * * 0-6\"}");
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "next_us", 1), 0);
    clock_at("10:03:01");
    fixture_wait_fired(&f, 1);
    edit(&rr, "{\"max_fires\":3}");
    check_next(&rr, "10:04:00");
    clock_at("10:04:01");
    fixture_wait_fired(&f, 2);
    edit(&rr, "{\"max_fires\":2}");
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "next_us", 1), 0);
    clock_at("10:05:01");
    fixture_wait_fired(&f, 2);
    edit(&rr, "{\"max_fires\":0}");
    check_next(&rr, "10:06:00");
    check_ledger(&rr, "10:01:00 fired, 10:04:00 fired");
}

static void test_spread(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"spread_s\":3000}");
    int64_t offset_us = recurring_offset_us(fixture_get(&f, &rr));
    int64_t slot_us = fixture_instant("2026-03-04T10:01:00Z");
    harness_move_clock(&f.h, slot_us + offset_us - 10 * US_PER_S - clock_now_us());
    fixture_wait_fired(&f, 0);
    check_preview(fixture_get(&f, &rr), "10:01:00");
    edit(&rr, "{\"catchup\":\"last\"}"); /* nothing is missed */
    check_preview(fixture_get(&f, &rr), "10:01:00");
    restart();
    harness_move_clock(&f.h, slot_us + offset_us + US_PER_MS - clock_now_us());
    fixture_wait_fired(&f, 1);
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "last_us", 0), slot_us);
}

/* ---- edits ---- */

/* argoproj/argo-workflows#7182: a schedule that was edited fired a tick of the past;
 * dagster-io/dagster#13597: it ran yesterday's once more. */
static void test_an_edit_never_fires_the_past(void **unused)
{
    (void)unused;
    struct recurring_request req = fixture_request("30 10 * * *", 0);
    struct id rr = fixture_create(&f, &req);
    clock_at("10:30:01");
    fixture_wait_fired(&f, 1);
    clock_at("12:00:00");
    edit(&rr, "{\"cron\":\"0 9 * * *\"}"); /* has passed today */
    fixture_wait_fired(&f, 1);
    check_next(&rr, "2026-03-05T09:00:00");
    edit(&rr, "{\"cron\":\"30 10 * * *\"}"); /* has fired today */
    edit(&rr, "{\"start_us\":1}");
    edit(&rr, "{\"cron\":\"\",\"interval_s\":3600,\"catchup\":\"all\"}");
    fixture_wait_fired(&f, 1);
    restart();
    fixture_wait_fired(&f, 0);
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "generation", 0), 5);
    assert_true(jget_i64(f.record, "next_us", 0) > clock_now_us());
}

/* The edit comes while the daemon is behind: what was due before is in the ledger and does not
 * fire. */
static void test_an_edit_while_behind(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"buffer_all\"}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:02:01");
    wait_outcome(TICK_WAITING, 1);
    ticker_stop(f.ticker); /* nothing is claimed any more */
    clock_at("10:05:01");
    edit(&rr, "{\"cron\":\"*/2 * * * *\"}");
    fixture_stop_daemon(&f);
    fixture_start_daemon(&f);
    assert_int_equal(fixture_end_all(&f, &rr), 1);
    fixture_wait_fired(&f, 0);
    clock_at("10:06:01");
    fixture_wait_fired(&f, 1);
    check_ledger(&rr,
        "10:01:00 fired, 10:02:00 waiting, 10:03:00-10:05:00 skipped-window 3 edited, "
        "10:02:00 dropped-buffer edited, 10:06:00 fired");
    assert_int_equal(events_of(&rr, "missed", "skipped-window"), 1);
    assert_int_equal(events_of(&rr, "skipped", "dropped-buffer"), 1);
}

/* PrefectHQ/prefect#18894: an edit beside the firing doubled a run. The same instant in two
 * generations fires once. */
static void test_an_edit_beside_the_firing(void **unused)
{
    (void)unused;
    for (int turns = 0; turns < 6; turns++) {
        clock_at("10:00:30");
        struct id rr = minutely("{\"overlap\":\"allow\"}");
        json_t *changes = json_pack("{s:s}", "cron", "* * * * 0-6");
        clock_at("10:01:00.001");
        for (int i = 0; i < turns; i++) {
            loop_turn(f.h.loop, false);
        }
        recurring_edit(f.ticker, rr.text, changes, fixture_on_record, &f);
        fixture_good(&f);
        json_decref(changes);
        harness_pass_ms(&f.h, 30);
        size_t of_the_first = json_array_size(fixture_runs(&f, &rr));
        assert_in_range(of_the_first, 0, 1);
        check_ledger(&rr, of_the_first == 1 ? "10:01:00 fired" : "10:01:00 skipped-window edited");
        check_next(&rr, "10:02:00");
        recurring_delete(f.ticker, rr.text, fixture_on_record, &f);
        fixture_good(&f);
    }
}

/* taskforcesh/bullmq#3063: removed and made again, it never fired again. */
static void test_made_again(void **unused)
{
    (void)unused;
    for (int64_t i = 1; i <= 3; i++) {
        char text[16];
        struct id rr = minutely("{\"overlap\":\"skip\"}");
        snprintf(text, sizeof text, "10:0%d:01", (int)i);
        clock_at(text);
        fixture_wait_fired(&f, i);
        recurring_delete(f.ticker, rr.text, fixture_on_record, &f);
        fixture_good(&f);
    }
}

/* Several wait under the old policy; under the new one the newest takes the place of all of them.
 */
static void test_an_edit_to_cancel_other(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"buffer_all\"}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 1);
    clock_at("10:03:01");
    wait_outcome(TICK_WAITING, 2);
    edit(&rr, "{\"overlap\":\"cancel_other\"}");
    clock_at("10:04:01");
    wait_outcome(TICK_WAITING, 3);
    check_ledger(&rr, "10:01:00 fired, 10:02:00 waiting, 10:03:00 waiting, 10:02:00-10:03:00 "
                      "skipped-overlap 2, 10:04:00 waiting");
    assert_int_equal(outcome_count(TICK_SKIPPED_OVERLAP), 2);
}

static void test_an_edit_while_paused(void **unused)
{
    (void)unused;
    struct id rr = minutely("{}");
    enable(&rr, false);
    clock_at("10:02:30");
    edit(&rr, "{\"cron\":\"30 * * * *\"}");
    check_ledger(&rr, "10:01:00-10:02:00 skipped-paused 2 edited");
}

/* More may be active now: what waits starts at once. */
static void test_a_higher_limit(void **unused)
{
    (void)unused;
    struct id queue = minutely("{}"), buffer = minutely("{\"overlap\":\"buffer_all\"}");
    clock_at("10:01:01");
    fixture_wait_fired(&f, 2);
    clock_at("10:02:01");
    wait_outcome(TICK_WAITING, 2);
    edit(&queue, "{\"max_concurrency\":2}");
    fixture_wait_fired(&f, 3);
    edit(&buffer, "{\"max_concurrency\":2}");
    fixture_wait_fired(&f, 4);
    assert_int_equal(jget_i64(fixture_get(&f, &queue), "generation", 0), 1);
}

/* ---- never one too many ---- */

/* apache/airflow#56646, hashicorp/nomad#11052: more ran at once than may, after the leader changed.
 * The daemon dies at every turn of the loop that there is; after each step as many as may be are
 * active. */
static void test_never_one_too_many(void **unused)
{
    (void)unused;
    static const char *const members[] = {"{\"max_concurrency\":3}",
        "{\"max_concurrency\":3,\"overlap\":\"buffer_all\"}",
        "{\"max_concurrency\":3,\"overlap\":\"skip\",\"catchup\":\"last\"}"};
    struct id ids[ARRAY_LEN(members)];
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        ids[i] = minutely(members[i]);
    }
    for (int turns = 0; turns < 12; turns++) {
        char text[16];
        snprintf(text, sizeof text, "10:%02u:01", (5U + (unsigned)turns) % 60);
        clock_at(text);
        for (int i = 0; i < turns; i++) {
            loop_turn(f.h.loop, false);
        }
        restart();
        harness_pass_ms(&f.h, 30);
        for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
            recurring_fire(f.ticker, ids[i].text, NULL, "skip", fixture_on_record, &f);
            fixture_answer(&f);
            recurring_ticks(
                f.ticker, ids[i].text, fixture_on_record, &f); /* all have records now */
            fixture_good(&f);
            const json_t *runs = fixture_runs(&f, &ids[i]);
            int64_t live = 0;
            for (size_t k = 0; k < json_array_size(runs); k++) {
                live += strcmp(jget_str(json_array_get(runs, k), "state", ""), "PENDING") == 0;
            }
            assert_in_range(live, 1, 3);
            assert_in_range(jget_i64(fixture_get(&f, &ids[i]), "active", 0), live, 3);
        }
        for (size_t i = 0; i < ARRAY_LEN(ids) && turns % 3 == 2; i++) {
            assert_in_range(fixture_end_all(&f, &ids[i]), 1, 3);
        }
    }
}

/* ---- each tick once ---- */

#define MINUTES 6

/* Of each slot from 10:01 on: how it has ended, all in one line of the ledger; a run for each that
 * fired. */
static void check_accounts(const char *name, const struct id *rr)
{
    int ends[MINUTES + 1] = {0}, waits[MINUTES + 1] = {0}, fired = 0;
    recurring_ticks(f.ticker, rr->text, fixture_on_record, &f);
    fixture_good(&f);
    for (size_t i = 0; i < json_array_size(f.record); i++) {
        const json_t *line = json_array_get(f.record, i);
        const char *outcome = jget_str(line, "outcome", "");
        int64_t us = jget_i64(line, "scheduled_us", 0) - fixture_instant("2026-03-04T10:00:00Z");
        int64_t minute = us / (60 * US_PER_S);
        assert_in_range(minute, 1, MINUTES);
        assert_int_equal(jget_i64(json_object_get(line, "detail"), "count", 1), 1);
        bool is_waiting = strcmp(outcome, "waiting") == 0;
        (is_waiting ? waits : ends)[minute]++;
        fired += strcmp(outcome, "fired") == 0;
    }
    for (int i = 1; i <= MINUTES; i++) {
        if (ends[i] != 1 || waits[i] > 1) {
            fail_msg(
                "%s: minute %d has ended %d times and waited %d times", name, i, ends[i], waits[i]);
        }
    }
    if ((int)json_array_size(fixture_runs(&f, rr)) != fired) {
        fail_msg("%s: %d fired, and there are %zu runs", name, fired, json_array_size(f.record));
    }
}

/* The daemon dies again and again, after each number of turns of its loop: under every policy each
 * tick ends in one way, and a run that two ticks could claim is there once. */
static void test_each_tick_ends_once(void **unused)
{
    (void)unused;
    static const char *const names[] = {
        "queue", "skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow"};
    struct id ids[ARRAY_LEN(names)];
    for (int turns = 0; turns < 7; turns++) {
        clock_at("10:00:30");
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            char members[64];
            snprintf(members, sizeof members, "{\"overlap\":\"%s\",\"buffer_max\":2}", names[i]);
            ids[i] = minutely(members);
        }
        for (unsigned minute = 1; minute <= MINUTES; minute++) {
            char text[16];
            snprintf(text, sizeof text, "10:%02u:00.1", minute % 60);
            clock_at(text);
            for (int i = 0; i < turns; i++) {
                loop_turn(f.h.loop, false);
            }
            restart();
            harness_pass_ms(&f.h, 15);
        }
        for (int i = 0; i < MINUTES; i++) { /* those that wait, one after the other */
            int ended = 0;
            for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
                recurring_ticks(f.ticker, ids[k].text, fixture_on_record, &f);
                fixture_good(&f);
                const json_t *runs = json_deep_copy(fixture_runs(&f, &ids[k]));
                for (size_t r = 0; r < json_array_size(runs); r++) {
                    const json_t *run = json_array_get(runs, r);
                    if (strcmp(jget_str(run, "state", ""), "SUCCEEDED") != 0) {
                        fixture_end_run(&f, jget_str(run, "id", ""), ids[k].text);
                        ended++;
                    }
                }
                json_decref((json_t *)runs);
            }
            harness_pass_ms(&f.h, 15);
            if (ended == 0) {
                break;
            }
        }
        for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
            check_accounts(names[i], &ids[i]);
            recurring_delete(f.ticker, ids[i].text, fixture_on_record, &f);
            fixture_good(&f);
        }
    }
}

/* ---- by hand ---- */

static const char *fire(const struct id *rr, const char *request_id, const char *overlap)
{
    recurring_fire(f.ticker, rr->text, request_id, overlap, fixture_on_record, &f);
    fixture_good(&f);
    return jget_str(f.record, "run_id", "");
}

static void test_fire(void **unused)
{
    (void)unused;
    struct id rr = minutely("{\"overlap\":\"skip\"}"), run;
    id_derive(&run, rr.text, "manual/again");
    assert_string_equal(fire(&rr, "again", NULL), run.text);
    assert_string_equal(fire(&rr, "again", "skip"), run.text);
    restart();
    assert_string_equal(fire(&rr, "again", NULL), run.text);
    assert_int_equal(json_array_size(fixture_runs(&f, &rr)), 1);
    assert_int_equal(jget_i64(json_array_get(f.record, 0), "index", 7), 0);
    /* It counts, and moves nothing. */
    assert_int_equal(jget_i64(fixture_get(&f, &rr), "active", 0), 1);
    assert_int_equal(jget_i64(f.record, "index", 7), 0);
    check_next(&rr, "10:01:00");
    recurring_fire(f.ticker, rr.text, "other", "skip", fixture_on_record, &f);
    fixture_bad(&f, ERR_PRECONDITION, "max_concurrency allows 1");
    clock_at("10:01:01");
    wait_outcome(TICK_SKIPPED_OVERLAP, 1);
    struct id second = {{0}};
    memcpy(second.text, fire(&rr, "other", "cancel_other"), ID_LEN);
    wait_state(&run, "CANCELING");
    assert_string_equal(state_of(&second), "PENDING");
    fixture_end_run(&f, run.text, rr.text);
    fixture_end_run(&f, second.text, rr.text);
    clock_at("10:02:01");
    fixture_wait_fired(&f, 1);
    recurring_fire(f.ticker, rr.text, "x", "queue", fixture_on_record, &f);
    fixture_bad(&f, ERR_INVALID, "overlap");
    recurring_fire(f.ticker, rr.text, "a b", NULL, fixture_on_record, &f);
    fixture_bad(&f, ERR_INVALID, "request_id");
    recurring_fire(f.ticker, EXPERIMENT, NULL, NULL, fixture_on_record, &f);
    fixture_bad(&f, ERR_NOT_FOUND, EXPERIMENT);
}

/* A run that was started by hand takes the only place: its end lets the next tick go on. */
static void test_a_tick_waits_for_what_was_fired_by_hand(void **unused)
{
    (void)unused;
    struct id rr = minutely("{}");
    fire(&rr, NULL, NULL);
    clock_at("10:01:01");
    wait_outcome(TICK_WAITING, 1);
    assert_int_equal(fixture_end_all(&f, &rr), 1);
    fixture_wait_fired(&f, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_skip),
        TEST(test_buffer_one),
        TEST(test_buffer_all),
        TEST(test_cancel_other),
        TEST(test_cancel_other_with_places),
        TEST(test_terminate_other),
        TEST(test_allow),
        TEST(test_death_before_asking_to_cancel),
        TEST(test_death_before_asking_to_terminate),
        TEST(test_after_an_absence),
        TEST(test_a_week_of_missed_ticks),
        TEST(test_pause_until),
        TEST(test_pause_drops_what_waits),
        TEST(test_pause_that_ended_during_an_absence),
        TEST(test_pause_before_the_place_in_the_window),
        TEST(test_pause_of_a_backfill),
        TEST(test_pause_drops_what_waits_at_its_slot),
        TEST(test_pause_of_many_ticks),
        TEST(test_pause_after_failures),
        TEST(test_failures_are_found_at_the_start),
        TEST(test_resume_does_not_replay),
        TEST(test_skip_the_next),
        TEST(test_max_fires_with_a_queue),
        TEST(test_max_fires_and_changes),
        TEST(test_spread),
        TEST(test_an_edit_never_fires_the_past),
        TEST(test_an_edit_while_behind),
        TEST(test_an_edit_beside_the_firing),
        TEST(test_made_again),
        TEST(test_an_edit_to_cancel_other),
        TEST(test_an_edit_while_paused),
        TEST(test_a_higher_limit),
        TEST(test_never_one_too_many),
        TEST(test_each_tick_ends_once),
        TEST(test_fire),
        TEST(test_a_tick_waits_for_what_was_fired_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
