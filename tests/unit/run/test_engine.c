/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on whole runs: order, data flow, failures, cancelling, limits, events. */
#include "bench.h"

#include <time.h>

#define FAILED(code, log)                                                                          \
    (struct fake_end)                                                                              \
    {                                                                                              \
        .state = ATTEMPT_STATE_FAILED, .exit_code = (code), .reason = "exit code " #code,          \
        .log_tail = (log)                                                                          \
    }
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
#define LOST                                                                                       \
    (struct fake_end)                                                                              \
    {                                                                                              \
        .state = ATTEMPT_STATE_LOST, .reason = "the node is gone"                                  \
    }

/* ---- order and states ---- */

struct order_case {
    const char *name;
    struct step_row rows[8];
    const char *failing; /* task that fails, or NULL */
    const char *state;   /* of the run */
    const char *order;   /* in which tasks begin */
    const char *states;  /* "a=SUCCEEDED b=FAILED" */
};

static const struct order_case order_cases[] = {
    {
        .name = "one task",
        .rows = {{"a", NULL, NULL, NULL, NULL}},
        .state = "SUCCEEDED",
        .order = "a",
        .states = "a=SUCCEEDED",
    },
    {
        .name = "linear by data, listed backwards",
        .rows = {{"c", NULL, "b", NULL, NULL}, {"b", NULL, "a", NULL, NULL},
            {"a", NULL, NULL, NULL, NULL}},
        .state = "SUCCEEDED",
        .order = "a b c",
        .states = "a=SUCCEEDED b=SUCCEEDED c=SUCCEEDED",
    },
    {
        .name = "diamond",
        .rows = {{"a", NULL, NULL, NULL, NULL}, {"b", "a", NULL, NULL, NULL},
            {"c", "a", NULL, NULL, NULL}, {"d", "b c", NULL, "b", NULL}},
        .state = "SUCCEEDED",
        .order = "a b c d",
        .states = "a=SUCCEEDED b=SUCCEEDED c=SUCCEEDED d=SUCCEEDED",
    },
    {
        .name = "a failure stops what depends on it and nothing else",
        .rows = {{"a", NULL, NULL, NULL, NULL}, {"b", "a", NULL, NULL, NULL},
            {"c", "b", NULL, NULL, NULL}, {"d", NULL, NULL, NULL, NULL},
            {"e", "d", NULL, NULL, NULL}, {"f", "c e", NULL, NULL, NULL}},
        .failing = "a",
        .state = "FAILED",
        .order = "a d e",
        .states = "a=FAILED b=UNSCHEDULABLE c=UNSCHEDULABLE d=SUCCEEDED e=SUCCEEDED "
                  "f=UNSCHEDULABLE",
    },
    {
        .name = "the last one fails",
        .rows = {{"a", NULL, NULL, NULL, NULL}, {"b", NULL, "a", NULL, NULL}},
        .failing = "b",
        .state = "FAILED",
        .order = "a b",
        .states = "a=SUCCEEDED b=FAILED",
    },
};

static void check_states(struct bench *b, const char *states)
{
    const char *p = states;
    while (*p != '\0') {
        size_t len = strcspn(p, " "), key = strcspn(p, "=");
        char *path = xstrndup(p, key), *want = xstrndup(p + key + 1, len - key - 1);
        if (strcmp(bench_task_state(b, path), want) != 0) {
            fail_msg("task %s is %s, not %s", path, bench_task_state(b, path), want);
        }
        free(path);
        free(want);
        p += len + (p[len] == ' ');
    }
}

