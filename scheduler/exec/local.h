/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the local executor, shared by local*.c and venv.c. */
#ifndef EXEC_LOCAL_H
#define EXEC_LOCAL_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "base/id.h"
#include "base/loop.h"
#include "base/proc.h"
#include "scheduler/exec.h"

struct buf;
struct child;
struct map;

struct local {
    struct loop *loop;
    struct executor_listener listener;
    struct artifact_store *artifacts;
    char *data_dir; /* real path */
    char *launcher;
    char *root_path; /* of the artifacts; NULL if they are no folder */
    char **env;      /* what every step gets, NULL-terminated */
    int64_t log_max_bytes, cancel_grace_ms;
    bool kill_on_free;
    char *secrets_dir, *config_maps_dir;
    bool may_mount; /* the settings allow it, and so does the system */
    struct volume_call *volume_calls; /* under way */
    struct removal *removals;
    struct map *attempts; /* name text -> struct local_attempt */
    struct timer sweep;
};

enum local_state {
    LOCAL_STATE_STARTING,      /* deciding what is there */
    LOCAL_STATE_WAITING_OWNER, /* somebody holds the lock and has not said who */
    LOCAL_STATE_RUNNING,       /* a launcher of ours or an adopted one */
    LOCAL_STATE_CLEARING,      /* the launcher is gone without a report: what it left must go */
    LOCAL_STATE_ENDING,        /* the result is handed over at the bottom of this turn */
};

struct local_attempt {
    struct local *local;
    char *key; /* "<run>/<task>/<attempt>" */
    char *dir; /* DATA/work/<key> */
    struct id run, task;
    int attempt;
    enum local_state state;
    struct child *child;
    json_t *order; /* until it is written, and so is the next */
    json_t *container;
    struct timer timer;
    struct deferred running, ending;
    int64_t since_us; /* monotonic: when this state began */
    int64_t pause_ms; /* between two looks */
    bool is_canceled, is_warned;
    bool is_let_go; /* another daemon carries the run on: all of it is killed, and nobody told */
    char owner[PROC_IDENTITY_MAX]; /* from the lock file; "" unknown */
    char *lost;                    /* why, should there be no report */
};

/* local.c: executor_ops.forget. */
void local_forget(void *self, const struct attempt_name *name);

/* local_sweep.c: now and then, old folders that nobody asks for. Stop by timer_done(). */
void local_sweep_start(struct local *local);
void local_sweep(void *owner);
/* Calls local_end_stray() for each folder of a run that another daemon carries on. */
void local_find_strays(
    struct local *local, bool (*is_anothers)(void *owner, const char *run_id), void *owner);
/* local.c: if something of this attempt is alive, kill it. */
void local_end_stray(struct local *local, const struct attempt_name *name);

/* local_order.c: the order as the launcher needs it, written into the attempt's folder. */
int local_write_order(const struct local_attempt *a, const json_t *order, struct err *err);
/* The environment of this attempt's launcher; NULL-terminated, free with local_env_free(). */
char **local_env(const struct local_attempt *a);
/* Common part of it, from our own environment. */
char **local_env_base(const char *step_env);
void local_env_free(char **env);

/* local_settings.c: what the pod's settings add to the order: variables, mounts, the time limit. */
void local_add_settings(const struct local_attempt *a, json_t *order);
/* executor_ops.ignored. */
void local_ignored(void *self, const json_t *container, struct buf *out);

/* local_volumes.c: executor_ops by the same names. */
void local_volume_create(void *self, const json_t *claim, executor_volume_fn *done, void *owner);
void local_volume_delete(void *self, const char *name, executor_volume_fn *done, void *owner);
void local_volume_cancel(void *self, void *owner);
void local_workspace_path(void *self, const struct attempt_name *name, struct buf *out);
/* Where the claim's folder is, whether it exists or not. malloc'd. */
char *local_volume_path(const struct local *local, const char *claim);
/* Goes on removing what an earlier daemon left. */
void local_volumes_start(struct local *local);
void local_volumes_stop(struct local *local);

/* venv.c: what the launcher may use for Python environments. New reference. */
json_t *local_venv(const struct local_attempt *a);

/* local_report.c: read the report and tell; without one, LOST with a->lost as reason. */
bool local_has_report(const struct local_attempt *a);
void local_tell_end(struct local_attempt *a);
/* Where the log is: in the folder, or kept after forget(). malloc'd; NULL if nowhere. */
char *local_log_path(const struct local *local, const char *key);
/* The last max bytes; malloc'd. */
char *local_log_read(const char *path, int64_t max, size_t *len_out, struct err *err);

/* local_leftovers.c: SIGKILL to all that belongs to the attempt; how many there still are. */
int local_kill_leftovers(const struct local_attempt *a);

#endif
