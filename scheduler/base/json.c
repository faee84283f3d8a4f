/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON with errors that name the place, and writing it in one canonical form. */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

#define JSON_WHOLE_MAX 9007199254740992.0 /* 2^53: beyond, doubles skip integers */

/* Whole numbers that fit become integers again; value is returned or replaced. */
static json_t *whole_again(json_t *value)
{
    if (json_is_real(value)) {
        double number = json_real_value(value);
        if (number == floor(number) && fabs(number) <= JSON_WHOLE_MAX) {
            json_decref(value);
            return json_integer((json_int_t)number);
        }
        return value;
    }
    size_t i;
    json_t *inner;
    json_array_foreach(value, i, inner)
    {
        json_array_set_new(value, i, whole_again(json_incref(inner)));
    }
    const char *key;
    json_object_foreach(value, key, inner)
    {
        json_object_set_new(value, key, whole_again(json_incref(inner)));
    }
    return value;
}

json_t *jread_text(const char *text, size_t len, const char *what, struct err *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    json_error_t at;
    json_t *value = json_loadb(text, len, flags, &at);

    if (value == NULL && json_error_code(&at) == json_error_numeric_overflow) {
        /* JSON's integers have no end; what is too large for one of ours is a double. */
        json_error_t again;
        value = json_loadb(text, len, flags | JSON_DECODE_INT_AS_REAL, &again);
        value = value != NULL ? whole_again(value) : NULL;
    }
    if (value == NULL) {
        if (len == 0) {
            err_set(err, ERR_INVALID, "%s: empty, where JSON is expected", what);
        } else {
            err_set(
                err, ERR_INVALID, "%s: line %d, column %d: %s", what, at.line, at.column, at.text);
        }
    }
    return value;
}

static int wrong_kind(const char *where, const char *key, const char *expected, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s%s%.200s: expected %s", where, where[0] != '\0' ? "." : "",
        key, expected);
}

/* *value_out is NULL when the member is absent or null. */
static int jread_member(const json_t *obj, const char *where, const char *key,
    const json_t **value_out, struct err *err)
{
    *value_out = NULL;
    if (obj == NULL || json_is_null(obj)) {
        return 0;
    }
    if (!json_is_object(obj)) {
        return err_set(
            err, ERR_INVALID, "%s: expected an object", where[0] != '\0' ? where : "the document");
    }
    const json_t *value = json_object_get(obj, key);
    *value_out = json_is_null(value) ? NULL : value;
    return 0;
}

