/* SPDX-License-Identifier: Apache-2.0 */
/* What evaluating operators (expression_eval.c) and functions (expression_function.c) share. */
#ifndef PIPELINE_EXPRESSION_EVAL_H
#define PIPELINE_EXPRESSION_EVAL_H

#include "pipeline/expression_value.h"

struct evaluation {
    struct pool *pool;
    const char *source;
    const json_t *variables;
    size_t work_left;
};

/* An ERROR: the source of the node, then the message. */
struct expression_value expression_fail(struct evaluation *e, const struct expression_node *node,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
struct expression_value expression_truth(bool truth);
/* ERROR because the work is spent. */
struct expression_value expression_fail_work(
    struct evaluation *e, const struct expression_node *node);

/* A function other than has(), with its arguments evaluated; none of them is an ERROR. */
struct expression_value expression_call(
    struct evaluation *e, const struct expression_node *node, const struct expression_value *args);

#endif
