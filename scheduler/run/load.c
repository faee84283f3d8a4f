/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing runs into memory: record and tasks, then the compiled plan, then begin or go on. A
 * bounded number at a time; while Redis is away each load is tried again until it is answered.
 */
#include "run/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/pools.h"
#include "run/record.h"
#include "scheduler/artifact.h"
#include "scheduler/catalog.h"

#define LOADS_AT_ONCE 512
#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
#define URI_MAX_BYTES 8192

struct load {
    struct engine *engine;
    char id[ID_LEN + 1];
    json_t *record;
    bool is_under_way;
    struct store_call *call; /* reading the record */
    bool look_again;         /* woken meanwhile: what was read may be old */
    struct timer retry;
    int64_t backoff_ms;
    void (*done)(void *owner);
    void *owner;
    struct load *next;
};

static void load_send(struct load *load);

static void load_free(struct load *load)
{
    timer_done(&load->retry);
    json_decref(load->record);
    free(load);
}

static void load_next(struct engine *engine)
{
    while (engine->loads_under_way < LOADS_AT_ONCE && engine->load_first != NULL) {
        struct load *load = engine->load_first;
        engine->load_first = load->next;
        load->is_under_way = true;
        engine->loads_under_way++;
        load_send(load);
    }
}

static void load_finish(struct load *load)
{
    struct engine *engine = load->engine;
    map_remove(engine->loads, load->id);
    engine->loads_under_way--;
    bool look_again = load->look_again;
    struct id id;
    memcpy(&id, load->id, sizeof(id));
    void (*done)(void *owner) = load->done;
    void *owner = load->owner;
    load_free(load);
    load_next(engine);
    if (done != NULL) {
        done(owner);
    }
    if (look_again) {
        engine_wake(engine, id.text);
    }
}

static void load_on_retry(void *owner)
{
    load_send(owner);
}

static void load_retry(struct load *load, const struct err *err)
{
    if (load->backoff_ms == 0) {
        LOG_WARN("run cannot be read, trying until it can", "run=%s reason=%s", load->id,
            LOG_Q(err->msg));
    }
    load->backoff_ms = load->backoff_ms == 0 ? RETRY_MIN_MS : load->backoff_ms * 2;
    if (load->backoff_ms > RETRY_MAX_MS) {
        load->backoff_ms = RETRY_MAX_MS;
    }
    timer_start_ms(&load->retry, load->backoff_ms);
}

/* More calls under way than the store holds: that passes, and says nothing about the run. */
static bool is_passing(const struct err *err)
{
    return err_is_transient(err) || err->code == ERR_LIMIT;
}

/*
 * Where artifacts go: the run's pipeline root, else the pipeline's own, else the store's. A root
 * that the run asks for must be usable; one that is written in the pipeline is a wish only, KFP's
 * backend ignores it.
 */
static bool root_is_usable(const struct live *run, const char *root, struct err *err)
{
    const struct artifact_store *store = run->engine->set.artifacts;
    struct buf uri, path;
    buf_init(&uri, URI_MAX_BYTES);
    buf_init(&path, URI_MAX_BYTES);
    artifact_uri(store, root, run->plan->name, run->id.text, "task", "unique", "name", &uri);
    bool is_usable = artifact_local_path(store, buf_str(&uri), &path, err) == 0;
    buf_done(&uri);
    buf_done(&path);
    return is_usable;
}

static int choose_root(struct live *run, struct err *err)
{
    const char *asked = live_text(run, "pipeline_root");
    if (asked[0] != '\0') {
        if (!root_is_usable(run, asked, err)) {
            return err_wrap(err, "the run's pipeline root '%s' cannot be used", asked);
        }
        run->root_uri = asked;
        return 0;
    }
    const char *written = run->plan->default_root;
    struct err reason = ERR_INIT;
    if (written != NULL && written[0] != '\0') {
        if (root_is_usable(run, written, &reason)) {
            run->root_uri = written;
        } else {
            LOG_WARN("pipeline's defaultPipelineRoot is not used", "run=%s reason=%s", run->id.text,
                LOG_Q(reason.msg));
        }
    }
    return 0;
}

/* Record and plan are here. */
static void load_begin(struct load *load, struct plan *plan)
{
    struct engine *engine = load->engine;
    struct live *run = live_new(engine, STEAL(load->record));
    struct err err = ERR_INIT;
    map_put(engine->runs, run->id.text, run);
    farewells_recall(engine->farewells, run->id.text);
    plan_ref(plan);
    run->plan = plan;
    (void)run_state_parse(jget_str(run->record, "state", ""), &run->state);
    if (choose_root(run, &err) != 0 || run_make_root(run, &err) != 0) {
        run_fail(run, err.msg);
    } else if (run->started_us == 0) {
        if (run->state == RUN_STATE_PENDING && pools_limit(run)) {
            pools_ask(run);
        } else {
            run_begin(run);
        }
    } else if (run_rebuild(run, &err) != 0) {
        /* Not the run's fault: leave its record alone for a program that can read it. */
        engine_drop_run(run, err.msg);
        return;
    } else {
        pools_adopt(run);
        if (run->state == RUN_STATE_CANCELING) {
            run_begin_cancel(run);
        }
        run_watch_deadline(run);
        run_resume_attempts(run->root);
    }
    json_object_del(run->record, "tasks");
    live_touch(run);
}

