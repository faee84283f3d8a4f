/* SPDX-License-Identifier: Apache-2.0 */
/* Egress rules: special-purpose address ranges (IANA registries for IPv4 and IPv6) and the
 * operator's allow list. */
#include "webhooks/egress.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/util.h"

#define URL_MAX 2048
#define ALLOW_MAX 256

/* An IPv6 range; IPv4 stands in it as ::ffff:a.b.c.d/96+n, so that there is one comparison. */
struct range {
    unsigned char addr[16];
    unsigned bits;
};

struct egress {
    struct range *ranges;
    size_t range_count;
    char **hosts;
    size_t host_count;
};

static const char *const refused[] = {
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
};

static int range_parse(const char *text, struct range *out)
{
    char addr[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (len >= sizeof addr) {
        return -1;
    }
    memcpy(addr, text, len);
    addr[len] = '\0';
    int64_t bits = -1;
    if (slash != NULL && parse_i64(slash + 1, 0, 128, "prefix", &bits, NULL) != 0) {
        return -1;
    }
    struct in_addr v4;
    if (inet_pton(AF_INET, addr, &v4) == 1) {
        if (bits > 32) {
            return -1;
        }
        static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
        memcpy(out->addr, mapped, sizeof mapped);
        memcpy(out->addr + 12, &v4, 4);
        out->bits = 96 + (bits < 0 ? 32 : (unsigned)bits);
        return 0;
    }
    if (inet_pton(AF_INET6, addr, out->addr) == 1) {
        out->bits = bits < 0 ? 128 : (unsigned)bits;
        return 0;
    }
    return -1;
}

static bool range_has(const struct range *range, const unsigned char addr[16])
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    if (memcmp(range->addr, addr, whole) != 0) {
        return false;
    }
    unsigned mask = rest == 0 ? 0 : (0xffu << (8 - rest)) & 0xffu;
    return rest == 0 || (range->addr[whole] & mask) == (addr[whole] & mask);
}

static void lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

struct egress *egress_new(const char *allow, struct err *err)
{
    struct egress *e = xcalloc(1, sizeof *e);
    e->ranges = xcalloc(ALLOW_MAX, sizeof *e->ranges);
    e->hosts = xcalloc(ALLOW_MAX, sizeof *e->hosts);
    CLEANUP(cleanup_free) char *copy = xstrdup(allow != NULL ? allow : "");
    char *rest = copy, *one;
    while ((one = strsep(&rest, ",")) != NULL) {
        one += strspn(one, " ");
        one[strcspn(one, " ")] = '\0';
        if (one[0] == '\0') {
            continue;
        }
        if (e->range_count == ALLOW_MAX || e->host_count == ALLOW_MAX) {
            err_set(err, ERR_LIMIT, "webhook-allow: more than %d entries", ALLOW_MAX);
            egress_free(e);
            return NULL;
        }
        if (range_parse(one, &e->ranges[e->range_count]) == 0) {
            e->range_count++;
        } else if (strchr(one, '/') != NULL) {
            err_set(err, ERR_INVALID,
                "webhook-allow: '%s' is not an address range such as 10.1.0.0/16", one);
            egress_free(e);
            return NULL;
        } else {
            e->hosts[e->host_count] = xstrdup(one);
            lower(e->hosts[e->host_count++]);
        }
    }
    return e;
}

void egress_free(struct egress *egress)
{
    if (egress == NULL) {
        return;
    }
    for (size_t i = 0; i < egress->host_count; i++) {
        free(egress->hosts[i]);
    }
    free(egress->hosts);
    free(egress->ranges);
    free(egress);
}

bool egress_allows_host(const struct egress *egress, const char *host)
{
    for (size_t i = 0; i < egress->host_count; i++) {
        if (strcmp(egress->hosts[i], host) == 0) {
            return true;
        }
    }
    return false;
}

bool egress_allows_address(const struct egress *egress, const struct sockaddr *addr)
{
    unsigned char ip[16] = {[10] = 0xff, [11] = 0xff};
    if (addr->sa_family == AF_INET) {
        memcpy(ip + 12, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
    } else if (addr->sa_family == AF_INET6) {
        memcpy(ip, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, 16);
    } else {
        return false;
    }
    for (size_t i = 0; i < egress->range_count; i++) {
        if (range_has(&egress->ranges[i], ip)) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct range range;
        int rc = range_parse(refused[i], &range);
        if (rc != 0 || range_has(&range, ip)) {
            return false;
        }
    }
    return true;
}

int egress_check_url(const char *url, char **host_out, struct err *err)
{
    if (strlen(url) > URL_MAX) {
        return err_set(err, ERR_INVALID, "url: longer than %d characters", URL_MAX);
    }
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *user = NULL;
    int rc = -1;
    if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
        err_set(err, ERR_INVALID, "url: not an address like https://example.com/hook");
    } else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        err_set(err, ERR_INVALID, "url: only http and https can be delivered to");
    } else if (curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        err_set(err, ERR_INVALID,
            "url: user and password do not belong into it; use the "
            "signature to authenticate");
    } else {
        const char *from = host[0] == '[' ? host + 1 : host;
        *host_out = xstrndup(from, strcspn(from, "]"));
        lower(*host_out);
        rc = 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_url_cleanup(parts);
    return rc;
}
