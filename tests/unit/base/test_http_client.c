/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client against servers that misbehave: one forked process per case, which handles
 * each connection with one function and knows nothing of HTTP but what that function writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/util.h"

static struct loop *loop;

/* Servers. */

struct server {
    pid_t pid;
    int port;
    char url[64];
};

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void put(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) < 0) {
        _exit(0);
    }
}

/* The request up to the end of its head, and whatever came with it. */
static void take(int fd, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    while (len < size - 1 && strstr(out, "\r\n\r\n") == NULL) {
        ssize_t n = read(fd, out + len, size - 1 - len);
        if (n <= 0) {
            _exit(0);
        }
        len += (size_t)n;
        out[len] = '\0';
    }
    const char *length = strcasestr(out, "\r\nContent-Length: ");
    size_t body = length != NULL ? strtoul(length + 18, NULL, 10) : 0;
    size_t wanted = (size_t)(strstr(out, "\r\n\r\n") + 4 - out) + body;
    while (len < wanted && len < size - 1) {
        ssize_t n = read(fd, out + len, size - 1 - len);
        if (n <= 0) {
            _exit(0);
        }
        len += (size_t)n;
        out[len] = '\0';
    }
}

/* Each connection in a process of its own, so that one that hangs does not hold the others. */
static void server_start_on(struct server *s, int listener, void (*serve)(int fd))
{
    assert_int_equal(listen(listener, 64), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct sigaction ignore = {.sa_handler = SIG_IGN}; /* no zombies */
        sigaction(SIGCHLD, &ignore, NULL);
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            if (fork() == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(listener);
                serve(fd);
                _exit(0);
            }
            close(fd);
        }
    }
    close(listener);
}

static struct server server_start(void (*serve)(int fd))
{
    struct server s = {0};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    getsockname(listener, (struct sockaddr *)&addr, &len);
    s.port = ntohs(addr.sin_port);
    snprintf(s.url, sizeof s.url, "http://127.0.0.1:%d/p?secret=1", s.port);
    server_start_on(&s, listener, serve);
    return s;
}

static void server_stop(struct server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
}

/* Answers. */

struct answer {
    struct http_client *client;
    int times;
    int status;
    enum err_code code;
    char text[ERR_MSG_MAX];
    char body[4096];
    size_t body_len;
    bool body_cut;
    char header[64];
    char peer[64];
    double total_s;
    /* streams */
    int statuses, chunks;
    size_t streamed;
    struct http_call *call, *other;
};

static void on_done(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct answer *a = owner;
    a->times++;
    assert_true((reply == NULL) != (err == NULL));
    if (err != NULL) {
        a->code = err->code;
        snprintf(a->text, sizeof a->text, "%s", err->msg);
        return;
    }
    a->status = reply->status;
    a->body_len = reply->body_len;
    a->body_cut = reply->body_cut;
    snprintf(a->body, sizeof a->body, "%s", reply->body);
    assert_int_equal(reply->body[reply->body_len], '\0');
    const char *header = reply->header(reply, "x-test");
    snprintf(a->header, sizeof a->header, "%s", header != NULL ? header : "(none)");
    snprintf(a->peer, sizeof a->peer, "%s", reply->peer);
    a->total_s = reply->total_s;
}

static void wait_for(struct answer *a)
{
    int64_t end_us = clock_mono_us() + 60 * US_PER_S;
    while (a->times == 0) {
        assert_true(clock_mono_us() < end_us);
        loop_turn(loop, true);
    }
    assert_int_equal(a->times, 1);
}

static struct answer call(struct http_client *client, struct http_call_spec spec)
{
    struct answer a = {.client = client};
    http_call_start(client, &spec, on_done, &a);
    assert_int_equal(a.times, 0);
    wait_for(&a);
    return a;
}

static void turn_for(int64_t ms)
{
    int64_t end_us = clock_mono_us() + ms * US_PER_MS;
    while (clock_mono_us() < end_us) {
        loop_turn(loop, false);
        pause_ms(1);
    }
}

static int set_up(void **state)
{
    *state = http_client_new(loop, NULL);
    return *state == NULL;
}

static int tear_down(void **state)
{
    http_client_free(*state);
    return 0;
}

