/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/rondo/v1/events/types: the catalogue of events, and their JSON Schemas. */
#include "webhooks/event_types.h"

#include <stddef.h>

#include "base/json.h"
#include "base/util.h"

#include "api/api.h"

static void handle_list(struct api_call *call)
{
    size_t count;
    const struct event_type *types = event_types(&count);
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(rows, event_type_json(&types[i]));
    }
    api_reply_json(call, 200, api_keep(call, json_pack("{s:o}", "types", rows)));
}

static const struct event_type *asked_type(struct api_call *call)
{
    const char *name = api_arg(call, "type");
    const struct event_type *type = event_type_find(name);
    if (type == NULL) {
        api_fail_as(call, ERR_NOT_FOUND,
            "there is no event type '%.64s'; GET /apis/rondo/v1/events/types lists them", name);
    }
    return type;
}

static void handle_get(struct api_call *call)
{
    const struct event_type *type = asked_type(call);
    if (type != NULL) {
        api_reply_json(call, 200, api_keep(call, event_type_json(type)));
    }
}

static void handle_schema(struct api_call *call)
{
    const struct event_type *type = asked_type(call);
    if (type != NULL) {
        CLEANUP(json_decrefp) json_t *schema = event_type_schema(type);
        CLEANUP(cleanup_free) char *text = jtext(schema);
        api_reply_text(call, 200, "application/schema+json", text);
    }
}

#define BASE "/apis/rondo/v1/events/types"
const struct route routes_events[] = {
    {"GET", BASE, handle_list, ROUTE_TOKEN},
    {"GET", BASE "/{type}/schema", handle_schema, ROUTE_TOKEN},
    {"GET", BASE "/{type}", handle_get, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
