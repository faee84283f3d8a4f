/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KFP has and rondo does not run. Each rule refuses the pipeline at compile time, with the
 * place and what to write instead; nothing is ever skipped in silence.
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

static void refuse_member(struct draft *d, const struct tree *map, const char *name,
    const struct path *up, const char *what)
{
    const struct tree *node = tree_get(map, name);
    if (node != NULL && !tree_is_null(node)) {
        struct path here = {.up = up, .key = name};
        complain(d->complaints, tree_place(node), &here, "%s", what);
    }
}

static void refuse_executor(
    struct draft *d, const struct draft_executor *e, const struct path *path)
{
    refuse_member(d, e->node, "resolver", path,
        "a resolver looks for artifacts in a metadata store, which rondo does not have; import the "
        "artifact by its URI (dsl.importer)");
    refuse_member(d, e->node, "customJob", path,
        "customJob is a job of Vertex AI, which rondo does not start; compile the component as a "
        "container");
    const char *image = e->kind == EXECUTOR_CONTAINER ? e->container.image : NULL;
    enum volume_op op;
    if (image == NULL || !str_starts(image, "argostub/") || volume_image(image, &op)) {
        return;
    }
    struct path container = {.up = path, .key = "container"};
    struct path here = {.up = &container, .key = "image"};
    complain(d->complaints, e->place, &here,
        "'%s' is not an operation of the engine; those are argostub/createpvc and "
        "argostub/deletepvc",
        image);
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
    const struct tree *kind = tree_get(doc, "kind");
    if (kind != NULL && kind->kind == TREE_SCALAR && strcmp(kind->text, "Workflow") == 0) {
        return "this is an Argo Workflow, as KFP 1 wrote it; compile the pipeline with kfp 2";
    }
    return NULL;
}
