/* SPDX-License-Identifier: Apache-2.0 */
/* Ask Redis Sentinels which Redis is the master now. Private to scheduler/base. */
#ifndef BASE_STORE_SENTINEL_H
#define BASE_STORE_SENTINEL_H

#include <stdint.h>

struct err;
struct loop;
struct sentinel_ask;
struct store_target;

/* host is NULL when err is given: none of them knows, or answers. */
typedef void sentinel_done_fn(
    void *owner, const char *host, const char *port, const struct err *err);

/* One after the other, timeout_ms each; the one that answers is asked first next time. done once,
 * from the loop. Borrows the target and changes the order of its sentinels. */
struct sentinel_ask *sentinel_ask_start(struct loop *loop, struct store_target *target,
    int64_t timeout_ms, sentinel_done_fn *done, void *owner);
/* After this no done comes. NULL is fine. */
void sentinel_ask_cancel(struct sentinel_ask *ask);

#endif
