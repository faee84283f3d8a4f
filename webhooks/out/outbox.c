/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One shard's outbox: the event stream is turned into deliveries (one script moves the cursor
 * and stores them), and due deliveries are claimed for sending. Nothing here is remembered only
 * in memory: after a crash both loops go on from Redis.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "scheduler/run.h"
#include "webhooks/out/envelope.h"
#include "webhooks/out/channel.h"
#include "webhooks/out/interest.h"
#include "webhooks/out/news.h"
#include "webhooks/out/subscriptions.h"
#include "webhooks_scripts.h"

#define EVENTS_PER_PUMP 100
#define MATCHES_PER_PUMP 50000 /* a filter takes about 2 us: 0.1 s of the loop */
/* By one script: each has nine arguments, and Redis hangs up on a command of more than a million.
 */
#define DELIVERIES_AT_ONCE 5000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

int64_t outbox_backoff_ms(int64_t *backoff_ms)
{
    int64_t now = *backoff_ms < BACKOFF_MIN_MS ? BACKOFF_MIN_MS : *backoff_ms;
    *backoff_ms = now * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : now * 2;
    uint16_t jitter;
    random_bytes(&jitter, sizeof jitter);
    return now + jitter % (now / 2 + 1);
}

/* ---- events -> deliveries ---- */

static void pump_failed(struct outbox *o, const struct err *err)
{
    free(STEAL(o->cursor)); /* whether it was moved is not known: read it again */
    json_decref(STEAL(o->events));
    free(STEAL(o->group));
    if (err->code == ERR_CONFLICT) {
        o->pump_backoff_ms = 0;
    } else {
        LOG_DEBUG("webhook outbox waits", "shard=%u error=%s", o->shard, LOG_Q(err->msg));
    }
    timer_start_ms(&o->pump_retry, outbox_backoff_ms(&o->pump_backoff_ms));
    if (err->code == ERR_FENCED) {
        sender_fenced(o->sender, o->shard);
    }
}

/* Pairs: subscription id, how many. */
static void note_dropped(struct outbox *o, const redisReply *pairs)
{
    for (size_t i = 1; pairs->type == REDIS_REPLY_ARRAY && i < pairs->elements; i += 2) {
        const char *id = reply_str(pairs->element[i - 1]);
        int64_t count = reply_int(pairs->element[i], 0);
        struct channel *c = channel_of(o->sender, id);
        o->sender->counts.dropped += count;
        if (c != NULL) {
            channel_note_dropped(c, count);
        }
    }
}

static void outbox_enqueue(struct outbox *o);

static void on_enqueued(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->pump_call = NULL;
    FAULT("webhook.enqueue.after");
    if (err != NULL) {
        pump_failed(o, err);
        return;
    }
    o->pump_backoff_ms = 0;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 3) {
        o->waiting += reply_int(reply->element[0], 0);
        outbox_note_parked(o, reply->element[1]);
        note_dropped(o, reply->element[2]);
    }
    outbox_claim(o);
    if (o->events != NULL) {
        outbox_enqueue(o); /* the rest of them */
    } else {
        outbox_pump(o); /* until the stream is empty */
    }
}

/* Straight to where the others of a subscription wait that is not sent to just now. */
static const char *flags_of(const struct outbox *o, const struct subscription *sub)
{
    const struct channel *c = map_get(o->sender->channels, sub->id);
    bool is_parked = map_has(o->parked, sub->id) ||
                     (c != NULL && endpoint_room(&c->endpoint, clock_now_us(), false) == 0);
    return is_parked ? (sub->is_ordered ? "po" : "p") : sub->is_ordered ? "o" : "";
}

