/* SPDX-License-Identifier: Apache-2.0 */
/* Lists: filters, order, pages and their tokens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"

#include "api/kfp/list.h"

static const struct list_field fields[] = {
    {"created_at", LIST_TIME, "created_us", NULL},
    {"id", LIST_TEXT, "id", NULL},
    {"name", LIST_TEXT, "name", NULL},
    {0},
};
static const struct list_spec spec = {"things", fields, true};

/* Five things; two of them share an instant, so that ids break the tie. */
static json_t *things(void)
{
    static const struct {
        const char *id, *name;
        int64_t second;
    } rows[] = {
        {"e", "Epsilon", 50},
        {"a", "alpha", 10},
        {"c", "gamma", 20},
        {"b", "beta", 20},
        {"d", "Delta+x", 40},
    };
    json_t *out = json_array();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_array_append_new(
            out, json_pack("{ss ss sI s{ss}}", "id", rows[i].id, "name", rows[i].name, "created_us",
                     (json_int_t)(rows[i].second * 1000000 + 250000), "tags", "team",
                     i % 2 == 0 ? "red" : "blue"));
    }
    return out;
}

struct request {
    struct pool *pool;
    struct http_request req;
};

static void request_init(struct request *r)
{
    *r = (struct request){.pool = pool_new()};
    r->req.pool = r->pool;
}

static void request_set(struct request *r, const char *name, const char *value)
{
    if (value != NULL) {
        http_fields_add(r->pool, &r->req.query, name, value);
    }
}

/* Ids of the page, as "a,b,c"; NULL when the query is refused. */
static const char *ask(
    struct request *r, int64_t *total_out, const char **token_out, struct err *err)
{
    struct list_query *query = list_query_parse(r->pool, &spec, &r->req, err);
    if (query == NULL) {
        return NULL;
    }
    json_t *all = things();
    json_t *page = list_page(query, all, total_out, token_out);
    const char *text = "";
    size_t i;
    json_t *record;
    json_array_foreach(page, i, record)
    {
        text = pool_printf(r->pool, "%s%s%s", text, i > 0 ? "," : "",
            json_string_value(json_object_get(record, "id")));
    }
    json_decref(page);
    json_decref(all);
    return text;
}

struct row {
    const char *name, *sort, *filter;
    const char *ids; /* or NULL */
    const char *error;
};

