/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions that compare what is never alike or that are decided already, and tasks that never
 * run because of them.
 */
#include "pipeline/warn.h"

#include "base/err.h"
#include "base/map.h"
#include "base/util.h"
#include "pipeline/expression.h"
#include "pipeline/expression_tree.h"

#include <stdlib.h>
#include <string.h>

/* The condition being looked at. */
struct looker {
    struct draft *d;
    const struct draft_component *c; /* the DAG that the task is in */
    const struct draft_task *t;
    const struct path *path;
    struct place place;
    bool guards;   /* asks itself whether an input is there */
    bool open;     /* depends on what only a run knows */
    json_t *known; /* inputs whose value is a constant */
};

static const char *op_text(const struct expression_node *node)
{
    return node->op == EXPRESSION_OP_NAME || node->op == EXPRESSION_OP_FIELD ||
                   (node->op == EXPRESSION_OP_LITERAL && node->kind == EXPRESSION_STRING)
               ? node->text
               : NULL;
}

/* The name in inputs.parameter_values['x'], or NULL. */
static const char *input_name(const struct expression_node *node)
{
    if ((node->op != EXPRESSION_OP_INDEX || op_text(node->args[1]) == NULL) &&
        node->op != EXPRESSION_OP_FIELD) {
        return NULL;
    }
    const struct expression_node *map = node->args[0];
    bool is_map =
        map->op == EXPRESSION_OP_FIELD && map->args[0]->op == EXPRESSION_OP_NAME &&
        strcmp(map->args[0]->text, "inputs") == 0 &&
        (strcmp(map->text, "parameter_values") == 0 || strcmp(map->text, "parameters") == 0);
    return !is_map ? NULL : node->op == EXPRESSION_OP_FIELD ? node->text : node->args[1]->text;
}

static enum expression_kind kind_of_type(enum value_type type)
{
    switch (type) {
    case VALUE_STRING:
        return EXPRESSION_STRING;
    case VALUE_INTEGER:
    case VALUE_DOUBLE:
        return EXPRESSION_DOUBLE;
    case VALUE_BOOLEAN:
        return EXPRESSION_BOOL;
    case VALUE_LIST:
        return EXPRESSION_LIST;
    case VALUE_STRUCT:
    case VALUE_TASK_FINAL_STATUS:
    case VALUE_TASK_CONFIG:
        return EXPRESSION_MAP;
    }
    return EXPRESSION_DYN;
}

/* What an undeclared input gets is what its source has. */
static enum expression_kind source_kind(const struct looker *l, const struct draft_binding *b)
{
    const struct param_def *from = NULL;
    if (b->def.selector != NULL) {
        return EXPRESSION_DYN;
    }
    if (b->def.kind == SOURCE_COMPONENT_INPUT) {
        from = component_param_in(&l->c->def, b->def.source);
    } else if (b->def.kind == SOURCE_TASK_OUTPUT && b->def.producer >= 0) {
        const struct draft_task *producer = &l->c->tasks[b->def.producer];
        if (producer->iterator != NULL) {
            return EXPRESSION_LIST;
        }
        from = component_param_out(&producer->component->def, b->def.key);
    }
    return from != NULL ? kind_of_type(from->type) : EXPRESSION_DYN;
}

static enum expression_kind input_kind(const struct looker *l, const char *name)
{
    const struct param_def *p = component_param_in(&l->t->component->def, name);
    const struct draft_binding *b = find_binding(l->t->params, l->t->param_count, name);
    return p != NULL ? kind_of_type(p->type) : b != NULL ? source_kind(l, b) : EXPRESSION_DYN;
}

static enum expression_kind node_kind(const struct looker *l, const struct expression_node *node)
{
    const char *name = input_name(node);
    enum expression_kind kind = name != NULL ? input_kind(l, name) : node->kind;
    return kind == EXPRESSION_INT ? EXPRESSION_DOUBLE : kind;
}

