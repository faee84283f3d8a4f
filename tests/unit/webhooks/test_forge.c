/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dialects, by the tables in tests/data/forges/: each case is a message and what it means, as
 * a subset of what is read (objects may say less, lists not).
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "tests/support/hook_json.h"

/* Every member of `want` is in `got`, alike. */
static bool is_within(const json_t *want, const json_t *got)
{
    const char *key;
    const json_t *value;
    size_t i;
    if (!json_is_object(want) && !json_is_array(want)) {
        return json_equal(want, got);
    }
    if (json_typeof(want) != json_typeof(got) ||
        (json_is_array(want) && json_array_size(want) != json_array_size(got))) {
        return false;
    }
    json_object_foreach((json_t *)want, key, value)
    {
        const json_t *other = json_object_get(got, key);
        if (other == NULL || !is_within(value, other)) {
            return false;
        }
    }
    json_array_foreach((json_t *)want, i, value)
    {
        if (!is_within(value, json_array_get(got, i))) {
            return false;
        }
    }
    return true;
}

static json_t *read_table(const char *path)
{
    struct err err = ERR_INIT;
    size_t len = 0;
    CLEANUP(cleanup_free) char *text = file_read(path, 1 << 20, &len, &err);
    json_t *table = text != NULL ? jread_text(text, len, path, &err) : NULL;
    if (table == NULL) {
        fail_msg("%s", err.msg);
    }
    return table;
}

static void for_each_table(
    void (*fn)(const char *name, const json_t *table, size_t *count), size_t *count)
{
    DIR *dir = opendir(TEST_DATA "/forges");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (str_ends(e->d_name, ".json")) {
            CLEANUP(cleanup_free) char *path = xasprintf(TEST_DATA "/forges/%s", e->d_name);
            json_t *table CLEANUP(json_decrefp) = read_table(path);
            fn(e->d_name, table, count);
        }
    }
    closedir(dir);
}

/* The case with what it takes from its base: headers and body, changed by "set" and "without". */
static json_t *complete(const json_t *table, const json_t *one)
{
    json_t *out = json_deep_copy(one);
    const json_t *base = json_object_get(json_object_get(table, "bases"), jget_str(one, "of", ""));
    if (base == NULL) {
        return out;
    }
    json_t *headers = json_copy(json_object_get(base, "headers"));
    json_t *body = json_deep_copy(json_object_get(base, "body"));
    const json_t *key;
    size_t i;
    json_object_update(headers, json_object_get(one, "headers"));
    json_object_set_new(out, "headers", headers);
    json_object_update_recursive(body, json_object_get(one, "set"));
    json_array_foreach(json_object_get(one, "without"), i, key)
    {
        json_object_del(body, json_string_value(key));
    }
    json_object_set_new(out, "body", body);
    if (json_object_get(one, "source") == NULL) {
        json_object_set(out, "source", json_object_get(table, "source"));
    }
    return out;
}

static bool check_case(const char *file, const json_t *one)
{
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct err err = ERR_INIT;
    struct hook_message message = {0};
    const struct http_request *req = hook_request(pool, one);
    const struct hook_source *source = hook_source(pool, json_object_get(one, "source"));
    const char *name = jget_str(one, "name", "?"), *wrong = jget_str(one, "error", NULL);
    if (hook_read(req, source, &message, &err) != 0) {
        assert_int_equal(err.code, ERR_INVALID);
        if (wrong == NULL || strstr(err.msg, wrong) == NULL) {
            print_error("%s: %s: %s\n", file, name, err.msg);
            return false;
        }
        return true;
    }
    json_t *got CLEANUP(json_decrefp) = hook_message_json(&message);
    const json_t *expect = json_object_get(one, "expect");
    if (wrong != NULL || expect == NULL || !is_within(expect, got)) {
        char *text CLEANUP(cleanup_free) = json_dumps(got, JSON_INDENT(1) | JSON_SORT_KEYS);
        print_error("%s: %s: got %s\n", file, name, text);
        return false;
    }
    for (size_t i = 0; i < message.push_count; i++) {
        assert_int_equal(strlen(message.pushes[i].key), SHA256_HEX_LEN);
        assert_ptr_equal(message.pushes[i].payload, message.payload);
    }
    return true;
}

