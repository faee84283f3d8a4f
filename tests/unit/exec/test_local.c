/* SPDX-License-Identifier: Apache-2.0 */
/* The local executor with the real launcher: ends of all kinds, restarts, lost attempts. */
#include "scheduler/exec.h"

#include <setjmp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/util.h"
#include "exec/local.h"
#include "scheduler/artifact.h"
#include "tests/support/temp_dir.h"

struct fixture {
    struct temp_dir dir;
    struct loop *loop;
    struct artifact_store *store;
    struct executor exec;
    struct local_settings settings;
    struct id run, task;
    struct attempt_name name;
    /* what the listener was told */
    int running, done;
    enum attempt_state state;
    int exit_code;
    char reason[1024], tail[16384];
    json_t *report;
};

static void on_running(void *owner, const struct attempt_name *name)
{
    struct fixture *f = owner;
    assert_string_equal(name->run_id, f->run.text);
    f->running++;
}

static void on_done(
    void *owner, const struct attempt_name *name, const struct attempt_result *result)
{
    struct fixture *f = owner;
    assert_string_equal(name->task_id, f->task.text);
    f->done++;
    f->state = result->state;
    f->exit_code = result->exit_code;
    snprintf(f->reason, sizeof f->reason, "%s", result->reason);
    snprintf(f->tail, sizeof f->tail, "%s", result->log_tail);
    json_decref(f->report);
    f->report = result->report != NULL ? json_deep_copy(result->report) : NULL;
    assert_int_equal(f->report != NULL, result->state == ATTEMPT_STATE_SUCCEEDED);
}

