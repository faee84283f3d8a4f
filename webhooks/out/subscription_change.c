/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of a subscription that is there. Each is made from the record in Redis and stored only
 * in its place: when somebody got in between it is made anew from theirs, so that neither is
 * lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/request.h"
#include "webhooks/egress.h"
#include "webhooks/out/sender.h"
#include "webhooks/out/subscription.h"
#include "webhooks/out/subscriptions.h"

#define CONFLICTS_MAX 50 /* each means that another change got through */
#define OVERLAP_DEFAULT_S 86400
#define OVERLAP_MAX_S (INT64_C(30) * 86400)
#define REASON_MAX_BYTES 512

static void change_read(struct request *r);

/* "name,url": what the log tells of a change. Values may be secrets. */
static void name_changes(struct request *r, const json_t *now, const json_t *record)
{
    const char *key;
    json_t *value;
    struct buf out;
    buf_init(&out, sizeof r->changed - 1);
    for (int i = 0; i < 2; i++) { /* those that it has, then those that it had */
        json_object_foreach((json_t *)(i == 0 ? record : now), key, value)
        {
            const json_t *other = json_object_get(i == 0 ? now : record, key);
            if (i == 0 ? !json_equal(value, other) : other == NULL) {
                buf_addf(&out, "%s%s", out.len > 0 ? "," : "", key);
            }
        }
    }
    snprintf(r->changed, sizeof r->changed, "%s", buf_str(&out));
    buf_done(&out);
}

static void on_changed(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    FAULT("webhook.subscription.after");
    if (err != NULL && err->code == ERR_CONFLICT && ++r->conflicts < CONFLICTS_MAX) {
        subscription_free(STEAL(r->subscription));
        change_read(r);
        return;
    }
    if (err != NULL) {
        err_copy(&r->err, err);
    } else if (reply_int(reply, 0) == 0) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
    } else {
        struct subscription *sub = STEAL(r->subscription);
        r->rows = subscription_shown(sub);
        if (r->secret != NULL) {
            subscriptions_show_secret(r->rows, sub);
        }
        LOG_INFO("webhook subscription changed", "subscription=%s rev=%lld members=%s", sub->id,
            (long long)sub->rev, r->changed);
        subscriptions_take(r->sender, sub, reply_int(reply, 0));
        if (r->is_other_filter) {
            subscriptions_forget_errors(r->sender, r->id);
        }
    }
    request_end(r);
}

/* r->subscription as it is; r->err, or what it is to be and whether that is anything new. */
static bool change_make(struct request *r)
{
    CLEANUP(json_decrefp) json_t *now = subscription_record(r->subscription);
    CLEANUP(json_decrefp) json_t *record = json_deep_copy(now);
    if (r->change(r, record) != 0) {
        return false;
    }
    r->is_other_filter = !str_eq(jget_str(now, "filter", NULL), jget_str(record, "filter", NULL));
    name_changes(r, now, record);
    bool is_new = !json_equal(now, record) || r->subscription->is_stale;
    json_object_set_new(record, "rev", json_integer(r->subscription->rev + 1));
    struct subscription *sub = subscription_from_record(record, &r->err);
    if (sub == NULL) {
        return false;
    }
    bool is_other_url = strcmp(sub->url, r->subscription->url) != 0;
    bool is_other_events =
        !json_equal(json_object_get(now, "events"), json_object_get(record, "events"));
    if ((is_other_url && egress_check_url(r->sender->egress, sub->url, &r->err) != 0) ||
        (is_other_events && subscription_check_events(sub, &r->err) != 0)) {
        subscription_free(sub);
        return false;
    }
    if (is_new) {
        subscription_free(r->subscription);
        r->subscription = sub;
    } else {
        subscription_free(sub);
    }
    return is_new;
}

