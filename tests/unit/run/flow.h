/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small pipelines as YAML text, how their programs behave, and the state in which every task must
 * end: run once as they are, and again with the engine dying after every few turns of its loop.
 */
#ifndef TESTS_UNIT_RUN_FLOW_H
#define TESTS_UNIT_RUN_FLOW_H

#include "bench.h"

/* Tasks of `step` take x (STRING, "none" by default) and data; give out (STRING) and model. */
#define FLOW_HEAD                                                                                  \
    "schemaVersion: 2.1.0\n"                                                                       \
    "sdkVersion: kfp-2.17.0\n"                                                                     \
    "pipelineInfo: {name: p}\n"                                                                    \
    "deploymentSpec: {executors: {e: {container: {image: img, command: [echo, "                    \
    "\"{{$.inputs.parameters['x']}}\", \"{{$}}\"]}}, "                                             \
    "n: {container: {image: img, command: [echo, \"{{$.inputs.parameters['n']}}\"]}}}}\n"          \
    "components:\n"                                                                                \
    "  step:\n"                                                                                    \
    "    executorLabel: e\n"                                                                       \
    "    inputDefinitions:\n"                                                                      \
    "      parameters: {x: {parameterType: STRING, defaultValue: none, isOptional: true}}\n"       \
    "      artifacts: {data: {isOptional: true, isArtifactList: true, " MODEL "}}\n"               \
    "    outputDefinitions:\n"                                                                     \
    "      parameters: {out: {parameterType: STRING}}\n"                                           \
    "      artifacts: {model: {" MODEL "}}\n"                                                      \
    "  number:\n"                                                                                  \
    "    executorLabel: n\n"                                                                       \
    "    inputDefinitions: {parameters: {n: {parameterType: NUMBER_INTEGER}}}\n"                   \
    "    outputDefinitions: {parameters: {out: {parameterType: NUMBER_INTEGER}}}\n"                \
    "  list:\n"                                                                                    \
    "    executorLabel: e\n"                                                                       \
    "    inputDefinitions: {parameters: {x: {parameterType: LIST}}}\n"                             \
    "    outputDefinitions: {parameters: {out: {parameterType: LIST}}}\n"                          \
    "  status:\n"                                                                                  \
    "    executorLabel: e\n"                                                                       \
    "    inputDefinitions: {parameters: {x: {parameterType: TASK_FINAL_STATUS}}}\n"
#define MODEL "artifactType: {schemaTitle: system.Model, schemaVersion: 0.0.1}"
/* Within a task. */
#define REF(name) "componentRef: {name: " name "}, cachingOptions: {}"
#define FROM(producer) "taskOutputParameter: {producerTask: " producer ", outputParameterKey: out}"
#define INPUT(name) "componentInputParameter: " name
#define CONST(value) "runtimeValue: {constant: " value "}"
#define X(source) "inputs: {parameters: {x: {" source "}}}"
#define N(source) "inputs: {parameters: {n: {" source "}}}"
#define WHEN(text) "triggerPolicy: {condition: \"" text "\"}"
#define COMPLETED "strategy: ALL_UPSTREAM_TASKS_COMPLETED"
#define OVER_RAW(raw, item) "parameterIterator: {items: {raw: '" raw "'}, itemInput: " item "}"
#define OVER(input, item)                                                                          \
    "parameterIterator: {items: {inputParameter: " input "}, itemInput: " item "}"
#define GIVES(producer)                                                                            \
    "outputs: {parameters: {out: {valueFromParameter: {producerSubtask: " producer                 \
    ", outputParameterKey: out}}}}"
#define OUT_IS(type) "outputDefinitions: {parameters: {out: {parameterType: " type "}}}"

struct flow_case {
    const char *name;
    const char *yaml; /* what follows FLOW_HEAD */
    const char
        *programs;      /* "a=F b#0=L c=H": attempts fail, are lost, are held; the rest succeeds */
    const char *writes; /* "a/out=text;b/out=text" */
    const char *parameters; /* JSON */
    const char *state;      /* of the run; NULL: SUCCEEDED */
    const char *states;  /* of every task that has a record, in the order of the paths: "a=S b=U" */
    const char *args;    /* "a=text;b/0=text": the first argument of their programs */
    const char *error;   /* part of the run's error */
    const char *outputs; /* the run's output parameters, JSON */
};

static inline struct fake_end flow_end(char kind)
{
    switch (kind) {
    case 'F':
        return (struct fake_end){.state = ATTEMPT_STATE_FAILED,
            .exit_code = 3,
            .reason = "exit code 3",
            .log_tail = "went wrong\n"};
    case 'L':
        return (struct fake_end){.state = ATTEMPT_STATE_LOST, .reason = "the node is gone"};
    case 'H':
        return (struct fake_end){.is_held = true};
    default:
        return (struct fake_end){.state = ATTEMPT_STATE_SUCCEEDED};
    }
}

