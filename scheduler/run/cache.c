/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking a container task up in the cache before it runs. Found and fit: the task ends CACHED
 * with the earlier outputs, the same artifacts by identity. Anything else, also a Redis that does
 * not answer soon, means that it runs; its record says why.
 */
#include "run/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/errand.h"
#include "run/task_pod.h"
#include "run/workspace.h"

#define LOOKUP_MS 1000 /* a cache that is slower than this is none */

/* ---- keys ---- */

static void name_record(struct cache_name *out, const struct store *store, const char *kind,
    const char *pipeline, const char *what)
{
    struct buf text;
    buf_init(&text, SIZE_MAX);
    /* With its end: no two triples are written the same way. */
    buf_add(&text, kind, strlen(kind) + 1);
    buf_add(&text, pipeline, strlen(pipeline) + 1);
    buf_add(&text, what, strlen(what) + 1);
    sha256_hex(text.data, text.len, out->text);
    buf_done(&text);
    unsigned char first;
    (void)hex_decode(out->text, 2, &first, 1);
    out->shard = first & (store_shards(store) - 1);
}

/* Names of the claims it mounts. New array. */
static json_t *claims_of(const struct task *task, const json_t *parts)
{
    json_t *claims = pod_parts_claims(parts);
    if (task_needs_workspace(task)) {
        /* The workspace is the run's own, so such a task is never the same as one of another. */
        char claim[WORKSPACE_CLAIM_MAX];
        json_array_append_new(claims, json_string(workspace_claim(task->run, claim)));
    }
    return claims;
}

int cache_key_of(const struct task *task, struct cache_key *out, struct err *err)
{
    const struct live *run = task->run;
    json_t *parts CLEANUP(json_decrefp) = task_pod_parts(task, err);
    if (parts == NULL) {
        return -1;
    }
    json_t *claims CLEANUP(json_decrefp) = claims_of(task, parts);
    json_t *sources CLEANUP(json_decrefp) = pod_parts_sources(parts);
    json_t *provided CLEANUP(json_decrefp) = json_copy(task->params);
    for (size_t i = 0; i < json_array_size(task->defaulted); i++) {
        json_object_del(provided, json_string_value(json_array_get(task->defaulted, i)));
    }
    task_fingerprint(task->def, provided, task->artifacts, claims, sources, &out->print);
    const struct store *store = run->engine->set.store;
    name_record(&out->result, store, "result", run->plan->name, out->print.hex);
    name_record(&out->parts, store, "parts", run->plan->name, task->component->name);
    return 0;
}

void cache_key_done(struct cache_key *key)
{
    json_decref(key->print.parts);
    key->print.parts = NULL;
}

/* ---- the lookup ---- */

struct lookup {
    struct errand errand;
    struct cache_key key;
    struct store_call *call;
    struct timer deadline;
};

static void note(struct task *task, const char *state, const char *reason, const char *fingerprint)
{
    json_decref(task->cache);
    task->cache = json_object();
    json_object_set_new(task->cache, "state", json_string(state));
    json_object_set_new(task->cache, "reason", json_string(reason));
    jset_str(task->cache, "fingerprint", fingerprint);
    LOG_DEBUG("task and the cache", "run=%s task=%s cache=%s reason=%s", task->run->id.text,
        LOG_Q(task->path), state, LOG_Q(reason));
}

static void lookup_drop(struct errand *errand)
{
    struct lookup *lookup = (struct lookup *)errand;
    store_cancel(lookup->call);
    timer_done(&lookup->deadline);
    cache_key_done(&lookup->key);
}

/* It has to run. */
static void lookup_end(struct lookup *lookup, const char *state, const char *reason)
{
    struct task *task = lookup->errand.task;
    note(task, state, reason, lookup->key.print.hex);
    errand_end(&lookup->errand);
    container_go(task);
}

