/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/rondo/v1/schedules:next - when would this cron expression fire? Changes nothing. */
#include <stdint.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include "scheduler/schedule.h"

#include "api/api.h"

#define DEFAULT_COUNT 5
#define MAX_COUNT 1000
#define MAX_TEXT 1024

struct question {
    int64_t from_us, count;
    struct schedule *schedule;
};

static int read_question(const struct http_request *req, struct question *q, struct err *err)
{
    const char *cron = http_query(req, "cron");
    const char *zone = http_query(req, "time_zone");
    const char *from = http_query(req, "from");
    const char *count = http_query(req, "n");
    q->from_us = clock_now_us();
    q->count = DEFAULT_COUNT;
    if (cron == NULL || cron[0] == '\0') {
        return err_set(err, ERR_INVALID, "cron: missing in the query, as in ?cron=30+9+*+*+1-5");
    }
    if (from != NULL && from[0] != '\0' && clock_parse(from, &q->from_us, err) != 0) {
        return err_wrap(err, "from");
    }
    if (count != NULL && count[0] != '\0' &&
        parse_i64(count, 1, MAX_COUNT, "n", &q->count, err) != 0) {
        return -1;
    }
    q->schedule = schedule_parse_cron(cron, zone != NULL && zone[0] != '\0' ? zone : NULL, err);
    return q->schedule != NULL ? 0 : -1;
}

static json_t *answer(const struct question *q)
{
    json_t *times = json_array();
    int64_t at = q->from_us;
    for (int64_t i = 0; i < q->count; i++) {
        char text[CLOCK_TEXT_MAX];
        at = schedule_next(q->schedule, q->from_us, at);
        if (at < 0) {
            break;
        }
        json_array_append_new(times, json_string(clock_format_s(at, text)));
    }
    struct buf description;
    buf_init(&description, MAX_TEXT);
    schedule_describe(q->schedule, &description);
    json_t *out = json_object();
    json_object_set_new(out, "times", times);
    jset_str(out, "description", buf_str(&description));
    jset_str(out, "time_zone", schedule_zone_name(q->schedule));
    buf_done(&description);
    return out;
}

static void handle_next(struct api_call *call)
{
    struct err err = ERR_INIT;
    struct question q = {0};
    if (read_question(&call->req, &q, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    json_t *out = api_keep(call, answer(&q));
    schedule_free(q.schedule);
    api_reply_json(call, 200, out);
}

const struct route routes_schedules[] = {
    {"GET", "/apis/rondo/v1/schedules:next", handle_next, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
