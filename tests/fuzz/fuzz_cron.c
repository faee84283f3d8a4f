/* SPDX-License-Identifier: Apache-2.0 */
/* Schedule text from outside: parse, describe, step, preview. First byte: which zone and profile
 * stand beside it, and what happens at clock changes. */
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

static struct schedule *parse(uint8_t choice, const char *text, struct err *err)
{
    static const char *const zones[] = {NULL, "UTC", "America/New_York", "Australia/Lord_Howe",
        "Pacific/Apia", "Africa/Casablanca", "America/Santiago", "Europe/Dublin"};
    static const char *const profiles[] = {NULL, "robfig", "robfig-v1", "quartz"};
    static const char *const folds[] = {NULL, "first", "second", "both"};
    const char *zone = zones[choice % 8];
    if (choice < 8) {
        return schedule_parse_cron(text, zone, err);
    }
    json_t *value = json_string(text);
    if (value == NULL) {
        err_set(err, ERR_INVALID, "not UTF-8");
        return NULL;
    }
    json_t *doc = json_pack("{s:o,s:s*,s:s*,s:{s:s*}}", "cron", value, "time_zone", zone, "profile",
        profiles[choice / 8 % 4], "dst", "fold", folds[choice / 32 % 4]);
    struct schedule *schedule = schedule_parse(doc, "key", err);
    json_decref(doc);
    return schedule;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    char *text = xmalloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    struct err err = ERR_INIT;
    struct schedule *schedule = parse(data[0], text, &err);
    if (schedule != NULL) {
        struct buf out;
        buf_init(&out, 8192);
        schedule_describe(schedule, &out);
        assert(out.len > 0);
        buf_done(&out);
        json_decref(schedule_preview(schedule, INT64_C(1772928000000000), 3));
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
