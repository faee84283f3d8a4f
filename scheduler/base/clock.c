/* SPDX-License-Identifier: Apache-2.0 */
/* Time: reading it, writing it, and calendar math. Zones other than UTC are in cron/. */
#include "base/clock.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/util.h"

static int64_t shift_us, error_us;

static int64_t read_clock(clockid_t which)
{
    struct timespec ts;
    int rc = clock_gettime(which, &ts);
    assert(rc == 0);
    (void)rc;
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return read_clock(CLOCK_REALTIME) + shift_us + error_us;
}

int64_t clock_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void clock_set_shift_us(int64_t delta_us)
{
#ifdef TESTING
    shift_us = delta_us;
#else
    (void)delta_us;
#endif
}

int64_t clock_shift_us(void)
{
    return shift_us;
}

void clock_set_error_us(int64_t delta_us)
{
#ifdef TESTING
    error_us = delta_us;
#else
    (void)delta_us;
#endif
}

int64_t clock_error_us(void)
{
    return error_us;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int format_civil(int64_t seconds, char out[CLOCK_TEXT_MAX])
{
    struct civil c;
    civil_from_s(seconds, &c);
    return snprintf(out, CLOCK_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month, c.day,
        c.hour, c.minute, c.second);
}

const char *clock_format_s(int64_t us, char out[CLOCK_TEXT_MAX])
{
    int len = format_civil(floor_div(us, US_PER_S), out);
    snprintf(out + len, (size_t)(CLOCK_TEXT_MAX - len), "Z");
    return out;
}

const char *clock_format_us(int64_t us, char out[CLOCK_TEXT_MAX])
{
    int64_t seconds = floor_div(us, US_PER_S);
    int len = format_civil(seconds, out);
    snprintf(out + len, (size_t)(CLOCK_TEXT_MAX - len), ".%06dZ",
        (int)((us % US_PER_S + US_PER_S) % US_PER_S));
    return out;
}

/* Exactly `digits` digits; false leaves *at alone. */
static bool take_number(const char **at, int digits, int *out)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        char c = (*at)[i];
        if (!isdigit((unsigned char)c)) {
            return false;
        }
        value = value * 10 + (c - '0');
    }
    *at += digits;
    *out = value;
    return true;
}

static bool take_char(const char **at, char c)
{
    if (**at != c && **at != tolower((unsigned char)c)) {
        return false;
    }
    (*at)++;
    return true;
}

/* 1 to 9 digits after the point; finer than a microsecond is cut off. */
static bool take_fraction(const char **at, int64_t *us_out)
{
    int64_t us = 0, place = 100000;
    int digits = 0;

    for (; isdigit((unsigned char)**at); (*at)++, digits++) {
        us += (**at - '0') * place;
        place /= 10;
    }
    *us_out = us;
    return digits >= 1 && digits <= 9;
}

static bool take_offset(const char **at, int *offset_s_out)
{
    int hours, minutes;

    if (take_char(at, 'Z')) {
        *offset_s_out = 0;
        return true;
    }
    char sign = **at;
    if (sign != '+' && sign != '-') {
        return false;
    }
    (*at)++;
    if (!take_number(at, 2, &hours) || !take_char(at, ':') || !take_number(at, 2, &minutes) ||
        hours > 23 || minutes > 59) {
        return false;
    }
    *offset_s_out = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
    return true;
}

static int bad_time(const char *text, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID,
        "'%.64s' is not an RFC 3339 time (%s); write for example 2026-11-23T09:30:00Z", text, why);
}

