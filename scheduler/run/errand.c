/* SPDX-License-Identifier: Apache-2.0 */
/* What a task does once it may run, and errands in general. See live.h. */
#include "run/errand.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/workspace.h"

void *errand_new(struct task *task, size_t size, void (*drop)(struct errand *errand))
{
    assert(task->errand == NULL && size >= sizeof(struct errand));
    struct errand *errand = xcalloc(1, size);
    errand->task = task;
    errand->drop = drop;
    task->errand = errand;
    return errand;
}

void errand_end(struct errand *errand)
{
    struct task *task = errand->task;
    assert(task->errand == errand);
    task->errand = NULL;
    loop_defer_cancel(task->run->engine->set.loop, &errand->turn);
    if (errand->drop != NULL) {
        errand->drop(errand);
    }
    free(errand);
}

void errand_fail(struct errand *errand, const char *text)
{
    struct task *task = errand->task;
    char *whole CLEANUP(cleanup_free) = xasprintf("task %s: %s", task->path, text);
    errand_end(errand);
    task_set_error(task, whole);
    task_end(task, TASK_STATE_FAILED);
}

void errand_cancel(struct task *task)
{
    if (task->errand != NULL) {
        errand_end(task->errand);
    }
}

json_t *errand_executor_input(const struct task *task)
{
    json_t *none CLEANUP(json_decrefp) = json_object();
    return executor_input_build(task->component, task->params, task->artifacts, none, "", NULL);
}

/* ---- containers ---- */

struct waiting {
    struct errand errand;
    struct workspace_wait wait;
};

static void waiting_drop(struct errand *errand)
{
    workspace_wait_cancel(&((struct waiting *)errand)->wait);
}

static void waiting_on_workspace(void *owner, const struct err *err)
{
    struct waiting *waiting = owner;
    struct task *task = waiting->errand.task;
    if (err != NULL) {
        char *text CLEANUP(cleanup_free) =
            xasprintf("the run's workspace could not be made: %s", err->msg);
        errand_fail(&waiting->errand, text);
        return;
    }
    errand_end(&waiting->errand);
    queue_push(task);
    live_touch(task->run);
}

void container_go(struct task *task)
{
    if (!task_needs_workspace(task) || workspace_is_ready(task->run)) {
        queue_push(task);
        live_touch(task->run);
        return;
    }
    struct waiting *waiting = errand_new(task, sizeof(*waiting), waiting_drop);
    workspace_make(task->run, &waiting->wait, waiting_on_workspace, waiting);
}

void task_dispatch(struct task *task)
{
    if (task->errand != NULL) {
        return;
    }
    switch (task->role) {
    case TASK_ROLE_CONTAINER:
        if (task->tries == 0) {
            cache_begin(task);
        } else { /* a retry: it was looked for before the first attempt */
            container_go(task);
        }
        return;
    case TASK_ROLE_IMPORTER:
        import_begin(task);
        return;
    case TASK_ROLE_VOLUME:
        volume_begin(task);
        return;
    case TASK_ROLE_DAG:
    case TASK_ROLE_LOOP:
        break;
    }
    assert(!"only leaves are dispatched");
}
