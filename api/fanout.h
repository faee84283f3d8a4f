/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do one asynchronous thing for each of many items, a bounded number at a time, and go on when
 * all are done. The first failure stops further ones from beginning. Lives in the call's pool.
 */
#ifndef API_FANOUT_H
#define API_FANOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "base/err.h"

struct api_call;
struct fanout;

struct fanout_item {
    struct fanout *fanout;
    size_t index;
    json_t *result; /* what fanout_item_done was given, owned by the call */
};

struct fanout {
    struct api_call *call;
    void *owner;
    void (*begin)(struct fanout_item *item); /* starts one; must end in one fanout_item_... */
    void (*done)(struct fanout *fanout);     /* err.code tells */
    struct fanout_item *items;
    size_t count, begun, ended;
    struct err err;
    bool is_stepping;
};

/* With nothing to do, done is called at once. */
void fanout_run(struct api_call *call, size_t count, void (*begin)(struct fanout_item *item),
    void (*done)(struct fanout *fanout), void *owner);
/* One item has ended; fits the callbacks of catalog.h, run.h and recurring.h. */
void fanout_item_done(void *item, const json_t *record, const struct err *err);

#endif
