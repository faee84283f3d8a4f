/* SPDX-License-Identifier: Apache-2.0 */
/* Checked numbers, text, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

static void test_parse_i64(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int64_t min, max;
        bool good;
        int64_t value;
    } rows[] = {
        {"zero", "0", 0, 10, true, 0},
        {"negative", "-5", -10, 10, true, -5},
        {"leading zeros", "007", 0, 10, true, 7},
        {"largest", "9223372036854775807", INT64_MIN, INT64_MAX, true, INT64_MAX},
        {"smallest", "-9223372036854775808", INT64_MIN, INT64_MAX, true, INT64_MIN},
        {"one past the largest", "9223372036854775808", INT64_MIN, INT64_MAX, false, 0},
        {"one past the smallest", "-9223372036854775809", INT64_MIN, INT64_MAX, false, 0},
        {"at the ceiling", "10", 0, 10, true, 10},
        {"past the ceiling", "11", 0, 10, false, 0},
        {"below the floor", "-1", 0, 10, false, 0},
        {"empty", "", 0, 10, false, 0},
        {"only a sign", "-", -10, 10, false, 0},
        {"plus", "+1", 0, 10, false, 0},
        {"leading blank", " 1", 0, 10, false, 0},
        {"trailing blank", "1 ", 0, 10, false, 0},
        {"trailing letters", "1x", 0, 10, false, 0},
        {"hexadecimal", "0x1", 0, 10, false, 0},
        {"fraction", "1.0", 0, 10, false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        int64_t value = 42;
        int rc = parse_i64(rows[i].text, rows[i].min, rows[i].max, "size", &value, &err);
        if ((rc == 0) != rows[i].good || value != (rows[i].good ? rows[i].value : 42)) {
            fail_msg("%s: rc %d value %lld", rows[i].name, rc, (long long)value);
        }
        assert_true(rc == 0 || (err.code == ERR_INVALID && str_starts(err.msg, "size: ")));
    }
}

static void test_parse_double(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        double value;
    } rows[] = {
        {"0", true, 0},
        {"-1.5", true, -1.5},
        {"1e3", true, 1000},
        {".5", true, .5},
        {"1e-400", true, 0},
        {"1e400", false, 0},
        {"nan", false, 0},
        {"inf", false, 0},
        {"0x10", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"1.2.3", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        double value = 42;
        int rc = parse_double(rows[i].text, "rate", &value, &err);
        if ((rc == 0) != rows[i].good || value != (rows[i].good ? rows[i].value : 42)) {
            fail_msg("'%s': rc %d value %g", rows[i].text, rc, value);
        }
    }
}

static void test_parse_duration_and_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms, bytes; /* -1: refused */
    } rows[] = {
        {"10", 10000, 10},
        {"0", 0, 0},
        {"500ms", 500, -1},
        {"10s", 10000, -1},
        {"5m", 300000, 5 << 20},
        {"2h", 7200000, -1},
        {"1d", 86400000, -1},
        {"1D", -1, -1},
        {"64k", -1, 65536},
        {"64KiB", -1, 65536},
        {"32MiB", -1, 32 << 20},
        {"1GiB", -1, 1 << 30},
        {"1g", -1, 1 << 30},
        {"1KB", -1, -1}, /* 1000 or 1024? ask the writer */
        {"", -1, -1},
        {"s", -1, -1},
        {"-1s", -1, -1},
        {"1.5h", -1, -1},
        {"1 s", -1, -1},
        {"10sx", -1, -1},
        {"9223372036854775807d", -1, -1},
        {"9223372036854775807GiB", -1, -1},
        {"9223372036854775807ms", INT64_MAX, -1},
        {"9223372036854775808", -1, -1},
        {"99999999999999999999", -1, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        int64_t ms = -1, bytes = -1;
        int rc = parse_duration_ms(rows[i].text, "t", &ms, &err);
        if (ms != rows[i].ms || (rc == 0) != (rows[i].ms >= 0)) {
            fail_msg("'%s': rc %d ms %lld", rows[i].text, rc, (long long)ms);
        }
        rc = parse_bytes(rows[i].text, "b", &bytes, &err);
        if (bytes != rows[i].bytes || (rc == 0) != (rows[i].bytes >= 0)) {
            fail_msg("'%s': rc %d bytes %lld", rows[i].text, rc, (long long)bytes);
        }
    }
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        size_t len, step;
    } rows[] = {
        {"nothing", "", 0, 0},
        {"ascii", "a", 1, 1},
        {"two bytes", "\xc3\xa9", 2, 2},
        {"three bytes", "\xe2\x82\xac", 3, 3},
        {"four bytes", "\xf0\x9f\x98\x80", 4, 4},
        {"last code point", "\xf4\x8f\xbf\xbf", 4, 4},
        {"past the last code point", "\xf4\x90\x80\x80", 4, 0},
        {"overlong slash", "\xc0\xaf", 2, 0},
        {"overlong three bytes", "\xe0\x80\xaf", 3, 0},
        {"surrogate", "\xed\xa0\x80", 3, 0},
        {"cut short", "\xe2\x82", 2, 0},
        {"lone continuation", "\x80", 1, 0},
        {"second byte wrong", "\xc3(", 2, 0},
        {"never a first byte", "\xff", 1, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        /* At the end of a heap block, so that reading past len is seen. */
        char *copy = malloc(rows[i].len > 0 ? rows[i].len : 1);
        memcpy(copy, rows[i].text, rows[i].len);
        size_t step = utf8_step(copy, rows[i].len);
        free(copy);
        if (step != rows[i].step) {
            fail_msg("%s: %zu", rows[i].name, step);
        }
    }
}

