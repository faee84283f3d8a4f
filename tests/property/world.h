/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world in which the attempts of one run live, in memory shared by processes: it goes on
 * when the engine's process is killed, as pods and local programs do. An executor in front of it
 * obeys a script: how each attempt of each task ends, and what it puts out.
 */
#ifndef TESTS_PROPERTY_WORLD_H
#define TESTS_PROPERTY_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "scheduler/executor.h"

struct loop;

#define WORLD_ATTEMPTS_MAX 16384
#define WORLD_EVENTS_MAX (WORLD_ATTEMPTS_MAX * 8)
#define WORLD_PATH_MAX 600

struct world_attempt {
    char task_id[37];
    int attempt;
    char path[WORLD_PATH_MAX];
    bool has_ended, is_canceled, is_forgotten;
};

/*
 * What happened, in order: B begins, E ends in the world, D its end is delivered, F forgotten;
 * K an engine starts, C the run is asked to end, L Redis loses writes. What must never be:
 * A begun again after it was forgotten, S started a second time by one engine that had its end
 * still to come.
 */
struct world_event {
    char kind;
    uint32_t attempt;
};

struct world {
    uint64_t random;
    int64_t shift_us; /* of the clock */
    uint32_t cancels_asked;
    uint32_t running, forgotten;
    uint32_t attempt_count, event_count;
    struct world_attempt attempts[WORLD_ATTEMPTS_MAX];
    struct world_event events[WORLD_EVENTS_MAX];
};

/* Shared with the children of this process. */
struct world *world_new(void);
void world_reset(struct world *world, uint64_t seed);
uint32_t world_random(struct world *world, uint32_t below);
void world_tell(struct world *world, char kind, uint32_t attempt);
/* [["B", path, attempt], ...] */
json_t *world_trace(const struct world *world);

struct world_executor;

struct world_executor *world_executor_new(
    struct loop *loop, struct world *world, struct executor *out);
void world_executor_free(struct world_executor *we);
/*
 * The next run. script: task path ->
 *   {"ends": "FLS",          attempt by attempt: fails, lost, succeeds; the last one goes on
 *    "params": {name: text}, the files that it writes
 *    "output_file": text,    its executor_output.json, if any
 *    "missing": [name]}      output artifacts that are not there afterwards
 * A task without one succeeds. Borrowed until the next call. may_restart: reading a run anew may
 * start attempts that the same engine started before.
 */
void world_executor_begin(struct world_executor *we, const json_t *script, bool may_restart);
/* End one of the running attempts, chosen at random; false if there is none. */
bool world_executor_end_one(struct world_executor *we);

#endif
