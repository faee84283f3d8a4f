/* SPDX-License-Identifier: Apache-2.0 */
/* Runs and task instances in memory: making, finding, freeing, changing state. See live.h. */
#include "run/live.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/store.h"
#include "run/engine.h"
#include "run/record.h"

#define TASK_RECORD_VERSION 1

/* ---- runs ---- */

struct live *live_new(struct engine *engine, json_t *record)
{
    struct live *run = xcalloc(1, sizeof(*run));
    run->engine = engine;
    run->record = record;
    memcpy(run->id.text, jget_str(record, "id", ""), ID_LEN);
    run->shard = id_shard(run->id.text, store_shards(engine->set.store));
    run->by_id = map_new(NULL);
    run->state = RUN_STATE_PENDING;
    run->started_us = jget_i64(record, "started_us", 0);
    run->rev = jget_i64(record, "rev", 0);
    return run;
}

void live_free(struct live *run)
{
    if (run == NULL) {
        return;
    }
    loop_defer_cancel(run->engine->set.loop, &run->step);
    store_cancel(run->look);
    save_free(run->save);
    task_free(run->root);
    map_free(run->by_id);
    for (size_t i = 0; i < run->event_count; i++) {
        free(run->events[i]);
    }
    free(run->events);
    free(run->starts);
    free(run->ends);
    free(run->error);
    free(run->history);
    free(run->workspace_path);
    plan_unref(run->plan);
    json_decref(run->record);
    free(run);
}

static void live_on_step(void *owner)
{
    struct live *run = owner;
    run_step(run);
    engine_fill(run->engine);
    save_start_if_needed(run);
}

void live_touch(struct live *run)
{
    if (!run->is_gone) {
        loop_defer(run->engine->set.loop, &run->step, live_on_step, run);
    }
}

void live_set_state(struct live *run, enum run_state state)
{
    assert(!run_state_is_final(run->state));
    LOG_DEBUG("run state", "run=%s from=%s to=%s", run->id.text, run_state_name(run->state),
        run_state_name(state));
    run->state = state;
    run->is_state_dirty = true;
    char *entry = record_history_entry(clock_now_us(), state, run->error);
    if (run->history != NULL) { /* two steps between two saves: both are told */
        char *both = xasprintf("%s,%s", run->history, entry);
        free(run->history);
        free(entry);
        entry = both;
    }
    run->history = entry;
    live_touch(run);
}

const char *live_text(const struct live *run, const char *key)
{
    return jget_str(run->record, key, "");
}

const char *live_workspace_path(struct live *run)
{
    const struct pipeline_config *config = run->plan == NULL ? NULL : run->plan->config;
    if (run->workspace_path != NULL || config == NULL || config->workspace_size == NULL) {
        return run->workspace_path;
    }
    const struct executor *executor = &run->engine->set.executor;
    if (executor->ops->workspace_path == NULL) {
        run->workspace_path = xstrdup(WORKSPACE_PATH);
        return run->workspace_path;
    }
    struct buf path;
    buf_init(&path, 8192);
    struct attempt_name name = {.run_id = run->id.text, .task_id = run->id.text};
    executor->ops->workspace_path(executor->self, &name, &path);
    run->workspace_path = buf_steal(&path, NULL);
    return run->workspace_path;
}

void live_event(struct live *run, const char *type, const char *what, json_t *data)
{
    if (run->event_count == run->event_cap) {
        run->event_cap = run->event_cap == 0 ? 8 : run->event_cap * 2;
        run->events = xreallocarray(run->events, run->event_cap, sizeof(*run->events));
    }
    run->events[run->event_count++] = record_event(run->record, type, what, clock_now_us(), data);
}

/* ---- lists ---- */

void work_push(struct task *task)
{
    struct task_list *list = &task->run->work;
    if (task->is_in_work) {
        return;
    }
    task->is_in_work = true;
    task->next_work = NULL;
    *(list->first == NULL ? &list->first : &list->last->next_work) = task;
    list->last = task;
    list->count++;
}

struct task *work_pop(struct live *run)
{
    struct task *task = run->work.first;
    if (task != NULL) {
        run->work.first = task->next_work;
        run->work.count--;
        task->is_in_work = false;
    }
    return task;
}

