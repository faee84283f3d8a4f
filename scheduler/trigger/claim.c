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
#include "trigger/tick.h"
#include "trigger_scripts.h"

#define CLAIM_MAX_BYTES ((size_t)4 << 20)
#define DOC_MAX_BYTES ((size_t)64 << 20)
#define FAILURE_MIN_MS 10000
#define FAILURE_MAX_MS 360000

enum claim_result {
    CLAIM_STALE,
    CLAIM_FIRED,
    CLAIM_FULL,
    CLAIM_GONE,
    CLAIM_EARLY = 5,
    CLAIM_PASSED,
    CLAIM_FAILING,
};

struct claim {
    struct tick_shard *s;
    struct store_call *call;
    int64_t ahead_us;                  /* of this instant; 0: of what is due */
    int64_t now_us, sent_us, redis_us; /* now_us by Redis's clock, as far as we know it, or the
                                          instant; sent_us by ours */
    size_t count;
    struct tick ticks[];
};

static void claim_free(struct claim *claim)
{
    for (size_t i = 0; i < claim->count; i++) {
        tick_done(&claim->ticks[i]);
    }
    free(claim);
}

/* One text after another in the same buffer. */
static void arg_text(struct store_args *args, struct buf *text)
{
    store_arg_b(args, buf_str(text), text->len);
    buf_reset(text);
}

static void policy_args(
    const struct tick *tick, int64_t now_us, struct buf *text, struct store_args *args)
{
    const struct tick_entry *e = tick->e;
    store_arg_i(args, e->policy.pause_after_failures);
    store_arg(args, tick->was_waiting ? "0" : "");
    tick_fired_lines(tick, now_us, text);
    arg_text(args, text);
    tick_fired_events(tick, now_us, text);
    arg_text(args, text);
    if (!tick->is_waiting_in_place) {
        progress_format(&tick->passed, text);
    }
    arg_text(args, text);
    store_arg_i(args, tick->passed_due_us);
    if (tick->mark_us > 0) {
        store_arg_i(args, tick->mark_us);
    } else {
        store_arg(args, "");
    }
    tick_passed_lines(tick, now_us, text);
    arg_text(args, text);
    tick_passed_events(tick, now_us, text);
    arg_text(args, text);
}

static void tick_args(
    const struct claim *claim, const struct tick *tick, struct buf *text, struct store_args *args)
{
    const struct tick_entry *e = tick->e;
    int64_t now_us = claim->now_us;
    int64_t index = e->progress.index + 1;
    store_arg(args, tick->needs_policy ? "p" : "f");
    store_arg(args, e->progress_text);
    store_arg_i(args, tick->limit);
    /* What follows from the time it is must not be written before it is that time. */
    int64_t not_before_us = now_us - TICKER_SKEW_MIN_US;
    int64_t due_us = tick->was_waiting ? 0 : tick->due_us;
    not_before_us = due_us > not_before_us ? due_us : not_before_us;
    store_arg_i(args, claim->ahead_us > 0 ? not_before_us - LOAD_AHEAD_US : not_before_us);
    progress_format(&tick->fired, text);
    arg_text(args, text);
    store_arg_i(args, tick->fired_due_us);
    store_arg_b(args, tick->run_id.text, ID_LEN);
    if (tick->limit == TICK_NEVER_FIRE) {
        store_arg(args, "");
        store_arg(args, "");
    } else {
        struct buf detail;
        buf_init(&detail, 256);
        tick_detail(e, tick->slot_us, &detail);
        tick_entry_born(e, index, tick->slot_us, now_us, buf_str(&detail), text);
        buf_done(&detail);
        arg_text(args, text);
        if (claim->ahead_us == 0) {
            tick_entry_event(e, tick->run_id.text, index, tick->slot_us, now_us, text);
        }
        arg_text(args, text);
    }
    if (tick->needs_policy) {
        policy_args(tick, now_us, text, args);
    }
}

