/* SPDX-License-Identifier: Apache-2.0 */
/* rondo webhook deliveries, delivery, redeliver: what was sent, and sending it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "api/cli/webhook_members.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define DELIVERIES "/apis/rondo/v1/deliveries"
#define LIST_DEFAULT 100
#define LIST_MAX 100000
#define PAGE 1000
#define ERROR_SHOWN 300
#define BODY_SHOWN 65536

static void add_query(char **path, const char *name, const char *value)
{
    if (value != NULL) {
        CLEANUP(cleanup_free) char *encoded = client_encode(value);
        char *longer = xasprintf("%s&%s=%s", *path, name, encoded);
        free(*path);
        *path = longer;
    }
}

/* Page by page, up to max. */
static json_t *fetch(const struct cli *cli, const char *path, int64_t max, struct err *err)
{
    json_t *all = json_array();
    CLEANUP(cleanup_free) char *token = xstrdup("");
    do {
        int64_t left = max - (int64_t)json_array_size(all);
        CLEANUP(cleanup_free)
        char *one = xasprintf(
            "%s&page_size=%lld&page_token=%s", path, (long long)(left < PAGE ? left : PAGE), token);
        json_t *page = client_json(cli, "GET", one, NULL, err);
        if (page == NULL) {
            json_decref(all);
            return NULL;
        }
        json_array_extend(all, json_object_get(page, "deliveries"));
        free(token);
        token = xstrdup(jget_str(page, "next_page_token", ""));
        json_decref(page);
    } while (token[0] != '\0' && (int64_t)json_array_size(all) < max);
    return json_pack("{s:o}", "deliveries", all);
}

