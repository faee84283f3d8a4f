/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/v2beta1/experiments. */
#include <string.h>

#include "base/err.h"
#include "base/index.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/store.h"

#include "scheduler/catalog.h"
#include "scheduler/recurring.h"
#include "scheduler/run.h"

#include "api/api.h"
#include "api/fanout.h"
#include "api/kfp/list.h"
#include "api/kfp/view.h"

#define NAME_MAX_BYTES 128
#define SPACE_MAX_BYTES 63

static const struct kfp_field experiment_fields[] = {
    {"experiment_id", KFP_OUTPUT, NULL, NULL, 0},
    {"display_name", KFP_STRING, NULL, NULL, 0},
    {"description", KFP_STRING, NULL, NULL, 0},
    {"created_at", KFP_OUTPUT, NULL, NULL, 0},
    {"namespace", KFP_STRING, NULL, NULL, 0},
    {"storage_state", KFP_OUTPUT, NULL, NULL, 0},
    {"last_run_created_at", KFP_OUTPUT, NULL, NULL, 0},
    {0},
};
static const struct kfp_message experiment_message = {experiment_fields};

static const struct list_field list_fields[] = {
    {"created_at", LIST_TIME, "created_us", NULL},
    {"id", LIST_TEXT, "id", NULL},
    {"experiment_id", LIST_TEXT, "id", NULL},
    {"name", LIST_TEXT, "name", NULL},
    {"display_name", LIST_TEXT, "name", NULL},
    {"description", LIST_TEXT, "description", NULL},
    {"namespace", LIST_TEXT, "namespace", NULL},
    {"storage_state", LIST_TEXT, "state", NULL},
    {"last_run_created_at", LIST_TIME, "last_run_us", NULL},
    {0},
};
static const struct list_spec list_spec = {"experiments", list_fields, false};

/* The record has no last_run_us of its own: see add_last_runs(). */
static json_t *view_experiment(const json_t *record)
{
    json_t *out = json_object();
    jset_str(out, "experiment_id", jget_str(record, "id", NULL));
    jset_str(out, "display_name", jget_str(record, "name", NULL));
    jset_str(out, "description", jget_str(record, "description", NULL));
    view_time(out, "created_at", jget_i64(record, "created_us", 0));
    jset_str(out, "storage_state", jget_str(record, "state", "AVAILABLE"));
    view_time(out, "last_run_created_at", jget_i64(record, "last_run_us", 0));
    return out;
}

/* ---- the newest run of each experiment ---- */

/* A state of its own for one request about experiments. */
struct op {
    struct api_call *call;
    const char *id;
    json_t *records; /* copies, owned by the call */
    void (*then)(struct op *op);
    struct list_query *query;
    int64_t total;
    const char *token;
    json_t *recurring;
};

static struct op *op_new(struct api_call *call)
{
    struct op *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    return op;
}

static void on_newest(
    void *owner, const struct index_item *items, size_t count, int64_t total, const struct err *err)
{
    (void)total;
    struct fanout_item *item = owner;
    const struct op *op = item->fanout->owner;
    if (err == NULL) {
        json_object_set_new(json_array_get(op->records, item->index), "last_run_us",
            json_integer(count > 0 ? items[0].at_us : 0));
    }
    fanout_item_done(item, NULL, err);
}

static void begin_last_run(struct fanout_item *item)
{
    const struct op *op = item->fanout->owner;
    const json_t *record = json_array_get(op->records, item->index);
    const char *set =
        pool_printf(op->call->req.pool, "experiment:%s:runs", jget_str(record, "id", ""));
    const struct index_query newest = {
        .set = set, .is_desc = true, .need = 1, .without_total = true};
    index_page(op->call->api->store, &newest, on_newest, item);
}

static void last_runs_known(struct fanout *f)
{
    struct op *op = f->owner;
    if (f->err.code != ERR_NONE) {
        api_fail(op->call, &f->err);
        return;
    }
    op->then(op);
}

/* Fill last_run_us into op->records. */
static void add_last_runs(struct op *op, void (*then)(struct op *op))
{
    op->then = then;
    fanout_run(op->call, json_array_size(op->records), begin_last_run, last_runs_known, op);
}

static json_t *copy_records(struct api_call *call, const json_t *records)
{
    json_t *out = api_keep(call, json_array());
    size_t i;
    json_t *record;
    json_array_foreach((json_t *)records, i, record)
    {
        json_array_append_new(out, json_copy(record));
    }
    return out;
}

/* ---- create, get ---- */

static void reply_one(struct op *op)
{
    json_t *out = api_keep(op->call, view_experiment(json_array_get(op->records, 0)));
    api_reply_json(op->call, 200, out);
}

static void on_created(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL && err->code == ERR_EXISTS) {
        api_fail_as(call, ERR_EXISTS, "%s. Please specify a new name", err->msg);
        return;
    }
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    api_reply_json(call, 200, api_keep(call, view_experiment(record)));
}

