/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expansion by the rules of Kubernetes: "$(NAME)" is replaced if NAME is known and stays as it is
 * if not; "$$" is an escaped "$"; a "$" before anything else is just that; nothing is expanded
 * twice; an open "$(" at the end is plain text.
 */
#include "launch/expand.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"

const char *env_find(char *const *env, const char *name, size_t name_len)
{
    const char *found = NULL;
    for (; *env != NULL; env++) {
        if (strncmp(*env, name, name_len) == 0 && (*env)[name_len] == '=') {
            found = *env + name_len + 1;
        }
    }
    return found;
}

char *expand(const char *text, char *const *env)
{
    struct buf out;
    buf_init(&out, SIZE_MAX / 4);
    buf_adds(&out, "");
    const char *p = text;
    while (*p != '\0') {
        size_t plain = strcspn(p, "$");
        buf_add(&out, p, plain);
        p += plain;
        if (*p == '\0') {
            break;
        }
        const char *close = p[1] == '(' ? strchr(p + 2, ')') : NULL;
        if (p[1] == '$') {
            buf_addc(&out, '$');
            p += 2;
        } else if (close != NULL) {
            const char *value = env_find(env, p + 2, (size_t)(close - p - 2));
            if (value != NULL) {
                buf_adds(&out, value);
            } else {
                buf_add(&out, p, (size_t)(close + 1 - p));
            }
            p = close + 1;
        } else {
            buf_addc(&out, '$');
            p++;
        }
    }
    return buf_steal(&out, NULL);
}
