/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines, read back from standard error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"

static char line[32768];

/* Runs `statement` with standard error in a pipe; the line it wrote is in `line`. */
static int saved, ends[2];

static void capture(void)
{
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    dup2(ends[1], STDERR_FILENO);
}

static void release(void)
{
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t n = read(ends[0], line, sizeof line - 1);
    line[n > 0 ? n : 0] = '\0';
    close(ends[0]);
}

#define CAPTURED(statement)                                                                        \
    do {                                                                                           \
        capture();                                                                                 \
        statement;                                                                                 \
        release();                                                                                 \
    } while (0)

static void test_text_lines(void **state)
{
    (void)state;
    log_set(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    CAPTURED(LOG_INFO("run finished", "run=%s n=%d", "r1", 7));
    assert_int_equal(strlen("2026-11-23T09:30:00.123Z"), 24);
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[19], '.');
    assert_string_equal(line + 23, "Z info run finished run=r1 n=7\n");
    CAPTURED(LOG_WARN("stopped", "%s", ""));
    assert_string_equal(line + 23, "Z warn stopped\n");
    CAPTURED(LOG_DEBUG("not wanted", "x=%d", 1));
    assert_string_equal(line, "");
    log_set(LOG_LEVEL_TRACE, LOG_FORMAT_TEXT);
    CAPTURED(LOG_TRACE("wanted", "x=%d", 1));
    assert_string_equal(line + 23, "Z trace wanted x=1\n");
}

static void test_one_event_stays_one_line(void **state)
{
    (void)state;
    log_set(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    CAPTURED(LOG_INFO("x", "a=%s", "1\n2026-01-01T00:00:00.000Z error forged\x1b[0m"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_null(strchr(line, '\x1b'));
    char big[20000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    CAPTURED(LOG_INFO("x", "a=%s", big));
    assert_true(strlen(line) < 8192);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

static json_t *json_line(void)
{
    struct err err = ERR_INIT;
    json_t *value = jread_text(line, strlen(line), "line", &err);
    if (value == NULL) {
        fail_msg("%s in %s", err.msg, line);
    }
    return value;
}

static void test_json_lines(void **state)
{
    (void)state;
    log_set(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    CAPTURED(LOG_ERROR("a \"thing\"", "run=%s why=%s empty= odd  last=%s", "r1",
        LOG_Q("no \"such\" file\nat=all\xff"), "x\"y"));
    CLEANUP(json_decrefp) json_t *value = json_line();
    static const struct {
        const char *key, *want;
    } rows[] = {
        {"level", "error"},
        {"msg", "a \"thing\""},
        {"run", "r1"},
        {"why", "no \"such\" file\nat=all?"},
        {"empty", ""},
        {"text", "odd"},
        {"last", "x\"y"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(jget_str(value, rows[i].key, "(none)"), rows[i].want);
    }
    assert_int_equal(json_object_size(value), 8); /* and the time */
    assert_int_equal(strlen(jget_str(value, "time", "")), 24);

    /* A cut line is still JSON. */
    char big[20000];
    memset(big, '\\', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    CAPTURED(LOG_ERROR("x", "a=%s", big));
    json_decref(json_line());
    CAPTURED(LOG_ERROR("x", "a=\"%s", big));
    json_decref(json_line());
    memset(big, 1, sizeof big - 1);
    CAPTURED(LOG_ERROR(big, "a=%s", LOG_Q(big)));
    json_decref(json_line());
}

static void test_quote(void **state)
{
    (void)state;
    char big[600];

    assert_string_equal(log_quote(NULL), "\"\"");
    assert_string_equal(log_quote("a b"), "\"a b\"");
    assert_string_equal(log_quote("\"\\\t\x01"), "\"\\\"\\\\\\t\\u0001\"");
    for (size_t i = 0; i + 3 < sizeof big; i += 3) {
        memcpy(big + i, "\xe2\x82\xac", 4);
    }
    const char *quoted = log_quote(big);
    size_t len = strlen(quoted);
    assert_true(len <= 512);
    assert_true(str_ends(quoted, "\xe2\x82\xac...\""));
    /* Several in one line do not overwrite each other. */
    const char *a = LOG_Q("a"), *b = LOG_Q("b");
    assert_string_equal(a, "\"a\"");
    assert_string_equal(b, "\"b\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_lines),
        cmocka_unit_test(test_one_event_stays_one_line),
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
