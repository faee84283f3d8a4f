/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events that a subscription did not get because its filter could not be evaluated: counted in
 * Redis, for whichever daemon is asked. A count may be too high by those of a batch that is read
 * again after a failure, never too low as long as this daemon lives.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/request.h"
#include "webhooks/out/sender.h"
#include "webhooks/out/subscription.h"
#include "webhooks/out/subscriptions.h"
#include "webhooks_scripts.h"

#define OVERRUNS_MAX 10

static void errors_save(void *owner)
{
    struct sender *s = owner;
    const char *prefix = store_catalog_prefix(s->set.store);
    struct map_iter it = {0};
    void *value;
    while (map_next(s->subscriptions, &it, NULL, &value)) {
        struct subscription *sub = value;
        if (sub->filter_errors == 0) {
            continue;
        }
        struct store_args *args = store_args_new();
        store_key(args, "%ssubscriptions", prefix);
        store_key(args, "%ssubscription_errors", prefix);
        store_arg(args, sub->id);
        store_arg_i(args, sub->filter_errors);
        store_arg(args, sub->filter_error);
        store_arg_i(args, clock_now_us());
        store_eval(s->set.store, &script_subscription_failed, args, NULL, NULL);
        sub->filter_errors = 0;
    }
}

void subscriptions_filter_failed(struct sender *s, struct subscription *sub, const struct err *err)
{
    if (sub->filter_error == NULL) {
        LOG_WARN("webhook filter cannot be evaluated; the event is not delivered",
            "subscription=%s error=%s", sub->id, LOG_Q(err->msg));
    }
    free(sub->filter_error);
    sub->filter_error = xstrdup(err->msg);
    text_sanitise(sub->filter_error);
    sub->filter_errors++;
    s->counts.filter_errors++;
    loop_defer(s->set.loop, &s->save_errors, errors_save, s); /* once for many */
    if (err->code == ERR_LIMIT && ++sub->filter_overruns >= OVERRUNS_MAX) {
        /* Each holds up everything else for some milliseconds. */
        CLEANUP(cleanup_free) char *why = xasprintf("its filter took too much: %s", err->msg);
        sub->filter_overruns = 0;
        subscriptions_disable(s, sub->id, sub->url, why);
    }
}

/* Reply: HGETALL. */
static void add_errors(json_t *row, const redisReply *reply)
{
    const char *id = jget_str(row, "id", "");
    if (json_object_get(row, "filter") == NULL) {
        return;
    }
    CLEANUP(cleanup_free) char *count = xasprintf("%s:count", id);
    CLEANUP(cleanup_free) char *text = xasprintf("%s:text", id);
    CLEANUP(cleanup_free) char *at = xasprintf("%s:at_us", id);
    int64_t n = 0, at_us = 0;
    const char *count_text = reply_field(reply, count), *at_text = reply_field(reply, at);
    if (count_text == NULL || parse_i64(count_text, 0, INT64_MAX, "count", &n, NULL) != 0 ||
        at_text == NULL || parse_i64(at_text, 0, INT64_MAX, "at_us", &at_us, NULL) != 0) {
        n = 0;
    }
    json_object_set_new(row, "filter_errors", json_integer(n));
    if (n > 0) {
        jset_str(row, "filter_error", reply_field(reply, text));
        json_object_set_new(row, "filter_error_us", json_integer(at_us));
    }
}

static void on_errors(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
        request_end(r);
        return;
    }
    json_t *rows = json_object_get(r->rows, "subscriptions"), *row;
    size_t i;
    if (rows == NULL) {
        add_errors(r->rows, reply);
    }
    json_array_foreach(rows, i, row)
    {
        add_errors(row, reply);
    }
    request_end(r);
}

void subscriptions_show_errors(struct request *r)
{
    struct store *store = r->sender->set.store;
    struct part *part = request_parts(r, 1);
    part->call = store_cmd(
        store, on_errors, part, "HGETALL %ssubscription_errors", store_catalog_prefix(store));
}

void subscriptions_forget_errors(struct sender *s, const char *id)
{
    struct store *store = s->set.store;
    struct subscription *sub = map_get(s->subscriptions, id);
    if (sub != NULL) {
        sub->filter_errors = 0;
        sub->filter_overruns = 0;
        free(STEAL(sub->filter_error));
    }
    store_cmd(store, NULL, NULL, "HDEL %ssubscription_errors %s:count %s:text %s:at_us",
        store_catalog_prefix(store), id, id, id);
}
