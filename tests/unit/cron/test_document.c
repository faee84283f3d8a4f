/* SPDX-License-Identifier: Apache-2.0 */
/* Schedule documents: profiles, H, several texts, rules, clock-change choices, calendars. */
#include "scheduler/schedule.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int64_t instant(const char *text)
{
    struct err err = ERR_INIT;
    int64_t us = 0;
    if (clock_parse(text, &us, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    return us;
}

/* Documents are written with ' for " here. */
static json_t *document(const char *text)
{
    char *copy CLEANUP(cleanup_free) = xstrdup(text);
    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c == '"' ? '\'' : *c;
    }
    struct err err = ERR_INIT;
    json_t *doc = jread_text(copy, strlen(copy), "document", &err);
    if (doc == NULL) {
        fail_msg("%s: %s", text, err.msg);
    }
    return doc;
}

static struct schedule *make(const char *text, const char *hash_key, struct err *err)
{
    json_t *doc CLEANUP(json_decrefp) = document(text);
    return schedule_parse(doc, hash_key, err);
}

static struct schedule *must(const char *text, const char *hash_key)
{
    struct err err = ERR_INIT;
    struct schedule *schedule = make(text, hash_key, &err);
    if (schedule == NULL) {
        fail_msg("%s: %s", text, err.msg);
    }
    return schedule;
}

#define NYC "America/New_York"

static const struct {
    const char *name, *doc, *from;
    const char *want[8];
} rows[] = {
    /* Several texts. */
    {"two texts, one tick where they meet", "{'schedules': ['0 9 * * *', '0 9,12 * * *']}",
        "2026-01-01T00:00:00Z",
        {"2026-01-01T09:00:00Z", "2026-01-01T12:00:00Z", "2026-01-02T09:00:00Z"}},
    {"cron and schedules together", "{'cron': '0 9 * * *', 'schedules': ['30 8 * * *']}",
        "2026-01-01T00:00:00Z", {"2026-01-01T08:30:00Z", "2026-01-01T09:00:00Z"}},
    {"each in its own zone",
        "{'time_zone': 'Asia/Seoul', 'schedules': ['0 9 * * *', '0 10 * * *']}",
        "2026-01-01T00:00:00Z", {"2026-01-01T01:00:00Z", "2026-01-02T00:00:00Z"}},
    {"zones in the texts",
        "{'schedules': ['TZ=Asia/Seoul 0 9 * * *', 'TZ=Europe/Berlin 0 9 * * *']}",
        "2026-01-01T00:00:00Z", {"2026-01-01T08:00:00Z", "2026-01-02T00:00:00Z"}},
    {"the zone beside a list is for those without one",
        "{'time_zone': 'Asia/Seoul', 'schedules': ['0 9 * * *', 'TZ=Europe/Berlin 0 9 * * *']}",
        "2026-01-01T00:00:00Z", {"2026-01-01T08:00:00Z", "2026-01-02T00:00:00Z"}},
    {"an interval beside others counts from 1970", "{'schedules': ['@every 5h', '30 7 * * *']}",
        "2026-01-01T00:00:00Z",
        {"2026-01-01T04:00:00Z", "2026-01-01T07:30:00Z", "2026-01-01T09:00:00Z"}},
    /* Phases. */
    {"an interval with a phase", "{'cron': '@every 6h/5h'}", "2026-01-01T00:00:00Z",
        {"2026-01-01T05:00:00Z", "2026-01-01T11:00:00Z", "2026-01-01T17:00:00Z"}},
    {"a phase of zero", "{'cron': '@every 15m/0s'}", "2026-01-01T00:07:00Z",
        {"2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"}},
    {"days begin at a phase", "{'cron': '@every 7d/4d'}", "2026-01-01T00:00:00Z",
        {"2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"}},
    /* Words. */
    {"@every_minute", "{'cron': '@every_minute'}", "2026-01-01T00:00:01Z",
        {"2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"}},
    /* Profiles. */
    {"robfig reads five fields as crontab does", "{'profile': 'robfig', 'cron': '0 9 * * *'}",
        "2026-01-01T00:00:00Z", {"2026-01-01T09:00:00Z"}},
    {"robfig v1 begins with the second", "{'profile': 'robfig-v1', 'cron': '0 0 9 * *'}",
        "2026-01-01T00:00:00Z", {"2026-01-01T09:00:00Z", "2026-01-02T09:00:00Z"}},
    {"robfig: a stepped star is a restriction", "{'profile': 'robfig', 'cron': '0 0 */10 * sun'}",
        "2026-01-01T00:00:00Z",
        {"2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z", "2026-01-18T00:00:00Z"}},
    {"robfig v1: a stepped star is a star", "{'profile': 'robfig-v1', 'cron': '0 0 0 */10 * sun'}",
        "2026-01-01T00:00:00Z", {"2026-01-11T00:00:00Z", "2026-02-01T00:00:00Z"}},
    {"robfig: empty elements, plus signs and long steps",
        "{'profile': 'robfig', 'cron': ',+5,,7, */90 *-3 * *'}", "2026-01-01T00:00:00Z",
        {"2026-01-01T00:05:00Z", "2026-01-01T00:07:00Z", "2026-01-02T00:05:00Z"}},
    {"robfig: any blank", "{'profile': 'robfig', 'cron': '0\\t9 *\\n* *\\n'}",
        "2026-01-01T00:00:00Z", {"2026-01-01T09:00:00Z"}},
    {"robfig skips the gap", "{'profile': 'robfig', 'time_zone': '" NYC "', 'cron': '30 2 * * *'}",
        "2026-03-07T12:00:00-05:00", {"2026-03-09T02:30:00-04:00"}},
    {"robfig fires twice in the fold",
        "{'profile': 'robfig', 'time_zone': '" NYC "', 'cron': '30 1 * * *'}",
        "2026-11-01T00:00:00-04:00",
        {"2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"}},
    {"robfig skips a midnight that is not",
        "{'profile': 'robfig', 'time_zone': 'America/Santiago', 'cron': '@daily'}",
        "2026-09-05T12:00:00-04:00", {"2026-09-07T00:00:00-03:00"}},
    {"quartz counts from Sunday, 1", "{'profile': 'quartz', 'cron': '0 0 12 ? * 2-6'}",
        "2026-01-03T00:00:00Z", {"2026-01-05T12:00:00Z", "2026-01-06T12:00:00Z"}},
    {"quartz: L alone in the week is Saturday", "{'profile': 'quartz', 'cron': '0 0 12 ? * L'}",
        "2026-01-01T00:00:00Z", {"2026-01-03T12:00:00Z", "2026-01-10T12:00:00Z"}},
    {"quartz: the last Friday is 6L", "{'profile': 'quartz', 'cron': '0 15 10 ? * 6L'}",
        "2026-01-01T00:00:00Z", {"2026-01-30T10:15:00Z", "2026-02-27T10:15:00Z"}},
    {"quartz: the third Friday is 6#3", "{'profile': 'quartz', 'cron': '0 15 10 ? * 6#3'}",
        "2026-01-01T00:00:00Z", {"2026-01-16T10:15:00Z", "2026-02-20T10:15:00Z"}},
    {"quartz: a week that wraps", "{'profile': 'quartz', 'cron': '0 0 0 ? * FRI-MON'}",
        "2026-01-01T00:00:00Z",
        {"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z",
            "2026-01-05T00:00:00Z", "2026-01-09T00:00:00Z"}},
    {"quartz: a step without a star", "{'profile': 'quartz', 'cron': '0 /20 * * * ?'}",
        "2026-01-01T00:00:00Z", {"2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z"}},
    {"quartz: L, W and years", "{'profile': 'quartz', 'cron': '0 15 10 LW * ? 2026-2027'}",
        "2026-12-01T00:00:00Z", {"2026-12-31T10:15:00Z", "2027-01-29T10:15:00Z"}},
    {"quartz: every fourth year counts from 1970",
        "{'profile': 'quartz', 'cron': '0 0 0 1 1 ? */4'}", "2026-06-01T00:00:00Z",
        {"2030-01-01T00:00:00Z", "2034-01-01T00:00:00Z"}},
    {"quartz: three before the last", "{'profile': 'quartz', 'cron': '0 0 0 L-3 * ?'}",
        "2026-02-01T00:00:00Z", {"2026-02-25T00:00:00Z", "2026-03-28T00:00:00Z"}},
    {"quartz skips the gap, takes the second of the fold",
        "{'profile': 'quartz', 'time_zone': '" NYC "', 'cron': '0 30 1 ? * *'}",
        "2026-11-01T00:00:00-04:00", {"2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"}},
    {"quartz has no hole in the fold",
        "{'profile': 'quartz', 'time_zone': '" NYC "', 'cron': '0 0 * ? * *'}",
        "2026-11-01T00:30:00-04:00",
        {"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"}},
    /* Choices at clock changes. */
    {"gap skip in the default profile",
        "{'time_zone': '" NYC "', 'cron': '30 2 * * *', 'dst': {'gap': 'skip'}}",
        "2026-03-07T12:00:00-05:00", {"2026-03-09T02:30:00-04:00"}},
    {"gap skip keeps a regular match at its end",
        "{'time_zone': '" NYC "', 'cron': '0 2,3 * * *', 'dst': {'gap': 'skip'}}",
        "2026-03-07T12:00:00-05:00", {"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
    {"fold second", "{'time_zone': '" NYC "', 'cron': '30 1 * * *', 'dst': {'fold': 'second'}}",
        "2026-10-31T12:00:00-04:00", {"2026-11-01T01:30:00-05:00", "2026-11-02T01:30:00-05:00"}},
    {"fold second still makes up the gap",
        "{'time_zone': '" NYC "', 'cron': '30 2 * * *', 'dst': {'fold': 'second'}}",
        "2026-03-07T12:00:00-05:00", {"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
    {"fold both", "{'time_zone': '" NYC "', 'cron': '30 1,2 * * *', 'dst': {'fold': 'both'}}",
        "2026-10-31T12:00:00-04:00",
        {"2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-01T02:30:00-05:00"}},
    {"robfig may make up the gap",
        "{'profile': 'robfig', 'dst': {'gap': 'next', 'fold': 'first'}, 'time_zone': '" NYC
        "', 'cron': '30 2 * * *'}",
        "2026-03-07T12:00:00-05:00", {"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
    {"what only ever falls into the gap",
        "{'time_zone': 'Pacific/Apia', 'dst': {'gap': 'skip'}, 'cron': '0 0 12 30 12 * 2011'}",
        "2011-01-01T00:00:00Z", {NULL}},
    /* Rules. */
    {"RRULE: daily, ten times",
        "{'schedules': ['DTSTART;TZID=" NYC ":19970902T090000 RRULE:FREQ=DAILY;COUNT=10']}",
        "1997-09-10T00:00:00-04:00",
        {"1997-09-10T09:00:00-04:00", "1997-09-11T09:00:00-04:00", NULL}},
    {"RRULE: every other week on two days",
        "{'cron': 'DTSTART;TZID=" NYC
        ":19970902T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH'}",
        "1997-09-01T00:00:00Z",
        {"1997-09-02T09:00:00-04:00", "1997-09-04T09:00:00-04:00", "1997-09-16T09:00:00-04:00",
            "1997-09-18T09:00:00-04:00", "1997-09-30T09:00:00-04:00", "1997-10-02T09:00:00-04:00",
            "1997-10-14T09:00:00-04:00", "1997-10-16T09:00:00-04:00"}},
    {"RRULE: the week's beginning matters",
        "{'cron': 'DTSTART:19970805T090000Z "
        "RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU'}",
        "1997-08-01T00:00:00Z",
        {"1997-08-05T09:00:00Z", "1997-08-17T09:00:00Z", "1997-08-19T09:00:00Z",
            "1997-08-31T09:00:00Z", NULL}},
    {"RRULE: it begins on Monday otherwise",
        "{'cron': 'DTSTART:19970805T090000Z RRULE:FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU'}",
        "1997-08-01T00:00:00Z",
        {"1997-08-05T09:00:00Z", "1997-08-10T09:00:00Z", "1997-08-19T09:00:00Z",
            "1997-08-24T09:00:00Z", NULL}},
    {"RRULE: the last workday of the month",
        "{'cron': 'DTSTART:20260101T180000Z RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1'}",
        "2026-01-01T00:00:00Z",
        {"2026-01-30T18:00:00Z", "2026-02-27T18:00:00Z", "2026-03-31T18:00:00Z"}},
    {"RRULE: positions count times of day too",
        "{'cron': 'DTSTART:20260101T180000Z "
        "RRULE:FREQ=MONTHLY;BYMONTHDAY=9;BYHOUR=10,20;BYSETPOS=-1'}",
        "2026-01-01T00:00:00Z", {"2026-01-09T20:00:00Z", "2026-02-09T20:00:00Z"}},
    {"RRULE: positions in a year, every other one",
        "{'cron': 'DTSTART:20260301T070000Z "
        "RRULE:FREQ=YEARLY;INTERVAL=2;BYMONTHDAY=9,18;BYSETPOS=2'}",
        "2026-01-01T00:00:00Z", {"2028-01-18T07:00:00Z", "2030-01-18T07:00:00Z"}},
    {"RRULE: week 1 begins in the year before",
        "{'cron': 'DTSTART:19970902T090000Z RRULE:FREQ=YEARLY;BYWEEKNO=1;BYDAY=MO'}",
        "1997-09-02T08:00:00Z",
        {"1997-12-29T09:00:00Z", "1999-01-04T09:00:00Z", "2000-01-03T09:00:00Z"}},
    {"RRULE: week 53, which most years lack",
        "{'cron': 'DTSTART:19970902T090000Z RRULE:FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO'}",
        "1997-09-02T08:00:00Z",
        {"1998-12-28T09:00:00Z", "2004-12-27T09:00:00Z", "2009-12-28T09:00:00Z"}},
    {"RRULE: the last week ends in the year after",
        "{'cron': 'DTSTART:19970902T090000Z RRULE:FREQ=YEARLY;BYWEEKNO=-1;BYDAY=SU'}",
        "1997-09-02T08:00:00Z",
        {"1997-12-28T09:00:00Z", "1999-01-03T09:00:00Z", "2000-01-02T09:00:00Z"}},
    {"RRULE: weeks that begin on Sunday",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=YEARLY;BYWEEKNO=2;BYDAY=SU;WKST=SU'}",
        "2026-01-01T00:00:00Z", {"2026-01-11T09:00:00Z", "2027-01-10T09:00:00Z"}},
    {"RRULE: days of the year in some months",
        "{'cron': 'DTSTART:19970902T090000Z RRULE:FREQ=MONTHLY;BYMONTH=4,7;BYYEARDAY=1,100,200'}",
        "1997-09-02T08:00:00Z", {"1998-04-10T09:00:00Z", "1998-07-19T09:00:00Z"}},
    {"RRULE: a day of the year, daily",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=DAILY;BYYEARDAY=-1,366'}",
        "2027-06-01T00:00:00Z", {"2027-12-31T09:00:00Z", "2028-12-31T09:00:00Z"}},
    {"RRULE: the second-last Monday, and a position",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=MONTHLY;BYDAY=-2MO,1FR;BYSETPOS=2'}",
        "2026-01-01T00:00:00Z", {"2026-01-19T09:00:00Z", "2026-02-16T09:00:00Z"}},
    {"RRULE: the twentieth Monday of a year",
        "{'cron': 'DTSTART:19970519T090000Z RRULE:FREQ=YEARLY;BYDAY=20MO'}", "1997-05-19T08:00:00Z",
        {"1997-05-19T09:00:00Z", "1998-05-18T09:00:00Z", "1999-05-17T09:00:00Z"}},
    {"RRULE: a day of the year beyond libical's years",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=YEARLY;BYYEARDAY=100'}",
        "8000-01-01T00:00:00Z", {"8000-04-09T09:00:00Z"}},
    {"RRULE: weekly on days of the month",
        "{'cron': 'DTSTART:19970902T090000Z RRULE:FREQ=WEEKLY;BYMONTHDAY=1,3'}",
        "1997-09-02T08:00:00Z",
        {"1997-09-03T09:00:00Z", "1997-10-01T09:00:00Z", "1997-10-03T09:00:00Z"}},
    {"RRULE: positions in an hour",
        "{'cron': 'DTSTART:19970902T090000Z "
        "RRULE:FREQ=HOURLY;BYMINUTE=15,45;BYSECOND=15,45;BYSETPOS=3,-3'}",
        "1997-09-02T08:00:00Z",
        {"1997-09-02T09:15:45Z", "1997-09-02T09:45:15Z", "1997-09-02T10:15:45Z"}},
    {"RRULE: positions in the hours of one month",
        "{'cron': 'DTSTART:20260301T000000Z RRULE:FREQ=HOURLY;BYMONTH=2;BYMINUTE=7,9;BYSETPOS=-1'}",
        "2026-03-01T00:00:00Z", {"2027-02-01T00:09:00Z", "2027-02-01T01:09:00Z"}},
    {"RRULE: weeks of the year",
        "{'cron': 'DTSTART:20260101T070000Z RRULE:FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO'}",
        "2026-01-01T00:00:00Z", {"2026-05-11T07:00:00Z", "2027-05-17T07:00:00Z"}},
    {"RRULE: the hundredth day of every other year",
        "{'cron': 'DTSTART:20260101T070000Z RRULE:FREQ=YEARLY;INTERVAL=2;BYYEARDAY=100,-1'}",
        "2026-05-01T00:00:00Z", {"2026-12-31T07:00:00Z", "2028-04-09T07:00:00Z"}},
    {"RRULE: asked far ahead",
        "{'cron': 'DTSTART:20260101T180000Z RRULE:FREQ=MONTHLY;INTERVAL=5;BYDAY=-1FR'}",
        "2030-04-01T00:00:00Z", {"2030-08-30T18:00:00Z", "2031-01-31T18:00:00Z"}},
    {"RRULE: election day",
        "{'cron': 'DTSTART:19961105T090000Z "
        "RRULE:FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8'}",
        "2025-01-01T00:00:00Z", {"2028-11-07T09:00:00Z", "2032-11-02T09:00:00Z"}},
    {"RRULE: rarer than its window",
        "{'cron': 'DTSTART:19960229T090000Z "
        "RRULE:FREQ=YEARLY;INTERVAL=40;BYMONTH=2;BYMONTHDAY=29'}",
        "2040-01-01T00:00:00Z", {"2076-02-29T09:00:00Z", "2116-02-29T09:00:00Z"}},
    {"RRULE: until, exceptions and extras",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=DAILY;UNTIL=20260104T090000Z "
        "EXDATE:20260102T090000Z,20260103T090000Z RDATE:20260110T120000Z'}",
        "2026-01-01T00:00:00Z",
        {"2026-01-01T09:00:00Z", "2026-01-04T09:00:00Z", "2026-01-10T12:00:00Z", NULL}},
    {"RRULE: UNTIL in UTC, times elsewhere",
        "{'cron': 'DTSTART;TZID=Asia/Seoul:20260101T090000 "
        "RRULE:FREQ=DAILY;UNTIL=20260102T000000Z'}",
        "2025-12-31T00:00:00Z", {"2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", NULL}},
    {"RRULE: every 90 minutes",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=MINUTELY;INTERVAL=90'}",
        "2026-01-01T23:00:00Z", {"2026-01-02T00:00:00Z", "2026-01-02T01:30:00Z"}},
    {"RRULE: every 20 minutes at office hours",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10;BYDAY=FR'}",
        "2026-01-01T23:00:00Z",
        {"2026-01-02T09:00:00Z", "2026-01-02T09:20:00Z", "2026-01-02T09:40:00Z",
            "2026-01-02T10:00:00Z", "2026-01-02T10:20:00Z", "2026-01-02T10:40:00Z",
            "2026-01-09T09:00:00Z"}},
    {"RRULE: the last but one day of the month",
        "{'cron': 'DTSTART:20260101T000000Z RRULE:FREQ=DAILY;BYMONTHDAY=-2'}",
        "2026-02-01T00:00:00Z", {"2026-02-27T00:00:00Z", "2026-03-30T00:00:00Z"}},
    {"RRULE: a fixed time in the gap moves as cron's",
        "{'cron': 'DTSTART;TZID=" NYC ":20260301T023000 RRULE:FREQ=DAILY'}",
        "2026-03-07T12:00:00-05:00", {"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
    {"RRULE: hours go on through the fold",
        "{'cron': 'DTSTART;TZID=" NYC ":20260101T000000 RRULE:FREQ=HOURLY'}",
        "2026-11-01T00:30:00-04:00",
        {"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"}},
    {"a date alone fires once", "{'cron': 'DTSTART:20260101T090000Z'}", "2025-01-01T00:00:00Z",
        {"2026-01-01T09:00:00Z", NULL}},
    {"lines instead of blanks, zone beside it",
        "{'time_zone': 'Asia/Seoul', 'cron': 'DTSTART:20260101T090000\\nRRULE:FREQ=DAILY'}",
        "2025-12-31T12:00:00Z", {"2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"}},
};

static bool check_row(size_t row)
{
    struct schedule *schedule = must(rows[row].doc, NULL);
    int64_t from = instant(rows[row].from), at = from;
    bool ok = true;
    for (size_t i = 0; i < ARRAY_LEN(rows[row].want) && ok; i++) {
        const char *want = rows[row].want[i];
        at = schedule_next(schedule, from, at);
        if (at != (want != NULL ? instant(want) : -1)) {
            char text[CLOCK_TEXT_MAX] = "never";
            print_error("%s: tick %zu is %s, not %s\n", rows[row].name, i + 1,
                at < 0 ? text : clock_format_s(at, text), want != NULL ? want : "never");
            ok = false;
        }
        if (want == NULL ||
            (i + 1 < ARRAY_LEN(rows[row].want) && rows[row].want[i + 1] == NULL &&
                strstr(rows[row].doc, "UNTIL") == NULL && strstr(rows[row].doc, "COUNT") == NULL)) {
            break; /* the rest is not said */
        }
    }
    schedule_free(schedule);
    return ok;
}

static void test_ticks(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bad += !check_row(i);
    }
    assert_int_equal(bad, 0);
}

static const struct {
    const char *name, *doc;
    const char *says[2];
} refused[] = {
    {"nothing", "{}", {"no schedule"}},
    {"an empty list", "{'schedules': []}", {"no schedule"}},
    {"cron that is no text", "{'cron': 5}", {"cron", "string"}},
    {"a list of numbers", "{'schedules': ['@daily', 5]}", {"schedules[1]"}},
    {"the second text is wrong", "{'schedules': ['@daily', '61 * * * *']}",
        {"schedules[1]", "minute field"}},
    {"an interval beside a cron", "{'interval_s': 60, 'cron': '@daily'}", {"stands alone"}},
    {"an unknown profile", "{'profile': 'ocps', 'cron': '@daily'}", {"profile", "quartz"}},
    {"an unknown gap", "{'cron': '@daily', 'dst': {'gap': 'both-edges'}}", {"dst.gap"}},
    {"an unknown fold", "{'cron': '@daily', 'dst': {'fold': 'none'}}", {"dst.fold"}},
    {"an unknown member of dst", "{'cron': '@daily', 'dst': {'hole': 'skip'}}", {"hole"}},
    {"H without a key", "{'cron': 'H H * * *'}", {"'H'", "id"}},
    {"a phase beyond the interval", "{'cron': '@every 6h/6h'}", {"shorter"}},
    {"a phase that is none", "{'cron': '@every 6h/x'}", {"phase"}},
    {"robfig: Sunday is not 7", "{'profile': 'robfig', 'cron': '0 0 * * 7'}", {"out of range"}},
    {"robfig: no wrapping", "{'profile': 'robfig', 'cron': '0 22-2 * * *'}", {"before"}},
    {"robfig: no L", "{'profile': 'robfig', 'cron': '0 0 L * *'}", {"not a number"}},
    {"robfig: no years", "{'profile': 'robfig', 'cron': '0 0 0 1 1 * 2030'}", {"more than 6"}},
    {"robfig: four fields", "{'profile': 'robfig', 'cron': '0 0 1 1'}", {"less than 5"}},
    {"robfig: words are small", "{'profile': 'robfig', 'cron': '@Daily'}", {"unknown word"}},
    {"robfig: nothing in a field", "{'profile': 'robfig', 'cron': ', 0 * * *'}", {"nothing"}},
    {"robfig: two slashes", "{'profile': 'robfig', 'cron': '*/2/2 0 * * *'}", {"slashes"}},
    {"robfig: two hyphens", "{'profile': 'robfig', 'cron': '1-2-3 0 * * *'}", {"hyphens"}},
    {"robfig: 30 February", "{'profile': 'robfig', 'cron': '0 0 30 2 *'}", {"never fires"}},
    {"quartz: five fields", "{'profile': 'quartz', 'cron': '0 0 * * ?'}", {"5 fields", "Quartz"}},
    {"quartz: no question mark", "{'profile': 'quartz', 'cron': '0 0 0 * * *'}", {"exactly one"}},
    {"quartz: both restricted", "{'profile': 'quartz', 'cron': '0 0 0 1 * 2'}", {"exactly one"}},
    {"quartz: two question marks", "{'profile': 'quartz', 'cron': '0 0 0 ? * ?'}", {"exactly one"}},
    {"quartz: a question mark elsewhere", "{'profile': 'quartz', 'cron': '? 0 0 * * ?'}",
        {"stands alone"}},
    {"quartz: Sunday is not 0", "{'profile': 'quartz', 'cron': '0 0 0 ? * 0'}", {"1-7"}},
    {"quartz: L in a list", "{'profile': 'quartz', 'cron': '0 0 0 1,L * ?'}", {"list"}},
    {"quartz: two numbered days", "{'profile': 'quartz', 'cron': '0 0 0 ? * 2#1,3#2'}",
        {"one '#'"}},
    {"quartz: a step of 60", "{'profile': 'quartz', 'cron': '0 0/60 * * * ?'}", {"step of 60"}},
    {"quartz: six fields are never minute first", "{'profile': 'quartz', 'cron': '0 0 9 ? * 2030'}",
        {"1-7"}},
    {"quartz: no H", "{'profile': 'quartz', 'cron': 'H 0 0 * * ?'}", {"H"}},
    {"an interval that libical would cut to 1",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=DAILY;INTERVAL=65537'}",
        {"INTERVAL", "32767"}},
    {"a count that libical would cut to 1",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:COUNT=4294967297;FREQ=DAILY'}", {"COUNT"}},
    {"an interval on a folded line",
        "{'cron': '@daily', 'exclude': 'BEGIN:VEVENT\\r\\nDTSTART:20260101T090000Z\\r\\n"
        "RRULE:FREQ=DAILY;INTERVAL=65\\r\\n 537\\r\\nEND:VEVENT\\r\\n'}",
        {"INTERVAL"}},
    {"a rule part out of range", "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=DAILY;BYHOUR=24'}",
        {"BYHOUR=0-23"}},
    {"a rule that begins on a date that is none", "{'cron': 'DTSTART:20263000T090000Z'}",
        {"DTSTART"}},
    {"a rule that begins at no time of day", "{'cron': 'DTSTART:20260101T250000Z'}", {"DTSTART"}},
    {"a rule that ends on a date that is none",
        "{'cron': 'DTSTART:20260101T090000Z RRULE:FREQ=DAILY;UNTIL=20261331T000000Z'}", {"UNTIL"}},
    {"a rule without its beginning", "{'cron': 'RRULE:FREQ=DAILY'}", {"DTSTART"}},
    {"a rule with an unknown part", "{'cron': 'DTSTART:20260101T000000Z RRULE:FREQ=FOO'}",
        {"RULE"}},
    {"a rule of the 30 February",
        "{'cron': 'DTSTART:20260101T000000Z "
        "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30'}",
        {"never fires"}},
    {"a rule of seconds on the 30 February",
        "{'cron': 'DTSTART:20260101T000000Z "
        "RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30'}",
        {"never fires"}},
    {"a yearly rule of the 30 February",
        "{'cron': 'DTSTART:20260101T000000Z "
        "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30'}",
        {"never fires"}},
    {"a stride that never meets the hour",
        "{'cron': 'DTSTART:20260101T100000Z "
        "RRULE:FREQ=HOURLY;INTERVAL=24;BYHOUR=9'}",
        {"never fires"}},
    {"a rule that counts too far",
        "{'cron': 'DTSTART:20260101T000000Z "
        "RRULE:FREQ=DAILY;COUNT=10001'}",
        {"COUNT"}},
    {"positions among too many",
        "{'cron': 'DTSTART:20260101T000000Z "
        "RRULE:FREQ=YEARLY;BYHOUR=1,2;BYMINUTE=1,2,3,4,5,6,7,8,9,10,11,12,13,14;BYSETPOS=1'}",
        {"BYSETPOS"}},
    {"a rule in an unknown zone",
        "{'cron': 'DTSTART;TZID=Mars/Base:20260101T000000 RRULE:FREQ=DAILY'}", {"Mars/Base"}},
    {"a rule with a name", "{'cron': 'DTSTART:20260101T000000Z SUMMARY:x'}", {"nothing else"}},
    {"a calendar that is none", "{'cron': '@daily', 'exclude': 'hello'}", {"exclude"}},
    {"a calendar without events",
        "{'cron': '@daily', 'exclude': 'BEGIN:VCALENDAR\\r\\nEND:VCALENDAR\\r\\n'}", {"VEVENT"}},
    {"a calendar that is a number", "{'cron': '@daily', 'include': [5]}", {"include[0]"}},
};

static void test_refused(void **state)
{
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct err err = ERR_INIT;
        struct schedule *schedule = make(refused[i].doc, NULL, &err);
        if (schedule != NULL) {
            print_error("%s: accepted\n", refused[i].name);
            schedule_free(schedule);
            bad++;
            continue;
        }
        bad += err.code != ERR_INVALID;
        for (size_t k = 0; k < 2 && refused[i].says[k] != NULL; k++) {
            if (strstr(err.msg, refused[i].says[k]) == NULL) {
                print_error("%s: '%s' lacks '%s'\n", refused[i].name, err.msg, refused[i].says[k]);
                bad++;
            }
        }
    }
    assert_int_equal(bad, 0);
}

/* Which minute of the day, for a document that fires once a day. */
static int minute_of_day(const char *doc, const char *key)
{
    struct schedule *schedule = must(doc, key);
    int64_t at = schedule_next(schedule, 0, instant("2026-01-01T00:00:00Z") - 1);
    schedule_free(schedule);
    return (int)(at / US_PER_S % 86400 / 60);
}

static void test_hash_spreads(void **state)
{
    (void)state;
    int hours[24] = {0}, quarters[15] = {0};
    char key[32];
    for (int i = 0; i < 2400; i++) {
        snprintf(key, sizeof key, "run-%d", i);
        hours[minute_of_day("{'cron': 'H H * * *'}", key) / 60]++;
        quarters[minute_of_day("{'cron': 'H/15 * * * *'}", key) % 15]++;
        assert_in_range(minute_of_day("{'cron': 'H(10-19) H(2-3) * * *'}", key) % 60, 10, 19);
    }
    for (int i = 0; i < 24; i++) {
        assert_in_range(hours[i], 60, 140); /* 100 each, five sigma are 50 */
    }
    for (int i = 0; i < 15; i++) {
        assert_in_range(quarters[i], 100, 220); /* 160 each */
    }
    assert_int_equal(
        minute_of_day("{'cron': 'H H * * *'}", "a"), minute_of_day("{'cron': 'h h * * *'}", "a"));
}

static void test_hash_steps(void **state)
{
    (void)state;
    struct schedule *schedule = must("{'cron': 'H(0-29)/10 * * * *'}", "a");
    int64_t at = instant("2026-01-01T00:00:00Z") - 1, first = schedule_next(schedule, 0, at);
    int64_t second = schedule_next(schedule, 0, first), third = schedule_next(schedule, 0, second);
    assert_int_equal(second - first, 600 * US_PER_S);
    assert_int_equal(third - second, 600 * US_PER_S);
    assert_int_equal(schedule_next(schedule, 0, third) - third, 2400 * US_PER_S);
    schedule_free(schedule);
    /* Every month has the day, and a week has it once. */
    schedule = must("{'cron': '0 0 H * *'}", "b");
    assert_int_equal(schedule_count(schedule, 0, instant("2026-01-01T00:00:00Z") - 1,
                         instant("2026-12-31T23:59:59Z"), 100),
        12);
    schedule_free(schedule);
    schedule = must("{'cron': '0 0 * * H'}", "b");
    assert_int_equal(schedule_count(schedule, 0, instant("2026-01-01T00:00:00Z"),
                         instant("2026-01-29T00:00:00Z"), 100),
        4);
    schedule_free(schedule);
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        const char *key_a, *key_b;
        bool same;
    } pairs[] = {
        {"{'cron': '@daily'}", "{'cron': '@daily'}", "x", "y", true},
        {"{'cron': '0 0 * * thu'}", "{'cron': '0 0 * * thu', 'name': 'n'}", "x", "y", true},
        {"{'cron': '@daily'}", "{'cron': '@daily', 'profile': 'robfig'}", "x", "x", false},
        {"{'cron': 'H 0 * * *'}", "{'cron': 'H 0 * * *'}", "x", "y", false},
        {"{'cron': 'H 0 * * *'}", "{'cron': 'H 0 * * *'}", "x", "x", true},
        {"{'schedules': ['H/5 * * * *']}", "{'schedules': ['H/5 * * * *']}", "x", "y", false},
        {"{'schedules': ['@daily']}", "{'schedules': ['@hourly']}", "x", "x", false},
        {"{'cron': '@daily'}", "{'cron': '@daily', 'dst': {'gap': 'skip'}}", "x", "x", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        json_t *a CLEANUP(json_decrefp) = document(pairs[i].a);
        json_t *b CLEANUP(json_decrefp) = document(pairs[i].b);
        char *key_a CLEANUP(cleanup_free) = schedule_key(a, pairs[i].key_a);
        char *key_b CLEANUP(cleanup_free) = schedule_key(b, pairs[i].key_b);
        if ((strcmp(key_a, key_b) == 0) != pairs[i].same) {
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
        }
    }
}

static void test_counts(void **state)
{
    (void)state;
    int64_t from = instant("2026-01-01T00:00:00Z"), until = instant("2026-01-02T00:00:00Z");
    static const struct {
        const char *doc;
        int64_t max, want;
    } cases[] = {
        {"{'cron': '* * * * *'}", 10000, 1440},
        {"{'cron': '* * * * *'}", 100, 100},
        {"{'interval_s': 90}", 10000, 960},
        {"{'interval_s': 1}", INT64_MAX, 86400},
        {"{'interval_s': 100000}", 10, 0},
        {"{'cron': '@every 6h/5h'}", 10, 4},
        {"{'cron': '@every 6h/0s'}", 3, 3},
        {"{'schedules': ['0 * * * *', '0,30 */2 * * *']}", 1000, 36},
        {"{'cron': '0 0 0 1 1 * 2020'}", 10, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct schedule *schedule = must(cases[i].doc, NULL);
        assert_int_equal(schedule_count(schedule, from, from, until, cases[i].max), cases[i].want);
        schedule_free(schedule);
    }
}

#define ICAL(events) "BEGIN:VCALENDAR\\r\\nVERSION:2.0\\r\\n" events "END:VCALENDAR\\r\\n"
#define EVENT(lines) "BEGIN:VEVENT\\r\\n" lines "END:VEVENT\\r\\n"

#define HOLIDAYS                                                                                   \
    ICAL(EVENT("UID:1\\r\\nSUMMARY:Christmas Day\\r\\nDTSTART;VALUE=DATE:20201225\\r\\n"           \
               "RRULE:FREQ=YEARLY\\r\\n")                                                          \
            EVENT(                                                                                 \
                "UID:2\\r\\nSUMMARY:Freeze\\r\\nDTSTART;TZID=Europe/Berlin:20260301T220000\\r\\n"  \
                "DTEND;TZID=Europe/Berlin:20260302T060000\\r\\n")                                  \
                EVENT("UID:3\\r\\nSUMMARY:Weekly\\r\\nDTSTART:20260105T120000Z\\r\\n"              \
                      "DURATION:PT2H\\r\\nRRULE:FREQ=WEEKLY\\r\\nEXDATE:20260119T120000Z\\r\\n")   \
                    EVENT("UID:3\\r\\nSUMMARY:Weekly, moved\\r\\nRECURRENCE-ID:20260126T120000Z"   \
                          "\\r\\nDTSTART:20260127T120000Z\\r\\nDURATION:PT2H\\r\\n")               \
                        EVENT("UID:4\\r\\nSTATUS:CANCELLED\\r\\nDTSTART:20260401T000000Z\\r\\n"    \
                              "DURATION:P1D\\r\\n"))

static void test_excluded(void **state)
{
    (void)state;
    static const struct {
        const char *at, *why; /* NULL: not excluded */
    } cases[] = {
        {"2026-12-24T22:59:59Z", NULL},
        {"2026-12-24T23:00:00Z", "Christmas Day"}, /* midnight in Berlin */
        {"2026-12-25T22:59:59Z", "Christmas Day"}, {"2026-12-25T23:00:00Z", NULL},
        {"2019-12-25T12:00:00Z", NULL}, /* before it began */
        {"2099-12-25T12:00:00Z", "Christmas Day"}, {"2026-03-01T20:59:59Z", NULL},
        {"2026-03-01T21:00:00Z", "Freeze"}, {"2026-03-02T04:59:59Z", "Freeze"},
        {"2026-03-02T05:00:00Z", NULL}, {"2026-01-05T13:00:00Z", "Weekly"},
        {"2026-01-12T13:59:59Z", "Weekly"}, {"2026-01-12T14:00:00Z", NULL},
        {"2026-01-19T13:00:00Z", NULL}, /* EXDATE */
        {"2026-01-26T13:00:00Z", NULL}, /* moved to the day after */
        {"2026-01-27T13:00:00Z", "Weekly, moved"}, {"2026-04-01T12:00:00Z", NULL}, /* cancelled */
    };
    struct schedule *without =
        must("{'cron': '@hourly', 'time_zone': 'Europe/Berlin', 'exclude': '" HOLIDAYS "'}", NULL);
    struct schedule *within = must(
        "{'cron': '@hourly', 'time_zone': 'Europe/Berlin', 'include': ['" HOLIDAYS "']}", NULL);
    assert_true(schedule_has_calendars(without));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char why[SCHEDULE_WHY_MAX] = "", other[SCHEDULE_WHY_MAX];
        bool is_excluded = schedule_is_excluded(without, instant(cases[i].at), why);
        if (is_excluded != (cases[i].why != NULL) ||
            (is_excluded && strstr(why, cases[i].why) == NULL)) {
            fail_msg("%s: '%s'", cases[i].at, why);
        }
        assert_int_equal(schedule_is_excluded(within, instant(cases[i].at), other), !is_excluded);
    }
    schedule_free(without);
    schedule_free(within);
    struct schedule *plain = must("{'cron': '@daily'}", NULL);
    char why[SCHEDULE_WHY_MAX];
    assert_false(schedule_is_excluded(plain, 0, why));
    assert_false(schedule_has_calendars(plain));
    schedule_free(plain);
}

static void test_calendar_ceilings(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_adds(&text, "BEGIN:VCALENDAR\r\n");
    for (int i = 0; i < 2001; i++) {
        buf_adds(&text, "BEGIN:VEVENT\r\nDTSTART:20260101T000000Z\r\nEND:VEVENT\r\n");
    }
    buf_adds(&text, "END:VCALENDAR\r\n");
    json_t *doc CLEANUP(json_decrefp) =
        json_pack("{s:s,s:s}", "cron", "@daily", "exclude", buf_str(&text));
    assert_null(schedule_parse(doc, NULL, &err));
    assert_non_null(strstr(err.msg, "2000 events"));
    while (text.len <= 256 * 1024) {
        buf_adds(&text, "X-PADDING:0123456789012345678901234567890123456789\r\n");
    }
    json_object_set_new(doc, "exclude", json_string(buf_str(&text)));
    assert_null(schedule_parse(doc, NULL, &err));
    assert_non_null(strstr(err.msg, "256 KiB"));
    buf_done(&text);
}

static void test_descriptions(void **state)
{
    (void)state;
    static const struct {
        const char *doc, *text;
    } cases[] = {
        {"{'schedules': ['0 9 * * *', '@every 6h/5h']}",
            "At 09:00, UTC; and Every 6 hours counted from 1970-01-01T05:00:00Z"},
        {"{'profile': 'quartz', 'cron': '0 30 9 ? * MON-FRI'}",
            "At 09:30 on Monday to Friday, UTC"},
        {"{'cron': 'DTSTART;TZID=Asia/Seoul:20260101T090000 RRULE:FREQ=DAILY;COUNT=3'}",
            "By the rule FREQ=DAILY;COUNT=3 from 2026-01-01T09:00:00 on, Asia/Seoul"},
        {"{'cron': '@daily', 'exclude': '" HOLIDAYS "'}", "At 00:00, UTC; not inside 4 events"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct schedule *schedule = must(cases[i].doc, NULL);
        struct buf out;
        buf_init(&out, 1000);
        schedule_describe(schedule, &out);
        assert_string_equal(buf_str(&out), cases[i].text);
        buf_done(&out);
        schedule_free(schedule);
    }
}

static void test_hints(void **state)
{
    (void)state;
    static const struct {
        const char *doc, *says; /* NULL: nothing to say */
    } cases[] = {
        {"{'cron': '30 9 * * 1-5'}", NULL},
        {"{'cron': '* * * * *'}", "fires 1,440 times a day"},
        {"{'cron': '* * * * * *'}", "more than 10,000 times a day"},
        {"{'interval_s': 60}", "fires 1,440 times a day"},
        {"{'cron': '*/7 * * * *'}", "after minute 56 comes minute 0, 4 minutes later"},
        {"{'cron': '*/15 * * * *'}", NULL},
        {"{'cron': '0 0 13 * fri'}", "either one matching is enough"},
        {"{'cron': '0 0 31 * *'}", "months without day 31"},
        {"{'cron': '0 0 L * *'}", NULL},
        {"{'time_zone': '" NYC "', 'cron': '30 2 * * *'}", "02:30 does not exist"},
        {"{'time_zone': '" NYC "', 'cron': '30 2 * * *'}", "so it fires at 03:00"},
        {"{'time_zone': '" NYC "', 'cron': '30 2 * * *', 'profile': 'robfig'}",
            "so it does not fire then"},
        {"{'time_zone': '" NYC "', 'cron': '*/30 2 * * *'}", "goes on after the gap"},
        {"{'time_zone': '" NYC "', 'cron': '30 1 * * *'}", "it fires the first time only"},
        {"{'time_zone': '" NYC "', 'cron': '30 1 * * *', 'dst': {'fold': 'second'}}",
            "it fires the second time only"},
        {"{'time_zone': '" NYC "', 'cron': '30 9 * * *'}", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct schedule *schedule = must(cases[i].doc, NULL);
        json_t *hints CLEANUP(json_decrefp) =
            schedule_hints(schedule, instant("2026-01-01T00:00:00Z"));
        char *text CLEANUP(cleanup_free) = jtext(hints);
        if (cases[i].says == NULL ? json_array_size(hints) > 0
                                  : strstr(text, cases[i].says) == NULL) {
            fail_msg("%s: %s", cases[i].doc, text);
        }
        schedule_free(schedule);
    }
}

/* The choices at clock changes by brute force: minute by minute over two changes of four zones. */
struct choice {
    const char *gap, *fold;
};

static bool was_shown(const struct zone *zone, int64_t from, int64_t until, int64_t wall)
{
    for (int64_t t = from; t < until; t += 60) {
        if (t + zone_offset(zone, t) == wall) {
            return true;
        }
    }
    return false;
}

static bool wants(int64_t wall)
{
    struct civil c;
    civil_from_s(wall, &c);
    return c.minute == 15 && (c.hour <= 3 || c.hour == 23);
}

static bool brute_force(const struct choice *choice, const struct zone *zone, int64_t t)
{
    int64_t wall = t + zone_offset(zone, t), before = t - 60 + zone_offset(zone, t - 60);
    bool is_first = !was_shown(zone, t - 5 * 3600, t, wall);
    bool is_last = !was_shown(zone, t + 60, t + 5 * 3600, wall);
    bool is_made_up = false;
    for (int64_t w = before + 60; w < wall && choice->gap[0] == 'n'; w += 60) {
        is_made_up |= wants(w) && !was_shown(zone, t - 5 * 3600, t, w);
    }
    bool counts = choice->fold[0] == 'b' || (choice->fold[0] == 'f' ? is_first : is_last);
    return is_made_up || (wants(wall) && counts);
}

static void test_choices_minute_by_minute(void **state)
{
    (void)state;
    static const struct choice choices[] = {{"next", "first"}, {"next", "second"}, {"next", "both"},
        {"skip", "first"}, {"skip", "second"}, {"skip", "both"}};
    static const char *const zones[] = {
        NYC, "Australia/Lord_Howe", "America/Santiago", "Europe/Dublin"};
    static const char *const changes[][2] = {{"2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"},
        {"2026-10-03T15:30:00Z", "2026-04-04T15:00:00Z"},
        {"2026-09-06T04:00:00Z", "2026-04-05T03:00:00Z"},
        {"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"}};
    struct err err = ERR_INIT;
    for (size_t z = 0; z < ARRAY_LEN(zones); z++) {
        const struct zone *zone = zone_get(zones[z], &err);
        assert_non_null(zone);
        for (size_t c = 0; c < ARRAY_LEN(choices); c++) {
            json_t *doc CLEANUP(json_decrefp) =
                json_pack("{s:s,s:s,s:{s:s,s:s}}", "cron", "15 0-3,23 * * *", "time_zone", zones[z],
                    "dst", "gap", choices[c].gap, "fold", choices[c].fold);
            struct schedule *schedule = schedule_parse(doc, NULL, &err);
            assert_non_null(schedule);
            for (int k = 0; k < 2; k++) {
                int64_t t = instant(changes[z][k]) / US_PER_S - 5 * 3600;
                int64_t next = schedule_next(schedule, 0, (t - 1) * US_PER_S) / US_PER_S;
                for (int n = 0; n < 600; n++, t += 60) {
                    bool want = brute_force(&choices[c], zone, t);
                    if (want != (next == t)) {
                        fail_msg("%s gap %s fold %s: %s at %lld", zones[z], choices[c].gap,
                            choices[c].fold, want ? "not fired" : "fired", (long long)t);
                    }
                    next = next == t ? schedule_next(schedule, 0, t * US_PER_S) / US_PER_S : next;
                }
            }
            schedule_free(schedule);
        }
    }
}

static int drop_zones(void **state)
{
    (void)state;
    zone_drop_all();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hash_spreads),
        cmocka_unit_test(test_hash_steps),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_excluded),
        cmocka_unit_test(test_calendar_ceilings),
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_choices_minute_by_minute),
    };
    return cmocka_run_group_tests(tests, NULL, drop_zones);
}
