/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a container's command and args to the argv that runs (kfp-semantics.md 4). IfPresent and
 * Concat are understood as the SDK's local runner does: recursively, parameters and artifacts
 * alike; KFP's own backend leaves some of them in the program's arguments as raw JSON.
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/placeholder.h"
#include "pipeline/value.h"

#include <stdlib.h>
#include <string.h>

/* The kernel's limit for one argument (MAX_ARG_STRLEN), with the NUL. */
#define MAX_ARG_BYTES 131072
#define MAX_RENDERED (8u << 20)
#define MAX_DEPTH 32

struct renderer {
    const struct render_context *ctx;
    char where[48]; /* "args[2]" */
    struct err *err;
};

/* ---- references ---- */

static const json_t *inputs_get(const struct renderer *r, const char *kind, const char *name)
{
    const json_t *inputs = json_object_get(r->ctx->executor_input, "inputs");
    const json_t *value = json_object_get(json_object_get(inputs, kind), name);
    return json_is_null(value) ? NULL : value;
}

static int no_value(struct renderer *r, const char *what, const char *name)
{
    return err_set(r->err, ERR_INVALID,
        "%s: %s '%s' has no value; pass one, give it a default, or use IfPresent", r->where, what,
        name);
}

static int write_param(struct renderer *r, const struct ref *ref, struct buf *out)
{
    const json_t *value = inputs_get(r, "parameterValues", ref->name);
    if (value == NULL) {
        return no_value(r, "input parameter", ref->name);
    }
    value_text(value, out);
    return 1;
}

static int write_output_param(struct renderer *r, const struct ref *ref, struct buf *out)
{
    const json_t *outputs = json_object_get(r->ctx->executor_input, "outputs");
    const json_t *param = json_object_get(json_object_get(outputs, "parameters"), ref->name);
    const char *file = json_string_value(json_object_get(param, "outputFile"));
    if (file == NULL) {
        return err_set(r->err, ERR_INVALID, "%s: the component has no output parameter '%s'",
            r->where, ref->name);
    }
    buf_adds(out, file);
    return 1;
}

/* JSON, except that a string stands for itself. Missing is null, as the SDK has it. */
static void write_metadata(const json_t *artifact, const struct ref *ref, struct buf *out)
{
    const json_t *value = json_object_get(artifact, "metadata");
    for (size_t i = 0; i < ref->key_count; i++) {
        value = json_object_get(value, ref->keys[i]);
    }
    if (json_is_string(value)) {
        value_text(value, out);
    } else if (value == NULL && ref->key_count == 0) {
        buf_adds(out, "{}");
    } else if (value == NULL) {
        buf_adds(out, "null");
    } else {
        value_write(value, VALUE_WRITE_PLAIN, out);
    }
}

static int write_artifact(struct renderer *r, const struct ref *ref, struct buf *out)
{
    bool is_in = ref->kind == REF_IN_ARTIFACT;
    const json_t *side = json_object_get(r->ctx->executor_input, is_in ? "inputs" : "outputs");
    const json_t *list = json_object_get(json_object_get(side, "artifacts"), ref->name);
    const json_t *all = json_object_get(list, "artifacts");
    if (ref->field == FIELD_WHOLE && all != NULL) { /* also an empty list */
        value_write(all, VALUE_WRITE_PLAIN, out);
        return 1;
    }
    const json_t *artifact = json_array_get(all, 0);
    if (artifact == NULL && is_in && ref->field == FIELD_PATH) {
        /* A parameter that the program wants as a file: component.input_files. */
        const json_t *file = json_object_get(json_object_get(r->ctx->paths, "in"), ref->name);
        if (file != NULL && inputs_get(r, "parameterValues", ref->name) != NULL) {
            buf_adds(out, json_string_value(file));
            return 1;
        }
    }
    if (artifact == NULL) {
        return is_in ? no_value(r, "input artifact", ref->name)
                     : err_set(r->err, ERR_INVALID, "%s: the component has no output artifact '%s'",
                           r->where, ref->name);
    }
    const char *uri = json_string_value(json_object_get(artifact, "uri"));
    const char *path = json_string_value(
        json_object_get(json_object_get(r->ctx->paths, is_in ? "in" : "out"), ref->name));
    switch (ref->field) {
    case FIELD_WHOLE: /* done */
        break;
    case FIELD_URI:
        buf_adds(out, uri != NULL ? uri : "");
        break;
    case FIELD_PATH:
        buf_adds(out, path != NULL ? path : uri != NULL ? uri : "");
        break;
    case FIELD_NAME:
        value_text(json_object_get(artifact, "name"), out);
        break;
    case FIELD_METADATA:
        write_metadata(artifact, ref, out);
        break;
    }
    return 1;
}

