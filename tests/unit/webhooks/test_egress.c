/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses may be connected to, and which URLs may be given. Special addresses themselves:
 * tests/unit/base/test_ip.c. */
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

static struct egress *make(const char *allow, const char *deny, const char *ports)
{
    struct err err = ERR_INIT;
    struct egress *egress =
        egress_new(&(struct egress_settings){.allow = allow, .deny = deny, .ports = ports}, &err);
    if (egress == NULL) {
        fail_msg("%s", err.msg);
    }
    return egress;
}

static struct err check(
    const struct egress *egress, const char *host, const char *address, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct err err = ERR_INIT;
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4) {
        assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    }
    int rc = egress_check_address(
        egress, host, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, &err);
    assert_int_equal(rc, err.code == ERR_NONE ? 0 : -1);
    assert_true(err.code == ERR_NONE || err.code == ERR_DENIED);
    return err;
}

struct address_row {
    const char *host, *address;
    uint16_t port;
    bool allowed;
};

static void check_rows(const struct egress *egress, const struct address_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct err err = check(egress, rows[i].host, rows[i].address, rows[i].port);
        if ((err.code == ERR_NONE) != rows[i].allowed) {
            fail_msg("%s %s %d: %s", rows[i].host, rows[i].address, rows[i].port,
                err.code == ERR_NONE ? "allowed" : err.msg);
        }
    }
}

static void only_public_addresses_by_default(void **state)
{
    (void)state;
    static const struct address_row rows[] = {
        {"a.example", "8.8.8.8", 443, true},
        {"a.example", "::ffff:8.8.8.8", 443, true},
        {"a.example", "2606:4700::1111", 443, true},
        {"a.example", "127.0.0.1", 443, false},
        {"a.example", "::ffff:127.0.0.1", 443, false},
        {"a.example", "10.0.0.1", 443, false},
        {"a.example", "169.254.169.254", 80, false},
        {"a.example", "168.63.129.16", 80, false}, /* public, and Azure's metadata */
        {"a.example", "64:ff9b::808:808", 443, false},
        {"a.example", "2002:808:808::1", 443, false},
        /* ISATAP below a public prefix */
        {"a.example", "2606:4700::5efe:a00:1", 443, false},
        {"a.example", "2606:4700::5efe:808:808", 443, true},
        {"metadata.google.internal", "8.8.8.8", 443, false},
    };
    struct egress *egress = make("", NULL, NULL);
    check_rows(egress, rows, ARRAY_LEN(rows));
    egress_free(egress);
}

static void the_allow_list_adds(void **state)
{
    (void)state;
    static const struct address_row rows[] = {
        {"x", "127.0.0.1", 8080, true},
        {"x", "127.0.0.2", 8080, false},
        {"x", "10.1.255.255", 80, true},
        {"x", "10.2.0.0", 80, false},
        {"x", "fd12::1", 80, true},
        {"x", "fc12::1", 80, false},
        {"hooks.internal", "10.9.9.9", 80, true},
        {"internal", "10.9.9.9", 80, false},
        {"x.hooks.internal", "10.9.9.9", 80, false},
        {"a.svc.example", "10.9.9.9", 80, true},
        {"a.b.svc.example", "10.9.9.9", 80, true},
        {"svc.example", "10.9.9.9", 80, false},
        {"asvc.example", "10.9.9.9", 80, false},
        {"x", "192.168.0.7", 8443, true},
        {"x", "192.168.0.7", 443, false},
        {"ported", "10.9.9.9", 8443, true},
        {"ported", "10.9.9.9", 8444, false},
        {"x", "fe80::1", 22, true}, /* a port that is bad otherwise */
        {"x", "fe80::1", 23, false},
        /* NAT64 was allowed: then the IPv4 address behind it is judged */
        {"x", "64:ff9b::808:808", 443, true},
        {"x", "64:ff9b::7f00:2", 443, false},
        {"x", "64:ff9b::a01:1", 443, true},
        {"x", "64:ff9b::a9fe:a9fe", 80, false},
    };
    struct egress *egress = make("127.0.0.1, 10.1.0.0/16,Hooks.Internal.,fd00::/8 ,*.SVC.example,"
                                 "192.168.0.0/16:8443,ported:8443,[fe80::/10]:22,64:ff9b::/96",
        NULL, NULL);
    check_rows(egress, rows, ARRAY_LEN(rows));
    egress_free(egress);
}

