/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a whole run that its pipeline sets: activeDeadlineSeconds, resourceTtl... */
#include "flow.h"
#include "run/engine.h"
#include "run/expiry.h"
#include "run/workspace.h"

#define LIMITS(config) "---\nplatforms: {kubernetes: {pipelineConfig: {" config "}}}\n"
/* Two that run at once, one that waits for the first, and an exit task behind it. */
#define TASKS                                                                                      \
    "root:\n  dag:\n    tasks:\n"                                                                  \
    "      a: {" REF("step") "}\n"                                                                 \
                             "      b: {" REF(                                                     \
                                 "step") "}\n"                                                     \
                                         "      c: {dependentTasks: [a], " REF(                    \
                                             "step") "}\n"                                         \
                                                     "      z: {dependentTasks: [c], "             \
                                                     "triggerPolicy: {" COMPLETED                  \
                                                     "}, " REF("step") "}\n"
/* In a nested pipeline and a loop. */
#define NESTED                                                                                     \
    "  inner: {dag: {tasks: {one: {" REF("step") "}, two: {dependentTasks: [one], " REF(           \
        "step") "}}}}\n"                                                                           \
                "  body: {inputDefinitions: {parameters: {item: {parameterType: STRING}}}, dag: "  \
                "{tasks: {"                                                                        \
                "t: {" REF("step") ", " X(INPUT(                                                   \
                    "item")) "}}}}\n"                                                              \
                             "root:\n  dag:\n    tasks:\n"                                         \
                             "      g: {" REF(                                                     \
                                 "inner") "}\n"                                                    \
                                          "      l: {" REF(                                        \
                                              "body") ", iteratorPolicy: {parallelismLimit: "      \
                                                      "1}, " OVER_RAW(                             \
                                                          "[\"p\", \"q\"]", "item") "}\n"

static int setup(void **state)
{
    clock_set_shift_us(0);
    return bench_setup(state);
}

static int teardown(void **state)
{
    clock_set_shift_us(0);
    return bench_teardown(state);
}

static void move_clock(struct bench *b, int64_t seconds)
{
    clock_set_shift_us(clock_shift_us() + seconds * US_PER_S);
    loop_clock_changed(b->loop);
}

static struct id run_of(struct bench *b, const char *yaml)
{
    char sha[65];
    flow_put(b, yaml, sha);
    return bench_run(b, sha, NULL);
}

static void hold(struct bench *b, const char *task)
{
    fake_will(b->fake, task, -1, flow_end('H'));
}

static void check_over(struct bench *b, struct id id, const char *states)
{
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "FAILED");
    assert_non_null(strstr(jget_str(b->answer, "error", ""),
        "the run had not ended 100 s after its start, and its pipeline allows no more "
        "(activeDeadlineSeconds)"));
    flow_check_states(b, states);
    assert_int_equal(fake_running(b->fake), 0);
    assert_int_equal(bench_events(b, id, "run.started", NULL), 1);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
    struct engine_counts counts;
    WAIT_UNTIL(b, (engine_counts(b->engine, &counts), counts.live_runs == 0));
    assert_int_equal(counts.running_steps, 0);
    assert_int_equal(counts.waiting_steps, 0);
}

static void test_deadline(void **state)
{
    struct bench *b = *state;
    b->settings.run_exit_tasks_on_cancel = true; /* not asked to end: no exit tasks */
    bench_engine_crash(b);
    bench_engine_start(b);
    hold(b, "a");
    struct id id = run_of(b, TASKS LIMITS("activeDeadlineSeconds: 100"));
    WAIT_UNTIL(b, fake_begun(b->fake, NULL) == 2);
    move_clock(b, 90);
    bench_pass(b, 20);
    assert_string_equal(bench_state(b, id), "RUNNING");
    assert_int_equal(fake_running(b->fake), 1);
    move_clock(b, 20);
    check_over(b, id, "a=C b=S c=C z=C");
    assert_int_equal(fake_begun(b->fake, NULL), 2);
    flow_check_ends(b, id);
    assert_int_equal(bench_events(b, id, "task.skipped", "c"), 1);
    const json_t *data = json_object_get(b->answer, "data");
    assert_string_equal(jget_str(data, "reason", ""), "run_timed_out");
    assert_string_equal(jget_str(data, "state", ""), "CANCELED");
}

