/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender against a private Redis and a receiver on the same loop: events in the stream become
 * signed requests, whatever dies in between.
 */
#include "tests/support/harness.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/http_client.h"
#include "base/id.h"
#include "base/json.h"
#include "webhooks/signature.h"
#include "webhooks/webhooks.h"

#define GOT_MAX 512
#define LIMIT_MS 60000

struct got {
    char id[64], type[64], body[512], run[64];
    char content_type[64], source[128]; /* source: of a CloudEvent in binary mode, or "" */
    bool is_signed;
};

struct bench {
    struct harness h;
    struct evhttp *server;
    int port;
    struct http_client *http;
    struct sender *sender;
    int status;   /* what the receiver answers */
    bool is_held; /* it does not answer yet */
    struct evhttp_request *held[GOT_MAX];
    struct got got[GOT_MAX];
    int count, held_count;
    /* the last API answer */
    int answered;
    json_t *record;
    struct err err;
    char sub[64];
    struct secret secret;
    int64_t event_number;
};

/* ---- the receiver ---- */

static void on_request(struct evhttp_request *req, void *owner)
{
    struct bench *b = owner;
    struct evkeyvalq *in = evhttp_request_get_input_headers(req);
    struct evbuffer *input = evhttp_request_get_input_buffer(req);
    assert_true(b->count < GOT_MAX);
    struct got *got = &b->got[b->count++];
    size_t len = evbuffer_get_length(input);
    assert_true(len < sizeof got->body);
    evbuffer_copyout(input, got->body, len);
    snprintf(got->id, sizeof got->id, "%s", evhttp_find_header(in, "webhook-id"));
    got->is_signed =
        signature_verify(&b->secret, got->id, evhttp_find_header(in, "webhook-timestamp"),
            evhttp_find_header(in, "webhook-signature"), got->body, len, clock_now_us() / US_PER_S,
            NULL) == 0;
    const char *source = evhttp_find_header(in, "ce-source");
    snprintf(got->source, sizeof got->source, "%s", source != NULL ? source : "");
    snprintf(
        got->content_type, sizeof got->content_type, "%s", evhttp_find_header(in, "content-type"));
    json_t *body = json_loads(got->body, 0, NULL);
    snprintf(got->type, sizeof got->type, "%s", jget_str(body, "type", "?"));
    snprintf(
        got->run, sizeof got->run, "%s", jget_str(json_object_get(body, "data"), "run_id", "?"));
    json_decref(body);
    if (b->is_held) {
        evhttp_request_own(req);
        b->held[b->held_count++] = req;
        return;
    }
    evhttp_send_reply(req, b->status, NULL, NULL);
}

static void release(struct bench *b)
{
    b->is_held = false;
    for (int i = 0; i < b->held_count; i++) {
        if (evhttp_request_get_connection(b->held[i]) != NULL) {
            evhttp_send_reply(b->held[i], b->status, NULL, NULL);
        }
    }
    b->held_count = 0;
}

static void open_receiver(struct bench *b)
{
    b->server = evhttp_new(loop_base(b->h.loop));
    evhttp_set_gencb(b->server, on_request, b);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(b->server, "127.0.0.1", 0);
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    assert_non_null(bound);
    assert_int_equal(
        getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len), 0);
    b->port = ntohs(addr.sin_port);
}

/* ---- the sender ---- */

static void on_started(void *owner, const struct err *err)
{
    struct bench *b = owner;
    b->answered = err == NULL ? 1 : -1;
}

static void start_sender(struct bench *b, int64_t timeout_ms)
{
    struct err err = ERR_INIT;
    struct sender_settings settings = {
        .loop = b->h.loop,
        .store = b->h.store,
        .http = b->http,
        .allow = "127.0.0.1",
        .public_url = "https://rondo.example",
        .namespace_ = "ml",
        .timeout_ms = timeout_ms,
        .max_in_flight = 64,
        .log_max = 100,
    };
    b->sender = sender_new(&settings, &err);
    assert_non_null(b->sender);
    b->answered = 0;
    for (unsigned i = 0; i < store_shards(b->h.store); i++) {
        sender_shard_start(b->sender, i);
    }
    sender_start(b->sender, on_started, b);
    harness_wait(&b->h, &b->answered);
    assert_int_equal(b->answered, 1);
}

