/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KFP has and rondo does not run yet. Each rule refuses the pipeline at compile time and
 * names the feature and the place; nothing is ever skipped in silence. A feature that is built
 * deletes its rule here.
 *
 * Caching has no rule: cachingOptions.enableCache permits reuse of earlier results, it does not
 * demand it, so running the task is always right.
 */
#include "pipeline/draft.h"

#include "base/util.h"

#include <string.h>

#define NOT_YET " is not supported yet"

static void refuse(struct draft *d, struct place place, const struct path *path, const char *what)
{
    complain(d->complaints, place, path, "%s" NOT_YET, what);
}

/* ---- tasks ---- */

static void refuse_member(struct draft *d, const struct tree *map, const char *name,
    const struct path *up, const char *what)
{
    const struct tree *node = tree_get(map, name);
    if (node != NULL && !tree_is_null(node)) {
        struct path here = {.up = up, .key = name};
        refuse(d, tree_place(node), &here, what);
    }
}

static void refuse_in_task(struct draft *d, const struct draft_task *t, const struct path *path)
{
    refuse_member(
        d, t->node, "parameterIterator", path, "a loop over parameters (dsl.ParallelFor)");
    refuse_member(d, t->node, "artifactIterator", path, "a loop over artifacts (dsl.ParallelFor)");
    struct path trigger = {.up = path, .key = "triggerPolicy"};
    if (t->def.condition != NULL && t->def.condition[0] != '\0') {
        refuse_member(d, tree_get(t->node, "triggerPolicy"), "condition", &trigger,
            "a condition (dsl.If, dsl.Elif, dsl.Else)");
    }
    if (t->def.strategy == TRIGGER_ALL_COMPLETED) {
        refuse_member(d, tree_get(t->node, "triggerPolicy"), "strategy", &trigger,
            "an exit handler (dsl.ExitHandler, ignore_upstream_failure)");
    }
    if (t->def.retry.max_count > 0) {
        refuse_member(d, t->node, "retryPolicy", path, "retrying a task (set_retry)");
    }
    struct path inputs = {.up = path, .key = "inputs"};
    struct path params = {.up = &inputs, .key = "parameters"};
    for (size_t i = 0; i < t->param_count; i++) {
        if (t->params[i].def.kind == SOURCE_FINAL_STATUS && !t->params[i].is_broken) {
            struct path here = {.up = &params, .key = t->params[i].def.name};
            refuse(d, t->params[i].place, &here, "taskFinalStatus (dsl.PipelineTaskFinalStatus)");
        }
    }
}

static void refuse_in_outputs(struct draft *d, const struct draft_output *list, size_t count,
    const char *name, const struct path *dag)
{
    struct path outputs = {.up = dag, .key = "outputs"};
    struct path params = {.up = &outputs, .key = name};
    for (size_t i = 0; i < count; i++) {
        if (list[i].count > 1) {
            struct path here = {.up = &params, .key = list[i].name};
            refuse(d, list[i].place, &here, "an output chosen from several tasks (dsl.OneOf)");
        }
    }
}

/* ---- components and executors ---- */

static void refuse_in_component(
    struct draft *d, const struct draft_component *c, const struct path *path)
{
    refuse_member(
        d, c->node, "taskConfigPassthroughs", path, "taskConfigPassthroughs (TASK_CONFIG)");
    refuse_member(d, c->node, "singlePlatformSpecs", path, "singlePlatformSpecs");
    struct path defs = {.up = path, .key = "inputDefinitions"};
    struct path params = {.up = &defs, .key = "parameters"};
    for (size_t i = 0; i < c->def.param_in_count; i++) {
        const struct param_def *p = &c->def.params_in[i];
        struct path here = {.up = &params, .key = p->name};
        if (p->type == VALUE_TASK_CONFIG) {
            refuse(d, c->place, &here, "a parameter of type TASK_CONFIG (dsl.TaskConfig)");
        } else if (p->type == VALUE_TASK_FINAL_STATUS) {
            refuse(d, c->place, &here,
                "a parameter of type TASK_FINAL_STATUS (dsl.PipelineTaskFinalStatus)");
        }
    }
}

