/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An API server in the test's own loop that answers what the test tells it to: each request is
 * noted as "METHOD path?query" and handed to the test's function. Header only.
 */
#ifndef TESTS_FAKE_API_H
#define TESTS_FAKE_API_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/util.h"
#include "kube/kube.h"

#define FAKE_API_SEEN 256

struct fake_api {
    struct loop *loop;
    struct evhttp *http;
    struct http_client *client;
    struct kube_credentials credentials;
    struct kube *kube;
    void (*answer)(struct fake_api *api, struct evhttp_request *req, const char *what);
    char *seen[FAKE_API_SEEN]; /* "GET /path?query" */
    int seen_count;
    struct evhttp_request *stream; /* a watch that is open */
    struct timer tick;
};

static inline const char *fake_api_method(struct evhttp_request *req)
{
    switch ((int)evhttp_request_get_command(req)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    default:
        return "OTHER";
    }
}

static inline void fake_api_on_request(struct evhttp_request *req, void *owner)
{
    struct fake_api *api = owner;
    char *what = xasprintf("%s %s", fake_api_method(req), evhttp_request_get_uri(req));
    if (api->seen_count == FAKE_API_SEEN) {
        fail_msg("too many requests");
    }
    api->seen[api->seen_count++] = what;
    api->answer(api, req, what);
}

static inline void fake_api_tick(void *owner)
{
    struct fake_api *api = owner;
    timer_start_ms(&api->tick, 5);
}

static inline void fake_api_init(struct fake_api *api, struct loop *loop,
    void (*answer)(struct fake_api *api, struct evhttp_request *req, const char *what))
{
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    struct err err = ERR_INIT;
    *api = (struct fake_api){.loop = loop, .answer = answer};
    api->http = evhttp_new(loop_base(loop));
    evhttp_set_gencb(api->http, fake_api_on_request, api);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(api->http, "127.0.0.1", 0);
    assert_non_null(bound);
    assert_int_equal(
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len), 0);
    api->client = http_client_new(loop, &err);
    assert_non_null(api->client);
    api->credentials.server = xasprintf("http://127.0.0.1:%d", ntohs(addr.sin_port));
    api->credentials.namespace_ = xstrdup("ns");
    api->kube = kube_new(loop, api->client, &api->credentials);
    timer_init(&api->tick, loop, fake_api_tick, api);
    fake_api_tick(api);
}

static inline void fake_api_end(struct fake_api *api)
{
    evhttp_send_reply_end(api->stream);
    api->stream = NULL;
}

static inline void fake_api_done(struct fake_api *api)
{
    if (api->stream != NULL) {
        fake_api_end(api);
    }
    kube_free(api->kube);
    http_client_free(api->client);
    evhttp_free(api->http);
    timer_done(&api->tick);
    kube_credentials_done(&api->credentials);
    for (int i = 0; i < api->seen_count; i++) {
        free(api->seen[i]);
    }
}

/* Turn the loop until fn(owner) is true. */
static inline void fake_api_wait(struct fake_api *api, bool (*fn)(void *owner), void *owner)
{
    int64_t limit = clock_mono_us() + 60 * US_PER_S;
    while (!fn(owner)) {
        if (clock_mono_us() > limit) {
            for (int i = 0; i < api->seen_count; i++) {
                fprintf(stderr, "%s\n", api->seen[i]);
            }
            fail_msg("waited too long");
        }
        loop_turn(api->loop, true);
    }
}

static inline void fake_api_reply(struct evhttp_request *req, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, text, strlen(text));
    evhttp_send_reply(req, status, "Reply", body);
    evbuffer_free(body);
}

/* The start of a stream, in as many pieces as one likes. One whose client has gone is freed. */
static inline void fake_api_stream(struct fake_api *api, struct evhttp_request *req)
{
    if (api->stream != NULL) {
        fake_api_end(api);
    }
    api->stream = req;
    evhttp_send_reply_start(req, 200, "OK");
}

static inline void fake_api_send(struct fake_api *api, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, text, strlen(text));
    evhttp_send_reply_chunk(api->stream, body);
    evbuffer_free(body);
}

#endif
