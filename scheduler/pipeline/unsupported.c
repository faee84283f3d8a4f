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

void refuse_unsupported(struct draft *d)
{
    struct path top = PATH_ROOT;
    struct path deployment = {.up = &top, .key = "deploymentSpec"};
    struct path executors = {.up = &deployment, .key = "executors"};
    for (size_t i = 0; i < d->executor_count; i++) {
        struct path here = {.up = &executors, .key = d->executor_list[i].label};
        refuse_executor(d, &d->executor_list[i], &here);
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
