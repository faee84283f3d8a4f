/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins catalogue, run engine and ticker. Starting is a chain of steps, each retried while Redis
 * is away; nothing fires before the live runs are known, so that limits count them.
 */
#include "scheduler/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/secret.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/recurring.h"
#include "scheduler/run.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 2000
#define EPOCH_CHECK_MS 2000

enum scheduler_state {
    SCHEDULER_STATE_NEW,
    SCHEDULER_STATE_CHECKING_SHARDS,
    SCHEDULER_STATE_TAKING_OVER,
    SCHEDULER_STATE_CHECKING_REDIS,
    SCHEDULER_STATE_LOADING_RUNS,
    SCHEDULER_STATE_LOADING_SCHEDULES,
    SCHEDULER_STATE_RUNNING,
    SCHEDULER_STATE_STOPPED,
};

struct scheduler {
    struct scheduler_settings set;
    enum scheduler_state state;
    struct catalog *catalog;
    struct engine *engine;
    struct ticker *ticker;
    struct timer retry, epoch_check;
    struct store_call *epoch_call;
    uint64_t checked_connection; /* store_connections() when memory and Redis were last compared */
    int64_t backoff_ms;
    void (*done)(void *owner, const struct err *err);
    void *owner;
    void (*fenced)(void *owner);
    void *fenced_owner;
};

static void scheduler_step(struct scheduler *s);

static void scheduler_finish(struct scheduler *s, const struct err *err)
{
    void (*done)(void *, const struct err *) = s->done;
    s->done = NULL;
    if (done != NULL) {
        done(s->owner, err);
    }
}

/* One step answered: go to the next one, retry this one, or give up. */
static void scheduler_answered(
    struct scheduler *s, const struct err *err, enum scheduler_state next)
{
    if (s->state == SCHEDULER_STATE_STOPPED) {
        return;
    }
    if (err == NULL) {
        s->backoff_ms = RETRY_MIN_MS;
        s->state = next;
        scheduler_step(s);
        return;
    }
    if (!err_is_transient(err)) {
        scheduler_finish(s, err);
        return;
    }
    LOG_WARN("start is waiting", "for=%s error=%s", LOG_Q(scheduler_waits_for(s)), LOG_Q(err->msg));
    uint16_t jitter;
    random_bytes(&jitter, sizeof jitter);
    timer_start_ms(&s->retry, s->backoff_ms + jitter % (s->backoff_ms / 2 + 1));
    s->backoff_ms = s->backoff_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : s->backoff_ms * 2;
}

/* The number of shards says where every record is: with another one, half of them would vanish. */
static void on_shards(void *owner, redisReply *reply, const struct err *err)
{
    struct scheduler *s = owner;
    unsigned ours = store_shards(s->set.store);
    int64_t there = err == NULL ? reply_int(reply, 0) : 0;
    struct err other = ERR_INIT;
    if (err == NULL && there != (int64_t)ours) {
        err_set(&other, ERR_PRECONDITION,
            "shards: this Redis holds records in %lld shards, and the setting is %u; start with "
            "--shards %lld",
            (long long)there, ours, (long long)there);
        err = &other;
    }
    scheduler_answered(s, err, SCHEDULER_STATE_TAKING_OVER);
}

static void check_shards(struct scheduler *s)
{
    const char *prefix = store_catalog_prefix(s->set.store);
    store_cmd(s->set.store, NULL, NULL, "SET %sshards %u NX", prefix, store_shards(s->set.store));
    store_cmd(s->set.store, on_shards, s, "GET %sshards", prefix);
}

static void on_taken_over(void *owner, const struct err *err)
{
    scheduler_answered(owner, err, SCHEDULER_STATE_CHECKING_REDIS);
}

