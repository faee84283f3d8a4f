/* SPDX-License-Identifier: Apache-2.0 */
/* Who ought to have which shard: pure. */
#ifndef SCHEDULER_LEASE_SHARES_H
#define SCHEDULER_LEASE_SHARES_H

#include <stddef.h>

/*
 * Rendezvous hashing with a ceiling: each shard goes to the member with the highest hash of
 * (member, shard) that has not got its fair share of ceil(shards / count) yet. Depends on nothing
 * but the ids, whatever their order; few shards move when a member comes or goes. out: for each
 * shard the place of its member in ids. count must not be 0.
 */
void shares_compute(const char *const *ids, size_t count, unsigned shards, size_t out[]);

#endif
