/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What firing costs by itself: a ticker on a redis-server of its own, no engine. COUNT recurring
 * runs become due within SPREAD_MS (0: all at one instant); prints how late they were when their
 * runs were durable, and what daemon and Redis spent on each.
 *
 *     bench_ticker [COUNT [SPREAD_MS [BATCH]]]
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/private_redis.h"
#include "scheduler/recurring.h"
#include "tests/support/take_over.h"
#include "tests/support/temp_dir.h"

#define UNDER_WAY_MAX 500
#define LOAD_US (6 * US_PER_S)
#define LIMIT_US (120 * US_PER_S)

struct bench {
    struct loop *loop;
    struct store *store;
    struct catalog *catalog;
    struct ticker *ticker;
    struct timer tick;
    int done;
    int64_t created;
    char *text;
};

static void stop_if(const struct err *err)
{
    if (err != NULL && err->code != ERR_NONE) {
        fprintf(stderr, "bench_ticker: %s\n", err->msg);
        exit(1);
    }
}

static void on_tick(void *owner)
{
    struct bench *b = owner;
    timer_start_ms(&b->tick, 5);
}

static void on_done(void *owner, const struct err *err)
{
    stop_if(err);
    ((struct bench *)owner)->done = 1;
}

static void on_created(void *owner, const json_t *record, const struct err *err)
{
    (void)record;
    stop_if(err);
    ((struct bench *)owner)->created++;
}

static void on_text(void *owner, redisReply *reply, const struct err *err)
{
    struct bench *b = owner;
    stop_if(err);
    free(b->text);
    b->text = xstrdup(reply_str(reply));
    b->done = 1;
}

static void bench_wait(struct bench *b)
{
    while (b->done == 0) {
        loop_turn(b->loop, true);
    }
    b->done = 0;
}

/* A number in INFO's text. */
static double bench_info(struct bench *b, const char *section, const char *name)
{
    store_cmd(b->store, on_text, b, "INFO %s", section);
    bench_wait(b);
    const char *at = b->text == NULL ? NULL : strstr(b->text, name);
    return at == NULL ? 0 : strtod(at + strlen(name), NULL);
}

static double bench_redis_cpu_s(struct bench *b)
{
    return bench_info(b, "cpu", "used_cpu_user:") + bench_info(b, "cpu", "used_cpu_sys:");
}

static double own_cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void bench_start_ticker(struct bench *b, int64_t batch)
{
    struct ticker_settings settings = {
        .loop = b->loop, .store = b->store, .catalog = b->catalog, .claim_batch = batch};
    b->ticker = ticker_new(&settings);
    ticker_start(b->ticker, on_done, b);
    bench_wait(b);
}

/* Each fires once a day, for the first time at noon_us or within the spread from then on. */
static void bench_create(struct bench *b, int64_t count, int64_t spread_ms, int64_t noon_us)
{
    struct recurring_request req = {
        .name = "nightly training",
        .experiment_id = "11111111-1111-4111-8111-111111111111",
        .spec = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        .pipeline_name = "training",
        .pipeline_id = "22222222-2222-4222-8222-222222222222",
        .version_id = "33333333-3333-4333-8333-333333333333",
        .interval_s = 86400,
        .max_concurrency = 1,
        .is_enabled = true,
    };
    for (int64_t i = 0; i < count; i++) {
        req.start_us = noon_us - 86400 * US_PER_S + i * spread_ms * US_PER_MS / count;
        recurring_create(b->ticker, &req, on_created, b);
        while (i - b->created > UNDER_WAY_MAX) {
            loop_turn(b->loop, true);
        }
    }
    while (b->created < count) {
        loop_turn(b->loop, true);
    }
}

static int64_t bench_fired(const struct bench *b)
{
    struct ticker_counts counts;
    ticker_counts(b->ticker, &counts);
    return counts.fired;
}

static void print_lateness(const struct bench *b, int64_t count)
{
    static const char *const limits[] = {"1 ms", "5 ms", "10 ms", "25 ms", "50 ms", "100 ms",
        "250 ms", "500 ms", "1 s", "5 s", "30 s", "more"};
    struct ticker_counts counts;
    ticker_counts(b->ticker, &counts);
    int64_t sum = 0;
    printf("late: mean %.1f ms; at most", counts.lateness_sum_s * 1000 / (double)count);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        sum += counts.lateness_buckets[i];
        if (counts.lateness_buckets[i] > 0) {
            printf(" %s %.2f%%", limits[i], 100 * (double)sum / (double)count);
        }
    }
    printf("\n");
}

