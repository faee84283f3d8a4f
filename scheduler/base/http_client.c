/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client: libcurl's multi interface on the loop. libcurl says which sockets and which time
 * it waits for; we tell it what happened. Calls join and leave the multi only from our own
 * stack, never from one of its callbacks, which it forbids.
 */
#include "http_call.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "base/util.h"
#include "http_pool.h"

#define BODY_MAX ((size_t)1 << 20)
#define HEADERS_MAX ((size_t)64 << 10)
#define IDLE_CONNECTIONS 64 /* kept open for the next call */
#define CONNECTIONS_MAX 512

/* Calls. */

static void call_link(struct http_call *call)
{
    struct http_client *client = call->client;
    call->next = client->calls;
    if (call->next != NULL) {
        call->next->prev = call;
    }
    client->calls = call;
}

static void call_unlink(struct http_call *call)
{
    *(call->prev != NULL ? &call->prev->next : &call->client->calls) = call->next;
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    call->prev = call->next = NULL;
}

/* Takes it out of everything; its memory stays. */
static void call_detach(struct http_call *call)
{
    loop_defer_cancel(call->client->loop, &call->deferred);
    timer_done(&call->idle);
    timer_done(&call->phase_end);
    if (call->state == CALL_STATE_RUNNING || call->state == CALL_STATE_CANCELLED) {
        curl_multi_remove_handle(call->client->multi, call->easy);
    }
    call_unlink(call);
    call->state = CALL_STATE_ENDED;
}

static void call_free(struct http_call *call)
{
    curl_easy_cleanup(call->easy);
    http_pool_give(call->pool);
    curl_slist_free_all(call->headers);
    buf_done(&call->body);
    free(call->where);
    free(call);
}

static const char *reply_header(const struct http_reply *reply, const char *name)
{
    struct curl_header *header;
    if (curl_easy_header(reply->ctx_, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK) {
        return NULL;
    }
    return header->value;
}

static bool reply_next_header(
    const struct http_reply *reply, void **at, const char **name, const char **value)
{
    struct curl_header *header = curl_easy_nextheader(reply->ctx_, CURLH_HEADER, -1, *at);
    *at = header;
    if (header != NULL) {
        *name = header->name;
        *value = header->value;
    }
    return header != NULL;
}

static double info_seconds(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;
    curl_easy_getinfo(easy, info, &us);
    return (double)us / 1e6;
}

static void call_fill_reply(struct http_call *call, struct http_reply *reply)
{
    long status = 0, connects = 0;
    char *peer = NULL;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_PRIMARY_IP, &peer);
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    *reply = (struct http_reply){
        .status = (int)status,
        .body = buf_str(&call->body),
        .body_len = call->body.len,
        .body_cut = call->stop == CALL_STOP_CUT,
        .header = reply_header,
        .next_header = reply_next_header,
        .ctx_ = call->easy,
        .total_s = info_seconds(call->easy, CURLINFO_TOTAL_TIME_T),
        .dns_s = info_seconds(call->easy, CURLINFO_NAMELOOKUP_TIME_T),
        .connect_s = info_seconds(call->easy, CURLINFO_CONNECT_TIME_T),
        .tls_s = info_seconds(call->easy, CURLINFO_APPCONNECT_TIME_T),
        .first_byte_s = info_seconds(call->easy, CURLINFO_STARTTRANSFER_TIME_T),
        .is_reused = connects == 0,
        .peer = peer != NULL ? peer : "",
    };
}

static enum err_code code_of(const struct http_call *call, CURLcode code)
{
    long sent = 0;
    switch ((int)code) {
    case CURLE_UNSUPPORTED_PROTOCOL: /* of the URL; or, after the request, of the answer */
        curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
        return sent > 0 ? ERR_TRANSIENT : ERR_INVALID;
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        return ERR_INVALID;
    case CURLE_FILESIZE_EXCEEDED:
        return ERR_LIMIT;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        return ERR_INTERNAL;
    default:
        return ERR_TRANSIENT; /* the network, their server, its certificate: may be better later */
    }
}

