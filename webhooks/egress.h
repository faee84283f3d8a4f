/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where outgoing webhooks may go: public addresses, and what the operator allowed. Checked on
 * the address connected to, after resolution, so that a name cannot be rebound. Pure.
 */
#ifndef WEBHOOKS_EGRESS_H
#define WEBHOOKS_EGRESS_H

#include <stdbool.h>

struct egress;
struct err;
struct sockaddr;

/* allow: comma-separated host names, addresses and CIDR ranges; NULL or "" allows none extra. */
struct egress *egress_new(const char *allow, struct err *err);
void egress_free(struct egress *egress);

/* Is the host named in the allow list? Then any address of it is fine. */
bool egress_allows_host(const struct egress *egress, const char *host);
bool egress_allows_address(const struct egress *egress, const struct sockaddr *addr);

/* Text rules for a subscription's URL: scheme, no user info, length; host (lower case, without
 * brackets) is malloc'd into *host_out. */
int egress_check_url(const char *url, char **host_out, struct err *err);

#endif
