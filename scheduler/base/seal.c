/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets at rest: AES-256-GCM by OpenSSL's EVP; the file of keys; the form of a sealed text. */
#include "base/seal.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"

#define KEY_LEN 32
#define NONCE_LEN 12
#define TAG_LEN 16
#define KEY_ID_LEN 8 /* hex digits */
#define FILE_MAX 4096
#define SEALED "sealed:1:"
/* Before a text that looks like one of ours and is not, when there is no key. */
#define PLAIN "plain:1:"

struct seal_key {
    unsigned char bytes[KEY_LEN];
    char id[KEY_ID_LEN + 1];
};

struct seal {
    struct seal_key keys[SEAL_KEYS_MAX];
    size_t count;
};

/* Keys. */

/* Says which key it was, and nothing about it. */
static void key_make_id(struct seal_key *key)
{
    static const char label[] = "rondo secrets key id 1";
    unsigned char mac[SHA256_LEN];
    char hex[SHA256_HEX_LEN + 1];
    hmac_sha256(key->bytes, KEY_LEN, label, sizeof label - 1, mac);
    hex_encode(mac, sizeof mac, hex);
    memcpy(key->id, hex, KEY_ID_LEN);
    key->id[KEY_ID_LEN] = '\0';
}

static int key_read(struct seal_key *key, const char *line)
{
    size_t len = strlen(line), got = 0;
    if (len == 2 * (size_t)KEY_LEN) {
        return hex_decode(line, len, key->bytes, KEY_LEN);
    }
    unsigned char *bytes = base64_decode(line, len, &got);
    int rc = bytes != NULL && got == KEY_LEN ? 0 : -1;
    if (rc == 0) {
        memcpy(key->bytes, bytes, KEY_LEN);
    }
    if (bytes != NULL) {
        explicit_bzero(bytes, got);
    }
    free(bytes);
    return rc;
}

static const struct seal_key *key_find(const struct seal *seal, const char *id)
{
    for (size_t i = 0; seal != NULL && i < seal->count; i++) {
        if (strncmp(seal->keys[i].id, id, KEY_ID_LEN) == 0) {
            return &seal->keys[i];
        }
    }
    return NULL;
}

static int read_line(struct seal *seal, const char *path, int number, char *line, struct err *err)
{
    line += strspn(line, " \t");
    line[strcspn(line, " \t\r")] = '\0';
    if (line[0] == '\0' || line[0] == '#') {
        return 0;
    }
    if (seal->count == SEAL_KEYS_MAX) {
        return err_set(err, ERR_INVALID, "%s:%d: more than %d keys; drop those that seal nothing",
            path, number, SEAL_KEYS_MAX);
    }
    struct seal_key *key = &seal->keys[seal->count];
    if (key_read(key, line) != 0) {
        return err_set(err, ERR_INVALID,
            "%s:%d: not a key: 32 bytes in hex or base64, as 'openssl rand -base64 32' makes them",
            path, number);
    }
    key_make_id(key);
    if (key_find(seal, key->id) != NULL) {
        return err_set(err, ERR_INVALID, "%s:%d: the same key again", path, number);
    }
    seal->count++;
    return 0;
}

struct seal *seal_load(const char *path, struct err *err)
{
    size_t len = 0;
    char *text = file_read(path, FILE_MAX, &len, err);
    if (text == NULL) {
        return NULL;
    }
    struct seal *seal = xcalloc(1, sizeof *seal);
    char *rest = text, *line;
    int rc = 0;
    if (strlen(text) != len) {
        rc =
            err_set(err, ERR_INVALID, "%s: has a NUL byte; one key a line, in hex or base64", path);
    }
    for (int number = 1; rc == 0 && (line = strsep(&rest, "\n")) != NULL; number++) {
        rc = read_line(seal, path, number, line, err);
    }
    if (rc == 0 && seal->count == 0) {
        rc = err_set(
            err, ERR_INVALID, "%s: no key in it; make one with 'openssl rand -base64 32'", path);
    }
    explicit_bzero(text, len);
    free(text);
    if (rc != 0) {
        seal_free(seal);
        return NULL;
    }
    return seal;
}

void seal_free(struct seal *seal)
{
    if (seal != NULL) {
        explicit_bzero(seal, sizeof *seal);
        free(seal);
    }
}

/* One text. */

