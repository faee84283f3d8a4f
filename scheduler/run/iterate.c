/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops (kfp-semantics.md 8). A loop's inputs are resolved once; its items are one of them, or
 * written in the pipeline. An iteration is made when it starts, in the order of the items, and
 * freed when its end is saved: what stays in memory is what it gave. Outputs of a loop are lists
 * over its iterations.
 */
#include "run/live.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "run/engine.h"

#define BEGIN_AT_ONCE 64
#define QUOTED_BYTES 100

/* What a successful iteration gave. */
struct given {
    json_t *params, *artifacts; /* NULL: nothing */
};

struct loop_state {
    json_t *items;      /* array */
    size_t count, next; /* next: to be begun */
    struct given *given;
};

void loop_state_free(struct loop_state *state)
{
    if (state == NULL) {
        return;
    }
    for (size_t i = 0; i < state->count; i++) {
        json_decref(state->given[i].params);
        json_decref(state->given[i].artifacts);
    }
    free(state->given);
    json_decref(state->items);
    free(state);
}

/* ---- items ---- */

static json_t *items_from_text(const struct task *loop, const json_t *text, struct err *err)
{
    struct err why = ERR_INIT;
    json_t *items = jread_text(json_string_value(text), json_string_length(text), "items", &why);
    if (json_is_array(items)) {
        return items;
    }
    struct buf start;
    buf_init(&start, QUOTED_BYTES + 1);
    buf_adds(&start, json_string_value(text));
    char *quoted CLEANUP(cleanup_free) = buf_steal(&start, NULL);
    text_sanitise(quoted);
    err_set(err, ERR_INVALID,
        "task %s: it loops over input '%s', whose text is not a JSON array%s%s: %s", loop->path,
        loop->def->iterator->items, items == NULL ? ": " : "", items == NULL ? why.msg : "",
        quoted);
    json_decref(items);
    return NULL;
}

static json_t *items_from_param(const struct task *loop, struct err *err)
{
    const char *name = loop->def->iterator->items;
    json_t *value = json_object_get(loop->params, name);
    if (json_is_array(value)) {
        return json_incref(value);
    }
    if (json_is_string(value)) {
        return items_from_text(loop, value, err);
    }
    bool is_absent = value == NULL || json_is_null(value);
    err_set(err, ERR_INVALID, "task %s: it loops over input '%s', which %s", loop->path, name,
        is_absent ? "has no value" : "is neither a list nor the text of one");
    return NULL;
}

/* New reference. */
static json_t *loop_items(const struct task *loop, struct err *err)
{
    const struct iterator *iterator = loop->def->iterator;
    if (iterator->items == NULL) {
        struct run_context context = task_run_context(loop);
        return placeholder_resolve_run(iterator->raw, &context);
    }
    if (!iterator->is_artifact) {
        return items_from_param(loop, err);
    }
    json_t *list = json_object_get(loop->artifacts, iterator->items);
    return list == NULL ? json_array() : json_incref(list);
}

/* ---- beginning ---- */

static int loop_prepare(struct task *loop, struct err *err)
{
    json_t *items = loop_items(loop, err);
    if (items == NULL) {
        return -1;
    }
    struct loop_state *state = xcalloc(1, sizeof(*state));
    state->items = items;
    state->count = json_array_size(items);
    state->given = xcalloc(state->count + 1, sizeof(*state->given));
    loop->loop = state;
    loop->child_count = state->count;
    loop->children = xcalloc(state->count + 1, sizeof(*loop->children));
    return 0;
}

int loop_begin(struct task *loop, struct err *err)
{
    if (loop_prepare(loop, err) != 0) {
        return -1;
    }
    const struct dag *body = loop->component->dag;
    size_t each = 1 + (body == NULL ? 0 : body->task_count);
    if (task_check_total(loop, loop->loop->count * each, err) != 0) {
        return -1;
    }
    loop->started_us = 0;
    task_set_state(loop, TASK_STATE_RUNNING);
    work_push(loop);
    return 0;
}

