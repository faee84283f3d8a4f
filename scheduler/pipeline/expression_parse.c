/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tokens to a tree, by CEL's grammar:
 *
 *   expr    := or [ "?" or ":" expr ]
 *   or      := and { "||" and }              and  := rel { "&&" rel }
 *   rel     := sum { ( == != < <= > >= in ) sum }
 *   sum     := product { ( + - ) product }   product := unary { ( * / % ) unary }
 *   unary   := ( "!" | "-" ) unary | member
 *   member  := primary { "." name [ "(" list ")" ] | "[" expr "]" }
 *   primary := literal | name [ "(" list ")" ] | "(" expr ")" | "[" list "]"
 *            | "{" [ expr ":" expr { "," expr ":" expr } ] "}"
 */
#include "pipeline/expression_tree.h"

#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"

#include <string.h>

struct parser {
    struct pool *pool;
    const char *source;
    size_t at;  /* behind the token */
    size_t end; /* of the token before it */
    struct expression_token token, before;
    struct err *err;
    unsigned nesting;
    size_t nodes;
};

static const struct {
    const char *sign;
    enum expression_op op;
    int level; /* binds tighter when higher */
} operators[] = {
    {"||", EXPRESSION_OP_OR, 1},
    {"&&", EXPRESSION_OP_AND, 2},
    {"==", EXPRESSION_OP_EQUAL, 3},
    {"!=", EXPRESSION_OP_UNEQUAL, 3},
    {"<", EXPRESSION_OP_LESS, 3},
    {"<=", EXPRESSION_OP_LESS_EQUAL, 3},
    {">", EXPRESSION_OP_GREATER, 3},
    {">=", EXPRESSION_OP_GREATER_EQUAL, 3},
    {"in", EXPRESSION_OP_IN, 3},
    {"+", EXPRESSION_OP_ADD, 4},
    {"-", EXPRESSION_OP_SUBTRACT, 4},
    {"*", EXPRESSION_OP_MULTIPLY, 5},
    {"/", EXPRESSION_OP_DIVIDE, 5},
    {"%", EXPRESSION_OP_REMAINDER, 5},
};

static struct expression_node *parse_expr(struct parser *p);

/* ---- tokens ---- */

static int advance(struct parser *p)
{
    p->before = p->token;
    return expression_token_next(p->pool, p->source, &p->at, &p->token, p->err);
}

static bool is_sign(const struct parser *p, const char *sign)
{
    return p->token.kind == EXPRESSION_TOKEN_SIGN && strcmp(p->token.text, sign) == 0;
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->token.kind == EXPRESSION_TOKEN_NAME && strcmp(p->token.text, word) == 0;
}

/*
 * The SDK compares an integer channel with a string as 'int(inputs.parameter_values['x'])': the
 * inner quotes end the string, and what is within them stands between two strings.
 */
static bool is_broken_quoting(const struct parser *p)
{
    const struct expression_token *t = &p->before;
    return t->kind == EXPRESSION_TOKEN_STRING &&
           (str_starts(t->text, "int(") || str_starts(t->text, "double(") ||
               str_starts(t->text, "inputs."));
}

static struct expression_node *unexpected(struct parser *p, const char *wanted)
{
    const struct expression_token *t = &p->token;
    if (is_broken_quoting(p)) {
        expression_error(p->err, p->source, p->before.start, t->end,
            "the quotes are wrong: the quote within ends the string. The kfp SDK writes this when "
            "a pipeline compares an integer with a string; compare it with a number, or "
            "declare the producer's output as str");
    } else if (t->kind == EXPRESSION_TOKEN_END) {
        expression_error(p->err, p->source, t->start, t->start,
            "the expression ends too early; expected %s", wanted);
    } else {
        expression_error(p->err, p->source, t->start, t->end, "expected %s here", wanted);
    }
    return NULL;
}

static int expect(struct parser *p, const char *sign, const char *wanted)
{
    if (!is_sign(p, sign)) {
        unexpected(p, wanted);
        return -1;
    }
    return advance(p);
}

/* ---- nodes ---- */

static struct expression_node *too_much(struct parser *p, const char *what, unsigned max)
{
    expression_error(p->err, p->source, p->token.start, p->token.end,
        "the expression has more than %u %s; make it simpler, or have a task work it out", max,
        what);
    p->err->code = ERR_LIMIT;
    return NULL;
}

/* Takes copies of the argument pointers; NULL and err past a ceiling. */
static struct expression_node *make(struct parser *p, enum expression_op op, size_t start,
    struct expression_node *const *args, size_t count)
{
    if (++p->nodes > EXPRESSION_MAX_NODES) {
        return too_much(p, "parts", EXPRESSION_MAX_NODES);
    }
    struct expression_node *node = pool_alloc(p->pool, sizeof *node);
    node->op = op;
    node->start = start;
    node->end = p->before.end;
    node->count = count;
    node->args = pool_calloc(p->pool, count, sizeof *node->args);
    for (size_t i = 0; i < count; i++) {
        node->args[i] = args[i];
        node->height = args[i]->height > node->height ? args[i]->height : node->height;
    }
    if (++node->height > EXPRESSION_MAX_HEIGHT) {
        return too_much(p, "levels", EXPRESSION_MAX_HEIGHT);
    }
    return node;
}

