/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one at a time: create, read, archive, ask to end, delete. Lists are in run_list.c. What
 * the engine does to a run is saved by save.c.
 */
#include "scheduler/run.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/json.h"
#include "base/store.h"
#include "run/record.h"
#include "run_scripts.h"

/* One call under way. */
struct run_op {
    struct store *store;
    char id[ID_LEN + 1];
    bool with_tasks;
    run_json_fn *done;
    void *owner;
};

static struct run_op *run_op_new(
    struct store *store, const char *id, run_json_fn *done, void *owner)
{
    struct run_op *op = xcalloc(1, sizeof(*op));
    op->store = store;
    memcpy(op->id, id, ID_LEN);
    op->done = done;
    op->owner = owner;
    return op;
}

/* Ends the operation. */
static void run_op_finish(struct run_op *op, const json_t *record, const struct err *err)
{
    run_json_fn *done = op->done;
    void *owner = op->owner;
    free(op);
    if (done != NULL) {
        done(owner, record, err);
    }
}

/* For scripts that answer with the run's hash. */
static void run_op_on_hash(void *owner, redisReply *reply, const struct err *err)
{
    struct run_op *op = owner;
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) =
        err != NULL ? NULL : record_from_reply(reply, op->id, &local);
    run_op_finish(op, record, err != NULL ? err : record == NULL ? &local : NULL);
}

/* Ids that are not valid have no shard: answer from the loop that there is no such run. */
static void run_op_on_bad_id(void *owner, redisReply *reply UNUSED, const struct err *err UNUSED)
{
    struct err local = ERR_INIT;
    err_set(&local, ERR_NOT_FOUND, "this is not the id of a run; ids are UUIDs in lower case");
    run_op_finish(owner, NULL, &local);
}

static bool run_op_id_ok(struct store *store, const char *id, run_json_fn *done, void *owner)
{
    if (id != NULL && id_is_valid(id)) {
        return true;
    }
    struct run_op *op = xcalloc(1, sizeof(*op));
    op->done = done;
    op->owner = owner;
    store_cmd(store, run_op_on_bad_id, op, "PING");
    return false;
}

static void set_object(json_t *doc, const char *key, const json_t *value)
{
    if (json_object_size(value) > 0) {
        json_object_set_new(doc, key, json_deep_copy(value));
    }
}

/* What is empty is left out: record_from_reply() gives it back. */
json_t *run_doc(const struct run_request *req)
{
    json_t *doc = json_object();
    jset_str(doc, "name", req->name);
    jset_str(doc, "description", req->description);
    jset_str(doc, "experiment_id", req->experiment_id);
    jset_str(doc, "spec", req->spec);
    jset_str(doc, "pipeline_name", req->pipeline_name);
    jset_str(doc, "pipeline_id", req->pipeline_id);
    jset_str(doc, "version_id", req->version_id);
    set_object(doc, "parameters", req->parameters);
    set_object(doc, "artifacts", req->artifacts);
    jset_str(doc, "pipeline_root", req->pipeline_root);
    jset_str(doc, "service_account", req->service_account);
    jset_str(doc, "pool", req->pool);
    if (req->priority != 0) {
        json_object_set_new(doc, "priority", json_integer(req->priority));
    }
    set_object(doc, "trigger", req->trigger);
    return doc;
}

static void run_on_created(void *owner, redisReply *reply, const struct err *err)
{
    FAULT("run.create.after");
    run_op_on_hash(owner, reply, err);
}

char *run_created_event(const struct run_request *req, int64_t scheduled_us, int64_t now_us)
{
    json_t *doc CLEANUP(json_decrefp) = run_doc(req);
    const json_t *trigger = json_object_get(doc, "trigger");
    json_t *data = json_pack("{s:I,s:o}", "scheduled_us", (json_int_t)scheduled_us, "trigger",
        trigger == NULL ? json_object() : json_deep_copy(trigger));
    json_object_set_new(doc, "id", json_string(req->id));
    return record_event(doc, "run.created", "run.created", now_us, data);
}

