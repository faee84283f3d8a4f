/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled plans by the SHA-256 of their text, bounded by bytes, least recently used first to
 * go. Several who ask for the same plan at once share one load and one compilation.
 */
#ifndef SCHEDULER_CATALOG_PLAN_CACHE_H
#define SCHEDULER_CATALOG_PLAN_CACHE_H

#include <stddef.h>

#include "scheduler/catalog.h"

#define PLAN_CACHE_MAX_BYTES ((size_t)64 << 20)

struct loop;
struct plan_cache;
struct store;

struct plan_cache *plan_cache_new(struct loop *loop, struct store *store, size_t max_bytes);
/* Those who wait get no answer any more. */
void plan_cache_free(struct plan_cache *cache);
/* Answers from the loop; the plan is borrowed for the call. */
void plan_cache_get(struct plan_cache *cache, const char *sha, catalog_plan_fn *done, void *owner);
/* This owner gets no answer any more. Not to be called from within one. */
void plan_cache_cancel(struct plan_cache *cache, const void *owner);
size_t plan_cache_bytes(const struct plan_cache *cache);
size_t plan_cache_count(const struct plan_cache *cache);

#endif
