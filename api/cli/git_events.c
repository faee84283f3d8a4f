/* SPDX-License-Identifier: Apache-2.0 */
/* rondo git list, show, rm, enable, disable, rotate; events, explain, redeliver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define TRIGGERS "/apis/rondo/v1/triggers/git"
#define PAYLOAD_MAX (32u << 20)
#define DETAIL_MAX 400

static char *path_of(const char *id, const char *more)
{
    CLEANUP(cleanup_free) char *encoded = client_encode(id);
    return xasprintf(TRIGGERS "/%s%s", encoded, more);
}

/* The reply, or NULL and told already. Takes body. */
static json_t *call(struct cli *cli, const char *method, const char *path, json_t *body, int *code)
{
    struct err err = ERR_INIT;
    json_t *reply = client_json(cli, method, path, body, &err);
    json_decref(body);
    *code =
        reply != NULL ? CLI_OK : cli_fail(err.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, &err);
    return reply;
}

/* ---- triggers ---- */

static int run_git_list(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"TRIGGER ID:id", "NAME:name", "REPOSITORY:repository",
        "EVENTS:events", "BRANCHES:branches", "PIPELINE ID:pipeline_id", "ENABLED:enabled", NULL};
    struct err err = ERR_INIT;
    if (cli_options(&command_git_list, &argc, argv, NULL, 0, 0) != 0) {
        return CLI_USAGE;
    }
    json_t *list = client_pages(cli, TRIGGERS, "triggers", &err);
    if (list == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        cli_print_table(json_object_get(list, "triggers"), columns);
    }
    json_decref(list);
    return CLI_OK;
}

const struct command command_git_list = {"git list", "", "List Git triggers", run_git_list};

