/* SPDX-License-Identifier: Apache-2.0 */
/* What became of events: deliveries, their attempts, and sending them again. */
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"
#include "webhooks/webhooks.h"

#include "api/api.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

/* RFC 3339, or how long ago ("2h"). */
static int read_instant(
    const struct api_call *call, const char *name, int64_t *us_out, struct err *err)
{
    const char *text = http_query(&call->req, name);
    return text == NULL || text[0] == '\0'
               ? 0
               : clock_parse_or_ago(text, name, clock_now_us(), us_out, err);
}

static int read_size(const struct api_call *call, size_t *out, struct err *err)
{
    int64_t size = PAGE_DEFAULT;
    const char *name = http_query(&call->req, "page_size") != NULL ? "page_size" : "n";
    const char *text = http_query(&call->req, name);
    if (text != NULL && parse_i64(text, 1, PAGE_MAX, name, &size, err) != 0) {
        return -1;
    }
    *out = (size_t)size;
    return 0;
}

static void handle_list(struct api_call *call)
{
    static const char *const known[] = {
        "state", "type", "run_id", "since", "until", "page_size", "page_token", "n", NULL};
    struct err err = ERR_INIT;
    if (!api_query_only(call, known)) {
        return;
    }
    struct delivery_query query = {
        .subscription_id = api_arg(call, "id"),
        .state = http_query(&call->req, "state"),
        .type = http_query(&call->req, "type"),
        .run_id = http_query(&call->req, "run_id"),
        .page_token = http_query(&call->req, "page_token"),
    };
    if (read_size(call, &query.max, &err) != 0 ||
        read_instant(call, "since", &query.since_us, &err) != 0 ||
        read_instant(call, "until", &query.until_us, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    delivery_list(call->api->sender, &query, api_reply_record, call);
}

static void handle_get(struct api_call *call)
{
    delivery_get(call->api->sender, api_arg(call, "id"), api_reply_record, call);
}

static void handle_redeliver(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        delivery_redeliver(call->api->sender, api_arg(call, "id"), body, api_reply_record, call);
    }
}

static void handle_redeliver_all(struct api_call *call)
{
    const json_t *body = api_body_json(call);
    if (body != NULL) {
        subscription_redeliver(
            call->api->sender, api_arg(call, "id"), body, api_reply_record, call);
    }
}

#define BASE "/apis/rondo/v1"
const struct route routes_deliveries[] = {
    {"GET", BASE "/subscriptions/{id}/deliveries", handle_list, ROUTE_TOKEN},
    {"POST", BASE "/subscriptions/{id}:redeliver", handle_redeliver_all, ROUTE_TOKEN},
    {"POST", BASE "/deliveries/{id}:redeliver", handle_redeliver, ROUTE_TOKEN},
    {"GET", BASE "/deliveries/{id}", handle_get, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
