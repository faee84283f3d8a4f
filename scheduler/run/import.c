/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importers: an artifact that exists already becomes one of the run's, without a pod (rules in
 * contrib/docs/runs.md). Unless it asks for reimport, the same artifact imported again in this
 * pipeline is the same by identity: its id follows from what it is.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/errand.h"
#include "run_scripts.h"
#include "scheduler/artifact.h"

#define PATH_MAX_BYTES 8192
#define MARK_KEPT_S (30 * 24 * 3600) /* since it was imported last; then it counts as new */
#define MARK_MS 2000
/* Names imported artifacts; any fixed UUID does. */
#define NAMESPACE "9c1f3f5e-2d5b-4b0a-8f64-5f0f2f6a7c11"

struct import {
    struct errand errand;
    json_t *artifact;
    struct store_call *call;
    struct timer deadline;
};

static void import_drop(struct errand *errand)
{
    struct import *import = (struct import *)errand;
    store_cancel(import->call);
    timer_done(&import->deadline);
    json_decref(import->artifact);
}

/* ---- where it is ---- */

/*
 * A program sees an artifact of the store by a path (order.h) and may hand that on as its URI: it
 * means the artifact that is there. malloc'd; NULL: it is no such path.
 */
static char *uri_of_path(const struct task *task, const char *path)
{
    const struct engine_settings *set = &task->run->engine->set;
    const char *root = artifact_store_root(set->artifacts);
    char *probe CLEANUP(cleanup_free) = xasprintf("%s/x", root);
    struct attempt_name name = {.run_id = task->run->id.text, .task_id = task->id.text};
    struct buf shown, uri;
    buf_init(&shown, PATH_MAX_BYTES);
    set->executor.ops->artifact_path(set->executor.self, &name, probe, &shown);
    size_t len = shown.len > 0 ? shown.len - 1 : 0; /* up to the x */
    if (len == 0 || strncmp(path, buf_str(&shown), len) != 0 || path[len] == '\0') {
        buf_done(&shown);
        return NULL;
    }
    buf_init(&uri, PATH_MAX_BYTES);
    buf_addf(&uri, "%s/", root);
    for (const char *p = path + len; *p != '\0'; p++) {
        buf_adds(&uri, *p == '%' ? "%25" : (char[]){*p, '\0'});
    }
    buf_done(&shown);
    return buf_steal(&uri, NULL);
}

/* Its URI as it is recorded; what lies on this machine must lie in the store. */
static int place_artifact(const struct task *task, json_t *artifact, struct err *err)
{
    const struct artifact_store *store = task->run->engine->set.artifacts;
    const char *uri = jget_str(artifact, "uri", "");
    if (uri[0] == '/') {
        char *real CLEANUP(cleanup_free) = uri_of_path(task, uri);
        if (real == NULL) {
            return err_set(err, ERR_INVALID,
                "the artifact's URI '%.300s' is a path outside the artifact root %s; put the file "
                "there and give its file:// URI",
                uri, artifact_store_root(store));
        }
        json_object_set_new(artifact, "uri", json_string(real));
        uri = jget_str(artifact, "uri", "");
    }
    if (!str_starts(uri, "file://")) {
        return 0;
    }
    struct buf path;
    buf_init(&path, PATH_MAX_BYTES);
    int result = artifact_local_path(store, uri, &path, err);
    buf_done(&path);
    return result == 0 ? 0 : err_wrap(err, "it cannot be imported");
}

/*
 * KFP copies the artifact into the workspace. Steps here get every artifact that the store has
 * delivered, so nothing needs to be copied: it is marked as KFP marks it, and is read where it is.
 */
static int to_workspace(const struct task *task, json_t *artifact, struct err *err)
{
    const struct pipeline_config *config = task->run->plan->config;
    const char *uri = jget_str(artifact, "uri", "");
    if (config == NULL || config->workspace_size == NULL) {
        return err_set(err, ERR_INVALID,
            "downloadToWorkspace: the pipeline has no workspace; give it one with "
            "PipelineConfig(workspace=...)");
    }
    if (!str_starts(uri, "file://")) {
        return err_set(err, ERR_INVALID,
            "downloadToWorkspace: only artifacts of the artifact root %s can be had in the "
            "workspace, not '%.300s'",
            artifact_store_root(task->run->engine->set.artifacts), uri);
    }
    json_object_set_new(json_object_get(artifact, "metadata"), "_kfp_workspace", json_true());
    return 0;
}

