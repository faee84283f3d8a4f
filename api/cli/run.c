/* SPDX-License-Identifier: Apache-2.0 */
/* rondo run, runs, logs, terminate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/cli/cli.h"
#include "api/cli/policy.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/plan.h"

#define POLL_MS 300
#define LIST_DEFAULT "20"

static bool is_final(const char *state)
{
    return strcmp(state, "SUCCEEDED") == 0 || strcmp(state, "FAILED") == 0 ||
           strcmp(state, "SKIPPED") == 0 || strcmp(state, "CANCELED") == 0;
}

static json_t *run_fetch(const struct cli *cli, const char *id, struct err *err)
{
    CLEANUP(cleanup_free) char *encoded = client_encode(id);
    CLEANUP(cleanup_free) char *path = xasprintf("/apis/v2beta1/runs/%s", encoded);
    return client_json(cli, "GET", path, NULL, err);
}

static json_t *tasks_fetch(const struct cli *cli, const char *id, struct err *err)
{
    CLEANUP(cleanup_free) char *path = xasprintf("/apis/rondo/v1/runs/%s/tasks", id);
    return client_json(cli, "GET", path, NULL, err);
}

/* What was ignored and the like; `said` is how many have been printed. */
static void print_notices(const json_t *tasks, size_t *said)
{
    const json_t *notices = json_object_get(tasks, "notices");
    for (; *said < json_array_size(notices); (*said)++) {
        printf("  note: %s\n", jget_str(json_array_get(notices, *said), "text", ""));
    }
    fflush(stdout);
}

/* Print what changed since the last look; `seen` is {path: state}. */
static void print_changes(const json_t *tasks, json_t *seen)
{
    size_t i;
    const json_t *task;
    json_array_foreach(json_object_get(tasks, "tasks"), i, task)
    {
        const char *path = jget_str(task, "path", ""), *state = jget_str(task, "state", "");
        if (str_eq(json_string_value(json_object_get(seen, path)), state)) {
            continue;
        }
        const char *error = jget_str(task, "error", "");
        printf("  %-12s %s%s%s\n", state, path, error[0] != '\0' ? ": " : "", error);
        json_object_set_new(seen, path, json_string(state));
    }
    fflush(stdout);
}

static const char *run_error(const json_t *run)
{
    return jget_str(json_object_get(run, "error"), "message", "");
}