static void on_record(void *owner, const json_t *record, const struct err *err)
{
    struct bench *b = owner;
    b->answered++;
    json_decref(b->record);
    b->record = record != NULL ? json_incref((json_t *)record) : NULL;
    err_clear(&b->err);
    if (err != NULL) {
        err_copy(&b->err, err);
    }
}

static void subscribe_as(struct bench *b, const char *events, const char *format)
{
    json_t *body = json_pack("{s:o,s:o,s:s}", "url",
        json_sprintf("http://127.0.0.1:%d/hook", b->port), "events",
        events != NULL ? json_pack("[s]", events) : json_pack("[s]", "*"), "format", format);
    b->answered = 0;
    subscription_create(b->sender, body, on_record, b);
    json_decref(body);
    harness_wait(&b->h, &b->answered);
    assert_int_equal(b->err.code, ERR_NONE);
    snprintf(b->sub, sizeof b->sub, "%s", jget_str(b->record, "id", ""));
    secret_done(&b->secret);
    assert_int_equal(
        signature_parse_secret(jget_str(b->record, "secret", ""), &b->secret, NULL), 0);
}

static void subscribe(struct bench *b, const char *events)
{
    subscribe_as(b, events, "standard");
}

static void setup_bench(struct bench *b)
{
    struct err err = ERR_INIT;
    *b = (struct bench){.status = 200};
    harness_init(&b->h);
    log_set(LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
    b->http = http_client_new(b->h.loop, &err);
    assert_non_null(b->http);
    open_receiver(b);
    start_sender(b, 5000);
    subscribe(b, NULL);
}

static void teardown_bench(struct bench *b)
{
    sender_free(b->sender);
    release(b);
    evhttp_free(b->server);
    http_client_free(b->http);
    json_decref(b->record);
    secret_done(&b->secret);
    harness_done(&b->h);
}

/* ---- what tests do ---- */

/* An event in the stream of shard 7, as the engine writes it. */
static void put_event(struct bench *b, const char *run, const char *type)
{
    struct id id;
    id_new(&id);
    CLEANUP(cleanup_free)
    char *event = xasprintf("{\"id\":\"%s\",\"type\":\"%s\",\"time_us\":%lld,\"data\":{"
                            "\"run_id\":\"%s\",\"n\":%lld}}",
        id.text, type, (long long)clock_now_us(), run, (long long)b->event_number++);
    redisContext *c = redis_fixture_connect(&b->h.redis); /* ours may be waiting to reconnect */
    redisReply *reply = redisCommand(c, "XADD rondo:{07}:events * e %s", event);
    assert_true(reply != NULL && reply->type == REDIS_REPLY_STRING);
    freeReplyObject(reply);
    redisFree(c);
    sender_wake(b->sender, 7);
}

static void wait_count(struct bench *b, int count)
{
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS;
    while (b->count < count) {
        if (clock_mono_us() > limit) {
            fail_msg("%d of %d requests came", b->count, count);
        }
        loop_turn(b->h.loop, true);
    }
}

/* Nothing is stored any more that waits to be sent, but what is parked of so many subscriptions. */
static void wait_quiet_but_for(struct bench *b, int64_t parked)
{
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS;
    while (harness_cmd(&b->h, "ZCARD rondo:{07}:deliveries") > 0 ||
           harness_cmd(&b->h, "SCARD rondo:{07}:parked") != parked ||
           harness_cmd(&b->h, "SCARD rondo:{07}:sending") > 0) {
        if (clock_mono_us() > limit) {
            fail_msg("deliveries are left");
        }
        loop_turn(b->h.loop, true);
    }
}

static void wait_quiet(struct bench *b)
{
    wait_quiet_but_for(b, 0);
}

/* The window of the endpoint grows to all that the subscription may have under way. */
static void warm_up(struct bench *b)
{
    for (int i = 0; i < 20; i++) {
        CLEANUP(cleanup_free) char *run = xasprintf("warm-%d", i);
        put_event(b, run, "run.started");
    }
    wait_count(b, 20);
    wait_quiet(b);
    b->count = 0;
}

static int times(const struct bench *b, const char *id)
{
    int n = 0;
    for (int i = 0; i < b->count; i++) {
        n += strcmp(b->got[i].id, id) == 0;
    }
    return n;
}

static void test_in_order_and_signed(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    static const char *const types[] = {
        "run.started", "task.started", "task.finished", "artifact.created", "run.finished"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        put_event(&b, "r1", types[i]);
    }
    wait_count(&b, ARRAY_LEN(types));
    wait_quiet(&b);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        assert_string_equal(b.got[i].type, types[i]);
        assert_true(b.got[i].is_signed);
        assert_int_equal(times(&b, b.got[i].id), 1);
    }
    teardown_bench(&b);
}

