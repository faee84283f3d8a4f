/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting folders for a step without touching the machine: all of it happens in a mount namespace
 * of this process (as root, or in a user namespace where that is allowed) and is gone with its
 * last process. A mount point that is not there is not made in the machine's own folder: that
 * folder is replaced, in the namespace, by a small one in memory that shows the same entries and
 * the mount point.
 */
#include "launch/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "launch/order.h"
#include "launch/output.h"

/* More would be slow to show again, and is no place for a mount point. */
enum { ENTRIES_MAX = 1024, MIRRORS_MAX = 64 };

/* A folder of the machine that is shown again. */
struct mirror {
    dev_t dev;
    char *folder;
    bool was_writable;
};

struct mounter {
    const struct order *order;
    struct mirror mirrors[MIRRORS_MAX];
    size_t mirrors_len;
    char **done; /* real paths of what is mounted, by index of the order; NULL: not */
};

/* ---- paths ---- */

/* Is path the folder itself or something in it? */
static bool is_within(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    while (len > 1 && folder[len - 1] == '/') {
        len--;
    }
    return len <= 1 || (strncmp(path, folder, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

/* "//a/b/" -> "/a/b"; NULL: not absolute, the root itself, or with "." and "..". */
static char *tidy(const char *path)
{
    char *out = xcalloc(strlen(path) + 2, 1);
    size_t len = 0;
    bool is_good = path[0] == '/';
    for (const char *p = path; *p != '\0' && is_good;) {
        p += strspn(p, "/");
        size_t n = strcspn(p, "/");
        is_good = !(n == 1 && p[0] == '.') && !(n == 2 && p[0] == '.' && p[1] == '.');
        if (n > 0) {
            out[len++] = '/';
            memcpy(out + len, p, n);
            len += n;
        }
        p += n;
    }
    if (!is_good || len == 0 || len >= PATH_MAX) {
        free(out);
        return NULL;
    }
    return out;
}

/* Nothing is mounted over, into or around the places that rondo itself works with. */
static int check_place(const struct mounter *m, const char *path, struct err *err)
{
    static const char *const system[] = {"/proc", "/sys", "/dev"};
    for (size_t i = 0; i < ARRAY_LEN(system); i++) {
        if (is_within(path, system[i]) && strcmp(path, "/dev/shm") != 0) {
            return err_set(err, ERR_DENIED, "%s is the system's", system[i]);
        }
    }
    for (size_t i = 0; i < m->order->mount_keep_len; i++) {
        const char *keep = m->order->mount_keep[i];
        if (is_within(path, keep) || is_within(keep, path)) {
            return err_set(err, ERR_DENIED, "rondo keeps its own data in %s", keep);
        }
    }
    for (size_t i = 0; i < m->order->mounts_len; i++) {
        if (is_within(m->order->mounts[i].from, path)) {
            return err_set(err, ERR_DENIED, "it would hide %s", m->order->mounts[i].from);
        }
    }
    return 0;
}

/* The longest beginning of path that is there, as a real path; *rest: what is missing. */
static char *existing_part(const char *path, const char **rest, struct err *err)
{
    CLEANUP(cleanup_free) char *part = xstrdup(path);
    struct stat st;
    while (stat(part, &st) != 0) {
        if (errno != ENOENT) {
            err_errno(err, errno, "%s", part);
            return NULL;
        }
        char *slash = strrchr(part, '/');
        slash[slash == part ? 1 : 0] = '\0';
        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
            err_set(err, ERR_NOT_FOUND, "%s is a link to nowhere", path);
            return NULL;
        }
    }
    *rest = path + strlen(part) - (strcmp(part, "/") == 0 ? 1 : 0);
    char *real = realpath(part, NULL);
    if (real == NULL) {
        err_errno(err, errno, "%s", part);
    }
    return real;
}

/* ---- the namespace ---- */

static int write_text(const char *path, const char *text)
{
    CLEANUP(cleanup_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t len = strlen(text);
    return fd >= 0 && write(fd, text, len) == (ssize_t)len ? 0 : -1;
}

/* A user namespace in which we are who we are, and may mount. */
static int enter_user_namespace(void)
{
    char uid[64], gid[64];
    snprintf(uid, sizeof uid, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
    snprintf(gid, sizeof gid, "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
        return -1;
    }
    return write_text("/proc/self/setgroups", "deny") == 0 &&
                   write_text("/proc/self/uid_map", uid) == 0 &&
                   write_text("/proc/self/gid_map", gid) == 0
               ? 0
               : -1;
}

static int enter(void)
{
    bool is_in = geteuid() == 0 && unshare(CLONE_NEWNS) == 0;
    return (is_in || enter_user_namespace() == 0) &&
                   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
               ? 0
               : -1;
}

bool mounts_are_possible(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(enter() == 0 ? 0 : 1);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 && status == 0;
}

/* There is no way back out of half a namespace: somebody else goes first. */
static int enter_namespace(struct err *err)
{
    return mounts_are_possible() && enter() == 0
               ? 0
               : err_set(err, ERR_DENIED, "this system allows no mount namespaces");
}

/* ---- a folder shown again, with room for a mount point ---- */

static int show_entry(const char *from, const char *to, struct err *err)
{
    struct stat st;
    if (lstat(from, &st) != 0) {
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s", from);
    }
    if (S_ISLNK(st.st_mode)) {
        char target[PATH_MAX];
        ssize_t n = readlink(from, target, sizeof target - 1);
        if (n < 0) {
            return err_errno(err, errno, "%s", from);
        }
        target[n] = '\0';
        return symlink(target, to) == 0 ? 0 : err_errno(err, errno, "%s", to);
    }
    int rc = S_ISDIR(st.st_mode) ? mkdir(to, 0755) : mknod(to, S_IFREG | 0644, 0);
    if (rc != 0) {
        return err_errno(err, errno, "%s", to);
    }
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0) {
        return err_errno(err, errno, "%s cannot be shown again", from);
    }
    return 0;
}

static int show_entries(const char *folder, const char *at, struct err *err)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return err_errno(err, errno, "%s", folder);
    }
    int rc = 0, count = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (++count > ENTRIES_MAX) {
            rc = err_set(err, ERR_LIMIT, "%s has more than %d entries", folder, ENTRIES_MAX);
            break;
        }
        CLEANUP(cleanup_free)
        char *from = xasprintf("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, entry->d_name);
        CLEANUP(cleanup_free) char *to = xasprintf("%s/%s", at, entry->d_name);
        rc = show_entry(from, to, err);
    }
    closedir(dir);
    return rc;
}

static int put_in_place(const char *at, const char *folder, struct err *err)
{
    if (strcmp(folder, "/") != 0) {
        return mount(at, folder, NULL, MS_MOVE, NULL) == 0
                   ? 0
                   : err_errno(err, errno, "%s cannot be replaced", folder);
    }
    if (chdir(at) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 ||
        chdir("/") != 0) {
        return err_errno(err, errno, "the root folder cannot be replaced");
    }
    return 0;
}

static int make_mirror(struct mounter *m, const char *folder, struct err *err)
{
    const char *at = m->order->mount_dir;
    struct stat st, mine;
    if (m->mirrors_len == MIRRORS_MAX) {
        return err_set(err, ERR_LIMIT, "there are too many mount points in different folders");
    }
    if (stat(folder, &st) != 0) {
        return err_errno(err, errno, "%s", folder);
    }
    bool was_writable = access(folder, W_OK) == 0;
    if (dir_make(at, 0755, err) != 0) {
        return -1;
    }
    /* Not to be shown again when the folder that it lies in is. */
    if (mount("tmpfs", at, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0) {
        return err_errno(err, errno, "memory cannot be mounted at %s", at);
    }
    if (mount(NULL, at, NULL, MS_UNBINDABLE, NULL) != 0 || stat(at, &mine) != 0) {
        err_errno(err, errno, "%s", at);
    } else if (show_entries(folder, at, err) == 0) {
        if (was_writable && chmod(at, st.st_mode & 07777) != 0) {
            err_errno(err, errno, "%s", at);
        } else if (put_in_place(at, folder, err) == 0) {
            m->mirrors[m->mirrors_len++] =
                (struct mirror){mine.st_dev, xstrdup(folder), was_writable};
            return 0;
        }
    }
    umount2(at, MNT_DETACH);
    return -1;
}

/* ---- one mount ---- */

/* May folders be made here: in memory of ours, or in something mounted before? */
static bool is_ours(const struct mounter *m, const char *folder)
{
    struct stat st;
    for (size_t i = 0; i < m->order->mounts_len; i++) {
        if (m->done[i] != NULL && is_within(folder, m->done[i])) {
            return true;
        }
    }
    if (stat(folder, &st) != 0) {
        return false;
    }
    for (size_t i = 0; i < m->mirrors_len; i++) {
        if (m->mirrors[i].dev == st.st_dev) {
            return true;
        }
    }
    return false;
}

static int make_point(
    struct mounter *m, const char *folder, const char *point, bool is_dir, struct err *err)
{
    if (!is_ours(m, folder) && make_mirror(m, folder, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_free) char *parent = xstrdup(point);
    *strrchr(parent, '/') = '\0';
    if (parent[0] != '\0' && dir_make(parent, 0755, err) != 0) {
        return -1;
    }
    int rc = is_dir ? mkdir(point, 0755) : mknod(point, S_IFREG | 0644, 0);
    return rc == 0 || errno == EEXIST ? 0 : err_errno(err, errno, "%s", point);
}

/* The real path of the mount point, which is there afterwards. */
static char *have_point(struct mounter *m, const char *path, bool is_dir, struct err *err)
{
    const char *rest;
    CLEANUP(cleanup_free) char *folder = existing_part(path, &rest, err);
    if (folder == NULL) {
        return NULL;
    }
    CLEANUP(cleanup_free)
    char *point = xasprintf("%s%s", strcmp(folder, "/") == 0 ? "" : folder, rest);
    /* Again, because there may have been links on the way. */
    if (check_place(m, point[0] != '\0' ? point : "/", err) != 0) {
        return NULL;
    }
    struct stat st;
    if (rest[0] != '\0') {
        return make_point(m, folder, point, is_dir, err) == 0 ? STEAL(point) : NULL;
    }
    if (stat(point, &st) != 0 || S_ISDIR(st.st_mode) != is_dir) {
        err_set(err, ERR_CONFLICT, "there is a %s", is_dir ? "file of that name" : "folder");
        return NULL;
    }
    return STEAL(point);
}

static int mount_one(struct mounter *m, size_t i, struct err *err)
{
    const struct order_mount *mount_ = &m->order->mounts[i];
    CLEANUP(cleanup_free) char *path = tidy(mount_->path);
    struct stat st;
    if (path == NULL) {
        return err_set(err, ERR_INVALID, "it is no absolute path without . and ..");
    }
    if (check_place(m, path, err) != 0) {
        return -1;
    }
    if (stat(mount_->from, &st) != 0) {
        return err_errno(err, errno, "%s", mount_->from);
    }
    CLEANUP(cleanup_free) char *point = have_point(m, path, S_ISDIR(st.st_mode), err);
    if (point == NULL) {
        return -1;
    }
    if (mount(mount_->from, point, NULL, MS_BIND | MS_REC, NULL) != 0) {
        return err_errno(err, errno, "mount");
    }
    m->done[i] = STEAL(point);
    return 0;
}

/* A courtesy, as the files' own modes are what protects them. */
static void make_read_only(const char *point)
{
    static const struct {
        unsigned long has, flag;
    } kept[] = {{ST_NOSUID, MS_NOSUID}, {ST_NODEV, MS_NODEV}, {ST_NOEXEC, MS_NOEXEC},
        {ST_NOATIME, MS_NOATIME}, {ST_NODIRATIME, MS_NODIRATIME}, {ST_RELATIME, MS_RELATIME}};
    struct statvfs fs;
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;
    if (statvfs(point, &fs) != 0) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        flags |= (fs.f_flag & kept[i].has) != 0 ? kept[i].flag : 0;
    }
    (void)mount(NULL, point, NULL, flags, NULL);
}

/* ---- all of them ---- */

static void note_unmounted(
    const struct order *o, size_t i, struct output *output, const char *reason)
{
    if (!o->mounts[i].is_quiet) {
        output_note(output, "%s is not mounted at %s (%s); it is at %s, as RONDO_MOUNT_%zu says",
            o->mounts[i].of, o->mounts[i].path, reason, o->mounts[i].from, i + 1);
    }
}

static int have_sources(const struct order *o, struct err *err)
{
    for (size_t i = 0; i < o->mounts_len; i++) {
        const struct order_mount *m = &o->mounts[i];
        struct stat st;
        if (m->make) {
            if (dir_make(m->from, 0755, err) != 0) {
                return err_wrap(err, "%s, to be mounted at %s", m->of, m->path);
            }
        } else if (stat(m->from, &st) != 0) {
            return err_set(err, ERR_NOT_FOUND,
                "%s, to be mounted at %s, is not there: put it into the folder %s", m->of, m->path,
                m->from);
        }
    }
    return 0;
}

struct by_path {
    size_t index;
    const char *path;
};

static int compare_paths(const void *a, const void *b)
{
    const struct by_path *left = a, *right = b;
    int order = strcmp(left->path, right->path);
    return order != 0 ? order : left->index < right->index ? -1 : 1;
}

static void mount_all(struct mounter *m, struct output *output)
{
    const struct order *o = m->order;
    struct by_path *sorted = xcalloc(o->mounts_len, sizeof *sorted);
    for (size_t i = 0; i < o->mounts_len; i++) {
        sorted[i] = (struct by_path){i, o->mounts[i].path};
    }
    /* What lies in another one comes after it. */
    qsort(sorted, o->mounts_len, sizeof *sorted, compare_paths);
    for (size_t i = 0; i < o->mounts_len; i++) {
        struct err err = ERR_INIT;
        if (mount_one(m, sorted[i].index, &err) != 0) {
            note_unmounted(o, sorted[i].index, output, err.msg);
        }
    }
    for (size_t i = 0; i < o->mounts_len; i++) {
        if (m->done[i] != NULL && o->mounts[i].read_only) {
            make_read_only(m->done[i]);
        }
    }
    /* What was not writable is so again, now that the mount points are made. */
    for (size_t i = 0; i < m->mirrors_len; i++) {
        if (!m->mirrors[i].was_writable) {
            make_read_only(m->mirrors[i].folder);
        }
    }
    free(sorted);
}

int mounts_prepare(const struct order *order, struct output *output, struct err *err)
{
    if (order->mounts_len == 0) {
        return 0;
    }
    if (have_sources(order, err) != 0) {
        return -1;
    }
    struct err trouble = ERR_INIT;
    if (!order->may_mount || enter_namespace(&trouble) != 0) {
        for (size_t i = 0; i < order->mounts_len; i++) {
            note_unmounted(
                order, i, output, order->may_mount ? trouble.msg : "mounting is switched off");
        }
        return 0;
    }
    struct mounter m = {.order = order};
    m.done = xcalloc(order->mounts_len, sizeof *m.done);
    mount_all(&m, output);
    for (size_t i = 0; i < order->mounts_len; i++) {
        free(m.done[i]);
    }
    free(m.done);
    for (size_t i = 0; i < m.mirrors_len; i++) {
        free(m.mirrors[i].folder);
    }
    return 0;
}

/* ---- secrets ---- */

/* Can everybody read it, and get to it? */
static bool is_open(const char *path, mode_t need)
{
    struct stat st;
    if (stat(path, &st) != 0 || (st.st_mode & need) != need) {
        return false;
    }
    CLEANUP(cleanup_free) char *folder = xstrdup(path);
    for (char *slash = strrchr(folder, '/'); slash != NULL && slash != folder;
         slash = strrchr(folder, '/')) {
        *slash = '\0';
        if (stat(folder, &st) != 0 || (st.st_mode & S_IXOTH) == 0) {
            return false;
        }
    }
    return true;
}

void secrets_check(const struct order *order, struct output *output)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(order->json, "base_env"), i, item)
    {
        const char *file = jget_str(item, "file", NULL);
        if (file != NULL && jget_bool(item, "is_secret", false) && is_open(file, S_IROTH)) {
            output_note(
                output, "every user of this machine can read the secret in %s: chmod 600", file);
        }
    }
    for (i = 0; i < order->mounts_len; i++) {
        const struct order_mount *m = &order->mounts[i];
        if (m->is_secret && is_open(m->from, S_IROTH | S_IXOTH)) {
            output_note(
                output, "every user of this machine can read the secret in %s: chmod 700", m->from);
        }
    }
}
