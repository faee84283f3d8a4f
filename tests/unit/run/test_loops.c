/* SPDX-License-Identifier: Apache-2.0 */
/* Loops: items, iterations, limits, nesting, what is collected, failures within. */
#include "flow.h"

#include <time.h>

#define TAKES(name, type) "inputDefinitions: {parameters: {" name ": {parameterType: " type "}}}"

/* A body: one step that gets the item (as it is declared here) and gives its output. */
#define BODY(name, type)                                                                           \
    "  " name ": {" TAKES("item", type) ", outputDefinitions: {parameters: {out: {parameterType: " \
    "STRING}}, artifacts: {model: {" MODEL "}}}, dag: {outputs: {parameters: {out: "               \
    "{valueFromParameter: {producerSubtask: t, outputParameterKey: out}}}, artifacts: {model: "    \
    "{artifactSelectors: [{producerSubtask: t, outputArtifactKey: model}]}}}, tasks: {t: {"        \
    REF("step") ", " X(INPUT("item")) "}}}}\n"
#define LOOP(raw) "l: {" REF("body") ", " OVER_RAW(raw, "item") "}"
#define USE(name, producer) name ": {" REF("list") ", " X(FROM(producer)) "}"

/* x in two loops, one in the other; the inner one gives the product. */
#define NESTED(outer, inner)                                                                       \
    BODY("body", "NUMBER_INTEGER")                                                                 \
    "  outer: {" TAKES("o", "NUMBER_INTEGER") ", " OUT_IS("LIST") ", dag: {" GIVES("l")            \
    ", tasks: {l: {" REF("body") ", " OVER_RAW(inner, "item") "}, " USE("sum", "l") "}}}\n"        \
    "root: {dag: {tasks: {m: {" REF("outer") ", " OVER_RAW(outer, "o") "}, " USE("u", "m") "}}}\n"

