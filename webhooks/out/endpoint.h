/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we know of the other end of one subscription, and so how much may be sent there just now:
 * its breaker, a window of attempts under way, a token bucket, a pause it has asked for. Pure;
 * instants are given. Who calls it: dispatch.c.
 *
 * The window begins at 1, grows by 1 with each success and is halved by a failure, between 1 and
 * the subscription's max_in_flight: so a new endpoint that hangs holds one place, and one that
 * comes back gets its backlog at a rate that doubles with each round trip, not at once.
 */
#ifndef WEBHOOKS_ENDPOINT_H
#define WEBHOOKS_ENDPOINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "webhooks/out/breaker.h"

#define ENDPOINT_AHEAD 4 /* deliveries fetched of one that we know nothing of */
#define ENDPOINT_PAUSE_MAX_MS INT64_C(3600000)
#define ENDPOINT_ERROR_MAX 300

struct endpoint_limits {
    bool is_enabled;
    int max_in_flight;
    int64_t max_per_second; /* 0: no limit */
};

struct endpoint {
    struct endpoint_limits limits;
    struct breaker breaker;
    int window;
    int sending;            /* attempts under way */
    int held;               /* deliveries in memory: waiting their turn or being sent */
    bool is_proven;         /* the last attempt that ended was a success */
    int64_t pause_until_us; /* it answered 429 or 503 with Retry-After */
    int64_t tokens_us;      /* of time: an attempt costs a second / max_per_second */
    int64_t refilled_us;
    char last_error[ENDPOINT_ERROR_MAX]; /* of the last failure; "" */
    int64_t last_failure_us, last_success_us;
};

void endpoint_init(struct endpoint *e, const struct endpoint_limits *limits);
/* It is another one by now: nothing bad is known of it. */
void endpoint_reset(struct endpoint *e);
void endpoint_set_limits(struct endpoint *e, const struct endpoint_limits *limits);

/* May an attempt begin now? */
bool endpoint_may_begin(const struct endpoint *e, int64_t now_us);
/* How many more deliveries are worth fetching; is_tight: others need the memory, one at a time. */
int endpoint_room(const struct endpoint *e, int64_t now_us, bool is_tight);
/* Nothing may begin for a second and more, so what waits in memory had better wait elsewhere. */
bool endpoint_is_shut(const struct endpoint *e, int64_t now_us);
/* When one that may not begin for a reason that passes by itself may: -1 if there is none. */
int64_t endpoint_wakes_us(const struct endpoint *e, int64_t now_us);

/* An attempt begins, which may. True: it is the probe of the breaker. */
bool endpoint_begin(struct endpoint *e, int64_t now_us);

enum endpoint_change { ENDPOINT_SAME, ENDPOINT_OPENED, ENDPOINT_CLOSED };
enum endpoint_change endpoint_succeeded(struct endpoint *e, int64_t now_us);
/* pause_ms: it asked for that (0: not). */
enum endpoint_change endpoint_failed(struct endpoint *e, int64_t now_us, uint64_t delivery,
    bool is_probe, int64_t pause_ms, const char *error);
/* It answered, but this message was not to its liking: a probe that ends so has found it there. */
enum endpoint_change endpoint_refused(struct endpoint *e, int64_t now_us, bool is_probe);
/* The attempt was broken off, or says nothing of it. */
void endpoint_undecided(struct endpoint *e, int64_t now_us, bool is_probe);

/* For endpoint_failed(): tells deliveries apart. */
uint64_t endpoint_hash(const char *delivery_id);

/* {"state", "consecutive_failures", "since_us"?, "failing_since_us"?, "last_error"?, ...}: new
 * reference. */
json_t *endpoint_health(const struct endpoint *e, int64_t now_us);
/* What is worth keeping over a restart, and back. */
json_t *endpoint_record(const struct endpoint *e);
void endpoint_restore(struct endpoint *e, const json_t *record);

#endif
