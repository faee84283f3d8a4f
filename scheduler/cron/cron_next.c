/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for the next matching wall second: one bit-mask of matching days per month, then
 * bit scans. A step is one month, and months and years that cannot match are jumped over.
 */
#include "cron/cron.h"

#include "base/clock.h"

#define DAY_S 86400

/* The Gregorian calendar repeats after 400 years: what is not found by then never comes. */
#define SEARCH_YEARS 400

/* The lowest set bit at or above `from`, or -1. */
static int next_bit(uint64_t bits, int from)
{
    if (from > 63) {
        return -1;
    }
    bits &= UINT64_MAX << from;
    return bits == 0 ? -1 : __builtin_ctzll(bits);
}

static int time_of_day(const struct cron *cron, int hour, int minute)
{
    return hour * 3600 + minute * 60 + __builtin_ctzll(cron->seconds);
}

static int first_time_of_day(const struct cron *cron)
{
    return time_of_day(cron, __builtin_ctz(cron->hours), __builtin_ctzll(cron->minutes));
}

/* The first matching second of the day at or after h:m:s, or -1. */
static int next_time_of_day(const struct cron *cron, const struct civil *c)
{
    if ((cron->hours >> c->hour & 1) != 0) {
        if ((cron->minutes >> c->minute & 1) != 0) {
            int second = next_bit(cron->seconds, c->second);
            if (second >= 0) {
                return c->hour * 3600 + c->minute * 60 + second;
            }
        }
        int minute = next_bit(cron->minutes, c->minute + 1);
        if (minute >= 0) {
            return time_of_day(cron, c->hour, minute);
        }
    }
    int hour = next_bit(cron->hours, c->hour + 1);
    return hour < 0 ? -1 : time_of_day(cron, hour, __builtin_ctzll(cron->minutes));
}

/* The Monday to Friday nearest to `day` without leaving the month. */
static int nearest_weekday(int day, int first_dow, int month_len)
{
    int dow = (first_dow + day - 1) % 7;
    if (dow == 6) {
        return day > 1 ? day - 1 : day + 2;
    }
    if (dow == 0) {
        return day < month_len ? day + 1 : day - 2;
    }
    return day;
}

/* Only bits that are set cost time here: a search may ask hundreds of months. */
static uint32_t special_month_days(const struct cron *cron, int first_dow, int month_len)
{
    const uint32_t below = (UINT32_C(1) << (month_len - 1) << 1) - 1; /* bits 0..month_len - 1 */
    uint32_t days = 0;
    for (uint32_t bits = cron->days_from_last & below; bits != 0; bits &= bits - 1) {
        days |= UINT32_C(1) << (month_len - __builtin_ctz(bits));
    }
    for (uint32_t bits = cron->weekday_near_last & below; bits != 0; bits &= bits - 1) {
        /* "LW" is the last weekday; it moves back only, as the month ends there. */
        int day = month_len - __builtin_ctz(bits);
        days |= UINT32_C(1) << nearest_weekday(day, first_dow, month_len);
    }
    for (uint32_t bits = cron->weekday_near & (below << 1 | 1); bits != 0; bits &= bits - 1) {
        days |= UINT32_C(1) << nearest_weekday(__builtin_ctz(bits), first_dow, month_len);
    }
    return days;
}

static uint32_t special_week_days(const struct cron *cron, int first_dow, int month_len)
{
    uint32_t days = 0;
    for (int k = 0; k < 5; k++) {
        for (unsigned bits = cron->dow_nth[k]; bits != 0; bits &= bits - 1) {
            int day = 1 + (__builtin_ctz(bits) - first_dow + 7) % 7 + 7 * k;
            days |= day <= month_len ? UINT32_C(1) << day : 0;
        }
    }
    for (unsigned bits = cron->dow_last; bits != 0; bits &= bits - 1) {
        int first = 1 + (__builtin_ctz(bits) - first_dow + 7) % 7;
        days |= UINT32_C(1) << (first + 7 * ((month_len - first) / 7));
    }
    return days;
}

/* Bits 1..31: the days of the month that match both day fields, by the day rule. */
static uint32_t matching_days(const struct cron *cron, int first_dow, int month_len)
{
    uint32_t week = (uint32_t)(cron->dow >> first_dow | cron->dow << (7 - first_dow)) & 0x7f;
    uint64_t by_dow = (week | week << 7 | week << 14 | week << 21 | (uint64_t)week << 28) << 1;
    uint32_t by_day = cron->days;
    if (cron->has_special_days) {
        by_day |= special_month_days(cron, first_dow, month_len);
        by_dow |= special_week_days(cron, first_dow, month_len);
    }
    bool both = cron->day_is_star || cron->dow_is_star || cron->dow_is_and;
    uint64_t days = both ? by_day & by_dow : by_day | by_dow;
    return (uint32_t)(days & ((UINT64_C(2) << month_len) - 2));
}

/* The first allowed year at or after `year`, or -1. */
static int next_year(const struct cron *cron, int year)
{
    if (year < 0 || year > CRON_YEAR_MAX) {
        return year < 0 ? next_year(cron, 0) : -1;
    }
    if (cron->years == NULL) {
        return year;
    }
    int bit = year % 64;
    for (int word = year / 64; word < CRON_YEAR_WORDS; word++, bit = 0) {
        int found = next_bit(cron->years[word], bit);
        if (found >= 0) {
            return word * 64 + found;
        }
    }
    return -1;
}

static int weekday_of(int64_t wall_s)
{
    int64_t days = wall_s / DAY_S; /* exact: called with midnights only */
    return (int)(((days + 4) % 7 + 7) % 7);
}

int64_t cron_next_wall(const struct cron *cron, int64_t wall)
{
    /* Outside years 0..9999 there is nothing to find, and civil years would not fit an int. */
    const int64_t min_wall = INT64_C(-62167219200), max_wall = INT64_C(253402300799);
    if (wall > max_wall) {
        return CRON_NEVER;
    }
    struct civil c;
    civil_from_s(wall < min_wall ? min_wall : wall, &c);
    int today = next_time_of_day(cron, &c);
    int year = c.year, month = c.month;
    int from_day = today >= 0 ? c.day : c.day + 1;

    for (int last_year = year + SEARCH_YEARS;;) {
        int wanted_year = next_year(cron, year);
        if (wanted_year < 0 || (cron->years == NULL && wanted_year > last_year)) {
            return CRON_NEVER;
        }
        int wanted_month =
            wanted_year > year ? next_bit(cron->months, 1) : next_bit(cron->months, month);
        if (wanted_year > year || wanted_month != month) {
            from_day = 1;
        }
        year = wanted_year;
        if (wanted_month < 0) {
            year++;
            month = 1;
            continue;
        }
        month = wanted_month;
        struct civil first = {.year = year, .month = month, .day = 1};
        int64_t start = civil_to_s(&first);
        uint32_t days = matching_days(cron, weekday_of(start), civil_days_in_month(year, month));
        int day = next_bit(days, from_day);
        if (day > 0) {
            bool is_today = today >= 0 && day == c.day && month == c.month && year == c.year;
            return start + (int64_t)(day - 1) * DAY_S +
                   (is_today ? today : first_time_of_day(cron));
        }
        month++; /* 13 is in no month mask, so the next year follows */
        from_day = 1;
    }
}
