/* SPDX-License-Identifier: Apache-2.0 */
/* The lease's own structs, for lease.c and held.c. */
#ifndef SCHEDULER_LEASE_INSIDE_H
#define SCHEDULER_LEASE_INSIDE_H

#include "base/buf.h"
#include "base/id.h"
#include "base/loop.h"
#include "base/store.h"
#include "lease/members.h"
#include "lease/shares.h"
#include "scheduler/lease.h"

enum shard_state {
    SHARD_STATE_OTHER,     /* another one's, or nobody's */
    SHARD_STATE_ACQUIRING, /* the script is under way */
    SHARD_STATE_HELD,
    SHARD_STATE_REGAINING, /* held, and Redis does not know it any more */
    SHARD_STATE_LEAVING,   /* held: nothing is begun any more, and soon it is released */
    SHARD_STATE_RELEASING, /* the script is under way */
};

struct shard {
    struct lease *lease;
    unsigned number;
    const char *prefix;
    enum shard_state state;
    bool is_known; /* it has been looked at */
    char target[64], owner[64];
    int64_t epoch; /* as seen last */
    int64_t knocks;
    struct store_call *look_call, *knock_call, *call;
    struct timer drain;
    int64_t leaving_us;
};

struct lease {
    struct loop *loop;
    struct store *store;
    struct lease_owner on;
    char *instance, *host, *version, *url;
    struct id boot; /* this process */
    int64_t started_us, beats, looked_beats;
    struct members members;
    struct shard *shards;
    unsigned shard_count;
    struct store_call *call;
    struct timer timer;
    uint64_t connection;
    int64_t answered_us; /* monotonic: Redis told last who is there */
    bool is_first, is_settled;
    struct lease_counts counts;
    struct buf news; /* shards that were taken in this turn, for one line in the log */
    struct deferred tell_news;
    /* leaving */
    bool is_leaving, is_displaced, has_left;
    int64_t leaving_us;
    char *last_text;
    struct timer drain;
    struct store_call *leave_call;
    void (*stopped)(void *owner);
    void *stopped_owner;
};

void held_init(struct shard *s, struct lease *lease, unsigned number);
void held_done(struct shard *s);
/* Ask Redis whose it is, and do what follows. */
void held_look(struct shard *s);
/* The connection is a new one. */
void held_reconnected(struct lease *lease);
/* The first time that all is clear. */
void held_tell_settled(struct lease *lease);
/* The daemon stops: hold it. Then again and again: true while it is not released; now: do not wait
 * for what is being written. */
void held_begin_leave(struct shard *s);
bool held_leave(struct shard *s, bool now);

#endif
