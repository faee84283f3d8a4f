/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of an index that is spread over all shards: each has a sorted set of ids by instant
 * ("runs", "rrs"), and a page is the next few of all of them in one order. Each shard is asked
 * for a few ids, and for more only if its part of the page may not be complete.
 */
#ifndef BASE_INDEX_H
#define BASE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

struct err;
struct store;

struct index_query {
    const char *set;      /* key after the shard's prefix; copied */
    bool is_desc;         /* newest first; equal instants in the order of ids, likewise */
    const char *start_id; /* the page begins with this one or what follows it; NULL: at the end */
    int64_t start_us;     /* its instant */
    size_t need;          /* at most so many */
    bool without_total;   /* the caller does not look at the total */
};

struct index_item {
    char id[ID_LEN + 1];
    int64_t at_us;
};

/* items are borrowed; total is the size of the whole index. */
typedef void index_done_fn(void *owner, const struct index_item *items, size_t count, int64_t total,
    const struct err *err);
void index_page(
    struct store *store, const struct index_query *query, index_done_fn *done, void *owner);

#endif