static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(order_cases); i++) {
        const struct order_case *c = &order_cases[i];
        print_message("  %s\n", c->name);
        void *own = NULL;
        bench_setup(&own);
        struct bench *b = own;
        char sha[65];
        size_t count = 0;
        while (count < ARRAY_LEN(c->rows) && c->rows[count].key != NULL) {
            count++;
        }
        bench_put_spec(b, spec_of("order", c->rows, count), sha);
        if (c->failing != NULL) {
            fake_will(b->fake, c->failing, -1, FAILED(3, "one\ntwo\n"));
        }
        struct id id = bench_run(b, sha, NULL);
        bench_await_end(b, id);
        assert_string_equal(jget_str(b->answer, "state", ""), c->state);
        check_states(b, c->states);
        assert_string_equal(fake_order(b->fake), c->order);
        assert_int_equal(json_array_size(json_object_get(b->answer, "history")), 3);
        WAIT_UNTIL(b, b->ends == 1);
        assert_int_equal(fake_forgotten(b->fake), fake_begun(b->fake, NULL));
        assert_int_equal(bench_events(b, id, "run.started", NULL), 1);
        assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
        assert_int_equal(bench_events(b, id, "task.started", NULL), fake_begun(b->fake, NULL));
        assert_int_equal(bench_events(b, id, "task.finished", NULL), fake_begun(b->fake, NULL));
        assert_true(b->event_hints > 0);
        struct engine_counts counts;
        engine_counts(b->engine, &counts);
        assert_int_equal(counts.live_runs, 0);
        assert_int_equal(counts.running_steps, 0);
        bench_teardown(&own);
    }
}

static void test_failure_text(void **state)
{
    struct bench *b = *state;
    const struct step_row rows[] = {
        {"train", NULL, NULL, NULL, NULL}, {"other", NULL, NULL, NULL, NULL}};
    char sha[65];
    bench_put_spec(b, spec_of("failing", rows, 2), sha);
    fake_will(b->fake, "train", -1, FAILED(3, "epoch 1\nValueError: no data\n"));
    fake_will(b->fake, "other", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, bench_events(b, id, "task.finished", "train") == 1);
    assert_string_equal(bench_state(b, id), "RUNNING"); /* the sibling goes on */
    assert_true(fake_finish(b->fake, "other", FAILED(1, "")));
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "error", ""),
        "task train failed with exit code 3: epoch 1\nValueError: no data\n(and 1 more task "
        "failed)");
    const json_t *task = bench_task(b, "train");
    assert_string_equal(jget_str(task, "log_tail", ""), "epoch 1\nValueError: no data\n");
    assert_int_equal(jget_i64(task, "exit_code", 0), 3);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
    const json_t *data = json_object_get(b->answer, "data");
    assert_string_equal(jget_str(data, "state", ""), "FAILED");
    assert_string_equal(jget_str(data, "run_name", ""), "a run");
    assert_string_equal(jget_str(data, "experiment_id", ""), experiment_id);
}

/* ---- data ---- */

