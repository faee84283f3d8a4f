/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /apis/rondo/v1/recurringruns/{id}:backfill - fire the ticks of a range in the past. A
 * backfill is a recurring run of its own, of the same schedule and parameters, whose start and end
 * are the range: it catches up one tick after another under its own limits, and is paused, looked
 * at and deleted like any other.
 */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"

#include "scheduler/recurring.h"
#include "scheduler/schedule.h"

#include "api/api.h"
#include "api/kfp/recurring_view.h"

#define TICKS_MAX 100000
#define CONCURRENCY_MAX 1000000

struct backfill {
    struct api_call *call;
    const json_t *in;
    int64_t start_us, end_us, max_concurrency;
    int64_t before_us; /* a start after which its first tick is that of start_us */
    bool is_dry;
    json_t *more;
};

static int read_body(struct backfill *op, struct err *err)
{
    static const char *const keys[] = {
        "start_time", "end_time", "dry_run", "max_concurrency", "priority", "pool", NULL};
    op->max_concurrency = 1;
    if (jread_only(op->in, "", keys, err) != 0 ||
        jread_time(op->in, "", "start_time", &op->start_us, err) != 0 ||
        jread_time(op->in, "", "end_time", &op->end_us, err) != 0 ||
        jread_bool(op->in, "", "dry_run", &op->is_dry, err) != 0 ||
        jread_i64(op->in, "", "max_concurrency", 1, CONCURRENCY_MAX, &op->max_concurrency, err) !=
            0) {
        return -1;
    }
    if (op->start_us <= 0 || op->end_us <= 0) {
        return err_set(err, ERR_INVALID,
            "start_time and end_time: both are needed, as in \"2026-01-01T00:00:00Z\"");
    }
    if (op->end_us < op->start_us) {
        return err_set(err, ERR_INVALID, "end_time: it is before start_time");
    }
    if (op->end_us > clock_now_us()) {
        return err_set(
            err, ERR_INVALID, "end_time: it is in the future; those ticks fire by themselves");
    }
    return 0;
}

/* {"ticks": those that will fire, "excluded", "first", "last"}; new reference. */
static json_t *count_ticks(struct backfill *op, const json_t *record, struct err *err)
{
    struct schedule *schedule =
        schedule_parse(record, jget_str(record, "backfill_of", jget_str(record, "id", "")), err);
    if (schedule == NULL) {
        return NULL;
    }
    char why[SCHEDULE_WHY_MAX];
    int64_t ticks = 0, excluded = 0, first = 0, last = 0;
    /* An interval has its phase from the range's start. */
    bool is_interval = schedule_is_interval(schedule);
    op->before_us = is_interval
                        ? 2 * op->start_us - schedule_next(schedule, op->start_us, op->start_us)
                        : op->start_us - 1;
    int64_t at = is_interval ? op->start_us : schedule_next(schedule, 0, op->start_us - 1);
    for (; at > 0 && at <= op->end_us && ticks + excluded <= TICKS_MAX;
         at = schedule_next(schedule, op->start_us, at)) {
        if (schedule_is_excluded(schedule, at, why)) {
            excluded++;
            continue;
        }
        ticks++;
        first = first == 0 ? at : first;
        last = at;
    }
    schedule_free(schedule);
    if (ticks + excluded > TICKS_MAX) {
        err_set(
            err, ERR_LIMIT, "the range has more than %d ticks; backfill it in parts", TICKS_MAX);
        return NULL;
    }
    json_t *out =
        json_pack("{s:I,s:I}", "ticks", (json_int_t)ticks, "excluded", (json_int_t)excluded);
    if (ticks > 0) {
        char text[CLOCK_TEXT_MAX];
        json_object_set_new(out, "first", json_string(clock_format_s(first, text)));
        json_object_set_new(out, "last", json_string(clock_format_s(last, text)));
    }
    return out;
}

static void on_created(void *owner, const json_t *record, const struct err *err)
{
    struct backfill *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    api_reply_json(op->call, 200, api_keep(op->call, view_recurring(record, NULL, clock_now_us())));
}

static void create(struct backfill *op, const json_t *record, int64_t ticks)
{
    static const char *const kept[] = {
        "schedules", "profile", "dst", "include", "exclude", "pool", "priority"};
    const char *id = jget_str(record, "id", "");
    op->more = api_keep(op->call, json_object());
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        json_object_set(op->more, kept[i], json_object_get(record, kept[i]));
    }
    static const char *const own[] = {"pool", "priority"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        json_object_set(op->more, own[i], json_object_get(op->in, own[i]));
    }
    json_object_set_new(op->more, "backfill_of", json_string(id));
    json_object_set_new(op->more, "backfill_ticks", json_integer(ticks));
    const struct recurring_request request = {
        .name = pool_printf(op->call->req.pool, "%s: backfill", jget_str(record, "name", "")),
        .description = jget_str(record, "description", ""),
        .experiment_id = jget_str(record, "experiment_id", ""),
        .spec = jget_str(record, "spec", ""),
        .pipeline_name = jget_str(record, "pipeline_name", ""),
        .pipeline_id = jget_str(record, "pipeline_id", ""),
        .version_id = jget_str(record, "version_id", ""),
        .parameters = json_object_get(record, "parameters"),
        .artifacts = json_object_get(record, "artifacts"),
        .pipeline_root = jget_str(record, "pipeline_root", ""),
        .service_account = jget_str(record, "service_account", ""),
        .cron = jget_str(record, "cron", ""),
        .time_zone = jget_str(record, "time_zone", ""),
        .interval_s = jget_i64(record, "interval_s", 0),
        .start_us = op->before_us, /* a start that matches does not fire itself; here it is to */
        .end_us = op->end_us,
        .max_concurrency = op->max_concurrency,
        .is_enabled = true,
        .more = op->more,
    };
    recurring_create(op->call->api->ticker, &request, on_created, op);
}

static void on_record(void *owner, const json_t *record, const struct err *err)
{
    struct backfill *op = owner;
    struct err local = ERR_INIT;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    if (!schedule_is_given(record)) {
        err_set(&local, ERR_PRECONDITION, "it has no schedule, so there is nothing to backfill");
        api_fail(op->call, &local);
        return;
    }
    json_t *counted = count_ticks(op, record, &local);
    if (counted == NULL) {
        api_fail(op->call, &local);
        return;
    }
    api_keep(op->call, counted);
    int64_t ticks = jget_i64(counted, "ticks", 0);
    if (op->is_dry || ticks == 0) {
        api_reply_json(op->call, 200, counted);
    } else {
        create(op, record, ticks);
    }
}

static void handle_backfill(struct api_call *call)
{
    struct err err = ERR_INIT;
    struct backfill *op = pool_calloc(call->req.pool, 1, sizeof *op);
    op->call = call;
    op->in = api_body_json(call);
    if (op->in == NULL) {
        return;
    }
    if (read_body(op, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    recurring_get(call->api->ticker, api_arg(call, "recurring_run_id"), on_record, op);
}

const struct route routes_backfill[] = {
    {"POST", "/apis/rondo/v1/recurringruns/{recurring_run_id}:backfill", handle_backfill,
        ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
