/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens of an expression: names, numbers, CEL's string literals, signs. */
#include "pipeline/expression_tree.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SHOWN 60

struct lexer {
    struct pool *pool;
    const char *source;
    size_t at;
    struct err *err;
};

/* Columns count characters, not bytes. */
static size_t column_of(const char *source, size_t at)
{
    size_t column = 1;
    for (size_t i = 0; i < at; i++) {
        column += ((unsigned char)source[i] & 0xC0) != 0x80;
    }
    return column;
}

int expression_error(
    struct err *err, const char *source, size_t start, size_t end, const char *fmt, ...)
{
    struct buf text;
    buf_init(&text, 1024);
    buf_addf(&text, "column %zu: ", column_of(source, start));
    size_t shown = end - start;
    if (shown > MAX_SHOWN) {
        for (shown = MAX_SHOWN; ((unsigned char)source[start + shown] & 0xC0) == 0x80;) {
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

/* `count` digits of the base make a character. */
static int read_code(struct lexer *l, size_t from, size_t count, int base, struct buf *out)
{
    unsigned long code = 0;
    for (size_t i = 0; i < count; i++) {
        int digit = hex_value(l->source[l->at]);
        if (digit < 0 || digit >= base) {
            return expression_error(l->err, l->source, from, l->at,
                "this escape needs %zu %s digits", count, base == 8 ? "octal" : "hexadecimal");
        }
        code = code * (unsigned)base + (unsigned)digit;
        l->at++;
    }
    if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        return expression_error(l->err, l->source, from, l->at,
            "not a character that a text can hold (surrogates and NUL cannot be)");
    }
    buf_add_utf8(out, code);
    return 0;
}

static int read_escape(struct lexer *l, struct buf *out)
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
        return read_code(l, from, 3, 8, out);
    }
    size_t count = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (count == 0) {
        return expression_error(l->err, l->source, from, l->at,
            "unknown escape; write a backslash as \\\\, or the string as r'...'");
    }
    l->at++;
    return read_code(l, from, count, 16, out);
}

static int read_string(struct lexer *l, bool is_raw, struct expression_token *out)
{
    char quote = l->source[l->at];
    char fence[4] = {quote, quote, quote, '\0'};
    bool is_triple = strncmp(l->source + l->at, fence, 3) == 0;
    fence[is_triple ? 3 : 1] = '\0';
    l->at += strlen(fence);
    struct buf text;
    buf_init(&text, EXPRESSION_MAX_BYTES);
    int status = 0;
    while (status == 0 && strncmp(l->source + l->at, fence, strlen(fence)) != 0) {
        char c = l->source[l->at];
        if (c == '\0' || (!is_triple && (c == '\n' || c == '\r'))) {
            status = expression_error(l->err, l->source, out->start, l->at,
                "this string does not end; close it with %s", fence);
        } else if (c == '\\' && !is_raw) {
            status = read_escape(l, &text);
        } else {
            buf_addc(&text, c);
            l->at++;
        }
    }
    assert(!text.overflow); /* no escape is shorter than what it stands for */
    l->at += status == 0 ? strlen(fence) : 0;
    out->kind = EXPRESSION_TOKEN_STRING;
    out->len = text.len;
    out->text = pool_strndup(l->pool, buf_str(&text), text.len);
    buf_done(&text);
    return status;
}

/* ---- numbers ---- */

static int read_integer(struct lexer *l, int base, struct expression_token *out)
{
    errno = 0;
    unsigned long long value = strtoull(l->source + l->at, NULL, base);
    if (errno != 0 || value > (uint64_t)INT64_MAX + 1) {
        return expression_error(l->err, l->source, out->start, out->end,
            "is beyond the 64-bit integers (9223372036854775807); write a double, with a point");
    }
    out->kind = EXPRESSION_TOKEN_INT;
    out->integer = value;
    return 0;
}

