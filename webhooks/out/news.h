/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events about the deliveries themselves. They are written by the script that records the result
 * that brought them about, and go to the other subscriptions only.
 */
#ifndef WEBHOOKS_NEWS_H
#define WEBHOOKS_NEWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct outbox;
struct post;
struct subscription;

/* delivery.exhausted: it was given up. Not about deliveries of such news, or they would never end.
 */
void news_exhausted(const struct post *post);
/* subscription.disabled: rondo itself did it. */
void news_disabled(struct outbox *outbox, const struct subscription *sub, const char *why);
/* subscription.recovered: its circuit breaker, open since then, is closed. */
void news_recovered(struct outbox *outbox, const struct subscription *sub, int64_t since_us);
/* May this subscription get the event? Not if it is about itself. */
bool news_concerns_other(const struct subscription *sub, const json_t *event);

#endif
