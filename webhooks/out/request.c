/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of the API on subscriptions and deliveries, while they wait for Redis. */
#include "webhooks/out/request.h"

#include <stdlib.h>

#include "base/util.h"
#include "webhooks/out/subscription.h"

struct request *request_new(struct sender *s, webhook_json_fn *done, void *owner)
{
    struct request *r = xcalloc(1, sizeof *r);
    r->sender = s;
    r->done = done;
    r->owner = owner;
    r->next = s->requests;
    if (r->next != NULL) {
        r->next->prev = r;
    }
    s->requests = r;
    return r;
}

struct part *request_parts(struct request *r, unsigned count)
{
    free(r->parts);
    r->parts = xcalloc(count, sizeof *r->parts);
    r->part_count = count;
    for (unsigned i = 0; i < count; i++) {
        r->parts[i].request = r;
    }
    return r->parts;
}

void request_free(struct request *r)
{
    if (r->prev != NULL) {
        r->prev->next = r->next;
    } else {
        r->sender->requests = r->next;
    }
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
    for (unsigned i = 0; i < r->part_count; i++) {
        store_cancel(r->parts[i].call);
    }
    loop_defer_cancel(r->sender->set.loop, &r->answer);
    subscription_free(r->subscription);
    timer_done(&r->timer);
    json_decref(r->rows);
    json_decref(r->body);
    secret_text_free(r->stored);
    secret_text_free(r->secret);
    free(r->parts);
    free(r->id);
    free(r->request_id);
    free(r);
}

void request_end(struct request *r)
{
    bool is_bad = r->err.code != ERR_NONE;
    r->done(r->owner, is_bad ? NULL : r->rows, is_bad ? &r->err : NULL);
    request_free(r);
}

static void request_end_now(void *owner)
{
    request_end(owner);
}

void request_end_soon(struct request *r)
{
    loop_defer(r->sender->set.loop, &r->answer, request_end_now, r);
}

static void on_request_rev(void *owner, redisReply *reply, const struct err *err)
{
    struct part *part = owner;
    struct request *r = part->request;
    part->call = NULL;
    if (err != NULL) {
        err_copy(&r->err, err);
        request_end(r);
        return;
    }
    if (reply_int(reply, 0) == r->sender->rev) {
        r->go(r);
    } else {
        r->waits_for_subscriptions = true;
        sender_reload(r->sender);
    }
}

void request_begin(struct request *r, void (*go)(struct request *r))
{
    struct store *store = r->sender->set.store;
    struct part *part = request_parts(r, 1);
    r->go = go;
    part->call = store_cmd(
        store, on_request_rev, part, "GET %ssubscriptions_rev", store_catalog_prefix(store));
}

void sender_requests_fail(struct sender *s, const struct err *err)
{
    struct request *r = s->requests, *next;
    for (; r != NULL; r = next) {
        next = r->next;
        if (r->waits_for_subscriptions) {
            r->waits_for_subscriptions = false;
            err_set(&r->err, ERR_TRANSIENT, "subscriptions cannot be read: %s", err->msg);
            request_end_soon(r);
        }
    }
}

/* Whatever goes on may end requests, so each time from the front. */
void sender_requests_go(struct sender *s)
{
    struct request *r = s->requests;
    while (r != NULL) {
        if (!r->waits_for_subscriptions) {
            r = r->next;
            continue;
        }
        r->waits_for_subscriptions = false;
        r->go(r);
        r = s->requests;
    }
}
