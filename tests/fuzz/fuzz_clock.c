/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3339 times from outside: what is accepted must survive being written and read again. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    struct err err = ERR_INIT;
    char written[CLOCK_TEXT_MAX];
    int64_t us, again;

    if (clock_parse(text, &us, &err) != 0) {
        assert(err.code == ERR_INVALID && err.msg[0] != '\0');
        return;
    }
    clock_format_us(us, written);
    /* An offset or a leap second may carry the first and last day into the years -1 and 10000. */
    if (strlen(written) == strlen("2026-11-23T09:30:00.123456Z") && written[0] != '-') {
        assert(clock_parse(written, &again, &err) == 0 && again == us);
    }
}

static void check_instant(int64_t us)
{
    char text[CLOCK_TEXT_MAX];
    struct civil c;

    assert(strlen(clock_format_us(us, text)) < CLOCK_TEXT_MAX);
    assert(strlen(clock_format_s(us, text)) < CLOCK_TEXT_MAX);
    civil_from_s(us / US_PER_S, &c);
    assert(civil_to_s(&c) == us / US_PER_S);
    assert(c.day >= 1 && c.day <= civil_days_in_month(c.year, c.month));
    assert(c.weekday >= 0 && c.weekday <= 6 && c.yearday >= 1 && c.yearday <= 366);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(cleanup_free) char *text = xstrndup((const char *)data, size);
    int64_t us;

    check_text(text);
    if (size >= sizeof us) {
        memcpy(&us, data, sizeof us);
        check_instant(us);
    }
    return 0;
}
