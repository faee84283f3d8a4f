/* SPDX-License-Identifier: Apache-2.0 */
/* A growing buffer with a ceiling. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

enum { BUF_FIRST = 64 };

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max < SIZE_MAX / 2 ? max : SIZE_MAX / 2};
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
    buf->overflow = false;
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->overflow = false;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

/* Room for `more` bytes and the NUL. The caller has checked the ceiling. */
static void buf_reserve(struct buf *buf, size_t more)
{
    size_t need = buf->len + more + 1;

    if (need <= buf->cap) {
        return;
    }
    size_t cap = buf->cap < BUF_FIRST ? BUF_FIRST : buf->cap;
    while (cap < need) {
        cap += cap / 2 + BUF_FIRST;
    }
    if (cap > buf->max + 1) {
        cap = buf->max + 1;
    }
    buf->data = xrealloc(buf->data, cap);
    buf->cap = cap;
}

int buf_add(struct buf *buf, const void *data, size_t len)
{
    size_t room = buf->max - buf->len;
    int rc = 0;

    if (buf->overflow) {
        return -1; /* what came before was cut: adding here would join strangers */
    }
    if (len > room) {
        buf->overflow = true;
        len = room;
        rc = -1;
    }
    if (len > 0) {
        buf_reserve(buf, len);
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
        buf->data[buf->len] = '\0';
    }
    return rc;
}

int buf_adds(struct buf *buf, const char *text)
{
    return buf_add(buf, text, strlen(text));
}

int buf_addc(struct buf *buf, char c)
{
    return buf_add(buf, &c, 1);
}

int buf_addf(struct buf *buf, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int rc = buf_vaddf(buf, fmt, ap);
    va_end(ap);
    return rc;
}

int buf_vaddf(struct buf *buf, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;

    va_copy(again, ap);
    int len = vsnprintf(small, sizeof small, fmt, ap);
    if (len < 0) {
        abort(); /* only a bad format of ours gets here */
    }
    int rc;
    if ((size_t)len < sizeof small) {
        rc = buf_add(buf, small, (size_t)len);
    } else if (!buf->overflow && (size_t)len <= buf->max - buf->len) {
        buf_reserve(buf, (size_t)len);
        vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
        rc = 0;
    } else {
        CLEANUP(cleanup_free) char *big = xmalloc((size_t)len + 1);
        vsnprintf(big, (size_t)len + 1, fmt, again);
        rc = buf_add(buf, big, (size_t)len);
    }
    va_end(again);
    return rc;
}

const char *buf_str(const struct buf *buf)
{
    return buf->data != NULL ? buf->data : "";
}

char *buf_steal(struct buf *buf, size_t *len_out)
{
    char *data = buf->data != NULL ? STEAL(buf->data) : xstrdup("");

    if (len_out != NULL) {
        *len_out = buf->len;
    }
    buf_done(buf);
    return data;
}

int buf_check(const struct buf *buf, const char *what, struct err *err)
{
    if (buf->overflow) {
        return err_set(err, ERR_LIMIT, "%s: longer than %zu bytes", what, buf->max);
    }
    return 0;
}

void buf_add_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
    } else if (c < 0x800) {
        buf_addc(out, (char)(0xC0 | (c >> 6)));
        buf_addc(out, (char)(0x80 | (c & 0x3F)));
    } else {
        if (c < 0x10000) {
            buf_addc(out, (char)(0xE0 | (c >> 12)));
        } else {
            buf_addc(out, (char)(0xF0 | (c >> 18)));
            buf_addc(out, (char)(0x80 | ((c >> 12) & 0x3F)));
        }
        buf_addc(out, (char)(0x80 | ((c >> 6) & 0x3F)));
        buf_addc(out, (char)(0x80 | (c & 0x3F)));
    }
}