static void warn_of_kinds(struct looker *l, const struct expression_node *node)
{
    enum expression_kind left = node_kind(l, node->args[0]), right = node_kind(l, node->args[1]);
    if (left == right || left == EXPRESSION_DYN || right == EXPRESSION_DYN ||
        left == EXPRESSION_NULL || right == EXPRESSION_NULL) {
        return;
    }
    bool is_equality = node->op == EXPRESSION_OP_EQUAL || node->op == EXPRESSION_OP_UNEQUAL;
    const char *what = !is_equality                      ? "which fails when it is evaluated"
                       : node->op == EXPRESSION_OP_EQUAL ? "which is always false"
                                                         : "which is always true";
    const char *names[2];
    enum expression_kind kinds[2] = {left, right};
    for (size_t i = 0; i < 2; i++) {
        names[i] = kinds[i] == EXPRESSION_DOUBLE ? "a number" : expression_kind_name(kinds[i]);
    }
    complain_mildly(l->d->complaints, l->place, l->path,
        "compares %s with %s, %s: %.*s; convert one side, as int(...) or string(...)", names[0],
        names[1], what, (int)(node->end - node->start < 200 ? node->end - node->start : 200),
        l->t->def.when->source + node->start);
}

/* What the condition knows of an input before there is a run. */
static void look_at_input(struct looker *l, const char *name)
{
    const struct param_def *p = component_param_in(&l->t->component->def, name);
    const struct draft_binding *b = find_binding(l->t->params, l->t->param_count, name);
    bool is_constant = b != NULL && b->def.kind == SOURCE_CONSTANT && b->def.constant != NULL &&
                       b->def.selector == NULL && !warn_is_open(b->def.constant);
    bool is_item = l->t->iterator != NULL && str_eq(l->t->iterator->item_input, name);
    if (is_constant) {
        struct err err = ERR_INIT;
        json_t *value = p != NULL ? value_coerce(b->def.constant, p->type, name, &err)
                                  : json_incref((json_t *)(uintptr_t)b->def.constant);
        l->open = l->open || value == NULL;
        if (value != NULL) {
            json_object_set_new(l->known, name, value);
        }
        return;
    }
    l->open = true;
    bool has_default = p != NULL && p->default_value != NULL;
    if (b == NULL && !has_default && !is_item && !l->guards) {
        complain_mildly(l->d->complaints, l->place, l->path,
            "reads the input '%s', which this task has not, so evaluating it fails; pass it in "
            "inputs.parameters",
            name);
    }
}

static void look(struct looker *l, const struct expression_node *node)
{
    const char *name = input_name(node);
    if (name != NULL) {
        look_at_input(l, name);
        return;
    }
    switch (node->op) {
    case EXPRESSION_OP_EQUAL:
    case EXPRESSION_OP_UNEQUAL:
    case EXPRESSION_OP_LESS:
    case EXPRESSION_OP_LESS_EQUAL:
    case EXPRESSION_OP_GREATER:
    case EXPRESSION_OP_GREATER_EQUAL:
        warn_of_kinds(l, node);
        break;
    case EXPRESSION_OP_NAME:
        l->open = true; /* the whole of inputs or outputs */
        break;
    default:
        break;
    }
    for (size_t i = 0; i < node->count; i++) {
        look(l, node->args[i]);
    }
}

static bool asks_for_keys(const struct expression_node *node)
{
    bool asks = node->op == EXPRESSION_OP_IN ||
                (node->function != NULL && node->function->id == EXPRESSION_FN_HAS);
    for (size_t i = 0; i < node->count && !asks; i++) {
        asks = asks_for_keys(node->args[i]);
    }
    return asks;
}