void dirty_push(struct task *task)
{
    struct task_list *list = &task->run->dirty;
    if (task->is_dirty) {
        return;
    }
    task->is_dirty = true;
    task->next_dirty = NULL;
    *(list->first == NULL ? &list->first : &list->last->next_dirty) = task;
    list->last = task;
    list->count++;
}

struct task *dirty_pop(struct live *run)
{
    struct task *task = run->dirty.first;
    if (task != NULL) {
        run->dirty.first = task->next_dirty;
        run->dirty.count--;
        task->is_dirty = false;
    }
    return task;
}

void queue_push(struct task *task)
{
    struct live *run = task->run;
    struct task_list *list = &run->queue;
    if (task->is_queued) {
        return;
    }
    task->is_queued = true;
    task->next_queued = NULL;
    *(list->first == NULL ? &list->first : &list->last->next_queued) = task;
    list->last = task;
    list->count++;
    run->engine->queued++;
    engine_ring_add(run);
}

struct task *queue_pop(struct live *run)
{
    struct task *task = run->queue.first;
    if (task != NULL) {
        run->queue.first = task->next_queued;
        run->queue.count--;
        task->is_queued = false;
        run->engine->queued--;
    }
    if (run->queue.first == NULL) {
        engine_ring_remove(run);
    }
    return task;
}

/* ---- tasks ---- */

/* A key as one segment of a path: '/' and '%' are escaped, so that a path is never ambiguous. */
static char *path_of(const struct task *parent, const char *key)
{
    size_t len = 0;
    char *segment CLEANUP(cleanup_free) = xmalloc(strlen(key) * 3 + 1);
    for (const char *p = key; *p != '\0'; p++) {
        if (*p == '/' || *p == '%') {
            memcpy(segment + len, *p == '/' ? "%2F" : "%25", 3);
            len += 3;
        } else {
            segment[len++] = *p;
        }
    }
    segment[len] = '\0';
    return parent->path[0] == '\0' ? xstrdup(segment) : xasprintf("%s/%s", parent->path, segment);
}

static void task_on_retry(void *owner)
{
    struct task *task = owner;
    task->retry_us = 0;
    work_push(task);
    live_touch(task->run);
}

static enum task_role role_of(
    const struct task *parent, const struct task_def *def, const struct component *component)
{
    bool is_iteration = parent != NULL && parent->role == TASK_ROLE_LOOP;
    if (def != NULL && def->iterator != NULL && !is_iteration) {
        return TASK_ROLE_LOOP;
    }
    switch (component->kind) {
    case COMPONENT_DAG:
        return TASK_ROLE_DAG;
    case COMPONENT_CONTAINER:
        return TASK_ROLE_CONTAINER;
    case COMPONENT_IMPORTER:
        return TASK_ROLE_IMPORTER;
    case COMPONENT_VOLUME:
        return TASK_ROLE_VOLUME;
    }
    return TASK_ROLE_CONTAINER;
}

struct task *task_new(struct live *run, struct task *parent, const struct task_def *def,
    const struct component *component, size_t index)
{
    struct task *task = xcalloc(1, sizeof(*task));
    task->run = run;
    task->parent = parent;
    task->def = def;
    task->component = component;
    task->role = role_of(parent, def, component);
    task->index = index;
    task->iteration = -1;
    task->path = parent == NULL ? xstrdup("") : path_of(parent, def->key);
    char *name CLEANUP(cleanup_free) = xasprintf("task/%s", task->path);
    id_derive(&task->id, run->id.text, name);
    id_derive(&task->unique, task->id.text, "unique");
    task->state = TASK_STATE_WAITING;
    task->exit_code = -1;
    task->created_us = clock_now_us();
    timer_init(&task->retry, run->engine->set.loop, task_on_retry, task);
    if (component->kind == COMPONENT_CONTAINER) {
        map_put(run->by_id, task->id.text, task);
    }
    return task;
}

