/* SPDX-License-Identifier: Apache-2.0 */
/* Copying itself, as an init container does it: the step's image has no launcher. */
#include "launch/self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "launch/tree.h"

/* By rename, so that nobody ever executes half of it. */
static int copy_as(const char *from, const char *to, mode_t mode, struct err *err)
{
    CLEANUP(cleanup_free) char *tmp = xasprintf("%s.tmp", to);
    unlink(tmp);
    if (tree_copy(from, tmp, err) != 0) {
        return -1;
    }
    if (chmod(tmp, mode) != 0 || rename(tmp, to) != 0) {
        return err_errno(err, errno, "copy to %s", to);
    }
    return 0;
}

int self_copy(const char *argv0, const char *to, struct err *err)
{
    char link[4096];
    ssize_t n = readlink("/proc/self/exe", link, sizeof link - 1);
    link[n > 0 ? n : 0] = '\0';
    const char *self = n > 0 ? link : argv0;
    const char *from = access("/proc/self/exe", R_OK) == 0 ? "/proc/self/exe" : argv0;
    struct stat st;
    bool is_folder = stat(to, &st) == 0 && S_ISDIR(st.st_mode);
    CLEANUP(cleanup_free)
    char *target = is_folder ? xasprintf("%s/rondo-launcher", to) : xstrdup(to);
    if (copy_as(from, target, 0755, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_free) char *beside = xasprintf("%s-ca.crt", self);
    CLEANUP(cleanup_free) char *target_ca = xasprintf("%s-ca.crt", target);
    const char *bundles[] = {beside, "/etc/ssl/certs/ca-certificates.crt"};
    for (size_t i = 0; i < ARRAY_LEN(bundles); i++) {
        if (access(bundles[i], R_OK) == 0) {
            return copy_as(bundles[i], target_ca, 0644, err);
        }
    }
    return 0;
}