static struct expression_node *make_text(struct parser *p, enum expression_op op, size_t start,
    struct expression_node *const *args, size_t count, const struct expression_token *name)
{
    struct expression_node *node = make(p, op, start, args, count);
    if (node != NULL) {
        node->text = name->text;
        node->len = name->len;
    }
    return node;
}

/* A growing list of arguments; what is outgrown stays in the pool, which is bounded by length. */
struct list {
    struct expression_node **items;
    size_t count, cap;
};

static void list_add(struct parser *p, struct list *list, struct expression_node *node)
{
    if (list->count == list->cap) {
        struct expression_node **old = list->items;
        list->cap = list->cap == 0 ? 4 : list->cap * 2;
        list->items = pool_calloc(p->pool, list->cap, sizeof *list->items);
        if (list->count > 0) {
            memcpy(list->items, old, list->count * sizeof *old);
        }
    }
    list->items[list->count++] = node;
}

/* Expressions with commas between, up to and with the closing sign. */
static int parse_list(
    struct parser *p, const char *close, bool is_map, bool may_trail, struct list *out)
{
    while (!is_sign(p, close)) {
        struct expression_node *item = parse_expr(p);
        if (item == NULL) {
            return -1;
        }
        list_add(p, out, item);
        if (is_map) {
            if (expect(p, ":", "':' and the value") != 0 || (item = parse_expr(p)) == NULL) {
                return -1;
            }
            list_add(p, out, item);
        }
        if (!is_sign(p, ",")) {
            break;
        }
        if (advance(p) != 0) {
            return -1;
        }
        if (!may_trail && is_sign(p, close)) {
            unexpected(p, "another argument");
            return -1;
        }
    }
    return expect(p, close,
        is_map            ? "',' or '}'"
        : close[0] == ']' ? "',' or ']'"
                          : "an operator, ',' or ')'");
}

/* ---- the grammar, innermost first ---- */

static struct expression_node *parse_literal(struct parser *p, bool is_negative)
{
    const struct expression_token t = p->token;
    struct expression_node value = {0};
    if (t.kind == EXPRESSION_TOKEN_INT) {
        value.kind = EXPRESSION_INT;
        if (!is_negative && t.integer > INT64_MAX) {
            expression_error(p->err, p->source, t.start, t.end,
                "is beyond the 64-bit integers (9223372036854775807)");
            return NULL;
        }
        value.integer = (int64_t)(is_negative ? -t.integer : t.integer);
    } else if (t.kind == EXPRESSION_TOKEN_DOUBLE) {
        value.kind = EXPRESSION_DOUBLE;
        value.real = is_negative ? -t.real : t.real;
    } else if (t.kind == EXPRESSION_TOKEN_STRING) {
        value.kind = EXPRESSION_STRING;
    } else {
        value.kind = is_word(p, "null") ? EXPRESSION_NULL : EXPRESSION_BOOL;
        value.integer = is_word(p, "true");
    }
    size_t start = is_negative ? p->before.start : t.start;
    if (advance(p) != 0) {
        return NULL;
    }
    struct expression_node *node = make_text(p, EXPRESSION_OP_LITERAL, start, NULL, 0, &t);
    if (node != NULL) {
        node->kind = value.kind;
        node->integer = value.integer;
        node->real = value.real;
    }
    return node;
}

/* A name, or name(arguments) with the receiver, if any, as the first of them. */
static struct expression_node *parse_name(
    struct parser *p, size_t start, struct expression_node *receiver)
{
    const struct expression_token name = p->token;
    if (name.kind != EXPRESSION_TOKEN_NAME) {
        return unexpected(p, "a name");
    }
    struct list args = {0};
    if (receiver != NULL) {
        list_add(p, &args, receiver);
    }
    if (advance(p) != 0) {
        return NULL;
    }
    if (!is_sign(p, "(")) {
        return make_text(p, receiver != NULL ? EXPRESSION_OP_FIELD : EXPRESSION_OP_NAME, start,
            args.items, args.count, &name);
    }
    if (advance(p) != 0 || parse_list(p, ")", false, false, &args) != 0) {
        return NULL;
    }
    struct expression_node *node =
        make_text(p, EXPRESSION_OP_CALL, start, args.items, args.count, &name);
    if (node != NULL) {
        node->is_method = receiver != NULL;
    }
    return node;
}

static struct expression_node *parse_group(struct parser *p)
{
    struct expression_node *node;
    if (advance(p) != 0 || (node = parse_expr(p)) == NULL ||
        expect(p, ")", "an operator or ')'") != 0) {
        return NULL;
    }
    return node;
}

