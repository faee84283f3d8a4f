/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending deliveries again because somebody wants it: the same message under the same id. They go
 * the way of all deliveries, so a receiver gets no more at once than it does otherwise. A request
 * has a name; asking again under the same name sends nothing twice.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/channel.h"
#include "webhooks/out/request.h"
#include "webhooks_scripts.h"

#define REQUEST_ID_MAX 128
#define LOOK_AT_ONCE 200
#define REDELIVER_MAX 10000 /* by one request */
#define SINGLE_PER_SECOND 20
#define SINGLE_BURST 200

static void hurry(struct sender *s, unsigned shard, const char *subscription)
{
    struct channel *c = map_get(s->channels, subscription);
    if (c != NULL) {
        breaker_hurry(&c->endpoint.breaker, clock_now_us());
        channel_update(c);
    }
    if (s->outboxes[shard].is_ours) {
        outbox_claim(&s->outboxes[shard]);
    }
}

/* "request_id" of the body, or one of our own. */
static int read_request_id(struct request *r, const json_t *body)
{
    const char *name = NULL;
    if (jread_string(body, "", "request_id", &name, &r->err) != 0) {
        return -1;
    }
    if (name != NULL && strlen(name) > REQUEST_ID_MAX) {
        return err_set(&r->err, ERR_INVALID, "request_id: longer than %d bytes", REQUEST_ID_MAX);
    }
    struct id id;
    id_new(&id);
    r->request_id = xstrdup(name != NULL && name[0] != '\0' ? name : id.text);
    return 0;
}

/* ---- one ---- */

static void on_redelivered(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    FAULT("webhook.redeliver.after");
    if (err != NULL) {
        err_copy(&r->err, err);
    } else {
        int64_t count = reply_int(reply->element[0], 0);
        r->sender->counts.redelivered += count;
        hurry(r->sender, r->shard, reply_str(reply->element[1]));
        r->rows = json_pack(
            "{s:s,s:s,s:b}", "id", r->id, "request_id", r->request_id, "redelivered", count > 0);
        LOG_INFO("webhook delivery is sent again", "delivery=%s request=%s", r->id,
            LOG_Q(r->request_id));
    }
    request_end(r);
}

static bool take_token(struct sender *s)
{
    int64_t now_us = clock_mono_us(), cost_us = US_PER_S / SINGLE_PER_SECOND;
    int64_t since_us = now_us - SINGLE_BURST * cost_us;
    s->redeliver_us = s->redeliver_us < since_us ? since_us : s->redeliver_us;
    if (s->redeliver_us + cost_us > now_us) {
        return false;
    }
    s->redeliver_us += cost_us;
    return true;
}

void delivery_redeliver(
    struct sender *s, const char *id, const json_t *body, webhook_json_fn *done, void *owner)
{
    static const char *const known[] = {"request_id", NULL};
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(id);
    if (!id_is_valid(id)) {
        err_set(&r->err, ERR_NOT_FOUND, "delivery %.64s does not exist", id);
    } else if (jread_only(body, "", known, &r->err) == 0 && read_request_id(r, body) == 0 &&
               !take_token(s)) {
        err_set(&r->err, ERR_LIMIT,
            "more than %d of these in a second; POST subscriptions/{id}:redeliver takes many",
            SINGLE_PER_SECOND);
    }
    if (r->err.code != ERR_NONE) {
        request_end_soon(r);
        return;
    }
    r->shard = id_shard(id, s->outbox_count);
    const char *prefix = s->outboxes[r->shard].prefix;
    struct store_args *args = store_args_new();
    store_key(args, "%sdeliveries", prefix);
    store_arg(args, prefix);
    store_arg_i(args, clock_now_us());
    store_arg(args, r->request_id);
    store_arg(args, id);
    struct part *part = request_parts(r, 1);
    FAULT("webhook.redeliver.before");
    part->call = store_eval(s->set.store, &script_delivery_redeliver, args, on_redelivered, part);
}

/* ---- many ---- */

static void range_next(struct request *r);

