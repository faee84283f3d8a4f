/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameter values: their text form, coercion for inputs, and reading them back from the files
 * that programs write (kfp-semantics.md 3.4 and 10.3).
 */
#include "scheduler/plan.h"
#include "pipeline/value.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/draft.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_SHOWN 60
/* What comes in is at most 32 MiB, and escapes make it at most six times as long. */
#define MAX_JSON_BYTES (256u << 20)

/* ---- text ---- */

/*
 * The shortest decimal that reads back as the same double, written without exponent as Go's
 * FormatFloat(v, 'f', -1, 64): 1e21 -> 1000000000000000000000, 0.00001 -> 0.00001.
 */
static void real_text(double value, struct buf *out)
{
    if (!isfinite(value)) {
        buf_adds(out, isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity");
        return;
    }
    struct buf text;
    buf_init(&text, 64);
    for (int precision = 0; precision <= 16; precision++) {
        buf_reset(&text);
        buf_addf(&text, "%.*e", precision, value);
        if (strtod(buf_str(&text), NULL) == value) {
            break;
        }
    }
    const char *p = buf_str(&text);
    if (*p == '-') {
        buf_addc(out, '-');
        p++;
    }
    char digits[24];
    size_t n = 0;
    for (; *p != 'e' && n < sizeof digits; p++) {
        if (*p != '.') {
            digits[n++] = *p;
        }
    }
    long point = strtol(p + 1, NULL, 10) + 1; /* digits before the decimal point */
    buf_adds(out, point <= 0 ? "0." : "");
    for (long i = point; i < 0; i++) {
        buf_addc(out, '0');
    }
    for (size_t i = 0; i < n; i++) {
        if ((long)i == point && i > 0) {
            buf_addc(out, '.');
        }
        buf_addc(out, digits[i]);
    }
    for (long i = (long)n; i < point; i++) {
        buf_addc(out, '0');
    }
    buf_done(&text);
}

static void number_text(const json_t *value, struct buf *out)
{
    if (json_is_integer(value)) {
        buf_addf(out, "%lld", (long long)json_integer_value(value));
    } else if (json_real_value(value) == 0) {
        buf_addc(out, '0');
    } else {
        real_text(json_real_value(value), out);
    }
}

static void string_text(const json_t *value, enum value_write mode, struct buf *out)
{
    static const char hex[] = "0123456789abcdef";
    const char *p = json_string_value(value), *end = p + json_string_length(value);
    buf_addc(out, '"');
    for (const char *run = p; p <= end; p++) {
        unsigned char c = p < end ? (unsigned char)*p : '"';
        bool is_html = mode == VALUE_WRITE_HTML_SAFE && (c == '<' || c == '>' || c == '&');
        if (c >= 0x20 && c != '"' && c != '\\' && !is_html) {
            continue;
        }
        buf_add(out, run, (size_t)(p - run));
        run = p + 1;
        if (p == end) {
            break;
        }
        switch (c) {
        case '"':
            buf_adds(out, "\\\"");
            break;
        case '\\':
            buf_adds(out, "\\\\");
            break;
        case '\n':
            buf_adds(out, "\\n");
            break;
        case '\r':
            buf_adds(out, "\\r");
            break;
        case '\t':
            buf_adds(out, "\\t");
            break;
        default:
            buf_addf(out, "\\u00%c%c", hex[c >> 4], hex[c & 15]);
            break;
        }
    }
    buf_addc(out, '"');
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void object_text(const json_t *value, enum value_write mode, struct buf *out)
{
    size_t count = json_object_size(value), n = 0;
    const char **keys = xcalloc(count + 1, sizeof *keys);
    for (void *it = json_object_iter((json_t *)value); it != NULL;
         it = json_object_iter_next((json_t *)value, it)) {
        keys[n++] = json_object_iter_key(it);
    }
    if (n > 1) {
        qsort(keys, n, sizeof *keys, by_text);
    }
    buf_addc(out, '{');
    for (size_t i = 0; i < n; i++) {
        json_t *key = json_string(keys[i]);
        buf_adds(out, i > 0 ? "," : "");
        string_text(key, mode, out);
        buf_addc(out, ':');
        value_write(json_object_get(value, keys[i]), mode, out);
        json_decref(key);
    }
    buf_addc(out, '}');
    free(keys);
}

void value_write(const json_t *value, enum value_write mode, struct buf *out)
{
    size_t i;
    json_t *item;
    switch (json_typeof(value)) {
    case JSON_STRING:
        string_text(value, mode, out);
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        number_text(value, out);
        break;
    case JSON_TRUE:
        buf_adds(out, "true");
        break;
    case JSON_FALSE:
        buf_adds(out, "false");
        break;
    case JSON_NULL:
        buf_adds(out, "null");
        break;
    case JSON_ARRAY:
        buf_addc(out, '[');
        json_array_foreach(value, i, item)
        {
            buf_adds(out, i > 0 ? "," : "");
            value_write(item, mode, out);
        }
        buf_addc(out, ']');
        break;
    case JSON_OBJECT:
        object_text(value, mode, out);
        break;
    }
}

void value_text(const json_t *value, struct buf *out)
{
    if (value == NULL || json_is_null(value)) {
        return;
    }
    if (json_is_string(value)) {
        buf_add(out, json_string_value(value), json_string_length(value));
        return;
    }
    value_write(value, VALUE_WRITE_HTML_SAFE, out);
}

char *value_json(const json_t *value)
{
    struct buf text;
    buf_init(&text, MAX_JSON_BYTES);
    value_write(value, VALUE_WRITE_PLAIN, &text);
    assert(!text.overflow);
    return buf_steal(&text, NULL);
}

/* ---- kinds ---- */

static const char *kind_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    case JSON_ARRAY:
        return "a list";
    case JSON_OBJECT:
        break;
    }
    return "an object";
}

