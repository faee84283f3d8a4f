/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The duration behind "@every": Go's grammar ("1h30m", "1.5h", "300ms"), as KFP reads it, and
 * "d" for 24 hours. Cut to whole seconds, at least one second, as KFP does.
 */
#include "cron/internal.h"

#include "base/err.h"
#include "base/util.h"

#include <string.h>

#define NS_PER_S INT64_C(1000000000)

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xc2\xb5s", 1000}, /* the micro sign */
    {"\xce\xbcs", 1000}, /* the Greek letter */
    {"ms", 1000000},
    {"s", NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"h", 3600 * NS_PER_S},
    {"d", 86400 * NS_PER_S},
};

static int complain(const char *text, const char *why, struct err *err)
{
    char shown[CRON_SHOW_MAX];
    return err_set(err, ERR_INVALID,
        "cron '@every %s': %s; write a duration such as 90s, 15m, 1h30m or 1d",
        cron_show(text, shown), why);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A unit at *at; 0 if there is none. */
static int64_t take_unit(const char **at)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t len = strlen(units[i].name);
        char after = strncmp(*at, units[i].name, len) == 0 ? (*at)[len] : 'x';
        if (after == '\0' || is_digit(after) || after == '.') {
            *at += len;
            return units[i].ns;
        }
    }
    return 0;
}

int duration_parse(const char *text, bool may_be_zero, int64_t *seconds_out, struct err *err)
{
    int64_t total = 0;
    const char *at = text;
    if (*at == '-') {
        return complain(text, "it must be positive", err);
    }
    at += *at == '+';
    if (*at == '\0') {
        return complain(text, "the duration is missing", err);
    }
    while (*at != '\0') {
        int64_t whole = 0, fraction = 0, scale = 1;
        const char *start = at;
        bool too_long = false;
        for (; is_digit(*at); at++) {
            too_long |= __builtin_mul_overflow(whole, 10, &whole) ||
                        __builtin_add_overflow(whole, *at - '0', &whole);
        }
        size_t digits = (size_t)(at - start);
        if (*at == '.') {
            for (at++; is_digit(*at); at++, digits++) {
                if (scale < 1000000000) {
                    fraction = fraction * 10 + (*at - '0');
                    scale *= 10;
                }
            }
        }
        if (digits == 0) {
            return complain(text, "a number is missing", err);
        }
        if (*at == '\0') {
            return complain(text, "the unit is missing (s, m, h or d)", err);
        }
        int64_t unit = take_unit(&at);
        if (unit == 0) {
            return complain(text, "unknown unit (use s, m, h or d)", err);
        }
        /* A fraction below a nanosecond does not matter; unit / scale may lose no more. */
        int64_t part = (int64_t)((__int128)fraction * unit / scale);
        too_long |= __builtin_mul_overflow(whole, unit, &whole) ||
                    __builtin_add_overflow(total, whole, &total) ||
                    __builtin_add_overflow(total, part, &total);
        if (too_long || total / NS_PER_S > INTERVAL_MAX_S) {
            return complain(text, "longer than 100 years", err);
        }
    }
    if (may_be_zero) {
        *seconds_out = total / NS_PER_S;
        return 0;
    }
    if (total == 0) {
        return complain(text, "it must be longer than nothing", err);
    }
    *seconds_out = total < NS_PER_S ? 1 : total / NS_PER_S;
    return 0;
}