/* Until the run is final. New reference to its last record. */
static json_t *watch(const struct cli *cli, const char *id, struct err *err)
{
    json_t *seen = json_object(), *run = NULL;
    size_t said = 0;
    for (;;) {
        json_decref(run);
        run = run_fetch(cli, id, err);
        json_t *tasks = run != NULL && !cli->is_json ? tasks_fetch(cli, id, err) : NULL;
        if (run == NULL || (tasks == NULL && !cli->is_json)) {
            json_decref(run);
            json_decref(seen);
            return NULL;
        }
        print_notices(tasks, &said);
        print_changes(tasks, seen);
        json_decref(tasks);
        if (is_final(jget_str(run, "state", ""))) {
            json_decref(seen);
            return run;
        }
        struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
}

static int finish_watch(struct cli *cli, const char *id)
{
    struct err err = ERR_INIT;
    json_t *run = watch(cli, id, &err);
    if (run == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    const char *state = jget_str(run, "state", "");
    if (cli->is_json) {
        cli_print_json(run);
    } else {
        printf("run %s %s%s%s\n", id, state, run_error(run)[0] != '\0' ? ": " : "", run_error(run));
    }
    int code = strcmp(state, "SUCCEEDED") == 0 ? CLI_OK : CLI_FAILED;
    json_decref(run);
    return code;
}

/* What the daemon would say too, before it is asked. */
static int check_inputs(
    const struct plan *plan, const json_t *parameters, const json_t *artifacts, struct err *err)
{
    json_t *bound = plan_bind_params(plan, parameters, err);
    json_t *given = bound != NULL ? plan_bind_artifacts(plan, artifacts, err) : NULL;
    int result = given != NULL ? 0 : -1;
    json_decref(bound);
    json_decref(given);
    return result;
}

static int run_run(struct cli *cli, int argc, char **argv)
{
    const char *name = NULL, *experiment = NULL, *pool = NULL, *priority = NULL;
    bool wants_watch = false;
    json_t *pairs = json_array(), *artifact_pairs = json_array();
    const struct cli_option options[] = {{"--name", &name, NULL, NULL},
        {"--experiment-id", &experiment, NULL, NULL}, {"--watch", NULL, &wants_watch, NULL},
        {"--pool", &pool, NULL, NULL}, {"--priority", &priority, NULL, NULL},
        {"-p", NULL, NULL, pairs}, {"-a", NULL, NULL, artifact_pairs}, {NULL, NULL, NULL, NULL}};
    struct err err = ERR_INIT;
    struct plan *plan = NULL;
    json_t *parameters = NULL, *artifacts = NULL, *body = NULL, *run = NULL,
           *rondo = json_object();
    int code = CLI_USAGE;
    if (cli_options(&command_run, &argc, argv, options, 1, 1) != 0 ||
        (plan = cli_compile(argv[0])) == NULL) {
        goto out;
    }
    parameters = cli_parameters(pairs, plan, &err);
    if (parameters != NULL && plan->job_parameters != NULL) { /* -p wins over the file */
        json_object_update_missing(parameters, (json_t *)(uintptr_t)plan->job_parameters);
    }
    artifacts = cli_artifacts(artifact_pairs, &err);
    if (parameters == NULL || artifacts == NULL ||
        check_inputs(plan, parameters, artifacts, &err) != 0 ||
        policy_set_pool(rondo, pool, priority, &err) != 0) {
        code = cli_fail(CLI_USAGE, &err);
        goto out;
    }
    json_t *spec = plan->platform != NULL ? json_pack("{s:O,s:O}", "pipeline_spec", plan->spec,
                                                "platform_spec", plan->platform)
                                          : json_incref(plan->spec);
    body = json_pack("{s:s,s:o,s:{s:O}}", "display_name", name != NULL ? name : plan->name,
        "pipeline_spec", spec, "runtime_config", "parameters", parameters);
    jset_str(body, "experiment_id", experiment);
    json_t *config = json_object_get(body, "runtime_config");
    jset_str(config, "pipeline_root", plan->job_root);
    if (json_object_size(artifacts) > 0) {
        json_object_set(config, "input_artifacts", artifacts);
    }
    if (json_object_size(rondo) > 0) {
        json_object_set(body, "rondo", rondo);
    }
    run = client_json(cli, "POST", "/apis/v2beta1/runs", body, &err);
    if (run == NULL) {
        code = cli_fail(err.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, &err);
        goto out;
    }
    const char *id = jget_str(run, "run_id", "");
    code = CLI_OK;
    if (wants_watch) {
        if (!cli->is_json) {
            printf("run %s\n", id);
        }
        code = finish_watch(cli, id);
    } else if (cli->is_json) {
        cli_print_json(run);
    } else {
        printf("run %s\n", id);
    }
out:
    json_decref(run);
    json_decref(body);
    json_decref(rondo);
    json_decref(parameters);
    json_decref(artifacts);
    json_decref(pairs);
    json_decref(artifact_pairs);
    plan_unref(plan);
    return code;
}

const struct command command_run = {"run",
    "FILE [-p NAME=VALUE]... [-a NAME=URI]... [--name NAME] [--experiment-id ID] [--watch]\n"
    "         [--pool NAME] [--priority N]",
    "Run a pipeline file once", run_run};

static int run_runs(struct cli *cli, int argc, char **argv)
{
    const char *count = LIST_DEFAULT;
    const struct cli_option options[] = {{"-n", &count, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    int64_t n = 0;
    struct err err = ERR_INIT;
    if (cli_options(&command_runs, &argc, argv, options, 0, 0) != 0) {
        return CLI_USAGE;
    }
    if (parse_i64(count, 1, 200, "-n", &n, &err) != 0) {
        return cli_fail(CLI_USAGE, &err);
    }
    CLEANUP(cleanup_free)
    char *path = xasprintf("/apis/v2beta1/runs?page_size=%d&sort_by=created_at%%20desc", (int)n);
    json_t *list = client_json(cli, "GET", path, NULL, &err);
    if (list == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    static const char *const columns[] = {"RUN ID:run_id", "NAME:display_name", "STATE:state",
        "SCHEDULED:scheduled_at", "FINISHED:finished_at", NULL};
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        cli_print_table(json_object_get(list, "runs"), columns);
    }
    json_decref(list);
    return CLI_OK;
}

const struct command command_runs = {"runs", "[-n COUNT]", "List the newest runs", run_runs};

static int run_logs(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_logs, &argc, argv, NULL, 1, 2) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *run = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *task = argc > 1 ? client_encode(argv[1]) : NULL;
    CLEANUP(cleanup_free)
    char *path = xasprintf("/apis/rondo/v1/runs/%s/logs%s%s", run, task != NULL ? "?task=" : "",
        task != NULL ? task : "");
    CLEANUP(cleanup_free) char *text = client_text(cli, path, &err);
    if (text == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        json_t *out = json_pack("{s:s}", "log", text);
        cli_print_json(out);
        json_decref(out);
    } else {
        fputs(text, stdout);
    }
    return CLI_OK;
}

const struct command command_logs = {
    "logs", "RUN [TASK]", "Print the output of a run's tasks", run_logs};

static int run_terminate(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_terminate, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *run = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *path = xasprintf("/apis/v2beta1/runs/%s:terminate", run);
    json_t *reply = client_json(cli, "POST", path, NULL, &err);
    if (reply == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(reply);
    }
    json_decref(reply);
    return CLI_OK;
}

const struct command command_terminate = {"terminate", "RUN", "End a run", run_terminate};
