/* SPDX-License-Identifier: Apache-2.0 */
/* Options and words of one command, and what is printed when they are wrong. */
#include <stdio.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/err.h"
#include "base/util.h"

int cli_usage(const struct command *command, const char *problem)
{
    if (problem != NULL) {
        fprintf(stderr, "rondo: %s\n", problem);
    }
    fprintf(stderr, "usage: rondo %s %s\n", command->name, command->args);
    return CLI_USAGE;
}

int cli_fail(int code, const struct err *err)
{
    fprintf(stderr, "rondo: %s\n", err->msg);
    return code;
}

static const struct cli_option *option_find(const struct cli_option *options, const char *word)
{
    for (; options != NULL && options->name != NULL; options++) {
        if (strcmp(options->name, word) == 0) {
            return options;
        }
    }
    return NULL;
}

int cli_options(const struct command *command, int *argc, char **argv,
    const struct cli_option *options, int min, int max)
{
    int kept = 0;
    char problem[256];
    for (int i = 0; i < *argc; i++) {
        const struct cli_option *option = option_find(options, argv[i]);
        if (option == NULL && argv[i][0] == '-' && argv[i][1] != '\0') {
            snprintf(problem, sizeof problem, "unknown option '%.100s'", argv[i]);
            cli_usage(command, problem);
            return -1;
        }
        if (option == NULL) {
            argv[kept++] = argv[i];
        } else if (option->flag != NULL) {
            *option->flag = true;
        } else if (i + 1 >= *argc) {
            snprintf(problem, sizeof problem, "%.100s needs a value", argv[i]);
            cli_usage(command, problem);
            return -1;
        } else if (option->value != NULL) {
            *option->value = argv[++i];
        } else {
            json_array_append_new(option->list, json_string(argv[++i]));
        }
    }
    *argc = kept;
    if (kept < min || kept > max) {
        cli_usage(command, kept < min ? "something is missing" : "too many words");
        return -1;
    }
    return 0;
}

json_t *cli_split(const char *text)
{
    json_t *list = json_array();
    CLEANUP(cleanup_free) char *copy = xstrdup(text);
    char *rest = copy, *one;
    while ((one = strsep(&rest, ",")) != NULL) {
        if (one[0] != '\0') {
            json_array_append_new(list, json_string(one));
        }
    }
    return list;
}
