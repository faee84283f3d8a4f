/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of branches, tags and paths, by the rules of GitHub Actions' filters ("Filter pattern
 * cheat sheet" in its workflow syntax):
 *
 *   *    any characters but '/', maybe none       [ab]  one of these; ranges a-z, A-Z, 0-9
 *   **   any characters, maybe none               \x    x itself
 *   ?    zero or one of the preceding character   !     at the beginning: excludes what an
 *   +    one or more of the preceding character         earlier pattern of the list has included
 *
 * "**" followed by '/' also stands for no folder at all: two stars and "/docs/x" match docs/x. A pattern must
 * match the whole name, small and capital letters differ. Time is bounded by the length of the
 * pattern times that of the name. Pure.
 */
#ifndef WEBHOOKS_GIT_PATTERN_H
#define WEBHOOKS_GIT_PATTERN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct err;
struct git_pattern;

#define GIT_PATTERN_MAX 256 /* bytes of one */
#define GIT_PATTERNS_MAX 64 /* of one list */

/* NULL and ERR_INVALID with place, rule and fix. */
struct git_pattern *git_pattern_compile(const char *text, struct err *err);
void git_pattern_free(struct git_pattern *pattern); /* NULL is fine */
/* What stands after the '!'. */
bool git_pattern_matches(const struct git_pattern *pattern, const char *name);
bool git_pattern_is_negative(const struct git_pattern *pattern);
/* As it was written. */
const char *git_pattern_text(const struct git_pattern *pattern);

struct git_patterns {
    struct git_pattern **items;
    size_t count;
};

/*
 * list: array of texts, at least one of them positive; NULL or empty: *out has none. where names
 * the list in messages ("branches"). On failure *out is empty.
 */
int git_patterns_compile(
    const json_t *list, const char *where, struct git_patterns *out, struct err *err);
void git_patterns_done(struct git_patterns *patterns);
/*
 * The last pattern that matches decides: true if it is a positive one; *by_out (may be NULL) is
 * that pattern, NULL when none matches.
 */
bool git_patterns_include(const struct git_patterns *patterns, const char *name,
    const struct git_pattern **by_out);

/* '*' for any characters, all others stand for themselves, without case: names of people and
 * repositories, and messages. */
bool git_glob_matches(const char *glob, const char *text);

#endif