/* It is over while no engine is there: what runs is found and ended, what waits does not begin. */
static void test_deadline_missed(void **state)
{
    struct bench *b = *state;
    hold(b, "a");
    struct id id = run_of(b, TASKS LIMITS("activeDeadlineSeconds: 100"));
    WAIT_UNTIL(b, bench_events(b, id, "task.finished", "b") == 1);
    bench_engine_crash(b);
    move_clock(b, 1000);
    bench_take_over(b);
    bench_engine_start(b);
    check_over(b, id, "a=C b=S c=C z=C");
    assert_int_equal(fake_begun(b->fake, NULL), 2);
    assert_int_equal(fake_starts(b->fake, "a"), 2);
}

/* The step has succeeded meanwhile; what would follow is too late. */
static void test_deadline_missed_after_end(void **state)
{
    struct bench *b = *state;
    hold(b, "a");
    struct id id = run_of(b, TASKS LIMITS("activeDeadlineSeconds: 100"));
    WAIT_UNTIL(b, bench_events(b, id, "task.finished", "b") == 1);
    bench_engine_crash(b);
    assert_true(fake_finish(b->fake, "a", flow_end('S')));
    move_clock(b, 1000);
    bench_engine_start(b);
    check_over(b, id, "a=S b=S c=C z=C");
}

/* Nothing was cut short: the run is what its tasks are. */
static void test_deadline_last_task_ended(void **state)
{
    struct bench *b = *state;
    hold(b, "a");
    struct id id = run_of(
        b, "root: {dag: {tasks: {a: {" REF("step") "}}}}\n" LIMITS("activeDeadlineSeconds: 100"));
    WAIT_UNTIL(b, fake_begun(b->fake, "a") == 1);
    bench_engine_crash(b);
    assert_true(fake_finish(b->fake, "a", flow_end('S')));
    move_clock(b, 1000);
    bench_engine_start(b);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
}

static void test_deadline_not_reached(void **state)
{
    struct bench *b = *state;
    struct id first = run_of(b, TASKS LIMITS("activeDeadlineSeconds: 100"));
    bench_await_end(b, first);
    hold(b, "b");
    struct id second = run_of(b, TASKS LIMITS("activeDeadlineSeconds: 0"));
    WAIT_UNTIL(b, bench_events(b, second, "task.finished", "z") == 1);
    move_clock(b, 400000);
    bench_pass(b, 20);
    assert_true(fake_finish(b->fake, "b", flow_end('S')));
    bench_await_end(b, second);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
    bench_read(b, first);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
}

static void test_deadline_nested(void **state)
{
    struct bench *b = *state;
    hold(b, "g/one");
    hold(b, "l/0/t");
    struct id id = run_of(b, NESTED LIMITS("activeDeadlineSeconds: 100"));
    WAIT_UNTIL(b, fake_running(b->fake) == 2);
    move_clock(b, 101);
    check_over(b, id, "g=C g/one=C g/two=C l=C l/0=C l/0/t=C");
    assert_int_equal(fake_begun(b->fake, NULL), 2);
}

/* Waiting for a retry is waiting; what failed before is told too. */
static void test_deadline_retry(void **state)
{
    struct bench *b = *state;
    fake_will(b->fake, "a", -1, flow_end('F'));
    fake_will(b->fake, "b", -1, flow_end('F'));
    struct id id = run_of(b, "root: {dag: {tasks: {a: {" REF(
                                 "step") ", retryPolicy: {maxRetryCount: 3, "
                                         "backoffDuration: 200s}}, b: {" REF(
                                             "step") "}}}}\n" LIMITS("activeDeadlineSeconds: 100"));
    WAIT_UNTIL(b, bench_events(b, id, "task.retrying", "a") == 1 &&
                      bench_events(b, id, "task.finished", "b") == 1);
    move_clock(b, 101);
    check_over(b, id, "a=C b=F");
    bench_read(b, id);
    assert_non_null(strstr(
        jget_str(b->answer, "error", ""), "(1 task failed, the first: task b failed with exit"));
}

