/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluating a tree: members and logic. Operators are in operator.c, macros in macro.c. */
#include "webhooks/cel/function.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/pool.h"
#include "base/util.h"

#define MESSAGE_MAX 320

/* ---- errors ---- */

/* Errors must not fail themselves, so they take memory past the ceiling: each costs steps. */
#define ERROR_STEPS 10

struct cel_value cel_fail(struct cel_run *run, const struct cel_node *node, const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text_sanitise(text);
    if (run->pool == NULL) {
        run->pool = pool_new();
    }
    if (!cel_spend(run, ERROR_STEPS)) {
        return cel_fail_spent(run, node);
    }
    return (struct cel_value){
        .kind = CEL_ERROR, .nanos = (int32_t)node->start, .text = pool_strdup(run->pool, text)};
}

struct cel_value cel_fail_spent(struct cel_run *run, const struct cel_node *node)
{
    if (run->spent == NULL) {
        run->spent = run->steps == 0
                         ? "the expression takes too many steps (200,000 are allowed); look at less"
                         : "the expression builds too much (1 MiB is allowed); look at less";
    }
    return (struct cel_value){.kind = CEL_ERROR, .nanos = (int32_t)node->start, .text = run->spent};
}

struct cel_value cel_fail_kinds(struct cel_run *run, const struct cel_node *node, const char *what,
    const struct cel_value *args, size_t count)
{
    struct buf kinds;
    buf_init(&kinds, 256);
    bool is_mixed = false;
    for (size_t i = 0; i < count; i++) {
        buf_addf(&kinds, "%s%s",
            i == 0           ? ""
            : i + 1 == count ? " and "
                             : ", ",
            cel_kind_noun(args[i].kind));
        is_mixed |=
            cel_is_number(&args[0]) && cel_is_number(&args[i]) && args[0].kind != args[i].kind;
    }
    struct cel_value error =
        cel_fail(run, node, "no such overload: %s of %s%s", what, buf_str(&kinds),
            is_mixed ? "; convert one with int() or double()"
            : node->op == CEL_OP_FIELD || node->op == CEL_OP_HAS ? "; only a map has members"
                                                                 : "");
    buf_done(&kinds);
    return error;
}

/* ---- memory ---- */

void *cel_alloc(struct cel_run *run, size_t size)
{
    if (size > run->bytes) {
        return NULL;
    }
    run->bytes -= size;
    if (run->pool == NULL) {
        run->pool = pool_new();
    }
    return pool_alloc(run->pool, size);
}

struct cel_value cel_text_value(struct cel_run *run, const struct cel_node *node,
    enum cel_kind kind, const char *text, size_t len)
{
    char *copy = cel_alloc(run, len + 1);
    if (copy == NULL || !cel_spend(run, len / 64)) {
        return cel_fail_spent(run, node);
    }
    if (len > 0) {
        memcpy(copy, text, len);
    }
    return (struct cel_value){.kind = kind, .text = copy, .len = len};
}

/* ---- members ---- */

static struct cel_value eval_name(struct cel_run *run, const struct cel_node *node)
{
    for (size_t i = 0; i < run->var_count; i++) {
        if (strcmp(run->vars[i].name, node->name) == 0 && run->vars[i].value != NULL) {
            return cel_from_json(run->vars[i].value);
        }
    }
    return cel_fail(run, node, "the variable %s has no value here", node->name);
}

static struct cel_value no_such_key(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *key)
{
    struct buf shown;
    buf_init(&shown, 200);
    cel_show(key, &shown);
    struct cel_value error = cel_fail(run, node, "no such key: %s", buf_str(&shown));
    buf_done(&shown);
    return error;
}

static struct cel_value eval_field(struct cel_run *run, const struct cel_node *node)
{
    struct cel_value map = cel_eval(run, node->args[0]), out;
    if (map.kind == CEL_ERROR) {
        return map;
    }
    if (map.kind != CEL_MAP) {
        char what[200];
        snprintf(what, sizeof what, ".%.150s", node->name);
        return cel_fail_kinds(run, node, what, &map, 1);
    }
    struct cel_value key = {.kind = CEL_STRING, .text = node->name, .len = node->name_len};
    if (cel_member(&map, &key, &run->steps, &out)) {
        return out;
    }
    return run->steps == 0 ? cel_fail_spent(run, node)
                           : cel_fail(run, node, "no such key: %s", node->name);
}

