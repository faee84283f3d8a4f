/* SPDX-License-Identifier: Apache-2.0 */
/* Types of KFP 1 component files, and their defaults, which are written as texts. */
#include "pipeline/component_v1.h"

#include "base/err.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "pipeline/value.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    enum value_type type;
} param_types[] = {
    {"integer", VALUE_INTEGER},
    {"int", VALUE_INTEGER},
    {"double", VALUE_DOUBLE},
    {"float", VALUE_DOUBLE},
    {"string", VALUE_STRING},
    {"str", VALUE_STRING},
    {"text", VALUE_STRING},
    {"bool", VALUE_BOOLEAN},
    {"boolean", VALUE_BOOLEAN},
    {"dict", VALUE_STRUCT},
    {"jsonobject", VALUE_STRUCT},
    {"list", VALUE_LIST},
    {"jsonarray", VALUE_LIST},
};

static const struct {
    const char *name, *title;
} artifact_types[] = {
    {"artifact", "system.Artifact"},
    {"model", "system.Model"},
    {"dataset", "system.Dataset"},
    {"metrics", "system.Metrics"},
    {"classificationmetrics", "system.ClassificationMetrics"},
    {"slicedclassificationmetrics", "system.SlicedClassificationMetrics"},
    {"html", "system.HTML"},
    {"markdown", "system.Markdown"},
};

/* "typing.List[str]" -> "List"; "Optional[int]" -> "int". */
static const char *short_name(struct pool *pool, const char *text)
{
    for (;;) {
        text += strspn(text, " ");
        if (str_starts(text, "typing.")) {
            text += strlen("typing.");
        }
        size_t len = strlen(text);
        if (!str_starts(text, "Optional[") || text[len - 1] != ']') {
            return pool_strndup(pool, text, strcspn(text, "["));
        }
        text = pool_strndup(pool, text + strlen("Optional["), len - strlen("Optional[]"));
    }
}

/* google.VertexModel: taken as it is. */
static bool is_google_type(const char *name)
{
    const char *rest = name + strlen("google.");
    if (!str_starts(name, "google.") || *rest == '\0') {
        return false;
    }
    while (isalpha((unsigned char)*rest)) {
        rest++;
    }
    return *rest == '\0';
}

void v1_type_read(
    struct v1_component *v, const struct tree *type, const struct path *path, struct v1_type *out)
{
    *out = (struct v1_type){.kind = V1_ARTIFACT, .schema_title = "system.Artifact"};
    if (type == NULL || tree_is_null(type) || type->kind == TREE_MAP) {
        return;
    }
    if (type->kind == TREE_LIST) {
        complain(v->d->complaints, tree_place(type), path,
            "expected the name of a type such as Integer, String, Dataset, or a map");
        return;
    }
    const char *name = short_name(v->d->pool, type->text);
    if (strcmp(name, "PipelineTaskFinalStatus") == 0) {
        *out = (struct v1_type){.kind = V1_FINAL_STATUS, .type = VALUE_TASK_FINAL_STATUS};
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(param_types); i++) {
        if (strcasecmp(name, param_types[i].name) == 0) {
            *out = (struct v1_type){.kind = V1_PARAM, .type = param_types[i].type};
            return;
        }
    }
    if (is_google_type(name)) {
        out->schema_title = name;
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(artifact_types); i++) {
        if (strcasecmp(name, artifact_types[i].name) == 0) {
            out->schema_title = artifact_types[i].title;
        }
    }
}

/* ---- defaults ---- */

static struct tree *plain(struct v1_component *v, struct place place, const char *text)
{
    struct tree *node = v1_text(v, place, text);
    node->is_plain = true;
    return node;
}

/* A text, or a number that was written without quotes. */
static struct tree *number_default(
    struct v1_component *v, enum value_type type, const struct tree *node)
{
    const char *text = node->text + strspn(node->text, " \t\r\n");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL) {
        len--;
    }
    text = pool_strndup(v->d->pool, text, len);
    json_t *number = NULL;
    if (!tree_number(text, &number)) {
        return NULL;
    }
    double value = json_number_value(number);
    json_decref(number);
    if (type == VALUE_INTEGER && value != trunc(value)) {
        return NULL;
    }
    return plain(v, tree_place(node), text);
}

/* JSON in a text, or the value itself in YAML. */
static struct tree *json_default(struct v1_component *v, enum value_type type, struct tree *node)
{
    enum tree_kind kind = type == VALUE_LIST ? TREE_LIST : TREE_MAP;
    if (node->kind != TREE_SCALAR) {
        return node->kind == kind ? node : NULL;
    }
    struct err err = ERR_INIT;
    json_t *json CLEANUP(json_decrefp) = jread_text(node->text, node->count, "default", &err);
    if (json == NULL || (kind == TREE_LIST ? !json_is_array(json) : !json_is_object(json))) {
        return NULL;
    }
    struct tree *value = tree_from_json(json, v->d->pool, v->d->complaints);
    if (value != NULL) {
        value->line = node->line;
        value->column = node->column;
    }
    return value;
}

static struct tree *typed_default(struct v1_component *v, enum value_type type, struct tree *node)
{
    bool truth;
    if (type == VALUE_LIST || type == VALUE_STRUCT) {
        return json_default(v, type, node);
    }
    if (node->kind != TREE_SCALAR) {
        return NULL;
    }
    if (type == VALUE_BOOLEAN) {
        return value_truth_text(node->text, &truth)
                   ? plain(v, tree_place(node), truth ? "true" : "false")
                   : NULL;
    }
    if (type == VALUE_INTEGER || type == VALUE_DOUBLE) {
        return number_default(v, type, node);
    }
    return v1_text(v, tree_place(node), node->text);
}

struct tree *v1_default_read(
    struct v1_component *v, const struct v1_port *input, struct tree *node, const struct path *path)
{
    if (node == NULL || tree_is_null(node)) {
        return NULL;
    }
    enum value_type type = input->type.kind == V1_PARAM ? input->type.type : VALUE_STRING;
    struct tree *value = typed_default(v, type, node);
    if (value == NULL) {
        static const char *const rules[] = {
            [VALUE_STRING] = "a text",
            [VALUE_INTEGER] = "a whole number, such as '5'",
            [VALUE_DOUBLE] = "a number, such as '0.5'",
            [VALUE_BOOLEAN] = "one of y, yes, t, true, on, 1, n, no, f, false, off, 0",
            [VALUE_LIST] = "a JSON array, such as '[1, 2]'",
            [VALUE_STRUCT] = "a JSON object, such as '{\"a\": 1}'",
        };
        complain(v->d->complaints, tree_place(node), path,
            "the default of an input of this type must be %s", rules[type]);
    }
    return value;
}
