/* SPDX-License-Identifier: Apache-2.0 */
/* Calls about recurring runs: their life; their records. */
#include "trigger/op.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/run.h"
#include "trigger/policy.h"
#include "trigger/progress.h"
#include "trigger/ticker.h"
#include "trigger_scripts.h"

#define RECORD_VERSION 2

struct recurring_op *recurring_op_new(struct ticker *t, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = xcalloc(1, sizeof(*op));
    op->t = t;
    op->done = done;
    op->owner = owner;
    op->next = t->ops;
    if (t->ops != NULL) {
        t->ops->prev = op;
    }
    t->ops = op;
    return op;
}

static void op_free(struct recurring_op *op)
{
    *(op->prev != NULL ? &op->prev->next : &op->t->ops) = op->next;
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
    free(op->experiment_id);
    json_decref(op->changes);
    free(op->ids);
    json_decref(op->records);
    free(op);
}

void recurring_op_finish(struct recurring_op *op, const json_t *record, const struct err *err)
{
    recurring_json_fn *done = op->done;
    void *owner = op->owner;
    json_t *kept = json_incref((json_t *)record);
    struct err copy = ERR_INIT;
    if (err != NULL) {
        err_copy(&copy, err);
    }
    op_free(op);
    if (done != NULL) {
        done(owner, err == NULL ? kept : NULL, err == NULL ? NULL : &copy);
    }
    json_decref(kept);
}

static void op_fail_now(void *owner)
{
    struct recurring_op *op = owner;
    recurring_op_finish(op, NULL, &op->err);
}

void recurring_op_fail_later(struct recurring_op *op)
{
    loop_defer(op->t->set.loop, &op->deferred, op_fail_now, op);
}

bool recurring_op_id_ok(struct recurring_op *op, const char *id)
{
    if (id != NULL && id_is_valid(id)) {
        memcpy(op->id.text, id, ID_LEN);
        return true;
    }
    err_set(&op->err, ERR_NOT_FOUND,
        "recurring run '%.80s' does not exist: ids are UUIDs in lower case", id == NULL ? "" : id);
    recurring_op_fail_later(op);
    return false;
}

void recurring_op_drop_all(struct ticker *t)
{
    while (t->ops != NULL) {
        struct recurring_op *op = t->ops;
        store_cancel(op->call);
        run_hatch_cancel(op->hatching);
        if (op->asks_catalog) {
            catalog_cancel(t->set.catalog, op);
        }
        loop_defer_cancel(t->set.loop, &op->deferred);
        op_free(op);
    }
}

void recurring_op_read(struct recurring_op *op, store_done_fn *done)
{
    const char *prefix = store_id_prefix(op->t->set.store, op->id.text);
    struct store_args *args = store_args_new();
    store_key(args, "%sprogress", prefix);
    store_key(args, "%srr:%s", prefix, op->id.text);
    store_arg(args, "0");
    store_arg_i(args, clock_shift_us());
    store_arg(args, op->id.text);
    op->call = store_eval(op->t->set.store, &script_rr_load, args, done, op);
}

void recurring_op_swap(struct recurring_op *op, const struct swap *swap, store_done_fn *done)
{
    struct store *store = op->t->set.store;
    const char *prefix = store_id_prefix(store, op->id.text);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srr:%s", prefix, op->id.text);
    store_key(args, "%sprogress", prefix);
    store_key(args, "%sdue", prefix);
    store_key(args, "%srrs", prefix);
    store_key(args, "%srr_counts", prefix);
    store_key(args, "%sevents", prefix);
    store_key(args, "%srr:%s:ticks", prefix, op->id.text);
    char epoch[32];
    snprintf(epoch, sizeof epoch, "%s%lld", swap->is_fenced ? "!" : "",
        (long long)store_id_epoch(store, op->id.text));
    store_arg(args, epoch);
    store_arg(args, op->id.text);
    store_arg(args, swap->from);
    store_arg(args, swap->to);
    store_arg(args, swap->doc);
    store_arg_i(args, swap->due_us);
    store_arg_i(args, swap->created_us);
    store_arg_i(args, swap->enabled);
    store_arg(args, swap->mark);
    store_arg(args, swap->fails);
    store_arg(args, swap->from_mark);
    store_arg_i(args, op->t->set.history_max_ticks);
    store_arg_i(args, clock_shift_us());
    store_arg_i(args, (int64_t)swap->line_count);
    for (size_t i = 0; i < swap->line_count; i++) {
        store_arg(args, swap->lines[i]);
    }
    for (size_t i = 0; i < swap->event_count; i++) {
        store_arg(args, swap->events[i]);
    }
    op->call = store_eval(store, &script_rr_swap, args, done, op);
}

/* ---- records ---- */

static void set_text(json_t *doc, const char *key, const char *value)
{
    json_object_set_new(doc, key, json_string(value == NULL ? "" : value));
}