static void on_read(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
        request_end(r);
        return;
    }
    if (reply_str(reply) == NULL) {
        err_set(&r->err, ERR_NOT_FOUND, "subscription %.64s does not exist", r->id);
        request_end(r);
        return;
    }
    secret_text_free(r->stored);
    r->stored = xstrdup(reply_str(reply));
    r->subscription = subscriptions_read(r->sender->set.seal, r->stored, &r->err);
    bool is_new = r->subscription != NULL && change_make(r);
    if (r->err.code != ERR_NONE) {
        request_end(r);
    } else if (!is_new) {
        r->rows = subscription_shown(r->subscription);
        request_end(r);
    } else {
        part = request_parts(r, 1);
        part->call = subscriptions_write(r->sender, r->subscription, r->stored, on_changed, part);
    }
}

static void change_read(struct request *r)
{
    struct part *part = request_parts(r, 1);
    struct store *store = r->sender->set.store;
    part->call = store_cmd(
        store, on_read, part, "HGET %ssubscriptions %s", store_catalog_prefix(store), r->id);
}

static void change_start(struct sender *s, const char *id, const json_t *body,
    int (*change)(struct request *r, json_t *record), webhook_json_fn *done, void *owner)
{
    struct request *r = request_new(s, done, owner);
    r->id = xstrdup(id);
    r->body = body != NULL ? json_incref((json_t *)body) : json_object();
    r->change = change;
    change_read(r);
}

/* ---- patch ---- */

static int check_patch(const json_t *patch, struct err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)patch, key, value)
    {
        size_t i = 0;
        while (subscription_members[i] != NULL && strcmp(subscription_members[i], key) != 0) {
            i++;
        }
        if (strcmp(key, "secret") == 0 || strcmp(key, "scheme") == 0 ||
            strcmp(key, "secrets") == 0) {
            return err_set(err, ERR_INVALID,
                "%s: a secret is changed by POST subscriptions/{id}:rotate, which lets the old one "
                "sign for a while",
                key);
        }
        if (subscription_members[i] == NULL && strcmp(key, "rev") != 0) {
            return err_set(err, ERR_INVALID, "%.200s: no member that can be changed", key);
        }
    }
    return 0;
}

/* Headers one by one, as in JSON Merge Patch: their values are not shown, so nobody could send
 * those that stay. Case does not count in their names. */
static void patch_headers(json_t *headers, const json_t *patch)
{
    const char *name, *old;
    json_t *value, *unused;
    void *next;
    json_object_foreach((json_t *)patch, name, value)
    {
        json_object_foreach_safe(headers, next, old, unused)
        {
            if (strcasecmp(old, name) == 0) {
                json_object_del(headers, old);
            }
        }
        if (!json_is_null(value)) {
            json_object_set(headers, name, value);
        }
    }
}

/* "https://host:port" of it: as far as the bytes go that come before the path. */
static size_t origin_len(const char *url)
{
    const char *host = strstr(url, "://");
    return host != NULL ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : strlen(url);
}

