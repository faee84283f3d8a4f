/* SPDX-License-Identifier: Apache-2.0 */
/* Run parameters, and a task's inputs: optional, default and null (kfp-semantics.md 3.2). */
#include "pipeline_test.h"

#define ROOT_PIPELINE                                                                              \
    "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\n"                                              \
    "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"                    \
    "components: {c: {executorLabel: e}}\n"                                                        \
    "root:\n"                                                                                      \
    "  dag: {tasks: {t: {componentRef: {name: c}}}}\n"                                             \
    "  inputDefinitions:\n"                                                                        \
    "    parameters:\n"                                                                            \
    "      text: {parameterType: STRING}\n"                                                        \
    "      count: {parameterType: NUMBER_INTEGER, defaultValue: 3.0}\n"                            \
    "      flag: {parameterType: BOOLEAN, isOptional: true}\n"                                     \
    "      items: {parameterType: LIST, isOptional: true, defaultValue: [1]}\n"                    \
    "      level: {parameterType: STRING, defaultValue: low, literals: [low, high]}\n"             \
    "      grade: {parameterType: NUMBER_INTEGER, defaultValue: 1, literals: [1.0, 2]}\n"

static void test_bind(void **state UNUSED)
{
    static const struct {
        const char *name, *given, *expected, *says;
    } rows[] = {
        {"defaults", "{'text': 'x'}",
            "{'text':'x','count':3,'flag':null,'items':[1],'level':'low','grade':1}", NULL},
        {"all given", "{'text':'','count':4.0,'flag':false,'items':[],'level':'high','grade':2.0}",
            "{'text':'','count':4,'flag':false,'items':[],'level':'high','grade':2}", NULL},
        {"null is as if not given", "{'text':'x','count':null}",
            "{'text':'x','count':3,'flag':null,'items':[1],'level':'low','grade':1}", NULL},
        {"missing", "{}", NULL, "parameter 'text' (STRING) is required"},
        {"nothing given", NULL, NULL, "parameter 'text' (STRING) is required"},
        {"unknown", "{'text':'x','txet':1}", NULL,
            "parameter 'txet' is not one of the pipeline; did you mean 'text'?"},
        {"wrong kind", "{'text':5}", NULL,
            "parameter 'text': expected a string (STRING), got a number"},
        {"text for number", "{'text':'x','count':'4'}", NULL,
            "parameter 'count': expected a number (NUMBER_INTEGER), got a string"},
        {"not a literal", "{'text':'x','level':'mid'}", NULL,
            "parameter 'level': must be one of [\"low\",\"high\"]"},
        {"literal number", "{'text':'x','grade':3}", NULL, "'grade': must be one of [1,2]"},
        {"all at once", "{'count':'4','zz':1}", NULL,
            "parameter 'count': expected a number (NUMBER_INTEGER), got a string; parameter 'text' "
            "(STRING) is required; parameter 'zz' is not one of the pipeline"},
        {"not an object", "[1]", NULL, "expected an object"},
    };
    struct plan *plan = must_compile(ROOT_PIPELINE);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *given = rows[i].given != NULL ? j(rows[i].given) : NULL;
        json_t *out = plan_bind_params(plan, given, &err);
        if (rows[i].expected != NULL) {
            expect_json(rows[i].name, out, rows[i].expected);
        } else {
            assert_null(out);
            assert_int_equal(err.code, ERR_INVALID);
            expect_has(rows[i].name, err.msg, rows[i].says);
        }
        json_decref(given);
    }
    plan_unref(plan);
}

#define SOME_ID "11111111-2222-4333-8444-555555555555"
#define DATA "{'name':'data','type':{'schemaTitle':'system.Dataset'},'uri':'gs://b/x','metadata':{}"