static void test_data_flow(void **state)
{
    struct bench *b = *state;
    const struct step_row rows[] = {{"a", NULL, "^greeting", NULL, NULL},
        {"b", NULL, "a", "a", NULL}, {"c", NULL, "=run {{$.pipeline_job_uuid}}", NULL, NULL}};
    char sha[65];
    json_t *spec = spec_of("data", rows, 3);
    json_t *root = json_object_get(spec, "root");
    json_object_set_new(root, "inputDefinitions",
        json_from("{\"parameters\":{\"greeting\":{\"parameterType\":\"STRING\"}}}"));
    json_object_set_new(root, "outputDefinitions",
        json_from("{\"parameters\":{\"result\":{\"parameterType\":\"STRING\"}},"
                  "\"artifacts\":{\"best\":{\"artifactType\":{\"schemaTitle\":\"system.Model\","
                  "\"schemaVersion\":\"0.0.1\"}}}}"));
    json_object_set_new(json_object_get(root, "dag"), "outputs",
        json_from("{\"parameters\":{\"result\":{\"valueFromParameter\":{\"producerSubtask\":\"b\","
                  "\"outputParameterKey\":\"out\"}}},\"artifacts\":{\"best\":{"
                  "\"artifactSelectors\":[{\"producerSubtask\":\"a\","
                  "\"outputArtifactKey\":\"model\"}]}}}"));
    bench_put_spec(b, spec, sha);
    fake_output(b->fake, "a", "out", "from a");
    fake_output(b->fake, "b", "out", "from b");
    json_t *parameters = json_pack("{s:s}", "greeting", "hi [[RunUUID]]");
    struct id id = bench_run(b, sha, parameters);
    json_decref(parameters);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "error", ""), "");
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
    const json_t *outputs = json_object_get(b->answer, "outputs");
    assert_string_equal(jget_str(json_object_get(outputs, "parameters"), "result", ""), "from b");
    const json_t *best =
        json_array_get(json_object_get(json_object_get(outputs, "artifacts"), "best"), 0);
    assert_true(str_starts(jget_str(best, "uri", ""), "file:///"));
    assert_true(id_is_valid(jget_str(best, "id", "")));

    const json_t *argv = json_object_get(fake_work_order(b->fake, "a"), "argv");
    assert_string_equal(json_string_value(json_array_get(argv, 0)), "echo");
    char *hi CLEANUP(cleanup_free) = xasprintf("hi %s", id.text);
    assert_string_equal(json_string_value(json_array_get(argv, 1)), hi);
    const json_t *order = fake_work_order(b->fake, "b");
    argv = json_object_get(order, "argv");
    assert_string_equal(json_string_value(json_array_get(argv, 1)), "from a");
    const json_t *input = json_array_get(json_object_get(order, "inputs"), 0);
    assert_string_equal(jget_str(input, "uri", ""), jget_str(best, "uri", "-"));
    assert_string_equal(jget_str(input, "name", ""), "data");
    assert_string_equal(jget_str(json_object_get(order, "env"), "GREETING", ""), "hello");
    assert_string_equal(jget_str(json_object_get(order, "env"), "KFP_RETRY_INDEX", ""), "0");
    char *values CLEANUP(cleanup_free) = jtext(json_object_get(order, "values"));
    assert_true(str_starts(values, "[[1,0,6],[2,0,"));
    assert_true(jget_str(order, "output_file", "")[0] == '/');
    assert_string_equal(jget_str(fake_container(b->fake, "b"), "image", ""), "img:1");
    argv = json_object_get(fake_work_order(b->fake, "c"), "argv");
    char *want CLEANUP(cleanup_free) = xasprintf("run %s", id.text);
    assert_string_equal(json_string_value(json_array_get(argv, 1)), want);

    assert_int_equal(bench_events(b, id, "artifact.created", NULL), 3);
    assert_int_equal(bench_events(b, id, "artifact.created", "a"), 1);
    const json_t *data = json_object_get(b->answer, "data");
    assert_string_equal(jget_str(data, "name", ""), "model");
    assert_string_equal(jget_str(data, "artifact_type", ""), "system.Model");
    assert_int_equal(jget_i64(data, "size", 0), 3);
}

static json_t *nested_spec(void)
{
    const struct step_row outer[] = {{"first", NULL, NULL, NULL, NULL},
        {"group", NULL, "first", NULL, "comp-group"}, {"last", NULL, "group", NULL, NULL}};
    const struct step_row inner[] = {
        {"one", NULL, "^x", NULL, NULL}, {"two", NULL, "one", NULL, NULL}};
    json_t *spec = spec_of("nested", outer, 3);
    json_t *group = json_from(
        "{\"inputDefinitions\":{\"parameters\":{\"x\":{\"parameterType\":\"STRING\"}}},"
        "\"outputDefinitions\":{\"parameters\":{\"out\":{\"parameterType\":\"STRING\"}}},"
        "\"dag\":{\"tasks\":{},\"outputs\":{\"parameters\":{\"out\":{\"valueFromParameter\":{"
        "\"producerSubtask\":\"two\",\"outputParameterKey\":\"out\"}}}}}}");
    spec_tasks(json_object_get(json_object_get(group, "dag"), "tasks"), inner, 2);
    json_object_set_new(json_object_get(spec, "components"), "comp-group", group);
    return spec;
}

