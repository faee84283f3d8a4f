/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: which runs are in memory, who gets the next free slot, and the calls of run.h. What
 * happens inside one run is in step.c, attempt.c and save.c; reading runs in is load.c, and which
 * shards are ours is shards.c.
 */
#include "run/engine.h"
#include "run/expiry.h"
#include "run/pools.h"
#include "run/workspace.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"

/* ---- slots ---- */

void engine_ring_add(struct live *run)
{
    struct engine *engine = run->engine;
    if (run->ring_next != NULL || engine->shards[run->shard].is_held) {
        return;
    }
    if (engine->ring == NULL) {
        run->ring_next = run->ring_prev = run;
        engine->ring = run;
        return;
    }
    /* Behind all others: just before the one whose turn it is. */
    struct live *next = engine->ring;
    run->ring_next = next;
    run->ring_prev = next->ring_prev;
    next->ring_prev->ring_next = run;
    next->ring_prev = run;
}

void engine_ring_remove(struct live *run)
{
    struct engine *engine = run->engine;
    if (run->ring_next == NULL) {
        return;
    }
    if (engine->ring == run) {
        engine->ring = run->ring_next == run ? NULL : run->ring_next;
    }
    run->ring_prev->ring_next = run->ring_next;
    run->ring_next->ring_prev = run->ring_prev;
    run->ring_prev = run->ring_next = NULL;
}

void engine_slot_take(struct task *task)
{
    task->holds_slot = true;
    task->run->engine->running++;
    task->run->engine->shards[task->run->shard].running++;
}

void engine_fill(struct engine *engine)
{
    int64_t max = engine->set.max_steps > 0 ? engine->set.max_steps : INT64_MAX;
    while (!engine->is_stopping && engine->running < max && engine->ring != NULL) {
        struct live *run = engine->ring;
        engine->ring = run->ring_next;
        struct task *task = queue_pop(run);
        if (task != NULL && task->state == TASK_STATE_WAITING) {
            engine_slot_take(task);
            attempt_begin(task);
        }
    }
}

static void engine_on_fill(void *owner)
{
    engine_fill(owner);
}

void engine_slot_release(struct task *task)
{
    struct engine *engine = task->run->engine;
    if (!task->holds_slot) {
        return;
    }
    task->holds_slot = false;
    engine->running--;
    engine->shards[task->run->shard].running--;
    if (engine->ring != NULL) {
        loop_defer(engine->set.loop, &engine->fill, engine_on_fill, engine);
    }
}

/* ---- runs ---- */

struct live *engine_find(struct engine *engine, const char *run_id)
{
    return map_get(engine->runs, run_id);
}

static void release_slots(struct task *task)
{
    if (task == NULL) {
        return;
    }
    engine_slot_release(task);
    for (size_t i = 0; i < task->child_count; i++) {
        release_slots(task->children[i]); /* NULL: an iteration that is over */
    }
}

void engine_forget_run(struct live *run)
{
    struct engine *engine = run->engine;
    run->is_gone = true;
    release_slots(run->root);
    while (queue_pop(run) != NULL) {
    }
    map_remove(engine->runs, run->id.text);
    live_free(run);
}

void engine_drop_run(struct live *run, const char *why)
{
    LOG_ERROR("run is given up by this daemon", "run=%s reason=%s", run->id.text, LOG_Q(why));
    engine_forget_run(run);
}

void engine_reload_run(struct live *run, const char *why)
{
    struct engine *engine = run->engine;
    struct id id = run->id;
    LOG_ERROR("redis has lost what it had confirmed; the run goes on from what is left",
        "run=%s reason=%s", id.text, LOG_Q(why));
    engine_forget_run(run);
    load_add(engine, id.text, NULL, NULL);
}

void engine_wrote_events(struct live *run)
{
    struct engine *engine = run->engine;
    if (engine->events != NULL) {
        engine->events(engine->events_owner, run->shard);
    }
}

void engine_run_ended(struct live *run)
{
    struct engine *engine = run->engine;
    struct id id = run->id;
    char *rr CLEANUP(cleanup_free) = xstrdup(live_text(run, "recurring_run_id"));
    const json_t *trigger = json_object_get(run->record, "trigger");
    bool is_of_git = str_eq(jget_str(trigger, "kind", NULL), "git");
    engine->counts.runs_succeeded += run->state == RUN_STATE_SUCCEEDED;
    engine->counts.runs_failed += run->state == RUN_STATE_FAILED;
    engine->counts.runs_canceled += run->state == RUN_STATE_CANCELED;
    workspaces_run_ended(engine->workspaces, run);
    pools_leave(run);
    int64_t expires_us = run_expires_us(run);
    if (expires_us > 0 && engine->expiry != NULL) {
        expiry_add(engine->expiry, expires_us);
    }
    engine_forget_run(run);
    if (engine->run_end != NULL) {
        engine->run_end(engine->run_end_owner, id.text, rr, is_of_git);
    }
}

/* ---- the executor's news ---- */

static struct task *find_attempt(struct engine *engine, const struct attempt_name *name)
{
    struct live *run = engine_find(engine, name->run_id);
    struct task *task = run == NULL ? NULL : map_get(run->by_id, name->task_id);
    if (task == NULL || task->state != TASK_STATE_RUNNING || !task->is_started ||
        task->tries - 1 != name->attempt) {
        LOG_DEBUG("news of an attempt that is over", "run=%s task=%s attempt=%d", name->run_id,
            name->task_id, name->attempt);
        return NULL;
    }
    return task;
}

