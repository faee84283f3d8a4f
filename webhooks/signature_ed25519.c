/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 keys of Standard Webhooks: their texts, making and checking signatures. */
#include "webhooks/signature_ed25519.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

#define PRIVATE_PREFIX "whsk_"
#define PUBLIC_PREFIX "whpk_"
#define SEED_LEN 32
#define PRIVATE_LEN (SEED_LEN + ED25519_PUBLIC_LEN)
#define SIGNATURE_LEN 64
#define HEAD_MAX 512
#define TEXT_MAX 128

bool ed25519_is_private(const char *text)
{
    return str_starts(text, PRIVATE_PREFIX);
}

static void public_of_seed(const unsigned char *seed, unsigned char out[ED25519_PUBLIC_LEN])
{
    size_t len = ED25519_PUBLIC_LEN;
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SEED_LEN);
    assert(key != NULL);
    int rc = EVP_PKEY_get_raw_public_key(key, out, &len);
    assert(rc == 1 && len == ED25519_PUBLIC_LEN);
    EVP_PKEY_free(key);
}

char *ed25519_new_private(void)
{
    unsigned char bytes[PRIVATE_LEN];
    random_bytes(bytes, SEED_LEN);
    public_of_seed(bytes, bytes + SEED_LEN);
    char *encoded = base64_encode(bytes, sizeof bytes);
    char *text = xasprintf(PRIVATE_PREFIX "%s", encoded);
    OPENSSL_cleanse(bytes, sizeof bytes);
    secret_text_free(encoded);
    return text;
}

/* The bytes behind the prefix; NULL if that is not base64 of so many. */
static unsigned char *decode(const char *encoded, size_t want)
{
    size_t len = 0;
    unsigned char *bytes =
        strlen(encoded) <= TEXT_MAX ? base64_decode(encoded, strlen(encoded), &len) : NULL;
    if (bytes != NULL && len != want) {
        OPENSSL_cleanse(bytes, len);
        free(STEAL(bytes));
    }
    return bytes;
}

int ed25519_parse_private(const char *text, struct secret *out, struct err *err)
{
    unsigned char own[ED25519_PUBLIC_LEN];
    unsigned char *bytes =
        ed25519_is_private(text) ? decode(text + strlen(PRIVATE_PREFIX), PRIVATE_LEN) : NULL;
    if (bytes == NULL) {
        return err_set(err, ERR_INVALID,
            "secret: expected 'whsk_' and base64 of %d bytes: an Ed25519 seed and its public key",
            PRIVATE_LEN);
    }
    public_of_seed(bytes, own);
    bool is_pair = CRYPTO_memcmp(own, bytes + SEED_LEN, sizeof own) == 0;
    if (is_pair) {
        secret_set(out, bytes, PRIVATE_LEN);
    }
    OPENSSL_cleanse(bytes, PRIVATE_LEN);
    free(bytes);
    return is_pair ? 0
                   : err_set(err, ERR_INVALID,
                         "secret: the last %d bytes of a 'whsk_' key are the public key of the "
                         "first %d, and these are not",
                         ED25519_PUBLIC_LEN, SEED_LEN);
}

char *ed25519_public_text(const struct secret *key)
{
    CLEANUP(cleanup_free) char *encoded = base64_encode(key->bytes + SEED_LEN, ED25519_PUBLIC_LEN);
    return xasprintf(PUBLIC_PREFIX "%s", encoded);
}

int ed25519_parse_public(const char *text, unsigned char out[ED25519_PUBLIC_LEN], struct err *err)
{
    unsigned char *bytes = str_starts(text, PUBLIC_PREFIX)
                               ? decode(text + strlen(PUBLIC_PREFIX), ED25519_PUBLIC_LEN)
                               : NULL;
    if (bytes == NULL) {
        return err_set(err, ERR_INVALID,
            "public key: expected 'whpk_' and base64 of %d bytes (Ed25519)", ED25519_PUBLIC_LEN);
    }
    memcpy(out, bytes, ED25519_PUBLIC_LEN);
    free(bytes);
    return 0;
}

static void signed_content(
    struct buf *out, const char *id, const char *timestamp, const void *body, size_t len)
{
    buf_init(out, len + HEAD_MAX);
    buf_addf(out, "%s.%s.", id, timestamp);
    buf_add(out, body, len);
}

char *ed25519_sign(
    const struct secret *key, const char *id, int64_t timestamp_s, const void *body, size_t len)
{
    unsigned char signature[SIGNATURE_LEN];
    size_t signature_len = sizeof signature;
    struct buf content;
    CLEANUP(cleanup_free) char *timestamp = xasprintf("%lld", (long long)timestamp_s);
    signed_content(&content, id, timestamp, body, len);
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->bytes, SEED_LEN);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert(pkey != NULL && context != NULL);
    int rc = EVP_DigestSignInit(context, NULL, NULL, NULL, pkey);
    assert(rc == 1);
    rc = EVP_DigestSign(
        context, signature, &signature_len, (const unsigned char *)content.data, content.len);
    assert(rc == 1 && signature_len == SIGNATURE_LEN);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    buf_done(&content);
    CLEANUP(cleanup_free) char *encoded = base64_encode(signature, sizeof signature);
    return xasprintf("v1a,%s", encoded);
}

bool ed25519_verify(const unsigned char key[ED25519_PUBLIC_LEN], const char *signature,
    const char *id, const char *timestamp, const void *body, size_t len)
{
    unsigned char *bytes = decode(signature, SIGNATURE_LEN);
    if (bytes == NULL || strlen(id) + strlen(timestamp) > HEAD_MAX - 2) {
        free(bytes);
        return false;
    }
    struct buf content;
    signed_content(&content, id, timestamp, body, len);
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_PUBLIC_LEN);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = pkey != NULL && context != NULL &&
                   EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1 &&
                   EVP_DigestVerify(context, bytes, SIGNATURE_LEN,
                       (const unsigned char *)content.data, content.len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    buf_done(&content);
    free(bytes);
    return is_good;
}
