/* SPDX-License-Identifier: Apache-2.0 */
/* initContainers: what runs before the program, or, with restartPolicy Always, beside it. */
#include "pipeline/pod_config.h"

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"

#include <string.h>

static const char *const init_fields[] = {
    "name", "image", "command", "args", "env", "volumeMounts", "restartPolicy", "resources", NULL};
static const char *const env_fields[] = {"name", "value", NULL};
static const char *const mount_fields[] = {"volumeName", "mountPath", NULL};
static const char *const resource_fields[] = {"requests", "limits", NULL};

/* ---- reading ---- */

static void read_name(
    struct draft *d, const struct tree *item, const struct path *path, json_t *others, json_t *out)
{
    static const char *const reserved[] = {"main", "kfp-launcher", "wait", "init"};
    struct path here = {.up = path, .key = "name"};
    struct place place = tree_place(tree_get(item, "name"));
    const char *name = read_need_text(d, item, "name", path, "every container of a pod needs one");
    if (name == NULL) {
        return;
    }
    json_object_set_new(out, "name", json_string(name));
    if (!dns_label_is_valid(name)) {
        complain(d->complaints, place, &here,
            "'%.200s' cannot be the name of a container: a-z, 0-9 and '-', at most %d", name,
            DNS_LABEL_MAX);
        return;
    }
    bool is_reserved = str_starts(name, "rondo-");
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        is_reserved |= strcmp(name, reserved[i]) == 0;
    }
    if (is_reserved) {
        complain(d->complaints, place, &here,
            "'%s' is reserved for the containers of the step itself; take another name", name);
    }
    size_t i;
    const json_t *other;
    json_array_foreach(others, i, other)
    {
        if (str_eq(jget_str(other, "name", NULL), name)) {
            complain(d->complaints, place, &here, "another init container is called '%s'", name);
        }
    }
}

static void read_env(struct draft *d, const struct tree *item, const struct path *path, json_t *out)
{
    const struct tree *list = pod_list(d, item, "env", path);
    struct path here = {.up = path, .key = "env"};
    json_t *env = json_array();
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *one = pod_item(d, list, &inner);
        if (one == NULL) {
            continue;
        }
        read_known(d, one, &inner, env_fields);
        const char *name = read_need_text(d, one, "name", &inner, "it is the variable's");
        const char *value = read_text(d, one, "value", &inner);
        if (name != NULL) {
            struct path which = {.up = &inner, .key = "name"};
            pod_env_check_name(d, name, tree_place(one), &which);
            json_array_append_new(
                env, json_pack("{s:s,s:s}", "name", name, "value", value != NULL ? value : ""));
        }
    }
    if (json_array_size(env) > 0) {
        json_object_set(out, "env", env);
    }
    json_decref(env);
}