/* Say plainly what a crash of Redis could lose. Managed services refuse CONFIG: say that too. */
static void on_redis_config(void *owner, redisReply *reply, const struct err *err)
{
    const char *aof = NULL, *fsync = NULL, *policy = NULL;
    if (err == NULL) {
        aof = reply_field(reply, "appendonly");
        fsync = reply_field(reply, "appendfsync");
        policy = reply_field(reply, "maxmemory-policy");
    }
    if (aof == NULL) {
        LOG_WARN(
            "redis does not tell its persistence settings; make sure appendonly is on", "%s", "");
    } else if (strcmp(aof, "yes") != 0) {
        LOG_WARN("redis keeps no append-only file: a crash of Redis loses what changed since its "
                 "last snapshot; set appendonly yes",
            "appendonly=%s", aof);
    } else {
        LOG_INFO("redis persists", "appendfsync=%s crash_may_lose=%s",
            str_eq(fsync, "always") ? "always" : fsync,
            str_eq(fsync, "always") ? "nothing" : "the-last-second");
    }
    if (policy != NULL && strcmp(policy, "noeviction") != 0) {
        LOG_WARN("redis may throw records away when memory is short; set maxmemory-policy "
                 "noeviction",
            "maxmemory_policy=%s", policy);
    }
    scheduler_answered(
        owner, err != NULL && err_is_transient(err) ? err : NULL, SCHEDULER_STATE_LOADING_RUNS);
}

static void on_runs_loaded(void *owner, const struct err *err)
{
    scheduler_answered(owner, err, SCHEDULER_STATE_LOADING_SCHEDULES);
}

static void on_ticker_started(void *owner, const struct err *err)
{
    scheduler_answered(owner, err, SCHEDULER_STATE_RUNNING);
}

static void scheduler_step(struct scheduler *s)
{
    switch (s->state) {
    case SCHEDULER_STATE_NEW:
        s->state = SCHEDULER_STATE_CHECKING_SHARDS;
        /* fall through */
    case SCHEDULER_STATE_CHECKING_SHARDS:
        check_shards(s);
        break;
    case SCHEDULER_STATE_TAKING_OVER:
        store_take_over(s->set.store, on_taken_over, s);
        break;
    case SCHEDULER_STATE_CHECKING_REDIS:
        store_cmd(
            s->set.store, on_redis_config, s, "CONFIG GET appendonly appendfsync maxmemory-policy");
        break;
    case SCHEDULER_STATE_LOADING_RUNS:
        engine_start(s->engine, on_runs_loaded, s);
        break;
    case SCHEDULER_STATE_LOADING_SCHEDULES:
        ticker_start(s->ticker, on_ticker_started, s);
        break;
    case SCHEDULER_STATE_RUNNING:
        s->checked_connection = store_connections(s->set.store);
        timer_start_ms(&s->epoch_check, EPOCH_CHECK_MS);
        scheduler_finish(s, NULL);
        break;
    case SCHEDULER_STATE_STOPPED:
        break;
    }
}

static void scheduler_retry(void *owner)
{
    scheduler_step(owner);
}

/* ---- while running: are we still the owner, and is Redis what it was? ---- */

static void on_owner_again(void *owner, const struct err *err)
{
    struct scheduler *s = owner;
    if (s->state != SCHEDULER_STATE_RUNNING) {
        return;
    }
    if (err != NULL) {
        LOG_WARN("taking over again failed, trying once more", "error=%s", LOG_Q(err->msg));
    } else {
        /* Both have stopped what was refused meanwhile. */
        ticker_start(s->ticker, NULL, NULL);
        engine_look_again(s->engine);
    }
    timer_start_ms(&s->epoch_check, EPOCH_CHECK_MS);
}

static void on_epoch(void *owner, redisReply *reply, const struct err *err)
{
    struct scheduler *s = owner;
    s->epoch_call = NULL;
    int64_t ours = store_epoch(s->set.store), there = err == NULL ? reply_int(reply, 0) : ours;
    if (there > ours) {
        LOG_ERROR("another daemon took over this Redis", "epoch=%lld theirs=%lld", (long long)ours,
            (long long)there);
        if (s->fenced != NULL) {
            s->fenced(s->fenced_owner);
        }
        return;
    }
    if (there < ours) {
        LOG_ERROR("redis has lost that this daemon is its owner (an older file, or emptied?); "
                  "taking over again",
            "epoch=%lld found=%lld", (long long)ours, (long long)there);
        store_take_over(s->set.store, on_owner_again, s);
        return;
    }
    if (err == NULL && s->checked_connection != store_connections(s->set.store)) {
        s->checked_connection = store_connections(s->set.store);
        engine_look_again(s->engine);
    }
    timer_start_ms(&s->epoch_check, EPOCH_CHECK_MS);
}

static void check_epoch(void *owner)
{
    struct scheduler *s = owner;
    s->epoch_call =
        store_cmd(s->set.store, on_epoch, s, "GET %sepoch", store_catalog_prefix(s->set.store));
}

