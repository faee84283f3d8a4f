/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders that nobody asks for any more: the daemon was killed after it had saved an attempt's
 * end and before it forgot the folder. They are forgotten once they are old; an attempt that is
 * still wanted was started again long before (the first look is an hour after our start).
 */
#include "exec/local.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"

#define EVERY_MS INT64_C(3600000)
#define OLD_S INT64_C(604800)
enum { AT_ONCE = 5000 };

struct sweep {
    struct local *local;
    int seen, forgotten;
    /* Looking for strays instead. */
    bool (*is_anothers)(void *owner, const char *run_id);
    void *owner;
};

/* When did it end? By its report; without one (it was lost) by its lock, unless that is held. */
static bool find_end(const char *dir, struct stat *out)
{
    CLEANUP(cleanup_free) char *report = xasprintf("%s/report.json", dir);
    if (stat(report, out) == 0) {
        return true;
    }
    CLEANUP(cleanup_free) char *lock = xasprintf("%s/lock", dir);
    CLEANUP(cleanup_fd) int fd = open(lock, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, out) == 0;
}

static bool is_old(const char *dir)
{
    struct stat st;
    return find_end(dir, &st) && clock_now_us() / US_PER_S - st.st_mtim.tv_sec > OLD_S;
}

static void sweep_attempt(struct sweep *s, const char *run, const char *task, const char *number)
{
    CLEANUP(cleanup_free) char *key = xasprintf("%s/%s/%s", run, task, number);
    CLEANUP(cleanup_free) char *dir = xasprintf("%s/work/%s", s->local->data_dir, key);
    int64_t attempt;
    struct err ignored;
    s->seen++;
    if (s->is_anothers != NULL) {
        if (!map_has(s->local->attempts, key) && s->is_anothers(s->owner, run) &&
            parse_i64(number, 0, INT32_MAX, "attempt", &attempt, &ignored) == 0) {
            struct attempt_name name = {run, task, (int)attempt};
            local_end_stray(s->local, &name);
        }
        return;
    }
    if (parse_i64(number, 0, INT32_MAX, "attempt", &attempt, &ignored) == 0 &&
        !map_has(s->local->attempts, key) && is_old(dir)) {
        struct attempt_name name = {run, task, (int)attempt};
        local_forget(s->local, &name);
        s->forgotten++;
    }
}

/* Calls back for each entry of DATA/work/<below>, a bounded number of times in all. */
static void sweep_folder(struct sweep *s, const char *run, const char *task)
{
    CLEANUP(cleanup_free)
    char *path = xasprintf("%s/work%s%s%s%s", s->local->data_dir, run != NULL ? "/" : "",
        run != NULL ? run : "", task != NULL ? "/" : "", task != NULL ? task : "");
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir != NULL && s->seen < AT_ONCE && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        if (task != NULL) {
            sweep_attempt(s, run, task, name);
        } else if (id_is_valid(name)) {
            sweep_folder(s, run != NULL ? run : name, run != NULL ? name : NULL);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

void local_sweep(void *owner)
{
    struct local *local = owner;
    struct sweep s = {.local = local};
    sweep_folder(&s, NULL, NULL);
    if (s.forgotten > 0) {
        LOG_INFO("old step folders removed", "count=%d", s.forgotten);
    }
    timer_start_ms(&local->sweep, EVERY_MS);
}

void local_find_strays(
    struct local *local, bool (*is_anothers)(void *owner, const char *run_id), void *owner)
{
    struct sweep s = {.local = local, .is_anothers = is_anothers, .owner = owner};
    sweep_folder(&s, NULL, NULL);
}

void local_sweep_start(struct local *local)
{
    timer_init(&local->sweep, local->loop, local_sweep, local);
    timer_start_ms(&local->sweep, EVERY_MS);
}