static int write_ref(void *owner, const struct ref *ref, struct buf *out)
{
    struct renderer *r = owner;
    switch (ref->kind) {
    case REF_EXECUTOR_INPUT:
        value_write(r->ctx->executor_input, VALUE_WRITE_PLAIN, out);
        return 1;
    case REF_OUTPUT_FILE:
        value_text(
            json_object_get(json_object_get(r->ctx->executor_input, "outputs"), "outputFile"), out);
        return 1;
    case REF_IN_PARAM:
        return write_param(r, ref, out);
    case REF_OUT_PARAM:
        return write_output_param(r, ref, out);
    case REF_IN_ARTIFACT:
    case REF_OUT_ARTIFACT:
        return write_artifact(r, ref, out);
    case REF_RUN:
        return r->ctx->run != NULL ? run_fact_write(r->ctx->run, ref->fact, out) : 0;
    }
    return 0;
}

static int render_text(
    struct renderer *r, const char *text, size_t len, struct buf *out, json_t *values)
{
    if (refs_replace(text, len, write_ref, r, out, values) < 0) {
        return -1;
    }
    if (out->overflow) {
        return err_set(r->err, ERR_LIMIT, "%s: becomes longer than 8 MiB", r->where);
    }
    return 0;
}

/* ---- IfPresent and Concat ---- */

/* Here an element is [text, begin of a value in it, length, ...]. Takes values. */
static void element_add(json_t *argv, const struct buf *text, json_t *values)
{
    if (json_array_insert_new(values, 0, json_stringn(buf_str(text), text->len)) == 0) {
        json_array_append(argv, values);
    }
    json_decref(values);
}

static bool is_present(const struct renderer *r, const char *name)
{
    if (r->ctx->provided != NULL) {
        const json_t *value = json_object_get(r->ctx->provided, name);
        return value != NULL && !json_is_null(value);
    }
    return inputs_get(r, "parameterValues", name) != NULL ||
           inputs_get(r, "artifacts", name) != NULL;
}

static int render_struct(struct renderer *r, const json_t *value, json_t *argv, int depth);

static int render_if(struct renderer *r, const json_t *body, json_t *argv, int depth)
{
    const char *name = json_string_value(json_object_get(body, "InputName"));
    const json_t *then = json_object_get(body, "Then");
    if (name == NULL || then == NULL) {
        return err_set(r->err, ERR_INVALID, "%s: IfPresent needs 'InputName' and 'Then'", r->where);
    }
    const json_t *chosen = is_present(r, name) ? then : json_object_get(body, "Else");
    return chosen == NULL || json_is_null(chosen) ? 0 : render_struct(r, chosen, argv, depth);
}

/* KFP 1's {if: {cond: {inputValue: x}}}: the value itself decides. rondo's own, see pipelines.md.
 */
static int render_truth(struct renderer *r, const json_t *body, json_t *argv, int depth)
{
    const char *name = json_string_value(json_object_get(body, "InputName"));
    const json_t *then = json_object_get(body, "Then");
    bool truth = false;
    if (name == NULL || then == NULL) {
        return err_set(r->err, ERR_INVALID, "%s: IfTrue needs 'InputName' and 'Then'", r->where);
    }
    const json_t *value = inputs_get(r, "parameterValues", name);
    struct buf word;
    buf_init(&word, MAX_ARG_BYTES);
    value_text(value, &word);
    bool is_word = word.len == 0 || value_truth_text(buf_str(&word), &truth);
    buf_done(&word);
    if (!is_word) {
        return err_set(r->err, ERR_INVALID,
            "%s: input '%s' decides here and is neither of y, yes, t, true, on, 1 nor of n, no, f, "
            "false, off, 0",
            r->where, name);
    }
    const json_t *chosen = truth ? then : json_object_get(body, "Else");
    return chosen == NULL || json_is_null(chosen) ? 0 : render_struct(r, chosen, argv, depth);
}

static int render_concat(struct renderer *r, const json_t *parts, json_t *argv, int depth)
{
    if (!json_is_array(parts)) {
        return err_set(r->err, ERR_INVALID, "%s: Concat takes a list", r->where);
    }
    json_t *pieces CLEANUP(json_decrefp) = json_array();
    if (render_struct(r, parts, pieces, depth) != 0) {
        return -1;
    }
    struct buf text;
    buf_init(&text, MAX_RENDERED);
    json_t *element = json_array();
    size_t i;
    json_t *piece;
    json_array_foreach(pieces, i, piece)
    {
        const json_t *words = json_array_get(piece, 0);
        for (size_t k = 1; k + 1 < json_array_size(piece); k += 2) {
            json_int_t from = json_integer_value(json_array_get(piece, k));
            json_array_append_new(element, json_integer((json_int_t)text.len + from));
            json_array_append(element, json_array_get(piece, k + 1));
        }
        buf_add(&text, json_string_value(words), json_string_length(words));
    }
    int status = buf_check(&text, r->where, r->err);
    element_add(argv, &text, element);
    buf_done(&text);
    return status;
}

