/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs whose time to be kept is over: what the executor kept of them goes, then they are taken off
 * the list, and then nothing holds their workspace any longer (workspaces.c). Dying in between
 * means that it is done again.
 */
#include "run/expiry.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/workspace.h"

#define FIRST_LOOK_MS 1000
#define EVERY_MS 60000
#define AGAIN_MS 1000 /* what was due could not go yet, or there is more */
#define AT_ONCE 64    /* runs per look and shard */

struct expiry {
    struct engine *engine;
    struct timer timer;
    struct look {
        struct expiry *owner;
        unsigned shard;
        struct store_call *call;
    } * looks; /* one for each shard */
    size_t pending;
    int64_t next_us; /* the earliest that was seen; INT64_MAX: none */
    bool is_again, has_removed;
};

int64_t run_expires_us(const struct live *run)
{
    const struct pipeline_config *config = run->plan == NULL ? NULL : run->plan->config;
    if (config == NULL) {
        return 0;
    }
    int64_t own = run->state == RUN_STATE_SUCCEEDED ? config->ttl_success_s : config->ttl_failure_s;
    int64_t ttl_s = own > 0 ? own : config->ttl_s;
    return ttl_s > 0 ? run->finished_us + ttl_s * US_PER_S : 0;
}

static void expiry_pause(struct expiry *e)
{
    int64_t now_us = clock_now_us();
    if (e->is_again) {
        timer_start_ms(&e->timer, AGAIN_MS);
    } else if (e->next_us - now_us < EVERY_MS * US_PER_MS) {
        timer_start_at(&e->timer, e->next_us);
    } else {
        timer_start_at(&e->timer, now_us + EVERY_MS * US_PER_MS);
    }
}

/* False: attempts of it are still to be forgotten, which keeps their logs. */
static bool run_expire(struct look *look, const char *run_id)
{
    struct engine *engine = look->owner->engine;
    if (farewells_has(engine->farewells, run_id)) {
        return false;
    }
    farewell_add_purge(engine->farewells, run_id);
    store_cmd(engine->set.store, NULL, NULL, "ZREM %sexpiry %s",
        store_shard_prefix(engine->set.store, look->shard), run_id);
    LOG_INFO("the time to keep a run's logs and workspace is over", "run=%s", run_id);
    return true;
}

static void look_at(struct look *look, const char *run_id, int64_t at_us)
{
    struct expiry *e = look->owner;
    if (at_us > clock_now_us()) {
        e->next_us = at_us < e->next_us ? at_us : e->next_us;
    } else if (run_expire(look, run_id)) {
        e->has_removed = true;
    } else {
        e->is_again = true;
    }
}

static void expiry_drop_one(struct expiry *e)
{
    if (--e->pending > 0) {
        return;
    }
    if (e->has_removed && e->engine->workspaces != NULL) {
        workspaces_look(e->engine->workspaces);
    }
    expiry_pause(e);
}

static void on_first(void *owner, redisReply *reply, const struct err *err)
{
    struct look *look = owner;
    struct expiry *e = look->owner;
    look->call = NULL;
    for (size_t i = 0; err == NULL && i + 1 < reply->elements; i += 2) {
        const char *id = reply_str(reply->element[i]);
        const char *score = reply_str(reply->element[i + 1]);
        if (id != NULL && id_is_valid(id) && score != NULL) {
            look_at(look, id, (int64_t)strtod(score, NULL));
        }
    }
    e->is_again |= err == NULL && reply->elements == 2 * AT_ONCE && e->has_removed;
    expiry_drop_one(e);
}

void expiry_look(struct expiry *e)
{
    struct store *store = e->engine->set.store;
    if (e->pending > 0) {
        return;
    }
    timer_stop(&e->timer);
    e->pending = 1;
    e->next_us = INT64_MAX;
    e->is_again = e->has_removed = false;
    for (unsigned i = 0; i < store_shards(store); i++) {
        if (!e->engine->shards[i].is_ours) {
            continue;
        }
        e->pending++;
        e->looks[i].call = store_cmd(store, on_first, &e->looks[i],
            "ZRANGE %sexpiry 0 %d WITHSCORES", store_shard_prefix(store, i), AT_ONCE - 1);
    }
    expiry_drop_one(e);
}

static void on_timer(void *owner)
{
    expiry_look(owner);
}

void expiry_add(struct expiry *e, int64_t at_us)
{
    if (at_us < e->next_us) {
        e->next_us = at_us;
        if (e->pending == 0 && !e->is_again) {
            expiry_pause(e);
        }
    }
}

struct expiry *expiry_new(struct engine *engine)
{
    unsigned shards = store_shards(engine->set.store);
    struct expiry *e = xcalloc(1, sizeof(*e));
    e->engine = engine;
    e->next_us = INT64_MAX;
    e->looks = xcalloc(shards, sizeof(*e->looks));
    for (unsigned i = 0; i < shards; i++) {
        e->looks[i].owner = e;
        e->looks[i].shard = i;
    }
    timer_init(&e->timer, engine->set.loop, on_timer, e);
    timer_start_ms(&e->timer, FIRST_LOOK_MS);
    return e;
}

void expiry_free(struct expiry *e)
{
    if (e == NULL) {
        return;
    }
    for (unsigned i = 0; i < store_shards(e->engine->set.store); i++) {
        store_cancel(e->looks[i].call);
    }
    timer_done(&e->timer);
    free(e->looks);
    free(e);
}
