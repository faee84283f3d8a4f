/* SPDX-License-Identifier: Apache-2.0 */
/* Archiving all runs of an experiment, one script for each shard. */
#include "scheduler/run.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/store.h"
#include "base/util.h"
#include "run_scripts.h"

struct archiving {
    run_json_fn *done;
    void *owner;
};

static void on_archived(void *owner, redisReply *reply, const struct err *err)
{
    struct archiving *op = owner;
    run_json_fn *done = op->done;
    void *done_owner = op->owner;
    free(op);
    if (err != NULL) {
        done(done_owner, NULL, err);
        return;
    }
    json_t *count = json_integer(reply_int(reply, 0));
    done(done_owner, count, NULL);
    json_decref(count);
}

void run_archive_shard(
    struct store *store, unsigned shard, const char *experiment_id, run_json_fn *done, void *owner)
{
    struct archiving *op = xcalloc(1, sizeof *op);
    op->done = done;
    op->owner = owner;
    const char *prefix = store_shard_prefix(store, shard);
    struct store_args *args = store_args_new();
    store_key(args, "%sexperiment:%s:runs", prefix, experiment_id);
    store_arg(args, prefix);
    store_eval(store, &script_run_archive, args, on_archived, op);
}
