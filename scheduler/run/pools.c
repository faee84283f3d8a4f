/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs and the slots of pools: asking before a run begins, giving back after its end was saved.
 * What many runs want goes into one script call (pool_turn.lua), one call at a time, repeated until
 * it is answered. The run's own record, PENDING, is the intent: whoever loads it asks again, and
 * the same run always gets the same answer. Who was admitted by somebody else's turn is told by a
 * knock; those that wait ask again now and then, so a lost knock costs time only.
 *
 * Nothing hangs on a message alone. When a shard is taken, and now and then, each entry of a run of
 * ours that is not in memory is compared with the run's record: one that is over leaves (its daemon
 * may have died between its end and the return of its slots), one that is not is loaded, and asks.
 */
#include "run/pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/store.h"
#include "base/util.h"
#include "run/engine.h"
#include "run_scripts.h"
#include "scheduler/pools.h"

#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
#define ASK_AGAIN_MS 10000
#define COMPARE_SOON_MS 1000
#define COMPARE_MS 60000
#define TURN_MAX 500 /* runs that ask, and runs that leave, in one call */
#define SCAN_COUNT 500

struct id_list {
    struct id *ids;
    size_t count, cap;
};

/* A run that has slots or waits, and that is not in memory: is it over? */
struct suspect {
    struct pools *pools;
    struct id id;
    struct store_call *call;
    struct suspect *prev, *next;
};

struct pools {
    struct engine *engine;
    struct id_list holds, asks, leaves;    /* of the next turn; holds: of runs in progress */
    bool is_wanted;                        /* a turn, although there is nothing of ours in it */
    struct id_list turn_asks, turn_leaves; /* of the one under way */
    struct store_call *call;
    struct deferred send;
    struct timer retry;
    int64_t backoff_ms;
    struct timer again;

    struct timer compare;
    struct store_call *scan;
    char cursor[24];
    struct suspect *suspects;
};

static void list_add(struct id_list *list, const struct id *id)
{
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 16 : list->cap * 2;
        list->ids = xreallocarray(list->ids, list->cap, sizeof(*list->ids));
    }
    list->ids[list->count++] = *id;
}

/* The first `max` of from. */
static void list_move(struct id_list *to, struct id_list *from, size_t max)
{
    size_t count = from->count < max ? from->count : max;
    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        list_add(to, &from->ids[i]);
    }
    from->count -= count;
    memmove(from->ids, from->ids + count, from->count * sizeof(*from->ids));
}

static int64_t with_jitter(int64_t ms)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    return ms + (int64_t)(random % (uint32_t)(ms / 4));
}

/* ---- turns ---- */

static void turn_send(struct pools *p);

static void on_send(void *owner)
{
    struct pools *p = owner;
    bool is_needed = p->is_wanted || p->holds.count > 0 || p->asks.count > 0 || p->leaves.count > 0;
    if (p->call != NULL || timer_is_armed(&p->retry) || !is_needed) {
        return;
    }
    p->is_wanted = false;
    list_move(&p->turn_asks, &p->holds, TURN_MAX);
    if (p->holds.count == 0) { /* what is left is for the others */
        list_move(&p->turn_asks, &p->asks, TURN_MAX);
    }
    list_move(&p->turn_leaves, &p->leaves, TURN_MAX);
    turn_send(p);
}

static void turn_wanted(struct pools *p)
{
    loop_defer(p->engine->set.loop, &p->send, on_send, p);
}

static bool is_asking(const struct live *run)
{
    return run != NULL && !run->is_gone && !run_state_is_final(run->state);
}

/* It has its slots. Not ours, or not in memory yet: whoever has it is told. */
static void on_held(struct pools *p, const char *id)
{
    struct engine *engine = p->engine;
    struct store *store = engine->set.store;
    struct live *run = engine_find(engine, id);
    if (run != NULL) {
        if (run->is_waiting && is_asking(run) && !engine->is_stopping) {
            run->is_waiting = false;
            run_begin(run);
            live_touch(run);
        }
    } else if (!shards_has(engine, id)) {
        const char *prefix = store_id_prefix(store, id);
        struct store_args *args = store_args_new();
        store_key(args, "%sknocks", prefix);
        store_key(args, "%sknocks:ids", prefix);
        store_arg(args, id);
        store_eval(store, &script_pool_knock, args, NULL, NULL);
    }
}

