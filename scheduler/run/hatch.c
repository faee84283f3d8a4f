/* SPDX-License-Identifier: Apache-2.0 */
/* Runs as claims create them, and giving them the records of every other run: born.lua.in. */
#include "scheduler/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/json.h"
#include "base/store.h"
#include "base/util.h"
#include "run_scripts.h"

#define BORN_WORDS 6

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

/* The name of its recurring run: "<that>-<index>". */
static json_t *recurring_run_name(const char *run_name, int64_t index)
{
    char suffix[32];
    int len = snprintf(suffix, sizeof suffix, "-%" PRId64, index);
    size_t whole = strlen(run_name);
    bool has_suffix = whole >= (size_t)len && strcmp(run_name + whole - (size_t)len, suffix) == 0;
    return json_stringn(run_name, has_suffix ? whole - (size_t)len : whole);
}

json_t *run_fired_event(const char *run_id, const char *text, int64_t came_us)
{
    const char *words[BORN_WORDS + 1]; /* what run_born_head() adds, then the doc */
    words[0] = text;
    for (size_t i = 0; i < BORN_WORDS; i++) {
        const char *space = strchr(words[i], ' ');
        if (space == NULL) {
            return NULL;
        }
        words[i + 1] = space + 1;
    }
    int64_t scheduled_us;
    char scheduled[24];
    snprintf(scheduled, sizeof scheduled, "%.*s", (int)(words[2] - words[1] - 1), words[1]);
    if (parse_i64(scheduled, 0, INT64_MAX, "scheduled_us", &scheduled_us, NULL) != 0) {
        return NULL;
    }
    json_t *doc CLEANUP(json_decrefp) = json_loads(words[BORN_WORDS], 0, NULL);
    if (doc == NULL) {
        return NULL;
    }
    const char *name = jget_str(doc, "name", "");
    int64_t index = jget_i64(doc, "index", 0);
    struct id id;
    id_derive(&id, run_id, "recurring_run.fired");
    json_t *data = json_pack("{s:s%,s:o,s:s,s:s}", "recurring_run_id", words[3],
        (size_t)(words[4] - words[3] - 1), "recurring_run_name", recurring_run_name(name, index),
        "experiment_id", jget_str(doc, "experiment_id", ""), "pipeline_name",
        jget_str(doc, "pipeline_name", ""));
    if (id_is_valid(jget_str(doc, "pipeline_id", ""))) {
        jset_str(data, "pipeline_id", jget_str(doc, "pipeline_id", ""));
    }
    jset_str(data, "run_id", run_id);
    jset_str(data, "run_name", name);
    json_object_set_new(data, "index", json_integer(index));
    json_object_set_new(data, "scheduled_us", json_integer(scheduled_us));
    json_object_set_new(data, "lateness_us", json_integer(came_us - scheduled_us));
    return json_pack("{s:s,s:s,s:I,s:o}", "id", id.text, "type", "recurring_run.fired", "time_us",
        (json_int_t)came_us, "data", data);
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
