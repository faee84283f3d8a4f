/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dialects (forge_<name>.c) share: reading members with one error for all, and turning
 * lists of commits into messages and changed files. Only they and forge*.c include this.
 */
#ifndef WEBHOOKS_FORGE_PARTS_H
#define WEBHOOKS_FORGE_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "webhooks/in/forge.h"
#include "webhooks/in/git_push.h"

struct err;
struct http_request;
struct pool;

/*
 * The first error stays: what is read after it is empty, so that a dialect reads all it wants and
 * looks once.
 */
struct reading {
    const struct http_request *req;
    const struct hook_source *source;
    struct pool *pool;
    struct err *err;
    bool is_bad;
};

/* Parse, with limits on depth and number of values; freed with the pool. NULL: raised. */
json_t *take_json(struct reading *r, const char *text, size_t len, const char *what);
void drop_json(void *value); /* json_decref, for pool_on_free */
/* Raise, unless something was raised before. Returns -1. */
int take_bad(struct reading *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NULL obj, absent and null members read as NULL, "", the fallback. `where` is the path of obj. */
const json_t *take_object(struct reading *r, const json_t *obj, const char *where, const char *key);
const json_t *take_array(struct reading *r, const json_t *obj, const char *where, const char *key);
const char *take_text(struct reading *r, const json_t *obj, const char *where, const char *key);
const char *take_need(struct reading *r, const json_t *obj, const char *where, const char *key);
bool take_flag(struct reading *r, const json_t *obj, const char *where, const char *key);
int64_t take_number(
    struct reading *r, const json_t *obj, const char *where, const char *key, int64_t fallback);
/* obj.key.key2: for links and the like. */
const char *take_inner(
    struct reading *r, const json_t *obj, const char *where, const char *key, const char *inner);
/* {"name","email","username" or "login"}. */
void take_person(struct reading *r, const json_t *obj, const char *where, struct git_person *out);
/* The first that is not empty. */
const char *first_of(const char *a, const char *b);

/* Room for this many pushes; says what does not fit. */
void message_pushes(struct reading *r, struct hook_message *m, size_t count);
/*
 * The last touch: checks ids and ref, and fills what follows from them and from the message
 * (branch, tag, created, deleted, commit, key, delivery and the repository's members).
 */
int push_finish(struct reading *r, const struct hook_message *m, struct git_push *push);

enum commit_order { COMMITS_OLDEST_FIRST, COMMITS_NEWEST_FIRST };
/*
 * push->messages and the files of an array of {"message","added","removed","modified"}. Files are
 * net: one that was added and removed again is none. is_all: these are all commits of the push.
 */
void push_commits(struct reading *r, const json_t *commits, const char *where,
    enum commit_order order, bool is_all, struct git_push *push);

/* Of a message this many are looked at: GitHub's own ceiling, the highest of all. */
#define COMMITS_MAX 2048

/* Printable ASCII of at most DELIVERY_MAX: it becomes part of names and of log lines. */
#define DELIVERY_MAX 256
bool delivery_is_valid(const char *text);
bool event_is_valid(const char *text); /* the same, and blanks: "Push Hook" */
/* All zeros: no commit. */
bool commit_is_none(const char *id);
/* "refs/heads/main" -> "main". */
const char *branch_of_ref(const char *ref);
/* "Ann <ann@example.com>" in parts. */
void person_split(struct pool *pool, const char *raw, struct git_person *out);
/* As many zeros as `like` has digits. */
const char *commit_none(const char *like);
/* By git's rules (git check-ref-format). */
bool ref_is_valid(const char *ref);

bool request_is_form(const struct http_request *req);
/*
 * The JSON text: the body, or the field "payload" of a form. Not checked in any way but that it
 * is there once.
 */
int payload_text(
    const struct http_request *req, const char **out, size_t *len_out, struct err *err);

/*
 * The dialects. For forges m->payload is an object, and event and delivery are set where headers
 * say them; forge and verified are set for all.
 */
typedef int dialect_read_fn(struct reading *r, struct hook_message *m);
dialect_read_fn github_read, gitlab_read, gitea_read, gogs_read, bitbucket_read,
    bitbucket_server_read, azure_read, generic_read, cloudevents_read;

/* GitHub's shapes, which Gitea and Forgejo have taken over. */
int github_pull_request(struct reading *r, struct hook_message *m);
int github_release(struct reading *r, struct hook_message *m);
void github_repository(struct reading *r, struct hook_message *m);

/* HOOK_OTHER because of "<event>: <why>". Returns 0, or -1 if something else is wrong. */
int message_other(struct reading *r, struct hook_message *m, const char *why);
/* A forge's "test" button sends a push from a commit to itself: then it is HOOK_PING. */
void message_find_test(struct hook_message *m);

#endif
