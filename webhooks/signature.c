/* SPDX-License-Identifier: Apache-2.0 */
/* Standard Webhooks signatures: making and checking them. */
#include "webhooks/signature.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

#define SECRET_PREFIX "whsec_"
#define SECRET_MIN 24
#define SECRET_MAX 64
#define HEADER_MAX 4096
#define ID_MAX 256

char *signature_new_secret(void)
{
    unsigned char bytes[32];
    random_bytes(bytes, sizeof bytes);
    CLEANUP(cleanup_free) char *text = base64_encode(bytes, sizeof bytes);
    char *secret = xasprintf(SECRET_PREFIX "%s", text);
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(text, strlen(text));
    return secret;
}

int signature_parse_secret(const char *text, struct secret *out, struct err *err)
{
    if (!str_starts(text, SECRET_PREFIX)) {
        return err_set(err, ERR_INVALID,
            "secret: expected 'whsec_' followed by base64 (Standard Webhooks), got something else");
    }
    const char *encoded = text + strlen(SECRET_PREFIX);
    size_t len = 0;
    unsigned char *bytes =
        strlen(encoded) <= 128 ? base64_decode(encoded, strlen(encoded), &len) : NULL;
    if (bytes == NULL || len < SECRET_MIN || len > SECRET_MAX) {
        free(bytes);
        return err_set(err, ERR_INVALID,
            "secret: the part after 'whsec_' must be base64 of %d to %d bytes", SECRET_MIN,
            SECRET_MAX);
    }
    secret_set(out, bytes, len);
    explicit_bzero(bytes, len);
    free(bytes);
    return 0;
}

static void signature_mac(const struct secret *secret, const char *id, const char *timestamp,
    const void *body, size_t len, unsigned char out[SHA256_LEN])
{
    struct buf content;
    buf_init(&content, len + ID_MAX + 64);
    buf_addf(&content, "%s.%s.", id, timestamp);
    buf_add(&content, body, len);
    hmac_sha256(secret->bytes, secret->len, content.data, content.len, out);
    buf_done(&content);
}

char *signature_make(
    const struct secret *secret, const char *id, int64_t timestamp_s, const void *body, size_t len)
{
    unsigned char mac[SHA256_LEN];
    CLEANUP(cleanup_free) char *timestamp = xasprintf("%lld", (long long)timestamp_s);
    signature_mac(secret, id, timestamp, body, len, mac);
    CLEANUP(cleanup_free) char *text = base64_encode(mac, sizeof mac);
    return xasprintf("v1,%s", text);
}

static bool is_id(const char *id)
{
    size_t len = strlen(id);
    for (size_t i = 0; i < len; i++) {
        if (id[i] <= 0x20 || id[i] >= 0x7f || id[i] == '.') {
            return false;
        }
    }
    return len > 0 && len <= ID_MAX;
}

int signature_check_head(
    const char *id, const char *timestamp, const char *signatures, int64_t now_s, struct err *err)
{
    if (id == NULL || timestamp == NULL || signatures == NULL) {
        return err_set(err, ERR_UNAUTHENTICATED,
            "webhook-id, webhook-timestamp and webhook-signature are all needed");
    }
    if (!is_id(id)) {
        return err_set(err, ERR_UNAUTHENTICATED,
            "webhook-id must be 1 to %d printable characters without a dot", ID_MAX);
    }
    int64_t at = 0;
    if (timestamp[strspn(timestamp, "0123456789")] != '\0' ||
        parse_i64(timestamp, 0, INT64_C(1) << 40, "webhook-timestamp", &at, NULL) != 0) {
        return err_set(err, ERR_UNAUTHENTICATED, "webhook-timestamp must be whole seconds");
    }
    if (at < now_s - SIGNATURE_TOLERANCE_S || at > now_s + SIGNATURE_TOLERANCE_S) {
        return err_set(err, ERR_UNAUTHENTICATED,
            "webhook-timestamp is more than %d seconds away from now", SIGNATURE_TOLERANCE_S);
    }
    if (strlen(signatures) > HEADER_MAX) {
        return err_set(err, ERR_UNAUTHENTICATED, "webhook-signature is too long");
    }
    return 0;
}

int signature_verify(const struct secret *secret, const char *id, const char *timestamp,
    const char *signatures, const void *body, size_t len, int64_t now_s, struct err *err)
{
    if (signature_check_head(id, timestamp, signatures, now_s, err) != 0) {
        return -1;
    }
    unsigned char mac[SHA256_LEN];
    signature_mac(secret, id, timestamp, body, len, mac);
    CLEANUP(cleanup_free) char *expected = base64_encode(mac, sizeof mac);
    CLEANUP(cleanup_free) char *copy = xstrdup(signatures);
    char *rest = copy, *one;
    bool found = false;
    for (int n = 0; n < SIGNATURES_MAX && (one = strsep(&rest, " ")) != NULL; n++) {
        if (str_starts(one, "v1,") &&
            secret_eq(one + 3, strlen(one + 3), expected, strlen(expected))) {
            found = true; /* go on: the same work whichever matches */
        }
    }
    return found ? 0
                 : err_set(err, ERR_UNAUTHENTICATED, "no signature in webhook-signature matches");
}
