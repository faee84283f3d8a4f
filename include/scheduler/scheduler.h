/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: catalogue, run engine and ticker joined; starting them in order, and stopping.
 */
#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/executor.h"

struct artifact_store;
struct catalog;
struct engine;
struct err;
struct loop;
struct scheduler;
struct store;
struct ticker;

struct scheduler_settings {
    struct loop *loop;
    struct store *store;             /* borrowed */
    struct artifact_store *artifacts; /* borrowed */
    struct executor executor;        /* borrowed */
    int64_t max_runs, max_steps, step_timeout_ms, lost_retries, forget_after_ms;
    int64_t max_tasks_per_run, exit_tasks_timeout_ms;
    bool run_exit_tasks_on_cancel, backend_final_status;
    bool cache;
    int64_t cache_max_age_ms, cache_max_entries;
    const char *volume_storage_class;
    int64_t history_max_runs, history_max_age_ms, history_max_ticks;
    int64_t claim_batch, max_fires_per_s;
    const char *instance; /* id of this daemon and its data folder; kept over restarts */
    const char *host;     /* its name for people */
};

/* What else is done per shard, and what ends the daemon. Any may be NULL. */
struct scheduler_listener {
    void (*shard_start)(void *owner, unsigned shard); /* it is ours */
    void (*shard_loaded)(void *owner, unsigned shard); /* its live runs are known */
    void (*shard_hold)(void *owner, unsigned shard);  /* it is about to be given up: begin nothing */
    bool (*shard_is_idle)(void *owner, unsigned shard); /* after that: nothing is under way */
    void (*shard_stop)(void *owner, unsigned shard);  /* it is another one's */
    /* A run has ended, and that is saved, whose doc's trigger.kind is "git": the next of its group may
     * begin, and the forge be told. */
    void (*git_run_ended)(void *owner, const char *run_id);
    /* Another daemon has written events to this shard, which is ours. */
    void (*events)(void *owner, unsigned shard);
    /* Another process runs under our instance id, or a newer rondod on our Redis: stop. */
    void (*displaced)(void *owner);
    void *owner;
};

struct scheduler *scheduler_new(const struct scheduler_settings *settings);
/*
 * Join the daemons on this Redis, take the shards that are ours, load their live runs, fire what is
 * due. Waits as long as Redis needs; done is called once with NULL, or with an error that makes
 * going on senseless.
 */
void scheduler_start(struct scheduler *s, void (*done)(void *owner, const struct err *err),
    void *owner);
/* What it is waiting for ("Redis", "live runs", ...); NULL when all is running. */
const char *scheduler_waits_for(const struct scheduler *s);
/* Before the start. */
void scheduler_listen(struct scheduler *s, const struct scheduler_listener *listener);
/* A script of somebody else's was refused because this shard is not ours: find out. */
void scheduler_check(struct scheduler *s, unsigned shard);
/* Fire nothing and start nothing any more, and hand all shards to others. done once, from the loop. */
void scheduler_stop(struct scheduler *s, void (*done)(void *owner), void *owner);
void scheduler_free(struct scheduler *s);

struct catalog *scheduler_catalog(struct scheduler *s);
struct engine *scheduler_engine(struct scheduler *s);
struct ticker *scheduler_ticker(struct scheduler *s);
struct lease *scheduler_lease(struct scheduler *s);

#endif
