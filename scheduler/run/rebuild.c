/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart: the tree of a run from its saved task records. What had ended counts, what was
 * running is started again (executors know attempts by name), what waited is looked at anew. What
 * lies below a DAG or an iteration that has ended is not needed any more.
 */
#include "run/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "run/engine.h"

struct rebuild {
    struct map *records; /* path -> record */
    int64_t with_record; /* instances made that have one */
    struct err *err;
};

/* The first failure explains the DAG's. */
struct first_failure {
    const json_t *record;
    int64_t ended_us;
};

static void find_first(struct first_failure *first, const json_t *record)
{
    int64_t ended_us = jget_i64(record, "ended_us", 0);
    if (str_eq(jget_str(record, "state", NULL), "FAILED") &&
        (first->record == NULL || ended_us < first->ended_us)) {
        *first = (struct first_failure){record, ended_us};
    }
}

static void take_error(struct task *parent, const struct first_failure *first)
{
    if (first->record != NULL) {
        task_set_error(parent, jget_str(first->record, "error", NULL));
        parent->exit_code = (int)jget_i64(first->record, "exit_code", -1);
    }
}

static int read_child(struct rebuild *r, struct task *child, const json_t *record)
{
    if (record == NULL) {
        return 0;
    }
    r->with_record++;
    return task_from_json(child, record, r->err);
}

static int rebuild_dag(struct rebuild *r, struct task *dag);
static int rebuild_loop(struct rebuild *r, struct task *loop);

/* A child that is not final. */
static int go_on(struct rebuild *r, struct task *child)
{
    bool has_begun = child->state == TASK_STATE_RUNNING || child->tries > 0;
    if (has_begun && child->iteration >= 0 && iteration_resolve(child, r->err) != 0) {
        return -1;
    }
    if (has_begun && child->params == NULL) {
        return err_set(
            r->err, ERR_INTERNAL, "task %s: it is recorded as begun without inputs", child->path);
    }
    if (child->state == TASK_STATE_WAITING) {
        if (child->retry_us > 0) {
            timer_start_at(&child->retry, child->retry_us);
        } else if (child->waits_for == 0) {
            work_push(child);
        }
        return 0;
    }
    switch (child->role) {
    case TASK_ROLE_DAG:
        return rebuild_dag(r, child);
    case TASK_ROLE_LOOP:
        return rebuild_loop(r, child);
    case TASK_ROLE_CONTAINER:
    case TASK_ROLE_IMPORTER:
    case TASK_ROLE_VOLUME:
        break;
    }
    child->is_adopted = true;
    engine_slot_take(child);
    LOG_INFO("step resumed", "run=%s task=%s attempt=%d", child->run->id.text, LOG_Q(child->path),
        child->tries - 1);
    return 0;
}

static int rebuild_dag(struct rebuild *r, struct task *dag)
{
    struct first_failure first = {0};
    dag->state = TASK_STATE_RUNNING;
    task_make_children(dag);
    for (size_t i = 0; i < dag->child_count; i++) {
        struct task *child = dag->children[i];
        const json_t *record = map_get(r->records, child->path);
        if (read_child(r, child, record) != 0) {
            return -1;
        }
        if (task_state_is_final(child->state)) {
            child_ended(dag, child);
            find_first(&first, record);
        }
    }
    take_error(dag, &first);
    for (size_t i = 0; i < dag->child_count; i++) {
        if (!task_state_is_final(dag->children[i]->state) && go_on(r, dag->children[i]) != 0) {
            return -1;
        }
    }
    if (dag->open_children == 0) {
        work_push(dag);
    }
    return 0;
}

static const json_t *iteration_record(
    const struct rebuild *r, const struct task *loop, size_t number)
{
    char *path CLEANUP(cleanup_free) = xasprintf("%s/%zu", loop->path, number);
    return map_get(r->records, path);
}

static int rebuild_iteration(struct rebuild *r, struct task *loop, size_t number)
{
    const json_t *record = iteration_record(r, loop, number);
    enum task_state state = TASK_STATE_WAITING;
    if (record != NULL && task_state_parse(jget_str(record, "state", ""), &state) != 0) {
        return err_set(r->err, ERR_INTERNAL, "task %s/%zu: its record has the unknown state '%s'",
            loop->path, number, jget_str(record, "state", ""));
    }
    if (task_state_is_final(state)) {
        loop_restore_ended(loop, number, state, json_object_get(record, "outputs"));
        return 0;
    }
    struct task *iteration = loop_restore(loop, number);
    return read_child(r, iteration, record) != 0 ? -1 : go_on(r, iteration);
}

static int rebuild_loop(struct rebuild *r, struct task *loop)
{
    struct first_failure first = {0};
    size_t begun = 0;
    if (loop_rebuild(loop, r->err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < loop->child_count; i++) {
        const json_t *record = iteration_record(r, loop, i);
        if (record != NULL) {
            begun = i + 1;
            find_first(&first, record);
        }
    }
    for (size_t i = 0; i < begun; i++) {
        if (rebuild_iteration(r, loop, i) != 0) {
            return -1;
        }
    }
    take_error(loop, &first);
    work_push(loop);
    return 0;
}

/* Tasks that failed by themselves: no task in them failed. */
static int count_failures(const json_t *tasks)
{
    struct map *above = map_new(NULL);
    int count = 0;
    size_t i;
    json_t *record;
    for (int pass = 0; pass < 2; pass++) {
        json_array_foreach(tasks, i, record)
        {
            if (!str_eq(jget_str(record, "state", NULL), "FAILED")) {
                continue;
            }
            if (pass == 0) {
                map_put(above, jget_str(record, "parent", ""), record);
            } else {
                count += !map_has(above, jget_str(record, "path", ""));
            }
        }
    }
    map_free(above);
    return count;
}

int run_rebuild(struct live *run, struct err *err)
{
    struct rebuild r = {.records = map_new(NULL), .err = err};
    const json_t *tasks = json_object_get(run->record, "tasks");
    size_t i;
    json_t *record;
    json_array_foreach(tasks, i, record)
    {
        map_put(r.records, jget_str(record, "path", ""), record);
    }
    run->failed_tasks = count_failures(tasks);
    run->has_started = true;
    int result = rebuild_dag(&r, run->root);
    /* Those without an instance have ended. */
    run->task_total += (int64_t)json_array_size(tasks) - r.with_record;
    map_free(r.records);
    return result;
}

void run_resume_attempts(struct task *task)
{
    if (!task_has_children(task)) {
        if (task->is_adopted && task->state == TASK_STATE_RUNNING) {
            attempt_resume(task);
        }
        return;
    }
    for (size_t i = 0; i < task->child_count; i++) {
        if (task->children[i] != NULL) {
            run_resume_attempts(task->children[i]);
        }
    }
}
