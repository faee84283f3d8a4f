/* SPDX-License-Identifier: Apache-2.0 */
/* rondo: the command line. Finds the command, reads the options that all of them share. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/err.h"
#include "base/util.h"

#define DEFAULT_HOST "http://127.0.0.1:8888"

/* The first that fits: two words before one. */
static const struct command *const commands[] = {&command_run_get, &command_run, &command_runs,
    &command_logs, &command_terminate, &command_upload, &command_pipelines, &command_cron_add,
    &command_cron_list, &command_cron_enable, &command_cron_disable, &command_cron_rm,
    &command_cron_edit, &command_cron_pause, &command_cron_resume, &command_cron_skip,
    &command_cron_fire, &command_cron_backfill, &command_cron_ticks, &command_cron_next,
    &command_next, &command_lint, &command_compile, &command_webhook_add, &command_webhook_list,
    &command_webhook_show, &command_webhook_edit, &command_webhook_rm, &command_webhook_rotate,
    &command_webhook_enable, &command_webhook_disable, &command_webhook_ping,
    &command_webhook_deliveries, &command_webhook_delivery, &command_webhook_redeliver,
    &command_events, &command_git_add, &command_git_list, &command_git_show, &command_git_edit,
    &command_git_rm, &command_git_enable, &command_git_disable, &command_git_rotate,
    &command_git_events, &command_git_explain, &command_git_redeliver, &command_git_drop, &command_listen,
    &command_daemons, &command_pools_set, &command_pools_rm, &command_pools};

static void print_help(FILE *out)
{
    fputs("rondo " RONDO_VERSION " - cron for Kubeflow pipelines\n\nusage: rondo COMMAND ...\n\n",
        out);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        fprintf(
            out, "  %s %s\n      %s\n", commands[i]->name, commands[i]->args, commands[i]->help);
    }
    fputs("\nEverywhere:\n"
          "  --host URL      the daemon; default RONDO_HOST or " DEFAULT_HOST "\n"
          "  --token TOKEN   bearer token; default RONDO_TOKEN\n"
          "  -o json         print what the API returned (table is the default)\n"
          "\nExit codes: 0 good, 1 failed, 2 wrong use or bad input.\n",
        out);
}

/* How many words of argv name this command; 0: it is another one. */
static int words_matched(const struct command *command, int argc, char **argv)
{
    const char *space = strchr(command->name, ' ');
    if (space == NULL) {
        return argc > 1 && strcmp(argv[1], command->name) == 0 ? 1 : 0;
    }
    size_t first = (size_t)(space - command->name);
    return argc > 2 && strlen(argv[1]) == first && strncmp(argv[1], command->name, first) == 0 &&
                   strcmp(argv[2], space + 1) == 0
               ? 2
               : 0;
}

/* Take --host, --token and -o out of argv, wherever they stand. -1: told already. */
static int take_common(struct cli *cli, int *argc, char **argv)
{
    int kept = 1;
    const char *output = "table";
    for (int i = 1; i < *argc; i++) {
        const char **value = NULL;
        if (strcmp(argv[i], "--host") == 0) {
            value = &cli->host;
        } else if (strcmp(argv[i], "--token") == 0) {
            value = &cli->token;
        } else if (strcmp(argv[i], "-o") == 0) {
            value = &output;
        }
        if (value == NULL) {
            argv[kept++] = argv[i];
        } else if (i + 1 < *argc) {
            *value = argv[++i];
        } else {
            fprintf(stderr, "rondo: %s needs a value\n", argv[i]);
            return -1;
        }
    }
    *argc = kept;
    if (strcmp(output, "json") != 0 && strcmp(output, "table") != 0) {
        fprintf(stderr, "rondo: -o takes json or table\n");
        return -1;
    }
    cli->is_json = strcmp(output, "json") == 0;
    return 0;
}

int main(int argc, char **argv)
{
    const char *host = getenv("RONDO_HOST");
    struct cli cli = {.host = host != NULL ? host : DEFAULT_HOST, .token = getenv("RONDO_TOKEN")};
    if (take_common(&cli, &argc, argv) != 0) {
        return CLI_USAGE;
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? CLI_USAGE : CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("rondo " RONDO_VERSION);
        return CLI_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        int words = words_matched(commands[i], argc, argv);
        if (words > 0) {
            curl_global_init(CURL_GLOBAL_DEFAULT);
            int code = commands[i]->run(&cli, argc - words - 1, argv + words + 1);
            curl_global_cleanup();
            return code;
        }
    }
    fprintf(stderr, "rondo: there is no command '%s'; see rondo --help\n", argv[1]);
    return CLI_USAGE;
}
