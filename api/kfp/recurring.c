/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/v2beta1/recurringruns. */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/index.h"
#include "base/json.h"
#include "base/pool.h"

#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "scheduler/recurring.h"
#include "scheduler/run.h"

#include "api/api.h"
#include "api/kfp/list.h"
#include "api/kfp/rows.h"
#include "api/kfp/recurring_view.h"
#include "api/kfp/show.h"
#include "api/kfp/source.h"
#include "api/kfp/view.h"

#define MAX_CONCURRENCY 10
#define MAX_INTERVAL_S (INT64_C(100) * 366 * 86400)

static const struct kfp_enum modes[] = {
    {"MODE_UNSPECIFIED", 0},
    {"ENABLE", 1},
    {"DISABLE", 2},
    {NULL, 0},
};
static const struct kfp_field cron_fields[] = {
    {"start_time", KFP_TIME, NULL, NULL, 0},
    {"end_time", KFP_TIME, NULL, NULL, 0},
    {"cron", KFP_STRING, NULL, NULL, 0},
    {"time_zone", KFP_STRING, NULL, NULL, 0}, /* ours */
    {0},
};
static const struct kfp_message cron_message = {cron_fields};
static const struct kfp_field periodic_fields[] = {
    {"start_time", KFP_TIME, NULL, NULL, 0},
    {"end_time", KFP_TIME, NULL, NULL, 0},
    {"interval_second", KFP_I64, NULL, NULL, 0},
    {0},
};
static const struct kfp_message periodic_message = {periodic_fields};
static const struct kfp_field trigger_fields[] = {
    {"cron_schedule", KFP_MESSAGE, &cron_message, NULL, 1},
    {"periodic_schedule", KFP_MESSAGE, &periodic_message, NULL, 1},
    {0},
};
static const struct kfp_message trigger_message = {trigger_fields};
static const struct kfp_field recurring_fields[] = {
    {"recurring_run_id", KFP_OUTPUT, NULL, NULL, 0},
    {"display_name", KFP_STRING, NULL, NULL, 0},
    {"description", KFP_STRING, NULL, NULL, 0},
    {"pipeline_version_id", KFP_STRING, NULL, NULL, 1},
    {"pipeline_spec", KFP_STRUCT, NULL, NULL, 1},
    {"pipeline_version_reference", KFP_MESSAGE, &kfp_version_reference, NULL, 1},
    {"runtime_config", KFP_MESSAGE, &kfp_runtime_config, NULL, 0},
    {"service_account", KFP_STRING, NULL, NULL, 0},
    {"max_concurrency", KFP_I64, NULL, NULL, 0},
    {"trigger", KFP_MESSAGE, &trigger_message, NULL, 0},
    {"mode", KFP_ENUM, NULL, modes, 0},
    {"created_at", KFP_OUTPUT, NULL, NULL, 0},
    {"updated_at", KFP_OUTPUT, NULL, NULL, 0},
    {"status", KFP_OUTPUT, NULL, NULL, 0},
    {"error", KFP_OUTPUT, NULL, NULL, 0},
    {"no_catchup", KFP_BOOL, NULL, NULL, 0},
    {"namespace", KFP_STRING, NULL, NULL, 0},
    {"experiment_id", KFP_STRING, NULL, NULL, 0},
    {"plugins_input", KFP_STRUCT, NULL, NULL, 0},
    {"time_zone", KFP_STRING, NULL, NULL, 0}, /* ours */
    {"rondo", KFP_STRUCT, NULL, NULL, 0},     /* ours: further schedules, policies */
    {0},
};
static const struct kfp_message recurring_message = {recurring_fields};

static const struct list_field list_fields[] = {
    {"created_at", LIST_TIME, "created_us", NULL},
    {"id", LIST_TEXT, "id", NULL},
    {"recurring_run_id", LIST_TEXT, "id", NULL},
    {"name", LIST_TEXT, "name", NULL},
    {"display_name", LIST_TEXT, "name", NULL},
    {"updated_at", LIST_TIME, "updated_us", NULL},
    {"description", LIST_TEXT, "description", NULL},
    {0},
};
static const struct list_spec list_spec = {"recurring_runs", list_fields, false};

/* ---- create ---- */

