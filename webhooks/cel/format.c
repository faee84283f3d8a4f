/* SPDX-License-Identifier: Apache-2.0 */
/* "%s is %d".format([...]) and strings.quote(). */
#include "webhooks/cel/function.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "webhooks/cel/text.h"
#include "webhooks/cel/time.h"

#define PRECISION_MAX 100
#define REAL_TEXT_MAX                                                                              \
    (320 + PRECISION_MAX) /* digits of the greatest double, and behind its point */

/* ---- %s ---- */

static void format_value(const struct cel_value *value, struct buf *out);

struct member {
    char *key;
    struct cel_value value;
};

static int compare_members(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

/* In the order of the keys' texts. */
static void format_map(const struct cel_value *map, struct buf *out)
{
    struct member *members = xcalloc(map->len + 1, sizeof *members);
    struct cel_map_walk walk = {0};
    struct cel_value key, value;
    size_t count = 0;
    while (count < map->len && cel_map_next(map, &walk, &key, &value)) {
        struct buf text;
        buf_init(&text, out->max);
        format_value(&key, &text);
        members[count].key = xstrdup(buf_str(&text));
        members[count++].value = value;
        buf_done(&text);
    }
    qsort(members, count, sizeof *members, compare_members);
    buf_addc(out, '{');
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s%s: ", i > 0 ? ", " : "", members[i].key);
        if (!out->overflow) {
            format_value(&members[i].value, out);
        }
        free(members[i].key);
    }
    buf_addc(out, '}');
    free(members);
}

static void format_list(const struct cel_value *list, struct buf *out)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < list->len && !out->overflow; i++) {
        struct cel_value item = cel_item(list, i);
        buf_adds(out, i > 0 ? ", " : "");
        format_value(&item, out);
    }
    buf_addc(out, ']');
}

static void format_value(const struct cel_value *value, struct buf *out)
{
    char text[CEL_TIME_TEXT_MAX];
    switch (value->kind) {
    case CEL_STRING:
    case CEL_BYTES:
        buf_add(out, value->text, value->len);
        break;
    case CEL_UINT:
        buf_addf(out, "%" PRIu64, value->natural);
        break;
    case CEL_DOUBLE:
        cel_number_text(value->real, text);
        buf_adds(out, text);
        break;
    case CEL_TIMESTAMP:
        buf_adds(out, cel_timestamp_text(value, text));
        break;
    case CEL_DURATION:
        buf_adds(out, cel_duration_text(value, text));
        break;
    case CEL_LIST:
        format_list(value, out);
        break;
    case CEL_MAP:
        format_map(value, out);
        break;
    case CEL_NULL:
    case CEL_BOOL:
    case CEL_INT:
    case CEL_TYPE:
    case CEL_ERROR:
        cel_show(value, out);
        break;
    }
}

/* ---- numbers ---- */

static bool split_number(const struct cel_value *value, bool *is_negative, uint64_t *size)
{
    *is_negative = value->kind == CEL_INT && value->integer < 0;
    *size = value->kind == CEL_BOOL ? value->truth
            : *is_negative          ? -(uint64_t)value->integer
                                    : value->natural;
    return value->kind == CEL_INT || value->kind == CEL_UINT || value->kind == CEL_BOOL;
}

/* In base 2, 8 or 16. */
static bool format_base(
    const struct cel_value *value, unsigned bits, const char *digits, struct buf *out)
{
    char text[65];
    size_t at = sizeof text - 1;
    bool is_negative;
    uint64_t left;
    if (!split_number(value, &is_negative, &left) || (value->kind == CEL_BOOL && bits > 1)) {
        return false;
    }
    text[at] = '\0';
    do {
        text[--at] = digits[left & ((1u << bits) - 1)];
        left >>= bits;
    } while (left > 0);
    buf_adds(out, is_negative ? "-" : "");
    buf_adds(out, text + at);
    return true;
}

static bool format_hex(const struct cel_value *value, bool is_upper, struct buf *out)
{
    const char *digits = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";
    if (value->kind != CEL_STRING && value->kind != CEL_BYTES) {
        return format_base(value, 4, digits, out);
    }
    for (size_t i = 0; i < value->len && !out->overflow; i++) {
        unsigned char c = (unsigned char)value->text[i];
        buf_addc(out, digits[c >> 4]);
        buf_addc(out, digits[c & 0xF]);
    }
    return true;
}

static bool format_decimal(const struct cel_value *value, struct buf *out)
{
    bool is_number = value->kind == CEL_INT || value->kind == CEL_UINT ||
                     (value->kind == CEL_DOUBLE && !isfinite(value->real));
    if (is_number) {
        format_value(value, out);
    }
    return is_number;
}

