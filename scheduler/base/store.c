/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to Redis: who waits for which answer and how long, what waits while Redis is away, and
 * which scripts it knows. The socket is in store_conn.c.
 *
 * A call is in two lists: `queued` (not sent) or `sent` (in the order of the answers to come),
 * and `due`, ordered by deadline, which is the order of issue because all have the same time.
 * So a hundred thousand calls under way need one timer.
 */
#include "base/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/secret.h"
#include "base/store_conn.h"
#include "base/store_parts.h"
#include "base/store_sentinel.h"
#include "base/util.h"

#define CALLS_MAX 500000
#define BYTES_MAX ((size_t)256 << 20)
#define BACKOFF_FIRST_MS 50
#define BACKOFF_LAST_MS 2000
/* No byte from Redis for so many deadlines while it owes answers: the connection is given up. */
#define SILENT_DEADLINES 3
/* Then again, where sentinels may know of another one, this is soon enough to ask. */
#define SILENT_DEADLINES_SENTINEL 1
#define SENTINEL_TIMEOUT_MS 1000

enum call_state {
    CALL_STATE_REFUSED, /* fails at the bottom of the turn */
    CALL_STATE_QUEUED,
    CALL_STATE_SENT,
    CALL_STATE_DONE,
};

struct call_list {
    struct store_call *first, *last;
    size_t count;
};

struct store_call {
    struct store *store;
    enum call_state state;
    bool is_silent; /* cancelled or past its deadline: only its answer is still to be taken */
    store_done_fn *done;
    void *owner;
    struct store_call *prev, *next;         /* refused, queued or sent */
    struct store_call *due_prev, *due_next; /* while not silent */
    int64_t deadline_us, sent_us;
    char *command; /* until it is sent, unless it is a script */
    size_t command_len;
    struct script *script;
    struct store_args *args; /* until answered: NOSCRIPT needs them again */
    uint64_t sent_number;
    size_t bytes;
};

struct listener {
    void (*fn)(void *owner, bool up);
    void *owner;
};

/* A script whose text was sent on this connection, and when that was. */
struct known_script {
    const struct script *script;
    uint64_t sent_number;
};

struct store {
    struct loop *loop;
    struct store_target target;
    struct store_target master; /* as the sentinels said last; without them nothing */
    struct sentinel_ask *ask;   /* which one it is, under way */
    int64_t timeout_ms;
    unsigned shards;
    char **shard_prefixes;
    char *catalog_prefix, *pools_prefix;
    int64_t *epochs; /* by shard; 0: not ours */

    struct store_conn *conn;
    bool is_up, was_up;
    uint64_t connections; /* that came up */
    unsigned attempts;    /* to connect, since it was up */
    struct timer reconnect;
    char *waits_for; /* the reason last logged */
    struct listener *listeners;
    size_t listener_count;

    struct call_list refused, queued, sent;
    struct store_call *due_first, *due_last;
    struct timer due_timer;
    struct deferred refuse;
    size_t bytes;
    uint64_t next_number;
    struct known_script *known;
    size_t known_count, known_cap;

    unsigned busy; /* callbacks under way */
    bool is_freed;
};

/* Lists. */

static void list_add(struct call_list *list, struct store_call *call)
{
    call->prev = list->last;
    call->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = call;
    list->last = call;
    list->count++;
}

static void list_remove(struct call_list *list, struct store_call *call)
{
    *(call->prev != NULL ? &call->prev->next : &list->first) = call->next;
    *(call->next != NULL ? &call->next->prev : &list->last) = call->prev;
    call->prev = call->next = NULL;
    list->count--;
}

static void due_add(struct store *store, struct store_call *call)
{
    call->due_prev = store->due_last;
    *(store->due_last != NULL ? &store->due_last->due_next : &store->due_first) = call;
    store->due_last = call;
    if (!timer_is_armed(&store->due_timer)) {
        timer_start_ms(&store->due_timer, store->timeout_ms);
    }
}

