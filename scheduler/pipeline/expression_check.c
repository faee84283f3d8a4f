/* SPDX-License-Identifier: Apache-2.0 */
/* What can be told of an expression before there are values: names, functions, kinds. */
#include "pipeline/expression_tree.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"
#include "pipeline/complain.h"

#include <string.h>

struct checker {
    const char *source;
    const char *const *names;
    struct err *err;
};

static int check(struct checker *c, struct expression_node *node);

static int check_name(struct checker *c, const struct expression_node *node)
{
    struct buf list;
    buf_init(&list, 256);
    for (size_t i = 0; c->names[i] != NULL; i++) {
        if (strcmp(c->names[i], node->text) == 0) {
            buf_done(&list);
            return 0;
        }
        buf_addf(&list, "%s%s", i > 0 ? ", " : "", c->names[i]);
    }
    const char *fix = "";
    if (strcmp(node->text, "inf") == 0 || strcmp(node->text, "nan") == 0) {
        fix = "; that number is written double('inf') or double('nan')";
    } else if (expression_function_find(node->text) != NULL) {
        fix = "; a function is called with (...)";
    }
    expression_error(c->err, c->source, node->start, node->end,
        "is not known here; there is %s, and texts are quoted%s", buf_str(&list), fix);
    buf_done(&list);
    return -1;
}

static int unknown_function(struct checker *c, const struct expression_node *node)
{
    const char *absent = expression_function_absent(node->text);
    if (absent != NULL) {
        return expression_error(c->err, c->source, node->start, node->end,
            "%s() %s, which is not supported; have a task work it out", node->text, absent);
    }
    const char *near = nearest_name(node->text, expression_function_names());
    return expression_error(c->err, c->source, node->start, node->end,
        "there is no function %s%s%s; there is parseJson, int, double, string, bool, size, has, "
        "and of strings .startsWith, .endsWith, .contains",
        node->text, near != NULL ? ", did you mean " : "", near != NULL ? near : "");
}

static int check_call(struct checker *c, struct expression_node *node)
{
    const struct expression_function *f = node->function;
    if (node->is_method ? !f->is_method : !f->is_function) {
        return expression_error(c->err, c->source, node->start, node->end,
            node->is_method ? "%s is not a method; write %s(x)"
                            : "%s is a method of strings; write x.%s(y)",
            f->name, f->name);
    }
    if (node->count != f->count) {
        size_t self = node->is_method ? 1 : 0;
        return expression_error(c->err, c->source, node->start, node->end,
            "%s takes %zu argument%s, not %zu", f->name, f->count - self,
            f->count - self == 1 ? "" : "s", node->count - self);
    }
    if (f->id == EXPRESSION_FN_HAS && node->args[0]->op != EXPRESSION_OP_FIELD) {
        return expression_error(c->err, c->source, node->start, node->end,
            "has() takes a member written with a point, has(x.y); for other keys write 'y' in x");
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct expression_node *arg = node->args[i];
        if (arg->kind != EXPRESSION_DYN && (f->takes & EXPRESSION_BIT(arg->kind)) == 0) {
            return expression_error(c->err, c->source, node->start, node->end,
                "%s takes %s, not %s", f->name, f->takes_what, expression_kind_name(arg->kind));
        }
    }
    node->kind = f->gives;
    return 0;
}

static int check_one_sided(struct checker *c, struct expression_node *node)
{
    enum expression_kind kind = node->args[0]->kind;
    bool is_not = node->op == EXPRESSION_OP_NOT;
    bool fits =
        kind == EXPRESSION_DYN ||
        (is_not ? kind == EXPRESSION_BOOL : kind == EXPRESSION_INT || kind == EXPRESSION_DOUBLE);
    node->kind = is_not ? EXPRESSION_BOOL : kind;
    return fits ? 0
                : expression_error(c->err, c->source, node->start, node->end,
                      "%s takes %s, not %s%s", is_not ? "!" : "-", is_not ? "a bool" : "a number",
                      expression_kind_name(kind),
                      is_not ? "; put brackets around a comparison: !(a == b)" : "");
}

