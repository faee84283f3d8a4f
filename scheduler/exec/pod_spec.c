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
    {"rondo-gcs", "/gcs"},
    {"rondo-s3", "/s3"},
    {"rondo-minio", "/minio"},
    {"rondo-dot-local", "/.local"},
    {"rondo-dot-cache", "/.cache"},
    {"rondo-dot-config", "/.config"},
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
    if (pod_uri_is_image(uri)) {
        pod_image_path(uri, out);
        return;
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

/* Kubernetes' own resources have short names, all others are those of a domain. */
static bool is_resource(const char *name)
{
    static const char *const own[] = {"cpu", "memory", "ephemeral-storage"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (strcmp(name, own[i]) == 0) {
            return true;
        }
    }
    return str_starts(name, "hugepages-") || strchr(name, '/') != NULL;
}

static int check_resources(const json_t *resources, struct err *err)
{
    static const char *const lists[] = {"limits", "requests"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const char *name;
        json_t *quantity;
        json_object_foreach(json_object_get(resources, lists[i]), name, quantity)
        {
            if (!is_resource(name)) {
                return err_set(err, ERR_INVALID,
                    "'%.100s' is no resource of Kubernetes; the type of an accelerator is a name "
                    "such as nvidia.com/gpu",
                    name);
            }
        }
    }
    return 0;
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

json_t *pod_security(void)
{
    return json_pack("{s:b,s:{s:[s]},s:{s:s}}", "allowPrivilegeEscalation", 0, "capabilities",
        "drop", "ALL", "seccompProfile", "type", "RuntimeDefault");
}

static json_t *make_init(const struct pod_spec *spec)
{
    json_t *security = pod_security();
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
    json_t *resources = json_object_get(spec->container, "resources");
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
        json_is_object(resources) ? json_copy(resources) : json_object(), "volumeMounts", mounts,
        "securityContext", pod_security());
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
    if (check_resources(json_object_get(spec->container, "resources"), err) != 0) {
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
    json_t *pod CLEANUP(json_decrefp) = json_pack("{s:s,s:s,s:o,s:o}", "apiVersion", "v1", "kind",
        "Pod", "metadata", make_metadata(spec), "spec", pod_spec);
    pod_images_add(pod, spec->order);
    return pod_parts_merge(pod, spec->container, err) == 0 ? STEAL(pod) : NULL;
}