static void open_executor(struct fixture *f)
{
    struct err err = ERR_INIT;
    struct executor_listener listener = {on_running, on_done, f};
    if (executor_local_new(f->loop, &f->settings, &f->exec, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    f->exec.ops->listen(f->exec.self, &listener);
}

/* As a new daemon does it after the old one was killed: nothing is told to the launchers. */
static void restart(struct fixture *f)
{
    f->exec.ops->free(f->exec.self);
    open_executor(f);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err err = ERR_INIT;
    temp_dir_init(&f->dir);
    f->loop = loop_new(&err);
    f->store = artifact_store_new(temp_path(&f->dir, "artifacts"), &err);
    f->settings = (struct local_settings){
        .data_dir = f->dir.path,
        .launcher = LAUNCHER,
        .artifacts = f->store,
        .log_max_bytes = 1 << 20,
        .cancel_grace_ms = 1000,
    };
    id_new(&f->run);
    id_derive(&f->task, f->run.text, "t");
    f->name = (struct attempt_name){f->run.text, f->task.text, 0};
    open_executor(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->exec.ops->free(f->exec.self);
    artifact_store_free(f->store);
    loop_free(f->loop);
    json_decref(f->report);
    temp_dir_done(&f->dir);
    free(f);
    return 0;
}

static void turn(struct fixture *f)
{
    loop_turn(f->loop, false);
    usleep(2000);
}

static void wait_done(struct fixture *f)
{
    int64_t until = clock_mono_us() + 60 * US_PER_S;
    while (f->done == 0 && clock_mono_us() < until) {
        turn(f);
    }
    assert_int_equal(f->done, 1);
}

static void wait_file(struct fixture *f, const char *name)
{
    int64_t until = clock_mono_us() + 60 * US_PER_S;
    while (!temp_exists(&f->dir, name) && clock_mono_us() < until) {
        turn(f);
    }
    assert_true(temp_exists(&f->dir, name));
}

/* "work/<run>/<task>/0/<rest>" */
static const char *in_attempt(const struct fixture *f, const char *rest)
{
    static char out[4][512];
    static unsigned next;
    char *text = out[next++ % 4];
    snprintf(
        text, sizeof out[0], "work/%s/%s/%d/%s", f->run.text, f->task.text, f->name.attempt, rest);
    return text;
}

static json_t *order_of(const struct fixture *f, const char *script)
{
    struct buf work;
    buf_init(&work, 4096);
    f->exec.ops->work_dir(f->exec.self, &f->name, &work);
    json_t *order = json_pack("{s:i,s:s,s:s,s:i,s:[s,s,s],s:{s:s},s:s,s:[],s:[],s:[],s:i,s:i}", "v",
        1, "run_id", f->run.text, "task_id", f->task.text, "attempt", 0, "argv", "sh", "-c", script,
        "env", "D", f->dir.path, "work_dir", buf_str(&work), "inputs", "outputs", "output_params",
        "timeout_s", 0, "max_param_bytes", 1000);
    buf_done(&work);
    assert_non_null(order);
    return order;
}

static void start_order(struct fixture *f, json_t *order)
{
    f->done = 0;
    f->exec.ops->start(f->exec.self, &f->name, order, NULL);
    assert_int_equal(f->done, 0); /* never inside start */
    json_decref(order);
}

static void start(struct fixture *f, const char *script)
{
    start_order(f, order_of(f, script));
}

static int64_t read_number(struct fixture *f, const char *name)
{
    CLEANUP(cleanup_free) char *text = temp_read(&f->dir, name);
    assert_non_null(text);
    return strtol(text, NULL, 10);
}

static bool is_alive(pid_t pid)
{
    CLEANUP(cleanup_free) char *path = xasprintf("/proc/%d/stat", (int)pid);
    struct err err;
    CLEANUP(cleanup_free) char *stat = file_read(path, 4096, NULL, &err);
    return stat != NULL && strstr(stat, ") Z ") == NULL;
}

static pid_t launcher_pid(struct fixture *f)
{
    return (pid_t)read_number(f, in_attempt(f, "lock"));
}

/* --- plain ends --- */

static void test_ends(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *script;
        enum attempt_state state;
        int exit_code;
        const char *reason, *tail;
    } rows[] = {
        {"good", "echo out; echo err >&2", ATTEMPT_STATE_SUCCEEDED, 0, "", "out\nerr\n"},
        {"silent", "true", ATTEMPT_STATE_SUCCEEDED, 0, "", ""},
        {"exit code", "echo why; exit 3", ATTEMPT_STATE_FAILED, 3, "exit code 3", "why\n"},
        {"signal", "kill -9 $$$$", ATTEMPT_STATE_FAILED, 137, "SIGKILL", ""},
        {"own SIGTERM", "kill -15 $$$$; sleep 5", ATTEMPT_STATE_FAILED, 143, "SIGTERM", ""},
        {"not UTF-8", "printf 'a\\377b'", ATTEMPT_STATE_SUCCEEDED, 0, "",
            "a\xef\xbf\xbd"
            "b"},
        {"reads stdin", "cat; echo end", ATTEMPT_STATE_SUCCEEDED, 0, "", "end\n"},
        {"closes its output", "exec >&- 2>&-; sleep 0.2", ATTEMPT_STATE_SUCCEEDED, 0, "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        f->name.attempt = (int)i;
        f->running = 0;
        start(f, rows[i].script);
        wait_done(f);
        assert_int_equal(f->state, rows[i].state);
        assert_int_equal(f->exit_code, rows[i].exit_code);
        assert_non_null(strstr(f->reason, rows[i].reason));
        assert_int_equal(strncmp(f->tail, rows[i].tail, strlen(rows[i].tail)), 0);
        assert_int_equal(f->running, 1);
    }
}

static void test_not_found(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *argv0;
        int exit_code;
        const char *reason;
    } rows[] = {
        {"not in PATH", "no-such-command", 127, "not found"},
        {"no such file", "/no/such", 127, "is not there"},
        {"a folder", "/tmp", 126, "Permission denied"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        f->name.attempt = (int)i;
        json_t *order = order_of(f, "");
        json_object_set_new(order, "argv", json_pack("[s]", rows[i].argv0));
        start_order(f, order);
        wait_done(f);
        print_message("  %s: %s\n", rows[i].name, f->reason);
        assert_int_equal(f->state, ATTEMPT_STATE_FAILED);
        assert_int_equal(f->exit_code, rows[i].exit_code);
        assert_non_null(strstr(f->reason, rows[i].reason));
    }
}

static void test_time_limit(void **state)
{
    struct fixture *f = *state;
    json_t *order = order_of(f, "trap '' TERM; sleep 60 & echo $! > $D/pid; wait; sleep 60");
    json_object_set_new(order, "timeout_s", json_integer(1));
    int64_t begun = clock_mono_us();
    start_order(f, order);
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_FAILED);
    assert_non_null(strstr(f->reason, "it ran longer than 1 s"));
    assert_true(clock_mono_us() - begun < 50 * US_PER_S);
    assert_false(is_alive((pid_t)read_number(f, "pid")));
}

static void test_grandchild_holds_pipe(void **state)
{
    struct fixture *f = *state;
    int64_t begun = clock_mono_us();
    start(f, "(setsid sleep 60 & echo $! > $D/pid); echo done");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_SUCCEEDED);
    assert_string_equal(f->tail, "done\n");
    assert_true(clock_mono_us() - begun < 50 * US_PER_S);
    assert_false(is_alive((pid_t)read_number(f, "pid")));
}

static void test_late_output_is_kept(void **state)
{
    struct fixture *f = *state;
    start(f, "(sleep 0.3; echo late) & echo early");
    wait_done(f);
    assert_string_equal(f->tail, "early\nlate\n");
}

static void test_huge_output(void **state)
{
    struct fixture *f = *state;
    start(f, "head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo the end");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_SUCCEEDED);
    assert_true(str_ends(f->tail, "\nthe end\n"));
    assert_true(strlen(f->tail) <= 8192);
    CLEANUP(cleanup_free) char *log = temp_read(&f->dir, in_attempt(f, "output.log"));
    assert_true(strlen(log) < (1 << 20) + 1000);
    assert_non_null(strstr(log, "the rest is not kept"));
}

