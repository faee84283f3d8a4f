/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timestamps and durations. A duration is at most what 64 bits of nanoseconds hold (292 years), as
 * in CEL's reference; a timestamp is of the years 1 to 9999.
 */
#include "webhooks/cel/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"
#include "scheduler/schedule.h"
#include "webhooks/cel/function.h"

#define NS_PER_S INT64_C(1000000000)
#define YEAR_1_S INT64_C(-62135596800)
#define YEAR_9999_END_S INT64_C(253402300799)
#define TEXT_MAX 100
#define ZONE_STEPS 100 /* the first use of a zone reads its file */

/* ---- text ---- */

/* ".5", or nothing; at most 9 digits. */
static void fraction_text(int32_t nanos, char out[16])
{
    out[0] = '\0';
    if (nanos != 0) {
        size_t len = (size_t)snprintf(out, 16, ".%09" PRId32, nanos);
        while (out[len - 1] == '0') {
            out[--len] = '\0';
        }
    }
}

const char *cel_timestamp_text(const struct cel_value *value, char out[CEL_TIME_TEXT_MAX])
{
    char fraction[16];
    struct civil c;
    civil_from_s(value->integer, &c);
    fraction_text(value->nanos, fraction);
    snprintf(out, CEL_TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", c.year, c.month, c.day,
        c.hour, c.minute, c.second, fraction);
    return out;
}

const char *cel_duration_text(const struct cel_value *value, char out[CEL_TIME_TEXT_MAX])
{
    char fraction[16];
    bool is_negative = value->integer < 0 || value->nanos < 0;
    fraction_text(is_negative ? -value->nanos : value->nanos, fraction);
    snprintf(out, CEL_TIME_TEXT_MAX, "%s%" PRIu64 "%ss", is_negative ? "-" : "",
        is_negative ? -(uint64_t)value->integer : (uint64_t)value->integer, fraction);
    return out;
}

/* ---- making ---- */

static struct cel_value make_timestamp(
    struct cel_run *run, const struct cel_node *node, int64_t seconds, int64_t nanos)
{
    seconds += nanos / NS_PER_S;
    nanos %= NS_PER_S;
    if (nanos < 0) {
        seconds--;
        nanos += NS_PER_S;
    }
    if (seconds < YEAR_1_S || seconds > YEAR_9999_END_S) {
        return cel_fail(run, node, "range error: a timestamp is of the years 1 to 9999");
    }
    return (struct cel_value){.kind = CEL_TIMESTAMP, .integer = seconds, .nanos = (int32_t)nanos};
}

static struct cel_value make_duration(
    struct cel_run *run, const struct cel_node *node, bool fits, int64_t ns)
{
    return fits ? (struct cel_value){.kind = CEL_DURATION,
                      .integer = ns / NS_PER_S,
                      .nanos = (int32_t)(ns % NS_PER_S)}
                : cel_fail(run, node, "range error: a duration is at most 292 years");
}

/* ---- reading ---- */

static struct cel_value fail_text(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *text, const char *form)
{
    struct buf shown;
    buf_init(&shown, 100);
    cel_show(text, &shown);
    struct cel_value error = cel_fail(run, node, "%s is not %s", buf_str(&shown), form);
    buf_done(&shown);
    return error;
}

/* The digits behind the point; clock_parse has seen that there are at most nine. */
static int64_t nanos_of(const char *text)
{
    const char *point = strchr(text, '.');
    int64_t nanos = 0;
    for (int i = 1; i <= 9 && point != NULL; i++) {
        bool is_digit = *point != '\0' && point[1] >= '0' && point[1] <= '9';
        point += is_digit;
        nanos = nanos * 10 + (is_digit ? *point - '0' : 0);
    }
    return nanos;
}

