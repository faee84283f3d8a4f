/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's report -> outputs (kfp-semantics.md 10.3 and 10.5). */
#include "pipeline_test.h"

#define OUTPUT_PIPELINE                                                                            \
    "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\n"                                              \
    "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"                    \
    "components:\n  c:\n    executorLabel: e\n    outputDefinitions: {%s}\n"                       \
    "root: {dag: {tasks: {t: {componentRef: {name: c}}}}}\n"

#define N "parameters: {n: {parameterType: NUMBER_INTEGER}}"
#define S "parameters: {s: {parameterType: STRING}}"
#define M "artifacts: {m: {artifactType: {schemaTitle: system.Model}, metadata: {a: 1}}}"

#define L                                                                                          \
    "artifacts: {m: {artifactType: {schemaTitle: system.Model}, metadata: {a: 1}, "                \
    "isArtifactList: "                                                                             \
    "true}}"
#define ONE(uri, metadata)                                                                         \
    "{'name':'m','type':{'schemaTitle':'system.Model'},'uri':'" uri "','metadata':{"               \
    "'display_name':'m'," metadata "}}"

#define STORED "'artifacts':{'m':{'uri':'file:///store/m','path':'/w/m','exists':true}}"
#define MODEL(uri, metadata)                                                                       \
    "{'m':[{'name':'m','type':{'schemaTitle':'system.Model'},'uri':'" uri "','metadata':{"         \
    "'display_name':'m'," metadata "}}]}"

