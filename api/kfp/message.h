/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading protobuf's JSON mapping by table. Names may be snake_case or lowerCamel, enums names or
 * numbers, 64-bit integers numbers or text; null is unset; unknown names, wrong kinds and two
 * members of one oneof are refused with the place.
 *
 * What comes out is plain: snake_case names, enum names, integers, instants as microseconds.
 */
#ifndef API_KFP_MESSAGE_H
#define API_KFP_MESSAGE_H

#include <jansson.h>

struct err;
struct kfp_message;

enum kfp_kind {
    KFP_STRING,
    KFP_BOOL,
    KFP_I32,
    KFP_I64,
    KFP_TIME, /* RFC 3339 -> integer, us */
    KFP_ENUM, /* -> name */
    KFP_MESSAGE,
    KFP_STRUCT,  /* google.protobuf.Struct: any object */
    KFP_TAGS,    /* map<string, string> */
    KFP_OUTPUT,  /* the server's to set: accepted, and dropped */
    KFP_STRINGS, /* repeated string */
    KFP_INTS,    /* repeated integer of either size */
    KFP_MESSAGES,
};

struct kfp_enum {
    const char *name; /* NULL ends the list */
    int number;
};

struct kfp_field {
    const char *name; /* snake_case; NULL ends the list */
    enum kfp_kind kind;
    const struct kfp_message *message;
    const struct kfp_enum *values;
    int oneof; /* fields with the same number > 0 exclude each other */
};

struct kfp_message {
    const struct kfp_field *fields;
};

/* `where` is the path so far ("" at the top). New reference, or NULL. */
json_t *kfp_read(
    const struct kfp_message *message, const json_t *in, const char *where, struct err *err);

#endif
