/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The egress rules on real calls: whatever the URL, the name server, the server or the environment
 * say, nobody connects to an address that is not allowed. Three listeners have the same port:
 * 127.0.0.2 is allowed and answers; 127.0.0.1 and ::1 are not, and count who comes. Names are
 * resolved by this file's own getaddrinfo(), so that no other machine is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/util.h"
#include "webhooks/egress.h"

static struct loop *loop;
static struct http_client *client;
static struct egress *egress;
static int port;
static int intruders;        /* connections to the forbidden listeners */
static int requests;         /* at the allowed one */
static const char *redirect; /* where the allowed one sends us, or NULL */

/* ---- the resolver ---- */

static atomic_int lookups; /* of "rebind.test" */
static sem_t slow;         /* "slow.test" waits for it */

static const char *const *addresses_of(const char *name)
{
    static const char *const loopback[] = {"127.0.0.1", "::1", NULL};
    static const char *const allowed[] = {"127.0.0.2", NULL};
    static const char *const mixed[] = {"127.0.0.1", "::1", "127.0.0.2", NULL};
    static const char *const mapped[] = {"::ffff:127.0.0.1", NULL};
    static const char *const any[] = {"0.0.0.0", "::", NULL};
    if (strcmp(name, "slow.test") == 0) {
        sem_wait(&slow);
        return allowed;
    }
    if (strcmp(name, "rebind.test") == 0) {
        return atomic_fetch_add(&lookups, 1) == 0 ? allowed : loopback;
    }
    return strcmp(name, "allowed.test") == 0  ? allowed
           : strcmp(name, "mixed.test") == 0  ? mixed
           : strcmp(name, "mapped.test") == 0 ? mapped
           : strcmp(name, "any.test") == 0    ? any
           : strstr(name, "local") != NULL    ? loopback
                                              : NULL;
}

typedef int resolve_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* Instead of libc's, also for libcurl; called from its threads. */
int getaddrinfo(
    const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    resolve_fn *real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    struct addrinfo numeric = hints != NULL ? *hints : (struct addrinfo){0};
    numeric.ai_flags |= AI_NUMERICHOST;
    const char *const *all = name != NULL ? addresses_of(name) : NULL;
    if (all == NULL) {
        return real(name, service, &numeric, out);
    }
    struct addrinfo **end = out;
    for (*out = NULL; *all != NULL; all++) {
        if (real(*all, service, &numeric, end) == 0) {
            while (*end != NULL) {
                end = &(*end)->ai_next;
            }
        }
    }
    return *out != NULL ? 0 : EAI_NONAME;
}

/* ---- the listeners ---- */

static void on_intruder(
    struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
    (void)listener;
    (void)addr;
    (void)len;
    (void)arg;
    intruders++;
    close(fd);
}

static void on_request(struct evhttp_request *req, void *arg)
{
    (void)arg;
    requests++;
    if (redirect != NULL) {
        evhttp_add_header(evhttp_request_get_output_headers(req), "Location", redirect);
    }
    evhttp_send_reply(req, redirect != NULL ? 307 : 200, "Answer", NULL);
}

static struct evconnlistener *forbid(const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4) {
        inet_pton(AF_INET6, address, &v6.sin6_addr);
    }
    return evconnlistener_new_bind(loop_base(loop), on_intruder, NULL,
        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 64,
        is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
        is_v4 ? (int)sizeof v4 : (int)sizeof v6);
}

static struct evhttp *server;
static struct evconnlistener *forbidden[2];

static void listen_nowhere(void)
{
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
        if (forbidden[i] != NULL) {
            evconnlistener_free(STEAL(forbidden[i]));
        }
    }
    if (server != NULL) {
        evhttp_free(STEAL(server));
    }
}

