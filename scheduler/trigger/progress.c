/* SPDX-License-Identifier: Apache-2.0 */
/* The stored progress of recurring runs: text and struct. */
#include "trigger/progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define NUMBER_COUNT 7
#define NUMBER_DIGITS_MAX 19

/* One number and the space or end behind it; *at moves on. */
static bool read_number(const char **at, const char *end, int64_t *out)
{
    const char *p = *at;
    int64_t value = 0;
    while (p < end && *p >= '0' && *p <= '9' && p - *at < NUMBER_DIGITS_MAX - 1) {
        value = value * 10 + (*p++ - '0');
    }
    if (p == *at || (p < end && *p != ' ')) {
        return false;
    }
    *out = value;
    *at = p < end ? p + 1 : p;
    return true;
}

int progress_parse(const char *text, size_t len, struct progress *out, struct err *err)
{
    *out = (struct progress){0};
    int64_t numbers[NUMBER_COUNT];
    const char *at = text, *end = text + len;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        if (!read_number(&at, end, &numbers[i])) {
            return err_set(err, ERR_INTERNAL,
                "its progress '%.60s' was not written by this program; use the one that wrote it",
                text);
        }
    }
    if (at < end) {
        out->more = jread_text(at, (size_t)(end - at), "progress", err);
        if (!json_is_object(out->more)) {
            progress_done(out);
            return err_set(err, ERR_INTERNAL,
                "its progress '%.60s' was not written by this program; use the one that wrote it",
                text);
        }
    }
    out->enabled = numbers[0] == 1;
    out->generation = numbers[1];
    out->index = numbers[2];
    out->last_us = numbers[3];
    out->anchor_us = numbers[4];
    out->next_us = numbers[5];
    out->updated_us = numbers[6];
    return 0;
}

void progress_done(struct progress *p)
{
    json_decref(p->more);
    p->more = NULL;
}

struct progress progress_copy(const struct progress *p)
{
    struct progress copy = *p;
    copy.more = p->more == NULL ? NULL : json_deep_copy(p->more);
    return copy;
}

/* snprintf is a tenth of what firing costs here. */
static void add_number(struct buf *out, int64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = ' ';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_add(out, digits + at, sizeof digits - at);
}

void progress_format(const struct progress *p, struct buf *out)
{
    const int64_t numbers[NUMBER_COUNT] = {p->enabled ? 1 : 0, p->generation, p->index, p->last_us,
        p->anchor_us, p->next_us, p->updated_us};
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        add_number(out, numbers[i]);
    }
    if (json_object_size(p->more) > 0) {
        char *more CLEANUP(cleanup_free) = json_dumps(p->more, JSON_COMPACT | JSON_SORT_KEYS);
        buf_adds(out, more);
    } else if (out->len > 0 && !out->overflow) {
        out->data[--out->len] = '\0'; /* the last space */
    }
}

char *progress_text(const struct progress *p)
{
    struct buf out;
    buf_init(&out, PROGRESS_TEXT_MAX);
    progress_format(p, &out);
    return buf_steal(&out, NULL);
}

int64_t progress_due_us(const struct progress *p, bool is_marked, int64_t offset_us)
{
    if (!p->enabled) {
        return jget_i64(progress_more(p, "pause"), "until_us", 0);
    }
    const json_t *waits = progress_more(p, "waits");
    if (waits != NULL && !is_marked) {
        return json_integer_value(json_array_get(waits, 0)) + offset_us;
    }
    return p->next_us > 0 ? p->next_us + offset_us : 0;
}

const json_t *progress_more(const struct progress *p, const char *key)
{
    return json_object_get(p->more, key);
}

const char *progress_error(const struct progress *p)
{
    return jget_str(p->more, "error", "");
}

void progress_set(struct progress *p, const char *key, json_t *value)
{
    if (value == NULL) {
        if (p->more != NULL) {
            json_object_del(p->more, key);
            if (json_object_size(p->more) == 0) {
                progress_done(p);
            }
        }
        return;
    }
    if (p->more == NULL) {
        p->more = json_object();
    }
    json_object_set_new(p->more, key, value);
}
