/* SPDX-License-Identifier: Apache-2.0 */
/* platforms.kubernetes.pipelineConfig: workspace, deadline and time to live (12.3). */
#include "pipeline/pod_config.h"

#include "base/pool.h"
#include "base/util.h"
#include "pipeline/kubernetes_names.h"

#include <string.h>

#define MAX_SECONDS 315360000.0 /* ten years */

static const char *const config_fields[] = {"workspace", "resourceTtlOnCompletion",
    "resourceTtlOnSuccess", "resourceTtlOnFailure", "activeDeadlineSeconds", NULL};
static const char *const workspace_fields[] = {"size", "kubernetes", NULL};
static const char *const kubernetes_fields[] = {"pvcSpecPatch", NULL};
static const char *const patch_fields[] = {"accessModes", "storageClassName", NULL};
static const char *const access_modes[] = {
    "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod", NULL};

static int64_t read_seconds(
    struct draft *d, const struct tree *map, const char *name, const struct path *path)
{
    double seconds = 0;
    read_number(d, map, name, 0, MAX_SECONDS, path, &seconds);
    return (int64_t)seconds;
}

static void read_access_modes(
    struct draft *d, const struct tree *patch, const struct path *path, json_t *out)
{
    json_t *modes = pod_text_list(d, patch, "accessModes", path);
    struct path here = {.up = path, .key = "accessModes"};
    if (modes == NULL) {
        return;
    }
    size_t i;
    json_t *mode;
    json_array_foreach(modes, i, mode)
    {
        const char *const *known = access_modes;
        while (*known != NULL && strcmp(*known, json_string_value(mode)) != 0) {
            known++;
        }
        if (*known == NULL) {
            complain(d->complaints, tree_place(tree_get(patch, "accessModes")), &here,
                "'%.100s' is not known: ReadWriteOnce, ReadOnlyMany, ReadWriteMany or "
                "ReadWriteOncePod",
                json_string_value(mode));
        }
    }
    json_object_set_new(out, "accessModes", modes);
}

/* Only two members may be changed of the claim that the workspace is. */
static void read_patch(struct draft *d, const struct tree *kubernetes, const struct path *up,
    struct pipeline_config *config)
{
    const struct tree *patch = read_map(d, kubernetes, "pvcSpecPatch", up);
    struct path here = {.up = up, .key = "pvcSpecPatch"};
    if (patch == NULL) {
        return;
    }
    json_t *out = json_object();
    for (size_t i = 0; i < patch->count; i++) {
        const struct tree_pair *pair = &patch->pairs[i];
        struct path inner = {.up = &here, .key = pair->key};
        if (!tree_name_is(pair->key, patch_fields[0]) &&
            !tree_name_is(pair->key, patch_fields[1])) {
            complain(d->complaints, (struct place){pair->line, pair->column}, &inner,
                "only accessModes and storageClassName can be set");
        }
    }
    read_access_modes(d, patch, &here, out);
    const struct tree *storage = tree_get(patch, "storageClassName");
    const char *name = read_text(d, patch, "storageClassName", &here);
    struct path which = {.up = &here, .key = "storageClassName"};
    if (!tree_is_null(storage) && name != NULL && !dns_subdomain_is_valid(name)) {
        complain(d->complaints, tree_place(storage), &which,
            "'%.200s' cannot be the name of a storage class; leave it out for the cluster's own",
            name);
    } else if (name != NULL) {
        json_object_set_new(out, "storageClassName", json_string(name));
    }
    config->workspace_patch = pod_keep(d, out);
}

static void read_workspace(
    struct draft *d, const struct tree *map, const struct path *up, struct pipeline_config *config)
{
    const struct tree *workspace = read_map(d, map, "workspace", up);
    struct path here = {.up = up, .key = "workspace"};
    if (workspace == NULL) {
        return;
    }
    read_known(d, workspace, &here, workspace_fields);
    config->workspace_size = pod_quantity(d, workspace, "size", &here);
    if (config->workspace_size == NULL && tree_is_null(tree_get(workspace, "size"))) {
        complain(d->complaints, tree_place(workspace), &here,
            "size is missing; say how large the workspace shall be, such as '10Gi'");
    }
    const struct tree *kubernetes = read_map(d, workspace, "kubernetes", &here);
    struct path inner = {.up = &here, .key = "kubernetes"};
    read_known(d, kubernetes, &inner, kubernetes_fields);
    read_patch(d, kubernetes, &inner, config);
}

void read_pipeline_config(struct draft *d, const struct tree *kubernetes, const struct path *path)
{
    const struct tree *map = read_map(d, kubernetes, "pipelineConfig", path);
    struct path here = {.up = path, .key = "pipelineConfig"};
    if (map == NULL) {
        return;
    }
    struct pipeline_config *config = pool_alloc(d->pool, sizeof *config);
    read_known(d, map, &here, config_fields);
    read_workspace(d, map, &here, config);
    config->ttl_s = read_seconds(d, map, "resourceTtlOnCompletion", &here);
    config->ttl_success_s = read_seconds(d, map, "resourceTtlOnSuccess", &here);
    config->ttl_failure_s = read_seconds(d, map, "resourceTtlOnFailure", &here);
    config->deadline_s = read_seconds(d, map, "activeDeadlineSeconds", &here);
    d->plan->config = config;
}
