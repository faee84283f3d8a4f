/* SPDX-License-Identifier: Apache-2.0 */
/* protobuf's JSON mapping, input side. */
#include "api/kfp/message.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define MAX_ONEOF 4

/* "display_name" is also written "displayName". */
static bool name_matches(const char *snake, const char *key)
{
    if (strcmp(snake, key) == 0) {
        return true;
    }
    const char *s = snake;
    const char *k = key;
    while (*s != '\0') {
        char expected = *s;
        if (expected == '_' && s[1] >= 'a' && s[1] <= 'z') {
            s++;
            expected = (char)(*s - 'a' + 'A');
        }
        if (*k != expected) {
            return false;
        }
        s++;
        k++;
    }
    return *k == '\0';
}

static const struct kfp_field *find_field(const struct kfp_message *message, const char *key)
{
    for (const struct kfp_field *field = message->fields; field->name != NULL; field++) {
        if (name_matches(field->name, key)) {
            return field;
        }
    }
    return NULL;
}

static json_t *wrong(const char *where, const char *expected, struct err *err)
{
    err_set(err, ERR_INVALID, "%s: expected %s", where, expected);
    return NULL;
}

static json_t *read_integer(
    const json_t *in, int64_t min, int64_t max, const char *where, struct err *err)
{
    int64_t value;
    double real;
    if (json_is_integer(in)) {
        value = json_integer_value(in);
    } else if (json_is_string(in) &&
               parse_i64(json_string_value(in), INT64_MIN, INT64_MAX, where, &value, NULL) == 0) {
        /* 64-bit integers travel as text */
    } else if (json_is_real(in) || (json_is_string(in) && parse_double(json_string_value(in), where,
                                                              &real, NULL) == 0)) {
        real = json_is_real(in) ? json_real_value(in) : real;
        /* beyond 2^53 a double does not say which integer was meant */
        if (real != floor(real) || fabs(real) > 9007199254740992.0) {
            return wrong(where, "a whole number", err);
        }
        value = (int64_t)real;
    } else {
        return wrong(where, "a whole number", err);
    }
    if (value < min || value > max) {
        err_set(err, ERR_INVALID, "%s: %lld is outside %lld..%lld", where, (long long)value,
            (long long)min, (long long)max);
        return NULL;
    }
    return json_integer(value);
}

static json_t *read_enum(
    const struct kfp_enum *values, const json_t *in, const char *where, struct err *err)
{
    for (const struct kfp_enum *v = values; v->name != NULL; v++) {
        if ((json_is_string(in) && strcmp(json_string_value(in), v->name) == 0) ||
            (json_is_integer(in) && json_integer_value(in) == v->number)) {
            return json_string(v->name);
        }
    }
    char known[512];
    size_t used = 0;
    known[0] = '\0';
    for (const struct kfp_enum *v = values; v->name != NULL && used < sizeof known - 64; v++) {
        used += (size_t)snprintf(
            known + used, sizeof known - used, "%s%s", used > 0 ? ", " : "", v->name);
    }
    err_set(err, ERR_INVALID, "%s: unknown value; it is one of %s", where, known);
    return NULL;
}

static json_t *read_time(const json_t *in, const char *where, struct err *err)
{
    int64_t us;
    if (!json_is_string(in)) {
        return wrong(where, "an RFC 3339 time such as \"2026-01-31T09:00:00Z\"", err);
    }
    if (clock_parse(json_string_value(in), &us, err) != 0) {
        err_wrap(err, "%s", where);
        return NULL;
    }
    return json_integer(us);
}

static json_t *read_tags(const json_t *in, const char *where, struct err *err)
{
    if (!json_is_object(in)) {
        return wrong(where, "an object with text values", err);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)in, key, value)
    {
        if (!json_is_string(value)) {
            err_set(err, ERR_INVALID, "%s.%s: expected a string", where, key);
            return NULL;
        }
    }
    return json_copy((json_t *)in);
}

static json_t *read_value(
    const struct kfp_field *field, const json_t *in, const char *where, struct err *err);

static json_t *read_list(const struct kfp_field *field, enum kfp_kind kind, const json_t *in,
    const char *where, struct err *err)
{
    if (!json_is_array(in)) {
        return wrong(where, "a list", err);
    }
    const struct kfp_field one = {.name = field->name, .kind = kind, .message = field->message};
    json_t *out = json_array();
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)in, i, item)
    {
        CLEANUP(cleanup_free) char *place = xasprintf("%s[%zu]", where, i);
        json_t *value = read_value(&one, item, place, err);
        if (value == NULL) {
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, value);
    }
    return out;
}

static json_t *read_value(
    const struct kfp_field *field, const json_t *in, const char *where, struct err *err)
{
    switch (field->kind) {
    case KFP_STRING:
        return json_is_string(in) ? json_copy((json_t *)in) : wrong(where, "a string", err);
    case KFP_BOOL:
        return json_is_boolean(in) ? json_boolean(json_is_true(in))
                                   : wrong(where, "true or false", err);
    case KFP_I32:
        return read_integer(in, INT32_MIN, INT32_MAX, where, err);
    case KFP_I64:
        return read_integer(in, INT64_MIN, INT64_MAX, where, err);
    case KFP_TIME:
        return read_time(in, where, err);
    case KFP_ENUM:
        return read_enum(field->values, in, where, err);
    case KFP_MESSAGE:
        return kfp_read(field->message, in, where, err);
    case KFP_STRUCT:
        return json_is_object(in) ? json_incref((json_t *)in) : wrong(where, "an object", err);
    case KFP_TAGS:
        return read_tags(in, where, err);
    case KFP_STRINGS:
        return read_list(field, KFP_STRING, in, where, err);
    case KFP_INTS:
        return read_list(field, KFP_I64, in, where, err);
    case KFP_MESSAGES:
        return read_list(field, KFP_MESSAGE, in, where, err);
    case KFP_OUTPUT:
        break;
    }
    return json_null();
}

/* An empty text is as good as none. */
static bool counts_as_set(const json_t *value)
{
    return !json_is_null(value) && !(json_is_string(value) && json_string_length(value) == 0);
}

json_t *kfp_read(
    const struct kfp_message *message, const json_t *in, const char *where, struct err *err)
{
    if (!json_is_object(in)) {
        return wrong(where[0] != '\0' ? where : "request body", "an object", err);
    }
    CLEANUP(json_decrefp) json_t *out = json_object();
    const char *oneof_taken[MAX_ONEOF + 1] = {NULL};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)in, key, value)
    {
        CLEANUP(cleanup_free)
        char *place = xasprintf("%s%s%.200s", where, where[0] != '\0' ? "." : "", key);
        const struct kfp_field *field = find_field(message, key);
        if (field == NULL) {
            err_set(err, ERR_INVALID, "%s: unknown field", place);
            return NULL;
        }
        if (json_is_null(value) || field->kind == KFP_OUTPUT) {
            continue;
        }
        if (json_object_get(out, field->name) != NULL) {
            err_set(err, ERR_INVALID, "%s: given twice", place);
            return NULL;
        }
        json_t *read = read_value(field, value, place, err);
        if (read == NULL) {
            return NULL;
        }
        json_object_set_new(out, field->name, read);
        if (field->oneof > 0 && counts_as_set(read)) {
            if (oneof_taken[field->oneof] != NULL) {
                err_set(err, ERR_INVALID, "%s: only one of %s and %s may be given", place,
                    oneof_taken[field->oneof], field->name);
                return NULL;
            }
            oneof_taken[field->oneof] = field->name;
        }
    }
    return STEAL(out);
}
