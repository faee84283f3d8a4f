/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling and evaluating filter expressions: ceilings, stages, answers. */
#include "webhooks/cel/cel.h"

#include <string.h>

#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/cel/function.h"
#include "webhooks/cel/tree.h"

#define ANY_KIND (CEL_BIT(CEL_ERROR) - 1)

static int check_text(const char *text, struct err *err)
{
    size_t len = strlen(text);
    if (len > CEL_TEXT_MAX) {
        return err_set(err, ERR_LIMIT, "the expression has %zu bytes; at most %d are allowed", len,
            CEL_TEXT_MAX);
    }
    for (size_t at = 0; at < len;) {
        size_t step = utf8_step(text + at, len - at);
        if (step == 0) {
            return err_set(err, ERR_INVALID, "byte %zu of the expression is not UTF-8", at + 1);
        }
        at += step;
    }
    return 0;
}

/* CEL_BIT of every kind that a node may give, as far as that is known without values. */
static unsigned kinds_of(const struct cel_node *node)
{
    switch (node->op) {
    case CEL_OP_LITERAL:
        return CEL_BIT(node->value.kind);
    case CEL_OP_CALL:
        return node->function->gives;
    case CEL_OP_LIST:
    case CEL_OP_SELECT:
    case CEL_OP_CONVERT:
        return CEL_BIT(CEL_LIST);
    case CEL_OP_MAP:
    case CEL_OP_CONVERT_MAP:
        return CEL_BIT(CEL_MAP);
    case CEL_OP_NEGATE:
    case CEL_OP_MULTIPLY:
    case CEL_OP_DIVIDE:
    case CEL_OP_REMAINDER:
    case CEL_OP_ADD:
    case CEL_OP_SUBTRACT:
        return ANY_KIND & ~CEL_BIT(CEL_BOOL);
    case CEL_OP_CHOOSE:
        return kinds_of(node->args[1]) | kinds_of(node->args[2]);
    case CEL_OP_NAME:
    case CEL_OP_LOCAL:
    case CEL_OP_FIELD:
    case CEL_OP_INDEX:
        return ANY_KIND;
    case CEL_OP_NOT:
    case CEL_OP_EQUAL:
    case CEL_OP_UNEQUAL:
    case CEL_OP_LESS:
    case CEL_OP_LESS_EQUAL:
    case CEL_OP_GREATER:
    case CEL_OP_GREATER_EQUAL:
    case CEL_OP_IN:
    case CEL_OP_AND:
    case CEL_OP_OR:
    case CEL_OP_HAS:
    case CEL_OP_ALL:
    case CEL_OP_EXISTS:
    case CEL_OP_EXISTS_ONE:
        break;
    }
    return CEL_BIT(CEL_BOOL);
}

static bool uses_variables(const struct cel_node *node)
{
    bool uses = node->op == CEL_OP_NAME;
    for (size_t i = 0; i < node->count && !uses; i++) {
        uses = uses_variables(node->args[i]);
    }
    return uses;
}

static int not_bool(const struct cel_value *value, struct err *err)
{
    return err_set(err, ERR_INVALID,
        "the filter gives %s, not true or false; compare it, for example with ==",
        cel_kind_noun(value->kind));
}

/* A filter that cannot give a bool would never match; better refused than silent. */
static int check_filter(const struct cel *cel, struct err *err)
{
    unsigned kinds = kinds_of(cel->root);
    if ((kinds & CEL_BIT(CEL_BOOL)) == 0) {
        struct cel_value shown = {.kind = CEL_NULL};
        while (kinds != CEL_BIT(shown.kind) && shown.kind < CEL_ERROR) {
            shown.kind++;
        }
        return not_bool(&shown, err);
    }
    bool unused;
    return uses_variables(cel->root) ? 0 : cel_matches(cel, NULL, 0, &unused, err);
}

struct cel *cel_compile_value(const char *text, const char *const *variables, struct err *err)
{
    if (check_text(text, err) != 0) {
        return NULL;
    }
    struct pool *pool = pool_new();
    struct cel *cel = pool_alloc(pool, sizeof *cel);
    cel->pool = pool;
    cel->text = pool_strdup(pool, text);
    cel->root = cel_parse(pool, cel->text, err);
    if (cel->root == NULL || cel_check(cel, variables, err) != 0) {
        pool_free(pool);
        return NULL;
    }
    return cel;
}

struct cel *cel_compile(const char *text, const char *const *variables, struct err *err)
{
    struct cel *cel = cel_compile_value(text, variables, err);
    if (cel != NULL && check_filter(cel, err) != 0) {
        cel_freep(&cel);
    }
    return cel;
}

void cel_free(struct cel *cel)
{
    if (cel != NULL) {
        pool_free(cel->pool); /* cel is in it */
    }
}

void cel_freep(struct cel **cel)
{
    cel_free(*cel);
    *cel = NULL;
}

const char *cel_text(const struct cel *cel)
{
    return cel->text;
}

/* -1 and err when the value is an error. The caller frees run->pool. */
static int evaluate(
    const struct cel *cel, struct cel_run *run, struct cel_value *out, struct err *err)
{
    run->source = cel->text;
    run->steps = CEL_STEPS_MAX;
    run->bytes = CEL_BYTES_MAX;
    *out = cel_eval(run, cel->root);
    if ((run->spent != NULL || run->steps == 0) && out->kind != CEL_ERROR) {
        *out = cel_fail_spent(run, cel->root);
    }
    if (out->kind != CEL_ERROR) {
        return 0;
    }
    return err_set(err, run->spent != NULL ? ERR_LIMIT : ERR_INVALID, "column %zu: %s",
        cel_column(cel->text, (size_t)out->nanos), out->text);
}

int cel_matches(
    const struct cel *cel, const struct cel_var *vars, size_t count, bool *out, struct err *err)
{
    struct cel_run run = {.vars = vars, .var_count = count};
    struct cel_value value;
    int status = evaluate(cel, &run, &value, err);
    if (status == 0 && value.kind != CEL_BOOL) {
        status = not_bool(&value, err);
    }
    *out = status == 0 && value.truth;
    pool_free(run.pool);
    return status;
}

json_t *cel_evaluate(
    const struct cel *cel, const struct cel_var *vars, size_t count, struct err *err)
{
    struct cel_run run = {.vars = vars, .var_count = count};
    struct cel_value value;
    json_t *out = evaluate(cel, &run, &value, err) == 0 ? cel_to_json(&value) : NULL;
    pool_free(run.pool);
    return out;
}
