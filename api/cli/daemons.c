/* SPDX-License-Identifier: Apache-2.0 */
/* rondo daemons: who is there, and what each carries on. */
#include "api/cli/cli.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#define SHARDS_MAX_BYTES 4096

/* "0-3 7 9": the table shows text. */
static void shards_text(json_t *daemon)
{
    const json_t *shards = json_object_get(daemon, "shards");
    struct buf text;
    buf_init(&text, SHARDS_MAX_BYTES);
    for (size_t i = 0; i < json_array_size(shards); i++) {
        json_int_t first = json_integer_value(json_array_get(shards, i)), last = first;
        while (json_integer_value(json_array_get(shards, i + 1)) == last + 1) {
            last++;
            i++;
        }
        buf_addf(&text, "%s%lld", text.len > 0 ? " " : "", (long long)first);
        if (last > first) {
            buf_addf(&text, "-%lld", (long long)last);
        }
    }
    json_object_set_new(daemon, "shards_text", json_string(buf_str(&text)));
    json_object_set_new(daemon, "state",
        json_string(!jget_bool(daemon, "alive", true)  ? "dead"
                    : jget_bool(daemon, "self", false) ? "asked"
                                                       : "alive"));
    buf_done(&text);
}

static int run_daemons(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"ID:id", "STATE:state", "HOST:host", "URL:url",
        "VERSION:version", "SINCE:started_at", "SHARDS:shards_text", NULL};
    if (cli_options(&command_daemons, &argc, argv, NULL, 0, 0) != 0) {
        return CLI_USAGE;
    }
    struct err err = ERR_INIT;
    json_t *list = client_json(cli, "GET", "/apis/rondo/v1/daemons", NULL, &err);
    if (list == NULL) {
        return cli_fail(CLI_FAILED, &err);
    }
    if (cli->is_json) {
        cli_print_json(list);
    } else {
        size_t i;
        json_t *one;
        json_array_foreach(json_object_get(list, "daemons"), i, one)
        {
            shards_text(one);
        }
        cli_print_table(json_object_get(list, "daemons"), columns);
    }
    json_decref(list);
    return CLI_OK;
}

const struct command command_daemons = {
    "daemons", "", "The daemons on this Redis, and the shards of each", run_daemons};