static const struct flow_case cases[] = {
    {
        .name = "constants",
        .yaml = BODY("body", "STRING") "root: {dag: {tasks: {" LOOP("[\"a\", 2, {\"k\": [1]}]")
            ", " USE("u", "l") "}}}\n",
        .states = "l=S l/0=S l/0/t=S l/1=S l/1/t=S l/2=S l/2/t=S u=S",
        .writes = "u/out=[]",
        .args = "l/0/t=a;l/1/t=2;l/2/t={\"k\":[1]};"
                "u=[\"l/0/t.out\",\"l/1/t.out\",\"l/2/t.out\"]",
    },
    {
        .name = "no items",
        .yaml = BODY("body", "STRING") "root: {dag: {tasks: {" LOOP("[]") ", " USE("u", "l") "}}}\n",
        .states = "l=S u=S",
        .writes = "u/out=[]",
        .args = "u=[]",
    },
    {
        .name = "over a list that a task wrote",
        .yaml = BODY("body", "NUMBER_INTEGER") "root: {dag: {tasks: {p: {" REF("list") ", " X(
            CONST("[1]")) "}, l: {" REF("body") ", inputs: {parameters: {all: {" FROM(
            "p") "}}}, " OVER("all", "item") "}, " USE("u", "l") "}}}\n",
        .states = "l=S l/0=S l/0/t=S l/1=S l/1/t=S p=S u=S",
        .writes = "p/out=[7, 8.0];u/out=[]",
        .args = "l/0/t=7;l/1/t=8;u=[\"l/0/t.out\",\"l/1/t.out\"]",
    },
    {
        .name = "over a text that holds a list",
        .yaml = BODY("body", "STRING") "root: {dag: {tasks: {p: {" REF("step") "}, l: {" REF(
            "body") ", inputs: {parameters: {all: {" FROM("p") "}}}, " OVER("all", "item") "}}}}\n",
        .states = "l=S l/0=S l/0/t=S l/1=S l/1/t=S p=S",
        .writes = "p/out=[\"q\", [1]]",
        .args = "l/0/t=q;l/1/t=[1]",
    },
    {
        .name = "over a text that holds none",
        .yaml = BODY("body", "STRING") "root: {dag: {tasks: {p: {" REF("step") "}, l: {" REF(
            "body") ", inputs: {parameters: {all: {" FROM("p") "}}}, " OVER("all", "item") "}, "
            "v: {" REF("step") ", dependentTasks: [l]}}}}\n",
        .state = "FAILED",
        .states = "l=F p=S v=U",
        .writes = "p/out={}",
        .error = "task l: it loops over input 'all', whose text is not a JSON array: {}",
    },
    {
        .name = "over a dict",
        .yaml = BODY("body", "STRING") "root: {dag: {tasks: {l: {" REF(
            "body") ", inputs: {parameters: {all: {" CONST("{a: 1}") "}}}, " OVER(
            "all", "item") "}}}}\n",
        .state = "FAILED",
        .states = "l=F",
        .error = "is neither a list nor the text of one",
    },
    {
        .name = "one item does not fit",
        .yaml = BODY("body", "NUMBER_INTEGER") "root: {dag: {tasks: {" LOOP("[1, \"x\", 3]")
            ", " USE("u", "l") ", e: {" REF("list") ", triggerPolicy: {" COMPLETED "}, " X(
            FROM("l")) "}}}}\n",
        .state = "FAILED",
        .states = "e=S l=F l/0=S l/0/t=S l/1=F l/2=S l/2/t=S u=U",
        .writes = "e/out=[]",
        .args = "e=[\"l/0/t.out\",\"l/2/t.out\"]",
        .error = "task l/1: item 1: ",
    },
    {
        .name = "a failure within: the others go on",
        .yaml = BODY("body", "STRING") "root: {dag: {tasks: {l: {" REF("body") ", " OVER_RAW(
            "[1, 2, 3]", "item") ", iteratorPolicy: {parallelismLimit: 1}}, " USE("u", "l") "}}}\n",
        .programs = "l/1/t=F",
        .state = "FAILED",
        .states = "l=F l/0=S l/0/t=S l/1=F l/1/t=F l/2=S l/2/t=S u=U",
        .error = "task l/1/t failed with exit code 3",
    },
    {
        .name = "losses within",
        .yaml = BODY("body", "STRING") "root: {dag: {tasks: {" LOOP("[1, 2]") ", " USE(
            "u", "l") "}}}\n",
        .programs = "l/1/t#0=L",
        .writes = "u/out=[]",
        .states = "l=S l/0=S l/0/t=S l/1=S l/1/t=S u=S",
    },
    {
        .name = "a container as the body",
        .yaml = "root: {dag: {tasks: {l: {" REF("number") ", " OVER_RAW(
            "[4, 5]", "n") "}, " USE("u", "l") "}}}\n",
        .states = "l=S l/0=S l/1=S u=S",
        .writes = "l/0/out=40;l/1/out=50;u/out=[]",
        .args = "l/0=4;l/1=5;u=[40,50]",
    },
    {
        .name = "a container as the body, limited, one fails",
        .yaml = "root: {dag: {tasks: {l: {" REF("number") ", " OVER_RAW("[4, 5, 6, 7, 8]",
            "n") ", iteratorPolicy: {parallelismLimit: 2}}, " USE("u", "l") "}}}\n",
        .programs = "l/3=F",
        .state = "FAILED",
        .states = "l=F l/0=S l/1=S l/2=S l/3=F l/4=S u=U",
        .writes = "l/0/out=1;l/1/out=1;l/2/out=1;l/4/out=1",
    },
    {
        .name = "a condition is the loop's",
        .yaml = BODY("body", "STRING") "root: {dag: {tasks: {l: {" REF(
            "body") ", inputs: {parameters: {w: {" CONST("go") "}}}, " OVER_RAW(
            "[1, 2]", "item") ", " WHEN("inputs.parameter_values['w'] == 'stay'") "}, v: {" REF(
            "step") ", dependentTasks: [l]}}}}\n",
        .states = "l=N v=U",
    },
    {
        .name = "nested: a list of lists",
        .yaml = NESTED("[1, 2]", "[7, 8]"),
        .states = "m=S m/0=S m/0/l=S m/0/l/0=S m/0/l/0/t=S m/0/l/1=S m/0/l/1/t=S m/0/sum=S "
                  "m/1=S m/1/l=S m/1/l/0=S m/1/l/0/t=S m/1/l/1=S m/1/l/1/t=S m/1/sum=S u=S",
        .writes = "m/0/sum/out=[];m/1/sum/out=[];u/out=[]",
        .args = "m/0/sum=[\"m/0/l/0/t.out\",\"m/0/l/1/t.out\"];"
                "u=[[\"m/0/l/0/t.out\",\"m/0/l/1/t.out\"],[\"m/1/l/0/t.out\",\"m/1/l/1/t.out\"]]",
    },
    {
        .name = "nested, one fails deep inside",
        .yaml = NESTED("[1, 2]", "[7, 8]"),
        .programs = "m/1/l/0/t=F",
        .state = "FAILED",
        .states = "m=F m/0=S m/0/l=S m/0/l/0=S m/0/l/0/t=S m/0/l/1=S m/0/l/1/t=S m/0/sum=S "
                  "m/1=F m/1/l=F m/1/l/0=F m/1/l/0/t=F m/1/l/1=S m/1/l/1/t=S m/1/sum=U u=U",
        .writes = "m/0/sum/out=[]",
        .error = "task m/1/l/0/t failed with exit code 3: went wrong",
    },
    {
        .name = "nested, the inner one without items",
        .yaml = NESTED("[1, 2]", "[]"),
        .states = "m=S m/0=S m/0/l=S m/0/sum=S m/1=S m/1/l=S m/1/sum=S u=S",
        .writes = "m/0/sum/out=[];m/1/sum/out=[];u/out=[]",
        .args = "u=[[],[]]",
    },
    {
        .name = "a dict item picked apart, its list looped over",
        .yaml = BODY("body", "STRING") "  outer: {" TAKES("o", "STRING") ", dag: {tasks: {l: {" REF(
            "body") ", inputs: {parameters: {all: {" INPUT(
            "o") ", parameterExpressionSelector: 'parseJson(string_value)[\"p\"]'}}}, " OVER(
            "all", "item") "}}}}\n"
            "root: {dag: {tasks: {m: {" REF("outer") ", " OVER_RAW(
            "[{\"p\": [1, 2]}, {\"p\": []}, {\"q\": 1}]", "o") "}}}}\n",
        .state = "FAILED",
        .states = "m=F m/0=S m/0/l=S m/0/l/0=S m/0/l/0/t=S m/0/l/1=S m/0/l/1/t=S m/1=S m/1/l=S "
                  "m/2=F m/2/l=F",
        .args = "m/0/l/0/t=1;m/0/l/1/t=2",
    },
    {
        .name = "skipped in some iterations: left out",
        .yaml = "  body: {" TAKES("item", "NUMBER_INTEGER") ", " OUT_IS(
            "STRING") ", dag: {" GIVES("t") ", tasks: {t: {" REF("step") ", " X(
            INPUT("item")) ", " WHEN("inputs.parameter_values['x'] != '2'") "}}}}\n"
            "root: {dag: {tasks: {" LOOP("[1, 2, 3]") ", " USE("u", "l") "}}}\n",
        .states = "l=S l/0=S l/0/t=S l/1=S l/1/t=N l/2=S l/2/t=S u=S",
        .writes = "u/out=[]",
        .args = "u=[\"l/0/t.out\",\"l/2/t.out\"]",
    },
    {
        .name = "over artifacts",
        .yaml = BODY("make", "NUMBER_INTEGER")
            "  read: {inputDefinitions: {artifacts: {one: {" MODEL "}}}, " OUT_IS(
            "STRING") ", dag: {" GIVES("t") ", tasks: {t: {" REF(
            "step") ", inputs: {artifacts: {data: {componentInputArtifact: one}}}}}}}\n"
            "root: {dag: {tasks: {l: {" REF("make") ", " OVER_RAW("[1, 2]", "item") "}, "
            "r: {" REF("read") ", inputs: {artifacts: {all: {taskOutputArtifact: {producerTask: l, "
            "outputArtifactKey: model}}}}, artifactIterator: {items: {inputArtifact: all}, "
            "itemInput: one}}, " USE("u", "r") "}}}\n",
        .states = "l=S l/0=S l/0/t=S l/1=S l/1/t=S r=S r/0=S r/0/t=S r/1=S r/1/t=S u=S",
        .writes = "u/out=[]",
        .args = "u=[\"r/0/t.out\",\"r/1/t.out\"]",
    },
    {
        .name = "a body that reads the whole list",
        .yaml = "  body: {inputDefinitions: {parameters: {item: {parameterType: NUMBER_INTEGER}, "
                "all: {parameterType: LIST}}}, dag: {tasks: {t: {" REF("step") ", " X(
                    INPUT("all")) "}}}}\n"
                "root: {dag: {tasks: {l: {" REF("body") ", inputs: {parameters: {all: {" CONST(
                    "[5, 6]") "}}}, " OVER("all", "item") "}}}}\n",
        .states = "l=S l/0=S l/0/t=S l/1=S l/1/t=S",
        .args = "l/0/t=[5,6];l/1/t=[5,6]",
    },
};

