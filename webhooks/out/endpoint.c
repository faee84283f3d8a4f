/* SPDX-License-Identifier: Apache-2.0 */
/* How much may be sent to one endpoint. */
#include "webhooks/out/endpoint.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"

/* So many windows are worth having in memory: the next one is there when one ends, and fetching
 * them costs little each. */
#define AHEAD 4
/* A second's worth may go at once. */
#define BURST_US US_PER_S

static int at_least_one(int n)
{
    return n < 1 ? 1 : n;
}

void endpoint_init(struct endpoint *e, const struct endpoint_limits *limits)
{
    *e = (struct endpoint){.limits = *limits, .window = 1, .tokens_us = BURST_US};
}

void endpoint_reset(struct endpoint *e)
{
    e->breaker = (struct breaker){0};
    e->pause_until_us = 0;
    e->window = 1;
}

void endpoint_set_limits(struct endpoint *e, const struct endpoint_limits *limits)
{
    if (limits->is_enabled && !e->limits.is_enabled) {
        endpoint_reset(e); /* somebody has switched it on again, and knows why */
    }
    e->limits = *limits;
    if (e->window > limits->max_in_flight) {
        e->window = at_least_one(limits->max_in_flight);
    }
}

static int64_t cost_us(const struct endpoint *e)
{
    return US_PER_S / e->limits.max_per_second;
}

static int64_t tokens_now(const struct endpoint *e, int64_t now_us)
{
    int64_t passed = now_us - e->refilled_us;
    if (passed < 0) { /* the clock was set back */
        return e->tokens_us;
    }
    return passed >= BURST_US || e->tokens_us + passed >= BURST_US ? BURST_US
                                                                   : e->tokens_us + passed;
}

static int64_t tokens_left(const struct endpoint *e, int64_t now_us)
{
    return e->limits.max_per_second == 0 ? INT32_MAX : tokens_now(e, now_us) / cost_us(e);
}

/* Apart from the window. */
static bool is_blocked(const struct endpoint *e, int64_t now_us)
{
    return !e->limits.is_enabled || now_us < e->pause_until_us ||
           !breaker_allows(&e->breaker, now_us) || tokens_left(e, now_us) < 1;
}

static int window_now(const struct endpoint *e)
{
    return e->breaker.state == BREAKER_CLOSED ? e->window : 1;
}

bool endpoint_may_begin(const struct endpoint *e, int64_t now_us)
{
    return e->sending < window_now(e) && !is_blocked(e, now_us);
}

int endpoint_room(const struct endpoint *e, int64_t now_us, bool is_tight)
{
    if (is_blocked(e, now_us)) {
        return 0;
    }
    int most = e->breaker.state != BREAKER_CLOSED ? 1
               : e->is_proven                     ? AHEAD * e->window
                                                  : e->window;
    if (e->breaker.state == BREAKER_CLOSED && most < ENDPOINT_AHEAD) {
        most = ENDPOINT_AHEAD;
    }
    most = is_tight ? 1 : most;
    if (e->held > most / 2) {
        return 0; /* many at a time cost little more than one */
    }
    int64_t tokens = tokens_left(e, now_us) - (e->held - e->sending);
    int64_t room = most - e->held;
    room = room < tokens ? room : tokens;
    return room < 0 ? 0 : (int)room;
}

