/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of compiled plans. Storing specs: spec.c, version.c, pipeline.c. */
#include "catalog/plan_cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/plan.h"

#define COMPLAINTS_MAX_BYTES 1500
/* The parsed documents of a plan live outside its pool; a JSON tree takes about this many times
 * the bytes of its text. */
#define TREE_FACTOR 4
#define BAD_SHA "bad"

struct plan_waiter {
    catalog_plan_fn *done;
    void *owner;
    struct plan_waiter *next;
};

/* A plan that is here, or on its way (call), or about to be handed out (deferred). */
struct plan_entry {
    struct plan_cache *cache;
    char sha[SHA256_HEX_LEN + 1];
    struct plan *plan; /* NULL while loading */
    size_t bytes;
    struct err err;
    struct store_call *call;
    struct deferred deferred;
    struct plan_waiter *waiters, **waiters_end;
    struct plan_entry *newer, *older; /* by last use; only those with a plan */
};

struct plan_cache {
    struct loop *loop;
    struct store *store;
    size_t max_bytes, bytes;
    struct map *entries; /* sha -> entry */
    struct plan_entry *newest, *oldest;
};

static void entry_unlink(struct plan_entry *e)
{
    struct plan_cache *cache = e->cache;
    *(e->newer != NULL ? &e->newer->older : &cache->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &cache->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void entry_link(struct plan_entry *e)
{
    struct plan_cache *cache = e->cache;
    e->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = e;
    cache->newest = e;
}

static void entry_free(void *value)
{
    struct plan_entry *e = value;
    store_cancel(e->call);
    loop_defer_cancel(e->cache->loop, &e->deferred);
    while (e->waiters != NULL) {
        struct plan_waiter *waiter = e->waiters;
        e->waiters = waiter->next;
        free(waiter);
    }
    if (e->plan != NULL) {
        plan_unref(e->plan);
    }
    free(e);
}

/* Make room, but never at the cost of an entry that somebody waits for. */
static void cache_trim(struct plan_cache *cache)
{
    struct plan_entry *e = cache->oldest;
    while (e != NULL && cache->bytes > cache->max_bytes) {
        struct plan_entry *newer = e->newer;
        if (e->waiters == NULL) {
            cache->bytes -= e->bytes;
            entry_unlink(e);
            map_remove(cache->entries, e->sha);
        }
        e = newer;
    }
}

/* Answer all who wait. They may ask again, for this plan too, while being answered; the entry
 * stays until the last of them is done. */
static void entry_answer(void *owner)
{
    struct plan_entry *e = owner;
    struct plan_cache *cache = e->cache;
    struct plan_waiter *waiter = e->waiters;
    e->waiters = NULL;
    e->waiters_end = &e->waiters;
    struct plan *plan = e->plan;
    struct err err = e->err;
    if (plan != NULL) {
        plan_ref(plan);
        cache_trim(cache);
    } else {
        map_remove(cache->entries, e->sha);
    }
    while (waiter != NULL) {
        struct plan_waiter *next = waiter->next;
        catalog_plan_fn *done = waiter->done;
        void *done_owner = waiter->owner;
        free(waiter);
        done(done_owner, plan, plan == NULL ? &err : NULL);
        waiter = next;
    }
    if (plan != NULL) {
        plan_unref(plan);
    }
}

static void entry_compile(struct plan_entry *e, const char *text, size_t len)
{
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile(text, len, &complaints);
    if (plan == NULL) {
        struct buf why;
        buf_init(&why, COMPLAINTS_MAX_BYTES);
        complaints_format(&complaints, 5, &why);
        err_set(
            &e->err, ERR_INTERNAL, "stored spec %s cannot be compiled: %s", e->sha, buf_str(&why));
        buf_done(&why);
    } else {
        e->plan = plan;
        e->bytes = sizeof(*e) + pool_used(plan->pool) + len * TREE_FACTOR;
        e->cache->bytes += e->bytes;
        entry_link(e);
    }
    complaints_done(&complaints);
}

static void entry_on_text(void *owner, redisReply *reply, const struct err *err)
{
    struct plan_entry *e = owner;
    e->call = NULL;
    if (err != NULL) {
        err_copy(&e->err, err);
    } else if (reply->str == NULL) {
        err_set(&e->err, ERR_NOT_FOUND, "there is no stored spec %s", e->sha);
    } else {
        entry_compile(e, reply->str, reply->len);
    }
    entry_answer(e);
}

struct plan_cache *plan_cache_new(struct loop *loop, struct store *store, size_t max_bytes)
{
    struct plan_cache *cache = xcalloc(1, sizeof(*cache));
    cache->loop = loop;
    cache->store = store;
    cache->max_bytes = max_bytes;
    cache->entries = map_new(entry_free);
    return cache;
}

void plan_cache_free(struct plan_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    map_free(cache->entries);
    free(cache);
}

static void entry_wait(struct plan_entry *e, catalog_plan_fn *done, void *owner)
{
    struct plan_waiter *waiter = xcalloc(1, sizeof(*waiter));
    waiter->done = done;
    waiter->owner = owner;
    *e->waiters_end = waiter;
    e->waiters_end = &waiter->next;
}

static struct plan_entry *entry_new(struct plan_cache *cache, const char *sha)
{
    struct plan_entry *e = xcalloc(1, sizeof(*e));
    e->cache = cache;
    e->waiters_end = &e->waiters;
    memcpy(e->sha, sha, strnlen(sha, SHA256_HEX_LEN)); /* zeroed: ends in NUL */
    map_put(cache->entries, e->sha, e);
    return e;
}

void plan_cache_get(struct plan_cache *cache, const char *sha, catalog_plan_fn *done, void *owner)
{
    unsigned char bytes[SHA256_LEN];
    bool is_sha =
        strlen(sha) == SHA256_HEX_LEN && hex_decode(sha, SHA256_HEX_LEN, bytes, sizeof(bytes)) == 0;
    if (!is_sha) {
        sha = BAD_SHA; /* one entry for all of them */
    }
    struct plan_entry *e = map_get(cache->entries, sha);
    if (e == NULL) {
        e = entry_new(cache, sha);
        if (!is_sha) {
            err_set(&e->err, ERR_NOT_FOUND,
                "there is no such stored spec: a spec is named by its SHA-256, 64 hex digits");
            loop_defer(cache->loop, &e->deferred, entry_answer, e);
        } else {
            e->call = store_cmd(cache->store, entry_on_text, e, "GET %sspec:%s",
                store_catalog_prefix(cache->store), e->sha);
        }
    } else if (e->plan != NULL) {
        entry_unlink(e);
        entry_link(e);
        if (!e->deferred.is_queued_) {
            loop_defer(cache->loop, &e->deferred, entry_answer, e);
        }
    }
    entry_wait(e, done, owner);
}

void plan_cache_cancel(struct plan_cache *cache, const void *owner)
{
    struct map_iter it = {0};
    const char *key;
    void *value;
    while (map_next(cache->entries, &it, &key, &value)) {
        struct plan_entry *e = value;
        struct plan_waiter **link = &e->waiters;
        while (*link != NULL) {
            struct plan_waiter *waiter = *link;
            if (waiter->owner == owner) {
                *link = waiter->next;
                free(waiter);
            } else {
                link = &waiter->next;
            }
        }
        e->waiters_end = link;
    }
}

size_t plan_cache_bytes(const struct plan_cache *cache)
{
    return cache->bytes;
}

size_t plan_cache_count(const struct plan_cache *cache)
{
    return map_count(cache->entries);
}
