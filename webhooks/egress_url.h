/* SPDX-License-Identifier: Apache-2.0 */
/* A URL that a user gave, taken apart. Only egress.c and tests use this. */
#ifndef WEBHOOKS_EGRESS_URL_H
#define WEBHOOKS_EGRESS_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"

struct err;

struct egress_url {
    char *host; /* lower case, without brackets and the dot of a full name */
    uint16_t port;
    bool is_https;
    bool is_literal; /* the host is an address: */
    struct ip ip;
};

/* ERR_INVALID: whatever is allowed, nobody may call this. *out needs freeing on success only. */
int egress_url_parse(const char *url, struct egress_url *out, struct err *err);
void egress_url_done(struct egress_url *url);

#endif
