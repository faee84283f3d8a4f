/* SPDX-License-Identifier: Apache-2.0 */
/* GitHub's dialect: signature, event header, push payload. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/git_push.h"

#define DELIVERY_MAX 128
#define REF_MAX 1024
#define SIGNATURE_PREFIX "sha256="

int github_verify(const struct http_request *req, const char *secret, struct err *err)
{
    if (http_fields_times(&req->headers, "X-Hub-Signature-256") != 1) {
        return err_set(err, ERR_UNAUTHENTICATED,
            "expected the header X-Hub-Signature-256 exactly once; set the same secret in the "
            "forge's webhook settings");
    }
    const char *sent = http_header(req, "X-Hub-Signature-256");
    unsigned char mac[SHA256_LEN], claimed[SHA256_LEN];
    size_t prefix = strlen(SIGNATURE_PREFIX);
    if (strlen(sent) != prefix + SHA256_HEX_LEN || !str_starts(sent, SIGNATURE_PREFIX) ||
        hex_decode(sent + prefix, SHA256_HEX_LEN, claimed, sizeof claimed) < 0) {
        return err_set(
            err, ERR_UNAUTHENTICATED, "X-Hub-Signature-256 must be 'sha256=' and 64 hex digits");
    }
    hmac_sha256(secret, strlen(secret), req->body, req->body_len, mac);
    if (!secret_eq(mac, sizeof mac, claimed, sizeof claimed)) {
        return err_set(err, ERR_UNAUTHENTICATED,
            "X-Hub-Signature-256 does not match: another secret, or a changed body");
    }
    return 0;
}

static void drop_json(void *value)
{
    json_decref(value);
}

/* The id becomes part of names and log lines: printable ASCII, as all forges send it. */
static bool is_delivery(const char *text)
{
    size_t len = text != NULL ? strlen(text) : 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= 0x20 || text[i] >= 0x7f) {
            return false;
        }
    }
    return len > 0 && len <= DELIVERY_MAX;
}

/* The JSON text: the body itself, or the form's `payload` (GitHub signs the raw form body). */
static int read_payload(const struct http_request *req, json_t **out, struct err *err)
{
    const char *type = http_header(req, "Content-Type");
    const char *text = req->body;
    size_t len = req->body_len;
    if (type != NULL && strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0) {
        struct http_request form = *req;
        form.query = (struct http_fields){0};
        form.query_raw = req->body;
        http_query_parse(&form);
        text = http_fields_get(&form.query, "payload");
        if (text == NULL) {
            return err_set(err, ERR_INVALID, "the form has no field 'payload'");
        }
        len = strlen(text);
    }
    json_t *payload = jread_text(text, len, "payload", err);
    if (payload == NULL) {
        return -1;
    }
    pool_on_free(req->pool, drop_json, payload);
    if (!json_is_object(payload)) {
        return err_set(err, ERR_INVALID, "payload: expected a JSON object");
    }
    *out = payload;
    return 0;
}

static int read_people_and_repository(const json_t *payload, struct git_push *out, struct err *err)
{
    const json_t *repository = NULL, *pusher = NULL, *head = NULL;
    out->url = out->actor = out->message = "";
    if (jread_object(payload, "", "repository", &repository, err) != 0 ||
        jread_object(payload, "", "pusher", &pusher, err) != 0 ||
        jread_object(payload, "", "head_commit", &head, err) != 0) {
        return -1;
    }
    if (repository == NULL) {
        return err_set(err, ERR_INVALID, "repository: missing");
    }
    if (jread_need_string(repository, "repository", "full_name", &out->repository, err) != 0 ||
        jread_string(repository, "repository", "clone_url", &out->url, err) != 0) {
        return -1;
    }
    if (pusher != NULL && jread_string(pusher, "pusher", "name", &out->actor, err) != 0) {
        return -1;
    }
    return head == NULL ? 0 : jread_string(head, "head_commit", "message", &out->message, err);
}

static bool is_object_id(const char *text)
{
    size_t len = strlen(text);
    return (len == 40 || len == 64) && text[strspn(text, "0123456789abcdef")] == '\0';
}

static int read_push(const json_t *payload, struct git_push *out, struct err *err)
{
    if (jread_need_string(payload, "", "ref", &out->ref, err) != 0 ||
        jread_need_string(payload, "", "before", &out->before, err) != 0 ||
        jread_need_string(payload, "", "after", &out->after, err) != 0 ||
        jread_bool(payload, "", "created", &out->is_created, err) != 0 ||
        jread_bool(payload, "", "deleted", &out->is_deleted, err) != 0 ||
        jread_bool(payload, "", "forced", &out->is_forced, err) != 0 ||
        read_people_and_repository(payload, out, err) != 0) {
        return -1;
    }
    if (!is_object_id(out->before) || !is_object_id(out->after)) {
        return err_set(err, ERR_INVALID, "before, after: expected 40 or 64 hex digits");
    }
    if (strlen(out->ref) > REF_MAX) {
        return err_set(err, ERR_INVALID, "ref: longer than %d bytes", REF_MAX);
    }
    if (str_starts(out->ref, "refs/heads/")) {
        out->branch = out->ref + strlen("refs/heads/");
    } else if (str_starts(out->ref, "refs/tags/")) {
        out->tag = out->ref + strlen("refs/tags/");
    }
    if (out->after[strspn(out->after, "0")] == '\0') {
        out->is_deleted = true;
    }
    return 0;
}

int github_read(
    const struct http_request *req, enum git_event *event, struct git_push *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    const char *name = http_header(req, "X-GitHub-Event");
    out->forge = "github";
    out->delivery = http_header(req, "X-GitHub-Delivery");
    if (name == NULL || !is_delivery(out->delivery)) {
        return err_set(err, ERR_INVALID,
            "expected the headers X-GitHub-Event and X-GitHub-Delivery (at most %d printable "
            "characters)",
            DELIVERY_MAX);
    }
    if (read_payload(req, &out->payload, err) != 0) {
        return -1;
    }
    if (strcmp(name, "push") != 0) {
        *event = strcmp(name, "ping") == 0 ? GIT_EVENT_PING : GIT_EVENT_OTHER;
        return 0;
    }
    *event = GIT_EVENT_PUSH;
    return read_push(out->payload, out, err);
}

bool git_push_skips_ci(const struct git_push *push)
{
    static const char *const marks[] = {
        "[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (strcasestr(push->message, marks[i]) != NULL) {
            return true;
        }
    }
    return false;
}
