/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/rondo/v1/triggers/git, and the address that forges post to. */
#include <stddef.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include "webhooks/webhooks.h"

#include "api/api.h"

#define EVENTS_DEFAULT 50
#define EVENTS_MAX 1000

static void handle_create(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        git_trigger_create(call->api->git_hooks, body, api_reply_record, call);
    }
}

static void handle_list(struct api_call *call)
{
    size_t size;
    const char *token;
    if (api_query_page(call, &size, &token)) {
        git_trigger_all(call->api->git_hooks, size, token, api_reply_record, call);
    }
}

static void handle_get(struct api_call *call)
{
    git_trigger_get(call->api->git_hooks, api_arg(call, "id"), api_reply_record, call);
}

static void handle_patch(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        git_trigger_patch(call->api->git_hooks, api_arg(call, "id"), body, api_reply_record, call);
    }
}

static void switch_to(struct api_call *call, bool is_enabled)
{
    static const char *const none[] = {NULL};
    struct err err = ERR_INIT;
    const json_t *given = api_body_json(call);
    if (given == NULL) {
        return;
    }
    if (jread_only(given, "", none, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    const json_t *body = api_keep(call, json_pack("{s:b}", "enabled", is_enabled));
    git_trigger_patch(call->api->git_hooks, api_arg(call, "id"), body, api_reply_record, call);
}

static void handle_enable(struct api_call *call)
{
    switch_to(call, true);
}

static void handle_disable(struct api_call *call)
{
    switch_to(call, false);
}

static void handle_rotate(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        git_trigger_rotate(call->api->git_hooks, api_arg(call, "id"), body, api_reply_record, call);
    }
}

static void handle_delete(struct api_call *call)
{
    git_trigger_delete(call->api->git_hooks, api_arg(call, "id"), api_reply_done, call);
}

/* ---- what came ---- */

static void handle_events(struct api_call *call)
{
    struct err err = ERR_INIT;
    int64_t max = EVENTS_DEFAULT;
    static const char *const known[] = {"page_size", "n", NULL};
    if (!api_query_only(call, known)) {
        return;
    }
    const char *name = http_query(&call->req, "page_size") != NULL ? "page_size" : "n";
    const char *text = http_query(&call->req, name);
    if (text != NULL && parse_i64(text, 1, EVENTS_MAX, name, &max, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    git_events(call->api->git_hooks, api_arg(call, "id"), (size_t)max, api_reply_record, call);
}

static void handle_event(struct api_call *call)
{
    git_event_get(
        call->api->git_hooks, api_arg(call, "id"), api_arg(call, "event"), api_reply_record, call);
}

static void handle_explain(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        git_trigger_explain(
            call->api->git_hooks, api_arg(call, "id"), body, api_reply_record, call);
    }
}

static void handle_redeliver(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        git_event_redeliver(call->api->git_hooks, api_arg(call, "id"), api_arg(call, "event"), body,
            api_reply_record, call);
    }
}

static void handle_drop(struct api_call *call)
{
    git_event_drop(
        call->api->git_hooks, api_arg(call, "id"), api_arg(call, "event"), api_reply_record, call);
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
    {"POST", BASE "/{id}/events/{event}:redeliver", handle_redeliver, ROUTE_TOKEN},
    {"POST", BASE "/{id}/events/{event}:drop", handle_drop, ROUTE_TOKEN},
    {"GET", BASE "/{id}/events/{event}", handle_event, ROUTE_TOKEN},
    {"GET", BASE "/{id}/events", handle_events, ROUTE_TOKEN},
    {"POST", BASE "/{id}:enable", handle_enable, ROUTE_TOKEN},
    {"POST", BASE "/{id}:disable", handle_disable, ROUTE_TOKEN},
    {"POST", BASE "/{id}:rotate", handle_rotate, ROUTE_TOKEN},
    {"POST", BASE "/{id}:explain", handle_explain, ROUTE_TOKEN},
    {"GET", BASE "/{id}", handle_get, ROUTE_TOKEN},
    {"PATCH", BASE "/{id}", handle_patch, ROUTE_TOKEN},
    {"DELETE", BASE "/{id}", handle_delete, ROUTE_TOKEN},
    {"POST", "/hooks/git/{id}", handle_hook, ROUTE_SIGNED},
    {"GET", "/hooks/git/{id}", handle_hook,
        ROUTE_SIGNED}, /* Gitea can send its payload in the URL */
    {"POST", "/hooks/{id}", handle_hook, ROUTE_SIGNED},
    {"GET", "/hooks/{id}", handle_hook, ROUTE_SIGNED},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
