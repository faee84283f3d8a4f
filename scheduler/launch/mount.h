/* SPDX-License-Identifier: Apache-2.0 */
/* The order's mounts, as the launcher and the command see them and nobody else does. */
#ifndef LAUNCH_MOUNT_H
#define LAUNCH_MOUNT_H

#include <stdbool.h>

struct err;
struct order;
struct output;

/*
 * ERR_NOT_FOUND: a folder that has to be there is not; err names it. That it cannot be seen at its
 * path is only noted in the output: its variable RONDO_MOUNT_<n> names the folder. Call before
 * anything else is opened or started.
 */
int mounts_prepare(const struct order *order, struct output *output, struct err *err);
/* Does this system let us? Costs a process. */
bool mounts_are_possible(void);
/* Notes secrets, files and folders, that others on this machine can read. */
void secrets_check(const struct order *order, struct output *output);

#endif
