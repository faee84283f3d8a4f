/* SPDX-License-Identifier: Apache-2.0 */
/* Which slot comes next: KFP's rules for start, end, what was missed and one-off runs. */
#include "scheduler/schedule.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Times in seconds after 2026-01-01T00:00:00Z; 0 means "not set". */
#define BASE_S INT64_C(1767225600)
#define NONE (-1)

struct row {
    const char *name;
    const char *cron;   /* NULL: see interval */
    int64_t interval_s; /* 0 and no cron: one-off */
    int64_t created, start, end, last, now;
    bool no_catchup;
    int64_t want;
};

#define EVERY_MINUTE "* * * * *"

static const struct row rows[] = {
    /* name, cron, interval, created, start, end, last, now, no_catchup, want */
    {"cron: first after creation", EVERY_MINUTE, 0, 90, 0, 0, 0, 95, false, 120},
    {"cron: creation itself does not fire", EVERY_MINUTE, 0, 120, 0, 0, 0, 120, false, 180},
    {"cron: start replaces creation", EVERY_MINUTE, 0, 90, 630, 0, 0, 95, false, 660},
    {"cron: a start that matches does not fire", EVERY_MINUTE, 0, 90, 600, 0, 0, 95, false, 660},
    {"cron: a start in the past is caught up", EVERY_MINUTE, 0, 9000, 600, 0, 0, 9000, false, 660},
    {"cron: ... or not", EVERY_MINUTE, 0, 9000, 600, 0, 0, 9000, true, 9000},
    {"cron: start moved behind the last slot", EVERY_MINUTE, 0, 90, 6000, 0, 120, 130, false, 6060},
    {"cron: after the last slot", EVERY_MINUTE, 0, 90, 0, 0, 120, 130, false, 180},
    {"cron: missed slots one by one", EVERY_MINUTE, 0, 90, 0, 0, 120, 3000, false, 180},
    {"cron: missed slots collapse", EVERY_MINUTE, 0, 90, 0, 0, 120, 3010, true, 3000},
    {"cron: the slot of now counts", EVERY_MINUTE, 0, 90, 0, 0, 120, 3000, true, 3000},
    {"cron: nothing missed, nothing changes", EVERY_MINUTE, 0, 90, 0, 0, 120, 130, true, 180},
    {"cron: end is inclusive", EVERY_MINUTE, 0, 90, 0, 180, 120, 130, false, 180},
    {"cron: after the end", EVERY_MINUTE, 0, 90, 0, 179, 120, 130, false, NONE},
    {"cron: end before start", EVERY_MINUTE, 0, 90, 600, 300, 0, 130, false, NONE},
    {"cron: collapse stops at the end", EVERY_MINUTE, 0, 90, 0, 600, 120, 9000, true, 600},
    {"cron: then it is over", EVERY_MINUTE, 0, 90, 0, 600, 600, 9000, true, NONE},
    {"cron: KFP's own test, window 2 min ago", EVERY_MINUTE, 0, 1000, 870, 990, 0, 1000, true, 960},
    {"cron: a year of missed seconds is one search", "* * * * * *", 0, 90, 0, 0, 120, 31536000,
        true, 31536000},
    {"cron: a missed day", "30 9 * * *", 0, 90, 0, 0, 120, 86400 * 3 + 40000, true,
        86400 * 3 + 34200},
    {"@every keeps its phase when it collapses", "@every 90s", 0, 10, 0, 0, 100, 1000, true,
        910 + 90},
    {"@every: later", "@every 90s", 0, 10, 0, 0, 100, 999, true, 910},
    {"@every: first is one interval after creation", "@every 90s", 0, 10, 0, 0, 0, 20, false, 100},
    {"interval: first is one interval after creation", NULL, 60, 10, 0, 0, 0, 20, false, 70},
    {"interval: first is one interval after start", NULL, 60, 10, 600, 0, 0, 20, false, 660},
    {"interval: start moved behind the last slot fires", NULL, 60, 10, 600, 0, 70, 80, false, 600},
    {"interval: after the last slot", NULL, 60, 10, 0, 0, 70, 80, false, 130},
    {"interval: missed slots one by one", NULL, 60, 10, 0, 0, 70, 8000, false, 130},
    {"interval: less than one late keeps the phase", NULL, 60, 10, 0, 0, 70, 189, true, 130},
    {"interval: one late moves the phase to now", NULL, 60, 10, 0, 0, 70, 190, true, 190},
    {"interval: much later too", NULL, 60, 10, 0, 0, 70, 8765, true, 8765},
    {"interval: moved to the end when that is past", NULL, 60, 10, 0, 700, 70, 8765, true, 700},
    {"interval: then it is over", NULL, 60, 10, 0, 700, 700, 8765, true, NONE},
    {"interval: end is inclusive", NULL, 60, 10, 0, 130, 70, 80, false, 130},
    {"interval: after the end", NULL, 60, 10, 0, 129, 70, 80, false, NONE},
    {"one-off: at creation", NULL, 0, 10, 0, 0, 0, 20, false, 10},
    {"one-off: only once", NULL, 0, 10, 0, 0, 10, 20, false, NONE},
};

