/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A component file of KFP 1 -> the IR tree of a pipeline with one task, whose inputs and outputs
 * are the component's. The ordinary compiler reads that tree; every node in it has the line and
 * column of what it was made from.
 *
 * A component that runs alone gets its inputs as run parameters. So an input is a parameter unless
 * its URI, or the whole {{$}}, is asked for: KFP 1 did not tell parameters from artifacts by their
 * types but by the way in which they were used.
 */
#include "pipeline/component_v1.h"

#include "base/pool.h"
#include "base/util.h"
#include "pipeline/value.h"

#include <assert.h>
#include <string.h>

#define MAX_PORTS 10000
#define MAX_KEY 100 /* of the task; with "comp-" before it it is still short */
#define NAMELESS "component"

static const char *const component_fields[] = {
    "name", "description", "metadata", "inputs", "outputs", "implementation", "version", NULL};
static const char *const input_fields[] = {
    "name", "type", "description", "default", "optional", "annotations", NULL};
static const char *const output_fields[] = {"name", "type", "description", "annotations", NULL};
static const char *const container_fields[] = {
    "image", "command", "args", "env", "fileOutputs", NULL};

/* ---- nodes ---- */

static struct tree *new_node(struct v1_component *v, enum tree_kind kind, struct place place)
{
    struct tree *node = pool_alloc(v->d->pool, sizeof *node);
    node->kind = kind;
    node->line = place.line;
    node->column = place.column;
    return node;
}

struct tree *v1_text(struct v1_component *v, struct place place, const char *text)
{
    struct tree *node = new_node(v, TREE_SCALAR, place);
    node->text = pool_strdup(v->d->pool, text);
    node->count = strlen(text);
    return node;
}

struct tree *v1_list(struct v1_component *v, struct place place, size_t cap)
{
    struct tree *node = new_node(v, TREE_LIST, place);
    node->items = pool_calloc(v->d->pool, cap, sizeof *node->items);
    return node;
}

struct tree *v1_map(struct v1_component *v, struct place place, size_t cap)
{
    struct tree *node = new_node(v, TREE_MAP, place);
    node->pairs = pool_calloc(v->d->pool, cap, sizeof *node->pairs);
    return node;
}

void v1_put(struct tree *map, const char *key, struct tree *value)
{
    if (value != NULL) {
        map->pairs[map->count++] = (struct tree_pair){
            .key = key, .value = value, .line = value->line, .column = value->column};
    }
}

static struct tree *flag(struct v1_component *v, struct place place, bool value)
{
    struct tree *node = v1_text(v, place, value ? "true" : "false");
    node->is_plain = true;
    return node;
}

static struct tree *map_of(struct v1_component *v, const char *key, struct tree *value)
{
    struct tree *map = v1_map(v, tree_place(value), 1);
    v1_put(map, key, value);
    return map;
}

static bool is_empty(const struct tree *node)
{
    return node->count == 0;
}

/* ---- names ---- */

/* Lower case; runs of anything but letters, digits and `also` become `fill`; none at the ends. */
static char *sanitise(struct pool *pool, const char *name, char also, char fill, size_t max)
{
    char *out = pool_strdup(pool, name);
    size_t n = 0;
    bool was_bad = false;
    for (const char *p = name; *p != '\0'; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
        bool is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == also;
        if (is_good || !was_bad) {
            out[n++] = is_good ? c : fill;
        }
        was_bad = !is_good;
    }
    n = n > max ? max : n;
    while (n > 0 && (out[n - 1] == fill || out[n - 1] == also)) {
        n--;
    }
    out[n] = '\0';
    return out + strspn(out, (char[]){fill, '\0'});
}

static const char *task_key(struct v1_component *v, const char *name)
{
    const char *key = name != NULL ? sanitise(v->d->pool, name, '\0', '-', MAX_KEY) : "";
    return key[0] != '\0' ? key : NAMELESS;
}

/* ---- reading ---- */