/* --- outputs --- */

static void add_output_param(json_t *order, const char *name, const char *path)
{
    json_array_append_new(json_object_get(order, "output_params"),
        json_pack("{s:s,s:s}", "name", name, "path", path));
}

static void test_outputs(void **state)
{
    struct fixture *f = *state;
    struct buf uri, path;
    buf_init(&uri, 4096);
    buf_init(&path, 4096);
    artifact_uri(f->store, NULL, "p", "r", "t", "u", "m", &uri);
    f->exec.ops->artifact_path(f->exec.self, &f->name, buf_str(&uri), &path);
    assert_true(str_starts(buf_str(&path), temp_path(&f->dir, "artifacts/p/r/t/u/m")));
    CLEANUP(cleanup_free)
    char *script = xasprintf(
        "echo -n 42 > $D/params/x; echo '{}' > $D/out/o.json; echo -n hello > %s; pwd > $D/cwd; "
        "env > $D/env",
        buf_str(&path));
    json_t *order = order_of(f, script);
    add_output_param(order, "x", temp_path(&f->dir, "params/x"));
    add_output_param(order, "absent", temp_path(&f->dir, "params/absent"));
    json_object_set_new(order, "output_file", json_string(temp_path(&f->dir, "out/o.json")));
    json_array_append_new(json_object_get(order, "outputs"),
        json_pack("{s:s,s:s,s:s}", "name", "m", "uri", buf_str(&uri), "path", buf_str(&path)));
    setenv("RONDO_SECRET_FOR_TEST", "hidden", 1);
    start_order(f, order);
    wait_done(f);
    unsetenv("RONDO_SECRET_FOR_TEST");
    assert_int_equal(f->state, ATTEMPT_STATE_SUCCEEDED);
    const json_t *params = json_object_get(f->report, "params");
    assert_string_equal(jget_str(params, "x", ""), "42");
    assert_null(json_object_get(params, "absent"));
    assert_string_equal(jget_str(f->report, "output_file", ""), "{}\n");
    const json_t *m = json_object_get(json_object_get(f->report, "artifacts"), "m");
    assert_true(jget_bool(m, "exists", false));
    assert_int_equal(jget_i64(m, "size", 0), 5);
    assert_string_equal(jget_str(m, "digest", ""),
        "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    CLEANUP(cleanup_free) char *cwd = temp_read(&f->dir, "cwd");
    assert_true(str_starts(cwd, temp_path(&f->dir, in_attempt(f, "work"))));
    CLEANUP(cleanup_free) char *env = temp_read(&f->dir, "env");
    assert_null(strstr(env, "hidden"));
    assert_non_null(strstr(env, "PIP_REQUIRE_VIRTUALENV=1"));
    buf_done(&uri);
    buf_done(&path);
}

static void test_output_too_large(void **state)
{
    struct fixture *f = *state;
    json_t *order = order_of(f, "head -c 2000 /dev/zero | tr '\\0' x > $D/big");
    add_output_param(order, "big", temp_path(&f->dir, "big"));
    start_order(f, order);
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_FAILED);
    assert_int_equal(f->exit_code, 0);
    assert_non_null(strstr(f->reason, "output parameter 'big'"));
    assert_non_null(strstr(f->reason, "1000"));
    f->name.attempt = 1;
    order = order_of(f, "printf '\\377' > $D/raw");
    add_output_param(order, "raw", temp_path(&f->dir, "raw"));
    start_order(f, order);
    wait_done(f);
    assert_non_null(strstr(f->reason, "not UTF-8"));
}