static void handle_create(struct api_call *call)
{
    struct err err = ERR_INIT;
    const json_t *in = kfp_body(call, &experiment_message);
    if (in == NULL) {
        return;
    }
    const char *name = jget_str(in, "display_name", "");
    if (name[0] == '\0') {
        api_fail_as(call, ERR_INVALID, "display_name: missing");
        return;
    }
    if (kfp_check_length("display_name", name, NAME_MAX_BYTES, &err) != 0 ||
        kfp_check_length("namespace", jget_str(in, "namespace", ""), SPACE_MAX_BYTES, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    experiment_create(call->api->catalog, name, jget_str(in, "description", ""), on_created, call);
}

static void on_got(void *owner, const json_t *record, const struct err *err)
{
    struct op *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    op->records = api_keep(op->call, json_array());
    json_array_append_new(op->records, json_copy((json_t *)record));
    add_last_runs(op, reply_one);
}

static void handle_get(struct api_call *call)
{
    experiment_get(call->api->catalog, api_arg(call, "experiment_id"), on_got, op_new(call));
}

/* ---- list ---- */

static void reply_list(struct op *op)
{
    json_t *items = json_array();
    size_t i;
    json_t *record;
    json_array_foreach(op->records, i, record)
    {
        json_array_append_new(items, view_experiment(record));
    }
    json_t *out = list_envelope("experiments", items, op->total, op->token);
    api_reply_json(op->call, 200, api_keep(op->call, out));
}

static void cut_page(struct op *op)
{
    op->records = api_keep(op->call, list_page(op->query, op->records, &op->total, &op->token));
}

static void cut_and_reply(struct op *op)
{
    cut_page(op);
    reply_list(op);
}

static void on_all(void *owner, const json_t *records, const struct err *err)
{
    struct op *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    op->records = copy_records(op->call, records);
    if (list_query_uses(op->query, "last_run_created_at")) {
        add_last_runs(op, cut_and_reply);
    } else {
        cut_page(op);
        add_last_runs(op, reply_list);
    }
}

/* KFP makes the default experiment when it starts, and clients look for it in lists. */
static void on_default(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct op *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    op->call->api->has_default_experiment = true;
    experiment_all(op->call->api->catalog, on_all, op);
}

static void handle_list(struct api_call *call)
{
    struct err err = ERR_INIT;
    struct op *op = op_new(call);
    op->query = list_query_parse(call->req.pool, &list_spec, &call->req, &err);
    if (op->query == NULL) {
        api_fail(call, &err);
        return;
    }
    if (call->api->has_default_experiment) {
        experiment_all(call->api->catalog, on_all, op);
    } else {
        experiment_default(call->api->catalog, on_default, op);
    }
}

/* ---- archive: the runs go with it, the recurring runs are disabled ---- */

static void recurring_disabled(struct fanout *f)
{
    struct op *op = f->owner;
    if (f->err.code != ERR_NONE) {
        api_fail(op->call, &f->err);
        return;
    }
    api_reply_empty(op->call);
}

static void on_disabled(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    fanout_item_done(owner, NULL, err);
}

static void begin_disable(struct fanout_item *item)
{
    const struct op *op = item->fanout->owner;
    const char *id = json_string_value(json_array_get(op->recurring, item->index));
    recurring_set_enabled(op->call->api->ticker, id, false, on_disabled, item);
}

/* Its record is not needed, and there may be any number of them. */
static void on_recurring(void *owner, json_t *record)
{
    const struct op *op = owner;
    json_array_append_new(op->recurring, json_string(jget_str(record, "id", "")));
}

static void on_all_recurring(void *owner, const json_t *unused, const struct err *err)
{
    (void)unused;
    struct op *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    fanout_run(op->call, json_array_size(op->recurring), begin_disable, recurring_disabled, op);
}

static void runs_archived(struct fanout *f)
{
    struct op *op = f->owner;
    if (f->err.code != ERR_NONE) {
        api_fail(op->call, &f->err);
        return;
    }
    op->recurring = api_keep(op->call, json_array());
    recurring_each(op->call->api->ticker, op->id, on_recurring, on_all_recurring, op);
}

static void begin_archive(struct fanout_item *item)
{
    const struct op *op = item->fanout->owner;
    run_archive_shard(op->call->api->store, (unsigned)item->index, op->id, fanout_item_done, item);
}

static void on_archived(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct op *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    fanout_run(op->call, store_shards(op->call->api->store), begin_archive, runs_archived, op);
}

static void handle_archive(struct api_call *call)
{
    struct op *op = op_new(call);
    op->id = api_arg(call, "experiment_id");
    experiment_set_state(call->api->catalog, op->id, "ARCHIVED", on_archived, op);
}

/* ---- unarchive, delete ---- */

static void handle_unarchive(struct api_call *call)
{
    experiment_set_state(
        call->api->catalog, api_arg(call, "experiment_id"), "AVAILABLE", api_reply_done, call);
}

static void handle_delete(struct api_call *call)
{
    experiment_delete(call->api->catalog, api_arg(call, "experiment_id"), api_reply_done, call);
}

#define BASE "/apis/v2beta1/experiments"
const struct route routes_experiments[] = {
    {"POST", BASE "/{experiment_id}:archive", handle_archive, ROUTE_TOKEN},
    {"POST", BASE "/{experiment_id}:unarchive", handle_unarchive, ROUTE_TOKEN},
    {"POST", BASE, handle_create, ROUTE_TOKEN},
    {"GET", BASE, handle_list, ROUTE_TOKEN},
    {"GET", BASE "/{experiment_id}", handle_get, ROUTE_TOKEN},
    {"DELETE", BASE "/{experiment_id}", handle_delete, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
