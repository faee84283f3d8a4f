/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local executor: attempts as launcher processes that outlive the daemon.
 *
 * What is on disk says where an attempt stands, whoever looks:
 *   report.json there          ended; the result is in it
 *   `lock` held                running: the lock is inherited by all that the attempt starts, and
 *                              the launcher writes its identity into it before anything else
 *   `lock` free, and written   its launcher died without a report: lost
 *   `lock` free, and empty     never started
 */
#include "exec/local.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/util.h"
#include "scheduler/artifact.h"

enum {
    LOOK_MS = 20,
    LOOK_MAX_MS = 1000,
    KILL_SLACK_MS = 5000, /* the launcher's own grace ends first */
    WARN_AFTER_S = 10,
    OWNER_PATIENCE_S = 30, /* for a launcher that holds the lock and has not said who it is */
    FREE_ROUNDS = 50,
};
#define DEFAULT_GRACE_MS 10000

extern char **environ;

static void attempt_begin(struct local_attempt *a);
static void attempt_look(void *owner);

/* --- attempts --- */

static struct local_attempt *attempt_new(struct local *local, const struct attempt_name *name,
    const json_t *order, const json_t *container)
{
    assert(id_is_valid(name->run_id) && id_is_valid(name->task_id));
    struct local_attempt *a = xcalloc(1, sizeof *a);
    a->local = local;
    a->key = xasprintf("%s/%s/%d", name->run_id, name->task_id, name->attempt);
    a->dir = xasprintf("%s/work/%s", local->data_dir, a->key);
    memcpy(a->run.text, name->run_id, ID_LEN + 1);
    memcpy(a->task.text, name->task_id, ID_LEN + 1);
    a->attempt = name->attempt;
    a->order = json_incref((json_t *)order);
    a->container = json_incref((json_t *)container);
    timer_init(&a->timer, local->loop, attempt_look, a);
    return a;
}

static void attempt_free(void *value)
{
    struct local_attempt *a = value;
    loop_defer_cancel(a->local->loop, &a->running);
    loop_defer_cancel(a->local->loop, &a->ending);
    timer_done(&a->timer);
    child_forget(a->child);
    json_decref(a->order);
    json_decref(a->container);
    free(a->key);
    free(a->dir);
    free(a->lost);
    free(a);
}

static struct local_attempt *attempt_find(struct local *local, const struct attempt_name *name)
{
    CLEANUP(cleanup_free)
    char *key = xasprintf("%s/%s/%d", name->run_id, name->task_id, name->attempt);
    return map_get(local->attempts, key);
}

static void set_state(struct local_attempt *a, enum local_state state)
{
    static const char *const names[] = {
        "starting", "waiting_owner", "running", "clearing", "ending"};
    LOG_DEBUG("local step", "attempt=%s from=%s to=%s", a->key, names[a->state], names[state]);
    a->state = state;
    a->since_us = clock_mono_us();
    a->pause_ms = LOOK_MS;
    a->is_warned = false;
    timer_stop(&a->timer);
}

static void tell_end(void *owner)
{
    struct local_attempt *a = owner;
    /* Out of the table first: the listener may start the next attempt or forget this one. */
    map_take(a->local->attempts, a->key);
    if (a->is_let_go) {
        struct attempt_name name = {a->run.text, a->task.text, a->attempt};
        local_forget(a->local, &name);
    } else {
        FAULT("local.done.before");
        local_tell_end(a);
    }
    attempt_free(a);
}

static void attempt_end(struct local_attempt *a)
{
    set_state(a, LOCAL_STATE_ENDING);
    loop_defer(a->local->loop, &a->ending, tell_end, a);
}

static void attempt_lose(struct local_attempt *a, char *why)
{
    free(a->lost);
    a->lost = why;
}

static void tell_running(void *owner)
{
    struct local_attempt *a = owner;
    struct attempt_name name = {a->run.text, a->task.text, a->attempt};
    if (a->local->listener.on_running != NULL) {
        a->local->listener.on_running(a->local->listener.owner, &name);
    }
}

/* --- ending --- */

