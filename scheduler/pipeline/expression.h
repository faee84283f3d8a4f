/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions: the part of CEL (Common Expression Language) that conditions and selectors need.
 * The grammar and the rules are in contrib/docs/pipelines.md, "Expressions". Compiled once into a
 * checked tree, evaluated against JSON as often as wanted. There are no loops and no own state,
 * so evaluation always ends; how much work it may do is bounded.
 */
#ifndef PIPELINE_EXPRESSION_H
#define PIPELINE_EXPRESSION_H

#include <jansson.h>

struct err;
struct expression;
struct pool;

/*
 * Compile text. The tree lives in the pool and borrows nothing. `names` (NULL-terminated) are
 * the variables there will be; any other is an error, as are unknown functions and kinds that
 * can never fit. NULL and ERR_INVALID or ERR_LIMIT: "column 7: 'token': rule; fix".
 */
const struct expression *expression_compile(
    struct pool *pool, const char *text, const char *const *names, struct err *err);

/*
 * Evaluate; `variables` is an object with a member for each name. Numbers in it are doubles, as
 * in protobuf's Value. New reference, or NULL and ERR_INVALID or ERR_LIMIT that names the part
 * of the expression and the values.
 */
json_t *expression_eval(
    const struct expression *expression, const json_t *variables, struct err *err);

#endif
