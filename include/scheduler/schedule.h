/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: cron expressions and intervals, pure functions of (schedule, zone data, instant).
 * No environment, no process time zone, no clock. The written rules are in
 * contrib/docs/schedules.md.
 */
#ifndef SCHEDULER_SCHEDULE_H
#define SCHEDULER_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct schedule;
struct zone;

/* A time zone read from a TZif file (RFC 8536). name "UTC" needs no file. Cached per process by
 * name; never freed by callers. dir: NULL = /usr/share/zoneinfo. */
const struct zone *zone_get(const char *name, struct err *err);
void zone_set_dir(const char *dir);
void zone_drop_all(void); /* for leak checks and reload */
/* Parse TZif bytes (for tests and fuzzing). Caller frees with zone_free. */
struct zone *zone_parse(const char *name, const void *data, size_t len, struct err *err);
void zone_free(struct zone *zone);
/* UTC seconds -> offset in seconds east of UTC. */
int32_t zone_offset(const struct zone *zone, int64_t utc_s);

/*
 * Parse "CRON_TZ=Zone expr" (or TZ=), five fields (Unix: minute first), six (second first, as
 * KFP), @descriptors and "@every 90s". zone_name (may be NULL) is the field beside it; both
 * given and different is an error. Schedules that never fire are refused with the reason.
 */
struct schedule *schedule_parse_cron(const char *text, const char *zone_name, struct err *err);
struct schedule *schedule_new_interval(int64_t interval_s, struct err *err);
void schedule_free(struct schedule *schedule);

/*
 * The first fire strictly after `after_us`, in whole seconds; -1 when there is none any more.
 * For intervals `anchor_us` is the phase (fires at anchor + n * interval, n >= 1); cron ignores it.
 */
int64_t schedule_next(const struct schedule *schedule, int64_t anchor_us, int64_t after_us);

/* What happened at a clock change: true if this instant stands for a wall time in a gap;
 * wanted gets "02:30:00" text. */
bool schedule_is_shifted(const struct schedule *schedule, int64_t at_us, char wanted[16]);

/* "At 09:30 on Monday to Friday, Asia/Seoul" - good enough for people. */
void schedule_describe(const struct schedule *schedule, struct buf *out);
const char *schedule_zone_name(const struct schedule *schedule);
bool schedule_is_interval(const struct schedule *schedule); /* created by new_interval or @every */

/*
 * The limits around a schedule and KFP's catch-up rules (kfp-api.md sections 6.2, 6.3, 13.2).
 * All instants in us; 0 = not set.
 */
struct schedule_window {
    int64_t start_us, end_us;
    int64_t created_us;
    bool no_catchup;
};
/*
 * The next slot to fire after the last one (last_us = 0: none yet), as of now_us. With
 * no_catchup past slots collapse into the latest one <= now. -1: never again.
 * schedule NULL: one-off, fires once at created_us.
 */
int64_t schedule_next_slot(const struct schedule *schedule, const struct schedule_window *window,
    int64_t last_us, int64_t now_us);

#endif