static struct cel_value eval_has(struct cel_run *run, const struct cel_node *node)
{
    const struct cel_node *field = node->args[0];
    struct cel_value map = cel_eval(run, field->args[0]), unused;
    if (map.kind == CEL_ERROR) {
        return map;
    }
    if (map.kind != CEL_MAP) {
        return cel_fail_kinds(run, node, "has()", &map, 1);
    }
    struct cel_value key = {.kind = CEL_STRING, .text = field->name, .len = field->name_len};
    return cel_truth(cel_member(&map, &key, &run->steps, &unused));
}

static bool whole_number(const struct cel_value *value, int64_t *out)
{
    if (value->kind == CEL_INT) {
        *out = value->integer;
        return true;
    }
    if (value->kind == CEL_UINT) {
        *out = (int64_t)value->natural;
        return value->natural <= INT64_MAX;
    }
    if (value->kind != CEL_DOUBLE || !(value->real >= -0x1p62 && value->real <= 0x1p62)) {
        return false;
    }
    *out = (int64_t)value->real;
    return (double)*out == value->real;
}

static struct cel_value eval_index(struct cel_run *run, const struct cel_node *node)
{
    struct cel_value args[2] = {cel_eval(run, node->args[0])}, out;
    if (args[0].kind == CEL_ERROR) {
        return args[0];
    }
    args[1] = cel_eval(run, node->args[1]);
    if (args[1].kind == CEL_ERROR) {
        return args[1];
    }
    const struct cel_value *key = &args[1];
    int64_t at;
    if (args[0].kind == CEL_LIST && cel_is_number(key)) {
        if (!whole_number(key, &at)) {
            return cel_fail(run, node, "a list is indexed by a whole number");
        }
        return at >= 0 && (uint64_t)at < args[0].len
                   ? cel_item(&args[0], (size_t)at)
                   : cel_fail(run, node, "index out of bounds: %lld of a list of %zu",
                         (long long)at, args[0].len);
    }
    if (args[0].kind != CEL_MAP || !cel_is_key(key)) {
        return cel_fail_kinds(run, node, "[]", args, 2);
    }
    if (cel_member(&args[0], key, &run->steps, &out)) {
        return out;
    }
    return run->steps == 0 ? cel_fail_spent(run, node) : no_such_key(run, node, key);
}

/* ---- lists and maps ---- */

static struct cel_value eval_items(struct cel_run *run, const struct cel_node *node)
{
    struct cel_value *items = cel_alloc(run, node->count * sizeof *items);
    if (items == NULL) {
        return cel_fail_spent(run, node);
    }
    for (size_t i = 0; i < node->count; i++) {
        items[i] = cel_eval(run, node->args[i]);
        if (items[i].kind == CEL_ERROR) {
            return items[i];
        }
    }
    return (struct cel_value){.kind = CEL_LIST, .items = items, .len = node->count};
}

static struct cel_value eval_map(struct cel_run *run, const struct cel_node *node)
{
    struct cel_value map = eval_items(run, node), unused;
    if (map.kind == CEL_ERROR) {
        return map;
    }
    map.kind = CEL_MAP;
    map.len = 0;
    for (size_t i = 0; i < node->count; i += 2, map.len++) {
        const struct cel_value *key = &map.items[i];
        if (key->kind != CEL_STRING && key->kind != CEL_INT && key->kind != CEL_UINT &&
            key->kind != CEL_BOOL) {
            return cel_fail(run, node->args[i],
                "the keys of a map are strings, ints, uints or "
                "bools, not %s",
                cel_kind_noun(key->kind));
        }
        if (cel_member(&map, key, &run->steps, &unused)) {
            return cel_fail(run, node->args[i], "the map has this key twice");
        }
    }
    return map;
}

/* ---- logic ---- */