#define P(text) "{\"predicates\":[" text "]}"
static const struct row rows[] = {
    {"default order", NULL, NULL, "a,b,c,d,e", NULL},
    {"empty means unset", "", "", "a,b,c,d,e", NULL},
    {"descending, ties too", "created_at desc", NULL, "e,d,c,b,a", NULL},
    {"any case", "CREATED_AT Desc", NULL, "e,d,c,b,a", NULL},
    {"by name", "name asc", NULL, "d,e,a,b,c", NULL},
    {"unknown sort", "colour", NULL, NULL, "Invalid sorting field"},
    {"third word", "name asc please", NULL, NULL, "not of the form"},
    {"bad direction", "name up", NULL, NULL, "not of the form"},
    {"equals", NULL, P("{\"operation\":\"EQUALS\",\"key\":\"name\",\"string_value\":\"beta\"}"),
        "b", NULL},
    {"the SDK's way", NULL,
        "{\"predicates\": [{\"operation\": 1, \"key\": \"name\", \"stringValue\": \"beta\"}]}", "b",
        NULL},
    {"encoded once more", NULL,
        "%7B%22predicates%22%3A%5B%7B%22operation%22%3A1%2C%22key%22%3A%22name%22%2C"
        "%22stringValue%22%3A%22Delta%2Bx%22%7D%5D%7D",
        "d", NULL},
    {"plus survives", NULL,
        P("{\"operation\":\"EQUALS\",\"key\":\"name\",\"string_value\":\"Delta+x\"}"), "d", NULL},
    {"and", NULL,
        P("{\"operation\":\"NOT_EQUALS\",\"key\":\"id\",\"string_value\":\"a\"},"
          "{\"operation\":\"LESS_THAN\",\"key\":\"id\",\"string_value\":\"d\"}"),
        "b,c", NULL},
    {"time", NULL,
        P("{\"operation\":3,\"key\":\"created_at\",\"timestamp_value\":\"1970-01-01T00:00:20Z\"}"),
        "d,e", NULL},
    {"time or later, as text", NULL,
        P("{\"operation\":5,\"key\":\"created_at\",\"string_value\":\"1970-01-01T00:00:20Z\"}"),
        "b,c,d,e", NULL},
    {"time up to, as number", NULL,
        P("{\"operation\":7,\"key\":\"created_at\",\"long_value\":\"20\"}"), "a,b,c", NULL},
    {"in", NULL,
        P("{\"operation\":\"IN\",\"key\":\"id\",\"string_values\":{\"values\":[\"a\",\"e\",\"z\"]}"
          "}"),
        "a,e", NULL},
    {"in nothing", NULL, P("{\"operation\":\"IN\",\"key\":\"id\",\"string_values\":{}}"), "", NULL},
    {"substring, any case", NULL,
        P("{\"operation\":\"IS_SUBSTRING\",\"key\":\"name\",\"string_value\":\"LT\"}"), "d", NULL},
    {"tags", NULL, P("{\"operation\":1,\"key\":\"tags.team\",\"string_value\":\"blue\"}"), "a,b",
        NULL},
    {"tags by another operation", NULL,
        P("{\"operation\":9,\"key\":\"tags.team\",\"string_value\":\"b\"}"), NULL, "EQUALS"},
    {"unknown key", NULL, P("{\"operation\":1,\"key\":\"colour\",\"string_value\":\"x\"}"), NULL,
        "no support for filtering on unrecognized field 'colour'"},
    {"empty key", NULL, P("{\"operation\":1,\"key\":\"\",\"string_value\":\"x\"}"), NULL,
        "predicates[0].key: missing"},
    {"no operation", NULL, P("{\"key\":\"id\",\"string_value\":\"x\"}"), NULL,
        "operation: missing"},
    {"unspecified operation", NULL, P("{\"operation\":0,\"key\":\"id\",\"string_value\":\"x\"}"),
        NULL, "operation: missing"},
    {"unused number", NULL, P("{\"operation\":4,\"key\":\"id\",\"string_value\":\"x\"}"), NULL,
        "unknown value"},
    {"no value", NULL, P("{\"operation\":1,\"key\":\"id\"}"), NULL, "has no value"},
    {"two values", NULL,
        P("{\"operation\":1,\"key\":\"id\",\"string_value\":\"x\",\"int_value\":1}"), NULL,
        "only one of"},
    {"IN with one", NULL, P("{\"operation\":8,\"key\":\"id\",\"string_value\":\"x\"}"), NULL,
        "IN takes a list"},
    {"EQUALS with a list", NULL,
        P("{\"operation\":1,\"key\":\"id\",\"int_values\":{\"values\":[1]}}"), NULL, "not a list"},
    {"substring of a number", NULL, P("{\"operation\":9,\"key\":\"id\",\"int_value\":1}"), NULL,
        "string_value"},
    {"time of a text", NULL,
        P("{\"operation\":1,\"key\":\"id\",\"timestamp_value\":\"1970-01-01T00:00:20Z\"}"), NULL,
        "not a time"},
    {"unknown field", NULL, "{\"predicate\":[]}", NULL, "unknown field"},
    {"not JSON", NULL, "name=beta", NULL, "filter"},
    {"not JSON, with escapes", NULL, "%7B%22", NULL, "filter"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct err err = ERR_INIT;
        struct request r;
        request_init(&r);
        request_set(&r, "sort_by", row->sort);
        request_set(&r, "filter", row->filter);
        int64_t total = 0;
        const char *token = NULL;
        const char *ids = ask(&r, &total, &token, &err);
        if (row->ids != NULL) {
            if (ids == NULL || strcmp(ids, row->ids) != 0) {
                fail_msg("%s: got %s %s", row->name, ids, err.msg);
            }
            assert_null(token);
        } else if (ids != NULL || strstr(err.msg, row->error) == NULL) {
            fail_msg("%s: got %s '%s'", row->name, ids, err.msg);
        }
        pool_free(r.pool);
    }
}

