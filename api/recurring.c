/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /apis/rondo/v1/recurringruns/{id}: what KFP's API has no call for - edit, pause, skip, fire now,
 * what has become of its ticks and which come next.
 */
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"

#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "scheduler/recurring.h"

#include "api/api.h"
#include "api/kfp/recurring_view.h"
#include "api/kfp/source.h"

#define NEXT_DEFAULT 5
#define NEXT_MAX 1000
#define QUEUE_MAX 1000
#define NOTE_MAX 1024
#define SKIP_MAX 1000000
#define CONCURRENCY_MAX 1000000
#define INTERVAL_MAX_S (INT64_C(100) * 366 * 86400)

static const char *recurring_id(const struct api_call *call)
{
    return api_arg(call, "recurring_run_id");
}

static void reply_recurring(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    json_t *out = view_recurring(record, NULL, clock_now_us());
    api_reply_json(call, 200, api_keep(call, out));
}

/* ---- edit ---- */

struct edit {
    struct api_call *call;
    json_t *in, *changes;
    json_t *record;
    struct source source;
};

/* A number of the body under the name that the record has for it. */
static int take_number(
    struct edit *op, const char *key, const char *member, int64_t min, int64_t max, struct err *err)
{
    const json_t *value = json_object_get(op->in, key);
    int64_t number = 0;
    if (value == NULL || json_is_null(value)) {
        json_object_set(op->changes, member, (json_t *)value);
        return 0;
    }
    if (jread_i64(op->in, "", key, min, max, &number, err) != 0) {
        return -1;
    }
    json_object_set_new(op->changes, member, json_integer(number));
    return 0;
}

static int take_time(struct edit *op, const char *key, const char *member, struct err *err)
{
    const json_t *value = json_object_get(op->in, key);
    int64_t us = 0;
    if (value == NULL || json_is_null(value)) {
        json_object_set(op->changes, member, (json_t *)value);
        return 0;
    }
    if (jread_time(op->in, "", key, &us, err) != 0) {
        return -1;
    }
    json_object_set_new(op->changes, member, json_integer(us));
    return 0;
}

static int read_changes(struct edit *op, struct err *err)
{
    static const char *const keys[] = {"display_name", "description", "parameters", "cron",
        "time_zone", "interval_second", "start_time", "end_time", "max_concurrency", "no_catchup",
        "schedules", "profile", "dst", "include", "exclude", "overlap", "catchup", "buffer_max",
        "catchup_window_s", "max_fires", "pause_after_failures", "spread_s", "pool", "priority",
        "pipeline_version_reference", NULL};
    static const char *const as_they_are[] = {"description", "cron", "time_zone", "schedules",
        "profile", "dst", "include", "exclude", "overlap", "catchup", "buffer_max",
        "catchup_window_s", "max_fires", "pause_after_failures", "spread_s", "pool", "priority"};
    const char *text = NULL;
    const json_t *object = NULL;
    bool is_true = false;
    if (jread_only(op->in, "", keys, err) != 0 ||
        jread_string(op->in, "", "display_name", &text, err) != 0 ||
        jread_object(op->in, "", "parameters", &object, err) != 0 ||
        jread_object(op->in, "", "pipeline_version_reference", &object, err) != 0 ||
        jread_bool(op->in, "", "no_catchup", &is_true, err) != 0 ||
        take_number(op, "interval_second", "interval_s", 1, INTERVAL_MAX_S, err) != 0 ||
        take_number(op, "max_concurrency", "max_concurrency", 1, CONCURRENCY_MAX, err) != 0 ||
        take_time(op, "start_time", "start_us", err) != 0 ||
        take_time(op, "end_time", "end_us", err) != 0) {
        return -1;
    }
    json_object_set(op->changes, "name", json_object_get(op->in, "display_name"));
    json_object_set(op->changes, "parameters", json_object_get(op->in, "parameters"));
    json_object_set(op->changes, "no_catchup", json_object_get(op->in, "no_catchup"));
    for (size_t i = 0; i < ARRAY_LEN(as_they_are); i++) {
        json_object_set(op->changes, as_they_are[i], json_object_get(op->in, as_they_are[i]));
    }
    if (json_object_size(op->in) == 0) {
        return err_set(err, ERR_INVALID,
            "the body changes nothing; give for example {\"cron\": \"0 9 * * *\"}");
    }
    return 0;
}

static void edit_send(struct edit *op)
{
    recurring_edit(
        op->call->api->ticker, recurring_id(op->call), op->changes, reply_recurring, op->call);
}

