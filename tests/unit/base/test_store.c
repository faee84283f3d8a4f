/* SPDX-License-Identifier: Apache-2.0 */
/* The store against a real Redis: answers, errors, order, deadlines, reconnect, scripts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/store.h"
#include "base/store_conn.h"
#include "base/util.h"
#include "tests/support/redis_fixture.h"

struct fixture {
    struct redis_fixture redis;
    struct loop *loop;
    struct store *store;
};

/* What one call was told. */
struct seen {
    int times;
    enum err_code code;
    char text[ERR_MSG_MAX];
    int64_t number;
    size_t elements;
};

static void on_seen(void *owner, redisReply *reply, const struct err *err)
{
    struct seen *seen = owner;
    seen->times++;
    assert_true((reply == NULL) != (err == NULL));
    if (err != NULL) {
        seen->code = err->code;
        snprintf(seen->text, sizeof seen->text, "%s", err->msg);
        return;
    }
    seen->number = reply_int(reply, -1);
    seen->elements = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
    const char *text = reply_str(reply);
    snprintf(seen->text, sizeof seen->text, "%s", text != NULL ? text : "");
}

static void turn_until(struct fixture *f, const int *what, int value)
{
    int64_t end_us = clock_mono_us() + 60 * US_PER_S;
    while (*what < value) {
        assert_true(clock_mono_us() < end_us);
        loop_turn(f->loop, true);
    }
}

static struct store *open_store(struct fixture *f, int64_t timeout_ms)
{
    struct err err = ERR_INIT;
    struct store_settings settings = {
        .url = f->redis.url, .command_timeout_ms = timeout_ms, .shards = 16, .prefix = "rondo"};
    struct store *store = store_new(f->loop, &settings, &err);
    assert_non_null(store);
    return store;
}

