/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/rondo/v1/subscriptions: who is told about events. */
#include "webhooks/webhooks.h"

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include "api/api.h"

static void handle_create(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        subscription_create(call->api->sender, body, api_reply_record, call);
    }
}

static void handle_list(struct api_call *call)
{
    size_t size;
    const char *token;
    if (api_query_page(call, &size, &token)) {
        subscription_all(call->api->sender, size, token, api_reply_record, call);
    }
}

static void handle_get(struct api_call *call)
{
    subscription_get(call->api->sender, api_arg(call, "id"), api_reply_record, call);
}

static void handle_delete(struct api_call *call)
{
    subscription_delete(call->api->sender, api_arg(call, "id"), api_reply_done, call);
}

typedef void change_fn(
    struct sender *sender, const char *id, const json_t *body, webhook_json_fn *done, void *owner);

static void change(struct api_call *call, change_fn *fn)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        fn(call->api->sender, api_arg(call, "id"), body, api_reply_record, call);
    }
}

static void handle_patch(struct api_call *call)
{
    change(call, subscription_patch);
}

static void handle_rotate(struct api_call *call)
{
    change(call, subscription_rotate);
}

static void handle_enable(struct api_call *call)
{
    change(call, subscription_enable);
}

static void handle_disable(struct api_call *call)
{
    change(call, subscription_disable);
}

static void handle_ping(struct api_call *call)
{
    struct err err = ERR_INIT;
    int64_t wait_ms = -1;
    static const char *const none[] = {NULL};
    const char *wait = http_query(&call->req, "wait");
    static const char *const known[] = {"wait", NULL};
    const json_t *body = api_query_only(call, known) ? api_body_json(call) : NULL;
    if (body == NULL) {
        return;
    }
    if (jread_only(body, "", none, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    if (wait != NULL && parse_duration_ms(wait, "wait", &wait_ms, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    subscription_ping(call->api->sender, api_arg(call, "id"), wait_ms, api_reply_record, call);
}

#define BASE "/apis/rondo/v1/subscriptions"
const struct route routes_webhooks[] = {
    {"POST", BASE, handle_create, ROUTE_TOKEN},
    {"GET", BASE, handle_list, ROUTE_TOKEN},
    {"POST", BASE "/{id}:rotate", handle_rotate, ROUTE_TOKEN},
    {"POST", BASE "/{id}:enable", handle_enable, ROUTE_TOKEN},
    {"POST", BASE "/{id}:disable", handle_disable, ROUTE_TOKEN},
    {"POST", BASE "/{id}:ping", handle_ping, ROUTE_TOKEN},
    {"PATCH", BASE "/{id}", handle_patch, ROUTE_TOKEN},
    {"GET", BASE "/{id}", handle_get, ROUTE_TOKEN},
    {"DELETE", BASE "/{id}", handle_delete, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
