/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets at rest: texts sealed with AES-256-GCM (OpenSSL) before they are stored, under keys from
 * a file. Pure but for the reading of the file and the nonces.
 *
 * A sealed text is "sealed:1:<key id>:<base64 of nonce, ciphertext and tag>". It is bound to a
 * context, the name of the place where it is kept (and whatever else it must go with), so that it
 * cannot be moved to another record. Without keys texts are kept as they are; those are read with
 * keys too, and sealed when they are next written.
 */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

#include <jansson.h>
#include <stdbool.h>

struct err;
struct seal;

#define SEAL_KEYS_MAX 8

/*
 * Keys from a file: one a line, 32 bytes in hex or base64; blank lines and lines that begin with #
 * are passed over. The first one seals, all of them open: to rotate, put a new one in front.
 * ERR_INVALID names file, line and rule; never a key.
 */
struct seal *seal_load(const char *path, struct err *err);
void seal_free(struct seal *seal); /* zeroes the keys; NULL is fine */

/* malloc'd; seal NULL: as it is. */
char *seal_text(const struct seal *seal, const char *context, const char *text);
/* *text_out is malloc'd, and secret: secret_text_free(). ERR_NOT_FOUND: its key is not there;
 * ERR_INTERNAL: of another context, or damaged. */
int seal_open(const struct seal *seal, const char *context, const char *text, char **text_out,
    struct err *err);
/* What seal_text() would make today: under the first key; as it is without keys. */
bool seal_is_current(const struct seal *seal, const char *text);

/* The same of a string member of a JSON object, in place. Absent or no string: left alone. */
void seal_member(
    const struct seal *seal, const char *context, json_t *object, const char *member);
int seal_open_member(const struct seal *seal, const char *context, json_t *object,
    const char *member, struct err *err);
/* Zeroes a string that held a plain secret; it and its copies by reference are unusable after. */
void seal_wipe(json_t *string);

#endif
