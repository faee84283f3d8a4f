/* SPDX-License-Identifier: Apache-2.0 */
/* Which forge sends, and handing its messages to its dialect. Verification is forge_verify.c. */
#include "webhooks/in/forge.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

enum body {
    BODY_OWN,     /* the dialect reads it */
    BODY_FORGE,   /* a JSON object, perhaps in a form's field `payload` */
    BODY_GENERAL, /* a JSON object, a form's fields, or nothing */
};

static const struct dialect {
    const char *name;
    dialect_read_fn *read;
    enum body body;
    const char *event[2], *delivery[2]; /* headers: the first that is there */
} dialects[FORGE_COUNT] = {
    [FORGE_AUTO] = {.name = "auto"},
    [FORGE_GITHUB] = {"github", github_read, BODY_FORGE, {"X-GitHub-Event"}, {"X-GitHub-Delivery"}},
    [FORGE_GITLAB] = {"gitlab", gitlab_read, BODY_FORGE, {"X-Gitlab-Event"}, {NULL}},
    [FORGE_GITEA] = {"gitea", gitea_read, BODY_FORGE, {"X-Gitea-Event"}, {"X-Gitea-Delivery"}},
    [FORGE_FORGEJO] = {"forgejo", gitea_read, BODY_FORGE, {"X-Forgejo-Event", "X-Gitea-Event"},
        {"X-Forgejo-Delivery", "X-Gitea-Delivery"}},
    [FORGE_GOGS] = {"gogs", gogs_read, BODY_FORGE, {"X-Gogs-Event"}, {"X-Gogs-Delivery"}},
    [FORGE_BITBUCKET] = {"bitbucket", bitbucket_read, BODY_FORGE, {"X-Event-Key"},
        {"X-Request-UUID"}},
    [FORGE_BITBUCKET_SERVER] = {"bitbucket-server", bitbucket_server_read, BODY_FORGE,
        {"X-Event-Key"}, {"X-Request-Id"}},
    [FORGE_AZURE_DEVOPS] = {"azure-devops", azure_read, BODY_FORGE, {NULL}, {NULL}},
    [FORGE_STANDARD_WEBHOOKS] = {"standard-webhooks", generic_read, BODY_GENERAL, {NULL}, {NULL}},
    [FORGE_HMAC] = {"hmac", generic_read, BODY_GENERAL, {NULL}, {NULL}},
    [FORGE_BEARER] = {"bearer", generic_read, BODY_GENERAL, {NULL}, {NULL}},
    [FORGE_BASIC] = {"basic", generic_read, BODY_GENERAL, {NULL}, {NULL}},
    [FORGE_CLOUDEVENTS] = {"cloudevents", cloudevents_read, BODY_OWN, {NULL}, {NULL}},
};

const char *forge_name(enum forge forge)
{
    return dialects[forge].name;
}

bool forge_from_name(const char *name, enum forge *out)
{
    for (int i = 0; i < FORGE_COUNT; i++) {
        if (strcmp(dialects[i].name, name) == 0) {
            *out = (enum forge)i;
            return true;
        }
    }
    return false;
}

const char *forge_names(void)
{
    return "auto, github, gitlab, gitea, forgejo, gogs, bitbucket, bitbucket-server, azure-devops, "
           "standard-webhooks, hmac, bearer, basic, cloudevents";
}

static bool has(const struct http_request *req, const char *name)
{
    return http_header(req, name) != NULL;
}

/* Bitbucket's two products share the header's name; the words in it are their own. */
static enum forge bitbucket_which(const struct http_request *req)
{
    static const char *const server[] = {
        "repo:refs_changed", "diagnostics:ping", "pr:", "mirror:", "repo:secret_detected"};
    const char *key = http_header(req, "X-Event-Key");
    for (size_t i = 0; i < ARRAY_LEN(server); i++) {
        if (str_starts(key, server[i])) {
            return FORGE_BITBUCKET_SERVER;
        }
    }
    return has(req, "X-Hook-UUID") || has(req, "X-Request-UUID") || !has(req, "X-Request-Id")
               ? FORGE_BITBUCKET
               : FORGE_BITBUCKET_SERVER;
}

static bool is_cloudevent(const struct http_request *req)
{
    const char *type = http_header(req, "Content-Type");
    static const char prefix[] = "application/cloudevents";
    return has(req, "ce-specversion") ||
           (type != NULL && strncasecmp(type, prefix, sizeof prefix - 1) == 0);
}

static bool is_azure(const struct http_request *req)
{
    const char *login = http_header(req, "Authorization");
    return has(req, "X-VSS-SubscriptionId") || has(req, "X-VSS-ActivityId") ||
           (login != NULL && strncasecmp(login, "Basic ", 6) == 0);
}

