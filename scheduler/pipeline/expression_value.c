/* SPDX-License-Identifier: Apache-2.0 */
/* Values of expressions: to and from JSON, members, equality and order. */
#include "pipeline/expression_value.h"

#include "base/buf.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/value.h"

#include <math.h>
#include <string.h>

#define MAX_SHOWN 60
#define VALUE_COST 32

struct expression_value expression_value_from(const json_t *json)
{
    struct expression_value out = {.json = json};
    switch (json_typeof(json)) {
    case JSON_NULL:
        out.kind = EXPRESSION_NULL;
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        out.kind = EXPRESSION_BOOL;
        out.truth = json_is_true(json);
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        out.kind = EXPRESSION_DOUBLE;
        out.real = json_number_value(json);
        break;
    case JSON_STRING:
        out.kind = EXPRESSION_STRING;
        out.text = json_string_value(json);
        out.len = json_string_length(json);
        break;
    case JSON_ARRAY:
        out.kind = EXPRESSION_LIST;
        break;
    case JSON_OBJECT:
        out.kind = EXPRESSION_MAP;
        break;
    }
    return out;
}

/* ---- out ---- */

static json_t *list_json(const struct expression_value *value)
{
    json_t *out = json_array();
    for (size_t i = 0; i < value->count; i++) {
        if (json_array_append_new(out, expression_value_json(&value->items[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *map_json(const struct expression_value *value)
{
    json_t *out = json_object();
    for (size_t i = 0; i < value->count; i += 2) {
        const struct expression_value *key = &value->items[i];
        json_t *member = expression_value_json(&value->items[i + 1]);
        if (key->kind != EXPRESSION_STRING || member == NULL) {
            json_decref(member);
            json_decref(out);
            return NULL;
        }
        json_object_set_new(out, key->text, member);
    }
    return out;
}

json_t *expression_value_json(const struct expression_value *value)
{
    if (value->json != NULL) {
        return json_incref((json_t *)value->json);
    }
    switch (value->kind) {
    case EXPRESSION_BOOL:
        return json_boolean(value->truth);
    case EXPRESSION_INT:
        return json_integer(value->integer);
    case EXPRESSION_DOUBLE:
        return isfinite(value->real) ? json_real(value->real) : NULL;
    case EXPRESSION_STRING:
        return json_stringn(value->text, value->len);
    case EXPRESSION_LIST:
        return list_json(value);
    case EXPRESSION_MAP:
        return map_json(value);
    case EXPRESSION_NULL:
    case EXPRESSION_DYN:
    case EXPRESSION_ERROR:
        break;
    }
    return json_null();
}

const char *expression_value_shown(struct pool *pool, const struct expression_value *value)
{
    if (value->kind == EXPRESSION_LIST || value->kind == EXPRESSION_MAP) {
        size_t size = expression_value_size(value); /* may be megabytes: told, not shown */
        return pool_printf(pool, "%s of %zu", expression_kind_name(value->kind), size);
    }
    if (value->kind == EXPRESSION_STRING) {
        size_t len = value->len;
        for (size_t at = 0; len > MAX_SHOWN && at <= MAX_SHOWN;) {
            size_t step = utf8_step(value->text + at, value->len - at);
            if (at + step > MAX_SHOWN || step == 0) {
                len = at;
            }
            at += step;
        }
        return pool_printf(pool, "'%.*s%s'", (int)len, value->text, len < value->len ? "..." : "");
    }
    if (value->kind == EXPRESSION_DOUBLE && !isfinite(value->real)) {
        return isnan(value->real) ? "NaN" : value->real < 0 ? "-Infinity" : "Infinity";
    }
    json_t *json CLEANUP(json_decrefp) = expression_value_json(value);
    struct buf text;
    buf_init(&text, 512);
    value_write(json, VALUE_WRITE_PLAIN, &text);
    const char *out = pool_strdup(pool, buf_str(&text));
    buf_done(&text);
    return out;
}

/* ---- members ---- */

bool expression_work_spend(size_t *work_left, size_t amount)
{
    *work_left -= amount < *work_left ? amount : *work_left;
    return *work_left > 0;
}

size_t expression_value_size(const struct expression_value *value)
{
    if (value->kind == EXPRESSION_STRING) {
        size_t count = 0;
        for (size_t i = 0; i < value->len; i++) {
            count += ((unsigned char)value->text[i] & 0xC0) != 0x80;
        }
        return count;
    }
    if (value->kind == EXPRESSION_LIST) {
        return value->json != NULL ? json_array_size(value->json) : value->count;
    }
    return value->json != NULL ? json_object_size(value->json) : value->count / 2;
}

bool expression_value_item(
    const struct expression_value *list, size_t at, struct expression_value *out)
{
    if (at >= expression_value_size(list)) {
        return false;
    }
    *out = list->json != NULL ? expression_value_from(json_array_get(list->json, at))
                              : list->items[at];
    return true;
}

bool expression_value_member(const struct expression_value *map, const struct expression_value *key,
    size_t *work_left, struct expression_value *out)
{
    if (map->json != NULL) {
        /* JSON's keys hold no NUL, so a text with one is none of them */
        const json_t *member = key->kind == EXPRESSION_STRING && strlen(key->text) == key->len
                                   ? json_object_get(map->json, key->text)
                                   : NULL;
        if (member != NULL) {
            *out = expression_value_from(member);
        }
        return member != NULL;
    }
    for (size_t i = 0; i < map->count; i += 2) {
        if (expression_value_equal(&map->items[i], key, work_left)) {
            *out = map->items[i + 1];
            return true;
        }
    }
    return false;
}

/* ---- order and equality ---- */

static bool is_number(const struct expression_value *value)
{
    return value->kind == EXPRESSION_INT || value->kind == EXPRESSION_DOUBLE;
}

static double as_real(const struct expression_value *value)
{
    return value->kind == EXPRESSION_INT ? (double)value->integer : value->real;
}

static int compare_texts(const struct expression_value *a, const struct expression_value *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int order = len > 0 ? memcmp(a->text, b->text, len) : 0; /* UTF-8 orders as its characters */
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

int expression_value_compare(
    const struct expression_value *a, const struct expression_value *b, bool *is_ordered)
{
    *is_ordered = true;
    if (a->kind == EXPRESSION_STRING) {
        return compare_texts(a, b);
    }
    if (a->kind == EXPRESSION_BOOL) {
        return (int)a->truth - (int)b->truth;
    }
    if (a->kind == EXPRESSION_INT && b->kind == EXPRESSION_INT) {
        return (a->integer > b->integer) - (a->integer < b->integer);
    }
    double x = as_real(a), y = as_real(b);
    *is_ordered = !isnan(x) && !isnan(y);
    return (x > y) - (x < y);
}

static bool equal_lists(
    const struct expression_value *a, const struct expression_value *b, size_t *work_left)
{
    size_t size = expression_value_size(a);
    bool is_equal = size == expression_value_size(b);
    for (size_t i = 0; is_equal && i < size; i++) {
        struct expression_value x, y;
        is_equal = expression_value_item(a, i, &x) && expression_value_item(b, i, &y) &&
                   expression_value_equal(&x, &y, work_left);
    }
    return is_equal;
}

static bool equal_member(const struct expression_value *map, const struct expression_value *key,
    const struct expression_value *value, size_t *work_left)
{
    struct expression_value other;
    return expression_value_member(map, key, work_left, &other) &&
           expression_value_equal(value, &other, work_left);
}

static bool equal_maps(
    const struct expression_value *a, const struct expression_value *b, size_t *work_left)
{
    if (expression_value_size(a) != expression_value_size(b)) {
        return false;
    }
    for (size_t i = 0; a->json == NULL && i < a->count; i += 2) {
        if (!equal_member(b, &a->items[i], &a->items[i + 1], work_left)) {
            return false;
        }
    }
    for (void *it = a->json != NULL ? json_object_iter((json_t *)a->json) : NULL; it != NULL;
         it = json_object_iter_next((json_t *)a->json, it)) {
        const char *text = json_object_iter_key(it);
        struct expression_value key = {
            .kind = EXPRESSION_STRING, .text = text, .len = strlen(text)};
        struct expression_value value = expression_value_from(json_object_iter_value(it));
        if (!equal_member(b, &key, &value, work_left)) {
            return false;
        }
    }
    return true;
}

bool expression_value_equal(
    const struct expression_value *a, const struct expression_value *b, size_t *work_left)
{
    size_t cost = VALUE_COST + (a->kind == EXPRESSION_STRING ? a->len / 8 : 0);
    if (!expression_work_spend(work_left, cost) ||
        (a->kind != b->kind && !(is_number(a) && is_number(b)))) {
        return false;
    }
    bool is_ordered;
    switch (a->kind) {
    case EXPRESSION_BOOL:
    case EXPRESSION_INT:
    case EXPRESSION_DOUBLE:
    case EXPRESSION_STRING:
        return expression_value_compare(a, b, &is_ordered) == 0 && is_ordered;
    case EXPRESSION_LIST:
        return equal_lists(a, b, work_left);
    case EXPRESSION_MAP:
        return equal_maps(a, b, work_left);
    case EXPRESSION_NULL:
    case EXPRESSION_DYN:
    case EXPRESSION_ERROR:
        break;
    }
    return true;
}
