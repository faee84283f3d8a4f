/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process identity: a pid alone is reused, sooner or later. The identity text also holds the
 * process's start time, the boot and the pid namespace, so equal text means the same process.
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#define PROC_IDENTITY_MAX 160

/* "1234 5678901 <boot id> pid:[4026531836]"; false if there is no such process (or no /proc). A
 * zombie is no process any more. */
bool proc_identity(pid_t pid, char out[PROC_IDENTITY_MAX]);
/* The part that says where pids count: "<boot id> pid:[...]" of this process. "" without /proc. */
void proc_home(char out[PROC_IDENTITY_MAX]);

#endif
