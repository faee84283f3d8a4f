/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client: libcurl multi on the loop. HTTP/2 where the server has it. Redirects are never
 * followed; the environment's proxies, netrc and cookies are not used; response size is bounded.
 */
#ifndef BASE_HTTP_CLIENT_H
#define BASE_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct http_call;
struct http_client;
struct loop;
struct sockaddr;

struct http_client *http_client_new(struct loop *loop, struct err *err);
/* Cancels everything under way. Not from within on_data, on_status or check_address. */
void http_client_free(struct http_client *client);

struct http_reply {
    int status;
    const char *body; /* NUL-terminated; bounded by max_body */
    size_t body_len;
    bool body_cut;    /* max_body was reached and cut_body was set */
    /* First value of a response header, or NULL. Valid during the callback. */
    const char *(*header)(const struct http_reply *reply, const char *name);
    /* All of them, in turn: *at is NULL at first; false: that was the last. Valid as above. */
    bool (*next_header)(const struct http_reply *reply, void **at, const char **name,
        const char **value);
    void *ctx_;
    double total_s, dns_s, connect_s, tls_s, first_byte_s; /* each since the start */
    bool is_reused;   /* the connection was there already */
    const char *peer; /* address connected to */
};

struct http_call_spec {
    const char *method;
    const char *url;
    const char *const *headers; /* "Name: value" lines, NULL-terminated; may be NULL */
    const void *body;           /* copied */
    size_t body_len;
    int64_t connect_timeout_ms; /* until there is a connection, all of the three below; 0: 10 s */
    int64_t resolve_timeout_ms; /* until it has an address; 0: none of its own, as below */
    int64_t tcp_timeout_ms;     /* from there until the connection is taken */
    int64_t tls_timeout_ms;     /* handshake */
    int64_t first_byte_timeout_ms; /* from the connection to the first byte of the answer */
    int64_t timeout_ms;         /* whole call; 0: 30 s; -1: none (watch streams) */
    int64_t idle_timeout_ms;    /* streams: give up after so long without a byte; 0: none */
    size_t max_body;            /* 0: 1 MiB */
    bool cut_body;              /* past max_body: cut (true) or fail with ERR_LIMIT (false) */
    bool http_only;             /* false: only http and https anyway */
    bool fresh_connection;      /* never reuse one, nor leave one for others */
    /*
     * Reuse connections of calls with the same key only: one key for each endpoint of others,
     * so for one host and port. Idle ones are kept for 30 s, at most 512 of all keys. NULL:
     * reuse those of all calls without a key. A request whose kept connection dies before the
     * answer begins is sent once more on a new one, so it may arrive twice.
     */
    const char *pool_key;
    const char *unix_socket;    /* or NULL */
    /* TLS */
    const char *ca_file;        /* PEM, read at most once an hour; NULL: the system's */
    const char *client_cert_file, *client_key_file;
    bool insecure_tls;
    const char *bearer;         /* Authorization: Bearer ... */
    /*
     * Asked with the resolved address before connecting, and again with the peer's address
     * before each request, on new and on kept connections; -1 with an error refuses it, and
     * ends the call with that error if no other address will do. Not asked again for a
     * unix_socket.
     */
    int (*check_address)(void *owner, const struct sockaddr *addr, struct err *err);
    /* Stream the body instead of collecting it. Non-zero aborts (ERR_INVALID). */
    int (*on_data)(void *owner, const char *data, size_t len);
    /* For streams: the status line has arrived. */
    void (*on_status)(void *owner, int status);
};

/* err: NULL when an HTTP response arrived whatever its status; else reply is NULL. */
typedef void http_done_fn(void *owner, const struct http_reply *reply, const struct err *err);

struct http_call *http_call_start(struct http_client *client, const struct http_call_spec *spec,
    http_done_fn *done, void *owner);
/* From anywhere, also from the callbacks of this or another call. NULL is fine. */
void http_call_cancel(struct http_call *call);

#endif