struct cel_value cel_call_timestamp(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    if (args[0].kind == CEL_TIMESTAMP) {
        return args[0];
    }
    if (args[0].kind == CEL_INT) {
        bool is_far = args[0].integer < YEAR_1_S || args[0].integer > YEAR_9999_END_S;
        return make_timestamp(run, node, is_far ? INT64_MAX / 2 : args[0].integer, 0);
    }
    struct err err = ERR_INIT;
    int64_t us;
    if (args[0].len > TEXT_MAX || strlen(args[0].text) != args[0].len ||
        clock_parse(args[0].text, &us, &err) != 0) {
        return fail_text(run, node, &args[0], "a time like 2026-11-23T09:30:00Z (RFC 3339)");
    }
    int64_t seconds = us / US_PER_S - (us % US_PER_S < 0);
    return make_timestamp(run, node, seconds, nanos_of(args[0].text));
}

static const struct {
    const char *name;
    int64_t ns;
} units[] = {{"ns", 1}, {"us", 1000}, {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000}, {"ms", 1000000},
    {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}};

/* One "1.5h": adds to *ns. 0 moves *at behind it, -1 no such text, 1 too much. */
static int read_span(const char **at, uint64_t *ns)
{
    const char *s = *at;
    uint64_t whole = 0, fraction = 0, scale = 1;
    size_t digits = 0;
    for (; *s >= '0' && *s <= '9'; s++, digits++) {
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*s - '0'), &whole)) {
            return 1;
        }
    }
    if (*s == '.') {
        for (s++; *s >= '0' && *s <= '9'; s++, digits++) {
            if (scale < 1000000000000) { /* more digits say nothing */
                fraction = fraction * 10 + (uint64_t)(*s - '0');
                scale *= 10;
            }
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(units) && digits > 0; i++) {
        size_t len = strlen(units[i].name);
        if (strncmp(s, units[i].name, len) != 0 ||
            (s[len] >= 'a' && s[len] <= 'z')) { /* "m" of "ms" */
            continue;
        }
        *at = s + len;
        uint64_t part = (uint64_t)((double)fraction * ((double)units[i].ns / (double)scale));
        return __builtin_mul_overflow(whole, (uint64_t)units[i].ns, &whole) ||
               __builtin_add_overflow(whole, part, &whole) ||
               __builtin_add_overflow(*ns, whole, ns);
    }
    return -1;
}

struct cel_value cel_call_duration(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    if (args[0].kind == CEL_DURATION) {
        return args[0];
    }
    const char *at = args[0].text, *end = at + args[0].len;
    bool is_negative = *at == '-';
    at += *at == '-' || *at == '+';
    uint64_t ns = 0;
    int status = *at != '\0' && args[0].len <= TEXT_MAX ? 0 : -1;
    if (strcmp(at, "0") == 0) {
        at++;
    }
    while (status == 0 && at < end) {
        status = read_span(&at, &ns);
    }
    if (status < 0) {
        return fail_text(run, node, &args[0], "a duration like 90s, 1h30m or 1.5s");
    }
    return make_duration(run, node, status == 0 && ns <= INT64_MAX,
        is_negative ? -(int64_t)(ns & INT64_MAX) : (int64_t)(ns & INT64_MAX));
}

/* ---- arithmetic ---- */

/* In range, so it fits. */
static int64_t duration_ns(const struct cel_value *duration)
{
    return duration->integer * NS_PER_S + duration->nanos;
}

struct cel_value cel_operate_times(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args)
{
    const struct cel_value *a = &args[0], *b = &args[1];
    bool adds = node->op == CEL_OP_ADD;
    int64_t ns;
    if (a->kind == CEL_DURATION && b->kind == CEL_DURATION) {
        bool is_over = adds ? __builtin_add_overflow(duration_ns(a), duration_ns(b), &ns)
                            : __builtin_sub_overflow(duration_ns(a), duration_ns(b), &ns);
        return make_duration(run, node, !is_over, ns);
    }
    if (a->kind == CEL_TIMESTAMP && b->kind == CEL_TIMESTAMP && !adds) {
        bool is_over = __builtin_mul_overflow(a->integer - b->integer, NS_PER_S, &ns) ||
                       __builtin_add_overflow(ns, (int64_t)a->nanos - b->nanos, &ns);
        return make_duration(run, node, !is_over, ns);
    }
    const struct cel_value *at = a->kind == CEL_TIMESTAMP ? a : b;
    const struct cel_value *by = at == a ? b : a;
    if (by->kind == CEL_TIMESTAMP || (!adds && at == b)) {
        return cel_fail_kinds(run, node, cel_op_sign(node->op), args, 2);
    }
    return make_timestamp(run, node, at->integer + (adds ? by->integer : -by->integer),
        (int64_t)at->nanos + (adds ? by->nanos : -by->nanos));
}