/* The part that never changes. */
static json_t *recurring_doc(
    const struct recurring_request *req, const char *id, int64_t created_us)
{
    json_t *doc = json_object();
    set_text(doc, "id", id);
    set_text(doc, "name", req->name);
    set_text(doc, "description", req->description);
    set_text(doc, "experiment_id", req->experiment_id);
    set_text(doc, "spec", req->spec);
    set_text(doc, "pipeline_name", req->pipeline_name);
    set_text(doc, "pipeline_id", req->pipeline_id);
    set_text(doc, "version_id", req->version_id);
    json_object_set_new(doc, "parameters",
        json_is_object(req->parameters) ? json_deep_copy(req->parameters) : json_object());
    json_object_set_new(doc, "artifacts",
        json_is_object(req->artifacts) ? json_deep_copy(req->artifacts) : json_object());
    set_text(doc, "pipeline_root", req->pipeline_root);
    set_text(doc, "service_account", req->service_account);
    set_text(doc, "cron", req->cron);
    set_text(doc, "time_zone", req->time_zone);
    json_object_set_new(doc, "interval_s", json_integer(req->interval_s));
    json_object_set_new(doc, "start_us", json_integer(req->start_us));
    json_object_set_new(doc, "end_us", json_integer(req->end_us));
    json_object_set_new(doc, "max_concurrency", json_integer(req->max_concurrency));
    json_object_set_new(doc, "no_catchup", json_boolean(req->no_catchup));
    json_object_set_new(doc, "created_us", json_integer(created_us));
    if (req->more != NULL) {
        json_object_update(doc, (json_t *)req->more);
    }
    return doc;
}

/* The record of one that asks for nothing. */
static const struct recurring_request plain = {.max_concurrency = 1};

json_t *recurring_doc_of(const struct recurring_request *req, const char *id, int64_t created_us)
{
    return recurring_doc(req, id, created_us);
}

char *recurring_doc_text(const json_t *full, const char *id)
{
    json_t *doc CLEANUP(json_decrefp) = json_deep_copy(full);
    json_t *defaults CLEANUP(json_decrefp) = recurring_doc(&plain, id, 0);
    const char *key;
    json_t *value;
    json_object_foreach(defaults, key, value)
    {
        if (json_equal(json_object_get(doc, key), value)) {
            json_object_del(doc, key);
        }
    }
    json_object_del(doc, "id"); /* its key has it */
    json_object_set_new(doc, "v", json_integer(RECORD_VERSION));
    return jtext(doc);
}

enum field { DOC, PROGRESS, ACTIVE, WAITING, FAILS, FIELD_COUNT };

json_t *recurring_record(const redisReply *reply, size_t first, const char *id, struct err *err)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != first + FIELD_COUNT) {
        err_set(err, ERR_INTERNAL, "recurring run %s: Redis answered in an unknown shape", id);
        return NULL;
    }
    redisReply **fields = reply->element + first;
    const char *text = reply_str(fields[DOC]), *progress = reply_str(fields[PROGRESS]);
    if (text == NULL || progress == NULL) {
        return NULL; /* gone */
    }
    json_t *record CLEANUP(json_decrefp) = jread_text(text, fields[DOC]->len, "recurring run", err);
    struct progress p;
    if (record == NULL || progress_parse(progress, fields[PROGRESS]->len, &p, err) != 0) {
        err->code = ERR_INTERNAL;
        err_wrap(err, "recurring run %s", id);
        return NULL;
    }
    int64_t version = jget_i64(record, "v", RECORD_VERSION);
    if (version != RECORD_VERSION) {
        progress_done(&p);
        err_set(err, ERR_INTERNAL,
            "recurring run %s: its record has version %lld, this program reads version %d; use "
            "the program that wrote it",
            id, (long long)version, RECORD_VERSION);
        return NULL;
    }
    json_t *defaults CLEANUP(json_decrefp) = recurring_doc(&plain, id, 0);
    json_object_update_missing(record, defaults);
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"generation", p.generation},
        {"index", p.index},
        {"last_us", p.last_us},
        {"anchor_us", p.anchor_us},
        {"next_us", p.next_us},
        {"updated_us", p.updated_us},
        {"active", reply_int(fields[ACTIVE], 0)},
        {"failures", reply_int(fields[FAILS], 0)},
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        json_object_set_new(record, numbers[i].key, json_integer(numbers[i].value));
    }
    static const char *const rare[] = {"waits", "skip", "pause"};
    for (size_t i = 0; i < ARRAY_LEN(rare); i++) {
        json_t *value = (json_t *)progress_more(&p, rare[i]);
        if (value != NULL) {
            json_object_set(record, rare[i], value);
        }
    }
    set_text(record, "error", progress_error(&p));
    set_text(record, "progress", progress);
    set_text(record, "mark", reply_str(fields[WAITING]));
    json_object_set_new(record, "v", json_integer(RECORD_VERSION));
    json_object_set_new(record, "enabled", json_boolean(p.enabled));
    json_object_set_new(record, "waiting", json_boolean(reply_str(fields[WAITING]) != NULL));
    progress_done(&p);
    return STEAL(record);
}
