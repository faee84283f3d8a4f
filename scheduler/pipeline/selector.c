/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parameterExpressionSelector: the part of CEL that picks a piece out of a value. The kfp
 * compiler writes only parseJson(string_value)["key"]; hand-written files may index further:
 *
 *   expr  := base ( "[" string "]" | "[" integer "]" | "." name )*
 *   base  := "parseJson" "(" expr ")" | string_value | number_value | bool_value
 *          | struct_value | list_value
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/draft.h"
#include "pipeline/value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEY 256
#define MAX_NESTING 16

struct selection {
    const char *at;
    const json_t *value; /* NULL: only check the grammar */
    const char *what;
    struct err *err;
    const char *trouble; /* grammar */
    bool failed;
    int nesting;
};

static const char grammar[] =
    "only parseJson(string_value)[\"key\"] and the like are understood: parseJson(...), "
    "string_value, number_value, bool_value, struct_value, list_value, then [\"key\"], [0] or "
    ".name";

static void skip_space(struct selection *s)
{
    while (*s->at == ' ' || *s->at == '\t' || *s->at == '\n') {
        s->at++;
    }
}

static bool accept(struct selection *s, const char *word)
{
    skip_space(s);
    size_t len = strlen(word);
    if (strncmp(s->at, word, len) != 0) {
        return false;
    }
    char next = s->at[len];
    if (isalpha((unsigned char)word[len - 1]) && (isalnum((unsigned char)next) || next == '_')) {
        return false;
    }
    s->at += len;
    return true;
}

static json_t *bad_grammar(struct selection *s)
{
    s->trouble = grammar;
    s->failed = true;
    return NULL;
}

static json_t *fail(struct selection *s, const char *fmt, const char *detail)
{
    if (!s->failed) {
        struct buf text;
        buf_init(&text, 512);
        buf_adds(&text, fmt);
        buf_adds(&text, detail);
        err_set(s->err, ERR_INVALID, "%s: selector: %s", s->what, buf_str(&text));
        buf_done(&text);
    }
    s->failed = true;
    return NULL;
}

/* A quoted key with CEL's escapes. */
static bool read_quoted(struct selection *s, char *out, size_t size)
{
    char quote = *s->at++;
    size_t n = 0;
    while (*s->at != quote) {
        char c = *s->at;
        if (c == '\\') {
            c = *++s->at;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : strchr("\\\"'`?", c) != NULL ? c : '\0';
        }
        if (c == '\0' || n + 1 >= size) {
            return false;
        }
        s->at++;
        out[n++] = c;
    }
    s->at++;
    out[n] = '\0';
    return true;
}

static json_t *pick_key(struct selection *s, json_t *from, const char *key)
{
    if (from == NULL) {
        return NULL;
    }
    json_t *item = json_object_get(from, key);
    if (!json_is_object(from)) {
        fail(s, "the value is not an object, so it has no key ", key);
    } else if (item == NULL) {
        fail(s, "the object has no key ", key);
    }
    json_incref(item);
    json_decref(from);
    return item;
}

static json_t *pick_index(struct selection *s, json_t *from, const char *digits)
{
    if (from == NULL) {
        return NULL;
    }
    json_t *item = json_array_get(from, strtoul(digits, NULL, 10));
    if (item == NULL) {
        fail(
            s, json_is_array(from) ? "the list has no item " : "the value is not a list: ", digits);
    }
    json_incref(item);
    json_decref(from);
    return item;
}

static json_t *read_name(struct selection *s, json_t *from)
{
    char name[MAX_KEY];
    size_t n = 0;
    while ((isalnum((unsigned char)*s->at) || *s->at == '_') && n + 1 < sizeof name) {
        name[n++] = *s->at++;
    }
    name[n] = '\0';
    if (n == 0 || isdigit((unsigned char)name[0])) {
        json_decref(from);
        return bad_grammar(s);
    }
    return pick_key(s, from, name);
}

static json_t *read_index(struct selection *s, json_t *from)
{
    char key[MAX_KEY];
    skip_space(s);
    bool is_key = *s->at == '"' || *s->at == '\'';
    bool is_good = false;
    if (is_key) {
        is_good = read_quoted(s, key, sizeof key);
    } else {
        size_t n = strspn(s->at, "0123456789");
        if (n > 0 && n < 10) {
            memcpy(key, s->at, n);
            key[n] = '\0';
            s->at += n;
            is_good = true;
        }
    }
    if (!is_good || !accept(s, "]")) {
        json_decref(from);
        return bad_grammar(s);
    }
    return is_key ? pick_key(s, from, key) : pick_index(s, from, key);
}

static json_t *read_expression(struct selection *s);

static json_t *parse_text(struct selection *s, json_t *from)
{
    if (from == NULL) {
        return NULL;
    }
    json_t *out = NULL;
    if (!json_is_string(from)) {
        fail(s, "parseJson takes a text", "");
    } else {
        out = json_loadb(json_string_value(from), json_string_length(from), JSON_DECODE_ANY, NULL);
        if (out == NULL) {
            fail(s, "the value is not JSON", "");
        }
    }
    json_decref(from);
    return out;
}

/* The value under one of the names that protobuf's Value has for it. */
static json_t *read_variable(struct selection *s)
{
    static const struct {
        const char *name;
        enum value_type type;
    } kinds[] = {{"number_value", VALUE_DOUBLE}, {"bool_value", VALUE_BOOLEAN},
        {"struct_value", VALUE_STRUCT}, {"list_value", VALUE_LIST}};
    if (accept(s, "string_value")) { /* every value has a text */
        return s->value != NULL ? value_coerce(s->value, VALUE_STRING, s->what, s->err) : NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (accept(s, kinds[i].name)) {
            if (s->value != NULL && !value_is_kind(s->value, kinds[i].type)) {
                return fail(s, "the value is of another kind than ", kinds[i].name);
            }
            return json_incref((json_t *)s->value);
        }
    }
    return bad_grammar(s);
}

static json_t *read_base(struct selection *s)
{
    if (!accept(s, "parseJson")) {
        return read_variable(s);
    }
    if (++s->nesting > MAX_NESTING || !accept(s, "(")) {
        return bad_grammar(s);
    }
    json_t *inner = read_expression(s);
    if (s->failed || !accept(s, ")")) {
        json_decref(inner);
        return s->failed ? NULL : bad_grammar(s);
    }
    return parse_text(s, inner);
}

static json_t *read_expression(struct selection *s)
{
    json_t *value = read_base(s);
    while (!s->failed) {
        if (accept(s, "[")) {
            value = read_index(s, value);
        } else if (accept(s, ".")) {
            value = read_name(s, value);
        } else {
            break;
        }
    }
    if (s->failed) {
        json_decref(value);
        return NULL;
    }
    return value;
}

static json_t *evaluate(struct selection *s)
{
    json_t *out = read_expression(s);
    skip_space(s);
    if (!s->failed && *s->at != '\0') {
        json_decref(out);
        return bad_grammar(s);
    }
    return out;
}

const char *selector_trouble(const char *selector)
{
    struct err err = ERR_INIT;
    struct selection s = {.at = selector, .what = "selector", .err = &err};
    json_decref(evaluate(&s));
    return s.trouble;
}

json_t *selector_apply(const char *selector, const json_t *value, const char *what, struct err *err)
{
    struct selection s = {.at = selector, .value = value, .what = what, .err = err};
    json_t *out = evaluate(&s);
    if (s.trouble != NULL) {
        err_set(err, ERR_INVALID, "%s: selector '%.200s': %s", what, selector, s.trouble);
    }
    return s.failed ? NULL : out;
}