static void test_outputs(void **state UNUSED)
{
    static const struct {
        const char *name, *declared;
        const char *file;   /* executor_output.json with ' for "; NULL: none */
        const char *report; /* rest of the report */
        const char *params, *artifacts, *says;
    } rows[] = {
        {"nothing declared", "", NULL, "{}", "{}", "{}", NULL},
        {"from the SDK's file", N, "{'parameterValues':{'n':5}}", "{}", "{'n':5}", "{}", NULL},
        {"from its own file", N, NULL, "{'params':{'n':' 7\\n'}}", "{'n':7}", "{}", NULL},
        {"SDK's file wins", N, "{'parameterValues':{'n':5}}", "{'params':{'n':'7'}}", "{'n':5}",
            "{}", NULL},
        {"text verbatim", S, NULL, "{'params':{'s':' a\\n'}}", "{'s':' a\\n'}", "{}", NULL},
        {"empty text", S, NULL, "{'params':{'s':''}}", "{'s':''}", "{}", NULL},
        {"not written", N, NULL, "{}", NULL, NULL, "output parameter 'n' was not written"},
        {"returned None", N, "{}", "{}", "{}", "{}", NULL},
        {"null is None", N, "{'parameterValues':{'n':null}}", "{}", "{}", "{}", NULL},
        {"empty file says nothing", N, "", "{'params':{'n':'1'}}", "{'n':1}", "{}", NULL},
        {"bad number", N, NULL, "{'params':{'n':'x'}}", NULL, NULL,
            "output parameter 'n': 'x' is not a whole number"},
        {"integral double", N, "{'parameterValues':{'n':5.0}}", "{}", "{'n':5}", "{}", NULL},
        {"undeclared values are ignored", N, "{'parameterValues':{'n':1,'z':2},'zz':{}}", "{}",
            "{'n':1}", "{}", NULL},
        {"deprecated form", N, "{'parameters':{'n':{'intValue':4}}}", "{}", "{'n':4}", "{}", NULL},
        {"NaN as a parameter", N, "{'parameterValues':{'n':NaN}}", "{}", NULL, NULL,
            "output parameter 'n' holds NaN"},
        {"NaN after a quoted quote", S, "{'parameterValues':{'s':'a \\'NaN\\' \\\\'}}", "{}",
            "{'s':'a \\'NaN\\' \\\\'}", "{}", NULL},
        {"not JSON", N, "{'parameterValues':", "{}", NULL, NULL, "executor_output.json"},
        {"not an object", N, "[1]", "{}", NULL, NULL, "executor_output.json: expected an object"},
        {"wrong kind", N, "{'parameterValues':[1]}", "{}", NULL, NULL,
            "executor_output.json: parameterValues: expected an object"},
        {"artifact", M, NULL, "{" STORED "}", "{}", MODEL("file:///store/m", "'a':1"), NULL},
        {"artifact nobody wrote", M, NULL, "{}", "{}", MODEL("/w/m", "'a':1"), NULL},
        {"metadata", M,
            "{'artifacts':{'m':{'artifacts':[{'name':'m','uri':'/w/"
            "m','metadata':{'b':2.5,'a':3}}]}}}",
            "{" STORED "}", "{}", MODEL("file:///store/m", "'a':3,'b':2.5"), NULL},
        {"nulls are dropped", M, "{'artifacts':{'m':{'artifacts':[{'metadata':{'b':null}}]}}}",
            "{" STORED "}", "{}", MODEL("file:///store/m", "'a':1"), NULL},
        {"null metadata", M, "{'artifacts':{'m':{'artifacts':[{'metadata':null}]}}}",
            "{" STORED "}", "{}", MODEL("file:///store/m", "'a':1"), NULL},
        {"NaN in metadata", M,
            "{'artifacts':{'m':{'artifacts':[{'metadata':{'b':NaN,'c':-Infinity,'d':[Infinity],'e':"
            "'NaN -Infinity'}}]}}}",
            "{" STORED "}", "{}",
            MODEL("file:///store/m",
                "'a':1,'b':'NaN','c':'-Infinity','d':['Infinity'],'e':'NaN -Infinity'"),
            NULL},
        {"own uri", M, "{'artifacts':{'m':{'artifacts':[{'uri':'gs://b/x'}]}}}", "{" STORED "}",
            "{}", MODEL("gs://b/x", "'a':1"), NULL},
        {"custom path is not a uri", M,
            "{'artifacts':{'m':{'artifacts':[{'uri':'/w/m','custom_path':'/tmp/x'}]}}}",
            "{" STORED "}", "{}", MODEL("file:///store/m", "'a':1"), NULL},
        {"local uri is not a new one", M, "{'artifacts':{'m':{'artifacts':[{'uri':'/w/other'}]}}}",
            "{" STORED "}", "{}", MODEL("file:///store/m", "'a':1"), NULL},
        {"empty uri", M, "{'artifacts':{'m':{'artifacts':[{'uri':''}]}}}", "{" STORED "}", "{}",
            MODEL("file:///store/m", "'a':1"), NULL},
        {"only the first of a list", M,
            "{'artifacts':{'m':{'artifacts':[{'metadata':{'b':1}},{'metadata':{'b':2}}]}}}",
            "{" STORED "}", "{}", MODEL("file:///store/m", "'a':1,'b':1"), NULL},
        {"a list", L,
            "{'artifacts':{'m':{'artifacts':[{'uri':'/w/m/0','metadata':{'b':1}},{'uri':'/w/m/1',"
            "'metadata':{'a':2}},{'uri':'gs://b/x'}]}}}",
            "{'artifacts':{'m':{'uri':'file:///store/m/0','more':[{'uri':'file:///store/m/1'},{"
            "'uri':'gs://b/x'}]}}}",
            "{}",
            "{'m':[" ONE("file:///store/m/0", "'a':1,'b':1") "," ONE(
                "file:///store/m/1", "'a':2") "," ONE("gs://b/x", "'a':1") "]}",
            NULL},
        {"an empty list", L, "{'artifacts':{'m':{'artifacts':[]}}}", "{" STORED "}", "{}",
            "{'m':[]}", NULL},
        {"a list of which nothing is said", L, "{}", "{" STORED "}", "{}",
            MODEL("file:///store/m", "'a':1"), NULL},
        {"an empty list of a single output", M, "{'artifacts':{'m':{'artifacts':[]}}}",
            "{" STORED "}", "{}", MODEL("file:///store/m", "'a':1"), NULL},
        {"artifacts is a text", M, "{'artifacts':{'m':{'artifacts':'x'}}}", "{}", NULL, NULL,
            "artifacts.m: expected"},
        {"second one is bad", M, "{'artifacts':{'m':{'artifacts':[{},1]}}}", "{}", NULL, NULL,
            "artifacts.m: expected"},
        {"metadata is a list", M, "{'artifacts':{'m':{'artifacts':[{'metadata':[1]}]}}}", "{}",
            NULL, NULL, "artifacts.m: expected"},
        {"artifact is a text", M, "{'artifacts':{'m':{'artifacts':['x']}}}", "{}", NULL, NULL,
            "artifacts.m: expected"},
        {"undeclared artifact", M, "{'artifacts':{'z':{'artifacts':[{}]}}}", "{" STORED "}", "{}",
            MODEL("file:///store/m", "'a':1"), NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = xasprintf(OUTPUT_PIPELINE, rows[i].declared);
        struct plan *plan = must_compile(text);
        const struct component *c = task_named(plan->root, "t")->component;
        json_t *places = j("{'m': {'uri': 'file:///store/m', 'path': '/w/m'}}");
        json_t *input = executor_input_build(c, NULL, NULL, places, "/w", NULL);
        json_t *report = j(rows[i].report), *params = NULL, *artifacts = NULL;
        if (rows[i].file != NULL) {
            char *file = xstrdup(rows[i].file);
            for (char *p = file; *p != '\0'; p++) {
                *p = *p == '\'' ? '"' : *p;
            }
            json_object_set_new(report, "output_file", json_string(file));
            free(file);
        }
        struct err err = ERR_INIT;
        int status = outputs_read(c, input, report, &params, &artifacts, &err);
        if (rows[i].says != NULL) {
            assert_int_equal(status, -1);
            expect_has(rows[i].name, err.msg, rows[i].says);
            assert_null(params);
        } else {
            if (status != 0) {
                print_error("%s: %s\n", rows[i].name, err.msg);
                fail();
            }
            expect_json(rows[i].name, params, rows[i].params);
            expect_json(rows[i].name, artifacts, rows[i].artifacts);
        }
        json_decref(report);
        json_decref(input);
        json_decref(places);
        plan_unref(plan);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_outputs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
