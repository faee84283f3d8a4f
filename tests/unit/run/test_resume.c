/* SPDX-License-Identifier: Apache-2.0 */
/* The engine when things die: itself at any moment, Redis, or its right to write. */
#include "bench.h"
#include "run_scripts.h"

#define HELD                                                                                       \
    (struct fake_end)                                                                              \
    {                                                                                              \
        .is_held = true                                                                            \
    }
#define SUCCEEDED                                                                                  \
    (struct fake_end)                                                                              \
    {                                                                                              \
        .state = ATTEMPT_STATE_SUCCEEDED                                                           \
    }

/* a; a nested group of two after it; c beside it; d after both. */
static json_t *mixed_spec(void)
{
    const struct step_row outer[] = {{"a", NULL, NULL, NULL, NULL},
        {"g", NULL, "a", NULL, "comp-group"}, {"c", "a", NULL, NULL, NULL},
        {"d", "c", "g", "c", NULL}};
    const struct step_row inner[] = {
        {"one", NULL, "^x", NULL, NULL}, {"two", NULL, "one", NULL, NULL}};
    json_t *spec = spec_of("mixed", outer, 4);
    json_t *group = json_from(
        "{\"inputDefinitions\":{\"parameters\":{\"x\":{\"parameterType\":\"STRING\"}}},"
        "\"outputDefinitions\":{\"parameters\":{\"out\":{\"parameterType\":\"STRING\"}}},"
        "\"dag\":{\"tasks\":{},\"outputs\":{\"parameters\":{\"out\":{\"valueFromParameter\":{"
        "\"producerSubtask\":\"two\",\"outputParameterKey\":\"out\"}}}}}}");
    spec_tasks(json_object_get(json_object_get(group, "dag"), "tasks"), inner, 2);
    json_object_set_new(json_object_get(spec, "components"), "comp-group", group);
    return spec;
}

static const char *const mixed_steps[] = {"a", "g/one", "g/two", "c", "d"};

static void check_mixed(struct bench *b, struct id id)
{
    bench_read(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
    for (size_t i = 0; i < ARRAY_LEN(mixed_steps); i++) {
        assert_string_equal(bench_task_state(b, mixed_steps[i]), "SUCCEEDED");
        assert_int_equal(fake_begun(b->fake, mixed_steps[i]), 1);
    }
    const json_t *argv = json_object_get(fake_work_order(b->fake, "d"), "argv");
    assert_string_equal(json_string_value(json_array_get(argv, 1)), "g/two.out");
    assert_int_equal(bench_events(b, id, "run.started", NULL), 1);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
    assert_int_equal(bench_events(b, id, "task.started", NULL), ARRAY_LEN(mixed_steps));
    assert_int_equal(bench_events(b, id, "task.finished", NULL), ARRAY_LEN(mixed_steps));
    assert_int_equal(bench_events(b, id, "artifact.created", NULL), ARRAY_LEN(mixed_steps));
}

static const char *notice(const struct bench *b, size_t i, const char *key)
{
    return jget_str(json_array_get(json_object_get(b->answer, "notices"), i), key, "-");
}

/* What the executor ignores is said once per run, by whatever task and however often we restart. */
static void test_notices(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, mixed_spec(), sha);
    fake_ignores(b->fake, "tolerations, resource cpu");
    fake_will(b->fake, "g/one", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_begun(b->fake, "g/one") == 1 && fake_begun(b->fake, "c") == 1);
    WAIT_UNTIL(b, bench_events(b, id, "run.notice", NULL) == 2);
    bench_engine_crash(b);
    bench_take_over(b);
    fake_ignores(b->fake, "resource cpu, labels, tolerations");
    bench_engine_start(b);
    WAIT_UNTIL(b, fake_starts(b->fake, "g/one") == 2);
    assert_true(fake_finish(b->fake, "g/one", SUCCEEDED));
    bench_await_end(b, id);
    check_mixed(b, id);
    assert_int_equal(bench_events(b, id, "run.notice", NULL), 3);
    bench_read(b, id);
    static const char *const about[] = {"tolerations", "resource cpu", "labels", "-"};
    for (size_t i = 0; i < ARRAY_LEN(about); i++) {
        assert_string_equal(notice(b, i, "about"), about[i]);
    }
    assert_string_equal(
        notice(b, 0, "text"), "tolerations: has no meaning for the fake executor and is ignored");
    assert_string_equal(notice(b, 0, "task"), "a");
}

