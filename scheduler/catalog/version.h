/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline versions, as pipeline.c needs them to create a pipeline with its first one. */
#ifndef SCHEDULER_CATALOG_VERSION_H
#define SCHEDULER_CATALOG_VERSION_H

#include "base/id.h"
#include "scheduler/catalog.h"

struct err;

/* A version about to be stored. */
struct version_draft {
    struct id id;
    const char *name; /* borrowed from the input */
    char *record;
    char *spec;
    char sha[65];
};

/* Check the input and write it down. Nothing to free on error. */
int version_draft(struct version_draft *draft, const struct version_input *in,
    const char *pipeline_id, int64_t now_us, struct err *err);
void version_draft_done(struct version_draft *draft);

#endif