/* The launcher is gone and left no report: nothing of it may be alive when we say so. */
static void attempt_clear(struct local_attempt *a)
{
    set_state(a, LOCAL_STATE_CLEARING);
    attempt_look(a);
}

static void on_exit_status(void *owner, int status)
{
    struct local_attempt *a = owner;
    a->child = NULL;
    if (local_has_report(a)) {
        attempt_end(a);
        return;
    }
    if (a->lost == NULL && status > 0) {
        bool is_signal = (status & 0x7f) != 0;
        attempt_lose(
            a, xasprintf("its launcher ended without a report (%s %d)",
                   is_signal ? "signal" : "exit code", is_signal ? status & 0x7f : status >> 8));
    }
    attempt_clear(a);
}

/* --- the lock --- */

static char *lock_path(const struct local_attempt *a)
{
    return xasprintf("%s/lock", a->dir);
}

/* 1: ours now, *fd_out is it; 0: somebody holds it; -1: err. Reads the owner either way. */
static int lock_try(struct local_attempt *a, int *fd_out, struct err *err)
{
    CLEANUP(cleanup_free) char *path = lock_path(a);
    CLEANUP(cleanup_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_errno(err, errno, "%s", path);
    }
    bool is_ours = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (!is_ours && errno != EWOULDBLOCK) {
        return err_errno(err, errno, "lock %s", path);
    }
    ssize_t n = pread(fd, a->owner, sizeof a->owner - 1, 0);
    a->owner[n > 0 ? n : 0] = '\0';
    if (is_ours) {
        *fd_out = fd;
        fd = -1;
    }
    return is_ours;
}

static bool is_lock_free(struct local_attempt *a)
{
    int fd = -1;
    struct err ignored = ERR_INIT;
    int rc = lock_try(a, &fd, &ignored);
    cleanup_fd(&fd);
    return rc != 0; /* a folder that is gone has no lock either */
}

/* --- starting --- */

static struct child *spawn(struct local_attempt *a, int lock_fd, struct err *err)
{
    CLEANUP(cleanup_free) char *order = xasprintf("%s/order.json", a->dir);
    CLEANUP(cleanup_free) char *report = xasprintf("%s/report.json", a->dir);
    CLEANUP(cleanup_free) char *log = xasprintf("%s/output.log", a->dir);
    CLEANUP(cleanup_fd) int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        err_errno(err, errno, "%s", log);
        return NULL;
    }
    char lock_text[16];
    snprintf(lock_text, sizeof lock_text, "%d", lock_fd);
    const char *argv[] = {
        a->local->launcher, "--order", order, "--report", report, "--lock-fd", lock_text, NULL};
    const int keep[] = {lock_fd, -1};
    char **env = local_env(a);
    struct child_spec spec = {
        .argv = argv,
        .env = (const char *const *)env,
        .cwd = a->dir,
        .stdin_fd = -1,
        .stdout_fd = log_fd,
        .stderr_fd = log_fd,
        .keep_fds = keep,
        .new_session = true,
    };
    struct child *child = child_start(a->local->loop, &spec, on_exit_status, a, err);
    local_env_free(env);
    return child;
}

static int launch(struct local_attempt *a, int lock_fd, struct err *err)
{
    FAULT("local.order.before");
    if (local_write_order(a, a->order, err) != 0) {
        return -1;
    }
    FAULT("local.order.after");
    a->child = spawn(a, lock_fd, err);
    if (a->child == NULL) {
        return err_wrap(err, "cannot start %s", a->local->launcher);
    }
    FAULT("local.spawn.after");
    json_decref(a->order);
    json_decref(a->container);
    a->order = a->container = NULL;
    set_state(a, LOCAL_STATE_RUNNING);
    loop_defer(a->local->loop, &a->running, tell_running, a);
    return 0;
}

