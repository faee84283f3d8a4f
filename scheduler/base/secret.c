/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets, digests and encodings, all by OpenSSL; random bytes by the kernel. */
#include "base/secret.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/util.h"

void secret_set(struct secret *s, const void *bytes, size_t len)
{
    unsigned char *copy = xmalloc(len + 1);

    if (len > 0) {
        memcpy(copy, bytes, len);
    }
    copy[len] = '\0'; /* so that a textual secret may be read as text */
    secret_done(s);
    s->bytes = copy;
    s->len = len;
}

void secret_done(struct secret *s)
{
    if (s->bytes != NULL) {
        OPENSSL_cleanse(s->bytes, s->len);
        free(s->bytes);
    }
    s->bytes = NULL;
    s->len = 0;
}

void secret_text_free(char *text)
{
    if (text != NULL) {
        OPENSSL_cleanse(text, strlen(text));
    }
    free(text);
}

bool secret_eq(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a_len == b_len && (a_len == 0 || CRYPTO_memcmp(a, b, a_len) == 0);
}

void sha256(const void *data, size_t len, unsigned char out[SHA256_LEN])
{
    SHA256(len > 0 ? data : "", len, out);
}

void sha256_hex(const void *data, size_t len, char out[SHA256_HEX_LEN + 1])
{
    unsigned char digest[SHA256_LEN];
    sha256(data, len, digest);
    hex_encode(digest, sizeof digest, out);
}

size_t hmac_len(enum hmac_hash hash)
{
    return hash == HMAC_SHA512 ? SHA512_DIGEST_LENGTH
           : hash == HMAC_SHA1 ? SHA_DIGEST_LENGTH
                               : SHA256_DIGEST_LENGTH;
}

size_t hmac_make(enum hmac_hash hash, const void *key, size_t key_len, const void *data, size_t len,
    unsigned char out[HMAC_LEN_MAX])
{
    const EVP_MD *md = hash == HMAC_SHA512 ? EVP_sha512()
                       : hash == HMAC_SHA1 ? EVP_sha1()
                                           : EVP_sha256();
    unsigned out_len = HMAC_LEN_MAX;

    assert(key_len <= INT_MAX);
    /* HMAC() takes a NULL key for "the one of last time". */
    const unsigned char *got = HMAC(md, key_len > 0 ? key : "", (int)key_len,
        len > 0 ? data : (const void *)"", len, out, &out_len);
    assert(got != NULL && out_len == hmac_len(hash));
    (void)got;
    return out_len;
}

void hmac_sha256(
    const void *key, size_t key_len, const void *data, size_t len, unsigned char out[SHA256_LEN])
{
    unsigned char mac[HMAC_LEN_MAX];
    hmac_make(HMAC_SHA256, key, key_len, data, len, mac);
    memcpy(out, mac, SHA256_LEN);
}

void random_bytes(void *out, size_t len)
{
    unsigned char *at = out;

    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            perror("getrandom");
            abort();
        }
        at += n;
        len -= (size_t)n;
    }
}

void hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
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

int hex_decode(const char *text, size_t text_len, unsigned char *out, size_t out_len)
{
    if (text_len % 2 != 0 || text_len / 2 != out_len) {
        return -1;
    }
    for (size_t i = 0; i < text_len; i++) {
        if (hex_digit(text[i]) < 0) {
            return -1;
        }
    }
    for (size_t i = 0; i < out_len; i++) {
        out[i] = (unsigned char)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    }
    return 0;
}

char *base64_encode(const void *data, size_t len)
{
    assert(len <= INT_MAX / 4 * 3 - 3);
    char *text = xmalloc((len + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)text, len > 0 ? data : (const void *)"", (int)len);
    return text;
}

static bool is_base64_digit(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

unsigned char *base64_decode(const char *text, size_t text_len, size_t *len_out)
{
    size_t padding = 0;

    if (text_len % 4 != 0 || text_len > INT_MAX) {
        return NULL;
    }
    while (padding < 2 && padding < text_len && text[text_len - 1 - padding] == '=') {
        padding++;
    }
    /* EVP_DecodeBlock forgives blanks and counts the padding as bytes: check here, cut below. */
    for (size_t i = 0; i < text_len - padding; i++) {
        if (!is_base64_digit(text[i])) {
            return NULL;
        }
    }
    unsigned char *bytes = xmalloc(text_len / 4 * 3 + 1);
    if (text_len > 0 && EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)text_len) < 0) {
        free(bytes);
        return NULL;
    }
    *len_out = text_len / 4 * 3 - padding;
    bytes[*len_out] = '\0';
    return bytes;
}
