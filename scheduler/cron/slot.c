/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which slot of a recurring run comes next, by KFP's rules: start and end, what was missed, and
 * whether it is caught up one by one or collapsed into the latest.
 *
 *   cron:     base = the last slot, else start, else creation; never before start. The slot is
 *             the first fire strictly after base, so a start that matches does not fire itself.
 *   interval: one interval after base; a start later than the last slot fires itself.
 *   end is inclusive.
 */
#include "cron/internal.h"

#include "base/clock.h"

static int64_t whole_s(int64_t us)
{
    return floor_s(us) * US_PER_S;
}

/*
 * The latest fire in [first, limit]; first is a fire. By halving, because a schedule of every
 * second that was away for a year has missed thirty million.
 */
static int64_t latest_fire(
    const struct schedule *schedule, int64_t anchor_us, int64_t first, int64_t limit)
{
    int64_t low = first, high = limit; /* low is a fire; none in (high, limit] */
    while (low < high) {
        int64_t middle = whole_s(low + (high - low) / 2);
        int64_t fire = schedule_next(schedule, anchor_us, middle);
        if (fire > 0 && fire <= high) {
            low = fire;
        } else if (middle > low) {
            high = middle;
        } else {
            break; /* less than two seconds between them, and nothing after low */
        }
    }
    return low;
}

static int64_t next_of_periodic(const struct schedule *schedule,
    const struct schedule_window *window, int64_t base, int64_t now_us)
{
    int64_t interval = schedule->parts[0].interval_s * US_PER_S;
    int64_t start = whole_s(window->start_us), end = window->end_us;
    int64_t next = start > base ? start : base + interval;
    if (end != 0 && end < next) {
        return -1;
    }
    if (window->no_catchup && now_us - next >= interval) {
        /* KFP moves the phase to now here; so do we. */
        next = end != 0 && end < now_us ? end : now_us;
    }
    return whole_s(next);
}

static int64_t next_of_cron(const struct schedule *schedule, const struct schedule_window *window,
    int64_t base, int64_t now_us)
{
    int64_t start = whole_s(window->start_us), end = window->end_us;
    if (start > base) {
        base = start;
    }
    int64_t next = schedule_next(schedule, base, base);
    if (next < 0 || (end != 0 && end < next)) {
        return -1;
    }
    int64_t limit = end != 0 && end < now_us ? end : now_us;
    return window->no_catchup && next < limit ? latest_fire(schedule, base, next, limit) : next;
}

int64_t schedule_next_slot(const struct schedule *schedule, const struct schedule_window *window,
    int64_t last_us, int64_t now_us)
{
    if (schedule == NULL) {
        return last_us != 0 ? -1 : whole_s(window->created_us);
    }
    int64_t base = last_us != 0            ? last_us
                   : window->start_us != 0 ? window->start_us
                                           : window->created_us;
    base = whole_s(base);
    return schedule->parts[0].kind == PART_INTERVAL
               ? next_of_periodic(schedule, window, base, now_us)
               : next_of_cron(schedule, window, base, now_us);
}