static void turn_retry(struct pools *p, const struct err *err)
{
    if (p->backoff_ms == 0 || !err_is_transient(err)) {
        LOG_WARN("slots of pools cannot be taken or given back, trying until they can", "reason=%s",
            LOG_Q(err->msg));
    }
    p->backoff_ms = p->backoff_ms == 0 ? RETRY_MIN_MS : p->backoff_ms * 2;
    if (p->backoff_ms > RETRY_MAX_MS) {
        p->backoff_ms = RETRY_MAX_MS;
    }
    timer_start_ms(&p->retry, with_jitter(p->backoff_ms));
}

static void turn_on_reply(void *owner, redisReply *reply, const struct err *err)
{
    struct pools *p = owner;
    p->call = NULL;
    if (err != NULL) {
        turn_retry(p, err);
        return;
    }
    FAULT("run.pool.after");
    p->backoff_ms = 0;
    p->turn_asks.count = p->turn_leaves.count = 0;
    for (size_t i = 1; i < reply->elements; i++) {
        const char *id = reply_str(reply->element[i]);
        if (id != NULL && id_is_valid(id)) {
            on_held(p, id);
        }
    }
    p->is_wanted |= reply->elements > 0 && reply_int(reply->element[0], 0) == 1;
    turn_wanted(p);
}

