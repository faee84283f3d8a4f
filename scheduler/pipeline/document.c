/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of a file's documents is the pipeline and which the platform settings, and unwrapping
 * the forms in which they travel (kfp-semantics.md 1.2 and 1.3).
 */
#include "pipeline/draft.h"

#include "pipeline/component_v1.h"

#include "base/pool.h"
#include "base/util.h"

#include <string.h>

static const char *const spec_fields[] = {
    "pipelineInfo", "root", "deploymentSpec", "components", "schemaVersion", NULL};

struct picker {
    struct pool *pool;
    struct complaints *complaints;
    const struct tree *spec, *platform, *job;
};

static bool has_any(const struct tree *map, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (tree_get(map, *names) != NULL) {
            return true;
        }
    }
    return false;
}

/* One of each kind per file. */
static void pick(
    struct picker *p, const struct tree **slot, const struct tree *doc, const char *what)
{
    if (*slot == NULL) {
        *slot = doc;
        return;
    }
    complain(p->complaints, tree_place(doc), &PATH_ROOT,
        "a second %s; the first begins in line %u. A file holds one of each", what, (*slot)->line);
}

static void pick_platform(struct picker *p, const struct tree *doc)
{
    struct path top = PATH_ROOT;
    struct path here = {.up = &top, .key = "platforms"};
    const struct tree *platforms = tree_get(doc, "platforms");
    if (platforms != NULL && platforms->kind != TREE_MAP) {
        complain(p->complaints, tree_place(platforms), &here, "expected a map with 'kubernetes'");
    } else if (tree_get(platforms, "kubernetes") != NULL) {
        pick(p, &p->platform, doc, "platform document");
    } else {
        complain_mildly(p->complaints, tree_place(doc), &here,
            "settings for platforms other than kubernetes are ignored");
    }
}

static void pick_document(struct picker *p, const struct tree *doc)
{
    if (doc->kind != TREE_MAP) {
        complain(p->complaints, tree_place(doc), &PATH_ROOT,
            "expected a map with pipelineInfo, root, components and deploymentSpec, as the kfp "
            "compiler writes it");
        return;
    }
    const struct tree *spec = tree_get(doc, "pipelineSpec");
    const struct tree *platform = tree_get(doc, "platformSpec");
    if (spec != NULL && !has_any(doc, spec_fields)) {
        /* {pipeline_spec, platform_spec}, or a PipelineJob. */
        pick(p, &p->spec, spec, "pipeline document");
        if (!tree_is_null(platform)) {
            pick_platform(p, platform);
        }
        const struct tree *config = tree_get(doc, "runtimeConfig");
        p->job = config != NULL && config->kind == TREE_MAP ? config : p->job;
    } else if (has_any(doc, spec_fields)) {
        pick(p, &p->spec, doc, "pipeline document");
    } else if (tree_get(doc, "platforms") != NULL) {
        pick_platform(p, doc);
    } else if (tree_get(doc, "implementation") != NULL) {
        const struct tree *converted = component_v1_convert(doc, p->pool, p->complaints);
        if (converted != NULL) {
            pick(p, &p->spec, converted, "pipeline document");
        }
    } else {
        const char *what = unsupported_document(doc);
        if (what != NULL) {
            complain(p->complaints, tree_place(doc), &PATH_ROOT, "%s", what);
        } else {
            complain_mildly(p->complaints, tree_place(doc), &PATH_ROOT,
                "this document is neither a pipeline nor platform settings; ignored");
        }
    }
}

int pick_documents(struct draft *d, struct tree **docs, size_t count)
{
    struct complaints *complaints = d->complaints;
    struct picker p = {.pool = d->pool, .complaints = complaints};
    size_t errors = complaints->errors;
    for (size_t i = 0; i < count; i++) {
        pick_document(&p, docs[i]);
    }
    if (p.spec == NULL && complaints->errors == errors) {
        complain(complaints, (struct place){0, 0}, &PATH_ROOT,
            count == 0 ? "the file is empty; expected a pipeline as the kfp compiler writes it"
                       : "no pipeline in this file: it needs pipelineInfo.name, root and "
                         "components, as the kfp compiler writes it");
    }
    if (p.spec != NULL && p.spec->kind != TREE_MAP) {
        struct path top = PATH_ROOT;
        struct path here = {.up = &top, .key = "pipeline_spec"};
        complain(complaints, tree_place(p.spec), &here, "expected a map");
        return -1;
    }
    d->spec = p.spec;
    d->platform = p.platform;
    d->job = p.job;
    return p.spec != NULL ? 0 : -1;
}
