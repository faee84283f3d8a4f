/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is an incoming message genuine? The source says how; the message never chooses: each scheme
 * has its header, its hash and its bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/http_msg.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge.h"
#include "webhooks/in/forge_parts.h"
#include "webhooks/signature.h"
#include "webhooks/signature_ed25519.h"

#define DEFAULT_HEADER "X-Signature"

/* One check under way. */
struct check {
    const struct http_request *req;
    const struct hook_source *source;
    int64_t now_us;
    int matched; /* the first secret that fits, or -1 */
    struct err *err;
};

static int refuse(struct check *c, const char *what)
{
    return err_set(c->err, ERR_UNAUTHENTICATED, "%s", what);
}

static int take_header(struct check *c, const char *name, const char **out)
{
    if (http_fields_times(&c->req->headers, name) != 1) {
        return err_set(c->err, ERR_UNAUTHENTICATED,
            "expected the header %s exactly once; set the same secret in the sender's settings",
            name);
    }
    *out = http_header(c->req, name);
    return 0;
}

static bool has(const struct check *c, const char *name)
{
    return http_header(c->req, name) != NULL;
}

static const char *header_of(const struct check *c)
{
    return c->source->header != NULL ? c->source->header : DEFAULT_HEADER;
}

/* Everybody may have it. */
static bool is_public_key(const char *text)
{
    return str_starts(text, "whpk_");
}

/* Of Standard Webhooks. */
static bool is_signing_key(const char *text)
{
    return str_starts(text, "whsec_") || is_public_key(text);
}

/* The i-th secret, or NULL if it has no text or is past its time. */
static const char *live_secret(const struct check *c, size_t i)
{
    const struct hook_secret *secret = &c->source->secrets[i];
    bool is_live = secret->text != NULL && secret->text[0] != '\0' &&
                   (secret->expires_us == 0 || secret->expires_us > c->now_us);
    return is_live ? secret->text : NULL;
}

static void note_match(struct check *c, size_t i, bool fits)
{
    if (fits && c->matched < 0) {
        c->matched = (int)i;
    }
}

static int end(struct check *c, const char *header)
{
    return c->matched >= 0 ? 0
                           : err_set(c->err, ERR_UNAUTHENTICATED,
                                 "%s does not match: another secret, or a changed body", header);
}

/* ---- a digest in a header ---- */

struct mac_rule {
    const char *header, *prefix;
    enum hmac_hash hash;
    enum hook_encoding encoding;
};

/* Exactly as many digits as the hash has; everything else is no digest. */
static bool decode_digest(const struct mac_rule *rule, const char *text, unsigned char *out)
{
    size_t len = hmac_len(rule->hash), text_len = strlen(text), got = 0;
    if (rule->encoding == HOOK_HEX) {
        return text_len == 2 * len && hex_decode(text, text_len, out, len) == 0;
    }
    if (text_len != (len + 2) / 3 * 4) {
        return false;
    }
    CLEANUP(cleanup_free) unsigned char *bytes = base64_decode(text, text_len, &got);
    if (bytes == NULL || got != len) {
        return false;
    }
    memcpy(out, bytes, len);
    return true;
}

static int check_mac(struct check *c, const struct mac_rule *rule, const char *data, size_t len)
{
    const char *sent;
    unsigned char claimed[HMAC_LEN_MAX], mac[HMAC_LEN_MAX];
    if (take_header(c, rule->header, &sent) != 0) {
        return -1;
    }
    if (!str_starts(sent, rule->prefix) ||
        !decode_digest(rule, sent + strlen(rule->prefix), claimed)) {
        return err_set(c->err, ERR_UNAUTHENTICATED, "%s must be %s%s%s%zu %s characters",
            rule->header, rule->prefix[0] != '\0' ? "'" : "", rule->prefix,
            rule->prefix[0] != '\0' ? "' and " : "",
            rule->encoding == HOOK_HEX ? 2 * hmac_len(rule->hash)
                                       : (hmac_len(rule->hash) + 2) / 3 * 4,
            rule->encoding == HOOK_HEX ? "hex" : "base64");
    }
    for (size_t i = 0; i < c->source->secret_count; i++) {
        const char *secret = live_secret(c, i);
        if (secret != NULL && !is_public_key(secret)) {
            size_t mac_len = hmac_make(rule->hash, secret, strlen(secret), data, len, mac);
            note_match(c, i, secret_eq(mac, mac_len, claimed, mac_len));
        }
    }
    return end(c, rule->header);
}

static int check_raw(struct check *c, const char *header, const char *prefix, enum hmac_hash hash)
{
    struct mac_rule rule = {header, prefix, hash, HOOK_HEX};
    return check_mac(c, &rule, c->req->body, c->req->body_len);
}

/* As the source describes it. */
static int check_hmac(struct check *c, const char **by)
{
    const struct hook_source *source = c->source;
    struct mac_rule rule = {
        header_of(c), source->prefix != NULL ? source->prefix : "", source->hash, source->encoding};
    *by = rule.header;
    return check_mac(c, &rule, c->req->body, c->req->body_len);
}

