/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins catalogue, run engine and ticker, and starts and stops them shard by shard as the lease
 * says. Starting is a chain of steps, each retried while Redis is away.
 */
#include "scheduler/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/secret.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/lease.h"
#include "scheduler/recurring.h"
#include "scheduler/run.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 2000

enum scheduler_state {
    SCHEDULER_STATE_NEW,
    SCHEDULER_STATE_CHECKING_SHARDS,
    SCHEDULER_STATE_CHECKING_REDIS,
    SCHEDULER_STATE_JOINING,
    SCHEDULER_STATE_LOADING,
    SCHEDULER_STATE_RUNNING,
    SCHEDULER_STATE_STOPPED,
};

/* Our part of a shard. */
struct part {
    struct scheduler *s;
    unsigned number;
    bool is_started, is_loaded;
};

struct scheduler {
    struct scheduler_settings set;
    enum scheduler_state state;
    struct catalog *catalog;
    struct engine *engine;
    struct ticker *ticker;
    struct lease *lease;
    struct part *parts;
    unsigned part_count;
    struct timer retry;
    int64_t backoff_ms;
    void (*done)(void *owner, const struct err *err);
    void *owner;
    struct scheduler_listener listener;
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
    scheduler_answered(s, err, SCHEDULER_STATE_CHECKING_REDIS);
}

static void check_shards(struct scheduler *s)
{
    const char *prefix = store_catalog_prefix(s->set.store);
    store_cmd(s->set.store, NULL, NULL, "SET %sshards %u NX", prefix, store_shards(s->set.store));
    store_cmd(s->set.store, on_shards, s, "GET %sshards", prefix);
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
        owner, err != NULL && err_is_transient(err) ? err : NULL, SCHEDULER_STATE_JOINING);
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
    case SCHEDULER_STATE_CHECKING_REDIS:
        store_cmd(
            s->set.store, on_redis_config, s, "CONFIG GET appendonly appendfsync maxmemory-policy");
        break;
    case SCHEDULER_STATE_JOINING:
        lease_start(s->lease);
        break;
    case SCHEDULER_STATE_LOADING:
    case SCHEDULER_STATE_RUNNING:
    case SCHEDULER_STATE_STOPPED:
        break;
    }
}

static void scheduler_retry(void *owner)
{
    scheduler_step(owner);
}

/* ---- shards come and go ---- */

/* Running once all that was ours at first is loaded. */
static void run_if_loaded(struct scheduler *s)
{
    if (s->state != SCHEDULER_STATE_LOADING) {
        return;
    }
    for (unsigned i = 0; i < s->part_count; i++) {
        if (s->parts[i].is_started && !s->parts[i].is_loaded) {
            return;
        }
    }
    s->state = SCHEDULER_STATE_RUNNING;
    scheduler_finish(s, NULL);
}

static void on_settled(void *owner)
{
    struct scheduler *s = owner;
    if (s->state == SCHEDULER_STATE_JOINING) {
        s->state = SCHEDULER_STATE_LOADING;
        run_if_loaded(s);
    }
}

static void on_schedules_loaded(void *owner)
{
    struct part *part = owner;
    part->is_loaded = true;
    run_if_loaded(part->s);
}

/* Nothing fires before the live runs are known, so that limits count them. */
static void on_runs_loaded(void *owner)
{
    struct part *part = owner;
    struct scheduler *s = part->s;
    if (s->listener.shard_loaded != NULL) {
        s->listener.shard_loaded(s->listener.owner, part->number);
    }
    ticker_shard_start(s->ticker, part->number, on_schedules_loaded, part);
}

static void on_shard_start(void *owner, unsigned shard)
{
    struct scheduler *s = owner;
    struct part *part = &s->parts[shard];
    part->is_started = true;
    part->is_loaded = false;
    engine_shard_start(s->engine, shard, on_runs_loaded, part);
    if (s->listener.shard_start != NULL) {
        s->listener.shard_start(s->listener.owner, shard);
    }
}

/*
 * Steps that only we can see would be lost with the shard, so it stays until none is running. What
 * is under way at webhooks is left to end as well.
 */
static bool on_may_go(void *owner, unsigned shard)
{
    struct scheduler *s = owner;
    const struct part *part = &s->parts[shard];
    return !s->set.executor.ops->is_bound ||
           (part->is_loaded && engine_shard_is_idle(s->engine, shard));
}

static void on_hold(void *owner, unsigned shard)
{
    struct scheduler *s = owner;
    ticker_shard_stop(s->ticker, shard);
    engine_shard_hold(s->engine, shard);
    if (s->listener.shard_hold != NULL) {
        s->listener.shard_hold(s->listener.owner, shard);
    }
}

static bool on_is_quiet(void *owner, unsigned shard)
{
    struct scheduler *s = owner;
    return engine_shard_is_quiet(s->engine, shard) &&
           (s->listener.shard_is_idle == NULL ||
               s->listener.shard_is_idle(s->listener.owner, shard));
}

static void on_shard_stop(void *owner, unsigned shard, bool is_fenced)
{
    struct scheduler *s = owner;
    s->parts[shard].is_started = s->parts[shard].is_loaded = false;
    if (s->listener.shard_stop != NULL) {
        s->listener.shard_stop(s->listener.owner, shard);
    }
    ticker_shard_stop(s->ticker, shard);
    /* When nobody is there to go on with them, our steps wait for the daemon that comes next. */
    if (is_fenced || s->state != SCHEDULER_STATE_STOPPED || lease_has_others(s->lease)) {
        engine_shard_stop(s->engine, shard);
    }
    run_if_loaded(s);
}

