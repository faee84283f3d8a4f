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
    int64_t max_steps, step_timeout_ms, lost_retries, forget_after_ms;
    int64_t max_tasks_per_run, exit_tasks_timeout_ms;
    bool run_exit_tasks_on_cancel, backend_final_status;
    bool cache;
    int64_t cache_max_age_ms, cache_max_entries;
    const char *volume_storage_class;
    int64_t history_max_runs, history_max_age_ms;
    int64_t claim_batch;
};

struct scheduler *scheduler_new(const struct scheduler_settings *settings);
/*
 * Take the shards over, load the live runs, start the ticker. Waits as long as Redis needs; done
 * is called once with NULL, or with an error that makes going on senseless.
 */
void scheduler_start(struct scheduler *s, void (*done)(void *owner, const struct err *err),
    void *owner);
/* What it is waiting for ("Redis", "live runs", ...); NULL when all is running. */
const char *scheduler_waits_for(const struct scheduler *s);
/* Called when another daemon has taken over: stop. */
void scheduler_on_fenced(struct scheduler *s, void (*fn)(void *owner), void *owner);
/* Fire nothing and start nothing any more. */
void scheduler_stop(struct scheduler *s);
void scheduler_free(struct scheduler *s);

struct catalog *scheduler_catalog(struct scheduler *s);
struct engine *scheduler_engine(struct scheduler *s);
struct ticker *scheduler_ticker(struct scheduler *s);

#endif
