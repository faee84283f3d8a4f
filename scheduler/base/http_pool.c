/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools of connections, one libcurl share handle each. libcurl looks for a connection to reuse
 * in the share of the handle and nowhere else, so the partition is libcurl's, not a comparison
 * of ours. Idle pools are closed after a while, and the ones used longest ago when there are
 * too many connections. (libcurl 7.88 does not tell of each socket that it closes, so they are
 * counted by the calls that were under way at once.)
 */
#include "http_pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/util.h"

#define IDLE_MS 30000
/* Ask for more than receivers commonly keep a connection, and requests die on the way. */
#define IDLE_CONNECTION_S 30L
#define POOLS_MAX 512       /* idle ones; each has some KiB of libcurl's tables */
#define CONNECTIONS_MAX 512 /* past it idle pools are closed; calls under way may need more */

struct http_pool {
    struct http_pools *pools;
    char *key;
    CURLSH *share;
    unsigned calls;
    unsigned most_calls;           /* at once so far: it never has more connections than that */
    int64_t idle_since_us;         /* monotonic */
    struct http_pool *prev, *next; /* of the idle ones, oldest first */
};

struct http_pools {
    struct map *by_key;
    struct http_pool *first, *last; /* idle */
    size_t idle_count;
    unsigned connections; /* at most: the sum of most_calls */
    struct timer timer;
};

static void idle_link(struct http_pool *pool)
{
    struct http_pools *pools = pool->pools;
    pool->prev = pools->last;
    *(pool->prev != NULL ? &pool->prev->next : &pools->first) = pool;
    pools->last = pool;
    pools->idle_count++;
}

static void idle_unlink(struct http_pool *pool)
{
    struct http_pools *pools = pool->pools;
    *(pool->prev != NULL ? &pool->prev->next : &pools->first) = pool->next;
    *(pool->next != NULL ? &pool->next->prev : &pools->last) = pool->prev;
    pool->prev = pool->next = NULL;
    pools->idle_count--;
}

/* Closes its connections. */
static void pool_close(struct http_pool *pool)
{
    assert(pool->calls == 0);
    idle_unlink(pool);
    map_take(pool->pools->by_key, pool->key);
    CURLSHcode code = curl_share_cleanup(pool->share);
    assert(code == CURLSHE_OK);
    (void)code;
    pool->pools->connections -= pool->most_calls;
    free(pool->key);
    free(pool);
}

static bool has_too_many(const struct http_pools *pools)
{
    return pools->idle_count > POOLS_MAX || pools->connections > CONNECTIONS_MAX;
}

/* Only here, because a pool may be given back from within one of libcurl's callbacks. */
static void on_timer(void *owner)
{
    struct http_pools *pools = owner;
    int64_t now_us = clock_mono_us();
    while (pools->first != NULL &&
           (has_too_many(pools) || now_us - pools->first->idle_since_us >= IDLE_MS * US_PER_MS)) {
        pool_close(pools->first);
    }
    if (pools->first != NULL) {
        int64_t idle_ms = (now_us - pools->first->idle_since_us) / US_PER_MS;
        timer_start_ms(&pools->timer, IDLE_MS - idle_ms);
    }
}

struct http_pools *http_pools_new(struct loop *loop)
{
    struct http_pools *pools = xcalloc(1, sizeof *pools);
    pools->by_key = map_new(NULL);
    timer_init(&pools->timer, loop, on_timer, pools);
    return pools;
}

void http_pools_free(struct http_pools *pools)
{
    while (pools->first != NULL) {
        pool_close(pools->first);
    }
    assert(map_count(pools->by_key) == 0);
    map_free(pools->by_key);
    timer_done(&pools->timer);
    free(pools);
}

struct http_pool *http_pool_take(struct http_pools *pools, const char *key)
{
    struct http_pool *pool = map_get(pools->by_key, key);
    if (pool == NULL) {
        pool = xcalloc(1, sizeof *pool);
        pool->pools = pools;
        pool->key = xstrdup(key);
        pool->share = curl_share_init();
        assert(pool->share != NULL);
        curl_share_setopt(pool->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
        map_put(pools->by_key, key, pool);
    } else if (pool->calls == 0) {
        idle_unlink(pool);
    }
    if (++pool->calls > pool->most_calls) {
        pool->most_calls = pool->calls;
        pools->connections++;
    }
    return pool;
}

void http_pool_give(struct http_pool *pool)
{
    if (pool == NULL || --pool->calls > 0) {
        return;
    }
    struct http_pools *pools = pool->pools;
    pool->idle_since_us = clock_mono_us();
    idle_link(pool);
    if (has_too_many(pools)) {
        timer_start_ms(&pools->timer, 0);
    } else if (!timer_is_armed(&pools->timer)) {
        timer_start_ms(&pools->timer, IDLE_MS);
    }
}

void http_pool_use(struct http_pool *pool, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SHARE, pool->share);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S);
}
