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
#include "webhooks/in/forge.h"
#include "webhooks/in/git_change.h"
#include "webhooks/in/git_template.h"
#include "webhooks/in/git_match.h"
#include "webhooks/in/git_trigger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char record_text[] =
    "{\"v\":2,\"id\":\"11111111-2222-4333-8444-555555555555\",\"pipeline_id\":\"p\",\"events\":["
    "\"push\","
    "\"tag\",\"release\",\"pull_request\",\"generic\"],\"branches\":[\"main\",\"release/"
    "**\",\"[a-c]*\"],"
    "\"tags\":[\"v[0-9]+\"],\"paths\":[\"**/src/"
    "**\",\"!**.md\"],\"skip_ci\":\"any\",\"deleted\":\"any\","
    "\"actors_ignore\":[\"*[bot]\"],\"authors_ignore\":[\"*@x\"],\"messages_ignore\":[\"wip*\"],"
    "\"filter\":\"size(payload) > 0 && push.ref != 'x'\"}";

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

static void decide(const struct http_request *req, const struct hook_message *message)
{
    struct err err = ERR_INIT;
    struct git_changes changes;
    json_t *record = json_loads(record_text, 0, NULL);
    struct git_trigger *trigger = git_trigger_load(record, &err);
    json_t *headers = git_headers_safe(&req->headers);
    assert(trigger != NULL);
    git_changes_of(req->pool, message, &changes);
    for (size_t i = 0; i < changes.count; i++) {
        struct git_reason reason, again;
        json_t *steps = json_array();
        bool wants = git_match(trigger, &changes.items[i], headers, NULL, &reason);
        assert(git_match(trigger, &changes.items[i], headers, steps, &again) == wants);
        assert(strcmp(reason.text, again.text) == 0 && reason.text[0] != '\0');
        git_template_apply(
            req->pool, "$branch $tag $commit ${message} $files $number", &changes.items[i]);
        json_decref(steps);
    }
    json_decref(headers);
    git_trigger_unref(trigger);
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
    } else {
        if (message.kind == HOOK_PUSH) {
            check_push(message.pushes);
        }
        decide(&req, &message);
    }
    pool_free(pool);
    free(body);
    return 0;
}