static void wait_up(struct fixture *f)
{
    int64_t end_us = clock_mono_us() + 60 * US_PER_S;
    while (!store_is_up(f->store)) {
        assert_true(clock_mono_us() < end_us);
        loop_turn(f->loop, true);
    }
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    log_set(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    redis_fixture_start(&f->redis);
    f->loop = loop_new(NULL);
    f->store = open_store(f, 5000);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_free(f->store);
    loop_free(f->loop);
    redis_fixture_stop(&f->redis);
    free(f);
    return 0;
}

/* One store per test, one Redis for all of them. */
static int new_store(void **state)
{
    struct fixture *f = *state;
    if (f->redis.pid == 0) {
        redis_fixture_restart(&f->redis);
    }
    redis_fixture_do(&f->redis, "FLUSHALL");
    store_free(f->store);
    f->store = open_store(f, 5000);
    return 0;
}

static void fast_store(struct fixture *f, int64_t timeout_ms)
{
    store_free(f->store);
    f->store = open_store(f, timeout_ms);
    wait_up(f);
}

/* Commands. */

static void answers_never_come_from_inside_the_start(void **state)
{
    struct fixture *f = *state;
    struct seen before = {0}, up = {0};
    store_cmd(f->store, on_seen, &before, "SET %s %b", "k", "a\0b", (size_t)3);
    assert_int_equal(before.times, 0); /* not even connected: it waits */
    turn_until(f, &before.times, 1);
    assert_int_equal(before.code, ERR_NONE);
    store_cmd(f->store, on_seen, &up, "STRLEN k");
    assert_int_equal(up.times, 0);
    turn_until(f, &up.times, 1);
    assert_int_equal(up.number, 3);
}

static void argv_takes_binary(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {0};
    const char *argv[] = {"SET", "bin", "x\0y\r\n"};
    size_t lens[] = {3, 3, 5};
    store_argv(f->store, 3, argv, lens, NULL, NULL);
    store_cmd(f->store, on_seen, &seen, "STRLEN bin");
    turn_until(f, &seen.times, 1);
    assert_int_equal(seen.number, 5);
}

struct order {
    int done;
    int64_t last;
};

static void on_ordered(void *owner, redisReply *reply, const struct err *err)
{
    struct order *order = owner;
    assert_null(err);
    assert_int_equal(reply_int(reply, -1), order->last + 1);
    order->last++;
    order->done++;
}

static void ten_thousand_at_once_keep_their_order(void **state)
{
    struct fixture *f = *state;
    struct order order = {0};
    wait_up(f);
    for (int i = 0; i < 10000; i++) {
        store_cmd(f->store, on_ordered, &order, "INCR n");
    }
    turn_until(f, &order.done, 10000);
}

static void a_large_reply_arrives_whole(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {0};
    char *big = xcalloc(1, 3000001);
    memset(big, 'x', 3000000);
    store_cmd(f->store, NULL, NULL, "RPUSH l %s %s %s", big, big, big);
    store_cmd(f->store, on_seen, &seen, "LRANGE l 0 -1");
    turn_until(f, &seen.times, 1);
    assert_int_equal(seen.elements, 3);
    free(big);
}

/* Errors. */

static void errors_get_their_codes(void **state)
{
    static const struct {
        const char *name, *script;
        enum err_code code;
        const char *text;
    } rows[] = {
        {"not found", "return redis.error_reply('NOSUCH run 7 does not exist')", ERR_NOT_FOUND,
            "run 7 does not exist"},
        {"exists", "return redis.error_reply('EXISTS a b')", ERR_EXISTS, "a b"},
        {"conflict", "return redis.error_reply('CONFLICT a b')", ERR_CONFLICT, "a b"},
        {"precondition", "return redis.error_reply('PRECONDITION a b')", ERR_PRECONDITION, "a b"},
        {"invalid", "return redis.error_reply('INVALID a b')", ERR_INVALID, "a b"},
        {"limit", "return redis.error_reply('LIMIT a b')", ERR_LIMIT, "a b"},
        {"fenced", "return redis.error_reply('FENCED a b')", ERR_FENCED, "a b"},
        {"raised", "error({err = 'CONFLICT raised in it'})", ERR_CONFLICT, "raised in it"},
        {"oom", "return redis.error_reply('OOM command not allowed')", ERR_TRANSIENT,
            "redis: OOM command not allowed"},
        {"a word that only begins alike", "return redis.error_reply('EXISTSNOT a b')", ERR_INTERNAL,
            "redis: EXISTSNOT a b"},
        {"wrong type", "redis.call('SET', 'k', 1) return redis.call('LPUSH', 'k', 1)", ERR_INTERNAL,
            "redis: WRONGTYPE Operation against a key holding the wrong kind of value"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct seen seen = {0};
        struct script script = {.name = rows[i].name, .text = rows[i].script};
        store_eval(f->store, &script, store_args_new(), on_seen, &seen);
        turn_until(f, &seen.times, 1);
        if (seen.code != rows[i].code || strcmp(seen.text, rows[i].text) != 0) {
            fail_msg("%s: %s '%s'", rows[i].name, err_code_name(seen.code), seen.text);
        }
    }
}

/* Scripts. */

static struct script add = {
    .name = "add", .text = "return redis.call('INCRBY', KEYS[1], ARGV[1]) -- of the test"};

static struct store_call *add_start(struct fixture *f, int64_t by, struct seen *seen)
{
    struct store_args *args = store_args_new();
    store_key(args, "sum%d", 1);
    store_arg_i(args, by);
    return store_eval(f->store, &add, args, on_seen, seen);
}

static void a_flushed_script_is_sent_again(void **state)
{
    struct fixture *f = *state;
    struct seen seen[300] = {0};
    add_start(f, 1, &seen[0]);
    turn_until(f, &seen[0].times, 1);
    redis_fixture_do(&f->redis, "SCRIPT FLUSH");
    for (int i = 1; i < 300; i++) {
        add_start(f, 1, &seen[i]);
    }
    for (int i = 1; i < 300; i++) {
        turn_until(f, &seen[i].times, 1);
        assert_int_equal(seen[i].code, ERR_NONE);
    }
    assert_int_equal(seen[299].number, 300); /* each once, and the last one last */
    struct seen exists = {0};
    store_cmd(f->store, on_seen, &exists, "EVALSHA %s 1 sum1 0", add.sha1);
    turn_until(f, &exists.times, 1);
    assert_int_equal(exists.number, 300); /* it is known by the hash we computed */
}

static void keys_and_arguments_arrive_as_given(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {0};
    struct script script = {.name = "echo",
        .text = "return #KEYS .. ' ' .. KEYS[2] .. ' ' .. #ARGV .. ' ' .. ARGV[1] .. ' ' .. "
                "#ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[60]"};
    struct store_args *args = store_args_new();
    store_key(args, "%s", "one");
    char longer[2000];
    memset(longer, 'k', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    store_key(args, "%.3s%d", longer, 2);
    store_key(args, "%s", longer);
    store_arg(args, "");
    store_arg_b(args, "\0\r\n\0", 4);
    for (int i = 3; i <= 60; i++) {
        store_arg_i(args, INT64_MIN + i);
    }
    store_eval(f->store, &script, args, on_seen, &seen);
    turn_until(f, &seen.times, 1);
    assert_string_equal(seen.text, "3 kkk2 60  4 -9223372036854775805 -9223372036854775748");
}

/* Cancelling. */

static void a_cancelled_call_is_silent(void **state)
{
    struct fixture *f = *state;
    struct seen queued = {0}, sent = {0}, eval = {0}, after = {0};
    store_cancel(NULL);
    store_cancel(store_cmd(f->store, on_seen, &queued, "SET never 1"));
    wait_up(f);
    store_cancel(store_cmd(f->store, on_seen, &sent, "INCR ran"));
    store_cancel(add_start(f, 5, &eval));
    store_cmd(f->store, on_seen, &after, "EXISTS never");
    turn_until(f, &after.times, 1);
    assert_int_equal(queued.times + sent.times + eval.times, 0);
    assert_int_equal(after.number, 0); /* what was not sent never is */
}

struct pair {
    struct store_call *self, *other;
    int times;
};

static void on_cancel_other(void *owner, redisReply *reply, const struct err *err)
{
    struct pair *pair = owner;
    (void)reply;
    (void)err;
    pair->times++;
    store_cancel(pair->other);
    store_cancel(pair->self); /* done already: harmless */
}

static void a_callback_may_cancel_the_next_and_itself(void **state)
{
    struct fixture *f = *state;
    struct pair pair = {0};
    struct seen other = {0}, last = {0};
    pair.self = store_cmd(f->store, on_cancel_other, &pair, "PING");
    pair.other = store_cmd(f->store, on_seen, &other, "PING");
    store_cmd(f->store, on_seen, &last, "PING");
    turn_until(f, &last.times, 1);
    assert_int_equal(pair.times, 1);
    assert_int_equal(other.times, 0);
}

static void on_free_store(void *owner, redisReply *reply, const struct err *err)
{
    struct fixture *f = owner;
    (void)reply;
    (void)err;
    store_free(f->store);
    f->store = NULL;
}

static void a_callback_may_free_the_store(void **state)
{
    struct fixture *f = *state;
    struct seen never = {0};
    store_cmd(f->store, on_free_store, f, "PING");
    store_cmd(f->store, on_seen, &never, "PING");
    while (f->store != NULL) {
        loop_turn(f->loop, true);
    }
    loop_turn(f->loop, false);
    assert_int_equal(never.times, 0);
}

/* Deadlines. */

static void a_sleeping_redis_ends_at_the_deadline(void **state)
{
    struct fixture *f = *state;
    struct seen slow = {0}, behind = {0}, later = {0};
    fast_store(f, 400);
    int64_t start_us = clock_mono_us();
    store_cmd(f->store, on_seen, &slow, "DEBUG SLEEP 6");
    add_start(f, 1, &behind);
    turn_until(f, &behind.times, 1);
    int64_t took_ms = (clock_mono_us() - start_us) / US_PER_MS;
    assert_int_equal(slow.code, ERR_TRANSIENT);
    assert_int_equal(behind.code, ERR_TRANSIENT);
    assert_true(took_ms >= 400 && took_ms < 5500);
    assert_non_null(strstr(behind.text, "unknown"));
    /* The late answers find nobody, and are not taken for those of later calls. */
    while (later.times == 0 || later.code == ERR_TRANSIENT) {
        int before = later.times;
        later.code = ERR_NONE;
        store_cmd(f->store, on_seen, &later, "ECHO later");
        turn_until(f, &later.times, before + 1);
    }
    assert_string_equal(later.text, "later");
    assert_int_equal(slow.times + behind.times, 2);
}

static void a_redis_that_hangs_for_long_is_given_up(void **state)
{
    struct fixture *f = *state;
    fast_store(f, 100);
    kill(f->redis.pid, SIGSTOP);
    int64_t end_us = clock_mono_us() + 60 * US_PER_S;
    while (store_is_up(f->store)) {
        struct seen seen = {0};
        store_cmd(f->store, on_seen, &seen, "PING");
        turn_until(f, &seen.times, 1);
        assert_int_equal(seen.code, ERR_TRANSIENT);
        assert_true(clock_mono_us() < end_us);
    }
    kill(f->redis.pid, SIGCONT);
    wait_up(f);
}

/* Redis that answers, but has not read its file yet, is not there. */
static void a_redis_that_loads_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct seen number = {0}, reload = {0};
    redis_fixture_do(&f->redis, "DEBUG POPULATE 300 key 1000");
    redis_fixture_do(&f->redis, "CONFIG SET key-load-delay 1000");
    redis_fixture_do(&f->redis, "CONFIG SET loading-process-events-interval-bytes 1024");
    store_cmd(f->store, on_seen, &reload, "DEBUG RELOAD");
    redisContext *beside = redis_fixture_connect(&f->redis);
    bool is_loading = false;
    while (!is_loading) { /* PING is refused then */
        loop_turn(f->loop, false);
        redisReply *reply = redisCommand(beside, "PING");
        is_loading = reply->type == REDIS_REPLY_ERROR;
        freeReplyObject(reply);
    }
    redisFree(beside);
    struct store *late = open_store(f, 5000);
    store_cmd(late, on_seen, &number, "DBSIZE");
    turn_until(f, &number.times, 1);
    assert_int_equal(number.code, ERR_NONE);
    assert_int_equal(number.number, 300);
    turn_until(f, &reload.times, 1);
    store_free(late);
    redis_fixture_do(&f->redis, "CONFIG SET key-load-delay 0");
}

/* Away and back. */

struct changes {
    int ups, downs;
};

static void on_change(void *owner, bool up)
{
    struct changes *changes = owner;
    *(up ? &changes->ups : &changes->downs) += 1;
}

static void a_killed_redis_fails_what_was_sent_and_gets_what_waits(void **state)
{
    struct fixture *f = *state;
    struct changes one = {0}, two = {0};
    struct seen kept = {0}, sent = {0}, waiting = {0}, script = {0};
    store_on_change(f->store, on_change, &one);
    store_on_change(f->store, on_change, &two);
    add_start(f, 7, &kept);
    turn_until(f, &kept.times, 1);
    assert_int_equal(one.ups + two.ups, 2);

    kill(f->redis.pid, SIGSTOP);
    store_cmd(f->store, on_seen, &sent, "INCR x");
    loop_turn(f->loop, false);
    redis_fixture_kill(&f->redis);
    turn_until(f, &sent.times, 1);
    assert_int_equal(sent.code, ERR_TRANSIENT);
    assert_false(store_is_up(f->store));
    store_cmd(f->store, on_seen, &waiting, "GET sum1");
    add_start(f, 1, &script); /* the new one has never seen the script */
    loop_turn(f->loop, false);
    redis_fixture_restart(&f->redis);
    turn_until(f, &script.times, 1);
    assert_string_equal(waiting.text, "7");
    assert_int_equal(script.number, 8);
    assert_int_equal(one.ups, 2);
    assert_int_equal(one.downs, 1);
    assert_int_equal(two.downs, 1);
}

static void what_waits_too_long_says_what_for(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {0};
    fast_store(f, 300);
    redis_fixture_kill(&f->redis);
    while (store_is_up(f->store)) {
        loop_turn(f->loop, true);
    }
    store_cmd(f->store, on_seen, &seen, "PING");
    turn_until(f, &seen.times, 1);
    assert_int_equal(seen.code, ERR_TRANSIENT);
    assert_non_null(strstr(seen.text, "away"));
    assert_non_null(strstr(seen.text, f->redis.url));
}

static void what_waits_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct seen seen[4] = {0};
    struct store_call *calls[3];
    size_t len = (size_t)100 << 20;
    char *big = xcalloc(1, len + 1);
    memset(big, 'x', len);
    for (int i = 0; i < 3; i++) { /* not connected yet: 300 MB would wait */
        calls[i] = store_cmd(f->store, on_seen, &seen[i], "SET big%d %b", i, big, len);
    }
    assert_int_equal(seen[2].times, 0);
    store_cancel(calls[0]);
    store_cancel(calls[1]);
    turn_until(f, &seen[2].times, 1);
    assert_int_equal(seen[2].code, ERR_LIMIT);
    assert_int_equal(seen[0].times + seen[1].times, 0);
    struct store_args *args = store_args_new(); /* too much in one command */
    store_arg_b(args, big, len);
    store_arg_b(args, big, len);
    free(big);
    store_eval(f->store, &add, args, on_seen, &seen[3]);
    turn_until(f, &seen[3].times, 1);
    assert_int_equal(seen[3].code, ERR_LIMIT);
    struct seen after = {0}; /* and then there is room again */
    store_cmd(f->store, on_seen, &after, "ECHO %s", "room");
    turn_until(f, &after.times, 1);
    assert_string_equal(after.text, "room");
}

/* Redis that talks nonsense, and Redis with a password. */

static void nonsense_is_a_lost_connection(void **state)
{
    struct fixture *f = *state;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    assert_int_equal(listen(listener, 8), 0);
    getsockname(listener, (struct sockaddr *)&addr, &len);
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            if (write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28) < 0) {
                _exit(1);
            }
            close(fd);
        }
    }
    close(listener);
    char *url = xasprintf("redis://localhost:%d/3", ntohs(addr.sin_port));
    struct store_settings settings = {
        .url = url, .command_timeout_ms = 500, .shards = 1, .prefix = "rondo"};
    struct store *store = store_new(f->loop, &settings, NULL);
    struct seen seen = {0};
    store_cmd(store, on_seen, &seen, "PING");
    turn_until(f, &seen.times, 1);
    assert_int_equal(seen.code, ERR_TRANSIENT);
    assert_false(store_is_up(store));
    store_free(store);
    free(url);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void urls_are_read_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *port, *user, *password, *db, *shown; /* host NULL: refused */
    } rows[] = {
        {"redis://localhost", "localhost", "6379", NULL, NULL, NULL, "redis://localhost:6379"},
        {"redis://h:7000/5", "h", "7000", NULL, NULL, "5", "redis://h:7000/5"},
        {"redis://:p%40ss@h:1/0", "h", "1", NULL, "p@ss", "0", "redis://h:1/0"},
        {"redis://me:pw@h", "h", "6379", "me", "pw", NULL, "redis://h:6379"},
        {"redis://pw@h", "h", "6379", NULL, "pw", NULL, "redis://h:6379"},
        {"redis://[::1]:9/", "::1", "9", NULL, NULL, NULL, "redis://[::1]:9"},
        {"redis://h/x", .host = NULL},
        {"redis://h/1?x=y", .host = NULL},
        {"redis://h:0x", .host = NULL},
        {"rediss://h", .host = NULL},
        {"http://h", .host = NULL},
        {"unix:relative", .host = NULL},
        {"", .host = NULL},
        {"sentinel://h", .host = NULL},
        {"sentinel://h/", .host = NULL},
        {"sentinel:///m", .host = NULL},
        {"sentinel://h,/m", .host = NULL},
        {"sentinel://h:x/m", .host = NULL},
        {"sentinel://h/m/x", .host = NULL},
        {"sentinel://h/m?x=y", .host = NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_target t;
        struct err err = ERR_INIT;
        int r = store_target_parse(rows[i].url, &t, &err);
        if (rows[i].host == NULL) {
            if (r == 0 || err.code != ERR_INVALID) {
                fail_msg("%s was taken", rows[i].url);
            }
            continue;
        }
        if (r != 0 || !str_eq(t.host, rows[i].host) || !str_eq(t.port, rows[i].port) ||
            !str_eq(t.user, rows[i].user) || !str_eq(t.password, rows[i].password) ||
            !str_eq(t.db, rows[i].db) || !str_eq(t.shown, rows[i].shown)) {
            fail_msg("%s: %s", rows[i].url, r != 0 ? err.msg : t.shown);
        }
        store_target_done(&t);
    }
}

