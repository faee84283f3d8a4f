/* SPDX-License-Identifier: Apache-2.0 */
/* rondo next: when would this schedule fire? Offline. */
#include <stdio.h>

#include "api/cli/cli.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/schedule.h"

#define COUNT_MAX 1000

static void print_next(
    const struct cli *cli, const struct schedule *schedule, int64_t from_us, int64_t count)
{
    json_t *out = json_array();
    int64_t at = from_us;
    char text[CLOCK_TEXT_MAX], wanted[16];
    for (int64_t i = 0; i < count && (at = schedule_next(schedule, from_us, at)) >= 0; i++) {
        clock_format_s(at, text);
        if (cli->is_json) {
            json_array_append_new(out, json_string(text));
        } else if (schedule_is_shifted(schedule, at, wanted)) {
            printf("%s  (for %s, which the clock change skips)\n", text, wanted);
        } else {
            puts(text);
        }
    }
    if (cli->is_json) {
        cli_print_json(out);
    }
    json_decref(out);
}

static int run_next(struct cli *cli, int argc, char **argv)
{
    const char *zone = NULL, *from = NULL, *count = "5";
    const struct cli_option options[] = {{"--tz", &zone, NULL, NULL}, {"--from", &from, NULL, NULL},
        {"-n", &count, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_next, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    int64_t from_us = clock_now_us(), n = 0;
    struct schedule *schedule = NULL;
    if (parse_i64(count, 1, COUNT_MAX, "-n", &n, &err) != 0 ||
        (from != NULL && clock_parse(from, &from_us, &err) != 0) ||
        (schedule = schedule_parse_cron(argv[0], zone, &err)) == NULL) {
        return cli_fail(CLI_USAGE, &err);
    }
    print_next(cli, schedule, from_us, n);
    schedule_free(schedule);
    zone_drop_all();
    return CLI_OK;
}

const struct command command_next = {"next", "CRON [--tz ZONE] [--from INSTANT] [-n COUNT]",
    "Show when a schedule fires, offline", run_next};
