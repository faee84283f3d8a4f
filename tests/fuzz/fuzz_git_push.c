/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A push from outside, after its signature was found good: the first three lines of the input are
 * the event, the Content-Type and the delivery id, the rest is the body. What is read must be
 * whole, and a trigger must be able to decide about it.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "webhooks/forge.h"
#include "webhooks/git_trigger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char record_text[] =
    "{\"v\":1,\"id\":\"11111111-2222-4333-8444-555555555555\",\"enabled\":true,"
    "\"branches\":[\"main\",\"release/"
    "**\",\"[a-c]*\"],\"parameters\":{\"commit\":{\"from\":\"$commit\"},"
    "\"branch\":{\"from\":\"$branch\"},\"message\":{\"from\":\"$message\",\"default\":\"none\"},"
    "\"file\":{\"from\":\"/commits/0/added/0\",\"default\":null},"
    "\"odd\":{\"from\":\"/a~1b/~0/00\",\"default\":1},\"lr\":0.1}}";

/* The next line of the input, in the pool. */
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

static void check_push(const struct git_push *push)
{
    assert(push->ref != NULL && push->repository != NULL && push->payload != NULL);
    assert(push->url != NULL && push->actor != NULL && push->message != NULL);
    assert(push->branch == NULL || push->tag == NULL);
    assert(strlen(push->after) == 40 || strlen(push->after) == 64);
    assert(push->delivery[0] != '\0');
}

static void decide(const struct git_push *push)
{
    struct err err = ERR_INIT;
    char why[512];
    json_t *record = json_loads(record_text, 0, NULL);
    const char *refusal = git_trigger_refuses(record, push, why, sizeof why);
    assert(refusal == NULL || refusal[0] != '\0');
    json_t *parameters = git_trigger_parameters(record, push, &err);
    assert(parameters != NULL || err.code == ERR_INVALID);
    json_decref(parameters);
    json_decref(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pool *pool = pool_new();
    struct http_request req = {.pool = pool, .method = "POST", .path = "/", .query_raw = ""};
    http_fields_add(pool, &req.headers, "X-GitHub-Event", take_line(pool, &data, &size));
    http_fields_add(pool, &req.headers, "Content-Type", take_line(pool, &data, &size));
    http_fields_add(pool, &req.headers, "X-GitHub-Delivery", take_line(pool, &data, &size));
    /* An allocation of the exact size and its NUL, so that a read too far is seen. */
    char *body = malloc(size + 1);
    if (size > 0) {
        memcpy(body, data, size);
    }
    body[size] = '\0';
    req.body = body;
    req.body_len = size;
    struct hook_source source = {.forge = FORGE_GITHUB};
    struct hook_message message = {0};
    struct err err = ERR_INIT;
    if (hook_read(&req, &source, &message, &err) != 0) {
        assert(err.code == ERR_INVALID && err.msg[0] != '\0');
    } else if (message.kind == HOOK_PUSH) {
        check_push(message.pushes);
        decide(message.pushes);
    }
    pool_free(pool);
    free(body);
    return 0;
}
