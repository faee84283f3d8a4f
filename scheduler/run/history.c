/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs leave: the record by one script, then what the executor kept of it. And the history
 * janitor: finished runs beyond a number or an age are deleted, oldest end first, a
 * few at a time so that nobody waits for it.
 */
#include "run/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/store.h"
#include "base/util.h"

#define PAUSE_MS 60000      /* when there was nothing more to do */
#define FIRST_PAUSE_MS 5000 /* after the start others have better things to do */
#define AGAIN_MS 50         /* when there was */
#define AT_ONCE 64          /* runs per look */

/* ---- one run ---- */

struct deletion {
    struct engine *engine; /* NULL: it went meanwhile */
    struct deletion *prev, *next;
    char id[ID_LEN + 1];
    run_json_fn *done;
    void *owner;
};

static void deletion_unlink(struct deletion *op)
{
    if (op->engine == NULL) {
        return;
    }
    *(op->prev != NULL ? &op->prev->next : &op->engine->deletions) = op->next;
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
}

/* The record first: a run that can be seen has its logs. */
static void deletion_on_gone(void *owner, const json_t *record, const struct err *err)
{
    struct deletion *op = owner;
    deletion_unlink(op);
    if (err == NULL && op->engine != NULL) {
        farewell_add_purge(op->engine->farewells, op->id);
    }
    op->done(op->owner, record, err);
    free(op);
}

void engine_delete(struct engine *engine, const char *run_id, run_json_fn *done, void *owner)
{
    struct deletion *op = xcalloc(1, sizeof(*op));
    op->engine = engine;
    op->done = done;
    op->owner = owner;
    memcpy(op->id, run_id, strnlen(run_id, ID_LEN));
    op->next = engine->deletions;
    if (op->next != NULL) {
        op->next->prev = op;
    }
    engine->deletions = op;
    run_delete(engine->set.store, run_id, deletion_on_gone, op);
}

void deletions_leave(struct engine *engine)
{
    for (struct deletion *op = engine->deletions; op != NULL; op = op->next) {
        op->engine = NULL;
    }
}

/* ---- the janitor ---- */

struct old_run {
    char id[ID_LEN + 1];
    int64_t finished_us;
};

struct janitor {
    struct engine *engine;
    struct timer timer;
    unsigned pending;    /* replies or deletions to come */
    bool is_gone;        /* freed when the last of them has come */
    int64_t total;       /* finished runs in all shards */
    struct old_run *old; /* the oldest of each shard */
    size_t count, cap;
    int64_t deleted;
    bool failed;
};

static void janitor_release(struct janitor *janitor)
{
    free(janitor->old);
    free(janitor);
}

/* One answer less to wait for; true when this was the last and the janitor is still wanted. */
static bool janitor_drop_one(struct janitor *janitor)
{
    if (--janitor->pending > 0) {
        return false;
    }
    if (janitor->is_gone) {
        janitor_release(janitor);
        return false;
    }
    return true;
}

static void janitor_pause(struct janitor *janitor)
{
    if (janitor->deleted > 0) {
        LOG_INFO("old runs deleted", "count=%lld", (long long)janitor->deleted);
    }
    timer_start_ms(&janitor->timer, janitor->deleted > 0 && !janitor->failed ? AGAIN_MS : PAUSE_MS);
}

static void janitor_on_deleted(void *owner, const json_t *record UNUSED, const struct err *err)
{
    struct janitor *janitor = owner;
    if (err == NULL) {
        janitor->deleted++;
    } else if (err->code != ERR_NOT_FOUND) {
        janitor->failed = true;
        LOG_WARN("an old run could not be deleted", "reason=%s", LOG_Q(err->msg));
    }
    if (janitor_drop_one(janitor)) {
        janitor_pause(janitor);
    }
}

static int by_end(const void *a, const void *b)
{
    const struct old_run *left = a, *right = b;
    return left->finished_us < right->finished_us ? -1 : left->finished_us > right->finished_us;
}

