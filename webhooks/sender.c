/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender: its subscriptions and one outbox per shard. The records in Redis are the truth;
 * those in memory follow each successful write.
 */
#include "webhooks/sender.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/egress.h"
#include "webhooks_scripts.h"

#define SUBSCRIPTIONS_MAX 10000
#define LIST_MAX 1000

/* One API operation under way. */
struct request {
    struct sender *sender;
    struct request *prev, *next;
    webhook_json_fn *done;
    void *owner;
    struct deferred answer;
    struct subscription *subscription; /* create */
    char *id;                          /* delete, deliveries */
    json_t *rows;                      /* what is answered */
    size_t max;                        /* deliveries */
    unsigned waiting;                  /* shards still to answer */
    struct part *parts;                /* calls under way: one, or one per shard */
    unsigned part_count;
    struct err err;
    void (*go)(struct request *r); /* once the subscriptions are known to be the newest */
    bool waits_for_subscriptions;
};

struct part {
    struct request *request;
    struct store_call *call;
};

static struct request *request_new(struct sender *s, webhook_json_fn *done, void *owner)
{
    struct request *r = xcalloc(1, sizeof *r);
    r->sender = s;
    r->done = done;
    r->owner = owner;
    r->next = s->requests;
    if (r->next != NULL) {
        r->next->prev = r;
    }
    s->requests = r;
    return r;
}

static struct part *request_parts(struct request *r, unsigned count)
{
    r->parts = xcalloc(count, sizeof *r->parts);
    r->part_count = count;
    for (unsigned i = 0; i < count; i++) {
        r->parts[i].request = r;
    }
    return r->parts;
}

static void request_free(struct request *r)
{
    if (r->prev != NULL) {
        r->prev->next = r->next;
    } else {
        r->sender->requests = r->next;
    }
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
    for (unsigned i = 0; i < r->part_count; i++) {
        store_cancel(r->parts[i].call);
    }
    loop_defer_cancel(r->sender->set.loop, &r->answer);
    subscription_free(r->subscription);
    json_decref(r->rows);
    free(r->parts);
    free(r->id);
    free(r);
}

/* Tell the caller: rows, or err when there is one. */
static void request_end(struct request *r)
{
    bool is_bad = r->err.code != ERR_NONE;
    r->done(r->owner, is_bad ? NULL : r->rows, is_bad ? &r->err : NULL);
    request_free(r);
}

static void request_end_now(void *owner)
{
    request_end(owner);
}

static void request_end_soon(struct request *r)
{
    loop_defer(r->sender->set.loop, &r->answer, request_end_now, r);
}

static void free_subscription(void *s)
{
    subscription_free(s);
}

static void outbox_timer_pump(void *owner)
{
    outbox_pump(owner);
}

static void outbox_timer_claim(void *owner)
{
    outbox_claim(owner);
}

struct sender *sender_new(const struct sender_settings *settings, struct err *err)
{
    struct egress *egress = egress_new(settings->allow, err);
    if (egress == NULL) {
        return NULL;
    }
    struct sender *s = xcalloc(1, sizeof *s);
    s->set = *settings;
    s->egress = egress;
    s->subscriptions = map_new(free_subscription);
    s->outbox_count = store_shards(settings->store);
    s->outboxes = xcalloc(s->outbox_count, sizeof *s->outboxes);
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct outbox *o = &s->outboxes[i];
        o->sender = s;
        o->shard = i;
        o->prefix = store_shard_prefix(settings->store, i);
        timer_init(&o->pump_retry, settings->loop, outbox_timer_pump, o);
        timer_init(&o->claim_timer, settings->loop, outbox_timer_claim, o);
    }
    return s;
}

static void sender_started(struct sender *s, const struct err *err)
{
    void (*started)(void *, const struct err *) = s->started;
    s->started = NULL;
    if (started != NULL) {
        started(s->started_owner, err);
    }
}

/* Whatever goes on may end requests, so each time from the front. */
static void requests_go(struct sender *s)
{
    struct request *r = s->requests;
    while (r != NULL) {
        if (!r->waits_for_subscriptions) {
            r = r->next;
            continue;
        }
        r->waits_for_subscriptions = false;
        r->go(r);
        r = s->requests;
    }
}