static int run_deliveries(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"CREATED:created", "DELIVERY ID:id", "TYPE:type",
        "STATE:state", "ATTEMPTS:attempts", "STATUS:status", "ERROR:error", NULL};
    const char *state = NULL, *type = NULL, *run = NULL, *since = NULL, *until = NULL, *max = NULL;
    const struct cli_option options[] = {{"--state", &state, NULL, NULL},
        {"--type", &type, NULL, NULL}, {"--run", &run, NULL, NULL}, {"--since", &since, NULL, NULL},
        {"--until", &until, NULL, NULL}, {"--max", &max, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    struct err err = ERR_INIT;
    int64_t count = LIST_DEFAULT;
    if (cli_options(&command_webhook_deliveries, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    if (max != NULL && parse_i64(max, 1, LIST_MAX, "--max", &count, &err) != 0) {
        return cli_fail(CLI_USAGE, &err);
    }
    CLEANUP(cleanup_free) char *id = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *path = xasprintf(SUBSCRIPTIONS "/%s/deliveries?", id);
    add_query(&path, "state", state);
    add_query(&path, "type", type);
    add_query(&path, "run_id", run);
    add_query(&path, "since", since);
    add_query(&path, "until", until);
    json_t *list CLEANUP(json_decrefp) = fetch(cli, path, count, &err);
    if (list == NULL) {
        return cli_fail(err.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        size_t i;
        json_t *one;
        json_array_foreach(json_object_get(list, "deliveries"), i, one)
        {
            jset_time(one, "created", jget_i64(one, "created_us", 0));
        }
        cli_print_table(json_object_get(list, "deliveries"), columns);
    }
    return CLI_OK;
}

const struct command command_webhook_deliveries = {"webhook deliveries",
    "ID [--state PENDING|DELIVERED|FAILED|DROPPED] [--type 'run.*'] [--run RUN]\n"
    "         [--since 2h|TIME] [--until 2h|TIME] [--max N]",
    "List what was sent to a subscription, newest first", run_deliveries};

static void print_time(const char *name, int64_t us)
{
    char text[CLOCK_TEXT_MAX];
    if (us > 0) {
        printf("%-12s %s\n", name, clock_format_us(us, text));
    }
}

static void print_text(const char *name, const char *text, size_t max)
{
    if (text[0] != '\0') {
        printf("%-12s ", name);
        cli_print_text(text, max);
        putchar('\n');
    }
}

static void print_attempt(const json_t *attempt)
{
    const json_t *answer = json_object_get(attempt, "response");
    const json_t *times = json_object_get(attempt, "times_ms"), *value;
    const char *name;
    char at[CLOCK_TEXT_MAX];
    printf("\nattempt %lld at %s%s\n", (long long)jget_i64(attempt, "attempt", 0),
        clock_format_us(jget_i64(attempt, "at_us", 0), at),
        jget_bool(attempt, "probe", false) ? " (a probe)" : "");
    print_text("  address", jget_str(attempt, "address", ""), ERROR_SHOWN);
    if (answer != NULL) {
        printf("  %-10s %lld\n", "status", (long long)jget_i64(answer, "status", 0));
    }
    print_text("  error", jget_str(attempt, "error", ""), ERROR_SHOWN);
    printf("  %-10s", "ms");
    json_object_foreach((json_t *)times, name, value)
    {
        printf(" %s %.1f", name, json_number_value(value));
    }
    putchar('\n');
    print_text("  answer", jget_str(answer, "body", ""), ERROR_SHOWN);
}

static int run_delivery(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_webhook_delivery, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *id = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *path = xasprintf(DELIVERIES "/%s", id);
    json_t *one CLEANUP(json_decrefp) = client_json(cli, "GET", path, NULL, &err);
    if (one == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(one);
        return CLI_OK;
    }
    static const char *const texts[] = {
        "id", "subscription_id", "event_id", "type", "run_id", "state", "error"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        print_text(texts[i], jget_str(one, texts[i], ""), ERROR_SHOWN);
    }
    print_time("created", jget_i64(one, "created_us", 0));
    print_time("next", jget_i64(one, "next_us", 0));
    printf("%-12s %lld\n", "attempts", (long long)jget_i64(one, "attempts", 0));
    print_text("body", jget_str(one, "body", ""), BODY_SHOWN);
    size_t i;
    json_t *attempt;
    json_array_foreach(json_object_get(one, "log"), i, attempt)
    {
        print_attempt(attempt);
    }
    return CLI_OK;
}

const struct command command_webhook_delivery = {"webhook delivery", "DELIVERY",
    "Show one delivery: its message, and each attempt with what was answered", run_delivery};

static int run_redeliver(struct cli *cli, int argc, char **argv)
{
    const char *subscription = NULL, *state = NULL, *since = NULL, *until = NULL, *request = NULL;
    const struct cli_option options[] = {{"--subscription", &subscription, NULL, NULL},
        {"--state", &state, NULL, NULL}, {"--since", &since, NULL, NULL},
        {"--until", &until, NULL, NULL}, {"--request", &request, NULL, NULL},
        {NULL, NULL, NULL, NULL}};
    struct err err = ERR_INIT;
    if (cli_options(&command_webhook_redeliver, &argc, argv, options, 0, 1) != 0) {
        return CLI_USAGE;
    }
    if ((argc == 1) == (subscription != NULL)) {
        return cli_usage(
            &command_webhook_redeliver, "name one delivery, or a subscription with --subscription");
    }
    CLEANUP(cleanup_free)
    char *id = client_encode(subscription != NULL ? subscription : argv[0]);
    CLEANUP(cleanup_free)
    char *path =
        xasprintf("%s/%s:redeliver", subscription != NULL ? SUBSCRIPTIONS : DELIVERIES, id);
    json_t *body CLEANUP(json_decrefp) = json_object();
    jset_str(body, "state", state);
    jset_str(body, "since", since);
    jset_str(body, "until", until);
    jset_str(body, "request_id", request);
    json_t *reply CLEANUP(json_decrefp) = client_json(cli, "POST", path, body, &err);
    if (reply == NULL) {
        return cli_fail(err.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(reply);
    } else if (subscription != NULL) {
        printf("%lld sent again%s\n", (long long)jget_i64(reply, "redelivered", 0),
            jget_bool(reply, "more", false) ? "; there are more, ask again" : "");
    } else {
        puts(jget_bool(reply, "redelivered", false)
                 ? "sent again"
                 : "nothing to do: it is under way, or about to be sent");
    }
    return CLI_OK;
}

const struct command command_webhook_redeliver = {"webhook redeliver",
    "DELIVERY | --subscription ID [--state FAILED|DELIVERED|ANY]\n"
    "         [--since 2h|TIME] [--until 2h|TIME] [--request NAME]",
    "Send a delivery again, or those that failed in a time", run_redeliver};
