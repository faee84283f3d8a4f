/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of the catalogue: JSON Schemas, examples, the list that the API serves. */
#include "webhooks/event_types.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/out/envelope.h"

#define EXAMPLE_NAMESPACE "4f9c1b1e-7c1d-4e0a-9a53-0d9b1c4f7e21"
#define EXAMPLE_US INT64_C(1764408780000000)

static json_t *values_json(const char *values)
{
    json_t *out = json_array();
    for (const char *at = values; *at != '\0';) {
        size_t len = strcspn(at, " ");
        json_array_append_new(out, json_stringn(at, len));
        at += len + (at[len] == ' ');
    }
    return out;
}

static json_t *member_schema(const struct event_member *member)
{
    json_t *out = json_pack("{s:s,s:s}", "type", member->type, "description", member->meaning);
    if (member->values != NULL) {
        json_object_set_new(out, "enum", values_json(member->values));
    }
    return out;
}

/* A required member may have been left out for its size: then there is a mark in its place. */
static json_t *required_or_left_out(const char *name)
{
    CLEANUP(cleanup_free) char *mark = xasprintf(EVENT_LEFT_OUT, name);
    return json_pack("{s:[{s:[s]},{s:[s]}]}", "anyOf", "required", name, "required", mark);
}

/* The whole data, or what thin payloads have of it: those have no other member of the full one. */
static json_t *data_schema(const struct event_type *type, bool is_thin)
{
    json_t *properties = json_object(), *required = json_array(), *all = json_array();
    json_t *full_only = json_array();
    const struct event_member *member;
    for (size_t i = 0; (member = event_type_member(type, i)) != NULL; i++) {
        bool is_kept = (member->flags & EVENT_THIN) != 0;
        if (is_thin && !is_kept) {
            json_array_append_new(full_only, json_string(member->name));
            continue;
        }
        json_object_set_new(properties, member->name, member_schema(member));
        if (!is_kept) {
            CLEANUP(cleanup_free) char *mark = xasprintf(EVENT_LEFT_OUT, member->name);
            json_object_set_new(properties, mark, json_pack("{s:b}", "const", 1));
        }
        if ((member->flags & EVENT_REQUIRED) == 0) {
            continue;
        }
        if (is_kept) {
            json_array_append_new(required, json_string(member->name));
        } else {
            json_array_append_new(all, required_or_left_out(member->name));
        }
    }
    json_t *out = json_pack(
        "{s:s,s:o,s:o}", "type", "object", "properties", properties, "required", required);
    if (json_array_size(all) > 0) {
        json_object_set(out, "allOf", all);
    }
    if (json_array_size(full_only) > 0) {
        json_object_set_new(out, "propertyNames", json_pack("{s:{s:O}}", "not", "enum", full_only));
    }
    json_decref(all);
    json_decref(full_only);
    return out;
}

json_t *event_type_schema(const struct event_type *type)
{
    CLEANUP(cleanup_free)
    char *id = xasprintf("urn:rondo:event:%s:%d", type->type, type->version);
    json_t *properties = json_pack("{s:{s:s,s:s},s:{s:s},s:{s:s,s:s},s:{s:i},s:{s:[{s:s},{s:s}]}}",
        "id", "type", "string", "format", "uuid", "type", "const", type->type, "timestamp", "type",
        "string", "format", "date-time", "version", "const", type->version, "data", "anyOf", "$ref",
        "#/$defs/data", "$ref", "#/$defs/thin");
    json_t *body = json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:[s,s,s,s,s],s:{s:o,s:o}}", "$schema",
        "https://json-schema.org/draft/2020-12/schema", "$id", id, "title", type->type,
        "description", type->meaning, "type", "object", "properties", properties, "required", "id",
        "type", "timestamp", "version", "data", "$defs", "data", data_schema(type, false), "thin",
        data_schema(type, true));
    json_t *example CLEANUP(json_decrefp) = event_type_example(type);
    json_object_set_new(body, "examples", json_pack("[o]", envelope_standard_body(example)));
    return body;
}

json_t *event_type_example(const struct event_type *type)
{
    struct id id;
    json_t *data = json_object();
    const struct event_member *member;
    for (size_t i = 0; (member = event_type_member(type, i)) != NULL; i++) {
        json_object_set_new(data, member->name, json_loads(member->example, JSON_DECODE_ANY, NULL));
    }
    id_derive(&id, EXAMPLE_NAMESPACE, type->type);
    return json_pack("{s:s,s:s,s:I,s:o}", "id", id.text, "type", type->type, "time_us",
        (json_int_t)EXAMPLE_US, "data", data);
}

json_t *event_type_json(const struct event_type *type)
{
    json_t *members = json_array();
    const struct event_member *member;
    for (size_t i = 0; (member = event_type_member(type, i)) != NULL; i++) {
        json_t *one = json_pack("{s:s,s:s,s:b,s:b,s:s}", "name", member->name, "type", member->type,
            "required", (member->flags & EVENT_REQUIRED) != 0, "thin",
            (member->flags & EVENT_THIN) != 0, "meaning", member->meaning);
        if (member->values != NULL) {
            json_object_set_new(one, "values", values_json(member->values));
        }
        json_array_append_new(members, one);
    }
    json_t *example CLEANUP(json_decrefp) = event_type_example(type);
    CLEANUP(cleanup_free) char *path = xasprintf(EVENT_SCHEMA_PATH, type->type);
    return json_pack("{s:s,s:i,s:s,s:o,s:s,s:o}", "type", type->type, "version", type->version,
        "meaning", type->meaning, "members", members, "schema", path, "example",
        envelope_standard_body(example));
}
