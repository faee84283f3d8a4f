/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern (the first line) and a name: what is taken must decide, and mean what is said of it. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "webhooks/in/git_pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Without special characters a pattern is a name. */
static bool is_plain(const char *text)
{
    return text[strcspn(text, "*?+[\\!")] == '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *eol = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t len = eol != NULL ? (size_t)(eol - data) : size;
    char *text = xstrndup((const char *)data, len);
    char *name = eol != NULL ? xstrndup((const char *)eol + 1, size - len - 1) : xstrdup("");
    struct err err = ERR_INIT;
    struct git_pattern *pattern = git_pattern_compile(text, &err);
    if (pattern == NULL) {
        assert(err.code == ERR_INVALID && err.msg[0] != '\0');
    } else {
        bool is = git_pattern_matches(pattern, name);
        if (is_plain(text)) {
            assert(is == (strcmp(text, name) == 0));
        }
        if (strcmp(text, "**") == 0) {
            assert(is);
        }
        if (strcmp(text, "*") == 0) {
            assert(is == (strchr(name, '/') == NULL));
        }
        git_pattern_free(pattern);
    }
    (void)git_glob_matches(text, name);
    assert(git_glob_matches("*", name));
    free(text);
    free(name);
    return 0;
}
