/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sender: its subscriptions and one outbox per shard. The records in Redis are the truth;
 * those in memory follow each successful write.
 */
#include "webhooks/out/sender.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/egress.h"
#include "webhooks/out/interest.h"
#include "webhooks/out/news.h"
#include "webhooks/out/post.h"
#include "webhooks/out/request.h"
#include "webhooks/out/subscriptions.h"

#define RETRIES_DEFAULT "5s,30s,2m,10m,30m,2h,5h,10h,14h,20h,24h"
#define SWEEP_MS 60000
#define PENDING_DEFAULT 10000
#define BYTES_DEFAULT (INT64_C(64) << 20)
#define ALL_BYTES_DEFAULT (INT64_C(512) << 20)
#define AGE_DEFAULT_MS (INT64_C(30) * 86400 * 1000)

static void free_subscription(void *s)
{
    subscription_free(s);
}

static void free_json(void *value)
{
    json_decref(value);
}

static void outbox_timer_pump(void *owner)
{
    outbox_pump(owner);
}

static void outbox_timer_claim(void *owner)
{
    outbox_claim(owner);
}

static void on_sweep(void *owner, redisReply *reply, const struct err *err)
{
    struct sender *s = owner;
    s->sweep_call = NULL;
    if (err == NULL && reply_int(reply, 0) != s->rev) {
        sender_reload(s);
    }
}

/*
 * Another daemon may have changed a subscription, or made deliveries of our shards due again; while
 * events come both are seen with them, but none need come.
 */
static void sender_sweep(void *owner)
{
    struct sender *s = owner;
    if (s->sweep_call == NULL) {
        s->sweep_call = store_cmd(s->set.store, on_sweep, s, "GET %ssubscriptions_rev",
            store_catalog_prefix(s->set.store));
    }
    for (unsigned i = 0; i < s->outbox_count; i++) {
        s->outboxes[i].wants_claim = true;
    }
    outbox_claim_next(s);
    timer_start_ms(&s->sweep_timer, SWEEP_MS);
}

static void set_default(int64_t *setting, int64_t usual)
{
    *setting = *setting > 0 ? *setting : usual;
}

