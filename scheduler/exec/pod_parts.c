/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A task's Kubernetes settings put into its pod. What the task asks for counts, except where the
 * launcher would be lost: its folders, its variables, its containers.
 */
#include "exec/pods.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define WORKSPACE_VOLUME "kfp-workspace"
#define WORKSPACE_PATH "/kfp-workspace"
#define OURS "/rondo"

/* The pod while it is put together. */
struct merging {
    json_t *metadata, *spec, *main;
    const json_t *parts;
    struct err *err;
};

/* ---- small parts ---- */

static json_t *list_of(json_t *obj, const char *name)
{
    json_t *list = json_object_get(obj, name);
    if (list == NULL) {
        list = json_array();
        json_object_set_new(obj, name, list);
    }
    return list;
}

/* The element whose `key` is this text; its index in *at_out. */
static json_t *find(const json_t *list, const char *key, const char *text, size_t *at_out)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        if (str_eq(jget_str(one, key, NULL), text)) {
            if (at_out != NULL) {
                *at_out = i;
            }
            return one;
        }
    }
    return NULL;
}

static bool is_at_or_under(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* ---- environment ---- */

static int merge_env(struct merging *m)
{
    json_t *env = list_of(m->main, "env");
    size_t i, at;
    json_t *one;
    json_array_foreach(json_object_get(m->parts, "env"), i, one)
    {
        const char *name = jget_str(one, "name", "");
        if (str_starts(name, "RONDO_")) {
            return err_set(m->err, ERR_INVALID,
                "the environment variable '%.100s' belongs to rondo's launcher", name);
        }
        if (find(env, "name", name, &at) != NULL) {
            json_array_remove(env, at);
        }
        json_array_append(env, one);
    }
    return 0;
}

/* ---- volumes ---- */

static int merge_volumes(struct merging *m)
{
    json_t *volumes = list_of(m->spec, "volumes");
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(m->parts, "volumes"), i, one)
    {
        const char *name = jget_str(one, "name", "");
        if (find(volumes, "name", name, NULL) != NULL || strcmp(name, WORKSPACE_VOLUME) == 0) {
            return err_set(m->err, ERR_INVALID,
                "a volume cannot be called '%.100s': the pod has one of that name", name);
        }
        json_array_append(volumes, one);
    }
    return 0;
}

/* Where the launcher keeps artifacts that the SDK looks for under their bucket. */
static bool holds_artifacts(const char *path)
{
    return strcmp(path, "/gcs") == 0 || strcmp(path, "/s3") == 0 || strcmp(path, "/minio") == 0;
}

static bool is_read_only(const struct merging *m, const char *volume)
{
    const json_t *one = find(json_object_get(m->spec, "volumes"), "name", volume, NULL);
    return json_object_get(one, "secret") != NULL || json_object_get(one, "configMap") != NULL;
}

static int check_mount(const struct merging *m, const json_t *mount, const char *whose)
{
    const char *path = jget_str(mount, "mountPath", ""), *name = jget_str(mount, "name", "");
    if (find(json_object_get(m->spec, "volumes"), "name", name, NULL) == NULL) {
        return err_set(
            m->err, ERR_INVALID, "%s mounts the volume '%.100s', which the pod lacks", whose, name);
    }
    if (strcmp(path, "/") == 0 || is_at_or_under(path, OURS)) {
        return err_set(m->err, ERR_INVALID,
            "%s mounts a volume at '%.200s', where rondo's launcher is; mount it elsewhere", whose,
            path);
    }
    if (is_at_or_under(path, WORKSPACE_PATH)) {
        return err_set(m->err, ERR_INVALID,
            "%s mounts a volume at '%.200s', which is the workspace of the run; mount it elsewhere",
            whose, path);
    }
    return 0;
}

/* Ours makes way, if what comes can be written to as well. */
static int replace_ours(struct merging *m, json_t *mounts, const json_t *mount)
{
    const char *path = jget_str(mount, "mountPath", "");
    size_t at;
    const json_t *ours = find(mounts, "mountPath", path, &at);
    if (ours == NULL || !str_starts(jget_str(ours, "name", ""), "rondo-")) {
        return 0;
    }
    if (holds_artifacts(path) && is_read_only(m, jget_str(mount, "name", ""))) {
        return err_set(m->err, ERR_INVALID,
            "a secret or config map is mounted at '%.200s', where artifacts are written; mount it "
            "elsewhere",
            path);
    }
    json_t *volumes = json_object_get(m->spec, "volumes");
    size_t volume_at;
    if (find(volumes, "name", jget_str(ours, "name", ""), &volume_at) != NULL) {
        json_array_remove(volumes, volume_at);
    }
    json_array_remove(mounts, at);
    return 0;
}

