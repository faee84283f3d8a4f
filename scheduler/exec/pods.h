/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the Kubernetes executor, shared by pod*.c and attempt_access.c. */
#ifndef EXEC_PODS_H
#define EXEC_PODS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "base/loop.h"
#include "base/secret.h"
#include "kube/kube.h"
#include "scheduler/exec.h"

struct map;
struct store_call;

#define POD_NAME_MAX 63
#define POD_LABEL_MAX 63
#define POD_INSTANCE_LEN 16

/* ---- the manifest (pod_spec.c); pure ---- */

struct pod_spec {
    const struct attempt_name *name;
    const char *instance; /* which rondo's pods these are; a label */
    const char *url;      /* of the daemon, without the attempt's path */
    const char *token;    /* the attempt's */
    const char *launcher_image;
    const char *service_account; /* when the container names none */
    int64_t start_timeout_ms;
    const json_t *order;     /* for names and the time limit */
    const json_t *container; /* as scheduler/executor.h says */
};
/* "rondo-<run>-<hash>-<attempt>": a DNS label that follows from the attempt's name alone. */
void pod_name(const struct attempt_name *name, char out[POD_NAME_MAX + 1]);
/* New reference; NULL: the container's settings cannot be a pod. */
json_t *pod_manifest(const struct pod_spec *spec, struct err *err);
/* Put container.pod and container.workspace (scheduler/executor.h) into it (pod_parts.c). */
int pod_parts_merge(json_t *pod, const json_t *container, struct err *err);
/* The security settings that every container gets. New reference. */
json_t *pod_security(void);
/* Models that are images (pod_oci.c): where one is in the pod, and a sidecar for each of them. */
bool pod_uri_is_image(const char *uri);
void pod_image_path(const char *uri, struct buf *out);
void pod_images_add(json_t *pod, const json_t *order);
/* Text as a label's value: what does not fit there becomes '-', too long is cut. */
void pod_label(const char *text, char out[POD_LABEL_MAX + 1]);
/* Where an artifact is in the pod. */
void pod_artifact_path(const char *root, const char *uri, struct buf *out);

/* ---- what a pod's status says (pod_status.c); pure ---- */

enum pod_phase {
    POD_PHASE_WAITING, /* its program has not started */
    POD_PHASE_RUNNING,
    POD_PHASE_OVER,
};
#define POD_WORDS_MAX 1024
struct pod_status {
    enum pod_phase phase;
    bool is_hopeless;         /* WAITING: will not get better */
    bool has_tail;            /* OVER: its log may say more */
    enum attempt_state state; /* OVER: if there is no report */
    int exit_code;            /* OVER; -1 unknown */
    int64_t started_us, ended_us;
    char words[POD_WORDS_MAX]; /* why it waits, why it ended; "" nothing to say */
};
void pod_status_read(const json_t *pod, struct pod_status *out);

/* ---- the executor (pods.c) ---- */

/* A pod of ours as the watch saw it last. */
struct pod {
    json_t *object;  /* metadata and status */
    int64_t listing; /* number of the list that has it, or after which it came */
};

struct pods {
    struct loop *loop;
    struct executor_listener listener;
    struct http_client *http;
    struct store *store;
    struct artifact_store *artifacts;
    struct kube_credentials credentials;
    struct kube *kube;
    struct kube_watch *watch;
    char *path; /* "/api/v1/namespaces/x/pods" */
    char *data_dir, *launcher_image, *service_account, *url;
    int64_t start_timeout_ms;
    struct secret secret; /* of the attempts' tokens; the same for every daemon on this Redis */
    char instance[POD_INSTANCE_LEN + 1];
    struct store_call *secret_call;
    struct timer secret_retry, sweep;
    bool is_listed; /* `seen` is complete */
    int64_t listing;
    int64_t *ready_us;     /* by shard, monotonic: its live runs were loaded; 0: not ours, or not yet */
    struct map *attempts;  /* key -> struct pod_attempt */
    struct map *seen;      /* pod name -> struct pod */
    struct map *farewells; /* pod name -> struct farewell */
    struct report_op *reports;
    struct log_op *log_ops;
    struct claim_call *claim_calls;
};

/* "<run>/<task>/<attempt>", malloc'd. */
char *pods_key(const struct attempt_name *name);
/* For how long the live runs of this one's shard have been known; -1: they are not. */
int64_t pods_ready_for_us(const struct pods *pods, const char *run_id, int64_t now_us);
struct pod_attempt *pods_find(const struct pods *pods, const struct attempt_name *name);
const json_t *pods_seen(const struct pods *pods, const char *pod);
/* The reply of a create is news as well. */
void pods_see(struct pods *pods, const json_t *object);
/* "<path>/<pod>", malloc'd. */
char *pods_path(const struct pods *pods, const char *pod, const char *rest);
/* Between half and one and a half times ms. */
int64_t pods_jitter(int64_t ms);

