/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest of an attempt's pod. Pure: the same attempt always gives the same pod. What is set
 * follows KFP's own backend where pipelines can notice it: the container is called `main`, there
 * are writable folders for users that have no home, capabilities are dropped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "exec/pods.h"
#include "scheduler/order.h"

#define LAUNCHER_DIR "/rondo/bin"
#define WORK_DIR "/rondo/work"
#define LAUNCHER LAUNCHER_DIR "/rondo-launcher"
#define GRACE_S 30
#define NOBODY 65532
#define DAY_S 86400
#define ANNOTATION_MAX 1024

/* Where KFP's users without a home write, and where the SDK looks for artifacts. */
static const struct {
    const char *volume, *path;
} folders[] = {
    {"rondo-work", WORK_DIR},
    {"gcs", "/gcs"},
    {"s3", "/s3"},
    {"minio", "/minio"},
    {"dot-local", "/.local"},
    {"dot-cache", "/.cache"},
    {"dot-config", "/.config"},
};

void pod_name(const struct attempt_name *name, char out[POD_NAME_MAX + 1])
{
    CLEANUP(cleanup_free) char *path = xasprintf("pod/%s/%d", name->task_id, name->attempt);
    struct id id;
    id_derive(&id, name->run_id, path);
    char hash[ID_LEN + 1];
    size_t n = 0;
    for (const char *p = id.text; *p != '\0'; p++) {
        if (*p != '-') {
            hash[n++] = *p;
        }
    }
    hash[n] = '\0';
    snprintf(out, POD_NAME_MAX + 1, "rondo-%.8s-%s-%d", name->run_id, hash, name->attempt);
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void pod_label(const char *text, char out[POD_LABEL_MAX + 1])
{
    size_t n = 0;
    for (; *text != '\0' && n < POD_LABEL_MAX; text++) {
        bool fits = is_alnum(*text) || *text == '-' || *text == '_' || *text == '.';
        if (n == 0 && !is_alnum(*text)) {
            continue; /* it begins and ends with a letter or a digit */
        }
        out[n++] = fits ? *text : '-';
    }
    while (n > 0 && !is_alnum(out[n - 1])) {
        n--;
    }
    out[n] = '\0';
}

void pod_artifact_path(const char *root, const char *uri, struct buf *out)
{
    static const struct {
        const char *scheme, *folder;
    } mapped[] = {{"gs://", "/gcs/"}, {"s3://", "/s3/"}, {"minio://", "/minio/"}};
    for (size_t i = 0; i < ARRAY_LEN(mapped); i++) {
        if (str_starts(uri, mapped[i].scheme)) {
            buf_addf(out, "%s%s", mapped[i].folder, uri + strlen(mapped[i].scheme));
            return;
        }
    }
    size_t len = strlen(root);
    if (strncmp(uri, root, len) == 0 && uri[len] == '/' && uri[len + 1] != '\0') {
        buf_addf(out, WORK_DIR "/artifacts/%s", uri + len + 1);
        return;
    }
    char hex[SHA256_HEX_LEN + 1];
    sha256_hex(uri, strlen(uri), hex);
    buf_addf(out, WORK_DIR "/other/%.32s", hex);
}

/* ---- resources ---- */

/* A quantity as text: strings as they are, numbers without an exponent. malloc'd or NULL. */
static char *quantity(const json_t *value, const char *unit)
{
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        return text[0] != '\0' ? xstrdup(text) : NULL;
    }
    double number = json_number_value(value);
    if (number <= 0) {
        return NULL;
    }
    if (json_is_integer(value)) {
        return xasprintf("%lld%s", (long long)json_integer_value(value), unit);
    }
    char text[64];
    int n = snprintf(text, sizeof text, "%.6f", number);
    while (n > 0 && text[n - 1] == '0') {
        text[--n] = '\0';
    }
    if (n > 0 && text[n - 1] == '.') {
        text[--n] = '\0';
    }
    return xasprintf("%s%s", text, unit);
}

/* The first of two spellings that is there; the older one counts memory in GB. */
static void put_resource(json_t *to, const char *name, const json_t *from, const char *key,
    const char *old_key, const char *old_unit)
{
    char *value = quantity(json_object_get(from, key), "");
    if (value == NULL) {
        value = quantity(json_object_get(from, old_key), old_unit);
    }
    if (value != NULL) {
        json_object_set_new(to, name, json_string(value));
    }
    free(value);
}

