/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a task gets: finishing its parameters (kfp-semantics.md 3.2) and writing the
 * ExecutorInput that the SDK's programs read (4.1).
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/placeholder.h"
#include "pipeline/value.h"

#include <stdint.h>
#include <string.h>

#define MAX_WHAT 700

/* ---- parameters ---- */

struct finisher {
    const struct task_def *task;
    const struct run_context *run;
    const json_t *raw;
    json_t *provided;
    struct err *err;
    const char *input; /* whose constant is being resolved */
};

static const struct input_binding *find_binding(const struct task_def *t, const char *name)
{
    for (size_t i = 0; i < t->param_count; i++) {
        if (strcmp(t->params[i].name, name) == 0) {
            return &t->params[i];
        }
    }
    return NULL;
}

static const json_t *default_of(const struct task_def *t, const char *name)
{
    const struct param_def *p = component_param_in(t->component, name);
    return p != NULL ? p->default_value : NULL;
}

/* The value that a reference within a constant stands for; NULL: none. One level, as the SDK. */
static const json_t *referred_value(const struct finisher *f, const char *name)
{
    const json_t *value = json_object_get(f->provided, name);
    if (value == NULL) {
        const struct input_binding *b = find_binding(f->task, name);
        value = b != NULL && b->kind == SOURCE_CONSTANT ? b->constant : NULL;
    }
    return value != NULL ? value : default_of(f->task, name);
}

static int write_constant_ref(void *owner, const struct ref *ref, struct buf *out)
{
    struct finisher *f = owner;
    if (ref->kind == REF_RUN) {
        return f->run != NULL ? run_fact_write(f->run, ref->fact, out) : 0;
    }
    if (ref->kind != REF_IN_PARAM) {
        return 0;
    }
    const json_t *value = referred_value(f, ref->name);
    if (value != NULL) {
        value_text(value, out);
        return 1;
    }
    if (find_binding(f->task, ref->name) == NULL) {
        return 0;
    }
    return err_set(f->err, ERR_INVALID,
        "task '%s': input '%s' refers to input '%s', which has no value", f->task->key, f->input,
        ref->name);
}

static bool resolve_constant_text(void *owner, const char *text, size_t len, struct buf *out)
{
    struct finisher *f = owner;
    return f->err->code == ERR_NONE &&
           refs_replace(text, len, write_constant_ref, f, out, NULL) > 0;
}

/* A constant that is one reference, for an input that is no text, keeps the value's kind. */
static const json_t *whole_reference(const struct finisher *f, const struct input_binding *b)
{
    struct ref ref;
    const char *text = json_string_value(b->constant);
    if (text == NULL || b->param == NULL || b->param->type == VALUE_STRING) {
        return NULL;
    }
    size_t len = json_string_length(b->constant);
    if (ref_parse(text, text + len, &ref) != len || len == 0 || ref.kind != REF_IN_PARAM) {
        return NULL;
    }
    return referred_value(f, ref.name);
}

static json_t *resolve_constant(struct finisher *f, const struct input_binding *b)
{
    if (b->constant == NULL) {
        return NULL;
    }
    const json_t *whole = whole_reference(f, b);
    if (whole != NULL) {
        return json_incref((json_t *)whole);
    }
    struct err err = ERR_INIT, *outer = f->err;
    f->err = &err; /* code NONE tells the strings apart from the first that failed */
    f->input = b->name;
    json_t *value = value_map_strings(b->constant, resolve_constant_text, f);
    f->err = outer;
    if (err.code != ERR_NONE) {
        err_copy(outer, &err);
        json_decref(value);
        return NULL;
    }
    return value;
}

static bool is_allowed(const struct param_def *p, const json_t *value)
{
    size_t i;
    json_t *literal;
    json_array_foreach(p->literals, i, literal)
    {
        if (value_equal(literal, value)) {
            return true;
        }
    }
    return p->literals == NULL;
}

/* Selector, literals, coercion. Takes value. */
static int finish_one(struct finisher *f, const struct input_binding *b, json_t *taken)
{
    json_t *value CLEANUP(json_decrefp) = taken;
    char what[MAX_WHAT];
    snprintf(what, sizeof what, "task '%s': input '%s'", f->task->key, b->name);
    if (b->selector != NULL) {
        json_t *picked = selector_apply(b->selector, value, what, f->err);
        json_decref(value);
        value = picked;
        if (value == NULL) {
            return -1;
        }
    }
    if (json_is_null(value)) {
        return 0;
    }
    if (b->param != NULL) {
        if (!is_allowed(b->param, value)) {
            return err_set(f->err, ERR_INVALID, "%s: is not one of its literals", what);
        }
        json_t *fit = value_coerce(value, b->param->type, what, f->err);
        if (fit == NULL) {
            return -1;
        }
        json_object_set_new(f->provided, b->name, fit);
        return 0;
    }
    json_object_set(f->provided, b->name, value);
    return 0;
}

