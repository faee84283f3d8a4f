/* SPDX-License-Identifier: Apache-2.0 */
/* Cron text from outside: parse, describe, step. First byte: which zone stands beside it. */
#include "scheduler/schedule.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void step(const struct schedule *schedule, int64_t from_us)
{
    int64_t at = from_us;
    for (int i = 0; i < 8; i++) {
        int64_t next = schedule_next(schedule, from_us, at);
        if (next < 0 && at >= 0) {
            break;
        }
        assert(next > at && next % 1000000 == 0);
        assert(schedule_next(schedule, from_us, next - 1) == next);
        char wanted[16];
        schedule_is_shifted(schedule, next, wanted);
        at = next;
    }
    struct schedule_window window = {.created_us = from_us, .no_catchup = true};
    int64_t now = from_us + INT64_C(100000000000000);
    int64_t slot = schedule_next_slot(schedule, &window, 0, now);
    assert(slot == -1 || slot > from_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const zones[] = {NULL, "UTC", "America/New_York", "Australia/Lord_Howe",
        "Pacific/Apia", "Africa/Casablanca", "America/Santiago", "Europe/Dublin"};
    if (size == 0) {
        return 0;
    }
    char *text = xmalloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    struct err err = ERR_INIT;
    struct schedule *schedule = schedule_parse_cron(text, zones[data[0] % ARRAY_LEN(zones)], &err);
    if (schedule != NULL) {
        struct buf out;
        buf_init(&out, 8192);
        schedule_describe(schedule, &out);
        assert(out.len > 0);
        buf_done(&out);
        static const int64_t from_s[] = {1, 1741478400, 1762000000, 4107542400, 32503680000};
        for (size_t i = 0; i < ARRAY_LEN(from_s); i++) {
            step(schedule, from_s[i] * 1000000);
        }
    } else {
        assert(err.msg[0] != '\0');
    }
    schedule_free(schedule);
    free(text);
    return 0;
}
