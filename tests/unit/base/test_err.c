/* SPDX-License-Identifier: Apache-2.0 */
/* The error object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

static void test_set_and_wrap(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    assert_int_equal(err_set(&err, ERR_NOT_FOUND, "run %s: no such run", "r1"), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(err.msg, "run r1: no such run");
    assert_int_equal(err_wrap(&err, "terminate %d", 7), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(err.msg, "terminate 7: run r1: no such run");
}

static void test_own_message_among_the_arguments(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    err_set(&err, ERR_INVALID, "first");
    err_set(&err, ERR_LIMIT, "second after %s", err.msg);
    assert_string_equal(err.msg, "second after first");
    err_wrap(&err, "(%s)", err.msg);
    assert_string_equal(err.msg, "(second after first): second after first");
}

static void test_null_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_INVALID, "x"), -1);
    assert_int_equal(err_wrap(NULL, "x"), -1);
    assert_int_equal(err_errno(NULL, ENOENT, "x"), -1);
    err_clear(NULL);
    assert_false(err_is_transient(NULL));
}

static void test_long_messages_are_cut_between_characters(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char text[2 * ERR_MSG_MAX];

    for (size_t i = 0; i + 2 < sizeof text; i += 3) {
        memcpy(text + i, "\xe2\x82\xac", 3); /* the euro sign */
    }
    text[sizeof text - sizeof text % 3 - 3] = '\0';
    for (int shift = 0; shift < 3; shift++) {
        err_set(&err, ERR_INVALID, "%.*s%s", shift, "ab", text);
        size_t len = strlen(err.msg);
        assert_int_equal(len, ERR_MSG_MAX - 1);
        for (size_t i = 0, step; i < len; i += step) {
            step = utf8_step(err.msg + i, len - i);
            assert_true(step > 0);
        }
        err_wrap(&err, "context");
        assert_true(str_starts(err.msg, "context: "));
        assert_int_equal(strlen(err.msg), ERR_MSG_MAX - 1);
    }
    err_set(&err, ERR_INVALID, "m");
    err_wrap(&err, "%s", text);
    assert_int_equal(strlen(err.msg), ERR_MSG_MAX - 1);
}

static void test_bytes_from_outside_become_printable(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    err_set(&err, ERR_INVALID, "'%s'", "a\x1b[31m\r\xff\nb");
    assert_string_equal(err.msg, "'a?[31m??\nb'");
}

static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        enum err_code code;
    } rows[] = {
        {ENOENT, ERR_NOT_FOUND},
        {EEXIST, ERR_EXISTS},
        {EACCES, ERR_DENIED},
        {ENOSPC, ERR_LIMIT},
        {ECONNREFUSED, ERR_TRANSIENT},
        {EISDIR, ERR_INVALID},
        {EBADF, ERR_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        assert_int_equal(err_errno(&err, rows[i].errnum, "open %s", "f"), -1);
        assert_int_equal(err.code, rows[i].code);
        assert_true(str_starts(err.msg, "open f: "));
        assert_true(strlen(err.msg) > strlen("open f: "));
    }
}

static void test_copy_clear_names(void **state)
{
    (void)state;
    struct err a = ERR_INIT, b = ERR_INIT;

    err_set(&a, ERR_TRANSIENT, "away");
    err_copy(&b, &a);
    assert_true(err_is_transient(&b));
    assert_string_equal(b.msg, "away");
    err_clear(&b);
    assert_int_equal(b.code, ERR_NONE);
    assert_string_equal(b.msg, "");
    for (int code = ERR_NONE; code <= ERR_INTERNAL; code++) {
        assert_true(strlen(err_code_name((enum err_code)code)) > 0);
    }
    assert_string_equal(err_code_name(ERR_UNAUTHENTICATED), "unauthenticated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_wrap),
        cmocka_unit_test(test_own_message_among_the_arguments),
        cmocka_unit_test(test_null_is_allowed),
        cmocka_unit_test(test_long_messages_are_cut_between_characters),
        cmocka_unit_test(test_bytes_from_outside_become_printable),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_copy_clear_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
