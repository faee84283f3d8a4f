/* SPDX-License-Identifier: Apache-2.0 */
/* Values: from JSON and back, as text, their members. Order and equality are in compare.c. */
#include "webhooks/cel/value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/cel/text.h"
#include "webhooks/cel/time.h"

#define VALUE_TEXT_MAX (8u << 20)

struct cel_value cel_from_json(const json_t *json)
{
    struct cel_value out = {.kind = CEL_NULL};
    switch (json_typeof(json)) {
    case JSON_NULL:
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        out.kind = CEL_BOOL;
        out.truth = json_is_true(json);
        break;
    case JSON_INTEGER:
        out.kind = CEL_INT;
        out.integer = json_integer_value(json);
        break;
    case JSON_REAL:
        out.kind = CEL_DOUBLE;
        out.real = json_real_value(json);
        break;
    case JSON_STRING:
        out.kind = CEL_STRING;
        out.text = json_string_value(json);
        out.len = json_string_length(json);
        break;
    case JSON_ARRAY:
        out.kind = CEL_LIST;
        out.is_json = true;
        out.json = json;
        out.len = json_array_size(json);
        break;
    case JSON_OBJECT:
        out.kind = CEL_MAP;
        out.is_json = true;
        out.json = json;
        out.len = json_object_size(json);
        break;
    }
    return out;
}

/* ---- kinds ---- */

static const struct {
    const char *type, *noun;
} kinds[] = {
    [CEL_NULL] = {"null_type", "null"},
    [CEL_BOOL] = {"bool", "a bool"},
    [CEL_INT] = {"int", "an int"},
    [CEL_UINT] = {"uint", "a uint"},
    [CEL_DOUBLE] = {"double", "a double"},
    [CEL_STRING] = {"string", "a string"},
    [CEL_BYTES] = {"bytes", "bytes"},
    [CEL_LIST] = {"list", "a list"},
    [CEL_MAP] = {"map", "a map"},
    [CEL_TYPE] = {"type", "a type"},
    [CEL_TIMESTAMP] = {"google.protobuf.Timestamp", "a timestamp"},
    [CEL_DURATION] = {"google.protobuf.Duration", "a duration"},
    [CEL_ERROR] = {"type", "a value"},
};

const char *cel_type_name(enum cel_kind kind)
{
    return kinds[kind].type;
}

const char *cel_kind_noun(enum cel_kind kind)
{
    return kinds[kind].noun;
}

/* ---- text ---- */

void cel_number_text(double real, char out[CEL_NUMBER_MAX])
{
    if (!isfinite(real)) {
        snprintf(out, CEL_NUMBER_MAX, "%s",
            isnan(real) ? "NaN"
            : real < 0  ? "-Infinity"
                        : "Infinity");
        return;
    }
    int digits = 15; /* the fewest that give the same number back */
    do {
        snprintf(out, CEL_NUMBER_MAX, "%.*g", digits, real);
    } while (digits++ < 17 && strtod(out, NULL) != real);
}

static void show_text(const struct cel_value *value, struct buf *out)
{
    bool is_bytes = value->kind == CEL_BYTES;
    buf_adds(out, is_bytes ? "b\"" : "\"");
    for (size_t i = 0; i < value->len && !out->overflow; i++) {
        unsigned char c = (unsigned char)value->text[i];
        if (c == '"' || c == '\\') {
            buf_addf(out, "\\%c", c);
        } else if (c == '\n') {
            buf_adds(out, "\\n");
        } else if (c < 0x20 || c == 0x7F || (is_bytes && c >= 0x80)) {
            buf_addf(out, "\\x%02x", c);
        } else {
            buf_addc(out, (char)c);
        }
    }
    buf_addc(out, '"');
}

static void show_list(const struct cel_value *value, struct buf *out)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < value->len && !out->overflow; i++) {
        struct cel_value item = cel_item(value, i);
        buf_adds(out, i > 0 ? ", " : "");
        cel_show(&item, out);
    }
    buf_addc(out, ']');
}

static void show_entry(
    const struct cel_value *key, const struct cel_value *value, bool is_first, struct buf *out)
{
    buf_adds(out, is_first ? "" : ", ");
    cel_show(key, out);
    buf_adds(out, ": ");
    cel_show(value, out);
}

static void show_map(const struct cel_value *map, struct buf *out)
{
    struct cel_map_walk walk = {0};
    struct cel_value key, value;
    buf_addc(out, '{');
    for (size_t i = 0; cel_map_next(map, &walk, &key, &value) && !out->overflow; i++) {
        show_entry(&key, &value, i == 0, out);
    }
    buf_addc(out, '}');
}

static void show_double(double real, struct buf *out)
{
    char text[CEL_NUMBER_MAX];
    cel_number_text(real, text);
    bool is_plain = isfinite(real);
    buf_adds(out, is_plain ? "" : "double(\"");
    buf_adds(out, text);
    buf_adds(out, !is_plain ? "\")" : strpbrk(text, ".e") == NULL ? ".0" : "");
}

