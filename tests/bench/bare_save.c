/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick for the engine: scheduler/run/run_save.lua itself, sent by a loop that does nothing
 * else, each call after the answer to the one before, as the saves of one run are. The records
 * and events are spread evenly; each record is written twice. Prints seconds.
 * usage: bare_save SOCKET run_save.lua SAVES RECORDS RECORD_BYTES EVENTS EVENT_BYTES
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUN "rondo:{00}:run:00000000-0000-4000-8000-000000000000"
#define FIXED 26 /* words that are no records and no events */
#define PATH_MAX_LEN 40

struct call {
    const char **words;
    size_t *lens;
    int count;
};

static void add(struct call *c, const char *text, size_t len)
{
    c->words[c->count] = text;
    c->lens[c->count++] = len;
}

static void add_text(struct call *c, const char *text)
{
    add(c, text, strlen(text));
}

static redisReply *checked(redisContext *redis, redisReply *reply)
{
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        fprintf(stderr, "save: %s\n", reply != NULL ? reply->str : redis->errstr);
        exit(1);
    }
    return reply;
}

static char *filled(long len)
{
    char *text = calloc(1, (size_t)len + 1);
    memset(text, 'x', (size_t)len);
    return text;
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

/* What is written by save number i of n when all of it is `total`. */
static long share(long total, long i, long n)
{
    return total * (i + 1) / n - total * i / n;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: bare_save SOCKET run_save.lua SAVES RECORDS RECORD_BYTES EVENTS "
                        "EVENT_BYTES\n");
        return 2;
    }
    long saves = strtol(argv[3], NULL, 10), records = strtol(argv[4], NULL, 10),
         events = strtol(argv[6], NULL, 10), record_len = strtol(argv[5], NULL, 10),
         event_len = strtol(argv[7], NULL, 10);
    char *record = filled(record_len), *event = filled(event_len), *script = read_file(argv[2]);
    redisContext *redis = redisConnectUnix(argv[1]);
    if (redis == NULL || redis->err != 0) {
        fprintf(stderr, "%s: %s\n", argv[1], redis != NULL ? redis->errstr : "no memory");
        return 1;
    }
    freeReplyObject(checked(redis, redisCommand(redis, "SET rondo:{00}:epoch 1")));
    freeReplyObject(checked(redis, redisCommand(redis, "HSET " RUN " state RUNNING rev 0")));
    redisReply *loaded = checked(redis, redisCommand(redis, "SCRIPT LOAD %s", script));
    size_t room = (size_t)(FIXED + 2 * records + events);
    struct call c = {calloc(room, sizeof(char *)), calloc(room, sizeof(size_t)), 0};
    char(*paths)[PATH_MAX_LEN] = calloc((size_t)records + 1, sizeof *paths);
    long distinct = records / 2 + 1, at = 0;
    for (long i = 0; i <= records; i++) {
        snprintf(paths[i], sizeof paths[i], "for/%ld/each", i % distinct);
    }
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < saves; i++) {
        char rev[24], record_count[24], event_count[24];
        long these = share(records, i, saves), those = share(events, i, saves);
        snprintf(rev, sizeof rev, "%ld", i + 1);
        snprintf(record_count, sizeof record_count, "%ld", these);
        snprintf(event_count, sizeof event_count, "%ld", those);
        c.count = 0;
        const char *const head[] = {"EVALSHA", loaded->str, "7", "rondo:{00}:epoch", RUN,
            RUN ":tasks", "rondo:{00}:events", "rondo:{00}:live", "rondo:{00}:finished",
            "rondo:{00}:expiry", "1", "00000000-0000-4000-8000-000000000000", rev, "", "", "0", "0",
            "0", "", "", "", "0", record_count};
        for (size_t k = 0; k < sizeof head / sizeof head[0]; k++) {
            add_text(&c, head[k]);
        }
        for (long k = 0; k < these; k++) {
            add_text(&c, paths[at++]);
            add(&c, record, (size_t)record_len);
        }
        add_text(&c, event_count);
        for (long k = 0; k < those; k++) {
            add(&c, event, (size_t)event_len);
        }
        add_text(&c, "");
        freeReplyObject(checked(redis, redisCommandArgv(redis, c.count, c.words, c.lens)));
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.6f\n",
        (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    freeReplyObject(loaded);
    free(c.words);
    free(c.lens);
    free(paths);
    free(record);
    free(event);
    free(script);
    redisFree(redis);
    return 0;
}
