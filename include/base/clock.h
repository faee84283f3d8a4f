/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. Instants are int64_t microseconds since 1970-01-01T00:00:00Z (suffix _us). No other
 * file reads the system clock. In TESTING builds the wall clock can be set and moved; timers
 * armed for an instant follow it (see loop.h).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)

int64_t clock_now_us(void);  /* wall clock */
int64_t clock_mono_us(void); /* for durations; never moves back; not affected by clock_shift */

/* Move the wall clock by delta from the real one (0 = real). Only does anything when TESTING. */
void clock_set_shift_us(int64_t delta_us);
int64_t clock_shift_us(void);

/*
 * Let the wall clock be wrong by delta, which only loop.h's timers are told: as if somebody had
 * set this machine's clock. (With a shift, Redis's clock counts as moved as well.) Only TESTING.
 */
void clock_set_error_us(int64_t delta_us);
int64_t clock_error_us(void);

#define CLOCK_TEXT_MAX 40
/* "2026-11-23T09:30:00Z"; with fraction "2026-11-23T09:30:00.123456Z". Returns out. */
const char *clock_format_s(int64_t us, char out[CLOCK_TEXT_MAX]);
const char *clock_format_us(int64_t us, char out[CLOCK_TEXT_MAX]);

struct err;
/* RFC 3339 with 'Z' or numeric offset, up to 9 fraction digits; a zone is required. */
int clock_parse(const char *text, int64_t *us_out, struct err *err);
/* The same, or how long before now_us: "2h". The error begins with what. */
int clock_parse_or_ago(
    const char *text, const char *what, int64_t now_us, int64_t *us_out, struct err *err);

/* Calendar math, proleptic Gregorian, UTC. Pure. */
struct civil {
    int year, month, day;     /* month 1..12, day 1..31 */
    int hour, minute, second; /* 0..23, 0..59, 0..59 */
    int weekday;              /* 0 = Sunday */
    int yearday;              /* 1..366 */
};
void civil_from_s(int64_t seconds, struct civil *out);
int64_t civil_to_s(const struct civil *c); /* ignores weekday and yearday */
int civil_days_in_month(int year, int month);

#endif
