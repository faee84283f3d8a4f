/* SPDX-License-Identifier: Apache-2.0 */
/* What the local executor adds to an order, and the environment that steps get. */
#include "exec/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "scheduler/artifact.h"

extern char **environ;

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/*
 * Steps are other people's programs: they do not get our environment, where passwords of Redis
 * and webhooks may be, but what a program needs to run at all and to reach the network.
 */
static const char *const passed_names[] = {"PATH", "TZ", "USER", "LOGNAME", "http_proxy",
    "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "LD_LIBRARY_PATH"};

static bool is_listed(const char *list, const char *name, size_t len)
{
    while (list != NULL && *list != '\0') {
        list += strspn(list, ", ");
        size_t n = strcspn(list, ", ");
        if (n == len && memcmp(list, name, len) == 0) {
            return true;
        }
        list += n;
    }
    return false;
}

static bool is_passed(const char *entry, const char *step_env)
{
    size_t len = strcspn(entry, "=");
    for (size_t i = 0; i < ARRAY_LEN(passed_names); i++) {
        if (strlen(passed_names[i]) == len && memcmp(passed_names[i], entry, len) == 0) {
            return true;
        }
    }
    /* pip's own settings: which index, which certificates. */
    return str_starts(entry, "PIP_") || is_listed(step_env, entry, len);
}

static void env_add(char ***env, size_t *len, char *entry)
{
    *env = xreallocarray(*env, *len + 2, sizeof **env);
    (*env)[(*len)++] = entry;
    (*env)[*len] = NULL;
}

char **local_env_base(const char *step_env)
{
    char **env = NULL;
    size_t len = 0;
    for (char **e = environ; *e != NULL; e++) {
        if (is_passed(*e, step_env)) {
            env_add(&env, &len, xstrdup(*e));
        }
    }
    if (getenv("PATH") == NULL) {
        env_add(&env, &len, xstrdup("PATH=" DEFAULT_PATH));
    }
    if (!is_listed(step_env, "LANG", 4) || getenv("LANG") == NULL) {
        env_add(&env, &len, xstrdup("LANG=C.UTF-8"));
    }
    /* A pip that is not in a virtual environment refuses, instead of changing this machine. */
    if (getenv("PIP_REQUIRE_VIRTUALENV") == NULL) {
        env_add(&env, &len, xstrdup("PIP_REQUIRE_VIRTUALENV=1"));
    }
    if (getenv("PIP_DISABLE_PIP_VERSION_CHECK") == NULL) {
        env_add(&env, &len, xstrdup("PIP_DISABLE_PIP_VERSION_CHECK=1"));
    }
    /* HOME becomes the step's own folder, so pip would not find the user's configuration. */
    const char *home = getenv("HOME");
    if (getenv("PIP_CONFIG_FILE") == NULL && home != NULL) {
        CLEANUP(cleanup_free) char *conf = xasprintf("%s/.config/pip/pip.conf", home);
        if (access(conf, R_OK) == 0) {
            env_add(&env, &len, xasprintf("PIP_CONFIG_FILE=%s", conf));
        }
    }
    return env;
}

char **local_env(const struct local_attempt *a)
{
    char **env = NULL;
    size_t len = 0;
    bool has_home = false;
    for (char **e = a->local->env; *e != NULL; e++) {
        env_add(&env, &len, xstrdup(*e));
        has_home |= str_starts(*e, "HOME=");
    }
    if (!has_home) {
        env_add(&env, &len, xasprintf("HOME=%s/work", a->dir));
    }
    env_add(&env, &len, xasprintf("TMPDIR=%s/tmp", a->dir));
    /* Inherited by all that the step starts: how they are found should the launcher vanish. */
    env_add(&env, &len, xasprintf("RONDO_ATTEMPT=%s", a->key));
    return env;
}

void local_env_free(char **env)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        free(env[i]);
    }
    free(env);
}

/* Not synced: after a power cut the step is gone as well and the order is written again. */
static int write_file(const char *path, const char *text, struct err *err)
{
    CLEANUP(cleanup_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t len = strlen(text);
    for (size_t done = 0; fd >= 0 && done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        if (n < 0 && errno != EINTR) {
            return err_errno(err, errno, "%s", path);
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return fd < 0 ? err_errno(err, errno, "%s", path) : 0;
}

static void add_path(json_t *list, const char *dir, const char *name)
{
    CLEANUP(cleanup_free) char *path = xasprintf("%s/%s", dir, name);
    json_array_append_new(list, json_string(path));
}

int local_write_order(const struct local_attempt *a, const json_t *order, struct err *err)
{
    const struct local *local = a->local;
    json_t *full = json_copy((json_t *)order);
    json_object_set_new(full, "transfer", json_false());
    if (local->root_path != NULL) {
        json_object_set_new(full, "artifact_root",
            json_pack("{s:s,s:s}", "uri", artifact_store_root(local->artifacts), "path",
                local->root_path));
    }
    json_object_set_new(full, "venv", local_venv(a));
    local_add_settings(a, full);
    json_object_set_new(full, "log_max_bytes", json_integer(local->log_max_bytes));
    json_object_set_new(full, "grace_s", json_integer((local->cancel_grace_ms + 999) / 1000));
    json_t *dirs = json_array();
    json_array_extend(dirs, json_object_get(order, "make_dirs"));
    add_path(dirs, a->dir, "tmp");
    json_object_set_new(full, "make_dirs", dirs);
    /* Large folders are removed by the launcher, whom nobody waits for. */
    json_t *cleanup = json_array();
    add_path(cleanup, a->dir, "work");
    add_path(cleanup, a->dir, "tmp");
    add_path(cleanup, a->dir, "venv");
    add_path(cleanup, a->dir, "artifacts");
    add_path(cleanup, a->dir, "volumes");
    add_path(cleanup, a->dir, "mnt");
    json_object_set_new(full, "cleanup", cleanup);
    /* Not sorted: the order of env matters to $(NAME). */
    char *text = json_dumps(full, JSON_COMPACT);
    json_decref(full);
    if (text == NULL) {
        return err_set(err, ERR_INVALID, "the work order is not UTF-8");
    }
    CLEANUP(cleanup_free) char *owned = text;
    CLEANUP(cleanup_free) char *path = xasprintf("%s/order.json", a->dir);
    return write_file(path, owned, err);
}
