/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts -> results: what came of them is written down, many at once. One script of a shard is
 * under way at a time; what ends meanwhile goes with the next, so that the more there is to do the
 * less each costs.
 */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "webhooks/out/post.h"
#include "webhooks_scripts.h"

#define AT_ONCE 64
#define RETRY_MS 500
#define ATTEMPTS_MAX 30 /* kept of a delivery */

static void send_results(void *owner);

/* True: there is something new to look for among what is due. */
static bool forget_saved(struct outbox *o)
{
    bool has_more = false;
    while (o->saving.first != NULL) {
        struct post *post = o->saving.first;
        has_more |= strcmp(post->outcome, "PENDING") == 0 || post->sequence != NULL;
        post_list_remove(&o->saving, post);
        post_free(post);
    }
    return has_more;
}

static void on_done(void *owner, redisReply *reply, const struct err *err)
{
    struct outbox *o = owner;
    o->done_call = NULL;
    FAULT("webhook.done.after");
    if (err != NULL && (err_is_transient(err) || err->code == ERR_FENCED)) {
        timer_start_ms(&o->done_retry, RETRY_MS);
        if (err->code == ERR_FENCED) {
            sender_fenced(o->sender, o->shard); /* and they may go with their shard */
        }
        return;
    }
    if (err != NULL) {
        LOG_ERROR("webhook results not recorded", "shard=%u error=%s", o->shard, LOG_Q(err->msg));
    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        o->waiting = reply_int(reply->element[0], 0);
        outbox_note_parked(o, reply->element[1]);
    }
    bool has_news = o->news_saving != NULL;
    json_decref(STEAL(o->news_saving));
    o->wants_claim |= forget_saved(o);
    if (has_news) {
        sender_write_disabled(o->sender);
        outbox_pump(o);
    }
    send_results(o);
    outbox_claim_next(o->sender);
}

static void add_result(struct store_args *args, const struct post *post)
{
    store_arg(args, post->delivery);
    store_arg(args, post->outcome);
    store_arg_i(args, post->next_us);
    store_arg_i(args, post->made + post->is_tried);
    store_arg_i(args, post->step);
    store_arg_i(args, post->status);
    store_arg(args, post->error);
    store_arg_i(args, post->duration_ms);
    store_arg(args, post->attempt != NULL ? post->attempt : "");
}

static void fill_saving(struct outbox *o)
{
    for (int i = 0; i < AT_ONCE && o->results.first != NULL; i++) {
        struct post *post = o->results.first;
        post_list_remove(&o->results, post);
        post->is_saving = true;
        post_list_add(&o->saving, post);
    }
    o->news_saving = STEAL(o->news);
}

static void send_results(void *owner)
{
    struct outbox *o = owner;
    const struct sender_settings *set = &o->sender->set;
    if (o->done_call != NULL) {
        return;
    }
    if (o->saving.first == NULL && o->news_saving == NULL) { /* else: again what failed */
        fill_saving(o);
    }
    if (o->saving.first == NULL && o->news_saving == NULL) {
        return;
    }
    int64_t now_us = clock_now_us();
    struct store_args *args = store_args_new();
    store_key(args, "%sdeliveries", o->prefix);
    store_arg(args, o->prefix);
    store_arg_i(args, store_shard_epoch(set->store, o->shard));
    store_arg_i(args, now_us);
    store_arg_i(args, set->log_max);
    store_arg_i(args, now_us - set->log_age_ms * US_PER_MS);
    store_arg_i(args, set->log_bytes / o->sender->outbox_count);
    store_arg_i(args, ATTEMPTS_MAX);
    store_arg_i(args, (int64_t)json_array_size(o->news_saving));
    for (size_t i = 0; i < json_array_size(o->news_saving); i++) {
        store_arg(args, json_string_value(json_array_get(o->news_saving, i)));
    }
    for (const struct post *post = o->saving.first; post != NULL; post = post->next) {
        add_result(args, post);
    }
    FAULT("webhook.done.before");
    o->done_call = store_eval(set->store, &script_deliveries_done, args, on_done, o);
}

void outbox_record(struct outbox *o, struct post *post)
{
    post_list_add(&o->results, post);
    if (o->done_call == NULL && !timer_is_armed(&o->done_retry)) {
        /* With what else ends in this turn. */
        timer_start_ms(&o->done_retry, 0);
    }
}

void outbox_add_news(struct outbox *o, const char *event)
{
    if (o->news == NULL) {
        o->news = json_array();
    }
    json_array_append_new(o->news, json_string(event));
}

void outbox_results_init(struct outbox *o)
{
    timer_init(&o->done_retry, o->sender->set.loop, send_results, o);
}
