/* SPDX-License-Identifier: Apache-2.0 */
/* A trigger as somebody writes it, or as it may stand in Redis: it is refused with a place, or
 * usable. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "webhooks/in/git_change.h"
#include "webhooks/in/git_match.h"
#include "webhooks/in/git_trigger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct git_trigger *trigger)
{
    struct pool *pool = pool_new();
    json_t *payload = json_object();
    struct hook_message message = {.forge = FORGE_HMAC,
        .kind = HOOK_GENERIC,
        .delivery = "d",
        .event = "e",
        .repository = "a/b",
        .payload = payload};
    struct git_changes changes;
    struct git_reason reason;
    json_t *headers = json_object();
    git_changes_of(pool, &message, &changes);
    git_match(trigger, changes.items, headers, NULL, &reason);
    assert(reason.text[0] != '\0');
    json_decref(headers);
    json_decref(payload);
    pool_free(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    json_t *json = jread_text((const char *)data, size, "body", &err);
    if (!json_is_object(json)) {
        json_decref(json);
        return 0;
    }
    struct git_trigger *trigger = git_trigger_load(json, &err);
    if (trigger != NULL) {
        use(trigger);
        git_trigger_unref(trigger);
    } else {
        assert(err.code == ERR_INVALID || err.code == ERR_INTERNAL || err.code == ERR_LIMIT);
    }
    json_decref(git_trigger_public(json));
    err_clear(&err);
    json_t *record = git_trigger_from_body(json, NULL, &err);
    if (record == NULL) {
        assert((err.code == ERR_INVALID || err.code == ERR_LIMIT) && err.msg[0] != '\0');
    } else {
        /* What is taken can be read again, changed by nothing, and given another secret. */
        trigger = git_trigger_load(record, &err);
        assert(trigger != NULL);
        use(trigger);
        git_trigger_unref(trigger);
        json_t *nothing = json_object();
        json_t *same = git_trigger_from_body(nothing, record, &err);
        assert(same != NULL);
        json_t *rotated = git_trigger_rotated(record, NULL, 1, &err);
        assert(rotated != NULL);
        json_decref(rotated);
        json_decref(same);
        json_decref(nothing);
        json_decref(record);
    }
    json_decref(json);
    return 0;
}
