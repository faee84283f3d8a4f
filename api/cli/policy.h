/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `cron add` and `cron edit` that stand for the daemon's own members of recurring
 * runs. */
#ifndef API_CLI_POLICY_H
#define API_CLI_POLICY_H

#include <jansson.h>

#include "api/cli/cli.h"

struct policy_options {
    const char *overlap, *catchup, *catchup_window, *spread, *max_fires, *pause_after_failures,
        *buffer, *profile, *pool, *priority;
    json_t *schedules, *include, *exclude; /* own */
};
#define POLICY_OPTION_COUNT 13
#define POLICY_USAGE                                                                               \
    "         [--schedule EXPR]... [--profile P] [--include ICS]... [--exclude ICS]...\n"          \
    "         [--overlap queue|skip|buffer_one|buffer_all|cancel_other|terminate_other|allow] "    \
    "[--buffer N]\n"                                                                               \
    "         [--catchup all|last|first|none] [--catchup-window 6h] [--spread 10m] [--max-fires "  \
    "N]\n"                                                                                         \
    "         [--pause-after-failures N] [--pool NAME] [--priority N]"

void policy_options_init(struct policy_options *o);
void policy_options_done(struct policy_options *o);
/* Writes POLICY_OPTION_COUNT rows. */
void policy_options_table(struct policy_options *o, struct cli_option *out);
/* "pool" and "priority" in `out`, where they were given; of a run too. */
int policy_set_pool(json_t *out, const char *pool, const char *priority, struct err *err);
/* Sets the members that were given in `out`; files are read, numbers checked. */
int policy_options_read(const struct policy_options *o, json_t *out, struct err *err);

#endif
