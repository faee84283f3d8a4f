/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP messages as values: fields, escapes, queries, paths, forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/http_msg.h"
#include "base/pool.h"
#include "base/util.h"

static void names_compare_whole_and_without_case(void **state)
{
    (void)state;
    struct pool *pool = pool_new();
    struct http_request req = {.pool = pool, .query_raw = ""};
    http_fields_add(pool, &req.headers, "Content-Type", "a");
    http_fields_add(pool, &req.headers, "X-Sig", "1");
    http_fields_add(pool, &req.headers, "x-sig", "2");
    http_fields_add(pool, &req.headers, "Empty", NULL);
    assert_string_equal(http_header(&req, "content-type"), "a");
    assert_null(http_header(&req, "Content"));
    assert_null(http_header(&req, "Content-Type-Options"));
    assert_string_equal(http_header(&req, "X-SIG"), "1");
    assert_int_equal(http_fields_times(&req.headers, "X-Sig"), 2);
    assert_int_equal(http_fields_times(&req.headers, "none"), 0);
    assert_string_equal(http_header(&req, "empty"), "");
    for (int i = 0; i < 100; i++) {
        http_fields_add(pool, &req.headers, "many", "x");
    }
    assert_int_equal(http_fields_times(&req.headers, "many"), 100);
    assert_string_equal(http_header(&req, "content-type"), "a");
    pool_free(pool);
}

static void escapes_are_decoded(void **state)
{
    static const struct {
        const char *name, *text;
        bool plus;
        const char *expected; /* NULL: refused */
    } rows[] = {
        {"plain", "abc", false, "abc"},
        {"escape", "a%20b%2Fc", false, "a b/c"},
        {"lower-case hex", "%c3%a9", false, "\xc3\xa9"},
        {"plus kept", "a+b", false, "a+b"},
        {"plus is a space", "a+b%2B", true, "a b+"},
        {"cut-off escape kept", "50%", false, "50%"},
        {"cut-off escape kept, one digit", "50%4", false, "50%4"},
        {"bad escape kept", "%zz%4", false, "%zz%4"},
        {"escaped percent", "%2541", false, "%41"},
        {"NUL refused", "a%00b", false, NULL},
        {"empty", "", true, ""},
    };
    (void)state;
    struct pool *pool = pool_new();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *got = http_decode(pool, rows[i].text, strlen(rows[i].text), rows[i].plus);
        if (!str_eq(got, rows[i].expected)) {
            fail_msg("%s: %s", rows[i].name, got != NULL ? got : "refused");
        }
    }
    pool_free(pool);
}

static void encoding_is_undone_by_decoding(void **state)
{
    (void)state;
    struct pool *pool = pool_new();
    struct buf out;
    buf_init(&out, 4096);
    http_encode(&out, "az-AZ_09.~ /?%&=+\xc3\xa9");
    assert_string_equal(buf_str(&out), "az-AZ_09.~%20%2F%3F%25%26%3D%2B%C3%A9");
    char all[256];
    for (int i = 0; i < 255; i++) {
        all[i] = (char)(i + 1);
    }
    all[255] = '\0';
    buf_reset(&out);
    http_encode(&out, all);
    assert_string_equal(http_decode(pool, buf_str(&out), out.len, true), all);
    buf_done(&out);
    pool_free(pool);
}

