/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to the forges' own APIs: a file at a commit, the refs of a repository, the status of a
 * commit. Pure: what is to be sent, and what came back. The addresses are made of what the
 * trigger's owner wrote down and of nothing that a message says, but for names that are encoded
 * into a path: the token goes to nobody else.
 */
#ifndef WEBHOOKS_FORGE_API_H
#define WEBHOOKS_FORGE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "webhooks/in/git_push.h"

struct err;

#define FORGE_FILE_PATH_MAX 1024
#define FORGE_REFS_BYTES_MAX ((size_t)8 << 20)
#define FORGE_REFS_MAX 50000

/* Where a forge's API is, and as whom it is called. */
struct forge_api {
    enum forge forge;
    const char *url;        /* of its API (forge_api_url), without a slash at the end */
    const char *repository; /* "owner/name", as messages name it */
    const char *token;      /* or "": nothing is sent */
    const char *username;   /* of Basic authentication; "": the forge's usual one */
};

struct forge_call {
    const char *method;
    char *url;
    char *headers[6]; /* "Name: value", NULL after the last; fits http_call_spec.headers */
    char *body;       /* or NULL */
};
void forge_call_done(struct forge_call *call); /* zeroes what holds the token */

/* The API's address where the forge has only one ("https://api.github.com"); NULL: it must be given. */
const char *forge_api_url(enum forge forge);

/*
 * ERR_INVALID: this forge has no such thing, or a name cannot be part of an address; else *out is
 * the owner's, for forge_call_done().
 */
/* The file's bytes. path is within the repository, without "..". */
int forge_api_file(const struct forge_api *api, const char *commit, const char *path,
    struct forge_call *out, struct err *err);
/* Check a path alone. */
int forge_path_check(const char *path, struct err *err);

enum forge_status { FORGE_STATUS_PENDING, FORGE_STATUS_SUCCESS, FORGE_STATUS_FAILURE, FORGE_STATUS_CANCELED };
/* context: the name that tells this status from others of the same commit. target_url: "" for none. */
int forge_api_status(const struct forge_api *api, const char *commit, enum forge_status status,
    const char *context, const char *description, const char *target_url, struct forge_call *out,
    struct err *err);
/* Has the forge commit statuses, and do they need a link? */
bool forge_has_statuses(enum forge forge);
bool forge_status_needs_url(enum forge forge);

/* `git ls-remote` over smart HTTP (gitprotocol-http, protocol version 0). */
int forge_api_refs(const struct forge_api *api, struct forge_call *out, struct err *err);

struct git_ref {
    const char *name; /* "refs/heads/main" */
    const char *id;   /* object; 40 or 64 hex digits */
    const char *peeled; /* commit of an annotated tag; NULL */
};
struct git_refs {
    struct git_ref *items;
    size_t count;
    char *text; /* what the items point into */
};
/* Branches and tags of the answer to forge_api_refs(). ERR_INVALID says what is not as git sends it. */
int git_refs_parse(const char *body, size_t len, struct git_refs *out, struct err *err);
void git_refs_done(struct git_refs *refs);

#endif
