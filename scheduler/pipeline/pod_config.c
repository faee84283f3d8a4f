/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform document: what it says of each executor, found by label and attached to its
 * container. Fields are those of KubernetesExecutorConfig (kubernetes_executor_config.proto).
 */
#include "pipeline/pod_config.h"

#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"

#include <string.h>

#define MAX_LIST 256
#define MAX_DEADLINE_S 315360000.0 /* ten years */
#define MAX_ID 2147483647.0

static const char *const platform_fields[] = {
    "deploymentSpec", "pipelineConfig", "platform", "config", NULL};
static const char *const deployment_fields[] = {"executors", NULL};
static const char *const config_fields[] = {"secretAsEnv", "secretAsVolume", "configMapAsEnv",
    "configMapAsVolume", "pvcMount", "nodeSelector", "tolerations", "nodeAffinity", "podAffinity",
    "enabledSharedMemory", "imagePullSecret", "imagePullPolicy", "podMetadata", "fieldPathAsEnv",
    "activeDeadlineSeconds", "genericEphemeralVolume", "emptyDirMounts", "securityContext",
    "initContainers", "podResourceClaims", NULL};
static const char *const pull_secret_fields[] = {"secretName", "secretNameParameter", NULL};
static const char *const metadata_fields[] = {"labels", "annotations", NULL};
static const char *const security_fields[] = {"runAsUser", "runAsGroup", "runAsNonRoot", NULL};
static const char *const claim_fields[] = {"resourceClaimTemplateName", "resourceClaimJson", NULL};
static const char *const policies[] = {"Always", "IfNotPresent", "Never", NULL};

/* ---- members ---- */

const json_t *pod_keep(struct draft *d, json_t *value)
{
    json_array_append_new(d->keep, value);
    return value;
}

struct tree *pod_list(
    struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    struct tree *list = read_list(d, map, name, up);
    if (list != NULL && list->count > MAX_LIST) {
        struct path here = {.up = up, .key = name};
        complain(d->complaints, tree_place(list), &here, "at most %d are taken", MAX_LIST);
        return NULL;
    }
    return list;
}

const struct tree *pod_item(struct draft *d, const struct tree *list, const struct path *path)
{
    const struct tree *item = list->items[path->index];
    if (item->kind != TREE_MAP) {
        complain(d->complaints, tree_place(item), path, "expected a map (name: value)");
        return NULL;
    }
    return item;
}

json_t *pod_text_map(
    struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    const struct tree *node = read_map(d, map, name, up);
    struct path here = {.up = up, .key = name};
    if (node == NULL || node->count == 0) {
        return NULL;
    }
    json_t *out = json_object();
    for (size_t i = 0; i < node->count; i++) {
        struct path inner = {.up = &here, .key = node->pairs[i].key};
        const char *text = read_item_text(d, node->pairs[i].value, &inner);
        json_object_set_new(out, node->pairs[i].key, json_string(text != NULL ? text : ""));
    }
    return out;
}

json_t *pod_text_list(
    struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    const struct tree *list = read_list(d, map, name, up);
    struct path here = {.up = up, .key = name};
    if (list == NULL || list->count == 0) {
        return NULL;
    }
    json_t *out = json_array();
    for (size_t i = 0; i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const char *text = read_item_text(d, list->items[i], &inner);
        json_array_append_new(out, json_string(text != NULL ? text : ""));
    }
    return out;
}

const char *pod_copy_text(
    struct draft *d, const struct tree *map, const char *name, const struct path *up, json_t *obj)
{
    const char *text = read_text(d, map, name, up);
    if (text == NULL || text[0] == '\0') {
        return NULL;
    }
    json_object_set_new(obj, name, json_string(text));
    return text;
}

bool pod_flag(
    struct draft *d, const struct tree *map, const char *name, const struct path *up, bool *has_out)
{
    *has_out = !tree_is_null(tree_get(map, name));
    return read_bool(d, map, name, up);
}