static void queries_are_read(void **state)
{
    static const struct {
        const char *raw, *name, *value; /* NULL: absent */
        size_t count;
    } rows[] = {
        {"", "a", NULL, 0},
        {"a=1", "a", "1", 1},
        {"a=1&b=2", "b", "2", 2},
        {"a=1&a=2", "a", "1", 2},
        {"a", "a", "", 1},
        {"a=", "a", "", 1},
        {"a=b=c", "a", "b=c", 1},
        {"&&a=1&", "a", "1", 1},
        {"=1", "", NULL, 0},
        {"a%3Db=1%262", "a=b", "1&2", 1},
        {"a=x+y", "a", "x y", 1},
        {"a=%00&b=1", "a", NULL, 1},
        {"a=%00&b=1", "b", "1", 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct http_request req = {.pool = pool, .query_raw = rows[i].raw};
        http_query_parse(&req);
        if (!str_eq(http_query(&req, rows[i].name), rows[i].value) ||
            req.query.count != rows[i].count) {
            fail_msg("%s", rows[i].raw);
        }
        pool_free(pool);
    }
}

static void an_endless_query_is_bounded(void **state)
{
    (void)state;
    struct pool *pool = pool_new();
    char *raw = xcalloc(1, 200001);
    for (int i = 0; i < 100000; i++) {
        memcpy(raw + 2 * i, "a&", 2);
    }
    struct http_request req = {.pool = pool, .query_raw = raw};
    http_query_parse(&req);
    assert_int_equal(req.query.count, 1000);
    free(raw);
    pool_free(pool);
}

static void paths_match_their_patterns(void **state)
{
    static const struct {
        const char *pattern, *path;
        const char *args; /* joined by '|'; NULL: no match */
    } rows[] = {
        {"/healthz", "/healthz", ""},
        {"/healthz", "/healthz/", NULL},
        {"/healthz", "/health", NULL},
        {"/", "/", ""},
        {"/a/{x}", "/a/1", "x=1"},
        {"/a/{x}", "/a/", NULL},
        {"/a/{x}", "/a/1/b", NULL},
        {"/a/{x}/b/{y}", "/a/1/b/2", "x=1|y=2"},
        {"/a/{x}/b/{y}", "/a/1/c/2", NULL},
        {"/a/{x}:cancel", "/a/1:cancel", "x=1"},
        {"/a/{x}:cancel", "/a/:cancel", NULL},
        {"/a/{x}:cancel", "/a/1:enable", NULL},
        {"/a/{x}:cancel", "/a/1", NULL},
        {"/a/{x}:c", "/a/1:b:c", "x=1:b"},
        {"/a/{x}", "/a/%41%2F", "x=A/"},
        {"/a/{x}", "/a/%00", NULL},
        {"/a/{x}", "/a//", NULL},
        {"/a/{x}/{y}", "/a/1", NULL},
        {"/a", "/a%2F", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct http_fields args = {0};
        struct buf got;
        buf_init(&got, 256);
        bool is_match = http_path_match(pool, rows[i].pattern, rows[i].path, &args);
        for (size_t k = 0; k < args.count; k++) {
            buf_addf(&got, "%s%s=%s", k > 0 ? "|" : "", args.items[k].name, args.items[k].value);
        }
        if (is_match != (rows[i].args != NULL) ||
            strcmp(buf_str(&got), is_match ? rows[i].args : "") != 0) {
            fail_msg(
                "%s against %s: %d %s", rows[i].path, rows[i].pattern, is_match, buf_str(&got));
        }
        buf_done(&got);
        pool_free(pool);
    }
}

/* Forms. */

#define FORM "multipart/form-data; boundary=XX"
#define FIELD(name) "Content-Disposition: form-data; name=\"" name "\"\r\n"

static const struct {
    const char *name, *type, *body;
    const char *data, *filename; /* data NULL: refused */
    enum err_code code;
} forms[] = {
    {"as requests sends it", FORM,
        "--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"p.yaml\"\r\n\r\n"
        "a: 1\r\n\r\n--XX--\r\n",
        "a: 1\r\n", "p.yaml", ERR_NONE},
    {"quoted boundary", "multipart/form-data; charset=utf-8 ; boundary=\"X X\"",
        "--X X\r\n" FIELD("f") "\r\nd\r\n--X X--", "d", NULL, ERR_NONE},
    {"any case", "MultiPart/Form-Data; BOUNDARY=XX",
        "--XX\r\ncontent-DISPOSITION: FORM-data; NAME=f\r\n\r\nd\r\n--XX--", "d", NULL, ERR_NONE},
    {"preamble and epilogue", FORM,
        "--X\r\nignored\r\n--XX\r\n" FIELD("f") "\r\nd\r\n--XX--\r\n--XX\r\nmore", "d", NULL,
        ERR_NONE},
    {"the second part", FORM,
        "--XX\r\n" FIELD("g") "\r\nno\r\n--XX\r\n" FIELD("f") "\r\nd\r\n--XX--", "d", NULL,
        ERR_NONE},
    {"the first of two", FORM,
        "--XX\r\n" FIELD("f") "\r\nd\r\n--XX\r\n" FIELD("f") "\r\ne\r\n--XX--", "d", NULL,
        ERR_NONE},
    {"data that looks like a delimiter", FORM,
        "--XX\r\n" FIELD("f") "\r\n\r\n--XXA\r\n--X\n--XX\r--XX\r\n--XX--",
        "\r\n--XXA\r\n--X\n--XX\r--XX", NULL, ERR_NONE},
    {"padding after the boundary", FORM, "--XX \t\r\n" FIELD("f") "\r\nd\r\n--XX--", "d", NULL,
        ERR_NONE},
    {"empty data", FORM, "--XX\r\n" FIELD("f") "\r\n\r\n--XX--", "", NULL, ERR_NONE},
    {"headers only", FORM, "--XX\r\nContent-Disposition: form-data; name=\"f\"\r\n--XX--", "", NULL,
        ERR_NONE},
    {"escaped quotes", FORM,
        "--XX\r\nContent-Disposition: form-data; filename=\"a\\\"b\\\\c\\d\"; name=f;\r\n\r\nd\r\n"
        "--XX--",
        "d", "a\"b\\c\\d", ERR_NONE},
    {"a gap in the data is not a gap in the headers", FORM,
        "--XX\r\n" FIELD("f") "\r\n" FIELD("g") "\r\nx\r\n--XX--", FIELD("g") "\r\nx", NULL,
        ERR_NONE},

    {"not a form", "application/json", "{}", NULL, NULL, ERR_INVALID},
    {"no boundary", "multipart/form-data", "--XX--", NULL, NULL, ERR_INVALID},
    {"two boundaries", "multipart/form-data; boundary=XX; boundary=YY", "--XX--", NULL, NULL,
        ERR_INVALID},
    {"empty boundary", "multipart/form-data; boundary=\"\"", "----", NULL, NULL, ERR_INVALID},
    {"long boundary",
        "multipart/form-data; "
        "boundary=12345678901234567890123456789012345678901234567890123456789012345678901",
        "x", NULL, NULL, ERR_INVALID},
    {"unclosed quote", "multipart/form-data; boundary=\"XX", "--XX--", NULL, NULL, ERR_INVALID},
    {"boundary with a line end", "multipart/form-data; boundary=\"X\r\nX\"", "--X", NULL, NULL,
        ERR_INVALID},
    {"empty body", FORM, "", NULL, NULL, ERR_INVALID},
    {"other boundary", FORM, "--YY\r\n\r\n--YY--", NULL, NULL, ERR_INVALID},
    {"no such field", FORM, "--XX\r\n" FIELD("g") "\r\nd\r\n--XX--", NULL, NULL, ERR_INVALID},
    {"no part", FORM, "--XX--", NULL, NULL, ERR_INVALID},
    {"cut off in the data", FORM, "--XX\r\n" FIELD("f") "\r\nd", NULL, NULL, ERR_INVALID},
    {"cut off after the found part", FORM, "--XX\r\n" FIELD("f") "\r\nd\r\n--XX\r\n", NULL, NULL,
        ERR_INVALID},
    {"cut off in the last boundary", FORM, "--XX\r\n" FIELD("f") "\r\nd\r\n--XX-", NULL, NULL,
        ERR_INVALID},
    {"a part without a name", FORM, "--XX\r\n\r\nd\r\n--XX--", NULL, NULL, ERR_INVALID},
    {"a part of nothing", FORM, "--XX\r\n--XX--", NULL, NULL, ERR_INVALID},
    {"a folded header", FORM,
        "--XX\r\nContent-Disposition: form-data;\r\n name=\"f\"\r\n\r\nd\r\n--XX--", NULL, NULL,
        ERR_INVALID},
    {"two names", FORM, "--XX\r\nContent-Disposition: form-data; name=f; name=g\r\n\r\nd\r\n--XX--",
        NULL, NULL, ERR_INVALID},
    {"two dispositions", FORM, "--XX\r\n" FIELD("f") FIELD("g") "\r\nd\r\n--XX--", NULL, NULL,
        ERR_INVALID},
    {"an encoding", FORM,
        "--XX\r\nContent-Transfer-Encoding: base64\r\n" FIELD("f") "\r\nZA==\r\n--XX--", NULL, NULL,
        ERR_INVALID},
    {"bare line feeds", FORM, "--XX\n" FIELD("f") "\nd\n--XX--", NULL, NULL, ERR_INVALID},
};

static int find(
    struct pool *pool, const char *type, const char *body, struct http_part *part, struct err *err)
{
    struct http_request req = {
        .pool = pool, .query_raw = "", .body = body, .body_len = strlen(body)};
    http_fields_add(pool, &req.headers, "Content-Type", type);
    return http_multipart_find(&req, "f", part, err);
}

static void forms_are_read_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct pool *pool = pool_new();
        struct http_part part = {0};
        struct err err = ERR_INIT;
        int r = find(pool, forms[i].type, forms[i].body, &part, &err);
        if (r != (forms[i].data != NULL ? 0 : -1) || err.code != forms[i].code) {
            fail_msg("%s: %d %s", forms[i].name, r, err.msg);
        }
        if (r == 0 &&
            (part.len != strlen(forms[i].data) || memcmp(part.data, forms[i].data, part.len) != 0 ||
                !str_eq(part.filename, forms[i].filename))) {
            fail_msg("%s: %.*s", forms[i].name, (int)part.len, part.data);
        }
        pool_free(pool);
    }
}

