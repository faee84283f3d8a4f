/* SPDX-License-Identifier: Apache-2.0 */
/* deploymentSpec.executors: the containers behind the leaf components. */
#include "pipeline/draft.h"

#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"

#include <string.h>

static const char *const executor_fields[] = {
    "container", "importer", "resolver", "customJob", NULL};
static const char *const container_fields[] = {
    "image", "command", "args", "env", "resources", "lifecycle", "fileOutputs", NULL};
static const char *const resource_fields[] = {"cpuLimit", "memoryLimit", "cpuRequest",
    "memoryRequest", "resourceCpuLimit", "resourceMemoryLimit", "resourceCpuRequest",
    "resourceMemoryRequest", "accelerator", NULL};
static const char *const accelerator_fields[] = {
    "type", "count", "resourceType", "resourceCount", NULL};

static const char **read_words(
    struct draft *d, const struct tree *map, const char *name, const struct path *up, size_t *count)
{
    struct tree *list = read_list(d, map, name, up);
    *count = list != NULL ? list->count : 0;
    const char **words = pool_calloc(d->pool, *count, sizeof *words);
    struct path here = {.up = up, .key = name};
    for (size_t i = 0; i < *count; i++) {
        struct path item = {.up = &here, .index = i};
        words[i] = read_item_text(d, list->items[i], &item);
    }
    return words;
}

static void read_env(
    struct draft *d, const struct tree *node, const struct path *up, struct container *out)
{
    struct tree *list = read_list(d, node, "env", up);
    struct path here = {.up = up, .key = "env"};
    out->env_count = list != NULL ? list->count : 0;
    out->env = pool_calloc(d->pool, out->env_count, sizeof *out->env);
    for (size_t i = 0; i < out->env_count; i++) {
        struct path item = {.up = &here, .index = i};
        const struct tree *entry = list->items[i];
        if (entry->kind != TREE_MAP) {
            complain(
                d->complaints, tree_place(entry), &item, "expected a map with 'name' and 'value'");
            continue;
        }
        const char *name =
            read_need_text(d, entry, "name", &item, "every environment variable needs a name");
        const char *value = read_text(d, entry, "value", &item);
        if (name != NULL && strchr(name, '=') != NULL) {
            complain(d->complaints, tree_place(entry), &item,
                "the name of an environment variable must not contain '='");
        }
        out->env[i] = (struct env_var){.name = name, .value = value != NULL ? value : ""};
    }
}

static void read_resources(
    struct draft *d, const struct tree *node, const struct path *up, struct container *out)
{
    struct tree *map = read_map(d, node, "resources", up);
    if (map == NULL) {
        return;
    }
    struct path here = {.up = up, .key = "resources"};
    read_known(d, map, &here, resource_fields);
    for (size_t i = 4; i < 8; i++) { /* the texts among them: "500m", "1" */
        read_text(d, map, resource_fields[i], &here);
    }
    struct tree *accelerator = read_map(d, map, "accelerator", &here);
    if (accelerator != NULL) {
        struct path inner = {.up = &here, .key = "accelerator"};
        read_known(d, accelerator, &inner, accelerator_fields);
        read_text(d, accelerator, "type", &inner);
        read_text(d, accelerator, "resourceType", &inner);
        read_text(d, accelerator, "resourceCount", &inner);
    }
    json_t *resources = read_camel(map, resource_fields);
    if (accelerator != NULL) {
        json_object_set_new(resources, "accelerator", read_camel(accelerator, accelerator_fields));
    }
    json_array_append_new(d->keep, resources);
    out->resources = resources;
}

/* {output: path}, rondo's own: component files of KFP 1 become this. */
static void read_file_outputs(
    struct draft *d, const struct tree *node, const struct path *up, struct container *out)
{
    const struct tree *map = read_map(d, node, "fileOutputs", up);
    struct path here = {.up = up, .key = "fileOutputs"};
    json_t *list = json_array();
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        struct path inner = {.up = &here, .key = map->pairs[i].key};
        const char *file = read_item_text(d, map->pairs[i].value, &inner);
        if (file != NULL && file[0] != '/') {
            complain(d->complaints, tree_place(map->pairs[i].value), &inner,
                "'%s' is not an absolute path", file);
        } else if (file != NULL) {
            json_array_append_new(
                list, json_pack("{s:s,s:s}", "name", map->pairs[i].key, "path", file));
        }
    }
    json_array_append_new(d->keep, list);
    out->file_outputs = json_array_size(list) > 0 ? list : NULL;
}

static void read_container(
    struct draft *d, const struct tree *node, const struct path *up, struct container *out)
{
    struct path here = {.up = up, .key = "container"};
    read_known(d, node, &here, container_fields);
    out->image = read_need_text(d, node, "image", &here, "a container needs an image");
    out->command = read_words(d, node, "command", &here, &out->command_count);
    out->args = read_words(d, node, "args", &here, &out->arg_count);
    read_env(d, node, &here, out);
    read_resources(d, node, &here, out);
    read_file_outputs(d, node, &here, out);
    bool is_pseudo = out->image != NULL && str_starts(out->image, "argostub/");
    if (out->command_count + out->arg_count == 0 && !is_pseudo) {
        complain(d->complaints, tree_place(node), &here,
            "neither 'command' nor 'args' is there; the image's own entry point is never used, so "
            "say what to run");
    }
}

static void read_executor(struct draft *d, struct draft_executor *e, const struct path *path)
{
    static const enum executor_kind kinds[] = {
        EXECUTOR_CONTAINER, EXECUTOR_IMPORTER, EXECUTOR_OTHER, EXECUTOR_OTHER};
    e->kind = EXECUTOR_OTHER;
    if (e->node->kind != TREE_MAP) {
        complain(d->complaints, e->place, path, "expected a map with 'container' or 'importer'");
        return;
    }
    read_known(d, e->node, path, executor_fields);
    size_t found = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct tree *node = read_map(d, e->node, executor_fields[i], path);
        if (node == NULL) {
            continue;
        }
        found++;
        e->kind = kinds[i];
        if (e->kind == EXECUTOR_CONTAINER) {
            read_container(d, node, path, &e->container);
        } else if (e->kind == EXECUTOR_IMPORTER) {
            read_importer(d, node, path, &e->importer);
        }
    }
    if (found != 1) {
        complain(d->complaints, e->place, path,
            "needs exactly one of container, importer, resolver, customJob; found %zu", found);
    }
}

void read_executors(struct draft *d)
{
    struct path top = PATH_ROOT;
    struct path spec = {.up = &top, .key = "deploymentSpec"};
    struct path here = {.up = &spec, .key = "executors"};
    const struct tree *deployment = read_map(d, d->spec, "deploymentSpec", &top);
    const struct tree *map = read_map(d, deployment, "executors", &spec);
    d->executor_count = map != NULL ? map->count : 0;
    d->executor_list = pool_calloc(d->pool, d->executor_count, sizeof *d->executor_list);
    for (size_t i = 0; i < d->executor_count; i++) {
        struct draft_executor *e = &d->executor_list[i];
        e->label = map->pairs[i].key;
        e->node = map->pairs[i].value;
        e->place = (struct place){map->pairs[i].line, map->pairs[i].column};
        struct path inner = {.up = &here, .key = e->label};
        read_executor(d, e, &inner);
        map_put(d->executors, e->label, e);
    }
}
