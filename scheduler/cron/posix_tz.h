/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule at the end of a TZif file, "CET-1CEST,M3.5.0,M10.5.0/3": what holds after the last
 * listed change. POSIX TZ with the extension of RFC 8536 (rule times of -167 to 167 hours).
 */
#ifndef SCHEDULER_CRON_POSIX_TZ_H
#define SCHEDULER_CRON_POSIX_TZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum posix_tz_form {
    POSIX_TZ_JULIAN,     /* Jn: 1..365, 29 February is never counted */
    POSIX_TZ_YEARDAY,    /* n: 0..365 */
    POSIX_TZ_MONTH_WEEK, /* Mm.w.d: week 5 is the last */
};

struct posix_tz_date {
    enum posix_tz_form form;
    int day, month, week;
    int32_t time_s; /* wall time of the change, may be negative or beyond the day */
};

struct posix_tz {
    int32_t std_offset, dst_offset; /* seconds east of UTC */
    bool has_dst;
    struct posix_tz_date to_dst, to_std;
};

int posix_tz_parse(struct posix_tz *tz, const char *text, size_t len, struct err *err);

struct posix_tz_span {
    int64_t start, end; /* INT64_MIN and INT64_MAX without daylight saving time */
    int32_t offset, offset_before;
};

void posix_tz_span_at(const struct posix_tz *tz, int64_t utc_s, struct posix_tz_span *out);

#endif
