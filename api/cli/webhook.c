/* SPDX-License-Identifier: Apache-2.0 */
/* rondo webhook: subscriptions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "api/cli/webhook_members.h"
#include "base/err.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/util.h"

static int delete_one(
    struct cli *cli, const struct command *command, int argc, char **argv, const char *root)
{
    if (cli_options(command, &argc, argv, NULL, 1, 1) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *id = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", root, id);
    json_t *reply = client_json(cli, "DELETE", path, NULL, &err);
    if (reply == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(reply);
    }
    json_decref(reply);
    return CLI_OK;
}

struct add_options {
    const char *url, *secret, *scheme;
    bool is_disabled, if_missing;
    struct webhook_members members;
};

static json_t *webhook_create(const struct cli *cli, const struct add_options *o, struct err *err)
{
    json_t *body CLEANUP(json_decrefp) =
        json_pack("{s:s,s:b}", "url", o->url, "enabled", !o->is_disabled);
    jset_str(body, "scheme", o->scheme);
    if (webhook_members_read(&o->members, body, err) != 0) {
        return NULL;
    }
    if (o->secret != NULL) {
        char *text = webhook_secret_text(o->secret, err);
        if (text == NULL) {
            err->code = ERR_INVALID;
            return NULL;
        }
        jset_str(body, "secret", text);
        secret_text_free(text);
    }
    return client_json(cli, "POST", SUBSCRIPTIONS, body, err);
}

static int webhook_add(struct cli *cli, const struct add_options *o)
{
    struct err err = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = NULL;
    bool is_new = false;
    if (o->if_missing && o->members.name != NULL) {
        record = client_find(cli, SUBSCRIPTIONS, "subscriptions", "name", o->members.name, &err);
    }
    if (record == NULL && err.code == ERR_NONE) {
        is_new = true;
        record = webhook_create(cli, o, &err);
    }
    if (record == NULL) {
        return cli_fail(err.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(record);
        return CLI_OK;
    }
    printf("subscription %s\n", jget_str(record, "id", ""));
    if (is_new) {
        webhook_print_secret(record);
    }
    return CLI_OK;
}

static int run_webhook_add(struct cli *cli, int argc, char **argv)
{
    struct add_options o = {0};
    webhook_members_init(&o.members);
    struct cli_option options[WEBHOOK_MEMBER_COUNT + 5] = {{"--secret", &o.secret, NULL, NULL},
        {"--scheme", &o.scheme, NULL, NULL}, {"--disabled", NULL, &o.is_disabled, NULL},
        {"--if-missing", NULL, &o.if_missing, NULL}};
    webhook_members_table(&o.members, options + 4);
    int code = CLI_USAGE;
    if (cli_options(&command_webhook_add, &argc, argv, options, 1, 1) == 0) {
        o.url = argv[0];
        code = o.if_missing && o.members.name == NULL
                   ? cli_usage(&command_webhook_add, "--if-missing needs --name")
                   : webhook_add(cli, &o);
    }
    webhook_members_done(&o.members);
    return code;
}

const struct command command_webhook_add = {"webhook add",
    "URL [--secret whsec_...|@FILE] [--scheme v1|v1a] [--disabled] "
    "[--if-missing]\n" WEBHOOK_MEMBER_USAGE,
    "Send events to this address, signed (Standard Webhooks)", run_webhook_add};

static int run_webhook_list(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"SUBSCRIPTION ID:id", "NAME:name", "URL:url",
        "EVENTS:events", "FORMAT:format", "ENABLED:enabled", "REASON:disabled_reason", NULL};
    struct err err = ERR_INIT;
    if (cli_options(&command_webhook_list, &argc, argv, NULL, 0, 0) != 0) {
        return CLI_USAGE;
    }
    json_t *list CLEANUP(json_decrefp) = client_pages(cli, SUBSCRIPTIONS, "subscriptions", &err);
    if (list == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        cli_print_table(json_object_get(list, "subscriptions"), columns);
    }
    return CLI_OK;
}

const struct command command_webhook_list = {
    "webhook list", "", "List webhook subscriptions", run_webhook_list};

static int run_webhook_rm(struct cli *cli, int argc, char **argv)
{
    return delete_one(cli, &command_webhook_rm, argc, argv, SUBSCRIPTIONS);
}

const struct command command_webhook_rm = {"webhook rm", "ID",
    "Delete a webhook subscription and what it has not yet got", run_webhook_rm};
