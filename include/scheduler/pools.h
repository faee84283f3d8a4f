/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pools: how many runs may be in progress at once. Every run counts in `default`, whose slots are
 * the setting max-runs, and in the one pool that its doc may name. A run takes the slots of both by
 * one script or waits as PENDING; it gives them back when its end has been saved. The limit holds
 * over all daemons and their deaths. The rules are in contrib/docs/runs.md, the keys in storage.md.
 */
#ifndef SCHEDULER_POOLS_H
#define SCHEDULER_POOLS_H

#include <stdint.h>
#include <jansson.h>

struct engine;
struct err;
struct store;

#define POOL_SLOTS_MAX 1000000
#define POOL_PRIORITY_MAX 1000 /* and as far below 0 */
#define POOL_SHOWN_MAX 1000    /* holders, and waiting runs, that pool_get() gives */

/* Members of a run's or recurring run's doc that say what it asks for: "pool", "priority". */
extern const char *const pool_members[]; /* NULL-terminated */
/* ERR_INVALID names the one that is wrong and what is allowed. */
int pool_check_wish(const json_t *doc, struct err *err);

typedef void pool_json_fn(void *owner, const json_t *record, const struct err *err);

/* Make it, or change its slots, 0 to POOL_SLOTS_MAX; runs that hold more go on. done gets
 * {"name","slots"}. Then engine_pools_changed(). ERR_LIMIT: there are as many pools as may be. */
void pool_set(
    struct store *store, const char *name, int64_t slots, pool_json_fn *done, void *owner);
/* Runs that ask for it are limited by `default` alone from now on. Then engine_pools_changed(). */
void pool_delete(struct store *store, const char *name, pool_json_fn *done, void *owner);
/*
 * {"name","slots"?,"held","waiting","holders":[{"run_id","priority","since_us","recurring_run_id"?}],
 *  "queue":[{the same,"pool","place"}]}. No "slots": no limit. Those that wait for `default` stand
 * in the queues of the pools that they name; place counts in that queue, from 1.
 */
void pool_get(struct store *store, const char *name, pool_json_fn *done, void *owner);
/* [{"name","slots"?,"held","waiting"}], `default` first. */
void pool_list(struct store *store, pool_json_fn *done, void *owner);
/* {"pool","place"} of a run that waits, {} of another one. */
void pool_place(struct store *store, const char *run_id, pool_json_fn *done, void *owner);

/* There may be free slots that there were not before: see who is next. */
void engine_pools_changed(struct engine *engine);

#endif