static int render_string(struct renderer *r, const char *text, size_t len, json_t *argv)
{
    struct buf out;
    buf_init(&out, MAX_RENDERED);
    json_t *values = json_array();
    int status = render_text(r, text, len, &out, values);
    if (status == 0) {
        element_add(argv, &out, json_incref(values));
    }
    json_decref(values);
    buf_done(&out);
    return status;
}

static int render_struct(struct renderer *r, const json_t *value, json_t *argv, int depth)
{
    if (depth > MAX_DEPTH) {
        return err_set(r->err, ERR_LIMIT, "%s: IfPresent and Concat are nested deeper than %d",
            r->where, MAX_DEPTH);
    }
    if (json_is_string(value)) {
        return render_string(r, json_string_value(value), json_string_length(value), argv);
    }
    if (json_is_array(value)) {
        size_t i;
        json_t *item;
        json_array_foreach(value, i, item)
        {
            if (!json_is_null(item) && render_struct(r, item, argv, depth + 1) != 0) {
                return -1;
            }
        }
        return 0;
    }
    const json_t *body = json_object_get(value, "IfPresent");
    if (body != NULL) {
        return render_if(r, body, argv, depth + 1);
    }
    body = json_object_get(value, "IfTrue");
    if (body != NULL) {
        return render_truth(r, body, argv, depth + 1);
    }
    body = json_object_get(value, "Concat");
    if (body != NULL) {
        return render_concat(r, body, argv, depth + 1);
    }
    return err_set(r->err, ERR_INVALID,
        "%s: within IfPresent and Concat only texts, lists, IfPresent and Concat are allowed",
        r->where);
}

/* Text that begins like a struct and is JSON. */
static json_t *parse_struct(const char *text)
{
    static const char *const words[] = {"\"IfPresent\"", "\"Concat\"", "\"IfTrue\""};
    text += strspn(text, " \t\r\n");
    if (*text != '{') {
        return NULL;
    }
    const char *key = text + 1 + strspn(text + 1, " \t\r\n");
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_starts(key, words[i])) {
            struct err err = ERR_INIT;
            return jread_text(text, strlen(text), "placeholder", &err);
        }
    }
    return NULL;
}

static int render_element(struct renderer *r, const char *text, json_t *argv)
{
    json_t *tree CLEANUP(json_decrefp) = parse_struct(text);
    if (tree != NULL) {
        return render_struct(r, tree, argv, 1);
    }
    return render_string(r, text, strlen(text), argv);
}

static int render_list(
    struct renderer *r, const char *name, const char **words, size_t count, json_t *argv)
{
    for (size_t i = 0; i < count; i++) {
        size_t first = json_array_size(argv);
        snprintf(r->where, sizeof r->where, "%s[%zu]", name, i);
        if (render_element(r, words[i], argv) != 0) {
            return -1;
        }
        for (; first < json_array_size(argv); first++) {
            size_t len = json_string_length(json_array_get(json_array_get(argv, first), 0));
            if (len >= MAX_ARG_BYTES) {
                return err_set(r->err, ERR_LIMIT,
                    "%s: becomes %zu bytes long, and Linux passes at most 131071 in one argument; "
                    "hand large values over as artifacts",
                    r->where, len);
            }
        }
    }
    return 0;
}

/* The texts of elements; where values are in them goes into values: [[index, begin, length, ...]]
 */
static json_t *elements_split(const json_t *elements, json_t *values)
{
    json_t *texts = json_array();
    size_t i;
    json_t *element;
    json_array_foreach(elements, i, element)
    {
        json_array_append(texts, json_array_get(element, 0));
        if (json_array_size(element) > 1) {
            json_array_set_new(element, 0, json_integer((json_int_t)i));
            json_array_append(values, element);
        }
    }
    return texts;
}

json_t *command_render(const struct container *container, const struct render_context *ctx,
    json_t *values, struct err *err)
{
    struct renderer r = {.ctx = ctx, .err = err};
    json_t *argv CLEANUP(json_decrefp) = json_array();
    if (render_list(&r, "command", container->command, container->command_count, argv) != 0 ||
        render_list(&r, "args", container->args, container->arg_count, argv) != 0) {
        return NULL;
    }
    if (json_array_size(argv) == 0) {
        err_set(
            err, ERR_INVALID, "nothing is left of command and args: there is no program to run");
        return NULL;
    }
    return elements_split(argv, values);
}

char *string_render(
    const char *text, const struct render_context *ctx, json_t *values, struct err *err)
{
    struct renderer r = {.ctx = ctx, .where = "text", .err = err};
    struct buf out;
    buf_init(&out, MAX_RENDERED);
    char *result = NULL;
    if (render_text(&r, text, strlen(text), &out, values) == 0) {
        buf_add(&out, "", 0);
        result = out.len > 0 ? buf_steal(&out, NULL) : xstrdup("");
    }
    buf_done(&out);
    return result;
}
