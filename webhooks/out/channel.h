/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sender has under way to one subscription: the state of its endpoint, the deliveries that
 * wait in memory for their turn, and where more of them are parked.
 */
#ifndef WEBHOOKS_CHANNEL_H
#define WEBHOOKS_CHANNEL_H

#include "base/loop.h"
#include "webhooks/out/endpoint.h"
#include "webhooks/out/sender.h"

struct channel {
    struct sender *sender;
    char *id;  /* of the subscription */
    char *url; /* that the endpoint is known by */
    struct endpoint endpoint;
    size_t posts;           /* of it in memory */
    struct post_list ready; /* may be sent, oldest first */
    struct map *lines;      /* run id -> the last post of those that are sent one after the other */
    struct channel *turn_prev, *turn_next;
    bool has_turn;                /* is among those that may send */
    bool is_returning;            /* what waits here goes back */
    size_t parked_in;             /* shards that have parked deliveries of it */
    int64_t dropped;              /* since the start, because too many waited */
    int64_t dropped_told_us;      /* when the log said so last */
    struct timer wake;            /* the endpoint may be sent to again */
    bool is_unsaved, has_record;  /* its health has changed; is known in Redis */
    struct store_call *park_call; /* deliveries_park.lua, shard by shard */
    unsigned park_shard;
    int64_t park_after_us;
};

/* Made when there is none; NULL only if there is no such subscription and none under way. */
struct channel *channel_of(struct sender *sender, const char *subscription_id);
void channel_free(void *channel);
/* After the subscriptions were read: take their limits, forget those that are gone. */
void channels_sync(struct sender *sender);
/* What is known of its health, also of one without a channel: new reference. */
json_t *channel_health(const struct sender *sender, const char *subscription_id);
void channel_restore(struct sender *sender, const char *subscription_id, const char *record);
/* So many of its oldest went because too many waited. */
void channel_note_dropped(struct channel *c, int64_t count);
/* Write down the health of those that have changed. */
void channels_save_health(void *sender);

/* A delivery was claimed: it waits here for its turn. */
void channel_add(struct channel *c, struct post *post);
/* One of them is being freed; and so may this be. */
void channel_forget(struct channel *c);
/* It is out of the line of its run: the next one is ready. */
void channel_leave_line(struct channel *c, struct post *post, bool go_on);
/* Something has changed: begin what may begin, claim what there is room for. */
void channel_update(struct channel *c);
/* It opened: what waits goes back, in memory and in Redis. */
void channel_shut(struct channel *c);
/* Is called at the bottom of the turn: begins attempts, each channel in its turn. */
void channels_dispatch(void *sender);

#endif
