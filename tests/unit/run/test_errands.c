/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Importers, tasks that make and delete volumes, and workspaces: what the engine does by itself.
 * It dies at each step; nothing is done or told twice, and nothing is left over.
 */
#include "flow.h"
#include "run/engine.h"
#include "run/workspace.h"

#define ERRANDS_HEAD                                                                               \
    "schemaVersion: 2.1.0\nsdkVersion: kfp-2.17.0\npipelineInfo: {name: p}\n"                      \
    "deploymentSpec: {executors: {"                                                                \
    "e: {container: {image: img, command: [echo, \"{{$.inputs.parameters['x']}}\"]}}, "            \
    "w: {container: {image: img, command: [ls, \"{{$.workspace_path}}\"]}}, "                      \
    "i: {importer: {artifactUri: {runtimeParameter: uri}, typeSchema: {schemaTitle: "              \
    "system.Model}}}, "                                                                            \
    "r: {importer: {artifactUri: {runtimeParameter: uri}, reimport: true, typeSchema: "            \
    "{schemaTitle: system.Model}}}, "                                                              \
    "c: {container: {image: argostub/createpvc}}, d: {container: {image: argostub/deletepvc}}}}\n" \
    "components:\n"                                                                                \
    "  step: {executorLabel: e, inputDefinitions: {parameters: {x: {parameterType: STRING, "       \
    "defaultValue: none, isOptional: true}}, artifacts: {data: {isOptional: true, " MODEL "}}}}\n" \
    "  work: {executorLabel: w}\n"                                                                 \
    "  import: {executorLabel: i, " IMPORT_INTERFACE "}\n"                                         \
    "  fresh: {executorLabel: r, " IMPORT_INTERFACE "}\n"                                          \
    "  make: {executorLabel: c, inputDefinitions: {parameters: {access_modes: {parameterType: "    \
    "LIST}, size: {parameterType: STRING}, pvc_name: {parameterType: STRING, isOptional: true}, "  \
    "pvc_name_suffix: {parameterType: STRING, isOptional: true}}}, outputDefinitions: "            \
    "{parameters: {name: {parameterType: STRING}}}}\n"                                             \
    "  drop: {executorLabel: d, inputDefinitions: {parameters: {pvc_name: {parameterType: "        \
    "STRING}}}}\n"                                                                                 \
    "root:\n  dag:\n    tasks:\n"
#define IMPORT_INTERFACE                                                                           \
    "inputDefinitions: {parameters: {uri: {parameterType: STRING}}}, "                             \
    "outputDefinitions: {artifacts: {artifact: {" MODEL "}}}"
#define URI(text) "inputs: {parameters: {uri: {" CONST(text) "}}}"
#define DATA(producer)                                                                             \
    "inputs: {artifacts: {data: {taskOutputArtifact: {producerTask: " producer                     \
    ", outputArtifactKey: artifact}}}}"
#define CLAIM(name)                                                                                \
    "inputs: {parameters: {access_modes: {" CONST("[ReadWriteOnce]") "}, size: {" CONST(           \
        "1Gi") "}" name "}}"
#define CALLED(name) ", pvc_name: {" CONST(name) "}"
#define NAME_OF(producer)                                                                          \
    "taskOutputParameter: {producerTask: " producer ", outputParameterKey: name}"
#define WITH_WORKSPACE "---\nplatforms: {kubernetes: {pipelineConfig: {workspace: {size: 1Gi}}}}\n"

static struct id run_of(struct bench *b, const char *yaml)
{
    char sha[65];
    flow_put_text(b, yaml, sha);
    return bench_run(b, sha, NULL);
}

static size_t volumes(const struct bench *b)
{
    return json_object_size(fake_volumes(b->fake));
}

static void on_count(void *owner, redisReply *reply, const struct err *err)
{
    struct bench *b = owner;
    assert_null(err);
    json_decref(b->answer);
    b->answer = json_integer(reply->integer);
    b->is_answered = true;
}