int clock_parse(const char *text, int64_t *us_out, struct err *err)
{
    const char *at = text;
    struct civil c = {0};
    int64_t fraction_us = 0;
    int offset_s;

    if (!take_number(&at, 4, &c.year) || !take_char(&at, '-') || !take_number(&at, 2, &c.month) ||
        !take_char(&at, '-') || !take_number(&at, 2, &c.day)) {
        return bad_time(text, "the date is not YYYY-MM-DD", err);
    }
    if (c.month < 1 || c.month > 12 || c.day < 1 || c.day > civil_days_in_month(c.year, c.month)) {
        return bad_time(text, "there is no such day", err);
    }
    if (!take_char(&at, 'T') || !take_number(&at, 2, &c.hour) || !take_char(&at, ':') ||
        !take_number(&at, 2, &c.minute) || !take_char(&at, ':') ||
        !take_number(&at, 2, &c.second)) {
        return bad_time(text, "the time of day is not THH:MM:SS", err);
    }
    if (c.hour > 23 || c.minute > 59 || c.second > 60) {
        return bad_time(text, "there is no such time of day", err);
    }
    if (take_char(&at, '.') && !take_fraction(&at, &fraction_us)) {
        return bad_time(text, "a fraction has 1 to 9 digits", err);
    }
    if (!take_offset(&at, &offset_s)) {
        return bad_time(text, "a zone is needed: Z or an offset such as +01:00", err);
    }
    if (*at != '\0') {
        return bad_time(text, "there is something behind it", err);
    }
    int64_t seconds = civil_to_s(&c) - offset_s;
    /* A leap second is the last of a UTC day; it counts as the first of the next one. */
    if (c.second == 60 && floor_div(seconds, 86400) * 86400 != seconds) {
        return bad_time(text, "a leap second can only be 23:59:60 UTC", err);
    }
    *us_out = seconds * US_PER_S + fraction_us;
    return 0;
}

int clock_parse_or_ago(
    const char *text, const char *what, int64_t now_us, int64_t *us_out, struct err *err)
{
    int64_t ago_ms;
    if (strchr(text, ':') != NULL) {
        return clock_parse(text, us_out, err) == 0 ? 0 : err_wrap(err, "%s", what);
    }
    if (parse_duration_ms(text, what, &ago_ms, NULL) != 0) {
        return err_set(err, ERR_INVALID,
            "%s: '%.80s' is neither a time such as 2026-11-23T09:30:00Z nor how long ago, such as "
            "30m, 2h or 1d",
            what, text);
    }
    *us_out = ago_ms < now_us / US_PER_MS ? now_us - ago_ms * US_PER_MS : 0;
    return 0;
}

/*
 * Calendar math. The year is taken to begin in March, so that the leap day is its last day and
 * the months before it have lengths that repeat every five months (153 days). An era is 400
 * years, 146,097 days.
 */
enum { DAYS_PER_ERA = 146097, DAYS_TO_EPOCH = 719468 /* 0000-03-01 to 1970-01-01 */ };

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t days_from_date(int64_t year, int month, int day)
{
    if (month <= 2) {
        year--;
    }
    int64_t era = floor_div(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
}

void civil_from_s(int64_t seconds, struct civil *out)
{
    /* Every instant in microseconds is far inside; the year must fit an int. */
    assert(seconds >= -(INT64_C(1) << 55) && seconds <= INT64_C(1) << 55);

    int64_t days = floor_div(seconds, 86400);
    int64_t second_of_day = seconds - days * 86400;
    int64_t shifted = days + DAYS_TO_EPOCH;
    int64_t era = floor_div(shifted, DAYS_PER_ERA);
    int64_t day_of_era = shifted - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t march_month = (5 * day_of_year + 2) / 153;
    int month = (int)(march_month < 10 ? march_month + 3 : march_month - 9);
    int64_t year = year_of_era + era * 400 + (month <= 2);

    out->year = (int)year;
    out->month = month;
    out->day = (int)(day_of_year - (153 * march_month + 2) / 5 + 1);
    out->hour = (int)(second_of_day / 3600);
    out->minute = (int)(second_of_day / 60 % 60);
    out->second = (int)(second_of_day % 60);
    out->weekday = (int)(days + 4 - floor_div(days + 4, 7) * 7); /* 1970-01-01 was a Thursday */
    out->yearday = (int)(days - days_from_date(year, 1, 1)) + 1;
}

int64_t civil_to_s(const struct civil *c)
{
    assert(c->month >= 1 && c->month <= 12);
    return days_from_date(c->year, c->month, c->day) * 86400 + (int64_t)c->hour * 3600 +
           (int64_t)c->minute * 60 + c->second;
}

int civil_days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    assert(month >= 1 && month <= 12);
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}