static void test_nested(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, nested_spec(), sha);
    fake_output(b->fake, "group/two", "out", "deep");
    struct id id = bench_run(b, sha, NULL);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
    check_states(b, "first=SUCCEEDED group=SUCCEEDED group/one=SUCCEEDED group/two=SUCCEEDED "
                    "last=SUCCEEDED");
    assert_string_equal(fake_order(b->fake), "first group/one group/two last");
    const json_t *argv = json_object_get(fake_work_order(b->fake, "group/one"), "argv");
    assert_string_equal(json_string_value(json_array_get(argv, 1)), "first.out");
    argv = json_object_get(fake_work_order(b->fake, "last"), "argv");
    assert_string_equal(json_string_value(json_array_get(argv, 1)), "deep");
    assert_string_equal(jget_str(bench_task(b, "group/one"), "parent", ""), "group");
    assert_string_equal(jget_str(bench_task(b, "group"), "kind", ""), "dag");
}

static void test_nested_failure(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, nested_spec(), sha);
    fake_will(b->fake, "group/one", -1, FAILED(7, "boom"));
    struct id id = bench_run(b, sha, NULL);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "FAILED");
    check_states(b, "first=SUCCEEDED group=FAILED group/one=FAILED group/two=UNSCHEDULABLE "
                    "last=UNSCHEDULABLE");
    assert_string_equal(
        jget_str(b->answer, "error", ""), "task group/one failed with exit code 7: boom");
}

static void test_bad_parameters(void **state)
{
    struct bench *b = *state;
    const struct step_row rows[] = {{"a", NULL, NULL, NULL, NULL}};
    char sha[65];
    bench_put_spec(b, spec_of("p", rows, 1), sha);
    json_t *parameters = json_pack("{s:s}", "nobody", "1");
    struct id id = bench_run(b, sha, parameters);
    json_decref(parameters);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "FAILED");
    assert_non_null(strstr(jget_str(b->answer, "error", ""), "nobody"));
    assert_int_equal(fake_begun(b->fake, NULL), 0);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
}

static void test_missing_spec(void **state)
{
    struct bench *b = *state;
    struct id id =
        bench_run(b, "0000000000000000000000000000000000000000000000000000000000000000", NULL);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "FAILED");
    assert_non_null(strstr(jget_str(b->answer, "error", ""), "pipeline cannot be read"));
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
    assert_non_null(
        strstr(jget_str(json_object_get(b->answer, "data"), "error", ""), "cannot be read"));
    assert_int_equal(bench_events(b, id, "run.started", NULL), 0);
}

/* ---- cancelling ---- */

static void test_cancel(void **state)
{
    struct bench *b = *state;
    char sha[65];
    bench_put_spec(b, nested_spec(), sha);
    fake_will(b->fake, "group/one", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_begun(b->fake, "group/one") == 1);
    CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
    assert_string_equal(jget_str(b->answer, "state", ""), "CANCELING");
    engine_wake(b->engine, id.text);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "CANCELED");
    check_states(b, "first=SUCCEEDED group=CANCELED group/one=CANCELED group/two=CANCELED "
                    "last=CANCELED");
    assert_int_equal(fake_running(b->fake), 0);
    assert_int_equal(bench_events(b, id, "run.canceling", NULL), 1);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
    /* Again, now that it has ended: nothing happens. */
    CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    assert_string_equal(jget_str(b->answer, "state", ""), "CANCELED");
    assert_int_equal(bench_events(b, id, "run.canceling", NULL), 1);
}

static void test_cancel_at_once(void **state)
{
    struct bench *b = *state;
    const struct step_row rows[] = {{"a", NULL, NULL, NULL, NULL}};
    char sha[65];
    bench_put_spec(b, spec_of("p", rows, 1), sha);
    fake_will(b->fake, "a", -1, HELD);
    struct id id = bench_run(b, sha, NULL);
    CALL(b, run_cancel(b->store, id.text, bench_on_json, b)); /* while it is being loaded */
    engine_wake(b->engine, id.text);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "CANCELED");
    assert_int_equal(fake_running(b->fake), 0);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
}

