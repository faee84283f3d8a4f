/* SPDX-License-Identifier: Apache-2.0 */
/* The sender's insides, shared by the files of this folder. */
#ifndef WEBHOOKS_SENDER_H
#define WEBHOOKS_SENDER_H

#include "base/loop.h"
#include "base/store.h"
#include "webhooks/subscription.h"
#include "webhooks/webhooks.h"

struct post;
struct egress;
struct map;
struct request;
struct store_args;
struct store_call;

/* One shard's part of the outbox. */
struct outbox {
    struct sender *sender;
    unsigned shard;
    const char *prefix;
    bool is_ours;
    bool is_held; /* about to be given up: what is under way ends, nothing is begun */
    /* events -> deliveries */
    struct store_call *pump_call, *rev_call;
    json_t *events; /* read, and not yet turned into deliveries; or NULL */
    char *newest;   /* the last of them */
    bool is_unread; /* they were not even parsed, because nobody is subscribed */
    bool waits_for_subscriptions;
    char *cursor; /* last known; NULL: read it first */
    bool pump_again;
    struct timer pump_retry;
    int64_t pump_backoff_ms;
    /* deliveries -> attempts */
    struct store_call *claim_call, *release_call;
    bool wants_claim;
    bool has_parked; /* deliveries of subscriptions that had no room */
    int64_t waiting; /* deliveries that have not ended; each claim counts them */
    struct timer claim_timer;
    int64_t claim_backoff_ms;
};

struct sender {
    struct sender_settings set;
    struct egress *egress;
    struct outbox *outboxes;
    unsigned outbox_count;
    struct map *subscriptions; /* id -> struct subscription */
    int64_t rev, loading_rev;  /* subscriptions_rev of these; and of those being read */
    struct post *posts;  /* under way */
    int64_t in_flight;
    struct outbox *claiming; /* its claim is under way */
    unsigned claim_turn;     /* shard that is looked at first next time */
    struct request *requests; /* of the API, under way */
    bool is_running;
    struct store_call *rev_call, *load_call;
    void (*fenced)(void *owner, unsigned shard);
    void *fenced_owner;
    void (*started)(void *owner, const struct err *err);
    void *started_owner;
    struct sender_counts counts;
    struct deferred save_errors;
    struct timer expiry; /* of the next secret */
};

/* sender.c: somebody changed the subscriptions: read them, then outbox_enqueue() where it waits. */
void sender_reload(struct sender *sender);
/* request.c: the subscriptions are new: go on with the requests that waited for them. */
void sender_requests_go(struct sender *sender);
/* sender.c: a script says that this shard is not ours. */
void sender_fenced(struct sender *sender, unsigned shard);

/* outbox.c: make deliveries of the events that have been read. */
void outbox_enqueue(struct outbox *outbox);
/* outbox.c: free what a predecessor was sending, then both of the below. */
void outbox_start(struct outbox *outbox);
void outbox_stop(struct outbox *outbox);
/* outbox.c: read new events of the shard and make deliveries of them. */
void outbox_pump(struct outbox *outbox);
/* outbox.c: look for due deliveries and start attempts, when it is this shard's turn. */
void outbox_claim(struct outbox *outbox);
/* outbox.c: the next of those that wait for their turn. */
void outbox_claim_next(struct sender *sender);

/* post.c: POST one delivery; fields is the HGETALL reply, borrowed for the call. */
void post_start(struct outbox *outbox, const char *delivery_id, const redisReply *fields);
/* Of one shard; NULL: all. */
void post_cancel_all(struct sender *sender, const struct outbox *of);
bool post_is_any(const struct outbox *outbox);
bool post_is_running(const struct sender *sender, const char *delivery_id);
/* post.c: arguments of the claim: how many each subscription may have under way. */
void post_add_rooms(struct sender *sender, struct store_args *args);

/* Delay before attempt number `made` + 1, with jitter; -1: give up. */
int64_t post_backoff_ms(int64_t made);

#endif
