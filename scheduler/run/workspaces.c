/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workspaces of runs that have ended are deleted: at once when we saw the end, and by a look now
 * and then when a daemon died before it could. One that its pipeline wants to be kept for some
 * time is deleted by the look that follows that time (expiry.c).
 */
#include "run/workspace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/expiry.h"
#include "run_scripts.h"

#define FIRST_LOOK_MS 10000
#define EVERY_MS 60000
#define AT_ONCE 64

/* One that goes. */
struct leaving {
    struct workspaces *owner;
    struct leaving *prev, *next;
    char run_id[ID_LEN + 1];
    struct store_call *call;
    bool is_asked; /* the executor */
};

struct workspaces {
    struct engine *engine;
    struct timer timer;
    struct leaving *first;
    struct map *by_run; /* run id -> struct leaving */
    struct look {
        struct workspaces *owner;
        struct store_call *call;
    } * looks; /* one for each shard */
    size_t pending;
    bool is_wanted; /* another look, after the one under way */
};

static void leaving_free(struct leaving *l)
{
    struct workspaces *w = l->owner;
    const struct executor *executor = &w->engine->set.executor;
    if (l->is_asked) {
        executor->ops->volume_cancel(executor->self, l);
    }
    store_cancel(l->call);
    *(l->prev == NULL ? &w->first : &l->prev->next) = l->next;
    if (l->next != NULL) {
        l->next->prev = l->prev;
    }
    map_remove(w->by_run, l->run_id);
    free(l);
}

static void on_forgotten(void *owner, redisReply *reply UNUSED, const struct err *err UNUSED)
{
    struct leaving *l = owner;
    l->call = NULL;
    leaving_free(l); /* not forgotten: the next look deletes it once more, which is harmless */
}

static void on_deleted(void *owner, const struct err *err)
{
    struct leaving *l = owner;
    struct store *store = l->owner->engine->set.store;
    l->is_asked = false;
    if (err != NULL && err->code != ERR_NOT_FOUND) {
        LOG_WARN("a workspace could not be deleted, trying again later", "run=%s reason=%s",
            l->run_id, LOG_Q(err->msg));
        leaving_free(l);
        return;
    }
    LOG_INFO("workspace is deleted", "run=%s", l->run_id);
    l->call = store_cmd(store, on_forgotten, l, "SREM %sworkspaces %s",
        store_id_prefix(store, l->run_id), l->run_id);
}

static void leaving_delete(struct leaving *l)
{
    const struct executor *executor = &l->owner->engine->set.executor;
    char name[WORKSPACE_CLAIM_MAX];
    snprintf(name, sizeof(name), "%s-kfp-workspace", l->run_id);
    l->is_asked = true;
    executor->ops->volume_delete(executor->self, name, on_deleted, l);
}

/* NULL: it is going already, or nobody can delete it. */
static struct leaving *leaving_new(struct workspaces *w, const char *run_id)
{
    if (w->engine->set.executor.ops->volume_delete == NULL || map_has(w->by_run, run_id)) {
        return NULL;
    }
    struct leaving *l = xcalloc(1, sizeof(*l));
    l->owner = w;
    memcpy(l->run_id, run_id, ID_LEN);
    l->next = w->first;
    if (l->next != NULL) {
        l->next->prev = l;
    }
    w->first = l;
    map_put(w->by_run, l->run_id, l);
    return l;
}

static void on_asked(void *owner, redisReply *reply, const struct err *err)
{
    struct leaving *l = owner;
    l->call = NULL;
    if (err == NULL && reply_int(reply, 0) == 1) {
        leaving_delete(l);
    } else {
        leaving_free(l);
    }
}

void workspaces_run_ended(struct workspaces *w, const struct live *run)
{
    bool may_have_one = run->plan != NULL && run->plan->config != NULL &&
                        run->plan->config->workspace_size != NULL && run_expires_us(run) == 0;
    struct leaving *l = w == NULL || !may_have_one ? NULL : leaving_new(w, run->id.text);
    if (l != NULL) {
        struct store *store = w->engine->set.store;
        l->call = store_cmd(store, on_asked, l, "SISMEMBER %sworkspaces %s",
            store_shard_prefix(store, run->shard), run->id.text);
    }
}

/* ---- those that were left ---- */

static void workspaces_drop_one(struct workspaces *w)
{
    if (--w->pending == 0) {
        timer_start_ms(&w->timer, w->is_wanted ? 0 : EVERY_MS);
        w->is_wanted = false;
    }
}

static void on_orphans(void *owner, redisReply *reply, const struct err *err)
{
    struct look *look = owner;
    struct workspaces *w = look->owner;
    look->call = NULL;
    for (size_t i = 0; err == NULL && i < reply->elements; i++) {
        const char *id = reply_str(reply->element[i]);
        bool is_orphan = id != NULL && id_is_valid(id) && shards_has(w->engine, id) &&
                         engine_find(w->engine, id) == NULL;
        struct leaving *l = is_orphan ? leaving_new(w, id) : NULL;
        if (l != NULL) {
            leaving_delete(l);
        }
    }
    workspaces_drop_one(w);
}

void workspaces_look(struct workspaces *w)
{
    struct store *store = w->engine->set.store;
    if (w->pending > 0) {
        w->is_wanted = true;
        return;
    }
    timer_stop(&w->timer);
    w->pending = 1;
    for (unsigned i = 0; i < store_shards(store); i++) {
        if (!w->engine->shards[i].is_ours) {
            continue;
        }
        w->pending++;
        const char *prefix = store_shard_prefix(store, i);
        struct store_args *args = store_args_new();
        store_key(args, "%sworkspaces", prefix);
        store_key(args, "%slive", prefix);
        store_key(args, "%sexpiry", prefix);
        store_arg_i(args, AT_ONCE);
        w->looks[i].call =
            store_eval(store, &script_workspace_orphans, args, on_orphans, &w->looks[i]);
    }
    workspaces_drop_one(w);
}

static void on_timer(void *owner)
{
    workspaces_look(owner);
}

struct workspaces *workspaces_new(struct engine *engine)
{
    unsigned shards = store_shards(engine->set.store);
    struct workspaces *w = xcalloc(1, sizeof(*w));
    w->engine = engine;
    w->by_run = map_new(NULL);
    w->looks = xcalloc(shards, sizeof(*w->looks));
    for (unsigned i = 0; i < shards; i++) {
        w->looks[i].owner = w;
    }
    timer_init(&w->timer, engine->set.loop, on_timer, w);
    timer_start_ms(&w->timer, FIRST_LOOK_MS);
    return w;
}

void workspaces_free(struct workspaces *w)
{
    if (w == NULL) {
        return;
    }
    while (w->first != NULL) {
        leaving_free(w->first);
    }
    for (unsigned i = 0; i < store_shards(w->engine->set.store); i++) {
        store_cancel(w->looks[i].call);
    }
    timer_done(&w->timer);
    map_free(w->by_run);
    free(w->looks);
    free(w);
}
