/* SPDX-License-Identifier: Apache-2.0 */
/* Run records without the engine doing much: create, read, list, archive, delete, history. */
#include "bench.h"
#include "run/engine.h"

static void create(struct bench *b, struct id *id, const char *name, const char *experiment)
{
    if (id->text[0] == '\0') {
        id_new(id);
    }
    struct run_request req = {
        .id = id->text,
        .name = name,
        .description = "d",
        .experiment_id = experiment,
        .spec = "0000000000000000000000000000000000000000000000000000000000000000",
        .scheduled_us = 1700000000000000,
    };
    CALL(b, run_create(b->store, &req, bench_on_json, b));
}

static void test_create_twice(void **state)
{
    struct bench *b = *state;
    struct id id = {{0}};
    create(b, &id, "first", experiment_id);
    assert_string_equal(b->err.msg, "");
    assert_string_equal(jget_str(b->answer, "state", ""), "PENDING");
    assert_int_equal(jget_i64(b->answer, "scheduled_us", 0), 1700000000000000);
    int64_t created_us = jget_i64(b->answer, "created_us", 0);
    create(b, &id, "second", experiment_id);
    assert_string_equal(jget_str(b->answer, "name", ""), "first");
    assert_int_equal(jget_i64(b->answer, "created_us", 0), created_us);
    assert_int_equal(json_array_size(json_object_get(b->answer, "history")), 1);
}