static const char *or_dash(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

/* Runs that have gone meanwhile do not ask any more. */
static void add_asks(const struct pools *p, struct store_args *args)
{
    size_t count = 0;
    for (size_t i = 0; i < p->turn_asks.count; i++) {
        count += is_asking(engine_find(p->engine, p->turn_asks.ids[i].text));
    }
    store_arg_i(args, (int64_t)count);
    for (size_t i = 0; i < p->turn_asks.count; i++) {
        const struct live *run = engine_find(p->engine, p->turn_asks.ids[i].text);
        if (is_asking(run)) {
            store_arg(args, run->id.text);
            store_arg(args, run->is_waiting ? "0" : "1");
            store_arg(args, or_dash(live_text(run, "pool")));
            store_arg_i(args, jget_i64(run->record, "priority", 0));
            store_arg(args, or_dash(live_text(run, "recurring_run_id")));
        }
    }
}

static void turn_send(struct pools *p)
{
    struct store *store = p->engine->set.store;
    struct store_args *args = store_args_new();
    store_key(args, "%sentries", store_pools_prefix(store));
    store_arg(args, store_pools_prefix(store));
    store_arg_i(args, p->engine->set.max_runs);
    store_arg_i(args, (int64_t)p->turn_leaves.count);
    for (size_t i = 0; i < p->turn_leaves.count; i++) {
        store_arg(args, p->turn_leaves.ids[i].text);
    }
    add_asks(p, args);
    FAULT("run.pool.before");
    p->call = store_eval(store, &script_pool_turn, args, turn_on_reply, p);
}

static void on_retry(void *owner)
{
    turn_send(owner);
}

/* ---- runs ---- */

bool pools_limit(const struct live *run)
{
    return run->engine->set.max_runs > 0 || live_text(run, "pool")[0] != '\0';
}

void pools_ask(struct live *run)
{
    run->is_waiting = true;
    engine_wrote_events(run); /* whoever created it; there may be no save for long */
    list_add(&run->engine->pools->asks, &run->id);
    turn_wanted(run->engine->pools);
}

void pools_adopt(struct live *run)
{
    struct pools *p = run->engine->pools;
    if (pools_limit(run)) {
        list_add(run->is_waiting ? &p->asks : &p->holds, &run->id);
        turn_wanted(p);
    }
}

void pools_leave(struct live *run)
{
    if (pools_limit(run)) {
        list_add(&run->engine->pools->leaves, &run->id);
        turn_wanted(run->engine->pools);
    }
}

void engine_pools_changed(struct engine *engine)
{
    engine->pools->is_wanted = true;
    turn_wanted(engine->pools);
}

/* Whoever waits asks again, unless those that do are being dealt with. */
static void on_again(void *owner)
{
    struct pools *p = owner;
    bool is_idle = p->asks.count == 0 && p->call == NULL && !timer_is_armed(&p->retry);
    struct map_iter it = {0};
    void *value;
    while (is_idle && map_next(p->engine->runs, &it, NULL, &value)) {
        struct live *run = value;
        if (run->is_waiting && is_asking(run)) {
            pools_ask(run);
        }
    }
    timer_start_ms(&p->again, with_jitter(ASK_AGAIN_MS));
}

/* ---- those that were left ---- */

static void suspect_free(struct suspect *s)
{
    struct pools *p = s->pools;
    store_cancel(s->call);
    *(s->prev == NULL ? &p->suspects : &s->prev->next) = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    free(s);
}

static void on_state(void *owner, redisReply *reply, const struct err *err)
{
    struct suspect *s = owner;
    struct pools *p = s->pools;
    s->call = NULL;
    const char *text = err == NULL ? reply_str(reply) : NULL;
    enum run_state state;
    bool is_over =
        err == NULL &&
        (text == NULL || (run_state_parse(text, &state) == 0 && run_state_is_final(state)));
    if (is_over) {
        LOG_INFO("a run that has ended left its place in the pools behind", "run=%s", s->id.text);
        list_add(&p->leaves, &s->id);
        turn_wanted(p);
    } else if (err == NULL) {
        engine_wake(p->engine, s->id.text); /* it holds slots for nothing, or will */
    }
    suspect_free(s);
}

static void suspect_new(struct pools *p, const char *id)
{
    struct store *store = p->engine->set.store;
    struct suspect *s = xcalloc(1, sizeof(*s));
    s->pools = p;
    memcpy(s->id.text, id, ID_LEN);
    s->next = p->suspects;
    if (s->next != NULL) {
        s->next->prev = s;
    }
    p->suspects = s;
    s->call = store_cmd(store, on_state, s, "HGET %srun:%s state", store_id_prefix(store, id), id);
}

static void scan_send(struct pools *p);

static void on_scanned(void *owner, redisReply *reply, const struct err *err)
{
    struct pools *p = owner;
    struct engine *engine = p->engine;
    p->scan = NULL;
    bool is_answer = err == NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                     reply_str(reply->element[0]) != NULL;
    const redisReply *fields = is_answer ? reply->element[1] : NULL;
    for (size_t i = 0; is_answer && i + 1 < fields->elements; i += 2) {
        const char *id = reply_str(fields->element[i]);
        if (id != NULL && id_is_valid(id) && shards_has(engine, id) &&
            engine_find(engine, id) == NULL && !map_has(engine->loads, id)) {
            suspect_new(p, id);
        }
    }
    snprintf(p->cursor, sizeof(p->cursor), "%s", is_answer ? reply_str(reply->element[0]) : "0");
    if (strcmp(p->cursor, "0") != 0) {
        scan_send(p);
    } else {
        timer_start_ms(&p->compare, with_jitter(COMPARE_MS));
    }
}

static void scan_send(struct pools *p)
{
    struct store *store = p->engine->set.store;
    p->scan = store_cmd(store, on_scanned, p, "HSCAN %sentries %s COUNT %d",
        store_pools_prefix(store), p->cursor, SCAN_COUNT);
}

void pools_compare(struct pools *p)
{
    if (p->scan == NULL) {
        timer_stop(&p->compare);
        snprintf(p->cursor, sizeof(p->cursor), "0");
        scan_send(p);
    }
}

static void on_compare(void *owner)
{
    pools_compare(owner);
}

void pools_compare_soon(struct pools *p)
{
    if (p->scan == NULL && !p->engine->is_stopping) {
        timer_start_ms(&p->compare, with_jitter(COMPARE_SOON_MS));
    }
}

/* ---- start and end ---- */

struct pools *pools_new(struct engine *engine)
{
    struct pools *p = xcalloc(1, sizeof(*p));
    p->engine = engine;
    timer_init(&p->retry, engine->set.loop, on_retry, p);
    timer_init(&p->again, engine->set.loop, on_again, p);
    timer_init(&p->compare, engine->set.loop, on_compare, p);
    timer_start_ms(&p->again, with_jitter(ASK_AGAIN_MS));
    return p;
}

void pools_stop(struct pools *p)
{
    timer_stop(&p->again);
    timer_stop(&p->compare);
    store_cancel(STEAL(p->scan));
    while (p->suspects != NULL) {
        suspect_free(p->suspects);
    }
}

void pools_free(struct pools *p)
{
    if (p == NULL) {
        return;
    }
    pools_stop(p);
    store_cancel(p->call);
    loop_defer_cancel(p->engine->set.loop, &p->send);
    timer_done(&p->retry);
    timer_done(&p->again);
    timer_done(&p->compare);
    free(p->holds.ids);
    free(p->asks.ids);
    free(p->leaves.ids);
    free(p->turn_asks.ids);
    free(p->turn_leaves.ids);
    free(p);
}
