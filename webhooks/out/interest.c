/* SPDX-License-Identifier: Apache-2.0 */
/* Which subscriptions want which types. */
#include "webhooks/out/interest.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/subscription.h"

#define TYPES_MAX 256 /* more than there are: strangers in the stream are not kept for ever */

struct map *interest_new(void)
{
    return map_new(free);
}

void interest_forget(struct map **cache)
{
    if (map_count(*cache) > 0) {
        map_free(*cache);
        *cache = interest_new();
    }
}

/* A ping is for the one that it names, whatever that wants. */
static bool is_wanted(const struct subscription *s, const char *type)
{
    return strcmp(type, SUBSCRIPTION_PING) == 0 || subscription_wants_type(s, type);
}

const struct interest *interest_of(
    struct map *cache, const struct map *subscriptions, const char *type)
{
    struct interest *found = map_get(cache, type);
    if (found != NULL) {
        return found;
    }
    struct map_iter it = {0};
    const char *id;
    void *value;
    size_t count = 0, bytes = 0;
    while (map_next(subscriptions, &it, &id, &value)) {
        if (is_wanted(value, type)) {
            count++;
            bytes += strlen(id) + 1;
        }
    }
    found = xmalloc(sizeof *found + count * sizeof *found->ids + bytes);
    found->count = 0;
    char *text = (char *)&found->ids[count];
    it = (struct map_iter){0};
    while (map_next(subscriptions, &it, &id, &value)) {
        if (is_wanted(value, type)) {
            size_t len = strlen(id) + 1;
            found->ids[found->count++] = memcpy(text, id, len);
            text += len;
        }
    }
    if (map_count(cache) >= TYPES_MAX) {
        struct map_iter first = {0};
        map_next(cache, &first, &id, NULL);
        map_remove(cache, id);
    }
    map_put(cache, type, found);
    return found;
}
