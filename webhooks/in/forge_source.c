/* SPDX-License-Identifier: Apache-2.0 */
/* What a trigger says of its sender: can it be right at all? Checking messages is forge_verify.c.
 */
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/forge.h"
#include "webhooks/signature.h"
#include "webhooks/signature_ed25519.h"

static bool is_standard(const struct hook_source *s)
{
    return s->scheme == HOOK_SCHEME_STANDARD ||
           (s->scheme == HOOK_SCHEME_FORGE && s->forge == FORGE_STANDARD_WEBHOOKS);
}

/* Senders whose secret is a key of Standard Webhooks where it looks like one. */
static bool takes_keys(const struct hook_source *s)
{
    return is_standard(s) ||
           (s->scheme == HOOK_SCHEME_FORGE && (s->forge == FORGE_GITLAB || s->forge == FORGE_AUTO ||
                                                  s->forge == FORGE_CLOUDEVENTS));
}

static int check_key(const char *text, struct err *err)
{
    unsigned char public_key[ED25519_PUBLIC_LEN];
    struct secret secret = {0};
    int rc = str_starts(text, "whpk_") ? ed25519_parse_public(text, public_key, err)
                                       : signature_parse_secret(text, &secret, err);
    secret_done(&secret);
    return rc;
}

static int check_secret(const struct hook_source *s, const char *text, struct err *err)
{
    bool is_public = str_starts(text, "whpk_");
    if (takes_keys(s) && (is_standard(s) || is_public || str_starts(text, "whsec_"))) {
        return check_key(text, err);
    }
    if (is_public) {
        return err_set(err, ERR_INVALID,
            "secret: a public key ('whpk_') is no secret; it belongs to senders of Standard "
            "Webhooks (verification.scheme \"standard\")");
    }
    return 0;
}

/* RFC 9110, section 5.6.2. */
static int check_header(const char *name, const char *what, struct err *err)
{
    static const char digits[] = "0123456789!#$%&'*+-.^_`|~"
                                 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (name != NULL && (name[0] == '\0' || name[strspn(name, digits)] != '\0')) {
        return err_set(err, ERR_INVALID,
            "verification.%s: expected the name of a header, such as \"X-Signature\"", what);
    }
    return 0;
}

static int check_scheme(const struct hook_source *s, struct err *err)
{
    if (s->scheme == HOOK_SCHEME_TOKEN && s->header == NULL) {
        return err_set(err, ERR_INVALID,
            "verification.header: name the header that holds the secret (scheme \"token\")");
    }
    if (s->username != NULL && strchr(s->username, ':') != NULL) {
        return err_set(err, ERR_INVALID, "verification.username: a login's name has no ':'");
    }
    return 0;
}

int hook_source_check(const struct hook_source *source, struct err *err)
{
    if (check_header(source->header, "header", err) != 0 ||
        check_header(source->id_header, "id_header", err) != 0 || check_scheme(source, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < source->secret_count; i++) {
        if (source->secrets[i].text != NULL && source->secrets[i].text[0] != '\0' &&
            check_secret(source, source->secrets[i].text, err) != 0) {
            return -1;
        }
    }
    return 0;
}
