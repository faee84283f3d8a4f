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
/* So many changed tasks are saved before more is done: that bounds how long one script holds Redis.
 */
#define STEP_TASKS_MAX 1000

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
    bool is_cached = task->state == TASK_STATE_CACHED;
    json_object_set_new(data, "cached", json_boolean(is_cached));
    if (is_cached) {
        json_object_set(data, "cached_from", json_object_get(task->cache, "from"));
    }
    add_outputs(data, task);
    task_event(task, "task.finished", data);
}

/* Why a task was passed over: the first task it would have followed that did not end well, or the
 * end of the run. */
static void task_skipped_event(struct task *task)
{
    json_t *data = json_object();
    const struct task *upstream = task_unsatisfied_by(task);
    const char *reason = task->run->is_over_time ? "run_timed_out" : "run_canceled";
    if (task->state == TASK_STATE_NOT_TRIGGERED) {
        reason = "condition_false";
    } else if (task->state == TASK_STATE_UNSCHEDULABLE && upstream != NULL) {
        reason = upstream->state == TASK_STATE_FAILED     ? "upstream_failed"
                 : upstream->state == TASK_STATE_CANCELED ? "upstream_canceled"
                                                          : "upstream_skipped";
        json_object_set_new(data, "upstream", json_string(upstream->path));
    }
    json_object_set_new(data, "state", json_string(task_state_name(task->state)));
    json_object_set_new(data, "reason", json_string(reason));
    task_event(task, "task.skipped", data);
}

/* A task that was begun, or ended otherwise than by being passed over, has finished. */
static bool is_skipped(const struct task *task)
{
    bool has_begun = task->tries > 0 || task->started_us != 0;
    return !has_begun && task->state != TASK_STATE_FAILED && task->state != TASK_STATE_SUCCEEDED &&
           task->state != TASK_STATE_CACHED;
}

void child_ended(struct task *parent, const struct task *child)
{
    parent->failed_children += child->state == TASK_STATE_FAILED;
    parent->canceled_children += child->state == TASK_STATE_CANCELED;
    assert(parent->open_children > 0);
    parent->open_children--;
    if (parent->role == TASK_ROLE_LOOP) {
        return;
    }
    for (size_t i = parent->dependents_of[child->index];
         i < parent->dependents_of[child->index + 1]; i++) {
        struct task *dependent = parent->children[parent->dependents[i]];
        assert(dependent->waits_for > 0);
        if (--dependent->waits_for == 0) {
            work_push(dependent);
        }
    }
}

void task_end(struct task *task, enum task_state state)
{
    struct task *parent = task->parent;
    task_set_state(task, state);
    timer_stop(&task->retry);
    task->retry_us = 0;
    if (state == TASK_STATE_FAILED && task->failed_children == 0) {
        task->run->failed_tasks++;
    }
    if (is_skipped(task)) {
        task_skipped_event(task);
    } else if (!task_has_children(task)) {
        task_finished_event(task);
    }
    /* The first failure is the one that explains that of what it is in. */
    if (state == TASK_STATE_FAILED && parent->error == NULL) {
        task_set_error(parent, task->error);
        parent->exit_code = task->exit_code;
    }
    child_ended(parent, task);
    if (parent->role == TASK_ROLE_LOOP) {
        loop_take(parent, task);
        work_push(parent);
    } else if (parent->open_children == 0) {
        work_push(parent);
    }
    live_touch(task->run);
}

