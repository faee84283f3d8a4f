/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request headers that a user adds to the deliveries of a subscription, such as
 * "Authorization". Checked here once, so that nothing can be smuggled into the request: names are
 * tokens (RFC 9110 section 5.6.2), values are visible ASCII, and what the sender or HTTP itself
 * says in a header is not for users.
 */
#include "webhooks/out/subscription.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/util.h"

#define NAME_MAX_BYTES 128
#define ALL_MAX_BYTES 4096

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TOKEN DIGITS LETTERS "!#$%&'*+-.^_`|~"

/* Ours, of one connection (RFC 9110 section 7.6.1), or such as change how the body is read. One
 * that ends in '-' stands for all that begin so. */
static const char *const reserved[] = {"ce-", "connection", "content-", "expect", "host",
    "http2-settings", "keep-alive", "proxy-", "te", "trailer", "transfer-encoding", "upgrade",
    "webhook-"};

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        size_t len = strlen(reserved[i]);
        bool is_prefix = reserved[i][len - 1] == '-';
        if (strncasecmp(name, reserved[i], len) == 0 && (is_prefix || name[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static int check_name(const char *name, struct err *err)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_BYTES || strspn(name, TOKEN) != len) {
        return err_set(err, ERR_INVALID,
            "headers: '%.64s' is not the name of a header: letters, digits and !#$%%&'*+-.^_`|~, "
            "at most %d",
            name, NAME_MAX_BYTES);
    }
    if (is_reserved(name)) {
        return err_set(err, ERR_INVALID,
            "headers: '%s' is not for users: rondo or HTTP sets it (host, content-*, webhook-*, "
            "ce-*, and those of one connection)",
            name);
    }
    return 0;
}

/* The value is not in any message. */
static int check_value(const char *name, const json_t *value, struct err *err)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (text == NULL) {
        return err_set(err, ERR_INVALID, "headers.%s: expected a string", name);
    }
    if (len == 0 || text[0] == ' ' || text[len - 1] == ' ') {
        return err_set(err, ERR_INVALID,
            "headers.%s: a value is not empty and has no space at its ends", name);
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return err_set(err, ERR_INVALID,
                "headers.%s: character %zu is no visible ASCII character or space; line breaks and "
                "control characters cannot be sent in a header",
                name, i + 1);
        }
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct subscription_header *x = a, *y = b;
    return strcasecmp(x->name, y->name);
}

int subscription_read_headers(struct subscription *s, const json_t *headers, struct err *err)
{
    size_t count = json_object_size(headers), bytes = 0;
    if (count > SUBSCRIPTION_HEADERS_MAX) {
        return err_set(err, ERR_INVALID, "headers: %zu are too many; at most %d", count,
            SUBSCRIPTION_HEADERS_MAX);
    }
    s->headers = xcalloc(count + 1, sizeof *s->headers);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)headers, name, value)
    {
        if (check_name(name, err) != 0 || check_value(name, value, err) != 0) {
            return -1;
        }
        if (subscription_has_header(s, name)) {
            return err_set(
                err, ERR_INVALID, "headers: '%s' is given twice (case does not count)", name);
        }
        bytes += strlen(name) + json_string_length(value);
        if (bytes > ALL_MAX_BYTES) {
            return err_set(err, ERR_INVALID,
                "headers: more than %d bytes of names and values together", ALL_MAX_BYTES);
        }
        s->headers[s->header_count++] = (struct subscription_header){
            .name = xstrdup(name), .line = xasprintf("%s: %s", name, json_string_value(value))};
    }
    /* In one order, however they were given. */
    qsort(s->headers, s->header_count, sizeof *s->headers, by_name);
    return 0;
}

bool subscription_has_header(const struct subscription *s, const char *name)
{
    for (size_t i = 0; i < s->header_count; i++) {
        if (strcasecmp(s->headers[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}
