/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run in memory, as the engine steps it: the run, and its tree of task instances. Only the
 * engine's files include this.
 *
 *   live.c      making, finding and freeing instances; state changes
 *   step.c      what to do next: dependencies, DAG ends, the run's end (no I/O)
 *   iterate.c   loops: their items, starting iterations, collecting what came out
 *   trigger_rule.c  conditions, strategies, final status: may a task run?
 *   attempt.c   attempts of container tasks: work order, result, lost ones
 *   retry.c     whether and when a failed or lost attempt is followed by another
 *   errand.c    what the engine does for a task by itself: cache.c, import.c, volume.c
 *   save.c      writing it all down
 *   rebuild.c   a tree from its saved records
 *   engine.c    loading runs, slots, the public calls
 *
 * One rule holds it together: nothing is done outside (start, forget, telling listeners) before
 * the record that says so has been saved.
 */
#ifndef SCHEDULER_RUN_LIVE_H
#define SCHEDULER_RUN_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "base/id.h"
#include "base/loop.h"
#include "base/map.h"
#include "scheduler/executor.h"
#include "scheduler/plan.h"
#include "scheduler/run.h"

struct err;
struct save;
struct store_call;

/*
 * One instance of a task. Instances form a tree; the root DAG is an instance without a definition.
 * A DAG's children are made when it starts, so what is never reached costs nothing. A loop is an
 * instance whose children are its iterations, each an instance of the same definition with its own
 * `iteration`; they are made when they start.
 */
enum task_role {
    TASK_ROLE_DAG,
    TASK_ROLE_LOOP,
    TASK_ROLE_CONTAINER, /* runs in an executor */
    TASK_ROLE_IMPORTER,  /* an errand, as is the next */
    TASK_ROLE_VOLUME,
};

struct task {
    struct live *run;
    struct task *parent;        /* NULL for the root */
    const struct task_def *def; /* NULL for the root */
    const struct component *component;
    enum task_role role;
    size_t index;  /* place in the parent's children */
    int iteration; /* -1: not an iteration of a loop */
    char *path;    /* "nested/train"; "" for the root */
    struct id id, unique;

    enum task_state state;
    int tries;        /* attempts begun; the current one is tries - 1 */
    int lost;         /* of these, how many vanished */
    int64_t retry_us; /* WAITING after a lost attempt: not before; 0 none */
    int64_t created_us, started_us, ended_us;
    char *error, *log_tail;
    int exit_code; /* -1 unknown */

    json_t *params, *artifacts;         /* resolved inputs; NULL before */
    json_t *defaulted;                  /* array of names of inputs that were not passed; or NULL */
    json_t *out_params, *out_artifacts; /* NULL before the end */

    /* DAGs that have started */
    struct task **children;             /* by index in dag.tasks */
    size_t child_count, open_children;  /* open: not final */
    size_t *dependents, *dependents_of; /* children waiting for i: dependents[of[i] .. of[i+1]) */

    size_t waits_for;       /* dependencies that are not final */
    json_t *executor_input; /* container task: while an attempt runs */
    bool holds_slot;        /* counted in engine->running */
    bool is_started;        /* executor.start was called for the current attempt */
    bool is_adopted;        /* recorded as running before this daemon started */
    bool is_canceling;      /* executor.cancel was called */
    struct errand *errand;  /* under way: a cache lookup, an import, a volume; or NULL */
    json_t *cache;          /* record of why it was (not) cached; NULL: not looked at */
    struct timer retry;     /* armed while retry_us lies ahead */

    /* lists of the run; a task is on each at most once */
    bool is_dirty, is_in_work, is_queued;
    struct task *next_dirty, *next_work, *next_queued;
};

struct task_list {
    struct task *first, *last;
    size_t count;
};

/* An attempt that has ended and whose end has to be saved before the executor forgets it. */
struct ended_attempt {
    struct id task_id;
    int attempt;
};

struct live {
    struct engine *engine;
    struct id id;
    unsigned shard;
    json_t *record;       /* as loaded; its doc part never changes */
    struct plan *plan;    /* NULL when the run could not even be prepared */
    const char *root_uri; /* where artifacts go, NULL: the store's root */
    char *workspace_path; /* live_workspace_path() */
    struct task *root;
    struct map *by_id; /* task id -> container task */
    enum run_state state;
    bool has_started; /* PENDING is over, also when it is CANCELING now */
    int64_t started_us, finished_us;
    char *error;      /* of a FAILED run */
    int failed_tasks; /* container tasks that failed */

    struct task_list work;              /* ready to be considered, or a DAG that may have ended */
    struct task_list queue;             /* container tasks that wait for a slot */
    struct live *ring_prev, *ring_next; /* engine's ring of runs with a queue; NULL: not in it */

