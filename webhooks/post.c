/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt at one delivery: sign, POST, judge the answer, record it. 2xx is success; 410
 * disables the subscription; anything else is tried again by the schedule below until it ends.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/egress.h"
#include "webhooks/sender.h"
#include "webhooks/subscriptions.h"
#include "webhooks_scripts.h"

#define PER_SUBSCRIPTION 16
#define OUR_HEADERS 5
#define PHASE_TIMEOUT_MS 5000 /* each of: name, TCP, TLS */
#define ANSWER_MAX (16 * 1024)
#define ERROR_MAX 300
#define RETRY_AFTER_MAX_S (24 * 3600)
#define SAVE_RETRY_MS 500

struct post {
    struct outbox *outbox;
    struct post *prev, *next;
    struct http_call *call;
    struct store_call *save_call;
    struct timer save_retry;
    char *delivery, *subscription, *type, *run;
    char *body; /* until it is sent */
    char *url;  /* where it was sent to */
    char *content_type;
    json_t *headers; /* array of "name: value" that go with it; or NULL */
    int64_t made;    /* attempts before this one */
    bool is_counted; /* in its subscription's in_flight */
    bool is_waiting; /* for an earlier event of its run to be tried */
    /* how it ended */
    const char *state;
    int64_t next_us;
    int status;
    int64_t duration_ms;
    char error[ERROR_MAX];
};

/* About three days in all, as Standard Webhooks advises. */
static const int64_t schedule_s[] = {
    5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400};

int64_t post_backoff_ms(int64_t made)
{
    if (made < 1 || (size_t)made > ARRAY_LEN(schedule_s)) {
        return made < 1 ? 0 : -1;
    }
    int64_t base = schedule_s[made - 1] * 1000;
    uint32_t r;
    random_bytes(&r, sizeof r);
    return base - base / 10 + (int64_t)(r % (uint32_t)(base / 5 + 1));
}

static void post_free(struct post *a)
{
    struct sender *s = a->outbox->sender;
    if (a->prev != NULL) {
        a->prev->next = a->next;
    } else {
        s->posts = a->next;
    }
    if (a->next != NULL) {
        a->next->prev = a->prev;
    }
    http_call_cancel(a->call);
    store_cancel(a->save_call);
    timer_done(&a->save_retry);
    free(a->delivery);
    free(a->subscription);
    free(a->type);
    free(a->run);
    free(a->body);
    free(a->url);
    free(a->content_type);
    json_decref(a->headers);
    free(a);
}

static void post_save(void *owner);
static void post_begin(struct post *a);

static bool is_same_line(const struct post *a, const struct post *b)
{
    return a->made == 0 && b->made == 0 && a->run[0] != '\0' && strcmp(a->run, b->run) == 0 &&
           strcmp(a->subscription, b->subscription) == 0;
}

/* The one that came first of those that wait behind `a`: events of a run go out in their order. */
static struct post *next_in_line(const struct post *a)
{
    struct post *found = NULL;
    for (struct post *b = a->outbox->sender->posts; b != NULL; b = b->next) {
        if (b->is_waiting && is_same_line(a, b)) {
            found = b; /* the list has the newest first */
        }
    }
    return found;
}

/* The place is free again: whoever waited for it may look. */
static void post_ended(struct post *a)
{
    struct outbox *o = a->outbox;
    struct sender *s = o->sender;
    struct subscription *sub = map_get(s->subscriptions, a->subscription);
    if (sub != NULL && a->is_counted) {
        sub->in_flight--;
    }
    s->in_flight--;
    struct post *next = next_in_line(a);
    post_free(a);
    if (next != NULL) {
        post_begin(next);
    }
    for (unsigned i = 0; i < s->outbox_count; i++) {
        s->outboxes[i].wants_claim |= s->outboxes[i].has_parked;
    }
    outbox_claim(o);
}

