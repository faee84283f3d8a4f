/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline packages: from uploaded bytes or a URL to a compiled plan. */
#include "api/kfp/package.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/http_client.h"
#include "base/ip.h"
#include "base/pool.h"
#include "base/util.h"

#include "scheduler/plan.h"

#include "api/api.h"
#include "api/kfp/source.h"

#include <event2/http.h>

#define FETCH_MS 60000

struct plan *package_compile(
    struct api_call *call, const char *filename, const void *data, size_t len)
{
    struct err err = ERR_INIT;
    if (len > PACKAGE_MAX) {
        api_fail_as(
            call, ERR_INVALID, "the file has %zu bytes; at most %zu are allowed", len, PACKAGE_MAX);
        return NULL;
    }
    CLEANUP(cleanup_free) char *text = NULL;
    size_t text_len = 0;
    if (package_open(filename, data, len, &text, &text_len, &err) != 0) {
        api_fail(call, &err);
        return NULL;
    }
    return source_compile_text(call, text, text_len);
}

/* ---- addresses that a URL may lead to ---- */

static int check_address(void *owner, const struct sockaddr *addr, struct err *err)
{
    (void)owner;
    struct ip ip, embedded[IP_EMBEDDED_MAX];
    if (ip_from_sockaddr(addr, &ip) != 0) {
        return err_set(err, ERR_DENIED, "neither an IPv4 nor an IPv6 address");
    }
    const char *special = ip_special(&ip);
    size_t count = ip_embedded(&ip, embedded);
    for (size_t i = 0; i < count && special == NULL; i++) {
        special = ip_special(&embedded[i]);
    }
    return special == NULL
               ? 0
               : err_set(err, ERR_DENIED, "its address is not a public one (%s)", special);
}

/* ---- fetching ---- */

struct fetch {
    struct api_call *call;
    const char *url, *filename;
    void (*done)(void *owner, struct plan *plan);
    void *owner;
};

static bool host_is_listed(const struct api *api, const char *host)
{
    for (const char *const *p = api->package_hosts; p != NULL && *p != NULL; p++) {
        if (strcasecmp(*p, host) == 0) {
            return true;
        }
    }
    return false;
}

static int check_url(struct fetch *op, struct err *err)
{
    struct evhttp_uri *uri = evhttp_uri_parse(op->url);
    const char *scheme = uri != NULL ? evhttp_uri_get_scheme(uri) : NULL;
    const char *host = uri != NULL ? evhttp_uri_get_host(uri) : NULL;
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    int rc = 0;
    if (scheme == NULL || strcasecmp(scheme, "https") != 0 || host == NULL || host[0] == '\0') {
        rc = err_set(err, ERR_INVALID, "pipeline_url: '%.200s' is not an https URL", op->url);
    } else if (evhttp_uri_get_userinfo(uri) != NULL || evhttp_uri_get_port(uri) != -1) {
        rc = err_set(err, ERR_INVALID, "pipeline_url: user names and ports are not allowed in it");
    } else if (!host_is_listed(op->call->api, host)) {
        rc = err_set(err, ERR_INVALID,
            "pipeline_url: '%.200s' is not among the hosts that files are fetched from "
            "(--package-hosts); upload the file instead",
            host);
    } else {
        const char *slash = path != NULL ? strrchr(path, '/') : NULL;
        op->filename = pool_strdup(op->call->req.pool, slash != NULL ? slash + 1 : "");
    }
    if (uri != NULL) {
        evhttp_uri_free(uri);
    }
    return rc;
}

static void on_fetched(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct fetch *op = owner;
    if (err != NULL) {
        api_fail_as(op->call, ERR_INVALID, "pipeline_url: %s", err->msg);
        return;
    }
    if (reply->status != 200) {
        api_fail_as(op->call, ERR_INVALID, "pipeline_url: %.200s answered with status %d", op->url,
            reply->status);
        return;
    }
    struct plan *plan = package_compile(op->call, op->filename, reply->body, reply->body_len);
    if (plan != NULL) {
        op->done(op->owner, plan);
    }
}

void package_fetch(struct api_call *call, const char *url,
    void (*done)(void *owner, struct plan *plan), void *owner)
{
    struct err err = ERR_INIT;
    if (call->api->http == NULL) {
        api_fail_as(call, ERR_INVALID,
            "pipeline_url: this daemon fetches no files; upload the file instead "
            "(/apis/v2beta1/pipelines/upload)");
        return;
    }
    struct fetch *op = pool_alloc(call->req.pool, sizeof *op);
    *op = (struct fetch){.call = call, .url = url, .done = done, .owner = owner};
    if (check_url(op, &err) != 0) {
        api_fail(call, &err);
        return;
    }
    const struct http_call_spec spec = {
        .method = "GET",
        .url = url,
        .timeout_ms = FETCH_MS,
        .max_body = PACKAGE_MAX,
        .fresh_connection = true,
        .check_address = check_address,
    };
    http_call_start(call->api->http, &spec, on_fetched, op);
}