void run_create(struct store *store, const struct run_request *req, run_json_fn *done, void *owner)
{
    struct run_request full = *req;
    struct id fresh;
    if (full.id == NULL) {
        id_new(&fresh);
        full.id = fresh.text;
    }
    if (!run_op_id_ok(store, full.id, done, owner)) {
        return;
    }
    int64_t now_us = clock_now_us();
    json_t *doc CLEANUP(json_decrefp) = run_doc(&full);
    char *text CLEANUP(cleanup_free) = jtext(doc);
    char *entry CLEANUP(cleanup_free) = record_history_entry(now_us, RUN_STATE_PENDING, NULL);
    char *history CLEANUP(cleanup_free) = xasprintf("[%s]", entry);
    int64_t scheduled_us = full.scheduled_us > 0 ? full.scheduled_us : now_us;
    char *event CLEANUP(cleanup_free) = run_created_event(&full, scheduled_us, now_us);
    const char *prefix = store_id_prefix(store, full.id);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srun:%s", prefix, full.id);
    store_key(args, "%sruns", prefix);
    store_key(args, "%slive", prefix);
    store_key(args, "%sexperiment:%s:runs", prefix, full.experiment_id);
    store_key(args, "%sevents", prefix);
    store_arg_i(args, store_id_epoch(store, full.id));
    store_arg(args, full.id);
    store_arg(args, text);
    store_arg_i(args, now_us);
    store_arg_i(args, scheduled_us);
    store_arg(args, history);
    store_arg(args, event);
    FAULT("run.create.before");
    store_eval(
        store, &script_run_create, args, run_on_created, run_op_new(store, full.id, done, owner));
}

static void run_on_got(void *owner, redisReply *reply, const struct err *err)
{
    struct run_op *op = owner;
    if (err != NULL) {
        run_op_finish(op, NULL, err);
        return;
    }
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = record_answer(reply, op->id, op->with_tasks, &local);
    run_op_finish(op, record, record == NULL ? &local : NULL);
}

void run_get(struct store *store, const char *id, bool with_tasks, run_json_fn *done, void *owner)
{
    if (!run_op_id_ok(store, id, done, owner)) {
        return;
    }
    struct run_op *op = run_op_new(store, id, done, owner);
    op->with_tasks = with_tasks;
    record_ask(store, id, with_tasks, run_on_got, op);
}

/* ---- stamps ---- */

static const char *const stamp_fields[] = {"rev", "state", "storage", "created_us"};

/* Reading a stamp. */
struct run_stamping {
    struct store *store;
    struct id id;
    stamp_done_fn *done;
    void *owner;
};

static void stamping_finish(
    struct run_stamping *s, const struct stamp *stamp, const struct err *err)
{
    s->done(s->owner, stamp, err);
    free(s);
}

static void stamping_on_record(void *owner, const json_t *record, const struct err *err)
{
    struct stamp stamp;
    if (record != NULL) {
        run_stamp_of(record, &stamp);
    }
    stamping_finish(owner, record != NULL ? &stamp : NULL, err);
}

static void stamping_on_fields(void *owner, const struct stamp *stamp, const struct err *err)
{
    struct run_stamping *s = owner;
    if (err != NULL && err->code == ERR_NOT_FOUND) {
        run_get(s->store, s->id.text, false, stamping_on_record, s); /* just born, perhaps */
    } else {
        stamping_finish(s, stamp, err);
    }
}

void run_stamp(struct store *store, const char *id, stamp_done_fn *done, void *owner)
{
    struct run_stamping *s = xcalloc(1, sizeof(*s));
    *s = (struct run_stamping){.store = store, .done = done, .owner = owner};
    memcpy(s->id.text, id, ID_LEN);
    char *key CLEANUP(cleanup_free) = xasprintf("%srun:%s", store_id_prefix(store, id), id);
    stamp_read(store, key, stamp_fields, ARRAY_LEN(stamp_fields), stamping_on_fields, s);
}

