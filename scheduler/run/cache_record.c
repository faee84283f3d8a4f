/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the cache: what a task gave, and what the last task of a component was made of. They
 * are made when the task's success is about to be saved and written when that is done; a daemon
 * that dies in between has forgotten a result, no more.
 */
#include "run/cache.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run_scripts.h"
#include "scheduler/artifact.h"

#define RECORD_VERSION 1
#define RECORD_MAX ((size_t)1024 * 1024) /* what is longer is not kept */
#define PATH_MAX_BYTES 8192
#define CACHE_MAX_ENTRIES 100000

struct cache_write {
    struct cache_name name;
    int64_t created_us;
    char *text;
    struct cache_write *next;
};

/* ---- is it there? ---- */

enum presence {
    PRESENCE_UNKNOWN, /* not in our store: nobody to ask */
    PRESENCE_THERE,
    PRESENCE_GONE,
};

static enum presence look_for(const struct artifact_store *store, const char *uri)
{
    struct buf path;
    struct err err = ERR_INIT;
    buf_init(&path, PATH_MAX_BYTES);
    enum presence found = PRESENCE_UNKNOWN;
    if (artifact_local_path(store, uri, &path, &err) == 0) {
        found = access(buf_str(&path), F_OK) == 0 ? PRESENCE_THERE : PRESENCE_GONE;
    }
    buf_done(&path);
    return found;
}

/* URIs of those artifacts that are there now; only these can be missed later. */
static json_t *present_of(const struct task *task)
{
    json_t *present = json_object();
    const char *name;
    json_t *list;
    json_object_foreach(task->out_artifacts, name, list)
    {
        size_t i;
        json_t *artifact;
        json_array_foreach(list, i, artifact)
        {
            const char *uri = jget_str(artifact, "uri", "");
            if (look_for(task->run->engine->set.artifacts, uri) == PRESENCE_THERE) {
                json_object_set_new(present, uri, json_true());
            }
        }
    }
    return present;
}

/* ---- writing ---- */

static json_t *record_new(const struct task *task, int64_t created_us)
{
    json_t *record = json_object();
    json_object_set_new(record, "v", json_integer(RECORD_VERSION));
    json_object_set_new(record, "pipeline", json_string(task->run->plan->name));
    json_object_set_new(record, "component", json_string(task->component->name));
    json_object_set_new(record, "run", json_string(task->run->id.text));
    json_object_set_new(record, "task", json_string(task->path));
    json_object_set_new(record, "created_us", json_integer(created_us));
    return record;
}

static void add_write(
    struct cache_writes *writes, const struct cache_name *name, int64_t created_us, json_t *record)
{
    char *text = jtext(record);
    json_decref(record);
    if (strlen(text) > RECORD_MAX) {
        LOG_DEBUG("result is too long for the cache", "bytes=%zu", strlen(text));
        free(text);
        return;
    }
    struct cache_write *write = xcalloc(1, sizeof(*write));
    write->name = *name;
    write->created_us = created_us;
    write->text = text;
    write->next = writes->first;
    writes->first = write;
    writes->count++;
}

/* The iterations of a loop share one component; the first speaks for all. */
static bool speaks_for_component(const struct task *task)
{
    for (; task != NULL; task = task->parent) {
        if (task->iteration > 0) {
            return false;
        }
    }
    return true;
}

void cache_writes_add(struct cache_writes *writes, const struct task *task)
{
    struct cache_key key;
    struct err err = ERR_INIT;
    /* The lookup left the fingerprint: without one, caching is off for it. */
    bool is_kept = task->role == TASK_ROLE_CONTAINER && task->state == TASK_STATE_SUCCEEDED &&
                   task->run->engine->set.cache && jget_str(task->cache, "fingerprint", NULL);
    if (!is_kept || cache_key_of(task, &key, &err) != 0) {
        return;
    }
    int64_t now_us = clock_now_us(); /* ended_us is of the clock where it ran */
    json_t *result = record_new(task, now_us);
    json_object_set_new(result, "fingerprint", json_string(key.print.hex));
    json_object_set_new(result, "outputs",
        json_pack("{s:O,s:O}", "parameters", task->out_params, "artifacts", task->out_artifacts));
    json_object_set_new(result, "present", present_of(task));
    add_write(writes, &key.result, now_us, result);
    if (speaks_for_component(task)) {
        json_t *parts = record_new(task, now_us);
        json_object_set(parts, "parts", key.print.parts);
        add_write(writes, &key.parts, now_us, parts);
    }
    cache_key_done(&key);
}

void cache_writes_free(struct cache_writes *writes)
{
    while (writes->first != NULL) {
        struct cache_write *write = writes->first;
        writes->first = write->next;
        free(write->text);
        free(write);
    }
    writes->count = 0;
}