static int call_error(const struct http_call *call, CURLcode code, struct err *err)
{
    switch (call->stop) {
    case CALL_STOP_HEADERS:
        return err_set(err, ERR_LIMIT, "%s: the headers of the reply are longer than %zu bytes",
            call->where, HEADERS_MAX);
    case CALL_STOP_BODY:
        return err_set(
            err, ERR_LIMIT, "%s: the reply is longer than %zu bytes", call->where, call->max_body);
    case CALL_STOP_READER:
        return err_set(err, ERR_INVALID, "%s: the reply could not be used", call->where);
    case CALL_STOP_NONE:
    case CALL_STOP_CUT:
        break;
    }
    if (code == CURLE_FILESIZE_EXCEEDED) {
        return err_set(
            err, ERR_LIMIT, "%s: the reply is longer than %zu bytes", call->where, call->max_body);
    }
    if (call->refused.code != ERR_NONE && !call->is_address_allowed) {
        return err_set(err, call->refused.code, "%s: %s", call->where, call->refused.msg);
    }
    return err_set(err, code_of(call, code), "%s: %s", call->where,
        call->curl_text[0] != '\0' ? call->curl_text : curl_easy_strerror(code));
}

static void client_destroy(struct http_client *client);

/* The end of a call, told to its owner. err NULL: a reply has come. */
static void call_finish(struct http_call *call, const struct err *err)
{
    struct http_client *client = call->client;
    call_detach(call);
    struct http_reply reply;
    if (err == NULL) {
        call_fill_reply(call, &reply);
    }
    client->busy++;
    call->done(call->owner, err == NULL ? &reply : NULL, err);
    client->busy--;
    call_free(call);
    if (client->is_freed && client->busy == 0) {
        client_destroy(client);
    }
}

static void call_ended(struct http_call *call, CURLcode code)
{
    struct err err = ERR_INIT;
    if (code == CURLE_OK || call->stop == CALL_STOP_CUT) {
        call_finish(call, NULL);
    } else {
        call_error(call, code, &err);
        call_finish(call, &err);
    }
}

static void call_on_idle(void *arg)
{
    struct http_call *call = arg;
    struct err err = ERR_INIT;
    err_set(&err, ERR_TRANSIENT, "%s: nothing came for %lld ms", call->where,
        (long long)call->idle_timeout_ms);
    call_finish(call, &err);
}

static void call_on_phase_end(void *arg)
{
    static const char *const what[] = {
        [CALL_PHASE_RESOLVING] = "its name was not resolved",
        [CALL_PHASE_CONNECTING] = "it did not take the connection",
        [CALL_PHASE_HANDSHAKE] = "the TLS handshake did not end",
        [CALL_PHASE_WAITING] = "no answer began",
    };
    struct http_call *call = arg;
    struct err err = ERR_INIT;
    err_set(&err, ERR_TRANSIENT, "%s: %s within %lld ms (timed out)", call->where,
        what[call->phase], (long long)call->phase_timeout_ms[call->phase]);
    call_finish(call, &err);
}

/* What curl calls while it works on a call. */

static void call_set_phase(struct http_call *call, enum call_phase phase)
{
    call->phase = phase;
    timer_stop(&call->phase_end);
    if (phase < CALL_PHASE_RECEIVING && call->phase_timeout_ms[phase] > 0) {
        timer_start_ms(&call->phase_end, call->phase_timeout_ms[phase]);
    }
}

static void call_heard(struct http_call *call)
{
    if (call->idle_timeout_ms > 0) {
        timer_start_ms(&call->idle, call->idle_timeout_ms);
    }
}

/* curl takes any number but `size` for "stop". */
static size_t call_stop(struct http_call *call, enum call_stop why)
{
    call->stop = why;
    return 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    if (call->state != CALL_STATE_RUNNING) {
        return 0;
    }
    call_heard(call);
    if (call->phase != CALL_PHASE_RECEIVING) {
        call_set_phase(call, CALL_PHASE_RECEIVING);
    }
    call->header_bytes += len;
    if (call->header_bytes > HEADERS_MAX) {
        return call_stop(call, CALL_STOP_HEADERS);
    }
    bool is_end = len <= 2 && (len == 0 || data[0] == '\r' || data[0] == '\n');
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (is_end && status >= 200 && !call->has_status) {
        call->has_status = true;
        if (call->on_status != NULL) {
            call->on_status(call->owner, (int)status);
        }
    }
    return call->state == CALL_STATE_RUNNING ? len : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * count;
    if (call->state != CALL_STATE_RUNNING) {
        return 0;
    }
    call_heard(call);
    if (call->on_data != NULL) {
        if (call->on_data(call->owner, data, len) != 0) {
            return call_stop(call, CALL_STOP_READER);
        }
        return call->state == CALL_STATE_RUNNING ? len : 0;
    }
    size_t room = call->max_body - call->body.len;
    buf_add(&call->body, data, len < room ? len : room);
    if (len > room) {
        return call_stop(call, call->cut_body ? CALL_STOP_CUT : CALL_STOP_BODY);
    }
    return len;
}

