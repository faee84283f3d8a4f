/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of uploads under way. */
#include "artifact/upload.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"

static void slot_free(struct upload *slot)
{
    EVP_MD_CTX_free(slot->ctx);
    free(slot->key);
    memset(slot, 0, sizeof *slot);
}

static void slot_restart(struct upload *slot)
{
    if (slot->ctx == NULL) {
        slot->ctx = EVP_MD_CTX_new();
    }
    if (slot->ctx == NULL || EVP_DigestInit_ex(slot->ctx, EVP_sha256(), NULL) != 1) {
        abort();
    }
    slot->hashed = 0;
}

static struct upload *slot_for(struct upload_table *table, const char *key)
{
    struct upload *oldest = &table->slots[0];
    for (size_t i = 0; i < UPLOADS_MAX; i++) {
        struct upload *slot = &table->slots[i];
        if (slot->key != NULL && strcmp(slot->key, key) == 0) {
            return slot;
        }
        if (slot->used < oldest->used) {
            oldest = slot;
        }
    }
    slot_free(oldest);
    oldest->key = xstrdup(key);
    slot_restart(oldest);
    return oldest;
}

static int hash_up_to(struct upload *slot, int fd, int64_t offset, struct err *err)
{
    enum { CHUNK = 256 * 1024 };
    CLEANUP(cleanup_free) char *chunk = xmalloc(CHUNK);
    while (slot->hashed < offset) {
        int64_t left = offset - slot->hashed;
        ssize_t n = pread(fd, chunk, left < CHUNK ? (size_t)left : CHUNK, slot->hashed);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return err_errno(err, n < 0 ? errno : EIO, "%s: read back for its digest", slot->key);
        }
        upload_add(slot, chunk, (size_t)n);
    }
    return 0;
}

struct upload *upload_at(
    struct upload_table *table, const char *key, int fd, int64_t offset, struct err *err)
{
    struct upload *slot = slot_for(table, key);
    slot->used = ++table->uses;
    if (slot->hashed > offset || offset == 0) {
        slot_restart(slot); /* the last part is being repeated, or the file starts anew */
    }
    if (hash_up_to(slot, fd, offset, err) != 0) {
        slot_free(slot);
        return NULL;
    }
    return slot;
}

void upload_add(struct upload *upload, const void *data, size_t len)
{
    if (len > 0 && EVP_DigestUpdate(upload->ctx, data, len) != 1) {
        abort();
    }
    upload->hashed += (int64_t)len;
}

void upload_finish(struct upload *upload, char hex_out[65])
{
    unsigned char digest[SHA256_LEN];
    if (EVP_DigestFinal_ex(upload->ctx, digest, NULL) != 1) {
        abort();
    }
    hex_encode(digest, sizeof digest, hex_out);
    slot_free(upload);
}

void upload_drop(struct upload_table *table, const char *key)
{
    for (size_t i = 0; i < UPLOADS_MAX; i++) {
        struct upload *slot = &table->slots[i];
        if (slot->key != NULL && strcmp(slot->key, key) == 0) {
            slot_free(slot);
        }
    }
}

void upload_table_done(struct upload_table *table)
{
    for (size_t i = 0; i < UPLOADS_MAX; i++) {
        slot_free(&table->slots[i]);
    }
}
