/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What flows between tasks: a task's inputs from where it was wired to, and a DAG's outputs from
 * its children (kfp-semantics.md sections 3 and 7). DAG outputs are computed when the DAG ends,
 * so a consumer never looks further than its siblings and its parent.
 */
#include "run/live.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "run/engine.h"
#include "scheduler/artifact.h"

struct run_context task_run_context(const struct task *task)
{
    const struct live *run = task->run;
    return (struct run_context){
        .run_id = run->id.text,
        .run_name = live_text(run, "name"),
        .pipeline_name = run->plan->name,
        .task_key = task->def == NULL ? "" : task->def->key,
        .task_id = task->id.text,
        .created_us = jget_i64(run->record, "created_us", 0),
        .scheduled_us = jget_i64(run->record, "scheduled_us", 0),
        .pipeline_root =
            run->root_uri != NULL ? run->root_uri : artifact_store_root(run->engine->set.artifacts),
        .workspace_path = live_workspace_path(task->run),
    };
}

/* Borrowed or fresh value of a binding's source; NULL when it gave none. *fresh: to be freed. */
static json_t *source_value(
    const struct task *task, const struct input_binding *binding, bool is_artifact, json_t **fresh)
{
    const struct task *dag = task->parent;
    const struct task *producer = NULL;
    switch (binding->kind) {
    case SOURCE_COMPONENT_INPUT:
        return json_object_get(is_artifact ? dag->artifacts : dag->params, binding->source);
    case SOURCE_TASK_OUTPUT:
        producer = dag->children[binding->producer];
        return json_object_get(
            is_artifact ? producer->out_artifacts : producer->out_params, binding->key);
    case SOURCE_FINAL_STATUS:
        *fresh = final_status(dag->children[binding->producer]);
        return *fresh;
    case SOURCE_CONSTANT:
        return NULL; /* task_params_finish takes it from the binding */
    }
    return NULL;
}

static void collect_raw(const struct task *task, json_t *raw)
{
    for (size_t i = 0; i < task->def->param_count; i++) {
        const struct input_binding *binding = &task->def->params[i];
        json_t *fresh CLEANUP(json_decrefp) = NULL;
        json_t *value = source_value(task, binding, false, &fresh);
        if (value != NULL) {
            json_object_set(raw, binding->name, value);
        }
    }
}

static int resolve_artifact(struct task *task, const struct input_binding *binding, struct err *err)
{
    json_t *fresh CLEANUP(json_decrefp) = NULL;
    json_t *list = source_value(task, binding, true, &fresh);
    const struct artifact_def *def = binding->artifact;
    if (list == NULL || json_array_size(list) == 0) {
        bool is_fine = def == NULL || def->is_optional || (def->is_list && list != NULL);
        if (!is_fine) {
            return err_set(err, ERR_INVALID,
                "task %s: input artifact '%s' has no value: %s did not produce '%s'", task->path,
                binding->name,
                binding->kind == SOURCE_TASK_OUTPUT
                    ? task->parent->children[binding->producer]->path
                    : "the enclosing pipeline",
                binding->kind == SOURCE_TASK_OUTPUT ? binding->key : binding->source);
        }
        if (list == NULL) {
            return 0;
        }
    }
    json_object_set(task->artifacts, binding->name, list);
    return 0;
}

static int resolve_artifacts(struct task *task, struct err *err)
{
    for (size_t i = 0; i < task->def->artifact_count; i++) {
        if (resolve_artifact(task, &task->def->artifacts[i], err) != 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < task->component->artifact_in_count; i++) {
        const struct artifact_def *def = &task->component->artifacts_in[i];
        const struct iterator *iterator = task->def->iterator;
        if (iterator != NULL && str_eq(def->name, iterator->item_input)) {
            continue; /* each iteration gets its own */
        }
        if (!def->is_optional && json_object_get(task->artifacts, def->name) == NULL) {
            return err_set(err, ERR_INVALID,
                "task %s: input artifact '%s' is required and nothing is wired to it", task->path,
                def->name);
        }
    }
    return 0;
}

int task_resolve_inputs(struct task *task, struct err *err)
{
    json_t *raw CLEANUP(json_decrefp) = json_object();
    json_t *provided CLEANUP(json_decrefp) = NULL;
    json_t *params = NULL;
    collect_raw(task, raw);
    struct run_context context = task_run_context(task);
    if (task_params_finish(task->def, raw, &context, &provided, &params, err) != 0) {
        return -1;
    }
    json_decref(task->params);
    task->params = params;
    json_decref(task->artifacts);
    task->artifacts = json_object();
    json_decref(task->defaulted);
    task->defaulted = NULL;
    const char *name;
    json_t *value;
    json_object_foreach(params, name, value)
    {
        if (json_object_get(provided, name) == NULL) {
            task->defaulted = task->defaulted == NULL ? json_array() : task->defaulted;
            json_array_append_new(task->defaulted, json_string(name));
        }
    }
    return resolve_artifacts(task, err);
}

/* The first selector whose producer succeeded and has the output. NULL: none. */
static json_t *pick_output(
    const struct task *dag, const struct dag_output *output, bool is_artifact)
{
    for (size_t i = 0; i < output->selector_count; i++) {
        const struct output_selector *selector = &output->selectors[i];
        const struct task *producer = dag->children[selector->producer];
        if (producer->state != TASK_STATE_SUCCEEDED && producer->state != TASK_STATE_CACHED) {
            continue;
        }
        json_t *value = json_object_get(
            is_artifact ? producer->out_artifacts : producer->out_params, selector->key);
        if (value != NULL) {
            return value;
        }
    }
    return NULL;
}

void task_collect_outputs(struct task *task)
{
    const struct dag *dag = task->component->dag;
    json_decref(task->out_params);
    json_decref(task->out_artifacts);
    task->out_params = json_object();
    task->out_artifacts = json_object();
    if (task->role == TASK_ROLE_LOOP) {
        loop_collect_outputs(task);
        return;
    }
    for (size_t i = 0; i < dag->param_count; i++) {
        json_t *value = pick_output(task, &dag->params[i], false);
        if (value != NULL) {
            json_object_set(task->out_params, dag->params[i].name, value);
        }
    }
    for (size_t i = 0; i < dag->artifact_count; i++) {
        json_t *list = pick_output(task, &dag->artifacts[i], true);
        if (list != NULL) {
            json_object_set(task->out_artifacts, dag->artifacts[i].name, list);
        }
    }
}
