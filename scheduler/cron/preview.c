/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A schedule shown to a person before it is used: its next ticks, each with what is special about
 * it, and hints about what may not be what was meant.
 */
#include "cron/internal.h"

#include "cron/rule.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_S INT64_C(86400)
#define TEXT_MAX 16384
#define HINTS_MAX 20
#define OFTEN_A_DAY 720
#define COUNTED_A_DAY 10000
#define LOCAL_MAX 48

/* "2026-03-08T03:00:00-04:00" */
static const char *format_local(const struct zone *zone, int64_t at_s, char out[LOCAL_MAX])
{
    struct civil c;
    int32_t offset = zone_offset(zone, at_s);
    int32_t minutes = abs(offset) / 60;
    civil_from_s(at_s + offset, &c);
    snprintf(out, LOCAL_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", c.year, c.month, c.day,
        c.hour, c.minute, c.second, offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
    return out;
}

json_t *schedule_explain(const struct schedule *schedule, int64_t at_us)
{
    json_t *tick = json_object();
    char local[LOCAL_MAX], wanted[16], why[SCHEDULE_WHY_MAX];
    jset_time(tick, "time", at_us);
    if (schedule->parts[0].zone != NULL) {
        jset_str(tick, "local", format_local(schedule->parts[0].zone, at_us / US_PER_S, local));
    }
    if (schedule_is_shifted(schedule, at_us, wanted)) {
        jset_str(tick, "dst", "gap-shifted");
        jset_str(tick, "wanted", wanted);
    }
    if (schedule_is_excluded(schedule, at_us, why)) {
        jset_str(tick, "excluded", why);
    }
    return tick;
}

/* ---- hints ---- */

static void hint(json_t *hints, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void hint(json_t *hints, const char *fmt, ...)
{
    struct buf text;
    va_list ap;
    if (json_array_size(hints) >= HINTS_MAX) {
        return;
    }
    buf_init(&text, 1024);
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    json_array_append_new(hints, json_string(buf_str(&text)));
    buf_done(&text);
}

/* "1,440" */
static const char *with_commas(int64_t n, char out[32])
{
    snprintf(out, 32, "%" PRId64, n);
    if (n >= 1000) {
        snprintf(out, 32, "%" PRId64 ",%03" PRId64, n / 1000, n % 1000);
    }
    return out;
}

static void hint_often(const struct schedule *schedule, int64_t from_us, json_t *hints)
{
    char text[32];
    int64_t count =
        schedule_count(schedule, from_us, from_us, from_us + DAY_S * US_PER_S, COUNTED_A_DAY + 1);
    if (count > COUNTED_A_DAY) {
        hint(hints, "fires more than %s times a day", with_commas(COUNTED_A_DAY, text));
    } else if (count >= OFTEN_A_DAY) {
        hint(hints, "fires %s times a day", with_commas(count, text));
    }
}

/* A step that does not divide its field: every 7 minutes fires at 56 and then at 0. */
static void hint_uneven(const char *unit, uint64_t bits, int size, json_t *hints)
{
    int count = __builtin_popcountll(bits);
    int first = bits != 0 ? __builtin_ctzll(bits) : 0;
    uint64_t rest = bits & (bits - 1);
    int step = rest != 0 ? __builtin_ctzll(rest) - first : 0;
    if (count < 3 || first >= step || size % step == 0) {
        return;
    }
    uint64_t want = 0;
    int last = first;
    for (int value = first; value < size; value += step) {
        want |= UINT64_C(1) << value;
        last = value;
    }
    if (want == bits) {
        hint(hints,
            "%d %ss do not divide evenly: after %s %d comes %s %d, %d %s%s later; an even "
            "distance is '@every'",
            step, unit, unit, last, unit, first, size - last + first, unit,
            size - last + first == 1 ? "" : "s");
    }
}

static void hint_days(const struct cron *cron, json_t *hints)
{
    bool both = cron->day_is_star || cron->dow_is_star || cron->dow_is_and;
    bool has_days = cron->days != 0xfffffffe || cron->has_special_days;
    bool has_dow = cron->dow != 0x7f;
    if (!both && has_days && has_dow) {
        hint(hints, "day of month and day of week are both restricted: either one matching is "
                    "enough; for both write '+' before the weekday");
    }
    bool only_late = cron->days != 0 && (cron->days & 0x1fffffff) == 0 && !cron->has_special_days;
    if (only_late && (both || !has_dow) && cron->months == 0x1ffe) {
        hint(hints, "months without day %d are passed over; the last day of the month is 'L'",
            __builtin_ctz(cron->days));
    }
}

static void format_clock(char out[16], int64_t wall)
{
    struct civil c;
    civil_from_s(wall, &c);
    int len = snprintf(out, 16, "%02d:%02d", c.hour, c.minute);
    if (c.second != 0) {
        snprintf(out + len, 16 - (size_t)len, ":%02d", c.second);
    }
}

static void hint_gap(const struct part *part, const struct zone_span *span, bool is_interval,
    const char *date, json_t *hints)
{
    int64_t shown = span->start + span->offset;
    int64_t wall = part->rule != NULL ? rule_next_wall(part->rule, span->high + 1)
                                      : cron_next_wall(&part->cron, span->high + 1);
    char wanted[16], end[16];
    if (span->high + 1 >= shown || wall >= shown) {
        return;
    }
    format_clock(wanted, wall);
    format_clock(end, shown);
    if (is_interval) {
        hint(hints, "%s: %s does not exist in %s; like an interval, it just goes on after the gap",
            date, wanted, part->zone->name);
    } else if (part->gap == DST_GAP_SKIP) {
        hint(hints, "%s: %s does not exist in %s, so it does not fire then", date, wanted,
            part->zone->name);
    } else {
        hint(hints, "%s: %s does not exist in %s, so it fires at %s", date, wanted,
            part->zone->name, end);
    }
}

static void hint_fold(const struct part *part, const struct zone_span *span, bool is_interval,
    const char *date, json_t *hints)
{
    static const char *const which[] = {
        "the first time only", "the second time only", "both times"};
    int64_t again = span->start + span->offset; /* the wall clock goes back to here */
    int64_t wall =
        part->rule != NULL ? rule_next_wall(part->rule, again) : cron_next_wall(&part->cron, again);
    char twice[16];
    if (again > span->high || wall > span->high) {
        return;
    }
    format_clock(twice, wall);
    hint(hints, "%s: %s comes twice in %s; it fires %s", date, twice, part->zone->name,
        is_interval ? "both times, like an interval" : which[part->fold]);
}

/* What the clock changes of the year to come do to fixed times. */
static void hint_changes(const struct part *part, int64_t from_s, json_t *hints)
{
    bool is_interval = part->rule != NULL ? rule_is_interval(part->rule) : part->cron.is_interval;
    struct zone_span span;
    zone_span_at(part->zone, from_s, &span);
    for (int64_t end = from_s + 366 * DAY_S; span.end < end;) {
        zone_span_at(part->zone, span.end, &span);
        char date[LOCAL_MAX];
        format_local(part->zone, span.start, date);
        date[10] = '\0';
        hint_gap(part, &span, is_interval, date, hints);
        hint_fold(part, &span, is_interval, date, hints);
    }
}

static void hint_part(const struct part *part, int64_t from_us, json_t *hints)
{
    if (part->kind == PART_CRON) {
        hint_uneven("second", part->cron.seconds, 60, hints);
        hint_uneven("minute", part->cron.minutes, 60, hints);
        hint_uneven("hour", part->cron.hours, 24, hints);
        hint_days(&part->cron, hints);
    }
    if (part->kind == PART_CRON || part->kind == PART_RULE) {
        hint_changes(part, floor_s(from_us), hints);
    }
}

json_t *schedule_hints(const struct schedule *schedule, int64_t from_us)
{
    json_t *hints = json_array();
    hint_often(schedule, from_us, hints);
    for (size_t i = 0; i < schedule->count; i++) {
        hint_part(&schedule->parts[i], from_us, hints);
    }
    return hints;
}

json_t *schedule_preview(const struct schedule *schedule, int64_t from_us, int64_t count)
{
    json_t *times = json_array(), *ticks = json_array();
    json_t *hints = schedule_hints(schedule, from_us);
    int64_t at = from_us;
    for (int64_t i = 0; i < count; i++) {
        at = schedule_next(schedule, from_us, at);
        if (at == SCHEDULE_NEVER) {
            break;
        }
        json_t *tick = schedule_explain(schedule, at);
        json_array_append_new(ticks, tick);
        if (json_object_get(tick, "excluded") == NULL) {
            json_array_append(times, json_object_get(tick, "time"));
        }
    }
    if (json_array_size(times) == 0 && json_array_size(ticks) > 0) {
        hint(hints, "the calendars leave out all of the next %zu ticks", json_array_size(ticks));
    }
    if (at == SCHEDULE_NEVER) {
        hint(hints, "fires %zu more time%s, then never again", json_array_size(ticks),
            json_array_size(ticks) == 1 ? "" : "s");
    }
    struct buf description;
    buf_init(&description, TEXT_MAX);
    schedule_describe(schedule, &description);
    json_t *out = json_object();
    json_object_set_new(out, "times", times);
    json_object_set_new(out, "ticks", ticks);
    jset_str(out, "description", buf_str(&description));
    jset_str(out, "time_zone", schedule_zone_name(schedule));
    json_object_set_new(out, "hints", hints);
    buf_done(&description);
    return out;
}