static void on_reconnected(void *owner, unsigned shard)
{
    struct scheduler *s = owner;
    engine_shard_look(s->engine, shard);
    ticker_shard_look(s->ticker, shard);
}

static void on_knock(void *owner, unsigned shard, const char *kind, const char *id)
{
    struct scheduler *s = owner;
    if (id == NULL) {
        engine_shard_look(s->engine, shard);
        ticker_shard_reload(s->ticker, shard);
    } else if (strcmp(kind, "run") == 0) {
        engine_wake(s->engine, id);
    } else if (strcmp(kind, "events") == 0) {
        if (s->listener.events != NULL) {
            s->listener.events(s->listener.owner, shard);
        }
    } else {
        ticker_changed(s->ticker, id);
    }
}

static void on_displaced(void *owner)
{
    struct scheduler *s = owner;
    if (s->listener.displaced != NULL) {
        s->listener.displaced(s->listener.owner);
    }
}

static void on_refused(void *owner, unsigned shard)
{
    scheduler_check(owner, shard);
}

void scheduler_check(struct scheduler *s, unsigned shard)
{
    lease_check(s->lease, shard);
}

/* A run ended: a firing of its recurring run, or the next of its group, may have been waiting. */
static void on_run_end(
    void *owner, const char *run_id, const char *recurring_run_id, bool is_of_git)
{
    struct scheduler *s = owner;
    if (is_of_git && s->listener.git_run_ended != NULL) {
        s->listener.git_run_ended(s->listener.owner, run_id);
    }
    if (recurring_run_id != NULL && recurring_run_id[0] != '\0') {
        ticker_wake(s->ticker, recurring_run_id);
    }
}

static void make_lease(struct scheduler *s)
{
    const struct lease_settings lease = {
        .loop = s->set.loop,
        .store = s->set.store,
        .instance = s->set.instance,
        .host = s->set.host,
        .version = RONDO_VERSION,
    };
    const struct lease_owner owner = {
        .start = on_shard_start,
        .may_go = on_may_go,
        .hold = on_hold,
        .is_quiet = on_is_quiet,
        .stop = on_shard_stop,
        .regained = on_reconnected,
        .reconnected = on_reconnected,
        .knock = on_knock,
        .settled = on_settled,
        .displaced = on_displaced,
        .owner = s,
    };
    s->lease = lease_new(&lease, &owner);
    s->part_count = store_shards(s->set.store);
    s->parts = xcalloc(s->part_count, sizeof *s->parts);
    for (unsigned i = 0; i < s->part_count; i++) {
        s->parts[i].s = s;
        s->parts[i].number = i;
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
        .max_runs = settings->max_runs,
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
        .instance = settings->instance,
        .host = settings->host,
        .volume_storage_class = settings->volume_storage_class,
        .history_max_runs = settings->history_max_runs,
        .history_max_ticks = settings->history_max_ticks,
        .history_max_age_ms = settings->history_max_age_ms,
    };
    s->engine = engine_new(&engine);
    struct ticker_settings ticker = {
        .loop = settings->loop,
        .store = settings->store,
        .catalog = s->catalog,
        .engine = s->engine,
        .claim_batch = settings->claim_batch,
        .history_max_ticks = settings->history_max_ticks,
        .max_fires_per_s = settings->max_fires_per_s,
    };
    s->ticker = ticker_new(&ticker);
    engine_on_run_end(s->engine, on_run_end, s);
    ticker_on_fenced(s->ticker, on_refused, s);
    engine_on_fenced(s->engine, on_refused, s);
    make_lease(s);
    timer_init(&s->retry, settings->loop, scheduler_retry, s);
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
    case SCHEDULER_STATE_CHECKING_REDIS:
        return "Redis";
    case SCHEDULER_STATE_JOINING:
        return store_is_up(s->set.store) ? "other daemons: which of them are alive" : "Redis";
    case SCHEDULER_STATE_LOADING:
        return "loading live runs and recurring runs from Redis";
    case SCHEDULER_STATE_RUNNING:
        return store_is_up(s->set.store) ? NULL : "Redis";
    case SCHEDULER_STATE_STOPPED:
        return "the end: the daemon is stopping";
    }
    return NULL;
}

void scheduler_listen(struct scheduler *s, const struct scheduler_listener *listener)
{
    s->listener = *listener;
}

void scheduler_stop(struct scheduler *s, void (*done)(void *owner), void *owner)
{
    bool has_joined = s->state >= SCHEDULER_STATE_JOINING;
    s->state = SCHEDULER_STATE_STOPPED;
    timer_stop(&s->retry);
    ticker_stop(s->ticker);
    engine_stop(s->engine);
    if (has_joined) {
        lease_stop(s->lease, done, owner);
    } else {
        loop_defer_once(s->set.loop, done, owner);
    }
}

void scheduler_free(struct scheduler *s)
{
    if (s == NULL) {
        return;
    }
    lease_free(s->lease);
    ticker_free(s->ticker);
    engine_free(s->engine);
    catalog_free(s->catalog);
    timer_done(&s->retry);
    free(s->parts);
    free(s);
}

struct lease *scheduler_lease(struct scheduler *s)
{
    return s->lease;
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
