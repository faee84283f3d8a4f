/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints: when do two tasks do the same (kfp-semantics.md 9.2)? Two tasks are the same when
 * they get the same artifacts (by identity) and the same parameter values, and run the same
 * command in the same image with the same outputs, claims and environment. Resources and the rest
 * of the pod's settings do not count, as in KFP; there the environment does not either.
 */
#include "scheduler/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"
#include "pipeline/placeholder.h"

#define PART_HEX_LEN 12

_Static_assert(sizeof(((struct fingerprint *)0)->hex) == SHA256_HEX_LEN + 1, "a SHA-256 in hex");

void json_fingerprint(const json_t *value, char hex[65])
{
    char *text CLEANUP(cleanup_free) = value_json(value);
    sha256_hex(text, strlen(text), hex);
}

static void add_part(json_t *parts, const char *name, const json_t *value)
{
    char hex[SHA256_HEX_LEN + 1];
    json_fingerprint(value, hex);
    hex[PART_HEX_LEN] = '\0';
    json_object_set_new(parts, name, json_string(hex));
}

static void add_named_part(json_t *parts, const char *kind, const char *name, const json_t *value)
{
    char *whole CLEANUP(cleanup_free) = xasprintf("%s '%s'", kind, name);
    add_part(parts, whole, value);
}

/* Identity of each artifact of the list; what has none is told apart by where it is. */
static json_t *artifact_names(const json_t *list)
{
    json_t *names = json_array();
    size_t i;
    json_t *artifact;
    json_array_foreach((json_t *)list, i, artifact)
    {
        const char *id = jget_str(artifact, "id", NULL);
        json_array_append_new(names, json_string(id != NULL ? id : jget_str(artifact, "uri", "")));
    }
    return json_pack("{s:o}", "artifactNames", names);
}

static json_t *key_artifacts_in(const json_t *artifacts, json_t *parts)
{
    json_t *out = json_object();
    const char *name;
    json_t *list;
    json_object_foreach((json_t *)artifacts, name, list)
    {
        json_t *names = artifact_names(list);
        add_named_part(parts, "input artifact", name, names);
        json_object_set_new(out, name, names);
    }
    return out;
}

static json_t *key_params_in(const json_t *provided, json_t *parts)
{
    json_t *out = json_object();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)provided, name, value)
    {
        add_named_part(parts, "input", name, value);
        json_object_set(out, name, value);
    }
    return out;
}

static json_t *key_artifacts_out(const struct component *component)
{
    json_t *out = json_object();
    for (size_t i = 0; i < component->artifact_out_count; i++) {
        const struct artifact_def *def = &component->artifacts_out[i];
        json_t *spec = json_object();
        json_object_set_new(spec, "name", json_string(def->name));
        if (def->type != NULL) {
            json_object_set(spec, "type", (json_t *)def->type);
        }
        if (def->metadata != NULL) {
            json_object_set(spec, "metadata", (json_t *)def->metadata);
        }
        json_object_set_new(out, def->name, spec);
    }
    return out;
}

static json_t *key_params_out(const struct component *component)
{
    json_t *out = json_object();
    for (size_t i = 0; i < component->param_out_count; i++) {
        json_object_set_new(out, component->params_out[i].name,
            json_string(value_type_name(component->params_out[i].type)));
    }
    return out;
}

/* Variables as they are written, before placeholders are resolved. */
static json_t *key_env(const struct container *container, const json_t *sources)
{
    json_t *out = json_object(), *values = json_object();
    for (size_t i = 0; i < container->env_count; i++) {
        json_object_set_new(values, container->env[i].name, json_string(container->env[i].value));
    }
    json_object_set_new(out, "values", values);
    json_object_set_new(
        out, "sources", sources != NULL ? json_incref((json_t *)sources) : json_array());
    return out;
}

static json_t *key_container(
    const struct container *container, const json_t *claims, const json_t *sources, json_t *parts)
{
    json_t *argv = json_array(), *out = json_object();
    for (size_t i = 0; i < container->command_count; i++) {
        json_array_append_new(argv, json_string(container->command[i]));
    }
    for (size_t i = 0; i < container->arg_count; i++) {
        json_array_append_new(argv, json_string(container->args[i]));
    }
    json_object_set_new(out, "image", json_string(container->image));
    json_object_set_new(out, "cmdArgs", argv);
    add_part(parts, "the image", json_object_get(out, "image"));
    add_part(parts, "the command", argv);
    if (json_array_size(claims) > 0) {
        json_object_set(out, "pvcNames", (json_t *)claims);
        add_part(parts, "the mounted volumes", claims);
    }
    if (container->env_count > 0 || json_array_size(sources) > 0) {
        json_object_set_new(out, "env", key_env(container, sources));
        add_part(parts, "the environment", json_object_get(out, "env"));
    }
    return out;
}

static void outputs_part(json_t *key, json_t *parts)
{
    json_t *both = json_pack("[O,O]", json_object_get(key, "outputArtifactsSpec"),
        json_object_get(key, "outputParametersSpec"));
    add_part(parts, "the outputs", both);
    json_decref(both);
}

static int write_key_ref(void *owner, const struct ref *ref, struct buf *out)
{
    const json_t *value =
        ref->kind == REF_IN_PARAM ? json_object_get((const json_t *)owner, ref->name) : NULL;
    if (value == NULL) {
        return 0;
    }
    value_text(value, out);
    return 1;
}

/* The user says what counts: the component, and this text, which may refer to inputs. */
static void custom_fingerprint(
    const struct task_def *task, const json_t *provided, struct fingerprint *out)
{
    struct buf text;
    buf_init(&text, SIZE_MAX);
    buf_adds(&text, task->component->name);
    buf_addc(&text, '\0');
    size_t before = text.len;
    refs_replace(
        task->cache_key, strlen(task->cache_key), write_key_ref, (json_t *)provided, &text, NULL);
    sha256_hex(text.data, text.len, out->hex);
    json_t *key CLEANUP(json_decrefp) = json_stringn(text.data + before, text.len - before);
    buf_done(&text);
    add_part(out->parts, "the cache key", key);
}

void task_fingerprint(const struct task_def *task, const json_t *provided, const json_t *artifacts,
    const json_t *claims, const json_t *sources, struct fingerprint *out)
{
    out->parts = json_object();
    if (task->cache_key != NULL && task->cache_key[0] != '\0') {
        custom_fingerprint(task, provided, out);
        return;
    }
    const struct component *component = task->component;
    json_t *key CLEANUP(json_decrefp) = json_object();
    json_object_set_new(key, "inputArtifactNames", key_artifacts_in(artifacts, out->parts));
    json_object_set_new(key, "inputParameterValues", key_params_in(provided, out->parts));
    json_object_set_new(key, "outputArtifactsSpec", key_artifacts_out(component));
    json_object_set_new(key, "outputParametersSpec", key_params_out(component));
    json_object_set_new(
        key, "containerSpec", key_container(component->container, claims, sources, out->parts));
    outputs_part(key, out->parts);
    json_fingerprint(key, out->hex);
}