static bool is_known_volume(const struct pod_config *config, const char *name)
{
    for (size_t i = 0; i < config->volume_count; i++) {
        const struct pod_volume *volume = &config->volumes[i];
        const char *object =
            pod_value_is_fixed(&volume->object) ? json_string_value(volume->object.constant) : NULL;
        /* A name that a parameter gives is known only later. */
        if (volume->name == NULL ? object == NULL || strcmp(object, name) == 0
                                 : strcmp(volume->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void read_mounts(struct draft *d, const struct tree *item, const struct path *path,
    const struct pod_config *config, json_t *out)
{
    const struct tree *list = pod_list(d, item, "volumeMounts", path);
    struct path here = {.up = path, .key = "volumeMounts"};
    json_t *mounts = json_array();
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *one = pod_item(d, list, &inner);
        if (one == NULL) {
            continue;
        }
        read_known(d, one, &inner, mount_fields);
        const char *volume =
            read_need_text(d, one, "volumeName", &inner, "it names a volume of the task");
        const char *where = pod_mount_path(d, one, "mountPath", &inner);
        if (volume == NULL || where == NULL) {
            continue;
        }
        if (!is_known_volume(config, volume)) {
            struct path which = {.up = &inner, .key = "volumeName"};
            complain(d->complaints, tree_place(one), &which,
                "the task has no volume '%.200s'; add it with emptyDirMounts, pvcMount or "
                "genericEphemeralVolume",
                volume);
        }
        json_array_append_new(mounts, json_pack("{s:s,s:s}", "name", volume, "mountPath", where));
    }
    if (json_array_size(mounts) > 0) {
        json_object_set(out, "volumeMounts", mounts);
    }
    json_decref(mounts);
}

static void read_resources(
    struct draft *d, const struct tree *item, const struct path *path, json_t *out)
{
    const struct tree *node = read_map(d, item, "resources", path);
    struct path here = {.up = path, .key = "resources"};
    if (node == NULL) {
        return;
    }
    json_t *resources = json_object();
    read_known(d, node, &here, resource_fields);
    for (size_t i = 0; resource_fields[i] != NULL; i++) {
        json_t *quantities = pod_text_map(d, node, resource_fields[i], &here);
        struct path inner = {.up = &here, .key = resource_fields[i]};
        const char *key;
        json_t *value;
        json_object_foreach(quantities, key, value)
        {
            if (!qualified_name_is_valid(key) || !quantity_is_valid(json_string_value(value))) {
                complain(d->complaints, tree_place(node), &inner,
                    "'%.100s: %.100s' is no resource and its quantity, such as 'cpu: 500m'", key,
                    json_string_value(value));
            }
        }
        if (quantities != NULL) {
            json_object_set_new(resources, resource_fields[i], quantities);
        }
    }
    if (json_object_size(resources) > 0) {
        json_object_set(out, "resources", resources);
    }
    json_decref(resources);
}

static void read_container(struct draft *d, const struct tree *item, const struct path *path,
    const struct pod_config *config, json_t *list)
{
    json_t *out = json_object();
    read_known(d, item, path, init_fields);
    read_name(d, item, path, list, out);
    const char *image = read_need_text(d, item, "image", path, "an init container needs an image");
    jset_str(out, "image", image);
    for (const char *const *name = (const char *const[]){"command", "args", NULL}; *name != NULL;
         name++) {
        json_t *words = pod_text_list(d, item, *name, path);
        if (words != NULL) {
            json_object_set_new(out, *name, words);
        }
    }
    read_env(d, item, path, out);
    read_mounts(d, item, path, config, out);
    const char *policy = pod_copy_text(d, item, "restartPolicy", path, out);
    if (policy != NULL && strcmp(policy, "Always") != 0) {
        struct path here = {.up = path, .key = "restartPolicy"};
        complain(d->complaints, tree_place(tree_get(item, "restartPolicy")), &here,
            "'%.100s' is not known: Always makes a sidecar of it, and without one it runs to its "
            "end before the step",
            policy);
    }
    read_resources(d, item, path, out);
    json_array_append_new(list, out);
}

void pod_init_read(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    const struct tree *list = pod_list(d, map, "initContainers", path);
    struct path here = {.up = path, .key = "initContainers"};
    if (list == NULL || list->count == 0) {
        return;
    }
    json_t *out = json_array();
    config->init_containers = pod_keep(d, out);
    for (size_t i = 0; i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item != NULL) {
            read_container(d, item, &inner, config, out);
        }
    }
}

/* ---- resolving ---- */

/* Volumes by their names in the pod. */
static int rename_volumes(
    json_t *container, size_t index, struct pod_resolving *r, const json_t *volume_names)
{
    size_t i;
    json_t *mount;
    json_array_foreach(json_object_get(container, "volumeMounts"), i, mount)
    {
        const char *called = jget_str(mount, "name", "");
        json_t *name = json_object_get(volume_names, called);
        if (name == NULL) {
            return err_set(r->err, ERR_INVALID,
                "initContainers[%zu].volumeMounts[%zu]: the task has no volume '%.200s'", index, i,
                called);
        }
        json_object_set(mount, "name", name);
    }
    return 0;
}

int pod_init_resolve(
    const struct pod_config *config, struct pod_resolving *r, const json_t *volume_names)
{
    size_t i;
    json_t *container;
    json_array_foreach(config->init_containers, i, container)
    {
        json_t *copy CLEANUP(json_decrefp) = json_deep_copy(container);
        if (rename_volumes(copy, i, r, volume_names) != 0) {
            return -1;
        }
        pod_parts_add(r, "initContainers", json_incref(copy));
    }
    return 0;
}