/* Each in its format, and what the sender knows of this installation is in all of them. */
static void test_formats_side_by_side(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    subscribe_as(&b, NULL, "cloudevents-binary");
    put_event(&b, "r1", "run.started");
    wait_count(&b, 2);
    wait_quiet(&b);
    const struct got *standard = &b.got[b.got[0].source[0] != '\0'], *binary = &b.got[0];
    binary += standard == binary;
    assert_string_equal(standard->type, "run.started");
    assert_string_equal(standard->source, "");
    assert_string_equal(standard->content_type, "application/json");
    assert_non_null(strstr(standard->body, "\"namespace\":\"ml\""));
    assert_string_equal(binary->source, "https://rondo.example/apis/v2beta1/runs/r1");
    assert_string_equal(binary->content_type, "application/json");
    assert_string_equal(binary->body, "{\"n\":0,\"namespace\":\"ml\",\"run_id\":\"r1\"}");
    assert_true(binary->is_signed); /* the last secret is the one that the bench knows */
    teardown_bench(&b);
}

static void test_a_failing_event_does_not_hold_up_the_next(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    b.status = 500;
    put_event(&b, "r1", "run.started");
    wait_count(&b, 1);
    b.status = 200;
    put_event(&b, "r1", "run.finished");
    wait_count(&b, 2);
    assert_string_equal(b.got[1].type, "run.finished");
    harness_move_clock(&b.h, 7 * US_PER_S);
    wait_count(&b, 3);
    wait_quiet(&b);
    assert_string_equal(b.got[2].id, b.got[0].id);
    assert_string_equal(b.got[2].body, b.got[0].body);
    assert_true(b.got[2].is_signed);
    teardown_bench(&b);
}

static void test_places_of_one_subscription(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    warm_up(&b);
    b.is_held = true;
    for (int i = 0; i < 60; i++) {
        CLEANUP(cleanup_free) char *run = xasprintf("r%d", i);
        put_event(&b, run, "run.started");
    }
    wait_count(&b, 16);
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.count, 16);
    struct sender_counts counts;
    sender_counts(b.sender, &counts);
    assert_int_equal(counts.pending, 60);
    release(&b);
    wait_count(&b, 60);
    wait_quiet(&b);
    for (int i = 0; i < b.count; i++) {
        assert_int_equal(times(&b, b.got[i].id), 1);
    }
    sender_counts(b.sender, &counts);
    assert_int_equal(counts.delivered, 80);
    teardown_bench(&b);
}

static void change(struct bench *b,
    void (*fn)(struct sender *, const char *, const json_t *, webhook_json_fn *, void *))
{
    json_t *body = json_object();
    b->answered = 0;
    fn(b->sender, b->sub, body, on_record, b);
    json_decref(body);
    harness_wait(&b->h, &b->answered);
    assert_int_equal(b->err.code, ERR_NONE);
}