/* For each "key=value" in text, split at `separator`. */
static inline void flow_each(struct bench *b, const char *text, char separator,
    void (*fn)(struct bench *b, const char *key, const char *value))
{
    const char *p = text == NULL ? "" : text;
    while (*p != '\0') {
        const char *end = strchr(p, separator) == NULL ? p + strlen(p) : strchr(p, separator);
        const char *equals = strchr(p, '=');
        assert_non_null(equals);
        assert_true(equals < end);
        char *key = xstrndup(p, (size_t)(equals - p));
        char *value = xstrndup(equals + 1, (size_t)(end - equals - 1));
        fn(b, key, value);
        free(key);
        free(value);
        p = *end == '\0' ? end : end + 1;
    }
}

static inline void flow_will(struct bench *b, const char *key, const char *value)
{
    char *task = xstrndup(key, strcspn(key, "#"));
    const char *attempt = strchr(key, '#');
    fake_will(b->fake, task, attempt == NULL ? -1 : attempt[1] - '0', flow_end(value[0]));
    free(task);
}

static inline void flow_write(struct bench *b, const char *key, const char *value)
{
    char *task = xstrndup(key, (size_t)(strrchr(key, '/') - key));
    fake_output(b->fake, task, strrchr(key, '/') + 1, value);
    free(task);
}

static inline void flow_check_arg(struct bench *b, const char *key, const char *value)
{
    const json_t *argv = json_object_get(fake_work_order(b->fake, key), "argv");
    const char *arg = json_string_value(json_array_get(argv, 1));
    if (!str_eq(arg, value)) {
        fail_msg("task %s got '%s', not '%s'", key, arg == NULL ? "(nothing)" : arg, value);
    }
}

