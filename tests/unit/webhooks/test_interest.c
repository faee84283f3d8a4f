/* SPDX-License-Identifier: Apache-2.0 */
/* Who wants events of a type, as the globs say, however often it is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/util.h"
#include "webhooks/out/interest.h"
#include "webhooks/signature.h"
#include "webhooks/out/subscription.h"

static const char *const globs[][3] = {
    {"run.*", NULL}, {"*", NULL}, {"task.finished", "run.finished", NULL}, {"artifact.*", NULL}};

static const struct {
    const char *type;
    const char *who; /* letters of the subscriptions */
} rows[] = {
    {"run.finished", "abc"},
    {"run.started", "ab"},
    {"task.finished", "bc"},
    {"task.started", "b"},
    {"artifact.created", "bd"},
    {"nonsense", "b"},
    {"", "b"},
    {SUBSCRIPTION_PING, "abcd"},
};

static void free_subscription(void *s)
{
    subscription_free(s);
}

static struct map *make_subscriptions(void)
{
    struct map *all = map_new(free_subscription);
    for (size_t i = 0; i < ARRAY_LEN(globs); i++) {
        char id[] = "a";
        id[0] = (char)('a' + i);
        json_t *events = json_array();
        for (size_t k = 0; globs[i][k] != NULL; k++) {
            json_array_append_new(events, json_string(globs[i][k]));
        }
        char *secret = signature_new_secret();
        json_t *record = json_pack("{s:i,s:s,s:s,s:s,s:o,s:[{s:s}],s:b}", "v", 2, "id", id, "name",
            "", "url", "https://example.com/", "events", events, "secrets", "secret", secret,
            "enabled", true);
        struct err err = ERR_INIT;
        struct subscription *sub = subscription_from_record(record, &err);
        if (sub == NULL) {
            fail_msg("%s", err.msg);
        }
        map_put(all, id, sub);
        json_decref(record);
        free(secret);
    }
    return all;
}

static void check(struct map *cache, const struct map *all, const char *type, const char *who)
{
    const struct interest *found = interest_of(cache, all, type);
    assert_int_equal(found->count, strlen(who));
    for (size_t i = 0; i < found->count; i++) {
        assert_int_equal(strlen(found->ids[i]), 1);
        assert_non_null(strchr(who, found->ids[i][0]));
    }
    assert_ptr_equal(interest_of(cache, all, type), found);
}

static void test_table(void **state)
{
    (void)state;
    struct map *all = make_subscriptions(), *cache = interest_new();
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            check(cache, all, rows[i].type, rows[i].who);
        }
    }
    map_remove(all, "b"); /* and ids of one that is gone may still be told: the caller looks */
    interest_forget(&cache);
    check(cache, all, "run.started", "a");
    check(cache, all, "nonsense", "");
    map_free(cache);
    map_free(all);
}

static void test_strangers_do_not_fill_the_memory(void **state)
{
    (void)state;
    struct map *all = make_subscriptions(), *cache = interest_new();
    for (int i = 0; i < 1000; i++) {
        char type[32];
        snprintf(type, sizeof type, "made.up%d", i);
        check(cache, all, type, "b");
        assert_true(map_count(cache) <= 256);
    }
    map_free(cache);
    map_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_strangers_do_not_fill_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
