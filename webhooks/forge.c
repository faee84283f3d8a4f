/* SPDX-License-Identifier: Apache-2.0 */
/* Which forge sends, and handing its messages to its dialect. Verification is forge_verify.c. */
#include "webhooks/forge.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/forge_parts.h"

/* Real messages nest to about ten; the parser's own limit would let thousands through. */
#define DEPTH_MAX 64
#define VALUES_MAX 2000000

typedef int dialect_read_fn(struct reading *r, struct hook_message *m);

static const struct dialect {
    const char *name;
    dialect_read_fn *read;
    const char *event, *delivery; /* headers */
} dialects[FORGE_COUNT] = {
    [FORGE_AUTO] = {"auto", NULL, NULL, NULL},
    [FORGE_GITHUB] = {"github", github_read, "X-GitHub-Event", "X-GitHub-Delivery"},
    [FORGE_GITLAB] = {"gitlab", NULL, NULL, NULL},
    [FORGE_GITEA] = {"gitea", NULL, NULL, NULL},
    [FORGE_FORGEJO] = {"forgejo", NULL, NULL, NULL},
    [FORGE_GOGS] = {"gogs", NULL, NULL, NULL},
    [FORGE_BITBUCKET] = {"bitbucket", NULL, NULL, NULL},
    [FORGE_BITBUCKET_SERVER] = {"bitbucket-server", NULL, NULL, NULL},
    [FORGE_AZURE_DEVOPS] = {"azure-devops", NULL, NULL, NULL},
    [FORGE_STANDARD_WEBHOOKS] = {"standard-webhooks", NULL, NULL, NULL},
    [FORGE_HMAC] = {"hmac", NULL, NULL, NULL},
    [FORGE_BEARER] = {"bearer", NULL, NULL, NULL},
    [FORGE_BASIC] = {"basic", NULL, NULL, NULL},
    [FORGE_CLOUDEVENTS] = {"cloudevents", NULL, NULL, NULL},
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

/* Before parsing: how deep and how much. */
static int check_shape(const char *text, size_t len, struct err *err)
{
    size_t depth = 0, values = 0;
    bool is_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (is_string) {
            i += c == '\\';
            is_string = c != '"';
        } else if (c == '"') {
            is_string = true;
        } else if (c == '[' || c == '{') {
            values++;
            if (++depth > DEPTH_MAX) {
                return err_set(err, ERR_INVALID, "payload: nested deeper than %d", DEPTH_MAX);
            }
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',' && ++values > VALUES_MAX) {
            return err_set(err, ERR_INVALID, "payload: more than %d values", VALUES_MAX);
        }
    }
    return 0;
}

static void drop_json(void *value)
{
    json_decref(value);
}

static int read_payload(struct reading *r, struct hook_message *m)
{
    const char *text, *coding = http_header(r->req, "Content-Encoding");
    size_t len;
    if (coding != NULL && strcasecmp(coding, "identity") != 0) {
        return err_set(r->err, ERR_INVALID, "Content-Encoding: only identity is read");
    }
    if (payload_text(r->req, &text, &len, r->err) != 0 || check_shape(text, len, r->err) != 0) {
        return -1;
    }
    m->payload = jread_text(text, len, "payload", r->err);
    if (m->payload == NULL) {
        return -1;
    }
    pool_on_free(r->pool, drop_json, m->payload);
    return json_is_object(m->payload)
               ? 0
               : err_set(r->err, ERR_INVALID, "payload: expected a JSON object");
}

static int read_headers(struct reading *r, const struct dialect *dialect, struct hook_message *m)
{
    m->event = http_header(r->req, dialect->event);
    m->delivery = http_header(r->req, dialect->delivery);
    if (!delivery_is_valid(m->event) || !delivery_is_valid(m->delivery)) {
        return err_set(r->err, ERR_INVALID,
            "expected the headers %s and %s (at most %d printable characters)", dialect->event,
            dialect->delivery, DELIVERY_MAX);
    }
    return 0;
}

int hook_read(const struct http_request *req, const struct hook_source *source,
    struct hook_message *out, struct err *err)
{
    struct reading r = {.req = req, .pool = req->pool, .err = err};
    enum forge forge = source->forge != FORGE_AUTO ? source->forge : forge_detect(req);
    const struct dialect *dialect = &dialects[forge];
    struct hook_message m = {.forge = forge, .verified = out->verified};
    m.why = m.repository = m.url = m.html_url = m.default_branch = m.actor = "";
    if (dialect->read == NULL) {
        return err_set(
            err, ERR_INVALID, "no header says which forge sent this; name it in the trigger");
    }
    if ((dialect->event != NULL && read_headers(&r, dialect, &m) != 0) ||
        read_payload(&r, &m) != 0 || dialect->read(&r, &m) != 0) {
        return -1;
    }
    *out = m;
    return 0;
}
