/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables: sources, precedence, refusals, help and print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/util.h"

struct sample {
    char *name, *level, *token, *hosts;
    bool open, ready;
    int64_t count, wait_ms, size;
};

#define AT(field) offsetof(struct sample, field)

static const struct option table[] = {
    {"name", OPTION_STRING, AT(name), NULL, 0, 0, NULL, "General", "A name."},
    {"log-level", OPTION_STRING, AT(level), "info", 0, 0, "debug|info|warn", "General",
        "How much is said."},
    {"token", OPTION_SECRET, AT(token), NULL, 0, 0, NULL, "General", "Nobody sees this."},
    {"open", OPTION_BOOL, AT(open), NULL, 0, 0, NULL, "General", "Open to all."},
    {"ready", OPTION_BOOL, AT(ready), "true", 0, 0, NULL, "General", "Ready from the start."},
    {"max-count", OPTION_INT, AT(count), "5", 1, 10, NULL, "Limits", "How many."},
    {"wait", OPTION_DURATION, AT(wait_ms), "90s", 0, 86400000, NULL, "Limits", "How long."},
    {"max-size", OPTION_BYTES, AT(size), "33MiB", 1024, INT64_C(1) << 40, NULL, "Limits",
        "How big, told in a sentence that is long enough to be broken into two lines, since help "
        "should fit the terminal."},
    {"hosts", OPTION_LIST, AT(hosts), "a,b", 0, 0, NULL, "Limits", "Which ones."},
};

static char path[] = "/tmp/rondo-conf-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0 ? 0 : -1;
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text)
{
    struct err err = ERR_INIT;
    assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, &err), 0);
}

/* yaml and env may be NULL; env is one NAME=value. At most six flags. */
struct given {
    const char *yaml, *env, *flags[6];
};

static int load(const struct given *given, struct sample *out, struct err *err)
{
    char *argv[12] = {(char *)(uintptr_t) "program"};
    int argc = 1;
    char *variable = NULL;

    if (given->yaml != NULL) {
        write_file(given->yaml);
        argv[argc++] = (char *)(uintptr_t) "--config";
        argv[argc++] = path;
    }
    for (size_t i = 0; i < ARRAY_LEN(given->flags) && given->flags[i] != NULL; i++) {
        argv[argc++] = (char *)(uintptr_t)given->flags[i];
    }
    if (given->env != NULL) {
        variable = xstrdup(given->env);
        char *equals = strchr(variable, '=');
        *equals = '\0';
        setenv(variable, equals + 1, 1);
    }
    memset(out, 0, sizeof *out);
    int rc = conf_load(table, ARRAY_LEN(table), out, argc, argv, err);
    if (variable != NULL) {
        unsetenv(variable);
        free(variable);
    }
    return rc;
}

static void test_defaults(void **state)
{
    (void)state;
    struct sample s;
    struct err err = ERR_INIT;

    assert_int_equal(load(&(struct given){0}, &s, &err), 0);
    assert_null(s.name);
    assert_string_equal(s.level, "info");
    assert_false(s.open);
    assert_true(s.ready);
    assert_int_equal(s.count, 5);
    assert_int_equal(s.wait_ms, 90000);
    assert_int_equal(s.size, INT64_C(33) << 20);
    assert_string_equal(s.hosts, "a,b");
    conf_free(table, ARRAY_LEN(table), &s);
    assert_null(s.level);
}

