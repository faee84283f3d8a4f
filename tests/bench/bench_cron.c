/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one next-fire computation costs, for schedules from usual to nasty. Walks from fire to
 * fire, starting again at a fixed instant; prints ns of processor time per call. With "rows" it
 * prints name, expression and zone of each instead, for peers.
 */
#include "scheduler/schedule.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define CALLS 1000000
#define FROM_US (INT64_C(1767225600) * US_PER_S) /* 2026-01-01 */
#define UNTIL_US (INT64_C(4000000000) * US_PER_S)

static const struct {
    const char *name, *cron, *zone, *profile;
} rows[] = {
    {"every second", "* * * * * *", "UTC", NULL},
    {"every minute", "* * * * *", "UTC", NULL},
    {"every 15 minutes, New York", "*/15 * * * *", "America/New_York", NULL},
    {"daily, UTC", "30 9 * * *", "UTC", NULL},
    {"daily, Seoul", "30 9 * * *", "Asia/Seoul", NULL},
    {"workdays, Berlin", "30 9 * * mon-fri", "Europe/Berlin", NULL},
    {"workdays, Berlin, robfig", "30 9 * * mon-fri", "Europe/Berlin", "robfig"},
    {"workdays, Berlin, Quartz", "0 30 9 ? * mon-fri", "Europe/Berlin", "quartz"},
    {"13th or Friday, New York", "0 0 13 * fri", "America/New_York", NULL},
    {"last workday of the month", "0 18 LW * *", "Europe/Berlin", NULL},
    {"yearly, Lord Howe", "0 0 1 1 *", "Australia/Lord_Howe", NULL},
    {"29 February, New York", "0 0 29 2 *", "America/New_York", NULL},
    {"29 February on a Sunday", "0 0 29 2 +0", "America/New_York", NULL},
    {"29 February, a fifth Monday", "0 0 29 2 +mon#5", "America/New_York", NULL},
    {"29 February on a Sunday, robfig's law", "0 0 29 2 +0", "America/New_York", "skip"},
    {"stars on 29 February, New York", "* * 29 2 *", "America/New_York", NULL},
    {"interval", "@every 90s", "UTC", NULL},
    {"rule, every other week", "DTSTART:20260101T090000Z RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR",
        "UTC", NULL},
    {"rule, last Friday of every other month",
        "DTSTART:20260101T090000Z RRULE:FREQ=MONTHLY;INTERVAL=2;BYDAY=-1FR", "UTC", NULL},
    {"rule, last workday by BYSETPOS",
        "DTSTART:20260101T090000Z RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "UTC",
        NULL},
};

static int64_t processor_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_utime.tv_sec * US_PER_S + usage.ru_utime.tv_usec;
}

static void measure(const char *name, const json_t *doc, int calls)
{
    struct err err = ERR_INIT;
    struct schedule *schedule = schedule_parse(doc, NULL, &err);
    if (schedule == NULL) {
        printf("%s: %s\n", name, err.msg);
        return;
    }
    int64_t at = FROM_US, start = processor_us();
    for (int n = 0; n < calls; n++) {
        at = schedule_next(schedule, FROM_US, at);
        at = at < 0 || at > UNTIL_US ? FROM_US : at;
    }
    double ns = (double)(processor_us() - start) * 1000 / calls;
    printf("%-40s %10.1f\n", name, ns);
    schedule_free(schedule);
}

static json_t *of_row(size_t i)
{
    json_t *doc = json_pack("{s:s,s:s}", "cron", rows[i].cron, "time_zone", rows[i].zone);
    if (rows[i].profile != NULL && rows[i].profile[0] != 's') {
        json_object_set_new(doc, "profile", json_string(rows[i].profile));
    } else if (rows[i].profile != NULL) {
        json_object_set_new(doc, "dst", json_pack("{s:s,s:s}", "gap", "skip", "fold", "both"));
    }
    return doc;
}

static int print_rows(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].profile == NULL) {
            printf("%s\t%s\t%s\n", rows[i].name, rows[i].cron, rows[i].zone);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "rows") == 0) {
        return print_rows();
    }
    printf("%-40s %10s\n", "schedule", "ns/op");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *doc = of_row(i);
        measure(rows[i].name, doc, CALLS);
        json_decref(doc);
    }
    for (int count = 1; count <= 16; count *= 4) {
        json_t *doc = json_pack("{s:s,s:[]}", "time_zone", "Europe/Berlin", "schedules");
        for (int i = 0; i < count; i++) {
            char *text CLEANUP(cleanup_free) = xasprintf("%d 9 * * mon-fri", i);
            json_array_append_new(json_object_get(doc, "schedules"), json_string(text));
        }
        char *name CLEANUP(cleanup_free) = xasprintf("union of %d", count);
        measure(name, doc, CALLS / count);
        json_decref(doc);
    }
    zone_drop_all();
    return 0;
}
