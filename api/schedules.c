/* SPDX-License-Identifier: Apache-2.0 */
/* /apis/rondo/v1/schedules:next - when would this schedule fire? Changes nothing. */
#include <stdint.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include "scheduler/schedule.h"

#include "api/api.h"

#define DEFAULT_COUNT 5
#define MAX_COUNT 1000

struct question {
    int64_t from_us, count;
    struct schedule *schedule;
};

/* The members of a schedule document that fit into a query. */
static json_t *document_of_query(const struct http_request *req)
{
    static const char *const members[] = {"cron", "time_zone", "profile"};
    static const char *const dst_members[] = {"gap", "fold"};
    json_t *doc = json_object(), *dst = json_object();
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        jset_str(doc, members[i], http_query(req, members[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(dst_members); i++) {
        jset_str(dst, dst_members[i], http_query(req, dst_members[i]));
    }
    json_object_set_new(doc, "dst", dst);
    return doc;
}

static int read_query(const struct http_request *req, struct question *q, struct err *err)
{
    const char *cron = http_query(req, "cron");
    const char *from = http_query(req, "from");
    const char *count = http_query(req, "n");
    const char *hash_key = http_query(req, "hash_key");
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
    json_t *doc CLEANUP(json_decrefp) = document_of_query(req);
    q->schedule =
        schedule_parse(doc, hash_key != NULL && hash_key[0] != '\0' ? hash_key : NULL, err);
    return q->schedule != NULL ? 0 : -1;
}

static int read_body(const json_t *body, struct question *q, struct err *err)
{
    static const char *const keys[] = {"cron", "schedules", "interval_s", "time_zone", "profile",
        "dst", "include", "exclude", "hash_key", "from", "n", NULL};
    const char *hash_key = NULL;
    if (jread_only(body, "", keys, err) != 0 ||
        jread_time(body, "", "from", &q->from_us, err) != 0 ||
        jread_i64(body, "", "n", 1, MAX_COUNT, &q->count, err) != 0 ||
        jread_string(body, "", "hash_key", &hash_key, err) != 0) {
        return -1;
    }
    q->schedule =
        schedule_parse(body, hash_key != NULL && hash_key[0] != '\0' ? hash_key : NULL, err);
    return q->schedule != NULL ? 0 : -1;
}

static void answer(struct api_call *call, struct question *q)
{
    json_t *out = api_keep(call, schedule_preview(q->schedule, q->from_us, q->count));
    schedule_free(q->schedule);
    api_reply_json(call, 200, out);
}

static struct question question(void)
{
    return (struct question){.from_us = clock_now_us(), .count = DEFAULT_COUNT};
}

static void handle_query(struct api_call *call)
{
    struct err err = ERR_INIT;
    struct question q = question();
    if (read_query(&call->req, &q, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    answer(call, &q);
}

static void handle_document(struct api_call *call)
{
    struct err err = ERR_INIT;
    struct question q = question();
    json_t *body = api_body_json(call);
    if (body == NULL) {
        return; /* already answered */
    }
    if (read_body(body, &q, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    answer(call, &q);
}

const struct route routes_schedules[] = {
    {"GET", "/apis/rondo/v1/schedules:next", handle_query, ROUTE_TOKEN},
    {"POST", "/apis/rondo/v1/schedules:next", handle_document, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
