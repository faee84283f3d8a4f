/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client for the launcher: evhttp, over OpenSSL for https. libcurl cannot be linked static
 * on Debian. A connection for each request keeps it simple; parts are large.
 */
#include "launch/http.h"

#include <nss.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"
#include "launch/command.h"

enum { HEAD_MAX = 64 * 1024, STATUS_REDIRECT = 307 };

struct http {
    struct event_base *base;
    struct signals *signals;
    SSL_CTX *tls; /* NULL for http */
    char *host;   /* without brackets */
    char *host_header, *prefix, *bearer, *where, *ca_file;
    int port;
};

/* One request under way. */
struct call {
    struct http *http;
    const struct http_ask *ask;
    bool is_done, is_answered, is_timed_out, is_too_large, is_stopped;
    unsigned long tls_error;
    struct http_answer answer;
    char *location; /* of a redirect */
};

static const char *const ca_bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
};

/* A given file must be good; else the bundle beside the launcher, or the image's. */
static int load_authorities(SSL_CTX *tls, const char *ca_file, struct err *err)
{
    if (ca_file != NULL) {
        if (SSL_CTX_load_verify_locations(tls, ca_file, NULL) != 1) {
            return err_set(
                err, ERR_INVALID, "CA bundle %s: cannot be read as PEM certificates", ca_file);
        }
        return 0;
    }
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        CLEANUP(cleanup_free) char *beside = xasprintf("%s-ca.crt", self);
        if (access(beside, R_OK) == 0 && SSL_CTX_load_verify_locations(tls, beside, NULL) == 1) {
            return 0;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(ca_bundles); i++) {
        if (access(ca_bundles[i], R_OK) == 0 &&
            SSL_CTX_load_verify_locations(tls, ca_bundles[i], NULL) == 1) {
            return 0;
        }
    }
    if (SSL_CTX_set_default_verify_paths(tls) != 1) {
        return err_set(err, ERR_INVALID, "no CA certificates found; give --ca-file");
    }
    return 0;
}

static int set_url(struct http *h, const char *url, struct err *err)
{
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    const char *scheme = uri != NULL ? evhttp_uri_get_scheme(uri) : NULL;
    const char *host = uri != NULL ? evhttp_uri_get_host(uri) : NULL;
    bool is_tls = scheme != NULL && strcmp(scheme, "https") == 0;
    if (scheme == NULL || host == NULL || host[0] == '\0' ||
        (!is_tls && strcmp(scheme, "http") != 0)) {
        if (uri != NULL) {
            evhttp_uri_free(uri);
        }
        return err_set(err, ERR_INVALID, "'%s': not an http:// or https:// URL", url);
    }
    int port = evhttp_uri_get_port(uri);
    h->port = port > 0 ? port : (is_tls ? 443 : 80);
    size_t len = strlen(host);
    bool has_brackets = host[0] == '[' && len > 2;
    h->host = has_brackets ? xstrndup(host + 1, len - 2) : xstrdup(host);
    h->host_header = port > 0 ? xasprintf("%s:%d", host, port) : xstrdup(host);
    h->where = xasprintf("%s://%s", scheme, h->host_header);
    const char *path = evhttp_uri_get_path(uri);
    size_t path_len = strlen(path);
    h->prefix = xstrndup(path, path_len - (path_len > 0 && path[path_len - 1] == '/' ? 1 : 0));
    evhttp_uri_free(uri);
    if (is_tls) {
        h->tls = SSL_CTX_new(TLS_client_method());
        if (h->tls == NULL) {
            return err_set(err, ERR_INTERNAL, "OpenSSL cannot be set up");
        }
        SSL_CTX_set_min_proto_version(h->tls, TLS1_2_VERSION);
        SSL_CTX_set_verify(h->tls, SSL_VERIFY_PEER, NULL);
    }
    return 0;
}

struct http *http_new(const char *url, const char *token, const char *ca_file,
    struct signals *signals, struct err *err)
{
    /* The image's nsswitch.conf may name modules of another libc, which a static program must not
     * load; these two are built in. */
    __nss_configure_lookup("hosts", "files dns");
    struct http *h = xcalloc(1, sizeof *h);
    h->signals = signals;
    h->bearer = xasprintf("Bearer %s", token);
    h->ca_file = ca_file != NULL ? xstrdup(ca_file) : NULL;
    h->base = event_base_new();
    if (h->base == NULL) {
        err_set(err, ERR_INTERNAL, "libevent cannot be set up");
    } else if (set_url(h, url, err) == 0 &&
               (h->tls == NULL || load_authorities(h->tls, ca_file, err) == 0)) {
        return h;
    }
    http_free(h);
    return NULL;
}

