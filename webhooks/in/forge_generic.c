/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of no forge: Standard Webhooks, HMAC, bearer and basic senders. */
#include <string.h>
#include <strings.h>

#include "base/http_msg.h"
#include "base/id.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge_parts.h"

#define ID_DIGITS 32

/* Signed is the body alone: a header that names the message may be anybody's. */
static bool is_body_alone_signed(const struct reading *r, const struct hook_message *m)
{
    return r->source->scheme == HOOK_SCHEME_HMAC ||
           (r->source->scheme == HOOK_SCHEME_FORGE && m->forge == FORGE_HMAC);
}

/* The header that names the message, or NULL. (X-Request-Id names a chain of calls, not these.) */
static const char *find_id(struct reading *r, const struct hook_message *m)
{
    static const char *const usual[] = {"webhook-id", "Idempotency-Key"};
    const char *id = NULL;
    if (r->source->id_header != NULL) {
        id = http_header(r->req, r->source->id_header);
        if (id == NULL) {
            take_bad(
                r, "the header %.100s, which names the message, is missing", r->source->id_header);
        }
        return id;
    }
    for (size_t i = 0; !is_body_alone_signed(r, m) && id == NULL && i < ARRAY_LEN(usual); i++) {
        id = http_header(r->req, usual[i]);
    }
    return id;
}

/*
 * Without a name: a signed body names itself, since who has caught it could send it again; what
 * comes with a password is new each time.
 */
static int read_delivery(struct reading *r, struct hook_message *m)
{
    m->delivery = find_id(r, m);
    if (r->is_bad) {
        return -1;
    }
    if (m->delivery != NULL) {
        return delivery_is_valid(m->delivery)
                   ? 0
                   : take_bad(r,
                         "the header that names the message: expected at most %d printable "
                         "characters",
                         DELIVERY_MAX);
    }
    if (is_body_alone_signed(r, m)) {
        char digest[SHA256_HEX_LEN + 1];
        sha256_hex(r->req->body, r->req->body_len, digest);
        m->delivery = pool_printf(r->pool, "body-%.*s", ID_DIGITS, digest);
        return 0;
    }
    struct id made;
    id_new(&made);
    m->delivery = pool_strdup(r->pool, made.text);
    return 0;
}

int generic_read(struct reading *r, struct hook_message *m)
{
    const char *type = "";
    if (read_delivery(r, m) != 0) {
        return -1;
    }
    if (json_is_string(json_object_get(m->payload, "type"))) {
        type = take_text(r, m->payload, "", "type");
    }
    m->event = event_is_valid(type) ? type : "message";
    m->kind = HOOK_GENERIC;
    return 0;
}
