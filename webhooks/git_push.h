/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A push as the forges tell it, made alike. Facts: the forges' own documentation, collected in
 * contrib/docs/git-triggers.md.
 */
#ifndef WEBHOOKS_GIT_PUSH_H
#define WEBHOOKS_GIT_PUSH_H

#include <jansson.h>
#include <stdbool.h>

struct err;
struct http_request;
struct pool;

struct git_push {
    const char *forge;      /* "github" */
    const char *delivery;   /* the forge's id of this message */
    const char *ref;        /* "refs/heads/main" */
    const char *branch, *tag; /* one of them, or NULL */
    const char *before, *after;
    const char *repository; /* "owner/name" */
    const char *url;        /* clone URL or "" */
    const char *actor;      /* who pushed, or "" */
    const char *message;    /* head commit's, or "" */
    bool is_created, is_deleted, is_forced;
    json_t *payload;        /* the whole message; freed with the pool */
};

enum git_event { GIT_EVENT_PUSH, GIT_EVENT_PING, GIT_EVENT_OTHER };

/*
 * GitHub: check X-Hub-Signature-256 over the raw body. ERR_UNAUTHENTICATED says what is wrong,
 * in words for the log; do not send them to the caller.
 */
int github_verify(const struct http_request *req, const char *secret, struct err *err);
/*
 * Which event this is; for a push *out is filled from the (already verified) body, JSON or
 * form. Everything lives in req->pool. Every member is type-checked.
 */
int github_read(const struct http_request *req, enum git_event *event, struct git_push *out,
    struct err *err);

/* "[skip ci]" and its relatives in the head commit's message. */
bool git_push_skips_ci(const struct git_push *push);

#endif