static void due_remove(struct store *store, struct store_call *call)
{
    *(call->due_prev != NULL ? &call->due_prev->due_next : &store->due_first) = call->due_next;
    *(call->due_next != NULL ? &call->due_next->due_prev : &store->due_last) = call->due_prev;
    call->due_prev = call->due_next = NULL;
}

/* Calls. */

static struct call_list *call_list(struct store_call *call)
{
    switch (call->state) {
    case CALL_STATE_REFUSED:
        return &call->store->refused;
    case CALL_STATE_QUEUED:
        return &call->store->queued;
    case CALL_STATE_SENT:
        return &call->store->sent;
    case CALL_STATE_DONE:
        break;
    }
    return NULL;
}

/* What it would need to be sent again. */
static void call_drop_content(struct store_call *call)
{
    if (call->command != NULL) {
        redisFreeCommand(STEAL(call->command));
    }
    store_args_free(STEAL(call->args));
    call->store->bytes -= call->bytes;
    call->bytes = 0;
}

/* Nobody waits for it any more. */
static void call_silence(struct store_call *call)
{
    if (!call->is_silent) {
        call->is_silent = true;
        due_remove(call->store, call);
    }
    call_drop_content(call);
}

static void call_free(struct store_call *call)
{
    call_silence(call);
    list_remove(call_list(call), call);
    free(call);
}

static void store_destroy(struct store *store);

static void store_enter(struct store *store)
{
    store->busy++;
}

/* False when the store was freed meanwhile. */
static bool store_leave(struct store *store)
{
    if (--store->busy == 0 && store->is_freed) {
        store_destroy(store);
        return false;
    }
    return !store->is_freed;
}

/*
 * Tell the owner. The call is kept until the callback returns, because an owner may well cancel
 * the handle it still holds from inside.
 */
static void call_tell(struct store_call *call, redisReply *reply, const struct err *err)
{
    if (call->is_silent) {
        return;
    }
    call_silence(call);
    if (call->done != NULL) {
        call->done(call->owner, reply, err);
    } else if (err != NULL) {
        LOG_WARN("redis command failed", "script=%s error=%s",
            call->script != NULL ? call->script->name : "-", LOG_Q(err->msg));
    }
}

static void call_finish(struct store_call *call, redisReply *reply, const struct err *err)
{
    list_remove(call_list(call), call);
    call->state = CALL_STATE_DONE;
    call_tell(call, reply, err);
    free(call);
}

/* Scripts. */

