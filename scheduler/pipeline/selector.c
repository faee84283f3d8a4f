/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parameterExpressionSelector: an expression that picks a piece out of a value. The kfp compiler
 * writes only parseJson(string_value)["key"]; hand-written files may index further:
 *
 *   expr  := base ( "[" string "]" | "[" integer "]" | "." name )*
 *   base  := "parseJson" "(" expr ")" | string_value | number_value | bool_value
 *          | struct_value | list_value
 */
#include "scheduler/plan.h"

#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/draft.h"
#include "pipeline/expression.h"
#include "pipeline/expression_tree.h"
#include "pipeline/value.h"

#include <string.h>

static const char grammar[] =
    "only parseJson(string_value)[\"key\"] and the like are understood: parseJson(...), "
    "string_value, number_value, bool_value, struct_value, list_value, then [\"key\"], [0] or "
    ".name";

/* The members of protobuf's Value; every value has a text, the others one kind each. */
static const char *const names[] = {
    "string_value", "number_value", "bool_value", "struct_value", "list_value", NULL};
static const enum value_type kinds[] = {
    VALUE_STRING, VALUE_DOUBLE, VALUE_BOOLEAN, VALUE_STRUCT, VALUE_LIST};

/* A selector is a chain: the name it begins with, or NULL when it is more than a selector. */
static const char *first_name(const struct expression_node *node)
{
    for (;; node = node->args[0]) {
        switch (node->op) {
        case EXPRESSION_OP_NAME:
            return node->text;
        case EXPRESSION_OP_FIELD:
            break;
        case EXPRESSION_OP_INDEX:
            if (node->args[1]->op != EXPRESSION_OP_LITERAL ||
                (node->args[1]->kind != EXPRESSION_STRING &&
                    (node->args[1]->kind != EXPRESSION_INT || node->args[1]->integer < 0))) {
                return NULL;
            }
            break;
        case EXPRESSION_OP_CALL:
            if (node->function->id != EXPRESSION_FN_PARSE_JSON) {
                return NULL;
            }
            break;
        default:
            return NULL;
        }
    }
}

static const struct expression *compile(
    struct pool *pool, const char *selector, const char **name_out)
{
    struct err unused = ERR_INIT; /* the grammar is short enough to be told whole */
    const struct expression *e = expression_compile(pool, selector, names, &unused);
    *name_out = e != NULL ? first_name(e->root) : NULL;
    return *name_out != NULL ? e : NULL;
}

const char *selector_trouble(const char *selector)
{
    struct pool *pool CLEANUP(pool_freep) = pool_new();
    const char *name;
    return compile(pool, selector, &name) != NULL ? NULL : grammar;
}

/* The one variable that the selector asks for. */
static json_t *variable(const char *name, const json_t *value, struct err *err)
{
    size_t i = 0;
    while (strcmp(names[i], name) != 0) {
        i++;
    }
    json_t *item = NULL;
    if (kinds[i] == VALUE_STRING) {
        item = value_coerce(value, VALUE_STRING, "value", err);
    } else if (value_is_kind(value, kinds[i])) {
        item = json_incref((json_t *)value);
    } else {
        err_set(err, ERR_INVALID, "the value is of another kind than %s", name);
    }
    return item != NULL ? json_pack("{s:o}", name, item) : NULL;
}

json_t *selector_apply(const char *selector, const json_t *value, const char *what, struct err *err)
{
    struct pool *pool CLEANUP(pool_freep) = pool_new();
    const char *name;
    const struct expression *e = compile(pool, selector, &name);
    if (e == NULL) {
        err_set(err, ERR_INVALID, "%s: selector '%.200s': %s", what, selector, grammar);
        return NULL;
    }
    json_t *variables CLEANUP(json_decrefp) = variable(name, value, err);
    json_t *out = variables != NULL ? expression_eval(e, variables, err) : NULL;
    if (out == NULL) {
        err_wrap(err, "%s: selector", what);
    }
    return out;
}
