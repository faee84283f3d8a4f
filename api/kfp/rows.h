/* SPDX-License-Identifier: Apache-2.0 */
/* Answering a list whose rows may show a plan: page the records, fetch plans, view each row. */
#ifndef API_KFP_ROWS_H
#define API_KFP_ROWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct api_call;
struct err;
struct list_pick;
struct list_query;
struct list_spec;
struct plan;

struct rows_kind {
    const char *key; /* the list's name in the reply */
    /* plan: NULL where the spec is gone or not wanted. New reference. */
    json_t *(*view)(const json_t *record, const struct plan *plan);
    bool (*wants_plan)(const json_t *record); /* NULL: every row does */
};

/* Lives in the call's pool; embed it first in what the handler needs besides. */
struct rows {
    struct api_call *call;
    struct list_query *query;
    const struct rows_kind *kind;
    struct list_pick *pick; /* rows.c's business, as all below */
    json_t *page;
    int64_t total;
    const char *token;
};

/* Reads the query; false when it was bad: the call has been answered, and rows is gone with it. */
bool rows_init(struct rows *rows, struct api_call *call, const struct list_spec *spec,
    const struct rows_kind *kind);
/* One record that may be of the page, and the end of them, which answers the call; owner is the
 * rows. Fit the callbacks of *_each(). */
void rows_add(void *owner, json_t *record);
void rows_end(void *owner, const json_t *unused, const struct err *err);
/* Both, of all records. Fits the callbacks of *_all(). */
void rows_reply(void *owner, const json_t *records, const struct err *err);

#endif
