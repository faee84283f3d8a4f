/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON (jansson) with errors that name the place: `where` is the path of the object so
 * far ("trigger.cron_schedule", "" at the top); a wrong kind raises ERR_INVALID with
 * "trigger.cron_schedule.cron: expected a string". Absent or null members leave *out untouched
 * and succeed, unless the function's name says `need`.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

#include "base/util.h"

struct buf;
struct err;

/* Parse text; depth is bounded by jansson, duplicate keys are refused; message names line and column. */
json_t *jread_text(const char *text, size_t len, const char *what, struct err *err) MUST_CHECK;
/*
 * The same for what Python's json module wrote: its NaN, Infinity and -Infinity, which JSON has no
 * way to say, become strings with this mark in front.
 */
#define JSON_WORD_MARK "\xEE\x80\x80"
json_t *jread_python(const char *text, size_t len, const char *what, struct err *err) MUST_CHECK;

int jread_string(const json_t *obj, const char *where, const char *key, const char **out,
    struct err *err) MUST_CHECK; /* borrowed */
int jread_need_string(const json_t *obj, const char *where, const char *key, const char **out,
    struct err *err) MUST_CHECK; /* absent or empty is an error too */
/* Accepts a number or a decimal string (int64 travels as a string in proto3 JSON). */
int jread_i64(const json_t *obj, const char *where, const char *key, int64_t min, int64_t max,
    int64_t *out, struct err *err) MUST_CHECK;
int jread_bool(const json_t *obj, const char *where, const char *key, bool *out, struct err *err)
    MUST_CHECK;
int jread_object(const json_t *obj, const char *where, const char *key, const json_t **out,
    struct err *err) MUST_CHECK; /* borrowed */
int jread_array(const json_t *obj, const char *where, const char *key, const json_t **out,
    struct err *err) MUST_CHECK; /* borrowed */
/* RFC 3339 text -> microseconds. */
int jread_time(const json_t *obj, const char *where, const char *key, int64_t *us_out,
    struct err *err) MUST_CHECK;
/* ERR_INVALID naming the first key that is not in the NULL-terminated list. */
int jread_only(const json_t *obj, const char *where, const char *const *keys, struct err *err)
    MUST_CHECK;

/* Compact, keys sorted. malloc'd. Integral reals print without ".0". */
char *jtext(const json_t *value);
char *jtext_pretty(const json_t *value);

/* Get a string member or fallback (never fails; for our own records). */
const char *jget_str(const json_t *obj, const char *key, const char *fallback);
int64_t jget_i64(const json_t *obj, const char *key, int64_t fallback);
bool jget_bool(const json_t *obj, const char *key, bool fallback);

/* Set only if value is not NULL / not empty. */
void jset_str(json_t *obj, const char *key, const char *value);
/* JSON as text: append `,"key":"text"`; what stands between the quotes of a string. */
void jadd_str(struct buf *out, const char *key, const char *text);
void jadd_bare(struct buf *out, const char *text);
/* "2026-11-23T09:30:00Z". */
void jset_time(json_t *obj, const char *key, int64_t us);

/* For CLEANUP, jansson has json_decrefp(json_t **). */

#endif
