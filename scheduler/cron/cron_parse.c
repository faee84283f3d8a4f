/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cron grammar: text to bit sets. Every complaint names the field, the text, what is allowed
 * and, where we can guess it, what to write instead.
 */
#include "cron/cron.h"

#include "base/err.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum field_kind {
    FIELD_SECOND,
    FIELD_MINUTE,
    FIELD_HOUR,
    FIELD_DAY,
    FIELD_MONTH,
    FIELD_DOW,
    FIELD_YEAR,
};

struct field_def {
    const char *name;
    int min, max; /* max of the day of week is 6; 7 is one more name for Sunday */
    const char *allowed;
    const char *const *names; /* for min, min + 1, ...; their first three letters are enough */
    int name_count;
};

static const char *const month_names[] = {"january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december"};
static const char *const dow_names[] = {
    "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};

/* Quartz counts the days of the week from 1, Sunday. */
static const struct field_def quartz_dow = {
    "day-of-week", 1, 7, "1-7 (1 is Sunday, 7 Saturday), sun-sat, ?, L, 6L or 6#3", dow_names, 7};

static const struct field_def field_defs[] = {
    [FIELD_SECOND] = {"second", 0, 59, "0-59", NULL, 0},
    [FIELD_MINUTE] = {"minute", 0, 59, "0-59", NULL, 0},
    [FIELD_HOUR] = {"hour", 0, 23, "0-23", NULL, 0},
    [FIELD_DAY] = {"day-of-month", 1, 31, "1-31, L, LW or 15W", NULL, 0},
    [FIELD_MONTH] = {"month", 1, 12, "1-12 or jan-dec", month_names, 12},
    [FIELD_DOW] = {"day-of-week", 0, 6, "0-7 (0 and 7 are Sunday) or sun-sat", dow_names, 7},
    [FIELD_YEAR] = {"year", 1, CRON_YEAR_MAX, "1-9999", NULL, 0},
};

struct parser {
    struct cron *cron;
    enum cron_profile profile;
    const char *hash_key; /* or NULL */
    int any_day_fields;   /* Quartz: how many of the two day fields are '?' */
    const char *text;     /* the whole expression, for messages */
    const struct field_def *def;
    enum field_kind kind;
    const char *item, *item_end; /* the list element being read, for messages */
    const char *at;
    bool has_star; /* an element of the field begins with a star */
    uint64_t bits; /* what the field has collected; years go to cron->years instead */
    struct err *err;
};

const char *cron_show(const char *text, char out[CRON_SHOW_MAX])
{
    size_t n = 0;
    for (; text[n] != '\0' && n < 60; n++) {
        out[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
    }
    snprintf(out + n, CRON_SHOW_MAX - n, "%s", text[n] != '\0' ? "..." : "");
    return out;
}

static bool is_quartz(const struct parser *p)
{
    return p->profile == CRON_QUARTZ;
}

/* The highest number that may be written: one more than there are days, as 7 is Sunday too. */
static int max_written(const struct parser *p)
{
    return p->kind == FIELD_DOW && !is_quartz(p) ? 7 : p->def->max;
}

/* 0 = Sunday for a day of the week as written, 1 to 7 in Quartz, else 0 to 7. */
static int dow_of(const struct parser *p, int value)
{
    return is_quartz(p) ? (value + 6) % 7 : value % 7;
}

/* "cron '...': minute field, '61': <why>" */
static int complain(struct parser *p, const char *why)
{
    char text[CRON_SHOW_MAX], item[CRON_SHOW_MAX], cut[CRON_SHOW_MAX];
    snprintf(cut, sizeof cut, "%.*s", (int)(p->item_end - p->item), p->item);
    return err_set(p->err, ERR_INVALID, "cron '%s': %s field, '%s': %s; allowed is %s",
        cron_show(p->text, text), p->def->name, cron_show(cut, item), why, p->def->allowed);
}

static bool at_end(const struct parser *p)
{
    return p->at == p->item_end;
}

static bool take(struct parser *p, char c)
{
    if (at_end(p) || (*p->at | 0x20) != (c | 0x20)) {
        return false;
    }
    p->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static int parse_number(struct parser *p, int *out)
{
    int value = 0;
    const char *start = p->at;
    while (!at_end(p) && is_digit(*p->at)) {
        if (p->at - start >= 6) {
            return complain(p, "the number is too large");
        }
        value = value * 10 + (*p->at++ - '0');
    }
    if (p->at == start) {
        return complain(p, "a number is missing");
    }
    *out = value;
    return 0;
}

static int parse_name(struct parser *p, int *out)
{
    for (int i = 0; i < p->def->name_count; i++) {
        const char *name = p->def->names[i], *at = p->at;
        while (at < p->item_end && *name != '\0' && (*at | 0x20) == *name) {
            at++;
            name++;
        }
        if (at - p->at < 3) {
            continue;
        }
        at = *name == '\0' ? at : p->at + 3; /* whole, or three letters */
        /* "friL" is the last Friday, not a name that goes wrong. */
        bool goes_on = at < p->item_end && is_letter(*at);
        if (goes_on && !(p->kind == FIELD_DOW && (*at | 0x20) == 'l')) {
            return complain(p, "a name is written with three letters or as a whole");
        }
        p->at = at;
        *out = p->def->min + i;
        return 0;
    }
    return complain(p, "neither a number nor a known name");
}

/* A number or name in range. The day of week may come out as 7, so that 5-7 is a range. */
static int parse_value(struct parser *p, int *out)
{
    if (at_end(p)) {
        return complain(p, p->item == p->item_end ? "empty, a number is missing"
                                                  : "a number is missing at the end");
    }
    /* "29-L": inside a range L is the last day there can be. */
    if (p->kind == FIELD_DAY && p->at > p->item && p->at[-1] == '-' && take(p, 'l')) {
        *out = 31;
        return 0;
    }
    if (*p->at == '-' || *p->at == '+') {
        return complain(p, "a sign has no place here");
    }
    int value = 0;
    if ((is_letter(*p->at) ? parse_name(p, &value) : parse_number(p, &value)) != 0) {
        return -1;
    }
    if (value < p->def->min || value > max_written(p)) {
        char why[80];
        bool is_midnight = p->kind == FIELD_HOUR && value == 24;
        snprintf(
            why, sizeof why, "%d is out of range%s", value, is_midnight ? " (midnight is 0)" : "");
        return complain(p, why);
    }
    *out = value;
    return 0;
}

static void set_value(struct parser *p, int value)
{
    if (p->kind == FIELD_YEAR) {
        p->cron->years[value / 64] |= UINT64_C(1) << (value % 64);
    } else {
        p->bits |= UINT64_C(1) << (p->kind == FIELD_DOW ? dow_of(p, value) : value);
    }
}

/* from > to wraps around the end: 22-2 is 22, 23, 0, 1, 2. */
static void set_range(struct parser *p, int from, int to, int step)
{
    int size = p->def->max - p->def->min + 1;
    if (to < from) {
        to += size;
    }
    for (int value = from; value <= to; value += step) {
        set_value(p, value > max_written(p) ? value - size : value);
    }
}

static int parse_step(struct parser *p, int *step)
{
    if (at_end(p) || !is_digit(*p->at)) {
        return complain(p, "after '/' comes a number");
    }
    if (parse_number(p, step) != 0) {
        return -1;
    }
    int size = p->def->max - p->def->min + 1;
    if (is_quartz(p) && p->kind <= FIELD_HOUR) {
        size--; /* Quartz takes 0/59, not 0/60 */
    }
    if (*step == 0) {
        return complain(p, "a step of 0 never moves, use 1 or more");
    }
    if (*step > size) {
        char why[160];
        snprintf(why, sizeof why,
            "a step of %d is longer than the whole field (%d), so it would start afresh each "
            "time%s",
            *step, size,
            p->kind <= FIELD_HOUR  ? "; for a long even interval use '@every 90m'"
            : p->kind == FIELD_DAY ? "; for both day fields to match write '+' before the weekday"
                                   : "");
        return complain(p, why);
    }
    return 0;
}

/* "L", "L-3", "LW", "L-3W" */
static int parse_last_day(struct parser *p)
{
    int back = 0;
    if (take(p, '-') && parse_number(p, &back) != 0) {
        return -1;
    }
    if (back > 30) {
        return complain(p, "no month has so many days");
    }
    uint32_t bit = UINT32_C(1) << back;
    if (take(p, 'w')) {
        p->cron->weekday_near_last |= bit;
    } else {
        p->cron->days_from_last |= bit;
    }
    p->cron->has_special_days = true;
    return at_end(p) ? 0 : complain(p, "unexpected text after 'L'");
}

/* After "n" or "n-m" in the day of week: "L", "#L" or "#3" */
static int parse_dow_special(struct parser *p, int from, int to)
{
    int nth = 0; /* 0: the last */
    bool is_numbered = take(p, '#');
    if (!take(p, 'l') && is_numbered) {
        if (parse_number(p, &nth) != 0) {
            return -1;
        }
        if (nth < 1 || nth > 5) {
            return complain(p, "after '#' comes 1 to 5 or L");
        }
    }
    uint8_t *set = nth > 0 ? &p->cron->dow_nth[nth - 1] : &p->cron->dow_last;
    for (int dow = from; dow <= (to < from ? to + 7 : to); dow++) {
        *set |= (uint8_t)(1U << dow_of(p, dow));
    }
    p->cron->has_special_days = true;
    return at_end(p) ? 0 : complain(p, "unexpected text at the end");
}

/* After "W": "15", as others write 15W */
static int parse_near_day(struct parser *p)
{
    int day;
    if (at_end(p) || !is_digit(*p->at)) {
        return complain(p, "the weekday nearest the 15th is '15W'");
    }
    if (parse_value(p, &day) != 0) {
        return -1;
    }
    p->cron->weekday_near |= UINT32_C(1) << day;
    p->cron->has_special_days = true;
    return at_end(p) ? 0 : complain(p, "'W' stands alone, as in 15W");
}

/* "L5", "L3-5": the last Friday, the last Wednesday to Friday */
static int parse_last_dow(struct parser *p)
{
    int from, to;
    p->at++;
    if (at_end(p) || (!is_digit(*p->at) && p->item_end - p->at < 3)) {
        return complain(p, "the last Friday of the month is '5L', the last Saturday '6L'");
    }
    if (parse_value(p, &from) != 0) {
        return -1;
    }
    to = from;
    if (take(p, '-') && parse_value(p, &to) != 0) {
        return -1;
    }
    return at_end(p) ? parse_dow_special(p, from, to) : complain(p, "unexpected text at the end");
}

/* The elements that are more than a set of numbers; *special_out tells if this was one. */
static int parse_special_start(struct parser *p, bool *special_out)
{
    *special_out = true;
    if (p->kind == FIELD_DAY && take(p, 'l')) {
        return parse_last_day(p);
    }
    if (p->kind == FIELD_DAY && take(p, 'w')) {
        return parse_near_day(p);
    }
    if (p->kind == FIELD_DOW && is_quartz(p) && p->item_end - p->at == 1 && take(p, 'l')) {
        p->bits |= 1U << 6; /* alone it is Saturday, the last day of Quartz's week */
        return 0;
    }
    if (p->kind == FIELD_DOW && !is_quartz(p) && p->item_end - p->at >= 1 &&
        (*p->at | 0x20) == 'l') {
        return parse_last_dow(p);
    }
    *special_out = false;
    return 0;
}

/* FNV-1a and a finalizer; a field's place must not follow from another's. */
static uint64_t hash_of(const char *key, enum field_kind kind)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ (uint64_t)kind;
    for (; *key != '\0'; key++) {
        hash = (hash ^ (unsigned char)*key) * UINT64_C(1099511628211);
    }
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return hash ^ hash >> 31;
}

/* After "H": "(a-b)" or nothing, then "/n" or nothing. */
static int parse_hash(struct parser *p)
{
    if (p->hash_key == NULL) {
        return complain(p, "'H' is a place picked by the recurring run's id, and there is none "
                           "here; write the number");
    }
    if (p->kind == FIELD_YEAR) {
        return complain(p, "'H' has no meaning here");
    }
    /* Every month has a day 28. */
    int from = p->def->min, to = p->kind == FIELD_DAY ? 28 : p->def->max, step = 0;
    if (take(p, '(')) {
        if (parse_value(p, &from) != 0) {
            return -1;
        }
        if (!take(p, '-')) {
            return complain(p, "in 'H(a-b)' a '-' is missing");
        }
        if (parse_value(p, &to) != 0) {
            return -1;
        }
        if (!take(p, ')')) {
            return complain(p, "in 'H(a-b)' the ')' is missing");
        }
        if (to < from) {
            return complain(p, "in 'H(a-b)' a comes before b");
        }
    }
    if (take(p, '/') && parse_step(p, &step) != 0) {
        return -1;
    }
    if (!at_end(p)) {
        return complain(p, "after 'H' comes '(a-b)' or '/n' or nothing");
    }
    int size = to - from + 1;
    uint64_t hash = hash_of(p->hash_key, p->kind);
    if (step == 0) {
        set_value(p, from + (int)(hash % (uint64_t)size));
        return 0;
    }
    from += (int)(hash % (uint64_t)(step < size ? step : size));
    set_range(p, from, to, step);
    return 0;
}

/* What Quartz refuses although each element by itself could be read. */
static int check_quartz_item(struct parser *p, const char *field, const char *field_end)
{
    size_t len = (size_t)(field_end - field);
    bool is_day_field = p->kind == FIELD_DAY || p->kind == FIELD_DOW;
    bool is_list = memchr(field, ',', len) != NULL;
    bool has_last = false;
    int numbered = 0;
    for (const char *c = field; c < field_end; c++) {
        has_last |= (*c | 0x20) == 'l';
        numbered += *c == '#';
    }
    if (memchr(p->item, '?', (size_t)(p->item_end - p->item)) != NULL &&
        (!is_day_field || len > 1)) {
        return complain(p, "'?' stands alone in one of the two day fields");
    }
    if (is_day_field && is_list && has_last) {
        return complain(p, "'L' cannot be part of a list in Quartz");
    }
    if (numbered > 1) {
        return complain(p, "Quartz takes one '#' only");
    }
    return 0;
}

static int parse_item(struct parser *p)
{
    bool is_special;
    int rc = parse_special_start(p, &is_special);
    if (is_special) {
        return rc;
    }
    if (!is_quartz(p) && take(p, 'h')) {
        return parse_hash(p);
    }
    int from = p->def->min, to = p->def->max, step = 1;
    bool is_single = false;
    bool is_bare_step = is_quartz(p) && !at_end(p) && *p->at == '/'; /* "/5" is a step from "*" */
    bool is_year = p->kind == FIELD_YEAR;
    if (!is_bare_step && !take(p, '*') && !take(p, '?')) {
        if (parse_value(p, &from) != 0) {
            return -1;
        }
        is_single = true;
        to = from;
        if (p->kind == FIELD_DAY && take(p, 'w')) {
            if (!at_end(p)) {
                return complain(p, "'W' stands alone, as in 15W");
            }
            p->cron->weekday_near |= UINT32_C(1) << from;
            p->cron->has_special_days = true;
            return 0;
        }
        if (take(p, '-')) {
            is_single = false;
            if (parse_value(p, &to) != 0) {
                return -1;
            }
        }
        if (p->kind == FIELD_DOW && !at_end(p) && (*p->at == '#' || (*p->at | 0x20) == 'l')) {
            return parse_dow_special(p, from, to);
        }
    }
    if (take(p, '/')) {
        if (parse_step(p, &step) != 0) {
            return -1;
        }
        if (is_single) {
            from = p->kind == FIELD_DOW && !is_quartz(p) ? from % 7 : from;
            to = p->def->max; /* "5/15" is 5-59/15 */
        } else if (is_year && from == p->def->min && to == p->def->max) {
            from = is_quartz(p) ? 1970 : step; /* every n-th year: those that n divides */
        }
    }
    if (!at_end(p)) {
        char why[64];
        snprintf(why, sizeof why, "unexpected '%c'", *p->at > ' ' && *p->at < 0x7f ? *p->at : '?');
        return complain(p, why);
    }
    if (is_year && to < from) {
        return complain(p, "the range ends before it begins");
    }
    if (p->kind == FIELD_DOW && !is_quartz(p) && from == 7 && to < 7) {
        from = 0; /* 7-2 is Sunday to Tuesday */
    }
    set_range(p, from, to, step);
    return 0;
}

/* "H/n" is a star that begins elsewhere. */
static bool is_star_item(const struct parser *p, const char *item, const char *end)
{
    if (item == end) {
        return false;
    }
    return *item == '*' || *item == '?' || (is_quartz(p) && *item == '/') ||
           (!is_quartz(p) && end - item > 2 && (*item | 0x20) == 'h' && item[1] == '/');
}

static int parse_field(struct parser *p, enum field_kind kind, const char *from, const char *end)
{
    p->kind = kind;
    p->def = kind == FIELD_DOW && is_quartz(p) ? &quartz_dow : &field_defs[kind];
    p->bits = 0;
    p->has_star = false;
    bool is_star = is_star_item(p, from, end);
    if (kind == FIELD_DAY || kind == FIELD_DOW) {
        p->any_day_fields += end - from == 1 && *from == '?';
    }
    if (kind == FIELD_DOW && *from == '+' && !is_quartz(p)) {
        p->cron->dow_is_and = true;
        from++;
    }
    bool is_any_year = kind == FIELD_YEAR && end - from == 1 && is_star;
    if (kind == FIELD_YEAR && !is_any_year) {
        p->cron->years = xcalloc(CRON_YEAR_WORDS, sizeof p->cron->years[0]);
    }
    for (const char *item = from; !is_any_year; item = p->item_end + 1) {
        const char *comma = memchr(item, ',', (size_t)(end - item));
        p->item = p->at = item;
        p->has_star |= is_star_item(p, item, end);
        p->item_end = comma != NULL ? comma : end;
        if ((is_quartz(p) && check_quartz_item(p, from, end) != 0) || parse_item(p) != 0) {
            return -1;
        }
        if (comma == NULL) {
            break;
        }
    }
    struct cron *cron = p->cron;
    switch (kind) {
    case FIELD_SECOND:
        cron->seconds = p->bits;
        break;
    case FIELD_MINUTE:
        cron->minutes = p->bits;
        break;
    case FIELD_HOUR:
        cron->hours = (uint32_t)p->bits;
        break;
    case FIELD_DAY:
        cron->days = (uint32_t)p->bits;
        cron->day_is_star = is_star;
        break;
    case FIELD_MONTH:
        cron->months = (uint16_t)p->bits;
        break;
    case FIELD_DOW:
        cron->dow = (uint8_t)p->bits;
        cron->dow_is_star = is_star;
        break;
    case FIELD_YEAR:
        break;
    }
    if (kind <= FIELD_HOUR && p->has_star) {
        cron->is_interval = true;
    }
    return 0;
}

static int check_count(struct parser *p, int count)
{
    int min = is_quartz(p) ? 6 : 5;
    if (count >= min && count <= 7) {
        return 0;
    }
    char text[CRON_SHOW_MAX];
    return err_set(p->err, ERR_INVALID, "cron '%s': %d field%s; write %s", cron_show(p->text, text),
        count, count == 1 ? "" : "s",
        is_quartz(p) ? "6 (second minute hour day month weekday) or 7 (year last), as in Quartz"
                     : "5 (minute hour day month weekday), 6 (second first), 7 (second first, "
                       "year last) or a word like '@daily' or '@every 90s'");
}

/* "0 9 * * 1 2030": of six fields the last one can only be years. */
static bool ends_with_years(const char *from, const char *end)
{
    int digits = 0;
    for (; from < end && digits < 4; from++) {
        digits = is_digit(*from) ? digits + 1 : 0;
    }
    return digits == 4;
}

static int parse_fields(struct parser *p)
{
    const char *from[8], *end[8];
    int count = 0;
    for (const char *at = p->text + strspn(p->text, CRON_BLANKS); *at != '\0';) {
        size_t len = strcspn(at, CRON_BLANKS);
        if (count < 8) {
            from[count] = at;
            end[count] = at + len;
        }
        count++;
        at += len;
        at += strspn(at, CRON_BLANKS);
    }
    if (check_count(p, count) != 0) {
        return -1;
    }
    bool has_no_second =
        count == 5 || (count == 6 && !is_quartz(p) && ends_with_years(from[5], end[5]));
    int first = has_no_second ? FIELD_MINUTE : FIELD_SECOND;
    p->cron->seconds = 1;
    for (int i = 0; i < count; i++) {
        if (parse_field(p, (enum field_kind)(first + i), from[i], end[i]) != 0) {
            return -1;
        }
    }
    if (is_quartz(p) && p->any_day_fields != 1) {
        char text[CRON_SHOW_MAX];
        return err_set(p->err, ERR_INVALID,
            "cron '%s': in Quartz exactly one of day-of-month and day-of-week is '?', as in "
            "'0 30 9 ? * mon-fri'",
            cron_show(p->text, text));
    }
    return 0;
}

const char *cron_descriptor(const char *word, bool any_case)
{
    static const struct {
        const char *word, *fields;
    } table[] = {
        {"@yearly", "0 0 1 1 *"},
        {"@annually", "0 0 1 1 *"},
        {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"},
        {"@daily", "0 0 * * *"},
        {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
        {"@every_minute", "* * * * *"},
        {"@every_second", "* * * * * *"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if ((any_case ? strcasecmp : strcmp)(word, table[i].word) == 0) {
            return table[i].fields;
        }
    }
    return NULL;
}

static int parse_descriptor(struct parser *p, const char *word)
{
    char text[CRON_SHOW_MAX];
    const char *fields = cron_descriptor(word, true);
    if (fields == NULL) {
        bool is_reboot = strcasecmp(word, "@reboot") == 0;
        return err_set(p->err, ERR_INVALID,
            "cron '%s': %s; known are @yearly @annually @monthly @weekly @daily @midnight @hourly "
            "and '@every 90s'",
            cron_show(word, text),
            is_reboot ? "a schedule is about time, there is no reboot here" : "unknown word");
    }
    p->text = fields;
    p->profile = CRON_VIXIE; /* Quartz has no words, so they mean what they mean elsewhere */
    return parse_fields(p);
}

/* Why no date ever matches, in the words of whoever wrote it. */
static int refuse_never(const struct cron *cron, const char *text, struct err *err)
{
    char shown[CRON_SHOW_MAX];
    cron_show(text, shown);
    static const char *const full_names[] = {"January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December"};
    bool is_plain = !cron->has_special_days && cron->days != 0 && cron->months != 0;
    int day = is_plain ? __builtin_ctz(cron->days) : 0;
    if (day > 29 && __builtin_popcount(cron->months) == 1) {
        return err_set(err, ERR_INVALID,
            "cron '%s': never fires: day %d does not exist in %s; for the last day write 'L'",
            shown, day, full_names[__builtin_ctz(cron->months) - 1]);
    }
    if (day > 29) {
        return err_set(err, ERR_INVALID,
            "cron '%s': never fires: day %d does not exist in any of the given months; for the "
            "last day write 'L'",
            shown, day);
    }
    if (day == 29 && cron->years != NULL) {
        return err_set(err, ERR_INVALID,
            "cron '%s': never fires: no such date in the given years (29 February needs a leap "
            "year)",
            shown);
    }
    return err_set(err, ERR_INVALID,
        "cron '%s': never fires: no date matches its day-of-month, month, day-of-week%s together",
        shown, cron->years != NULL ? " and year" : "");
}

int cron_parse(struct cron *cron, const char *text, enum cron_profile profile, const char *hash_key,
    struct err *err)
{
    struct err own = ERR_INIT;
    *cron = (struct cron){0};
    struct parser p = {
        .cron = cron, .profile = profile, .hash_key = hash_key, .text = text, .err = &own};
    const char *word = text + strspn(text, CRON_BLANKS);
    bool is_robfig = profile == CRON_ROBFIG || profile == CRON_ROBFIG_V1;
    int rc = is_robfig      ? cron_parse_robfig(cron, word, profile, &own)
             : *word == '@' ? parse_descriptor(&p, word)
                            : parse_fields(&p);
    if (rc == 0) {
        int64_t from = cron->years == NULL ? 0 : INT64_MIN;
        if (cron_next_wall(cron, from) == CRON_NEVER) {
            rc = refuse_never(cron, text, &own);
        }
    }
    if (rc != 0) {
        cron_done(cron);
        if (err != NULL) {
            err_copy(err, &own);
        }
    }
    return rc;
}

void cron_done(struct cron *cron)
{
    free(cron->years);
    cron->years = NULL;
}
