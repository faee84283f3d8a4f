/* SPDX-License-Identifier: Apache-2.0 */
/* Making a run's workspace. See workspace.h. */
#include "run/workspace.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"

#define MOUNT_PATH "/kfp-workspace"
#define PLACEHOLDER "{{$.workspace_path}}"
#define RETRY_MS 500

enum workspace_state {
    WORKSPACE_NONE,
    WORKSPACE_MARKING,  /* writing down that it may exist */
    WORKSPACE_CREATING, /* the executor makes it */
    WORKSPACE_READY,
};

struct workspace {
    struct live *run;
    enum workspace_state state;
    struct store_call *call;
    struct timer retry;
    struct deferred turn;
    struct workspace_wait *waits, *last_wait;
};

const char *workspace_claim(const struct live *run, char *out)
{
    snprintf(out, WORKSPACE_CLAIM_MAX, "%s-kfp-workspace", run->id.text);
    return out;
}

/* ---- who needs it ---- */

static bool has_workspace(const struct live *run)
{
    return run->plan != NULL && run->plan->config != NULL &&
           run->plan->config->workspace_size != NULL;
}

static bool names_path(const char *text, const char *path)
{
    return strstr(text, MOUNT_PATH) != NULL || strstr(text, PLACEHOLDER) != NULL ||
           (path != NULL && strstr(text, path) != NULL);
}

static bool value_names_path(const json_t *value, const char *path)
{
    if (json_is_string(value)) {
        return names_path(json_string_value(value), path);
    }
    size_t i;
    const char *key;
    json_t *item;
    json_array_foreach((json_t *)value, i, item)
    {
        if (value_names_path(item, path)) {
            return true;
        }
    }
    json_object_foreach((json_t *)value, key, item)
    {
        if (value_names_path(item, path)) {
            return true;
        }
    }
    return false;
}

static bool container_names_path(const struct container *container, const char *path)
{
    for (size_t i = 0; i < container->command_count; i++) {
        if (names_path(container->command[i], path)) {
            return true;
        }
    }
    for (size_t i = 0; i < container->arg_count; i++) {
        if (names_path(container->args[i], path)) {
            return true;
        }
    }
    for (size_t i = 0; i < container->env_count; i++) {
        if (names_path(container->env[i].value, path)) {
            return true;
        }
    }
    return false;
}

static bool artifacts_lie_there(const json_t *artifacts)
{
    const char *name;
    json_t *list;
    json_object_foreach((json_t *)artifacts, name, list)
    {
        size_t i;
        json_t *artifact;
        json_array_foreach(list, i, artifact)
        {
            if (jget_bool(json_object_get(artifact, "metadata"), "_kfp_workspace", false)) {
                return true;
            }
        }
    }
    return false;
}

bool task_needs_workspace(const struct task *task)
{
    if (!has_workspace(task->run) || task->component->container == NULL) {
        return false;
    }
    const char *path = live_workspace_path(task->run);
    return artifacts_lie_there(task->artifacts) || value_names_path(task->params, path) ||
           container_names_path(task->component->container, path);
}

bool workspace_is_ready(const struct live *run)
{
    return run->workspace != NULL && run->workspace->state == WORKSPACE_READY;
}

/* ---- the claim ---- */

json_t *claim_new(const struct live *run, const char *task_id, const char *name, json_t *spec)
{
    return json_pack("{s:s,s:s,s:{s:s,s:{s:s,s:s,s:s}},s:o}", "apiVersion", "v1", "kind",
        "PersistentVolumeClaim", "metadata", "name", name, "labels", "app.kubernetes.io/managed-by",
        "rondo", "rondo.dev/run-id", run->id.text, "rondo.dev/task-id", task_id, "spec", spec);
}

static json_t *workspace_spec(const struct pipeline_config *config)
{
    json_t *spec =
        json_pack("{s:{s:{s:s}}}", "resources", "requests", "storage", config->workspace_size);
    if (config->workspace_patch != NULL) {
        json_object_update(spec, (json_t *)config->workspace_patch);
    }
    if (json_array_size(json_object_get(spec, "accessModes")) == 0) {
        json_object_set_new(spec, "accessModes", json_pack("[s]", "ReadWriteOnce"));
    }
    return spec;
}

json_t *workspace_claim_new(const struct live *run)
{
    char name[WORKSPACE_CLAIM_MAX];
    return claim_new(
        run, run->id.text, workspace_claim(run, name), workspace_spec(run->plan->config));
}

/* ---- making it ---- */

