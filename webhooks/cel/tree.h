/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of an expression and what its stages share: tokens (token.c) are parsed into nodes
 * (parse.c), whose names are then resolved and whose constants are computed (check.c). Nodes live
 * in the pool of the struct cel.
 */
#ifndef WEBHOOKS_CEL_TREE_H
#define WEBHOOKS_CEL_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "webhooks/cel/value.h"

struct err;
struct pool;
struct cel_function;
struct cel_regex;

enum cel_op {
    CEL_OP_LITERAL, /* value */
    CEL_OP_NAME,    /* a variable */
    CEL_OP_LOCAL,   /* a macro's variable: slot */
    CEL_OP_FIELD,   /* args[0] . name */
    CEL_OP_INDEX,   /* args[0] [ args[1] ] */
    CEL_OP_CALL,    /* a method's receiver is args[0] */
    CEL_OP_LIST,
    CEL_OP_MAP, /* key, value, key, value, ... */
    CEL_OP_NOT,
    CEL_OP_NEGATE,
    CEL_OP_MULTIPLY,
    CEL_OP_DIVIDE,
    CEL_OP_REMAINDER,
    CEL_OP_ADD,
    CEL_OP_SUBTRACT,
    CEL_OP_EQUAL,
    CEL_OP_UNEQUAL,
    CEL_OP_LESS,
    CEL_OP_LESS_EQUAL,
    CEL_OP_GREATER,
    CEL_OP_GREATER_EQUAL,
    CEL_OP_IN,
    CEL_OP_AND, /* of all args */
    CEL_OP_OR,
    CEL_OP_CHOOSE, /* args[0] ? args[1] : args[2] */
    CEL_OP_HAS,    /* args[0] is the member */
    /* macros over args[0]; the item is in the local `slot` while the others are evaluated */
    CEL_OP_ALL,
    CEL_OP_EXISTS,
    CEL_OP_EXISTS_ONE,
    CEL_OP_SELECT,      /* .filter(x, args[1]) */
    CEL_OP_CONVERT,     /* .map(x, args[1]), or .map(x, args[1], args[2]): args[1] selects */
    CEL_OP_CONVERT_MAP, /* .transformMap(k, v, ...), likewise */
};

struct cel_node {
    enum cel_op op;
    uint32_t start, end; /* bytes of the source */
    unsigned height;
    bool is_method; /* CALL */
    bool is_rooted; /* NAME: written .x, so it is no macro's variable */
    bool is_pair;   /* macro with two variables: key or position in `slot`, value behind it */
    unsigned slot;
    const char *name; /* NAME, FIELD, CALL, macro */
    size_t name_len;
    struct cel_value value;              /* LITERAL */
    const struct cel_function *function; /* CALL, once checked */
    const struct cel_regex *regex;       /* CALL of matches() with a constant pattern */
    struct cel_node **args;
    size_t count;
};

struct cel {
    struct pool *pool;
    const char *text;
    struct cel_node *root;
};

/* ---- tokens ---- */

enum cel_token_kind {
    CEL_TOKEN_END,
    CEL_TOKEN_NAME,
    CEL_TOKEN_QUOTED_NAME, /* `a-b` */
    CEL_TOKEN_INT,         /* natural; at most 2^63, which needs a minus before it */
    CEL_TOKEN_UINT,
    CEL_TOKEN_DOUBLE,
    CEL_TOKEN_STRING,
    CEL_TOKEN_BYTES,
    CEL_TOKEN_SIGN, /* operators and brackets; `true`, `false`, `null` and `in` are names */
};

struct cel_token {
    enum cel_token_kind kind;
    size_t start, end;
    const char *text; /* NAME, SIGN; STRING, BYTES: the content */
    size_t len;
    uint64_t natural;
    double real;
};

/* Read the token at *at and move behind it. -1 and err. */
int cel_token_next(struct pool *pool, const char *source, size_t *at, struct cel_token *out,
    struct err *err) __attribute__((warn_unused_result));

/* ERR_INVALID with the column and the source between start and end. Returns -1. */
int cel_complain(struct err *err, const char *source, size_t start, size_t end, const char *fmt,
    ...) __attribute__((format(printf, 5, 6)));

/* Columns count characters, not bytes, from 1. */
size_t cel_column(const char *source, size_t at);

/* ---- stages ---- */

struct cel_node *cel_parse(struct pool *pool, const char *source, struct err *err);
/* Resolve names, functions and macros; compute what is constant. */
int cel_check(struct cel *cel, const char *const *variables, struct err *err)
    __attribute__((warn_unused_result));

/* "+", "<" */
const char *cel_op_sign(enum cel_op op);

#endif
