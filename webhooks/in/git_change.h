/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a message may start a run for: one branch or tag that was pushed, one pull request, one
 * release, or a message of no forge. All are told alike. Pure; everything lives in the pool.
 */
#ifndef WEBHOOKS_GIT_CHANGE_H
#define WEBHOOKS_GIT_CHANGE_H

#include <jansson.h>
#include <stddef.h>

#include "webhooks/in/git_push.h"
#include "webhooks/in/git_trigger.h"

struct pool;
struct http_fields;

struct git_change {
    enum git_kind kind;
    const struct hook_message *message;
    const char *delivery; /* "<delivery>#2" of the second one of a message */
    /* Of a push as it was told. Of a pull request branch is its target and commit its head; of a
     * release tag and commit are what the forge says, or "". */
    struct git_push push;
    const char *key;     /* the same for every message about this very change; NULL: there is none */
    const char *ref_key; /* names the ref; NULL: none was moved */
    struct git_facts *facts_; /* this file's business */
};

/* CEL's `push`, and what $variables and templates are taken from; made when it is first asked for. */
const json_t *git_change_facts(const struct git_change *change);

struct git_changes {
    struct git_change *items;
    size_t count;
};

/* None for a ping and for what starts nothing. */
void git_changes_of(struct pool *pool, const struct hook_message *message, struct git_changes *out);

/* git_change.ref_key of this ref. In the pool. */
const char *git_ref_key(struct pool *pool, const char *repository, const char *ref);

/* The headers that filters, mappings and the log may see: lower-case name -> value, without those
 * that carry or could carry secrets. New reference. */
json_t *git_headers_safe(const struct http_fields *headers);

#endif
