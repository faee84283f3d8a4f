/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of no forge: Standard Webhooks, HMAC, bearer and basic senders. */
#include <string.h>
#include <strings.h>

#include "base/http_msg.h"
#include "base/id.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/forge_parts.h"

#define ID_DIGITS 32

/*
 * What names the message. Without a name: a signed body names itself, since who has caught it
 * could send it again; what comes with a password is new each time.
 */
static int read_delivery(struct reading *r, struct hook_message *m)
{
    static const char *const usual[] = {"webhook-id", "Idempotency-Key", "X-Request-Id"};
    const char *name = r->source->id_header;
    const char *id = name != NULL ? http_header(r->req, name) : NULL;
    for (size_t i = 0; name == NULL && id == NULL && i < ARRAY_LEN(usual); i++) {
        id = http_header(r->req, usual[i]);
    }
    if (id != NULL) {
        m->delivery = id;
        return delivery_is_valid(id)
                   ? 0
                   : take_bad(r,
                         "the header that names the message: expected at most %d printable "
                         "characters",
                         DELIVERY_MAX);
    }
    if (name != NULL) {
        return take_bad(r, "the header %.100s, which names the message, is missing", name);
    }
    if (m->forge == FORGE_HMAC || r->source->scheme == HOOK_SCHEME_HMAC) {
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
