/* SPDX-License-Identifier: Apache-2.0 */
/* Recurring runs: create, read, list, preview. Changing them: change.c. */
#include "scheduler/recurring.h"

#include <inttypes.h>
#include <stdlib.h>
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

#define MAX_CONCURRENCY_MAX 10
#define INTERVAL_MAX_S (INT64_C(100) * 366 * 86400)
#define READ_BATCH 500

static bool is_set(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static int check_text(const char *text, const char *what, struct err *err)
{
    json_t *value = json_string(text == NULL ? "" : text);
    if (value == NULL) {
        return err_set(err, ERR_INVALID, "%s: it is not valid UTF-8", what);
    }
    json_decref(value);
    return 0;
}

static int request_check_texts(const struct recurring_request *req, struct err *err)
{
    if (!is_set(req->name)) {
        return err_set(err, ERR_INVALID, "display_name: a recurring run needs a name");
    }
    const struct {
        const char *what, *text;
    } texts[] = {
        {"display_name", req->name},
        {"description", req->description},
        {"pipeline_root", req->pipeline_root},
        {"service_account", req->service_account},
        {"pipeline name", req->pipeline_name},
        {"cron", req->cron},
        {"time_zone", req->time_zone},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (check_text(texts[i].text, texts[i].what, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* *out is NULL for one that fires once. */
static int request_check(
    const struct recurring_request *req, struct schedule **out, struct err *err)
{
    *out = NULL;
    if (request_check_texts(req, err) != 0) {
        return -1;
    }
    if (!is_set(req->experiment_id) || !id_is_valid(req->experiment_id)) {
        return err_set(err, ERR_INVALID, "experiment_id: a recurring run belongs to an experiment");
    }
    if (!is_set(req->spec) && !is_set(req->pipeline_id)) {
        return err_set(err, ERR_INVALID,
            "a recurring run needs a pipeline: give pipeline_spec or pipeline_version_reference");
    }
    if (req->max_concurrency < 1 || req->max_concurrency > MAX_CONCURRENCY_MAX) {
        return err_set(err, ERR_INVALID, "max_concurrency: it is %" PRId64 ", allowed are 1 to %d",
            req->max_concurrency, MAX_CONCURRENCY_MAX);
    }
    if (is_set(req->cron) && req->interval_s != 0) {
        return err_set(
            err, ERR_INVALID, "trigger: give a cron expression or an interval, not both");
    }
    if (req->interval_s < 0 || req->interval_s > INTERVAL_MAX_S) {
        return err_set(err, ERR_INVALID,
            "trigger.periodic_schedule.interval_second: it is %" PRId64
            ", allowed are 1 to %" PRId64,
            req->interval_s, INTERVAL_MAX_S);
    }
    if (req->start_us < 0 || req->end_us < 0) {
        return err_set(err, ERR_INVALID, "trigger: start_time and end_time must be after 1970");
    }
    if (req->start_us != 0 && req->end_us != 0 && req->end_us < req->start_us) {
        return err_set(err, ERR_INVALID, "trigger: its end_time is before its start_time");
    }
    if (is_set(req->cron)) {
        *out = schedule_parse_cron(req->cron, is_set(req->time_zone) ? req->time_zone : NULL, err);
    } else if (req->interval_s > 0) {
        *out = schedule_new_interval(req->interval_s, err);
    } else {
        return 0;
    }
    return *out == NULL ? err_wrap(err, "trigger") : 0;
}

static void on_created(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    FAULT("recurring.create.after");
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = recurring_record(reply, op->id.text, &local);
    if (record == NULL) {
        recurring_op_finish(op, NULL, &local);
        return;
    }
    struct tick_shard *s = ticker_shard(op->t, op->id.text);
    s->recurring_runs++;
    if (jget_bool(record, "enabled", false)) {
        s->enabled++;
        shard_note(s, op->id.text, jget_i64(record, "next_us", 0));
    }
    recurring_op_finish(op, record, NULL);
}

void recurring_create(
    struct ticker *t, const struct recurring_request *req, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    struct schedule *schedule;
    if (request_check(req, &schedule, &op->err) != 0) {
        recurring_op_fail_later(op);
        return;
    }
    id_new(&op->id);
    int64_t now_us = clock_now_us();
    const struct schedule_window window = {
        .start_us = req->start_us,
        .end_us = req->end_us,
        .created_us = now_us,
        .no_catchup = req->no_catchup,
    };
    int64_t first_us = slot_first(schedule, &window, now_us);
    schedule_free(schedule);
    char *text CLEANUP(cleanup_free) = recurring_doc_text(req, op->id.text, now_us);

    const char *prefix = store_id_prefix(t->set.store, op->id.text);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srr:%s", prefix, op->id.text);
    store_key(args, "%srrs", prefix);
    store_key(args, "%sdue", prefix);
    store_key(args, "%srr_counts", prefix);
    store_arg_i(args, store_id_epoch(t->set.store, op->id.text));
    store_arg(args, op->id.text);
    store_arg(args, text);
    store_arg_i(args, req->is_enabled ? 1 : 0);
    store_arg_i(args, now_us);
    store_arg_i(args, first_us);
    FAULT("recurring.create.before");
    op->call = store_eval(t->set.store, &script_rr_create, args, on_created, op);
}

static void on_got(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = NULL;
    if (err != NULL) {
        err_copy(&local, err);
    } else {
        record = recurring_record(reply->element[0], op->id.text, &local);
        if (record == NULL && local.code == ERR_NONE) {
            err_set(&local, ERR_NOT_FOUND, "recurring run %s does not exist", op->id.text);
        }
    }
    recurring_op_finish(op, record, record == NULL ? &local : NULL);
}

void recurring_get(struct ticker *t, const char *id, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    if (recurring_op_id_ok(op, id)) {
        recurring_op_read(op, on_got);
    }
}

/* ---- stamps ---- */

static const char *const stamp_fields[] = {"generation", "enabled", "waiting", "index", "last_us",
    "anchor_us", "next_us", "updated_us", "error"};

void recurring_stamp(struct ticker *t, const char *id, stamp_done_fn *done, void *owner)
{
    struct store *store = t->set.store;
    char *key CLEANUP(cleanup_free) = xasprintf("%srr:%s", store_id_prefix(store, id), id);
    stamp_read(store, key, stamp_fields, ARRAY_LEN(stamp_fields), done, owner);
}

/* In the order of stamp_fields. */
void recurring_stamp_of(const json_t *record, struct stamp *out)
{
    *out = (struct stamp){.len = 0};
    stamp_add_i(out, jget_i64(record, "generation", 0));
    stamp_add_i(out, jget_bool(record, "enabled", false));
    stamp_add_i(out, jget_bool(record, "waiting", false));
    stamp_add_i(out, jget_i64(record, "index", 0));
    stamp_add_i(out, jget_i64(record, "last_us", 0));
    stamp_add_i(out, jget_i64(record, "anchor_us", 0));
    stamp_add_i(out, jget_i64(record, "next_us", 0));
    stamp_add_i(out, jget_i64(record, "updated_us", 0));
    stamp_add(out, jget_str(record, "error", ""));
}

/* ---- all: shard after shard, in batches ---- */

static void all_next(struct recurring_op *op);

static int by_created(const void *a, const void *b)
{
    const json_t *const *left = a, *const *right = b;
    int64_t l = jget_i64(*left, "created_us", 0), r = jget_i64(*right, "created_us", 0);
    return l < r ? -1 : l > r ? 1 : strcmp(jget_str(*left, "id", ""), jget_str(*right, "id", ""));
}

static void all_finish(struct recurring_op *op)
{
    size_t count = json_array_size(op->records);
    json_t **sorted = xcalloc(count + 1, sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        sorted[i] = json_array_get(op->records, i);
    }
    qsort(sorted, count, sizeof(*sorted), by_created);
    json_t *list CLEANUP(json_decrefp) = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append(list, sorted[i]);
    }
    free(sorted);
    recurring_op_finish(op, list, NULL);
}

static void all_on_batch(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    size_t first = op->id_at - reply->elements;
    for (size_t i = 0; i < reply->elements; i++) {
        struct err local = ERR_INIT;
        json_t *record CLEANUP(json_decrefp) =
            recurring_record(reply->element[i], op->ids[first + i].text, &local);
        if (record == NULL && local.code != ERR_NONE) {
            recurring_op_finish(op, NULL, &local);
            return;
        }
        if (record != NULL &&
            (op->experiment_id == NULL ||
                strcmp(op->experiment_id, jget_str(record, "experiment_id", "")) == 0)) {
            json_array_append(op->records, record);
        }
    }
    all_next(op);
}

static void all_on_ids(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    free(op->ids);
    op->ids = xcalloc(reply->elements + 1, sizeof(*op->ids));
    op->id_count = op->id_at = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const char *id = reply->element[i]->str;
        if (id != NULL && id_is_valid(id)) {
            memcpy(op->ids[op->id_count++].text, id, ID_LEN);
        }
    }
    op->shard++;
    all_next(op);
}

static void all_next(struct recurring_op *op)
{
    struct store *store = op->t->set.store;
    if (op->id_at == op->id_count) {
        if (op->shard == op->t->shard_count) {
            all_finish(op);
        } else {
            op->call = store_cmd(
                store, all_on_ids, op, "ZRANGE %srrs 0 -1", store_shard_prefix(store, op->shard));
        }
        return;
    }
    struct store_args *args = store_args_new();
    for (size_t i = 0; i < READ_BATCH && op->id_at < op->id_count; i++) {
        const char *id = op->ids[op->id_at++].text;
        const char *prefix = store_shard_prefix(store, op->shard - 1);
        store_key(args, "%srr:%s", prefix, id);
    }
    op->call = store_eval(store, &script_rr_many, args, all_on_batch, op);
}

void recurring_all(
    struct ticker *t, const char *experiment_id, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    op->experiment_id = experiment_id == NULL ? NULL : xstrdup(experiment_id);
    op->records = json_array();
    all_next(op);
}

/* ---- preview ---- */

json_t *recurring_preview(const json_t *record, int64_t now_us, size_t n)
{
    json_t *list = json_array();
    struct schedule *schedule;
    if (slot_schedule(record, &schedule, NULL) != 0) {
        return list;
    }
    struct schedule_window window;
    slot_window(record, &window);
    struct slot_state state = {
        .last_us = jget_i64(record, "last_us", 0),
        .anchor_us = jget_i64(record, "anchor_us", 0),
        .next_us = jget_i64(record, "next_us", 0),
    };
    if (!jget_bool(record, "enabled", true)) {
        slot_resume(schedule, &window, &state, now_us); /* as if it were enabled now */
    }
    int64_t slot_us = state.next_us <= 0 ? 0 : slot_due(schedule, &window, &state, now_us);
    for (size_t i = 0; i < n && slot_us > 0; i++) {
        json_array_append_new(list, json_integer(slot_us));
        slot_us = slot_after(schedule, &window, slot_us, now_us);
    }
    schedule_free(schedule);
    return list;
}
