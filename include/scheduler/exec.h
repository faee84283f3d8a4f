/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to run a task, each an implementation of scheduler/executor.h. */
#ifndef SCHEDULER_EXEC_H
#define SCHEDULER_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "scheduler/executor.h"

struct artifact_store;
struct err;
struct http_client;
struct loop;
struct store;

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
    /* Folders with a folder for each secret and config map, in it a file for each key; NULL:
     * DATA/secrets and DATA/config-maps */
    const char *secrets_dir, *config_maps_dir;
    bool no_mounts;          /* steps see volumes only by RONDO_MOUNT_<n> */
};
/* ERR_* when the folders cannot be made or there is no launcher. Settings are copied. */
int executor_local_new(struct loop *loop, const struct local_settings *settings,
    struct executor *out, struct err *err);
/* Somebody else carries our runs on, in a folder of his own where he cannot find our steps: kill
 * them when the executor is freed, whatever the settings say. Does nothing to other executors. */
void executor_local_abandon(const struct executor *executor);
/* We were away, and others have taken our runs over: end what still runs here of runs that is_anothers
 * knows to be another daemon's. Does nothing to other executors. */
void executor_local_end_strays(const struct executor *executor,
    bool (*is_anothers)(void *owner, const char *run_id), void *owner);

/*
 * Pods: each attempt is one pod whose name follows from the attempt's. An init container copies
 * the launcher into an emptyDir; the launcher takes its order, its inputs and its result over HTTP
 * (scheduler/order.h), so that nothing is shared but the network. A report is in Redis before the
 * launcher's POST is answered; the pods are the record of everything else.
 */
struct pods_settings {
    struct http_client *http;         /* borrowed */
    struct store *store;              /* borrowed */
    struct artifact_store *artifacts; /* borrowed */
    const char *data_dir;             /* kept logs, certificates of a kubeconfig */
    const char *kubeconfig;           /* NULL: found as kube_credentials_load() says */
    const char *namespace_;           /* NULL: the credentials' */
    const char *launcher_image;
    const char *service_account;      /* of pods whose run names none */
    int64_t pod_start_timeout_ms;
};
/* ERR_* when there are no usable credentials; the cluster itself may be away. Settings are copied. */
int executor_pods_new(struct loop *loop, const struct pods_settings *settings,
    struct executor *out, struct err *err);

/*
 * What the executor above would create, without a cluster (rondo compile). Texts are borrowed and
 * have to stay.
 */
struct pods_preview {
    struct artifact_store *artifacts;
    const char *instance, *url, *token; /* what only a daemon knows */
    const char *launcher_image, *service_account;
    int64_t pod_start_timeout_ms;
};
/* An executor that says where things are in a pod and starts nothing. */
void executor_pods_preview(struct pods_preview *preview, struct executor *out);
/* The manifest of an attempt, given what start() is given. New reference; NULL and ERR_INVALID. */
json_t *pods_preview_manifest(const struct pods_preview *preview, const struct attempt_name *name,
    const json_t *order, const json_t *container, struct err *err);

/* The endpoint that the launchers in pods call; api/internal.c turns HTTP into these. */
struct pods;
/* NULL when the executor is another one. */
struct pods *executor_pods(const struct executor *executor);
/* How pods reach us, "http://rondo:8888". Before the loop runs. */
void pods_set_url(struct pods *pods, const char *url);
/* Where they are; valid as long as pods. */
const char *pods_namespace(const struct pods *pods);
/* All live runs of a shard have been loaded: soon, an attempt that is not known here is over. Or the
 * shard is another daemon's. */
void pods_set_ready(struct pods *pods, unsigned shard, bool is_ready);
/* ERR_UNAUTHENTICATED unless it is this attempt's token; ERR_TRANSIENT while we cannot know. */
int pods_authorize(struct pods *pods, const struct attempt_name *name, const char *token,
    struct err *err);
/* The work order as text, borrowed until the loop runs on; NULL: ERR_NOT_FOUND when the attempt
 * is over, ERR_TRANSIENT when it is not known yet. The others fail alike. */
const char *pods_order(struct pods *pods, const struct attempt_name *name, struct err *err);
int pods_running(struct pods *pods, const struct attempt_name *name, struct err *err);
/* ERR_DENIED when the URI is none of the attempt's inputs or outputs (write: outputs only). */
int pods_may_use(struct pods *pods, const struct attempt_name *name, const char *uri, bool write,
    struct err *err);
/* Takes nothing. done once, later: err is NULL when the report is safe. */
void pods_report(struct pods *pods, const struct attempt_name *name, const char *text, size_t len,
    void (*done)(void *owner, const struct err *err), void *owner);

#endif
