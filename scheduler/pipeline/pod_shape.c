/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' JSON as parameters give it: tolerations, node affinities, resource claims. The API
 * server would refuse a wrong member of the pod; here it is said which parameter it came from.
 */
#include "pipeline/pod_config.h"

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include <string.h>

#define MAX_ITEMS 1000

static const struct pod_shape requirement[] = {
    {"key", POD_SHAPE_TEXT, NULL},
    {"operator", POD_SHAPE_TEXT, NULL},
    {"values", POD_SHAPE_TEXTS, NULL},
    {NULL, POD_SHAPE_TEXT, NULL},
};
static const struct pod_shape term[] = {
    {"matchExpressions", POD_SHAPE_OBJECTS, requirement},
    {"matchFields", POD_SHAPE_OBJECTS, requirement},
    {NULL, POD_SHAPE_TEXT, NULL},
};
static const struct pod_shape preferred[] = {
    {"weight", POD_SHAPE_INTEGER, NULL},
    {"preference", POD_SHAPE_OBJECT, term},
    {NULL, POD_SHAPE_TEXT, NULL},
};
static const struct pod_shape selector[] = {
    {"nodeSelectorTerms", POD_SHAPE_OBJECTS, term},
    {NULL, POD_SHAPE_TEXT, NULL},
};
const struct pod_shape pod_shape_node_affinity[] = {
    {"requiredDuringSchedulingIgnoredDuringExecution", POD_SHAPE_OBJECT, selector},
    {"preferredDuringSchedulingIgnoredDuringExecution", POD_SHAPE_OBJECTS, preferred},
    {NULL, POD_SHAPE_TEXT, NULL},
};
const struct pod_shape pod_shape_toleration[] = {
    {"key", POD_SHAPE_TEXT, NULL},
    {"operator", POD_SHAPE_TEXT, NULL},
    {"value", POD_SHAPE_TEXT, NULL},
    {"effect", POD_SHAPE_TEXT, NULL},
    {"tolerationSeconds", POD_SHAPE_INTEGER, NULL},
    {NULL, POD_SHAPE_TEXT, NULL},
};
const struct pod_shape pod_shape_resource_claim[] = {
    {"name", POD_SHAPE_TEXT, NULL},
    {"resourceClaimName", POD_SHAPE_TEXT, NULL},
    {"resourceClaimTemplateName", POD_SHAPE_TEXT, NULL},
    {NULL, POD_SHAPE_TEXT, NULL},
};

json_t *pod_shape_open(json_t *value, const char *where, struct err *err)
{
    if (!json_is_string(value)) {
        return json_incref(value);
    }
    json_t *inner = jread_text(json_string_value(value), json_string_length(value), where, err);
    return inner;
}

static json_t *read_texts(const json_t *value, const char *where, struct err *err)
{
    json_t *out CLEANUP(json_decrefp) = json_array();
    size_t i;
    const json_t *one;
    json_array_foreach(value, i, one)
    {
        if (!json_is_string(one)) {
            err_set(err, ERR_INVALID, "%s: expected a list of texts", where);
            return NULL;
        }
        json_array_append_new(out, json_string(json_string_value(one)));
    }
    return STEAL(out);
}

static json_t *read_objects(
    const struct pod_shape *shape, const json_t *value, const char *where, struct err *err)
{
    json_t *out CLEANUP(json_decrefp) = json_array();
    size_t i;
    const json_t *one;
    json_array_foreach(value, i, one)
    {
        char *here CLEANUP(cleanup_free) = xasprintf("%s[%zu]", where, i);
        json_t *item = pod_shape_read(shape, one, here, err);
        if (item == NULL) {
            return NULL;
        }
        json_array_append_new(out, item);
    }
    return STEAL(out);
}

static json_t *read_integer(const json_t *value)
{
    double number = json_number_value(value);
    return json_integer((json_int_t)number);
}

static json_t *read_member(
    const struct pod_shape *field, const json_t *value, const char *where, struct err *err)
{
    static const char *const expected[] = {
        [POD_SHAPE_TEXT] = "a text",
        [POD_SHAPE_INTEGER] = "a whole number",
        [POD_SHAPE_TEXTS] = "a list of texts",
        [POD_SHAPE_OBJECT] = "an object",
        [POD_SHAPE_OBJECTS] = "a list of objects",
    };
    double number = json_number_value(value);
    bool is_list = json_is_array(value) && json_array_size(value) <= MAX_ITEMS;
    if (field->kind == POD_SHAPE_TEXT && json_is_string(value)) {
        return json_string(json_string_value(value));
    }
    if (field->kind == POD_SHAPE_INTEGER && json_is_number(value) && number >= -1e15 &&
        number <= 1e15 && number == (double)(int64_t)number) {
        return read_integer(value);
    }
    if (field->kind == POD_SHAPE_TEXTS && is_list) {
        return read_texts(value, where, err);
    }
    if (field->kind == POD_SHAPE_OBJECT && json_is_object(value)) {
        return pod_shape_read(field->inner, value, where, err);
    }
    if (field->kind == POD_SHAPE_OBJECTS && is_list) {
        return read_objects(field->inner, value, where, err);
    }
    err_set(err, ERR_INVALID, "%s: expected %s", where, expected[field->kind]);
    return NULL;
}

json_t *pod_shape_read(
    const struct pod_shape *shape, const json_t *value, const char *where, struct err *err)
{
    if (!json_is_object(value)) {
        err_set(err, ERR_INVALID, "%s: expected an object", where);
        return NULL;
    }
    json_t *out CLEANUP(json_decrefp) = json_object();
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)value, key, member)
    {
        const struct pod_shape *field = shape;
        while (field->name != NULL && !tree_name_is(key, field->name)) {
            field++;
        }
        if (json_is_null(member)) {
            continue;
        }
        char *here CLEANUP(cleanup_free) = xasprintf("%s: %.100s", where, key);
        if (field->name == NULL) {
            err_set(err, ERR_INVALID, "%s: Kubernetes has no such field here", here);
            return NULL;
        }
        json_t *read = read_member(field, member, here, err);
        if (read == NULL) {
            return NULL;
        }
        json_object_set_new(out, field->name, read);
    }
    return STEAL(out);
}
