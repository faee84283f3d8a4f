/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Incoming messages of the forges: who sends, is it genuine, what does it say. Pure: a request
 * goes in, values in its pool come out. The rules are the forges' own documentation, collected in
 * contrib/docs/forges.md.
 */
#ifndef WEBHOOKS_FORGE_H
#define WEBHOOKS_FORGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "webhooks/in/git_push.h"

struct err;
struct http_request;

#define HOOK_SECRETS_MAX 4 /* two of each kind where a forge has two: old and new */

/* "github", "bitbucket-server", "auto", ... */
const char *forge_name(enum forge forge);
/* False if there is no such name. */
bool forge_from_name(const char *name, enum forge *out);
/* All names, "auto" first, for messages: "auto, github, ...". */
const char *forge_names(void);

/*
 * By the headers alone: forges that send copies of others' headers come before those. FORGE_AUTO
 * when nothing is known to send so.
 */
enum forge forge_detect(const struct http_request *req);

/* How a source proves that its messages are genuine. */
enum hook_scheme {
    HOOK_SCHEME_FORGE,    /* as the forge does it */
    HOOK_SCHEME_HMAC,     /* a header holds the HMAC of the raw body */
    HOOK_SCHEME_STANDARD, /* Standard Webhooks: v1 (whsec_ secret) or v1a (whpk_ public key) */
    HOOK_SCHEME_BEARER,   /* Authorization: Bearer <secret> */
    HOOK_SCHEME_BASIC,    /* Authorization: Basic, the secret is the password */
    HOOK_SCHEME_TOKEN,    /* a header of any name holds the secret itself */
};
enum hook_encoding { HOOK_HEX, HOOK_BASE64 };

struct hook_secret {
    const char *text;
    int64_t expires_us; /* 0: never */
};

/* What a receiver knows about its sender. */
struct hook_source {
    enum forge forge; /* FORGE_AUTO: whoever sends, by the headers */
    struct hook_secret secrets[HOOK_SECRETS_MAX];
    size_t secret_count;
    bool is_insecure;        /* no secret, and that is meant */
    bool is_sha1_allowed;    /* GitHub's old X-Hub-Signature counts when there is no other */
    enum hook_scheme scheme; /* the rest is for schemes other than the forge's own */
    const char *header;      /* HMAC (default X-Signature) and TOKEN */
    const char *prefix;      /* HMAC: text before the digest, "sha256="; NULL: none */
    enum hmac_hash hash;
    enum hook_encoding encoding;
    const char *username; /* BASIC; NULL: any */
    const char
        *id_header; /* general senders: which header names the message; NULL: the usual ones */
};

/*
 * Can this source ever accept a message? ERR_INVALID names the member of a trigger that is wrong:
 * a key where none belongs, a header that cannot be one.
 */
int hook_source_check(const struct hook_source *source, struct err *err);

/*
 * Is the message genuine? ERR_UNAUTHENTICATED says what is wrong in words for the log; do not send
 * them to the caller. All live secrets are tried in the same time whichever matches.
 */
int hook_verify(const struct http_request *req, const struct hook_source *source, int64_t now_us,
    struct hook_verified *out, struct err *err);

/*
 * Bitbucket Data Center may send its test without a signature. It is answered before any trigger
 * is looked up, so that it tells nobody which there are, and has no effect.
 */
bool hook_is_bare_ping(const struct http_request *req);

/*
 * What does the (already verified) message say? ERR_INVALID names the member that is not as the
 * forge sends it. Every member is type-checked.
 */
int hook_read(const struct http_request *req, const struct hook_source *source,
    struct hook_message *out, struct err *err);

#endif
