/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which slot of a recurring run fires next: the schedule's rules (scheduler/schedule.h) applied
 * to what is kept of a recurring run. Pure functions.
 */
#ifndef SCHEDULER_TRIGGER_SLOTS_H
#define SCHEDULER_TRIGGER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "scheduler/schedule.h"

struct err;

/* How far a recurring run has come. */
struct slot_state {
    int64_t last_us;   /* the last slot that fired; 0 none */
    int64_t anchor_us; /* slots up to here are forgotten (it was disabled then); 0 none */
    int64_t next_us;   /* stored: the slot that is due next; 0 never again */
};

/* The first slot of a new one; 0: never. */
int64_t slot_first(
    const struct schedule *schedule, const struct schedule_window *window, int64_t now_us);
/* The first one after now, of one whose schedule was just edited; 0: never. */
int64_t slot_first_after(
    const struct schedule *schedule, const struct schedule_window *window, int64_t now_us);
/* The slot to fire now: the stored one, or with no_catchup the latest that was missed. */
int64_t slot_due(const struct schedule *schedule, const struct schedule_window *window,
    const struct slot_state *state, int64_t now_us);
/* The slot after `slot_us`; 0: never again. */
int64_t slot_after(const struct schedule *schedule, const struct schedule_window *window,
    int64_t slot_us, int64_t now_us);
/* The last slot up to `limit_us`; slot_us is one. */
int64_t slot_latest(const struct schedule *schedule, const struct schedule_window *window,
    int64_t slot_us, int64_t limit_us);
/*
 * After being disabled: sets anchor_us and next_us so that what was missed meanwhile never
 * fires. Intervals keep their phase. What never had a schedule still fires its one time.
 */
void slot_resume(const struct schedule *schedule, const struct schedule_window *window,
    struct slot_state *state, int64_t now_us);

/* What the places of `H` are picked from: its id, or of a backfill that of the one it belongs to.
 */
const char *slot_hash_key(const json_t *doc);
/* Whether the record or doc is a backfill: all of it is past, and no pause takes any of it away. */
bool slot_is_backfill(const json_t *doc);
/* The schedule of a record or doc: the members of schedule_parse(), and id as its hash key. *out
 * is NULL for one without a trigger. */
int slot_schedule(const json_t *doc, struct schedule **out, struct err *err);
void slot_window(const json_t *doc, struct schedule_window *out);

#endif
