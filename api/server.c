/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server: libevent's evhttp, turned into calls. It bounds sizes, times and connections,
 * keeps a call alive until it is answered even when its client has gone, and sends replies.
 * Which handler gets a call is decided in router.c.
 */
#include "api/server.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/util.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#define RESWEEP_MS 100
#define COPY_BELOW 4096
#define MAX_REPLY ((size_t)256 * 1024 * 1024)

struct server {
    struct loop *loop;
    struct api *api;
    struct evhttp *http;
    struct evhttp_bound_socket *bound;
    struct evconnlistener *listener; /* belongs to bound; NULL once closed */
    char *listen;
    int port;
    int64_t max_connections;
    /* accepted since the last count, plus what that count found: an upper bound */
    int64_t connections;
    struct timer recount;
    struct server_call *calls;
    int pending;
};

/* ---- connections ---- */

static int local_port(int fd)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0) {
        return -1;
    }
    if (addr.ss_family == AF_INET) {
        return ntohs(((struct sockaddr_in *)&addr)->sin_port);
    }
    if (addr.ss_family == AF_INET6) {
        return ntohs(((struct sockaddr_in6 *)&addr)->sin6_port);
    }
    return -1;
}

/* evhttp does not tell when an idle connection goes, so those that are left are counted. */
static int64_t count_connections(const struct server *server)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    int64_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int64_t fd;
        if (parse_i64(entry->d_name, 0, INT32_MAX, "fd", &fd, NULL) == 0 &&
            local_port((int)fd) == server->port) {
            count++;
        }
    }
    closedir(dir);
    return count > 0 ? count - 1 : 0; /* one of them is the listener */
}

static void recount(void *owner)
{
    struct server *server = owner;
    if (server->listener == NULL) {
        return;
    }
    server->connections = count_connections(server);
    if (server->connections >= server->max_connections) {
        evconnlistener_disable(server->listener);
        timer_start_ms(&server->recount, RESWEEP_MS);
    } else {
        evconnlistener_enable(server->listener);
    }
}

/* Called by evhttp for each accepted connection, before it makes its bufferevent. */
static struct bufferevent *on_accept(struct event_base *base, void *owner)
{
    (void)base;
    struct server *server = owner;
    if (++server->connections >= server->max_connections && server->listener != NULL) {
        evconnlistener_disable(server->listener);
        timer_start_ms(&server->recount, 0);
    }
    return NULL; /* the usual one */
}

/* ---- calls ---- */

static void call_free(struct server_call *sc)
{
    struct server *server = sc->server;
    if (sc->prev != NULL) {
        sc->prev->next = sc->next;
    } else {
        server->calls = sc->next;
    }
    if (sc->next != NULL) {
        sc->next->prev = sc->prev;
    }
    server->pending--;
    buf_done(&sc->call.resp.body);
    pool_free(sc->call.req.pool); /* sc lives in it */
}

static const char *method_name(enum evhttp_cmd_type type)
{
    switch ((int)type) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_HEAD:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    default:
        return "OTHER";
    }
}

/* Everything is borrowed from the evhttp request, which lives until the reply is sent. */
static void read_request(struct server_call *sc)
{
    struct http_request *req = &sc->call.req;
    struct evhttp_request *http = sc->http;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);

    enum evhttp_cmd_type type = evhttp_request_get_command(http);
    req->method = method_name(type);
    sc->is_head = type == EVHTTP_REQ_HEAD;
    const char *path = evhttp_uri_get_path(uri);
    req->path = path != NULL && path[0] != '\0' ? path : "/";
    const char *query = evhttp_uri_get_query(uri);
    req->query_raw = query != NULL ? query : "";
    http_query_parse(req);

    struct evkeyval *header;
    TAILQ_FOREACH(header, evhttp_request_get_input_headers(http), next)
    {
        http_fields_add(req->pool, &req->headers, header->key, header->value);
    }

    struct evbuffer *body = evhttp_request_get_input_buffer(http);
    req->body_len = evbuffer_get_length(body);
    evbuffer_add(body, "", 1);
    req->body = (const char *)evbuffer_pullup(body, -1);

    char *peer = NULL;
    uint16_t port = 0;
    struct evhttp_connection *conn = evhttp_request_get_connection(http);
    if (conn != NULL) {
        evhttp_connection_get_peer(conn, &peer, &port);
    }
    req->peer = pool_strdup(req->pool, peer != NULL ? peer : "");
}

/*
 * Where the request ends must not be open to two readings (RFC 9112 section 6.3): what one of
 * us took for a body the other would serve as a request. libevent leaves some of it to us.
 */
static bool is_framing_ambiguous(const struct http_fields *headers)
{
    const char *encoding = http_fields_get(headers, "Transfer-Encoding");
    size_t lengths = http_fields_times(headers, "Content-Length");
    return lengths > 1 ||
           (encoding != NULL && (lengths > 0 || strcasecmp(encoding, "chunked") != 0));
}

