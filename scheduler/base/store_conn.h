/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to Redis, from name resolution to its end. It knows bytes and replies; what
 * they answer is store.c's business. Private to scheduler/base.
 */
#ifndef BASE_STORE_CONN_H
#define BASE_STORE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

struct err;
struct loop;
struct store_conn;

/* Where Redis is, read from the URL. */
struct store_target {
    char *path; /* unix socket, or NULL */
    char *host;
    char *port;
    char *user;     /* or NULL */
    char *password; /* or NULL */
    char *db;       /* decimal, or NULL */
    char *shown;    /* for messages: never with the password */
    /* Where Redis is, is to be asked of these (store_sentinel.h); host and port are NULL. */
    struct store_target *sentinels;
    size_t sentinel_count;
    char *master;        /* its name there */
    bool is_sentinel;    /* this is one of them */
    bool must_be_master; /* a replica counts as not there */
};
int store_target_parse(const char *url, struct store_target *out, struct err *err);
void store_target_done(struct store_target *target);
/* The master that sentinels named: credentials and database are those of the sentinels' target. */
void store_target_master(const struct store_target *target, const char *host, const char *port,
    struct store_target *out);

struct store_conn_calls {
    /* Connected, authenticated, and Redis answers: it is not loading its data any more. */
    void (*on_up)(void *owner);
    /* The owner frees the reply. */
    void (*on_reply)(void *owner, redisReply *reply);
    /* Once, whether it was up or not; nothing comes afterwards. The owner frees the connection. */
    void (*on_down)(void *owner, const struct err *err);
};

/* Borrows target and calls. No callback comes from inside this. */
struct store_conn *store_conn_start(struct loop *loop, const struct store_target *target,
    const struct store_conn_calls *calls, void *owner, int64_t timeout_ms);
/* May be called from a callback. NULL is fine. */
void store_conn_free(struct store_conn *conn);

/* Only while it is up. What is written during one turn of the loop leaves in one write. */
void store_conn_write(struct store_conn *conn, const void *data, size_t len);
/* Not yet taken by the kernel. */
size_t store_conn_unsent(const struct store_conn *conn);
/* Monotonic time of the last byte from Redis. */
int64_t store_conn_heard_us(const struct store_conn *conn);
/* End it for this reason; on_down comes later. */
void store_conn_drop(struct store_conn *conn, const struct err *err);

#endif
