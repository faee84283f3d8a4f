/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask: host names, origins, tokens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/pool.h"
#include "base/util.h"

#include "api/api.h"
#include "api/guard.h"

static const char *const allowed[] = {"rondo.example.org", NULL};

static struct http_request request(
    struct pool *pool, const char *name, const char *value, const char *name2, const char *value2)
{
    struct http_request req = {.pool = pool};
    if (value != NULL) {
        http_fields_add(pool, &req.headers, name, value);
    }
    if (value2 != NULL) {
        http_fields_add(pool, &req.headers, name2, value2);
    }
    return req;
}

static void test_host(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool is_good;
    } rows[] = {
        {NULL, true},
        {"127.0.0.1", true},
        {"127.0.0.1:8888", true},
        {"10.1.2.3:80", true},
        {"[::1]:8888", true},
        {"[::1]", true},
        {"localhost", true},
        {"LocalHost:1", true},
        {"localhost.", true},
        {"scheduler.lan:8888", true},
        {"RONDO.example.org", true},
        {"rondo.example.org:443", true},
        {"public.example.com", true},
        {"public.example.com:9999", true},
        {"evil.example.com", false},
        {"127.0.0.1.evil.example.com", false},
        {"localhost.evil.example.com", false},
        {"xlocalhost", false},
        {"", false},
        {":80", false},
        {"[::1", false},
        {"[]", false},
        {"1.2.3", false},
    };
    struct api api = {.public_url = "https://public.example.com/rondo", .allow_hosts = allowed};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct err err = ERR_INIT;
        struct http_request req = request(pool, "Host", rows[i].host, NULL, NULL);
        bool is_good = guard_host(&api, "scheduler.lan:8888", &req, &err) == 0;
        if (is_good != rows[i].is_good) {
            fail_msg("Host '%s'", rows[i].host);
        }
        pool_free(pool);
    }
}

static void test_host_twice(void **state)
{
    (void)state;
    struct api api = {0};
    struct pool *pool = pool_new();
    struct http_request req = request(pool, "Host", "localhost", "host", "evil.example.com");
    assert_int_equal(guard_host(&api, "127.0.0.1:1", &req, NULL), -1);
    pool_free(pool);
}

static void test_origin(void **state)
{
    (void)state;
    static const struct {
        const char *host, *origin;
        bool is_good;
    } rows[] = {
        {"127.0.0.1:8888", NULL, true},
        {"127.0.0.1:8888", "http://127.0.0.1:8888", true},
        {"localhost:8888", "http://LOCALHOST:8888", true},
        {"127.0.0.1:8888", "http://127.0.0.1:9999", false},
        {"127.0.0.1:8888", "http://localhost:8888", false},
        {"127.0.0.1:8888", "null", false},
        {"127.0.0.1:8888", "", false},
        {"127.0.0.1:8888", "http://127.0.0.1:8888/x", false},
        {"127.0.0.1:8888", "https://evil.example.com", false},
        {"127.0.0.1:8888", "https://public.example.com", true},
        {"127.0.0.1:8888", "http://public.example.com", false},
        {"127.0.0.1:8888", "https://public.example.com.evil.org", false},
        {NULL, "http://127.0.0.1:8888", false},
    };
    struct api api = {.public_url = "https://public.example.com/rondo"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct http_request req = request(pool, "Host", rows[i].host, "Origin", rows[i].origin);
        if ((guard_origin(&api, &req, NULL) == 0) != rows[i].is_good) {
            fail_msg("Origin '%s' at '%s'", rows[i].origin, rows[i].host);
        }
        pool_free(pool);
    }
}

static void test_token(void **state)
{
    (void)state;
    /* SHA-256 of "secret" and of "other" */
    static const char *const tokens[] = {
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa", NULL};
    static const struct {
        const char *header;
        bool is_good;
    } rows[] = {
        {"Bearer secret", true},
        {"bearer secret", true},
        {"Bearer other", true},
        {"Bearer wrong", false},
        {"Bearer ", false},
        {"Bearer secret ", false},
        {"Basic secret", false},
        {"secret", false},
        {NULL, false},
        {"Bearer 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", false},
    };
    struct api api = {.tokens = tokens};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pool *pool = pool_new();
        struct err err = ERR_INIT;
        struct http_request req = request(pool, "authorization", rows[i].header, NULL, NULL);
        bool is_good = guard_token(&api, &req, &err) == 0;
        if (is_good != rows[i].is_good || (!is_good && err.code != ERR_UNAUTHENTICATED)) {
            fail_msg("'%s'", rows[i].header);
        }
        struct api open = {0};
        assert_int_equal(guard_token(&open, &req, &err), 0);
        pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_host_twice),
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