static const char *wanted_name(enum value_type type)
{
    switch (type) {
    case VALUE_STRING:
        return "a string";
    case VALUE_INTEGER:
    case VALUE_DOUBLE:
        return "a number";
    case VALUE_BOOLEAN:
        return "a boolean";
    case VALUE_LIST:
        return "a list";
    case VALUE_STRUCT:
    case VALUE_TASK_FINAL_STATUS:
    case VALUE_TASK_CONFIG:
        break;
    }
    return "an object";
}

bool value_is_kind(const json_t *value, enum value_type type)
{
    switch (type) {
    case VALUE_STRING:
        return json_is_string(value);
    case VALUE_INTEGER:
    case VALUE_DOUBLE:
        return json_is_number(value);
    case VALUE_BOOLEAN:
        return json_is_boolean(value);
    case VALUE_LIST:
        return json_is_array(value);
    case VALUE_STRUCT:
    case VALUE_TASK_FINAL_STATUS:
    case VALUE_TASK_CONFIG:
        break;
    }
    return json_is_object(value);
}

bool value_fits(const json_t *value, enum value_type type)
{
    return type == VALUE_STRING || value_is_kind(value, type);
}

int value_kind_error(const json_t *value, enum value_type type, const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s: expected %s (%s), got %s", what, wanted_name(type),
        value_type_name(type), kind_name(value));
}

/* 5.0 is the integer 5: every JSON writer then prints it the same way. */
static json_t *tidy_number(const json_t *value)
{
    double number = json_number_value(value);
    if (json_is_real(value) && number == trunc(number) && fabs(number) <= 9007199254740992.0) {
        return json_integer((json_int_t)number);
    }
    return json_incref((json_t *)value);
}

bool value_equal(const json_t *a, const json_t *b)
{
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_number(a) && json_is_number(b)) {
        return json_number_value(a) == json_number_value(b);
    }
    if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b)) {
        json_array_foreach(a, i, item)
        {
            if (!value_equal(item, json_array_get(b, i))) {
                return false;
            }
        }
        return true;
    }
    if (json_is_object(a) && json_is_object(b) && json_object_size(a) == json_object_size(b)) {
        json_object_foreach((json_t *)a, key, item)
        {
            const json_t *other = json_object_get(b, key);
            if (other == NULL || !value_equal(item, other)) {
                return false;
            }
        }
        return true;
    }
    return json_equal(a, b);
}

static json_t *map_string(const json_t *value, value_string_fn *fn, void *owner)
{
    struct buf text;
    buf_init(&text, MAX_VALUE_BYTES);
    json_t *out = NULL;
    if (fn(owner, json_string_value(value), json_string_length(value), &text)) {
        out = json_stringn(buf_str(&text), text.len);
    }
    buf_done(&text);
    return out != NULL ? out : json_incref((json_t *)value);
}

json_t *value_map_strings(const json_t *value, value_string_fn *fn, void *owner)
{
    size_t i;
    const char *key;
    json_t *item, *out;
    bool has_changed = false;
    if (json_is_string(value)) {
        return map_string(value, fn, owner);
    }
    if (json_is_array(value)) {
        out = json_array();
        json_array_foreach(value, i, item)
        {
            json_t *copy = value_map_strings(item, fn, owner);
            has_changed = has_changed || copy != item;
            json_array_append_new(out, copy);
        }
    } else if (json_is_object(value)) {
        out = json_object();
        json_object_foreach((json_t *)value, key, item)
        {
            json_t *copy = value_map_strings(item, fn, owner);
            has_changed = has_changed || copy != item;
            json_object_set_new(out, key, copy);
        }
    } else {
        return json_incref((json_t *)value);
    }
    if (!has_changed) {
        json_decref(out);
        return json_incref((json_t *)value);
    }
    return out;
}