static void check_names(struct v1_component *v, struct v1_port *ports, size_t count,
    const struct path *path, const char *what)
{
    struct v1_port *port = &ports[count];
    struct path here = {.up = path, .key = "name"};
    port->id = sanitise(v->d->pool, port->name, '_', '_', MAX_NAME_LEN);
    if (port->id[0] == '\0') {
        complain(v->d->complaints, port->place, &here,
            "'%s' has none of the characters a-z and 0-9, from which the %s's name is made",
            port->name, what);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (str_eq(ports[i].id, port->id)) {
            complain(v->d->complaints, port->place, &here,
                "%ss '%s' and '%s' are both called '%s' in the pipeline; rename one of them", what,
                ports[i].name, port->name, port->id);
        }
    }
}

static struct v1_port *read_ports(struct v1_component *v, const struct tree *doc, const char *name,
    const char *const *fields, const struct path *top, size_t *count_out)
{
    const struct tree *list = read_list(v->d, doc, name, top);
    struct path ports_path = {.up = top, .key = name};
    size_t count = list != NULL ? list->count : 0;
    if (count > MAX_PORTS) {
        complain(
            v->d->complaints, tree_place(list), &ports_path, "more than %d entries", MAX_PORTS);
        count = 0;
    }
    struct v1_port *ports = pool_calloc(v->d->pool, count, sizeof *ports);
    for (size_t i = 0; i < count; i++) {
        struct path path = {.up = &ports_path, .index = i};
        struct path type = {.up = &path, .key = "type"};
        struct v1_port *port = &ports[i];
        port->node = list->items[i];
        port->place = tree_place(port->node);
        if (port->node->kind != TREE_MAP) {
            complain(v->d->complaints, port->place, &path, "expected a map with 'name'");
            continue;
        }
        read_known(v->d, port->node, &path, fields);
        port->name = read_need_text(v->d, port->node, "name", &path, "everything here is named");
        v1_type_read(v, tree_get(port->node, "type"), &type, &port->type);
        if (port->name != NULL) {
            check_names(v, ports, i, &path, fields == input_fields ? "input" : "output");
        }
    }
    *count_out = count;
    return ports;
}

static void read_inputs(struct v1_component *v, const struct tree *doc, const struct path *top)
{
    v->inputs = read_ports(v, doc, "inputs", input_fields, top, &v->input_count);
    struct path list = {.up = top, .key = "inputs"};
    for (size_t i = 0; i < v->input_count; i++) {
        struct v1_port *input = &v->inputs[i];
        struct path path = {.up = &list, .index = i};
        struct path value = {.up = &path, .key = "default"};
        if (input->node->kind == TREE_MAP) {
            input->default_value =
                v1_default_read(v, input, tree_get(input->node, "default"), &value);
            input->is_optional = read_bool(v->d, input->node, "optional", &path) ||
                                 input->default_value != NULL ||
                                 input->type.kind == V1_FINAL_STATUS;
        }
    }
}

static void read_file_outputs(
    struct v1_component *v, const struct tree *container, const struct path *up)
{
    const struct tree *map = read_map(v->d, container, "fileOutputs", up);
    struct path here = {.up = up, .key = "fileOutputs"};
    for (size_t i = 0; map != NULL && i < map->count; i++) {
        const struct tree_pair *pair = &map->pairs[i];
        struct path path = {.up = &here, .key = pair->key};
        struct v1_port *port = NULL;
        for (size_t k = 0; k < v->output_count; k++) {
            port = str_eq(v->outputs[k].name, pair->key) ? &v->outputs[k] : port;
        }
        const char *file = read_item_text(v->d, pair->value, &path);
        if (port == NULL) {
            complain(v->d->complaints, (struct place){pair->line, pair->column}, &path,
                "the component has no output '%s'; declare it under 'outputs'", pair->key);
        } else if (file != NULL && file[0] != '/') {
            complain(v->d->complaints, tree_place(pair->value), &path,
                "'%s' is not an absolute path; write where the program leaves the file, such as "
                "/tmp/out.txt",
                file);
        } else {
            port->fixed_path = file;
        }
    }
}