void http_free(struct http *http)
{
    if (http == NULL) {
        return;
    }
    if (http->base != NULL) {
        event_base_free(http->base);
    }
    SSL_CTX_free(http->tls);
    free(http->host);
    free(http->host_header);
    free(http->prefix);
    if (http->bearer != NULL) {
        OPENSSL_cleanse(http->bearer, strlen(http->bearer));
    }
    free(http->bearer);
    free(http->where);
    free(http->ca_file);
    free(http);
}

const char *http_where(const struct http *http)
{
    return http->where;
}

static void on_done(struct evhttp_request *req, void *arg)
{
    struct call *call = arg;
    call->is_done = true;
    event_base_loopbreak(call->http->base);
    if (req == NULL || evhttp_request_get_response_code(req) == 0) {
        return;
    }
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t len = evbuffer_get_length(in);
    struct http_answer *a = &call->answer;
    a->status = evhttp_request_get_response_code(req);
    a->body = xmalloc(len + 1);
    evbuffer_remove(in, a->body, len);
    a->body[len] = '\0';
    a->len = len;
    a->total = -1;
    const char *total = evhttp_find_header(evhttp_request_get_input_headers(req), "X-Total");
    struct err ignored;
    if (total != NULL && parse_i64(total, 0, INT64_MAX, "X-Total", &a->total, &ignored) != 0) {
        a->total = -1;
    }
    const char *location = evhttp_find_header(evhttp_request_get_input_headers(req), "Location");
    if (a->status == STATUS_REDIRECT && location != NULL) {
        call->location = xstrdup(location);
    }
    call->is_answered = true;
}

static void on_error(enum evhttp_request_error error, void *arg)
{
    struct call *call = arg;
    call->is_timed_out |= error == EVREQ_HTTP_TIMEOUT;
    call->is_too_large |= error == EVREQ_HTTP_DATA_TOO_LONG;
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct call *call = arg;
    call->is_timed_out = true;
    event_base_loopbreak(call->http->base);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct call *call = arg;
    signals_read(call->http->signals);
    if (call->http->signals->is_stopped && call->ask->is_stoppable) {
        call->is_stopped = true;
        event_base_loopbreak(call->http->base);
    }
}

static struct bufferevent *new_tls(struct http *h)
{
    SSL *ssl = SSL_new(h->tls);
    if (ssl == NULL) {
        return NULL;
    }
    unsigned char address[16];
    bool is_address = evutil_inet_pton(AF_INET, h->host, address) == 1 ||
                      evutil_inet_pton(AF_INET6, h->host, address) == 1;
    if (is_address) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), h->host);
    } else {
        SSL_set1_host(ssl, h->host);
        SSL_set_tlsext_host_name(ssl, h->host);
    }
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        h->base, -1, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
    if (bev != NULL) {
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    }
    return bev;
}

static struct evhttp_connection *connect_for(
    struct http *h, const struct http_ask *ask, struct bufferevent **tls_out)
{
    *tls_out = h->tls != NULL ? new_tls(h) : NULL;
    if (h->tls != NULL && *tls_out == NULL) {
        return NULL;
    }
    struct evhttp_connection *conn = evhttp_connection_base_bufferevent_new(
        h->base, NULL, *tls_out, h->host, (unsigned short)h->port);
    if (conn != NULL) {
        struct timeval tv = {
            .tv_sec = ask->timeout_us / US_PER_S, .tv_usec = ask->timeout_us % US_PER_S};
        evhttp_connection_set_timeout_tv(conn, &tv);
        evhttp_connection_set_max_body_size(conn, (ev_ssize_t)ask->max_answer);
        evhttp_connection_set_max_headers_size(conn, HEAD_MAX);
    }
    return conn;
}