static void test_text(void **state)
{
    (void)state;
    assert_true(str_starts("rondo", "ron"));
    assert_true(str_starts("rondo", ""));
    assert_false(str_starts("ro", "ron"));
    assert_true(str_ends("rondo", "do"));
    assert_true(str_ends("rondo", ""));
    assert_false(str_ends("do", "rondo"));
    assert_true(str_eq(NULL, NULL));
    assert_false(str_eq(NULL, ""));
    assert_true(str_eq("a", "a"));
}

static void test_memory(void **state)
{
    (void)state;
    CLEANUP(cleanup_free) char *cut = xstrndup("abcdef", 3);
    assert_string_equal(cut, "abc");
    CLEANUP(cleanup_free) char *text = xasprintf("%d-%s", 7, cut);
    assert_string_equal(text, "7-abc");
    CLEANUP(cleanup_free) int *zero = xcalloc(0, sizeof *zero);
    assert_non_null(zero);
    char *owned = STEAL(text);
    assert_null(text);
    free(owned);
}

/* ---- files: all in a folder of their own ---- */

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = xstrdup("/tmp/rondo-unit-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    int rc = dir_remove(folder, &err);
    free(folder);
    return rc;
}

static void test_file_read_and_write(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *path = xasprintf("%s/file", folder);
    size_t len = 0;

    assert_int_equal(file_write_atomic(path, "a\0b", 3, 0640, &err), 0);
    assert_int_equal(file_write_atomic(path, "a\0bc", 4, 0640, &err), 0); /* replaces */
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    CLEANUP(cleanup_free) char *data = file_read(path, 4, &len, &err);
    assert_non_null(data);
    assert_int_equal(len, 4);
    assert_memory_equal(data, "a\0bc", 5);
    assert_null(file_read(path, 3, &len, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.msg, path));

    assert_null(file_read("/nowhere/at/all", 3, NULL, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_null(file_read(folder, 3, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    CLEANUP(cleanup_free) char *lost = xasprintf("%s/no/such", folder);
    assert_int_equal(file_write_atomic(lost, "", 0, 0600, &err), -1);

    /* A file whose size is not known beforehand. */
    CLEANUP(cleanup_free) char *status = file_read("/proc/self/status", 65536, &len, &err);
    assert_non_null(status);
    assert_int_equal(strlen(status), len);
    CLEANUP(cleanup_free) char *empty = file_read("/dev/null", 0, &len, &err);
    assert_string_equal(empty, "");
}

static void test_dir_make(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *deep = xasprintf("%s/a//b/c/", folder);
    CLEANUP(cleanup_free) char *file = xasprintf("%s/a/file", folder);
    CLEANUP(cleanup_free) char *under = xasprintf("%s/a/file/x", folder);

    assert_int_equal(dir_make(deep, 0700, &err), 0);
    assert_int_equal(dir_make(deep, 0700, &err), 0); /* again is fine */
    assert_int_equal(file_write_atomic(file, "", 0, 0600, &err), 0);
    assert_int_equal(dir_make(file, 0700, &err), -1);
    assert_int_equal(dir_make(under, 0700, &err), -1);
    assert_int_equal(dir_make("", 0700, &err), -1);
}

static void test_dir_remove_never_follows_links(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *keep = xasprintf("%s/keep", folder);
    CLEANUP(cleanup_free) char *kept = xasprintf("%s/keep/file", folder);
    CLEANUP(cleanup_free) char *drop = xasprintf("%s/drop", folder);
    CLEANUP(cleanup_free) char *link = xasprintf("%s/drop/link", folder);
    CLEANUP(cleanup_free) char *top_link = xasprintf("%s/top-link", folder);
    CLEANUP(cleanup_free) char *locked = xasprintf("%s/drop/locked", folder);
    CLEANUP(cleanup_free) char *inside = xasprintf("%s/drop/locked/inside", folder);

    assert_int_equal(dir_make(keep, 0700, &err), 0);
    assert_int_equal(file_write_atomic(kept, "x", 1, 0600, &err), 0);
    assert_int_equal(dir_make(inside, 0700, &err), 0);
    assert_int_equal(chmod(locked, 0), 0);
    assert_int_equal(symlink(keep, link), 0);
    assert_int_equal(symlink(keep, top_link), 0);

    if (dir_remove(drop, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(access(drop, F_OK), -1);
    assert_int_equal(dir_remove(top_link, &err), 0);
    assert_int_equal(access(kept, F_OK), 0);
    assert_int_equal(dir_remove(drop, &err), 0); /* missing is success */
    assert_int_equal(dir_remove(kept, &err), 0); /* a file too */
    assert_int_equal(access(kept, F_OK), -1);
}

static void test_dir_remove_of_a_very_deep_tree(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *top = xasprintf("%s/deep", folder);

    assert_int_equal(dir_make(top, 0700, &err), 0);
    int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) { /* far longer than PATH_MAX and than the open files limit */
        assert_int_equal(mkdirat(fd, "dddddddd", 0700), 0);
        int next = openat(fd, "dddddddd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    close(fd);
    if (dir_remove(top, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(access(top, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_i64),
        cmocka_unit_test(test_parse_double),
        cmocka_unit_test(test_parse_duration_and_bytes),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_file_read_and_write),
        cmocka_unit_test(test_dir_make),
        cmocka_unit_test(test_dir_remove_never_follows_links),
        cmocka_unit_test(test_dir_remove_of_a_very_deep_tree),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
