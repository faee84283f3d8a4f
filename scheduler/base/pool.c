/* SPDX-License-Identifier: Apache-2.0 */
/* A pool: blocks that are filled one after the other and freed together. */
#include "base/pool.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/*
 * Under AddressSanitizer every allocation gets a block of its own, so that one byte too far is
 * seen; otherwise blocks grow from small (a request often needs little) to large.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ONE_EACH 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(POOL_ONE_EACH)
#define POOL_ONE_EACH 1
#endif

enum { POOL_BLOCK_MIN = 1024, POOL_BLOCK_MAX = 65536 };

struct pool_block {
    struct pool_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char data[];
};

struct pool_hook {
    struct pool_hook *next;
    void (*fn)(void *);
    void *arg;
};

struct pool {
    struct pool_block *blocks; /* the first one has room */
    struct pool_hook *hooks;
    size_t used;
    size_t block_size;
};

struct pool *pool_new(void)
{
    struct pool *pool = xcalloc(1, sizeof *pool);
    pool->block_size = POOL_BLOCK_MIN;
    return pool;
}

void pool_free(struct pool *pool)
{
    if (pool == NULL) {
        return;
    }
    for (struct pool_hook *hook = pool->hooks; hook != NULL; hook = hook->next) {
        hook->fn(hook->arg);
    }
    for (struct pool_block *block = pool->blocks, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(pool);
}

void pool_freep(struct pool **pool)
{
    pool_free(*pool);
    *pool = NULL;
}

static struct pool_block *pool_add_block(struct pool *pool, size_t size)
{
    struct pool_block *block = xcalloc(1, sizeof *block + size);
    block->size = size;
    block->next = pool->blocks;
    pool->blocks = block;
    return block;
}

void *pool_alloc(struct pool *pool, size_t size)
{
    if (size > SIZE_MAX / 4) {
        fprintf(stderr, "out of memory: %zu bytes were wanted of a pool\n", size);
        abort();
    }
    pool->used += size;
#ifdef POOL_ONE_EACH
    return pool_add_block(pool, size)->data;
#else
    size_t align = alignof(max_align_t);
    size = (size > 0 ? size + align - 1 : align) / align * align;

    struct pool_block *block = pool->blocks;
    if (block == NULL || block->size - block->used < size) {
        if (size >= pool->block_size) {
            /* A block of its own, put second so that the room in the first stays in use. */
            struct pool_block *own = pool_add_block(pool, size);
            own->used = size;
            if (block != NULL) {
                own->next = block->next;
                block->next = own;
                pool->blocks = block;
            }
            return own->data;
        }
        block = pool_add_block(pool, pool->block_size);
        if (pool->block_size < POOL_BLOCK_MAX) {
            pool->block_size *= 2;
        }
    }
    void *memory = block->data + block->used;
    block->used += size;
    return memory;
#endif
}

void *pool_calloc(struct pool *pool, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        total = SIZE_MAX;
    }
    return pool_alloc(pool, total);
}

char *pool_strdup(struct pool *pool, const char *text)
{
    return text == NULL ? NULL : pool_strndup(pool, text, strlen(text));
}

char *pool_strndup(struct pool *pool, const char *text, size_t len)
{
    len = strnlen(text, len);
    char *copy = pool_alloc(pool, len + 1);
    memcpy(copy, text, len);
    return copy;
}

const char *pool_clip(struct pool *pool, const char *text, size_t max)
{
    size_t len = 0, all = strlen(text), step;
    while (len < all && (step = utf8_step(text + len, all - len)) > 0 && len + step <= max) {
        len += step;
    }
    return len == all ? text : pool_strndup(pool, text, len);
}

char *pool_printf(struct pool *pool, const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (len < 0) {
        abort(); /* only a bad format of ours gets here */
    }
    char *text = pool_alloc(pool, (size_t)len + 1);
    vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}

void pool_on_free(struct pool *pool, void (*fn)(void *), void *arg)
{
    struct pool_hook *hook = pool_alloc(pool, sizeof *hook);
    pool->used -= sizeof *hook;
    hook->fn = fn;
    hook->arg = arg;
    hook->next = pool->hooks;
    pool->hooks = hook;
}

size_t pool_used(const struct pool *pool)
{
    return pool->used;
}