struct create {
    struct api_call *call;
    const json_t *in;
    struct recurring_request request;
    struct experiment_lookup experiment;
    struct source source;
};

static const char *non_empty(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static int read_zone(
    struct recurring_request *r, const char *beside, const char *inside, struct err *err)
{
    if (beside != NULL && inside != NULL && strcmp(beside, inside) != 0) {
        return err_set(err, ERR_INVALID,
            "time_zone: '%.80s' here and '%.80s' in trigger.cron_schedule; give it once", beside,
            inside);
    }
    r->time_zone = beside != NULL ? beside : inside;
    return 0;
}

static int read_trigger(const json_t *in, struct recurring_request *r, struct err *err)
{
    const json_t *trigger = json_object_get(in, "trigger");
    const json_t *cron = json_object_get(trigger, "cron_schedule");
    const json_t *periodic = json_object_get(trigger, "periodic_schedule");
    const json_t *either = cron != NULL ? cron : periodic;
    r->start_us = jget_i64(either, "start_time", 0);
    r->end_us = jget_i64(either, "end_time", 0);
    if (r->start_us != 0 && r->end_us != 0 && r->end_us < r->start_us) {
        return err_set(err, ERR_INVALID, "trigger: end_time is before start_time");
    }
    if (read_zone(r, non_empty(jget_str(in, "time_zone", NULL)),
            non_empty(jget_str(cron, "time_zone", NULL)), err) != 0) {
        return -1;
    }
    if (cron != NULL) {
        r->cron = jget_str(cron, "cron", "");
        if (r->cron[0] == '\0') {
            return err_set(err, ERR_INVALID,
                "trigger.cron_schedule.cron: missing; for example \"0 30 9 * * *\" for half past "
                "nine every day");
        }
    }
    if (periodic != NULL) {
        r->interval_s = jget_i64(periodic, "interval_second", 0);
        if (r->interval_s < 1 || r->interval_s > MAX_INTERVAL_S) {
            return err_set(err, ERR_INVALID,
                "trigger.periodic_schedule.interval_second: expected 1 or more seconds (at most "
                "100 years)");
        }
    }
    if (r->cron == NULL && r->time_zone != NULL) {
        return err_set(err, ERR_INVALID, "time_zone: only a cron schedule has one");
    }
    return 0;
}

static int read_request(const json_t *in, struct recurring_request *r, struct err *err)
{
    const json_t *config = json_object_get(in, "runtime_config");
    r->name = jget_str(in, "display_name", "");
    r->description = jget_str(in, "description", "");
    r->parameters = json_object_get(config, "parameters");
    r->pipeline_root = non_empty(jget_str(config, "pipeline_root", NULL));
    r->service_account = non_empty(jget_str(in, "service_account", NULL));
    r->max_concurrency = jget_i64(in, "max_concurrency", 0);
    r->no_catchup = jget_bool(in, "no_catchup", false);
    r->more = json_object_get(in, "rondo");
    r->is_enabled = strcmp(jget_str(in, "mode", ""), "ENABLE") == 0;
    if (r->name[0] == '\0') {
        return err_set(err, ERR_INVALID, "display_name: missing");
    }
    if (r->max_concurrency < 1 || r->max_concurrency > MAX_CONCURRENCY) {
        return err_set(err, ERR_INVALID,
            "max_concurrency: expected 1 to %d, KFP's limit; more go into rondo.max_concurrency",
            MAX_CONCURRENCY);
    }
    if (json_object_size(json_object_get(in, "plugins_input")) > 0) {
        return err_set(err, ERR_INVALID, "plugins_input: plugins are not built; leave it out");
    }
    return read_trigger(in, r, err);
}

static void on_created(void *owner, const json_t *record, const struct err *err)
{
    struct create *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    json_t *out = view_recurring(record, op->source.plan, clock_now_us());
    api_reply_json(op->call, 200, api_keep(op->call, out));
}

static void on_source(void *owner)
{
    struct create *op = owner;
    struct err err = ERR_INIT;
    struct recurring_request *r = &op->request;
    json_t *bound = plan_bind_params(op->source.plan, r->parameters, &err);
    if (bound == NULL) {
        api_fail(op->call, &err);
        return;
    }
    json_decref(bound);
    json_t *artifacts = run_bind_artifacts(op->call->api->artifacts, op->source.plan,
        json_object_get(json_object_get(op->in, "runtime_config"), "input_artifacts"), &err);
    if (artifacts == NULL) {
        api_fail(op->call, &err);
        return;
    }
    r->artifacts = api_keep(op->call, artifacts);
    r->experiment_id = op->experiment.id;
    r->pipeline_name = op->source.plan->name;
    r->pipeline_id = op->source.pipeline_id;
    if (!op->source.is_latest) {
        r->spec = op->source.sha;
        r->version_id = op->source.version_id;
    }
    recurring_create(op->call->api->ticker, r, on_created, op);
}

static void on_experiment(void *owner)
{
    struct create *op = owner;
    source_resolve(&op->source, op->call, op->in, on_source, op);
}

static void handle_create(struct api_call *call)
{
    struct err err = ERR_INIT;
    const json_t *in = kfp_body(call, &recurring_message);
    if (in == NULL) {
        return;
    }
    struct create *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    op->in = in;
    if (read_request(in, &op->request, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    experiment_lookup(
        &op->experiment, call, jget_str(in, "experiment_id", NULL), on_experiment, op);
}

/* ---- get ---- */

static void read_stamp(struct api_call *call, const char *id, stamp_done_fn *done, void *owner)
{
    recurring_stamp(call->api->ticker, id, done, owner);
}

static void read_record(struct api_call *call, const char *id, recurring_json_fn *done, void *owner)
{
    recurring_get(call->api->ticker, id, done, owner);
}

/* The next fire times stay until the first of them has come. */
static json_t *show_view(const json_t *record, const struct plan *plan, int64_t *until_us)
{
    int64_t now_us = clock_now_us();
    int64_t next_us = jget_i64(record, "next_us", 0);
    if (jget_bool(record, "enabled", false) && next_us > 0) {
        *until_us = next_us;
    }
    return view_recurring(record, plan, now_us);
}

static const struct show_kind show_kind = {
    SHOWN_RECURRING, read_stamp, read_record, recurring_stamp_of, recurring_is_inline, show_view};

static void handle_get(struct api_call *call)
{
    show_one(call, &show_kind, api_arg(call, "recurring_run_id"));
}

/* ---- list ---- */

static json_t *view_row(const json_t *record, const struct plan *plan)
{
    return view_recurring(record, plan, clock_now_us());
}

/* the one name on this wire that is not snake_case */
static const struct rows_kind row_kind = {"recurringRuns", view_row, recurring_is_inline};

struct list {
    struct rows rows;
    const char *experiment_id;
};

static void on_list_experiment(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct list *op = owner;
    if (err != NULL) {
        api_fail(op->rows.call, err);
        return;
    }
    recurring_each(op->rows.call->api->ticker, op->experiment_id, rows_add, rows_end, &op->rows);
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
    struct index_query unused;
    if (list_query_index(op->rows.query, &unused)) {
        show_page(call, &show_kind, op->rows.query, "rrs", row_kind.key);
        return;
    }
    recurring_each(call->api->ticker, NULL, rows_add, rows_end, &op->rows);
}

/* ---- enable, disable, delete ---- */

static void handle_enable(struct api_call *call)
{
    recurring_set_enabled(
        call->api->ticker, api_arg(call, "recurring_run_id"), true, api_reply_done, call);
}

static void handle_disable(struct api_call *call)
{
    recurring_set_enabled(
        call->api->ticker, api_arg(call, "recurring_run_id"), false, api_reply_done, call);
}

static void handle_delete(struct api_call *call)
{
    recurring_delete(call->api->ticker, api_arg(call, "recurring_run_id"), api_reply_done, call);
}

#define BASE "/apis/v2beta1/recurringruns"
const struct route routes_recurring_runs[] = {
    {"POST", BASE "/{recurring_run_id}:enable", handle_enable, ROUTE_TOKEN},
    {"POST", BASE "/{recurring_run_id}:disable", handle_disable, ROUTE_TOKEN},
    {"POST", BASE, handle_create, ROUTE_TOKEN},
    {"GET", BASE, handle_list, ROUTE_TOKEN},
    {"GET", BASE "/{recurring_run_id}", handle_get, ROUTE_TOKEN},
    {"DELETE", BASE "/{recurring_run_id}", handle_delete, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
