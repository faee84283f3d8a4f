/* SPDX-License-Identifier: Apache-2.0 */
/* The artifact store that is a folder: opening it, reading, listing and part-wise writing. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/beneath.h"
#include "artifact/store.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

/* A file's name in messages: " name", or nothing for a single file. */
#define FILE_WORDS(file) (file)[0] != '\0' ? " " : "", (file)

enum { REL_MAX = 8192, LIST_DEPTH = 64, LIST_FILES = 1000000 };

/* --- opening --- */

static void encode_path(struct buf *out, const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~/@:+=,";
    for (; *path != '\0'; path++) {
        if (strchr(plain, *path) != NULL) {
            buf_addc(out, *path);
        } else {
            buf_addf(out, "%%%02X", (unsigned char)*path);
        }
    }
}

/* "file:///a%20b/" or "/a b/" -> "/a b/". */
static int root_path(const char *root, struct buf *out, struct err *err)
{
    if (root[0] == '/') {
        buf_adds(out, root);
        return 0;
    }
    if (!str_starts(root, "file:///")) {
        return err_set(
            err, ERR_INVALID, "artifact root '%s': give file:///folder or an absolute path", root);
    }
    for (const char *p = root + strlen("file://"); *p != '\0'; p++) {
        char two[3] = {0};
        if (*p == '%' && p[1] != '\0' && p[2] != '\0') {
            two[0] = p[1];
            two[1] = p[2];
        }
        char *end = two;
        long code = strtol(two, &end, 16);
        if (end == two + 2 && code > 0) {
            buf_addc(out, (char)code);
            p += 2;
        } else {
            buf_addc(out, *p);
        }
    }
    return buf_check(out, "artifact root", err);
}

struct artifact_store *artifact_store_new(const char *root, struct err *err)
{
    struct buf path;
    buf_init(&path, PATH_MAX);
    CLEANUP(cleanup_free) char *real = NULL;
    int fd = -1;
    if (root_path(root, &path, err) != 0 || dir_make(buf_str(&path), 0755, err) != 0) {
        err_wrap(err, "artifact root");
    } else if ((real = realpath(buf_str(&path), NULL)) == NULL ||
               (fd = open(real, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
        err_errno(err, errno, "artifact root '%s'", root);
    } else if (strcmp(real, "/") == 0) {
        close(fd);
        fd = -1;
        err_set(err, ERR_INVALID, "artifact root: '/' cannot be it; give a folder of its own");
    }
    buf_done(&path);
    if (fd < 0) {
        return NULL;
    }
    struct artifact_store *store = xcalloc(1, sizeof *store);
    struct buf uri;
    buf_init(&uri, 4 * PATH_MAX);
    buf_adds(&uri, "file://");
    encode_path(&uri, real);
    store->root = buf_steal(&uri, NULL);
    store->path = STEAL(real);
    store->fd = fd;
    return store;
}

struct artifact_store *artifact_store_new_named(const char *root_uri)
{
    struct artifact_store *store = xcalloc(1, sizeof *store);
    store->root = xstrdup(root_uri);
    store->path = xstrdup("/nonexistent");
    store->fd = -1;
    return store;
}

void artifact_store_free(struct artifact_store *store)
{
    if (store == NULL) {
        return;
    }
    upload_table_done(&store->uploads);
    if (store->fd >= 0) {
        close(store->fd);
    }
    free(store->root);
    free(store->path);
    free(store);
}

const char *artifact_store_root(const struct artifact_store *store)
{
    return store->root;
}

/* --- writing --- */

/* What happened to a path, in the words of the one who asked for uri and file. */
static int path_error(
    struct err *err, int errnum, const char *doing, const char *uri, const char *file)
{
    if (errnum == EXDEV || errnum == ELOOP) {
        return err_set(err, ERR_DENIED, "artifact '%s'%s%s: a link leads outside the artifact root",
            uri, FILE_WORDS(file));
    }
    if (errnum == ENOTDIR || errnum == EISDIR) {
        return err_set(err, ERR_CONFLICT,
            "artifact '%s'%s%s: a file stands where a folder is needed, or the reverse", uri,
            FILE_WORDS(file));
    }
    return err_errno(err, errnum, "artifact '%s'%s%s: %s", uri, FILE_WORDS(file), doing);
}

static int write_all(int fd, const char *data, size_t len, int64_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        data += n;
        len -= (size_t)n;
        offset += n;
    }
    return 0;
}

/* May this part be written onto what is there? */
static int check_offset(const struct artifact_part *part, int64_t have, struct err *err)
{
    int64_t end = part->offset + (int64_t)part->len;
    if (part->offset == 0 || have == part->offset || have == end) {
        return 0;
    }
    return err_set(err, ERR_CONFLICT,
        "artifact '%s'%s%s: part at %lld does not follow the %lld bytes that are there; start the "
        "file anew at offset 0",
        part->uri, FILE_WORDS(part->file), (long long)part->offset, (long long)have);
}

/* Is the finished file already what the final part would make it? Then it was sent before. */
static bool is_published(
    struct artifact_store *store, const char *rel, const struct artifact_part *part)
{
    CLEANUP(cleanup_fd) int fd = beneath_open(store->fd, rel, O_RDONLY | O_NONBLOCK, 0);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != part->total) {
        return false;
    }
    if (part->sha256 == NULL) {
        return true;
    }
    struct upload *upload = upload_at(&store->uploads, rel, fd, part->total, NULL);
    char hex[65];
    if (upload == NULL) {
        return false;
    }
    upload_finish(upload, hex);
    return strcasecmp(hex, part->sha256) == 0;
}

