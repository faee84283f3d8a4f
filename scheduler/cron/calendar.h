/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iCalendar text (RFC 5545) to events: what they cover, and when they come again. The adapter of
 * libical; nothing of libical's leaves calendar.c and rule.c.
 */
#ifndef SCHEDULER_CRON_CALENDAR_H
#define SCHEDULER_CRON_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct calendar;
struct err;
struct rule;
struct zone;

#define CALENDAR_TEXT_MAX (256 * 1024)
#define CALENDAR_EVENTS_MAX 2000

/*
 * Reads the VEVENTs of one or more VCALENDARs. zone: for times without a zone of their own, and
 * for whole days; borrowed for good. Anything that cannot be read is refused with its line.
 */
struct calendar *calendar_parse(
    const char *text, size_t len, const struct zone *zone, struct err *err);
void calendar_free(struct calendar *calendar);
/* Is the instant inside an event? *summary_out (may be NULL) is then what the event is called;
 * owned by the calendar. */
bool calendar_covers(const struct calendar *calendar, int64_t utc_s, const char **summary_out);
size_t calendar_count(const struct calendar *calendar);

/*
 * "DTSTART;TZID=Asia/Seoul:20260101T090000 RRULE:FREQ=DAILY": the properties of one event
 * separated by blanks or line ends. *zone_out is the zone of its wall times: of DTSTART, else
 * `zone`.
 */
struct rule *calendar_parse_rule(
    const char *text, const struct zone *zone, const struct zone **zone_out, struct err *err);

#endif
