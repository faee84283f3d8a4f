/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes: started with posix_spawn, watched with pidfds, never waited for by signal. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child;
struct err;
struct loop;

struct child_spec {
    const char *const *argv;    /* argv[0] is looked up in PATH unless it has a '/' */
    const char *const *env;     /* NULL: our environment */
    const char *cwd;            /* NULL: ours */
    int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null for stdin, inherited for the others */
    const int *keep_fds;        /* -1-terminated list kept open at the same numbers; may be NULL */
    bool new_session;           /* setsid: pid is then session and group */
};

/* status as from waitpid; called once from the loop, then the handle is gone. */
typedef void child_exit_fn(void *owner, int status);

struct child *child_start(struct loop *loop, const struct child_spec *spec, child_exit_fn *done,
    void *owner, struct err *err);
/* Watch a process that is not our child (after a restart): done gets status -1. ERR_NOT_FOUND if gone. */
struct child *child_adopt(struct loop *loop, pid_t pid, child_exit_fn *done, void *owner,
    struct err *err);
pid_t child_pid(const struct child *child);
/* Signal the process, or its whole group (if it leads one: new_session). */
void child_signal(struct child *child, int sig, bool group);
/* Stop watching; the process goes on, and reaping it is the caller's business. NULL is fine. */
void child_forget(struct child *child);

#endif
