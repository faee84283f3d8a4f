/* SPDX-License-Identifier: Apache-2.0 */
/* Does a trigger want this change? Clause by clause, so that it can be told why (not). Pure. */
#ifndef WEBHOOKS_GIT_MATCH_H
#define WEBHOOKS_GIT_MATCH_H

#include <jansson.h>
#include <stdbool.h>

struct git_change;
struct git_trigger;

#define GIT_REASON_MAX 512

/* The clause that decided ("branches", "skip_ci", ...) and one sentence about it. */
struct git_reason {
    const char *clause;
    char text[GIT_REASON_MAX];
};

/*
 * steps: NULL, or an array that gets every clause that says something about this change, also those
 * after a refusal: {"clause","passed":bool,"detail"}. out: the first refusal; when all agree, the
 * clause that says most about why.
 */
bool git_match(const struct git_trigger *trigger, const struct git_change *change,
    const json_t *headers, json_t *steps, struct git_reason *out);

/* "[skip ci]" and its relatives, and the trailer "skip-checks: true", as GitHub knows them. */
bool git_message_skips_ci(const char *message);

#endif
