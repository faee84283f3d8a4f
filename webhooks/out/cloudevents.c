/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CloudEvents 1.0.2: events/spec "CloudEvents", "JSON Event Format" and "HTTP Protocol Binding".
 * The data is the event's data; its schema is part of that of the standard format.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/util.h"
#include "webhooks/out/envelope.h"
#include "webhooks/out/message.h"

#define TEXT_MAX ((size_t)256 * 1024)

/* Is it one that strings of attributes may not have? (Section 3.1: control characters and
 * noncharacters.) */
static bool is_disallowed(unsigned long c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0xfdd0 && c <= 0xfdef) ||
           (c & 0xfffe) == 0xfffe;
}

static unsigned long code_point(const char *text, size_t step)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned long c = (unsigned char)text[0] & first[step];
    for (size_t i = 1; i < step; i++) {
        c = c << 6 | ((unsigned char)text[i] & 0x3fU);
    }
    return c;
}

/* The text with U+FFFD in place of characters that attributes may not have; malloc'd. */
static char *attribute_text(const char *text)
{
    struct buf out;
    buf_init(&out, TEXT_MAX);
    buf_adds(&out, "");
    for (size_t left = strlen(text); left > 0;) {
        size_t step = utf8_step(text, left);
        if (step == 0 || is_disallowed(code_point(text, step))) {
            buf_adds(&out, "\xEF\xBF\xBD");
            step = step == 0 ? 1 : step;
        } else {
            buf_add(&out, text, step);
        }
        text += step;
        left -= step;
    }
    return buf_steal(&out, NULL);
}

/* HTTP binding 3.1.3.2: what is not U+0021..U+007E, and space, '"' and '%', as %XX of its UTF-8. */
static void add_header_value(struct buf *out, const char *value)
{
    for (const char *p = value; *p != '\0'; p++) {
        if (*p < 0x21 || *p > 0x7e || *p == '"' || *p == '%') {
            buf_addf(out, "%%%02X", (unsigned char)*p);
        } else {
            buf_addc(out, *p);
        }
    }
}

static json_t *attributes(const struct message *m, const char *source, const char *type,
    const char *subject, const char *schema)
{
    json_t *out = json_pack("{s:s,s:s,s:s,s:s,s:s}", "specversion", "1.0", "id", m->id, "source",
        source, "type", type, "time", m->at);
    CLEANUP(cleanup_free) char *clean = attribute_text(subject);
    jset_str(out, "subject", clean);
    jset_str(out, "dataschema", schema);
    return out;
}

static void put_structured(json_t *event, json_t *data, struct envelope *out)
{
    json_object_set_new(event, "datacontenttype", json_string("application/json"));
    json_object_set(event, "data", data);
    out->body = jtext(event);
    /* In small letters, because npm's SDK knows no others. */
    out->content_type = "application/cloudevents+json; charset=utf-8";
}

static void put_binary(const json_t *event, const json_t *data, struct envelope *out)
{
    const char *name;
    json_t *value;
    out->headers = json_array();
    json_object_foreach((json_t *)event, name, value)
    {
        struct buf line;
        buf_init(&line, TEXT_MAX);
        buf_addf(&line, "ce-%s: ", name);
        add_header_value(&line, json_string_value(value));
        json_array_append_new(out->headers, json_string(buf_str(&line)));
        buf_done(&line);
    }
    out->body = jtext(data);
    out->content_type = "application/json";
}

void cloudevent_structured(const struct message *m, const char *source, const char *type,
    const char *subject, const char *schema, json_t *data, struct envelope *out)
{
    json_t *event CLEANUP(json_decrefp) = attributes(m, source, type, subject, schema);
    put_structured(event, data, out);
    json_decref(data);
}

void message_as_cloudevent(const struct message *m, bool is_binary, struct envelope *out)
{
    struct buf source;
    buf_init(&source, TEXT_MAX);
    message_add_source(m, &source);
    CLEANUP(cleanup_free) char *type = xasprintf("rondo.%s", m->type);
    CLEANUP(cleanup_free) char *subject = message_subject(m);
    CLEANUP(cleanup_free)
    char *schema = m->public_url == NULL
                       ? NULL
                       : xasprintf("%s" EVENT_SCHEMA_PATH "#/$defs/%s", m->public_url, m->type,
                             m->is_thin ? "thin" : "data");
    json_t *event CLEANUP(json_decrefp) = attributes(m, buf_str(&source), type, subject, schema);
    CLEANUP(cleanup_free) char *version = xasprintf("%d", m->version);
    json_object_set_new(event, "typeversion", json_string(version));
    if (is_binary) {
        put_binary(event, m->data, out);
    } else {
        put_structured(event, m->data, out);
    }
    buf_done(&source);
}
