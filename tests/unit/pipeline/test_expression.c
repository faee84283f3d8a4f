/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions: what they give, and how what is wrong with them is told. */
#include "pipeline_test.h"

#include "base/pool.h"
#include "pipeline/expression.h"

static const char *const names[] = {"d", "s", "t", "l", "m", "n", NULL};
/* Single quotes are the JSON's; d is a number from JSON, thus a double. */
#define VARIABLES                                                                                  \
    "{'d': 5, 's': 'h\xc3\xa9llo', 't': true, 'l': [1, 'a', null, [2]], "                          \
    "'m': {'a': 1, 'b-c': {'k': 'v'}, 'null': null}, 'n': null}"

/* The value, or NULL and err; `compiles` says how far it came. */
static json_t *evaluate(const char *text, bool *compiles, struct err *err)
{
    struct pool *pool CLEANUP(pool_freep) = pool_new();
    const struct expression *e = expression_compile(pool, text, names, err);
    *compiles = e != NULL;
    json_t *variables CLEANUP(json_decrefp) = j(VARIABLES);
    json_t *out = e != NULL ? expression_eval(e, variables, err) : NULL;
    assert_int_equal(out == NULL, err->code != ERR_NONE);
    return out;
}

struct row {
    const char *name, *text, *expected;
};

static void expect_values(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct err err = ERR_INIT;
        bool compiles;
        json_t *out = evaluate(rows[i].text, &compiles, &err);
        if (out == NULL) {
            print_error("%s: %s: %s\n", rows[i].name, rows[i].text, err.msg);
            fail();
        }
        expect_json(rows[i].name, out, rows[i].expected);
    }
}

/* Each must say `expected`, when compiling or when evaluating. */
static void expect_errors(const struct row *rows, size_t count, bool when_compiling)
{
    for (size_t i = 0; i < count; i++) {
        struct err err = ERR_INIT;
        bool compiles;
        json_t *out = evaluate(rows[i].text, &compiles, &err);
        if (out != NULL || compiles == when_compiling) {
            print_error("%s: %s: %s %s\n", rows[i].name, rows[i].text,
                compiles ? "compiles" : "does not compile:", err.msg);
            fail();
        }
        expect_has(rows[i].name, err.msg, rows[i].expected);
        assert_true(err.code == ERR_INVALID || err.code == ERR_LIMIT);
    }
}

static void test_literals(void **state UNUSED)
{
    static const struct row rows[] = {
        {"int", "42", "42"},
        {"hex", "0xFf", "255"},
        {"least int", "-9223372036854775808", "-9223372036854775808"},
        {"greatest int", "9223372036854775807", "9223372036854775807"},
        {"leading zero", "007", "7"},
        {"double", "1.5", "1.5"},
        {"double without whole part", ".5", "0.5"},
        {"exponent without point is a double", "1e3", "1000.0"},
        {"negative exponent, as Python writes it", "1e-05", "0.00001"},
        {"true", "true", "true"},
        {"null", "null", "null"},
        {"single quotes", "'a'", "'a'"},
        {"double quotes", "\"a'\" == 'a\\''", "true"},
        {"escapes",
            "'\\n\\t\\\\\\x41\\u00e9\\101\\U0001F600\\?\\`' == r\"\"\"\n\t\\A\xc3\xa9"
            "A\xf0\x9f\x98\x80?`\"\"\"",
            "true"},
        {"raw string keeps backslashes", "r'a\\d' == 'a\\\\d'", "true"},
        {"raw string of the other quote", "R\"\\\" == '\\\\'", "true"},
        {"triple quotes hold newlines and quotes", "size('''a\n'b''')", "4"},
        {"triple double quotes", "size(\"\"\"a\"b\"\"\")", "3"},
        {"empty strings", "'' + \"\" + '''''' + r''", "''"},
        {"list", "[1, 2.5, 'a', [], null,]", "[1,2.5,'a',[],null]"},
        {"map", "{'a': 1, \"b\": [true]}", "{'a':1,'b':[true]}"},
        {"empty map", "{}", "{}"},
        {"comment", "1 // one\n + 1 // two", "2"},
        {"space", " \t\r\n 1 \f ", "1"},
    };
    expect_values(rows, ARRAY_LEN(rows));
}