/* One that is behind has had its turn: those that became due meanwhile come first. */
static void entry_turn(struct tick_entry *e, int64_t now_us)
{
    int64_t due_us = tick_entry_due_us(e);
    e->ready_us = due_us > now_us ? due_us : now_us;
}

static void tick_fired(struct tick *tick, int64_t now_us, struct ticker *t)
{
    struct tick_entry *e = tick->e;
    tick->has_fired = true;
    tick_entry_advance(e, &tick->fired, progress_text(&tick->fired));
    if (tick->was_waiting) {
        e->is_marked = false;
    }
    entry_turn(e, now_us);
    e->wants_policy = false; /* it had a place, and may have one next time */
    e->tries = 0;
    free(STEAL(e->latest));
    ticker_count_fired(t, 1, tick->due_us);
    t->counts.outcomes[TICK_SKIPPED_WINDOW] += tick->also.count;
    t->counts.outcomes[TICK_DROPPED_BUFFER] += tick->left.count;
    LOG_DEBUG("recurring run fired",
        "recurring_run=%s run=%s index=%" PRId64 " slot_us=%" PRId64 " late_us=%" PRId64,
        e->id.text, tick->run_id.text, e->progress.index, tick->slot_us, now_us - tick->due_us);
    if (tick->cancels_others && e->policy.overlap == OVERLAP_TERMINATE_OTHER) {
        others_cancel_of(t, e);
    }
}

/* It waits, or is passed over. */
static void tick_passed(struct tick *tick, int64_t now_us, struct ticker *t)
{
    struct tick_entry *e = tick->e;
    if (!(tick->was_waiting && tick->is_waiting_in_place)) {
        t->counts.outcomes[tick->outcome] += tick->passed_count;
        t->counts.outcomes[TICK_SKIPPED_OVERLAP] += tick->replaced.count;
        t->counts.outcomes[TICK_SKIPPED_WINDOW] += tick->is_waiting_in_place ? 0 : tick->also.count;
    }
    e->is_marked |= tick->mark_us > 0;
    if (!tick->is_waiting_in_place) {
        tick_entry_advance(e, &tick->passed, progress_text(&tick->passed));
    }
    entry_turn(e, now_us);
    LOG_DEBUG("tick of a recurring run did not fire",
        "recurring_run=%s slot_us=%" PRId64 " outcome=%s", e->id.text, tick->slot_us,
        tick_outcome_name(tick->outcome));
    if (tick->cancels_others) {
        others_cancel_of(t, e);
    }
    if (tick->is_waiting_in_place && !tick->was_waiting) {
        e->must_drop =
            true; /* the end of one of its runs puts it back (run_save.lua) and wakes us */
    }
}

/* Our clock was ahead of Redis's: what was worked out by it is forgotten, its instants too. */
static void tick_early(const struct claim *claim, struct tick *tick)
{
    struct tick_entry *e = tick->e;
    int64_t wait_us = tick->due_us - claim->redis_us;
    wait_us = wait_us < 0 ? 0 : wait_us > TICKER_SKEW_MIN_US ? TICKER_SKEW_MIN_US : wait_us;
    int64_t at_us = ticker_now_us(claim->s->t) + wait_us + US_PER_MS;
    int64_t due_us = tick_entry_due_us(e);
    e->ready_us = due_us > at_us ? due_us : at_us;
}

/* It cannot be fired, and not for lack of Redis. Later, perhaps somebody has repaired it. */
static void tick_put_off(struct tick_shard *s, struct tick_entry *e)
{
    s->t->counts.failed++;
    int64_t wait_ms = (int64_t)FAILURE_MIN_MS << (e->tries < 5 ? e->tries : 5);
    e->tries++;
    shard_delay(s, e, wait_ms > FAILURE_MAX_MS ? FAILURE_MAX_MS : wait_ms);
}

