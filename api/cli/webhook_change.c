/* SPDX-License-Identifier: Apache-2.0 */
/* rondo webhook show, edit, rotate, enable, disable, ping: one subscription that is there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "api/cli/webhook_members.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"

#define REV_MAX (INT64_C(1) << 53)

/* One call about the subscription `id`; what is behind it in the path: ":ping". */
static json_t *ask(const struct cli *cli, const char *method, const char *id, const char *behind,
    const json_t *body, struct err *err)
{
    CLEANUP(cleanup_free) char *encoded = client_encode(id);
    CLEANUP(cleanup_free) char *path = xasprintf(SUBSCRIPTIONS "/%s%s", encoded, behind);
    return client_json(cli, method, path, body, err);
}

/* Print the answer as JSON if asked, or why there is none. */
static int tell(const struct cli *cli, const json_t *reply, const struct err *err)
{
    if (reply == NULL) {
        return cli_fail(err->code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, err);
    }
    if (cli->is_json) {
        cli_print_json(reply);
    }
    return CLI_OK;
}

/* ---- show ---- */

static void print_value(const json_t *value)
{
    size_t i;
    json_t *one;
    if (json_is_integer(value)) {
        printf("%lld", (long long)json_integer_value(value));
    } else if (json_is_string(value)) {
        cli_print_text(json_string_value(value), SIZE_MAX);
    } else if (json_is_array(value)) {
        json_array_foreach((json_t *)value, i, one)
        {
            fputs(i > 0 ? ", " : "", stdout);
            print_value(one);
        }
    } else {
        fputs(json_is_true(value) ? "yes" : "no", stdout);
    }
}

static void print_secret(const json_t *secret)
{
    int64_t expires_us = jget_i64(secret, "expires_us", 0);
    const char *public_key = jget_str(secret, "public_key", NULL);
    printf("%-17s %s", "signs", jget_str(secret, "scheme", ""));
    if (public_key != NULL) {
        printf(" %s", public_key);
    }
    if (expires_us != 0) {
        char at[CLOCK_TEXT_MAX];
        clock_format_us(expires_us, at);
        printf(" until %s", at);
    }
    putchar('\n');
}

/* What has its default is left out. */
static void print_subscription(const json_t *record)
{
    static const char *const rows[] = {"id", "name", "url", "enabled", "disabled_reason", "events",
        "filter", "filter_errors", "filter_error", "pipelines", "experiments", "recurring_runs",
        "namespaces", "format", "payload", "header_names", "order", "max_in_flight",
        "max_per_second", "timeout_ms", "rev"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const json_t *value = json_object_get(record, rows[i]);
        bool is_nothing = value == NULL || (json_is_array(value) && json_array_size(value) == 0) ||
                          (json_is_string(value) && json_string_length(value) == 0) ||
                          (json_is_integer(value) && json_integer_value(value) == 0 &&
                              strcmp(rows[i], "rev") != 0);
        if (!is_nothing) {
            char label[32];
            snprintf(label, sizeof label, "%s", rows[i]);
            for (char *at = label; *at != '\0'; at++) {
                *at = *at == '_' ? ' ' : *at;
            }
            printf("%-17s ", label);
            print_value(value);
            putchar('\n');
        }
    }
    size_t i;
    const json_t *secret;
    json_array_foreach(json_object_get(record, "secrets"), i, secret)
    {
        print_secret(secret);
    }
}

