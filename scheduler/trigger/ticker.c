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
#include "scheduler/run.h"
#include "trigger/op.h"
#include "trigger/schedule_cache.h"

#define GUARD_MS 500

int64_t ticker_jitter_ms(int64_t ms)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    int64_t half = ms / 2;
    return ms - half + (int64_t)(random % (uint32_t)(half + 1));
}

int64_t ticker_now_us(const struct ticker *t)
{
    return clock_now_us() + t->skew_us;
}

void ticker_heard_clock(struct ticker *t, int64_t redis_us, int64_t sent_us)
{
    int64_t now_us = clock_now_us();
    int64_t skew_us = redis_us < sent_us  ? redis_us - sent_us
                      : redis_us > now_us ? redis_us - now_us
                                          : 0;
    if (skew_us > -TICKER_SKEW_MIN_US && skew_us < TICKER_SKEW_MIN_US) {
        skew_us = 0; /* one clock, or as good as one */
    }
    if (skew_us - t->skew_us > TICKER_SKEW_MIN_US || skew_us - t->skew_us < -TICKER_SKEW_MIN_US) {
        LOG_WARN("this machine's clock differs from Redis's; ticks are due by Redis's",
            "ahead_ms=%lld", (long long)(-skew_us / US_PER_MS));
        t->skew_us = skew_us;
    }
}

void ticker_count_fired(struct ticker *t, int64_t count, int64_t due_us)
{
    static const int64_t limits_us[] = {
        1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 5000000, 30000000};
    struct ticker_counts *counts = &t->counts;
    _Static_assert(ARRAY_LEN(limits_us) + 1 == ARRAY_LEN(counts->lateness_buckets),
        "one bucket more than limits");
    int64_t late_us = ticker_now_us(t) - due_us;
    size_t i = 0;
    while (i < ARRAY_LEN(limits_us) && late_us > limits_us[i]) {
        i++;
    }
    counts->fired += count;
    counts->lateness_buckets[i] += count;
    counts->lateness_sum_s += (double)count * (double)late_us / (double)US_PER_S;
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
    int64_t paced_at = ticker_now_us(t) + pace_wait_us(&t->pace);
    at = at < paced_at && t->pace.per_s > 0 ? paced_at : at;
    if (at == INT64_MAX) {
        timer_stop(&t->timer);
    } else {
        timer_start_at(&t->timer, at - t->skew_us);
    }
}

static void ticker_step(void *owner)
{
    struct ticker *t = owner;
    int64_t now_us = ticker_now_us(t);
    for (unsigned i = 0; i < t->shard_count; i++) {
        shard_reveal(&t->shards[i], now_us); /* the shortest first */
    }
    while (t->step_at < t->shard_count) {
        struct tick_shard *s = &t->shards[(t->step_first + t->step_at++) % t->shard_count];
        bool was_claiming = s->claim != NULL;
        shard_step(s, now_us);
        if (s->claim != NULL && !was_claiming && t->step_at < t->shard_count) {
            ticker_poke(t); /* Redis works on this claim while we prepare the next shard's */
            return;
        }
    }
    t->step_at = 0;
    t->step_first = (t->step_first + 1) % t->shard_count;
    births_step(t, now_us);
    ticker_arm(t);
}

void ticker_poke(struct ticker *t)
{
    if (!t->step.is_queued_) {
        loop_defer(t->set.loop, &t->step, ticker_step, t);
    }
}

/* Ticks that were worked out already stand; all later ones go by the new zone files. */
static void ticker_look_at_zones(struct ticker *t)
{
    uint64_t zones = zones_generation(clock_mono_us());
    if (zones != t->zones) {
        LOG_WARN("time zone files have changed: ticks after the next ones go by them",
            "changes=%llu", (unsigned long long)zones);
        t->zones = zones;
    }
}

static void ticker_sweep(void *owner)
{
    struct ticker *t = owner;
    ticker_look_at_zones(t);
    bool any = false;
    for (unsigned i = 0; i < t->shard_count; i++) {
        t->shards[i].scan_wanted |= t->shards[i].is_ours;
        any |= t->shards[i].is_ours;
    }
    if (any) {
        ticker_poke(t);
        timer_start_ms(&t->sweep, ticker_jitter_ms(SWEEP_MS));
    }
}

