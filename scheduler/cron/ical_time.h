/* SPDX-License-Identifier: Apache-2.0 */
/* libical's times to wall seconds. libical itself takes "10023000" for a date. */
#ifndef SCHEDULER_CRON_ICAL_TIME_H
#define SCHEDULER_CRON_ICAL_TIME_H

#include "base/clock.h"

#include "cron/cron.h"

#include <libical/ical.h>

/* False when there is no such date or time of day. A date is its midnight; second 60 is 59. */
static inline bool wall_of_ical(struct icaltimetype t, int64_t *wall_out)
{
    struct civil c = {.year = t.year, .month = t.month, .day = t.day};
    if (t.year < 1 || t.year > CRON_YEAR_MAX || t.month < 1 || t.month > 12 || t.day < 1 ||
        t.day > civil_days_in_month(t.year, t.month)) {
        return false;
    }
    if (!t.is_date) {
        if (t.hour < 0 || t.hour > 23 || t.minute < 0 || t.minute > 59 || t.second < 0 ||
            t.second > 60) {
            return false;
        }
        c.hour = t.hour;
        c.minute = t.minute;
        c.second = t.second < 60 ? t.second : 59;
    }
    *wall_out = civil_to_s(&c);
    return true;
}

#endif
