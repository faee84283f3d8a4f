/* SPDX-License-Identifier: Apache-2.0 */
/* rondo events: which events there are, and what they say. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#include "api/cli/cli.h"

#define TYPES "/apis/rondo/v1/events/types"

static int list_types(struct cli *cli)
{
    static const char *const columns[] = {"TYPE:type", "VERSION:version", "MEANING:meaning", NULL};
    struct err err = ERR_INIT;
    json_t *list CLEANUP(json_decrefp) = client_json(cli, "GET", TYPES, NULL, &err);
    if (list == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        cli_print_table(json_object_get(list, "types"), columns);
    }
    return CLI_OK;
}

static void print_type(const json_t *type)
{
    static const char *const columns[] = {"MEMBER:name", "TYPE:type", "ALWAYS:required",
        "THIN:thin", "MEANING:meaning", "VALUES:values", NULL};
    char *example CLEANUP(cleanup_free) = jtext_pretty(json_object_get(type, "example"));
    printf("%s, version %lld: %s\n\n", jget_str(type, "type", ""),
        (long long)jget_i64(type, "version", 0), jget_str(type, "meaning", ""));
    cli_print_table(json_object_get(type, "members"), columns);
    printf("\n%s\n", example);
}

static int run_events(struct cli *cli, int argc, char **argv)
{
    bool is_schema = false;
    const struct cli_option options[] = {
        {"--schema", NULL, &is_schema, NULL}, {NULL, NULL, NULL, NULL}};
    if (cli_options(&command_events, &argc, argv, options, 0, 1) != 0) {
        return CLI_USAGE;
    }
    if (argc == 0) {
        return is_schema ? cli_usage(&command_events, "--schema needs a TYPE") : list_types(cli);
    }
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *name = client_encode(argv[0]);
    CLEANUP(cleanup_free) char *path = xasprintf(TYPES "/%s%s", name, is_schema ? "/schema" : "");
    json_t *type CLEANUP(json_decrefp) = client_json(cli, "GET", path, NULL, &err);
    if (type == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json || is_schema) {
        cli_print_json(type);
    } else {
        print_type(type);
    }
    return CLI_OK;
}

const struct command command_events = {"events", "[TYPE [--schema]]",
    "List the types of events; show one with its members and an example, or its JSON Schema",
    run_events};
