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

/* The claim of a run's workspace is called by the run's id and this. */
#define WORKSPACE_CLAIM_SUFFIX "-kfp-workspace"
/* Where pods have it. */
#define WORKSPACE_PATH "/kfp-workspace"

/* err: NULL when it is done. */
typedef void executor_volume_fn(void *owner, const struct err *err);

struct executor_ops {
    const char *name; /* "local", "kubernetes" */
    bool is_bound;    /* attempts live where they were started: nobody else can find them */
    void (*listen)(void *self, const struct executor_listener *listener);
    /* Paths inside the step; out is appended to. Both are pure. */
    void (*work_dir)(void *self, const struct attempt_name *name, struct buf *out);
    void (*artifact_path)(void *self, const struct attempt_name *name, const char *uri,
        struct buf *out);
    /*
     * order: the work order (scheduler/order.h), borrowed for the call. container: what the
     * executor needs to know beside it, borrowed:
     *   {"image", "pipeline": its name, "service_account": "" none asked for,
     *    "resources": ResourceRequirements, "pod": parts as of pod_config_resolve(),
     *    "workspace": {"claim": "<name>", "path": "/kfp-workspace"}}    the last three if any
     */
    void (*start)(void *self, const struct attempt_name *name, const json_t *order,
        const json_t *container);
    /* Ask it to end; on_done follows with CANCELED (or its real end if that came first). */
    void (*cancel)(void *self, const struct attempt_name *name);
    /* The engine has saved the end: pods and folders may be cleaned up. */
    void (*forget)(void *self, const struct attempt_name *name);
    /* Another daemon carries the run on: end what only we can see (a process), leave what it finds
     * (a pod), and say nothing more about the attempt. May be NULL. */
    void (*let_go)(void *self, const struct attempt_name *name);
    /* The last max bytes of the attempt's output; done may come after a round trip. */
    void (*logs)(void *self, const struct attempt_name *name, int64_t max_bytes,
        void (*done)(void *owner, const char *text, size_t len, const struct err *err),
        void *owner);
    /* The run is deleted from history, or its pipeline's time for that is over: its logs go. May be
     * NULL. */
    void (*purge)(void *self, const char *run_id);
    /*
     * Names of what `container` (as for start) asks for and this executor has nothing for, such as
     * "tolerations", joined by ", "; nothing is appended when all is honoured. Pure. May be NULL.
     */
    void (*ignored)(void *self, const json_t *container, struct buf *out);
    /*
     * Volumes that outlive a step: createpvc, deletepvc, workspaces. claim: a PersistentVolumeClaim
     * with its final name. Creating one that this run's task has made before succeeds; any other
     * of that name is ERR_EXISTS. Deleting one that is not there is ERR_NOT_FOUND. Deadlines and
     * retries are the executor's. done once, later; volume_cancel drops the call of this owner.
     * May be NULL: there are no volumes.
     */
    void (*volume_create)(void *self, const json_t *claim, executor_volume_fn *done, void *owner);
    void (*volume_delete)(void *self, const char *name, executor_volume_fn *done, void *owner);
    void (*volume_cancel)(void *self, void *owner);
    /* Where a volume's mount path of a pod is for a step that runs here ("/kfp-workspace" itself, or
     * a folder); out is appended to. Pure. May be NULL: the path itself. */
    void (*workspace_path)(void *self, const struct attempt_name *name, struct buf *out);
    void (*free)(void *self);
};

struct executor {
    const struct executor_ops *ops;
    void *self;
};

#endif
