/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, ranges, and IANA's special-purpose address registries (RFC 6890 and its updates). */
#include "base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void set_v4(struct ip *out, const unsigned char v4[4])
{
    memcpy(out->bytes, v4_prefix, sizeof v4_prefix);
    memcpy(out->bytes + 12, v4, 4);
}

int ip_parse(const char *text, struct ip *out)
{
    unsigned char v4[4];
    if (inet_pton(AF_INET, text, v4) == 1) {
        set_v4(out, v4);
        return 0;
    }
    return inet_pton(AF_INET6, text, out->bytes) == 1 ? 0 : -1;
}

int ip_from_sockaddr(const struct sockaddr *addr, struct ip *out)
{
    if (addr->sa_family == AF_INET) {
        unsigned char v4[4];
        memcpy(v4, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, sizeof v4);
        set_v4(out, v4);
        return 0;
    }
    if (addr->sa_family == AF_INET6) {
        memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, 16);
        return 0;
    }
    return -1;
}

uint16_t ip_sockaddr_port(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        return ntohs(((const struct sockaddr_in *)(const void *)addr)->sin_port);
    }
    return addr->sa_family == AF_INET6
               ? ntohs(((const struct sockaddr_in6 *)(const void *)addr)->sin6_port)
               : 0;
}

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->bytes, v4_prefix, sizeof v4_prefix) == 0;
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void ip_format(const struct ip *ip, char out[IP_TEXT_MAX])
{
    bool is_v4 = ip_is_v4(ip);
    if (inet_ntop(is_v4 ? AF_INET : AF_INET6, ip->bytes + (is_v4 ? 12 : 0), out, IP_TEXT_MAX) ==
        NULL) {
        out[0] = '\0';
    }
}

static bool has_host_bits(const struct ip_range *range)
{
    for (unsigned i = range->bits; i < 128; i++) {
        if ((range->ip.bytes[i / 8] & (0x80u >> i % 8)) != 0) {
            return true;
        }
    }
    return false;
}

int ip_range_parse(const char *text, struct ip_range *out)
{
    char addr[IP_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    struct ip_range range;
    if (len >= sizeof addr) {
        return -1;
    }
    memcpy(addr, text, len);
    addr[len] = '\0';
    if (ip_parse(addr, &range.ip) != 0) {
        return -1;
    }
    unsigned most = strchr(addr, ':') == NULL ? 32 : 128;
    int64_t bits = most;
    if (slash != NULL && parse_i64(slash + 1, 0, most, "prefix", &bits, NULL) != 0) {
        return -1;
    }
    range.bits = 128 - most + (unsigned)bits;
    if (has_host_bits(&range)) {
        return -1;
    }
    *out = range;
    return 0;
}

bool ip_range_has(const struct ip_range *range, const struct ip *ip)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    if (memcmp(range->ip.bytes, ip->bytes, whole) != 0) {
        return false;
    }
    unsigned mask = rest == 0 ? 0 : (0xffu << (8 - rest)) & 0xffu;
    return rest == 0 || ((range->ip.bytes[whole] ^ ip->bytes[whole]) & mask) == 0;
}

