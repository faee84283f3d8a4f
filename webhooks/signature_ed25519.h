/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard Webhooks 1.0.0 signatures with a key pair (v1a, Ed25519): the receiver has the public
 * key alone, so it can check messages and make none. Pure; the cryptography is OpenSSL's.
 */
#ifndef WEBHOOKS_SIGNATURE_ED25519_H
#define WEBHOOKS_SIGNATURE_ED25519_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"

struct err;

#define ED25519_PUBLIC_LEN 32

/* Does it say "whsk_"? */
bool ed25519_is_private(const char *text);
/* "whsk_<base64>" of a new key. malloc'd; free with secret_text_free. */
char *ed25519_new_private(void);
/* Decode "whsk_<base64>": 64 bytes, the seed and the public key that belongs to it. *out is zeroed
 * or an older secret, which is replaced. Release with secret_done. */
int ed25519_parse_private(const char *text, struct secret *out, struct err *err);
/* "whpk_<base64>" of the public key. malloc'd. */
char *ed25519_public_text(const struct secret *key);
int ed25519_parse_public(const char *text, unsigned char out[ED25519_PUBLIC_LEN], struct err *err);
/* "v1a,<base64>" over "id.timestamp.body". malloc'd. */
char *ed25519_sign(
    const struct secret *key, const char *id, int64_t timestamp_s, const void *body, size_t len);
/* Is `signature`, the base64 after "v1a,", one of these bytes by this key? */
bool ed25519_verify(const unsigned char key[ED25519_PUBLIC_LEN], const char *signature,
    const char *id, const char *timestamp, const void *body, size_t len);

#endif
