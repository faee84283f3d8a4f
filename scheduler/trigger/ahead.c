/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ahead of time. Whole seconds are where many ticks fall on one instant, and the last of them would
 * be late by the work for all. So what is certain to fire at a second is claimed in the seconds
 * before (claim.c), as a group of the shard that nobody sees yet; when the second has come by
 * Redis's clock, one short script (ahead_reveal.lua) lets all of it happen. A change in between
 * takes its tick back (ahead.lua.in).
 *
 * Recurring runs in memory are in one of three heaps: `heap`, those that a claim of what is due
 * takes; `soon`, those that may be claimed ahead; `held`, those whose last tick is in a group: the
 * next one waits for it.
 */
#include "trigger/ticker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/util.h"
#include "trigger_scripts.h"

/* Groups lie at the most so far ahead: what is in one counts as an active run. */
#define AHEAD_US (3 * US_PER_S)
/* Redis is left alone so long around a group's instant: it would answer late. */
#define QUIET_US (10 * US_PER_MS)
/* The text of a run is its event as well, and copied for that: not that of a larger one. */
#define DOC_MAX ((size_t)2048)

/* What ahead_reveal.lua answers instead of how many have fired. */
#define EARLY (-1)
#define AGAIN (-2)
#define NONE (-3)

struct reveal {
    struct tick_shard *s;
    struct store_call *call;
    int64_t at_us, sent_us;
};

static bool has_group(const struct tick_shard *s, int64_t at_us)
{
    for (size_t i = 0; i < s->ahead_count; i++) {
        if (s->ahead[i] == at_us) {
            return true;
        }
    }
    return false;
}

void ahead_note(struct tick_shard *s, int64_t at_us)
{
    if (has_group(s, at_us)) {
        return;
    }
    if (s->ahead_count == s->ahead_cap) {
        s->ahead_cap = s->ahead_cap == 0 ? 4 : s->ahead_cap * 2;
        s->ahead = xreallocarray(s->ahead, s->ahead_cap, sizeof(*s->ahead));
    }
    size_t at = s->ahead_count++;
    for (; at > 0 && s->ahead[at - 1] > at_us; at--) {
        s->ahead[at] = s->ahead[at - 1];
    }
    s->ahead[at] = at_us;
}

/* ---- which ---- */

/* As far as a look at it tells; tick_is_certain() knows. */
static bool may_be_ahead(const struct tick_shard *s, const struct tick_entry *e)
{
    int64_t due_us = tick_entry_due_us(e);
    return s->t->pace.per_s == 0 && e->progress.enabled && e->pipeline_id == NULL &&
           !e->wants_policy && !e->is_marked && due_us == e->progress.next_us &&
           due_us % US_PER_S == 0 && due_us == e->ready_us && e->doc_len <= DOC_MAX &&
           due_us != e->not_ahead_us;
}

struct tick_heap *ahead_heap_of(struct tick_shard *s, const struct tick_entry *e)
{
    return has_group(s, e->progress.last_us) ? &s->held : may_be_ahead(s, e) ? &s->soon : &s->heap;
}

bool ahead_is_quiet(const struct tick_shard *s, int64_t now_us)
{
    if (s->reveal != NULL || s->ahead_count == 0) {
        return s->reveal != NULL;
    }
    int64_t left_us = s->ahead[0] - now_us;
    return left_us < QUIET_US && left_us > -QUIET_US; /* one that cannot happen holds nothing up */
}

int64_t ahead_next(const struct tick_shard *s, int64_t now_us)
{
    const struct tick_entry *e = tick_heap_top(&s->soon);
    bool may = e != NULL && e->ready_us - now_us <= AHEAD_US && !ahead_is_quiet(s, now_us);
    return may ? e->ready_us : 0;
}

/* ---- letting it happen ---- */

/* Those whose tick was taken back. */
static void load_undone(struct tick_shard *s, const redisReply *reply)
{
    for (size_t i = 2; i < reply->elements; i++) {
        const char *id = reply_str(reply->element[i]);
        if (id != NULL && id_is_valid(id)) {
            shard_load(s, id);
        }
    }
}

/* Nothing is there of a group that may have been: the answer that told of it was lost, and with it
 * which ticks were taken back; or Redis has lost what it had confirmed. They are due as before. */
static void look_anew(struct tick_shard *s, int64_t at_us)
{
    s->scan_wanted = true; /* for those that are not in memory */
    for (size_t i = 0; i < s->held.count; i++) {
        const struct tick_entry *e = s->held.items[i];
        if (e->progress.last_us == at_us) {
            shard_load(s, e->id.text);
        }
    }
}

