/* SPDX-License-Identifier: Apache-2.0 */
/* One command, from fork to the last of its descendants. */
#include "launch/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/util.h"
#include "launch/expand.h"
#include "launch/output.h"
#include "launch/procs.h"

enum { CHUNK = 64 * 1024, ARG_STRLEN_MAX = 128 * 1024 };
/* How long output is waited for after the command's end while something still holds the pipe. */
#define PIPE_GRACE_US (1 * US_PER_S)
#define KILL_AGAIN_US (200 * US_PER_MS)
#define KILL_GIVE_UP_US (10 * US_PER_S)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int signals_init(struct signals *signals)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    signals->is_stopped = false;
    signals->fd = -1;
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
        return -1;
    }
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals->fd >= 0 ? 0 : -1;
}

void signals_read(struct signals *signals)
{
    struct signalfd_siginfo info;
    while (read(signals->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD) {
            signals->is_stopped = true;
        }
    }
}

bool signals_wait(struct signals *signals, int timeout_ms)
{
    struct pollfd p = {.fd = signals->fd, .events = POLLIN};
    if (!signals->is_stopped && poll(&p, 1, timeout_ms) > 0) {
        signals_read(signals);
    }
    return signals->is_stopped;
}

/* --- starting --- */

/* Which file is argv[0]? NULL, with the reason and code in out, if none can be executed. */
static char *find_program(const struct command *c, struct command_result *out)
{
    const char *name = c->argv[0];
    if (strchr(name, '/') != NULL) {
        return xstrdup(name);
    }
    const char *path = env_find(c->env, "PATH", 4);
    path = path != NULL && path[0] != '\0' ? path : DEFAULT_PATH;
    bool is_seen = false;
    for (const char *p = path;; p++) {
        size_t len = strcspn(p, ":");
        char *file = len > 0 ? xasprintf("%.*s/%s", (int)len, p, name) : xasprintf("./%s", name);
        struct stat st;
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
            if (access(file, X_OK) == 0) {
                return file;
            }
            is_seen = true;
        }
        free(file);
        p += len;
        if (*p == '\0') {
            break;
        }
    }
    out->end = COMMAND_END_NOT_STARTED;
    out->exit_code = is_seen ? 126 : 127;
    snprintf(out->reason, sizeof out->reason,
        is_seen ? "command '%.200s' was found in PATH, but it is not executable (PATH is %.500s)"
                : "command '%.200s' was not found (PATH is %.500s)",
        name, path);
    return NULL;
}

static void exec_failed(const struct command *c, int errnum, struct command_result *out)
{
    out->end = COMMAND_END_NOT_STARTED;
    out->exit_code = errnum == ENOENT || errnum == ENOTDIR ? 127 : 126;
    const char *name = c->argv[0];
    if (errnum == E2BIG) {
        for (size_t i = 0; c->argv[i] != NULL; i++) {
            if (strlen(c->argv[i]) >= ARG_STRLEN_MAX) {
                snprintf(out->reason, sizeof out->reason,
                    "argument %zu of '%.200s' has %zu bytes and Linux allows %d: pass large values "
                    "as artifacts",
                    i, name, strlen(c->argv[i]), ARG_STRLEN_MAX - 1);
                return;
            }
        }
    }
    snprintf(out->reason, sizeof out->reason, "command '%.200s' cannot be executed: %s%s", name,
        strerror(errnum),
        errnum == ENOEXEC  ? " (a script needs a first line such as #!/bin/sh)"
        : errnum == ENOENT ? " (the file or its interpreter is not there)"
                           : "");
}

