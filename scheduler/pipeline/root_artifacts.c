/* SPDX-License-Identifier: Apache-2.0 */
/* Artifacts that a run is given, against the root's inputs. */
#include "scheduler/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/artifact_uri.h"
#include "pipeline/complain.h"

#define MAX_TROUBLE 1800
#define ANY_TYPE "system.Artifact"
#define NEWEST_VERSION "0.0.1"

static void add_trouble(struct buf *trouble, const char *text)
{
    buf_adds(trouble, trouble->len > 0 ? "; " : "");
    buf_adds(trouble, text);
}

/* ---- one artifact ---- */

/* What is declared, unless that is any artifact; then what is given. New reference. */
static json_t *take_type(const struct artifact_def *def, const json_t *given, struct err *err)
{
    json_t *declared = def->type != NULL ? json_deep_copy(def->type) : json_object();
    const char *title = json_string_value(given);
    struct err local = ERR_INIT;
    if (json_is_object(given)) {
        static const char *const keys[] = {"schemaTitle", "schemaVersion", NULL};
        title = jget_str(given, "schemaTitle", NULL);
        if (jread_only(given, "type", keys, &local) != 0) {
            title = NULL;
        }
    }
    if (given == NULL || str_eq(title, def->schema_title)) {
        return declared;
    }
    bool is_any = def->schema_title == NULL || str_eq(def->schema_title, ANY_TYPE);
    if (title != NULL && title[0] != '\0' && is_any) {
        json_decref(declared);
        return json_pack("{s:s,s:s}", "schemaTitle", title, "schemaVersion",
            jget_str(given, "schemaVersion", NEWEST_VERSION));
    }
    json_decref(declared);
    if (title == NULL || title[0] == '\0') {
        err_set(err, ERR_INVALID,
            "type: expected a schema title such as \"system.Dataset\", or {\"schemaTitle\", "
            "\"schemaVersion\"}");
    } else {
        err_set(err, ERR_INVALID, "type: it is a %.100s, and the pipeline declares a %.100s", title,
            def->schema_title);
    }
    return NULL;
}

/* RuntimeArtifact with "id" if one is given; NULL and err. */
static json_t *take_one(const struct artifact_def *def, const json_t *given, struct err *err)
{
    static const char *const keys[] = {"uri", "type", "metadata", "artifact_id", NULL};
    const char *uri = NULL, *id = NULL;
    const json_t *metadata = NULL;
    if (!json_is_object(given)) {
        err_set(err, ERR_INVALID, "expected {\"uri\": ..., \"type\"?, \"metadata\"?}");
        return NULL;
    }
    if (jread_only(given, "", keys, err) != 0 ||
        jread_string(given, "", "artifact_id", &id, err) != 0 ||
        jread_string(given, "", "uri", &uri, err) != 0 ||
        jread_object(given, "", "metadata", &metadata, err) != 0) {
        return NULL;
    }
    if (id != NULL && !id_is_valid(id)) {
        err_set(err, ERR_INVALID, "artifact_id: '%.80s' is not a UUID in lower case", id);
        return NULL;
    }
    if (uri == NULL) {
        err_set(err, ERR_INVALID,
            id == NULL ? "uri: missing"
                       : "uri: missing; there is no finding an artifact by its id alone, "
                         "GET /apis/rondo/v1/runs/{run_id}/artifacts tells its URI");
        return NULL;
    }
    json_t *type CLEANUP(json_decrefp) = take_type(def, json_object_get(given, "type"), err);
    if (type == NULL || artifact_uri_check(uri, jget_str(type, "schemaTitle", NULL), err) != 0) {
        return NULL;
    }
    json_t *artifact = json_object();
    jset_str(artifact, "id", id);
    json_object_set_new(artifact, "name", json_string(def->name));
    json_object_set(artifact, "type", type);
    json_object_set_new(artifact, "uri", json_string(uri));
    json_object_set_new(
        artifact, "metadata", metadata != NULL ? json_deep_copy(metadata) : json_object());
    return artifact;
}

/* ---- all of them ---- */

