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

struct recurring_op {
    struct ticker *t;
    struct recurring_op *prev, *next;
    struct store_call *call;
    struct deferred deferred;
    recurring_json_fn *done;
    void *owner;
    struct id id;
    struct err err; /* of an answer that is deferred */
    bool enabled;   /* wanted */
    int tries;
    /* read all */
    char *experiment_id;
    json_t *records;
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

/* From its flat hash: a record; new reference. NULL without err: there is none. */
json_t *recurring_record(const redisReply *hash, const char *id, struct err *err);
/* The part that never changes as it is stored, from a request that was checked: without what is as
 * in a request that asks for nothing, because a million of them may be stored. recurring_record()
 * puts that back. */
char *recurring_doc_text(const struct recurring_request *req, const char *id, int64_t created_us);

#endif