/* The pipeline cannot be had at all: the run ends, saying why. */
static void load_begin_failed(struct load *load, const struct err *err)
{
    struct engine *engine = load->engine;
    struct live *run = live_new(engine, STEAL(load->record));
    map_put(engine->runs, run->id.text, run);
    (void)run_state_parse(jget_str(run->record, "state", ""), &run->state);
    json_object_del(run->record, "tasks");
    char *reason CLEANUP(cleanup_free) =
        xasprintf("the run's pipeline cannot be read: %s", err->msg);
    run_fail(run, reason);
}

static void load_on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct load *load = owner;
    if (err != NULL && is_passing(err)) {
        load_retry(load, err);
        return;
    }
    if (err != NULL) {
        load_begin_failed(load, err);
    } else {
        load_begin(load, plan);
    }
    load_finish(load);
}

static void load_on_record(void *owner, redisReply *reply, const struct err *err)
{
    struct load *load = owner;
    struct err local = ERR_INIT;
    load->call = NULL;
    if (err != NULL && is_passing(err)) {
        load_retry(load, err);
        return;
    }
    json_t *record CLEANUP(json_decrefp) =
        err != NULL ? NULL : record_answer(reply, load->id, true, &local);
    enum run_state state;
    if (record == NULL) {
        LOG_ERROR("run cannot be read", "run=%s reason=%s", load->id,
            LOG_Q(err != NULL ? err->msg : local.msg));
        load_finish(load);
    } else if (run_state_parse(jget_str(record, "state", ""), &state) != 0) {
        LOG_ERROR("run has an unknown state", "run=%s state=%s", load->id,
            LOG_Q(jget_str(record, "state", "")));
        load_finish(load);
    } else if (run_state_is_final(state)) {
        load_finish(load);
    } else {
        json_decref(load->record);
        load->record = STEAL(record);
        spec_plan(
            load->engine->set.catalog, jget_str(load->record, "spec", ""), load_on_plan, load);
    }
}

static void load_send(struct load *load)
{
    load->call = record_ask(load->engine->set.store, load->id, true, load_on_record, load);
}

void load_add(struct engine *engine, const char *run_id, void (*done)(void *owner), void *owner)
{
    struct load *load = map_get(engine->loads, run_id);
    if (load != NULL) {
        load->look_again = load->is_under_way;
        if (done != NULL && load->done == NULL) {
            load->done = done;
            load->owner = owner;
        } else if (done != NULL) {
            loop_defer_once(engine->set.loop, done, owner);
        }
        return;
    }
    load = xcalloc(1, sizeof(*load));
    load->engine = engine;
    memcpy(load->id, run_id, ID_LEN);
    load->done = done;
    load->owner = owner;
    timer_init(&load->retry, engine->set.loop, load_on_retry, load);
    map_put(engine->loads, run_id, load);
    *(engine->load_first == NULL ? &engine->load_first : &engine->load_last->next) = load;
    engine->load_last = load;
    load_next(engine);
}

static bool is_of(const struct engine *engine, const char *id, unsigned shard)
{
    return id_shard(id, store_shards(engine->set.store)) == shard;
}

static void load_drop(struct load *load)
{
    store_cancel(load->call);
    spec_plan_cancel(load->engine->set.catalog, load);
    load_free(load);
}

/* Out of the queue of those that wait for their turn. */
static void queue_drop_shard(struct engine *engine, unsigned shard)
{
    struct load **link = &engine->load_first;
    engine->load_last = NULL;
    while (*link != NULL) {
        struct load *load = *link;
        if (is_of(engine, load->id, shard)) {
            *link = load->next;
        } else {
            engine->load_last = load;
            link = &load->next;
        }
    }
}

void load_drop_shard(struct engine *engine, unsigned shard)
{
    queue_drop_shard(engine, shard);
    struct map_iter it = {0};
    const char *id;
    void *value;
    while (map_next(engine->loads, &it, &id, &value)) {
        struct load *load = value;
        if (is_of(engine, id, shard)) {
            engine->loads_under_way -= load->is_under_way;
            map_remove(engine->loads, id);
            load_drop(load);
        }
    }
    load_next(engine);
}

bool load_is_busy(const struct engine *engine, unsigned shard)
{
    struct map_iter it = {0};
    const char *id;
    while (map_next(engine->loads, &it, &id, NULL)) {
        if (is_of(engine, id, shard)) {
            return true;
        }
    }
    return false;
}

void load_free_all(struct engine *engine)
{
    struct map_iter it = {0};
    const char *key;
    void *value;
    while (map_next(engine->loads, &it, &key, &value)) {
        load_drop(value);
    }
    map_free(engine->loads);
}
