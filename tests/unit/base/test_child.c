/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes: their end, their descriptors, their signals, and those that are not ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/child.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/util.h"

struct ended {
    int times;
    int status;
};

static void on_exit_of(void *owner, int status)
{
    struct ended *ended = owner;
    ended->times++;
    ended->status = status;
}

static struct loop *loop;

static void wait_for(struct ended *ended)
{
    while (ended->times == 0) {
        loop_turn(loop, true);
    }
    assert_int_equal(ended->times, 1);
}

/* Runs a shell command; its output is in `out`. Returns the wait status. */
static int run(const char *command, struct child_spec spec, char *out, size_t size)
{
    int fds[2];
    struct ended ended = {0};
    struct err err = ERR_INIT;
    const char *argv[] = {"sh", "-c", command, NULL};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    spec.argv = argv;
    spec.stdout_fd = fds[1];
    struct child *child = child_start(loop, &spec, on_exit_of, &ended, &err);
    assert_non_null(child);
    assert_true(child_pid(child) > 0);
    assert_int_equal(ended.times, 0);
    close(fds[1]);
    wait_for(&ended);
    size_t len = 0;
    for (ssize_t n; (n = read(fds[0], out + len, size - 1 - len)) > 0;) {
        len += (size_t)n;
    }
    out[len] = '\0';
    close(fds[0]);
    return ended.status;
}

static const struct child_spec quiet = {.stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};

static void the_status_is_that_of_waitpid(void **state)
{
    static const struct {
        const char *command;
        bool is_signal;
        int value;
    } rows[] = {
        {"exit 0", false, 0}, {"exit 7", false, 7}, {"kill -KILL $$", true, SIGKILL},
        {"kill -PIPE $$; exit 3", true, SIGPIPE}, /* which we ignore, and they must not */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[64];
        int status = run(rows[i].command, quiet, out, sizeof out);
        int value = rows[i].is_signal ? WTERMSIG(status) : WEXITSTATUS(status);
        if (WIFSIGNALED(status) != rows[i].is_signal || value != rows[i].value) {
            fail_msg("%s: status %d", rows[i].command, status);
        }
    }
}

static void surroundings_are_as_asked(void **state)
{
    (void)state;
    char out[256];
    struct child_spec spec = quiet;
    const char *const env[] = {"PATH=/usr/bin:/bin", "A=b c", NULL};
    spec.env = env;
    spec.cwd = "/usr";
    run("cat; pwd; echo \"$A$HOME\"", spec, out, sizeof out);
    assert_string_equal(out, "/usr\nb c\n"); /* standard input was empty */
    spec.new_session = true;
    run("test $(ps -o sid= -p $$) -eq $$ && echo leader", spec, out, sizeof out);
    assert_string_equal(out, "leader\n");
}

static void only_kept_descriptors_arrive(void **state)
{
    (void)state;
    char out[256];
    int low = open("/dev/null", O_RDONLY); /* inheritable: must not */
    int kept = fcntl(low, F_DUPFD_CLOEXEC, 40), high = fcntl(low, F_DUPFD, 50);
    int also = fcntl(low, F_DUPFD, 45);
    struct child_spec spec = quiet;
    int keep[] = {kept, also, -1};
    spec.keep_fds = keep;
    run("ls /proc/self/fd | tr '\\n' ' '", spec, out, sizeof out);
    char expected[64];
    /* ls itself opens one: the lowest free number. */
    snprintf(expected, sizeof expected, "0 1 2 3 %d %d ", kept, also);
    assert_string_equal(out, expected);
    spec.keep_fds = NULL;
    run("ls /proc/self/fd | tr '\\n' ' '", spec, out, sizeof out);
    assert_string_equal(out, "0 1 2 3 ");
    assert_true((fcntl(kept, F_GETFD) & FD_CLOEXEC) != 0); /* ours stays as it was */
    close(low);
    close(kept);
    close(also);
    close(high);
}

static void crossed_standard_streams_do_not_overwrite_each_other(void **state)
{
    (void)state;
    int fds[2], saved[3];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 60);
    }
    dup2(fds[1], 0); /* our own 0 is the pipe; the child wants it as 1 and /dev/null as 0 */
    const char *argv[] = {"echo", "crossed", NULL};
    struct child_spec spec = {.argv = argv, .stdin_fd = 1, .stdout_fd = 0, .stderr_fd = 2};
    struct ended ended = {0};
    struct child *child = child_start(loop, &spec, on_exit_of, &ended, NULL);
    dup2(saved[0], 0);
    assert_non_null(child);
    close(fds[1]);
    wait_for(&ended);
    char out[32] = "";
    assert_int_equal(read(fds[0], out, sizeof out - 1), 8);
    assert_string_equal(out, "crossed\n");
    close(fds[0]);
    for (int i = 0; i < 3; i++) {
        close(saved[i]);
    }
}

