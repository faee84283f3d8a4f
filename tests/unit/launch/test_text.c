/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's pure parts: $(NAME), what may be expanded, the kept end of the output, orders. */
#include "launch/expand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "launch/order.h"
#include "launch/output.h"
#include "launch/venv.h"

static void test_expand(void **state)
{
    (void)state;
    static char a[] = "A=one", b[] = "B=$(A)", e[] = "E=", a2[] = "AA=two";
    static char *const env[] = {a, b, e, a2, NULL};
    /* Cases as in Kubernetes' own table (third_party/forked/golang/expansion). */
    static const struct {
        const char *name, *in, *out;
    } rows[] = {
        {"whole string", "$(A)", "one"},
        {"repeat", "$(A)-$(A)", "one-one"},
        {"longer name", "$(AA)$(A)", "twoone"},
        {"not expanded twice", "$(B)", "$(A)"},
        {"empty value", "x$(E)y", "xy"},
        {"unknown stays", "$(NOPE)", "$(NOPE)"},
        {"shell substitution stays", "echo $(date +%s)", "echo $(date +%s)"},
        {"escaped", "$$(A)", "$(A)"},
        {"escaped pair", "$$$$(A)", "$$(A)"},
        {"escaped and real", "$$$(A)", "$one"},
        {"double dollar", "pid $$", "pid $"},
        {"lonely dollar at the end", "cost 5$", "cost 5$"},
        {"dollar and letter", "$A ${A}", "$A ${A}"},
        {"open bracket only", "$(A", "$(A"},
        {"open bracket at the end", "x$(", "x$("},
        {"nested", "$($(A))", "$($(A))"},
        {"empty name", "$()", "$()"},
        {"nothing", "", ""},
        {"backslashes are nothing special", "\\$(A)", "\\one"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        CLEANUP(cleanup_free) char *out = expand(rows[i].in, env);
        assert_string_equal(out, rows[i].out);
    }
}

static void test_order_expansion(void **state)
{
    (void)state;
    static char own1[] = "OWN=o", own2[] = "PATH=/p", own3[] = "RONDO_TOKEN=secret";
    static char *const own[] = {own1, own2, own3, NULL};
    const char *text =
        "{\"v\": 1, \"argv\": [\"$(OWN)\", \"{\\\"a\\\": \\\"$$(OWN)\\\"}\", \"$$x\", \"$$y\", "
        "\"$(OWN) $(OWN) $(OWN)\", \"$(OWN)\", \"$$(OWN)\", \"$(OWN)\"], \"values\": [[3, 0, 3], "
        "[4, 7, 6], [5, 2, 3], [6, 1, 6], [7, 2, 0, 5, 0]], "
        "\"env\": {\"A\": \"1$(OWN)\", \"B\": \"$(A)$(C)\", \"C\": "
        "\"3\", \"D\": \"$(OWN)$(OWN)\", \"PATH\": \"/new:$(PATH)\"}, \"env_values\": {\"D\": [6, "
        "6]}}";
    struct order order;
    struct err err = ERR_INIT;
    assert_int_equal(order_parse(text, strlen(text), own, &order, &err), 0);
    /* As if values came in after the expansion: what they and their neighbours form is no name. */
    static const char *const want[] = {
        "o", "{\"a\": \"$(OWN)\"}", "$x", "$$y", "o $(OWN) o", "$(OWN)", "$$(OWN)", "$(OWN)"};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_string_equal(order.argv[i], want[i]);
    }
    assert_null(order.argv[ARRAY_LEN(want)]);
    assert_string_equal(env_find(order.env, "A", 1), "1o");
    assert_string_equal(env_find(order.env, "B", 1), "1o$(C)"); /* only earlier ones */
    assert_string_equal(env_find(order.env, "D", 1), "o$(OWN)");
    assert_null(env_find(order.env, "RONDO_TOKEN", 11));
    order_done(&order);
}

