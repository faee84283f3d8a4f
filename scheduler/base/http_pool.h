/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections kept for one key each: a call with pool_key only ever gets a connection that a call
 * with the same key opened. Only http_client.c uses this.
 */
#ifndef BASE_HTTP_POOL_H
#define BASE_HTTP_POOL_H

#include <curl/curl.h>

struct http_pool;
struct http_pools;
struct loop;

struct http_pools *http_pools_new(struct loop *loop);
/* After the last call has given its pool back. */
void http_pools_free(struct http_pools *pools);

/* The pool of that key, for one call, which gives it back when its easy handle is gone. */
struct http_pool *http_pool_take(struct http_pools *pools, const char *key);
void http_pool_give(struct http_pool *pool);

/* Makes the call's handle look for connections in this pool and leave its own there. */
void http_pool_use(struct http_pool *pool, CURL *easy);

#endif
