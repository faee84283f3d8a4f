/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recurrence as iCalendar has it (RFC 5545): DTSTART with RRULE, RDATE and EXDATE, as a
 * sequence of wall seconds in ascending order. No zones here, as in cron.h; the law at clock
 * changes is schedule.c's. The RRULE is read by libical.
 */
#ifndef SCHEDULER_CRON_RULE_H
#define SCHEDULER_CRON_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct rule;

#define RULE_COUNT_MAX 10000 /* of COUNT= */
#define RULE_DATES_MAX 2000  /* of RDATE and of EXDATE */

struct rule_parts {
    int64_t start;     /* wall seconds of DTSTART */
    bool is_date;      /* DTSTART is a day, not an instant */
    const void *recur; /* libical's struct icalrecurrencetype, or NULL; borrowed */
    int64_t until;     /* wall seconds, inclusive; CRON_NEVER: none. Replaces the one in recur */
    const int64_t *dates, *except; /* wall seconds, in any order; borrowed */
    size_t date_count, except_count;
};

/* Refuses what never comes, and what would have to be searched for without end. */
struct rule *rule_new(const struct rule_parts *parts, struct err *err);
void rule_free(struct rule *rule);

/*
 * The first one at or after `wall`, or CRON_NEVER. Does not allocate. The rule keeps the days of
 * the year that was asked for last.
 */
int64_t rule_next_wall(struct rule *rule, int64_t wall);
/* Comes more often than daily: counts as an interval at clock changes. */
bool rule_is_interval(const struct rule *rule);
/* "every 2 weeks on Monday", "once": for schedule_describe(). */
struct buf;
void rule_describe(const struct rule *rule, struct buf *out);

#endif