/* Nothing lost, nothing doubled. */
static void bench_check(struct bench *b, int64_t count)
{
    int64_t runs = 0;
    for (unsigned i = 0; i < store_shards(b->store); i++) {
        store_cmd(b->store, on_text, b, "EVAL %s 1 %sruns",
            "return tostring(redis.call('ZCARD', KEYS[1]))", store_shard_prefix(b->store, i));
        bench_wait(b);
        runs += strtoll(b->text, NULL, 10);
    }
    printf("runs: %" PRId64 " of %" PRId64 "\n", runs, count);
    if (runs != count) {
        exit(1);
    }
}

int main(int argc, char **argv)
{
    int64_t count = argc > 1 ? strtoll(argv[1], NULL, 10) : 100000;
    int64_t spread_ms = argc > 2 ? strtoll(argv[2], NULL, 10) : 0;
    int64_t batch = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
    struct err err = ERR_INIT;
    struct bench b = {0};
    struct temp_dir dir;
    log_set(LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    temp_dir_init(&dir);
    b.loop = loop_new(&err);
    stop_if(&err);
    struct private_redis *redis = private_redis_start(b.loop, dir.path, NULL, NULL, &err);
    stop_if(&err);
    struct store_settings settings = {.url = private_redis_url(redis),
        .command_timeout_ms = 10000,
        .shards = 16,
        .prefix = "rondo"};
    b.store = store_new(b.loop, &settings, &err);
    stop_if(&err);
    timer_init(&b.tick, b.loop, on_tick, &b);
    on_tick(&b);
    take_over(b.store, on_done, &b);
    bench_wait(&b);
    b.catalog = catalog_new(b.loop, b.store);
    bench_start_ticker(&b, batch);

    double empty = bench_info(&b, "memory", "used_memory:");
    int64_t noon_us = (clock_now_us() / US_PER_S + 8 + count / 8000) * US_PER_S;
    double own = own_cpu_s(), theirs = bench_redis_cpu_s(&b);
    bench_create(&b, count, spread_ms, noon_us);
    printf("create: %.1f us here, %.1f us in Redis; %.0f bytes each in Redis\n",
        (own_cpu_s() - own) * 1e6 / (double)count,
        (bench_redis_cpu_s(&b) - theirs) * 1e6 / (double)count,
        (bench_info(&b, "memory", "used_memory:") - empty) / (double)count);

    /* As after a cold start, a little before they are due. */
    ticker_free(b.ticker);
    if (clock_now_us() > noon_us - LOAD_US) {
        fprintf(stderr, "bench_ticker: creating them took too long\n");
        exit(1);
    }
    while (clock_now_us() < noon_us - LOAD_US) {
        usleep(1000);
    }
    own = own_cpu_s();
    theirs = bench_redis_cpu_s(&b);
    bench_start_ticker(&b, batch);
    while (clock_now_us() < noon_us - US_PER_S / 2) {
        loop_turn(b.loop, true);
    }
    printf("loading until then: %.1f us here, %.1f us in Redis\n",
        (own_cpu_s() - own) * 1e6 / (double)count,
        (bench_redis_cpu_s(&b) - theirs) * 1e6 / (double)count);
    while (clock_now_us() < noon_us - 1000) {
        loop_turn(b.loop, true);
    }
    own = own_cpu_s();
    theirs = bench_redis_cpu_s(&b);
    int64_t limit = clock_mono_us() + LIMIT_US;
    while (bench_fired(&b) < count && clock_mono_us() < limit) {
        loop_turn(b.loop, true);
    }
    int64_t took_us = clock_now_us() - noon_us;
    printf("fired %" PRId64 " in %.1f ms (due within %" PRId64 " ms): %.0f/s\n", bench_fired(&b),
        (double)took_us / 1000, spread_ms, (double)count * 1e6 / (double)took_us);
    printf("fire: %.1f us here, %.1f us in Redis\n", (own_cpu_s() - own) * 1e6 / (double)count,
        (bench_redis_cpu_s(&b) - theirs) * 1e6 / (double)count);
    print_lateness(&b, count);
    bench_check(&b, count);

    ticker_free(b.ticker);
    catalog_free(b.catalog);
    store_free(b.store);
    timer_done(&b.tick);
    private_redis_stop(redis);
    loop_free(b.loop);
    temp_dir_done(&dir);
    free(b.text);
    return 0;
}
