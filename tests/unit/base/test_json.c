/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON with places in the errors, and the canonical text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

static json_t *parse(const char *text)
{
    struct err err = ERR_INIT;
    json_t *value = jread_text(text, strlen(text), "test", &err);
    if (value == NULL) {
        fail_msg("%s: %s", text, err.msg);
    }
    return value;
}

static void test_text_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *said;
    } rows[] = {
        {"nothing", "", "body: empty"},
        {"a key twice", "{\"a\": 1, \"a\": 2}", "duplicate"},
        {"a key twice, deep", "{\"x\": [{\"a\": 1, \"a\": 2}]}", "duplicate"},
        {"cut short", "{\"a\": ", "line 1"},
        {"the line is named", "{\n\n\"a\" 1}", "body: line 3, column"},
        {"something behind", "{} x", "line 1"},
        {"trailing comma", "[1,]", "line 1"},
        {"single quotes", "{'a': 1}", "line 1"},
        {"not UTF-8", "\"\xff\"", "line 1"},
        {"a lone surrogate", "\"\\ud800\"", "line 1"},
        {"a NUL in text", "\"a\\u0000b\"", "line 1"},
        {"a real past the double", "1e999", "line 1"},
        {"a comment", "{} // x", "line 1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *value = jread_text(rows[i].text, strlen(rows[i].text), "body", &err);
        if (value != NULL || err.code != ERR_INVALID || strstr(err.msg, rows[i].said) == NULL) {
            fail_msg("%s: '%s'", rows[i].name, err.msg);
        }
    }
}

