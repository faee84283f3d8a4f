/* SPDX-License-Identifier: Apache-2.0 */
/* Making, filling, sharing and throwing away Python environments. */
#include "launch/venv.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/util.h"
#include "launch/command.h"
#include "launch/expand.h"
#include "launch/order.h"
#include "launch/output.h"
#include "launch/tree.h"

enum { KEEP = 32, LOCK_POLL_MS = 100, NAME_LEN = 32 };

/* --- recognising --- */

static bool is_shell(const char *name)
{
    const char *base = strrchr(name, '/');
    base = base != NULL ? base + 1 : name;
    return strcmp(base, "sh") == 0 || strcmp(base, "bash") == 0;
}

/* Ends in && "$0" "$@", so what is before it is only preparation. */
static bool runs_the_rest(const char *script)
{
    size_t len = strlen(script);
    while (len > 0 && isspace((unsigned char)script[len - 1])) {
        len--;
    }
    static const char ending[] = "&& \"$0\" \"$@\"";
    size_t ending_len = sizeof ending - 1;
    return len > ending_len && memcmp(script + len - ending_len, ending, ending_len) == 0;
}

enum venv_kind venv_kind_of(char *const *argv, size_t argc)
{
    bool has_pip = false;
    for (size_t i = 0; i < argc; i++) {
        has_pip |=
            strstr(argv[i], "pip install") != NULL || strstr(argv[i], "pip3 install") != NULL;
        if (i + 1 < argc && strcmp(argv[i + 1], "install") == 0) {
            has_pip |= str_ends(argv[i], "pip") || str_ends(argv[i], "pip3");
        }
    }
    if (!has_pip) {
        return VENV_KIND_NONE;
    }
    /* A script that makes its own environment, or leaves variables behind for the rest, cannot be
     * split in two. */
    bool is_wrapper = argc > 3 && is_shell(argv[0]) && strcmp(argv[1], "-c") == 0 &&
                      strstr(argv[2], "pip install") != NULL && runs_the_rest(argv[2]) &&
                      strstr(argv[2], "venv") == NULL && strstr(argv[2], "export ") == NULL;
    return is_wrapper ? VENV_KIND_CACHED : VENV_KIND_PRIVATE;
}

/* --- environment --- */

static void env_add(char ***env, size_t *len, char *entry)
{
    *env = xreallocarray(*env, *len + 2, sizeof **env);
    (*env)[(*len)++] = entry;
    (*env)[*len] = NULL;
}

/* base with the environment in `dir` switched on. */
static char **env_with(char *const *base, const char *dir, const char *cache)
{
    char **env = NULL;
    size_t len = 0;
    const char *path = env_find(base, "PATH", 4);
    bool has_cache = cache != NULL && env_find(base, "PIP_CACHE_DIR", 13) == NULL;
    for (; *base != NULL; base++) {
        if (!str_starts(*base, "PATH=") && !str_starts(*base, "VIRTUAL_ENV=") &&
            !str_starts(*base, "PYTHONHOME=")) {
            env_add(&env, &len, xstrdup(*base));
        }
    }
    env_add(&env, &len, xasprintf("PATH=%s/bin:%s", dir, path != NULL ? path : "/usr/bin:/bin"));
    env_add(&env, &len, xasprintf("VIRTUAL_ENV=%s", dir));
    if (has_cache) {
        env_add(&env, &len, xasprintf("PIP_CACHE_DIR=%s", cache));
    }
    return env;
}

static void env_free(char **env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        free(env[i]);
    }
    free(env);
}

/* --- making --- */

static int fail(struct command_result *out, int code, const char *text)
{
    out->end = COMMAND_END_NOT_STARTED;
    out->exit_code = code;
    snprintf(out->reason, sizeof out->reason, "%s", text);
    return -1;
}

static int run(const struct command *base, char *const *argv, char *const *env, const char *what,
    struct command_result *out)
{
    struct command c = *base;
    c.argv = argv;
    c.env = env;
    command_run(&c, out);
    if (out->end == COMMAND_END_EXITED && out->exit_code != 0) {
        char reason[sizeof out->reason];
        snprintf(reason, sizeof reason, "%s failed with exit code %d; its messages are in the log",
            what, out->exit_code);
        memcpy(out->reason, reason, sizeof reason);
    }
    return out->end == COMMAND_END_EXITED && out->exit_code == 0 ? 0 : -1;
}

static int make(
    const struct command *base, char *const *env, const char *dir, struct command_result *out)
{
    char *argv[] = {(char *)"python3", (char *)"-m", (char *)"venv", (char *)dir, NULL};
    return run(base, argv, env, "making a Python environment (python3 -m venv)", out);
}

