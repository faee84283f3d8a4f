/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be told of an expression before there are values: variables, functions, macros. What is
 * constant is computed here, once.
 */
#include "webhooks/cel/tree.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/cel/function.h"
#include "webhooks/cel/regex.h"
#include "webhooks/cel/text.h"

#define CONSTANTS_MAX                                                                              \
    (64 << 10) /* bytes kept with the expression; what needs more is computed anew */

struct checker {
    const char *source;
    const char *const *variables;
    struct err *err;
    struct cel_run run; /* for constants */
    const char *locals[2 * CEL_LOOPS_MAX];
    unsigned depth; /* of locals */
    unsigned loops;
};

static int check(struct checker *c, struct cel_node *node);

/* ---- names ---- */

static const struct {
    const char *name;
    enum cel_kind kind;
} types[] = {
    {"bool", CEL_BOOL},
    {"bytes", CEL_BYTES},
    {"double", CEL_DOUBLE},
    {"google.protobuf.Duration", CEL_DURATION},
    {"google.protobuf.Timestamp", CEL_TIMESTAMP},
    {"int", CEL_INT},
    {"list", CEL_LIST},
    {"map", CEL_MAP},
    {"null_type", CEL_NULL},
    {"string", CEL_STRING},
    {"type", CEL_ERROR},
    {"uint", CEL_UINT},
};

static bool make_type(struct cel_node *node, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].name, name) == 0) {
            node->op = CEL_OP_LITERAL;
            node->count = 0;
            node->value = (struct cel_value){.kind = CEL_TYPE, .type = types[i].kind};
            return true;
        }
    }
    return false;
}