static void workspace_mark(void *owner);

static void wait_unlink(struct workspace_wait *wait)
{
    *(wait->prev == NULL ? &wait->workspace->waits : &wait->prev->next) = wait->next;
    *(wait->next == NULL ? &wait->workspace->last_wait : &wait->next->prev) = wait->prev;
    wait->workspace = NULL;
}

/* Whoever is told may end the run, but not within this turn. */
static void workspace_tell(struct workspace *ws, const struct err *err)
{
    struct workspace_wait *wait;
    while ((wait = ws->waits) != NULL) {
        wait_unlink(wait);
        wait->done(wait->owner, err);
    }
}

static void workspace_on_created(void *owner, const struct err *err)
{
    struct workspace *ws = owner;
    ws->state = err == NULL ? WORKSPACE_READY : WORKSPACE_NONE;
    LOG_INFO(err == NULL ? "workspace is made" : "workspace could not be made", "run=%s reason=%s",
        ws->run->id.text, LOG_Q(err == NULL ? "" : err->msg));
    workspace_tell(ws, err);
}

static void workspace_create(struct workspace *ws)
{
    struct live *run = ws->run;
    const struct executor *executor = &run->engine->set.executor;
    ws->state = WORKSPACE_CREATING;
    json_t *claim = workspace_claim_new(run);
    executor->ops->volume_create(executor->self, claim, workspace_on_created, ws);
    json_decref(claim);
}

static void workspace_on_marked(void *owner, redisReply *reply UNUSED, const struct err *err)
{
    struct workspace *ws = owner;
    ws->call = NULL;
    if (err == NULL) {
        workspace_create(ws);
    } else { /* as with saves: nothing goes on without Redis */
        LOG_WARN(
            "workspace waits for redis", "run=%s reason=%s", ws->run->id.text, LOG_Q(err->msg));
        timer_start_ms(&ws->retry, RETRY_MS);
    }
}

static void workspace_mark(void *owner)
{
    struct workspace *ws = owner;
    struct live *run = ws->run;
    struct store *store = run->engine->set.store;
    ws->call = store_cmd(store, workspace_on_marked, ws, "SADD %sworkspaces %s",
        store_shard_prefix(store, run->shard), run->id.text);
}

static void workspace_refuse(void *owner)
{
    struct workspace *ws = owner;
    struct err err = ERR_INIT;
    ws->state = WORKSPACE_NONE;
    err_set(&err, ERR_INVALID, "the executor '%s' has no volumes",
        ws->run->engine->set.executor.ops->name);
    workspace_tell(ws, &err);
}

static void workspace_on_ready(void *owner)
{
    workspace_tell(owner, NULL);
}

void workspace_make(struct live *run, struct workspace_wait *wait, workspace_fn *done, void *owner)
{
    struct loop *loop = run->engine->set.loop;
    struct workspace *ws = run->workspace;
    if (ws == NULL) {
        ws = xcalloc(1, sizeof(*ws));
        ws->run = run;
        timer_init(&ws->retry, loop, workspace_mark, ws);
        run->workspace = ws;
    }
    *wait = (struct workspace_wait){
        .workspace = ws, .done = done, .owner = owner, .prev = ws->last_wait};
    *(ws->waits == NULL ? &ws->waits : &ws->last_wait->next) = wait;
    ws->last_wait = wait;
    if (ws->state == WORKSPACE_READY) {
        loop_defer(loop, &ws->turn, workspace_on_ready, ws);
    } else if (ws->state == WORKSPACE_NONE) {
        ws->state = WORKSPACE_MARKING;
        if (run->engine->set.executor.ops->volume_create == NULL) {
            loop_defer(loop, &ws->turn, workspace_refuse, ws);
        } else {
            workspace_mark(ws);
        }
    }
}

void workspace_wait_cancel(struct workspace_wait *wait)
{
    if (wait->workspace != NULL) {
        wait_unlink(wait);
    }
}

void workspace_free(struct live *run)
{
    struct workspace *ws = run->workspace;
    if (ws == NULL) {
        return;
    }
    assert(ws->waits == NULL);
    const struct executor *executor = &run->engine->set.executor;
    if (ws->state == WORKSPACE_CREATING && executor->ops->volume_cancel != NULL) {
        executor->ops->volume_cancel(executor->self, ws);
    }
    store_cancel(ws->call);
    timer_done(&ws->retry);
    loop_defer_cancel(run->engine->set.loop, &ws->turn);
    free(ws);
    run->workspace = NULL;
}