static void check_cases(const char *name, const json_t *table, size_t *count)
{
    size_t i, failed = 0;
    const json_t *one;
    json_array_foreach(json_object_get(table, "cases"), i, one)
    {
        json_t *whole CLEANUP(json_decrefp) = complete(table, one);
        failed += !check_case(name, whole);
        ++*count;
    }
    assert_int_equal(failed, 0);
}

static void test_tables(void **state)
{
    (void)state;
    size_t cases = 0;
    for_each_table(check_cases, &cases);
    assert_true(cases > 150);
}

/* ---- every member, of every kind ---- */

static void read_somehow(const char *name, const json_t *whole)
{
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct err err = ERR_INIT;
    struct hook_message message = {0};
    const struct http_request *req = hook_request(pool, whole);
    const struct hook_source *source = hook_source(pool, json_object_get(whole, "source"));
    if (hook_read(req, source, &message, &err) != 0) {
        if (err.code != ERR_INVALID || err.msg[0] == '\0') {
            fail_msg("%s: %d %s", name, err.code, err.msg);
        }
        return;
    }
    json_t *got = hook_message_json(&message); /* walks all there is */
    assert_non_null(got);
    json_decref(got);
}

/* Put something of each kind in the place of each value below `at`. */
static void twist(const char *name, const json_t *whole, json_t *at, size_t *count)
{
    static const char *const others[] = {"null", "-1", "\"x\"", "[null]", "{\"x\":1}", "true"};
    const char *key;
    json_t *value;
    size_t i;
    for (size_t k = 0; k < ARRAY_LEN(others); k++) {
        json_t *other CLEANUP(json_decrefp) = json_loads(others[k], JSON_DECODE_ANY, NULL);
        /* A copy: the object must not change while it is walked. */
        json_t *walk CLEANUP(json_decrefp) = json_copy(at);
        json_object_foreach(walk, key, value)
        {
            json_object_set(at, key, other);
            read_somehow(name, whole);
            json_object_set(at, key, value);
            ++*count;
        }
        json_array_foreach(walk, i, value)
        {
            json_array_set(at, i, other);
            read_somehow(name, whole);
            json_array_set(at, i, value);
            ++*count;
        }
    }
    json_object_foreach(at, key, value)
    {
        twist(name, whole, value, count);
    }
    json_array_foreach(at, i, value)
    {
        twist(name, whole, value, count);
    }
}

static void twist_bases(const char *name, const json_t *table, size_t *count)
{
    const char *key;
    json_t *base;
    json_object_foreach(json_object_get(table, "bases"), key, base)
    {
        json_t *whole CLEANUP(json_decrefp) = json_deep_copy(base);
        json_object_set(whole, "source", json_object_get(table, "source"));
        twist(name, whole, json_object_get(whole, "body"), count);
    }
}

static void test_every_member_of_every_kind(void **state)
{
    (void)state;
    size_t count = 0;
    for_each_table(twist_bases, &count);
    assert_true(count > 2000);
}

/* ---- limits ---- */

static int read_text(const char *body, struct hook_message *out, struct pool *pool, struct err *err)
{
    json_t *one CLEANUP(json_decrefp) = json_pack("{s:{s:s,s:s},s:s}", "headers", "X-Event-Key",
        "repo:push", "X-Request-UUID", "r", "body", body);
    json_t *source CLEANUP(json_decrefp) = json_pack("{s:s}", "forge", "bitbucket");
    memset(out, 0, sizeof *out);
    return hook_read(hook_request(pool, one), hook_source(pool, source), out, err);
}