/* --- cancel --- */

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *script;
    } rows[] = {
        {"obedient", "touch $D/up; sleep 60"},
        {"deaf", "trap '' TERM; touch $D/up; while :; do sleep 1; done"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        f->name.attempt = (int)i;
        unlink(temp_path(&f->dir, "up"));
        start(f, rows[i].script);
        wait_file(f, "up");
        int64_t begun = clock_mono_us();
        f->exec.ops->cancel(f->exec.self, &f->name);
        f->exec.ops->cancel(f->exec.self, &f->name);
        wait_done(f);
        assert_int_equal(f->state, ATTEMPT_STATE_CANCELED);
        assert_true(clock_mono_us() - begun < 50 * US_PER_S);
    }
    /* Before anything could happen, and of what is not there. */
    f->name.attempt = 7;
    start(f, "sleep 60");
    f->exec.ops->cancel(f->exec.self, &f->name);
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_CANCELED);
    f->exec.ops->cancel(f->exec.self, &f->name);
}

static void test_stopped_by_others_is_lost(void **state)
{
    struct fixture *f = *state;
    start(f, "touch $D/up; sleep 60");
    wait_file(f, "up");
    kill(launcher_pid(f), SIGTERM);
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_LOST);
}

/* --- lost, and found again --- */

static void test_launcher_killed(void **state)
{
    struct fixture *f = *state;
    start(f, "echo hello; echo $$$$ > $D/pid1; (env -i sleep 60 & echo $! > $D/pid2; setsid sleep "
             "60 & echo $! > $D/pid3); touch $D/up; sleep 60");
    wait_file(f, "up");
    kill(launcher_pid(f), SIGKILL);
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_LOST);
    assert_int_equal(f->exit_code, -1);
    assert_string_equal(f->tail, "hello\n");
    assert_false(is_alive((pid_t)read_number(f, "pid1")));
    assert_false(is_alive((pid_t)read_number(f, "pid2")));
    assert_false(is_alive((pid_t)read_number(f, "pid3")));
}

/* Its mounts go with its last process, its emptyDir with its folder, what it put into a claim
 * stays. */
