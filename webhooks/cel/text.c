/* SPDX-License-Identifier: Apache-2.0 */
/* Characters of UTF-8 texts. */
#include "webhooks/cel/text.h"

#include <string.h>

#include "base/buf.h"
#include "base/util.h"

#define WORD_MAX 32

bool utf8_is_valid(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t step = text[at] == '\0' ? 1 : utf8_step(text + at, len - at);
        if (step == 0) {
            return false;
        }
        at += step;
    }
    return true;
}

size_t utf8_count(const char *text, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
    return count;
}

size_t utf8_offset(const char *text, size_t len, size_t index)
{
    size_t at = 0;
    for (; index > 0 && at < len; index--) {
        at++;
        while (at < len && ((unsigned char)text[at] & 0xC0) == 0x80) {
            at++;
        }
    }
    return index == 0 ? at : SIZE_MAX;
}

/* Levenshtein's; capital letters count as the others. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t swap = diagonal + ((a[i - 1] | 0x20) != (b[j - 1] | 0x20));
            size_t drop = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = swap < drop ? swap : drop;
        }
    }
    return row[b_len];
}

const char *text_nearest(const char *word, const char *const *names)
{
    size_t len = strlen(word), best = len < 3 ? 2 : len < 8 ? 3 : 4;
    const char *found = NULL;
    for (; *names != NULL && len <= WORD_MAX; names++) {
        size_t name_len = strlen(*names);
        size_t d = name_len <= WORD_MAX ? distance(word, len, *names, name_len) : best;
        if (d < best && d < len) {
            best = d;
            found = *names;
        }
    }
    return found;
}
