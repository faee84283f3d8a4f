/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A schedule in words, from its bit sets rather than its text, so that what people read is what
 * will happen: "0 9 * * 1-5" is "At 09:00 on Monday to Friday, UTC".
 */
#include "cron/internal.h"

#include "cron/calendar.h"
#include "cron/rule.h"

#include "base/buf.h"
#include "base/util.h"

#include <stdio.h>

static const char *const month_names[] = {"?", "January", "February", "March", "April", "May",
    "June", "July", "August", "September", "October", "November", "December"};
static const char *const dow_names[] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
static const char *const nth_names[] = {"first", "second", "third", "fourth", "fifth"};

/* Elements of a list, joined "a, b and c". */
struct list {
    struct buf *out;
    int left; /* elements still to come */
    bool has_any;
};

static void list_next(struct list *list)
{
    if (list->has_any) {
        buf_adds(list->out, list->left == 1 ? " and " : ", ");
    }
    list->has_any = true;
    list->left--;
}

static void add_value(struct buf *out, int value, const char *const *names)
{
    if (names != NULL) {
        buf_adds(out, names[value]);
    } else {
        buf_addf(out, "%d", value);
    }
}

/* The end of the run of set bits that starts at `from`; runs of two count as two singles. */
static int run_end(uint64_t bits, int from)
{
    int to = from;
    while (to < 63 && (bits >> (to + 1) & 1) != 0) {
        to++;
    }
    return to - from >= 2 ? to : from;
}

static int lowest(uint64_t bits)
{
    return __builtin_ctzll(bits);
}

/* "1, 3 and 9 to 17" */
static void add_set(struct buf *out, uint64_t bits, const char *const *names)
{
    struct list list = {.out = out};
    for (uint64_t rest = bits; rest != 0; list.left++) {
        int to = run_end(rest, lowest(rest));
        rest = to == 63 ? 0 : rest & (UINT64_MAX << (to + 1));
    }
    while (bits != 0) {
        int from = lowest(bits);
        int to = run_end(bits, from);
        list_next(&list);
        add_value(out, from, names);
        if (to > from) {
            buf_adds(out, " to ");
            add_value(out, to, names);
        }
        bits = to == 63 ? 0 : bits & (UINT64_MAX << (to + 1));
    }
}

/* n if the set is 0, n, 2n, ... and n divides size (1 for the full set), else 0. */
static int even_step(uint64_t bits, int size)
{
    for (int step = 1; step <= size / 2; step++) {
        uint64_t want = 0;
        for (int value = 0; size % step == 0 && value < size; value += step) {
            want |= UINT64_C(1) << value;
        }
        if (want == bits) {
            return step;
        }
    }
    return 0;
}

static void add_every(struct buf *out, const char *every, int step, const char *unit)
{
    if (step == 1) {
        buf_addf(out, "%s %s", every, unit);
    } else {
        buf_addf(out, "%s %d %ss", every, step, unit);
    }
}

/* A few times of day one by one: "At 09:30 and 17:30"; false if they are too many. */
static bool add_times(struct buf *out, const struct cron *cron)
{
    int count = __builtin_popcountll(cron->seconds) * __builtin_popcountll(cron->minutes) *
                __builtin_popcount(cron->hours);
    if (count > 4) {
        return false;
    }
    struct list list = {.out = out, .left = count};
    buf_adds(out, "At ");
    for (uint64_t h = cron->hours; h != 0; h &= h - 1) {
        for (uint64_t m = cron->minutes; m != 0; m &= m - 1) {
            for (uint64_t s = cron->seconds; s != 0; s &= s - 1) {
                list_next(&list);
                buf_addf(out, "%02d:%02d", lowest(h), lowest(m));
                if (cron->seconds != 1) {
                    buf_addf(out, ":%02d", lowest(s));
                }
            }
        }
    }
    return true;
}

static void add_minutes(struct buf *out, const struct cron *cron)
{
    int step = even_step(cron->minutes, 60);
    bool has_seconds = cron->seconds != 1;
    if (step > 0) {
        if (!has_seconds || step > 1) {
            add_every(out, has_seconds ? " of every" : "Every", step, "minute");
        }
        return;
    }
    buf_adds(out, has_seconds ? " of minute " : "At minute ");
    add_set(out, cron->minutes, NULL);
}

static void add_clock(struct buf *out, const struct cron *cron)
{
    if (add_times(out, cron)) {
        return;
    }
    if (cron->seconds != 1) {
        int step = even_step(cron->seconds, 60);
        if (step > 0) {
            add_every(out, "Every", step, "second");
        } else {
            buf_adds(out, "At second ");
            add_set(out, cron->seconds, NULL);
        }
    }
    add_minutes(out, cron);
    int step = even_step(cron->hours, 24);
    if (step > 1) {
        add_every(out, " of every", step, "hour");
    } else if (step == 1) {
        buf_adds(out, even_step(cron->minutes, 60) > 0 ? "" : " of every hour");
    } else {
        buf_adds(out, " in the hour ");
        add_set(out, cron->hours, NULL);
    }
}

