/* SPDX-License-Identifier: Apache-2.0 */
/* pool, buf and map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"

static void test_pool(void **state)
{
    (void)state;
    struct pool *pool = pool_new();

    for (size_t i = 0; i < 3000; i++) {
        size_t size = i % 7 == 0 ? i * 40 : i % 50;
        unsigned char *memory = pool_alloc(pool, size);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < size; j++) {
            assert_int_equal(memory[j], 0);
        }
        memset(memory, 0xaa, size); /* the next must be zeroed and elsewhere all the same */
    }
    assert_true(pool_used(pool) > 3000);
    assert_string_equal(pool_printf(pool, "%s-%d", "x", 5), "x-5");
    assert_string_equal(pool_strndup(pool, "abc", 2), "ab");
    assert_string_equal(pool_strdup(pool, "abc"), "abc");
    assert_null(pool_strdup(pool, NULL));
    pool_free(pool);
    pool_free(NULL);
}

static char order[8];

static void note(void *arg)
{
    size_t len = strlen(order);
    order[len] = *(const char *)arg;
    order[len + 1] = '\0';
}

static void test_pool_hooks_run_last_added_first(void **state)
{
    (void)state;
    struct pool *pool = pool_new();
    order[0] = '\0';
    pool_on_free(pool, note, pool_strdup(pool, "a")); /* pool memory still stands then */
    pool_on_free(pool, note, pool_strdup(pool, "b"));
    assert_int_equal(pool_used(pool), 4);
    pool_freep(&pool);
    assert_null(pool);
    assert_string_equal(order, "ba");
}

static void test_buf_ceiling(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        size_t max;
        const char *kept;
        bool overflow;
    } rows[] = {
        {"fits", "abc", 5, "abc", false},
        {"fits exactly", "abc", 3, "abc", false},
        {"one too long", "abc", 2, "ab", true},
        {"no room at all", "abc", 0, "", true},
        {"nothing into nothing", "", 0, "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int way = 0; way < 2; way++) {
            struct buf buf;
            struct err err = ERR_INIT;
            buf_init(&buf, rows[i].max);
            int rc = way == 0 ? buf_adds(&buf, rows[i].text) : buf_addf(&buf, "%s", rows[i].text);
            if (rc != (rows[i].overflow ? -1 : 0) || buf.overflow != rows[i].overflow ||
                strcmp(buf_str(&buf), rows[i].kept) != 0) {
                fail_msg("%s: rc %d '%s'", rows[i].name, rc, buf_str(&buf));
            }
            assert_int_equal(buf_check(&buf, "reply", &err), rc);
            assert_int_equal(err.code, rc == 0 ? ERR_NONE : ERR_LIMIT);
            if (rc != 0) { /* stays closed until reset */
                assert_int_equal(buf_addc(&buf, 'x'), -1);
                buf_reset(&buf);
                assert_int_equal(buf_add(&buf, "", 0), 0);
            }
            buf_done(&buf);
        }
    }
}

static void test_buf_long_formats(void **state)
{
    (void)state;
    struct buf buf;
    struct err err = ERR_INIT;
    size_t len;

    buf_init(&buf, 1000);
    assert_int_equal(buf_addf(&buf, "%0300d", 7), 0); /* longer than the stack's piece */
    assert_int_equal(buf.len, 300);
    assert_int_equal(buf_addf(&buf, "%0700d", 7), 0); /* exactly full */
    assert_int_equal(buf_check(&buf, "x", &err), 0);
    assert_int_equal(buf_addf(&buf, "%0300d", 7), -1);
    assert_int_equal(buf.len, 1000);
    char *text = buf_steal(&buf, &len);
    assert_int_equal(len, 1000);
    assert_int_equal(strlen(text), 1000);
    assert_int_equal(text[299], '7');
    free(text);
    assert_false(buf.overflow);
    text = buf_steal(&buf, NULL);
    assert_string_equal(text, "");
    free(text);
    buf_init(&buf, SIZE_MAX); /* max + 1 must not wrap */
    assert_int_equal(buf_add(&buf, "a\0b", 3), 0);
    assert_int_equal(buf.len, 3);
    buf_done(&buf);
}

static void test_map(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct map *map = map_new(free);
    char key[32];

    assert_null(map_get(map, "nothing yet"));
    assert_false(map_remove(map, "nothing yet"));
    for (int round = 0; round < 3; round++) { /* tombstones are reused */
        for (int i = 0; i < COUNT; i++) {
            snprintf(key, sizeof key, "key-%d", i);
            map_put(map, key, xstrdup("old"));
            map_put(map, key, xstrdup(key)); /* replaces and frees */
        }
        assert_int_equal(map_count(map), COUNT);
        for (int i = 0; i < COUNT; i++) {
            snprintf(key, sizeof key, "key-%d", i);
            assert_string_equal(map_get(map, key), key);
            if (i % 2 == 0) {
                assert_true(map_remove(map, key));
                assert_false(map_has(map, key));
            }
        }
        assert_int_equal(map_count(map), COUNT / 2);
    }
    char *taken = map_take(map, "key-1");
    assert_string_equal(taken, "key-1");
    free(taken);
    assert_null(map_take(map, "key-1"));
    map_put(map, "empty", NULL);
    assert_true(map_has(map, "empty"));
    assert_null(map_get(map, "empty"));
    map_put(map, "", xstrdup("the empty key"));
    assert_string_equal(map_get(map, ""), "the empty key");
    map_free(map);
    map_free(NULL);
}

static void test_map_iteration_may_remove(void **state)
{
    (void)state;
    struct map *map = map_new(NULL);
    char key[32];
    static int value;
    size_t seen = 0;

    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%d", i);
        map_put(map, key, &value);
    }
    struct map_iter it = {0};
    const char *at;
    void *got;
    while (map_next(map, &it, &at, &got)) {
        assert_ptr_equal(got, &value);
        seen++;
        assert_true(map_remove(map, at)); /* with the map's own text as the key */
    }
    assert_int_equal(seen, 1000);
    assert_int_equal(map_count(map), 0);
    map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_hooks_run_last_added_first),
        cmocka_unit_test(test_buf_ceiling),
        cmocka_unit_test(test_buf_long_formats),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_iteration_may_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
