/* SPDX-License-Identifier: Apache-2.0 */
/* Which slot fires, which comes after it, and what enabling forgets. Pure: no Redis, no clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/recurring.h"
#include "trigger/schedule_cache.h"
#include "trigger/slots.h"

static int64_t at(const char *text)
{
    int64_t us;
    struct err err = ERR_INIT;
    if (text == NULL) {
        return 0;
    }
    if (clock_parse(text, &us, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return us;
}

static struct schedule *schedule_of(const char *cron, int64_t interval_s)
{
    struct err err = ERR_INIT;
    struct schedule *schedule = NULL;
    if (cron != NULL) {
        schedule = schedule_parse_cron(cron, NULL, &err);
    } else if (interval_s > 0) {
        schedule = schedule_new_interval(interval_s, &err);
    }
    if (err.code != ERR_NONE) {
        fail_msg("%s", err.msg);
    }
    return schedule;
}

/* How many fire, one after the other, as of now; the last of them in *last. */
static int fires_by(const struct schedule *schedule, const struct schedule_window *window,
    int64_t now_us, int64_t *last)
{
    struct slot_state state = {.next_us = slot_first(schedule, window, now_us)};
    int count = 0;
    while (state.next_us > 0 && state.next_us <= now_us && count < 1000) {
        state.last_us = slot_due(schedule, window, &state, now_us);
        state.next_us = slot_after(schedule, window, state.last_us, now_us);
        *last = state.last_us;
        count++;
    }
    return count;
}

/* KFP's own test: a window of two minutes in the past, every minute. */
static void test_kfp_catchup(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *cron;
        int64_t interval_s;
        bool no_catchup;
        int fires;
    } rows[] = {
        {"cron, catch-up", "0 * * * * *", 0, false, 2},
        {"cron, no catch-up", "0 * * * * *", 0, true, 1},
        {"periodic, catch-up", NULL, 60, false, 2},
        {"periodic, no catch-up", NULL, 60, true, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct schedule *schedule = schedule_of(rows[i].cron, rows[i].interval_s);
        int64_t now = at("2026-03-04T10:30:20Z"), last = 0;
        struct schedule_window window = {
            .start_us = now - 10 * 60 * US_PER_S,
            .end_us = now - 8 * 60 * US_PER_S,
            .created_us = now,
            .no_catchup = rows[i].no_catchup,
        };
        int fires = fires_by(schedule, &window, now, &last);
        if (fires != rows[i].fires) {
            fail_msg("%s: %d fires instead of %d", rows[i].name, fires, rows[i].fires);
        }
        schedule_free(schedule);
    }
}

static void test_once(void **unused)
{
    (void)unused;
    int64_t now = at("2026-03-04T10:30:20Z"), last = 0;
    struct schedule_window window = {.created_us = now};
    assert_int_equal(fires_by(NULL, &window, now + 5 * US_PER_S, &last), 1);
    assert_int_equal(last, now);
}

static void test_resume(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *cron;
        int64_t interval_s;
        const char *last, *start, *end, *now, *next;
    } rows[] = {
        {"cron: the missed slots are forgotten", "*/5 * * * *", 0, "2026-03-04T10:00:00Z", NULL,
            NULL, "2026-03-04T12:02:00Z", "2026-03-04T12:05:00Z"},
        {"cron: nothing missed, nothing changes", "*/5 * * * *", 0, "2026-03-04T10:00:00Z", NULL,
            NULL, "2026-03-04T10:02:00Z", "2026-03-04T10:05:00Z"},
        {"interval: the phase is kept", NULL, 600, "2026-03-04T10:03:00Z", NULL, NULL,
            "2026-03-04T12:00:00Z", "2026-03-04T12:03:00Z"},
        {"interval: due right now is past", NULL, 600, "2026-03-04T10:00:00Z", NULL, NULL,
            "2026-03-04T12:00:00Z", "2026-03-04T12:10:00Z"},
        {"start has not come", "0 * * * *", 0, NULL, "2026-03-05T00:30:00Z", NULL,
            "2026-03-04T12:00:00Z", "2026-03-05T01:00:00Z"},
        {"interval, start has not come", NULL, 3600, NULL, "2026-03-05T00:30:00Z", NULL,
            "2026-03-04T12:00:00Z", "2026-03-05T01:30:00Z"},
        {"end has passed meanwhile", "0 * * * *", 0, "2026-03-04T10:00:00Z", NULL,
            "2026-03-04T11:30:00Z", "2026-03-04T12:00:00Z", NULL},
        {"interval: end has passed meanwhile", NULL, 3600, "2026-03-04T10:00:00Z", NULL,
            "2026-03-04T11:30:00Z", "2026-03-04T12:00:00Z", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct schedule *schedule = schedule_of(rows[i].cron, rows[i].interval_s);
        struct schedule_window window = {
            .start_us = at(rows[i].start),
            .end_us = at(rows[i].end),
            .created_us = at("2026-03-04T09:00:00Z"),
        };
        struct slot_state state = {.last_us = at(rows[i].last)};
        slot_resume(schedule, &window, &state, at(rows[i].now));
        if (state.next_us != at(rows[i].next)) {
            char text[CLOCK_TEXT_MAX];
            fail_msg("%s: next is %s", rows[i].name, clock_format_s(state.next_us, text));
        }
        schedule_free(schedule);
    }
}