/* Somebody holds the lock. */
static int adopt(struct local_attempt *a, struct err *err)
{
    char now[PROC_IDENTITY_MAX];
    pid_t pid = (pid_t)strtol(a->owner, NULL, 10);
    if (a->owner[0] == '\0') {
        /* Between its start and its first write; or a child of ours that is just being born. */
        if (a->state != LOCAL_STATE_WAITING_OWNER) {
            set_state(a, LOCAL_STATE_WAITING_OWNER);
        }
        timer_start_ms(&a->timer, a->pause_ms);
        return 0;
    }
    bool is_alive = proc_identity(pid, now) && strcmp(now, a->owner) == 0;
    a->child = is_alive ? child_adopt(a->local->loop, pid, on_exit_status, a, err) : NULL;
    if (a->child == NULL) {
        attempt_clear(a);
        return 0;
    }
    LOG_INFO("local step adopted", "attempt=%s pid=%d", a->key, (int)pid);
    set_state(a, LOCAL_STATE_RUNNING);
    loop_defer(a->local->loop, &a->running, tell_running, a);
    if (a->is_canceled) {
        child_signal(a->child, SIGTERM, false);
        timer_start_ms(&a->timer, a->local->cancel_grace_ms + KILL_SLACK_MS);
    }
    return 0;
}

static int begin(struct local_attempt *a, struct err *err)
{
    if (dir_make(a->dir, 0700, err) != 0) {
        return -1;
    }
    int lock_fd = -1;
    int has_lock = local_has_report(a) ? -2 : lock_try(a, &lock_fd, err);
    if (has_lock == -1) {
        return -1;
    }
    /* It may have ended between the two looks. */
    if (has_lock == -2 || local_has_report(a)) {
        cleanup_fd(&lock_fd);
        attempt_end(a);
        return 0;
    }
    if (has_lock == 0) {
        return adopt(a, err);
    }
    int rc = 0;
    if (a->owner[0] != '\0') {
        attempt_clear(a);
    } else if (a->is_canceled) {
        attempt_lose(a, xstrdup("it was canceled before it started"));
        attempt_end(a);
    } else {
        rc = launch(a, lock_fd, err);
    }
    cleanup_fd(&lock_fd);
    return rc;
}

static void attempt_begin(struct local_attempt *a)
{
    struct err err = ERR_INIT;
    if (begin(a, &err) != 0) {
        attempt_lose(a, xstrdup(err.msg));
        attempt_end(a);
    }
}

/* --- looking again --- */

static void look_later(struct local_attempt *a)
{
    timer_start_ms(&a->timer, a->pause_ms);
    a->pause_ms = a->pause_ms * 2 < LOOK_MAX_MS ? a->pause_ms * 2 : LOOK_MAX_MS;
}

static bool is_longer_than(const struct local_attempt *a, int seconds)
{
    return clock_mono_us() - a->since_us > seconds * US_PER_S;
}

static void look_clearing(struct local_attempt *a)
{
    int left = local_kill_leftovers(a);
    if (left == 0 && is_lock_free(a)) {
        attempt_end(a);
        return;
    }
    if (is_longer_than(a, WARN_AFTER_S) && !a->is_warned) {
        a->is_warned = true;
        LOG_WARN("processes of a lost step do not die", "attempt=%s count=%d", a->key, left);
    }
    look_later(a);
}

static void attempt_look(void *owner)
{
    struct local_attempt *a = owner;
    switch (a->state) {
    case LOCAL_STATE_STARTING:
        attempt_begin(a);
        break;
    case LOCAL_STATE_WAITING_OWNER:
        if (is_longer_than(a, OWNER_PATIENCE_S)) {
            attempt_lose(a, xstrdup("something holds its lock and is no launcher"));
            attempt_clear(a);
        } else {
            a->pause_ms = a->pause_ms * 2 < LOOK_MAX_MS ? a->pause_ms * 2 : LOOK_MAX_MS;
            attempt_begin(a);
        }
        break;
    case LOCAL_STATE_RUNNING:
        /* Canceled, and its launcher did not end in time. Its exit brings us on. */
        LOG_WARN("local step does not stop, killing it", "attempt=%s", a->key);
        child_signal(a->child, SIGKILL, false);
        break;
    case LOCAL_STATE_CLEARING:
        look_clearing(a);
        break;
    case LOCAL_STATE_ENDING:
        break;
    }
}

/* --- the executor --- */

static void local_listen(void *self, const struct executor_listener *listener)
{
    ((struct local *)self)->listener = *listener;
}