static void on_written(void *owner UNUSED, redisReply *reply UNUSED, const struct err *err)
{
    if (err != NULL) {
        LOG_DEBUG("results were not kept in the cache", "reason=%s", LOG_Q(err->msg));
    }
}

static void send_shard(const struct cache_writes *writes, struct engine *engine, unsigned shard)
{
    struct store *store = engine->set.store;
    const char *prefix = store_shard_prefix(store, shard);
    int64_t max =
        engine->set.cache_max_entries > 0 ? engine->set.cache_max_entries : CACHE_MAX_ENTRIES;
    int64_t share = max / store_shards(store);
    int64_t max_age_ms = engine->set.cache_max_age_ms;
    struct store_args *args = store_args_new();
    store_key(args, "%scaches", prefix);
    store_key(args, "%scache:", prefix);
    store_arg_i(args, share > 0 ? share : 1);
    store_arg_i(args, max_age_ms > 0 ? clock_now_us() - max_age_ms * US_PER_MS : 0);
    for (const struct cache_write *w = writes->first; w != NULL; w = w->next) {
        if (w->name.shard == shard) {
            store_arg(args, w->name.text);
            store_arg_i(args, w->created_us);
            store_arg(args, w->text);
        }
    }
    store_eval(store, &script_cache_put, args, on_written, NULL);
}

void cache_writes_send(struct cache_writes *writes, struct engine *engine)
{
    if (writes->first == NULL) {
        return;
    }
    FAULT("run.cache.before");
    unsigned shards = store_shards(engine->set.store);
    bool *is_wanted CLEANUP(cleanup_free) = xcalloc(shards, sizeof(*is_wanted));
    for (const struct cache_write *w = writes->first; w != NULL; w = w->next) {
        is_wanted[w->name.shard] = true;
    }
    for (unsigned i = 0; i < shards; i++) {
        if (is_wanted[i]) {
            send_shard(writes, engine, i);
        }
    }
    cache_writes_free(writes);
}

/* ---- does it serve? ---- */

static char *check_artifacts(const struct task *task, const json_t *result)
{
    const json_t *present = json_object_get(result, "present");
    const json_t *artifacts = json_object_get(json_object_get(result, "outputs"), "artifacts");
    const char *name;
    json_t *list;
    json_object_foreach((json_t *)artifacts, name, list)
    {
        size_t i;
        json_t *artifact;
        json_array_foreach(list, i, artifact)
        {
            const char *uri = jget_str(artifact, "uri", "");
            if (json_object_get(present, uri) != NULL &&
                look_for(task->run->engine->set.artifacts, uri) == PRESENCE_GONE) {
                return xasprintf(
                    "artifact %s of run %s is gone", name, jget_str(result, "run", ""));
            }
        }
    }
    return NULL;
}

/* With a cache key of the user's own the earlier task may have had other outputs. */
static char *check_outputs(const struct task *task, const json_t *result)
{
    const struct component *component = task->component;
    const json_t *outputs = json_object_get(result, "outputs");
    const json_t *params = json_object_get(outputs, "parameters");
    const json_t *artifacts = json_object_get(outputs, "artifacts");
    const char *run = jget_str(result, "run", "");
    if (!json_is_object(params) || !json_is_object(artifacts)) {
        return xasprintf("what is kept of run %s cannot be read", run);
    }
    for (size_t i = 0; i < component->param_out_count; i++) {
        const struct param_def *def = &component->params_out[i];
        const json_t *value = json_object_get(params, def->name);
        struct err err = ERR_INIT;
        json_t *fit = value == NULL ? NULL : value_coerce(value, def->type, def->name, &err);
        bool fits = value == NULL ? task->def->cache_key == NULL : fit != NULL;
        json_decref(fit);
        if (!fits) {
            return xasprintf("run %s did not give output %s as it is declared", run, def->name);
        }
    }
    for (size_t i = 0; i < component->artifact_out_count; i++) {
        const struct artifact_def *def = &component->artifacts_out[i];
        if (json_object_get(artifacts, def->name) == NULL && !def->is_optional) {
            return xasprintf("run %s did not give output %s", run, def->name);
        }
    }
    return NULL;
}

bool cache_result_serves(const struct task *task, const json_t *result, char **reason)
{
    const struct engine *engine = task->run->engine;
    int64_t max_age_ms = engine->set.cache_max_age_ms;
    int64_t age_us = clock_now_us() - jget_i64(result, "created_us", 0);
    const char *run = jget_str(result, "run", "");
    if (jget_i64(result, "v", 0) != RECORD_VERSION) {
        *reason = xasprintf("what is kept of run %s was written by another version", run);
    } else if (max_age_ms > 0 && age_us > max_age_ms * US_PER_MS) {
        *reason = xasprintf("the result of run %s is older than the cache may be", run);
    } else {
        *reason = check_outputs(task, result);
        *reason = *reason != NULL ? *reason : check_artifacts(task, result);
    }
    return *reason == NULL;
}
