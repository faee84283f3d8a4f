/* SPDX-License-Identifier: Apache-2.0 */
/* Functions on texts. Positions count characters, not bytes. */
#include "webhooks/cel/function.h"

#include <string.h>

#include "base/util.h"
#include "webhooks/cel/text.h"

#define TEXT_BYTES 32 /* looked at in a step */

static struct cel_value text_of(const char *text, size_t len)
{
    return (struct cel_value){.kind = CEL_STRING, .text = text, .len = len};
}

/* A step for each TEXT_BYTES of the texts; false when they are spent. */
static bool spend_texts(struct cel_run *run, const struct cel_value *args, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += args[i].kind == CEL_STRING ? args[i].len : 0;
    }
    return cel_spend(run, len / TEXT_BYTES);
}

struct cel_value cel_call_size(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    if (args[0].kind != CEL_STRING) {
        return cel_int((int64_t)args[0].len);
    }
    return spend_texts(run, args, 1) ? cel_int((int64_t)utf8_count(args[0].text, args[0].len))
                                     : cel_fail_spent(run, node);
}

/* ---- comparing ---- */

struct cel_value cel_call_starts_with(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    return spend_texts(run, &args[1], 1)
               ? cel_truth(args[0].len >= args[1].len &&
                           memcmp(args[0].text, args[1].text, args[1].len) == 0)
               : cel_fail_spent(run, node);
}

struct cel_value cel_call_ends_with(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    size_t a = args[0].len, b = args[1].len;
    return spend_texts(run, &args[1], 1)
               ? cel_truth(a >= b && memcmp(args[0].text + a - b, args[1].text, b) == 0)
               : cel_fail_spent(run, node);
}

struct cel_value cel_call_contains(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    return spend_texts(run, args, count)
               ? cel_truth(memmem(args[0].text, args[0].len, args[1].text, args[1].len) != NULL)
               : cel_fail_spent(run, node);
}

/* ---- positions ---- */

static struct cel_value fail_position(
    struct cel_run *run, const struct cel_node *node, int64_t at, const struct cel_value *text)
{
    return cel_fail(run, node, "index out of range: %lld; the text has %zu characters",
        (long long)at, utf8_count(text->text, text->len));
}

/* Byte offset of the character at `at`, which may be the one behind the last. */
static bool offset_of(const struct cel_value *text, int64_t at, size_t *out)
{
    *out = at < 0 ? SIZE_MAX : utf8_offset(text->text, text->len, (size_t)at);
    return *out != SIZE_MAX;
}

struct cel_value cel_call_char_at(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    size_t at;
    if (!spend_texts(run, args, count)) {
        return cel_fail_spent(run, node);
    }
    if (!offset_of(&args[0], args[1].integer, &at)) {
        return fail_position(run, node, args[1].integer, &args[0]);
    }
    size_t end = utf8_offset(args[0].text + at, args[0].len - at, 1);
    return cel_text_value(run, node, CEL_STRING, args[0].text + at, end == SIZE_MAX ? 0 : end);
}

struct cel_value cel_call_substring(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    size_t from, to = args[0].len;
    if (!spend_texts(run, args, count)) {
        return cel_fail_spent(run, node);
    }
    if (!offset_of(&args[0], args[1].integer, &from)) {
        return fail_position(run, node, args[1].integer, &args[0]);
    }
    if (count == 3 && !offset_of(&args[0], args[2].integer, &to)) {
        return fail_position(run, node, args[2].integer, &args[0]);
    }
    return to < from ? cel_fail(run, node, "invalid substring range: from %lld to %lld",
                           (long long)args[1].integer, (long long)args[2].integer)
                     : cel_text_value(run, node, CEL_STRING, args[0].text + from, to - from);
}

struct cel_value cel_call_index_of(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    size_t from = 0;
    if (!spend_texts(run, args, count)) {
        return cel_fail_spent(run, node);
    }
    if (count == 3 && !offset_of(&args[0], args[2].integer, &from)) {
        return fail_position(run, node, args[2].integer, &args[0]);
    }
    const char *found = memmem(args[0].text + from, args[0].len - from, args[1].text, args[1].len);
    return cel_int(
        found != NULL ? (int64_t)utf8_count(args[0].text, (size_t)(found - args[0].text)) : -1);
}

