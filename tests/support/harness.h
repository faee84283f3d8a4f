/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop, a private redis-server (redis_fixture.h), and a store connected to it that owns all
 * shards; and waiting without sleeping. Header only.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/store.h"
#include "base/util.h"
#include "tests/support/redis_fixture.h"
#include "tests/support/take_over.h"
#include "tests/support/temp_dir.h"

#define HARNESS_LIMIT_US (60 * US_PER_S)

struct harness {
    struct redis_fixture redis;
    struct temp_dir dir; /* for whatever the test wants to put there */
    struct loop *loop;
    struct store *store;
    struct timer tick;
    /* reply of the last harness_cmd */
    int answered;
    int64_t number;
    char *text;
    struct err err;
};

static inline void harness_tick(void *owner)
{
    struct harness *h = owner;
    timer_start_ms(&h->tick, 10);
}

/* Turn the loop until *flag is not 0. */
static inline void harness_wait(struct harness *h, const int *flag)
{
    int64_t limit = clock_mono_us() + HARNESS_LIMIT_US;
    while (*flag == 0) {
        if (clock_mono_us() > limit) {
            fail_msg("waited too long");
        }
        loop_turn(h->loop, true);
    }
}

/* Turn the loop for so long. */
static inline void harness_pass_ms(struct harness *h, int64_t ms)
{
    int64_t until = clock_mono_us() + ms * US_PER_MS;
    while (clock_mono_us() < until) {
        loop_turn(h->loop, true);
    }
}

static inline void harness_on_reply(void *owner, redisReply *reply, const struct err *err)
{
    struct harness *h = owner;
    h->answered++;
    free(h->text);
    h->text = NULL;
    h->number = 0;
    err_clear(&h->err);
    if (err != NULL) {
        err_copy(&h->err, err);
        return;
    }
    h->number = reply->type == REDIS_REPLY_ARRAY ? (int64_t)reply->elements : reply_int(reply, 0);
    h->text = reply->str == NULL ? NULL : xstrndup(reply->str, reply->len);
}

/* Run a command and wait; its number (or length of its list) is returned, its text is in h->text.
 */
#define harness_cmd(h, ...)                                                                        \
    ({                                                                                             \
        (h)->answered = 0;                                                                         \
        store_cmd((h)->store, harness_on_reply, (h), __VA_ARGS__);                                 \
        harness_wait((h), &(h)->answered);                                                         \
        if ((h)->err.code != ERR_NONE) {                                                           \
            fail_msg("%s", (h)->err.msg);                                                          \
        }                                                                                          \
        (h)->number;                                                                               \
    })

static inline void harness_start_redis(struct harness *h)
{
    redis_fixture_restart(&h->redis);
}

/* kill -9: nothing that was answered is lost. */
static inline void harness_stop_redis(struct harness *h)
{
    redis_fixture_kill(&h->redis);
}

static inline void harness_restart_redis(struct harness *h)
{
    harness_stop_redis(h);
    harness_start_redis(h);
}

static inline void harness_on_owner(void *owner, const struct err *err)
{
    struct harness *h = owner;
    h->answered = 1;
    if (err != NULL) {
        err_copy(&h->err, err);
    }
}

static inline void harness_take_over(struct harness *h)
{
    h->answered = 0;
    err_clear(&h->err);
    take_over(h->store, harness_on_owner, h);
    harness_wait(h, &h->answered);
    if (h->err.code != ERR_NONE) {
        fail_msg("%s", h->err.msg);
    }
}

static inline struct store *harness_store(struct harness *h)
{
    struct store_settings settings = {
        .url = h->redis.url,
        .command_timeout_ms = 10000,
        .shards = 16,
        .prefix = "rondo",
    };
    struct err err = ERR_INIT;
    struct store *store = store_new(h->loop, &settings, &err);
    if (store == NULL) {
        fail_msg("%s", err.msg);
    }
    return store;
}

static inline void harness_init(struct harness *h)
{
    *h = (struct harness){0};
    log_set(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    clock_set_shift_us(0);
    temp_dir_init(&h->dir);
    redis_fixture_start(&h->redis);
    struct err err = ERR_INIT;
    h->loop = loop_new(&err);
    if (h->loop == NULL) {
        fail_msg("%s", err.msg);
    }
    timer_init(&h->tick, h->loop, harness_tick, h);
    harness_tick(h);
    h->store = harness_store(h);
    harness_take_over(h);
}

static inline void harness_done(struct harness *h)
{
    store_free(h->store);
    timer_done(&h->tick);
    loop_free(h->loop);
    redis_fixture_stop(&h->redis);
    temp_dir_done(&h->dir);
    free(h->text);
    clock_set_shift_us(0);
}

/* Move the wall clock; instant timers follow. */
static inline void harness_move_clock(struct harness *h, int64_t by_us)
{
    clock_set_shift_us(clock_shift_us() + by_us);
    loop_clock_changed(h->loop);
}

#endif
