/* SPDX-License-Identifier: Apache-2.0 */
/* triggerPolicy.condition: what compiles, and whether the task runs. */
#include "pipeline_test.h"

#include "base/map.h"
#include "base/pool.h"
#include "pipeline/draft.h"

#include <dirent.h>
#include <unistd.h>

#define P(name) "inputs.parameter_values['" name "']"

/* -1: it does not compile, or fails; then err says why. */
static int outcome(const char *text, const char *executor_input, struct err *err)
{
    struct pool *pool CLEANUP(pool_freep) = pool_new();
    const struct expression *e = condition_compile(pool, text, err);
    json_t *input CLEANUP(json_decrefp) = j(executor_input);
    bool runs = false;
    if (e == NULL || condition_eval(e, input, &runs, err) != 0) {
        assert_int_not_equal(err->code, ERR_NONE);
        return -1;
    }
    return runs ? 1 : 0;
}

/* The shapes that the SDK writes (kfp-semantics.md 5.1), each with values for both outcomes. */
static void test_shapes(void **state UNUSED)
{
    static const struct {
        const char *name, *text, *yes, *no;
    } rows[] = {
        {"text equal", P("a") " == 'heads'", "{'a':'heads'}", "{'a':'tails'}"},
        {"text equal, other kind", P("a") " == '1'", "{'a':'1'}", "{'a':1}"},
        {"text unequal", P("a") " != 'x'", "{'a':'y'}", "{'a':'x'}"},
        {"null is no text", P("a") " != 'x'", "{'a':null}", "{'a':'x'}"},
        {"else", "!(" P("a") " == 'heads')", "{'a':'tails'}", "{'a':'heads'}"},
        {"elif", "!(" P("a") " == 'x') && " P("a") " == 'y'", "{'a':'y'}", "{'a':'x'}"},
        {"else after elif", "!(" P("a") " == 'x') && !(" P("a") " == 'y')", "{'a':'z'}",
            "{'a':'y'}"},
        {"elif of numbers", "!(int(" P("a") ") < 5000) && int(" P("a") ") > 5000", "{'a':5001}",
            "{'a':5000}"},
        {"int <", "int(" P("a") ") < 5", "{'a':4}", "{'a':5}"},
        {"int <=", "int(" P("a") ") <= 5", "{'a':5}", "{'a':6}"},
        {"int >", "int(" P("a") ") > -1", "{'a':0}", "{'a':-1}"},
        {"int ==", "int(" P("a") ") == 3", "{'a':3.9}", "{'a':2.9}"},
        {"int of text", "int(" P("a") ") == 3", "{'a':'3'}", "{'a':'4'}"},
        {"two ints", "int(" P("a") ") >= int(" P("b") ")", "{'a':2,'b':2}", "{'a':1,'b':2}"},
        {"two channels", P("a") " == " P("b"), "{'a':'x','b':'x'}", "{'a':'x','b':'y'}"},
        {"double", "double(" P("a") ") > 0.5", "{'a':0.75}", "{'a':0.5}"},
        {"double of int", "double(int(" P("a") ")) >= double(5)", "{'a':5}", "{'a':4}"},
        {"small double", P("a") " < 1e-05", "{'a':0.000001}", "{'a':0.1}"},
        {"bool", P("a") " == true", "{'a':true}", "{'a':false}"},
        {"bool, else", "!(" P("a") " == true)", "{'a':false}", "{'a':true}"},
        {"a bool alone", P("a"), "{'a':true}", "{'a':false}"},
        {"a quote in a text", P("a") " == 'it's'", "{'a':'it\\u0027s'}", "{'a':'its'}"},
        {"quotes in an elif", "!(" P("a") " == 'it's') && " P("b") " == ''x''",
            "{'a':'y','b':'\\u0027x\\u0027'}", "{'a':'it\\u0027s','b':'\\u0027x\\u0027'}"},
        {"a line and a backslash", "!(" P("a") " == 'a\n'b\\')", "{'a':'x'}",
            "{'a':'a\\n\\u0027b\\\\'}"},
        {"older name", "inputs.parameters['a'] == 'foo' && inputs.parameters['b'] == 1",
            "{'a':'foo','b':1}", "{'a':'foo','b':2}"},
        {"is it there", "'a' in inputs.parameter_values", "{'a':null}", "{}"},
        {"has", "has(inputs.parameter_values.a)", "{'a':0}", "{'b':0}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (int expected = 0; expected <= 1; expected++) {
            struct err err = ERR_INIT;
            char *input =
                xasprintf("{'inputs':{'parameterValues':%s}}", expected ? rows[i].yes : rows[i].no);
            int got = outcome(rows[i].text, input, &err);
            if (got != expected) {
                print_error(
                    "%s: %s with %s: %d %s\n", rows[i].name, rows[i].text, input, got, err.msg);
                fail();
            }
            free(input);
        }
    }
}