static void on_range(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
        request_end(r);
        return;
    }
    const char *next = reply_str(reply->element[0]);
    int64_t count = reply_int(reply->element[1], 0);
    r->count += count;
    r->sender->counts.redelivered += count;
    if (count > 0) {
        hurry(r->sender, r->shard, r->id);
    }
    free(STEAL(r->stored));
    if (next != NULL && next[0] != '\0') {
        r->stored = xasprintf("(%s", next);
    } else {
        r->shard++;
    }
    range_next(r);
}

static void range_next(struct request *r)
{
    struct sender *s = r->sender;
    bool is_full = r->count >= REDELIVER_MAX;
    if (r->shard == s->outbox_count || is_full) {
        LOG_INFO("webhook deliveries are sent again", "subscription=%s count=%lld request=%s",
            r->id, (long long)r->count, LOG_Q(r->request_id));
        r->rows = json_pack("{s:s,s:s,s:I,s:b}", "subscription_id", r->id, "request_id",
            r->request_id, "redelivered", (json_int_t)r->count, "more", is_full);
        request_end_soon(r);
        return;
    }
    const char *prefix = s->outboxes[r->shard].prefix;
    int64_t until_us = jget_i64(r->body, "until_us", INT64_MAX);
    struct store_args *args = store_args_new();
    store_key(args, "%sdeliveries", prefix);
    store_arg(args, prefix);
    store_arg_i(args, clock_now_us());
    store_arg(args, r->request_id);
    store_arg(args, r->id);
    store_arg(args, jget_str(r->body, "state", "FAILED"));
    if (r->stored != NULL) {
        store_arg(args, r->stored);
    } else {
        store_arg_i(args, jget_i64(r->body, "since_us", 0));
    }
    store_arg_i(args, until_us);
    store_arg_i(args, LOOK_AT_ONCE);
    struct part *part = request_parts(r, 1);
    part->call = store_eval(s->set.store, &script_deliveries_redeliver, args, on_range, part);
}

static void range_go(struct request *r)
{
    struct sender *s = r->sender;
    if (!map_has(s->subscriptions, r->id)) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
    }
    for (const struct request *other = s->requests; other != NULL; other = other->next) {
        if (other != r && other->is_range && strcmp(other->id, r->id) == 0) {
            err_set(&r->err, ERR_PRECONDITION,
                "such a request for this subscription is under way; wait for its answer");
        }
    }
    if (r->err.code != ERR_NONE) {
        request_end_soon(r);
        return;
    }
    r->is_range = true;
    range_next(r);
}

static int read_instant(const json_t *body, const char *name, int64_t *us_out, struct err *err)
{
    const char *text = NULL;
    if (jread_string(body, "", name, &text, err) != 0) {
        return -1;
    }
    return text == NULL ? 0 : clock_parse_or_ago(text, name, clock_now_us(), us_out, err);
}

static int read_range(struct request *r, const json_t *body)
{
    static const char *const known[] = {"request_id", "state", "since", "until", NULL};
    const char *state = NULL;
    int64_t since_us = 0, until_us = INT64_MAX;
    if (jread_only(body, "", known, &r->err) != 0 || read_request_id(r, body) != 0 ||
        jread_string(body, "", "state", &state, &r->err) != 0 ||
        read_instant(body, "since", &since_us, &r->err) != 0 ||
        read_instant(body, "until", &until_us, &r->err) != 0) {
        return -1;
    }
    state = state != NULL ? state : "FAILED";
    bool is_any = strcmp(state, "ANY") == 0;
    if (!is_any && strcmp(state, "FAILED") != 0 && strcmp(state, "DELIVERED") != 0) {
        return err_set(&r->err, ERR_INVALID,
            "state: '%.40s' is none of FAILED (the default), DELIVERED, ANY", state);
    }
    r->body = json_pack("{s:s,s:I,s:I}", "state", is_any ? "" : state, "since_us",
        (json_int_t)since_us, "until_us", (json_int_t)until_us);
    return 0;
}

void subscription_redeliver(
    struct sender *s, const char *id, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(id);
    if (read_range(r, body) != 0) {
        request_end_soon(r);
        return;
    }
    request_begin(r, range_go);
}