static void script_prepare(struct script *script)
{
    if (script->sha1[0] != '\0') {
        return;
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int ok = EVP_Digest(script->text, strlen(script->text), digest, &len, EVP_sha1(), NULL);
    assert(ok == 1 && 2 * len + 1 == sizeof script->sha1);
    (void)ok;
    hex_encode(digest, len, script->sha1);
}

static struct known_script *known_find(struct store *store, const struct script *script)
{
    for (size_t i = 0; i < store->known_count; i++) {
        if (store->known[i].script == script) {
            return &store->known[i];
        }
    }
    return NULL;
}

/* Redis has the text from this command on. */
static void known_set(struct store *store, const struct script *script, uint64_t number)
{
    struct known_script *known = known_find(store, script);
    if (known == NULL) {
        if (store->known_count == store->known_cap) {
            store->known_cap = store->known_cap > 0 ? 2 * store->known_cap : 16;
            store->known = xreallocarray(store->known, store->known_cap, sizeof *store->known);
        }
        known = &store->known[store->known_count++];
        known->script = script;
    }
    known->sent_number = number;
}

/* Sending. */

static void call_send(struct store_call *call)
{
    struct store *store = call->store;
    call->state = CALL_STATE_SENT;
    call->sent_us = clock_mono_us();
    call->sent_number = store->next_number++;
    list_add(&store->sent, call);
    if (call->script == NULL) {
        store_conn_write(store->conn, call->command, call->command_len);
        redisFreeCommand(STEAL(call->command));
        return;
    }
    /*
     * The first one on a connection carries the text, so that calls keep their order; a hash
     * that turns out to be unknown would come again behind later ones.
     */
    bool with_text = known_find(store, call->script) == NULL;
    if (with_text) {
        known_set(store, call->script, call->sent_number);
    }
    size_t len;
    char *command = store_args_format(call->args, call->script, with_text, &len);
    store_conn_write(store->conn, command, len);
    redisFreeCommand(command);
}

static void store_send_queued(struct store *store)
{
    while (store->queued.first != NULL && store->is_up) {
        struct store_call *call = store->queued.first;
        list_remove(&store->queued, call);
        call_send(call);
    }
}

/* SCRIPT FLUSH, or another Redis behind the same connection. */
static void call_send_again(struct store_call *call)
{
    struct store *store = call->store;
    list_remove(&store->sent, call);
    struct known_script *known = known_find(store, call->script);
    if (known != NULL && call->sent_number >= known->sent_number) {
        /* Unknown although the text went out before: it goes out again, once for all of those
         * that were under way. */
        *known = store->known[--store->known_count];
    }
    call_send(call);
}

static void refuse_all(void *arg)
{
    struct store *store = arg;
    struct err err = ERR_INIT;
    store_enter(store);
    while (!store->is_freed && store->refused.first != NULL) {
        err_set(&err, ERR_LIMIT,
            "redis: more is under way than the daemon holds (%d calls, %zu MiB, %zu MiB in one)",
            CALLS_MAX, BYTES_MAX >> 20, STORE_COMMAND_MAX >> 20);
        call_finish(store->refused.first, NULL, &err);
    }
    store_leave(store);
}

static struct store_call *call_start(
    struct store *store, struct store_call *call, size_t bytes, store_done_fn *done, void *owner)
{
    call->store = store;
    call->done = done;
    call->owner = owner;
    call->bytes = bytes + sizeof *call;
    call->deadline_us = clock_mono_us() + store->timeout_ms * US_PER_MS;
    store->bytes += call->bytes;
    due_add(store, call);
    size_t unsent = store->conn != NULL ? store_conn_unsent(store->conn) : 0;
    if (bytes > STORE_COMMAND_MAX || store->bytes + unsent > BYTES_MAX ||
        store->queued.count + store->sent.count >= CALLS_MAX) {
        call->state = CALL_STATE_REFUSED;
        list_add(&store->refused, call);
        loop_defer(store->loop, &store->refuse, refuse_all, store);
    } else if (store->is_up) {
        call_send(call);
    } else {
        call->state = CALL_STATE_QUEUED;
        list_add(&store->queued, call);
    }
    return call;
}

struct store_call *store_cmd(
    struct store *store, store_done_fn *done, void *owner, const char *fmt, ...)
{
    struct store_call *call = xcalloc(1, sizeof *call);
    va_list ap;
    va_start(ap, fmt);
    int len = redisvFormatCommand(&call->command, fmt, ap);
    va_end(ap);
    assert(len > 0);
    call->command_len = (size_t)len;
    return call_start(store, call, (size_t)len, done, owner);
}

struct store_call *store_argv(struct store *store, int argc, const char **argv, const size_t *lens,
    store_done_fn *done, void *owner)
{
    struct store_call *call = xcalloc(1, sizeof *call);
    int len = redisFormatCommandArgv(&call->command, argc, argv, lens);
    assert(len > 0);
    call->command_len = (size_t)len;
    return call_start(store, call, (size_t)len, done, owner);
}

struct store_call *store_eval(struct store *store, struct script *script, struct store_args *args,
    store_done_fn *done, void *owner)
{
    script_prepare(script);
    struct store_call *call = xcalloc(1, sizeof *call);
    call->script = script;
    call->args = args;
    size_t bytes = store_args_overflow(args) ? STORE_COMMAND_MAX + 1 : store_args_bytes(args);
    return call_start(store, call, bytes, done, owner);
}

void store_cancel(struct store_call *call)
{
    if (call == NULL || call->state == CALL_STATE_DONE) {
        return;
    }
    if (call->state == CALL_STATE_SENT) {
        call_silence(call); /* its answer will come, and must find it */
    } else {
        call_free(call);
    }
}

/* Answers. */

static void answer_error(struct store_call *call, const redisReply *reply)
{
    struct err err = ERR_INIT;
    struct store *store = call->store;
    store_reply_error(reply, &err);
    if (store->target.sentinel_count > 0 && store_reply_is(reply, "READONLY")) {
        struct err why = ERR_INIT;
        err_set(&why, ERR_TRANSIENT, "%s is a replica now", store->master.shown);
        store_conn_drop(store->conn, &why); /* the sentinels know who is the master */
    }
    call_finish(call, NULL, &err);
}

static void answer_stray(struct store *store)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_TRANSIENT, "Redis answered what was not asked");
    store_conn_drop(store->conn, &err);
}

