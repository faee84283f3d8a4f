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

#include "webhooks/forge.h"
#include "webhooks/git_push.h"

struct err;
struct http_request;
struct pool;

/*
 * The first error stays: what is read after it is empty, so that a dialect reads all it wants and
 * looks once.
 */
struct reading {
    const struct http_request *req;
    struct pool *pool;
    struct err *err;
    bool is_bad;
};

/* Raise, unless something was raised before. Returns -1. */
int take_bad(struct reading *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NULL obj, absent and null members read as NULL, "", the fallback. `where` is the path of obj. */
const json_t *take_object(
    struct reading *r, const json_t *obj, const char *where, const char *key);
const json_t *take_array(struct reading *r, const json_t *obj, const char *where, const char *key);
const char *take_text(struct reading *r, const json_t *obj, const char *where, const char *key);
const char *take_need(struct reading *r, const json_t *obj, const char *where, const char *key);
bool take_flag(struct reading *r, const json_t *obj, const char *where, const char *key);
int64_t take_number(struct reading *r, const json_t *obj, const char *where, const char *key,
    int64_t fallback);
/* {"name","email","username" or "login"}. */
void take_person(
    struct reading *r, const json_t *obj, const char *where, struct git_person *out);
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

/* Printable ASCII of at most DELIVERY_MAX: it becomes part of names and of log lines. */
#define DELIVERY_MAX 256
bool delivery_is_valid(const char *text);
/* All zeros: no commit. */
bool commit_is_none(const char *id);
/* As many zeros as `like` has digits. */
const char *commit_none(const char *like);
/* By git's rules (git check-ref-format). */
bool ref_is_valid(const char *ref);

/*
 * The JSON text: the body, or the field "payload" of a form. Not checked in any way but that it
 * is there once.
 */
int payload_text(const struct http_request *req, const char **out, size_t *len_out,
    struct err *err);

/* The dialects: m->payload is an object, m->forge and m->verified are set. */
int github_read(struct reading *r, struct hook_message *m);

#endif