static void test_inputs(void **state UNUSED)
{
    static const char input[] =
        "{'inputs':{'parameterValues':{'n':1},'artifacts':{'model':{'artifacts':[{'name':'m',"
        "'uri':'s3://b/m','type':{'schemaTitle':'system.Model','schemaVersion':'0.0.1'},"
        "'metadata':{'accuracy':0.95,'customPath':'mine'},'customPath':'/x'},{'name':'bare'}]}}},"
        "'outputs':{'parameters':{'o':{'outputFile':'/f'}},'outputFile':'/e'}}";
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"uri", "inputs.artifacts['model'].artifacts[0].uri.startsWith('s3://')"},
        {"type", "inputs.artifacts.model.artifacts[0].type.schema_title == 'system.Model'"},
        {"metadata", "inputs.artifacts['model'].artifacts[0].metadata['accuracy'] * 100.0 > 90"},
        {"the user's keys stay", "inputs.artifacts.model.artifacts[0].metadata.customPath == "
                                 "'mine'"},
        {"properties", "inputs.artifacts.model.artifacts[0].properties.accuracy > 0.9"},
        {"path of its own", "inputs.artifacts.model.artifacts[0].custom_path == '/x'"},
        {"none of a thing", "inputs.artifacts.model.artifacts[1].metadata == {}"},
        {"how many", "size(inputs.artifacts.model.artifacts) == 2"},
        {"not there", "!('other' in inputs.artifacts)"},
        {"outputs", "outputs.parameters.o.outputFile == '/f' && outputs.output_file == '/e'"},
        {"no outputs of a kind", "outputs.artifacts == {}"},
        {"all inputs", "inputs.parameter_values == {'n': 1}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        if (outcome(rows[i].text, input, &err) != 1) {
            print_error("%s: %s: %s\n", rows[i].name, rows[i].text, err.msg);
            fail();
        }
    }
    struct err err = ERR_INIT;
    assert_int_equal(
        outcome("inputs.parameter_values == {} && outputs.parameters == {}", "{}", &err), 1);
}