static void test_root_artifacts(void **state UNUSED)
{
    char *text = edited(ROOT_PIPELINE, "    parameters:\n",
        "    artifacts:\n"
        "      data: {artifactType: {schemaTitle: system.Dataset}}\n"
        "      any: {artifactType: {schemaTitle: system.Artifact}, isOptional: true}\n"
        "      many: {artifactType: {schemaTitle: system.Model}, isArtifactList: true, "
        "isOptional: true}\n"
        "    parameters:\n");
    struct plan *plan = must_compile(text);
    static const struct {
        const char *given, *expected, *says;
    } rows[] = {
        {"{'data':{'uri':'gs://b/x'}}", "{'data':[" DATA "}]}", NULL},
        {"{'data':[{'uri':'gs://b/x','type':'system.Dataset','metadata':null}],'any':null}",
            "{'data':[" DATA "}]}", NULL},
        {"{'data':{'uri':'gs://b/x','artifact_id':'" SOME_ID "'}}",
            "{'data':[" DATA ",'id':'" SOME_ID "'}]}", NULL},
        {"{'data':{'uri':'gs://b/x'},'any':{'uri':'/x','type':{'schemaTitle':'my.Type',"
         "'schemaVersion':'2'},'metadata':{'a':1}}}",
            "{'data':[" DATA "}],'any':[{'name':'any','type':{'schemaTitle':'my.Type',"
            "'schemaVersion':'2'},'uri':'/x','metadata':{'a':1}}]}",
            NULL},
        {"{'data':{'uri':'gs://b/x'},'many':[]}", "{'data':[" DATA "}],'many':[]}", NULL},
        {NULL, NULL,
            "the pipeline needs the artifact 'data' (system.Dataset): give its URI in "
            "runtime_config.input_artifacts, {\"data\": {\"uri\": ...}}, or with rondo run -a "
            "data=URI"},
        {"{'data':null}", NULL, "the pipeline needs the artifact 'data'"},
        {"[]", NULL, "input_artifacts: expected an object"},
        {"{'data':'gs://b/x'}", NULL, "artifact 'data': expected {\"uri\""},
        {"{'data':{}}", NULL, "artifact 'data': uri: missing"},
        {"{'data':{'uri':''}}", NULL, "artifact 'data': the artifact's URI is empty"},
        {"{'data':{'uri':'ftp://x'}}", NULL,
            "artifact 'data': the artifact's URI 'ftp://x' begins"},
        {"{'data':{'uri':'oci://x'}}", NULL, "system.Model only"},
        {"{'data':{'uri':7}}", NULL, "artifact 'data': uri"},
        {"{'data':{'uri':'gs://x','url':''}}", NULL, "artifact 'data': "},
        {"{'data':{'uri':'gs://x','metadata':[]}}", NULL, "artifact 'data': metadata"},
        {"{'data':{'uri':'gs://x','artifact_id':'x'}}", NULL, "artifact 'data': artifact_id"},
        {"{'data':{'uri':'gs://x','type':'system.Model'}}", NULL,
            "artifact 'data': type: it is a system.Model, and the pipeline declares a "
            "system.Dataset"},
        {"{'data':{'uri':'gs://x','type':{'instanceSchema':'x'}}}", NULL, "artifact 'data': type"},
        {"{'data':[]}", NULL, "artifact 'data': it is one artifact, and 0 are given"},
        {"{'data':[{'uri':'gs://x'},{'uri':'gs://y'}]}", NULL, "and 2 are given"},
        {"{'dta':{'uri':'gs://x'}}", NULL,
            "the pipeline needs the artifact 'data' (system.Dataset): give its URI in "
            "runtime_config.input_artifacts, {\"data\": {\"uri\": ...}}, or with rondo run -a "
            "data=URI; artifact 'dta' is not an input of the pipeline; did you mean 'data'?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *given = rows[i].given != NULL ? j(rows[i].given) : NULL;
        json_t *out = plan_bind_artifacts(plan, given, &err);
        const char *name = rows[i].given != NULL ? rows[i].given : "nothing";
        if (rows[i].expected != NULL) {
            assert_non_null(out);
            assert_int_equal(plan_check_artifacts(plan, out, &err), 0);
            expect_json(name, out, rows[i].expected);
        } else {
            assert_null(out);
            assert_int_equal(err.code, ERR_INVALID);
            expect_has(name, err.msg, rows[i].says);
        }
        json_decref(given);
    }
    plan_unref(plan);
    free(text);
}

/* ---- inputs of a task ---- */

/* What a task passes (`inputs`) to a component with these parameters (`declared`). */
static struct plan *task_plan(const char *declared, const char *inputs, bool is_dag)
{
    char *text = xasprintf(
        "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\n"
        "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"
        "components:\n"
        "  up: {executorLabel: e, outputDefinitions: {parameters: {o: {parameterType: STRING}}}}\n"
        "  c:\n    %s\n    inputDefinitions: {parameters: {%s}}\n"
        "  leaf: {executorLabel: e}\n"
        "root:\n"
        "  inputDefinitions: {parameters: {p: {parameterType: STRING, isOptional: true}}}\n"
        "  dag:\n    tasks:\n"
        "      up: {componentRef: {name: up}}\n"
        "      t:\n        componentRef: {name: c}\n        inputs: {parameters: {%s}}\n",
        is_dag ? "dag: {tasks: {l: {componentRef: {name: leaf}}}}" : "executorLabel: e", declared,
        inputs);
    struct plan *plan = must_compile(text);
    free(text);
    return plan;
}

#define FROM_ROOT "{componentInputParameter: p}"
#define FROM_TASK "{taskOutputParameter: {producerTask: up, outputParameterKey: o}}"

static void test_finish(void **state UNUSED)
{
    static const struct {
        const char *name, *declared, *inputs;
        bool is_dag;
        const char *raw, *provided, *params, *says;
    } rows[] = {
        {"value", "x: {parameterType: STRING}", "x: " FROM_ROOT, false, "{'x':'v'}", "{'x':'v'}",
            "{'x':'v'}", NULL},
        {"number becomes text", "x: {parameterType: STRING}", "x: " FROM_ROOT, false, "{'x':5.0}",
            "{'x':'5'}", "{'x':'5'}", NULL},
        {"text does not become number", "x: {parameterType: NUMBER_INTEGER}", "x: " FROM_TASK,
            false, "{'x':'5'}", NULL, NULL, "task 't': input 'x': expected a number"},
        {"not passed, optional with default: container",
            "x: {parameterType: STRING, isOptional: true, defaultValue: d}", "", false, "{}", "{}",
            "{'x':'d'}", NULL},
        {"not passed, optional with default: DAG",
            "x: {parameterType: STRING, isOptional: true, defaultValue: d}", "", true, "{}", "{}",
            "{'x':'d'}", NULL},
        {"not passed, optional without: container", "x: {parameterType: STRING, isOptional: true}",
            "", false, "{}", "{}", "{}", NULL},
        {"not passed, optional without: DAG", "x: {parameterType: STRING, isOptional: true}", "",
            true, "{}", "{}", "{'x':null}", NULL},
        {"not passed, default only", "x: {parameterType: NUMBER_INTEGER, defaultValue: 2.0}", "",
            false, "{}", "{}", "{'x':2}", NULL},
        {"null from the parent, optional", "x: {parameterType: STRING, isOptional: true}",
            "x: " FROM_ROOT, false, "{'x':null}", "{}", "{}", NULL},
        {"null from the parent, default", "x: {parameterType: STRING, defaultValue: d}",
            "x: " FROM_ROOT, false, "{'x':null}", "{}", "{'x':'d'}", NULL},
        {"null from the parent, required", "x: {parameterType: STRING}", "x: " FROM_ROOT, false,
            "{'x':null}", NULL, NULL, "input 'x' is required and has no value"},
        {"producer gave none, default", "x: {parameterType: STRING, defaultValue: d}",
            "x: " FROM_TASK, false, "{}", "{}", "{'x':'d'}", NULL},
        {"producer gave none, required", "x: {parameterType: STRING}", "x: " FROM_TASK, false, "{}",
            NULL, NULL, "input 'x' is required, but output 'o'"},
        {"constant", "x: {parameterType: NUMBER_INTEGER}", "x: {runtimeValue: {constant: 1.0}}",
            false, "{}", "{'x':1}", "{'x':1}", NULL},
        {"undeclared extra", "x: {parameterType: STRING}",
            "x: {runtimeValue: {constant: a}}, y: " FROM_TASK, false, "{'y':[1]}",
            "{'x':'a','y':[1]}", "{'x':'a','y':[1]}", NULL},
        {"f-string", "x: {parameterType: STRING}",
            "x: {runtimeValue: {constant: \"a-{{$.inputs.parameters['y']}}-b\"}}, y: " FROM_TASK,
            false, "{'y':2.0}", "{'x':'a-2-b','y':2.0}", "{'x':'a-2-b','y':2.0}", NULL},
        {"f-string: the value is not scanned", "x: {parameterType: STRING}",
            "x: {runtimeValue: {constant: \"{{$.inputs.parameters['y']}}\"}}, y: " FROM_TASK, false,
            "{'y':'{{$.pipeline_job_uuid}}'}",
            "{'x':'{{$.pipeline_job_uuid}}','y':'{{$.pipeline_job_uuid}}'}",
            "{'x':'{{$.pipeline_job_uuid}}','y':'{{$.pipeline_job_uuid}}'}", NULL},
        {"f-string in a DAG's input", "x: {parameterType: STRING}",
            "x: {runtimeValue: {constant: \"{{$.inputs.parameters['y']}}!\"}}, y: " FROM_TASK, true,
            "{'y':'v'}", "{'x':'v!','y':'v'}", "{'x':'v!','y':'v'}", NULL},
        {"f-string of a default",
            "x: {parameterType: STRING}, z: {parameterType: STRING, defaultValue: d}",
            "x: {runtimeValue: {constant: \"{{$.inputs.parameters['z']}}\"}}", false, "{}",
            "{'x':'d'}", "{'x':'d','z':'d'}", NULL},
        {"f-string without its value", "x: {parameterType: STRING}",
            "x: {runtimeValue: {constant: \"{{$.inputs.parameters['y']}}\"}}, y: " FROM_TASK, false,
            "{}", NULL, NULL, "input 'x' refers to input 'y', which has no value"},
        {"reference to nothing stays text", "x: {parameterType: STRING}",
            "x: {runtimeValue: {constant: \"{{$.inputs.parameters['q']}}\"}}", false, "{}",
            "{'x':'{{$.inputs.parameters[\\u0027q\\u0027]}}'}",
            "{'x':'{{$.inputs.parameters[\\u0027q\\u0027]}}'}", NULL},
        {"whole reference keeps the kind", "x: {parameterType: NUMBER_INTEGER}",
            "x: {runtimeValue: {constant: \"{{$.inputs.parameters['y']}}\"}}, y: " FROM_TASK, false,
            "{'y':7}", "{'x':7,'y':7}", "{'x':7,'y':7}", NULL},
        {"nested in a struct", "x: {parameterType: STRUCT}",
            "x: {runtimeValue: {constant: {k: [\"{{$.inputs.parameters['y']}}\"]}}}, y: " FROM_TASK,
            false, "{'y':'v'}", "{'x':{'k':['v']},'y':'v'}", "{'x':{'k':['v']},'y':'v'}", NULL},
        {"run-level, within a text", "x: {parameterType: STRING}",
            "x: {runtimeValue: {constant: 'id-{{$.pipeline_job_uuid}}'}}", false, "{}",
            "{'x':'id-run-1'}", "{'x':'id-run-1'}", NULL},
        {"selector", "x: {parameterType: NUMBER_INTEGER}",
            "x: {componentInputParameter: p, parameterExpressionSelector: "
            "'parseJson(string_value)[\"a\"]'}",
            false, "{'x':'{\\\"a\\\": 3}'}", "{'x':3}", "{'x':3}", NULL},
        {"selector without the key", "x: {parameterType: NUMBER_INTEGER}",
            "x: {componentInputParameter: p, parameterExpressionSelector: "
            "'parseJson(string_value)[\"b\"]'}",
            false, "{'x':'{\\\"a\\\": 3}'}", NULL, NULL, "the object has no key b"},
        {"literals", "x: {parameterType: STRING, literals: [a, b]}", "x: " FROM_ROOT, false,
            "{'x':'c'}", NULL, NULL, "is not one of its literals"},
    };
    const struct run_context run = {.run_id = "run-1", .run_name = "n"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct plan *plan = task_plan(rows[i].declared, rows[i].inputs, rows[i].is_dag);
        struct err err = ERR_INIT;
        json_t *raw = j(rows[i].raw), *provided = NULL, *params = NULL;
        int status =
            task_params_finish(task_named(plan->root, "t"), raw, &run, &provided, &params, &err);
        if (rows[i].says != NULL) {
            assert_int_equal(status, -1);
            expect_has(rows[i].name, err.msg, rows[i].says);
        } else {
            if (status != 0) {
                print_error("%s: %s\n", rows[i].name, err.msg);
                fail();
            }
            expect_json(rows[i].name, provided, rows[i].provided);
            expect_json(rows[i].name, params, rows[i].params);
        }
        json_decref(raw);
        plan_unref(plan);
    }
}

static void test_run_placeholders(void **state UNUSED)
{
    const struct run_context run = {.run_id = "r-1",
        .run_name = "nightly",
        .pipeline_name = "p",
        .task_key = "t",
        .task_id = "t-1",
        .created_us = INT64_C(1764892805000000)};
    struct run_context with_workspace = run;
    with_workspace.workspace_path = "/data/w";
    json_t *path = j("['{{$.workspace_path}}/x','{{$.workspace_path}}']");
    expect_json(
        "workspace", placeholder_resolve_run(path, &with_workspace), "['/data/w/x','/data/w']");
    json_decref(path);
    json_t *value = j("['{{$.pipeline_job_name}}/{{$.pipeline_job_uuid}}',"
                      "'{{$.pipeline_job_resource_name}}','{{$.pipeline_task_name}}',"
                      "'{{$.pipeline_task_uuid}}','{{$.pipeline_job_create_time_utc}}',"
                      "'{{$.pipeline_job_schedule_time_utc}}','{{$.pipeline_root}}',"
                      "'{{$.workspace_path}}','{{$}}', 5]");
    expect_json("run", placeholder_resolve_run(value, &run),
        "['nightly/r-1','p-r-1','t','t-1','2025-12-05T00:00:05Z','2025-12-05T00:00:05Z',"
        "'{{$.pipeline_root}}','{{$.workspace_path}}','{{$}}',5]");
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bind),
        cmocka_unit_test(test_root_artifacts),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_run_placeholders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