/* ---- parts ---- */

/* "+02:00", "-02:30", "02:00" */
static bool read_offset(const char *text, int64_t *out)
{
    const char *s = text + (*text == '-' || *text == '+');
    for (size_t i = 0; i < 5; i++) {
        if (i == 2 ? s[i] != ':' : s[i] < '0' || s[i] > '9') {
            return false;
        }
    }
    int hours = (s[0] - '0') * 10 + s[1] - '0', minutes = (s[3] - '0') * 10 + s[4] - '0';
    *out = (hours * 60 + minutes) * 60 * (*text == '-' ? -1 : 1);
    return s[5] == '\0' && hours < 24 && minutes < 60;
}

/* What the wall clock is ahead of UTC; an error for an unknown zone, otherwise a number. */
static struct cel_value zone_offset_of(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *at, const struct cel_value *name)
{
    int64_t offset;
    if (read_offset(name->text, &offset)) {
        return cel_int(offset);
    }
    if (!cel_spend(run, ZONE_STEPS)) {
        return cel_fail_spent(run, node);
    }
    struct err err = ERR_INIT;
    const struct zone *zone = name->len <= TEXT_MAX && strlen(name->text) == name->len
                                  ? zone_get(name->text, &err)
                                  : NULL;
    return zone != NULL
               ? cel_int(zone_offset(zone, at->integer))
               : fail_text(run, node, name, "a time zone like Europe/Berlin, UTC or +02:00");
}

static int64_t part_of(const char *name, const struct civil *c, int32_t nanos)
{
    return strcmp(name, "getFullYear") == 0     ? c->year
           : strcmp(name, "getMonth") == 0      ? c->month - 1
           : strcmp(name, "getDate") == 0       ? c->day
           : strcmp(name, "getDayOfMonth") == 0 ? c->day - 1
           : strcmp(name, "getDayOfWeek") == 0  ? c->weekday
           : strcmp(name, "getDayOfYear") == 0  ? c->yearday - 1
           : strcmp(name, "getHours") == 0      ? c->hour
           : strcmp(name, "getMinutes") == 0    ? c->minute
           : strcmp(name, "getSeconds") == 0    ? c->second
                                                : nanos / 1000000;
}

/* Of a duration all of it in hours, minutes or seconds; but milliseconds only past the second. */
static int64_t duration_part(const char *name, const struct cel_value *duration)
{
    return strcmp(name, "getHours") == 0     ? duration->integer / 3600
           : strcmp(name, "getMinutes") == 0 ? duration->integer / 60
           : strcmp(name, "getSeconds") == 0 ? duration->integer
                                             : duration->nanos / 1000000;
}

struct cel_value cel_call_time_part(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    const char *name = node->function->name;
    if (args[0].kind == CEL_DURATION) {
        return count == 1 ? cel_int(duration_part(name, &args[0]))
                          : cel_fail_kinds(run, node, name, args, count);
    }
    struct cel_value offset =
        count == 2 ? zone_offset_of(run, node, &args[0], &args[1]) : cel_int(0);
    if (offset.kind == CEL_ERROR) {
        return offset;
    }
    struct civil c;
    civil_from_s(args[0].integer + offset.integer, &c);
    return cel_int(part_of(name, &c, args[0].nanos));
}
