/* SPDX-License-Identifier: Apache-2.0 */
/* The filter parameter of lists: an AND of predicates. */
#ifndef API_KFP_FILTER_H
#define API_KFP_FILTER_H

#include <stdbool.h>
#include <jansson.h>

struct err;
struct filter;
struct list_field;
struct list_spec;
struct pool;

/* A table's entry, or NULL. */
const struct list_field *list_field_find(const struct list_spec *spec, const char *key);
/* Value of a field in a record; "" or 0 when absent. */
const char *list_text(const struct list_field *field, const json_t *record);
int64_t list_time(const struct list_field *field, const json_t *record);

/* text: "" gives a filter that passes everything. Lives in the pool. */
struct filter *filter_parse(
    struct pool *pool, const struct list_spec *spec, const char *text, struct err *err);
bool filter_passes(const struct filter *filter, const json_t *record);
bool filter_is_empty(const struct filter *filter);
bool filter_uses(const struct filter *filter, const char *key);

#endif
