/* SPDX-License-Identifier: Apache-2.0 */
/* secretAsEnv, configMapAsEnv, fieldPathAsEnv: environment that the cluster fills in. */
#include "pipeline/pod_config.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FIELD_PATH 512

static const char *const secret_fields[] = {
    "secretName", "secretNameParameter", "keyToEnv", "optional", NULL};
static const char *const config_map_fields[] = {
    "configMapName", "configMapNameParameter", "keyToEnv", "optional", NULL};
static const char *const secret_key_fields[] = {"secretKey", "envVar", NULL};
static const char *const config_map_key_fields[] = {"configMapKey", "envVar", NULL};
static const char *const field_fields[] = {"name", "fieldPath", NULL};

static const struct {
    const char *list, *name, *old_name, *what, *key;
    const char *const *fields, *const *key_fields;
} kinds[] = {
    [POD_ENV_SECRET] = {"secretAsEnv", "secretNameParameter", "secretName", "secret", "secretKey",
        secret_fields, secret_key_fields},
    [POD_ENV_CONFIG_MAP] = {"configMapAsEnv", "configMapNameParameter", "configMapName",
        "config map", "configMapKey", config_map_fields, config_map_key_fields},
};

void pod_env_check_name(
    struct draft *d, const char *name, struct place place, const struct path *path)
{
    if (!env_name_is_valid(name)) {
        complain(d->complaints, place, path,
            "'%.200s' cannot be the name of an environment variable: printable ASCII without '='",
            name);
    } else if (str_starts(name, "RONDO_")) {
        complain(d->complaints, place, path,
            "'%.200s': names that begin with RONDO_ are for rondo itself; take another", name);
    }
}

static void read_keys(struct draft *d, const struct tree *item, enum pod_env_kind kind,
    const struct path *path, struct pod_env *out)
{
    const struct tree *list = pod_list(d, item, "keyToEnv", path);
    struct path here = {.up = path, .key = "keyToEnv"};
    if (list == NULL || list->count == 0) {
        complain_mildly(d->complaints, tree_place(item), &here,
            "is missing or empty, so nothing of it is put into the environment");
        return;
    }
    out->keys = pool_calloc(d->pool, list->count, sizeof *out->keys);
    for (size_t i = 0; i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *pair = pod_item(d, list, &inner);
        if (pair == NULL) {
            continue;
        }
        read_known(d, pair, &inner, kinds[kind].key_fields);
        const char *key = read_need_text(
            d, pair, kinds[kind].key, &inner, "it says which entry is the variable's value");
        const char *env =
            read_need_text(d, pair, "envVar", &inner, "it is the name of the variable");
        if (key == NULL || env == NULL) {
            continue;
        }
        struct path variable = {.up = &inner, .key = "envVar"};
        pod_env_check_name(d, env, tree_place(tree_get(pair, "envVar")), &variable);
        out->keys[out->key_count++] = (struct pod_env_key){.key = key, .env = env};
    }
}

static void read_objects(struct draft *d, const struct tree *map, enum pod_env_kind kind,
    const struct path *path, struct pod_config *config)
{
    const struct tree *list = pod_list(d, map, kinds[kind].list, path);
    struct path here = {.up = path, .key = kinds[kind].list};
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item == NULL) {
            continue;
        }
        struct pod_env *out = &config->env[config->env_count++];
        out->kind = kind;
        read_known(d, item, &inner, kinds[kind].fields);
        pod_value_read_name(d, config, item, kinds[kind].name, kinds[kind].old_name,
            kinds[kind].what, &inner, &out->object);
        out->is_optional = pod_flag(d, item, "optional", &inner, &out->has_optional);
        read_keys(d, item, kind, &inner, out);
    }
}

static void read_fields(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    const struct tree *list = pod_list(d, map, "fieldPathAsEnv", path);
    struct path here = {.up = path, .key = "fieldPathAsEnv"};
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct path inner = {.up = &here, .index = i};
        const struct tree *item = pod_item(d, list, &inner);
        if (item == NULL) {
            continue;
        }
        read_known(d, item, &inner, field_fields);
        const char *name = read_need_text(d, item, "name", &inner, "it is the variable's");
        const char *field = read_need_text(
            d, item, "fieldPath", &inner, "it names a field of the pod, such as metadata.name");
        if (name == NULL || field == NULL) {
            continue;
        }
        struct path variable = {.up = &inner, .key = "name"};
        pod_env_check_name(d, name, tree_place(tree_get(item, "name")), &variable);
        if (strlen(field) > MAX_FIELD_PATH) {
            struct path which = {.up = &inner, .key = "fieldPath"};
            complain(
                d->complaints, tree_place(item), &which, "at most %d characters", MAX_FIELD_PATH);
        }
        struct pod_env *out = &config->env[config->env_count++];
        out->kind = POD_ENV_FIELD;
        out->keys = pool_alloc(d->pool, sizeof *out->keys);
        out->keys[0] = (struct pod_env_key){.key = field, .env = name};
        out->key_count = 1;
    }
}

static size_t list_size(const struct tree *map, const char *name)
{
    const struct tree *list = tree_get(map, name);
    return list != NULL && list->kind == TREE_LIST ? list->count : 0;
}

/* The order is KFP's: where two name the same variable, the last one counts. */
void pod_env_read(
    struct draft *d, const struct tree *map, const struct path *path, struct pod_config *config)
{
    size_t most = list_size(map, "secretAsEnv") + list_size(map, "configMapAsEnv") +
                  list_size(map, "fieldPathAsEnv");
    config->env = pool_calloc(d->pool, most, sizeof *config->env);
    read_objects(d, map, POD_ENV_SECRET, path, config);
    read_objects(d, map, POD_ENV_CONFIG_MAP, path, config);
    read_fields(d, map, path, config);
}

/* ---- resolving ---- */

/* Replaces an earlier variable of this name. Takes source. */
static void put_env(struct pod_resolving *r, const char *name, json_t *source)
{
    json_t *list = json_object_get(r->parts, "env");
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0) {
            json_array_remove(list, i);
            break;
        }
    }
    pod_parts_add(r, "env", json_pack("{s:s,s:o}", "name", name, "valueFrom", source));
}

static int resolve_object(const struct pod_env *env, struct pod_resolving *r)
{
    char *name CLEANUP(cleanup_free) = NULL;
    if (pod_value_resolve_name(&env->object, r, &name) != 0) {
        return -1;
    }
    for (size_t i = 0; name != NULL && i < env->key_count; i++) {
        json_t *source = json_pack("{s:s,s:s}", "name", name, "key", env->keys[i].key);
        if (env->has_optional) {
            json_object_set_new(source, "optional", json_boolean(env->is_optional));
        }
        put_env(r, env->keys[i].env,
            json_pack(
                "{s:o}", env->kind == POD_ENV_SECRET ? "secretKeyRef" : "configMapKeyRef", source));
    }
    return 0;
}

int pod_env_resolve(const struct pod_config *config, struct pod_resolving *r)
{
    for (size_t i = 0; i < config->env_count; i++) {
        const struct pod_env *env = &config->env[i];
        if (env->kind == POD_ENV_FIELD) {
            put_env(r, env->keys[0].env,
                json_pack("{s:{s:s}}", "fieldRef", "fieldPath", env->keys[0].key));
        } else if (resolve_object(env, r) != 0) {
            return -1;
        }
    }
    return 0;
}