static void test_loops(void **state)
{
    (void)state;
    flow_run_all(cases, ARRAY_LEN(cases));
}

/* ---- limits ---- */

static void test_limit(void **state)
{
    struct bench *b = *state;
    char sha[65];
    flow_put(b,
        BODY("body", "STRING") "root: {dag: {tasks: {l: {" REF("body") ", " OVER_RAW(
            "[0, 1, 2, 3, 4, 5]", "item") ", iteratorPolicy: {parallelismLimit: 2}}}}}\n",
        sha);
    for (int i = 0; i < 6; i++) {
        char path[32];
        snprintf(path, sizeof(path), "l/%d/t", i);
        fake_will(b->fake, path, -1, flow_end('H'));
    }
    struct id id = bench_run(b, sha, NULL);
    WAIT_UNTIL(b, fake_running(b->fake) == 2);
    bench_pass(b, 20);
    assert_string_equal(fake_order(b->fake), "l/0/t l/1/t");
    bench_read(b, id); /* iterations exist once they begin */
    flow_check_states(b, "l=R l/0=R l/0/t=R l/1=R l/1/t=R");
    fake_finish(b->fake, "l/1/t", flow_end('S'));
    WAIT_UNTIL(b, fake_running(b->fake) == 2);
    flow_restart(b);
    WAIT_UNTIL(b, fake_starts(b->fake, "l/2/t") == 2);
    bench_pass(b, 20);
    assert_string_equal(fake_order(b->fake), "l/0/t l/1/t l/2/t");
    for (int i = 0; i < 6; i++) {
        char path[32];
        snprintf(path, sizeof(path), "l/%d/t", i);
        if (i != 1) {
            WAIT_UNTIL(b, fake_finish(b->fake, path, flow_end('S')));
        }
    }
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "SUCCEEDED");
    assert_int_equal(fake_running_max(b->fake), 2);
}

