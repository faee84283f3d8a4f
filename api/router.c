/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to its handler: the route tables, and the checks that all requests share. */
#include "api/server.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"

#include "api/guard.h"

static const struct route *const tables[] = {
    routes_health,
    routes_runs,
    routes_recurring_runs,
    routes_recurring,
    routes_backfill,
    routes_experiments,
    routes_pipelines,
    routes_details,
    routes_daemons,
    routes_pools,
    routes_schedules,
    routes_webhooks,
    routes_deliveries,
    routes_events,
    routes_git,
    routes_internal,
#ifdef TESTING
    routes_testing,
#endif
};

/* Most patterns are told apart by their text before the first capture. */
static bool may_match(const char *pattern, const char *path)
{
    size_t fixed = strcspn(pattern, "{");
    return strncmp(pattern, path, fixed) == 0;
}

/*
 * The first route whose pattern matches wins, so tables list "{id}:verb" before "{id}". When
 * only the method differs, *path_known_out tells so.
 */
static const struct route *find_route(struct api_call *call, bool *path_known_out)
{
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct route *route = tables[t]; route->method != NULL; route++) {
            if (!may_match(route->pattern, call->req.path)) {
                continue;
            }
            struct http_fields args = {0};
            if (!http_path_match(call->req.pool, route->pattern, call->req.path, &args)) {
                continue;
            }
            if (strcmp(route->method, call->req.method) == 0) {
                call->args = args;
                return route;
            }
            *path_known_out = true;
        }
    }
    return NULL;
}

static int check_caller(
    const struct api_call *call, const char *listen, enum route_auth auth, struct err *err)
{
    if (auth != ROUTE_TOKEN) {
        return 0;
    }
    if (guard_host(call->api, listen, &call->req, err) != 0 ||
        guard_origin(call->api, &call->req, err) != 0 ||
        guard_token(call->api, &call->req, err) != 0) {
        return -1;
    }
    return 0;
}

void router_handle(struct api_call *call, const char *listen)
{
    struct err err = ERR_INIT;
    bool path_known = false;
    const struct route *route = find_route(call, &path_known);
    if (check_caller(call, listen, route != NULL ? route->auth : ROUTE_TOKEN, &err) != 0) {
        api_fail(call, &err);
    } else if (route == NULL && path_known) {
        api_fail_unimplemented(call, "Method Not Allowed");
    } else if (route == NULL) {
        api_fail_as(call, ERR_NOT_FOUND, "Not Found");
    } else if (call->api->is_draining && route->auth != ROUTE_OPEN) {
        api_fail_as(call, ERR_TRANSIENT, "the daemon is stopping; try again in a moment");
    } else {
        route->handle(call);
    }
}

const char *api_arg(const struct api_call *call, const char *name)
{
    const char *value = http_fields_get(&call->args, name);
    assert(value != NULL);
    return value;
}
