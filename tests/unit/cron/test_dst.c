/* SPDX-License-Identifier: Apache-2.0 */
/* The law at clock changes, case by case: contrib/docs/schedules.md says the same in words. */
#include "scheduler/schedule.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *name, *cron, *zone, *from;
    const char *want[7]; /* local RFC 3339 instants, one after the other */
    const char *shifted; /* wall time that want[0] stands for, or NULL */
};

#define NYC "America/New_York"
#define HOWE "Australia/Lord_Howe"

static const struct row rows[] = {
    /* Gap of an hour: New York 2026-03-08 02:00 -> 03:00. */
    {"gap: a fixed time moves to the end of the gap", "30 2 * * *", NYC,
        "2026-03-08T00:00:00-05:00", {"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"},
        "02:30:00"},
    {"gap: the edge itself moves too", "0 2 * * *", NYC, "2026-03-08T00:00:00-05:00",
        {"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}, "02:00:00"},
    {"gap: the last second of it", "59 59 2 * * *", NYC, "2026-03-08T00:00:00-05:00",
        {"2026-03-08T03:00:00-04:00", "2026-03-09T02:59:59-04:00"}, "02:59:59"},
    {"gap: several fixed times become one", "0,20,40 2 * * *", NYC, "2026-03-08T00:00:00-05:00",
        {"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}, "02:00:00"},
    {"gap: a regular match at its end is not doubled", "0 1-3 * * *", NYC,
        "2026-03-08T00:00:00-05:00",
        {"2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-09T01:00:00-04:00"},
        NULL},
    {"gap: stars are not made up", "*/30 2 * * *", NYC, "2026-03-08T00:00:00-05:00",
        {"2026-03-09T02:00:00-04:00", "2026-03-09T02:30:00-04:00"}, NULL},
    {"gap: every 30 minutes goes on", "*/30 * * * *", NYC, "2026-03-08T01:10:00-05:00",
        {"2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T03:30:00-04:00"},
        NULL},
    {"gap: a fixed date that falls on it", "30 2 8 3 *", NYC, "2026-01-01T00:00:00-05:00",
        {"2026-03-08T03:00:00-04:00", "2027-03-08T02:30:00-05:00"}, "02:30:00"},
    /* Fold of an hour: New York 2026-11-01 02:00 -> 01:00. */
    {"fold: a fixed time fires once", "30 1 * * *", NYC, "2026-11-01T00:00:00-04:00",
        {"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}, NULL},
    {"fold: asked between the two, it is over", "30 1 * * *", NYC, "2026-11-01T01:45:00-04:00",
        {"2026-11-02T01:30:00-05:00"}, NULL},
    {"fold: the time of the change fires after it", "0 2 * * *", NYC, "2026-11-01T00:00:00-04:00",
        {"2026-11-01T02:00:00-05:00", "2026-11-02T02:00:00-05:00"}, NULL},
    {"fold: every hour, both", "0 * * * *", NYC, "2026-11-01T00:30:00-04:00",
        {"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"},
        NULL},
    {"fold: stars at every real instant", "*/30 1 * * *", NYC, "2026-11-01T00:00:00-04:00",
        {"2026-11-01T01:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-01T01:00:00-05:00",
            "2026-11-01T01:30:00-05:00", "2026-11-02T01:00:00-05:00"},
        NULL},
    {"fold: a star anywhere in a list makes it an interval", "5,*/30 1 * * *", NYC,
        "2026-11-01T01:10:00-04:00",
        {"2026-11-01T01:30:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T01:05:00-05:00"},
        NULL},
    {"fold: a list is fixed", "0,30 1 * * *", NYC, "2026-11-01T00:00:00-04:00",
        {"2026-11-01T01:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-02T01:00:00-05:00"},
        NULL},
    /* Midnight does not exist. */
    {"gap at midnight: Santiago", "0 0 * * *", "America/Santiago", "2026-09-05T12:00:00-04:00",
        {"2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"}, "00:00:00"},
    {"gap at midnight: @daily in Beirut", "@daily", "Asia/Beirut", "2024-03-30T12:00:00+02:00",
        {"2024-03-31T01:00:00+03:00", "2024-04-01T00:00:00+03:00"}, "00:00:00"},
    {"fold at midnight: Havana", "30 0 * * *", "America/Havana", "2026-10-31T12:00:00-04:00",
        {"2026-11-01T00:30:00-04:00", "2026-11-02T00:30:00-05:00"}, NULL},
    {"fold over midnight: the day before is not fired again", "30 23 * * *", "America/Sao_Paulo",
        "2018-02-17T12:00:00-02:00", {"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"},
        NULL},
    /* Half-hour shifts: Lord Howe 2026-10-04 02:00 -> 02:30, 2026-04-05 02:00 -> 01:30. */
    {"gap of 30 minutes", "15 2 * * *", HOWE, "2026-10-03T12:00:00+10:30",
        {"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}, "02:15:00"},
    {"gap of 30 minutes: stars outside it", "*/15 2 * * *", HOWE, "2026-10-03T12:00:00+10:30",
        {"2026-10-04T02:30:00+11:00", "2026-10-04T02:45:00+11:00"}, NULL},
    {"fold of 30 minutes: no quarter is lost", "*/15 * * * *", HOWE, "2026-04-05T01:20:00+11:00",
        {"2026-04-05T01:30:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-05T01:30:00+10:30",
            "2026-04-05T01:45:00+10:30", "2026-04-05T02:00:00+10:30"},
        NULL},
    {"fold of 30 minutes: fixed once", "45 1 * * *", HOWE, "2026-04-05T00:00:00+11:00",
        {"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}, NULL},
    /* A whole day is missing: Apia went from 2011-12-29 to 2011-12-31. */
    {"gap of a day: noon moves to its end", "0 12 * * *", "Pacific/Apia",
        "2011-12-29T12:00:00-10:00", {"2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"},
        "12:00:00"},
    {"gap of a day: midnight fires once", "0 0 * * *", "Pacific/Apia", "2011-12-29T12:00:00-10:00",
        {"2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"}, "00:00:00"},
    {"gap of a day: hours go on", "0 * * * *", "Pacific/Apia", "2011-12-29T22:30:00-10:00",
        {"2011-12-29T23:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T01:00:00+14:00"},
        NULL},
    {"gap of a day: only that date", "30 9 30 12 *", "Pacific/Apia", "2011-06-01T00:00:00-11:00",
        {"2011-12-31T00:00:00+14:00", "2012-12-30T09:30:00+14:00"}, "09:30:00"},
    /* Kwajalein skipped 1993-08-21. */
    {"gap of a day: Kwajalein", "15 6 * * *", "Pacific/Kwajalein", "1993-08-20T08:00:00-12:00",
        {"1993-08-22T00:00:00+12:00", "1993-08-22T06:15:00+12:00"}, "06:15:00"},
    /* Changes of the standard time and negative daylight saving time. */
    {"Pyongyang: half an hour back for good", "45 23 * * *", "Asia/Pyongyang",
        "2015-08-14T12:00:00+09:00", {"2015-08-14T23:45:00+09:00", "2015-08-15T23:45:00+08:30"},
        NULL},
    {"Dublin: its winter time is the daylight saving", "30 1 * * *", "Europe/Dublin",
        "2026-03-28T12:00:00Z", {"2026-03-29T02:00:00+01:00", "2026-03-30T01:30:00+01:00"},
        "01:30:00"},
    {"Casablanca: Ramadan", "30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00:00Z",
        {"2026-03-22T03:00:00+01:00", "2026-03-23T02:30:00+01:00"}, "02:30:00"},
    /* Beyond the listed changes the rule in the file's last line holds. */
    {"gap in 2090", "30 2 * * *", "Europe/Berlin", "2090-03-25T12:00:00+01:00",
        {"2090-03-26T03:00:00+02:00", "2090-03-27T02:30:00+02:00"}, "02:30:00"},
    {"gap in 2150", "30 2 * * *", NYC, "2150-03-07T12:00:00-05:00",
        {"2150-03-08T03:00:00-04:00", "2150-03-09T02:30:00-04:00"}, "02:30:00"},
    {"fold in 2150", "*/30 1 * * *", NYC, "2150-11-01T00:00:00-04:00",
        {"2150-11-01T01:00:00-04:00", "2150-11-01T01:30:00-04:00", "2150-11-01T01:00:00-05:00"},
        NULL},
    /* No law needed, but often wrong. */
    {"29 February over the year 2100", "0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z",
        {"2104-02-29T00:00:00Z", "2108-02-29T00:00:00Z"}, NULL},
    {"29 February on a Sunday", "0 0 29 2 +0", "UTC", "2072-03-01T00:00:00Z",
        {"2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"}, NULL},
    {"intervals do not know zones", "@every 12h", NYC, "2026-03-07T12:00:00-05:00",
        {"2026-03-08T00:00:00-05:00", "2026-03-08T13:00:00-04:00"}, NULL},
};

static int64_t instant(const char *text)
{
    struct err err = ERR_INIT;
    int64_t us = 0;
    if (clock_parse(text, &us, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return us;
}

static bool check_row(const struct row *row)
{
    struct err err = ERR_INIT;
    struct schedule *schedule = schedule_parse_cron(row->cron, row->zone, &err);
    if (schedule == NULL) {
        print_error("%s: refused: %s\n", row->name, err.msg);
        return false;
    }
    int64_t from = instant(row->from), at = from;
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(row->want) && row->want[i] != NULL && ok; i++) {
        at = schedule_next(schedule, from, at);
        if (at != instant(row->want[i])) {
            char text[CLOCK_TEXT_MAX];
            print_error("%s: fire %zu is %s, not %s\n", row->name, i + 1, clock_format_s(at, text),
                row->want[i]);
            ok = false;
        }
        char wanted[16] = "";
        bool is_shifted = schedule_is_shifted(schedule, at, wanted);
        if (i == 0 && (is_shifted != (row->shifted != NULL) ||
                          (is_shifted && strcmp(wanted, row->shifted) != 0))) {
            print_error("%s: shifted '%s'\n", row->name, wanted);
            ok = false;
        }
    }
    schedule_free(schedule);
    return ok;
}

static void test_law(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bad += !check_row(&rows[i]);
    }
    assert_int_equal(bad, 0);
}

/* Whatever instant inside or around a change is asked, the answer is the same next fire. */
static void test_every_second_around_a_change(void **state)
{
    (void)state;
    static const struct {
        const char *cron, *zone, *change;
    } cases[] = {
        {"30 2 * * *", NYC, "2026-03-08T07:00:00Z"},
        {"30 1 * * *", NYC, "2026-11-01T06:00:00Z"},
        {"*/20 * * * *", NYC, "2026-11-01T06:00:00Z"},
        {"15 2 * * *", HOWE, "2026-10-03T15:30:00Z"},
        {"0 12 * * *", "Pacific/Apia", "2011-12-30T10:00:00Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        struct schedule *s = schedule_parse_cron(cases[i].cron, cases[i].zone, &err);
        assert_non_null(s);
        int64_t at = instant(cases[i].change) - 7200 * US_PER_S;
        int64_t next = schedule_next(s, 0, at);
        for (int n = 0; n < 4 * 3600; n++, at += US_PER_S) {
            int64_t now = schedule_next(s, 0, at);
            assert_true(now > at);
            if (at < next) {
                assert_int_equal(now, next);
            }
            next = now;
            assert_int_equal(schedule_next(s, 0, at + 999999), now);
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
        cmocka_unit_test(test_law),
        cmocka_unit_test(test_every_second_around_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, drop_zones);
}