/* A port that is free on one address may be taken on the next. */
static int listen_everywhere(void)
{
    for (int tries = 0; tries < 50; tries++) {
        server = evhttp_new(loop_base(loop));
        evhttp_set_gencb(server, on_request, NULL);
        struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server, "127.0.0.2", 0);
        struct sockaddr_in addr;
        socklen_t len = sizeof addr;
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len);
        port = ntohs(addr.sin_port);
        forbidden[0] = forbid("127.0.0.1");
        errno = 0;
        forbidden[1] = forbid("::1");
        bool has_no_v6 = forbidden[1] == NULL && errno != EADDRINUSE;
        if (forbidden[0] != NULL && (forbidden[1] != NULL || has_no_v6)) {
            return 0;
        }
        listen_nowhere();
    }
    return -1;
}

/* ---- calls ---- */

struct call {
    const char *host; /* as the rules see it */
    int times, status;
    enum err_code code;
    char text[ERR_MSG_MAX];
};

static int check(void *owner, const struct sockaddr *addr, struct err *err)
{
    const struct call *c = owner;
    return egress_check_address(egress, c->host, addr, err);
}

static void on_done(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct call *c = owner;
    c->times++;
    if (err != NULL) {
        c->code = err->code;
        snprintf(c->text, sizeof c->text, "%s", err->msg);
    } else {
        c->status = reply->status;
    }
}

static struct call call(const char *url)
{
    struct call c = {.host = "some.host"};
    struct http_call_spec spec = {
        .url = url, .timeout_ms = 10000, .check_address = check, .pool_key = url};
    http_call_start(client, &spec, on_done, &c);
    int64_t end_us = clock_mono_us() + 20 * US_PER_S;
    while (c.times == 0) {
        assert_true(clock_mono_us() < end_us);
        loop_turn(loop, true);
    }
    loop_turn(loop, false); /* whoever came is counted */
    return c;
}

static int set_up(void **state)
{
    (void)state;
    intruders = requests = 0;
    redirect = NULL;
    atomic_store(&lookups, 0);
    client = http_client_new(loop, NULL);
    return client == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    http_client_free(client);
    return 0;
}

/* PORT is the listeners' port. What the text alone says is judged first; then the rules on text are
 * left out, and libcurl is let loose. */
