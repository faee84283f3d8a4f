/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of an expression and what its stages share: tokens (expression_token.c) are parsed
 * into nodes (expression_parse.c), checked by the rules (expression_rule.c, expression_check.c)
 * and evaluated (expression_eval.c). Everything lives in the pool that compiling was given.
 */
#ifndef PIPELINE_EXPRESSION_TREE_H
#define PIPELINE_EXPRESSION_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct pool;

#define EXPRESSION_MAX_BYTES (64u << 10)
#define EXPRESSION_MAX_NODES 10000
#define EXPRESSION_MAX_NESTING 100 /* brackets in brackets: how deep parsing recurses */
#define EXPRESSION_MAX_HEIGHT 1000 /* a + b + c + ...: how deep evaluating recurses */

enum expression_kind {
    EXPRESSION_DYN, /* not known before evaluation */
    EXPRESSION_NULL,
    EXPRESSION_BOOL,
    EXPRESSION_INT,
    EXPRESSION_DOUBLE,
    EXPRESSION_STRING,
    EXPRESSION_LIST,
    EXPRESSION_MAP,
    EXPRESSION_ERROR, /* of values only */
};
#define EXPRESSION_BIT(kind) (1u << (kind))
/* "a string", "an int" */
const char *expression_kind_name(enum expression_kind kind);

enum expression_op {
    EXPRESSION_OP_LITERAL,
    EXPRESSION_OP_NAME,
    EXPRESSION_OP_FIELD, /* args[0] . text */
    EXPRESSION_OP_INDEX, /* args[0] [ args[1] ] */
    EXPRESSION_OP_CALL,  /* a method's receiver is args[0] */
    EXPRESSION_OP_LIST,
    EXPRESSION_OP_MAP, /* key, value, key, value, ... */
    EXPRESSION_OP_NOT,
    EXPRESSION_OP_NEGATE,
    EXPRESSION_OP_MULTIPLY,
    EXPRESSION_OP_DIVIDE,
    EXPRESSION_OP_REMAINDER,
    EXPRESSION_OP_ADD,
    EXPRESSION_OP_SUBTRACT,
    EXPRESSION_OP_EQUAL,
    EXPRESSION_OP_UNEQUAL,
    EXPRESSION_OP_LESS,
    EXPRESSION_OP_LESS_EQUAL,
    EXPRESSION_OP_GREATER,
    EXPRESSION_OP_GREATER_EQUAL,
    EXPRESSION_OP_IN,
    EXPRESSION_OP_AND,
    EXPRESSION_OP_OR,
    EXPRESSION_OP_CHOOSE, /* args[0] ? args[1] : args[2] */
};

struct expression_node {
    enum expression_op op;
    enum expression_kind kind; /* as far as it is known when compiling */
    size_t start, end;         /* bytes of the source */
    unsigned height;
    bool is_method;
    const char *text; /* name, field, function or the literal string */
    size_t len;
    int64_t integer; /* also the literal bool */
    double real;
    const struct expression_function *function;
    struct expression_node **args;
    size_t count;
};

struct expression {
    const char *source;
    const struct expression_node *root;
};

/* ---- tokens ---- */

enum expression_token_kind {
    EXPRESSION_TOKEN_END,
    EXPRESSION_TOKEN_NAME,
    EXPRESSION_TOKEN_INT,
    EXPRESSION_TOKEN_DOUBLE,
    EXPRESSION_TOKEN_STRING,
    EXPRESSION_TOKEN_SIGN, /* operators and brackets; `true`, `false`, `null` and `in` are names */
};
struct expression_token {
    enum expression_token_kind kind;
    size_t start, end;
    const char *text; /* NAME, SIGN; STRING: its content */
    size_t len;
    uint64_t integer; /* at most 2^63: that is only one with a minus before it */
    double real;
};
/* Read the token at *at and move behind it. -1 and err. */
int expression_token_next(struct pool *pool, const char *source, size_t *at,
    struct expression_token *out, struct err *err) __attribute__((warn_unused_result));

/* ERR_INVALID with the column and the source between start and end. Returns -1. */
int expression_error(struct err *err, const char *source, size_t start, size_t end, const char *fmt,
    ...) __attribute__((format(printf, 5, 6)));

/* ---- stages ---- */

struct expression_node *expression_parse(struct pool *pool, const char *source, struct err *err);
/* Bottom up: fills in kind and function of every node. */
int expression_check(const char *source, struct expression_node *node, const char *const *names,
    struct err *err) __attribute__((warn_unused_result));

/* ---- rules ---- */

enum expression_function_id {
    EXPRESSION_FN_PARSE_JSON,
    EXPRESSION_FN_INT,
    EXPRESSION_FN_DOUBLE,
    EXPRESSION_FN_STRING,
    EXPRESSION_FN_BOOL,
    EXPRESSION_FN_SIZE,
    EXPRESSION_FN_HAS,
    EXPRESSION_FN_STARTS_WITH,
    EXPRESSION_FN_ENDS_WITH,
    EXPRESSION_FN_CONTAINS,
};
struct expression_function {
    const char *name;
    enum expression_function_id id;
    bool is_function, is_method;
    size_t count;   /* of arguments, with the receiver */
    unsigned takes; /* EXPRESSION_BIT of every kind that the arguments may have */
    const char *takes_what;
    enum expression_kind gives;
};
const struct expression_function *expression_function_find(const char *name);
/* Why CEL's `name` is not there, or NULL. */
const char *expression_function_absent(const char *name);
const char *const *expression_function_names(void);

/* "+", "<" */
const char *expression_op_sign(enum expression_op op);
/* Whether a two-sided operator (or INDEX) takes these kinds, and what it gives. DYN may be any. */
bool expression_op_takes(enum expression_op op, enum expression_kind left,
    enum expression_kind right, enum expression_kind *gives_out);
/* What to do about kinds it does not take; "" when there is nothing to say. */
const char *expression_op_advice(
    enum expression_op op, enum expression_kind left, enum expression_kind right);

#endif
