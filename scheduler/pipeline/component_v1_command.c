/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of KFP 1 component files: texts and one-key maps ({inputValue: x}) -> texts with
 * {{$...}} placeholders, and JSON texts for IfPresent and Concat, as the ordinary compiler reads
 * them. What KFP 1 leaves out when an optional input is not given becomes an IfPresent.
 */
#include "pipeline/component_v1.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/value.h"

#include <stdlib.h>
#include <string.h>

/* What command_render takes, less what a branch adds. */
#define MAX_DEPTH 28
#define MAX_TEXT (1u << 20)

struct writer {
    struct v1_component *v;
    bool is_text; /* an image or a variable: nothing can be left out of it */
    int depth;
};

/* NULL: complained about. Strings, {"IfPresent"}, {"IfTrue"}, {"Concat"}, or a list of them. */
static json_t *convert(struct writer *w, struct tree *node, const struct path *path);

static struct v1_port *find_port(struct writer *w, const struct tree *node, const struct path *path,
    struct v1_port *ports, size_t count, const char *what)
{
    if (node->kind != TREE_SCALAR) {
        complain(w->v->d->complaints, tree_place(node), path, "expected the name of an %s", what);
        return NULL;
    }
    const char **names = xcalloc(count + 1, sizeof *names);
    struct v1_port *found = NULL;
    for (size_t i = 0; i < count; i++) {
        names[i] = ports[i].name;
        if (ports[i].name != NULL && strcmp(ports[i].name, node->text) == 0) {
            found = &ports[i];
        }
    }
    if (found == NULL) {
        const char *near = nearest_name(node->text, names);
        complain(w->v->d->complaints, tree_place(node), path,
            near != NULL ? "the component has no %s '%s'; did you mean '%s'?"
                         : "the component has no %s '%s'; declare it under its %ss",
            what, node->text, near != NULL ? near : what);
    }
    free(names);
    return found;
}

static struct v1_port *find_input(
    struct writer *w, const struct tree *node, const struct path *path)
{
    return find_port(w, node, path, w->v->inputs, w->v->input_count, "input");
}

/* An argument that is there only when the input is. */
static json_t *unless_absent(struct writer *w, const struct v1_port *input, json_t *text)
{
    if (w->is_text || !input->is_optional || input->default_value != NULL) {
        return text;
    }
    return json_pack("{s:{s:s,s:[o]}}", "IfPresent", "InputName", input->id, "Then", text);
}

static json_t *input_value(struct writer *w, struct tree *node, const struct path *path)
{
    struct v1_port *input = find_input(w, node, path);
    if (input == NULL) {
        return NULL;
    }
    input->by_value = true;
    return unless_absent(w, input, json_sprintf("{{$.inputs.parameters['%s']}}", input->id));
}

static json_t *input_path(struct writer *w, struct tree *node, const struct path *path)
{
    struct v1_port *input = find_input(w, node, path);
    if (input == NULL) {
        return NULL;
    }
    input->by_path = true;
    return unless_absent(w, input, json_sprintf("{{$.inputs.artifacts['%s'].path}}", input->id));
}

static json_t *input_uri(struct writer *w, struct tree *node, const struct path *path)
{
    struct v1_port *input = find_input(w, node, path);
    if (input == NULL) {
        return NULL;
    }
    if (input->type.kind != V1_ARTIFACT) {
        complain(w->v->d->complaints, tree_place(node), path,
            "'%s' is a parameter, which has no URI; use inputValue or inputPath, or give it the "
            "type of an artifact",
            input->name);
        return NULL;
    }
    input->by_uri = true;
    return unless_absent(w, input, json_sprintf("{{$.inputs.artifacts['%s'].uri}}", input->id));
}

static json_t *output(
    struct writer *w, struct tree *node, const struct path *path, const char *field)
{
    struct v1_port *port = find_port(w, node, path, w->v->outputs, w->v->output_count, "output");
    if (port == NULL) {
        return NULL;
    }
    port->is_named = true;
    if (port->type.kind == V1_ARTIFACT) {
        return json_sprintf("{{$.outputs.artifacts['%s'].%s}}", port->id, field);
    }
    if (strcmp(field, "path") == 0) {
        return json_sprintf("{{$.outputs.parameters['%s'].output_file}}", port->id);
    }
    complain(w->v->d->complaints, tree_place(node), path,
        "'%s' is a parameter, which has no URI; use outputPath", port->name);
    return NULL;
}

static json_t *output_path(struct writer *w, struct tree *node, const struct path *path)
{
    return output(w, node, path, "path");
}

static json_t *output_uri(struct writer *w, struct tree *node, const struct path *path)
{
    return output(w, node, path, "uri");
}

static json_t *executor_input(struct writer *w, struct tree *node, const struct path *path)
{
    if (!tree_is_null(node)) {
        complain(w->v->d->complaints, tree_place(node), path, "takes null: {executorInput: null}");
        return NULL;
    }
    w->v->has_executor_input = true;
    return json_string("{{$}}");
}

