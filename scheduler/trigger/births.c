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
#define WAIT_MAX_US (500 * US_PER_MS)
#define WAITING_MAX 20000 /* then firing waits a little as well */

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

static void on_hatched(
    void *owner, const struct id *ids, size_t count, int64_t left, const struct err *err)
{
    struct tick_shard *s = owner;
    size_t asked = s->hatching_count;
    s->hatching = NULL;
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

void hatch_step(struct tick_shard *s, int64_t now_us)
{
    if (s->hatching != NULL || (s->to_hatch_count == 0 && !s->hatch_wanted)) {
        return;
    }
    const struct tick_entry *top = tick_heap_top(&s->heap);
    bool is_busy = s->claim != NULL || (top != NULL && top->ready_us <= now_us);
    if (is_busy && s->to_hatch_count < WAITING_MAX &&
        clock_mono_us() - s->hatch_since_us < WAIT_MAX_US) {
        return; /* the end of the claim brings us here again */
    }
    size_t count = s->to_hatch_count < BATCH ? s->to_hatch_count : BATCH;
    if (count == 0) {
        s->hatch_wanted = false;
    }
    s->hatching_count = count;
    s->hatching =
        run_hatch(s->t->set.store, s->number, s->to_hatch, count, BATCH, on_hatched, s);
}

void hatch_stop(struct tick_shard *s)
{
    run_hatch_cancel(STEAL(s->hatching));
    s->to_hatch_count = s->hatching_count = 0;
    s->hatch_wanted = false;
}