static void sentinels_are_read(void **state)
{
    (void)state;
    struct store_target t, master;
    struct err err = ERR_INIT;
    assert_int_equal(
        store_target_parse(
            "sentinel://me:p%40ss@one,two:7000,[::1]:7001,[::2]/the-master/3", &t, &err),
        0);
    static const char *const hosts[] = {"one", "two", "::1", "::2"};
    static const char *const ports[] = {"26379", "7000", "7001", "26379"};
    assert_int_equal(t.sentinel_count, 4);
    for (size_t i = 0; i < t.sentinel_count; i++) {
        assert_string_equal(t.sentinels[i].host, hosts[i]);
        assert_string_equal(t.sentinels[i].port, ports[i]);
        assert_null(t.sentinels[i].password);
        assert_true(t.sentinels[i].is_sentinel);
    }
    assert_null(t.host);
    assert_string_equal(t.master, "the-master");
    assert_string_equal(t.shown, "sentinel://one,two:7000,[::1]:7001,[::2]/the-master/3");
    store_target_master(&t, "10.0.0.7", "6380", &master);
    assert_string_equal(master.host, "10.0.0.7");
    assert_string_equal(master.port, "6380");
    assert_string_equal(master.user, "me");
    assert_string_equal(master.password, "p@ss");
    assert_string_equal(master.db, "3");
    assert_string_equal(master.shown, "redis://10.0.0.7:6380");
    assert_true(master.must_be_master);
    store_target_done(&master);
    store_target_done(&t);
}

