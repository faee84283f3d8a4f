/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels: each subscription's own queue, and the turns between them. A channel that may send
 * stands in one line with the others and sends one delivery at each of its turns, so the places of
 * the sender are shared evenly, and one whose endpoint hangs holds no more than its window.
 */
#include "webhooks/out/channel.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/interest.h"
#include "webhooks/out/post.h"
#include "webhooks_scripts.h"

#define DROPPED_TELL_US (60 * US_PER_S)
#define PARK_AT_ONCE 500
/* Stalled attempts hold no place, but a connection each: so many times the places at the most. */
#define STALLED_TIMES 4

static struct endpoint_limits limits_of(const struct subscription *sub)
{
    return (struct endpoint_limits){
        .is_enabled = sub->is_enabled,
        .max_in_flight = sub->max_in_flight,
        .max_per_second = sub->max_per_second,
    };
}

static void on_wake(void *owner)
{
    channel_update(owner);
}

struct channel *channel_of(struct sender *s, const char *id)
{
    struct channel *c = map_get(s->channels, id);
    if (c != NULL) {
        return c;
    }
    const struct subscription *sub = map_get(s->subscriptions, id);
    if (sub == NULL) {
        return NULL;
    }
    struct endpoint_limits limits = limits_of(sub);
    c = xcalloc(1, sizeof *c);
    c->sender = s;
    c->id = xstrdup(id);
    c->url = xstrdup(sub->url);
    c->lines = map_new(NULL);
    endpoint_init(&c->endpoint, &limits);
    timer_init(&c->wake, s->set.loop, on_wake, c);
    map_put(s->channels, id, c);
    return c;
}

static void turn_leave(struct channel *c)
{
    struct sender *s = c->sender;
    if (c->has_turn) {
        *(c->turn_prev != NULL ? &c->turn_prev->turn_next : &s->turn_first) = c->turn_next;
        *(c->turn_next != NULL ? &c->turn_next->turn_prev : &s->turn_last) = c->turn_prev;
        c->turn_prev = c->turn_next = NULL;
        c->has_turn = false;
    }
}

static void turn_join(struct channel *c)
{
    struct sender *s = c->sender;
    if (!c->has_turn) {
        c->has_turn = true;
        c->turn_prev = s->turn_last;
        *(c->turn_prev != NULL ? &c->turn_prev->turn_next : &s->turn_first) = c;
        s->turn_last = c;
    }
}

void channel_free(void *channel)
{
    struct channel *c = channel;
    turn_leave(c);
    store_cancel(c->park_call);
    timer_done(&c->wake);
    map_free(c->lines);
    free(c->id);
    free(c->url);
    free(c);
}

static void unpark(struct channel *c)
{
    for (unsigned i = 0; c->parked_in > 0 && i < c->sender->outbox_count; i++) {
        c->parked_in -= map_take(c->sender->outboxes[i].parked, c->id) != NULL;
    }
}

/* Those behind one in a run become ready with its end, and go the same way. */
static void give_back_all(struct channel *c)
{
    if (!c->is_returning) {
        c->is_returning = true;
        while (c->ready.first != NULL) {
            post_give_back(c->ready.first);
        }
        c->is_returning = false;
    }
}

/* Its subscription is gone: what waits here is dropped. */
static void close_channel(struct channel *c)
{
    give_back_all(c);
    unpark(c);
    if (c->has_record) {
        store_cmd(c->sender->set.store, NULL, NULL, "HDEL %ssubscription_health %s",
            store_catalog_prefix(c->sender->set.store), c->id);
        c->has_record = false;
    }
}

void channels_sync(struct sender *s)
{
    interest_forget(&s->interests);
    struct map_iter it = {0};
    const char *id;
    void *value;
    while (map_next(s->channels, &it, &id, &value)) {
        struct channel *c = value;
        const struct subscription *sub = map_get(s->subscriptions, id);
        if (sub != NULL) {
            struct endpoint_limits limits = limits_of(sub);
            endpoint_set_limits(&c->endpoint, &limits);
            if (strcmp(c->url, sub->url) != 0) {
                endpoint_reset(&c->endpoint);
                free(c->url);
                c->url = xstrdup(sub->url);
            }
            channel_update(c);
            continue;
        }
        close_channel(c);
        if (c->posts == 0) {
            map_remove(s->channels, id);
        }
    }
}

