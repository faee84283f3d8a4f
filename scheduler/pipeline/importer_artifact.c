/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The artifact that an importer records: its URI and metadata with placeholders resolved
 * (kfp-semantics.md 11). In metadata they may stand in keys and values; a value that is nothing but
 * one placeholder keeps the kind of what it stands for.
 */
#include "scheduler/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "pipeline/artifact_uri.h"
#include "pipeline/placeholder.h"

#define MAX_TEXT ((size_t)1024 * 1024)
#define MAX_DEPTH 64

struct import {
    const struct component *component;
    const json_t *params;
    const struct run_context *run;
    const char *where; /* for errors */
    struct err *err;
};

/* Borrowed; NULL without error: an optional input that has no value. */
static const json_t *param_value(struct import *im, const char *name, bool *failed)
{
    const json_t *value = json_object_get(im->params, name);
    *failed = false;
    if (value == NULL && component_param_in(im->component, name) == NULL) {
        err_set(im->err, ERR_INVALID,
            "%s: refers to the input parameter '%s', which the importer does not have", im->where,
            name);
        *failed = true;
    }
    return value == NULL || json_is_null(value) ? NULL : value;
}

static int write_ref(void *owner, const struct ref *ref, struct buf *out)
{
    struct import *im = owner;
    if (ref->kind == REF_RUN) {
        return run_fact_write(im->run, ref->fact, out);
    }
    if (ref->kind != REF_IN_PARAM) {
        err_set(im->err, ERR_INVALID,
            "%s: an importer can refer to input parameters and to the run, and to nothing else",
            im->where);
        return -1;
    }
    bool failed;
    const json_t *value = param_value(im, ref->name, &failed);
    if (value == NULL) {
        return failed ? -1
                      : err_set(im->err, ERR_INVALID,
                            "%s: refers to the input parameter '%s', which has no value", im->where,
                            ref->name);
    }
    value_text(value, out);
    return 1;
}

/* malloc'd, NULL and err. */
static char *resolve_text(struct import *im, const char *text, size_t len)
{
    struct buf out;
    buf_init(&out, MAX_TEXT);
    char *result = NULL;
    if (refs_replace(text, len, write_ref, im, &out, NULL) >= 0 &&
        buf_check(&out, im->where, im->err) == 0) {
        result = xstrdup(buf_str(&out));
    }
    buf_done(&out);
    return result;
}

static json_t *resolve(struct import *im, const json_t *value, int depth);

static json_t *resolve_string(struct import *im, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    struct ref ref;
    if (ref_parse(text, text + len, &ref) == len && len > 0 && ref.kind == REF_IN_PARAM) {
        bool failed;
        const json_t *whole = param_value(im, ref.name, &failed);
        return failed ? NULL : whole == NULL ? json_null() : json_deep_copy(whole);
    }
    char *resolved CLEANUP(cleanup_free) = resolve_text(im, text, len);
    return resolved == NULL ? NULL : json_string(resolved);
}

/* Members without a value are left out: there is no null in metadata. */
static json_t *resolve_object(struct import *im, const json_t *value, int depth)
{
    json_t *out CLEANUP(json_decrefp) = json_object();
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member)
    {
        char *name CLEANUP(cleanup_free) = resolve_text(im, key, strlen(key));
        json_t *resolved = name == NULL ? NULL : resolve(im, member, depth + 1);
        if (resolved == NULL) {
            return NULL;
        }
        if (json_object_get(out, name) != NULL) {
            json_decref(resolved);
            err_set(im->err, ERR_INVALID, "%s: two of its keys become '%s'", im->where, name);
            return NULL;
        }
        if (json_is_null(resolved)) {
            json_decref(resolved);
        } else {
            json_object_set_new(out, name, resolved);
        }
    }
    return STEAL(out);
}

static json_t *resolve(struct import *im, const json_t *value, int depth)
{
    if (depth > MAX_DEPTH) {
        err_set(im->err, ERR_LIMIT, "%s: nested deeper than %d levels", im->where, MAX_DEPTH);
        return NULL;
    }
    if (json_is_string(value)) {
        return resolve_string(im, value);
    }
    if (json_is_object(value)) {
        return resolve_object(im, value, depth);
    }
    if (!json_is_array(value)) {
        return json_deep_copy(value);
    }
    json_t *out CLEANUP(json_decrefp) = json_array();
    size_t i;
    json_t *item;
    json_array_foreach((json_t *)value, i, item)
    {
        json_t *resolved = resolve(im, item, depth + 1);
        if (resolved == NULL) {
            return NULL;
        }
        json_array_append_new(out, resolved);
    }
    return STEAL(out);
}

/* ---- the URI ---- */

static char *import_uri(struct import *im)
{
    const struct importer *importer = im->component->importer;
    if (importer->uri_input == NULL) {
        return resolve_text(im, importer->uri == NULL ? "" : importer->uri,
            importer->uri == NULL ? 0 : strlen(importer->uri));
    }
    const json_t *value = json_object_get(im->params, importer->uri_input);
    if (!json_is_string(value)) {
        err_set(im->err, ERR_INVALID, "%s: the input '%s' that has it %s", im->where,
            importer->uri_input, value == NULL ? "has no value" : "is not a string");
        return NULL;
    }
    return xstrdup(json_string_value(value));
}

/* ---- the artifact ---- */

static json_t *import_metadata(struct import *im, const struct artifact_def *def)
{
    json_t *metadata CLEANUP(json_decrefp) =
        def->metadata != NULL ? json_deep_copy(def->metadata) : json_object();
    if (im->component->importer->metadata != NULL) {
        json_t *own CLEANUP(json_decrefp) = resolve(im, im->component->importer->metadata, 0);
        if (own == NULL) {
            return NULL;
        }
        json_object_update(metadata, own);
    }
    if (json_object_get(metadata, "display_name") == NULL) {
        json_object_set_new(metadata, "display_name", json_string(def->name));
    }
    return STEAL(metadata);
}

json_t *importer_artifact(const struct component *component, const json_t *params,
    const struct run_context *run, struct err *err)
{
    struct err local = ERR_INIT;
    struct import im = {.component = component,
        .params = params,
        .run = run,
        .where = "artifactUri",
        .err = err != NULL ? err : &local};
    const struct artifact_def *def = &component->artifacts_out[0];
    char *uri CLEANUP(cleanup_free) = import_uri(&im);
    if (uri == NULL || artifact_uri_check(uri, def->schema_title, im.err) != 0) {
        return NULL;
    }
    im.where = "metadata";
    json_t *metadata = import_metadata(&im, def);
    if (metadata == NULL) {
        return NULL;
    }
    json_t *artifact = json_object();
    json_object_set_new(artifact, "name", json_string(def->name));
    json_object_set_new(
        artifact, "type", def->type == NULL ? json_object() : json_deep_copy(def->type));
    json_object_set_new(artifact, "uri", json_string(uri));
    json_object_set_new(artifact, "metadata", metadata);
    return artifact;
}
