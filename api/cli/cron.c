/* SPDX-License-Identifier: Apache-2.0 */
/* rondo cron: recurring runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "api/cli/policy.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/plan.h"
#include "scheduler/schedule.h"

#define ROOT "/apis/v2beta1/recurringruns"
#define KFP_CONCURRENCY_MAX 10
#define CONCURRENCY_MAX 1000000

void cli_print_next_times(const json_t *record)
{
    size_t i;
    const json_t *at;
    json_array_foreach(json_object_get(record, "next_run_times"), i, at)
    {
        printf("%s%s", i == 0 ? "fires next at " : ", ", json_string_value(at));
    }
    if (json_array_size(json_object_get(record, "next_run_times")) > 0) {
        putchar('\n');
    }
}

struct add_options {
    const char *cron, *every, *zone, *name, *concurrency, *start, *end, *experiment;
    bool no_catchup, is_disabled, if_missing;
    json_t *pairs, *artifact_pairs;
    struct policy_options policy;
};

/* Would the daemon take it? `H` is picked by an id that is not known yet: any will do. */
static int check_schedule(
    const struct add_options *o, const char *cron, const json_t *rondo, struct err *err)
{
    json_t *doc CLEANUP(json_decrefp) = json_deep_copy(rondo);
    jset_str(doc, "cron", cron);
    jset_str(doc, "time_zone", o->zone);
    struct schedule *schedule = schedule_parse(doc, "any", err);
    if (schedule == NULL) {
        return -1;
    }
    schedule_free(schedule);
    zone_drop_all();
    return 0;
}

/* Checked offline first, so that a mistake is told before anything is uploaded. rondo: its
 * schedules. */
static json_t *trigger_body(const struct add_options *o, json_t *rondo, struct err *err)
{
    int64_t every_ms = 0;
    json_t *inner;
    json_t *schedules = json_object_get(rondo, "schedules");
    char *cron CLEANUP(cleanup_free) = o->cron != NULL ? xstrdup(o->cron) : NULL;
    if (cron == NULL && o->every == NULL && json_array_size(schedules) > 0) {
        /* KFP's clients see the first one. */
        cron = xstrdup(json_string_value(json_array_get(schedules, 0)));
        json_array_remove(schedules, 0);
        if (json_array_size(schedules) == 0) {
            json_object_del(rondo, "schedules");
        }
    }
    if ((cron != NULL) == (o->every != NULL)) {
        err_set(err, ERR_INVALID, "give either --cron \"0 9 * * 1-5\" or --every 10m");
        return NULL;
    }
    if (o->every != NULL) {
        if (parse_duration_ms(o->every, "--every", &every_ms, err) != 0) {
            return NULL;
        }
        if (every_ms < 1000 || every_ms % 1000 != 0) {
            err_set(err, ERR_INVALID, "--every: whole seconds, at least one");
            return NULL;
        }
        inner = json_pack("{s:I}", "interval_second", (json_int_t)(every_ms / 1000));
    } else {
        if (check_schedule(o, cron, rondo, err) != 0) {
            return NULL;
        }
        inner = json_pack("{s:s}", "cron", cron);
        jset_str(inner, "time_zone", o->zone);
    }
    jset_str(inner, "start_time", o->start);
    jset_str(inner, "end_time", o->end);
    return json_pack("{s:o}", o->every != NULL ? "periodic_schedule" : "cron_schedule", inner);
}

static json_t *create(
    const struct cli *cli, const struct add_options *o, const char *file, struct err *err)
{
    json_t *rondo CLEANUP(json_decrefp) = json_object();
    json_t *trigger =
        policy_options_read(&o->policy, rondo, err) == 0 ? trigger_body(o, rondo, err) : NULL;
    struct plan *plan = trigger != NULL ? cli_compile(file) : NULL;
    json_t *parameters = plan != NULL ? cli_parameters(o->pairs, plan, err) : NULL;
    json_t *artifacts = parameters != NULL ? cli_artifacts(o->artifact_pairs, err) : NULL;
    json_t *ids = NULL, *record = NULL;
    int64_t concurrency = 1;
    if (trigger != NULL && plan == NULL) {
        err_set(err, ERR_INVALID, "%s: see the complaints above", file);
    }
    if (artifacts != NULL && parse_i64(o->concurrency, 1, CONCURRENCY_MAX, "--max-concurrency",
                                 &concurrency, err) == 0) {
        ids = cli_upload(cli, file, plan, plan->name, err);
    }
    if (ids != NULL) {
        json_t *body = json_pack("{s:s,s:O,s:{s:O},s:O,s:I,s:s,s:b}", "display_name",
            o->name != NULL ? o->name : plan->name, "pipeline_version_reference", ids,
            "runtime_config", "parameters", parameters, "trigger", trigger, "max_concurrency",
            (json_int_t)concurrency, "mode", o->is_disabled ? "DISABLE" : "ENABLE", "no_catchup",
            o->no_catchup);
        jset_str(body, "experiment_id", o->experiment);
        if (concurrency > KFP_CONCURRENCY_MAX) {
            json_object_set_new(rondo, "max_concurrency", json_integer(concurrency));
            json_object_set_new(body, "max_concurrency", json_integer(KFP_CONCURRENCY_MAX));
        }
        if (json_object_size(rondo) > 0) {
            json_object_set(body, "rondo", rondo);
        }
        if (json_object_size(artifacts) > 0) {
            json_object_set(json_object_get(body, "runtime_config"), "input_artifacts", artifacts);
        }
        record = client_json(cli, "POST", ROOT, body, err);
        json_decref(body);
    }
    json_decref(ids);
    json_decref(parameters);
    json_decref(artifacts);
    json_decref(trigger);
    plan_unref(plan);
    return record;
}

