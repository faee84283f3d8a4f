/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a finished program leaves behind -> typed output parameters and artifacts
 * (kfp-semantics.md 10.3, steps 5 to 7, and 10.5).
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/value.h"

#include <stdint.h>
#include <string.h>

#define MAX_OUTPUT_FILE (16u << 20)

/* ---- executor_output.json ---- */

static const json_t *member_object(
    const json_t *map, const char *key, const char *what, int *status, struct err *err)
{
    const json_t *value = json_object_get(map, key);
    if (value == NULL || json_is_null(value)) {
        return NULL;
    }
    if (!json_is_object(value)) {
        *status =
            err_set(err, ERR_INVALID, "executor_output.json: %s%s: expected an object", what, key);
        return NULL;
    }
    return value;
}

static json_t *read_output_file(const json_t *report, struct err *err)
{
    const json_t *raw = json_object_get(report, "output_file");
    const char *text = json_string_value(raw);
    size_t len = json_string_length(raw);
    if (len == strspn(text, " \t\r\n")) {
        return json_object(); /* an empty file says nothing */
    }
    if (len > MAX_OUTPUT_FILE) {
        err_set(err, ERR_LIMIT, "executor_output.json: has %zu bytes and the limit is %u", len,
            MAX_OUTPUT_FILE);
        return NULL;
    }
    json_t *file = jread_python(text, len, "executor_output.json", err);
    if (file != NULL && !json_is_object(file)) {
        err_set(err, ERR_INVALID, "executor_output.json: expected an object");
        json_decref(file);
        return NULL;
    }
    return file;
}

/* ---- values ---- */

struct scrub {
    bool found;
};

/* In metadata such numbers stay as the words that protobuf's JSON has for them. */
static bool scrub_text(void *owner, const char *text, size_t len, struct buf *out)
{
    struct scrub *s = owner;
    size_t mark = sizeof JSON_WORD_MARK - 1;
    if (len <= mark || memcmp(text, JSON_WORD_MARK, mark) != 0) {
        return false;
    }
    s->found = true;
    buf_add(out, text + mark, len - mark);
    return true;
}

/* "parameters": {"x": {"stringValue": "..."}}, the form before parameterValues. */
static const json_t *old_value(const json_t *file, const char *name)
{
    const json_t *typed = json_object_get(json_object_get(file, "parameters"), name);
    return json_is_object(typed) ? json_object_iter_value(json_object_iter((json_t *)typed)) : NULL;
}

/* What SDK programs say about a parameter. It is not checked against the type, as in KFP. */
static int take_said(const json_t *value, const char *name, json_t *params, struct err *err)
{
    struct scrub scrub = {false};
    json_t *copy = value_map_strings(value, scrub_text, &scrub);
    if (scrub.found) {
        json_decref(copy);
        return err_set(err, ERR_INVALID,
            "output parameter '%s' holds NaN or Infinity, which JSON cannot carry", name);
    }
    if (json_is_real(copy)) {
        json_t *tidy = value_coerce(copy, VALUE_DOUBLE, name, err);
        json_decref(copy);
        copy = tidy;
    }
    return json_object_set_new(params, name, copy);
}

static int read_param(const struct param_def *p, const json_t *file, const json_t *said,
    const json_t *report, json_t *params, struct err *err)
{
    const json_t *value = json_object_get(said, p->name);
    value = value != NULL ? value : old_value(file, p->name);
    if (value != NULL && !json_is_null(value)) {
        return take_said(value, p->name, params, err);
    }
    const json_t *raw = json_object_get(json_object_get(report, "params"), p->name);
    if (json_is_string(raw)) {
        char what[300];
        snprintf(what, sizeof what, "output parameter '%s'", p->name);
        json_t *parsed =
            value_parse_output(json_string_value(raw), json_string_length(raw), p->type, what, err);
        return parsed != NULL ? json_object_set_new(params, p->name, parsed) : -1;
    }
    if (file != NULL) {
        return 0; /* a Python function that returned None */
    }
    return err_set(err, ERR_INVALID,
        "output parameter '%s' was not written: the program must write its value to the file it "
        "is given ({{$.outputs.parameters['%s'].output_file}})",
        p->name, p->name);
}

/* ---- artifacts ---- */

/* A new place outside, not a local path: those are where the launcher took the files from. */
static bool is_new_uri(const char *uri, const char *shown)
{
    return uri != NULL && uri[0] != '\0' && !str_eq(uri, shown) && strstr(uri, "://") != NULL &&
           !str_starts(uri, "file://");
}

static void overlay_metadata(json_t *metadata, const json_t *said)
{
    struct scrub scrub = {false};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)said, key, value)
    {
        if (!json_is_null(value)) {
            json_object_set_new(metadata, key, value_map_strings(value, scrub_text, &scrub));
        }
    }
}

