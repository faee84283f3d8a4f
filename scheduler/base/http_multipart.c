/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multipart/form-data (RFC 7578) over RFC 2046 section 5.1: finds one field of an uploaded form.
 * The whole body is in memory already; parts are ranges of it, nothing is copied but names.
 *
 * Delimiters rule: the parts are cut first and their headers are read inside the cut, so no
 * header can reach into the next part. Everything up to the closing delimiter is checked, also
 * after the wanted part, because a form that was cut off in transit must not pass.
 */
#include "base/http_msg.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/pool.h"
#include "base/util.h"

#define PARTS_MAX 64
#define PART_HEADERS_MAX 8192
#define BOUNDARY_MAX 70 /* RFC 2046 section 5.1.1 */

struct span {
    const char *at;
    size_t len;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.at[s.len - 1])) {
        s.len--;
    }
    return s;
}

static bool span_is(struct span s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

static bool is_token_char(char c)
{
    return c > ' ' && c < 127 && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

/* Parameters of a header value: `first; name=value; name="value"`. */

/* A quoted string at *at. Only \" and \\ are escapes: some browsers send C:\dir\file as it is. */
static char *read_quoted(struct pool *pool, const char **at, const char *end)
{
    const char *c = *at + 1;
    char *out = pool_alloc(pool, (size_t)(end - c) + 1);
    size_t n = 0;
    for (; c < end && *c != '"'; c++) {
        if (*c == '\\' && end - c > 1 && (c[1] == '"' || c[1] == '\\')) {
            c++;
        }
        out[n++] = *c;
    }
    if (c == end) {
        return NULL;
    }
    *at = c + 1;
    out[n] = '\0';
    return out;
}

/*
 * The value of one parameter, or NULL when it is absent. -1 when the value is malformed or the
 * parameter is there twice: two readers might then see two different forms.
 */
static int find_parameter(
    struct pool *pool, struct span value, const char *name, const char **value_out)
{
    const char *at = memchr(value.at, ';', value.len);
    const char *end = value.at + value.len;
    const char *found = NULL;
    while (at != NULL && at < end) {
        at++; /* the semicolon */
        while (at < end && is_blank(*at)) {
            at++;
        }
        if (at == end) {
            break; /* a semicolon at the end is common */
        }
        const char *name_at = at;
        while (at < end && is_token_char(*at)) {
            at++;
        }
        struct span got_name = {name_at, (size_t)(at - name_at)};
        if (got_name.len == 0 || at == end || *at != '=') {
            return -1;
        }
        at++;
        char *got;
        if (at < end && *at == '"') {
            got = read_quoted(pool, &at, end);
        } else {
            const char *token = at;
            while (at < end && is_token_char(*at)) {
                at++;
            }
            got = at > token ? pool_strndup(pool, token, (size_t)(at - token)) : NULL;
        }
        while (at < end && is_blank(*at)) {
            at++;
        }
        if (got == NULL || (at < end && *at != ';')) {
            return -1;
        }
        if (span_is(got_name, name)) {
            if (found != NULL) {
                return -1;
            }
            found = got;
        }
    }
    *value_out = found;
    return 0;
}

static struct span first_word(struct span value)
{
    const char *semicolon = memchr(value.at, ';', value.len);
    if (semicolon != NULL) {
        value.len = (size_t)(semicolon - value.at);
    }
    return trim(value);
}

/* The boundary. */

static bool boundary_is_valid(const char *boundary)
{
    size_t len = strlen(boundary);
    if (len == 0 || len > BOUNDARY_MAX || boundary[len - 1] == ' ') {
        return false;
    }
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "'()+_,-./:=? ";
    return strspn(boundary, allowed) == len;
}

/* "\r\n--boundary"; the dash-boundary is the same without its first two bytes. */
static int read_delimiter(const struct http_request *req, struct span *out, struct err *err)
{
    if (http_fields_times(&req->headers, "Content-Type") != 1) {
        return err_set(err, ERR_INVALID, "a form needs exactly one Content-Type header");
    }
    const char *type = http_header(req, "Content-Type");
    struct span value = {type, strlen(type)};
    if (!span_is(first_word(value), "multipart/form-data")) {
        return err_set(err, ERR_INVALID,
            "Content-Type must be multipart/form-data with a boundary (RFC 7578)");
    }
    const char *boundary = NULL;
    if (find_parameter(req->pool, value, "boundary", &boundary) != 0 || boundary == NULL ||
        !boundary_is_valid(boundary)) {
        return err_set(err, ERR_INVALID,
            "Content-Type: multipart/form-data needs one boundary of 1 to %d characters "
            "(RFC 2046)",
            BOUNDARY_MAX);
    }
    out->at = pool_printf(req->pool, "\r\n--%s", boundary);
    out->len = strlen(out->at);
    return 0;
}

/*
 * The next delimiter line at or after `from`: its begin (the CR, or the dashes at the very start
 * of the body) and the begin of what follows it. is_last for the closing one.
 */
struct delimiter {
    const char *begin, *after;
    bool is_last;
};

static bool find_delimiter(
    struct span body, const char *from, struct span mark, struct delimiter *out)
{
    const char *end = body.at + body.len;
    while (from < end) {
        const char *begin;
        size_t len = mark.len;
        if (from == body.at && body.len >= mark.len - 2 &&
            memcmp(from, mark.at + 2, mark.len - 2) == 0) {
            begin = from;
            len -= 2;
        } else {
            begin = memmem(from, (size_t)(end - from), mark.at, mark.len);
            if (begin == NULL) {
                return false;
            }
        }
        const char *at = begin + len;
        out->begin = begin;
        if (end - at >= 2 && at[0] == '-' && at[1] == '-') {
            out->after = at + 2;
            out->is_last = true;
            return true;
        }
        while (at < end && is_blank(*at)) {
            at++; /* padding that mail gateways add */
        }
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n') {
            out->after = at + 2;
            out->is_last = false;
            return true;
        }
        from = begin + 1; /* a longer line that begins like the delimiter is data */
    }
    return false;
}

/* Parts. */

static int read_part_header(struct pool *pool, struct span line, struct http_part *part,
    bool *has_disposition, struct err *err)
{
    const char *colon = memchr(line.at, ':', line.len);
    if (colon == NULL || colon == line.at || !is_token_char(line.at[0])) {
        return err_set(err, ERR_INVALID, "a header line is not 'Name: value'");
    }
    if (memchr(line.at, '\0', line.len) != NULL || memchr(line.at, '\r', line.len) != NULL ||
        memchr(line.at, '\n', line.len) != NULL) {
        return err_set(err, ERR_INVALID, "a header line has control characters");
    }
    struct span name = {line.at, (size_t)(colon - line.at)};
    struct span value = trim((struct span){colon + 1, line.len - name.len - 1});
    if (span_is(name, "Content-Disposition")) {
        if (*has_disposition || !span_is(first_word(value), "form-data") ||
            find_parameter(pool, value, "name", &part->name) != 0 ||
            find_parameter(pool, value, "filename", &part->filename) != 0) {
            return err_set(err, ERR_INVALID,
                "Content-Disposition must be there once and read form-data; name=\"...\"");
        }
        *has_disposition = true;
    } else if (span_is(name, "Content-Type")) {
        part->content_type = pool_strndup(pool, value.at, value.len);
    } else if (span_is(name, "Content-Transfer-Encoding") && !span_is(value, "binary") &&
               !span_is(value, "8bit") && !span_is(value, "7bit")) {
        return err_set(err, ERR_INVALID,
            "Content-Transfer-Encoding is not allowed in forms (RFC 7578 section 4.7): send the "
            "bytes as they are");
    }
    return 0;
}

static int read_part(struct pool *pool, struct span raw, struct http_part *part, struct err *err)
{
    *part = (struct http_part){0};
    /* No header at all: the empty line comes first. Only headers: there is none. */
    size_t headers_len;
    if (raw.len >= 2 && memcmp(raw.at, "\r\n", 2) == 0) {
        headers_len = 0;
        part->data = raw.at + 2;
    } else {
        const char *gap = memmem(raw.at, raw.len, "\r\n\r\n", 4);
        headers_len = gap != NULL ? (size_t)(gap - raw.at) : raw.len;
        part->data = gap != NULL ? gap + 4 : raw.at + raw.len;
    }
    part->len = (size_t)(raw.at + raw.len - part->data);
    if (headers_len > PART_HEADERS_MAX) {
        return err_set(err, ERR_LIMIT, "headers are longer than %d bytes", PART_HEADERS_MAX);
    }
    bool has_disposition = false;
    for (const char *at = raw.at, *end = raw.at + headers_len; at < end;) {
        const char *eol = memmem(at, (size_t)(end - at), "\r\n", 2);
        struct span line = {at, (size_t)((eol != NULL ? eol : end) - at)};
        if (line.len > 0 && read_part_header(pool, line, part, &has_disposition, err) != 0) {
            return -1;
        }
        at += line.len + 2;
    }
    if (part->name == NULL) {
        return err_set(err, ERR_INVALID, "no Content-Disposition: form-data; name=\"...\"");
    }
    return 0;
}

int http_multipart_find(
    const struct http_request *req, const char *field, struct http_part *out, struct err *err)
{
    struct span mark;
    if (read_delimiter(req, &mark, err) != 0) {
        return -1;
    }
    struct span body = {req->body, req->body_len};
    struct delimiter here, next;
    if (body.len == 0 || !find_delimiter(body, body.at, mark, &here)) {
        return err_set(
            err, ERR_INVALID, "form: the boundary of its Content-Type is not in the body");
    }
    bool is_found = false;
    for (int index = 1; !here.is_last; index++, here = next) {
        if (index > PARTS_MAX) {
            return err_set(err, ERR_LIMIT, "form: more than %d parts", PARTS_MAX);
        }
        /* The line end of this delimiter may serve the next one: a part of no bytes at all. */
        if (!find_delimiter(body, here.after - 2, mark, &next)) {
            return err_set(err, ERR_INVALID,
                "form: part %d is cut off: the closing boundary is missing", index);
        }
        struct span raw = {here.after, 0};
        if (next.begin > here.after) {
            raw.len = (size_t)(next.begin - here.after);
        }
        struct http_part part;
        if (read_part(req->pool, raw, &part, err) != 0) {
            return err_wrap(err, "form: part %d", index);
        }
        if (!is_found && strcmp(part.name, field) == 0) {
            *out = part;
            is_found = true;
        }
    }
    if (!is_found) {
        return err_set(err, ERR_INVALID, "form: there is no field '%s'", field);
    }
    return 0;
}
