/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules: a cron expression in its zone, or an interval; the next fire after an instant.
 *
 * The law at clock changes (contrib/docs/schedules.md): an expression whose second, minute or
 * hour begins with a star is an interval and fires at every real instant whose wall time
 * matches. Any other is fixed: it fires at the first instant at which the wall clock reaches or
 * passes a matching wall time. Said this way gaps and folds of any size need no case of their
 * own: a time that is skipped is passed at the end of the gap, a time that is shown twice is
 * reached the first time.
 */
#include "cron/internal.h"

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

/* "CRON_TZ=Asia/Seoul 0 9 * * *": copies the zone name and moves *text behind it. */
static int take_zone_prefix(const char **text, char *zone, size_t size, struct err *err)
{
    static const char *const prefixes[] = {"CRON_TZ=", "TZ="};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (!str_starts(*text, prefixes[i])) {
            continue;
        }
        const char *name = *text + strlen(prefixes[i]);
        size_t len = strcspn(name, " \t");
        char shown[CRON_SHOW_MAX];
        if (len == 0 || len >= size) {
            return err_set(err, ERR_INVALID,
                "cron '%s': after %s comes a zone name such as 'Asia/Seoul', then a space",
                cron_show(*text, shown), prefixes[i]);
        }
        memcpy(zone, name, len);
        zone[len] = '\0';
        if (name[len] == '\0') {
            return err_set(err, ERR_INVALID,
                "cron '%s': after the zone comes a schedule, as in 'CRON_TZ=Asia/Seoul 30 9 * * *'",
                cron_show(*text, shown));
        }
        *text = name + len + strspn(name + len, " \t");
        return 0;
    }
    return 0;
}

static int find_zone(
    struct schedule *schedule, const char *prefix_zone, const char *zone_name, struct err *err)
{
    bool has_field = zone_name != NULL && zone_name[0] != '\0';
    if (has_field && prefix_zone[0] != '\0' && strcmp(prefix_zone, zone_name) != 0) {
        char a[CRON_SHOW_MAX], b[CRON_SHOW_MAX];
        return err_set(err, ERR_INVALID,
            "the cron text says zone '%s', the zone field says '%s'; leave one of them out",
            cron_show(prefix_zone, a), cron_show(zone_name, b));
    }
    const char *name = prefix_zone[0] != '\0' ? prefix_zone : has_field ? zone_name : "UTC";
    schedule->zone = zone_get(name, err);
    return schedule->zone != NULL ? 0 : -1;
}

static int parse_text(
    struct schedule *schedule, const char *text, const char *zone_name, struct err *err)
{
    char zone[ZONE_NAME_MAX + 8] = "";
    const char *at = text;
    if (take_zone_prefix(&at, zone, sizeof zone, err) != 0 ||
        find_zone(schedule, zone, zone_name, err) != 0) {
        return -1;
    }
    if (strncasecmp(at, "@every", 6) == 0 && (at[6] == ' ' || at[6] == '\t' || at[6] == '\0')) {
        schedule->kind = SCHEDULE_EVERY;
        return duration_parse(at + 6 + strspn(at + 6, " \t"), &schedule->interval_s, err);
    }
    return cron_parse(&schedule->cron, at, err);
}

struct schedule *schedule_parse_cron(const char *text, const char *zone_name, struct err *err)
{
    size_t len = strnlen(text, CRON_TEXT_MAX + 1);
    if (len > CRON_TEXT_MAX) {
        err_set(err, ERR_INVALID, "cron text is longer than %d characters", CRON_TEXT_MAX);
        return NULL;
    }
    /* A copy without the spaces around it. */
    char copy[CRON_TEXT_MAX + 1];
    const char *start = text + strspn(text, " \t");
    len -= (size_t)(start - text);
    while (len > 0 && (start[len - 1] == ' ' || start[len - 1] == '\t')) {
        len--;
    }
    memcpy(copy, start, len);
    copy[len] = '\0';
    if (len == 0) {
        err_set(err, ERR_INVALID, "cron text is empty; an example is '30 9 * * mon-fri'");
        return NULL;
    }
    struct schedule *schedule = xcalloc(1, sizeof *schedule);
    if (parse_text(schedule, copy, zone_name, err) != 0) {
        schedule_free(schedule);
        return NULL;
    }
    return schedule;
}