struct cel_value cel_call_last_index_of(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    size_t at = args[0].len;
    if (!spend_texts(run, args, count)) {
        return cel_fail_spent(run, node);
    }
    if (count == 3 && !offset_of(&args[0], args[2].integer, &at)) {
        return fail_position(run, node, args[2].integer, &args[0]);
    }
    if (args[1].len > args[0].len) {
        return cel_int(-1);
    }
    at = at < args[0].len - args[1].len ? at : args[0].len - args[1].len;
    /* a comparison at each byte: as much as the product of the lengths */
    if (!cel_spend(run, at / TEXT_BYTES * (1 + args[1].len / TEXT_BYTES))) {
        return cel_fail_spent(run, node);
    }
    while (at > 0 && memcmp(args[0].text + at, args[1].text, args[1].len) != 0) {
        at--;
    }
    bool found = memcmp(args[0].text + at, args[1].text, args[1].len) == 0;
    return cel_int(found ? (int64_t)utf8_count(args[0].text, at) : -1);
}

/* ---- changing ---- */

/* Room for a text; *out is what to write to. An error when there is none. */
static struct cel_value new_text(
    struct cel_run *run, const struct cel_node *node, size_t len, char **out)
{
    *out = cel_alloc(run, len + 1);
    return *out != NULL && cel_spend(run, len / TEXT_BYTES) ? text_of(*out, len)
                                                            : cel_fail_spent(run, node);
}

static struct cel_value change_case(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *text, char from, char to)
{
    char *to_text;
    struct cel_value out = new_text(run, node, text->len, &to_text);
    for (size_t i = 0; i < text->len && out.kind == CEL_STRING; i++) {
        char c = text->text[i];
        to_text[i] = c >= from && c <= from + 25 ? (char)(c - from + to) : c;
    }
    return out;
}

struct cel_value cel_call_lower_ascii(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    return change_case(run, node, &args[0], 'A', 'a');
}

struct cel_value cel_call_upper_ascii(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    return change_case(run, node, &args[0], 'a', 'A');
}

struct cel_value cel_call_reverse(struct cel_run *run, const struct cel_node *node,
    const struct cel_value *args, size_t count UNUSED)
{
    char *to;
    struct cel_value out = new_text(run, node, args[0].len, &to);
    size_t left = args[0].len;
    for (size_t at = 0; at < args[0].len && out.kind == CEL_STRING;) {
        size_t step = utf8_offset(args[0].text + at, args[0].len - at, 1);
        left -= step;
        memcpy(to + left, args[0].text + at, step);
        at += step;
    }
    return out;
}

/* White space of Unicode. */
static bool is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

static uint32_t decode(const char *text, size_t len)
{
    if (len > 4) {
        return 0xFFFD; /* not UTF-8 */
    }
    uint32_t c = (unsigned char)text[0];
    c = len == 1 ? c : c & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        c = (c << 6) | ((unsigned char)text[i] & 0x3F);
    }
    return c;
}

struct cel_value cel_call_trim(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    const char *text = args[0].text;
    size_t from = 0, to = args[0].len, step;
    if (!spend_texts(run, args, count)) {
        return cel_fail_spent(run, node);
    }
    while (from < to && (step = utf8_offset(text + from, to - from, 1)) <= to - from &&
           is_space(decode(text + from, step))) {
        from += step;
    }
    while (to > from) {
        size_t last = to - 1;
        while (last > from && ((unsigned char)text[last] & 0xC0) == 0x80) {
            last--;
        }
        if (!is_space(decode(text + last, to - last))) {
            break;
        }
        to = last;
    }
    return cel_text_value(run, node, CEL_STRING, text + from, to - from);
}

/* ---- taking apart and putting together ---- */

/*
 * Where the next `part` is in text from `at` on, or SIZE_MAX. An empty part is between all
 * characters and at both ends.
 */
static size_t next_part(
    const struct cel_value *text, const struct cel_value *part, size_t at, bool is_first)
{
    if (part->len == 0) {
        size_t step = is_first ? 0 : utf8_offset(text->text + at, text->len - at, 1);
        return step == SIZE_MAX ? SIZE_MAX : at + step;
    }
    const char *from = text->text + at;
    const char *found = part->len == 1 ? memchr(from, part->text[0], text->len - at)
                                       : memmem(from, text->len - at, part->text, part->len);
    return found != NULL ? (size_t)(found - text->text) : SIZE_MAX;
}

