/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a zone file; what parses must keep the law of next(t) > t whatever it says. */
#include "cron/internal.h"

#include "base/err.h"
#include "base/util.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_spans(const struct zone *zone)
{
    static const int64_t steps[] = {1, 3600, 86400 * 91, INT64_C(86400) * 365 * 50};
    int64_t t = INT64_C(-62167219200);
    for (int i = 0; i < 2000 && t < INT64_C(400000000000); i++) {
        struct zone_span span;
        zone_span_at(zone, t, &span);
        assert(span.start <= t && t < span.end);
        assert(span.offset >= -ZONE_OFFSET_MAX && span.offset <= ZONE_OFFSET_MAX);
        t = i % 2 == 0 && span.end < ZONE_TIME_MAX ? span.end : t + steps[i / 2 % 4];
    }
}

static void check_schedule(const char *cron, const struct zone *zone)
{
    struct err err = ERR_INIT;
    struct schedule *schedule = schedule_parse_cron(cron, NULL, &err);
    assert(schedule != NULL);
    schedule->parts[0].zone = zone;
    static const int64_t from_s[] = {-2000000000, 0, 1741478400, 4102444000, 30000000000};
    for (size_t i = 0; i < ARRAY_LEN(from_s); i++) {
        int64_t at = from_s[i] * 1000000;
        for (int n = 0; n < 6; n++) {
            int64_t next = schedule_next(schedule, 0, at);
            if (next == -1 && at >= 0) {
                break;
            }
            assert(next > at);
            assert(schedule_next(schedule, 0, next - 1) == next);
            char wanted[16];
            schedule_is_shifted(schedule, next, wanted);
            at = next;
        }
    }
    schedule_free(schedule);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct zone *zone = zone_parse("Fuzz/Zone", data, size, &err);
    if (zone == NULL) {
        assert(err.msg[0] != '\0');
        return 0;
    }
    check_spans(zone);
    static const char *const crons[] = {
        "30 2 * * *", "*/30 * * * *", "0 0 29 2 *", "* 0 * * 1", "0 12 1 1 *"};
    for (size_t i = 0; i < ARRAY_LEN(crons); i++) {
        check_schedule(crons[i], zone);
    }
    zone_free(zone);
    return 0;
}