static int run_add(struct cli *cli, int argc, char **argv)
{
    struct add_options o = {
        .concurrency = "1", .pairs = json_array(), .artifact_pairs = json_array()};
    struct cli_option options[14 + POLICY_OPTION_COUNT] = {{"--cron", &o.cron, NULL, NULL},
        {"--every", &o.every, NULL, NULL}, {"--tz", &o.zone, NULL, NULL},
        {"--name", &o.name, NULL, NULL}, {"--max-concurrency", &o.concurrency, NULL, NULL},
        {"--start", &o.start, NULL, NULL}, {"--end", &o.end, NULL, NULL},
        {"--experiment-id", &o.experiment, NULL, NULL}, {"--no-catchup", NULL, &o.no_catchup, NULL},
        {"--disabled", NULL, &o.is_disabled, NULL}, {"--if-missing", NULL, &o.if_missing, NULL},
        {"-p", NULL, NULL, o.pairs}, {"-a", NULL, NULL, o.artifact_pairs}};
    policy_options_init(&o.policy);
    policy_options_table(&o.policy, options + 13);
    struct err err = ERR_INIT;
    int code = CLI_USAGE;
    json_t *record = NULL;
    if (cli_options(&command_cron_add, &argc, argv, options, 1, 1) != 0) {
        goto out;
    }
    if (o.if_missing && o.name != NULL) {
        record = client_find(cli, ROOT, "recurringRuns", "display_name", o.name, &err);
    }
    if (record == NULL && err.code == ERR_NONE) {
        record = create(cli, &o, argv[0], &err);
    }
    if (record == NULL) {
        code = cli_fail(err.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, &err);
    } else {
        code = CLI_OK;
        if (cli->is_json) {
            cli_print_json(record);
        } else {
            printf("recurring run %s\n", jget_str(record, "recurring_run_id", ""));
            cli_print_next_times(record);
        }
    }
out:
    policy_options_done(&o.policy);
    json_decref(record);
    json_decref(o.pairs);
    json_decref(o.artifact_pairs);
    return code;
}

const struct command command_cron_add = {"cron add",
    "FILE (--cron EXPR [--tz ZONE] | --every 10m) [--name NAME] [-p NAME=VALUE]... [-a "
    "NAME=URI]...\n"
    "         [--max-concurrency N] [--no-catchup] [--start T] [--end T] [--disabled] "
    "[--if-missing]\n" POLICY_USAGE,
    "Run a pipeline again and again", run_add};

static int run_list(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_cron_list, &argc, argv, NULL, 0, 0) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    json_t *list = client_pages(cli, ROOT, "recurringRuns", &err);
    if (list == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    static const char *const columns[] = {"RECURRING RUN ID:recurring_run_id", "NAME:display_name",
        "STATUS:status", "CRON:trigger.cron_schedule.cron",
        "EVERY (S):trigger.periodic_schedule.interval_second", "NEXT:next_run_times", NULL};
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        cli_print_table(json_object_get(list, "recurringRuns"), columns);
    }
    json_decref(list);
    return CLI_OK;
}

const struct command command_cron_list = {"cron list", "", "List recurring runs", run_list};

static int run_get(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"NAME:display_name", "STATUS:status",
        "NOTE:rondo.pause.note", "UNTIL:rondo.pause.until", "ERROR:error.message",
        "POOL:rondo.pool", "PRIORITY:rondo.priority", "FIRED:index", "OF:rondo.backfill_ticks",
        "LAST:last_run_time", NULL};
    if (cli_options(&command_cron_get, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *id = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *path = xasprintf(ROOT "/%s", id);
    json_t *record CLEANUP(json_decrefp) = client_json(cli, "GET", path, NULL, &err);
    if (record == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(record);
        return CLI_OK;
    }
    json_t *rows CLEANUP(json_decrefp) = json_pack("[O]", record);
    cli_print_table(rows, columns);
    cli_print_next_times(record);
    return CLI_OK;
}

const struct command command_cron_get = {"cron get", "ID",
    "How it stands: why it is paused or fails, how often it has fired; -o json: all of it",
    run_get};

static int change(struct cli *cli, const struct command *command, int argc, char **argv,
    const char *method, const char *verb)
{
    if (cli_options(command, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *id = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *path = xasprintf(ROOT "/%s%s", id, verb);
    json_t *reply = client_json(cli, method, path, NULL, &err);
    if (reply == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(reply);
    }
    json_decref(reply);
    return CLI_OK;
}

static int run_enable(struct cli *cli, int argc, char **argv)
{
    return change(cli, &command_cron_enable, argc, argv, "POST", ":enable");
}

static int run_disable(struct cli *cli, int argc, char **argv)
{
    return change(cli, &command_cron_disable, argc, argv, "POST", ":disable");
}

static int run_rm(struct cli *cli, int argc, char **argv)
{
    return change(cli, &command_cron_rm, argc, argv, "DELETE", "");
}

const struct command command_cron_enable = {
    "cron enable", "ID", "Let a recurring run fire again", run_enable};
const struct command command_cron_disable = {
    "cron disable", "ID", "Keep a recurring run from firing; active runs go on", run_disable};
const struct command command_cron_rm = {
    "cron rm", "ID", "Delete a recurring run; its runs stay", run_rm};
