/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a time zone is inside this folder: spans of constant offset. The public part (zone_get
 * and friends) is in scheduler/schedule.h.
 */
#ifndef SCHEDULER_CRON_ZONE_H
#define SCHEDULER_CRON_ZONE_H

#include "scheduler/schedule.h"

#include "cron/posix_tz.h"

#define ZONE_NAME_MAX 64
#define ZONE_FILE_MAX (512 * 1024)
#define ZONE_OFFSET_MAX (26 * 3600) /* RFC 8536 section 3.2 */

/* Instants outside this range are not asked of a zone; sums with an offset cannot overflow. */
#define ZONE_TIME_MIN (INT64_MIN / 4)
#define ZONE_TIME_MAX (INT64_MAX / 4)

struct zone_change {
    int64_t at;   /* UTC seconds */
    int64_t high; /* the last wall second that was shown before `at` */
    int32_t offset;
};

/* Which file a zone was read from: a new one in its place differs in one of these. */
struct zone_file {
    uint64_t inode;
    int64_t size, changed_ns;
};

struct zone {
    char name[ZONE_NAME_MAX];
    struct zone_file file; /* all 0: none */
    int32_t first_offset;  /* before the first change */
    bool has_rule;         /* after the last change */
    struct posix_tz rule;
    size_t count;
    struct zone_change *changes;
};

/* Wall = UTC + offset for start <= UTC < end. */
struct zone_span {
    int64_t start, end;
    int64_t high; /* as above, before start; ZONE_TIME_MIN when there is nothing before */
    int32_t offset;
};

void zone_span_at(const struct zone *zone, int64_t utc_s, struct zone_span *out);

/* The first instant at or after t at which the wall clock shows or has passed `wall`. */
int64_t zone_reach_wall(const struct zone *zone, int64_t t, int64_t wall);

/* NULL if the name may be looked up as a file below the zone folder, else the reason. */
const char *zone_name_problem(const char *name);

#endif
