/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /apis/rondo/v1/daemons: who is there, and who carries which shard on. And where a call has to go
 * that only one of them can answer.
 */
#include "api/daemons.h"

#include "base/err.h"
#include "base/http_client.h"
#include "base/id.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/lease.h"

#include "api/api.h"

#define HOP_HEADER "X-Rondo-Passed-On"
#define ANSWER_MAX ((size_t)80 << 20)

static void handle_daemons(struct api_call *call)
{
    const struct api *api = call->api;
    json_t *out = api_keep(call, json_object());
    json_t *members = api->lease != NULL ? lease_members(api->lease) : json_array();
    size_t i;
    json_t *one;
    json_array_foreach(members, i, one)
    {
        int64_t started_us = jget_i64(one, "started_us", 0);
        json_object_del(one, "started_us");
        jset_time(one, "started_at", started_us);
    }
    json_object_set_new(out, "daemons", members);
    json_object_set_new(out, "shards", json_integer(store_shards(api->store)));
    api_reply_json(call, 200, out);
}

const char *daemons_url_of_run(const struct api *api, const char *run_id)
{
    return api->lease != NULL && id_is_valid(run_id)
               ? lease_url(api->lease, id_shard(run_id, store_shards(api->store)))
               : NULL;
}

/* The same path and query there. */
static const char *same_at(const struct api_call *call, const char *url)
{
    const char *query = call->req.query_raw;
    return pool_printf(
        call->req.pool, "%s%s%s%s", url, call->req.path, query[0] != '\0' ? "?" : "", query);
}

bool daemons_redirect(struct api_call *call, const char *run_id)
{
    const char *url = daemons_url_of_run(call->api, run_id);
    if (url == NULL) {
        return false;
    }
    const char *location = same_at(call, url);
    http_fields_add(call->req.pool, &call->resp.headers, "Location", location);
    call->resp.status = 307;
    api_reply(call);
    return true;
}

/* ---- passing a call on ---- */

struct passed {
    struct api_call *call;
    struct http_call *http;
};

static void on_passed_answer(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct passed *p = owner;
    struct api_call *call = p->call;
    p->http = NULL;
    if (err != NULL) {
        struct err told;
        err_copy(&told, err);
        told.code = ERR_TRANSIENT;
        err_wrap(&told, "the daemon that carries this run on");
        api_fail(call, &told);
        return;
    }
    const char *type = reply->header(reply, "Content-Type");
    http_fields_add(call->req.pool, &call->resp.headers, "Content-Type",
        pool_strdup(call->req.pool, type != NULL ? type : "application/octet-stream"));
    call->resp.status = reply->status;
    buf_add(&call->resp.body, reply->body, reply->body_len);
    api_reply(call);
}

static void passed_free(void *value)
{
    http_call_cancel(((struct passed *)value)->http);
}

bool daemons_pass_on(struct api_call *call, const char *run_id)
{
    struct api *api = call->api;
    const char *url = daemons_url_of_run(api, run_id);
    /* Once is enough: two that each think the other has it would play ball. */
    if (url == NULL || api->http == NULL || http_header(&call->req, HOP_HEADER) != NULL) {
        return false;
    }
    struct pool *pool = call->req.pool;
    const char *authorization = http_header(&call->req, "Authorization");
    const char *headers[3] = {HOP_HEADER ": 1"};
    if (authorization != NULL) {
        headers[1] = pool_printf(pool, "Authorization: %s", authorization);
    }
    struct http_call_spec spec = {
        .method = call->req.method,
        .url = same_at(call, url),
        .headers = headers,
        .connect_timeout_ms = 2000,
        .max_body = ANSWER_MAX,
    };
    struct passed *p = pool_calloc(pool, 1, sizeof *p);
    p->call = call;
    pool_on_free(pool, passed_free, p);
    p->http = http_call_start(api->http, &spec, on_passed_answer, p);
    return true;
}

const struct route routes_daemons[] = {
    {"GET", "/apis/rondo/v1/daemons", handle_daemons, ROUTE_TOKEN},
    {NULL, NULL, NULL, ROUTE_TOKEN},
};
