/* SPDX-License-Identifier: Apache-2.0 */
/* iCalendar text to events, by libical; and what they cover. */
#include "cron/calendar.h"

#include "cron/ical_time.h"
#include "cron/internal.h"
#include "cron/rule.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S INT64_C(86400)
#define SUMMARY_MAX 80
#define DURATION_MAX_S (INT64_C(3660) * DAY_S)

struct event {
    struct rule *rule; /* when it begins, in wall time */
    const struct zone *zone;
    int64_t first; /* wall second of the first begin */
    int64_t duration_s;
    bool is_single;
    char *summary;
};

struct calendar {
    struct event *events;
    size_t count;
};

/* One instant as iCalendar writes it. */
struct moment {
    int64_t wall;
    bool is_date;
    const struct zone *zone;
};

struct reader {
    const struct zone *zone; /* of times without one */
    struct err *err;
};

/* "/citadel.org/20210210_1/Europe/Berlin" and "Europe/Berlin" are the same place. */
static const struct zone *zone_of(const char *tzid, struct err *err)
{
    for (const char *at = tzid; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        const struct zone *zone = zone_name_problem(at) == NULL ? zone_get(at, NULL) : NULL;
        if (zone != NULL) {
            return zone;
        }
    }
    char shown[CRON_SHOW_MAX];
    err_set(err, ERR_INVALID,
        "TZID '%s' is not in the IANA database; write one such as 'Europe/Berlin' (VTIMEZONE is "
        "not read)",
        cron_show(tzid, shown));
    return NULL;
}

static int read_moment(
    const struct reader *r, icalproperty *property, struct icaltimetype time, struct moment *out)
{
    icalparameter *tzid = icalproperty_get_first_parameter(property, ICAL_TZID_PARAMETER);
    int64_t wall;
    if (!wall_of_ical(time, &wall)) {
        return err_set(r->err, ERR_INVALID, "%s is not a date or time such as 20260101T090000Z",
            icalproperty_kind_to_string(icalproperty_isa(property)));
    }
    *out = (struct moment){wall, time.is_date, r->zone};
    if (icaltime_is_utc(time)) {
        out->zone = zone_get("UTC", r->err);
    } else if (tzid != NULL) {
        out->zone = zone_of(icalparameter_get_tzid(tzid), r->err);
    }
    return out->zone != NULL ? 0 : -1;
}

/* The wall second in `zone` at that moment. */
static int64_t wall_in(const struct zone *zone, const struct moment *moment)
{
    if (moment->zone == zone || moment->is_date) {
        return moment->wall;
    }
    int64_t utc = zone_reach_wall(moment->zone, ZONE_TIME_MIN, moment->wall);
    return utc + zone_offset(zone, utc);
}

struct dates {
    int64_t *walls;
    size_t count;
};

static void dates_add(struct dates *dates, int64_t wall)
{
    dates->walls = xreallocarray(dates->walls, dates->count + 1, sizeof dates->walls[0]);
    dates->walls[dates->count++] = wall;
}

/* All RDATE or EXDATE of an event that begins at `start`. */
static int read_dates(const struct reader *r, icalcomponent *event, icalproperty_kind kind,
    const struct moment *start, struct dates *out)
{
    for (icalproperty *p = icalcomponent_get_first_property(event, kind); p != NULL;
         p = icalcomponent_get_next_property(event, kind)) {
        struct icaltimetype time = icaltime_null_time();
        if (kind == ICAL_RDATE_PROPERTY) {
            struct icaldatetimeperiodtype period = icalproperty_get_rdate(p);
            time = icaltime_is_null_time(period.time) ? period.period.start : period.time;
        } else if (kind == ICAL_EXDATE_PROPERTY) {
            time = icalproperty_get_exdate(p);
        } else {
            time = icalproperty_get_recurrenceid(p);
        }
        struct moment moment;
        if (read_moment(r, p, time, &moment) != 0) {
            return -1;
        }
        int64_t wall = wall_in(start->zone, &moment);
        if (moment.is_date && !start->is_date) {
            /* A day means the occurrence of that day. */
            wall += (start->wall % DAY_S + DAY_S) % DAY_S;
        }
        if (out->count >= RULE_DATES_MAX) {
            return err_set(r->err, ERR_INVALID, "more than %d dates of one kind", RULE_DATES_MAX);
        }
        dates_add(out, wall);
    }
    return 0;
}

