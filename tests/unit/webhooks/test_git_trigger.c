/* SPDX-License-Identifier: Apache-2.0 */
/* GitHub's signature and payload, and what a trigger makes of a push. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks/forge.h"
#include "webhooks/git_push.h"
#include "webhooks/git_trigger.h"

#define ZEROS "0000000000000000000000000000000000000000"
#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct http_request *request(struct pool *pool, const char *body)
{
    struct http_request *req = pool_alloc(pool, sizeof *req);
    req->pool = pool;
    req->method = "POST";
    req->path = "/hooks/git/x";
    req->query_raw = "";
    req->body = body;
    req->body_len = strlen(body);
    req->peer = "192.0.2.1";
    return req;
}

static void header(struct http_request *req, const char *name, const char *value)
{
    if (value != NULL) {
        http_fields_add(req->pool, &req->headers, name, value);
    }
}

static void test_signatures(void **state)
{
    (void)state;
    static const char good[] =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    static const struct {
        const char *name, *first, *second, *body;
        int rc;
    } rows[] = {
        {"GitHub's documented example", good, NULL, "Hello, World!", 0},
        {"changed body", good, NULL, "Hello, World", -1},
        {"no header", NULL, NULL, "Hello, World!", -1},
        {"sent twice", good, good, "Hello, World!", -1},
        {"empty digest", "sha256=", NULL, "Hello, World!", -1},
        {"sha1 named", "sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            NULL, "Hello, World!", -1},
        {"one digit short",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1", NULL,
            "Hello, World!", -1},
        {"not hex", "sha256=zz7107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", NULL,
            "Hello, World!", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct err err = ERR_INIT;
        struct http_request *req = request(pool, rows[i].body);
        header(req, "x-hub-signature-256", rows[i].first);
        header(req, "X-Hub-Signature-256", rows[i].second);
        struct hook_source source = {.forge = FORGE_GITHUB,
            .secrets = {{.text = "It's a Secret to Everybody"}},
            .secret_count = 1};
        struct hook_verified verified;
        int rc = hook_verify(req, &source, 0, &verified, &err);
        if (rc != rows[i].rc) {
            fail_msg("%s: got %d %s", rows[i].name, rc, err.msg);
        }
    }
}

static const char *push_text(
    struct pool *pool, const char *ref, const char *after, const char *message)
{
    return pool_printf(pool,
        "{\"ref\":\"%s\",\"before\":\"" SHA_A "\",\"after\":\"%s\",\"created\":false,"
        "\"deleted\":false,\"forced\":false,\"repository\":{\"full_name\":\"octo/hello\","
        "\"clone_url\":\"https://example.com/octo/hello.git\"},\"pusher\":{\"name\":\"ann\"},"
        "\"head_commit\":{\"id\":\"%s\",\"message\":\"%s\"},\"commits\":[{\"id\":\"c0\"}]}",
        ref, after, after, message);
}

static int read_push(
    struct pool *pool, const char *body, const char *type, struct git_push *push, struct err *err)
{
    struct hook_source source = {.forge = FORGE_GITHUB};
    struct hook_message message = {0};
    struct http_request *req = request(pool, body);
    header(req, "X-GitHub-Event", "push");
    header(req, "X-GitHub-Delivery", "d-1");
    header(req, "Content-Type", type);
    if (hook_read(req, &source, &message, err) != 0) {
        return -1;
    }
    assert_int_equal(message.kind, HOOK_PUSH);
    *push = message.pushes[0];
    return 0;
}

static void test_read(void **state)
{
    (void)state;
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct err err = ERR_INIT;
    struct git_push push;
    const char *body = push_text(pool, "refs/heads/feature/a", SHA_B, "work");
    assert_int_equal(read_push(pool, body, "application/json", &push, &err), 0);
    assert_string_equal(push.branch, "feature/a");
    assert_null(push.tag);
    assert_string_equal(push.after, SHA_B);
    assert_string_equal(push.repository, "octo/hello");
    assert_string_equal(push.actor, "ann");
    assert_string_equal(push.delivery, "d-1");

    struct buf form;
    buf_init(&form, 1 << 20);
    buf_adds(&form, "payload=");
    http_encode(&form, body);
    assert_int_equal(
        read_push(pool, buf_str(&form), "application/x-www-form-urlencoded", &push, &err), 0);
    assert_string_equal(push.branch, "feature/a");
    buf_done(&form);
}

static void test_read_refuses(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "[]", "{}", "{", "null", "\"x\"",
        "{\"ref\":1,\"before\":\"" SHA_A "\",\"after\":\"" SHA_B "\"}",
        "{\"ref\":\"refs/heads/a\",\"before\":\"x\",\"after\":\"" SHA_B
        "\",\"repository\":{\"full_name\":\"a/b\"}}",
        "{\"ref\":\"refs/heads/a\",\"before\":\"" SHA_A "\",\"after\":\"" SHA_B
        "\",\"repository\":[]}",
        "{\"ref\":\"refs/heads/a\",\"before\":\"" SHA_A "\",\"after\":\"" SHA_B
        "\",\"repository\":{\"full_name\":7}}",
        "{\"ref\":\"a\",\"ref\":\"b\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct err err = ERR_INIT;
        struct git_push push;
        if (read_push(pool, bodies[i], "application/json", &push, &err) == 0) {
            fail_msg("accepted: %s", bodies[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static json_t *trigger(const char *text)
{
    struct err err = ERR_INIT;
    json_t *body = json_loads(text, 0, NULL);
    json_t *record = git_trigger_from_body(body, &err);
    json_decref(body);
    if (record == NULL) {
        fail_msg("%s: %s", text, err.msg);
    }
    return record;
}

static void test_decides(void **state)
{
    (void)state;
    static const struct {
        const char *name, *trigger, *ref, *after, *message;
        bool starts;
    } rows[] = {
        {"no filter", "{\"pipeline_id\":\"p\"}", "refs/heads/x", SHA_B, "m", true},
        {"branch", "{\"pipeline_id\":\"p\",\"branches\":[\"main\"]}", "refs/heads/main", SHA_B, "m",
            true},
        {"other branch", "{\"pipeline_id\":\"p\",\"branches\":[\"main\"]}", "refs/heads/mainly",
            SHA_B, "m", false},
        {"star stops at slash", "{\"pipeline_id\":\"p\",\"branches\":[\"rel/*\"]}",
            "refs/heads/rel/1/2", SHA_B, "m", false},
        {"star", "{\"pipeline_id\":\"p\",\"branches\":[\"rel/*\"]}", "refs/heads/rel/1", SHA_B, "m",
            true},
        {"two stars", "{\"pipeline_id\":\"p\",\"branches\":[\"rel/**\"]}", "refs/heads/rel/1/2",
            SHA_B, "m", true},
        {"tag", "{\"pipeline_id\":\"p\"}", "refs/tags/main", SHA_B, "m", false},
        {"deleted", "{\"pipeline_id\":\"p\"}", "refs/heads/main", ZEROS, "m", false},
        {"skip ci", "{\"pipeline_id\":\"p\"}", "refs/heads/main", SHA_B, "typo [Skip CI]", false},
        {"repository", "{\"pipeline_id\":\"p\",\"repository\":\"Octo/Hello\"}", "refs/heads/main",
            SHA_B, "m", true},
        {"other repository", "{\"pipeline_id\":\"p\",\"repository\":\"octo/other\"}",
            "refs/heads/main", SHA_B, "m", false},
        {"disabled", "{\"pipeline_id\":\"p\",\"enabled\":false}", "refs/heads/main", SHA_B, "m",
            false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct git_push push;
        struct err err = ERR_INIT;
        char why[512];
        json_t *record = trigger(rows[i].trigger);
        assert_int_equal(
            read_push(pool, push_text(pool, rows[i].ref, rows[i].after, rows[i].message),
                "application/json", &push, &err),
            0);
        const char *refusal = git_trigger_refuses(record, &push, why, sizeof why);
        if ((refusal == NULL) != rows[i].starts) {
            fail_msg("%s: %s", rows[i].name, refusal != NULL ? refusal : "started");
        }
        json_decref(record);
    }
}

static void test_parameters(void **state)
{
    (void)state;
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct git_push push;
    struct err err = ERR_INIT;
    assert_int_equal(read_push(pool, push_text(pool, "refs/heads/main", SHA_B, "m"),
                         "application/json", &push, &err),
        0);
    json_t *record =
        trigger("{\"pipeline_id\":\"p\",\"parameters\":{\"b\":{\"from\":\"$branch\"},"
                "\"c\":{\"from\":\"/head_commit/id\"},\"l\":{\"from\":\"/commits/0/id\"},"
                "\"d\":{\"from\":\"/nowhere\",\"default\":5},\"k\":0.5,"
                "\"o\":{\"x\":1}}}");
    json_t *parameters = git_trigger_parameters(record, &push, &err);
    CLEANUP(cleanup_free) char *text = jtext(parameters);
    assert_string_equal(text,
        "{\"b\":\"main\",\"c\":\"" SHA_B "\",\"d\":5,\"k\":0.5,\"l\":\"c0\",\"o\":{\"x\":1}}");
    json_decref(parameters);
    json_decref(record);

    record = trigger("{\"pipeline_id\":\"p\",\"parameters\":{\"b\":{\"from\":\"/nowhere\"}}}");
    assert_null(git_trigger_parameters(record, &push, &err));
    assert_non_null(strstr(err.msg, "parameters.b"));
    json_decref(record);
}

static void test_bodies_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}", "{\"pipeline_id\":\"\"}",
        "{\"pipeline_id\":\"p\",\"x\":1}", "{\"pipeline_id\":\"p\",\"forge\":\"svn\"}",
        "{\"pipeline_id\":\"p\",\"secret\":\"short\"}",
        "{\"pipeline_id\":\"p\",\"branches\":\"main\"}",
        "{\"pipeline_id\":\"p\",\"branches\":[\"\"]}",
        "{\"pipeline_id\":\"p\",\"parameters\":{\"a\":{\"from\":\"$nothing\"}}}",
        "{\"pipeline_id\":\"p\",\"parameters\":{\"a\":{\"from\":5}}}",
        "{\"pipeline_id\":\"p\",\"enabled\":\"yes\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct err err = ERR_INIT;
        json_t *body = json_loads(bodies[i], 0, NULL);
        assert_null(git_trigger_from_body(body, &err));
        assert_int_equal(err.code, ERR_INVALID);
        json_decref(body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_refuses),
        cmocka_unit_test(test_decides),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_bodies_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
