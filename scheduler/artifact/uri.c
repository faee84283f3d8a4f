/* SPDX-License-Identifier: Apache-2.0 */
/* Names of artifacts: composing URIs, and finding the path that a file:// URI means. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "artifact/store.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"

enum { SEGMENT_MAX = 100, URI_MAX = 4096 };

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* A segment that is a file name everywhere and never means another folder. */
static void add_segment(struct buf *out, const char *text)
{
    buf_addc(out, '/');
    size_t len = strlen(text);
    if (len == 0 || text[0] == '.') {
        buf_addc(out, '_');
    }
    for (size_t i = 0; i < len && i < SEGMENT_MAX; i++) {
        buf_addc(out, is_plain((unsigned char)text[i]) ? text[i] : '-');
    }
    if (len > SEGMENT_MAX) {
        /* Two long names with the same beginning must stay two. */
        char hex[SHA256_HEX_LEN + 1];
        sha256_hex(text, len, hex);
        buf_addf(out, "-%.12s", hex);
    }
}

void artifact_uri(const struct artifact_store *store, const char *root, const char *pipeline,
    const char *run_id, const char *task, const char *unique, const char *name, struct buf *out)
{
    if (root == NULL || root[0] == '\0') {
        root = store->root;
    }
    if (root[0] == '/') {
        buf_adds(out, "file://");
    }
    /* A query string on the root holds settings of the store, no part of the name. */
    size_t len = strcspn(root, "?");
    while (len > 0 && root[len - 1] == '/') {
        len--;
    }
    buf_add(out, root, len);
    add_segment(out, pipeline);
    add_segment(out, run_id);
    add_segment(out, task);
    add_segment(out, unique);
    add_segment(out, name);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The absolute path of a file:// URI, decoded. */
static int uri_path(const char *uri, struct buf *out, struct err *err)
{
    if (strlen(uri) > URI_MAX) {
        return err_set(err, ERR_LIMIT, "artifact URI: longer than %d bytes", URI_MAX);
    }
    if (!str_starts(uri, "file:///")) {
        return err_set(err, ERR_DENIED,
            "artifact '%s': not a file:///... URI, and this store is a folder", uri);
    }
    for (const char *p = uri + strlen("file://"); *p != '\0'; p++) {
        int high = *p == '%' ? hex_digit(p[1]) : -1;
        int low = high >= 0 ? hex_digit(p[2]) : -1;
        if (low < 0) {
            buf_addc(out, *p);
            continue;
        }
        if (high == 0 && low == 0) {
            return err_set(err, ERR_INVALID, "artifact '%s': %%00 cannot be in a path", uri);
        }
        buf_addc(out, (char)(high * 16 + low));
        p += 2;
    }
    return buf_check(out, "artifact path", err);
}

/* Adds path's segments as a relative path; '.' and empty ones vanish, '..' is refused. */
static int add_relative(
    const char *path, bool is_strict, const char *uri, struct buf *out, struct err *err)
{
    while (*path != '\0') {
        size_t len = strcspn(path, "/");
        bool is_dot = len == 1 && path[0] == '.';
        if (len == 2 && path[0] == '.' && path[1] == '.') {
            return err_set(err, ERR_DENIED, "artifact '%s': '..' is not allowed in a path", uri);
        }
        bool is_last_slash = path[len] == '/' && path[len + 1] == '\0';
        if (is_strict && (len == 0 || is_dot || is_last_slash)) {
            return err_set(err, ERR_INVALID, "artifact '%s': empty part in a file's path", uri);
        }
        if (len > 0 && !is_dot) {
            if (out->len > 0) {
                buf_addc(out, '/');
            }
            buf_add(out, path, len);
        }
        path += len + (path[len] == '/' ? 1 : 0);
    }
    return 0;
}

int artifact_relative(const struct artifact_store *store, const char *uri, const char *file,
    struct buf *out, struct err *err)
{
    struct buf path;
    buf_init(&path, URI_MAX + 1);
    int rc = uri_path(uri, &path, err);
    size_t root_len = strlen(store->path);
    if (rc == 0) {
        const char *text = buf_str(&path);
        if (strncmp(text, store->path, root_len) != 0 ||
            (text[root_len] != '/' && text[root_len] != '\0')) {
            rc = err_set(
                err, ERR_DENIED, "artifact '%s': outside the artifact root %s", uri, store->root);
        } else {
            rc = add_relative(text + root_len, false, uri, out, err);
        }
    }
    if (rc == 0 && file != NULL && file[0] != '\0') {
        rc = file[0] == '/' ? err_set(err, ERR_DENIED,
                                  "artifact '%s': a file in it must have a relative path", uri)
                            : add_relative(file, true, uri, out, err);
    }
    buf_done(&path);
    if (rc == 0 && out->len == 0) {
        buf_addc(out, '.');
    }
    return rc != 0 ? -1 : buf_check(out, "artifact path", err);
}

/* Does what exists of path really lie below the root, whatever links say? */
static int check_real(
    const struct artifact_store *store, const char *path, const char *uri, struct err *err)
{
    CLEANUP(cleanup_free) char *head = xstrdup(path);
    CLEANUP(cleanup_free) char *real = NULL;
    while ((real = realpath(head, NULL)) == NULL) {
        char *slash = strrchr(head, '/');
        if (errno != ENOENT || slash == NULL || slash == head) {
            return err_errno(err, errno, "artifact '%s': look at %s", uri, head);
        }
        *slash = '\0';
    }
    size_t len = strlen(store->path);
    if (strncmp(real, store->path, len) != 0 || (real[len] != '/' && real[len] != '\0')) {
        return err_set(
            err, ERR_DENIED, "artifact '%s': a link leads outside the artifact root", uri);
    }
    return 0;
}

int artifact_local_path(
    const struct artifact_store *store, const char *uri, struct buf *out, struct err *err)
{
    struct buf rel, path;
    buf_init(&rel, URI_MAX + 1);
    buf_init(&path, URI_MAX + PATH_MAX);
    int rc = artifact_relative(store, uri, NULL, &rel, err);
    if (rc == 0) {
        buf_addf(&path, "%s%s%s", store->path, strcmp(buf_str(&rel), ".") == 0 ? "" : "/",
            strcmp(buf_str(&rel), ".") == 0 ? "" : buf_str(&rel));
        rc = check_real(store, buf_str(&path), uri, err);
    }
    if (rc == 0) {
        buf_adds(out, buf_str(&path));
    }
    buf_done(&rel);
    buf_done(&path);
    return rc;
}
