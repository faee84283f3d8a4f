/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis: one asynchronous connection with reconnect, a deadline per command, and scripts called
 * by hash (loaded again after NOSCRIPT). Nothing above this file sees hiredis, except replies.
 *
 * While disconnected, commands wait (at most until their deadline, and at most so many: ERR_LIMIT
 * beyond). Commands are carried out in the order they were given. After a deadline the outcome
 * of a write is unknown (ERR_TRANSIENT), so every script must be safe to run twice. A command
 * that was sent and lost its connection fails with ERR_TRANSIENT as well; it is not resent.
 */
#ifndef BASE_STORE_H
#define BASE_STORE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

struct err;
struct loop;
struct store;
struct store_call;

struct store_settings {
    /* redis://[[user:]password@]host[:port][/db], unix:/path, or
     * sentinel://[[user:]password@]host[:port],.../master[/db] */
    const char *url;
    int64_t command_timeout_ms; /* default deadline */
    unsigned shards;          /* power of two, <= 256 */
    const char *prefix;       /* "rondo" */
};

struct store *store_new(struct loop *loop, const struct store_settings *settings, struct err *err);
void store_free(struct store *store);
bool store_is_up(const struct store *store);
/* How often it has come up. The same number at two moments: the same connection, so Redis has not
 * been started anew between them. */
uint64_t store_connections(const struct store *store);
/* Called on each change; immediately never. */
void store_on_change(struct store *store, void (*fn)(void *owner, bool up), void *owner);

/* reply is NULL when err is given. A Redis error reply is turned into err:
 * "NOSUCH ..." -> ERR_NOT_FOUND, "EXISTS ..." -> ERR_EXISTS, "CONFLICT ..." -> ERR_CONFLICT,
 * "PRECONDITION ...", "INVALID ...", "LIMIT ...", "FENCED ..." -> ERR_FENCED (our lease is gone), LOADING,
 * MISCONF, READONLY, OOM and connection trouble -> ERR_TRANSIENT, others ERR_INTERNAL.
 * Scripts raise with redis.error_reply('NOSUCH run ...'). */
typedef void store_done_fn(void *owner, redisReply *reply, const struct err *err);

/* printf-like as redisCommand: %s text, %b bytes + size_t. done may be NULL (errors are logged). */
struct store_call *store_cmd(struct store *store, store_done_fn *done, void *owner,
    const char *fmt, ...);
struct store_call *store_argv(struct store *store, int argc, const char **argv,
    const size_t *lens, store_done_fn *done, void *owner);
/* After this no callback comes; the command itself may still run. NULL is fine. */
void store_cancel(struct store_call *call);

/* Scripts: embedded from *.lua files at build time; see cmake/embed_lua.cmake. */
struct script {
    const char *name;
    const char *text;
    char sha1[41]; /* filled at first use */
};
/* Generated as `extern struct script script_<name>;` in "<module>_scripts.h". */

struct store_args; /* builder: keys first, then arguments */
struct store_args *store_args_new(void);
void store_key(struct store_args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void store_arg(struct store_args *a, const char *text);
void store_arg_b(struct store_args *a, const void *data, size_t len);
void store_arg_i(struct store_args *a, int64_t value);
/* Takes args. */
struct store_call *store_eval(struct store *store, struct script *script, struct store_args *args,
    store_done_fn *done, void *owner);

/* Key names. "rondo:{07}:" for the shard of this id; pointer is valid until the store goes. */
const char *store_shard_prefix(const struct store *store, unsigned shard);
const char *store_id_prefix(const struct store *store, const char *id);
/* "rondo:{catalog}:" */
const char *store_catalog_prefix(const struct store *store);
/* "rondo:{pools}:" */
const char *store_pools_prefix(const struct store *store);
unsigned store_shards(const struct store *store);

/*
 * The fencing epoch that we hold of a shard; 0: it is not ours. Scripts that carry runs on and fire
 * ticks take it as an argument and compare it with <shard prefix>epoch. Whoever leases the shard
 * (scheduler/lease.h) sets it; nothing is written here.
 */
int64_t store_shard_epoch(const struct store *store, unsigned shard);
int64_t store_id_epoch(const struct store *store, const char *id);
void store_set_epoch(struct store *store, unsigned shard, int64_t epoch);

/* Reply helpers. NULL / fallback when the shape differs. */
const char *reply_str(const redisReply *r);              /* string or status */
int64_t reply_int(const redisReply *r, int64_t fallback); /* integer or decimal string */
/* Member of a flat [k, v, k, v] reply (HGETALL), NULL when absent. */
const char *reply_field(const redisReply *r, const char *key);

#endif
