/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a schedule fires: the next instant of cron fields or a rule in their zone, or of an
 * interval; and what a clock change did to it.
 *
 * The law at clock changes (contrib/docs/schedules.md): an expression whose second, minute or
 * hour has a star, in front or in its list, is an interval and fires at every real instant whose
 * wall time matches. Any other is fixed: it fires at the first instant at which the wall clock
 * reaches or passes a matching wall time. Said this way gaps and folds of any size need no case
 * of their own: a time that is skipped is passed at the end of the gap, a time that is shown
 * twice is reached the first time. The other choices (skip the gap; the second or both of a fold)
 * are made of the same two walks.
 */
#include "cron/internal.h"

#include "cron/calendar.h"
#include "cron/rule.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S INT64_C(86400)
#define NEVER INT64_MAX

/* Instants beyond the year 9999 are not asked for and sums cannot overflow. */
#define INSTANT_MAX_S INT64_C(253402300799)

/* Gaps or folds passed over in one search: more than a lifetime of them, one a year or two. */
#define CHANGES_MAX 400

static int64_t next_wall(const struct part *part, int64_t wall)
{
    return part->rule != NULL ? rule_next_wall(part->rule, wall)
                              : cron_next_wall(&part->cron, wall);
}

static bool is_interval_class(const struct part *part)
{
    return part->rule != NULL ? rule_is_interval(part->rule) : part->cron.is_interval;
}

static bool has_wall_times(const struct part *part)
{
    return part->kind == PART_CRON || part->kind == PART_RULE;
}

/* Every real instant at or after t whose wall time matches. */
static int64_t next_interval_class(const struct part *part, int64_t t)
{
    while (t <= INSTANT_MAX_S) {
        struct zone_span span;
        zone_span_at(part->zone, t, &span);
        int64_t wall = next_wall(part, t + span.offset);
        if (wall == CRON_NEVER) {
            /* A fold at the end of the span may still repeat matching wall times. */
            if (span.end > t + 4 * DAY_S) {
                return NEVER;
            }
            t = span.end;
            continue;
        }
        if (wall - span.offset < span.end) {
            return wall - span.offset;
        }
        /*
         * Not in this span. Offsets differ by less than 4 days, so beyond that distance from t
         * a wall time before `wall` cannot come back, and whole years may be jumped over.
         */
        int64_t jump = wall - span.offset - 4 * DAY_S;
        bool may_jump = span.end >= t + 4 * DAY_S && jump > span.end;
        t = may_jump ? jump : span.end;
    }
    return NEVER;
}

/* The last wall second reached at or before t; folds do not take it back. */
static int64_t high_wall(const struct zone_span *span, int64_t t)
{
    int64_t wall = t + span->offset;
    return wall > span->high ? wall : span->high;
}

/* The first instant at or after t that reaches a matching wall time not reached before. */
static int64_t next_fixed_class(const struct part *part, int64_t t)
{
    struct zone_span span;
    zone_span_at(part->zone, t - 1, &span);
    int64_t wall = next_wall(part, high_wall(&span, t - 1) + 1);
    if (wall == CRON_NEVER) {
        return NEVER;
    }
    if (wall - span.offset < span.end) {
        return wall - span.offset; /* nearly always; it is >= t as `wall` is beyond high_wall */
    }
    return zone_reach_wall(part->zone, t, wall);
}

static int64_t next_of_interval(int64_t interval_s, int64_t anchor_us, int64_t t)
{
    int64_t anchor = floor_s(anchor_us);
    if (t <= anchor + interval_s) {
        return anchor + interval_s;
    }
    int64_t steps = (t - anchor + interval_s - 1) / interval_s;
    return anchor + steps * interval_s;
}

static int64_t next_phased(const struct part *part, int64_t t)
{
    int64_t past = (t - part->phase_s) % part->interval_s;
    if (past < 0) {
        past += part->interval_s;
    }
    return past == 0 ? t : t + part->interval_s - past;
}

/* If `at` ends a gap: the first matching wall time inside it, else CRON_NEVER. */
static int64_t wall_in_gap(const struct part *part, int64_t at)
{
    struct zone_span span;
    zone_span_at(part->zone, at, &span);
    if (span.start != at || span.high + 1 >= at + span.offset) {
        return CRON_NEVER; /* no gap ends here */
    }
    int64_t wall = next_wall(part, span.high + 1);
    return wall < at + span.offset ? wall : CRON_NEVER;
}