/* Good manners. */

static void serve_echo(int fd)
{
    for (;;) {
        char in[8192], head[128];
        take(fd, in, sizeof in);
        snprintf(head, sizeof head,
            "HTTP/1.1 201 Made\r\nX-Test: first\r\nx-test: second\r\nContent-Length: %zu\r\n\r\n",
            strlen(in));
        put(fd, head);
        put(fd, in);
    }
}

static void a_request_is_sent_as_asked(void **state)
{
    struct server s = server_start(serve_echo);
    const char *const headers[] = {"X-Mine: a b", "content-type: application/json", NULL};
    struct answer a = call(*state, (struct http_call_spec){.method = "PATCH",
                                       .url = s.url,
                                       .headers = headers,
                                       .body = "{\"a\":1}",
                                       .body_len = 7,
                                       .bearer = "tok"});
    assert_int_equal(a.status, 201);
    assert_string_equal(a.header, "first");
    assert_string_equal(a.peer, "127.0.0.1");
    assert_true(a.total_s > 0 && a.total_s < 10);
    assert_true(str_starts(a.body, "PATCH /p?secret=1 HTTP/1.1\r\n"));
    assert_true(str_ends(a.body, "\r\n\r\n{\"a\":1}"));
    assert_non_null(strstr(a.body, "\r\nX-Mine: a b\r\n"));
    assert_non_null(strstr(a.body, "\r\ncontent-type: application/json\r\n"));
    assert_non_null(strstr(a.body, "\r\nAuthorization: Bearer tok\r\n"));
    assert_non_null(strstr(a.body, "\r\nContent-Length: 7\r\n"));
    assert_non_null(strstr(a.body, "\r\nUser-Agent: rondo/"));
    assert_null(strcasestr(a.body, "expect:"));
    assert_null(strcasestr(a.body, "urlencoded"));
    server_stop(&s);
}

static void each_method_has_its_body_or_none(void **state)
{
    static const struct {
        const char *method;
        bool has_length;
    } rows[] = {{"GET", false}, {"DELETE", false}, {"POST", true}, {"PUT", true}, {"PATCH", true}};
    struct server s = server_start(serve_echo);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer a =
            call(*state, (struct http_call_spec){.method = rows[i].method, .url = s.url});
        if (a.status != 201 || !str_starts(a.body, rows[i].method) ||
            (strstr(a.body, "Content-Length: 0\r\n") != NULL) != rows[i].has_length) {
            fail_msg("%s: %d %s", rows[i].method, a.status, a.body);
        }
    }
    server_stop(&s);
}

static void serve_head(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 204 No Content\r\nContent-Length: 100000000\r\n\r\n");
    pause_ms(60000);
}

static void head_expects_no_body(void **state)
{
    struct server s = server_start(serve_head);
    struct answer a = call(*state, (struct http_call_spec){.method = "HEAD", .url = s.url});
    assert_int_equal(a.status, 204);
    server_stop(&s);
}

static void a_unix_socket_is_a_server_too(void **state)
{
    struct server s = {0};
    char dir[] = "/tmp/rondo-http-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s/s", dir);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof addr), 0);
    server_start_on(&s, listener, serve_echo);
    struct answer a =
        call(*state, (struct http_call_spec){.url = "http://pod/x", .unix_socket = addr.sun_path});
    assert_int_equal(a.status, 201);
    server_stop(&s);
    unlink(addr.sun_path);
    rmdir(dir);
}

static void serve_pid(int fd)
{
    for (;;) {
        char in[4096], out[128], body[32];
        take(fd, in, sizeof in);
        snprintf(body, sizeof body, "%d", (int)getpid());
        snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
            body);
        put(fd, out);
    }
}

static void connections_are_kept_unless_a_fresh_one_is_asked_for(void **state)
{
    struct server s = server_start(serve_pid);
    struct answer one = call(*state, (struct http_call_spec){.url = s.url});
    struct answer two = call(*state, (struct http_call_spec){.url = s.url});
    struct answer new =
        call(*state, (struct http_call_spec){.url = s.url, .fresh_connection = true});
    struct answer three = call(*state, (struct http_call_spec){.url = s.url});
    assert_string_equal(one.body, two.body);
    assert_string_not_equal(one.body, new.body);
    assert_string_not_equal(three.body, new.body);
    server_stop(&s);
}

