/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter expressions: tables in tests/data/cel, and what a table cannot say. A row of a table is
 * `expression --> value`, `--> error part of the message` when evaluating fails, and
 * `--> refused part of the message` when compiling does; `--> fails` is either. With `==>` the
 * value is that of a literal. `with {...}` gives the variables from there on; '#' is a comment,
 * "<nl>" and "<cr>" within a row stand for the ends of lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"
#include "webhooks/cel/eval.h"

#define VARIABLES_MAX 30

struct table {
    const char *file;
    json_t *variables;
    size_t line, rows, failed;
};

static size_t names_of(json_t *variables, const char *names[], struct cel_var vars[])
{
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(variables, key, value)
    {
        assert_true(count < VARIABLES_MAX);
        vars[count].name = names[count] = key;
        vars[count++].value = value;
    }
    names[count] = NULL;
    return count;
}

/* "refused ...", "error ..." or the value, as in the tables. malloc'd. */
static char *outcome_of(const char *text, json_t *variables)
{
    const char *names[VARIABLES_MAX + 1];
    struct cel_var vars[VARIABLES_MAX];
    struct err err = ERR_INIT;
    size_t count = names_of(variables, names, vars);
    struct cel *cel = cel_compile_value(text, names, &err);
    if (cel == NULL) {
        assert_true(err.code == ERR_INVALID || err.code == ERR_LIMIT);
        return xasprintf("refused %s", err.msg);
    }
    struct cel_run run = {.source = cel->text,
        .vars = vars,
        .var_count = count,
        .steps = CEL_STEPS_MAX,
        .bytes = CEL_BYTES_MAX};
    struct cel_value value = cel_eval(&run, cel->root);
    struct buf shown;
    buf_init(&shown, 4 * CEL_BYTES_MAX);
    if (value.kind == CEL_ERROR) {
        buf_addf(&shown, "error column %zu: ", cel_column(text, (size_t)value.nanos));
    }
    cel_show(&value, &shown);
    json_t *json = cel_evaluate(cel, vars, count, &err); /* the public way says the same */
    assert_int_equal(json == NULL, value.kind == CEL_ERROR);
    json_decref(json);
    pool_free(run.pool);
    cel_free(cel);
    return buf_steal(&shown, NULL);
}

static bool fits(const char *outcome, const char *wanted)
{
    const char *word = str_starts(wanted, "error")     ? "error"
                       : str_starts(wanted, "refused") ? "refused"
                                                       : NULL;
    if (strcmp(wanted, "fails") == 0) {
        return str_starts(outcome, "error ") || str_starts(outcome, "refused ");
    }
    if (word == NULL) {
        return strcmp(outcome, wanted) == 0;
    }
    const char *part = wanted + strlen(word);
    part += *part == ' ';
    return str_starts(outcome, word) && strstr(outcome + strlen(word) + 1, part) != NULL;
}

static void unescape_lines(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        bool is_end = str_starts(from, "<nl>") || str_starts(from, "<cr>");
        *to++ = !is_end ? *from : from[1] == 'n' ? '\n' : '\r';
        from += is_end ? 3 : 0;
    }
    *to = '\0';
}

/* Maps have no order, so what is not written alike may still be equal; of the same kind at least.
 */
static bool is_same_value(const char *text, const char *literal, json_t *variables)
{
    char *a CLEANUP(cleanup_free) = outcome_of(text, variables);
    char *b CLEANUP(cleanup_free) = outcome_of(literal, variables);
    char *equal CLEANUP(cleanup_free) = xasprintf("(%s) == (%s)", text, literal);
    char *c CLEANUP(cleanup_free) =
        a[0] == '{' && b[0] == '{' ? outcome_of(equal, variables) : NULL;
    return str_eq(a, b) || str_eq(c, "true");
}

static void set_variables(struct table *t, const char *text)
{
    json_error_t error;
    json_decref(t->variables);
    t->variables = json_loads(text, JSON_ALLOW_NUL, &error);
    assert_non_null(t->variables);
}

