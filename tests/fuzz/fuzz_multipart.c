/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uploaded form: the first line of the input is the Content-Type, the rest is the body. What
 * is found must lie inside the body.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *eol = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t type_len = eol != NULL ? (size_t)(eol - data) : size;
    size_t body_len = eol != NULL ? size - type_len - 1 : 0;
    struct pool *pool = pool_new();
    /* An allocation of the exact size and its NUL, so that a read too far is seen. */
    char *body = malloc(body_len + 1);
    if (body_len > 0) {
        memcpy(body, eol + 1, body_len);
    }
    body[body_len] = '\0';
    struct http_request req = {.pool = pool, .body = body, .body_len = body_len, .query_raw = ""};
    http_fields_add(
        pool, &req.headers, "Content-Type", pool_strndup(pool, (const char *)data, type_len));
    struct http_part part;
    struct err err = ERR_INIT;
    if (http_multipart_find(&req, "uploadfile", &part, &err) == 0) {
        if (strcmp(part.name, "uploadfile") != 0 || part.data < body ||
            part.data + part.len > body + body_len) {
            abort();
        }
    } else if (err.code == ERR_NONE || err.msg[0] == '\0') {
        abort();
    }
    free(body);
    pool_free(pool);
    return 0;
}
