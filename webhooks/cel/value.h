/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values while an expression is evaluated. They live in a pool (of the evaluation, or of the
 * expression for constants) or borrow from the variables.
 */
#ifndef WEBHOOKS_CEL_VALUE_H
#define WEBHOOKS_CEL_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct buf;

enum cel_kind {
    CEL_NULL,
    CEL_BOOL,
    CEL_INT,
    CEL_UINT,
    CEL_DOUBLE,
    CEL_STRING,
    CEL_BYTES,
    CEL_LIST,
    CEL_MAP,
    CEL_TYPE,
    CEL_TIMESTAMP,
    CEL_DURATION,
    CEL_ERROR, /* text, and where in the source: nanos */
};
#define CEL_BIT(kind) (1u << (kind))

struct cel_value {
    enum cel_kind kind;
    bool is_json;  /* LIST, MAP: json; otherwise items, of which a map has two for each entry */
    int32_t nanos; /* TIMESTAMP, DURATION: beside `integer` seconds; a duration's has its sign */
    union {
        bool truth;
        int64_t integer;
        uint64_t natural;
        double real;
        const char *text; /* STRING: UTF-8, may hold NUL; BYTES */
        const json_t *json;
        const struct cel_value *items;
        enum cel_kind type; /* TYPE; CEL_ERROR stands for the type of types */
    };
    size_t len; /* of text; items of a list, entries of a map */
};

/* Steps that may still be spent; see cel_spend in eval.h. */
typedef size_t cel_steps;

struct cel_value cel_from_json(const json_t *json);
/* New reference, never NULL. See cel_evaluate for what JSON has not. */
json_t *cel_to_json(const struct cel_value *value);
/* As the expression that gives it, for messages and tests: 1u, b'\xff', [1, "a"]. */
void cel_show(const struct cel_value *value, struct buf *out);

#define CEL_NUMBER_MAX 32
/* The shortest text that is read as this number again: "0.1", "1e+30", "NaN", "-Infinity". */
void cel_number_text(double real, char out[CEL_NUMBER_MAX]);

/* "int", "null_type": what type() gives. */
const char *cel_type_name(enum cel_kind kind);
/* "an int", "null": for messages. */
const char *cel_kind_noun(enum cel_kind kind);

static inline bool cel_is_number(const struct cel_value *value)
{
    return value->kind == CEL_INT || value->kind == CEL_UINT || value->kind == CEL_DOUBLE;
}

/* What a map may be asked for: a double is what whole number it is. */
static inline bool cel_is_key(const struct cel_value *value)
{
    return cel_is_number(value) || value->kind == CEL_BOOL || value->kind == CEL_STRING;
}

/* Item `at` of a list, which must be there. */
struct cel_value cel_item(const struct cel_value *list, size_t at);
/* Walk a map: {0} at first; false behind the last entry. key and value are borrowed from it. */
struct cel_map_walk {
    size_t at;
    void *iter;
};
bool cel_map_next(const struct cel_value *map, struct cel_map_walk *walk, struct cel_value *key,
    struct cel_value *value);
/* False when the map has no such key, or *steps ran out (then it is 0). */
bool cel_member(const struct cel_value *map, const struct cel_value *key, cel_steps *steps,
    struct cel_value *out);

/*
 * Equality as CEL defines it for values whose types are not known before: different kinds are
 * unequal, numbers are equal by value, NaN equals nothing. When *steps ran out it is 0, and the
 * answer means nothing.
 */
bool cel_equal(const struct cel_value *a, const struct cel_value *b, cel_steps *steps);
/*
 * <0, 0, >0 of two numbers, or two values of one kind that has an order (bool, string, bytes,
 * timestamp, duration). False when they have none, NaN included.
 */
bool cel_compare(const struct cel_value *a, const struct cel_value *b, int *order);
bool cel_has_order(enum cel_kind a, enum cel_kind b);

#endif
