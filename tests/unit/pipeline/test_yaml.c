/* SPDX-License-Identifier: Apache-2.0 */
/* YAML scalars where PyYAML and YAML 1.2 differ, and files that are meant to hurt. */
#include "pipeline_test.h"

#include "base/clock.h"
#include "base/pool.h"
#include "pipeline/complain.h"
#include "pipeline/tree.h"

/* ---- scalars ---- */

static void test_scalars(void **state UNUSED)
{
    static const struct {
        const char *yaml, *plain, *text, *number; /* JSON when taken as anything, text, number */
    } rows[] = {
        {"1", "1", "'1'", "1"},
        {"1.0", "1", "'1.0'", "1"},
        {"-7", "-7", "'-7'", "-7"},
        {"+7", "7", "'+7'", "7"},
        {"0", "0", "'0'", "0"},
        {"007", "7", "'007'", "7"},
        {"010", "8", "'010'", "8"},
        {"089", "89", "'089'", "89"},
        {"0x1F", "31", "'0x1F'", "31"},
        {"0o17", "15", "'0o17'", "15"},
        {"0b11", "3", "'0b11'", "3"},
        {"1_000", "1000", "'1_000'", "1000"},
        {"1.5", "1.5", "'1.5'", "1.5"},
        {".5", "0.5", "'.5'", "0.5"},
        {"1.", "1", "'1.'", "1"},
        {"1.5e3", "1500", "'1.5e3'", "1500"},
        {"1e3", "'1e3'", "'1e3'", "1000"}, /* a string to PyYAML, which wrote it */
        {"1e-05", "'1e-05'", "'1e-05'", "0.00001"},
        {"12e03", "'12e03'", "'12e03'", "12000"},
        {"123456789012345678901234567890", "1.2345678901234568e29",
            "'123456789012345678901234567890'", "1.2345678901234568e29"},
        {"9007199254740993", "9007199254740993", "'9007199254740993'", "9007199254740993"},
        {"1:30", "'1:30'", "'1:30'", "'1:30'"}, /* sexagesimal in YAML 1.1 */
        {"1.2.3", "'1.2.3'", "'1.2.3'", "'1.2.3'"},
        {"0.0.1", "'0.0.1'", "'0.0.1'", "'0.0.1'"},
        {"2026-11-23", "'2026-11-23'", "'2026-11-23'", "'2026-11-23'"},
        {".inf", "'.inf'", "'.inf'", "'.inf'"},
        {".nan", "'.nan'", "'.nan'", "'.nan'"},
        {"1e999", "'1e999'", "'1e999'", "'1e999'"},
        {"true", "true", "'true'", "true"},
        {"True", "true", "'True'", "true"},
        {"FALSE", "false", "'FALSE'", "false"},
        {"yes", "'yes'", "'yes'", "'yes'"},
        {"on", "'on'", "'on'", "'on'"},
        {"n", "'n'", "'n'", "'n'"},
        {"null", "null", "'null'", "null"},
        {"~", "null", "'~'", "null"},
        {"", "null", "''", "null"},
        {"'1'", "'1'", "'1'", "'1'"}, /* quoted: never typed */
        {"\"true\"", "'true'", "'true'", "'true'"},
        {"''", "''", "''", "''"},
        {"!!str 1", "'1'", "'1'", "'1'"},
        {"!!int 1", "1", "'1'", "1"},
        {"two\n  lines", "'two lines'", "'two lines'", "'two lines'"},
        {"\"\\u00e9\\t\"", "'\\u00e9\\t'", "'\\u00e9\\t'", "'\\u00e9\\t'"},
        {"|\n  1\n", "'1\\n'", "'1\\n'", "'1\\n'"},
        {"=", "'='", "'='", "'='"},
        {"_1", "'_1'", "'_1'", "'_1'"},
        {"e5", "'e5'", "'e5'", "'e5'"},
        {"0x", "'0x'", "'0x'", "'0x'"},
        {"-0x10", "-16", "'-0x10'", "-16"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct complaints c;
        complaints_init(&c);
        char *text = xasprintf("x: %s\n", rows[i].yaml);
        struct tree **docs;
        size_t count;
        assert_int_equal(yaml_read(text, strlen(text), pool, &docs, &count, &c), 0);
        assert_int_equal(count, 1);
        struct tree *x = tree_get(docs[0], "x");
        expect_json(rows[i].yaml, tree_json(x), rows[i].plain);
        x->want = WANT_TEXT;
        expect_json(rows[i].yaml, tree_json(x), rows[i].text);
        x->want = WANT_NUMBER;
        expect_json(rows[i].yaml, tree_json(x), rows[i].number);
        free(text);
        complaints_done(&c);
        pool_free(pool);
    }
}

static void test_declared_text(void **state UNUSED)
{
    /* Plain scalars where a text is declared keep what was written. */
    static const struct {
        const char *name, *from, *to, *path, *expected;
    } rows[] = {
        {"default of a STRING", "defaultValue: none", "defaultValue: 1.0", "default", "'1.0'"},
        {"default of a STRING, exponent", "defaultValue: none", "defaultValue: 1e3", "default",
            "'1e3'"},
        {"default of a STRING, boolean word", "defaultValue: none", "defaultValue: true", "default",
            "'true'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = edited(BASE_PIPELINE, rows[i].from, rows[i].to);
        struct plan *plan = must_compile(text);
        const struct param_def *p = component_param_in(plan->root, "note");
        expect_json(rows[i].name, json_incref((json_t *)p->default_value), rows[i].expected);
        /* The JSON that is stored says the same, so that it compiles to the same. */
        char *canonical = plan_canonical(plan);
        struct plan *again = must_compile(canonical);
        p = component_param_in(again->root, "note");
        expect_json(rows[i].name, json_incref((json_t *)p->default_value), rows[i].expected);
        free(canonical);
        plan_unref(again);
        plan_unref(plan);
        free(text);
    }
}

/* ---- structure ---- */

static void test_merge_and_alias(void **state UNUSED)
{
    static const struct {
        const char *name, *yaml, *expected;
    } rows[] = {
        {"alias", "a: &x [1, 2]\nb: *x\n", "{'a':[1,2],'b':[1,2]}"},
        {"merge", "a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n",
            "{'a':{'p':1,'q':2},'b':{'p':1,'q':3}}"},
        {"merge before", "b: {q: 3, <<: {p: 1, q: 2}}\n", "{'b':{'p':1,'q':3}}"},
        {"merge list", "b: {<<: [{p: 1}, {p: 2, r: 3}]}\n", "{'b':{'p':1,'r':3}}"},
        {"<< as text value", "a: <<\n", "{'a':'<<'}"},
        {"anchors start anew in each document", "a: &x 1\n", "{'a':1}"},
        {"flow without spaces, as JSON", "{\"a\":1,\"b\":[true,null,\"x\"]}",
            "{'a':1,'b':[true,null,'x']}"},
        {"complex but empty", "{}", "{}"},
        {"CRLF", "a: 1\r\nb: 2\r\n", "{'a':1,'b':2}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct complaints c;
        complaints_init(&c);
        struct tree **docs;
        size_t count;
        int status = yaml_read(rows[i].yaml, strlen(rows[i].yaml), pool, &docs, &count, &c);
        if (status != 0 || c.count > 0) {
            char *said = complaint_text(&c);
            print_error("%s: %s\n", rows[i].name, said);
            fail();
        }
        expect_json(rows[i].name, tree_json(docs[0]), rows[i].expected);
        complaints_done(&c);
        pool_free(pool);
    }
}

/* ---- attacks ---- */

static char *repeat(const char *head, const char *unit, size_t times, const char *tail)
{
    size_t a = strlen(head), b = strlen(unit), n = strlen(tail);
    char *out = xmalloc(a + b * times + n + 1), *p = out;
    memcpy(p, head, a);
    p += a;
    for (size_t i = 0; i < times; i++, p += b) {
        memcpy(p, unit, b);
    }
    memcpy(p, tail, n + 1);
    return out;
}

static char *balanced(size_t levels)
{
    char *open = repeat("", "[", levels, "");
    char *all = repeat(open, "]", levels, "");
    free(open);
    return all;
}

static char *laughs(void)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_adds(&text, "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n");
    for (int i = 1; i < 12; i++) {
        buf_addf(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
            i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    return buf_steal(&text, NULL);
}

/* Few nodes, but each alias stands for a megabyte. */
static char *long_laughs(void)
{
    char *line = repeat("a: &a \"", "x", 1 << 20, "\"\nb: [");
    char *all = repeat(line, "*a, ", 10000, "]\n");
    free(line);
    return all;
}

static char *alias_depth(void)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_adds(&text, "a0: &a0 [x]\n");
    for (int i = 1; i < 400; i++) {
        buf_addf(&text, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    }
    return buf_steal(&text, NULL);
}

static char *many_keys(void)
{
    struct buf text;
    buf_init(&text, 32 << 20);
    for (int i = 0; i < 200000; i++) {
        buf_addf(&text, "k%d: 1\n", i);
    }
    buf_adds(&text, "k199999: 2\n");
    return buf_steal(&text, NULL);
}

static void test_attacks(void **state UNUSED)
{
    struct {
        const char *name;
        char *text;
        const char *says; /* NULL: must be read */
    } rows[] = {
        {"billion laughs", laughs(), "more than 500000 values"},
        {"long text, many aliases", long_laughs(), "more than 500000 values"},
        {"aliases nested", alias_depth(), "nested deeper than 256"},
        {"alias to itself", xstrdup("a: &a [*a]\n"), "the list or map that it is in"},
        {"deep flow lists", repeat("", "[", 100000, ""), "nested deeper than 256"},
        {"deep flow maps", repeat("", "{a: ", 100000, ""), "nested deeper than 256"},
        {"deep block lists", repeat("", "- ", 100000, "x"), "nested deeper than 256"},
        {"255 levels", balanced(255), NULL},
        {"many values", repeat("[", "1,", 600000, "1]"), "more than 500000 values"},
        {"many documents", repeat("", "---\na\n", 200, ""), "more than 64 documents"},
        {"many directives", repeat("", "%TAG !a! tag:a\n", 100000, "---\na\n"),
            "lines begin with '%'"},
        {"long key", repeat("\"", "k", 5000, "\": 1\n"), "not valid YAML"},
        {"one long line of plain text", repeat("a: ", "word ", 1000000, "\n"), NULL},
        {"long comment", repeat("# ", "#", 5000000, "\na: 1\n"), NULL},
        {"many keys, one twice", many_keys(), "the key 'k199999' is there twice"},
        {"unclosed quotes", repeat("a: \"", "x\n", 300000, ""), "not valid YAML"},
        {"many anchors", repeat("a: [", "&b c,", 100000, "d]"), NULL},
        {"NUL escape", xstrdup("a: \"x\\0y\"\n"), "NUL characters"},
        {"NUL escape in a key", xstrdup("\"x\\0y\": 1\n"), "NUL characters"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct complaints c;
        complaints_init(&c);
        struct tree **docs;
        size_t count;
        int64_t start = clock_mono_us();
        int status = yaml_read(rows[i].text, strlen(rows[i].text), pool, &docs, &count, &c);
        int64_t took = clock_mono_us() - start;
        char *said = complaint_text(&c);
        if (rows[i].says != NULL) {
            expect_has(rows[i].name, said, rows[i].says);
            assert_true(c.errors > 0);
        } else if (status != 0) {
            print_error("%s: %s\n", rows[i].name, said);
            fail();
        }
        if (took > 30 * US_PER_S) { /* sanitizers and a busy machine; quadratic takes minutes */
            print_error("%s: took %lld ms\n", rows[i].name, (long long)(took / 1000));
            fail();
        }
        free(said);
        complaints_done(&c);
        pool_free(pool);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        free(rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_declared_text),
        cmocka_unit_test(test_merge_and_alias),
        cmocka_unit_test(test_attacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