/* Every page size gives the same rows in the same order, each once. */
static void test_pages(void **state)
{
    (void)state;
    static const struct {
        const char *sort, *ids;
    } orders[] = {
        {"created_at", "a,b,c,d,e"},
        {"created_at desc", "e,d,c,b,a"},
        {"name", "d,e,a,b,c"},
        {"id desc", "e,d,c,b,a"},
    };
    for (size_t o = 0; o < ARRAY_LEN(orders); o++) {
        for (int size = 1; size <= 6; size++) {
            char all[64] = "";
            size_t used = 0;
            char token[4096] = "";
            do {
                struct err err = ERR_INIT;
                struct request r;
                char text[16];
                request_init(&r);
                snprintf(text, sizeof text, "%d", size);
                request_set(&r, "page_size", text);
                /* with a token the order may be left out */
                request_set(&r, "sort_by", token[0] == '\0' ? orders[o].sort : "");
                request_set(&r, "page_token", token);
                int64_t total = 0;
                const char *next = NULL;
                const char *ids = ask(&r, &total, &next, &err);
                assert_non_null(ids);
                assert_int_equal(total, 5);
                used += (size_t)snprintf(
                    all + used, sizeof all - used, "%s%s", used > 0 ? "," : "", ids);
                snprintf(token, sizeof token, "%s", next != NULL ? next : "");
                pool_free(r.pool);
            } while (token[0] != '\0');
            assert_string_equal(all, orders[o].ids);
        }
    }
}

static void make_token(char *out, size_t len)
{
    struct err err = ERR_INIT;
    struct request r;
    request_init(&r);
    request_set(&r, "page_size", "2");
    request_set(&r, "sort_by", "name desc");
    request_set(
        &r, "filter", P("{\"operation\":\"NOT_EQUALS\",\"key\":\"id\",\"string_value\":\"a\"}"));
    int64_t total;
    const char *token = NULL;
    assert_non_null(ask(&r, &total, &token, &err));
    assert_non_null(token);
    snprintf(out, len, "%s", token);
    pool_free(r.pool);
}

static void test_tokens(void **state)
{
    (void)state;
    char token[4096];
    make_token(token, sizeof token);
    const struct {
        const char *name, *token, *sort, *filter;
        bool is_good;
    } cases[] = {
        {"alone", token, NULL, NULL, true},
        {"with the same order", token, "name  desc", NULL, true},
        {"with another order", token, "name asc", NULL, false},
        {"with another filter", token, NULL,
            P("{\"operation\":\"EQUALS\",\"key\":\"id\",\"string_value\":\"a\"}"), false},
        {"with the same filter", token, NULL,
            P("{\"operation\":\"NOT_EQUALS\",\"key\":\"id\",\"string_value\":\"a\"}"), true},
        {"not base64", "?", NULL, NULL, false},
        {"not JSON", "eHg=", NULL, NULL, false},
        {"empty object", "e30=", NULL, NULL, false},
        {"a number", "MQ==", NULL, NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        struct request r;
        request_init(&r);
        request_set(&r, "page_token", cases[i].token);
        request_set(&r, "sort_by", cases[i].sort);
        request_set(&r, "filter", cases[i].filter);
        int64_t total;
        const char *next;
        const char *ids = ask(&r, &total, &next, &err);
        if ((ids != NULL) != cases[i].is_good) {
            fail_msg("%s: %s", cases[i].name, err.msg);
        }
        if (!cases[i].is_good && strstr(err.msg, "Invalid page token") == NULL) {
            fail_msg("%s: %s", cases[i].name, err.msg);
        }
        pool_free(r.pool);
    }
}

static void test_page_size(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
    } cases[] = {{"0", true}, {"", true}, {"200", true}, {"100000", true}, {"-1", false},
        {"x", false}, {"99999999999", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        struct request r;
        request_init(&r);
        request_set(&r, "page_size", cases[i].text);
        struct list_query *query = list_query_parse(r.pool, &spec, &r.req, &err);
        assert_int_equal(query != NULL, cases[i].is_good);
        pool_free(r.pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_page_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