/* Which runs may have a workspace is forgotten too. */
static void await_no_workspace(struct bench *b, struct id id)
{
    do {
        workspaces_look(b->engine->workspaces);
        bench_pass(b, 5);
        CALL(b, store_cmd(b->store, on_count, b, "SCARD %sworkspaces",
                    store_id_prefix(b->store, id.text)));
    } while (json_integer_value(b->answer) > 0);
}

static const char *artifact_id(struct bench *b, const char *path)
{
    const json_t *artifacts =
        json_object_get(json_object_get(bench_task(b, path), "outputs"), "artifacts");
    return jget_str(json_array_get(json_object_get(artifacts, "artifact"), 0), "id", "");
}

/* ---- all of them, dying everywhere ---- */

#define ALL                                                                                                                                             \
    ERRANDS_HEAD                                                                                                                                        \
    "      again: {dependentTasks: [use], " REF("import") ", " URI(                                                                                     \
        "gs://a/b") "}\n"                                                                                                                               \
                    "      drop: {dependentTasks: [mid], " REF(                                                                                         \
                        "drop") ", inputs: {parameters: {pvc_name: "                                                                                    \
                                "{" NAME_OF("make") "}}}}\n"                                                                                            \
                                                    "      fresh: {" REF("fresh") ", " URI(                                                             \
                                                        "gs://a/b") "}\n"                                                                               \
                                                                    "      first: {" REF("import") ", " URI(                                            \
                                                                        "gs://a/b") "}\n"                                                               \
                                                                                    "      make: "                                                      \
                                                                                    "{" REF("mak"                                                       \
                                                                                            "e") ", " CLAIM(                                            \
                                                                                        "") "}\n"                                                       \
                                                                                            "    "                                                      \
                                                                                            "  "                                                        \
                                                                                            "mid:"                                                      \
                                                                                            " "                                                         \
                                                                                            "{" REF("step") ", " X(NAME_OF(                             \
                                                                                                "make")) "}\n"                                          \
                                                                                                         "      use: {" REF("step") ", " DATA(          \
                                                                                                             "first") "}\n"                             \
                                                                                                                      "      work1: {" REF(             \
                                                                                                                          "work") "}\n"                 \
                                                                                                                                  "      work2: {" REF( \
                                                                                                                                      "work") "}\n" WITH_WORKSPACE

static void check_all(struct bench *b, struct id id)
{
    bench_await_end(b, id);
    flow_check_states(b, "again=S drop=S first=S fresh=S make=S mid=S use=S work1=S work2=S");
    char *first CLEANUP(cleanup_free) = xstrdup(artifact_id(b, "first"));
    assert_true(id_is_valid(first));
    assert_string_equal(artifact_id(b, "again"), first);
    assert_true(id_is_valid(artifact_id(b, "fresh")));
    assert_string_not_equal(artifact_id(b, "fresh"), first);
    await_no_workspace(b, id);
    assert_int_equal(volumes(b), 0);
    assert_int_equal(fake_volumes_created(b->fake), 2);
    assert_int_equal(fake_begun(b->fake, NULL), 4);
    assert_int_equal(bench_events(b, id, "artifact.created", "first"), 1);
    assert_int_equal(bench_events(b, id, "artifact.created", "again"), 0);
    assert_int_equal(bench_events(b, id, "artifact.created", "fresh"), 1);
    assert_int_equal(bench_events(b, id, "task.finished", NULL), 9);
    assert_int_equal(bench_events(b, id, "run.finished", NULL), 1);
}

static void test_crash_anywhere(void **state)
{
    (void)state;
    static const int periods[] = {0, 1, 2, 3, 4, 5, 7, 9};
    for (size_t i = 0; i < ARRAY_LEN(periods); i++) {
        void *own = NULL;
        bench_setup(&own);
        struct bench *b = own;
        struct id id = run_of(b, ALL);
        flow_await(b, id, periods[i]);
        check_all(b, id);
        bench_teardown(&own);
    }
}

/* ---- volumes ---- */

