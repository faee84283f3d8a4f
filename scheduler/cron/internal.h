/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule as this folder's files see it; everybody else uses scheduler/schedule.h. */
#ifndef SCHEDULER_CRON_INTERNAL_H
#define SCHEDULER_CRON_INTERNAL_H

#include "scheduler/schedule.h"

#include "cron/cron.h"
#include "cron/zone.h"

/* A century; longer intervals are typing errors, and instants must not overflow. */
#define INTERVAL_MAX_S INT64_C(3155760000)

enum schedule_kind {
    SCHEDULE_CRON,
    SCHEDULE_EVERY,    /* "@every 90s": an interval that came as cron text */
    SCHEDULE_INTERVAL, /* KFP's periodic schedule */
};

struct schedule {
    enum schedule_kind kind;
    int64_t interval_s;
    const struct zone *zone; /* borrowed from the cache */
    struct cron cron;
};

/* "1h30m", "90s", "1.5h", "1d": Go's durations and days. Whole seconds, at least one. */
int duration_parse(const char *text, int64_t *seconds_out, struct err *err);

/* Floor of microseconds to seconds. */
static inline int64_t floor_s(int64_t us)
{
    return us / 1000000 - (us % 1000000 < 0);
}

#endif