static void take_subscription(
    struct sender *s, struct map *old, const char *id, const redisReply *text)
{
    struct err bad = ERR_INIT;
    json_t *record = json_loads(reply_str(text), 0, NULL);
    struct subscription *sub = record != NULL ? subscription_from_record(record, &bad) : NULL;
    json_decref(record);
    if (sub == NULL) {
        LOG_ERROR(
            "webhook subscription unreadable, left alone", "id=%s error=%s", id, LOG_Q(bad.msg));
        return;
    }
    const struct subscription *before = map_get(old, sub->id);
    sub->in_flight = before != NULL ? before->in_flight : 0;
    map_put(s->subscriptions, sub->id, sub);
}

static void on_loaded(void *owner, redisReply *reply, const struct err *err)
{
    struct sender *s = owner;
    s->load_call = NULL;
    if (err != NULL) {
        if (s->is_running) {
            sender_reload(s); /* while Redis is away a command waits for it */
        } else {
            sender_started(s, err);
        }
        return;
    }
    struct map *old = s->subscriptions;
    s->subscriptions = map_new(free_subscription);
    for (size_t i = 1; i < reply->elements; i += 2) {
        take_subscription(s, old, reply_str(reply->element[i - 1]), reply->element[i]);
    }
    map_free(old);
    s->rev = s->loading_rev;
    requests_go(s);
    bool is_first = !s->is_running;
    s->is_running = true;
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct outbox *o = &s->outboxes[i];
        if (is_first && o->is_ours) {
            outbox_start(o);
        } else if (o->waits_for_subscriptions) {
            o->waits_for_subscriptions = false;
            outbox_enqueue(o);
        }
    }
    sender_started(s, NULL);
}

/* The number first: they are of this one or a later one. */
static void on_rev(void *owner, redisReply *reply, const struct err *err)
{
    struct sender *s = owner;
    s->rev_call = NULL;
    s->loading_rev = err == NULL ? reply_int(reply, 0) : -1;
}

void sender_reload(struct sender *s)
{
    const char *prefix = store_catalog_prefix(s->set.store);
    if (s->load_call == NULL) {
        s->rev_call = store_cmd(s->set.store, on_rev, s, "GET %ssubscriptions_rev", prefix);
        s->load_call = store_cmd(s->set.store, on_loaded, s, "HGETALL %ssubscriptions", prefix);
    }
}

void sender_start(struct sender *s, void (*done)(void *owner, const struct err *err), void *owner)
{
    s->started = done;
    s->started_owner = owner;
    sender_reload(s);
}

void sender_shard_start(struct sender *s, unsigned shard)
{
    struct outbox *o = &s->outboxes[shard];
    o->is_ours = true;
    o->is_held = false;
    if (s->is_running) {
        outbox_start(o);
    }
}

void sender_shard_hold(struct sender *s, unsigned shard)
{
    s->outboxes[shard].is_held = true;
}

bool sender_shard_is_idle(const struct sender *s, unsigned shard)
{
    const struct outbox *o = &s->outboxes[shard];
    return o->pump_call == NULL && o->claim_call == NULL && !post_is_any(o);
}

void sender_shard_stop(struct sender *s, unsigned shard)
{
    struct outbox *o = &s->outboxes[shard];
    o->is_ours = o->is_held = false;
    post_cancel_all(s, o);
    bool was_claiming = s->claiming == o;
    outbox_stop(o);
    /* Whoever waited for the places, or for this claim, may look. */
    for (unsigned i = 0; i < s->outbox_count; i++) {
        s->outboxes[i].wants_claim |= s->outboxes[i].has_parked;
    }
    if (was_claiming && s->is_running) {
        outbox_claim_next(s);
    }
}

void sender_on_fenced(struct sender *s, void (*fn)(void *owner, unsigned shard), void *owner)
{
    s->fenced = fn;
    s->fenced_owner = owner;
}

void sender_fenced(struct sender *s, unsigned shard)
{
    if (s->fenced != NULL) {
        s->fenced(s->fenced_owner, shard);
    }
}