static void the_deny_list_wins(void **state)
{
    (void)state;
    static const struct address_row rows[] = {
        {"x", "10.0.0.1", 80, true},
        {"x", "10.66.0.1", 80, false},
        {"x", "8.8.8.8", 443, false},
        {"x", "::ffff:8.8.8.8", 443, false},
        {"x", "2606:4700::5efe:808:808", 443, false},
        {"x", "8.8.4.4", 443, true},
        {"x", "8.8.4.4", 8081, true},
        {"x", "9.9.9.9", 8081, false},
        {"db.internal", "10.0.0.1", 80, false},
        {"evil.example", "8.8.4.4", 443, false},
        {"good.example", "8.8.4.4", 443, true},
        {"named.example", "10.66.0.1", 80, false},
    };
    struct egress *egress = make("10.0.0.0/8,db.internal,named.example,evil.example",
        "10.66.0.0/16,8.8.8.8,*.internal,evil.example,9.9.9.9:8081", NULL);
    check_rows(egress, rows, ARRAY_LEN(rows));
    egress_free(egress);
}

static void metadata_must_be_named(void **state)
{
    (void)state;
    static const struct address_row wide[] = {
        {"x", "169.254.169.253", 80, true},
        {"x", "169.254.169.254", 80, false},
        {"x", "::ffff:169.254.169.254", 80, false},
        {"x", "100.100.100.200", 80, false},
        {"x", "fd00:ec2::254", 80, false},
        {"x", "fd00:ec2::253", 80, true},
        {"hooks.example", "169.254.169.254", 80, false}, /* allowed, and pointed there */
        {"metadata.google.internal", "10.0.0.1", 80, false},
        {"metadata.goog", "8.8.8.8", 80, false},
    };
    struct egress *egress =
        make("0.0.0.0/0,::/0,hooks.example,*.internal,*.google.internal", NULL, NULL);
    check_rows(egress, wide, ARRAY_LEN(wide));
    egress_free(egress);

    static const struct address_row named[] = {
        {"x", "169.254.169.254", 80, true},
        {"x", "169.254.170.2", 80, false},
        {"metadata.goog", "169.254.170.2", 80, true},
    };
    egress = make("169.254.169.254/32,metadata.goog", NULL, NULL);
    check_rows(egress, named, ARRAY_LEN(named));
    egress_free(egress);
}

static void we_do_not_call_ourselves(void **state)
{
    (void)state;
    static const struct address_row one[] = {
        {"x", "127.0.0.1", 8888, false},
        {"x", "127.0.0.1", 8889, true},
        {"x", "0.0.0.0", 8888, false},
    };
    struct egress *egress = make("127.0.0.1,0.0.0.0/0,::/0", NULL, NULL);
    egress_set_listener(egress, "127.0.0.1", 8888);
    check_rows(egress, one, ARRAY_LEN(one));
    static const struct address_row any[] = {
        {"x", "127.0.0.1", 8888, false}, /* of some interface */
        {"x", "127.0.0.9", 8888, false},
        {"x", "::1", 8888, false},
        {"x", "8.8.8.8", 8888, true},
    };
    egress_set_listener(egress, "0.0.0.0", 8888);
    check_rows(egress, any, ARRAY_LEN(any));
    egress_free(egress);

    static const struct address_row named[] = {{"x", "127.0.0.1", 8888, true}};
    egress = make("127.0.0.1:8888", NULL, NULL);
    egress_set_listener(egress, "localhost", 8888);
    check_rows(egress, named, ARRAY_LEN(named));
    egress_free(egress);
}

static void ports_of_other_protocols_are_refused(void **state)
{
    (void)state;
    static const struct address_row bad[] = {{"x", "8.8.8.8", 25, false},
        {"x", "8.8.8.8", 22, false}, {"x", "8.8.8.8", 6379, false}, {"x", "8.8.8.8", 80, true},
        {"x", "8.8.8.8", 9000, true}};
    struct egress *egress = make("", NULL, NULL);
    check_rows(egress, bad, ARRAY_LEN(bad));
    egress_free(egress);

    static const struct address_row only[] = {{"x", "8.8.8.8", 443, true},
        {"x", "8.8.8.8", 80, false}, {"x", "8.8.8.8", 7999, false}, {"x", "8.8.8.8", 8000, true},
        {"x", "8.8.8.8", 8999, true}, {"x", "8.8.8.8", 9000, false}, {"x", "8.8.8.8", 25, true},
        {"x", "8.8.4.4", 9000, true}, {"y", "10.0.0.1", 80, false}};
    egress = make("8.8.4.4:9000,y", NULL, "443, 8000-8999,25");
    check_rows(egress, only, ARRAY_LEN(only));
    egress_free(egress);
}

