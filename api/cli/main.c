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
    &command_cron_list, &command_cron_get, &command_cron_enable, &command_cron_disable,
    &command_cron_rm, &command_cron_edit, &command_cron_pause, &command_cron_resume,
    &command_cron_skip, &command_cron_fire, &command_cron_backfill, &command_cron_ticks,
    &command_cron_next, &command_next, &command_lint, &command_compile, &command_webhook_add,
    &command_webhook_list, &command_webhook_show, &command_webhook_edit, &command_webhook_rm,
    &command_webhook_rotate, &command_webhook_enable, &command_webhook_disable,
    &command_webhook_ping, &command_webhook_deliveries, &command_webhook_delivery,
    &command_webhook_redeliver, &command_events, &command_git_add, &command_git_list,
    &command_git_show, &command_git_edit, &command_git_rm, &command_git_enable,
    &command_git_disable, &command_git_rotate, &command_git_events, &command_git_explain,
    &command_git_redeliver, &command_git_drop, &command_listen, &command_daemons,
    &command_pools_set, &command_pools_rm, &command_pools};

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* Is this command asked for by these words: "webhook add", or "webhook" for all of those? */
static bool is_of(const struct command *command, const char *first, const char *second)
{
    size_t len = strlen(first);
    const char *rest = command->name + len;
    return strncmp(command->name, first, len) == 0 && (*rest == '\0' || *rest == ' ') &&
           (second == NULL || (*rest == ' ' && strcmp(rest + 1, second) == 0));
}

/* The commands that these words ask for. False: there are none, and nothing was printed. */
static bool print_commands(FILE *out, const char *first, const char *second)
{
    bool is_some = false;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *one = commands[i];
        if (first == NULL || is_of(one, first, second)) {
            fprintf(out, "  %s%s%s\n      %s\n", one->name, one->args[0] != '\0' ? " " : "",
                one->args, one->help);
            is_some = true;
        }
    }
    return is_some;
}

static void print_help(FILE *out)
{
    fputs("rondo " RONDO_VERSION " - cron for Kubeflow pipelines\n\nusage: rondo COMMAND ...\n\n",
        out);
    print_commands(out, NULL, NULL);
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
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    int asked = argc - 1; /* words of the topic that help is asked for */
    char **topic = argv + 1;
    if (is_help(topic[0])) {
        topic++;
        asked--;
    } else if (strcmp(topic[asked - 1], "--help") == 0 || strcmp(topic[asked - 1], "-h") == 0) {
        asked--;
    } else {
        topic = NULL;
    }
    if (topic != NULL) {
        if (asked == 0) {
            print_help(stdout);
            return CLI_OK;
        }
        if (print_commands(stdout, topic[0], asked > 1 ? topic[1] : NULL) ||
            print_commands(stdout, topic[0], NULL)) {
            return CLI_OK;
        }
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
    const char *second = argc > 2 ? argv[2] : NULL;
    fprintf(stderr, "rondo: there is no command '%s%s%s'; see rondo --help\n", argv[1],
        second != NULL ? " " : "", second != NULL ? second : "");
    print_commands(stderr, argv[1], NULL);
    return CLI_USAGE;
}
