/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Macros in run parameters (kfp-api.md, recurring runs):
 *   [[ScheduledTime]] [[CurrentTime]]                20261123093000
 *   [[ScheduledTime.2006-01-02]] ...                 any layout of Go's time package
 *   {{$.scheduledTime.strftime('%Y-%m-%d')}}         and currentTime
 *   [[Index]] [[RunUUID]]
 * All times are UTC. CurrentTime is when the run was created, so that a run means the same after
 * a restart. What is not one of these stays as it is.
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/util.h"
#include "pipeline/value.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#define DEFAULT_LAYOUT "20060102150405"
#define MAX_MACRO 512

static const char *const months[] = {"January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December"};
static const char *const days[] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

/* An instant taken apart. */
struct moment {
    struct civil c;
    int64_t seconds;
    int nanos;
};

static void moment_init(struct moment *m, int64_t us)
{
    m->seconds = us / US_PER_S - (us % US_PER_S < 0 ? 1 : 0);
    m->nanos = (int)(us - m->seconds * US_PER_S) * 1000;
    civil_from_s(m->seconds, &m->c);
}

static int hour12(const struct moment *m)
{
    return m->c.hour % 12 == 0 ? 12 : m->c.hour % 12;
}

/* ---- Go layouts ---- */

enum piece {
    PIECE_MONTH_LONG,
    PIECE_MONTH_SHORT,
    PIECE_MONTH,
    PIECE_MONTH_2,
    PIECE_WEEKDAY_LONG,
    PIECE_WEEKDAY_SHORT,
    PIECE_DAY,
    PIECE_DAY_SPACE,
    PIECE_DAY_2,
    PIECE_YEARDAY_SPACE,
    PIECE_YEARDAY_3,
    PIECE_HOUR,
    PIECE_HOUR_12,
    PIECE_HOUR_12_2,
    PIECE_MINUTE,
    PIECE_MINUTE_2,
    PIECE_SECOND,
    PIECE_SECOND_2,
    PIECE_YEAR,
    PIECE_YEAR_2,
    PIECE_PM,
    PIECE_PM_SMALL,
    PIECE_TEXT,
};

/* Longer ones before those they begin with. PIECE_TEXT: the zone is always UTC. */
static const struct {
    const char *layout;
    enum piece piece;
    const char *text;
} pieces[] = {
    {"January", PIECE_MONTH_LONG, NULL},
    {"Jan", PIECE_MONTH_SHORT, NULL},
    {"Monday", PIECE_WEEKDAY_LONG, NULL},
    {"Mon", PIECE_WEEKDAY_SHORT, NULL},
    {"MST", PIECE_TEXT, "UTC"},
    {"002", PIECE_YEARDAY_3, NULL},
    {"01", PIECE_MONTH_2, NULL},
    {"02", PIECE_DAY_2, NULL},
    {"03", PIECE_HOUR_12_2, NULL},
    {"04", PIECE_MINUTE_2, NULL},
    {"05", PIECE_SECOND_2, NULL},
    {"06", PIECE_YEAR_2, NULL},
    {"15", PIECE_HOUR, NULL},
    {"1", PIECE_MONTH, NULL},
    {"2006", PIECE_YEAR, NULL},
    {"2", PIECE_DAY, NULL},
    {"__2", PIECE_YEARDAY_SPACE, NULL},
    {"_2", PIECE_DAY_SPACE, NULL},
    {"3", PIECE_HOUR_12, NULL},
    {"4", PIECE_MINUTE, NULL},
    {"5", PIECE_SECOND, NULL},
    {"PM", PIECE_PM, NULL},
    {"pm", PIECE_PM_SMALL, NULL},
    {"-070000", PIECE_TEXT, "+000000"},
    {"-07:00:00", PIECE_TEXT, "+00:00:00"},
    {"-0700", PIECE_TEXT, "+0000"},
    {"-07:00", PIECE_TEXT, "+00:00"},
    {"-07", PIECE_TEXT, "+00"},
    {"Z070000", PIECE_TEXT, "Z"},
    {"Z07:00:00", PIECE_TEXT, "Z"},
    {"Z0700", PIECE_TEXT, "Z"},
    {"Z07:00", PIECE_TEXT, "Z"},
    {"Z07", PIECE_TEXT, "Z"},
};