static int merge_mounts(struct merging *m)
{
    json_t *mounts = list_of(m->main, "volumeMounts");
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(m->parts, "volumeMounts"), i, one)
    {
        if (check_mount(m, one, "the task") != 0 || replace_ours(m, mounts, one) != 0) {
            return -1;
        }
        json_array_append(mounts, one);
    }
    return 0;
}

static void merge_workspace(struct merging *m, const json_t *workspace)
{
    const char *claim = jget_str(workspace, "claim", NULL);
    if (claim == NULL) {
        return;
    }
    json_array_append_new(
        list_of(m->spec, "volumes"), json_pack("{s:s,s:{s:s}}", "name", WORKSPACE_VOLUME,
                                         "persistentVolumeClaim", "claimName", claim));
    json_array_append_new(list_of(m->main, "volumeMounts"),
        json_pack("{s:s,s:s}", "name", WORKSPACE_VOLUME, "mountPath",
            jget_str(workspace, "path", WORKSPACE_PATH)));
}

/* ---- the pod itself ---- */

/* Ours are found by them; annotations that say how to treat the pod may be the task's. */
static void merge_metadata(struct merging *m)
{
    static const char *const lists[] = {"labels", "annotations"};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        json_t *ours = list_of(m->metadata, lists[i]);
        const char *key;
        json_t *value;
        json_object_foreach(json_object_get(m->parts, lists[i]), key, value)
        {
            bool is_ours =
                str_starts(key, "rondo.dev/") || strcmp(key, "app.kubernetes.io/managed-by") == 0;
            if (!is_ours) {
                json_object_set(ours, key, value);
            }
        }
    }
}

static int merge_security(struct merging *m)
{
    const json_t *asked = json_object_get(m->parts, "securityContext");
    json_t *security = json_object_get(m->main, "securityContext");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)asked, key, value)
    {
        if (str_starts(key, "runAs")) {
            json_object_set(security, key, value);
        }
    }
    if (jget_bool(security, "runAsNonRoot", false) && jget_i64(security, "runAsUser", 1) == 0) {
        return err_set(m->err, ERR_INVALID,
            "securityContext: runAsUser 0 is root, which runAsNonRoot forbids");
    }
    return 0;
}

static void merge_claims(struct merging *m)
{
    const json_t *claims = json_object_get(m->parts, "resourceClaims");
    size_t i;
    json_t *one;
    if (json_array_size(claims) == 0) {
        return;
    }
    json_object_set(m->spec, "resourceClaims", (json_t *)claims);
    json_t *resources = json_object_get(m->main, "resources"), *used = json_array();
    json_array_foreach(claims, i, one)
    {
        json_array_append_new(used, json_pack("{s:s}", "name", jget_str(one, "name", "")));
    }
    json_object_set_new(resources, "claims", used);
}

/* ---- init containers ---- */

/* They come after the one that brings the launcher, and get the same hardening. */
static int merge_init(struct merging *m)
{
    json_t *list = list_of(m->spec, "initContainers");
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(m->parts, "initContainers"), i, one)
    {
        const char *name = jget_str(one, "name", "");
        if (strcmp(name, "main") == 0 || find(list, "name", name, NULL) != NULL) {
            return err_set(m->err, ERR_INVALID,
                "an init container cannot be called '%.100s': the pod has a container of that name",
                name);
        }
        CLEANUP(cleanup_free) char *whose = xasprintf("init container '%.63s'", name);
        size_t k;
        json_t *mount;
        json_array_foreach(json_object_get(one, "volumeMounts"), k, mount)
        {
            if (check_mount(m, mount, whose) != 0) {
                return -1;
            }
        }
        json_t *copy = json_copy(one);
        json_object_set_new(copy, "securityContext", pod_security());
        json_array_append_new(list, copy);
    }
    return 0;
}

int pod_parts_merge(json_t *pod, const json_t *container, struct err *err)
{
    json_t *spec = json_object_get(pod, "spec");
    struct merging m = {
        .metadata = json_object_get(pod, "metadata"),
        .spec = spec,
        .main = json_array_get(json_object_get(spec, "containers"), 0),
        .parts = json_object_get(container, "pod"),
        .err = err,
    };
    static const char *const plain[] = {
        "nodeSelector", "tolerations", "affinity", "imagePullSecrets"};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        json_t *part = json_object_get(m.parts, plain[i]);
        if (part != NULL) {
            json_object_set(m.spec, plain[i], part);
        }
    }
    jset_str(m.main, "imagePullPolicy", jget_str(m.parts, "imagePullPolicy", NULL));
    merge_metadata(&m);
    merge_claims(&m);
    if (merge_env(&m) != 0 || merge_volumes(&m) != 0 || merge_mounts(&m) != 0 ||
        merge_security(&m) != 0 || merge_init(&m) != 0) {
        return -1;
    }
    merge_workspace(&m, json_object_get(container, "workspace"));
    return 0;
}
