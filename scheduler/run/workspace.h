/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workspace of a run: one claim that its tasks share (kfp-semantics.md 12.3). Made before the
 * first task that needs it, deleted when the run has ended. That it may exist is written down
 * before it is made, so that a claim whose run ended without us is found again.
 */
#ifndef SCHEDULER_RUN_WORKSPACE_H
#define SCHEDULER_RUN_WORKSPACE_H

#include <stdbool.h>
#include <jansson.h>

#include "base/id.h"

struct engine;
struct err;
struct live;
struct task;
struct workspaces;

#define WORKSPACE_CLAIM_MAX (ID_LEN + 32)

/* "<run id>-kfp-workspace"; out has WORKSPACE_CLAIM_MAX bytes. */
const char *workspace_claim(const struct live *run, char *out);
/* Whether the task has to do with the workspace: one of its strings has the path, or one of its
 * artifacts lies there. */
bool task_needs_workspace(const struct task *task);
/* The claim itself. New reference. */
json_t *workspace_claim_new(const struct live *run);
bool workspace_is_ready(const struct live *run);

/* Embedded in whoever waits for it. */
typedef void workspace_fn(void *owner, const struct err *err);
struct workspace_wait {
    struct workspace *workspace; /* NULL: does not wait */
    workspace_fn *done;
    void *owner;
    struct workspace_wait *prev, *next;
};
/* Make it unless it is there; done comes later, once. */
void workspace_make(struct live *run, struct workspace_wait *wait, workspace_fn *done, void *owner);
void workspace_wait_cancel(struct workspace_wait *wait);
/* The run leaves memory. Nobody waits any more. */
void workspace_free(struct live *run);

/* A claim of this run with the labels by which it is known as ours. spec is taken. */
json_t *claim_new(const struct live *run, const char *task_id, const char *name, json_t *spec);

/* ---- those of runs that have ended ---- */

struct workspaces *workspaces_new(struct engine *engine);
void workspaces_free(struct workspaces *w);
/* The end of this run is saved: its workspace goes, if it has one. */
void workspaces_run_ended(struct workspaces *w, const struct live *run);
/* Look now for those whose run ended unseen (tests). */
void workspaces_look(struct workspaces *w);

#endif
