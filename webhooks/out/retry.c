/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of outcomes, the schedule, Retry-After. */
#include "webhooks/out/retry.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"

#define RUNG_MIN_MS INT64_C(1000)
#define RUNG_MAX_MS (INT64_C(7) * 86400 * 1000)
#define SLOW_RUNG_MS (INT64_C(1800) * 1000)

struct retry_class retry_classify(int status)
{
    if (status >= 200 && status < 300) {
        return (struct retry_class){.lane = RETRY_LANE_NONE, .is_endpoint = true};
    }
    switch (status) {
    case 410:
        return (struct retry_class){.lane = RETRY_LANE_GONE, .is_endpoint = true};
    case 429:
    case 502:
    case 503:
    case 504:
        return (struct retry_class){
            .lane = RETRY_LANE_LADDER, .is_endpoint = true, .is_throttle = true};
    case 408:
    case 425:
        return (struct retry_class){.lane = RETRY_LANE_LADDER, .is_endpoint = true};
    case 400: /* about what was sent: the next message may well be taken */
    case 409:
    case 413:
    case 414:
    case 415:
    case 422:
    case 431:
        return (struct retry_class){.lane = RETRY_LANE_SLOW};
    default:
        break;
    }
    bool is_slow = status >= 300 && status < 500;
    return (struct retry_class){
        .lane = is_slow ? RETRY_LANE_SLOW : RETRY_LANE_LADDER, .is_endpoint = true};
}

int retry_schedule_parse(const char *text, struct retry_schedule *out, struct err *err)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(text);
    char *rest = copy, *one;
    *out = (struct retry_schedule){0};
    while ((one = strsep(&rest, ",")) != NULL) {
        int64_t ms;
        one += strspn(one, " ");
        if (out->count == RETRY_RUNGS_MAX) {
            return err_set(
                err, ERR_INVALID, "webhook-retries: more than %d waits", RETRY_RUNGS_MAX);
        }
        if (parse_duration_ms(one, "webhook-retries", &ms, err) != 0) {
            return -1;
        }
        if (ms < RUNG_MIN_MS || ms > RUNG_MAX_MS) {
            return err_set(
                err, ERR_INVALID, "webhook-retries: '%.40s' is not between 1s and 7d", one);
        }
        out->rungs_ms[out->count++] = ms;
    }
    return 0;
}

int64_t retry_schedule_total_ms(const struct retry_schedule *schedule)
{
    int64_t sum = 0;
    for (size_t i = 0; i < schedule->count; i++) {
        sum += schedule->rungs_ms[i];
    }
    return sum;
}

static int64_t jitter_ms(int64_t ms)
{
    uint32_t r;
    random_bytes(&r, sizeof r);
    int64_t fifth = ms / 5;
    return ms - fifth + (int64_t)((double)r / UINT32_MAX * 2.0 * (double)fifth);
}

int64_t retry_next_ms(const struct retry_schedule *schedule, enum retry_lane lane, int64_t *step)
{
    size_t rung = *step < 0 ? 0 : (size_t)*step;
    while (lane == RETRY_LANE_SLOW && rung + 1 < schedule->count &&
           schedule->rungs_ms[rung] < SLOW_RUNG_MS) {
        rung++;
    }
    if (rung >= schedule->count) {
        return -1;
    }
    *step = (int64_t)rung + 1;
    return jitter_ms(schedule->rungs_ms[rung]);
}

int64_t retry_after_ms(const char *text, int64_t now_us, int64_t at_most_ms)
{
    int64_t seconds = 0, at_most_s = at_most_ms / 1000;
    if (text == NULL) {
        return 0;
    }
    if (parse_i64(text, 0, INT64_MAX, "Retry-After", &seconds, NULL) != 0) {
        time_t at = curl_getdate(text, NULL);
        seconds = at < 0 ? 0 : (int64_t)at - now_us / US_PER_S;
    }
    return (seconds < 0 ? 0 : seconds > at_most_s ? at_most_s : seconds) * 1000;
}
