/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pod's settings mean for a process of this machine: variables, from texts, secrets and
 * config maps; volumes, as folders that the launcher mounts; the time limit. The rules for people
 * are in contrib/docs/local.md.
 */
#include "exec/local.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define NAMESPACE "local"

/* The order's additions while they are collected. */
struct drafting {
    const struct local_attempt *a;
    const json_t *pod;
    json_t *env, *mounts;
};

/* Part of a path, with nothing in it that leads elsewhere? */
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* ---- variables ---- */

static void add_value(struct drafting *d, const char *name, const char *value)
{
    json_array_append_new(d->env, json_pack("{s:s,s:s}", "name", name, "value", value));
}

/* For what is not to be expanded: "$$" is an escaped "$". */
static void add_literal(struct drafting *d, const char *name, const char *value)
{
    struct buf text;
    buf_init(&text, 2 * strlen(value) + 1);
    for (const char *p = value; *p != '\0'; p++) {
        buf_adds(&text, *p == '$' ? "$" : "");
        buf_addc(&text, *p);
    }
    add_value(d, name, buf_str(&text));
    buf_done(&text);
}

/* secretKeyRef and configMapKeyRef: one file each. */
static void add_key(struct drafting *d, const char *variable, const json_t *ref, bool is_secret)
{
    const struct local *local = d->a->local;
    const char *name = jget_str(ref, "name", ""), *key = jget_str(ref, "key", "");
    CLEANUP(cleanup_free)
    char *of = xasprintf("key '%s' of %s '%s'", key, is_secret ? "secret" : "config map", name);
    /* What cannot be a file's name is in no folder: then this is not there either. */
    bool is_plain = is_plain_name(name) && is_plain_name(key);
    CLEANUP(cleanup_free)
    char *file = xasprintf("%s/%s/%s", is_secret ? local->secrets_dir : local->config_maps_dir,
        is_plain ? name : "-", is_plain ? key : "-");
    json_array_append_new(
        d->env, json_pack("{s:s,s:s,s:s,s:b,s:b}", "name", variable, "file", file, "of", of,
                    "is_optional", jget_bool(ref, "optional", false), "is_secret", is_secret));
}

/* metadata.labels['x'] -> x; false: it is another path. malloc'd. */
static char *subscript(const char *path, const char *of)
{
    size_t len = strlen(of);
    if (strncmp(path, of, len) != 0 || strncmp(path + len, "['", 2) != 0 || !str_ends(path, "']") ||
        strlen(path) < len + 4) {
        return NULL;
    }
    return xstrndup(path + len + 2, strlen(path) - len - 4);
}

static char *pod_like_name(const struct local_attempt *a)
{
    return xasprintf("local-%.8s-%.8s-%d", a->run.text, a->task.text, a->attempt);
}

/* What the downward API would say; NULL: nothing that is known here. malloc'd. */
static char *field_value(const struct local_attempt *a, const json_t *pod, const char *path)
{
    static const char *const maps[][2] = {
        {"metadata.labels", "labels"}, {"metadata.annotations", "annotations"}};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        CLEANUP(cleanup_free) char *key = subscript(path, maps[i][0]);
        if (key != NULL) {
            return xstrdup(jget_str(json_object_get(pod, maps[i][1]), key, ""));
        }
    }
    char host[256] = "";
    if (strcmp(path, "metadata.name") == 0) {
        return pod_like_name(a);
    }
    if (strcmp(path, "metadata.namespace") == 0) {
        return xstrdup(NAMESPACE);
    }
    if (strcmp(path, "metadata.uid") == 0) {
        return xstrdup(a->task.text);
    }
    if (strcmp(path, "spec.nodeName") == 0) {
        return xstrdup(gethostname(host, sizeof host - 1) == 0 ? host : "localhost");
    }
    if (strcmp(path, "spec.serviceAccountName") == 0) {
        const char *account = jget_str(a->container, "service_account", "");
        return xstrdup(account[0] != '\0' ? account : "default");
    }
    if (strcmp(path, "status.hostIP") == 0 || strcmp(path, "status.podIP") == 0) {
        return xstrdup("127.0.0.1");
    }
    return NULL;
}

static void add_variable(struct drafting *d, const json_t *item)
{
    const char *name = jget_str(item, "name", "");
    const json_t *from = json_object_get(item, "valueFrom");
    const json_t *secret = json_object_get(from, "secretKeyRef");
    const json_t *config_map = json_object_get(from, "configMapKeyRef");
    const json_t *field = json_object_get(from, "fieldRef");
    if (name[0] == '\0' || strchr(name, '=') != NULL) {
        return;
    }
    if (secret != NULL || config_map != NULL) {
        add_key(d, name, secret != NULL ? secret : config_map, secret != NULL);
    } else if (field != NULL) {
        CLEANUP(cleanup_free)
        char *value = field_value(d->a, d->pod, jget_str(field, "fieldPath", ""));
        if (value != NULL) {
            add_literal(d, name, value);
        }
    } else if (from == NULL) {
        add_value(d, name, jget_str(item, "value", ""));
    }
}

