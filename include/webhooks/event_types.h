/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue of events: every type that may be delivered, with the members of its data. It is
 * what the API serves, what the documents list and what tests hold deliveries against.
 *
 * Whoever emits an event gives it an id that follows from what it reports, so that the same thing
 * never has two: id_derive(parent, name), where the parent is the run, recurring run, trigger,
 * subscription or delivery that it is about. For types that happen once to their parent the name
 * is the type: "run.finished", and "trigger.fired" in the namespace of the run that was started.
 */
#ifndef WEBHOOKS_EVENT_TYPES_H
#define WEBHOOKS_EVENT_TYPES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum event_member_flag {
    EVENT_REQUIRED = 1, /* always there, unless it was left out (see envelope.h) */
    EVENT_THIN = 2,     /* also in thin payloads: ids and states */
};

/* One member of an event's data. */
struct event_member {
    const char *name, *type; /* of JSON: "string", "integer", "boolean", "object" */
    unsigned flags;
    const char *meaning;
    const char *example; /* JSON text */
    const char *values;  /* those of a string, with spaces between; NULL: any */
};

/* Members that several types share. */
struct event_group {
    const struct event_member *members;
    size_t count;
};

#define EVENT_GROUPS_MAX 3
struct event_type {
    const char *type;
    int version; /* grows when a member goes or changes its meaning, never when one is added */
    const char *meaning;
    struct event_group groups[EVENT_GROUPS_MAX]; /* empty ones at the end */
};

/* In the order of the documents. */
const struct event_type *event_types(size_t *count_out);
/* NULL: there is none of this name. */
const struct event_type *event_type_find(const char *name);
/* The i-th member, NULL behind the last; and the one of this name, or NULL. */
const struct event_member *event_type_member(const struct event_type *type, size_t i);
const struct event_member *event_type_member_named(const struct event_type *type, const char *name);

/* What each of these returns is a new reference. */

/* {"type","version","meaning","members":[{"name","type","required","thin","meaning","values"?}],
 *  "schema": path, "example": a message body}. */
json_t *event_type_json(const struct event_type *type);
/*
 * JSON Schema (2020-12) of the body that the format "standard" delivers; #/$defs/data and
 * #/$defs/thin are those of its data, full and thin.
 */
json_t *event_type_schema(const struct event_type *type);
/* An event as the stream has it: {"id","type","time_us","data"}. */
json_t *event_type_example(const struct event_type *type);

#endif
