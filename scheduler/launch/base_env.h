/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a command as it is put together: later entries replace earlier ones. */
#ifndef LAUNCH_BASE_ENV_H
#define LAUNCH_BASE_ENV_H

#include <stddef.h>
#include <jansson.h>

struct err;

struct env_list {
    char **entries; /* "NAME=value", NULL-terminated */
    size_t len, cap;
};
/* Takes entry. */
void env_put(struct env_list *list, char *entry);
/* $(NAME) in value, but for what `values` says (expand.h), is expanded by what is in the list. */
int env_put_expanded(struct env_list *list, const char *name, const char *value,
    const json_t *values, struct err *err);
/* Never NULL; free each entry and the list. */
char **env_list_steal(struct env_list *list);

/*
 * The order's base_env, values and files. A file that should be there and is not is the first
 * trouble, told to people (malloc'd; it names the file to make); err is for orders that cannot be
 * read.
 */
int base_env_add(struct env_list *list, const json_t *base, char **trouble, struct err *err);

#endif
