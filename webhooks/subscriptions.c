/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions as the API sees them: made, shown, deleted. The records in Redis are the truth;
 * those in memory follow each successful write.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/request.h"
#include "webhooks/sender.h"
#include "webhooks_scripts.h"

#define SUBSCRIPTIONS_MAX 10000

static struct store_args *subscription_args(struct sender *s, const char *id, const char *text)
{
    const char *prefix = store_catalog_prefix(s->set.store);
    struct store_args *args = store_args_new();
    store_key(args, "%ssubscriptions", prefix);
    store_key(args, "%ssubscriptions_rev", prefix);
    store_arg(args, id);
    store_arg(args, text);
    return args;
}

static void on_created(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
    } else {
        r->rows = subscription_shown(r->subscription);
        jset_str(r->rows, "secret", r->subscription->secrets[0].text);
        struct subscription *sub = STEAL(r->subscription);
        LOG_INFO(
            "webhook subscription created", "subscription=%s url=%s", sub->id, LOG_Q(sub->url));
        map_put(r->sender->subscriptions, sub->id, sub);
    }
    request_end(r);
}

void subscription_create(struct sender *s, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    if (map_count(s->subscriptions) >= SUBSCRIPTIONS_MAX) {
        err_set(
            &r->err, ERR_LIMIT, "more than %d subscriptions; delete one first", SUBSCRIPTIONS_MAX);
    } else {
        r->subscription = subscription_from_body(body, s->egress, &r->err);
    }
    if (r->subscription == NULL) {
        request_end_soon(r);
        return;
    }
    json_t *record = subscription_record(r->subscription);
    char *text = jtext(record);
    struct part *part = request_parts(r, 1);
    part->call = store_eval(s->set.store, &script_subscription_put,
        subscription_args(s, r->subscription->id, text), on_created, part);
    explicit_bzero(text, strlen(text));
    free(text);
    json_decref(record);
}

static void get_go(struct request *r)
{
    const struct subscription *sub = map_get(r->sender->subscriptions, r->id);
    if (sub == NULL) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
    } else {
        r->rows = subscription_shown(sub);
    }
    request_end_soon(r);
}

void subscription_get(struct sender *s, const char *id, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(id);
    request_begin(r, get_go);
}

static int by_created(const void *a, const void *b)
{
    const struct subscription *x = *(const struct subscription *const *)a;
    const struct subscription *y = *(const struct subscription *const *)b;
    return x->created_us < y->created_us ? -1 : x->created_us > y->created_us;
}

static void all_go(struct request *r)
{
    struct sender *s = r->sender;
    size_t count = map_count(s->subscriptions), n = 0;
    const struct subscription **all = xcalloc(count + 1, sizeof *all);
    struct map_iter it = {0};
    void *value;
    while (map_next(s->subscriptions, &it, NULL, &value)) {
        all[n++] = value;
    }
    qsort(all, n, sizeof *all, by_created);
    r->rows = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(r->rows, subscription_shown(all[i]));
    }
    free(all);
    request_end_soon(r);
}

void subscription_all(struct sender *s, webhook_json_fn *done, void *owner)
{
    request_begin(request_new(s, done, owner), all_go);
}

static void drop_deliveries(struct sender *s, const char *id)
{
    for (unsigned i = 0; i < s->outbox_count; i++) {
        struct store_args *args = store_args_new();
        store_key(args, "%sdeliveries", s->outboxes[i].prefix);
        store_arg(args, s->outboxes[i].prefix);
        store_arg(args, id);
        store_eval(s->set.store, &script_deliveries_drop, args, NULL, NULL);
    }
}

static void on_deleted(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
    } else if (reply_int(reply, 0) == 0) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
    } else {
        LOG_INFO("webhook subscription deleted", "subscription=%s", r->id);
        map_remove(r->sender->subscriptions, r->id);
        drop_deliveries(r->sender, r->id);
        r->rows = json_object();
    }
    request_end(r);
}

void subscription_delete(struct sender *s, const char *id, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    struct part *part = request_parts(r, 1);
    r->id = xstrdup(id);
    part->call = store_eval(
        s->set.store, &script_subscription_put, subscription_args(s, id, ""), on_deleted, part);
}