static void on_request(struct evhttp_request *http, void *owner)
{
    struct server *server = owner;
    struct pool *pool = pool_new();
    struct server_call *sc = pool_alloc(pool, sizeof *sc);
    sc->server = server;
    sc->http = http;
    sc->call.api = server->api;
    sc->call.server_ = sc;
    sc->call.req.pool = pool;
    sc->call.resp.status = 200;
    buf_init(&sc->call.resp.body, MAX_REPLY);
    sc->next = server->calls;
    if (sc->next != NULL) {
        sc->next->prev = sc;
    }
    server->calls = sc;
    server->pending++;

    read_request(sc);
    if (is_framing_ambiguous(&sc->call.req.headers)) {
        http_fields_add(pool, &sc->call.resp.headers, "Connection", "close");
        api_fail_as(&sc->call, ERR_INVALID,
            "send either Content-Length once or Transfer-Encoding: chunked, not both");
        return;
    }
    router_handle(&sc->call, server->listen);
}

/* ---- replies ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 409:
        return "Conflict";
    case 413:
        return "Request Entity Too Large";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Status";
    }
}

static void put_headers(struct server_call *sc)
{
    const struct http_response *resp = &sc->call.resp;
    struct evkeyvalq *out = evhttp_request_get_output_headers(sc->http);
    for (size_t i = 0; i < resp->headers.count; i++) {
        /* refuses line breaks in values; such a header is dropped */
        evhttp_add_header(out, resp->headers.items[i].name, resp->headers.items[i].value);
    }
    if (evhttp_find_header(out, "X-Content-Type-Options") == NULL) {
        evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
    }
    if (sc->server->api->is_draining) {
        evhttp_add_header(out, "Connection", "close");
    }
}

static void account(struct server_call *sc)
{
    int status = sc->call.resp.status;
    assert(!sc->is_answered); /* a handler answers exactly once */
    sc->is_answered = true;
    if (status >= 100 && status < 600) {
        sc->server->api->replies[status / 100]++;
    }
    LOG_DEBUG("request", "method=%s path=%s status=%d peer=%s", sc->call.req.method,
        LOG_Q(sc->call.req.path), status, sc->call.req.peer);
}

static void free_data(const void *data, size_t len, void *extra)
{
    (void)data;
    (void)len;
    free(extra);
}

void server_send(struct server_call *sc)
{
    struct http_response *resp = &sc->call.resp;
    account(sc);
    put_headers(sc);
    struct evbuffer *body = evbuffer_new();
    size_t len = resp->body.len;
    if (sc->is_head) {
        char text[24];
        snprintf(text, sizeof text, "%zu", len);
        evhttp_add_header(evhttp_request_get_output_headers(sc->http), "Content-Length", text);
    } else if (len > COPY_BELOW) {
        char *data = buf_steal(&resp->body, &len);
        evbuffer_add_reference(body, data, len, free_data, data);
    } else {
        evbuffer_add(body, buf_str(&resp->body), len);
    }
    /* If the client has gone this only frees the request. */
    evhttp_send_reply(sc->http, resp->status, reason_of(resp->status), body);
    evbuffer_free(body);
    call_free(sc);
}

static void stream_gone(struct evhttp_connection *conn, void *owner)
{
    (void)conn;
    struct server_call *sc = owner;
    LOG_DEBUG("client left during a reply", "path=%s", LOG_Q(sc->call.req.path));
    evhttp_send_reply_end(sc->http); /* has no connection any more: frees it */
    call_free(sc);
}

static void stream_cut(struct server_call *sc)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(sc->http);
    struct bufferevent *bev = evhttp_connection_get_bufferevent(conn);
    /* The next write fails, and stream_gone() cleans up: the client sees a cut reply. */
    shutdown(bufferevent_getfd(bev), SHUT_RDWR);
    struct evbuffer *rest = evbuffer_new();
    evbuffer_add(rest, "\n", 1);
    evhttp_send_reply_chunk(sc->http, rest);
    evbuffer_free(rest);
}

static void stream_next(struct evhttp_connection *conn, void *owner)
{
    struct server_call *sc = owner;
    void *data = NULL;
    size_t len = 0;
    int more = sc->chunk_fn(sc->chunk_owner, &data, &len);
    if (more < 0) {
        stream_cut(sc);
        return;
    }
    if (more == 0) {
        evhttp_connection_set_closecb(conn, NULL, NULL);
        evhttp_send_reply_end(sc->http);
        call_free(sc);
        return;
    }
    struct evbuffer *piece = evbuffer_new();
    evbuffer_add_reference(piece, data, len, free_data, data);
    evhttp_send_reply_chunk_with_cb(sc->http, piece, stream_next, sc);
    evbuffer_free(piece);
}