/* Gitea and its relatives sign the JSON, also when it travels in a form. */
static int check_payload(struct check *c, const char *header)
{
    struct mac_rule rule = {header, "", HMAC_SHA256, HOOK_HEX};
    const char *text;
    size_t len;
    struct err err = ERR_INIT;
    if (payload_text(c->req, &text, &len, &err) != 0) {
        return refuse(c, err.msg);
    }
    return check_mac(c, &rule, text, len);
}

/* ---- the secret itself in a header ---- */

/* Compares digests, so that time tells neither content nor length. */
static bool token_eq(const char *a, const char *b)
{
    unsigned char key[SHA256_LEN], mac_a[SHA256_LEN], mac_b[SHA256_LEN];
    random_bytes(key, sizeof key);
    hmac_sha256(key, sizeof key, a, strlen(a), mac_a);
    hmac_sha256(key, sizeof key, b, strlen(b), mac_b);
    return secret_eq(mac_a, sizeof mac_a, mac_b, sizeof mac_b);
}

/* A signing key never travels, so it is no token either. */
static int check_text(struct check *c, const char *header, const char *sent)
{
    for (size_t i = 0; i < c->source->secret_count; i++) {
        const char *secret = live_secret(c, i);
        if (secret != NULL && !is_signing_key(secret)) {
            note_match(c, i, token_eq(sent, secret));
        }
    }
    return end(c, header);
}

static int check_token(struct check *c, const char *header)
{
    const char *sent;
    return take_header(c, header, &sent) != 0 ? -1 : check_text(c, header, sent);
}

static int take_login(struct check *c, const char *scheme, const char **out)
{
    const char *sent;
    size_t len = strlen(scheme);
    if (take_header(c, "Authorization", &sent) != 0) {
        return -1;
    }
    if (strncasecmp(sent, scheme, len) != 0 || sent[len] != ' ') {
        return err_set(c->err, ERR_UNAUTHENTICATED, "Authorization must begin with '%s '", scheme);
    }
    *out = sent + len + 1 + strspn(sent + len + 1, " ");
    return 0;
}

static int check_bearer(struct check *c)
{
    const char *token;
    return take_login(c, "Bearer", &token) != 0 ? -1 : check_text(c, "Authorization", token);
}

static int check_basic(struct check *c)
{
    const char *encoded;
    size_t len = 0;
    if (take_login(c, "Basic", &encoded) != 0) {
        return -1;
    }
    CLEANUP(cleanup_free)
    char *text = (char *)base64_decode(encoded, strlen(encoded), &len);
    char *colon = text != NULL ? memchr(text, ':', len) : NULL;
    if (colon == NULL || strlen(text) != len) {
        return refuse(c, "Authorization: expected base64 of 'user:password'");
    }
    *colon = '\0';
    const char *wanted = c->source->username;
    bool is_user = wanted == NULL || token_eq(text, wanted);
    int rc = check_text(c, "Authorization", colon + 1);
    explicit_bzero(text, len);
    return is_user ? rc : refuse(c, "Authorization does not match: another user or password");
}

/* ---- Standard Webhooks ---- */

struct standard {
    const char *id, *timestamp, *signatures;
};

/* One of the list's v1a signatures is by this key. */
static int check_public_key(
    struct check *c, const struct standard *sent, const char *text, struct err *err)
{
    unsigned char key[ED25519_PUBLIC_LEN];
    char *rest = pool_strdup(c->req->pool, sent->signatures), *one;
    bool fits = false;
    if (ed25519_parse_public(text, key, err) != 0 ||
        signature_check_head(
            sent->id, sent->timestamp, sent->signatures, c->now_us / US_PER_S, err) != 0) {
        return -1;
    }
    for (int n = 0; n < SIGNATURES_MAX && (one = strsep(&rest, " ")) != NULL; n++) {
        fits = (str_starts(one, "v1a,") && ed25519_verify(key, one + 4, sent->id, sent->timestamp,
                                               c->req->body, c->req->body_len)) ||
               fits;
    }
    return fits ? 0
                : err_set(err, ERR_UNAUTHENTICATED, "no signature in webhook-signature matches");
}

static int check_secret_key(
    struct check *c, const struct standard *sent, const char *text, struct err *err)
{
    struct secret secret = {0};
    int rc = signature_parse_secret(text, &secret, err) != 0 ||
                     signature_verify(&secret, sent->id, sent->timestamp, sent->signatures,
                         c->req->body, c->req->body_len, c->now_us / US_PER_S, err) != 0
                 ? -1
                 : 0;
    secret_done(&secret);
    return rc;
}

