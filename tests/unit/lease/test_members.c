/* SPDX-License-Identifier: Apache-2.0 */
/* Who is alive, as a member judges it by what Redis answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/util.h"
#include "lease/members.h"

#define BEAT_US (BEAT_MS * US_PER_MS)

/* A HGETALL reply of at most four members. */
struct answer {
    redisReply list, elements[8];
    redisReply *pointers[8];
    char texts[8][128];
};

static const redisReply *answer_of(struct answer *a, const char *const ids[], const int beats[])
{
    memset(a, 0, sizeof(*a));
    size_t n = 0;
    for (size_t i = 0; ids[i] != NULL; i++) {
        snprintf(a->texts[n], sizeof(a->texts[n]), "%s", ids[i]);
        snprintf(a->texts[n + 1], sizeof(a->texts[n + 1]),
            "{\"v\":1,\"boot\":\"x\",\"beat\":%d,\"silent_ms\":900}", beats[i]);
        n += 2;
    }
    for (size_t i = 0; i < n; i++) {
        a->elements[i] = (redisReply){
            .type = REDIS_REPLY_STRING, .str = a->texts[i], .len = strlen(a->texts[i])};
        a->pointers[i] = &a->elements[i];
    }
    a->list = (redisReply){.type = REDIS_REPLY_ARRAY, .elements = n, .element = a->pointers};
    return &a->list;
}

static bool take(struct members *m, const char *const ids[], const int beats[], int64_t since_us)
{
    struct answer a;
    return members_take(m, answer_of(&a, ids, beats), since_us);
}

static const char *const two[] = {"me", "other", NULL};

static void alive_as_long_as_it_changes(void **state)
{
    (void)state;
    struct members m;
    members_init(&m, "me");
    assert_true(take(&m, two, (int[]){1, 1}, BEAT_US));
    assert_true(members_is_alive(&m, "other"));
    assert_false(members_are_sure(&m)); /* it may be what somebody left long ago */
    for (int i = 2; i < 50; i++) {
        assert_false(take(&m, two, (int[]){1, i}, BEAT_US)); /* ours need not change */
    }
    assert_true(members_are_sure(&m));
    assert_int_equal(members_others(&m), 1);
    int answers = 0;
    while (!take(&m, two, (int[]){1, 50}, BEAT_US)) {
        answers++;
    }
    assert_int_equal(answers, SILENT_MS / BEAT_MS); /* the first one shows 50 */
    assert_false(members_is_alive(&m, "other"));
    assert_true(members_is_alive(&m, "me"));
    assert_int_equal(members_others(&m), 0);
    assert_true(take(&m, two, (int[]){1, 51}, BEAT_US)); /* it was only stalled */
    assert_true(members_is_alive(&m, "other"));
    const char *const alone[] = {"me", NULL};
    assert_true(take(&m, alone, (int[]){1}, BEAT_US));
    assert_null(members_find(&m, "other"));
    members_done(&m);
}

/* We were stopped, or Redis was away: what we have not seen counts for nothing. */
static void our_own_silence_kills_nobody(void **state)
{
    (void)state;
    struct members m;
    members_init(&m, "me");
    take(&m, two, (int[]){1, 1}, BEAT_US);
    take(&m, two, (int[]){1, 2}, BEAT_US);
    assert_false(take(&m, two, (int[]){1, 2}, 3600 * US_PER_S));
    assert_true(members_is_alive(&m, "other"));
    members_excuse(&m, 3 * US_PER_S);
    /* Its last word before Redis went, which we see only now, does not count. */
    assert_false(take(&m, two, (int[]){1, 3}, 0));
    int64_t passed_us = 0;
    while (!take(&m, two, (int[]){1, 3}, BEAT_US)) {
        passed_us += BEAT_US;
    }
    assert_true(passed_us >= 3 * US_PER_S + SILENT_MS * US_PER_MS - BEAT_US);
    members_done(&m);
}

/* Redis went back to an older file, in which somebody was not there yet. */
static void who_is_lost_with_redis_is_given_time(void **state)
{
    (void)state;
    const char *const alone[] = {"me", NULL};
    struct members m;
    members_init(&m, "me");
    take(&m, two, (int[]){1, 1}, BEAT_US);
    take(&m, two, (int[]){1, 2}, BEAT_US);
    members_excuse(&m, 3 * US_PER_S);
    assert_false(take(&m, alone, (int[]){1}, 0));
    assert_true(members_is_alive(&m, "other"));
    assert_false(take(&m, two, (int[]){1, 3}, BEAT_US)); /* it is back */
    members_excuse(&m, 3 * US_PER_S);
    int64_t passed_us = 0;
    while (!take(&m, alone, (int[]){1}, BEAT_US)) {
        passed_us += BEAT_US;
    }
    assert_true(passed_us >= 3 * US_PER_S - BEAT_US && passed_us <= 3 * US_PER_S);
    assert_null(members_find(&m, "other"));
    members_done(&m);
}

static void what_cannot_be_read_is_given_time(void **state)
{
    (void)state;
    struct members m;
    members_init(&m, "me");
    struct answer a;
    answer_of(&a, two, (int[]){1, 1});
    snprintf(a.texts[3], sizeof(a.texts[3]), "not JSON");
    a.elements[3].len = strlen(a.texts[3]);
    assert_true(members_take(&m, &a.list, BEAT_US));
    assert_true(members_is_alive(&m, "other"));
    int64_t passed_us = 0;
    while (!members_take(&m, &a.list, BEAT_US)) {
        passed_us += BEAT_US;
    }
    assert_true(passed_us > 5 * US_PER_S);
    members_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alive_as_long_as_it_changes),
        cmocka_unit_test(our_own_silence_kills_nobody),
        cmocka_unit_test(who_is_lost_with_redis_is_given_time),
        cmocka_unit_test(what_cannot_be_read_is_given_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