const char *pod_quantity(
    struct draft *d, const struct tree *map, const char *name, const struct path *up)
{
    const char *text = read_text(d, map, name, up);
    if (text == NULL || text[0] == '\0') {
        return NULL;
    }
    if (!quantity_is_valid(text)) {
        struct path here = {.up = up, .key = name};
        complain(d->complaints, tree_place(tree_get(map, name)), &here,
            "'%.100s' is no quantity such as '5Gi' or '500M'", text);
        return NULL;
    }
    return text;
}

/* ---- small fields ---- */

static void read_pull(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    const struct tree *list = pod_list(d, map, "imagePullSecret", path);
    struct path here = {.up = path, .key = "imagePullSecret"};
    config->pull_secrets =
        pool_calloc(d->pool, list != NULL ? list->count : 0, sizeof *config->pull_secrets);
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item != NULL) {
            read_known(d, item, &inner, pull_secret_fields);
            pod_value_read_name(d, config, item, "secretNameParameter", "secretName", "secret",
                &inner, &config->pull_secrets[config->pull_secret_count++]);
        }
    }
    const char *policy = read_text(d, map, "imagePullPolicy", path);
    struct path which = {.up = path, .key = "imagePullPolicy"};
    for (size_t i = 0; policy != NULL && policies[i] != NULL; i++) {
        if (strcmp(policy, policies[i]) == 0) {
            config->pull_policy = policies[i];
        }
    }
    if (policy != NULL && policy[0] != '\0' && config->pull_policy == NULL) {
        complain(d->complaints, tree_place(tree_get(map, "imagePullPolicy")), &which,
            "'%.100s' is not known: Always, IfNotPresent or Never", policy);
    }
}

static void check_metadata(struct draft *d, const json_t *map, bool is_label,
    const struct tree *node, const struct path *path)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        if (!qualified_name_is_valid(key)) {
            complain(d->complaints, tree_place(node), path,
                "'%.200s' cannot be a key here: 'name' or 'example.com/name'", key);
        } else if (is_label && !label_value_is_valid(json_string_value(value))) {
            complain(d->complaints, tree_place(node), path,
                "%.100s: '%.200s' cannot be the value of a label: at most 63 letters, digits, "
                "'-', '_' and '.'",
                key, json_string_value(value));
        }
        if (str_starts(key, "rondo.dev/") || strcmp(key, "app.kubernetes.io/managed-by") == 0) {
            complain_mildly(d->complaints, tree_place(node), path,
                "'%.200s' is rondo's own, and stays as it is", key);
        }
    }
}

static void read_metadata(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    const struct tree *node = read_map(d, map, "podMetadata", path);
    struct path here = {.up = path, .key = "podMetadata"};
    if (node == NULL) {
        return;
    }
    read_known(d, node, &here, metadata_fields);
    struct path labels = {.up = &here, .key = "labels"};
    struct path annotations = {.up = &here, .key = "annotations"};
    config->labels = pod_keep(d, pod_text_map(d, node, "labels", &here));
    config->annotations = pod_keep(d, pod_text_map(d, node, "annotations", &here));
    check_metadata(d, config->labels, true, tree_get(node, "labels"), &labels);
    check_metadata(d, config->annotations, false, tree_get(node, "annotations"), &annotations);
}

static void read_id(struct draft *d, const struct tree *node, const char *name,
    const struct path *path, json_t *out)
{
    double id = -1;
    read_number(d, node, name, 0, MAX_ID, path, &id);
    if (id >= 0) {
        json_object_set_new(out, name, json_integer((json_int_t)id));
    }
}

static void read_security(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    const struct tree *node = read_map(d, map, "securityContext", path);
    struct path here = {.up = path, .key = "securityContext"};
    if (node == NULL) {
        return;
    }
    json_t *out = json_object();
    bool has_flag;
    read_known(d, node, &here, security_fields);
    read_id(d, node, "runAsUser", &here, out);
    read_id(d, node, "runAsGroup", &here, out);
    bool is_non_root = pod_flag(d, node, "runAsNonRoot", &here, &has_flag);
    if (has_flag) {
        json_object_set_new(out, "runAsNonRoot", json_boolean(is_non_root));
    }
    const json_t *user = json_object_get(out, "runAsUser");
    if (is_non_root && user != NULL && json_integer_value(user) == 0) {
        complain(d->complaints, tree_place(node), &here,
            "runAsUser 0 is root, which runAsNonRoot forbids; give another user or leave "
            "runAsNonRoot out");
    }
    config->security = pod_keep(d, out);
}

