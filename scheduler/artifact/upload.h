/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digests of uploads under way, so that the last part of a large file need not read the file
 * again. Only a cache: a forgotten entry (restart, or too many at once) costs one read of what
 * is already there.
 */
#ifndef ARTIFACT_UPLOAD_H
#define ARTIFACT_UPLOAD_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define UPLOADS_MAX 256

struct upload {
    char *key;      /* path below the root; NULL: free slot */
    int64_t hashed; /* bytes in ctx */
    uint64_t used;  /* when, in uses of the table */
    void *ctx;      /* EVP_MD_CTX */
};

struct upload_table {
    struct upload slots[UPLOADS_MAX];
    uint64_t uses;
};

/* The entry of key whose digest covers exactly the first `offset` bytes of fd. */
struct upload *upload_at(
    struct upload_table *table, const char *key, int fd, int64_t offset, struct err *err);
void upload_add(struct upload *upload, const void *data, size_t len);
/* Writes the digest in hex; the entry is gone afterwards. */
void upload_finish(struct upload *upload, char hex_out[65]);
void upload_drop(struct upload_table *table, const char *key);
void upload_table_done(struct upload_table *table);

#endif
