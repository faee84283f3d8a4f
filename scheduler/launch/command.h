/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running one command to its end: its output passed on, its time limited, its descendants gone
 * when it is over.
 */
#ifndef LAUNCH_COMMAND_H
#define LAUNCH_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

struct output;

/* Being told to stop (SIGTERM, SIGINT, SIGHUP), and children that end, come through here. */
struct signals {
    int fd;
    bool is_stopped;
};
/* Blocks the signals; call once. */
int signals_init(struct signals *signals);
/* Wait up to timeout_ms (-1: for ever) for a signal; true when told to stop. */
bool signals_wait(struct signals *signals, int timeout_ms);
/* Take what has come in; for those who poll the fd themselves. */
void signals_read(struct signals *signals);

enum command_end {
    COMMAND_END_EXITED,
    COMMAND_END_TIMED_OUT,
    COMMAND_END_STOPPED,     /* we were told to stop */
    COMMAND_END_NOT_STARTED, /* exit_code is 126 or 127, or -1 */
};

struct command {
    char *const *argv;
    char *const *env;    /* argv[0] is looked up in its PATH */
    const char *cwd;     /* "" stays */
    int64_t deadline_us; /* monotonic; 0: none */
    int64_t grace_us;
    struct signals *signals;
    struct output *output;
};

struct command_result {
    enum command_end end;
    int exit_code;     /* 128 + signal when killed by one */
    char reason[2048]; /* why it did not start or did not succeed; "" for exit code 0 */
};

void command_run(const struct command *command, struct command_result *out);

#endif