static void test_resume_running(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, mixed_spec(), sha);
    fake_will(b->fake, "g/one", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_begun(b->fake, "g/one") == 1 && fake_begun(b->fake, "c") == 1);
    bench_engine_crash(b);
    bench_take_over(b);
    bench_engine_start(b);
    WAIT_UNTIL(b, fake_starts(b->fake, "g/one") == 2); /* started again by name: adopted */
    struct engine_counts counts;
    engine_counts(b->engine, &counts);
    assert_int_equal(counts.live_runs, 1);
    assert_int_equal(counts.running_steps, 1);
    assert_true(fake_finish(b->fake, "g/one", SUCCEEDED));
    bench_await_end(b, id);
    check_mixed(b, id);
}

/* The step ended while no engine was there. */
static void test_resume_ended(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, mixed_spec(), sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_begun(b->fake, "a") == 1);
    bench_engine_crash(b);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_pass(b, 20);
    bench_engine_start(b);
    bench_await_end(b, id);
    check_mixed(b, id);
}

static void test_resume_canceling(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, mixed_spec(), sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_begun(b->fake, "a") == 1);
    bench_engine_crash(b);
    CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
    bench_engine_start(b);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "CANCELED");
    assert_string_equal(bench_task_state(b, "a"), "CANCELED");
    assert_int_equal(fake_running(b->fake), 0);
}

static void test_resume_before_retry(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, mixed_spec(), sha);
    fake_will(b->fake, "a", 0,
        (struct fake_end){.state = ATTEMPT_STATE_LOST, .reason = "the node is gone"});
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, bench_events(b, id, "task.retrying", "a") == 1);
    bench_engine_crash(b);
    bench_engine_start(b);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
    assert_int_equal(fake_begun(b->fake, "a"), 2);
    assert_int_equal(jget_i64(bench_task(b, "a"), "lost", 0), 1);
}

/* The engine dies after every k-th turn of the loop: whatever k is, the run ends the same. */
static void test_crash_anywhere(void **state)
{
    (void)state;
    static const int periods[] = {1, 2, 3, 4, 5, 6, 7, 9, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    unsigned seed = 42;
    void *own = NULL;
    bench_setup(&own);
    struct bench *b = own;
    char sha[65];
    bench_put_spec(b, mixed_spec(), sha);
    for (size_t i = 0; i < ARRAY_LEN(periods); i++) {
        struct id id = bench_run(b, sha, NULL);
        int crashes = 0;
        size_t base = i * ARRAY_LEN(mixed_steps);
        int next = periods[i];
        for (int turn = 1; b->ends <= i && turn < 20000; turn++) {
            bench_turn(b);
            /* A short period would never get anywhere: that often only at first. */
            if (turn >= next && crashes < 60) {
                seed = seed * 1103515245 + 12345;
                int period = periods[i] > 0 ? periods[i] : 1 + (int)(seed >> 16) % 16;
                next = turn + (crashes < 40 ? period : 400);
                crashes++;
                bench_engine_crash(b);
                b->engine = engine_new(&b->settings);
                engine_on_run_end(b->engine, bench_on_end, b);
                engine_start(b->engine, NULL, NULL);
            }
            if (b->ends <= i && turn % 1000 == 0 && !str_eq(bench_state(b, id), "RUNNING") &&
                !str_eq(jget_str(b->answer, "state", ""), "PENDING")) {
                b->ends = i + 1; /* died between the last save and telling */
            }
        }
        bench_await_end(b, id);
        b->ends = i + 1;
        assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
        assert_int_equal(fake_begun(b->fake, NULL), base + ARRAY_LEN(mixed_steps));
        assert_int_equal(bench_events(b, id, "run.started", NULL), 1);
        assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
        assert_int_equal(bench_events(b, id, "task.started", NULL), ARRAY_LEN(mixed_steps));
        assert_int_equal(bench_events(b, id, "task.finished", NULL), ARRAY_LEN(mixed_steps));
        print_message("  every %d turns (0: at random): %d crashes\n", periods[i], crashes);
    }
    bench_teardown(&own);
}

/* Another daemon takes over: this one's saves are refused, the other goes on. */
static void test_fenced(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, mixed_spec(), sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_begun(b->fake, "a") == 1);

    struct store *other = harness_store(&b->h);
    CALL(b, take_over(other, bench_on_started, b));
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    struct engine_counts counts = {.live_runs = 1};
    WAIT_UNTIL(b, (engine_counts(b->engine, &counts), counts.live_runs == 0));
    assert_int_equal(counts.running_steps, 0);
    assert_string_equal(bench_state(b, id), "RUNNING");
    assert_string_equal(bench_task_state(b, "a"), "RUNNING");
    assert_int_equal(bench_events(b, id, "task.finished", NULL), 0);

    struct store *fenced = b->store;
    bench_engine_crash(b);
    b->settings.store = b->store = b->h.store = other;
    catalog_free(b->catalog);
    b->catalog = b->settings.catalog = catalog_new(b->loop, other);
    store_free(fenced);
    bench_engine_start(b);
    bench_await_end(b, id);
    check_mixed(b, id);
}

