/* SPDX-License-Identifier: Apache-2.0 */
/* int(), string() and the other functions named after types. */
#include "webhooks/cel/function.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/cel/text.h"
#include "webhooks/cel/time.h"

#define NUMBER_TEXT_MAX 400 /* the longest double without an exponent has 309 digits */

/* What text cannot be: "cannot convert 'x' to an int". */
static struct cel_value fail_text(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *text, const char *what)
{
    struct buf shown;
    buf_init(&shown, 100);
    cel_show(text, &shown);
    struct cel_value error = cel_fail(run, node, "cannot convert %s to %s", buf_str(&shown), what);
    buf_done(&shown);
    return error;
}

static struct cel_value fail_range(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *value, const char *to)
{
    struct buf shown;
    buf_init(&shown, 100);
    cel_show(value, &shown);
    struct cel_value error =
        cel_fail(run, node, "range error: %s does not fit %s", buf_str(&shown), to);
    buf_done(&shown);
    return error;
}

/* The whole text is a sign, if allowed, and digits. */
static bool is_decimal(const struct cel_value *text, bool is_signed)
{
    size_t at = is_signed && text->len > 0 && (text->text[0] == '-' || text->text[0] == '+');
    if (at == text->len || text->len > NUMBER_TEXT_MAX) {
        return false;
    }
    return strspn(text->text + at, "0123456789") == text->len - at;
}

struct cel_value cel_call_int(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    const struct cel_value *from = &args[0];
    int64_t out = from->integer; /* of an int and a timestamp */
    bool fits = true;
    if (from->kind == CEL_UINT) {
        fits = from->natural <= INT64_MAX;
    } else if (from->kind == CEL_DOUBLE) {
        fits = from->real > -0x1p63 && from->real < 0x1p63; /* no NaN either */
        out = fits ? (int64_t)from->real : 0;
    } else if (from->kind == CEL_STRING) {
        if (!is_decimal(from, true)) {
            return fail_text(run, node, from, "an int");
        }
        errno = 0;
        out = strtoll(from->text, NULL, 10);
        fits = errno == 0;
    }
    return fits ? cel_int(out) : fail_range(run, node, from, "an int");
}

struct cel_value cel_call_uint(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    const struct cel_value *from = &args[0];
    struct cel_value out = {.kind = CEL_UINT, .natural = from->natural};
    bool fits = true;
    if (from->kind == CEL_INT) {
        fits = from->integer >= 0;
    } else if (from->kind == CEL_DOUBLE) {
        fits = from->real >= 0 && from->real < 0x1p64;
        out.natural = fits ? (uint64_t)from->real : 0;
    } else if (from->kind == CEL_STRING) {
        if (!is_decimal(from, false)) {
            return fail_text(run, node, from, "a uint");
        }
        errno = 0;
        out.natural = strtoull(from->text, NULL, 10);
        fits = errno == 0;
    }
    return fits ? out : fail_range(run, node, from, "a uint");
}

/* Decimal, or the names of what is no number; no hexadecimal, no blanks. */
static bool read_double(const struct cel_value *text, double *out)
{
    static const char *const names[] = {"nan", "inf", "infinity"};
    const char *s = text->text;
    if (text->len == 0 || text->len > NUMBER_TEXT_MAX || strlen(s) != text->len) {
        return false;
    }
    const char *digits = s + (*s == '-' || *s == '+');
    bool is_fine = strspn(digits, "0123456789.eE+-") == strlen(digits);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        is_fine |= strcasecmp(digits, names[i]) == 0;
    }
    char *end;
    *out = strtod(s, &end);
    return is_fine && *end == '\0' && end != s;
}

struct cel_value cel_call_double(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    struct cel_value out = {.kind = CEL_DOUBLE, .real = args[0].real};
    if (args[0].kind == CEL_INT) {
        out.real = (double)args[0].integer;
    } else if (args[0].kind == CEL_UINT) {
        out.real = (double)args[0].natural;
    } else if (args[0].kind == CEL_STRING && !read_double(&args[0], &out.real)) {
        return fail_text(run, node, &args[0], "a double");
    }
    return out;
}