static bool is_in_patch(const json_t *headers, const char *name)
{
    const char *given;
    json_t *value;
    json_object_foreach((json_t *)headers, given, value)
    {
        if (strcasecmp(given, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Nobody who may change a subscription learns the values of its headers by giving it his URL. */
static int check_headers_stay_home(const struct request *r, const json_t *record, struct err *err)
{
    const char *url = jget_str(record, "url", ""), *before = r->subscription->url;
    const json_t *patch = json_object_get(r->body, "headers");
    size_t len = origin_len(url);
    if (len == origin_len(before) && strncasecmp(url, before, len) == 0) {
        return 0;
    }
    for (size_t i = 0; !json_is_null(patch) && i < r->subscription->header_count; i++) {
        const char *name = r->subscription->headers[i].name;
        if (!is_in_patch(patch, name)) {
            return err_set(err, ERR_INVALID,
                "url: header '%s' was given for another host; give its value anew in \"headers\", "
                "or "
                "null to take it away",
                name);
        }
    }
    return 0;
}

static int change_patch(struct request *r, json_t *record)
{
    int64_t rev = r->subscription->rev;
    if (check_patch(r->body, &r->err) != 0 ||
        jread_i64(r->body, "", "rev", 0, INT64_MAX, &rev, &r->err) != 0) {
        return -1;
    }
    if (rev != r->subscription->rev) {
        return err_set(&r->err, ERR_CONFLICT,
            "rev: the subscription is at %lld, not %lld: somebody changed it; read it again",
            (long long)r->subscription->rev, (long long)rev);
    }
    const char *key;
    json_t *value;
    json_object_foreach(r->body, key, value)
    {
        if (strcmp(key, "rev") == 0) {
            continue; /* asked about, above */
        }
        if (strcmp(key, "headers") == 0 && json_is_object(value)) {
            patch_headers(json_object_get(record, "headers"), value);
        } else if (json_is_null(value)) {
            json_object_del(record, key);
        } else {
            json_object_set(record, key, value);
        }
    }
    if (check_headers_stay_home(r, record, &r->err) != 0) {
        return -1;
    }
    if (jget_bool(record, "enabled", true)) {
        json_object_del(record, "disabled_reason");
    }
    /* With all defaults written out, so that it can be compared with what is there. */
    struct subscription *sub = subscription_from_record(record, &r->err);
    if (sub == NULL) {
        return -1;
    }
    json_t *whole = subscription_record(sub);
    json_object_clear(record);
    json_object_update(record, whole);
    json_decref(whole);
    subscription_free(sub);
    return 0;
}

void subscription_patch(
    struct sender *s, const char *id, const json_t *body, webhook_json_fn *done, void *owner)
{
    change_start(s, id, body, change_patch, done, owner);
}

/* ---- rotate ---- */

/* Those before stay for the overlap, no longer than they would have. */
static json_t *old_secrets(const json_t *secrets, int64_t until_us)
{
    json_t *out = json_array(), *one;
    size_t i;
    json_array_foreach((json_t *)secrets, i, one)
    {
        int64_t expires_us = jget_i64(one, "expires_us", 0);
        json_t *old = json_deep_copy(one);
        if (expires_us == 0 || expires_us > until_us) {
            json_object_set_new(old, "expires_us", json_integer(until_us));
        }
        json_array_append_new(out, old);
    }
    return out;
}

static int change_secret(struct request *r, json_t *record)
{
    static const char *const known[] = {"secret", "scheme", "overlap_s", NULL};
    const struct subscription *now = r->subscription;
    const char *given = jget_str(r->body, "secret", NULL);
    int64_t overlap_s = OVERLAP_DEFAULT_S;
    if (jread_only(r->body, "", known, &r->err) != 0 ||
        jread_i64(r->body, "", "overlap_s", 0, OVERLAP_MAX_S, &overlap_s, &r->err) != 0) {
        return -1;
    }
    for (size_t i = 0; given != NULL && i < now->secret_count; i++) {
        const char *text = now->secrets[i].text;
        if (secret_eq(text, strlen(text), given, strlen(given))) {
            return err_set(&r->err, ERR_INVALID,
                "secret: the subscription has this one; give another, or none to have one made");
        }
    }
    if (overlap_s > 0 && now->secret_count >= SUBSCRIPTION_SECRETS_MAX) {
        return err_set(&r->err, ERR_PRECONDITION,
            "%d secrets sign already; wait until one has expired, or give overlap_s 0 to end all "
            "that were before",
            SUBSCRIPTION_SECRETS_MAX);
    }
    if (r->secret == NULL) {
        r->secret = subscription_new_secret(r->body, now->secrets[0].is_key_pair, &r->err);
        if (r->secret == NULL) {
            return -1;
        }
    }
    int64_t until_us = clock_now_us() + overlap_s * US_PER_S;
    json_t *secrets =
        overlap_s > 0 ? old_secrets(json_object_get(record, "secrets"), until_us) : json_array();
    json_array_insert_new(secrets, 0, json_pack("{s:s,s:i}", "secret", r->secret, "expires_us", 0));
    json_object_set_new(record, "secrets", secrets);
    return 0;
}

void subscription_rotate(
    struct sender *s, const char *id, const json_t *body, webhook_json_fn *done, void *owner)
{
    change_start(s, id, body, change_secret, done, owner);
}

/* ---- expired secrets ---- */

static int change_nothing(struct request *r, json_t *record)
{
    (void)r;
    (void)record;
    return 0;
}

static void on_dropped(void *owner, const json_t *record, const struct err *err)
{
    (void)owner;
    (void)record;
    if (err != NULL && err->code != ERR_NOT_FOUND) { /* whoever reads the record next tries again */
        LOG_WARN("expired webhook secret not removed", "error=%s", LOG_Q(err->msg));
    }
}

/* Each daemon that has them does: one writes, the others find that there is nothing to do. */
void subscriptions_expire(void *owner)
{
    struct sender *s = owner;
    int64_t now_us = clock_now_us();
    struct map_iter it = {0};
    const char *id;
    void *value;
    while (map_next(s->subscriptions, &it, &id, &value)) {
        if (subscription_drop_expired(value, now_us)) {
            subscriptions_differs(value);
            LOG_INFO("webhook secret expired", "subscription=%s", id);
            change_start(s, id, NULL, change_nothing, on_dropped, NULL);
        }
    }
    subscriptions_await_expiry(s);
}

void subscriptions_await_expiry(struct sender *s)
{
    int64_t first_us = INT64_MAX;
    struct map_iter it = {0};
    void *value;
    while (map_next(s->subscriptions, &it, NULL, &value)) {
        int64_t at_us = subscription_next_expiry(value);
        first_us = at_us < first_us ? at_us : first_us;
    }
    timer_stop(&s->expiry);
    if (first_us < INT64_MAX) {
        timer_start_at(&s->expiry, first_us);
    }
}

/* ---- enable, disable ---- */

static int change_enable(struct request *r, json_t *record)
{
    static const char *const known[] = {NULL};
    if (jread_only(r->body, "", known, &r->err) != 0) {
        return -1;
    }
    json_object_set_new(record, "enabled", json_true());
    json_object_del(record, "disabled_reason");
    return 0;
}

void subscription_enable(
    struct sender *s, const char *id, const json_t *body, webhook_json_fn *done, void *owner)
{
    change_start(s, id, body, change_enable, done, owner);
}

static int change_disable(struct request *r, json_t *record)
{
    static const char *const known[] = {"reason", NULL};
    const char *reason = NULL;
    if (jread_only(r->body, "", known, &r->err) != 0 ||
        jread_string(r->body, "", "reason", &reason, &r->err) != 0) {
        return -1;
    }
    if (reason != NULL && strlen(reason) > REASON_MAX_BYTES) {
        return err_set(&r->err, ERR_INVALID, "reason: longer than %d bytes", REASON_MAX_BYTES);
    }
    json_object_set_new(record, "enabled", json_false());
    json_object_del(record, "disabled_reason");
    jset_str(record, "disabled_reason", reason);
    return 0;
}

void subscription_disable(
    struct sender *s, const char *id, const json_t *body, webhook_json_fn *done, void *owner)
{
    change_start(s, id, body, change_disable, done, owner);
}

/* body: {"url": where the receiver said so, "reason"} */
static int change_disable_url(struct request *r, json_t *record)
{
    if (strcmp(jget_str(record, "url", ""), jget_str(r->body, "url", "")) == 0 &&
        jget_bool(record, "enabled", true)) {
        json_object_set_new(record, "enabled", json_false());
        jset_str(record, "disabled_reason", jget_str(r->body, "reason", ""));
    }
    return 0;
}

static void on_disabled(void *owner, const json_t *record, const struct err *err)
{
    struct sender *s = owner;
    (void)record;
    if (err != NULL) { /* the next answer of this kind tries again */
        LOG_WARN("webhook subscription not disabled", "error=%s", LOG_Q(err->msg));
        sender_reload(s); /* as it is in Redis, or it would be sent to by nobody */
    }
}

void subscriptions_disable(struct sender *s, const char *id, const char *url, const char *why)
{
    struct subscription *sub = map_get(s->subscriptions, id);
    if (sub == NULL || !sub->is_enabled || strcmp(sub->url, url) != 0) {
        return;
    }
    LOG_WARN("webhook subscription disabled", "subscription=%s reason=%s", id, LOG_Q(why));
    sub->is_enabled = false;
    subscriptions_differs(sub);
    free(sub->disabled_reason);
    sub->disabled_reason = xstrdup(why);
    CLEANUP(json_decrefp) json_t *body = json_pack("{s:s,s:s}", "url", url, "reason", why);
    change_start(s, id, body, change_disable_url, on_disabled, s);
}
