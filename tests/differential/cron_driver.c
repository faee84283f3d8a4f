/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules for other programs' comparisons: reads one schedule document a line from standard
 * input, with `from` (RFC 3339), `n` and `hash_key` in it, and writes one line for each: a list of
 * the next instants in seconds, or the complaint as a string.
 */
#include "scheduler/schedule.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static json_t *answer(const char *line, size_t len)
{
    struct err err = ERR_INIT;
    int64_t from_us = 0, n = 1;
    const char *hash_key = NULL;
    json_t *doc CLEANUP(json_decrefp) = jread_text(line, len, "line", &err);
    struct schedule *schedule = NULL;
    if (doc == NULL || jread_time(doc, "", "from", &from_us, &err) != 0 ||
        jread_i64(doc, "", "n", 1, 100000, &n, &err) != 0 ||
        jread_string(doc, "", "hash_key", &hash_key, &err) != 0 ||
        (schedule = schedule_parse(doc, hash_key, &err)) == NULL) {
        return json_string(err.msg);
    }
    json_t *times = json_array();
    int64_t at = from_us;
    for (int64_t i = 0; i < n && (at = schedule_next(schedule, from_us, at)) != SCHEDULE_NEVER;
         i++) {
        json_array_append_new(times, json_integer(at / US_PER_S));
    }
    schedule_free(schedule);
    return times;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    while ((len = getline(&line, &size, stdin)) > 0) {
        json_t *out CLEANUP(json_decrefp) = answer(line, (size_t)len);
        char *text CLEANUP(cleanup_free) = json_dumps(out, JSON_COMPACT | JSON_ENCODE_ANY);
        puts(text);
        fflush(stdout);
    }
    free(line);
    zone_drop_all();
    return 0;
}
