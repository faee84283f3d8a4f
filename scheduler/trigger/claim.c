/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firing: one claim takes up to a batch of due recurring runs of one shard, works out slot, next
 * slot, run and event of each, and has claim.lua write all of it at once. Because the run's id
 * is derived from the tick's name, a claim whose answer was lost is simply made again.
 */
#include "trigger/ticker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "scheduler/run.h"
#include "trigger_scripts.h"

#define CLAIM_MAX_BYTES ((size_t)4 << 20)
#define DOC_MAX_BYTES ((size_t)64 << 20)
#define FAILURE_MIN_MS 10000
#define FAILURE_MAX_MS 360000

enum claim_result { CLAIM_STALE, CLAIM_FIRED, CLAIM_WAITING, CLAIM_GONE, CLAIM_FAILED };

struct tick {
    struct tick_entry *e;
    int64_t slot_us, next_us;
    struct id run_id;
    bool has_fired;
};

struct claim {
    struct tick_shard *s;
    struct store_call *call;
    int64_t now_us;
    size_t count;
    struct tick ticks[];
};

static void tick_prepare(struct tick *tick, struct tick_entry *e, int64_t now_us)
{
    struct schedule_window window = tick_entry_window(e);
    const struct schedule *schedule = tick_entry_schedule(e);
    tick->e = e;
    tick->slot_us = slot_due(schedule, &window, &e->slots, now_us);
    tick->next_us = slot_after(schedule, &window, tick->slot_us, now_us);
    tick->has_fired = false;
    char name[64];
    snprintf(name, sizeof(name), "tick/%" PRId64 "/%" PRId64, e->generation, tick->slot_us);
    id_derive(&tick->run_id, e->id.text, name);
    e->state = TICK_STATE_CLAIMING;
}

/* Keys and arguments of one tick: two passes, because keys come first. */
static void tick_keys(const struct tick *tick, const char *prefix, struct store_args *args)
{
    store_key(args, "%srr:%s", prefix, tick->e->id.text);
    store_key(args, "%srun:%s", prefix, tick->run_id.text);
    store_key(args, "%sexperiment:%s:runs", prefix, tick->e->experiment_id);
}

static void tick_args(
    const struct tick *tick, int64_t now_us, struct buf *text, struct store_args *args)
{
    const struct tick_entry *e = tick->e;
    int64_t index = e->index + 1;
    store_arg(args, e->id.text);
    store_arg_i(args, e->slots.next_us);
    store_arg_i(args, e->generation);
    store_arg_i(args, index);
    store_arg_i(args, tick->slot_us);
    store_arg_i(args, tick->next_us);
    store_arg_i(args, e->max_concurrency);
    store_arg(args, tick->run_id.text);
    buf_reset(text);
    tick_entry_run_doc(e, tick->run_id.text, index, text);
    store_arg_b(args, text->data, text->len);
    buf_reset(text);
    tick_entry_event(e, tick->run_id.text, index, tick->slot_us, now_us, text);
    store_arg_b(args, text->data, text->len);
}

static void count_lateness(struct ticker_counts *counts, int64_t late_us)
{
    static const int64_t limits_us[] = {
        1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 5000000, 30000000};
    _Static_assert(
        ARRAY_LEN(limits_us) + 1 == ARRAY_LEN(((struct ticker_counts *)0)->lateness_buckets),
        "one bucket more than limits");
    size_t i = 0;
    while (i < ARRAY_LEN(limits_us) && late_us > limits_us[i]) {
        i++;
    }
    counts->lateness_buckets[i]++;
    counts->lateness_sum_s += (double)late_us / (double)US_PER_S;
}

static void tick_fired(struct tick *tick, int64_t now_us, struct ticker *t)
{
    struct tick_entry *e = tick->e;
    tick->has_fired = true;
    e->slots.last_us = tick->slot_us;
    e->slots.next_us = tick->next_us;
    /* One that is behind has had its turn: those that became due meanwhile come first. */
    e->ready_us = tick->next_us > now_us ? tick->next_us : now_us;
    e->index++;
    e->tries = 0;
    e->has_error = false;
    free(STEAL(e->latest));
    t->counts.fired++;
    count_lateness(&t->counts, clock_now_us() - tick->slot_us);
    LOG_DEBUG("recurring run fired",
        "recurring_run=%s run=%s index=%" PRId64 " slot_us=%" PRId64 " late_us=%" PRId64,
        e->id.text, tick->run_id.text, e->index, tick->slot_us, now_us - tick->slot_us);
}

/* It cannot be fired, and not for lack of Redis. Later, perhaps somebody has repaired it. */
static void tick_put_off(struct tick_shard *s, struct tick_entry *e)
{
    s->t->counts.failed++;
    int64_t wait_ms = (int64_t)FAILURE_MIN_MS << (e->tries < 5 ? e->tries : 5);
    e->tries++;
    shard_delay(s, e, wait_ms > FAILURE_MAX_MS ? FAILURE_MAX_MS : wait_ms);
}

static void tick_settle(struct claim *claim, struct tick *tick, int64_t result)
{
    struct tick_shard *s = claim->s;
    struct tick_entry *e = tick->e;
    switch (result) {
    case CLAIM_FIRED:
        tick_fired(tick, claim->now_us, s->t);
        break;
    case CLAIM_WAITING:
        /* The end of one of its runs puts it back (run_save.lua) and wakes us. */
        s->t->counts.waited++;
        e->must_drop = true;
        LOG_DEBUG("recurring run waits for a free place", "recurring_run=%s max_concurrency=%d",
            e->id.text, e->max_concurrency);
        break;
    case CLAIM_GONE:
        e->must_drop = true;
        break;
    case CLAIM_FAILED:
        LOG_ERROR("recurring run cannot fire: keys of it or of its run are of another kind",
            "recurring_run=%s run=%s", e->id.text, tick->run_id.text);
        tick_put_off(s, e);
        return;
    default:
        e->must_reload = true;
        break;
    }
    shard_place(s, e);
}