/* CRON_NEVER when there is no UNTIL. */
static int read_until(const struct reader *r, const struct icalrecurrencetype *recur,
    const struct moment *start, int64_t *out)
{
    struct icaltimetype until = recur->until;
    int64_t at;
    *out = CRON_NEVER;
    if (icaltime_is_null_time(until)) {
        return 0;
    }
    if (!wall_of_ical(until, &at)) {
        return err_set(
            r->err, ERR_INVALID, "RRULE: UNTIL is not a date or time such as 20260101T090000Z");
    }
    bool is_utc = !until.is_date && icaltime_is_utc(until);
    *out = until.is_date ? at + DAY_S - 1 : is_utc ? at + zone_offset(start->zone, at) : at;
    return 0;
}

static int read_start(const struct reader *r, icalcomponent *event, struct moment *start)
{
    icalproperty *p = icalcomponent_get_first_property(event, ICAL_DTSTART_PROPERTY);
    if (p == NULL) {
        return err_set(r->err, ERR_INVALID,
            "DTSTART is missing; write for example 'DTSTART;TZID=Asia/Seoul:20260101T090000'");
    }
    return read_moment(r, p, icalproperty_get_dtstart(p), start);
}

/* `overridden`: begins that another VEVENT replaces. */
static struct rule *read_rule(const struct reader *r, icalcomponent *event,
    const struct moment *start, const struct dates *overridden)
{
    struct rule_parts parts = {
        .start = start->wall, .is_date = start->is_date, .until = CRON_NEVER};
    struct icalrecurrencetype recur;
    struct dates added = {0}, except = {0};
    struct rule *rule = NULL;
    icalproperty *p = icalcomponent_get_first_property(event, ICAL_RRULE_PROPERTY);
    if (p != NULL) {
        recur = icalproperty_get_rrule(p);
        parts.recur = &recur;
        if (read_until(r, &recur, start, &parts.until) != 0) {
            return NULL;
        }
        if (icalcomponent_get_next_property(event, ICAL_RRULE_PROPERTY) != NULL) {
            err_set(r->err, ERR_INVALID, "more than one RRULE; make an event or schedule of each");
            return NULL;
        }
    }
    for (size_t i = 0; i < overridden->count; i++) {
        dates_add(&except, overridden->walls[i]);
    }
    if (read_dates(r, event, ICAL_RDATE_PROPERTY, start, &added) == 0 &&
        read_dates(r, event, ICAL_EXDATE_PROPERTY, start, &except) == 0) {
        parts.dates = added.walls;
        parts.date_count = added.count;
        parts.except = except.walls;
        parts.except_count = except.count;
        rule = rule_new(&parts, r->err);
    }
    free(added.walls);
    free(except.walls);
    return rule;
}

/* How long it lasts, in seconds of its wall clock; at least the second of its begin. */
static int read_duration(
    const struct reader *r, icalcomponent *event, const struct moment *start, int64_t *out)
{
    *out = start->is_date ? DAY_S : 1;
    icalproperty *end = icalcomponent_get_first_property(event, ICAL_DTEND_PROPERTY);
    icalproperty *length = icalcomponent_get_first_property(event, ICAL_DURATION_PROPERTY);
    if (end != NULL) {
        struct moment moment;
        if (read_moment(r, end, icalproperty_get_dtend(end), &moment) != 0) {
            return -1;
        }
        *out = wall_in(start->zone, &moment) - start->wall;
    } else if (length != NULL) {
        *out = icaldurationtype_as_int(icalproperty_get_duration(length));
    }
    if (*out < 0) {
        return err_set(r->err, ERR_INVALID, "it ends before it begins");
    }
    if (*out > DURATION_MAX_S) {
        return err_set(r->err, ERR_INVALID, "it lasts longer than ten years");
    }
    *out = *out > 0 ? *out : 1;
    return 0;
}

