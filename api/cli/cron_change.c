/* SPDX-License-Identifier: Apache-2.0 */
/* rondo cron edit, pause, resume, skip, fire, ticks, next: one recurring run that is there. */
#include <stdio.h>
#include <stdlib.h>

#include "api/cli/cli.h"
#include "api/cli/policy.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define ROOT "/apis/rondo/v1/recurringruns"
#define KFP_ROOT "/apis/v2beta1/recurringruns"
#define CONCURRENCY_MAX 1000000

/* One call about the recurring run `id`; what is behind it in the path: ":pause", "/ticks". */
static json_t *ask(const struct cli *cli, const char *method, const char *id, const char *behind,
    const json_t *body, struct err *err)
{
    CLEANUP(cleanup_free) char *encoded = client_encode(id);
    CLEANUP(cleanup_free) char *path = xasprintf(ROOT "/%s%s", encoded, behind);
    return client_json(cli, method, path, body, err);
}

/* Print the answer, or why there is none. */
static int tell(const struct cli *cli, json_t *reply, const struct err *err)
{
    if (reply == NULL) {
        return cli_fail(err->code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, err);
    }
    if (cli->is_json) {
        cli_print_json(reply);
    } else {
        cli_print_next_times(reply);
    }
    json_decref(reply);
    return CLI_OK;
}

/* ---- edit ---- */

struct edit_options {
    const char *name, *description, *cron, *every, *zone, *start, *end, *concurrency;
    json_t *pairs, *clear;
    struct policy_options policy;
};

static int read_when(const struct edit_options *o, json_t *body, struct err *err)
{
    int64_t every_ms = 0;
    if (o->cron != NULL && o->every != NULL) {
        return err_set(err, ERR_INVALID, "give either --cron or --every");
    }
    if (o->cron != NULL) {
        json_object_set_new(body, "cron", json_string(o->cron));
        json_object_set_new(body, "interval_second", json_null());
    }
    if (o->every != NULL) {
        if (parse_duration_ms(o->every, "--every", &every_ms, err) != 0) {
            return -1;
        }
        if (every_ms < 1000 || every_ms % 1000 != 0) {
            return err_set(err, ERR_INVALID, "--every: whole seconds, at least one");
        }
        json_object_set_new(body, "interval_second", json_integer(every_ms / 1000));
        json_object_set_new(body, "cron", json_null());
        json_object_set_new(body, "schedules", json_null());
        json_object_set_new(body, "time_zone", json_null());
    }
    return 0;
}

/* The parameters that it has, with those that were given in their place. */
static json_t *merged_parameters(
    const struct cli *cli, const char *id, const json_t *pairs, struct err *err)
{
    json_t *given CLEANUP(json_decrefp) = cli_parameters(pairs, NULL, err);
    if (given == NULL) {
        return NULL;
    }
    CLEANUP(cleanup_free) char *encoded = client_encode(id);
    CLEANUP(cleanup_free) char *path = xasprintf(KFP_ROOT "/%s", encoded);
    json_t *record CLEANUP(json_decrefp) = client_json(cli, "GET", path, NULL, err);
    if (record == NULL) {
        return NULL;
    }
    const json_t *config = json_object_get(record, "runtime_config");
    const json_t *now = json_object_get(config, "parameters");
    json_t *all = json_is_object(now) ? json_deep_copy(now) : json_object();
    json_object_update(all, given);
    return all;
}

static json_t *edit_body(
    const struct cli *cli, const char *id, const struct edit_options *o, struct err *err)
{
    json_t *body CLEANUP(json_decrefp) = json_object();
    int64_t concurrency = 0;
    jset_str(body, "display_name", o->name);
    jset_str(body, "description", o->description);
    jset_str(body, "start_time", o->start);
    jset_str(body, "end_time", o->end);
    if (read_when(o, body, err) != 0 || policy_options_read(&o->policy, body, err) != 0) {
        return NULL;
    }
    jset_str(body, "time_zone", o->zone);
    if (o->concurrency != NULL) {
        if (parse_i64(o->concurrency, 1, CONCURRENCY_MAX, "--max-concurrency", &concurrency, err) !=
            0) {
            return NULL;
        }
        json_object_set_new(body, "max_concurrency", json_integer(concurrency));
    }
    if (json_array_size(o->pairs) > 0) {
        json_t *parameters = merged_parameters(cli, id, o->pairs, err);
        if (parameters == NULL) {
            return NULL;
        }
        json_object_set_new(body, "parameters", parameters);
    }
    for (size_t i = 0; i < json_array_size(o->clear); i++) {
        json_object_set_new(body, json_string_value(json_array_get(o->clear, i)), json_null());
    }
    return STEAL(body);
}

