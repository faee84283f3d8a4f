/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kubernetes executor: its start, what the watch tells, and which attempt that concerns. What
 * happens to one attempt is in pod_attempt.c, what comes after its end in pod_farewell.c.
 *
 * The pods in the cluster are the record: their names follow from the attempts'. Nothing is
 * created before the first complete list, so that after a restart each attempt finds its pod.
 */
#include "exec/pods.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/artifact.h"

#define SECRET_LEN 32
#define SECRET_RETRY_MS 1000
#define SWEEP_MS INT64_C(300000)
#define PATH_MAX_BYTES 8192

/* ---- small parts ---- */

char *pods_key(const struct attempt_name *name)
{
    return xasprintf("%s/%s/%d", name->run_id, name->task_id, name->attempt);
}

struct pod_attempt *pods_find(const struct pods *pods, const struct attempt_name *name)
{
    CLEANUP(cleanup_free) char *key = pods_key(name);
    return map_get(pods->attempts, key);
}

const json_t *pods_seen(const struct pods *pods, const char *pod)
{
    const struct pod *seen = map_get(pods->seen, pod);
    return seen != NULL ? seen->object : NULL;
}

char *pods_path(const struct pods *pods, const char *pod, const char *rest)
{
    return xasprintf("%s/%s%s", pods->path, pod, rest);
}

int64_t pods_jitter(int64_t ms)
{
    uint16_t r;
    random_bytes(&r, sizeof r);
    return ms / 2 + ms * r / UINT16_MAX;
}

static void pod_free(void *value)
{
    struct pod *pod = value;
    json_decref(pod->object);
    free(pod);
}

/* ---- what the watch tells ---- */

/* The attempt that a pod's labels name; its own name must be the one that follows from it. */
static bool name_of(const json_t *object, struct attempt_name *out)
{
    const json_t *metadata = json_object_get(object, "metadata");
    const json_t *labels = json_object_get(metadata, "labels");
    int64_t attempt;
    struct err ignored;
    out->run_id = jget_str(labels, "rondo.dev/run-id", "");
    out->task_id = jget_str(labels, "rondo.dev/task-id", "");
    if (!id_is_valid(out->run_id) || !id_is_valid(out->task_id) ||
        parse_i64(jget_str(labels, "rondo.dev/attempt", ""), 0, INT_MAX, "attempt", &attempt,
            &ignored) != 0) {
        return false;
    }
    out->attempt = (int)attempt;
    char expected[POD_NAME_MAX + 1];
    pod_name(out, expected);
    return strcmp(jget_str(metadata, "name", ""), expected) == 0;
}

static const char *meta_text(const json_t *object, const char *key)
{
    return jget_str(json_object_get(object, "metadata"), key, "");
}

/* Only what is looked at later: a pod's spec is most of it. */
static json_t *essence(const json_t *object)
{
    static const char *const kept[] = {
        "name", "uid", "labels", "creationTimestamp", "deletionTimestamp"};
    json_t *metadata = json_object();
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        json_t *value = json_object_get(json_object_get(object, "metadata"), kept[i]);
        if (value != NULL) {
            json_object_set(metadata, kept[i], value);
        }
    }
    json_t *status = json_object_get(object, "status");
    json_t *out = json_pack("{s:o}", "metadata", metadata);
    if (status != NULL) {
        json_object_set(out, "status", status);
    }
    return out;
}

void pods_see(struct pods *pods, const json_t *object)
{
    struct pod *pod = xcalloc(1, sizeof *pod);
    pod->object = essence(object);
    pod->listing = pods->listing;
    map_put(pods->seen, meta_text(object, "name"), pod);
}