struct sender *sender_new(const struct sender_settings *settings, struct err *err)
{
    struct egress_settings rules = {
        .allow = settings->allow,
        .deny = settings->deny,
        .ports = settings->ports,
        .https_only = settings->https_only,
    };
    struct retry_schedule schedule;
    const char *retries = settings->retries != NULL ? settings->retries : RETRIES_DEFAULT;
    if (retry_schedule_parse(retries, &schedule, err) != 0) {
        return NULL;
    }
    struct egress *egress = egress_new(&rules, err);
    if (egress == NULL) {
        return NULL;
    }
    struct sender *s = xcalloc(1, sizeof *s);
    s->set = *settings;
    s->schedule = schedule;
    set_default(&s->set.pending_max, PENDING_DEFAULT);
    set_default(&s->set.pending_bytes, BYTES_DEFAULT);
    set_default(&s->set.pending_all_bytes, ALL_BYTES_DEFAULT);
    set_default(&s->set.log_bytes, ALL_BYTES_DEFAULT);
    set_default(&s->set.log_age_ms, AGE_DEFAULT_MS);
    s->egress = egress;
    s->subscriptions = map_new(free_subscription);
    timer_init(&s->expiry, settings->loop, subscriptions_expire, s);
    s->channels = map_new(channel_free);
    s->posts = map_new(NULL);
    s->disabling = map_new(free_json);
    s->interests = interest_new();
    s->unreadable = map_new(NULL);
    timer_init(&s->sweep_timer, settings->loop, sender_sweep, s);
    timer_init(&s->stall_timer, settings->loop, post_on_stall, s);
    timer_init(&s->health_timer, settings->loop, channels_save_health, s);
    s->outbox_count = store_shards(settings->store);
    s->outboxes = xcalloc(s->outbox_count, sizeof *s->outboxes);
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct outbox *o = &s->outboxes[i];
        o->sender = s;
        o->shard = i;
        o->prefix = store_shard_prefix(settings->store, i);
        timer_init(&o->pump_retry, settings->loop, outbox_timer_pump, o);
        timer_init(&o->claim_timer, settings->loop, outbox_timer_claim, o);
        outbox_results_init(o);
        o->parked = map_new(NULL);
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

static void disable_now(struct subscription *sub, const char *why)
{
    sub->is_enabled = false;
    free(sub->disabled_reason);
    sub->disabled_reason = xstrdup(why);
}

void sender_disable(struct outbox *o, struct subscription *sub, const char *url, const char *why)
{
    struct sender *s = o->sender;
    if (!sub->is_enabled || strcmp(sub->url, url) != 0) {
        return;
    }
    s->counts.disabled++;
    news_disabled(o, sub, why);
    disable_now(sub, why);
    subscriptions_differs(sub);
    map_put(
        s->disabling, sub->id, json_pack("{s:s,s:s,s:s}", "id", sub->id, "url", url, "why", why));
    channels_sync(s);
}

void sender_write_disabled(struct sender *s)
{
    struct map_iter it = {0};
    const char *id;
    void *value;
    while (map_next(s->disabling, &it, &id, &value)) {
        CLEANUP(json_decrefp) json_t *what = map_take(s->disabling, id);
        struct subscription *sub = map_get(s->subscriptions, jget_str(what, "id", ""));
        if (sub != NULL) {
            subscriptions_differs(sub);
            sub->is_enabled = true; /* for the URL that it has by now */
            subscriptions_disable(s, sub->id, jget_str(what, "url", ""), jget_str(what, "why", ""));
        }
    }
}

/* -1: its secrets are sealed with a key that we do not have. */
static int take_subscription(
    struct sender *s, struct map *old, const char *id, const redisReply *text, struct err *err)
{
    struct err bad = ERR_INIT;
    struct subscription *before = map_get(old, id);
    if (before != NULL && subscriptions_is_same(before, reply_str(text))) {
        map_put(s->subscriptions, id, map_take(old, id));
        return 0;
    }
    struct subscription *sub = subscriptions_read(s->set.seal, reply_str(text), &bad);
    if (sub == NULL && before != NULL) {
        LOG_ERROR("webhook subscription unreadable, goes on as it was", "id=%s error=%s", id,
            LOG_Q(bad.msg));
        map_put(s->subscriptions, id, map_take(old, id));
        return 0;
    }
    if (sub == NULL) {
        LOG_ERROR(
            "webhook subscription unreadable, left alone", "id=%s error=%s", id, LOG_Q(bad.msg));
        map_put(s->unreadable, id, s);
        if (bad.code == ERR_NOT_FOUND) {
            err_copy(err, &bad);
            return -1;
        }
        return 0;
    }
    subscriptions_carry_over(sub, before);
    const json_t *disabling = map_get(s->disabling, sub->id);
    if (disabling != NULL && strcmp(jget_str(disabling, "url", ""), sub->url) == 0) {
        disable_now(sub, jget_str(disabling, "why", ""));
    }
    map_put(s->subscriptions, sub->id, sub);
    return 0;
}

static void warn_of_plain_secrets(const struct sender *s)
{
    if (s->set.seal == NULL && map_count(s->subscriptions) > 0) {
        LOG_WARN("webhook secrets are stored in Redis as they are; --secrets-key-file seals them",
            "subscriptions=%zu", map_count(s->subscriptions));
    }
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
    map_free(s->unreadable);
    s->unreadable = map_new(NULL);
    struct err bad = ERR_INIT;
    for (size_t i = 1; i < reply->elements; i += 2) {
        const char *id = reply_str(reply->element[i - 1]);
        if (take_subscription(s, old, id, reply->element[i], &bad) != 0 && !s->is_running) {
            /* Going on would drop its deliveries, as if it had been deleted. */
            map_free(s->subscriptions);
            s->subscriptions = old;
            sender_requests_fail(s, &bad);
            sender_started(s, &bad);
            return;
        }
    }
    map_free(old);
    s->rev = s->loading_rev;
    subscriptions_await_expiry(s);
    channels_sync(s);
    sender_requests_go(s);
    bool is_first = !s->is_running;
    s->is_running = true;
    if (is_first) {
        warn_of_plain_secrets(s);
    }
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct outbox *o = &s->outboxes[i];
        if (is_first && o->is_ours) {
            outbox_start(o);
        } else {
            outbox_go_on(o);
        }
    }
    if (is_first) {
        timer_start_ms(&s->sweep_timer, SWEEP_MS);
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

/* Of the endpoints that are not well; comes after the subscriptions. */
static void on_health(void *owner, redisReply *reply, const struct err *err)
{
    struct sender *s = owner;
    s->health_call = NULL;
    for (size_t i = 1; err == NULL && i < reply->elements; i += 2) {
        channel_restore(s, reply_str(reply->element[i - 1]), reply_str(reply->element[i]));
    }
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
    store_cancel(s->health_call);
    s->health_call = store_cmd(s->set.store, on_health, s, "HGETALL %ssubscription_health",
        store_catalog_prefix(s->set.store));
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
    return o->pump_call == NULL && o->claim_call == NULL && o->posts == 0;
}

void sender_shard_stop(struct sender *s, unsigned shard)
{
    struct outbox *o = &s->outboxes[shard];
    o->is_ours = o->is_held = false;
    post_cancel_all(s, o);
    outbox_stop(o);
    sender_write_disabled(s); /* the event about it may be lost with the shard, but not this */
    /* Whoever waited for the places, or for this claim, may look. */
    loop_defer(s->set.loop, &s->dispatch, channels_dispatch, s);
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
    store_cancel(STEAL(s->health_call));
    store_cancel(STEAL(s->sweep_call));
    post_cancel_all(s, NULL);
    loop_defer_cancel(s->set.loop, &s->dispatch);
    timer_stop(&s->stall_timer);
    timer_stop(&s->sweep_timer);
    if (timer_is_armed(&s->health_timer)) {
        timer_stop(&s->health_timer);
        channels_save_health(s);
    }
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
    loop_defer_cancel(s->set.loop, &s->save_errors);
    timer_done(&s->expiry);
    while (s->requests != NULL) {
        request_free(s->requests);
    }
    for (unsigned i = 0; i < s->outbox_count; i++) {
        timer_done(&s->outboxes[i].pump_retry);
        timer_done(&s->outboxes[i].claim_timer);
        timer_done(&s->outboxes[i].done_retry);
        map_free(s->outboxes[i].parked);
    }
    map_free(s->channels);
    loop_defer_cancel(s->set.loop, &s->dispatch);
    timer_done(&s->stall_timer);
    timer_done(&s->health_timer);
    free(s->outboxes);
    map_free(s->posts);
    map_free(s->disabling);
    map_free(s->interests);
    map_free(s->unreadable);
    timer_done(&s->sweep_timer);
    map_free(s->subscriptions);
    egress_free(s->egress);
    free(s);
}

void sender_set_listener(struct sender *s, const char *host, uint16_t port)
{
    egress_set_listener(s->egress, host, port);
}

void sender_wake(struct sender *s, unsigned shard)
{
    if (shard < s->outbox_count) {
        outbox_pump(&s->outboxes[shard]);
    }
}

void sender_count_lateness(struct sender *s, int64_t us)
{
    static const int64_t bounds_ms[SENDER_LATENESS_BUCKETS - 1] = {
        5, 10, 25, 50, 100, 250, 500, 1000, 5000, 30000, 300000};
    size_t i = 0;
    us = us < 0 ? 0 : us;
    while (i < SENDER_LATENESS_BUCKETS - 1 && us > bounds_ms[i] * US_PER_MS) {
        i++;
    }
    s->counts.lateness_buckets[i]++;
    s->counts.lateness_sum_s += (double)us / 1e6;
}

void sender_counts(const struct sender *s, struct sender_counts *out)
{
    *out = s->counts;
    out->pending = 0;
    out->in_flight = s->in_flight + s->stalled;
    struct map_iter it = {0};
    void *value;
    while (map_next(s->channels, &it, NULL, &value)) {
        out->open += ((const struct channel *)value)->endpoint.breaker.state != BREAKER_CLOSED;
    }
    for (unsigned i = 0; i < s->outbox_count; i++) {
        out->pending += s->outboxes[i].waiting;
    }
}

const struct egress *sender_egress(const struct sender *s)
{
    return s->egress;
}
