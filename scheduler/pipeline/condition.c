/* SPDX-License-Identifier: Apache-2.0 */
/*
 * triggerPolicy.condition: an expression over the task's ExecutorInput, with the member names of
 * its protobuf message, that must come out true or false.
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/complain.h"
#include "pipeline/draft.h"
#include "pipeline/expression.h"
#include "pipeline/expression_tree.h"

#include <string.h>

static const char *const variables[] = {"inputs", "outputs", NULL};
/* `parameters` is what pipeline_spec.proto's own examples say for parameter_values. */
static const char *const inputs_members[] = {"parameter_values", "parameters", "artifacts", NULL};
static const char *const outputs_members[] = {"parameters", "artifacts", "output_file", NULL};

/* ---- compiling ---- */

static bool is_one_of(const char *const *names, const char *name)
{
    while (*names != NULL && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

/* inputs and outputs are messages: what they have is known. */
static int check_members(
    const struct expression *e, const struct expression_node *node, struct err *err)
{
    const struct expression_node *from = node->count > 0 ? node->args[0] : NULL;
    if (node->op == EXPRESSION_OP_FIELD && from->op == EXPRESSION_OP_NAME) {
        bool is_inputs = strcmp(from->text, "inputs") == 0;
        if (!is_one_of(is_inputs ? inputs_members : outputs_members, node->text)) {
            return expression_error(err, e->source, node->start, node->end,
                "%s has no member '%s'; it has %s", from->text, node->text,
                is_inputs ? "parameter_values, parameters and artifacts"
                          : "parameters, artifacts and output_file");
        }
    }
    for (size_t i = 0; i < node->count; i++) {
        if (check_members(e, node->args[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static bool follows_operator(const char *text, const char *at)
{
    return at - text >= 2 && at[-1] == ' ' && strchr("=<>", at[-2]) != NULL;
}

/* The quote that ends the SDK's literal: the comparison, or its group, ends behind it. */
static const char *literal_end(const char *at)
{
    for (; (at = strchr(at, '\'')) != NULL; at++) {
        if (at[1] == '\0' || strcmp(at + 1, ")") == 0 || str_starts(at + 1, ") && ")) {
            return at;
        }
    }
    return NULL;
}

/*
 * The SDK writes a text between quotes as it is, whatever is in it: == 'it's'. The same with such
 * texts escaped; NULL: there is none.
 */
static const char *requoted(struct pool *pool, const char *text)
{
    struct buf out;
    buf_init(&out, SIZE_MAX);
    bool changed = false;
    for (const char *p = text; *p != '\0'; p++) {
        buf_addc(&out, *p);
        const char *end = *p == '\'' && follows_operator(text, p) ? literal_end(p + 1) : NULL;
        if (end == NULL) {
            continue;
        }
        while (++p < end) {
            bool is_special = strchr("'\\\n\r", *p) != NULL;
            changed = changed || is_special;
            buf_adds(&out, is_special ? "\\" : "");
            buf_addc(&out, *p == '\n' ? 'n' : *p == '\r' ? 'r' : *p);
        }
        buf_addc(&out, '\'');
    }
    const char *result = changed ? pool_strndup(pool, out.data, out.len) : NULL;
    buf_done(&out);
    return result;
}

static const struct expression *compile_written(
    struct pool *pool, const char *text, struct err *err)
{
    const struct expression *e = expression_compile(pool, text, variables, err);
    const char *other = e == NULL ? requoted(pool, text) : NULL;
    struct err ignored = ERR_INIT;
    const struct expression *mended =
        other != NULL ? expression_compile(pool, other, variables, &ignored) : NULL;
    if (mended != NULL) {
        *err = (struct err)ERR_INIT;
    }
    return mended != NULL ? mended : e;
}

const struct expression *condition_compile(struct pool *pool, const char *text, struct err *err)
{
    const struct expression *e = compile_written(pool, text, err);
    if (e == NULL || check_members(e, e->root, err) != 0) {
        return NULL;
    }
    if (e->root->kind != EXPRESSION_DYN && e->root->kind != EXPRESSION_BOOL) {
        expression_error(err, e->source, e->root->start, e->root->end,
            "a condition must be true or false, and this is %s; compare it with something",
            expression_kind_name(e->root->kind));
        return NULL;
    }
    return e;
}

/* ---- evaluating ---- */

static void set_or_empty(json_t *to, const char *name, const json_t *from, const char *camel)
{
    json_t *value = json_object_get(from, camel);
    json_object_set_new(to, name, value != NULL ? json_incref(value) : json_object());
}

/* A copy of the object with its own members renamed; deeper ones are the user's. */
static json_t *renamed(const json_t *object, const char *const (*names)[2], size_t count)
{
    json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        const char *name = key;
        for (size_t i = 0; i < count; i++) {
            name = strcmp(key, names[i][0]) == 0 ? names[i][1] : name;
        }
        json_object_set(out, name, value);
    }
    return out;
}

static json_t *artifact_message(const json_t *artifact)
{
    static const char *const names[][2] = {
        {"customPath", "custom_path"}, {"customProperties", "custom_properties"}};
    static const char *const type_names[][2] = {{"schemaTitle", "schema_title"},
        {"schemaVersion", "schema_version"}, {"schemaUri", "schema_uri"},
        {"instanceSchema", "instance_schema"}};
    json_t *out = renamed(artifact, names, ARRAY_LEN(names));
    const json_t *type = json_object_get(artifact, "type");
    if (json_is_object(type)) {
        json_object_set_new(out, "type", renamed(type, type_names, ARRAY_LEN(type_names)));
    }
    json_t *metadata = json_object_get(out, "metadata");
    if (metadata == NULL) {
        json_object_set_new(out, "metadata", json_object());
        metadata = json_object_get(out, "metadata");
    }
    if (json_object_get(out, "properties") == NULL) { /* its older name */
        json_object_set(out, "properties", metadata);
    }
    return out;
}

static json_t *artifact_messages(const json_t *artifacts)
{
    json_t *out = json_object();
    const char *name;
    json_t *list, *artifact;
    json_object_foreach((json_t *)artifacts, name, list)
    {
        json_t *items = json_array();
        size_t i;
        json_array_foreach(json_object_get(list, "artifacts"), i, artifact)
        {
            json_array_append_new(items, artifact_message(artifact));
        }
        json_object_set_new(out, name, json_pack("{s:o}", "artifacts", items));
    }
    return out;
}

static json_t *environment(const json_t *executor_input)
{
    const json_t *from = json_object_get(executor_input, "inputs");
    const json_t *to = json_object_get(executor_input, "outputs");
    json_t *inputs = json_object(), *outputs = json_object();
    set_or_empty(inputs, "parameter_values", from, "parameterValues");
    set_or_empty(inputs, "parameters", from, "parameterValues");
    json_object_set_new(inputs, "artifacts", artifact_messages(json_object_get(from, "artifacts")));
    set_or_empty(outputs, "parameters", to, "parameters");
    json_object_set_new(outputs, "artifacts", artifact_messages(json_object_get(to, "artifacts")));
    const char *file = json_string_value(json_object_get(to, "outputFile"));
    json_object_set_new(outputs, "output_file", json_string(file != NULL ? file : ""));
    return json_pack("{s:o,s:o}", "inputs", inputs, "outputs", outputs);
}

int condition_eval(
    const struct expression *condition, const json_t *executor_input, bool *out, struct err *err)
{
    json_t *variables_now CLEANUP(json_decrefp) = environment(executor_input);
    json_t *value CLEANUP(json_decrefp) = expression_eval(condition, variables_now, err);
    if (value == NULL) {
        return err_wrap(err, "condition");
    }
    if (!json_is_boolean(value)) {
        return err_set(err, ERR_INVALID,
            "condition: %.300s is neither true nor false; compare it with something",
            condition->source);
    }
    *out = json_is_true(value);
    return 0;
}