static void test_too_many_tasks(void **state)
{
    struct bench *b = *state;
    char sha[65];
    b->settings.max_tasks_per_run = 8;
    flow_restart(b);
    flow_put(b,
        BODY("body", "STRING") "root: {dag: {tasks: {" LOOP(
            "[0, 1, 2]") ", m: {" REF("body") ", dependentTasks: [l], " OVER_RAW(
            "[1]", "item") "}}}}\n",
        sha);
    struct id id = bench_run(b, sha, NULL);
    bench_await_end(b, id);
    flow_check_states(b, "l=S l/0=S l/0/t=S l/1=S l/1/t=S l/2=S l/2/t=S m=F");
    assert_non_null(strstr(jget_str(b->answer, "error", ""),
        "task m: its 2 tasks would be too many beside the 8 that the run has already; a run may "
        "have 8 (setting max-tasks-per-run)"));
}

/* ---- cancelling ---- */

/* Whenever it is asked to end, it ends, and nothing goes on. */
static void test_cancel_anywhere(void **state)
{
    (void)state;
    for (int turn = 0; turn < 60; turn += 1 + turn / 10) {
        for (int crash = 0; crash < 2; crash++) {
            void *own = NULL;
            bench_setup(&own);
            struct bench *b = own;
            char sha[65];
            b->settings.max_steps = 3;
            flow_restart(b);
            flow_put(b, NESTED("[1, 2, 3]", "[7, 8, 9]"), sha);
            fake_will(b->fake, "m/2/l/1/t", -1, flow_end('H'));
            struct id id = bench_run(b, sha, NULL);
            for (int i = 0; i < turn; i++) {
                bench_turn(b);
            }
            CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
            if (crash) {
                flow_restart(b);
            } else {
                engine_wake(b->engine, id.text);
            }
            bench_await_end(b, id);
            assert_string_equal(jget_str(b->answer, "state", ""), "CANCELED");
            char *states CLEANUP(cleanup_free) = flow_states(b);
            assert_null(strstr(states, "=R"));
            assert_null(strstr(states, "=W"));
            assert_int_equal(fake_running(b->fake), 0);
            struct engine_counts counts;
            engine_counts(b->engine, &counts);
            assert_int_equal(counts.running_steps + counts.waiting_steps, 0);
            bench_teardown(&own);
        }
    }
}

