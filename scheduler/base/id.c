/* SPDX-License-Identifier: Apache-2.0 */
/* Ids: UUIDs whose first byte names the shard. */
#include "base/id.h"

#include <assert.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/util.h"

enum { UUID_BYTES = 16 };

static void id_from_bytes(struct id *out, unsigned char bytes[UUID_BYTES], unsigned version)
{
    char hex[2 * UUID_BYTES + 1];

    bytes[6] = (unsigned char)((bytes[6] & 0x0fu) | version << 4);
    bytes[8] = (unsigned char)((bytes[8] & 0x3fu) | 0x80u); /* the RFC's variant */
    hex_encode(bytes, UUID_BYTES, hex);

    char *to = out->text;
    for (int i = 0; i < 2 * UUID_BYTES; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20) {
            *to++ = '-';
        }
        *to++ = hex[i];
    }
    *to = '\0';
}

static void id_to_bytes(const char *id, unsigned char bytes[UUID_BYTES])
{
    char hex[2 * UUID_BYTES];
    size_t len = 0;

    for (const char *at = id; *at != '\0' && len < sizeof hex; at++) {
        if (*at != '-') {
            hex[len++] = *at;
        }
    }
    int rc = hex_decode(hex, len, bytes, UUID_BYTES);
    assert(rc == 0);
    (void)rc;
}

void id_new(struct id *out)
{
    unsigned char bytes[UUID_BYTES];
    random_bytes(bytes, sizeof bytes);
    id_from_bytes(out, bytes, 4);
}

void id_derive(struct id *out, const char *parent, const char *name)
{
    unsigned char space[UUID_BYTES], digest[SHA_DIGEST_LENGTH];
    struct buf text;

    assert(id_is_valid(parent));
    id_to_bytes(parent, space);
    buf_init(&text, sizeof space + strlen(name));
    buf_add(&text, space, sizeof space);
    buf_adds(&text, name);
    SHA1((const unsigned char *)text.data, text.len, digest);
    buf_done(&text);

    digest[0] = space[0];
    id_from_bytes(out, digest, 5);
}

bool id_is_valid(const char *text)
{
    if (text == NULL || strnlen(text, ID_LEN + 1) != ID_LEN) {
        return false;
    }
    for (int i = 0; i < ID_LEN; i++) {
        char c = text[i];
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (c != '-') {
                return false;
            }
        } else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

unsigned id_shard(const char *id, unsigned shards)
{
    unsigned char first;

    assert(shards >= 1 && shards <= 256 && (shards & (shards - 1)) == 0);
    int rc = hex_decode(id, 2, &first, 1);
    assert(rc == 0);
    (void)rc;
    return first & (shards - 1);
}