static void local_work_dir(void *self, const struct attempt_name *name, struct buf *out)
{
    const struct local *local = self;
    buf_addf(
        out, "%s/work/%s/%s/%d/work", local->data_dir, name->run_id, name->task_id, name->attempt);
}

/* Artifacts are used where they lie. What is outside the root gets a place where nothing is. */
static void local_artifact_path(
    void *self, const struct attempt_name *name, const char *uri, struct buf *out)
{
    const struct local *local = self;
    struct err ignored;
    if (artifact_local_path(local->artifacts, uri, out, &ignored) == 0) {
        return;
    }
    char hex[SHA256_HEX_LEN + 1];
    sha256_hex(uri, strlen(uri), hex);
    buf_addf(out, "%s/work/%s/%s/%d/artifacts/%.16s", local->data_dir, name->run_id, name->task_id,
        name->attempt, hex);
}

static void local_start(
    void *self, const struct attempt_name *name, const json_t *order, const json_t *container)
{
    struct local *local = self;
    struct local_attempt *known = attempt_find(local, name);
    if (known != NULL) {
        LOG_DEBUG("local step is already started", "run=%s task=%s", name->run_id, name->task_id);
        if (known->is_let_go) { /* and it is being killed */
            known->is_let_go = false;
            attempt_lose(known, xstrdup("another daemon had taken its run over for a while"));
        }
        return;
    }
    struct local_attempt *a = attempt_new(local, name, order, container);
    map_put(local->attempts, a->key, a);
    attempt_begin(a);
}

static void local_cancel(void *self, const struct attempt_name *name)
{
    struct local *local = self;
    struct local_attempt *a = attempt_find(local, name);
    if (a == NULL || a->is_canceled) {
        return;
    }
    a->is_canceled = true;
    if (a->state == LOCAL_STATE_RUNNING) {
        attempt_lose(a, xstrdup("it was canceled"));
        child_signal(a->child, SIGTERM, false);
        timer_start_ms(&a->timer, local->cancel_grace_ms + KILL_SLACK_MS);
    }
}

/* Whoever carries the run on cannot see its processes and starts the step again. */
static void local_let_go(void *self, const struct attempt_name *name)
{
    struct local_attempt *a = attempt_find(self, name);
    if (a == NULL || a->is_let_go) {
        return;
    }
    LOG_WARN("local step is ended: another daemon carries its run on", "attempt=%s", a->key);
    a->is_let_go = true;
    loop_defer_cancel(a->local->loop, &a->running);
    child_forget(STEAL(a->child));
    if (a->state != LOCAL_STATE_ENDING) {
        attempt_clear(a);
    }
}

void local_end_stray(struct local *local, const struct attempt_name *name)
{
    struct local_attempt *a = attempt_new(local, name, NULL, NULL);
    int lock_fd = -1;
    struct err ignored = ERR_INIT;
    int is_ours = lock_try(a, &lock_fd, &ignored);
    cleanup_fd(&lock_fd);
    if (is_ours != 0) {
        attempt_free(a); /* nobody holds it */
        return;
    }
    map_put(local->attempts, a->key, a);
    local_let_go(local, name);
}

/* The log outlives the folder. */
static void keep_log(const struct local *local, const struct attempt_name *name, const char *dir)
{
    CLEANUP(cleanup_free) char *from = xasprintf("%s/output.log", dir);
    CLEANUP(cleanup_free)
    char *to_dir = xasprintf("%s/logs/%s/%s", local->data_dir, name->run_id, name->task_id);
    CLEANUP(cleanup_free) char *to = xasprintf("%s/%d.log", to_dir, name->attempt);
    struct err err = ERR_INIT;
    if (access(from, F_OK) != 0) {
        return;
    }
    if (dir_make(to_dir, 0700, &err) != 0 || rename(from, to) != 0) {
        LOG_WARN("log of a step cannot be kept", "path=%s reason=%s", LOG_Q(from),
            LOG_Q(err.code != ERR_NONE ? err.msg : strerror(errno)));
    }
}