static void on_saved(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct post *a = owner;
    a->save_call = NULL;
    FAULT("webhook.done.after");
    if (err != NULL && (err_is_transient(err) || err->code == ERR_FENCED)) {
        timer_start_ms(&a->save_retry, SAVE_RETRY_MS);
        if (err->code == ERR_FENCED) {
            sender_fenced(a->outbox->sender, a->outbox->shard); /* and it may go with its shard */
        }
        return;
    }
    if (err != NULL) {
        LOG_WARN(
            "delivery result not recorded", "delivery=%s error=%s", a->delivery, LOG_Q(err->msg));
    }
    post_ended(a);
}

static void post_save(void *owner)
{
    struct post *a = owner;
    struct sender *s = a->outbox->sender;
    struct store_args *args = store_args_new();
    store_key(args, "%sdeliveries", a->outbox->prefix);
    store_arg(args, a->outbox->prefix);
    store_arg_i(args, store_shard_epoch(s->set.store, a->outbox->shard));
    store_arg(args, a->delivery);
    store_arg_i(args, clock_now_us());
    store_arg(args, map_has(s->subscriptions, a->subscription) ? a->state : "DROPPED");
    store_arg_i(args, a->next_us);
    store_arg_i(args, a->made + 1);
    store_arg_i(args, a->status);
    store_arg(args, a->error);
    store_arg_i(args, a->duration_ms);
    store_arg_i(args, s->set.log_max);
    FAULT("webhook.done.before");
    a->save_call = store_eval(s->set.store, &script_delivery_done, args, on_saved, a);
}

/* Seconds or a date; more than a day is taken as a day. */
static int64_t retry_after_ms(const struct http_reply *reply)
{
    const char *text = reply->header(reply, "Retry-After");
    int64_t seconds = 0;
    if (text == NULL) {
        return 0;
    }
    if (parse_i64(text, 0, INT64_MAX, "Retry-After", &seconds, NULL) != 0) {
        time_t at = curl_getdate(text, NULL);
        seconds = at < 0 ? 0 : (int64_t)at - clock_now_us() / US_PER_S;
    }
    seconds = seconds < 0 ? 0 : seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : seconds;
    return seconds * 1000;
}

static void post_failed(struct post *a, int64_t at_least_ms)
{
    struct sender *s = a->outbox->sender;
    /* Whoever sent a ping wants to know now, not in three days. */
    bool is_ping = strcmp(a->type, SUBSCRIPTION_PING) == 0;
    int64_t wait_ms = is_ping ? -1 : post_backoff_ms(a->made + 1);
    s->counts.failed_attempts++;
    if (wait_ms < 0) {
        a->state = "FAILED";
        s->counts.dead++;
        LOG_WARN("webhook given up", "delivery=%s subscription=%s attempts=%lld error=%s",
            a->delivery, a->subscription, (long long)a->made + 1, LOG_Q(a->error));
        return;
    }
    if (wait_ms < at_least_ms) {
        wait_ms = at_least_ms;
    }
    a->state = "PENDING";
    a->next_us = clock_now_us() + wait_ms * US_PER_MS;
    LOG_INFO("webhook failed, will be tried again",
        "delivery=%s subscription=%s attempt=%lld in_ms=%lld error=%s", a->delivery,
        a->subscription, (long long)a->made + 1, (long long)wait_ms, LOG_Q(a->error));
}

static void post_judge(struct post *a, const struct http_reply *reply)
{
    struct sender *s = a->outbox->sender;
    a->status = reply->status;
    a->duration_ms = (int64_t)(reply->total_s * 1000.0);
    if (reply->status >= 200 && reply->status < 300) {
        a->state = "DELIVERED";
        s->counts.delivered++;
        LOG_INFO("webhook delivered", "delivery=%s subscription=%s type=%s status=%d ms=%lld",
            a->delivery, a->subscription, a->type, reply->status, (long long)a->duration_ms);
        return;
    }
    snprintf(a->error, sizeof a->error, "the receiver answered %d", reply->status);
    struct subscription *sub = map_get(s->subscriptions, a->subscription);
    if (reply->status == 410 && sub != NULL) {
        subscriptions_disable(s, sub->id, a->url, "the receiver answered 410 Gone");
        a->state = "FAILED";
        s->counts.failed_attempts++;
        s->counts.dead++;
        return;
    }
    post_failed(a, retry_after_ms(reply));
}

