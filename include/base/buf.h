/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing buffer with a ceiling given at init: every growing thing has an answer to "how big
 * may it get". Appending past the ceiling sets `overflow` and drops the excess; check once at
 * the end with buf_ok().
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct buf {
    char *data; /* always NUL-terminated once anything was appended; may be NULL when empty */
    size_t len;
    size_t cap;
    size_t max;
    bool overflow;
};

void buf_init(struct buf *buf, size_t max);
void buf_done(struct buf *buf); /* frees; buf may be used again after buf_init */
void buf_reset(struct buf *buf); /* keeps the memory, forgets the content */

/* All return 0, or -1 once the ceiling was hit. */
int buf_add(struct buf *buf, const void *data, size_t len);
int buf_adds(struct buf *buf, const char *text);
int buf_addc(struct buf *buf, char c);
void buf_add_utf8(struct buf *buf, uint32_t c); /* a code point, up to U+10FFFF */
int buf_addf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int buf_vaddf(struct buf *buf, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* The text, never NULL. */
const char *buf_str(const struct buf *buf);
/* Hand the memory out (malloc'd, NUL-terminated); buf is empty afterwards. */
char *buf_steal(struct buf *buf, size_t *len_out);
/* -1 and ERR_LIMIT naming `what` if the ceiling was hit. */
int buf_check(const struct buf *buf, const char *what, struct err *err);

#endif
