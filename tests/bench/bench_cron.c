/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one next-fire computation costs, for expressions from usual to nasty. Walks from fire to
 * fire, starting again at a fixed instant; prints ns per call.
 */
#include "scheduler/schedule.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <stdio.h>

#define CALLS 2000000
#define FROM_US (INT64_C(1767225600) * US_PER_S) /* 2026-01-01 */
#define UNTIL_US (INT64_C(4000000000) * US_PER_S)

static const struct {
    const char *name, *cron, *zone;
} rows[] = {
    {"every second", "* * * * * *", "UTC"},
    {"every minute", "* * * * *", "UTC"},
    {"every 15 minutes, New York", "*/15 * * * *", "America/New_York"},
    {"daily, UTC", "30 9 * * *", "UTC"},
    {"daily, Seoul", "30 9 * * *", "Asia/Seoul"},
    {"workdays, Berlin", "30 9 * * mon-fri", "Europe/Berlin"},
    {"13th or Friday, New York", "0 0 13 * fri", "America/New_York"},
    {"last workday of the month", "0 18 LW * *", "Europe/Berlin"},
    {"yearly, Lord Howe", "0 0 1 1 *", "Australia/Lord_Howe"},
    {"29 February, New York", "0 0 29 2 *", "America/New_York"},
    {"29 February on a Sunday", "0 0 29 2 +0", "America/New_York"},
    {"stars on 29 February, New York", "* * 29 2 *", "America/New_York"},
    {"interval", "@every 90s", "UTC"},
};

int main(void)
{
    printf("%-34s %10s\n", "expression", "ns/op");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct schedule *schedule = schedule_parse_cron(rows[i].cron, rows[i].zone, &err);
        if (schedule == NULL) {
            fprintf(stderr, "%s: %s\n", rows[i].name, err.msg);
            return 1;
        }
        int64_t at = FROM_US, start = clock_mono_us();
        for (int n = 0; n < CALLS; n++) {
            at = schedule_next(schedule, FROM_US, at);
            at = at < 0 || at > UNTIL_US ? FROM_US : at;
        }
        double ns = (double)(clock_mono_us() - start) * 1000 / CALLS;
        printf("%-34s %10.1f\n", rows[i].name, ns);
        schedule_free(schedule);
    }
    zone_drop_all();
    return 0;
}