static void a_start_that_fails_says_what_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *program, *cwd;
        enum err_code code;
        const char *text;
    } rows[] = {
        {"/no/such/program", NULL, ERR_NOT_FOUND, "/no/such/program"},
        {"no-such-program-in-path", NULL, ERR_NOT_FOUND, "no-such-program-in-path"},
        {"true", "/no/such/folder", ERR_NOT_FOUND, "/no/such/folder"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        struct ended ended = {0};
        const char *argv[] = {rows[i].program, NULL};
        struct child_spec spec = quiet;
        spec.argv = argv;
        spec.cwd = rows[i].cwd;
        assert_null(child_start(loop, &spec, on_exit_of, &ended, &err));
        if (err.code != rows[i].code || strstr(err.msg, rows[i].text) == NULL) {
            fail_msg("%s: %s %s", rows[i].program, err_code_name(err.code), err.msg);
        }
        loop_turn(loop, false);
        assert_int_equal(ended.times, 0);
    }
}

static void a_signal_hits_one_or_all(void **state)
{
    (void)state;
    int fds[2];
    struct ended ended = {0};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    /* The grandchild holds the pipe; the shell waits for it and would outlive a signal to one. */
    const char *argv[] = {
        "sh", "-c", "trap '' TERM; (trap - TERM; sleep 60) & echo; wait; wait", NULL};
    struct child_spec spec = quiet;
    spec.argv = argv;
    spec.stdout_fd = fds[1];
    spec.new_session = true;
    struct child *child = child_start(loop, &spec, on_exit_of, &ended, NULL);
    assert_non_null(child);
    close(fds[1]);
    char byte;
    assert_int_equal(read(fds[0], &byte, 1), 1);
    child_signal(child, SIGTERM, false); /* ignored by the shell */
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 100), 0);
    assert_int_equal(ended.times, 0);
    child_signal(child, SIGTERM, true); /* its child ends, so it ends as well */
    wait_for(&ended);
    assert_int_equal(read(fds[0], &byte, 1), 0); /* nobody holds the pipe */
    close(fds[0]);
}

static void a_forgotten_child_goes_on_in_silence(void **state)
{
    (void)state;
    struct ended ended = {0};
    const char *argv[] = {"true", NULL};
    struct child_spec spec = quiet;
    spec.argv = argv;
    struct child *child = child_start(loop, &spec, on_exit_of, &ended, NULL);
    pid_t pid = child_pid(child);
    child_forget(child);
    child_forget(NULL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    loop_turn(loop, false);
    assert_int_equal(ended.times, 0);
}

static void a_stranger_can_be_watched(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        pid_t stranger = fork(); /* reparented when the middle one ends */
        if (stranger == 0) {
            pause();
            _exit(0);
        }
        _exit(write(fds[1], &stranger, sizeof stranger) != sizeof stranger);
    }
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    pid_t pid;
    assert_int_equal(read(fds[0], &pid, sizeof pid), sizeof pid);
    close(fds[0]);
    close(fds[1]);

    struct ended ended = {0}, gone = {0};
    struct err err = ERR_INIT;
    struct child *child = child_adopt(loop, pid, on_exit_of, &ended, &err);
    assert_non_null(child);
    assert_int_equal(child_pid(child), pid);
    loop_turn(loop, false);
    assert_int_equal(ended.times, 0);
    child_signal(child, SIGKILL, false);
    wait_for(&ended);
    assert_int_equal(ended.status, -1);
    assert_null(child_adopt(loop, pid, on_exit_of, &gone, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_null(child_adopt(loop, 0, on_exit_of, &gone, &err));
}

static void many_at_once_each_end_once(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    struct ended ended[COUNT] = {0};
    for (int i = 0; i < COUNT; i++) {
        char code[32];
        snprintf(code, sizeof code, "exit %d", i);
        const char *argv[] = {"sh", "-c", code, NULL};
        struct child_spec spec = quiet;
        spec.argv = argv;
        assert_non_null(child_start(loop, &spec, on_exit_of, &ended[i], NULL));
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for(&ended[i]);
        assert_int_equal(WEXITSTATUS(ended[i].status), i);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombies */
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_status_is_that_of_waitpid),
        cmocka_unit_test(surroundings_are_as_asked),
        cmocka_unit_test(only_kept_descriptors_arrive),
        cmocka_unit_test(crossed_standard_streams_do_not_overwrite_each_other),
        cmocka_unit_test(a_start_that_fails_says_what_and_where),
        cmocka_unit_test(a_signal_hits_one_or_all),
        cmocka_unit_test(a_forgotten_child_goes_on_in_silence),
        cmocka_unit_test(a_stranger_can_be_watched),
        cmocka_unit_test(many_at_once_each_end_once),
    };
    loop = loop_new(NULL);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    loop_free(loop);
    return r;
}
