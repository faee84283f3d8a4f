/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon: all parts joined, from settings to an orderly stop. */
#ifndef API_DAEMON_H
#define API_DAEMON_H

struct err;
struct settings;

/* Runs until a signal or a fatal error. Returns the exit code; errors have been logged. */
int daemon_run(const struct settings *settings);

#endif
