/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the outcome of an attempt means, and when the next one is made. Pure. The rules are those of
 * Standard Webhooks 1.0 (operational considerations) and RFC 9110 (10.2.3 Retry-After, 15 status
 * codes); contrib/docs/webhooks.md has the table.
 */
#ifndef WEBHOOKS_RETRY_H
#define WEBHOOKS_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum retry_lane {
    RETRY_LANE_NONE,   /* 2xx: it has arrived */
    RETRY_LANE_LADDER, /* may be better soon: every rung of the schedule */
    RETRY_LANE_SLOW,  /* somebody has to change something first: from the rung of half an hour on */
    RETRY_LANE_NEVER, /* is refused by our own rules, and would be again */
    RETRY_LANE_GONE,  /* 410: the subscription is to be disabled */
};

struct retry_class {
    enum retry_lane lane;
    bool is_endpoint; /* says something of the endpoint, not of this one message */
    bool is_throttle; /* it wants less */
};

/* Of an answer; status 0: there was none (time-out, connection, TLS). */
struct retry_class retry_classify(int status);

#define RETRY_RUNGS_MAX 32
struct retry_schedule {
    int64_t rungs_ms[RETRY_RUNGS_MAX]; /* the wait after the first attempt, the second, ... */
    size_t count;
};

/* "5s,30s,2m": at least one, each from 1 s to 7 days. */
int retry_schedule_parse(const char *text, struct retry_schedule *out, struct err *err);
/* From the first attempt to the last, without jitter. */
int64_t retry_schedule_total_ms(const struct retry_schedule *schedule);

/*
 * The rung after `step` of them have been used up: moves *step and gives the wait, with jitter of a
 * fifth either way; -1: there is none, give up. Only for LADDER and SLOW.
 */
int64_t retry_next_ms(const struct retry_schedule *schedule, enum retry_lane lane, int64_t *step);

/* A Retry-After header: seconds or an HTTP date; milliseconds from now_us, 0 (also for nonsense and
 * NULL) to at_most_ms. */
int64_t retry_after_ms(const char *text, int64_t now_us, int64_t at_most_ms);

#endif
