/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/v2beta1/pipelines; versions are in versions.c, uploads in upload.c. */
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"

#include "scheduler/catalog.h"

#include "api/api.h"
#include "api/kfp/list.h"
#include "api/kfp/package.h"
#include "api/kfp/pipeline_view.h"
#include "api/kfp/upload.h"
#include "api/kfp/versions.h"
#include "api/kfp/view.h"

static const struct kfp_field create_fields[] = {
    {"pipeline", KFP_MESSAGE, &kfp_pipeline, NULL, 0},
    {"pipeline_version", KFP_MESSAGE, &kfp_version, NULL, 0},
    {0},
};
static const struct kfp_message create_message = {create_fields};

static const struct list_field list_fields[] = {
    {"created_at", LIST_TIME, "created_us", NULL},
    {"id", LIST_TEXT, "id", NULL},
    {"pipeline_id", LIST_TEXT, "id", NULL},
    {"name", LIST_TEXT, "name", NULL},
    {"display_name", LIST_TEXT, "display_name", NULL},
    {"description", LIST_TEXT, "description", NULL},
    {"namespace", LIST_TEXT, "namespace", NULL},
    {0},
};
static const struct list_spec list_spec = {"pipelines", list_fields, true};

static void reply_pipeline(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    api_reply_json(call, 200, api_keep(call, view_pipeline(record)));
}

/* ---- create ---- */

static void handle_create(struct api_call *call)
{
    struct err err = ERR_INIT;
    const json_t *in = kfp_body(call, &kfp_pipeline);
    if (in == NULL) {
        return;
    }
    const char *name = name_of(in, "");
    if (name[0] == '\0') {
        api_fail_as(call, ERR_INVALID, "name: missing; give name or display_name");
        return;
    }
    if (kfp_check_pipeline(in, PIPELINE_NAME_MAX, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    const struct pipeline_input input = {
        .name = name,
        .display_name = display_name_of(in, ""),
        .description = jget_str(in, "description", ""),
        .tags = json_object_get(in, "tags"),
    };
    pipeline_create(call->api->catalog, &input, NULL, reply_pipeline, call);
}

/* With a first version, fetched from a URL. */
struct create {
    struct api_call *call;
    const json_t *pipeline, *version;
    const char *url;
};

static void on_fetched(void *owner, struct plan *plan)
{
    const struct create *op = owner;
    const char *name = name_of(op->pipeline, "");
    const char *display_name = display_name_of(op->pipeline, "");
    const char *description = jget_str(op->pipeline, "description", "");
    const struct pipeline_input input = {
        .name = name,
        .display_name = display_name,
        .description = description,
        .tags = json_object_get(op->pipeline, "tags"),
    };
    /* The version's own names are not looked at; only its tags are. */
    const struct version_input version = {
        .name = name,
        .display_name = display_name,
        .description = description,
        .code_source_url = jget_str(op->version, "code_source_url", ""),
        .package_url = op->url,
        .tags = json_object_get(op->version, "tags"),
        .plan = plan,
    };
    pipeline_create(op->call->api->catalog, &input, &version, reply_pipeline, op->call);
}

static void handle_create_with_version(struct api_call *call)
{
    struct err err = ERR_INIT;
    const json_t *in = kfp_body(call, &create_message);
    if (in == NULL) {
        return;
    }
    struct create *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    op->pipeline = json_object_get(in, "pipeline");
    op->version = json_object_get(in, "pipeline_version");
    op->url = jget_str(json_object_get(op->version, "package_url"), "pipeline_url", "");
    if (name_of(op->pipeline, "")[0] == '\0') {
        api_fail_as(call, ERR_INVALID, "pipeline.name: missing");
        return;
    }
    if (op->url[0] == '\0') {
        api_fail_as(call, ERR_INVALID, "pipeline_version.package_url.pipeline_url: missing");
        return;
    }
    if (kfp_check_pipeline(op->pipeline, VERSION_NAME_MAX, &err) != 0 ||
        kfp_check_tags(json_object_get(op->version, "tags"), &err) != 0) {
        api_fail(call, &err);
        return;
    }
    package_fetch(call, op->url, on_fetched, op);
}

/* ---- get, list ---- */

static void handle_get(struct api_call *call)
{
    pipeline_get(call->api->catalog, api_arg(call, "pipeline_id"), reply_pipeline, call);
}

static void handle_get_by_name(struct api_call *call)
{
    pipeline_get_by_name(call->api->catalog, api_arg(call, "name"), reply_pipeline, call);
}

struct list {
    struct api_call *call;
    struct list_query *query;
};

static void on_all(void *owner, const json_t *records, const struct err *err)
{
    struct list *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    int64_t total;
    const char *token;
    const json_t *page = api_keep(op->call, list_page(op->query, records, &total, &token));
    json_t *items = json_array();
    size_t i;
    json_t *record;
    json_array_foreach((json_t *)page, i, record)
    {
        json_array_append_new(items, view_pipeline(record));
    }
    json_t *out = list_envelope("pipelines", items, total, token);
    api_reply_json(op->call, 200, api_keep(op->call, out));
}

static void handle_list(struct api_call *call)
{
    struct err err = ERR_INIT;
    struct list *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    op->query = list_query_parse(call->req.pool, &list_spec, &call->req, &err);
    if (op->query == NULL) {
        api_fail(call, &err);
        return;
    }
    pipeline_all(call->api->catalog, on_all, op);
}

/* ---- change, delete ---- */

static void handle_update(struct api_call *call)
{
    struct err err = ERR_INIT;
    const json_t *in = kfp_body(call, &kfp_pipeline);
    if (in == NULL) {
        return;
    }
    if (kfp_check_pipeline(in, PIPELINE_NAME_MAX, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    pipeline_update(call->api->catalog, api_arg(call, "pipeline_id"), catalog_changes(call, in),
        reply_pipeline, call);
}

static void handle_delete(struct api_call *call)
{
    const char *cascade = http_query(&call->req, "cascade");
    bool is_cascade = cascade != NULL && strcmp(cascade, "true") == 0;
    pipeline_delete(
        call->api->catalog, api_arg(call, "pipeline_id"), is_cascade, api_reply_done, call);
}

#define BASE "/apis/v2beta1/pipelines"
#define VERSIONS BASE "/{pipeline_id}/versions"
const struct route routes_pipelines[] = {
    {"POST", BASE "/upload", upload_handle, ROUTE_TOKEN},
    {"POST", BASE "/upload_version", upload_version_handle, ROUTE_TOKEN},
    {"POST", BASE "/create", handle_create_with_version, ROUTE_TOKEN},
    {"POST", BASE, handle_create, ROUTE_TOKEN},
    {"GET", BASE, handle_list, ROUTE_TOKEN},
    {"GET", BASE "/names/{name}", handle_get_by_name, ROUTE_TOKEN},
    {"GET", BASE "/{pipeline_id}", handle_get, ROUTE_TOKEN},
    {"PATCH", BASE "/{pipeline_id}", handle_update, ROUTE_TOKEN},
    {"DELETE", BASE "/{pipeline_id}", handle_delete, ROUTE_TOKEN},
    {"POST", VERSIONS, version_create_handle, ROUTE_TOKEN},
    {"GET", VERSIONS, version_list_handle, ROUTE_TOKEN},
    {"GET", VERSIONS "/{pipeline_version_id}", version_get_handle, ROUTE_TOKEN},
    {"PATCH", VERSIONS "/{pipeline_version_id}", version_update_handle, ROUTE_TOKEN},
    {"DELETE", VERSIONS "/{pipeline_version_id}", version_delete_handle, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