/* Compile and store a whole document. */
static inline void flow_put_text(struct bench *b, const char *text, char sha[65])
{
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile(text, strlen(text), &complaints);
    if (plan == NULL) {
        struct buf out;
        buf_init(&out, 4096);
        complaints_format(&complaints, 10, &out);
        fail_msg("test's pipeline: %s", buf_str(&out));
    }
    CALL(b, spec_put(b->catalog, plan, sha, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    plan_unref(plan);
    complaints_done(&complaints);
}

/* What follows FLOW_HEAD. */
static inline void flow_put(struct bench *b, const char *yaml, char sha[65])
{
    char *text CLEANUP(cleanup_free) = xasprintf("%s%s", FLOW_HEAD, yaml);
    flow_put_text(b, text, sha);
}

static inline char flow_letter(const char *state)
{
    return str_eq(state, "CACHED")          ? 'K'
           : str_eq(state, "CANCELED")      ? 'C'
           : str_eq(state, "UNSCHEDULABLE") ? 'U'
                                            : state[0]; /* S F N W R */
}

/* "a=S b=U" of the run in b->answer. */
static inline char *flow_states(struct bench *b)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    size_t i;
    json_t *task;
    json_array_foreach(json_object_get(b->answer, "tasks"), i, task)
    {
        buf_addf(&out, "%s%s=%c", i == 0 ? "" : " ", jget_str(task, "path", ""),
            flow_letter(jget_str(task, "state", "")));
    }
    return buf_steal(&out, NULL);
}

static inline void flow_check_states(struct bench *b, const char *want)
{
    char *states CLEANUP(cleanup_free) = flow_states(b);
    if (strcmp(states, want) != 0) {
        char *record CLEANUP(cleanup_free) = jtext_pretty(b->answer);
        fail_msg("states are\n  %s\nnot\n  %s\n(run: %s: %s)", states, want,
            jget_str(b->answer, "state", ""), jget_str(b->answer, "error", ""));
    }
}

/* How often each task has been told to have ended: {path: {"task.finished": n}}. */
static inline void flow_on_ends(void *owner, redisReply *reply, const struct err *err)
{
    struct bench *b = owner;
    assert_null(err);
    json_decref(b->answer);
    b->answer = json_object();
    for (size_t i = 0; i < reply->elements; i++) {
        json_t *event = json_from(reply_field(reply->element[i]->element[1], "e"));
        const char *type = jget_str(event, "type", "");
        const char *path = jget_str(json_object_get(event, "data"), "task", "");
        if (str_eq(type, "task.finished") || str_eq(type, "task.skipped")) {
            if (json_object_get(b->answer, path) == NULL) {
                json_object_set_new(b->answer, path, json_object());
            }
            json_t *counts = json_object_get(b->answer, path);
            json_object_set_new(counts, type, json_integer(jget_i64(counts, type, 0) + 1));
        }
        json_decref(event);
    }
    b->is_answered = true;
}

/* Each task that has ended is told of once: that it finished, or that it never began. Of pipelines
 * and loops that began their tasks tell. */
static inline void flow_check_ends(struct bench *b, struct id id)
{
    bench_read(b, id);
    json_t *record = STEAL(b->answer);
    CALL(b, store_cmd(b->store, flow_on_ends, b, "XRANGE %sevents - +",
                store_id_prefix(b->store, id.text)));
    size_t i;
    json_t *task;
    json_array_foreach(json_object_get(record, "tasks"), i, task)
    {
        const char *path = jget_str(task, "path", ""), *kind = jget_str(task, "kind", "");
        const json_t *counts = json_object_get(b->answer, path);
        char state = flow_letter(jget_str(task, "state", ""));
        bool is_leaf = !str_eq(kind, "dag") && !str_eq(kind, "loop");
        bool has_begun = jget_i64(task, "tries", 0) > 0 || jget_i64(task, "started_us", 0) > 0;
        bool is_skipped = strchr("NUC", state) != NULL && !has_begun;
        if (jget_i64(counts, "task.skipped", 0) != is_skipped ||
            jget_i64(counts, "task.finished", 0) != (is_leaf && !is_skipped)) {
            char *told CLEANUP(cleanup_free) = counts != NULL ? jtext(counts) : xstrdup("nothing");
            fail_msg("task %s is %c, and told is %s", path, state, told);
        }
    }
    json_decref(record);
}

static inline void flow_check(struct bench *b, const struct flow_case *c, struct id id)
{
    bench_read(b, id);
    flow_check_states(b, c->states);
    assert_string_equal(
        jget_str(b->answer, "state", ""), c->state == NULL ? "SUCCEEDED" : c->state);
    const char *error = jget_str(b->answer, "error", "");
    if (c->error != NULL && strstr(error, c->error) == NULL) {
        fail_msg("the run's error is '%s', without '%s'", error, c->error);
    }
    if (c->outputs != NULL) {
        json_t *want CLEANUP(json_decrefp) = json_from(c->outputs);
        const json_t *got = json_object_get(json_object_get(b->answer, "outputs"), "parameters");
        if (!json_equal(want, got)) {
            char *text CLEANUP(cleanup_free) = jtext(got);
            fail_msg("the run's outputs are %s, not %s", text, c->outputs);
        }
    }
    flow_each(b, c->args, ';', flow_check_arg);
    assert_int_equal(bench_events(b, id, "run.started", NULL), 1);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
    assert_int_equal(bench_events(b, id, "task.started", NULL), fake_begun(b->fake, NULL));
    flow_check_ends(b, id);
    struct engine_counts counts;
    engine_counts(b->engine, &counts);
    assert_int_equal(counts.running_steps, 0);
    assert_int_equal(counts.waiting_steps, 0);
}

static inline void flow_restart(struct bench *b)
{
    bench_engine_crash(b);
    b->engine = engine_new(&b->settings);
    engine_on_run_end(b->engine, bench_on_end, b);
    engine_start(b->engine, NULL, NULL);
}

/* Go on until it ends; with a period the engine dies after every so many turns, at first. */
static inline void flow_await(struct bench *b, struct id id, int period)
{
    int crashes = 0;
    for (int turn = 1; period > 0 && turn < 3000; turn++) {
        bench_turn(b);
        if (turn % period == 0 && crashes < 60 && turn > 2) {
            crashes++;
            flow_restart(b);
        }
        if (turn % 500 == 0 && !str_eq(bench_state(b, id), "RUNNING") &&
            !str_eq(jget_str(b->answer, "state", ""), "PENDING") &&
            !str_eq(jget_str(b->answer, "state", ""), "CANCELING")) {
            break;
        }
    }
    bench_await_end(b, id);
    WAIT_UNTIL(b, b->ends >= 1 || period > 0);
}

static inline void flow_prepare(struct bench *b, const struct flow_case *c, char sha[65])
{
    flow_put(b, c->yaml, sha);
    flow_each(b, c->programs, ' ', flow_will);
    flow_each(b, c->writes, ';', flow_write);
}

static inline size_t flow_run(const struct flow_case *c, int period, size_t begun)
{
    void *own = NULL;
    bench_setup(&own);
    struct bench *b = own;
    char sha[65];
    flow_prepare(b, c, sha);
    json_t *parameters = c->parameters == NULL ? NULL : json_from(c->parameters);
    struct id id = bench_run(b, sha, parameters);
    json_decref(parameters);
    flow_await(b, id, period);
    if (period > 0) {
        bench_pass(b, 20);
    }
    flow_check(b, c, id);
    size_t count = fake_begun(b->fake, NULL);
    if (period > 0 && count != begun) {
        fail_msg("%zu attempts with crashes, %zu without", count, begun);
    }
    bench_teardown(&own);
    return count;
}

/* Each as it is, and dying after every 1st, 2nd, 3rd ... turn. */
static inline void flow_run_all(const struct flow_case *cases, size_t count)
{
    static const int periods[] = {1, 2, 3, 5};
    const char *only = getenv("TEST_ONLY");
    for (size_t i = 0; i < count; i++) {
        if (only != NULL && strstr(cases[i].name, only) == NULL) {
            continue;
        }
        print_message("  %s\n", cases[i].name);
        size_t begun = flow_run(&cases[i], 0, 0);
        for (size_t k = 0; k < ARRAY_LEN(periods); k++) {
            flow_run(&cases[i], periods[k], begun);
        }
    }
}

#endif