struct schedule *schedule_new_interval(int64_t interval_s, struct err *err)
{
    if (interval_s < 1 || interval_s > INTERVAL_MAX_S) {
        err_set(err, ERR_INVALID,
            "interval of %lld s is out of range: 1 to %lld seconds (100 years)",
            (long long)interval_s, (long long)INTERVAL_MAX_S);
        return NULL;
    }
    struct schedule *schedule = xcalloc(1, sizeof *schedule);
    schedule->kind = SCHEDULE_INTERVAL;
    schedule->interval_s = interval_s;
    return schedule;
}

void schedule_free(struct schedule *schedule)
{
    if (schedule != NULL) {
        cron_done(&schedule->cron);
        free(schedule);
    }
}

/* Every real instant at or after t whose wall time matches. */
static int64_t next_interval_class(const struct schedule *schedule, int64_t t)
{
    while (t <= INSTANT_MAX_S) {
        struct zone_span span;
        zone_span_at(schedule->zone, t, &span);
        int64_t wall = cron_next_wall(&schedule->cron, t + span.offset);
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

/* The first instant at or after t at which the wall clock reaches or passes `wall`. */
static int64_t reach_wall(const struct zone *zone, int64_t t, int64_t wall)
{
    if (wall - ZONE_OFFSET_MAX > t) {
        t = wall - ZONE_OFFSET_MAX;
    }
    for (;;) {
        struct zone_span span;
        zone_span_at(zone, t, &span);
        int64_t at = wall - span.offset;
        if (at < span.end) {
            return at > t ? at : t;
        }
        t = span.end;
    }
}

/* The first instant at or after t that reaches a matching wall time not reached before. */
static int64_t next_fixed_class(const struct schedule *schedule, int64_t t)
{
    struct zone_span span;
    zone_span_at(schedule->zone, t - 1, &span);
    int64_t wall = cron_next_wall(&schedule->cron, high_wall(&span, t - 1) + 1);
    if (wall == CRON_NEVER) {
        return NEVER;
    }
    if (wall - span.offset < span.end) {
        return wall - span.offset; /* nearly always; it is >= t as `wall` is beyond high_wall */
    }
    return reach_wall(schedule->zone, t, wall);
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

int64_t schedule_next(const struct schedule *schedule, int64_t anchor_us, int64_t after_us)
{
    int64_t t = floor_s(after_us) + 1;
    int64_t found;
    if (t > INSTANT_MAX_S) {
        return -1;
    }
    if (schedule->kind != SCHEDULE_CRON) {
        found = next_of_interval(schedule->interval_s, anchor_us, t);
    } else if (schedule->cron.is_interval) {
        found = next_interval_class(schedule, t);
    } else {
        found = next_fixed_class(schedule, t);
    }
    return found > INSTANT_MAX_S ? -1 : found * US_PER_S;
}

bool schedule_is_shifted(const struct schedule *schedule, int64_t at_us, char wanted[16])
{
    int64_t at = floor_s(at_us);
    if (schedule->kind != SCHEDULE_CRON || schedule->cron.is_interval || at > INSTANT_MAX_S) {
        return false;
    }
    struct zone_span span;
    zone_span_at(schedule->zone, at, &span);
    if (span.start != at || span.high + 1 >= at + span.offset) {
        return false; /* no gap ends here */
    }
    int64_t wall = cron_next_wall(&schedule->cron, span.high + 1);
    if (wall >= at + span.offset) {
        return false;
    }
    struct civil c;
    civil_from_s(wall, &c);
    snprintf(wanted, 16, "%02d:%02d:%02d", c.hour, c.minute, c.second);
    return true;
}

const char *schedule_zone_name(const struct schedule *schedule)
{
    return schedule->zone != NULL ? schedule->zone->name : "UTC";
}

bool schedule_is_interval(const struct schedule *schedule)
{
    return schedule->kind != SCHEDULE_CRON;
}