/* A run ended: a firing of its recurring run may have been waiting for the slot. */
static void on_run_end(void *owner, const char *run_id, const char *recurring_run_id)
{
    struct scheduler *s = owner;
    (void)run_id;
    if (recurring_run_id != NULL && recurring_run_id[0] != '\0') {
        ticker_wake(s->ticker, recurring_run_id);
    }
}

struct scheduler *scheduler_new(const struct scheduler_settings *settings)
{
    struct scheduler *s = xcalloc(1, sizeof *s);
    s->set = *settings;
    s->backoff_ms = RETRY_MIN_MS;
    s->catalog = catalog_new(settings->loop, settings->store);
    struct engine_settings engine = {
        .loop = settings->loop,
        .store = settings->store,
        .catalog = s->catalog,
        .artifacts = settings->artifacts,
        .executor = settings->executor,
        .max_steps = settings->max_steps,
        .step_timeout_ms = settings->step_timeout_ms,
        .lost_retries = settings->lost_retries,
        .forget_after_ms = settings->forget_after_ms,
        .max_tasks_per_run = settings->max_tasks_per_run,
        .run_exit_tasks_on_cancel = settings->run_exit_tasks_on_cancel,
        .exit_tasks_timeout_ms = settings->exit_tasks_timeout_ms,
        .backend_final_status = settings->backend_final_status,
        .cache = settings->cache,
        .cache_max_age_ms = settings->cache_max_age_ms,
        .cache_max_entries = settings->cache_max_entries,
        .volume_storage_class = settings->volume_storage_class,
        .history_max_runs = settings->history_max_runs,
        .history_max_age_ms = settings->history_max_age_ms,
    };
    s->engine = engine_new(&engine);
    struct ticker_settings ticker = {
        .loop = settings->loop,
        .store = settings->store,
        .catalog = s->catalog,
        .engine = s->engine,
        .claim_batch = settings->claim_batch,
    };
    s->ticker = ticker_new(&ticker);
    engine_on_run_end(s->engine, on_run_end, s);
    timer_init(&s->retry, settings->loop, scheduler_retry, s);
    timer_init(&s->epoch_check, settings->loop, check_epoch, s);
    return s;
}

void scheduler_start(
    struct scheduler *s, void (*done)(void *owner, const struct err *err), void *owner)
{
    s->done = done;
    s->owner = owner;
    scheduler_step(s);
}

const char *scheduler_waits_for(const struct scheduler *s)
{
    switch (s->state) {
    case SCHEDULER_STATE_NEW:
    case SCHEDULER_STATE_CHECKING_SHARDS:
    case SCHEDULER_STATE_TAKING_OVER:
    case SCHEDULER_STATE_CHECKING_REDIS:
        return "Redis";
    case SCHEDULER_STATE_LOADING_RUNS:
        return "loading live runs from Redis";
    case SCHEDULER_STATE_LOADING_SCHEDULES:
        return "loading recurring runs from Redis";
    case SCHEDULER_STATE_RUNNING:
        return store_is_up(s->set.store) ? NULL : "Redis";
    case SCHEDULER_STATE_STOPPED:
        return "the end: the daemon is stopping";
    }
    return NULL;
}

void scheduler_on_fenced(struct scheduler *s, void (*fn)(void *owner), void *owner)
{
    s->fenced = fn;
    s->fenced_owner = owner;
}

void scheduler_stop(struct scheduler *s)
{
    s->state = SCHEDULER_STATE_STOPPED;
    timer_stop(&s->retry);
    timer_stop(&s->epoch_check);
    store_cancel(STEAL(s->epoch_call));
    ticker_stop(s->ticker);
    engine_stop(s->engine);
}

void scheduler_free(struct scheduler *s)
{
    if (s == NULL) {
        return;
    }
    ticker_free(s->ticker);
    engine_free(s->engine);
    catalog_free(s->catalog);
    store_cancel(s->epoch_call);
    timer_done(&s->retry);
    timer_done(&s->epoch_check);
    free(s);
}

struct catalog *scheduler_catalog(struct scheduler *s)
{
    return s->catalog;
}

struct engine *scheduler_engine(struct scheduler *s)
{
    return s->engine;
}

struct ticker *scheduler_ticker(struct scheduler *s)
{
    return s->ticker;
}