    /* what the next save writes */
    struct task_list dirty;
    bool is_state_dirty; /* state, error, outputs */
    char *history;       /* entries of the states since, joined by commas */
    char **events;
    size_t event_count, event_cap;
    struct task **starts; /* RUNNING, to be started once that is saved */
    size_t start_count, start_cap;
    struct ended_attempt *ends;
    size_t end_count, end_cap;

    int64_t rev;             /* of the last save that was sent */
    struct save *save;       /* in flight or waiting to be repeated */
    struct deferred step;    /* live_touch() */
    struct store_call *look; /* engine_wake: reading the state */
    bool look_again;
    bool is_gone; /* on its way out; nothing more is done with it */
};

/* ---- live.c ---- */

/* Takes record. Not yet in the engine's map. */
struct live *live_new(struct engine *engine, json_t *record);
void live_free(struct live *run);
/* Something changed: step it and save it at the bottom of this turn. */
void live_touch(struct live *run);
void live_set_state(struct live *run, enum run_state state);
/* Where the run's text in record is; never NULL. */
const char *live_text(const struct live *run, const char *key);
/* Where its steps find the run's workspace; NULL: it has none. */
const char *live_workspace_path(struct live *run);
/* The event is written by the next save. Takes data. */
void live_event(struct live *run, const char *type, const char *what, json_t *data);

struct task *task_new(struct live *run, struct task *parent, const struct task_def *def,
    const struct component *component, size_t index);
/* Make the children of a DAG instance and the counters of what they wait for. */
void task_make_children(struct task *task);
/* Frees it and everything below. */
void task_free(struct task *task);
void task_set_state(struct task *task, enum task_state state);
void task_set_error(struct task *task, const char *text);
void task_mark_dirty(struct task *task);
struct attempt_name task_attempt_name(const struct task *task);
/* An event about this task's current attempt; takes data (may be NULL). */
void task_event(struct task *task, const char *type, json_t *data);
/* The record of storage.md. */
json_t *task_to_json(const struct task *task);
/* Read it back into a WAITING instance; -1 when it is not one of its records. */
int task_from_json(struct task *task, const json_t *record, struct err *err);

/* FIFO lists by link; a task on a list is not added again. */
void work_push(struct task *task);
struct task *work_pop(struct live *run);
void dirty_push(struct task *task);
struct task *dirty_pop(struct live *run);
void queue_push(struct task *task);
struct task *queue_pop(struct live *run);

/* ---- step.c ---- */

/* Do all that can be done now, in memory. */
void run_step(struct live *run);
/* The root instance with the run's parameters bound; ERR_INVALID when they do not fit. */
int run_make_root(struct live *run, struct err *err);
/* The root DAG starts. */
void run_begin(struct live *run);
/* It cannot be carried out at all. */
void run_fail(struct live *run, const char *reason);
/* It was asked to end: cancel what runs, drop what waits. Harmless when repeated. */
void run_begin_cancel(struct live *run);
/* A container task has ended for good (state is final): tell its dependents. */
void task_end(struct task *task, enum task_state state);

/* Set data[key], or key_left_out: true when it is huge: events travel to every subscriber, and what
 * is huge is left to the API. Takes value. */
void event_set_bounded(json_t *data, const char *key, json_t *value);

/* ---- input.c ---- */

/* Resolve what the task was wired to. ERR_INVALID says which input and why. */
int task_resolve_inputs(struct task *task, struct err *err);
/* Outputs of a DAG instance from its children. */
void task_collect_outputs(struct task *task);
struct run_context task_run_context(const struct task *task);

/* ---- attempt.c ---- */

/* A slot is free: next attempt. Recorded now, started by attempt_start() after the save. */
void attempt_begin(struct task *task);
void attempt_start(struct task *task);
void attempt_on_done(struct task *task, const struct attempt_result *result);

/* ---- work_order.c ---- */

/*
 * The work order and the container settings of the task's current attempt; also sets
 * task->executor_input. New references.
 */
int order_build(struct task *task, json_t **order_out, json_t **container_out, struct err *err);

/* ---- errand.c ---- */

/*
 * Something the engine does for a task itself, with calls that take time: begin never ends the
 * task synchronously. The task stays WAITING (nothing of it is recorded; after a restart it is
 * simply begun again, so every errand must be safe to repeat). It ends by task_end(), or, for the
 * cache, by queue_push().
 */
/* The inputs are resolved and the condition holds: start a CONTAINER, IMPORTER or VOLUME. */
void task_dispatch(struct task *task);
/* The run was asked to end, or goes: drop what is under way; its callbacks do not come. */
void errand_cancel(struct task *task);

/* ---- save.c ---- */

/* Save what changed, unless a save is under way (then when it is done). */
void save_start_if_needed(struct live *run);
void save_free(struct save *save);

/* ---- rebuild.c ---- */

/* The tree of a run that had started, from its task records. */
int run_rebuild(struct live *run, struct err *err);
/* Start again all attempts below that were recorded as running. */
void run_resume_attempts(struct task *task);

#endif