void local_forget(void *self, const struct attempt_name *name)
{
    struct local *local = self;
    if (attempt_find(local, name) != NULL) {
        LOG_WARN("asked to forget a step that is running", "run=%s task=%s", name->run_id,
            name->task_id);
        return;
    }
    CLEANUP(cleanup_free) char *run = xasprintf("%s/work/%s", local->data_dir, name->run_id);
    CLEANUP(cleanup_free) char *task = xasprintf("%s/%s", run, name->task_id);
    CLEANUP(cleanup_free) char *dir = xasprintf("%s/%d", task, name->attempt);
    struct err err = ERR_INIT;
    keep_log(local, name, dir);
    FAULT("local.forget.middle");
    if (dir_remove(dir, &err) != 0) {
        LOG_WARN("folder of a step cannot be removed", "reason=%s", LOG_Q(err.msg));
    }
    /* Its parents go with the last one in them. */
    if (rmdir(task) == 0) {
        rmdir(run);
    }
}

/* Its logs are all that is left of a run that is over. */
static void local_purge(void *self, const char *run_id)
{
    const struct local *local = self;
    assert(id_is_valid(run_id));
    CLEANUP(cleanup_free) char *logs = xasprintf("%s/logs/%s", local->data_dir, run_id);
    struct err err = ERR_INIT;
    if (dir_remove(logs, &err) != 0) {
        LOG_WARN("logs of a run cannot be removed", "reason=%s", LOG_Q(err.msg));
    }
}

struct log_call {
    char *path;
    int64_t max;
    void (*done)(void *owner, const char *text, size_t len, const struct err *err);
    void *owner;
};

static void logs_run(void *owner)
{
    struct log_call *call = owner;
    struct err err = ERR_INIT;
    size_t len = 0;
    char *text = NULL;
    if (call->path == NULL) {
        err_set(&err, ERR_NOT_FOUND, "there is no log of this step (any more)");
    } else {
        text = local_log_read(call->path, call->max, &len, &err);
    }
    call->done(call->owner, text != NULL ? text : "", len, text != NULL ? NULL : &err);
    free(text);
    free(call->path);
    free(call);
}

static void local_logs(void *self, const struct attempt_name *name, int64_t max_bytes,
    void (*done)(void *owner, const char *text, size_t len, const struct err *err), void *owner)
{
    struct local *local = self;
    CLEANUP(cleanup_free)
    char *key = xasprintf("%s/%s/%d", name->run_id, name->task_id, name->attempt);
    struct log_call *call = xcalloc(1, sizeof *call);
    call->path = local_log_path(local, key);
    call->max = max_bytes;
    call->done = done;
    call->owner = owner;
    loop_defer_once(local->loop, logs_run, call);
}

/* Without a report the next daemon finds the steps lost, and starts them again. Those that were let
 * go do not outlive us in any case. */
static void kill_all(struct local *local, bool only_let_go)
{
    for (int round = 0; round < FREE_ROUNDS; round++) {
        int left = 0;
        struct map_iter it = {0};
        const char *key;
        void *value;
        while (map_next(local->attempts, &it, &key, &value)) {
            struct local_attempt *a = value;
            bool is_wanted = a->state != LOCAL_STATE_ENDING && (a->is_let_go || !only_let_go);
            left += is_wanted ? local_kill_leftovers(a) : 0;
        }
        if (left == 0) {
            return;
        }
        usleep(20 * 1000);
    }
}

static void local_free(void *self)
{
    struct local *local = self;
    kill_all(local, !local->kill_on_free);
    timer_done(&local->sweep);
    local_volumes_stop(local);
    map_free(local->attempts);
    local_env_free(local->env);
    free(local->data_dir);
    free(local->launcher);
    free(local->root_path);
    free(local->secrets_dir);
    free(local->config_maps_dir);
    free(local);
}

static const struct executor_ops local_ops = {
    .name = "local",
    .is_bound = true,
    .listen = local_listen,
    .work_dir = local_work_dir,
    .artifact_path = local_artifact_path,
    .start = local_start,
    .cancel = local_cancel,
    .forget = local_forget,
    .let_go = local_let_go,
    .purge = local_purge,
    .logs = local_logs,
    .ignored = local_ignored,
    .volume_create = local_volume_create,
    .volume_delete = local_volume_delete,
    .volume_cancel = local_volume_cancel,
    .workspace_path = local_workspace_path,
    .free = local_free,
};

