/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluating the macros over lists and maps. */
#include "webhooks/cel/eval.h"

#include <stdio.h>

#include "base/util.h"

struct loop {
    struct cel_value range;
    size_t at;
    struct cel_map_walk walk;
};

/*
 * The next item of a list, or key of a map, into the macro's variable; with two variables its
 * position, or the key, and the item.
 */
static bool loop_next(struct cel_run *run, const struct cel_node *node, struct loop *loop)
{
    struct cel_value *first = &run->locals[node->slot], unused;
    struct cel_value *second = node->is_pair ? first + 1 : &unused;
    if (loop->range.kind == CEL_MAP) {
        return cel_map_next(&loop->range, &loop->walk, first, second);
    }
    if (loop->at == loop->range.len) {
        return false;
    }
    *(node->is_pair ? second : first) = cel_item(&loop->range, loop->at);
    if (node->is_pair) {
        *first = cel_int((int64_t)loop->at);
    }
    loop->at++;
    return true;
}

/* False with *out an error, when the range is none. */
static bool loop_start(
    struct cel_run *run, const struct cel_node *node, struct loop *loop, struct cel_value *out)
{
    *loop = (struct loop){.range = cel_eval(run, node->args[0])};
    *out = loop->range;
    if (out->kind == CEL_LIST || out->kind == CEL_MAP) {
        return true;
    }
    if (out->kind != CEL_ERROR) {
        char name[40];
        snprintf(name, sizeof name, "%.30s()", node->name);
        *out = cel_fail_kinds(run, node, name, &loop->range, 1);
    }
    return false;
}

/* The condition for the item in its slot: a bool or an error. */
static struct cel_value loop_condition(struct cel_run *run, const struct cel_node *node)
{
    struct cel_value value = cel_eval(run, node->args[1]);
    return value.kind == CEL_BOOL || value.kind == CEL_ERROR
               ? value
               : cel_fail(run, node->args[1], "the condition of %s() gives %s, not true or false",
                     node->name, cel_kind_noun(value.kind));
}

/* all() and exists() are && and || over the items. */
static struct cel_value eval_all_or_exists(struct cel_run *run, const struct cel_node *node)
{
    bool deciding = node->op == CEL_OP_EXISTS;
    struct loop loop;
    struct cel_value error = {.kind = CEL_NULL}, value;
    if (!loop_start(run, node, &loop, &value)) {
        return value;
    }
    while (loop_next(run, node, &loop)) {
        value = loop_condition(run, node);
        if (value.kind == CEL_BOOL && value.truth == deciding) {
            return value;
        }
        if (value.kind == CEL_ERROR && error.kind != CEL_ERROR) {
            error = value;
        }
        if (run->spent != NULL) {
            break;
        }
    }
    return error.kind == CEL_ERROR ? error : cel_truth(!deciding);
}

static struct cel_value eval_exists_one(struct cel_run *run, const struct cel_node *node)
{
    struct loop loop;
    struct cel_value value;
    size_t found = 0;
    if (!loop_start(run, node, &loop, &value)) {
        return value;
    }
    while (loop_next(run, node, &loop)) {
        value = loop_condition(run, node);
        if (value.kind == CEL_ERROR) {
            return value;
        }
        found += value.truth;
    }
    return cel_truth(found == 1);
}

/* filter(), map(), transformList() and transformMap(). */
static struct cel_value eval_collect(struct cel_run *run, const struct cel_node *node)
{
    struct loop loop;
    struct cel_value value;
    bool is_map = node->op == CEL_OP_CONVERT_MAP;
    if (!loop_start(run, node, &loop, &value)) {
        return value;
    }
    struct cel_value *items = cel_alloc(run, loop.range.len * (1 + is_map) * sizeof *items);
    if (items == NULL) {
        return cel_fail_spent(run, node);
    }
    size_t count = 0;
    bool has_condition = node->op == CEL_OP_SELECT || node->count == 3;
    while (loop_next(run, node, &loop)) {
        struct cel_value first = run->locals[node->slot];
        if (has_condition) {
            value = loop_condition(run, node);
            if (value.kind == CEL_ERROR) {
                return value;
            }
            if (!value.truth) {
                continue;
            }
        }
        value = node->op == CEL_OP_SELECT ? first : cel_eval(run, node->args[node->count - 1]);
        if (value.kind == CEL_ERROR) {
            return value;
        }
        if (is_map) {
            items[2 * count] = first;
        }
        items[is_map ? 2 * count + 1 : count] = value;
        count++;
    }
    return (struct cel_value){.kind = is_map ? CEL_MAP : CEL_LIST, .items = items, .len = count};
}

struct cel_value cel_eval_macro(struct cel_run *run, const struct cel_node *node)
{
    return node->op == CEL_OP_ALL || node->op == CEL_OP_EXISTS ? eval_all_or_exists(run, node)
           : node->op == CEL_OP_EXISTS_ONE                     ? eval_exists_one(run, node)
                                                               : eval_collect(run, node);
}
