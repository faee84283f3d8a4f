/* SPDX-License-Identifier: Apache-2.0 */
/* Components: what goes in, what comes out, and which of DAG or executor is behind it. */
#include "pipeline/draft.h"

#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"

#include <stdlib.h>
#include <string.h>

static const char *const component_fields[] = {"inputDefinitions", "outputDefinitions", "dag",
    "executorLabel", "singlePlatformSpecs", "taskConfigPassthroughs", NULL};
static const char *const definition_fields[] = {"parameters", "artifacts", NULL};
static const char *const param_fields[] = {"parameterType", "type", "defaultValue", "isOptional",
    "description", "literals", "displayName", NULL};
static const char *const artifact_fields[] = {"artifactType", "isArtifactList", "isOptional",
    "description", "metadata", "properties", "customProperties", "displayName", NULL};
static const char *const type_fields[] = {
    "schemaTitle", "schemaUri", "instanceSchema", "schemaVersion", NULL};

static const struct {
    const char *name;
    int number; /* in ParameterTypeEnum */
    enum value_type type;
} value_types[] = {
    {"STRING", 3, VALUE_STRING},
    {"NUMBER_INTEGER", 2, VALUE_INTEGER},
    {"NUMBER_DOUBLE", 1, VALUE_DOUBLE},
    {"BOOLEAN", 4, VALUE_BOOLEAN},
    {"LIST", 5, VALUE_LIST},
    {"STRUCT", 6, VALUE_STRUCT},
    {"TASK_FINAL_STATUS", 7, VALUE_TASK_FINAL_STATUS},
    {"TASK_CONFIG", 8, VALUE_TASK_CONFIG},
};
/* PrimitiveTypeEnum, of the deprecated field `type`. */
static const struct {
    const char *name, *number;
    enum value_type type;
} primitive_types[] = {
    {"INT", "1", VALUE_INTEGER},
    {"DOUBLE", "2", VALUE_DOUBLE},
    {"STRING", "3", VALUE_STRING},
};

int parse_value_type(const char *name, enum value_type *out)
{
    char *end;
    long number = strtol(name, &end, 10);
    bool is_number = end != name && *end == '\0' && number > 0;
    for (size_t i = 0; i < ARRAY_LEN(value_types); i++) {
        if (strcmp(name, value_types[i].name) == 0 ||
            (is_number && number == value_types[i].number)) {
            *out = value_types[i].type;
            return 0;
        }
    }
    return -1;
}

static int parse_primitive_type(const char *name, enum value_type *out)
{
    for (size_t i = 0; i < ARRAY_LEN(primitive_types); i++) {
        if (strcmp(name, primitive_types[i].name) == 0 ||
            strcmp(name, primitive_types[i].number) == 0) {
            *out = primitive_types[i].type;
            return 0;
        }
    }
    return -1;
}

const char *value_type_name(enum value_type type)
{
    for (size_t i = 0; i < ARRAY_LEN(value_types); i++) {
        if (value_types[i].type == type) {
            return value_types[i].name;
        }
    }
    return "?";
}

void component_path(const struct draft_component *c, struct path out[3])
{
    out[0] = PATH_ROOT;
    out[1] = (struct path){.up = &out[0], .key = c->is_root ? "root" : "components"};
    out[2] = c->is_root ? out[1] : (struct path){.up = &out[1], .key = c->def.name};
}

static void check_name(
    struct draft *d, const struct tree_pair *pair, const struct path *path, const char *what)
{
    if (!name_is_usable(pair->key)) {
        complain(d->complaints, (struct place){pair->line, pair->column}, path,
            "%s '%s' is not usable as a name: 1 to 253 characters without '/', '\\', quotes and "
            "control characters",
            what, pair->key);
    }
}

/* parameterType, or `type` as it was before. */
static bool read_type(
    struct draft *d, const struct tree *node, const struct path *path, enum value_type *out)
{
    const char *type = read_text(d, node, "parameterType", path);
    if (type != NULL && parse_value_type(type, out) == 0) {
        return true;
    }
    const char *old = read_text(d, node, "type", path);
    bool is_unsaid = type == NULL || strcmp(type, "0") == 0 ||
                     strcmp(type, "PARAMETER_TYPE_ENUM_UNSPECIFIED") == 0;
    if (is_unsaid && old != NULL && parse_primitive_type(old, out) == 0) {
        return true;
    }
    type = is_unsaid ? old : type;
    complain(d->complaints, tree_place(node), path,
        "parameterType %s%s%s; it must be STRING, NUMBER_INTEGER, NUMBER_DOUBLE, BOOLEAN, LIST, "
        "STRUCT, TASK_FINAL_STATUS or TASK_CONFIG",
        type != NULL ? "'" : "", type != NULL ? type : "is missing",
        type != NULL ? "' is not known" : "");
    return false;
}

