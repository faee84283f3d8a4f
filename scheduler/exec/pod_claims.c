/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes that outlive a pod: PersistentVolumeClaims, made and deleted for createpvc, deletepvc and
 * workspaces. A claim is known as this task's by the labels that the engine gave it; what was asked
 * for and not answered may have happened, so every call looks before it complains.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "exec/pods.h"

#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 8000
#define LIMIT_US (INT64_C(180) * US_PER_S)
#define PATH_MAX_BYTES 8192

struct claim_call {
    struct pods *pods;
    json_t *claim; /* to be made; NULL: to be deleted */
    char *name;
    struct kube_call *call;
    struct timer retry;
    int64_t backoff_ms, limit_us; /* monotonic: no try begins later */
    bool may_have_happened;       /* a try had no answer */
    executor_volume_fn *done;
    void *owner;
    struct claim_call *prev, *next;
};

static void call_try(void *owner);

/* ---- its life ---- */

static void call_free(struct claim_call *c)
{
    *(c->prev != NULL ? &c->prev->next : &c->pods->claim_calls) = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    kube_cancel(c->call);
    timer_done(&c->retry);
    json_decref(c->claim);
    free(c->name);
    free(c);
}

static struct claim_call *call_new(
    struct pods *pods, const char *name, executor_volume_fn *done, void *owner)
{
    struct claim_call *c = xcalloc(1, sizeof *c);
    c->pods = pods;
    c->name = xstrdup(name);
    c->backoff_ms = BACKOFF_MIN_MS;
    c->limit_us = clock_mono_us() + LIMIT_US;
    c->done = done;
    c->owner = owner;
    c->next = pods->claim_calls;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    pods->claim_calls = c;
    timer_init(&c->retry, pods->loop, call_try, c);
    timer_start_ms(&c->retry, 0);
    return c;
}

static void call_end(struct claim_call *c, const struct err *err)
{
    executor_volume_fn *done = c->done;
    void *owner = c->owner;
    call_free(c);
    done(owner, err);
}

/* Err, or another try if that may help. */
static void call_again(struct claim_call *c, const struct err *err)
{
    bool is_passing = err->code == ERR_TRANSIENT || err->code == ERR_UNAUTHENTICATED ||
                      err->code == ERR_CONFLICT ||
                      (err->code == ERR_DENIED && strstr(err->msg, "exceeded quota") != NULL);
    if (!is_passing || clock_mono_us() > c->limit_us) {
        call_end(c, err);
        return;
    }
    c->may_have_happened |= err->code == ERR_TRANSIENT;
    LOG_WARN("volume claim has to wait", "claim=%s reason=%s", LOG_Q(c->name), LOG_Q(err->msg));
    timer_start_ms(&c->retry, pods_jitter(c->backoff_ms));
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static char *claim_path(const struct claim_call *c, const char *name)
{
    struct buf path;
    buf_init(&path, PATH_MAX_BYTES);
    buf_adds(&path, "/api/v1/namespaces/");
    http_encode(&path, kube_namespace(c->pods->kube));
    buf_adds(&path, "/persistentvolumeclaims");
    if (name != NULL) {
        buf_addc(&path, '/');
        http_encode(&path, name);
    } else {
        buf_adds(&path, "?fieldValidation=Strict");
    }
    return buf_steal(&path, NULL);
}

/* ---- making ---- */

/* Every label that the engine gave it. One that is being deleted is as good as gone. */
static bool is_ours(const struct claim_call *c, const json_t *found)
{
    const json_t *metadata = json_object_get(found, "metadata");
    const json_t *labels = json_object_get(metadata, "labels");
    json_t *wanted = json_object_get(json_object_get(c->claim, "metadata"), "labels");
    const char *key;
    json_t *value;
    json_object_foreach(wanted, key, value)
    {
        json_t *there = json_object_get(labels, key);
        if (there == NULL || !json_equal(there, value)) {
            return false;
        }
    }
    return json_object_size(wanted) > 0 && json_object_get(metadata, "deletionTimestamp") == NULL;
}

static void on_found(void *owner, const json_t *reply, const struct err *err)
{
    struct claim_call *c = owner;
    c->call = NULL;
    struct err why = ERR_INIT;
    if (err == NULL && is_ours(c, reply)) {
        LOG_INFO("volume claim is there already", "claim=%s", LOG_Q(c->name));
        call_end(c, NULL);
    } else if (err == NULL) {
        err_set(&why, ERR_EXISTS,
            "the volume claim '%.253s' exists already, and this task has not made it", c->name);
        call_end(c, &why);
    } else if (err->code == ERR_NOT_FOUND) {
        err_set(&why, ERR_CONFLICT, "the volume claim '%.253s' comes and goes", c->name);
        call_again(c, &why);
    } else {
        call_again(c, err);
    }
}

static void on_created(void *owner, const json_t *reply UNUSED, const struct err *err)
{
    struct claim_call *c = owner;
    c->call = NULL;
    FAULT("pods.claim.create.after");
    if (err != NULL && err->code == ERR_EXISTS) {
        char *path CLEANUP(cleanup_free) = claim_path(c, c->name);
        c->call = kube_request(c->pods->kube, "GET", path, NULL, on_found, c);
    } else if (err != NULL) {
        call_again(c, err);
    } else {
        call_end(c, NULL);
    }
}

/* ---- deleting ---- */

static void on_deleted(void *owner, const json_t *reply UNUSED, const struct err *err)
{
    struct claim_call *c = owner;
    c->call = NULL;
    FAULT("pods.claim.delete.after");
    if (err == NULL || (err->code == ERR_NOT_FOUND && c->may_have_happened)) {
        call_end(c, NULL);
    } else if (err->code == ERR_NOT_FOUND) {
        struct err why = ERR_INIT;
        err_set(&why, ERR_NOT_FOUND, "the volume claim '%.253s' does not exist", c->name);
        call_end(c, &why);
    } else {
        call_again(c, err);
    }
}

static void call_try(void *owner)
{
    struct claim_call *c = owner;
    struct kube *kube = c->pods->kube;
    char *path CLEANUP(cleanup_free) = claim_path(c, c->claim != NULL ? NULL : c->name);
    if (c->claim != NULL) {
        c->call = kube_request(kube, "POST", path, c->claim, on_created, c);
        return;
    }
    json_t *options CLEANUP(json_decrefp) = json_pack("{s:s,s:s,s:s}", "kind", "DeleteOptions",
        "apiVersion", "v1", "propagationPolicy", "Background");
    c->call = kube_request(kube, "DELETE", path, options, on_deleted, c);
}

/* ---- executor_ops ---- */

void pods_volume_create(void *self, const json_t *claim, executor_volume_fn *done, void *owner)
{
    const char *name = jget_str(json_object_get(claim, "metadata"), "name", "");
    struct claim_call *c = call_new(self, name, done, owner);
    c->claim = json_deep_copy(claim);
}

void pods_volume_delete(void *self, const char *name, executor_volume_fn *done, void *owner)
{
    call_new(self, name, done, owner);
}

void pods_volume_cancel(void *self, void *owner)
{
    const struct pods *pods = self;
    for (struct claim_call *c = pods->claim_calls, *next; c != NULL; c = next) {
        next = c->next;
        if (c->owner == owner) {
            call_free(c);
        }
    }
}

void pods_volume_free_all(struct pods *pods)
{
    while (pods->claim_calls != NULL) {
        call_free(pods->claim_calls);
    }
}
