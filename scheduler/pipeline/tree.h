/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document as it was written: scalars with their source text, lists and maps, each with its
 * line and column. It comes from YAML (yaml.c) or from JSON that arrived over the API, and lives
 * in a pool.
 */
#ifndef PIPELINE_TREE_H
#define PIPELINE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

struct complaints;
struct pool;

enum tree_kind {
    TREE_SCALAR,
    TREE_LIST,
    TREE_MAP,
};

/* What a reader took a scalar for. It decides how the scalar looks as JSON. */
enum tree_want {
    WANT_ANYTHING, /* the YAML rules decide */
    WANT_TEXT,     /* a string field: 1.0 stays the text "1.0" */
    WANT_NUMBER,   /* declared numeric: 1e3, which YAML 1.1 calls text, is a number */
};

struct tree;
struct tree_pair {
    const char *key;
    struct tree *value;
    unsigned line, column; /* of the key */
};

struct tree {
    enum tree_kind kind;
    enum tree_want want;
    bool is_plain;         /* SCALAR: written without quotes, so it may be a number, null, ... */
    unsigned line, column; /* 1-based; 0 when it came from JSON */
    unsigned height;       /* levels of lists and maps below and including this one */
    size_t weight;         /* nodes below and including this one, aliases written out */
    size_t count;          /* SCALAR: length of text; else children */
    union {
        const char *text; /* NUL-terminated, valid UTF-8, without inner NULs */
        struct tree **items;
        struct tree_pair *pairs;
    };
};

enum scalar_type {
    SCALAR_NULL,
    SCALAR_BOOL,
    SCALAR_NUMBER,
    SCALAR_TEXT,
};

#define TREE_MAX_BYTES (32u << 20)
#define TREE_MAX_NODES 500000u
#define TREE_MAX_DEPTH 256u

/*
 * Read all documents of a YAML stream. Refuses what cannot be a pipeline or could hurt: more
 * than TREE_MAX_*, aliases that grow, duplicate keys, unknown tags. Returns -1 when nothing
 * usable came out; the complaints say why, with line and column.
 */
int yaml_read(const char *text, size_t len, struct pool *pool, struct tree ***docs_out,
    size_t *count_out, struct complaints *complaints);

/* The same from JSON. Lines are 0. NULL and a complaint when it is too deep or too large. */
struct tree *tree_from_json(const json_t *json, struct pool *pool, struct complaints *complaints);

/* What a scalar is by itself: only plain ones are ever typed. */
enum scalar_type tree_scalar_type(const struct tree *node);
/* NULL is fine: absent and null are the same to every reader. */
bool tree_is_null(const struct tree *node);
/* Decimal, 0x, 0o, 0b, with exponent: true and the number. Infinity and NaN are not numbers. */
bool tree_number(const char *text, json_t **out);

/* Value of the member, in camelCase or snake_case spelling; NULL when absent. */
struct tree *tree_get(const struct tree *map, const char *camel);
/* True if key is this camelCase name or its snake_case spelling. */
bool tree_name_is(const char *key, const char *camel);

/* JSON value of a node; scalars by `want`, integral numbers as integers. New reference. */
json_t *tree_json(const struct tree *node);
/*
 * Mark a value of a declared kind. False when a shared node (YAML alias) was already taken
 * for the other kind.
 */
bool tree_want(struct tree *node, enum tree_want want);

#endif
