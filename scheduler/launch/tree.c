/* SPDX-License-Identifier: Apache-2.0 */
/* Walking, copying and removing files and folders. */
#include "launch/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/evp.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"

enum { DEPTH_MAX = 64, FILES_MAX = 1000000, CHUNK = 256 * 1024 };

int tree_make_parents(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return 0;
    }
    CLEANUP(cleanup_free) char *dir = xstrndup(path, (size_t)(slash - path));
    return dir_make(dir, 0755, err);
}

struct walk {
    tree_fn *fn;
    void *owner;
    int files;
};

static int walk_dir(struct walk *w, const char *path, const char *rel, int depth, struct err *err);

static int walk_one(struct walk *w, const char *path, const char *rel, int depth, struct err *err)
{
    struct stat st, link;
    if (stat(path, &st) != 0) {
        if (depth > 0) {
            return 0; /* gone, or a link to nowhere */
        }
        return err_errno(err, errno, "%s", path);
    }
    if (S_ISREG(st.st_mode)) {
        if (++w->files > FILES_MAX) {
            return err_set(err, ERR_LIMIT, "more than %d files in one artifact", FILES_MAX);
        }
        return w->fn(w->owner, path, rel, st.st_size, err);
    }
    if (!S_ISDIR(st.st_mode)) {
        return 0;
    }
    if (depth > 0 && lstat(path, &link) == 0 && S_ISLNK(link.st_mode)) {
        return 0; /* could go in circles */
    }
    return walk_dir(w, path, rel, depth, err);
}

static int walk_dir(struct walk *w, const char *path, const char *rel, int depth, struct err *err)
{
    if (depth >= DEPTH_MAX) {
        return err_set(err, ERR_LIMIT, "%s: folders nested deeper than %d", path, DEPTH_MAX);
    }
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return err_errno(err, errno, "%s", path);
    }
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        CLEANUP(cleanup_free) char *sub = xasprintf("%s/%s", path, entry->d_name);
        CLEANUP(cleanup_free)
        char *sub_rel = xasprintf("%s%s%s", rel, rel[0] != '\0' ? "/" : "", entry->d_name);
        rc = walk_one(w, sub, sub_rel, depth + 1, err);
    }
    closedir(dir);
    return rc;
}

int tree_walk(const char *path, tree_fn *fn, void *owner, struct err *err)
{
    struct walk w = {.fn = fn, .owner = owner};
    return walk_one(&w, path, "", 0, err);
}

int tree_digest(const char *path, char hex_out[65], struct err *err)
{
    CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return err_errno(err, errno, "%s", path);
    }
    CLEANUP(cleanup_free) char *chunk = xmalloc(CHUNK);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        abort();
    }
    ssize_t n;
    while ((n = read(fd, chunk, CHUNK)) != 0) {
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            int saved = errno;
            EVP_MD_CTX_free(ctx);
            return err_errno(err, saved, "%s", path);
        }
        EVP_DigestUpdate(ctx, chunk, (size_t)n);
    }
    unsigned char digest[SHA256_LEN];
    EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    hex_encode(digest, sizeof digest, hex_out);
    return 0;
}

static int copy_file(const char *from, const char *to, struct err *err)
{
    struct stat st;
    CLEANUP(cleanup_fd) int in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (in < 0 || fstat(in, &st) != 0) {
        return err_errno(err, errno, "copy %s", from);
    }
    if (tree_make_parents(to, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_fd)
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, st.st_mode & 0777);
    if (out < 0) {
        return err_errno(err, errno, "copy to %s", to);
    }
    ssize_t n = copy_file_range(in, NULL, out, NULL, (size_t)1 << 30, 0);
    while (n > 0) {
        n = copy_file_range(in, NULL, out, NULL, (size_t)1 << 30, 0);
    }
    if (n == 0) {
        return 0;
    }
    /* Across file systems, or not supported: by hand from where it stopped. */
    CLEANUP(cleanup_free) char *chunk = xmalloc(CHUNK);
    while ((n = read(in, chunk, CHUNK)) > 0) {
        for (ssize_t done = 0; done < n;) {
            ssize_t w = write(out, chunk + done, (size_t)(n - done));
            if (w < 0) {
                return err_errno(err, errno, "copy to %s", to);
            }
            done += w;
        }
    }
    return n < 0 ? err_errno(err, errno, "copy %s", from) : 0;
}

static int copy_fn(void *owner, const char *path, const char *rel, int64_t size, struct err *err)
{
    (void)size;
    const char *to = owner;
    CLEANUP(cleanup_free) char *full = xasprintf("%s%s%s", to, rel[0] != '\0' ? "/" : "", rel);
    return copy_file(path, full, err);
}

int tree_copy(const char *from, const char *to, struct err *err)
{
    struct stat st;
    if (stat(from, &st) == 0 && S_ISDIR(st.st_mode) && dir_make(to, 0755, err) != 0) {
        return -1;
    }
    return tree_walk(from, copy_fn, (void *)to, err);
}

static void remove_at(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT || depth > 4 * DEPTH_MAX) {
        return;
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES) {
        if (fchmodat(parent, name, 0700, 0) == 0) {
            fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
    }
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        cleanup_fd(&fd);
        return;
    }
    fchmod(fd, 0700); /* a read-only folder keeps its files */
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            remove_at(fd, entry->d_name, depth + 1);
        }
    }
    closedir(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void tree_remove(const char *path)
{
    remove_at(AT_FDCWD, path, 0);
}
