/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Git triggers as values: what a user writes, checked and made into a record, and a record made
 * ready for use. Pure. The members are described in contrib/docs/git-triggers.md; of those that are
 * absent the struct has the default.
 */
#ifndef WEBHOOKS_GIT_TRIGGER_H
#define WEBHOOKS_GIT_TRIGGER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "webhooks/in/forge.h"
#include "webhooks/in/git_pattern.h"
#include "webhooks/in/git_remote.h"

struct cel;
struct err;
struct plan;

/* What may start a run. */
enum git_kind {
    GIT_KIND_PUSH, /* of a branch */
    GIT_KIND_TAG,
    GIT_KIND_RELEASE,
    GIT_KIND_PULL_REQUEST,
    GIT_KIND_GENERIC, /* a message of no forge */
    GIT_KIND_COUNT,
};
const char *git_kind_name(enum git_kind kind); /* "pull_request" */

/* Created, deleted and forced pushes: all the same, only those, or none of those. */
enum git_wish { GIT_WISH_ANY, GIT_WISH_ONLY, GIT_WISH_NEVER };
enum git_skip_ci { GIT_SKIP_NONE, GIT_SKIP_HEAD, GIT_SKIP_ANY };

/* What a push does that finds a run of its concurrency group that has not ended. */
enum git_policy {
    GIT_POLICY_ALLOW,  /* starts beside it; there are no groups */
    GIT_POLICY_QUEUE,  /* waits until all before it have ended */
    GIT_POLICY_SKIP,   /* starts nothing */
    GIT_POLICY_CANCEL, /* asks it to end, takes the place of those that wait, and starts then */
};
const char *git_policy_name(enum git_policy policy);

/* Which changes that start nothing subscribers are told of, by trigger.rejected. */
enum git_tell { GIT_TELL_NONE, GIT_TELL_FAILED, GIT_TELL_ALL };

#define GIT_GROUP_MAX 256          /* bytes of a group's name */
#define GIT_GROUP_DEFAULT "$ref"
#define GIT_WAITING_MAX 1000       /* pushes that may wait in one group */
#define GIT_WAITING_DEFAULT 100
#define GIT_CEL_VARIABLES {"push", "payload", "headers", NULL}

struct git_trigger {
    int refs;
    json_t *record; /* texts below are borrowed from it */
    const char *id, *name;
    bool is_enabled;
    struct hook_source source;
    unsigned kinds;         /* bits 1 << enum git_kind */
    const char *repository; /* glob or NULL */
    struct git_patterns branches, branches_ignore, tags, tags_ignore, paths, paths_ignore;
    bool runs_on_unknown_files;
    int64_t max_files, max_commits; /* GitHub's 300 and 1,000; 0: no such rule */
    enum git_skip_ci skip_ci;
    enum git_wish created, deleted, forced;
    const json_t *actions; /* of pull requests and releases; NULL: the usual ones */
    const json_t *actors, *actors_ignore, *authors_ignore, *messages_ignore; /* globs, or NULL */
    struct cel *filter;                                                      /* or NULL */
    const char *group;
    enum git_policy policy;
    int64_t max_waiting;
    enum git_tell tells;
    struct git_remote remote;
};

/*
 * Check an API body and make the record that is stored. before: the record that it changes (members
 * that are null go back to their default, absent ones stay), or NULL for a new one, which gets an id
 * and, when none is given, a secret. New reference, or NULL and ERR_INVALID with place, rule and fix.
 */
json_t *git_trigger_from_body(const json_t *body, const json_t *before, struct err *err);
/* A record with another secret (NULL: a new one): the one before stays good for so long. New
 * reference. */
json_t *git_trigger_rotated(
    const json_t *record, const char *secret, int64_t overlap_us, struct err *err);
/* The record's newest secret. */
const char *git_trigger_secret(const json_t *record);
/* The record without its secrets, and with "hook", the path that the forge sends to; forge, events and
 * enabled also when they are not written down. New reference. */
json_t *git_trigger_public(const json_t *record);

/* Borrows the record, which may be of version 1. One reference; NULL and err: it is not usable. */
struct git_trigger *git_trigger_load(json_t *record, struct err *err);
struct git_trigger *git_trigger_ref(struct git_trigger *trigger);
void git_trigger_unref(struct git_trigger *trigger); /* NULL is fine */

#endif
