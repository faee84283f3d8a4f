/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled schedules by what they are made of. */
#include "trigger/schedule_cache.h"

#include <assert.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "trigger/slots.h"

struct schedule_cache {
    struct map *by_key;
};

static void shared_free(void *value)
{
    struct shared_schedule *shared = value;
    schedule_free(shared->schedule);
    free(shared->key);
    free(shared);
}

struct schedule_cache *schedule_cache_new(void)
{
    struct schedule_cache *cache = xcalloc(1, sizeof(*cache));
    cache->by_key = map_new(shared_free);
    return cache;
}

void schedule_cache_free(struct schedule_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    assert(map_count(cache->by_key) == 0);
    map_free(cache->by_key);
    free(cache);
}

struct shared_schedule *schedule_cache_get(
    struct schedule_cache *cache, const json_t *doc, struct err *err)
{
    char *key = schedule_key(doc, slot_hash_key(doc));
    struct shared_schedule *shared = map_get(cache->by_key, key);
    if (shared != NULL) {
        free(key);
        shared->refs++;
        return shared;
    }
    struct schedule *schedule;
    if (slot_schedule(doc, &schedule, err) != 0) {
        free(key);
        return NULL;
    }
    shared = xcalloc(1, sizeof(*shared));
    *shared = (struct shared_schedule){
        .schedule = schedule,
        .cache = cache,
        .key = key,
        .refs = 1,
    };
    map_put(cache->by_key, key, shared);
    return shared;
}

void schedule_cache_put(struct shared_schedule *shared)
{
    if (shared == NULL) {
        return;
    }
    assert(shared->refs > 0);
    if (--shared->refs == 0) {
        shared_free(map_take(shared->cache->by_key, shared->key));
    }
}

size_t schedule_cache_count(const struct schedule_cache *cache)
{
    return map_count(cache->by_key);
}