static void janitor_sweep(struct janitor *janitor)
{
    const struct engine_settings *set = &janitor->engine->set;
    int64_t max_runs = set->history_max_runs;
    int64_t excess = max_runs > 0 ? janitor->total - max_runs : 0;
    int64_t before_us = set->history_max_age_ms > 0
                            ? clock_now_us() - set->history_max_age_ms * US_PER_MS
                            : INT64_MIN;
    if (janitor->count > 1) {
        qsort(janitor->old, janitor->count, sizeof(*janitor->old), by_end);
    }
    janitor->pending = 1;
    for (size_t i = 0; i < janitor->count && janitor->pending <= AT_ONCE; i++) {
        if ((int64_t)i >= excess && janitor->old[i].finished_us >= before_us) {
            break;
        }
        if (!shards_has(janitor->engine, janitor->old[i].id)) {
            continue; /* whoever carries its shard on deletes it */
        }
        janitor->pending++;
        engine_delete(janitor->engine, janitor->old[i].id, janitor_on_deleted, janitor);
    }
    if (janitor_drop_one(janitor)) {
        janitor_pause(janitor);
    }
}

static void janitor_on_old(void *owner, redisReply *reply, const struct err *err)
{
    struct janitor *janitor = owner;
    janitor->failed |= err != NULL;
    for (size_t i = 0; err == NULL && i + 1 < reply->elements; i += 2) {
        const char *id = reply_str(reply->element[i]);
        const char *score = reply_str(reply->element[i + 1]);
        if (id == NULL || !id_is_valid(id) || score == NULL) {
            continue;
        }
        if (janitor->count == janitor->cap) {
            janitor->cap = janitor->cap == 0 ? AT_ONCE : janitor->cap * 2;
            janitor->old = xreallocarray(janitor->old, janitor->cap, sizeof(*janitor->old));
        }
        struct old_run *old = &janitor->old[janitor->count++];
        memset(old, 0, sizeof(*old));
        memcpy(old->id, id, ID_LEN);
        old->finished_us = (int64_t)strtod(score, NULL);
    }
    if (janitor_drop_one(janitor)) {
        janitor_sweep(janitor);
    }
}

static void janitor_on_card(void *owner, redisReply *reply, const struct err *err)
{
    struct janitor *janitor = owner;
    janitor->failed |= err != NULL;
    janitor->total += err == NULL ? reply_int(reply, 0) : 0;
    if (janitor_drop_one(janitor)) {
        janitor_sweep(janitor);
    }
}

void janitor_look(struct janitor *janitor)
{
    struct store *store = janitor->engine->set.store;
    if (janitor->pending > 0) {
        return;
    }
    timer_stop(&janitor->timer);
    janitor->total = janitor->deleted = 0;
    janitor->count = 0;
    janitor->failed = false;
    janitor->pending = store_shards(store) * 2;
    for (unsigned shard = 0; shard < store_shards(store); shard++) {
        const char *prefix = store_shard_prefix(store, shard);
        store_cmd(store, janitor_on_card, janitor, "ZCARD %sfinished", prefix);
        store_cmd(store, janitor_on_old, janitor, "ZRANGE %sfinished 0 %d WITHSCORES", prefix,
            AT_ONCE - 1);
    }
}

static void janitor_on_timer(void *owner)
{
    janitor_look(owner);
}

struct janitor *janitor_new(struct engine *engine)
{
    if (engine->set.history_max_runs <= 0 && engine->set.history_max_age_ms <= 0) {
        return NULL;
    }
    struct janitor *janitor = xcalloc(1, sizeof(*janitor));
    janitor->engine = engine;
    timer_init(&janitor->timer, engine->set.loop, janitor_on_timer, janitor);
    timer_start_ms(&janitor->timer, FIRST_PAUSE_MS);
    return janitor;
}

void janitor_free(struct janitor *janitor)
{
    if (janitor == NULL) {
        return;
    }
    timer_done(&janitor->timer);
    if (janitor->pending > 0) {
        janitor->is_gone = true;
    } else {
        janitor_release(janitor);
    }
}
