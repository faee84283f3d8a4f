/* SPDX-License-Identifier: Apache-2.0 */
/* Senders of what is not genuine are held up, one by one; the others are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "webhooks/in/git_hooks.h"

#define TRIGGER "11111111-2222-4333-8444-555555555555"
#define OTHER "22222222-2222-4333-8444-555555555555"

static void test_one_sender(void **state)
{
    (void)state;
    struct git_limit *limit = git_limit_new();
    int sent = 0;
    while (git_limit_allows(limit, TRIGGER, "192.0.2.1") && sent < 100000) {
        git_limit_refused(limit, TRIGGER, "192.0.2.1");
        sent++;
    }
    assert_in_range(sent, 1000, 99999); /* tokens come back meanwhile */
    assert_true(git_limit_allows(limit, TRIGGER, "192.0.2.2"));
    assert_true(git_limit_allows(limit, OTHER, "192.0.2.1"));
    assert_true(git_limit_allows(limit, TRIGGER, NULL));
    git_limit_free(limit);
}

/* Memory is bounded whatever is sent. */
static void test_many_senders(void **state)
{
    (void)state;
    struct git_limit *limit = git_limit_new();
    for (int i = 0; i < 20000; i++) {
        char peer[32];
        snprintf(peer, sizeof peer, "2001:db8::%x", i);
        assert_true(git_limit_allows(limit, TRIGGER, peer));
        git_limit_refused(limit, TRIGGER, peer);
    }
    git_limit_free(limit);
    git_limit_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_sender),
        cmocka_unit_test(test_many_senders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
