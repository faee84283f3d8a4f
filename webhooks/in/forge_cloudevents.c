/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CloudEvents 1.0 over HTTP, structured and binary. Either becomes the structured form, so that
 * what reads "/data/..." need not know which was sent. Batches are not taken: nobody asked for
 * them, which the specification wants.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/http_msg.h"
#include "base/json.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

#define ID_DIGITS 32
#define ATTRIBUTES_MAX 64

static bool type_begins(const struct http_request *req, const char *prefix)
{
    const char *type = http_header(req, "Content-Type");
    return type != NULL && strncasecmp(type, prefix, strlen(prefix)) == 0;
}

/* A quoted string without its quotes and backslashes, then one round of percent-decoding. */
static const char *decode_value(struct pool *pool, const char *value)
{
    size_t len = strlen(value), n = 0;
    char *plain = pool_alloc(pool, len + 1);
    bool is_quoted = len >= 2 && value[0] == '"' && value[len - 1] == '"';
    size_t begin = is_quoted ? 1 : 0, end = is_quoted ? len - 1 : len;
    for (size_t i = begin; i < end; i++) {
        i += is_quoted && value[i] == '\\' && i + 1 < end;
        plain[n++] = value[i];
    }
    return http_decode(pool, plain, n, false);
}

/* The names of attributes: lower-case letters and digits. */
static bool is_attribute(const char *name)
{
    return name[0] != '\0' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789")] == '\0';
}

static char *lower(struct pool *pool, const char *text)
{
    char *copy = pool_strdup(pool, text);
    for (char *c = copy; *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    return copy;
}

static int add_attribute(struct reading *r, json_t *event, const struct http_field *field)
{
    const char *name = lower(r->pool, field->name + 3);
    const char *value = decode_value(r->pool, field->value);
    json_t *text = value != NULL ? json_string(value) : NULL;
    if (text == NULL || !is_attribute(name) || json_object_get(event, name) != NULL ||
        json_object_size(event) > ATTRIBUTES_MAX || strcmp(name, "data") == 0) {
        json_decref(text);
        return take_bad(r,
            "the header %.64s: expected one attribute of a CloudEvent (UTF-8, percent-encoded)",
            field->name);
    }
    json_object_set_new(event, name, text);
    return 0;
}

static int add_data(struct reading *r, json_t *event)
{
    const char *type = http_header(r->req, "Content-Type");
    if (type != NULL) {
        json_t *text = json_string(type);
        if (text == NULL) {
            return take_bad(r, "Content-Type: not UTF-8");
        }
        json_object_set_new(event, "datacontenttype", text);
    }
    if (r->req->body_len == 0) {
        return 0;
    }
    if (type == NULL || type_begins(r->req, "application/json") || strstr(type, "+json") != NULL) {
        json_t *data = take_json(r, r->req->body, r->req->body_len, "data");
        if (data == NULL) {
            return -1;
        }
        json_object_set(event, "data", data);
        return 0;
    }
    json_t *text = json_stringn(r->req->body, r->req->body_len);
    if (text != NULL && strlen(r->req->body) == r->req->body_len) {
        json_object_set_new(event, "data", text);
        return 0;
    }
    json_decref(text);
    CLEANUP(cleanup_free) char *encoded = base64_encode(r->req->body, r->req->body_len);
    json_object_set_new(event, "data_base64", json_string(encoded));
    return 0;
}

static int read_binary(struct reading *r, struct hook_message *m)
{
    m->payload = json_object();
    pool_on_free(r->pool, drop_json, m->payload);
    for (size_t i = 0; i < r->req->headers.count; i++) {
        const struct http_field *field = &r->req->headers.items[i];
        if (strncasecmp(field->name, "ce-", 3) == 0 && add_attribute(r, m->payload, field) != 0) {
            return -1;
        }
    }
    return add_data(r, m->payload);
}

int cloudevents_read(struct reading *r, struct hook_message *m)
{
    if (type_begins(r->req, "application/cloudevents-batch")) {
        return take_bad(r, "Content-Type: batches are not taken; send one event a request");
    }
    if (type_begins(r->req, "application/cloudevents")) {
        m->payload = take_json(r, r->req->body, r->req->body_len, "payload");
        if (m->payload == NULL) {
            return -1;
        }
    } else if (read_binary(r, m) != 0) {
        return -1;
    }
    const char *version = take_need(r, m->payload, "", "specversion");
    const char *id = take_need(r, m->payload, "", "id");
    const char *source = take_need(r, m->payload, "", "source");
    m->event = take_need(r, m->payload, "", "type");
    if (r->is_bad) {
        return -1;
    }
    if (strcmp(version, "1.0") != 0) {
        return take_bad(r, "specversion: '%.20s' is not 1.0", version);
    }
    if (!event_is_valid(m->event)) {
        return take_bad(r, "type: expected at most %d printable characters", DELIVERY_MAX);
    }
    /* source and id together are what an event is known by; either may hold any text. */
    const char *both = pool_printf(r->pool, "%s\n%s", source, id);
    char digest[SHA256_HEX_LEN + 1];
    sha256_hex(both, strlen(both), digest);
    m->delivery = pool_printf(r->pool, "ce-%.*s", ID_DIGITS, digest);
    m->kind = HOOK_GENERIC;
    return 0;
}
