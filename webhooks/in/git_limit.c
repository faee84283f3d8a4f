/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets of senders whose messages were not genuine: by trigger and peer, so that somebody
 * who guesses costs no more than a look-up, and the forge itself is never held up.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/in/git_hooks.h"

#define BURST 1000.0
#define PER_SECOND 50.0
#define BUCKETS_MAX 4096
#define KEY_MAX 160

struct bucket {
    double tokens;
    int64_t at_us;
};

struct git_limit {
    struct map *buckets;
};

struct git_limit *git_limit_new(void)
{
    struct git_limit *limit = xcalloc(1, sizeof *limit);
    limit->buckets = map_new(free);
    return limit;
}

void git_limit_free(struct git_limit *limit)
{
    if (limit != NULL) {
        map_free(limit->buckets);
        free(limit);
    }
}

static struct bucket *bucket_find(
    const struct git_limit *limit, const char *trigger, const char *peer, char key[KEY_MAX])
{
    snprintf(key, KEY_MAX, "%.40s %.100s", trigger, peer != NULL ? peer : "");
    struct bucket *bucket = map_get(limit->buckets, key);
    if (bucket != NULL) {
        int64_t now_us = clock_mono_us();
        bucket->tokens += (double)(now_us - bucket->at_us) * PER_SECOND / (double)US_PER_S;
        bucket->at_us = now_us;
        if (bucket->tokens > BURST) {
            bucket->tokens = BURST;
        }
    }
    return bucket;
}

bool git_limit_allows(struct git_limit *limit, const char *trigger, const char *peer)
{
    char key[KEY_MAX];
    const struct bucket *bucket = bucket_find(limit, trigger, peer, key);
    return bucket == NULL || bucket->tokens >= 1.0;
}

/* Room for another one: those that have been quiet for long enough to be full again go. */
static void sweep(struct git_limit *limit)
{
    struct map_iter it = {0};
    const char *key;
    void *value;
    int64_t now_us = clock_mono_us();
    while (map_next(limit->buckets, &it, &key, &value)) {
        const struct bucket *bucket = value;
        if ((double)(now_us - bucket->at_us) / (double)US_PER_S > BURST / PER_SECOND) {
            map_remove(limit->buckets, key);
        }
    }
    if (map_count(limit->buckets) >= BUCKETS_MAX) { /* as many peers at once: begin anew */
        map_free(limit->buckets);
        limit->buckets = map_new(free);
    }
}

void git_limit_refused(struct git_limit *limit, const char *trigger, const char *peer)
{
    char key[KEY_MAX];
    struct bucket *bucket = bucket_find(limit, trigger, peer, key);
    if (bucket == NULL) {
        if (map_count(limit->buckets) >= BUCKETS_MAX) {
            sweep(limit);
        }
        bucket = xcalloc(1, sizeof *bucket);
        *bucket = (struct bucket){.tokens = BURST, .at_us = clock_mono_us()};
        map_put(limit->buckets, key, bucket);
    }
    bucket->tokens -= bucket->tokens >= 1.0 ? 1.0 : 0.0;
}