static void table_row(struct table *t, char *line)
{
    char *arrow = strstr(line, " --> "), *equal = strstr(line, " ==> ");
    if (str_starts(line, "with ")) {
        set_variables(t, line + 5);
        return;
    }
    if (arrow == NULL && equal == NULL) {
        print_error("%s:%zu: a row without an arrow: %s\n", t->file, t->line, line);
        fail();
    }
    char *wanted = (arrow != NULL ? arrow : equal) + 5;
    wanted[-5] = '\0';
    unescape_lines(line);
    t->rows++;
    char *outcome CLEANUP(cleanup_free) = outcome_of(line, t->variables);
    if (arrow != NULL ? !fits(outcome, wanted) : !is_same_value(line, wanted, t->variables)) {
        t->failed++;
        print_error(
            "%s:%zu: %s\n    wanted %s\n    got    %s\n", t->file, t->line, line, wanted, outcome);
    }
}

static void run_table(const char *file, size_t least)
{
    struct err err = ERR_INIT;
    char *path CLEANUP(cleanup_free) = xasprintf(TEST_DATA "/cel/%s", file);
    char *text CLEANUP(cleanup_free) = file_read(path, 1 << 20, NULL, &err);
    if (text == NULL) {
        print_error("%s\n", err.msg);
        fail();
    }
    struct table t = {.file = file, .variables = json_object()};
    for (char *line = text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        t.line++;
        if (line[0] != '\0' && line[0] != '#') {
            table_row(&t, line);
        }
    }
    json_decref(t.variables);
    print_message("%s: %zu of %zu rows pass\n", file, t.rows - t.failed, t.rows);
    assert_true(t.rows >= least);
    assert_int_equal(t.failed, 0);
}

static void test_core(void **state UNUSED)
{
    run_table("core.cases", 190);
}

static void test_conformance(void **state UNUSED)
{
    run_table("conformance.cases", 1509);
}

static void test_functions(void **state UNUSED)
{
    run_table("functions.cases", 184);
}

static void test_examples(void **state UNUSED)
{
    run_table("examples.cases", 15);
}

/* ---- filters ---- */

static const char *const names[] = {"a", "b", NULL};

static void expect_refused(const char *text, enum err_code code, const char *part)
{
    struct err err = ERR_INIT;
    struct cel *cel = cel_compile(text, names, &err);
    if (cel != NULL || err.code != code || strstr(err.msg, part) == NULL) {
        print_error("%.80s: %s\n", text, cel != NULL ? "compiles" : err.msg);
        fail();
    }
    assert_null(cel_compile(text, names, NULL)); /* nobody need listen */
}

/* A filter that cannot say yes would be silent for ever. */
static void test_filters_that_never_match(void **state UNUSED)
{
    static const char *const rows[][2] = {
        {"'a'", "gives a string, not true or false"},
        {"1 + 1", "gives an int, not true or false"},
        {"a + 1", "not true or false"},
        {"-a", "not true or false"},
        {"size(a)", "gives an int"},
        {"[a]", "gives a list"},
        {"a.filter(x, x)", "gives a list"},
        {"{'a': a}", "gives a map"},
        {"null", "gives null"},
        {"a.b.trim()", "gives a string"},
        {"a ? 'x' : 'y'", "gives a string"},
        {"true ? 1 : 2", "gives an int"},
        {"1 / 0 == 1", "column 1: divide by zero"},
        {"'a' < 1", "column 1: no such overload"},
        {"[1].map(x, x / 0) == []", "divide by zero"},
        {"int", "gives a type"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect_refused(rows[i][0], ERR_INVALID, rows[i][1]);
    }
}

static void test_filters_decide(void **state UNUSED)
{
    static const struct {
        const char *text;
        int status;
        bool out;
    } rows[] = {
        {"a", 0, true},
        {"!a", 0, false},
        {"true", 0, true},
        {"false", 0, false},
        {"b", -1, false},
        {"b == 1 || b", 0, true},
        {"b == 2 || b", -1, false},
        {"b.c == 1", -1, false},
        {"a ? b : a", -1, false},
        {"a || b.c", 0, true},
    };
    json_t *a = json_true(), *b = json_integer(1);
    const struct cel_var vars[] = {{"unused", NULL}, {"b", b}, {"a", a}}; /* in any order */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct cel *cel = cel_compile(rows[i].text, names, &err);
        assert_non_null(cel);
        assert_string_equal(cel_text(cel), rows[i].text);
        for (int again = 0; again < 2; again++) {
            bool out = !rows[i].out;
            err_clear(&err);
            assert_int_equal(cel_matches(cel, vars, ARRAY_LEN(vars), &out, &err), rows[i].status);
            assert_int_equal(out, rows[i].out);
            assert_int_equal(err.code, rows[i].status == 0 ? ERR_NONE : ERR_INVALID);
        }
        cel_free(cel);
    }
    json_decref(b);
}