static bool format_real(
    const struct cel_value *value, bool has_exponent, int precision, struct buf *out)
{
    char text[REAL_TEXT_MAX];
    double real = value->kind == CEL_DOUBLE ? value->real
                  : value->kind == CEL_INT  ? (double)value->integer
                                            : (double)value->natural;
    if (!cel_is_number(value)) {
        return false;
    }
    if (!isfinite(real)) {
        format_value(value, out);
        return true;
    }
    snprintf(text, sizeof text, has_exponent ? "%.*e" : "%.*f", precision, real);
    buf_adds(out, text);
    return true;
}

/* ---- the pattern ---- */

/* ".3" at *at, or nothing: then 6. -1 when it is too much. */
static int read_precision(const char **at)
{
    int precision = 6;
    if (**at == '.') {
        precision = 0;
        for ((*at)++; **at >= '0' && **at <= '9' && precision <= PRECISION_MAX; (*at)++) {
            precision = precision * 10 + (**at - '0');
        }
    }
    return precision <= PRECISION_MAX ? precision : -1;
}

static bool format_by(char verb, int precision, const struct cel_value *value, struct buf *out)
{
    switch (verb) {
    case 's':
        format_value(value, out);
        return true;
    case 'd':
        return format_decimal(value, out);
    case 'f':
    case 'e':
        return format_real(value, verb == 'e', precision, out);
    case 'b':
        return format_base(value, 1, "01", out);
    case 'o':
        return format_base(value, 3, "01234567", out);
    default:
        return format_hex(value, verb == 'X', out);
    }
}

/* One "%...", of which *at is behind the %. An error, or CEL_NULL when all is well. */
static struct cel_value format_verb(struct cel_run *run, const struct cel_node *node,
    const char **at, const struct cel_value *list, size_t *used, struct buf *out)
{
    if (**at == '%') {
        buf_addc(out, *(*at)++);
        return (struct cel_value){.kind = CEL_NULL};
    }
    int precision = read_precision(at);
    char verb = **at;
    if (verb == '\0' || strchr("sdfeboxX", verb) == NULL || precision < 0) {
        return cel_fail(run, node,
            "format: there are %%s %%d %%f %%e %%b %%o %%x %%X and %%%%, "
            "and %%.3f with up to %d digits",
            PRECISION_MAX);
    }
    (*at)++;
    if (*used == list->len) {
        return cel_fail(run, node, "format: the list has only %zu values", list->len);
    }
    struct cel_value value = cel_item(list, (*used)++);
    return format_by(verb, precision, &value, out)
               ? (struct cel_value){.kind = CEL_NULL}
               : cel_fail(run, node, "format: no such overload: %%%c of %s", verb,
                     cel_kind_noun(value.kind));
}

/* What was written, as a value, or the error that stopped it; frees the text. */
static struct cel_value written(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *error, struct buf *text)
{
    struct cel_value out;
    if (text->overflow || !cel_spend(run, text->len / 16)) {
        out = cel_fail_spent(run, node);
    } else if (error != NULL) {
        out = *error;
    } else if (!utf8_is_valid(buf_str(text), text->len)) {
        out = cel_fail(run, node, "format: %%s of bytes that are not UTF-8; %%x shows any");
    } else {
        out = cel_text_value(run, node, CEL_STRING, buf_str(text), text->len);
    }
    buf_done(text);
    return out;
}

struct cel_value cel_call_format(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    struct buf text;
    buf_init(&text, run->bytes);
    const char *at = args[0].text, *end = at + args[0].len;
    struct cel_value error = {.kind = CEL_NULL};
    size_t used = 0;
    while (at < end && error.kind != CEL_ERROR && !text.overflow) {
        const char *next = memchr(at, '%', (size_t)(end - at));
        buf_add(&text, at, (size_t)((next != NULL ? next : end) - at));
        at = end;
        if (next != NULL) {
            at = next + 1;
            error = format_verb(run, node, &at, &args[1], &used, &text);
        }
    }
    return written(run, node, error.kind == CEL_ERROR ? &error : NULL, &text);
}

struct cel_value cel_call_quote(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    static const char from[] = "\a\b\f\n\r\t\v\\\"", to[] = "abfnrtv\\\"";
    struct buf text;
    buf_init(&text, run->bytes);
    buf_addc(&text, '"');
    for (size_t i = 0; i < args[0].len && !text.overflow; i++) {
        char c = args[0].text[i];
        const char *found = c != '\0' ? strchr(from, c) : NULL;
        if (found != NULL) {
            buf_addc(&text, '\\');
        }
        buf_addc(&text, found != NULL ? to[found - from] : c);
    }
    buf_addc(&text, '"');
    return written(run, node, NULL, &text);
}
