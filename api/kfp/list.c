/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of lists: order, position, token. Filters are in filter.c. */
#include "api/kfp/list.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/index.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"

#include "api/kfp/filter.h"

#define PAGE_DEFAULT 20
#define PAGE_MAX 200
#define FILTER_MAX 65536
#define TOKEN_MAX (2 * FILTER_MAX)

struct list_query {
    struct pool *pool;
    const struct list_spec *spec;
    size_t page_size;
    const struct list_field *sort;
    bool is_desc;
    const char *filter_text;
    struct filter *filter;
    /* where the page begins; id NULL at the start */
    const char *start_id, *start_text;
    int64_t start_time;
};

/* ---- parsing ---- */

static int read_page_size(const struct http_request *req, size_t *out, struct err *err)
{
    const char *text = http_query(req, "page_size");
    text = text != NULL ? text : http_query(req, "pageSize");
    int64_t size = 0;
    if (text != NULL && text[0] != '\0' &&
        parse_i64(text, 0, INT32_MAX, "page_size", &size, err) != 0) {
        return -1;
    }
    *out = size == 0 ? PAGE_DEFAULT : size > PAGE_MAX ? PAGE_MAX : (size_t)size;
    return 0;
}

static const char *query_text(const struct http_request *req, const char *snake, const char *camel)
{
    const char *text = http_query(req, snake);
    text = text != NULL ? text : http_query(req, camel);
    return text != NULL ? text : "";
}

#define SORT_WORDS 2

/* Cut at spaces; the number of words, counting no further than SORT_WORDS + 1. */
static size_t split_words(char *text, char *words[SORT_WORDS])
{
    size_t count = 0;
    char *p = text + strspn(text, " ");
    while (*p != '\0' && count <= SORT_WORDS) {
        if (count < SORT_WORDS) {
            words[count] = p;
        }
        count++;
        p += strcspn(p, " ");
        if (*p != '\0') {
            *p++ = '\0';
            p += strspn(p, " ");
        }
    }
    return count;
}

/* "<field>", "<field> asc" or "<field> desc", in any case. */
static int read_sort(struct list_query *query, const char *text, struct err *err)
{
    char *lower = pool_strdup(query->pool, text);
    for (char *p = lower; *p != '\0'; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    }
    char *words[SORT_WORDS];
    size_t count = split_words(lower, words);
    const char *name = count > 0 ? words[0] : "created_at";
    const char *direction = count > 1 ? words[1] : "asc";
    if (count > SORT_WORDS || (strcmp(direction, "asc") != 0 && strcmp(direction, "desc") != 0)) {
        return err_set(err, ERR_INVALID,
            "sort_by: '%.200s' is not of the form 'field', 'field asc' or 'field desc'", text);
    }
    query->sort = list_field_find(query->spec, name);
    if (query->sort == NULL) {
        return err_set(err, ERR_INVALID, "sort_by: Invalid sorting field: '%.200s'", name);
    }
    query->is_desc = strcmp(direction, "desc") == 0;
    return 0;
}

static int bad_token(struct err *err)
{
    return err_set(err, ERR_INVALID,
        "Invalid page token: give the next_page_token of the "
        "last reply, with the same sort_by and filter");
}

/* The token brings sort and filter; given again they must be the same. */
static int read_token(struct list_query *query, const char *token, const char *sort_text,
    const char *filter_text, struct err *err)
{
    size_t len = 0;
    CLEANUP(cleanup_free)
    unsigned char *raw =
        strlen(token) <= TOKEN_MAX ? base64_decode(token, strlen(token), &len) : NULL;
    CLEANUP(json_decrefp)
    json_t *in = raw != NULL ? jread_text((const char *)raw, len, "page_token", NULL) : NULL;
    const char *sort = jget_str(in, "sort", NULL);
    const char *filter = jget_str(in, "filter", NULL);
    const char *id = jget_str(in, "id", NULL);
    const json_t *value = json_object_get(in, "value");
    if (!str_eq(jget_str(in, "of", NULL), query->spec->resource) || sort == NULL ||
        filter == NULL || id == NULL) {
        return bad_token(err);
    }
    if (sort_text[0] != '\0') {
        const struct list_field *given = query->sort;
        bool given_desc = query->is_desc;
        if (read_sort(query, sort, NULL) != 0 || query->sort != given ||
            query->is_desc != given_desc) {
            return bad_token(err);
        }
    } else if (read_sort(query, sort, NULL) != 0) {
        return bad_token(err);
    }
    if (filter_text[0] != '\0' && strcmp(filter_text, filter) != 0) {
        return bad_token(err);
    }
    if (!(query->sort->kind == LIST_TIME ? json_is_integer(value) : json_is_string(value))) {
        return bad_token(err);
    }
    query->filter_text = pool_strdup(query->pool, filter);
    query->start_id = pool_strdup(query->pool, id);
    query->start_text = pool_strdup(query->pool, json_string_value(value));
    query->start_time = json_integer_value(value);
    return id[0] != '\0' ? 0 : bad_token(err);
}

struct list_query *list_query_parse(struct pool *pool, const struct list_spec *spec,
    const struct http_request *req, struct err *err)
{
    struct list_query *query = pool_alloc(pool, sizeof *query);
    query->pool = pool;
    query->spec = spec;
    const char *sort = query_text(req, "sort_by", "sortBy");
    const char *token = query_text(req, "page_token", "pageToken");
    const char *filter = query_text(req, "filter", "filter");
    if (strlen(filter) > FILTER_MAX) {
        err_set(err, ERR_INVALID, "filter: longer than %d bytes", FILTER_MAX);
        return NULL;
    }
    query->filter_text = filter;
    if (read_page_size(req, &query->page_size, err) != 0 || read_sort(query, sort, err) != 0) {
        return NULL;
    }
    if (token[0] != '\0' && read_token(query, token, sort, filter, err) != 0) {
        return NULL;
    }
    query->filter = filter_parse(pool, spec, query->filter_text, err);
    return query->filter != NULL ? query : NULL;
}

