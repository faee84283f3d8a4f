/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets of a subscription's record, sealed on the way to Redis and opened on the way back. */
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/seal.h"
#include "base/util.h"
#include "webhooks/out/subscription.h"

static char *secrets_context(const json_t *record)
{
    return xasprintf("subscription/%s/secrets", jget_str(record, "id", ""));
}

/* With the URL: whoever changes that in Redis gets no header of ours sent there. */
static char *header_context(const json_t *record, const char *name)
{
    return xasprintf("subscription/%s/headers/%s for %s", jget_str(record, "id", ""), name,
        jget_str(record, "url", ""));
}

void subscription_seal(const struct seal *seal, json_t *record)
{
    json_t *headers = json_object_get(record, "headers"), *value, *one;
    const char *name;
    size_t i;
    CLEANUP(cleanup_free) char *context = secrets_context(record);
    json_array_foreach(json_object_get(record, "secrets"), i, one)
    {
        seal_member(seal, context, one, "secret");
    }
    json_object_foreach(headers, name, value)
    {
        CLEANUP(cleanup_free) char *of_header = header_context(record, name);
        seal_member(seal, of_header, headers, name);
    }
}

bool subscription_seal_is_current(const struct seal *seal, const json_t *record)
{
    const json_t *headers = json_object_get(record, "headers");
    bool is_current = true;
    const char *name;
    json_t *value;
    size_t i;
    json_array_foreach(json_object_get(record, "secrets"), i, value)
    {
        is_current = is_current && seal_is_current(seal, jget_str(value, "secret", ""));
    }
    json_object_foreach((json_t *)headers, name, value)
    {
        is_current = is_current && seal_is_current(seal, jget_str(headers, name, ""));
    }
    return is_current;
}

int subscription_open(const struct seal *seal, json_t *record, struct err *err)
{
    json_t *headers = json_object_get(record, "headers"), *value, *one;
    const char *name;
    size_t i;
    CLEANUP(cleanup_free) char *context = secrets_context(record);
    json_array_foreach(json_object_get(record, "secrets"), i, one)
    {
        if (seal_open_member(seal, context, one, "secret", err) != 0) {
            return -1;
        }
    }
    json_object_foreach(headers, name, value)
    {
        CLEANUP(cleanup_free) char *of_header = header_context(record, name);
        if (seal_open_member(seal, of_header, headers, name, err) != 0) {
            return -1;
        }
    }
    return 0;
}

void subscription_wipe(json_t *record)
{
    json_t *value, *one;
    const char *name;
    size_t i;
    json_array_foreach(json_object_get(record, "secrets"), i, one)
    {
        seal_wipe(json_object_get(one, "secret"));
    }
    json_object_foreach(json_object_get(record, "headers"), name, value)
    {
        seal_wipe(value);
    }
    seal_wipe(json_object_get(record, "secret"));
}