static int send_request(struct evhttp_connection *conn, struct call *call)
{
    const struct http_ask *ask = call->ask;
    struct http *h = call->http;
    struct evhttp_request *req = evhttp_request_new(on_done, call);
    if (req == NULL) {
        return -1;
    }
    evhttp_request_set_error_cb(req, on_error);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    evhttp_add_header(headers, "Host", h->host_header);
    evhttp_add_header(headers, "Authorization", h->bearer);
    evhttp_add_header(headers, "User-Agent", "rondo-launcher/" RONDO_VERSION);
    evhttp_add_header(headers, "Connection", "close");
    if (ask->body != NULL) {
        bool is_put = strcmp(ask->method, "PUT") == 0;
        evhttp_add_header(
            headers, "Content-Type", is_put ? "application/octet-stream" : "application/json");
        evbuffer_add(evhttp_request_get_output_buffer(req), ask->body, ask->len);
    }
    enum evhttp_cmd_type method = strcmp(ask->method, "PUT") == 0    ? EVHTTP_REQ_PUT
                                  : strcmp(ask->method, "POST") == 0 ? EVHTTP_REQ_POST
                                                                     : EVHTTP_REQ_GET;
    CLEANUP(cleanup_free) char *path = xasprintf("%s%s", h->prefix, ask->path);
    return evhttp_make_request(conn, req, method, path);
}

/* Why no answer came. */
static int no_answer(const struct call *call, long verify, struct err *err)
{
    const struct http *h = call->http;
    const struct http_ask *ask = call->ask;
    if (call->is_stopped) {
        return err_set(err, ERR_PRECONDITION, "it was told to stop");
    }
    if (call->is_too_large) {
        return err_set(err, ERR_LIMIT, "%s %s%s: the answer is larger than %zu bytes", ask->method,
            h->where, h->prefix, ask->max_answer);
    }
    if (verify != X509_V_OK) {
        return err_set(err, ERR_TRANSIENT, "%s: its certificate is not trusted: %s", h->where,
            X509_verify_cert_error_string(verify));
    }
    return err_set(err, ERR_TRANSIENT, "%s: %s", h->where,
        call->is_timed_out ? "no answer in time" : "cannot be reached, or the connection broke");
}

/* location_out: where the answer sends us, if it does. */
static int call_once(struct http *http, const struct http_ask *ask, struct http_answer *out,
    char **location_out, struct err *err)
{
    struct call call = {.http = http, .ask = ask};
    struct bufferevent *tls = NULL;
    ERR_clear_error();
    struct evhttp_connection *conn = connect_for(http, ask, &tls);
    struct event *timer = evtimer_new(http->base, on_timeout, &call);
    struct event *signal =
        event_new(http->base, http->signals->fd, EV_READ | EV_PERSIST, on_signal, &call);
    struct timeval tv = {
        .tv_sec = ask->timeout_us / US_PER_S, .tv_usec = ask->timeout_us % US_PER_S};
    if (conn == NULL || timer == NULL || signal == NULL) {
        abort(); /* out of memory */
    }
    evtimer_add(timer, &tv);
    event_add(signal, NULL);
    if (send_request(conn, &call) == 0 && !call.is_done) {
        event_base_dispatch(http->base);
    }
    long verify = tls != NULL ? SSL_get_verify_result(bufferevent_openssl_get_ssl(tls)) : X509_V_OK;
    bool had_answer = call.is_answered;
    event_free(timer);
    event_free(signal);
    evhttp_connection_free(conn); /* may call on_done(NULL) for a request under way */
    if (had_answer) {
        *out = call.answer;
        *location_out = call.location;
        return 0;
    }
    return no_answer(&call, verify, err);
}

/* Another daemon carries our run on, and this one says which. Whom we trust with our token we trust
 * with that too. */
static int follow(const struct http *http, const struct http_ask *ask, const char *location,
    struct http_answer *out, struct err *err)
{
    struct http *other =
        http_new(location, http->bearer + strlen("Bearer "), http->ca_file, http->signals, err);
    if (other == NULL) {
        return err_wrap(err, "%s sends us on", http->where);
    }
    struct http_ask there = *ask;
    CLEANUP(cleanup_free) char *again = NULL;
    const char *query = strchr(ask->path, '?');
    there.path = query != NULL ? query : ""; /* the rest is the location's own path, as prefix */
    int rc = call_once(other, &there, out, &again, err);
    http_free(other);
    if (rc == 0 && again != NULL) {
        free(out->body);
        *out = (struct http_answer){0};
        return err_set(
            err, ERR_TRANSIENT, "%s: our run is on its way from daemon to daemon", http->where);
    }
    return rc;
}

int http_call(
    struct http *http, const struct http_ask *ask, struct http_answer *out, struct err *err)
{
    CLEANUP(cleanup_free) char *location = NULL;
    int rc = call_once(http, ask, out, &location, err);
    if (rc != 0 || location == NULL) {
        return rc;
    }
    free(out->body);
    *out = (struct http_answer){0};
    return follow(http, ask, location, out, err);
}