static void on_object(void *owner, const char *type, const json_t *object)
{
    struct pods *pods = owner;
    struct attempt_name name;
    if (!name_of(object, &name)) {
        return;
    }
    const char *pod = meta_text(object, "name");
    struct pod_attempt *a = pods_find(pods, &name);
    if (strcmp(type, "DELETED") == 0) {
        const json_t *known = pods_seen(pods, pod);
        if (a != NULL) {
            snprintf(a->gone_uid, sizeof a->gone_uid, "%s", meta_text(object, "uid"));
        }
        /* An earlier pod of that name: ours came after it. */
        if (known == NULL || strcmp(meta_text(known, "uid"), meta_text(object, "uid")) != 0) {
            return;
        }
        map_remove(pods->seen, pod);
    } else {
        pods_see(pods, object);
    }
    struct farewell *farewell = map_get(pods->farewells, pod);
    if (a != NULL) {
        pod_attempt_look(a);
    } else if (farewell != NULL) {
        pod_farewell_look(farewell);
    }
}

static void on_listing(void *owner)
{
    struct pods *pods = owner;
    pods->listing++;
}

static void on_listed(void *owner)
{
    struct pods *pods = owner;
    struct map_iter it = {0};
    const char *key;
    void *value;
    while (map_next(pods->seen, &it, &key, &value)) {
        if (((struct pod *)value)->listing != pods->listing) {
            map_remove(pods->seen, key);
        }
    }
    bool is_first = !pods->is_listed;
    pods->is_listed = true;
    LOG_DEBUG("pods are listed", "count=%zu", map_count(pods->seen));
    /* Both only note what is to be done; nothing is taken out of the map meanwhile. */
    it = (struct map_iter){0};
    while (map_next(pods->attempts, &it, &key, &value)) {
        if (is_first) {
            pod_attempt_go(value);
        } else {
            pod_attempt_look(value);
        }
    }
}

/* ---- pods that nobody asks for any more ---- */

/* We were killed between the save of an attempt's end and the removal of its pod. Pods of runs that
 * other daemons carry on are theirs. */
static void sweep(void *owner)
{
    struct pods *pods = owner;
    struct map_iter it = {0};
    const char *key;
    void *value;
    int64_t now_us = clock_mono_us();
    timer_start_ms(&pods->sweep, SWEEP_MS);
    while (pods->is_listed && map_next(pods->seen, &it, &key, &value)) {
        const struct pod *pod = value;
        struct attempt_name name;
        if (name_of(pod->object, &name) &&
            pods_ready_for_us(pods, name.run_id, now_us) >= SWEEP_MS * US_PER_MS &&
            pods_find(pods, &name) == NULL && !map_has(pods->farewells, key)) {
            LOG_INFO("removing a pod that nobody waits for", "pod=%s", key);
            pod_farewell(pods, &name, NULL, true);
        }
    }
}

/* ---- start ---- */

static void start_watch(struct pods *pods)
{
    unsigned char digest[SHA256_LEN];
    hmac_sha256(pods->secret.bytes, pods->secret.len, "instance", 8, digest);
    hex_encode(digest, POD_INSTANCE_LEN / 2, pods->instance);
    CLEANUP(cleanup_free)
    char *selector =
        xasprintf("app.kubernetes.io/managed-by=rondo,rondo.dev/instance=%s", pods->instance);
    struct kube_watch_listener listener = {
        .on_object = on_object,
        .on_listing = on_listing,
        .on_listed = on_listed,
        .owner = pods,
    };
    pods->watch = kube_watch_start(pods->kube, pods->path, selector, &listener);
    LOG_INFO("pods are watched", "server=%s namespace=%s instance=%s", pods->credentials.server,
        kube_namespace(pods->kube), pods->instance);
}

static void on_secret(void *owner, redisReply *reply, const struct err *err)
{
    struct pods *pods = owner;
    pods->secret_call = NULL;
    const char *text = err == NULL ? reply_str(reply) : NULL;
    unsigned char bytes[SECRET_LEN];
    if (text == NULL || hex_decode(text, strlen(text), bytes, sizeof bytes) != 0) {
        LOG_WARN("the secret of pods cannot be read, will try again", "reason=%s",
            LOG_Q(err != NULL ? err->msg : "it is not 64 hex digits"));
        timer_start_ms(&pods->secret_retry, SECRET_RETRY_MS);
        return;
    }
    secret_set(&pods->secret, bytes, sizeof bytes);
    start_watch(pods);
}

