/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a URL that a user gave. Parsed by libcurl's URL API, which is what libcurl itself
 * uses on the way out: what is judged here is what is connected to.
 */
#include "webhooks/egress_url.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/util.h"

#define URL_MAX 2048
#define HOST_MAX 253 /* of DNS */
#define LABEL_MAX 63

void egress_url_done(struct egress_url *url)
{
    free(url->host);
    url->host = NULL;
}

/* Before any parsing: what parsers are known to disagree about. */
static int check_text(const char *url, struct err *err)
{
    size_t len = strlen(url);
    if (len > URL_MAX) {
        return err_set(err, ERR_INVALID, "url: longer than %d characters", URL_MAX);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)url[i];
        if (c <= ' ' || c == 127) {
            return err_set(err, ERR_INVALID,
                "url: a blank or control character at %zu; percent-encode it", i + 1);
        }
        if (c == '\\') {
            return err_set(err, ERR_INVALID, "url: a backslash at %zu; write / or %%5C", i + 1);
        }
    }
    const char *slashes = strstr(url, "://");
    const char *authority = slashes != NULL ? slashes + 3 : url;
    size_t end = strcspn(authority, "/?#");
    if (slashes == NULL || end == 0) {
        return err_set(err, ERR_INVALID, "url: not an address like https://example.com/hook");
    }
    if (memchr(authority, '@', end) != NULL) {
        return err_set(err, ERR_INVALID,
            "url: user and password do not belong into it; the signature authenticates the "
            "sender, and a header of the subscription may carry a token");
    }
    for (size_t i = 0; i < end; i++) {
        if ((unsigned char)authority[i] >= 128) {
            return err_set(err, ERR_INVALID,
                "url: the host has letters outside ASCII; write it in its xn-- form (IDNA)");
        }
        if (authority[i] == '%') {
            return err_set(err, ERR_INVALID,
                "url: a %% in the host; write the host plainly, and IPv6 addresses without zone");
        }
    }
    return 0;
}

static int check_label(const char *label, size_t len, const char *host, struct err *err)
{
    if (len == 0 || len > LABEL_MAX || label[0] == '-' || label[len - 1] == '-') {
        return err_set(err, ERR_INVALID, "url: '%.*s' is not a host name", HOST_MAX, host);
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_') {
            return err_set(err, ERR_INVALID, "url: '%.*s' is not a host name", HOST_MAX, host);
        }
    }
    return 0;
}

/* No top-level domain is a number: some resolvers take such names for addresses. */
static bool is_number(const char *label, size_t len)
{
    bool is_hex = len >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X');
    size_t digits =
        is_hex ? 2 + strspn(label + 2, "0123456789abcdefABCDEF") : strspn(label, "0123456789");
    return digits >= len;
}

static int check_name(const char *host, struct err *err)
{
    const char *label = host;
    size_t len;
    if (strlen(host) > HOST_MAX) {
        return err_set(err, ERR_INVALID, "url: the host is longer than %d characters", HOST_MAX);
    }
    for (;; label += len + 1) {
        len = strcspn(label, ".");
        if (check_label(label, len, host, err) != 0) {
            return -1;
        }
        if (label[len] == '\0') {
            break;
        }
    }
    if (is_number(label, len)) {
        return err_set(err, ERR_INVALID,
            "url: '%s' is neither a host name nor an IPv4 address of four decimal numbers", host);
    }
    return 0;
}

/* libcurl has made 2130706433, 0x7f.1 and the like four decimal numbers by now. */
static int read_host(const char *text, struct egress_url *out, struct err *err)
{
    bool has_brackets = text[0] == '[';
    const char *from = has_brackets ? text + 1 : text;
    CLEANUP(cleanup_free) char *host = xstrndup(from, strcspn(from, "]"));
    for (char *c = host; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    out->is_literal = ip_parse(host, &out->ip) == 0;
    if (has_brackets && !out->is_literal) {
        return err_set(err, ERR_INVALID, "url: '%s' is not an IPv6 address", text);
    }
    size_t len = strlen(host);
    if (!out->is_literal && len > 0 && host[len - 1] == '.') {
        host[len - 1] = '\0'; /* a full name; the same host */
    }
    if (!out->is_literal && check_name(host, err) != 0) {
        return -1;
    }
    out->host = STEAL(host);
    return 0;
}

static int read_parts(CURLU *parts, const char *url, struct egress_url *out, struct err *err)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    int rc = -1;
    int64_t number = 0;
    CURLUcode code = curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (code != CURLUE_OK) {
        err_set(err, ERR_INVALID, "url: %s; write one like https://example.com/hook",
            curl_url_strerror(code));
    } else if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
               (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        err_set(err, ERR_INVALID, "url: only http and https can be delivered to");
    } else if (curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK || host[0] == '\0') {
        err_set(err, ERR_INVALID, "url: it has no host");
    } else if (curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
               parse_i64(port, 1, 65535, "port", &number, NULL) != 0) {
        err_set(err, ERR_INVALID, "url: the port is not a number from 1 to 65535");
    } else {
        out->is_https = strcmp(scheme, "https") == 0;
        out->port = (uint16_t)number;
        rc = read_host(host, out, err);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return rc;
}

int egress_url_parse(const char *url, struct egress_url *out, struct err *err)
{
    *out = (struct egress_url){0};
    if (check_text(url, err) != 0) {
        return -1;
    }
    CURLU *parts = curl_url();
    int rc = read_parts(parts, url, out, err);
    curl_url_cleanup(parts);
    return rc;
}
