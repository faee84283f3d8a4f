/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Envelopes: an event as the message that is delivered. Pure. Made once, when the delivery is, and
 * stored with it: all attempts send the same bytes.
 */
#ifndef WEBHOOKS_ENVELOPE_H
#define WEBHOOKS_ENVELOPE_H

#include <jansson.h>
#include <stddef.h>

struct envelope {
    char *body; /* NUL-terminated */
    size_t body_len;
    const char *content_type; /* static */
    json_t *headers;          /* array of "name: value", or NULL */
};

/*
 * event: {"id","type","time_us","data"}. *out is to be freed with envelope_done(). 0, or 1 when
 * there is nothing to say of this event (then *out is empty, and there is no delivery).
 */
int envelope_make(const json_t *event, struct envelope *out);
void envelope_done(struct envelope *envelope);

#endif
