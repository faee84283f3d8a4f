/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From claims to the engine: the runs that a shard's claims have created get their records in
 * batches, and then the engine is told. Firing comes first, but no run waits longer than a moment.
 */
#include "trigger/ticker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "scheduler/run.h"

#define BATCH 100
/* So much may be under way for runs at once: a claim that is sent now waits behind it in Redis. */
#define BUSY_MAX 200
/* While more is due births wait, but not longer than this. */
#define WAIT_MAX_US (2000 * US_PER_MS)
#define LOOK_AGAIN_MS 5

void hatch_add(struct tick_shard *s, const struct id *run_id)
{
    if (s->to_hatch_count == 0) {
        s->hatch_since_us = clock_mono_us();
    }
    if (s->to_hatch_count == s->to_hatch_cap) {
        s->to_hatch_cap = s->to_hatch_cap == 0 ? 64 : s->to_hatch_cap * 2;
        s->to_hatch = xreallocarray(s->to_hatch, s->to_hatch_cap, sizeof(*s->to_hatch));
    }
    s->to_hatch[s->to_hatch_count++] = *run_id;
}

void hatch_some(struct tick_shard *s)
{
    if (s->to_hatch_count == 0 && !s->hatch_wanted) {
        s->hatch_since_us = clock_mono_us();
    }
    s->hatch_wanted = true;
}

static void on_hatched(
    void *owner, const struct id *ids, size_t count, int64_t left, const struct err *err)
{
    struct tick_shard *s = owner;
    size_t asked = s->hatching_count;
    s->hatching = NULL;
    s->t->hatching--;
    s->hatching_count = 0;
    if (err != NULL) {
        s->hatch_wanted |= asked == 0;
        shard_back_off(s, err, "new-runs");
        return;
    }
    shard_worked(s);
    s->to_hatch_count -= asked;
    if (s->to_hatch_count > 0) {
        memmove(s->to_hatch, s->to_hatch + asked, s->to_hatch_count * sizeof(*s->to_hatch));
    }
    s->hatch_since_us = clock_mono_us();
    if (asked == 0 && count > 0 && left > 0) {
        s->hatch_wanted = true;
    } else if (asked == 0 && left > 0 && s->to_hatch_count == 0) {
        LOG_ERROR("runs cannot get their records: keys of theirs are of another kind",
            "shard=%02x runs=%lld", s->number, (long long)left);
    }
    if (s->t->set.engine != NULL) {
        for (size_t i = 0; i < count; i++) {
            engine_wake(s->t->set.engine, ids[i].text);
        }
    }
    ticker_poke(s->t);
}

/* Firing comes first. */
static bool shard_is_due(const struct tick_shard *s, int64_t now_us)
{
    const struct tick_entry *top = tick_heap_top(&s->heap);
    return s->claim != NULL || ahead_is_quiet(s, now_us) ||
           (top != NULL && top->ready_us <= now_us);
}

static void shard_hatch(struct tick_shard *s)
{
    size_t count = s->to_hatch_count < BATCH ? s->to_hatch_count : BATCH;
    if (count == 0) {
        s->hatch_wanted = false;
    }
    s->hatching_count = count;
    s->hatching = run_hatch(s->t->set.store, s->number, s->to_hatch, count, BATCH,
        s->t->set.history_max_ticks, on_hatched, s);
    s->t->hatching++;
}

void births_step(struct ticker *t, int64_t now_us)
{
    bool is_due = false, is_waiting = false;
    for (unsigned i = 0; i < t->shard_count; i++) {
        is_due |= t->shards[i].is_ours && shard_is_due(&t->shards[i], now_us);
    }
    for (unsigned n = 0; n < t->shard_count; n++) {
        struct tick_shard *s = &t->shards[(t->birth_turn + n) % t->shard_count];
        if (!s->is_ours || s->hatching != NULL || timer_is_armed(&s->retry) ||
            (s->to_hatch_count == 0 && !s->hatch_wanted)) {
            continue;
        }
        size_t busy =
            t->hatching * BATCH + (t->set.engine != NULL ? engine_busy(t->set.engine) : 0);
        if (busy >= BUSY_MAX || (is_due && clock_mono_us() - s->hatch_since_us < WAIT_MAX_US)) {
            is_waiting = true;
            continue;
        }
        t->birth_turn = s->number + 1;
        shard_hatch(s);
    }
    if (is_waiting && !timer_is_armed(&t->birth_timer)) {
        timer_start_ms(&t->birth_timer, LOOK_AGAIN_MS);
    }
}

void hatch_stop(struct tick_shard *s)
{
    if (s->hatching != NULL) {
        s->t->hatching--;
        run_hatch_cancel(STEAL(s->hatching));
    }
    s->to_hatch_count = s->hatching_count = 0;
    s->hatch_wanted = false;
}
