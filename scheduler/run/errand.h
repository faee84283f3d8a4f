/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errands: what the engine does for one task by itself, with calls that take time. Each kind is a
 * struct that begins with struct errand; the task owns it until errand_end() or errand_cancel().
 */
#ifndef SCHEDULER_RUN_ERRAND_H
#define SCHEDULER_RUN_ERRAND_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "base/loop.h"
#include "run/live.h"

struct errand {
    struct task *task;
    /* Drop the calls under way and everything but the struct itself. May be NULL. */
    void (*drop)(struct errand *errand);
    struct deferred turn; /* what has no call to wait for ends at the bottom of this turn */
};

/* Of `size` bytes, zeroed; it is the task's errand from now on. */
void *errand_new(struct task *task, size_t size, void (*drop)(struct errand *errand));
/* It is over: dropped and freed. The task may then be ended, or go on. */
void errand_end(struct errand *errand);
/* The same, and the task fails: "task x: <text>". */
void errand_fail(struct errand *errand, const char *text);

/* The task's inputs as an ExecutorInput without places, for what renders texts of the engine's own
 * tasks. New reference. */
json_t *errand_executor_input(const struct task *task);

/* ---- cache.c ---- */

/* Look whether an earlier task gave what this one would; then CACHED or on with container_go(). */
void cache_begin(struct task *task);
/* ---- errand.c ---- */

/* A container task has to run: its workspace first, then it waits for a slot. */
void container_go(struct task *task);

/* ---- import.c ---- */

void import_begin(struct task *task);

/* ---- volume.c ---- */

void volume_begin(struct task *task);
/* The claim that a task of VOLUME_CREATE makes; NULL and ERR_INVALID. New reference. */
json_t *volume_claim(const struct task *task, struct err *err);

#endif