/* One artifact: what is declared, overlaid with what the program said. */
static json_t *merge_artifact(
    const struct artifact_def *a, const char *shown_at, const json_t *said, const json_t *stored)
{
    const char *uri = jget_str(stored, "uri", NULL);
    const char *said_uri = jget_str(said, "uri", NULL);
    uri = uri != NULL ? uri : shown_at;
    if (is_new_uri(said_uri, shown_at)) {
        uri = said_uri;
    }
    json_t *metadata = json_object();
    overlay_metadata(metadata, a->metadata);
    overlay_metadata(metadata, json_object_get(said, "metadata"));
    if (json_object_get(metadata, "display_name") == NULL) {
        jset_str(metadata, "display_name", a->name);
    }
    json_t *out = json_object();
    jset_str(out, "name", a->name);
    json_object_set_new(
        out, "type", a->type != NULL ? json_incref((json_t *)(uintptr_t)a->type) : json_object());
    json_object_set_new(out, "uri", json_string(uri != NULL ? uri : ""));
    json_object_set_new(out, "metadata", metadata);
    return out;
}

static int check_said(const struct artifact_def *a, const json_t *said, struct err *err)
{
    const json_t *list = json_object_get(said, "artifacts");
    bool is_good =
        said == NULL || json_is_null(said) ||
        (json_is_object(said) && (list == NULL || json_is_null(list) || json_is_array(list)));
    size_t i;
    const json_t *one;
    json_array_foreach(list, i, one)
    {
        const json_t *metadata = json_object_get(one, "metadata");
        is_good = is_good && json_is_object(one) &&
                  (metadata == NULL || json_is_null(metadata) || json_is_object(metadata));
    }
    return is_good ? 0
                   : err_set(err, ERR_INVALID,
                         "executor_output.json: artifacts.%s: expected {\"artifacts\": [{...}]} "
                         "with an object as metadata",
                         a->name);
}

/* One artifact, unless the output is declared as a list: then those that were said, also none. */
static int read_artifact(const struct artifact_def *a, const json_t *shown, const json_t *said,
    const json_t *report, json_t *artifacts, struct err *err)
{
    if (check_said(a, said, err) != 0) {
        return -1;
    }
    const json_t *list = json_object_get(said, "artifacts");
    const json_t *stored = json_object_get(json_object_get(report, "artifacts"), a->name);
    size_t count = a->is_list && json_is_array(list) ? json_array_size(list) : 1;
    json_t *out = json_array();
    for (size_t i = 0; i < count; i++) {
        const json_t *more = json_array_get(json_object_get(stored, "more"), i - 1);
        json_array_append_new(out, merge_artifact(a, jget_str(shown, "uri", NULL),
                                       json_array_get(list, i), i == 0 ? stored : more));
    }
    json_object_set_new(artifacts, a->name, out);
    return 0;
}

static int read_artifacts(const struct component *c, const json_t *executor_input,
    const json_t *said, const json_t *report, json_t *artifacts, struct err *err)
{
    const json_t *shown = json_object_get(json_object_get(executor_input, "outputs"), "artifacts");
    for (size_t i = 0; i < c->artifact_out_count; i++) {
        const struct artifact_def *a = &c->artifacts_out[i];
        const json_t *list = json_object_get(json_object_get(shown, a->name), "artifacts");
        if (read_artifact(a, json_array_get(list, 0), json_object_get(said, a->name), report,
                artifacts, err) != 0) {
            return -1;
        }
    }
    return 0;
}

int outputs_read(const struct component *component, const json_t *executor_input,
    const json_t *report, json_t **params_out, json_t **artifacts_out, struct err *err)
{
    json_t *file CLEANUP(json_decrefp) = NULL;
    if (json_is_string(json_object_get(report, "output_file"))) {
        file = read_output_file(report, err);
        if (file == NULL) {
            return -1;
        }
    }
    int status = 0;
    const json_t *said_params = member_object(file, "parameterValues", "", &status, err);
    const json_t *said_artifacts = member_object(file, "artifacts", "", &status, err);
    if (status != 0) {
        return -1;
    }
    json_t *params CLEANUP(json_decrefp) = json_object();
    json_t *artifacts CLEANUP(json_decrefp) = json_object();
    for (size_t i = 0; i < component->param_out_count; i++) {
        if (read_param(&component->params_out[i], file, said_params, report, params, err) != 0) {
            return -1;
        }
    }
    if (read_artifacts(component, executor_input, said_artifacts, report, artifacts, err) != 0) {
        return -1;
    }
    *params_out = STEAL(params);
    *artifacts_out = STEAL(artifacts);
    return 0;
}