int jread_string(
    const json_t *obj, const char *where, const char *key, const char **out, struct err *err)
{
    const json_t *value;

    if (jread_member(obj, where, key, &value, err) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    if (!json_is_string(value)) {
        return wrong_kind(where, key, "a string", err);
    }
    *out = json_string_value(value);
    return 0;
}

int jread_need_string(
    const json_t *obj, const char *where, const char *key, const char **out, struct err *err)
{
    const char *text = NULL;

    if (jread_string(obj, where, key, &text, err) != 0) {
        return -1;
    }
    if (text == NULL || text[0] == '\0') {
        return err_set(err, ERR_INVALID, "%s%s%s: needed, and must not be empty", where,
            where[0] != '\0' ? "." : "", key);
    }
    *out = text;
    return 0;
}

int jread_i64(const json_t *obj, const char *where, const char *key, int64_t min, int64_t max,
    int64_t *out, struct err *err)
{
    const json_t *value;
    int64_t number;

    if (jread_member(obj, where, key, &value, err) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    if (json_is_integer(value)) {
        number = json_integer_value(value);
    } else if (json_is_real(value)) {
        double real = json_real_value(value);
        /* 2^63 is exact in a double; everything below it fits. */
        if (real != trunc(real) || real < -0x1p63 || real >= 0x1p63) {
            return wrong_kind(where, key, "a whole number", err);
        }
        number = (int64_t)real;
    } else if (json_is_string(value)) {
        if (parse_i64(json_string_value(value), INT64_MIN, INT64_MAX, key, &number, NULL) != 0) {
            return wrong_kind(where, key, "a whole number", err);
        }
    } else {
        return wrong_kind(where, key, "a whole number", err);
    }
    if (number < min || number > max) {
        return err_set(err, ERR_INVALID, "%s%s%s: %" PRId64 " is not from %" PRId64 " to %" PRId64,
            where, where[0] != '\0' ? "." : "", key, number, min, max);
    }
    *out = number;
    return 0;
}

int jread_bool(const json_t *obj, const char *where, const char *key, bool *out, struct err *err)
{
    const json_t *value;

    if (jread_member(obj, where, key, &value, err) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    if (!json_is_boolean(value)) {
        return wrong_kind(where, key, "true or false", err);
    }
    *out = json_is_true(value);
    return 0;
}

int jread_object(
    const json_t *obj, const char *where, const char *key, const json_t **out, struct err *err)
{
    const json_t *value;

    if (jread_member(obj, where, key, &value, err) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    if (!json_is_object(value)) {
        return wrong_kind(where, key, "an object", err);
    }
    *out = value;
    return 0;
}

int jread_array(
    const json_t *obj, const char *where, const char *key, const json_t **out, struct err *err)
{
    const json_t *value;

    if (jread_member(obj, where, key, &value, err) != 0) {
        return -1;
    }
    if (value == NULL) {
        return 0;
    }
    if (!json_is_array(value)) {
        return wrong_kind(where, key, "an array", err);
    }
    *out = value;
    return 0;
}

int jread_time(
    const json_t *obj, const char *where, const char *key, int64_t *us_out, struct err *err)
{
    const char *text = NULL;

    if (jread_string(obj, where, key, &text, err) != 0) {
        return -1;
    }
    if (text != NULL && clock_parse(text, us_out, err) != 0) {
        return err_wrap(err, "%s%s%s", where, where[0] != '\0' ? "." : "", key);
    }
    return 0;
}

int jread_only(const json_t *obj, const char *where, const char *const *keys, struct err *err)
{
    if (obj == NULL || json_is_null(obj)) {
        return 0;
    }
    if (!json_is_object(obj)) {
        return err_set(
            err, ERR_INVALID, "%s: expected an object", where[0] != '\0' ? where : "the document");
    }
    const char *key;
    json_t *value;
    /* The iteration macro wants a non-const object although it only reads. */
    json_object_foreach((json_t *)(uintptr_t)obj, key, value)
    {
        size_t i = 0;
        while (keys[i] != NULL && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (keys[i] == NULL) {
            return err_set(err, ERR_INVALID, "%s%s%.200s: unknown field", where,
                where[0] != '\0' ? "." : "", key);
        }
    }
    return 0;
}

/* ---- writing ---- */

/*
 * jansson's own writer prints 1.0 for the number one and 0.10000000000000001 for a tenth; we
 * want what a person wrote, so containers and numbers are written here, strings by jansson.
 */
struct writer {
    struct buf out;
    int indent; /* 0: compact */
};

static int write_piece(const char *data, size_t len, void *arg)
{
    return buf_add(arg, data, len);
}

static void write_scalar(struct writer *w, const json_t *value)
{
    json_dump_callback(value, write_piece, &w->out, JSON_ENCODE_ANY);
}

/* Printable ASCII that stands in JSON as it is. */
static bool is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') {
            return false;
        }
    }
    return true;
}

/* Most strings are plain; jansson's writer makes and frees a hash table for each value. */
static bool write_plain(struct writer *w, const char *text, size_t len)
{
    if (!is_plain(text, len)) {
        return false;
    }
    buf_addc(&w->out, '"');
    buf_add(&w->out, text, len);
    buf_addc(&w->out, '"');
    return true;
}

static void write_string(struct writer *w, const json_t *value)
{
    if (!write_plain(w, json_string_value(value), json_string_length(value))) {
        write_scalar(w, value);
    }
}

static void write_key(struct writer *w, const char *key)
{
    if (!write_plain(w, key, strlen(key))) {
        CLEANUP(json_decrefp) json_t *text = json_string_nocheck(key);
        write_scalar(w, text);
    }
}

static void write_real(struct writer *w, double real)
{
    char text[40];

    if (real == trunc(real) && fabs(real) <= 0x1p53) {
        buf_addf(&w->out, "%.0f", real == 0 ? 0.0 : real); /* no "-0" */
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real) {
            break;
        }
    }
    buf_adds(&w->out, text);
}

static void write_break(struct writer *w, int depth)
{
    if (w->indent > 0) {
        buf_addf(&w->out, "\n%*s", depth * w->indent, "");
    }
}

static void write_value(struct writer *w, const json_t *value, int depth);

static void write_array(struct writer *w, const json_t *array, int depth)
{
    size_t count = json_array_size(array);

    buf_addc(&w->out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_addc(&w->out, ',');
        }
        write_break(w, depth + 1);
        write_value(w, json_array_get(array, i), depth + 1);
    }
    if (count > 0) {
        write_break(w, depth);
    }
    buf_addc(&w->out, ']');
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_object(struct writer *w, const json_t *object, int depth)
{
    size_t count = json_object_size(object), n = 0;
    CLEANUP(cleanup_free) const char **keys = xcalloc(count, sizeof *keys);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        keys[n++] = key;
    }
    qsort(keys, count, sizeof *keys, compare_keys);
    buf_addc(&w->out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_addc(&w->out, ',');
        }
        write_break(w, depth + 1);
        write_key(w, keys[i]);
        buf_adds(&w->out, w->indent > 0 ? ": " : ":");
        write_value(w, json_object_get(object, keys[i]), depth + 1);
    }
    if (count > 0) {
        write_break(w, depth);
    }
    buf_addc(&w->out, '}');
}