/* Which kind of input each one is, now that its uses are known. */
static void settle_inputs(struct v1_component *v)
{
    struct path top = PATH_ROOT;
    struct path list = {.up = &top, .key = "inputs"};
    for (size_t i = 0; i < v->input_count; i++) {
        struct v1_port *input = &v->inputs[i];
        if (input->type.kind != V1_ARTIFACT) {
            continue;
        }
        struct path path = {.up = &list, .index = i};
        bool is_artifact = input->by_uri || (v->has_executor_input && !input->by_value);
        if (input->by_uri && input->by_value) {
            complain(v->d->complaints, input->place, &path,
                "'%s' is used by its value and by its URI; a run can give it one of the two",
                input->name);
        } else if (is_artifact && input->default_value != NULL) {
            complain_mildly(v->d->complaints, input->place, &path,
                "is an artifact, and the default of an artifact is ignored");
        }
        if (!is_artifact) {
            input->type = (struct v1_type){.kind = V1_PARAM, .type = VALUE_STRING};
        }
    }
}

static void warn_of_silent_outputs(struct v1_component *v)
{
    struct path top = PATH_ROOT;
    struct path list = {.up = &top, .key = "outputs"};
    for (size_t i = 0; i < v->output_count; i++) {
        const struct v1_port *output = &v->outputs[i];
        if (output->name == NULL || output->is_named || output->fixed_path != NULL ||
            v->has_executor_input) {
            continue;
        }
        struct path path = {.up = &list, .index = i};
        complain_mildly(v->d->complaints, output->place, &path,
            "the program is not told where to write '%s'%s; use {outputPath: %s} or fileOutputs",
            output->name, output->type.kind == V1_PARAM ? ", so the task will fail" : "",
            output->name);
    }
}

/* ---- writing ---- */

static void put_words(struct v1_component *v, const struct v1_port *port, struct tree *def)
{
    v1_put(def, "description", tree_get(port->node, "description"));
    if (strcmp(port->name, port->id) != 0) {
        v1_put(def, "displayName", v1_text(v, port->place, port->name));
    }
}

static struct tree *definition(struct v1_component *v, const struct v1_port *port, bool is_input)
{
    struct tree *def = v1_map(v, port->place, 6);
    if (port->type.kind == V1_ARTIFACT) {
        struct tree *type = v1_map(v, port->place, 2);
        v1_put(type, "schemaTitle", v1_text(v, port->place, port->type.schema_title));
        v1_put(type, "schemaVersion", v1_text(v, port->place, "0.0.1"));
        v1_put(def, "artifactType", type);
    } else {
        v1_put(def, "parameterType", v1_text(v, port->place, value_type_name(port->type.type)));
        v1_put(def, "defaultValue", port->default_value);
    }
    if (is_input && port->is_optional) {
        v1_put(def, "isOptional", flag(v, port->place, true));
    }
    put_words(v, port, def);
    return def;
}

/* {parameters, artifacts}, each member made by `make`; NULL when there are none. */
typedef struct tree *port_fn(struct v1_component *v, const struct v1_port *port, const void *with);

static struct tree *both_kinds(struct v1_component *v, const struct v1_port *ports, size_t count,
    bool with_status, port_fn *make, const void *with)
{
    struct place place = count > 0 ? ports[0].place : (struct place){0, 0};
    struct tree *params = v1_map(v, place, count), *artifacts = v1_map(v, place, count);
    for (size_t i = 0; i < count; i++) {
        if (ports[i].type.kind != V1_FINAL_STATUS || with_status) {
            v1_put(ports[i].type.kind == V1_ARTIFACT ? artifacts : params, ports[i].id,
                make(v, &ports[i], with));
        }
    }
    struct tree *out = v1_map(v, place, 2);
    v1_put(out, "parameters", is_empty(params) ? NULL : params);
    v1_put(out, "artifacts", is_empty(artifacts) ? NULL : artifacts);
    return is_empty(out) ? NULL : out;
}

static struct tree *input_definition(
    struct v1_component *v, const struct v1_port *port, const void *with)
{
    (void)with;
    return definition(v, port, true);
}

static struct tree *output_definition(
    struct v1_component *v, const struct v1_port *port, const void *with)
{
    (void)with;
    return definition(v, port, false);
}

