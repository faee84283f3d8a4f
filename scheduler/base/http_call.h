/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client's insides, shared by its files only. */
#ifndef BASE_HTTP_CALL_H
#define BASE_HTTP_CALL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"

enum call_state {
    CALL_STATE_STARTING, /* joins the multi at the bottom of the turn */
    CALL_STATE_RUNNING,
    CALL_STATE_CANCELLED, /* inside curl; leaves when we are out of it */
    CALL_STATE_ENDED,
};

enum call_stop {
    CALL_STOP_NONE,
    CALL_STOP_HEADERS, /* too long */
    CALL_STOP_BODY,    /* too long */
    CALL_STOP_CUT,     /* long enough */
    CALL_STOP_READER,  /* on_data said so */
};

/* What it waits for. A kept connection goes from the first to WAITING at once. */
enum call_phase {
    CALL_PHASE_RESOLVING, /* its name, or its turn */
    CALL_PHASE_CONNECTING,
    CALL_PHASE_HANDSHAKE, /* of TLS */
    CALL_PHASE_WAITING,   /* for the first byte */
    CALL_PHASE_RECEIVING,
};

struct http_call {
    struct http_client *client;
    struct http_call *prev, *next;
    enum call_state state;
    enum call_stop stop; /* why we made curl give up */
    struct deferred deferred;
    http_done_fn *done;
    void *owner;
    char *where; /* method, scheme, host and port: for messages */
    CURL *easy;
    struct http_pool *pool; /* or NULL */
    struct curl_slist *headers;
    char curl_text[CURL_ERROR_SIZE];
    struct err err; /* of the start */

    struct buf body;
    size_t max_body;
    bool cut_body;
    size_t header_bytes;
    bool has_status;
    struct err refused; /* the first address that was; ERR_NONE: none, or another was allowed */
    bool is_address_allowed;
    bool is_local; /* a unix socket */

    int (*check_address)(void *owner, const struct sockaddr *addr, struct err *err);
    int (*on_data)(void *owner, const char *data, size_t len);
    void (*on_status)(void *owner, int status);
    int64_t idle_timeout_ms;
    struct timer idle;
    enum call_phase phase;
    int64_t phase_timeout_ms[CALL_PHASE_RECEIVING]; /* 0: none of its own */
    struct timer phase_end;
};

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct http_pools *pools;
    struct timer timer;
    struct http_call *calls;
    unsigned in_curl;   /* inside curl, whose callbacks must not change the multi */
    unsigned cancelled; /* calls in that state */
    unsigned busy;      /* inside a callback of ours */
    bool is_freed;
};

/* http_setup.c: method, scheme, host and port, for messages; malloc'd. */
char *http_call_describe(const char *method, const char *url);
/* http_setup.c: all options of the handle but its callbacks. */
int http_call_set_up(struct http_call *call, const struct http_call_spec *spec, struct err *err);

#endif
