/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ticker inside. Each shard knows what is due until `loaded_until_us`: these recurring runs
 * are in memory, in a heap by due time; the rest stays in Redis. One timer wakes the ticker for
 * the earliest of: a tick that is due, a look at what comes next.
 *
 *   ticker.c   life, the timer, counters          shard.c   looking ahead and loading
 *   claim.c    firing                             latest.c  which version "latest" is
 *   ahead.c    letting happen what was claimed before its instant
 *   births.c   records for the runs of claims     entry.c   a recurring run in memory, heap
 *   op.c, recurring.c, change.c, fire.c   the API's calls
 */
#ifndef SCHEDULER_TRIGGER_TICKER_H
#define SCHEDULER_TRIGGER_TICKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/loop.h"
#include "base/store.h"
#include "scheduler/recurring.h"
#include "trigger/entry.h"
#include "trigger/pace.h"

#define LOAD_AHEAD_US (4 * INT64_C(1000000))
/* Default of loaded_max. */
#define SHARD_LOADED_MAX 8192
#define LOAD_BATCH 250
/* However sure we are, look again: writes that Redis lost when it crashed, a clock set back. */
#define SWEEP_MS 30000
/* Clocks that differ by less are one: that is the way there and back. */
#define TICKER_SKEW_MIN_US (20 * INT64_C(1000))
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 3000
#define CLAIM_BATCH_MAX 1000

struct claim;
struct latest;
struct map;
struct recurring_op;
struct reveal;
struct schedule_cache;

struct tick_shard {
    struct ticker *t;
    unsigned number;
    const char *prefix;
    struct tick_heap heap;       /* due later, or ready */
    struct tick_heap soon, held; /* ahead.c */
    size_t loaded;               /* entries in memory, in a heap or not */
    int64_t loaded_until_us;     /* all that are due until here are loaded or being loaded */
    int64_t beyond_us;           /* when the first one after that is due; INT64_MAX: none */
    bool is_ours;
    bool scan_wanted, was_cut, is_known; /* is_known: the first look has succeeded */
    void (*started)(void *owner);        /* told once when it is known; or NULL */
    void *started_owner;
    struct store_call *scan_call, *load_call;
    int64_t scan_sent_us; /* by our clock */
    struct id *to_load;
    size_t to_load_count, to_load_cap;
    size_t loading;      /* of to_load, the first ones are under way */
    struct claim *claim; /* under way, or NULL */
    int64_t *ahead; /* instants of what was claimed ahead of them, or may have been; ascending */
    size_t ahead_count, ahead_cap;
    struct reveal *reveal;  /* under way, or NULL */
    int64_t reveal_from_us; /* not before */
    struct id *to_hatch;    /* runs that claims have created */
    size_t to_hatch_count, to_hatch_cap;
    size_t hatching_count;  /* of to_hatch, the first ones are under way */
    int64_t hatch_since_us; /* how long the first of them waits; monotonic */
    struct run_hatching *hatching;
    bool hatch_wanted;  /* there may be others that nobody has told of */
    size_t claim_limit; /* shrinks to find the one that makes a batch fail */
    struct timer retry;
    int64_t backoff_ms;
    int64_t recurring_runs, enabled;
};

struct ticker {
    struct ticker_settings set;
    struct tick_shard *shards;
    unsigned shard_count;
    struct map *entries; /* id -> struct tick_entry */
    struct schedule_cache *schedules;
    struct timer timer; /* wall clock: the earliest of everything */
    struct timer sweep;
    struct timer guard; /* has somebody set our clock? */
    int64_t guard_offset_us; /* the wall clock less the one for durations, when it looked last */
    struct deferred step;
    unsigned step_at;  /* the shard that is looked at next */
    unsigned starting; /* shards that ticker_start() waits for */
    struct pace pace;
    unsigned step_first; /* with a pace, each shard is the first in turn */
    uint64_t zones;      /* zones_generation() */
    size_t loaded_max;   /* of one shard in memory at once; the others wait in Redis */
    void (*started)(void *owner, const struct err *err);
    void *started_owner;
    void (*on_events)(void *owner, unsigned shard);
    void *on_events_owner;
    void (*on_fenced)(void *owner, unsigned shard);
    void *on_fenced_owner;
    struct ticker_counts counts;
    size_t hatching;     /* shards whose runs are getting their records */
    unsigned birth_turn; /* which of them is first next time */
    struct timer birth_timer;
    int64_t skew_us;       /* Redis's clock less ours; 0 while they agree */
    struct latest *latest; /* look-ups under way */
    struct others *others; /* runs being asked to end */
    struct recurring_op *ops;
};