static void read_param(
    struct draft *d, const struct tree_pair *pair, const struct path *path, struct param_def *out)
{
    out->name = pair->key;
    struct tree *node = pair->value;
    if (node->kind != TREE_MAP) {
        complain(d->complaints, tree_place(node), path, "expected a map with 'parameterType'");
        return;
    }
    check_name(d, pair, path, "parameter");
    read_known(d, node, path, param_fields);
    if (!read_type(d, node, path, &out->type)) {
        return;
    }
    out->is_optional = read_bool(d, node, "isOptional", path);
    out->description = read_text(d, node, "description", path);
    out->display_name = read_text(d, node, "displayName", path);
    struct path inner = {.up = path, .key = "defaultValue"};
    struct tree *value = tree_get(node, "defaultValue");
    if (value != NULL) {
        out->default_value = read_value(d, value, out->type, &inner);
    }
    if (out->default_value != NULL && !value_fits(out->default_value, out->type)) {
        complain(d->complaints, tree_place(value), &inner, "the default is not a %s",
            value_type_name(out->type));
    }
    struct tree *literals = read_list(d, node, "literals", path);
    if (literals != NULL && literals->count > 0) {
        inner = (struct path){.up = path, .key = "literals"};
        for (size_t i = 0; i < literals->count; i++) {
            read_value(d, literals->items[i], out->type, &inner);
        }
        out->literals = read_value(d, literals, VALUE_LIST, &inner);
    }
}

/* Lookups by name (component_param_in and the others) are binary searches. */
static int by_param_name(const void *a, const void *b)
{
    return strcmp(((const struct param_def *)a)->name, ((const struct param_def *)b)->name);
}

static int by_artifact_name(const void *a, const void *b)
{
    return strcmp(((const struct artifact_def *)a)->name, ((const struct artifact_def *)b)->name);
}

static struct param_def *read_params(
    struct draft *d, const struct tree *defs, const struct path *up, size_t *count_out)
{
    struct path here = {.up = up, .key = "parameters"};
    const struct tree *map = read_map(d, defs, "parameters", up);
    size_t count = map != NULL ? map->count : 0;
    struct param_def *out = pool_calloc(d->pool, count, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        struct path inner = {.up = &here, .key = map->pairs[i].key};
        read_param(d, &map->pairs[i], &inner, &out[i]);
    }
    if (count > 1) {
        qsort(out, count, sizeof *out, by_param_name);
    }
    *count_out = count;
    return out;
}

static void read_artifact(struct draft *d, const struct tree_pair *pair, const struct path *path,
    struct artifact_def *out)
{
    out->name = pair->key;
    const struct tree *node = pair->value;
    if (node->kind != TREE_MAP) {
        complain(d->complaints, tree_place(node), path, "expected a map with 'artifactType'");
        return;
    }
    check_name(d, pair, path, "artifact");
    read_known(d, node, path, artifact_fields);
    struct tree *type = read_map(d, node, "artifactType", path);
    struct path inner = {.up = path, .key = "artifactType"};
    if (type != NULL) {
        read_known(d, type, &inner, type_fields);
        out->schema_title = read_text(d, type, "schemaTitle", &inner);
        out->schema_version = read_text(d, type, "schemaVersion", &inner);
        read_text(d, type, "instanceSchema", &inner);
        json_t *camel = read_camel(type, type_fields);
        json_array_append_new(d->keep, camel);
        out->type = camel;
    } else {
        complain(d->complaints, tree_place(node), path,
            "artifactType is missing; say for example artifactType: {schemaTitle: system.Dataset}");
    }
    struct tree *metadata = read_map(d, node, "metadata", path);
    inner.key = "metadata";
    out->metadata = metadata != NULL ? read_value(d, metadata, VALUE_STRUCT, &inner) : NULL;
    out->display_name = read_text(d, node, "displayName", path);
    out->is_list = read_bool(d, node, "isArtifactList", path);
    out->is_optional = read_bool(d, node, "isOptional", path);
}

static struct artifact_def *read_artifacts(
    struct draft *d, const struct tree *defs, const struct path *up, size_t *count_out)
{
    struct path here = {.up = up, .key = "artifacts"};
    const struct tree *map = read_map(d, defs, "artifacts", up);
    size_t count = map != NULL ? map->count : 0;
    struct artifact_def *out = pool_calloc(d->pool, count, sizeof *out);
    for (size_t i = 0; i < count; i++) {
        struct path inner = {.up = &here, .key = map->pairs[i].key};
        read_artifact(d, &map->pairs[i], &inner, &out[i]);
    }
    if (count > 1) {
        qsort(out, count, sizeof *out, by_artifact_name);
    }
    *count_out = count;
    return out;
}

