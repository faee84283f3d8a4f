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
#include "webhooks/in/forge.h"
#include "webhooks/in/git_push.h"
#include "webhooks/in/git_trigger.h"

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

static json_t *record_of(const char *text, const json_t *before, struct err *err)
{
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    json_t *record = git_trigger_from_body(body, before, err);
    json_decref(body);
    return record;
}

static void test_bodies_refused(void **state)
{
    (void)state;
    static const struct {
        const char *members, *says;
    } rows[] = {
        {"\"pipeline_id\":\"\"", "pipeline_id"},
        {"\"x\":1", "x"},
        {"\"forge\":\"svn\"", "forge: 'svn' is none of auto, github"},
        {"\"secret\":\"short\"", "secret: 8 to"},
        {"\"branches\":\"main\"", "branches: expected an array"},
        {"\"branches\":[\"\"]", "branches[0]"},
        {"\"branches\":[\"a\"],\"branches_ignore\":[\"b\"]", "give one of them"},
        {"\"paths\":[\"a\"],\"paths_ignore\":[\"b\"]", "give one of them"},
        {"\"branches\":[\"!a\"]", "put \"**\" first"},
        {"\"events\":[\"push\"],\"tags\":[\"v*\"]", "neither \"tag\" nor \"release\""},
        {"\"events\":[]", "events: name at least one"},
        {"\"events\":[\"pull\"]", "events[0]"},
        {"\"skip_ci\":\"yes\"", "skip_ci: 'yes' is none of none, head, any"},
        {"\"deleted\":\"maybe\"", "deleted"},
        {"\"unknown_files\":\"fail\"", "none of run, skip"},
        {"\"max_files\":-1", "max_files"},
        {"\"actors\":[\"\"]", "actors[0]"},
        {"\"filter\":\"push.branch ==\"", "filter: column"},
        {"\"filter\":\"nothing == 1\"", "filter: column"},
        {"\"concurrency\":{\"policy\":\"both\"}", "concurrency.policy: 'both'"},
        {"\"concurrency\":{\"group\":\"$nothing\"}", "unknown variable"},
        {"\"concurrency\":{\"size\":2}", "concurrency"},
        {"\"concurrency\":{\"max_waiting\":5000}", "concurrency.max_waiting"},
        {"\"verification\":{\"scheme\":\"rot13\"}", "verification.scheme"},
        {"\"verification\":{\"x\":1}", "verification"},
        {"\"parameters\":{\"a\":{\"from\":\"$nothing\"}}", "parameters.a.from"},
        {"\"parameters\":{\"a\":{\"from\":\"no slash\"}}", "parameters.a.from"},
        {"\"parameters\":{\"a\":{\"from\":5}}", "parameters.a.from: expected a string"},
        {"\"parameters\":{\"a\":{\"from\":\"$ref\",\"cel\":\"1\"}}", "expected one of"},
        {"\"parameters\":{\"a\":{\"template\":\"${x}\"}}", "parameters.a.template"},
        {"\"parameters\":{\"a\":{\"cel\":\"1 +\"}}", "parameters.a.cel: column"},
        {"\"enabled\":\"yes\"", "enabled"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        CLEANUP(cleanup_free)
        char *text = strstr(rows[i].members, "pipeline_id") != NULL
                         ? xasprintf("{%s}", rows[i].members)
                         : xasprintf("{\"pipeline_id\":\"p\",%s}", rows[i].members);
        assert_null(record_of(text, NULL, &err));
        assert_int_equal(err.code, ERR_INVALID);
        if (strstr(err.msg, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].members, err.msg);
        }
    }
}