/* Look at all shards at the bottom of this turn of the loop. */
void ticker_poke(struct ticker *t);
struct tick_shard *ticker_shard(struct ticker *t, const char *id);
/* Ticks are due by Redis's clock, which several daemons share. */
int64_t ticker_now_us(const struct ticker *t);
/* A script sent at sent_us by our own clock (clock_now_us()) met this instant in Redis. */
void ticker_heard_clock(struct ticker *t, int64_t redis_us, int64_t sent_us);
/* Metrics: so many ticks that were due at this instant have fired now. */
void ticker_count_fired(struct ticker *t, int64_t count, int64_t due_us);
/* Random, in [ms/2, ms]. */
int64_t ticker_jitter_ms(int64_t ms);

/* ---- shard.c ---- */

void shard_init(struct tick_shard *s, struct ticker *t, unsigned number);
void shard_done(struct tick_shard *s);
/* It is ours: look ahead in it. */
void shard_start(struct tick_shard *s, void (*done)(void *owner), void *owner);
/* Cancel what is under way and forget everything loaded. Harmless when it is not ours. */
void shard_stop(struct tick_shard *s);
/* Let happen what was claimed ahead, if its instant has come. */
void shard_reveal(struct tick_shard *s, int64_t now_us);
/* Scan, load, claim: whatever is possible and due now. */
void shard_step(struct tick_shard *s, int64_t now_us);
/* When shard_step has something to do next; INT64_MAX: when something is reported. */
int64_t shard_wakes_at(const struct tick_shard *s);
/* This recurring run is, or may be, due at next_us: load it now, or remember to look later. */
void shard_note(struct tick_shard *s, const char *id, int64_t next_us);
/* Read this one (again). */
void shard_load(struct tick_shard *s, const char *id);
/* Out of memory with it. */
void shard_drop(struct tick_shard *s, struct tick_entry *e);
/* Put an entry where it belongs by what is due next: a heap, or back to Redis only. */
void shard_place(struct tick_shard *s, struct tick_entry *e);
/* The same for all of a heap, each ready when it is due. */
void shard_place_all(struct tick_shard *s, struct tick_heap *heap);
/* A call failed in a way that may pass: wait before the next one. */
void shard_back_off(struct tick_shard *s, const struct err *err, const char *what);
void shard_worked(struct tick_shard *s);
/* It is not ours any more: whoever leases it is told, and decides; meanwhile it waits. */
void shard_fenced(struct tick_shard *s, const struct err *err, const char *what);
/* Its next due tick has to wait for `after_ms`. */
void shard_delay(struct tick_shard *s, struct tick_entry *e, int64_t after_ms);

/* ---- claim.c ---- */

/* Claim what is due now, or ahead of its instant what will be; nothing when nothing is. */
void claim_start(struct tick_shard *s, int64_t now_us);
void claim_cancel(struct claim *claim);

/* ---- ahead.c ---- */

/* There is, or may be, a group of what was claimed ahead of this instant. */
void ahead_note(struct tick_shard *s, int64_t at_us);
/* The heap where an entry belongs, by what is due next. */
struct tick_heap *ahead_heap_of(struct tick_shard *s, const struct tick_entry *e);
/* The instant whose ticks may be claimed now, top of s->soon; 0 none. */
int64_t ahead_next(const struct tick_shard *s, int64_t now_us);
/* A group is about to happen. */
bool ahead_is_quiet(const struct tick_shard *s, int64_t now_us);
/* Let happen what has come. */
void ahead_step(struct tick_shard *s, int64_t now_us);
int64_t ahead_wakes_at(const struct tick_shard *s);
void ahead_stop(struct tick_shard *s);
void ahead_done(struct tick_shard *s);

/* ---- births.c ---- */

/* A claim has created this run: it gets its records when nothing is due, and soon in any case. */
void hatch_add(struct tick_shard *s, const struct id *run_id);
/* The same for runs whose ids are in Redis only. */
void hatch_some(struct tick_shard *s);
void births_step(struct ticker *t, int64_t now_us);
void hatch_stop(struct tick_shard *s);

/* ---- others.c ---- */

/* Ask the active runs of a recurring run to end; with except_run_id only those before this one.
 * limit: how many there may be, about. at_once: their exit tasks are not run either. */
void others_cancel(struct ticker *t, const struct id *recurring_run_id, int64_t limit, bool at_once,
    const char *except_run_id);
/* The same, as its progress ("ending") and its overlap policy have it; then that is taken out of
 * its progress. */
void others_cancel_of(struct ticker *t, const struct tick_entry *e);
void others_stop(struct ticker *t);

/* ---- change.c ---- */

/* The pause of this one is over. Takes it out of memory. */
void resume_start(struct tick_shard *s, struct tick_entry *e);
/* Write down why this one cannot fire; its next firing takes that away. */
void recurring_note_error(struct ticker *t, const char *id, const char *error);
/* All that `ending` stands for have been asked to end. */
void recurring_settle(struct ticker *t, const char *id, const char *ending);
/* So many of its runs have failed in a row that it is to pause. */
void recurring_pause_failing(struct ticker *t, const char *id);

/* ---- latest.c ---- */

/* Find the newest version for an entry that follows one, then place it again. */
void latest_start(struct tick_shard *s, struct tick_entry *e);
void latest_cancel_all(struct ticker *t);

#endif
