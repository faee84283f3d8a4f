/* SPDX-License-Identifier: Apache-2.0 */
/*
 * robfig/cron's grammar, for those who need what Kubernetes CronJob and Argo (v3) or KFP (v1.2.0)
 * make of a text: fewer signs than ours, and some that ours refuses ("1,,2", "*-5", steps longer
 * than the field). What it refuses is refused; where the two versions differ is marked.
 */
#include "cron/cron.h"

#include "base/err.h"
#include "base/util.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SECOND, MINUTE, HOUR, DAY, MONTH, DOW, FIELD_COUNT };

static const struct bounds {
    const char *name;
    int min, max;
    const char *names; /* three letters each, from `min` on */
} bounds[FIELD_COUNT] = {
    [SECOND] = {"second", 0, 59, ""},
    [MINUTE] = {"minute", 0, 59, ""},
    [HOUR] = {"hour", 0, 23, ""},
    [DAY] = {"day-of-month", 1, 31, ""},
    [MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    [DOW] = {"day-of-week", 0, 6, "sunmontuewedthufrisat"},
};

struct field {
    const char *text; /* the whole expression, for messages */
    enum cron_profile profile;
    const struct bounds *bounds;
    const char *item; /* what is being read, for messages */
    size_t item_len;
    uint64_t bits;
    bool is_star;  /* for the day rule */
    bool has_star; /* an element begins with one */
    struct err *err;
};

static int complain(const struct field *f, const char *why)
{
    char text[CRON_SHOW_MAX], item[CRON_SHOW_MAX], cut[CRON_SHOW_MAX];
    snprintf(cut, sizeof cut, "%.*s", (int)(f->item_len < 60 ? f->item_len : 60), f->item);
    return err_set(f->err, ERR_INVALID,
        "cron '%s': %s field, '%s': %s; robfig allows %d-%d%s, *, ?, lists, ranges and steps",
        cron_show(f->text, text), f->bounds->name, cron_show(cut, item), why, f->bounds->min,
        f->bounds->max, f->bounds->names[0] != '\0' ? " and names of three letters" : "");
}

static int number(const struct field *f, const char *text, size_t len, int *out)
{
    int value = 0;
    size_t at = len > 1 && text[0] == '+';
    if (len == at) {
        return complain(f, "a number is missing");
    }
    for (; at < len; at++) {
        if (text[at] < '0' || text[at] > '9' || value > 100000) {
            return complain(f, "not a number");
        }
        value = value * 10 + (text[at] - '0');
    }
    *out = value;
    return 0;
}

static int number_or_name(const struct field *f, const char *text, size_t len, int *out)
{
    const char *names = f->bounds->names;
    for (int i = 0; len == 3 && names[3 * i] != '\0'; i++) {
        if (strncasecmp(names + 3 * i, text, 3) == 0) {
            *out = f->bounds->min + i;
            return 0;
        }
    }
    return number(f, text, len, out);
}

/* Splits at most once; *rest_out is NULL when the separator is not there. */
static size_t split(const char *text, size_t len, char separator, const char **rest_out)
{
    const char *found = memchr(text, separator, len);
    *rest_out = found != NULL ? found + 1 : NULL;
    return found != NULL ? (size_t)(found - text) : len;
}

static int range(struct field *f, const char *text, size_t len)
{
    const char *step_text, *high_text;
    const char *end = text + len;
    size_t range_len = split(text, len, '/', &step_text);
    size_t low_len = split(text, range_len, '-', &high_text);
    int from = f->bounds->min, to = f->bounds->max, step = 1;
    bool is_star = low_len == 1 && (text[0] == '*' || text[0] == '?');
    size_t high_len = high_text != NULL ? (size_t)(text + range_len - high_text) : 0;
    if (step_text != NULL && memchr(step_text, '/', (size_t)(end - step_text)) != NULL) {
        return complain(f, "too many slashes");
    }
    f->has_star |= is_star;
    if (!is_star) {
        if (number_or_name(f, text, low_len, &from) != 0) {
            return -1;
        }
        to = from;
        if (high_text != NULL) {
            if (memchr(high_text, '-', high_len) != NULL) {
                return complain(f, "too many hyphens");
            }
            if (number_or_name(f, high_text, high_len, &to) != 0) {
                return -1;
            }
        }
    }
    if (step_text != NULL) {
        if (number(f, step_text, (size_t)(end - step_text), &step) != 0) {
            return -1;
        }
        if (step == 0) {
            return complain(f, "a step of 0 never moves");
        }
        if (high_text == NULL) {
            to = f->bounds->max;
        }
        /* v1 counts a stepped star as a star in the day rule, v3 does not. */
        is_star = is_star && (step == 1 || f->profile == CRON_ROBFIG_V1);
    }
    if (from < f->bounds->min || to > f->bounds->max) {
        return complain(f, "out of range");
    }
    if (from > to) {
        return complain(f, "the range ends before it begins");
    }
    for (int value = from; value <= to; value += step) {
        f->bits |= UINT64_C(1) << value;
    }
    f->is_star |= is_star;
    return 0;
}

static int read_field(struct field *f, const char *text, size_t len)
{
    f->bits = 0;
    f->is_star = f->has_star = false;
    for (const char *at = text, *end = text + len; at < end; at++) {
        size_t item_len = strcspn(at, "," CRON_BLANKS);
        if (item_len > (size_t)(end - at)) {
            item_len = (size_t)(end - at);
        }
        f->item = at;
        f->item_len = item_len;
        if (item_len > 0 && range(f, at, item_len) != 0) {
            return -1; /* empty elements do not matter */
        }
        at += item_len;
    }
    if (f->bits == 0) {
        f->item = text;
        f->item_len = len;
        return complain(f, "nothing is in it");
    }
    return 0;
}

static void store(struct cron *cron, int which, const struct field *f)
{
    switch (which) {
    case SECOND:
        cron->seconds = f->bits;
        break;
    case MINUTE:
        cron->minutes = f->bits;
        break;
    case HOUR:
        cron->hours = (uint32_t)f->bits;
        break;
    case DAY:
        cron->days = (uint32_t)f->bits;
        cron->day_is_star = f->is_star;
        break;
    case MONTH:
        cron->months = (uint16_t)f->bits;
        break;
    default:
        cron->dow = (uint8_t)f->bits;
        cron->dow_is_star = f->is_star;
        break;
    }
}

static int read_fields(struct cron *cron, struct field *f, const char *fields)
{
    const char *at[FIELD_COUNT + 1];
    size_t len[FIELD_COUNT + 1];
    int count = 0;
    for (const char *p = fields; *p != '\0' && count <= FIELD_COUNT; count++) {
        at[count] = p;
        len[count] = strcspn(p, CRON_BLANKS);
        p += len[count];
        p += strspn(p, CRON_BLANKS);
    }
    if (count < 5 || count > FIELD_COUNT) {
        char text[CRON_SHOW_MAX];
        return err_set(f->err, ERR_INVALID,
            "cron '%s': %s fields; robfig takes 5 (%s) or 6 (second minute hour day month weekday)",
            cron_show(f->text, text), count < 5 ? "less than 5" : "more than 6",
            f->profile == CRON_ROBFIG_V1 ? "KFP's: second minute hour day month"
                                         : "minute hour day month weekday");
    }
    /* What is left out: the second is 0, the weekday is any. */
    cron->seconds = 1;
    cron->dow = 0x7f;
    cron->dow_is_star = true;
    int which = count == 5 && f->profile == CRON_ROBFIG ? MINUTE : SECOND;
    for (int i = 0; i < count; i++, which++) {
        f->bounds = &bounds[which];
        if (read_field(f, at[i], len[i]) != 0) {
            return -1;
        }
        store(cron, which, f);
        cron->is_interval |= which <= HOUR && f->has_star;
    }
    return 0;
}

int cron_parse_robfig(
    struct cron *cron, const char *text, enum cron_profile profile, struct err *err)
{
    struct field f = {.text = text, .profile = profile, .err = err};
    if (*text != '@') {
        return read_fields(cron, &f, text);
    }
    const char *fields = strncmp(text, "@every", 6) != 0 ? cron_descriptor(text, false) : NULL;
    char shown[CRON_SHOW_MAX];
    if (fields == NULL) {
        return err_set(err, ERR_INVALID,
            "cron '%s': unknown word; robfig knows @yearly @annually @monthly @weekly @daily "
            "@midnight @hourly and '@every 90s'",
            cron_show(text, shown));
    }
    f.profile = CRON_ROBFIG; /* the words stand for five fields, minute first */
    return read_fields(cron, &f, fields);
}