/* One for all daemons that come after us on this Redis: pods outlive a daemon. */
static void ask_secret(void *owner)
{
    struct pods *pods = owner;
    unsigned char bytes[SECRET_LEN];
    char hex[2 * SECRET_LEN + 1];
    random_bytes(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, hex);
    const char *prefix = store_catalog_prefix(pods->store);
    store_cmd(pods->store, NULL, NULL, "SET %spod_secret %s NX", prefix, hex);
    pods->secret_call = store_cmd(pods->store, on_secret, pods, "GET %spod_secret", prefix);
}

/* ---- executor_ops ---- */

static void pods_listen(void *self, const struct executor_listener *listener)
{
    ((struct pods *)self)->listener = *listener;
}

/* The image's own. */
static void pods_work_dir(void *self, const struct attempt_name *name, struct buf *out)
{
    (void)self;
    (void)name;
    (void)out;
}

static void pods_artifact_path(
    void *self, const struct attempt_name *name, const char *uri, struct buf *out)
{
    const struct pods *pods = self;
    (void)name;
    pod_artifact_path(artifact_store_root(pods->artifacts), uri, out);
}

static void pods_start(
    void *self, const struct attempt_name *name, const json_t *order, const json_t *container)
{
    struct pods *pods = self;
    struct pod_attempt *known = pods_find(pods, name);
    if (known != NULL) {
        LOG_DEBUG("pod is already started", "pod=%s", known->pod);
        pod_attempt_again(known);
        return;
    }
    struct pod_attempt *a = pod_attempt_new(pods, name, order, container);
    map_put(pods->attempts, a->key, a);
    if (pods->is_listed) {
        pod_attempt_go(a);
    }
}

static void pods_cancel(void *self, const struct attempt_name *name)
{
    struct pod_attempt *a = pods_find(self, name);
    if (a != NULL) {
        pod_attempt_cancel(a);
    }
}

static void pods_forget(void *self, const struct attempt_name *name)
{
    struct pods *pods = self;
    struct pod_attempt *a = pods_find(pods, name);
    if (a != NULL && a->state != POD_STATE_ENDED) {
        LOG_WARN("asked to forget a step that is running", "run=%s task=%s", name->run_id,
            name->task_id);
        return;
    }
    pod_farewell(pods, name, a != NULL ? a->tail : NULL, a == NULL || a->is_running);
    CLEANUP(cleanup_free) char *key = pods_key(name);
    map_remove(pods->attempts, key);
}

/* The pod stays: whoever carries the run on finds it. */
static void pods_let_go(void *self, const struct attempt_name *name)
{
    struct pods *pods = self;
    CLEANUP(cleanup_free) char *key = pods_key(name);
    map_remove(pods->attempts, key);
}

static void pods_purge(void *self, const char *run_id)
{
    struct pods *pods = self;
    assert(id_is_valid(run_id));
    pod_farewells_purge(pods, run_id);
    CLEANUP(cleanup_free) char *logs = xasprintf("%s/logs/%s", pods->data_dir, run_id);
    struct err err = ERR_INIT;
    if (dir_remove(logs, &err) != 0) {
        LOG_WARN("logs of a run cannot be removed", "reason=%s", LOG_Q(err.msg));
    }
}

/* The pods go on: the next daemon finds them. */
static void pods_free(void *self)
{
    struct pods *pods = self;
    kube_watch_stop(pods->watch);
    store_cancel(pods->secret_call);
    timer_done(&pods->secret_retry);
    timer_done(&pods->sweep);
    pod_report_free_all(pods);
    pod_logs_free_all(pods);
    pods_volume_free_all(pods);
    map_free(pods->farewells);
    map_free(pods->attempts);
    map_free(pods->seen);
    kube_free(pods->kube);
    kube_credentials_done(&pods->credentials);
    secret_done(&pods->secret);
    free(pods->path);
    free(pods->data_dir);
    free(pods->launcher_image);
    free(pods->service_account);
    free(pods->url);
    free(pods->ready_us);
    free(pods);
}

