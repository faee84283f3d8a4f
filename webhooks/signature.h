/* SPDX-License-Identifier: Apache-2.0 */
/* Standard Webhooks 1.0.0 signatures (v1, symmetric). Pure. */
#ifndef WEBHOOKS_SIGNATURE_H
#define WEBHOOKS_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"

struct err;

#define SIGNATURE_TOLERANCE_S 300

/* "whsec_" and 32 random bytes in base64. malloc'd. */
char *signature_new_secret(void);
/* Decode "whsec_<base64>" holding 24 to 64 bytes. *out is zeroed or an older secret, which is
 * replaced. Release with secret_done. */
int signature_parse_secret(const char *text, struct secret *out, struct err *err);
/* "v1,<base64>" over "id.timestamp.body". malloc'd. */
char *signature_make(
    const struct secret *secret, const char *id, int64_t timestamp_s, const void *body, size_t len);
/*
 * Check a received message: `signatures` is the header's space-separated list; the timestamp
 * must be within five minutes of now_s. ERR_UNAUTHENTICATED says which rule failed.
 */
int signature_verify(const struct secret *secret, const char *id, const char *timestamp,
    const char *signatures, const void *body, size_t len, int64_t now_s, struct err *err);

/* The rules that go for every kind of signature: all three are there, in form and in time. */
#define SIGNATURES_MAX 16 /* of a header are looked at */
int signature_check_head(const char *id, const char *timestamp, const char *signatures,
    int64_t now_s, struct err *err);

#endif
