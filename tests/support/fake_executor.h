/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An executor that runs nothing: each attempt ends as the test says. Like a real one it knows
 * attempts by name, outlives engines, and never runs the same attempt twice.
 */
#ifndef TESTS_SUPPORT_FAKE_EXECUTOR_H
#define TESTS_SUPPORT_FAKE_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "scheduler/executor.h"

struct fake_executor;
struct loop;

struct fake_executor *fake_executor_new(struct loop *loop, struct executor *out);
void fake_executor_free(struct fake_executor *fake);

/* What attempt number `attempt` (-1: every one) of tasks with this path does; default: it succeeds.
 */
struct fake_end {
    enum attempt_state state;
    int exit_code;
    const char *reason, *log_tail; /* may be NULL */
    bool is_held;                  /* runs until fake_finish() or a cancel */
};
void fake_will(struct fake_executor *fake, const char *task, int attempt, struct fake_end end);
/* Text of an output parameter that a task writes; default: "<task>.<name>". */
void fake_output(struct fake_executor *fake, const char *task, const char *name, const char *text);
/* End a held attempt of this task; false if there is none. */
bool fake_finish(struct fake_executor *fake, const char *task, struct fake_end end);

/* How often attempts of this task began to run (adopting one does not count). NULL: of all. */
size_t fake_begun(const struct fake_executor *fake, const char *task);
/* How often start() was called for this task. NULL: of all. */
size_t fake_starts(const struct fake_executor *fake, const char *task);
size_t fake_forgotten(const struct fake_executor *fake);
size_t fake_purged(const struct fake_executor *fake); /* runs whose logs were dropped */
size_t fake_running(const struct fake_executor *fake);
size_t fake_running_max(const struct fake_executor *fake);
/* Tasks in the order in which they began, as "a b c". */
const char *fake_order(const struct fake_executor *fake);
/* The work order of the last attempt of a task; NULL if there was none. */
const json_t *fake_work_order(const struct fake_executor *fake, const char *task);
const json_t *fake_container(const struct fake_executor *fake, const char *task);

/* What the executor has nothing for, whatever is asked; "" (as at first): it honours all. */
void fake_ignores(struct fake_executor *fake, const char *names);

/* Volumes: name -> claim. While held, calls are carried out and not answered. */
const json_t *fake_volumes(const struct fake_executor *fake);
size_t fake_volumes_created(const struct fake_executor *fake); /* calls that made one anew */
void fake_volumes_hold(struct fake_executor *fake, bool hold);

#endif