/* The same, but wall times in a gap are left out. */
static int64_t next_fixed_skipping(const struct part *part, int64_t t)
{
    for (int n = 0; n < CHANGES_MAX; n++) {
        int64_t at = next_fixed_class(part, t);
        if (at == NEVER || at > INSTANT_MAX_S || wall_in_gap(part, at) == CRON_NEVER) {
            return at;
        }
        int64_t wall = at + zone_offset(part->zone, at);
        if (next_wall(part, wall) == wall) {
            return at; /* a regular match as well */
        }
        t = at + 1;
    }
    return NEVER;
}

/* The end of the span in which `at` lies if its wall time is shown once more later, else 0. */
static int64_t end_if_repeated(const struct part *part, int64_t at)
{
    struct zone_span span, later;
    zone_span_at(part->zone, at, &span);
    int64_t wall = at + span.offset;
    for (int64_t end = span.end; end - at < 4 * DAY_S; end = later.end) {
        zone_span_at(part->zone, end, &later);
        int64_t again = wall - later.offset;
        if (again >= later.start && again < later.end) {
            return span.end;
        }
    }
    return 0;
}

/* Of wall times shown twice the last; those in a gap are left out. */
static int64_t next_last_of_fold(const struct part *part, int64_t t)
{
    for (int n = 0; n < CHANGES_MAX; n++) {
        int64_t at = next_interval_class(part, t);
        int64_t end = at == NEVER || at > INSTANT_MAX_S ? 0 : end_if_repeated(part, at);
        if (end == 0) {
            return at;
        }
        t = end; /* until there all are repeated */
    }
    return NEVER;
}

/* The first end of a gap with a wanted time in it, in [t, limit). */
static int64_t next_gap_end(const struct part *part, int64_t t, int64_t limit)
{
    for (int n = 0; n < CHANGES_MAX; n++) {
        int64_t at = next_fixed_class(part, t);
        if (at >= limit || wall_in_gap(part, at) != CRON_NEVER) {
            return at < limit ? at : NEVER;
        }
        int64_t end = end_if_repeated(part, at);
        t = end != 0 ? end : at + 1;
    }
    return NEVER;
}

static int64_t next_with_wall_times(const struct part *part, int64_t t)
{
    bool skips = part->gap == DST_GAP_SKIP;
    if (is_interval_class(part) || (skips && part->fold == DST_FOLD_BOTH)) {
        return next_interval_class(part, t);
    }
    if (part->fold == DST_FOLD_FIRST) {
        return skips ? next_fixed_skipping(part, t) : next_fixed_class(part, t);
    }
    int64_t at =
        part->fold == DST_FOLD_SECOND ? next_last_of_fold(part, t) : next_interval_class(part, t);
    int64_t made_up = skips ? NEVER : next_gap_end(part, t, at);
    return made_up < at ? made_up : at;
}

static int64_t next_of_part(const struct part *part, int64_t anchor_us, int64_t t)
{
    switch (part->kind) {
    case PART_CRON:
    case PART_RULE:
        return next_with_wall_times(part, t);
    case PART_PHASED:
        return next_phased(part, t);
    case PART_EVERY:
    case PART_INTERVAL:
        break;
    }
    return next_of_interval(part->interval_s, anchor_us, t);
}

int64_t schedule_next(const struct schedule *schedule, int64_t anchor_us, int64_t after_us)
{
    int64_t t = floor_s(after_us) + 1;
    int64_t found = NEVER;
    if (t > INSTANT_MAX_S) {
        return SCHEDULE_NEVER;
    }
    for (size_t i = 0; i < schedule->count; i++) {
        int64_t next = next_of_part(&schedule->parts[i], anchor_us, t);
        found = next < found ? next : found;
    }
    return found > INSTANT_MAX_S ? SCHEDULE_NEVER : found * US_PER_S;
}

static int64_t count_of_interval(int64_t interval_s, int64_t first, int64_t until)
{
    return first > until ? 0 : (until - first) / interval_s + 1;
}