static void put_accelerator(json_t *limits, const json_t *resources)
{
    const json_t *accelerator = json_object_get(resources, "accelerator");
    const char *type = jget_str(accelerator, "resourceType", "");
    if (type[0] == '\0') {
        type = jget_str(accelerator, "type", "");
    }
    char *count = quantity(json_object_get(accelerator, "resourceCount"), "");
    if (count == NULL) {
        count = quantity(json_object_get(accelerator, "count"), "");
    }
    if (type[0] != '\0' && count != NULL && strcmp(count, "0") != 0) {
        json_object_set_new(limits, type, json_string(count));
    }
    free(count);
}

static json_t *make_resources(const json_t *resources)
{
    json_t *limits = json_object(), *requests = json_object(), *out = json_object();
    put_resource(limits, "cpu", resources, "resourceCpuLimit", "cpuLimit", "");
    put_resource(limits, "memory", resources, "resourceMemoryLimit", "memoryLimit", "G");
    put_resource(requests, "cpu", resources, "resourceCpuRequest", "cpuRequest", "");
    put_resource(requests, "memory", resources, "resourceMemoryRequest", "memoryRequest", "G");
    put_accelerator(limits, resources);
    if (json_object_size(limits) > 0) {
        json_object_set(out, "limits", limits);
    }
    if (json_object_size(requests) > 0) {
        json_object_set(out, "requests", requests);
    }
    json_decref(limits);
    json_decref(requests);
    return out;
}

/* ---- containers ---- */

static json_t *make_mount(const char *volume, const char *path, bool is_read_only)
{
    json_t *mount = json_pack("{s:s,s:s}", "name", volume, "mountPath", path);
    if (is_read_only) {
        json_object_set_new(mount, "readOnly", json_true());
    }
    return mount;
}

static json_t *make_security(void)
{
    return json_pack("{s:b,s:{s:[s]},s:{s:s}}", "allowPrivilegeEscalation", 0, "capabilities",
        "drop", "ALL", "seccompProfile", "type", "RuntimeDefault");
}

static json_t *make_init(const struct pod_spec *spec)
{
    json_t *security = make_security();
    json_object_set_new(security, "runAsNonRoot", json_true());
    json_object_set_new(security, "runAsUser", json_integer(NOBODY));
    json_object_set_new(security, "readOnlyRootFilesystem", json_true());
    /* Limits, because some namespaces refuse pods without. Copying a file needs little. */
    return json_pack("{s:s,s:s,s:s,s:[s,s,s],s:{s:{s:s,s:s},s:{s:s,s:s}},s:[o],s:o}", "name",
        "rondo-launcher", "image", spec->launcher_image, "imagePullPolicy", "IfNotPresent",
        "command", "/rondo-launcher", "--copy-to", LAUNCHER_DIR, "resources", "requests", "cpu",
        "10m", "memory", "32Mi", "limits", "cpu", "500m", "memory", "128Mi", "volumeMounts",
        make_mount("rondo-bin", LAUNCHER_DIR, false), "securityContext", security);
}

static json_t *make_field_env(const char *name, const char *path)
{
    return json_pack("{s:s,s:{s:{s:s}}}", "name", name, "valueFrom", "fieldRef", "fieldPath", path);
}

static json_t *make_main(const struct pod_spec *spec, const char *image)
{
    CLEANUP(cleanup_free)
    char *url = xasprintf("%s/internal/attempts/%s/%s/%d", spec->url, spec->name->run_id,
        spec->name->task_id, spec->name->attempt);
    json_t *mounts = json_array();
    json_array_append_new(mounts, make_mount("rondo-bin", LAUNCHER_DIR, true));
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        json_array_append_new(mounts, make_mount(folders[i].volume, folders[i].path, false));
    }
    json_t *env = json_array();
    json_array_append_new(env, make_field_env("KFP_POD_NAME", "metadata.name"));
    json_array_append_new(env, make_field_env("KFP_POD_UID", "metadata.uid"));
    json_array_append_new(env, make_field_env("NAMESPACE", "metadata.namespace"));
    /* Good for this attempt only, and gone from the environment of what the launcher starts. */
    json_array_append_new(env, json_pack("{s:s,s:s}", "name", "RONDO_TOKEN", "value", spec->token));
    return json_pack("{s:s,s:s,s:[s,s,s,s,s],s:o,s:o,s:o,s:o}", "name", "main", "image", image,
        "command", LAUNCHER, "--url", url, "--token-env", "RONDO_TOKEN", "env", env, "resources",
        make_resources(json_object_get(spec->container, "resources")), "volumeMounts", mounts,
        "securityContext", make_security());
}