static void wait_number(struct bench *b, int64_t number, const char *command)
{
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS, is;
    while ((is = harness_cmd(&b->h, command, b->sub)) != number) {
        if (clock_mono_us() > limit) {
            fail_msg("%s: %lld, not %lld", command, (long long)is, (long long)number);
        }
        loop_turn(b->h.loop, true);
    }
}

/* What was at hand goes back and takes no memory; with the next change all of it is sent. */
static void test_switched_off_and_on(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    warm_up(&b);
    b.is_held = true;
    for (int i = 0; i < 60; i++) {
        CLEANUP(cleanup_free)
        char *run = xasprintf("r%d", i % 9); /* some behind others of theirs */
        put_event(&b, run, "run.started");
    }
    wait_count(&b, 9);
    change(&b, subscription_disable);
    release(&b);
    wait_number(&b, 0, "SCARD rondo:{07}:sending");
    wait_number(&b, 51, "ZCARD rondo:{07}:subscription:%s:parked");
    assert_int_equal(b.count, 9);
    change(&b, subscription_enable);
    wait_count(&b, 60);
    wait_quiet(&b);
    for (int i = 0; i < b.count; i++) {
        assert_int_equal(times(&b, b.got[i].id), 1);
    }
    teardown_bench(&b);
}

static void test_successor_sends_at_once_what_was_under_way(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    b.is_held = true;
    put_event(&b, "r1", "run.started");
    put_event(&b, "r1", "run.finished");
    wait_count(&b, 1);
    sender_free(b.sender);
    release(&b);
    harness_take_over(&b.h);
    start_sender(&b, 5000);
    wait_count(&b, 3);
    wait_quiet(&b);
    assert_string_equal(b.got[1].id, b.got[0].id);
    assert_string_equal(b.got[1].body, b.got[0].body);
    assert_string_equal(b.got[2].type, "run.finished");
    teardown_bench(&b);
}

static void test_redis_away_while_a_request_is_under_way(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    b.is_held = true;
    put_event(&b, "r1", "run.started");
    wait_count(&b, 1);
    harness_stop_redis(&b.h);
    release(&b);
    harness_pass_ms(&b.h, 200);
    /* The lease ends meanwhile; it is ours still, and is not sent a second time. */
    harness_move_clock(&b.h, 3600 * US_PER_S);
    harness_start_redis(&b.h);
    wait_quiet(&b);
    assert_int_equal(b.count, 1);
    teardown_bench(&b);
}

static void test_redis_dies_at_any_moment(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    for (int i = 0; i < 60; i++) {
        CLEANUP(cleanup_free) char *run = xasprintf("r%d", i % 7);
        put_event(&b, run, "task.finished");
        if (i % 12 == 11) {
            for (int turn = 0; turn < i / 4; turn++) {
                loop_turn(b.h.loop, true);
            }
            harness_restart_redis(&b.h);
        }
    }
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS;
    int64_t number = 0;
    bool seen[60] = {false};
    int distinct = 0;
    for (int i = 0; distinct < 60 && clock_mono_us() < limit;) {
        for (; i < b.count; i++) {
            json_t *body = json_loads(b.got[i].body, 0, NULL);
            number = jget_i64(json_object_get(body, "data"), "n", -1);
            json_decref(body);
            assert_in_range(number, 0, 59);
            distinct += !seen[number];
            seen[number] = true;
        }
        loop_turn(b.h.loop, true);
    }
    assert_int_equal(distinct, 60);
    harness_move_clock(&b.h, 60 * US_PER_S); /* a claim whose answer was lost */
    wait_quiet(&b);
    teardown_bench(&b);
}

static void test_fenced(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    harness_cmd(&b.h, "SET rondo:{07}:epoch 999");
    put_event(&b, "r1", "run.started");
    harness_pass_ms(&b.h, 100);
    assert_int_equal(b.count, 0);
    assert_int_equal(harness_cmd(&b.h, "EXISTS rondo:{07}:events_cursor"), 0);
    assert_int_equal(harness_cmd(&b.h, "EXISTS rondo:{07}:deliveries"), 0);
    teardown_bench(&b);
}