static void engine_on_running(void *owner, const struct attempt_name *name)
{
    struct task *task = find_attempt(owner, name);
    if (task != NULL) {
        LOG_DEBUG("step is running", "run=%s task=%s attempt=%d", name->run_id, LOG_Q(task->path),
            name->attempt);
    }
}

static void engine_on_done(
    void *owner, const struct attempt_name *name, const struct attempt_result *result)
{
    struct task *task = find_attempt(owner, name);
    if (task != NULL) {
        attempt_on_done(task, result);
    }
}

static void nobody_on_running(void *owner UNUSED, const struct attempt_name *name UNUSED)
{
}

static void nobody_on_done(void *owner UNUSED, const struct attempt_name *name UNUSED,
    const struct attempt_result *result UNUSED)
{
}

/* ---- waking ---- */

static void engine_on_look(void *owner, redisReply *reply, const struct err *err);

void engine_look(struct live *run)
{
    if (run->look != NULL) {
        run->look_again = true;
        return;
    }
    struct store *store = run->engine->set.store;
    run->look_again = false;
    run->look = store_cmd(store, engine_on_look, run, "HMGET %srun:%s state rev cancels",
        store_shard_prefix(store, run->shard), run->id.text);
}

static void engine_on_look(void *owner, redisReply *reply, const struct err *err)
{
    struct live *run = owner;
    run->look = NULL;
    if (err == NULL && reply->elements == 3) {
        const char *state = reply_str(reply->element[0]);
        int64_t confirmed = run->rev - (run->save != NULL ? 1 : 0);
        if (state == NULL) {
            engine_drop_run(run, "its record is gone");
            return;
        }
        if (reply_int(reply->element[1], 0) < confirmed) {
            engine_reload_run(run, "its record is older than the last save");
            return;
        }
        if (strcmp(state, "CANCELING") == 0) {
            run->cancels = reply_int(reply->element[2], 0);
            run_begin_cancel(run);
        }
    }
    /* While Redis is away a command waits for it, so asking again at once is no busy loop. */
    if (run->look_again || (err != NULL && err_is_transient(err))) {
        engine_look(run);
    }
}

size_t engine_busy(const struct engine *engine)
{
    return engine->saving + map_count(engine->loads);
}

void engine_wake(struct engine *engine, const char *run_id)
{
    if (engine->is_stopping || run_id == NULL || !id_is_valid(run_id) ||
        !shards_has(engine, run_id)) {
        return;
    }
    struct live *run = engine_find(engine, run_id);
    if (run == NULL) {
        load_add(engine, run_id, NULL, NULL);
    } else if (!run_state_is_final(run->state)) {
        engine_look(run);
        if (run->is_waiting) {
            pools_ask(run);
        }
    }
}

void engine_look_soon(struct engine *engine)
{
    if (engine->overlooked != NULL) {
        overlooked_soon(engine->overlooked);
    }
}

void engine_fenced(struct engine *engine, unsigned shard)
{
    if (engine->fenced != NULL) {
        engine->fenced(engine->fenced_owner, shard);
    }
}

/* ---- start and end ---- */

struct engine *engine_new(const struct engine_settings *settings)
{
    struct engine *engine = xcalloc(1, sizeof(*engine));
    engine->set = *settings;
    engine->runs = map_new(NULL);
    engine->loads = map_new(NULL);
    shards_init(engine);
    engine->farewells = farewells_new(engine);
    engine->pools = pools_new(engine);
    struct executor_listener listener = {
        .on_running = engine_on_running,
        .on_done = engine_on_done,
        .owner = engine,
    };
    settings->executor.ops->listen(settings->executor.self, &listener);
    return engine;
}

void engine_stop(struct engine *engine)
{
    engine->is_stopping = true;
    if (store_is_up(engine->set.store)) {
        farewells_say_all(engine->farewells);
    }
    pools_stop(engine->pools);
    janitor_free(engine->janitor);
    engine->janitor = NULL;
    overlooked_free(engine->overlooked);
    engine->overlooked = NULL;
    expiry_free(engine->expiry);
    engine->expiry = NULL;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    struct executor_listener nobody = {.on_running = nobody_on_running, .on_done = nobody_on_done};
    engine->set.executor.ops->listen(engine->set.executor.self, &nobody);
    engine->is_stopping = true;
    janitor_free(engine->janitor);
    deletions_leave(engine);
    overlooked_free(engine->overlooked);
    expiry_free(engine->expiry);
    workspaces_free(engine->workspaces);
    log_readers_free(engine);
    farewells_free(engine->farewells);
    shards_done(engine);
    load_free_all(engine);
    struct map_iter it = {0};
    const char *key;
    void *value;
    while (map_next(engine->runs, &it, &key, &value)) {
        struct live *run = value;
        run->is_gone = true;
        live_free(run);
    }
    map_free(engine->runs);
    pools_free(engine->pools);
    loop_defer_cancel(engine->set.loop, &engine->fill);
    free(engine->shards);
    free(engine);
}

void engine_on_run_end(struct engine *engine, engine_run_end_fn *fn, void *owner)
{
    engine->run_end = fn;
    engine->run_end_owner = owner;
}

void engine_on_fenced(struct engine *engine, void (*fn)(void *owner, unsigned shard), void *owner)
{
    engine->fenced = fn;
    engine->fenced_owner = owner;
}

void engine_on_events(struct engine *engine, void (*fn)(void *owner, unsigned shard), void *owner)
{
    engine->events = fn;
    engine->events_owner = owner;
}

void engine_counts(const struct engine *engine, struct engine_counts *out)
{
    *out = engine->counts;
    out->live_runs = (int64_t)(map_count(engine->runs) + map_count(engine->loads));
    out->running_steps = engine->running;
    out->waiting_steps = engine->queued;
}