static json_t *output_metadata(struct writer *w, struct tree *node, const struct path *path)
{
    if (!tree_is_null(node)) {
        complain(w->v->d->complaints, tree_place(node), path, "takes null: {outputMetadata: null}");
        return NULL;
    }
    w->v->has_executor_input = true; /* outputs may be announced in that file */
    return json_string("{{$.outputs.output_file}}");
}

static json_t *never_built(struct writer *w, struct tree *node, const struct path *path)
{
    complain(w->v->d->complaints, tree_place(node), path,
        "this placeholder was never part of a released KFP; take what you need from "
        "{executorInput: null}");
    return NULL;
}

/* ---- lists, concat, if ---- */

static json_t *convert_list(struct writer *w, const struct tree *list, const struct path *path)
{
    json_t *out = json_array();
    for (size_t i = 0; i < list->count; i++) {
        struct path here = {.up = path, .index = i};
        json_t *item = convert(w, list->items[i], &here);
        if (item == NULL) {
            json_decref(out);
            return NULL;
        }
        if (json_is_array(item)) {
            json_array_extend(out, item);
            json_decref(item);
        } else {
            json_array_append_new(out, item);
        }
    }
    return out;
}

static json_t *concat(struct writer *w, struct tree *node, const struct path *path)
{
    if (node->kind != TREE_LIST) {
        complain(w->v->d->complaints, tree_place(node), path, "takes a list of arguments to join");
        return NULL;
    }
    json_t *items = convert_list(w, node, path);
    return items != NULL ? json_pack("{s:o}", "Concat", items) : NULL;
}

/* One argument or a list of them, as a list; NULL node: an empty one. */
static json_t *branch(struct writer *w, struct tree *map, const char *name, const struct path *up)
{
    struct path here = {.up = up, .key = name};
    struct tree *node = tree_get(map, name);
    if (node == NULL || tree_is_null(node)) {
        return json_array();
    }
    if (node->kind == TREE_LIST) {
        return convert_list(w, node, &here);
    }
    json_t *item = convert(w, node, &here);
    return item == NULL || json_is_array(item) ? item : json_pack("[o]", item);
}

/* op: IfPresent, IfTrue; takes the branches, of which either may have failed. */
static json_t *conditional(const char *op, const char *id, json_t *then, json_t *other)
{
    json_t *out = NULL;
    if (then != NULL && other != NULL) {
        json_t *body = json_pack("{s:s,s:O}", "InputName", id, "Then", then);
        if (json_array_size(other) > 0) {
            json_object_set(body, "Else", other);
        }
        out = json_pack("{s:o}", op, body);
    }
    json_decref(then);
    json_decref(other);
    return out;
}

static bool is_map_of_one(const struct tree *node, const char *key)
{
    return node->kind == TREE_MAP && node->count == 1 && tree_name_is(node->pairs[0].key, key);
}

/* {cond: true}: decided here. Takes the branches. */
static json_t *decided(
    struct writer *w, const struct tree *cond, const struct path *path, json_t *then, json_t *other)
{
    bool truth = false;
    json_t *out = NULL;
    if (cond->kind == TREE_SCALAR && value_truth_text(cond->text, &truth)) {
        out = truth ? json_incref(then) : json_incref(other);
    } else {
        complain(w->v->d->complaints, tree_place(cond), path,
            "expected {isPresent: input}, {inputValue: input}, true or false");
    }
    json_decref(then);
    json_decref(other);
    return out;
}

static json_t *v1_if(struct writer *w, struct tree *node, const struct path *path)
{
    static const char *const fields[] = {"cond", "then", "else", NULL};
    struct tree *cond = tree_get(node, "cond"), *then = tree_get(node, "then");
    if (cond == NULL || then == NULL || w->is_text) {
        complain(w->v->d->complaints, tree_place(node), path,
            w->is_text
                ? "'if' works in command and args only"
                : "needs 'cond' and 'then', for example {cond: {isPresent: x}, then: [--x]}");
        return NULL;
    }
    read_known(w->v->d, node, path, fields);
    struct path here = {.up = path, .key = "cond"};
    bool is_present = is_map_of_one(cond, "isPresent"),
         is_value = is_map_of_one(cond, "inputValue");
    struct v1_port *input = NULL;
    if (is_present || is_value) {
        input = find_input(w, cond->pairs[0].value, &here);
        if (input == NULL) {
            return NULL;
        }
        input->by_value |= is_value;
    }
    json_t *yes = branch(w, node, "then", path), *no = branch(w, node, "else", path);
    if (input != NULL) {
        return conditional(is_present ? "IfPresent" : "IfTrue", input->id, yes, no);
    }
    return decided(w, cond, &here, yes, no);
}