static int run_show(struct cli *cli, int argc, char **argv)
{
    struct err err = ERR_INIT;
    if (cli_options(&command_webhook_show, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    json_t *record CLEANUP(json_decrefp) = ask(cli, "GET", argv[0], "", NULL, &err);
    int code = tell(cli, record, &err);
    if (record != NULL && !cli->is_json) {
        print_subscription(record);
    }
    return code;
}

const struct command command_webhook_show = {
    "webhook show", "ID", "What a webhook subscription gets, and how", run_show};

/* ---- edit ---- */

static int edit(struct cli *cli, const char *id, const char *url, const char *rev,
    const json_t *clear, const struct webhook_members *members)
{
    struct err err = ERR_INIT;
    json_t *body CLEANUP(json_decrefp) = json_object(), *reply CLEANUP(json_decrefp) = NULL, *one;
    size_t i;
    int64_t number = 0;
    jset_str(body, "url", url);
    if (rev != NULL) {
        if (parse_i64(rev, 0, REV_MAX, "--rev", &number, &err) != 0) {
            return cli_fail(CLI_USAGE, &err);
        }
        json_object_set_new(body, "rev", json_integer(number));
    }
    json_array_foreach((json_t *)clear, i, one)
    {
        json_object_set_new(body, json_string_value(one), json_null());
    }
    if (webhook_members_read(members, body, &err) == 0) {
        reply = ask(cli, "PATCH", id, "", body, &err);
    }
    return tell(cli, reply, &err);
}

static int run_edit(struct cli *cli, int argc, char **argv)
{
    struct webhook_members members;
    const char *url = NULL, *rev = NULL;
    webhook_members_init(&members);
    json_t *clear = json_array();
    struct cli_option options[WEBHOOK_MEMBER_COUNT + 4] = {
        {"--url", &url, NULL, NULL}, {"--rev", &rev, NULL, NULL}, {"--clear", NULL, NULL, clear}};
    webhook_members_table(&members, options + 3);
    int code = cli_options(&command_webhook_edit, &argc, argv, options, 1, 1) != 0
                   ? CLI_USAGE
                   : edit(cli, argv[0], url, rev, clear, &members);
    webhook_members_done(&members);
    json_decref(clear);
    return code;
}

const struct command command_webhook_edit = {"webhook edit",
    "ID [--url URL] [--clear MEMBER]... [--rev N]\n" WEBHOOK_MEMBER_USAGE,
    "Change a webhook subscription; --clear gives a member its default", run_edit};

/* ---- rotate ---- */

static int run_rotate(struct cli *cli, int argc, char **argv)
{
    struct err err = ERR_INIT;
    const char *secret = NULL, *scheme = NULL, *overlap = NULL;
    const struct cli_option options[] = {{"--secret", &secret, NULL, NULL},
        {"--scheme", &scheme, NULL, NULL}, {"--overlap", &overlap, NULL, NULL},
        {NULL, NULL, NULL, NULL}};
    json_t *body CLEANUP(json_decrefp) = json_object(), *reply CLEANUP(json_decrefp) = NULL;
    int64_t overlap_ms = 0;
    if (cli_options(&command_webhook_rotate, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    jset_str(body, "scheme", scheme);
    if (overlap != NULL) {
        if (parse_duration_ms(overlap, "--overlap", &overlap_ms, &err) != 0) {
            return cli_fail(CLI_USAGE, &err);
        }
        json_object_set_new(body, "overlap_s", json_integer(overlap_ms / 1000));
    }
    if (secret != NULL) {
        char *text = webhook_secret_text(secret, &err);
        if (text == NULL) {
            return cli_fail(CLI_USAGE, &err);
        }
        jset_str(body, "secret", text);
        secret_text_free(text);
    }
    reply = ask(cli, "POST", argv[0], ":rotate", body, &err);
    int code = tell(cli, reply, &err);
    if (reply != NULL && !cli->is_json) {
        size_t i;
        const json_t *one;
        webhook_print_secret(reply);
        json_array_foreach(json_object_get(reply, "secrets"), i, one)
        {
            print_secret(one);
        }
    }
    return code;
}

const struct command command_webhook_rotate = {"webhook rotate",
    "ID [--overlap 24h] [--secret whsec_...|@FILE] [--scheme v1|v1a]",
    "Sign with a new secret; those before go on for the overlap", run_rotate};

/* ---- enable, disable, ping ---- */

static int run_enable(struct cli *cli, int argc, char **argv)
{
    struct err err = ERR_INIT;
    if (cli_options(&command_webhook_enable, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    json_t *reply CLEANUP(json_decrefp) = ask(cli, "POST", argv[0], ":enable", NULL, &err);
    return tell(cli, reply, &err);
}

const struct command command_webhook_enable = {
    "webhook enable", "ID", "Send to a webhook subscription again", run_enable};

static int run_disable(struct cli *cli, int argc, char **argv)
{
    struct err err = ERR_INIT;
    const char *reason = NULL;
    const struct cli_option options[] = {
        {"--reason", &reason, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_webhook_disable, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    json_t *body CLEANUP(json_decrefp) = json_object();
    jset_str(body, "reason", reason);
    json_t *reply CLEANUP(json_decrefp) = ask(cli, "POST", argv[0], ":disable", body, &err);
    return tell(cli, reply, &err);
}

const struct command command_webhook_disable = {"webhook disable", "ID [--reason TEXT]",
    "Send nothing more to a webhook subscription", run_disable};

static int print_ping(const json_t *reply)
{
    const char *state = jget_str(reply, "state", "");
    bool is_delivered = strcmp(state, "DELIVERED") == 0;
    if (is_delivered) {
        printf("delivered %s: %lld in %lld ms\n", jget_str(reply, "delivery_id", ""),
            (long long)jget_i64(reply, "status", 0), (long long)jget_i64(reply, "duration_ms", 0));
        return CLI_OK;
    }
    const char *error = jget_str(reply, "error", NULL);
    const char *before = jget_str(json_object_get(reply, "health"), "last_error", "");
    if (error != NULL) {
        fprintf(stderr, "rondo: not delivered: %s\n", error);
    } else {
        fprintf(stderr, "rondo: no answer in time; see rondo webhook deliveries%s%s\n",
            before[0] != '\0' ? "; the last failure was: " : "", before);
    }
    return CLI_FAILED;
}

static int run_ping(struct cli *cli, int argc, char **argv)
{
    struct err err = ERR_INIT;
    const char *wait = NULL;
    const struct cli_option options[] = {{"--wait", &wait, NULL, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_webhook_ping, &argc, argv, options, 1, 1) != 0) {
        return CLI_USAGE;
    }
    CLEANUP(cleanup_free) char *encoded = wait != NULL ? client_encode(wait) : NULL;
    CLEANUP(cleanup_free)
    char *behind = wait != NULL ? xasprintf(":ping?wait=%s", encoded) : xstrdup(":ping");
    json_t *reply CLEANUP(json_decrefp) = ask(cli, "POST", argv[0], behind, NULL, &err);
    int code = tell(cli, reply, &err);
    if (reply == NULL) {
        return code;
    }
    return !cli->is_json                                            ? print_ping(reply)
           : strcmp(jget_str(reply, "state", ""), "DELIVERED") == 0 ? CLI_OK
                                                                    : CLI_FAILED;
}

const struct command command_webhook_ping = {"webhook ping", "ID [--wait 10s]",
    "Send a test event and tell what the receiver answered", run_ping};
