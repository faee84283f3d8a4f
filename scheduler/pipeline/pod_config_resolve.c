/* SPDX-License-Identifier: Apache-2.0 */
/* All settings of a task's pod with their parameters filled in. */
#include "pipeline/pod_config.h"

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>

static void set_static(const struct pod_config *config, struct pod_resolving *r)
{
    jset_str(r->parts, "imagePullPolicy", config->pull_policy);
    if (config->labels != NULL) {
        json_object_set(r->parts, "labels", (json_t *)config->labels);
    }
    if (config->annotations != NULL) {
        json_object_set(r->parts, "annotations", (json_t *)config->annotations);
    }
    if (config->deadline_s > 0) {
        json_object_set_new(r->parts, "activeDeadlineSeconds", json_integer(config->deadline_s));
    }
    if (config->security != NULL && json_object_size(config->security) > 0) {
        json_object_set(r->parts, "securityContext", (json_t *)config->security);
    }
}

static int resolve_pull_secrets(const struct pod_config *config, struct pod_resolving *r)
{
    for (size_t i = 0; i < config->pull_secret_count; i++) {
        char *name CLEANUP(cleanup_free) = NULL;
        if (pod_value_resolve_name(&config->pull_secrets[i], r, &name) != 0) {
            return -1;
        }
        if (name == NULL) {
            continue;
        }
        json_t *secret = json_pack("{s:s}", "name", name);
        bool is_there = false;
        size_t k;
        json_t *other;
        json_array_foreach(json_object_get(r->parts, "imagePullSecrets"), k, other)
        {
            is_there |= json_equal(other, secret);
        }
        if (is_there) {
            json_decref(secret);
        } else {
            pod_parts_add(r, "imagePullSecrets", secret);
        }
    }
    return 0;
}

static int resolve_claims(const struct pod_config *config, struct pod_resolving *r)
{
    for (size_t i = 0; i < config->resource_claim_count; i++) {
        const struct pod_value *from = &config->resource_claims[i];
        json_t *value CLEANUP(json_decrefp) = NULL;
        if (pod_value_resolve(from, r, &value) != 0) {
            return -1;
        }
        if (value == NULL) {
            continue;
        }
        json_t *opened CLEANUP(json_decrefp) = pod_shape_open(value, from->where, r->err);
        json_t *claim CLEANUP(json_decrefp) =
            opened != NULL ? pod_shape_read(pod_shape_resource_claim, opened, from->where, r->err)
                           : NULL;
        if (claim == NULL) {
            return -1;
        }
        bool has_claim = json_object_get(claim, "resourceClaimName") != NULL;
        if (has_claim == (json_object_get(claim, "resourceClaimTemplateName") != NULL)) {
            return err_set(r->err, ERR_INVALID,
                "%s: expected one of resourceClaimTemplateName and resourceClaimName", from->where);
        }
        if (json_object_get(claim, "name") == NULL) {
            char *name CLEANUP(cleanup_free) = xasprintf("claim-%zu", i);
            json_object_set_new(claim, "name", json_string(name));
        }
        pod_parts_add(r, "resourceClaims", json_incref(claim));
    }
    return 0;
}

json_t *pod_config_resolve(const struct pod_config *config, scope_fn *scope, void *owner,
    const struct run_context *run, struct err *err)
{
    json_t *parts CLEANUP(json_decrefp) = json_object();
    json_t *volume_names CLEANUP(json_decrefp) = NULL;
    struct pod_resolving r = {
        .scope = scope, .owner = owner, .run = run, .parts = parts, .err = err};
    if (pod_env_resolve(config, &r) != 0 || pod_volumes_resolve(config, &r, &volume_names) != 0 ||
        pod_placement_resolve(config, &r) != 0 || pod_affinity_resolve(config, &r) != 0 ||
        resolve_pull_secrets(config, &r) != 0 || resolve_claims(config, &r) != 0 ||
        pod_init_resolve(config, &r, volume_names) != 0) {
        return NULL;
    }
    set_static(config, &r);
    return json_incref(parts);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Those members of the list that have one of the two, without their own name. */
static json_t *having(const json_t *list, const char *one, const char *other, const char *within)
{
    json_t *out = json_array();
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item)
    {
        const json_t *from = within != NULL ? json_object_get(item, within) : item;
        if (json_object_get(from, one) != NULL || json_object_get(from, other) != NULL) {
            json_array_append(out, (json_t *)item);
        }
    }
    return out;
}

json_t *pod_parts_sources(const json_t *parts)
{
    json_t *env =
        having(json_object_get(parts, "env"), "secretKeyRef", "configMapKeyRef", "valueFrom");
    json_t *volumes = having(json_object_get(parts, "volumes"), "secret", "configMap", NULL);
    json_t *out = json_array();
    json_array_extend(out, env);
    json_array_extend(out, volumes);
    json_decref(env);
    json_decref(volumes);
    return out;
}

json_t *pod_parts_claims(const json_t *parts)
{
    const json_t *volumes = json_object_get(parts, "volumes");
    const char **names = xcalloc(json_array_size(volumes) + 1, sizeof *names);
    size_t count = 0, i;
    const json_t *volume;
    json_array_foreach(volumes, i, volume)
    {
        const char *name =
            jget_str(json_object_get(volume, "persistentVolumeClaim"), "claimName", NULL);
        if (name != NULL) {
            names[count++] = name;
        }
    }
    qsort(names, count, sizeof *names, by_text);
    json_t *out = json_array();
    for (i = 0; i < count; i++) {
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0) {
            json_array_append_new(out, json_string(names[i]));
        }
    }
    free(names);
    return out;
}
