/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request at a time, waited for; told-to-stop ends it. libevent and OpenSSL. */
#ifndef LAUNCH_HTTP_H
#define LAUNCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct http;
struct signals;

/* url: http or https, its path is put before each request's. */
struct http *http_new(const char *url, const char *token, const char *ca_file,
    struct signals *signals, struct err *err);
void http_free(struct http *http);
const char *http_where(const struct http *http); /* "http://host:port" for messages */

struct http_ask {
    const char *method; /* GET, PUT, POST */
    const char *path;   /* "/order", with query */
    const void *body;
    size_t len;
    size_t max_answer;
    int64_t timeout_us;
    bool is_stoppable;
};
struct http_answer {
    int status;
    char *body; /* malloc'd, NUL-terminated */
    size_t len;
    int64_t total; /* X-Total, -1 if there is none */
};
/* 0: an answer came, whatever its status; free its body. ERR_TRANSIENT: none came. A redirect (307) is
 * followed once. */
int http_call(
    struct http *http, const struct http_ask *ask, struct http_answer *out, struct err *err);

#endif
