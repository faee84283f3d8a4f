/* SPDX-License-Identifier: Apache-2.0 */
/* The sender's insides, shared by the files of this folder. */
#ifndef WEBHOOKS_SENDER_H
#define WEBHOOKS_SENDER_H

#include "base/loop.h"
#include "base/store.h"
#include "webhooks/out/retry.h"
#include "webhooks/out/subscription.h"
#include "webhooks/webhooks.h"

struct channel;
struct egress;
struct map;
struct post;
struct request;
struct store_args;
struct store_call;

struct post_list {
    struct post *first, *last;
};

/* One shard's part of the outbox. */
struct outbox {
    struct sender *sender;
    unsigned shard;
    const char *prefix;
    bool is_ours;
    bool is_held; /* about to be given up: what is under way ends, nothing is begun */
    /* events -> deliveries */
    struct store_call *pump_call, *rev_call;
    json_t *events;     /* read, and not all turned into deliveries; or NULL */
    size_t events_done; /* the first of them are */
    char *newest;       /* the last of them */
    /* A group of runs that came together (scheduler/trigger/ahead_reveal.lua) is gone through in portions. */
    char *group;          /* the entry that tells of it; or NULL */
    char *group_at;       /* where HSCAN goes on */
    int64_t group_came_us;
    bool is_unread;     /* they were not even read, because nobody is subscribed */
    bool waits_for_subscriptions;
    char *cursor; /* last known; NULL: read it first */
    bool pump_again;
    struct timer pump_retry;
    int64_t pump_backoff_ms;
    /* deliveries -> attempts */
    struct store_call *start_call, *claim_call, *release_call;
    bool is_starting; /* nothing else is begun yet */
    int64_t claiming; /* places that it may fill */
    bool wants_claim;
    struct map *parked; /* subscription id -> its channel: has parked deliveries here */
    size_t parked_turn; /* which of them is named first */
    int64_t waiting;    /* deliveries that have not ended; each claim counts them */
    struct timer claim_timer;
    int64_t claim_backoff_ms;
    size_t posts; /* in memory */
    /* attempts -> results */
    struct post_list results; /* ended, and not yet given to Redis */
    struct post_list saving;  /* with Redis */
    json_t *news;             /* events (texts) that go with the next results; or NULL */
    json_t *news_saving;
    struct store_call *done_call;
    struct timer done_retry;
};

struct sender {
    struct sender_settings set;
    struct retry_schedule schedule;
    struct egress *egress;
    struct outbox *outboxes;
    unsigned outbox_count;
    struct map *subscriptions; /* id -> struct subscription */
    struct map *unreadable;    /* ids of those that are there and cannot be read */
    struct map *interests;     /* interest.h's cache */
    struct map *disabling;     /* id -> JSON {"url","why"}: disabled in memory, not yet in Redis */
    int64_t rev, loading_rev;  /* subscriptions_rev of these; and of those being read */
    struct map *channels; /* subscription id -> struct channel, where there is something to know */
    struct map *posts;    /* delivery id -> struct post */
    /* In the order in which they began. Those without an answer for a while stand apart: their
     * places are given to others. */
    struct post_list sending, stalled_posts;
    int64_t in_flight, stalled;
    struct channel *turn_first, *turn_last; /* have something to send, and may */
    struct deferred dispatch;
    struct timer stall_timer, health_timer, sweep_timer;
    unsigned claims;          /* under way */
    int64_t claimed;          /* places they may fill */
    unsigned claim_turn;      /* shard that is looked at first next time */
    int64_t redeliver_us;     /* redeliver.c's token bucket */
    struct request *requests; /* of the API, under way */
    bool is_running;
    struct store_call *rev_call, *load_call, *health_call, *sweep_call;
    void (*fenced)(void *owner, unsigned shard);
    void *fenced_owner;
    void (*started)(void *owner, const struct err *err);
    void *started_owner;
    struct sender_counts counts;
    struct deferred save_errors;
    struct timer expiry; /* of the next secret */
};

/* sender.c: somebody changed the subscriptions: read them, then outbox_go_on() where it waits. */
void sender_reload(struct sender *sender);
/* request.c: the subscriptions are new: go on with the requests that waited for them. */
void sender_requests_go(struct sender *sender);
/* request.c: they cannot be read, and somebody has to change that: tell the requests that wait. */
void sender_requests_fail(struct sender *sender, const struct err *err);
/* sender.c: a script says that this shard is not ours. */
void sender_fenced(struct sender *sender, unsigned shard);
/*
 * sender.c: nobody is to be called at this URL again: switch it off. At once in memory; the event
 * that says so is written with the next result of `outbox`, and the record after that, so that
 * neither is without the other for good.
 */
void sender_disable(
    struct outbox *outbox, struct subscription *sub, const char *url, const char *why);
/* sender.c: such events have been written. */
void sender_write_disabled(struct sender *sender);

/* sender.c: from an event to the receiver's 2xx. */
void sender_count_lateness(struct sender *sender, int64_t us);

/* outbox.c: learn of the subscriptions that a predecessor knew, free what it was sending, then both
 * of the below. */
void outbox_start(struct outbox *outbox);
/* outbox.c: the subscriptions that it waited for are here. */
void outbox_go_on(struct outbox *outbox);
void outbox_stop(struct outbox *outbox);
/* outbox.c: read new events of the shard and make deliveries of them. */
void outbox_pump(struct outbox *outbox);
/* outbox.c: wait a little longer each time. */
int64_t outbox_backoff_ms(int64_t *backoff_ms);

/* claim.c: look for due deliveries and start attempts, when it is this shard's turn. */
void outbox_claim(struct outbox *outbox);
/* claim.c: the next of those that wait for their turn. */
void outbox_claim_next(struct sender *sender);
/* claim.c: its claim is over, whatever it brought. */
void outbox_claim_ended(struct outbox *outbox);
/* claim.c: this subscription has been deleted, and what it has goes. */
void outbox_drop(struct outbox *outbox, const char *subscription_id);
/* claim.c: names in a reply: these subscriptions have parked deliveries in this shard. */
void outbox_note_parked(struct outbox *outbox, const redisReply *names);

/* results.c: tell Redis how it ended; the post is freed when Redis knows. */
void outbox_record(struct outbox *outbox, struct post *post);
/* results.c: before anything else of it. */
void outbox_results_init(struct outbox *outbox);
/* results.c: an event (JSON text) to be written with the next result of this shard. */
void outbox_add_news(struct outbox *outbox, const char *event);

#endif
