/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to Redis. hiredis formats commands and reads replies; the socket is ours, on
 * libevent, because hiredis 0.14 resolves names with a call that blocks the whole daemon and
 * moves its whole output buffer at every partial write.
 */
#include "base/store_conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/util.h"

#define READ_SIZE 16384
#define READS_PER_TURN 16 /* then the others on the loop get their chance */

enum conn_state {
    CONN_STATE_RESOLVING,
    CONN_STATE_CONNECTING,
    CONN_STATE_GREETING, /* waits for the answers to AUTH, SELECT, EVAL */
    CONN_STATE_UP,
    CONN_STATE_DOWN,
};

struct store_conn {
    struct loop *loop;
    const struct store_target *target;
    const struct store_conn_calls *calls;
    void *owner;
    enum conn_state state;
    int64_t timeout_ms;
    struct timer timer;       /* until it is up */
    struct deferred deferred; /* the begin, then the end */
    struct deferred flush;

    struct evdns_base *dns;
    struct evdns_getaddrinfo_request *dns_request;
    struct evutil_addrinfo *addresses, *address; /* all, and the one being tried */

    int fd;
    struct event *read_event, *write_event;
    struct evbuffer *out;
    redisReader *reader;
    int greetings; /* answers still to come */
    int64_t heard_us;
    struct err err; /* why it is down */
    bool is_reading, is_freed;
};

static void conn_close(struct store_conn *conn)
{
    if (conn->read_event != NULL) {
        event_free(STEAL(conn->read_event));
    }
    if (conn->write_event != NULL) {
        event_free(STEAL(conn->write_event));
    }
    cleanup_fd(&conn->fd);
    conn->fd = -1;
}

static void conn_report_down(void *arg)
{
    struct store_conn *conn = arg;
    conn->calls->on_down(conn->owner, &conn->err);
}

void store_conn_drop(struct store_conn *conn, const struct err *err)
{
    if (conn->state == CONN_STATE_DOWN) {
        return;
    }
    conn->state = CONN_STATE_DOWN;
    err_copy(&conn->err, err);
    conn_close(conn);
    timer_stop(&conn->timer);
    loop_defer_cancel(conn->loop, &conn->flush);
    loop_defer(conn->loop, &conn->deferred, conn_report_down, conn);
}

/* Not yet up: everything that can go wrong is the world's, and passes or is fixed by people. */
static void conn_fail(struct store_conn *conn, const char *what)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_TRANSIENT, "%s", what);
    store_conn_drop(conn, &err);
}

/* Replies. */

/* ROLE is the one greeting whose answer is a list. */
static bool is_replica(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
           reply->element[0]->str != NULL && strcmp(reply->element[0]->str, "master") != 0;
}

static void conn_read_greeting(struct store_conn *conn, redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        conn_fail(conn, reply->str);
    } else if (is_replica(reply)) {
        conn_fail(conn, "it is no master (yet)");
    } else if (--conn->greetings == 0) {
        conn->state = CONN_STATE_UP;
        timer_stop(&conn->timer);
        conn->calls->on_up(conn->owner);
    }
    freeReplyObject(reply);
}

/* False when there is nothing more to read for now, or ever. */
static bool conn_read_some(struct store_conn *conn)
{
    char bytes[READ_SIZE];
    ssize_t n = read(conn->fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        conn_fail(conn, n == 0 ? "Redis closed the connection" : strerror(errno));
        return false;
    }
    conn->heard_us = clock_mono_us();
    redisReaderFeed(conn->reader, bytes, (size_t)n);
    while (!conn->is_freed && conn->state != CONN_STATE_DOWN) {
        void *reply = NULL;
        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            conn_fail(conn, conn->reader->errstr);
            break;
        }
        if (reply == NULL) {
            return n == sizeof bytes;
        }
        if (conn->state == CONN_STATE_GREETING) {
            conn_read_greeting(conn, reply);
        } else {
            conn->calls->on_reply(conn->owner, reply);
        }
    }
    return false;
}

static void conn_on_read(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct store_conn *conn = arg;
    conn->is_reading = true;
    for (int i = 0; i < READS_PER_TURN && conn_read_some(conn); i++) {
    }
    conn->is_reading = false;
    if (conn->is_freed) {
        store_conn_free(conn);
    }
}

/* Writing. */

