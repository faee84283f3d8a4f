/* SPDX-License-Identifier: Apache-2.0 */
/* Passing the step's output on, keeping its end, and making text of it. */
#include "launch/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"

void output_init(struct output *out, int fd, int64_t max, size_t tail)
{
    memset(out, 0, sizeof *out);
    out->fd = fd;
    out->max = max;
    out->ring_size = tail;
    out->ring = xmalloc(tail + 1);
}

void output_done(struct output *out)
{
    free(out->ring);
    out->ring = NULL;
}

static void pass_on(struct output *out, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(out->fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* disk full or nobody listens: the step goes on, the tail is still kept */
        }
        data += n;
        len -= (size_t)n;
    }
}

static void keep(struct output *out, const char *data, size_t len)
{
    if (len > out->ring_size) {
        data += len - out->ring_size;
        len = out->ring_size;
    }
    while (len > 0) {
        size_t n = out->ring_size - out->ring_at;
        n = n < len ? n : len;
        memcpy(out->ring + out->ring_at, data, n);
        out->ring_at = (out->ring_at + n) % out->ring_size;
        out->ring_len = out->ring_len + n < out->ring_size ? out->ring_len + n : out->ring_size;
        data += n;
        len -= n;
    }
}

void output_add(struct output *out, const char *data, size_t len)
{
    keep(out, data, len);
    if (out->max > 0 && out->passed + (int64_t)len > out->max) {
        int64_t room = out->max - out->passed;
        pass_on(out, data, room > 0 ? (size_t)room : 0);
        out->passed = out->max;
        if (!out->is_cut) {
            char note[128];
            int n = snprintf(note, sizeof note,
                "\nrondo: the output is longer than %lld bytes; the rest is not kept\n",
                (long long)out->max);
            pass_on(out, note, (size_t)n);
            out->is_cut = true;
        }
        return;
    }
    pass_on(out, data, len);
    out->passed += (int64_t)len;
}

void output_note(struct output *out, const char *fmt, ...)
{
    struct buf line;
    buf_init(&line, 4096);
    buf_adds(&line, "rondo: ");
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&line, fmt, ap);
    va_end(ap);
    keep(out, buf_str(&line), line.len);
    keep(out, "\n", 1);
    buf_addc(&line, '\n');
    pass_on(out, buf_str(&line), line.len);
    buf_done(&line);
}

/* Length of the valid UTF-8 sequence at text, 0 if there is none. NUL is not valid here. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80) {
        return s[0] != 0;
    }
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* Overlong forms, surrogates, beyond U+10FFFF. */
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) {
        return 0;
    }
    return n;
}

bool text_is_utf8(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t n = utf8_len((const unsigned char *)text + i, len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

char *output_tail(const struct output *out)
{
    CLEANUP(cleanup_free) char *flat = xmalloc(out->ring_len + 1);
    size_t start = out->ring_len < out->ring_size ? 0 : out->ring_at;
    for (size_t i = 0; i < out->ring_len; i++) {
        flat[i] = out->ring[(start + i) % out->ring_size];
    }
    size_t from = 0;
    if (out->ring_len == out->ring_size && out->ring_len > 0) {
        /* Older output was dropped: begin at a whole line, if one starts in the first half. */
        const char *newline = memchr(flat, '\n', out->ring_len / 2);
        from = newline != NULL ? (size_t)(newline + 1 - flat) : 0;
    }
    struct buf text;
    buf_init(&text, 4 * out->ring_len + 16);
    buf_adds(&text, "");
    while (from < out->ring_len) {
        size_t n = utf8_len((const unsigned char *)flat + from, out->ring_len - from);
        if (n > 0) {
            buf_add(&text, flat + from, n);
        } else {
            buf_adds(&text, "\xef\xbf\xbd");
        }
        from += n > 0 ? n : 1;
    }
    return buf_steal(&text, NULL);
}
