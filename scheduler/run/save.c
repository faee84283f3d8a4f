/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving a run: everything that changed since the last save, with its events, in one script
 * (run_save.lua). One save per run is under way at a time; what changes meanwhile goes into the
 * next. While Redis is away the same save is repeated until it is done: it is numbered, so
 * a save whose answer was lost is not done twice. Only then are attempts started and forgotten.
 */
#include "run/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/store.h"
#include "base/util.h"
#include "run/cache.h"
#include "run/engine.h"
#include "run/expiry.h"
#include "run/record.h"
#include "run_scripts.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
/* Records of tasks in one script; what has changed goes together, what is only new fills it up. */
#define TASKS_MAX 2000

struct saved_task {
    char *path, *record;
};

/* All that one save says; kept until it is known to be done. */
struct save {
    struct live *run;
    int64_t rev;
    bool has_state, is_final;
    enum run_state state;
    char *history, *outputs, *notices;
    struct saved_task *tasks;
    size_t task_count;
    char **events;
    size_t event_count;
    struct task **starts;
    size_t start_count;
    struct ended_attempt *ends;
    size_t end_count;
    struct cache_writes cached; /* results to be kept for later tasks */
    struct store_call *call;
    struct timer retry;
    int64_t backoff_ms;
    int failures;
};

void save_free(struct save *save)
{
    if (save == NULL) {
        return;
    }
    save->run->engine->saving--;
    store_cancel(save->call);
    timer_done(&save->retry);
    for (size_t i = 0; i < save->task_count; i++) {
        free(save->tasks[i].path);
        free(save->tasks[i].record);
    }
    for (size_t i = 0; i < save->event_count; i++) {
        free(save->events[i]);
    }
    free(save->tasks);
    free(save->events);
    free(save->starts);
    free(save->ends);
    free(save->history);
    cache_writes_free(&save->cached);
    free(save->outputs);
    free(save->notices);
    free(save);
}

/* ---- what to write ---- */

static void save_take_state(struct save *save)
{
    struct live *run = save->run;
    if (!run->is_state_dirty) {
        return;
    }
    run->is_state_dirty = false;
    save->has_state = true;
    save->state = run->state;
    save->is_final = run_state_is_final(run->state);
    save->history = STEAL(run->history);
    json_t *outputs CLEANUP(json_decrefp) = json_object();
    if (save->is_final && run->root != NULL && run->root->out_params != NULL) {
        json_object_set(outputs, "parameters", run->root->out_params);
        json_object_set(outputs, "artifacts", run->root->out_artifacts);
    }
    save->outputs = jtext(outputs);
}

static void save_take_task(struct save *save, struct task *task)
{
    json_t *record CLEANUP(json_decrefp) = task_to_json(task);
    save->tasks[save->task_count++] =
        (struct saved_task){.path = xstrdup(task->path), .record = jtext(record)};
    cache_writes_add(&save->cached, task);
}

static void save_take_tasks(struct save *save)
{
    struct live *run = save->run;
    size_t changed = run->dirty.count;
    size_t max = changed > TASKS_MAX ? changed : TASKS_MAX;
    save->tasks = xcalloc(max + 1, sizeof(*save->tasks));
    struct task *task;
    while ((task = unsaved_pop(run, &run->dirty)) != NULL) {
        save_take_task(save, task);
    }
    while (save->task_count < max && (task = unsaved_pop(run, &run->fresh)) != NULL) {
        save_take_task(save, task);
    }
    over_free(run);
}

static struct save *save_new(struct live *run)
{
    struct save *save = xcalloc(1, sizeof(*save));
    save->run = run;
    run->engine->saving++;
    save->rev = ++run->rev;
    save_take_state(save);
    save->notices = run->is_notices_dirty ? jtext(run->notices) : NULL;
    run->is_notices_dirty = false;
    save_take_tasks(save);
    save->events = STEAL(run->events);
    save->event_count = run->event_count;
    run->event_count = run->event_cap = 0;
    save->starts = STEAL(run->starts);
    save->start_count = run->start_count;
    run->start_count = run->start_cap = 0;
    save->ends = STEAL(run->ends);
    save->end_count = run->end_count;
    run->end_count = run->end_cap = 0;
    return save;
}

