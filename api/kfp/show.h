/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One record as the text that clients see: what was shown last if the record's stamp is still the
 * same, else made anew. And pages of them.
 */
#ifndef API_KFP_SHOW_H
#define API_KFP_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "base/index.h"
#include "base/stamp.h"

#include "api/kfp/shown.h"

struct api_call;
struct list_query;
struct plan;

/* What differs between resources. */
struct show_kind {
    enum shown_kind kind;
    void (*read_stamp)(struct api_call *call, const char *id, stamp_done_fn *done, void *owner);
    void (*read)(struct api_call *call, const char *id,
        void (*done)(void *owner, const json_t *record, const struct err *err), void *owner);
    void (*stamp_of)(const json_t *record, struct stamp *out);
    bool (*is_inline)(const json_t *record); /* its spec is shown in full */
    /* New reference. until_us as in struct shown_text; 0 when called. */
    json_t *(*view)(const json_t *record, const struct plan *plan, int64_t *until_us);
};

/* Answers the call with the record. */
void show_one(struct api_call *call, const struct show_kind *kind, const char *id);

/*
 * Answers the call with a page of an index (base/index.h) that is in the order of creation:
 * {key: [rows], total_size, next_page_token}. query must be one that list_query_index() takes.
 */
void show_page(struct api_call *call, const struct show_kind *kind, const struct list_query *query,
    const char *set, const char *key);

#endif
