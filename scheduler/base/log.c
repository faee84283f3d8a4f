/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on standard error, as text or as JSON. One write() per line, so that lines of the
 * daemon and of its children never mix within a line.
 */
#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/util.h"

/* The line has room for the worst that escaping can make of a message and its fields. */
enum { LOG_MSG_MAX = 256, LOG_FIELDS_MAX = 4096, LOG_LINE_MAX = 64 * 1024 };
enum { LOG_QUOTE_MAX = 512, LOG_QUOTE_BUFFERS = 8 };

static enum log_level log_min = LOG_LEVEL_INFO;
static enum log_format log_format = LOG_FORMAT_TEXT;

void log_set(enum log_level min, enum log_format format)
{
    log_min = min;
    log_format = format;
}

bool log_wants(enum log_level level)
{
    return level >= log_min;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_TRACE:
        return "trace";
    case LOG_LEVEL_DEBUG:
        return "debug";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_WARN:
        return "warn";
    case LOG_LEVEL_ERROR:
        return "error";
    }
    return "error";
}

/*
 * One character of text as it stands in a JSON string; returns how many bytes of text it took.
 * Control characters are escaped, what is not UTF-8 becomes '?'.
 */
static size_t escape_step(struct buf *out, const char *text, size_t len)
{
    size_t step = utf8_step(text, len);
    unsigned char c = (unsigned char)text[0];

    if (step == 0) {
        buf_addc(out, '?');
        return 1;
    }
    if (c == '"' || c == '\\') {
        buf_addf(out, "\\%c", c);
    } else if (c == '\n') {
        buf_adds(out, "\\n");
    } else if (c == '\t') {
        buf_adds(out, "\\t");
    } else if (c < 0x20 || c == 0x7f) {
        buf_addf(out, "\\u%04x", c);
    } else {
        buf_add(out, text, step);
    }
    return step;
}

static void add_json_string(struct buf *out, const char *text, size_t len)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < len;) {
        i += escape_step(out, text + i, len - i);
    }
    buf_addc(out, '"');
}

const char *log_quote(const char *text)
{
    static char ring[LOG_QUOTE_BUFFERS][LOG_QUOTE_MAX];
    static unsigned next;
    char *out = ring[next++ % LOG_QUOTE_BUFFERS];
    size_t len = text != NULL ? strnlen(text, LOG_QUOTE_MAX) : 0, at = 0;
    bool cut = false;
    struct buf piece;

    buf_init(&piece, 16);
    out[at++] = '"';
    for (size_t i = 0; i < len;) {
        /* The text may go on behind the LOG_QUOTE_MAX bytes looked at; it is cut anyway then. */
        buf_reset(&piece);
        size_t step = escape_step(&piece, text + i, len - i);
        if (at + piece.len + sizeof "...\"" > LOG_QUOTE_MAX) {
            cut = true;
            break;
        }
        memcpy(out + at, piece.data, piece.len);
        at += piece.len;
        i += step;
    }
    buf_done(&piece);
    snprintf(out + at, LOG_QUOTE_MAX - at, "%s\"", cut ? "..." : "");
    return out;
}

/* Length of the field at text: up to a blank that is not inside a quoted value. */
static size_t field_len(const char *text)
{
    bool quoted = false;
    size_t i = 0;

    for (; text[i] != '\0' && (quoted || text[i] != ' '); i++) {
        if (text[i] == '"') {
            quoted = !quoted;
        } else if (quoted && text[i] == '\\' && text[i + 1] != '\0') {
            i++;
        }
    }
    return i;
}

static bool is_quoted(const char *value, size_t len)
{
    return len >= 2 && value[0] == '"' && value[len - 1] == '"' && field_len(value) == len;
}

/* "run=abc why=\"not found\"" -> ,"run":"abc","why":"not found" */
static void add_json_fields(struct buf *out, const char *fields)
{
    while (*fields != '\0') {
        if (*fields == ' ') {
            fields++;
            continue;
        }
        size_t len = field_len(fields);
        const char *equals = memchr(fields, '=', len);
        size_t key_len = equals != NULL ? (size_t)(equals - fields) : 0;
        buf_addc(out, ',');
        if (key_len > 0) {
            add_json_string(out, fields, key_len);
            key_len++;
        } else {
            buf_adds(out, "\"text\"");
        }
        buf_addc(out, ':');
        if (is_quoted(fields + key_len, len - key_len)) {
            buf_add(out, fields + key_len, len - key_len); /* log_quote writes JSON strings */
        } else {
            add_json_string(out, fields + key_len, len - key_len);
        }
        fields += len;
    }
}

static void format_now(char out[CLOCK_TEXT_MAX])
{
    clock_format_us(clock_now_us(), out);
    size_t len = strlen(out); /* microseconds to milliseconds: drop three digits before the Z */
    if (len > 4) {
        out[len - 4] = 'Z';
        out[len - 3] = '\0';
    }
}

void log_line(enum log_level level, const char *msg, const char *fmt, ...)
{
    char now[CLOCK_TEXT_MAX];
    struct buf fields, line;
    va_list ap;

    buf_init(&fields, LOG_FIELDS_MAX);
    va_start(ap, fmt);
    buf_vaddf(&fields, fmt, ap);
    va_end(ap);
    if (fields.data != NULL) {
        text_sanitise(fields.data);
        for (char *c = fields.data; *c != '\0'; c++) {
            if (*c == '\n' || *c == '\t') {
                *c = ' ';
            }
        }
    }
    format_now(now);
    buf_init(&line, LOG_LINE_MAX);
    if (log_format == LOG_FORMAT_JSON) {
        buf_addf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", now, level_name(level));
        add_json_string(&line, msg, strnlen(msg, LOG_MSG_MAX));
        add_json_fields(&line, buf_str(&fields));
        buf_adds(&line, "}\n");
    } else {
        buf_addf(&line, "%s %s %.*s", now, level_name(level), LOG_MSG_MAX, msg);
        if (fields.len > 0) {
            buf_addf(&line, " %s", fields.data);
        }
        buf_addc(&line, '\n');
    }
    ssize_t n;
    do {
        n = write(STDERR_FILENO, buf_str(&line), line.len);
    } while (n < 0 && errno == EINTR);
    buf_done(&line);
    buf_done(&fields);
}
