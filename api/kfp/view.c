/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of replies and rules that several KFP resources share. */
#include "api/kfp/view.h"

#include <string.h>

#include "base/err.h"
#include "base/json.h"

#include "scheduler/plan.h"

#include "api/api.h"

#define MAX_TAGS 20
#define MAX_TAG_LEN 63

static const struct kfp_field version_reference_fields[] = {
    {"pipeline_id", KFP_STRING, NULL, NULL, 0},
    {"pipeline_version_id", KFP_STRING, NULL, NULL, 0},
    {0},
};
const struct kfp_message kfp_version_reference = {version_reference_fields};

static const struct kfp_field runtime_config_fields[] = {
    {"parameters", KFP_STRUCT, NULL, NULL, 0},
    {"pipeline_root", KFP_STRING, NULL, NULL, 0},
    {"input_artifacts", KFP_STRUCT, NULL, NULL, 0}, /* ours */
    {0},
};
const struct kfp_message kfp_runtime_config = {runtime_config_fields};

static const struct kfp_field url_fields[] = {{"pipeline_url", KFP_STRING, NULL, NULL, 0}, {0}};
const struct kfp_message kfp_url = {url_fields};

const struct kfp_enum kfp_storage_states[] = {
    {"STORAGE_STATE_UNSPECIFIED", 0},
    {"AVAILABLE", 1},
    {"ARCHIVED", 2},
    {NULL, 0},
};

json_t *view_status(int code, const char *message)
{
    json_t *out = json_object();
    json_object_set_new(out, "code", json_integer(code));
    json_object_set_new(out, "message", json_string(message));
    return out;
}

void view_time(json_t *out, const char *key, int64_t us)
{
    jset_time(out, key, us);
}

void view_i64(json_t *out, const char *key, int64_t value)
{
    if (value != 0) {
        json_object_set_new(out, key, json_sprintf("%lld", (long long)value));
    }
}

json_t *view_spec(const struct plan *plan)
{
    if (plan->platform == NULL) {
        return json_incref(plan->spec);
    }
    json_t *out = json_object();
    json_object_set(out, "pipeline_spec", plan->spec);
    json_object_set(out, "platform_spec", plan->platform);
    return out;
}

/* As they may be given again. */
static json_t *view_artifacts(const json_t *artifacts)
{
    json_t *out = json_object();
    const char *name;
    json_t *list;
    json_object_foreach((json_t *)artifacts, name, list)
    {
        json_t *shown = json_array();
        size_t i;
        json_t *artifact;
        json_array_foreach(list, i, artifact)
        {
            json_t *one = json_object();
            json_object_set(one, "artifact_id", json_object_get(artifact, "id"));
            json_object_set(one, "uri", json_object_get(artifact, "uri"));
            json_object_set(one, "type", json_object_get(artifact, "type"));
            json_object_set(one, "metadata", json_object_get(artifact, "metadata"));
            json_array_append_new(shown, one);
        }
        json_object_set(out, name, i == 1 ? json_array_get(shown, 0) : shown);
        json_decref(shown);
    }
    return out;
}

void view_runtime_config(json_t *out, const json_t *record)
{
    json_t *parameters = json_object_get(record, "parameters");
    json_t *config = json_object();
    if (json_object_size(parameters) > 0) {
        json_object_set(config, "parameters", parameters);
    }
    jset_str(config, "pipeline_root", jget_str(record, "pipeline_root", NULL));
    if (json_object_size(json_object_get(record, "artifacts")) > 0) {
        json_object_set_new(
            config, "input_artifacts", view_artifacts(json_object_get(record, "artifacts")));
    }
    if (json_object_size(config) > 0) {
        json_object_set(out, "runtime_config", config);
    }
    json_decref(config);
}

void view_version_reference(json_t *out, const json_t *record)
{
    json_t *reference = json_object();
    jset_str(reference, "pipeline_id", jget_str(record, "pipeline_id", NULL));
    jset_str(reference, "pipeline_version_id", jget_str(record, "version_id", NULL));
    if (json_object_size(reference) > 0) {
        json_object_set(out, "pipeline_version_reference", reference);
    }
    json_decref(reference);
}

int kfp_check_length(const char *what, const char *text, size_t max, struct err *err)
{
    if (text != NULL && strlen(text) > max) {
        return err_set(err, ERR_INVALID, "%s: %zu bytes long; at most %zu are allowed", what,
            strlen(text), max);
    }
    return 0;
}

int kfp_check_tags(const json_t *tags, struct err *err)
{
    if (json_object_size(tags) > MAX_TAGS) {
        return err_set(err, ERR_INVALID, "tags: %zu given; at most %d are allowed",
            json_object_size(tags), MAX_TAGS);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)tags, key, value)
    {
        if (key[0] == '\0' || strlen(key) > MAX_TAG_LEN || strchr(key, '.') != NULL) {
            return err_set(err, ERR_INVALID,
                "tags: key '%.80s': a key has 1 to %d bytes and no '.'", key, MAX_TAG_LEN);
        }
        if (json_string_length(value) > MAX_TAG_LEN) {
            return err_set(err, ERR_INVALID, "tags.%s: longer than %d bytes", key, MAX_TAG_LEN);
        }
    }
    return 0;
}

json_t *kfp_body(struct api_call *call, const struct kfp_message *message)
{
    struct err err = ERR_INIT;
    const json_t *raw = api_body_json(call);
    if (raw == NULL) {
        return NULL;
    }
    json_t *in = kfp_read(message, raw, "", &err);
    if (in == NULL) {
        api_fail(call, &err);
        return NULL;
    }
    return api_keep(call, in);
}