static void wrong_settings_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *deny, *ports, *text;
    } rows[] = {
        {"10.0.0.0/33", NULL, NULL, "webhook-allow: '10.0.0.0/33'"},
        {"10.0.0/8", NULL, NULL, "webhook-allow: '10.0.0/8'"},
        {"fd00::/129", NULL, NULL, "webhook-allow:"},
        {"/8", NULL, NULL, "webhook-allow:"},
        {"ok.example,10.1.2.3/8", NULL, NULL, "10.1.2.3/8"},
        {"*", NULL, NULL, "wildcard"},
        {"a.*.example", NULL, NULL, "wildcard"},
        {"a b", NULL, NULL, "neither a host"},
        {"host:0", NULL, NULL, "from 1 to 65535"},
        {"host:65536", NULL, NULL, "from 1 to 65535"},
        {"[::1", NULL, NULL, "brackets"},
        {"[::1]x", NULL, NULL, "brackets"},
        {"https://x.example", NULL, NULL, "webhook-allow:"},
        {NULL, "999.1.1.1/8", NULL, "webhook-deny:"},
        {NULL, NULL, "443,0", "webhook-ports: '0'"},
        {NULL, NULL, "10-5", "webhook-ports: '10-5'"},
        {NULL, NULL, "http", "webhook-ports: 'http'"},
        {NULL, NULL, "1-", "webhook-ports: '1-'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct egress_settings settings = {
            .allow = rows[i].allow, .deny = rows[i].deny, .ports = rows[i].ports};
        struct egress *egress = egress_new(&settings, &err);
        if (egress != NULL || err.code != ERR_INVALID || strstr(err.msg, rows[i].text) == NULL) {
            fail_msg("row %zu: '%s'", i, egress != NULL ? "taken" : err.msg);
        }
    }
}