/* One call about a trigger, its reply as JSON where that says something. */
static int act(struct cli *cli, const struct command *command, int argc, char **argv,
    const char *method, const char *more, bool is_shown)
{
    int code;
    if (cli_options(command, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    CLEANUP(cleanup_free) char *path = path_of(argv[0], more);
    json_t *reply = call(cli, method, path, NULL, &code);
    if (reply != NULL && (is_shown || cli->is_json)) {
        cli_print_json(reply);
    }
    json_decref(reply);
    return code;
}

static int run_git_show(struct cli *cli, int argc, char **argv)
{
    return act(cli, &command_git_show, argc, argv, "GET", "", true);
}

const struct command command_git_show = {
    "git show", "ID", "A Git trigger with all its members", run_git_show};

static int run_git_rm(struct cli *cli, int argc, char **argv)
{
    return act(cli, &command_git_rm, argc, argv, "DELETE", "", false);
}

const struct command command_git_rm = {
    "git rm", "ID", "Delete a Git trigger and what waits in its groups", run_git_rm};

static int run_git_enable(struct cli *cli, int argc, char **argv)
{
    return act(cli, &command_git_enable, argc, argv, "POST", ":enable", false);
}

const struct command command_git_enable = {
    "git enable", "ID", "Let a Git trigger start runs again", run_git_enable};

static int run_git_disable(struct cli *cli, int argc, char **argv)
{
    return act(cli, &command_git_disable, argc, argv, "POST", ":disable", false);
}

const struct command command_git_disable = {"git disable", "ID",
    "Let a Git trigger start no runs; what comes is still noted", run_git_disable};

static int run_git_rotate(struct cli *cli, int argc, char **argv)
{
    const char *secret = NULL, *overlap = NULL;
    const struct cli_option options[] = {{"--secret", &secret, NULL, NULL},
        {"--overlap", &overlap, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    struct err err = ERR_INIT;
    int64_t ms = 0;
    int code;
    if (cli_options(&command_git_rotate, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    if (overlap != NULL && parse_duration_ms(overlap, "--overlap", &ms, &err) != 0) {
        return cli_fail(CLI_USAGE, &err);
    }
    json_t *body = json_object();
    jset_str(body, "secret", secret);
    if (overlap != NULL) {
        json_object_set_new(body, "overlap_s", json_integer(ms / 1000));
    }
    CLEANUP(cleanup_free) char *path = path_of(argv[0], ":rotate");
    json_t *record = call(cli, "POST", path, body, &code);
    if (record != NULL && cli->is_json) {
        cli_print_json(record);
    } else if (record != NULL) {
        printf("secret  %s\n(the secret is shown this once)\n", jget_str(record, "secret", ""));
    }
    json_decref(record);
    return code;
}

const struct command command_git_rotate = {"git rotate", "ID [--overlap 24h] [--secret TEXT]",
    "A new secret; the one before stays good for a while", run_git_rotate};

/* ---- events ---- */

static void add_times(json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        jset_time(one, name, jget_i64(one, "at_us", 0));
    }
}

static void print_events(json_t *reply)
{
    static const char *const columns[] = {"TIME:time", "EVENT ID:id", "FORGE:forge", "REF:ref",
        "RESULT:result", "CLAUSE:clause", "RUN ID:run_id", "REASON:reason", NULL};
    static const char *const refused[] = {
        "TIME:time", "FROM:peer", "GENUINE:genuine", "REFUSED:reason", NULL};
    json_t *events = json_object_get(reply, "events");
    json_t *bad = json_object_get(reply, "refused");
    add_times(events, "time");
    cli_print_table(events, columns);
    if (json_array_size(bad) > 0) {
        add_times(bad, "time");
        printf("\n");
        cli_print_table(bad, refused);
    }
}

static int run_git_events(struct cli *cli, int argc, char **argv)
{
    const char *count = NULL;
    const struct cli_option options[] = {{"-n", &count, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    int code;
    if (cli_options(&command_git_events, &argc, argv, options, 1, 2) != 0) {
        return CLI_USAGE;
    }
    CLEANUP(cleanup_free) char *n = client_encode(count != NULL ? count : "50");
    CLEANUP(cleanup_free) char *event = argc > 1 ? client_encode(argv[1]) : NULL;
    CLEANUP(cleanup_free)
    char *more = event != NULL ? xasprintf("/events/%s", event) : xasprintf("/events?n=%s", n);
    CLEANUP(cleanup_free) char *path = path_of(argv[0], more);
    json_t *reply = call(cli, "GET", path, NULL, &code);
    if (reply != NULL && (cli->is_json || event != NULL)) {
        cli_print_json(reply);
    } else if (reply != NULL) {
        print_events(reply);
    }
    json_decref(reply);
    return code;
}

const struct command command_git_events = {"git events", "ID [EVENT] [-n COUNT]",
    "What came for a Git trigger and what became of it; one event with its payload",
    run_git_events};

/* ---- explain ---- */

static void print_explanation(const json_t *reply)
{
    const json_t *verification = json_object_get(reply, "verification");
    printf("%s %s, delivery ", jget_str(reply, "forge", ""), jget_str(reply, "event", ""));
    cli_print_text(jget_str(reply, "delivery", ""), DETAIL_MAX);
    printf("\ngenuine: %s, ", jget_bool(verification, "passed", false) ? "yes" : "no");
    cli_print_text(jget_str(verification, "detail", ""), DETAIL_MAX);
    putchar('\n');
    if (json_object_get(reply, "reason") != NULL) {
        cli_print_text(jget_str(reply, "reason", ""), DETAIL_MAX);
        putchar('\n');
    }
    const json_t *stored = json_object_get(reply, "stored");
    if (stored != NULL) {
        printf(
            "when it came: %s %s", jget_str(stored, "result", ""), jget_str(stored, "run_id", ""));
        fputs("; by the trigger as it is now:\n", stdout);
    }
    size_t i, s;
    const json_t *ref, *step;
    json_array_foreach(json_object_get(reply, "refs"), i, ref)
    {
        putchar('\n');
        cli_print_text(jget_str(ref, "ref", ""), DETAIL_MAX);
        printf(" %s: %s\n", jget_str(ref, "commit", ""),
            jget_bool(ref, "starts", false) ? "starts a run" : "starts nothing");
        json_array_foreach(json_object_get(ref, "steps"), s, step)
        {
            printf("  %s %-16s ", jget_bool(step, "passed", false) ? "yes" : "NO ",
                jget_str(step, "clause", ""));
            cli_print_text(jget_str(step, "detail", ""), DETAIL_MAX);
            putchar('\n');
        }
        if (json_object_get(ref, "parameters") != NULL) {
            CLEANUP(cleanup_free) char *text = jtext(json_object_get(ref, "parameters"));
            printf("      parameters       ");
            cli_print_text(text, 4 * DETAIL_MAX);
            putchar('\n');
        }
    }
}

/* "Name: value" -> headers. */
static int add_headers(json_t *body, const json_t *lines, struct err *err)
{
    json_t *headers = json_object();
    json_object_set_new(body, "headers", headers);
    size_t i;
    const json_t *line;
    json_array_foreach((json_t *)lines, i, line)
    {
        const char *text = json_string_value(line);
        const char *colon = strchr(text, ':');
        if (colon == NULL || colon == text) {
            return err_set(err, ERR_INVALID, "-H '%.100s': expected 'Name: value'", text);
        }
        CLEANUP(cleanup_free) char *name = xstrndup(text, (size_t)(colon - text));
        json_object_set_new(headers, name, json_string(colon + 1 + strspn(colon + 1, " ")));
    }
    return 0;
}

static json_t *explain_body(const char *event, const char *file, const json_t *headers,
    const char *forge, const char *forge_event, struct err *err)
{
    json_t *body = json_object();
    jset_str(body, "event", event);
    jset_str(body, "forge", forge);
    jset_str(body, "forge_event", forge_event);
    if (json_array_size(headers) > 0 && add_headers(body, headers, err) != 0) {
        json_decref(body);
        return NULL;
    }
    if (file != NULL) {
        size_t len = 0;
        CLEANUP(cleanup_free) char *text = file_read(file, PAYLOAD_MAX, &len, err);
        json_t *payload = text != NULL ? json_stringn(text, len) : NULL;
        if (payload == NULL) {
            if (err->code == ERR_NONE) {
                err_set(err, ERR_INVALID, "%s: not UTF-8", file);
            }
            json_decref(body);
            return NULL;
        }
        json_object_set_new(body, "payload", payload);
    }
    return body;
}

static int run_git_explain(struct cli *cli, int argc, char **argv)
{
    const char *file = NULL, *forge = NULL, *forge_event = NULL;
    json_t *headers = json_array();
    const struct cli_option options[] = {{"--payload", &file, NULL, NULL},
        {"--forge", &forge, NULL, NULL}, {"--event", &forge_event, NULL, NULL},
        {"-H", NULL, NULL, headers}, {NULL, NULL, NULL, NULL}};
    struct err err = ERR_INIT;
    int code = CLI_USAGE;
    if (cli_options(&command_git_explain, &argc, argv, options, 1, 2) != 0) {
        json_decref(headers);
        return code;
    }
    if ((argc == 2) == (file != NULL)) {
        json_decref(headers);
        return cli_usage(&command_git_explain, "give an event's id or --payload FILE");
    }
    json_t *body =
        explain_body(argc == 2 ? argv[1] : NULL, file, headers, forge, forge_event, &err);
    json_decref(headers);
    if (body == NULL) {
        return cli_fail(CLI_USAGE, &err);
    }
    CLEANUP(cleanup_free) char *path = path_of(argv[0], ":explain");
    json_t *reply = call(cli, "POST", path, body, &code);
    if (reply != NULL && cli->is_json) {
        cli_print_json(reply);
    } else if (reply != NULL) {
        print_explanation(reply);
    }
    json_decref(reply);
    return code;
}

const struct command command_git_explain = {"git explain",
    "ID EVENT | ID --payload FILE [--forge github] [--event push] [-H 'Name: value']...",
    "Why does (would) this message start a run or not? Nothing is started", run_git_explain};

static int run_git_redeliver(struct cli *cli, int argc, char **argv)
{
    bool force = false;
    const struct cli_option options[] = {{"--force", NULL, &force, NULL}, {NULL, NULL, NULL, NULL}};
    int code;
    if (cli_options(&command_git_redeliver, &argc, argv, options, 2, 2) != 0) {
        return CLI_USAGE;
    }
    CLEANUP(cleanup_free) char *event = client_encode(argv[1]);
    CLEANUP(cleanup_free) char *more = xasprintf("/events/%s:redeliver", event);
    CLEANUP(cleanup_free) char *path = path_of(argv[0], more);
    json_t *reply = call(cli, "POST", path, json_pack("{s:b}", "force", force), &code);
    if (reply != NULL && cli->is_json) {
        cli_print_json(reply);
    } else if (reply != NULL) {
        printf("%s %s ", jget_str(reply, "result", ""), jget_str(reply, "run_id", ""));
        cli_print_text(jget_str(reply, "reason", ""), DETAIL_MAX);
        putchar('\n');
    }
    json_decref(reply);
    return code;
}

const struct command command_git_redeliver = {"git redeliver", "ID EVENT [--force]",
    "Evaluate a stored message again and start what was not started; --force: also what was",
    run_git_redeliver};

static int run_git_drop(struct cli *cli, int argc, char **argv)
{
    int code;
    if (cli_options(&command_git_drop, &argc, argv, NULL, 2, 2) != 0) {
        return CLI_USAGE;
    }
    CLEANUP(cleanup_free) char *event = client_encode(argv[1]);
    CLEANUP(cleanup_free) char *more = xasprintf("/events/%s:drop", event);
    CLEANUP(cleanup_free) char *path = path_of(argv[0], more);
    json_t *reply = call(cli, "POST", path, NULL, &code);
    if (reply != NULL && cli->is_json) {
        cli_print_json(reply);
    }
    json_decref(reply);
    return code;
}

const struct command command_git_drop = {"git drop", "ID EVENT",
    "What waits of this message in a concurrency group is to start nothing", run_git_drop};