/* Somebody has set this machine's clock: it is not what tells when ticks are due. */
static void ticker_guard(void *owner)
{
    struct ticker *t = owner;
    int64_t offset_us = clock_now_us() - clock_mono_us();
    int64_t step_us = offset_us - t->guard_offset_us;
    t->guard_offset_us = offset_us;
    bool is_set = step_us > TICKER_SKEW_MIN_US || step_us < -TICKER_SKEW_MIN_US;
    bool any = false;
    for (unsigned i = 0; i < t->shard_count; i++) {
        any |= t->shards[i].is_ours;
        t->shards[i].scan_wanted |= t->shards[i].is_ours && is_set; /* it tells Redis's time */
    }
    if (any) {
        timer_start_ms(&t->guard, GUARD_MS);
    }
    if (any && is_set) {
        ticker_poke(t);
    }
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
    if (t->set.history_max_ticks <= 0) {
        t->set.history_max_ticks = RUN_LEDGER_MAX;
    }
    pace_init(&t->pace, t->set.max_fires_per_s, clock_mono_us());
    t->zones = zones_generation(clock_mono_us());
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
    timer_init(&t->guard, settings->loop, ticker_guard, t);
    timer_init(&t->birth_timer, settings->loop, ticker_step, t);
    return t;
}

void ticker_shard_start(struct ticker *t, unsigned shard, void (*done)(void *owner), void *owner)
{
    shard_start(&t->shards[shard], done, owner);
    if (!timer_is_armed(&t->sweep)) {
        timer_start_ms(&t->sweep, ticker_jitter_ms(SWEEP_MS));
    }
    if (!timer_is_armed(&t->guard)) {
        t->guard_offset_us = clock_now_us() - clock_mono_us();
        timer_start_ms(&t->guard, GUARD_MS);
    }
}

void ticker_shard_stop(struct ticker *t, unsigned shard)
{
    shard_stop(&t->shards[shard]);
}

void ticker_shard_look(struct ticker *t, unsigned shard)
{
    t->shards[shard].scan_wanted |= t->shards[shard].is_ours;
    ticker_poke(t);
}

void ticker_shard_reload(struct ticker *t, unsigned shard)
{
    struct map_iter it = {0};
    const char *id;
    while (map_next(t->entries, &it, &id, NULL)) {
        if (ticker_shard(t, id) == &t->shards[shard]) {
            shard_load(&t->shards[shard], id); /* takes the place of the one that is there */
        }
    }
    ticker_shard_look(t, shard);
}

static void ticker_on_shard_started(void *owner)
{
    struct ticker *t = owner;
    if (--t->starting > 0) {
        return;
    }
    void (*started)(void *, const struct err *) = STEAL(t->started);
    if (started != NULL) {
        started(t->started_owner, NULL);
    }
}

void ticker_start(struct ticker *t, void (*done)(void *owner, const struct err *err), void *owner)
{
    t->started = done;
    t->started_owner = owner;
    t->starting = t->shard_count;
    for (unsigned i = 0; i < t->shard_count; i++) {
        ticker_shard_start(t, i, ticker_on_shard_started, t);
    }
}

void ticker_stop(struct ticker *t)
{
    t->started = NULL;
    loop_defer_cancel(t->set.loop, &t->step);
    timer_stop(&t->timer);
    timer_stop(&t->sweep);
    timer_stop(&t->guard);
    timer_stop(&t->birth_timer);
    latest_cancel_all(t);
    others_stop(t);
    for (unsigned i = 0; i < t->shard_count; i++) {
        shard_stop(&t->shards[i]);
    }
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
    timer_done(&t->guard);
    timer_done(&t->birth_timer);
    map_free(t->entries);
    schedule_cache_free(t->schedules);
    free(t->shards);
    free(t);
}

void ticker_wake(struct ticker *t, const char *recurring_run_id)
{
    if (!id_is_valid(recurring_run_id)) {
        return;
    }
    struct tick_entry *e = map_get(t->entries, recurring_run_id);
    if (e == NULL) {
        shard_load(ticker_shard(t, recurring_run_id), recurring_run_id);
    } else if (e->is_marked || e->policy.pause_after_failures > 0) {
        /* A place for the first of those that wait, or one failure too many. */
        if (e->state == TICK_STATE_READY) {
            shard_load(ticker_shard(t, recurring_run_id), recurring_run_id);
        } else {
            e->must_reload = true;
        }
    }
}

void ticker_changed(struct ticker *t, const char *recurring_run_id)
{
    if (!id_is_valid(recurring_run_id)) {
        return;
    }
    struct tick_shard *s = ticker_shard(t, recurring_run_id);
    struct tick_entry *e = map_get(t->entries, recurring_run_id);
    if (e != NULL && e->state != TICK_STATE_READY) {
        e->must_reload = true;
    } else if (e != NULL) {
        shard_drop(s, e);
    }
    shard_load(s, recurring_run_id);
    ticker_shard_look(t, s->number); /* how many there are may have changed too */
    if (t->on_events != NULL) {
        t->on_events(t->on_events_owner, s->number); /* and it may have been reported */
    }
}

void ticker_on_fenced(struct ticker *t, void (*fn)(void *owner, unsigned shard), void *owner)
{
    t->on_fenced = fn;
    t->on_fenced_owner = owner;
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
        if (!t->shards[i].is_ours) {
            continue;
        }
        out->recurring_runs += t->shards[i].recurring_runs;
        out->enabled += t->shards[i].enabled;
    }
}
