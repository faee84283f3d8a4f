/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding what is left of an attempt whose launcher is gone: processes of its session, those that
 * carry its name in their environment, and those that hold its lock file open. A step's program
 * would have to work at it to escape all three.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "exec/local.h"

enum { ENVIRON_MAX = 256 * 1024 };

struct hunt {
    char mark[2 * ID_LEN + 64]; /* "RONDO_ATTEMPT=..." */
    pid_t session;              /* 0: unknown, or not to be trusted */
    struct stat lock;
    bool has_lock;
};

/* The recorded session counts only if its number cannot mean another one by now. */
static pid_t trusted_session(const struct local_attempt *a)
{
    char now[PROC_IDENTITY_MAX], home[PROC_IDENTITY_MAX];
    pid_t pid = (pid_t)strtol(a->owner, NULL, 10);
    proc_home(home);
    if (pid <= 1 || home[0] == '\0' || !str_ends(a->owner, home)) {
        return 0; /* another boot or another pid namespace: all of it is gone */
    }
    if (proc_identity(pid, now) && strcmp(now, a->owner) != 0) {
        return 0; /* the number has been given to somebody else */
    }
    return pid;
}

static bool has_mark(const struct hunt *hunt, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    CLEANUP(cleanup_free) char *text = xmalloc(ENVIRON_MAX + 1);
    size_t len = 0;
    ssize_t n;
    while (len < ENVIRON_MAX && (n = read(fd, text + len, ENVIRON_MAX - len)) > 0) {
        len += (size_t)n;
    }
    text[len] = '\0';
    for (size_t i = 0; i < len; i += strlen(text + i) + 1) {
        if (strcmp(text + i, hunt->mark) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_lock_open(const struct hunt *hunt, pid_t pid)
{
    char path[320];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = hunt->has_lock ? opendir(path) : NULL;
    bool is_found = false;
    struct dirent *entry;
    while (dir != NULL && !is_found && (entry = readdir(dir)) != NULL) {
        struct stat st;
        snprintf(path, sizeof path, "/proc/%d/fd/%.200s", (int)pid, entry->d_name);
        is_found = stat(path, &st) == 0 && st.st_ino == hunt->lock.st_ino &&
                   st.st_dev == hunt->lock.st_dev;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return is_found;
}

static bool is_leftover(const struct hunt *hunt, pid_t pid)
{
    char identity[PROC_IDENTITY_MAX];
    if (pid == getpid() || !proc_identity(pid, identity)) {
        return false; /* ourselves, gone, or a zombie */
    }
    return (hunt->session > 0 && getsid(pid) == hunt->session) || has_mark(hunt, pid) ||
           has_lock_open(hunt, pid);
}

int local_kill_leftovers(const struct local_attempt *a)
{
    struct hunt hunt = {.session = trusted_session(a)};
    snprintf(hunt.mark, sizeof hunt.mark, "RONDO_ATTEMPT=%s", a->key);
    CLEANUP(cleanup_free) char *lock = xasprintf("%s/lock", a->dir);
    hunt.has_lock = stat(lock, &hunt.lock) == 0;
    DIR *dir = opendir("/proc");
    if (dir == NULL) {
        LOG_ERROR("cannot look for left processes", "reason=%s", LOG_Q(strerror(errno)));
        return 0;
    }
    int count = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int64_t pid;
        struct err ignored;
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            parse_i64(entry->d_name, 2, INT32_MAX, "pid", &pid, &ignored) == 0 &&
            is_leftover(&hunt, (pid_t)pid)) {
            kill((pid_t)pid, SIGKILL);
            count++;
        }
    }
    closedir(dir);
    return count;
}
