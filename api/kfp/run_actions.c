/* SPDX-License-Identifier: Apache-2.0 */
/* Archive, terminate and delete runs. */
#include "api/kfp/run_actions.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/pool.h"

#include "scheduler/catalog.h"
#include "scheduler/run.h"

#include "api/api.h"

/* A live run is ended before it is deleted; so long its end is waited for. */
#define DELETE_WAIT_US (25 * US_PER_S)
#define DELETE_FIRST_MS 20
#define DELETE_SLOWEST_MS 500

void run_archive_handle(struct api_call *call)
{
    run_set_storage(call->api->store, api_arg(call, "run_id"), "ARCHIVED", api_reply_done, call);
}

/* ---- unarchive: not below an archived experiment ---- */

static void on_experiment(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL && err->code != ERR_NOT_FOUND) {
        api_fail(call, err);
        return;
    }
    if (err == NULL && strcmp(jget_str(record, "state", ""), "ARCHIVED") == 0) {
        api_fail_as(call, ERR_PRECONDITION,
            "run %s belongs to the archived experiment '%s'; unarchive that first",
            api_arg(call, "run_id"), jget_str(record, "name", ""));
        return;
    }
    run_set_storage(call->api->store, api_arg(call, "run_id"), "AVAILABLE", api_reply_done, call);
}

static void on_run(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    experiment_get(call->api->catalog, jget_str(record, "experiment_id", ""), on_experiment, call);
}

void run_unarchive_handle(struct api_call *call)
{
    run_get(call->api->store, api_arg(call, "run_id"), false, on_run, call);
}

/* ---- terminate, retry ---- */

static void on_canceling(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err == NULL) {
        engine_wake(call->api->engine, api_arg(call, "run_id"));
    }
    api_reply_done(owner, record, err);
}

void run_terminate_handle(struct api_call *call)
{
    run_cancel(call->api->store, api_arg(call, "run_id"), on_canceling, call);
}

static void on_retried(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    api_fail_unimplemented(
        call, "retry is not built yet; create a new run with the same parameters");
}

void run_retry_handle(struct api_call *call)
{
    run_get(call->api->store, api_arg(call, "run_id"), false, on_retried, call);
}

/* ---- delete ---- */

struct deletion {
    struct api_call *call;
    const char *id;
    struct timer timer;
    int64_t wait_ms, until_us;
    bool is_canceled;
};

static void try_delete(void *owner);

static void timer_free(void *timer)
{
    timer_done(timer);
}

static void wait_and_try(struct deletion *op)
{
    timer_start_ms(&op->timer, op->wait_ms);
    op->wait_ms = op->wait_ms * 2 < DELETE_SLOWEST_MS ? op->wait_ms * 2 : DELETE_SLOWEST_MS;
}

static void on_delete_canceled(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct deletion *op = owner;
    if (err != NULL) {
        api_fail(op->call, err);
        return;
    }
    engine_wake(op->call->api->engine, op->id);
    wait_and_try(op);
}

static void on_deleted(void *owner, const json_t *record, const struct err *err)
{
    struct deletion *op = owner;
    if (err == NULL || err->code != ERR_PRECONDITION || clock_mono_us() >= op->until_us) {
        api_reply_done(op->call, record, err);
    } else if (!op->is_canceled) {
        op->is_canceled = true;
        run_cancel(op->call->api->store, op->id, on_delete_canceled, op);
    } else {
        wait_and_try(op);
    }
}

static void try_delete(void *owner)
{
    struct deletion *op = owner;
    engine_delete(op->call->api->engine, op->id, on_deleted, op);
}

void run_delete_handle(struct api_call *call)
{
    struct deletion *op = pool_alloc(call->req.pool, sizeof *op);
    op->call = call;
    op->id = api_arg(call, "run_id");
    op->wait_ms = DELETE_FIRST_MS;
    op->until_us = clock_mono_us() + DELETE_WAIT_US;
    timer_init(&op->timer, call->api->loop, try_delete, op);
    pool_on_free(call->req.pool, timer_free, &op->timer);
    try_delete(op);
}
