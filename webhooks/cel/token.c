/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens of an expression: names, numbers, string and bytes literals, signs. */
#include "webhooks/cel/tree.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"
#include "webhooks/cel/text.h"

#define SHOWN_MAX 60

struct lexer {
    struct pool *pool;
    const char *source;
    size_t at;
    struct err *err;
};

size_t cel_column(const char *source, size_t at)
{
    size_t column = 1;
    for (size_t i = 0; i < at; i++) {
        column += ((unsigned char)source[i] & 0xC0) != 0x80;
    }
    return column;
}

int cel_complain(
    struct err *err, const char *source, size_t start, size_t end, const char *fmt, ...)
{
    struct buf text;
    buf_init(&text, 1024);
    buf_addf(&text, "column %zu: ", cel_column(source, start));
    size_t shown = end - start;
    if (shown > SHOWN_MAX) {
        for (shown = SHOWN_MAX; ((unsigned char)source[start + shown] & 0xC0) == 0x80;) {
            shown--;
        }
    }
    if (shown > 0) {
        buf_addf(&text, "'%.*s%s': ", (int)shown, source + start, shown < end - start ? "..." : "");
    }
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    err_set(err, ERR_INVALID, "%s", buf_str(&text));
    buf_done(&text);
    return -1;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static int hex_value(char c)
{
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void skip_space(struct lexer *l)
{
    for (;;) {
        l->at += strspn(l->source + l->at, " \t\r\n\f");
        if (strncmp(l->source + l->at, "//", 2) != 0) {
            return;
        }
        l->at += strcspn(l->source + l->at, "\n");
    }
}

/* ---- strings ---- */

/* `count` digits of the base: a character of a string, an octet of bytes. */
static int read_code(
    struct lexer *l, size_t from, size_t count, int base, bool is_bytes, struct buf *out)
{
    uint32_t code = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = hex_value(l->source[l->at]);
        if (digit < 0 || digit >= base) {
            return cel_complain(l->err, l->source, from, l->at, "this escape needs %zu %s digits",
                count, base == 8 ? "octal" : "hexadecimal");
        }
        code = code * (unsigned)base + (unsigned)digit;
        l->at++;
    }
    if (is_bytes) {
        buf_addc(out, (char)code);
        return 0;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        return cel_complain(l->err, l->source, from, l->at,
            "is no character of Unicode (up to 10FFFF, without the surrogates D800 to DFFF)");
    }
    buf_add_utf8(out, code);
    return 0;
}

static int read_escape(struct lexer *l, bool is_bytes, struct buf *out)
{
    static const char letters[] = "abfnrtv\\?\"'`", values[] = "\a\b\f\n\r\t\v\\?\"'`";
    size_t from = l->at;
    char c = l->source[++l->at];
    const char *known = c != '\0' ? strchr(letters, c) : NULL;
    if (known != NULL) {
        l->at++;
        buf_addc(out, values[known - letters]);
        return 0;
    }
    if (c >= '0' && c <= '3') {
        return read_code(l, from, 3, 8, is_bytes, out);
    }
    size_t count = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (count == 0 || (is_bytes && count > 2)) {
        return cel_complain(l->err, l->source, from, l->at + (c != '\0'),
            count == 0 ? "unknown escape; write a backslash as \\\\, or the string as r'...'"
                       : "bytes have no characters; write octets as \\x41 or \\101");
    }
    l->at++;
    return read_code(l, from, count, 16, is_bytes, out);
}

static int read_string(struct lexer *l, bool is_raw, bool is_bytes, struct cel_token *out)
{
    char quote = l->source[l->at];
    char fence[4] = {quote, quote, quote, '\0'};
    bool is_triple = strncmp(l->source + l->at, fence, 3) == 0;
    fence[is_triple ? 3 : 1] = '\0';
    size_t fence_len = strlen(fence);
    l->at += fence_len;
    struct buf text;
    buf_init(&text, CEL_TEXT_MAX + 1); /* no escape is shorter than what it stands for */
    int status = 0;
    while (status == 0 && strncmp(l->source + l->at, fence, fence_len) != 0) {
        char c = l->source[l->at];
        if (c == '\0' || (!is_triple && (c == '\n' || c == '\r'))) {
            status = cel_complain(l->err, l->source, out->start, l->at,
                "this string does not end; close it with %s", fence);
        } else if (c == '\\' && !is_raw) {
            status = read_escape(l, is_bytes, &text);
        } else {
            buf_addc(&text, c);
            l->at++;
        }
    }
    l->at += status == 0 ? fence_len : 0;
    out->kind = is_bytes ? CEL_TOKEN_BYTES : CEL_TOKEN_STRING;
    out->len = text.len;
    char *copy = pool_alloc(l->pool, text.len + 1);
    memcpy(copy, buf_str(&text), text.len);
    out->text = copy;
    buf_done(&text);
    return status;
}

/* ---- numbers ---- */

static int read_integer(struct lexer *l, bool is_hex, struct cel_token *out)
{
    bool is_uint = l->source[l->at] == 'u' || l->source[l->at] == 'U';
    l->at += is_uint;
    out->end = l->at;
    errno = 0;
    out->natural = strtoull(l->source + out->start + (is_hex ? 2 : 0), NULL, is_hex ? 16 : 10);
    if (errno != 0 || (!is_uint && out->natural > (uint64_t)INT64_MAX + 1)) {
        return cel_complain(l->err, l->source, out->start, out->end,
            is_uint ? "is beyond the 64-bit unsigned integers (18446744073709551615u)"
                    : "is beyond the 64-bit integers (9223372036854775807); write a double, "
                      "with a point");
    }
    out->kind = is_uint ? CEL_TOKEN_UINT : CEL_TOKEN_INT;
    return 0;
}

static int read_number(struct lexer *l, struct cel_token *out)
{
    const char *s = l->source;
    bool is_real = false, is_hex = s[l->at] == '0' && (s[l->at + 1] == 'x' || s[l->at + 1] == 'X');
    if (is_hex) {
        for (l->at += 2; hex_value(s[l->at]) >= 0;) {
            l->at++;
        }
    } else {
        for (; is_digit(s[l->at]); l->at++) {
        }
        if (s[l->at] == '.' && is_digit(s[l->at + 1])) {
            is_real = true;
            for (l->at++; is_digit(s[l->at]); l->at++) {
            }
        }
        size_t digits = l->at + 1;
        if (s[l->at] == 'e' || s[l->at] == 'E') {
            digits += s[digits] == '+' || s[digits] == '-';
            if (is_digit(s[digits])) {
                is_real = true;
                for (l->at = digits; is_digit(s[l->at]); l->at++) {
                }
            }
        }
    }
    out->end = l->at;
    int status = 0;
    if (is_real) {
        out->kind = CEL_TOKEN_DOUBLE;
        out->real = strtod(s + out->start, NULL); /* what is too big is infinite */
    } else {
        status = read_integer(l, is_hex, out);
    }
    if (status == 0 && (is_word(s[l->at]) || (is_hex && out->end == out->start + 2))) {
        for (; is_word(s[l->at]); l->at++) {
        }
        return cel_complain(l->err, s, out->start, l->at,
            "is not a number; there are 42, 0x2A, 42u, 4.2 and 4.2e1");
    }
    return status;
}

/* ---- all ---- */

static int read_sign(struct lexer *l, struct cel_token *out)
{
    static const char *const signs[] = {"==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*",
        "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]", "{", "}"};
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        if (strncmp(l->source + l->at, signs[i], strlen(signs[i])) == 0) {
            out->kind = CEL_TOKEN_SIGN;
            out->text = signs[i];
            out->len = strlen(signs[i]);
            l->at += out->len;
            return 0;
        }
    }
    char c = l->source[l->at];
    const char *fix = c == '='   ? "; to compare, write =="
                      : c == '&' ? "; and is written &&"
                      : c == '|' ? "; or is written ||"
                                 : "";
    size_t step = utf8_step(l->source + l->at, strlen(l->source + l->at));
    return cel_complain(l->err, l->source, l->at, l->at + step, "unknown sign%s", fix);
}

