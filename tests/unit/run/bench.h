/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine's tests share: a private redis-server, store, catalogue, artifact folder, a
 * fake executor and an engine; pipelines from short tables; waiting for things to become so.
 */
#ifndef TESTS_UNIT_RUN_BENCH_H
#define TESTS_UNIT_RUN_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/artifact.h"
#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "scheduler/run.h"
#include "tests/support/fake_executor.h"
#include "tests/support/harness.h"

#define WAIT_S 60

struct bench {
    struct harness h; /* loop, Redis, store */
    struct loop *loop;
    struct store *store;
    struct catalog *catalog;
    struct artifact_store *artifacts;
    struct fake_executor *fake;
    struct executor executor;
    struct engine *engine;
    struct engine_settings settings;
    size_t ends; /* runs whose end was told */
    size_t event_hints;
    /* the last answer */
    bool is_answered;
    json_t *answer;
    struct err err;
};

static const char experiment_id[] = "07000000-0000-4000-8000-000000000001";

/* ---- waiting ---- */

static inline void bench_turn(struct bench *b)
{
    loop_turn(b->loop, false);
    usleep(200);
}

#define WAIT_UNTIL(b, condition)                                                                   \
    do {                                                                                           \
        int64_t wait_end_ = clock_mono_us() + WAIT_S * US_PER_S;                                   \
        while (!(condition)) {                                                                     \
            if (clock_mono_us() > wait_end_) {                                                     \
                fail_msg("waited %d s in vain for: %s", WAIT_S, #condition);                       \
            }                                                                                      \
            bench_turn(b);                                                                         \
        }                                                                                          \
    } while (0)

static inline void bench_pass(struct bench *b, int64_t ms)
{
    int64_t end = clock_mono_us() + ms * US_PER_MS;
    while (clock_mono_us() < end) {
        bench_turn(b);
    }
}

static inline void bench_on_json(void *owner, const json_t *record, const struct err *err)
{
    struct bench *b = owner;
    json_decref(b->answer);
    b->answer = record == NULL ? NULL : json_deep_copy(record);
    err_clear(&b->err);
    if (err != NULL) {
        err_copy(&b->err, err);
    }
    b->is_answered = true;
}

/* CALL(b, run_get(b->store, id, true, bench_on_json, b)) leaves the answer in b->answer, b->err. */
#define CALL(b, expression)                                                                        \
    do {                                                                                           \
        (b)->is_answered = false;                                                                  \
        expression;                                                                                \
        WAIT_UNTIL(b, (b)->is_answered);                                                           \
    } while (0)

/* ---- pipelines ---- */

/* One task of comp-step: parameter x (a string, "" by default) and optional artifact data in;
 * parameter out and artifact model out. */
struct step_row {
    const char *key;
    const char *deps;      /* "a b": explicit dependencies */
    const char *x_from;    /* sibling whose out feeds x; "=text": a constant; "^name": DAG input */
    const char *data_from; /* sibling whose model feeds data; "^name": DAG input artifact */
    const char *component; /* NULL: comp-step */
};

static inline json_t *json_from(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, 0, &error);
    if (value == NULL) {
        fail_msg("test's JSON: %s", error.text);
    }
    return value;
}

static inline json_t *spec_new(const char *name)
{
    json_t *spec = json_from(
        "{\"schemaVersion\":\"2.1.0\",\"sdkVersion\":\"kfp-2.17.0\",\"root\":{\"dag\":{\"tasks\":{}"
        "}},"
        "\"deploymentSpec\":{\"executors\":{\"exec-step\":{\"container\":{\"image\":\"img:1\","
        "\"command\":[\"echo\",\"{{$.inputs.parameters['x']}}\",\"{{$}}\"],"
        "\"env\":[{\"name\":\"GREETING\",\"value\":\"hello\"}]}}}},"
        "\"components\":{\"comp-step\":{\"executorLabel\":\"exec-step\","
        "\"inputDefinitions\":{\"parameters\":{\"x\":{\"parameterType\":\"STRING\","
        "\"defaultValue\":\"none\",\"isOptional\":true}},"
        "\"artifacts\":{\"data\":{\"artifactType\":{\"schemaTitle\":\"system.Model\","
        "\"schemaVersion\":\"0.0.1\"},\"isOptional\":true}}},"
        "\"outputDefinitions\":{\"parameters\":{\"out\":{\"parameterType\":\"STRING\"}},"
        "\"artifacts\":{\"model\":{\"artifactType\":{\"schemaTitle\":\"system.Model\","
        "\"schemaVersion\":\"0.0.1\"}}}}}}}");
    json_t *info = json_object();
    json_object_set_new(info, "name", json_string(name));
    json_object_set_new(spec, "pipelineInfo", info);
    return spec;
}