static void test_deleted_under_way(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    warm_up(&b);
    b.is_held = true;
    for (int i = 0; i < 30; i++) {
        CLEANUP(cleanup_free) char *run = xasprintf("r%d", i);
        put_event(&b, run, "run.started");
    }
    wait_count(&b, 16);
    b.answered = 0;
    subscription_delete(b.sender, b.sub, on_record, &b);
    harness_wait(&b.h, &b.answered);
    assert_int_equal(b.err.code, ERR_NONE);
    b.status = 500;
    release(&b);
    wait_quiet(&b);
    harness_move_clock(&b.h, 3600 * US_PER_S);
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.count, 16);
    assert_int_equal(harness_cmd(&b.h, "KEYS rondo:{07}:delivery:*"), 0);
    assert_int_equal(harness_cmd(&b.h, "KEYS rondo:{07}:subscription:*"), 0);
    teardown_bench(&b);
}

static void test_gone_stays_gone_and_deleted_stays_deleted(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    b.is_held = true;
    put_event(&b, "r1", "run.started");
    wait_count(&b, 1);
    b.status = 410;
    release(&b);
    wait_quiet(&b);
    b.answered = 0;
    subscription_get(b.sender, b.sub, on_record, &b);
    harness_wait(&b.h, &b.answered);
    assert_false(json_is_true(json_object_get(b.record, "enabled")));
    put_event(&b, "r2", "run.started");
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.count, 1);
    teardown_bench(&b);
}

/* What has been sent is known in Redis. */
static void wait_recorded(struct bench *b)
{
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS;
    while (harness_cmd(&b->h, "SCARD rondo:{07}:sending") > 0) {
        if (clock_mono_us() > limit) {
            fail_msg("deliveries are being sent");
        }
        loop_turn(b->h.loop, true);
    }
}

/* Six deliveries of six runs, of which five fail: the breaker is open. */
static void open_breaker(struct bench *b)
{
    struct sender_counts counts = {0};
    b->status = 500;
    for (int i = 0; i < 6; i++) {
        CLEANUP(cleanup_free) char *run = xasprintf("r%d", i);
        put_event(b, run, "run.started");
    }
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS;
    while (counts.open == 0) {
        assert_true(clock_mono_us() < limit);
        loop_turn(b->h.loop, true);
        sender_counts(b->sender, &counts);
    }
    /* Past the first wait of those that were not parked with the rest; before the first probe. */
    harness_move_clock(&b->h, 10 * US_PER_S);
    while (harness_cmd(&b->h, "ZCARD rondo:{07}:subscription:%s:parked", b->sub) < 6) {
        assert_true(clock_mono_us() < limit);
        loop_turn(b->h.loop, true);
    }
    assert_int_equal(b->count, 5);
}

/* It answers again, but likes no message: each walks its own schedule, and nobody is asked again
 * and again without a pause. */
static void test_a_probe_that_is_refused_ends_the_outage(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    open_breaker(&b);
    b.status = 400;
    harness_move_clock(&b.h, 60 * US_PER_S);
    wait_count(&b, 11);
    struct sender_counts counts;
    do {
        loop_turn(b.h.loop, true);
        sender_counts(b.sender, &counts);
    } while (counts.open != 0);
    harness_pass_ms(&b.h, 200);
    assert_int_equal(b.count, 11);
    sender_counts(b.sender, &counts);
    assert_int_equal(counts.open, 0);
    assert_int_equal(counts.pending, 6);
    teardown_bench(&b);
}

/* What is sent again has its whole schedule once more, also as a probe. */
static void test_a_probe_with_an_old_delivery_that_is_sent_again(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    open_breaker(&b);
    harness_move_clock(&b.h, INT64_C(4) * 86400 * US_PER_S);
    for (int i = 1; i <= 6; i++) {
        wait_count(&b, 5 + i);
        wait_recorded(&b);
        harness_move_clock(&b.h, 800 * US_PER_S);
    }
    wait_quiet(&b);
    CLEANUP(json_decrefp) json_t *body = json_object();
    b.answered = 0;
    subscription_redeliver(b.sender, b.sub, body, on_record, &b);
    harness_wait(&b.h, &b.answered);
    assert_int_equal(jget_i64(b.record, "redelivered", 0), 6);
    wait_count(&b, 12);
    wait_recorded(&b);
    struct sender_counts counts;
    sender_counts(b.sender, &counts);
    assert_int_equal(counts.pending, 6);
    teardown_bench(&b);
}

