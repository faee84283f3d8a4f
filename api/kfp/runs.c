/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/v2beta1/runs: create, get, list. What changes a run that exists is in run_actions.c. */
#include <string.h>

#include "base/err.h"
#include "base/id.h"
#include "base/index.h"
#include "base/json.h"
#include "base/pool.h"

#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "scheduler/pools.h"
#include "scheduler/run.h"

#include "api/api.h"
#include "api/kfp/list.h"
#include "api/kfp/rows.h"
#include "api/kfp/run_actions.h"
#include "api/kfp/run_view.h"
#include "api/kfp/show.h"
#include "api/kfp/source.h"
#include "api/kfp/view.h"

/* Lists that are filtered, or in another order than that of creation, see so many newest runs. */
#define SCAN_MAX 20000

static const struct kfp_field run_fields[] = {
    {"experiment_id", KFP_STRING, NULL, NULL, 0},
    {"run_id", KFP_STRING, NULL, NULL, 0},
    {"display_name", KFP_STRING, NULL, NULL, 0},
    {"storage_state", KFP_ENUM, NULL, kfp_storage_states, 0},
    {"description", KFP_STRING, NULL, NULL, 0},
    {"pipeline_version_id", KFP_STRING, NULL, NULL, 1},
    {"pipeline_spec", KFP_STRUCT, NULL, NULL, 1},
    {"pipeline_version_reference", KFP_MESSAGE, &kfp_version_reference, NULL, 1},
    {"runtime_config", KFP_MESSAGE, &kfp_runtime_config, NULL, 0},
    {"service_account", KFP_STRING, NULL, NULL, 0},
    {"created_at", KFP_OUTPUT, NULL, NULL, 0},
    {"scheduled_at", KFP_TIME, NULL, NULL, 0},
    {"finished_at", KFP_OUTPUT, NULL, NULL, 0},
    {"state", KFP_OUTPUT, NULL, NULL, 0},
    {"error", KFP_OUTPUT, NULL, NULL, 0},
    {"run_details", KFP_OUTPUT, NULL, NULL, 0},
    {"recurring_run_id", KFP_OUTPUT, NULL, NULL, 0},
    {"state_history", KFP_OUTPUT, NULL, NULL, 0},
    {"plugins_input", KFP_STRUCT, NULL, NULL, 0},
    {"plugins_output", KFP_STRUCT, NULL, NULL, 0},
    {"rondo", KFP_STRUCT, NULL, NULL, 0}, /* ours: pool, priority */
    {0},
};
static const struct kfp_message run_message = {run_fields};

static const struct list_field list_fields[] = {
    {"created_at", LIST_TIME, "created_us", NULL},
    {"id", LIST_TEXT, "id", NULL},
    {"run_id", LIST_TEXT, "id", NULL},
    {"name", LIST_TEXT, "name", NULL},
    {"display_name", LIST_TEXT, "name", NULL},
    {"description", LIST_TEXT, "description", NULL},
    {"finished_at", LIST_TIME, "finished_us", NULL},
    {"scheduled_at", LIST_TIME, "scheduled_us", NULL},
    {"storage_state", LIST_TEXT, "storage", NULL},
    {"state", LIST_TEXT, NULL, view_run_state},
    {"status", LIST_TEXT, NULL, view_run_status},
    {"namespace", LIST_TEXT, "namespace", NULL},
    {"experiment_id", LIST_TEXT, "experiment_id", NULL},
    {"recurring_run_id", LIST_TEXT, "recurring_run_id", NULL},
    {0},
};
static const struct list_spec list_spec = {"runs", list_fields, false};

/* ---- create ---- */

struct create {
    struct api_call *call;
    const json_t *in;
    struct experiment_lookup experiment;
    struct source source;
};

static void reply_created(void *owner, const json_t *record, const struct err *err)
{
    struct create *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    api_reply_json(op->call, 200, api_keep(op->call, view_run(record, op->source.plan)));
}