static void on_reply(void *owner, redisReply *reply)
{
    struct store *store = owner;
    struct store_call *call = store->sent.first;
    store_enter(store);
    if (call == NULL) {
        answer_stray(store);
    } else if (reply->type != REDIS_REPLY_ERROR) {
        call_finish(call, reply, NULL);
    } else if (call->script != NULL && !call->is_silent && store_reply_is(reply, "NOSCRIPT")) {
        call_send_again(call);
    } else {
        answer_error(call, reply);
    }
    freeReplyObject(reply);
    store_leave(store);
}

/* Deadlines. */

static void call_expire(struct store_call *call)
{
    struct err err = ERR_INIT;
    long long ms = (long long)call->store->timeout_ms;
    if (call->state == CALL_STATE_SENT) {
        err_set(&err, ERR_TRANSIENT,
            "redis did not answer within %lld ms; whether it acted is unknown", ms);
        call_tell(call, NULL, &err); /* stays in the list until its answer comes */
    } else {
        err_set(&err, ERR_TRANSIENT, "redis at %s was away for %lld ms%s%s",
            call->store->target.shown, ms, call->store->waits_for != NULL ? ": " : "",
            call->store->waits_for != NULL ? call->store->waits_for : "");
        call_finish(call, NULL, &err);
    }
}

static void store_check_silence(struct store *store)
{
    const struct store_call *oldest = store->sent.first;
    if (!store->is_up || oldest == NULL) {
        return;
    }
    int64_t since_us = store_conn_heard_us(store->conn);
    since_us = since_us > oldest->sent_us ? since_us : oldest->sent_us;
    int64_t silent_ms = (clock_mono_us() - since_us) / US_PER_MS;
    bool has_others = store->target.sentinel_count > 0;
    int64_t deadlines = has_others ? SILENT_DEADLINES_SENTINEL : SILENT_DEADLINES;
    if (silent_ms >= deadlines * store->timeout_ms) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_TRANSIENT, "Redis has been silent for %lld ms", (long long)silent_ms);
        store_conn_drop(store->conn, &err);
    }
}

static void on_due(void *arg)
{
    struct store *store = arg;
    store_enter(store);
    int64_t now_us = clock_mono_us();
    bool any = false;
    while (
        !store->is_freed && store->due_first != NULL && store->due_first->deadline_us <= now_us) {
        call_expire(store->due_first);
        any = true;
    }
    if (!store_leave(store)) {
        return;
    }
    if (any) {
        store_check_silence(store);
    }
    if (store->due_first != NULL && !timer_is_armed(&store->due_timer)) {
        int64_t left_us = store->due_first->deadline_us - now_us;
        timer_start_ms(&store->due_timer, (left_us + US_PER_MS - 1) / US_PER_MS);
    }
}

