/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message from outside in any dialect: the first byte of the input says which forge the source
 * names ('a' auto, 'b' github, ...) and, in capitals, by which scheme it is checked; then come
 * header lines up to an empty one, and the body. Nothing but a proof is accepted, and what is read
 * is whole.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/http_msg.h"
#include "base/pool.h"
#include "base/util.h"
#include "tests/support/hook_json.h"
#include "webhooks/in/forge.h"

#define NOW_US (INT64_C(1795000000) * US_PER_S)
#define SECRET "a secret that no input has"
#define SIGNING_KEY "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define HEADERS_MAX 64

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

static void take_headers(struct http_request *req, const uint8_t **data, size_t *size)
{
    for (int n = 0; n < HEADERS_MAX; n++) {
        char *line = take_line(req->pool, data, size), *colon = strchr(line, ':');
        if (colon == NULL) {
            return;
        }
        *colon = '\0';
        http_fields_add(req->pool, &req->headers, line, colon + 1 + strspn(colon + 1, " "));
    }
}

static void check_push(const struct hook_message *m, const struct git_push *push)
{
    assert(push->payload == m->payload && strlen(push->key) == SHA256_HEX_LEN);
    assert(push->branch == NULL || push->tag == NULL);
    assert(strlen(push->after) == 40 || strlen(push->after) == 64);
    assert(strlen(push->before) == strlen(push->after));
    assert(push->ref[0] != '\0' && strpbrk(push->ref, " \n~^:?*[\\") == NULL);
    assert(push->delivery[0] != '\0' && strcmp(push->repository, m->repository) == 0);
    for (size_t i = 0; i < push->message_count; i++) {
        assert(push->messages[i] != NULL);
    }
}

static void check_message(const struct hook_message *m)
{
    assert(m->delivery[0] != '\0' && m->event[0] != '\0' && m->payload != NULL);
    assert(m->push_count <= HOOK_REFS_MAX);
    assert((m->kind == HOOK_PUSH) <= (m->push_count > 0));
    assert((m->kind == HOOK_PULL_REQUEST) == (m->pull_request != NULL));
    assert((m->kind == HOOK_RELEASE) == (m->release != NULL));
    assert((m->kind != HOOK_PING && m->kind != HOOK_OTHER) || m->why[0] != '\0');
    for (size_t i = 0; m->kind == HOOK_PUSH && i < m->push_count; i++) {
        check_push(m, &m->pushes[i]);
    }
    json_t *text = hook_message_json(m); /* walks everything */
    assert(text != NULL);
    json_decref(text);
}

/* Nobody can guess the secret; a proof that is made with it is accepted. */
static void check_proof(struct http_request *req, struct hook_source *source)
{
    struct err err = ERR_INIT;
    struct hook_verified verified;
    unsigned char mac[SHA256_LEN];
    char hex[SHA256_HEX_LEN + 1];
    if (hook_verify(req, source, NOW_US, &verified, &err) == 0) {
        abort();
    }
    assert(err.code == ERR_UNAUTHENTICATED && err.msg[0] != '\0');
    source->scheme = HOOK_SCHEME_HMAC;
    source->header = "X-Proof";
    source->prefix = NULL;
    source->hash = HMAC_SHA256;
    source->encoding = HOOK_HEX;
    if (http_header(req, "X-Proof") == NULL) {
        hmac_sha256(SECRET, strlen(SECRET), req->body, req->body_len, mac);
        hex_encode(mac, sizeof mac, hex);
        http_fields_add(req->pool, &req->headers, "X-Proof", hex);
        int rc = hook_verify(req, source, NOW_US, &verified, &err);
        assert(rc == 0 && verified.secret == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct pool *pool = pool_new();
    struct http_request req = {
        .pool = pool, .method = "POST", .path = "/", .query_raw = "", .peer = "192.0.2.1"};
    unsigned which = data[0] >= 'a' ? data[0] - 'a' : data[0];
    struct hook_source source = {
        .forge = (enum forge)(which % FORGE_COUNT),
        .scheme = (enum hook_scheme)(data[0] >= 'a' ? 0 : data[0] % (HOOK_SCHEME_TOKEN + 1)),
        .secrets = {{.text = SECRET}, {.text = SIGNING_KEY}},
        .secret_count = 2,
        .encoding = data[0] % 2 == 0 ? HOOK_HEX : HOOK_BASE64,
    };
    take_line(pool, &data, &size);
    take_headers(&req, &data, &size);
    char *body = malloc(size + 1); /* the exact size, so that a read too far is seen */
    if (size > 0) {
        memcpy(body, data, size);
    }
    body[size] = '\0';
    req.body = body;
    req.body_len = size;
    struct hook_message message = {0};
    struct err err = ERR_INIT;
    if (hook_read(&req, &source, &message, &err) != 0) {
        assert(err.code == ERR_INVALID && err.msg[0] != '\0');
    } else {
        check_message(&message);
    }
    check_proof(&req, &source);
    pool_free(pool);
    free(body);
    return 0;
}
