/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event of any data in every format. First byte: which type it has. What comes out is JSON, its
 * headers are what a header may be, and it is small unless there was nothing left to leave out.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/out/envelope.h"
#include "webhooks/event_types.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct envelope *envelope)
{
    json_t *body = json_loads(envelope->body, 0, NULL);
    assert(body != NULL && strlen(envelope->body) == envelope->body_len);
    json_decref(body);
    for (size_t i = 0; i < json_array_size(envelope->headers); i++) {
        const char *line = json_string_value(json_array_get(envelope->headers, i));
        const char *value = strstr(line, ": ");
        assert(str_starts(line, "ce-") && value != NULL);
        for (const char *p = value + 2; *p != '\0'; p++) {
            assert(*p > 0x20 && *p < 0x7f && *p != '"');
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count;
    const struct event_type *types = event_types(&count);
    if (size == 0) {
        return 0;
    }
    struct err err = ERR_INIT;
    json_t *members = jread_text((const char *)data + 1, size - 1, "event", &err);
    if (!json_is_object(members)) {
        json_decref(members);
        return 0;
    }
    json_t *event =
        json_pack("{s:s,s:s,s:I,s:o}", "id", "4f000000-0000-5000-8000-000000000001", "type",
            types[data[0] % count].type, "time_us", (json_int_t)1764408780000001, "data", members);
    for (int format = 0; format <= SUBSCRIPTION_FORMAT_SLACK; format++) {
        for (int payload = 0; payload <= SUBSCRIPTION_PAYLOAD_THIN; payload++) {
            struct envelope envelope;
            if (envelope_make("https://rondo.example", (enum subscription_format)format,
                    (enum subscription_payload)payload, event, &envelope) == 0) {
                check(&envelope);
            }
            envelope_done(&envelope);
        }
    }
    json_decref(event);
    return 0;
}
