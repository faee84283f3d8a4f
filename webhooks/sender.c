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
#include "webhooks/request.h"
#include "webhooks/subscriptions.h"

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
    struct egress_settings rules = {
        .allow = settings->allow,
        .deny = settings->deny,
        .ports = settings->ports,
        .https_only = settings->https_only,
    };
    struct egress *egress = egress_new(&rules, err);
    if (egress == NULL) {
        return NULL;
    }
    struct sender *s = xcalloc(1, sizeof *s);
    s->set = *settings;
    s->egress = egress;
    s->subscriptions = map_new(free_subscription);
    timer_init(&s->expiry, settings->loop, subscriptions_expire, s);
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

/* -1: its secrets are sealed with a key that we do not have. */
static int take_subscription(
    struct sender *s, struct map *old, const char *id, const redisReply *text, struct err *err)
{
    struct err bad = ERR_INIT;
    struct subscription *sub = subscriptions_read(s->set.seal, reply_str(text), &bad);
    struct subscription *before = map_get(old, id);
    if (sub == NULL && before != NULL) {
        LOG_ERROR("webhook subscription unreadable, goes on as it was", "id=%s error=%s", id,
            LOG_Q(bad.msg));
        map_put(s->subscriptions, id, map_take(old, id));
        return 0;
    }
    if (sub == NULL) {
        LOG_ERROR(
            "webhook subscription unreadable, left alone", "id=%s error=%s", id, LOG_Q(bad.msg));
        if (bad.code == ERR_NOT_FOUND) {
            err_copy(err, &bad);
            return -1;
        }
        return 0;
    }
    subscriptions_carry_over(sub, before);
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
    struct err bad = ERR_INIT;
    for (size_t i = 1; i < reply->elements; i += 2) {
        const char *id = reply_str(reply->element[i - 1]);
        if (take_subscription(s, old, id, reply->element[i], &bad) != 0 && !s->is_running) {
            /* Going on would drop its deliveries, as if it had been deleted. */
            map_free(s->subscriptions);
            s->subscriptions = old;
            sender_started(s, &bad);
            return;
        }
    }
    map_free(old);
    s->rev = s->loading_rev;
    subscriptions_await_expiry(s);
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
    loop_defer_cancel(s->set.loop, &s->save_errors);
    timer_done(&s->expiry);
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

void sender_counts(const struct sender *s, struct sender_counts *out)
{
    *out = s->counts;
    out->pending = 0;
    for (unsigned i = 0; i < s->outbox_count; i++) {
        out->pending += s->outboxes[i].waiting;
    }
}
