/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs that exist and that nobody told the engine of: Redis carried out the script which made
 * them, but its answer was lost, and by the time of the next try another slot was due or the
 * caller had gone. Now and then, and soon after a lost answer, the live sets are compared with what
 * is in memory, and runs that were born are given their records.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"

#define EVERY_MS 60000
#define SOON_MS 2000
#define BORN_MAX 100 /* of one shard in one look; mostly they are on their way (births.c) */

struct overlooked {
    struct engine *engine;
    struct timer timer;
    struct look {
        struct overlooked *owner;
        struct store_call *call;
        struct run_hatching *hatching;
    } * looks; /* one for each shard */
    size_t pending;
    bool is_wanted_soon;
};

static void pause_for(struct overlooked *o, uint32_t ms)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    timer_start_ms(&o->timer, (int64_t)ms + random % (ms / 4));
}

static void overlooked_drop_one(struct overlooked *o)
{
    if (--o->pending == 0) {
        pause_for(o, o->is_wanted_soon ? SOON_MS : EVERY_MS);
        o->is_wanted_soon = false;
    }
}

static void go_on_with(struct overlooked *o, const char *id)
{
    struct engine *engine = o->engine;
    if (id != NULL && id_is_valid(id) && shards_has(engine, id) &&
        engine_find(engine, id) == NULL && !map_has(engine->loads, id)) {
        LOG_INFO("a run was overlooked, going on with it", "run=%s", id);
        load_add(engine, id, NULL, NULL);
    }
}

static void on_born(
    void *owner, const struct id *ids, size_t count, int64_t left, const struct err *err)
{
    struct look *look = owner;
    struct overlooked *o = look->owner;
    look->hatching = NULL;
    o->is_wanted_soon |= err != NULL || (count > 0 && left > 0);
    for (size_t i = 0; i < count; i++) {
        go_on_with(o, ids[i].text);
    }
    overlooked_drop_one(o);
}

static void on_live(void *owner, redisReply *reply, const struct err *err)
{
    struct look *look = owner;
    struct overlooked *o = look->owner;
    look->call = NULL;
    o->is_wanted_soon |= err != NULL;
    for (size_t i = 0; err == NULL && i < reply->elements; i++) {
        go_on_with(o, reply_str(reply->element[i]));
    }
    overlooked_drop_one(o);
}

static void overlooked_look(void *owner)
{
    struct overlooked *o = owner;
    struct store *store = o->engine->set.store;
    o->pending = 1;
    for (unsigned i = 0; i < store_shards(store); i++) {
        if (!o->engine->shards[i].is_ours) {
            continue;
        }
        o->pending += 2;
        o->looks[i].hatching = run_hatch(
            store, i, NULL, 0, BORN_MAX, o->engine->set.history_max_ticks, on_born, &o->looks[i]);
        o->looks[i].call = store_cmd(
            store, on_live, &o->looks[i], "ZRANGE %slive 0 -1", store_shard_prefix(store, i));
    }
    overlooked_drop_one(o);
}

struct overlooked *overlooked_new(struct engine *engine)
{
    struct overlooked *o = xcalloc(1, sizeof(*o));
    unsigned shards = store_shards(engine->set.store);
    o->engine = engine;
    o->looks = xcalloc(shards, sizeof(*o->looks));
    for (unsigned i = 0; i < shards; i++) {
        o->looks[i].owner = o;
    }
    timer_init(&o->timer, engine->set.loop, overlooked_look, o);
    pause_for(o, EVERY_MS);
    return o;
}

void overlooked_soon(struct overlooked *o)
{
    if (o->pending > 0) {
        o->is_wanted_soon = true;
    } else {
        pause_for(o, SOON_MS);
    }
}

void overlooked_free(struct overlooked *o)
{
    if (o == NULL) {
        return;
    }
    for (unsigned i = 0; i < store_shards(o->engine->set.store); i++) {
        store_cancel(o->looks[i].call);
        run_hatch_cancel(o->looks[i].hatching);
    }
    timer_done(&o->timer);
    free(o->looks);
    free(o);
}
