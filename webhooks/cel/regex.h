/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions of matches(): RE2's syntax, searched by PCRE2's matcher that follows all
 * alternatives at once and never goes back, so time grows with the text and not beyond.
 */
#ifndef WEBHOOKS_CEL_REGEX_H
#define WEBHOOKS_CEL_REGEX_H

#include "webhooks/cel/value.h"

struct pool;
struct cel_regex;

#define CEL_REGEX_MAX 1000           /* bytes of a pattern */
#define CEL_REGEX_CODE_MAX (8 << 10) /* bytes of what it is compiled to */

/*
 * Compile; lives as long as the pool. NULL, and what is wrong in `problem`, when it is not RE2's
 * syntax or too big.
 */
const struct cel_regex *cel_regex_compile(
    struct pool *pool, const char *pattern, size_t len, char problem[static 256]);

#endif