static int finish_kind(struct finisher *f, bool constants)
{
    for (size_t i = 0; i < f->task->param_count; i++) {
        const struct input_binding *b = &f->task->params[i];
        if ((b->kind == SOURCE_CONSTANT) != constants) {
            continue;
        }
        json_t *value;
        if (constants) {
            value = resolve_constant(f, b);
            if (value == NULL && b->constant != NULL) {
                return -1;
            }
        } else {
            value = json_incref(json_object_get(f->raw, b->name));
        }
        if (value != NULL && !json_is_null(value)) {
            if (finish_one(f, b, value) != 0) {
                return -1;
            }
        } else {
            json_decref(value);
        }
    }
    return 0;
}

static int add_default(
    const struct task_def *task, const struct param_def *p, json_t *params, struct err *err)
{
    if (json_object_get(params, p->name) != NULL) {
        return 0;
    }
    if (p->default_value != NULL) {
        json_t *value = value_coerce(p->default_value, p->type, p->name, err);
        return value != NULL ? json_object_set_new(params, p->name, value) : -1;
    }
    if (p->is_optional) {
        return task->component->kind == COMPONENT_DAG
                   ? json_object_set_new(params, p->name, json_null())
                   : 0;
    }
    const struct input_binding *b = find_binding(task, p->name);
    if (b != NULL && b->kind == SOURCE_TASK_OUTPUT) {
        return err_set(err, ERR_INVALID,
            "task '%s': input '%s' is required, but output '%s' that it comes from has no value",
            task->key, p->name, b->key);
    }
    return err_set(
        err, ERR_INVALID, "task '%s': input '%s' is required and has no value", task->key, p->name);
}

int task_params_finish(const struct task_def *task, const json_t *raw,
    const struct run_context *run, json_t **provided_out, json_t **params_out, struct err *err)
{
    struct err local = ERR_INIT;
    json_t *provided CLEANUP(json_decrefp) = json_object();
    struct finisher f = {.task = task,
        .run = run,
        .raw = raw,
        .provided = provided,
        .err = err != NULL ? err : &local};
    if (finish_kind(&f, false) != 0 || finish_kind(&f, true) != 0) {
        return -1;
    }
    json_t *params CLEANUP(json_decrefp) = json_copy(provided);
    for (size_t i = 0; i < task->component->param_in_count; i++) {
        const struct param_def *p = &task->component->params_in[i];
        bool is_item = task->iterator != NULL && str_eq(p->name, task->iterator->item_input);
        if (!is_item && add_default(task, p, params, f.err) != 0) {
            return -1;
        }
    }
    *provided_out = STEAL(provided);
    *params_out = STEAL(params);
    return 0;
}

int task_item_finish(const struct task_def *task, const json_t *item, json_t *params,
    bool *is_default, struct err *err)
{
    const struct param_def *p = component_param_in(task->component, task->iterator->item_input);
    *is_default = false;
    json_object_del(params, task->iterator->item_input);
    if (p == NULL) {
        json_object_set(params, task->iterator->item_input, (json_t *)(uintptr_t)item);
        return 0;
    }
    if (json_is_null(item)) {
        *is_default = true;
        return add_default(task, p, params, err);
    }
    char what[MAX_WHAT];
    snprintf(what, sizeof what, "task '%s': input '%s'", task->key, p->name);
    if (!is_allowed(p, item)) {
        return err_set(err, ERR_INVALID, "%s: is not one of its literals", what);
    }
    json_t *fit = value_coerce(item, p->type, what, err);
    return fit == NULL ? -1 : json_object_set_new(params, p->name, fit);
}

/* ---- ExecutorInput ---- */

/* Where the SDK looks for an artifact, from its uri alone (kfp.dsl.Artifact.path). */
static void sdk_path(const char *uri, struct buf *out)
{
    static const struct {
        const char *scheme, *folder;
    } mounts[] = {{"gs://", "/gcs/"}, {"s3://", "/s3/"}, {"minio://", "/minio/"}};
    for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
        if (str_starts(uri, mounts[i].scheme)) {
            buf_addf(out, "%s%s", mounts[i].folder, uri + strlen(mounts[i].scheme));
            return;
        }
    }
    if (str_starts(uri, "oci://")) {
        buf_adds(out, "/oci/");
        for (const char *p = uri + 6; *p != '\0'; p++) {
            buf_addc(out, *p == '/' ? '_' : *p);
        }
        return;
    }
    buf_adds(out, uri);
}

/* The uri, if the SDK finds the artifact by it; else the path. */
static const char *shown_uri(const char *uri, const char *path)
{
    if (path == NULL || path[0] == '\0') {
        return uri != NULL ? uri : "";
    }
    if (uri == NULL) {
        return path;
    }
    struct buf mapped;
    buf_init(&mapped, 1 << 16);
    sdk_path(uri, &mapped);
    bool is_found = strcmp(buf_str(&mapped), path) == 0;
    buf_done(&mapped);
    return is_found ? uri : path;
}