static void test_killed_with_volumes(void **state)
{
    struct fixture *f = *state;
    json_t *container = json_pack("{s:{s:[{s:s,s:{}},{s:s,s:{s:s}}],s:[{s:s,s:s},{s:s,s:s}]}}",
        "pod", "volumes", "name", "e", "emptyDir", "name", "p", "persistentVolumeClaim",
        "claimName", "claim", "volumeMounts", "name", "e", "mountPath", "/rondo-test-killed/e",
        "name", "p", "mountPath", "/rondo-test-killed/p");
    temp_write(&f->dir, "volumes/claim/before", "x");
    json_t *order = order_of(f,
        "echo a > $RONDO_MOUNT_1/a && echo b > $RONDO_MOUNT_2/b && echo $RONDO_MOUNT_1 > $D/where "
        "&& touch $D/up; sleep 60");
    f->exec.ops->start(f->exec.self, &f->name, order, container);
    json_decref(order);
    json_decref(container);
    wait_file(f, "up");
    CLEANUP(cleanup_free) char *where = temp_read(&f->dir, "where");
    where[strcspn(where, "\n")] = '\0';
    assert_int_equal(access(where, F_OK), 0);
    kill(launcher_pid(f), SIGKILL);
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_LOST);
    f->exec.ops->forget(f->exec.self, &f->name);
    assert_int_not_equal(access(where, F_OK), 0);
    assert_true(temp_exists(&f->dir, "volumes/claim/before"));
    assert_true(temp_exists(&f->dir, "volumes/claim/b"));
    assert_int_not_equal(access("/rondo-test-killed", F_OK), 0);
}

static void test_killed_while_daemon_was_away(void **state)
{
    struct fixture *f = *state;
    start(f, "trap '' TERM HUP; (setsid sleep 60 & echo $! > $D/pid); touch $D/up; sleep 60");
    wait_file(f, "up");
    pid_t pid = launcher_pid(f);
    f->exec.ops->free(f->exec.self);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    open_executor(f);
    start(f, "echo must not run > $D/twice");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_LOST);
    assert_false(temp_exists(&f->dir, "twice"));
    assert_false(is_alive((pid_t)read_number(f, "pid")));
    /* And again after that: still lost, still nothing run. */
    start(f, "echo must not run > $D/twice");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_LOST);
    assert_false(temp_exists(&f->dir, "twice"));
}

static void test_adopted(void **state)
{
    struct fixture *f = *state;
    start(
        f, "touch $D/up; while [ ! -e $D/go ]; do sleep 0.05; done; echo once >> $D/count; exit 5");
    wait_file(f, "up");
    restart(f);
    f->running = 0;
    start(f, "echo twice >> $D/count");
    for (int i = 0; i < 50; i++) {
        turn(f);
    }
    assert_int_equal(f->running, 1);
    assert_int_equal(f->done, 0);
    temp_write(&f->dir, "go", "");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_FAILED);
    assert_int_equal(f->exit_code, 5);
    CLEANUP(cleanup_free) char *count = temp_read(&f->dir, "count");
    assert_string_equal(count, "once\n");
}

static void test_adopted_and_canceled(void **state)
{
    struct fixture *f = *state;
    start(f, "touch $D/up; sleep 60");
    wait_file(f, "up");
    restart(f);
    start(f, "true");
    f->exec.ops->cancel(f->exec.self, &f->name);
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_CANCELED);
}

static void test_ended_while_daemon_was_away(void **state)
{
    struct fixture *f = *state;
    start(f, "echo once >> $D/count");
    f->exec.ops->free(f->exec.self);
    wait_file(f, in_attempt(f, "report.json"));
    open_executor(f);
    start(f, "echo twice >> $D/count");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_SUCCEEDED);
    CLEANUP(cleanup_free) char *count = temp_read(&f->dir, "count");
    assert_string_equal(count, "once\n");
    /* Not forgotten yet, so it can be asked for again. */
    start(f, "echo twice >> $D/count");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_SUCCEEDED);
}

