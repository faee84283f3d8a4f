/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/shares.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/util.h"

static uint64_t weight(const char *id, unsigned shard)
{
    CLEANUP(cleanup_free) char *text = xasprintf("%s/%u", id, shard);
    unsigned char digest[SHA256_LEN];
    sha256(text, strlen(text), digest);
    uint64_t value;
    memcpy(&value, digest, sizeof(value));
    return value;
}

void shares_compute(const char *const *ids, size_t count, unsigned shards, size_t out[])
{
    assert(count > 0);
    size_t most = (shards + count - 1) / count;
    size_t *has CLEANUP(cleanup_free) = xcalloc(count, sizeof(*has));
    for (unsigned shard = 0; shard < shards; shard++) {
        size_t best = count;
        uint64_t best_weight = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t w = has[i] < most ? weight(ids[i], shard) : 0;
            if (has[i] < most && (best == count || w > best_weight)) {
                best = i;
                best_weight = w;
            }
        }
        out[shard] = best;
        has[best]++;
    }
}
