/* SPDX-License-Identifier: Apache-2.0 */
/* What events say of runs and tasks. That each comes once, whatever dies, the other tests show. */
#include "flow.h"

/* ---- tasks that are skipped ---- */

/* a, b behind it, c behind b, and an exit task. */
#define CHAIN                                                                                      \
    "root: {dag: {tasks: {a: {" REF("step") "}, b: {dependentTasks: [a], " REF(                    \
        "step") "}, "                                                                              \
                "c: {dependentTasks: [b], " REF(                                                   \
                    "step") "}, "                                                                  \
                            "z: {dependentTasks: [c], triggerPolicy: {" COMPLETED                  \
                            "}, " REF("step") "}}}}\n"
/* Two that end differently before one that needs both. */
#define TWO                                                                                        \
    "root: {dag: {tasks: {a: {" REF("step") ", " WHEN("1 == 2") "}, b: {" REF(                     \
        "step") "}, "                                                                              \
                "c: {dependentTasks: [a, b], " REF("step") "}}}}\n"
#define NESTED                                                                                     \
    "  inner: {dag: {tasks: {one: {" REF("step") "}}}}\n"                                          \
                                                 "root: {dag: {tasks: {g: {" REF(                  \
                                                     "inner") ", " WHEN("1 == 2") "}}}}\n"

static const struct skip_case {
    const char *name, *yaml, *programs, *task;
    const char *state, *reason, *upstream; /* NULL: none */
} skip_cases[] = {
    {"what failed before it", CHAIN, "a=F", "b", "UNSCHEDULABLE", "upstream_failed", "a"},
    {"what was skipped before it", CHAIN, "a=F", "c", "UNSCHEDULABLE", "upstream_skipped", "b"},
    {"its condition", TWO, NULL, "a", "NOT_TRIGGERED", "condition_false", NULL},
    {"one of two", TWO, NULL, "c", "UNSCHEDULABLE", "upstream_skipped", "a"},
    {"the first of two that did not end well", TWO, "b=F", "c", "UNSCHEDULABLE", "upstream_skipped",
        "a"},
    {"a whole pipeline", NESTED, NULL, "g", "NOT_TRIGGERED", "condition_false", NULL},
};

static void test_skipped(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(skip_cases); i++) {
        const struct skip_case *c = &skip_cases[i];
        print_message("  %s\n", c->name);
        void *own = NULL;
        bench_setup(&own);
        struct bench *b = own;
        char sha[65];
        flow_put(b, c->yaml, sha);
        flow_each(b, c->programs, ' ', flow_will);
        struct id id = bench_run(b, sha, NULL);
        bench_await_end(b, id);
        flow_check_ends(b, id);
        assert_int_equal(bench_events(b, id, "task.skipped", c->task), 1);
        const json_t *data = json_object_get(b->answer, "data");
        assert_string_equal(jget_str(data, "state", ""), c->state);
        assert_string_equal(jget_str(data, "reason", ""), c->reason);
        assert_string_equal(jget_str(data, "upstream", ""), c->upstream != NULL ? c->upstream : "");
        bench_teardown(&own);
    }
}

static void test_canceled(void **state)
{
    struct bench *b = *state;
    char sha[65];
    flow_put(b, CHAIN, sha);
    flow_will(b, "a", "H");
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_begun(b->fake, "a") == 1);
    CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
    engine_wake(b->engine, id.text);
    bench_await_end(b, id);
    flow_check_ends(b, id);
    assert_int_equal(bench_events(b, id, "task.finished", "a"), 1);
    assert_string_equal(jget_str(json_object_get(b->answer, "data"), "state", ""), "CANCELED");
    for (const char *const *task = (const char *const[]){"b", "c", "z", NULL}; *task != NULL;
         task++) {
        assert_int_equal(bench_events(b, id, "task.skipped", *task), 1);
        assert_string_equal(
            jget_str(json_object_get(b->answer, "data"), "reason", ""), "run_canceled");
    }
}

/* ---- what all events of a run say ---- */

#define ONE "root: {dag: {tasks: {a: {" REF("step") "}}}}\n"

static void test_created(void **state)
{
    struct bench *b = *state;
    char sha[65];
    struct id id;
    id_new(&id);
    flow_put(b, ONE, sha);
    json_t *trigger = json_pack("{s:s,s:s,s:s}", "kind", "git", "repository", "acme/models",
        "commit", "5d2f0c9d7d3c4b1e8a6f90c2b7e1d4a3f8c6b5e0");
    const struct run_request req = {.id = id.text,
        .name = "a \"run\"",
        .experiment_id = "0f000000-0000-4000-8000-000000000000",
        .spec = sha,
        .pipeline_name = "p",
        .pipeline_id = "1f000000-0000-4000-8000-000000000000",
        .trigger = trigger};
    CALL(b, run_create(b->store, &req, bench_on_json, b));
    CALL(b, run_create(b->store, &req, bench_on_json, b)); /* again: it is there already */
    json_decref(trigger);
    assert_int_equal(bench_events(b, id, "run.created", NULL), 1);
    struct id expected;
    id_derive(&expected, id.text, "run.created");
    assert_string_equal(jget_str(b->answer, "id", ""), expected.text);
    assert_int_equal(
        json_object_size(json_object_get(json_object_get(b->answer, "data"), "trigger")), 3);
    engine_wake(b->engine, id.text);
    bench_await_end(b, id);
    static const char *const types[] = {
        "run.created", "run.started", "task.started", "task.finished", "run.finished"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        assert_int_equal(bench_events(b, id, types[i], NULL), 1);
        const json_t *data = json_object_get(b->answer, "data");
        assert_string_equal(jget_str(data, "run_id", ""), id.text);
        assert_string_equal(jget_str(data, "run_name", ""), req.name);
        assert_string_equal(jget_str(data, "experiment_id", ""), req.experiment_id);
        assert_string_equal(jget_str(data, "pipeline_name", ""), "p");
        assert_string_equal(jget_str(data, "pipeline_id", ""), req.pipeline_id);
        assert_string_equal(jget_str(data, "repository", ""), "acme/models");
        assert_string_equal(
            jget_str(data, "commit", ""), "5d2f0c9d7d3c4b1e8a6f90c2b7e1d4a3f8c6b5e0");
        assert_null(json_object_get(data, "recurring_run_id"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skipped),
        cmocka_unit_test_setup_teardown(test_canceled, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_created, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("run/events", tests, NULL, NULL);
}