/* The connection. */

static void store_tell(struct store *store, bool up)
{
    store_enter(store);
    for (size_t i = 0; i < store->listener_count && !store->is_freed; i++) {
        store->listeners[i].fn(store->listeners[i].owner, up);
    }
    store_leave(store);
}

/* Where we are connected to. */
static const char *shown(const struct store *store)
{
    return store->master.shown != NULL ? store->master.shown : store->target.shown;
}

static void on_up(void *owner)
{
    struct store *store = owner;
    store->is_up = true;
    store->connections++;
    store->attempts = 0;
    store->known_count = 0;
    if (!store->was_up) {
        LOG_INFO("redis is there", "redis=%s", LOG_Q(shown(store)));
    } else {
        LOG_INFO("redis is back", "redis=%s waiting_calls=%zu", LOG_Q(shown(store)),
            store->queued.count);
    }
    store->was_up = true;
    free(STEAL(store->waits_for));
    store_send_queued(store);
    store_tell(store, true);
}

/* One line for each reason, not for each attempt. */
static void log_waiting(struct store *store, const struct err *err)
{
    if (str_eq(store->waits_for, err->msg)) {
        return;
    }
    free(store->waits_for);
    store->waits_for = xstrdup(err->msg);
    LOG_WARN(
        "waiting for redis", "redis=%s reason=%s", LOG_Q(store->target.shown), LOG_Q(err->msg));
}

static int64_t backoff_ms(unsigned attempts)
{
    int64_t ms = BACKOFF_LAST_MS;
    if (attempts < 6) {
        ms = BACKOFF_FIRST_MS << attempts;
    }
    ms = ms < BACKOFF_LAST_MS ? ms : BACKOFF_LAST_MS;
    uint32_t dice;
    random_bytes(&dice, sizeof dice);
    return ms / 2 + (int64_t)(dice % (uint32_t)(ms / 2 + 1));
}

static void on_down(void *owner, const struct err *reason)
{
    struct store *store = owner;
    struct err err = ERR_INIT;
    bool was_up = store->is_up;
    store->is_up = false;
    log_waiting(store, reason);
    err_set(&err, ERR_TRANSIENT,
        "redis: the connection was lost before the answer (%s); whether it acted is unknown",
        reason->msg);
    if (str_starts(reason->msg, "LOADING")) {
        store->attempts = 0; /* it is there, and of use at any moment */
    }
    store_conn_free(STEAL(store->conn));
    timer_start_ms(&store->reconnect, backoff_ms(store->attempts++));

    store_enter(store);
    while (!store->is_freed && store->sent.first != NULL) {
        call_finish(store->sent.first, NULL, &err);
    }
    if (store_leave(store) && was_up) {
        store_tell(store, false);
    }
}

static void connect_to(struct store *store, const struct store_target *target)
{
    static const struct store_conn_calls calls = {on_up, on_reply, on_down};
    int64_t timeout_ms = store->timeout_ms > 5000 ? store->timeout_ms : 5000;
    store->conn = store_conn_start(store->loop, target, &calls, store, timeout_ms);
}

static void on_master(void *owner, const char *host, const char *port, const struct err *err)
{
    struct store *store = owner;
    store->ask = NULL;
    if (err != NULL) {
        log_waiting(store, err);
        timer_start_ms(&store->reconnect, backoff_ms(store->attempts++));
        return;
    }
    store_target_done(&store->master);
    store_target_master(&store->target, host, port, &store->master);
    connect_to(store, &store->master);
}

static void store_connect(void *arg)
{
    struct store *store = arg;
    if (store->target.sentinel_count == 0) {
        connect_to(store, &store->target);
    } else {
        store->ask =
            sentinel_ask_start(store->loop, &store->target, SENTINEL_TIMEOUT_MS, on_master, store);
    }
}

bool store_is_up(const struct store *store)
{
    return store->is_up;
}

