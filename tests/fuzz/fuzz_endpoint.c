/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens to an endpoint, one byte a step, and what must hold after each: never more attempts
 * than its window, one probe at a time, none while it is open, a wake-up for every wait that ends
 * by itself. The rest of the input, after a zero byte, is a Retry-After header.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/out/endpoint.h"
#include "webhooks/out/retry.h"

#define START_US (INT64_C(1795000000) * US_PER_S)
#define ATTEMPTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct endpoint e;
    struct endpoint_limits limits;
    int64_t now_us;
    bool probes[ATTEMPTS_MAX]; /* attempts under way: is it the probe? */
    int under_way;
};

static bool take_attempt(struct world *w, unsigned which)
{
    int at = (int)(which % (unsigned)w->under_way);
    bool is_probe = w->probes[at];
    w->probes[at] = w->probes[--w->under_way];
    return is_probe;
}

/* A successor knows what the record says: no more attempts than none are under way. */
static void restart(struct world *w)
{
    json_t *record = endpoint_record(&w->e);
    struct breaker before = w->e.breaker;
    endpoint_init(&w->e, &w->limits);
    endpoint_restore(&w->e, record);
    json_decref(record);
    w->under_way = 0;
    assert(w->e.breaker.failures == before.failures);
    assert((w->e.breaker.state == BREAKER_CLOSED) == (before.state == BREAKER_CLOSED));
    assert(before.state != BREAKER_HALF_OPEN || breaker_allows(&w->e.breaker, w->now_us));
}

static void step(struct world *w, uint8_t byte)
{
    struct endpoint *e = &w->e;
    unsigned detail = byte >> 3;
    switch (byte & 7) {
    case 0:
        w->now_us += (int64_t)detail * detail * detail * US_PER_S / 8;
        break;
    case 1:
    case 2:
        while (w->under_way < ATTEMPTS_MAX && endpoint_may_begin(e, w->now_us) && detail-- > 0) {
            bool was_open = e->breaker.state == BREAKER_OPEN;
            w->probes[w->under_way] = endpoint_begin(e, w->now_us);
            assert(w->probes[w->under_way] == was_open);
            w->under_way++;
        }
        break;
    case 3:
        if (w->under_way > 0) {
            take_attempt(w, detail);
            endpoint_succeeded(e, w->now_us);
            assert(e->breaker.state == BREAKER_CLOSED && e->breaker.failures == 0);
        }
        break;
    case 4:
    case 5:
        if (w->under_way > 0) {
            bool is_probe = take_attempt(w, detail);
            endpoint_failed(
                e, w->now_us, detail, is_probe, detail == 31 ? 90000 : 0, "it did not go well");
            assert(!is_probe || e->breaker.state != BREAKER_HALF_OPEN);
        }
        break;
    case 6:
        if (w->under_way > 0) {
            endpoint_undecided(e, w->now_us, take_attempt(w, detail));
        }
        break;
    default:
        if (detail == 0) {
            restart(w);
        } else {
            w->limits = (struct endpoint_limits){.is_enabled = detail % 4 != 1,
                .max_in_flight = 1 + (int)(detail % 16),
                .max_per_second = detail < 16 ? 0 : (int64_t)detail * detail};
            endpoint_set_limits(e, &w->limits);
        }
    }
}

static void check(const struct world *w)
{
    const struct endpoint *e = &w->e;
    int probes = 0;
    for (int i = 0; i < w->under_way; i++) {
        probes += w->probes[i];
    }
    assert(e->sending == w->under_way);
    assert(e->window >= 1 && e->window <= e->limits.max_in_flight);
    assert(e->breaker.state != BREAKER_HALF_OPEN || probes >= 1);
    assert(e->breaker.state != BREAKER_OPEN || e->breaker.failing_since_us != 0);
    assert((e->breaker.failures == 0) == (e->breaker.failing_since_us == 0));
    int64_t wakes_us = endpoint_wakes_us(e, w->now_us);
    assert(wakes_us == -1 || wakes_us > w->now_us);
    bool may = endpoint_may_begin(e, w->now_us);
    assert(!may || (e->limits.is_enabled && !endpoint_is_shut(e, w->now_us)));
    assert(endpoint_room(e, w->now_us, false) == 0 || e->limits.is_enabled);
    if (!may && e->limits.is_enabled && e->sending == 0 && e->breaker.state != BREAKER_HALF_OPEN) {
        assert(wakes_us != -1); /* or it would wait for ever */
    }
    json_t *health = endpoint_health(e, w->now_us);
    assert(jget_str(health, "state", NULL) != NULL);
    json_decref(health);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.limits = {.is_enabled = true, .max_in_flight = 16}, .now_us = START_US};
    size_t i = 0;
    endpoint_init(&w.e, &w.limits);
    for (; i < size && data[i] != 0; i++) {
        step(&w, data[i]);
        check(&w);
    }
    if (i < size) {
        CLEANUP(cleanup_free) char *text = xstrndup((const char *)data + i + 1, size - i - 1);
        int64_t ms = retry_after_ms(text, START_US, 86400000);
        assert(ms >= 0 && ms <= 86400000 && ms % 1000 == 0);
    }
    return 0;
}
