/* SPDX-License-Identifier: Apache-2.0 */
/* Egress rules: lists and ports of the operator, cloud metadata, our own address, and IANA's
 * special-purpose addresses (base/ip.h). */
#include "webhooks/egress.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/util.h"
#include "webhooks/egress_list.h"
#include "webhooks/egress_url.h"

struct port_range {
    uint16_t from, to;
};

struct egress {
    struct egress_list allow, deny;
    struct port_range *ports; /* none: all but the bad ones */
    size_t port_count;
    bool https_only;
    struct ip own;
    uint16_t own_port; /* 0: unknown */
};

/* Where clouds hand out credentials to whoever asks. Some are public addresses. */
static const char *const metadata_addresses[] = {
    "169.254.169.254", /* AWS, Azure, Google, Oracle, OpenStack and others */
    "169.254.170.2",   /* AWS ECS */
    "169.254.170.23",  /* AWS EKS */
    "169.254.42.42",   /* Scaleway */
    "169.254.0.23",    /* Tencent */
    "168.63.129.16",   /* Azure's wire server */
    "100.100.100.200", /* Alibaba */
    "192.0.0.192",     /* Oracle, before */
    "fd00:ec2::254",   /* AWS */
    "fd00:ec2::23",    /* AWS EKS */
    "fd20:ce::254",    /* Google */
    "fd00:42::42",     /* Scaleway */
};

static const char *const metadata_hosts[] = {
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "metadata.tencentyun.com",
};

/* The Fetch standard's bad ports, whose servers may take lines of a request for commands of
 * their protocol; and Redis. */
static const uint16_t bad_ports[] = {1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43,
    53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137,
    139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556,
    563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
    6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080};

/* Settings. */

static int ports_read(struct egress *e, const char *text, struct err *err)
{
    CLEANUP(cleanup_free) char *copy = xstrdup(text != NULL ? text : "");
    char *rest = copy, *one;
    e->ports = xcalloc(EGRESS_ENTRIES_MAX, sizeof *e->ports);
    while ((one = egress_list_next(&rest)) != NULL) {
        CLEANUP(cleanup_free) char *from_text = xstrndup(one, strcspn(one, "-"));
        const char *dash = strchr(one, '-');
        int64_t from, to;
        if (e->port_count == EGRESS_ENTRIES_MAX) {
            return err_set(
                err, ERR_LIMIT, "webhook-ports: more than %d entries", EGRESS_ENTRIES_MAX);
        }
        if (parse_i64(from_text, 1, 65535, "port", &from, NULL) != 0 ||
            parse_i64(dash != NULL ? dash + 1 : from_text, from, 65535, "port", &to, NULL) != 0) {
            return err_set(err, ERR_INVALID,
                "webhook-ports: '%s' is neither a port from 1 to 65535 nor a range such as "
                "8000-8999",
                one);
        }
        e->ports[e->port_count++] = (struct port_range){(uint16_t)from, (uint16_t)to};
    }
    return 0;
}

struct egress *egress_new(const struct egress_settings *settings, struct err *err)
{
    struct egress *e = xcalloc(1, sizeof *e);
    e->https_only = settings->https_only;
    if (egress_list_read(&e->allow, "webhook-allow", settings->allow, err) != 0 ||
        egress_list_read(&e->deny, "webhook-deny", settings->deny, err) != 0 ||
        ports_read(e, settings->ports, err) != 0) {
        egress_free(e);
        return NULL;
    }
    return e;
}

void egress_free(struct egress *egress)
{
    if (egress == NULL) {
        return;
    }
    egress_list_done(&egress->allow);
    egress_list_done(&egress->deny);
    free(egress->ports);
    free(egress);
}

void egress_set_listener(struct egress *egress, const char *host, uint16_t port)
{
    if (ip_parse(host, &egress->own) != 0) {
        ip_parse("127.0.0.1", &egress->own); /* "localhost" */
    }
    egress->own_port = port;
}

