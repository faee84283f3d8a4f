/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets, digests and encodings, all by OpenSSL. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* Bytes that are zeroed when freed and never printed. */
struct secret {
    unsigned char *bytes;
    size_t len;
};
void secret_set(struct secret *s, const void *bytes, size_t len);
void secret_done(struct secret *s);
/* Free a text after zeroing it. NULL is fine. */
void secret_text_free(char *text);
/* Constant time in the content. Different lengths are unequal. */
bool secret_eq(const void *a, size_t a_len, const void *b, size_t b_len);

#define SHA256_LEN 32
#define SHA256_HEX_LEN 64
void sha256(const void *data, size_t len, unsigned char out[SHA256_LEN]);
void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_LEN + 1]);
void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
    unsigned char out[SHA256_LEN]);

enum hmac_hash { HMAC_SHA256, HMAC_SHA512, HMAC_SHA1 };
#define HMAC_LEN_MAX 64
/* Bytes of the digest: 32, 64, 20. */
size_t hmac_len(enum hmac_hash hash);
/* Returns hmac_len(hash). */
size_t hmac_make(enum hmac_hash hash, const void *key, size_t key_len, const void *data,
    size_t len, unsigned char out[HMAC_LEN_MAX]);

void random_bytes(void *out, size_t len); /* aborts if the kernel has none */

void hex_encode(const void *data, size_t len, char *out); /* out: 2*len+1 */
int hex_decode(const char *text, size_t text_len, unsigned char *out, size_t out_len); /* -1 bad */
/* Standard alphabet, padded (RFC 4648 section 4). malloc'd. */
char *base64_encode(const void *data, size_t len);
/* malloc'd, *len_out set; NULL if not valid. */
unsigned char *base64_decode(const char *text, size_t text_len, size_t *len_out);

#endif
