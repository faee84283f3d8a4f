/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A circuit breaker: does it make sense to send to this endpoint? Pure; instants are given.
 *
 * CLOSED: yes. OPEN, after several failures in a row of several deliveries, or when most attempts
 * of the last minutes failed: no, until probe_us. HALF_OPEN: one attempt is under way to find out.
 * Any success closes it. A single delivery that fails again and again opens nothing: its own
 * schedule holds it back, and the endpoint may be fine.
 */
#ifndef WEBHOOKS_BREAKER_H
#define WEBHOOKS_BREAKER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 5   /* in a row open it ... */
#define BREAKER_DELIVERIES 3 /* ... if they are of so many different deliveries at least */
#define BREAKER_SAMPLE 20    /* or so many attempts in the last one to two minutes, of which */
#define BREAKER_PERCENT 70   /* so many per cent failed */
#define BREAKER_WAIT_MS INT64_C(30000)      /* until the first probe; doubles with each */
#define BREAKER_WAIT_MAX_MS INT64_C(600000) /* a fifth more or less, at random */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    enum breaker_state state;
    int64_t since_us;                  /* of the state; 0: ever */
    int64_t failures;                  /* in a row */
    int64_t failing_since_us;          /* the first of them; 0: none */
    int64_t probe_us;                  /* OPEN: when the next attempt may be made */
    int64_t trips;                     /* probes that failed in a row, and the opening */
    uint64_t seen[BREAKER_DELIVERIES]; /* some deliveries of this row */
    unsigned seen_count;
    struct {
        int64_t minute;
        int64_t attempts, failures;
    } counts[2]; /* of this minute and the one before */
};

/* May an attempt begin? */
bool breaker_allows(const struct breaker *b, int64_t now_us);
/* One begins, which was allowed. True: it is the probe, say so when it ends. */
bool breaker_begin(struct breaker *b, int64_t now_us);

/* An attempt ended well. True: that closed it. */
bool breaker_succeeded(struct breaker *b, int64_t now_us);
/* It failed, and that was the endpoint's fault; `delivery` tells deliveries apart. True: that
 * opened it, or left it open for another wait. */
bool breaker_failed(struct breaker *b, int64_t now_us, uint64_t delivery, bool is_probe);
/* It ended without saying anything about the endpoint (or was broken off). */
void breaker_undecided(struct breaker *b, int64_t now_us, bool is_probe);
/* Somebody wants to know now: the next attempt is allowed at once, and makes no wait longer. */
void breaker_hurry(struct breaker *b, int64_t now_us);

const char *breaker_state_name(enum breaker_state state); /* "closed", "open", "half_open" */
/* What a successor has to know, and back; half-open becomes open, with a probe at once. */
json_t *breaker_record(const struct breaker *b);
void breaker_restore(struct breaker *b, const json_t *record);

#endif
