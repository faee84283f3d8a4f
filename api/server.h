/* SPDX-License-Identifier: Apache-2.0 */
/* What server.c, router.c and reply.c share about a call under way. Nobody else includes this. */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "api/api.h"

struct evhttp_request;

struct server_call {
    struct api_call call; /* call.server_ points back here */
    struct server *server;
    struct evhttp_request *http;
    struct server_call *prev, *next;
    bool is_head;
    bool is_answered;
    /* streaming replies */
    api_chunk_fn *chunk_fn;
    void *chunk_owner;
};

/* Find the route, check who asks, call the handler. `listen` is the address we listen on. */
void router_handle(struct api_call *call, const char *listen);

/* Send what is in call->resp (api_reply after its bookkeeping). Ends the call. */
void server_send(struct server_call *sc);
void server_stream(struct server_call *sc, api_chunk_fn *fn, void *owner);

#endif
