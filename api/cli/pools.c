/* SPDX-License-Identifier: Apache-2.0 */
/* rondo pools: how many runs may be in progress at once, who is, and who waits. */
#include "api/cli/cli.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

#define POOLS "/apis/rondo/v1/pools"

static char *path_of(const char *name)
{
    CLEANUP(cleanup_free) char *encoded = client_encode(name);
    return xasprintf(POOLS "/%s", encoded);
}

static int show_all(struct cli *cli)
{
    static const char *const columns[] = {
        "NAME:name", "SLOTS:slots", "HELD:held", "WAITING:waiting", NULL};
    struct err err = ERR_INIT;
    json_t *list = client_json(cli, "GET", POOLS, NULL, &err);
    if (list == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        cli_print_table(json_object_get(list, "pools"), columns);
    }
    json_decref(list);
    return CLI_OK;
}

/* Holders have no place. */
static int show_one(struct cli *cli, const char *name)
{
    static const char *const columns[] = {"RUN ID:run_id", "POOL:pool", "PLACE:place",
        "PRIORITY:priority", "RECURRING RUN ID:recurring_run_id", "SINCE:since", NULL};
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *path = path_of(name);
    json_t *pool = client_json(cli, "GET", path, NULL, &err);
    if (pool == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(pool);
    } else {
        json_t *rows = json_array();
        json_array_extend(rows, json_object_get(pool, "holders"));
        json_array_extend(rows, json_object_get(pool, "queue"));
        cli_print_table(rows, columns);
        json_decref(rows);
    }
    json_decref(pool);
    return CLI_OK;
}

static int run_pools(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_pools, &argc, argv, NULL, 0, 1) != 0) {
        return CLI_USAGE;
    }
    return argc == 0 ? show_all(cli) : show_one(cli, argv[0]);
}

const struct command command_pools = {"pools", "[NAME]",
    "List pools; of one: runs that hold its slots, and those that wait", run_pools};

static int send_change(struct cli *cli, const char *method, const char *name, const json_t *body)
{
    struct err err = ERR_INIT;
    CLEANUP(cleanup_free) char *path = path_of(name);
    json_t *reply = client_json(cli, method, path, body, &err);
    if (reply == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(reply);
    }
    json_decref(reply);
    return CLI_OK;
}

static int run_pools_set(struct cli *cli, int argc, char **argv)
{
    if (cli_options(&command_pools_set, &argc, argv, NULL, 2, 2) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    int64_t slots;
    if (parse_i64(argv[1], 0, INT32_MAX, "SLOTS", &slots, &err) != 0) {
        return cli_fail(CLI_USAGE, &err);
    }
    CLEANUP(json_decrefp) json_t *body = json_object();
    json_object_set_new(body, "slots", json_integer(slots));
    return send_change(cli, "PUT", argv[0], body);
}

const struct command command_pools_set = {
    "pools set", "NAME SLOTS", "Make a pool, or change how many runs it allows", run_pools_set};

static int run_pools_rm(struct cli *cli, int argc, char **argv)
{
    return cli_options(&command_pools_rm, &argc, argv, NULL, 1, 1) != 0
               ? CLI_USAGE
               : send_change(cli, "DELETE", argv[0], NULL);
}

const struct command command_pools_rm = {
    "pools rm", "NAME", "Delete a pool: it limits nobody any more", run_pools_rm};