static void test_operators(void **state UNUSED)
{
    static const struct row rows[] = {
        {"* before +", "1 + 2 * 3", "7"},
        {"- groups to the left", "10 - 3 - 2", "5"},
        {"/ truncates toward zero", "[-7 / 2, 7 / -2, -7 % 2, 7 % -2]", "[-3,-3,-1,1]"},
        {"unary minus binds tighter than *", "-2 * -3", "6"},
        {"minus of brackets", "-(1 + 2)", "-3"},
        {"minus minus", "- -1", "1"},
        {"minus of a variable", "-d", "-5.0"},
        {"! binds tighter than &&", "!false && true", "true"},
        {"!!", "!!true", "true"},
        {"&& before ||", "true || true && false", "true"},
        {"comparison before &&", "1 < 2 && 2 < 3", "true"},
        {"+ before ==", "1 + 1 == 2", "true"},
        {"comparisons group to the left", "1 < 2 == true", "true"},
        {"?: groups to the right", "false ? 1 : true ? 2 : 3", "2"},
        {"?: takes only one side", "true ? 1 : 1 / 0", "1"},
        {"?: below ||", "false || true ? 'y' : 'n'", "'y'"},
        {"text + text", "'a' + 'b'", "'ab'"},
        {"list + list", "[1] + l", "[1,1,'a',null,[2]]"},
        {"double arithmetic", "d * 2.0 - 1.0 / 4.0", "9.75"},
        {"double by zero is infinite", "1.0 / 0.0 > 1e300", "true"},
        {"zero by zero is NaN, unequal to itself", "0.0 / 0.0 == 0.0 / 0.0", "false"},
        {"NaN is not ordered", "double('nan') < 1.0 || double('nan') >= 1.0", "false"},
        {"NaN is unequal", "double('nan') != double('nan')", "true"},
        {"in a list", "'a' in l", "true"},
        {"in a list, numbers as numbers", "1 in l && 1.0 in [1]", "true"},
        {"not in a list", "'z' in l", "false"},
        {"in a map", "'b-c' in m", "true"},
        {"in a map, another kind of key", "1 in m", "false"},
        {"in an empty list", "1 in []", "false"},
    };
    expect_values(rows, ARRAY_LEN(rows));
}

static void test_equality(void **state UNUSED)
{
    static const struct row rows[] = {
        {"int and double", "1 == 1.0", "true"},
        {"int and number from JSON", "d == 5", "true"},
        {"int and text", "1 == '1'", "false"},
        {"number from JSON and text", "d != '5'", "true"},
        {"bool and int", "true == 1", "false"},
        {"null and text", "n == 'x'", "false"},
        {"null and null", "n == null", "true"},
        {"null and zero", "null == 0", "false"},
        {"lists", "[1, 2] == [1.0, 2]", "true"},
        {"lists of another length", "[1, 2] == [1]", "false"},
        {"list from JSON", "l == [1, 'a', null, [2]]", "true"},
        {"map from JSON", "m == {'null': null, 'b-c': {'k': 'v'}, 'a': 1}", "true"},
        {"map the other way round", "{'a': 1} == m", "false"},
        {"maps with other keys", "{'a': 1} != {'b': 1}", "true"},
        {"list and map", "[] == {}", "false"},
        {"beyond 2^53 as ints", "9007199254740993 == 9007199254740992", "false"},
        {"int below double", "1 < 1.5", "true"},
        {"double not above int", "d > 5", "false"},
        {"number from JSON <= int", "d <= 5", "true"},
        {"texts by character", "'B' < 'a' && 'a' < 'ab' && 'z' < '\xc3\xa9'", "true"},
        {"false before true", "false < t", "true"},
    };
    expect_values(rows, ARRAY_LEN(rows));
}

