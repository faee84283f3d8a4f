/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled schedules, shared by all loaded recurring runs that have the same document
 * members, reference counted: a thousand recurring runs of "@daily" are one schedule.
 */
#ifndef SCHEDULER_TRIGGER_SCHEDULE_CACHE_H
#define SCHEDULER_TRIGGER_SCHEDULE_CACHE_H

#include <stddef.h>
#include <jansson.h>

#include "scheduler/schedule.h"

struct err;
struct schedule_cache;

struct shared_schedule {
    struct schedule *schedule; /* NULL: fires once */
    struct schedule_cache *cache;
    char *key;
    size_t refs;
};

struct schedule_cache *schedule_cache_new(void);
/* All must have been given back. */
void schedule_cache_free(struct schedule_cache *cache);
/* For the members of doc that schedule_parse() reads. NULL and err when it cannot be read. */
struct shared_schedule *schedule_cache_get(
    struct schedule_cache *cache, const json_t *doc, struct err *err);
/* NULL is fine. */
void schedule_cache_put(struct shared_schedule *shared);
size_t schedule_cache_count(const struct schedule_cache *cache);

#endif