static int publish(struct artifact_store *store, const char *rel, const char *part_rel, int fd,
    const struct artifact_part *part, struct upload *upload, struct err *err)
{
    char hex[65];
    int64_t end = part->offset + (int64_t)part->len;
    upload_finish(upload, hex);
    if (part->total != end) {
        return err_set(err, ERR_INVALID,
            "artifact '%s'%s%s: %lld bytes announced, but the last part ends at %lld", part->uri,
            FILE_WORDS(part->file), (long long)part->total, (long long)end);
    }
    if (part->sha256 != NULL && strcasecmp(hex, part->sha256) != 0) {
        return err_set(err, ERR_CONFLICT,
            "artifact '%s'%s%s: SHA-256 is %s, not %s as announced; start the file anew at offset "
            "0",
            part->uri, FILE_WORDS(part->file), hex, part->sha256);
    }
    if (ftruncate(fd, end) != 0 || fsync(fd) != 0) {
        return err_errno(err, errno, "artifact '%s'%s%s: write", part->uri, FILE_WORDS(part->file));
    }
    const char *name, *part_name;
    CLEANUP(cleanup_fd) int dir = beneath_open_parent(store->fd, rel, &name);
    part_name = strrchr(part_rel, '/');
    part_name = part_name != NULL ? part_name + 1 : part_rel;
    if (dir < 0 || renameat(dir, part_name, dir, name) != 0) {
        return path_error(err, errno, "publish", part->uri, part->file);
    }
    return 0;
}

static int write_to(struct artifact_store *store, const char *rel, const char *part_rel,
    const struct artifact_part *part, struct err *err)
{
    int flags = O_RDWR | O_NOFOLLOW | (part->offset == 0 ? O_CREAT | O_TRUNC : 0);
    CLEANUP(cleanup_fd) int fd = beneath_open(store->fd, part_rel, flags, 0644);
    if (fd < 0 && errno == ENOENT && part->offset == 0 &&
        beneath_make_parents(store->fd, part_rel, 0755) == 0) {
        fd = beneath_open(store->fd, part_rel, flags, 0644);
    }
    if (fd < 0 && errno == ENOENT && part->offset > 0) {
        if (part->final && is_published(store, rel, part)) {
            return 0;
        }
        return check_offset(part, 0, err);
    }
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return path_error(err, errno, "open", part->uri, part->file);
    }
    if (check_offset(part, st.st_size, err) != 0) {
        return -1;
    }
    struct upload *upload = upload_at(&store->uploads, rel, fd, part->offset, err);
    if (upload == NULL) {
        return -1;
    }
    if (write_all(fd, part->data, part->len, part->offset) != 0) {
        upload_drop(&store->uploads, rel);
        return err_errno(err, errno, "artifact '%s'%s%s: write", part->uri, FILE_WORDS(part->file));
    }
    upload_add(upload, part->data, part->len);
    return part->final ? publish(store, rel, part_rel, fd, part, upload, err) : 0;
}

int artifact_write_part(
    struct artifact_store *store, const struct artifact_part *part, struct err *err)
{
    if (part->offset < 0 || part->offset > INT64_MAX - (int64_t)part->len) {
        return err_set(err, ERR_INVALID, "artifact '%s': offset out of range", part->uri);
    }
    struct buf rel, part_rel;
    buf_init(&rel, REL_MAX);
    buf_init(&part_rel, REL_MAX);
    int rc = artifact_relative(store, part->uri, part->file, &rel, err);
    if (rc == 0 && strcmp(buf_str(&rel), ".") == 0) {
        rc = err_set(err, ERR_DENIED, "artifact '%s': the root itself is no artifact", part->uri);
    }
    if (rc == 0) {
        buf_addf(&part_rel, "%s" ARTIFACT_PART_SUFFIX, buf_str(&rel));
        rc = buf_check(&part_rel, "artifact path", err);
    }
    if (rc == 0) {
        rc = write_to(store, buf_str(&rel), buf_str(&part_rel), part, err);
    }
    buf_done(&rel);
    buf_done(&part_rel);
    return rc;
}

/* --- reading --- */

