/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private redis-server for one test program: on a unix socket in a folder of its own, with the
 * append-only file synced at every write, so that kill -9 loses nothing that was answered.
 *
 *     struct redis_fixture redis;
 *     redis_fixture_start(&redis);   // waits until it answers; aborts the test program if not
 *     ... redis.url ...
 *     redis_fixture_stop(&redis);    // and removes everything
 */
#ifndef TESTS_REDIS_FIXTURE_H
#define TESTS_REDIS_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "base/util.h"

struct redis_fixture {
    char dir[64];
    char socket[96];
    char url[128];
    pid_t pid; /* 0: not running */
};

static inline void redis_fixture_pause(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static inline void redis_fixture_fail(const struct redis_fixture *r, const char *what)
{
    fprintf(stderr, "redis fixture: %s (see %s/redis.log)\n", what, r->dir);
    abort();
}

/* A blocking connection, for what a test wants to do behind the daemon's back. */
static inline redisContext *redis_fixture_connect(const struct redis_fixture *r)
{
    redisContext *c = redisConnectUnix(r->socket);
    if (c != NULL && c->err != 0) {
        redisFree(c);
        c = NULL;
    }
    return c;
}

/* One command whose answer is not needed, e.g. "FLUSHALL" or "SCRIPT FLUSH". */
static inline void redis_fixture_do(const struct redis_fixture *r, const char *command)
{
    redisContext *c = redis_fixture_connect(r);
    redisReply *reply = c != NULL ? (redisReply *)redisCommand(c, command) : NULL;
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        redis_fixture_fail(r, reply != NULL ? reply->str : command);
    }
    freeReplyObject(reply);
    redisFree(c);
}

static inline bool redis_fixture_answers(const struct redis_fixture *r)
{
    redisContext *c = redis_fixture_connect(r);
    if (c == NULL) {
        return false;
    }
    redisReply *reply = (redisReply *)redisCommand(c, "PING");
    bool is_up = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    redisFree(c);
    return is_up;
}

/* After redis_fixture_kill(): the same data, the same socket. */
static inline void redis_fixture_restart(struct redis_fixture *r)
{
    (void)unlink(r->socket);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves nothing behind */
        int log = open("/dev/null", O_RDWR);
        char path[160];
        snprintf(path, sizeof path, "%s/redis.log", r->dir);
        if (getppid() == parent && dup2(log, 0) == 0 && dup2(log, 1) == 1) {
            execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", r->socket,
                "--dir", r->dir, "--logfile", path, "--appendonly", "yes", "--appendfsync",
                "always", "--save", "", "--enable-debug-command", "yes", (char *)NULL);
        }
        _exit(127);
    }
    r->pid = pid;
    for (int i = 0; i < 1000; i++) {
        if (pid > 0 && redis_fixture_answers(r)) {
            return;
        }
        if (pid < 0 || waitpid(pid, NULL, WNOHANG) == pid) {
            r->pid = 0;
            redis_fixture_fail(r, "redis-server does not start; is it installed?");
        }
        redis_fixture_pause(10);
    }
    redis_fixture_fail(r, "redis-server does not answer");
}

static inline void redis_fixture_start(struct redis_fixture *r)
{
    *r = (struct redis_fixture){0};
    snprintf(r->dir, sizeof r->dir, "/tmp/rondo-redis-XXXXXX");
    if (mkdtemp(r->dir) == NULL) {
        redis_fixture_fail(r, "no temporary folder");
    }
    snprintf(r->socket, sizeof r->socket, "%s/s", r->dir);
    snprintf(r->url, sizeof r->url, "unix:%s", r->socket);
    redis_fixture_restart(r);
}

/* kill -9; what was answered is on disk. */
static inline void redis_fixture_kill(struct redis_fixture *r)
{
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        r->pid = 0;
    }
}

static inline void redis_fixture_stop(struct redis_fixture *r)
{
    redis_fixture_kill(r);
    if (dir_remove(r->dir, NULL) != 0) {
        fprintf(stderr, "redis fixture: cannot remove %s\n", r->dir);
    }
}

#endif