/* ---- attempts that vanish ---- */

static void test_lost_retry(void **state)
{
    struct bench *b = *state;
    const struct step_row rows[] = {{"a", NULL, NULL, NULL, NULL}};
    char sha[65];
    bench_put_spec(b, spec_of("p", rows, 1), sha);
    fake_will(b->fake, "a", 0, LOST);
    struct id id = bench_run(b, sha, NULL);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
    assert_int_equal(jget_i64(bench_task(b, "a"), "attempt", -1), 1);
    assert_int_equal(jget_i64(bench_task(b, "a"), "lost", -1), 1);
    assert_int_equal(fake_begun(b->fake, "a"), 2);
    assert_string_equal(
        jget_str(json_object_get(fake_work_order(b->fake, "a"), "env"), "KFP_RETRY_INDEX", ""),
        "0");
    assert_int_equal(bench_events(b, id, "task.retrying", "a"), 1);
    assert_int_equal(bench_events(b, id, "task.started", "a"), 2);
    assert_int_equal(bench_events(b, id, "task.finished", "a"), 1);
}

static void test_lost_too_often(void **state)
{
    struct bench *b = *state;
    const struct step_row rows[] = {{"a", NULL, NULL, NULL, NULL}};
    char sha[65];
    b->settings.lost_retries = 1;
    bench_engine_crash(b);
    bench_engine_start(b);
    bench_put_spec(b, spec_of("p", rows, 1), sha);
    fake_will(b->fake, "a", -1, LOST);
    struct id id = bench_run(b, sha, NULL);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "FAILED");
    assert_string_equal(jget_str(b->answer, "error", ""),
        "task a failed: its attempt was lost 2 times, the last time: the node is gone");
    assert_int_equal(fake_begun(b->fake, "a"), 2);
    assert_int_equal(bench_events(b, id, "task.retrying", "a"), 1);
    assert_int_equal(bench_events(b, id, "task.finished", "a"), 1);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
}

/* ---- limits ---- */

static void test_slots_are_fair(void **state)
{
    struct bench *b = *state;
    struct step_row rows[20];
    char names[20][16];
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof(names[i]), "big%02d", i);
        rows[i] = (struct step_row){.key = names[i]};
    }
    const struct step_row small[] = {{"small", NULL, NULL, NULL, NULL}};
    char big_sha[65], small_sha[65];
    b->settings.max_steps = 2;
    bench_engine_crash(b);
    bench_engine_start(b);
    bench_put_spec(b, spec_of("big", rows, 20), big_sha);
    bench_put_spec(b, spec_of("small", small, 1), small_sha);
    for (int i = 0; i < 20; i++) {
        fake_will(b->fake, names[i], -1, HELD);
    }
    struct id big = bench_run(b, big_sha, NULL);
    WAIT_UNTIL(b, fake_running(b->fake) == 2);
    struct id other = bench_run(b, small_sha, NULL);
    bench_pass(b, 50);
    struct engine_counts counts;
    engine_counts(b->engine, &counts);
    assert_int_equal(counts.running_steps, 2);
    assert_int_equal(counts.waiting_steps, 19);
    assert_true(
        fake_finish(b->fake, names[0], SUCCEEDED) || fake_finish(b->fake, names[1], SUCCEEDED));
    WAIT_UNTIL(b, fake_running(b->fake) == 2 || fake_begun(b->fake, "small") == 1);
    fake_finish(b->fake, names[1], SUCCEEDED);
    bench_await_end(b, other); /* long before the big one's queue is empty */
    assert_true(fake_begun(b->fake, NULL) <= 6);
    while (str_eq(bench_state(b, big), "RUNNING")) {
        for (int i = 0; i < 20; i++) {
            fake_finish(b->fake, names[i], SUCCEEDED);
        }
    }
    assert_string_equal(bench_state(b, big), "SUCCEEDED");
    assert_int_equal(fake_running_max(b->fake), 2);
}