/* What the egress rules refuse is permanent: walking the schedule would change nothing. */
static void post_refused(struct post *a)
{
    a->state = "FAILED";
    a->outbox->sender->counts.failed_attempts++;
    a->outbox->sender->counts.dead++;
    LOG_WARN("webhook refused", "delivery=%s subscription=%s error=%s", a->delivery,
        a->subscription, LOG_Q(a->error));
}

static void on_answer(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct post *a = owner;
    a->call = NULL;
    FAULT("webhook.post.after");
    if (err == NULL) {
        post_judge(a, reply);
    } else {
        snprintf(a->error, sizeof a->error, "%.*s", ERROR_MAX - 1, err->msg);
        if (err->code == ERR_DENIED) {
            post_refused(a);
        } else {
            post_failed(a, 0);
        }
    }
    post_save(a);
}

static int check_address(void *owner, const struct sockaddr *addr, struct err *err)
{
    const struct post *a = owner;
    const struct sender *s = a->outbox->sender;
    const struct subscription *sub = map_get(s->subscriptions, a->subscription);
    return sub != NULL ? egress_check_address(s->egress, sub->host, addr, err)
                       : err_set(err, ERR_DENIED, "the subscription is gone");
}

static void post_send(struct post *a, const struct subscription *sub, const char *body)
{
    struct sender *s = a->outbox->sender;
    int64_t now_us = clock_now_us();
    size_t len = strlen(body);
    CLEANUP(cleanup_free)
    char *signature = subscription_sign(sub, a->delivery, now_us, body, len);
    CLEANUP(cleanup_free) char *id_line = xasprintf("webhook-id: %s", a->delivery);
    CLEANUP(cleanup_free)
    char *time_line = xasprintf("webhook-timestamp: %lld", (long long)(now_us / US_PER_S));
    CLEANUP(cleanup_free) char *sign_line = xasprintf("webhook-signature: %s", signature);
    CLEANUP(cleanup_free) char *type_line = xasprintf("Content-Type: %s", a->content_type);
    size_t form_count = json_array_size(a->headers), count = 0;
    CLEANUP(cleanup_free)
    const char **headers =
        xcalloc(OUR_HEADERS + form_count + sub->header_count + 1, sizeof *headers);
    headers[count++] = type_line;
    headers[count++] = id_line;
    headers[count++] = time_line;
    headers[count++] = sign_line;
    if (!subscription_has_header(sub, "User-Agent")) {
        headers[count++] = "User-Agent: rondo/" RONDO_VERSION;
    }
    for (size_t i = 0; i < form_count; i++) {
        headers[count++] = json_string_value(json_array_get(a->headers, i));
    }
    for (size_t i = 0; i < sub->header_count; i++) {
        headers[count++] = sub->headers[i].line;
    }
    struct http_call_spec spec = {
        .method = "POST",
        .url = sub->url,
        .headers = headers,
        .body = body,
        .body_len = len,
        .connect_timeout_ms = 3 * (int64_t)PHASE_TIMEOUT_MS,
        .resolve_timeout_ms = PHASE_TIMEOUT_MS,
        .tcp_timeout_ms = PHASE_TIMEOUT_MS,
        .tls_timeout_ms = PHASE_TIMEOUT_MS,
        .timeout_ms = s->set.timeout_ms,
        .max_body = ANSWER_MAX,
        .cut_body = true,
        .fresh_connection = true,
        .check_address = check_address,
    };
    a->url = xstrdup(sub->url);
    FAULT("webhook.post.before");
    a->call = http_call_start(s->set.http, &spec, on_answer, a);
}

