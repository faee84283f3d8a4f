/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurring runs and the ticker that fires them. A tick is named by (recurring run, generation,
 * slot); its run id is derived from that name, so firing twice is impossible by construction
 * and claiming is one script (claim.lua): record the firing, set the next due time, admit or
 * wait under max_concurrency, create the run, append events.
 */
#ifndef SCHEDULER_RECURRING_H
#define SCHEDULER_RECURRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "base/stamp.h"

struct catalog;
struct engine;
struct err;
struct loop;
struct store;
struct ticker;

typedef void recurring_json_fn(void *owner, const json_t *record, const struct err *err);

struct recurring_request {
    const char *name;            /* display name, required */
    const char *description;
    const char *experiment_id;
    const char *spec;            /* pinned spec (SHA-256), or NULL to follow pipeline_id's latest */
    const char *pipeline_name;
    const char *pipeline_id, *version_id;
    const json_t *parameters;
    const json_t *artifacts;     /* of run_bind_artifacts(), or NULL */
    const char *pipeline_root, *service_account;
    /* exactly one of cron / interval_s; neither = once, right after creation */
    const char *cron;
    const char *time_zone;       /* or NULL */
    int64_t interval_s;
    int64_t start_us, end_us;    /* 0 = none */
    int64_t max_concurrency;     /* 1..1000000; KFP's API allows 10 */
    bool no_catchup, is_enabled;
    /*
     * Or NULL: further members of the doc, which replace those above. Schedules: "schedules",
     * "profile", "dst", "include", "exclude" (scheduler/schedule.h). Policies: "overlap", "catchup",
     * "buffer_max", "catchup_window_s", "max_fires", "pause_after_failures", "spread_s". Each is checked;
     * contrib/docs/schedules.md has the rules.
     */
    const json_t *more;
};

/*
 * Record: {"v":2,"id","name","description","experiment_id","spec","pipeline_name","pipeline_id",
 *  "version_id","parameters","artifacts":{},"pipeline_root","service_account",
 * "cron","time_zone","interval_s",
 *  "start_us","end_us","max_concurrency","no_catchup","enabled":true,"created_us","updated_us",
 *  "generation":1,"index":0,"last_us":0,"next_us":0,"active":0,"failures":0,"waiting":false,"error":""}
 * and where there are such: "waits":[us] slots that wait for a place, "skip":n so many slots will be
 * passed over, "pause":{"note","by","since_us","until_us"}, and the members of `more`.
 * next_us is the slot that is looked at next (0: never again).
 */
void recurring_create(struct ticker *t, const struct recurring_request *req,
    recurring_json_fn *done, void *owner);
void recurring_get(struct ticker *t, const char *id, recurring_json_fn *done, void *owner);
/* What tells whether anything that recurring_get() gives, but `active`, has changed. */
void recurring_stamp(struct ticker *t, const char *id, stamp_done_fn *done, void *owner);
void recurring_stamp_of(const json_t *record, struct stamp *out);
/* Give all there are, or those of one experiment, to `each`, in no order; then `done` is told, without a
 * record. There may be a million, so few of them are in memory at once. */
typedef void recurring_each_fn(void *owner, json_t *record);
void recurring_each(struct ticker *t, const char *experiment_id, recurring_each_fn *each,
    recurring_json_fn *done, void *owner);
void recurring_set_enabled(struct ticker *t, const char *id, bool enabled,
    recurring_json_fn *done, void *owner);
/*
 * Pause, until until_us (0: until it is enabled). What is due meanwhile never fires; when it goes on,
 * the ledger gets how many those were. by: who or what asked ("" somebody).
 */
void recurring_pause(struct ticker *t, const char *id, const char *note, const char *by,
    int64_t until_us, recurring_json_fn *done, void *owner);
/* Pass over the next n slots (0: none after all). */
void recurring_skip(struct ticker *t, const char *id, int64_t n, recurring_json_fn *done,
    void *owner);
/*
 * Replace members of its doc: name, description, parameters, spec, pipeline_name, pipeline_id,
 * version_id, pipeline_root, service_account, cron, time_zone, interval_s, start_us, end_us,
 * max_concurrency, no_catchup and those of `more`; null takes one out. ERR_INVALID names what is wrong, and
 * nothing is changed. A change of when it fires makes a new generation: it goes on with the first slot after
 * now, and what waited is dropped. Runs in progress are left alone.
 */
void recurring_edit(struct ticker *t, const char *id, const json_t *changes,
    recurring_json_fn *done, void *owner);
