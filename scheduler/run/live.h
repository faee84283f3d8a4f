/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run in memory, as the engine steps it: the run, and its tree of task instances. Only the
 * engine's files include this.
 *
 *   live.c      making, finding and freeing instances; state changes
 *   step.c      what to do next: dependencies, DAG ends, the run's end (no I/O)
 *   iterate.c   loops: their items, starting iterations, collecting what came out
 *   trigger_rule.c  strategies and conditions: may a task run?
 *   final_status.c  what an exit task is told of the task that it follows
 *   cancel.c    a run that was asked to end, or whose time is over
 *   attempt.c   attempts of container tasks: work order, result, lost ones
 *   retry.c     whether and when a failed or lost attempt is followed by another
 *   errand.c    what the engine does for a task by itself: cache.c, import.c, volume.c
 *   save.c      writing it all down
 *   rebuild.c   a tree from its saved records
 *   shards.c    which shards are ours
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

struct loop_state;
struct task_list;
struct task {
    struct live *run;
    struct task *parent;        /* NULL for the root */
    const struct task_def *def; /* NULL for the root */
    const struct component *component;
    enum task_role role;
    size_t index;  /* place in the parent's children; of an iteration: its number */
    int iteration; /* -1: not an iteration of a loop */
    char *path;    /* "nested/train"; "" for the root */
    struct id id, unique;

    enum task_state state;
    int tries;        /* attempts begun; the current one is tries - 1 */
    int lost;         /* of these, how many vanished */
    int64_t retry_us; /* WAITING after a lost or failed attempt: not before; 0 none */
    int64_t first_us; /* when the first attempt began; 0 none has */
    int64_t created_us, started_us, ended_us;
    char *error, *log_tail;
    int exit_code;  /* -1 unknown */
    json_t *place;  /* of a resumed attempt that is bound to the machine it runs on; or NULL */

    json_t *params, *artifacts;         /* resolved inputs; NULL before */
    json_t *defaulted;                  /* array of names of inputs that were not passed; or NULL */
    json_t *out_params, *out_artifacts; /* NULL before the end */

    /* DAGs and loops that have started */
    struct task **children; /* by index in dag.tasks; of a loop by number: NULL when it has not
                               begun, and again when it has ended */
    size_t child_count, open_children; /* open: not final; of a loop: begun and not final */
    size_t failed_children, canceled_children;
    size_t *dependents, *dependents_of; /* children waiting for i: dependents[of[i] .. of[i+1]) */
    struct loop_state *loop;            /* of a loop that has begun: iterate.c */

    size_t waits_for;       /* dependencies that are not final */
    json_t *executor_input; /* container task: while an attempt runs */
    bool holds_slot;        /* counted in engine->running */
    bool is_started;        /* executor.start was called for the current attempt */
    bool is_adopted;        /* recorded as running before this daemon started */
    bool is_canceling;      /* executor.cancel was called */
    struct errand *errand;  /* under way: a cache lookup, an import, a volume; or NULL */
    json_t *cache;          /* record of why it was (not) cached; NULL: not looked at */
    struct timer retry;     /* armed while retry_us lies ahead */
    bool is_exempt;         /* goes on although the run was asked to end: an exit task, or in one */

    /* lists of the run; a task is on each at most once */
    struct task_list *unsaved; /* run->dirty, run->fresh or NULL */
    bool is_in_work, is_queued, is_over;
    struct task *prev_unsaved, *next_unsaved, *next_work, *next_queued, *next_over;
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
    json_t *notices;      /* notice.c: what has been said */
    struct workspace *workspace; /* once a task needs it: workspace.c */
    struct task *root;
    struct map *by_id; /* task id -> container task */
    enum run_state state;
    bool has_started; /* PENDING is over, also when it is CANCELING now */
    bool is_waiting;  /* for its slots in the pools: it has not begun */
    int64_t started_us, finished_us;
    char *error;      /* of a FAILED run */
    int failed_tasks; /* tasks that failed by themselves, not because of a task in them */

    struct task_list work;              /* ready to be considered, or a DAG that may have ended */
    struct task_list queue;             /* container tasks that wait for a slot */
    struct live *ring_prev, *ring_next; /* engine's ring of runs with a queue; NULL: not in it */

    struct task_list over;              /* iterations that have ended: freed when that is saved */
    int64_t task_total;                 /* instances made, those that were freed too */
    int64_t cancels;                    /* how often it was asked to end */
    int64_t cancel_us;                  /* when that was first; 0: not */
    bool exit_tasks_may_run;            /* although it was asked to end */
    struct timer exit_limit;            /* until then */
    struct timer deadline;              /* its pipeline's activeDeadlineSeconds */
    bool is_over_time;                  /* that is over */