static void test_max_count_by_source(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct given given;
        int64_t want;
    } rows[] = {
        {"file", {"max-count: 2\n", NULL, {NULL}}, 2},
        {"environment", {NULL, "RONDO_MAX_COUNT=3", {NULL}}, 3},
        {"flag", {NULL, NULL, {"--max-count=4"}}, 4},
        {"flag and value apart", {NULL, NULL, {"--max-count", "4"}}, 4},
        {"environment over file", {"max-count: 2\n", "RONDO_MAX_COUNT=3", {NULL}}, 3},
        {"flag over both", {"max-count: 2\n", "RONDO_MAX_COUNT=3", {"--max-count=4"}}, 4},
        {"the last flag", {NULL, NULL, {"--max-count=4", "--max-count=6"}}, 6},
        {"null in the file is the default", {"max-count:\n", NULL, {NULL}}, 5},
        {"an empty variable is not set", {NULL, "RONDO_MAX_COUNT=", {NULL}}, 5},
        {"an empty file", {"", NULL, {NULL}}, 5},
        {"only comments", {"# nothing\n", NULL, {NULL}}, 5},
        {"Kubernetes: a Service of our name", {NULL, "RONDO_PORT=tcp://10.0.0.1:88", {NULL}}, 5},
        {"Kubernetes: its parts", {NULL, "RONDO_PORT_8888_TCP_ADDR=10.0.0.1", {NULL}}, 5},
        {"Kubernetes: another one", {NULL, "RONDO_REDIS_SERVICE_HOST=10.0.0.1", {NULL}}, 5},
        {"the client's variable", {NULL, "RONDO_HOST=http://x", {NULL}}, 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sample s;
        struct err err = ERR_INIT;
        if (load(&rows[i].given, &s, &err) != 0) {
            fail_msg("%s: %s", rows[i].name, err.msg);
        }
        if (s.count != rows[i].want) {
            fail_msg("%s: %lld", rows[i].name, (long long)s.count);
        }
        conf_free(table, ARRAY_LEN(table), &s);
    }
}

