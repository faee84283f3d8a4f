/* SPDX-License-Identifier: Apache-2.0 */
/* Values: text form, coercion, output files, selectors. */
#include "pipeline_test.h"

#include "pipeline/draft.h"

static void test_text(void **state UNUSED)
{
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"'plain'", "plain"},
        {"'<&>'", "<&>"}, /* a string is itself */
        {"1", "1"},
        {"1.0", "1"},
        {"-0.0", "0"},
        {"0.1", "0.1"},
        {"1e21", "1000000000000000000000"},
        {"1e23", "100000000000000000000000"},
        {"0.00001", "0.00001"},
        {"1.5e-7", "0.00000015"},
        {"123.456", "123.456"},
        {"-2.5", "-2.5"},
        {"1234567.5", "1234567.5"},
        {"3.141592653589793", "3.141592653589793"},
        {"5e-324", NULL},
        {"9007199254740993", "9007199254740993"},
        {"true", "true"},
        {"false", "false"},
        {"null", ""},
        {"[1, 'a', null, 2.0]", "[1,\"a\",null,2]"},
        {"{'b': 1, 'a': [0.1]}", "{\"a\":[0.1],\"b\":1}"},
        {"['<a&b>']", "[\"\\u003ca\\u0026b\\u003e\"]"},
        {"['\\\\ \\n \\u0001 \\u00e9']", "[\"\\\\ \\n \\u0001 \xC3\xA9\"]"},
        {"{}", "{}"},
        {"[]", "[]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *value = j(rows[i].json);
        struct buf text;
        buf_init(&text, 4096);
        value_text(value, &text);
        if (rows[i].text != NULL) {
            assert_string_equal(buf_str(&text), rows[i].text);
        } else {
            assert_true(strtod(buf_str(&text), NULL) == json_real_value(value));
        }
        buf_done(&text);
        json_decref(value);
    }
}

