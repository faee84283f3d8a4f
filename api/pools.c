/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/rondo/v1/pools: how many runs may be in progress at once, who is, and who waits. */
#include "scheduler/pools.h"

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"

#include "api/api.h"

static void on_list(void *owner, const json_t *pools, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    json_t *out = api_keep(call, json_object());
    json_object_set(out, "pools", (json_t *)pools);
    api_reply_json(call, 200, out);
}

static void handle_list(struct api_call *call)
{
    pool_list(call->api->store, on_list, call);
}

/* Instants as everywhere in the API. */
static void show_times(json_t *runs)
{
    size_t i;
    json_t *run;
    json_array_foreach(runs, i, run)
    {
        int64_t since_us = jget_i64(run, "since_us", 0);
        json_object_del(run, "since_us");
        jset_time(run, "since", since_us);
    }
}

static void on_got(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    json_t *out = api_keep(call, json_deep_copy(record));
    show_times(json_object_get(out, "holders"));
    show_times(json_object_get(out, "queue"));
    api_reply_json(call, 200, out);
}

static void handle_get(struct api_call *call)
{
    pool_get(call->api->store, api_arg(call, "name"), on_got, call);
}

static void on_set(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err == NULL) {
        engine_pools_changed(call->api->engine);
    }
    api_reply_record(call, record, err);
}

static void handle_set(struct api_call *call)
{
    static const char *const keys[] = {"slots", NULL};
    struct err err = ERR_INIT;
    int64_t slots = -1;
    const json_t *body = api_body_json(call);
    if (body == NULL) {
        return; /* already answered */
    }
    if (jread_only(body, "", keys, &err) != 0 ||
        jread_i64(body, "", "slots", 0, POOL_SLOTS_MAX, &slots, &err) != 0) {
        api_fail(call, &err);
    } else if (slots < 0) {
        api_fail_as(call, ERR_INVALID, "slots: missing; a number from 0 to %d", POOL_SLOTS_MAX);
    } else {
        pool_set(call->api->store, api_arg(call, "name"), slots, on_set, call);
    }
}

static void handle_delete(struct api_call *call)
{
    pool_delete(call->api->store, api_arg(call, "name"), on_set, call);
}

#define BASE "/apis/rondo/v1/pools"
const struct route routes_pools[] = {
    {"GET", BASE, handle_list, ROUTE_TOKEN},
    {"GET", BASE "/{name}", handle_get, ROUTE_TOKEN},
    {"PUT", BASE "/{name}", handle_set, ROUTE_TOKEN},
    {"DELETE", BASE "/{name}", handle_delete, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