static void piece_write(enum piece piece, const struct moment *m, struct buf *out)
{
    const struct civil *c = &m->c;
    switch (piece) {
    case PIECE_MONTH_LONG:
        buf_adds(out, months[c->month - 1]);
        break;
    case PIECE_MONTH_SHORT:
        buf_add(out, months[c->month - 1], 3);
        break;
    case PIECE_MONTH:
        buf_addf(out, "%d", c->month);
        break;
    case PIECE_MONTH_2:
        buf_addf(out, "%02d", c->month);
        break;
    case PIECE_WEEKDAY_LONG:
        buf_adds(out, days[c->weekday]);
        break;
    case PIECE_WEEKDAY_SHORT:
        buf_add(out, days[c->weekday], 3);
        break;
    case PIECE_DAY:
        buf_addf(out, "%d", c->day);
        break;
    case PIECE_DAY_SPACE:
        buf_addf(out, "%2d", c->day);
        break;
    case PIECE_DAY_2:
        buf_addf(out, "%02d", c->day);
        break;
    case PIECE_YEARDAY_SPACE:
        buf_addf(out, "%3d", c->yearday);
        break;
    case PIECE_YEARDAY_3:
        buf_addf(out, "%03d", c->yearday);
        break;
    case PIECE_HOUR:
        buf_addf(out, "%02d", c->hour);
        break;
    case PIECE_HOUR_12:
        buf_addf(out, "%d", hour12(m));
        break;
    case PIECE_HOUR_12_2:
        buf_addf(out, "%02d", hour12(m));
        break;
    case PIECE_MINUTE:
        buf_addf(out, "%d", c->minute);
        break;
    case PIECE_MINUTE_2:
        buf_addf(out, "%02d", c->minute);
        break;
    case PIECE_SECOND:
        buf_addf(out, "%d", c->second);
        break;
    case PIECE_SECOND_2:
        buf_addf(out, "%02d", c->second);
        break;
    case PIECE_YEAR:
        buf_addf(out, "%04d", c->year);
        break;
    case PIECE_YEAR_2:
        buf_addf(out, "%02d", c->year % 100);
        break;
    case PIECE_PM:
        buf_adds(out, c->hour >= 12 ? "PM" : "AM");
        break;
    case PIECE_PM_SMALL:
        buf_adds(out, c->hour >= 12 ? "pm" : "am");
        break;
    case PIECE_TEXT:
        break;
    }
}

/* ".000" prints zeros, ".999" drops them at the end; a digit after it makes it no fraction. */
static size_t fraction_write(
    const char *at, const char *end, const struct moment *m, struct buf *out)
{
    if ((*at != '.' && *at != ',') || at + 1 >= end || (at[1] != '0' && at[1] != '9')) {
        return 0;
    }
    size_t n = 0;
    while (at + 1 + n < end && at[1 + n] == at[1]) {
        n++;
    }
    if ((at + 1 + n < end && isdigit((unsigned char)at[1 + n])) || n > 9) {
        return 0;
    }
    char digits[9];
    for (int i = 8, rest = m->nanos; i >= 0; i--, rest /= 10) {
        digits[i] = (char)('0' + rest % 10);
    }
    size_t shown = n;
    while (at[1] == '9' && shown > 0 && digits[shown - 1] == '0') {
        shown--;
    }
    if (shown > 0) {
        buf_addc(out, *at);
        buf_add(out, digits, shown);
    }
    return n + 1;
}

