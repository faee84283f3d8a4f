/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firing because somebody asks for it, outside of the schedule. The run's id is derived from the
 * request's, so that asking again gives the same run; whether there is a place for it and that it
 * takes it is one script (fire.lua).
 */
#include "scheduler/recurring.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/run.h"
#include "trigger/op.h"
#include "trigger/policy.h"
#include "trigger/progress.h"
#include "trigger/ticker.h"
#include "trigger_scripts.h"

#define REQUEST_MAX 128
#define TEXT_MAX ((size_t)64 << 20)

enum fire_result { FIRED = 1, WAS_THERE, FULL };

static const char *const overlaps[] = {"allow", "skip", "cancel_other", "terminate_other", NULL};

/* What is kept of the call while it is under way, in op->changes. */
static const char *asked(const struct recurring_op *op, const char *key)
{
    return jget_str(op->changes, key, "");
}

static bool is_request_ok(const char *request_id)
{
    size_t len = strlen(request_id);
    return len <= REQUEST_MAX &&
           strspn(request_id,
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") == len;
}

static void fire_answer(struct recurring_op *op)
{
    json_t *out CLEANUP(json_decrefp) = json_pack("{s:s}", "run_id", asked(op, "run_id"));
    recurring_op_finish(op, out, NULL);
}

static void fire_on_hatched(void *owner, const struct id *ids UNUSED, size_t count UNUSED,
    int64_t left UNUSED, const struct err *err UNUSED)
{
    struct recurring_op *op = owner;
    op->hatching = NULL;
    /* The run exists; if Redis has gone away just now, the shard's next look finds it. */
    if (op->t->set.engine != NULL) {
        engine_wake(op->t->set.engine, asked(op, "run_id"));
    }
    fire_answer(op);
}

static void fire_on_reply(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    struct ticker *t = op->t;
    op->call = NULL;
    FAULT("recurring.fire.after");
    struct err local = ERR_INIT;
    if (err == NULL && (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)) {
        err = &local;
        err_set(&local, ERR_INTERNAL, "fire.lua answered in an unknown shape");
    } else if (err == NULL && reply_int(reply->element[0], 0) == FULL) {
        err = &local;
        err_set(&local, ERR_PRECONDITION,
            "overlap: %" PRId64 " runs are active, and max_concurrency allows %" PRId64
            "; wait for one to end, or give \"allow\", \"cancel_other\" or \"terminate_other\"",
            reply_int(reply->element[1], 0), op->number);
    }
    unsigned shard = id_shard(op->id.text, t->shard_count);
    if (err != NULL) {
        /* If it was done all the same nobody has told of its run. */
        t->shards[shard].hatch_wanted |= t->shards[shard].is_ours && err_is_transient(err);
        ticker_poke(t);
        recurring_op_finish(op, NULL, err);
        return;
    }
    bool is_fired = reply_int(reply->element[0], 0) == FIRED;
    if (is_fired) {
        shard_load(&t->shards[shard], op->id.text); /* its next tick may have been taken back */
    }
    bool at_once = str_eq(asked(op, "overlap"), "terminate_other");
    if (is_fired && (at_once || str_eq(asked(op, "overlap"), "cancel_other"))) {
        others_cancel(t, &op->id, op->number, at_once, asked(op, "run_id"));
    }
    if (t->on_events != NULL) {
        t->on_events(t->on_events_owner, shard);
    }
    /* Also of one that was there: whoever fired it may have got no further. */
    struct id run_id = {{0}};
    memcpy(run_id.text, asked(op, "run_id"), ID_LEN);
    op->hatching = run_hatch(
        t->set.store, shard, &run_id, 1, 0, t->set.history_max_ticks, fire_on_hatched, op);
}

/* The run as `born` has it. */
static void add_born(const struct recurring_op *op, const json_t *version, const char *name,
    int64_t now_us, struct buf *out)
{
    const json_t *record = op->records;
    const json_t *source = version != NULL ? version : record;
    json_t *trigger CLEANUP(json_decrefp) =
        json_pack("{s:s,s:s}", "kind", "manual", "request_id", asked(op, "request_id"));
    const struct run_request request = {
        .id = asked(op, "run_id"),
        .name = name,
        .experiment_id = jget_str(record, "experiment_id", ""),
        .spec = jget_str(source, "spec", ""),
        .pipeline_name = jget_str(record, "pipeline_name", ""),
        .pipeline_id = jget_str(record, "pipeline_id", ""),
        .version_id = jget_str(source, version != NULL ? "id" : "version_id", ""),
        .parameters = json_object_get(record, "parameters"),
        .artifacts = json_object_get(record, "artifacts"),
        .pipeline_root = jget_str(record, "pipeline_root", ""),
        .service_account = jget_str(record, "service_account", ""),
        .pool = jget_str(record, "pool", ""),
        .priority = jget_i64(record, "priority", 0),
        .trigger = trigger,
    };
    json_t *doc CLEANUP(json_decrefp) = run_doc(&request);
    char *text CLEANUP(cleanup_free) = jtext(doc);
    run_born_head(out, now_us, now_us, jget_i64(record, "generation", 1), op->id.text,
        request.experiment_id, "{\"manual\":true}");
    buf_adds(out, text);
}

static void add_event(
    const struct recurring_op *op, const char *name, int64_t now_us, struct buf *out)
{
    const json_t *record = op->records;
    struct buf recurring_run, bare;
    buf_init(&recurring_run, TEXT_MAX);
    buf_init(&bare, TEXT_MAX);
    run_add_recurring(&recurring_run, op->id.text, jget_str(record, "name", ""),
        jget_str(record, "experiment_id", ""), jget_str(record, "pipeline_name", ""));
    jadd_bare(&bare, name);
    const struct run_fired fired = {
        .recurring_run = buf_str(&recurring_run),
        .pipeline_id = jget_str(record, "pipeline_id", ""),
        .run_id = asked(op, "run_id"),
        .name = buf_str(&bare),
        .name_end = "",
        .scheduled_us = now_us,
        .at_us = now_us,
        .request_id = asked(op, "request_id"),
    };
    run_fired_event(&fired, out);
    buf_done(&recurring_run);
    buf_done(&bare);
}

/* version: the newest one, when it follows that. */
static void fire_send(struct recurring_op *op, const json_t *version)
{
    struct store *store = op->t->set.store;
    const char *prefix = store_id_prefix(store, op->id.text);
    int64_t now_us = ticker_now_us(op->t);
    op->number = jget_i64(op->records, "max_concurrency", 1);
    char *name CLEANUP(cleanup_free) =
        xasprintf("%s-manual-%.8s", jget_str(op->records, "name", ""), asked(op, "run_id"));
    struct buf born, event;
    buf_init(&born, TEXT_MAX);
    buf_init(&event, TEXT_MAX);
    add_born(op, version, name, now_us, &born);
    add_event(op, name, now_us, &event);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%sprogress", prefix);
    store_key(args, "%sborn", prefix);
    store_key(args, "%srun:%s", prefix, asked(op, "run_id"));
    store_key(args, "%sevents", prefix);
    store_arg_i(args, store_id_epoch(store, op->id.text));
    store_arg(args, op->id.text);
    store_arg_i(args, str_eq(asked(op, "overlap"), "skip") ? op->number : 0);
    store_arg(args, asked(op, "run_id"));
    store_arg_b(args, buf_str(&born), born.len);
    store_arg_b(args, buf_str(&event), event.len);
    store_arg_i(args, clock_shift_us());
    buf_done(&born);
    buf_done(&event);
    FAULT("recurring.fire.before");
    op->call = store_eval(store, &script_fire, args, fire_on_reply, op);
}

static void fire_on_version(void *owner, const json_t *version, const struct err *err)
{
    struct recurring_op *op = owner;
    op->asks_catalog = false;
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    fire_send(op, version);
}

static void fire_on_read(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    if (err == NULL) {
        op->records = recurring_record(reply->element[0], 0, op->id.text, &local);
        if (op->records == NULL && local.code == ERR_NONE) {
            err_set(&local, ERR_NOT_FOUND, "recurring run %s does not exist", op->id.text);
        }
        err = op->records == NULL ? &local : NULL;
    }
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
    } else if (jget_str(op->records, "spec", "")[0] != '\0') {
        fire_send(op, NULL);
    } else {
        op->asks_catalog = true;
        version_latest(
            op->t->set.catalog, jget_str(op->records, "pipeline_id", ""), fire_on_version, op);
    }
}

