/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes. A pidfd tells of the end, so there is no SIGCHLD handler, no race about
 * reused pids, and processes that are not our children can be watched in the same way.
 */
#include "base/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/util.h"

/* A list of descriptors to keep is short and its numbers are low; more is a mistake. */
#define KEEP_MAX 64
#define KEEP_NUMBER_MAX 65536

struct child {
    pid_t pid;
    int pidfd;
    bool is_ours; /* our child, so it is ours to reap */
    bool is_leader;
    struct event *event;
    child_exit_fn *done;
    void *owner;
};

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by definition */
}

void child_forget(struct child *child)
{
    if (child == NULL) {
        return;
    }
    if (child->event != NULL) {
        event_free(child->event);
    }
    if (child->pidfd >= 0) {
        close(child->pidfd);
    }
    free(child);
}

static void on_exit_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct child *child = arg;
    int status = -1;
    if (child->is_ours) {
        /* The pid is a zombie until here, so it cannot belong to anybody else. */
        pid_t got;
        do {
            got = waitpid(child->pid, &status, WNOHANG);
        } while (got < 0 && errno == EINTR);
        if (got != child->pid) {
            status = -1;
        }
    }
    child_exit_fn *done = child->done;
    void *owner = child->owner;
    child_forget(child);
    done(owner, status);
}

static int child_watch(struct child *child, struct loop *loop, struct err *err)
{
    child->pidfd = open_pidfd(child->pid);
    if (child->pidfd < 0) {
        if (errno == ESRCH) {
            return err_set(err, ERR_NOT_FOUND, "process %d is gone", (int)child->pid);
        }
        return err_errno(err, errno, "watch process %d: pidfd_open", (int)child->pid);
    }
    child->event = event_new(loop_base(loop), child->pidfd, EV_READ, on_exit_event, child);
    if (child->event == NULL || event_add(child->event, NULL) != 0) {
        return err_set(err, ERR_INTERNAL, "watch process %d: cannot add it to the event loop",
            (int)child->pid);
    }
    return 0;
}

/* What posix_spawn is given, collected so that every way out releases all of it. */
struct spawn {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int moved[3]; /* copies of descriptors 0..2 that would be overwritten before their use */
};

static void spawn_init(struct spawn *s)
{
    posix_spawn_file_actions_init(&s->actions);
    posix_spawnattr_init(&s->attr);
    s->moved[0] = s->moved[1] = s->moved[2] = -1;
}

static void spawn_done(struct spawn *s)
{
    posix_spawn_file_actions_destroy(&s->actions);
    posix_spawnattr_destroy(&s->attr);
    for (int i = 0; i < 3; i++) {
        cleanup_fd(&s->moved[i]);
    }
}

static int spawn_stdio(struct spawn *s, const struct child_spec *spec, struct err *err)
{
    int fds[3] = {spec->stdin_fd, spec->stdout_fd, spec->stderr_fd};
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0 && fds[i] <= 2 && fds[i] != i) {
            s->moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
            if (s->moved[i] < 0) {
                return err_errno(err, errno, "copy descriptor %d", fds[i]);
            }
            fds[i] = s->moved[i];
        }
    }
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++) {
        if (fds[i] >= 0) {
            r = posix_spawn_file_actions_adddup2(&s->actions, fds[i], i);
        } else if (i == 0) {
            r = posix_spawn_file_actions_addopen(&s->actions, 0, "/dev/null", O_RDONLY, 0);
        }
    }
    return r == 0 ? 0 : err_errno(err, r, "prepare standard streams");
}

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Nothing above 2 reaches the child but keep_fds: whatever was left open by whoever started us. */
static int spawn_close(struct spawn *s, const struct child_spec *spec, struct err *err)
{
    int keep[KEEP_MAX];
    size_t count = 0;
    for (const int *fd = spec->keep_fds; fd != NULL && *fd >= 0; fd++) {
        if (count == KEEP_MAX || *fd > KEEP_NUMBER_MAX) {
            return err_set(err, ERR_LIMIT, "more than %d descriptors to keep, or one above %d",
                KEEP_MAX, KEEP_NUMBER_MAX);
        }
        if (*fd > 2) {
            keep[count++] = *fd;
        }
    }
    qsort(keep, count, sizeof keep[0], compare_ints);
    int next = 3, r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        for (; next < keep[i] && r == 0; next++) {
            r = posix_spawn_file_actions_addclose(&s->actions, next);
        }
        if (r == 0) {
            /* Onto itself: posix_spawn clears close-on-exec. */
            r = posix_spawn_file_actions_adddup2(&s->actions, keep[i], keep[i]);
        }
        next = keep[i] + 1;
    }
    if (r == 0) {
        r = posix_spawn_file_actions_addclosefrom_np(&s->actions, next);
    }
    return r == 0 ? 0 : err_errno(err, r, "prepare descriptors");
}

