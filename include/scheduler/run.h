/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs: their records, and the engine that carries them out. A run's records live in the shard
 * its id names (contrib/docs/storage.md); every change and the events that report it are one
 * script; those that carry a run on are guarded by the shard's fencing epoch.
 */
#ifndef SCHEDULER_RUN_H
#define SCHEDULER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "base/stamp.h"
#include "scheduler/executor.h"

struct artifact_store;
struct buf;
struct catalog;
struct err;
struct id;
struct loop;
struct plan;
struct store;

enum run_state {
    RUN_STATE_PENDING,
    RUN_STATE_RUNNING,
    RUN_STATE_CANCELING,
    RUN_STATE_SUCCEEDED,
    RUN_STATE_FAILED,
    RUN_STATE_CANCELED, /* the KFP API shows it as FAILED: its SDK waits forever otherwise */
};
const char *run_state_name(enum run_state state); /* "PENDING" */
int run_state_parse(const char *name, enum run_state *out); /* -1 unknown */
bool run_state_is_final(enum run_state state);

enum task_state {
    TASK_STATE_WAITING,
    TASK_STATE_RUNNING,
    TASK_STATE_SUCCEEDED,
    TASK_STATE_CACHED,
    TASK_STATE_NOT_TRIGGERED, /* condition false */
    TASK_STATE_UNSCHEDULABLE, /* upstream prevents it */
    TASK_STATE_FAILED,
    TASK_STATE_CANCELED,
};
const char *task_state_name(enum task_state state); /* "WAITING" */
int task_state_parse(const char *name, enum task_state *out);
bool task_state_is_final(enum task_state state);

/* ---- records ---- */

struct run_request {
    const char *id;             /* NULL: a new one. Must be a valid id. */
    const char *name;           /* display name, required */
    const char *description;
    const char *experiment_id;  /* required */
    const char *spec;           /* SHA-256 of a stored spec, required */
    const char *pipeline_name;  /* pipelineInfo.name */
    const char *pipeline_id, *version_id; /* NULL for inline specs */
    const json_t *parameters;   /* as sent (macros raw), or NULL */
    const json_t *artifacts;    /* of run_bind_artifacts(), or NULL */
    const char *pipeline_root, *service_account;
    const char *pool;           /* scheduler/pools.h; NULL: only `default` */
    int64_t priority;           /* in the queue of its pool, -1000 to 1000 */
    int64_t scheduled_us;       /* 0: created */
    const json_t *trigger;      /* {"kind":"api"|"git"|"schedule", ...} or NULL */
};

/* The run's `doc` (contrib/docs/storage.md); new reference. */
json_t *run_doc(const struct run_request *req);

/*
 * Artifacts that a run of this plan is given (plan_bind_artifacts()), as its doc has them: each
 * with its id, and file:// only within the store. New reference, or NULL and ERR_INVALID.
 */
json_t *run_bind_artifacts(const struct artifact_store *store, const struct plan *plan,
    const json_t *given, struct err *err);

/* Its event "run.created", which whoever creates runs in a script of his own writes with it. malloc'd. */
char *run_created_event(const struct run_request *req, int64_t scheduled_us, int64_t now_us);

typedef void run_json_fn(void *owner, const json_t *record, const struct err *err);

/*
 * Create (by run_create.lua); the same id again gives the existing run. done gets the record:
 * {"v":1,"id","name","description","experiment_id","spec","pipeline_name","pipeline_id",
 *  "version_id","parameters":{},"artifacts"?:{},"pipeline_root","service_account",
 *  "recurring_run_id","index","trigger":{}, "state","created_us","scheduled_us","started_us","finished_us","history":[{"at_us","state",
 *  "error"?}],"error":"...","storage":"AVAILABLE"|"ARCHIVED","outputs":{}}
 */
void run_create(struct store *store, const struct run_request *req, run_json_fn *done, void *owner);
/*
 * What a claim of recurring runs creates: one field `run_id` -> text of the shard's hash `born`, which
 * costs Redis a fifth of a whole run's records. Everybody who names the run finds it; lists have it
 * once it has been hatched, by run_hatch() or by the first who reads it. run_born_head() adds what
 * stands before the run's doc; detail: "-", or JSON without spaces about the tick.
 */
void run_born_head(struct buf *out, int64_t created_us, int64_t scheduled_us, int64_t generation,
    const char *recurring_run_id, const char *experiment_id, const char *detail);
