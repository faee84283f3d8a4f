/* SPDX-License-Identifier: Apache-2.0 */
/* From text to plan: runs the stages in draft.h and, if nobody complained, seals the result. */
#include "scheduler/plan.h"

#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/draft.h"

#include <assert.h>
#include <string.h>

static const char *const spec_fields[] = {"components", "defaultPipelineRoot", "deploymentSpec",
    "pipelineInfo", "root", "schemaVersion", "sdkVersion", NULL};
static const char *const info_fields[] = {"name", "displayName", "description", NULL};

static void free_json(void *json)
{
    json_decref(json);
}

#define MAX_PIPELINE_NAME 128

/*
 * It becomes a segment of artifact URIs. The SDK is stricter, ^[a-z0-9][a-z0-9-]{0,127}$; what
 * others write need only be usable.
 */
static bool pipeline_name_is_valid(const char *name)
{
    return name_is_usable(name) && strlen(name) <= MAX_PIPELINE_NAME && name[0] != '.' &&
           strpbrk(name, "abcdefghijklmnopqrstuvwxyz0123456789") != NULL;
}

static void read_header(struct draft *d)
{
    struct path top = PATH_ROOT;
    struct path here = {.up = &top, .key = "pipelineInfo"};
    struct plan *plan = d->plan;
    read_known(d, d->spec, &top, spec_fields);
    const struct tree *info = read_map(d, d->spec, "pipelineInfo", &top);
    if (info == NULL) {
        complain(d->complaints, tree_place(d->spec), &here, "is missing; it holds the name");
    } else {
        read_known(d, info, &here, info_fields);
        plan->name = read_need_text(d, info, "name", &here, "every pipeline needs a name");
        plan->display_name = read_text(d, info, "displayName", &here);
        plan->description = read_text(d, info, "description", &here);
    }
    if (plan->name != NULL && !pipeline_name_is_valid(plan->name)) {
        struct path name = {.up = &here, .key = "name"};
        complain(d->complaints, tree_place(tree_get(info, "name")), &name,
            "'%s': 1 to %d characters, with a letter of a-z or a digit among them, without '/', "
            "'\\', quotes and control characters, not beginning with '.'",
            plan->name, MAX_PIPELINE_NAME);
    }
    plan->schema_version = read_need_text(
        d, d->spec, "schemaVersion", &top, "only version 2.1.0 is known; compile with kfp 2");
    if (plan->schema_version != NULL && strcmp(plan->schema_version, "2.1.0") != 0) {
        struct path version = {.up = &top, .key = "schemaVersion"};
        complain(d->complaints, tree_place(tree_get(d->spec, "schemaVersion")), &version,
            "'%s' is not known, only 2.1.0; compile with kfp 2", plan->schema_version);
    }
    plan->sdk_version = read_text(d, d->spec, "sdkVersion", &top);
    plan->default_root = read_text(d, d->spec, "defaultPipelineRoot", &top);
}

/* ---- sealing ---- */

static void seal_task(struct draft *d, const struct draft_component *c, const struct draft_task *t,
    struct task_def *out)
{
    *out = t->def;
    out->component = &t->component->def;
    out->param_count = t->param_count;
    out->params = pool_calloc(d->pool, t->param_count, sizeof *out->params);
    for (size_t i = 0; i < t->param_count; i++) {
        out->params[i] = t->params[i].def;
        if (out->params[i].producer >= 0) {
            out->params[i].producer = c->tasks[out->params[i].producer].position;
        }
    }
    out->artifact_count = t->artifact_count;
    out->artifacts = pool_calloc(d->pool, t->artifact_count, sizeof *out->artifacts);
    for (size_t i = 0; i < t->artifact_count; i++) {
        out->artifacts[i] = t->artifacts[i].def;
        if (out->artifacts[i].producer >= 0) {
            out->artifacts[i].producer = c->tasks[out->artifacts[i].producer].position;
        }
    }
    out->dep_count = t->dep_count;
    out->deps = pool_calloc(d->pool, t->dep_count, sizeof *out->deps);
    for (size_t i = 0; i < t->dep_count; i++) { /* few; insertion keeps them sorted */
        int at = c->tasks[t->deps[i]].position;
        size_t k = i;
        for (; k > 0 && out->deps[k - 1] > at; k--) {
            out->deps[k] = out->deps[k - 1];
        }
        out->deps[k] = at;
    }
}

static struct dag_output *seal_outputs(
    struct draft *d, const struct draft_component *c, const struct draft_output *list, size_t count)
{
    struct dag_output *out = pool_calloc(d->pool, count, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        out[i].name = list[i].name;
        out[i].selector_count = list[i].count;
        out[i].selectors = pool_calloc(d->pool, list[i].count, sizeof *out[i].selectors);
        for (size_t k = 0; k < list[i].count; k++) {
            const struct draft_selector *s = &list[i].selectors[k];
            const struct draft_task *producer = map_get(c->task_index, s->producer);
            out[i].selectors[k] =
                (struct output_selector){.producer = producer->position, .key = s->key};
        }
    }
    return out;
}