/*
 * Fire now, outside of the schedule, which stays as it is, and also while it is disabled: {"run_id"}. The run
 * counts as active, and has the index 0. overlap: "allow" (default; the limit does not hold it back), "skip"
 * (ERR_PRECONDITION when as many as may be are active), "cancel_other" and "terminate_other" (it starts, and the
 * others are asked to end). request_id: 1 to 128 letters, digits and "._:-"; a second call with the same one gives the
 * same run for as long as that is kept; NULL or "": a new one.
 */
void recurring_fire(struct ticker *t, const char *id, const char *request_id, const char *overlap,
    recurring_json_fn *done, void *owner);
/* Its ledger, newest first, at most history-max-ticks: [{"scheduled_us","outcome","generation","at_us",
 * "run_id"?,"detail"?{}}]. */
void recurring_ticks(struct ticker *t, const char *id, recurring_json_fn *done, void *owner);
void recurring_delete(struct ticker *t, const char *id, recurring_json_fn *done, void *owner);
/* Next `n` fire times (array of integers, us) of a record, from now; spread is not in them. */
json_t *recurring_preview(const json_t *record, int64_t now_us, size_t n);
/*
 * Its next `n` ticks, those too that will not fire: schedule_explain() of each, and where it applies "skip":
 * true (passed over, as was asked) and "fires_at" (with a spread). As if it were enabled now when it is not.
 * New reference to an array.
 */
json_t *recurring_explain(const json_t *record, int64_t now_us, size_t n);
/* Of a record: how long after its slots it fires (its place in the spread). */
int64_t recurring_offset_us(const json_t *record);
/* Slots of a record that wait for a place, the next to fire first: at most `max` integers, us. */
json_t *recurring_queue(const json_t *record, int64_t now_us, size_t max);

struct ticker_settings {
    struct loop *loop;
    struct store *store;
    struct catalog *catalog;
    struct engine *engine;       /* woken for each new run; may be NULL in benchmarks */
    int64_t history_max_ticks;   /* lines of a ledger kept; 0: RUN_LEDGER_MAX */
    int64_t max_fires_per_s;     /* ticks that are looked at, all shards together; 0 no limit */
    int64_t claim_batch;         /* ticks per script call, per shard */
};
struct ticker *ticker_new(const struct ticker_settings *settings);
/*
 * This shard is ours (store_shard_epoch): read what is due in it and fire. done, which may be NULL,
 * comes once when that is known; while Redis is away that takes as long as it needs. Again for one
 * that is started: look anew.
 */
void ticker_shard_start(
    struct ticker *t, unsigned shard, void (*done)(void *owner), void *owner);
/* Fire nothing of it any more and forget it; no done comes. A claim that was sent is carried out. */
void ticker_shard_stop(struct ticker *t, unsigned shard);
/* Something in it may have changed: look ahead again. */
void ticker_shard_look(struct ticker *t, unsigned shard);
/* The same, and what is in memory of it may be old. */
void ticker_shard_reload(struct ticker *t, unsigned shard);
/* All shards, for a program whose store holds them all. */
void ticker_start(struct ticker *t, void (*done)(void *owner, const struct err *err), void *owner);
/* All shards, and what is under way for them. */
void ticker_stop(struct ticker *t);
void ticker_free(struct ticker *t);
/* A run of this recurring run ended, or its record changed: look again. */
void ticker_wake(struct ticker *t, const char *recurring_run_id);
/* Another daemon has changed, made or deleted it: read it anew. */
void ticker_changed(struct ticker *t, const char *recurring_run_id);
/* Told when a claim was refused because the shard is not ours; it is tried again. One listener. */
void ticker_on_fenced(struct ticker *t, void (*fn)(void *owner, unsigned shard), void *owner);
/* Told when claims wrote events to a shard. One listener. */
void ticker_on_events(struct ticker *t, void (*fn)(void *owner, unsigned shard), void *owner);

#define TICKER_OUTCOMES 9
/* "fired", "waiting", "skipped-overlap" ...; outcome < TICKER_OUTCOMES. */
const char *ticker_outcome_name(int outcome);

struct ticker_counts {
    int64_t fired, failed;
    int64_t outcomes[TICKER_OUTCOMES]; /* ticks since the start, without those that fired */
    int64_t recurring_runs, enabled;
    double lateness_sum_s;
    int64_t lateness_buckets[12]; /* <=1ms 5ms 10ms 25ms 50ms 100ms 250ms 500ms 1s 5s 30s, more */
};
void ticker_counts(const struct ticker *t, struct ticker_counts *out);

#endif
