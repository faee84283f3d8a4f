/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Redis URL: redis://[[user:]password@]host[:port][/db], unix:/path, or
 * sentinel://[[user:]password@]host[:port],.../master[/db].
 */
#include "base/store_conn.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <curl/curl.h>

#include "base/err.h"
#include "base/util.h"

#define DATABASE_MAX 65535
#define SENTINEL_PORT "26379"
#define SENTINELS_MAX 32

void store_target_done(struct store_target *target)
{
    free(target->path);
    free(target->host);
    free(target->port);
    free(target->user);
    free(target->password);
    free(target->db);
    free(target->shown);
    free(target->master);
    for (size_t i = 0; i < target->sentinel_count; i++) {
        store_target_done(&target->sentinels[i]);
    }
    free(target->sentinels);
    *target = (struct store_target){0};
}

static int parse_unix(const char *path, struct store_target *t, struct err *err)
{
    if (str_starts(path, "///")) {
        path += 2; /* unix:///run/redis.sock */
    }
    if (*path != '/') {
        return err_set(err, ERR_INVALID, "redis URL: unix: must be followed by an absolute path");
    }
    if (strlen(path) >= sizeof(struct sockaddr_un){0}.sun_path) {
        return err_set(err, ERR_INVALID, "redis URL: the path of a socket has at most %zu bytes",
            sizeof(struct sockaddr_un){0}.sun_path - 1);
    }
    t->path = xstrdup(path);
    t->shown = xasprintf("unix:%s", path);
    return 0;
}

/* One part of the URL as our own memory; NULL when it is absent. */
static char *url_part(CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK) {
        return NULL;
    }
    char *copy = xstrdup(text);
    curl_free(text);
    return copy;
}

static int parse_tcp(CURLU *url, struct store_target *t, struct err *err)
{
    t->host = url_part(url, CURLUPART_HOST, 0);
    t->port = url_part(url, CURLUPART_PORT, 0);
    t->user = url_part(url, CURLUPART_USER, CURLU_URLDECODE);
    t->password = url_part(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
    CLEANUP(cleanup_free) char *path = url_part(url, CURLUPART_PATH, CURLU_URLDECODE);
    CLEANUP(cleanup_free) char *query = url_part(url, CURLUPART_QUERY, 0);
    if (t->host == NULL || *t->host == '\0') {
        return err_set(err, ERR_INVALID, "redis URL: it names no host");
    }
    if (query != NULL) {
        return err_set(err, ERR_INVALID, "redis URL: settings after '?' are not understood");
    }
    size_t len = strlen(t->host);
    if (*t->host == '[' && t->host[len - 1] == ']') { /* IPv6; resolvers want it bare */
        memmove(t->host, t->host + 1, len - 2);
        t->host[len - 2] = '\0';
    }
    if (t->port == NULL) {
        t->port = xstrdup("6379");
    }
    if (t->password == NULL) {
        t->password = STEAL(t->user); /* as redis-cli: one word before the @ is the password */
    } else if (t->user != NULL && *t->user == '\0') {
        free(STEAL(t->user));
    }
    if (path != NULL && strcmp(path, "/") != 0 && *path != '\0') {
        int64_t db;
        if (parse_i64(path + 1, 0, DATABASE_MAX, "redis URL: database", &db, err) != 0) {
            return -1;
        }
        t->db = xasprintf("%lld", (long long)db);
    }
    t->shown = xasprintf("redis://%s%s%s:%s%s%s", strchr(t->host, ':') != NULL ? "[" : "", t->host,
        strchr(t->host, ':') != NULL ? "]" : "", t->port, t->db != NULL ? "/" : "",
        t->db != NULL ? t->db : "");
    return 0;
}

static int parse_url(const char *text, struct store_target *t, struct err *err)
{
    CURLU *url = curl_url();
    CURLUcode code = url != NULL ? curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME)
                                 : CURLUE_OUT_OF_MEMORY;
    int r = code == CURLUE_OK ? parse_tcp(url, t, err)
                              : err_set(err, ERR_INVALID, "redis URL: %s", curl_url_strerror(code));
    curl_url_cleanup(url);
    return r;
}