/* Judging. */

/* Named itself, not only as one of a range or a host's addresses. */
static bool is_named(const struct egress *e, const struct egress_target *t, bool with_port)
{
    for (size_t i = 0; i < e->allow.count; i++) {
        const struct egress_entry *entry = &e->allow.items[i];
        if (egress_entry_is_exact(entry) && egress_entry_matches(entry, t) &&
            (!with_port || entry->port != 0)) {
            return true;
        }
    }
    return false;
}

static bool is_metadata_address(const struct ip *ip)
{
    for (size_t i = 0; i < ARRAY_LEN(metadata_addresses); i++) {
        struct ip one;
        if (ip_parse(metadata_addresses[i], &one) == 0 && ip_eq(&one, ip)) {
            return true;
        }
    }
    return false;
}

static bool is_metadata_host(const char *host)
{
    for (size_t i = 0; i < ARRAY_LEN(metadata_hosts); i++) {
        if (strcmp(metadata_hosts[i], host) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_of_this_machine(const struct ip *ip)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0) {
        return true; /* who knows */
    }
    for (const struct ifaddrs *one = all; one != NULL && !found; one = one->ifa_next) {
        struct ip own;
        found =
            one->ifa_addr != NULL && ip_from_sockaddr(one->ifa_addr, &own) == 0 && ip_eq(&own, ip);
    }
    freeifaddrs(all);
    return found;
}

static bool is_own(const struct egress *e, const struct egress_target *t)
{
    static const struct ip_range loopback = {{{[10] = 0xff, 0xff, 127}}, 104};
    static const struct ip any6 = {{0}}, any4 = {{[10] = 0xff, 0xff}};
    if (e->own_port == 0 || t->port != e->own_port) {
        return false;
    }
    if (ip_eq(&e->own, t->ip) || ip_eq(&any4, t->ip) || ip_eq(&any6, t->ip)) {
        return true; /* connecting to "any" reaches this machine */
    }
    return (ip_eq(&e->own, &any4) || ip_eq(&e->own, &any6)) &&
           (ip_range_has(&loopback, t->ip) || is_of_this_machine(t->ip));
}

static int check_port(const struct egress *e, const struct egress_target *t, enum err_code code,
    const char *place, struct err *err)
{
    bool is_fine = e->port_count == 0;
    for (size_t i = 0; i < e->port_count && !is_fine; i++) {
        is_fine = t->port >= e->ports[i].from && t->port <= e->ports[i].to;
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_ports) && is_fine && e->port_count == 0; i++) {
        is_fine = t->port != bad_ports[i];
    }
    const struct egress_entry *entry = is_fine ? NULL : egress_list_find(&e->allow, t);
    if (is_fine || (entry != NULL && entry->port != 0)) {
        return 0;
    }
    return err_set(err, code,
        "%sport %d is not one that may be called; to allow it start rondod with --webhook-allow "
        "HOST:%d, or name it in --webhook-ports beside all others that may be called",
        place, t->port, t->port);
}

static int refuse(const char *place, enum err_code code, const struct egress_target *t,
    const char *why, bool may_be_allowed, struct err *err)
{
    char text[IP_TEXT_MAX] = "";
    if (t->ip != NULL) {
        ip_format(t->ip, text);
    }
    const char *name = text[0] != '\0' ? text : t->host;
    return err_set(err, code, "%s%s %s%s%s", place, name, why,
        may_be_allowed ? "; to allow it start rondod with --webhook-allow " : "",
        may_be_allowed ? name : "");
}