static int read_from(int fd, int64_t offset, size_t max, void **data_out, size_t *len_out,
    int64_t *total_out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return err_errno(err, errno, "look at the file");
    }
    if (!S_ISREG(st.st_mode)) {
        return err_set(err, ERR_CONFLICT, "is not a regular file");
    }
    int64_t left = st.st_size > offset ? st.st_size - offset : 0;
    size_t want = left < (int64_t)max ? (size_t)left : max;
    char *data = xmalloc(want + 1);
    size_t len = 0;
    while (len < want) {
        ssize_t n = pread(fd, data + len, want - len, offset + (int64_t)len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            int saved = errno;
            free(data);
            return err_errno(err, saved, "read");
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    data[len] = '\0';
    *data_out = data;
    *len_out = len;
    *total_out = st.st_size;
    return 0;
}

int artifact_read_part(struct artifact_store *store, const char *uri, const char *file,
    int64_t offset, size_t max, void **data_out, size_t *len_out, int64_t *total_out,
    struct err *err)
{
    if (offset < 0) {
        return err_set(err, ERR_INVALID, "artifact '%s': negative offset", uri);
    }
    struct buf rel;
    buf_init(&rel, REL_MAX);
    int rc = artifact_relative(store, uri, file, &rel, err);
    if (rc == 0) {
        /* O_NONBLOCK: opening a FIFO that a step left there must not hang. */
        CLEANUP(cleanup_fd)
        int fd = beneath_open(store->fd, buf_str(&rel), O_RDONLY | O_NONBLOCK, 0);
        rc = fd < 0 ? path_error(err, errno, "open", uri, file)
                    : read_from(fd, offset, max, data_out, len_out, total_out, err);
        if (rc != 0 && fd >= 0) {
            err_wrap(err, "artifact '%s'%s%s", uri, FILE_WORDS(file));
        }
    }
    buf_done(&rel);
    return rc;
}

/* --- listing --- */

struct listing {
    struct artifact_store *store;
    const char *uri;
    size_t skip; /* length of the artifact's own path in each file's path */
    int files;
    void (*fn)(void *owner, const char *file, int64_t size);
    void *owner;
};

static int list_dir(struct listing *l, struct buf *rel, int depth, struct err *err);

static int list_entry(struct listing *l, struct buf *rel, int depth, struct err *err)
{
    CLEANUP(cleanup_fd) int fd = beneath_open(l->store->fd, buf_str(rel), O_PATH, 0);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        return 0; /* gone meanwhile, or a link to nowhere or outside */
    }
    if (S_ISREG(st.st_mode)) {
        if (++l->files > LIST_FILES) {
            return err_set(err, ERR_LIMIT, "artifact '%s': more than %d files", l->uri, LIST_FILES);
        }
        l->fn(l->owner, rel->len > l->skip ? buf_str(rel) + l->skip : "", st.st_size);
        return 0;
    }
    struct stat link;
    if (!S_ISDIR(st.st_mode) ||
        fstatat(l->store->fd, buf_str(rel), &link, AT_SYMLINK_NOFOLLOW) != 0 ||
        (S_ISLNK(link.st_mode) && depth > 0)) {
        return 0; /* links to folders could go in circles */
    }
    return list_dir(l, rel, depth, err);
}

static int list_dir(struct listing *l, struct buf *rel, int depth, struct err *err)
{
    if (depth >= LIST_DEPTH) {
        return err_set(
            err, ERR_LIMIT, "artifact '%s': folders nested deeper than %d", l->uri, LIST_DEPTH);
    }
    int fd = beneath_open(l->store->fd, buf_str(rel), O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int saved = errno;
        cleanup_fd(&fd);
        return path_error(err, saved, "list", l->uri, "");
    }
    int rc = 0;
    size_t len = rel->len;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            str_ends(entry->d_name, ARTIFACT_PART_SUFFIX)) {
            continue;
        }
        buf_addf(rel, "/%s", entry->d_name);
        rc = rel->overflow ? buf_check(rel, "artifact path", err)
                           : list_entry(l, rel, depth + 1, err);
        rel->len = len;
        rel->data[len] = '\0';
    }
    closedir(dir);
    return rc;
}

int artifact_list(struct artifact_store *store, const char *uri,
    void (*fn)(void *owner, const char *file, int64_t size), void *owner, struct err *err)
{
    struct buf rel;
    buf_init(&rel, REL_MAX);
    struct listing l = {.store = store, .uri = uri, .fn = fn, .owner = owner};
    int rc = artifact_relative(store, uri, NULL, &rel, err);
    if (rc == 0) {
        l.skip = rel.len + 1;
        CLEANUP(cleanup_fd) int fd = beneath_open(store->fd, buf_str(&rel), O_PATH, 0);
        rc = fd < 0 ? path_error(err, errno, "open", uri, "") : list_entry(&l, &rel, 0, err);
    }
    buf_done(&rel);
    return rc;
}
