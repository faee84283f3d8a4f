/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to do next in one run, in memory: which tasks became ready, which DAGs have ended, how the
 * run ends. The rules are written down in contrib/docs/runs.md. The cost follows what changed:
 * an end touches the tasks that wait for it, and nothing else.
 */
#include "run/live.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "run/engine.h"

#define EVENT_VALUE_MAX_BYTES ((size_t)64 * 1024)

/* ---- ends ---- */

void event_set_bounded(json_t *data, const char *key, json_t *value)
{
    if (json_dumpb(value, NULL, 0, JSON_COMPACT) <= EVENT_VALUE_MAX_BYTES) {
        json_object_set_new(data, key, value);
        return;
    }
    json_decref(value);
    char *left_out CLEANUP(cleanup_free) = xasprintf("%s_left_out", key);
    json_object_set_new(data, left_out, json_true());
}

static void add_outputs(json_t *data, const struct task *task)
{
    json_t *outputs = json_object();
    if (task != NULL && task->out_params != NULL) {
        json_object_set(outputs, "parameters", task->out_params);
        json_object_set(outputs, "artifacts", task->out_artifacts);
    }
    event_set_bounded(data, "outputs", outputs);
}

static void task_finished_event(struct task *task)
{
    json_t *data = json_object();
    json_object_set_new(data, "state", json_string(task_state_name(task->state)));
    json_object_set_new(data, "error", json_string(task->error == NULL ? "" : task->error));
    if (task->exit_code >= 0) {
        json_object_set_new(data, "exit_code", json_integer(task->exit_code));
    }
    json_object_set_new(data, "started_us", json_integer(task->started_us));
    json_object_set_new(data, "ended_us", json_integer(task->ended_us));
    add_outputs(data, task);
    task_event(task, "task.finished", data);
}

void task_end(struct task *task, enum task_state state)
{
    struct task *dag = task->parent;
    task_set_state(task, state);
    timer_stop(&task->retry);
    task->retry_us = 0;
    if (task->component->kind == COMPONENT_CONTAINER) {
        if (state == TASK_STATE_FAILED) {
            task->run->failed_tasks++;
        }
        if (task->tries > 0 || state == TASK_STATE_FAILED) {
            task_finished_event(task);
        }
    }
    /* The first failure is the one that explains the DAG's. */
    if (state == TASK_STATE_FAILED && dag->error == NULL) {
        task_set_error(dag, task->error);
    }
    for (size_t i = dag->dependents_of[task->index]; i < dag->dependents_of[task->index + 1]; i++) {
        struct task *dependent = dag->children[dag->dependents[i]];
        assert(dependent->waits_for > 0);
        if (--dependent->waits_for == 0) {
            work_push(dependent);
        }
    }
    assert(dag->open_children > 0);
    if (--dag->open_children == 0) {
        work_push(dag);
    }
    live_touch(task->run);
}

static void run_finish(struct live *run, enum run_state state, const char *error)
{
    int64_t now_us = clock_now_us();
    free(run->error);
    run->error = error == NULL ? NULL : xstrdup(error);
    run->finished_us = now_us;
    live_set_state(run, state);
    LOG_INFO("run finished", "run=%s name=%s state=%s ms=%lld error=%s", run->id.text,
        LOG_Q(live_text(run, "name")), run_state_name(state),
        (long long)(run->started_us == 0 ? 0 : (now_us - run->started_us) / US_PER_MS),
        LOG_Q(error == NULL ? "" : error));
    json_t *data = json_object();
    json_object_set_new(data, "state", json_string(run_state_name(state)));
    json_object_set_new(data, "error", json_string(error == NULL ? "" : error));
    json_object_set_new(data, "started_us", json_integer(run->started_us));
    json_object_set_new(data, "ended_us", json_integer(now_us));
    add_outputs(data, run->root);
    live_event(run, "run.finished", "run.finished", data);
}

static void root_end(struct live *run)
{
    struct task *root = run->root;
    if (run->state == RUN_STATE_CANCELING) {
        run_finish(run, RUN_STATE_CANCELED, NULL);
        return;
    }
    for (size_t i = 0; i < root->child_count; i++) {
        if (root->children[i]->state == TASK_STATE_FAILED) {
            int others = run->failed_tasks - 1;
            char *text CLEANUP(cleanup_free) =
                others <= 0 ? xstrdup(root->error == NULL ? "a task failed" : root->error)
                            : xasprintf("%s\n(and %d more task%s failed)", root->error, others,
                                  others == 1 ? "" : "s");
            run_finish(run, RUN_STATE_FAILED, text);
            return;
        }
    }
    task_collect_outputs(root);
    run_finish(run, RUN_STATE_SUCCEEDED, NULL);
}

/* All children are final. */
static void dag_end(struct task *dag)
{
    if (dag->parent == NULL) {
        root_end(dag->run);
        return;
    }
    enum task_state state = TASK_STATE_SUCCEEDED;
    for (size_t i = 0; i < dag->child_count; i++) {
        enum task_state child = dag->children[i]->state;
        if (child == TASK_STATE_FAILED) {
            state = TASK_STATE_FAILED;
            break;
        }
        if (child == TASK_STATE_CANCELED) {
            state = TASK_STATE_CANCELED;
        }
    }
    if (state == TASK_STATE_SUCCEEDED) {
        task_collect_outputs(dag);
    }
    task_end(dag, state);
}