static struct store_args *save_args(const struct save *save)
{
    const struct live *run = save->run;
    const struct store *store = run->engine->set.store;
    const char *prefix = store_shard_prefix(store, run->shard);
    const char *id = run->id.text, *rr = live_text(run, "recurring_run_id");
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srun:%s", prefix, id);
    store_key(args, "%srun:%s:tasks", prefix, id);
    store_key(args, "%sevents", prefix);
    store_key(args, "%slive", prefix);
    store_key(args, "%sfinished", prefix);
    store_key(args, "%sexpiry", prefix);
    if (rr[0] != '\0') {
        store_key(args, "%sprogress", prefix);
        store_key(args, "%sdue", prefix);
    }
    store_arg_i(args, store_shard_epoch(store, run->shard));
    store_arg(args, id);
    store_arg_i(args, save->rev);
    store_arg(args, save->has_state ? run_state_name(save->state) : "");
    store_arg(args, save->has_state ? save->history : "");
    store_arg(args, save->is_final ? "1" : "0");
    store_arg_i(args, run->started_us);
    store_arg_i(args, save->is_final ? run->finished_us : 0);
    store_arg(args, save->is_final && run->error != NULL ? run->error : "");
    store_arg(args, save->has_state ? save->outputs : "");
    store_arg(args, rr);
    store_arg_i(args, save->is_final ? run_expires_us(run) : 0);
    store_arg_i(args, (int64_t)save->task_count);
    for (size_t i = 0; i < save->task_count; i++) {
        store_arg(args, save->tasks[i].path);
        store_arg(args, save->tasks[i].record);
    }
    store_arg_i(args, (int64_t)save->event_count);
    for (size_t i = 0; i < save->event_count; i++) {
        store_arg(args, save->events[i]);
    }
    store_arg(args, save->notices != NULL ? save->notices : "");
    return args;
}

/* ---- writing it ---- */

static void save_on_reply(void *owner, redisReply *reply, const struct err *err);

static void save_send(struct save *save)
{
    if (save->is_final) {
        FAULT("run.end.before_save");
    }
    FAULT("run.save.before");
    save->call = store_eval(
        save->run->engine->set.store, &script_run_save, save_args(save), save_on_reply, save);
}

static void save_on_retry(void *owner)
{
    save_send(owner);
}

static void save_retry(struct save *save, const struct err *err)
{
    save->backoff_ms = save->backoff_ms == 0 ? RETRY_MIN_MS : save->backoff_ms * 2;
    if (save->backoff_ms > RETRY_MAX_MS) {
        save->backoff_ms = RETRY_MAX_MS;
    }
    uint16_t jitter;
    random_bytes(&jitter, sizeof(jitter));
    int64_t wait_ms = save->backoff_ms + save->backoff_ms * jitter / UINT16_MAX / 4;
    /* What passes is told once; anything else is a bug and told each time. */
    bool is_passing = err_is_transient(err) || err->code == ERR_FENCED;
    if (!is_passing || ++save->failures == 1) {
        LOG_AT(is_passing ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR,
            "run cannot be saved, trying until it can", "run=%s rev=%lld next_in_ms=%lld reason=%s",
            save->run->id.text, (long long)save->rev, (long long)wait_ms, LOG_Q(err->msg));
    }
    timer_start_ms(&save->retry, wait_ms);
}

/* It is written: now the world may see it. */
static void save_act(struct save *save)
{
    struct live *run = save->run;
    for (size_t i = 0; i < save->end_count; i++) {
        struct attempt_name name = {
            .run_id = run->id.text,
            .task_id = save->ends[i].task_id.text,
            .attempt = save->ends[i].attempt,
        };
        farewell_add(run->engine->farewells, &name);
    }
    cache_writes_send(&save->cached, run->engine);
    /* In a shard that is being given up whoever comes next starts them. */
    for (size_t i = 0; i < save->start_count && !run->engine->shards[run->shard].is_held; i++) {
        attempt_start(save->starts[i]);
    }
}

static void save_done(struct save *save, redisReply *reply)
{
    struct live *run = save->run;
    FAULT("run.save.after");
    if (save->failures > 0) {
        LOG_INFO("run is saved again", "run=%s rev=%lld", run->id.text, (long long)save->rev);
    }
    if (save->event_count > 0) {
        engine_wrote_events(run);
    }
    const char *state = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2
                            ? reply_str(reply->element[1])
                            : NULL;
    bool is_asked_to_end = str_eq(state, "CANCELING") && !run_state_is_final(run->state);
    run->save = NULL;
    if (is_asked_to_end) {
        run_begin_cancel(run);
    }
    save_act(save);
    bool is_final = save->is_final;
    save_free(save);
    if (is_final) {
        FAULT("run.end.after_save");
        engine_run_ended(run);
    } else {
        live_touch(run);
    }
}

static void save_on_reply(void *owner, redisReply *reply, const struct err *err)
{
    struct save *save = owner;
    save->call = NULL;
    if (err == NULL) {
        save_done(save, reply);
    } else if (err->code == ERR_NOT_FOUND) {
        engine_drop_run(save->run, err->msg);
    } else if (err->code == ERR_CONFLICT) {
        engine_reload_run(save->run, err->msg);
    } else {
        struct engine *engine = save->run->engine;
        unsigned shard = save->run->shard;
        save_retry(save, err);
        if (err->code == ERR_FENCED) {
            engine_fenced(engine, shard); /* and with it this run may go */
        }
    }
}

void save_start_if_needed(struct live *run)
{
    bool is_needed = run->dirty.first != NULL || run->fresh.first != NULL || run->is_state_dirty ||
                     run->event_count > 0 || run->start_count > 0 || run->end_count > 0;
    if (run->save != NULL || run->is_gone || !is_needed ||
        run->engine->shards[run->shard].is_held) {
        return;
    }
    run->save = save_new(run);
    timer_init(&run->save->retry, run->engine->set.loop, save_on_retry, run->save);
    save_send(run->save);
}
