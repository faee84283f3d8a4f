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
    buf_adds(&shown, value.kind == CEL_ERROR ? "error " : "");
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
    run_table("conformance.cases", 1196);
}

static void test_functions(void **state UNUSED)
{
    run_table("functions.cases", 156);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