static const struct executor_ops pods_ops = {
    .name = "kubernetes",
    .listen = pods_listen,
    .work_dir = pods_work_dir,
    .artifact_path = pods_artifact_path,
    .start = pods_start,
    .cancel = pods_cancel,
    .forget = pods_forget,
    .let_go = pods_let_go,
    .purge = pods_purge,
    .logs = pod_logs,
    .volume_create = pods_volume_create,
    .volume_delete = pods_volume_delete,
    .volume_cancel = pods_volume_cancel,
    .free = pods_free,
};

/* ---- public ---- */

static char *collection_path(const struct pods *pods)
{
    struct buf path;
    buf_init(&path, PATH_MAX_BYTES);
    buf_adds(&path, "/api/v1/namespaces/");
    http_encode(&path, kube_namespace(pods->kube));
    buf_adds(&path, "/pods");
    return buf_steal(&path, NULL);
}

int executor_pods_new(
    struct loop *loop, const struct pods_settings *settings, struct executor *out, struct err *err)
{
    CLEANUP(cleanup_free) char *data = realpath(settings->data_dir, NULL);
    if (data == NULL) {
        return err_errno(err, errno, "%s", settings->data_dir);
    }
    CLEANUP(cleanup_free) char *keys = xasprintf("%s/kube", data);
    struct kube_credentials credentials;
    if (kube_credentials_load(&credentials, settings->kubeconfig, keys, err) != 0) {
        return err_wrap(err, "executor kubernetes");
    }
    if (settings->namespace_ != NULL && settings->namespace_[0] != '\0') {
        free(credentials.namespace_);
        credentials.namespace_ = xstrdup(settings->namespace_);
    }
    struct pods *pods = xcalloc(1, sizeof *pods);
    pods->loop = loop;
    pods->http = settings->http;
    pods->store = settings->store;
    pods->artifacts = settings->artifacts;
    pods->credentials = credentials;
    pods->kube = kube_new(loop, settings->http, &pods->credentials);
    pods->path = collection_path(pods);
    pods->data_dir = STEAL(data);
    pods->launcher_image = xstrdup(settings->launcher_image);
    pods->service_account =
        xstrdup(settings->service_account != NULL ? settings->service_account : "");
    pods->url = xstrdup("");
    pods->start_timeout_ms = settings->pod_start_timeout_ms;
    pods->attempts = map_new(pod_attempt_free);
    pods->seen = map_new(pod_free);
    pods->ready_us = xcalloc(store_shards(pods->store), sizeof *pods->ready_us);
    pods->farewells = map_new(pod_farewell_free);
    timer_init(&pods->secret_retry, loop, ask_secret, pods);
    timer_init(&pods->sweep, loop, sweep, pods);
    timer_start_ms(&pods->secret_retry, 0);
    timer_start_ms(&pods->sweep, SWEEP_MS);
    out->ops = &pods_ops;
    out->self = pods;
    return 0;
}

struct pods *executor_pods(const struct executor *executor)
{
    return executor->ops == &pods_ops ? executor->self : NULL;
}

const char *pods_namespace(const struct pods *pods)
{
    return kube_namespace(pods->kube);
}

void pods_set_url(struct pods *pods, const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    free(pods->url);
    pods->url = xstrndup(url, len);
}

void pods_set_ready(struct pods *pods, unsigned shard, bool is_ready)
{
    pods->ready_us[shard] = is_ready ? clock_mono_us() : 0;
}

int64_t pods_ready_for_us(const struct pods *pods, const char *run_id, int64_t now_us)
{
    int64_t since_us = pods->ready_us[id_shard(run_id, store_shards(pods->store))];
    return since_us == 0 ? -1 : now_us - since_us;
}
