/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that are remembered by stamp: found, replaced, bounded, cleared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/util.h"

#include "api/kfp/shown.h"

#define MAX ((size_t)64 * 1024)

static void put(
    struct shown *shown, enum shown_kind kind, const char *id, int64_t stamp, size_t len)
{
    CLEANUP(cleanup_free) char *text = xcalloc(1, len + 1);
    memset(text, 'x', len);
    struct shown_text one = {.len = len, .text = text, .until_us = 7};
    stamp_add_i(&one.stamp, stamp);
    shown_put(shown, kind, id, &one);
}

static void found_by_kind_and_id(void **state)
{
    (void)state;
    struct shown *shown = shown_new(MAX);
    struct id a, b;
    id_new(&a);
    id_new(&b);
    assert_null(shown_find(shown, SHOWN_RUN, a.text));
    put(shown, SHOWN_RUN, a.text, 1, 10);
    put(shown, SHOWN_RUN_ROW, a.text, 2, 20);
    put(shown, SHOWN_RUN, b.text, 3, 0);
    assert_int_equal(shown_find(shown, SHOWN_RUN, a.text)->len, 10);
    assert_int_equal(shown_find(shown, SHOWN_RUN, a.text)->until_us, 7);
    assert_string_equal(shown_find(shown, SHOWN_RUN, a.text)->text, "xxxxxxxxxx");
    assert_string_equal(shown_find(shown, SHOWN_RUN_ROW, a.text)->stamp.text, "2\n");
    assert_int_equal(shown_find(shown, SHOWN_RUN, b.text)->len, 0);
    put(shown, SHOWN_RUN, a.text, 4, 5);
    assert_int_equal(shown_find(shown, SHOWN_RUN, a.text)->len, 5);
    assert_string_equal(shown_find(shown, SHOWN_RUN, a.text)->stamp.text, "4\n");
    shown_clear(shown);
    assert_null(shown_find(shown, SHOWN_RUN, a.text));
    assert_null(shown_find(shown, SHOWN_RUN, b.text));
    put(shown, SHOWN_RUN, a.text, 5, 6);
    assert_int_equal(shown_find(shown, SHOWN_RUN, a.text)->len, 6);
    shown_free(shown);
    shown_free(NULL);
}

static void what_is_not_used_goes_first(void **state)
{
    (void)state;
    struct shown *shown = shown_new(MAX);
    struct id ids[100];
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        id_new(&ids[i]);
        put(shown, SHOWN_RUN, ids[i].text, 1, 2000);
        assert_non_null(shown_find(shown, SHOWN_RUN, ids[0].text)); /* is in use */
    }
    size_t kept = 0;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        kept += shown_find(shown, SHOWN_RUN, ids[i].text) != NULL;
    }
    assert_in_range(kept, MAX / 4000, MAX / 2000);
    assert_null(shown_find(shown, SHOWN_RUN, ids[1].text));
    assert_non_null(shown_find(shown, SHOWN_RUN, ids[99].text));
    shown_free(shown);
}

static void what_cannot_be_checked_or_is_large_is_not_kept(void **state)
{
    (void)state;
    struct shown *shown = shown_new(MAX);
    struct id a;
    id_new(&a);
    put(shown, SHOWN_RUN, a.text, 1, MAX / 2);
    assert_null(shown_find(shown, SHOWN_RUN, a.text));
    put(shown, SHOWN_RUN, a.text, 1, 10);
    put(shown, SHOWN_RUN, a.text, 2, MAX / 2); /* the older text is wrong by now */
    assert_null(shown_find(shown, SHOWN_RUN, a.text));
    struct shown_text unchecked = {.len = 1, .text = "x"};
    for (size_t i = 0; i < STAMP_MAX; i++) {
        stamp_add(&unchecked.stamp, "1");
    }
    assert_string_equal(unchecked.stamp.text, "");
    shown_put(shown, SHOWN_RUN, a.text, &unchecked);
    assert_null(shown_find(shown, SHOWN_RUN, a.text));
    shown_free(shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_kind_and_id),
        cmocka_unit_test(what_is_not_used_goes_first),
        cmocka_unit_test(what_cannot_be_checked_or_is_large_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