static inline json_t *param_source(const char *from)
{
    return from[0] == '='   ? json_pack("{s{s:s}}", "runtimeValue", "constant", from + 1)
           : from[0] == '^' ? json_pack("{s:s}", "componentInputParameter", from + 1)
                            : json_pack("{s{s:s,s:s}}", "taskOutputParameter", "producerTask", from,
                                  "outputParameterKey", "out");
}

static inline void spec_tasks(json_t *tasks, const struct step_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct step_row *row = &rows[i];
        json_t *task = json_pack("{s{s:s}s{s:s}s{}}", "taskInfo", "name", row->key, "componentRef",
            "name", row->component == NULL ? "comp-step" : row->component, "cachingOptions");
        json_t *inputs = json_object();
        if (row->x_from != NULL) {
            json_object_set_new(
                inputs, "parameters", json_pack("{s:o}", "x", param_source(row->x_from)));
        }
        if (row->data_from != NULL) {
            json_object_set_new(inputs, "artifacts",
                row->data_from[0] == '^'
                    ? json_pack("{s{s:s}}", "data", "componentInputArtifact", row->data_from + 1)
                    : json_pack("{s{s{s:s,s:s}}}", "data", "taskOutputArtifact", "producerTask",
                          row->data_from, "outputArtifactKey", "model"));
        }
        if (json_object_size(inputs) > 0) {
            json_object_set(task, "inputs", inputs);
        }
        json_decref(inputs);
        json_t *deps = json_array();
        const char *p = row->deps == NULL ? "" : row->deps;
        while (*p != '\0') {
            size_t len = strcspn(p, " ");
            json_array_append_new(deps, json_stringn(p, len));
            p += len + (p[len] == ' ');
        }
        if (json_array_size(deps) > 0) {
            json_object_set(task, "dependentTasks", deps);
        }
        json_decref(deps);
        json_object_set_new(tasks, row->key, task);
    }
}

static inline json_t *spec_root_tasks(json_t *spec)
{
    return json_object_get(json_object_get(json_object_get(spec, "root"), "dag"), "tasks");
}

static inline json_t *spec_of(const char *name, const struct step_row *rows, size_t count)
{
    json_t *spec = spec_new(name);
    spec_tasks(spec_root_tasks(spec), rows, count);
    return spec;
}

