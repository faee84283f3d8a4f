/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's own redis-server: starting it, and making sure that none is left behind.
 * Restarting it while the daemon runs is not done here: when it dies, the daemon ends and says so.
 */
#include "scheduler/private_redis.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/secret.h"
#include "base/util.h"

#define STOP_WAIT_MS 15000
#define PID_FILE_MAX 64
#define LOCK_POLL_MS 50

struct private_redis {
    struct child *child;
    int lock_fd;       /* the server's copy holds the lock; ours is closed once it runs */
    char *dir;         /* <data>/redis */
    char *socket_path; /* short enough for sun_path */
    char *socket_dir;  /* made by us outside the data folder, or NULL */
    char *url;
    void (*on_exit)(void *owner, int status);
    void *owner;
};

static void private_redis_free(struct private_redis *redis)
{
    cleanup_fd(&redis->lock_fd);
    if (redis->socket_dir != NULL) {
        (void)unlink(redis->socket_path);
        (void)rmdir(redis->socket_dir);
    }
    free(redis->dir);
    free(redis->socket_path);
    free(redis->socket_dir);
    free(redis->url);
    free(redis);
}

/* True if this pid runs redis-server for our folder: a reused pid must not be hit. */
static bool is_our_server(pid_t pid, const char *dir)
{
    CLEANUP(cleanup_free) char *path = xasprintf("/proc/%d/cwd", (int)pid);
    char target[4096];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0) {
        return false;
    }
    target[n] = '\0';
    CLEANUP(cleanup_free) char *real = realpath(dir, NULL);
    CLEANUP(cleanup_free) char *comm_path = xasprintf("/proc/%d/comm", (int)pid);
    CLEANUP(cleanup_free) char *comm = file_read(comm_path, 64, NULL, NULL);
    return real != NULL && strcmp(real, target) == 0 && comm != NULL &&
           str_starts(comm, "redis-server");
}

/* Wait until the process is gone. pidfd rather than waitpid: it may not be our child. */
static bool wait_gone(pid_t pid, int timeout_ms)
{
    CLEANUP(cleanup_fd) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return errno == ESRCH;
    }
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static int end_leftover(const char *dir, struct err *err)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/redis.pid", dir);
    CLEANUP(cleanup_free) char *text = file_read(path, PID_FILE_MAX, NULL, NULL);
    if (text == NULL) {
        return 0;
    }
    text[strcspn(text, "\r\n")] = '\0';
    int64_t pid = 0;
    if (parse_i64(text, 2, INT32_MAX, "pid", &pid, NULL) != 0 || !is_our_server((pid_t)pid, dir)) {
        return 0;
    }
    LOG_INFO("ending the redis-server of an earlier daemon", "pid=%d", (int)pid);
    (void)kill((pid_t)pid, SIGTERM);
    if (!wait_gone((pid_t)pid, STOP_WAIT_MS)) {
        return err_set(err, ERR_CONFLICT,
            "redis-server %d of an earlier daemon still runs in %s and does not end; stop it and "
            "start again",
            (int)pid, dir);
    }
    return 0;
}

/*
 * The server inherits a lock on its folder and holds it as long as it lives: two on one
 * append-only file would ruin it, even where redis.pid was not yet written when we were killed.
 */
static int lock_folder(struct private_redis *redis, struct err *err)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/lock", redis->dir);
    redis->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (redis->lock_fd < 0) {
        return err_errno(err, errno, "cannot write %s", path);
    }
    for (int waited_ms = 0; flock(redis->lock_fd, LOCK_EX | LOCK_NB) != 0;
         waited_ms += LOCK_POLL_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return err_errno(err, errno, "cannot lock %s", path);
        }
        if (waited_ms >= STOP_WAIT_MS) {
            return err_set(err, ERR_CONFLICT,
                "a redis-server of an earlier daemon still runs in %s and does not end; stop it "
                "and start again",
                redis->dir);
        }
        (void)poll(NULL, 0, LOCK_POLL_MS);
    }
    return 0;
}

/* A unix socket path is at most 107 bytes: long data folders get one in a private /tmp folder. */
static int choose_socket(struct private_redis *redis, struct err *err)
{
    struct sockaddr_un addr;
    redis->socket_path = xasprintf("%s/redis.sock", redis->dir);
    if (strlen(redis->socket_path) < sizeof addr.sun_path) {
        return 0;
    }
    free(redis->socket_path);
    redis->socket_path = NULL;
    redis->socket_dir = xstrdup("/tmp/rondo-redis-XXXXXX");
    if (mkdtemp(redis->socket_dir) == NULL) {
        int saved = errno;
        free(STEAL(redis->socket_dir));
        return err_errno(err, saved, "cannot make a folder in /tmp for the redis socket");
    }
    redis->socket_path = xasprintf("%s/redis.sock", redis->socket_dir);
    return 0;
}

