/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deliveries -> attempts: those that are due are claimed, a few shards at a time, no more than are
 * worth having in memory. Each subscription's room goes with the claim, so that what cannot be sent
 * now is parked in Redis instead of being looked at again and again.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/post.h"
#include "webhooks_scripts.h"

#define CLAIM_MAX 64
#define CLAIMS_AT_ONCE 4
#define CLAIM_HEAD 4  /* elements of the claim's reply before the deliveries */
#define NAMES_MAX 500 /* subscriptions whose room is told in one claim */
#define HELD_TIMES 8  /* deliveries in memory, so many times the places */
#define LEASE_SLACK_US (10 * US_PER_S)

/* ---- what is parked where ---- */

void outbox_drop(struct outbox *o, const char *subscription_id)
{
    struct store_args *args = store_args_new();
    store_key(args, "%sdeliveries", o->prefix);
    store_arg(args, o->prefix);
    store_arg(args, subscription_id);
    store_eval(o->sender->set.store, &script_deliveries_drop, args, NULL, NULL);
    if (o->is_ours) {
        outbox_claim(o); /* which counts what is left */
    }
}

static void note_parked(struct outbox *o, const char *id)
{
    struct channel *c = channel_of(o->sender, id);
    if (c == NULL && map_has(o->sender->unreadable, id)) {
        return; /* for whoever can read it */
    }
    if (c == NULL) { /* its subscription has been deleted */
        outbox_drop(o, id);
    } else {
        if (!map_has(o->parked, id)) {
            map_put(o->parked, id, c);
            c->parked_in++;
        }
        channel_update(c);
    }
}

void outbox_note_parked(struct outbox *o, const redisReply *names)
{
    for (size_t i = 0; names->type == REDIS_REPLY_ARRAY && i < names->elements; i++) {
        note_parked(o, reply_str(names->element[i]));
    }
}

static void note_emptied(struct outbox *o, const redisReply *names)
{
    for (size_t i = 0; names->type == REDIS_REPLY_ARRAY && i < names->elements; i++) {
        struct channel *c = map_take(o->parked, reply_str(names->element[i]));
        if (c != NULL) {
            c->parked_in--;
        }
    }
}

/* ---- the claim ---- */

static int64_t held_max(const struct sender *s)
{
    return s->set.max_in_flight * HELD_TIMES;
}

static int64_t free_places(const struct sender *s)
{
    return held_max(s) - (int64_t)map_count(s->posts) - s->claimed;
}

static bool is_tight(const struct sender *s)
{
    return free_places(s) < held_max(s) / 2;
}

static void claim_start(struct outbox *o);

void outbox_claim_next(struct sender *s)
{
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct outbox *o = &s->outboxes[(s->claim_turn + i) % s->outbox_count];
        if (!s->is_running || s->claims >= CLAIMS_AT_ONCE || free_places(s) <= 0) {
            return;
        }
        if (o->wants_claim && o->is_ours && !o->is_held && !o->is_starting &&
            o->claim_call == NULL) {
            s->claim_turn = o->shard + 1;
            i = (unsigned)-1; /* from the one behind it */
            claim_start(o);
        }
    }
}

static void claim_answered(struct outbox *o, const redisReply *reply)
{
    int64_t next_us = reply_int(reply->element[0], -1);
    o->claim_backoff_ms = 0;
    o->waiting = reply_int(reply->element[1], 0);
    outbox_note_parked(o, reply->element[2]);
    note_emptied(o, reply->element[3]);
    for (size_t i = CLAIM_HEAD; i < reply->elements; i++) {
        const redisReply *row = reply->element[i];
        const char *id = reply_str(row->element[0]);
        /* Its lease has ended because Redis was away: it is ours still. */
        if (!map_has(o->sender->posts, id)) {
            post_start(o, id, row->element[1]);
        }
    }
    if (reply->elements > CLAIM_HEAD) {
        o->wants_claim = true; /* until nothing is due */
    } else if (next_us >= 0 && !o->wants_claim) {
        timer_start_at(&o->claim_timer, next_us);
    }
}

