/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes: what of an event may be told, in which format, and how large it may be. */
#include "webhooks/out/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/event_types.h"
#include "webhooks/out/message.h"

#define SOURCE_MAX 4096

/* ---- of messages, for all formats ---- */

const char *message_text(const struct message *m, const char *member)
{
    return jget_str(m->data, member, "");
}

void message_add_encoded(struct buf *out, const char *text, const char *keep)
{
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (const char *p = text; *p != '\0'; p++) {
        if (strchr(unreserved, *p) != NULL || strchr(keep, *p) != NULL) {
            buf_addc(out, *p);
        } else {
            buf_addf(out, "%%%02X", (unsigned char)*p);
        }
    }
}

/* Whom an event is about, by the beginning of its type. */
static const struct {
    const char *prefix, *path, *member;
} sources[] = {
    {"run.", "/apis/v2beta1/runs/", "run_id"},
    {"task.", "/apis/v2beta1/runs/", "run_id"},
    {"artifact.", "/apis/v2beta1/runs/", "run_id"},
    {"recurring_run.", "/apis/v2beta1/recurringruns/", "recurring_run_id"},
    {"trigger.", "/apis/rondo/v1/triggers/git/", "trigger_id"},
    {"subscription.", "/apis/rondo/v1/subscriptions/", "subscription_id"},
    {"delivery.", "/apis/rondo/v1/subscriptions/", "subscription_id"},
    {"webhook.", "/apis/rondo/v1/subscriptions/", "subscription_id"},
};

void message_add_source(const struct message *m, struct buf *out)
{
    if (m->public_url != NULL) {
        buf_adds(out, m->public_url);
    }
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        const char *id = jget_str(m->whole, sources[i].member, "");
        if (str_starts(m->type, sources[i].prefix) && id[0] != '\0') {
            buf_adds(out, sources[i].path);
            message_add_encoded(out, id, "");
            return;
        }
    }
    buf_adds(out, "/apis/rondo/v1");
}

char *message_subject(const struct message *m)
{
    const char *task = jget_str(m->whole, "task", "");
    if (str_starts(m->type, "artifact.")) {
        return xasprintf("%s/%s", task, jget_str(m->whole, "name", ""));
    }
    if (str_starts(m->type, "task.")) {
        return xstrdup(task);
    }
    if (str_starts(m->type, "delivery.")) {
        return xstrdup(jget_str(m->whole, "delivery_id", ""));
    }
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        if (str_starts(m->type, sources[i].prefix)) {
            return xstrdup(jget_str(m->whole, sources[i].member, ""));
        }
    }
    return xstrdup("");
}

/* ---- the standard format ---- */

/* webhook-id names the delivery, one for each subscription; "id" the event, the same for all. */
static json_t *standard_body(
    const char *id, const char *type, const char *at, int version, json_t *data)
{
    return json_pack("{s:s,s:s,s:s,s:i,s:O}", "id", id, "type", type, "timestamp", at, "version",
        version, "data", data);
}

static int version_of(const char *type)
{
    const struct event_type *known = event_type_find(type);
    return known != NULL ? known->version : 1;
}

json_t *envelope_standard_body(const json_t *event)
{
    char at[CLOCK_TEXT_MAX];
    const char *type = jget_str(event, "type", "");
    clock_format_us(jget_i64(event, "time_us", 0), at);
    return standard_body(
        jget_str(event, "id", ""), type, at, version_of(type), json_object_get(event, "data"));
}

void message_as_standard(const struct message *m, struct envelope *out)
{
    json_t *body CLEANUP(json_decrefp) = standard_body(m->id, m->type, m->at, m->version, m->data);
    out->body = jtext(body);
    out->content_type = "application/json";
}

/* ---- what may be told ---- */

static bool is_thin(const struct event_type *type, const char *member)
{
    const struct event_member *known = type != NULL ? event_type_member_named(type, member) : NULL;
    return known != NULL && (known->flags & EVENT_THIN) != 0;
}

