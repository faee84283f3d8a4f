/* SPDX-License-Identifier: Apache-2.0 */
/* The records of subscriptions in Redis, and those in memory that follow them. */
#ifndef WEBHOOKS_SUBSCRIPTIONS_H
#define WEBHOOKS_SUBSCRIPTIONS_H

#include <stdint.h>

#include "base/store.h"

struct err;
struct sender;
struct subscription;

/* What is stored, as a subscription; or NULL and err. */
struct subscription *subscriptions_read(const char *text, struct err *err);
/*
 * Store it: as a new one when made_from is "", else in place of the record that it was made from.
 * The reply is subscriptions_rev afterwards, 0 when it has been deleted meanwhile; ERR_CONFLICT:
 * the record is another one by now; ERR_LIMIT: there are too many.
 */
struct store_call *subscriptions_write(struct sender *s, const struct subscription *sub,
    const char *made_from, store_done_fn *done, void *owner);
/* It has been stored, which gave this rev: now it holds. Takes it. */
void subscriptions_take(struct sender *s, struct subscription *sub, int64_t rev);

/* subscription_change.c: nobody is to be called at this URL again. Holds at once, and the record
 * follows; not if somebody has given the subscription another URL meanwhile. */
void subscriptions_disable(struct sender *s, const char *id, const char *url, const char *why);

#endif