/* Executor outputs are one namespace of files and one of placeholders: no name twice. */
static void check_both(struct draft *d, const struct component *c, const struct tree *defs,
    const struct path *path, bool is_in)
{
    const struct param_def *params = is_in ? c->params_in : c->params_out;
    size_t count = is_in ? c->param_in_count : c->param_out_count;
    for (size_t i = 0; i < count; i++) {
        const struct artifact_def *twin = is_in ? component_artifact_in(c, params[i].name)
                                                : component_artifact_out(c, params[i].name);
        if (twin != NULL) {
            complain(d->complaints, tree_place(defs), path,
                "'%s' is a parameter and an artifact; rename one of them", params[i].name);
        }
    }
}

void read_interface(struct draft *d, struct draft_component *c, const struct path *path)
{
    struct component *def = &c->def;
    struct path in = {.up = path, .key = "inputDefinitions"};
    struct path out = {.up = path, .key = "outputDefinitions"};
    const struct tree *inputs = read_map(d, c->node, "inputDefinitions", path);
    const struct tree *outputs = read_map(d, c->node, "outputDefinitions", path);
    read_known(d, inputs, &in, definition_fields);
    read_known(d, outputs, &out, definition_fields);
    def->params_in = read_params(d, inputs, &in, &def->param_in_count);
    def->artifacts_in = read_artifacts(d, inputs, &in, &def->artifact_in_count);
    def->params_out = read_params(d, outputs, &out, &def->param_out_count);
    def->artifacts_out = read_artifacts(d, outputs, &out, &def->artifact_out_count);
    check_both(d, def, inputs, &in, true);
    check_both(d, def, outputs, &out, false);
}

static void read_component(struct draft *d, struct draft_component *c)
{
    struct path path[3];
    component_path(c, path);
    if (c->node->kind != TREE_MAP) {
        complain(d->complaints, c->place, &path[2], "expected a map with 'dag' or 'executorLabel'");
        return;
    }
    read_known(d, c->node, &path[2], component_fields);
    read_interface(d, c, &path[2]);
    c->executor = read_text(d, c->node, "executorLabel", &path[2]);
    const struct tree *dag = tree_get(c->node, "dag");
    bool has_dag = dag != NULL && !tree_is_null(dag);
    c->def.kind = has_dag ? COMPONENT_DAG : COMPONENT_CONTAINER;
    if (has_dag && c->executor != NULL) {
        complain(d->complaints, c->place, &path[2],
            "has both 'dag' and 'executorLabel'; a component is one or the other");
    } else if (!has_dag && c->is_root) {
        complain(d->complaints, c->place, &path[2],
            "the root needs 'dag' with 'tasks'; it is always a DAG");
    } else if (!has_dag && c->executor == NULL) {
        complain(d->complaints, c->place, &path[2],
            "needs 'dag' (a group of tasks) or 'executorLabel' (an entry of "
            "deploymentSpec.executors)");
    }
    read_passthroughs(d, c, &path[2]);
    if (has_dag) {
        read_dag(d, c, &path[2]);
    }
}

void read_components(struct draft *d)
{
    struct path top = PATH_ROOT;
    const struct tree *map = read_map(d, d->spec, "components", &top);
    size_t count = map != NULL ? map->count : 0;
    d->list = pool_calloc(d->pool, count + 1, sizeof *d->list);
    for (size_t i = 0; i < count; i++) {
        struct draft_component *c = pool_alloc(d->pool, sizeof *c);
        c->def.name = map->pairs[i].key;
        c->node = map->pairs[i].value;
        c->place = (struct place){map->pairs[i].line, map->pairs[i].column};
        d->list[d->count++] = c;
        map_put(d->components, c->def.name, c);
        read_component(d, c);
    }
    const struct tree *root = read_map(d, d->spec, "root", &top);
    if (root == NULL) {
        struct path here = {.up = &top, .key = "root"};
        complain(d->complaints, tree_place(d->spec), &here,
            "is missing; a pipeline needs root.dag.tasks");
        return;
    }
    d->root = pool_alloc(d->pool, sizeof *d->root);
    d->root->def.name = "root";
    d->root->is_root = true;
    d->root->node = root;
    d->root->place = tree_place(root);
    d->list[d->count++] = d->root;
    read_component(d, d->root);
}
