/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON values as text where jansson's own numbers would not do. */
#ifndef PIPELINE_VALUE_H
#define PIPELINE_VALUE_H

#include <jansson.h>

#include "scheduler/plan.h"

enum value_write {
    VALUE_WRITE_PLAIN,
    VALUE_WRITE_HTML_SAFE, /* <, > and & as \u003c and so on, as Go's encoder does */
};

/* Compact, keys sorted, numbers as shortest decimals without exponent. */
void value_write(const json_t *value, enum value_write mode, struct buf *out);

/* Exactly the JSON kind that the type names; the two number types are one. */
bool value_is_kind(const json_t *value, enum value_type type);
/* ERR_INVALID: "what: expected a number (NUMBER_INTEGER), got a string". Returns -1. */
int value_kind_error(const json_t *value, enum value_type type, const char *what, struct err *err);

/* Equal as protobuf values: 1 and 1.0 are the same number. */
bool value_equal(const json_t *a, const json_t *b);

/*
 * A copy with fn applied to every string within (not to keys). fn appends the new text to out
 * and returns true, or returns false to leave the string as it is. New reference; the value
 * itself when nothing changed.
 */
typedef bool value_string_fn(void *owner, const char *text, size_t len, struct buf *out);
json_t *value_map_strings(const json_t *value, value_string_fn *fn, void *owner);

/*
 * The truth of a word as Python's strtobool has it: y, yes, t, true, on, 1 and their opposites, in
 * either case. False when it is none of them.
 */
bool value_truth_text(const char *text, bool *out);

#define MAX_VALUE_BYTES (32u << 20)

#endif