static char *read_summary(icalcomponent *event)
{
    const char *summary = icalcomponent_get_summary(event);
    char *text = xstrndup(summary != NULL && summary[0] != '\0' ? summary : "event", SUMMARY_MAX);
    for (char *c = text; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' ? ' ' : *c;
    }
    text_sanitise(text);
    return text;
}

static bool is_cancelled(icalcomponent *event)
{
    return icalcomponent_get_status(event) == ICAL_STATUS_CANCELLED;
}

static const char *uid_of(icalcomponent *event)
{
    const char *uid = icalcomponent_get_uid(event);
    return uid != NULL ? uid : "";
}

static bool is_override(icalcomponent *event)
{
    return icalcomponent_get_first_property(event, ICAL_RECURRENCEID_PROPERTY) != NULL;
}

/* The RECURRENCE-IDs of other events with this one's UID. */
static int find_overridden(const struct reader *r, icalcomponent *const *events, size_t count,
    icalcomponent *event, const struct moment *start, struct dates *out)
{
    const char *uid = uid_of(event);
    bool can_be = icalcomponent_get_first_property(event, ICAL_RRULE_PROPERTY) != NULL;
    for (size_t i = 0; i < count && can_be && uid[0] != '\0'; i++) {
        if (events[i] != event && is_override(events[i]) && strcmp(uid_of(events[i]), uid) == 0 &&
            read_dates(r, events[i], ICAL_RECURRENCEID_PROPERTY, start, out) != 0) {
            return -1;
        }
    }
    return 0;
}

/* 1: read, 0: nothing there (cancelled), -1: error. */
static int read_event(const struct reader *r, icalcomponent *const *events, size_t count,
    icalcomponent *event, struct event *out)
{
    struct moment start;
    struct dates overridden = {0};
    if (is_cancelled(event)) {
        return 0;
    }
    if (read_start(r, event, &start) != 0 ||
        read_duration(r, event, &start, &out->duration_s) != 0) {
        return -1;
    }
    if (!is_override(event) && find_overridden(r, events, count, event, &start, &overridden) != 0) {
        free(overridden.walls);
        return -1;
    }
    out->rule = read_rule(r, event, &start, &overridden);
    free(overridden.walls);
    if (out->rule == NULL) {
        return -1;
    }
    out->zone = start.zone;
    out->first = rule_next_wall(out->rule, INT64_MIN / 4);
    out->is_single = rule_next_wall(out->rule, out->first + 1) == CRON_NEVER;
    out->summary = read_summary(event);
    return 1;
}

/* libical notes what it could not read in properties of its own. */
static const char *complaint_of(icalcomponent *component)
{
    icalproperty *p = icalcomponent_get_first_property(component, ICAL_XLICERROR_PROPERTY);
    if (p != NULL) {
        return icalproperty_get_xlicerror(p);
    }
    for (icalcomponent *c = icalcomponent_get_first_component(component, ICAL_ANY_COMPONENT);
         c != NULL; c = icalcomponent_get_next_component(component, ICAL_ANY_COMPONENT)) {
        const char *complaint = complaint_of(c);
        if (complaint != NULL) {
            return complaint;
        }
    }
    return NULL;
}

/* libical cuts numbers of a rule to its own types without a word: INTERVAL=65537 would be 1. */
static int check_number(const char *text, const char *name, long max, struct err *err)
{
    for (const char *at = text; (at = strcasestr(at, name)) != NULL;) {
        bool is_part = at > text && strchr(";: \t", at[-1]) != NULL;
        long value = 0;
        for (at += strlen(name); is_part && value <= max; at++) {
            if (*at >= '0' && *at <= '9') {
                value = value * 10 + (*at - '0');
            } else if (*at == '\0' || strchr("\r\n \t", *at) == NULL) {
                break; /* blanks: the line may be folded */
            }
        }
        if (value > max) {
            return err_set(err, ERR_INVALID,
                "RRULE: the number after %s is too large, at most %ld is taken", name, max);
        }
    }
    return 0;
}