static void write_value(struct writer *w, const json_t *value, int depth)
{
    if (json_is_object(value)) {
        write_object(w, value, depth);
    } else if (json_is_array(value)) {
        write_array(w, value, depth);
    } else if (json_is_real(value)) {
        write_real(w, json_real_value(value));
    } else if (json_is_string(value)) {
        write_string(w, value);
    } else if (json_is_integer(value)) {
        buf_addf(&w->out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (value == NULL) {
        buf_adds(&w->out, "null");
    } else {
        write_scalar(w, value);
    }
}

static char *write_text(const json_t *value, int indent)
{
    struct writer w = {.indent = indent};

    buf_init(&w.out, SIZE_MAX / 2); /* what is written is in memory already */
    write_value(&w, value, 0);
    return buf_steal(&w.out, NULL);
}

char *jtext(const json_t *value)
{
    return write_text(value, 0);
}

char *jtext_pretty(const json_t *value)
{
    return write_text(value, 2);
}

/* ---- our own records ---- */

const char *jget_str(const json_t *obj, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(obj, key));
    return text != NULL ? text : fallback;
}

int64_t jget_i64(const json_t *obj, const char *key, int64_t fallback)
{
    int64_t value = fallback;
    if (!json_is_object(obj) || jread_i64(obj, "", key, INT64_MIN, INT64_MAX, &value, NULL) != 0) {
        return fallback;
    }
    return value;
}

bool jget_bool(const json_t *obj, const char *key, bool fallback)
{
    const json_t *value = json_object_get(obj, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

void jset_str(json_t *obj, const char *key, const char *value)
{
    if (value == NULL || value[0] == '\0') {
        return;
    }
    json_t *text = json_string(value);
    if (text == NULL) { /* not UTF-8: show what can be shown rather than losing the field */
        CLEANUP(cleanup_free) char *clean = xstrdup(value);
        text_sanitise(clean);
        text = json_string(clean);
    }
    json_object_set_new(obj, key, text);
}

void jadd_str(struct buf *out, const char *key, const char *text)
{
    buf_addf(out, ",\"%s\":\"", key);
    jadd_bare(out, text);
    buf_addc(out, '"');
}

void jadd_bare(struct buf *out, const char *text)
{
    json_t *value CLEANUP(json_decrefp) = json_string(text);
    char *quoted CLEANUP(cleanup_free) = jtext(value);
    buf_add(out, quoted + 1, strlen(quoted) - 2);
}

void jset_time(json_t *obj, const char *key, int64_t us)
{
    char text[CLOCK_TEXT_MAX];
    json_object_set_new(obj, key, json_string(clock_format_s(us, text)));
}

/* ---- as Python writes it ---- */

static bool is_word_at(const char *at, const char *end, const char *word)
{
    size_t len = strlen(word);
    return (size_t)(end - at) >= len && memcmp(at, word, len) == 0;
}

/*
 * Python's json module writes NaN, Infinity and -Infinity as bare words, which no JSON reader
 * accepts. Outside strings they are made strings with a mark in front.
 */
static void quote_bare_numbers(const char *text, size_t len, struct buf *out)
{
    static const char *const words[] = {"NaN", "-Infinity", "Infinity"};
    const char *end = text + len, *copied = text;
    bool is_quoted = false;
    for (const char *p = text; p < end; p++) {
        if (is_quoted) {
            if (*p == '\\') {
                p++; /* the escaped character, which may be a quote */
            } else {
                is_quoted = *p != '"';
            }
            continue;
        }
        is_quoted = *p == '"';
        if (*p != 'N' && *p != 'I' && *p != '-') {
            continue;
        }
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
            if (is_word_at(p, end, words[i])) {
                buf_add(out, copied, (size_t)(p - copied));
                buf_addf(out, "\"" JSON_WORD_MARK "%s\"", words[i]);
                copied = p + strlen(words[i]);
                p = copied - 1;
                break;
            }
        }
    }
    buf_add(out, copied, (size_t)(end - copied));
}

json_t *jread_python(const char *text, size_t len, const char *what, struct err *err)
{
    struct buf quoted;
    buf_init(&quoted, 4 * len + 64);
    quote_bare_numbers(text, len, &quoted);
    json_t *value =
        buf_check(&quoted, what, err) == 0 ? jread_text(quoted.data, quoted.len, what, err) : NULL;
    buf_done(&quoted);
    return value;
}
