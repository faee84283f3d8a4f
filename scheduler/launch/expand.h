/* SPDX-License-Identifier: Apache-2.0 */
/* $(NAME) in commands and environment values, as a kubelet expands it. */
#ifndef LAUNCH_EXPAND_H
#define LAUNCH_EXPAND_H

#include <stdbool.h>
#include <stddef.h>

/* The value of NAME in a list of "NAME=value", or NULL. The last one counts. */
const char *env_find(char *const *env, const char *name, size_t name_len);
/* Whole new text, malloc'd. env: NULL-terminated list of "NAME=value". */
char *expand(const char *text, char *const *env);

#endif
