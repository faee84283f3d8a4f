/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client: libcurl's multi interface on the loop. libcurl says which sockets and which time
 * it waits for; we tell it what happened. Calls join and leave the multi only from our own
 * stack, never from one of its callbacks, which it forbids.
 */
#include "base/http_client.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/util.h"
#include "http_pool.h"

#define CONNECT_TIMEOUT_MS 10000
#define TIMEOUT_MS 30000
#define BODY_MAX ((size_t)1 << 20)
#define HEADERS_MAX ((size_t)64 << 10)
#define IDLE_CONNECTIONS 64 /* kept open for the next call */
#define CONNECTIONS_MAX 512

#ifndef RONDO_VERSION
#define RONDO_VERSION "0"
#endif

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

    int (*check_address)(void *owner, const struct sockaddr *addr, struct err *err);
    int (*on_data)(void *owner, const char *data, size_t len);
    void (*on_status)(void *owner, int status);
    int64_t idle_timeout_ms;
    struct timer idle;
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

static double info_seconds(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;
    curl_easy_getinfo(easy, info, &us);
    return (double)us / 1e6;
}

static void call_fill_reply(struct http_call *call, struct http_reply *reply)
{
    long status = 0;
    char *peer = NULL;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_PRIMARY_IP, &peer);
    *reply = (struct http_reply){
        .status = (int)status,
        .body = buf_str(&call->body),
        .body_len = call->body.len,
        .body_cut = call->stop == CALL_STOP_CUT,
        .header = reply_header,
        .ctx_ = call->easy,
        .total_s = info_seconds(call->easy, CURLINFO_TOTAL_TIME_T),
        .dns_s = info_seconds(call->easy, CURLINFO_NAMELOOKUP_TIME_T),
        .connect_s = info_seconds(call->easy, CURLINFO_CONNECT_TIME_T),
        .tls_s = info_seconds(call->easy, CURLINFO_APPCONNECT_TIME_T),
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

/* What curl calls while it works on a call. */

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
    /* curl's own way of opening one lets our children inherit it. */
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/*
 * Before each request, also on a connection that was there already: who is at the other end is
 * judged again, by the rules of this call.
 */
static int on_connected(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct http_call *call = arg;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)peer_port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)peer_port)};
    const struct sockaddr *addr = NULL;
    (void)local;
    (void)local_port;
    if (call->state != CALL_STATE_RUNNING) {
        return CURL_PREREQFUNC_ABORT;
    }
    if (inet_pton(AF_INET, peer, &v4.sin_addr) == 1) {
        addr = (const struct sockaddr *)(const void *)&v4;
    } else if (inet_pton(AF_INET6, peer, &v6.sin6_addr) == 1) {
        addr = (const struct sockaddr *)(const void *)&v6;
    }
    if (addr == NULL) {
        err_set(&call->refused, ERR_DENIED, "its address is not known");
    }
    if (addr != NULL && call_allows(call, addr)) {
        return CURL_PREREQFUNC_OK;
    }
    call->is_address_allowed = false;
    return CURL_PREREQFUNC_ABORT;
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

static char *describe(const char *method, const char *url)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    char *text;
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == 0 &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == 0 &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == 0) {
        bool has_port = curl_url_get(parts, CURLUPART_PORT, &port, 0) == 0;
        text = xasprintf(
            "%s %s://%s%s%s", method, scheme, host, has_port ? ":" : "", has_port ? port : "");
    } else {
        text = xasprintf("%s of a malformed URL", method);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return text;
}

static bool has_control(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if ((*c < ' ' && *c != '\t') || *c == 127) {
            return true;
        }
    }
    return false;
}

static void call_add_header(struct http_call *call, const char *line)
{
    struct curl_slist *list = curl_slist_append(call->headers, line);
    assert(list != NULL);
    call->headers = list;
}