static void test_coerce(void **state UNUSED)
{
    static const struct {
        const char *json;
        enum value_type type;
        const char *expected; /* NULL: refused */
    } rows[] = {
        {"'x'", VALUE_STRING, "'x'"},
        {"5.0", VALUE_STRING, "'5'"},
        {"true", VALUE_STRING, "'true'"},
        {"{'a': 1.0}", VALUE_STRING, "'{\\'a\\':1}'"},
        {"5", VALUE_INTEGER, "5"},
        {"5.0", VALUE_INTEGER, "5"},
        {"5.5", VALUE_INTEGER, "5.5"}, /* no check for whole numbers on input */
        {"'5'", VALUE_INTEGER, NULL},
        {"true", VALUE_INTEGER, NULL},
        {"1", VALUE_DOUBLE, "1"},
        {"1", VALUE_BOOLEAN, NULL},
        {"false", VALUE_BOOLEAN, "false"},
        {"[1]", VALUE_LIST, "[1]"},
        {"'[1]'", VALUE_LIST, NULL},
        {"{}", VALUE_STRUCT, "{}"},
        {"[]", VALUE_STRUCT, NULL},
        {"{'state': 'x'}", VALUE_TASK_FINAL_STATUS, "{'state': 'x'}"},
        {"null", VALUE_INTEGER, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *value = j(rows[i].json);
        json_t *out = value_coerce(value, rows[i].type, "input 'n'", &err);
        if (rows[i].expected == NULL) {
            assert_null(out);
            assert_int_equal(err.code, ERR_INVALID);
            expect_has(rows[i].json, err.msg, "input 'n': expected ");
            expect_has(rows[i].json, err.msg, value_type_name(rows[i].type));
        } else if (strstr(rows[i].expected, "\\'") != NULL) {
            assert_string_equal(json_string_value(out), "{\"a\":1}");
            json_decref(out);
        } else {
            expect_json(rows[i].json, out, rows[i].expected);
        }
        json_decref(value);
    }
}

static void test_output_files(void **state UNUSED)
{
    static const struct {
        const char *text;
        enum value_type type;
        const char *expected;
    } rows[] = {
        {" as it is \n", VALUE_STRING, "' as it is \\n'"},
        {"", VALUE_STRING, "''"},
        {"\xff", VALUE_STRING, NULL},
        {" 42\n", VALUE_INTEGER, "42"},
        {"-42", VALUE_INTEGER, "-42"},
        {"+42", VALUE_INTEGER, "42"},
        {"42.0", VALUE_INTEGER, NULL},
        {"0x10", VALUE_INTEGER, NULL},
        {"1e3", VALUE_INTEGER, NULL},
        {"", VALUE_INTEGER, NULL},
        {"4 2", VALUE_INTEGER, NULL},
        {"99999999999999999999", VALUE_INTEGER, NULL},
        {"0.5\n", VALUE_DOUBLE, "0.5"},
        {"1e3", VALUE_DOUBLE, "1000"},
        {"3", VALUE_DOUBLE, "3"},
        {"nan", VALUE_DOUBLE, NULL},
        {"inf", VALUE_DOUBLE, NULL},
        {"0.5x", VALUE_DOUBLE, NULL},
        {"true", VALUE_BOOLEAN, "true"},
        {"True\n", VALUE_BOOLEAN, "true"},
        {"1", VALUE_BOOLEAN, "true"},
        {"t", VALUE_BOOLEAN, "true"},
        {"F", VALUE_BOOLEAN, "false"},
        {"FALSE", VALUE_BOOLEAN, "false"},
        {"yes", VALUE_BOOLEAN, NULL},
        {"tRUE", VALUE_BOOLEAN, NULL},
        {"[1, 2]\n", VALUE_LIST, "[1,2]"},
        {"{\"a\": 1}", VALUE_STRUCT, "{'a':1}"},
        {"{\"a\": 1}", VALUE_LIST, NULL},
        {"[1,", VALUE_LIST, NULL},
        {"", VALUE_STRUCT, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *out = value_parse_output(
            rows[i].text, strlen(rows[i].text), rows[i].type, "output parameter 'n'", &err);
        if (rows[i].expected == NULL) {
            if (out != NULL) {
                print_error("'%s' is taken\n", rows[i].text);
                fail();
            }
            expect_has(rows[i].text, err.msg, "output parameter 'n'");
        } else {
            if (out == NULL) {
                print_error("'%s': %s\n", rows[i].text, err.msg);
            }
            expect_json(rows[i].text, out, rows[i].expected);
        }
    }
}

static void test_types(void **state UNUSED)
{
    assert_string_equal(value_type_name(VALUE_INTEGER), "NUMBER_INTEGER");
    enum value_type type;
    assert_int_equal(parse_value_type("NUMBER_DOUBLE", &type), 0);
    assert_int_equal(type, VALUE_DOUBLE);
    assert_int_equal(parse_value_type("6", &type), 0);
    assert_int_equal(type, VALUE_STRUCT);
    assert_int_equal(parse_value_type("0", &type), -1);
    assert_int_equal(parse_value_type("-1", &type), -1);
    assert_int_equal(parse_value_type("string", &type), -1);
}

static void test_selectors(void **state UNUSED)
{
    static const struct {
        const char *selector, *value, *expected, *says;
    } rows[] = {
        {"parseJson(string_value)[\"a\"]", "'{\\\"a\\\": 5}'", "5", NULL},
        {"parseJson(string_value)[\"a\"]", "{'a': [1]}", "[1]", NULL}, /* text of any value */
        {"parseJson(string_value)['a']['b']", "{'a': {'b': 'x'}}", "'x'", NULL},
        {"parseJson(string_value)[1]", "[1, 2]", "2", NULL},
        {"parseJson(string_value)", "'[]'", "[]", NULL},
        {"parseJson( string_value ) [ \"a\" ]", "{'a': 1}", "1", NULL},
        {"string_value", "5.0", "'5'", NULL},
        {"number_value", "5", "5", NULL},
        {"struct_value.a", "{'a': true}", "true", NULL},
        {"list_value[0]", "['x']", "'x'", NULL},
        {"parseJson(string_value)[\"A_a\"]", "{'A_a': 1}", "1", NULL},
        {"parseJson(string_value)[\"x\\\"y\"]", "{'x\\\"y': 1}", "1", NULL},
        {"parseJson(string_value)[\"b\"]", "{'a': 1}", NULL, "the object has no key b"},
        {"parseJson(string_value)[\"b\"]", "'plain'", NULL, "is not JSON"},
        {"parseJson(string_value)[\"b\"]", "[1]", NULL, "is not an object"},
        {"list_value[3]", "['x']", NULL, "has no item 3"},
        {"struct_value[\"a\"]", "'x'", NULL, "another kind than struct_value"},
        {"parseJson(string_value", "1", NULL, "only parseJson"},
        {"parseJson(string_value)[\"a]", "1", NULL, "only parseJson"},
        {"parseJson(string_value)[-1]", "[1]", NULL, "only parseJson"},
        {"string_value + 'x'", "1", NULL, "only parseJson"},
        {"string_valuex", "1", NULL, "only parseJson"},
        {"", "1", NULL, "only parseJson"},
        {"size(list_value)", "[1]", NULL, "only parseJson"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *value = j(rows[i].value);
        json_t *out = selector_apply(rows[i].selector, value, "input 'n'", &err);
        if (rows[i].expected != NULL) {
            expect_json(rows[i].selector, out, rows[i].expected);
        } else {
            assert_null(out);
            expect_has(rows[i].selector, err.msg, rows[i].says);
        }
        bool is_grammar = rows[i].says != NULL && strstr(rows[i].says, "only") != NULL;
        assert_int_equal(selector_trouble(rows[i].selector) != NULL, is_grammar);
        json_decref(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_coerce),
        cmocka_unit_test(test_output_files),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