static void test_many_refs(void **state)
{
    (void)state;
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct err err = ERR_INIT;
    struct hook_message message;
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_adds(&body, "{\"repository\":{\"full_name\":\"a/b\"},\"push\":{\"changes\":[");
    for (int i = 0; i < HOOK_REFS_MAX + 7; i++) {
        buf_addf(&body,
            "%s{\"old\":null,\"new\":{\"type\":\"branch\",\"name\":\"b%d\",\"target\":"
            "{\"hash\":\"%040d\"}}}",
            i > 0 ? "," : "", i, i + 1);
    }
    buf_adds(&body, "]}}");
    assert_int_equal(read_text(buf_str(&body), &message, pool, &err), 0);
    assert_int_equal(message.push_count, HOOK_REFS_MAX);
    assert_int_equal(message.refs_dropped, 7);
    assert_string_equal(message.pushes[HOOK_REFS_MAX - 1].delivery, "r#100");
    buf_done(&body);
}

static void test_deep(void **state)
{
    (void)state;
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct err err = ERR_INIT;
    struct hook_message message;
    CLEANUP(cleanup_free) char *body = xmalloc(200002);
    memset(body, '[', 200000);
    body[200000] = '\0';
    assert_int_equal(read_text(body, &message, pool, &err), -1);
    assert_non_null(strstr(err.msg, "deeper"));
    memset(body, ',', 200000);
    for (int i = 0; i < 60; i++) {
        body[i] = '[';
    }
    assert_int_equal(read_text(body, &message, pool, &err), -1);
}

static void test_many_files(void **state)
{
    (void)state;
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    struct err err = ERR_INIT;
    struct hook_message message = {0};
    struct buf body;
    buf_init(&body, 4 << 20);
    buf_adds(&body,
        "{\"ref\":\"refs/heads/a\",\"before\":\"0000000000000000000000000000000000000001\","
        "\"after\":\"0000000000000000000000000000000000000002\",\"repository\":{\"full_name\":"
        "\"a/b\"},\"commits\":[{\"added\":[");
    for (int i = 0; i < 20100; i++) {
        buf_addf(&body, "%s\"f%d\"", i > 0 ? "," : "", i);
    }
    buf_adds(&body, "]}]}");
    json_t *one CLEANUP(json_decrefp) = json_pack("{s:{s:s,s:s},s:s}", "headers", "X-GitHub-Event",
        "push", "X-GitHub-Delivery", "d", "body", buf_str(&body));
    struct hook_source source = {.forge = FORGE_GITHUB};
    assert_int_equal(hook_read(hook_request(pool, one), &source, &message, &err), 0);
    assert_int_equal(message.pushes[0].files_known, GIT_FILES_PARTIAL);
    assert_int_equal(message.pushes[0].added.count, 20000);
    buf_done(&body);
}

/* ---- known answers ---- */