/* In the order of stamp_fields. */
void run_stamp_of(const json_t *record, struct stamp *out)
{
    *out = (struct stamp){.len = 0};
    stamp_add_i(out, jget_i64(record, "rev", 0));
    stamp_add(out, jget_str(record, "state", ""));
    stamp_add(out, jget_str(record, "storage", ""));
    stamp_add_i(out, jget_i64(record, "created_us", 0));
}

void run_set_storage(
    struct store *store, const char *id, const char *storage, run_json_fn *done, void *owner)
{
    if (!run_op_id_ok(store, id, done, owner)) {
        return;
    }
    const char *prefix = store_id_prefix(store, id);
    struct store_args *args = store_args_new();
    store_key(args, "%srun:%s", prefix, id);
    store_arg(args, id);
    store_arg(args, storage);
    store_arg(args, prefix);
    store_eval(
        store, &script_run_set_storage, args, run_op_on_hash, run_op_new(store, id, done, owner));
}

static void run_on_cancel_saved(void *owner, redisReply *reply, const struct err *err)
{
    FAULT("run.cancel.after");
    run_op_on_hash(owner, reply, err);
}

/* The event names the run's experiment and so on, which never change: read first, then write. */
static void run_cancel_with(void *owner, const json_t *record, const struct err *err)
{
    struct run_op *op = owner;
    if (err != NULL) {
        run_op_finish(op, NULL, err);
        return;
    }
    int64_t now_us = clock_now_us();
    char *entry CLEANUP(cleanup_free) = record_history_entry(now_us, RUN_STATE_CANCELING, NULL);
    char *event CLEANUP(cleanup_free) =
        record_event(record, "run.canceling", "run.canceling", now_us, json_object());
    const char *prefix = store_id_prefix(op->store, op->id);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srun:%s", prefix, op->id);
    store_key(args, "%sevents", prefix);
    store_arg_i(args, store_id_epoch(op->store, op->id));
    store_arg(args, op->id);
    store_arg(args, entry);
    store_arg(args, event);
    struct id request;
    id_new(&request);
    store_arg(args, request.text);
    FAULT("run.cancel.before");
    store_eval(op->store, &script_run_cancel, args, run_on_cancel_saved, op);
}

void run_cancel(struct store *store, const char *id, run_json_fn *done, void *owner)
{
    if (run_op_id_ok(store, id, done, owner)) {
        run_get(store, id, false, run_cancel_with, run_op_new(store, id, done, owner));
    }
}

static void run_on_deleted(void *owner, redisReply *reply UNUSED, const struct err *err)
{
    run_op_finish(owner, NULL, err);
}

/* Its indexes are named in its record, which never changes: read first, then delete. */
static void run_delete_with(void *owner, const json_t *record, const struct err *err)
{
    struct run_op *op = owner;
    if (err != NULL) {
        run_op_finish(op, NULL, err);
        return;
    }
    const char *prefix = store_id_prefix(op->store, op->id);
    const char *rr = jget_str(record, "recurring_run_id", "");
    struct store_args *args = store_args_new();
    store_key(args, "%srun:%s", prefix, op->id);
    store_key(args, "%srun:%s:tasks", prefix, op->id);
    store_key(args, "%sruns", prefix);
    store_key(args, "%sfinished", prefix);
    store_key(args, "%slive", prefix);
    store_key(args, "%sexpiry", prefix);
    store_key(args, "%sexperiment:%s:runs", prefix, jget_str(record, "experiment_id", ""));
    if (rr[0] != '\0') {
        store_key(args, "%srr:%s:runs", prefix, rr);
    }
    store_arg(args, op->id);
    store_eval(op->store, &script_run_delete, args, run_on_deleted, op);
}

void run_delete(struct store *store, const char *id, run_json_fn *done, void *owner)
{
    if (run_op_id_ok(store, id, done, owner)) {
        run_get(store, id, false, run_delete_with, run_op_new(store, id, done, owner));
    }
}
