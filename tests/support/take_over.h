/* SPDX-License-Identifier: Apache-2.0 */
/* Have a store hold all shards, as a daemon that is alone does. Header only. */
#ifndef TESTS_TAKE_OVER_H
#define TESTS_TAKE_OVER_H

#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/store.h"
#include "base/util.h"

struct take_over {
    struct store *store;
    unsigned next;
    void (*done)(void *owner, const struct err *err);
    void *owner;
};

static inline void take_over_on_epoch(void *owner, redisReply *reply, const struct err *err)
{
    struct take_over *t = owner;
    if (err == NULL) {
        store_set_epoch(t->store, t->next++, reply_int(reply, 0));
    }
    if (err == NULL && t->next < store_shards(t->store)) {
        return;
    }
    t->done(t->owner, err);
    free(t);
}

/* Whoever held them is fenced. Commands are done in order, so nothing given later is. done once;
 * nothing may fail. */
static inline void take_over(
    struct store *store, void (*done)(void *owner, const struct err *err), void *owner)
{
    struct take_over *t = xcalloc(1, sizeof(*t));
    t->store = store;
    t->done = done;
    t->owner = owner;
    for (unsigned i = 0; i < store_shards(store); i++) {
        store_cmd(store, take_over_on_epoch, t, "INCR %sepoch", store_shard_prefix(store, i));
    }
}

#endif
