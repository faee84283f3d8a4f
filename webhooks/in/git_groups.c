/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Concurrency groups: when the active run of a group has ended, the next push of the group begins.
 * Who decides is a script (git_turn.lua) that looks at the run's own record, so asking too often
 * does no harm. It is asked when a run of a group ends here, and of every group when a shard
 * becomes ours and once a minute: what another daemon began and did not finish is found then. The
 * same script makes the commit status of a run that has ended due (git_status.c).
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "base/util.h"
#include "scheduler/run.h"
#include "webhooks/in/git_hooks.h"
#include "webhooks_scripts.h"

#define SCAN_MS 60000
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 10000

/* A group is looked at, or a run asked to end, until that has worked or the shard is another's. */
enum turn_kind { TURN_SCAN, TURN_NEXT, TURN_CANCEL };

struct git_turn {
    struct git_hooks *hooks;
    struct git_turn *prev, *next;
    enum turn_kind kind;
    unsigned shard;
    char run_id[ID_LEN + 1];
    struct store_call *call;
    struct timer retry;
    int64_t backoff_ms;
};

static void turn_try(void *owner);

static struct git_turn *turn_new(struct git_hooks *h, enum turn_kind kind, unsigned shard)
{
    struct git_turn *t = xcalloc(1, sizeof *t);
    t->hooks = h;
    t->kind = kind;
    t->shard = shard;
    t->backoff_ms = RETRY_MIN_MS;
    t->next = h->turns;
    if (t->next != NULL) {
        t->next->prev = t;
    }
    h->turns = t;
    timer_init(&t->retry, h->set.loop, turn_try, t);
    return t;
}

static void turn_free(struct git_turn *t)
{
    if (t->prev != NULL) {
        t->prev->next = t->next;
    } else {
        t->hooks->turns = t->next;
    }
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
    store_cancel(t->call);
    timer_done(&t->retry);
    free(t);
}

static void turn_failed(struct git_turn *t, const struct err *err)
{
    if (err->code == ERR_FENCED || err->code == ERR_NOT_FOUND) {
        turn_free(t);
        return;
    }
    LOG_WARN("a concurrency group has to wait", "run=%s error=%s retry_ms=%lld", t->run_id,
        LOG_Q(err->msg), (long long)t->backoff_ms);
    timer_start_ms(&t->retry, t->backoff_ms);
    t->backoff_ms = t->backoff_ms * 2 < RETRY_MAX_MS ? t->backoff_ms * 2 : RETRY_MAX_MS;
}

static void start_turn(struct git_hooks *h, const char *run_id)
{
    struct git_turn *t = turn_new(h, TURN_NEXT, id_shard(run_id, store_shards(h->set.store)));
    memcpy(t->run_id, run_id, ID_LEN);
    timer_start_ms(&t->retry, 0);
}

static void on_scanned(struct git_turn *t, const redisReply *reply)
{
    for (size_t i = 0; i < reply->elements; i++) {
        const char *run = reply_str(reply->element[i]);
        if (run != NULL && id_is_valid(run)) {
            start_turn(t->hooks, run);
        }
    }
}

static void on_next(const struct git_turn *t, const redisReply *reply)
{
    const char *begun = reply->elements == 3 ? reply_str(reply->element[0]) : NULL;
    const char *cancel = reply->elements == 3 ? reply_str(reply->element[1]) : NULL;
    FAULT("git.turn.after");
    if (reply->elements == 3 && reply_int(reply->element[2], 0) > 0) {
        git_status_wake(t->hooks, t->run_id);
    }
    if (begun != NULL && begun[0] != '\0') {
        t->hooks->counts.started++;
        LOG_INFO("a push that waited has begun", "run=%s after=%s", begun, t->run_id);
        if (t->hooks->set.engine != NULL) {
            engine_wake(t->hooks->set.engine, begun);
        }
    }
    if (cancel != NULL && cancel[0] != '\0') {
        git_groups_cancel(t->hooks, cancel);
    }
}

