/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One evaluation. Errors are values (CEL_ERROR), since && and || let go of an error of one side
 * when the other side decides. What a ceiling stops stays stopped: cel_run.spent.
 */
#ifndef WEBHOOKS_CEL_EVAL_H
#define WEBHOOKS_CEL_EVAL_H

#include "webhooks/cel/cel.h"
#include "webhooks/cel/tree.h"

struct cel_run {
    const char *source;
    const struct cel_var *vars;
    size_t var_count;
    struct pool *pool; /* made when something is built; use cel_alloc */
    cel_steps steps;   /* left */
    size_t bytes;      /* left */
    const char *spent; /* which ceiling was hit, if any: nothing may hide it */
    struct cel_value locals[2 * CEL_LOOPS_MAX];
};

struct cel_value cel_eval(struct cel_run *run, const struct cel_node *node);
/* all(), exists(), map() and the others. */
struct cel_value cel_eval_macro(struct cel_run *run, const struct cel_node *node);

/* An error about node. */
struct cel_value cel_fail(struct cel_run *run, const struct cel_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "no such overload: + of an int and a string; advice" */
struct cel_value cel_fail_kinds(struct cel_run *run, const struct cel_node *node, const char *what,
    const struct cel_value *args, size_t count);
struct cel_value cel_fail_spent(struct cel_run *run, const struct cel_node *node);

/* Spend steps; false when there are none left. */
static inline bool cel_spend(struct cel_run *run, size_t steps)
{
    run->steps -= steps < run->steps ? steps : run->steps;
    return run->steps > 0;
}

/* What an evaluation builds; NULL when it may build no more (then return cel_fail_spent). */
void *cel_alloc(struct cel_run *run, size_t size);
/* A copy of text as a value, or an error. */
struct cel_value cel_text_value(struct cel_run *run, const struct cel_node *node,
    enum cel_kind kind, const char *text, size_t len);

static inline struct cel_value cel_truth(bool truth)
{
    return (struct cel_value){.kind = CEL_BOOL, .truth = truth};
}

static inline struct cel_value cel_int(int64_t integer)
{
    return (struct cel_value){.kind = CEL_INT, .integer = integer};
}

/* Arithmetic and comparison: args[0] op args[1], or op args[0]. */
struct cel_value cel_operate(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args);

#endif
