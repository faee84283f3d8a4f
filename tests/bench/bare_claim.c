/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick for firing: scheduler/trigger/claim.lua itself, sent by a loop that does nothing
 * else, 100 ticks a call, two calls under way. Prints ticks per second.
 * usage: bare_claim SOCKET claim.lua RECURRING_RUNS ROUNDS
 */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 100
#define KEYS 5
#define ARGS (5 + 10 * BATCH)
#define WORDS (3 + KEYS + ARGS)
#define WORD_MAX 800
#define FIRST INT64_C(1800000000000000)
#define SECOND INT64_C(1000000)

/* As long as a real run's record and event. */
static char doc[560], event[420];
static char words[WORDS][WORD_MAX];
static const char *argv[WORDS];
static size_t lens[WORDS];
static int word_count;

static void add(const char *fmt, const char *text, long long number)
{
    int n = text != NULL ? snprintf(words[word_count], WORD_MAX, fmt, text)
                         : snprintf(words[word_count], WORD_MAX, fmt, number);
    argv[word_count] = words[word_count];
    lens[word_count++] = (size_t)n;
}

static void add_progress(int index, int64_t slot)
{
    char text[128];
    snprintf(text, sizeof text, "1 1 %d %lld 0 %lld 0", index,
        index > 0 ? (long long)(slot - SECOND) : 0, (long long)slot);
    add("%s", text, 0);
}

static void send_batch(redisContext *redis, const char *sha, int from, int round)
{
    static const char *const keys[] = {"epoch", "due", "progress", "born", "events"};
    int64_t slot = FIRST + round * SECOND;
    word_count = 0;
    add("%s", "EVALSHA", 0);
    add("%s", sha, 0);
    add("%lld", NULL, KEYS);
    for (int i = 0; i < KEYS; i++) {
        add("rondo:{00}:%s", keys[i], 0);
    }
    add("%lld", NULL, 1);
    add("%lld", NULL, 2 * FIRST); /* as if that instant had come */
    add("%lld", NULL, BATCH);
    add("%s", "rondo:{00}:", 0);
    add("%lld", NULL, 50);
    add("%lld", NULL, 0);
    for (int i = from; i < from + BATCH; i++) {
        add("00000000-0000-4000-8000-%012lld", NULL, i);
    }
    for (int i = from; i < from + BATCH; i++) {
        add("%s", "f", 0);
        add_progress(round, slot);
        add("%lld", NULL, 1000000);
        add("%lld", NULL, slot);
        add_progress(round + 1, slot + SECOND);
        add("%lld", NULL, slot + SECOND);
        add("00000000-0000-5000-8000-%012lld", NULL, (long long)round * 1000000 + i);
        add("%s", doc, 0);
        add("%s", event, 0);
    }
    redisAppendCommandArgv(redis, word_count, argv, lens);
}

static void take(redisContext *redis, bool is_claim)
{
    redisReply *reply = NULL;
    if (redisGetReply(redis, (void **)&reply) != REDIS_OK || reply->type == REDIS_REPLY_ERROR ||
        (is_claim && (reply->elements != BATCH + 1 || reply->element[1]->integer != 1))) {
        fprintf(stderr, "claim: %s\n",
            reply != NULL && reply->str != NULL ? reply->str : redis->errstr);
        exit(1);
    }
    freeReplyObject(reply);
}

static void prepare(redisContext *redis, int count)
{
    redisAppendCommand(redis, "SET rondo:{00}:epoch 1");
    take(redis, false);
    for (int i = 0; i < count; i++) {
        char progress[64];
        snprintf(progress, sizeof progress, "1 1 0 0 0 %lld 0", (long long)FIRST);
        redisAppendCommand(
            redis, "HSET rondo:{00}:progress 00000000-0000-4000-8000-%012d %s", i, progress);
        take(redis, false);
    }
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 65536);
    if (f == NULL || fread(text, 1, 65535, f) == 0) {
        perror(path);
        exit(1);
    }
    fclose(f);
    return text;
}

int main(int argc, char **args)
{
    if (argc != 5) {
        fprintf(stderr, "usage: bare_claim SOCKET claim.lua RECURRING_RUNS ROUNDS\n");
        return 2;
    }
    int count = (int)strtol(args[3], NULL, 10) / BATCH * BATCH;
    int rounds = (int)strtol(args[4], NULL, 10);
    memset(doc, 'd', sizeof doc - 1);
    memset(event, 'e', sizeof event - 1);
    redisContext *redis = redisConnectUnix(args[1]);
    if (redis == NULL || redis->err != 0) {
        fprintf(stderr, "%s: %s\n", args[1], redis != NULL ? redis->errstr : "no memory");
        return 1;
    }
    prepare(redis, count);
    char *text = read_file(args[2]);
    redisReply *loaded = redisCommand(redis, "SCRIPT LOAD %s", text);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int under_way = 0;
    for (int round = 0; round < rounds; round++) {
        for (int from = 0; from < count; from += BATCH) {
            send_batch(redis, loaded->str, from, round);
            int done = 0;
            while (done == 0 && redisBufferWrite(redis, &done) == REDIS_OK) {
            }
            if (++under_way > 1) {
                take(redis, true);
                under_way--;
            }
        }
    }
    while (under_way-- > 0) {
        take(redis, true);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double took = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    printf("%.0f\n", (double)rounds * count / took);
    freeReplyObject(loaded);
    free(text);
    redisFree(redis);
    return 0;
}