enum forge forge_detect(const struct http_request *req)
{
    /* Forgejo sends Gitea's headers too, both send Gogs's, and all three GitHub's. */
    return has(req, "X-Forgejo-Event")  ? FORGE_FORGEJO
           : has(req, "X-Gitea-Event")  ? FORGE_GITEA
           : has(req, "X-Gogs-Event")   ? FORGE_GOGS
           : has(req, "X-GitHub-Event") ? FORGE_GITHUB
           : has(req, "X-Gitlab-Event") ? FORGE_GITLAB
           : has(req, "X-Event-Key")    ? bitbucket_which(req)
           : is_cloudevent(req)         ? FORGE_CLOUDEVENTS
           : has(req, "webhook-id")     ? FORGE_STANDARD_WEBHOOKS
           : is_azure(req)              ? FORGE_AZURE_DEVOPS
                                        : FORGE_AUTO;
}

bool hook_is_bare_ping(const struct http_request *req)
{
    return str_eq(http_header(req, "X-Event-Key"), "diagnostics:ping") &&
           !has(req, "X-Hub-Signature") && !has(req, "Authorization");
}

static int read_fields(struct reading *r, struct hook_message *m)
{
    struct http_request form = *r->req;
    form.query = (struct http_fields){0};
    form.query_raw = r->req->body;
    http_query_parse(&form);
    m->payload = json_object();
    pool_on_free(r->pool, drop_json, m->payload);
    for (size_t i = 0; i < form.query.count; i++) {
        const struct http_field *field = &form.query.items[i];
        json_t *value = json_string(field->value);
        if (value == NULL || json_object_get(m->payload, field->name) != NULL ||
            json_object_set(m->payload, field->name, value) != 0) {
            json_decref(value);
            return take_bad(r, "the form: expected UTF-8, and each field once");
        }
        json_decref(value);
    }
    return 0;
}

static int read_payload(struct reading *r, enum body body, struct hook_message *m)
{
    const char *text, *coding = http_header(r->req, "Content-Encoding");
    size_t len;
    if (coding != NULL && strcasecmp(coding, "identity") != 0) {
        return take_bad(r, "Content-Encoding: only identity is read");
    }
    if (body == BODY_OWN) {
        return 0;
    }
    if (body == BODY_GENERAL && (r->req->body_len == 0 || request_is_form(r->req))) {
        return read_fields(r, m);
    }
    if (payload_text(r->req, &text, &len, r->err) != 0) {
        return -1;
    }
    m->payload = take_json(r, text, len, "payload");
    return m->payload == NULL           ? -1
           : json_is_object(m->payload) ? 0
                                        : take_bad(r, "payload: expected a JSON object");
}

/* "Name" or "Name or Other", for messages. */
static const char *either(struct pool *pool, const char *const names[2])
{
    return names[1] == NULL ? names[0] : pool_printf(pool, "%s or %s", names[0], names[1]);
}

static int read_header(struct reading *r, const char *const names[2],
    bool (*is_valid)(const char *text), const char **out)
{
    for (size_t i = 0; i < 2 && names[i] != NULL && *out == NULL; i++) {
        *out = http_header(r->req, names[i]);
    }
    return names[0] == NULL || is_valid(*out)
               ? 0
               : take_bad(r, "expected the header %s (at most %d printable characters)",
                     either(r->pool, names), DELIVERY_MAX);
}

int hook_read(const struct http_request *req, const struct hook_source *source,
    struct hook_message *out, struct err *err)
{
    struct reading r = {.req = req, .source = source, .pool = req->pool, .err = err};
    enum forge forge = source->forge != FORGE_AUTO ? source->forge : forge_detect(req);
    const struct dialect *dialect = &dialects[forge];
    struct hook_message m = {.forge = forge, .verified = out->verified};
    m.why = m.repository = m.url = m.html_url = m.default_branch = m.actor = "";
    if (dialect->read == NULL) {
        return err_set(
            err, ERR_INVALID, "no header says which forge sent this; name it in the trigger");
    }
    /* Gitea can send GET with the message in the URL, which proxies log. */
    if (strcmp(req->method, "POST") != 0) {
        return err_set(err, ERR_INVALID, "%s: choose POST in the sender's settings", req->method);
    }
    if (read_header(&r, dialect->event, event_is_valid, &m.event) != 0 ||
        read_header(&r, dialect->delivery, delivery_is_valid, &m.delivery) != 0 ||
        read_payload(&r, dialect->body, &m) != 0 || dialect->read(&r, &m) != 0) {
        return -1;
    }
    *out = m;
    return 0;
}