void task_fail(struct task *task, const char *text)
{
    task_set_error(task, text);
    task_end(task, TASK_STATE_FAILED);
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

/* malloc'd. */
static char *failure_text(const struct live *run)
{
    const struct task *root = run->root;
    const char *error = root->error == NULL ? "a task failed" : root->error;
    int failed = run->failed_tasks;
    if (run->is_over_time || root->failed_children == 0) {
        char *reason CLEANUP(cleanup_free) = run_over_time_text(run);
        return failed <= 0 ? STEAL(reason)
                           : xasprintf("%s\n(%d task%s failed, the first: %s)", reason, failed,
                                 failed == 1 ? "" : "s", error);
    }
    return failed <= 1 ? xstrdup(error)
                       : xasprintf("%s\n(and %d more task%s failed)", error, failed - 1,
                             failed == 2 ? "" : "s");
}

static void root_end(struct live *run)
{
    struct task *root = run->root;
    if (run->state == RUN_STATE_CANCELING) {
        run_finish(run, RUN_STATE_CANCELED, NULL);
        return;
    }
    /* Tasks of a run that nobody asked to end are canceled only when its time is over. */
    if (root->failed_children > 0 || root->canceled_children > 0) {
        char *text CLEANUP(cleanup_free) = failure_text(run);
        run_finish(run, RUN_STATE_FAILED, text);
        return;
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
    enum task_state state = dag->failed_children > 0     ? TASK_STATE_FAILED
                            : dag->canceled_children > 0 ? TASK_STATE_CANCELED
                                                         : TASK_STATE_SUCCEEDED;
    if (state != TASK_STATE_CANCELED) {
        task_collect_outputs(dag);
    }
    task_end(dag, state);
}

/* ---- beginnings ---- */

void dag_begin(struct task *dag)
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

/* Inputs, then the condition; of a loop once for all its iterations. *is_wanted: it may begin. */
static int task_prepare(struct task *task, bool *is_wanted, struct err *err)
{
    *is_wanted = true;
    if (task->tries > 0) { /* a retry gets what the first attempt got */
        return 0;
    }
    if (task->iteration >= 0) {
        return iteration_resolve(task, err);
    }
    return task_resolve_inputs(task, err) != 0 ? -1 : task_check_condition(task, is_wanted, err);
}

static int task_start(struct task *task, struct err *err)
{
    switch (task->role) {
    case TASK_ROLE_DAG:
        if (task_check_total(task, task->component->dag->task_count, err) != 0) {
            return -1;
        }
        dag_begin(task);
        return 0;
    case TASK_ROLE_LOOP:
        return loop_begin(task, err);
    case TASK_ROLE_CONTAINER:
    case TASK_ROLE_IMPORTER:
    case TASK_ROLE_VOLUME:
        break;
    }
    task_dispatch(task);
    return 0;
}

static void task_begin(struct task *task)
{
    struct err err = ERR_INIT;
    bool is_wanted = false;
    if (task_prepare(task, &is_wanted, &err) != 0) {
        task_fail(task, err.msg);
    } else if (!is_wanted) {
        task_end(task, TASK_STATE_NOT_TRIGGERED);
    } else if (task_start(task, &err) != 0) {
        task_fail(task, err.msg);
    }
}

/* The run was asked to end, and this task waits. True: it is an exit task that may still run. */
static bool task_survives_cancel(struct task *task)
{
    bool is_exit = task_is_exit(task);
    if (is_exit && task->waits_for > 0) {
        return true;
    }
    if (is_exit && task_follows_begun(task)) {
        task->is_exempt = true;
        return true;
    }
    errand_cancel(task);
    task_end(task, TASK_STATE_CANCELED);
    return false;
}

static void task_consider(struct task *task)
{
    if (task->state == TASK_STATE_RUNNING) {
        if (task->role == TASK_ROLE_LOOP) {
            loop_step(task);
        } else if (task->role == TASK_ROLE_DAG && task->open_children == 0) {
            dag_end(task);
        }
        return;
    }
    if (task->state != TASK_STATE_WAITING) {
        return;
    }
    if (task_is_to_end(task) && !task_survives_cancel(task)) {
        return;
    }
    bool is_under_way = task->retry_us > 0 || task->errand != NULL || task->is_queued;
    if (task->waits_for > 0 || is_under_way) {
        return;
    }
    if (task_unsatisfied_by(task) == NULL) {
        task_begin(task);
    } else {
        task_end(task, TASK_STATE_UNSCHEDULABLE);
    }
}

void run_step(struct live *run)
{
    while (!run->is_gone && !run_state_is_final(run->state) && run->dirty.count < STEP_TASKS_MAX) {
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
    return 0;
}

/* The pipeline may have changed since: a recurring run may follow its newest version. */
static int bind_artifacts(struct live *run, struct err *err)
{
    json_t *given = json_object_get(run->record, "artifacts");
    run->root->artifacts = json_is_object(given) ? json_incref(given) : json_object();
    return plan_check_artifacts(run->plan, run->root->artifacts, err);
}

int run_make_root(struct live *run, struct err *err)
{
    run->root = task_new(run, NULL, NULL, run->plan->root, 0);
    return bind_params(run, err) == 0 ? bind_artifacts(run, err) : -1;
}

void run_begin(struct live *run)
{
    if (run->state == RUN_STATE_CANCELING) {
        run_finish(run, RUN_STATE_CANCELED, NULL);
        return;
    }
    struct err err = ERR_INIT;
    if (task_check_total(run->root, run->plan->root->dag->task_count, &err) != 0) {
        run_fail(run, err.msg);
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
    run_watch_deadline(run);
}
