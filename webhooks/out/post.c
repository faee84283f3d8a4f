/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt at one delivery: sign, POST, judge the answer. What answers mean is in retry.c, what
 * they say about the endpoint in endpoint.c; results.c writes it down.
 */
#include "webhooks/out/post.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/attempt.h"
#include "webhooks/egress.h"
#include "webhooks/out/news.h"

#define OUR_HEADERS 7
#define PHASE_TIMEOUT_MS 5000 /* each of: name, TCP, TLS */
#define ANSWER_MAX (16 * 1024)
#define RETRY_AFTER_MAX_MS (INT64_C(24) * 3600 * 1000)
#define STALL_MS 1000
#define HEALTH_SAVE_MS 2000

void post_list_add(struct post_list *list, struct post *post)
{
    post->prev = list->last;
    post->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = post;
    list->last = post;
}

void post_list_remove(struct post_list *list, struct post *post)
{
    *(post->prev != NULL ? &post->prev->next : &list->first) = post->next;
    *(post->next != NULL ? &post->next->prev : &list->last) = post->prev;
    post->prev = post->next = NULL;
}

static struct sender *sender_of(const struct post *post)
{
    return post->outbox->sender;
}

static const struct subscription *subscription_of(const struct post *post)
{
    return map_get(sender_of(post)->subscriptions, post->channel->id);
}

/* ---- from one state to the next ---- */

static void stop_sending(struct post *post)
{
    struct sender *s = sender_of(post);
    post_list_remove(post->is_stalled ? &s->stalled_posts : &s->sending, post);
    *(post->is_stalled ? &s->stalled : &s->in_flight) -= 1;
}

static void leave_state(struct post *post)
{
    switch (post->state) {
    case POST_STATE_WAITING:
        break;
    case POST_STATE_READY:
        post_list_remove(&post->channel->ready, post);
        break;
    case POST_STATE_SENDING:
        stop_sending(post);
        break;
    case POST_STATE_ENDED:
        return;
    }
    post->channel->endpoint.held--;
}

void post_free(struct post *post)
{
    struct sender *s = sender_of(post);
    struct channel *c = post->channel;
    if (c != NULL) {
        if (post->state == POST_STATE_SENDING) {
            endpoint_undecided(&c->endpoint, clock_now_us(), post->is_probe);
        }
        leave_state(post);
        channel_leave_line(c, post, false);
        channel_forget(c);
    }
    map_take(s->posts, post->delivery);
    post->outbox->posts--;
    http_call_cancel(post->call);
    free(post->delivery);
    free(post->event);
    free(post->type);
    free(post->run);
    free(post->sequence);
    free(post->body);
    free(post->url);
    free(post->host);
    free(post->content_type);
    json_decref(post->headers);
    free(post->attempt);
    free(post);
}

/* Its outcome is known. */
static void post_end(struct post *post)
{
    struct channel *c = post->channel;
    leave_state(post);
    post->state = POST_STATE_ENDED;
    channel_leave_line(c, post, true);
    outbox_record(post->outbox, post);
    channel_update(c);
}

void post_give_back(struct post *post)
{
    post->outcome = subscription_of(post) != NULL ? "PARKED" : "GONE";
    post->next_us = post->due_us;
    post_end(post);
}

void post_cancel_all(struct sender *s, const struct outbox *of)
{
    struct map_iter it = {0};
    void *value;
    while (map_next(s->posts, &it, NULL, &value)) {
        struct post *post = value;
        if (of == NULL || post->outbox == of) {
            if (post->state == POST_STATE_ENDED) {
                struct outbox *o = post->outbox;
                post_list_remove(post->is_saving ? &o->saving : &o->results, post);
            }
            post_free(post);
        }
    }
}

/* ---- places ---- */

static void arm_stall(struct sender *s)
{
    if (s->sending.first != NULL && !timer_is_armed(&s->stall_timer)) {
        int64_t since_us = clock_mono_us() - s->sending.first->begun_mono_us;
        int64_t left_ms = STALL_MS - since_us / US_PER_MS;
        timer_start_ms(&s->stall_timer, left_ms < 1 ? 1 : left_ms);
    }
}

void post_on_stall(void *owner)
{
    struct sender *s = owner;
    int64_t before_us = clock_mono_us() - STALL_MS * US_PER_MS;
    while (s->sending.first != NULL && s->sending.first->begun_mono_us <= before_us) {
        struct post *post = s->sending.first;
        stop_sending(post);
        post->is_stalled = true;
        s->stalled++;
        post_list_add(&s->stalled_posts, post);
    }
    arm_stall(s);
    loop_defer(s->set.loop, &s->dispatch, channels_dispatch, s);
}