/* Add one event's deliveries to the script's arguments. */
static void add_deliveries(struct outbox *o, const json_t *event, struct store_args *args)
{
    const char *type = jget_str(event, "type", NULL), *event_id = jget_str(event, "id", NULL);
    if (type == NULL || event_id == NULL || !id_is_valid(event_id)) {
        LOG_ERROR("event without id or type in the stream", "shard=%u", o->shard);
        return;
    }
    CLEANUP(envelope_set_done)
    struct envelope_set envelopes = {.public_url = o->sender->set.public_url, .event = event};
    struct sender *s = o->sender;
    const struct interest *interest = interest_of(s->interests, s->subscriptions, type);
    struct err bad = ERR_INIT;
    for (size_t i = 0; i < interest->count; i++) {
        const char *id = interest->ids[i];
        struct subscription *sub = map_get(s->subscriptions, id);
        bool is_wanted = sub != NULL && subscription_wants(sub, event, &bad);
        if (bad.code != ERR_NONE) {
            subscriptions_filter_failed(s, sub, &bad);
            err_clear(&bad);
        }
        if (!is_wanted || !news_concerns_other(sub, event)) {
            continue;
        }
        const struct envelope *envelope = envelope_set_get(&envelopes, sub->format, sub->payload);
        if (envelope == NULL) {
            continue;
        }
        CLEANUP(cleanup_free)
        char *headers = envelope->headers != NULL ? jtext(envelope->headers) : NULL;
        struct id delivery;
        id_derive(&delivery, event_id, id);
        store_arg(args, delivery.text);
        store_arg(args, id);
        store_arg(args, event_id);
        store_arg(args, type);
        store_arg(args, envelope->body);
        store_arg(args, envelope->content_type);
        store_arg(args, headers != NULL ? headers : "");
        store_arg(args, jget_str(json_object_get(event, "data"), "run_id", ""));
        store_arg(args, flags_of(o, sub));
    }
}

/* Up to which of the events one script may go: each may be for all who want its type. */
static size_t events_at_once(const struct outbox *o)
{
    const struct sender *s = o->sender;
    size_t end = o->events_done, deliveries = 0;
    for (; end < json_array_size(o->events); end++) {
        const char *type = jget_str(json_array_get(o->events, end), "type", "");
        deliveries += interest_of(s->interests, s->subscriptions, type)->count;
        if (deliveries > DELIVERIES_AT_ONCE && end > o->events_done) {
            break;
        }
    }
    return end;
}

static void pump_read(struct outbox *o);

static void outbox_enqueue(struct outbox *o)
{
    if (o->is_unread && map_count(o->sender->subscriptions) > 0) {
        json_decref(STEAL(o->events)); /* somebody has come: read them after all */
        pump_read(o);
        return;
    }
    /* What goes before the last of them makes its deliveries and leaves the cursor where it is:
     * read again after a failure, they are there already. */
    size_t end = events_at_once(o);
    bool is_last = end == json_array_size(o->events);
    struct store_args *args = store_args_new();
    store_key(args, "%sevents_cursor", o->prefix);
    store_arg(args, o->prefix);
    store_arg_i(args, store_shard_epoch(o->sender->set.store, o->shard));
    store_arg(args, o->cursor);
    store_arg(args, is_last ? o->newest : o->cursor);
    store_arg_i(args, clock_now_us());
    store_arg_i(args, o->sender->set.pending_max);
    store_arg_i(args, o->sender->set.pending_bytes);
    store_arg_i(args, o->sender->set.pending_all_bytes / o->sender->outbox_count);
    for (; o->events_done < end; o->events_done++) {
        add_deliveries(o, json_array_get(o->events, o->events_done), args);
    }
    if (is_last) {
        json_decref(STEAL(o->events));
        free(o->cursor);
        o->cursor = STEAL(o->newest);
    }
    FAULT("webhook.enqueue.before");
    o->pump_call =
        store_eval(o->sender->set.store, &script_deliveries_enqueue, args, on_enqueued, o);
}

/* Asked after the events were read, so whoever was subscribed before one of them happened is known
 * when this is what we have. */
static void on_rev(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->rev_call = NULL;
    if (o->events == NULL) {
        /* There were none, or they could not be read. */
        if (o->pump_again && !timer_is_armed(&o->pump_retry)) {
            outbox_pump(o);
        }
    } else if (err != NULL) {
        pump_failed(o, err);
    } else if (reply_int(reply, 0) != o->sender->rev) {
        o->waits_for_subscriptions = true;
        sender_reload(o->sender);
    } else if (o->group != NULL && str_eq(o->group_at, "0")) {
        json_decref(STEAL(o->events)); /* none yet */
        pump_read(o);
    } else {
        outbox_enqueue(o);
    }
}

/* [id, ["came", when]] tells of a group. */
static bool is_group(const redisReply *entry)
{
    const redisReply *fields = entry->element[1];
    return fields->elements == 2 && str_eq(reply_str(fields->element[0]), "came");
}