/* Send it, or say why that cannot be. */
static void post_begin(struct post *a)
{
    const struct subscription *sub = map_get(a->outbox->sender->subscriptions, a->subscription);
    struct err err = ERR_INIT;
    a->is_waiting = false;
    if (sub == NULL) {
        a->state = "DROPPED";
    } else if (!sub->is_enabled || a->body == NULL) {
        a->state = "FAILED";
        snprintf(a->error, sizeof a->error, "%s",
            sub->is_enabled ? "the delivery has no body" : "the subscription is disabled");
    } else if (egress_check_url(a->outbox->sender->egress, sub->url, &err) != 0) {
        /* It was fine when it was made; the operator's rules have changed since. */
        snprintf(a->error, sizeof a->error, "%.*s", ERROR_MAX - 1, err.msg);
        post_refused(a);
    } else {
        post_send(a, sub, a->body);
        free(STEAL(a->body)); /* libcurl has its copy */
        return;
    }
    post_save(a);
}

static char *field_copy(const redisReply *fields, const char *name)
{
    const char *text = reply_field(fields, name);
    return xstrdup(text != NULL ? text : "");
}

void post_start(struct outbox *outbox, const char *delivery_id, const redisReply *fields)
{
    struct sender *s = outbox->sender;
    struct post *a = xcalloc(1, sizeof *a);
    const char *body = reply_field(fields, "body"), *attempts = reply_field(fields, "attempts");
    const char *content_type = reply_field(fields, "content_type");
    const char *headers = reply_field(fields, "headers");
    a->outbox = outbox;
    a->delivery = xstrdup(delivery_id);
    a->subscription = field_copy(fields, "subscription");
    a->type = field_copy(fields, "type");
    a->run = field_copy(fields, "run");
    a->body = body != NULL ? xstrdup(body) : NULL;
    /* Deliveries of an earlier version of this program have none: they are JSON. */
    a->content_type = xstrdup(content_type != NULL ? content_type : "application/json");
    a->headers = headers != NULL ? json_loads(headers, 0, NULL) : NULL;
    if (attempts != NULL && parse_i64(attempts, 0, 1000, "attempts", &a->made, NULL) != 0) {
        a->made = 0;
    }
    timer_init(&a->save_retry, s->set.loop, post_save, a);
    for (const struct post *b = s->posts; b != NULL && !a->is_waiting; b = b->next) {
        a->is_waiting = is_same_line(a, b);
    }
    a->next = s->posts;
    if (a->next != NULL) {
        a->next->prev = a;
    }
    s->posts = a;
    s->in_flight++;
    struct subscription *sub = map_get(s->subscriptions, a->subscription);
    if (sub != NULL) {
        sub->in_flight++;
        a->is_counted = true;
    }
    if (!a->is_waiting) {
        post_begin(a);
    }
}

bool post_is_running(const struct sender *sender, const char *delivery_id)
{
    for (const struct post *a = sender->posts; a != NULL; a = a->next) {
        if (strcmp(a->delivery, delivery_id) == 0) {
            return true;
        }
    }
    return false;
}

void post_add_rooms(struct sender *s, struct store_args *args)
{
    store_arg_i(args, PER_SUBSCRIPTION);
    for (const struct post *a = s->posts; a != NULL; a = a->next) {
        const struct subscription *sub = map_get(s->subscriptions, a->subscription);
        if (sub != NULL && a->is_counted) { /* the same one again does no harm */
            store_arg(args, sub->id);
            store_arg_i(args, PER_SUBSCRIPTION - sub->in_flight);
        }
    }
}

void post_cancel_all(struct sender *sender, const struct outbox *of)
{
    struct post *next;
    for (struct post *a = sender->posts; a != NULL; a = next) {
        next = a->next;
        if (of != NULL && a->outbox != of) {
            continue;
        }
        struct subscription *sub = map_get(sender->subscriptions, a->subscription);
        if (sub != NULL && a->is_counted) {
            sub->in_flight--;
        }
        sender->in_flight--;
        post_free(a);
    }
}

bool post_is_any(const struct outbox *outbox)
{
    const struct post *a = outbox->sender->posts;
    while (a != NULL && a->outbox != outbox) {
        a = a->next;
    }
    return a != NULL;
}
