/* SPDX-License-Identifier: Apache-2.0 */
/* One call about recurring runs under way, and records as recurring.h promises them. */
#ifndef SCHEDULER_TRIGGER_OP_H
#define SCHEDULER_TRIGGER_OP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/loop.h"
#include "base/store.h"
#include "scheduler/recurring.h"

struct run_hatching;
struct schedule;

struct recurring_op {
    struct ticker *t;
    struct recurring_op *prev, *next;
    struct store_call *call;
    struct run_hatching *hatching;
    struct deferred deferred;
    recurring_json_fn *done;
    void *owner;
    struct id id;
    struct err err; /* of an answer that is deferred */
    int tries;
    bool asks_catalog;
    /* a change (change.c) */
    const struct change_kind *kind;
    json_t *changes;
    int64_t number; /* what was asked for */
    int enabled;    /* one more, or one less, that fires */
    int64_t passed[TICKER_OUTCOMES]; /* ticks that it passes over */
    /* read all */
    recurring_each_fn *each;
    char *experiment_id;
    json_t *records; /* the one that is fired by hand (fire.c) */
    unsigned shard;
    struct id *ids;
    size_t id_count, id_at;
};

struct recurring_op *recurring_op_new(struct ticker *t, recurring_json_fn *done, void *owner);
/* Answer; the operation is gone afterwards. */
void recurring_op_finish(struct recurring_op *op, const json_t *record, const struct err *err);
/* Answer op->err from the loop. */
void recurring_op_fail_later(struct recurring_op *op);
/* Sets op->id; false, and NOT_FOUND is on its way, when it is no id. */
bool recurring_op_id_ok(struct recurring_op *op, const char *id);
/* Without an answer: the ticker is going. */
void recurring_op_drop_all(struct ticker *t);
/* Read the record at op->id. */
void recurring_op_read(struct recurring_op *op, store_done_fn *done);

/* One change of a recurring run, as rr_swap.lua takes it. Texts are borrowed; NULL counts as "". */
struct swap {
    bool is_fenced;        /* the ticker's own doing: only while the shard is ours */
    const char *from, *to; /* progress; from "": create */
    const char *from_mark; /* the mark that was read */
    const char *doc;       /* "": as it is */
    int64_t due_us;        /* 0: not due */
    int64_t created_us;    /* to create */
    int enabled;           /* 1 one more, -1 one less */
    const char *mark;      /* "" leave it, "0" take it away */
    const char *fails;     /* "" leave it, "-" take it away, else the number */
    char *const *lines;    /* of the ledger, newest last */
    size_t line_count;
    char *const *events;
    size_t event_count;
};
void recurring_op_swap(struct recurring_op *op, const struct swap *swap, store_done_fn *done);

/* From the five fields of rr_load.lua that begin at `first`: a record; new reference. NULL without
 * err: there is none. */
json_t *recurring_record(const redisReply *reply, size_t first, const char *id, struct err *err);
/* The part that does not change by itself, from a request; new reference. */
json_t *recurring_doc_of(const struct recurring_request *req, const char *id, int64_t created_us);
/* As it is stored: without what is as in a request that asks for nothing, because a million of them
 * may be stored. recurring_record() puts that back. malloc'd. */
char *recurring_doc_text(const json_t *doc, const char *id);
/* Everything about a doc that can be wrong. *schedule is NULL for one that fires once. */
int recurring_check(const json_t *doc, struct schedule **schedule, struct err *err);

#endif
