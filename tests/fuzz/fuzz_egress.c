/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Egress rules: the first three lines of the input are --webhook-allow, --webhook-deny and
 * --webhook-ports, the rest is a URL. A URL that is taken means to libcurl what it means to us;
 * with no lists it leads to no special address; the deny list wins over everything.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/util.h"
#include "webhooks/egress.h"
#include "webhooks/egress_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *take_line(const uint8_t **data, size_t *size)
{
    const uint8_t *eol = *size > 0 ? memchr(*data, '\n', *size) : NULL;
    size_t len = eol != NULL ? (size_t)(eol - *data) : *size;
    char *line = xstrndup((const char *)*data, len);
    size_t used = eol != NULL ? len + 1 : len;
    *data += used;
    *size -= used;
    return line;
}

/* As libcurl takes a URL apart when it is to connect there. */
static void check_against_curl(const char *url, const struct egress_url *ours)
{
    CURLU *parts = curl_url();
    char *host = NULL, *port = NULL, *user = NULL, *scheme = NULL;
    CURLUcode code =
        curl_url_set(parts, CURLUPART_URL, url, CURLU_GUESS_SCHEME | CURLU_NON_SUPPORT_SCHEME);
    assert(code == CURLUE_OK);
    code = curl_url_get(parts, CURLUPART_HOST, &host, 0);
    assert(code == CURLUE_OK);
    code = curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    int64_t number = 0;
    assert(code == CURLUE_OK && parse_i64(port, 1, 65535, "port", &number, NULL) == 0);
    assert(number == ours->port);
    code = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0);
    assert(code == CURLUE_OK && (strcmp(scheme, "https") == 0) == ours->is_https);
    assert(curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_NO_USER);
    const char *from = host[0] == '[' ? host + 1 : host;
    assert(strncasecmp(from, ours->host, strlen(ours->host)) == 0);
    const char *rest = from + strlen(ours->host);
    assert(rest[0] == '\0' || strcmp(rest, ".") == 0 || strcmp(rest, "]") == 0);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_free(scheme);
    curl_url_cleanup(parts);
}

static void check_strict(const char *url, const struct egress_url *parts)
{
    struct err err = ERR_INIT;
    struct egress *none = egress_new(&(struct egress_settings){0}, &err);
    int rc = egress_check_url(none, url, &err);
    assert(rc == 0 || err.code == ERR_INVALID);
    assert(rc != 0 || !parts->is_literal || ip_special(&parts->ip) == NULL);
    egress_free(none);
}

/* The address of the URL, or one made of its text. */
static void check_lists(
    const struct egress *egress, const char *url, const struct egress_url *parts, const char *deny)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons(parts->port)};
    struct err err = ERR_INIT;
    if (parts->is_literal) {
        memcpy(&addr.sin6_addr, parts->ip.bytes, 16);
    } else {
        size_t len = strlen(parts->host);
        memcpy(&addr.sin6_addr, parts->host, len < 16 ? len : 16);
    }
    int rc = egress_check_address(egress, parts->host, (struct sockaddr *)&addr, &err);
    assert(rc == 0 || (err.code == ERR_DENIED && err.msg[0] != '\0'));
    if (parts->is_literal && egress_check_url(egress, url, &err) == 0) {
        assert(rc == 0); /* what the text passes the address does */
    }
    assert(rc != 0 || strcmp(deny, parts->host) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *allow = take_line(&data, &size), *deny = take_line(&data, &size);
    char *ports = take_line(&data, &size), *url = xstrndup((const char *)data, size);
    struct egress_settings settings = {.allow = allow, .deny = deny, .ports = ports};
    struct err err = ERR_INIT;
    struct egress *egress = egress_new(&settings, &err);
    assert(egress != NULL || err.code == ERR_INVALID || err.code == ERR_LIMIT);
    struct egress_url parts;
    err = (struct err)ERR_INIT;
    if (egress_url_parse(url, &parts, &err) != 0) {
        assert(err.code == ERR_INVALID && strncmp(err.msg, "url: ", 5) == 0);
    } else {
        assert(parts.host[0] != '\0' && parts.port != 0);
        check_against_curl(url, &parts);
        check_strict(url, &parts);
        if (egress != NULL) {
            check_lists(egress, url, &parts, deny);
        }
        egress_url_done(&parts);
    }
    egress_free(egress);
    free(allow);
    free(deny);
    free(ports);
    free(url);
    return 0;
}
