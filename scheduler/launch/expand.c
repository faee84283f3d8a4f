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
#include "base/err.h"

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

void expand_add(struct buf *out, const char *text, size_t len, char *const *env)
{
    const char *p = text, *end = text + len;
    while (p < end) {
        const char *dollar = memchr(p, '$', (size_t)(end - p));
        const char *next = dollar == NULL ? end : dollar;
        buf_add(out, p, (size_t)(next - p));
        p = next;
        if (p == end) {
            break;
        }
        bool is_open = p + 1 < end && p[1] == '(';
        const char *close = is_open ? memchr(p + 2, ')', (size_t)(end - p - 2)) : NULL;
        if (p + 1 < end && p[1] == '$') {
            buf_addc(out, '$');
            p += 2;
        } else if (close != NULL) {
            const char *value = env_find(env, p + 2, (size_t)(close - p - 2));
            if (value != NULL) {
                buf_adds(out, value);
            } else {
                buf_add(out, p, (size_t)(close + 1 - p));
            }
            p = close + 1;
        } else {
            buf_addc(out, '$');
            p++;
        }
    }
}

char *expand_around(
    const char *text, const json_t *values, size_t first, char *const *env, struct err *err)
{
    json_int_t at = 0, end = (json_int_t)strlen(text);
    struct buf out;
    buf_init(&out, SIZE_MAX / 4);
    buf_adds(&out, "");
    for (size_t i = first; i < json_array_size(values); i += 2) {
        const json_t *begin = json_array_get(values, i), *length = json_array_get(values, i + 1);
        json_int_t from = json_integer_value(begin), len = json_integer_value(length);
        if (!json_is_integer(begin) || !json_is_integer(length) || from < at || len < 0 ||
            len > end || from > end - len) {
            buf_done(&out);
            err_set(err, ERR_INVALID,
                "expected begin and length of parts of the text, one behind the other");
            return NULL;
        }
        expand_add(&out, text + at, (size_t)(from - at), env);
        buf_add(&out, text + from, (size_t)len);
        at = from + len;
    }
    expand_add(&out, text + at, (size_t)(end - at), env);
    return buf_steal(&out, NULL);
}

char *expand(const char *text, char *const *env)
{
    struct buf out;
    buf_init(&out, SIZE_MAX / 4);
    buf_adds(&out, "");
    expand_add(&out, text, strlen(text), env);
    return buf_steal(&out, NULL);
}
