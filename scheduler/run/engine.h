/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's own struct, for its files. See live.h for runs in memory. */
#ifndef SCHEDULER_RUN_ENGINE_H
#define SCHEDULER_RUN_ENGINE_H

#include "base/loop.h"
#include "run/live.h"
#include "scheduler/run.h"

struct farewells;
struct deletion;
struct expiry;
struct janitor;
struct load;
struct overlooked;
struct pools;

/* What is ours of the runs' shards. */
struct run_shard {
    struct engine *engine;
    unsigned number;
    bool is_ours;   /* its runs are in memory, or on their way there */
    bool is_held;   /* about to be given up: nothing is begun or saved any more */
    int64_t running; /* attempts of its runs that hold a slot */
    struct store_call *call; /* reading its live set */
    struct timer retry;
    size_t pending; /* that, and the loads that follow from it */
    int64_t found;
    void (*done)(void *owner); /* told once when they are loaded; or NULL */
    void *owner;
};

struct engine {
    struct engine_settings set;
    struct map *runs;        /* id -> struct live */
    struct map *loads;       /* id -> struct load */
    struct live *ring;       /* next run to be given a slot; a circle */
    size_t saving;           /* saves under way */
    int64_t running, queued; /* attempts that hold a slot; tasks that wait for one */
    struct engine_counts counts;
    bool is_stopping;
    struct deferred fill; /* a slot became free */

    engine_run_end_fn *run_end;
    void *run_end_owner;
    void (*events)(void *owner, unsigned shard);
    void *events_owner;
    void (*fenced)(void *owner, unsigned shard);
    void *fenced_owner;
    struct run_shard *shards;
    unsigned starting; /* shards that engine_start() waits for */
    void (*started)(void *owner, const struct err *err);
    void *started_owner;

    struct load *load_first, *load_last; /* waiting for their turn */
    unsigned loads_under_way;
    struct janitor *janitor;
    struct deletion *deletions; /* under way */
    struct overlooked *overlooked;
    struct pools *pools;
    struct farewells *farewells;
    struct workspaces *workspaces;
    struct expiry *expiry;
    struct log_reader *log_readers;
};

/* ---- engine.c ---- */

/* Give free slots to runs in turn. */
void engine_fill(struct engine *engine);
/* The run has tasks in its queue / has none any more. */
void engine_ring_add(struct live *run);
void engine_ring_remove(struct live *run);
void engine_slot_take(struct task *task);
void engine_slot_release(struct task *task);
/* Out of memory, with its timers; its attempts go on. */
void engine_forget_run(struct live *run);
/* The run is gone, or cannot be carried on here. */
void engine_drop_run(struct live *run, const char *why);
/* What Redis has of it is older than what it had confirmed: go on from there. */
void engine_reload_run(struct live *run, const char *why);
/* A save that ended the run was done. */
void engine_run_ended(struct live *run);
void engine_wrote_events(struct live *run);
struct live *engine_find(struct engine *engine, const char *run_id);
/* Has its record changed? */
void engine_look(struct live *run);
/* A save was refused because the shard is not ours. */
void engine_fenced(struct engine *engine, unsigned shard);

/* ---- shards.c ---- */

void shards_init(struct engine *engine);
/* Cancels what is under way. */
void shards_done(struct engine *engine);
/* Is the run one of ours? */
bool shards_has(const struct engine *engine, const char *run_id);

/* ---- load.c ---- */

/* Read a run, compile its plan, put it into the engine. One load per run at a time. */
void load_add(struct engine *engine, const char *run_id, void (*done)(void *owner), void *owner);
/* Drop those of a shard; no done comes. */
void load_drop_shard(struct engine *engine, unsigned shard);
/* Are any of this shard under way or waiting? */
bool load_is_busy(const struct engine *engine, unsigned shard);
void load_free_all(struct engine *engine);

/* ---- history.c ---- */

/* The engine goes: deletions under way end without it. */
void deletions_leave(struct engine *engine);
struct janitor *janitor_new(struct engine *engine);
void janitor_free(struct janitor *janitor);
/* Look now (tests). */
void janitor_look(struct janitor *janitor);

/* ---- overlooked.c ---- */

struct overlooked *overlooked_new(struct engine *engine);
void overlooked_free(struct overlooked *o);
void overlooked_soon(struct overlooked *o);

/* ---- farewell.c ---- */

struct farewells *farewells_new(struct engine *engine);
/* Nothing more is forgotten; the executor comes across the rest later. */
void farewells_free(struct farewells *f);
/* The end of this attempt has been saved: have the executor forget it, some time later. */
void farewell_add(struct farewells *f, const struct attempt_name *name);
/* The run was deleted: its logs go, behind those of its attempts that are still to be forgotten. */
void farewell_add_purge(struct farewells *f, const char *run_id);
/* The run is read anew, and may need the results of its attempts again. */
void farewells_recall(struct farewells *f, const char *run_id);
/* Attempts of this run are still to be forgotten. */
bool farewells_has(const struct farewells *f, const char *run_id);
/* Now. */
void farewells_say_all(struct farewells *f);

/* ---- engine_logs.c ---- */

void log_readers_free(struct engine *engine);

#endif
