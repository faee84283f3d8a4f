/* SPDX-License-Identifier: Apache-2.0 */
/* What outcomes mean, and when the next attempt is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"
#include "webhooks/out/retry.h"

#define DEFAULT "5s,30s,2m,10m,30m,2h,5h,10h,14h,20h,24h"
#define NOW_US (INT64_C(1795000000) * US_PER_S) /* Wed, 18 Nov 2026 11:06:40 GMT */

static void test_classes(void **state)
{
    (void)state;
    static const struct {
        int from, to;
        enum retry_lane lane;
        bool is_endpoint, is_throttle;
    } rows[] = {
        {0, 199, RETRY_LANE_LADDER, true, false},
        {200, 299, RETRY_LANE_NONE, true, false},
        {300, 399, RETRY_LANE_SLOW, true, false},
        {400, 400, RETRY_LANE_SLOW, false, false},
        {401, 407, RETRY_LANE_SLOW, true, false},
        {408, 408, RETRY_LANE_LADDER, true, false},
        {409, 409, RETRY_LANE_SLOW, false, false},
        {410, 410, RETRY_LANE_GONE, true, false},
        {411, 412, RETRY_LANE_SLOW, true, false},
        {413, 415, RETRY_LANE_SLOW, false, false},
        {416, 421, RETRY_LANE_SLOW, true, false},
        {422, 422, RETRY_LANE_SLOW, false, false},
        {425, 425, RETRY_LANE_LADDER, true, false},
        {426, 428, RETRY_LANE_SLOW, true, false},
        {429, 429, RETRY_LANE_LADDER, true, true},
        {431, 431, RETRY_LANE_SLOW, false, false},
        {451, 451, RETRY_LANE_SLOW, true, false},
        {500, 501, RETRY_LANE_LADDER, true, false},
        {502, 504, RETRY_LANE_LADDER, true, true},
        {505, 999, RETRY_LANE_LADDER, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int status = rows[i].from; status <= rows[i].to; status++) {
            struct retry_class is = retry_classify(status);
            if (is.lane != rows[i].lane || is.is_endpoint != rows[i].is_endpoint ||
                is.is_throttle != rows[i].is_throttle) {
                fail_msg("%d", status);
            }
        }
    }
}

static void test_schedule(void **state)
{
    (void)state;
    struct retry_schedule s;
    assert_int_equal(retry_schedule_parse(DEFAULT, &s, NULL), 0);
    assert_int_equal(s.count, 11);
    int64_t total_h = retry_schedule_total_ms(&s) / 3600000;
    assert_in_range(total_h, 75, 76);
    for (int round = 0; round < 100; round++) {
        int64_t step = 0, ms;
        size_t rung = 0;
        while ((ms = retry_next_ms(&s, RETRY_LANE_LADDER, &step)) >= 0) {
            assert_in_range(ms, s.rungs_ms[rung] * 4 / 5, s.rungs_ms[rung] * 6 / 5);
            assert_int_equal(step, ++rung);
        }
        assert_int_equal(rung, s.count);
        step = 0; /* the slow lane: from half an hour on */
        assert_true(retry_next_ms(&s, RETRY_LANE_SLOW, &step) >= 1440000);
        assert_int_equal(step, 5);
        for (rung = 5; (ms = retry_next_ms(&s, RETRY_LANE_SLOW, &step)) >= 0; rung++) {
            assert_in_range(ms, s.rungs_ms[rung] * 4 / 5, s.rungs_ms[rung] * 6 / 5);
        }
        assert_int_equal(rung, s.count);
    }
    assert_int_equal(retry_schedule_parse("1s", &s, NULL), 0);
    int64_t step = 0;
    assert_true(retry_next_ms(&s, RETRY_LANE_SLOW, &step) > 0); /* no such rung: the last */
    assert_int_equal(retry_next_ms(&s, RETRY_LANE_SLOW, &step), -1);
}

static void test_bad_schedules(void **state)
{
    (void)state;
    static const char *const rows[] = {"", ",", "5s,", "500ms", "8d", "soon", "5s,,6s", "-5s", "0",
        "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct retry_schedule s;
        struct err err = ERR_INIT;
        if (retry_schedule_parse(rows[i], &s, &err) == 0) {
            fail_msg("'%s' was taken", rows[i]);
        }
        assert_non_null(strstr(err.msg, "webhook-retries"));
    }
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
    } rows[] = {
        {NULL, 0},
        {"", 0},
        {"0", 0},
        {"120", 120},
        {"-5", 0},
        {"1e3", 0},
        {"999999999999", 86400},
        {"99999999999999999999999", 0},
        {"Wed, 18 Nov 2026 11:36:40 GMT", 1800},
        {"Wednesday, 18-Nov-26 11:36:40 GMT", 1800},
        {"Wed Nov 18 11:36:40 2026", 1800},
        {"Wed, 18 Nov 2026 10:36:40 GMT", 0},
        {"Wed, 18 Nov 2037 10:36:40 GMT", 86400},
        {"nonsense", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = retry_after_ms(rows[i].text, NOW_US, INT64_C(86400000));
        if (ms != rows[i].s * 1000) {
            fail_msg("'%s': %lld ms", rows[i].text, (long long)ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_bad_schedules),
        cmocka_unit_test(test_retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