static void test_restart_right_after_spawn(void **state)
{
    struct fixture *f = *state;
    /* The launcher may not even have written who it is. */
    for (int i = 0; i < 20; i++) {
        f->name.attempt = i;
        start(f, "echo x >> $D/count; sleep 0.05");
        restart(f);
        start(f, "echo x >> $D/count; sleep 0.05");
        wait_done(f);
        assert_int_equal(f->state, ATTEMPT_STATE_SUCCEEDED);
    }
    CLEANUP(cleanup_free) char *count = temp_read(&f->dir, "count");
    assert_int_equal(strlen(count), 40);
}

static void test_started_twice(void **state)
{
    struct fixture *f = *state;
    start(f, "echo x >> $D/count");
    start(f, "echo x >> $D/count");
    wait_done(f);
    for (int i = 0; i < 50; i++) {
        turn(f);
    }
    assert_int_equal(f->done, 1);
    CLEANUP(cleanup_free) char *count = temp_read(&f->dir, "count");
    assert_string_equal(count, "x\n");
}

static void test_daemon_died_before_spawn(void **state)
{
    struct fixture *f = *state;
    temp_write(&f->dir, in_attempt(f, "lock"), "");
    temp_write(&f->dir, in_attempt(f, "order.json"), "{half of");
    start(f, "exit 4");
    wait_done(f);
    assert_int_equal(f->exit_code, 4);
}

static void test_foreign_lock_owner(void **state)
{
    struct fixture *f = *state;
    /* From before a reboot, and the number belongs to us now: nobody may be killed. */
    CLEANUP(cleanup_free)
    char *text = xasprintf("%d 12345 00000000-0000-0000-0000-000000000000 pid:[1]", (int)getppid());
    temp_write(&f->dir, in_attempt(f, "lock"), text);
    start(f, "echo must not run > $D/twice");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_LOST);
    assert_false(temp_exists(&f->dir, "twice"));
}

static void test_broken_report(void **state)
{
    struct fixture *f = *state;
    static const char *const texts[] = {"", "{", "[]", "{\"v\": 99}"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        f->name.attempt = (int)i;
        temp_write(&f->dir, in_attempt(f, "report.json"), texts[i]);
        start(f, "true");
        wait_done(f);
        assert_int_equal(f->state, ATTEMPT_STATE_LOST);
        assert_true(f->reason[0] != '\0');
    }
}

static void test_launcher_missing(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    struct executor other;
    f->settings.launcher = temp_path(&f->dir, "none");
    assert_int_equal(executor_local_new(f->loop, &f->settings, &other, &err), -1);
    assert_non_null(strstr(err.msg, "--launcher"));
    /* Gone later. */
    CLEANUP(cleanup_free) char *command = xasprintf("cp %s %s/l", LAUNCHER, f->dir.path);
    assert_int_equal(system(command), 0);
    f->settings.launcher = temp_path(&f->dir, "l");
    restart(f);
    unlink(temp_path(&f->dir, "l"));
    start(f, "true");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_LOST);
    assert_non_null(strstr(f->reason, "cannot start"));
}

static void test_kill_on_free(void **state)
{
    struct fixture *f = *state;
    f->settings.kill_on_free = true;
    restart(f);
    start(f, "trap '' TERM; (setsid sleep 60 & echo $! > $D/pid); touch $D/up; sleep 60");
    wait_file(f, "up");
    restart(f);
    assert_false(is_alive((pid_t)read_number(f, "pid")));
    start(f, "true");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_LOST);
}

/* --- logs and forgetting --- */

struct got_log {
    int calls;
    char text[64];
    enum err_code code;
};

static void on_log(void *owner, const char *text, size_t len, const struct err *err)
{
    struct got_log *got = owner;
    got->calls++;
    got->code = err != NULL ? err->code : ERR_NONE;
    snprintf(got->text, sizeof got->text, "%.*s", (int)len, text);
}