static void child_exec(const struct command *c, const char *file, int in, int out, int error_fd)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigset_t none;
    sigemptyset(&none);
    /* A group of its own, so that there is something to signal where there is no /proc. If the
     * launcher is killed outright, so is the command: nobody would report its end. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigaction(SIGPIPE, &plain, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int errnum = 0;
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
        (c->cwd[0] != '\0' && chdir(c->cwd) != 0)) {
        errnum = errno;
    } else {
        execve(file, c->argv, c->env);
        errnum = errno;
    }
    ssize_t n = write(error_fd, &errnum, sizeof errnum);
    _exit(n > 0 ? 127 : 126);
}

/* Starts it; the pid, or -1 with the reason in out. *pipe_out is where its output comes. */
static pid_t start(const struct command *c, int *pipe_out, struct command_result *out)
{
    CLEANUP(cleanup_free) char *file = find_program(c, out);
    int in[2] = {-1, -1}, output[2] = {-1, -1}, error[2] = {-1, -1};
    pid_t pid = -1;
    if (file == NULL) {
        return -1;
    }
    /* An empty pipe for standard input: there may be no /dev/null. */
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0 &&
        pipe2(error, O_CLOEXEC) == 0) {
        cleanup_fd(&in[1]);
        in[1] = -1;
        pid = fork();
        if (pid == 0) {
            child_exec(c, file, in[0], output[1], error[1]);
        }
    }
    if (pid < 0) {
        out->end = COMMAND_END_NOT_STARTED;
        out->exit_code = -1;
        snprintf(out->reason, sizeof out->reason, "cannot start a process: %s", strerror(errno));
    } else {
        setpgid(pid, pid);
    }
    cleanup_fd(&in[0]);
    cleanup_fd(&in[1]);
    cleanup_fd(&output[1]);
    cleanup_fd(&error[1]);
    int errnum;
    if (pid > 0 && read(error[0], &errnum, sizeof errnum) == (ssize_t)sizeof errnum) {
        waitpid(pid, NULL, 0);
        exec_failed(c, errnum, out);
        if (c->cwd[0] != '\0' && access(c->cwd, X_OK) != 0) {
            snprintf(out->reason, sizeof out->reason, "cannot enter the work folder %.300s: %s",
                c->cwd, strerror(errno));
        }
        pid = -1;
    }
    cleanup_fd(&error[0]);
    if (pid < 0) {
        cleanup_fd(&output[0]);
    } else {
        *pipe_out = output[0];
    }
    return pid;
}

/* --- following --- */

struct follow {
    const struct command *c;
    pid_t pid;
    int pipe; /* -1: closed */
    bool has_ended, has_children;
    int status;
    enum command_end why;                  /* EXITED until it is being stopped */
    int64_t ended_us, kill_us, give_up_us; /* 0: not yet */
};

