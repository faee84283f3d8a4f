/* SPDX-License-Identifier: Apache-2.0 */
/* One connection at a time: a question, an answer, and it is closed. */
#include "base/store_sentinel.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/store_conn.h"
#include "base/util.h"

struct sentinel_ask {
    struct loop *loop;
    struct store_target *target;
    int64_t timeout_ms;
    sentinel_done_fn *done;
    void *owner;
    size_t at; /* of the sentinels */
    struct store_conn *conn;
    struct timer timer; /* connected, and no answer comes */
    struct err err;     /* of the last one that was asked */
};

static void ask_next(struct sentinel_ask *ask);

void sentinel_ask_cancel(struct sentinel_ask *ask)
{
    if (ask != NULL) {
        store_conn_free(ask->conn);
        timer_done(&ask->timer);
        free(ask);
    }
}

static void ask_end(struct sentinel_ask *ask, const char *host, const char *port)
{
    sentinel_done_fn *done = ask->done;
    void *owner = ask->owner;
    struct err err = ask->err;
    CLEANUP(cleanup_free) char *host_copy = host != NULL ? xstrdup(host) : NULL;
    CLEANUP(cleanup_free) char *port_copy = port != NULL ? xstrdup(port) : NULL;
    sentinel_ask_cancel(ask);
    done(owner, host_copy, port_copy, host_copy != NULL ? NULL : &err);
}

/* This one is of no use. */
static void ask_failed(struct sentinel_ask *ask, const char *why)
{
    const struct store_target *one = &ask->target->sentinels[ask->at];
    err_set(&ask->err, ERR_TRANSIENT, "sentinel %s:%s: %s", one->host, one->port, why);
    timer_stop(&ask->timer);
    store_conn_free(STEAL(ask->conn));
    ask->at++;
    ask_next(ask);
}

static void ask_on_up(void *owner)
{
    struct sentinel_ask *ask = owner;
    char *command;
    int len =
        redisFormatCommand(&command, "SENTINEL get-master-addr-by-name %s", ask->target->master);
    assert(len > 0);
    store_conn_write(ask->conn, command, (size_t)len);
    redisFreeCommand(command);
    timer_start_ms(&ask->timer, ask->timeout_ms);
}

static void answered(struct sentinel_ask *ask, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        reply->element[1]->type == REDIS_REPLY_STRING) {
        struct store_target *all = ask->target->sentinels, first = all[ask->at];
        memmove(all + 1, all, ask->at * sizeof(*all));
        all[0] = first;
        ask_end(ask, reply->element[0]->str, reply->element[1]->str);
        return;
    }
    char why[256];
    snprintf(why, sizeof why, "%s",
        reply->type == REDIS_REPLY_ERROR ? reply->str : "it knows no such master");
    ask_failed(ask, why);
}

static void ask_on_reply(void *owner, redisReply *reply)
{
    answered(owner, reply);
    freeReplyObject(reply);
}

static void ask_on_down(void *owner, const struct err *err)
{
    ask_failed(owner, err->msg);
}

static void ask_on_timeout(void *owner)
{
    ask_failed(owner, "no answer in time");
}

static void ask_next(struct sentinel_ask *ask)
{
    static const struct store_conn_calls calls = {ask_on_up, ask_on_reply, ask_on_down};
    if (ask->at == ask->target->sentinel_count) {
        ask_end(ask, NULL, NULL);
        return;
    }
    ask->conn =
        store_conn_start(ask->loop, &ask->target->sentinels[ask->at], &calls, ask, ask->timeout_ms);
}

struct sentinel_ask *sentinel_ask_start(struct loop *loop, struct store_target *target,
    int64_t timeout_ms, sentinel_done_fn *done, void *owner)
{
    struct sentinel_ask *ask = xcalloc(1, sizeof *ask);
    ask->loop = loop;
    ask->target = target;
    ask->timeout_ms = timeout_ms;
    ask->done = done;
    ask->owner = owner;
    timer_init(&ask->timer, loop, ask_on_timeout, ask);
    ask_next(ask);
    return ask;
}