/* Which Python would run? Its file changes when it is upgraded. */
static int python_identity(char *const *env, char *out, size_t size, struct command_result *result)
{
    const char *path = env_find(env, "PATH", 4);
    for (const char *p = path != NULL ? path : ""; *p != '\0'; p += *p == ':' ? 1 : 0) {
        size_t len = strcspn(p, ":");
        CLEANUP(cleanup_free) char *file = xasprintf("%.*s/python3", (int)len, p);
        CLEANUP(cleanup_free) char *real = realpath(file, NULL);
        struct stat st;
        if (real != NULL && access(real, X_OK) == 0 && stat(real, &st) == 0) {
            snprintf(out, size, "%s %lld %lld.%ld", real, (long long)st.st_size,
                (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
            return 0;
        }
        p += len;
    }
    return fail(result, 127, "the step needs Python packages, and python3 was not found in PATH");
}

/* --- sharing --- */

static int lock(const struct command *base, int fd, int how, struct command_result *out)
{
    bool is_told = false;
    while (flock(fd, how | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return fail(out, -1, "the Python environment cannot be locked");
        }
        if (!is_told) {
            output_note(base->output, "waiting for another step to install the same packages");
            is_told = true;
        }
        if (signals_wait(base->signals, LOCK_POLL_MS)) {
            fail(out, -1, "it was told to stop");
            out->end = COMMAND_END_STOPPED;
            return -1;
        }
        if (base->deadline_us > 0 && clock_mono_us() >= base->deadline_us) {
            fail(out, -1, "the time limit was reached");
            out->end = COMMAND_END_TIMED_OUT;
            return -1;
        }
    }
    return 0;
}

struct used {
    char name[NAME_LEN + 1];
    int64_t at_ns;
};

static int older_first(const void *a, const void *b)
{
    int64_t x = ((const struct used *)a)->at_ns, y = ((const struct used *)b)->at_ns;
    return x < y ? -1 : x > y;
}

/* Remove one unless somebody uses it. Its lock file stays: a name is a name. */
static void prune_one(const char *dir, const char *name)
{
    CLEANUP(cleanup_free) char *lock_path = xasprintf("%s/%s.lock", dir, name);
    CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", dir, name);
    CLEANUP(cleanup_fd) int fd = open(lock_path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        CLEANUP(cleanup_free) char *ready = xasprintf("%s/.ready", path);
        unlink(ready); /* first, so that half of it is never taken for the whole */
        tree_remove(path);
    }
}

/* Keep the most recently used ones. */
static void prune(const char *dir)
{
    DIR *d = opendir(dir);
    struct used *list = NULL;
    size_t len = 0;
    struct dirent *entry;
    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (strlen(entry->d_name) != NAME_LEN) {
            continue;
        }
        CLEANUP(cleanup_free) char *ready = xasprintf("%s/%s/.ready", dir, entry->d_name);
        struct stat st;
        list = xreallocarray(list, len + 1, sizeof *list);
        memcpy(list[len].name, entry->d_name, NAME_LEN + 1);
        list[len++].at_ns = stat(ready, &st) != 0
                                ? 0
                                : (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
    if (d != NULL) {
        closedir(d);
    }
    if (len > KEEP) {
        qsort(list, len, sizeof *list, older_first);
        for (size_t i = 0; i < len - KEEP; i++) {
            prune_one(dir, list[i].name);
        }
    }
    free(list);
}

/* Make it and run the installing part of the wrapper: the rest is "true". */
static int install(const struct order *order, const struct command *base, const char *path,
    char *const *env, struct command_result *out)
{
    output_note(base->output, "installing the step's Python packages (once for all its runs)");
    tree_remove(path); /* an installation that was cut off */
    if (make(base, order->env, path, out) != 0) {
        return -1;
    }
    char *argv[] = {order->argv[0], (char *)"-c", order->argv[2], (char *)"true", NULL};
    if (run(base, argv, env, "installing Python packages (pip)", out) != 0) {
        tree_remove(path);
        return -1;
    }
    CLEANUP(cleanup_free) char *ready = xasprintf("%s/.ready", path);
    struct err err = ERR_INIT;
    if (file_write_atomic(ready, "", 0, 0644, &err) != 0) {
        return fail(out, -1, err.msg);
    }
    return 0;
}

static int prepare_cached(const struct order *order, const struct command *base, struct venv *out,
    struct command_result *result)
{
    char python[PATH_MAX + 128], hex[SHA256_HEX_LEN + 1];
    if (python_identity(order->env, python, sizeof python, result) != 0) {
        return -1;
    }
    CLEANUP(cleanup_free) char *key = xasprintf("1\n%s\n%s", python, order->argv[2]);
    sha256_hex(key, strlen(key), hex);
    hex[NAME_LEN] = '\0';
    CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", order->venv_dir, hex);
    CLEANUP(cleanup_free) char *lock_path = xasprintf("%s.lock", path);
    CLEANUP(cleanup_free) char *ready = xasprintf("%s/.ready", path);
    struct err err = ERR_INIT;
    if (dir_make(order->venv_dir, 0755, &err) != 0) {
        return fail(result, -1, err.msg);
    }
    out->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (out->lock_fd < 0) {
        return fail(result, -1, "the lock file of the Python environment cannot be opened");
    }
    out->env = env_with(order->env, path, order->venv_cache);
    out->skip = 3;
    bool is_new = false;
    for (;;) {
        if (lock(base, out->lock_fd, LOCK_SH, result) != 0) {
            return -1;
        }
        if (access(ready, F_OK) == 0) {
            break;
        }
        /* Between the two locks another step may do the work: look again once it is ours. */
        if (lock(base, out->lock_fd, LOCK_EX, result) != 0) {
            return -1;
        }
        if (access(ready, F_OK) != 0) {
            if (install(order, base, path, out->env, result) != 0) {
                return -1;
            }
            is_new = true;
        }
    }
    utimensat(AT_FDCWD, ready, NULL, 0);
    if (is_new) {
        prune(order->venv_dir);
    }
    return 0;
}

int venv_prepare(const struct order *order, const struct command *base, struct venv *out,
    struct command_result *result)
{
    *out = (struct venv){.lock_fd = -1};
    memset(result, 0, sizeof *result);
    switch (order->venv_dir != NULL ? venv_kind_of(order->argv, order->argc) : VENV_KIND_NONE) {
    case VENV_KIND_CACHED:
        return prepare_cached(order, base, out, result);
    case VENV_KIND_PRIVATE:
        out->env = env_with(order->env, order->venv_private, order->venv_cache);
        return make(base, order->env, order->venv_private, result);
    case VENV_KIND_NONE:
        break;
    }
    return 0;
}

void venv_done(struct venv *venv)
{
    env_free(venv->env);
    cleanup_fd(&venv->lock_fd);
    *venv = (struct venv){.lock_fd = -1};
}
