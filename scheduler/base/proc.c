/* SPDX-License-Identifier: Apache-2.0 */
/* Process identity, read from /proc. */
#include "base/proc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static bool read_small(const char *path, char *out, size_t size)
{
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;
    if (n <= 0) {
        return false;
    }
    out[n] = '\0';
    return true;
}

void proc_home(char out[PROC_IDENTITY_MAX])
{
    char boot[64] = "", ns[64] = "";
    out[0] = '\0';
    if (!read_small("/proc/sys/kernel/random/boot_id", boot, sizeof boot)) {
        return;
    }
    boot[strcspn(boot, "\n")] = '\0';
    ssize_t n = readlink("/proc/self/ns/pid", ns, sizeof ns - 1);
    ns[n > 0 ? n : 0] = '\0';
    snprintf(out, PROC_IDENTITY_MAX, "%s %s", boot, ns);
}

/* Fields of /proc/PID/stat after the name in brackets: state is the first, start the 20th. */
static bool start_time(pid_t pid, char *out, size_t size)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_small(path, text, sizeof text)) {
        return false;
    }
    char *p = strrchr(text, ')');
    if (p == NULL || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X') {
        return false;
    }
    p += 2;
    for (int field = 1; field < 20; field++) {
        p = strchr(p, ' ');
        if (p == NULL) {
            return false;
        }
        p++;
    }
    snprintf(out, size, "%.*s", (int)strcspn(p, " \n"), p);
    return true;
}

bool proc_identity(pid_t pid, char out[PROC_IDENTITY_MAX])
{
    char start[32], home[PROC_IDENTITY_MAX];
    if (pid <= 0 || !start_time(pid, start, sizeof start)) {
        return false;
    }
    proc_home(home);
    snprintf(out, PROC_IDENTITY_MAX, "%d %.24s %.100s", (int)pid, start, home);
    return true;
}
