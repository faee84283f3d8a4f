/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `rondo lint` says of a pipeline that compiles: things that are allowed and will surprise.
 * All of it are warnings, made from the draft, which knows the places.
 */
#ifndef PIPELINE_WARN_H
#define PIPELINE_WARN_H

#include "pipeline/draft.h"

struct path;

/* Paths of a DAG's parts, chained: "root.dag.tasks". */
struct warn_place {
    struct path component[3], dag, tasks;
};
void warn_place_of(const struct draft_component *c, struct warn_place *out);

/* warn_use.c: parameters that nobody reads, outputs that nobody writes. */
void warn_of_use(struct draft *d);
/* warn_trigger.c: conditions and tasks that never run. */
void warn_of_triggers(struct draft *d);
/* True when the constant holds a reference, so that its value is not known yet. */
bool warn_is_open(const json_t *constant);

#endif
