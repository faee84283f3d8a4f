/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pipeline's resourceTtl... settings say of a run that has ended: how long its workspace and
 * what its steps printed are kept. The save that ends the run writes down when that is over; the
 * run's record is the history's business.
 */
#ifndef SCHEDULER_RUN_EXPIRY_H
#define SCHEDULER_RUN_EXPIRY_H

#include <stdint.h>

struct engine;
struct expiry;
struct live;

/* Of a run that has ended: when; 0: its pipeline does not say. */
int64_t run_expires_us(const struct live *run);

struct expiry *expiry_new(struct engine *engine);
void expiry_free(struct expiry *e);
/* Look now (tests). */
void expiry_look(struct expiry *e);
/* The end of a run that expires then has been saved. */
void expiry_add(struct expiry *e, int64_t at_us);

#endif
