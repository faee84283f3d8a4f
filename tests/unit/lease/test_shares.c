/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is for which shard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/id.h"
#include "base/util.h"
#include "lease/shares.h"

#define MEMBERS_MAX 9

static const unsigned shard_counts[] = {1, 2, 16, 64, 256};

static void everybody_gets_a_fair_share(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_LEN(shard_counts); n++) {
        unsigned shards = shard_counts[n];
        const char *ids[MEMBERS_MAX];
        struct id made[MEMBERS_MAX];
        for (size_t count = 1; count <= MEMBERS_MAX; count++) {
            id_new(&made[count - 1]);
            ids[count - 1] = made[count - 1].text;
            size_t out[256], has[MEMBERS_MAX] = {0};
            shares_compute(ids, count, shards, out);
            for (unsigned i = 0; i < shards; i++) {
                assert_in_range(out[i], 0, count - 1);
                has[out[i]]++;
            }
            for (size_t i = 0; i < count; i++) {
                assert_true(has[i] <= (shards + count - 1) / count);
            }
        }
    }
}

static void the_order_of_the_members_does_not_matter(void **state)
{
    (void)state;
    const char *const one[] = {"a", "b", "c"}, *const other[] = {"c", "a", "b"};
    size_t x[16], y[16];
    shares_compute(one, 3, 16, x);
    shares_compute(other, 3, 16, y);
    for (unsigned i = 0; i < 16; i++) {
        assert_string_equal(one[x[i]], other[y[i]]);
    }
}

/* The one that goes gives its shards to the others, and the one that comes takes its share: little
 * moves besides. */
static void little_moves(void **state)
{
    (void)state;
    int64_t moved = 0, needed = 0;
    for (int round = 0; round < 200; round++) {
        struct id made[4];
        const char *ids[4];
        for (size_t i = 0; i < 4; i++) {
            id_new(&made[i]);
            ids[i] = made[i].text;
        }
        size_t four[64], three[64];
        shares_compute(ids, 4, 64, four);
        shares_compute(ids, 3, 64, three);
        for (unsigned i = 0; i < 64; i++) {
            moved += four[i] != three[i];
            needed += four[i] == 3;
        }
    }
    assert_int_equal(needed, 200 * 16);
    assert_true(moved < 2 * needed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_gets_a_fair_share),
        cmocka_unit_test(the_order_of_the_members_does_not_matter),
        cmocka_unit_test(little_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