static void add_variables(struct drafting *d)
{
    /* As in pods, for programs that look for them. */
    CLEANUP(cleanup_free) char *name = pod_like_name(d->a);
    add_value(d, "KFP_POD_NAME", name);
    add_value(d, "KFP_POD_UID", d->a->task.text);
    add_value(d, "NAMESPACE", NAMESPACE);
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(d->pod, "env"), i, item)
    {
        add_variable(d, item);
    }
}

/* ---- volumes ---- */

struct source {
    char *folder, *of;
    bool make, read_only, is_secret;
};

static const json_t *find_volume(const json_t *pod, const char *name)
{
    size_t i;
    json_t *volume;
    json_array_foreach(json_object_get(pod, "volumes"), i, volume)
    {
        if (strcmp(jget_str(volume, "name", ""), name) == 0) {
            return volume;
        }
    }
    return NULL;
}

/* Of this attempt alone, gone with its folder. */
static char *own_folder(const struct drafting *d, const char *volume)
{
    return xasprintf("%s/volumes/%s", d->a->dir, is_plain_name(volume) ? volume : "-");
}

static void find_keys(const struct drafting *d, const char *volume, const json_t *ref,
    const char *name, bool is_secret, struct source *out)
{
    const struct local *local = d->a->local;
    out->folder = xasprintf("%s/%s", is_secret ? local->secrets_dir : local->config_maps_dir,
        is_plain_name(name) ? name : "-");
    out->of = xasprintf("%s '%s'", is_secret ? "secret" : "config map", name);
    out->read_only = true;
    out->is_secret = is_secret;
    if (jget_bool(ref, "optional", false) && access(out->folder, F_OK) != 0) {
        free(out->folder);
        out->folder = own_folder(d, volume);
        out->make = true;
    }
}

/* false: a kind of volume that has no meaning here. */
static bool find_source(const struct drafting *d, const json_t *volume, struct source *out)
{
    const char *name = jget_str(volume, "name", "");
    const json_t *secret = json_object_get(volume, "secret");
    const json_t *config_map = json_object_get(volume, "configMap");
    const json_t *claim = json_object_get(volume, "persistentVolumeClaim");
    *out = (struct source){0};
    if (secret != NULL) {
        find_keys(d, name, secret, jget_str(secret, "secretName", ""), true, out);
    } else if (config_map != NULL) {
        find_keys(d, name, config_map, jget_str(config_map, "name", ""), false, out);
    } else if (claim != NULL) {
        const char *claim_name = jget_str(claim, "claimName", "");
        out->folder = local_volume_path(d->a->local, claim_name);
        out->of = xasprintf("volume claim '%s'", claim_name);
        out->read_only = jget_bool(claim, "readOnly", false);
    } else if (json_object_get(volume, "emptyDir") != NULL ||
               json_object_get(volume, "ephemeral") != NULL) {
        out->folder = own_folder(d, name);
        out->of = xasprintf("volume '%s'", name);
        out->make = true;
    } else {
        return false;
    }
    return true;
}

/* A part of a volume, never something beside it. */
static void add_sub_path(struct source *source, const char *sub_path)
{
    for (const char *p = sub_path; *p != '\0'; p += strcspn(p, "/")) {
        p += strspn(p, "/");
        if (strcspn(p, "/") == 2 && p[0] == '.' && p[1] == '.') {
            return; /* refused by the cluster, too */
        }
    }
    char *folder = xasprintf("%s/%s", source->folder, sub_path);
    free(source->folder);
    source->folder = folder;
    source->make = !source->read_only; /* a cluster makes it as well */
}

static void add_mount(
    struct drafting *d, const char *path, const struct source *source, bool is_quiet)
{
    json_array_append_new(
        d->mounts, json_pack("{s:s,s:s,s:s,s:b,s:b,s:b,s:b}", "path", path, "from", source->folder,
                       "of", source->of, "make", source->make, "read_only", source->read_only,
                       "is_quiet", is_quiet, "is_secret", source->is_secret));
}

static void add_volumes(struct drafting *d)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(d->pod, "volumeMounts"), i, item)
    {
        const json_t *volume = find_volume(d->pod, jget_str(item, "name", ""));
        const char *sub_path = jget_str(item, "subPath", "");
        struct source source;
        if (volume == NULL || !find_source(d, volume, &source)) {
            continue;
        }
        source.read_only |= jget_bool(item, "readOnly", false);
        if (sub_path[0] != '\0') {
            add_sub_path(&source, sub_path);
        }
        add_mount(d, jget_str(item, "mountPath", ""), &source, false);
        free(source.folder);
        free(source.of);
    }
}