static struct expression_node *parse_primary(struct parser *p)
{
    size_t start = p->token.start;
    bool is_map = is_sign(p, "{");
    if (is_map || is_sign(p, "[")) {
        struct list items = {0};
        if (advance(p) != 0 || parse_list(p, is_map ? "}" : "]", is_map, true, &items) != 0) {
            return NULL;
        }
        return make(
            p, is_map ? EXPRESSION_OP_MAP : EXPRESSION_OP_LIST, start, items.items, items.count);
    }
    if (is_sign(p, "(")) {
        return parse_group(p);
    }
    if (is_sign(p, ".") || p->token.kind == EXPRESSION_TOKEN_END ||
        p->token.kind == EXPRESSION_TOKEN_SIGN || is_word(p, "in")) {
        return unexpected(p, "a value");
    }
    if (p->token.kind != EXPRESSION_TOKEN_NAME || is_word(p, "true") || is_word(p, "false") ||
        is_word(p, "null")) {
        return parse_literal(p, false);
    }
    return parse_name(p, start, NULL);
}

static struct expression_node *parse_members(
    struct parser *p, size_t start, struct expression_node *node)
{
    while (node != NULL) {
        bool is_index = is_sign(p, "[");
        if (!is_index && !is_sign(p, ".")) {
            break;
        }
        if (advance(p) != 0) {
            return NULL;
        }
        if (is_index) {
            struct expression_node *args[2] = {node, parse_expr(p)};
            if (args[1] == NULL || expect(p, "]", "an operator or ']'") != 0) {
                return NULL;
            }
            node = make(p, EXPRESSION_OP_INDEX, start, args, 2);
        } else {
            node = parse_name(p, start, node);
        }
    }
    return node;
}

static struct expression_node *parse_unary(struct parser *p)
{
    bool is_minus = is_sign(p, "-");
    size_t start = p->token.start; /* not the node's, which is without its brackets */
    if (!is_minus && !is_sign(p, "!")) {
        return parse_members(p, start, parse_primary(p));
    }
    if (++p->nesting > EXPRESSION_MAX_NESTING) {
        return too_much(p, "nested brackets and signs", EXPRESSION_MAX_NESTING);
    }
    if (advance(p) != 0) {
        return NULL;
    }
    struct expression_node *node;
    if (is_minus &&
        (p->token.kind == EXPRESSION_TOKEN_INT || p->token.kind == EXPRESSION_TOKEN_DOUBLE)) {
        node = parse_members(p, start, parse_literal(p, true));
    } else {
        node = parse_unary(p);
        if (node != NULL) {
            node = make(p, is_minus ? EXPRESSION_OP_NEGATE : EXPRESSION_OP_NOT, start, &node, 1);
        }
    }
    p->nesting--;
    return node;
}

/* Everything from `level` on up; all two-sided operators group to the left. */
static struct expression_node *parse_sides(struct parser *p, int level)
{
    size_t start = p->token.start;
    struct expression_node *node = parse_unary(p);
    while (node != NULL) {
        size_t i = 0;
        while (i < ARRAY_LEN(operators) &&
               !(is_sign(p, operators[i].sign) || is_word(p, operators[i].sign))) {
            i++;
        }
        if (i == ARRAY_LEN(operators) || operators[i].level < level) {
            break;
        }
        if (advance(p) != 0) {
            return NULL;
        }
        struct expression_node *args[2] = {node, parse_sides(p, operators[i].level + 1)};
        node = args[1] != NULL ? make(p, operators[i].op, start, args, 2) : NULL;
    }
    return node;
}

static struct expression_node *parse_expr(struct parser *p)
{
    if (++p->nesting > EXPRESSION_MAX_NESTING) {
        return too_much(p, "nested brackets and signs", EXPRESSION_MAX_NESTING);
    }
    size_t start = p->token.start;
    struct expression_node *node = parse_sides(p, 1);
    if (node != NULL && is_sign(p, "?")) {
        struct expression_node *args[3] = {node, NULL, NULL};
        if (advance(p) != 0 || (args[1] = parse_sides(p, 1)) == NULL ||
            expect(p, ":", "an operator or ':'") != 0 || (args[2] = parse_expr(p)) == NULL) {
            return NULL;
        }
        node = make(p, EXPRESSION_OP_CHOOSE, start, args, 3);
    }
    p->nesting--;
    return node;
}

struct expression_node *expression_parse(struct pool *pool, const char *source, struct err *err)
{
    struct parser p = {.pool = pool, .source = source, .err = err};
    if (advance(&p) != 0) {
        return NULL;
    }
    struct expression_node *node = parse_expr(&p);
    if (node != NULL && p.token.kind != EXPRESSION_TOKEN_END) {
        return unexpected(&p, "an operator or the end");
    }
    return node;
}