static void refuse_executor(
    struct draft *d, const struct draft_executor *e, const struct path *path)
{
    static const struct {
        const char *field, *what;
    } kinds[] = {
        {"importer", "an importer (dsl.importer)"},
        {"resolver", "a resolver"},
        {"customJob", "a Vertex AI custom job (customJob)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        refuse_member(d, e->node, kinds[i].field, path, kinds[i].what);
    }
    const char *image = e->kind == EXECUTOR_CONTAINER ? e->container.image : NULL;
    if (image == NULL || !str_starts(image, "argostub/")) {
        return;
    }
    struct path container = {.up = path, .key = "container"};
    struct path here = {.up = &container, .key = "image"};
    refuse(d, e->place, &here,
        strcmp(image, "argostub/createpvc") == 0   ? "creating a volume (kubernetes.CreatePVC)"
        : strcmp(image, "argostub/deletepvc") == 0 ? "deleting a volume (kubernetes.DeletePVC)"
                                                   : "a task done by the engine (argostub/)");
}

/* ---- the platform document ---- */

static bool is_empty(const struct tree *node)
{
    return tree_is_null(node) || (node->kind != TREE_SCALAR && node->count == 0);
}

/* Everything in it asks for something; only empty maps do not. */
static void refuse_in_platform(struct draft *d, const struct tree *kubernetes)
{
    struct path top = PATH_ROOT;
    struct path platforms = {.up = &top, .key = "platforms"};
    struct path here = {.up = &platforms, .key = "kubernetes"};
    struct path deployment = {.up = &here, .key = "deploymentSpec"};
    struct path executors = {.up = &deployment, .key = "executors"};
    struct path config = {.up = &here, .key = "pipelineConfig"};
    const struct tree *map =
        read_map(d, read_map(d, kubernetes, "deploymentSpec", &here), "executors", &deployment);
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        const struct tree *settings = map->pairs[i].value;
        struct path executor = {.up = &executors, .key = map->pairs[i].key};
        for (size_t k = 0; settings->kind == TREE_MAP && k < settings->count; k++) {
            const struct tree_pair *pair = &settings->pairs[k];
            struct path field = {.up = &executor, .key = pair->key};
            if (!is_empty(pair->value)) {
                refuse(d, (struct place){pair->line, pair->column}, &field,
                    "a Kubernetes setting of a task (platform document)");
            }
        }
    }
    const struct tree *pipeline = read_map(d, kubernetes, "pipelineConfig", &here);
    for (size_t k = 0; pipeline != NULL && k < pipeline->count; k++) {
        const struct tree_pair *pair = &pipeline->pairs[k];
        struct path field = {.up = &config, .key = pair->key};
        if (!is_empty(pair->value)) {
            refuse(d, (struct place){pair->line, pair->column}, &field,
                "a Kubernetes setting of the pipeline (platform document)");
        }
    }
}

void refuse_unsupported(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct draft_component *c = d->list[i];
        struct path path[3];
        component_path(c, path);
        refuse_in_component(d, c, &path[2]);
        struct path dag = {.up = &path[2], .key = "dag"};
        struct path tasks = {.up = &dag, .key = "tasks"};
        for (size_t k = 0; k < c->task_count; k++) {
            struct path here = {.up = &tasks, .key = c->tasks[k].def.key};
            refuse_in_task(d, &c->tasks[k], &here);
        }
        refuse_in_outputs(d, c->params_out, c->param_out_count, "parameters", &dag);
        refuse_in_outputs(d, c->artifacts_out, c->artifact_out_count, "artifacts", &dag);
    }
    struct path top = PATH_ROOT;
    struct path deployment = {.up = &top, .key = "deploymentSpec"};
    struct path executors = {.up = &deployment, .key = "executors"};
    for (size_t i = 0; i < d->executor_count; i++) {
        struct path here = {.up = &executors, .key = d->executor_list[i].label};
        refuse_executor(d, &d->executor_list[i], &here);
    }
    if (d->platform != NULL) {
        const struct tree *platforms = tree_get(d->platform, "platforms");
        const struct tree *kubernetes = tree_get(platforms, "kubernetes");
        if (kubernetes != NULL) {
            refuse_in_platform(d, kubernetes);
        }
    }
}

const char *unsupported_document(const struct tree *doc)
{
    const struct tree *kind = tree_get(doc, "kind"),
                      *implementation = tree_get(doc, "implementation");
    if (kind != NULL && kind->kind == TREE_SCALAR && strcmp(kind->text, "Workflow") == 0) {
        return "this is an Argo Workflow, as KFP 1 wrote it; compile the pipeline with kfp 2";
    }
    if (implementation != NULL && implementation->kind == TREE_MAP) {
        return "this is a component file of KFP 1; running one directly is not supported yet: load "
               "it with kfp.components and compile a pipeline";
    }
    return NULL;
}