static void test_absorbing(void **state UNUSED)
{
    static const struct row rows[] = {
        {"error && false", "m.zz == 1 && false", "false"},
        {"false && error", "false && m.zz == 1", "false"},
        {"error || true", "m.zz == 1 || true", "true"},
        {"true || error", "true || m.zz == 1", "true"},
        {"not a bool && false", "d && false", "false"},
        {"nested", "(m.zz && false) || !(true || 1 / 0 == 1)", "false"},
    };
    static const struct row errors[] = {
        {"error && true", "m.zz == 1 && true", "no key zz"},
        {"true && error", "true && m.zz == 1", "no key zz"},
        {"error || false", "1 / 0 == 1 || false", "divided by zero"},
        {"not a bool && true", "d && true", "&& takes true or false, and this is a double (5)"},
        {"both: the first", "m.zz == 1 && m.yy == 1", "no key zz"},
        {"error ? :", "m.zz ? 1 : 2", "no key zz"},
        {"not a bool ? :", "d ? 1 : 2", "takes true or false, and this is a double"},
        {"! of an error", "!(m.zz)", "no key zz"},
    };
    expect_values(rows, ARRAY_LEN(rows));
    expect_errors(errors, ARRAY_LEN(errors), false);
}

static void test_members(void **state UNUSED)
{
    static const struct row rows[] = {
        {"field", "m.a", "1"},
        {"key", "m['b-c']['k']", "'v'"},
        {"field of key", "m[\"b-c\"].k", "'v'"},
        {"a word of CEL as a field", "m.null", "null"},
        {"item", "l[1]", "'a'"},
        {"item by a number from JSON", "[0, 1, 2, 3, 4, 'five'][d]", "'five'"},
        {"item of a list written here", "[1, 2][1]", "2"},
        {"item of an item", "l[3][0]", "2"},
        {"member of a map written here", "{'a': {1: 'x'}}.a[1]", "'x'"},
        {"a number as key of a map", "{1: 'x', true: 'y'}[1.0]", "'x'"},
        {"brackets around", "(m).a", "1"},
        {"has", "has(m.a) && !has(m.zz)", "true"},
        {"has a null", "has(m.null)", "true"},
    };
    static const struct row errors[] = {
        {"no such key", "m['zz']", "in m['zz']: the object has no key zz"},
        {"no such item", "l[4]", "the list has no item 4, only 4"},
        {"negative item", "l[-1]", "the list has no item -1"},
        {"broken item", "l[0.5]", "the list has no item 0.5"},
        {"key of a list", "l['a']", "the value is not an object, so it has no key a: a list of 4"},
        {"field of null", "n.x", "the value is not an object, so it has no key x: null"},
        {"item of a text", "s[0]", "'h\xc3\xa9llo' has no member 0; only lists and maps"},
        {"number key of JSON", "m[1]", "the object has no key 1"},
        {"has of no map", "has(s.x)", "is not an object"},
        {"has of a missing map", "has(m.zz.x)", "no key zz"},
        {"key twice", "{'a': 1, 'a': 2}", "the key 'a' is there twice"},
        {"number twice", "{d == 5.0 ? 1 : 2: 1, 1: 2}", "there twice"},
        {"key of a wrong kind", "{d: 1}", "keys of a map are strings, ints or bools, and 5"},
        {"in a text", "'a' in s", "on the right must be a list or a map"},
    };
    expect_values(rows, ARRAY_LEN(rows));
    expect_errors(errors, ARRAY_LEN(errors), false);
}

