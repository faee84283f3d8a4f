/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed texts: the first line of the input is a context, the rest a text as it may stand in Redis,
 * and also a secret. Nothing but what was sealed opens as sealed; whatever is sealed opens.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/seal.h"
#include "base/secret.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct seal *make_seal(void)
{
    static const char key[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    char path[] = "/tmp/rondo-fuzz-XXXXXX";
    struct err err = ERR_INIT;
    int fd = mkstemp(path);
    assert(fd >= 0);
    ssize_t n = write(fd, key, sizeof key - 1);
    assert(n == (ssize_t)sizeof key - 1);
    close(fd);
    struct seal *seal = seal_load(path, &err);
    unlink(path);
    assert(seal != NULL);
    return seal;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seal *seal = make_seal();
    const uint8_t *eol = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t context_len = eol != NULL ? (size_t)(eol - data) : 0;
    char *context = xstrndup((const char *)data, context_len);
    size_t skip = eol != NULL ? context_len + 1 : 0;
    char *text = xstrndup((const char *)data + skip, size - skip), *opened = NULL;
    struct err err = ERR_INIT;
    if (seal_open(seal, context, text, &opened, &err) == 0) {
        assert(strlen(opened) <= strlen(text));
        secret_text_free(STEAL(opened));
    } else {
        assert(strncmp(text, "sealed:1:", 9) == 0 && err.msg[0] != '\0');
    }
    const struct seal *ways[] = {seal, NULL};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        char *sealed = seal_text(ways[i], context, text);
        assert(seal_is_current(ways[i], sealed));
        int rc = seal_open(seal, context, sealed, &opened, &err);
        assert(rc == 0 && strcmp(opened, text) == 0);
        secret_text_free(STEAL(opened));
        secret_text_free(sealed);
    }
    free(context);
    free(text);
    seal_free(seal);
    return 0;
}
