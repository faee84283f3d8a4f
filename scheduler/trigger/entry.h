/* SPDX-License-Identifier: Apache-2.0 */
/* A recurring run in memory: what firing it takes, ready to be written; and the heap of those. */
#ifndef SCHEDULER_TRIGGER_ENTRY_H
#define SCHEDULER_TRIGGER_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <hiredis/hiredis.h>

#include "base/id.h"
#include "scheduler/schedule.h"
#include "trigger/policy.h"
#include "trigger/progress.h"
#include "trigger/slots.h"

struct buf;
struct err;
struct schedule_cache;
struct tick_heap;
struct shared_schedule;

enum tick_state {
    TICK_STATE_READY,     /* in a heap */
    TICK_STATE_RESOLVING, /* which version is the latest? */
    TICK_STATE_CLAIMING,
};

struct tick_entry {
    struct id id;
    enum tick_state state;
    bool must_reload;  /* changed while it was busy */
    bool must_drop;    /* deleted or disabled while it was busy */
    bool wants_policy; /* a claim has found that it may not fire: ask with what then */
    bool is_marked;    /* the first of those that wait has no place yet */
    bool no_catchup;
    struct policy policy;
    int64_t fails;     /* runs in a row that failed, when it was read */
    int64_t offset_us; /* it fires so long after its slots */
    uint32_t tries;    /* failures in a row */
    struct tick_heap *heap; /* the one it is in */
    size_t heap_at;
    int64_t not_ahead_us; /* what is due then is not claimed before; 0 nothing */
    int64_t ready_us;     /* heap order: due, or later when it has just had its turn or failed */
    int64_t start_us, end_us, created_us;
    struct progress progress;
    char *progress_text; /* as it is stored */
    struct shared_schedule *schedule;
    /* Prepared JSON: the name without quotes; members of a run's doc that never change; members
     * of the event's data that never change. In one allocation, held by `name`. */
    char *name;
    const char *doc, *data, *experiment_id;
    size_t doc_len;
    /* Follow-latest only. */
    const char *pipeline_id; /* NULL: pinned */
    char *latest;            /* members spec and version_id, once looked up */
};

/*
 * From one element of rr_load.lua's reply. NULL without an err: nothing to do (disabled for good,
 * waiting for the end of a run, over); NULL with an err: its record cannot be used.
 */
struct tick_entry *tick_entry_new(
    struct schedule_cache *cache, const char *id, const redisReply *fields, struct err *err);
void tick_entry_free(struct tick_entry *e);
struct schedule_window tick_entry_window(const struct tick_entry *e);
const struct schedule *tick_entry_schedule(const struct tick_entry *e);
struct slot_state tick_entry_slots(const struct tick_entry *e);
/* When there is something to do: its next slot, one that waits, or the end of a pause; 0 never. */
int64_t tick_entry_due_us(const struct tick_entry *e);
/* It has come so far: p is taken over, text too. */
void tick_entry_advance(struct tick_entry *e, struct progress *p, char *text);
/* The doc of the run, and the event, of one firing. */
void tick_entry_run_doc(const struct tick_entry *e, int64_t index, struct buf *out);
/* The run to be, as claims write it (scheduler/run.h). */
void tick_entry_born(const struct tick_entry *e, int64_t index, int64_t slot_us, int64_t now_us,
    const char *detail, struct buf *out);
/* Append `,"pipeline_id":"..."`, which events tell besides e->data; nothing for a pipeline that is not stored. */
void tick_entry_add_pipeline(const struct tick_entry *e, struct buf *out);
void tick_entry_event(const struct tick_entry *e, const char *run_id, int64_t index,
    int64_t slot_us, int64_t now_us, struct buf *out);

/* ---- heap by ready_us ---- */

struct tick_heap {
    struct tick_entry **items;
    size_t count, cap;
};
void tick_heap_done(struct tick_heap *heap);
void tick_heap_add(struct tick_heap *heap, struct tick_entry *e);
void tick_heap_remove(struct tick_heap *heap, struct tick_entry *e);
struct tick_entry *tick_heap_top(const struct tick_heap *heap); /* NULL: empty */

#endif
