/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variables of a change ("$branch"), and texts with $variables and ${variables} in them; "$$" is a
 * '$'. A variable that has nothing to say is an empty text in a template. Pure.
 */
#ifndef WEBHOOKS_GIT_TEMPLATE_H
#define WEBHOOKS_GIT_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>

struct err;
struct git_change;
struct pool;

enum git_variable_kind {
    GIT_VARIABLE_TEXT,
    GIT_VARIABLE_NUMBER,
    GIT_VARIABLE_TRUTH,
    GIT_VARIABLE_LIST,
};

struct git_variable {
    const char *name; /* without the '$' */
    const char *fact, *member; /* where in git_change_facts() it is */
    enum git_variable_kind kind;
};

/* "$branch $commit ...", for messages. */
const char *git_variables(void);
/* By its name without the '$'; NULL: there is none. */
const struct git_variable *git_variable_find(const char *text, size_t len);
/* Borrowed, or NULL when there is nothing. */
const json_t *git_variable_get(const struct git_variable *v, const struct git_change *change);

/* where names the text in messages. */
int git_template_check(const char *text, const char *where, struct err *err);
char *git_template_apply(struct pool *pool, const char *text, const struct git_change *change);

#endif