static json_t *make_volumes(void)
{
    json_t *volumes = json_array();
    json_array_append_new(volumes, json_pack("{s:s,s:{}}", "name", "rondo-bin", "emptyDir"));
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        json_array_append_new(
            volumes, json_pack("{s:s,s:{}}", "name", folders[i].volume, "emptyDir"));
    }
    return volumes;
}

/* ---- the pod ---- */

static void put_label(json_t *labels, const char *key, const char *text)
{
    char value[POD_LABEL_MAX + 1];
    pod_label(text, value);
    json_object_set_new(labels, key, json_string(value));
}

static json_t *make_metadata(const struct pod_spec *spec)
{
    char name[POD_NAME_MAX + 1], attempt[16];
    pod_name(spec->name, name);
    snprintf(attempt, sizeof attempt, "%d", spec->name->attempt);
    json_t *labels = json_object();
    put_label(labels, "app.kubernetes.io/managed-by", "rondo");
    put_label(labels, "rondo.dev/instance", spec->instance);
    put_label(labels, "rondo.dev/run-id", spec->name->run_id);
    put_label(labels, "rondo.dev/task-id", spec->name->task_id);
    put_label(labels, "rondo.dev/attempt", attempt);
    put_label(labels, "rondo.dev/pipeline", jget_str(spec->container, "pipeline", ""));
    put_label(labels, "rondo.dev/task", jget_str(spec->order, "task", ""));
    CLEANUP(cleanup_free)
    char *run = xstrndup(jget_str(spec->order, "run_name", ""), ANNOTATION_MAX);
    CLEANUP(cleanup_free) char *task = xstrndup(jget_str(spec->order, "task", ""), ANNOTATION_MAX);
    text_sanitise(run); /* may have been cut within a character */
    text_sanitise(task);
    return json_pack("{s:s,s:o,s:{s:s,s:s,s:s,s:s}}", "name", name, "labels", labels, "annotations",
        "rondo.dev/run-name", run, "rondo.dev/task-path", task,
        /* a proxy sidecar would never end; a step that is moved begins anew */
        "sidecar.istio.io/inject", "false", "cluster-autoscaler.kubernetes.io/safe-to-evict",
        "false");
}

json_t *pod_manifest(const struct pod_spec *spec, struct err *err)
{
    const char *image = jget_str(spec->container, "image", "");
    if (image[0] == '\0') {
        err_set(err, ERR_INVALID, "its container has no image");
        return NULL;
    }
    const char *account = jget_str(spec->container, "service_account", "");
    if (account[0] == '\0') {
        account = spec->service_account != NULL ? spec->service_account : "";
    }
    json_t *pod_spec = json_pack("{s:s,s:b,s:i,s:{s:{s:s}},s:[o],s:[o],s:o}", "restartPolicy",
        "Never", "enableServiceLinks", 0, "terminationGracePeriodSeconds", GRACE_S,
        "securityContext", "seccompProfile", "type", "RuntimeDefault", "initContainers",
        make_init(spec), "containers", make_main(spec, image), "volumes", make_volumes());
    jset_str(pod_spec, "serviceAccountName", account);
    /*
     * The launcher keeps the time limit itself, and says so. This is for a launcher that hangs:
     * it counts from the pod's start, so waiting for the image and for us is added.
     */
    int64_t timeout_s = jget_i64(spec->order, "timeout_s", 0);
    if (timeout_s > 0) {
        json_object_set_new(pod_spec, "activeDeadlineSeconds",
            json_integer(timeout_s + spec->start_timeout_ms / 1000 + DAY_S));
    }
    return json_pack("{s:s,s:s,s:o,s:o}", "apiVersion", "v1", "kind", "Pod", "metadata",
        make_metadata(spec), "spec", pod_spec);
}
