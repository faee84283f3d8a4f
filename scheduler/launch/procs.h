/* SPDX-License-Identifier: Apache-2.0 */
/* Our descendants. As a subreaper (or PID 1) the launcher inherits every orphan among them. */
#ifndef LAUNCH_PROCS_H
#define LAUNCH_PROCS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Send sig to every descendant, once each. group: process group to fall back to where there is
 * no /proc.
 */
void procs_signal(int sig, pid_t group);
/* Reap what has ended; true while children are left. main's status is stored when it is seen. */
bool procs_reap(pid_t main_pid, bool *main_ended, int *status);

#endif