/* ---- the outcome ---- */

static void save_health_soon(struct channel *c)
{
    struct sender *s = c->sender;
    c->is_unsaved = true;
    if (!timer_is_armed(&s->health_timer)) {
        timer_start_ms(&s->health_timer, HEALTH_SAVE_MS);
    }
}

/* since_us: it was not sent to since then. */
static void tell_recovered(struct post *post, int64_t since_us)
{
    struct channel *c = post->channel;
    if (subscription_of(post) != NULL) {
        LOG_INFO("webhook receiver is back", "subscription=%s", c->id);
        news_recovered(post->outbox, subscription_of(post), since_us);
    }
    c->is_unsaved = true;
    channels_save_health(c->sender);
}

static void succeed(struct post *post, int64_t now_us)
{
    struct sender *s = sender_of(post);
    struct channel *c = post->channel;
    bool was_failing = c->endpoint.breaker.failures > 0;
    int64_t since_us = c->endpoint.breaker.since_us;
    post->outcome = "DELIVERED";
    s->counts.delivered++;
    sender_count_lateness(s, now_us - post->created_us);
    LOG_DEBUG("webhook delivered", "delivery=%s subscription=%s type=%s status=%d ms=%lld",
        post->delivery, c->id, post->type, post->status, (long long)post->duration_ms);
    if (endpoint_succeeded(&c->endpoint, now_us) == ENDPOINT_CLOSED) {
        tell_recovered(post, since_us);
    } else if (was_failing) {
        save_health_soon(c);
    }
}

static void give_up(struct post *post)
{
    post->outcome = "FAILED";
    sender_of(post)->counts.dead++;
    LOG_WARN("webhook given up", "delivery=%s subscription=%s attempts=%lld error=%s",
        post->delivery, post->channel->id, (long long)post->made + 1, LOG_Q(post->error));
    news_exhausted(post);
}

/* When it is tried again, if it is. */
static void plan(struct post *post, enum retry_lane lane, int64_t at_least_ms, int64_t now_us)
{
    const struct sender *s = sender_of(post);
    const struct channel *c = post->channel;
    int64_t total_ms = retry_schedule_total_ms(&s->schedule), wait_ms = 0;
    if (strcmp(post->type, SUBSCRIPTION_PING) == 0) {
        give_up(post); /* whoever sent it wants to know now, not in three days */
        return;
    }
    bool is_shut = c->endpoint.breaker.state != BREAKER_CLOSED;
    if (post->is_probe && is_shut) {
        /* It was tried for the sake of all: that uses up nothing of its own, and another one has
         * its turn next time. */
        if (now_us - post->asked_us > total_ms * US_PER_MS) {
            give_up(post);
            return;
        }
    } else {
        wait_ms = retry_next_ms(&s->schedule, lane, &post->step);
        if (wait_ms < 0) {
            give_up(post);
            return;
        }
    }
    wait_ms = wait_ms < at_least_ms ? at_least_ms : wait_ms;
    post->outcome = is_shut ? "PARKED" : "PENDING";
    post->next_us = is_shut && !post->is_probe ? post->created_us : now_us + wait_ms * US_PER_MS;
    LOG_INFO("webhook failed, will be tried again",
        "delivery=%s subscription=%s attempt=%lld in_ms=%lld error=%s", post->delivery, c->id,
        (long long)post->made + 1, (long long)wait_ms, LOG_Q(post->error));
}

/* Tell the endpoint, and do what follows from it. */
static void blame(struct post *post, int64_t now_us, int64_t pause_ms)
{
    struct sender *s = sender_of(post);
    struct channel *c = post->channel;
    struct endpoint *e = &c->endpoint;
    bool was_open = e->breaker.state != BREAKER_CLOSED;
    enum endpoint_change change = endpoint_failed(
        e, now_us, endpoint_hash(post->delivery), post->is_probe, pause_ms, post->error);
    save_health_soon(c);
    if (change == ENDPOINT_OPENED) {
        channels_save_health(s);
        if (!was_open) {
            s->counts.opened++;
            LOG_WARN("webhook receiver is not sent to for a while",
                "subscription=%s failures=%lld error=%s", c->id, (long long)e->breaker.failures,
                LOG_Q(post->error));
        }
        channel_shut(c);
    }
    struct subscription *sub = map_get(s->subscriptions, c->id);
    int64_t since_us = e->breaker.failing_since_us;
    if (sub != NULL && sub->is_enabled && s->set.disable_after_ms > 0 && since_us > 0 &&
        now_us - since_us >= s->set.disable_after_ms * US_PER_MS) {
        CLEANUP(cleanup_free)
        char *why = xasprintf("every attempt of the last %lld hours has failed; the last: %s",
            (long long)((now_us - since_us) / US_PER_S / 3600), post->error);
        sender_disable(post->outbox, sub, post->url, why);
    }
}

