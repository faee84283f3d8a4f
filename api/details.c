/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/rondo/v1/runs/{run_id}: what KFP's API does not show - tasks, logs, artifacts. */
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"

#include "scheduler/artifact.h"
#include "scheduler/run.h"

#include "api/api.h"
#include "api/daemons.h"

#define LOG_DEFAULT (INT64_C(1) << 20)
#define LOG_MAX (INT64_C(64) << 20)
#define CHUNK ((size_t)256 * 1024)

/* ---- tasks ---- */

static void on_tasks(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    json_t *tasks = json_object_get(record, "tasks");
    json_t *out = api_keep(call, json_object());
    json_object_set_new(out, "run_id", json_string(jget_str(record, "id", "")));
    jset_str(out, "state", jget_str(record, "state", NULL));
    json_object_set_new(out, "tasks", tasks != NULL ? json_incref(tasks) : json_array());
    json_object_set(out, "notices", json_object_get(record, "notices"));
    api_reply_json(call, 200, out);
}

static void handle_tasks(struct api_call *call)
{
    run_get(call->api->store, api_arg(call, "run_id"), true, on_tasks, call);
}

static void on_run(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    api_reply_json(call, 200, record);
}

static void handle_run(struct api_call *call)
{
    run_get(call->api->store, api_arg(call, "run_id"), true, on_run, call);
}

/* ---- logs ---- */

static void on_logs(void *owner, const char *text, size_t len, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    http_fields_add(
        call->req.pool, &call->resp.headers, "Content-Type", "text/plain; charset=utf-8");
    buf_add(&call->resp.body, text, len);
    api_reply(call);
}

static void handle_logs(struct api_call *call)
{
    struct err err = ERR_INIT;
    const char *task = http_query(&call->req, "task");
    const char *max_text = http_query(&call->req, "max_bytes");
    int64_t max = LOG_DEFAULT;
    if (max_text != NULL && parse_i64(max_text, 1, LOG_MAX, "max_bytes", &max, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    if (daemons_pass_on(call, api_arg(call, "run_id"))) {
        return;
    }
    engine_logs(call->api->engine, api_arg(call, "run_id"),
        task != NULL && task[0] != '\0' ? task : NULL, max, on_logs, call);
}

/* ---- artifacts ---- */

static void add_file(void *owner, const char *file, int64_t size)
{
    json_t *entry = json_object();
    json_object_set_new(entry, "file", json_string(file));
    json_object_set_new(entry, "size", json_integer(size));
    json_array_append_new(owner, entry);
}

static void add_artifacts(struct api_call *call, const json_t *task, json_t *out)
{
    const json_t *artifacts = json_object_get(json_object_get(task, "outputs"), "artifacts");
    const char *name;
    json_t *list;
    json_object_foreach((json_t *)artifacts, name, list)
    {
        size_t i;
        json_t *artifact;
        json_array_foreach(list, i, artifact)
        {
            json_t *entry = json_object();
            json_object_update(entry, artifact);
            json_object_set_new(entry, "task", json_string(jget_str(task, "path", "")));
            json_object_set_new(entry, "output", json_string(name));
            json_object_set_new(entry, "index", json_integer((json_int_t)i));
            json_t *files = json_array();
            artifact_list(
                call->api->artifacts, jget_str(artifact, "uri", ""), add_file, files, NULL);
            json_object_set_new(entry, "files", files);
            json_array_append_new(out, entry);
        }
    }
}

static void on_artifacts(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    json_t *list = json_array();
    size_t i;
    json_t *task;
    json_array_foreach(json_object_get(record, "tasks"), i, task)
    {
        /* a DAG's outputs are those of its tasks */
        if (strcmp(jget_str(task, "kind", ""), "container") == 0) {
            add_artifacts(call, task, list);
        }
    }
    json_t *out = api_keep(call, json_object());
    json_object_set_new(out, "artifacts", list);
    api_reply_json(call, 200, out);
}

static void handle_artifacts(struct api_call *call)
{
    run_get(call->api->store, api_arg(call, "run_id"), true, on_artifacts, call);
}

/* One file, in pieces. */
struct download {
    struct api_call *call;
    const char *uri, *file;
    int64_t offset, total;
};

static int next_piece(void *owner, void **data_out, size_t *len_out)
{
    struct download *op = owner;
    struct err err = ERR_INIT;
    if (op->offset >= op->total) {
        return 0;
    }
    if (artifact_read_part(op->call->api->artifacts, op->uri, op->file, op->offset, CHUNK, data_out,
            len_out, &op->total, &err) != 0 ||
        *len_out == 0) {
        return -1;
    }
    op->offset += (int64_t)*len_out;
    return 1;
}

static const char *query_or(const struct api_call *call, const char *name, const char *fallback)
{
    const char *value = http_query(&call->req, name);
    return value != NULL && value[0] != '\0' ? value : fallback;
}

/* The artifact that the query names, or NULL and err. */
static const json_t *find_artifact(
    const struct api_call *call, const json_t *record, struct err *err)
{
    const char *path = query_or(call, "task", "");
    const char *name = query_or(call, "name", "");
    int64_t index = 0;
    if (parse_i64(query_or(call, "index", "0"), 0, INT32_MAX, "index", &index, err) != 0) {
        return NULL;
    }
    size_t i;
    json_t *task;
    json_array_foreach(json_object_get(record, "tasks"), i, task)
    {
        if (strcmp(jget_str(task, "path", ""), path) == 0) {
            const json_t *artifacts =
                json_object_get(json_object_get(task, "outputs"), "artifacts");
            const json_t *found = json_array_get(json_object_get(artifacts, name), (size_t)index);
            if (found != NULL) {
                return found;
            }
        }
    }
    err_set(err, ERR_NOT_FOUND,
        "run %s has no artifact '%.100s' of task '%.200s'; GET .../artifacts lists them",
        jget_str(record, "id", ""), name, path);
    return NULL;
}

static void on_content(void *owner, const json_t *record, const struct err *run_err)
{
    struct api_call *call = owner;
    struct err err = ERR_INIT;
    if (run_err != NULL) {
        api_fail(call, run_err);
        return;
    }
    const json_t *artifact = find_artifact(call, record, &err);
    struct download *op = pool_alloc(call->req.pool, sizeof *op);
    void *first = NULL;
    size_t first_len = 0;
    if (artifact != NULL) {
        op->call = call;
        op->uri = pool_strdup(call->req.pool, jget_str(artifact, "uri", ""));
        op->file = query_or(call, "file", "");
    }
    /* Reading nothing tells whether it is there, and its size. */
    if (artifact == NULL || artifact_read_part(call->api->artifacts, op->uri, op->file, 0, 1,
                                &first, &first_len, &op->total, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    free(first);
    http_fields_add(call->req.pool, &call->resp.headers, "Content-Disposition", "attachment");
    api_reply_stream(call, "application/octet-stream", next_piece, op);
}

static void handle_content(struct api_call *call)
{
    run_get(call->api->store, api_arg(call, "run_id"), true, on_content, call);
}

#define BASE "/apis/rondo/v1/runs/{run_id}"
const struct route routes_details[] = {
    {"GET", BASE "/tasks", handle_tasks, ROUTE_TOKEN},
    {"GET", BASE "/logs", handle_logs, ROUTE_TOKEN},
    {"GET", BASE "/artifacts:content", handle_content, ROUTE_TOKEN},
    {"GET", BASE "/artifacts", handle_artifacts, ROUTE_TOKEN},
    {"GET", BASE, handle_run, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
