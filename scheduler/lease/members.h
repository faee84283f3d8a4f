/* SPDX-License-Identifier: Apache-2.0 */
/* The members as this one sees them: pure, but for the clock that is passed in. */
#ifndef SCHEDULER_LEASE_MEMBERS_H
#define SCHEDULER_LEASE_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include <hiredis/hiredis.h>

/* Beats while there are others; and after how long without one a member counts as dead. */
#define BEAT_MS 150
#define SILENT_MS 900
/* One that is alone only looks whether somebody has come. */
#define BEAT_ALONE_MS 500
#define SILENT_ALONE_MS 2000

struct member {
    char *id;
    char *text; /* the record as it was seen last */
    json_t *record;
    int64_t silent_us; /* how long it has not changed while Redis answered us */
    bool is_alive;     /* or not yet known to be dead */
    bool is_sure;      /* its record has been seen to change */
    bool is_seen;      /* in the last answer */
};

struct members {
    char *self; /* instance */
    struct member *all;
    size_t count, cap;
};

void members_init(struct members *m, const char *self);
void members_done(struct members *m);
/*
 * Redis has told who is there (HGETALL), so long after it last did. True when who is alive has
 * changed. Those that have died stay in the list as long as Redis has them.
 */
bool members_take(struct members *m, const redisReply *reply, int64_t since_us);
/* Redis was away: everybody may need a moment to be back. */
void members_excuse(struct members *m, int64_t grace_us);
/* NULL when it is not there. */
const struct member *members_find(const struct members *m, const char *id);
bool members_is_alive(const struct members *m, const char *id);
/* Others that are alive. */
size_t members_others(const struct members *m);
/* Each is known to be alive, or gone. */
bool members_are_sure(const struct members *m);

#endif