static void fail(struct post *post, struct retry_class class, int64_t now_us, int64_t after_ms)
{
    struct sender *s = sender_of(post);
    struct endpoint *e = &post->channel->endpoint;
    s->counts.failed_attempts++;
    if (class.lane == RETRY_LANE_GONE) {
        struct subscription *sub = map_get(s->subscriptions, post->channel->id);
        endpoint_undecided(e, now_us, post->is_probe);
        post->outcome = "FAILED";
        s->counts.dead++;
        if (sub != NULL) {
            sender_disable(post->outbox, sub, post->url, "the receiver answered 410 Gone");
        }
        return;
    }
    if (class.is_endpoint) {
        blame(post, now_us, class.is_throttle ? after_ms : 0);
    } else if (class.lane == RETRY_LANE_NEVER) {
        endpoint_undecided(e, now_us, post->is_probe);
    } else {
        int64_t since_us = e->breaker.since_us;
        if (endpoint_refused(e, now_us, post->is_probe) == ENDPOINT_CLOSED) {
            tell_recovered(post, since_us);
        }
    }
    if (class.lane == RETRY_LANE_NEVER) {
        give_up(post);
    } else {
        plan(post, class.lane, after_ms, now_us);
    }
}

static void on_answer(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct post *post = owner;
    int64_t now_us = clock_now_us();
    post->call = NULL;
    post->is_tried = true;
    FAULT("webhook.post.after");
    post->duration_ms = (clock_mono_us() - post->begun_mono_us) / US_PER_MS;
    if (err == NULL) {
        struct retry_class class = retry_classify(reply->status);
        post->status = reply->status;
        if (class.lane == RETRY_LANE_NONE) {
            succeed(post, now_us);
        } else {
            snprintf(post->error, sizeof post->error, "the receiver answered %d", reply->status);
            fail(post, class, now_us,
                retry_after_ms(reply->header(reply, "Retry-After"), now_us, RETRY_AFTER_MAX_MS));
        }
    } else {
        struct retry_class class = retry_classify(0);
        snprintf(post->error, sizeof post->error, "%.*s", POST_ERROR_MAX - 1, err->msg);
        if (err->code == ERR_DENIED) {
            /* Walking the schedule would change nothing. */
            class = (struct retry_class){.lane = RETRY_LANE_NEVER};
        }
        fail(post, class, now_us, 0);
    }
    post->attempt = attempt_record(post, subscription_of(post), reply);
    post_end(post);
}

/* ---- the request ---- */

static int check_address(void *owner, const struct sockaddr *addr, struct err *err)
{
    struct post *post = owner;
    attempt_note_address(post, addr);
    return subscription_of(post) != NULL
               ? egress_check_address(sender_of(post)->egress, post->host, addr, err)
               : err_set(err, ERR_DENIED, "the subscription is gone");
}

static void send_request(struct post *post, const struct subscription *sub)
{
    struct sender *s = sender_of(post);
    size_t len = strlen(post->body);
    CLEANUP(cleanup_free)
    char *signature = subscription_sign(sub, post->delivery, post->begun_us, post->body, len);
    CLEANUP(cleanup_free) char *id_line = xasprintf("webhook-id: %s", post->delivery);
    CLEANUP(cleanup_free)
    char *time_line = xasprintf("webhook-timestamp: %lld", (long long)(post->begun_us / US_PER_S));
    CLEANUP(cleanup_free) char *sign_line = xasprintf("webhook-signature: %s", signature);
    CLEANUP(cleanup_free) char *type_line = xasprintf("Content-Type: %s", post->content_type);
    CLEANUP(cleanup_free)
    char *attempt_line = xasprintf("webhook-attempt: %lld", (long long)post->made + 1);
    CLEANUP(cleanup_free)
    char *sequence_line =
        post->sequence != NULL ? xasprintf("webhook-sequence: %s", post->sequence) : NULL;
    size_t form_count = json_array_size(post->headers), count = 0;
    CLEANUP(cleanup_free)
    const char **headers =
        xcalloc(OUR_HEADERS + form_count + sub->header_count + 1, sizeof *headers);
    headers[count++] = type_line;
    headers[count++] = id_line;
    headers[count++] = time_line;
    headers[count++] = sign_line;
    headers[count++] = attempt_line;
    if (sequence_line != NULL) {
        headers[count++] = sequence_line;
    }
    if (!subscription_has_header(sub, "User-Agent")) {
        headers[count++] = "User-Agent: rondo/" RONDO_VERSION;
    }
    for (size_t i = 0; i < form_count; i++) {
        headers[count++] = json_string_value(json_array_get(post->headers, i));
    }
    for (size_t i = 0; i < sub->header_count; i++) {
        headers[count++] = sub->headers[i].line;
    }
    struct http_call_spec spec = {
        .method = "POST",
        .url = sub->url,
        .headers = headers,
        .body = post->body,
        .body_len = len,
        .connect_timeout_ms = 3 * (int64_t)PHASE_TIMEOUT_MS,
        .resolve_timeout_ms = PHASE_TIMEOUT_MS,
        .tcp_timeout_ms = PHASE_TIMEOUT_MS,
        .tls_timeout_ms = PHASE_TIMEOUT_MS,
        .timeout_ms = sub->timeout_ms > 0 ? sub->timeout_ms : s->set.timeout_ms,
        .max_body = ANSWER_MAX,
        .cut_body = true,
        .pool_key = sub->id,
        .check_address = check_address,
    };
    post->url = xstrdup(sub->url);
    post->host =
        xstrdup(sub->host); /* by this one it is judged, whatever the subscription has by then */
    FAULT("webhook.post.before");
    post->call = http_call_start(s->set.http, &spec, on_answer, post);
}