/* Of a claim ahead of its instant. What cannot be claimed now is asked again when it is due. */
static void tick_settle_ahead(struct claim *claim, struct tick *tick, int64_t result)
{
    struct tick_entry *e = tick->e;
    switch (result) {
    case CLAIM_FIRED:
        tick_entry_advance(e, &tick->fired, progress_text(&tick->fired));
        e->tries = 0;
        break;
    case CLAIM_GONE:
        e->must_drop = true;
        break;
    case CLAIM_STALE:
        e->must_reload = true;
        break;
    default: /* CLAIM_FULL, CLAIM_EARLY */
        e->wants_policy |= result == CLAIM_FULL;
        e->not_ahead_us = claim->ahead_us;
        break;
    }
    e->ready_us = tick_entry_due_us(e);
    shard_place(claim->s, e);
}

static void tick_settle(struct claim *claim, struct tick *tick, int64_t result)
{
    struct tick_shard *s = claim->s;
    struct tick_entry *e = tick->e;
    switch (result) {
    case CLAIM_FIRED:
        tick_fired(tick, claim->now_us, s->t);
        break;
    case CLAIM_PASSED:
        tick_passed(tick, claim->now_us, s->t);
        break;
    case CLAIM_FULL:
        e->wants_policy = true; /* at once again */
        break;
    case CLAIM_GONE:
        e->must_drop = true;
        break;
    case CLAIM_EARLY:
        tick_early(claim, tick);
        break;
    case CLAIM_FAILING:
        recurring_pause_failing(s->t, e->id.text);
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
        ticker_poke(s->t);
        return;
    }
    for (size_t i = 0; i < claim->count; i++) {
        shard_place(s, claim->ticks[i].e);
    }
    if (err->code == ERR_FENCED) {
        shard_fenced(s, err, "claim");
    } else {
        /* If it was done all the same and another slot is due at the next try, nobody tells of
         * its runs. */
        s->hatch_wanted = true;
        shard_back_off(s, err, "claim");
    }
}