static json_t *if_present(struct writer *w, struct tree *node, const struct path *path)
{
    static const char *const fields[] = {"inputName", "then", "else", NULL};
    struct tree *name = tree_get(node, "inputName");
    if (name == NULL || tree_get(node, "then") == NULL || w->is_text) {
        complain(w->v->d->complaints, tree_place(node), path,
            w->is_text ? "'ifPresent' works in command and args only"
                       : "needs 'inputName' and 'then'");
        return NULL;
    }
    read_known(w->v->d, node, path, fields);
    struct path here = {.up = path, .key = "inputName"};
    const struct v1_port *input = find_input(w, name, &here);
    if (input == NULL) {
        return NULL;
    }
    json_t *yes = branch(w, node, "then", path), *no = branch(w, node, "else", path);
    return conditional("IfPresent", input->id, yes, no);
}

static const struct {
    const char *key;
    json_t *(*convert)(struct writer *w, struct tree *node, const struct path *path);
} placeholders[] = {
    {"inputValue", input_value},
    {"inputPath", input_path},
    {"inputUri", input_uri},
    {"outputPath", output_path},
    {"outputUri", output_uri},
    {"executorInput", executor_input},
    {"outputMetadata", output_metadata},
    {"concat", concat},
    {"if", v1_if},
    {"ifPresent", if_present},
    {"inputMetadata", never_built},
    {"inputOutputPortName", never_built},
};

static json_t *convert_map(struct writer *w, struct tree *node, const struct path *path)
{
    if (node->count == 1) {
        const struct tree_pair *pair = &node->pairs[0];
        for (size_t i = 0; i < ARRAY_LEN(placeholders); i++) {
            if (tree_name_is(pair->key, placeholders[i].key)) {
                struct path here = {.up = path, .key = pair->key};
                return placeholders[i].convert(w, pair->value, &here);
            }
        }
    }
    complain(w->v->d->complaints, tree_place(node), path,
        "expected a text or a map with one of inputValue, inputPath, inputUri, outputPath, "
        "outputUri, executorInput, concat, if, ifPresent");
    return NULL;
}

static json_t *convert(struct writer *w, struct tree *node, const struct path *path)
{
    if (node->kind == TREE_SCALAR) {
        const char *text = read_item_text(w->v->d, node, path);
        return text != NULL ? json_string(text) : NULL;
    }
    if (w->depth >= MAX_DEPTH) {
        complain(w->v->d->complaints, tree_place(node), path,
            "placeholders are nested deeper than %d levels", MAX_DEPTH);
        return NULL;
    }
    if (node->kind == TREE_LIST) {
        complain(w->v->d->complaints, tree_place(node), path,
            "a list within the list of arguments; write its items one by one, or use concat");
        return NULL;
    }
    w->depth++;
    json_t *out = convert_map(w, node, path);
    w->depth--;
    return out;
}

/* ---- what component_v1.c asks for ---- */

static struct tree *argument(struct v1_component *v, struct place place, const json_t *value)
{
    if (json_is_string(value)) {
        return v1_text(v, place, json_string_value(value));
    }
    char *text CLEANUP(cleanup_free) = jtext(value);
    return v1_text(v, place, text);
}

struct tree *v1_arguments(struct v1_component *v, struct tree *list, const struct path *path)
{
    struct writer w = {.v = v};
    size_t count = list != NULL ? list->count : 0, total = 0;
    json_t **values = xcalloc(count + 1, sizeof(json_t *));
    for (size_t i = 0; i < count; i++) {
        struct path here = {.up = path, .index = i};
        json_t *value = convert(&w, list->items[i], &here);
        values[i] = json_is_array(value) || value == NULL ? value : json_pack("[o]", value);
        total += json_array_size(values[i]);
    }
    struct tree *out = total > 0 ? v1_list(v, tree_place(list), total) : NULL;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < json_array_size(values[i]); k++) {
            out->items[out->count++] =
                argument(v, tree_place(list->items[i]), json_array_get(values[i], k));
        }
        json_decref(values[i]);
    }
    free(values);
    return out;
}

/* Texts and Concat of texts. */
static bool join(const json_t *value, struct buf *out)
{
    if (json_is_string(value)) {
        buf_adds(out, json_string_value(value));
        return true;
    }
    const json_t *items = json_object_get(value, "Concat");
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        if (!join(item, out)) {
            return false;
        }
    }
    return items != NULL;
}

struct tree *v1_text_value(struct v1_component *v, struct tree *node, const struct path *path)
{
    struct writer w = {.v = v, .is_text = true};
    json_t *value CLEANUP(json_decrefp) = convert(&w, node, path);
    if (value == NULL) {
        return NULL;
    }
    struct buf text;
    buf_init(&text, MAX_TEXT);
    struct tree *out = NULL;
    if (join(value, &text) && !text.overflow) {
        out = v1_text(v, tree_place(node), buf_str(&text));
    } else {
        complain(v->d->complaints, tree_place(node), path, "expected a text of at most 1 MiB");
    }
    buf_done(&text);
    return out;
}