/* First match; narrower ones stand before what they are part of where the name says more. */
static const struct {
    unsigned char bytes[16];
    unsigned bits;
    const char *why;
} special[] = {
#define V4(a, b, c, d, bits, why)                                                                  \
    {                                                                                              \
        {[10] = 0xff, 0xff, a, b, c, d}, 96 + (bits), why                                          \
    }
    V4(0, 0, 0, 0, 8, "this network, 0.0.0.0/8"),
    V4(10, 0, 0, 0, 8, "private, 10.0.0.0/8"),
    V4(100, 64, 0, 0, 10, "shared by carriers, 100.64.0.0/10"),
    V4(127, 0, 0, 0, 8, "loopback, 127.0.0.0/8"),
    V4(169, 254, 0, 0, 16, "link-local, 169.254.0.0/16"),
    V4(172, 16, 0, 0, 12, "private, 172.16.0.0/12"),
    V4(192, 0, 0, 0, 24, "for protocols, 192.0.0.0/24"),
    V4(192, 0, 2, 0, 24, "for documentation, 192.0.2.0/24"),
    V4(192, 31, 196, 0, 24, "AS112, 192.31.196.0/24"),
    V4(192, 52, 193, 0, 24, "AMT, 192.52.193.0/24"),
    V4(192, 88, 99, 0, 24, "6to4 relays, 192.88.99.0/24"),
    V4(192, 168, 0, 0, 16, "private, 192.168.0.0/16"),
    V4(192, 175, 48, 0, 24, "AS112, 192.175.48.0/24"),
    V4(198, 18, 0, 0, 15, "for benchmarks, 198.18.0.0/15"),
    V4(198, 51, 100, 0, 24, "for documentation, 198.51.100.0/24"),
    V4(203, 0, 113, 0, 24, "for documentation, 203.0.113.0/24"),
    V4(224, 0, 0, 0, 4, "multicast, 224.0.0.0/4"),
    V4(255, 255, 255, 255, 32, "broadcast, 255.255.255.255"),
    V4(240, 0, 0, 0, 4, "reserved, 240.0.0.0/4"),
#undef V4
    {{0}, 128, "unspecified, ::"},
    {{[15] = 1}, 128, "loopback, ::1"},
    {{0}, 96, "IPv4-compatible, ::/96"},
    {{[8] = 0xff, 0xff}, 96, "IPv4-translated, ::ffff:0:0:0/96"},
    {{0, 0x64, 0xff, 0x9b}, 96, "NAT64, 64:ff9b::/96"},
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, "local NAT64, 64:ff9b:1::/48"},
    {{1}, 64, "discarded, 100::/64"},
    {{1, [7] = 1}, 64, "dummy, 100:0:0:1::/64"},
    {{0x20, 1}, 32, "Teredo, 2001::/32"},
    {{0x20, 1, 0, 2}, 48, "for benchmarks, 2001:2::/48"},
    {{0x20, 1, 0, 3}, 32, "AMT, 2001:3::/32"},
    {{0x20, 1, 0, 4, 1, 0x12}, 48, "AS112, 2001:4:112::/48"},
    {{0x20, 1, 0, 0x10}, 28, "ORCHID, 2001:10::/28"},
    {{0x20, 1, 0, 0x20}, 28, "ORCHIDv2, 2001:20::/28"},
    {{0x20, 1, 0, 0x30}, 28, "drone ids, 2001:30::/28"},
    {{0x20, 1}, 23, "for protocols, 2001::/23"},
    {{0x20, 1, 0x0d, 0xb8}, 32, "for documentation, 2001:db8::/32"},
    {{0x20, 2}, 16, "6to4, 2002::/16"},
    {{0x26, 0x20, 0, 0x4f, 0x80}, 48, "AS112, 2620:4f:8000::/48"},
    {{0x3f, 0xff}, 20, "for documentation, 3fff::/20"},
    {{0x5f}, 16, "segment routing, 5f00::/16"},
    {{0xfc}, 7, "unique local, fc00::/7"},
    {{0xfe, 0x80}, 10, "link-local, fe80::/10"},
    {{0xfe, 0xc0}, 10, "site-local, fec0::/10"},
    {{0xff}, 8, "multicast, ff00::/8"},
};

const char *ip_special(const struct ip *ip)
{
    for (size_t i = 0; i < ARRAY_LEN(special); i++) {
        struct ip_range range = {.bits = special[i].bits};
        memcpy(range.ip.bytes, special[i].bytes, sizeof range.ip.bytes);
        if (ip_range_has(&range, ip)) {
            return special[i].why;
        }
    }
    return ip_is_v4(ip) || (ip->bytes[0] & 0xe0) == 0x20 ? NULL : "reserved, outside 2000::/3";
}

size_t ip_embedded(const struct ip *ip, struct ip out[IP_EMBEDDED_MAX])
{
    static const unsigned char zeros[12] = {0};
    static const unsigned char translated[12] = {[8] = 0xff, 0xff};
    static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
    static const unsigned char local_nat64[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
    static const unsigned char teredo[4] = {0x20, 1, 0, 0};
    const unsigned char *b = ip->bytes;
    size_t count = 0;
    if (ip_is_v4(ip)) {
        return 0;
    }
    if (memcmp(b, zeros, 12) == 0 || memcmp(b, translated, 12) == 0 || memcmp(b, nat64, 12) == 0) {
        set_v4(&out[count++], b + 12);
    } else if (memcmp(b, local_nat64, 6) == 0) {
        /* The operator's prefix has 96 bits, or 64 or 48 and then zeros at the end; the byte at 8
         * is skipped. */
        const unsigned char by64[4] = {b[9], b[10], b[11], b[12]};
        const unsigned char by48[4] = {b[6], b[7], b[9], b[10]};
        if (memcmp(b + 13, zeros, 3) != 0) {
            set_v4(&out[count++], b + 12);
        } else if (b[11] != 0 || b[12] != 0) {
            set_v4(&out[count++], by64);
        } else {
            set_v4(&out[count++], by48);
        }
    } else if (b[0] == 0x20 && b[1] == 0x02) {
        set_v4(&out[count++], b + 2);
    } else if (memcmp(b, teredo, 4) == 0) {
        const unsigned char client[4] = {b[12] ^ 0xff, b[13] ^ 0xff, b[14] ^ 0xff, b[15] ^ 0xff};
        set_v4(&out[count++], b + 4);
        set_v4(&out[count++], client);
    }
    if ((b[8] & 0xfd) == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe) {
        set_v4(&out[count++], b + 12);
    }
    return count;
}