/* Asked to end first, with exit tasks: these end too, and the run is CANCELED. */
static void test_deadline_of_canceling(void **state)
{
    struct bench *b = *state;
    b->settings.run_exit_tasks_on_cancel = true;
    b->settings.exit_tasks_timeout_ms = 1000000;
    bench_engine_crash(b);
    bench_engine_start(b);
    hold(b, "c");
    hold(b, "z");
    struct id id = run_of(b, TASKS LIMITS("activeDeadlineSeconds: 100"));
    WAIT_UNTIL(b, fake_running(b->fake) == 1 && fake_begun(b->fake, "c") == 1);
    CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
    engine_wake(b->engine, id.text);
    WAIT_UNTIL(b, fake_begun(b->fake, "z") == 1);
    move_clock(b, 101);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "CANCELED");
    flow_check_states(b, "a=S b=S c=C z=C");
}

/* The engine dies after every k-th turn, before and after the moment. */
static void test_deadline_crash_anywhere(void **state)
{
    (void)state;
    for (int period = 1; period <= 6; period++) {
        void *own = NULL;
        setup(&own);
        struct bench *b = own;
        hold(b, "g/one");
        hold(b, "l/0/t");
        struct id id = run_of(b, NESTED LIMITS("activeDeadlineSeconds: 100"));
        for (int turn = 1; turn <= 40 * period; turn++) {
            bench_turn(b);
            if (turn % period == 0) {
                flow_restart(b);
            }
        }
        WAIT_UNTIL(b, fake_running(b->fake) == 2);
        clock_set_shift_us(101 * US_PER_S);
        for (int turn = 1; turn <= 30 * period; turn++) {
            if (turn % period == 0) {
                flow_restart(b);
            }
            bench_turn(b);
        }
        check_over(b, id, "g=C g/one=C g/two=C l=C l/0=C l/0/t=C");
        assert_int_equal(fake_begun(b->fake, NULL), 2);
        teardown(&own);
    }
}

/* ---- resourceTtl... ---- */

#define IN_WORKSPACE(config)                                                                       \
    "root: {dag: {tasks: {a: {" REF("step") ", " X(CONST("/kfp-workspace/x")) "}}}}\n" LIMITS(     \
        "workspace: {size: 1Gi}, " config)

static size_t volumes(const struct bench *b)
{
    return json_object_size(fake_volumes(b->fake));
}

/* Both lists have been looked through twice: what could go has gone. */
static void look_twice(struct bench *b)
{
    for (int i = 0; i < 2; i++) {
        expiry_look(b->engine->expiry);
        workspaces_look(b->engine->workspaces);
        bench_pass(b, 20);
    }
}

static void check_kept_s(const char *config, const char *program, const char *end, int64_t kept_s)
{
    void *own = NULL;
    setup(&own);
    struct bench *b = own;
    fake_will(b->fake, "a", -1, flow_end(program[0]));
    struct id id = run_of(b, config);
    if (program[0] == 'H') {
        WAIT_UNTIL(b, fake_begun(b->fake, "a") == 1);
        CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
        engine_wake(b->engine, id.text);
    }
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), end);
    if (kept_s > 0) {
        WAIT_UNTIL(b, b->ends == 1);
        move_clock(b, kept_s - 10);
        look_twice(b);
        assert_int_equal(volumes(b), 1);
        assert_int_equal(fake_purged(b->fake), 0);
        move_clock(b, 20); /* nobody looks: the timer is set for it */
    }
    WAIT_UNTIL(b, volumes(b) == 0);
    move_clock(b, 1000000);
    look_twice(b);
    assert_int_equal(fake_purged(b->fake), kept_s > 0);
    assert_string_equal(bench_state(b, id), end); /* the record stays */
    teardown(&own);
}

static void test_ttl(void **state)
{
    (void)state;
    check_kept_s(IN_WORKSPACE("resourceTtlOnCompletion: 0"), "S", "SUCCEEDED", 0);
    check_kept_s(IN_WORKSPACE("resourceTtlOnCompletion: 100"), "S", "SUCCEEDED", 100);
    check_kept_s(IN_WORKSPACE("resourceTtlOnCompletion: 100"), "F", "FAILED", 100);
    check_kept_s(IN_WORKSPACE("resourceTtlOnCompletion: 100, resourceTtlOnSuccess: 200"), "S",
        "SUCCEEDED", 200);
    check_kept_s(IN_WORKSPACE("resourceTtlOnSuccess: 200"), "F", "FAILED", 0);
    check_kept_s(
        IN_WORKSPACE("resourceTtlOnCompletion: 100, resourceTtlOnFailure: 50"), "F", "FAILED", 50);
    check_kept_s(IN_WORKSPACE("resourceTtlOnFailure: 50"), "H", "CANCELED", 50);
}