static void on_claimed(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    struct sender *s = o->sender;
    outbox_claim_ended(o);
    if (err == NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements >= CLAIM_HEAD) {
        claim_answered(o, reply);
    } else if (err != NULL) {
        timer_start_ms(&o->claim_timer, outbox_backoff_ms(&o->claim_backoff_ms));
        if (err->code == ERR_FENCED) {
            sender_fenced(s, o->shard);
        }
    }
    outbox_claim_next(s);
}

/* Subscriptions that have something parked here and may be sent to, each claim beginning with
 * another. */
static void add_parked(struct outbox *o, struct store_args *args, int64_t now_us)
{
    size_t count = 0, all = map_count(o->parked);
    CLEANUP(cleanup_free) const char **names = xcalloc(all + 1, sizeof *names);
    struct map_iter it = {0};
    const char *id;
    void *value;
    while (map_next(o->parked, &it, &id, &value)) {
        const struct channel *c = value;
        if (endpoint_room(&c->endpoint, now_us, is_tight(o->sender)) > 0) {
            names[count++] = id;
        }
    }
    size_t named = count < NAMES_MAX ? count : NAMES_MAX;
    store_arg_i(args, (int64_t)named);
    for (size_t i = 0; i < named; i++) {
        store_arg(args, names[(o->parked_turn + i) % count]);
    }
    o->parked_turn++;
}

static int add_rooms_that(
    struct sender *s, struct store_args *args, int64_t now_us, bool less, int usual, int at_most)
{
    struct map_iter it = {0};
    const char *id;
    void *value;
    int named = 0;
    while (named < at_most && map_next(s->channels, &it, &id, &value)) {
        const struct channel *c = value;
        int room = endpoint_room(&c->endpoint, now_us, is_tight(s));
        if (less ? room < usual : room > usual && c->endpoint.held > 0) {
            store_arg(args, id);
            store_arg_i(args, room);
            named++;
        }
    }
    return named;
}

/* The others have the usual room, that of one that we know nothing of. */
static void add_rooms(struct sender *s, struct store_args *args, int64_t now_us, int usual)
{
    int named = add_rooms_that(s, args, now_us, true, usual, NAMES_MAX);
    add_rooms_that(s, args, now_us, false, usual, NAMES_MAX - named);
}

static void claim_start(struct outbox *o)
{
    struct sender *s = o->sender;
    o->wants_claim = false;
    timer_stop(&o->claim_timer);
    int64_t now_us = clock_now_us(), places = free_places(s);
    o->claiming = places < CLAIM_MAX ? places : CLAIM_MAX;
    struct store_args *args = store_args_new();
    store_key(args, "%sdeliveries", o->prefix);
    store_arg(args, o->prefix);
    store_arg_i(args, store_shard_epoch(s->set.store, o->shard));
    store_arg_i(args, now_us);
    store_arg_i(args, now_us + s->set.timeout_ms * US_PER_MS + LEASE_SLACK_US);
    store_arg_i(args, o->claiming);
    int usual = is_tight(s) ? 1 : ENDPOINT_AHEAD;
    store_arg_i(args, usual);
    add_parked(o, args, now_us);
    add_rooms(s, args, now_us, usual);
    s->claims++;
    s->claimed += o->claiming;
    o->claim_call = store_eval(s->set.store, &script_deliveries_claim, args, on_claimed, o);
}

void outbox_claim_ended(struct outbox *o)
{
    if (o->claim_call != NULL) {
        o->claim_call = NULL;
        o->sender->claims--;
        o->sender->claimed -= o->claiming;
    }
}

void outbox_claim(struct outbox *o)
{
    o->wants_claim = true;
    outbox_claim_next(o->sender);
}