/* Keeps the connection by its own words, and hangs up on the second request. */
static void serve_one_of_two(int fd)
{
    char in[4096], out[128], body[32];
    take(fd, in, sizeof in);
    snprintf(body, sizeof body, "%d", (int)getpid());
    snprintf(
        out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    put(fd, out);
    take(fd, in, sizeof in);
    close(fd);
}

static void a_kept_connection_that_dies_is_replaced(void **state)
{
    struct server s = server_start(serve_one_of_two);
    struct http_call_spec spec = {
        .method = "POST", .url = s.url, .body = "x", .body_len = 1, .pool_key = "a"};
    struct answer one = call(*state, spec), two = call(*state, spec);
    assert_int_equal(one.status, 200);
    assert_int_equal(two.status, 200);
    assert_string_not_equal(one.body, two.body);
    server_stop(&s);
}

/* Bad ones. */

static void serve_nothing(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    pause_ms(60000);
}

static void serve_close(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    close(fd);
}

static void serve_half(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    close(fd);
}

static void serve_garbage(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    put(fd, "+PONG\r\n\r\n");
    close(fd);
}

static void serve_announced(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n");
    pause_ms(60000);
}

static void serve_endless(int fd)
{
    char in[4096], out[4096];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n");
    memset(out, 'x', sizeof out - 1);
    out[sizeof out - 1] = '\0';
    for (;;) {
        put(fd, out);
    }
}

static void serve_headers(int fd)
{
    char in[4096], out[1024];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 200 OK\r\n");
    memset(out, 'x', sizeof out - 1);
    memcpy(out, "X-A: ", 5);
    memcpy(out + sizeof out - 3, "\r\n", 3);
    for (;;) {
        put(fd, out);
    }
}

static void serve_redirect(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 302 Found\r\nX-Test: there\r\nLocation: http://127.0.0.1:1/\r\n"
            "Content-Length: 0\r\n\r\n");
    pause_ms(60000);
}

static void serve_trickle(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    for (;;) {
        put(fd, "x");
        pause_ms(20);
    }
}

static void serve_interim(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 100 Continue\r\nX-Test: interim\r\n\r\n"
            "HTTP/1.1 200 OK\r\nX-Test: last\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2\r\nok\r\n0\r\nX-Test: trailer\r\n\r\n");
    pause_ms(60000);
}

static void misbehaving_servers_are_named_errors(void **state)
{
    static const struct {
        const char *name;
        void (*serve)(int fd);
        enum err_code code; /* NONE: a reply */
        int status;
        const char *text; /* in the message, the header X-Test or the body */
    } rows[] = {
        {"never answers", serve_nothing, ERR_TRANSIENT, 0, "timed out"},
        {"closes at once", serve_close, ERR_TRANSIENT, 0, "127.0.0.1"},
        {"closes in the middle", serve_half, ERR_TRANSIENT, 0, "127.0.0.1"},
        {"is no HTTP server", serve_garbage, ERR_TRANSIENT, 0, "127.0.0.1"},
        {"announces too much", serve_announced, ERR_LIMIT, 0, "longer than 1000 bytes"},
        {"sends without end", serve_endless, ERR_LIMIT, 0, "longer than 1000 bytes"},
        {"sends headers without end", serve_headers, ERR_LIMIT, 0, "headers"},
        {"sends us elsewhere", serve_redirect, ERR_NONE, 302, "there"},
        {"trickles", serve_trickle, ERR_TRANSIENT, 0, "timed out"},
        {"says more than one status", serve_interim, ERR_NONE, 200, "last"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server s = server_start(rows[i].serve);
        int64_t start_us = clock_mono_us();
        bool hangs = strcmp(rows[i].text, "timed out") == 0;
        struct answer a =
            call(*state, (struct http_call_spec){
                             .url = s.url, .timeout_ms = hangs ? 400 : 30000, .max_body = 1000});
        int64_t took_ms = (clock_mono_us() - start_us) / US_PER_MS;
        const char *text = a.code == ERR_NONE ? a.header : a.text;
        if (a.code != rows[i].code || a.status != rows[i].status ||
            strstr(text, rows[i].text) == NULL || took_ms > 20000) {
            fail_msg("%s: %s %d '%s' after %d ms", rows[i].name, err_code_name(a.code), a.status,
                text, (int)took_ms);
        }
        if (strstr(a.text, "secret") != NULL) {
            fail_msg("%s: the query is in '%s'", rows[i].name, a.text);
        }
        server_stop(&s);
    }
}

static void on_status(void *owner, int status)
{
    struct answer *a = owner;
    assert_int_equal(a->chunks, 0);
    a->statuses++;
    a->status = status;
}

static int on_data(void *owner, const char *data, size_t len)
{
    struct answer *a = owner;
    assert_int_equal(a->statuses, 1);
    (void)data;
    a->chunks++;
    a->streamed += len;
    return 0;
}

/* A listener that has more connections than it takes; the kernel answers no further one. */
static int full_listener(int *port_out, int *clients, int count)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(fd, 0), 0);
    getsockname(fd, (struct sockaddr *)&addr, &len);
    for (int i = 0; i < count; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(clients[i], (struct sockaddr *)&addr, len);
    }
    *port_out = ntohs(addr.sin_port);
    return fd;
}

