/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart: the tree of a run from its saved task records. What had ended counts, what was
 * running is started again (executors know attempts by name), what waited is looked at anew. What
 * lies below a DAG that has ended is not needed any more.
 */
#include "run/live.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "run/engine.h"

/* A final child counts for its DAG and for those that wait for it, as in task_end(). */
static void count_end(struct task *dag, const struct task *child)
{
    dag->open_children--;
    for (size_t i = dag->dependents_of[child->index]; i < dag->dependents_of[child->index + 1];
         i++) {
        dag->children[dag->dependents[i]]->waits_for--;
    }
}

/* The first failure explains the DAG's. */
static void find_error(struct task *dag)
{
    const struct task *first = NULL;
    for (size_t i = 0; i < dag->child_count; i++) {
        const struct task *child = dag->children[i];
        if (child->state == TASK_STATE_FAILED &&
            (first == NULL || child->ended_us < first->ended_us)) {
            first = child;
        }
    }
    if (first != NULL) {
        task_set_error(dag, first->error);
    }
}

static void resume_waiting(struct task *task)
{
    if (task->retry_us > 0) {
        timer_start_at(&task->retry, task->retry_us);
    } else if (task->waits_for == 0) {
        work_push(task);
    }
}

static void resume_attempt(struct task *task)
{
    task->is_adopted = true;
    engine_slot_take(task);
    LOG_INFO("step resumed", "run=%s task=%s attempt=%d", task->run->id.text, LOG_Q(task->path),
        task->tries - 1);
}

static int rebuild_dag(struct task *dag, const struct map *records, struct err *err)
{
    dag->state = TASK_STATE_RUNNING;
    task_make_children(dag);
    for (size_t i = 0; i < dag->child_count; i++) {
        struct task *child = dag->children[i];
        const json_t *record = map_get(records, child->path);
        if (record != NULL && task_from_json(child, record, err) != 0) {
            return -1;
        }
        if (child->state == TASK_STATE_RUNNING && child->params == NULL) {
            return err_set(err, ERR_INTERNAL, "task %s: it is recorded as running without inputs",
                child->path);
        }
        if (task_state_is_final(child->state)) {
            count_end(dag, child);
        }
    }
    find_error(dag);
    for (size_t i = 0; i < dag->child_count; i++) {
        struct task *child = dag->children[i];
        if (child->state == TASK_STATE_WAITING) {
            resume_waiting(child);
        } else if (child->state == TASK_STATE_RUNNING &&
                   child->component->kind == COMPONENT_CONTAINER) {
            resume_attempt(child);
        } else if (child->state == TASK_STATE_RUNNING && rebuild_dag(child, records, err) != 0) {
            return -1;
        }
    }
    if (dag->open_children == 0) {
        work_push(dag);
    }
    return 0;
}

int run_rebuild(struct live *run, struct err *err)
{
    struct map *records = map_new(NULL);
    size_t i;
    json_t *record;
    json_array_foreach(json_object_get(run->record, "tasks"), i, record)
    {
        map_put(records, jget_str(record, "path", ""), record);
        if (str_eq(jget_str(record, "kind", NULL), "container") &&
            str_eq(jget_str(record, "state", NULL), "FAILED")) {
            run->failed_tasks++;
        }
    }
    run->has_started = true;
    int result = rebuild_dag(run->root, records, err);
    map_free(records);
    return result;
}

void run_resume_attempts(struct task *task)
{
    if (task->component->kind == COMPONENT_CONTAINER) {
        if (task->is_adopted && task->state == TASK_STATE_RUNNING) {
            attempt_start(task);
        }
        return;
    }
    for (size_t i = 0; i < task->child_count; i++) {
        run_resume_attempts(task->children[i]);
    }
}
