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
#define FILE_MAX (1024 * 1024)

struct next_options {
    const char *zone, *from, *count, *profile, *gap, *fold, *hash_key, *document;
    json_t *also;              /* schedules beside the first */
    json_t *include, *exclude; /* names of files */
    bool explain;
};

void cli_print_tick(const json_t *tick)
{
    const char *wanted = jget_str(tick, "wanted", ""), *why = jget_str(tick, "excluded", "");
    const char *fires_at = jget_str(tick, "fires_at", "");
    fputs(jget_str(tick, "time", ""), stdout);
    if (fires_at[0] != '\0') {
        printf("  (fires at %s)", fires_at);
    }
    if (jget_bool(tick, "skip", false)) {
        fputs("  (is to be skipped)", stdout);
    }
    if (wanted[0] != '\0') {
        printf("  (for %s, which the clock change skips)", wanted);
    }
    if (why[0] != '\0') {
        fputs("  (does not run: ", stdout);
        cli_print_text(why, SCHEDULE_WHY_MAX);
        fputs(")", stdout);
    }
    putchar('\n');
}

static void print_preview(const struct cli *cli, const json_t *preview, bool explain)
{
    const json_t *ticks = json_object_get(preview, "ticks");
    const json_t *hints = json_object_get(preview, "hints");
    if (cli->is_json) {
        cli_print_json(explain ? preview : json_object_get(preview, "times"));
        return;
    }
    if (explain) {
        printf("%s\n", jget_str(preview, "description", ""));
    }
    for (size_t i = 0; i < json_array_size(ticks); i++) {
        cli_print_tick(json_array_get(ticks, i));
    }
    /* Not to standard output, which is a list of instants. */
    for (size_t i = 0; i < json_array_size(hints); i++) {
        fprintf(stderr, "hint: %s\n", json_string_value(json_array_get(hints, i)));
    }
}

json_t *cli_calendars(const json_t *files, struct err *err)
{
    json_t *texts = json_array();
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *file = json_string_value(json_array_get(files, i));
        size_t len;
        char *text CLEANUP(cleanup_free) = file_read(file, FILE_MAX, &len, err);
        json_t *value = text != NULL ? json_stringn(text, len) : NULL;
        if (value == NULL) {
            if (text != NULL) {
                err_set(err, ERR_INVALID, "%s is not UTF-8", file);
            }
            json_decref(texts);
            return NULL;
        }
        json_array_append_new(texts, value);
    }
    return texts;
}

static json_t *read_document(const char *file, struct err *err)
{
    size_t len;
    char *text CLEANUP(cleanup_free) = file_read(file, FILE_MAX, &len, err);
    return text != NULL ? jread_text(text, len, file, err) : NULL;
}

static json_t *make_document(const struct next_options *o, const char *text, struct err *err)
{
    json_t *doc CLEANUP(json_decrefp) =
        o->document != NULL ? read_document(o->document, err) : json_object();
    if (doc == NULL) {
        return NULL;
    }
    json_t *dst = json_object();
    jset_str(dst, "gap", o->gap);
    jset_str(dst, "fold", o->fold);
    jset_str(doc, "cron", text);
    if (json_array_size(o->also) > 0) {
        json_object_set(doc, "schedules", o->also);
    }
    if (json_object_size(dst) > 0) {
        json_object_set(doc, "dst", dst);
    }
    json_decref(dst);
    jset_str(doc, "time_zone", o->zone);
    jset_str(doc, "profile", o->profile);
    const json_t *const files[] = {o->include, o->exclude};
    static const char *const members[] = {"include", "exclude"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        json_t *calendars = cli_calendars(files[i], err);
        if (calendars == NULL) {
            return NULL;
        }
        if (json_array_size(calendars) > 0) {
            json_object_set(doc, members[i], calendars);
        }
        json_decref(calendars);
    }
    return STEAL(doc);
}

static int show(const struct cli *cli, const struct next_options *o, const char *text)
{
    struct err err = ERR_INIT;
    int64_t from_us = clock_now_us(), n = 0;
    json_t *doc CLEANUP(json_decrefp) = NULL;
    struct schedule *schedule = NULL;
    if (parse_i64(o->count, 1, COUNT_MAX, "-n", &n, &err) != 0 ||
        (o->from != NULL && clock_parse(o->from, &from_us, &err) != 0) ||
        (doc = make_document(o, text, &err)) == NULL ||
        (schedule = schedule_parse(doc, o->hash_key, &err)) == NULL) {
        return cli_fail(CLI_USAGE, &err);
    }
    json_t *preview = schedule_preview(schedule, from_us, n);
    print_preview(cli, preview, o->explain);
    json_decref(preview);
    schedule_free(schedule);
    zone_drop_all();
    return CLI_OK;
}

static int run_next(struct cli *cli, int argc, char **argv)
{
    struct next_options o = {
        .count = "5", .also = json_array(), .include = json_array(), .exclude = json_array()};
    const struct cli_option options[] = {{"--tz", &o.zone, NULL, NULL},
        {"--from", &o.from, NULL, NULL}, {"-n", &o.count, NULL, NULL},
        {"--profile", &o.profile, NULL, NULL}, {"--gap", &o.gap, NULL, NULL},
        {"--fold", &o.fold, NULL, NULL}, {"--hash-key", &o.hash_key, NULL, NULL},
        {"--document", &o.document, NULL, NULL}, {"--also", NULL, NULL, o.also},
        {"--include", NULL, NULL, o.include}, {"--exclude", NULL, NULL, o.exclude},
        {"--explain", NULL, &o.explain, NULL}, {NULL, NULL, NULL, NULL}};
    int rc = cli_options(&command_next, &argc, argv, options, 0, 1);
    if (rc == 0 && argc == 0 && o.document == NULL && json_array_size(o.also) == 0) {
        rc = cli_usage(&command_next, "something is missing");
    }
    int code = rc == 0 ? show(cli, &o, argc > 0 ? argv[0] : NULL) : CLI_USAGE;
    json_decref(o.also);
    json_decref(o.include);
    json_decref(o.exclude);
    return code;
}

const struct command command_next = {"next",
    "SCHEDULE [--also SCHEDULE] [--tz ZONE] [--from INSTANT] [-n COUNT] [--explain]\n"
    "       [--profile vixie|robfig|robfig-v1|quartz] [--gap next|skip] [--fold "
    "first|second|both]\n"
    "       [--include ICS] [--exclude ICS] [--hash-key ID] [--document FILE]",
    "Show when a schedule fires, offline", run_next};