static json_t *make_artifact(const struct task *task, struct err *err)
{
    struct run_context run = task_run_context(task);
    json_t *artifact CLEANUP(json_decrefp) =
        importer_artifact(task->component, task->params, &run, err);
    if (artifact == NULL || place_artifact(task, artifact, err) != 0 ||
        (task->component->importer->to_workspace && to_workspace(task, artifact, err) != 0)) {
        return NULL;
    }
    return STEAL(artifact);
}

/* ---- whether it is new ---- */

static void import_end(struct import *import, bool is_new)
{
    struct task *task = import->errand.task;
    json_t *artifact CLEANUP(json_decrefp) = json_incref(import->artifact);
    const char *output = jget_str(artifact, "name", "");
    json_decref(task->out_params);
    json_decref(task->out_artifacts);
    task->out_params = json_object();
    task->out_artifacts = json_pack("{s:[O]}", output, artifact);
    errand_end(&import->errand);
    if (is_new) {
        json_t *data = json_object();
        json_object_set(data, "artifact_id", json_object_get(artifact, "id"));
        json_object_set_new(data, "name", json_string(output));
        json_object_set(data, "uri", json_object_get(artifact, "uri"));
        json_object_set_new(data, "artifact_type",
            json_string(jget_str(json_object_get(artifact, "type"), "schemaTitle", "")));
        event_set_bounded(data, "metadata", json_deep_copy(json_object_get(artifact, "metadata")));
        json_object_set_new(data, "task_id", json_string(task->id.text));
        json_object_set_new(data, "task", json_string(task->path));
        json_object_set_new(data, "attempt", json_integer(0));
        char *what CLEANUP(cleanup_free) =
            xasprintf("artifact.created/%s/%s/0", task->path, output);
        live_event(task->run, "artifact.created", what, data);
    }
    task_end(task, TASK_STATE_SUCCEEDED);
}

/* Without an answer it counts as new: rather told twice than never. */
static void import_on_deadline(void *owner)
{
    import_end(owner, true);
}

static void import_on_marked(void *owner, redisReply *reply, const struct err *err)
{
    struct import *import = owner;
    import->call = NULL;
    import_end(import, err != NULL || str_eq(reply_str(reply), import->errand.task->id.text));
}

static void import_mark(struct import *import)
{
    const struct task *task = import->errand.task;
    const struct engine_settings *set = &task->run->engine->set;
    json_t *what CLEANUP(json_decrefp) =
        json_pack("[s,O]", task->run->plan->name, import->artifact);
    char hex[SHA256_HEX_LEN + 1];
    struct id id;
    json_fingerprint(what, hex);
    id_derive(&id, NAMESPACE, hex);
    json_object_set_new(import->artifact, "id", json_string(id.text));
    unsigned char first;
    (void)hex_decode(hex, 2, &first, 1);
    unsigned shard = first & (store_shards(set->store) - 1);
    struct store_args *args = store_args_new();
    store_key(args, "%simport:%s", store_shard_prefix(set->store, shard), id.text);
    store_arg(args, task->id.text);
    store_arg_i(args, MARK_KEPT_S);
    import->call = store_eval(set->store, &script_import_mark, args, import_on_marked, import);
    timer_start_ms(&import->deadline, MARK_MS);
}

static void import_on_turn(void *owner)
{
    struct import *import = owner;
    const struct task *task = import->errand.task;
    struct err err = ERR_INIT;
    import->artifact = make_artifact(task, &err);
    if (import->artifact == NULL) {
        errand_fail(&import->errand, err.msg);
        return;
    }
    if (!task->component->importer->reimport) {
        import_mark(import);
        return;
    }
    struct id id;
    char *name CLEANUP(cleanup_free) =
        xasprintf("artifact/%s/%s/0", task->path, jget_str(import->artifact, "name", ""));
    id_derive(&id, task->run->id.text, name);
    json_object_set_new(import->artifact, "id", json_string(id.text));
    import_end(import, true);
}

void import_begin(struct task *task)
{
    struct loop *loop = task->run->engine->set.loop;
    struct import *import = errand_new(task, sizeof(*import), import_drop);
    timer_init(&import->deadline, loop, import_on_deadline, import);
    task->started_us = clock_now_us();
    loop_defer(loop, &import->errand.turn, import_on_turn, import);
}
