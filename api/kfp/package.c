/* SPDX-License-Identifier: Apache-2.0 */
/* Pipeline packages: from uploaded bytes or a URL to a compiled plan. */
#include "api/kfp/package.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/http_client.h"
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

static bool in_net(uint32_t address, uint32_t net, int bits)
{
    return (address ^ net) >> (32 - bits) == 0;
}

static bool is_public_v4(uint32_t a)
{
    static const struct {
        uint32_t net;
        int bits;
    } closed[] = {
        {0x00000000, 8},  /* this network */
        {0x0a000000, 8},  /* private */
        {0x64400000, 10}, /* carrier-grade NAT */
        {0x7f000000, 8},  /* loopback */
        {0xa9fe0000, 16}, /* link-local, cloud metadata */
        {0xac100000, 12}, /* private */
        {0xc0000000, 24}, /* protocol assignments */
        {0xc0a80000, 16}, /* private */
        {0xc6120000, 15}, /* benchmarks */
        {0xe0000000, 3},  /* multicast, reserved, broadcast */
    };
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        if (in_net(a, closed[i].net, closed[i].bits)) {
            return false;
        }
    }
    return true;
}

static bool is_public_v6(const struct in6_addr *addr)
{
    const unsigned char *b = addr->s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(addr)) {
        uint32_t v4;
        memcpy(&v4, b + 12, sizeof v4);
        return is_public_v4(ntohl(v4));
    }
    /* Global unicast is 2000::/3; without 6to4 and Teredo, which embed IPv4 addresses. */
    bool is_tunnel =
        (b[0] == 0x20 && b[1] == 0x02) || (b[0] == 0x20 && b[1] == 0x01 && b[2] == 0 && b[3] == 0);
    return (b[0] & 0xe0) == 0x20 && !is_tunnel;
}

static bool is_public(void *owner, const struct sockaddr *addr)
{
    (void)owner;
    if (addr->sa_family == AF_INET) {
        return is_public_v4(ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr));
    }
    return addr->sa_family == AF_INET6 &&
           is_public_v6(&((const struct sockaddr_in6 *)addr)->sin6_addr);
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
        .allow_address = is_public,
    };
    http_call_start(call->api->http, &spec, on_fetched, op);
}