/* At the bottom of the turn; the loop watches for room only when the kernel has none. */
static void conn_flush(void *arg)
{
    struct store_conn *conn = arg;
    while (evbuffer_get_length(conn->out) > 0) {
        if (evbuffer_write(conn->out, conn->fd) < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                event_add(conn->write_event, NULL);
            } else {
                conn_fail(conn, strerror(errno));
            }
            return;
        }
    }
}

void store_conn_write(struct store_conn *conn, const void *data, size_t len)
{
    if (conn->state != CONN_STATE_UP && conn->state != CONN_STATE_GREETING) {
        return; /* on_down is on its way */
    }
    int r = evbuffer_add(conn->out, data, len);
    assert(r == 0);
    (void)r;
    loop_defer(conn->loop, &conn->flush, conn_flush, conn);
}

size_t store_conn_unsent(const struct store_conn *conn)
{
    return evbuffer_get_length(conn->out);
}

int64_t store_conn_heard_us(const struct store_conn *conn)
{
    return conn->heard_us;
}

/* Connecting. */

static void conn_greet_with(struct store_conn *conn, int argc, const char **argv)
{
    char *command;
    int len = redisFormatCommandArgv(&command, argc, argv, NULL);
    assert(len > 0);
    store_conn_write(conn, command, (size_t)len);
    redisFreeCommand(command);
    conn->greetings++;
}

static void conn_greet(struct store_conn *conn)
{
    const struct store_target *t = conn->target;
    conn->state = CONN_STATE_GREETING;
    if (t->user != NULL) {
        conn_greet_with(conn, 3, (const char *[]){"AUTH", t->user, t->password});
    } else if (t->password != NULL) {
        conn_greet_with(conn, 2, (const char *[]){"AUTH", t->password});
    }
    if (t->db != NULL) {
        conn_greet_with(conn, 2, (const char *[]){"SELECT", t->db});
    }
    if (t->is_sentinel) {
        conn_greet_with(conn, 1, (const char *[]){"PING"});
        return;
    }
    /* Refused while Redis is loading its data, and by nothing else that commands of ours would
     * pass: it answers ECHO while it loads, and no PING when its disk is full. */
    conn_greet_with(conn, 3, (const char *[]){"EVAL", "return 1", "0"});
    if (t->must_be_master) {
        conn_greet_with(conn, 1, (const char *[]){"ROLE"});
    }
}

static void conn_try_address(struct store_conn *conn);

/* The address being tried does not answer: the next one, or the end. */
static void conn_next_address(struct store_conn *conn, int errnum)
{
    conn_close(conn);
    if (conn->address != NULL && conn->address->ai_next != NULL) {
        conn->address = conn->address->ai_next;
        conn_try_address(conn);
    } else {
        conn_fail(conn, strerror(errnum));
    }
}

static void conn_on_write(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct store_conn *conn = arg;
    if (conn->state != CONN_STATE_CONNECTING) {
        conn_flush(conn);
        return;
    }
    int errnum = 0;
    socklen_t len = sizeof errnum;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) != 0) {
        errnum = errno;
    }
    if (errnum != 0) {
        conn_next_address(conn, errnum);
        return;
    }
    conn->heard_us = clock_mono_us();
    event_add(conn->read_event, NULL);
    conn_greet(conn);
}

