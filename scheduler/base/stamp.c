/* SPDX-License-Identifier: Apache-2.0 */
/* Stamps: built from values, and read by one command. */
#include "base/stamp.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/store.h"
#include "base/util.h"

#define FIELDS_MAX 16
#define OVERFLOW_LEN SIZE_MAX

void stamp_add(struct stamp *stamp, const char *value)
{
    const char *text = value != NULL && value[0] != '\0' ? value : "0";
    size_t len = strlen(text);
    if (stamp->len == OVERFLOW_LEN || len + 2 > sizeof stamp->text - stamp->len) {
        stamp->len = OVERFLOW_LEN;
        stamp->text[0] = '\0';
        return;
    }
    memcpy(stamp->text + stamp->len, text, len);
    stamp->len += len;
    stamp->text[stamp->len++] = '\n';
    stamp->text[stamp->len] = '\0';
}

void stamp_add_i(struct stamp *stamp, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    stamp_add(stamp, text);
}

struct reading {
    stamp_done_fn *done;
    void *owner;
};

static void on_fields(void *owner, redisReply *reply, const struct err *err)
{
    struct reading *reading = owner;
    struct stamp stamp = {.len = 0};
    struct err local = ERR_INIT;
    bool any = false;
    for (size_t i = 0; err == NULL && i < reply->elements; i++) {
        const char *value = reply_str(reply->element[i]);
        any |= value != NULL;
        stamp_add(&stamp, value);
    }
    if (err == NULL && !any) {
        err_set(&local, ERR_NOT_FOUND, "the record does not exist");
        err = &local;
    }
    reading->done(reading->owner, err == NULL ? &stamp : NULL, err);
    free(reading);
}

void stamp_read(struct store *store, const char *key, const char *const *fields, size_t count,
    stamp_done_fn *done, void *owner)
{
    const char *argv[2 + FIELDS_MAX] = {"HMGET", key};
    size_t lens[2 + FIELDS_MAX] = {strlen("HMGET"), strlen(key)};
    assert(count <= FIELDS_MAX);
    for (size_t i = 0; i < count; i++) {
        argv[2 + i] = fields[i];
        lens[2 + i] = strlen(fields[i]);
    }
    struct reading *reading = xcalloc(1, sizeof *reading);
    reading->done = done;
    reading->owner = owner;
    store_argv(store, (int)(2 + count), argv, lens, on_fields, reading);
}
