/* SPDX-License-Identifier: Apache-2.0 */
/* Is the daemon alive, is it ready, and KFP's own health call. Metrics are in metrics.c. */
#include <stddef.h>

#include "base/json.h"
#include "base/store.h"

#include "scheduler/scheduler.h"

#include "api/api.h"
#include "api/metrics.h"

static void handle_kfp(struct api_call *call)
{
    json_t *out = api_keep(call, json_object());
    json_object_set_new(out, "commit_sha", json_string("rondo-" RONDO_VERSION));
    json_object_set_new(out, "tag_name", json_string(RONDO_VERSION));
    json_object_set_new(out, "multi_user", json_false());
    json_object_set_new(out, "pipeline_store", json_string("database"));
    api_reply_json(call, 200, out);
}

static void handle_alive(struct api_call *call)
{
    json_t *out = api_keep(call, json_object());
    json_object_set_new(out, "status", json_string("ok"));
    json_object_set_new(out, "version", json_string(RONDO_VERSION));
    api_reply_json(call, 200, out);
}

/* NULL when ready. */
static const char *waits_for(const struct api *api)
{
    if (api->is_draining) {
        return "calls under way to end: the daemon is stopping";
    }
    if (!store_is_up(api->store)) {
        return "Redis";
    }
    if (api->scheduler != NULL && scheduler_waits_for(api->scheduler) != NULL) {
        return scheduler_waits_for(api->scheduler);
    }
    return NULL;
}

static void handle_ready(struct api_call *call)
{
    const char *missing = waits_for(call->api);
    json_t *out = api_keep(call, json_object());
    json_object_set_new(out, "status", json_string(missing == NULL ? "ready" : "waiting"));
    jset_str(out, "waits_for", missing);
    api_reply_json(call, missing == NULL ? 200 : 503, out);
}

const struct route routes_health[] = {
    {"GET", "/apis/v2beta1/healthz", handle_kfp, ROUTE_OPEN},
    {"GET", "/healthz", handle_alive, ROUTE_OPEN},
    {"GET", "/readyz", handle_ready, ROUTE_OPEN},
    {"GET", "/metrics", metrics_handle, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_OPEN},
};
