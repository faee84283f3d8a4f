/* SPDX-License-Identifier: Apache-2.0 */
/* Order and equality of values. */
#include <math.h>
#include <string.h>

#include "webhooks/cel/value.h"

static int order_of(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_ints(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* Beside a double, an integer is rounded to one, as CEL's reference does. */
static int compare_reals(double a, double b)
{
    return (a > b) - (a < b);
}

static int compare_numbers(const struct cel_value *a, const struct cel_value *b)
{
    if (a->kind > b->kind) {
        return -compare_numbers(b, a);
    }
    /* now a's kind is the one that stands first: int, uint, double */
    if (b->kind == CEL_DOUBLE) {
        double real = a->kind == CEL_DOUBLE ? a->real
                      : a->kind == CEL_INT  ? (double)a->integer
                                            : (double)a->natural;
        return compare_reals(real, b->real);
    }
    if (a->kind == CEL_INT && b->kind == CEL_INT) {
        return compare_ints(a->integer, b->integer);
    }
    if (a->kind == CEL_INT && a->integer < 0) {
        return -1;
    }
    return order_of(a->natural, b->natural); /* an int that is not negative reads the same */
}

static int compare_texts(const struct cel_value *a, const struct cel_value *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int order = len > 0 ? memcmp(a->text, b->text, len) : 0; /* UTF-8 orders as its characters */
    return order != 0 ? order : order_of(a->len, b->len);
}

bool cel_has_order(enum cel_kind a, enum cel_kind b)
{
    const unsigned numbers = CEL_BIT(CEL_INT) | CEL_BIT(CEL_UINT) | CEL_BIT(CEL_DOUBLE);
    const unsigned ordered = numbers | CEL_BIT(CEL_BOOL) | CEL_BIT(CEL_STRING) |
                             CEL_BIT(CEL_BYTES) | CEL_BIT(CEL_TIMESTAMP) | CEL_BIT(CEL_DURATION);
    return a == b ? (CEL_BIT(a) & ordered) != 0
                  : (CEL_BIT(a) & numbers) != 0 && (CEL_BIT(b) & numbers) != 0;
}

static bool is_nan(const struct cel_value *value)
{
    return value->kind == CEL_DOUBLE && isnan(value->real);
}

bool cel_compare(const struct cel_value *a, const struct cel_value *b, int *order)
{
    *order = 0;
    if (!cel_has_order(a->kind, b->kind) || is_nan(a) || is_nan(b)) {
        return false;
    }
    if (a->kind == CEL_BOOL) {
        *order = (int)a->truth - (int)b->truth;
    } else if (a->kind == CEL_STRING || a->kind == CEL_BYTES) {
        *order = compare_texts(a, b);
    } else if (cel_is_number(a)) {
        *order = compare_numbers(a, b);
    } else {
        *order = compare_ints(a->integer, b->integer);
        *order = *order != 0 ? *order : compare_ints(a->nanos, b->nanos);
    }
    return true;
}

static bool equal_lists(const struct cel_value *a, const struct cel_value *b, cel_steps *steps)
{
    bool is_equal = a->len == b->len;
    for (size_t i = 0; is_equal && i < a->len; i++) {
        struct cel_value x = cel_item(a, i), y = cel_item(b, i);
        is_equal = cel_equal(&x, &y, steps);
    }
    return is_equal;
}

static bool equal_maps(const struct cel_value *a, const struct cel_value *b, cel_steps *steps)
{
    struct cel_map_walk walk = {0};
    struct cel_value key, value, other;
    bool is_equal = a->len == b->len;
    while (is_equal && cel_map_next(a, &walk, &key, &value)) {
        is_equal = cel_member(b, &key, steps, &other) && cel_equal(&value, &other, steps);
    }
    return is_equal;
}

bool cel_equal(const struct cel_value *a, const struct cel_value *b, cel_steps *steps)
{
    bool is_text = a->kind == CEL_STRING || a->kind == CEL_BYTES;
    size_t cost = 1 + (is_text && a->len == b->len ? a->len / 64 : 0);
    *steps -= cost < *steps ? cost : *steps;
    if (*steps == 0 || (a->kind != b->kind && !(cel_is_number(a) && cel_is_number(b)))) {
        return false;
    }
    int order;
    switch (a->kind) {
    case CEL_STRING:
    case CEL_BYTES:
        return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
    case CEL_BOOL:
    case CEL_INT:
    case CEL_UINT:
    case CEL_DOUBLE:
    case CEL_TIMESTAMP:
    case CEL_DURATION:
        return cel_compare(a, b, &order) && order == 0;
    case CEL_LIST:
        return equal_lists(a, b, steps);
    case CEL_MAP:
        return equal_maps(a, b, steps);
    case CEL_TYPE:
        return a->type == b->type;
    case CEL_NULL:
    case CEL_ERROR:
        break;
    }
    return true;
}
