/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule as this folder's files see it; everybody else uses scheduler/schedule.h. */
#ifndef SCHEDULER_CRON_INTERNAL_H
#define SCHEDULER_CRON_INTERNAL_H

#include "scheduler/schedule.h"

#include "cron/cron.h"
#include "cron/zone.h"

/* A century; longer intervals are typing errors, and instants must not overflow. */
#define INTERVAL_MAX_S INT64_C(3155760000)

#define SCHEDULE_PARTS_MAX 100
#define SCHEDULE_CALENDARS_MAX 20

struct calendar;
struct rule;

enum part_kind {
    PART_CRON,
    PART_RULE,     /* an RRULE with its DTSTART */
    PART_EVERY,    /* "@every 90s": an interval that came as cron text */
    PART_PHASED,   /* "@every 6h/5h": counted from 1970, not from the anchor */
    PART_INTERVAL, /* KFP's periodic schedule */
};

/* What becomes of a fixed time that a clock change skips or shows twice. */
enum dst_gap { DST_GAP_NEXT, DST_GAP_SKIP };
enum dst_fold { DST_FOLD_FIRST, DST_FOLD_SECOND, DST_FOLD_BOTH };

struct part {
    enum part_kind kind;
    enum dst_gap gap;
    enum dst_fold fold;
    int64_t interval_s, phase_s;
    const struct zone *zone; /* borrowed from the cache; NULL for KFP's intervals */
    struct rule *rule;
    struct cron cron;
};

struct schedule {
    struct part *parts; /* one to SCHEDULE_PARTS_MAX; fires when any of them does */
    size_t count;
    /* A tick inside an excluded event, or outside all included ones, does not run. */
    struct calendar **include, **exclude;
    size_t include_count, exclude_count;
};

/* How a text is read. */
struct part_style {
    enum cron_profile profile;
    enum dst_gap gap;
    enum dst_fold fold;
    const char *zone_name; /* the field beside the text; NULL or "" when absent */
    const char *hash_key;  /* or NULL */
    bool zone_is_default;  /* a text may name another zone than zone_name */
    bool is_one_of_several;
};
void part_style_of_profile(struct part_style *style, enum cron_profile profile);
int part_parse(
    struct part *part, const char *text, const struct part_style *style, struct err *err);
void part_done(struct part *part);

/* "1h30m", "90s", "1.5h", "1d": Go's durations and days. Whole seconds, at least one unless
 * zero is allowed. */
int duration_parse(const char *text, bool may_be_zero, int64_t *seconds_out, struct err *err);

/* Floor of microseconds to seconds. */
static inline int64_t floor_s(int64_t us)
{
    return us / 1000000 - (us % 1000000 < 0);
}

#endif
