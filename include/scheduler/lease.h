/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several daemons on one Redis: who is there, and which of them carries which shard on.
 *
 * A daemon is a member as long as its counter in Redis changes; each member judges that by its own
 * monotonic clock and only while Redis answers it, so no clocks are compared and a Redis that is
 * away puts nobody out. Each shard belongs to one member, by a rule that all compute alike from
 * the list of members. A shard whose holder is gone is taken by the member that the rule names; one
 * that the rule gives to another live member is given up, by its holder: while that one lives
 * nobody else takes it. So whoever finds itself written as the holder of what it does not carry on
 * (the process before it did, or an answer was lost) takes it, also when it is to be given up at
 * once: no shard is left to nobody for longer than a few beats. Taking a shard raises its epoch,
 * and all scripts that carry runs on compare it: a holder that was put out writes nothing more.
 */
#ifndef SCHEDULER_LEASE_H
#define SCHEDULER_LEASE_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct lease;
struct loop;
struct store;

/* What is done about shards. Called from the loop, never from within a call of lease.h but
 * lease_stop(). */
struct lease_owner {
    /* It is ours: store_shard_epoch() is set. */
    void (*start)(void *owner, unsigned shard);
    /* It is another one's turn. May it be given up now? Asked at each beat until it may. */
    bool (*may_go)(void *owner, unsigned shard);
    /* It is about to be given up: begin nothing in it. */
    void (*hold)(void *owner, unsigned shard);
    /* After that: nothing of it is being written any more. Not waited for beyond a second. */
    bool (*is_quiet)(void *owner, unsigned shard);
    /* It is not ours any more; another daemon may have it already when is_fenced. */
    void (*stop)(void *owner, unsigned shard, bool is_fenced);
    /* Redis had lost that it is ours and knows it again: what it confirmed last may be lost too. */
    void (*regained)(void *owner, unsigned shard);
    /* The connection to Redis is a new one: compare what is in memory. */
    void (*reconnected)(void *owner, unsigned shard);
    /* Another daemon has changed this run or recurring run; id NULL: it is not known which. */
    void (*knock)(void *owner, unsigned shard, const char *kind, const char *id);
    /* For the first time it is known who is there, and what is ours of what was free is started. */
    void (*settled)(void *owner);
    /* Another process has joined under our instance (a copy of our data folder), or one that keeps
     * its records in a later layout: leave. */
    void (*displaced)(void *owner);
    void *owner;
};

struct lease_settings {
    struct loop *loop;
    struct store *store;  /* borrowed */
    const char *instance; /* id of this daemon, the same after a restart */
    const char *host;     /* for people; may be NULL */
    const char *version;
};
/* Settings are copied. */
struct lease *lease_new(const struct lease_settings *settings, const struct lease_owner *owner);
/* How other daemons and their clients reach us. Before the start. */
void lease_set_url(struct lease *lease, const char *url);
void lease_start(struct lease *lease);
/*
 * Leave in order: hold every shard, wait a moment for what is being written, stop and release it,
 * and be a member no more. done once, from the loop, also when Redis is away.
 */
void lease_stop(struct lease *lease, void (*done)(void *owner), void *owner);
void lease_free(struct lease *lease);

/* Something was refused as fenced: find out now. */
void lease_check(struct lease *lease, unsigned shard);
/* Whether other members are alive. */
bool lease_has_others(const struct lease *lease);
/* Where the daemon is reached that carries the shard on; NULL: that is us, or not known. */
const char *lease_url(const struct lease *lease, unsigned shard);
/* The same of a member by its instance. */
const char *lease_url_of(const struct lease *lease, const char *instance);
/*
 * New reference: [{"id","host","pid","version","url","started_us","self":bool,"alive":bool,
 * "shards":[0,1]}], by id.
 */
json_t *lease_members(const struct lease *lease);

struct lease_counts {
    int64_t held;       /* shards, now */
    int64_t members;    /* alive, we too */
    int64_t taken;      /* shards, since the start */
    int64_t taken_over; /* of these, from members that had died */
    int64_t given_up;   /* to others */
    int64_t fenced;     /* lost to others while we thought they were ours */
};
void lease_counts(const struct lease *lease, struct lease_counts *out);

#endif