/* `a-b`, a member whose name is no word. */
static int read_quoted_name(struct lexer *l, struct cel_token *out)
{
    const char *s = l->source;
    size_t from = ++l->at;
    while (is_word(s[l->at]) || (s[l->at] != '\0' && strchr("-./ ", s[l->at]) != NULL)) {
        l->at++;
    }
    if (s[l->at] != '`' || l->at == from) {
        return cel_complain(l->err, s, out->start, l->at,
            "a name in backticks holds letters, digits, blanks and _ - . / and ends with one; "
            "any key can be written ['...']");
    }
    out->kind = CEL_TOKEN_QUOTED_NAME;
    out->len = l->at - from;
    out->text = pool_strndup(l->pool, s + from, out->len);
    l->at++;
    return 0;
}

/* r'..', b'..', br'..' in either case: the prefix's length, 0 when there is no string here. */
static size_t string_prefix(const char *s, bool *is_raw, bool *is_bytes)
{
    size_t len = 0;
    *is_bytes = s[len] == 'b' || s[len] == 'B';
    len += *is_bytes;
    *is_raw = s[len] == 'r' || s[len] == 'R';
    len += *is_raw;
    return len > 0 && (s[len] == '"' || s[len] == '\'') ? len : 0;
}

static int read_token(struct lexer *l, struct cel_token *out)
{
    const char *s = l->source + l->at;
    bool is_raw = false, is_bytes = false;
    size_t prefix = string_prefix(s, &is_raw, &is_bytes);
    if (prefix > 0 || *s == '"' || *s == '\'') {
        l->at += prefix;
        return read_string(l, prefix > 0 && is_raw, prefix > 0 && is_bytes, out);
    }
    if (*s == '\0') {
        out->kind = CEL_TOKEN_END;
        return 0;
    }
    if (is_digit(*s) || (*s == '.' && is_digit(s[1]))) {
        return read_number(l, out);
    }
    if (*s == '`') {
        return read_quoted_name(l, out);
    }
    if (!is_word(*s)) {
        return read_sign(l, out);
    }
    for (; is_word(l->source[l->at]); l->at++) {
        out->len++;
    }
    out->kind = CEL_TOKEN_NAME;
    out->text = pool_strndup(l->pool, s, out->len);
    return 0;
}

int cel_token_next(
    struct pool *pool, const char *source, size_t *at, struct cel_token *out, struct err *err)
{
    struct lexer l = {.pool = pool, .source = source, .at = *at, .err = err};
    skip_space(&l);
    *out = (struct cel_token){.start = l.at};
    if (read_token(&l, out) != 0) {
        return -1;
    }
    *at = l.at;
    out->end = l.at;
    return 0;
}
