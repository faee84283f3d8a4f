/* SPDX-License-Identifier: Apache-2.0 */
/* Finding descendants by the parents that /proc names, signalling and reaping them. */
#include "launch/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

struct proc {
    pid_t pid, parent;
    bool is_ours;
};

/* The parent is the second field after the name, which stands in brackets and may hold any. */
static pid_t parent_of(const char *pid_text)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid_text);
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (n <= 0) {
        return -1;
    }
    text[n] = '\0';
    char *end = strrchr(text, ')');
    if (end == NULL || strlen(end) < 5) {
        return -1;
    }
    return (pid_t)strtol(end + 4, NULL, 10);
}

static struct proc *all_procs(size_t *len_out)
{
    DIR *dir = opendir("/proc");
    if (dir == NULL) {
        return NULL;
    }
    struct proc *list = NULL;
    size_t len = 0, cap = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int64_t pid;
        struct err ignored;
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            parse_i64(entry->d_name, 1, INT32_MAX, "pid", &pid, &ignored) != 0) {
            continue;
        }
        if (len == cap) {
            cap = cap == 0 ? 256 : cap * 2;
            list = xreallocarray(list, cap, sizeof *list);
        }
        list[len++] = (struct proc){(pid_t)pid, parent_of(entry->d_name), false};
    }
    closedir(dir);
    if (len == 0) { /* an empty folder called /proc */
        free(list);
        return NULL;
    }
    *len_out = len;
    return list;
}

void procs_signal(int sig, pid_t group)
{
    size_t len = 0;
    CLEANUP(cleanup_free) struct proc *list = all_procs(&len);
    if (list == NULL) {
        if (getpid() == 1 && sig == SIGKILL) {
            kill(-1, SIGKILL);
        } else if (group > 0) {
            kill(-group, sig);
        }
        return;
    }
    pid_t self = getpid();
    bool is_growing = true;
    while (is_growing) {
        is_growing = false;
        for (size_t i = 0; i < len; i++) {
            bool is_child = list[i].parent == self;
            for (size_t k = 0; k < len && !is_child && !list[i].is_ours; k++) {
                is_child = list[k].is_ours && list[k].pid == list[i].parent;
            }
            if (is_child && !list[i].is_ours) {
                list[i].is_ours = true;
                is_growing = true;
            }
        }
    }
    for (size_t i = 0; i < len; i++) {
        if (list[i].is_ours) {
            kill(list[i].pid, sig);
        }
    }
}

bool procs_reap(pid_t main_pid, bool *main_ended, int *status)
{
    for (;;) {
        int one = 0;
        pid_t pid = waitpid(-1, &one, WNOHANG);
        if (pid == main_pid && pid > 0) {
            *main_ended = true;
            *status = one;
        } else if (pid == 0) {
            return true;
        } else if (pid < 0 && errno != EINTR) {
            return false;
        }
    }
}