/* A chain of n tasks: its cost per task must not grow with n. */
static double time_chain(struct bench *b, int n, bool is_wide)
{
    struct step_row *rows = xcalloc((size_t)n, sizeof(*rows));
    char(*names)[16] = xcalloc((size_t)n, sizeof(*names));
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "t%05d", i);
        rows[i] =
            (struct step_row){.key = names[i], .x_from = is_wide || i == 0 ? NULL : names[i - 1]};
    }
    char sha[65];
    bench_put_spec(b, spec_of(is_wide ? "wide" : "chain", rows, (size_t)n), sha);
    /* Once before, so that the plan is compiled. */
    size_t begun = fake_begun(b->fake, NULL);
    /* Processor time: the machine may be busy with other things. */
    clock_t start = clock();
    struct id id = bench_run(b, sha, NULL);
    size_t ends = b->ends;
    int64_t end = clock_mono_us() + 100 * US_PER_S;
    while (b->ends == ends && clock_mono_us() < end) {
        loop_turn(b->loop, true);
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_string_equal(bench_state(b, id), "SUCCEEDED");
    assert_int_equal(fake_begun(b->fake, NULL) - begun, n);
    free(rows);
    free(names);
    return seconds;
}

static void test_cost_is_proportional(void **state)
{
    struct bench *b = *state;
    for (int wide = 0; wide < 2; wide++) {
        double small = time_chain(b, 100, wide), large = time_chain(b, 1000, wide);
        print_message(
            "  %s: 100 tasks %.3f s, 1000 tasks %.3f s\n", wide ? "wide" : "chain", small, large);
        /* Ten times the tasks; quadratic cost would be a hundred times. */
        assert_true(large < small * 30 + 0.2);
    }
}

/* ---- logs ---- */

struct log_answer {
    bool is_done;
    char *text;
    struct err err;
};

static void on_log(void *owner, const char *text, size_t len, const struct err *err)
{
    struct log_answer *answer = owner;
    answer->is_done = true;
    answer->text = text == NULL ? NULL : xstrndup(text, len);
    if (err != NULL) {
        err_copy(&answer->err, err);
    }
}

static void test_logs(void **state)
{
    struct bench *b = *state;
    const struct step_row rows[] = {{"a", NULL, NULL, NULL, NULL}, {"b", "a", NULL, NULL, NULL}};
    char sha[65];
    bench_put_spec(b, spec_of("p", rows, 2), sha);
    fake_will(b->fake, "b", -1, FAILED(1, "kept tail"));
    struct id id = bench_run(b, sha, NULL);
    bench_await_end(b, id);
    static const struct {
        const char *path, *text, *error;
    } cases[] = {
        {"a", "log of a 0\n", NULL},
        {"b", "kept tail", NULL},
        {NULL,
            "==> a (attempt 0, SUCCEEDED) <==\nlog of a 0\n==> b (attempt 0, FAILED) <==\nkept "
            "tail\n",
            NULL},
        {"nope", NULL, "has no task 'nope'"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct log_answer answer = {0};
        engine_logs(b->engine, id.text, cases[i].path, 1000, on_log, &answer);
        WAIT_UNTIL(b, answer.is_done);
        if (cases[i].text != NULL) {
            assert_non_null(answer.text);
            assert_string_equal(answer.text, cases[i].text);
        } else {
            assert_non_null(strstr(answer.err.msg, cases[i].error));
        }
        free(answer.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test_setup_teardown(test_failure_text, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_data_flow, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_nested, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_nested_failure, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_bad_parameters, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_missing_spec, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_cancel, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_cancel_at_once, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_lost_retry, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_lost_too_often, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_slots_are_fair, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_cost_is_proportional, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_logs, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("run/engine", tests, NULL, NULL);
}
