/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Triggers in memory. The record is read from Redis with every message, so a change holds at once
 * and on every daemon; here only what was made of the same text is used again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/in/git_hooks.h"

#define KNOWN_MAX 1000

struct known_trigger {
    char *text;
    struct git_trigger *trigger;
};

void git_known_free(void *value)
{
    struct known_trigger *known = value;
    if (known != NULL) {
        git_trigger_unref(known->trigger);
        explicit_bzero(known->text, strlen(known->text));
        free(known->text);
        free(known);
    }
}

struct git_trigger *git_known_get(
    struct git_hooks *h, const char *id, const char *text, struct err *err)
{
    if (text == NULL) {
        map_remove(h->known, id);
        err_set(err, ERR_NOT_FOUND, "trigger %.64s does not exist", id);
        return NULL;
    }
    struct known_trigger *known = map_get(h->known, id);
    if (known != NULL && strcmp(known->text, text) == 0) {
        return git_trigger_ref(known->trigger);
    }
    json_t *record = git_record_read(h->set.seal, text, err);
    struct git_trigger *trigger = record != NULL ? git_trigger_load(record, err) : NULL;
    json_decref(record);
    if (trigger == NULL) {
        if (err->code == ERR_INVALID) {
            err->code = ERR_INTERNAL; /* ours, not the sender's */
        }
        return NULL;
    }
    if (map_count(h->known) >= KNOWN_MAX) {
        map_free(h->known);
        h->known = map_new(git_known_free);
    }
    known = xcalloc(1, sizeof *known);
    known->text = xstrdup(text);
    known->trigger = git_trigger_ref(trigger);
    map_put(h->known, id, known);
    return trigger;
}
