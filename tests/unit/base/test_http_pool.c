/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls share a connection, who is asked about it, and how many are kept. The server runs
 * on the same loop; it answers with the port that the connection came from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/http.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/util.h"

static struct loop *loop;
static struct evhttp *server;
static int port;
static int requests; /* that reached the server */

static void answer_with_port(struct evhttp_request *req, void *arg)
{
    (void)arg;
    char *address;
    ev_uint16_t from;
    requests++;
    evhttp_connection_get_peer(evhttp_request_get_connection(req), &address, &from);
    struct evbuffer *body = evbuffer_new();
    evbuffer_add_printf(body, "%d", (int)from);
    evhttp_send_reply(req, 200, "OK", body);
    evbuffer_free(body);
}

struct answer {
    int times;
    int64_t connection;
    enum err_code code;
    char text[ERR_MSG_MAX];
    /* what check_address says, and is told */
    int asked, refuse_from; /* refuse_from: the n-th question; 0: none */
    int last_port;
};

static int check(void *owner, const struct sockaddr *addr, struct err *err)
{
    struct answer *a = owner;
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
    assert_int_equal(addr->sa_family, AF_INET);
    assert_int_equal(ntohl(in->sin_addr.s_addr), INADDR_LOOPBACK);
    a->last_port = ntohs(in->sin_port);
    bool is_fine = ++a->asked < a->refuse_from || a->refuse_from == 0;
    return is_fine ? 0 : err_set(err, ERR_DENIED, "not there");
}

static void on_done(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct answer *a = owner;
    a->times++;
    if (err != NULL) {
        a->code = err->code;
        snprintf(a->text, sizeof a->text, "%s", err->msg);
    } else {
        assert_int_equal(parse_i64(reply->body, 1, 65535, "port", &a->connection, NULL), 0);
    }
}

static void wait_for(const struct answer *a)
{
    int64_t end_us = clock_mono_us() + 60 * US_PER_S;
    while (a->times == 0) {
        assert_true(clock_mono_us() < end_us);
        loop_turn(loop, true);
    }
    assert_int_equal(a->times, 1);
}

static void start(struct http_client *client, const char *key, bool fresh, struct answer *a)
{
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    struct http_call_spec spec = {
        .url = url, .pool_key = key, .fresh_connection = fresh, .check_address = check};
    http_call_start(client, &spec, on_done, a);
}

static struct answer call(struct http_client *client, const char *key, int refuse_from)
{
    struct answer a = {.refuse_from = refuse_from};
    start(client, key, false, &a);
    wait_for(&a);
    return a;
}

static int sockets_open(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct sockaddr_in peer;
        socklen_t len = sizeof peer;
        int64_t fd;
        count += parse_i64(e->d_name, 0, INT32_MAX, "fd", &fd, NULL) == 0 &&
                 getpeername((int)fd, (struct sockaddr *)&peer, &len) == 0 &&
                 peer.sin_family == AF_INET && ntohs(peer.sin_port) == port;
    }
    closedir(dir);
    return count;
}

static int set_up(void **state)
{
    requests = 0;
    *state = http_client_new(loop, NULL);
    return *state == NULL;
}

static int tear_down(void **state)
{
    http_client_free(*state);
    assert_int_equal(sockets_open(), 0);
    return 0;
}

static void only_calls_with_the_same_key_share_a_connection(void **state)
{
    struct answer a = call(*state, "a", 0), b = call(*state, "b", 0), none = call(*state, NULL, 0);
    assert_true(a.connection != 0 && b.connection != 0 && none.connection != 0);
    assert_true(a.connection != b.connection && a.connection != none.connection);
    assert_true(b.connection != none.connection);
    assert_int_equal(call(*state, "a", 0).connection, a.connection);
    assert_int_equal(call(*state, NULL, 0).connection, none.connection);
    assert_int_equal(call(*state, "b", 0).connection, b.connection);
    assert_int_equal(sockets_open(), 3);
}

static void a_fresh_connection_of_a_pool_is_not_kept(void **state)
{
    struct answer kept = call(*state, "a", 0), fresh = {0};
    start(*state, "a", true, &fresh);
    wait_for(&fresh);
    assert_int_not_equal(fresh.connection, kept.connection);
    assert_int_equal(call(*state, "a", 0).connection, kept.connection);
    assert_int_equal(sockets_open(), 1);
}

static void a_kept_connection_is_judged_again(void **state)
{
    struct answer first = call(*state, "a", 0);
    assert_int_equal(first.asked, 2); /* before connecting, and before the request */
    assert_int_equal(first.last_port, port);
    struct answer second = call(*state, "a", 0);
    assert_int_equal(second.connection, first.connection);
    assert_int_equal(second.asked, 1);
    assert_int_equal(second.last_port, port);
    assert_int_equal(requests, 2);

    struct answer refused = call(*state, "a", 1);
    assert_int_equal(refused.code, ERR_DENIED);
    assert_int_equal(refused.asked, 1);
    assert_int_equal(requests, 2);
}

static void the_peer_is_judged_after_connecting_too(void **state)
{
    struct answer refused = call(*state, "a", 2);
    assert_int_equal(refused.code, ERR_DENIED);
    assert_int_equal(refused.asked, 2);
    assert_int_equal(requests, 0);
}

static void calls_at_once_keep_their_connections(void **state)
{
    enum { COUNT = 8 };
    for (int round = 0; round < 3; round++) {
        struct answer a[COUNT] = {0};
        for (int i = 0; i < COUNT; i++) {
            start(*state, "a", false, &a[i]);
        }
        for (int i = 0; i < COUNT; i++) {
            wait_for(&a[i]);
            assert_int_equal(a[i].code, ERR_NONE);
        }
        assert_int_equal(sockets_open(), COUNT);
    }
}

static void cancelled_calls_give_their_pool_back(void **state)
{
    struct answer a = {0};
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    struct http_call_spec spec = {.url = url, .pool_key = "a"};
    http_call_cancel(http_call_start(*state, &spec, on_done, &a));
    struct http_call *running = http_call_start(*state, &spec, on_done, &a);
    while (sockets_open() == 0) {
        loop_turn(loop, true);
    }
    http_call_cancel(running);
    assert_int_equal(sockets_open(), 0);
    assert_int_equal(a.times, 0);
    assert_int_equal(call(*state, "a", 0).code, ERR_NONE);
}

static void kept_connections_are_bounded(void **state)
{
    enum { KEYS = 700, KEPT = 512 };
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct answer oldest = call(*state, "0", 0), newest = {0};
    for (int i = 1; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        newest = call(*state, key, 0);
        assert_int_equal(newest.code, ERR_NONE);
    }
    loop_turn(loop, false);
    assert_in_range(sockets_open(), KEPT - 1, KEPT);
    assert_int_equal(call(*state, "699", 0).connection, newest.connection);
    assert_int_not_equal(call(*state, "0", 0).connection, oldest.connection);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            only_calls_with_the_same_key_share_a_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_fresh_connection_of_a_pool_is_not_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_kept_connection_is_judged_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_peer_is_judged_after_connecting_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(calls_at_once_keep_their_connections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_calls_give_their_pool_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kept_connections_are_bounded, set_up, tear_down),
    };
    loop = loop_new(NULL);
    server = evhttp_new(loop_base(loop));
    evhttp_set_gencb(server, answer_with_port, NULL);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server, "127.0.0.1", 0);
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len);
    port = ntohs(addr.sin_port);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    evhttp_free(server);
    loop_free(loop);
    return r;
}