static void test_integers_past_64_bits(void **state)
{
    (void)state;
    static const struct {
        const char *text, *written;
    } rows[] = {
        {"92233720368547758080", "9.223372036854776e19"},
        {"[1, -7, 2.5, {\"a\": 3, \"b\": [1180591620717411303424]}]",
            "[1,-7,2.5,{\"a\":3,\"b\":[1.1805916207174113e21]}]"},
        {"9223372036854775807", "9223372036854775807"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *value = parse(rows[i].text), *want = parse(rows[i].written);
        if (!json_equal(value, want)) {
            fail_msg("%s", rows[i].text);
        }
        json_decref(want);
        json_decref(value);
    }
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *deep = xmalloc(DEPTH);

    memset(deep, '[', DEPTH);
    assert_null(jread_text(deep, DEPTH, "body", &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void test_any_value_decodes(void **state)
{
    (void)state;
    static const char *const rows[] = {"1", "\"x\"", "null", "true", "[]", "{}", " 1 "};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_decref(parse(rows[i]));
    }
}

static void test_strings(void **state)
{
    (void)state;
    CLEANUP(json_decrefp)
    json_t *obj = parse("{\"s\": \"x\", \"e\": \"\", \"n\": null, \"i\": 1}");
    struct err err = ERR_INIT;
    const char *text = "before";

    assert_int_equal(jread_string(obj, "run", "absent", &text, &err), 0);
    assert_int_equal(jread_string(obj, "run", "n", &text, &err), 0);
    assert_int_equal(jread_string(NULL, "run", "s", &text, &err), 0);
    assert_string_equal(text, "before");
    assert_int_equal(jread_string(obj, "run", "e", &text, &err), 0);
    assert_string_equal(text, "");
    assert_int_equal(jread_string(obj, "run", "s", &text, &err), 0);
    assert_string_equal(text, "x");
    assert_int_equal(jread_string(obj, "run", "i", &text, &err), -1);
    assert_string_equal(err.msg, "run.i: expected a string");
    assert_int_equal(jread_string(obj, "", "i", &text, &err), -1);
    assert_string_equal(err.msg, "i: expected a string");
    assert_int_equal(jread_string(json_object_get(obj, "i"), "run", "s", &text, &err), -1);
    assert_string_equal(err.msg, "run: expected an object");
    assert_string_equal(text, "x");

    assert_int_equal(jread_need_string(obj, "run", "s", &text, &err), 0);
    static const char *const missing[] = {"absent", "n", "e"};
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        assert_int_equal(jread_need_string(obj, "run", missing[i], &text, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        assert_true(str_starts(err.msg, "run."));
    }
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        bool good;
        int64_t value;
    } rows[] = {
        {"a number", "{\"k\": 5}", true, 5},
        {"a decimal string", "{\"k\": \"5\"}", true, 5},
        {"a whole real", "{\"k\": 5.0}", true, 5},
        {"an exponent", "{\"k\": 5e0}", true, 5},
        {"negative", "{\"k\": \"-5\"}", true, -5},
        {"the ceiling", "{\"k\": 100}", true, 100},
        {"absent", "{}", true, 42},
        {"null", "{\"k\": null}", true, 42},
        {"past the ceiling", "{\"k\": 101}", false, 0},
        {"past the ceiling, as text", "{\"k\": \"9223372036854775808\"}", false, 0},
        {"far past, as a real", "{\"k\": 1e300}", false, 0},
        {"2^63 as a real", "{\"k\": 9223372036854775808.0}", false, 0},
        {"a fraction", "{\"k\": 5.5}", false, 0},
        {"text", "{\"k\": \"five\"}", false, 0},
        {"empty text", "{\"k\": \"\"}", false, 0},
        {"a boolean", "{\"k\": true}", false, 0},
        {"an array", "{\"k\": [5]}", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(json_decrefp) json_t *obj = parse(rows[i].text);
        struct err err = ERR_INIT;
        int64_t value = 42;
        int rc = jread_i64(obj, "a.b", "k", -100, 100, &value, &err);
        if ((rc == 0) != rows[i].good || value != (rows[i].good ? rows[i].value : 42)) {
            fail_msg("%s: rc %d value %lld", rows[i].name, rc, (long long)value);
        }
        assert_true(rc == 0 || str_starts(err.msg, "a.b.k: "));
    }
}

static void test_other_kinds(void **state)
{
    (void)state;
    CLEANUP(json_decrefp)
    json_t *obj = parse("{\"b\": true, \"o\": {}, \"a\": [], \"n\": null,"
                        " \"t\": \"2026-11-23T09:30:00+01:00\", \"w\": \"soon\"}");
    struct err err = ERR_INIT;
    bool flag = false;
    const json_t *value = NULL;
    int64_t us = 0;

    assert_int_equal(jread_bool(obj, "", "b", &flag, &err), 0);
    assert_true(flag);
    assert_int_equal(jread_bool(obj, "", "n", &flag, &err), 0);
    assert_int_equal(jread_bool(obj, "", "o", &flag, &err), -1);
    assert_string_equal(err.msg, "o: expected true or false");
    assert_int_equal(jread_object(obj, "", "o", &value, &err), 0);
    assert_true(json_is_object(value));
    assert_int_equal(jread_object(obj, "x", "a", &value, &err), -1);
    assert_string_equal(err.msg, "x.a: expected an object");
    assert_int_equal(jread_array(obj, "", "a", &value, &err), 0);
    assert_true(json_is_array(value));
    assert_int_equal(jread_array(obj, "", "o", &value, &err), -1);
    assert_string_equal(err.msg, "o: expected an array");
    assert_int_equal(jread_time(obj, "", "t", &us, &err), 0);
    assert_int_equal(us, INT64_C(1795422600) * US_PER_S);
    assert_int_equal(jread_time(obj, "run", "w", &us, &err), -1);
    assert_true(str_starts(err.msg, "run.w: 'soon' is not"));
}

static void test_only(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", NULL};
    CLEANUP(json_decrefp) json_t *good = parse("{\"a\": 1}");
    CLEANUP(json_decrefp) json_t *bad = parse("{\"a\": 1, \"c\": 1}");
    struct err err = ERR_INIT;

    assert_int_equal(jread_only(good, "x", keys, &err), 0);
    assert_int_equal(jread_only(NULL, "x", keys, &err), 0);
    assert_int_equal(jread_only(bad, "x", keys, &err), -1);
    assert_string_equal(err.msg, "x.c: unknown field");
}

static void test_canonical_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"{ \"b\" : 1, \"a\" : [ ] }", "{\"a\":[],\"b\":1}"},
        {"{\"ab\": {\"y\": null, \"x\": true}, \"a\": false}",
            "{\"a\":false,\"ab\":{\"x\":true,\"y\":null}}"},
        {"1.0", "1"},
        {"-1.0", "-1"},
        {"-0.0", "0"},
        {"100.0", "100"},
        {"0.1", "0.1"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"1.5", "1.5"},
        {"3.141592653589793", "3.141592653589793"},
        {"9007199254740992.0", "9007199254740992"},
        {"1e20", "1e+20"},
        {"1e-7", "1e-07"},
        {"5e-324", "4.94065645841247e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"9223372036854775807", "9223372036854775807"},
        {"\"\\\"\\\\\\n\\u0001/\"", "\"\\\"\\\\\\n\\u0001/\""},
        {"\"\xe2\x82\xac\"", "\"\xe2\x82\xac\""},
        {"[\" ~\", \"a\\\"b\", \"a\\\\b\", \"\x7f\", \"\\u001f\"]",
            "[\" ~\",\"a\\\"b\",\"a\\\\b\",\"\x7f\",\"\\u001F\"]"},
        {"{\"k\\n\\\"\": \"\"}", "{\"k\\n\\\"\":\"\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(json_decrefp) json_t *value = parse(rows[i].text);
        CLEANUP(cleanup_free) char *text = jtext(value);
        assert_string_equal(text, rows[i].want);
        CLEANUP(json_decrefp) json_t *again = parse(text);
        CLEANUP(cleanup_free) char *same = jtext(again);
        assert_string_equal(same, text);
        if (json_is_number(value)) {
            assert_true(json_number_value(value) == json_number_value(again));
        }
    }
    CLEANUP(json_decrefp) json_t *value = parse("{\"b\": [1, {}], \"a\": {\"c\": []}}");
    CLEANUP(cleanup_free) char *text = jtext_pretty(value);
    assert_string_equal(
        text, "{\n  \"a\": {\n    \"c\": []\n  },\n  \"b\": [\n    1,\n    {}\n  ]\n}");
}

static void test_our_own_records(void **state)
{
    (void)state;
    CLEANUP(json_decrefp) json_t *obj = json_object();

    jset_str(obj, "s", "x");
    jset_str(obj, "empty", "");
    jset_str(obj, "none", NULL);
    jset_str(obj, "bytes", "a\xff");
    jset_time(obj, "t", INT64_C(1795426200123456));
    json_object_set_new(obj, "i", json_integer(7));
    json_object_set_new(obj, "is", json_string("8"));
    json_object_set_new(obj, "b", json_true());
    CLEANUP(cleanup_free) char *text = jtext(obj);
    assert_string_equal(text, "{\"b\":true,\"bytes\":\"a?\",\"i\":7,\"is\":\"8\",\"s\":\"x\","
                              "\"t\":\"2026-11-23T09:30:00Z\"}");
    assert_string_equal(jget_str(obj, "s", "y"), "x");
    assert_string_equal(jget_str(obj, "i", "y"), "y");
    assert_null(jget_str(NULL, "i", NULL));
    assert_int_equal(jget_i64(obj, "i", 1), 7);
    assert_int_equal(jget_i64(obj, "is", 1), 8);
    assert_int_equal(jget_i64(obj, "s", 1), 1);
    assert_int_equal(jget_i64(NULL, "s", 1), 1);
    assert_true(jget_bool(obj, "b", false));
    assert_true(jget_bool(obj, "i", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_refused),
        cmocka_unit_test(test_integers_past_64_bits),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_any_value_decodes),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_only),
        cmocka_unit_test(test_canonical_text),
        cmocka_unit_test(test_our_own_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