/* Carried out, and we die before we hear of it. */
static void test_answers_are_lost(void **state)
{
    struct bench *b = *state;
    fake_volumes_hold(b->fake, true);
    struct id id = run_of(b,
        ERRANDS_HEAD "      drop: {" REF("drop") ", inputs: {parameters: {pvc_name: {" NAME_OF(
            "make") "}}}}\n"
                    "      make: {" REF("make") ", " CLAIM("") "}\n");
    for (int i = 0; i < 3; i++) {
        WAIT_UNTIL(b, volumes(b) == 1);
        bench_pass(b, 10);
        bench_engine_crash(b);
        bench_engine_start(b);
    }
    assert_string_equal(bench_state(b, id), "RUNNING");
    assert_int_equal(fake_volumes_created(b->fake), 1);
    fake_volumes_hold(b->fake, false);
    WAIT_UNTIL(b, bench_events(b, id, "task.finished", "make") == 1);
    bench_await_end(b, id);
    flow_check_states(b, "drop=S make=S");
    assert_int_equal(volumes(b), 0);
    assert_int_equal(fake_volumes_created(b->fake), 1);
}

static void test_answer_of_deletion_is_lost(void **state)
{
    struct bench *b = *state;
    fake_will(b->fake, "mid", -1, flow_end('H'));
    struct id id = run_of(b, ERRANDS_HEAD
        "      drop: {dependentTasks: [mid], " REF("drop") ", inputs: {parameters: {pvc_name: "
                                                           "{" NAME_OF(
                                                               "make") "}}}}\n"
                                                                       "      make: {" REF("make") ", " CLAIM(
                                                                           ", pvc_name_suffix: "
                                                                           "{" CONST(
                                                                               "-mine") "}") "}\n"
                                                                                             "     "
                                                                                             " mid:"
                                                                                             " {"
                                                                                             "depen"
                                                                                             "dentT"
                                                                                             "asks:"
                                                                                             " ["
                                                                                             "make]"
                                                                                             ","
                                                                                             " " REF(
                                                                                                 "s"
                                                                                                 "t"
                                                                                                 "e"
                                                                                                 "p") "}\n");
    WAIT_UNTIL(b, fake_begun(b->fake, "mid") == 1);
    bench_read(b, id);
    const json_t *made =
        json_object_get(json_object_get(bench_task(b, "make"), "outputs"), "parameters");
    const char *name = jget_str(made, "name", "");
    assert_non_null(json_object_get(fake_volumes(b->fake), name));
    assert_true(str_ends(name, "-mine"));
    fake_volumes_hold(b->fake, true);
    assert_true(fake_finish(b->fake, "mid", flow_end('S')));
    WAIT_UNTIL(b, volumes(b) == 0);
    bench_engine_crash(b);
    fake_volumes_hold(b->fake, false);
    bench_engine_start(b); /* asks again: it is not there, and that is our own work */
    bench_await_end(b, id);
    flow_check_states(b, "drop=S make=S mid=S");
    assert_int_equal(bench_events(b, id, "task.finished", "drop"), 1);
}

static void check_fails(struct bench *b, const char *yaml, const char *states, const char *error)
{
    struct id id = run_of(b, yaml);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "FAILED");
    flow_check_states(b, states);
    if (strstr(jget_str(b->answer, "error", ""), error) == NULL) {
        fail_msg("'%s' does not say '%s'", jget_str(b->answer, "error", ""), error);
    }
}

static void test_failures(void **state)
{
    struct bench *b = *state;
    check_fails(b,
        ERRANDS_HEAD
        "      drop: {" REF("drop") ", inputs: {parameters: {pvc_name: {" CONST("nobody") "}}}}\n",
        "drop=F", "task drop: the volume nobody could not be deleted: there is no volume nobody");
    /* Somebody else's of that name is left alone. */
    check_fails(b,
        ERRANDS_HEAD "      make: {" REF("make") ", " CLAIM(
            CALLED("mine")) "}\n"
                            "      other: {dependentTasks: [make], " REF("make") ", " CLAIM(
                                CALLED("mine")) "}\n",
        "make=S other=F",
        "task other: the volume mine could not be created: there is a volume mine");
    assert_int_equal(volumes(b), 1);
    check_fails(b, ERRANDS_HEAD "      i: {" REF("import") ", " URI("file:///etc/passwd") "}\n",
        "i=F", "task i: it cannot be imported");
    check_fails(b, ERRANDS_HEAD "      i: {" REF("import") ", " URI("/etc/passwd") "}\n", "i=F",
        "is a path outside the artifact root");
}