static void lookup_hit(struct lookup *lookup, const json_t *result)
{
    struct task *task = lookup->errand.task;
    const char *run = jget_str(result, "run", ""), *path = jget_str(result, "task", "");
    char *reason CLEANUP(cleanup_free) = xasprintf("task %s of run %s did the same", path, run);
    note(task, "hit", reason, lookup->key.print.hex);
    json_object_set_new(task->cache, "from", json_pack("{s:s,s:s}", "run", run, "task", path));
    const json_t *outputs = json_object_get(result, "outputs");
    json_decref(task->out_params);
    json_decref(task->out_artifacts);
    task->out_params = json_incref(json_object_get(outputs, "parameters"));
    task->out_artifacts = json_incref(json_object_get(outputs, "artifacts"));
    errand_end(&lookup->errand);
    task->run->engine->counts.steps_cached++;
    LOG_INFO("step is cached", "run=%s task=%s from_run=%s from_task=%s", task->run->id.text,
        LOG_Q(task->path), run, LOG_Q(path));
    task_end(task, TASK_STATE_CACHED);
}

static void lookup_refuse(struct lookup *lookup, const struct err *err)
{
    char *reason CLEANUP(cleanup_free) = xasprintf("the cache could not be asked: %s", err->msg);
    lookup_end(lookup, "miss", reason);
}

static void lookup_on_parts(void *owner, redisReply *reply, const struct err *err)
{
    struct lookup *lookup = owner;
    lookup->call = NULL;
    if (err != NULL) {
        lookup_refuse(lookup, err);
        return;
    }
    json_t *last CLEANUP(json_decrefp) =
        reply->str == NULL ? NULL : jread_text(reply->str, reply->len, "cache", &(struct err){0});
    char *reason CLEANUP(cleanup_free) = cache_explain_miss(&lookup->key, last);
    lookup_end(lookup, "miss", reason);
}

static void lookup_on_result(void *owner, redisReply *reply, const struct err *err)
{
    struct lookup *lookup = owner;
    struct task *task = lookup->errand.task;
    struct store *store = task->run->engine->set.store;
    struct err unread = ERR_INIT;
    char *reason CLEANUP(cleanup_free) = NULL;
    lookup->call = NULL;
    if (err != NULL) {
        lookup_refuse(lookup, err);
        return;
    }
    if (reply->str == NULL) {
        lookup->call = store_cmd(store, lookup_on_parts, lookup, "GET %scache:%s",
            store_shard_prefix(store, lookup->key.parts.shard), lookup->key.parts.text);
        return;
    }
    json_t *result CLEANUP(json_decrefp) = jread_text(reply->str, reply->len, "cache", &unread);
    if (result == NULL) {
        lookup_refuse(lookup, &unread);
    } else if (cache_result_serves(task, result, &reason)) {
        lookup_hit(lookup, result);
    } else {
        lookup_end(lookup, "stale", reason);
    }
}

static void lookup_on_deadline(void *owner)
{
    char *reason CLEANUP(cleanup_free) =
        xasprintf("the cache did not answer within %d ms", LOOKUP_MS);
    lookup_end(owner, "miss", reason);
}

static void not_cached(struct task *task, const char *reason)
{
    note(task, "off", reason, NULL);
    container_go(task);
}

void cache_begin(struct task *task)
{
    struct engine *engine = task->run->engine;
    struct err err = ERR_INIT;
    if (!task->def->cache_enabled) {
        not_cached(task, "caching is off for this task");
        return;
    }
    if (!engine->set.cache) {
        not_cached(task, "caching is off in this daemon (setting cache)");
        return;
    }
    struct cache_key key;
    if (cache_key_of(task, &key, &err) != 0) {
        not_cached(task, err.msg);
        return;
    }
    struct lookup *lookup = errand_new(task, sizeof(*lookup), lookup_drop);
    lookup->key = key;
    timer_init(&lookup->deadline, engine->set.loop, lookup_on_deadline, lookup);
    timer_start_ms(&lookup->deadline, LOOKUP_MS);
    lookup->call = store_cmd(engine->set.store, lookup_on_result, lookup, "GET %scache:%s",
        store_shard_prefix(engine->set.store, key.result.shard), key.result.text);
}