/*
 * A claim's entry may report as many events as it had ticks: no more than a few at once, and the
 * fewer the more subscriptions each of them is held against.
 */
static size_t entries_at_once(const struct outbox *o, const redisReply *reply)
{
    size_t entries = 0, events = 0;
    size_t most = MATCHES_PER_PUMP / (map_count(o->sender->subscriptions) + 1);
    most = most < EVENTS_PER_PUMP ? most : EVENTS_PER_PUMP;
    while (entries < reply->elements && (entries == 0 || events < most) &&
           !is_group(reply->element[entries])) {
        events += reply->element[entries++]->element[1]->elements / 2;
    }
    return entries;
}

/* event is taken over; NULL: it could not be read. */
static void event_add(struct outbox *o, json_t *event, const char *where)
{
    if (event == NULL) {
        LOG_ERROR("unreadable event in the stream", "shard=%u entry=%s", o->shard, where);
        return;
    }
    const char *space = o->sender->set.namespace_;
    if (space != NULL) {
        jset_str(json_object_get(event, "data"), "namespace", space);
    }
    json_array_append_new(o->events, event);
}

/* An entry: [id, ["e", event, "e", event ...]]. */
static void events_read(struct outbox *o, const redisReply *entry)
{
    const redisReply *fields = entry->element[1];
    for (size_t i = 1; i < fields->elements; i += 2) {
        const char *text = reply_str(fields->element[i]);
        event_add(o, text != NULL ? json_loads(text, 0, NULL) : NULL, reply_str(entry->element[0]));
    }
}

static void events_until(struct outbox *o, const char *newest, bool is_unread)
{
    free(o->newest);
    o->newest = xstrdup(newest);
    o->events = json_array();
    o->events_done = 0;
    o->is_unread = is_unread;
}

static void group_goes_on(struct outbox *o, const char *at)
{
    free(o->group_at);
    o->group_at = xstrdup(at);
}

/* XRANGE reply: [[id, [field, value, ...]], ...] */
static void on_events(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->pump_call = NULL;
    if (err != NULL) {
        pump_failed(o, err);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        o->pump_backoff_ms = 0;
        return;
    }
    if (is_group(reply->element[0])) {
        const redisReply *entry = reply->element[0];
        events_until(o, o->cursor, false);
        o->group = xstrdup(reply_str(entry->element[0]));
        group_goes_on(o, "0");
        o->group_came_us = reply_int(entry->element[1]->element[1], 0);
        return;
    }
    size_t entries = entries_at_once(o, reply);
    events_until(o, reply_str(reply->element[entries - 1]->element[0]), false);
    for (size_t i = 0; i < entries; i++) {
        events_read(o, reply->element[i]);
    }
}

/* HSCAN reply: [cursor, [run id, run as it was born, ...]]. Some may come twice, which makes no
 * other deliveries. */
static void on_group(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->pump_call = NULL;
    if (err != NULL) {
        pump_failed(o, err);
        return;
    }
    const char *next = reply_str(reply->element[0]);
    const redisReply *runs = reply->element[1];
    bool is_over = str_eq(next, "0");
    events_until(o, is_over ? o->group : o->cursor, false);
    for (size_t i = 1; i < runs->elements; i += 2) {
        const char *id = reply_str(runs->element[i - 1]), *text = reply_str(runs->element[i]);
        event_add(o, run_born_event(id, text, o->group_came_us), o->group);
    }
    if (is_over) {
        free(STEAL(o->group));
    } else {
        group_goes_on(o, next);
    }
}

/* They are for nobody that we know of. */
static void on_newest(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->pump_call = NULL;
    if (err != NULL) {
        pump_failed(o, err);
    } else if (reply_str(reply) == NULL) {
        o->pump_backoff_ms = 0;
    } else {
        events_until(o, reply_str(reply), true);
    }
}

