/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tokens to a tree, by CEL's grammar:
 *
 *   expr    := or [ "?" or ":" expr ]
 *   or      := and { "||" and }              and  := rel { "&&" rel }
 *   rel     := sum { ( == != < <= > >= in ) sum }
 *   sum     := product { ( + - ) product }   product := unary { ( * / % ) unary }
 *   unary   := "!" { "!" } member | "-" { "-" } member | member
 *   member  := primary { "." name [ "(" list ")" ] | "[" expr "]" }
 *   primary := literal | [ "." ] name [ "(" list ")" ] | "(" expr ")"
 *            | "[" [ list [ "," ] ] "]" | "{" [ expr ":" expr { "," ... } [ "," ] ] "}"
 */
#include "webhooks/cel/tree.h"

#include <string.h>

#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"

struct parser {
    struct pool *pool;
    const char *source;
    size_t at;  /* behind the token */
    size_t end; /* of the token before it */
    struct cel_token token;
    struct err *err;
    unsigned nesting;
    size_t nodes;
};

struct list {
    struct cel_node **items;
    size_t count, room;
};

static const struct {
    const char *sign;
    enum cel_op op;
    int level; /* binds tighter when higher */
} operators[] = {
    {"==", CEL_OP_EQUAL, 1},
    {"!=", CEL_OP_UNEQUAL, 1},
    {"<", CEL_OP_LESS, 1},
    {"<=", CEL_OP_LESS_EQUAL, 1},
    {">", CEL_OP_GREATER, 1},
    {">=", CEL_OP_GREATER_EQUAL, 1},
    {"in", CEL_OP_IN, 1},
    {"+", CEL_OP_ADD, 2},
    {"-", CEL_OP_SUBTRACT, 2},
    {"*", CEL_OP_MULTIPLY, 3},
    {"/", CEL_OP_DIVIDE, 3},
    {"%", CEL_OP_REMAINDER, 3},
};

const char *cel_op_sign(enum cel_op op)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (operators[i].op == op) {
            return operators[i].sign;
        }
    }
    return op == CEL_OP_AND      ? "&&"
           : op == CEL_OP_OR     ? "||"
           : op == CEL_OP_NOT    ? "!"
           : op == CEL_OP_NEGATE ? "-"
                                 : "?";
}

static struct cel_node *parse_expr(struct parser *p);

/* ---- tokens ---- */

static int advance(struct parser *p)
{
    p->end = p->token.end;
    return cel_token_next(p->pool, p->source, &p->at, &p->token, p->err);
}

static bool is_sign(const struct parser *p, const char *sign)
{
    return p->token.kind == CEL_TOKEN_SIGN && strcmp(p->token.text, sign) == 0;
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->token.kind == CEL_TOKEN_NAME && strcmp(p->token.text, word) == 0;
}

static struct cel_node *unexpected(struct parser *p, const char *wanted)
{
    const struct cel_token *t = &p->token;
    if (t->kind == CEL_TOKEN_END) {
        cel_complain(p->err, p->source, t->start, t->start,
            "the expression ends too early; expected %s", wanted);
    } else {
        cel_complain(p->err, p->source, t->start, t->end, "expected %s here", wanted);
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

static struct cel_node *too_much(struct parser *p, const char *what, unsigned max)
{
    cel_complain(p->err, p->source, p->token.start, p->token.end,
        "the expression has more than %u %s; make it simpler", max, what);
    if (p->err != NULL) {
        p->err->code = ERR_LIMIT;
    }
    return NULL;
}

/* A node that ends before the present token. */
static struct cel_node *make(
    struct parser *p, enum cel_op op, size_t start, struct cel_node *const *args, size_t count)
{
    if (++p->nodes > CEL_NODES_MAX) {
        return too_much(p, "parts (names, literals, operators)", CEL_NODES_MAX);
    }
    struct cel_node *node = pool_alloc(p->pool, sizeof *node);
    *node = (struct cel_node){
        .op = op, .start = (uint32_t)start, .end = (uint32_t)p->end, .count = count};
    if (count > 0) {
        node->args = pool_calloc(p->pool, count, sizeof *node->args);
        memcpy(node->args, args, count * sizeof *args);
    }
    for (size_t i = 0; i < count; i++) {
        node->height = args[i]->height >= node->height ? args[i]->height + 1 : node->height;
    }
    if (node->height > CEL_HEIGHT_MAX) {
        return too_much(p, "operators on top of each other", CEL_HEIGHT_MAX);
    }
    return node;
}

static struct cel_node *make_named(struct parser *p, enum cel_op op, size_t start,
    const struct cel_token *name, struct cel_node *const *args, size_t count)
{
    struct cel_node *node = make(p, op, start, args, count);
    if (node != NULL) {
        node->name = name->text;
        node->name_len = name->len;
    }
    return node;
}

static struct cel_node *make_literal(struct parser *p, size_t start, const struct cel_value *value)
{
    struct cel_node *node = make(p, CEL_OP_LITERAL, start, NULL, 0);
    if (node != NULL) {
        node->value = *value;
    }
    return node;
}

static void list_add(struct parser *p, struct list *list, struct cel_node *node)
{
    if (list->count == list->room) {
        list->room = list->room == 0 ? 4 : list->room * 2;
        struct cel_node **items = pool_calloc(p->pool, list->room, sizeof(struct cel_node *));
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof(struct cel_node *));
        }
        list->items = items;
    }
    list->items[list->count++] = node;
}