static void test_once_resumed_fires(void **unused)
{
    (void)unused;
    int64_t created = at("2026-03-04T09:00:00Z");
    struct schedule_window window = {.created_us = created};
    struct slot_state state = {0};
    slot_resume(NULL, &window, &state, created + 3600 * US_PER_S);
    assert_int_equal(state.next_us, created);
    state.last_us = created;
    slot_resume(NULL, &window, &state, created + 3600 * US_PER_S);
    assert_int_equal(state.next_us, 0);
}

/* A schedule of every second that was away for a year answers at once. */
static void test_collapse_is_quick(void **unused)
{
    (void)unused;
    struct schedule *schedule = schedule_of("* * * * * *", 0);
    int64_t last = at("2025-03-04T10:00:00Z"), now = at("2026-03-04T10:00:00Z");
    struct schedule_window window = {.created_us = last, .no_catchup = true};
    struct slot_state state = {.last_us = last, .next_us = last + US_PER_S};
    clock_t begin = clock(); /* of the processor: others may have it meanwhile */
    assert_int_equal(slot_due(schedule, &window, &state, now), now);
    assert_true(clock() - begin < CLOCKS_PER_SEC / 10);
    schedule_free(schedule);
}

static void test_preview(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *record;
        size_t n;
        const char *first;
        size_t count;
    } rows[] = {
        {"goes on from the stored slot",
            "{\"cron\":\"0 0 * * *\",\"enabled\":true,\"next_us\":1772755200000000}", 3,
            "2026-03-06T00:00:00Z", 3},
        {"a disabled one, as if enabled now",
            "{\"cron\":\"0 0 * * "
            "*\",\"enabled\":false,\"last_us\":1772150400000000,\"next_us\":1772"
            "236800000000}",
            2, "2026-03-05T00:00:00Z", 2},
        {"missed ones collapse without catch-up",
            "{\"cron\":\"0 * * * *\",\"enabled\":true,\"no_catchup\":true,\"last_us\":"
            "1772571600000000,\"next_us\":1772575200000000}",
            2, "2026-03-04T12:00:00Z", 2},
        {"until the end",
            "{\"cron\":\"0 0 * * *\",\"enabled\":true,\"next_us\":1772755200000000,"
            "\"end_us\":1772841600000000}",
            10, "2026-03-06T00:00:00Z", 2},
        {"never again", "{\"cron\":\"0 0 * * *\",\"enabled\":true,\"next_us\":0}", 5, NULL, 0},
        {"fires once",
            "{\"created_us\":1772755200000000,\"enabled\":true,\"next_us\":"
            "1772755200000000}",
            5, "2026-03-06T00:00:00Z", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *record = json_loads(rows[i].record, 0, NULL);
        json_t *list = recurring_preview(record, at("2026-03-04T12:30:00Z"), rows[i].n);
        if (json_array_size(list) != rows[i].count) {
            fail_msg("%s: %zu instants", rows[i].name, json_array_size(list));
        }
        int64_t first = json_integer_value(json_array_get(list, 0));
        if (first != at(rows[i].first)) {
            char text[CLOCK_TEXT_MAX];
            fail_msg("%s: first is %s", rows[i].name, clock_format_s(first, text));
        }
        json_decref(list);
        json_decref(record);
    }
}

static void test_schedules_are_shared(void **unused)
{
    (void)unused;
    struct schedule_cache *cache = schedule_cache_new();
    struct err err = ERR_INIT;
    json_t *daily = json_pack("{s:s, s:s}", "cron", "@daily", "time_zone", "UTC");
    json_t *interval = json_pack("{s:i}", "interval_s", 60);
    struct shared_schedule *a = schedule_cache_get(cache, daily, &err);
    struct shared_schedule *b = schedule_cache_get(cache, daily, &err);
    struct shared_schedule *c = schedule_cache_get(cache, interval, &err);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_int_equal(schedule_cache_count(cache), 2);
    schedule_cache_put(a);
    schedule_cache_put(c);
    assert_int_equal(schedule_cache_count(cache), 1);
    schedule_cache_put(b);
    assert_int_equal(schedule_cache_count(cache), 0);
    schedule_cache_free(cache);
    json_decref(daily);
    json_decref(interval);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kfp_catchup),
        cmocka_unit_test(test_once),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_once_resumed_fires),
        cmocka_unit_test(test_collapse_is_quick),
        cmocka_unit_test(test_preview),
        cmocka_unit_test(test_schedules_are_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
