/* SPDX-License-Identifier: Apache-2.0 */
/* Git triggers as values: which pushes start which pipeline with which parameters. Pure. */
#ifndef WEBHOOKS_GIT_TRIGGER_H
#define WEBHOOKS_GIT_TRIGGER_H

#include <jansson.h>
#include <stdbool.h>

struct err;
struct git_push;

/*
 * Check an API body and make the record that is stored (a secret is made when none is given).
 * New reference, or NULL and err naming the member.
 */
json_t *git_trigger_from_body(const json_t *body, struct err *err);
/* The record without its secret: what everybody may see. New reference. */
json_t *git_trigger_public(const json_t *record);

/*
 * Does this push start a run? NULL if so; else one sentence why not (valid until the next call
 * with the same buffer).
 */
const char *git_trigger_refuses(const json_t *record, const struct git_push *push, char *buf,
    size_t len);

/*
 * Run parameters for this push: each value of "parameters" is a constant, {"from": "/json/pointer"}
 * into the payload, or {"from": "$branch"} and the like; "default" beside "from" serves when the
 * payload has nothing there. New reference, or NULL and err.
 */
json_t *git_trigger_parameters(const json_t *record, const struct git_push *push,
    struct err *err);

/* GitHub Actions' patterns: '*' stops at '/', '**' does not. */
bool git_pattern_matches(const char *pattern, const char *name);

#endif
