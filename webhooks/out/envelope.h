/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes: an event as the message that is delivered. Pure. Made once, when the delivery is, and
 * stored with it: all attempts send the same bytes. The formats are told in contrib/docs/events.md.
 */
#ifndef WEBHOOKS_ENVELOPE_H
#define WEBHOOKS_ENVELOPE_H

#include <jansson.h>
#include <stddef.h>

#include "webhooks/out/subscription.h"

/* A body above this is made smaller: members of data that thin payloads have not are left out, the
 * largest first, until it fits or none is left. CloudEvents 1.0.2 asks everybody to take so much. */
#define ENVELOPE_BODY_MAX ((size_t)64 * 1024)

struct envelope {
    char *body; /* NUL-terminated */
    size_t body_len;
    const char *content_type; /* static */
    json_t *headers;          /* array of "name: value", or NULL */
};

/*
 * event: {"id","type","time_us","data"}, as the stream has it. public_url: how others reach this
 * installation, for links and names; NULL: nobody knows. *out is to be freed with envelope_done().
 * 0, or 1 when this format has nothing to say of this event (then *out is empty, and there is no
 * delivery).
 */
int envelope_make(const char *public_url, enum subscription_format format,
    enum subscription_payload payload, const json_t *event, struct envelope *out);
void envelope_done(struct envelope *envelope);

/* The envelopes of one event: each is made when the first subscription asks for it. */
struct envelope_set {
    const char *public_url;
    const json_t *event;
    struct envelope made[SUBSCRIPTION_FORMAT_SLACK + 1][SUBSCRIPTION_PAYLOAD_THIN + 1];
};

/* Borrowed from the set; NULL when there is nothing to say. */
const struct envelope *envelope_set_get(struct envelope_set *set,
    enum subscription_format format, enum subscription_payload payload);
void envelope_set_done(struct envelope_set *set);

/* The body of the format "standard" with all of the event's data; new reference. */
json_t *envelope_standard_body(const json_t *event);

/* What stands in data in place of a member that was left out, for its name: true. */
#define EVENT_LEFT_OUT "%s_left_out"
/* Where the API has the schema of a type. */
#define EVENT_SCHEMA_PATH "/apis/rondo/v1/events/types/%s/schema"

#endif