/* How often part is in text, at most limit times. A step each; there may be none left then. */
static size_t count_parts(
    struct cel_run *run, const struct cel_value *text, const struct cel_value *part, size_t limit)
{
    size_t count = 0, at = 0;
    while (count < limit && (at = next_part(text, part, at, count == 0)) != SIZE_MAX &&
           cel_spend(run, 1)) {
        at += part->len;
        count++;
    }
    return count;
}

static size_t limit_of(const struct cel_value *args, size_t count, size_t at)
{
    return count <= at || args[at].integer < 0 ? SIZE_MAX : (size_t)args[at].integer;
}

struct cel_value cel_call_replace(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    const struct cel_value *text = &args[0], *old = &args[1], *new = &args[2];
    if (!spend_texts(run, args, count)) {
        return cel_fail_spent(run, node);
    }
    size_t times = count_parts(run, text, old, limit_of(args, count, 3)), len;
    if (run->steps == 0 || __builtin_mul_overflow(times, new->len, &len) || len > CEL_BYTES_MAX) {
        return cel_fail_spent(run, node);
    }
    char *to;
    struct cel_value out = new_text(run, node, text->len + len - times * old->len, &to);
    if (out.kind == CEL_ERROR) {
        return out;
    }
    size_t done = 0, at = 0;
    for (size_t i = 0; i < times; i++) {
        at = next_part(text, old, at, i == 0);
        memcpy(to, text->text + done, at - done);
        to += at - done;
        memcpy(to, new->text, new->len);
        to += new->len;
        at += old->len;
        done = at;
    }
    memcpy(to, text->text + done, text->len - done);
    return out;
}

struct cel_value cel_call_split(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    const struct cel_value *text = &args[0], *by = &args[1];
    size_t limit = limit_of(args, count, 2);
    if (limit == 0) {
        return (struct cel_value){.kind = CEL_LIST};
    }
    if (!spend_texts(run, args, count)) {
        return cel_fail_spent(run, node);
    }
    size_t parts; /* an empty separator: the characters */
    if (by->len == 0) {
        parts = utf8_count(text->text, text->len);
        parts = parts < limit ? parts : limit;
    } else {
        parts = count_parts(run, text, by, limit - 1) + 1;
    }
    struct cel_value *items = cel_alloc(run, parts * sizeof *items);
    if (items == NULL || !cel_spend(run, parts)) {
        return cel_fail_spent(run, node);
    }
    size_t from = 0;
    for (size_t i = 0; i < parts; i++) {
        size_t to = i + 1 < parts ? next_part(text, by, from, false) : text->len;
        items[i] = cel_text_value(run, node, CEL_STRING, text->text + from, to - from);
        if (items[i].kind == CEL_ERROR) {
            return items[i];
        }
        from = to + by->len;
    }
    return (struct cel_value){.kind = CEL_LIST, .items = items, .len = parts};
}

struct cel_value cel_call_join(
    struct cel_run *run, const struct cel_node *node, const struct cel_value *args, size_t count)
{
    const struct cel_value by = count == 2 ? args[1] : text_of("", 0);
    if (!cel_spend(run, args[0].len)) {
        return cel_fail_spent(run, node);
    }
    size_t len = 0;
    for (size_t i = 0; i < args[0].len; i++) {
        struct cel_value item = cel_item(&args[0], i);
        if (item.kind != CEL_STRING) {
            return cel_fail(run, node,
                "no such overload: join of a list with %s; make strings "
                "of all items: list.map(x, string(x)).join()",
                cel_kind_noun(item.kind));
        }
        len += item.len + (i > 0 ? by.len : 0);
        if (len > CEL_BYTES_MAX) {
            return cel_fail_spent(run, node);
        }
    }
    char *to;
    struct cel_value out = new_text(run, node, len, &to);
    for (size_t i = 0; i < args[0].len && out.kind == CEL_STRING; i++) {
        struct cel_value item = cel_item(&args[0], i);
        memcpy(to, by.text, i > 0 ? by.len : 0);
        to += i > 0 ? by.len : 0;
        memcpy(to, item.text, item.len);
        to += item.len;
    }
    return out;
}
