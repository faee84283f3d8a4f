/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP messages as values: fields, percent escapes, paths against patterns. Reading a form is
 * in http_multipart.c; bytes on sockets are the server's (api/) and the client's business.
 */
#include "base/http_msg.h"

#include <string.h>
#include <strings.h>

#include "base/pool.h"
#include "base/util.h"

/* The server bounds the request line; this bounds what a line full of '&' can make us keep. */
#define QUERY_FIELDS_MAX 1000

void http_fields_add(struct pool *pool, struct http_fields *f, const char *name, const char *value)
{
    if (f->count == f->cap) {
        size_t cap = f->cap > 0 ? 2 * f->cap : 8;
        struct http_field *items = pool_calloc(pool, cap, sizeof *items);
        if (f->count > 0) {
            memcpy(items, f->items, f->count * sizeof *items);
        }
        f->items = items;
        f->cap = cap;
    }
    f->items[f->count++] = (struct http_field){
        .name = pool_strdup(pool, name),
        .value = pool_strdup(pool, value != NULL ? value : ""),
    };
}

const char *http_fields_get(const struct http_fields *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++) {
        if (strcasecmp(f->items[i].name, name) == 0) {
            return f->items[i].value;
        }
    }
    return NULL;
}

size_t http_fields_times(const struct http_fields *f, const char *name)
{
    size_t times = 0;
    for (size_t i = 0; i < f->count; i++) {
        times += strcasecmp(f->items[i].name, name) == 0;
    }
    return times;
}

const char *http_header(const struct http_request *req, const char *name)
{
    return http_fields_get(&req->headers, name);
}

const char *http_query(const struct http_request *req, const char *name)
{
    return http_fields_get(&req->query, name);
}

/* Percent escapes. */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *http_decode(struct pool *pool, const char *text, size_t len, bool plus_is_space)
{
    char *out = pool_alloc(pool, len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%' && len - i > 2 && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0) {
            c = (char)(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0') {
            return NULL;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return out;
}

void http_encode(struct buf *out, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
            *c == '-' || *c == '.' || *c == '_' || *c == '~') {
            buf_addc(out, (char)*c);
        } else {
            buf_addc(out, '%');
            buf_addc(out, hex[*c >> 4]);
            buf_addc(out, hex[*c & 15]);
        }
    }
}

void http_query_parse(struct http_request *req)
{
    const char *at = req->query_raw;
    while (*at != '\0' && req->query.count < QUERY_FIELDS_MAX) {
        size_t len = strcspn(at, "&");
        const char *equals = memchr(at, '=', len);
        size_t name_len = equals != NULL ? (size_t)(equals - at) : len;
        char *name = http_decode(req->pool, at, name_len, true);
        char *value = equals != NULL ? http_decode(req->pool, equals + 1, len - name_len - 1, true)
                                     : pool_strdup(req->pool, "");
        if (name != NULL && *name != '\0' && value != NULL) {
            http_fields_add(req->pool, &req->query, name, value);
        }
        at += len;
        at += *at == '&';
    }
}

/* Paths. */

/*
 * One segment of the path against one of the pattern. A capture is "{name}" and whatever literal
 * text follows the brace.
 */
static bool segment_match(struct pool *pool, const char *pattern, size_t pattern_len,
    const char *text, size_t text_len, struct http_fields *args)
{
    const char *brace =
        pattern_len > 0 && *pattern == '{' ? memchr(pattern, '}', pattern_len) : NULL;
    if (brace == NULL) {
        return pattern_len == text_len && memcmp(pattern, text, text_len) == 0;
    }
    const char *tail = brace + 1;
    size_t tail_len = pattern_len - (size_t)(tail - pattern);
    if (text_len <= tail_len || memcmp(text + text_len - tail_len, tail, tail_len) != 0) {
        return false;
    }
    char *value = http_decode(pool, text, text_len - tail_len, false);
    if (value == NULL) {
        return false;
    }
    char *name = pool_strndup(pool, pattern + 1, (size_t)(brace - pattern - 1));
    http_fields_add(pool, args, name, value);
    return true;
}

bool http_path_match(
    struct pool *pool, const char *pattern, const char *path, struct http_fields *args)
{
    size_t before = args->count;
    for (;;) {
        size_t pattern_len = strcspn(pattern, "/");
        size_t path_len = strcspn(path, "/");
        if (!segment_match(pool, pattern, pattern_len, path, path_len, args)) {
            break;
        }
        pattern += pattern_len;
        path += path_len;
        if (*pattern == '\0' && *path == '\0') {
            return true;
        }
        if (*pattern != *path) {
            break;
        }
        pattern++;
        path++;
    }
    args->count = before; /* no half matches */
    return false;
}
