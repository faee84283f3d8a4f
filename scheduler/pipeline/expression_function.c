/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of expressions: conversions, size and the questions about strings. */
#include "pipeline/expression_eval.h"

#include "base/buf.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/value.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PARSE_COST 16 /* a byte of JSON, in memory and in time */
#define MAX_NUMBER_TEXT 400

static struct expression_value no_number(struct evaluation *e, const struct expression_node *node,
    const struct expression_value *value, const char *what)
{
    return expression_fail(e, node, "%s is not %s", expression_value_shown(e->pool, value), what);
}

static struct expression_value real_to_int(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *value)
{
    if (value->json != NULL && json_is_integer(value->json)) { /* exact beyond 2^53, too */
        return (struct expression_value){
            .kind = EXPRESSION_INT, .integer = json_integer_value(value->json)};
    }
    double real = trunc(value->real);
    if (!(real >= -0x1p63 && real < 0x1p63)) { /* nor is NaN */
        return no_number(e, node, value, "within the 64-bit integers");
    }
    return (struct expression_value){.kind = EXPRESSION_INT, .integer = (int64_t)real};
}

static struct expression_value text_to_int(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *value)
{
    const char *digits = value->text;
    digits += *digits == '-' || *digits == '+';
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || digits + count != value->text + value->len) {
        return no_number(e, node, value, "a whole number");
    }
    errno = 0;
    long long integer = strtoll(value->text, NULL, 10);
    if (errno != 0) {
        return no_number(e, node, value, "within the 64-bit integers");
    }
    return (struct expression_value){.kind = EXPRESSION_INT, .integer = integer};
}

static struct expression_value text_to_double(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *value)
{
    static const struct {
        const char *text;
        double real;
    } words[] = {{"inf", INFINITY}, {"infinity", INFINITY}, {"nan", NAN}};
    const char *at = value->text;
    struct expression_value out = {.kind = EXPRESSION_DOUBLE};
    bool is_negative = *at == '-';
    at += *at == '-' || *at == '+';
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(at, words[i].text) == 0) {
            out.real = is_negative ? -words[i].real : words[i].real;
            return out;
        }
    }
    size_t digits = strspn(at, "0123456789"), more = 0;
    const char *p = at + digits;
    if (*p == '.') {
        more = strspn(p + 1, "0123456789");
        p += 1 + more;
    }
    bool is_good = digits + more > 0;
    if (is_good && (*p == 'e' || *p == 'E')) {
        p += 1 + (p[1] == '+' || p[1] == '-');
        is_good = *p >= '0' && *p <= '9';
        p += strspn(p, "0123456789");
    }
    if (!is_good || p != value->text + value->len || value->len > MAX_NUMBER_TEXT) {
        return no_number(e, node, value, "a number");
    }
    out.real = strtod(value->text, NULL);
    return isfinite(out.real) ? out : no_number(e, node, value, "within the doubles");
}

static struct expression_value to_number(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *value)
{
    bool wants_int = node->function->id == EXPRESSION_FN_INT;
    if (value->kind == EXPRESSION_STRING) {
        return wants_int ? text_to_int(e, node, value) : text_to_double(e, node, value);
    }
    if (wants_int) {
        return value->kind == EXPRESSION_INT ? *value : real_to_int(e, node, value);
    }
    return value->kind == EXPRESSION_DOUBLE ? *value
                                            : (struct expression_value){.kind = EXPRESSION_DOUBLE,
                                                  .real = (double)value->integer};
}

/* The same text that a STRING parameter would get. */
static struct expression_value to_string(struct evaluation *e, const struct expression_value *value)
{
    if (value->kind == EXPRESSION_STRING) {
        return *value;
    }
    struct expression_value out = {.kind = EXPRESSION_STRING};
    json_t *json CLEANUP(json_decrefp) = expression_value_json(value);
    if (json == NULL) { /* NaN and the infinities */
        out.text = expression_value_shown(e->pool, value);
    } else {
        struct buf text;
        buf_init(&text, 1024);
        value_text(json, &text);
        out.text = pool_strdup(e->pool, buf_str(&text));
        buf_done(&text);
    }
    out.len = strlen(out.text);
    return out;
}

static struct expression_value to_bool(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *value)
{
    static const char *const words[2][5] = {
        {"false", "False", "FALSE", "f", "0"}, {"true", "True", "TRUE", "t", "1"}};
    if (value->kind == EXPRESSION_BOOL) {
        return *value;
    }
    for (size_t i = 0; i < ARRAY_LEN(words[0]) * 2; i++) {
        if (strcmp(value->text, words[i % 2][i / 2]) == 0) {
            return expression_truth(i % 2 == 1);
        }
    }
    return no_number(e, node, value, "true or false");
}

static void free_json(void *json)
{
    json_decref(json);
}

static struct expression_value parse_json(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *value)
{
    if (value->len > e->work_left / PARSE_COST ||
        !expression_work_spend(&e->work_left, value->len * PARSE_COST)) {
        return expression_fail_work(e, node);
    }
    json_t *json = json_loadb(value->text, value->len, JSON_DECODE_ANY, NULL);
    if (json == NULL) {
        return expression_fail(
            e, node, "the value is not JSON: %s", expression_value_shown(e->pool, value));
    }
    pool_on_free(e->pool, free_json, json);
    return expression_value_from(json);
}

static bool has_part(const struct expression_value *text, const struct expression_value *part,
    enum expression_function_id id)
{
    if (part->len == 0 || part->len > text->len) {
        return part->len == 0;
    }
    if (id == EXPRESSION_FN_CONTAINS) {
        return memmem(text->text, text->len, part->text, part->len) != NULL;
    }
    size_t from = id == EXPRESSION_FN_ENDS_WITH ? text->len - part->len : 0;
    return memcmp(text->text + from, part->text, part->len) == 0;
}

struct expression_value expression_call(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *args)
{
    const struct expression_function *f = node->function;
    for (size_t i = 0; i < node->count; i++) {
        if ((f->takes & EXPRESSION_BIT(args[i].kind)) == 0) {
            return expression_fail(e, node, "%s takes %s, and %s is %s", f->name, f->takes_what,
                expression_value_shown(e->pool, &args[i]), expression_kind_name(args[i].kind));
        }
        if (args[i].kind == EXPRESSION_STRING &&
            !expression_work_spend(&e->work_left, args[i].len)) {
            return expression_fail_work(e, node);
        }
    }
    switch (f->id) {
    case EXPRESSION_FN_PARSE_JSON:
        return parse_json(e, node, args);
    case EXPRESSION_FN_INT:
    case EXPRESSION_FN_DOUBLE:
        return to_number(e, node, args);
    case EXPRESSION_FN_STRING:
        return to_string(e, args);
    case EXPRESSION_FN_BOOL:
        return to_bool(e, node, args);
    case EXPRESSION_FN_SIZE:
        return (struct expression_value){
            .kind = EXPRESSION_INT, .integer = (int64_t)expression_value_size(args)};
    case EXPRESSION_FN_STARTS_WITH:
    case EXPRESSION_FN_ENDS_WITH:
    case EXPRESSION_FN_CONTAINS:
    case EXPRESSION_FN_HAS:
        break;
    }
    return expression_truth(has_part(&args[0], &args[1], f->id));
}
