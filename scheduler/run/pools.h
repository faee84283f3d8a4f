/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of pools, as the engine's runs take and give them back. See include/scheduler/pools.h. */
#ifndef SCHEDULER_RUN_POOLS_H
#define SCHEDULER_RUN_POOLS_H

#include <stdbool.h>

struct engine;
struct live;
struct pools;

struct pools *pools_new(struct engine *engine);
void pools_free(struct pools *p);
/* The engine stops: what is under way ends, nothing is looked for any more. */
void pools_stop(struct pools *p);

/* Whether this run needs any slot at all. */
bool pools_limit(const struct live *run);
/* It has not begun: have it wait for its slots, then begin it (run_begin). Again: ask again. */
void pools_ask(struct live *run);
/* It is in progress: take its slots if it has none, however many are left. */
void pools_adopt(struct live *run);
/* Its end is saved. */
void pools_leave(struct live *run);
/* Soon compare those that have slots, or wait for them, with the runs that are live. */
void pools_compare_soon(struct pools *p);
/* Now (tests). */
void pools_compare(struct pools *p);

#endif
