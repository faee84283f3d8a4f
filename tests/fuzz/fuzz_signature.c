/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature headers: the first five lines of the input are webhook-id, webhook-timestamp,
 * webhook-signature, X-Hub-Signature-256 and a secret, the rest is the body. A signature that we
 * make is accepted, also among others; one that is accepted stands in the header.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge.h"
#include "webhooks/signature.h"

#define NOW_S INT64_C(1795000000)
#define LIST_MAX_BYTES 200
#define ID_MAX_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *take_line(struct pool *pool, const uint8_t **data, size_t *size)
{
    const uint8_t *eol = *size > 0 ? memchr(*data, '\n', *size) : NULL;
    size_t len = eol != NULL ? (size_t)(eol - *data) : *size;
    char *line = pool_strndup(pool, (const char *)*data, len);
    size_t used = eol != NULL ? len + 1 : len;
    *data += used;
    *size -= used;
    return line;
}

static void check_standard(struct pool *pool, const char *secret_text, const char *id,
    const char *stamp, const char *list, const uint8_t *body, size_t len)
{
    struct secret secret = {0};
    struct err err = ERR_INIT;
    if (signature_parse_secret(secret_text, &secret, &err) != 0) {
        assert(err.code == ERR_INVALID);
        return;
    }
    int64_t stamp_s;
    bool is_number = parse_i64(stamp, 0, INT64_MAX, "stamp", &stamp_s, NULL) == 0 &&
                     stamp[0] != '0' && stamp[strspn(stamp, "0123456789")] == '\0';
    CLEANUP(cleanup_free)
    char *good = signature_make(&secret, id, is_number ? stamp_s : NOW_S, body, len);
    if (signature_verify(&secret, id, stamp, list, body, len, NOW_S, &err) == 0) {
        assert(!is_number || strstr(list, good) != NULL);
    } else {
        assert(err.code == ERR_UNAUTHENTICATED && err.msg[0] != '\0');
    }
    if (is_number && llabs(stamp_s - NOW_S) <= SIGNATURE_TOLERANCE_S && id[0] != '\0' &&
        strchr(id, '.') == NULL && strlen(id) < ID_MAX_BYTES && strlen(list) < LIST_MAX_BYTES &&
        strchr(list, ' ') == NULL) {
        const char *both = pool_printf(pool, "%s %s", list, good);
        int rc = signature_verify(&secret, id, stamp, both, body, len, NOW_S, &err);
        assert(rc == 0);
    }
    secret_done(&secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pool *pool = pool_new();
    const char *id = take_line(pool, &data, &size), *stamp = take_line(pool, &data, &size);
    const char *list = take_line(pool, &data, &size), *hub = take_line(pool, &data, &size);
    const char *secret = take_line(pool, &data, &size);
    uint8_t *body = malloc(size > 0 ? size : 1);
    if (size > 0) {
        memcpy(body, data, size);
    }
    if (strlen(secret) > 12 && str_starts(secret, "whsec_")) {
        check_standard(pool, secret, id, stamp, list, body, size);
    }
    struct http_request req = {.pool = pool, .body = (const char *)body, .body_len = size};
    struct err err = ERR_INIT;
    http_fields_add(pool, &req.headers, "X-Hub-Signature-256", hub);
    struct hook_source source = {
        .forge = FORGE_GITHUB, .secrets = {{.text = secret}}, .secret_count = 1};
    struct hook_verified verified;
    if (hook_verify(&req, &source, NOW_S * 1000000, &verified, &err) != 0) {
        assert(err.code == ERR_UNAUTHENTICATED && err.msg[0] != '\0');
    } else {
        assert(strlen(hub) == strlen("sha256=") + SHA256_HEX_LEN);
    }
    free(body);
    pool_free(pool);
    return 0;
}
