/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions as values: checked on the way in, stored and shown on the way out. */
#include "webhooks/out/subscription.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/cel/cel.h"
#include "webhooks/egress.h"
#include "webhooks/signature.h"
#include "webhooks/signature_ed25519.h"

#define EVENTS_MAX 32
#define GLOB_MAX 128
#define LIST_MAX 100
#define LIST_TEXT_MAX 256
#define NAME_MAX_BYTES 128
#define REASON_MAX_BYTES 512
#define PER_SECOND_MAX 100000
#define IN_FLIGHT_DEFAULT 16
#define TIMEOUT_MIN_MS 100
#define TIMEOUT_MAX_MS (10 * 60 * 1000)
#define SUBSCRIPTION_VERSION 2

/* By the enums' numbers. */
static const char *const formats[] = {
    "standard", "cloudevents", "cloudevents-binary", "cdevents", "cdevents-0.4", "slack", NULL};
static const char *const payloads[] = {"full", "thin", NULL};
static const char *const orders[] = {"none", "run", NULL};

const char *const subscription_members[] = {"url", "name", "events", "enabled", "namespaces",
    "experiments", "pipelines", "recurring_runs", "filter", "format", "payload", "headers", "order",
    "max_in_flight", "max_per_second", "timeout_ms", NULL};

static void list_done(struct subscription_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
}

static void secret_entry_done(struct subscription_secret *secret)
{
    secret_done(&secret->key);
    secret_text_free(secret->text);
}

void subscription_free(struct subscription *s)
{
    if (s == NULL) {
        return;
    }
    list_done(&s->events);
    list_done(&s->namespaces);
    list_done(&s->experiments);
    list_done(&s->pipelines);
    list_done(&s->recurring_runs);
    for (size_t i = 0; i < s->header_count; i++) {
        free(s->headers[i].name);
        secret_text_free(s->headers[i].line);
    }
    free(s->headers);
    for (size_t i = 0; i < s->secret_count; i++) {
        secret_entry_done(&s->secrets[i]);
    }
    free(s->secrets);
    cel_free(s->filter);
    free(s->filter_error);
    free(s->id);
    free(s->name);
    free(s->url);
    free(s->host);
    free(s->disabled_reason);
    free(s);
}

/* ---- in ---- */

static int read_events(struct subscription *s, const json_t *events, struct err *err)
{
    size_t count = json_array_size(events);
    if (events != NULL && (count == 0 || count > EVENTS_MAX)) {
        return err_set(err, ERR_INVALID,
            "events: give 1 to %d event types such as \"task.finished\" or \"artifact.*\"",
            EVENTS_MAX);
    }
    s->events.items = xcalloc(count > 0 ? count : 1, sizeof *s->events.items);
    if (events == NULL) {
        s->events.items[s->events.count++] = xstrdup("*");
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        const char *glob = json_string_value(json_array_get(events, i));
        if (glob == NULL || glob[0] == '\0' || strlen(glob) > GLOB_MAX ||
            glob[strspn(glob, "abcdefghijklmnopqrstuvwxyz0123456789_.*")] != '\0') {
            return err_set(err, ERR_INVALID,
                "events[%zu]: expected an event type in small letters with dots; '*' stands for "
                "any text",
                i);
        }
        s->events.items[s->events.count++] = xstrdup(glob);
    }
    return 0;
}

/* Ids or names. */
static int read_list(
    const json_t *body, const char *key, struct subscription_list *out, struct err *err)
{
    const json_t *list = NULL;
    if (jread_array(body, "", key, &list, err) != 0) {
        return -1;
    }
    size_t count = json_array_size(list);
    if (count > LIST_MAX) {
        return err_set(err, ERR_INVALID, "%s: %zu are too many; at most %d", key, count, LIST_MAX);
    }
    out->items = xcalloc(count + 1, sizeof *out->items);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || text[0] == '\0' || strlen(text) > LIST_TEXT_MAX) {
            return err_set(err, ERR_INVALID,
                "%s[%zu]: expected an id or a name, of at most %d bytes", key, i, LIST_TEXT_MAX);
        }
        out->items[out->count++] = xstrdup(text);
    }
    return 0;
}