static void test_booleans_and_lists(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct given given;
        bool open, ready;
        const char *hosts;
    } rows[] = {
        {"bare flags", {NULL, NULL, {"--open", "--no-ready"}}, true, false, "a,b"},
        {"spelled out", {NULL, NULL, {"--open=yes", "--ready=off"}}, true, false, "a,b"},
        {"environment", {NULL, "RONDO_OPEN=1", {NULL}}, true, true, "a,b"},
        {"file", {"open: on\nready: False\n", NULL, {NULL}}, true, false, "a,b"},
        {"--no- after", {"open: true\n", NULL, {"--no-open"}}, false, true, "a,b"},
        {"list as text", {"hosts: c,d\n", NULL, {NULL}}, false, true, "c,d"},
        {"list as sequence", {"hosts: [c, d]\n", NULL, {NULL}}, false, true, "c,d"},
        {"list as lines", {"hosts:\n- c\n- d\n- e\n", NULL, {NULL}}, false, true, "c,d,e"},
        {"an empty list", {"hosts: []\n", NULL, {NULL}}, false, true, ""},
        {"flags replace, then add", {"hosts: c\n", NULL, {"--hosts=d", "--hosts", "e"}}, false,
            true, "d,e"},
        {"one document with its end", {"---\nopen: true\n...\n", NULL, {NULL}}, true, true, "a,b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sample s;
        struct err err = ERR_INIT;
        if (load(&rows[i].given, &s, &err) != 0) {
            fail_msg("%s: %s", rows[i].name, err.msg);
        }
        if (s.open != rows[i].open || s.ready != rows[i].ready ||
            strcmp(s.hosts, rows[i].hosts) != 0) {
            fail_msg("%s: %d %d %s", rows[i].name, s.open, s.ready, s.hosts);
        }
        conf_free(table, ARRAY_LEN(table), &s);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct given given;
        const char *said[2]; /* all in the message; FILE stands for the path */
    } rows[] = {
        {"misspelled flag", {NULL, NULL, {"--max-cuont=4"}}, {"did you mean --max-count?"}},
        {"unlike any flag", {NULL, NULL, {"--zzzzzzzzz"}}, {"--zzzzzzzzz", "--help"}},
        {"misspelled --no-", {NULL, NULL, {"--no-opne"}}, {"did you mean --no-open?"}},
        {"--no- of a text", {NULL, NULL, {"--no-name"}}, {"did you mean --name?"}},
        {"misspelled variable", {NULL, "RONDO_MAXCOUNT=4", {NULL}}, {"RONDO_MAX_COUNT?"}},
        {"lower case variable", {NULL, "RONDO_max_count=4", {NULL}}, {"RONDO_MAX_COUNT?"}},
        {"unlike any variable", {NULL, "RONDO_ZZZZZZZZZ=4", {NULL}}, {"RONDO_ZZZZZZZZZ"}},
        {"misspelled setting", {"open: true\nmaxcount: 4\n", NULL, {NULL}},
            {"FILE:2: ", "did you mean 'max-count'?"}},
        {"underscores in the file", {"max_count: 4\n", NULL, {NULL}}, {"'max-count'?"}},
        {"nested", {"name: {a: b}\n", NULL, {NULL}}, {"FILE:1: name", "single value"}},
        {"list where text belongs", {"name: [a]\n", NULL, {NULL}}, {"FILE:1: name"}},
        {"list in a list", {"hosts: [[a]]\n", NULL, {NULL}}, {"FILE:1: hosts"}},
        {"comma in a list's value", {"hosts: ['a,b']\n", NULL, {NULL}}, {"comma"}},
        {"twice", {"open: 1\nname: x\nopen: 1\n", NULL, {NULL}}, {"FILE:3: ", "line 1"}},
        {"a list as document", {"- a\n", NULL, {NULL}}, {"FILE:1: "}},
        {"two documents", {"open: 1\n---\nopen: 1\n", NULL, {NULL}}, {"FILE:2: "}},
        {"broken YAML", {"open: 1\n  name: : x\n", NULL, {NULL}}, {"FILE:2: "}},
        {"broken behind the document", {"open: 1\n---\n}\n", NULL, {NULL}}, {"FILE:3: "}},
        {"NUL in the file", {"name: \"a\\0b\"\n", NULL, {NULL}}, {"NUL"}},
        {"not UTF-8 in the file", {"name: \xff\n", NULL, {NULL}}, {"FILE"}},
        {"not UTF-8 in the environment", {NULL, "RONDO_NAME=\xff", {NULL}}, {"RONDO_NAME"}},
        {"not UTF-8 in a flag", {NULL, NULL, {"--name=\xff"}}, {"--name: not UTF-8"}},
        {"below", {NULL, NULL, {"--max-count=0"}}, {"--max-count", "1 to 10"}},
        {"above", {NULL, "RONDO_MAX_COUNT=11", {NULL}}, {"RONDO_MAX_COUNT", "1 to 10"}},
        {"no number", {"max-count: many\n", NULL, {NULL}}, {"FILE:1: max-count", "'many'"}},
        {"duration without sense", {NULL, NULL, {"--wait=soon"}}, {"--wait", "10s"}},
        {"duration too long", {NULL, NULL, {"--wait=2d"}}, {"--wait", "86400000 ms"}},
        {"size too small", {NULL, NULL, {"--max-size=1k", "--max-size=1"}}, {"1024"}},
        {"no boolean", {NULL, NULL, {"--open=perhaps"}}, {"--open", "'perhaps'"}},
        {"no such choice", {NULL, NULL, {"--log-level=loud"}}, {"'loud'", "debug|info|warn"}},
        {"part of a choice", {NULL, NULL, {"--log-level=warn|info"}}, {"debug|info|warn"}},
        {"empty choice", {NULL, NULL, {"--log-level="}}, {"debug|info|warn"}},
        {"value missing at the end", {NULL, NULL, {"--name"}}, {"--name: needs a value"}},
        {"value missing before a flag", {NULL, NULL, {"--name", "--open"}}, {"needs a value"}},
        {"an argument", {NULL, NULL, {"start"}}, {"unexpected argument 'start'"}},
        {"single dash", {NULL, NULL, {"-name=x"}}, {"unexpected argument"}},
        {"two dashes", {NULL, NULL, {"--"}}, {"unexpected argument"}},
        {"no name", {NULL, NULL, {"--=x"}}, {"unexpected argument"}},
        {"no such file", {NULL, NULL, {"--config=/no/such/file"}}, {"/no/such/file"}},
        {"--config without a value", {NULL, NULL, {"--config"}}, {"--config: needs a value"}},
        {"a good flag, then a bad one", {NULL, NULL, {"--name=x", "--oops"}}, {"--oops"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sample s;
        struct err err = ERR_INIT;
        if (load(&rows[i].given, &s, &err) == 0) {
            fail_msg("%s: taken", rows[i].name);
        }
        assert_null(s.name); /* nothing left to free */
        assert_null(s.level);
        for (size_t j = 0; j < ARRAY_LEN(rows[i].said) && rows[i].said[j] != NULL; j++) {
            bool of_file = str_starts(rows[i].said[j], "FILE");
            CLEANUP(cleanup_free)
            char *want = xasprintf("%s%s", of_file ? path : "", rows[i].said[j] + 4 * of_file);
            if (strstr(err.msg, want) == NULL) {
                fail_msg("%s: '%s' lacks '%s'", rows[i].name, err.msg, want);
            }
        }
    }
}

static void test_file_named_by_the_environment(void **state)
{
    (void)state;
    struct sample s;
    struct err err = ERR_INIT;

    write_file("max-count: 9\n");
    setenv("RONDO_CONFIG", path, 1);
    assert_int_equal(load(&(struct given){0}, &s, &err), 0);
    unsetenv("RONDO_CONFIG");
    assert_int_equal(s.count, 9);
    conf_free(table, ARRAY_LEN(table), &s);
}

static void test_print_reads_back(void **state)
{
    (void)state;
    struct sample s, again;
    struct err err = ERR_INIT;
    struct buf out, second;
    const struct given given = {NULL, "RONDO_TOKEN=hush",
        {"--name=a: \"b\" \\ #c\n\t\x7f\xe2\x82\xac", "--wait=1500ms", "--max-size=1500",
            "--no-ready", "--hosts=", "--open"}};

    assert_int_equal(load(&given, &s, &err), 0);
    buf_init(&out, 65536);
    conf_print(table, ARRAY_LEN(table), &s, &out);
    assert_null(strstr(buf_str(&out), "hush"));
    assert_non_null(strstr(buf_str(&out), "***"));
    assert_non_null(strstr(buf_str(&out), "wait: 1500ms\n"));

    const struct given from_print = {buf_str(&out), NULL, {NULL}};
    if (load(&from_print, &again, &err) != 0) {
        fail_msg("%s\n%s", err.msg, buf_str(&out));
    }
    assert_string_equal(again.name, s.name);
    assert_string_equal(again.hosts, s.hosts);
    assert_null(again.token);
    free(again.token);
    again.token = xstrdup("hush");
    buf_init(&second, 65536);
    conf_print(table, ARRAY_LEN(table), &again, &second);
    assert_string_equal(buf_str(&out), buf_str(&second));
    buf_done(&out);
    buf_done(&second);
    conf_free(table, ARRAY_LEN(table), &s);
    conf_free(table, ARRAY_LEN(table), &again);
}

static void test_help(void **state)
{
    (void)state;
    struct buf out;
    static const char *const lines[] = {
        "\nGeneral:\n",
        "\nLimits:\n",
        "  --log-level debug|info|warn  (default info)\n      How much is said.\n",
        "  --open\n",
        "  --ready  (default on; --no-ready)\n",
        "  --max-count NUMBER  (default 5)\n",
        "  --hosts A,B,...  (default a,b)\n",
    };

    buf_init(&out, 65536);
    conf_help(table, ARRAY_LEN(table), &out);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        if (strstr(buf_str(&out), lines[i]) == NULL) {
            fail_msg("no '%s' in:\n%s", lines[i], buf_str(&out));
        }
    }
    for (const char *at = buf_str(&out); *at != '\0'; at += strcspn(at, "\n") + 1) {
        assert_true(strcspn(at, "\n") <= 100);
    }
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_max_count_by_source),
        cmocka_unit_test(test_booleans_and_lists),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_file_named_by_the_environment),
        cmocka_unit_test(test_print_reads_back),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
