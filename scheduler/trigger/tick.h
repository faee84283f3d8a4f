/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tick and what it leads to: a pure decision, from what is known of its recurring run, made
 * into the texts that claim.lua compares and writes. See contrib/docs/schedules.md, "What becomes
 * of a tick".
 */
#ifndef SCHEDULER_TRIGGER_TICK_H
#define SCHEDULER_TRIGGER_TICK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "trigger/entry.h"
#include "trigger/progress.h"

/* What a recurring run's tick has led to, in the ledger, in metrics and in events. */
enum tick_outcome {
    TICK_FIRED,
    TICK_WAITING,
    TICK_SKIPPED_OVERLAP,
    TICK_SKIPPED_WINDOW,
    TICK_SKIPPED_PAUSED,
    TICK_SKIPPED_EXCLUDED,
    TICK_SKIPPED_REQUESTED,
    TICK_DROPPED_BUFFER,
    TICK_FAILED_TO_START,
    TICK_OUTCOME_COUNT,
};
const char *tick_outcome_name(enum tick_outcome outcome); /* "skipped-overlap" */

#define TICK_NEVER_FIRE (-1)

struct tick_range {
    int64_t from_us, to_us, count; /* count 0: none */
};

struct tick {
    struct tick_entry *e;
    int64_t slot_us, due_us;
    struct id run_id;
    int64_t limit;         /* active runs allowed; 0 any number; TICK_NEVER_FIRE */
    bool needs_policy;     /* what happens when it cannot fire is part of the question */
    bool was_waiting;      /* it is the first of those that wait */
    struct progress fired; /* when it fires */
    int64_t fired_due_us;  /* when to look again then; 0 never */
    bool fired_clears_mark;
    struct tick_range also; /* passed over together with it when it fires */
    struct tick_range left; /* those that wait still when it fires as the last one of all */

    /* When it cannot fire. */
    enum tick_outcome outcome;
    bool is_waiting_in_place; /* progress stays: the end of a run brings it back */
    struct progress passed;
    int64_t passed_due_us;
    int64_t mark_us;                    /* 0: leave the mark alone */
    int64_t passed_to_us, passed_count; /* a range, slot_us to here */
    struct tick_range replaced;         /* these waited until now and will not fire */
    char why[SCHEDULE_WHY_MAX];         /* or "" */
    bool cancels_others; /* afterwards ask the active runs to end: when it has fired with
                            OVERLAP_TERMINATE_OTHER, when it waits with OVERLAP_CANCEL_OTHER */
    bool has_fired;
};

/* Decide; ends with tick_done(). */
void tick_plan(struct tick *tick, struct tick_entry *e, int64_t now_us);
/* Nothing but the number of active runs, and a change by somebody, can keep it from firing. */
bool tick_is_certain(const struct tick *tick);
void tick_done(struct tick *tick);

/* A line of the ledger: "<slot_us> <outcome> <generation> <at_us> <run id or -> <detail>"; detail
 * is "-" or JSON, in one line. */
void tick_ledger_line(struct buf *out, int64_t slot_us, enum tick_outcome outcome,
    int64_t generation, int64_t at_us, const char *run_id, const char *detail);
/* Lines for what is passed over, and for what is besides one that fires; joined by newlines. */
void tick_passed_lines(const struct tick *tick, int64_t now_us, struct buf *out);
void tick_fired_lines(const struct tick *tick, int64_t now_us, struct buf *out);
/* Ticks of one range that are counted one by one; a longer one is told as "at least". */
#define TICK_COUNT_MAX 100000
/* JSON about a range and why. */
void tick_range_detail(struct buf *out, int64_t to_us, int64_t count, const char *why);
/* "-", or JSON about a clock change. */
void tick_detail(const struct tick_entry *e, int64_t slot_us, struct buf *out);
/* The events that report the same. */
void tick_passed_events(const struct tick *tick, int64_t now_us, struct buf *out);
void tick_fired_events(const struct tick *tick, int64_t now_us, struct buf *out);

#endif