static void test_failures(void **state UNUSED)
{
    static const struct {
        const char *name, *text, *says;
    } rows[] = {
        {"missing key", P("zz") " == 'x'",
            "condition: in inputs.parameter_values['zz']: the object has no key zz"},
        {"not a bool", P("s"), "condition: inputs.parameter_values['s'] is neither true nor false"},
        {"not a number", "int(" P("s") ") == 1", "'x' is not a whole number"},
        {"text below number", P("s") " < 5", "< does not take a string ('x') and an int (5)"},
        {"never a bool", "int(" P("s") ")",
            "a condition must be true or false, and this is an int"},
        {"a text", "'true'", "and this is a string"},
        {"unknown variable", "input.parameter_values['a'] == 1", "there is inputs, outputs"},
        {"unknown member", "inputs.parameterValues['a'] == 1",
            "column 1: 'inputs.parameterValues': inputs has no member 'parameterValues'; it has "
            "parameter_values, parameters and artifacts"},
        {"unknown member, deep", "true && size(inputs.params) == 1", "no member 'params'"},
        {"unknown output", "outputs.x == 1", "outputs has no member 'x'"},
        {"quoting that the SDK breaks", "'int(" P("x") ")' == 'a'", "the quotes are wrong"},
        {"syntax", P("s") " = 'x'", "column 30: '=': this character does not belong"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        assert_int_equal(
            outcome(rows[i].text, "{'inputs':{'parameterValues':{'s':'x'}}}", &err), -1);
        expect_has(rows[i].name, err.msg, rows[i].says);
    }
}

/* ---- the corpus ---- */

/* What makes a condition of the corpus true and false, told from how it ends. */
static const struct {
    const char *tail;
    const char *yes, *no; /* of the parameter that comes first */
    const char *other;    /* of all that follow */
} endings[] = {
    {"] == 'heads')", "'tails'", "'heads'", NULL},
    {"] == 'even')", "'odd'", "'even'", NULL},
    {"] == true)", "false", "true", NULL},
    {"] == true", "true", "false", NULL},
    {") > 5000)", "5000", "5001", NULL},
    {") > 5000", "5001", "5000", NULL},
    {") < 5000", "4999", "5000", NULL},
    {"] == 'heads'", "'heads'", "'tails'", NULL},
    {"] == 'tails'", "'tails'", "null", NULL},
    {"] != 'no-such-result'", "'heads'", "'no-such-result'", NULL},
    {"] == 'even'", "'even'", "'odd'", NULL},
    {"] == '1'", "'1'", "1", NULL},
    {"] == '123'", "'123'", "'124'", NULL},
    {"] != 'Hello'", "'x'", "'Hello'", NULL},
    {"] == 'Hello'", "'Hello'", "'x'", NULL},
    {"--threshold'])", "3", "2", "3"},
    {") <= 15", "15", "16", NULL},
    {") > 15", "16", "15", NULL},
    {") <= 5", "5", "6", NULL},
    {") > 5", "6", "5", NULL},
    {") == 3", "3", "4", NULL},
};

/* {"inputs":{"parameterValues":...}} with every name in the condition; malloc'd. */
static char *corpus_input(const char *text, const char *first, const char *other)
{
    static const char open[] = "inputs.parameter_values['";
    struct buf out;
    buf_init(&out, 1 << 16);
    buf_adds(&out, "{'inputs':{'parameterValues':{");
    for (const char *at = strstr(text, open); at != NULL; at = strstr(at, open)) {
        at += strlen(open);
        bool is_other = out.data[out.len - 1] != '{';
        char *name = xasprintf("'%.*s':", (int)strcspn(at, "'"), at);
        if (strstr(buf_str(&out), name) == NULL) {
            buf_addf(&out, "%s%s%s", is_other ? "," : "", name, is_other ? other : first);
        }
        free(name);
    }
    buf_adds(&out, "}}}");
    return buf_steal(&out, NULL);
}

static void check_corpus_condition(const char *text)
{
    size_t i = 0;
    while (i < ARRAY_LEN(endings) && !str_ends(text, endings[i].tail)) {
        i++;
    }
    if (i == ARRAY_LEN(endings)) {
        print_error("the test knows no values for %s\n", text);
        fail();
    }
    for (int expected = 0; expected <= 1; expected++) {
        struct err err = ERR_INIT;
        char *input =
            corpus_input(text, expected ? endings[i].yes : endings[i].no, endings[i].other);
        int got = outcome(text, input, &err);
        if (got != expected) {
            print_error("%s with %s: %d %s\n", text, input, got, err.msg);
            fail();
        }
        free(input);
    }
}

static void check_tree(const struct tree *node, struct map *seen)
{
    for (size_t i = 0; node->kind != TREE_SCALAR && i < node->count; i++) {
        if (node->kind == TREE_LIST) {
            check_tree(node->items[i], seen);
            continue;
        }
        const struct tree *value = node->pairs[i].value;
        if (strcmp(node->pairs[i].key, "condition") == 0 && value->kind == TREE_SCALAR &&
            !map_has(seen, value->text)) {
            map_put(seen, value->text, (void *)"");
            check_corpus_condition(value->text);
        }
        check_tree(value, seen);
    }
}

static void walk(const char *folder, struct map *seen)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char *path CLEANUP(cleanup_free) = xasprintf("%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.' && e->d_type == DT_DIR) {
            walk(path, seen);
        }
        if (!str_ends(path, ".yaml")) {
            continue;
        }
        struct err err = ERR_INIT;
        size_t len, count = 0;
        char *text CLEANUP(cleanup_free) = file_read(path, 64 << 20, &len, &err);
        assert_non_null(text);
        struct pool *pool CLEANUP(pool_freep) = pool_new();
        struct complaints c;
        complaints_init(&c);
        struct tree **docs = NULL;
        assert_int_equal(yaml_read(text, len, pool, &docs, &count, &c), 0);
        for (size_t i = 0; i < count; i++) {
            check_tree(docs[i], seen);
        }
        complaints_done(&c);
    }
    closedir(dir);
}

static void test_corpus(void **state UNUSED)
{
    static const char folder[] = SHARED_DIR "/kfp-corpus/valid";
    if (access(folder, R_OK) != 0) {
        print_message("skipped: %s is not here\n", folder);
        skip();
    }
    struct map *seen = map_new(NULL);
    walk(folder, seen);
    print_message("%zu conditions\n", map_count(seen));
    assert_true(map_count(seen) > 0);
    map_free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