/* Where pods have it, for programs that do not ask; those that do get its real folder. */
static void add_workspace(struct drafting *d)
{
    const char *claim = jget_str(json_object_get(d->a->container, "workspace"), "claim", NULL);
    if (claim == NULL) {
        return;
    }
    CLEANUP(cleanup_free) char *folder = local_volume_path(d->a->local, claim);
    struct source source = {.folder = folder, .of = (char[]){"the run's workspace"}, .make = true};
    add_mount(d, WORKSPACE_PATH, &source, true);
}

/* RONDO_MOUNT_<n>, and all of them as one JSON object. */
static void add_mount_variables(struct drafting *d)
{
    json_t *all = json_object();
    size_t i;
    json_t *item;
    json_array_foreach(d->mounts, i, item)
    {
        char name[64];
        snprintf(name, sizeof name, "RONDO_MOUNT_%zu", i + 1);
        const char *from = jget_str(item, "from", "");
        add_literal(d, name, from);
        json_object_set_new(all, jget_str(item, "path", ""), json_string(from));
    }
    CLEANUP(cleanup_free) char *text = jtext(all);
    json_decref(all);
    add_literal(d, "RONDO_MOUNTS", text);
}

/* ---- all together ---- */

void local_add_settings(const struct local_attempt *a, json_t *order)
{
    const struct local *local = a->local;
    struct drafting d = {
        .a = a,
        .pod = json_object_get(a->container, "pod"),
        .env = json_array(),
        .mounts = json_array(),
    };
    add_variables(&d);
    add_volumes(&d);
    add_workspace(&d);
    if (json_array_size(d.mounts) > 0) {
        add_mount_variables(&d);
        CLEANUP(cleanup_free) char *dir = xasprintf("%s/mnt", a->dir);
        json_t *keep = json_pack("[s]", local->data_dir);
        if (local->root_path != NULL) {
            json_array_append_new(keep, json_string(local->root_path));
        }
        json_object_set(order, "mounts", d.mounts);
        json_object_set_new(order, "mounting",
            json_pack("{s:b,s:s,s:o}", "is_allowed", local->may_mount, "dir", dir, "keep", keep));
    }
    json_object_set(order, "base_env", d.env);
    json_decref(d.env);
    json_decref(d.mounts);
}

/* ---- what has no meaning here ---- */

static void add_name(struct buf *out, const char *name)
{
    buf_addf(out, "%s%s", out->len > 0 ? ", " : "", name);
}

static bool is_something(const json_t *value)
{
    return value != NULL && !json_is_null(value) &&
           !(json_is_array(value) && json_array_size(value) == 0) &&
           !(json_is_object(value) && json_object_size(value) == 0);
}

/* Each resource once: "cpu", "nvidia.com/gpu". */
static void name_resources(const json_t *resources, struct buf *out)
{
    json_t *names = json_object();
    json_object_update(names, json_object_get(resources, "requests"));
    json_object_update(names, json_object_get(resources, "limits"));
    const char *name;
    json_t *value;
    json_object_foreach(names, name, value)
    {
        buf_addf(out, "%sresource %s", out->len > 0 ? ", " : "", name);
    }
    json_decref(names);
}

static void name_volumes(const struct local *local, const json_t *pod, struct buf *out)
{
    size_t i;
    json_t *item;
    bool has_size = false;
    json_array_foreach(json_object_get(pod, "volumes"), i, item)
    {
        const json_t *empty = json_object_get(item, "emptyDir");
        has_size |= is_something(json_object_get(empty, "sizeLimit")) ||
                    is_something(json_object_get(item, "ephemeral"));
    }
    if (has_size) {
        add_name(out, "sizes of volumes");
    }
    if (!local->may_mount && json_array_size(json_object_get(pod, "volumeMounts")) > 0) {
        add_name(out, "mount paths of volumes (RONDO_MOUNT_<n> names their folders)");
    }
}

static bool has_unknown_field(const json_t *pod)
{
    const struct local_attempt nobody = {.attempt = 0};
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(pod, "env"), i, item)
    {
        const json_t *from = json_object_get(item, "valueFrom");
        const json_t *field = json_object_get(from, "fieldRef");
        CLEANUP(cleanup_free)
        char *value = field_value(&nobody, pod, jget_str(field, "fieldPath", ""));
        if ((field != NULL && value == NULL) || json_object_get(from, "resourceFieldRef") != NULL) {
            return true;
        }
    }
    return false;
}

void local_ignored(void *self, const json_t *container, struct buf *out)
{
    static const char *const names[] = {"nodeSelector", "tolerations", "affinity",
        "imagePullSecrets", "imagePullPolicy", "labels", "annotations", "securityContext",
        "initContainers"};
    const json_t *pod = json_object_get(container, "pod");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (is_something(json_object_get(pod, names[i]))) {
            add_name(out, names[i]);
        }
    }
    name_resources(json_object_get(container, "resources"), out);
    name_volumes(self, pod, out);
    if (has_unknown_field(pod)) {
        add_name(out, "fields of the pod in variables");
    }
}