static void no_spelling_of_loopback_gets_through(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool is_name; /* nothing is wrong with its text */
    } rows[] = {
        {"http://127.0.0.1:PORT/", false},
        {"http://127.1:PORT/", false},
        {"http://127.0.1:PORT/", false},
        {"http://127.000.000.001:PORT/", false},
        {"http://0177.0.0.1:PORT/", false},
        {"http://0177.0.0.01:PORT/", false},
        {"http://00000177.1:PORT/", false},
        {"http://0x7f.0.0.1:PORT/", false},
        {"http://0x7f.0x0.0x0.0x1:PORT/", false},
        {"http://0x0000007f.1:PORT/", false},
        {"http://0x7f.1:PORT/", false},
        {"http://127.0x1:PORT/", false},
        {"http://0x7f000001:PORT/", false},
        {"http://0X7F000001:PORT/", false},
        {"http://2130706433:PORT/", false},
        {"http://017700000001:PORT/", false},
        {"http://6425673729:PORT/", false}, /* 2^32 more */
        {"http://127.0.0.1.:PORT/", false},
        {"http://127.0.0.1..:PORT/", false},
        {"http://127.0.0.257:PORT/", false},
        {"http://127.255.255.254:PORT/", false},
        {"http://0:PORT/", false},
        {"http://0.0.0.0:PORT/", false},
        {"http://0x0:PORT/", false},
        {"http://[::1]:PORT/", false},
        {"http://[0:0:0:0:0:0:0:1]:PORT/", false},
        {"http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/", false},
        {"http://[::0.0.0.1]:PORT/", false},
        {"http://[::]:PORT/", false},
        {"http://[::ffff:127.0.0.1]:PORT/", false},
        {"http://[::FFFF:7F00:1]:PORT/", false},
        {"http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/", false},
        {"http://[::ffff:0.0.0.0]:PORT/", false},
        {"http://[::127.0.0.1]:PORT/", false},
        {"http://[::ffff:0:127.0.0.1]:PORT/", false},
        {"http://[64:ff9b::127.0.0.1]:PORT/", false},
        {"http://[64:ff9b:1::127.0.0.1]:PORT/", false},
        {"http://[2002:7f00:1::]:PORT/", false},
        {"http://[::1%25lo]:PORT/", false},
        {"http://[::1%lo]:PORT/", false},
        {"http://[fe80::1%25lo]:PORT/", false},
        {"http://%31%32%37.0.0.1:PORT/", false},
        {"http://127%2e0%2e0%2e1:PORT/", false},
        {"http://127.0.0.1%00.example.com:PORT/", false},
        {"http://127.0.0.1%23.example.com:PORT/", false},
        {"http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.\xe2\x93\xaa.\xe2\x93\xaa.\xe2\x91\xa0:PORT/",
            false}, /* circled digits */
        {"http://127\xe3\x80\x82"
         "0\xe3\x80\x82"
         "0\xe3\x80\x82"
         "1:PORT/",
            false}, /* ideographic full stops */
        {"http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:PORT/", false}, /* full-width digits */
        {"http://user@127.0.0.1:PORT/", false},
        {"http://user:pass@127.0.0.1:PORT/", false},
        {"http://x.invalid@127.0.0.1:PORT/", false},
        {"http://x.invalid:80@127.0.0.1:PORT/", false},
        {"http://127.0.0.1:PORT@x.invalid/", false},
        {"http://127.0.0.1:PORT#@x.invalid/", false},
        {"http://127.0.0.1:PORT?@x.invalid/", false},
        {"http://x.invalid#@127.0.0.1:PORT/", true},
        {"http://x.invalid\\@127.0.0.1:PORT/", false},
        {"http://127.0.0.1:PORT\\@x.invalid/", false},
        {"http://127.0.0.1\\.x.invalid:PORT/", false},
        {"http:127.0.0.1:PORT/", false},
        {"http:/127.0.0.1:PORT/", false},
        {"http:///127.0.0.1:PORT/", false},
        {"http:////127.0.0.1:PORT/", false},
        {"http:\\\\127.0.0.1:PORT/", false},
        {"HTTP://127.0.0.1:PORT/", false},
        {" http://127.0.0.1:PORT/", false},
        {"http://127.0.\t0.1:PORT/", false},
        {"http://127.0.0.1\n:PORT/", false},
        {"http://127.0.0.1;x.invalid:PORT/", false},
        {"http://127.0.0.1,x.invalid:PORT/", false},
        {"http://[::1].x.invalid:PORT/", false},
        {"127.0.0.1:PORT/", false},
        {"http://localhost:PORT/", true},
        {"http://LOCALHOST:PORT/", true},
        {"http://localhost.:PORT/", true},
        {"http://localhost.localdomain:PORT/", true},
        {"http://x.localhost:PORT/", true},
        {"http://ip6-localhost:PORT/", true},
        {"http://mapped.test:PORT/", true},
        {"http://any.test:PORT/", true},
    };
    char port_text[8];
    snprintf(port_text, sizeof port_text, "%d", port);
    int connected = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *at = strstr(rows[i].url, "PORT");
        CLEANUP(cleanup_free)
        char *url = xasprintf("%.*s%s%s", (int)(at - rows[i].url), rows[i].url, port_text, at + 4);
        struct err err = ERR_INIT;
        int rc = egress_check_url(egress, url, &err);
        if ((rc == 0) != rows[i].is_name) {
            fail_msg("%s: %s", url, rc == 0 ? "its text is taken" : err.msg);
        }
        struct call c = call(url);
        connected += intruders;
        if (c.code == ERR_NONE || intruders > 0) {
            fail_msg("%s: %d connections, %d", url, intruders, c.status);
        }
    }
    assert_int_equal(connected + requests, 0);
    assert_true(ARRAY_LEN(rows) > 40);
}

static struct call call_host(const char *host)
{
    CLEANUP(cleanup_free) char *url = xasprintf("http://%s:%d/hook", host, port);
    return call(url);
}

static void the_allowed_address_is_reached(void **state)
{
    (void)state;
    assert_int_equal(call_host("127.0.0.2").status, 200);
    assert_int_equal(call_host("allowed.test").status, 200);
    assert_int_equal(requests, 2);
}