/* ---- beginnings ---- */

static void dag_begin(struct task *dag)
{
    dag->started_us = 0;
    task_set_state(dag, TASK_STATE_RUNNING);
    task_make_children(dag);
    for (size_t i = 0; i < dag->child_count; i++) {
        task_mark_dirty(dag->children[i]);
        if (dag->children[i]->waits_for == 0) {
            work_push(dag->children[i]);
        }
    }
    if (dag->child_count == 0) {
        work_push(dag);
    }
}

/* With all dependencies final: may it run? */
static bool is_satisfied(const struct task *task)
{
    if (task->def->strategy == TRIGGER_ALL_COMPLETED) {
        return true;
    }
    for (size_t i = 0; i < task->def->dep_count; i++) {
        enum task_state state = task->parent->children[task->def->deps[i]]->state;
        if (state != TASK_STATE_SUCCEEDED && state != TASK_STATE_CACHED) {
            return false;
        }
    }
    return true;
}

static void task_consider(struct task *task)
{
    struct live *run = task->run;
    if (task->state == TASK_STATE_RUNNING) {
        if (task->component->kind == COMPONENT_DAG && task->open_children == 0) {
            dag_end(task);
        }
        return;
    }
    if (task->state != TASK_STATE_WAITING || task->waits_for > 0 || task->retry_us > 0) {
        return;
    }
    if (run->state == RUN_STATE_CANCELING) {
        task_end(task, TASK_STATE_CANCELED);
        return;
    }
    if (!is_satisfied(task)) {
        task_end(task, TASK_STATE_UNSCHEDULABLE);
        return;
    }
    struct err err = ERR_INIT;
    if (task->tries == 0 && task_resolve_inputs(task, &err) != 0) {
        task_set_error(task, err.msg);
        task_end(task, TASK_STATE_FAILED);
        return;
    }
    if (task->component->kind == COMPONENT_DAG) {
        dag_begin(task);
    } else {
        queue_push(task);
    }
}

void run_step(struct live *run)
{
    while (!run->is_gone && !run_state_is_final(run->state)) {
        struct task *task = work_pop(run);
        if (task == NULL) {
            return;
        }
        task_consider(task);
    }
}

void run_fail(struct live *run, const char *reason)
{
    run_finish(run, RUN_STATE_FAILED, reason);
}

static int bind_params(struct live *run, struct err *err)
{
    struct macro_context context = {
        .run_id = run->id.text,
        .scheduled_us = jget_i64(run->record, "scheduled_us", 0),
        .created_us = jget_i64(run->record, "created_us", 0),
        .index = jget_i64(run->record, "index", 0),
    };
    json_t *given CLEANUP(json_decrefp) =
        macro_expand(json_object_get(run->record, "parameters"), &context);
    json_t *bound CLEANUP(json_decrefp) = plan_bind_params(run->plan, given, err);
    if (bound == NULL) {
        return err_wrap(err, "the run's parameters do not fit the pipeline");
    }
    run->root->params = macro_expand(bound, &context); /* defaults may hold macros too */
    run->root->artifacts = json_object();
    return 0;
}

int run_make_root(struct live *run, struct err *err)
{
    run->root = task_new(run, NULL, NULL, run->plan->root, 0);
    return bind_params(run, err);
}

void run_begin(struct live *run)
{
    if (run->state == RUN_STATE_CANCELING) {
        run_finish(run, RUN_STATE_CANCELED, NULL);
        return;
    }
    run->has_started = true;
    run->started_us = clock_now_us();
    live_set_state(run, RUN_STATE_RUNNING);
    json_t *data = json_object();
    const json_t *trigger = json_object_get(run->record, "trigger");
    json_object_set_new(
        data, "scheduled_us", json_integer(jget_i64(run->record, "scheduled_us", 0)));
    json_object_set_new(data, "trigger", trigger == NULL ? json_object() : json_deep_copy(trigger));
    live_event(run, "run.started", "run.started", data);
    dag_begin(run->root);
}

/* ---- asked to end ---- */

static void task_cancel_tree(struct task *task)
{
    if (task->component->kind == COMPONENT_DAG && task->state == TASK_STATE_RUNNING) {
        for (size_t i = 0; i < task->child_count; i++) {
            task_cancel_tree(task->children[i]);
        }
        return;
    }
    if (task->state == TASK_STATE_WAITING) {
        task_end(task, TASK_STATE_CANCELED);
        return;
    }
    if (task->state == TASK_STATE_RUNNING && task->is_started && !task->is_canceling) {
        const struct executor *executor = &task->run->engine->set.executor;
        struct attempt_name name = task_attempt_name(task);
        task->is_canceling = true;
        executor->ops->cancel(executor->self, &name);
    }
}

void run_begin_cancel(struct live *run)
{
    if (run_state_is_final(run->state)) {
        return;
    }
    if (run->state != RUN_STATE_CANCELING) {
        /* The record says so already (run_cancel.lua): nothing to save about that. */
        LOG_INFO(
            "run state", "run=%s from=%s to=CANCELING", run->id.text, run_state_name(run->state));
        run->state = RUN_STATE_CANCELING;
    }
    if (run->root != NULL && run->root->state == TASK_STATE_RUNNING) {
        task_cancel_tree(run->root);
    }
    live_touch(run);
}