static int run_edit(struct cli *cli, int argc, char **argv)
{
    struct edit_options o = {.pairs = json_array(), .clear = json_array()};
    struct err err = ERR_INIT;
    struct cli_option options[11 + POLICY_OPTION_COUNT] = {{"--name", &o.name, NULL, NULL},
        {"--description", &o.description, NULL, NULL}, {"--cron", &o.cron, NULL, NULL},
        {"--every", &o.every, NULL, NULL}, {"--tz", &o.zone, NULL, NULL},
        {"--start", &o.start, NULL, NULL}, {"--end", &o.end, NULL, NULL},
        {"--max-concurrency", &o.concurrency, NULL, NULL}, {"-p", NULL, NULL, o.pairs},
        {"--clear", NULL, NULL, o.clear}};
    policy_options_init(&o.policy);
    policy_options_table(&o.policy, options + 10);
    int code = CLI_USAGE;
    if (cli_options(&command_cron_edit, &argc, argv, options, 1, 1) == 0) {
        json_t *body = edit_body(cli, argv[0], &o, &err);
        code = tell(cli, body != NULL ? ask(cli, "PATCH", argv[0], "", body, &err) : NULL, &err);
        json_decref(body);
    }
    policy_options_done(&o.policy);
    json_decref(o.pairs);
    json_decref(o.clear);
    return code;
}

const struct command command_cron_edit = {"cron edit",
    "ID [--cron EXPR | --every 10m] [--tz ZONE] [--name NAME] [--description TEXT] [-p "
    "NAME=VALUE]...\n"
    "         [--start T] [--end T] [--max-concurrency N] [--clear MEMBER]...\n" POLICY_USAGE,
    "Change a recurring run; what has passed never fires", run_edit};

/* ---- pause, resume, skip, fire ---- */

