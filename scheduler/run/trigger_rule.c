/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May a task run? Its trigger strategy looks at the tasks that it depends on, its condition at its
 * inputs; and exit tasks may run although the run was asked to end.
 */
#include "run/live.h"

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "run/engine.h"

static const struct task *dependency(const struct task *task, size_t i)
{
    return task->parent->children[task->def->deps[i]];
}

const struct task *task_unsatisfied_by(const struct task *task)
{
    if (task->iteration >= 0 || task->def->strategy == TRIGGER_ALL_COMPLETED) {
        return NULL;
    }
    for (size_t i = 0; i < task->def->dep_count; i++) {
        const struct task *before = dependency(task, i);
        if (before->state != TASK_STATE_SUCCEEDED && before->state != TASK_STATE_CACHED) {
            return before;
        }
    }
    return NULL;
}

bool task_is_exit(const struct task *task)
{
    return task->run->exit_tasks_may_run && task->def != NULL && task->iteration < 0 &&
           task->def->strategy == TRIGGER_ALL_COMPLETED;
}

bool task_follows_begun(const struct task *task)
{
    for (size_t i = 0; i < task->def->dep_count; i++) {
        const struct task *before = dependency(task, i);
        if (before->started_us != 0 || before->state == TASK_STATE_SUCCEEDED ||
            before->state == TASK_STATE_CACHED || before->state == TASK_STATE_FAILED) {
            return true;
        }
    }
    return false;
}

int task_check_condition(const struct task *task, bool *out, struct err *err)
{
    *out = true;
    if (task->def->when == NULL) {
        return 0;
    }
    json_t *none CLEANUP(json_decrefp) = json_object();
    json_t *input CLEANUP(json_decrefp) =
        executor_input_build(task->component, task->params, task->artifacts, none, "", NULL);
    if (condition_eval(task->def->when, input, out, err) != 0) {
        return err_wrap(err, "task %s: condition %s", task->path, task->def->condition);
    }
    return 0;
}