static void each_phase_has_its_deadline(void **state)
{
    static const struct {
        const char *scheme, *text;
        bool is_full;
    } rows[] = {
        {"http", "it did not take the connection within 101 ms", true},
        {"https", "the TLS handshake did not end within 102 ms", false},
        {"http", "no answer began within 103 ms", false},
    };
    enum { CLIENTS = 8 };
    int clients[CLIENTS], full_port;
    int full = full_listener(&full_port, clients, CLIENTS);
    struct server s = server_start(serve_nothing);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char url[64];
        snprintf(url, sizeof url, "%s://127.0.0.1:%d/", rows[i].scheme,
            rows[i].is_full ? full_port : s.port);
        struct answer a = call(*state, (struct http_call_spec){.url = url,
                                           .resolve_timeout_ms = 10000,
                                           .tcp_timeout_ms = rows[i].is_full ? 101 : 10000,
                                           .tls_timeout_ms = 102,
                                           .first_byte_timeout_ms = 103});
        if (a.code != ERR_TRANSIENT || strstr(a.text, rows[i].text) == NULL) {
            fail_msg("%s: %s '%s'", rows[i].text, err_code_name(a.code), a.text);
        }
    }
    server_stop(&s);
    for (int i = 0; i < CLIENTS; i++) {
        close(clients[i]);
    }
    close(full);
}

static void an_answer_that_began_in_time_may_take_longer(void **state)
{
    struct server s = server_start(serve_trickle);
    struct answer a = {0};
    struct http_call_spec spec = {.url = s.url,
        .resolve_timeout_ms = 10000,
        .tcp_timeout_ms = 10000,
        .first_byte_timeout_ms = 5000,
        .timeout_ms = -1,
        .on_data = on_data,
        .on_status = on_status};
    struct http_call *call = http_call_start(*state, &spec, on_done, &a);
    while (a.chunks < 10) {
        loop_turn(loop, true);
    }
    assert_int_equal(a.times, 0);
    http_call_cancel(call);
    server_stop(&s);
}

static void a_long_body_can_be_cut(void **state)
{
    struct server s = server_start(serve_endless);
    struct answer a =
        call(*state, (struct http_call_spec){.url = s.url, .max_body = 1000, .cut_body = true});
    assert_int_equal(a.status, 500);
    assert_true(a.body_cut);
    assert_int_equal(a.body_len, 1000);
    server_stop(&s);
}

static void nobody_there(void **state)
{
    struct server s = server_start(serve_echo);
    server_stop(&s);
    struct answer a = call(*state, (struct http_call_spec){.url = s.url});
    assert_int_equal(a.code, ERR_TRANSIENT);
    char shown[64];
    snprintf(shown, sizeof shown, "GET http://127.0.0.1:%d: ", s.port);
    assert_true(str_starts(a.text, shown));
}