static int call_set_headers(
    struct http_call *call, const struct http_call_spec *spec, struct err *err)
{
    bool has_type = false, has_agent = false;
    for (const char *const *line = spec->headers; line != NULL && *line != NULL; line++) {
        if (has_control(*line)) {
            return err_set(err, ERR_INVALID, "%s: a header has control characters", call->where);
        }
        has_type = has_type || strncasecmp(*line, "Content-Type:", 13) == 0;
        has_agent = has_agent || strncasecmp(*line, "User-Agent:", 11) == 0;
        call_add_header(call, *line);
    }
    if (spec->bearer != NULL) {
        if (has_control(spec->bearer)) {
            return err_set(
                err, ERR_INVALID, "%s: the bearer token has control characters", call->where);
        }
        char *line = xasprintf("Authorization: Bearer %s", spec->bearer);
        call_add_header(call, line);
        free(line);
    }
    call_add_header(call, "Expect:"); /* or curl waits a second for a "100 Continue" */
    if (!has_type) {
        call_add_header(call, "Content-Type:"); /* or curl says it is a web form */
    }
    if (!has_agent) {
        curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "rondo/" RONDO_VERSION);
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return 0;
}

static void call_set_method(struct http_call *call, const struct http_call_spec *spec)
{
    CURL *easy = call->easy;
    const char *method = spec->method != NULL ? spec->method : "GET";
    bool has_body = spec->body_len > 0 || strcmp(method, "POST") == 0 ||
                    strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (has_body) {
        /* The size first: it says how much is to be copied. */
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body_len);
        curl_easy_setopt(
            easy, CURLOPT_COPYPOSTFIELDS, spec->body_len > 0 ? (const char *)spec->body : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static void call_set_tls(struct http_call *call, const struct http_call_spec *spec)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (spec->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, spec->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* only this one, not the system's too */
    }
    if (spec->client_cert_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, spec->client_cert_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, spec->client_key_file);
    }
    if (spec->insecure_tls) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void call_set_network(struct http_call *call, const struct http_call_spec *spec)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* also not the environment's */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, spec->http_only ? "http" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A name server that does not answer must not hold up the cancelling of a call. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (spec->pool_key != NULL) {
        call->pool = http_pool_take(call->client->pools, spec->pool_key);
        http_pool_use(call->pool, easy);
    }
    if (spec->fresh_connection) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    } else if (strncasecmp(spec->url, "https:", 6) == 0) {
        /* Rather share a connection that is being made than make a second one. */
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    }
    if (spec->unix_socket != NULL) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, spec->unix_socket);
    }
    int64_t timeout_ms = spec->timeout_ms == 0 ? TIMEOUT_MS : spec->timeout_ms;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? (long)timeout_ms : 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
        spec->connect_timeout_ms > 0 ? (long)spec->connect_timeout_ms : (long)CONNECT_TIMEOUT_MS);
    if (!spec->cut_body && spec->on_data == NULL) {
        curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->max_body);
    }
}

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
    if (call->check_address != NULL && spec->unix_socket == NULL) {
        curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
        curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    }
    if (has_control(spec->url)) {
        return err_set(err, ERR_INVALID, "%s: the URL has control characters", call->where);
    }
    curl_easy_setopt(easy, CURLOPT_URL, spec->url);
    call_set_network(call, spec);
    call_set_tls(call, spec);
    call_set_method(call, spec);
    return call_set_headers(call, spec, err);
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
    call->where = describe(spec->method != NULL ? spec->method : "GET", spec->url);
    call->max_body = spec->max_body > 0 ? spec->max_body : BODY_MAX;
    call->cut_body = spec->cut_body;
    call->check_address = spec->check_address;
    call->on_data = spec->on_data;
    call->on_status = spec->on_status;
    call->idle_timeout_ms = spec->idle_timeout_ms;
    buf_init(&call->body, call->max_body);
    timer_init(&call->idle, client->loop, call_on_idle, call);
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
