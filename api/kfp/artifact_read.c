/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runs/{run_id}/nodes/{node_id}/artifacts/{artifact_name}:read: the bytes of an output artifact
 * as {"data": base64}, in pieces. A node is a task: by its id, as task_details has it, or by its
 * path.
 */
#include "api/kfp/run_actions.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"

#include "scheduler/artifact.h"
#include "scheduler/run.h"

#include "api/api.h"

#define PIECE ((size_t)192 * 1024) /* of 3 bytes each, so that no piece but the last is padded */

struct reading {
    struct api_call *call;
    const char *uri;
    int64_t offset, total;
    enum { PART_HEAD, PART_DATA, PART_TAIL, PART_END } part;
};

static int give(char *text, void **data_out, size_t *len_out)
{
    *data_out = text;
    *len_out = strlen(text);
    return 1;
}

static int next_data(struct reading *op, void **data_out, size_t *len_out)
{
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) void *bytes = NULL;
    size_t len = 0;
    if (artifact_read_part(op->call->api->artifacts, op->uri, "", op->offset, PIECE, &bytes, &len,
            &op->total, &err) != 0) {
        return -1;
    }
    if (op->offset + (int64_t)len < op->total) {
        len -= len % 3;
    }
    if (len == 0) {
        return -1; /* it has become shorter */
    }
    op->offset += (int64_t)len;
    return give(base64_encode(bytes, len), data_out, len_out);
}

static int next_piece(void *owner, void **data_out, size_t *len_out)
{
    struct reading *op = owner;
    if (op->part == PART_DATA && op->offset >= op->total) {
        op->part = PART_TAIL;
    }
    switch (op->part) {
    case PART_HEAD:
        op->part = PART_DATA;
        return give(xstrdup("{\"data\":\""), data_out, len_out);
    case PART_DATA:
        return next_data(op, data_out, len_out);
    case PART_TAIL:
        op->part = PART_END;
        return give(xstrdup("\"}"), data_out, len_out);
    case PART_END:
        break;
    }
    return 0;
}

/* By the name of the output, or by that of the artifact. */
static const json_t *artifact_named(const json_t *task, const char *name)
{
    const json_t *outputs = json_object_get(json_object_get(task, "outputs"), "artifacts");
    const json_t *list = json_object_get(outputs, name);
    if (list != NULL) {
        return json_array_get(list, 0);
    }
    const char *key;
    json_t *one;
    json_object_foreach((json_t *)outputs, key, one)
    {
        const json_t *artifact = json_array_get(one, 0);
        if (strcmp(jget_str(artifact, "name", ""), name) == 0) {
            return artifact;
        }
    }
    return NULL;
}

static const json_t *find(const struct api_call *call, const json_t *record, struct err *err)
{
    const char *node = api_arg(call, "node_id");
    const char *name = api_arg(call, "artifact_name");
    const char *run_id = jget_str(record, "id", "");
    size_t i;
    json_t *task;
    json_array_foreach(json_object_get(record, "tasks"), i, task)
    {
        if (strcmp(jget_str(task, "id", ""), node) == 0 ||
            strcmp(jget_str(task, "path", ""), node) == 0) {
            const json_t *artifact = artifact_named(task, name);
            if (artifact == NULL) {
                err_set(err, ERR_NOT_FOUND,
                    "task '%.200s' of run %s has no output artifact '%.100s'", node, run_id, name);
            }
            return artifact;
        }
    }
    err_set(err, ERR_NOT_FOUND, "run %s has no task '%.200s'", run_id, node);
    return NULL;
}

static void on_run(void *owner, const json_t *record, const struct err *run_err)
{
    struct api_call *call = owner;
    struct err err = ERR_INIT;
    if (run_err != NULL) {
        api_fail(call, run_err);
        return;
    }
    const json_t *artifact = find(call, record, &err);
    if (artifact == NULL) {
        api_fail(call, &err);
        return;
    }
    struct reading *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    op->uri = pool_strdup(call->req.pool, jget_str(artifact, "uri", ""));
    /* Reading next to nothing tells whether it is there, and its size. */
    CLEANUP(cleanup_free) void *first = NULL;
    size_t first_len = 0;
    if (artifact_read_part(
            call->api->artifacts, op->uri, "", 0, 1, &first, &first_len, &op->total, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    api_reply_stream(call, "application/json", next_piece, op);
}

void artifact_read_handle(struct api_call *call)
{
    run_get(call->api->store, api_arg(call, "run_id"), true, on_run, call);
}