/* Whatever fails here is ours or memory, but for a tag that does not fit. */
static bool gcm(bool is_sealing, const struct seal_key *key, const char *context,
    const unsigned char *nonce, const unsigned char *in, size_t len, unsigned char *out,
    unsigned char *tag)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0, end = 0;
    size_t context_len = strlen(context);
    assert(ctx != NULL && len <= INT_MAX && context_len <= INT_MAX);
    int ok = EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key->bytes, nonce, is_sealing);
    ok = ok && EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)context, (int)context_len);
    ok = ok && EVP_CipherUpdate(ctx, out, &n, in, (int)len);
    assert(ok && (size_t)n == len);
    if (!is_sealing) {
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag);
        assert(ok);
    }
    bool fits = EVP_CipherFinal_ex(ctx, out + n, &end) == 1;
    assert(fits || !is_sealing);
    if (is_sealing) {
        ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, tag);
        assert(ok);
    }
    EVP_CIPHER_CTX_free(ctx);
    return fits;
}

char *seal_text(const struct seal *seal, const char *context, const char *text)
{
    if (seal == NULL) {
        bool is_odd = str_starts(text, SEALED) || str_starts(text, PLAIN);
        return xasprintf("%s%s", is_odd ? PLAIN : "", text);
    }
    const struct seal_key *key = &seal->keys[0];
    size_t len = strlen(text);
    unsigned char *bytes = xmalloc(NONCE_LEN + len + TAG_LEN);
    random_bytes(bytes, NONCE_LEN);
    gcm(true, key, context, bytes, (const unsigned char *)text, len, bytes + NONCE_LEN,
        bytes + NONCE_LEN + len);
    char *base64 = base64_encode(bytes, NONCE_LEN + len + TAG_LEN);
    char *sealed = xasprintf("%s%s:%s", SEALED, key->id, base64);
    free(base64);
    free(bytes);
    return sealed;
}

static int open_sealed(const struct seal *seal, const char *context, const char *text,
    char **text_out, struct err *err)
{
    const char *id = text + strlen(SEALED);
    const struct seal_key *key = NULL;
    size_t len = 0;
    unsigned char *bytes = NULL;
    if (strlen(id) > KEY_ID_LEN && id[KEY_ID_LEN] == ':') {
        const char *base64 = id + KEY_ID_LEN + 1;
        bytes = base64_decode(base64, strlen(base64), &len);
        key = key_find(seal, id);
    }
    if (bytes == NULL || len < NONCE_LEN + TAG_LEN) {
        free(bytes);
        return err_set(err, ERR_INTERNAL, "%s: the sealed text is damaged", context);
    }
    if (key == NULL) {
        free(bytes);
        return err_set(err, ERR_NOT_FOUND,
            "%s: sealed with key %.*s, which is not in --secrets-key-file", context, KEY_ID_LEN,
            id);
    }
    len -= NONCE_LEN + TAG_LEN;
    char *plain = xmalloc(len + 1);
    bool fits = gcm(false, key, context, bytes, bytes + NONCE_LEN, len, (unsigned char *)plain,
        bytes + NONCE_LEN + len);
    free(bytes);
    plain[len] = '\0';
    if (!fits || strlen(plain) != len) {
        explicit_bzero(plain, len);
        free(plain);
        return err_set(
            err, ERR_INTERNAL, "%s: the sealed text is damaged, or of another record", context);
    }
    *text_out = plain;
    return 0;
}

int seal_open(const struct seal *seal, const char *context, const char *text, char **text_out,
    struct err *err)
{
    if (str_starts(text, SEALED)) {
        return open_sealed(seal, context, text, text_out, err);
    }
    *text_out = xstrdup(str_starts(text, PLAIN) ? text + strlen(PLAIN) : text);
    return 0;
}

bool seal_is_current(const struct seal *seal, const char *text)
{
    if (seal == NULL) {
        return !str_starts(text, SEALED);
    }
    return str_starts(text, SEALED) &&
           strncmp(text + strlen(SEALED), seal->keys[0].id, KEY_ID_LEN) == 0;
}

/* Members of a record. */

void seal_wipe(json_t *string)
{
    if (json_is_string(string)) {
        explicit_bzero((char *)json_string_value(string), json_string_length(string));
    }
}

void seal_member(const struct seal *seal, const char *context, json_t *object, const char *member)
{
    json_t *plain = json_object_get(object, member);
    if (json_is_string(plain)) {
        char *sealed = seal_text(seal, context, json_string_value(plain));
        seal_wipe(plain);
        json_object_set_new(object, member, json_string(sealed));
        secret_text_free(sealed); /* without keys it is the secret */
    }
}

int seal_open_member(const struct seal *seal, const char *context, json_t *object,
    const char *member, struct err *err)
{
    const json_t *sealed = json_object_get(object, member);
    char *plain = NULL;
    if (!json_is_string(sealed)) {
        return 0;
    }
    if (seal_open(seal, context, json_string_value(sealed), &plain, err) != 0) {
        return -1;
    }
    json_object_set_new(object, member, json_string(plain));
    secret_text_free(plain);
    return 0;
}