/* Turn "whom do I wait for" around, once per DAG instance: an end then costs its own edges only. */
static void task_index_dependents(struct task *task, const struct dag *dag)
{
    size_t *starts = xcalloc(dag->task_count + 1, sizeof(*starts));
    size_t edges = 0;
    for (size_t i = 0; i < dag->task_count; i++) {
        edges += dag->tasks[i].dep_count;
        for (size_t k = 0; k < dag->tasks[i].dep_count; k++) {
            starts[dag->tasks[i].deps[k] + 1]++;
        }
    }
    for (size_t i = 1; i <= dag->task_count; i++) {
        starts[i] += starts[i - 1];
    }
    size_t *dependents = xcalloc(edges + 1, sizeof(*dependents));
    size_t *fill = xcalloc(dag->task_count + 1, sizeof(*fill));
    for (size_t i = 0; i < dag->task_count; i++) {
        for (size_t k = 0; k < dag->tasks[i].dep_count; k++) {
            size_t producer = (size_t)dag->tasks[i].deps[k];
            dependents[starts[producer] + fill[producer]++] = i;
        }
    }
    free(fill);
    task->dependents = dependents;
    task->dependents_of = starts;
}

void task_make_children(struct task *task)
{
    const struct dag *dag = task->component->dag;
    task->child_count = dag->task_count;
    task->open_children = dag->task_count;
    task->children = xcalloc(dag->task_count + 1, sizeof(struct task *));
    for (size_t i = 0; i < dag->task_count; i++) {
        const struct task_def *def = &dag->tasks[i];
        task->children[i] = task_new(task->run, task, def, def->component, i);
        task->children[i]->waits_for = def->dep_count;
    }
    task_index_dependents(task, dag);
}

void task_free(struct task *task)
{
    if (task == NULL) {
        return;
    }
    for (size_t i = 0; i < task->child_count; i++) {
        task_free(task->children[i]);
    }
    timer_done(&task->retry);
    json_decref(task->params);
    json_decref(task->artifacts);
    json_decref(task->defaulted);
    json_decref(task->out_params);
    json_decref(task->out_artifacts);
    json_decref(task->executor_input);
    free(task->children);
    free(task->dependents);
    free(task->dependents_of);
    free(task->path);
    free(task->error);
    free(task->log_tail);
    free(task);
}

void task_mark_dirty(struct task *task)
{
    if (task->parent != NULL) { /* the root is saved as the run */
        dirty_push(task);
    }
    live_touch(task->run);
}

void task_set_state(struct task *task, enum task_state state)
{
    assert(!task_state_is_final(task->state));
    LOG_DEBUG("task state", "run=%s task=%s attempt=%d from=%s to=%s", task->run->id.text,
        LOG_Q(task->path), task->tries - 1, task_state_name(task->state), task_state_name(state));
    task->state = state;
    int64_t now_us = clock_now_us();
    if (state == TASK_STATE_RUNNING && task->started_us == 0) {
        task->started_us = now_us;
    }
    if (task_state_is_final(state) && task->ended_us == 0) {
        task->ended_us = now_us;
    }
    task_mark_dirty(task);
}

void task_set_error(struct task *task, const char *text)
{
    free(task->error);
    task->error = text == NULL ? NULL : xstrdup(text);
}

struct attempt_name task_attempt_name(const struct task *task)
{
    return (struct attempt_name){
        .run_id = task->run->id.text,
        .task_id = task->id.text,
        .attempt = task->tries - 1,
    };
}

void task_event(struct task *task, const char *type, json_t *data)
{
    int attempt = task->tries > 0 ? task->tries - 1 : 0;
    char *what CLEANUP(cleanup_free) = xasprintf("%s/%s/%d", type, task->path, attempt);
    json_t *full = data == NULL ? json_object() : data;
    json_object_set_new(full, "task_id", json_string(task->id.text));
    json_object_set_new(full, "task", json_string(task->path));
    json_object_set_new(full, "attempt", json_integer(attempt));
    live_event(task->run, type, what, full);
}

/* ---- task records ---- */

static json_t *values_to_json(json_t *params, json_t *artifacts)
{
    json_t *both = json_object();
    json_object_set_new(both, "parameters", params == NULL ? json_object() : json_incref(params));
    json_object_set_new(
        both, "artifacts", artifacts == NULL ? json_object() : json_incref(artifacts));
    return both;
}

