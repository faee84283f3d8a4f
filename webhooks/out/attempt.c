/* SPDX-License-Identifier: Apache-2.0 */
/* Attempts for the log. */
#include "webhooks/out/attempt.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/util.h"

#define HIDDEN "(hidden)"

/* Cut at a character's end, and without what would not be text. */
static json_t *text_json(const char *text, size_t len, size_t max)
{
    size_t end = 0, step;
    len = len < max ? len : max;
    char *copy = xmalloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        copy[i] = text[i] != '\0' ? text[i] : '?';
    }
    copy[len] = '\0';
    text_sanitise(copy);
    while (end < len && (step = utf8_step(copy + end, len - end)) > 0) {
        end += step;
    }
    json_t *out = json_stringn(copy, end);
    free(copy);
    return out;
}

static bool is_secret_header(const char *name)
{
    static const char *const names[] = {"Set-Cookie", "Set-Cookie2", "Authorization",
        "WWW-Authenticate", "Proxy-Authenticate", "Cookie"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasecmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *answer_headers(const struct http_reply *reply)
{
    json_t *out = json_array();
    const char *name, *value;
    void *at = NULL;
    while (json_array_size(out) < ATTEMPT_HEADERS_MAX &&
           reply->next_header(reply, &at, &name, &value)) {
        if (is_secret_header(name)) {
            value = HIDDEN;
        }
        json_array_append_new(
            out, json_pack("[o,o]", text_json(name, strlen(name), ATTEMPT_HEADER_MAX),
                     text_json(value, strlen(value), ATTEMPT_HEADER_MAX)));
    }
    return out;
}

static void set_ms(json_t *out, const char *key, double seconds)
{
    json_object_set_new(out, key, json_real((double)(int64_t)(seconds * 1e6) / 1e3));
}

static json_t *answer_json(const struct http_reply *reply)
{
    json_t *out = json_pack("{s:i,s:o}", "status", reply->status, "headers", answer_headers(reply));
    if (reply->body_len > 0) {
        json_object_set_new(
            out, "body", text_json(reply->body, reply->body_len, ATTEMPT_ANSWER_MAX));
        json_object_set_new(
            out, "body_cut", json_boolean(reply->body_cut || reply->body_len > ATTEMPT_ANSWER_MAX));
    }
    return out;
}

char *attempt_record(
    const struct post *post, const struct subscription *sub, const struct http_reply *reply)
{
    json_t *out = json_pack("{s:I,s:I,s:s}", "attempt", (json_int_t)post->made + 1, "at_us",
        (json_int_t)post->begun_us, "url", post->url);
    json_t *times = json_object();
    if (sub != NULL && sub->header_count > 0) {
        json_t *names = json_array();
        for (size_t i = 0; i < sub->header_count; i++) {
            json_array_append_new(names, json_string(sub->headers[i].name));
        }
        json_object_set_new(out, "own_headers", names);
    }
    jset_str(out, "error", post->error);
    if (post->is_probe) {
        json_object_set_new(out, "probe", json_true());
    }
    if (reply != NULL) {
        json_object_set_new(out, "response", answer_json(reply));
        json_object_set_new(out, "address", json_string(reply->peer));
        json_object_set_new(out, "connection_reused", json_boolean(reply->is_reused));
        if (!reply->is_reused) {
            set_ms(times, "dns", reply->dns_s);
            set_ms(times, "connect", reply->connect_s);
            if (reply->tls_s > 0) {
                set_ms(times, "tls", reply->tls_s);
            }
        }
        set_ms(times, "first_byte", reply->first_byte_s);
        set_ms(times, "total", reply->total_s);
    } else {
        jset_str(out, "address", post->address);
        json_object_set_new(times, "total", json_integer(post->duration_ms));
    }
    json_object_set_new(out, "times_ms", times);
    char *text = jtext(out);
    json_decref(out);
    return text;
}

void attempt_note_address(struct post *post, const struct sockaddr *addr)
{
    const void *from = NULL;
    if (addr->sa_family == AF_INET) {
        from = &((const struct sockaddr_in *)(const void *)addr)->sin_addr;
    } else if (addr->sa_family == AF_INET6) {
        from = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
    }
    if (from == NULL ||
        inet_ntop(addr->sa_family, from, post->address, sizeof post->address) == NULL) {
        post->address[0] = '\0';
    }
}