/* The whole batch failed for a reason that will not pass by itself: find the one that is to
 * blame, and let the others go on. */
static void claim_refused(struct claim *claim, const struct err *err)
{
    struct tick_shard *s = claim->s;
    LOG_ERROR(
        "claim failed", "shard=%02x ticks=%zu error=%s", s->number, claim->count, LOG_Q(err->msg));
    if (claim->count > 1) {
        s->claim_limit = 1;
        for (size_t i = 0; i < claim->count; i++) {
            shard_place(s, claim->ticks[i].e);
        }
        return;
    }
    tick_put_off(s, claim->ticks[0].e);
}

static void claim_failed(struct claim *claim, const struct err *err)
{
    struct tick_shard *s = claim->s;
    if (err->code != ERR_FENCED && !err_is_transient(err)) {
        claim_refused(claim, err);
        return;
    }
    for (size_t i = 0; i < claim->count; i++) {
        shard_place(s, claim->ticks[i].e);
    }
    if (err->code == ERR_FENCED) {
        shard_fenced(s, err);
    } else {
        /* If it was done all the same and another slot is due at the next try, nobody wakes its
         * runs. */
        if (s->t->set.engine != NULL) {
            engine_look_soon(s->t->set.engine);
        }
        shard_back_off(s, err, "claim");
    }
}

/* The runs exist. Waking is a hint: whoever dies here finds them at the next start. */
static void claim_tell(struct claim *claim)
{
    struct ticker *t = claim->s->t;
    size_t fired = 0;
    for (size_t i = 0; i < claim->count; i++) {
        if (claim->ticks[i].has_fired) {
            fired++;
            FAULT("tick.wake.before");
            if (t->set.engine != NULL) {
                engine_wake(t->set.engine, claim->ticks[i].run_id.text);
            }
        }
    }
    if (fired > 0 && t->on_events != NULL) {
        t->on_events(t->on_events_owner, claim->s->number);
    }
}

static void claim_on_reply(void *owner, redisReply *reply, const struct err *err)
{
    struct claim *claim = owner;
    struct tick_shard *s = claim->s;
    claim->call = NULL;
    s->claim = NULL;
    FAULT("tick.claim.after");
    struct err shape = ERR_INIT;
    if (err == NULL && (reply->type != REDIS_REPLY_ARRAY || reply->elements != claim->count)) {
        err_set(&shape, ERR_INTERNAL, "claim.lua answered in an unknown shape");
        err = &shape;
    }
    if (err != NULL) {
        claim_failed(claim, err);
        free(claim);
        return;
    }
    shard_worked(s);
    if (s->claim_limit < (size_t)s->t->set.claim_batch) {
        size_t more = s->claim_limit * 2;
        s->claim_limit =
            more < (size_t)s->t->set.claim_batch ? more : (size_t)s->t->set.claim_batch;
    }
    for (size_t i = 0; i < claim->count; i++) {
        tick_settle(claim, &claim->ticks[i], reply_int(reply->element[i], CLAIM_STALE));
    }
    ticker_poke(s->t);
    claim_tell(claim);
    free(claim);
}

static void claim_send(struct claim *claim)
{
    struct tick_shard *s = claim->s;
    struct store_args *args = store_args_new();
    static const char *const fixed[] = {"epoch", "due", "runs", "live", "events"};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        store_key(args, "%s%s", s->prefix, fixed[i]);
    }
    for (size_t i = 0; i < claim->count; i++) {
        tick_keys(&claim->ticks[i], s->prefix, args);
    }
    char history[96];
    snprintf(
        history, sizeof(history), "[{\"at_us\":%" PRId64 ",\"state\":\"PENDING\"}]", claim->now_us);
    store_arg_i(args, store_shard_epoch(s->t->set.store, s->number));
    store_arg_i(args, claim->now_us);
    store_arg(args, history);
    struct buf text;
    buf_init(&text, DOC_MAX_BYTES);
    for (size_t i = 0; i < claim->count; i++) {
        tick_args(&claim->ticks[i], claim->now_us, &text, args);
    }
    buf_done(&text);
    FAULT("tick.claim.before");
    s->claim = claim;
    claim->call = store_eval(s->t->set.store, &script_claim, args, claim_on_reply, claim);
}

void claim_start(struct tick_shard *s, int64_t now_us)
{
    struct tick_entry *e = tick_heap_top(&s->heap);
    if (e == NULL || e->ready_us > now_us) {
        return;
    }
    struct claim *claim = xcalloc(1, sizeof(*claim) + s->claim_limit * sizeof(claim->ticks[0]));
    claim->s = s;
    claim->now_us = now_us;
    size_t bytes = 0;
    while (claim->count < s->claim_limit && bytes < CLAIM_MAX_BYTES) {
        e = tick_heap_top(&s->heap);
        if (e == NULL || e->ready_us > now_us) {
            break;
        }
        tick_heap_remove(&s->heap, e);
        if (e->pipeline_id != NULL && e->latest == NULL) {
            latest_start(s, e);
            continue;
        }
        tick_prepare(&claim->ticks[claim->count++], e, now_us);
        bytes += strlen(e->doc) + 1024;
    }
    if (claim->count == 0) {
        free(claim);
    } else {
        claim_send(claim);
    }
}

void claim_cancel(struct claim *claim)
{
    if (claim != NULL) {
        store_cancel(claim->call);
        free(claim);
    }
}
