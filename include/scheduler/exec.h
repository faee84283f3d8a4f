/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to run a task, each an implementation of scheduler/executor.h. */
#ifndef SCHEDULER_EXEC_H
#define SCHEDULER_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/executor.h"

struct artifact_store;
struct err;
struct loop;

/* Runs nothing; every step succeeds at once. */
void executor_noop_new(struct loop *loop, struct executor *out);

/*
 * Local processes: each attempt is a rondo-launcher in a session of its own and in a folder of
 * its own, DATA/work/<run>/<task>/<attempt>/. It outlives the daemon; the next one adopts it.
 * The log of a forgotten attempt is kept as DATA/logs/<run>/<task>/<attempt>.log.
 */
struct local_settings {
    const char *data_dir;             /* made absolute */
    const char *launcher;             /* path of rondo-launcher */
    struct artifact_store *artifacts; /* borrowed */
    const char *step_env;    /* comma separated names of our variables that steps get; may be NULL */
    int64_t log_max_bytes;   /* of one attempt; 0: no limit */
    int64_t cancel_grace_ms; /* between SIGTERM and SIGKILL; 0: 10 s */
    bool kill_on_free;       /* false: steps go on when the executor is freed */
};
/* ERR_* when the folders cannot be made or there is no launcher. Settings are copied. */
int executor_local_new(struct loop *loop, const struct local_settings *settings,
    struct executor *out, struct err *err);

#endif
