/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploads of pipeline files as multipart/form-data with one part named `uploadfile`. Everything
 * else is in the query.
 */
#include "api/kfp/upload.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"

#include "scheduler/catalog.h"

#include "api/api.h"
#include "api/kfp/message.h"
#include "api/kfp/package.h"
#include "api/kfp/pipeline_view.h"
#include "api/kfp/versions.h"

struct upload {
    struct api_call *call;
    const char *name, *display_name, *description, *code_source_url, *pipeline_id;
    const json_t *tags;
    struct http_part part;
    struct plan *plan;
};

static const struct kfp_field tags_fields[] = {{"tags", KFP_TAGS, NULL, NULL, 0}, {0}};
static const struct kfp_message tags_message = {tags_fields};

static const char *query_or_empty(const struct api_call *call, const char *name)
{
    const char *value = http_query(&call->req, name);
    return value != NULL ? value : "";
}

/* Gives an object with "tags", owned by the call. */
static json_t *read_tags(struct api_call *call, struct err *err)
{
    const char *text = query_or_empty(call, "tags");
    json_t *holder = api_keep(call, json_object());
    if (text[0] != '\0') {
        json_t *tags = jread_text(text, strlen(text), "tags", err);
        if (tags == NULL) {
            return NULL;
        }
        json_object_set_new(holder, "tags", tags);
    }
    return api_keep(call, kfp_read(&tags_message, holder, "", err));
}

/* Read the query and the part, check, compile. -1: the call has been answered. */
static int read_upload(struct upload *op, struct api_call *call, size_t name_max)
{
    struct err err = ERR_INIT;
    op->call = call;
    if (http_multipart_find(&call->req, "uploadfile", &op->part, &err) != 0) {
        api_fail(call, &err);
        return -1;
    }
    json_t *meta = read_tags(call, &err);
    if (meta == NULL) {
        api_fail(call, &err);
        return -1;
    }
    json_object_set_new(meta, "name", json_string(query_or_empty(call, "name")));
    json_object_set_new(meta, "display_name", json_string(query_or_empty(call, "display_name")));
    json_object_set_new(meta, "namespace", json_string(query_or_empty(call, "namespace")));
    const char *filename = op->part.filename != NULL ? op->part.filename : "";
    op->name = name_of(meta, filename);
    op->display_name = display_name_of(meta, filename);
    op->description = query_or_empty(call, "description");
    op->code_source_url = query_or_empty(call, "code_source_url");
    op->pipeline_id = query_or_empty(call, "pipelineid");
    op->tags = json_object_get(meta, "tags");
    if (op->name[0] == '\0') {
        api_fail_as(call, ERR_INVALID, "name: missing; give name in the query");
        return -1;
    }
    if (strlen(op->name) > name_max) {
        api_fail_as(call, ERR_INVALID, "name: longer than %zu bytes", name_max);
        return -1;
    }
    if (kfp_check_pipeline(meta, name_max, &err) != 0) {
        api_fail(call, &err);
        return -1;
    }
    /* op goes with the call when that has been answered */
    struct plan *plan = package_compile(call, filename, op->part.data, op->part.len);
    if (plan == NULL) {
        return -1;
    }
    op->plan = plan;
    return 0;
}

/* ---- a new pipeline ---- */

static void on_pipeline(void *owner, const json_t *record, const struct err *err)
{
    struct upload *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    api_reply_json(op->call, 200, api_keep(op->call, view_pipeline(record)));
}

void upload_handle(struct api_call *call)
{
    struct upload *op = pool_alloc(call->req.pool, sizeof *op);
    if (read_upload(op, call, PIPELINE_NAME_MAX) != 0) {
        return;
    }
    const struct pipeline_input input = {
        .name = op->name,
        .display_name = op->display_name,
        .description = op->description,
        .tags = op->tags,
    };
    const struct version_input version = {
        .name = op->name,
        .display_name = op->display_name,
        .description = op->description,
        .code_source_url = op->code_source_url,
        .plan = op->plan,
    };
    pipeline_create(call->api->catalog, &input, &version, on_pipeline, op);
}

/* ---- a new version ---- */

static void on_known_pipeline(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct upload *op = owner;
    if (err != NULL && err->code == ERR_NOT_FOUND) {
        /* 400 as in KFP: the id is an argument here, not the thing asked for. */
        api_fail_as(
            op->call, ERR_INVALID, "pipelineid: there is no pipeline '%.80s'", op->pipeline_id);
        return;
    }
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    const struct version_input input = {
        .pipeline_id = op->pipeline_id,
        .name = op->name,
        .display_name = op->display_name,
        .description = op->description,
        .code_source_url = op->code_source_url,
        .tags = op->tags,
        .plan = op->plan,
    };
    version_create(op->call->api->catalog, &input, version_reply, op->call);
}

void upload_version_handle(struct api_call *call)
{
    struct upload *op = pool_alloc(call->req.pool, sizeof *op);
    if (read_upload(op, call, VERSION_NAME_MAX) != 0) {
        return;
    }
    if (op->pipeline_id[0] == '\0') {
        api_fail_as(call, ERR_INVALID, "pipelineid: missing in the query");
        return;
    }
    pipeline_get(call->api->catalog, op->pipeline_id, on_known_pipeline, op);
}
