/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What compiling a pipeline costs: from its text in memory to a plan, all checks included.
 * Processor time, so that what else runs on the machine does not count.
 * usage: bench_compile FILE...; prints the median in microseconds for each.
 */
#include "scheduler/plan.h"

#include "base/buf.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_BYTES ((size_t)32 << 20)
#define REPEATS_MAX 15
#define ENOUGH_US INT64_C(1000000) /* no further repeat after that */

static int64_t cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int by_value(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int64_t compile_us(const char *path, const char *text, size_t len)
{
    struct complaints complaints;
    complaints_init(&complaints);
    int64_t start = cpu_us();
    struct plan *plan = plan_compile(text, len, &complaints);
    bool is_good = plan != NULL;
    plan_unref(plan);
    int64_t took = cpu_us() - start;
    if (!is_good) {
        struct buf said;
        buf_init(&said, 4096);
        complaints_format(&complaints, 3, &said);
        fprintf(stderr, "%s: %s\n", path, buf_str(&said));
        exit(1);
    }
    complaints_done(&complaints);
    return took;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t len = 0;
        char *text = file_read(argv[i], MAX_BYTES, &len, NULL);
        if (text == NULL) {
            perror(argv[i]);
            return 1;
        }
        int64_t took[REPEATS_MAX], total = 0;
        size_t count = 0;
        while (count < REPEATS_MAX && total < ENOUGH_US) {
            took[count] = compile_us(argv[i], text, len);
            total += took[count++];
        }
        qsort(took, count, sizeof(*took), by_value);
        printf("%lld\n", (long long)took[count / 2]);
        free(text);
    }
    return 0;
}