static int check_standard(struct check *c)
{
    struct standard sent;
    struct err first = ERR_INIT;
    if (take_header(c, "webhook-id", &sent.id) != 0 ||
        take_header(c, "webhook-timestamp", &sent.timestamp) != 0 ||
        take_header(c, "webhook-signature", &sent.signatures) != 0) {
        return -1;
    }
    for (size_t i = 0; i < c->source->secret_count; i++) {
        const char *key = live_secret(c, i);
        if (key != NULL && is_signing_key(key)) {
            struct err err = ERR_INIT;
            int rc = is_public_key(key) ? check_public_key(c, &sent, key, &err)
                                        : check_secret_key(c, &sent, key, &err);
            note_match(c, i, rc == 0);
            if (first.code == ERR_NONE) {
                err_copy(&first, &err);
            }
        }
    }
    if (c->matched >= 0) {
        return 0;
    }
    return refuse(c, first.code != ERR_NONE
                         ? first.msg
                         : "webhook-signature needs a secret that begins with 'whsec_' or 'whpk_'");
}

/* ---- which check ---- */

static size_t count_keys(const struct check *c, bool is_signing)
{
    size_t count = 0;
    for (size_t i = 0; i < c->source->secret_count; i++) {
        const char *text = live_secret(c, i);
        count += text != NULL && is_signing_key(text) == is_signing;
    }
    return count;
}

/* A source whose secret is a key of Standard Webhooks is signed so. */
static bool has_signing_key(const struct check *c)
{
    return count_keys(c, true) > 0;
}

static bool has_token(const struct check *c)
{
    return count_keys(c, false) > 0;
}

static int by_github(struct check *c, const char **by)
{
    if (c->source->is_sha1_allowed && !has(c, "X-Hub-Signature-256")) {
        *by = "X-Hub-Signature";
        return check_raw(c, *by, "sha1=", HMAC_SHA1);
    }
    *by = "X-Hub-Signature-256";
    return check_raw(c, *by, "sha256=", HMAC_SHA256);
}

static int by_forge(struct check *c, enum forge forge, const char **by)
{
    switch (forge) {
    case FORGE_GITHUB:
        return by_github(c, by);
    case FORGE_GITEA:
        *by = "X-Gitea-Signature";
        return check_payload(c, *by);
    case FORGE_FORGEJO: /* sends both; the older releases only Gitea's */
        *by = has(c, "X-Forgejo-Signature") ? "X-Forgejo-Signature" : "X-Gitea-Signature";
        return check_payload(c, *by);
    case FORGE_GOGS:
        *by = "X-Gogs-Signature";
        return check_payload(c, *by);
    case FORGE_BITBUCKET:
    case FORGE_BITBUCKET_SERVER:
        *by = "X-Hub-Signature";
        return check_raw(c, *by, "sha256=", HMAC_SHA256);
    case FORGE_GITLAB:
        /* What is signed must be signed right; the token does not help it then. */
        if (has_signing_key(c) && (has(c, "webhook-signature") || !has_token(c))) {
            *by = "webhook-signature";
            return check_standard(c);
        }
        *by = "X-Gitlab-Token";
        return check_token(c, *by);
    case FORGE_AZURE_DEVOPS:
    case FORGE_BASIC:
        return check_basic(c);
    case FORGE_HMAC:
        return check_hmac(c, by);
    case FORGE_STANDARD_WEBHOOKS:
        *by = "webhook-signature";
        return check_standard(c);
    case FORGE_CLOUDEVENTS:
        if (has_signing_key(c)) {
            *by = "webhook-signature";
            return check_standard(c);
        }
        return check_bearer(c);
    case FORGE_BEARER:
        return check_bearer(c);
    case FORGE_AUTO:
    case FORGE_COUNT:
        break;
    }
    return refuse(c, "no header says which forge sent this; name it in the trigger");
}

static int by_scheme(struct check *c, enum forge forge, const char **by)
{
    *by = "Authorization";
    switch (c->source->scheme) {
    case HOOK_SCHEME_HMAC:
        return check_hmac(c, by);
    case HOOK_SCHEME_STANDARD:
        *by = "webhook-signature";
        return check_standard(c);
    case HOOK_SCHEME_BEARER:
        return check_bearer(c);
    case HOOK_SCHEME_BASIC:
        return check_basic(c);
    case HOOK_SCHEME_TOKEN:
        *by = header_of(c);
        return check_token(c, *by);
    case HOOK_SCHEME_FORGE:
        break;
    }
    return by_forge(c, forge, by);
}

int hook_verify(const struct http_request *req, const struct hook_source *source, int64_t now_us,
    struct hook_verified *out, struct err *err)
{
    struct check c = {.req = req, .source = source, .now_us = now_us, .matched = -1, .err = err};
    enum forge forge = source->forge != FORGE_AUTO ? source->forge : forge_detect(req);
    size_t live = 0;
    for (size_t i = 0; i < source->secret_count; i++) {
        live += live_secret(&c, i) != NULL;
    }
    if (source->secret_count == 0 && source->is_insecure) {
        *out = (struct hook_verified){.by = "nothing", .secret = -1};
        return 0;
    }
    if (live == 0) {
        return refuse(&c, "there is no secret (or each is past its time), and no 'insecure: true'");
    }
    const char *by = "";
    if (by_scheme(&c, forge, &by) != 0) {
        return -1;
    }
    *out = (struct hook_verified){.by = by, .secret = c.matched};
    return 0;
}