static struct tree *input_binding(
    struct v1_component *v, const struct v1_port *port, const void *with)
{
    (void)with;
    bool is_artifact = port->type.kind == V1_ARTIFACT;
    return map_of(v, is_artifact ? "componentInputArtifact" : "componentInputParameter",
        v1_text(v, port->place, port->id));
}

static struct tree *output_selector(
    struct v1_component *v, const struct v1_port *port, const void *with)
{
    const char *task = with;
    bool is_artifact = port->type.kind == V1_ARTIFACT;
    struct tree *from = v1_map(v, port->place, 2);
    v1_put(from, "producerSubtask", v1_text(v, port->place, task));
    v1_put(from, is_artifact ? "outputArtifactKey" : "outputParameterKey",
        v1_text(v, port->place, port->id));
    if (!is_artifact) {
        return map_of(v, "valueFromParameter", from);
    }
    struct tree *list = v1_list(v, port->place, 1);
    list->items[list->count++] = from;
    return map_of(v, "artifactSelectors", list);
}

/* inputDefinitions and outputDefinitions, which the component and the root have alike. */
static void put_interface(struct v1_component *v, struct tree *to, bool is_root)
{
    v1_put(to, "inputDefinitions",
        both_kinds(v, v->inputs, v->input_count, !is_root, input_definition, NULL));
    v1_put(to, "outputDefinitions",
        both_kinds(v, v->outputs, v->output_count, true, output_definition, NULL));
}

/* ---- the container ---- */

static struct tree *make_env(
    struct v1_component *v, const struct tree *container, const struct path *up)
{
    const struct tree *map = read_map(v->d, container, "env", up);
    if (map == NULL || map->count == 0) {
        return NULL;
    }
    struct path here = {.up = up, .key = "env"};
    struct tree *list = v1_list(v, tree_place(map), map->count);
    for (size_t i = 0; i < map->count; i++) {
        const struct tree_pair *pair = &map->pairs[i];
        struct path path = {.up = &here, .key = pair->key};
        struct tree *entry = v1_map(v, (struct place){pair->line, pair->column}, 2);
        v1_put(entry, "name", v1_text(v, (struct place){pair->line, pair->column}, pair->key));
        v1_put(entry, "value", v1_text_value(v, pair->value, &path));
        list->items[list->count++] = entry;
    }
    return list;
}

static struct tree *make_file_outputs(struct v1_component *v, struct place place)
{
    struct tree *map = v1_map(v, place, v->output_count);
    for (size_t i = 0; i < v->output_count; i++) {
        if (v->outputs[i].fixed_path != NULL) {
            v1_put(
                map, v->outputs[i].id, v1_text(v, v->outputs[i].place, v->outputs[i].fixed_path));
        }
    }
    return is_empty(map) ? NULL : map;
}

static struct tree *make_container(
    struct v1_component *v, const struct tree *container, const struct path *up)
{
    struct path here = {.up = up, .key = "container"};
    read_known(v->d, container, &here, container_fields);
    read_file_outputs(v, container, &here);
    struct tree *out = v1_map(v, tree_place(container), 5);
    struct path field = {.up = &here, .key = "image"};
    struct tree *image = tree_get(container, "image");
    if (image != NULL && !tree_is_null(image)) {
        v1_put(out, "image", v1_text_value(v, image, &field));
    } else {
        complain(v->d->complaints, tree_place(container), &field,
            "is missing; a container needs an image");
    }
    field.key = "command";
    struct tree *command = v1_arguments(v, read_list(v->d, container, "command", &here), &field);
    v1_put(out, "command", command);
    field.key = "args";
    struct tree *args = v1_arguments(v, read_list(v->d, container, "args", &here), &field);
    v1_put(out, "args", args);
    if (command == NULL && args != NULL) {
        complain_mildly(v->d->complaints, tree_place(args), &field,
            "there is no 'command', and the image's own entry point is not used: the first of the "
            "args is taken for the program");
    }
    v1_put(out, "env", make_env(v, container, &here));
    v1_put(out, "fileOutputs", make_file_outputs(v, tree_place(container)));
    return out;
}

/* ---- the pipeline ---- */

