/* SPDX-License-Identifier: Apache-2.0 */
/* iCalendar text from outside, as a calendar and as a rule: read, ask, step. */
#include "cron/calendar.h"
#include "cron/rule.h"
#include "scheduler/schedule.h"

#include "cron/cron.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct calendar *calendar)
{
    static const int64_t at_s[] = {0, 1772928000, 1772931600, 1798761600, 4102444800};
    for (size_t i = 0; i < ARRAY_LEN(at_s); i++) {
        const char *summary = NULL;
        if (calendar_covers(calendar, at_s[i], &summary)) {
            assert(summary[0] != '\0');
        }
    }
}

static void step(struct rule *rule)
{
    struct buf text;
    buf_init(&text, 4096);
    rule_describe(rule, &text);
    buf_done(&text);
    int64_t wall = INT64_C(-62135596800);
    for (int i = 0; i < 40; i++) {
        int64_t next = rule_next_wall(rule, wall);
        if (next == CRON_NEVER) {
            break;
        }
        assert(next >= wall && rule_next_wall(rule, next) == next);
        wall = next + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    const struct zone *zone = zone_get("UTC", &err), *rule_zone = NULL;
    if (size > CALENDAR_TEXT_MAX) {
        return 0;
    }
    char *text = xstrndup((const char *)data, size);
    struct calendar *calendar = calendar_parse(text, size, zone, &err);
    assert(calendar != NULL || err.msg[0] != '\0');
    if (calendar != NULL) {
        ask(calendar);
    }
    calendar_free(calendar);
    if (strlen(text) <= CRON_TEXT_MAX) {
        err_clear(&err);
        struct rule *rule = calendar_parse_rule(text, zone, &rule_zone, &err);
        assert(rule != NULL || err.msg[0] != '\0');
        if (rule != NULL) {
            step(rule);
        }
        rule_free(rule);
    }
    free(text);
    return 0;
}