static int64_t us(int64_t seconds)
{
    return seconds == 0 ? 0 : (BASE_S + seconds) * US_PER_S;
}

static void test_rules(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct err err = ERR_INIT;
        struct schedule *schedule = NULL;
        if (row->cron != NULL) {
            schedule = schedule_parse_cron(row->cron, NULL, &err);
            assert_non_null(schedule);
        } else if (row->interval_s != 0) {
            schedule = schedule_new_interval(row->interval_s, &err);
            assert_non_null(schedule);
        }
        const struct schedule_window window = {
            us(row->start), us(row->end), us(row->created), row->no_catchup};
        int64_t got = schedule_next_slot(schedule, &window, us(row->last), us(row->now));
        int64_t want = row->want == NONE ? -1 : us(row->want);
        if (got != want) {
            print_error("%s: %lld, not %lld\n", row->name,
                got < 0 ? -1LL : (long long)(got / US_PER_S - BASE_S), (long long)row->want);
            bad++;
        }
        schedule_free(schedule);
    }
    assert_int_equal(bad, 0);
}

/* Created at 10.75 s: slots are whole seconds, the fraction must neither shift nor double them. */
static void test_fractions(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct schedule *s = schedule_new_interval(60, &err);
    struct schedule_window window = {.created_us = us(10) + 750000};
    int64_t slot = schedule_next_slot(s, &window, 0, us(11));
    assert_int_equal(slot, us(70));
    assert_int_equal(schedule_next_slot(s, &window, slot, us(71)), us(130));
    window.no_catchup = true;
    assert_int_equal(schedule_next_slot(s, &window, slot, us(500) + 999999), us(500));
    schedule_free(s);
    s = schedule_parse_cron(EVERY_MINUTE, NULL, &err);
    assert_int_equal(schedule_next_slot(s, &window, 0, us(11)), us(60));
    window.end_us = us(60) - 1;
    assert_int_equal(schedule_next_slot(s, &window, 0, us(11)), -1);
    schedule_free(s);
}

/* Collapsing gives the same slot as stepping through all of them. */
static void test_collapse_equals_stepping(void **state)
{
    (void)state;
    static const char *const crons[] = {"*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "@every 47s",
        "TZ=America/New_York 30 1,2 * * *", "5/20 3-4 * * *", "@monthly"};
    for (size_t i = 0; i < ARRAY_LEN(crons); i++) {
        struct err err = ERR_INIT;
        struct schedule *s = schedule_parse_cron(crons[i], NULL, &err);
        assert_non_null(s);
        for (int64_t away = 1; away < INT64_C(400000000); away = away * 3 + 17) {
            struct schedule_window window = {.created_us = us(100), .no_catchup = false};
            int64_t now = us(100 + away), slot = 0, stepped = 0;
            for (int n = 0; n < 20000; n++) {
                int64_t next = schedule_next_slot(s, &window, slot, now);
                stepped = stepped == 0 || next <= now ? next : stepped;
                if (next > now || n == 19999) {
                    stepped = n == 19999 ? -1 : stepped; /* too many to step through */
                    break;
                }
                slot = next;
            }
            window.no_catchup = true;
            if (stepped > 0) {
                assert_int_equal(schedule_next_slot(s, &window, 0, now), stepped);
            }
        }
        schedule_free(s);
    }
}

static int drop_zones(void **state)
{
    (void)state;
    zone_drop_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_fractions),
        cmocka_unit_test(test_collapse_equals_stepping),
    };
    return cmocka_run_group_tests(tests, NULL, drop_zones);
}
