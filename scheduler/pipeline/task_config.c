/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TASK_CONFIG (kfp-semantics.md 3.4): a component that starts pods of its own can ask for the
 * settings of its task instead of having them applied to its own pod. Which ones is said by its
 * taskConfigPassthroughs.
 */
#include "scheduler/plan.h"

#include "base/json.h"
#include "base/util.h"

#include <string.h>

enum {
    FIELD_RESOURCES = 1,
    FIELD_ENV,
    FIELD_AFFINITY,
    FIELD_TOLERATIONS,
    FIELD_NODE_SELECTOR,
    FIELD_VOLUMES,
};

/* TaskConfigPassthroughTypeEnum by number. */
static const char *const field_names[] = {"NONE", "RESOURCES", "ENV", "KUBERNETES_AFFINITY",
    "KUBERNETES_TOLERATIONS", "KUBERNETES_NODE_SELECTOR", "KUBERNETES_VOLUMES"};

struct destination {
    bool in_config, on_pod;
};

static bool is_field(const json_t *passthrough, int field)
{
    const json_t *value = json_object_get(passthrough, "field");
    return json_is_integer(value) ? json_integer_value(value) == field
                                  : str_eq(json_string_value(value), field_names[field]);
}

/* A field that is listed leaves the pod, unless it is to be applied there too. */
static struct destination where_to(const struct component *component, int field)
{
    struct destination out = {.in_config = false, .on_pod = true};
    size_t i;
    const json_t *one;
    json_array_foreach(component->passthroughs, i, one)
    {
        if (is_field(one, field)) {
            out.in_config = true;
            out.on_pod =
                jget_bool(one, "applyToTask", false) || jget_bool(one, "apply_to_task", false);
        }
    }
    return out;
}

bool task_config_keeps_env(const struct component *component)
{
    return where_to(component, FIELD_ENV).on_pod;
}

static bool has_input(const struct component *component)
{
    for (size_t i = 0; i < component->param_in_count; i++) {
        if (component->params_in[i].type == VALUE_TASK_CONFIG) {
            return true;
        }
    }
    return false;
}

static void set_if(json_t *obj, const char *name, json_t *value)
{
    if (json_is_array(value) ? json_array_size(value) > 0 : json_object_size(value) > 0) {
        json_object_set(obj, name, value);
    }
}

/* A part that is one member. */
static void split_part(
    const struct component *component, int field, const char *name, json_t *config, json_t *pod)
{
    struct destination to = where_to(component, field);
    if (to.in_config) {
        set_if(config, name, json_object_get(pod, name));
    }
    if (!to.on_pod) {
        json_object_del(pod, name);
    }
}

/* The container's own variables come first: where both set one, the platform document counts. */
static void split_env(const struct component *component, json_t *config, json_t *pod)
{
    struct destination to = where_to(component, FIELD_ENV);
    json_t *parts = json_object_get(pod, "env");
    if (to.in_config) {
        json_t *env = json_array();
        const struct container *container = component->container;
        for (size_t i = 0; container != NULL && i < container->env_count; i++) {
            json_array_append_new(env, json_pack("{s:s,s:s}", "name", container->env[i].name,
                                           "value", container->env[i].value));
        }
        json_array_extend(env, parts);
        set_if(config, "env", env);
        json_decref(env);
    }
    if (!to.on_pod) {
        json_object_del(pod, "env");
    }
}

/* Secrets, config maps and claims; what lives and dies with the pod stays on it. */
static bool is_passed(const json_t *volume)
{
    return json_object_get(volume, "secret") != NULL ||
           json_object_get(volume, "configMap") != NULL ||
           json_object_get(volume, "persistentVolumeClaim") != NULL;
}

static bool is_in(const json_t *volumes, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach(volumes, i, one)
    {
        if (str_eq(jget_str(one, "name", NULL), name)) {
            return true;
        }
    }
    return false;
}

static void split_volumes(const struct component *component, json_t *config, json_t *pod)
{
    struct destination to = where_to(component, FIELD_VOLUMES);
    json_t *passed = json_array(), *mounts = json_array();
    json_t *kept = json_array(), *kept_mounts = json_array();
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(pod, "volumes"), i, one)
    {
        json_array_append(is_passed(one) ? passed : kept, one);
    }
    json_array_foreach(json_object_get(pod, "volumeMounts"), i, one)
    {
        bool is_of_passed = is_in(passed, jget_str(one, "name", ""));
        json_array_append(is_of_passed ? mounts : kept_mounts, one);
    }
    if (to.in_config) {
        set_if(config, "volumes", passed);
        set_if(config, "volumeMounts", mounts);
    }
    if (!to.on_pod) {
        json_object_del(pod, "volumes");
        json_object_del(pod, "volumeMounts");
        set_if(pod, "volumes", kept);
        set_if(pod, "volumeMounts", kept_mounts);
    }
    json_decref(passed);
    json_decref(mounts);
    json_decref(kept);
    json_decref(kept_mounts);
}

void task_config_split(const struct component *component, const json_t *parts,
    const json_t *resources, json_t **task_config_out, json_t **pod_parts_out,
    json_t **pod_resources_out)
{
    json_t *config = json_object();
    json_t *pod = parts != NULL ? json_copy((json_t *)parts) : json_object();
    json_t *on_pod = resources != NULL ? json_copy((json_t *)resources) : json_object();
    split_part(component, FIELD_AFFINITY, "affinity", config, pod);
    split_part(component, FIELD_TOLERATIONS, "tolerations", config, pod);
    split_part(component, FIELD_NODE_SELECTOR, "nodeSelector", config, pod);
    split_env(component, config, pod);
    split_volumes(component, config, pod);
    struct destination to = where_to(component, FIELD_RESOURCES);
    if (to.in_config) {
        set_if(config, "resources", on_pod);
    }
    if (!to.on_pod) {
        json_decref(on_pod);
        on_pod = json_object();
    }
    *task_config_out = has_input(component) ? config : NULL;
    if (*task_config_out == NULL) {
        json_decref(config);
    }
    *pod_parts_out = pod;
    *pod_resources_out = on_pod;
}