/* The runs exist. This is a hint: whoever dies here finds them at the next start. */
static void claim_tell(struct claim *claim)
{
    struct ticker *t = claim->s->t;
    for (size_t i = 0; i < claim->count; i++) {
        if (claim->ticks[i].has_fired) {
            FAULT("tick.wake.before");
            hatch_add(claim->s, &claim->ticks[i].run_id);
        }
    }
    if (t->on_events != NULL) {
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
    if (err == NULL && (reply->type != REDIS_REPLY_ARRAY || reply->elements != claim->count + 1)) {
        err_set(&shape, ERR_INTERNAL, "claim.lua answered in an unknown shape");
        err = &shape;
    }
    if (err != NULL) {
        claim_failed(claim, err);
        claim_free(claim);
        return;
    }
    shard_worked(s);
    if (s->claim_limit < (size_t)s->t->set.claim_batch) {
        size_t more = s->claim_limit * 2;
        s->claim_limit =
            more < (size_t)s->t->set.claim_batch ? more : (size_t)s->t->set.claim_batch;
    }
    claim->redis_us = reply_int(reply->element[0], claim->now_us);
    ticker_heard_clock(s->t, claim->redis_us, claim->sent_us);
    for (size_t i = 0; i < claim->count; i++) {
        int64_t result = reply_int(reply->element[i + 1], CLAIM_STALE);
        (claim->ahead_us > 0 ? tick_settle_ahead : tick_settle)(claim, &claim->ticks[i], result);
    }
    ticker_poke(s->t);
    if (claim->ahead_us == 0) {
        claim_tell(claim);
    }
    claim_free(claim);
}

static void claim_send(struct claim *claim)
{
    struct tick_shard *s = claim->s;
    struct store_args *args = store_args_new();
    static const char *const keys[] = {"epoch", "due", "progress"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        store_key(args, "%s%s", s->prefix, keys[i]);
    }
    if (claim->ahead_us > 0) {
        ahead_note(s, claim->ahead_us); /* whatever the answer, or none: it may have been done */
        long long at = (long long)claim->ahead_us;
        store_key(args, "%sborn:%lld", s->prefix, at);
        store_key(args, "%sahead", s->prefix);
        store_key(args, "%sahead:%lld:undo", s->prefix, at);
        store_key(args, "%sbirths", s->prefix);
    } else {
        store_key(args, "%sborn", s->prefix);
        store_key(args, "%sevents", s->prefix);
    }
    store_arg_i(args, store_shard_epoch(s->t->set.store, s->number));
    store_arg_i(args, clock_shift_us());
    store_arg_i(args, (int64_t)claim->count);
    store_arg(args, s->prefix);
    store_arg_i(args, s->t->set.history_max_ticks);
    store_arg_i(args, claim->ahead_us);
    for (size_t i = 0; i < claim->count; i++) {
        store_arg_b(args, claim->ticks[i].e->id.text, ID_LEN);
    }
    struct buf text;
    buf_init(&text, DOC_MAX_BYTES);
    for (size_t i = 0; i < claim->count; i++) {
        tick_args(claim, &claim->ticks[i], &text, args);
    }
    buf_done(&text);
    FAULT("tick.claim.before");
    s->claim = claim;
    claim->call = store_eval(s->t->set.store, &script_claim, args, claim_on_reply, claim);
}

static struct claim *claim_new(struct tick_shard *s, int64_t now_us)
{
    struct claim *claim = xcalloc(1, sizeof(*claim) + s->claim_limit * sizeof(claim->ticks[0]));
    claim->s = s;
    claim->now_us = now_us;
    claim->sent_us = clock_now_us();
    return claim;
}

static void claim_add(struct claim *claim, struct tick_entry *e, size_t *bytes)
{
    e->state = TICK_STATE_CLAIMING;
    claim->count++;
    *bytes += e->doc_len + 1024;
}

static void fill_with_due(struct claim *claim, int64_t now_us)
{
    struct tick_shard *s = claim->s;
    size_t bytes = 0;
    size_t limit = pace_room(&s->t->pace, s->claim_limit, clock_mono_us());
    while (claim->count < limit && bytes < CLAIM_MAX_BYTES) {
        struct tick_entry *e = tick_heap_top(&s->heap);
        if (e == NULL || e->ready_us > now_us) {
            break;
        }
        tick_heap_remove(&s->heap, e);
        if (e->progress.enabled && e->pipeline_id != NULL && e->latest == NULL) {
            latest_start(s, e);
        } else if (!e->progress.enabled) {
            resume_start(s, e);
        } else {
            tick_plan(&claim->ticks[claim->count], e, now_us);
            claim_add(claim, e, &bytes);
        }
    }
    pace_took(&s->t->pace, claim->count);
}

static void fill_ahead(struct claim *claim)
{
    struct tick_shard *s = claim->s;
    size_t bytes = 0;
    while (claim->count < s->claim_limit && bytes < CLAIM_MAX_BYTES) {
        struct tick_entry *e = tick_heap_top(&s->soon);
        if (e == NULL || e->ready_us != claim->ahead_us) {
            break;
        }
        tick_heap_remove(&s->soon, e);
        struct tick *tick = &claim->ticks[claim->count];
        tick_plan(tick, e, claim->ahead_us);
        if (tick_is_certain(tick)) {
            claim_add(claim, e, &bytes);
        } else {
            tick_done(tick);
            e->not_ahead_us = claim->ahead_us;
            shard_place(s, e);
        }
    }
}

void claim_start(struct tick_shard *s, int64_t now_us)
{
    const struct tick_entry *e = tick_heap_top(&s->heap);
    bool is_due = e != NULL && e->ready_us <= now_us;
    int64_t ahead_us = is_due ? 0 : ahead_next(s, now_us);
    if (!is_due && ahead_us == 0) {
        return;
    }
    struct claim *claim = claim_new(s, is_due ? now_us : ahead_us);
    claim->ahead_us = ahead_us;
    if (is_due) {
        fill_with_due(claim, now_us);
    } else {
        fill_ahead(claim);
    }
    if (claim->count == 0) {
        claim_free(claim);
    } else {
        claim_send(claim);
    }
}

void claim_cancel(struct claim *claim)
{
    if (claim != NULL) {
        store_cancel(claim->call);
        claim_free(claim);
    }
}
