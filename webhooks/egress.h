/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where calls to addresses that a user gave may go (webhooks, repositories, statuses): public
 * addresses, less what the operator denies, and what the operator allows besides. The text of
 * the URL is judged when it is given and before each call; the address when it is connected to,
 * after resolution, so that a name cannot be rebound. Pure, but for the own address, which is
 * looked up among this machine's.
 *
 * Order of judgement: the deny list; cloud metadata and our own listening address, which must be
 * named exactly; the allow list; then only public addresses, and IPv6 ones only if every IPv4
 * address embedded in them may be connected to as well.
 */
#ifndef WEBHOOKS_EGRESS_H
#define WEBHOOKS_EGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct egress;
struct err;
struct sockaddr;

/*
 * Lists are comma-separated; NULL or "": empty. An entry of allow and deny is a host name, a
 * wildcard for the names below one ("*.internal"), an address or a CIDR range, each with a port
 * or without: "hooks.internal:8443", "10.1.0.0/16", "[fd00::/8]:443".
 */
struct egress_settings {
    const char *allow; /* although they are private, or have another port than is allowed */
    const char *deny;  /* although they are public, or allowed */
    const char *ports; /* "443,8000-8999": only these; empty: all but the Fetch standard's bad ones */
    bool https_only;
};

/* NULL with an error that names the setting and the entry. */
struct egress *egress_new(const struct egress_settings *settings, struct err *err);
void egress_free(struct egress *egress);
/* We listen there ourselves; 0.0.0.0 and :: stand for all addresses of this machine. */
void egress_set_listener(struct egress *egress, const char *host, uint16_t port);

/* May this URL be called, as far as its text says? ERR_INVALID with place, rule and fix. */
int egress_check_url(const struct egress *egress, const char *url, struct err *err);
/*
 * May this address of `host` (as egress_url_host() gives it) be connected to? ERR_DENIED with
 * rule and fix. For http_call_spec.check_address.
 */
int egress_check_address(const struct egress *egress, const char *host,
    const struct sockaddr *addr, struct err *err);

/*
 * What is wrong in any URL, whatever is allowed: scheme, length, user info, odd spellings of
 * hosts. The host, in lower case, without brackets and the dot of a full name, is malloc'd into
 * *host_out. ERR_INVALID.
 */
int egress_url_host(const char *url, char **host_out, struct err *err);

#endif