/* -1: never, 1: always, 0: a run will show. */
static int decide(struct draft *d, const struct draft_component *c, const struct draft_task *t,
    const struct path *path)
{
    struct path trigger = {.up = path, .key = "triggerPolicy"};
    struct path here = {.up = &trigger, .key = "condition"};
    const struct tree *node = tree_get(tree_get(t->node, "triggerPolicy"), "condition");
    struct looker l = {.d = d,
        .c = c,
        .t = t,
        .path = &here,
        .place = tree_place(node),
        .guards = asks_for_keys(t->def.when->root),
        .known = json_object()};
    look(&l, t->def.when->root);
    int decided = 0;
    json_t *input = json_pack("{s:{s:o}}", "inputs", "parameterValues", l.known);
    struct err err = ERR_INIT;
    bool holds;
    if (!l.open && condition_eval(t->def.when, input, &holds, &err) != 0) {
        complain_mildly(
            d->complaints, l.place, &here, "fails whenever it is evaluated: %s", err.msg);
    } else if (!l.open) {
        decided = holds ? 1 : -1;
        complain_mildly(d->complaints, l.place, &here, "is always %s%s", holds ? "true" : "false",
            holds ? "" : ", so this task never runs");
    }
    json_decref(input);
    return decided;
}

/* ---- who never runs ---- */

struct fates {
    struct draft *d;
    const struct draft_component *c;
    bool *never; /* by task */
};

static void warn_of_dep(struct fates *f, const struct draft_task *t, const struct draft_task *on,
    const struct path *path)
{
    bool never = f->never[on - f->c->tasks];
    if (never) {
        f->never[t - f->c->tasks] = true;
        complain_mildly(f->d->complaints, t->place, path,
            "never runs: it waits for '%s', which never runs", on->def.key);
    } else if (on->def.when != NULL) {
        complain_mildly(f->d->complaints, t->place, path,
            "is skipped with '%s' when its condition does not hold; put it inside of the "
            "condition, "
            "or choose with dsl.OneOf",
            on->def.key);
    }
}

/* Outputs of groups in which nothing ever runs that could give them. */
static void warn_of_empty_outputs(struct fates *f, const struct draft_component *c,
    const struct draft_output *list, size_t count, const struct path *dag, const char *kind)
{
    struct path outputs = {.up = dag, .key = "outputs"};
    struct path params = {.up = &outputs, .key = kind};
    for (size_t i = 0; i < count; i++) {
        bool ever = false;
        for (size_t k = 0; k < list[i].count && !ever; k++) {
            const struct draft_task *t = map_get(c->task_index, list[i].selectors[k].producer);
            ever = t == NULL || !f->never[t - c->tasks];
        }
        if (!ever) {
            struct path here = {.up = &params, .key = list[i].name};
            complain_mildly(f->d->complaints, list[i].place, &here,
                "never has a value: no task that could give it ever runs");
        }
    }
}

static int by_position(const void *a, const void *b)
{
    const struct draft_task *x = *(struct draft_task *const *)a;
    const struct draft_task *y = *(struct draft_task *const *)b;
    return x->position < y->position ? -1 : x->position > y->position;
}

static void warn_of_dag(struct draft *d, struct draft_component *c)
{
    struct warn_place place;
    warn_place_of(c, &place);
    struct fates f = {d, c, xcalloc(c->task_count, sizeof *f.never)};
    struct draft_task **order = xcalloc(c->task_count, sizeof *order);
    for (size_t i = 0; i < c->task_count; i++) {
        order[i] = &c->tasks[i];
    }
    qsort(order, c->task_count, sizeof *order, by_position);
    for (size_t i = 0; i < c->task_count; i++) {
        struct draft_task *t = order[i];
        struct path here = {.up = &place.tasks, .key = t->def.key};
        if (t->def.when != NULL && decide(d, c, t, &here) < 0) {
            f.never[t - c->tasks] = true;
            continue;
        }
        for (size_t k = 0; k < t->dep_count && t->def.strategy == TRIGGER_ALL_SUCCEEDED; k++) {
            warn_of_dep(&f, t, &c->tasks[t->deps[k]], &here);
        }
    }
    warn_of_empty_outputs(&f, c, c->params_out, c->param_out_count, &place.dag, "parameters");
    warn_of_empty_outputs(&f, c, c->artifacts_out, c->artifact_out_count, &place.dag, "artifacts");
    free(order);
    free(f.never);
}

void warn_of_triggers(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->list[i]->task_count > 0) {
            warn_of_dag(d, d->list[i]);
        }
    }
}