static void urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *text; /* host NULL: refused, with that in the message */
    } rows[] = {
        {"https://Example.com/hook?x=1", "example.com", NULL},
        {"https://example.com./hook", "example.com", NULL},
        {"http://127.0.0.1:8080/", "127.0.0.1", NULL},
        {"http://2130706433/", "127.0.0.1", NULL},
        {"http://0x7f.1/", "127.0.0.1", NULL},
        {"https://[::1]:8443/x", "::1", NULL},
        {"https://my_host.example/a%20b#c", "my_host.example", NULL},
        {"https://xn--bcher-kva.example/", "xn--bcher-kva.example", NULL},
        {"https://b\xc3\xbc"
         "cher.example/",
            NULL, "xn--"},
        {"http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.\xe2\x93\xaa.\xe2\x93\xaa.\xe2\x91\xa0/",
            NULL, "xn--"},
        {"ftp://example.com/", NULL, "only http and https"},
        {"file:///etc/passwd", NULL, "not an address like"},
        {"gopher://example.com/", NULL, "only http and https"},
        {"https://user:secret@example.com/", NULL, "password"},
        {"https://user@example.com/", NULL, "password"},
        {"https://@example.com/", NULL, "password"},
        {"https://a@b@example.com/", NULL, "password"},
        {"example.com/hook", NULL, "not an address like"},
        {"//example.com/hook", NULL, "not an address like"},
        {"https:/example.com/hook", NULL, "not an address like"},
        {"https://", NULL, "not an address like"},
        {"https:///hook", NULL, "not an address like"},
        {"https://?x", NULL, "not an address like"},
        {"https://:443/", NULL, "url:"},
        {"", NULL, "not an address like"},
        {"https://exa mple.com/", NULL, "blank"},
        {" https://example.com/", NULL, "blank"},
        {"https://example.com/a\tb", NULL, "control character"},
        {"https://example.com/\r\nX: y", NULL, "control character"},
        {"https://example.com\\@127.0.0.1/", NULL, "backslash"},
        {"https://example.com/a\\b", NULL, "backslash"},
        {"https://%31%32%37.0.0.1/", NULL, "%"},
        {"https://exam%70le.com/", NULL, "%"},
        {"https://[fe80::1%25lo]/", NULL, "zone"},
        {"https://[::1/", NULL, "url:"},
        {"https://[not:an:address]/", NULL, "url:"},
        {"https://example.com:0/", NULL, "url:"},
        {"https://example.com:65536/", NULL, "url:"},
        {"https://example.com:x/", NULL, "url:"},
        {"https://a..b/", NULL, "not a host name"},
        {"https://-a.example/", NULL, "not a host name"},
        {"https://a-.example/", NULL, "not a host name"},
        {"https://./", NULL, "url:"},
        {"https://127.0.0.1./", NULL, "four decimal numbers"},
        {"https://1.2.3.4.5/", NULL, "four decimal numbers"},
        {"https://example.0x7f/", NULL, "four decimal numbers"},
        {"https://256.256.256.256/", NULL, "four decimal numbers"},
        {"https://a*b.example/", NULL, "url:"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        CLEANUP(cleanup_free) char *host = NULL;
        int rc = egress_url_host(rows[i].url, &host, &err);
        if (!str_eq(host, rows[i].host) || (rc == 0) != (rows[i].host != NULL) ||
            (rc != 0 && (err.code != ERR_INVALID || !str_starts(err.msg, "url: ") ||
                            strstr(err.msg, rows[i].text) == NULL))) {
            fail_msg("'%s': %s '%s'", rows[i].url, host != NULL ? host : "", err.msg);
        }
    }
    CLEANUP(cleanup_free) char *long_url = xasprintf("https://example.com/%02048d", 0);
    CLEANUP(cleanup_free) char *long_label = xasprintf("https://%064d.example/", 0);
    CLEANUP(cleanup_free) char *host = NULL;
    assert_int_equal(egress_url_host(long_url, &host, NULL), -1);
    assert_int_equal(egress_url_host(long_label, &host, NULL), -1);
}

static void urls_are_judged(void **state)
{
    (void)state;
    static const struct {
        const char *url, *text; /* NULL: fine */
    } rows[] = {
        {"https://example.com/", NULL},
        {"https://8.8.8.8/", NULL},
        {"http://10.1.2.3/",
            "url: 10.1.2.3 is not a public address (private, 10.0.0.0/8); to allow "
            "it start rondod with --webhook-allow 10.1.2.3"},
        {"http://2130706433/", "url: 127.0.0.1 is not a public address (loopback"},
        {"http://[::ffff:7f00:1]/", "url: 127.0.0.1 is not"},
        {"http://[::1]/", "url: ::1 is not"},
        {"http://127.0.0.7/", NULL},
        {"http://hooks.internal/", NULL},
        {"http://METADATA.google.internal/x", "metadata service"},
        {"http://metadata.google.internal./x", "metadata service"},
        {"http://169.254.169.254/latest", "metadata service"},
        {"https://bad.example/", "denied by --webhook-deny"},
        {"https://a.bad.example/", NULL},
        {"https://example.com:25/", "url: port 25"},
    };
    struct egress *egress = make("127.0.0.7,hooks.internal", "bad.example", NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        int rc = egress_check_url(egress, rows[i].url, &err);
        if ((rc == 0) != (rows[i].text == NULL) ||
            (rc != 0 && (err.code != ERR_INVALID || strstr(err.msg, rows[i].text) == NULL))) {
            fail_msg("%s: '%s'", rows[i].url, err.msg);
        }
    }
    egress_free(egress);
    struct err err = ERR_INIT;
    egress = egress_new(&(struct egress_settings){.https_only = true}, &err);
    assert_int_equal(egress_check_url(egress, "https://example.com/", &err), 0);
    assert_int_equal(egress_check_url(egress, "http://example.com/", &err), -1);
    assert_non_null(strstr(err.msg, "--webhook-https-only"));
    egress_free(egress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_public_addresses_by_default),
        cmocka_unit_test(the_allow_list_adds),
        cmocka_unit_test(the_deny_list_wins),
        cmocka_unit_test(metadata_must_be_named),
        cmocka_unit_test(we_do_not_call_ourselves),
        cmocka_unit_test(ports_of_other_protocols_are_refused),
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(urls_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