static void wrong_requests_are_refused_before_they_are_sent(void **state)
{
    static const struct {
        const char *url, *header, *bearer;
    } rows[] = {
        {"http://127.0.0.1:1/", "X: a\r\nY: b", NULL},
        {"http://127.0.0.1:1/", NULL, "a\nb"},
        {"http://127.0.0.1:1/\r\nX: y", NULL, NULL},
        {"file:///etc/passwd", NULL, NULL},
        {"gopher://127.0.0.1:1/", NULL, NULL},
        {"http://", NULL, NULL},
        {"", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *const headers[] = {rows[i].header, NULL};
        struct answer a =
            call(*state, (struct http_call_spec){
                             .url = rows[i].url, .headers = headers, .bearer = rows[i].bearer});
        if (a.code != ERR_INVALID) {
            fail_msg("row %zu: %s %s", i, err_code_name(a.code), a.text);
        }
    }
}

static void credentials_stay_out_of_messages(void **state)
{
    struct answer a =
        call(*state, (struct http_call_spec){.url = "http://me:hush@127.0.0.1:1/x?hush=1#hush"});
    assert_int_equal(a.code, ERR_TRANSIENT);
    assert_null(strstr(a.text, "hush"));
    assert_null(strstr(a.text, "me:"));
}

static int refuse_loopback(void *owner, const struct sockaddr *addr, struct err *err)
{
    (void)owner;
    assert_int_equal(addr->sa_family, AF_INET);
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
    return ntohl(in->sin_addr.s_addr) >> 24 == 127 ? err_set(err, ERR_DENIED, "not there") : 0;
}

static void addresses_are_asked_about_after_resolution(void **state)
{
    struct server s = server_start(serve_echo);
    struct answer a =
        call(*state, (struct http_call_spec){
                         .url = s.url, .check_address = refuse_loopback, .fresh_connection = true});
    assert_int_equal(a.code, ERR_DENIED);
    assert_true(str_ends(a.text, ": not there"));
    assert_int_equal(a.times, 1);
    server_stop(&s);
}

static void the_environments_proxy_is_not_used(void **state)
{
    struct server s = server_start(serve_echo);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    struct answer a = call(*state, (struct http_call_spec){.url = s.url});
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    assert_int_equal(a.status, 201);
    server_stop(&s);
}

/* TLS. */

static EVP_PKEY *tls_key;
static X509 *tls_cert;

/* A certificate for "localhost", signed by itself, in a file. */
static void make_certificate(const char *path)
{
    tls_key = EVP_EC_gen("P-256");
    tls_cert = X509_new();
    assert_non_null(tls_key);
    X509_set_version(tls_cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(tls_cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(tls_cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(tls_cert), 3600);
    X509_set_pubkey(tls_cert, tls_key);
    X509_NAME *name = X509_get_subject_name(tls_cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(tls_cert, name);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
    X509_add_ext(tls_cert, san, -1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(tls_cert, tls_key, EVP_sha256()) > 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    PEM_write_X509(f, tls_cert);
    fclose(f);
}

static void serve_tls(int fd)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, tls_cert);
    SSL_CTX_use_PrivateKey(ctx, tls_key);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    char in[4096];
    static const char out[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    if (SSL_accept(ssl) == 1 && SSL_read(ssl, in, sizeof in) > 0) {
        SSL_write(ssl, out, sizeof out - 1);
        pause_ms(60000);
    }
}

static void certificates_are_verified(void **state)
{
    static const struct {
        const char *name, *host;
        bool has_ca, insecure;
        int status; /* 0: refused */
    } rows[] = {
        {"known authority", "localhost", true, false, 200},
        {"unknown authority", "localhost", false, false, 0},
        {"another host's", "127.0.0.1", true, false, 0},
        {"not looked at", "127.0.0.1", false, true, 200},
    };
    char path[] = "/tmp/rondo-cert-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    make_certificate(path);
    struct server s = server_start(serve_tls);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char url[64];
        snprintf(url, sizeof url, "https://%s:%d/", rows[i].host, s.port);
        struct answer a = call(*state, (struct http_call_spec){.url = url,
                                           .ca_file = rows[i].has_ca ? path : NULL,
                                           .insecure_tls = rows[i].insecure});
        enum err_code code = rows[i].status != 0 ? ERR_NONE : ERR_TRANSIENT;
        if (a.status != rows[i].status || a.code != code) {
            fail_msg("%s: %d %s", rows[i].name, a.status, a.text);
        }
    }
    struct answer plain =
        call(*state, (struct http_call_spec){.url = "https://localhost:1/", .http_only = true});
    assert_int_equal(plain.code, ERR_INVALID);
    struct answer missing = call(
        *state, (struct http_call_spec){.url = "https://localhost:1/", .ca_file = "/no/such/file"});
    assert_true(missing.code == ERR_INVALID || missing.code == ERR_TRANSIENT);
    server_stop(&s);
    unlink(path);
    X509_free(tls_cert);
    EVP_PKEY_free(tls_key);
}

/* Streams. */

static int on_data_stop(void *owner, const char *data, size_t len)
{
    return on_data(owner, data, len) + 1;
}

static int on_data_cancel(void *owner, const char *data, size_t len)
{
    struct answer *a = owner;
    on_data(owner, data, len);
    http_call_cancel(a->call);
    if (a->other != NULL) {
        http_call_cancel(a->other);
        a->other = NULL;
    }
    return 0;
}

static void a_stream_arrives_piece_by_piece(void **state)
{
    struct server s = server_start(serve_trickle);
    struct answer a = {0};
    struct http_call_spec spec = {.url = s.url,
        .timeout_ms = -1,
        .idle_timeout_ms = 5000,
        .max_body = 1,
        .on_data = on_data,
        .on_status = on_status};
    struct http_call *call = http_call_start(*state, &spec, on_done, &a);
    while (a.chunks < 5) {
        loop_turn(loop, true);
    }
    assert_int_equal(a.times, 0);
    http_call_cancel(call);
    size_t streamed = a.streamed;
    turn_for(60);
    assert_int_equal(a.times, 0);
    assert_int_equal(a.streamed, streamed);
    server_stop(&s);
}

static void serve_one_then_nothing(int fd)
{
    char in[4096];
    take(fd, in, sizeof in);
    put(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
    pause_ms(60000);
}

static void an_idle_stream_is_given_up(void **state)
{
    struct server s = server_start(serve_one_then_nothing);
    struct answer a = {0};
    struct http_call_spec spec = {.url = s.url,
        .timeout_ms = -1,
        .idle_timeout_ms = 150,
        .on_data = on_data,
        .on_status = on_status};
    http_call_start(*state, &spec, on_done, &a);
    wait_for(&a);
    assert_int_equal(a.code, ERR_TRANSIENT);
    assert_int_equal(a.streamed, 2);
    assert_non_null(strstr(a.text, "nothing came"));
    server_stop(&s);
}

static void a_reader_may_end_its_stream(void **state)
{
    struct server s = server_start(serve_trickle);
    struct answer a = {0};
    struct http_call_spec spec = {.url = s.url, .on_data = on_data_stop, .on_status = on_status};
    http_call_start(*state, &spec, on_done, &a);
    wait_for(&a);
    assert_int_equal(a.code, ERR_INVALID);
    assert_int_equal(a.chunks, 1);
    server_stop(&s);
}

static void a_reader_may_cancel_itself_and_another(void **state)
{
    struct server s = server_start(serve_trickle);
    struct answer a = {0}, b = {0};
    struct http_call_spec spec = {.url = s.url, .on_data = on_data, .on_status = on_status};
    a.other = http_call_start(*state, &spec, on_done, &b);
    spec.on_data = on_data_cancel;
    while (b.chunks == 0) {
        loop_turn(loop, true);
    }
    a.call = http_call_start(*state, &spec, on_done, &a);
    while (a.chunks == 0) {
        loop_turn(loop, true);
    }
    int chunks = b.chunks;
    turn_for(80);
    assert_int_equal(a.times + b.times, 0);
    assert_int_equal(a.chunks, 1);
    assert_int_equal(b.chunks, chunks);
    server_stop(&s);
}

/* Cancelling. */

static void on_done_cancel(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct answer *a = owner;
    on_done(owner, reply, err);
    http_call_cancel(a->other);
    http_call_cancel(a->call); /* over already: harmless */
}

static void a_callback_may_cancel_another_call(void **state)
{
    struct server s = server_start(serve_echo), hang = server_start(serve_nothing);
    struct answer a = {0}, b = {0};
    struct http_call_spec spec = {.url = hang.url};
    a.other = http_call_start(*state, &spec, on_done, &b);
    turn_for(20);
    spec.url = s.url;
    a.call = http_call_start(*state, &spec, on_done_cancel, &a);
    wait_for(&a);
    turn_for(20);
    assert_int_equal(b.times, 0);
    server_stop(&s);
    server_stop(&hang);
}

static void cancelled_before_it_began(void **state)
{
    struct answer a = {0};
    struct http_call_spec spec = {.url = "http://127.0.0.1:1/"};
    http_call_cancel(http_call_start(*state, &spec, on_done, &a));
    http_call_cancel(NULL);
    turn_for(20);
    assert_int_equal(a.times, 0);
}

static void cancelled_while_its_name_is_looked_up(void **state)
{
    struct answer a = {0};
    struct http_call_spec spec = {.url = "http://name.invalid/"};
    struct http_call *call = http_call_start(*state, &spec, on_done, &a);
    loop_turn(loop, false);
    loop_turn(loop, false);
    int64_t start_us = clock_mono_us();
    http_call_cancel(call);
    assert_true(
        clock_mono_us() - start_us < 4 * US_PER_S); /* the resolver's thread is not waited for */
    turn_for(20);
}

static void on_done_free(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct answer *a = owner;
    on_done(owner, reply, err);
    http_client_free(a->client);
}

static void a_callback_may_free_the_client(void **state)
{
    (void)state;
    struct server s = server_start(serve_echo), hang = server_start(serve_nothing);
    struct answer a = {.client = http_client_new(loop, NULL)}, b = {0};
    struct http_call_spec spec = {.url = hang.url};
    http_call_start(a.client, &spec, on_done, &b);
    spec.url = s.url;
    http_call_start(a.client, &spec, on_done_free, &a);
    wait_for(&a);
    turn_for(20);
    assert_int_equal(b.times, 0);
    server_stop(&s);
    server_stop(&hang);
}

static void many_at_once(void **state)
{
    enum { COUNT = 200 };
    struct server s = server_start(serve_echo);
    struct answer *a = xcalloc(COUNT, sizeof *a);
    struct http_call_spec spec = {.url = s.url};
    for (int i = 0; i < COUNT; i++) {
        http_call_start(*state, &spec, on_done, &a[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for(&a[i]);
        assert_int_equal(a[i].status, 201);
    }
    free(a);
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_sent_as_asked),
        cmocka_unit_test(each_method_has_its_body_or_none),
        cmocka_unit_test(head_expects_no_body),
        cmocka_unit_test(a_unix_socket_is_a_server_too),
        cmocka_unit_test(connections_are_kept_unless_a_fresh_one_is_asked_for),
        cmocka_unit_test(a_kept_connection_that_dies_is_replaced),
        cmocka_unit_test(misbehaving_servers_are_named_errors),
        cmocka_unit_test(each_phase_has_its_deadline),
        cmocka_unit_test(an_answer_that_began_in_time_may_take_longer),
        cmocka_unit_test(a_long_body_can_be_cut),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(wrong_requests_are_refused_before_they_are_sent),
        cmocka_unit_test(credentials_stay_out_of_messages),
        cmocka_unit_test(addresses_are_asked_about_after_resolution),
        cmocka_unit_test(the_environments_proxy_is_not_used),
        cmocka_unit_test(certificates_are_verified),
        cmocka_unit_test(a_stream_arrives_piece_by_piece),
        cmocka_unit_test(an_idle_stream_is_given_up),
        cmocka_unit_test(a_reader_may_end_its_stream),
        cmocka_unit_test(a_reader_may_cancel_itself_and_another),
        cmocka_unit_test(a_callback_may_cancel_another_call),
        cmocka_unit_test(cancelled_before_it_began),
        cmocka_unit_test(cancelled_while_its_name_is_looked_up),
        cmocka_unit_test(a_callback_may_free_the_client),
        cmocka_unit_test(many_at_once),
    };
    loop = loop_new(NULL);
    int r = cmocka_run_group_tests(tests, set_up, tear_down);
    loop_free(loop);
    return r;
}