/* The pipeline takes these parameters? */
static void edit_check_plan(struct edit *op, const struct plan *plan)
{
    struct err err = ERR_INIT;
    const json_t *given = json_object_get(op->in, "parameters");
    const json_t *parameters = given != NULL ? given : json_object_get(op->record, "parameters");
    json_t *bound = plan_bind_params(plan, json_is_object(parameters) ? parameters : NULL, &err);
    if (bound == NULL) {
        api_fail(op->call, &err);
        return;
    }
    json_decref(bound);
    edit_send(op);
}

static void edit_on_source(void *owner)
{
    struct edit *op = owner;
    const struct source *s = &op->source;
    if (json_object_get(op->in, "pipeline_version_reference") != NULL) {
        json_object_set_new(op->changes, "pipeline_name", json_string(s->plan->name));
        json_object_set_new(op->changes, "pipeline_id", json_string(s->pipeline_id));
        json_object_set_new(op->changes, "spec", json_string(s->is_latest ? "" : s->sha));
        json_object_set_new(
            op->changes, "version_id", json_string(s->is_latest ? "" : s->version_id));
    }
    edit_check_plan(op, s->plan);
}

static void edit_on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct edit *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    edit_check_plan(op, plan);
}

static void edit_on_record(void *owner, const json_t *record, const struct err *err)
{
    struct edit *op = owner;
    struct api_call *call = op->call;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    op->record = api_keep(call, json_incref((json_t *)record));
    const char *spec = jget_str(record, "spec", "");
    if (json_object_get(op->in, "pipeline_version_reference") != NULL) {
        source_resolve(&op->source, call, op->in, edit_on_source, op);
    } else if (spec[0] != '\0') {
        spec_plan(call->api->catalog, spec, edit_on_plan, op);
    } else {
        json_t *latest = api_keep(call, json_pack("{s:{s:s}}", "pipeline_version_reference",
                                            "pipeline_id", jget_str(record, "pipeline_id", "")));
        source_resolve(&op->source, call, latest, edit_on_source, op);
    }
}

static void handle_edit(struct api_call *call)
{
    struct err err = ERR_INIT;
    json_t *body = api_body_json(call);
    if (body == NULL) {
        return; /* already answered */
    }
    struct edit *op = pool_calloc(call->req.pool, 1, sizeof *op);
    op->call = call;
    op->in = body;
    op->changes = api_keep(call, json_object());
    if (read_changes(op, &err) != 0) {
        api_fail(call, &err);
    } else if (json_object_get(body, "parameters") != NULL ||
               json_object_get(body, "pipeline_version_reference") != NULL) {
        recurring_get(call->api->ticker, recurring_id(call), edit_on_record, op);
    } else {
        edit_send(op);
    }
}

/* ---- pause, resume, skip, fire ---- */

static void handle_pause(struct api_call *call)
{
    static const char *const keys[] = {"note", "until", NULL};
    struct err err = ERR_INIT;
    const char *note = "";
    int64_t until_us = 0;
    json_t *body = api_body_json(call);
    if (body == NULL) {
        return;
    }
    if (jread_only(body, "", keys, &err) != 0 || jread_string(body, "", "note", &note, &err) != 0 ||
        jread_time(body, "", "until", &until_us, &err) != 0) {
        api_fail(call, &err);
    } else if (strlen(note) > NOTE_MAX) {
        api_fail_as(call, ERR_INVALID, "note: it is longer than 1024 bytes");
    } else if (until_us != 0 && until_us <= clock_now_us()) {
        api_fail_as(call, ERR_INVALID,
            "until: it has passed; give an instant to come, or leave it out to pause until "
            ":resume");
    } else {
        recurring_pause(
            call->api->ticker, recurring_id(call), note, "", until_us, reply_recurring, call);
    }
}

static void handle_resume(struct api_call *call)
{
    recurring_set_enabled(call->api->ticker, recurring_id(call), true, reply_recurring, call);
}

static void handle_skip(struct api_call *call)
{
    static const char *const keys[] = {"n", NULL};
    struct err err = ERR_INIT;
    int64_t n = -1;
    json_t *body = api_body_json(call);
    if (body == NULL) {
        return;
    }
    if (jread_only(body, "", keys, &err) != 0 ||
        jread_i64(body, "", "n", 0, SKIP_MAX, &n, &err) != 0) {
        api_fail(call, &err);
    } else if (n < 0) {
        api_fail_as(call, ERR_INVALID,
            "n: missing; {\"n\": 3} passes over the next three ticks, 0 over none after all");
    } else {
        recurring_skip(call->api->ticker, recurring_id(call), n, reply_recurring, call);
    }
}

