/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ping: an event for one subscription alone that goes the way of all events, so that what comes
 * of it tells what will come of them. The one who asked waits for the first attempt.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/channel.h"
#include "webhooks/out/request.h"
#include "webhooks/out/sender.h"
#include "webhooks/out/subscription.h"
#include "webhooks_scripts.h"

#define POLL_MIN_MS 10
#define POLL_MAX_MS 250
#define WAIT_MAX_MS (25 * 1000) /* less than the API's own patience with a connection */
#define WAIT_SLACK_MS 1000
#define ID_TRIES 10000 /* of ids until one is of a shard that is ours */

static void ping_poll(void *owner);

static void on_state(void *owner, redisReply *reply, const struct err *err)
{
    static const char *const members[] = {"status", "attempts", "duration_ms"};
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    const char *state = err == NULL && reply->elements == 5 ? reply_str(reply->element[0]) : NULL;
    bool is_tried = state != NULL && reply_int(reply->element[2], 0) > 0;
    bool is_refused = state != NULL && strcmp(state, "FAILED") == 0; /* by the egress rules, say */
    if (!is_tried && !is_refused && clock_mono_us() < r->deadline_us) {
        timer_start_ms(&r->timer, r->poll_ms);
        r->poll_ms = r->poll_ms * 2 < POLL_MAX_MS ? r->poll_ms * 2 : POLL_MAX_MS;
        return;
    }
    if (!is_tried && !is_refused) { /* perhaps that says why */
        json_object_set_new(r->rows, "health", channel_health(r->sender, r->id));
    }
    if (state != NULL) {
        jset_str(r->rows, "state", state);
        jset_str(r->rows, "error", reply_str(reply->element[4]));
        for (size_t i = 0; i < ARRAY_LEN(members); i++) {
            json_object_set_new(
                r->rows, members[i], json_integer(reply_int(reply->element[i + 1], 0)));
        }
    }
    request_end(r);
}

static void ping_poll(void *owner)
{
    struct request *r = owner;
    struct sender *s = r->sender;
    struct part *part = request_parts(r, 1);
    part->call = store_cmd(s->set.store, on_state, part,
        "HMGET %sdelivery:%s state status attempts duration_ms error", s->outboxes[r->shard].prefix,
        jget_str(r->rows, "delivery_id", ""));
}

static void on_added(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    FAULT("webhook.ping.after");
    if (err != NULL) {
        err_copy(&r->err, err);
        request_end(r);
        return;
    }
    struct channel *channel = channel_of(r->sender, r->id);
    if (channel != NULL) { /* somebody wants to know now whether it works again */
        breaker_hurry(&channel->endpoint.breaker, clock_now_us());
        channel_update(channel);
    }
    sender_wake(r->sender, r->shard);
    if (clock_mono_us() < r->deadline_us) {
        timer_start_ms(&r->timer, r->poll_ms);
    } else {
        request_end(r);
    }
}

/* The id says which shard it is: one whose events we turn into deliveries. */
static int make_id(const struct sender *s, struct id *out, unsigned *shard)
{
    for (int i = 0; i < ID_TRIES; i++) {
        id_new(out);
        *shard = id_shard(out->text, s->outbox_count);
        if (s->outboxes[*shard].is_ours && !s->outboxes[*shard].is_held) {
            return 0;
        }
    }
    return -1;
}

static void ping_go(struct request *r)
{
    struct sender *s = r->sender;
    const struct subscription *sub = map_get(s->subscriptions, r->id);
    struct id event_id, delivery;
    if (sub == NULL) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
    } else if (!sub->is_enabled) {
        err_set(&r->err, ERR_PRECONDITION, "the subscription is disabled (%s); enable it first",
            sub->disabled_reason != NULL ? sub->disabled_reason : "no reason was given");
    } else if (make_id(s, &event_id, &r->shard) != 0) {
        err_set(&r->err, ERR_TRANSIENT,
            "this daemon carries no shard on at the moment; ask another, or again");
    }
    if (r->err.code != ERR_NONE) {
        request_end_soon(r);
        return;
    }
    int64_t timeout_ms = sub->timeout_ms > 0 ? sub->timeout_ms : s->set.timeout_ms;
    int64_t wait_ms = r->wait_ms >= 0 ? r->wait_ms : timeout_ms + WAIT_SLACK_MS;
    r->deadline_us = clock_mono_us() + (wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS) * US_PER_MS;
    r->poll_ms = POLL_MIN_MS;
    timer_init(&r->timer, s->set.loop, ping_poll, r);
    id_derive(&delivery, event_id.text, sub->id);
    r->rows = json_pack("{s:s,s:s,s:s,s:i,s:s}", "event_id", event_id.text, "delivery_id",
        delivery.text, "state", "PENDING", "attempts", 0, "subscription_id", sub->id);
    CLEANUP(json_decrefp)
    json_t *event = json_pack("{s:s,s:s,s:I,s:s,s:{s:s,s:s}}", "id", event_id.text, "type",
        SUBSCRIPTION_PING, "time_us", (json_int_t)clock_now_us(), "to", sub->id, "data",
        "subscription_id", sub->id, "subscription_name", sub->name);
    CLEANUP(cleanup_free) char *text = jtext(event);
    const char *prefix = s->outboxes[r->shard].prefix;
    struct store_args *args = store_args_new();
    store_key(args, "%sevents", prefix);
    store_arg(args, prefix);
    store_arg_i(args, store_shard_epoch(s->set.store, r->shard));
    store_arg(args, text);
    FAULT("webhook.ping.before");
    struct part *part = request_parts(r, 1);
    part->call = store_eval(s->set.store, &script_event_add, args, on_added, part);
}

void subscription_ping(
    struct sender *s, const char *id, int64_t wait_ms, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(id);
    r->wait_ms = wait_ms;
    request_begin(r, ping_go);
}
