/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: JSON, text, errors in KFP's form, streams; and reading a JSON body. */
#include "api/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"

void api_reply(struct api_call *call)
{
    if (call->resp.body.overflow) {
        LOG_ERROR("reply is too large", "path=%s", LOG_Q(call->req.path));
        buf_done(&call->resp.body);
        buf_init(&call->resp.body, ERR_MSG_MAX);
        call->resp.status = 500;
    }
    server_send(call->server_);
}

void api_reply_stream(struct api_call *call, const char *type, api_chunk_fn *fn, void *owner)
{
    http_fields_add(call->req.pool, &call->resp.headers, "Content-Type", type);
    server_stream(call->server_, fn, owner);
}

static int dump_to_buf(const char *data, size_t len, void *owner)
{
    return buf_add(owner, data, len);
}

void api_reply_json(struct api_call *call, int status, const json_t *body)
{
    call->resp.status = status;
    http_fields_add(call->req.pool, &call->resp.headers, "Content-Type", "application/json");
    json_dump_callback(body, dump_to_buf, &call->resp.body, JSON_COMPACT | JSON_ENCODE_ANY);
    api_reply(call);
}

void api_reply_empty(struct api_call *call)
{
    http_fields_add(call->req.pool, &call->resp.headers, "Content-Type", "application/json");
    buf_adds(&call->resp.body, "{}");
    api_reply(call);
}

void api_reply_text(struct api_call *call, int status, const char *type, const char *text)
{
    call->resp.status = status;
    http_fields_add(call->req.pool, &call->resp.headers, "Content-Type", type);
    buf_adds(&call->resp.body, text);
    api_reply(call);
}

/* gRPC code and HTTP status, as grpc-gateway pairs them. */
static int grpc_code(enum err_code code, int *status_out)
{
    switch (code) {
    case ERR_INVALID:
    case ERR_LIMIT:
        *status_out = 400;
        return 3;
    case ERR_NOT_FOUND:
        *status_out = 404;
        return 5;
    case ERR_EXISTS:
        *status_out = 409;
        return 6;
    case ERR_CONFLICT:
        *status_out = 409;
        return 10;
    case ERR_PRECONDITION:
        *status_out = 400;
        return 9;
    case ERR_UNAUTHENTICATED:
        *status_out = 401;
        return 16;
    case ERR_DENIED:
        *status_out = 403;
        return 7;
    case ERR_FENCED:
    case ERR_TRANSIENT:
        *status_out = 503;
        return 14;
    case ERR_NONE:
    case ERR_INTERNAL:
        break;
    }
    *status_out = 500;
    return 13;
}

static void reply_error(struct api_call *call, int code, int status, const char *text)
{
    /* User text may have been cut in the middle of a character. */
    json_t *message = json_string(text);
    if (message == NULL) {
        char *safe = pool_strdup(call->req.pool, text);
        for (char *p = safe; *p != '\0'; p++) {
            if ((unsigned char)*p >= 0x80) {
                *p = '?';
            }
        }
        message = json_string(safe);
    }
    json_t *body = api_keep(call, json_object());
    json_object_set_new(body, "code", json_integer(code));
    json_object_set(body, "message", message);
    if (strstr(call->req.path, "/upload") != NULL || strstr(call->req.path, "/nodes/") != NULL) {
        /* KFP's own handlers have a form of their own; this body satisfies both. */
        json_object_set(body, "error_message", message);
        json_object_set(body, "error_details", message);
    }
    json_t *detail = json_object();
    json_object_set_new(detail, "@type", json_string("type.googleapis.com/google.rpc.Status"));
    json_object_set_new(detail, "code", json_integer(code));
    json_object_set_new(detail, "message", message);
    json_t *details = json_array();
    json_array_append_new(details, detail);
    json_object_set_new(body, "details", details);
    if (status == 401) {
        http_fields_add(call->req.pool, &call->resp.headers, "WWW-Authenticate", "Bearer");
    } else if (status == 503) {
        http_fields_add(call->req.pool, &call->resp.headers, "Retry-After", "2");
    } else if (status == 500) {
        LOG_ERROR("request failed", "method=%s path=%s error=%s", call->req.method,
            LOG_Q(call->req.path), LOG_Q(text));
    }
    api_reply_json(call, status, body);
}

void api_fail(struct api_call *call, const struct err *err)
{
    int status;
    int code = grpc_code(err->code, &status);
    reply_error(call, code, status, err->msg);
}

void api_fail_long(struct api_call *call, enum err_code code, const char *text)
{
    int status;
    int number = grpc_code(code, &status);
    reply_error(call, number, status, text);
}

void api_fail_as(struct api_call *call, enum err_code code, const char *fmt, ...)
{
    struct err err = {.code = code};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err.msg, sizeof err.msg, fmt, ap);
    va_end(ap);
    api_fail(call, &err);
}

void api_fail_unimplemented(struct api_call *call, const char *text)
{
    reply_error(call, 12, 501, text);
}

static void decref(void *value)
{
    json_decref(value);
}

json_t *api_keep(struct api_call *call, json_t *value)
{
    if (value != NULL) {
        pool_on_free(call->req.pool, decref, value);
    }
    return value;
}

json_t *api_body_json(struct api_call *call)
{
    struct err err = ERR_INIT;
    if (call->req.body_len == 0) {
        return api_keep(call, json_object());
    }
    json_t *body =
        api_keep(call, jread_text(call->req.body, call->req.body_len, "request body", &err));
    if (body == NULL) {
        api_fail(call, &err);
        return NULL;
    }
    if (!json_is_object(body)) {
        api_fail_as(call, ERR_INVALID, "request body: expected a JSON object");
        return NULL;
    }
    return body;
}

bool api_query_only(struct api_call *call, const char *const *known)
{
    for (size_t i = 0; i < call->req.query.count; i++) {
        const char *name = call->req.query.items[i].name;
        size_t k = 0;
        while (known[k] != NULL && strcmp(known[k], name) != 0) {
            k++;
        }
        if (known[k] == NULL) {
            struct buf list;
            buf_init(&list, 1024);
            for (k = 0; known[k] != NULL; k++) {
                buf_addf(&list, "%s%s", k > 0 ? ", " : "", known[k]);
            }
            api_fail_as(call, ERR_INVALID, "query: unknown parameter '%.64s'; there is %s", name,
                buf_str(&list));
            buf_done(&list);
            return false;
        }
    }
    return true;
}

bool api_query_page(struct api_call *call, size_t *size_out, const char **token_out)
{
    static const char *const known[] = {"page_size", "page_token", NULL};
    struct err err = ERR_INIT;
    int64_t max = API_PAGE_MAX;
    const char *size = http_query(&call->req, "page_size");
    const char *token = http_query(&call->req, "page_token");
    if (!api_query_only(call, known)) {
        return false;
    }
    if (size != NULL && parse_i64(size, 1, API_PAGE_MAX, "page_size", &max, &err) != 0) {
        api_fail(call, &err);
        return false;
    }
    *size_out = (size_t)max;
    *token_out = token != NULL ? token : "";
    return true;
}

void api_reply_record(void *owner, const json_t *record, const struct err *err)
{
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    api_reply_json(call, 200, record);
}

void api_reply_done(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    struct api_call *call = owner;
    if (err != NULL) {
        api_fail(call, err);
        return;
    }
    api_reply_empty(call);
}