/* One event recurring_run.fired. */
struct run_fired {
    const char *recurring_run; /* what run_add_recurring() adds: JSON, made once for all its events */
    const char *pipeline_id;   /* left out unless it is an id */
    const char *run_id;
    const char *name, *name_end; /* of the run: the inside of a JSON string, and what comes after it */
    int64_t index, scheduled_us, at_us, lateness_us;
    const char *request_id; /* of whoever asked for it; NULL: its schedule did */
};
void run_fired_event(const struct run_fired *fired, struct buf *out);
/* The members about a recurring run that its events have, without brackets. */
void run_add_recurring(struct buf *out, const char *id, const char *name, const char *experiment_id,
    const char *pipeline_name);
/*
 * The event of a run that was claimed ahead of its instant, from its text in `born:<instant>`;
 * came_us: when the instant was seen to have come. NULL when the text is none.
 */
json_t *run_born_event(const char *run_id, const char *text, int64_t came_us);
/* Lines that the ledger of a recurring run keeps unless history-max-ticks says otherwise. */
#define RUN_LEDGER_MAX 50
/* These, or with count 0 up to `any` of those that are left in the shard. ledger_max: lines kept of
 * the ledgers they are entered in; 0: RUN_LEDGER_MAX. done gets the ids that are there now; left: how
 * many are still to come, in the whole shard. Safe to repeat. */
typedef void run_hatch_fn(void *owner, const struct id *ids, size_t count, int64_t left,
    const struct err *err);
struct run_hatching;
struct run_hatching *run_hatch(struct store *store, unsigned shard, const struct id *ids,
    size_t count, size_t any, int64_t ledger_max, run_hatch_fn *done, void *owner);
void run_hatch_cancel(struct run_hatching *hatching); /* NULL is fine */
/* Record, with "tasks": [task records] when with_tasks. */
void run_get(struct store *store, const char *id, bool with_tasks, run_json_fn *done, void *owner);
/*
 * What tells whether anything about a run or its tasks has changed since a record was read: every
 * save of the engine has a number of its own, and what others change is in the stamp itself.
 */
void run_stamp(struct store *store, const char *id, stamp_done_fn *done, void *owner);
void run_stamp_of(const json_t *record, struct stamp *out);
/*
 * Task record: {"id","path":"nested/train","key":"train","name","parent":"nested","kind":"container"|"dag",
 *  "state","attempt":0,"created_us","started_us","ended_us","error":"...","exit_code",
 *  "inputs":{"parameters":{},"artifacts":{}},"outputs":{"parameters":{},"artifacts":{}},"unique":"...",
 *  "log_tail"} and more, see storage.md. Artifacts are {name: [{"id","name","type","uri","metadata"}]}.
 *
 * All run records, newest last, optionally of one experiment or recurring run (NULL: any);
 * done gets an array. Bounded by `max` newest.
 */
void run_all(struct store *store, const char *experiment_id, const char *recurring_run_id,
    size_t max, run_json_fn *done, void *owner);
void run_count(struct store *store, void (*done)(void *owner, int64_t count, const struct err *err),
    void *owner);
/* storage state AVAILABLE / ARCHIVED. */
void run_set_storage(struct store *store, const char *id, const char *storage, run_json_fn *done,
    void *owner);
/* Archive all runs of an experiment that live in this shard; done gets their number. */
void run_archive_shard(struct store *store, unsigned shard, const char *experiment_id,
    run_json_fn *done, void *owner);
/* Live -> CANCELING (event written); final runs are left alone and succeed. Wake the engine after. */
void run_cancel(struct store *store, const char *id, run_json_fn *done, void *owner);
/* ERR_PRECONDITION while the run is live. */
void run_delete(struct store *store, const char *id, run_json_fn *done, void *owner);

/* ---- engine ---- */