static int run_pause(struct cli *cli, int argc, char **argv)
{
    const char *note = NULL, *until = NULL;
    const struct cli_option options[] = {
        {"--note", &note, NULL, NULL}, {"--until", &until, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_cron_pause, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    json_t *body CLEANUP(json_decrefp) = json_object();
    jset_str(body, "note", note);
    jset_str(body, "until", until);
    return tell(cli, ask(cli, "POST", argv[0], ":pause", body, &err), &err);
}

const struct command command_cron_pause = {"cron pause", "ID [--note TEXT] [--until T]",
    "Keep a recurring run from firing, until an instant or until resumed", run_pause};

static int run_resume(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_cron_resume, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    return tell(cli, ask(cli, "POST", argv[0], ":resume", NULL, &err), &err);
}

const struct command command_cron_resume = {
    "cron resume", "ID", "Go on with the first tick after now", run_resume};

static int run_skip(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_cron_skip, &argc, argv, NULL, 2, 2) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    int64_t n = 0;
    if (parse_i64(argv[1], 0, 1000000, "N", &n, &err) != 0) {
        return cli_fail(CLI_USAGE, &err);
    }
    json_t *body CLEANUP(json_decrefp) = json_pack("{s:I}", "n", (json_int_t)n);
    return tell(cli, ask(cli, "POST", argv[0], ":skip", body, &err), &err);
}

const struct command command_cron_skip = {
    "cron skip", "ID N", "Pass over the next N ticks; 0: over none after all", run_skip};

static int run_fire(struct cli *cli, int argc, char **argv)
{
    const char *overlap = NULL, *request_id = NULL;
    const struct cli_option options[] = {{"--overlap", &overlap, NULL, NULL},
        {"--request-id", &request_id, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_cron_fire, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    json_t *body CLEANUP(json_decrefp) = json_object();
    jset_str(body, "overlap", overlap);
    jset_str(body, "request_id", request_id);
    json_t *reply = ask(cli, "POST", argv[0], ":fire", body, &err);
    if (reply != NULL && !cli->is_json) {
        printf("run %s\n", jget_str(reply, "run_id", ""));
    }
    return tell(cli, reply, &err);
}

const struct command command_cron_fire = {"cron fire",
    "ID [--overlap allow|skip|cancel_other|terminate_other] [--request-id R]",
    "Run it now, outside of its schedule", run_fire};

static int run_backfill(struct cli *cli, int argc, char **argv)
{
    const char *start = NULL, *end = NULL, *concurrency = NULL, *pool = NULL, *priority = NULL;
    bool is_dry = false;
    const struct cli_option options[] = {{"--start", &start, NULL, NULL},
        {"--end", &end, NULL, NULL}, {"--max-concurrency", &concurrency, NULL, NULL},
        {"--pool", &pool, NULL, NULL}, {"--priority", &priority, NULL, NULL},
        {"--dry-run", NULL, &is_dry, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_cron_backfill, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    int64_t n = 0, rank = 0;
    if ((concurrency != NULL &&
            parse_i64(concurrency, 1, 1000000, "--max-concurrency", &n, &err) != 0) ||
        (priority != NULL && parse_i64(priority, -1000, 1000, "--priority", &rank, &err) != 0)) {
        return cli_fail(CLI_USAGE, &err);
    }
    json_t *body CLEANUP(json_decrefp) = json_pack("{s:b}", "dry_run", (int)is_dry);
    jset_str(body, "start_time", start);
    jset_str(body, "end_time", end);
    if (concurrency != NULL) {
        json_object_set_new(body, "max_concurrency", json_integer(n));
    }
    jset_str(body, "pool", pool);
    if (priority != NULL) {
        json_object_set_new(body, "priority", json_integer(rank));
    }
    json_t *reply = ask(cli, "POST", argv[0], ":backfill", body, &err);
    if (reply != NULL && !cli->is_json && json_object_get(reply, "ticks") != NULL) {
        printf("%" JSON_INTEGER_FORMAT
               " ticks, from %s to %s; calendars exclude %" JSON_INTEGER_FORMAT "\n",
            (json_int_t)jget_i64(reply, "ticks", 0), jget_str(reply, "first", "-"),
            jget_str(reply, "last", "-"), (json_int_t)jget_i64(reply, "excluded", 0));
    } else if (reply != NULL && !cli->is_json) {
        printf("recurring run %s: %" JSON_INTEGER_FORMAT " ticks\n",
            jget_str(reply, "recurring_run_id", ""),
            (json_int_t)jget_i64(json_object_get(reply, "rondo"), "backfill_ticks", 0));
    }
    return tell(cli, reply, &err);
}

const struct command command_cron_backfill = {"cron backfill",
    "ID --start T --end T [--max-concurrency N] [--pool P] [--priority N] [--dry-run]",
    "Fire the ticks of a range in the past, or say how many those are", run_backfill};

/* ---- ticks, next ---- */

static int run_ticks(struct cli *cli, int argc, char **argv)
{
    static const char *const waiting[] = {"PLACE:place", "WAITS SINCE:scheduled_at", NULL};
    static const char *const columns[] = {"TICK:scheduled_at", "OUTCOME:outcome",
        "LATE (MS):lateness_ms", "UP TO:to", "TICKS:count", "RUN:run_id", "WHY:why", NULL};
    if (cli_options(&command_cron_ticks, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    json_t *reply = ask(cli, "GET", argv[0], "/ticks", NULL, &err);
    if (reply != NULL && !cli->is_json) {
        if (json_array_size(json_object_get(reply, "waiting")) > 0) {
            cli_print_table(json_object_get(reply, "waiting"), waiting);
        }
        cli_print_table(json_object_get(reply, "ticks"), columns);
    }
    return tell(cli, reply, &err);
}

const struct command command_cron_ticks = {
    "cron ticks", "ID", "What has become of its ticks, and which wait for a place", run_ticks};

static int run_next_of(struct cli *cli, int argc, char **argv)
{
    const char *count = "5";
    const struct cli_option options[] = {{"-n", &count, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_cron_next, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    int64_t n = 0;
    if (parse_i64(count, 1, 1000, "-n", &n, &err) != 0) {
        return cli_fail(CLI_USAGE, &err);
    }
    CLEANUP(cleanup_free) char *behind = xasprintf("/next?n=%lld", (long long)n);
    json_t *reply = ask(cli, "GET", argv[0], behind, NULL, &err);
    const json_t *ticks = json_object_get(reply, "ticks");
    for (size_t i = 0; i < json_array_size(ticks) && !cli->is_json; i++) {
        cli_print_tick(json_array_get(ticks, i));
    }
    return tell(cli, reply, &err);
}

const struct command command_cron_next = {
    "cron next", "ID [-n COUNT]", "The next ticks of a recurring run", run_next_of};
