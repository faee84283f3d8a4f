/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what was pushed to a run's parameters. Each value of "parameters" is a constant, or an object
 * with one of
 *   {"from": "$branch"}            a variable (git_template.h)
 *   {"from": "/head_commit/id"}    a JSON pointer (RFC 6901) into the payload
 *   {"template": "v$tag of $repository"}
 *   {"cel": "push.branch.split('/')[0]"}
 *   {"value": ...}                 a constant, whatever it looks like
 * and "default" beside it for when there is nothing. What comes out is made the type that the
 * pipeline declares, or refused. Pure.
 */
#ifndef WEBHOOKS_GIT_MAPPING_H
#define WEBHOOKS_GIT_MAPPING_H

#include <jansson.h>

struct err;
struct git_change;
struct plan;

/* What can be said without knowing the pipeline. ERR_INVALID with place, rule and fix. */
int git_mapping_check(const json_t *parameters, struct err *err);
/*
 * And what the pipeline says: every name is an input, every input that needs a value gets one, and
 * what is known of the value's type can be made the input's. All complaints at once.
 */
int git_mapping_check_plan(const json_t *parameters, const struct plan *plan, struct err *err);

/*
 * The parameters for this change, checked and bound as a run's (plan_bind_params) but without the
 * pipeline's own defaults. headers: of git_headers_safe(). New reference, or NULL and ERR_INVALID.
 */
json_t *git_mapping_apply(const json_t *parameters, const struct git_change *change,
    const json_t *headers, const struct plan *plan, struct err *err);

#endif