/* ---- one attempt (pod_attempt.c) ---- */

enum pod_state {
    POD_STATE_WAITING_FOR_CLUSTER, /* its first complete list of pods */
    POD_STATE_LOOKING_FOR_REPORT,  /* in Redis, from before a restart */
    POD_STATE_CREATING,
    POD_STATE_WAITING_TO_CREATE, /* again */
    POD_STATE_RUNNING,           /* the pod is there; it and its launcher tell the rest */
    POD_STATE_FETCHING_TAIL,     /* over without a report: what did it print? */
    POD_STATE_ENDING,            /* the result is handed over at the bottom of this turn */
    POD_STATE_ENDED,             /* until forget() */
};

struct pod_attempt {
    struct pods *pods;
    char *key;
    struct id run, task;
    int attempt;
    char pod[POD_NAME_MAX + 1];
    enum pod_state state;
    json_t *order, *container;
    char *order_text; /* made when asked for */
    struct kube_call *call, *delete_call;
    struct store_call *look;
    struct timer retry, start_limit, cancel_limit;
    int64_t backoff_ms;
    struct deferred step, ending;
    int saving; /* reports on their way into Redis */
    bool is_canceled, is_deleting, is_running;
    char gone_uid[ID_LEN + 1]; /* of its pod, deleted before the reply that made it was here */
    char words[POD_WORDS_MAX]; /* why it waits, as logged last */
    /* the end */
    enum attempt_state end;
    int exit_code;
    int64_t started_us, ended_us;
    char *reason, *tail;
    json_t *report;
};

struct pod_attempt *pod_attempt_new(struct pods *pods, const struct attempt_name *name,
    const json_t *order, const json_t *container);
void pod_attempt_free(void *attempt);
/* The cluster's pods are known now. */
void pod_attempt_go(struct pod_attempt *a);
/* Started once more: if it has ended, its end is told again (Redis may have lost the save). */
void pod_attempt_again(struct pod_attempt *a);
/* Its pod has changed, come or gone. */
void pod_attempt_look(struct pod_attempt *a);
void pod_attempt_cancel(struct pod_attempt *a);
void pod_attempt_running(struct pod_attempt *a);
/* A report that is safe in Redis. Takes it. */
void pod_attempt_report(struct pod_attempt *a, json_t *report);

/* ---- reports (pod_report.c) ---- */

/* The reference's key in Redis, malloc'd. */
char *pod_report_key(const struct pods *pods, const struct attempt_name *name);
/* NULL and err unless it is a report of a version that we know. New reference. */
json_t *pod_report_parse(const char *text, size_t len, struct err *err);
void pod_report_free_all(struct pods *pods);

/* ---- after the end (pod_farewell.c) ---- */

/* Keep the log, remove the pod and its report. tail: the log if the pod has none; may be NULL.
 * has_run: its program has started, so there may be a log. */
void pod_farewell(
    struct pods *pods, const struct attempt_name *name, const char *tail, bool has_run);
/* Its pod has changed, or is gone. */
struct farewell;
void pod_farewell_look(struct farewell *farewell);
/* The logs of this run are not to be kept any more. */
void pod_farewells_purge(struct pods *pods, const char *run_id);
void pod_farewell_free(void *farewell);

/* ---- volume claims (pod_claims.c) ---- */

/* executor_ops.volume_* */
void pods_volume_create(void *self, const json_t *claim, executor_volume_fn *done, void *owner);
void pods_volume_delete(void *self, const char *name, executor_volume_fn *done, void *owner);
void pods_volume_cancel(void *self, void *owner);
void pods_volume_free_all(struct pods *pods);

/* ---- logs (pod_logs.c) ---- */

/* executor_ops.logs */
void pod_logs(void *self, const struct attempt_name *name, int64_t max_bytes,
    void (*done)(void *owner, const char *text, size_t len, const struct err *err), void *owner);
void pod_logs_free_all(struct pods *pods);
/* Ask for the end of a pod's log: at most `max` bytes, of so many lines. */
#define POD_LOG_BODY_MAX (32u * 1024 * 1024)
struct kube_call *pod_log_ask(
    struct pods *pods, const char *pod, int64_t lines, kube_text_fn *done, void *owner);
/* "DATA/logs/<key>.log", malloc'd. */
char *pod_log_path(const struct pods *pods, const struct attempt_name *name);

/* ---- tokens (attempt_access.c) ---- */

void pods_token(
    const struct pods *pods, const struct attempt_name *name, char out[SHA256_HEX_LEN + 1]);

#endif