/* The engine that saw the end is gone when the time is over. */
static void test_ttl_outlives_engine(void **state)
{
    struct bench *b = *state;
    struct id id = run_of(b, IN_WORKSPACE("resourceTtlOnCompletion: 100"));
    bench_await_end(b, id);
    bench_engine_crash(b);
    bench_engine_start(b);
    look_twice(b);
    assert_int_equal(volumes(b), 1);
    bench_engine_crash(b);
    move_clock(b, 200);
    bench_engine_start(b);
    assert_int_equal(volumes(b), 1);
    expiry_look(b->engine->expiry);
    WAIT_UNTIL(b, volumes(b) == 0);
    assert_int_equal(fake_purged(b->fake), 1);
    look_twice(b);
    assert_int_equal(fake_purged(b->fake), 1);
}

/* An attempt whose end may still have to be found again keeps its log until then. */
static void test_ttl_waits_for_farewells(void **state)
{
    struct bench *b = *state;
    b->settings.forget_after_ms = 300;
    bench_engine_crash(b);
    bench_engine_start(b);
    struct id id = run_of(b, IN_WORKSPACE("resourceTtlOnCompletion: 1"));
    bench_await_end(b, id);
    move_clock(b, 2);
    WAIT_UNTIL(b, fake_purged(b->fake) == 1);
    assert_int_equal(fake_forgotten(b->fake), 1);
    WAIT_UNTIL(b, volumes(b) == 0);
}

static void test_ttl_of_deleted_run(void **state)
{
    struct bench *b = *state;
    struct id id = run_of(b, IN_WORKSPACE("resourceTtlOnCompletion: 100"));
    bench_await_end(b, id);
    WAIT_UNTIL(b, b->ends == 1);
    CALL(b, engine_delete(b->engine, id.text, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    workspaces_look(b->engine->workspaces);
    WAIT_UNTIL(b, volumes(b) == 0);
    assert_int_equal(fake_purged(b->fake), 1);
    move_clock(b, 200);
    look_twice(b);
    assert_int_equal(fake_purged(b->fake), 1);
}

/* The engine dies after every k-th turn while it lets go of what is over. */
static void test_ttl_crash_anywhere(void **state)
{
    (void)state;
    for (int period = 1; period <= 5; period++) {
        void *own = NULL;
        setup(&own);
        struct bench *b = own;
        struct id id = run_of(b, IN_WORKSPACE("resourceTtlOnCompletion: 100"));
        bench_await_end(b, id);
        clock_set_shift_us(200 * US_PER_S);
        for (int turn = 1; turn <= 20 * period; turn++) {
            if (turn % period == 0) {
                flow_restart(b);
                expiry_look(b->engine->expiry);
                workspaces_look(b->engine->workspaces);
            }
            bench_turn(b);
        }
        look_twice(b);
        WAIT_UNTIL(b, volumes(b) == 0);
        assert_true(fake_purged(b->fake) >= 1);
        size_t purged = fake_purged(b->fake);
        look_twice(b);
        assert_int_equal(fake_purged(b->fake), purged);
        assert_string_equal(bench_state(b, id), "SUCCEEDED");
        teardown(&own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_missed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_missed_after_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_last_task_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_not_reached, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_retry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_of_canceling, setup, teardown),
        cmocka_unit_test(test_deadline_crash_anywhere),
        cmocka_unit_test(test_ttl),
        cmocka_unit_test_setup_teardown(test_ttl_outlives_engine, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ttl_waits_for_farewells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ttl_of_deleted_run, setup, teardown),
        cmocka_unit_test(test_ttl_crash_anywhere),
    };
    return cmocka_run_group_tests_name("run/limits", tests, NULL, NULL);
}