static bool call_allows(struct http_call *call, const struct sockaddr *addr)
{
    struct err err = ERR_INIT;
    if (call->check_address(call->owner, addr, &err) == 0) {
        call->is_address_allowed = true;
        return true;
    }
    if (call->refused.code == ERR_NONE) {
        err_copy(&call->refused, &err);
    }
    return false;
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_call *call = arg;
    (void)purpose;
    if (call->state != CALL_STATE_RUNNING) {
        return CURL_SOCKET_BAD;
    }
    if (call->check_address != NULL && !call_allows(call, &address->addr)) {
        return CURL_SOCKET_BAD;
    }
    if (call->phase == CALL_PHASE_RESOLVING) {
        call_set_phase(call, CALL_PHASE_CONNECTING);
    }
    /* curl's own way of opening one lets our children inherit it. */
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* libcurl has connected and is about to shake hands. */
static CURLcode on_handshake(CURL *easy, void *ssl_ctx, void *arg)
{
    (void)easy;
    (void)ssl_ctx;
    call_set_phase(arg, CALL_PHASE_HANDSHAKE);
    return CURLE_OK;
}

static bool call_allows_peer(struct http_call *call, const char *peer, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, peer, &v4.sin_addr) == 1) {
        return call_allows(call, (const struct sockaddr *)(const void *)&v4);
    }
    if (inet_pton(AF_INET6, peer, &v6.sin6_addr) == 1) {
        return call_allows(call, (const struct sockaddr *)(const void *)&v6);
    }
    err_set(&call->refused, ERR_DENIED, "its address is not known");
    return false;
}

/*
 * Before each request, also on a connection that was there already: who is at the other end is
 * judged again, by the rules of this call.
 */
static int on_connected(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct http_call *call = arg;
    (void)local;
    (void)local_port;
    if (call->state != CALL_STATE_RUNNING) {
        return CURL_PREREQFUNC_ABORT;
    }
    if (call->check_address != NULL && !call->is_local &&
        !call_allows_peer(call, peer, peer_port)) {
        call->is_address_allowed = false;
        return CURL_PREREQFUNC_ABORT;
    }
    call_set_phase(call, CALL_PHASE_WAITING);
    return CURL_PREREQFUNC_OK;
}

/* The multi and the loop. */

/* After every visit to curl: what was cancelled inside leaves, what has ended is told. */
static void client_collect(struct http_client *client)
{
    for (struct http_call *call = client->calls, *next; client->cancelled > 0; call = next) {
        next = call->next;
        if (call->state == CALL_STATE_CANCELLED) {
            call_detach(call);
            call_free(call);
            client->cancelled--;
        }
    }
    client->busy++;
    int left;
    for (CURLMsg *msg;
         !client->is_freed && (msg = curl_multi_info_read(client->multi, &left)) != NULL;) {
        if (msg->msg == CURLMSG_DONE) {
            char *call = NULL;
            CURLcode code = msg->data.result;
            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
            call_ended((struct http_call *)call, code);
        }
    }
    if (--client->busy == 0 && client->is_freed) {
        client_destroy(client);
    }
}

static void client_act(struct http_client *client, curl_socket_t fd, int what)
{
    int running;
    client->in_curl++;
    curl_multi_socket_action(client->multi, fd, what, &running);
    client->in_curl--;
    client_collect(client);
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
    client_act(arg, fd,
        ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
            ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *arg)
{
    client_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct http_client *client = arg;
    struct event *event = socket_arg;
    if (event != NULL) {
        event_free(event);
        event = NULL;
    }
    if (what != CURL_POLL_REMOVE) {
        short flags = EV_PERSIST;
        flags |= (what & CURL_POLL_IN) != 0 ? EV_READ : 0;
        flags |= (what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0;
        event = event_new(loop_base(client->loop), fd, flags, on_socket_event, client);
        if (event == NULL || event_add(event, NULL) != 0) {
            return -1;
        }
    }
    curl_multi_assign(client->multi, fd, event);
    return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct http_client *client = arg;
    if (timeout_ms < 0) {
        timer_stop(&client->timer);
    } else {
        timer_start_ms(&client->timer, timeout_ms);
    }
    return 0;
}

/* Starting. */

static int call_set_up(struct http_call *call, const struct http_call_spec *spec, struct err *err)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, (char *)call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_text);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    if (call->phase_timeout_ms[CALL_PHASE_HANDSHAKE] > 0) {
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_handshake);
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, call);
    }
    return http_call_set_up(call, spec, err);
}