static void pump_read(struct outbox *o)
{
    struct store *store = o->sender->set.store;
    o->pump_again = false;
    if (map_count(o->sender->subscriptions) == 0) {
        struct store_args *args = store_args_new();
        store_key(args, "%sevents", o->prefix);
        store_arg(args, o->cursor);
        free(STEAL(o->group));
        o->pump_call = store_eval(store, &script_events_newest, args, on_newest, o);
    } else if (o->group != NULL) {
        o->pump_call = store_cmd(store, on_group, o, "HSCAN %stold:%s %s COUNT %d", o->prefix,
            o->group, o->group_at, EVENTS_PER_PUMP);
    } else {
        o->pump_call = store_cmd(store, on_events, o, "XRANGE %sevents (%s + COUNT %d", o->prefix,
            o->cursor, EVENTS_PER_PUMP);
    }
    o->rev_call =
        store_cmd(store, on_rev, o, "GET %ssubscriptions_rev", store_catalog_prefix(store));
}

static void on_cursor(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->pump_call = NULL;
    if (err != NULL) {
        pump_failed(o, err);
        return;
    }
    const char *cursor = reply_str(reply);
    free(o->cursor);
    o->cursor = xstrdup(cursor != NULL ? cursor : "0-0");
    pump_read(o);
}

void outbox_pump(struct outbox *o)
{
    if (!o->sender->is_running || !o->is_ours || o->is_held || o->is_starting) {
        return;
    }
    if (o->pump_call != NULL || o->rev_call != NULL || o->events != NULL) {
        o->pump_again = true;
        return;
    }
    timer_stop(&o->pump_retry);
    if (o->cursor == NULL) {
        o->pump_call =
            store_cmd(o->sender->set.store, on_cursor, o, "GET %sevents_cursor", o->prefix);
    } else {
        pump_read(o);
    }
}

/* ---- start ---- */

static void on_released(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->release_call = NULL;
    o->is_starting = false;
    if (err == NULL) {
        outbox_note_parked(o, reply);
    } else {
        LOG_DEBUG("deliveries under way wait for the end of their leases", "shard=%u error=%s",
            o->shard, LOG_Q(err->msg));
    }
    outbox_pump(o);
    outbox_claim(o);
}

static void release(struct outbox *o)
{
    struct sender *s = o->sender;
    struct store_args *args = store_args_new();
    store_key(args, "%sdeliveries", o->prefix);
    store_arg(args, o->prefix);
    store_arg_i(args, store_shard_epoch(s->set.store, o->shard));
    store_arg_i(args, clock_now_us());
    o->release_call = store_eval(s->set.store, &script_deliveries_release, args, on_released, o);
}

static void on_start_rev(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->start_call = NULL;
    if (err == NULL && reply_int(reply, 0) == o->sender->rev) {
        release(o);
    } else {
        o->waits_for_subscriptions = true;
        sender_reload(o->sender);
    }
}

/* A delivery of a subscription that we do not know is dropped, so those of our predecessor come
 * first. */
void outbox_start(struct outbox *o)
{
    struct store *store = o->sender->set.store;
    o->is_starting = true;
    o->start_call =
        store_cmd(store, on_start_rev, o, "GET %ssubscriptions_rev", store_catalog_prefix(store));
}

void outbox_go_on(struct outbox *o)
{
    if (o->waits_for_subscriptions) {
        o->waits_for_subscriptions = false;
        if (o->is_starting) {
            release(o);
        } else {
            outbox_enqueue(o);
        }
    }
}

void outbox_stop(struct outbox *o)
{
    store_cancel(STEAL(o->start_call));
    store_cancel(STEAL(o->release_call));
    store_cancel(STEAL(o->pump_call));
    store_cancel(STEAL(o->rev_call));
    store_cancel(o->claim_call);
    outbox_claim_ended(o);
    store_cancel(STEAL(o->done_call));
    timer_stop(&o->done_retry);
    json_decref(STEAL(o->news));
    json_decref(STEAL(o->news_saving));
    timer_stop(&o->pump_retry);
    timer_stop(&o->claim_timer);
    json_decref(STEAL(o->events));
    free(STEAL(o->newest));
    free(STEAL(o->group));
    free(STEAL(o->group_at));
    free(STEAL(o->cursor));
    o->waits_for_subscriptions = o->wants_claim = o->pump_again = o->is_starting = false;
    struct map_iter it = {0};
    const char *id;
    void *channel;
    while (map_next(o->parked, &it, &id, &channel)) {
        ((struct channel *)channel)->parked_in--;
        map_remove(o->parked, id);
    }
    o->waiting = 0;
}