void post_begin(struct post *post)
{
    struct sender *s = sender_of(post);
    struct channel *c = post->channel;
    const struct subscription *sub = subscription_of(post);
    if (sub == NULL || !sub->is_enabled) {
        post_give_back(post);
        return;
    }
    struct err err = ERR_INIT;
    if (post->body == NULL) {
        err_set(&err, ERR_INVALID, "the delivery has no message");
    } else {
        /* It was fine when it was made; the operator's rules may have changed since. */
        (void)egress_check_url(s->egress, sub->url, &err);
    }
    if (err.code != ERR_NONE) {
        snprintf(post->error, sizeof post->error, "%.*s", POST_ERROR_MAX - 1, err.msg);
        give_up(post);
        post_end(post);
        return;
    }
    post_list_remove(&c->ready, post);
    post->state = POST_STATE_SENDING;
    post->begun_us = clock_now_us();
    post->begun_mono_us = clock_mono_us();
    post->is_probe = endpoint_begin(&c->endpoint, post->begun_us);
    s->in_flight++;
    post_list_add(&s->sending, post);
    arm_stall(s);
    send_request(post, sub);
    channel_update(c);
}

/* ---- a claimed delivery ---- */

static char *field_copy(const redisReply *fields, const char *name, const char *fallback)
{
    const char *text = reply_field(fields, name);
    return text != NULL || fallback != NULL ? xstrdup(text != NULL ? text : fallback) : NULL;
}

static int64_t field_number(const redisReply *fields, const char *name, int64_t fallback)
{
    const char *text = reply_field(fields, name);
    int64_t number = fallback;
    if (text != NULL && parse_i64(text, 0, INT64_MAX, name, &number, NULL) != 0) {
        number = fallback;
    }
    return number;
}

void post_start(struct outbox *o, const char *delivery_id, const redisReply *fields)
{
    struct sender *s = o->sender;
    struct post *post = xcalloc(1, sizeof *post);
    const char *subscription = reply_field(fields, "subscription");
    const char *headers = reply_field(fields, "headers");
    post->outbox = o;
    post->delivery = xstrdup(delivery_id);
    post->event = field_copy(fields, "event", "");
    post->type = field_copy(fields, "type", "");
    post->run = field_copy(fields, "run", "");
    post->sequence = field_copy(fields, "sequence", NULL);
    post->body = field_copy(fields, "body", NULL);
    post->content_type = field_copy(fields, "content_type", "application/json");
    post->headers = headers != NULL ? json_loads(headers, 0, NULL) : NULL;
    post->created_us = field_number(fields, "created_us", 0);
    post->asked_us = field_number(fields, "redelivered_us", post->created_us);
    post->due_us = field_number(fields, "next_us", post->created_us);
    post->made = field_number(fields, "attempts", 0);
    post->step = field_number(fields, "step", post->made);
    map_put(s->posts, post->delivery, post);
    o->posts++;
    post->channel = subscription != NULL ? channel_of(s, subscription) : NULL;
    if (post->channel == NULL) {
        bool is_there = subscription != NULL && map_has(s->unreadable, subscription);
        post->state = POST_STATE_ENDED;
        post->outcome = is_there ? "PARKED" : "GONE";
        post->next_us = post->due_us;
        outbox_record(o, post);
        return;
    }
    channel_add(post->channel, post);
    if (subscription_of(post) == NULL && post->state != POST_STATE_ENDED) {
        post_give_back(post);
    }
}
