/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The yardstick for local steps: posix_spawn and waitpid of a program.
 * usage: bare_spawn PROGRAM [ARG...]                  one after the other; prints the median in us
 *        bare_spawn COUNT AT_ONCE PROGRAM [ARG...]    prints the seconds that all took
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#define ROUNDS 200

extern char **environ;

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static pid_t spawn(char **argv)
{
    pid_t pid;
    if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0) {
        fprintf(stderr, "%s cannot be run\n", argv[0]);
        exit(1);
    }
    return pid;
}

/* pid -1: any. */
static void await(pid_t pid)
{
    int status;
    if (waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "a program failed\n");
        exit(1);
    }
}

static void print_median(char **argv)
{
    static int64_t took[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = now_ns();
        await(spawn(argv));
        took[i] = now_ns() - start;
    }
    qsort(took, ROUNDS, sizeof took[0], by_size);
    printf("%.1f\n", (double)took[ROUNDS / 2] / 1000.0);
}

static void print_seconds(long count, long at_once, char **argv)
{
    int64_t start = now_ns();
    for (long i = 0; i < count; i++) {
        if (i >= at_once) {
            await(-1);
        }
        spawn(argv);
    }
    for (long left = count < at_once ? count : at_once; left > 0; left--) {
        await(-1);
    }
    printf("%.3f\n", (double)(now_ns() - start) / 1e9);
}

int main(int argc, char **argv)
{
    long count = argc > 3 ? strtol(argv[1], NULL, 10) : 0;
    if (argc < 2) {
        fprintf(stderr, "usage: bare_spawn [COUNT AT_ONCE] PROGRAM [ARG...]\n");
        return 2;
    }
    if (count > 0) {
        print_seconds(count, strtol(argv[2], NULL, 10), argv + 3);
    } else {
        print_median(argv + 1);
    }
    return 0;
}