static void a_name_cannot_be_rebound(void **state)
{
    (void)state;
    assert_int_equal(call_host("rebind.test").status, 200);
    /* Kept by libcurl: neither another lookup nor another connection. */
    assert_int_equal(call_host("rebind.test").status, 200);
    assert_int_equal(atomic_load(&lookups), 1);
    tear_down(state);
    client = http_client_new(loop, NULL); /* nothing is kept now */
    struct call c = call_host("rebind.test");
    assert_int_equal(atomic_load(&lookups), 2);
    assert_int_equal(c.code, ERR_DENIED);
    assert_non_null(strstr(c.text, "is not a public address (loopback"));
    assert_non_null(strstr(c.text, "--webhook-allow"));
    assert_int_equal(intruders, 0);
    assert_int_equal(requests, 2);
}

static void of_several_addresses_only_allowed_ones_are_tried(void **state)
{
    (void)state;
    assert_int_equal(call_host("mixed.test").status, 200);
    assert_int_equal(intruders, 0);
    assert_int_equal(requests, 1);
}

static void redirects_are_not_followed(void **state)
{
    (void)state;
    CLEANUP(cleanup_free) char *there = xasprintf("http://127.0.0.1:%d/", port);
    redirect = there;
    assert_int_equal(call_host("127.0.0.2").status, 307);
    redirect = "file:///etc/passwd";
    assert_int_equal(call_host("127.0.0.2").status, 307);
    assert_int_equal(intruders, 0);
    assert_int_equal(requests, 2);
}

static void the_environment_sends_us_nowhere(void **state)
{
    (void)state;
    static const char *const names[] = {
        "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    CLEANUP(cleanup_free) char *proxy = xasprintf("http://127.0.0.1:%d", port);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        setenv(names[i], proxy, 1);
    }
    int status = call_host("127.0.0.2").status;
    enum err_code code = call_host("localhost").code;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        unsetenv(names[i]);
    }
    assert_int_equal(status, 200);
    assert_int_equal(code, ERR_DENIED);
    assert_int_equal(intruders, 0);
    assert_int_equal(requests, 1);
}

static void a_slow_name_server_has_its_deadline(void **state)
{
    (void)state;
    CLEANUP(cleanup_free) char *url = xasprintf("http://slow.test:%d/", port);
    struct call c = {.host = "slow.test"};
    struct http_call_spec spec = {.url = url, .resolve_timeout_ms = 101, .check_address = check};
    http_call_start(client, &spec, on_done, &c);
    int64_t end_us = clock_mono_us() + 20 * US_PER_S;
    while (c.times == 0) {
        assert_true(clock_mono_us() < end_us);
        loop_turn(loop, true);
    }
    sem_post(&slow);
    assert_int_equal(c.code, ERR_TRANSIENT);
    assert_non_null(strstr(c.text, "its name was not resolved within 101 ms"));
    assert_int_equal(requests, 0);
}

static void a_kept_connection_obeys_the_rules_of_now(void **state)
{
    (void)state;
    assert_int_equal(call_host("127.0.0.2").status, 200);
    struct egress *before = egress;
    egress = egress_new(&(struct egress_settings){.allow = "127.0.0.2", .deny = "127.0.0.2"}, NULL);
    struct call c = call_host("127.0.0.2");
    egress_free(egress);
    egress = before;
    assert_int_equal(c.code, ERR_DENIED);
    assert_non_null(strstr(c.text, "denied by --webhook-deny"));
    assert_int_equal(requests, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_spelling_of_loopback_gets_through, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_allowed_address_is_reached, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_cannot_be_rebound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            of_several_addresses_only_allowed_ones_are_tried, set_up, tear_down),
        cmocka_unit_test_setup_teardown(redirects_are_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_environment_sends_us_nowhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slow_name_server_has_its_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_kept_connection_obeys_the_rules_of_now, set_up, tear_down),
    };
    sem_init(&slow, 0, 0);
    loop = loop_new(NULL);
    if (listen_everywhere() != 0) {
        print_error("no port is free on all three addresses\n");
        return 1;
    }
    egress = egress_new(&(struct egress_settings){.allow = "127.0.0.2"}, NULL);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    egress_free(egress);
    listen_nowhere();
    loop_free(loop);
    return r;
}
