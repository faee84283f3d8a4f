/* SPDX-License-Identifier: Apache-2.0 */
/* Fault points; each case in a child, since one of the outcomes is death. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/util.h"

#define FIRST "run.create.before"
#define SECOND "run.create.after"

/* Passes FIRST, FIRST, SECOND; each bit of the exit code is a passage that failed. */
static int passages(const char *setting)
{
    pid_t child = fork();
    if (child == 0) {
        setenv("RONDO_FAULT", setting, 1);
        close(STDERR_FILENO);
        int bits = 0;
        bits |= fault_hit(FIRST) ? 4 : 0;
        bits |= fault_hit(FIRST) ? 8 : 0;
        bits |= fault_hit(SECOND) ? 16 : 0;
        _exit(bits);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_passages(void **state)
{
    (void)state;
    static const struct {
        const char *setting;
        int want;
    } rows[] = {
        {"", 0},
        {FIRST ":fail", 4},
        {FIRST ":2:fail", 8},
        {FIRST ":3:fail", 0},
        {FIRST ":fail:2", 8},
        {FIRST ":fail," SECOND ":fail", 20},
        {FIRST ":1:fail," FIRST ":2:fail,", 12},
        {FIRST, -SIGKILL},
        {FIRST ":3", 0},
        {SECOND ":1:crash", -SIGKILL},
        {"no.such.point", 2},
        {FIRST ":0", 2},
        {FIRST ":maybe", 2},
        {FIRST ":", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int got = passages(rows[i].setting);
        if (got != rows[i].want) {
            fail_msg("'%s': %d", rows[i].setting, got);
        }
    }
}

static void test_names_are_sorted_and_unique(void **state)
{
    (void)state;
    const char *const *names = fault_names();
    for (size_t i = 1; names[0] != NULL && names[i] != NULL; i++) {
        if (strcmp(names[i - 1], names[i]) >= 0) {
            fail_msg("%s comes before %s", names[i - 1], names[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passages),
        cmocka_unit_test(test_names_are_sorted_and_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
