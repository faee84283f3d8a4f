/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists as KFP has them: page_size, page_token, sort_by and filter (kfp-api.md section 3), over
 * an array of our own records. Which names a resource offers is a table.
 */
#ifndef API_KFP_LIST_H
#define API_KFP_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

struct err;
struct http_request;
struct index_query;
struct pool;

enum list_kind { LIST_TEXT, LIST_TIME };

struct list_field {
    const char *key; /* as in sort_by and filter; NULL ends the table */
    enum list_kind kind;
    const char *member;                        /* of the record; instants are us */
    const char *(*text)(const json_t *record); /* instead of member, for LIST_TEXT */
};

struct list_spec {
    const char *resource; /* goes into the page token */
    const struct list_field *fields;
    bool has_tags; /* filter by "tags.<key>" */
};

struct list_query;

/* Read the query parameters; the result lives in the pool. */
struct list_query *list_query_parse(struct pool *pool, const struct list_spec *spec,
    const struct http_request *req, struct err *err);
/* Does the order or the filter look at this key? */
bool list_query_uses(const struct list_query *query, const char *key);

/* Unfiltered and in the order of creation? Then *out (but its set) asks an index for the page. */
bool list_query_index(const struct list_query *query, struct index_query *out);
size_t list_query_page_size(const struct list_query *query);
/* The token of the page that begins with this row; in the pool. For such queries only. */
const char *list_query_token(const struct list_query *query, const char *id, int64_t created_us);

/*
 * Filter, sort and cut, one record after another: what is not of the page is let go at once, so
 * there may be any number of them. A new array of (references to) records is what list_pick_page()
 * gives, the number of all that match, and the next page's token (in the pool) or NULL.
 */
struct list_pick;
struct list_pick *list_pick_new(const struct list_query *query);
void list_pick_add(struct list_pick *pick, json_t *record);
json_t *list_pick_page(const struct list_pick *pick, int64_t *total_out, const char **token_out);

/* The same of an array. */
json_t *list_page(const struct list_query *query, const json_t *records, int64_t *total_out,
    const char **token_out);

/* Envelope: {key: items, total_size, next_page_token}, zero values left out. Takes items. */
json_t *list_envelope(const char *key, json_t *items, int64_t total, const char *token);

#endif