json_t *value_coerce(const json_t *value, enum value_type type, const char *what, struct err *err)
{
    if (type == VALUE_STRING && !json_is_string(value)) {
        struct buf text;
        buf_init(&text, MAX_VALUE_BYTES);
        value_text(value, &text);
        json_t *out = json_stringn(buf_str(&text), text.len);
        int status = buf_check(&text, what, err);
        buf_done(&text);
        if (status != 0) {
            json_decref(out);
            return NULL;
        }
        return out;
    }
    if (!value_is_kind(value, type)) {
        value_kind_error(value, type, what, err);
        return NULL;
    }
    return json_is_number(value) ? tidy_number(value) : json_incref((json_t *)value);
}

/* ---- output files ---- */

/* A copy without surrounding white space; NULL when it holds a NUL or is empty. */
static char *trimmed(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", text[0]) != NULL && text[0] != '\0') {
        text++;
        len--;
    }
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL && text[len - 1] != '\0') {
        len--;
    }
    return len > 0 && memchr(text, '\0', len) == NULL ? xstrndup(text, len) : NULL;
}

static json_t *parse_integer(const char *text)
{
    const char *digits = text + (*text == '-' || *text == '+' ? 1 : 0);
    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits)) {
        return NULL;
    }
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    return errno == 0 ? json_integer(value) : NULL;
}

static json_t *parse_real(const char *text)
{
    char *end;
    if (strchr(" \t\r\n", *text) != NULL) {
        return NULL;
    }
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value)) {
        return NULL;
    }
    if (value == trunc(value) && fabs(value) <= 9007199254740992.0) {
        return json_integer((json_int_t)value);
    }
    return json_real(value);
}

/* Go's strconv.ParseBool. */
static json_t *parse_boolean(const char *text)
{
    static const char *const words[][6] = {
        {"0", "f", "F", "FALSE", "false", "False"}, {"1", "t", "T", "TRUE", "true", "True"}};
    for (int truth = 0; truth < 2; truth++) {
        for (size_t i = 0; i < ARRAY_LEN(words[truth]); i++) {
            if (strcmp(text, words[truth][i]) == 0) {
                return json_boolean(truth);
            }
        }
    }
    return NULL;
}

static json_t *parse_json(
    const char *text, size_t len, enum value_type type, const char *what, struct err *err)
{
    json_t *value = jread_text(text, len, what, err);
    if (value != NULL && !value_is_kind(value, type)) {
        value_kind_error(value, type, what, err);
        json_decref(value);
        return NULL;
    }
    return value;
}

static json_t *parse_scalar(const char *text, enum value_type type)
{
    switch (type) {
    case VALUE_INTEGER:
        return parse_integer(text);
    case VALUE_DOUBLE:
        return parse_real(text);
    case VALUE_BOOLEAN:
        return parse_boolean(text);
    case VALUE_STRING:
    case VALUE_LIST:
    case VALUE_STRUCT:
    case VALUE_TASK_FINAL_STATUS:
    case VALUE_TASK_CONFIG:
        break;
    }
    return NULL;
}

json_t *value_parse_output(
    const char *text, size_t len, enum value_type type, const char *what, struct err *err)
{
    if (type == VALUE_STRING) { /* verbatim: no trimming */
        json_t *value = json_stringn(text, len);
        if (value == NULL) {
            err_set(
                err, ERR_INVALID, "%s: the file is not UTF-8 text, so it cannot be a STRING", what);
        }
        return value;
    }
    if (type == VALUE_LIST || type == VALUE_STRUCT || type == VALUE_TASK_FINAL_STATUS ||
        type == VALUE_TASK_CONFIG) {
        return parse_json(text, len, type, what, err);
    }
    char *word CLEANUP(cleanup_free) = trimmed(text, len);
    json_t *value = word != NULL ? parse_scalar(word, type) : NULL;
    if (value == NULL) {
        err_set(err, ERR_INVALID, "%s: '%.*s' is not %s, as %s needs", what,
            word != NULL ? MAX_SHOWN : 0, word != NULL ? word : "",
            type == VALUE_INTEGER  ? "a whole number"
            : type == VALUE_DOUBLE ? "a number"
                                   : "true or false",
            value_type_name(type));
    }
    return value;
}

bool value_truth_text(const char *text, bool *out)
{
    static const char *const yes[] = {"y", "yes", "t", "true", "on", "1"};
    static const char *const no[] = {"n", "no", "f", "false", "off", "0"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *out = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}
