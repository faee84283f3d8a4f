/* SPDX-License-Identifier: Apache-2.0 */
/* The finished plan: reference count, lookups, canonical text. */
#include "scheduler/plan.h"

#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"

#include <assert.h>
#include <string.h>

void plan_ref(struct plan *plan)
{
    assert(plan->refs > 0);
    plan->refs++;
}

void plan_unref(struct plan *plan)
{
    if (plan == NULL) {
        return;
    }
    assert(plan->refs > 0);
    if (--plan->refs == 0) {
        pool_free(plan->pool); /* the plan itself is in it */
    }
}

/* Definitions are sorted by name; both kinds begin with it. */
static const void *find_name(const void *list, size_t count, size_t size, const char *name)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const void *item = (const char *)list + middle * size;
        int order = strcmp(*(const char *const *)item, name);
        if (order == 0) {
            return item;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

_Static_assert(offsetof(struct param_def, name) == 0, "find_name reads the name first");
_Static_assert(offsetof(struct artifact_def, name) == 0, "find_name reads the name first");

const struct param_def *component_param_in(const struct component *c, const char *name)
{
    return find_name(c->params_in, c->param_in_count, sizeof *c->params_in, name);
}

const struct param_def *component_param_out(const struct component *c, const char *name)
{
    return find_name(c->params_out, c->param_out_count, sizeof *c->params_out, name);
}

const struct artifact_def *component_artifact_in(const struct component *c, const char *name)
{
    return find_name(c->artifacts_in, c->artifact_in_count, sizeof *c->artifacts_in, name);
}

const struct artifact_def *component_artifact_out(const struct component *c, const char *name)
{
    return find_name(c->artifacts_out, c->artifact_out_count, sizeof *c->artifacts_out, name);
}

char *plan_canonical(const struct plan *plan)
{
    json_t *doc CLEANUP(json_decrefp) = json_object();
    json_object_set(doc, "pipeline_spec", plan->spec);
    if (plan->platform != NULL) {
        json_object_set(doc, "platform_spec", plan->platform);
    }
    return value_json(doc);
}
