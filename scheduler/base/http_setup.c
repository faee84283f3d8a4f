/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP client: from what a call is to be to libcurl's options. */
#include "http_call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/util.h"
#include "http_pool.h"

#define CONNECT_TIMEOUT_MS 10000
#define TIMEOUT_MS 30000
#define CA_CACHE_S 3600 /* after which changed authorities are seen */

#ifndef RONDO_VERSION
#define RONDO_VERSION "0"
#endif

static bool has_control(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if ((*c < ' ' && *c != '\t') || *c == 127) {
            return true;
        }
    }
    return false;
}

static void call_add_header(struct http_call *call, const char *line)
{
    struct curl_slist *list = curl_slist_append(call->headers, line);
    assert(list != NULL);
    call->headers = list;
}

static int call_set_headers(
    struct http_call *call, const struct http_call_spec *spec, struct err *err)
{
    bool has_type = false, has_agent = false;
    for (const char *const *line = spec->headers; line != NULL && *line != NULL; line++) {
        if (has_control(*line)) {
            return err_set(err, ERR_INVALID, "%s: a header has control characters", call->where);
        }
        has_type = has_type || strncasecmp(*line, "Content-Type:", 13) == 0;
        has_agent = has_agent || strncasecmp(*line, "User-Agent:", 11) == 0;
        call_add_header(call, *line);
    }
    if (spec->bearer != NULL) {
        if (has_control(spec->bearer)) {
            return err_set(
                err, ERR_INVALID, "%s: the bearer token has control characters", call->where);
        }
        char *line = xasprintf("Authorization: Bearer %s", spec->bearer);
        call_add_header(call, line);
        free(line);
    }
    call_add_header(call, "Expect:"); /* or curl waits a second for a "100 Continue" */
    if (!has_type) {
        call_add_header(call, "Content-Type:"); /* or curl says it is a web form */
    }
    if (!has_agent) {
        curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "rondo/" RONDO_VERSION);
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return 0;
}

static void call_set_method(struct http_call *call, const struct http_call_spec *spec)
{
    CURL *easy = call->easy;
    const char *method = spec->method != NULL ? spec->method : "GET";
    bool has_body = spec->body_len > 0 || strcmp(method, "POST") == 0 ||
                    strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (has_body) {
        /* The size first: it says how much is to be copied. */
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body_len);
        curl_easy_setopt(
            easy, CURLOPT_COPYPOSTFIELDS, spec->body_len > 0 ? (const char *)spec->body : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

/* The file of authorities that libcurl was built to use. */
static bool has_system_bundle(void)
{
    const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;
    return path != NULL && access(path, R_OK) == 0;
}

static void call_set_tls(struct http_call *call, const struct http_call_spec *spec)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (spec->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, spec->ca_file);
    }
    if (spec->ca_file != NULL || has_system_bundle()) {
        /*
         * Only this one, not the system's folder too. And libcurl keeps what it has parsed of a
         * file, but not when there is a folder: parsing the system's takes 30 ms for each
         * connection.
         */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
#endif
    if (spec->client_cert_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, spec->client_cert_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, spec->client_key_file);
    }
    if (spec->insecure_tls) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void call_set_network(struct http_call *call, const struct http_call_spec *spec)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* also not the environment's */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, spec->http_only ? "http" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A name server that does not answer must not hold up the cancelling of a call. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (spec->pool_key != NULL) {
        call->pool = http_pool_take(call->client->pools, spec->pool_key);
        http_pool_use(call->pool, easy);
    }
    if (spec->fresh_connection) {
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    } else if (strncasecmp(spec->url, "https:", 6) == 0) {
        /* Rather share a connection that is being made than make a second one. */
        curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    }
    if (spec->unix_socket != NULL) {
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, spec->unix_socket);
    }
    int64_t timeout_ms = spec->timeout_ms == 0 ? TIMEOUT_MS : spec->timeout_ms;
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? (long)timeout_ms : 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
        spec->connect_timeout_ms > 0 ? (long)spec->connect_timeout_ms : (long)CONNECT_TIMEOUT_MS);
    if (!spec->cut_body && spec->on_data == NULL) {
        curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->max_body);
    }
}

int http_call_set_up(struct http_call *call, const struct http_call_spec *spec, struct err *err)
{
    if (has_control(spec->url)) {
        return err_set(err, ERR_INVALID, "%s: the URL has control characters", call->where);
    }
    curl_easy_setopt(call->easy, CURLOPT_URL, spec->url);
    call_set_network(call, spec);
    call_set_tls(call, spec);
    call_set_method(call, spec);
    return call_set_headers(call, spec, err);
}

char *http_call_describe(const char *method, const char *url)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    char *text;
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == 0 &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == 0 &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == 0) {
        bool has_port = curl_url_get(parts, CURLUPART_PORT, &port, 0) == 0;
        text = xasprintf(
            "%s %s://%s%s%s", method, scheme, host, has_port ? ":" : "", has_port ? port : "");
    } else {
        text = xasprintf("%s of a malformed URL", method);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return text;
}
