/* SPDX-License-Identifier: Apache-2.0 */
/* One operation of the API that is under way: what it asks Redis, and whom it answers. */
#ifndef WEBHOOKS_REQUEST_H
#define WEBHOOKS_REQUEST_H

#include <jansson.h>

#include "base/err.h"
#include "webhooks/out/sender.h"

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
    /* subscription_change.c */
    int (*change)(struct request *r, json_t *record);
    json_t *body; /* what is asked for */
    char *stored; /* the record that the change was made from */
    char *secret; /* a new one, shown in the answer */
    unsigned conflicts;
    bool is_other_filter;
    char changed[256]; /* names of members, for the log */
    /* subscription_ping.c */
    struct timer timer;
    int64_t wait_ms; /* below 0: as long as an attempt may take */
    int64_t deadline_us, poll_ms;
    unsigned shard;
    /* deliveries.c, redeliver.c */
    int64_t bound_us; /* older ones may be missing from what the shards gave */
    int64_t count;
    char *request_id;
    bool is_range;
};

struct part {
    struct request *request;
    struct store_call *call;
};

/* Known to the sender until request_end(). */
struct request *request_new(struct sender *s, webhook_json_fn *done, void *owner);
/* Ask this many things at once; what was there before is over. */
struct part *request_parts(struct request *r, unsigned count);
/* Tell the caller: rows, or err when there is one; and free it. */
void request_end(struct request *r);
/* The same from the loop, for what was decided inside the call that began it. */
void request_end_soon(struct request *r);
/* Break it off without an answer. */
void request_free(struct request *r);
/* Another daemon may have changed the subscriptions: go on when ours are the newest. */
void request_begin(struct request *r, void (*go)(struct request *r));

#endif