static size_t piece_at(const char *at, const char *end, const struct moment *m, struct buf *out)
{
    size_t left = (size_t)(end - at);
    if (left >= 5 && memcmp(at, "_2006", 5) == 0) { /* an underscore and a year */
        buf_addc(out, '_');
        return 1;
    }
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        size_t len = strlen(pieces[i].layout);
        if (len > left || memcmp(at, pieces[i].layout, len) != 0) {
            continue;
        }
        bool is_word =
            pieces[i].piece == PIECE_MONTH_SHORT || pieces[i].piece == PIECE_WEEKDAY_SHORT;
        if (is_word && left > len && islower((unsigned char)at[len])) {
            continue; /* "Month" is not Mon and "th" */
        }
        buf_adds(out, pieces[i].text != NULL ? pieces[i].text : "");
        piece_write(pieces[i].piece, m, out);
        return len;
    }
    return fraction_write(at, end, m, out);
}

static void go_layout(const char *layout, size_t len, int64_t us, struct buf *out)
{
    struct moment m;
    moment_init(&m, us);
    for (const char *p = layout, *end = layout + len; p < end;) {
        size_t used = piece_at(p, end, &m, out);
        if (used == 0) {
            buf_addc(out, *p);
            used = 1;
        }
        p += used;
    }
}

/* ---- strftime ---- */

/* Shorthands, then the single conversions as Go layouts. */
static const struct {
    char conversion;
    const char *layout;
} conversions[] = {
    {'Y', "2006"},
    {'y', "06"},
    {'m', "01"},
    {'d', "02"},
    {'e', "_2"},
    {'H', "15"},
    {'I', "03"},
    {'M', "04"},
    {'S', "05"},
    {'j', "002"},
    {'p', "PM"},
    {'a', "Mon"},
    {'A', "Monday"},
    {'b', "Jan"},
    {'h', "Jan"},
    {'B', "January"},
    {'Z', "MST"},
    {'z', "-0700"},
    {'F', "2006-01-02"},
    {'T', "15:04:05"},
    {'R', "15:04"},
    {'D', "01/02/06"},
    {'c', "Mon Jan _2 15:04:05 2006"},
    {'x', "01/02/06"},
    {'X', "15:04:05"},
    {'r', "03:04:05 PM"},
    {'v', "_2-Jan-2006"},
};

static void strftime_one(char conversion, int64_t us, struct buf *out)
{
    struct moment m;
    moment_init(&m, us);
    for (size_t i = 0; i < ARRAY_LEN(conversions); i++) {
        if (conversions[i].conversion == conversion) {
            go_layout(conversions[i].layout, strlen(conversions[i].layout), us, out);
            return;
        }
    }
    switch (conversion) {
    case 's':
        buf_addf(out, "%lld", (long long)m.seconds);
        break;
    case 'f':
        buf_addf(out, "%06d", m.nanos / 1000);
        break;
    case 'L':
        buf_addf(out, "%03d", m.nanos / 1000000);
        break;
    case 'u':
        buf_addf(out, "%d", m.c.weekday == 0 ? 7 : m.c.weekday);
        break;
    case 'w':
        buf_addf(out, "%d", m.c.weekday);
        break;
    case 'C':
        buf_addf(out, "%02d", m.c.year / 100);
        break;
    case 'n':
        buf_addc(out, '\n');
        break;
    case 't':
        buf_addc(out, '\t');
        break;
    case '%':
        buf_addc(out, '%');
        break;
    default:
        buf_addc(out, '%');
        buf_addc(out, conversion);
        break;
    }
}

static void strftime_write(const char *format, size_t len, int64_t us, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        if (format[i] == '%' && i + 1 < len) {
            strftime_one(format[++i], us, out);
        } else {
            buf_addc(out, format[i]);
        }
    }
}

/* ---- macros ---- */

static int64_t scheduled_us(const struct macro_context *ctx)
{
    return ctx->scheduled_us != 0 ? ctx->scheduled_us : ctx->created_us;
}

static bool starts(const char *text, const char *end, const char *word, const char **rest)
{
    size_t len = strlen(word);
    if ((size_t)(end - text) < len || memcmp(text, word, len) != 0) {
        return false;
    }
    *rest = text + len;
    return true;
}