    /* what the next save writes */
    struct task_list dirty;
    struct task_list fresh; /* made and untouched: a record that may come later, it says nothing */
    bool is_state_dirty; /* state, error, outputs */
    bool is_notices_dirty;
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

/* index: in the DAG, or the number of an iteration. */
struct task *task_new(struct live *run, struct task *parent, const struct task_def *def,
    const struct component *component, size_t index);
/* Make the children of a DAG instance and the counters of what they wait for. */
void task_make_children(struct task *task);
/* ERR_LIMIT when so many more would be more than a run may have. */
int task_check_total(const struct task *task, size_t more, struct err *err);
/* Frees it and everything below. */
void task_free(struct task *task);
bool task_has_children(const struct task *task); /* a DAG or a loop */
/* Whether it is to end because the run was asked to, or its time is over. */
bool task_is_to_end(const struct task *task);
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
/* The next whose record is to be written; list: &run->dirty or &run->fresh. */
struct task *unsaved_pop(struct live *run, struct task_list *list);
/* An iteration that has ended, and all in it is saved: free what is still in memory. */
void over_push(struct task *task);
void over_free(struct live *run);
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
/* The task has ended for good: tell those that wait for it. */
void task_end(struct task *task, enum task_state state);
/* It ends FAILED by itself. */
void task_fail(struct task *task, const char *text);
/* A DAG instance starts: its children are made. */
void dag_begin(struct task *dag);
/* In a rebuilt tree: this child is final; count it for its parent. */
void child_ended(struct task *parent, const struct task *child);

/* Set data[key], or key_left_out: true when it is huge: events travel to every subscriber, and what
 * is huge is left to the API. Takes value. */
void event_set_bounded(json_t *data, const char *key, json_t *value);

/* ---- input.c ---- */

/* Resolve what the task was wired to. ERR_INVALID says which input and why. */
int task_resolve_inputs(struct task *task, struct err *err);
/* Outputs of a DAG or loop from its children. */
void task_collect_outputs(struct task *task);
struct run_context task_run_context(const struct task *task);

/* ---- iterate.c ---- */

/* The loop starts: how many iterations there are. Its first ones are begun by loop_step(). */
int loop_begin(struct task *loop, struct err *err);
/* Begin iterations as the limit allows, or end the loop. */
void loop_step(struct task *loop);
/* An iteration is final: keep what it gave. */
void loop_take(struct task *loop, struct task *iteration);
/* What the iteration gets: inputs of the loop and its item. */
int iteration_resolve(struct task *iteration, struct err *err);
/* Its outputs are lists of what the iterations gave; out_params and out_artifacts are objects. */
void loop_collect_outputs(struct task *loop);
/* A loop that was read back from its record: find its items again. */
int loop_rebuild(struct task *loop, struct err *err);
/* Then in order of their numbers: an instance for one that is not final, what is kept of others. */
struct task *loop_restore(struct task *loop, size_t number);
void loop_restore_ended(
    struct task *loop, size_t number, enum task_state state, const json_t *outputs);
/* The members of its inputs that its record has: an iteration's are mostly those of its loop. */
void iteration_own_inputs(const struct task *iteration, json_t **params, json_t **artifacts);
void loop_state_free(struct loop_state *state);

/* ---- trigger_rule.c ---- */

/* All dependencies are final: the first whose end keeps it from running, as its strategy says; NULL: it
 * may run. */
const struct task *task_unsatisfied_by(const struct task *task);
/* The run was asked to end: whether this is an exit task that is to run nevertheless. */
bool task_is_exit(const struct task *task);
/* Whether any of its dependencies had begun. */
bool task_follows_begun(const struct task *task);
/* With its inputs resolved: *out says whether its condition holds. */
int task_check_condition(const struct task *task, bool *out, struct err *err);

/* ---- final_status.c ---- */

/* The value of a TASK_FINAL_STATUS input; new reference. */
json_t *final_status(const struct task *of);

/* ---- cancel.c ---- */

/* It was asked to end: cancel what runs, drop what waits. Harmless when repeated. */
void run_begin_cancel(struct live *run);
/* Exit tasks have had their time. */
void run_on_exit_limit(void *owner);
/* It has started: end it when its pipeline's activeDeadlineSeconds are over, maybe now. */
void run_watch_deadline(struct live *run);
void run_on_deadline(void *owner);
/* What its error says of that; malloc'd. */
char *run_over_time_text(const struct live *run);

/* ---- attempt.c ---- */

/* A slot is free: next attempt. Recorded now, started by attempt_start() after the save. */
void attempt_begin(struct task *task);
void attempt_start(struct task *task);
/* It was recorded as running before its run came to us. */
void attempt_resume(struct task *task);
void attempt_on_done(struct task *task, const struct attempt_result *result);

/* ---- retry.c ---- */

/* The policy that holds for this task: its own, or that of a pipeline that it is in; or NULL. */
const struct retry_policy *task_retry_policy(const struct task *task);
/* An attempt failed: when the next one may begin; 0: there is none. */
int64_t retry_after_failure(const struct task *task);
/* An attempt was lost, not for the last time: how long to wait. */
int64_t retry_lost_ms(int lost);
/* Have the next attempt begin then; says so in an event. */
void retry_at(struct task *task, int64_t at_us, const char *reason, int exit_code);

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