void sender_stop(struct sender *s)
{
    s->is_running = false;
    store_cancel(STEAL(s->rev_call));
    store_cancel(STEAL(s->load_call));
    post_cancel_all(s, NULL);
    s->claiming = NULL;
    for (unsigned i = 0; i < s->outbox_count; i++) {
        outbox_stop(&s->outboxes[i]);
    }
}

void sender_free(struct sender *s)
{
    if (s == NULL) {
        return;
    }
    sender_stop(s);
    while (s->requests != NULL) {
        request_free(s->requests);
    }
    for (unsigned i = 0; i < s->outbox_count; i++) {
        timer_done(&s->outboxes[i].pump_retry);
        timer_done(&s->outboxes[i].claim_timer);
    }
    free(s->outboxes);
    map_free(s->subscriptions);
    egress_free(s->egress);
    free(s);
}

void sender_wake(struct sender *s, unsigned shard)
{
    if (shard < s->outbox_count) {
        outbox_pump(&s->outboxes[shard]);
    }
}

/* ---- subscriptions ---- */

static struct store_args *subscription_args(struct sender *s, const char *id, const char *text)
{
    const char *prefix = store_catalog_prefix(s->set.store);
    struct store_args *args = store_args_new();
    store_key(args, "%ssubscriptions", prefix);
    store_key(args, "%ssubscriptions_rev", prefix);
    store_arg(args, id);
    store_arg(args, text);
    return args;
}

static void on_created(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
    } else {
        r->rows = subscription_json(r->subscription, true);
        struct subscription *sub = STEAL(r->subscription);
        LOG_INFO(
            "webhook subscription created", "subscription=%s url=%s", sub->id, LOG_Q(sub->url));
        map_put(r->sender->subscriptions, sub->id, sub);
    }
    request_end(r);
}

void subscription_create(struct sender *s, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    if (map_count(s->subscriptions) >= SUBSCRIPTIONS_MAX) {
        err_set(
            &r->err, ERR_LIMIT, "more than %d subscriptions; delete one first", SUBSCRIPTIONS_MAX);
    } else {
        r->subscription = subscription_from_body(body, s->egress, &r->err);
    }
    if (r->subscription == NULL) {
        request_end_soon(r);
        return;
    }
    json_t *record = subscription_json(r->subscription, true);
    char *text = jtext(record);
    struct part *part = request_parts(r, 1);
    part->call = store_eval(s->set.store, &script_subscription_put,
        subscription_args(s, r->subscription->id, text), on_created, part);
    explicit_bzero(text, strlen(text));
    free(text);
    json_decref(record);
}

static void on_request_rev(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
        request_end(r);
        return;
    }
    free(STEAL(r->parts));
    r->part_count = 0;
    if (reply_int(reply, 0) == r->sender->rev) {
        r->go(r);
    } else {
        r->waits_for_subscriptions = true;
        sender_reload(r->sender);
    }
}

/* Another daemon may have changed them. */
static void request_begin(struct request *r, void (*go)(struct request *r))
{
    struct store *store = r->sender->set.store;
    struct part *part = request_parts(r, 1);
    r->go = go;
    part->call = store_cmd(
        store, on_request_rev, part, "GET %ssubscriptions_rev", store_catalog_prefix(store));
}

static void get_go(struct request *r)
{
    const struct subscription *sub = map_get(r->sender->subscriptions, r->id);
    if (sub == NULL) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
    } else {
        r->rows = subscription_json(sub, false);
    }
    request_end_soon(r);
}

void subscription_get(struct sender *s, const char *id, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(id);
    request_begin(r, get_go);
}

static int by_created(const void *a, const void *b)
{
    const struct subscription *x = *(const struct subscription *const *)a;
    const struct subscription *y = *(const struct subscription *const *)b;
    return x->created_us < y->created_us ? -1 : x->created_us > y->created_us;
}

static void all_go(struct request *r)
{
    struct sender *s = r->sender;
    size_t count = map_count(s->subscriptions), n = 0;
    const struct subscription **all = xcalloc(count + 1, sizeof *all);
    struct map_iter it = {0};
    void *value;
    while (map_next(s->subscriptions, &it, NULL, &value)) {
        all[n++] = value;
    }
    qsort(all, n, sizeof *all, by_created);
    r->rows = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(r->rows, subscription_json(all[i], false));
    }
    free(all);
    request_end_soon(r);
}