static void call_begin(void *arg)
{
    struct http_call *call = arg;
    struct http_client *client = call->client;
    if (call->err.code == ERR_NONE) {
        CURLMcode code = curl_multi_add_handle(client->multi, call->easy);
        if (code == CURLM_OK) {
            call->state = CALL_STATE_RUNNING;
            call_heard(call);
            call_set_phase(call, CALL_PHASE_RESOLVING);
            return;
        }
        err_set(&call->err, ERR_INTERNAL, "%s: %s", call->where, curl_multi_strerror(code));
    }
    struct err err = call->err;
    call_finish(call, &err);
}

struct http_call *http_call_start(
    struct http_client *client, const struct http_call_spec *spec, http_done_fn *done, void *owner)
{
    assert(done != NULL && spec->url != NULL);
    struct http_call *call = xcalloc(1, sizeof *call);
    call->client = client;
    call->done = done;
    call->owner = owner;
    call->where = http_call_describe(spec->method != NULL ? spec->method : "GET", spec->url);
    call->max_body = spec->max_body > 0 ? spec->max_body : BODY_MAX;
    call->cut_body = spec->cut_body;
    call->check_address = spec->check_address;
    call->on_data = spec->on_data;
    call->on_status = spec->on_status;
    call->is_local = spec->unix_socket != NULL;
    call->idle_timeout_ms = spec->idle_timeout_ms;
    call->phase_timeout_ms[CALL_PHASE_RESOLVING] = spec->resolve_timeout_ms;
    call->phase_timeout_ms[CALL_PHASE_CONNECTING] = spec->tcp_timeout_ms;
    call->phase_timeout_ms[CALL_PHASE_HANDSHAKE] = spec->tls_timeout_ms;
    call->phase_timeout_ms[CALL_PHASE_WAITING] = spec->first_byte_timeout_ms;
    buf_init(&call->body, call->max_body);
    timer_init(&call->idle, client->loop, call_on_idle, call);
    timer_init(&call->phase_end, client->loop, call_on_phase_end, call);
    call->easy = curl_easy_init();
    assert(call->easy != NULL);
    if (call_set_up(call, spec, &call->err) != 0) {
        assert(call->err.code != ERR_NONE);
    }
    call_link(call);
    loop_defer(client->loop, &call->deferred, call_begin, call);
    return call;
}

void http_call_cancel(struct http_call *call)
{
    if (call == NULL || call->state == CALL_STATE_ENDED || call->state == CALL_STATE_CANCELLED) {
        return;
    }
    if (call->client->in_curl > 0 && call->state == CALL_STATE_RUNNING) {
        timer_stop(&call->idle);
        timer_stop(&call->phase_end);
        call->state = CALL_STATE_CANCELLED;
        call->client->cancelled++;
        return;
    }
    call_detach(call);
    call_free(call);
}

/* The client. */

struct http_client *http_client_new(struct loop *loop, struct err *err)
{
    /* Out of memory aborts there as well. */
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, xmalloc, free, xrealloc, xstrdup, xcalloc) !=
        CURLE_OK) {
        err_set(err, ERR_INTERNAL, "libcurl cannot be set up");
        return NULL;
    }
    struct http_client *client = xcalloc(1, sizeof *client);
    client->loop = loop;
    timer_init(&client->timer, loop, on_timer, client);
    client->multi = curl_multi_init();
    assert(client->multi != NULL);
    client->pools = http_pools_new(loop);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
    curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    return client;
}

static void client_destroy(struct http_client *client)
{
    http_pools_free(client->pools);
    curl_multi_cleanup(client->multi);
    timer_done(&client->timer);
    free(client);
    curl_global_cleanup();
}

void http_client_free(struct http_client *client)
{
    if (client == NULL || client->is_freed) {
        return;
    }
    assert(client->in_curl == 0); /* not from on_data and its like */
    while (client->calls != NULL) {
        http_call_cancel(client->calls);
    }
    client->is_freed = true;
    if (client->busy == 0) {
        client_destroy(client);
    }
}