void channel_forget(struct channel *c)
{
    struct sender *s = c->sender;
    if (--c->posts == 0 && !map_has(s->subscriptions, c->id)) {
        close_channel(c);
        map_remove(s->channels, c->id);
    }
}

/* ---- turns ---- */

/* The last quarter of all connections is for those that are known to answer. */
static bool has_place(const struct sender *s, bool is_proven)
{
    int64_t most = s->set.max_in_flight * STALLED_TIMES;
    return s->in_flight < s->set.max_in_flight &&
           s->in_flight + s->stalled < (is_proven ? most : most - most / 4);
}

void channels_dispatch(void *owner)
{
    struct sender *s = owner;
    int64_t now_us = clock_now_us();
    const struct channel *passed_over = NULL; /* the first of those */
    while (s->is_running && s->turn_first != NULL && s->turn_first != passed_over &&
           has_place(s, true)) {
        struct channel *c = s->turn_first;
        turn_leave(c);
        if (c->ready.first == NULL || !endpoint_may_begin(&c->endpoint, now_us)) {
            continue;
        }
        if (has_place(s, c->endpoint.is_proven)) {
            post_begin(c->ready.first); /* which calls channel_update() */
        } else {
            turn_join(c);
            passed_over = passed_over != NULL ? passed_over : c;
        }
    }
    outbox_claim_next(s);
}

static void claim_parked(struct channel *c)
{
    struct sender *s = c->sender;
    for (unsigned i = 0; i < s->outbox_count; i++) {
        if (map_has(s->outboxes[i].parked, c->id)) {
            s->outboxes[i].wants_claim = true;
        }
    }
}

void channel_update(struct channel *c)
{
    struct sender *s = c->sender;
    int64_t now_us = clock_now_us(), wakes_us = endpoint_wakes_us(&c->endpoint, now_us);
    if (c->ready.first != NULL && endpoint_is_shut(&c->endpoint, now_us)) {
        give_back_all(c);
    }
    if (c->ready.first != NULL && endpoint_may_begin(&c->endpoint, now_us)) {
        turn_join(c);
    }
    if (c->parked_in > 0 && endpoint_room(&c->endpoint, now_us, false) > 0) {
        claim_parked(c);
    }
    if (wakes_us >= 0 && (c->parked_in > 0 || c->ready.first != NULL)) {
        timer_start_at(&c->wake, wakes_us);
    }
    loop_defer(s->set.loop, &s->dispatch, channels_dispatch, s);
}

/* ---- posts ---- */

static void make_ready(struct channel *c, struct post *post)
{
    post->state = POST_STATE_READY;
    post_list_add(&c->ready, post);
}

void channel_add(struct channel *c, struct post *post)
{
    c->endpoint.held++;
    c->posts++;
    if (post->made == 0 && post->run[0] != '\0') {
        post->is_in_line = true;
        post->before = map_get(c->lines, post->run);
        map_put(c->lines, post->run, post);
    }
    if (post->before != NULL) {
        post->before->behind = post;
        post->state = POST_STATE_WAITING;
    } else {
        make_ready(c, post);
        channel_update(c);
    }
}

void channel_leave_line(struct channel *c, struct post *post, bool go_on)
{
    if (!post->is_in_line) {
        return;
    }
    post->is_in_line = false;
    if (post->behind != NULL) {
        post->behind->before = post->before;
    } else if (post->before != NULL) {
        map_put(c->lines, post->run, post->before);
    } else {
        map_take(c->lines, post->run);
    }
    if (post->before != NULL) {
        post->before->behind = post->behind;
    } else if (go_on && post->behind != NULL && post->behind->state == POST_STATE_WAITING) {
        make_ready(c, post->behind);
    }
    post->before = post->behind = NULL;
}

/* ---- an endpoint that is not sent to ---- */

static void park_next(struct channel *c);

static void on_parked(void *owner, redisReply *reply, const struct err *err)
{
    struct channel *c = owner;
    struct outbox *o = &c->sender->outboxes[c->park_shard];
    c->park_call = NULL;
    bool is_good = err == NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (is_good && reply_int(reply->element[1], 0) != 0 && !map_has(o->parked, c->id)) {
        map_put(o->parked, c->id, c);
        c->parked_in++;
    }
    c->park_after_us = is_good ? reply_int(reply->element[0], -1) : -1;
    if (c->park_after_us < 0) {
        /* Where it failed they come due by their own schedule and are parked then. */
        c->park_shard++;
        c->park_after_us = 0;
    }
    park_next(c);
    channel_update(c);
}

