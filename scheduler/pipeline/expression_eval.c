/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluating a tree. Errors are values, since && and || swallow the error of one side when the
 * other side decides. Operators follow CEL: nothing is converted on the way.
 */
#include "pipeline/expression_eval.h"

#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/expression.h"
#include "pipeline/value.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_SHOWN_SOURCE 120
#define MAX_MESSAGE 600
#define MAX_WORK (1u << 30) /* about a second and a few hundred MiB */
#define BYTE_COST 16
#define ITEM_COST (BYTE_COST * sizeof(struct expression_value))

static struct expression_value eval(struct evaluation *e, const struct expression_node *node);

/* ---- errors ---- */

struct expression_value expression_fail(
    struct evaluation *e, const struct expression_node *node, const char *fmt, ...)
{
    char text[MAX_MESSAGE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    size_t len = node->end - node->start, shown = len;
    if (shown > MAX_SHOWN_SOURCE) {
        for (shown = MAX_SHOWN_SOURCE;
             ((unsigned char)e->source[node->start + shown] & 0xC0) == 0x80;) {
            shown--;
        }
    }
    return (struct expression_value){.kind = EXPRESSION_ERROR,
        .text = pool_printf(e->pool, "in %.*s%s: %s", (int)shown, e->source + node->start,
            shown < len ? "..." : "", text)};
}

struct expression_value expression_fail_work(
    struct evaluation *e, const struct expression_node *node)
{
    e->work_left = 0;
    return expression_fail(e, node, "takes too much work; have a task work it out");
}

struct expression_value expression_truth(bool truth)
{
    return (struct expression_value){.kind = EXPRESSION_BOOL, .truth = truth};
}

static bool is_error(const struct expression_value *value)
{
    return value->kind == EXPRESSION_ERROR;
}

/* ---- members ---- */

static struct expression_value eval_name(struct evaluation *e, const struct expression_node *node)
{
    const json_t *json = json_object_get(e->variables, node->text);
    return json != NULL ? expression_value_from(json)
                        : expression_fail(e, node, "there is no value %s", node->text);
}

static struct expression_value member(struct evaluation *e, const struct expression_node *node,
    const struct expression_value *map, const struct expression_value *key)
{
    struct expression_value out;
    if (expression_value_member(map, key, &e->work_left, &out)) {
        return out;
    }
    const char *text = key->kind == EXPRESSION_STRING && key->len < 200
                           ? key->text
                           : expression_value_shown(e->pool, key);
    return expression_fail(e, node, "the object has no key %s", text);
}

static struct expression_value item(struct evaluation *e, const struct expression_node *node,
    const struct expression_value *list, const struct expression_value *at)
{
    double index = at->kind == EXPRESSION_INT ? (double)at->integer : at->real;
    struct expression_value out;
    if (index >= 0 && index < 0x1p53 && index == trunc(index) &&
        expression_value_item(list, (size_t)index, &out)) {
        return out;
    }
    return expression_fail(e, node, "the list has no item %s, only %zu",
        expression_value_shown(e->pool, at), expression_value_size(list));
}

static struct expression_value no_member(struct evaluation *e, const struct expression_node *node,
    const struct expression_value *from, const struct expression_value *key)
{
    enum expression_kind gives;
    const char *shown = expression_value_shown(e->pool, from);
    if (from->kind != EXPRESSION_MAP && key->kind == EXPRESSION_STRING) {
        return expression_fail(
            e, node, "the value is not an object, so it has no key %.200s: %s", key->text, shown);
    }
    if (!expression_op_takes(EXPRESSION_OP_INDEX, from->kind, key->kind, &gives)) {
        return expression_fail(e, node, "%s has no member %s%s", shown,
            expression_value_shown(e->pool, key),
            expression_op_advice(EXPRESSION_OP_INDEX, from->kind, key->kind));
    }
    return from->kind == EXPRESSION_LIST ? item(e, node, from, key) : member(e, node, from, key);
}

static struct expression_value eval_member(struct evaluation *e, const struct expression_node *node)
{
    struct expression_value from = eval(e, node->args[0]);
    if (is_error(&from)) {
        return from;
    }
    struct expression_value key = {.kind = EXPRESSION_STRING, .text = node->text, .len = node->len};
    if (node->op == EXPRESSION_OP_INDEX) {
        key = eval(e, node->args[1]);
    }
    return is_error(&key) ? key : no_member(e, node, &from, &key);
}

static struct expression_value eval_has(struct evaluation *e, const struct expression_node *node)
{
    const struct expression_node *field = node->args[0];
    struct expression_value from = eval(e, field->args[0]), unused;
    if (is_error(&from)) {
        return from;
    }
    struct expression_value key = {
        .kind = EXPRESSION_STRING, .text = field->text, .len = field->len};
    return from.kind == EXPRESSION_MAP
               ? expression_truth(expression_value_member(&from, &key, &e->work_left, &unused))
               : expression_fail(
                     e, node, "%s is not an object", expression_value_shown(e->pool, &from));
}

static struct expression_value eval_in(
    struct evaluation *e, const struct expression_value *needle, const struct expression_value *hay)
{
    struct expression_value found;
    if (hay->kind == EXPRESSION_MAP) {
        return expression_truth(expression_value_member(hay, needle, &e->work_left, &found));
    }
    for (size_t i = 0; expression_value_item(hay, i, &found) && e->work_left > 0; i++) {
        if (expression_value_equal(needle, &found, &e->work_left)) {
            return expression_truth(true);
        }
    }
    return expression_truth(false);
}

/* ---- arithmetic ---- */

static struct expression_value int_math(
    struct evaluation *e, const struct expression_node *node, int64_t a, int64_t b)
{
    struct expression_value out = {.kind = EXPRESSION_INT};
    bool is_over = false;
    switch (node->op) {
    case EXPRESSION_OP_ADD:
        is_over = __builtin_add_overflow(a, b, &out.integer);
        break;
    case EXPRESSION_OP_SUBTRACT:
    case EXPRESSION_OP_NEGATE: /* from zero */
        is_over = __builtin_sub_overflow(a, b, &out.integer);
        break;
    case EXPRESSION_OP_MULTIPLY:
        is_over = __builtin_mul_overflow(a, b, &out.integer);
        break;
    default:
        if (b == 0) {
            return expression_fail(e, node, "%lld is divided by zero", (long long)a);
        }
        is_over = a == INT64_MIN && b == -1;
        if (!is_over) {
            out.integer = node->op == EXPRESSION_OP_DIVIDE ? a / b : a % b;
        }
        break;
    }
    return is_over ? expression_fail(e, node, "%lld %s %lld is beyond the 64-bit integers",
                         (long long)a, expression_op_sign(node->op), (long long)b)
                   : out;
}

static struct expression_value real_math(enum expression_op op, double a, double b)
{
    double real = op == EXPRESSION_OP_ADD          ? a + b
                  : op == EXPRESSION_OP_SUBTRACT   ? a - b
                  : op == EXPRESSION_OP_MULTIPLY   ? a * b
                  : b != 0                         ? a / b
                  : a == 0 || isnan(a) || isnan(b) ? NAN
                  : signbit(a) != signbit(b)       ? -INFINITY
                                                   : INFINITY;
    return (struct expression_value){.kind = EXPRESSION_DOUBLE, .real = real};
}

static struct expression_value join_texts(struct evaluation *e, const struct expression_node *node,
    const struct expression_value *a, const struct expression_value *b)
{
    struct expression_value out = {.kind = EXPRESSION_STRING, .len = a->len + b->len};
    if (out.len > MAX_VALUE_BYTES ||
        !expression_work_spend(&e->work_left, (out.len + 1) * BYTE_COST)) {
        return expression_fail_work(e, node);
    }
    char *text = pool_alloc(e->pool, out.len + 1);
    memcpy(text, a->text, a->len);
    memcpy(text + a->len, b->text, b->len);
    out.text = text;
    return out;
}

static struct expression_value join_lists(struct evaluation *e, const struct expression_node *node,
    const struct expression_value *a, const struct expression_value *b)
{
    size_t first = expression_value_size(a), count = first + expression_value_size(b);
    if (!expression_work_spend(&e->work_left, (count + 1) * ITEM_COST)) {
        return expression_fail_work(e, node);
    }
    struct expression_value *items = pool_calloc(e->pool, count + 1, sizeof *items);
    for (size_t i = 0; i < count; i++) {
        bool is_there = i < first ? expression_value_item(a, i, &items[i])
                                  : expression_value_item(b, i - first, &items[i]);
        assert(is_there);
    }
    return (struct expression_value){.kind = EXPRESSION_LIST, .count = count, .items = items};
}

static struct expression_value eval_math(struct evaluation *e, const struct expression_node *node,
    const struct expression_value *a, const struct expression_value *b)
{
    switch (a->kind) {
    case EXPRESSION_INT:
        return int_math(e, node, a->integer, b->integer);
    case EXPRESSION_STRING:
        return join_texts(e, node, a, b);
    case EXPRESSION_LIST:
        return join_lists(e, node, a, b);
    default:
        return real_math(node->op, a->real, b->real);
    }
}

/* ---- operators ---- */

static struct expression_value eval_order(
    enum expression_op op, const struct expression_value *a, const struct expression_value *b)
{
    bool is_ordered, is_true = false;
    int order = expression_value_compare(a, b, &is_ordered);
    switch (op) {
    case EXPRESSION_OP_LESS:
        is_true = order < 0;
        break;
    case EXPRESSION_OP_LESS_EQUAL:
        is_true = order <= 0;
        break;
    case EXPRESSION_OP_GREATER:
        is_true = order > 0;
        break;
    default:
        is_true = order >= 0;
        break;
    }
    return expression_truth(is_true && is_ordered);
}

static struct expression_value eval_two_sided(
    struct evaluation *e, const struct expression_node *node)
{
    struct expression_value a = eval(e, node->args[0]);
    struct expression_value b = is_error(&a) ? a : eval(e, node->args[1]);
    enum expression_kind gives;
    if (is_error(&b)) {
        return b;
    }
    if (!expression_op_takes(node->op, a.kind, b.kind, &gives)) {
        return expression_fail(e, node, "%s does not take %s (%s) and %s (%s)%s",
            expression_op_sign(node->op), expression_kind_name(a.kind),
            expression_value_shown(e->pool, &a), expression_kind_name(b.kind),
            expression_value_shown(e->pool, &b), expression_op_advice(node->op, a.kind, b.kind));
    }
    switch (node->op) {
    case EXPRESSION_OP_EQUAL:
    case EXPRESSION_OP_UNEQUAL:
        return expression_truth(
            expression_value_equal(&a, &b, &e->work_left) == (node->op == EXPRESSION_OP_EQUAL));
    case EXPRESSION_OP_IN:
        return eval_in(e, &a, &b);
    case EXPRESSION_OP_LESS:
    case EXPRESSION_OP_LESS_EQUAL:
    case EXPRESSION_OP_GREATER:
    case EXPRESSION_OP_GREATER_EQUAL:
        return eval_order(node->op, &a, &b);
    default:
        return eval_math(e, node, &a, &b);
    }
}

/* What must be true or false and is neither becomes an error. */
static struct expression_value eval_truth(
    struct evaluation *e, const struct expression_node *node, const char *of)
{
    struct expression_value value = eval(e, node);
    return value.kind == EXPRESSION_BOOL || is_error(&value)
               ? value
               : expression_fail(e, node, "%s takes true or false, and this is %s (%s)", of,
                     expression_kind_name(value.kind), expression_value_shown(e->pool, &value));
}

/* Either side alone may decide; then an error on the other side does not matter. */
static struct expression_value eval_logic(struct evaluation *e, const struct expression_node *node)
{
    bool decisive = node->op == EXPRESSION_OP_OR;
    const char *sign = expression_op_sign(node->op);
    struct expression_value a = eval_truth(e, node->args[0], sign);
    if (!is_error(&a) && a.truth == decisive) {
        return a;
    }
    struct expression_value b = eval_truth(e, node->args[1], sign);
    if (!is_error(&b) && b.truth == decisive) {
        return b;
    }
    return is_error(&a) ? a : b;
}

static struct expression_value eval_one_sided(
    struct evaluation *e, const struct expression_node *node)
{
    if (node->op == EXPRESSION_OP_NOT) {
        struct expression_value value = eval_truth(e, node->args[0], "!");
        return is_error(&value) ? value : expression_truth(!value.truth);
    }
    struct expression_value value = eval(e, node->args[0]);
    struct expression_value out = {.kind = value.kind};
    if (value.kind == EXPRESSION_DOUBLE) {
        out.real = -value.real;
        return out;
    }
    if (value.kind == EXPRESSION_INT) {
        return int_math(e, node, 0, value.integer);
    }
    return is_error(&value)
               ? value
               : expression_fail(e, node, "- takes a number, and %s is %s",
                     expression_value_shown(e->pool, &value), expression_kind_name(value.kind));
}

/* ---- all ---- */

static struct expression_value eval_literal(const struct expression_node *node)
{
    struct expression_value out = {.kind = node->kind};
    if (node->kind == EXPRESSION_BOOL) {
        out.truth = node->integer != 0;
    } else if (node->kind == EXPRESSION_INT) {
        out.integer = node->integer;
    } else if (node->kind == EXPRESSION_DOUBLE) {
        out.real = node->real;
    } else if (node->kind == EXPRESSION_STRING) {
        out.text = node->text;
        out.len = node->len;
    }
    return out;
}

static struct expression_value check_keys(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *map)
{
    for (size_t i = 0; i < map->count; i += 2) {
        const struct expression_value *key = &map->items[i];
        struct expression_value before = *map, unused;
        before.count = i;
        if (key->kind != EXPRESSION_STRING && key->kind != EXPRESSION_INT &&
            key->kind != EXPRESSION_BOOL) {
            return expression_fail(e, node->args[i],
                "the keys of a map are strings, ints or bools, and %s is %s",
                expression_value_shown(e->pool, key), expression_kind_name(key->kind));
        }
        if (expression_value_member(&before, key, &e->work_left, &unused)) {
            return expression_fail(e, node->args[i], "the key %s is there twice",
                expression_value_shown(e->pool, key));
        }
    }
    return *map;
}

/* The parts of a list, a map or a call; stops at an error and gives it. */
static struct expression_value eval_parts(struct evaluation *e, const struct expression_node *node)
{
    struct expression_value *items = pool_calloc(e->pool, node->count + 1, sizeof *items);
    for (size_t i = 0; i < node->count; i++) {
        items[i] = eval(e, node->args[i]);
        if (is_error(&items[i])) {
            return items[i];
        }
    }
    struct expression_value out = {.kind = EXPRESSION_LIST, .count = node->count, .items = items};
    if (node->op == EXPRESSION_OP_CALL) {
        return expression_call(e, node, items);
    }
    if (node->op == EXPRESSION_OP_MAP) {
        out.kind = EXPRESSION_MAP;
        return check_keys(e, node, &out);
    }
    return out;
}

static struct expression_value eval(struct evaluation *e, const struct expression_node *node)
{
    if (!expression_work_spend(&e->work_left, 1)) {
        return expression_fail_work(e, node);
    }
    switch (node->op) {
    case EXPRESSION_OP_LITERAL:
        return eval_literal(node);
    case EXPRESSION_OP_NAME:
        return eval_name(e, node);
    case EXPRESSION_OP_FIELD:
    case EXPRESSION_OP_INDEX:
        return eval_member(e, node);
    case EXPRESSION_OP_CALL:
        return node->function->id == EXPRESSION_FN_HAS ? eval_has(e, node) : eval_parts(e, node);
    case EXPRESSION_OP_LIST:
    case EXPRESSION_OP_MAP:
        return eval_parts(e, node);
    case EXPRESSION_OP_NOT:
    case EXPRESSION_OP_NEGATE:
        return eval_one_sided(e, node);
    case EXPRESSION_OP_AND:
    case EXPRESSION_OP_OR:
        return eval_logic(e, node);
    case EXPRESSION_OP_CHOOSE: {
        struct expression_value which = eval_truth(e, node->args[0], "?:");
        return is_error(&which) ? which : eval(e, node->args[which.truth ? 1 : 2]);
    }
    case EXPRESSION_OP_MULTIPLY:
    case EXPRESSION_OP_DIVIDE:
    case EXPRESSION_OP_REMAINDER:
    case EXPRESSION_OP_ADD:
    case EXPRESSION_OP_SUBTRACT:
    case EXPRESSION_OP_EQUAL:
    case EXPRESSION_OP_UNEQUAL:
    case EXPRESSION_OP_LESS:
    case EXPRESSION_OP_LESS_EQUAL:
    case EXPRESSION_OP_GREATER:
    case EXPRESSION_OP_GREATER_EQUAL:
    case EXPRESSION_OP_IN:
        break;
    }
    return eval_two_sided(e, node);
}

json_t *expression_eval(
    const struct expression *expression, const json_t *variables, struct err *err)
{
    struct pool *pool CLEANUP(pool_freep) = pool_new();
    struct evaluation e = {
        .pool = pool, .source = expression->source, .variables = variables, .work_left = MAX_WORK};
    struct expression_value value = eval(&e, expression->root);
    if (e.work_left == 0) { /* what came out may be wrong: comparing gave up */
        value = expression_fail_work(&e, expression->root);
    }
    json_t *out = is_error(&value) ? NULL : expression_value_json(&value);
    if (is_error(&value)) {
        err_set(err, e.work_left == 0 ? ERR_LIMIT : ERR_INVALID, "%s", value.text);
    } else if (out == NULL) {
        err_set(err, ERR_INVALID,
            "in %.200s: the result has a number (NaN, infinity) or a key that JSON has not",
            e.source);
    }
    return out;
}