static int spawn_prepare(struct spawn *s, const struct child_spec *spec, struct err *err)
{
    if (spawn_stdio(s, spec, err) != 0 || spawn_close(s, spec, err) != 0) {
        return -1;
    }
    if (spec->cwd != NULL) {
        int r = posix_spawn_file_actions_addchdir_np(&s->actions, spec->cwd);
        if (r != 0) {
            return err_errno(err, r, "prepare folder %s", spec->cwd);
        }
    }
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&s->attr, &all); /* we ignore SIGPIPE; they should not */
    posix_spawnattr_setsigmask(&s->attr, &none);
    int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    if (spec->new_session) {
        flags |= POSIX_SPAWN_SETSID;
    }
    int r = posix_spawnattr_setflags(&s->attr, (short)flags);
    return r == 0 ? 0 : err_errno(err, r, "prepare attributes");
}

static int spawn_run(const struct child_spec *spec, pid_t *pid_out, struct err *err)
{
    struct spawn s;
    spawn_init(&s);
    if (spawn_prepare(&s, spec, err) != 0) {
        spawn_done(&s);
        return err_wrap(err, "start %s", spec->argv[0]);
    }
    pid_t pid;
    /* exec does not write to either list; its prototype is older than const. */
    int r = posix_spawnp(&pid, spec->argv[0], &s.actions, &s.attr, (char *const *)spec->argv,
        spec->env != NULL ? (char *const *)spec->env : environ);
    spawn_done(&s);
    if (r != 0) {
        return spec->cwd != NULL ? err_errno(err, r, "start %s in %s", spec->argv[0], spec->cwd)
                                 : err_errno(err, r, "start %s", spec->argv[0]);
    }
    *pid_out = pid;
    return 0;
}

struct child *child_start(struct loop *loop, const struct child_spec *spec, child_exit_fn *done,
    void *owner, struct err *err)
{
    assert(spec->argv != NULL && spec->argv[0] != NULL && done != NULL);
    pid_t pid;
    if (spawn_run(spec, &pid, err) != 0) {
        return NULL;
    }
    struct child *child = xcalloc(1, sizeof *child);
    *child = (struct child){.pid = pid,
        .pidfd = -1,
        .is_ours = true,
        .is_leader = spec->new_session,
        .done = done,
        .owner = owner};
    if (child_watch(child, loop, err) != 0) {
        /* A process that nobody watches is worse than none. */
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        child_forget(child);
        return NULL;
    }
    return child;
}

struct child *child_adopt(
    struct loop *loop, pid_t pid, child_exit_fn *done, void *owner, struct err *err)
{
    assert(done != NULL);
    if (pid <= 0) {
        err_set(err, ERR_NOT_FOUND, "process %d is gone", (int)pid);
        return NULL;
    }
    struct child *child = xcalloc(1, sizeof *child);
    *child = (struct child){.pid = pid, .pidfd = -1, .done = done, .owner = owner};
    if (child_watch(child, loop, err) != 0) {
        child_forget(child);
        return NULL;
    }
    /* A zombie has a pid but is over: only its parent has not asked yet. */
    struct pollfd p = {.fd = child->pidfd, .events = POLLIN};
    if (poll(&p, 1, 0) == 1) {
        child_forget(child);
        err_set(err, ERR_NOT_FOUND, "process %d has ended", (int)pid);
        return NULL;
    }
    child->is_leader = getpgid(pid) == pid;
    return child;
}

pid_t child_pid(const struct child *child)
{
    return child->pid;
}

void child_signal(struct child *child, int sig, bool group)
{
    if (group && child->is_leader) {
        /* While we hold an unreaped child its pid, and so its group, is not reused. For an
         * adopted one the group lives as long as a member does, which is what we mean to hit. */
        kill(-child->pid, sig);
    } else {
        syscall(SYS_pidfd_send_signal, child->pidfd, sig, NULL, 0);
    }
}