static void wait_idle(struct bench *b)
{
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS;
    while (!sender_shard_is_idle(b->sender, 7)) {
        if (clock_mono_us() > limit) {
            fail_msg("deliveries are kept in memory");
        }
        loop_turn(b->h.loop, true);
    }
}

/* What waited for its turn goes back: it would hold places for as long as nobody switches it on. */
static void test_disabled_holds_no_places(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    b.is_held = true;
    for (int i = 0; i < 6; i++) {
        CLEANUP(cleanup_free) char *run = xasprintf("r%d", i);
        put_event(&b, run, "run.started");
    }
    wait_count(&b, 1);
    CLEANUP(json_decrefp) json_t *body = json_object();
    b.answered = 0;
    subscription_disable(b.sender, b.sub, body, on_record, &b);
    harness_wait(&b.h, &b.answered);
    assert_int_equal(b.err.code, ERR_NONE);
    release(&b);
    wait_idle(&b);
    assert_int_equal(b.count, 1);
    b.answered = 0;
    subscription_enable(b.sender, b.sub, body, on_record, &b);
    harness_wait(&b.h, &b.answered);
    wait_count(&b, 6);
    wait_quiet(&b);
    assert_int_equal(b.count, 6);
    teardown_bench(&b);
}

/* Whoever takes a shard over may not have heard yet of a subscription that another daemon made. */
static void test_taken_over_with_a_subscription_that_is_new_to_us(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    struct sender *first = b.sender;
    for (unsigned i = 0; i < store_shards(b.h.store); i++) {
        sender_shard_stop(first, i);
    }
    start_sender(&b, 5000);
    subscribe(&b, "run.started");
    b.is_held = true;
    put_event(&b, "r1", "run.started");
    wait_count(&b, 2);
    sender_free(b.sender);
    release(&b);
    b.sender = first;
    harness_take_over(&b.h);
    sender_shard_start(first, 7);
    wait_count(&b, 4);
    wait_quiet(&b);
    assert_int_equal(times(&b, b.got[0].id), 2);
    assert_int_equal(times(&b, b.got[1].id), 2);
    teardown_bench(&b);
}

/* What waits for a subscription that is there and cannot be read is not ours to drop. */
static void test_taken_over_with_a_subscription_of_another_key(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    struct sender *first = b.sender;
    for (unsigned i = 0; i < store_shards(b.h.store); i++) {
        sender_shard_stop(first, i);
    }
    start_sender(&b, 5000);
    subscribe(&b, "run.started");
    b.is_held = true;
    put_event(&b, "r1", "run.started");
    wait_count(&b, 2);
    sender_free(b.sender);
    release(&b);
    harness_cmd(&b.h, "HGET rondo:{catalog}:subscriptions %s", b.sub);
    CLEANUP(cleanup_free) char *readable = xstrdup(b.h.text);
    harness_cmd(&b.h, "HSET rondo:{catalog}:subscriptions %s {}", b.sub);
    b.sender = first;
    harness_take_over(&b.h);
    sender_shard_start(first, 7);
    wait_count(&b, 3);
    wait_quiet_but_for(&b, 1);
    harness_cmd(&b.h, "HSET rondo:{catalog}:subscriptions %s %s", b.sub, readable);
    sender_free(b.sender);
    harness_take_over(&b.h);
    start_sender(&b, 5000);
    wait_count(&b, 4);
    wait_quiet(&b);
    assert_int_equal(times(&b, b.got[0].id), 2);
    assert_int_equal(times(&b, b.got[1].id), 2);
    teardown_bench(&b);
}