/* One of "host[:port],host[:port]". */
static int add_sentinel(struct store_target *t, const char *host, struct err *err)
{
    if (t->sentinel_count == SENTINELS_MAX) {
        return err_set(err, ERR_INVALID, "redis URL: more than %d sentinels", SENTINELS_MAX);
    }
    CLEANUP(cleanup_free) char *url = xasprintf("redis://%s", host);
    t->sentinels = xreallocarray(t->sentinels, t->sentinel_count + 1, sizeof(*t->sentinels));
    struct store_target *one = &t->sentinels[t->sentinel_count++];
    *one = (struct store_target){.is_sentinel = true};
    if (parse_url(url, one, err) != 0) {
        return -1;
    }
    const char *last = strrchr(host, ']') != NULL ? strrchr(host, ']') : host;
    if (strchr(last, ':') == NULL) {
        free(one->port);
        one->port = xstrdup(SENTINEL_PORT);
    }
    return 0;
}

/* The parts that are the same as of a plain URL are read as one. */
static int parse_sentinel(const char *text, struct store_target *t, struct err *err)
{
    const char *rest = text + strlen("sentinel://");
    size_t hosts_len = strcspn(rest, "/");
    CLEANUP(cleanup_free) char *authority = xstrndup(rest, hosts_len);
    const char *path = rest[hosts_len] == '/' ? rest + hosts_len + 1 : "";
    size_t name_len = strcspn(path, "/?");
    if (name_len == 0 || path[name_len] == '?') {
        return err_set(err, ERR_INVALID,
            "redis URL: expected sentinel://[[user:]password@]host[:port],.../MASTER[/db], with "
            "the "
            "name of the master as the sentinels know it");
    }
    char *at = strrchr(authority, '@');
    char *hosts = at != NULL ? at + 1 : authority;
    CLEANUP(cleanup_free)
    char *plain = xasprintf("redis://%.*smaster%s", at != NULL ? (int)(at + 1 - authority) : 0,
        authority, path + name_len);
    if (parse_url(plain, t, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_free) char *shown = xasprintf("sentinel://%s/%s", hosts, path);
    free(STEAL(t->host));
    free(STEAL(t->port));
    free(t->shown);
    t->shown = STEAL(shown);
    t->master = xstrndup(path, name_len);
    char *one;
    while ((one = strsep(&hosts, ",")) != NULL) {
        if (add_sentinel(t, one, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static char *copy_of(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

void store_target_master(
    const struct store_target *target, const char *host, const char *port, struct store_target *out)
{
    bool is_ipv6 = strchr(host, ':') != NULL;
    *out = (struct store_target){
        .host = xstrdup(host),
        .port = xstrdup(port),
        .user = copy_of(target->user),
        .password = copy_of(target->password),
        .db = copy_of(target->db),
        .shown = xasprintf("redis://%s%s%s:%s", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", port),
        .must_be_master = true,
    };
}

int store_target_parse(const char *text, struct store_target *out, struct err *err)
{
    struct store_target t = {0};
    int r;
    if (str_starts(text, "unix:")) {
        r = parse_unix(text + strlen("unix:"), &t, err);
    } else if (str_starts(text, "rediss:")) {
        r = err_set(err, ERR_INVALID,
            "redis URL: rediss: (TLS) is not supported by this build; use redis: through a tunnel "
            "or a private network");
    } else if (str_starts(text, "sentinel://")) {
        r = parse_sentinel(text, &t, err);
    } else if (!str_starts(text, "redis://")) {
        r = err_set(err, ERR_INVALID,
            "redis URL: expected redis://[[user:]password@]host[:port][/db], unix:/path, or "
            "sentinel://host[:port],.../master");
    } else {
        r = parse_url(text, &t, err);
    }
    if (r != 0) {
        store_target_done(&t);
        return -1;
    }
    *out = t;
    return 0;
}
