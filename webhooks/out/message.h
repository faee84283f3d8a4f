/* SPDX-License-Identifier: Apache-2.0 */
/* An event on its way into an envelope, for the files that make one format each. */
#ifndef WEBHOOKS_MESSAGE_H
#define WEBHOOKS_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/clock.h"

struct buf;
struct envelope;

struct message {
    const char *public_url; /* without a slash at its end; NULL: not known */
    const char *id, *type;  /* the event's */
    int version;            /* of the type */
    char at[CLOCK_TEXT_MAX];
    const json_t *whole; /* the event's data; take no more than ids from it */
    json_t *data;        /* what may be told of it */
    bool is_thin;
};

/* A text of data, or "". */
const char *message_text(const struct message *m, const char *member);
/*
 * Append the URI-reference of what the event is about, in the API: a run, recurring run, trigger
 * or subscription. Absolute when the public URL is known.
 */
void message_add_source(const struct message *m, struct buf *out);
/* What the event is about within its source; malloc'd. */
char *message_subject(const struct message *m);

/* Append text, but what is no unreserved character of RFC 3986 and not in `keep` as %XX. */
void message_add_encoded(struct buf *out, const char *text, const char *keep);

/* Each fills *out; they may be called again with less data. */
void message_as_standard(const struct message *m, struct envelope *out);
void message_as_cloudevent(const struct message *m, bool is_binary, struct envelope *out);
void message_as_cdevent(const struct message *m, bool is_old, struct envelope *out);
void message_as_slack(const struct message *m, struct envelope *out);

/* cloudevents.c: a CloudEvent in structured mode with these attributes besides specversion, id,
 * time and datacontenttype. Takes data; schema may be NULL. */
void cloudevent_structured(const struct message *m, const char *source, const char *type,
    const char *subject, const char *schema, json_t *data, struct envelope *out);

#endif