static void iteration_begin(struct task *loop)
{
    size_t number = loop->loop->next++;
    struct task *iteration = task_new(loop->run, loop, loop->def, loop->component, number);
    loop->children[number] = iteration;
    loop->open_children++;
    task_mark_dirty(iteration);
    work_push(iteration);
}

static void loop_end(struct task *loop)
{
    bool is_cut = loop->canceled_children > 0 || loop->loop->next < loop->loop->count;
    enum task_state state = loop->failed_children > 0 ? TASK_STATE_FAILED
                            : is_cut                  ? TASK_STATE_CANCELED
                                                      : TASK_STATE_SUCCEEDED;
    if (state != TASK_STATE_CANCELED) {
        task_collect_outputs(loop);
    }
    task_end(loop, state);
}

void loop_step(struct task *loop)
{
    const struct loop_state *state = loop->loop;
    size_t limit = loop->def->iterator->limit > 0 ? (size_t)loop->def->iterator->limit : SIZE_MAX;
    bool may_begin = !task_is_to_end(loop);
    for (int i = 0; may_begin && i < BEGIN_AT_ONCE && state->next < state->count &&
                    loop->open_children < limit;
         i++) {
        iteration_begin(loop);
    }
    bool is_more = may_begin && state->next < state->count;
    if (is_more && loop->open_children < limit) {
        work_push(loop);
    } else if (!is_more && loop->open_children == 0) {
        loop_end(loop);
    }
}

/* ---- one iteration ---- */

static bool is_leaf(const struct task *iteration)
{
    return !task_has_children(iteration);
}

/* A body that is a pipeline can read the whole list; a program gets it only if it asks for it. */
static bool keeps_items(const struct task *iteration)
{
    const struct iterator *iterator = iteration->def->iterator;
    const struct component *body = iteration->component;
    return !is_leaf(iteration) ||
           (iterator->is_artifact ? component_artifact_in(body, iterator->items) != NULL
                                  : component_param_in(body, iterator->items) != NULL);
}

static void add_defaulted(struct task *iteration, const char *name)
{
    json_t *copy = iteration->defaulted == NULL ? json_array() : json_copy(iteration->defaulted);
    json_array_append_new(copy, json_string(name));
    json_decref(iteration->defaulted);
    iteration->defaulted = copy;
}

int iteration_resolve(struct task *iteration, struct err *err)
{
    const struct task *loop = iteration->parent;
    const struct iterator *iterator = loop->def->iterator;
    const json_t *item = json_array_get(loop->loop->items, iteration->index);
    json_decref(iteration->params);
    json_decref(iteration->artifacts);
    json_decref(iteration->defaulted);
    iteration->params = json_copy(loop->params);
    iteration->artifacts = json_copy(loop->artifacts);
    iteration->defaulted = json_incref(loop->defaulted);
    if (iterator->items != NULL && !keeps_items(iteration)) {
        json_object_del(
            iterator->is_artifact ? iteration->artifacts : iteration->params, iterator->items);
    }
    if (iterator->is_artifact) {
        json_t *list = json_array();
        json_array_append(list, (json_t *)(uintptr_t)item);
        json_object_set_new(iteration->artifacts, iterator->item_input, list);
        return 0;
    }
    bool is_default = false;
    if (task_item_finish(loop->def, item, iteration->params, &is_default, err) != 0) {
        return err_wrap(err, "task %s: item %zu", iteration->path, iteration->index);
    }
    if (is_default && json_object_get(iteration->params, iterator->item_input) != NULL) {
        add_defaulted(iteration, iterator->item_input);
    }
    return 0;
}

static json_t *only(const json_t *object, const char *key)
{
    json_t *out = json_object();
    json_t *value = json_object_get(object, key);
    if (value != NULL) {
        json_object_set(out, key, value);
    }
    return out;
}