static void test_bad_orders(void **state)
{
    (void)state;
    static char *const own[] = {NULL};
    static const struct {
        const char *name, *text, *word;
    } rows[] = {
        {"no JSON", "{", "work order"},
        {"a list", "[]", "work order"},
        {"no version", "{}", "version 0"},
        {"newer version", "{\"v\": 2, \"argv\": [\"a\"]}", "version 2"},
        {"no argv", "{\"v\": 1}", "nothing to run"},
        {"empty argv", "{\"v\": 1, \"argv\": []}", "nothing to run"},
        {"values of no element", "{\"v\": 1, \"argv\": [\"a\"], \"values\": [[1, 0, 1]]}",
            "values[0]"},
        {"values that are none", "{\"v\": 1, \"argv\": [\"a\"], \"values\": [7]}", "values[0]"},
        {"values beyond the text", "{\"v\": 1, \"argv\": [\"a\"], \"values\": [[0, 1, 1]]}",
            "values: argv[0]"},
        {"values far beyond",
            "{\"v\": 1, \"argv\": [\"a\"], \"values\": [[0, 1, 9223372036854775807]]}",
            "values: argv[0]"},
        {"values that overlap", "{\"v\": 1, \"argv\": [\"abc\"], \"values\": [[0, 0, 2, 1, 1]]}",
            "values: argv[0]"},
        {"half a value", "{\"v\": 1, \"argv\": [\"abc\"], \"values\": [[0, 0]]}",
            "values: argv[0]"},
        {"negative value", "{\"v\": 1, \"argv\": [\"abc\"], \"values\": [[0, 1, -1]]}",
            "values: argv[0]"},
        {"values of env",
            "{\"v\": 1, \"argv\": [\"a\"], \"env\": {\"A\": \"b\"}, \"env_values\": "
            "{\"A\": [2, 0]}}",
            "env_values.A"},
        {"argv of numbers", "{\"v\": 1, \"argv\": [1]}", "argv[0]"},
        {"env of numbers", "{\"v\": 1, \"argv\": [\"a\"], \"env\": {\"A\": 1}}", "env.A"},
        {"env name with =", "{\"v\": 1, \"argv\": [\"a\"], \"env\": {\"A=\": \"\"}}", "env.A="},
        {"relative path",
            "{\"v\": 1, \"argv\": [\"a\"], \"output_params\": [{\"name\": \"x\", \"path\": "
            "\"y\"}]}",
            "not absolute"},
        {"artifact without uri",
            "{\"v\": 1, \"argv\": [\"a\"], \"inputs\": [{\"name\": \"x\", \"path\": \"/y\"}]}",
            "uri"},
        {"negative time limit", "{\"v\": 1, \"argv\": [\"a\"], \"timeout_s\": -1}", "timeout_s"},
        {"huge parameter limit", "{\"v\": 1, \"argv\": [\"a\"], \"max_param_bytes\": 1e12}",
            "max_param_bytes"},
        {"transfer of no kind", "{\"v\": 1, \"argv\": [\"a\"], \"transfer\": 1}", "transfer"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct order order;
        struct err err = ERR_INIT;
        assert_int_equal(order_parse(rows[i].text, strlen(rows[i].text), own, &order, &err), -1);
        print_message("  %s: %s\n", rows[i].name, err.msg);
        assert_non_null(strstr(err.msg, rows[i].word));
    }
}

static void test_tail(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *parts[4];
        const char *want;
    } rows[] = {
        {"nothing", {NULL}, ""},
        {"fits", {"ab", "cd\n"}, "abcd\n"},
        {"exactly full", {"12345678"}, "12345678"},
        {"whole lines where possible", {"xx\n", "1234567"}, "1234567"},
        {"no line to begin at", {"aaaaaaaaaaaaaaaaaaaaa", "b"}, "aaaaaaab"},
        {"one large part", {"0123456789abcdef"}, "89abcdef"},
        {"cut inside a character",
            {"abc\xc3\xa4"
             "1234567"},
            "\xef\xbf\xbd"
            "1234567"},
        {"bad bytes",
            {"a\xff"
             "b\xc0\xaf"},
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd"},
        {"surrogate", {"\xed\xa0\x80"}, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"good characters", {"\xc3\xa4\xe2\x82\xac"}, "\xc3\xa4\xe2\x82\xac"},
    };
    int fd = dup(1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct output out;
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        output_init(&out, pipes[1], 0, 8);
        for (size_t k = 0; k < 4 && rows[i].parts[k] != NULL; k++) {
            output_add(&out, rows[i].parts[k], strlen(rows[i].parts[k]));
        }
        CLEANUP(cleanup_free) char *tail = output_tail(&out);
        assert_string_equal(tail, rows[i].want);
        assert_true(text_is_utf8(tail, strlen(tail)));
        output_done(&out);
        close(pipes[0]);
        close(pipes[1]);
    }
    close(fd);
    assert_false(text_is_utf8("a\0b", 3));
    assert_false(text_is_utf8("\xf4\x90\x80\x80", 4));
}

static void test_venv_kinds(void **state)
{
    (void)state;
#define SCRIPT                                                                                     \
    "\nif ! [ -x \"$(command -v pip)\" ]; then\n    python3 -m ensurepip\nfi\n\n"                  \
    "PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet 'kfp==2.17.0' && \"$0\" "      \
    "\"$@\"\n"
    static const struct {
        const char *name;
        const char *argv[8];
        enum venv_kind kind;
    } rows[] = {
        {"the SDK's wrapper", {"sh", "-c", SCRIPT, "sh", "-ec", "program", "--x"},
            VENV_KIND_CACHED},
        {"with a path", {"/bin/bash", "-c", SCRIPT, "python3", "x.py"}, VENV_KIND_CACHED},
        {"nothing to run after it", {"sh", "-c", SCRIPT}, VENV_KIND_PRIVATE},
        {"goes on after the rest",
            {"sh", "-c", "pip install x && \"$0\" \"$@\" && echo", "sh", "x"}, VENV_KIND_PRIVATE},
        {"makes its own environment",
            {"sh", "-c", "python3 -m venv v; pip install x && \"$0\" \"$@\"", "sh", "x"},
            VENV_KIND_PRIVATE},
        {"leaves variables", {"sh", "-c", "export A=1; pip install x && \"$0\" \"$@\"", "sh", "x"},
            VENV_KIND_PRIVATE},
        {"plain script", {"sh", "-c", "pip install x; python3 -c 'import x'"}, VENV_KIND_PRIVATE},
        {"as words", {"python3", "-m", "pip", "install", "x"}, VENV_KIND_PRIVATE},
        {"no pip", {"sh", "-c", "echo pip"}, VENV_KIND_NONE},
        {"python alone", {"python3", "-c", "print(1)"}, VENV_KIND_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        size_t argc = 0;
        while (rows[i].argv[argc] != NULL) {
            argc++;
        }
        assert_int_equal(venv_kind_of((char *const *)rows[i].argv, argc), rows[i].kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_order_expansion),
        cmocka_unit_test(test_bad_orders),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_venv_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
