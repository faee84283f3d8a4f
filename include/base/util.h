/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small things every file needs: allocation that aborts, scope cleanup, checked numbers.
 * Not a place for anything with a noun of its own.
 */
#ifndef BASE_UTIL_H
#define BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* Run fn(&variable) when the variable leaves its scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
/* Hand ownership out of a CLEANUP variable. */
#define STEAL(p)                                                                                   \
    ({                                                                                             \
        __typeof__(p) steal_tmp_ = (p);                                                            \
        (p) = NULL;                                                                                \
        steal_tmp_;                                                                                \
    })

/* Allocation never returns NULL: out of memory aborts, restart is the recovery we test anyway. */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *ptr, size_t size) __attribute__((returns_nonnull));
/* Like realloc(count * size) with the multiplication checked. */
void *xreallocarray(void *ptr, size_t count, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* For CLEANUP: free(*(void **)p). */
void cleanup_free(void *p);
/* For CLEANUP of an int file descriptor: closes if >= 0. */
void cleanup_fd(int *fd);

struct err;

/* Whole text must be the number; range checked. `what` names it in the message. */
int parse_i64(const char *text, int64_t min, int64_t max, const char *what, int64_t *out,
    struct err *err) MUST_CHECK;
int parse_double(const char *text, const char *what, double *out, struct err *err) MUST_CHECK;
/* "10", "500ms", "10s", "5m", "2h", "1d" -> milliseconds; a bare number is seconds. */
int parse_duration_ms(const char *text, const char *what, int64_t *out, struct err *err) MUST_CHECK;
/* "64", "64k", "64KiB", "32MiB", "1GiB" -> bytes. */
int parse_bytes(const char *text, const char *what, int64_t *out, struct err *err) MUST_CHECK;

bool str_starts(const char *text, const char *prefix);
bool str_ends(const char *text, const char *suffix);
/* Both NULL, or equal. */
bool str_eq(const char *a, const char *b);

/* Length of the UTF-8 character at text (1..4), 0 if there is none; never reads past len. */
size_t utf8_step(const char *text, size_t len);
/* In place: control characters (but newline and tab) and what is not UTF-8 become '?'. */
void text_sanitise(char *text);

/* Read a whole file of at most max bytes; NUL-terminated, length in *len_out (may be NULL). */
char *file_read(const char *path, size_t max, size_t *len_out, struct err *err) MUST_CHECK;
/* Write data to path atomically: temporary file beside it, fsync, rename, fsync folder. */
int file_write_atomic(const char *path, const void *data, size_t len, unsigned mode,
    struct err *err) MUST_CHECK;
/* mkdir -p. */
int dir_make(const char *path, unsigned mode, struct err *err) MUST_CHECK;
/* rm -rf; a missing path is success; never follows symbolic links. */
int dir_remove(const char *path, struct err *err) MUST_CHECK;

#endif