static void take_in(struct tick_shard *s, const struct reveal *reveal, const redisReply *reply)
{
    int64_t redis_us = reply_int(reply->element[0], reveal->sent_us);
    int64_t count = reply_int(reply->element[1], 0);
    struct ticker *t = s->t;
    ticker_heard_clock(t, redis_us, reveal->sent_us);
    load_undone(s, reply);
    if (count == AGAIN) {
        return;
    }
    if (count == EARLY) { /* our clock was ahead of Redis's */
        int64_t wait_us = reveal->at_us - redis_us;
        wait_us = wait_us > TICKER_SKEW_MIN_US ? TICKER_SKEW_MIN_US : wait_us;
        s->reveal_from_us = ticker_now_us(t) + wait_us + US_PER_MS;
        return;
    }
    for (size_t i = 0; i < s->ahead_count; i++) {
        if (s->ahead[i] == reveal->at_us) {
            s->ahead_count--;
            memmove(s->ahead + i, s->ahead + i + 1, (s->ahead_count - i) * sizeof(*s->ahead));
        }
    }
    if (count == NONE) {
        look_anew(s, reveal->at_us);
    } else {
        ticker_count_fired(t, count, reveal->at_us);
    }
    hatch_some(s);                /* of this answer, or of one like it that was lost */
    shard_place_all(s, &s->held); /* their last tick has happened */
    if (t->on_events != NULL) {
        t->on_events(t->on_events_owner, s->number);
    }
}

static void on_revealed(void *owner, redisReply *reply, const struct err *err)
{
    struct reveal *reveal = owner;
    struct tick_shard *s = reveal->s;
    s->reveal = NULL;
    FAULT("tick.reveal.after");
    struct err shape = ERR_INIT;
    if (err == NULL && (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2)) {
        err_set(&shape, ERR_INTERNAL, "ahead_reveal.lua answered in an unknown shape");
        err = &shape;
    }
    if (err == NULL) {
        shard_worked(s);
        take_in(s, reveal, reply);
        ticker_poke(s->t);
    } else if (err->code == ERR_FENCED) {
        shard_fenced(s, err, "revealing");
    } else {
        shard_back_off(s, err, "revealing");
    }
    free(reveal);
}

void ahead_step(struct tick_shard *s, int64_t now_us)
{
    while (s->soon.count > 0 && tick_heap_top(&s->soon)->ready_us <= now_us) {
        struct tick_entry *e = tick_heap_top(&s->soon); /* there was no time for it */
        e->not_ahead_us = tick_entry_due_us(e);
        tick_heap_remove(e->heap, e);
        tick_heap_add(&s->heap, e);
    }
    if (s->reveal != NULL || s->ahead_count == 0 || s->ahead[0] > now_us ||
        s->reveal_from_us > now_us) {
        return;
    }
    s->reveal_from_us = 0;
    struct reveal *reveal = xcalloc(1, sizeof(*reveal));
    reveal->s = s;
    reveal->at_us = s->ahead[0];
    reveal->sent_us = clock_now_us();
    long long at = (long long)reveal->at_us;
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", s->prefix);
    store_key(args, "%sahead", s->prefix);
    store_key(args, "%sahead:%lld:undo", s->prefix, at);
    store_key(args, "%sahead:%lld:undone", s->prefix, at);
    store_key(args, "%sborn:%lld", s->prefix, at);
    store_key(args, "%sbirths", s->prefix);
    store_key(args, "%sevents", s->prefix);
    store_key(args, "%stold", s->prefix);
    store_arg_i(args, store_shard_epoch(s->t->set.store, s->number));
    store_arg_i(args, clock_shift_us());
    store_arg_i(args, reveal->at_us);
    store_arg(args, s->prefix);
    FAULT("tick.reveal.before");
    s->reveal = reveal;
    reveal->call = store_eval(s->t->set.store, &script_ahead_reveal, args, on_revealed, reveal);
}

int64_t ahead_wakes_at(const struct tick_shard *s)
{
    int64_t at_us = INT64_MAX;
    if (s->ahead_count > 0 && s->reveal == NULL) {
        at_us = s->ahead[0] > s->reveal_from_us ? s->ahead[0] : s->reveal_from_us;
    }
    const struct tick_entry *e = tick_heap_top(&s->soon);
    if (e != NULL && s->claim == NULL) {
        int64_t from_us = e->ready_us - AHEAD_US;
        if (ahead_is_quiet(s, from_us > ticker_now_us(s->t) ? from_us : ticker_now_us(s->t))) {
            from_us = e->ready_us; /* the answer wakes us */
        }
        at_us = from_us < at_us ? from_us : at_us;
    }
    return at_us;
}

void ahead_stop(struct tick_shard *s)
{
    if (s->reveal != NULL) {
        store_cancel(s->reveal->call);
        free(STEAL(s->reveal));
    }
    s->ahead_count = 0;
    s->reveal_from_us = 0;
    s->soon.count = s->held.count = 0;
}

void ahead_done(struct tick_shard *s)
{
    ahead_stop(s);
    tick_heap_done(&s->soon);
    tick_heap_done(&s->held);
    free(s->ahead);
}