/* An executor without volumes says so; nothing waits for ever. */
static void test_no_volumes(void **state)
{
    struct bench *b = *state;
    struct executor_ops ops = *b->executor.ops;
    ops.volume_create = NULL;
    ops.volume_delete = NULL;
    bench_engine_crash(b);
    b->settings.executor.ops = &ops;
    bench_engine_start(b);
    check_fails(b, ERRANDS_HEAD "      make: {" REF("make") ", " CLAIM("") "}\n", "make=F",
        "has no volumes");
    check_fails(b, ERRANDS_HEAD "      w: {" REF("work") "}\n" WITH_WORKSPACE, "w=F",
        "the run's workspace could not be made: the executor");
    assert_int_equal(fake_begun(b->fake, NULL), 0);
    bench_engine_crash(b);
    b->settings.executor.ops = b->executor.ops;
    bench_engine_start(b);
}

/* ---- workspaces ---- */

/* It is made, nobody knows, and the run is asked to end before anybody does. */
static void test_workspace_of_canceled_run(void **state)
{
    struct bench *b = *state;
    fake_volumes_hold(b->fake, true);
    struct id id = run_of(b, ERRANDS_HEAD "      w: {" REF("work") "}\n" WITH_WORKSPACE);
    WAIT_UNTIL(b, volumes(b) == 1);
    bench_engine_crash(b);
    CALL(b, run_cancel(b->store, id.text, bench_on_json, b));
    fake_volumes_hold(b->fake, false);
    bench_engine_start(b);
    bench_await_end(b, id);
    assert_string_equal(jget_str(b->answer, "state", ""), "CANCELED");
    flow_check_states(b, "w=C");
    await_no_workspace(b, id);
    assert_int_equal(volumes(b), 0);
    assert_int_equal(fake_begun(b->fake, NULL), 0);
}

/* Only steps that have to do with it make one; it is there while they run, and once. */
static void test_workspace_when_needed(void **state)
{
    struct bench *b = *state;
    fake_will(b->fake, "w", -1, flow_end('H'));
    struct id id = run_of(b,
        ERRANDS_HEAD "      plain: {" REF("step") "}\n"
                                                  "      w: {dependentTasks: [plain], " REF(
                                                      "work") "}\n" WITH_WORKSPACE);
    WAIT_UNTIL(b, fake_begun(b->fake, "w") == 1);
    assert_null(json_object_get(fake_container(b->fake, "plain"), "workspace"));
    const char *claim =
        jget_str(json_object_get(fake_container(b->fake, "w"), "workspace"), "claim", "");
    char *want CLEANUP(cleanup_free) = xasprintf("%s-kfp-workspace", id.text);
    assert_string_equal(claim, want);
    assert_non_null(json_object_get(fake_volumes(b->fake), want));
    bench_engine_crash(b);
    bench_engine_start(b);
    WAIT_UNTIL(b, fake_starts(b->fake, "w") == 2);
    workspaces_look(b->engine->workspaces); /* its run lives */
    bench_pass(b, 20);
    assert_int_equal(volumes(b), 1);
    assert_true(fake_finish(b->fake, "w", flow_end('S')));
    bench_await_end(b, id);
    WAIT_UNTIL(b, volumes(b) == 0);
    assert_int_equal(fake_volumes_created(b->fake), 1);
    struct id other = run_of(b, ERRANDS_HEAD "      p: {" REF("step") "}\n" WITH_WORKSPACE);
    bench_await_end(b, other);
    assert_int_equal(fake_volumes_created(b->fake), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_anywhere),
        cmocka_unit_test_setup_teardown(test_answers_are_lost, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(
            test_answer_of_deletion_is_lost, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_failures, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_no_volumes, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(
            test_workspace_of_canceled_run, bench_setup, bench_teardown),
        cmocka_unit_test_setup_teardown(test_workspace_when_needed, bench_setup, bench_teardown),
    };
    return cmocka_run_group_tests_name("run/errands", tests, NULL, NULL);
}