bool endpoint_is_shut(const struct endpoint *e, int64_t now_us)
{
    int64_t soon_us = now_us + US_PER_S;
    return !e->limits.is_enabled || e->pause_until_us > soon_us ||
           (e->breaker.state == BREAKER_OPEN && e->breaker.probe_us > soon_us);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t endpoint_wakes_us(const struct endpoint *e, int64_t now_us)
{
    int64_t at_us = 0;
    if (!e->limits.is_enabled || e->breaker.state == BREAKER_HALF_OPEN) {
        return -1;
    }
    if (e->breaker.state == BREAKER_OPEN) {
        at_us = later(at_us, e->breaker.probe_us);
    }
    at_us = later(at_us, e->pause_until_us);
    if (tokens_left(e, now_us) < 1) {
        at_us = later(at_us, now_us + cost_us(e) - tokens_now(e, now_us));
    }
    return at_us > now_us ? at_us : -1;
}

bool endpoint_begin(struct endpoint *e, int64_t now_us)
{
    e->sending++;
    if (e->limits.max_per_second > 0) {
        e->tokens_us = tokens_now(e, now_us) - cost_us(e);
        e->refilled_us = now_us;
    }
    return breaker_begin(&e->breaker, now_us);
}

static bool is_closed_by_answer(struct endpoint *e, int64_t now_us)
{
    bool has_closed = breaker_succeeded(&e->breaker, now_us);
    if (has_closed) {
        e->window = 1;
        e->pause_until_us = 0;
    }
    return has_closed;
}

enum endpoint_change endpoint_succeeded(struct endpoint *e, int64_t now_us)
{
    bool has_closed = is_closed_by_answer(e, now_us);
    e->sending--;
    e->is_proven = true;
    e->last_success_us = now_us;
    if (e->window < e->limits.max_in_flight) {
        e->window++;
    }
    return has_closed ? ENDPOINT_CLOSED : ENDPOINT_SAME;
}

enum endpoint_change endpoint_failed(struct endpoint *e, int64_t now_us, uint64_t delivery,
    bool is_probe, int64_t pause_ms, const char *error)
{
    e->sending--;
    e->is_proven = false;
    e->window = at_least_one(e->window / 2);
    e->last_failure_us = now_us;
    snprintf(e->last_error, sizeof e->last_error, "%s", error);
    pause_ms = pause_ms > ENDPOINT_PAUSE_MAX_MS ? ENDPOINT_PAUSE_MAX_MS : pause_ms;
    if (pause_ms > 0) {
        e->pause_until_us = later(e->pause_until_us, now_us + pause_ms * US_PER_MS);
    }
    return breaker_failed(&e->breaker, now_us, delivery, is_probe) ? ENDPOINT_OPENED
                                                                   : ENDPOINT_SAME;
}

/*
 * Left open it would be probed with one message after another, each as unwelcome as the last, and
 * would never be back for those that it likes.
 */
enum endpoint_change endpoint_refused(struct endpoint *e, int64_t now_us, bool is_probe)
{
    e->sending--;
    return is_probe && is_closed_by_answer(e, now_us) ? ENDPOINT_CLOSED : ENDPOINT_SAME;
}

void endpoint_undecided(struct endpoint *e, int64_t now_us, bool is_probe)
{
    e->sending--;
    breaker_undecided(&e->breaker, now_us, is_probe);
}

/* FNV-1a; nobody gains from a collision. */
uint64_t endpoint_hash(const char *delivery_id)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const unsigned char *c = (const unsigned char *)delivery_id; *c != '\0'; c++) {
        hash = (hash ^ *c) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void set_time(json_t *out, const char *key, int64_t us)
{
    if (us > 0) {
        json_object_set_new(out, key, json_integer(us));
    }
}

json_t *endpoint_health(const struct endpoint *e, int64_t now_us)
{
    const struct breaker *b = &e->breaker;
    json_t *out = json_pack("{s:s,s:I,s:i}", "state", breaker_state_name(b->state),
        "consecutive_failures", (json_int_t)b->failures, "in_flight", e->sending);
    set_time(out, "since_us", b->since_us);
    set_time(out, "failing_since_us", b->failing_since_us);
    set_time(out, "last_failure_us", e->last_failure_us);
    set_time(out, "last_success_us", e->last_success_us);
    if (b->state == BREAKER_OPEN) {
        set_time(out, "next_probe_us", b->probe_us);
    }
    if (e->pause_until_us > now_us) {
        set_time(out, "paused_until_us", e->pause_until_us);
    }
    jset_str(out, "last_error", e->last_error);
    return out;
}

json_t *endpoint_record(const struct endpoint *e)
{
    json_t *out = breaker_record(&e->breaker);
    jset_str(out, "last_error", e->last_error);
    set_time(out, "last_failure_us", e->last_failure_us);
    set_time(out, "last_success_us", e->last_success_us);
    set_time(out, "pause_until_us", e->pause_until_us);
    return out;
}

void endpoint_restore(struct endpoint *e, const json_t *record)
{
    breaker_restore(&e->breaker, record);
    snprintf(e->last_error, sizeof e->last_error, "%s", jget_str(record, "last_error", ""));
    e->last_failure_us = jget_i64(record, "last_failure_us", 0);
    e->last_success_us = jget_i64(record, "last_success_us", 0);
    e->pause_until_us = jget_i64(record, "pause_until_us", 0);
}
