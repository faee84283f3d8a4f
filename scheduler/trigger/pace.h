/* SPDX-License-Identifier: Apache-2.0 */
/* At most so many ticks a second: a bucket of tokens. Pure; time is monotonic, in us. */
#ifndef SCHEDULER_TRIGGER_PACE_H
#define SCHEDULER_TRIGGER_PACE_H

#include <stddef.h>
#include <stdint.h>

struct pace {
    int64_t per_s;  /* 0: no limit */
    int64_t micros; /* millionths of ticks that may go now */
    int64_t at_us;  /* when that was so */
};

/* It holds a tenth of a second's ticks at the most, and at least one. */
void pace_init(struct pace *pace, int64_t per_s, int64_t mono_us);
/* How many of `want` may go now. They count as gone only when pace_took() says so. */
size_t pace_room(struct pace *pace, size_t want, int64_t mono_us);
void pace_took(struct pace *pace, size_t count);
/* Until there is room for one; 0: there is. */
int64_t pace_wait_us(const struct pace *pace);

#endif
