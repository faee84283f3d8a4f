/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing recurring runs: enable, disable, delete. Enabling forgets what was missed while it was
 * disabled; what was missed while the daemon was away is caught up as no_catchup says.
 */
#include "scheduler/recurring.h"

#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "trigger/op.h"
#include "trigger/slots.h"
#include "trigger/ticker.h"
#include "trigger_scripts.h"

#define ENABLE_TRIES 5

enum set_result { SET_MUST_READ_AGAIN = -1, SET_WAS_SO, SET_CHANGED };

static void enable_read(struct recurring_op *op);

/* The ticker's own picture follows what is stored. */
static void ticker_follow(struct recurring_op *op, const json_t *record, bool changed)
{
    struct tick_shard *s = ticker_shard(op->t, op->id.text);
    struct tick_entry *e = map_get(op->t->entries, op->id.text);
    if (op->enabled) {
        s->enabled += changed ? 1 : 0;
        if (e != NULL && changed) {
            e->must_reload = e->state != TICK_STATE_READY;
        }
        shard_note(s, op->id.text, jget_i64(record, "next_us", 0));
        return;
    }
    s->enabled -= changed ? 1 : 0;
    if (e != NULL) {
        shard_drop(s, e);
    }
}

static void on_set(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    FAULT("recurring.change.after");
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = recurring_record(reply->element[0], op->id.text, &local);
    if (record == NULL) {
        recurring_op_finish(op, NULL, &local);
        return;
    }
    int64_t result = reply_int(reply->element[1], SET_WAS_SO);
    if (result == SET_MUST_READ_AGAIN) {
        if (++op->tries < ENABLE_TRIES) {
            enable_read(op);
            return;
        }
        err_set(&local, ERR_CONFLICT, "recurring run %s is being changed by others; try again",
            op->id.text);
        recurring_op_finish(op, NULL, &local);
        return;
    }
    ticker_follow(op, record, result == SET_CHANGED);
    recurring_op_finish(op, record, NULL);
}

static struct store_args *set_args(struct recurring_op *op, int64_t now_us)
{
    const char *prefix = store_id_prefix(op->t->set.store, op->id.text);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srr:%s", prefix, op->id.text);
    store_key(args, "%sdue", prefix);
    store_key(args, "%srr_counts", prefix);
    store_arg_i(args, store_id_epoch(op->t->set.store, op->id.text));
    store_arg(args, op->id.text);
    store_arg_i(args, op->enabled ? 1 : 0);
    store_arg_i(args, now_us);
    return args;
}

static void set_send(struct recurring_op *op, struct store_args *args)
{
    FAULT("recurring.change.before");
    op->call = store_eval(op->t->set.store, &script_rr_set_enabled, args, on_set, op);
}

/* Where it goes on depends on how far it has come: read, work it out, write if it still is so. */
static void enable_on_read(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = NULL;
    struct schedule *schedule = NULL;
    if (err != NULL) {
        err_copy(&local, err);
    } else {
        record = recurring_record(reply->element[0], op->id.text, &local);
        if (record == NULL && local.code == ERR_NONE) {
            err_set(&local, ERR_NOT_FOUND, "recurring run %s does not exist", op->id.text);
        }
    }
    if (record == NULL || slot_schedule(record, &schedule, &local) != 0) {
        recurring_op_finish(op, NULL, &local);
        return;
    }
    struct schedule_window window;
    slot_window(record, &window);
    struct slot_state state = {
        .last_us = jget_i64(record, "last_us", 0),
        .anchor_us = jget_i64(record, "anchor_us", 0),
        .next_us = jget_i64(record, "next_us", 0),
    };
    int64_t now_us = clock_now_us();
    slot_resume(schedule, &window, &state, now_us);
    schedule_free(schedule);
    struct store_args *args = set_args(op, now_us);
    store_arg_i(args, jget_i64(record, "index", 0));
    store_arg_i(args, state.anchor_us);
    store_arg_i(args, state.next_us);
    set_send(op, args);
}

static void enable_read(struct recurring_op *op)
{
    recurring_op_read(op, enable_on_read);
}

void recurring_set_enabled(
    struct ticker *t, const char *id, bool enabled, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    op->enabled = enabled;
    if (!recurring_op_id_ok(op, id)) {
        return;
    }
    if (enabled) {
        enable_read(op);
    } else {
        set_send(op, set_args(op, clock_now_us()));
    }
}

static void on_deleted(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    FAULT("recurring.change.after");
    if (err == NULL) {
        struct tick_shard *s = ticker_shard(op->t, op->id.text);
        struct tick_entry *e = map_get(op->t->entries, op->id.text);
        if (e != NULL) {
            shard_drop(s, e);
        }
        s->recurring_runs--;
        s->enabled -= reply_int(reply, 0);
    }
    recurring_op_finish(op, NULL, err);
}

void recurring_delete(struct ticker *t, const char *id, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    if (!recurring_op_id_ok(op, id)) {
        return;
    }
    const char *prefix = store_id_prefix(t->set.store, id);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srr:%s", prefix, id);
    store_key(args, "%srrs", prefix);
    store_key(args, "%sdue", prefix);
    store_key(args, "%srr_counts", prefix);
    store_arg_i(args, store_id_epoch(t->set.store, id));
    store_arg(args, id);
    FAULT("recurring.change.before");
    op->call = store_eval(t->set.store, &script_rr_delete, args, on_deleted, op);
}
