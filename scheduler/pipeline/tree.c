/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a document tree: what a plain scalar is, members in either spelling, and the way to
 * and from JSON. The scalar rules are the common ground of PyYAML, which writes these files,
 * and of YAML 1.2, by which others read them; where the two differ the text is kept.
 */
#include "pipeline/tree.h"

#include "base/buf.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/complain.h"
#include "scheduler/plan.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Text of a number that is longer than this is not one. */
#define MAX_NUMBER_TEXT 400
/* Above this not every integer is a double; they are kept as they are. */
#define MAX_EXACT 9007199254740992.0

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

/* 0x1F, 0o17, 0b11, and 017, which both YAML 1.1 and Go take for octal. */
static bool prefixed_integer(const char *text, json_t **out)
{
    bool negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+' ? 1 : 0);
    int base = 0;
    if (digits[0] == '0' && digits[1] == 'x') {
        base = 16;
    } else if (digits[0] == '0' && digits[1] == 'o') {
        base = 8;
    } else if (digits[0] == '0' && digits[1] == 'b') {
        base = 2;
    }
    if (base != 0) {
        digits += 2;
    } else if (digits[0] == '0' && digits[1] != '\0' &&
               strspn(digits, "01234567") == strlen(digits)) {
        base = 8;
    } else {
        return false;
    }
    if (!isxdigit((unsigned char)digits[0])) {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long value = strtoull(digits, &end, base);
    if (errno != 0 || *end != '\0' || value > (unsigned long long)INT64_MAX) {
        return false;
    }
    *out = json_integer(negative ? -(json_int_t)value : (json_int_t)value);
    return true;
}

static json_t *number_json(double value)
{
    if (value == trunc(value) && fabs(value) <= MAX_EXACT) {
        return json_integer((json_int_t)value);
    }
    return json_real(value);
}

/* [-+]? ( digits [. digits?] | . digits ) ( [eE] [-+]? digits )? */
static bool is_decimal(const char *text)
{
    const char *p = text + (*text == '-' || *text == '+' ? 1 : 0);
    size_t whole = strspn(p, "0123456789"), part = 0;
    p += whole;
    if (*p == '.') {
        p++;
        part = strspn(p, "0123456789");
        p += part;
    }
    if (whole + part == 0) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+' ? 1 : 0;
        size_t digits = strspn(p, "0123456789");
        if (digits == 0) {
            return false;
        }
        p += digits;
    }
    return *p == '\0';
}

bool tree_number(const char *text, json_t **out)
{
    if (strlen(text) > MAX_NUMBER_TEXT) {
        return false;
    }
    /* Both YAML 1.1 and Go allow 1_000. */
    char plain[MAX_NUMBER_TEXT + 1];
    size_t n = 0;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p != '_') {
            plain[n++] = *p;
        } else if (p == text) {
            return false;
        }
    }
    plain[n] = '\0';
    if (prefixed_integer(plain, out)) {
        return true;
    }
    if (!is_decimal(plain)) {
        return false;
    }
    if (strpbrk(plain, ".eE") == NULL) {
        errno = 0;
        long long whole = strtoll(plain, NULL, 10);
        if (errno == 0) {
            *out = json_integer(whole);
            return true;
        }
    }
    double value = strtod(plain, NULL);
    if (!isfinite(value)) {
        return false;
    }
    *out = number_json(value);
    return true;
}

/* PyYAML's float needs a dot; "1e3" without one is how it writes that string. */
static bool looks_like_number(const char *text)
{
    const char *p = text + (*text == '-' || *text == '+' ? 1 : 0);
    if (!isdigit((unsigned char)*p) && *p != '.') {
        return false;
    }
    bool has_exponent = strpbrk(text, "eE") != NULL;
    bool is_hex = p[0] == '0' && p[1] == 'x';
    return is_hex || !has_exponent || strchr(text, '.') != NULL;
}

static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const true_words[] = {"true", "True", "TRUE", NULL};
static const char *const false_words[] = {"false", "False", "FALSE", NULL};

enum scalar_type tree_scalar_type(const struct tree *node)
{
    if (!node->is_plain) {
        return SCALAR_TEXT;
    }
    if (is_one_of(node->text, null_words)) {
        return SCALAR_NULL;
    }
    if (is_one_of(node->text, true_words) || is_one_of(node->text, false_words)) {
        return SCALAR_BOOL;
    }
    if (looks_like_number(node->text)) {
        json_t *number = NULL;
        if (tree_number(node->text, &number)) {
            json_decref(number);
            return SCALAR_NUMBER;
        }
    }
    return SCALAR_TEXT;
}

bool tree_is_null(const struct tree *node)
{
    return node == NULL || (node->kind == TREE_SCALAR && node->want != WANT_TEXT &&
                               tree_scalar_type(node) == SCALAR_NULL);
}

bool tree_name_is(const char *key, const char *camel)
{
    bool snake = strchr(key, '_') != NULL;
    for (; *camel != '\0'; camel++, key++) {
        if (snake && *camel >= 'A' && *camel <= 'Z') {
            if (key[0] != '_' || key[1] != *camel - 'A' + 'a') {
                return false;
            }
            key++;
        } else if (*key != *camel) {
            return false;
        }
    }
    return *key == '\0';
}

struct tree *tree_get(const struct tree *map, const char *camel)
{
    if (map == NULL || map->kind != TREE_MAP) {
        return NULL;
    }
    for (size_t i = 0; i < map->count; i++) {
        if (tree_name_is(map->pairs[i].key, camel)) {
            return map->pairs[i].value;
        }
    }
    return NULL;
}