/* The shard goes before Redis knows that its result switched the subscription off. */
static void test_disabled_by_a_result_that_is_lost(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    b.is_held = true;
    put_event(&b, "r1", "run.started");
    wait_count(&b, 1);
    harness_stop_redis(&b.h);
    b.status = 410;
    release(&b);
    struct sender_counts counts;
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS;
    do {
        assert_true(clock_mono_us() < limit);
        loop_turn(b.h.loop, true);
        sender_counts(b.sender, &counts);
    } while (counts.disabled == 0);
    sender_shard_stop(b.sender, 7);
    harness_start_redis(&b.h);
    b.status = 200;
    harness_take_over(&b.h);
    sender_shard_start(b.sender, 7);
    harness_pass_ms(&b.h, 100);
    CLEANUP(json_decrefp) json_t *body = json_object();
    b.answered = 0;
    subscription_enable(b.sender, b.sub, body, on_record, &b);
    harness_wait(&b.h, &b.answered);
    put_event(&b, "r2", "run.started");
    wait_count(&b, 3);
    wait_quiet(&b);
    teardown_bench(&b);
}

static void test_ping_where_no_shard_is_ours(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    for (unsigned i = 0; i < store_shards(b.h.store); i++) {
        sender_shard_stop(b.sender, i);
    }
    b.answered = 0;
    subscription_ping(b.sender, b.sub, -1, on_record, &b);
    harness_wait(&b.h, &b.answered);
    assert_int_equal(b.err.code, ERR_TRANSIENT);
    sender_shard_start(b.sender, 7);
    b.answered = 0;
    subscription_ping(b.sender, b.sub, -1, on_record, &b);
    harness_wait(&b.h, &b.answered);
    assert_int_equal(b.err.code, ERR_NONE);
    assert_string_equal(jget_str(b.record, "state", ""), "DELIVERED");
    assert_string_equal(jget_str(b.record, "delivery_id", ""), b.got[0].id);
    assert_true(b.got[0].is_signed);
    teardown_bench(&b);
}

static void test_freed_with_requests_under_way(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    json_t *good = json_pack("{s:s}", "url", "https://example.com/");
    json_t *bad = json_pack("{s:s}", "url", "nonsense");
    json_t *nothing = json_object();
    b.answered = 0;
    subscription_create(b.sender, good, on_record, &b);
    subscription_create(b.sender, bad, on_record, &b);
    subscription_get(b.sender, b.sub, on_record, &b);
    subscription_get(b.sender, "nobody", on_record, &b);
    subscription_all(b.sender, 10, "", on_record, &b);
    subscription_patch(b.sender, b.sub, good, on_record, &b);
    subscription_ping(b.sender, b.sub, -1, on_record, &b);
    delivery_list(
        b.sender, &(struct delivery_query){.subscription_id = b.sub, .max = 10}, on_record, &b);
    delivery_get(b.sender, b.sub, on_record, &b);
    delivery_redeliver(b.sender, b.sub, nothing, on_record, &b);
    subscription_redeliver(b.sender, b.sub, nothing, on_record, &b);
    subscription_delete(b.sender, b.sub, on_record, &b);
    sender_free(STEAL(b.sender));
    harness_pass_ms(&b.h, 50);
    assert_int_equal(b.answered, 0);
    json_decref(good);
    json_decref(bad);
    json_decref(nothing);
    teardown_bench(&b);
}

/* One entry of the stream with more events than one script makes deliveries of: each is made once,
 * and the cursor moves with the last. */