static int list_parse(struct parser *p, struct list *list)
{
    struct cel_node *node = parse_expr(p);
    if (node == NULL) {
        return -1;
    }
    list_add(p, list, node);
    return 0;
}

/* Everything up to `close`, which is eaten too. */
static int parse_list(
    struct parser *p, const char *close, bool is_map, bool may_trail, struct list *out)
{
    while (!is_sign(p, close)) {
        if (is_sign(p, "?")) {
            cel_complain(p->err, p->source, p->token.start, p->token.end,
                "optional items are not supported; write cond ? [item] : []");
            return -1;
        }
        if (list_parse(p, out) != 0) {
            return -1;
        }
        if (is_map && (expect(p, ":", "an operator or ':'") != 0 || list_parse(p, out) != 0)) {
            return -1;
        }
        if (is_sign(p, close)) {
            break;
        }
        if (!is_sign(p, ",")) {
            unexpected(p, is_map                    ? "an operator, ',' or '}'"
                          : strcmp(close, ")") == 0 ? "an operator, ',' or ')'"
                                                    : "an operator, ',' or ']'");
            return -1;
        }
        if (advance(p) != 0) {
            return -1;
        }
        if (!may_trail && is_sign(p, close)) {
            unexpected(p, "an argument");
            return -1;
        }
    }
    return advance(p);
}

/* ---- grammar ---- */

/* A number, string, bytes, true, false or null; a minus before it is at start. */
static struct cel_node *parse_literal(struct parser *p, size_t start, bool is_negative)
{
    const struct cel_token t = p->token;
    struct cel_value value = {.kind = CEL_NULL};
    if (t.kind == CEL_TOKEN_INT) {
        if (t.natural > INT64_MAX && !is_negative) {
            cel_complain(p->err, p->source, t.start, t.end,
                "is beyond the 64-bit integers (9223372036854775807); write a double, with a "
                "point");
            return NULL;
        }
        value.kind = CEL_INT;
        value.integer = (int64_t)(is_negative ? -t.natural : t.natural);
    } else if (t.kind == CEL_TOKEN_UINT) {
        value.kind = CEL_UINT;
        value.natural = t.natural;
    } else if (t.kind == CEL_TOKEN_DOUBLE) {
        value.kind = CEL_DOUBLE;
        value.real = is_negative ? -t.real : t.real;
    } else if (t.kind == CEL_TOKEN_STRING || t.kind == CEL_TOKEN_BYTES) {
        value.kind = t.kind == CEL_TOKEN_STRING ? CEL_STRING : CEL_BYTES;
        value.text = t.text;
        value.len = t.len;
    } else if (!is_word(p, "null")) {
        value.kind = CEL_BOOL;
        value.truth = is_word(p, "true");
    }
    return advance(p) == 0 ? make_literal(p, start, &value) : NULL;
}

