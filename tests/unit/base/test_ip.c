/* SPDX-License-Identifier: Apache-2.0 */
/* Special addresses against npm's ipaddr.js, embedded IPv4 addresses, ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/util.h"

static struct ip ip(const char *text)
{
    struct ip out;
    if (ip_parse(text, &out) != 0) {
        fail_msg("'%s' is not an address", text);
    }
    return out;
}

static bool is_in(const char *range_text, const struct ip *ip)
{
    struct ip_range range;
    assert_int_equal(ip_range_parse(range_text, &range), 0);
    return ip_range_has(&range, ip);
}

/* Where we refuse what ipaddr.js calls plain unicast, and why. */
static const char *known_difference(const struct ip *ip)
{
    if (ip_is_v4(ip) || is_in("2000::/3", ip)) {
        return NULL;
    }
    return "no addresses outside 2000::/3 are given out";
}

/* tests/node/addresses.mjs writes the file: address, tab, range(). */
static void verdicts_are_those_of_ipaddr_js(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free)
    char *text = file_read(TEST_DATA "/addresses.tsv", 1 << 20, NULL, &err);
    assert_non_null(text);
    int rows = 0, differences = 0;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL && line[0] != '\0') {
        char *range = strchr(line, '\t');
        assert_non_null(range);
        *range++ = '\0';
        struct ip one = ip(line);
        bool is_theirs = strcmp(range, "unicast") == 0, is_ours = ip_special(&one) == NULL;
        rows++;
        if (is_theirs && !is_ours && known_difference(&one) != NULL) {
            differences++;
        } else if (is_theirs != is_ours) {
            fail_msg("%s: ipaddr.js says %s, we say %s", line, range,
                is_ours ? "public" : ip_special(&one));
        }
    }
    assert_true(rows > 300);
    assert_in_range(differences, 1, 30);
}

static void special_addresses_say_what_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why; /* NULL: public */
    } rows[] = {
        {"8.8.8.8", NULL},
        {"2606:4700::1111", NULL},
        {"127.0.0.1", "loopback, 127.0.0.0/8"},
        {"::ffff:127.0.0.1", "loopback, 127.0.0.0/8"},
        {"255.255.255.255", "broadcast, 255.255.255.255"},
        {"254.0.0.1", "reserved, 240.0.0.0/4"},
        {"::", "unspecified, ::"},
        {"::1", "loopback, ::1"},
        {"::7f00:1", "IPv4-compatible, ::/96"},
        {"64:ff9b::808:808", "NAT64, 64:ff9b::/96"},
        {"2001::1", "Teredo, 2001::/32"},
        {"2001:1ff::1", "for protocols, 2001::/23"},
        {"4000::1", "reserved, outside 2000::/3"},
        {"fd00::1", "unique local, fc00::/7"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip one = ip(rows[i].text);
        const char *why = ip_special(&one);
        if (!str_eq(why, rows[i].why)) {
            fail_msg("%s: %s", rows[i].text, why != NULL ? why : "public");
        }
    }
}

static void embedded_addresses_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *text, *embedded; /* blank-separated */
    } rows[] = {
        {"127.0.0.1", ""},
        {"::ffff:127.0.0.1", ""},
        {"2606:4700::7f00:1", ""},
        {"::7f00:1", "127.0.0.1"},
        {"::ffff:0:7f00:1", "127.0.0.1"},
        {"64:ff9b::a9fe:a9fe", "169.254.169.254"},
        {"64:ff9b:1::a00:1", "10.0.0.1"},
        {"64:ff9b:1:a00:0:100::", "10.0.0.1"}, /* /48 */
        {"64:ff9b:1:7:a:0:100::", "10.0.0.1"}, /* /64 */
        {"2002:a00:1::5", "10.0.0.1"},
        {"2001:0:a00:1:0:0:80ff:fffe", "10.0.0.1 127.0.0.1"},
        {"2001:db8::5efe:a00:1", "10.0.0.1"},
        {"2001:db8::200:5efe:a00:1", "10.0.0.1"},
        {"2002:808:808::5efe:a00:1", "8.8.8.8 10.0.0.1"},
        {"2001:0:808:808:0:5efe:f5ff:fffe", "8.8.8.8 10.0.0.1 245.255.255.254"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip one = ip(rows[i].text), found[IP_EMBEDDED_MAX];
        size_t count = ip_embedded(&one, found);
        char text[3 * IP_TEXT_MAX] = "";
        for (size_t k = 0; k < count; k++) {
            char part[IP_TEXT_MAX];
            ip_format(&found[k], part);
            snprintf(
                text + strlen(text), sizeof text - strlen(text), "%s%s", k > 0 ? " " : "", part);
        }
        if (strcmp(text, rows[i].embedded) != 0) {
            fail_msg("%s: '%s'", rows[i].text, text);
        }
    }
}

static void ranges_are_read_strictly(void **state)
{
    (void)state;
    static const char *const good[] = {
        "10.0.0.0/8", "0.0.0.0/0", "1.2.3.4", "1.2.3.4/32", "::/0", "fd00::/8", "::1", "::1/128"};
    static const char *const bad[] = {"", "/8", "10.0.0.0/33", "10.0.0/8", "fd00::/129",
        "10.1.0.0/8", "fd00::1/8", "0x7f.0.0.1", "010.0.0.1", "1.2.3.4/", "1.2.3.4/-1",
        "1.2.3.4/08x", "fe80::1%lo", "host", "1.2.3.4 "};
    struct ip_range range;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        if (ip_range_parse(good[i], &range) != 0) {
            fail_msg("'%s' is a range", good[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (ip_range_parse(bad[i], &range) == 0) {
            fail_msg("'%s' is not a range", bad[i]);
        }
    }
    struct ip inside = ip("10.255.255.255"), outside = ip("11.0.0.0"), six = ip("fd00::1");
    assert_true(is_in("10.0.0.0/8", &inside));
    assert_false(is_in("10.0.0.0/8", &outside));
    assert_false(is_in("0.0.0.0/0", &six));
    assert_true(is_in("::/0", &six));
}

static void socket_addresses_are_understood(void **state)
{
    (void)state;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(8080)};
    struct sockaddr other = {.sa_family = AF_UNIX};
    struct ip got, wanted = ip("10.1.2.3");
    inet_pton(AF_INET, "10.1.2.3", &v4.sin_addr);
    inet_pton(AF_INET6, "::ffff:10.1.2.3", &v6.sin6_addr);
    assert_int_equal(ip_from_sockaddr((struct sockaddr *)&v4, &got), 0);
    assert_true(ip_eq(&got, &wanted));
    assert_int_equal(ip_sockaddr_port((struct sockaddr *)&v4), 80);
    assert_int_equal(ip_from_sockaddr((struct sockaddr *)&v6, &got), 0);
    assert_true(ip_eq(&got, &wanted));
    assert_int_equal(ip_sockaddr_port((struct sockaddr *)&v6), 8080);
    assert_int_equal(ip_from_sockaddr(&other, &got), -1);
    assert_int_equal(ip_sockaddr_port(&other), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_those_of_ipaddr_js),
        cmocka_unit_test(special_addresses_say_what_they_are),
        cmocka_unit_test(embedded_addresses_are_found),
        cmocka_unit_test(ranges_are_read_strictly),
        cmocka_unit_test(socket_addresses_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
