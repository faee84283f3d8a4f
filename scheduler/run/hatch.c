/* SPDX-License-Identifier: Apache-2.0 */
/* Runs as claims create them, and giving them the records of every other run: born.lua.in. */
#include "scheduler/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/store.h"
#include "base/util.h"
#include "run_scripts.h"

struct run_hatching {
    struct store_call *call;
    run_hatch_fn *done;
    void *owner;
};

void run_born_head(struct buf *out, int64_t created_us, int64_t scheduled_us, int64_t generation,
    const char *recurring_run_id, const char *experiment_id, const char *detail)
{
    buf_addf(out, "%" PRId64 " %" PRId64 " %" PRId64 " %s %s %s ", created_us, scheduled_us,
        generation, recurring_run_id, experiment_id, detail);
}

static void on_hatched(void *owner, redisReply *reply, const struct err *err)
{
    struct run_hatching *hatching = owner;
    run_hatch_fn *done = hatching->done;
    void *whose = hatching->owner;
    free(hatching);
    FAULT("run.hatch.after");
    struct err shape = ERR_INIT;
    if (err == NULL && (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)) {
        err_set(&shape, ERR_INTERNAL, "run_hatch.lua answered in an unknown shape");
        err = &shape;
    }
    if (err != NULL) {
        done(whose, NULL, 0, 0, err);
        return;
    }
    struct id *ids = xcalloc(reply->elements, sizeof(*ids));
    size_t count = 0;
    for (size_t i = 1; i < reply->elements; i++) {
        const char *id = reply_str(reply->element[i]);
        if (id != NULL && id_is_valid(id)) {
            memcpy(ids[count++].text, id, ID_LEN);
        }
    }
    done(whose, ids, count, reply_int(reply->element[0], 0), NULL);
    free(ids);
}

struct run_hatching *run_hatch(struct store *store, unsigned shard, const struct id *ids,
    size_t count, size_t any, int64_t ledger_max, run_hatch_fn *done, void *owner)
{
    const char *prefix = store_shard_prefix(store, shard);
    struct store_args *args = store_args_new();
    store_key(args, "%sborn", prefix);
    store_arg(args, prefix);
    store_arg_i(args, ledger_max > 0 ? ledger_max : RUN_LEDGER_MAX);
    store_arg_i(args, (int64_t)any);
    for (size_t i = 0; i < count; i++) {
        store_arg_b(args, ids[i].text, ID_LEN);
    }
    struct run_hatching *hatching = xcalloc(1, sizeof(*hatching));
    hatching->done = done;
    hatching->owner = owner;
    FAULT("run.hatch.before");
    hatching->call = store_eval(store, &script_run_hatch, args, on_hatched, hatching);
    return hatching;
}

void run_hatch_cancel(struct run_hatching *hatching)
{
    if (hatching != NULL) {
        store_cancel(hatching->call);
        free(hatching);
    }
}
