/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run that was asked to end: what runs is told to end, what waits is dropped. With the setting
 * run-exit-tasks-on-cancel its exit tasks still run, until they end, their time is over, or it is
 * asked again. A run that has had the time that its pipeline allows ends in the same way, without
 * exit tasks; when that is follows from its record.
 */
#include "run/live.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "run/engine.h"

static void attempt_cancel(struct task *task)
{
    if (task->is_started && !task->is_canceling) {
        const struct executor *executor = &task->run->engine->set.executor;
        struct attempt_name name = task_attempt_name(task);
        task->is_canceling = true;
        executor->ops->cancel(executor->self, &name);
    }
}

/*
 * Tasks that wait are not ended here but considered one by one: there may be many, and a step only
 * does so many at once. An exit task that has begun is exempt with all that is in it.
 */
static void cancel_tree(struct task *task, bool is_exempt)
{
    task->is_exempt = is_exempt || (task->state == TASK_STATE_RUNNING && task_is_exit(task)) ||
                      (task->state == TASK_STATE_WAITING && task->tries > 0 && task_is_exit(task));
    if (task->state == TASK_STATE_WAITING) {
        work_push(task);
        return;
    }
    if (task->state != TASK_STATE_RUNNING) {
        return;
    }
    if (!task_has_children(task)) {
        if (!task->is_exempt) {
            attempt_cancel(task);
        }
        return;
    }
    for (size_t i = 0; i < task->child_count; i++) {
        if (task->children[i] != NULL) {
            cancel_tree(task->children[i], task->is_exempt);
        }
    }
    work_push(task);
}

/* Whoever waits for a slot is considered instead; exempt ones line up again. */
static void queue_clear(struct live *run)
{
    for (size_t left = run->queue.count; left > 0; left--) {
        struct task *task = queue_pop(run);
        if (task->state == TASK_STATE_WAITING && task->is_exempt) {
            queue_push(task);
        }
    }
}

static void cancel_all(struct live *run)
{
    if (run->root != NULL && run->root->state == TASK_STATE_RUNNING) {
        cancel_tree(run->root, false);
        queue_clear(run);
    }
    live_touch(run);
}

void run_on_exit_limit(void *owner)
{
    struct live *run = owner;
    if (run->exit_tasks_may_run && run->state == RUN_STATE_CANCELING) {
        LOG_WARN("exit tasks have had their time", "run=%s", run->id.text);
        run->exit_tasks_may_run = false;
        cancel_all(run);
    }
}

/* When it was first asked to end, also if that was another daemon's time. */
static int64_t asked_us(const struct live *run)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(run->record, "history"), i, entry)
    {
        if (str_eq(jget_str(entry, "state", ""), "CANCELING")) {
            return jget_i64(entry, "at_us", 0);
        }
    }
    return clock_now_us();
}

void run_begin_cancel(struct live *run)
{
    const struct engine_settings *set = &run->engine->set;
    if (run_state_is_final(run->state)) {
        return;
    }
    bool is_first = run->cancel_us == 0;
    if (is_first) {
        run->cancel_us = asked_us(run);
        run->exit_tasks_may_run = set->run_exit_tasks_on_cancel && !run->is_over_time;
        if (run->exit_tasks_may_run) {
            timer_start_at(
                &run->exit_limit, run->cancel_us + set->exit_tasks_timeout_ms * US_PER_MS);
        }
    }
    if (run->state != RUN_STATE_CANCELING) {
        /* The record says so already (run_cancel.lua): nothing to save about that. */
        LOG_INFO(
            "run state", "run=%s from=%s to=CANCELING", run->id.text, run_state_name(run->state));
        run->state = RUN_STATE_CANCELING;
    }
    if (run->is_waiting) {
        run->is_waiting = false;
        run_begin(run); /* which ends it */
        return;
    }
    if (run->cancels > 1 && run->exit_tasks_may_run) {
        run->exit_tasks_may_run = false;
        is_first = true;
    }
    if (is_first) {
        cancel_all(run);
    }
}

/* ---- activeDeadlineSeconds ---- */

static int64_t time_allowed_s(const struct live *run)
{
    return run->plan == NULL || run->plan->config == NULL ? 0 : run->plan->config->deadline_s;
}

char *run_over_time_text(const struct live *run)
{
    return xasprintf(
        "the run had not ended %lld s after its start, and its pipeline allows no more "
        "(activeDeadlineSeconds)",
        (long long)time_allowed_s(run));
}

void run_on_deadline(void *owner)
{
    struct live *run = owner;
    if (run->is_over_time || run_state_is_final(run->state)) {
        return;
    }
    LOG_WARN(
        "run's time is over", "run=%s seconds=%lld", run->id.text, (long long)time_allowed_s(run));
    run->is_over_time = true;
    run->exit_tasks_may_run = false;
    cancel_all(run);
}

void run_watch_deadline(struct live *run)
{
    int64_t allowed_s = time_allowed_s(run);
    int64_t at_us = run->started_us + allowed_s * US_PER_S;
    if (allowed_s > 0 && clock_now_us() >= at_us) {
        run_on_deadline(run); /* at once, so that nothing more begins */
    } else if (allowed_s > 0) {
        timer_start_at(&run->deadline, at_us);
    }
}