static void a_password_is_given_and_a_wrong_one_waits(void **state)
{
    struct fixture *f = *state;
    /* A second Redis, over TCP this time. */
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
    getsockname(listener, (struct sockaddr *)&addr, &len);
    close(listener);
    char command[64];
    snprintf(command, sizeof command, "CONFIG SET port %d requirepass pw", ntohs(addr.sin_port));
    redis_fixture_do(&f->redis, command);

    struct seen good = {0}, bad = {0};
    char *good_url = xasprintf("redis://:pw@127.0.0.1:%d/2", ntohs(addr.sin_port));
    char *bad_url = xasprintf("redis://:no@127.0.0.1:%d/2", ntohs(addr.sin_port));
    struct store_settings settings = {
        .url = good_url, .command_timeout_ms = 30000, .shards = 1, .prefix = "rondo"};
    struct store *with = store_new(f->loop, &settings, NULL);
    settings.url = bad_url;
    settings.command_timeout_ms = 3000;
    struct store *without = store_new(f->loop, &settings, NULL);
    store_cmd(with, on_seen, &good, "CLIENT INFO");
    store_cmd(without, on_seen, &bad, "PING");
    turn_until(f, &good.times, 1);
    turn_until(f, &bad.times, 1);
    assert_int_equal(good.code, ERR_NONE);
    assert_non_null(strstr(good.text, " db=2 "));
    assert_int_equal(bad.code, ERR_TRANSIENT);
    assert_non_null(strstr(bad.text, "WRONGPASS"));
    assert_null(strstr(bad.text, ":no@"));
    store_free(with);
    store_free(without);
    free(good_url);
    free(bad_url);
    redis_fixture_kill(&f->redis); /* forgets the password */
}

