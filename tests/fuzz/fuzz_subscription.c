/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a subscription, as anybody with a token may send it. What is taken comes out of its
 * record as it went in, is shown without its secrets, and gives no header that is two.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/egress.h"
#include "webhooks/out/subscription.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_headers(const struct subscription *s)
{
    for (size_t i = 0; i < s->header_count; i++) {
        const char *line = s->headers[i].line;
        assert(strpbrk(line, "\r\n") == NULL);
        assert(strstr(line, ": ") == line + strlen(s->headers[i].name));
    }
}

static void check_shown(const struct subscription *s, const json_t *body)
{
    CLEANUP(json_decrefp) json_t *shown = subscription_shown(s);
    assert(json_object_get(shown, "headers") == NULL);
    assert(json_object_get(shown, "secret") == NULL);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value)
    {
        /* null is the default; numbers may have been text */
        if (json_is_string(value) && strcmp(key, "secret") != 0 && strcmp(key, "scheme") != 0 &&
            json_is_string(json_object_get(shown, key))) {
            assert(json_equal(value, json_object_get(shown, key)));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char event_text[] =
        "{\"id\":\"11111111-2222-4333-8444-555555555555\",\"type\":\"run.finished\","
        "\"time_us\":5,\"data\":{\"run_id\":\"r\",\"pipeline_name\":\"p\",\"state\":\"FAILED\"}}";
    struct err err = ERR_INIT;
    struct egress_settings settings = {.allow = "10.0.0.0/8"};
    CLEANUP(json_decrefp) json_t *body = jread_text((const char *)data, size, "body", &err);
    struct egress *egress = egress_new(&settings, NULL);
    struct subscription *s = body != NULL ? subscription_from_body(body, egress, &err) : NULL;
    if (s == NULL) {
        assert(err.code != ERR_NONE && err.msg[0] != '\0');
        egress_free(egress);
        return 0;
    }
    CLEANUP(json_decrefp) json_t *record = subscription_record(s);
    struct subscription *again = subscription_from_record(record, &err);
    assert(again != NULL);
    CLEANUP(json_decrefp) json_t *record_again = subscription_record(again);
    assert(json_equal(record, record_again));
    check_headers(again);
    check_shown(again, body);
    CLEANUP(json_decrefp) json_t *event = json_loads(event_text, 0, NULL);
    bool wants = subscription_wants(again, event, &err);
    assert(wants ? again->is_enabled && err.code == ERR_NONE : true);
    CLEANUP(cleanup_free) char *signature = subscription_sign(again, "id", 1, "x", 1);
    assert(str_starts(signature, "v1"));
    subscription_free(s);
    subscription_free(again);
    egress_free(egress);
    return 0;
}