static void forms_have_ceilings(void **state)
{
    (void)state;
    struct pool *pool = pool_new();
    struct buf body;
    struct http_part part;
    struct err err = ERR_INIT;
    buf_init(&body, 1 << 20);
    for (int i = 0; i < 65; i++) {
        buf_adds(&body, "--XX\r\n" FIELD("f") "\r\nd\r\n");
    }
    buf_adds(&body, "--XX--");
    assert_int_equal(find(pool, FORM, buf_str(&body), &part, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);

    buf_reset(&body);
    buf_adds(&body, "--XX\r\nX: ");
    for (int i = 0; i < 9000; i++) {
        buf_addc(&body, 'x');
    }
    buf_adds(&body, "\r\n" FIELD("f") "\r\nd\r\n--XX--");
    assert_int_equal(find(pool, FORM, buf_str(&body), &part, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);

    struct http_request two = {.pool = pool, .query_raw = "", .body = "", .body_len = 0};
    http_fields_add(pool, &two.headers, "Content-Type", FORM);
    http_fields_add(pool, &two.headers, "content-type", FORM);
    assert_int_equal(http_multipart_find(&two, "f", &part, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    buf_done(&body);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_compare_whole_and_without_case),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(encoding_is_undone_by_decoding),
        cmocka_unit_test(queries_are_read),
        cmocka_unit_test(an_endless_query_is_bounded),
        cmocka_unit_test(paths_match_their_patterns),
        cmocka_unit_test(forms_are_read_or_refused),
        cmocka_unit_test(forms_have_ceilings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