static void test_errors(void **state)
{
    struct bench *b = *state;
    struct id id;
    id_new(&id);
    static const struct {
        const char *name, *id;
    } cases[] = {{"unknown", NULL}, {"no id", "x"}, {"none", ""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *text = cases[i].id == NULL ? id.text : cases[i].id;
        CALL(b, run_get(b->store, text, true, bench_on_json, b));
        assert_int_equal(b->err.code, ERR_NOT_FOUND);
        CALL(b, run_cancel(b->store, text, bench_on_json, b));
        assert_int_equal(b->err.code, ERR_NOT_FOUND);
        CALL(b, run_set_storage(b->store, text, "ARCHIVED", bench_on_json, b));
        assert_int_equal(b->err.code, ERR_NOT_FOUND);
        CALL(b, run_delete(b->store, text, bench_on_json, b));
        assert_int_equal(b->err.code, ERR_NOT_FOUND);
    }
}

static void test_storage(void **state)
{
    struct bench *b = *state;
    struct id id = {{0}};
    create(b, &id, "r", experiment_id);
    CALL(b, run_set_storage(b->store, id.text, "ARCHIVED", bench_on_json, b));
    assert_string_equal(jget_str(b->answer, "storage", ""), "ARCHIVED");
    CALL(b, run_set_storage(b->store, id.text, "AVAILABLE", bench_on_json, b));
    assert_string_equal(jget_str(b->answer, "storage", ""), "AVAILABLE");
}

static void on_count(void *owner, int64_t count, const struct err *err)
{
    struct bench *b = owner;
    assert_null(err);
    json_decref(b->answer);
    b->answer = json_integer(count);
    b->is_answered = true;
}

static void test_lists(void **state)
{
    struct bench *b = *state;
    const char *other = "09000000-0000-4000-8000-000000000002";
    char name[16];
    for (int i = 0; i < 60; i++) {
        struct id id = {{0}};
        snprintf(name, sizeof(name), "r%02d", i);
        create(b, &id, name, i % 3 == 0 ? other : experiment_id);
    }
    static const struct {
        const char *name, *experiment;
        size_t max, count;
        const char *first, *last;
    } cases[] = {
        {"all", NULL, 100, 60, "r00", "r59"},
        {"the newest", NULL, 10, 10, "r50", "r59"},
        {"of one experiment", "09000000-0000-4000-8000-000000000002", 100, 20, "r00", "r57"},
        {"its newest", "09000000-0000-4000-8000-000000000002", 2, 2, "r54", "r57"},
        {"of an unknown one", "0a000000-0000-4000-8000-000000000002", 2, 0, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CALL(b, run_all(b->store, cases[i].experiment, NULL, cases[i].max, bench_on_json, b));
        assert_string_equal(b->err.msg, "");
        size_t count = json_array_size(b->answer);
        assert_int_equal(count, cases[i].count);
        if (count > 0) {
            assert_string_equal(jget_str(json_array_get(b->answer, 0), "name", ""), cases[i].first);
            assert_string_equal(
                jget_str(json_array_get(b->answer, count - 1), "name", ""), cases[i].last);
        }
    }
    CALL(b, run_count(b->store, on_count, b));
    assert_int_equal(json_integer_value(b->answer), 60);
}

static void on_keys(void *owner, redisReply *reply, const struct err *err)
{
    struct bench *b = owner;
    assert_null(err);
    json_decref(b->answer);
    b->answer = json_integer((json_int_t)reply->elements);
    b->is_answered = true;
}

static void test_delete(void **state)
{
    struct bench *b = *state;
    struct id id = {{0}};
    create(b, &id, "r", experiment_id);
    CALL(b, engine_delete(b->engine, id.text, bench_on_json, b));
    assert_int_equal(b->err.code, ERR_PRECONDITION);
    assert_int_equal(fake_purged(b->fake), 0);
    engine_wake(b->engine, id.text); /* its spec is not there: it fails */
    bench_await_end(b, id);
    CALL(b, engine_delete(b->engine, id.text, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    assert_int_equal(fake_purged(b->fake), 1);
    CALL(b, engine_delete(b->engine, "nonsense", bench_on_json, b));
    assert_int_equal(b->err.code, ERR_NOT_FOUND);
    assert_int_equal(fake_purged(b->fake), 1);
    CALL(b, run_get(b->store, id.text, false, bench_on_json, b));
    assert_int_equal(b->err.code, ERR_NOT_FOUND);
    CALL(b, run_count(b->store, on_count, b));
    assert_int_equal(json_integer_value(b->answer), 0);
    CALL(b, store_cmd(b->store, on_keys, b, "KEYS *%s*", id.text));
    assert_int_equal(json_integer_value(b->answer), 0);
    CALL(b, store_cmd(b->store, on_keys, b, "ZRANGE %sfinished 0 -1",
                store_id_prefix(b->store, id.text)));
    assert_int_equal(json_integer_value(b->answer), 0);
}

static void test_history_is_bounded(void **state)
{
    struct bench *b = *state;
    b->settings.history_max_runs = 5;
    bench_engine_crash(b);
    bench_engine_start(b);
    struct id ids[12] = {{{0}}};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        create(b, &ids[i], "r", experiment_id);
        if (i > 0) { /* the first one never ends: it stays, and does not count */
            engine_wake(b->engine, ids[i].text);
            bench_await_end(b, ids[i]);
        }
    }
    janitor_look(b->engine->janitor);
    WAIT_UNTIL(b, (bench_pass(b, 10), b->is_answered = false, run_count(b->store, on_count, b),
                      bench_pass(b, 10), b->is_answered) &&
                      json_integer_value(b->answer) == 6);
    assert_int_equal(fake_purged(b->fake), ARRAY_LEN(ids) - 6);
    CALL(b, run_get(b->store, ids[0].text, false, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    CALL(b, run_get(b->store, ids[11].text, false, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    CALL(b, run_get(b->store, ids[1].text, false, bench_on_json, b));
    assert_int_equal(b->err.code, ERR_NOT_FOUND);
}

static void test_history_by_age(void **state)
{
    struct bench *b = *state;
    b->settings.history_max_age_ms = 3600 * 1000;
    bench_engine_crash(b);
    bench_engine_start(b);
    struct id old = {{0}}, young = {{0}};
    create(b, &old, "old", experiment_id);
    engine_wake(b->engine, old.text);
    bench_await_end(b, old);
    clock_set_shift_us(2 * 3600 * US_PER_S);
    create(b, &young, "young", experiment_id);
    engine_wake(b->engine, young.text);
    bench_await_end(b, young);
    janitor_look(b->engine->janitor);
    do {
        CALL(b, run_get(b->store, old.text, false, bench_on_json, b));
    } while (b->err.code != ERR_NOT_FOUND);
    clock_set_shift_us(0);
    CALL(b, run_get(b->store, young.text, false, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
}

static void test_state_names(void **state)
{
    (void)state;
    for (int i = RUN_STATE_PENDING; i <= RUN_STATE_CANCELED; i++) {
        enum run_state parsed;
        assert_int_equal(run_state_parse(run_state_name((enum run_state)i), &parsed), 0);
        assert_int_equal(parsed, i);
        assert_int_equal(run_state_is_final(parsed), i >= RUN_STATE_SUCCEEDED);
    }
    for (int i = TASK_STATE_WAITING; i <= TASK_STATE_CANCELED; i++) {
        enum task_state parsed;
        assert_int_equal(task_state_parse(task_state_name((enum task_state)i), &parsed), 0);
        assert_int_equal(parsed, i);
    }
    enum run_state none;
    assert_int_equal(run_state_parse("DONE", &none), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_names),
        cmocka_unit_test_setup_teardown(test_create_twice, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_errors, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_storage, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_lists, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_delete, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_history_is_bounded, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_history_by_age, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("run/record", tests, NULL, NULL);
}