static int read_number(struct lexer *l, struct expression_token *out)
{
    const char *s = l->source;
    size_t at = l->at;
    int base = s[at] == '0' && (s[at + 1] == 'x' || s[at + 1] == 'X') ? 16 : 10;
    bool is_real = false;
    if (base == 16) {
        for (at += 2; hex_value(s[at]) >= 0;) {
            at++;
        }
    } else {
        at += strspn(s + at, "0123456789");
        if (s[at] == '.' && is_digit(s[at + 1])) {
            is_real = true;
            at++;
            at += strspn(s + at, "0123456789");
        }
        size_t sign = s[at] == 'e' || s[at] == 'E' ? at + 1 : 0;
        sign += sign > 0 && (s[sign] == '+' || s[sign] == '-');
        if (sign > 0 && is_digit(s[sign])) {
            is_real = true;
            at = sign + strspn(s + sign, "0123456789");
        }
    }
    out->end = at;
    while (is_word(s[out->end])) {
        out->end++;
    }
    if ((s[at] == 'u' || s[at] == 'U') && out->end == at + 1) {
        return expression_error(l->err, s, out->start, out->end,
            "unsigned numbers are not supported; write it without the u");
    }
    if (out->end > at || (base == 16 && at == l->at + 2)) {
        return expression_error(l->err, s, out->start, out->end, "not a number");
    }
    if (!is_real && read_integer(l, base, out) != 0) {
        return -1;
    }
    if (is_real) {
        out->kind = EXPRESSION_TOKEN_DOUBLE;
        out->real = strtod(s + l->at, NULL);
        if (!isfinite(out->real)) {
            return expression_error(l->err, s, out->start, out->end, "is beyond the doubles");
        }
    }
    l->at = at;
    return 0;
}

/* ---- all of them ---- */

static int read_sign(struct lexer *l, struct expression_token *out)
{
    static const char *const signs[] = {"==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "-", "+",
        "*", "/", "%", "?", ":", "(", ")", "[", "]", "{", "}", ".", ","};
    const char *s = l->source + l->at;
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        if (str_starts(s, signs[i])) {
            out->kind = EXPRESSION_TOKEN_SIGN;
            out->text = signs[i];
            out->len = strlen(signs[i]);
            l->at += out->len;
            return 0;
        }
    }
    const char *fix = *s == '='                ? "; write == to compare"
                      : *s == '&' || *s == '|' ? "; write it twice"
                      : *s == '$'              ? "; values are inputs.parameter_values['name']"
                                               : "";
    size_t step = utf8_step(s, strlen(s));
    return expression_error(l->err, l->source, l->at, l->at + (step > 0 ? step : 1),
        "this character does not belong in an expression%s", fix);
}

static int read_name(struct lexer *l, struct expression_token *out)
{
    static const char *const reserved[] = {"as", "break", "const", "continue", "else", "for",
        "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void",
        "while"};
    while (is_word(l->source[l->at])) {
        l->at++;
    }
    out->kind = EXPRESSION_TOKEN_NAME;
    out->len = l->at - out->start;
    out->text = pool_strndup(l->pool, l->source + out->start, out->len);
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (strcmp(out->text, reserved[i]) == 0) {
            return expression_error(l->err, l->source, out->start, l->at,
                "is a reserved word of CEL; a member of that name is x[\"%s\"]", out->text);
        }
    }
    return 0;
}

static int read_token(struct lexer *l, struct expression_token *out)
{
    const char *s = l->source + l->at;
    size_t prefix = strspn(s, "rRbB");
    if (prefix <= 2 && (s[prefix] == '\'' || s[prefix] == '"')) {
        if (strcspn(s, "bB") < prefix) {
            return expression_error(l->err, l->source, l->at, l->at + prefix + 1,
                "bytes are not supported; write a string, without the b");
        }
        if (prefix == 2) {
            return expression_error(
                l->err, l->source, l->at, l->at + prefix + 1, "one r makes a string raw");
        }
        l->at += prefix;
        return read_string(l, prefix > 0, out);
    }
    if (is_digit(*s) || (*s == '.' && is_digit(s[1]))) {
        return read_number(l, out);
    }
    if (is_word(*s)) {
        return read_name(l, out);
    }
    return read_sign(l, out);
}

int expression_token_next(struct pool *pool, const char *source, size_t *at,
    struct expression_token *out, struct err *err)
{
    struct lexer l = {.pool = pool, .source = source, .at = *at, .err = err};
    skip_space(&l);
    *out = (struct expression_token){.kind = EXPRESSION_TOKEN_END, .start = l.at, .text = ""};
    int status = source[l.at] != '\0' ? read_token(&l, out) : 0;
    out->end = l.at;
    *at = l.at;
    return status;
}
