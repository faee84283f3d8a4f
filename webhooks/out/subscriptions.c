/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions as the API sees them: made, shown, deleted. The records in Redis are the truth;
 * those in memory follow each successful write.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/channel.h"
#include "webhooks/out/request.h"
#include "webhooks/out/sender.h"
#include "webhooks/out/subscriptions.h"
#include "webhooks_scripts.h"

#define SUBSCRIPTIONS_MAX 10000

struct subscription *subscriptions_read(const struct seal *seal, const char *text, struct err *err)
{
    json_t *record = text != NULL ? json_loads(text, 0, NULL) : NULL;
    if (record == NULL) {
        err_set(err, ERR_INTERNAL, "the record is no JSON");
        return NULL;
    }
    bool is_current = subscription_seal_is_current(seal, record);
    struct subscription *sub =
        subscription_open(seal, record, err) == 0 ? subscription_from_record(record, err) : NULL;
    subscription_wipe(record);
    json_decref(record);
    if (sub != NULL) {
        sub->is_stale = sub->is_stale || !is_current;
        sha256(text, strlen(text), sub->stored_as);
    }
    return sub;
}

bool subscriptions_is_same(const struct subscription *sub, const char *text)
{
    unsigned char digest[SHA256_LEN];
    sha256(text, strlen(text), digest);
    return memcmp(digest, sub->stored_as, sizeof digest) == 0;
}

void subscriptions_differs(struct subscription *sub)
{
    memset(sub->stored_as, 0, sizeof sub->stored_as);
}

struct store_call *subscriptions_write(struct sender *s, struct subscription *sub,
    const char *made_from, store_done_fn *done, void *owner)
{
    const char *prefix = store_catalog_prefix(s->set.store);
    struct store_args *args = store_args_new();
    json_t *record = subscription_record(sub);
    subscription_seal(s->set.seal, record);
    char *text = jtext(record);
    store_key(args, "%ssubscriptions", prefix);
    store_key(args, "%ssubscriptions_rev", prefix);
    store_arg(args, sub->id);
    store_arg(args, text);
    store_arg(args, made_from);
    store_arg_i(args, s->set.max_subscriptions > 0 ? s->set.max_subscriptions : SUBSCRIPTIONS_MAX);
    sha256(text, strlen(text), sub->stored_as);
    secret_text_free(text);
    subscription_wipe(record);
    json_decref(record);
    FAULT("webhook.subscription.before");
    return store_eval(s->set.store, &script_subscription_put, args, done, owner);
}

void subscriptions_carry_over(struct subscription *sub, const struct subscription *before)
{
    if (before != NULL) {
        sub->filter_errors = before->filter_errors;
        sub->filter_overruns = before->filter_overruns;
        sub->filter_error = before->filter_error != NULL ? xstrdup(before->filter_error) : NULL;
    }
}

/* When nobody else has changed any there is no need to read them all anew. */
static void took_rev(struct sender *s, int64_t rev)
{
    if (s->load_call == NULL && rev == s->rev + 1) {
        s->rev = rev;
    }
}

void subscriptions_take(struct sender *s, struct subscription *sub, int64_t rev)
{
    const struct subscription *before = map_get(s->subscriptions, sub->id);
    subscriptions_carry_over(sub, before);
    map_put(s->subscriptions, sub->id, sub);
    channels_sync(s);
    took_rev(s, rev);
    subscriptions_await_expiry(s);
}

void subscriptions_show_secret(json_t *row, const struct subscription *sub)
{
    if (!sub->secrets[0].is_key_pair) {
        jset_str(row, "secret", sub->secrets[0].text);
    }
}

static void on_created(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    FAULT("webhook.subscription.after");
    if (err != NULL) {
        err_copy(&r->err, err);
    } else {
        r->rows = subscription_shown(r->subscription);
        subscriptions_show_secret(r->rows, r->subscription);
        struct subscription *sub = STEAL(r->subscription);
        LOG_INFO(
            "webhook subscription created", "subscription=%s host=%s", sub->id, LOG_Q(sub->host));
        subscriptions_take(r->sender, sub, reply_int(reply, 0));
    }
    request_end(r);
}

