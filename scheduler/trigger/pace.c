/* SPDX-License-Identifier: Apache-2.0 */
#include "trigger/pace.h"

#define MICROS INT64_C(1000000)
#define WINDOWS_PER_S 10
#define US_PER_SECOND INT64_C(1000000)

static int64_t pace_full(const struct pace *pace)
{
    int64_t ticks = pace->per_s / WINDOWS_PER_S;
    return (ticks > 0 ? ticks : 1) * MICROS;
}

void pace_init(struct pace *pace, int64_t per_s, int64_t mono_us)
{
    *pace = (struct pace){.per_s = per_s, .at_us = mono_us};
    pace->micros = pace_full(pace);
}

size_t pace_room(struct pace *pace, size_t want, int64_t mono_us)
{
    if (pace->per_s == 0) {
        return want;
    }
    /* More than a second fills it in any case, and would overflow. */
    int64_t passed_us = mono_us - pace->at_us;
    passed_us = passed_us > US_PER_SECOND ? US_PER_SECOND : passed_us;
    pace->micros += passed_us * pace->per_s; /* a microsecond's share of a tick */
    pace->at_us = mono_us;
    if (pace->micros > pace_full(pace)) {
        pace->micros = pace_full(pace);
    }
    size_t room = pace->micros > 0 ? (size_t)(pace->micros / MICROS) : 0;
    return room < want ? room : want;
}

void pace_took(struct pace *pace, size_t count)
{
    pace->micros -= pace->per_s == 0 ? 0 : (int64_t)count * MICROS;
}

int64_t pace_wait_us(const struct pace *pace)
{
    if (pace->per_s == 0 || pace->micros >= MICROS) {
        return 0;
    }
    return (MICROS - pace->micros + pace->per_s - 1) / pace->per_s;
}
