/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP requests and responses as plain values, so that handlers are tested without sockets.
 * Names compare without case, over their whole length.
 */
#ifndef BASE_HTTP_MSG_H
#define BASE_HTTP_MSG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct err;
struct pool;

struct http_field {
    const char *name;
    const char *value;
};

struct http_fields {
    struct http_field *items; /* in the owner's pool */
    size_t count, cap;
};

void http_fields_add(struct pool *pool, struct http_fields *f, const char *name, const char *value);
/* First value, or NULL. */
const char *http_fields_get(const struct http_fields *f, const char *name);
/* How many times it occurs: a signature header sent twice is an attack, not a list. */
size_t http_fields_times(const struct http_fields *f, const char *name);

struct http_request {
    struct pool *pool;       /* everything below lives here */
    const char *method;      /* "GET" */
    const char *path;        /* raw, still percent-encoded, without the query */
    const char *query_raw;   /* "" when absent */
    struct http_fields query; /* decoded */
    struct http_fields headers;
    const char *body;        /* exact bytes, NUL after the end */
    size_t body_len;
    const char *peer;        /* "127.0.0.1" */
};

struct http_response {
    int status;
    struct http_fields headers; /* pool of the request */
    struct buf body;
};

const char *http_header(const struct http_request *req, const char *name);
const char *http_query(const struct http_request *req, const char *name); /* NULL when absent */
/* Fill query from query_raw ('+' is a space; bad escapes are kept as they are). */
void http_query_parse(struct http_request *req);

/* Percent-decode `len` bytes into the pool; refuses NUL. */
char *http_decode(struct pool *pool, const char *text, size_t len, bool plus_is_space);
/* Percent-encode everything outside RFC 3986 unreserved. */
void http_encode(struct buf *out, const char *text);

/*
 * Does the path match? A pattern segment "{name}" takes one non-empty segment, "{name}:verb"
 * one ending in ":verb" (the name part is decoded). Captures are added in order to *args.
 */
bool http_path_match(struct pool *pool, const char *pattern, const char *path,
    struct http_fields *args);

/* One part of multipart/form-data (RFC 7578): the first part with this field name. */
struct http_part {
    const char *name, *filename, *content_type;
    const char *data;
    size_t len;
};
int http_multipart_find(const struct http_request *req, const char *field, struct http_part *out,
    struct err *err);

#endif