void subscription_create(struct sender *s, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->subscription = subscription_from_body(body, s->egress, &r->err);
    if (r->subscription == NULL) {
        request_end_soon(r);
        return;
    }
    struct part *part = request_parts(r, 1);
    part->call = subscriptions_write(s, r->subscription, "", on_created, part);
}

static json_t *with_health(const struct sender *s, const struct subscription *sub)
{
    json_t *out = subscription_shown(sub);
    json_object_set_new(out, "health", channel_health(s, sub->id));
    return out;
}

static void get_go(struct request *r)
{
    const struct subscription *sub = map_get(r->sender->subscriptions, r->id);
    if (sub == NULL) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
    } else {
        r->rows = with_health(r->sender, sub);
        subscriptions_show_errors(r);
        return;
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
    return x->created_us != y->created_us ? (x->created_us < y->created_us ? -1 : 1)
                                          : strcmp(x->id, y->id);
}

/* Is it behind the last one of the page before? A token is that one's "created_us.id". */
static bool is_behind(const struct subscription *sub, int64_t created_us, const char *id)
{
    return sub->created_us != created_us ? sub->created_us > created_us : strcmp(sub->id, id) > 0;
}

static int read_token(const char *token, int64_t *created_us, const char **id, struct err *err)
{
    const char *dot = strchr(token, '.');
    CLEANUP(cleanup_free)
    char *number = dot != NULL ? xstrndup(token, (size_t)(dot - token)) : NULL;
    if (number == NULL || !id_is_valid(dot + 1) ||
        parse_i64(number, 0, INT64_MAX, "page_token", created_us, NULL) != 0) {
        return err_set(err, ERR_INVALID,
            "page_token: not one that this list gave as next_page_token; begin without it");
    }
    *id = dot + 1;
    return 0;
}

static void all_go(struct request *r)
{
    struct sender *s = r->sender;
    size_t n = 0, i = 0;
    int64_t created_us = -1;
    const char *last_id = "";
    if (r->id[0] != '\0' && read_token(r->id, &created_us, &last_id, &r->err) != 0) {
        request_end_soon(r);
        return;
    }
    const struct subscription **all = xcalloc(map_count(s->subscriptions) + 1, sizeof *all);
    struct map_iter it = {0};
    void *value;
    while (map_next(s->subscriptions, &it, NULL, &value)) {
        if (is_behind(value, created_us, last_id)) {
            all[n++] = value;
        }
    }
    qsort(all, n, sizeof *all, by_created);
    json_t *rows = json_array();
    for (; i < n && i < r->max; i++) {
        json_array_append_new(rows, with_health(s, all[i]));
    }
    r->rows = json_pack(
        "{s:o,s:I}", "subscriptions", rows, "total_size", (json_int_t)map_count(s->subscriptions));
    if (i < n && i > 0) {
        json_object_set_new(r->rows, "next_page_token",
            json_sprintf("%lld.%s", (long long)all[i - 1]->created_us, all[i - 1]->id));
    }
    free(all);
    subscriptions_show_errors(r);
}

void subscription_all(
    struct sender *s, size_t max, const char *page_token, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(page_token);
    r->max = max;
    request_begin(r, all_go);
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
        took_rev(r->sender, reply_int(reply, 0));
        subscriptions_forget_errors(r->sender, r->id);
        channels_sync(r->sender);
        for (unsigned i = 0; i < r->sender->outbox_count; i++) {
            outbox_drop(&r->sender->outboxes[i], r->id);
        }
        r->rows = json_object();
    }
    request_end(r);
}

void subscription_delete(struct sender *s, const char *id, webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    struct part *part = request_parts(r, 1);
    r->id = xstrdup(id);
    const char *prefix = store_catalog_prefix(s->set.store);
    struct store_args *args = store_args_new();
    store_key(args, "%ssubscriptions", prefix);
    store_key(args, "%ssubscriptions_rev", prefix);
    store_arg(args, id);
    store_arg(args, "");
    part->call = store_eval(s->set.store, &script_subscription_put, args, on_deleted, part);
}