void cel_show(const struct cel_value *value, struct buf *out)
{
    char text[CEL_TIME_TEXT_MAX];
    switch (value->kind) {
    case CEL_NULL:
        buf_adds(out, "null");
        break;
    case CEL_BOOL:
        buf_adds(out, value->truth ? "true" : "false");
        break;
    case CEL_INT:
        buf_addf(out, "%" PRId64, value->integer);
        break;
    case CEL_UINT:
        buf_addf(out, "%" PRIu64 "u", value->natural);
        break;
    case CEL_DOUBLE:
        show_double(value->real, out);
        break;
    case CEL_STRING:
    case CEL_BYTES:
        show_text(value, out);
        break;
    case CEL_LIST:
        show_list(value, out);
        break;
    case CEL_MAP:
        show_map(value, out);
        break;
    case CEL_TYPE:
        buf_adds(out, cel_type_name(value->type));
        break;
    case CEL_TIMESTAMP:
        buf_addf(out, "timestamp(\"%s\")", cel_timestamp_text(value, text));
        break;
    case CEL_DURATION:
        buf_addf(out, "duration(\"%s\")", cel_duration_text(value, text));
        break;
    case CEL_ERROR:
        buf_adds(out, value->text);
        break;
    }
}

/* ---- to JSON ---- */

/* A string that JSON can hold: no NUL gets into our records. */
static json_t *json_text(const char *text, size_t len)
{
    json_t *json = json_stringn(text, len);
    return json != NULL ? json : json_string("");
}

static json_t *list_json(const struct cel_value *value)
{
    json_t *out = json_array();
    for (size_t i = 0; i < value->len; i++) {
        struct cel_value item = cel_item(value, i);
        json_array_append_new(out, cel_to_json(&item));
    }
    return out;
}

static json_t *map_json(const struct cel_value *map)
{
    json_t *out = json_object();
    struct cel_map_walk walk = {0};
    struct cel_value key, value;
    while (cel_map_next(map, &walk, &key, &value)) {
        struct buf text;
        buf_init(&text, VALUE_TEXT_MAX);
        if (key.kind == CEL_UINT) {
            buf_addf(&text, "%" PRIu64, key.natural);
        } else if (key.kind != CEL_STRING) {
            cel_show(&key, &text);
        }
        json_object_set_new(
            out, key.kind == CEL_STRING ? key.text : buf_str(&text), cel_to_json(&value));
        buf_done(&text);
    }
    return out;
}

static json_t *double_json(double real)
{
    char text[CEL_NUMBER_MAX];
    if (isfinite(real)) {
        return json_real(real);
    }
    cel_number_text(real, text);
    return json_string(text);
}

static json_t *uint_json(uint64_t natural)
{
    char text[CEL_NUMBER_MAX];
    if (natural <= INT64_MAX) {
        return json_integer((json_int_t)natural);
    }
    snprintf(text, sizeof text, "%" PRIu64, natural);
    return json_string(text);
}

static json_t *bytes_json(const struct cel_value *value)
{
    char *text CLEANUP(cleanup_free) =
        base64_encode((const unsigned char *)value->text, value->len);
    return json_string(text);
}

json_t *cel_to_json(const struct cel_value *value)
{
    char text[CEL_TIME_TEXT_MAX];
    switch (value->kind) {
    case CEL_BOOL:
        return json_boolean(value->truth);
    case CEL_INT:
        return json_integer(value->integer);
    case CEL_UINT:
        return uint_json(value->natural);
    case CEL_DOUBLE:
        return double_json(value->real);
    case CEL_STRING:
        return json_text(value->text, value->len);
    case CEL_BYTES:
        return bytes_json(value);
    case CEL_LIST:
        return value->is_json ? json_incref((json_t *)value->json) : list_json(value);
    case CEL_MAP:
        return value->is_json ? json_incref((json_t *)value->json) : map_json(value);
    case CEL_TYPE:
        return json_string(cel_type_name(value->type));
    case CEL_TIMESTAMP:
        return json_string(cel_timestamp_text(value, text));
    case CEL_DURATION:
        return json_string(cel_duration_text(value, text));
    case CEL_NULL:
    case CEL_ERROR:
        break;
    }
    return json_null();
}

/* ---- members ---- */

struct cel_value cel_item(const struct cel_value *list, size_t at)
{
    return list->is_json ? cel_from_json(json_array_get(list->json, at)) : list->items[at];
}

bool cel_map_next(const struct cel_value *map, struct cel_map_walk *walk, struct cel_value *key,
    struct cel_value *value)
{
    if (!map->is_json) {
        if (walk->at == map->len) {
            return false;
        }
        *key = map->items[2 * walk->at];
        *value = map->items[2 * walk->at + 1];
        walk->at++;
        return true;
    }
    json_t *json = (json_t *)map->json; /* the iterators' functions take no const; none writes */
    walk->iter = walk->at++ == 0 ? json_object_iter(json) : json_object_iter_next(json, walk->iter);
    if (walk->iter == NULL) {
        return false;
    }
    const char *text = json_object_iter_key(walk->iter);
    *key = (struct cel_value){.kind = CEL_STRING, .text = text, .len = strlen(text)};
    *value = cel_from_json(json_object_iter_value(walk->iter));
    return true;
}

bool cel_member(const struct cel_value *map, const struct cel_value *key, cel_steps *steps,
    struct cel_value *out)
{
    if (map->is_json) {
        size_t cost = key->kind == CEL_STRING ? key->len / 64 : 0;
        *steps -= cost < *steps ? cost : *steps;
        /* JSON's keys hold no NUL, so a text with one is none of them */
        const json_t *member = key->kind == CEL_STRING && strlen(key->text) == key->len
                                   ? json_object_get(map->json, key->text)
                                   : NULL;
        if (member != NULL) {
            *out = cel_from_json(member);
        }
        return member != NULL;
    }
    for (size_t i = 0; i < map->len; i++) {
        if (cel_equal(&map->items[2 * i], key, steps)) {
            *out = map->items[2 * i + 1];
            return true;
        }
    }
    return false;
}
