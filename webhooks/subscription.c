/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions as values: checked on the way in, matched against event types. */
#include "webhooks/subscription.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/egress.h"
#include "webhooks/signature.h"

#define EVENTS_MAX 32
#define GLOB_MAX 128
#define NAME_MAX_BYTES 128
#define SUBSCRIPTION_VERSION 1

void subscription_free(struct subscription *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->event_count; i++) {
        free(s->events[i]);
    }
    free(s->events);
    secret_done(&s->secret);
    if (s->secret_text != NULL) {
        explicit_bzero(s->secret_text, strlen(s->secret_text));
    }
    free(s->secret_text);
    free(s->id);
    free(s->name);
    free(s->url);
    free(s->host);
    free(s->disabled_reason);
    free(s);
}

static int read_events(struct subscription *s, const json_t *events, struct err *err)
{
    size_t count = json_array_size(events);
    if (events != NULL && (count == 0 || count > EVENTS_MAX)) {
        return err_set(err, ERR_INVALID,
            "events: give 1 to %d event types such as \"task.finished\" or \"artifact.*\"",
            EVENTS_MAX);
    }
    s->events = xcalloc(count > 0 ? count : 1, sizeof *s->events);
    if (events == NULL) {
        s->events[s->event_count++] = xstrdup("*");
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        const char *glob = json_string_value(json_array_get(events, i));
        if (glob == NULL || glob[0] == '\0' || strlen(glob) > GLOB_MAX ||
            glob[strspn(glob, "abcdefghijklmnopqrstuvwxyz_.*")] != '\0') {
            return err_set(err, ERR_INVALID,
                "events[%zu]: expected an event type in small letters with dots; '*' stands for "
                "any text",
                i);
        }
        s->events[s->event_count++] = xstrdup(glob);
    }
    return 0;
}

/* An address written into the URL itself can be judged at once; names are judged on connect. */
static int check_literal(const char *host, const struct egress *egress, struct err *err)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *addr = NULL;
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        addr = (const struct sockaddr *)(const void *)&v4;
    } else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        addr = (const struct sockaddr *)(const void *)&v6;
    }
    if (addr != NULL && !egress_allows_host(egress, host) && !egress_allows_address(egress, addr)) {
        return err_set(err, ERR_INVALID,
            "url: %s is not a public address; start rondod with --webhook-allow %s to allow it",
            host, host);
    }
    return 0;
}

static int read_common(struct subscription *s, const json_t *body, struct err *err)
{
    const char *url = NULL, *name = "", *secret = NULL;
    const json_t *events = NULL;
    s->is_enabled = true;
    if (jread_need_string(body, "", "url", &url, err) != 0 ||
        jread_string(body, "", "name", &name, err) != 0 ||
        jread_string(body, "", "secret", &secret, err) != 0 ||
        jread_bool(body, "", "enabled", &s->is_enabled, err) != 0 ||
        jread_array(body, "", "events", &events, err) != 0 ||
        egress_check_url(url, &s->host, err) != 0 || read_events(s, events, err) != 0) {
        return -1;
    }
    if (strlen(name) > NAME_MAX_BYTES) {
        return err_set(err, ERR_INVALID, "name: longer than %d bytes", NAME_MAX_BYTES);
    }
    s->url = xstrdup(url);
    s->name = xstrdup(name);
    s->secret_text = secret != NULL ? xstrdup(secret) : signature_new_secret();
    return signature_parse_secret(s->secret_text, &s->secret, err);
}

struct subscription *subscription_from_body(
    const json_t *body, const struct egress *egress, struct err *err)
{
    static const char *const known[] = {"url", "name", "events", "secret", "enabled", NULL};
    struct subscription *s = xcalloc(1, sizeof *s);
    if (jread_only(body, "", known, err) != 0 || read_common(s, body, err) != 0 ||
        check_literal(s->host, egress, err) != 0) {
        subscription_free(s);
        return NULL;
    }
    struct id id;
    id_new(&id);
    s->id = xstrdup(id.text);
    s->created_us = clock_now_us();
    return s;
}

struct subscription *subscription_from_record(const json_t *record, struct err *err)
{
    struct subscription *s = xcalloc(1, sizeof *s);
    if (jget_i64(record, "v", 0) != SUBSCRIPTION_VERSION) {
        err_set(err, ERR_INTERNAL, "subscription record of unknown version %lld",
            (long long)jget_i64(record, "v", 0));
        subscription_free(s);
        return NULL;
    }
    if (read_common(s, record, err) != 0) {
        subscription_free(s);
        return NULL;
    }
    s->id = xstrdup(jget_str(record, "id", ""));
    s->created_us = jget_i64(record, "created_us", 0);
    const char *reason = jget_str(record, "disabled_reason", NULL);
    s->disabled_reason = reason != NULL ? xstrdup(reason) : NULL;
    return s;
}

json_t *subscription_json(const struct subscription *s, bool with_secret)
{
    json_t *events = json_array();
    for (size_t i = 0; i < s->event_count; i++) {
        json_array_append_new(events, json_string(s->events[i]));
    }
    json_t *record = json_pack("{s:i,s:s,s:s,s:s,s:o,s:b,s:I}", "v", SUBSCRIPTION_VERSION, "id",
        s->id, "name", s->name, "url", s->url, "events", events, "enabled", s->is_enabled,
        "created_us", (json_int_t)s->created_us);
    jset_str(record, "disabled_reason", s->disabled_reason);
    if (with_secret) {
        jset_str(record, "secret", s->secret_text);
    }
    return record;
}

bool subscription_wants(const struct subscription *s, const char *type)
{
    if (!s->is_enabled) {
        return false;
    }
    for (size_t i = 0; i < s->event_count; i++) {
        if (fnmatch(s->events[i], type, 0) == 0) {
            return true;
        }
    }
    return false;
}