void recurring_fire(struct ticker *t, const char *id, const char *request_id, const char *overlap,
    recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    struct id fresh, run_id;
    if (!recurring_op_id_ok(op, id)) {
        return;
    }
    if (overlap == NULL || overlap[0] == '\0') {
        overlap = "allow";
    }
    if (request_id == NULL || request_id[0] == '\0') {
        id_new(&fresh);
        request_id = fresh.text;
    }
    if (!is_one_of(overlap, overlaps)) {
        err_set(&op->err, ERR_INVALID,
            "overlap: it is '%.40s', allowed are allow, skip, cancel_other, terminate_other",
            overlap);
    } else if (!is_request_ok(request_id)) {
        err_set(&op->err, ERR_INVALID,
            "request_id: 1 to %d letters, digits and . _ : - are allowed", REQUEST_MAX);
    }
    if (op->err.code != ERR_NONE) {
        recurring_op_fail_later(op);
        return;
    }
    char *name CLEANUP(cleanup_free) = xasprintf("manual/%s", request_id);
    id_derive(&run_id, op->id.text, name);
    op->changes = json_pack(
        "{s:s,s:s,s:s}", "request_id", request_id, "overlap", overlap, "run_id", run_id.text);
    recurring_op_read(op, fire_on_read);
}
