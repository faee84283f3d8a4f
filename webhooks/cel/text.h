/* SPDX-License-Identifier: Apache-2.0 */
/* Characters of UTF-8 texts. */
#ifndef WEBHOOKS_CEL_TEXT_H
#define WEBHOOKS_CEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

bool utf8_is_valid(const char *text, size_t len);
/* Characters of a valid text. */
size_t utf8_count(const char *text, size_t len);
/* Where character `index` starts; len when it is the one behind the last; SIZE_MAX beyond. */
size_t utf8_offset(const char *text, size_t len, size_t index);
/* The name nearest to `word` in a NULL-terminated list, or NULL if none is near. */
const char *text_nearest(const char *word, const char *const *names);

#endif
