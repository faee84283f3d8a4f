/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run would do, without doing it: its tasks in order, with everything that is known before
 * the run. It is the engine's own code that resolves inputs and builds work orders; what programs
 * will give is stood in for by a text such as {{tasks.train.outputs.loss}}.
 */
#ifndef SCHEDULER_PREVIEW_H
#define SCHEDULER_PREVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "scheduler/executor.h"

struct artifact_store;
struct err;
struct plan;

struct preview_settings {
    const struct plan *plan;
    const char *run_id, *run_name; /* a UUID */
    const json_t *parameters;      /* as for a run; may be NULL */
    const json_t *artifacts_in;    /* of plan_bind_artifacts(); may be NULL */
    const char *pipeline_root, *service_account; /* or NULL */
    int64_t created_us;
    struct executor executor;      /* its pure calls are used only */
    struct artifact_store *artifacts;
    int64_t step_timeout_ms;
    const char *volume_storage_class; /* or NULL */
    size_t max_iterations;         /* of a loop; 0: all */
};

enum preview_kind {
    PREVIEW_POD,   /* order, container */
    PREVIEW_CLAIM, /* claim: a PersistentVolumeClaim */
    PREVIEW_NOTE,  /* nothing but notes: a group, a task of the engine, one that is not run */
};

struct preview_item {
    enum preview_kind kind;
    const char *path;   /* of the task; "" the run */
    const json_t *notes; /* texts: under which conditions, what is not known, ... */
    /* Something in it is not known before the run, or it stands for several: not to be applied. */
    bool is_open;
    struct attempt_name name;
    const json_t *order, *container, *claim;
};
/* -1 and err end the preview. */
typedef int preview_fn(void *owner, const struct preview_item *item, struct err *err);

/* ERR_INVALID: the parameters do not fit. Every item in topological order; borrowed. */
int preview_run(
    const struct preview_settings *settings, preview_fn *fn, void *owner, struct err *err);

/* Text for people: without the marks by which stand-ins are known. In place. */
void preview_unmark(char *text);

#endif