/* Between the brackets. False: not a macro. */
static bool bracket_write(
    const char *name, const char *end, const struct macro_context *ctx, struct buf *out)
{
    const char *rest;
    if (starts(name, end, "RunUUID", &rest) && rest == end && ctx->run_id != NULL) {
        buf_adds(out, ctx->run_id);
        return true;
    }
    if (starts(name, end, "Index", &rest) && rest == end && ctx->index > 0) {
        buf_addf(out, "%lld", (long long)ctx->index);
        return true;
    }
    int64_t us;
    if (starts(name, end, "ScheduledTime", &rest)) {
        us = scheduled_us(ctx);
    } else if (starts(name, end, "CurrentTime", &rest)) {
        us = ctx->created_us;
    } else {
        return false;
    }
    if (rest == end) {
        go_layout(DEFAULT_LAYOUT, strlen(DEFAULT_LAYOUT), us, out);
        return true;
    }
    if (*rest != '.') {
        return false;
    }
    go_layout(rest + 1, (size_t)(end - rest - 1), us, out);
    return true;
}

/* {{$.scheduledTime.strftime('...')}}: bytes used, 0 if it is something else. */
static size_t strftime_macro(
    const char *at, const char *end, const struct macro_context *ctx, struct buf *out)
{
    const char *rest;
    int64_t us;
    if (starts(at, end, "{{$.scheduledTime.strftime(", &rest)) {
        us = scheduled_us(ctx);
    } else if (starts(at, end, "{{$.currentTime.strftime(", &rest)) {
        us = ctx->created_us;
    } else {
        return 0;
    }
    if (rest >= end || (*rest != '\'' && *rest != '"')) {
        return 0;
    }
    char close[5] = {*rest, ')', '}', '}', '\0'};
    rest++;
    size_t left = (size_t)(end - rest);
    const char *stop = memmem(rest, left < MAX_MACRO ? left : MAX_MACRO, close, 4);
    if (stop == NULL) {
        return 0;
    }
    strftime_write(rest, (size_t)(stop - rest), us, out);
    return (size_t)(stop + 4 - at);
}

static size_t macro_at(
    const char *at, const char *end, const struct macro_context *ctx, struct buf *out)
{
    static const char *const names[] = {"[[ScheduledTime", "[[CurrentTime", "[[RunUUID", "[[Index"};
    size_t left = (size_t)(end - at);
    if (*at == '{') {
        return strftime_macro(at, end, ctx, out);
    }
    const char *rest = NULL;
    for (size_t i = 0; i < ARRAY_LEN(names) && rest == NULL; i++) {
        starts(at, end, names[i], &rest);
    }
    if (rest == NULL) { /* before looking for the end: "[[[[[..." must stay cheap */
        return 0;
    }
    const char *stop = memmem(at + 2, left - 2 < MAX_MACRO ? left - 2 : MAX_MACRO, "]]", 2);
    if (stop == NULL || !bracket_write(at + 2, stop, ctx, out)) {
        return 0;
    }
    return (size_t)(stop + 2 - at);
}

static bool expand_text(void *owner, const char *text, size_t len, struct buf *out)
{
    const struct macro_context *ctx = owner;
    const char *end = text + len, *copied = text;
    bool found = false;
    for (const char *p = text; p < end;) {
        if (*p != '[' && *p != '{') {
            p++;
            continue;
        }
        struct buf piece;
        buf_init(&piece, MAX_VALUE_BYTES);
        size_t used = macro_at(p, end, ctx, &piece);
        if (used > 0) {
            buf_add(out, copied, (size_t)(p - copied));
            buf_add(out, buf_str(&piece), piece.len);
            copied = p + used;
            found = true;
        }
        buf_done(&piece);
        p += used > 0 ? used : 1;
    }
    if (found) {
        buf_add(out, copied, (size_t)(end - copied));
    }
    return found;
}

json_t *macro_expand(const json_t *value, const struct macro_context *ctx)
{
    return value_map_strings(value, expand_text, (void *)(uintptr_t)ctx);
}
