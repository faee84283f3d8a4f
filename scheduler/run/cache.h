/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What earlier tasks gave, kept for tasks that would do the same (kfp-semantics.md 9.2). The rules
 * are in contrib/docs/runs.md, the keys in storage.md. The cache may lose anything at any time:
 * a task then simply runs.
 */
#ifndef SCHEDULER_RUN_CACHE_H
#define SCHEDULER_RUN_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "base/secret.h"
#include "scheduler/plan.h"

struct engine;
struct err;
struct task;

/* Name of one record of the cache. */
struct cache_name {
    char text[SHA256_HEX_LEN + 1];
    unsigned shard;
};

/* How one task is looked for. */
struct cache_key {
    struct fingerprint print;
    struct cache_name result; /* what the last such task gave */
    struct cache_name parts;  /* what the last task of this component was made of */
};

/* ERR_INVALID: its settings cannot be resolved; it will fail for that when it runs. */
int cache_key_of(const struct task *task, struct cache_key *out, struct err *err);
void cache_key_done(struct cache_key *key);

/* ---- cache_record.c ---- */

/* Records to be written, grown as tasks are added. */
struct cache_writes {
    struct cache_write *first;
    size_t count;
};
/* Remember what the task gave, if it is one whose results are kept. */
void cache_writes_add(struct cache_writes *writes, const struct task *task);
/* Their tasks' success is saved: write them. Nobody waits for it. */
void cache_writes_send(struct cache_writes *writes, struct engine *engine);
void cache_writes_free(struct cache_writes *writes);

/* Whether a kept result serves this task; else *reason (malloc'd) says in a sentence why not. */
bool cache_result_serves(const struct task *task, const json_t *result, char **reason);

/* ---- cache_miss.c ---- */

/* Why nothing was found, from the parts of the last task of this component (NULL: none is known),
 * in one sentence. malloc'd. */
char *cache_explain_miss(const struct cache_key *key, const json_t *last);

#endif
