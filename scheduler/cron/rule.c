/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recurrences. libical reads the RRULE, but does not walk it: it goes step by step, for minutes
 * when nothing matches, allocates, and errs with BYWEEKNO. Here a rule is cron's bit sets plus a
 * stride. What those cannot say (BYWEEKNO, BYYEARDAY, the second-last Monday, the 100th weekday of
 * a year) is one more bit set: the days of a year. BYSETPOS picks from what these give in a period.
 */
#include "cron/rule.h"

#include "cron/cron.h"
#include "cron/ical_time.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>

#define DAY_S INT64_C(86400)
/* Strides tried before giving up: 27 years of days, a week of minutes. */
#define STRIDES_MAX 10000
/* Periods without a tick before giving up, with BYSETPOS; and what may be in one period. */
#define PERIODS_MAX 2000
#define PERIOD_MAX 10000
#define WALL_MAX INT64_C(253402300799) /* the year 9999 */
#define YEAR_WORDS 6                   /* 366 bits */
/* After so many years the calendar repeats. */
#define CALENDAR_YEARS 400

struct rule {
    int64_t start, until; /* wall seconds, inclusive; until CRON_NEVER: no end */
    bool has_recur, is_interval;
    /* what matches, in which of the units from the start's on */
    struct cron cron;
    int64_t unit_s, unit_shift_s; /* unit_s 0: the unit is unit_months long */
    int64_t unit_months, stride;
    int *positions; /* BYSETPOS, or NULL */
    size_t position_count;
    /* What `cron` cannot say, or NULL; and the days of `year` on which it is met, bit 0 is the
     * first. */
    struct icalrecurrencetype *recur;
    int year;
    uint64_t year_days[YEAR_WORDS];
    int64_t *dates, *except; /* ascending */
    size_t date_count, except_count;
    char *text; /* of the RRULE, for people */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool has_by(const short *by)
{
    return by[0] != ICAL_RECURRENCE_ARRAY_MAX;
}

/* ---- the days of a year ---- */

static int days_in_year(int year)
{
    return 337 + civil_days_in_month(year, 2);
}

/* The day 1970-01-01 is 0. */
static int64_t new_year(int year)
{
    return civil_to_s(&(struct civil){.year = year, .month = 1, .day = 1}) / DAY_S;
}

/* 0 = Sunday; 1970-01-01 was a Thursday. */
static int weekday_of_day(int64_t day)
{
    return (int)(((day + 4) % 7 + 7) % 7);
}

static void mark(uint64_t *days, int day, int year_len)
{
    if (day >= 0 && day < year_len) {
        days[day / 64] |= UINT64_C(1) << (day % 64);
    }
}

static void mark_year_days(const short *by, int year_len, uint64_t *days)
{
    for (int i = 0; i < ICAL_BY_YEARDAY_SIZE && by[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
        mark(days, by[i] > 0 ? by[i] - 1 : year_len + by[i], year_len);
    }
}

/* The day, counted from the year's first, on which week 1 begins: the first with four days. */
static int week_one(int year, int week_start)
{
    int passed = (weekday_of_day(new_year(year)) - week_start + 7) % 7;
    return passed <= 3 ? -passed : 7 - passed;
}

/* The first and the last days of a year may lie in weeks of its neighbours. */
static void mark_weeks(const struct icalrecurrencetype *recur, int year, uint64_t *days)
{
    int week_start = recur->week_start != ICAL_NO_WEEKDAY ? (int)recur->week_start - 1 : 1;
    const short *by = recur->by_week_no;
    for (int y = year - 1; y <= year + 1; y++) {
        int first = (int)(new_year(y) - new_year(year)) + week_one(y, week_start);
        int next = (int)(new_year(y + 1) - new_year(year)) + week_one(y + 1, week_start);
        int count = (next - first) / 7;
        for (int i = 0; i < ICAL_BY_WEEKNO_SIZE && by[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
            int week = by[i] > 0 ? by[i] - 1 : count + by[i];
            for (int d = 0; d < 7 && week >= 0 && week < count; d++) {
                mark(days, first + 7 * week + d, days_in_year(year));
            }
        }
    }
}

/* The n-th such weekday of the days [from, from + len) of the year, or all of them: n is 0. */
static void mark_weekday(uint64_t *days, int year, int from, int len, int weekday, int nth)
{
    int first = from + (weekday - weekday_of_day(new_year(year) + from) + 7) % 7;
    int count = (from + len - first + 6) / 7;
    int index = nth > 0 ? nth - 1 : count + nth;
    for (int i = 0; i < count; i++) {
        if (nth == 0 || i == index) {
            mark(days, first + 7 * i, days_in_year(year));
        }
    }
}

static bool counts_through_year(const struct icalrecurrencetype *recur)
{
    return recur->freq == ICAL_YEARLY_RECURRENCE && !has_by(recur->by_month);
}

static void mark_weekdays(const struct icalrecurrencetype *recur, int year, uint64_t *days)
{
    for (int i = 0; i < ICAL_BY_DAY_SIZE && recur->by_day[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
        int weekday = (int)icalrecurrencetype_day_day_of_week(recur->by_day[i]) - 1;
        int nth = icalrecurrencetype_day_position(recur->by_day[i]);
        if (nth == 0 || counts_through_year(recur)) {
            mark_weekday(days, year, 0, days_in_year(year), weekday, nth);
            continue;
        }
        for (int month = 1, from = 0; month <= 12; month++) {
            int len = civil_days_in_month(year, month);
            mark_weekday(days, year, from, len, weekday, nth);
            from += len;
        }
    }
}

static void meet(struct rule *rule, const uint64_t *days)
{
    for (int i = 0; i < YEAR_WORDS; i++) {
        rule->year_days[i] &= days[i];
    }
}

static void set_year(struct rule *rule, int year)
{
    const struct icalrecurrencetype *recur = rule->recur;
    uint64_t days[3][YEAR_WORDS] = {0};
    if (rule->year == year) {
        return;
    }
    rule->year = year;
    memset(rule->year_days, 0xff, sizeof rule->year_days);
    if (has_by(recur->by_year_day)) {
        mark_year_days(recur->by_year_day, days_in_year(year), days[0]);
        meet(rule, days[0]);
    }
    if (has_by(recur->by_week_no)) {
        mark_weeks(recur, year, days[1]);
        meet(rule, days[1]);
    }
    if (has_by(recur->by_day)) {
        mark_weekdays(recur, year, days[2]);
        meet(rule, days[2]);
    }
}

/* The first day at or after `day` that is in the bit set of its year, or CRON_NEVER. */
static int64_t next_year_day(struct rule *rule, int64_t day)
{
    struct civil c;
    civil_from_s(day * DAY_S, &c);
    int64_t first = new_year(c.year);
    for (int year = c.year; year <= c.year + CALENDAR_YEARS && year <= CRON_YEAR_MAX; year++) {
        set_year(rule, year);
        int len = days_in_year(year);
        for (int i = day > first ? (int)(day - first) : 0; i < len; i = (i / 64 + 1) * 64) {
            uint64_t bits = rule->year_days[i / 64] & (UINT64_MAX << (i % 64));
            int found = bits != 0 ? i / 64 * 64 + __builtin_ctzll(bits) : len;
            if (found < len) {
                return first + found;
            }
        }
        first += len;
    }
    return CRON_NEVER;
}

static int64_t next_match(struct rule *rule, int64_t wall)
{
    while ((wall = cron_next_wall(&rule->cron, wall)) != CRON_NEVER && rule->recur != NULL) {
        int64_t day = floor_div(wall, DAY_S);
        int64_t wanted = next_year_day(rule, day);
        if (wanted == day || wanted == CRON_NEVER) {
            return wanted == day ? wall : CRON_NEVER;
        }
        wall = wanted * DAY_S;
    }
    return wall;
}

/* ---- bit sets and a stride ---- */

static int64_t unit_of(const struct rule *rule, int64_t wall)
{
    if (rule->unit_s == 0) {
        struct civil c;
        civil_from_s(wall, &c);
        return floor_div((int64_t)c.year * 12 + c.month - 1, rule->unit_months);
    }
    return floor_div(wall - rule->unit_shift_s, rule->unit_s);
}

static int64_t unit_start(const struct rule *rule, int64_t unit)
{
    if (rule->unit_s == 0) {
        int64_t month = unit * rule->unit_months;
        const struct civil c = {
            .year = (int)floor_div(month, 12), .month = (int)(month % 12) + 1, .day = 1};
        return civil_to_s(&c);
    }
    return unit * rule->unit_s + rule->unit_shift_s;
}

/* BYSETPOS: the first of the chosen ones of [from, end) at or after `wall`. */
static int64_t pick(struct rule *rule, int64_t from, int64_t end, int64_t wall)
{
    int count = 0, index = 0;
    for (int64_t at = from; (at = next_match(rule, at)) < end; at++) {
        count++;
    }
    for (int64_t at = from; (at = next_match(rule, at)) < end; at++) {
        index++;
        for (size_t i = 0; i < rule->position_count && at >= wall; i++) {
            int position = rule->positions[i];
            if (index == (position > 0 ? position : count + 1 + position)) {
                return at;
            }
        }
    }
    return CRON_NEVER;
}

/* The first unit at or after `unit` that is a whole number of strides from the start's. */
static int64_t on_stride(const struct rule *rule, int64_t unit)
{
    int64_t beyond = (unit - unit_of(rule, rule->start)) % rule->stride;
    return beyond == 0 ? unit : unit + rule->stride - beyond;
}

static int64_t next_picked(struct rule *rule, int64_t wall)
{
    int64_t unit = on_stride(rule, unit_of(rule, wall));
    for (int n = 0; n < PERIODS_MAX; n++) {
        int64_t from = next_match(rule, unit_start(rule, unit));
        if (from > rule->until || from > WALL_MAX) {
            break;
        }
        int64_t found = unit_of(rule, from);
        if (found == unit) {
            int64_t at = pick(rule, from, unit_start(rule, unit + 1), wall);
            if (at != CRON_NEVER) {
                return at <= rule->until ? at : CRON_NEVER;
            }
            found++;
        }
        unit = on_stride(rule, found);
    }
    return CRON_NEVER;
}

static int64_t next_on_stride(struct rule *rule, int64_t wall)
{
    if (rule->positions != NULL) {
        return next_picked(rule, wall);
    }
    for (int n = 0; n < STRIDES_MAX; n++) {
        wall = next_match(rule, wall);
        if (wall == CRON_NEVER || wall > rule->until) {
            return CRON_NEVER;
        }
        int64_t unit = rule->stride > 1 ? unit_of(rule, wall) : 0;
        int64_t wanted = rule->stride > 1 ? on_stride(rule, unit) : 0;
        if (wanted == unit) {
            return wall;
        }
        wall = unit_start(rule, wanted);
    }
    return CRON_NEVER;
}

/* Of the RRULE alone, without RDATE and EXDATE. */
static int64_t next_of_recur(struct rule *rule, int64_t wall)
{
    wall = wall > rule->start ? wall : rule->start;
    if (wall > rule->until) {
        return CRON_NEVER;
    }
    if (!rule->has_recur) {
        return wall <= rule->start ? rule->start : CRON_NEVER;
    }
    return next_on_stride(rule, wall);
}

/* The index of the first date at or after wall. */
static size_t find_date(const int64_t *dates, size_t count, int64_t wall)
{
    size_t low = 0, end = count;
    while (low < end) {
        size_t middle = (low + end) / 2;
        if (dates[middle] < wall) {
            low = middle + 1;
        } else {
            end = middle;
        }
    }
    return low;
}

int64_t rule_next_wall(struct rule *rule, int64_t wall)
{
    for (;;) {
        int64_t next = next_of_recur(rule, wall);
        size_t date = find_date(rule->dates, rule->date_count, wall);
        if (date < rule->date_count && rule->dates[date] < next) {
            next = rule->dates[date];
        }
        size_t except = find_date(rule->except, rule->except_count, next);
        if (next == CRON_NEVER || except == rule->except_count || rule->except[except] != next) {
            return next;
        }
        wall = next + 1;
    }
}

/* ---- making one ---- */

/* The bits of a BY list, or `otherwise` when there is none. Ends at max values. */
static uint64_t by_bits(const short *by, int max, uint64_t otherwise)
{
    uint64_t bits = 0;
    if (by[0] == ICAL_RECURRENCE_ARRAY_MAX) {
        return otherwise;
    }
    for (int i = 0; i < max && by[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
        if (by[i] >= 0 && by[i] <= 59) {
            bits |= UINT64_C(1) << by[i];
        }
    }
    return bits;
}

static void set_days(struct cron *cron, const struct icalrecurrencetype *recur)
{
    cron->days = 0;
    for (int i = 0; i < ICAL_BY_MONTHDAY_SIZE; i++) {
        int day = recur->by_month_day[i];
        if (day == ICAL_RECURRENCE_ARRAY_MAX) {
            break;
        }
        if (day >= 1 && day <= 31) {
            cron->days |= UINT32_C(1) << day;
        } else if (day <= -1 && day >= -31) {
            cron->days_from_last |= UINT32_C(1) << (-day - 1);
            cron->has_special_days = true;
        }
    }
}

static void set_weekdays(struct cron *cron, const struct icalrecurrencetype *recur)
{
    cron->dow = 0;
    for (int i = 0; i < ICAL_BY_DAY_SIZE && recur->by_day[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
        int day = (int)icalrecurrencetype_day_day_of_week(recur->by_day[i]);
        int nth = icalrecurrencetype_day_position(recur->by_day[i]);
        uint8_t bit = (uint8_t)(1U << (day - 1)); /* libical's Sunday is 1 */
        if (nth == 0) {
            cron->dow |= bit;
            continue;
        }
        *(nth < 0 ? &cron->dow_last : &cron->dow_nth[nth - 1]) |= bit;
        cron->has_special_days = true;
    }
}

/* Can cron's bit sets say it? */
static bool is_simple(const struct icalrecurrencetype *recur)
{
    if (has_by(recur->by_year_day) || has_by(recur->by_week_no)) {
        return false;
    }
    for (int i = 0; i < ICAL_BY_DAY_SIZE && recur->by_day[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
        int nth = icalrecurrencetype_day_position(recur->by_day[i]);
        if (nth < -1 || nth > 5 || (nth != 0 && counts_through_year(recur))) {
            return false;
        }
    }
    return true;
}

/* What the start says where the rule says nothing: day, weekday and month. */
static void set_dates(
    struct cron *cron, const struct icalrecurrencetype *recur, const struct civil *start)
{
    bool has_day = has_by(recur->by_month_day), has_weekday = has_by(recur->by_day);
    bool has_any =
        has_day || has_weekday || has_by(recur->by_year_day) || has_by(recur->by_week_no);
    bool is_yearly = recur->freq == ICAL_YEARLY_RECURRENCE;
    cron->months = (uint16_t)(by_bits(recur->by_month, ICAL_BY_MONTH_SIZE, 0x1ffe) & 0x1ffe);
    cron->days = 0xfffffffe;
    cron->dow = 0x7f;
    if (has_day) {
        set_days(cron, recur);
    }
    if (has_weekday && is_simple(recur)) {
        set_weekdays(cron, recur);
    } else if (recur->freq == ICAL_WEEKLY_RECURRENCE && !has_any) {
        cron->dow = (uint8_t)(1U << start->weekday);
    } else if ((is_yearly || recur->freq == ICAL_MONTHLY_RECURRENCE) && !has_any) {
        cron->days = UINT32_C(1) << start->day;
        if (is_yearly && !has_by(recur->by_month)) {
            cron->months = (uint16_t)(1U << start->month);
        }
    }
}

static void set_times(
    struct cron *cron, const struct icalrecurrencetype *recur, const struct civil *start)
{
    cron->seconds = by_bits(recur->by_second, ICAL_BY_SECOND_SIZE,
        recur->freq >= ICAL_MINUTELY_RECURRENCE ? UINT64_C(1) << start->second : UINT64_MAX >> 4);
    cron->minutes = by_bits(recur->by_minute, ICAL_BY_MINUTE_SIZE,
        recur->freq >= ICAL_HOURLY_RECURRENCE ? UINT64_C(1) << start->minute : UINT64_MAX >> 4);
    cron->hours =
        (uint32_t)by_bits(recur->by_hour, ICAL_BY_HOUR_SIZE,
            recur->freq >= ICAL_DAILY_RECURRENCE ? UINT64_C(1) << start->hour : 0xffffff) &
        0xffffff;
}

static int set_positions(struct rule *rule, const struct icalrecurrencetype *recur, struct err *err)
{
    static const int days[] = {1, 1, 1, 1, 7, 31, 366};
    const struct cron *cron = &rule->cron;
    int64_t most = days[recur->freq];
    most *= recur->freq > ICAL_SECONDLY_RECURRENCE ? __builtin_popcountll(cron->seconds) : 1;
    most *= recur->freq > ICAL_MINUTELY_RECURRENCE ? __builtin_popcountll(cron->minutes) : 1;
    most *= recur->freq > ICAL_HOURLY_RECURRENCE ? __builtin_popcount(cron->hours) : 1;
    size_t count = 0;
    while (count < ICAL_BY_SETPOS_SIZE && recur->by_set_pos[count] != ICAL_RECURRENCE_ARRAY_MAX) {
        count++;
    }
    if (most > PERIOD_MAX || count > 32) {
        return err_set(err, ERR_INVALID,
            "RRULE: BYSETPOS with up to %lld times in a period, or more than 32 positions, is "
            "not taken; the limit is %d",
            (long long)most, PERIOD_MAX);
    }
    rule->positions = xcalloc(count, sizeof rule->positions[0]);
    for (size_t i = 0; i < count; i++) {
        rule->positions[rule->position_count++] = recur->by_set_pos[i];
    }
    return 0;
}

static void set_recur(struct rule *rule, const struct icalrecurrencetype *recur)
{
    static const int64_t units[] = {1, 60, 3600, DAY_S, 7 * DAY_S, 0, 0};
    struct civil start;
    civil_from_s(rule->start, &start);
    rule->unit_s = units[recur->freq];
    rule->unit_months = recur->freq == ICAL_YEARLY_RECURRENCE ? 12 : 1;
    rule->stride = recur->interval;
    rule->cron.dow_is_and = true;
    set_times(&rule->cron, recur, &start);
    set_dates(&rule->cron, recur, &start);
    if (recur->freq == ICAL_WEEKLY_RECURRENCE) {
        /* Weeks begin on WKST; 1970-01-01 was a Thursday, 4. */
        int first = recur->week_start != ICAL_NO_WEEKDAY ? (int)recur->week_start - 1 : 1;
        rule->unit_shift_s = (first - 4 + 7) % 7 * DAY_S;
    }
}

static int check_recur(const struct icalrecurrencetype *recur, struct err *err)
{
    if (recur->freq == ICAL_NO_RECURRENCE || recur->freq > ICAL_YEARLY_RECURRENCE) {
        return err_set(err, ERR_INVALID,
            "RRULE: FREQ is missing or unknown; it is one of SECONDLY, MINUTELY, HOURLY, DAILY, "
            "WEEKLY, MONTHLY and YEARLY");
    }
    if (recur->rscale != NULL || recur->interval < 1) {
        return err_set(err, ERR_INVALID, "RRULE: %s",
            recur->rscale != NULL ? "RSCALE (other calendars) is not taken"
                                  : "INTERVAL must be 1 to 32767");
    }
    if (recur->count > RULE_COUNT_MAX) {
        return err_set(err, ERR_INVALID, "RRULE: COUNT is %d, at most %d is taken", recur->count,
            RULE_COUNT_MAX);
    }
    if (recur->freq <= ICAL_WEEKLY_RECURRENCE) {
        for (int i = 0; i < ICAL_BY_DAY_SIZE && recur->by_day[i] != ICAL_RECURRENCE_ARRAY_MAX;
             i++) {
            if (icalrecurrencetype_day_position(recur->by_day[i]) != 0) {
                return err_set(err, ERR_INVALID,
                    "RRULE: a number before a weekday, as in 2MO, needs FREQ=MONTHLY or YEARLY");
            }
        }
    }
    return 0;
}

/* COUNT=n becomes the wall time of the n-th. */
static void end_by_count(struct rule *rule, int count)
{
    int64_t last = CRON_NEVER, wall = rule->start;
    for (int n = 0; n < count; n++) {
        int64_t next = next_of_recur(rule, wall);
        if (next == CRON_NEVER) {
            break;
        }
        last = next;
        wall = next + 1;
    }
    rule->until = last < rule->until ? last : rule->until;
}

static int add_recur(struct rule *rule, const struct icalrecurrencetype *recur, struct err *err)
{
    if (check_recur(recur, err) != 0) {
        return -1;
    }
    rule->has_recur = true;
    rule->is_interval = recur->freq < ICAL_DAILY_RECURRENCE;
    struct icalrecurrencetype copy = *recur;
    char *text = icalrecurrencetype_as_string_r(&copy);
    rule->text = xstrdup(text != NULL ? text : "");
    icalmemory_free_buffer(text);
    set_recur(rule, recur);
    if (!is_simple(recur)) {
        rule->recur = xmalloc(sizeof *rule->recur);
        *rule->recur = *recur;
        rule->year = CRON_YEAR_MAX + 1; /* none yet */
    }
    const struct cron *cron = &rule->cron;
    if (cron->seconds == 0 || cron->minutes == 0 || cron->hours == 0 || cron->months == 0) {
        return err_set(err, ERR_INVALID, "RRULE: never fires: no such time of day or month");
    }
    if (has_by(recur->by_set_pos) && set_positions(rule, recur, err) != 0) {
        return -1;
    }
    if (recur->count > 0) {
        end_by_count(rule, recur->count);
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t *sorted(const int64_t *dates, size_t count)
{
    if (count == 0) {
        return NULL;
    }
    int64_t *copy = xcalloc(count, sizeof copy[0]);
    memcpy(copy, dates, count * sizeof copy[0]);
    qsort(copy, count, sizeof copy[0], compare);
    return copy;
}

struct rule *rule_new(const struct rule_parts *parts, struct err *err)
{
    if (parts->date_count > RULE_DATES_MAX || parts->except_count > RULE_DATES_MAX) {
        err_set(err, ERR_INVALID, "more than %d RDATE or EXDATE", RULE_DATES_MAX);
        return NULL;
    }
    struct rule *rule = xcalloc(1, sizeof *rule);
    rule->start = parts->start;
    rule->until = parts->until;
    rule->dates = sorted(parts->dates, parts->date_count);
    rule->date_count = parts->date_count;
    rule->except = sorted(parts->except, parts->except_count);
    rule->except_count = parts->except_count;
    if (parts->recur != NULL && add_recur(rule, parts->recur, err) != 0) {
        rule_free(rule);
        return NULL;
    }
    if (rule_next_wall(rule, INT64_MIN / 4) == CRON_NEVER) {
        err_set(
            err, ERR_INVALID, "RRULE: never fires: no date from DTSTART on matches all its parts");
        rule_free(rule);
        return NULL;
    }
    return rule;
}

void rule_free(struct rule *rule)
{
    if (rule != NULL) {
        free(rule->positions);
        free(rule->recur);
        free(rule->dates);
        free(rule->except);
        free(rule->text);
        free(rule);
    }
}

bool rule_is_interval(const struct rule *rule)
{
    return rule->is_interval;
}

void rule_describe(const struct rule *rule, struct buf *out)
{
    char text[40];
    clock_format_s(rule->start * US_PER_S, text);
    text[strcspn(text, "Z")] = '\0';
    if (rule->has_recur) {
        buf_addf(out, "By the rule %s from %s on", rule->text, text);
    } else {
        buf_addf(out, "At %s", text);
    }
    if (rule->date_count > 0) {
        buf_addf(out, " and on %zu date%s more", rule->date_count, rule->date_count > 1 ? "s" : "");
    }
    if (rule->except_count > 0) {
        buf_addf(out, ", %zu left out", rule->except_count);
    }
}