static void handle_fire(struct api_call *call)
{
    static const char *const keys[] = {"request_id", "overlap", NULL};
    struct err err = ERR_INIT;
    const char *request_id = NULL, *overlap = NULL;
    json_t *body = api_body_json(call);
    if (body == NULL) {
        return;
    }
    if (jread_only(body, "", keys, &err) != 0 ||
        jread_string(body, "", "request_id", &request_id, &err) != 0 ||
        jread_string(body, "", "overlap", &overlap, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    recurring_fire(
        call->api->ticker, recurring_id(call), request_id, overlap, api_reply_record, call);
}

/* ---- what has become of its ticks ---- */

struct ticks {
    struct api_call *call;
    json_t *record;
};

static json_t *tick_view(const json_t *line, int64_t offset_us)
{
    json_t *out = json_object();
    int64_t slot_us = jget_i64(line, "scheduled_us", 0), at_us = jget_i64(line, "at_us", 0);
    jset_time(out, "scheduled_at", slot_us);
    jset_str(out, "outcome", jget_str(line, "outcome", ""));
    jset_time(out, "at", at_us);
    int64_t late_us = at_us - slot_us - offset_us;
    json_object_set_new(out, "lateness_ms", json_integer(late_us > 0 ? late_us / US_PER_MS : 0));
    json_object_set_new(out, "generation", json_integer(jget_i64(line, "generation", 0)));
    jset_str(out, "run_id", jget_str(line, "run_id", NULL));
    json_t *detail = json_object_get(line, "detail");
    json_object_update(out, detail);
    int64_t to_us = jget_i64(detail, "to_us", 0);
    if (to_us != 0) {
        json_object_del(out, "to_us");
        jset_time(out, "to", to_us);
    }
    return out;
}

static void ticks_on_lines(void *owner, const json_t *lines, const struct err *err)
{
    struct ticks *op = owner;
    struct api_call *call = op->call;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    json_t *out = api_keep(call, json_object()), *list = json_array(), *waiting = json_array();
    int64_t offset_us = recurring_offset_us(op->record);
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)lines, i, one)
    {
        json_array_append_new(list, tick_view(one, offset_us));
    }
    json_t *queue CLEANUP(json_decrefp) = recurring_queue(op->record, clock_now_us(), QUEUE_MAX);
    json_array_foreach(queue, i, one)
    {
        json_t *place = json_object();
        jset_time(place, "scheduled_at", json_integer_value(one));
        json_object_set_new(place, "place", json_integer((json_int_t)i + 1));
        json_array_append_new(waiting, place);
    }
    json_object_set_new(out, "ticks", list);
    json_object_set_new(out, "waiting", waiting);
    json_object_set_new(out, "active", json_integer(jget_i64(op->record, "active", 0)));
    json_object_set_new(
        out, "max_concurrency", json_integer(jget_i64(op->record, "max_concurrency", 1)));
    api_reply_json(call, 200, out);
}

static void ticks_on_record(void *owner, const json_t *record, const struct err *err)
{
    struct ticks *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    op->record = api_keep(op->call, json_incref((json_t *)record));
    recurring_ticks(op->call->api->ticker, recurring_id(op->call), ticks_on_lines, op);
}

static void handle_ticks(struct api_call *call)
{
    struct ticks *op = pool_calloc(call->req.pool, 1, sizeof *op);
    op->call = call;
    recurring_get(call->api->ticker, recurring_id(call), ticks_on_record, op);
}

/* ---- which come next ---- */

struct next {
    struct api_call *call;
    int64_t count;
};

static void next_on_record(void *owner, const json_t *record, const struct err *err)
{
    struct next *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    json_t *out = api_keep(op->call, json_object());
    json_object_set_new(out, "ticks", recurring_explain(record, clock_now_us(), (size_t)op->count));
    json_object_set_new(out, "enabled", json_boolean(jget_bool(record, "enabled", false)));
    json_object_set_new(out, "generation", json_integer(jget_i64(record, "generation", 0)));
    api_reply_json(op->call, 200, out);
}

static void handle_next(struct api_call *call)
{
    struct err err = ERR_INIT;
    const char *n = http_query(&call->req, "n");
    struct next *op = pool_calloc(call->req.pool, 1, sizeof *op);
    op->call = call;
    op->count = NEXT_DEFAULT;
    if (n != NULL && n[0] != '\0' && parse_i64(n, 1, NEXT_MAX, "n", &op->count, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    recurring_get(call->api->ticker, recurring_id(call), next_on_record, op);
}

#define BASE "/apis/rondo/v1/recurringruns/{recurring_run_id}"
const struct route routes_recurring[] = {
    {"POST", BASE ":pause", handle_pause, ROUTE_TOKEN},
    {"POST", BASE ":resume", handle_resume, ROUTE_TOKEN},
    {"POST", BASE ":skip", handle_skip, ROUTE_TOKEN},
    {"POST", BASE ":fire", handle_fire, ROUTE_TOKEN},
    {"GET", BASE "/ticks", handle_ticks, ROUTE_TOKEN},
    {"GET", BASE "/next", handle_next, ROUTE_TOKEN},
    {"PATCH", BASE, handle_edit, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