static void complain(const char *complaint, struct err *err)
{
    if (strstr(complaint, "RECUR") != NULL) {
        err_set(err, ERR_INVALID,
            "RRULE: not a rule as in RFC 5545; it has FREQ, and each once: INTERVAL=1-32767, COUNT "
            "or UNTIL, BYMONTH=1-12, BYWEEKNO=1-53, BYYEARDAY=1-366, BYMONTHDAY=1-31, BYDAY=MO or "
            "2MO, BYHOUR=0-23, BYMINUTE, BYSECOND, BYSETPOS=1-366, WKST; -1 is the last");
        return;
    }
    char shown[CRON_SHOW_MAX];
    err_set(err, ERR_INVALID, "iCalendar: %s", cron_show(complaint, shown));
}

static icalcomponent *parse_component(const char *text, struct err *err)
{
    if (check_number(text, "INTERVAL=", INT16_MAX, err) != 0 ||
        check_number(text, "COUNT=", INT32_MAX, err) != 0) {
        return NULL;
    }
    icalerror_set_errors_are_fatal(0);
    icalcomponent *root = icalparser_parse_string(text);
    if (root == NULL) {
        err_set(err, ERR_INVALID, "this is no iCalendar text (BEGIN:VCALENDAR ... END:VCALENDAR)");
        return NULL;
    }
    const char *complaint = complaint_of(root);
    if (complaint != NULL) {
        complain(complaint, err);
        icalcomponent_free(root);
        return NULL;
    }
    return root;
}

struct found {
    icalcomponent **events;
    size_t count;
};

