/* SPDX-License-Identifier: Apache-2.0 */
/* The ticker: its life, its timer, its counters. What it does per shard: shard.c, claim.c. */
#include "trigger/ticker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/util.h"
#include "trigger/op.h"
#include "trigger/schedule_cache.h"

int64_t ticker_jitter_ms(int64_t ms)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    int64_t half = ms / 2;
    return ms - half + (int64_t)(random % (uint32_t)(half + 1));
}

struct tick_shard *ticker_shard(struct ticker *t, const char *id)
{
    return &t->shards[id_shard(id, t->shard_count)];
}

static void ticker_arm(struct ticker *t)
{
    int64_t at = INT64_MAX;
    for (unsigned i = 0; i < t->shard_count; i++) {
        int64_t shard_at = shard_wakes_at(&t->shards[i]);
        at = shard_at < at ? shard_at : at;
    }
    if (at == INT64_MAX) {
        timer_stop(&t->timer);
    } else {
        timer_start_at(&t->timer, at);
    }
}

static void ticker_started_if_known(struct ticker *t)
{
    if (t->started == NULL) {
        return;
    }
    for (unsigned i = 0; i < t->shard_count; i++) {
        if (!t->shards[i].is_known) {
            return;
        }
    }
    LOG_INFO("ticker started", "shards=%u due_soon=%zu", t->shard_count, map_count(t->entries));
    void (*started)(void *, const struct err *) = STEAL(t->started);
    started(t->started_owner, NULL);
}

static void ticker_step(void *owner)
{
    struct ticker *t = owner;
    if (!t->is_running) {
        return;
    }
    int64_t now_us = clock_now_us();
    for (unsigned i = 0; i < t->shard_count; i++) {
        shard_step(&t->shards[i], now_us);
    }
    ticker_arm(t);
    ticker_started_if_known(t);
}

void ticker_poke(struct ticker *t)
{
    if (t->is_running && !t->step.is_queued_) {
        loop_defer(t->set.loop, &t->step, ticker_step, t);
    }
}

static void ticker_sweep(void *owner)
{
    struct ticker *t = owner;
    for (unsigned i = 0; i < t->shard_count; i++) {
        t->shards[i].scan_wanted = true;
    }
    ticker_poke(t);
    timer_start_ms(&t->sweep, ticker_jitter_ms(SWEEP_MS));
}

struct ticker *ticker_new(const struct ticker_settings *settings)
{
    struct ticker *t = xcalloc(1, sizeof(*t));
    t->set = *settings;
    if (t->set.claim_batch <= 0) {
        t->set.claim_batch = 100;
    } else if (t->set.claim_batch > CLAIM_BATCH_MAX) {
        t->set.claim_batch = CLAIM_BATCH_MAX;
    }
    t->loaded_max = SHARD_LOADED_MAX;
    t->shard_count = store_shards(settings->store);
    t->shards = xcalloc(t->shard_count, sizeof(*t->shards));
    t->entries = map_new(NULL);
    t->schedules = schedule_cache_new();
    for (unsigned i = 0; i < t->shard_count; i++) {
        shard_init(&t->shards[i], t, i);
    }
    timer_init(&t->timer, settings->loop, ticker_step, t);
    timer_init(&t->sweep, settings->loop, ticker_sweep, t);
    return t;
}

void ticker_start(struct ticker *t, void (*done)(void *owner, const struct err *err), void *owner)
{
    t->started = done;
    t->started_owner = owner;
    t->is_running = true;
    t->is_fenced = false;
    for (unsigned i = 0; i < t->shard_count; i++) {
        t->shards[i].scan_wanted = true;
    }
    timer_start_ms(&t->sweep, ticker_jitter_ms(SWEEP_MS));
    ticker_poke(t);
}

void ticker_stop(struct ticker *t)
{
    t->is_running = false;
    t->started = NULL;
    loop_defer_cancel(t->set.loop, &t->step);
    timer_stop(&t->timer);
    timer_stop(&t->sweep);
    latest_cancel_all(t);
    for (unsigned i = 0; i < t->shard_count; i++) {
        shard_stop(&t->shards[i]);
    }
}

void ticker_start_failed(struct ticker *t, const struct err *err)
{
    void (*started)(void *, const struct err *) = t->started;
    void *owner = t->started_owner;
    ticker_stop(t);
    if (started != NULL) {
        started(owner, err);
    }
}

void ticker_fenced(struct ticker *t, const struct err *err)
{
    if (t->is_fenced) {
        return;
    }
    t->is_fenced = true;
    LOG_ERROR("ticker stops: another daemon owns the recurring runs", "error=%s", LOG_Q(err->msg));
    ticker_stop(t);
}

void ticker_free(struct ticker *t)
{
    if (t == NULL) {
        return;
    }
    ticker_stop(t);
    recurring_op_drop_all(t);
    for (unsigned i = 0; i < t->shard_count; i++) {
        shard_done(&t->shards[i]);
    }
    timer_done(&t->timer);
    timer_done(&t->sweep);
    map_free(t->entries);
    schedule_cache_free(t->schedules);
    free(t->shards);
    free(t);
}

void ticker_wake(struct ticker *t, const char *recurring_run_id)
{
    if (!t->is_running || !id_is_valid(recurring_run_id)) {
        return;
    }
    /* One that waits is not in memory. One that is there goes on by itself: its own calls tell
     * the ticker of changes. */
    if (!map_has(t->entries, recurring_run_id)) {
        shard_load(ticker_shard(t, recurring_run_id), recurring_run_id);
    }
}

void ticker_on_events(struct ticker *t, void (*fn)(void *owner, unsigned shard), void *owner)
{
    t->on_events = fn;
    t->on_events_owner = owner;
}

void ticker_counts(const struct ticker *t, struct ticker_counts *out)
{
    *out = t->counts;
    out->recurring_runs = out->enabled = 0;
    for (unsigned i = 0; i < t->shard_count; i++) {
        out->recurring_runs += t->shards[i].recurring_runs;
        out->enabled += t->shards[i].enabled;
    }
}
