/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values while an expression is evaluated. They live in the evaluation's pool or borrow from the
 * variables. Lists and maps are either JSON (json) or were written in the expression (items).
 */
#ifndef PIPELINE_EXPRESSION_VALUE_H
#define PIPELINE_EXPRESSION_VALUE_H

#include <jansson.h>

#include "pipeline/expression_tree.h"

struct expression_value {
    enum expression_kind kind; /* never DYN */
    union {
        bool truth;
        int64_t integer;
        double real;
        size_t count; /* items: a map has two for each member */
    };
    const json_t
        *json; /* where it comes from, when from JSON; kept so that it goes out as it came */
    const struct expression_value *items;
    const char *text; /* STRING; ERROR: the message */
    size_t len;
};

/* Numbers are doubles, as in protobuf's Value. */
struct expression_value expression_value_from(const json_t *json);
/* New reference; NULL when there is a NaN, an infinity or a map key that JSON has not. */
json_t *expression_value_json(const struct expression_value *value);
/* A short text for messages; in the pool. */
const char *expression_value_shown(struct pool *pool, const struct expression_value *value);

size_t expression_value_size(const struct expression_value *value);
/* Of a list; false when there is no such item. */
bool expression_value_item(
    const struct expression_value *list, size_t at, struct expression_value *out);
/*
 * Comparing values from outside may take long: *work_left is what may still be spent, about in
 * nanoseconds. At 0 the answers mean nothing.
 */
bool expression_work_spend(size_t *work_left, size_t amount);

/* Of a map. */
bool expression_value_member(const struct expression_value *map, const struct expression_value *key,
    size_t *work_left, struct expression_value *out);

/* Values of different kinds are unequal, but numbers are compared as numbers. */
bool expression_value_equal(
    const struct expression_value *a, const struct expression_value *b, size_t *work_left);
/* Of two numbers, strings or bools: <0, 0, >0; is_ordered false when a NaN is among them. */
int expression_value_compare(
    const struct expression_value *a, const struct expression_value *b, bool *is_ordered);

#endif
