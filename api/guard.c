/* SPDX-License-Identifier: Apache-2.0 */
/* The Host, Origin and bearer token checks. */
#include "api/guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/secret.h"
#include "base/util.h"

#include "api/api.h"

#define HOST_MAX 255

/*
 * The host of "host", "host:port" or "[v6]:port", in lower case without port and brackets. A
 * trailing dot names the same host. False when it is malformed.
 */
static bool host_of(const char *text, size_t len, char out[HOST_MAX + 1])
{
    const char *start = text;
    size_t host_len = len;
    if (len > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', len);
        if (close == NULL) {
            return false;
        }
        start = text + 1;
        host_len = (size_t)(close - start);
    } else {
        const char *colon = memchr(text, ':', len);
        if (colon != NULL) {
            host_len = (size_t)(colon - text);
        }
    }
    if (host_len > 1 && start[host_len - 1] == '.') {
        host_len--;
    }
    if (host_len == 0 || host_len > HOST_MAX) {
        return false;
    }
    for (size_t i = 0; i < host_len; i++) {
        char c = start[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    out[host_len] = '\0';
    return true;
}

static bool is_address(const char *host)
{
    unsigned char raw[16];
    return inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
}

/* The part "host:port" of a URL. */
static const char *url_authority(const char *url, size_t *len_out)
{
    const char *start = strstr(url, "://");
    start = start != NULL ? start + 3 : url;
    *len_out = strcspn(start, "/?#");
    return start;
}

int guard_host(
    const struct api *api, const char *listen, const struct http_request *req, struct err *err)
{
    const char *text = http_header(req, "Host");
    if (text == NULL) {
        return 0; /* HTTP/1.0; browsers always send it */
    }
    char host[HOST_MAX + 1];
    char other[HOST_MAX + 1];
    if (http_fields_times(&req->headers, "Host") != 1 || !host_of(text, strlen(text), host)) {
        return err_set(err, ERR_INVALID, "Host header: not a host name");
    }
    if (is_address(host) || strcmp(host, "localhost") == 0) {
        return 0;
    }
    if (listen != NULL && host_of(listen, strlen(listen), other) && strcmp(host, other) == 0) {
        return 0;
    }
    const char *const urls[] = {api->public_url, api->advertise_url};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        size_t len;
        const char *authority = urls[i] != NULL ? url_authority(urls[i], &len) : NULL;
        if (authority != NULL && host_of(authority, len, other) && strcmp(host, other) == 0) {
            return 0;
        }
    }
    for (const char *const *allowed = api->allow_hosts; allowed != NULL && *allowed != NULL;
         allowed++) {
        if (host_of(*allowed, strlen(*allowed), other) && strcmp(host, other) == 0) {
            return 0;
        }
    }
    return err_set(err, ERR_DENIED,
        "the host name '%s' is not one of this daemon's; if it should be, start rondod with "
        "--allow-hosts %s",
        host, host);
}

int guard_origin(const struct api *api, const struct http_request *req, struct err *err)
{
    const char *origin = http_header(req, "Origin");
    if (origin == NULL) {
        return 0;
    }
    const char *host = http_header(req, "Host");
    size_t len;
    const char *authority = url_authority(origin, &len);
    if (authority != origin && authority[len] == '\0' && host != NULL && strlen(host) == len &&
        strncasecmp(authority, host, len) == 0) {
        return 0;
    }
    if (api->public_url != NULL) {
        size_t public_len;
        const char *public_start = url_authority(api->public_url, &public_len);
        size_t whole = (size_t)(public_start - api->public_url) + public_len;
        if (strlen(origin) == whole && strncasecmp(origin, api->public_url, whole) == 0) {
            return 0;
        }
    }
    return err_set(err, ERR_DENIED, "requests from web pages of another site are refused");
}

int guard_token(const struct api *api, const struct http_request *req, struct err *err)
{
    if (api->tokens == NULL || api->tokens[0] == NULL) {
        return 0;
    }
    const char *header = http_header(req, "Authorization");
    if (header == NULL) {
        return err_set(
            err, ERR_UNAUTHENTICATED, "no token: send the header 'Authorization: Bearer TOKEN'");
    }
    if (strncasecmp(header, "Bearer ", 7) != 0 ||
        http_fields_times(&req->headers, "Authorization") != 1) {
        return err_set(err, ERR_UNAUTHENTICATED, "Authorization: expected one 'Bearer TOKEN'");
    }
    const char *token = header + 7;
    unsigned char digest[SHA256_LEN];
    sha256(token, strlen(token), digest);
    bool found = false;
    for (size_t i = 0; api->tokens[i] != NULL; i++) {
        unsigned char known[SHA256_LEN];
        /* all of them, so that the time does not tell which */
        if (hex_decode(api->tokens[i], strlen(api->tokens[i]), known, sizeof known) >= 0) {
            found |= secret_eq(digest, sizeof digest, known, sizeof known);
        }
    }
    return found ? 0 : err_set(err, ERR_UNAUTHENTICATED, "the token is not known here");
}
