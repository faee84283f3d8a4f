/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After an attempt's end has been saved: wait until its pod has ended too (its report comes a
 * moment before its last lines are in the log), fetch the log and keep it as a file, then delete
 * the pod, then the report. Each step may be done again; should we die in between, the pod is found
 * by the next daemon's sweep.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"
#include "exec/pods.h"

#define KEEP_LINES 50000
#define KEEP_MAX (8u * 1024 * 1024)
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
#define TRIES_MAX 20
#define END_PATIENCE_MS 10000

enum farewell_state {
    FAREWELL_STATE_WAITING_FOR_END,
    FAREWELL_STATE_FETCHING_LOG,
    FAREWELL_STATE_DELETING_POD,
};

struct farewell {
    struct pods *pods;
    struct id run, task;
    int attempt;
    char pod[POD_NAME_MAX + 1];
    enum farewell_state state;
    char *tail;
    bool is_purged; /* its log is not wanted any more */
    struct kube_call *call;
    struct timer retry;
    int64_t backoff_ms;
    int tries;
};

static void farewell_step(void *owner);

static struct attempt_name name_of(const struct farewell *f)
{
    return (struct attempt_name){f->run.text, f->task.text, f->attempt};
}

void pod_farewell_free(void *farewell)
{
    struct farewell *f = farewell;
    kube_cancel(f->call);
    timer_done(&f->retry);
    free(f->tail);
    free(f);
}

static void retry_later(struct farewell *f)
{
    f->tries++;
    timer_start_ms(&f->retry, pods_jitter(f->backoff_ms));
    f->backoff_ms = f->backoff_ms * 2 < BACKOFF_MAX_MS ? f->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* ---- the log ---- */

static void keep_log(const struct farewell *f, const char *text, size_t len)
{
    struct attempt_name name = name_of(f);
    CLEANUP(cleanup_free) char *path = pod_log_path(f->pods, &name);
    CLEANUP(cleanup_free) char *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));
    struct err err = ERR_INIT;
    if (f->is_purged || access(path, F_OK) == 0) {
        return; /* there: from an earlier try, when the pod still had it */
    }
    if (dir_make(dir, 0700, &err) != 0 || file_write_atomic(path, text, len, 0600, &err) != 0) {
        LOG_WARN("log of a step cannot be kept", "reason=%s", LOG_Q(err.msg));
    }
}

static void on_log(void *owner, const char *text, size_t len, const struct err *err)
{
    struct farewell *f = owner;
    f->call = NULL;
    if (err != NULL && err_is_transient(err) && f->tries < TRIES_MAX) {
        retry_later(f);
        return;
    }
    if (err == NULL) {
        size_t keep = len > KEEP_MAX ? KEEP_MAX : len;
        keep_log(f, text + (len - keep), keep);
    } else if (f->tail != NULL && f->tail[0] != '\0') {
        keep_log(f, f->tail, strlen(f->tail));
    }
    FAULT("pods.forget.middle");
    f->state = FAREWELL_STATE_DELETING_POD;
    f->tries = 0;
    f->backoff_ms = BACKOFF_MIN_MS;
    farewell_step(f);
}

/* ---- the pod ---- */

static void on_deleted(void *owner, const json_t *reply, const struct err *err)
{
    struct farewell *f = owner;
    (void)reply;
    f->call = NULL;
    if (err != NULL && err->code != ERR_NOT_FOUND && f->tries < TRIES_MAX) {
        retry_later(f);
        return;
    }
    if (err != NULL && err->code != ERR_NOT_FOUND) {
        LOG_WARN("pod of a finished step cannot be deleted", "pod=%s reason=%s", f->pod,
            LOG_Q(err->msg));
    }
    struct attempt_name name = name_of(f);
    CLEANUP(cleanup_free) char *key = pod_report_key(f->pods, &name);
    store_cmd(f->pods->store, NULL, NULL, "DEL %s", key);
    map_remove(f->pods->farewells, f->pod);
}

/* A pod that is being deleted takes its log along: no time to lose. */
static bool has_settled(const struct farewell *f)
{
    const json_t *pod = pods_seen(f->pods, f->pod);
    struct pod_status status;
    pod_status_read(pod, &status);
    return pod == NULL || status.phase == POD_PHASE_OVER ||
           json_object_get(json_object_get(pod, "metadata"), "deletionTimestamp") != NULL;
}

void pod_farewells_purge(struct pods *pods, const char *run_id)
{
    struct map_iter it = {0};
    void *value;
    while (map_next(pods->farewells, &it, NULL, &value)) {
        struct farewell *f = value;
        f->is_purged |= strcmp(f->run.text, run_id) == 0;
    }
}

void pod_farewell_look(struct farewell *f)
{
    if (f->state == FAREWELL_STATE_WAITING_FOR_END && has_settled(f)) {
        timer_start_ms(&f->retry, 0);
    }
}

static void farewell_step(void *owner)
{
    struct farewell *f = owner;
    CLEANUP(cleanup_free) char *path = pods_path(f->pods, f->pod, "?propagationPolicy=Background");
    switch (f->state) {
    case FAREWELL_STATE_WAITING_FOR_END: /* it has, or takes too long */
        f->state = FAREWELL_STATE_FETCHING_LOG;
        /* fall through */
    case FAREWELL_STATE_FETCHING_LOG:
        f->call = pod_log_ask(f->pods, f->pod, KEEP_LINES, on_log, f);
        break;
    case FAREWELL_STATE_DELETING_POD:
        f->call = kube_request(f->pods->kube, "DELETE", path, NULL, on_deleted, f);
        break;
    }
}

void pod_farewell(
    struct pods *pods, const struct attempt_name *name, const char *tail, bool has_run)
{
    char pod[POD_NAME_MAX + 1];
    pod_name(name, pod);
    if (map_has(pods->farewells, pod)) {
        return;
    }
    struct farewell *f = xcalloc(1, sizeof *f);
    f->pods = pods;
    memcpy(f->run.text, name->run_id, ID_LEN + 1);
    memcpy(f->task.text, name->task_id, ID_LEN + 1);
    f->attempt = name->attempt;
    memcpy(f->pod, pod, sizeof pod);
    f->tail = tail != NULL ? xstrdup(tail) : NULL;
    f->backoff_ms = BACKOFF_MIN_MS;
    timer_init(&f->retry, pods->loop, farewell_step, f);
    map_put(pods->farewells, f->pod, f);
    timer_start_ms(&f->retry, !has_run || has_settled(f) ? 0 : END_PATIENCE_MS);
}