static void private_redis_exited(void *owner, int status)
{
    struct private_redis *redis = owner;
    redis->child = NULL;
    redis->on_exit(redis->owner, status);
}

static bool in_path(const char *program)
{
    const char *path = getenv("PATH");
    CLEANUP(cleanup_free) char *copy = xstrdup(path != NULL ? path : "/usr/bin:/bin");
    char *rest = copy, *dir;
    while ((dir = strsep(&rest, ":")) != NULL) {
        CLEANUP(cleanup_free) char *file = xasprintf("%s/%s", dir, program);
        if (access(file, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

static int spawn(struct private_redis *redis, struct loop *loop, struct err *err)
{
    CLEANUP(cleanup_free) char *log_path = xasprintf("%s/redis.log", redis->dir);
    CLEANUP(cleanup_fd)
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) {
        return err_errno(err, errno, "cannot write %s", log_path);
    }
    const char *argv[48];
    size_t n = 0;
    /* Dies with us even when we are killed; it writes its file out on SIGTERM. */
    if (in_path("setpriv")) {
        argv[n++] = "setpriv";
        argv[n++] = "--pdeathsig";
        argv[n++] = "TERM";
    }
    const char *const fixed[] = {"redis-server", "--port", "0", "--unixsocket", redis->socket_path,
        "--unixsocketperm", "600", "--dir", redis->dir, "--pidfile", "redis.pid", "--daemonize",
        "no", "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--maxmemory-policy", "noeviction", "--loglevel", "notice",
        /* Records hold a document: packed, a recurring run takes half the memory. */
        "--hash-max-listpack-value", "1024",
        /* Rewriting the file takes a core for itself, a third of that to compress it. */
        "--rdbcompression", "no", "--auto-aof-rewrite-min-size", "256mb"};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        argv[n++] = fixed[i];
    }
    argv[n] = NULL;
    const int keep[] = {redis->lock_fd, -1};
    struct child_spec spec = {
        .argv = argv,
        .keep_fds = keep,
        .cwd = redis->dir,
        .stdin_fd = -1,
        .stdout_fd = log_fd,
        .stderr_fd = log_fd,
        .new_session = true, /* Ctrl-C in a terminal is for the daemon, which stops it in order */
    };
    redis->child = child_start(loop, &spec, private_redis_exited, redis, err);
    cleanup_fd(&redis->lock_fd);
    return redis->child != NULL ? 0 : -1;
}

struct private_redis *private_redis_start(struct loop *loop, const char *data_dir,
    void (*on_exit)(void *owner, int status), void *owner, struct err *err)
{
    if (!in_path("redis-server")) {
        err_set(err, ERR_NOT_FOUND,
            "redis-server is not installed: install it (apt-get install redis-server) or give the "
            "address of one with --redis");
        return NULL;
    }
    struct private_redis *redis = xcalloc(1, sizeof *redis);
    redis->lock_fd = -1;
    redis->on_exit = on_exit;
    redis->owner = owner;
    redis->dir = xasprintf("%s/redis", data_dir);
    if (dir_make(redis->dir, 0700, err) != 0 || end_leftover(redis->dir, err) != 0 ||
        lock_folder(redis, err) != 0 || choose_socket(redis, err) != 0) {
        goto failed;
    }
    (void)unlink(redis->socket_path);
    if (spawn(redis, loop, err) != 0) {
        err_wrap(err, "start redis-server");
        goto failed;
    }
    redis->url = xasprintf("unix:%s", redis->socket_path);
    LOG_INFO("private redis-server started", "pid=%d dir=%s", (int)child_pid(redis->child),
        LOG_Q(redis->dir));
    return redis;
failed:
    private_redis_free(redis);
    return NULL;
}

const char *private_redis_url(const struct private_redis *redis)
{
    return redis->url;
}

void private_redis_stop(struct private_redis *redis)
{
    if (redis == NULL) {
        return;
    }
    if (redis->child != NULL) {
        pid_t pid = child_pid(redis->child);
        child_forget(redis->child);
        (void)kill(pid, SIGTERM);
        if (!wait_gone(pid, STOP_WAIT_MS)) {
            LOG_WARN("private redis-server does not end; killing it", "pid=%d", (int)pid);
            (void)kill(pid, SIGKILL);
        }
        (void)waitpid(pid, NULL, 0);
    }
    private_redis_free(redis);
}