struct cel_value cel_call_string(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    char text[CEL_TIME_TEXT_MAX] = "";
    switch (args[0].kind) {
    case CEL_STRING:
        return args[0];
    case CEL_BYTES:
        if (!cel_spend(run, args[0].len / 16)) {
            return cel_fail_spent(run, node);
        }
        return utf8_is_valid(args[0].text, args[0].len)
                   ? (struct cel_value){.kind = CEL_STRING,
                         .text = args[0].text,
                         .len = args[0].len}
                   : cel_fail(run, node, "invalid UTF-8 in bytes, cannot convert to string");
    case CEL_BOOL:
        snprintf(text, sizeof text, "%s", args[0].truth ? "true" : "false");
        break;
    case CEL_INT:
        snprintf(text, sizeof text, "%" PRId64, args[0].integer);
        break;
    case CEL_UINT:
        snprintf(text, sizeof text, "%" PRIu64, args[0].natural);
        break;
    case CEL_DOUBLE:
        cel_number_text(args[0].real, text);
        break;
    case CEL_TIMESTAMP:
        cel_timestamp_text(&args[0], text);
        break;
    default:
        cel_duration_text(&args[0], text);
        break;
    }
    return cel_text_value(run, node, CEL_STRING, text, strlen(text));
}

struct cel_value cel_call_bool(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    static const char *const names[][5] = {
        {"0", "f", "F", "FALSE", "False"}, {"1", "t", "T", "TRUE", "True"}};
    if (args[0].kind == CEL_BOOL) {
        return args[0];
    }
    for (size_t truth = 0; truth < 2; truth++) {
        bool is_it = strcmp(args[0].text, truth ? "true" : "false") == 0;
        for (size_t i = 0; i < ARRAY_LEN(names[truth]); i++) {
            is_it |= strcmp(args[0].text, names[truth][i]) == 0;
        }
        if (is_it && strlen(args[0].text) == args[0].len) {
            return cel_truth(truth);
        }
    }
    return fail_text(run, node, &args[0], "a bool");
}

struct cel_value cel_call_bytes(struct cel_run *run UNUSED, const struct cel_node *node UNUSED,
    const struct cel_value *args, size_t count UNUSED)
{
    return (struct cel_value){.kind = CEL_BYTES, .text = args[0].text, .len = args[0].len};
}

/* It hides a type from a checker of types, of which there is none here. */
struct cel_value cel_call_dyn(struct cel_run *run UNUSED, const struct cel_node *node UNUSED,
    const struct cel_value *args, size_t count UNUSED)
{
    return args[0];
}

struct cel_value cel_call_type(struct cel_run *run UNUSED, const struct cel_node *node UNUSED,
    const struct cel_value *args, size_t count UNUSED)
{
    return (struct cel_value){
        .kind = CEL_TYPE, .type = args[0].kind == CEL_TYPE ? CEL_ERROR : args[0].kind};
}

/* ---- base64 ---- */

struct cel_value cel_call_base64_encode(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    if (args[0].len > run->bytes || !cel_spend(run, args[0].len / 16)) {
        return cel_fail_spent(run, node);
    }
    char *text CLEANUP(cleanup_free) = base64_encode(args[0].text, args[0].len);
    return cel_text_value(run, node, CEL_STRING, text, strlen(text));
}

/* With or without '=' at its end. */
struct cel_value cel_call_base64_decode(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    size_t padding = (4 - args[0].len % 4) % 4, len = 0;
    if (args[0].len > run->bytes || !cel_spend(run, args[0].len / 16)) {
        return cel_fail_spent(run, node);
    }
    char *padded CLEANUP(cleanup_free) = xmalloc(args[0].len + padding + 1);
    memcpy(padded, args[0].text, args[0].len);
    memset(padded + args[0].len, '=', padding);
    padded[args[0].len + padding] = '\0';
    unsigned char *octets CLEANUP(cleanup_free) =
        base64_decode(padded, args[0].len + padding, &len);
    return octets != NULL ? cel_text_value(run, node, CEL_BYTES, (const char *)octets, len)
                          : fail_text(run, node, &args[0], "bytes: it is not base64");
}