static void test_functions(void **state UNUSED)
{
    static const struct row rows[] = {
        {"int truncates", "[int(2.9), int(-2.9), int(d)]", "[2,-2,5]"},
        {"int of text", "[int('5'), int('-5'), int('+5'), int('007')]", "[5,-5,5,7]"},
        {"int of int", "int(7)", "7"},
        {"int of a great number from JSON", "int(parseJson('9007199254740993'))",
            "9007199254740993"},
        {"double", "[double(2), double('2.5'), double('1e3'), double(d)]", "[2.0,2.5,1000.0,5]"},
        {"double of infinity", "double('-inf') < -1e308 && double('Infinity') > 0", "true"},
        {"string", "[string(2), string(2.0), string(0.1), string(true), string(d), string('x')]",
            "['2','2','0.1','true','5','x']"},
        {"string without exponent", "string(1e21) + string(1e-7)",
            "'10000000000000000000000.0000001'"},
        {"string of infinity", "string(1.0 / 0.0)", "'Infinity'"},
        {"bool", "[bool('true'), bool('False'), bool('1'), bool('f'), bool(t)]",
            "[true,false,true,false,true]"},
        {"size counts characters", "[size(s), size('\xf0\x9f\x98\x80'), s.size()]", "[5,1,5]"},
        {"size of list and map", "[size(l), size(m), size([]), {'a': 1}.size()]", "[4,3,0,1]"},
        {"parseJson", "parseJson('{\"a\": [1]}').a[0]", "1"},
        {"parseJson of a scalar", "parseJson('\"x\"') + 'y'", "'xy'"},
        {"startsWith", "[s.startsWith('h'), s.startsWith(''), s.startsWith('hello!')]",
            "[true,true,false]"},
        {"endsWith", "[s.endsWith('llo'), s.endsWith('l')]", "[true,false]"},
        {"contains", "[s.contains('\xc3\xa9'), s.contains(''), s.contains('z')]",
            "[true,true,false]"},
    };
    static const struct row errors[] = {
        {"int of bad text", "int(s)", "in int(s): 'h\xc3\xa9llo' is not a whole number"},
        {"int of empty text", "int('')", "'' is not a whole number"},
        {"int of text with space", "int(' 5')", "' 5' is not a whole number"},
        {"int of a broken text", "int('5.0')", "'5.0' is not a whole number"},
        {"int of a long text", "int('9223372036854775808')", "within the 64-bit integers"},
        {"int of a great double", "int(1e30)", "within the 64-bit integers"},
        {"int of 2^63", "int(9223372036854775808.0)", "within the 64-bit integers"},
        {"int of NaN", "int(double('nan'))", "NaN is not within the 64-bit integers"},
        {"int of bool", "int(t)", "int takes a number or a string, and true is a bool"},
        {"int of null", "int(n)", "null is null"},
        {"double of bad text", "double('1.5x')", "'1.5x' is not a number"},
        {"double of hex", "double('0x10')", "is not a number"},
        {"double of a point", "double('.')", "is not a number"},
        {"double of too much", "double('1e999')", "is not within the doubles"},
        {"bool of bad text", "bool('yes')", "'yes' is not true or false"},
        {"bool of number", "bool(d)", "bool takes a bool or a string"},
        {"string of list", "string(l)", "a list of 4 is a list"},
        {"size of number", "size(d)", "size takes a string, a list or a map, and 5 is a double"},
        {"parseJson of no JSON", "parseJson('{')", "the value is not JSON: '{'"},
        {"parseJson of number", "parseJson(d)", "parseJson takes a string"},
        {"startsWith of number", "s.startsWith(d)", "startsWith takes strings"},
        {"overflow", "9223372036854775807 + 1", "9223372036854775807 + 1 is beyond the 64-bit"},
        {"overflow of -", "-9223372036854775808 - 1", "beyond the 64-bit"},
        {"overflow of *", "9223372036854775807 * 2", "beyond the 64-bit"},
        {"overflow of /", "-9223372036854775808 / -1", "beyond the 64-bit"},
        {"overflow of unary -", "-(-9223372036854775808)", "beyond the 64-bit"},
        {"division by zero", "1 / 0", "in 1 / 0: 1 is divided by zero"},
        {"remainder by zero", "1 % 0", "1 is divided by zero"},
        {"double and int", "d * 100", "* does not take a double (5) and an int (100); numbers"},
        {"text and number", "s + d", "+ does not take a string ('h\xc3\xa9llo') and a double (5)"},
        {"order of text and number", "s < d", "; convert one side with int(...)"},
        {"order of null", "n < 1", "< does not take null (null) and an int (1)"},
        {"order of lists", "l < l", "< does not take a list"},
        {"- of a text", "-s", "- takes a number"},
        {"NaN goes nowhere", "double('nan')", "NaN, infinity) or a key that JSON has not"},
        {"infinity in a list", "[1.0 / 0.0]", "JSON has not"},
        {"key that JSON has not", "{1: 2}", "JSON has not"},
    };
    expect_values(rows, ARRAY_LEN(rows));
    expect_errors(errors, ARRAY_LEN(errors), false);
}

