/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of matches(): RE2's syntax without flags, classes by name and captures.
 * Time grows with text times pattern, never worse: patterns and texts come from outside.
 */
#ifndef PIPELINE_EXPRESSION_MATCH_H
#define PIPELINE_EXPRESSION_MATCH_H

#include <stdbool.h>
#include <stddef.h>

/* What is wrong with the pattern, or NULL. */
const char *expression_match_trouble(const char *pattern, size_t len);
/* Whether any part of the text (UTF-8) matches. Gives what is wrong, or NULL. */
const char *expression_match(
    const char *pattern, size_t pattern_len, const char *text, size_t len, bool *out);

#endif