uint64_t store_connections(const struct store *store)
{
    return store->connections;
}

void store_on_change(struct store *store, void (*fn)(void *owner, bool up), void *owner)
{
    store->listeners =
        xreallocarray(store->listeners, store->listener_count + 1, sizeof *store->listeners);
    store->listeners[store->listener_count++] = (struct listener){fn, owner};
}

/* The store. */

static void make_prefixes(struct store *store, const char *prefix)
{
    store->catalog_prefix = xasprintf("%s:{catalog}:", prefix);
    store->pools_prefix = xasprintf("%s:{pools}:", prefix);
    store->shard_prefixes = xcalloc(store->shards, sizeof *store->shard_prefixes);
    for (unsigned i = 0; i < store->shards; i++) {
        store->shard_prefixes[i] = xasprintf("%s:{%02x}:", prefix, i);
    }
}

struct store *store_new(struct loop *loop, const struct store_settings *settings, struct err *err)
{
    unsigned shards = settings->shards;
    if (shards == 0 || shards > 256 || (shards & (shards - 1)) != 0) {
        err_set(err, ERR_INVALID, "shards: %u is not a power of two of at most 256", shards);
        return NULL;
    }
    struct store_target target;
    if (store_target_parse(settings->url, &target, err) != 0) {
        return NULL;
    }
    struct store *store = xcalloc(1, sizeof *store);
    store->loop = loop;
    store->target = target;
    store->timeout_ms = settings->command_timeout_ms > 0 ? settings->command_timeout_ms : 5000;
    store->shards = shards;
    store->epochs = xcalloc(shards, sizeof *store->epochs);
    make_prefixes(store, settings->prefix);
    timer_init(&store->reconnect, loop, store_connect, store);
    timer_init(&store->due_timer, loop, on_due, store);
    store_connect(store);
    return store;
}

static void list_free(struct call_list *list)
{
    while (list->first != NULL) {
        call_free(list->first);
    }
}

static void store_destroy(struct store *store)
{
    for (unsigned i = 0; i < store->shards; i++) {
        free(store->shard_prefixes[i]);
    }
    free(store->shard_prefixes);
    free(store->catalog_prefix);
    free(store->pools_prefix);
    free(store->waits_for);
    free(store->listeners);
    free(store->known);
    free(store->epochs);
    store_target_done(&store->target);
    store_target_done(&store->master);
    free(store);
}

void store_free(struct store *store)
{
    if (store == NULL) {
        return;
    }
    store_conn_free(STEAL(store->conn));
    sentinel_ask_cancel(STEAL(store->ask));
    store->is_up = false;
    timer_done(&store->reconnect);
    timer_done(&store->due_timer);
    loop_defer_cancel(store->loop, &store->refuse);
    list_free(&store->refused);
    list_free(&store->queued);
    list_free(&store->sent);
    store->is_freed = true;
    if (store->busy == 0) {
        store_destroy(store);
    }
}

const char *store_shard_prefix(const struct store *store, unsigned shard)
{
    assert(shard < store->shards);
    return store->shard_prefixes[shard];
}

const char *store_id_prefix(const struct store *store, const char *id)
{
    return store->shard_prefixes[id_shard(id, store->shards)];
}

const char *store_catalog_prefix(const struct store *store)
{
    return store->catalog_prefix;
}

const char *store_pools_prefix(const struct store *store)
{
    return store->pools_prefix;
}

unsigned store_shards(const struct store *store)
{
    return store->shards;
}

/* What is ours. */

int64_t store_shard_epoch(const struct store *store, unsigned shard)
{
    assert(shard < store->shards);
    return store->epochs[shard];
}

int64_t store_id_epoch(const struct store *store, const char *id)
{
    return store->epochs[id_shard(id, store->shards)];
}

void store_set_epoch(struct store *store, unsigned shard, int64_t epoch)
{
    assert(shard < store->shards);
    store->epochs[shard] = epoch;
}