static void set_i64_if(json_t *record, const char *key, int64_t value)
{
    if (value != 0) {
        json_object_set_new(record, key, json_integer(value));
    }
}

json_t *task_to_json(const struct task *task)
{
    json_t *record = json_object();
    const char *name = task->def->display_name;
    json_object_set_new(record, "v", json_integer(TASK_RECORD_VERSION));
    json_object_set_new(record, "id", json_string(task->id.text));
    json_object_set_new(record, "path", json_string(task->path));
    json_object_set_new(record, "key", json_string(task->def->key));
    json_object_set_new(record, "name", json_string(name == NULL ? task->def->key : name));
    json_object_set_new(record, "parent", json_string(task->parent->path));
    json_object_set_new(
        record, "kind", json_string(task->component->kind == COMPONENT_DAG ? "dag" : "container"));
    if (task->iteration >= 0) {
        json_object_set_new(record, "iteration", json_integer(task->iteration));
    }
    json_object_set_new(record, "state", json_string(task_state_name(task->state)));
    json_object_set_new(record, "attempt", json_integer(task->tries > 0 ? task->tries - 1 : 0));
    set_i64_if(record, "tries", task->tries);
    set_i64_if(record, "lost", task->lost);
    set_i64_if(record, "retry_us", task->retry_us);
    json_object_set_new(record, "created_us", json_integer(task->created_us));
    set_i64_if(record, "started_us", task->started_us);
    set_i64_if(record, "ended_us", task->ended_us);
    jset_str(record, "error", task->error);
    jset_str(record, "log_tail", task->log_tail);
    if (task->exit_code >= 0) {
        json_object_set_new(record, "exit_code", json_integer(task->exit_code));
    }
    if (task->params != NULL) {
        json_object_set_new(record, "inputs", values_to_json(task->params, task->artifacts));
        json_object_set_new(record, "unique", json_string(task->unique.text));
    }
    if (task->defaulted != NULL) {
        json_object_set(record, "defaulted", task->defaulted);
    }
    if (task->out_params != NULL) {
        json_object_set_new(
            record, "outputs", values_to_json(task->out_params, task->out_artifacts));
    }
    return record;
}

static void values_from_json(
    const json_t *record, const char *key, json_t **params_out, json_t **artifacts_out)
{
    const json_t *both = json_object_get(record, key);
    if (json_is_object(both)) {
        *params_out = json_incref(json_object_get(both, "parameters"));
        *artifacts_out = json_incref(json_object_get(both, "artifacts"));
    }
}

int task_from_json(struct task *task, const json_t *record, struct err *err)
{
    if (jget_i64(record, "v", 0) != TASK_RECORD_VERSION) {
        return err_set(err, ERR_INTERNAL,
            "task %s: its record has a version that this program does not read", task->path);
    }
    enum task_state state;
    if (task_state_parse(jget_str(record, "state", ""), &state) != 0) {
        return err_set(err, ERR_INTERNAL, "task %s: its record has the unknown state '%s'",
            task->path, jget_str(record, "state", ""));
    }
    task->state = state;
    task->tries = (int)jget_i64(record, "tries", 0);
    task->lost = (int)jget_i64(record, "lost", 0);
    task->retry_us = jget_i64(record, "retry_us", 0);
    task->created_us = jget_i64(record, "created_us", task->created_us);
    task->started_us = jget_i64(record, "started_us", 0);
    task->ended_us = jget_i64(record, "ended_us", 0);
    task->exit_code = (int)jget_i64(record, "exit_code", -1);
    task_set_error(task, jget_str(record, "error", NULL));
    const char *log_tail = jget_str(record, "log_tail", NULL);
    task->log_tail = log_tail == NULL ? NULL : xstrdup(log_tail);
    values_from_json(record, "inputs", &task->params, &task->artifacts);
    values_from_json(record, "outputs", &task->out_params, &task->out_artifacts);
    json_t *defaulted = json_object_get(record, "defaulted");
    task->defaulted = json_is_array(defaulted) ? json_incref(defaulted) : NULL;
    const char *unique = jget_str(record, "unique", "");
    if (id_is_valid(unique)) {
        memcpy(task->unique.text, unique, ID_LEN);
    }
    return 0;
}
