/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes: which members of an event go where. */
#include "webhooks/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"

int envelope_make(const json_t *event, struct envelope *out)
{
    char at[CLOCK_TEXT_MAX];
    clock_format_us(jget_i64(event, "time_us", 0), at);
    json_t *body = json_pack("{s:s,s:s,s:O}", "type", jget_str(event, "type", ""), "timestamp", at,
        "data", json_object_get(event, "data"));
    *out = (struct envelope){.body = jtext(body), .content_type = "application/json"};
    out->body_len = strlen(out->body);
    json_decref(body);
    return 0;
}

void envelope_done(struct envelope *envelope)
{
    free(envelope->body);
    json_decref(envelope->headers);
    *envelope = (struct envelope){0};
}
