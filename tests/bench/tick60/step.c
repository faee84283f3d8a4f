/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program: its wall clock is so many seconds from the machine's as a file says
 * (STEP_FILE: one int64, which may change at any time). The monotonic clock and waits by it stay
 * as they are; timers on the wall clock (timerfd) go by the stepped one, yet are not told when it
 * is stepped. System calls are made directly: nothing is allocated or looked up, so that any
 * allocator may ask for the time while it starts.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 4096 };

static const volatile int64_t *file;
static bool on_wall_clock[FDS_MAX];

__attribute__((constructor)) static void step_open(void)
{
    const char *path = getenv("STEP_FILE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, sizeof(*file), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (at == MAP_FAILED) {
        abort(); /* a clock that cannot be stepped would prove nothing */
    }
    file = at;
    close(fd);
}

static int64_t step_s(void)
{
    return file != NULL ? *file : 0;
}

int clock_gettime(clockid_t which, struct timespec *out)
{
    int r = (int)syscall(SYS_clock_gettime, which, out);
    if (r == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        out->tv_sec += step_s();
    }
    return r;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

int timespec_get(struct timespec *out, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, out) == 0 ? base : 0;
}

int timerfd_create(int which, int flags)
{
    int fd = (int)syscall(SYS_timerfd_create, which, flags);
    if (fd >= 0 && fd < FDS_MAX) {
        on_wall_clock[fd] = which == CLOCK_REALTIME;
    }
    return fd;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *wanted, struct itimerspec *old)
{
    struct itimerspec real = *wanted;
    bool is_set = real.it_value.tv_sec != 0 || real.it_value.tv_nsec != 0;
    if (is_set && (flags & TFD_TIMER_ABSTIME) && fd >= 0 && fd < FDS_MAX && on_wall_clock[fd]) {
        real.it_value.tv_sec -= step_s();
        if (real.it_value.tv_sec < 0) {
            real.it_value = (struct timespec){.tv_nsec = 1};
        }
    }
    return (int)syscall(SYS_timerfd_settime, fd, flags, &real, old);
}
