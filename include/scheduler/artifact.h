/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where artifacts live. A root is "file:///abs/folder" (or a bare absolute path); s3:// comes
 * later behind the same calls. URIs: <root>/<pipeline>/<run id>/<task>/<id>/<name>.
 */
#ifndef SCHEDULER_ARTIFACT_H
#define SCHEDULER_ARTIFACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct artifact_store;
struct buf;
struct err;

struct artifact_store *artifact_store_new(const char *root, struct err *err);
/* A root without a folder behind it, for composing URIs; nothing can be read or written. */
struct artifact_store *artifact_store_new_named(const char *root_uri);
void artifact_store_free(struct artifact_store *store);
/* Normalised root URI, "file:///data/artifacts". */
const char *artifact_store_root(const struct artifact_store *store);

/* Compose a URI; segments are made safe for paths. root NULL: the store's. */
void artifact_uri(const struct artifact_store *store, const char *root, const char *pipeline,
    const char *run_id, const char *task, const char *unique, const char *name, struct buf *out);
/* Local path of a file:// URI inside this store's root; ERR_DENIED when it points outside. */
int artifact_local_path(const struct artifact_store *store, const char *uri, struct buf *out,
    struct err *err);

/*
 * Part-wise writing, for pods: parts of one file arrive in order, each its own request; part 0
 * starts anew; repeating the last part is harmless; the last one (final) checks size and SHA-256
 * and publishes the file by rename. `file` is "" for a single file artifact, else a relative path in a
 * folder artifact ("..", absolute and empty segments refused).
 */
struct artifact_part {
    const char *uri, *file;
    int64_t offset;
    const void *data;
    size_t len;
    bool final;
    int64_t total;        /* final: expected size */
    const char *sha256;   /* final: expected hex digest or NULL */
};
int artifact_write_part(struct artifact_store *store, const struct artifact_part *part,
    struct err *err);
/* Read up to max bytes from offset; *total_out is the file's size. malloc'd. */
int artifact_read_part(struct artifact_store *store, const char *uri, const char *file,
    int64_t offset, size_t max, void **data_out, size_t *len_out, int64_t *total_out,
    struct err *err);
/* Files of an artifact: one entry "" for a single file. fn is called for each. ERR_NOT_FOUND if nothing is there. */
int artifact_list(struct artifact_store *store, const char *uri,
    void (*fn)(void *owner, const char *file, int64_t size), void *owner, struct err *err);

#endif