static void test_known_answers(void **state)
{
    (void)state;
    static const char id[] = "msg_p5jXN8AQM9LWM0D4loKWxJek", body[] = "{\"test\": 2432232314}";
    static const struct {
        enum forge forge;
        const char *secret, *header, *value, *id, *body;
    } rows[] = {
        {FORGE_GITHUB, "It's a Secret to Everybody", "X-Hub-Signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", NULL,
            "Hello, World!"},
        /* RFC 4231, case 2 */
        {FORGE_GITEA, "Jefe", "X-Gitea-Signature",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", NULL,
            "what do ya want for nothing?"},
        {FORGE_STANDARD_WEBHOOKS, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "webhook-signature",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", id, body},
        {FORGE_STANDARD_WEBHOOKS,
            "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", "webhook-signature",
            "v1,AAAA "
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8E"
            "M+m7TBAg==",
            id, body},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct err err = ERR_INIT;
        struct hook_verified verified;
        struct hook_source source = {
            .forge = rows[i].forge, .secrets = {{.text = rows[i].secret}}, .secret_count = 1};
        json_t *one CLEANUP(json_decrefp) = json_pack(
            "{s:{s:s},s:s}", "headers", rows[i].header, rows[i].value, "body", rows[i].body);
        struct http_request *req = hook_request(pool, one);
        if (rows[i].id != NULL) {
            http_fields_add(pool, &req->headers, "webhook-id", rows[i].id);
            http_fields_add(pool, &req->headers, "webhook-timestamp", "1614265330");
        }
        if (hook_verify(req, &source, INT64_C(1614265330) * 1000000, &verified, &err) != 0) {
            fail_msg("%zu: %s", i, err.msg);
        }
        assert_string_equal(verified.by, rows[i].header);
        req->body = "changed";
        req->body_len = strlen(req->body);
        assert_int_equal(
            hook_verify(req, &source, INT64_C(1614265330) * 1000000, &verified, &err), -1);
        assert_int_equal(err.code, ERR_UNAUTHENTICATED);
    }
}

static void test_sources(void **state)
{
    (void)state;
    static const struct {
        const char *source, *error; /* NULL: it may be right */
    } rows[] = {
        {"{\"forge\":\"github\",\"secrets\":[\"a text\"]}", NULL},
        {"{\"forge\":\"github\",\"secrets\":[\"whsec_anything\"]}", NULL},
        {"{\"forge\":\"github\",\"secrets\":[\"whpk_"
         "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=\"]}",
            "is no secret"},
        {"{\"forge\":\"gitlab\",\"secrets\":[\"a token\"]}", NULL},
        {"{\"forge\":\"gitlab\",\"secrets\":[\"whsec_short\"]}", "base64"},
        {"{\"forge\":\"standard-webhooks\",\"secrets\":[\"a text\"]}", "whsec_"},
        {"{\"forge\":\"standard-webhooks\",\"secrets\":[\"whsec_"
         "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]}",
            NULL},
        {"{\"forge\":\"standard-webhooks\",\"secrets\":[\"whpk_"
         "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=\"]}",
            NULL},
        {"{\"forge\":\"hmac\",\"scheme\":\"standard\",\"secrets\":[\"a text\"]}", "whsec_"},
        {"{\"forge\":\"cloudevents\",\"secrets\":[\"a token\"]}", NULL},
        {"{\"forge\":\"hmac\",\"header\":\"X Signature\"}", "verification.header"},
        {"{\"forge\":\"hmac\",\"header\":\"\"}", "verification.header"},
        {"{\"forge\":\"hmac\",\"id_header\":\"a:b\"}", "verification.id_header"},
        {"{\"forge\":\"azure-devops\",\"scheme\":\"token\"}", "verification.header"},
        {"{\"forge\":\"basic\",\"username\":\"a:b\"}", "verification.username"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(pool_freep) struct pool *pool = pool_new();
        struct err err = ERR_INIT;
        json_t *from CLEANUP(json_decrefp) = json_loads(rows[i].source, 0, NULL);
        int rc = hook_source_check(hook_source(pool, from), &err);
        if ((rc == 0) != (rows[i].error == NULL) ||
            (rc != 0 && (err.code != ERR_INVALID || strstr(err.msg, rows[i].error) == NULL))) {
            fail_msg("%s: %s", rows[i].source, err.msg);
        }
    }
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < FORGE_COUNT; i++) {
        enum forge forge = FORGE_COUNT;
        assert_true(forge_from_name(forge_name((enum forge)i), &forge));
        assert_int_equal(forge, i);
        assert_non_null(strstr(forge_names(), forge_name((enum forge)i)));
    }
    enum forge other;
    assert_false(forge_from_name("svn", &other));
}

static void test_key(void **state)
{
    (void)state;
    CLEANUP(pool_freep) struct pool *pool = pool_new();
    const char *key = git_push_key(pool, "Acme/Model", "refs/heads/A", "1", "2");
    assert_string_equal(key, git_push_key(pool, "acme/model", "refs/heads/A", "1", "2"));
    assert_string_not_equal(key, git_push_key(pool, "acme/model", "refs/heads/a", "1", "2"));
    assert_string_not_equal(key, git_push_key(pool, "acme/model", "refs/heads/A", "1", "3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_every_member_of_every_kind),
        cmocka_unit_test(test_many_refs),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
