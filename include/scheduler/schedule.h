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
#include <jansson.h>

struct buf;
struct err;
struct schedule;
struct zone;

/* A time zone read from a TZif file (RFC 8536). name "UTC" needs no file. Cached per process by
 * name; never freed by callers. dir: NULL = /usr/share/zoneinfo. */
const struct zone *zone_get(const char *name, struct err *err);
void zone_set_dir(const char *dir);
void zone_drop_all(void); /* for leak checks and reload */
/*
 * Zone files that were replaced (a tzdata update) are read again, in place, so that schedules go
 * by them from their next call on. Looks at the files at most once a minute of mono_us, which is
 * clock_mono_us(). The number returned grows whenever the times of a zone in use have changed:
 * whoever keeps ticks that were computed earlier then computes them anew. A file that is gone or
 * broken leaves the zone as it was.
 */
uint64_t zones_generation(int64_t mono_us);
/* Parse TZif bytes (for tests and fuzzing). Caller frees with zone_free. */
struct zone *zone_parse(const char *name, const void *data, size_t len, struct err *err);
void zone_free(struct zone *zone);
/* UTC seconds -> offset in seconds east of UTC. */
int32_t zone_offset(const struct zone *zone, int64_t utc_s);

/*
 * A schedule document, the one way in:
 *
 *   cron        one schedule text
 *   schedules   several of them; fires when any does, and once where they meet
 *   interval_s  KFP's periodic schedule; excludes the two above
 *   time_zone   of texts and calendars that name none; default "UTC". `cron` must not name another
 *   profile     how texts are read: "vixie" (default), "robfig", "robfig-v1", "quartz"
 *   dst         {"gap": "next" | "skip", "fold": "first" | "second" | "both"}
 *   include, exclude   iCalendar text, or a list of them (256 KiB together)
 *
 * A text is cron fields, a word such as "@daily", "@every 6h", "@every 6h/5h" or
 * "DTSTART:... RRULE:...", with "CRON_TZ=Zone " before it or not. Other members are not looked
 * at. hash_key: what the places of `H` are picked from, a recurring run's id; NULL refuses `H`.
 * NULL and ERR_INVALID with the member's name when it cannot be read, or never fires.
 */
struct schedule *schedule_parse(const json_t *doc, const char *hash_key, struct err *err);
/* Does the document name a schedule at all? Without one a recurring run fires once. */
bool schedule_is_given(const json_t *doc);
/* Equal for documents (and hash keys, where `H` is used) that give equal schedules. malloc'd. */
char *schedule_key(const json_t *doc, const char *hash_key);

/* One text in the default profile, without `H`. zone_name (may be NULL) is the field beside it;
 * the text's zone and it given and different is an error. */
struct schedule *schedule_parse_cron(const char *text, const char *zone_name, struct err *err);
struct schedule *schedule_new_interval(int64_t interval_s, struct err *err);
void schedule_free(struct schedule *schedule);

#define SCHEDULE_NEVER (-1) /* no whole second, so it is no instant */
/*
 * The first tick strictly after `after_us`, in whole seconds; SCHEDULE_NEVER when there is none.
 * For intervals without a phase `anchor_us` is the phase (anchor + n * interval, n >= 1); the
 * others do not look at it. Calendars are not applied: whoever fires asks
 * schedule_is_excluded() of each tick, so that a tick that does not run can be accounted for.
 */
int64_t schedule_next(const struct schedule *schedule, int64_t anchor_us, int64_t after_us);
/* Ticks in (from_us, until_us], at most `max`. At once for intervals, else one step a tick. */
int64_t schedule_count(const struct schedule *schedule, int64_t anchor_us, int64_t from_us,
    int64_t until_us, int64_t max);

/* What happened at a clock change: true if this tick stands for a wall time in a gap;
 * wanted gets "02:30:00" text. */
bool schedule_is_shifted(const struct schedule *schedule, int64_t at_us, char wanted[16]);

/* True if the calendars forbid this tick: it lies inside an excluded event, or there are included
 * ones and it is in none. why gets for example "inside the excluded 'Christmas Day'". */
#define SCHEDULE_WHY_MAX 128
bool schedule_is_excluded(
    const struct schedule *schedule, int64_t at_us, char why[SCHEDULE_WHY_MAX]);
bool schedule_has_calendars(const struct schedule *schedule);

/* "At 09:30 on Monday to Friday, Asia/Seoul" - good enough for people. */
void schedule_describe(const struct schedule *schedule, struct buf *out);
/* Of the first text; "UTC" for intervals. */
const char *schedule_zone_name(const struct schedule *schedule);
/* One interval that counts from its anchor: interval_s, or "@every" alone and without a phase. */
bool schedule_is_interval(const struct schedule *schedule);

/*
 * For people, before it is used. New reference:
 *   {"ticks": [{"time": "2026-03-08T07:00:00Z", "local": "2026-03-08T03:00:00-04:00",
 *               "dst": "gap-shifted", "wanted": "02:30:00", "excluded": "why"}],
 *    "times": [those of the ticks that run], "description", "time_zone", "hints": ["..."]}
 * The next `count` ticks after from_us, which is the anchor of intervals as well; dst, wanted and
 * excluded only where they apply. Hints: what may not be what was meant, and what the clock
 * changes of the year to come do.
 */
json_t *schedule_preview(const struct schedule *schedule, int64_t from_us, int64_t count);
/* One of its ticks, as in "ticks" there. New reference. */
json_t *schedule_explain(const struct schedule *schedule, int64_t at_us);
/* The hints alone: a list of texts. New reference. */
json_t *schedule_hints(const struct schedule *schedule, int64_t from_us);

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