static int find_events(icalcomponent *component, int depth, struct found *found, struct err *err)
{
    if (icalcomponent_isa(component) == ICAL_VEVENT_COMPONENT) {
        if (found->count >= CALENDAR_EVENTS_MAX) {
            return err_set(
                err, ERR_INVALID, "a calendar may have %d events, not more", CALENDAR_EVENTS_MAX);
        }
        found->events = xreallocarray(found->events, found->count + 1, sizeof found->events[0]);
        found->events[found->count++] = component;
        return 0;
    }
    for (icalcomponent *c = icalcomponent_get_first_component(component, ICAL_ANY_COMPONENT);
         c != NULL && depth < 8;
         c = icalcomponent_get_next_component(component, ICAL_ANY_COMPONENT)) {
        if (find_events(c, depth + 1, found, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_events(const struct reader *r, const struct found *found, struct calendar *out)
{
    for (size_t i = 0; i < found->count; i++) {
        struct event event = {0};
        int rc = read_event(r, found->events, found->count, found->events[i], &event);
        if (rc < 0) {
            char shown[CRON_SHOW_MAX];
            const char *name = icalcomponent_get_summary(found->events[i]);
            return err_wrap(r->err, "event %zu '%s'", i + 1,
                cron_show(name != NULL ? name : uid_of(found->events[i]), shown));
        }
        if (rc > 0) {
            out->events = xreallocarray(out->events, out->count + 1, sizeof out->events[0]);
            out->events[out->count++] = event;
        }
    }
    if (found->count == 0) {
        return err_set(r->err, ERR_INVALID, "there is no VEVENT in the calendar");
    }
    return 0;
}

struct calendar *calendar_parse(
    const char *text, size_t len, const struct zone *zone, struct err *err)
{
    struct reader r = {zone, err};
    if (len > CALENDAR_TEXT_MAX || strnlen(text, len + 1) != len) {
        err_set(err, ERR_INVALID, "a calendar may have %d KiB of text, without zero bytes",
            CALENDAR_TEXT_MAX / 1024);
        return NULL;
    }
    icalcomponent *root = parse_component(text, err);
    if (root == NULL) {
        return NULL;
    }
    struct calendar *calendar = xcalloc(1, sizeof *calendar);
    struct found found = {0};
    if (find_events(root, 0, &found, err) != 0 || read_events(&r, &found, calendar) != 0) {
        calendar_free(calendar);
        calendar = NULL;
    }
    free(found.events);
    icalcomponent_free(root);
    icalmemory_free_ring();
    return calendar;
}

void calendar_free(struct calendar *calendar)
{
    if (calendar == NULL) {
        return;
    }
    for (size_t i = 0; i < calendar->count; i++) {
        rule_free(calendar->events[i].rule);
        free(calendar->events[i].summary);
    }
    free(calendar->events);
    free(calendar);
}

static bool event_covers(const struct event *event, int64_t utc_s)
{
    /* Most are far away; no zone is asked then. */
    if (utc_s < event->first - ZONE_OFFSET_MAX ||
        (event->is_single && utc_s > event->first + event->duration_s + ZONE_OFFSET_MAX)) {
        return false;
    }
    int64_t wall = utc_s + zone_offset(event->zone, utc_s);
    return rule_next_wall(event->rule, wall - event->duration_s + 1) <= wall;
}

bool calendar_covers(const struct calendar *calendar, int64_t utc_s, const char **summary_out)
{
    for (size_t i = 0; i < calendar->count; i++) {
        if (event_covers(&calendar->events[i], utc_s)) {
            if (summary_out != NULL) {
                *summary_out = calendar->events[i].summary;
            }
            return true;
        }
    }
    return false;
}

size_t calendar_count(const struct calendar *calendar)
{
    return calendar->count;
}

/* The properties, one a line, as an event of their own. */
static void wrap_in_event(const char *text, struct buf *out)
{
    buf_adds(out, "BEGIN:VEVENT\r\n");
    while (*text != '\0') {
        size_t len = strcspn(text, " \t\r\n");
        if (len > 0) {
            buf_add(out, text, len);
            buf_adds(out, "\r\n");
        }
        text += len;
        text += strspn(text, " \t\r\n");
    }
    buf_adds(out, "END:VEVENT\r\n");
}

/* Only these may stand in a schedule; a typing error is not ignored. */
static int check_properties(icalcomponent *event, struct err *err)
{
    for (icalproperty *p = icalcomponent_get_first_property(event, ICAL_ANY_PROPERTY); p != NULL;
         p = icalcomponent_get_next_property(event, ICAL_ANY_PROPERTY)) {
        icalproperty_kind kind = icalproperty_isa(p);
        if (kind != ICAL_DTSTART_PROPERTY && kind != ICAL_RRULE_PROPERTY &&
            kind != ICAL_RDATE_PROPERTY && kind != ICAL_EXDATE_PROPERTY) {
            return err_set(err, ERR_INVALID,
                "a schedule by rule has DTSTART, RRULE, RDATE and EXDATE, nothing else");
        }
    }
    return 0;
}

struct rule *calendar_parse_rule(
    const char *text, const struct zone *zone, const struct zone **zone_out, struct err *err)
{
    struct reader r = {zone, err};
    struct buf wrapped;
    struct moment start;
    struct rule *rule = NULL;
    buf_init(&wrapped, 4 * CRON_TEXT_MAX);
    wrap_in_event(text, &wrapped);
    icalcomponent *event = parse_component(buf_str(&wrapped), err);
    buf_done(&wrapped);
    if (event == NULL) {
        return NULL;
    }
    const struct dates none = {0};
    if (check_properties(event, err) == 0 && read_start(&r, event, &start) == 0) {
        rule = read_rule(&r, event, &start, &none);
    }
    if (rule != NULL) {
        *zone_out = start.zone;
    }
    icalcomponent_free(event);
    icalmemory_free_ring();
    return rule;
}
