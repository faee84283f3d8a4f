/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which shards are ours: their live runs come into memory when one is started, and leave it when
 * another daemon carries it on. What was not saved by then is found again as after a crash.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/expiry.h"
#include "run/pools.h"
#include "run/workspace.h"

#define RELIST_MS 500

bool shards_has(const struct engine *engine, const char *run_id)
{
    return engine->shards[id_shard(run_id, store_shards(engine->set.store))].is_ours;
}

/* ---- start ---- */

static void shard_drop_one(void *owner)
{
    struct run_shard *s = owner;
    if (--s->pending > 0) {
        return;
    }
    LOG_DEBUG("live runs are loaded", "shard=%02x count=%lld", s->number, (long long)s->found);
    void (*done)(void *) = STEAL(s->done);
    if (done != NULL) {
        done(s->owner);
    }
}

static void shard_on_ids(void *owner, redisReply *reply, const struct err *err)
{
    struct run_shard *s = owner;
    struct engine *engine = s->engine;
    s->call = NULL;
    if (err != NULL) {
        LOG_WARN("live runs cannot be read, trying again", "shard=%02x reason=%s", s->number,
            LOG_Q(err->msg));
        timer_start_ms(&s->retry, RELIST_MS);
        return;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        const char *id = reply_str(reply->element[i]);
        if (id != NULL && id_is_valid(id) && engine_find(engine, id) == NULL) {
            s->pending++;
            s->found++;
            load_add(engine, id, shard_drop_one, s);
        }
    }
    shard_drop_one(s);
}

static void shard_ask(void *owner)
{
    struct run_shard *s = owner;
    struct store *store = s->engine->set.store;
    s->call = store_cmd(
        store, shard_on_ids, s, "ZRANGE %slive 0 -1", store_shard_prefix(store, s->number));
}

static void engine_open(struct engine *engine)
{
    if (engine->overlooked == NULL) {
        engine->janitor = janitor_new(engine);
        engine->overlooked = overlooked_new(engine);
        engine->workspaces = workspaces_new(engine);
        engine->expiry = expiry_new(engine);
    }
}

void engine_shard_start(
    struct engine *engine, unsigned shard, void (*done)(void *owner), void *owner)
{
    struct run_shard *s = &engine->shards[shard];
    engine_open(engine);
    s->is_ours = true;
    s->is_held = false;
    s->pending = 1;
    s->found = 0;
    s->done = done;
    s->owner = owner;
    pools_compare_soon(engine->pools);
    shard_ask(s);
}

/* ---- all of them ---- */

static void engine_on_shard_started(void *owner)
{
    struct engine *engine = owner;
    if (--engine->starting > 0) {
        return;
    }
    void (*started)(void *, const struct err *) = STEAL(engine->started);
    if (started != NULL) {
        started(engine->started_owner, NULL);
    }
}

void engine_start(
    struct engine *engine, void (*done)(void *owner, const struct err *err), void *owner)
{
    engine->started = done;
    engine->started_owner = owner;
    engine->starting = store_shards(engine->set.store);
    for (unsigned i = 0; i < store_shards(engine->set.store); i++) {
        engine_shard_start(engine, i, engine_on_shard_started, engine);
    }
}

/* ---- end ---- */

void engine_shard_hold(struct engine *engine, unsigned shard)
{
    engine->shards[shard].is_held = true;
    struct map_iter it = {0};
    void *value;
    while (map_next(engine->runs, &it, NULL, &value)) {
        struct live *run = value;
        if (run->shard == shard) {
            engine_ring_remove(run);
        }
    }
}

bool engine_shard_is_quiet(const struct engine *engine, unsigned shard)
{
    struct map_iter it = {0};
    void *value;
    while (map_next(engine->runs, &it, NULL, &value)) {
        const struct live *run = value;
        if (run->shard == shard && run->save != NULL) {
            return false;
        }
    }
    return true;
}

static bool is_saved(const struct live *run)
{
    return run->save == NULL && !run->step.is_queued_ && run->dirty.first == NULL &&
           !run->is_state_dirty && run->event_count == 0 && run->end_count == 0;
}

bool engine_shard_is_idle(const struct engine *engine, unsigned shard)
{
    const struct run_shard *s = &engine->shards[shard];
    if (s->running > 0 || s->pending > 0 || load_is_busy(engine, shard)) {
        return false;
    }
    struct map_iter it = {0};
    void *value;
    while (map_next(engine->runs, &it, NULL, &value)) {
        const struct live *run = value;
        if (run->shard == shard && !is_saved(run)) {
            return false;
        }
    }
    return true;
}

static void let_go(struct task *task)
{
    if (task == NULL) {
        return;
    }
    const struct executor *executor = &task->run->engine->set.executor;
    if (task->is_started && executor->ops->let_go != NULL) {
        struct attempt_name name = task_attempt_name(task);
        executor->ops->let_go(executor->self, &name);
    }
    for (size_t i = 0; i < task->child_count; i++) {
        let_go(task->children[i]); /* NULL: an iteration that is over */
    }
}

void engine_shard_stop(struct engine *engine, unsigned shard)
{
    struct run_shard *s = &engine->shards[shard];
    s->is_ours = false;
    s->is_held = true;
    s->done = NULL;
    s->pending = 0;
    store_cancel(STEAL(s->call));
    timer_stop(&s->retry);
    load_drop_shard(engine, shard);
    struct map_iter it = {0};
    void *value;
    while (map_next(engine->runs, &it, NULL, &value)) {
        struct live *run = value;
        if (run->shard == shard) {
            let_go(run->root);
            engine_forget_run(run);
        }
    }
    s->is_held = false;
}

void engine_shard_look(struct engine *engine, unsigned shard)
{
    struct map_iter it = {0};
    void *value;
    while (map_next(engine->runs, &it, NULL, &value)) {
        struct live *run = value;
        if (run->shard == shard && !run_state_is_final(run->state)) {
            pools_adopt(run); /* its slots may be among what was lost; one that waits asks again */
            engine_look(run);
        }
    }
    engine_look_soon(engine);
}

void shards_init(struct engine *engine)
{
    unsigned count = store_shards(engine->set.store);
    engine->shards = xcalloc(count, sizeof(*engine->shards));
    for (unsigned i = 0; i < count; i++) {
        struct run_shard *s = &engine->shards[i];
        s->engine = engine;
        s->number = i;
        timer_init(&s->retry, engine->set.loop, shard_ask, s);
    }
}

void shards_done(struct engine *engine)
{
    for (unsigned i = 0; i < store_shards(engine->set.store); i++) {
        store_cancel(engine->shards[i].call);
        timer_done(&engine->shards[i].retry);
    }
}