static int check_two_sided(struct checker *c, struct expression_node *node)
{
    enum expression_kind left = node->args[0]->kind, right = node->args[1]->kind;
    if (expression_op_takes(node->op, left, right, &node->kind)) {
        return 0;
    }
    const char *advice = expression_op_advice(node->op, left, right);
    return expression_error(c->err, c->source, node->start, node->end,
        "%s does not take %s and %s%s", expression_op_sign(node->op), expression_kind_name(left),
        expression_kind_name(right), advice);
}

static int check_choose(struct checker *c, struct expression_node *node)
{
    enum expression_kind kind = node->args[0]->kind;
    if (kind != EXPRESSION_DYN && kind != EXPRESSION_BOOL) {
        return expression_error(c->err, c->source, node->start, node->end,
            "what stands before ? must be true or false, not %s", expression_kind_name(kind));
    }
    node->kind = node->args[1]->kind == node->args[2]->kind ? node->args[1]->kind : EXPRESSION_DYN;
    return 0;
}

static int check_map(struct checker *c, struct expression_node *node)
{
    const unsigned keys = EXPRESSION_BIT(EXPRESSION_DYN) | EXPRESSION_BIT(EXPRESSION_STRING) |
                          EXPRESSION_BIT(EXPRESSION_INT) | EXPRESSION_BIT(EXPRESSION_BOOL);
    node->kind = EXPRESSION_MAP;
    for (size_t i = 0; i < node->count; i += 2) {
        const struct expression_node *key = node->args[i];
        if ((keys & EXPRESSION_BIT(key->kind)) == 0) {
            return expression_error(c->err, c->source, key->start, key->end,
                "the keys of a map are strings, ints or bools, not %s",
                expression_kind_name(key->kind));
        }
    }
    return 0;
}

static int check_field(struct checker *c, struct expression_node *node)
{
    enum expression_kind kind = node->args[0]->kind;
    return kind == EXPRESSION_DYN || kind == EXPRESSION_MAP
               ? 0
               : expression_error(c->err, c->source, node->start, node->end, "%s has no members",
                     expression_kind_name(kind));
}

/* The node itself, after what it is made of. */
static int check_here(struct checker *c, struct expression_node *node)
{
    switch (node->op) {
    case EXPRESSION_OP_LITERAL:
        return 0;
    case EXPRESSION_OP_NAME:
        return check_name(c, node);
    case EXPRESSION_OP_CALL:
        return check_call(c, node);
    case EXPRESSION_OP_FIELD:
        return check_field(c, node);
    case EXPRESSION_OP_LIST:
        node->kind = EXPRESSION_LIST;
        return 0;
    case EXPRESSION_OP_MAP:
        return check_map(c, node);
    case EXPRESSION_OP_NOT:
    case EXPRESSION_OP_NEGATE:
        return check_one_sided(c, node);
    case EXPRESSION_OP_CHOOSE:
        return check_choose(c, node);
    case EXPRESSION_OP_INDEX:
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
    case EXPRESSION_OP_AND:
    case EXPRESSION_OP_OR:
        break;
    }
    return check_two_sided(c, node);
}

static int check(struct checker *c, struct expression_node *node)
{
    if (node->op == EXPRESSION_OP_CALL) {
        /* before its arguments: in x.exists(i, i > 1) it is not i that is wrong */
        node->function = expression_function_find(node->text);
        if (node->function == NULL) {
            return unknown_function(c, node);
        }
    }
    for (size_t i = 0; i < node->count; i++) {
        if (check(c, node->args[i]) != 0) {
            return -1;
        }
    }
    return check_here(c, node);
}

int expression_check(
    const char *source, struct expression_node *node, const char *const *names, struct err *err)
{
    struct checker c = {.source = source, .names = names, .err = err};
    return check(&c, node);
}
