/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool: many small allocations with one lifetime, freed together. Pointers into a pool never
 * outlive it.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stdarg.h>
#include <stddef.h>

struct pool;

struct pool *pool_new(void);
/* NULL is fine. */
void pool_free(struct pool *pool);
void pool_freep(struct pool **pool); /* for CLEANUP */

/* Zeroed, aligned for any type. */
void *pool_alloc(struct pool *pool, size_t size);
void *pool_calloc(struct pool *pool, size_t count, size_t size);
char *pool_strdup(struct pool *pool, const char *text); /* NULL gives NULL */
char *pool_strndup(struct pool *pool, const char *text, size_t len);
/* text itself, or a copy of at most max bytes of it that ends between characters of UTF-8. */
const char *pool_clip(struct pool *pool, const char *text, size_t max);
char *pool_printf(struct pool *pool, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* fn(arg) runs when the pool is freed, last added first. For json_t and the like. */
void pool_on_free(struct pool *pool, void (*fn)(void *), void *arg);

/* Bytes handed out so far. */
size_t pool_used(const struct pool *pool);

#endif