/* Any side that decides wins over errors of the others, wherever it stands. */
static struct cel_value eval_logic(struct cel_run *run, const struct cel_node *node)
{
    bool deciding = node->op == CEL_OP_OR;
    struct cel_value error = {.kind = CEL_NULL};
    for (size_t i = 0; i < node->count; i++) {
        struct cel_value side = cel_eval(run, node->args[i]);
        if (side.kind == CEL_BOOL) {
            if (side.truth == deciding) {
                return side;
            }
        } else if (error.kind != CEL_ERROR) {
            error = side.kind == CEL_ERROR
                        ? side
                        : cel_fail_kinds(run, node->args[i], cel_op_sign(node->op), &side, 1);
        }
        if (run->spent != NULL) {
            break;
        }
    }
    return error.kind == CEL_ERROR ? error : cel_truth(!deciding);
}

static struct cel_value eval_choose(struct cel_run *run, const struct cel_node *node)
{
    struct cel_value condition = cel_eval(run, node->args[0]);
    if (condition.kind == CEL_ERROR) {
        return condition;
    }
    if (condition.kind != CEL_BOOL) {
        return cel_fail_kinds(run, node, "?:", &condition, 1);
    }
    return cel_eval(run, node->args[condition.truth ? 1 : 2]);
}

/* ---- all ---- */

static struct cel_value eval_call(struct cel_run *run, const struct cel_node *node)
{
    const struct cel_function *f = node->function;
    struct cel_value args[CEL_ARGS_MAX];
    bool fits = true;
    for (size_t i = 0; i < node->count; i++) {
        args[i] = cel_eval(run, node->args[i]);
        if (args[i].kind == CEL_ERROR) {
            return args[i];
        }
        fits &= (f->takes[i] & CEL_BIT(args[i].kind)) != 0;
    }
    return fits ? f->call(run, node, args, node->count)
                : cel_fail_kinds(run, node, f->name, args, node->count);
}

static struct cel_value eval_operator(struct cel_run *run, const struct cel_node *node)
{
    struct cel_value args[2] = {{.kind = CEL_NULL}, {.kind = CEL_NULL}};
    for (size_t i = 0; i < node->count; i++) {
        args[i] = cel_eval(run, node->args[i]);
        if (args[i].kind == CEL_ERROR) {
            return args[i];
        }
    }
    return cel_operate(run, node, args);
}

struct cel_value cel_eval(struct cel_run *run, const struct cel_node *node)
{
    if (run->spent != NULL || !cel_spend(run, 1)) {
        return cel_fail_spent(run, node);
    }
    switch (node->op) {
    case CEL_OP_LITERAL:
        return node->value;
    case CEL_OP_NAME:
        return eval_name(run, node);
    case CEL_OP_LOCAL:
        return run->locals[node->slot];
    case CEL_OP_FIELD:
        return eval_field(run, node);
    case CEL_OP_INDEX:
        return eval_index(run, node);
    case CEL_OP_CALL:
        return eval_call(run, node);
    case CEL_OP_LIST:
        return eval_items(run, node);
    case CEL_OP_MAP:
        return eval_map(run, node);
    case CEL_OP_AND:
    case CEL_OP_OR:
        return eval_logic(run, node);
    case CEL_OP_CHOOSE:
        return eval_choose(run, node);
    case CEL_OP_HAS:
        return eval_has(run, node);
    case CEL_OP_ALL:
    case CEL_OP_EXISTS:
    case CEL_OP_EXISTS_ONE:
    case CEL_OP_SELECT:
    case CEL_OP_CONVERT:
    case CEL_OP_CONVERT_MAP:
        return cel_eval_macro(run, node);
    case CEL_OP_NOT:
    case CEL_OP_NEGATE:
    case CEL_OP_MULTIPLY:
    case CEL_OP_DIVIDE:
    case CEL_OP_REMAINDER:
    case CEL_OP_ADD:
    case CEL_OP_SUBTRACT:
    case CEL_OP_EQUAL:
    case CEL_OP_UNEQUAL:
    case CEL_OP_LESS:
    case CEL_OP_LESS_EQUAL:
    case CEL_OP_GREATER:
    case CEL_OP_GREATER_EQUAL:
    case CEL_OP_IN:
        break;
    }
    return eval_operator(run, node);
}
