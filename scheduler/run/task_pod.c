/* SPDX-License-Identifier: Apache-2.0 */
/* The scope that settings of a task's pod refer to: the DAG that the task is in. */
#include "run/task_pod.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "run/live.h"

/* The DAG whose tasks are this one's siblings: of an iteration, that which its loop is in. */
static const struct task *dag_of(const struct task *task)
{
    const struct task *dag = task->parent;
    return dag->role == TASK_ROLE_LOOP ? dag->parent : dag;
}

static const json_t *find_in_scope(void *owner, const struct scope_ref *ref)
{
    const struct task *task = owner, *dag = dag_of(task);
    if (ref->kind == SOURCE_COMPONENT_INPUT) {
        return json_object_get(dag->params, ref->source);
    }
    for (size_t i = 0; i < dag->child_count; i++) {
        const struct task *sibling = dag->children[i];
        if (sibling != NULL && strcmp(sibling->def->key, ref->producer) == 0) {
            return json_object_get(sibling->out_params, ref->key);
        }
    }
    return NULL;
}

json_t *task_pod_parts(const struct task *task, struct err *err)
{
    const struct container *container = task->component->container;
    if (container == NULL || container->pod == NULL) {
        return json_object();
    }
    struct run_context run = task_run_context(task);
    return pod_config_resolve(container->pod, find_in_scope, (void *)task, &run, err);
}