static struct got_log get_log(struct fixture *f, int64_t max)
{
    struct got_log got = {0};
    f->exec.ops->logs(f->exec.self, &f->name, max, on_log, &got);
    assert_int_equal(got.calls, 0);
    while (got.calls == 0) {
        turn(f);
    }
    return got;
}

static void test_logs_and_forget(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get_log(f, 100).code, ERR_NOT_FOUND);
    start(f, "echo 1234567; mkdir -p ro; touch ro/x; chmod 555 ro; while [ ! -e $D/go ]; do sleep "
             "0.05; done");
    while (get_log(f, 100).text[0] == '\0') {
        turn(f);
    }
    assert_string_equal(get_log(f, 100).text, "1234567\n");
    f->exec.ops->forget(f->exec.self, &f->name); /* not while it runs */
    temp_write(&f->dir, "go", "");
    wait_done(f);
    assert_int_equal(f->state, ATTEMPT_STATE_SUCCEEDED);
    assert_false(temp_exists(&f->dir, in_attempt(f, "work")));
    f->exec.ops->forget(f->exec.self, &f->name);
    CLEANUP(cleanup_free) char *run = xasprintf("work/%s", f->run.text);
    assert_false(temp_exists(&f->dir, run));
    assert_string_equal(get_log(f, 100).text, "1234567\n");
    assert_string_equal(get_log(f, 3).text, "67\n");
    f->exec.ops->forget(f->exec.self, &f->name); /* again is harmless */
    assert_string_equal(get_log(f, 100).text, "1234567\n");
    f->exec.ops->purge(f->exec.self, f->run.text);
    f->exec.ops->purge(f->exec.self, f->run.text);
    assert_int_equal(get_log(f, 100).code, ERR_NOT_FOUND);
}

static void test_sweep(void **state)
{
    struct fixture *f = *state;
    start(f, "echo old");
    wait_done(f);
    f->name.attempt = 1;
    start(f, "echo young");
    wait_done(f);
    f->name.attempt = 2;
    start(f, "sleep 60");
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    f->name.attempt = 0;
    utimensat(AT_FDCWD, temp_path(&f->dir, in_attempt(f, "report.json")), old, 0);
    f->name.attempt = 3; /* lost: there is no report */
    start(f, "echo lost");
    wait_done(f);
    unlink(temp_path(&f->dir, in_attempt(f, "report.json")));
    utimensat(AT_FDCWD, temp_path(&f->dir, in_attempt(f, "lock")), old, 0);
    local_sweep(f->exec.self);
    assert_false(temp_exists(&f->dir, in_attempt(f, "")));
    f->name.attempt = 0;
    assert_false(temp_exists(&f->dir, in_attempt(f, "")));
    assert_string_equal(get_log(f, 100).text, "old\n");
    f->name.attempt = 1;
    assert_true(temp_exists(&f->dir, in_attempt(f, "report.json")));
    f->name.attempt = 2;
    assert_true(temp_exists(&f->dir, in_attempt(f, "order.json")));
    f->exec.ops->cancel(f->exec.self, &f->name);
    wait_done(f);
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_ends),
        ROW(test_not_found),
        ROW(test_time_limit),
        ROW(test_grandchild_holds_pipe),
        ROW(test_late_output_is_kept),
        ROW(test_huge_output),
        ROW(test_outputs),
        ROW(test_output_too_large),
        ROW(test_cancel),
        ROW(test_stopped_by_others_is_lost),
        ROW(test_launcher_killed),
        ROW(test_killed_with_volumes),
        ROW(test_killed_while_daemon_was_away),
        ROW(test_adopted),
        ROW(test_adopted_and_canceled),
        ROW(test_ended_while_daemon_was_away),
        ROW(test_restart_right_after_spawn),
        ROW(test_started_twice),
        ROW(test_daemon_died_before_spawn),
        ROW(test_foreign_lock_owner),
        ROW(test_broken_report),
        ROW(test_launcher_missing),
        ROW(test_kill_on_free),
        ROW(test_logs_and_forget),
        ROW(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