static void read_deadline(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    double deadline = 0;
    read_number(d, map, "activeDeadlineSeconds", 0, MAX_DEADLINE_S, path, &deadline);
    config->deadline_s = (int64_t)deadline;
}

static void read_resource_claims(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    const struct tree *list = pod_list(d, map, "podResourceClaims", path);
    struct path here = {.up = path, .key = "podResourceClaims"};
    config->resource_claims =
        pool_calloc(d->pool, list != NULL ? list->count : 0, sizeof *config->resource_claims);
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item == NULL) {
            continue;
        }
        struct pod_value *out = &config->resource_claims[config->resource_claim_count++];
        read_known(d, item, &inner, claim_fields);
        if (!tree_is_null(tree_get(item, "resourceClaimJson"))) {
            pod_value_read(d, config, item, "resourceClaimJson", &inner, out);
            continue;
        }
        const char *name = read_need_text(d, item, "resourceClaimTemplateName", &inner,
            "it names a ResourceClaimTemplate of the namespace");
        *out = (struct pod_value){
            .kind = POD_VALUE_CONSTANT,
            .constant = pod_keep(
                d, json_pack("{s:s}", "resourceClaimTemplateName", name != NULL ? name : "")),
            .where = pod_where(d, &inner, tree_place(item)),
        };
    }
}

/* ---- executors ---- */

static struct pod_config *read_config(
    struct draft *d, const struct tree *node, const struct path *path)
{
    struct pod_config *config = pool_alloc(d->pool, sizeof *config);
    read_known(d, node, path, config_fields);
    pod_env_read(d, node, path, config);
    pod_volumes_read(d, node, path, config);
    pod_placement_read(d, node, path, config);
    pod_affinity_read(d, node, path, config);
    read_pull(d, node, path, config);
    read_metadata(d, node, path, config);
    read_deadline(d, node, path, config);
    read_security(d, node, path, config);
    pod_init_read(d, node, path, config);
    read_resource_claims(d, node, path, config);
    return config;
}

static void read_executor_config(
    struct draft *d, const struct tree_pair *pair, const struct path *path)
{
    struct place place = {pair->line, pair->column};
    if (tree_is_null(pair->value)) {
        return;
    }
    if (pair->value->kind != TREE_MAP) {
        complain(d->complaints, place, path, "expected a map of Kubernetes settings");
        return;
    }
    struct pod_config *config = read_config(d, pair->value, path);
    struct draft_executor *executor = map_get(d->executors, pair->key);
    if (executor == NULL) {
        complain_mildly(d->complaints, place, path,
            "there is no executor '%s' in the pipeline's deploymentSpec; its settings are ignored",
            pair->key);
    } else if (executor->kind != EXECUTOR_CONTAINER) {
        complain_mildly(d->complaints, place, path, "is not a container; its settings are ignored");
    } else {
        executor->container.pod = config;
    }
}

void read_platform(struct draft *d)
{
    struct path top = PATH_ROOT;
    struct path platforms = {.up = &top, .key = "platforms"};
    struct path here = {.up = &platforms, .key = "kubernetes"};
    struct path deployment = {.up = &here, .key = "deploymentSpec"};
    struct path executors = {.up = &deployment, .key = "executors"};
    const struct tree *kubernetes =
        d->platform != NULL
            ? read_map(d, tree_get(d->platform, "platforms"), "kubernetes", &platforms)
            : NULL;
    if (kubernetes == NULL) {
        return;
    }
    read_known(d, kubernetes, &here, platform_fields);
    const struct tree *spec = read_map(d, kubernetes, "deploymentSpec", &here);
    const struct tree *map = read_map(d, spec, "executors", &deployment);
    read_known(d, spec, &deployment, deployment_fields);
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        struct path inner = {.up = &executors, .key = map->pairs[i].key};
        read_executor_config(d, &map->pairs[i], &inner);
    }
    read_pipeline_config(d, kubernetes, &here);
}
