/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses and ranges of them: which are set apart for a special purpose, which IPv4 addresses
 * an IPv6 address stands for. Pure.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;

/* IPv4 is kept as IPv4-mapped IPv6 (::ffff:a.b.c.d), so that there is one comparison. */
struct ip {
    unsigned char bytes[16];
};

/* "10.1.2.3" or "fd00::1", in standard spelling only; -1: it is not one. */
int ip_parse(const char *text, struct ip *out);
/* -1: neither IPv4 nor IPv6. */
int ip_from_sockaddr(const struct sockaddr *addr, struct ip *out);
uint16_t ip_sockaddr_port(const struct sockaddr *addr); /* 0: has none */
bool ip_is_v4(const struct ip *ip);
bool ip_eq(const struct ip *a, const struct ip *b);
#define IP_TEXT_MAX 46
void ip_format(const struct ip *ip, char out[IP_TEXT_MAX]); /* mapped ones as IPv4 */

struct ip_range {
    struct ip ip;
    unsigned bits; /* of the 128 */
};
/*
 * "10.0.0.0/8", or one address. -1: not a range. Bits of the address beyond the prefix must be
 * 0: "10.1.2.3/8" is more often a slip than meant.
 */
int ip_range_parse(const char *text, struct ip_range *out);
bool ip_range_has(const struct ip_range *range, const struct ip *ip);

/*
 * Why the address is no ordinary public unicast address, such as "loopback, 127.0.0.0/8"; NULL:
 * it is one. By IANA's special-purpose registries of IPv4 and IPv6 as a whole, multicast, and,
 * for IPv6, all that is outside 2000::/3, from which alone addresses are given out. Static.
 */
const char *ip_special(const struct ip *ip);

/*
 * IPv4 addresses that the IPv6 address stands for: IPv4-compatible, IPv4-translated (RFC 2765),
 * NAT64 (RFC 6052 and 8215), 6to4 (RFC 3056), Teredo's server and client (RFC 4380), ISATAP (RFC
 * 5214). Packets to it can end there. Returns how many. A mapped address is IPv4 itself.
 */
#define IP_EMBEDDED_MAX 3
size_t ip_embedded(const struct ip *ip, struct ip out[IP_EMBEDDED_MAX]);

#endif