static void on_created(void *owner, const json_t *record, const struct err *err)
{
    struct create *op = owner;
    if (err != NULL) {
        if (err_is_transient(err)) {
            engine_look_soon(op->call->api->engine); /* it may exist all the same */
        }
        api_fail(op->call, err);
        return;
    }
    const char *id = jget_str(record, "id", "");
    engine_wake(op->call->api->engine, id);
    if (strcmp(jget_str(op->in, "storage_state", ""), "ARCHIVED") == 0) {
        run_set_storage(op->call->api->store, id, "ARCHIVED", reply_created, op);
        return;
    }
    reply_created(op, record, NULL);
}

static const char *non_empty(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void on_source(void *owner)
{
    struct create *op = owner;
    struct api_call *call = op->call;
    struct err err = ERR_INIT;
    const json_t *config = json_object_get(op->in, "runtime_config");
    const json_t *parameters = json_object_get(config, "parameters");
    const json_t *rondo = json_object_get(op->in, "rondo");
    json_t *bound = plan_bind_params(op->source.plan, parameters, &err);
    if (bound == NULL) {
        api_fail(call, &err);
        return;
    }
    json_decref(bound); /* the engine binds again, with macros expanded */
    json_t *artifacts = run_bind_artifacts(
        call->api->artifacts, op->source.plan, json_object_get(config, "input_artifacts"), &err);
    if (artifacts == NULL) {
        api_fail(call, &err);
        return;
    }
    api_keep(call, artifacts);

    json_t *trigger = api_keep(call, json_object());
    json_object_set_new(trigger, "kind", json_string("api"));
    const struct run_request request = {
        .id = non_empty(jget_str(op->in, "run_id", NULL)),
        .name = jget_str(op->in, "display_name", ""),
        .description = jget_str(op->in, "description", ""),
        .experiment_id = op->experiment.id,
        .spec = op->source.sha,
        .pipeline_name = op->source.plan->name,
        .pipeline_id = op->source.pipeline_id,
        .version_id = op->source.version_id,
        .parameters = parameters,
        .artifacts = artifacts,
        .pipeline_root = non_empty(jget_str(config, "pipeline_root", NULL)),
        .service_account = non_empty(jget_str(op->in, "service_account", NULL)),
        .pool = jget_str(rondo, "pool", NULL),
        .priority = jget_i64(rondo, "priority", 0),
        .scheduled_us = jget_i64(op->in, "scheduled_at", 0),
        .trigger = trigger,
    };
    run_create(call->api->store, &request, on_created, op);
}

static void on_experiment(void *owner)
{
    struct create *op = owner;
    source_resolve(&op->source, op->call, op->in, on_source, op);
}

static int check_create(const json_t *in, struct err *err)
{
    const char *id = jget_str(in, "run_id", "");
    if (jget_str(in, "display_name", "")[0] == '\0') {
        return err_set(err, ERR_INVALID, "display_name: missing");
    }
    if (id[0] != '\0' && !id_is_valid(id)) {
        return err_set(err, ERR_INVALID,
            "run_id: '%.80s' is not a UUID in lower case; leave it out to get one", id);
    }
    if (json_object_size(json_object_get(in, "plugins_input")) > 0 ||
        json_object_get(in, "plugins_output") != NULL) {
        return err_set(err, ERR_INVALID,
            "plugins_input, plugins_output: plugins are not built; leave them out");
    }
    const json_t *rondo = json_object_get(in, "rondo");
    if (rondo != NULL &&
        (jread_only(rondo, "rondo", pool_members, err) != 0 || pool_check_wish(rondo, err) != 0)) {
        return -1;
    }
    return 0;
}

static void handle_create(struct api_call *call)
{
    struct err err = ERR_INIT;
    const json_t *in = kfp_body(call, &run_message);
    if (in == NULL) {
        return;
    }
    if (check_create(in, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    struct create *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    op->in = in;
    experiment_lookup(
        &op->experiment, call, jget_str(in, "experiment_id", NULL), on_experiment, op);
}

/* ---- get ---- */

static void read_stamp(struct api_call *call, const char *id, stamp_done_fn *done, void *owner)
{
    run_stamp(call->api->store, id, done, owner);
}

/* A run that has not begun may be waiting for its slots: say where. */
struct whole {
    struct api_call *call;
    json_t *record;
    run_json_fn *done;
    void *owner;
};

static void on_place(void *owner, const json_t *place, const struct err *err)
{
    struct whole *op = owner;
    if (err == NULL && json_object_size(place) > 0) {
        json_object_set(op->record, "waiting_for", (json_t *)place);
    }
    op->done(op->owner, op->record, NULL); /* without it, if that cannot be had now */
}

static void on_whole(void *owner, const json_t *record, const struct err *err)
{
    struct whole *op = owner;
    if (err != NULL || strcmp(jget_str(record, "state", ""), "PENDING") != 0) {
        op->done(op->owner, record, err);
        return;
    }
    op->record = api_keep(op->call, json_copy((json_t *)record));
    pool_place(op->call->api->store, jget_str(record, "id", ""), on_place, op);
}

static void read_whole(struct api_call *call, const char *id, run_json_fn *done, void *owner)
{
    struct whole *op = pool_alloc(call->req.pool, sizeof *op);
    *op = (struct whole){.call = call, .done = done, .owner = owner};
    run_get(call->api->store, id, true, on_whole, op);
}

static void read_row(struct api_call *call, const char *id, run_json_fn *done, void *owner)
{
    run_get(call->api->store, id, false, done, owner);
}

static json_t *show_view(const json_t *record, const struct plan *plan, int64_t *until_us)
{
    (void)until_us; /* nothing in it depends on the time */
    return view_run(record, plan);
}

/* The place in the queue changes without the record. */
static json_t *show_whole_view(const json_t *record, const struct plan *plan, int64_t *until_us)
{
    if (strcmp(jget_str(record, "state", ""), "PENDING") == 0) {
        *until_us = 1;
    }
    return view_run(record, plan);
}

static const struct show_kind show_whole = {
    SHOWN_RUN, read_stamp, read_whole, run_stamp_of, run_is_inline, show_whole_view};
static const struct show_kind show_row = {
    SHOWN_RUN_ROW, read_stamp, read_row, run_stamp_of, run_is_inline, show_view};

static void handle_get(struct api_call *call)
{
    show_one(call, &show_whole, api_arg(call, "run_id"));
}

/* ---- list ---- */

static const struct rows_kind row_kind = {"runs", view_run, NULL};

struct list {
    struct rows rows;
    const char *experiment_id; /* NULL: of any */
};

static void start_list(struct list *op)
{
    struct index_query unused;
    if (!list_query_index(op->rows.query, &unused)) {
        run_all(
            op->rows.call->api->store, op->experiment_id, NULL, SCAN_MAX, rows_reply, &op->rows);
        return;
    }
    const char *set = op->experiment_id == NULL ? "runs"
                                                : pool_printf(op->rows.call->req.pool,
                                                      "experiment:%s:runs", op->experiment_id);
    show_page(op->rows.call, &show_row, op->rows.query, set, row_kind.key);
}

static void on_list_experiment(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct list *op = owner;
    if (err != NULL) {
        api_fail(op->rows.call, err);
        return;
    }
    start_list(op);
}

static void handle_list(struct api_call *call)
{
    struct list *op = pool_alloc(call->req.pool, sizeof *op);
    if (!rows_init(&op->rows, call, &list_spec, &row_kind)) {
        return;
    }
    op->experiment_id = non_empty(http_query(&call->req, "experiment_id"));
    if (op->experiment_id != NULL) {
        experiment_get(call->api->catalog, op->experiment_id, on_list_experiment, op);
        return;
    }
    start_list(op);
}

#define BASE "/apis/v2beta1/runs"
const struct route routes_runs[] = {
    {"POST", BASE "/{run_id}:archive", run_archive_handle, ROUTE_TOKEN},
    {"POST", BASE "/{run_id}:unarchive", run_unarchive_handle, ROUTE_TOKEN},
    {"POST", BASE "/{run_id}:terminate", run_terminate_handle, ROUTE_TOKEN},
    {"POST", BASE "/{run_id}:retry", run_retry_handle, ROUTE_TOKEN},
    {"POST", BASE, handle_create, ROUTE_TOKEN},
    {"GET", BASE, handle_list, ROUTE_TOKEN},
    {"GET", BASE "/{run_id}", handle_get, ROUTE_TOKEN},
    {"GET", BASE "/{run_id}/nodes/{node_id}/artifacts/{artifact_name}:read", artifact_read_handle,
        ROUTE_TOKEN},
    {"DELETE", BASE "/{run_id}", run_delete_handle, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
