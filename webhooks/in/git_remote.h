/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The repository behind a trigger: what is fetched from it, and what it is told. The members
 * `api`, `file`, `commit_status`, `status_context` and `poll_s` of a trigger's record.
 */
#ifndef WEBHOOKS_GIT_REMOTE_H
#define WEBHOOKS_GIT_REMOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/http_client.h"
#include "webhooks/in/forge_api.h"

struct egress;
struct err;

#define GIT_POLL_MIN_S 30
#define GIT_POLL_MAX_S 86400
#define GIT_STATUS_CONTEXT_MAX 200

struct git_remote {
    struct forge_api api; /* texts are the record's */
    const char *file;     /* of the pipeline, in the repository; NULL: the pipeline is uploaded */
    bool posts_status;
    const char *status_context; /* "": made of the trigger's name */
    int64_t poll_s;             /* 0: its refs are not looked at */
};

/*
 * Read them from a record; repository is the trigger's filter, or NULL. All need a pinned forge and
 * an exact repository: the token is for one place. ERR_INVALID with place, rule and fix.
 */
int git_remote_read(const json_t *record, enum forge forge, const char *repository,
    struct git_remote *out, struct err *err);
/* A record as everybody may see it: the token is left out, `has_token` says that there is one. */
void git_remote_hide(json_t *record);

/* A call to the forge under way. */
struct git_remote_call;
/*
 * Send it, by the rules of egress. done as http_call_start() has it; the call is over then. NULL and
 * err: the rules refuse the address, and done does not come. The token is not kept.
 */
struct git_remote_call *git_remote_start(struct http_client *http, const struct egress *egress,
    const struct forge_call *call, size_t max_body, http_done_fn *done, void *owner,
    struct err *err);
void git_remote_cancel(struct git_remote_call *call); /* NULL is fine */

#endif
