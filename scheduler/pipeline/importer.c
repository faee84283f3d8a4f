/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importers: an artifact that exists already becomes one of the pipeline's (kfp-semantics.md 11).
 */
#include "pipeline/draft.h"

#include "base/pool.h"
#include "base/util.h"

#include <string.h>

static const char *const importer_fields[] = {"artifactUri", "typeSchema", "properties",
    "customProperties", "reimport", "metadata", "downloadToWorkspace", NULL};
static const char *const uri_fields[] = {"constant", "constantValue", "runtimeParameter", NULL};
static const char *const value_fields[] = {"stringValue", "intValue", "doubleValue", NULL};

/* ValueOrRuntimeParameter: its constant in the present or the old form; NULL: none. */
static struct tree *constant_node(struct draft *d, const struct tree *node, const struct path *path)
{
    struct tree *constant = tree_get(node, "constant");
    if (!tree_is_null(constant)) {
        return constant;
    }
    const struct tree *old = read_map(d, node, "constantValue", path);
    for (size_t i = 0; old != NULL && value_fields[i] != NULL; i++) {
        struct tree *value = tree_get(old, value_fields[i]);
        if (!tree_is_null(value)) {
            return value;
        }
    }
    return NULL;
}

static void read_uri(
    struct draft *d, const struct tree *node, const struct path *up, struct importer *out)
{
    struct path here = {.up = up, .key = "artifactUri"};
    const struct tree *uri = read_map(d, node, "artifactUri", up);
    if (uri == NULL) {
        complain(d->complaints, tree_place(node), &here,
            "is missing; say where the artifact is: {constant: URI} or {runtimeParameter: INPUT}");
        return;
    }
    read_known(d, uri, &here, uri_fields);
    out->uri_input = read_text(d, uri, "runtimeParameter", &here);
    struct tree *constant = constant_node(d, uri, &here);
    if ((out->uri_input == NULL) == (constant == NULL)) {
        complain(d->complaints, tree_place(uri), &here,
            "needs exactly one of 'constant' (the URI) and 'runtimeParameter' (an input that has "
            "it)");
    } else if (constant != NULL) {
        struct path inner = {.up = &here, .key = "constant"};
        out->uri = read_item_text(d, constant, &inner);
        if (out->uri != NULL && out->uri[0] == '\0') {
            complain(d->complaints, tree_place(constant), &inner, "the URI is empty");
        }
    }
}

/* properties and customProperties are what metadata was before; metadata wins. */
static void add_old_properties(struct draft *d, const struct tree *node, const char *name,
    const struct path *up, json_t *metadata)
{
    struct path here = {.up = up, .key = name};
    const struct tree *map = read_map(d, node, name, up);
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        const struct tree_pair *pair = &map->pairs[i];
        struct path inner = {.up = &here, .key = pair->key};
        struct tree *constant =
            pair->value->kind == TREE_MAP ? constant_node(d, pair->value, &inner) : NULL;
        const char *input = pair->value->kind == TREE_MAP
                                ? read_text(d, pair->value, "runtimeParameter", &inner)
                                : NULL;
        json_t *value = NULL;
        if (constant != NULL) {
            value = tree_json(constant);
        } else if (input != NULL) {
            value = json_sprintf("{{$.inputs.parameters['%s']}}", input);
        } else {
            complain(d->complaints, (struct place){pair->line, pair->column}, &inner,
                "needs 'constant' or 'runtimeParameter'");
        }
        if (value != NULL && json_object_get(metadata, pair->key) == NULL) {
            json_object_set_new(metadata, pair->key, value);
        } else {
            json_decref(value);
        }
    }
}

static void read_metadata(
    struct draft *d, const struct tree *node, const struct path *up, struct importer *out)
{
    const struct tree *map = read_map(d, node, "metadata", up);
    json_t *metadata = map != NULL ? tree_json(map) : json_object();
    add_old_properties(d, node, "customProperties", up, metadata);
    add_old_properties(d, node, "properties", up, metadata);
    json_array_append_new(d->keep, metadata);
    out->metadata = json_object_size(metadata) > 0 ? metadata : NULL;
}

void read_importer(
    struct draft *d, const struct tree *node, const struct path *up, struct importer *out)
{
    struct path here = {.up = up, .key = "importer"};
    read_known(d, node, &here, importer_fields);
    read_uri(d, node, &here, out);
    read_metadata(d, node, &here, out);
    out->reimport = read_bool(d, node, "reimport", &here);
    out->to_workspace = read_bool(d, node, "downloadToWorkspace", &here);
}

void link_importer(struct draft *d, const struct draft_component *c, const struct path *path)
{
    const struct component *def = &c->def;
    struct path outputs = {.up = path, .key = "outputDefinitions"};
    if (def->artifact_out_count != 1 || def->param_out_count != 0) {
        complain(d->complaints, c->place, &outputs,
            "an importer gives exactly one artifact and no parameters; this declares %zu and %zu",
            def->artifact_out_count, def->param_out_count);
    }
}

void link_importer_task(struct draft *d, const struct draft_task *t, const struct path *path)
{
    const struct importer *importer = t->component->def.importer;
    const char *input = importer->uri_input;
    if (input != NULL && component_param_in(&t->component->def, input) == NULL &&
        find_binding(t->params, t->param_count, input) == NULL) {
        complain(d->complaints, t->place, path,
            "the importer takes its URI from the input '%s', which is neither declared by %s nor "
            "passed; pass it in inputs.parameters",
            input, t->component->def.name);
    }
}
