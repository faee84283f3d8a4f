/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtimeConfig of a PipelineJob, the form in which Vertex AI and KFP's own tests keep a
 * pipeline with the parameters of one run.
 */
#include "pipeline/draft.h"

#include "base/util.h"

static const char *const job_fields[] = {
    "parameterValues", "parameters", "gcsOutputDirectory", NULL};
static const char *const old_value_fields[] = {"stringValue", "intValue", "doubleValue", NULL};

static json_t *old_value(const struct param_def *p, const struct tree *value)
{
    for (size_t i = 0; value->kind == TREE_MAP && old_value_fields[i] != NULL; i++) {
        const struct tree *node = tree_get(value, old_value_fields[i]);
        json_t *number = NULL;
        if (tree_is_null(node) || node->kind != TREE_SCALAR) {
            continue;
        }
        if (i > 0 && p->type != VALUE_STRING && tree_number(node->text, &number)) {
            return number; /* int64 travels as a text */
        }
        return json_string(node->text);
    }
    return NULL;
}

static void add_job_value(
    struct draft *d, const struct tree_pair *pair, const struct path *up, bool is_old, json_t *out)
{
    struct path here = {.up = up, .key = pair->key};
    const struct param_def *p =
        d->root != NULL ? component_param_in(&d->root->def, pair->key) : NULL;
    struct place place = {pair->line, pair->column};
    if (p == NULL) {
        complain_mildly(d->complaints, place, &here, "is no input of the pipeline, ignored");
        return;
    }
    const json_t *value = is_old ? NULL : read_value(d, pair->value, p->type, &here);
    json_t *old = is_old ? old_value(p, pair->value) : NULL;
    if (value != NULL) {
        json_object_set(out, pair->key, (json_t *)(uintptr_t)value);
    } else if (old != NULL) {
        json_object_set_new(out, pair->key, old);
    }
}

void read_job(struct draft *d)
{
    if (d->job == NULL) {
        return;
    }
    struct path top = PATH_ROOT;
    struct path here = {.up = &top, .key = "runtimeConfig"};
    read_known(d, d->job, &here, job_fields);
    d->plan->job_root = read_text(d, d->job, "gcsOutputDirectory", &here);
    json_t *out = json_object();
    json_array_append_new(d->keep, out);
    for (size_t i = 0; i < 2; i++) { /* parameterValues wins over parameters */
        const char *name = job_fields[1 - i];
        struct path values = {.up = &here, .key = name};
        const struct tree *map = read_map(d, d->job, name, &here);
        for (size_t k = 0; map != NULL && k < map->count; k++) {
            add_job_value(d, &map->pairs[k], &values, i == 0, out);
        }
    }
    d->plan->job_parameters = out;
}