static void park_next(struct channel *c)
{
    struct sender *s = c->sender;
    while (c->park_shard < s->outbox_count && !s->outboxes[c->park_shard].is_ours) {
        c->park_shard++;
    }
    if (c->park_shard == s->outbox_count || !map_has(s->subscriptions, c->id) ||
        c->endpoint.breaker.state == BREAKER_CLOSED) { /* back already: each by its own schedule */
        return;
    }
    const struct outbox *o = &s->outboxes[c->park_shard];
    struct store_args *args = store_args_new();
    store_key(args, "%sdeliveries", o->prefix);
    store_arg(args, o->prefix);
    store_arg_i(args, store_shard_epoch(s->set.store, o->shard));
    store_arg(args, c->id);
    store_arg_i(args, c->park_after_us);
    store_arg_i(args, PARK_AT_ONCE);
    c->park_call = store_eval(s->set.store, &script_deliveries_park, args, on_parked, c);
}

void channel_shut(struct channel *c)
{
    give_back_all(c);
    if (c->park_call == NULL) {
        c->park_shard = 0;
        c->park_after_us = 0;
        park_next(c);
    }
}

/* ---- health ---- */

json_t *channel_health(const struct sender *s, const char *id)
{
    const struct channel *c = map_get(s->channels, id);
    struct endpoint unknown = {0};
    json_t *out = endpoint_health(c != NULL ? &c->endpoint : &unknown, clock_now_us());
    if (c != NULL && c->dropped > 0) {
        json_object_set_new(out, "dropped", json_integer(c->dropped));
    }
    return out;
}

json_t *sender_health(const struct sender *s, size_t at_most)
{
    if (map_count(s->subscriptions) > at_most) {
        return NULL;
    }
    json_t *out = json_object();
    struct map_iter it = {0};
    const char *id;
    void *sub;
    while (map_next(s->subscriptions, &it, &id, &sub)) {
        json_t *health = channel_health(s, id);
        json_object_set_new(
            health, "enabled", json_boolean(((const struct subscription *)sub)->is_enabled));
        json_object_set_new(out, id, health);
    }
    return out;
}

void channel_restore(struct sender *s, const char *id, const char *text)
{
    json_t *record = json_loads(text, 0, NULL);
    struct channel *c = json_is_object(record) ? channel_of(s, id) : NULL;
    if (c != NULL && !c->has_record && !c->is_unsaved && c->endpoint.held == 0) {
        endpoint_restore(&c->endpoint, record);
        c->has_record = true;
    }
    json_decref(record);
}

void channel_note_dropped(struct channel *c, int64_t count)
{
    int64_t now_us = clock_mono_us();
    c->dropped += count;
    if (c->dropped == count || now_us - c->dropped_told_us > DROPPED_TELL_US) {
        c->dropped_told_us = now_us;
        LOG_WARN("webhook deliveries dropped: more wait than may", "subscription=%s dropped=%lld",
            c->id, (long long)c->dropped);
    }
}

static void save_health(struct channel *c)
{
    struct store *store = c->sender->set.store;
    const char *prefix = store_catalog_prefix(store);
    c->is_unsaved = false;
    bool is_well = c->endpoint.breaker.state == BREAKER_CLOSED && c->endpoint.breaker.failures == 0;
    if (!is_well && map_has(c->sender->subscriptions, c->id)) {
        json_t *record = endpoint_record(&c->endpoint);
        CLEANUP(cleanup_free) char *text = jtext(record);
        json_decref(record);
        c->has_record = true;
        store_cmd(store, NULL, NULL, "HSET %ssubscription_health %s %s", prefix, c->id, text);
    } else if (c->has_record) {
        c->has_record = false;
        store_cmd(store, NULL, NULL, "HDEL %ssubscription_health %s", prefix, c->id);
    }
}

void channels_save_health(void *owner)
{
    struct sender *s = owner;
    struct map_iter it = {0};
    void *value;
    while (map_next(s->channels, &it, NULL, &value)) {
        if (((struct channel *)value)->is_unsaved) {
            save_health(value);
        }
    }
}
