/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints that launchers in pods call (scheduler/order.h), each with its attempt's token.
 * What a launcher may do is decided in scheduler/exec/attempt_access.c; here is the HTTP of it.
 */
#include "api/api.h"
#include "api/daemons.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/util.h"
#include "scheduler/artifact.h"
#include "scheduler/exec.h"
#include "scheduler/order.h"

#define LIST_MAX_BYTES (64u * 1024 * 1024)
#define SHA256_TEXT_LEN 64

/* Who calls; -1: it has been answered. */
static int identify(struct api_call *call, struct attempt_name *out)
{
    struct err err = ERR_INIT;
    int64_t attempt;
    out->run_id = api_arg(call, "run");
    out->task_id = api_arg(call, "task");
    if (call->api->pods == NULL || !id_is_valid(out->run_id) || !id_is_valid(out->task_id) ||
        parse_i64(api_arg(call, "attempt"), 0, INT_MAX, "attempt", &attempt, &err) != 0) {
        api_fail_as(call, ERR_NOT_FOUND, "there is no such attempt");
        return -1;
    }
    out->attempt = (int)attempt;
    const char *header = http_header(&call->req, "Authorization");
    bool is_bearer = header != NULL && strncasecmp(header, "Bearer ", 7) == 0 &&
                     http_fields_times(&call->req.headers, "Authorization") == 1;
    if (pods_authorize(call->api->pods, out, is_bearer ? header + 7 : NULL, &err) != 0) {
        api_fail(call, &err);
        return -1;
    }
    return daemons_redirect(call, out->run_id) ? -1 : 0;
}

static void handle_order(struct api_call *call)
{
    struct attempt_name name;
    struct err err = ERR_INIT;
    if (identify(call, &name) != 0) {
        return;
    }
    const char *text = pods_order(call->api->pods, &name, &err);
    if (text == NULL) {
        api_fail(call, &err);
        return;
    }
    api_reply_text(call, 200, "application/json", text);
}

static void handle_running(struct api_call *call)
{
    struct attempt_name name;
    struct err err = ERR_INIT;
    if (identify(call, &name) != 0) {
        return;
    }
    if (pods_running(call->api->pods, &name, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    api_reply_empty(call);
}

static void on_reported(void *owner, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
    } else {
        api_reply_empty(call);
    }
}

static void handle_report(struct api_call *call)
{
    struct attempt_name name;
    if (identify(call, &name) != 0) {
        return;
    }
    if (call->req.body_len > REPORT_MAX_BYTES) {
        api_fail_as(call, ERR_LIMIT, "the report is larger than %u bytes", REPORT_MAX_BYTES);
        return;
    }
    pods_report(call->api->pods, &name, call->req.body, call->req.body_len, on_reported, call);
}

/* ---- artifacts ---- */

struct target {
    const char *uri, *file;
    int64_t offset;
};

/* The query of an artifact request, and whether this attempt may do it. -1: answered. */
static int read_target(struct api_call *call, bool write, struct target *out)
{
    struct attempt_name name;
    struct err err = ERR_INIT;
    if (identify(call, &name) != 0) {
        return -1;
    }
    const char *offset = http_query(&call->req, "offset");
    out->uri = http_query(&call->req, "uri");
    out->file = http_query(&call->req, "file");
    out->file = out->file != NULL ? out->file : "";
    out->offset = 0;
    if (out->uri == NULL) {
        err_set(&err, ERR_INVALID, "uri: needed");
    } else if ((offset == NULL ||
                   parse_i64(offset, 0, INT64_MAX, "offset", &out->offset, &err) == 0) &&
               pods_may_use(call->api->pods, &name, out->uri, write, &err) == 0) {
        return 0;
    }
    api_fail(call, &err);
    return -1;
}

static void add_file(void *owner, const char *file, int64_t size)
{
    json_t *item = json_object();
    json_t *name = json_string(file);
    if (name == NULL) {
        json_decref(item); /* not UTF-8: JSON cannot carry its name */
        return;
    }
    json_object_set_new(item, "file", name);
    json_object_set_new(item, "size", json_integer(size));
    json_array_append_new(owner, item);
}

static void reply_list(struct api_call *call, const struct target *target)
{
    struct err err = ERR_INIT;
    json_t *files = json_array();
    json_t *body = api_keep(call, json_pack("{s:o}", "files", files));
    if (artifact_list(call->api->artifacts, target->uri, add_file, files, &err) != 0) {
        /* Another scheme's artifact, say an importer's gs://: there is nothing to fetch. */
        if (err.code == ERR_DENIED && !str_starts(target->uri, "file://")) {
            err.code = ERR_NOT_FOUND;
        }
        api_fail(call, &err);
        return;
    }
    api_reply_json(call, 200, body);
}

static void handle_get_artifact(struct api_call *call)
{
    struct target target;
    struct err err = ERR_INIT;
    if (read_target(call, false, &target) != 0) {
        return;
    }
    if (http_query(&call->req, "list") != NULL) {
        reply_list(call, &target);
        return;
    }
    void *data CLEANUP(cleanup_free) = NULL;
    size_t len = 0;
    int64_t total = 0;
    if (artifact_read_part(call->api->artifacts, target.uri, target.file, target.offset,
            ORDER_PART_MAX, &data, &len, &total, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)total);
    http_fields_add(call->req.pool, &call->resp.headers, "X-Total", text);
    http_fields_add(
        call->req.pool, &call->resp.headers, "Content-Type", "application/octet-stream");
    buf_add(&call->resp.body, data, len);
    api_reply(call);
}

static int read_final(const struct api_call *call, struct artifact_part *part, struct err *err)
{
    const char *total = http_query(&call->req, "total");
    part->final = http_query(&call->req, "final") != NULL;
    part->sha256 = http_query(&call->req, "sha256");
    if (!part->final) {
        return 0;
    }
    if (total == NULL) {
        return err_set(err, ERR_INVALID, "total: needed with final");
    }
    if (part->sha256 != NULL && strlen(part->sha256) != SHA256_TEXT_LEN) {
        return err_set(err, ERR_INVALID, "sha256: expected 64 hex digits");
    }
    return parse_i64(total, 0, INT64_MAX, "total", &part->total, err);
}

static void handle_put_artifact(struct api_call *call)
{
    struct target target;
    struct err err = ERR_INIT;
    if (read_target(call, true, &target) != 0) {
        return;
    }
    if (call->req.body_len > ORDER_PART_MAX) {
        api_fail_as(call, ERR_LIMIT, "a part is larger than %u bytes", ORDER_PART_MAX);
        return;
    }
    struct artifact_part part = {
        .uri = target.uri,
        .file = target.file,
        .offset = target.offset,
        .data = call->req.body,
        .len = call->req.body_len,
    };
    if (read_final(call, &part, &err) != 0 ||
        artifact_write_part(call->api->artifacts, &part, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    api_reply_empty(call);
}

#define BASE "/internal/attempts/{run}/{task}/{attempt}"
const struct route routes_internal[] = {
    {"GET", BASE "/order", handle_order, ROUTE_SIGNED},
    {"POST", BASE "/running", handle_running, ROUTE_SIGNED},
    {"GET", BASE "/artifacts", handle_get_artifact, ROUTE_SIGNED},
    {"PUT", BASE "/artifacts", handle_put_artifact, ROUTE_SIGNED},
    {"POST", BASE "/report", handle_report, ROUTE_SIGNED},
    {NULL, NULL, NULL, ROUTE_SIGNED},
};
