/* SPDX-License-Identifier: Apache-2.0 */
/* Timestamps and durations. */
#include "webhooks/cel/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

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
