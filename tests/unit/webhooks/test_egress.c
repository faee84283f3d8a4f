/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses may be connected to, and which URLs may be subscribed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/util.h"
#include "webhooks/egress.h"

static bool allows(const struct egress *egress, const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        return egress_allows_address(egress, (struct sockaddr *)&v4);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return egress_allows_address(egress, (struct sockaddr *)&v6);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *addr;
        bool allowed;
    } rows[] = {
        {"8.8.8.8", true},
        {"1.1.1.1", true},
        {"2606:4700::1111", true},
        {"0.0.0.0", false},
        {"0.1.2.3", false},
        {"10.0.0.1", false},
        {"11.0.0.0", true},
        {"100.63.255.255", true},
        {"100.64.0.1", false},
        {"100.127.255.255", false},
        {"100.128.0.0", true},
        {"127.0.0.1", false},
        {"127.255.255.255", false},
        {"169.254.169.254", false},
        {"172.15.255.255", true},
        {"172.16.0.1", false},
        {"172.31.255.255", false},
        {"172.32.0.0", true},
        {"192.168.1.1", false},
        {"192.0.2.5", false},
        {"198.18.0.1", false},
        {"198.20.0.1", true},
        {"224.0.0.1", false},
        {"255.255.255.255", false},
        {"::", false},
        {"::1", false},
        {"::ffff:127.0.0.1", false},
        {"::ffff:10.1.1.1", false},
        {"::ffff:8.8.8.8", true},
        {"::127.0.0.1", false},
        {"64:ff9b::7f00:1", false},
        {"2002:7f00:1::", false},
        {"2001:0:1::1", false},
        {"2001:db8::1", false},
        {"fc00::1", false},
        {"fdff::1", false},
        {"fe80::1", false},
        {"febf::1", false},
        {"ff02::1", false},
        {"100::1", false},
        {"3fff::1", false},
    };
    struct egress *egress = egress_new("", NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (allows(egress, rows[i].addr) != rows[i].allowed) {
            fail_msg("%s must be %s", rows[i].addr, rows[i].allowed ? "allowed" : "refused");
        }
    }
    egress_free(egress);
}

static void test_allow_list(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct egress *egress = egress_new("127.0.0.1, 10.1.0.0/16,Hooks.Internal, fd00::/8", &err);
    assert_non_null(egress);
    assert_true(allows(egress, "127.0.0.1"));
    assert_false(allows(egress, "127.0.0.2"));
    assert_true(allows(egress, "10.1.255.255"));
    assert_false(allows(egress, "10.2.0.0"));
    assert_true(allows(egress, "fd12::1"));
    assert_false(allows(egress, "fc12::1"));
    assert_true(egress_allows_host(egress, "hooks.internal"));
    assert_false(egress_allows_host(egress, "internal"));
    assert_false(egress_allows_host(egress, "x.hooks.internal"));
    egress_free(egress);

    static const char *const bad[] = {"10.0.0.0/33", "10.0.0/8", "fd00::/129", "/8"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_null(egress_new(bad[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host; /* host NULL: refused */
    } rows[] = {
        {"https://Example.com/hook?x=1", "example.com"},
        {"http://127.0.0.1:8080/", "127.0.0.1"},
        {"https://[::1]:8443/x", "::1"},
        {"ftp://example.com/", NULL},
        {"file:///etc/passwd", NULL},
        {"https://user:secret@example.com/", NULL},
        {"https://user@example.com/", NULL},
        {"example.com/hook", NULL},
        {"https://", NULL},
        {"", NULL},
        {"https://exa mple.com/", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        CLEANUP(cleanup_free) char *host = NULL;
        int rc = egress_check_url(rows[i].url, &host, &err);
        if ((rc == 0) != (rows[i].host != NULL) || (rc == 0 && strcmp(host, rows[i].host) != 0)) {
            fail_msg("%s: got %d %s %s", rows[i].url, rc, host != NULL ? host : "-", err.msg);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_allow_list),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
