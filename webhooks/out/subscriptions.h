/* SPDX-License-Identifier: Apache-2.0 */
/* The records of subscriptions in Redis, and those in memory that follow them. */
#ifndef WEBHOOKS_SUBSCRIPTIONS_H
#define WEBHOOKS_SUBSCRIPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/store.h"

struct err;
struct request;
struct seal;
struct sender;
struct subscription;

/* What is stored, as a subscription; or NULL and err: ERR_NOT_FOUND for want of a key of `seal`. */
struct subscription *subscriptions_read(const struct seal *seal, const char *text, struct err *err);
/* Was it read from this text, or written as it? Then there is no need to read it again. */
bool subscriptions_is_same(const struct subscription *sub, const char *text);
/* It is not what the record says any more: what is read next counts. */
void subscriptions_differs(struct subscription *sub);
/*
 * Store it: as a new one when made_from is "", else in place of the record that it was made from.
 * The reply is subscriptions_rev afterwards, 0 when it has been deleted meanwhile; ERR_CONFLICT:
 * the record is another one by now; ERR_LIMIT: there are too many.
 */
struct store_call *subscriptions_write(struct sender *s, struct subscription *sub,
    const char *made_from, store_done_fn *done, void *owner);
/* What is remembered of a subscription beside its record goes on. before: NULL is fine. */
void subscriptions_carry_over(struct subscription *sub, const struct subscription *before);
/* It has been stored, which gave this rev: now it holds. Takes it. */
void subscriptions_take(struct sender *s, struct subscription *sub, int64_t rev);

/* The newest secret, this once. The private half of a key pair nobody else needs. */
void subscriptions_show_secret(json_t *row, const struct subscription *sub);

/* subscription_change.c: remove secrets that have expired, from memory and from the records; for
 * the sender's timer, which the second one sets. */
void subscriptions_expire(void *sender);
void subscriptions_await_expiry(struct sender *s);
/* subscription_change.c: nobody is to be called at this URL again. Holds at once, and the record
 * follows; not if somebody has given the subscription another URL meanwhile. */
void subscriptions_disable(struct sender *s, const char *id, const char *url, const char *why);

/* subscription_errors.c: this one's filter could not be evaluated. */
void subscriptions_filter_failed(struct sender *s, struct subscription *sub, const struct err *err);
/* subscription_errors.c: add the counts to r->rows, one or {"subscriptions": [...]}, and end. */
void subscriptions_show_errors(struct request *r);
/* subscription_errors.c: the filter is another one, or gone. */
void subscriptions_forget_errors(struct sender *s, const char *id);

#endif
