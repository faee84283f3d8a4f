/* SPDX-License-Identifier: Apache-2.0 */
/* After a command that succeeded: its parameters, its output file and its artifacts. */
#ifndef LAUNCH_COLLECT_H
#define LAUNCH_COLLECT_H

#include <jansson.h>

struct err;
struct order;
struct output;
struct transfer;

/* New references; json_null / empty objects where there is nothing. */
struct collected {
    json_t *output_file, *params, *artifacts;
};
/* t: NULL when artifacts are local files. */
int collect(const struct order *order, struct transfer *t, struct output *output,
    struct collected *out, struct err *err);
void collected_done(struct collected *c);

#endif