static json_t *scalar_json(const struct tree *node)
{
    json_t *number = NULL;
    if (node->want == WANT_TEXT) {
        return json_stringn(node->text, node->count);
    }
    if (node->want == WANT_NUMBER && node->is_plain && tree_number(node->text, &number)) {
        return number;
    }
    switch (tree_scalar_type(node)) {
    case SCALAR_NULL:
        return json_null();
    case SCALAR_BOOL:
        return json_boolean(is_one_of(node->text, true_words));
    case SCALAR_NUMBER:
        if (tree_number(node->text, &number)) {
            return number;
        }
        break;
    case SCALAR_TEXT:
        break;
    }
    return json_stringn(node->text, node->count);
}

json_t *tree_json(const struct tree *node)
{
    json_t *out = NULL;
    switch (node->kind) {
    case TREE_SCALAR:
        out = scalar_json(node);
        break;
    case TREE_LIST:
        out = json_array();
        for (size_t i = 0; i < node->count; i++) {
            json_array_append_new(out, tree_json(node->items[i]));
        }
        break;
    case TREE_MAP:
        out = json_object();
        for (size_t i = 0; i < node->count; i++) {
            json_object_set_new(out, node->pairs[i].key, tree_json(node->pairs[i].value));
        }
        break;
    }
    /* The reader let only valid UTF-8 in, and memory never runs out: NULL is our mistake. */
    return out != NULL ? out : json_string("");
}

bool tree_want(struct tree *node, enum tree_want want)
{
    if (node->kind != TREE_SCALAR) {
        return true;
    }
    if (node->want != WANT_ANYTHING && node->want != want) {
        return false;
    }
    node->want = want;
    return true;
}

/* ---- from JSON ---- */

struct json_reader {
    struct pool *pool;
    size_t nodes;
    const char *trouble;
};

static struct tree *from_json(struct json_reader *r, const json_t *json, unsigned depth);

static void number_text(const json_t *json, struct buf *out)
{
    if (json_is_integer(json)) {
        buf_addf(out, "%lld", (long long)json_integer_value(json));
        return;
    }
    double value = json_real_value(json);
    for (int precision = 1; precision <= 17; precision++) {
        buf_reset(out);
        buf_addf(out, "%.*g", precision, value);
        if (strtod(buf_str(out), NULL) == value) {
            break;
        }
    }
    /* A plain 1e+21 without a dot would be read as text. */
    const char *text = buf_str(out), *e = strchr(text, 'e');
    if (e != NULL && strchr(text, '.') == NULL) {
        char mantissa[32];
        size_t n = (size_t)(e - text);
        memcpy(mantissa, text, n);
        mantissa[n] = '\0';
        char exponent[16];
        memcpy(exponent, e, strlen(e) + 1);
        buf_reset(out);
        buf_addf(out, "%s.0%s", mantissa, exponent);
    }
}

static void from_json_scalar(struct json_reader *r, const json_t *json, struct tree *node)
{
    struct buf text;
    switch (json_typeof(json)) {
    case JSON_STRING:
        node->text = pool_strndup(r->pool, json_string_value(json), json_string_length(json));
        node->count = json_string_length(json);
        if (strlen(node->text) != node->count) {
            r->trouble = "strings must not contain NUL characters";
        }
        return;
    case JSON_INTEGER:
    case JSON_REAL:
        buf_init(&text, 64);
        number_text(json, &text);
        node->text = pool_strdup(r->pool, buf_str(&text));
        buf_done(&text);
        break;
    case JSON_TRUE:
        node->text = "true";
        break;
    case JSON_FALSE:
        node->text = "false";
        break;
    case JSON_NULL:
    case JSON_OBJECT:
    case JSON_ARRAY:
        node->text = "null";
        break;
    }
    node->is_plain = true;
    node->count = strlen(node->text);
}

static void from_json_children(
    struct json_reader *r, const json_t *json, struct tree *node, unsigned depth)
{
    if (json_is_array(json)) {
        node->kind = TREE_LIST;
        node->items = pool_calloc(r->pool, json_array_size(json), sizeof *node->items);
        size_t i;
        json_t *value;
        json_array_foreach(json, i, value)
        {
            node->items[i] = from_json(r, value, depth + 1);
            if (node->items[i] == NULL) {
                return;
            }
            node->count++;
        }
        return;
    }
    node->kind = TREE_MAP;
    node->pairs = pool_calloc(r->pool, json_object_size(json), sizeof *node->pairs);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        struct tree *child = from_json(r, value, depth + 1);
        if (child == NULL) {
            return;
        }
        node->pairs[node->count++] =
            (struct tree_pair){.key = pool_strdup(r->pool, key), .value = child};
    }
}

static struct tree *from_json(struct json_reader *r, const json_t *json, unsigned depth)
{
    if (depth > TREE_MAX_DEPTH) {
        r->trouble = "it is nested deeper than 256 levels";
    } else if (++r->nodes > TREE_MAX_NODES) {
        r->trouble = "it has more than 500000 values";
    }
    if (r->trouble != NULL) {
        return NULL;
    }
    struct tree *node = pool_alloc(r->pool, sizeof *node);
    if (json_is_array(json) || json_is_object(json)) {
        from_json_children(r, json, node, depth);
    } else {
        from_json_scalar(r, json, node);
    }
    return r->trouble == NULL ? node : NULL;
}

struct tree *tree_from_json(const json_t *json, struct pool *pool, struct complaints *complaints)
{
    struct json_reader r = {.pool = pool};
    struct tree *node = from_json(&r, json, 1);
    if (node == NULL) {
        complain(
            complaints, (struct place){0, 0}, &PATH_ROOT, "the document is refused: %s", r.trouble);
    }
    return node;
}