static json_t *told_data(const struct event_type *type, const json_t *data, bool thin)
{
    json_t *out = json_object();
    const char *member;
    json_t *value;
    json_object_foreach((json_t *)data, member, value)
    {
        if (!thin || is_thin(type, member)) {
            json_object_set(out, member, value);
        }
    }
    return out;
}

/* False: there is nothing more to leave out. */
static bool leave_out_largest(const struct event_type *type, json_t *data)
{
    const char *member, *largest = NULL;
    json_t *value;
    size_t most = 0;
    json_object_foreach(data, member, value)
    {
        size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!json_is_true(value) && !is_thin(type, member) && size > most) {
            most = size;
            largest = member;
        }
    }
    if (largest == NULL) {
        return false;
    }
    CLEANUP(cleanup_free) char *gone = xstrdup(largest);
    CLEANUP(cleanup_free) char *mark = xasprintf(EVENT_LEFT_OUT, gone);
    json_object_del(data, gone);
    json_object_set_new(data, mark, json_true());
    return true;
}

static void message_put(
    const struct message *m, enum subscription_format format, struct envelope *out)
{
    switch (format) {
    case SUBSCRIPTION_FORMAT_STANDARD:
        message_as_standard(m, out);
        break;
    case SUBSCRIPTION_FORMAT_CLOUDEVENTS:
        message_as_cloudevent(m, false, out);
        break;
    case SUBSCRIPTION_FORMAT_CLOUDEVENTS_BINARY:
        message_as_cloudevent(m, true, out);
        break;
    case SUBSCRIPTION_FORMAT_CDEVENTS:
        message_as_cdevent(m, false, out);
        break;
    case SUBSCRIPTION_FORMAT_CDEVENTS_0_4:
        message_as_cdevent(m, true, out);
        break;
    case SUBSCRIPTION_FORMAT_SLACK:
        message_as_slack(m, out);
        break;
    }
    out->body_len = strlen(out->body);
}

int envelope_make(const char *public_url, enum subscription_format format,
    enum subscription_payload payload, const json_t *event, struct envelope *out)
{
    const char *name = jget_str(event, "type", "");
    const struct event_type *type = event_type_find(name);
    const json_t *whole = json_object_get(event, "data");
    json_t *data CLEANUP(json_decrefp) =
        told_data(type, whole, payload == SUBSCRIPTION_PAYLOAD_THIN);
    struct message m = {
        .public_url = public_url,
        .id = jget_str(event, "id", ""),
        .type = name,
        .version = version_of(name),
        .whole = whole,
        .data = data,
        .is_thin = payload == SUBSCRIPTION_PAYLOAD_THIN,
    };
    clock_format_us(jget_i64(event, "time_us", 0), m.at);
    *out = (struct envelope){0};
    message_put(&m, format, out);
    while (out->body_len > ENVELOPE_BODY_MAX && leave_out_largest(type, data)) {
        envelope_done(out);
        message_put(&m, format, out);
    }
    return 0;
}

void envelope_done(struct envelope *envelope)
{
    free(envelope->body);
    json_decref(envelope->headers);
    *envelope = (struct envelope){0};
}

const struct envelope *envelope_set_get(
    struct envelope_set *set, enum subscription_format format, enum subscription_payload payload)
{
    struct envelope *envelope = &set->made[format][payload];
    if (envelope->body == NULL) {
        (void)envelope_make(set->public_url, format, payload, set->event, envelope);
    }
    return envelope->body != NULL ? envelope : NULL;
}

void envelope_set_done(struct envelope_set *set)
{
    for (size_t format = 0; format < ARRAY_LEN(set->made); format++) {
        for (size_t payload = 0; payload < ARRAY_LEN(set->made[format]); payload++) {
            envelope_done(&set->made[format][payload]);
        }
    }
}