static void test_syntax(void **state UNUSED)
{
    static const struct row rows[] = {
        {"empty", "", "column 1: the expression ends too early; expected a value"},
        {"ends early", "d ==", "column 5: the expression ends too early"},
        {"two values", "d d", "column 3: 'd': expected an operator or the end here"},
        {"single =", "d = 5",
            "column 3: '=': this character does not belong in an expression; "
            "write == to compare"},
        {"single &", "t & t", "write it twice"},
        {"column in characters", "'\xc3\xa9\xc3\xa9' d", "column 6: 'd'"},
        {"open bracket", "(d", "expected an operator or ')'"},
        {"open index", "l[0", "expected an operator or ']'"},
        {"open list", "[1, 2", "expected ',' or ']'"},
        {"open map", "{'a': 1", "expected ',' or '}'"},
        {"map without value", "{'a'}", "expected ':' and the value"},
        {"?: without :", "t ? 1", "expected an operator or ':'"},
        {"closing too much", "d)", "column 2: ')'"},
        {"comma at the end of arguments", "int(1,)", "expected another argument"},
        {"field that is no name", "m.'a'", "expected a name"},
        {"open string", "'abc", "column 1: ''abc': this string does not end; close it with '"},
        {"string over two lines", "'a\nb'", "this string does not end"},
        {"open triple string", "'''a''", "close it with '''"},
        {"unknown escape", "'\\d'", "column 2: '\\': unknown escape; write a backslash as \\\\"},
        {"short \\x", "'\\x4'", "this escape needs 2 hexadecimal digits"},
        {"short octal", "'\\08'", "this escape needs 3 octal digits"},
        {"NUL", "'\\x00'", "not a character that a text can hold"},
        {"surrogate", "'\\ud800'", "not a character that a text can hold"},
        {"beyond Unicode", "'\\U00110000'", "not a character that a text can hold"},
        {"bytes", "b'abc'", "bytes are not supported"},
        {"raw bytes", "br'abc'", "bytes are not supported"},
        {"unsigned", "5u", "column 1: '5u': unsigned numbers are not supported"},
        {"word after number", "5x", "'5x': not a number"},
        {"hex without digits", "0x", "'0x': not a number"},
        {"too great", "9223372036854775808", "beyond the 64-bit integers"},
        {"far too great", "99999999999999999999999", "beyond the 64-bit integers"},
        {"great double", "1e999", "is beyond the doubles"},
        {"reserved word", "if == 1", "'if': is a reserved word of CEL"},
        {"dollar", "$.inputs", "values are inputs.parameter_values['name']"},
        {"placeholder", "{{$.inputs}}", "this character does not belong"},
        {"not UTF-8", "'\xff'", "byte 2 of the expression is not UTF-8"},
        {"quoting that the SDK breaks", "'int(inputs.parameter_values['x'])' == 'a'",
            "the quotes are wrong"},
        {"the same on the right", "'a' == 'int(inputs.parameter_values['pipelinechannel--x'])'",
            "compares an integer with a string; compare it with a number"},
    };
    expect_errors(rows, ARRAY_LEN(rows), true);
}

static void test_checks(void **state UNUSED)
{
    static const struct row rows[] = {
        {"unknown name", "x == 1", "column 1: 'x': is not known here; there is d, s, t, l, m, n"},
        {"infinity", "d < inf", "double('inf')"},
        {"function as a name", "size == 1", "a function is called with (...)"},
        {"unknown function", "sise(l)", "there is no function sise, did you mean size"},
        {"macro", "l.exists(i, i > 1)", "exists() looks at every item, which is not supported"},
        {"timestamp", "timestamp('x') > d", "compare times as strings in RFC 3339"},
        {"function as method", "d.int()", "int is not a method; write int(x)"},
        {"method as function", "startsWith(s, 'a')", "write x.startsWith(y)"},
        {"too many arguments", "int(1, 2)", "int takes 1 argument, not 2"},
        {"no argument", "s.contains()", "contains takes 1 argument, not 0"},
        {"has of a key", "has(m['a'])", "for other keys write 'y' in x"},
        {"int of bool", "int(true)", "int takes a number or a string, not a bool"},
        {"text + int", "'a' + 1", "column 1: ''a' + 1': + does not take a string and an int"},
        {"int * double", "2 * 2.0", "numbers from parameters are doubles"},
        {"through variables", "int(d) + s.size() + 'x'", "+ does not take an int and a string"},
        {"order of kinds", "int(d) < 'a'", "< does not take an int and a string; convert"},
        {"% of doubles", "d % 2.0", "% does not take a value and a double"},
        {"! of a number", "!5", "! takes a bool, not an int; put brackets"},
        {"! before a comparison", "!int(d) == 5", "put brackets around a comparison: !(a == b)"},
        {"- of a text", "-'a'", "- takes a number, not a string"},
        {"&& of a text", "'a' && t", "both sides must be true or false"},
        {"? of a number", "1 ? 2 : 3", "what stands before ? must be true or false, not an int"},
        {"in a number", "1 in 2", "on the right must be a list or a map"},
        {"index of a number", "5[0]", "only lists and maps have members"},
        {"list by a text", "[1]['a']", "a list is indexed by a whole number"},
        {"field of a text", "'a'.b", "a string has no members"},
        {"double key", "{1.5: 1}", "the keys of a map are strings, ints or bools, not a double"},
        {"regular expression", "s.matches('a')", "reads a regular expression; compare, or write"},
    };
    expect_errors(rows, ARRAY_LEN(rows), true);
}