static void seal_dag(struct draft *d, struct draft_component *c)
{
    struct dag *dag = pool_alloc(d->pool, sizeof *dag);
    dag->task_count = c->task_count;
    dag->tasks = pool_calloc(d->pool, c->task_count, sizeof *dag->tasks);
    for (size_t i = 0; i < c->task_count; i++) {
        seal_task(d, c, &c->tasks[i], &dag->tasks[c->tasks[i].position]);
    }
    dag->param_count = c->param_out_count;
    dag->params = seal_outputs(d, c, c->params_out, c->param_out_count);
    dag->artifact_count = c->artifact_out_count;
    dag->artifacts = seal_outputs(d, c, c->artifacts_out, c->artifact_out_count);
    c->def.dag = dag;
}

static void seal(struct draft *d)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->list[i]->def.kind == COMPONENT_DAG) {
            seal_dag(d, d->list[i]);
        }
    }
    d->plan->root = &d->root->def;
    d->plan->task_total = d->root->total;
    d->plan->spec = tree_json(d->spec);
    json_array_append_new(d->keep, d->plan->spec);
    if (d->platform != NULL) {
        d->plan->platform = tree_json(d->platform);
        json_array_append_new(d->keep, d->plan->platform);
    }
}

/* ---- the stages ---- */

static struct plan *compile_trees(
    struct pool *pool, struct tree **docs, size_t count, bool lints, struct complaints *complaints)
{
    struct draft d = {.pool = pool, .complaints = complaints};
    if (pick_documents(&d, docs, count) != 0) {
        return NULL;
    }
    d.keep = json_array();
    pool_on_free(pool, free_json, d.keep);
    d.plan = pool_alloc(pool, sizeof *d.plan);
    d.plan->pool = pool;
    d.plan->refs = 1;
    d.executors = map_new(NULL);
    d.components = map_new(NULL);
    read_header(&d);
    read_executors(&d);
    read_platform(&d);
    read_components(&d);
    read_job(&d);
    link_components(&d);
    order_tasks(&d);
    link_files(&d);
    refuse_unsupported(&d);
    if (lints && complaints->errors == 0) {
        warn_all(&d);
    }
    map_free(d.executors);
    map_free(d.components);
    if (complaints->errors > 0) {
        return NULL;
    }
    seal(&d);
    return d.plan;
}

/*
 * JSON is nearly YAML, and libyaml gives it lines; but it refuses the surrogate pairs that JSON
 * writers make of characters beyond U+FFFF. Text that only JSON can read is read as that.
 */
static struct tree *read_json_text(
    struct pool *pool, const char *text, size_t len, struct complaints *complaints)
{
    while (len > 0 && strchr(" \t\r\n", *text) != NULL && *text != '\0') {
        text++;
        len--;
    }
    if (len == 0 || *text != '{' || len > TREE_MAX_BYTES) {
        return NULL;
    }
    struct err err = ERR_INIT;
    json_t *json CLEANUP(json_decrefp) = jread_text(text, len, "pipeline", &err);
    if (json == NULL) {
        return NULL;
    }
    struct complaints unused;
    complaints_init(&unused);
    struct tree *tree = tree_from_json(json, pool, &unused);
    complaints_done(&unused);
    if (tree != NULL) { /* it was fine after all: forget what libyaml said */
        complaints_done(complaints);
        complaints_init(complaints);
    }
    return tree;
}

static struct plan *compile_text(
    const char *text, size_t len, bool lints, struct complaints *complaints)
{
    struct pool *pool = pool_new();
    struct tree **docs = NULL;
    size_t count = 0;
    if (yaml_read(text, len, pool, &docs, &count, complaints) != 0) {
        docs = pool_alloc(pool, sizeof *docs);
        docs[0] = read_json_text(pool, text, len, complaints);
        count = docs[0] != NULL ? 1 : 0;
    }
    struct plan *plan = NULL;
    if (count > 0 || complaints->errors == 0) {
        plan = compile_trees(pool, docs, count, lints, complaints);
    }
    complaints_sort(complaints);
    if (plan == NULL) {
        assert(complaints->errors > 0);
        pool_free(pool);
    }
    return plan;
}

struct plan *plan_compile(const char *text, size_t len, struct complaints *complaints)
{
    return compile_text(text, len, false, complaints);
}

struct plan *plan_lint(const char *text, size_t len, struct complaints *complaints)
{
    return compile_text(text, len, true, complaints);
}

struct plan *plan_compile_json(const json_t *spec, struct complaints *complaints)
{
    struct pool *pool = pool_new();
    struct tree *tree = tree_from_json(spec, pool, complaints);
    struct plan *plan = tree != NULL ? compile_trees(pool, &tree, 1, false, complaints) : NULL;
    complaints_sort(complaints);
    if (plan == NULL) {
        pool_free(pool);
    }
    return plan;
}