static const char *reserved_word(const struct cel_token *token)
{
    static const char *const words[] = {"as", "break", "const", "continue", "else", "for",
        "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void",
        "while"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(words[i], token->text) == 0) {
            return words[i];
        }
    }
    return NULL;
}

static bool is_constant_word(const struct parser *p)
{
    return is_word(p, "true") || is_word(p, "false") || is_word(p, "null");
}

/* The name of a member or method. */
static int check_selector(struct parser *p)
{
    bool is_name = p->token.kind == CEL_TOKEN_NAME || p->token.kind == CEL_TOKEN_QUOTED_NAME;
    if (is_sign(p, "?")) {
        return cel_complain(p->err, p->source, p->token.start, p->token.end,
            "optional members are not supported; ask has(x.member) before");
    }
    if (is_name && (is_constant_word(p) || is_word(p, "in"))) {
        return cel_complain(p->err, p->source, p->token.start, p->token.end,
            "is no name of a member; write ['%s']", p->token.text);
    }
    if (!is_name) {
        unexpected(p, "a name");
        return -1;
    }
    return 0;
}

/* A name, or name(arguments) with the receiver, if any, as the first of them. */
static struct cel_node *parse_named(struct parser *p, size_t start, struct cel_node *receiver)
{
    const struct cel_token name = p->token;
    struct list args = {0};
    if (receiver != NULL) {
        list_add(p, &args, receiver);
    }
    if (advance(p) != 0) {
        return NULL;
    }
    if (!is_sign(p, "(") || name.kind == CEL_TOKEN_QUOTED_NAME) {
        return make_named(
            p, receiver != NULL ? CEL_OP_FIELD : CEL_OP_NAME, start, &name, args.items, args.count);
    }
    if (advance(p) != 0 || parse_list(p, ")", false, false, &args) != 0) {
        return NULL;
    }
    struct cel_node *node = make_named(p, CEL_OP_CALL, start, &name, args.items, args.count);
    if (node != NULL) {
        node->is_method = receiver != NULL;
    }
    return node;
}

static struct cel_node *parse_name(struct parser *p)
{
    size_t start = p->token.start;
    bool is_rooted = is_sign(p, ".");
    if (is_rooted && advance(p) != 0) {
        return NULL;
    }
    if (p->token.kind != CEL_TOKEN_NAME || is_word(p, "in") || is_constant_word(p)) {
        return unexpected(p, is_rooted ? "a name" : "a value");
    }
    const char *reserved = reserved_word(&p->token);
    if (reserved != NULL) {
        cel_complain(p->err, p->source, p->token.start, p->token.end,
            "is a reserved word of CEL and cannot be a name here");
        return NULL;
    }
    struct cel_node *node = parse_named(p, start, NULL);
    if (node != NULL) {
        node->is_rooted = is_rooted;
    }
    return node;
}

static struct cel_node *parse_primary(struct parser *p)
{
    size_t start = p->token.start;
    bool is_map = is_sign(p, "{");
    if (is_map || is_sign(p, "[")) {
        struct list items = {0};
        if (advance(p) != 0 || parse_list(p, is_map ? "}" : "]", is_map, true, &items) != 0) {
            return NULL;
        }
        return make(p, is_map ? CEL_OP_MAP : CEL_OP_LIST, start, items.items, items.count);
    }
    if (is_sign(p, "(")) {
        struct cel_node *node;
        bool is_fine = advance(p) == 0 && (node = parse_expr(p)) != NULL &&
                       expect(p, ")", "an operator or ')'") == 0;
        return is_fine ? node : NULL;
    }
    bool is_literal =
        is_constant_word(p) || (p->token.kind >= CEL_TOKEN_INT && p->token.kind <= CEL_TOKEN_BYTES);
    return is_literal ? parse_literal(p, start, false) : parse_name(p);
}