static void test_redis_restart(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, mixed_spec(), sha);
    fake_will(b->fake, "a", -1, HELD);
    fake_will(b->fake, "g/two", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_begun(b->fake, "a") == 1);
    harness_stop_redis(&b->h);
    assert_true(fake_finish(b->fake, "a", SUCCEEDED));
    bench_pass(b, 300);
    assert_int_equal(fake_begun(b->fake, "g/one"), 0); /* nothing starts before it is written */
    assert_int_equal(fake_forgotten(b->fake), 0);
    harness_start_redis(&b->h);
    WAIT_UNTIL(b, fake_begun(b->fake, "g/two") == 1);
    /* Killed in the middle of a save: the answer may be lost, the save is not. */
    assert_true(fake_finish(b->fake, "g/two", SUCCEEDED));
    loop_turn(b->loop, false);
    harness_stop_redis(&b->h);
    bench_pass(b, 50);
    harness_start_redis(&b->h);
    bench_await_end(b, id);
    check_mixed(b, id);
}

static void on_reply_text(void *owner, redisReply *reply, const struct err *err)
{
    struct bench *b = owner;
    json_decref(b->answer);
    b->answer = NULL;
    if (err == NULL && reply_str(reply) != NULL) {
        b->answer = json_string(reply_str(reply));
    } else if (err == NULL && reply->type == REDIS_REPLY_INTEGER) {
        b->answer = json_sprintf("%lld", reply->integer);
    }
    b->is_answered = true;
}

/* ---- the save script by itself ---- */

static void save_again(struct bench *b, struct id id, int rev, const char *epoch)
{
    const char *prefix = store_id_prefix(b->store, id.text);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srun:%s", prefix, id.text);
    store_key(args, "%srun:%s:tasks", prefix, id.text);
    store_key(args, "%sevents", prefix);
    store_key(args, "%slive", prefix);
    store_key(args, "%sfinished", prefix);
    store_key(args, "%sexpiry", prefix);
    store_arg(args, epoch);
    store_arg(args, id.text);
    store_arg_i(args, rev);
    store_arg(args, "");
    store_arg(args, "");
    store_arg(args, "0");
    store_arg_i(args, 0);
    store_arg_i(args, 0);
    store_arg(args, "");
    store_arg(args, "");
    store_arg(args, "");
    store_arg_i(args, 0);
    store_arg_i(args, 1);
    store_arg(args, "t");
    store_arg(args, "{\"v\":1,\"path\":\"t\"}");
    store_arg_i(args, 1);
    char *event CLEANUP(cleanup_free) =
        xasprintf("{\"id\":\"%d\",\"type\":\"test\",\"data\":{\"run_id\":\"%s\"}}", rev, id.text);
    store_arg(args, event);
    store_arg(args, "");
    CALL(b, store_eval(b->store, &script_run_save, args, on_reply_text, b));
}

