/* SPDX-License-Identifier: Apache-2.0 */
/* The pace of firing: never more than allowed in any second, and all of it used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/util.h"
#include "trigger/pace.h"

#define S INT64_C(1000000)

/* Ask every step_us for as many as possible, for five seconds. */
static void check_rate(int64_t per_s, int64_t step_us)
{
    struct pace pace;
    pace_init(&pace, per_s, 0);
    int64_t burst = per_s / 10 > 0 ? per_s / 10 : 1, total = 0;
    for (int64_t now = 0; now < 5 * S; now += step_us) {
        size_t room = pace_room(&pace, 1000000, now);
        pace_took(&pace, room);
        total += (int64_t)room;
        assert_true(total <= burst + now * per_s / S + 1);
    }
    /* What time gives is used, if it is looked at often enough to fit into the bucket. */
    assert_true(total >= 5 * per_s - burst - per_s / 100 - 1);
}

static void test_rate(void **unused)
{
    (void)unused;
    static const int64_t rates[] = {1, 3, 10, 999, 10000, 1000000};
    static const int64_t steps[] = {100, 999, 1000, 50000};
    for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
        for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
            check_rate(rates[r], steps[s]);
        }
    }
}

static void test_wait(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_init(&pace, 10, 0);
    assert_int_equal(pace_wait_us(&pace), 0);
    assert_int_equal(pace_room(&pace, 5, 0), 1);
    pace_took(&pace, 1);
    assert_int_equal(pace_room(&pace, 5, 0), 0);
    int64_t wait = pace_wait_us(&pace);
    assert_in_range(wait, S / 10, S / 10 + 1000);
    assert_int_equal(pace_room(&pace, 5, wait - 2000), 0);
    assert_int_equal(pace_room(&pace, 5, wait), 1);
    /* A long time gives no more than the bucket holds. */
    assert_int_equal(pace_room(&pace, 5, INT64_MAX / 2), 1);
}

static void test_no_limit(void **unused)
{
    (void)unused;
    struct pace pace;
    pace_init(&pace, 0, 0);
    assert_int_equal(pace_room(&pace, 123456, 0), 123456);
    pace_took(&pace, 123456);
    assert_int_equal(pace_wait_us(&pace), 0);
    assert_int_equal(pace_room(&pace, 7, 0), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