int64_t schedule_count(const struct schedule *schedule, int64_t anchor_us, int64_t from_us,
    int64_t until_us, int64_t max)
{
    int64_t count = 0;
    const struct part *only = schedule->count == 1 ? &schedule->parts[0] : NULL;
    if (only != NULL && !has_wall_times(only)) {
        int64_t first = schedule_next(schedule, anchor_us, from_us);
        count = first == SCHEDULE_NEVER
                    ? 0
                    : count_of_interval(only->interval_s, first / US_PER_S, floor_s(until_us));
        return count < max ? count : max;
    }
    for (int64_t at = from_us; count < max; count++) {
        at = schedule_next(schedule, anchor_us, at);
        if (at == SCHEDULE_NEVER || at > until_us) {
            break;
        }
    }
    return count;
}

bool schedule_is_shifted(const struct schedule *schedule, int64_t at_us, char wanted[16])
{
    int64_t at = floor_s(at_us);
    for (size_t i = 0; i < schedule->count && at <= INSTANT_MAX_S; i++) {
        const struct part *part = &schedule->parts[i];
        if (!has_wall_times(part) || is_interval_class(part) || part->gap == DST_GAP_SKIP) {
            continue;
        }
        int64_t wall = wall_in_gap(part, at);
        if (wall != CRON_NEVER) {
            struct civil c;
            civil_from_s(wall, &c);
            snprintf(wanted, 16, "%02d:%02d:%02d", c.hour, c.minute, c.second);
            return true;
        }
    }
    return false;
}

bool schedule_is_excluded(
    const struct schedule *schedule, int64_t at_us, char why[SCHEDULE_WHY_MAX])
{
    int64_t at = floor_s(at_us);
    const char *summary;
    for (size_t i = 0; i < schedule->exclude_count; i++) {
        if (calendar_covers(schedule->exclude[i], at, &summary)) {
            snprintf(why, SCHEDULE_WHY_MAX, "inside the excluded '%s'", summary);
            return true;
        }
    }
    for (size_t i = 0; i < schedule->include_count; i++) {
        if (calendar_covers(schedule->include[i], at, NULL)) {
            return false;
        }
    }
    if (schedule->include_count > 0) {
        snprintf(why, SCHEDULE_WHY_MAX, "outside every included event");
        return true;
    }
    return false;
}

bool schedule_has_calendars(const struct schedule *schedule)
{
    return schedule->include_count > 0 || schedule->exclude_count > 0;
}

static struct schedule *schedule_of_part(const struct part *part)
{
    struct schedule *schedule = xcalloc(1, sizeof *schedule);
    schedule->parts = xcalloc(1, sizeof schedule->parts[0]);
    schedule->parts[0] = *part;
    schedule->count = 1;
    return schedule;
}

struct schedule *schedule_parse_cron(const char *text, const char *zone_name, struct err *err)
{
    struct part_style style = {.zone_name = zone_name};
    struct part part;
    part_style_of_profile(&style, CRON_VIXIE);
    return part_parse(&part, text, &style, err) == 0 ? schedule_of_part(&part) : NULL;
}

struct schedule *schedule_new_interval(int64_t interval_s, struct err *err)
{
    if (interval_s < 1 || interval_s > INTERVAL_MAX_S) {
        err_set(err, ERR_INVALID,
            "interval of %lld s is out of range: 1 to %lld seconds (100 years)",
            (long long)interval_s, (long long)INTERVAL_MAX_S);
        return NULL;
    }
    return schedule_of_part(&(struct part){.kind = PART_INTERVAL, .interval_s = interval_s});
}

void schedule_free(struct schedule *schedule)
{
    if (schedule == NULL) {
        return;
    }
    for (size_t i = 0; i < schedule->count; i++) {
        part_done(&schedule->parts[i]);
    }
    for (size_t i = 0; i < schedule->include_count; i++) {
        calendar_free(schedule->include[i]);
    }
    for (size_t i = 0; i < schedule->exclude_count; i++) {
        calendar_free(schedule->exclude[i]);
    }
    free(schedule->parts);
    free(schedule->include);
    free(schedule->exclude);
    free(schedule);
}

const char *schedule_zone_name(const struct schedule *schedule)
{
    const struct zone *zone = schedule->parts[0].zone;
    return zone != NULL ? zone->name : "UTC";
}

bool schedule_is_interval(const struct schedule *schedule)
{
    enum part_kind kind = schedule->parts[0].kind;
    return schedule->count == 1 && (kind == PART_EVERY || kind == PART_INTERVAL);
}