static struct cel_node *parse_members(struct parser *p, size_t start, struct cel_node *node)
{
    while (node != NULL && (is_sign(p, "[") || is_sign(p, "."))) {
        bool is_index = is_sign(p, "[");
        if (advance(p) != 0) {
            return NULL;
        }
        if (is_index) {
            struct cel_node *args[2] = {node, parse_expr(p)};
            if (args[1] == NULL || expect(p, "]", "an operator or ']'") != 0) {
                return NULL;
            }
            node = make(p, CEL_OP_INDEX, start, args, 2);
        } else {
            node = check_selector(p) == 0 ? parse_named(p, start, node) : NULL;
        }
    }
    if (node != NULL && is_sign(p, "{") && (node->op == CEL_OP_NAME || node->op == CEL_OP_FIELD)) {
        cel_complain(p->err, p->source, node->start, p->token.end,
            "protobuf messages are not supported; a map is written {'key': value}");
        return NULL;
    }
    return node;
}

/* As many signs as there are are one step: two of them are none, but each checks the kind. */
static struct cel_node *parse_unary(struct parser *p)
{
    bool is_minus = is_sign(p, "-");
    size_t start = p->token.start; /* not the node's, which is without its brackets */
    if (!is_minus && !is_sign(p, "!")) {
        return parse_members(p, start, parse_primary(p));
    }
    size_t signs = 0, last = start;
    for (const char *sign = is_minus ? "-" : "!"; is_sign(p, sign); signs++) {
        last = p->token.start;
        if (advance(p) != 0) {
            return NULL;
        }
    }
    size_t inner = p->token.start;
    bool is_number = p->token.kind == CEL_TOKEN_INT || p->token.kind == CEL_TOKEN_DOUBLE;
    struct cel_node *node;
    if (is_minus && is_number) {
        node = parse_members(p, last, parse_literal(p, last, true));
        signs--;
    } else {
        node = parse_members(p, inner, parse_primary(p));
    }
    for (; node != NULL && signs > 0; signs--) {
        node = make(p, is_minus ? CEL_OP_NEGATE : CEL_OP_NOT, start, &node, 1);
    }
    return node;
}

/* Relations, sums and products from `level` on up; they group to the left. */
static struct cel_node *parse_sides(struct parser *p, int level)
{
    size_t start = p->token.start;
    struct cel_node *node = parse_unary(p);
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
        struct cel_node *args[2] = {node, parse_sides(p, operators[i].level + 1)};
        node = args[1] != NULL ? make(p, operators[i].op, start, args, 2) : NULL;
    }
    return node;
}

/* a || b || c is one node: how they are grouped makes no difference to CEL. */
static struct cel_node *parse_logic(struct parser *p, enum cel_op op)
{
    size_t start = p->token.start;
    struct list sides = {0};
    for (;;) {
        struct cel_node *side = op == CEL_OP_OR ? parse_logic(p, CEL_OP_AND) : parse_sides(p, 1);
        if (side == NULL) {
            return NULL;
        }
        if (sides.count == 0 && !is_sign(p, cel_op_sign(op))) {
            return side;
        }
        list_add(p, &sides, side);
        if (!is_sign(p, cel_op_sign(op))) {
            return make(p, op, start, sides.items, sides.count);
        }
        if (advance(p) != 0) {
            return NULL;
        }
    }
}

static struct cel_node *parse_expr(struct parser *p)
{
    if (++p->nesting > CEL_NESTING_MAX) {
        return too_much(p, "nested brackets", CEL_NESTING_MAX);
    }
    size_t start = p->token.start;
    struct cel_node *node = parse_logic(p, CEL_OP_OR);
    if (node != NULL && is_sign(p, "?")) {
        struct cel_node *args[3] = {node, NULL, NULL};
        if (advance(p) != 0 || (args[1] = parse_logic(p, CEL_OP_OR)) == NULL ||
            expect(p, ":", "an operator or ':'") != 0 || (args[2] = parse_expr(p)) == NULL) {
            return NULL;
        }
        node = make(p, CEL_OP_CHOOSE, start, args, 3);
    }
    p->nesting--;
    return node;
}

struct cel_node *cel_parse(struct pool *pool, const char *source, struct err *err)
{
    struct parser p = {.pool = pool, .source = source, .err = err};
    if (advance(&p) != 0) {
        return NULL;
    }
    struct cel_node *node = parse_expr(&p);
    if (node != NULL && p.token.kind != CEL_TOKEN_END) {
        return unexpected(&p, "an operator or the end");
    }
    return node;
}
