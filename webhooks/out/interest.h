/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who wants events of a type, kept for each type that comes: with thousands of subscriptions most
 * want few types, and globs need not be tried again and again.
 */
#ifndef WEBHOOKS_INTEREST_H
#define WEBHOOKS_INTEREST_H

#include <stddef.h>

struct map;

struct interest {
    size_t count;
    const char *ids[]; /* of subscriptions */
};

/* Of these subscriptions (id -> struct subscription), kept in `cache` until interest_forget(). */
const struct interest *interest_of(
    struct map *cache, const struct map *subscriptions, const char *type);
struct map *interest_new(void);
/* The subscriptions have changed. */
void interest_forget(struct map **cache);

#endif
