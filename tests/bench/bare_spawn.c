/* SPDX-License-Identifier: Apache-2.0 */
/* The yardstick for local steps: posix_spawn and waitpid of a program. Prints the median in us. */
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

int main(int argc, char **argv)
{
    static int64_t took[ROUNDS];
    if (argc < 2) {
        fprintf(stderr, "usage: bare_spawn PROGRAM [ARG...]\n");
        return 2;
    }
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = now_ns();
        pid_t pid;
        int status;
        if (posix_spawn(&pid, argv[1], NULL, NULL, argv + 1, environ) != 0 ||
            waitpid(pid, &status, 0) != pid || status != 0) {
            fprintf(stderr, "%s cannot be run\n", argv[1]);
            return 1;
        }
        took[i] = now_ns() - start;
    }
    qsort(took, ROUNDS, sizeof took[0], by_size);
    printf("%.1f\n", (double)took[ROUNDS / 2] / 1000.0);
    return 0;
}
