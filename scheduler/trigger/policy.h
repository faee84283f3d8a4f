/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recurring run asks for besides its schedule: members of its doc, each with its default.
 * The rules are written down in contrib/docs/schedules.md.
 */
#ifndef SCHEDULER_TRIGGER_POLICY_H
#define SCHEDULER_TRIGGER_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct err;

/* When as many runs are active as max_concurrency allows. */
enum overlap {
    OVERLAP_QUEUE, /* KFP: the tick waits, and those after it behind it */
    OVERLAP_SKIP,
    OVERLAP_BUFFER_ONE,
    OVERLAP_BUFFER_ALL,      /* up to buffer_max */
    OVERLAP_CANCEL_OTHER,    /* ask the active runs to end, then start */
    OVERLAP_TERMINATE_OTHER, /* start, and ask them to end at once */
    OVERLAP_ALLOW,           /* no limit */
};
/* What was missed: the daemon was away, or the start lies in the past. */
enum catchup { CATCHUP_ALL, CATCHUP_LAST, CATCHUP_FIRST, CATCHUP_NONE };

#define POLICY_BUFFER_MAX 1000
#define POLICY_CONCURRENCY_MAX 1000000
/* catchup "none": so late a tick is still in time. */
#define POLICY_GRACE_US (60 * INT64_C(1000000))

struct policy {
    enum overlap overlap;
    enum catchup catchup;
    int64_t max_concurrency;
    int64_t buffer_max;
    int64_t catchup_window_us;    /* ticks later than this are passed over; 0 no limit */
    int64_t max_fires;            /* 0 no limit */
    int64_t pause_after_failures; /* so many failed runs in a row; 0 never */
    int64_t spread_us;            /* each fires at its own offset in [0, spread); 0 none */
};

/* ERR_INVALID names the member, the rule and what is allowed. */
int policy_parse(const json_t *doc, struct policy *out, struct err *err);
/* It has fired `index` times, and that is all. */
static inline bool policy_is_over(const struct policy *policy, int64_t index)
{
    return policy->max_fires > 0 && index >= policy->max_fires;
}
/* Offset of this recurring run in its window: the same after every restart. Whole milliseconds. */
int64_t policy_offset_us(const struct policy *policy, const char *id);

/* NULL-terminated names of the members that policy_parse reads. */
extern const char *const policy_members[];
bool is_one_of(const char *name, const char *const *names);

#endif
