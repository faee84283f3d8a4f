/* SPDX-License-Identifier: Apache-2.0 */
/* Many asynchronous things within one call. */
#include "api/fanout.h"

#include "base/pool.h"

#include "api/api.h"

#define IN_FLIGHT 64

/* Items may end while they begin; the last thing done here may free f. */
static void step(struct fanout *f)
{
    if (f->is_stepping) {
        return;
    }
    f->is_stepping = true;
    while (f->begun < f->count && f->begun - f->ended < IN_FLIGHT && f->err.code == ERR_NONE) {
        f->begin(&f->items[f->begun++]);
    }
    f->is_stepping = false;
    if (f->ended == f->begun && (f->begun == f->count || f->err.code != ERR_NONE)) {
        f->done(f);
    }
}

void fanout_run(struct api_call *call, size_t count, void (*begin)(struct fanout_item *item),
    void (*done)(struct fanout *fanout), void *owner)
{
    struct fanout *f = pool_alloc(call->req.pool, sizeof *f);
    f->call = call;
    f->owner = owner;
    f->begin = begin;
    f->done = done;
    f->count = count;
    f->items = pool_calloc(call->req.pool, count, sizeof *f->items);
    for (size_t i = 0; i < count; i++) {
        f->items[i] = (struct fanout_item){.fanout = f, .index = i};
    }
    step(f);
}

void fanout_item_done(void *owner, const json_t *record, const struct err *err)
{
    struct fanout_item *item = owner;
    struct fanout *f = item->fanout;
    f->ended++;
    if (err != NULL) {
        if (f->err.code == ERR_NONE) {
            err_copy(&f->err, err);
        }
    } else {
        item->result = api_keep(f->call, json_incref((json_t *)record));
    }
    step(f);
}