/* Which kinds of events are meant where "events" is not given. */
static void test_events_follow_the_filters(void **state)
{
    (void)state;
    static const struct {
        const char *members;
        unsigned kinds;
    } rows[] = {
        {"\"name\":\"x\"", 1u << GIT_KIND_PUSH},
        {"\"branches\":[\"main\"]", 1u << GIT_KIND_PUSH},
        {"\"tags\":[\"v*\"]", 1u << GIT_KIND_TAG},
        {"\"tags_ignore\":[\"v*\"]", 1u << GIT_KIND_TAG},
        {"\"tags\":[\"v*\"],\"branches\":[\"main\"]", 1u << GIT_KIND_TAG | 1u << GIT_KIND_PUSH},
        {"\"forge\":\"standard-webhooks\"", 1u << GIT_KIND_GENERIC},
        {"\"events\":[\"release\"],\"tags\":[\"v*\"]", 1u << GIT_KIND_RELEASE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        CLEANUP(cleanup_free)
        char *text = xasprintf("{\"pipeline_id\":\"p\",%s}", rows[i].members);
        json_t *record = record_of(text, NULL, &err);
        struct git_trigger *t = record != NULL ? git_trigger_load(record, &err) : NULL;
        if (t == NULL || t->kinds != rows[i].kinds) {
            fail_msg("%s: %s", rows[i].members, err.msg);
        }
        git_trigger_unref(t);
        json_decref(record);
    }
}

static void test_version_1_is_read(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    json_t *old = json_loads(
        "{\"v\":1,\"id\":\"11111111-2222-4333-8444-555555555555\",\"name\":\"n\",\"forge\":"
        "\"github\",\"secret\":\"old secret\",\"pipeline_id\":\"p\",\"enabled\":true,"
        "\"created_us\":7,\"branches\":[\"main\"],\"repository\":\"a/b\"}",
        0, NULL);
    struct git_trigger *t = git_trigger_load(old, &err);
    assert_non_null(t);
    assert_int_equal(t->source.forge, FORGE_GITHUB);
    assert_int_equal(t->source.secret_count, 1);
    assert_string_equal(t->source.secrets[0].text, "old secret");
    assert_int_equal(t->kinds, 1u << GIT_KIND_PUSH);
    assert_int_equal(t->deleted, GIT_WISH_NEVER);
    assert_int_equal(t->skip_ci, GIT_SKIP_HEAD);
    git_trigger_unref(t);
    json_t *shown = git_trigger_public(old);
    CLEANUP(cleanup_free) char *text = jtext(shown);
    assert_null(strstr(text, "old secret"));
    json_decref(shown);
    json_object_set_new(old, "v", json_integer(3));
    assert_null(git_trigger_load(old, &err));
    assert_int_equal(err.code, ERR_INTERNAL);
    json_decref(old);
}

static void test_change_and_rotate(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    json_t *first = record_of(
        "{\"pipeline_id\":\"p\",\"secret\":\"the first one\",\"branches\":[\"main\"]}", NULL, &err);
    json_t *second = record_of("{\"branches\":null,\"name\":\"n\"}", first, &err);
    assert_non_null(second);
    assert_null(json_object_get(second, "branches"));
    assert_string_equal(jget_str(second, "id", ""), jget_str(first, "id", "-"));
    assert_string_equal(git_trigger_secret(second), "the first one");
    assert_null(record_of("{\"pipeline_id\":null}", first, &err));

    json_t *third = git_trigger_rotated(second, NULL, 60 * INT64_C(1000000), &err);
    assert_non_null(third);
    assert_int_equal(strlen(git_trigger_secret(third)), 64);
    struct git_trigger *t = git_trigger_load(third, &err);
    assert_int_equal(t->source.secret_count, 2);
    assert_int_equal(t->source.secrets[0].expires_us, 0);
    assert_string_equal(t->source.secrets[1].text, "the first one");
    assert_true(t->source.secrets[1].expires_us > 0);
    git_trigger_unref(t);

    json_t *fourth = git_trigger_rotated(third, "the fourth one", 0, &err);
    assert_int_equal(json_array_size(json_object_get(fourth, "secrets")), 1);
    assert_string_equal(git_trigger_secret(fourth), "the fourth one");
    assert_null(git_trigger_rotated(third, "short", 0, &err));
    json_decref(first);
    json_decref(second);
    json_decref(third);
    json_decref(fourth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_refuses),
        cmocka_unit_test(test_bodies_refused),
        cmocka_unit_test(test_events_follow_the_filters),
        cmocka_unit_test(test_version_1_is_read),
        cmocka_unit_test(test_change_and_rotate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