/* One chunk; false when nothing more can come now. */
static bool copy_chunk(struct follow *f, char *chunk)
{
    ssize_t n = read(f->pipe, chunk, CHUNK);
    if (n > 0) {
        output_add(f->c->output, chunk, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return false;
    }
    close(f->pipe);
    f->pipe = -1;
    return false;
}

static void begin_stop(struct follow *f, enum command_end why)
{
    if (f->kill_us == 0) {
        f->why = why;
        f->kill_us = clock_mono_us() + f->c->grace_us;
        procs_signal(SIGTERM, f->pid);
    }
}

/* Something to do by now? Sends signals; sets when to look again. */
static int64_t next_wake(struct follow *f, int64_t now)
{
    int64_t wake = INT64_MAX;
    if (f->kill_us == 0 && !f->has_ended && f->c->deadline_us > 0) {
        if (now >= f->c->deadline_us) {
            begin_stop(f, COMMAND_END_TIMED_OUT);
        } else {
            wake = f->c->deadline_us;
        }
    }
    if (f->kill_us > 0) {
        if (now >= f->kill_us) {
            procs_signal(SIGKILL, f->pid);
            f->kill_us = now + KILL_AGAIN_US;
            f->give_up_us = f->give_up_us > 0 ? f->give_up_us : now + KILL_GIVE_UP_US;
        }
        wake = f->kill_us < wake ? f->kill_us : wake;
    } else if (f->has_ended) {
        wake = f->ended_us + PIPE_GRACE_US;
    }
    return wake;
}

/*
 * The command has ended by itself: what it left behind may still write for a moment, then it is
 * killed. While it is being stopped, all of its descendants have the time of grace.
 */
static bool is_over(struct follow *f, int64_t now)
{
    if (!f->has_ended) {
        return false;
    }
    if (!f->has_children || (f->give_up_us > 0 && now >= f->give_up_us)) {
        return true;
    }
    if (f->kill_us == 0 && (f->pipe < 0 || now >= f->ended_us + PIPE_GRACE_US)) {
        f->kill_us = now;
    }
    return false;
}

static void follow(struct follow *f, char *chunk)
{
    while (!is_over(f, clock_mono_us())) {
        int64_t now = clock_mono_us();
        int64_t wake = next_wake(f, now);
        int64_t wait_ms = wake == INT64_MAX ? -1 : (wake - now + 999) / 1000;
        wait_ms = wait_ms > 60000 ? 60000 : wait_ms;
        struct pollfd p[2] = {
            {.fd = f->c->signals->fd, .events = POLLIN},
            {.fd = f->pipe, .events = POLLIN},
        };
        if (poll(p, 2, (int)wait_ms) < 0 && errno != EINTR) {
            break;
        }
        if (p[1].revents != 0 && f->pipe >= 0) {
            copy_chunk(f, chunk);
        }
        if (p[0].revents != 0) {
            signals_read(f->c->signals);
            if (f->c->signals->is_stopped && !f->has_ended) {
                begin_stop(f, COMMAND_END_STOPPED);
            }
        }
        bool had_ended = f->has_ended;
        f->has_children = procs_reap(f->pid, &f->has_ended, &f->status);
        if (f->has_ended && !had_ended) {
            f->ended_us = clock_mono_us();
        }
    }
    /* What is still in the pipe; a holder outside our reach cannot keep us here. */
    if (f->pipe >= 0) {
        fcntl(f->pipe, F_SETFL, O_NONBLOCK);
        for (int i = 0; i < 64 && copy_chunk(f, chunk); i++) {
        }
    }
}

static void explain(const struct follow *f, struct command_result *out)
{
    int sig = WIFSIGNALED(f->status) ? WTERMSIG(f->status) : 0;
    out->end = f->why;
    out->exit_code = sig > 0 ? 128 + sig : WEXITSTATUS(f->status);
    const char *name = sig > 0 ? sigabbrev_np(sig) : NULL;
    if (f->why == COMMAND_END_TIMED_OUT) {
        snprintf(out->reason, sizeof out->reason, "the time limit was reached");
    } else if (f->why == COMMAND_END_STOPPED) {
        snprintf(out->reason, sizeof out->reason, "it was told to stop");
    } else if (sig > 0) {
        snprintf(out->reason, sizeof out->reason, "the command was killed by signal %d (SIG%s)%s",
            sig, name != NULL ? name : "?",
            sig == SIGKILL ? ": out of memory, or by somebody" : "");
    } else if (out->exit_code != 0) {
        snprintf(
            out->reason, sizeof out->reason, "the command ended with exit code %d", out->exit_code);
    }
}

void command_run(const struct command *command, struct command_result *out)
{
    memset(out, 0, sizeof *out);
    struct follow f = {.c = command, .pipe = -1, .has_children = true, .why = COMMAND_END_EXITED};
    if (command->signals->is_stopped) {
        out->end = COMMAND_END_STOPPED;
        out->exit_code = -1;
        snprintf(out->reason, sizeof out->reason, "it was told to stop before it started");
        return;
    }
    f.pid = start(command, &f.pipe, out);
    if (f.pid < 0) {
        return;
    }
    CLEANUP(cleanup_free) char *chunk = xmalloc(CHUNK);
    follow(&f, chunk);
    cleanup_fd(&f.pipe);
    explain(&f, out);
}
