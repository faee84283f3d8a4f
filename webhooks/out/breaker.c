/* SPDX-License-Identifier: Apache-2.0 */
/* The circuit breaker's state machine. */
#include "webhooks/out/breaker.h"

#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"

#define MINUTE_US (60 * US_PER_S)
/* Opened again so soon after it was closed, the waits go on where they were. */
#define CALM_US (10 * MINUTE_US)

static void move(struct breaker *b, enum breaker_state state, int64_t now_us)
{
    b->state = state;
    b->since_us = now_us;
}

static void count(struct breaker *b, int64_t now_us, bool failed)
{
    int64_t minute = now_us / MINUTE_US;
    if (b->counts[0].minute != minute) {
        b->counts[1] = b->counts[0];
        if (b->counts[1].minute != minute - 1) {
            b->counts[1].attempts = b->counts[1].failures = 0;
        }
        b->counts[0].minute = minute;
        b->counts[0].attempts = b->counts[0].failures = 0;
    }
    b->counts[0].attempts++;
    b->counts[0].failures += failed;
}

static void see(struct breaker *b, uint64_t delivery)
{
    for (unsigned i = 0; i < b->seen_count; i++) {
        if (b->seen[i] == delivery) {
            return;
        }
    }
    if (b->seen_count < BREAKER_DELIVERIES) {
        b->seen[b->seen_count++] = delivery;
    }
}

static bool is_too_much(const struct breaker *b)
{
    int64_t attempts = b->counts[0].attempts + b->counts[1].attempts;
    int64_t failures = b->counts[0].failures + b->counts[1].failures;
    return (b->failures >= BREAKER_FAILURES && b->seen_count == BREAKER_DELIVERIES) ||
           (attempts >= BREAKER_SAMPLE && failures * 100 >= attempts * BREAKER_PERCENT);
}

static void open_up(struct breaker *b, int64_t now_us)
{
    int64_t wait_ms = BREAKER_WAIT_MS;
    for (int64_t i = 0; i < b->trips && wait_ms < BREAKER_WAIT_MAX_MS; i++) {
        wait_ms *= 2;
    }
    wait_ms = wait_ms > BREAKER_WAIT_MAX_MS ? BREAKER_WAIT_MAX_MS : wait_ms;
    uint16_t r;
    random_bytes(&r, sizeof r);
    wait_ms += wait_ms / 5 * (2 * (int64_t)r - UINT16_MAX) / UINT16_MAX;
    b->trips++;
    b->probe_us = now_us + wait_ms * US_PER_MS;
    if (b->state == BREAKER_CLOSED) {
        move(b, BREAKER_OPEN, now_us);
    }
    b->state = BREAKER_OPEN; /* after a probe it has been open all the time */
    memset(b->counts, 0, sizeof b->counts);
}

bool breaker_allows(const struct breaker *b, int64_t now_us)
{
    return b->state == BREAKER_CLOSED || (b->state == BREAKER_OPEN && now_us >= b->probe_us);
}

bool breaker_begin(struct breaker *b, int64_t now_us)
{
    (void)now_us;
    if (b->state != BREAKER_OPEN) {
        return false;
    }
    b->state = BREAKER_HALF_OPEN;
    return true;
}

bool breaker_succeeded(struct breaker *b, int64_t now_us)
{
    b->failures = b->failing_since_us = 0;
    b->seen_count = 0;
    count(b, now_us, false);
    if (b->state == BREAKER_CLOSED) {
        if (b->trips > 0 && now_us - b->since_us > CALM_US) {
            b->trips = 0;
        }
        return false;
    }
    memset(b->counts, 0, sizeof b->counts);
    b->probe_us = 0;
    move(b, BREAKER_CLOSED, now_us);
    return true;
}

bool breaker_failed(struct breaker *b, int64_t now_us, uint64_t delivery, bool is_probe)
{
    if (b->failures++ == 0) {
        b->failing_since_us = now_us;
    }
    if (b->state == BREAKER_HALF_OPEN && is_probe) {
        open_up(b, now_us);
        return true;
    }
    if (b->state != BREAKER_CLOSED) {
        return false; /* begun before it opened */
    }
    count(b, now_us, true);
    see(b, delivery);
    if (!is_too_much(b)) {
        return false;
    }
    open_up(b, now_us);
    return true;
}

void breaker_undecided(struct breaker *b, int64_t now_us, bool is_probe)
{
    if (b->state == BREAKER_HALF_OPEN && is_probe) {
        b->state = BREAKER_OPEN;
        b->probe_us = now_us;
    }
}

void breaker_hurry(struct breaker *b, int64_t now_us)
{
    if (b->state == BREAKER_OPEN && b->probe_us > now_us) {
        b->probe_us = now_us;
        b->trips -= b->trips > 0 ? 1 : 0; /* it comes on top of those that make the waits longer */
    }
}

const char *breaker_state_name(enum breaker_state state)
{
    static const char *const names[] = {"closed", "open", "half_open"};
    return names[state];
}

json_t *breaker_record(const struct breaker *b)
{
    return json_pack("{s:i,s:s,s:I,s:I,s:I,s:I,s:I}", "v", 1, "state", breaker_state_name(b->state),
        "since_us", (json_int_t)b->since_us, "failures", (json_int_t)b->failures,
        "failing_since_us", (json_int_t)b->failing_since_us, "probe_us", (json_int_t)b->probe_us,
        "trips", (json_int_t)b->trips);
}

void breaker_restore(struct breaker *b, const json_t *record)
{
    const char *state = jget_str(record, "state", "");
    bool is_probing = strcmp(state, "half_open") == 0;
    *b = (struct breaker){
        .state = is_probing || strcmp(state, "open") == 0 ? BREAKER_OPEN : BREAKER_CLOSED,
        .since_us = jget_i64(record, "since_us", 0),
        .failures = jget_i64(record, "failures", 0),
        .failing_since_us = jget_i64(record, "failing_since_us", 0),
        .probe_us = is_probing ? 0 : jget_i64(record, "probe_us", 0),
        .trips = jget_i64(record, "trips", 0),
    };
}