void subscription_all(struct sender *s, webhook_json_fn *done, void *owner)
{
    request_begin(request_new(s, done, owner), all_go);
}

static void drop_deliveries(struct sender *s, const char *id)
{
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct store_args *args = store_args_new();
        store_key(args, "%sdeliveries", s->outboxes[i].prefix);
        store_arg(args, s->outboxes[i].prefix);
        store_arg(args, id);
        store_eval(s->set.store, &script_deliveries_drop, args, NULL, NULL);
    }
}

static void on_deleted(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
    } else if (reply_int(reply, 0) == 0) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
    } else {
        LOG_INFO("webhook subscription deleted", "subscription=%s", r->id);
        map_remove(r->sender->subscriptions, r->id);
        drop_deliveries(r->sender, r->id);
        r->rows = json_object();
    }
    request_end(r);
}

void subscription_delete(struct sender *s, const char *id, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    struct part *part = request_parts(r, 1);
    r->id = xstrdup(id);
    part->call = store_eval(
        s->set.store, &script_subscription_put, subscription_args(s, id, ""), on_deleted, part);
}

/* ---- deliveries ---- */

static json_t *delivery_json(const redisReply *row)
{
    static const char *const names[] = {"id", "event_id", "type", "state", "attempts", "created_us",
        "next_us", "status", "error", "duration_ms"};
    json_t *out = json_object();
    for (size_t i = 0; i < ARRAY_LEN(names) && i < row->elements; i++) {
        const char *text = reply_str(row->element[i]);
        int64_t number;
        if (text == NULL || text[0] == '\0') {
            continue;
        }
        bool is_number = i >= 4 && i != 8;
        if (is_number && parse_i64(text, INT64_MIN, INT64_MAX, names[i], &number, NULL) == 0) {
            json_object_set_new(out, names[i], json_integer(number));
        } else {
            json_object_set_new(out, names[i], json_string(text));
        }
    }
    return out;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = jget_i64(*(json_t *const *)a, "created_us", 0);
    int64_t y = jget_i64(*(json_t *const *)b, "created_us", 0);
    return x > y ? -1 : x < y;
}

/* The newest `max` of all shards. */
static json_t *sorted_rows(const json_t *rows, size_t max)
{
    size_t n = json_array_size(rows);
    json_t **all = xcalloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i] = json_array_get(rows, i);
    }
    qsort(all, n, sizeof *all, newest_first);
    json_t *out = json_array();
    for (size_t i = 0; i < n && i < max; i++) {
        json_array_append(out, all[i]);
    }
    free(all);
    return out;
}

static void on_deliveries(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
    } else {
        for (size_t i = 0; i < reply->elements; i++) {
            json_array_append_new(r->rows, delivery_json(reply->element[i]));
        }
    }
    if (--r->waiting > 0) {
        return;
    }
    json_t *rows = sorted_rows(r->rows, r->max);
    json_decref(r->rows);
    r->rows = rows;
    request_end(r);
}

static void deliveries_go(struct request *r)
{
    struct sender *s = r->sender;
    if (!map_has(s->subscriptions, r->id)) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
        request_end_soon(r);
        return;
    }
    r->rows = json_array();
    r->waiting = s->outbox_count;
    struct part *parts = request_parts(r, s->outbox_count);
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct store_args *args = store_args_new();
        store_key(args, "%sdeliveries", s->outboxes[i].prefix);
        store_arg(args, s->outboxes[i].prefix);
        store_arg(args, r->id);
        store_arg_i(args, (int64_t)r->max);
        parts[i].call =
            store_eval(s->set.store, &script_deliveries_list, args, on_deliveries, &parts[i]);
    }
}

void delivery_all(
    struct sender *s, const char *subscription_id, size_t max, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(subscription_id);
    r->max = max < LIST_MAX ? max : LIST_MAX;
    request_begin(r, deliveries_go);
}

void sender_counts(const struct sender *s, struct sender_counts *out)
{
    *out = s->counts;
    out->pending = 0;
    for (unsigned i = 0; i < s->outbox_count; i++) {
        out->pending += s->outboxes[i].waiting;
    }
}