/* One of these words; its number. Absent: the first. */
static int read_word(
    const json_t *body, const char *key, const char *const *words, int *out, struct err *err)
{
    const char *text = words[0];
    if (jread_string(body, "", key, &text, err) != 0) {
        return -1;
    }
    for (*out = 0; words[*out] != NULL; ++*out) {
        if (strcmp(words[*out], text) == 0) {
            return 0;
        }
    }
    struct buf all;
    buf_init(&all, ERR_MSG_MAX);
    for (size_t i = 0; words[i] != NULL; i++) {
        buf_addf(&all, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    err_set(err, ERR_INVALID, "%s: '%.64s' is none of %s", key, text, all.data);
    buf_done(&all);
    return -1;
}

static int read_form(struct subscription *s, const json_t *body, struct err *err)
{
    int format, payload, order;
    const json_t *headers = NULL;
    if (read_word(body, "format", formats, &format, err) != 0 ||
        read_word(body, "payload", payloads, &payload, err) != 0 ||
        read_word(body, "order", orders, &order, err) != 0 ||
        jread_object(body, "", "headers", &headers, err) != 0 ||
        subscription_read_headers(s, headers, err) != 0) {
        return -1;
    }
    s->format = (enum subscription_format)format;
    s->payload = (enum subscription_payload)payload;
    s->is_ordered = order == 1;
    return 0;
}

static int read_filters(struct subscription *s, const json_t *body, struct err *err)
{
    const char *filter = NULL;
    if (read_list(body, "namespaces", &s->namespaces, err) != 0 ||
        read_list(body, "experiments", &s->experiments, err) != 0 ||
        read_list(body, "pipelines", &s->pipelines, err) != 0 ||
        read_list(body, "recurring_runs", &s->recurring_runs, err) != 0 ||
        jread_string(body, "", "filter", &filter, err) != 0) {
        return -1;
    }
    if (filter == NULL || filter[0] == '\0') {
        return 0;
    }
    s->filter = cel_compile(filter, subscription_filter_variables, err);
    s->speaks_of_time = strstr(filter, "time") != NULL;
    if (s->filter == NULL) {
        return err_wrap(err, "filter");
    }
    return 0;
}

static int read_limits(struct subscription *s, const json_t *body, struct err *err)
{
    int64_t in_flight = IN_FLIGHT_DEFAULT;
    if (jread_i64(body, "", "max_in_flight", 1, SUBSCRIPTION_IN_FLIGHT_MAX, &in_flight, err) != 0 ||
        jread_i64(body, "", "max_per_second", 0, PER_SECOND_MAX, &s->max_per_second, err) != 0 ||
        jread_i64(body, "", "timeout_ms", 0, TIMEOUT_MAX_MS, &s->timeout_ms, err) != 0) {
        return -1;
    }
    s->max_in_flight = (int)in_flight;
    if (s->timeout_ms != 0 && s->timeout_ms < TIMEOUT_MIN_MS) {
        return err_set(err, ERR_INVALID,
            "timeout_ms: give %d to %d milliseconds, or 0 for the daemon's setting", TIMEOUT_MIN_MS,
            TIMEOUT_MAX_MS);
    }
    return 0;
}

static int read_common(struct subscription *s, const json_t *body, struct err *err)
{
    const char *url = NULL, *name = "";
    const json_t *events = NULL;
    s->is_enabled = true;
    if (jread_need_string(body, "", "url", &url, err) != 0 ||
        jread_string(body, "", "name", &name, err) != 0 ||
        jread_bool(body, "", "enabled", &s->is_enabled, err) != 0 ||
        jread_array(body, "", "events", &events, err) != 0 ||
        egress_url_host(url, &s->host, err) != 0 || read_events(s, events, err) != 0 ||
        read_filters(s, body, err) != 0 || read_form(s, body, err) != 0 ||
        read_limits(s, body, err) != 0) {
        return -1;
    }
    if (strlen(name) > NAME_MAX_BYTES) {
        return err_set(err, ERR_INVALID, "name: longer than %d bytes", NAME_MAX_BYTES);
    }
    s->url = xstrdup(url);
    s->name = xstrdup(name);
    return 0;
}

/* After all others of the array, which has room. */
static int add_secret(struct subscription *s, const char *text, int64_t expires_us, struct err *err)
{
    struct subscription_secret *secret = &s->secrets[s->secret_count];
    secret->is_key_pair = ed25519_is_private(text);
    if ((secret->is_key_pair ? ed25519_parse_private(text, &secret->key, err)
                             : signature_parse_secret(text, &secret->key, err)) != 0) {
        return -1;
    }
    secret->text = xstrdup(text);
    secret->expires_us = expires_us;
    s->secret_count++;
    return 0;
}

/* Those that have expired are left out. Version 1 had one, by itself. */
static int read_secrets(struct subscription *s, const json_t *record, struct err *err)
{
    const json_t *list = json_object_get(record, "secrets");
    const char *only = jget_str(record, "secret", NULL);
    size_t count = json_array_size(list), i;
    json_t *one;
    int64_t now = clock_now_us();
    if (count > SUBSCRIPTION_SECRETS_MAX) {
        return err_set(err, ERR_INTERNAL, "secrets: more than %d", SUBSCRIPTION_SECRETS_MAX);
    }
    s->secrets = xcalloc(count + 1, sizeof *s->secrets);
    json_array_foreach((json_t *)list, i, one)
    {
        int64_t expires_us = jget_i64(one, "expires_us", 0);
        if (expires_us != 0 && expires_us <= now) {
            s->is_stale = true;
        } else if (add_secret(s, jget_str(one, "secret", ""), expires_us, err) != 0) {
            return -1;
        }
    }
    if (count == 0 && only != NULL && add_secret(s, only, 0, err) != 0) {
        return -1;
    }
    return s->secret_count > 0 ? 0 : err_set(err, ERR_INTERNAL, "secrets: none is live");
}

char *subscription_new_secret(const json_t *body, bool is_key_pair, struct err *err)
{
    const char *given = NULL, *scheme = NULL;
    if (jread_string(body, "", "secret", &given, err) != 0 ||
        jread_string(body, "", "scheme", &scheme, err) != 0) {
        return NULL;
    }
    if (scheme != NULL && strcmp(scheme, "v1") != 0 && strcmp(scheme, "v1a") != 0) {
        err_set(err, ERR_INVALID,
            "scheme: '%.64s' is none of v1 (a shared secret, HMAC-SHA256), v1a (a key pair, "
            "Ed25519)",
            scheme);
        return NULL;
    }
    is_key_pair = scheme != NULL ? strcmp(scheme, "v1a") == 0 : is_key_pair;
    if (given == NULL) {
        return is_key_pair ? ed25519_new_private() : signature_new_secret();
    }
    if (scheme != NULL && is_key_pair != ed25519_is_private(given)) {
        err_set(err, ERR_INVALID, "secret: one of scheme %s begins with '%s'", scheme,
            is_key_pair ? "whsk_" : "whsec_");
        return NULL;
    }
    return xstrdup(given);
}

static int read_first_secret(struct subscription *s, const json_t *body, struct err *err)
{
    char *text = subscription_new_secret(body, false, err);
    if (text == NULL) {
        return -1;
    }
    s->secrets = xcalloc(1, sizeof *s->secrets);
    int rc = add_secret(s, text, 0, err);
    secret_text_free(text);
    return rc;
}

static int check_members(const json_t *body, struct err *err)
{
    const char *known[ARRAY_LEN(subscription_members) + 2] = {"secret", "scheme"};
    memcpy(known + 2, subscription_members, sizeof subscription_members);
    return jread_only(body, "", known, err);
}

struct subscription *subscription_from_body(
    const json_t *body, const struct egress *egress, struct err *err)
{
    struct subscription *s = xcalloc(1, sizeof *s);
    if (check_members(body, err) != 0 || read_common(s, body, err) != 0 ||
        subscription_check_events(s, err) != 0 || read_first_secret(s, body, err) != 0 ||
        egress_check_url(egress, s->url, err) != 0) {
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
    int64_t version = jget_i64(record, "v", 0);
    if (version < 1 || version > SUBSCRIPTION_VERSION) {
        err_set(
            err, ERR_INTERNAL, "subscription record of unknown version %lld", (long long)version);
        subscription_free(s);
        return NULL;
    }
    if (read_common(s, record, err) != 0 || read_secrets(s, record, err) != 0) {
        subscription_free(s);
        return NULL;
    }
    s->id = xstrdup(jget_str(record, "id", ""));
    s->created_us = jget_i64(record, "created_us", 0);
    s->rev = jget_i64(record, "rev", 0);
    const char *reason = jget_str(record, "disabled_reason", NULL);
    s->disabled_reason = reason != NULL ? xstrndup(reason, REASON_MAX_BYTES) : NULL;
    return s;
}

/* ---- out ---- */

static json_t *list_json(const struct subscription_list *list)
{
    json_t *out = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_array_append_new(out, json_string(list->items[i]));
    }
    return out;
}

/* What is both stored and shown. */
static json_t *common_json(const struct subscription *s)
{
    json_t *out = json_pack("{s:i,s:s,s:s,s:s,s:o,s:b,s:I,s:I}", "v", SUBSCRIPTION_VERSION, "id",
        s->id, "name", s->name, "url", s->url, "events", list_json(&s->events), "enabled",
        s->is_enabled, "created_us", (json_int_t)s->created_us, "rev", (json_int_t)s->rev);
    json_object_set_new(out, "namespaces", list_json(&s->namespaces));
    json_object_set_new(out, "experiments", list_json(&s->experiments));
    json_object_set_new(out, "pipelines", list_json(&s->pipelines));
    json_object_set_new(out, "recurring_runs", list_json(&s->recurring_runs));
    jset_str(out, "filter", s->filter != NULL ? cel_text(s->filter) : NULL);
    jset_str(out, "format", formats[s->format]);
    jset_str(out, "payload", payloads[s->payload]);
    jset_str(out, "order", orders[s->is_ordered]);
    json_object_set_new(out, "max_in_flight", json_integer(s->max_in_flight));
    json_object_set_new(out, "max_per_second", json_integer(s->max_per_second));
    json_object_set_new(out, "timeout_ms", json_integer(s->timeout_ms));
    jset_str(out, "disabled_reason", s->disabled_reason);
    return out;
}

json_t *subscription_record(const struct subscription *s)
{
    json_t *out = common_json(s), *headers = json_object(), *secrets = json_array();
    for (size_t i = 0; i < s->header_count; i++) {
        const struct subscription_header *header = &s->headers[i];
        json_object_set_new(
            headers, header->name, json_string(header->line + strlen(header->name) + 2));
    }
    for (size_t i = 0; i < s->secret_count; i++) {
        json_array_append_new(secrets, json_pack("{s:s,s:I}", "secret", s->secrets[i].text,
                                           "expires_us", (json_int_t)s->secrets[i].expires_us));
    }
    json_object_set_new(out, "headers", headers);
    json_object_set_new(out, "secrets", secrets);
    return out;
}

json_t *subscription_shown(const struct subscription *s)
{
    json_t *out = common_json(s), *names = json_array(), *secrets = json_array();
    for (size_t i = 0; i < s->header_count; i++) {
        json_array_append_new(names, json_string(s->headers[i].name));
    }
    for (size_t i = 0; i < s->secret_count; i++) {
        const struct subscription_secret *secret = &s->secrets[i];
        json_t *one = json_pack("{s:s,s:I}", "scheme", secret->is_key_pair ? "v1a" : "v1",
            "expires_us", (json_int_t)secret->expires_us);
        if (secret->is_key_pair) {
            CLEANUP(cleanup_free) char *public = ed25519_public_text(&secret->key);
            jset_str(one, "public_key", public);
        }
        json_array_append_new(secrets, one);
    }
    json_object_set_new(out, "header_names", names);
    json_object_set_new(out, "secrets", secrets);
    return out;
}

char *subscription_sign(
    const struct subscription *s, const char *id, int64_t now_us, const void *body, size_t len)
{
    struct buf out;
    buf_init(&out, 4096);
    for (size_t i = 0; i < s->secret_count; i++) {
        const struct subscription_secret *secret = &s->secrets[i];
        if (secret->expires_us == 0 || secret->expires_us > now_us) {
            CLEANUP(cleanup_free)
            char *one = secret->is_key_pair
                            ? ed25519_sign(&secret->key, id, now_us / US_PER_S, body, len)
                            : signature_make(&secret->key, id, now_us / US_PER_S, body, len);
            buf_addf(&out, "%s%s", out.len > 0 ? " " : "", one);
        }
    }
    char *text = xstrdup(out.len > 0 ? out.data : "");
    buf_done(&out);
    return text;
}

bool subscription_drop_expired(struct subscription *s, int64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->secret_count; i++) {
        struct subscription_secret *secret = &s->secrets[i];
        if (i > 0 && secret->expires_us != 0 && secret->expires_us <= now_us) {
            secret_entry_done(secret);
        } else {
            s->secrets[kept++] = *secret;
        }
    }
    bool is_less = kept < s->secret_count || s->is_stale;
    memset(s->secrets + kept, 0, (s->secret_count - kept) * sizeof *s->secrets);
    s->secret_count = kept;
    s->is_stale = false;
    return is_less;
}

int64_t subscription_next_expiry(const struct subscription *s)
{
    int64_t first = s->is_stale ? 0 : INT64_MAX;
    for (size_t i = 1; i < s->secret_count; i++) {
        int64_t at = s->secrets[i].expires_us;
        first = at != 0 && at < first ? at : first;
    }
    return first;
}
