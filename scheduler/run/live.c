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
#include "run/workspace.h"

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
    json_t *notices = json_object_get(record, "notices");
    run->notices = json_is_array(notices) ? json_copy(notices) : json_array();
    run->cancels = jget_i64(record, "cancels", 0);
    timer_init(&run->exit_limit, engine->set.loop, run_on_exit_limit, run);
    timer_init(&run->deadline, engine->set.loop, run_on_deadline, run);
    return run;
}

void live_free(struct live *run)
{
    if (run == NULL) {
        return;
    }
    run->is_gone = true;
    loop_defer_cancel(run->engine->set.loop, &run->step);
    timer_done(&run->exit_limit);
    timer_done(&run->deadline);
    store_cancel(run->look);
    save_free(run->save);
    task_free(run->root);
    workspace_free(run);
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
    json_decref(run->notices);
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

static void unsaved_remove(struct task *task)
{
    struct task_list *list = task->unsaved;
    if (list == NULL) {
        return;
    }
    *(task->prev_unsaved == NULL ? &list->first : &task->prev_unsaved->next_unsaved) =
        task->next_unsaved;
    *(task->next_unsaved == NULL ? &list->last : &task->next_unsaved->prev_unsaved) =
        task->prev_unsaved;
    task->prev_unsaved = task->next_unsaved = NULL;
    task->unsaved = NULL;
    list->count--;
}

static void unsaved_push(struct task_list *list, struct task *task)
{
    if (task->unsaved == list) {
        return;
    }
    unsaved_remove(task);
    task->unsaved = list;
    task->prev_unsaved = list->last;
    *(list->last == NULL ? &list->first : &list->last->next_unsaved) = task;
    list->last = task;
    list->count++;
}

struct task *unsaved_pop(struct live *run UNUSED, struct task_list *list)
{
    struct task *task = list->first;
    if (task != NULL) {
        unsaved_remove(task);
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

void over_push(struct task *task)
{
    struct task_list *list = &task->run->over;
    assert(!task->is_over);
    task->is_over = true;
    task->next_over = NULL;
    *(list->first == NULL ? &list->first : &list->last->next_over) = task;
    list->last = task;
    list->count++;
}

void over_free(struct live *run)
{
    struct task *task = run->over.first;
    run->over = (struct task_list){0};
    while (task != NULL) {
        struct task *next = task->next_over;
        task->parent->children[task->index] = NULL;
        task_free(task);
        task = next;
    }
}

/* ---- tasks ---- */

/* A key as one segment of a path: '/' and '%' are escaped, so that a path is never ambiguous. */
static char *path_of(const struct task *parent, const char *key, size_t index)
{
    if (parent->role == TASK_ROLE_LOOP) {
        return xasprintf("%s/%zu", parent->path, index);
    }
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
    task->iteration = parent != NULL && parent->role == TASK_ROLE_LOOP ? (int)index : -1;
    task->path = parent == NULL ? xstrdup("") : path_of(parent, def->key, index);
    task->is_exempt = parent != NULL && parent->is_exempt;
    char *name CLEANUP(cleanup_free) = xasprintf("task/%s", task->path);
    id_derive(&task->id, run->id.text, name);
    id_derive(&task->unique, task->id.text, "unique");
    task->state = TASK_STATE_WAITING;
    task->exit_code = -1;
    task->created_us = clock_now_us();
    timer_init(&task->retry, run->engine->set.loop, task_on_retry, task);
    run->task_total += parent != NULL;
    if (task->role == TASK_ROLE_CONTAINER) {
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

int task_check_total(const struct task *task, size_t more, struct err *err)
{
    int64_t max = task->run->engine->set.max_tasks_per_run;
    if (max <= 0 || (more <= (size_t)max && task->run->task_total <= max - (int64_t)more)) {
        return 0;
    }
    return err_set(err, ERR_LIMIT,
        "%s%s: its %zu tasks would be too many beside the %lld that the run has already; a run may "
        "have %lld (setting max-tasks-per-run)",
        task->parent == NULL ? "the pipeline" : "task ", task->path, more,
        (long long)task->run->task_total, (long long)max);
}

/* A list that it is still on; that is rare, and never so when a whole run goes. */
static void lists_leave(struct task *task)
{
    struct live *run = task->run;
    if (run->is_gone) {
        return;
    }
    unsaved_remove(task);
    for (size_t left = task->is_in_work ? run->work.count : 0; left > 0; left--) {
        struct task *one = work_pop(run);
        if (one != task) {
            work_push(one);
        }
    }
    for (size_t left = task->is_queued ? run->queue.count : 0; left > 0; left--) {
        struct task *one = queue_pop(run);
        if (one != task) {
            queue_push(one);
        }
    }
}

void task_free(struct task *task)
{
    if (task == NULL) {
        return;
    }
    for (size_t i = 0; i < task->child_count; i++) {
        task_free(task->children[i]);
    }
    if (task->errand != NULL) {
        errand_cancel(task);
    }
    lists_leave(task);
    if (task->role == TASK_ROLE_CONTAINER) {
        map_remove(task->run->by_id, task->id.text);
    }
    timer_done(&task->retry);
    loop_state_free(task->loop);
    json_decref(task->params);
    json_decref(task->artifacts);
    json_decref(task->defaulted);
    json_decref(task->out_params);
    json_decref(task->out_artifacts);
    json_decref(task->executor_input);
    json_decref(task->cache);
    json_decref(task->place);
    free(task->children);
    free(task->dependents);
    free(task->dependents_of);
    free(task->path);
    free(task->error);
    free(task->log_tail);
    free(task);
}

bool task_has_children(const struct task *task)
{
    return task->role == TASK_ROLE_DAG || task->role == TASK_ROLE_LOOP;
}

bool task_is_to_end(const struct task *task)
{
    const struct live *run = task->run;
    return (run->state == RUN_STATE_CANCELING || run->is_over_time) && !task->is_exempt;
}

void task_mark_dirty(struct task *task)
{
    struct live *run = task->run;
    if (task->parent != NULL) { /* the root is saved as the run */
        bool is_untouched = task->state == TASK_STATE_WAITING && task->params == NULL;
        unsaved_push(is_untouched && task->unsaved == NULL ? &run->fresh : &run->dirty, task);
    }
    live_touch(run);
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
