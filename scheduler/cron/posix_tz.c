/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and evaluating the POSIX TZ rule of a zone file; see the header. */
#include "cron/posix_tz.h"

#include "base/clock.h"
#include "base/err.h"

#include <string.h>

#define DAY_S 86400

struct scan {
    const char *at, *end;
};

static bool peek(const struct scan *s, char c)
{
    return s->at < s->end && *s->at == c;
}

static bool take(struct scan *s, char c)
{
    if (!peek(s, c)) {
        return false;
    }
    s->at++;
    return true;
}

static bool take_number(struct scan *s, int min, int max, int *out)
{
    int value = 0, digits = 0;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9' && digits < 4) {
        value = value * 10 + (*s->at++ - '0');
        digits++;
    }
    if (digits == 0 || value < min || value > max) {
        return false;
    }
    *out = value;
    return true;
}

/* "EST" or "<+0330>"; the name itself is of no interest. */
static bool take_name(struct scan *s)
{
    const char *start = s->at;
    if (take(s, '<')) {
        while (s->at < s->end && *s->at != '>') {
            s->at++;
        }
        return take(s, '>') && s->at - start > 2;
    }
    while (s->at < s->end && ((*s->at | 0x20) >= 'a' && (*s->at | 0x20) <= 'z')) {
        s->at++;
    }
    return s->at - start >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct scan *s, int max_hours, int32_t *out)
{
    int sign = 1;
    if (take(s, '-')) {
        sign = -1;
    } else {
        take(s, '+');
    }
    int h, m = 0, sec = 0;
    if (!take_number(s, 0, max_hours, &h)) {
        return false;
    }
    if (take(s, ':')) {
        if (!take_number(s, 0, 59, &m) || (take(s, ':') && !take_number(s, 0, 59, &sec))) {
            return false;
        }
    }
    *out = sign * (h * 3600 + m * 60 + sec);
    return true;
}

static bool take_date(struct scan *s, struct posix_tz_date *date)
{
    bool ok;
    if (take(s, 'J')) {
        date->form = POSIX_TZ_JULIAN;
        ok = take_number(s, 1, 365, &date->day);
    } else if (take(s, 'M')) {
        date->form = POSIX_TZ_MONTH_WEEK;
        ok = take_number(s, 1, 12, &date->month) && take(s, '.') &&
             take_number(s, 1, 5, &date->week) && take(s, '.') && take_number(s, 0, 6, &date->day);
    } else {
        date->form = POSIX_TZ_YEARDAY;
        ok = take_number(s, 0, 365, &date->day);
    }
    date->time_s = 2 * 3600;
    return ok && (!take(s, '/') || take_time(s, 167, &date->time_s));
}

int posix_tz_parse(struct posix_tz *tz, const char *text, size_t len, struct err *err)
{
    struct scan s = {text, text + len};
    struct posix_tz out = {0};
    int32_t west;
    bool ok = take_name(&s) && take_time(&s, 24, &west);
    if (ok) {
        out.std_offset = -west; /* POSIX counts westward */
    }
    if (ok && s.at < s.end) {
        out.has_dst = true;
        out.dst_offset = out.std_offset + 3600;
        ok = take_name(&s);
        if (ok && !peek(&s, ',')) {
            ok = take_time(&s, 24, &west);
            out.dst_offset = ok ? -west : 0;
        }
        ok = ok && take(&s, ',') && take_date(&s, &out.to_dst) && take(&s, ',') &&
             take_date(&s, &out.to_std);
    }
    if (!ok || s.at != s.end) {
        return err_set(err, ERR_INVALID, "the rule for later years is not a POSIX TZ rule");
    }
    out.has_dst = out.has_dst && out.dst_offset != out.std_offset;
    *tz = out;
    return 0;
}

/* The wall second, in the time that holds before the change, at which the change happens. */
static int64_t change_wall(const struct posix_tz_date *date, int year)
{
    struct civil c = {.year = year, .month = 1, .day = 1};
    int64_t new_year = civil_to_s(&c);
    int64_t day = 0;
    switch (date->form) {
    case POSIX_TZ_JULIAN: {
        bool is_leap = civil_days_in_month(year, 2) == 29;
        return new_year + (date->day - 1 + (is_leap && date->day >= 60)) * (int64_t)DAY_S +
               date->time_s;
    }
    case POSIX_TZ_YEARDAY:
        return new_year + date->day * (int64_t)DAY_S + date->time_s;
    case POSIX_TZ_MONTH_WEEK:
        c.month = date->month;
        day = civil_to_s(&c) / DAY_S;
        int first_dow = (int)(((day + 4) % 7 + 7) % 7);
        int mday = 1 + (date->day - first_dow + 7) % 7 + 7 * (date->week - 1);
        if (mday > civil_days_in_month(year, date->month)) {
            mday -= 7;
        }
        return (day + mday - 1) * DAY_S + date->time_s;
    }
    return new_year;
}

struct change {
    int64_t at;
    bool is_to_dst;
};

/* On a tie "to standard time" comes first: a zero-length winter means summer all year. */
static bool is_before(const struct change *a, const struct change *b)
{
    return a->at < b->at || (a->at == b->at && !a->is_to_dst && b->is_to_dst);
}

void posix_tz_span_at(const struct posix_tz *tz, int64_t utc_s, struct posix_tz_span *out)
{
    /* Civil years must fit an int; nobody has rules for the year 100,000. */
    const int64_t limit = INT64_C(100000) * 366 * DAY_S;
    if (!tz->has_dst || utc_s > limit || utc_s < -limit) {
        *out = (struct posix_tz_span){INT64_MIN, INT64_MAX, tz->std_offset, tz->std_offset};
        return;
    }
    struct civil c;
    civil_from_s(utc_s + tz->std_offset, &c);
    /* Times of a rule reach a week beyond their year, so look at the neighbours too. */
    struct change list[6];
    int count = 0;
    for (int year = c.year - 1; year <= c.year + 1; year++) {
        struct change both[] = {
            {change_wall(&tz->to_dst, year) - tz->std_offset, true},
            {change_wall(&tz->to_std, year) - tz->dst_offset, false},
        };
        for (int i = 0; i < 2; i++) {
            int at = count++;
            for (; at > 0 && is_before(&both[i], &list[at - 1]); at--) {
                list[at] = list[at - 1];
            }
            list[at] = both[i];
        }
    }
    int next = 0;
    while (next < count && list[next].at <= utc_s) {
        next++;
    }
    bool is_dst = next > 0 ? list[next - 1].is_to_dst : !list[0].is_to_dst;
    bool was_dst = next > 1 ? list[next - 2].is_to_dst : !is_dst;
    out->start = next > 0 ? list[next - 1].at : INT64_MIN;
    out->end = next < count ? list[next].at : INT64_MAX;
    out->offset = is_dst ? tz->dst_offset : tz->std_offset;
    out->offset_before = was_dst ? tz->dst_offset : tz->std_offset;
}