bool list_query_uses(const struct list_query *query, const char *key)
{
    return strcmp(query->sort->key, key) == 0 || filter_uses(query->filter, key);
}

bool list_query_index(const struct list_query *query, struct index_query *out)
{
    if (strcmp(query->sort->key, "created_at") != 0 || !filter_is_empty(query->filter)) {
        return false;
    }
    out->is_desc = query->is_desc;
    out->start_id = query->start_id;
    out->start_us = query->start_time;
    out->need = query->page_size + 1;
    return true;
}

size_t list_query_page_size(const struct list_query *query)
{
    return query->page_size;
}

/* ---- pages ---- */

struct row {
    const char *text, *id;
    int64_t time;
    json_t *record;
};

struct order {
    enum list_kind kind;
    bool is_desc;
};

static int row_compare(const struct row *a, const struct row *b, const struct order *order)
{
    int result = order->kind == LIST_TIME ? (a->time > b->time) - (a->time < b->time)
                                          : strcmp(a->text, b->text);
    if (result == 0) {
        result = strcmp(a->id, b->id);
    }
    return order->is_desc ? -result : result;
}

static struct row row_of(const struct list_query *query, json_t *record)
{
    struct row row = {.record = record, .id = jget_str(record, "id", ""), .text = ""};
    if (query->sort->kind == LIST_TIME) {
        row.time = list_time(query->sort, record);
    } else {
        row.text = list_text(query->sort, record);
    }
    return row;
}

static const char *make_token(const struct list_query *query, const struct row *row)
{
    CLEANUP(json_decrefp) json_t *out = json_object();
    json_object_set_new(out, "of", json_string(query->spec->resource));
    json_object_set_new(
        out, "sort", json_sprintf("%s %s", query->sort->key, query->is_desc ? "desc" : "asc"));
    json_object_set_new(out, "filter", json_string(query->filter_text));
    json_object_set_new(out, "id", json_string(row->id));
    json_object_set_new(out, "value",
        query->sort->kind == LIST_TIME ? json_integer(row->time) : json_string(row->text));
    CLEANUP(cleanup_free) char *text = jtext(out);
    CLEANUP(cleanup_free) char *token = base64_encode(text, strlen(text));
    return pool_strdup(query->pool, token);
}

const char *list_query_token(const struct list_query *query, const char *id, int64_t created_us)
{
    const struct row row = {.id = id, .time = created_us, .text = ""};
    return make_token(query, &row);
}

struct list_pick {
    const struct list_query *query;
    struct order order;
    struct row start;
    int64_t total;
    size_t count;
    struct row rows[]; /* in order: the page so far, and the first one behind it */
};

static void pick_drop(void *arg)
{
    struct list_pick *pick = arg;
    for (size_t i = 0; i < pick->count; i++) {
        json_decref(pick->rows[i].record);
    }
}

struct list_pick *list_pick_new(const struct list_query *query)
{
    struct list_pick *pick =
        pool_alloc(query->pool, sizeof *pick + (query->page_size + 1) * sizeof pick->rows[0]);
    pick->query = query;
    pick->order = (struct order){.kind = query->sort->kind, .is_desc = query->is_desc};
    pick->start = (struct row){.text = query->start_text != NULL ? query->start_text : "",
        .id = query->start_id,
        .time = query->start_time};
    pool_on_free(query->pool, pick_drop, pick);
    return pick;
}

void list_pick_add(struct list_pick *pick, json_t *record)
{
    const struct list_query *query = pick->query;
    if (!filter_passes(query->filter, record)) {
        return;
    }
    pick->total++;
    const struct row row = row_of(query, record);
    if (pick->start.id != NULL && row_compare(&row, &pick->start, &pick->order) < 0) {
        return;
    }
    size_t at = pick->count;
    if (at > query->page_size) {
        if (row_compare(&row, &pick->rows[at - 1], &pick->order) >= 0) {
            return;
        }
        json_decref(pick->rows[--at].record);
    } else {
        pick->count++;
    }
    for (; at > 0 && row_compare(&row, &pick->rows[at - 1], &pick->order) < 0; at--) {
        pick->rows[at] = pick->rows[at - 1];
    }
    pick->rows[at] = row;
    json_incref(record);
}

json_t *list_pick_page(const struct list_pick *pick, int64_t *total_out, const char **token_out)
{
    size_t page_size = pick->query->page_size;
    json_t *page = json_array();
    for (size_t i = 0; i < pick->count && i < page_size; i++) {
        json_array_append(page, pick->rows[i].record);
    }
    *total_out = pick->total;
    *token_out = pick->count > page_size ? make_token(pick->query, &pick->rows[page_size]) : NULL;
    return page;
}

json_t *list_page(const struct list_query *query, const json_t *records, int64_t *total_out,
    const char **token_out)
{
    struct list_pick *pick = list_pick_new(query);
    size_t i;
    json_t *record;
    json_array_foreach((json_t *)records, i, record)
    {
        list_pick_add(pick, record);
    }
    return list_pick_page(pick, total_out, token_out);
}

json_t *list_envelope(const char *key, json_t *items, int64_t total, const char *token)
{
    json_t *out = json_object();
    if (json_array_size(items) > 0) {
        json_object_set(out, key, items);
    }
    json_decref(items);
    if (total > 0) {
        json_object_set_new(out, "total_size", json_integer(total));
    }
    if (token != NULL) {
        json_object_set_new(out, "next_page_token", json_string(token));
    }
    return out;
}