static void test_missing_variable_is_an_error(void **state UNUSED)
{
    struct err err = ERR_INIT;
    struct cel *cel = cel_compile("b || a", names, &err);
    const struct cel_var vars[] = {{"a", json_true()}, {"b", NULL}};
    bool out;
    assert_int_equal(cel_matches(cel, vars, 2, &out, &err), 0);
    assert_true(out);
    assert_int_equal(cel_matches(cel, NULL, 0, &out, &err), -1);
    assert_false(out);
    assert_string_equal(err.msg, "column 1: the variable b has no value here");
    cel_free(cel);
    cel_free(NULL);
}

/* ---- to JSON ---- */

static void test_values_as_json(void **state UNUSED)
{
    static const char *const rows[][2] = {
        {"[1, 2u, 1.5, true, null, 'a']", "[1, 2, 1.5, true, null, \"a\"]"},
        {"18446744073709551615u", "\"18446744073709551615\""},
        {"double('NaN')", "\"NaN\""},
        {"-1.0 / 0.0", "\"-Infinity\""},
        {"b'\\xff\\x00'", "\"/wA=\""},
        {"{1: 'a', true: 2, 'k': {}, 3u: []}", "{\"1\": \"a\", \"true\": 2, \"k\": {}, \"3\": []}"},
        {"timestamp('2026-11-23T10:30:00.5+01:00')", "\"2026-11-23T09:30:00.5Z\""},
        {"duration('1h1.5s')", "\"3601.5s\""},
        {"type(1)", "\"int\""},
        {"'a\\000b'", "\"a\\u0000b\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct cel *cel = cel_compile_value(rows[i][0], names, &err);
        json_t *value = cel_evaluate(cel, NULL, 0, &err);
        json_t *wanted = json_loads(rows[i][1], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(wanted);
        if (!json_equal(value, wanted)) {
            print_error("%s\n", rows[i][0]);
            fail();
        }
        json_decref(wanted);
        json_decref(value);
        cel_free(cel);
    }
}

/* ---- ceilings ---- */

/* before, then `part` so often, then after. malloc'd. */
static char *repeated(const char *before, const char *part, size_t times, const char *after)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_adds(&text, before);
    for (size_t i = 0; i < times; i++) {
        buf_adds(&text, part);
    }
    buf_adds(&text, after);
    return buf_steal(&text, NULL);
}

static void test_ceilings_of_the_text(void **state UNUSED)
{
    static const struct {
        const char *before, *part;
        size_t times; /* so many are fine, one more is not */
        const char *after, *message;
    } rows[] = {
        {"a", " ", CEL_TEXT_MAX - 1, "", "the expression has 4097 bytes; at most 4096 are allowed"},
        {"a == [", "1,", CEL_NODES_MAX - 3, "]", "more than 1000 parts"},
        {"", "(", 0, "a", "expected an operator or ')'"},
        {"a == 1", " + 1", CEL_HEIGHT_MAX - 1, "", "more than 200 operators on top of each other"},
        {"a", ".b", CEL_HEIGHT_MAX, "", "more than 200 operators on top of each other"},
        {"", "!", CEL_HEIGHT_MAX, "a", "more than 200 operators on top of each other"},
        {"a == ", "[", CEL_NESTING_MAX, "", "more than 100 nested brackets"},
        {"a == ", "{1:", CEL_NESTING_MAX, "", "more than 100 nested brackets"},
        {"", "a[", CEL_NESTING_MAX, "", "more than 100 nested brackets"},
        {"", "a ? a : ", CEL_NESTING_MAX, "a", "more than 100 nested brackets"},
        {"", "size(", CEL_NESTING_MAX, "", "more than 100 nested brackets"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        char *most CLEANUP(cleanup_free) =
            repeated(rows[i].before, rows[i].part, rows[i].times - (i > 5), rows[i].after);
        char *more CLEANUP(cleanup_free) =
            repeated(rows[i].before, rows[i].part, rows[i].times + 1, rows[i].after);
        struct cel *cel = cel_compile(most, names, &err);
        assert_true(cel != NULL || err.code != ERR_LIMIT);
        cel_free(cel);
        expect_refused(more, i == 2 ? ERR_INVALID : ERR_LIMIT, rows[i].message);
    }
    /* && and || are as flat as they look */
    char *flat CLEANUP(cleanup_free) = repeated("a", "||a", 998, "");
    struct cel *cel = cel_compile(flat, names, NULL);
    assert_non_null(cel);
    cel_free(cel);
    expect_refused("a == '\xff'", ERR_INVALID, "byte 7 of the expression is not UTF-8");
}

static void expect_spent(const char *text, const json_t *a, const char *part)
{
    struct err err = ERR_INIT;
    const struct cel_var vars[] = {{"a", a}};
    struct cel *cel = cel_compile(text, names, &err);
    if (cel == NULL) {
        print_error("%s: %s\n", text, err.msg);
        fail();
    }
    bool out = true;
    int status = cel_matches(cel, vars, 1, &out, &err);
    if (status != -1 || out || err.code != ERR_LIMIT || strstr(err.msg, part) == NULL) {
        print_error("%s: %d %s\n", text, status, err.msg);
        fail();
    }
    cel_free(cel);
}

static void test_ceilings_of_an_evaluation(void **state UNUSED)
{
    json_t *list = json_array(), *deep = json_integer(1);
    char *text CLEANUP(cleanup_free) = repeated("", "ab", 2000, "");
    for (int i = 0; i < 1000; i++) {
        json_array_append_new(list, json_string(text));
    }
    for (int i = 0; i < 1000; i++) {
        deep = json_pack("[o]", deep);
    }
    static const char *const steps[] = {
        "a.all(x, a.all(y, true))",
        "a.all(x, a.all(y, true)) || true",
        "a.exists(x, a.exists(y, false)) || true",
        "!a.exists(x, a.exists(y, false)) && false",
        "a.all(x, a == a)",
        "a.all(x, 'zz' in a || true)",
        "a.all(x, a.all(y, y.contains('abc') || true))",
        "a.all(x, a.all(y, size(y) > 0))",
        "a.all(x, x.matches('[a-b]+[a-c]+$'))",
        "a.all(x, a.exists_one(y, y == 'q') || true)",
        "a.all(x, a.all(y, a.nothing == 1 || true))",
        "a.all(x, a.all(y, x < y || true))",
        "a.all(x, x.lastIndexOf('bb') < 0)",
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        expect_spent(steps[i], list, "takes too many steps");
    }
    static const char *const bytes[] = {
        "a.map(x, x + x) == [] || true",
        "a.map(x, a + a) == []",
        "a.map(x, [x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, "
        "x, x, "
        "x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x]) == []",
        "a.join('').size() > 0",
        "a[0].replace('', a[0]).size() > 0",
        "a.map(x, x.split('')).size() > 0",
        "a.map(x, {x: x, 1: x, 2: x, 3: a.map(y, y)}).size() > 0",
        "a.map(x, x.upperAscii()).size() > 0",
        "a.all(x, '%s'.format([a]) != '')",
        "a.all(x, a.all(y, 'aa'.matches(string(size(a)) + '(bcd){100}') || true))",
    };
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        expect_spent(bytes[i], list, "builds too much (1 MiB is allowed)");
    }
    const struct cel_var vars[] = {{"a", deep}};
    struct cel *cel = cel_compile("a == a", names, NULL);
    bool out = false;
    assert_int_equal(cel_matches(cel, vars, 1, &out, NULL), 0); /* as deep as JSON may be */
    assert_true(out);
    cel_free(cel);
    json_decref(deep);
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_filters_that_never_match),
        cmocka_unit_test(test_filters_decide),
        cmocka_unit_test(test_missing_variable_is_an_error),
        cmocka_unit_test(test_values_as_json),
        cmocka_unit_test(test_ceilings_of_the_text),
        cmocka_unit_test(test_ceilings_of_an_evaluation),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