void server_stream(struct server_call *sc, api_chunk_fn *fn, void *owner)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(sc->http);
    if (conn == NULL || sc->is_head) {
        server_send(sc);
        return;
    }
    account(sc);
    put_headers(sc);
    sc->chunk_fn = fn;
    sc->chunk_owner = owner;
    evhttp_connection_set_closecb(conn, stream_gone, sc);
    evhttp_send_reply_start(sc->http, sc->call.resp.status, reason_of(sc->call.resp.status));
    stream_next(conn, sc);
}

/* ---- life ---- */

static int split_listen(const char *listen, char **host_out, char **port_out, struct err *err)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || colon[1] == '\0') {
        return err_set(
            err, ERR_INVALID, "listen: '%s' has no port; write for example 127.0.0.1:8888", listen);
    }
    const char *start = listen;
    size_t len = (size_t)(colon - listen);
    if (len >= 2 && start[0] == '[' && start[len - 1] == ']') {
        start++;
        len -= 2;
    } else if (memchr(start, ':', len) != NULL) {
        return err_set(err, ERR_INVALID,
            "listen: '%s': an IPv6 address stands in brackets, as in [::1]:8888", listen);
    }
    int64_t port;
    if (parse_i64(colon + 1, 0, 65535, "listen: port", &port, err) != 0) {
        return -1;
    }
    *host_out = xstrndup(start, len);
    *port_out = xstrdup(colon + 1);
    return 0;
}

static int bind_one(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* Accepted sockets inherit it. Without it a reply waits for a delayed acknowledgement. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, 1024) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int bind_listen(const char *listen_text, struct err *err)
{
    CLEANUP(cleanup_free) char *host = NULL;
    CLEANUP(cleanup_free) char *port = NULL;
    if (split_listen(listen_text, &host, &port, err) != 0) {
        return -1;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &list);
    if (rc != 0) {
        return err_set(err, ERR_INVALID, "listen: '%s': %s", listen_text, gai_strerror(rc));
    }
    int fd = -1;
    for (const struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next) {
        fd = bind_one(ai);
    }
    int saved = errno;
    freeaddrinfo(list);
    if (fd < 0) {
        return err_errno(err, saved, "cannot listen on %s", listen_text);
    }
    return fd;
}

struct server *server_new(const struct server_settings *settings, struct err *err)
{
    int fd = bind_listen(settings->listen, err);
    if (fd < 0) {
        return NULL;
    }
    struct server *server = xcalloc(1, sizeof *server);
    server->loop = settings->loop;
    server->api = settings->api;
    server->listen = xstrdup(settings->listen);
    server->max_connections = settings->max_connections;
    server->port = local_port(fd);
    timer_init(&server->recount, settings->loop, recount, server);

    struct event_base *base = loop_base(settings->loop);
    server->http = evhttp_new(base);
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                                 EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH |
                                                 EVHTTP_REQ_HEAD);
    evhttp_set_max_body_size(server->http, (ev_ssize_t)settings->max_body);
    evhttp_set_max_headers_size(server->http, (ev_ssize_t)settings->max_headers);
    struct timeval timeout = {
        .tv_sec = settings->timeout_ms / 1000, .tv_usec = settings->timeout_ms % 1000 * 1000};
    evhttp_set_timeout_tv(server->http, &timeout);
    evhttp_set_default_content_type(server->http, NULL);
    /* Read a refused body to its end: otherwise the reset overtakes the reply. */
    evhttp_set_flags(server->http, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_gencb(server->http, on_request, server);
    evhttp_set_bevcb(server->http, on_accept, server);
    struct evconnlistener *listener =
        evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    server->bound = evhttp_bind_listener(server->http, listener);
    server->listener = listener;
    return server;
}

int server_port(const struct server *server)
{
    return server->port;
}

int server_pending(const struct server *server)
{
    return server->pending;
}

void server_close(struct server *server)
{
    if (server->listener != NULL) {
        server->listener = NULL;
        timer_stop(&server->recount);
        evhttp_del_accept_socket(server->http, server->bound);
        server->bound = NULL;
    }
}

void server_free(struct server *server)
{
    if (server == NULL) {
        return;
    }
    server_close(server);
    while (server->calls != NULL) {
        struct server_call *sc = server->calls;
        struct evhttp_connection *conn = evhttp_request_get_connection(sc->http);
        if (conn != NULL) {
            evhttp_connection_set_closecb(conn, NULL, NULL);
        } else {
            evhttp_request_free(sc->http);
        }
        call_free(sc);
    }
    evhttp_free(server->http);
    timer_done(&server->recount);
    free(server->listen);
    free(server);
}
