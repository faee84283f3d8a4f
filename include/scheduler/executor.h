/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the run engine asks of a way to run one attempt of a container task. Implemented by
 * scheduler/exec (local processes, pods) and by fakes in tests.
 *
 * An attempt is named by (run, task, attempt) and start() is idempotent by that name: after a
 * restart the engine simply starts every attempt that it has recorded as running; the executor
 * adopts it, finds its result, or finds it lost. It never runs the same attempt twice at once.
 */
#ifndef SCHEDULER_EXECUTOR_H
#define SCHEDULER_EXECUTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct buf;
struct err;

struct attempt_name {
    const char *run_id;  /* UUID text */
    const char *task_id; /* UUID text, derived from run and task path */
    int attempt;         /* 0, 1, ... */
};

enum attempt_state {
    ATTEMPT_STATE_SUCCEEDED, /* exit code 0; result is complete */
    ATTEMPT_STATE_FAILED,    /* the program failed (or its outputs could not be stored) */
    ATTEMPT_STATE_CANCELED,  /* ended because cancel() was called */
    ATTEMPT_STATE_LOST,      /* infrastructure: host, pod or launcher vanished; may be retried */
};

struct attempt_result {
    enum attempt_state state;
    int exit_code;      /* -1 unknown; 128+signal when killed by one */
    const char *reason; /* one sentence for people; never NULL */
    const char *log_tail; /* last lines of the output; may be "" */
    const json_t *report; /* the launcher's result, see launch/order.h; NULL unless SUCCEEDED */
    int64_t started_us, ended_us; /* as the launcher saw them; 0 unknown */
};

struct executor_listener {
    /* The program has started (launcher took its work order). At most once per start(). */
    void (*on_running)(void *owner, const struct attempt_name *name);
    /* Exactly once per start() unless the executor is freed. */
    void (*on_done)(void *owner, const struct attempt_name *name,
        const struct attempt_result *result);
    void *owner;
};

struct executor_ops {
    const char *name; /* "local", "kubernetes" */
    void (*listen)(void *self, const struct executor_listener *listener);
    /* Paths inside the step; out is appended to. Both are pure. */
    void (*work_dir)(void *self, const struct attempt_name *name, struct buf *out);
    void (*artifact_path)(void *self, const struct attempt_name *name, const char *uri,
        struct buf *out);
    /*
     * order: the work order (launch/order.h), borrowed for the call. container: image,
     * resources and platform settings as JSON (`image`, `resources`, `pipeline` (its name),
     * `service_account` ("" none asked for)), borrowed.
     */
    void (*start)(void *self, const struct attempt_name *name, const json_t *order,
        const json_t *container);
    /* Ask it to end; on_done follows with CANCELED (or its real end if that came first). */
    void (*cancel)(void *self, const struct attempt_name *name);
    /* The engine has saved the end: pods and folders may be cleaned up. */
    void (*forget)(void *self, const struct attempt_name *name);
    /* The last max bytes of the attempt's output; done may come after a round trip. */
    void (*logs)(void *self, const struct attempt_name *name, int64_t max_bytes,
        void (*done)(void *owner, const char *text, size_t len, const struct err *err),
        void *owner);
    /* The run is deleted from history: its logs may go. May be NULL. */
    void (*purge)(void *self, const char *run_id);
    void (*free)(void *self);
};

struct executor {
    const struct executor_ops *ops;
    void *self;
};

#endif