static void take_given(
    const struct artifact_def *def, const json_t *given, json_t *out, struct buf *trouble)
{
    json_t *list = json_array();
    size_t count = json_is_array(given) ? json_array_size(given) : 1;
    struct err err = ERR_INIT;
    if (!def->is_list && count != 1) {
        err_set(&err, ERR_INVALID, "it is one artifact, and %zu are given", count);
    }
    for (size_t i = 0; i < count && err.code == ERR_NONE; i++) {
        const json_t *one = json_is_array(given) ? json_array_get(given, i) : given;
        json_t *artifact = take_one(def, one, &err);
        if (artifact != NULL) {
            json_array_append_new(list, artifact);
        }
    }
    if (err.code != ERR_NONE) {
        char text[1200];
        snprintf(text, sizeof text, "artifact '%.200s': %.900s", def->name, err.msg);
        add_trouble(trouble, text);
    }
    json_object_set_new(out, def->name, list); /* also then: it is not missing */
}

static void refuse_unknown(const struct component *root, const char *name, struct buf *trouble)
{
    const char **names = xcalloc(root->artifact_in_count + 1, sizeof *names);
    for (size_t i = 0; i < root->artifact_in_count; i++) {
        names[i] = root->artifacts_in[i].name;
    }
    const char *near = nearest_name(name, names);
    char text[700];
    if (near != NULL) {
        snprintf(text, sizeof text,
            "artifact '%.200s' is not an input of the pipeline; did you mean '%.200s'?", name,
            near);
    } else if (root->artifact_in_count == 0) {
        snprintf(text, sizeof text, "artifact '%.200s': the pipeline takes no artifacts", name);
    } else {
        snprintf(text, sizeof text, "artifact '%.200s' is not an input of the pipeline", name);
    }
    add_trouble(trouble, text);
    free(names);
}

static void refuse_missing(const struct artifact_def *def, struct buf *trouble)
{
    char text[900];
    snprintf(text, sizeof text,
        "the pipeline needs the artifact '%.200s' (%.100s): give its URI in "
        "runtime_config.input_artifacts, {\"%.200s\": {\"uri\": ...}}, or with rondo run -a "
        "%.200s=URI",
        def->name, def->schema_title != NULL ? def->schema_title : "any type", def->name,
        def->name);
    add_trouble(trouble, text);
}

/* bound has lists by name. */
static void check_names(const struct component *root, const json_t *bound, struct buf *trouble)
{
    for (size_t i = 0; i < root->artifact_in_count; i++) {
        const struct artifact_def *def = &root->artifacts_in[i];
        if (!def->is_optional && json_object_get(bound, def->name) == NULL) {
            refuse_missing(def, trouble);
        }
    }
    const char *name;
    json_t *list;
    json_object_foreach((json_t *)bound, name, list)
    {
        if (component_artifact_in(root, name) == NULL) {
            refuse_unknown(root, name, trouble);
        }
    }
}

static int tell(struct buf *trouble, struct err *err)
{
    int result = trouble->len == 0 ? 0 : err_set(err, ERR_INVALID, "%s", buf_str(trouble));
    buf_done(trouble);
    return result;
}

int plan_check_artifacts(const struct plan *plan, const json_t *bound, struct err *err)
{
    struct buf trouble;
    buf_init(&trouble, MAX_TROUBLE);
    check_names(plan->root, bound, &trouble);
    return tell(&trouble, err);
}

json_t *plan_bind_artifacts(const struct plan *plan, const json_t *given, struct err *err)
{
    if (given != NULL && !json_is_object(given) && !json_is_null(given)) {
        err_set(err, ERR_INVALID, "input_artifacts: expected an object of name: {\"uri\": ...}");
        return NULL;
    }
    struct buf trouble;
    buf_init(&trouble, MAX_TROUBLE);
    json_t *out CLEANUP(json_decrefp) = json_object();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)given, name, value)
    {
        const struct artifact_def *def = component_artifact_in(plan->root, name);
        if (def != NULL && !json_is_null(value)) {
            take_given(def, value, out, &trouble);
        } else if (def == NULL) {
            json_object_set_new(out, name, json_array());
        }
    }
    check_names(plan->root, out, &trouble);
    return tell(&trouble, err) == 0 ? STEAL(out) : NULL;
}