/* Compile and store; takes spec. */
static inline void bench_put_spec(struct bench *b, json_t *spec, char sha[65])
{
    struct complaints complaints;
    complaints_init(&complaints);
    struct plan *plan = plan_compile_json(spec, &complaints);
    if (plan == NULL) {
        struct buf text;
        buf_init(&text, 4096);
        complaints_format(&complaints, 10, &text);
        fail_msg("test's pipeline: %s", buf_str(&text));
    }
    CALL(b, spec_put(b->catalog, plan, sha, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    plan_unref(plan);
    complaints_done(&complaints);
    json_decref(spec);
}

/* ---- the bench ---- */

static inline void bench_on_end(
    void *owner, const char *run_id UNUSED, const char *rr UNUSED, bool is_of_git UNUSED)
{
    struct bench *b = owner;
    b->ends++;
}

static inline void bench_on_events(void *owner, unsigned shard UNUSED)
{
    struct bench *b = owner;
    b->event_hints++;
}

static inline void bench_on_started(void *owner, const struct err *err)
{
    bench_on_json(owner, NULL, err);
}

/* As the lease does. */
static inline void bench_on_fenced(void *owner, unsigned shard)
{
    engine_shard_stop(((struct bench *)owner)->engine, shard);
}

static inline void bench_engine_start(struct bench *b)
{
    b->engine = engine_new(&b->settings);
    engine_on_run_end(b->engine, bench_on_end, b);
    engine_on_events(b->engine, bench_on_events, b);
    engine_on_fenced(b->engine, bench_on_fenced, b);
    CALL(b, engine_start(b->engine, bench_on_started, b));
    assert_string_equal(b->err.msg, "");
}

/* The daemon dies here: nothing is saved, nobody is told. */
static inline void bench_engine_crash(struct bench *b)
{
    engine_free(b->engine);
    b->engine = NULL;
}

static inline void bench_take_over(struct bench *b)
{
    CALL(b, take_over(b->store, bench_on_started, b));
    assert_string_equal(b->err.msg, "");
}

static inline int bench_setup(void **state)
{
    struct bench *b = xcalloc(1, sizeof(*b));
    harness_init(&b->h);
    log_set(getenv("TEST_LOG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    b->loop = b->h.loop;
    b->store = b->h.store;
    b->artifacts = artifact_store_new(temp_path(&b->h.dir, "artifacts"), &b->err);
    assert_non_null(b->artifacts);
    b->catalog = catalog_new(b->loop, b->store);
    b->fake = fake_executor_new(b->loop, &b->executor);
    b->settings = (struct engine_settings){
        .loop = b->loop,
        .store = b->store,
        .catalog = b->catalog,
        .artifacts = b->artifacts,
        .executor = b->executor,
        .max_steps = 1000,
        .lost_retries = 2,
    };
    bench_engine_start(b);
    *state = b;
    return 0;
}

static inline int bench_teardown(void **state)
{
    struct bench *b = *state;
    engine_free(b->engine);
    catalog_free(b->catalog);
    fake_executor_free(b->fake);
    artifact_store_free(b->artifacts);
    harness_done(&b->h);
    json_decref(b->answer);
    free(b);
    return 0;
}

/* ---- runs ---- */

/* Create a run of this stored pipeline and wake the engine. */
static inline struct id bench_run(struct bench *b, const char *sha, const json_t *parameters)
{
    struct id id;
    id_new(&id);
    struct run_request req = {
        .id = id.text,
        .name = "a run",
        .experiment_id = experiment_id,
        .spec = sha,
        .pipeline_name = "p",
        .parameters = parameters,
    };
    CALL(b, run_create(b->store, &req, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
    engine_wake(b->engine, id.text);
    return id;
}

/* The run with its tasks is in b->answer. */
static inline void bench_read(struct bench *b, struct id id)
{
    CALL(b, run_get(b->store, id.text, true, bench_on_json, b));
    assert_string_equal(b->err.msg, "");
}

static inline const char *bench_state(struct bench *b, struct id id)
{
    bench_read(b, id);
    return jget_str(b->answer, "state", "");
}

static inline void bench_await_end(struct bench *b, struct id id)
{
    int64_t end = clock_mono_us() + WAIT_S * US_PER_S;
    enum run_state state = RUN_STATE_PENDING;
    while (!run_state_is_final(state)) {
        assert_int_equal(run_state_parse(bench_state(b, id), &state), 0);
        if (clock_mono_us() > end) {
            char *text = jtext_pretty(b->answer);
            fail_msg("the run does not end: %s", text);
        }
    }
}

static inline json_t *bench_task(struct bench *b, const char *path)
{
    size_t i;
    json_t *task;
    json_array_foreach(json_object_get(b->answer, "tasks"), i, task)
    {
        if (strcmp(jget_str(task, "path", ""), path) == 0) {
            return task;
        }
    }
    return NULL;
}

static inline const char *bench_task_state(struct bench *b, const char *path)
{
    return jget_str(bench_task(b, path), "state", "(no record)");
}

/* Events of a run's shard that are about this run and have this type (NULL: any). */
struct event_count {
    struct bench *bench;
    const char *run_id, *type, *task;
    size_t count, doubles;
    json_t *ids;
    json_t *last;
};

static inline void bench_on_stream(void *owner, redisReply *reply, const struct err *err)
{
    struct event_count *want = owner;
    assert_null(err);
    for (size_t i = 0; i < reply->elements; i++) {
        const char *text = reply_field(reply->element[i]->element[1], "e");
        assert_non_null(text);
        json_t *event = json_from(text);
        const json_t *data = json_object_get(event, "data");
        if (!str_eq(jget_str(data, "run_id", ""), want->run_id)) {
            json_decref(event);
            continue;
        }
        const char *id = jget_str(event, "id", "");
        want->doubles += json_object_get(want->ids, id) != NULL;
        json_object_set_new(want->ids, id, json_true());
        if ((want->type == NULL || str_eq(jget_str(event, "type", ""), want->type)) &&
            (want->task == NULL || str_eq(jget_str(data, "task", ""), want->task))) {
            want->count++;
            json_decref(want->last);
            want->last = json_incref(event);
        }
        json_decref(event);
    }
    want->bench->is_answered = true;
}

/* The last such event is left in b->answer; no event of the run is there twice. */
static inline size_t bench_events(struct bench *b, struct id id, const char *type, const char *task)
{
    struct event_count want = {
        .bench = b, .run_id = id.text, .type = type, .task = task, .ids = json_object()};
    CALL(b, store_cmd(b->store, bench_on_stream, &want, "XRANGE %sevents - +",
                store_id_prefix(b->store, id.text)));
    json_decref(want.ids);
    json_decref(b->answer);
    b->answer = want.last;
    assert_int_equal(want.doubles, 0);
    return want.count;
}

#endif