/* KFP 1 did not cache what was annotated so. */
static bool is_volatile(const struct tree *doc)
{
    const struct tree *annotations = tree_get(tree_get(doc, "metadata"), "annotations");
    const struct tree *word = tree_get(annotations, "volatile_component");
    bool truth = false;
    return word != NULL && word->kind == TREE_SCALAR && value_truth_text(word->text, &truth) &&
           truth;
}

static struct tree *make_root(struct v1_component *v, const struct tree *doc, const char *key,
    const char *name, const char *component)
{
    struct place place = tree_place(doc);
    struct tree *task = v1_map(v, place, 4);
    v1_put(task, "taskInfo", map_of(v, "name", v1_text(v, place, name)));
    v1_put(task, "componentRef", map_of(v, "name", v1_text(v, place, component)));
    v1_put(task, "cachingOptions", map_of(v, "enableCache", flag(v, place, !is_volatile(doc))));
    v1_put(task, "inputs", both_kinds(v, v->inputs, v->input_count, false, input_binding, NULL));
    struct tree *dag = v1_map(v, place, 2);
    v1_put(dag, "tasks", map_of(v, key, task));
    v1_put(dag, "outputs", both_kinds(v, v->outputs, v->output_count, true, output_selector, key));
    struct tree *root = v1_map(v, place, 3);
    v1_put(root, "dag", dag);
    put_interface(v, root, true);
    return root;
}

static struct tree *make_pipeline(
    struct v1_component *v, const struct tree *doc, const char *name, struct tree *container)
{
    struct place place = tree_place(doc);
    const char *key = task_key(v, name);
    const char *component_name = pool_printf(v->d->pool, "comp-%s", key);
    const char *label = pool_printf(v->d->pool, "exec-%s", key);
    struct tree *info = v1_map(v, place, 3);
    v1_put(info, "name", v1_text(v, place, key));
    if (name != NULL && strcmp(name, key) != 0) {
        v1_put(info, "displayName", tree_get(doc, "name"));
    }
    v1_put(info, "description", tree_get(doc, "description"));
    struct tree *component = v1_map(v, place, 3);
    v1_put(component, "executorLabel", v1_text(v, place, label));
    put_interface(v, component, false);
    struct tree *spec = v1_map(v, place, 6);
    v1_put(spec, "pipelineInfo", info);
    v1_put(spec, "schemaVersion", v1_text(v, place, "2.1.0"));
    v1_put(spec, "sdkVersion", v1_text(v, place, "component.yaml"));
    v1_put(spec, "components", map_of(v, component_name, component));
    v1_put(spec, "deploymentSpec",
        map_of(v, "executors", map_of(v, label, map_of(v, "container", container))));
    v1_put(spec, "root", make_root(v, doc, key, name != NULL ? name : key, component_name));
    return spec;
}

struct tree *component_v1_convert(
    const struct tree *doc, struct pool *pool, struct complaints *complaints)
{
    struct draft d = {.pool = pool, .complaints = complaints};
    struct v1_component v = {.d = &d};
    struct path top = PATH_ROOT;
    struct path here = {.up = &top, .key = "implementation"};
    size_t errors = complaints->errors;
    read_known(&d, doc, &top, component_fields);
    const struct tree *implementation = read_map(&d, doc, "implementation", &top);
    const struct tree *container = read_map(&d, implementation, "container", &here);
    if (container == NULL) {
        bool is_graph = tree_get(implementation, "graph") != NULL;
        complain(complaints, tree_place(implementation != NULL ? implementation : doc), &here,
            is_graph ? "a graph of components, which kfp 2 does not load either; write it as a "
                       "@dsl.pipeline that calls the components, and compile that"
                     : "needs 'container' with image and command");
        return NULL;
    }
    const char *name = read_text(&d, doc, "name", &top);
    read_inputs(&v, doc, &top);
    v.outputs = read_ports(&v, doc, "outputs", output_fields, &top, &v.output_count);
    struct tree *ir_container = make_container(&v, container, &here);
    settle_inputs(&v);
    if (complaints->errors > errors) {
        return NULL;
    }
    warn_of_silent_outputs(&v);
    return make_pipeline(&v, doc, name, ir_container);
}