/* ---- many ---- */

static double time_loop(struct bench *b, int n, const char *policy, size_t *bytes_out)
{
    struct buf yaml;
    buf_init(&yaml, 1 << 20);
    buf_adds(&yaml, BODY("body", "NUMBER_INTEGER") "root: {dag: {tasks: {l: {" REF(
                        "body") ", parameterIterator: {itemInput: item, items: {raw: '[");
    for (int i = 0; i < n; i++) {
        buf_addf(&yaml, "%s%d", i == 0 ? "" : ",", i);
    }
    buf_addf(&yaml, "]'}}%s}, " USE("u", "l") "}}}\n", policy);
    char sha[65];
    flow_put(b, buf_str(&yaml), sha);
    buf_done(&yaml);
    fake_output(b->fake, "u", "out", "[]");
    size_t begun = fake_begun(b->fake, NULL), ends = b->ends;
    clock_t start = clock();
    struct id id = bench_run(b, sha, NULL);
    int64_t end = clock_mono_us() + 100 * US_PER_S;
    while (b->ends == ends && clock_mono_us() < end) {
        loop_turn(b->loop, true);
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_string_equal(bench_state(b, id), "SUCCEEDED");
    assert_int_equal(fake_begun(b->fake, NULL) - begun, n + 1);
    assert_int_equal(json_array_size(json_object_get(b->answer, "tasks")), 2 * n + 2);
    char *text CLEANUP(cleanup_free) = jtext(json_object_get(b->answer, "tasks"));
    *bytes_out = strlen(text);
    return seconds;
}

/* Time and records grow with the number of iterations, not with its square. */
static void test_many(void **state)
{
    struct bench *b = *state;
    static const char *const policies[] = {", iteratorPolicy: {parallelismLimit: 10}", ""};
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        size_t small_bytes, large_bytes;
        double small = time_loop(b, 100, policies[i], &small_bytes);
        double large = time_loop(b, 1000, policies[i], &large_bytes);
        print_message("  %s: 100 iterations %.3f s %zu bytes, 1000 iterations %.3f s %zu bytes\n",
            policies[i][0] == '\0' ? "no limit" : "limit 10", small, small_bytes, large,
            large_bytes);
        assert_true(large < small * 30 + 0.2);
        assert_true(large_bytes < small_bytes * 12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),
        cmocka_unit_test_setup_teardown(test_limit, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_too_many_tasks, bench_setup, bench_teardown),
        cmocka_unit_test(test_cancel_anywhere),
        cmocka_unit_test_setup_teardown(test_many, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("run/loops", tests, NULL, NULL);
}