static json_t *all_but(json_t *object, const char *key)
{
    json_t *out = json_copy(object);
    if (key != NULL) {
        json_object_del(out, key);
    }
    return out;
}

void iteration_own_inputs(const struct task *iteration, json_t **params, json_t **artifacts)
{
    const struct iterator *iterator = iteration->def->iterator;
    const char *item = iterator->item_input;
    const char *list = str_eq(iterator->items, item) ? NULL : iterator->items;
    json_t *own_params, *own_artifacts;
    if (is_leaf(iteration)) {
        own_params = all_but(*params, iterator->is_artifact ? NULL : list);
        own_artifacts = all_but(*artifacts, iterator->is_artifact ? list : NULL);
    } else {
        own_params = iterator->is_artifact ? json_object() : only(*params, item);
        own_artifacts = iterator->is_artifact ? only(*artifacts, item) : json_object();
    }
    json_decref(*params);
    json_decref(*artifacts);
    *params = own_params;
    *artifacts = own_artifacts;
}

/* ---- what comes out ---- */

static void keep(struct loop_state *state, size_t number, json_t *params, json_t *artifacts)
{
    if (json_object_size(params) > 0) {
        state->given[number].params = json_incref(params);
    }
    if (json_object_size(artifacts) > 0) {
        state->given[number].artifacts = json_incref(artifacts);
    }
}

static bool has_succeeded(enum task_state state)
{
    return state == TASK_STATE_SUCCEEDED || state == TASK_STATE_CACHED;
}

void loop_take(struct task *loop, struct task *iteration)
{
    if (has_succeeded(iteration->state)) {
        keep(loop->loop, iteration->index, iteration->out_params, iteration->out_artifacts);
    }
    over_push(iteration);
}

static json_t *collect_param(const struct loop_state *state, const char *name)
{
    json_t *list = json_array();
    for (size_t i = 0; i < state->count; i++) {
        json_t *value = json_object_get(state->given[i].params, name);
        if (value != NULL) {
            json_array_append(list, value);
        }
    }
    return list;
}

static json_t *collect_artifact(const struct loop_state *state, const char *name)
{
    json_t *list = json_array();
    for (size_t i = 0; i < state->count; i++) {
        json_t *artifacts = json_object_get(state->given[i].artifacts, name);
        if (json_is_array(artifacts)) {
            json_array_extend(list, artifacts);
        }
    }
    return list;
}

void loop_collect_outputs(struct task *loop)
{
    const struct loop_state *state = loop->loop;
    const struct component *body = loop->component;
    for (size_t i = 0; i < body->param_out_count; i++) {
        const char *name = body->params_out[i].name;
        json_object_set_new(loop->out_params, name, collect_param(state, name));
    }
    for (size_t i = 0; i < body->artifact_out_count; i++) {
        const char *name = body->artifacts_out[i].name;
        json_object_set_new(loop->out_artifacts, name, collect_artifact(state, name));
    }
}

/* ---- after a restart ---- */

int loop_rebuild(struct task *loop, struct err *err)
{
    if (loop_prepare(loop, err) != 0) {
        return err_wrap(err, "what it looped over cannot be found again");
    }
    return 0;
}

struct task *loop_restore(struct task *loop, size_t number)
{
    struct task *iteration = task_new(loop->run, loop, loop->def, loop->component, number);
    loop->children[number] = iteration;
    loop->open_children++;
    loop->loop->next = number + 1;
    return iteration;
}

void loop_restore_ended(
    struct task *loop, size_t number, enum task_state state, const json_t *outputs)
{
    loop->failed_children += state == TASK_STATE_FAILED;
    loop->canceled_children += state == TASK_STATE_CANCELED;
    loop->loop->next = number + 1;
    if (has_succeeded(state)) {
        keep(loop->loop, number, json_object_get(outputs, "parameters"),
            json_object_get(outputs, "artifacts"));
    }
}
