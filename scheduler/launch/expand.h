/* SPDX-License-Identifier: Apache-2.0 */
/* $(NAME) in commands and environment values, as a kubelet expands it. */
#ifndef LAUNCH_EXPAND_H
#define LAUNCH_EXPAND_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

struct buf;
struct err;

/* The value of NAME in a list of "NAME=value", or NULL. The last one counts. */
const char *env_find(char *const *env, const char *name, size_t name_len);
/* env: NULL-terminated list of "NAME=value". */
void expand_add(struct buf *out, const char *text, size_t len, char *const *env);
/*
 * The same for a text that values stand in, which are left alone: begin and length of each, from
 * place `first` of an array on (NULL: none). malloc'd; NULL and err when they are not within text.
 */
char *expand_around(
    const char *text, const json_t *values, size_t first, char *const *env, struct err *err);
/* Whole new text, malloc'd. */
char *expand(const char *text, char *const *env);

#endif