static void add_days(struct buf *out, const struct cron *cron)
{
    struct list list = {.out = out};
    list.left = (cron->days != 0) + __builtin_popcount(cron->days_from_last) +
                __builtin_popcount(cron->weekday_near) +
                __builtin_popcount(cron->weekday_near_last);
    if (cron->days != 0) {
        list_next(&list);
        buf_adds(out, "day ");
        add_set(out, cron->days, NULL);
    }
    for (uint64_t bits = cron->weekday_near; bits != 0; bits &= bits - 1) {
        list_next(&list);
        buf_addf(out, "the weekday nearest day %d", lowest(bits));
    }
    for (int pass = 0; pass < 2; pass++) {
        uint64_t bits = pass == 0 ? cron->weekday_near_last : cron->days_from_last;
        for (; bits != 0; bits &= bits - 1) {
            list_next(&list);
            const char *what = pass == 0 ? "weekday" : "day";
            if (lowest(bits) == 0) {
                buf_addf(out, "the last %s of the month", what);
            } else {
                buf_addf(out, "%sday %d before the last", pass == 0 ? "the weekday nearest " : "",
                    lowest(bits));
            }
        }
    }
}

static void add_weekdays(struct buf *out, const struct cron *cron)
{
    struct list list = {.out = out, .left = (cron->dow != 0) + __builtin_popcount(cron->dow_last)};
    for (int k = 0; k < 5; k++) {
        list.left += __builtin_popcount(cron->dow_nth[k]);
    }
    if (cron->dow != 0) {
        /* The week begins on Monday for people, so Sunday goes last in "Friday to Sunday". */
        bool sunday_last = (cron->dow & 0x41) == 0x41 && cron->dow != 0x7f;
        list_next(&list);
        add_set(out, sunday_last ? (cron->dow & 0x7eU) | 0x80U : cron->dow, dow_names);
    }
    for (int k = 0; k < 6; k++) {
        uint64_t bits = k < 5 ? cron->dow_nth[k] : cron->dow_last;
        for (; bits != 0; bits &= bits - 1) {
            list_next(&list);
            buf_addf(out, "the %s %s of the month", k < 5 ? nth_names[k] : "last",
                dow_names[lowest(bits)]);
        }
    }
}

static void add_calendar(struct buf *out, const struct cron *cron)
{
    bool has_days = cron->days != 0xfffffffe;
    bool has_dow = cron->dow != 0x7f;
    bool both = cron->day_is_star || cron->dow_is_star || cron->dow_is_and;
    if (!both && (!has_days || !has_dow)) {
        has_days = has_dow = false; /* either matches, and one of them always does */
    }
    if (has_days) {
        buf_adds(out, " on ");
        add_days(out, cron);
    }
    if (has_dow) {
        buf_adds(out, !has_days ? " on " : both ? " if it is " : " or on ");
        add_weekdays(out, cron);
    }
    if (cron->months != 0x1ffe) {
        buf_adds(out, " in ");
        add_set(out, cron->months, month_names);
    }
    if (cron->years != NULL) {
        int first = 0, last = 0, count = 0;
        for (int year = 0; year <= CRON_YEAR_MAX; year++) {
            if ((cron->years[year / 64] >> (year % 64) & 1) != 0) {
                first = count++ == 0 ? year : first;
                last = year;
            }
        }
        buf_addf(out, count == 1 ? " in %d" : " in the years %d", first);
        if (count > 1) {
            buf_addf(out, " to %d%s", last, count < last - first + 1 ? " (some)" : "");
        }
    }
}

static void add_interval(struct buf *out, int64_t seconds)
{
    static const struct {
        const char *name;
        int64_t size;
    } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
    buf_adds(out, "Every");
    bool is_single = false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        is_single |= seconds == units[i].size;
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        int64_t n = seconds / units[i].size;
        seconds %= units[i].size;
        if (n == 1 && is_single) {
            buf_addf(out, " %s", units[i].name);
        } else if (n > 0) {
            buf_addf(out, " %lld %s%s", (long long)n, units[i].name, n == 1 ? "" : "s");
        }
    }
}

static void add_zone(struct buf *out, const struct part *part)
{
    buf_addf(out, ", %s", part->zone->name);
}

static void add_part(struct buf *out, const struct part *part)
{
    switch (part->kind) {
    case PART_CRON:
        add_clock(out, &part->cron);
        add_calendar(out, &part->cron);
        add_zone(out, part);
        break;
    case PART_RULE:
        rule_describe(part->rule, out);
        add_zone(out, part);
        break;
    case PART_PHASED:
        add_interval(out, part->interval_s);
        buf_addf(out, " counted from 1970-01-01T%02d:%02d:%02dZ", (int)(part->phase_s / 3600 % 24),
            (int)(part->phase_s / 60 % 60), (int)(part->phase_s % 60));
        if (part->phase_s >= 86400) {
            buf_addf(out, " and %lld days", (long long)(part->phase_s / 86400));
        }
        break;
    case PART_EVERY:
    case PART_INTERVAL:
        add_interval(out, part->interval_s);
        break;
    }
}

static void add_events(
    struct buf *out, const char *text, struct calendar *const *calendars, size_t count)
{
    size_t events = 0;
    for (size_t i = 0; i < count; i++) {
        events += calendar_count(calendars[i]);
    }
    if (count > 0) {
        buf_addf(out, "%s %zu event%s", text, events, events == 1 ? "" : "s");
    }
}

void schedule_describe(const struct schedule *schedule, struct buf *out)
{
    for (size_t i = 0; i < schedule->count; i++) {
        if (i > 0) {
            buf_adds(out, "; and ");
        }
        add_part(out, &schedule->parts[i]);
    }
    add_events(out, "; only inside", schedule->include, schedule->include_count);
    add_events(out, "; not inside", schedule->exclude, schedule->exclude_count);
}