static void on_reply(void *owner, redisReply *reply, const struct err *err)
{
    struct git_turn *t = owner;
    t->call = NULL;
    if (err != NULL) {
        turn_failed(t, err);
        return;
    }
    if (t->kind == TURN_SCAN) {
        on_scanned(t, reply);
    } else {
        on_next(t, reply);
    }
    turn_free(t);
}

/* Asking a run to end. Not among the turns: the call cannot be taken back. */
struct asking {
    struct engine *engine; /* or NULL */
    char run_id[ID_LEN + 1];
};

/* With an error everything else may be gone already; the group still says so: the next look asks
 * again. */
static void on_asked(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct asking *a = owner;
    if (err != NULL) {
        LOG_WARN("a run of a group could not be asked to end", "run=%s error=%s", a->run_id,
            LOG_Q(err->msg));
    } else if (a->engine != NULL) {
        engine_wake(a->engine, a->run_id);
    }
    free(a);
}

static void ask_to_end(const struct git_hooks *h, const char *run_id)
{
    struct asking *a = xcalloc(1, sizeof *a);
    a->engine = h->set.engine;
    memcpy(a->run_id, run_id, ID_LEN);
    FAULT("git.cancel.before");
    run_cancel(h->set.store, run_id, on_asked, a);
}

static void turn_try(void *owner)
{
    struct git_turn *t = owner;
    struct store *store = t->hooks->set.store;
    const char *prefix = store_shard_prefix(store, t->shard);
    if (t->kind == TURN_SCAN) {
        t->call = store_cmd(store, on_reply, t, "HKEYS %sgit_active", prefix);
        return;
    }
    if (t->kind == TURN_CANCEL) {
        ask_to_end(t->hooks, t->run_id);
        turn_free(t);
        return;
    }
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_arg(args, prefix);
    store_arg_i(args, store_shard_epoch(store, t->shard));
    store_arg(args, t->run_id);
    store_arg_i(args, clock_now_us());
    FAULT("git.turn.before");
    t->call = store_eval(store, &script_git_turn, args, on_reply, t);
}

void git_groups_cancel(struct git_hooks *h, const char *run_id)
{
    if (!id_is_valid(run_id)) {
        return;
    }
    struct git_turn *t = turn_new(h, TURN_CANCEL, id_shard(run_id, store_shards(h->set.store)));
    memcpy(t->run_id, run_id, ID_LEN);
    timer_start_ms(&t->retry, 0);
}

void git_hooks_run_ended(struct git_hooks *h, const char *run_id)
{
    start_turn(h, run_id);
}

/* ---- shards ---- */

static void scan_shard(struct git_hooks *h, unsigned shard)
{
    struct git_turn *t = turn_new(h, TURN_SCAN, shard);
    timer_start_ms(&t->retry, 0);
}

void git_hooks_shard_start(struct git_hooks *h, unsigned shard)
{
    h->is_ours[shard] = true;
    scan_shard(h, shard);
    git_fetch_look(h, shard);
    git_status_shard_start(h, shard);
    git_poll_shard_start(h);
}

void git_hooks_shard_stop(struct git_hooks *h, unsigned shard)
{
    h->is_ours[shard] = false;
    git_status_shard_stop(h, shard);
    git_poll_shard_stop(h, shard);
    for (struct git_turn *t = h->turns, *next; t != NULL; t = next) {
        next = t->next;
        if (t->shard == shard && t->kind != TURN_CANCEL) {
            turn_free(t);
        }
    }
}

static void scan_all(void *owner)
{
    struct git_hooks *h = owner;
    for (unsigned i = 0; i < store_shards(h->set.store); i++) {
        if (h->is_ours[i]) {
            scan_shard(h, i);
        }
    }
    timer_start_ms(&h->scan, SCAN_MS);
}

void git_groups_init(struct git_hooks *h)
{
    h->is_ours = xcalloc(store_shards(h->set.store), sizeof *h->is_ours);
    timer_init(&h->scan, h->set.loop, scan_all, h);
    timer_start_ms(&h->scan, SCAN_MS);
}

void git_groups_done(struct git_hooks *h)
{
    while (h->turns != NULL) {
        turn_free(h->turns);
    }
    timer_done(&h->scan);
    free(h->is_ours);
}