static void set_option(int fd, int level, int name, int value)
{
    /* Each is a refinement that the connection works without. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void conn_try(struct store_conn *conn, const struct sockaddr *addr, socklen_t addr_len)
{
    conn->state = CONN_STATE_CONNECTING;
    conn->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        conn_next_address(conn, errno);
        return;
    }
    if (addr->sa_family != AF_UNIX) {
        set_option(conn->fd, IPPROTO_TCP, TCP_NODELAY, 1);
        /* A peer whose machine is gone is noticed within half a minute. */
        set_option(conn->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(conn->fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
        set_option(conn->fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
        set_option(conn->fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
        set_option(conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 30000);
    }
    if (connect(conn->fd, addr, addr_len) != 0 && errno != EINPROGRESS) {
        conn_next_address(conn, errno);
        return;
    }
    struct event_base *base = loop_base(conn->loop);
    conn->read_event = event_new(base, conn->fd, EV_READ | EV_PERSIST, conn_on_read, conn);
    conn->write_event = event_new(base, conn->fd, EV_WRITE, conn_on_write, conn);
    if (conn->read_event == NULL || conn->write_event == NULL ||
        event_add(conn->write_event, NULL) != 0) {
        conn_fail(conn, "the event loop takes no more sockets");
    }
}

static void conn_try_address(struct store_conn *conn)
{
    conn_try(conn, conn->address->ai_addr, (socklen_t)conn->address->ai_addrlen);
}

static void conn_on_resolved(int result, struct evutil_addrinfo *addresses, void *arg)
{
    if (result == EVUTIL_EAI_CANCEL) {
        return; /* and arg may be gone */
    }
    struct store_conn *conn = arg;
    conn->dns_request = NULL;
    if (result != 0 || addresses == NULL) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_TRANSIENT, "host name '%s': %s", conn->target->host,
            evutil_gai_strerror(result != 0 ? result : EVUTIL_EAI_NODATA));
        store_conn_drop(conn, &err);
        return;
    }
    conn->addresses = conn->address = addresses;
    conn_try_address(conn);
}

static void conn_resolve(struct store_conn *conn)
{
    const struct store_target *t = conn->target;
    struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_protocol = IPPROTO_TCP,
        .ai_flags = EVUTIL_AI_NUMERICHOST};
    struct evutil_addrinfo *numeric = NULL;
    if (evutil_getaddrinfo(t->host, t->port, &hints, &numeric) == 0) {
        conn_on_resolved(0, numeric, conn);
        return;
    }
    conn->dns = evdns_base_new(loop_base(conn->loop),
        EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (conn->dns == NULL) {
        conn_fail(conn, "cannot read the name servers from /etc/resolv.conf");
        return;
    }
    hints.ai_flags = EVUTIL_AI_ADDRCONFIG;
    struct evdns_getaddrinfo_request *request =
        evdns_getaddrinfo(conn->dns, t->host, t->port, &hints, conn_on_resolved, conn);
    /* NULL: answered on the spot, from /etc/hosts. */
    if (request != NULL && conn->state == CONN_STATE_RESOLVING) {
        conn->dns_request = request;
    }
}

static void conn_begin(void *arg)
{
    struct store_conn *conn = arg;
    if (conn->target->path == NULL) {
        conn_resolve(conn);
        return;
    }
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, conn->target->path, strlen(conn->target->path));
    conn_try(conn, (struct sockaddr *)&addr, sizeof addr);
}

static void conn_on_timeout(void *arg)
{
    struct store_conn *conn = arg;
    static const char *const waits[] = {
        [CONN_STATE_RESOLVING] = "name servers do not answer",
        [CONN_STATE_CONNECTING] = "no connection in time",
        [CONN_STATE_GREETING] = "connected, but Redis does not answer",
        [CONN_STATE_UP] = "",
        [CONN_STATE_DOWN] = "",
    };
    conn_fail(conn, waits[conn->state]);
}

struct store_conn *store_conn_start(struct loop *loop, const struct store_target *target,
    const struct store_conn_calls *calls, void *owner, int64_t timeout_ms)
{
    struct store_conn *conn = xcalloc(1, sizeof *conn);
    conn->loop = loop;
    conn->target = target;
    conn->calls = calls;
    conn->owner = owner;
    conn->fd = -1;
    conn->out = evbuffer_new();
    conn->reader = redisReaderCreate();
    assert(conn->out != NULL && conn->reader != NULL);
    timer_init(&conn->timer, loop, conn_on_timeout, conn);
    timer_start_ms(&conn->timer, timeout_ms);
    loop_defer(loop, &conn->deferred, conn_begin, conn);
    return conn;
}

void store_conn_free(struct store_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    if (conn->is_reading) {
        /* Called from on_reply: conn_on_read() does it on the way out. */
        conn->is_freed = true;
        return;
    }
    conn_close(conn);
    timer_done(&conn->timer);
    loop_defer_cancel(conn->loop, &conn->deferred);
    loop_defer_cancel(conn->loop, &conn->flush);
    if (conn->dns_request != NULL) {
        evdns_getaddrinfo_cancel(conn->dns_request);
    }
    if (conn->addresses != NULL) {
        evutil_freeaddrinfo(conn->addresses);
    }
    if (conn->dns != NULL) {
        evdns_base_free(conn->dns, 0);
    }
    evbuffer_free(conn->out);
    redisReaderFree(conn->reader);
    free(conn);
}