static void test_save_twice(void **state)
{
    struct bench *b = *state;
    struct id id;
    id_new(&id);
    struct run_request req = {
        .id = id.text, .name = "r", .experiment_id = experiment_id, .spec = "x"};
    CALL(b, run_create(b->store, &req, bench_on_json, b));
    char epoch[32];
    snprintf(epoch, sizeof(epoch), "%lld", (long long)store_id_epoch(b->store, id.text));
    save_again(b, id, 1, epoch);
    save_again(b, id, 1, epoch); /* the answer was lost */
    assert_int_equal(bench_events(b, id, "test", NULL), 1);
    save_again(b, id, 2, epoch);
    assert_int_equal(bench_events(b, id, "test", NULL), 2);
    save_again(b, id, 3, "0"); /* somebody who has lost the shard */
    assert_int_equal(bench_events(b, id, "test", NULL), 2);
    save_again(b, id, 4, epoch); /* the third was confirmed, and then Redis lost it */
    assert_int_equal(bench_events(b, id, "test", NULL), 2);
    bench_read(b, id);
    assert_int_equal(jget_i64(b->answer, "rev", 0), 2);
}

/* ---- the recurring run's side of an end ---- */

#define REDIS(b, ...) CALL(b, store_cmd((b)->store, on_reply_text, b, __VA_ARGS__))

static void test_slot_is_freed(void **state)
{
    struct bench *b = *state;
    const struct step_row rows[] = {{"a", NULL, NULL, NULL, NULL}};
    char sha[65];
    bench_put_spec(b, spec_of("p", rows, 1), sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id rr, id;
    id_new(&rr);
    id_derive(&id, rr.text, "1/1");
    const char *prefix = store_id_prefix(b->store, rr.text);
    struct run_request req = {
        .id = id.text, .name = "r", .experiment_id = experiment_id, .spec = sha};
    CALL(b, run_create(b->store, &req, bench_on_json, b));
    /* What the claim does besides. */
    REDIS(b, "HSET %srun:%s rr %s", prefix, id.text, rr.text);
    REDIS(b, "HSET %sprogress %s x %s:active 1 %s:waiting 1800000000000000", prefix, rr.text,
        rr.text, rr.text);
    engine_wake(b->engine, id.text);
    WAIT_UNTIL(b, fake_begun(b->fake, "a") == 1);
    REDIS(b, "ZSCORE %sdue %s", prefix, rr.text);
    assert_null(b->answer);
    fake_finish(b->fake, "a", SUCCEEDED);
    WAIT_UNTIL(b, b->ends == 1);
    REDIS(b, "HGET %sprogress %s:active", prefix, rr.text);
    assert_null(b->answer);
    REDIS(b, "HGET %sprogress %s:waiting", prefix, rr.text);
    assert_null(b->answer);
    REDIS(b, "ZSCORE %sdue %s", prefix, rr.text);
    assert_non_null(b->answer);
    assert_true(strtod(json_string_value(b->answer), NULL) == 1800000000000000.0);
    bench_events(b, id, "run.finished", NULL);
    assert_string_equal(
        jget_str(json_object_get(b->answer, "data"), "recurring_run_id", ""), rr.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_notices, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_resume_running, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_resume_ended, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_resume_canceling, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_resume_before_retry, bench_setup, bench_teardown),
        cmocka_unit_test(test_crash_anywhere),
        cmocka_unit_test_setup_teardown(test_fenced, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_redis_restart, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_save_twice, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_slot_is_freed, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("run/resume", tests, NULL, NULL);
}
