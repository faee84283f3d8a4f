/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt as a pod. Two tell how it stands, in any order: its launcher over HTTP (order taken,
 * report), and the cluster (the pod's status). A report wins; the status decides when a pod is over
 * or gone and no report has come or is on its way into Redis.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"
#include "exec/pods.h"
#include "scheduler/order.h"

#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 15000
#define TAIL_LINES 200
#define TAIL_MAX 8192
#define GRACE_S 30
#define CANCEL_LIMIT_MS ((GRACE_S + 90) * INT64_C(1000))

static void attempt_step(void *owner);
static void attempt_delete(struct pod_attempt *a);

/* ---- states ---- */

static void set_state(struct pod_attempt *a, enum pod_state state)
{
    static const char *const names[] = {"waiting_for_cluster", "looking_for_report", "creating",
        "waiting_to_create", "running", "fetching_tail", "ending", "ended"};
    LOG_DEBUG("pod step", "pod=%s from=%s to=%s", a->pod, names[a->state], names[state]);
    assert(a->state < POD_STATE_ENDING || state >= POD_STATE_ENDING);
    a->state = state;
}

static bool is_over(const struct pod_attempt *a)
{
    return a->state >= POD_STATE_ENDING;
}

static void stop_all(struct pod_attempt *a)
{
    kube_cancel(a->call);
    kube_cancel(a->delete_call);
    store_cancel(a->look);
    a->call = a->delete_call = NULL;
    a->look = NULL;
    timer_stop(&a->retry);
    timer_stop(&a->start_limit);
    timer_stop(&a->cancel_limit);
    loop_defer_cancel(a->pods->loop, &a->step);
}

static struct attempt_name name_of(const struct pod_attempt *a)
{
    return (struct attempt_name){a->run.text, a->task.text, a->attempt};
}

/* ---- the end ---- */

static void tell_end(void *owner)
{
    struct pod_attempt *a = owner;
    const struct executor_listener *l = &a->pods->listener;
    struct attempt_name name = name_of(a);
    set_state(a, POD_STATE_ENDED);
    FAULT("pods.done.before");
    struct attempt_result result = {
        .state = a->end,
        .exit_code = a->exit_code,
        .reason = a->reason != NULL ? a->reason : "",
        .log_tail = a->tail != NULL ? a->tail : "",
        .report = a->end == ATTEMPT_STATE_SUCCEEDED ? a->report : NULL,
        .started_us = a->started_us,
        .ended_us = a->ended_us,
    };
    /* forget() comes after a save, never from within this call. */
    if (l->on_done != NULL) {
        l->on_done(l->owner, &name, &result);
    }
}

void pod_attempt_again(struct pod_attempt *a)
{
    if (a->state == POD_STATE_ENDED) {
        set_state(a, POD_STATE_ENDING);
        loop_defer(a->pods->loop, &a->ending, tell_end, a);
    }
}

static void attempt_end(struct pod_attempt *a)
{
    stop_all(a);
    set_state(a, POD_STATE_ENDING);
    loop_defer(a->pods->loop, &a->ending, tell_end, a);
}

static void attempt_end_as(struct pod_attempt *a, enum attempt_state state, const char *reason)
{
    a->end = a->is_canceled && state != ATTEMPT_STATE_SUCCEEDED ? ATTEMPT_STATE_CANCELED : state;
    free(a->reason);
    a->reason = xstrdup(reason);
    attempt_end(a);
}

void pod_attempt_report(struct pod_attempt *a, json_t *report)
{
    if (is_over(a)) {
        json_decref(report);
        return;
    }
    const char *state = jget_str(report, "state", "");
    a->exit_code = (int)jget_i64(report, "exit_code", -1);
    a->started_us = jget_i64(report, "started_us", 0);
    a->ended_us = jget_i64(report, "ended_us", 0);
    free(a->tail);
    free(a->reason);
    a->tail = xstrdup(jget_str(report, "log_tail", ""));
    a->reason = xstrdup(jget_str(report, "reason", ""));
    a->end = ATTEMPT_STATE_FAILED;
    if (strcmp(state, "SUCCEEDED") == 0) {
        a->end = ATTEMPT_STATE_SUCCEEDED;
    } else if (strcmp(state, "CANCELED") == 0 && a->is_canceled) {
        a->end = ATTEMPT_STATE_CANCELED;
    } else if (strcmp(state, "CANCELED") == 0) {
        a->end = ATTEMPT_STATE_LOST;
        free(a->reason);
        a->reason = xstrdup("its pod was told to stop by somebody else (a drained node?)");
    }
    a->report = report;
    attempt_end(a);
}

/* ---- over without a report ---- */

static void on_tail(void *owner, const char *text, size_t len, const struct err *err)
{
    struct pod_attempt *a = owner;
    a->call = NULL;
    if (err == NULL && len > 0) {
        size_t keep = len > TAIL_MAX ? TAIL_MAX : len;
        free(a->tail);
        a->tail = xstrndup(text + (len - keep), keep);
        text_sanitise(a->tail);
    }
    attempt_end(a);
}

static void attempt_conclude(struct pod_attempt *a, const struct pod_status *status)
{
    a->exit_code = status->exit_code;
    a->started_us = status->started_us;
    a->ended_us = status->ended_us;
    if (a->is_canceled) {
        attempt_end_as(a, ATTEMPT_STATE_CANCELED, "it was canceled");
        return;
    }
    a->end = status->state;
    free(a->reason);
    a->reason = xstrdup(status->words);
    if (status->state == ATTEMPT_STATE_LOST || !status->has_tail) {
        attempt_end(a);
        return;
    }
    set_state(a, POD_STATE_FETCHING_TAIL);
    a->call = pod_log_ask(a->pods, a->pod, TAIL_LINES, on_tail, a);
}

/* ---- how its pod stands ---- */

void pod_attempt_running(struct pod_attempt *a)
{
    if (a->is_running || is_over(a)) {
        return;
    }
    a->is_running = true;
    timer_stop(&a->start_limit);
    const struct executor_listener *l = &a->pods->listener;
    struct attempt_name name = name_of(a);
    LOG_DEBUG("pod is running", "pod=%s", a->pod);
    if (l->on_running != NULL) {
        l->on_running(l->owner, &name);
    }
}

static void note_words(struct pod_attempt *a, const struct pod_status *status)
{
    if (strcmp(a->words, status->words) == 0) {
        return;
    }
    snprintf(a->words, sizeof a->words, "%s", status->words);
    if (a->words[0] != '\0') {
        LOG_INFO("pod waits", "pod=%s reason=%s", a->pod, LOG_Q(a->words));
    }
}

static void judge(struct pod_attempt *a, const json_t *pod)
{
    struct pod_status status;
    pod_status_read(pod, &status);
    switch (status.phase) {
    case POD_PHASE_WAITING:
        note_words(a, &status);
        if (status.is_hopeless) {
            attempt_end_as(a, ATTEMPT_STATE_FAILED, a->words);
        }
        break;
    case POD_PHASE_RUNNING:
        note_words(a, &status);
        pod_attempt_running(a);
        break;
    case POD_PHASE_OVER:
        attempt_conclude(a, &status);
        break;
    }
}

static void attempt_look(struct pod_attempt *a)
{
    const json_t *pod = pods_seen(a->pods, a->pod);
    if (a->saving > 0) {
        return; /* its report is all but here */
    }
    if (pod != NULL) {
        judge(a, pod);
    } else if (a->is_canceled) {
        attempt_end_as(a, ATTEMPT_STATE_CANCELED, "it was canceled");
    } else {
        attempt_end_as(
            a, ATTEMPT_STATE_LOST, "its pod was deleted by somebody, or together with its node");
    }
}

void pod_attempt_look(struct pod_attempt *a)
{
    if (a->state == POD_STATE_RUNNING) {
        loop_defer(a->pods->loop, &a->step, attempt_step, a);
    }
}

static void on_start_limit(void *owner)
{
    struct pod_attempt *a = owner;
    char reason[POD_WORDS_MAX + 128];
    snprintf(reason, sizeof reason, "its pod did not start within %lld s: %s",
        (long long)(a->pods->start_timeout_ms / 1000),
        a->words[0] != '\0' ? a->words : "Kubernetes does not say why");
    attempt_end_as(a, ATTEMPT_STATE_FAILED, reason);
}

/* ---- creating ---- */

static void attempt_exists(struct pod_attempt *a)
{
    set_state(a, POD_STATE_RUNNING);
    a->backoff_ms = BACKOFF_MIN_MS;
    if (a->is_canceled) {
        attempt_delete(a);
        return;
    }
    if (!a->is_running && !timer_is_armed(&a->start_limit)) {
        timer_start_ms(&a->start_limit, a->pods->start_timeout_ms);
    }
    pod_attempt_look(a);
}

static void retry_later(struct pod_attempt *a)
{
    timer_start_ms(&a->retry, pods_jitter(a->backoff_ms));
    a->backoff_ms = a->backoff_ms * 2 < BACKOFF_MAX_MS ? a->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* May the same request be welcome later? */
static bool is_passing(const struct err *err)
{
    return err->code == ERR_TRANSIENT || err->code == ERR_UNAUTHENTICATED ||
           err->code == ERR_CONFLICT || err->code == ERR_PRECONDITION ||
           (err->code == ERR_DENIED && strstr(err->msg, "exceeded quota") != NULL);
}

static void on_found(void *owner, const json_t *reply, const struct err *err);

/* The reply is the pod. The watch may have been faster, and may even have seen it go. */
static void attempt_got_pod(struct pod_attempt *a, const json_t *pod)
{
    const char *uid = jget_str(json_object_get(pod, "metadata"), "uid", "");
    if (pods_seen(a->pods, a->pod) == NULL && strcmp(uid, a->gone_uid) != 0) {
        pods_see(a->pods, pod);
    }
    attempt_exists(a);
}

static void create_again(struct pod_attempt *a, const struct err *err)
{
    LOG_WARN(
        "pod cannot be created now, will try again", "pod=%s reason=%s", a->pod, LOG_Q(err->msg));
    /* While the API server is away nobody is to blame; a full namespace is told in the end. */
    if (err->code != ERR_TRANSIENT && !timer_is_armed(&a->start_limit)) {
        snprintf(a->words, sizeof a->words, "%.900s", err->msg);
        timer_start_ms(&a->start_limit, a->pods->start_timeout_ms);
    }
    set_state(a, POD_STATE_WAITING_TO_CREATE);
    retry_later(a);
}

static void on_created(void *owner, const json_t *reply, const struct err *err)
{
    struct pod_attempt *a = owner;
    a->call = NULL;
    FAULT("pods.create.after");
    if (err == NULL) {
        attempt_got_pod(a, reply);
    } else if (err->code == ERR_EXISTS) {
        LOG_INFO("pod is there already", "pod=%s", a->pod);
        CLEANUP(cleanup_free) char *path = pods_path(a->pods, a->pod, "");
        a->call = kube_request(a->pods->kube, "GET", path, NULL, on_found, a);
    } else if (a->is_canceled) {
        set_state(a, POD_STATE_RUNNING);
        attempt_delete(a); /* who knows whether it was made */
    } else if (is_passing(err)) {
        create_again(a, err);
    } else {
        CLEANUP(cleanup_free) char *reason = xasprintf("its pod was refused: %s", err->msg);
        attempt_end_as(a, ATTEMPT_STATE_FAILED, reason);
    }
}

static void on_found(void *owner, const json_t *reply, const struct err *err)
{
    struct pod_attempt *a = owner;
    a->call = NULL;
    if (err == NULL) {
        attempt_got_pod(a, reply);
    } else {
        create_again(a, err); /* gone meanwhile, or the server is */
    }
}

static void attempt_create(struct pod_attempt *a)
{
    struct pods *pods = a->pods;
    struct attempt_name name = name_of(a);
    char token[SHA256_HEX_LEN + 1];
    pods_token(pods, &name, token);
    struct pod_spec spec = {
        .name = &name,
        .instance = pods->instance,
        .url = pods->url,
        .token = token,
        .launcher_image = pods->launcher_image,
        .service_account = pods->service_account,
        .start_timeout_ms = pods->start_timeout_ms,
        .order = a->order,
        .container = a->container,
    };
    struct err err = ERR_INIT;
    json_t *manifest CLEANUP(json_decrefp) = pod_manifest(&spec, &err);
    if (manifest == NULL) {
        attempt_end_as(a, ATTEMPT_STATE_FAILED, err.msg);
        return;
    }
    set_state(a, POD_STATE_CREATING);
    FAULT("pods.create.before");
    CLEANUP(cleanup_free) char *path = xasprintf("%s?fieldValidation=Strict", pods->path);
    a->call = kube_request(pods->kube, "POST", path, manifest, on_created, a);
}

/* ---- canceling ---- */

static void on_deleted(void *owner, const json_t *reply, const struct err *err)
{
    struct pod_attempt *a = owner;
    (void)reply;
    a->delete_call = NULL;
    if (err == NULL) {
        return; /* the report, or its disappearance, follows */
    }
    if (err->code == ERR_NOT_FOUND) {
        if (a->saving == 0) {
            attempt_end_as(a, ATTEMPT_STATE_CANCELED, "it was canceled");
        }
        return;
    }
    LOG_WARN(
        "pod cannot be deleted now, will try again", "pod=%s reason=%s", a->pod, LOG_Q(err->msg));
    a->is_deleting = false;
    retry_later(a);
}

static void attempt_delete(struct pod_attempt *a)
{
    if (a->is_deleting) {
        return;
    }
    a->is_deleting = true;
    FAULT("pods.delete.before");
    CLEANUP(cleanup_free) char *path = pods_path(a->pods, a->pod, "");
    json_t *options = json_pack("{s:s,s:s,s:i,s:s}", "kind", "DeleteOptions", "apiVersion", "v1",
        "gracePeriodSeconds", GRACE_S, "propagationPolicy", "Background");
    a->delete_call = kube_request(a->pods->kube, "DELETE", path, options, on_deleted, a);
    json_decref(options);
}

static void on_cancel_limit(void *owner)
{
    struct pod_attempt *a = owner;
    LOG_WARN("pod does not end; its node may be gone", "pod=%s", a->pod);
    attempt_end_as(a, ATTEMPT_STATE_CANCELED, "it was canceled; its pod has not ended yet");
}

void pod_attempt_cancel(struct pod_attempt *a)
{
    if (is_over(a) || a->is_canceled) {
        return;
    }
    a->is_canceled = true;
    a->backoff_ms = BACKOFF_MIN_MS;
    timer_stop(&a->start_limit);
    timer_start_ms(&a->cancel_limit, CANCEL_LIMIT_MS);
    switch (a->state) {
    case POD_STATE_WAITING_TO_CREATE:
        timer_stop(&a->retry);
        set_state(a, POD_STATE_RUNNING);
        attempt_delete(a);
        break;
    case POD_STATE_RUNNING:
        attempt_delete(a);
        break;
    case POD_STATE_WAITING_FOR_CLUSTER:
    case POD_STATE_LOOKING_FOR_REPORT:
    case POD_STATE_CREATING:
    case POD_STATE_FETCHING_TAIL:
    case POD_STATE_ENDING:
    case POD_STATE_ENDED:
        break; /* it is looked at when that has its answer */
    }
}

/* ---- from the start ---- */

static void on_old_report(void *owner, redisReply *reply, const struct err *err)
{
    struct pod_attempt *a = owner;
    a->look = NULL;
    if (err != NULL) {
        LOG_WARN("report cannot be looked for, will try again", "pod=%s reason=%s", a->pod,
            LOG_Q(err->msg));
        retry_later(a);
        return;
    }
    struct err bad = ERR_INIT;
    json_t *report =
        reply->type == REDIS_REPLY_STRING ? pod_report_parse(reply->str, reply->len, &bad) : NULL;
    if (report != NULL) {
        pod_attempt_report(a, report);
    } else if (bad.code != ERR_NONE) {
        attempt_end_as(a, ATTEMPT_STATE_FAILED, bad.msg);
    } else if (pods_seen(a->pods, a->pod) != NULL) {
        LOG_INFO("pod adopted", "pod=%s", a->pod);
        attempt_exists(a);
    } else if (a->is_canceled) {
        set_state(a, POD_STATE_RUNNING);
        attempt_delete(a);
    } else {
        attempt_create(a);
    }
}

static void look_for_report(struct pod_attempt *a)
{
    struct attempt_name name = name_of(a);
    CLEANUP(cleanup_free) char *key = pod_report_key(a->pods, &name);
    a->look = store_cmd(a->pods->store, on_old_report, a, "GET %s", key);
}

static void attempt_step(void *owner)
{
    struct pod_attempt *a = owner;
    switch (a->state) {
    case POD_STATE_WAITING_FOR_CLUSTER:
        set_state(a, POD_STATE_LOOKING_FOR_REPORT);
        look_for_report(a);
        break;
    case POD_STATE_LOOKING_FOR_REPORT:
        look_for_report(a);
        break;
    case POD_STATE_WAITING_TO_CREATE:
        attempt_create(a);
        break;
    case POD_STATE_RUNNING:
        if (a->is_canceled && a->delete_call == NULL && !a->is_deleting) {
            attempt_delete(a);
        } else {
            attempt_look(a);
        }
        break;
    case POD_STATE_CREATING:
    case POD_STATE_FETCHING_TAIL:
    case POD_STATE_ENDING:
    case POD_STATE_ENDED:
        break;
    }
}

void pod_attempt_go(struct pod_attempt *a)
{
    if (a->state == POD_STATE_WAITING_FOR_CLUSTER) {
        loop_defer(a->pods->loop, &a->step, attempt_step, a);
    }
}

struct pod_attempt *pod_attempt_new(struct pods *pods, const struct attempt_name *name,
    const json_t *order, const json_t *container)
{
    assert(id_is_valid(name->run_id) && id_is_valid(name->task_id));
    struct pod_attempt *a = xcalloc(1, sizeof *a);
    a->pods = pods;
    a->key = pods_key(name);
    memcpy(a->run.text, name->run_id, ID_LEN + 1);
    memcpy(a->task.text, name->task_id, ID_LEN + 1);
    a->attempt = name->attempt;
    pod_name(name, a->pod);
    a->order = json_incref((json_t *)order);
    a->container = json_incref((json_t *)container);
    a->backoff_ms = BACKOFF_MIN_MS;
    a->exit_code = -1;
    timer_init(&a->retry, pods->loop, attempt_step, a);
    timer_init(&a->start_limit, pods->loop, on_start_limit, a);
    timer_init(&a->cancel_limit, pods->loop, on_cancel_limit, a);
    return a;
}

void pod_attempt_free(void *attempt)
{
    struct pod_attempt *a = attempt;
    stop_all(a);
    loop_defer_cancel(a->pods->loop, &a->ending);
    timer_done(&a->retry);
    timer_done(&a->start_limit);
    timer_done(&a->cancel_limit);
    json_decref(a->order);
    json_decref(a->container);
    json_decref(a->report);
    free(a->order_text);
    free(a->reason);
    free(a->tail);
    free(a->key);
    free(a);
}