struct engine;
struct engine_settings {
    struct loop *loop;
    struct store *store;
    struct catalog *catalog;
    struct artifact_store *artifacts;
    struct executor executor;
    int64_t max_steps;           /* container tasks started at once, whole daemon */
    int64_t max_runs;            /* runs in progress at once, all daemons (scheduler/pools.h); 0 no limit */
    int64_t step_timeout_ms;     /* default time limit of a step; 0 none */
    int64_t lost_retries;        /* how often a LOST attempt is started anew (default 2) */
    int64_t max_tasks_per_run;   /* task instances, iterations counted too; 0 no limit */
    bool run_exit_tasks_on_cancel; /* else a run that is asked to end drops them */
    int64_t exit_tasks_timeout_ms; /* so long after that, then they end too */
    bool backend_final_status;   /* taskFinalStatus in the words of KFP's backend: COMPLETE ... */
    bool cache;                  /* look for earlier results, and keep new ones */
    int64_t cache_max_age_ms;    /* older results are not used; 0 = for ever */
    int64_t cache_max_entries;   /* results kept; 0 = 100000 */
    const char *instance;        /* names this daemon and its data folder, and where that is; both */
    const char *host;            /* may be NULL: then nobody else could carry on what runs here */
    const char *volume_storage_class; /* of createpvc without one; NULL: the cluster decides */
    int64_t forget_after_ms;     /* a saved end is still remembered so long; 0: forgotten at once */
    int64_t history_max_runs;    /* finished runs kept; 0 = all */
    int64_t history_max_ticks;   /* lines of a ledger kept; 0: RUN_LEDGER_MAX */
    int64_t history_max_age_ms;  /* 0 = for ever */
};
struct engine *engine_new(const struct engine_settings *settings);
/*
 * This shard is ours (store_shard_epoch): load its live runs and go on with them. done, which may be
 * NULL, comes once when they are loaded, from the loop.
 */
void engine_shard_start(
    struct engine *engine, unsigned shard, void (*done)(void *owner), void *owner);
/* Begin and save nothing of it any more; saves under way finish. Only engine_shard_stop() follows. */
void engine_shard_hold(struct engine *engine, unsigned shard);
/* Nothing of it is being saved. */
bool engine_shard_is_quiet(const struct engine *engine, unsigned shard);
/* The same, and nothing is left to be saved, and no step of it runs. */
bool engine_shard_is_idle(const struct engine *engine, unsigned shard);
/* Another daemon carries it on: forget its runs, and have the executor let go of their steps. */
void engine_shard_stop(struct engine *engine, unsigned shard);
/* Redis was away and is back, maybe without what it wrote last: compare with what is in memory. */
void engine_shard_look(struct engine *engine, unsigned shard);
/* All shards, for a program whose store holds them all. */
void engine_start(struct engine *engine, void (*done)(void *owner, const struct err *err),
    void *owner);
/* This run was created or asked to end: look at it. Harmless when nothing changed, or when another
 * daemon carries it on. */
void engine_wake(struct engine *engine, const char *run_id);
/* Calls to Redis under way for runs: who has more of them to begin may let these go first. */
size_t engine_busy(const struct engine *engine);
/* The answer to a write that makes runs was lost: look soon for live runs that nobody woke. */
void engine_look_soon(struct engine *engine);
/* run_delete(), and the executor drops what it kept of the run: logs. */
void engine_delete(struct engine *engine, const char *run_id, run_json_fn *done, void *owner);
/* Start nothing new; in-flight saves finish. Local processes go on and are adopted next time. */
void engine_stop(struct engine *engine);
void engine_free(struct engine *engine);
/* Told after each successful save that ended a run (its slot is free). is_of_git: its doc's
 * trigger.kind is "git". One listener. */
typedef void engine_run_end_fn(
    void *owner, const char *run_id, const char *recurring_run_id, bool is_of_git);
void engine_on_run_end(struct engine *engine, engine_run_end_fn *fn, void *owner);
/* Told when a save was refused because the shard is not ours; it is tried again. One listener. */
void engine_on_fenced(
    struct engine *engine, void (*fn)(void *owner, unsigned shard), void *owner);
/* Told after each save that wrote events to a shard. One listener. */
void engine_on_events(struct engine *engine, void (*fn)(void *owner, unsigned shard), void *owner);
/* Output of a task (its last attempt; live or kept). path NULL: all tasks, with headings. */
void engine_logs(struct engine *engine, const char *run_id, const char *task_path,
    int64_t max_bytes, void (*done)(void *owner, const char *text, size_t len,
    const struct err *err), void *owner);

struct engine_counts {
    int64_t live_runs, running_steps, waiting_steps;
    int64_t runs_succeeded, runs_failed, runs_canceled;   /* since start */
    int64_t steps_succeeded, steps_failed, steps_lost, steps_cached;
};
void engine_counts(const struct engine *engine, struct engine_counts *out);

#endif
