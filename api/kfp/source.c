/* SPDX-License-Identifier: Apache-2.0 */
/* From the three ways to name a pipeline in a request to a compiled plan and its hash. */
#include "api/kfp/source.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"

#include "scheduler/catalog.h"
#include "scheduler/plan.h"

#include "api/api.h"

#define MAX_COMPLAINTS 100
#define MAX_COMPLAINT_TEXT ((size_t)256 * 1024)

static void unref_plan(void *plan)
{
    plan_unref(plan);
}

static struct plan *keep_plan(struct api_call *call, struct plan *plan)
{
    pool_on_free(call->req.pool, unref_plan, plan);
    return plan;
}

/* ---- compiling ---- */

static struct plan *finish_compile(
    struct api_call *call, struct plan *plan, struct complaints *complaints)
{
    if (plan == NULL) {
        struct buf text;
        buf_init(&text, MAX_COMPLAINT_TEXT);
        buf_adds(&text, "the pipeline is not valid:\n");
        complaints_format(complaints, MAX_COMPLAINTS, &text);
        api_fail_long(call, ERR_INVALID, buf_str(&text));
        buf_done(&text);
    } else {
        keep_plan(call, plan);
    }
    complaints_done(complaints);
    return plan;
}

struct plan *source_compile_json(struct api_call *call, const json_t *spec)
{
    struct complaints complaints;
    complaints_init(&complaints);
    return finish_compile(call, plan_compile_json(spec, &complaints), &complaints);
}

struct plan *source_compile_text(struct api_call *call, const char *text, size_t len)
{
    struct complaints complaints;
    complaints_init(&complaints);
    return finish_compile(call, plan_compile(text, len, &complaints), &complaints);
}

/* ---- resolving ---- */

static void on_spec_stored(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct source *s = owner;
    if (err != NULL) {
        api_fail(s->call, err);
        return;
    }
    s->done(s->owner);
}

static void on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct source *s = owner;
    if (err != NULL) {
        api_fail(s->call, err);
        return;
    }
    plan_ref(plan);
    s->plan = keep_plan(s->call, plan);
    s->done(s->owner);
}

static void on_version(void *owner, const json_t *record, const struct err *err)
{
    struct source *s = owner;
    if (err != NULL) {
        api_fail(s->call, err);
        return;
    }
    struct pool *pool = s->call->req.pool;
    const char *pipeline_id = jget_str(record, "pipeline_id", "");
    if (s->pipeline_id != NULL && strcmp(s->pipeline_id, pipeline_id) != 0) {
        api_fail_as(s->call, ERR_INVALID,
            "pipeline_version_reference: version %s belongs to pipeline %s, not to %s",
            s->version_id, pipeline_id, s->pipeline_id);
        return;
    }
    s->pipeline_id = pool_strdup(pool, pipeline_id);
    s->version_id = pool_strdup(pool, jget_str(record, "id", ""));
    memset(s->sha, 0, sizeof s->sha);
    memccpy(s->sha, jget_str(record, "spec", ""), '\0', sizeof s->sha - 1);
    spec_plan(s->call->api->catalog, s->sha, on_plan, s);
}

static const char *non_empty(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

void source_resolve(struct source *source, struct api_call *call, const json_t *in,
    void (*done)(void *owner), void *owner)
{
    struct catalog *catalog = call->api->catalog;
    *source = (struct source){.call = call, .done = done, .owner = owner};
    const json_t *spec = json_object_get(in, "pipeline_spec");
    const json_t *reference = json_object_get(in, "pipeline_version_reference");
    source->pipeline_id = non_empty(jget_str(reference, "pipeline_id", NULL));
    source->version_id = non_empty(jget_str(reference, "pipeline_version_id", NULL));
    if (source->version_id == NULL) {
        source->version_id = non_empty(jget_str(in, "pipeline_version_id", NULL));
    }
    if (spec != NULL) {
        /* source goes with the call when that has been answered */
        struct plan *plan = source_compile_json(call, spec);
        if (plan != NULL) {
            source->plan = plan;
            spec_put(catalog, source->plan, source->sha, on_spec_stored, source);
        }
    } else if (source->version_id != NULL) {
        version_get(catalog, source->version_id, on_version, source);
    } else if (source->pipeline_id != NULL) {
        source->is_latest = true;
        version_latest(catalog, source->pipeline_id, on_version, source);
    } else {
        api_fail_as(call, ERR_INVALID,
            "which pipeline? give pipeline_spec, or pipeline_version_reference with a pipeline_id");
    }
}

/* ---- experiments ---- */

static void on_experiment(void *owner, const json_t *record, const struct err *err)
{
    struct experiment_lookup *lookup = owner;
    if (err != NULL) {
        api_fail(lookup->call, err);
        return;
    }
    lookup->id = pool_strdup(lookup->call->req.pool, jget_str(record, "id", ""));
    lookup->state = pool_strdup(lookup->call->req.pool, jget_str(record, "state", ""));
    lookup->done(lookup->owner);
}

void experiment_lookup(struct experiment_lookup *lookup, struct api_call *call, const char *id,
    void (*done)(void *owner), void *owner)
{
    *lookup = (struct experiment_lookup){.call = call, .done = done, .owner = owner};
    if (non_empty(id) != NULL) {
        experiment_get(call->api->catalog, id, on_experiment, lookup);
    } else {
        experiment_default(call->api->catalog, on_experiment, lookup);
    }
}
