/* SPDX-License-Identifier: Apache-2.0 */
/* Single requests to the API server, and what its errors mean. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/util.h"
#include "kube/internal.h"

#define REPLY_MAX (64 * 1024 * 1024)
#define CALL_TIMEOUT_MS 30000
#define TOKEN_MAX (64 * 1024)

struct kube_call {
    struct http_call *http;
    kube_done_fn *done;
    kube_text_fn *text_done;
    void *owner;
};

struct kube *kube_new(
    struct loop *loop, struct http_client *http, const struct kube_credentials *credentials)
{
    struct kube *kube = xcalloc(1, sizeof *kube);
    kube->loop = loop;
    kube->http = http;
    kube->credentials = credentials;
    return kube;
}

void kube_free(struct kube *kube)
{
    free(kube);
}

const char *kube_namespace(const struct kube *kube)
{
    return kube->credentials->namespace_;
}

/* The token to send now; malloc'd or NULL. */
static char *kube_token(const struct kube_credentials *c)
{
    if (c->token_file == NULL) {
        return c->token != NULL ? xstrdup(c->token) : NULL;
    }
    char *token = file_read(c->token_file, TOKEN_MAX, NULL, NULL);
    if (token != NULL) {
        token[strcspn(token, "\r\n")] = '\0';
    }
    return token;
}

struct http_call *kube_http(struct kube *kube, struct http_call_spec *spec, const char *path,
    http_done_fn *done, void *owner)
{
    const struct kube_credentials *c = kube->credentials;
    static const char *const headers[] = {"Content-Type: application/json",
        "Accept: application/json", "User-Agent: rondo/" RONDO_VERSION, NULL};
    CLEANUP(cleanup_free) char *url = xasprintf("%s%s", c->server, path);
    char *token = kube_token(c);
    spec->url = url;
    spec->headers = headers;
    spec->ca_file = c->ca_file;
    spec->client_cert_file = c->cert_file;
    spec->client_key_file = c->key_file;
    spec->insecure_tls = c->insecure;
    spec->bearer = token;
    struct http_call *call = http_call_start(kube->http, spec, done, owner);
    if (token != NULL) {
        explicit_bzero(token, strlen(token));
    }
    free(token);
    return call;
}

int kube_status_err(int status, const json_t *body, struct err *err)
{
    const char *reason = jget_str(body, "reason", "");
    enum err_code code = ERR_INTERNAL;
    switch (status) {
    case 400:
    case 422:
        code = ERR_INVALID;
        break;
    case 401:
        code = ERR_UNAUTHENTICATED;
        break;
    case 403:
        code = ERR_DENIED;
        break;
    case 404:
        code = ERR_NOT_FOUND;
        break;
    case 409:
        code = strcmp(reason, "AlreadyExists") == 0 ? ERR_EXISTS : ERR_CONFLICT;
        break;
    case 410:
        code = ERR_PRECONDITION;
        break;
    default:
        code = status == 429 || status >= 500 ? ERR_TRANSIENT : ERR_INTERNAL;
        break;
    }
    return err_set(
        err, code, "Kubernetes answered %d: %.1000s", status, jget_str(body, "message", reason));
}

static void on_json(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct kube_call *call = owner;
    call->http = NULL;
    struct err bad = ERR_INIT;
    json_t *body = NULL;
    if (err == NULL) {
        body = jread_text(reply->body, reply->body_len, "Kubernetes' reply", &bad);
        if (reply->status < 200 || reply->status >= 300) {
            kube_status_err(reply->status, body, &bad);
            err = &bad;
        } else if (body == NULL) {
            bad.code = ERR_TRANSIENT; /* a proxy's page, most likely */
            err = &bad;
        }
    }
    call->done(call->owner, err == NULL ? body : NULL, err);
    json_decref(body);
    free(call);
}

struct kube_call *kube_request(struct kube *kube, const char *method, const char *path,
    const json_t *body, kube_done_fn *done, void *owner)
{
    struct kube_call *call = xcalloc(1, sizeof *call);
    call->done = done;
    call->owner = owner;
    CLEANUP(cleanup_free) char *text = body != NULL ? jtext(body) : NULL;
    struct http_call_spec spec = {
        .method = method,
        .body = text,
        .body_len = text != NULL ? strlen(text) : 0,
        .timeout_ms = CALL_TIMEOUT_MS,
        .max_body = REPLY_MAX,
    };
    call->http = kube_http(kube, &spec, path, on_json, call);
    return call;
}

static void on_text(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct kube_call *call = owner;
    call->http = NULL;
    struct err bad = ERR_INIT;
    if (err == NULL && (reply->status < 200 || reply->status >= 300)) {
        json_t *body = json_loadb(reply->body, reply->body_len, 0, NULL);
        kube_status_err(reply->status, body, &bad);
        json_decref(body);
        err = &bad;
    }
    call->text_done(
        call->owner, err == NULL ? reply->body : NULL, err == NULL ? reply->body_len : 0, err);
    free(call);
}

struct kube_call *kube_text(
    struct kube *kube, const char *path, size_t max, kube_text_fn *done, void *owner)
{
    struct kube_call *call = xcalloc(1, sizeof *call);
    call->text_done = done;
    call->owner = owner;
    struct http_call_spec spec = {
        .method = "GET",
        .timeout_ms = CALL_TIMEOUT_MS,
        .max_body = max,
        .cut_body = true,
    };
    call->http = kube_http(kube, &spec, path, on_text, call);
    return call;
}

void kube_cancel(struct kube_call *call)
{
    if (call != NULL) {
        http_call_cancel(call->http);
        free(call);
    }
}