static json_t *without_nulls(const json_t *map)
{
    json_t *out = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        if (!json_is_null(value)) {
            json_object_set(out, key, value);
        }
    }
    return out;
}

static void set_map(json_t *to, const char *key, json_t *map)
{
    if (json_object_size(map) > 0) {
        json_object_set_new(to, key, map);
    } else {
        json_decref(map);
    }
}

/*
 * An input that lies elsewhere, such as an imported gs:// one: nobody brings it here, so the
 * program gets its real uri, and as path what the SDK makes of that.
 */
static char *path_elsewhere(const json_t *artifact)
{
    const char *uri = jget_str(artifact, "uri", "");
    if (strstr(uri, "://") == NULL || str_starts(uri, "file://")) {
        return NULL;
    }
    struct buf mapped;
    buf_init(&mapped, 1 << 16);
    sdk_path(uri, &mapped);
    return buf_steal(&mapped, NULL);
}

static json_t *shown_artifact(const json_t *artifact)
{
    json_t *out = json_object();
    json_t *type = json_object_get(artifact, "type");
    jset_str(out, "name", jget_str(artifact, "name", NULL));
    if (json_is_object(type)) {
        json_object_set(out, "type", type);
    }
    json_object_set_new(out, "uri",
        json_string(shown_uri(jget_str(artifact, "uri", NULL), jget_str(artifact, "path", NULL))));
    set_map(out, "metadata", without_nulls(json_object_get(artifact, "metadata")));
    return out;
}

static json_t *input_artifacts(const json_t *artifacts, json_t *paths)
{
    json_t *out = json_object();
    const char *name;
    json_t *list, *item;
    size_t i;
    json_object_foreach((json_t *)artifacts, name, list)
    {
        json_t *shown = json_array();
        json_array_foreach(list, i, item)
        {
            json_t *copy CLEANUP(json_decrefp) = json_copy(item);
            char *elsewhere CLEANUP(cleanup_free) = path_elsewhere(item);
            if (elsewhere != NULL) {
                json_object_set_new(copy, "path", json_string(elsewhere));
            }
            json_array_append_new(shown, shown_artifact(copy));
            const char *path = jget_str(copy, "path", NULL);
            if (i == 0 && path != NULL) {
                json_object_set_new(paths, name, json_string(path));
            }
        }
        json_object_set_new(out, name, json_pack("{s:o}", "artifacts", shown));
    }
    return out;
}

static json_t *output_artifacts(const struct component *c, const json_t *places, json_t *paths)
{
    json_t *out = json_object();
    for (size_t i = 0; i < c->artifact_out_count; i++) {
        const struct artifact_def *a = &c->artifacts_out[i];
        const json_t *place = json_object_get(places, a->name);
        const char *path = jget_str(place, "path", NULL);
        json_t *raw CLEANUP(json_decrefp) = json_object();
        jset_str(raw, "name", a->name);
        jset_str(raw, "uri", jget_str(place, "uri", NULL));
        jset_str(raw, "path", path);
        if (a->type != NULL) {
            json_object_set(raw, "type", (json_t *)(uintptr_t)a->type);
        }
        if (a->metadata != NULL) {
            json_object_set(raw, "metadata", (json_t *)(uintptr_t)a->metadata);
        }
        json_object_set_new(out, a->name, json_pack("{s:[o]}", "artifacts", shown_artifact(raw)));
        if (path != NULL) {
            json_object_set_new(paths, a->name, json_string(path));
        }
    }
    return out;
}

static json_t *output_params(const struct component *c, const char *work_dir)
{
    json_t *out = json_object();
    for (size_t i = 0; i < c->param_out_count; i++) {
        const char *name = c->params_out[i].name;
        json_t *file = json_sprintf("%s/outputs/%s", work_dir, name);
        json_object_set_new(out, name, json_pack("{s:o}", "outputFile", file));
    }
    return out;
}

json_t *executor_input_build(const struct component *component, const json_t *params,
    const json_t *artifacts, const json_t *places, const char *work_dir, json_t **paths_out)
{
    json_t *in_paths = json_object(), *out_paths = json_object();
    json_t *inputs = json_object(), *outputs = json_object(), *out = json_object();
    set_map(inputs, "parameterValues", without_nulls(params));
    set_map(inputs, "artifacts", input_artifacts(artifacts, in_paths));
    set_map(outputs, "parameters", output_params(component, work_dir));
    set_map(outputs, "artifacts", output_artifacts(component, places, out_paths));
    json_object_set_new(outputs, "outputFile", json_sprintf("%s/executor_output.json", work_dir));
    set_map(out, "inputs", inputs);
    json_object_set_new(out, "outputs", outputs);
    json_t *paths = json_pack("{s:o,s:o}", "in", in_paths, "out", out_paths);
    if (paths_out != NULL) {
        *paths_out = paths;
    } else {
        json_decref(paths);
    }
    return out;
}