/* `part` many times between the other two; malloc'd. */
static char *repeated(const char *before, const char *part, size_t count, const char *after)
{
    struct buf text;
    buf_init(&text, 64 << 20);
    buf_adds(&text, before);
    for (size_t i = 0; i < count; i++) {
        buf_adds(&text, part);
    }
    buf_adds(&text, after);
    return buf_steal(&text, NULL);
}

static void test_ceilings(void **state UNUSED)
{
    static const struct {
        const char *name, *before, *part;
        size_t count;
        const char *after, *says; /* says NULL: it is still allowed */
    } rows[] = {
        {"length", "'", "x", 65536, "'", "an expression of 65538 bytes"},
        {"brackets", "", "(", 99, "1", "expected an operator or ')'"},
        {"too many brackets", "", "(", 101, "1", "more than 100 nested brackets"},
        {"too many signs", "", "!", 101, "t", "more than 100 nested brackets and signs"},
        {"too many lists", "", "[", 101, "", "more than 100 nested brackets"},
        {"a long sum", "0", "+1", 900, "", NULL},
        {"too long a sum", "0", "+1", 1000, "", "more than 1000 levels"},
        {"many conditions", "t", "&&!(d==1)", 900, "", NULL},
        {"too many members", "m", ".a", 1000, "", "more than 1000 levels"},
        {"a long list", "[0", ",1", 9000, "]", NULL},
        {"too many parts", "[0", ",1", 10000, "]", "more than 10000 parts"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = repeated(rows[i].before, rows[i].part, rows[i].count, rows[i].after);
        struct err err = ERR_INIT;
        bool compiles;
        json_t *out = evaluate(text, &compiles, &err);
        if (rows[i].says != NULL) {
            assert_null(out);
            expect_has(rows[i].name, err.msg, rows[i].says);
        } else if (out == NULL) {
            print_error("%s: %s\n", rows[i].name, err.msg);
            fail();
        }
        json_decref(out);
        free(text);
    }
}

/* A variable as large as they come, used often. */
static void test_work(void **state UNUSED)
{
    static const struct {
        const char *name, *before, *part;
        size_t count;
    } rows[] = {
        {"joining", "s", "+s", 200},
        {"joining lists", "[l,l]+[l]", "+[l]+l", 200},
        {"comparing lists", "t", "&&l==l", 900},
        {"searching", "t", "&&!('b' in l)", 900},
        {"parsing", "t", "&&parseJson(m.json)!=1", 900},
        {"counting", "t", "&&s.size()!=1", 900},
        {"finding", "t", "&&!s.contains('b')", 900},
    };
    char *long_text = repeated("", "a", 2 << 20, "");
    char *long_json = repeated("[1", ",1", 500000, "]");
    json_t *variables = json_pack("{s:s,s:b,s:o,s:{s:s}}", "s", long_text, "t", 1, "l",
        json_loads(long_json, 0, NULL), "m", "json", long_json);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = repeated(rows[i].before, rows[i].part, rows[i].count, "");
        struct pool *pool = pool_new();
        struct err err = ERR_INIT;
        const struct expression *e = expression_compile(pool, text, names, &err);
        assert_non_null(e);
        json_t *out = expression_eval(e, variables, &err);
        if (out != NULL || err.code != ERR_LIMIT) {
            print_error("%s: %s\n", rows[i].name, out != NULL ? "evaluates" : err.msg);
            fail();
        }
        expect_has(rows[i].name, err.msg, "takes too much work");
        pool_free(pool);
        free(text);
    }
    json_decref(variables);
    free(long_json);
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_absorbing),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
