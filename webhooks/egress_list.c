/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of hosts, wildcards, addresses and ranges, with ports: read and searched. */
#include "webhooks/egress_list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

#define ENTRY_TEXT_MAX 300

static void lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

/* Cuts the port off an entry: "host:1", "10.0.0.0/8:1", "[fd00::/8]:1"; "fd00::1" has none. */
static int entry_split(char *text, char **target_out, uint16_t *port_out)
{
    char *port = NULL;
    *target_out = text;
    if (text[0] == '[') {
        char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return -1;
        }
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        (*target_out)++;
    } else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
        port = strchr(text, ':') + 1;
        port[-1] = '\0';
    }
    int64_t number = 0;
    if (port != NULL && parse_i64(port, 1, 65535, "port", &number, NULL) != 0) {
        return -1;
    }
    *port_out = (uint16_t)number;
    return 0;
}

static int entry_read_host(struct egress_entry *entry, const char *text)
{
    bool is_wildcard = str_starts(text, "*.");
    const char *name = is_wildcard ? text + 2 : text;
    size_t len = strlen(name);
    if (len > 1 && name[len - 1] == '.') {
        len--;
    }
    if (len == 0 || name[0] == '.' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
            strlen(name)) {
        return -1;
    }
    entry->is_wildcard = is_wildcard;
    entry->host = xstrndup(name, len);
    lower(entry->host);
    return 0;
}

static int entry_read(
    struct egress_entry *entry, const char *setting, const char *text, struct err *err)
{
    char copy[ENTRY_TEXT_MAX];
    char *target;
    if (strlen(text) >= sizeof copy) {
        return err_set(err, ERR_INVALID, "%s: an entry is longer than %d characters", setting,
            ENTRY_TEXT_MAX - 1);
    }
    memcpy(copy, text, strlen(text) + 1);
    if (entry_split(copy, &target, &entry->port) != 0) {
        return err_set(err, ERR_INVALID,
            "%s: '%s': the port must be a number from 1 to 65535, and an IPv6 address before it "
            "in brackets",
            setting, text);
    }
    if (ip_range_parse(target, &entry->range) == 0) {
        return 0;
    }
    if (strchr(target, '/') != NULL) {
        return err_set(err, ERR_INVALID,
            "%s: '%s' is not an address range such as 10.1.0.0/16, whose bits after the prefix "
            "are 0",
            setting, text);
    }
    if (strchr(target, ':') != NULL || entry_read_host(entry, target) != 0) {
        return err_set(err, ERR_INVALID,
            "%s: '%s' is neither a host, nor a wildcard such as *.internal, nor an address, nor a "
            "range such as 10.1.0.0/16",
            setting, text);
    }
    return 0;
}

/* The next entry of a comma-separated list, without blanks; NULL at the end. */
char *egress_list_next(char **rest)
{
    char *one;
    while ((one = strsep(rest, ",")) != NULL) {
        one += strspn(one, " ");
        size_t len = strlen(one);
        while (len > 0 && one[len - 1] == ' ') {
            one[--len] = '\0';
        }
        if (len > 0) {
            return one;
        }
    }
    return NULL;
}

int egress_list_read(
    struct egress_list *list, const char *setting, const char *text, struct err *err)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(text != NULL ? text : "");
    char *rest = copy, *one;
    list->items = xcalloc(EGRESS_ENTRIES_MAX, sizeof *list->items);
    while ((one = egress_list_next(&rest)) != NULL) {
        if (list->count == EGRESS_ENTRIES_MAX) {
            return err_set(err, ERR_LIMIT, "%s: more than %d entries", setting, EGRESS_ENTRIES_MAX);
        }
        if (entry_read(&list->items[list->count], setting, one, err) != 0) {
            return -1;
        }
        list->count++;
    }
    return 0;
}

void egress_list_done(struct egress_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].host);
    }
    free(list->items);
}

static bool host_matches(const struct egress_entry *entry, const char *host)
{
    if (!entry->is_wildcard) {
        return strcmp(entry->host, host) == 0;
    }
    size_t len = strlen(host), tail = strlen(entry->host);
    return len > tail + 1 && host[len - tail - 1] == '.' &&
           strcmp(host + len - tail, entry->host) == 0;
}

bool egress_entry_is_exact(const struct egress_entry *entry)
{
    return entry->host != NULL ? !entry->is_wildcard : entry->range.bits == 128;
}

bool egress_entry_matches(const struct egress_entry *entry, const struct egress_target *t)
{
    if (entry->port != 0 && entry->port != t->port) {
        return false;
    }
    if (entry->host != NULL) {
        return t->host != NULL && host_matches(entry, t->host);
    }
    return t->ip != NULL && ip_range_has(&entry->range, t->ip);
}

const struct egress_entry *egress_list_find(
    const struct egress_list *list, const struct egress_target *t)
{
    for (size_t i = 0; i < list->count; i++) {
        if (egress_entry_matches(&list->items[i], t)) {
            return &list->items[i];
        }
    }
    return NULL;
}