void executor_local_abandon(const struct executor *executor)
{
    if (executor->ops == &local_ops) {
        ((struct local *)executor->self)->kill_on_free = true;
    }
}

void executor_local_end_strays(const struct executor *executor,
    bool (*is_anothers)(void *owner, const char *run_id), void *owner)
{
    if (executor->ops == &local_ops) {
        local_find_strays(executor->self, is_anothers, owner);
    }
}

static int check_launcher(const char *path, struct err *err)
{
    if (path == NULL || access(path, X_OK) != 0) {
        return err_set(err, ERR_NOT_FOUND,
            "launcher '%s': not there or not executable; steps run under it: build "
            "rondo-launcher, or name it with --launcher",
            path != NULL ? path : "");
    }
    return 0;
}

static char *root_path(const struct artifact_store *artifacts)
{
    struct buf path;
    struct err ignored;
    buf_init(&path, PATH_MAX);
    if (artifact_local_path(artifacts, artifact_store_root(artifacts), &path, &ignored) != 0) {
        buf_done(&path);
        return NULL;
    }
    return buf_steal(&path, NULL);
}

/* Whether the launcher can mount, which only it can try out. */
static bool can_mount(const char *launcher)
{
    char flag[] = "--can-mount";
    char *const argv[] = {(char *)(uintptr_t)launcher, flag, NULL};
    pid_t pid;
    int status = -1;
    if (posix_spawn(&pid, launcher, NULL, NULL, argv, environ) != 0) {
        return false;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0;
}

/* Named by the settings, or in the data folder; absolute, because launchers look there too. */
static char *key_folder(const char *setting, const char *data_dir, const char *name)
{
    if (setting == NULL || setting[0] == '\0') {
        return xasprintf("%s/%s", data_dir, name);
    }
    char *real = realpath(setting, NULL);
    CLEANUP(cleanup_free) char *here = setting[0] == '/' ? NULL : getcwd(NULL, 0);
    if (real != NULL || here == NULL) {
        return real != NULL ? real : xstrdup(setting);
    }
    return xasprintf("%s/%s", here, setting); /* may be made later */
}

int executor_local_new(
    struct loop *loop, const struct local_settings *settings, struct executor *out, struct err *err)
{
    if (check_launcher(settings->launcher, err) != 0 ||
        dir_make(settings->data_dir, 0755, err) != 0) {
        return -1;
    }
    CLEANUP(cleanup_free) char *data = realpath(settings->data_dir, NULL);
    CLEANUP(cleanup_free) char *launcher = realpath(settings->launcher, NULL);
    if (data == NULL || launcher == NULL) {
        return err_errno(err, errno, "%s", data == NULL ? settings->data_dir : settings->launcher);
    }
    CLEANUP(cleanup_free) char *work = xasprintf("%s/work", data);
    if (dir_make(work, 0700, err) != 0) {
        return -1;
    }
    struct local *local = xcalloc(1, sizeof *local);
    local->loop = loop;
    local->artifacts = settings->artifacts;
    local->data_dir = STEAL(data);
    local->launcher = STEAL(launcher);
    local->root_path = root_path(settings->artifacts);
    local->env = local_env_base(settings->step_env);
    local->log_max_bytes = settings->log_max_bytes;
    local->cancel_grace_ms =
        settings->cancel_grace_ms > 0 ? settings->cancel_grace_ms : DEFAULT_GRACE_MS;
    local->kill_on_free = settings->kill_on_free;
    local->secrets_dir = key_folder(settings->secrets_dir, local->data_dir, "secrets");
    local->config_maps_dir = key_folder(settings->config_maps_dir, local->data_dir, "config-maps");
    local->may_mount = !settings->no_mounts && can_mount(local->launcher);
    local->attempts = map_new(attempt_free);
    local_volumes_start(local);
    local_sweep_start(local);
    out->ops = &local_ops;
    out->self = local;
    return 0;
}