/* Taking over. */

static void epochs_are_kept_per_shard(void **state)
{
    struct fixture *f = *state;
    static const char id[] = "17000000-0000-4000-8000-000000000001"; /* shard 7 of 16 */
    assert_int_equal(store_shard_epoch(f->store, 7), 0);
    store_set_epoch(f->store, 7, 12);
    store_set_epoch(f->store, 15, 13);
    assert_int_equal(store_shard_epoch(f->store, 7), 12);
    assert_int_equal(store_id_epoch(f->store, id), 12);
    assert_int_equal(store_shard_epoch(f->store, 15), 13);
    assert_int_equal(store_shard_epoch(f->store, 8), 0);
    store_set_epoch(f->store, 7, 0);
    assert_int_equal(store_id_epoch(f->store, id), 0);
}

static void names_follow_the_shard(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(store_shard_prefix(f->store, 10), "rondo:{0a}:");
    assert_string_equal(store_catalog_prefix(f->store), "rondo:{catalog}:");
    assert_string_equal(
        store_id_prefix(f->store, "f7000000-0000-4000-8000-000000000000"), "rondo:{07}:");
    assert_int_equal(store_shards(f->store), 16);
    struct err err = ERR_INIT;
    struct store_settings odd = {.url = f->redis.url, .shards = 12, .prefix = "rondo"};
    assert_null(store_new(f->loop, &odd, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void fields_of_a_hash_are_found(void **state)
{
    (void)state;
    redisReply cells[4] = {{.type = REDIS_REPLY_STRING, .str = (char[]){"state"}},
        {.type = REDIS_REPLY_STRING, .str = (char[]){"42"}},
        {.type = REDIS_REPLY_STRING, .str = (char[]){"odd"}}, {.type = REDIS_REPLY_NIL}};
    redisReply *list[] = {&cells[0], &cells[1], &cells[2], &cells[3]};
    redisReply hash = {.type = REDIS_REPLY_ARRAY, .elements = 4, .element = list};
    assert_string_equal(reply_field(&hash, "state"), "42");
    assert_null(reply_field(&hash, "odd"));
    assert_null(reply_field(&hash, "42"));
    assert_null(reply_field(&cells[0], "state"));
    assert_int_equal(reply_int(&cells[1], -1), 42);
    assert_int_equal(reply_int(&cells[0], -1), -1);
    assert_int_equal(reply_int(NULL, 5), 5);
    assert_null(reply_str(&cells[3]));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup(fn, new_store)
    const struct CMUnitTest tests[] = {
        TEST(answers_never_come_from_inside_the_start),
        TEST(argv_takes_binary),
        TEST(ten_thousand_at_once_keep_their_order),
        TEST(a_large_reply_arrives_whole),
        TEST(errors_get_their_codes),
        TEST(a_flushed_script_is_sent_again),
        TEST(keys_and_arguments_arrive_as_given),
        TEST(a_cancelled_call_is_silent),
        TEST(a_callback_may_cancel_the_next_and_itself),
        TEST(a_callback_may_free_the_store),
        TEST(a_sleeping_redis_ends_at_the_deadline),
        TEST(a_redis_that_hangs_for_long_is_given_up),
        TEST(a_redis_that_loads_is_waited_for),
        TEST(a_killed_redis_fails_what_was_sent_and_gets_what_waits),
        TEST(what_waits_too_long_says_what_for),
        TEST(what_waits_is_bounded),
        TEST(nonsense_is_a_lost_connection),
        TEST(urls_are_read_or_refused),
        TEST(sentinels_are_read),
        TEST(a_password_is_given_and_a_wrong_one_waits),
        TEST(epochs_are_kept_per_shard),
        TEST(names_follow_the_shard),
        TEST(fields_of_a_hash_are_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