static void test_many_events_in_one_entry(void **state)
{
    (void)state;
    enum { EVENTS = 6000 };
    struct bench b;
    setup_bench(&b);
    b.is_held = true;
    const char **argv = xcalloc(3 + 2 * EVENTS, sizeof *argv);
    char **texts = xcalloc(EVENTS, sizeof *texts);
    argv[0] = "XADD";
    argv[1] = "rondo:{07}:events";
    argv[2] = "*";
    for (int i = 0; i < EVENTS; i++) {
        struct id id;
        id_new(&id);
        texts[i] = xasprintf(
            "{\"id\":\"%s\",\"type\":\"run.started\",\"time_us\":%d,\"data\":{}}", id.text, i + 1);
        argv[3 + 2 * i] = "e";
        argv[4 + 2 * i] = texts[i];
    }
    redisContext *c = redis_fixture_connect(&b.h.redis);
    redisReply *reply = redisCommandArgv(c, 3 + 2 * EVENTS, argv, NULL);
    assert_true(reply != NULL && reply->type == REDIS_REPLY_STRING);
    CLEANUP(cleanup_free) char *entry = xstrdup(reply->str);
    freeReplyObject(reply);
    redisFree(c);
    sender_wake(b.sender, 7);
    wait_count(&b, 1); /* of the first part; the second is under way */
    int64_t limit = clock_mono_us() + LIMIT_MS * US_PER_MS;
    do {
        assert_true(clock_mono_us() < limit);
        loop_turn(b.h.loop, true);
        harness_cmd(&b.h, "GET rondo:{07}:events_cursor");
    } while (b.h.text == NULL || strcmp(b.h.text, entry) != 0);
    assert_int_equal(harness_cmd(&b.h, "ZCARD rondo:{07}:subscription:%s:pending", b.sub), EVENTS);
    assert_int_equal(harness_cmd(&b.h, "HGET rondo:{07}:deliveries_stats count"), EVENTS);
    b.status = 410; /* no more, please */
    release(&b);
    struct sender_counts counts;
    do {
        assert_true(clock_mono_us() < limit);
        loop_turn(b.h.loop, true);
        sender_counts(b.sender, &counts);
    } while (counts.disabled == 0);
    for (int i = 0; i < EVENTS; i++) {
        free(texts[i]);
    }
    free(texts);
    free(argv);
    teardown_bench(&b);
}

static void test_unreadable_events_are_passed_over(void **state)
{
    (void)state;
    struct bench b;
    setup_bench(&b);
    static const char *const texts[] = {"", "{", "[]", "7", "{\"type\":\"x\"}",
        "{\"id\":\"x\",\"type\":\"run.started\"}", "{\"id\":7,\"type\":[]}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        harness_cmd(&b.h, "XADD rondo:{07}:events * e %s", texts[i]);
        harness_cmd(&b.h, "XADD rondo:{07}:events * other %s", texts[i]);
    }
    put_event(&b, "r1", "run.started");
    wait_count(&b, 1);
    wait_quiet(&b);
    assert_string_equal(b.got[0].type, "run.started");
    teardown_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_and_signed),
        cmocka_unit_test(test_formats_side_by_side),
        cmocka_unit_test(test_a_failing_event_does_not_hold_up_the_next),
        cmocka_unit_test(test_places_of_one_subscription),
        cmocka_unit_test(test_switched_off_and_on),
        cmocka_unit_test(test_successor_sends_at_once_what_was_under_way),
        cmocka_unit_test(test_redis_away_while_a_request_is_under_way),
        cmocka_unit_test(test_redis_dies_at_any_moment),
        cmocka_unit_test(test_fenced),
        cmocka_unit_test(test_deleted_under_way),
        cmocka_unit_test(test_gone_stays_gone_and_deleted_stays_deleted),
        cmocka_unit_test(test_a_probe_that_is_refused_ends_the_outage),
        cmocka_unit_test(test_a_probe_with_an_old_delivery_that_is_sent_again),
        cmocka_unit_test(test_disabled_holds_no_places),
        cmocka_unit_test(test_taken_over_with_a_subscription_that_is_new_to_us),
        cmocka_unit_test(test_taken_over_with_a_subscription_of_another_key),
        cmocka_unit_test(test_disabled_by_a_result_that_is_lost),
        cmocka_unit_test(test_ping_where_no_shard_is_ours),
        cmocka_unit_test(test_freed_with_requests_under_way),
        cmocka_unit_test(test_many_events_in_one_entry),
        cmocka_unit_test(test_unreadable_events_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
