/* SPDX-License-Identifier: Apache-2.0 */
/* Opening files below a folder. openat2() does it in the kernel; old kernels and strict seccomp
 * profiles have no openat2(), there each part of the path is opened by itself, without links. */
#include "artifact/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"

static int open_by_parts(int root_fd, const char *rel, int flags, mode_t mode)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(rel);
    int fd = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    char *part = copy;
    while (fd >= 0) {
        char *slash = strchr(part, '/');
        if (slash != NULL) {
            *slash = '\0';
        }
        int next;
        if (strcmp(part, "..") == 0) {
            errno = EXDEV;
            next = -1;
        } else if (slash != NULL) {
            next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        } else {
            next = openat(fd, part, flags | O_NOFOLLOW | O_CLOEXEC, mode);
        }
        int saved = errno;
        close(fd);
        errno = saved == ELOOP ? EXDEV : saved;
        fd = next;
        if (slash == NULL) {
            return fd;
        }
        part = slash + 1;
    }
    return -1;
}

int beneath_open(int root_fd, const char *rel, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (unsigned)flags | O_CLOEXEC,
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    /* EAGAIN: something was renamed on the way, the kernel cannot be sure. */
    for (int i = 0; i < 8; i++) {
        long fd = syscall(SYS_openat2, root_fd, rel, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != ENOSYS && errno != EPERM)) {
            return (int)fd;
        }
        if (errno != EAGAIN) {
            break;
        }
    }
    return open_by_parts(root_fd, rel, flags, mode);
}

int beneath_make_parents(int root_fd, const char *rel, mode_t mode)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(rel);
    for (char *slash = strchr(copy, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const char *name;
        int parent = beneath_open_parent(root_fd, copy, &name);
        if (parent < 0) {
            return -1;
        }
        int rc = mkdirat(parent, name, mode);
        int saved = errno;
        close(parent);
        if (rc != 0 && saved != EEXIST) {
            errno = saved;
            return -1;
        }
        *slash = '/';
    }
    return 0;
}

int beneath_open_parent(int root_fd, const char *rel, const char **name_out)
{
    const char *slash = strrchr(rel, '/');
    *name_out = slash != NULL ? slash + 1 : rel;
    if (slash == NULL) {
        return openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    CLEANUP(cleanup_free) char *dir = xstrndup(rel, (size_t)(slash - rel));
    return beneath_open(root_fd, dir, O_PATH | O_DIRECTORY, 0);
}