static bool is_variable(const struct checker *c, const char *name)
{
    for (size_t i = 0; c->variables[i] != NULL; i++) {
        if (strcmp(c->variables[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_bound(const struct checker *c, const char *name)
{
    for (unsigned i = 0; i < c->depth; i++) {
        if (strcmp(c->locals[i], name) == 0) {
            return true;
        }
    }
    return is_variable(c, name);
}

static int unknown_name(struct checker *c, const struct cel_node *node)
{
    struct buf list;
    buf_init(&list, 512);
    for (size_t i = 0; c->variables[i] != NULL; i++) {
        buf_addf(&list, "%s%s", i > 0 ? ", " : "", c->variables[i]);
    }
    const char *near = text_nearest(node->name, c->variables);
    const char *fix = cel_function_find(node->name) != NULL ? "; a function is called with (...)"
                                                            : "; texts are quoted";
    cel_complain(c->err, c->source, node->start, node->end, "unknown variable%s%s%s there %s%s%s",
        near != NULL ? "; did you mean " : ";", near != NULL ? near : "", near != NULL ? "?" : "",
        list.len > 0 ? "is " : "are none", buf_str(&list), fix);
    buf_done(&list);
    return -1;
}

static int check_name(struct checker *c, struct cel_node *node)
{
    for (unsigned i = c->depth; i > 0 && !node->is_rooted; i--) {
        if (strcmp(c->locals[i - 1], node->name) == 0) {
            node->op = CEL_OP_LOCAL;
            node->slot = i - 1;
            return 0;
        }
    }
    return is_variable(c, node->name) || make_type(node, node->name) ? 0 : unknown_name(c, node);
}

/* google.protobuf.Timestamp and ...Duration are names of types. */
static bool is_type_path(struct checker *c, struct cel_node *node)
{
    const struct cel_node *package = node->args[0];
    if (package->op != CEL_OP_FIELD || strcmp(package->name, "protobuf") != 0 ||
        package->args[0]->op != CEL_OP_NAME || strcmp(package->args[0]->name, "google") != 0 ||
        is_variable(c, "google")) {
        return false;
    }
    const char *name = strcmp(node->name, "Timestamp") == 0  ? "google.protobuf.Timestamp"
                       : strcmp(node->name, "Duration") == 0 ? "google.protobuf.Duration"
                                                             : "";
    return make_type(node, name);
}

/* ---- macros ---- */

static const struct macro {
    const char *name, *form;
    enum cel_op op;
    size_t min, max;  /* arguments, with the receiver */
    size_t pair_from; /* as many arguments mean two variables */
} macros[] = {
    {"all", "list.all(x, condition) or map.all(k, v, condition)", CEL_OP_ALL, 3, 4, 4},
    {"exists", "list.exists(x, condition) or map.exists(k, v, condition)", CEL_OP_EXISTS, 3, 4, 4},
    {"exists_one", "list.exists_one(x, condition) or map.exists_one(k, v, condition)",
        CEL_OP_EXISTS_ONE, 3, 4, 4},
    {"existsOne", "list.existsOne(x, condition) or map.existsOne(k, v, condition)",
        CEL_OP_EXISTS_ONE, 3, 4, 4},
    {"filter", "list.filter(x, condition)", CEL_OP_SELECT, 3, 3, 9},
    {"map", "list.map(x, value) or list.map(x, condition, value)", CEL_OP_CONVERT, 3, 4, 9},
    {"transformList", "map.transformList(k, v, value), or (k, v, condition, value)", CEL_OP_CONVERT,
        4, 5, 4},
    {"transformMap", "map.transformMap(k, v, value), or (k, v, condition, value)",
        CEL_OP_CONVERT_MAP, 4, 5, 4},
};

static const struct macro *macro_find(const struct cel_node *node)
{
    for (size_t i = 0; i < ARRAY_LEN(macros); i++) {
        if (strcmp(macros[i].name, node->name) == 0) {
            return &macros[i];
        }
    }
    return NULL;
}

static int check_loop_name(
    struct checker *c, const struct cel_node *name, const struct macro *macro)
{
    return name->op == CEL_OP_NAME && !name->is_rooted
               ? 0
               : cel_complain(c->err, c->source, name->start, name->end,
                     "expected a name for the items here: %s", macro->form);
}

static int too_many_loops(struct checker *c, const struct cel_node *node)
{
    cel_complain(c->err, c->source, node->start, node->end,
        "more than %d of all(), exists(), map() and filter() in each other", CEL_LOOPS_MAX);
    if (c->err != NULL) {
        c->err->code = ERR_LIMIT;
    }
    return -1;
}

static int check_loop(struct checker *c, struct cel_node *node, const struct macro *macro)
{
    if (!node->is_method || node->count < macro->min || node->count > macro->max) {
        return cel_complain(
            c->err, c->source, node->start, node->end, "write it as %s", macro->form);
    }
    node->is_pair = node->count >= macro->pair_from;
    size_t names = node->is_pair ? 2 : 1;
    for (size_t i = 1; i <= names; i++) {
        if (check_loop_name(c, node->args[i], macro) != 0) {
            return -1;
        }
    }
    if (c->loops == CEL_LOOPS_MAX) {
        return too_many_loops(c, node);
    }
    if (check(c, node->args[0]) != 0) {
        return -1;
    }
    node->slot = c->depth;
    c->loops++;
    for (size_t i = 1; i <= names; i++) {
        c->locals[c->depth++] = node->args[i]->name;
    }
    for (size_t i = 1 + names; i < node->count; i++) {
        if (check(c, node->args[i]) != 0) {
            return -1;
        }
        node->args[i - names] = node->args[i];
    }
    c->depth -= (unsigned)names;
    c->loops--;
    node->count -= names;
    node->op = macro->op;
    return 0;
}

static int check_has(struct checker *c, struct cel_node *node)
{
    if (node->count != 1 || node->args[0]->op != CEL_OP_FIELD) {
        return cel_complain(c->err, c->source, node->start, node->end,
            "has() takes a member written with a point, has(x.y); for other keys write 'y' in x");
    }
    node->op = CEL_OP_HAS;
    return check(c, node->args[0]->args[0]);
}

/* ---- functions ---- */

/* math.abs(x) reads like a method of a variable math; it is one when there is such a variable. */
static void check_package(struct checker *c, struct cel_node *node)
{
    const struct cel_node *package = node->is_method ? node->args[0] : NULL;
    if (package == NULL || package->op != CEL_OP_NAME || is_bound(c, package->name)) {
        return;
    }
    const char *name = pool_printf(c->run.pool, "%s.%s", package->name, node->name);
    if (cel_function_find(name) != NULL) {
        node->name = name;
        node->is_method = false;
        node->args++;
        node->count--;
    }
}

/* math.greatest(a, b, ...) is math.greatest([a, b, ...]). */
static void check_variadic(struct checker *c, struct cel_node *node)
{
    bool takes_list =
        node->function->call == cel_call_greatest || node->function->call == cel_call_least;
    if (!takes_list || node->count < 2) {
        return;
    }
    struct cel_node *list = pool_alloc(c->run.pool, sizeof *list);
    *list = (struct cel_node){.op = CEL_OP_LIST,
        .start = node->start,
        .end = node->end,
        .height = node->height,
        .args = node->args,
        .count = node->count};
    node->args = pool_calloc(c->run.pool, 1, sizeof(struct cel_node *));
    node->args[0] = list;
    node->count = 1;
}

/* Also what is only forgotten to be of a package: quote() for strings.quote(). */
static const char *nearest_function(const char *name)
{
    const char *const *names = cel_function_names();
    for (size_t i = 0; names[i] != NULL; i++) {
        const char *point = strchr(names[i], '.');
        if (point != NULL && strcmp(point + 1, name) == 0) {
            return names[i];
        }
    }
    return text_nearest(name, names);
}

static int unknown_function(struct checker *c, const struct cel_node *node)
{
    const char *near = nearest_function(node->name);
    return cel_complain(c->err, c->source, node->start, node->end, "unknown function %s%s%s%s",
        node->name, near != NULL ? "; did you mean " : "", near != NULL ? near : "",
        near != NULL ? "?" : "; the functions there are stand in the documentation of filters");
}

static int check_function(struct checker *c, struct cel_node *node)
{
    check_package(c, node);
    const struct cel_function *f = cel_function_find(node->name);
    if (f == NULL) {
        return unknown_function(c, node);
    }
    node->function = f;
    check_variadic(c, node);
    if (node->is_method ? !f->is_method : !f->is_global) {
        return cel_complain(c->err, c->source, node->start, node->end,
            node->is_method ? "%s is no method; write %s(x)" : "%s is a method; write x.%s(...)",
            f->name, f->name);
    }
    if (node->count < f->min || node->count > f->max) {
        unsigned self = node->is_method ? 1 : 0, min = f->min - self, max = f->max - self;
        struct buf wanted;
        buf_init(&wanted, 64);
        buf_addf(&wanted, "%u", min);
        if (max > min) {
            buf_addf(&wanted, " to %u", max);
        }
        cel_complain(c->err, c->source, node->start, node->end, "%s takes %s argument%s, not %zu",
            f->name, buf_str(&wanted), max == 1 ? "" : "s", node->count - self);
        buf_done(&wanted);
        return -1;
    }
    return 0;
}

/* A constant pattern is compiled once, and refused here when it is none. */
static int check_regex(struct checker *c, struct cel_node *node)
{
    if (node->function->call != cel_call_matches || node->args[1]->op != CEL_OP_LITERAL ||
        node->args[1]->value.kind != CEL_STRING) {
        return 0;
    }
    const struct cel_node *pattern = node->args[1];
    char problem[256];
    node->regex = cel_regex_compile(c->run.pool, pattern->value.text, pattern->value.len, problem);
    return node->regex != NULL ? 0
                               : cel_complain(c->err, c->source, pattern->start, pattern->end,
                                     "not a regular expression of RE2: %s", problem);
}

static int check_call(struct checker *c, struct cel_node *node)
{
    const struct macro *macro = macro_find(node);
    if (macro != NULL) {
        return check_loop(c, node, macro);
    }
    if (!node->is_method && strcmp(node->name, "has") == 0) {
        return check_has(c, node);
    }
    /* before its arguments: in x.any(i, i > 1) it is not i that is wrong */
    if (check_function(c, node) != 0) {
        return -1;
    }
    for (size_t i = 0; i < node->count; i++) {
        if (check(c, node->args[i]) != 0) {
            return -1;
        }
    }
    return check_regex(c, node);
}

/* ---- constants ---- */

static bool is_foldable(const struct cel_node *node)
{
    bool is_fixed = node->op != CEL_OP_LITERAL && node->op != CEL_OP_NAME &&
                    node->op != CEL_OP_LOCAL && node->op != CEL_OP_HAS;
    for (size_t i = 0; i < node->count && is_fixed; i++) {
        is_fixed = node->args[i]->op == CEL_OP_LITERAL;
    }
    return is_fixed;
}

/* What gives an error stays: only evaluation tells whether it matters. */
static void fold(struct checker *c, struct cel_node *node)
{
    if (!is_foldable(node)) {
        return;
    }
    struct cel_value value = cel_eval(&c->run, node);
    if (value.kind != CEL_ERROR && c->run.spent == NULL) {
        node->op = CEL_OP_LITERAL;
        node->value = value;
        node->count = 0;
    }
}

static int check(struct checker *c, struct cel_node *node)
{
    if (node->op == CEL_OP_NAME) {
        return check_name(c, node);
    }
    if (node->op == CEL_OP_FIELD && is_type_path(c, node)) {
        return 0;
    }
    if (node->op == CEL_OP_CALL) {
        if (check_call(c, node) != 0) {
            return -1;
        }
    } else {
        for (size_t i = 0; i < node->count; i++) {
            if (check(c, node->args[i]) != 0) {
                return -1;
            }
        }
    }
    fold(c, node);
    return 0;
}

int cel_check(struct cel *cel, const char *const *variables, struct err *err)
{
    struct checker c = {.source = cel->text,
        .variables = variables,
        .err = err,
        .run = {.source = cel->text,
            .pool = cel->pool,
            .steps = CEL_STEPS_MAX,
            .bytes = CONSTANTS_MAX}};
    return check(&c, cel->root);
}
