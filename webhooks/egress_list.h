/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of the egress settings. Only egress.c uses this. */
#ifndef WEBHOOKS_EGRESS_LIST_H
#define WEBHOOKS_EGRESS_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip.h"

struct err;

#define EGRESS_ENTRIES_MAX 256

struct egress_entry {
    char *host; /* or NULL: the range */
    bool is_wildcard;
    struct ip_range range;
    uint16_t port; /* 0: any */
};

struct egress_list {
    struct egress_entry *items;
    size_t count;
};

/* What is asked about. */
struct egress_target {
    const char *host;    /* or NULL */
    const struct ip *ip; /* or NULL: not resolved yet */
    uint16_t port;
};

/* ERR_INVALID, ERR_LIMIT: names setting and entry. *list needs egress_list_done() either way. */
int egress_list_read(
    struct egress_list *list, const char *setting, const char *text, struct err *err);
void egress_list_done(struct egress_list *list);
/* The next entry of a comma-separated list, without blanks; NULL at the end. Cuts it up. */
char *egress_list_next(char **rest);

/* The first entry that matches, or NULL. */
const struct egress_entry *egress_list_find(
    const struct egress_list *list, const struct egress_target *t);
bool egress_entry_matches(const struct egress_entry *entry, const struct egress_target *t);
/* One host or one address. */
bool egress_entry_is_exact(const struct egress_entry *entry);

#endif