/* Of one address: the target's own, or one embedded in it. */
static int check_ip(const struct egress *e, const char *place, enum err_code code,
    const struct egress_target *t, bool is_host_allowed, struct err *err)
{
    if (egress_list_find(&e->deny, t) != NULL) {
        return refuse(place, code, t, "is denied by --webhook-deny", false, err);
    }
    struct egress_target bare = *t;
    if (t->host != NULL && !is_metadata_host(t->host)) {
        bare.host = NULL; /* an allowed host may not be pointed at these */
    }
    if (is_metadata_address(t->ip) && !is_named(e, &bare, false)) {
        return refuse(place, code, t,
            "is a cloud's metadata service, which must be allowed by itself", true, err);
    }
    if (is_own(e, t) && !is_named(e, t, true)) {
        return err_set(err, code,
            "%sthat is rondod itself; to allow it start rondod with --webhook-allow HOST:%d", place,
            t->port);
    }
    const char *special = ip_special(t->ip);
    if (special == NULL || is_host_allowed || egress_list_find(&e->allow, t) != NULL) {
        return 0;
    }
    CLEANUP(cleanup_free) char *why = xasprintf("is not a public address (%s)", special);
    return refuse(place, code, t, why, true, err);
}

static int check_target(const struct egress *e, const char *place, enum err_code code,
    const struct egress_target *t, struct err *err)
{
    struct ip embedded[IP_EMBEDDED_MAX];
    struct egress_target bare = *t;
    bare.ip = NULL;
    bool is_host_allowed = t->host != NULL && egress_list_find(&e->allow, &bare) != NULL;
    if (check_ip(e, place, code, t, is_host_allowed, err) != 0) {
        return -1;
    }
    size_t count = ip_embedded(t->ip, embedded);
    for (size_t i = 0; i < count; i++) {
        struct egress_target one = *t;
        one.ip = &embedded[i];
        if (check_ip(e, place, code, &one, is_host_allowed, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* What the name alone says. */
static int check_host(const struct egress *e, const char *place, enum err_code code,
    const struct egress_target *t, struct err *err)
{
    struct egress_target bare = *t;
    bare.ip = NULL;
    if (egress_list_find(&e->deny, &bare) != NULL) {
        return refuse(place, code, &bare, "is denied by --webhook-deny", false, err);
    }
    if (is_metadata_host(t->host) && !is_named(e, &bare, false)) {
        return refuse(place, code, &bare,
            "is a cloud's metadata service, which must be allowed by itself", true, err);
    }
    return 0;
}

int egress_check_url(const struct egress *egress, const char *url, struct err *err)
{
    struct egress_url parts;
    if (egress_url_parse(url, &parts, err) != 0) {
        return -1;
    }
    struct egress_target t = {parts.host, parts.is_literal ? &parts.ip : NULL, parts.port};
    int rc;
    if (egress->https_only && !parts.is_https) {
        rc = err_set(err, ERR_INVALID, "url: only https may be called (--webhook-https-only)");
    } else {
        rc = check_host(egress, "url: ", ERR_INVALID, &t, err);
        rc = rc != 0 ? rc : check_port(egress, &t, ERR_INVALID, "url: ", err);
        rc = rc != 0 || t.ip == NULL ? rc : check_target(egress, "url: ", ERR_INVALID, &t, err);
    }
    egress_url_done(&parts);
    return rc;
}

int egress_check_address(
    const struct egress *egress, const char *host, const struct sockaddr *addr, struct err *err)
{
    struct ip ip;
    if (ip_from_sockaddr(addr, &ip) != 0) {
        return err_set(err, ERR_DENIED, "neither an IPv4 nor an IPv6 address");
    }
    struct egress_target t = {host, &ip, ip_sockaddr_port(addr)};
    if (check_host(egress, "", ERR_DENIED, &t, err) != 0 ||
        check_port(egress, &t, ERR_DENIED, "", err) != 0) {
        return -1;
    }
    return check_target(egress, "", ERR_DENIED, &t, err);
}

int egress_url_host(const char *url, char **host_out, struct err *err)
{
    struct egress_url parts;
    if (egress_url_parse(url, &parts, err) != 0) {
        return -1;
    }
    *host_out = STEAL(parts.host);
    return 0;
}
