/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of a pipeline. */
#include "api/kfp/versions.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"

#include "scheduler/catalog.h"

#include "api/api.h"
#include "api/kfp/list.h"
#include "api/kfp/rows.h"
#include "api/kfp/package.h"
#include "api/kfp/pipeline_view.h"
#include "api/kfp/view.h"

/* Only what compiled is stored, so every version is ready. */
static const char *status_text(const json_t *record)
{
    (void)record;
    return "READY";
}

static const struct list_field list_fields[] = {
    {"created_at", LIST_TIME, "created_us", NULL},
    {"id", LIST_TEXT, "id", NULL},
    {"pipeline_version_id", LIST_TEXT, "id", NULL},
    {"name", LIST_TEXT, "name", NULL},
    {"display_name", LIST_TEXT, "display_name", NULL},
    {"description", LIST_TEXT, "description", NULL},
    {"status", LIST_TEXT, NULL, status_text},
    {0},
};
static const struct list_spec list_spec = {"pipeline_versions", list_fields, true};

/* ---- one version, with its spec ---- */

struct show {
    struct api_call *call;
    const json_t *record;
};

static void on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct show *op = owner;
    if (err != NULL && err->code != ERR_NOT_FOUND) {
        api_fail(op->call, err);
        return;
    }
    api_reply_json(op->call, 200, api_keep(op->call, view_version(op->record, plan)));
}

void version_reply(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    struct show *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    op->record = api_keep(call, json_incref((json_t *)record));
    spec_plan(call->api->catalog, jget_str(record, "spec", ""), on_plan, op);
}

void version_get_handle(struct api_call *call)
{
    /* The pipeline in the path is not looked at: KFP's own tests rely on it. */
    version_get(call->api->catalog, api_arg(call, "pipeline_version_id"), version_reply, call);
}

/* ---- create from a URL ---- */

struct create {
    struct api_call *call;
    const json_t *in;
    const char *url;
};

static void on_fetched(void *owner, struct plan *plan)
{
    const struct create *op = owner;
    const struct version_input input = {
        .pipeline_id = api_arg(op->call, "pipeline_id"),
        .name = name_of(op->in, ""),
        .display_name = display_name_of(op->in, ""),
        .description = jget_str(op->in, "description", ""),
        .code_source_url = jget_str(op->in, "code_source_url", ""),
        .package_url = op->url,
        .tags = json_object_get(op->in, "tags"),
        .plan = plan,
    };
    version_create(op->call->api->catalog, &input, version_reply, op->call);
}

static void on_pipeline(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct create *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    package_fetch(op->call, op->url, on_fetched, op);
}

void version_create_handle(struct api_call *call)
{
    struct err err = ERR_INIT;
    const json_t *in = kfp_body(call, &kfp_version);
    if (in == NULL) {
        return;
    }
    const char *pipeline_id = api_arg(call, "pipeline_id");
    struct create *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    op->in = in;
    op->url = jget_str(json_object_get(in, "package_url"), "pipeline_url", "");
    if (name_of(in, "")[0] == '\0') {
        api_fail_as(call, ERR_INVALID, "name: missing; give name or display_name");
    } else if (op->url[0] == '\0') {
        api_fail_as(call, ERR_INVALID,
            "package_url.pipeline_url: missing; to send the file itself, use "
            "/apis/v2beta1/pipelines/upload_version");
    } else if (strcmp(jget_str(in, "pipeline_id", pipeline_id), pipeline_id) != 0) {
        api_fail_as(call, ERR_INVALID, "pipeline_id: not the one in the path");
    } else if (kfp_check_pipeline(in, VERSION_NAME_MAX, &err) != 0) {
        api_fail(call, &err);
    } else {
        pipeline_get(call->api->catalog, pipeline_id, on_pipeline, op);
    }
}

/* ---- list ---- */

static const struct rows_kind row_kind = {"pipeline_versions", view_version, NULL};

struct list {
    struct rows rows;
    const char *pipeline_id;
};

static void on_list_pipeline(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct list *op = owner;
    if (err != NULL) {
        api_fail(op->rows.call, err);
        return;
    }
    version_all(op->rows.call->api->catalog, op->pipeline_id, rows_reply, &op->rows);
}

void version_list_handle(struct api_call *call)
{
    struct list *op = pool_alloc(call->req.pool, sizeof *op);
    op->pipeline_id = api_arg(call, "pipeline_id");
    if (!rows_init(&op->rows, call, &list_spec, &row_kind)) {
        return;
    }
    pipeline_get(call->api->catalog, op->pipeline_id, on_list_pipeline, op);
}

/* ---- change, delete ---- */

const json_t *catalog_changes(struct api_call *call, const json_t *in)
{
    json_t *changes = api_keep(call, json_object());
    jset_str(changes, "display_name", jget_str(in, "display_name", NULL));
    jset_str(changes, "description", jget_str(in, "description", NULL));
    json_t *tags = json_object_get(in, "tags");
    if (tags != NULL) {
        json_object_set(changes, "tags", tags);
    }
    return changes;
}

void version_update_handle(struct api_call *call)
{
    struct err err = ERR_INIT;
    const json_t *in = kfp_body(call, &kfp_version);
    if (in == NULL) {
        return;
    }
    if (kfp_check_pipeline(in, VERSION_NAME_MAX, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    version_update(call->api->catalog, api_arg(call, "pipeline_version_id"),
        catalog_changes(call, in), version_reply, call);
}

void version_delete_handle(struct api_call *call)
{
    version_delete(call->api->catalog, api_arg(call, "pipeline_version_id"), api_reply_done, call);
}
