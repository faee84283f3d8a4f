/* SPDX-License-Identifier: Apache-2.0 */
/* Calendar math, RFC 3339, the movable clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

/* Every day of 1600..2400 walked by the rules a person knows, against the arithmetic. */
static void test_every_day_of_eight_centuries(void **state)
{
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t day = -135140; /* 1600-01-01 */
    int weekday = 6;       /* a Saturday */

    for (int year = 1600; year <= 2400; year++) {
        bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        int yearday = 1;
        for (int month = 1; month <= 12; month++) {
            int length = lengths[month - 1] + (leap && month == 2);
            assert_int_equal(civil_days_in_month(year, month), length);
            for (int date = 1; date <= length; date++) {
                int64_t seconds = day * 86400 + (day % 2 == 0 ? 0 : 86399);
                struct civil c;
                civil_from_s(seconds, &c);
                if (c.year != year || c.month != month || c.day != date || c.weekday != weekday ||
                    c.yearday != yearday || civil_to_s(&c) != seconds) {
                    fail_msg("%04d-%02d-%02d: got %04d-%02d-%02d", year, month, date, c.year,
                        c.month, c.day);
                }
                day++;
                yearday++;
                weekday = (weekday + 1) % 7;
            }
        }
    }
    assert_int_equal(day, 157420); /* 2401-01-01 */
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *seconds, *micros;
    } rows[] = {
        {0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"},
        {-1, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999999Z"},
        {1, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000001Z"},
        {INT64_C(1795426200123456), "2026-11-23T09:30:00Z", "2026-11-23T09:30:00.123456Z"},
        {INT64_C(951782400000000), "2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000000Z"},
        {INT64_C(-62167219200000000), "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000Z"},
        {INT64_MAX, "294247-01-10T04:00:54Z", "294247-01-10T04:00:54.775807Z"},
        {INT64_MIN, "-290308-12-21T19:59:05Z", "-290308-12-21T19:59:05.224192Z"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[CLOCK_TEXT_MAX];
        assert_string_equal(clock_format_s(rows[i].us, text), rows[i].seconds);
        assert_string_equal(clock_format_us(rows[i].us, text), rows[i].micros);
        int64_t back;
        if (rows[i].seconds[0] != '-' && strlen(rows[i].seconds) == 20) {
            assert_int_equal(clock_parse(text, &back, NULL), 0);
            assert_int_equal(back, rows[i].us);
        }
    }
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *back; /* NULL: refused */
    } rows[] = {
        {"2026-11-23T09:30:00Z", "2026-11-23T09:30:00.000000Z"},
        {"2026-11-23t09:30:00z", "2026-11-23T09:30:00.000000Z"},
        {"2026-11-23T09:30:00.5Z", "2026-11-23T09:30:00.500000Z"},
        {"2026-11-23T09:30:00.123456789Z", "2026-11-23T09:30:00.123456Z"},
        {"2026-11-23T09:30:00+09:00", "2026-11-23T00:30:00.000000Z"},
        {"2026-11-23T23:30:00-01:30", "2026-11-24T01:00:00.000000Z"},
        {"2026-11-23T09:30:00-00:00", "2026-11-23T09:30:00.000000Z"},
        {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"},
        {"0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000Z"},
        {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
        {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"},
        {"2017-01-01T08:59:60+09:00", "2017-01-01T00:00:00.000000Z"},
        {"2016-12-31T23:58:60Z", NULL},
        {"2026-11-23T09:30:61Z", NULL},
        {"2026-11-23T24:00:00Z", NULL},
        {"2026-11-23T09:60:00Z", NULL},
        {"2023-02-29T00:00:00Z", NULL},
        {"1900-02-29T00:00:00Z", NULL},
        {"2026-13-01T00:00:00Z", NULL},
        {"2026-00-01T00:00:00Z", NULL},
        {"2026-01-00T00:00:00Z", NULL},
        {"2026-11-23T09:30:00", NULL},
        {"2026-11-23 09:30:00Z", NULL},
        {"2026-11-23", NULL},
        {"2026-11-23T09:30Z", NULL},
        {"2026-11-23T09:30:00.Z", NULL},
        {"2026-11-23T09:30:00.1234567890Z", NULL},
        {"2026-11-23T09:30:00+9:00", NULL},
        {"2026-11-23T09:30:00+0900", NULL},
        {"2026-11-23T09:30:00+24:00", NULL},
        {"2026-11-23T09:30:00+09:60", NULL},
        {"2026-11-23T09:30:00Z ", NULL},
        {" 2026-11-23T09:30:00Z", NULL},
        {"+2026-11-23T09:30:00Z", NULL},
        {"02026-11-23T09:30:00Z", NULL},
        {"2026-1-23T09:30:00Z", NULL},
        {"", NULL},
        {"2", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        char text[CLOCK_TEXT_MAX];
        int64_t us = 42;
        int rc = clock_parse(rows[i].text, &us, &err);
        if (rows[i].back == NULL) {
            if (rc != -1 || us != 42 || err.code != ERR_INVALID) {
                fail_msg("'%s' was taken for %s", rows[i].text, clock_format_us(us, text));
            }
        } else if (rc != 0 || strcmp(clock_format_us(us, text), rows[i].back) != 0) {
            fail_msg("'%s': %s", rows[i].text, rc != 0 ? err.msg : text);
        }
    }
}

static void test_parse_or_ago(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
        const char *error;
    } rows[] = {
        {"1970-01-01T00:01:00Z", 60 * US_PER_S, NULL},
        {"1970-01-01T01:00:00+01:00", 0, NULL},
        {"90m", 4600 * US_PER_S, NULL},
        {"0", 10000 * US_PER_S, NULL},
        {"9000000000000000ms", 0, NULL}, /* before the first second there was nothing */
        {"soon", 0, "since: 'soon' is neither a time such as 2026-11-23T09:30:00Z nor how long"},
        {"2026-11-23", 0, "since: '2026-11-23' is neither"},
        {"2026-13-23T09:30:00Z", 0, "since: '2026-13-23T09:30:00Z' is not an RFC 3339 time"},
        {"-1h", 0, "since: '-1h' is neither"},
        {"", 0, "since: '' is neither"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        int64_t us = -1;
        int rc = clock_parse_or_ago(rows[i].text, "since", 10000 * US_PER_S, &us, &err);
        assert_int_equal(rc, rows[i].error == NULL ? 0 : -1);
        if (rows[i].error == NULL) {
            assert_int_equal(us, rows[i].us);
        } else {
            assert_int_equal(strncmp(err.msg, rows[i].error, strlen(rows[i].error)), 0);
        }
    }
}

static void test_shift_moves_only_the_wall_clock(void **state)
{
    (void)state;
    int64_t mono = clock_mono_us(), now = clock_now_us();

    clock_set_shift_us(3600 * US_PER_S);
    assert_int_equal(clock_shift_us(), 3600 * US_PER_S);
    assert_true(clock_now_us() - now >= 3600 * US_PER_S);
    assert_true(clock_mono_us() - mono < 60 * US_PER_S);
    /* An error comes on top, and nobody is told. */
    clock_set_error_us(7200 * US_PER_S);
    assert_int_equal(clock_shift_us(), 3600 * US_PER_S);
    assert_true(clock_now_us() - now >= 3 * 3600 * US_PER_S);
    clock_set_error_us(0);
    clock_set_shift_us(0);
    assert_true(clock_now_us() - now < 60 * US_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_day_of_eight_centuries),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_or_ago),
        cmocka_unit_test(test_shift_moves_only_the_wall_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
