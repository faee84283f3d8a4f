/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/rondo/v1/triggers/git, and the address that forges post to. */
#include <stddef.h>

#include "base/err.h"
#include "base/json.h"

#include "webhooks/webhooks.h"

#include "api/api.h"

static void reply_list(void *owner, const json_t *records, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    json_t *out = api_keep(call, json_object());
    json_object_set(out, "triggers", (json_t *)records);
    api_reply_json(call, 200, out);
}

static void handle_create(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        git_trigger_create(call->api->git_hooks, body, api_reply_record, call);
    }
}

static void handle_list(struct api_call *call)
{
    git_trigger_all(call->api->git_hooks, reply_list, call);
}

static void handle_get(struct api_call *call)
{
    git_trigger_get(call->api->git_hooks, api_arg(call, "id"), api_reply_record, call);
}

static void handle_delete(struct api_call *call)
{
    git_trigger_delete(call->api->git_hooks, api_arg(call, "id"), api_reply_done, call);
}

static void on_received(void *owner)
{
    api_reply(owner);
}

static void handle_hook(struct api_call *call)
{
    git_hooks_receive(
        call->api->git_hooks, api_arg(call, "id"), &call->req, &call->resp, on_received, call);
}

#define BASE "/apis/rondo/v1/triggers/git"
const struct route routes_git[] = {
    {"POST", BASE, handle_create, ROUTE_TOKEN},
    {"GET", BASE, handle_list, ROUTE_TOKEN},
    {"GET", BASE "/{id}", handle_get, ROUTE_TOKEN},
    {"DELETE", BASE "/{id}", handle_delete, ROUTE_TOKEN},
    {"POST", "/hooks/git/{id}", handle_hook, ROUTE_SIGNED},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
