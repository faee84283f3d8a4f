/* SPDX-License-Identifier: Apache-2.0 */
/* ExecutorInput and argv: every placeholder, IfPresent, Concat, and what must not be touched. */
#include "pipeline_test.h"

#define COMMAND_PIPELINE                                                                           \
    "pipelineInfo: {name: p}\nschemaVersion: 2.1.0\n"                                              \
    "deploymentSpec: {executors: {e: {container: {image: x, command: [y]}}}}\n"                    \
    "components:\n"                                                                                \
    "  c:\n    executorLabel: e\n"                                                                 \
    "    inputDefinitions:\n"                                                                      \
    "      artifacts:\n"                                                                           \
    "        data: {artifactType: {schemaTitle: system.Dataset, schemaVersion: 0.0.1}}\n"          \
    "        extra: {artifactType: {schemaTitle: system.Model}, isOptional: true}\n"               \
    "      parameters:\n"                                                                          \
    "        text: {parameterType: STRING}\n"                                                      \
    "        opt: {parameterType: STRING, isOptional: true}\n"                                     \
    "    outputDefinitions:\n"                                                                     \
    "      artifacts:\n"                                                                           \
    "        model: {artifactType: {schemaTitle: system.Model, schemaVersion: 0.0.1}, metadata: "  \
    "{k: v}}\n"                                                                                    \
    "      parameters:\n"                                                                          \
    "        n: {parameterType: NUMBER_INTEGER}\n"                                                 \
    "root:\n"                                                                                      \
    "  inputDefinitions: {artifacts: {data: {artifactType: {schemaTitle: system.Dataset}}}}\n"     \
    "  dag:\n    tasks:\n      t:\n        componentRef: {name: c}\n"                              \
    "        inputs:\n          artifacts: {data: {componentInputArtifact: data}}\n"               \
    "          parameters: {text: {runtimeValue: {constant: x}}}\n"

static const char artifacts_text[] =
    "{'data': [{'name': 'data', 'type': {'schemaTitle': 'system.Dataset', 'schemaVersion': "
    "'0.0.1'}, 'uri': 'file:///store/p/r/t/u/data', 'path': '/work/in/data', 'metadata': {'rows': "
    "10, 'who': 'me', 'none': null, 'deep': {'a': [1]}}}]}";
static const char places_text[] =
    "{'model': {'uri': 's3://bucket/p/model', 'path': '/s3/bucket/p/model'}}";

static json_t *build(const struct component *c, const char *params_text, json_t **paths)
{
    json_t *params = j(params_text), *artifacts = j(artifacts_text), *places = j(places_text);
    json_t *out = executor_input_build(c, params, artifacts, places, "/w", paths);
    json_decref(params);
    json_decref(artifacts);
    json_decref(places);
    return out;
}

static void test_executor_input(void **state UNUSED)
{
    struct plan *plan = must_compile(COMMAND_PIPELINE);
    const struct component *c = task_named(plan->root, "t")->component;
    json_t *paths;
    expect_json("full", build(c, "{'text': 'x', 'opt': null, 'extra': 1}", &paths),
        "{'inputs': {'parameterValues': {'text': 'x', 'extra': 1}, 'artifacts': {'data': "
        "{'artifacts': [{'name': 'data', 'type': {'schemaTitle': 'system.Dataset', "
        "'schemaVersion': '0.0.1'}, 'uri': '/work/in/data', 'metadata': {'rows': 10, 'who': "
        "'me', 'deep': {'a': [1]}}}]}}}, 'outputs': {'parameters': {'n': {'outputFile': "
        "'/w/outputs/n'}}, 'artifacts': {'model': {'artifacts': [{'name': 'model', 'type': "
        "{'schemaTitle': 'system.Model', 'schemaVersion': '0.0.1'}, 'uri': "
        "'s3://bucket/p/model', 'metadata': {'k': 'v'}}]}}, 'outputFile': "
        "'/w/executor_output.json'}}");
    expect_json("paths", paths,
        "{'in': {'data': '/work/in/data'}, 'out': {'model': "
        "'/s3/bucket/p/model'}}");
    const struct component empty = {.name = "c", .kind = COMPONENT_CONTAINER};
    expect_json("empty", executor_input_build(&empty, NULL, NULL, NULL, "/w", NULL),
        "{'outputs': {'outputFile': '/w/executor_output.json'}}");
    plan_unref(plan);
}

/* Nobody brings here what lies elsewhere. */
static void test_inputs_elsewhere(void **state UNUSED)
{
    static const struct {
        const char *given, *uri, *path; /* path: of the place, NULL for what is given */
    } rows[] = {
        {"gs://b/x", "gs://b/x", "/gcs/b/x"},
        {"s3://b/x", "s3://b/x", "/s3/b/x"},
        {"minio://b/x", "minio://b/x", "/minio/b/x"},
        {"oci://r/x:1", "oci://r/x:1", "/oci/r_x:1"},
        {"https://h/x", "https://h/x", "https://h/x"},
        {"file:///store/x", "/work/here", "/work/here"},
        {"/plain/path", "/work/here", "/work/here"},
    };
    const struct component empty = {.name = "c", .kind = COMPONENT_CONTAINER};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *artifacts = json_pack(
            "{s:[{s:s,s:s,s:s}]}", "a", "name", "a", "uri", rows[i].given, "path", "/work/here");
        json_t *paths;
        json_t *input = executor_input_build(&empty, NULL, artifacts, NULL, "/w", &paths);
        json_t *list = json_object_get(
            json_object_get(json_object_get(json_object_get(input, "inputs"), "artifacts"), "a"),
            "artifacts");
        assert_string_equal(jget_str(json_array_get(list, 0), "uri", ""), rows[i].uri);
        assert_string_equal(jget_str(json_object_get(paths, "in"), "a", ""), rows[i].path);
        json_decref(input);
        json_decref(paths);
        json_decref(artifacts);
    }
}

struct render_row {
    const char *name, *element, *expected, *says;
};

/* %s in `expected` is the ExecutorInput. */
static const struct render_row rows[] = {
    {"plain", "--flag", "['--flag']", NULL},
    {"parameter", "a={{$.inputs.parameters['text']}}!", "['a=va\\\"l!']", NULL},
    {"double quotes", "{{$.inputs.parameters[\"text\"]}}", "['va\\\"l']", NULL},
    {"escaped once", "{\"a\": \"{{$.inputs.parameters['text'].json_escape[1]}}\"}",
        "['{\\\"a\\\": \\\"va\\\\\\\"l\\\"}']", NULL},
    {"escaped twice", "{{$.inputs.parameters['text'].json_escape[2]}}", "['va\\\\\\\\\\\\\\\"l']",
        NULL},
    {"not escaped", "{{$.inputs.parameters['num'].json_escape[0]}}", "['5']", NULL},
    {"escaped too often", "{{$.inputs.parameters['num'].json_escape[9]}}",
        "['{{$.inputs.parameters[\\u0027num\\u0027].json_escape[9]}}']", NULL},
    {"twice", "{{$.inputs.parameters['num']}}{{$.inputs.parameters['num']}}", "['55']", NULL},
    {"list", "{{$.inputs.parameters['list']}}", "['[1,\\\"\\\\u003ca\\\"]']", NULL},
    {"value is not scanned", "{{$.inputs.parameters['sneaky']}}",
        "['{{$.inputs.parameters[\\u0027text\\u0027]}}']", NULL},
    {"artifact path", "{{$.inputs.artifacts['data'].path}}", "['/work/in/data']", NULL},
    {"artifact uri", "{{$.inputs.artifacts['data'].uri}}", "['/work/in/data']", NULL},
    {"artifact name", "{{$.inputs.artifacts['data'].name}}", "['data']", NULL},
    {"metadata", "{{$.inputs.artifacts['data'].metadata}}",
        "['{\\\"deep\\\":{\\\"a\\\":[1]},\\\"rows\\\":10,\\\"who\\\":\\\"me\\\"}']", NULL},
    {"metadata text", "{{$.inputs.artifacts['data'].metadata['who']}}", "['me']", NULL},
    {"metadata number", "{{$.inputs.artifacts['data'].metadata['rows']}}", "['10']", NULL},
    {"metadata deep", "{{$.inputs.artifacts['data'].metadata['deep']['a']}}", "['[1]']", NULL},
    {"metadata missing", "{{$.inputs.artifacts['data'].metadata['no']}}", "['null']", NULL},
    {"properties", "{{$.inputs.artifacts['data'].properties['who']}}", "['me']", NULL},
    {"bare output artifact", "{{$.outputs.artifacts['model']}}",
        "['[{\\\"metadata\\\":{\\\"k\\\":\\\"v\\\"},\\\"name\\\":\\\"model\\\","
        "\\\"type\\\":{"
        "\\\"schemaTitle\\\":\\\"system.Model\\\",\\\"schemaVersion\\\":\\\"0.0.1\\\"},\\\"uri\\\":"
        "\\\"s3://"
        "bucket/p/model\\\"}]']",
        NULL},
    {"output uri", "{{$.outputs.artifacts['model'].uri}}", "['s3://bucket/p/model']", NULL},
    {"output path", "{{$.outputs.artifacts['model'].path}}", "['/s3/bucket/p/model']", NULL},
    {"output parameter", "{{$.outputs.parameters['n'].output_file}}", "['/w/outputs/n']", NULL},
    {"output file", "{{$.outputs.output_file}} {{$.outputMetadataUri}}",
        "['/w/executor_output.json /w/executor_output.json']", NULL},
    {"run", "{{$.pipeline_job_uuid}}-{{$.pipeline_task_name}}", "['r-1-t']", NULL},
    {"root", "{{$.pipeline_root}}", "['/root']", NULL},
    {"missing parameter", "{{$.inputs.parameters['opt']}}", NULL,
        "args[0]: input parameter 'opt' has no value"},
    {"missing artifact", "{{$.inputs.artifacts['extra'].path}}", NULL,
        "args[0]: input artifact 'extra' has no value"},
    {"unknown output", "{{$.outputs.parameters['m'].output_file}}", NULL,
        "the component has no output parameter 'm'"},
    {"unknown output artifact", "{{$.outputs.artifacts['m'].uri}}", NULL,
        "the component has no output artifact 'm'"},
    /* not references */
    {"shell", "echo $(date) ${HOME} {{x}} {{$", "['echo $(date) ${HOME} {{x}} {{$']", NULL},
    {"unknown path", "{{$.foo}} {{$.inputs.parameters['x'}}",
        "['{{$.foo}} {{$.inputs.parameters[\\u0027x\\u0027}}']", NULL},
    {"spaces", "{{ $ }}", "['{{ $ }}']", NULL},
    {"JSON that is no struct", "{'a': 1}", "['{\\u0027a\\u0027: 1}']", NULL},
    /* structs */
    {"IfPresent: there", "{\"IfPresent\": {\"InputName\": \"text\", \"Then\": \"yes\"}}", "['yes']",
        NULL},
    {"IfPresent: not there", "{\"IfPresent\": {\"InputName\": \"opt\", \"Then\": \"yes\"}}", "[]",
        NULL},
    {"IfPresent: else",
        "{\"IfPresent\": {\"InputName\": \"opt\", \"Then\": \"y\", \"Else\": \"n\"}}", "['n']",
        NULL},
    {"IfPresent: artifact",
        "{\"IfPresent\": {\"InputName\": \"data\", \"Then\": [\"--d\", "
        "\"{{$.inputs.artifacts['data'].path}}\"]}}",
        "['--d','/work/in/data']", NULL},
    {"IfPresent: output in Then",
        "{\"IfPresent\": {\"InputName\": \"text\", \"Then\": "
        "\"{{$.outputs.artifacts['model'].uri}}\"}}",
        "['s3://bucket/p/model']", NULL},
    {"IfPresent: defaults are not there",
        "{\"IfPresent\": {\"InputName\": \"num\", \"Then\": \"y\"}}", "[]", NULL},
    {"IfPresent: nested",
        "{\"IfPresent\": {\"InputName\": \"text\", \"Then\": [\"a\", {\"IfPresent\": "
        "{\"InputName\": "
        "\"opt\", \"Then\": \"b\"}}, {\"Concat\": [\"c\", \"d\"]}]}}",
        "['a','cd']", NULL},
    {"IfPresent: not chosen is not resolved",
        "{\"IfPresent\": {\"InputName\": \"opt\", \"Then\": \"{{$.inputs.parameters['opt']}}\"}}",
        "[]", NULL},
    {"Concat", "{\"Concat\": [\"a=\", \"{{$.inputs.parameters['text']}}\", \"!\"]}",
        "['a=va\\\"l!']", NULL},
    {"Concat: nested",
        "{\"Concat\": [\"a\", {\"IfPresent\": {\"InputName\": \"text\", \"Then\": \"b\"}}, "
        "{\"IfPresent\": {\"InputName\": \"opt\", \"Then\": \"c\"}}, {\"Concat\": [\"d\"]}]}",
        "['abd']", NULL},
    {"Concat: empty", "{\"Concat\": []}", "['']", NULL},
    {"space before", " {\"Concat\": [\"a\"]}", "['a']", NULL},
    {"no space after", "{\"Concat\":[\"a\"]}", "['a']", NULL},
    {"IfPresent broken", "{\"IfPresent\": {\"Then\": \"y\"}}", NULL,
        "needs 'InputName' and 'Then'"},
    {"Concat broken", "{\"Concat\": \"a\"}", NULL, "Concat takes a list"},
    {"other JSON within", "{\"Concat\": [{\"a\": 1}]}", NULL, "only texts, lists, IfPresent"},
    {"JSON that does not parse", "{\"Concat\": [", "['{\\\"Concat\\\": [']", NULL},
};

static void test_render(void **state UNUSED)
{
    struct plan *plan = must_compile(COMMAND_PIPELINE);
    const struct component *c = task_named(plan->root, "t")->component;
    json_t *paths, *provided = j("{'text': 1, 'data': 1}");
    json_t *input = build(c,
        "{'text': 'va\\\"l', 'num': 5.0, 'list': [1.0, '<a'], 'sneaky': "
        "'{{$.inputs.parameters[\\u0027text\\u0027]}}'}",
        &paths);
    const struct run_context run = {.run_id = "r-1", .task_key = "t", .pipeline_root = "/root"};
    const struct render_context ctx = {
        .executor_input = input, .provided = provided, .paths = paths, .run = &run};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *args[] = {rows[i].element, "end"};
        const struct container container = {.args = args, .arg_count = 2};
        struct err err = ERR_INIT;
        json_t *argv = command_render(&container, &ctx, NULL, &err);
        if (rows[i].expected != NULL) {
            if (argv == NULL) {
                print_error("%s: %s\n", rows[i].name, err.msg);
                fail();
            }
            json_array_remove(argv, json_array_size(argv) - 1);
            expect_json(rows[i].name, argv, rows[i].expected);
        } else {
            assert_null(argv);
            assert_int_equal(err.code, ERR_INVALID);
            expect_has(rows[i].name, err.msg, rows[i].says);
        }
    }
    /* {{$}} is JSON that reads back as the same document, whatever the values hold. */
    const char *args[] = {"--executor_input={{$}}"};
    const struct container container = {.args = args, .arg_count = 1};
    struct err err = ERR_INIT;
    json_t *argv = command_render(&container, &ctx, NULL, &err);
    const char *text = json_string_value(json_array_get(argv, 0)) + strlen("--executor_input=");
    json_t *back = json_loads(text, 0, NULL);
    assert_true(json_equal(json_object_get(back, "outputs"), json_object_get(input, "outputs")));
    assert_non_null(strstr(text, "\"num\":5,")); /* Python must read an int */
    json_decref(back);
    json_decref(argv);
    json_decref(input);
    json_decref(paths);
    json_decref(provided);
    plan_unref(plan);
}

static void test_whole(void **state UNUSED)
{
    json_t *input = j("{'inputs': {'parameterValues': {'x': 'v'}}, 'outputs': {}}");
    const struct render_context ctx = {.executor_input = input};
    struct err err = ERR_INIT;
    const char *command[] = {"sh", "-c"}, *args[] = {"{{$.inputs.parameters['x']}}"};
    struct container c = {.command = command, .command_count = 2, .args = args, .arg_count = 1};
    expect_json("command, then args", command_render(&c, &ctx, NULL, &err), "['sh','-c','v']");
    c.command_count = 0;
    expect_json("args only", command_render(&c, &ctx, NULL, &err), "['v']");
    const char *gone[] = {"{\"IfPresent\": {\"InputName\": \"no\", \"Then\": \"y\"}}"};
    c.args = gone;
    assert_null(command_render(&c, &ctx, NULL, &err));
    expect_has("nothing left", err.msg, "there is no program to run");
    char *image = string_render("img:{{$.inputs.parameters['x']}}", &ctx, NULL, &err);
    assert_string_equal(image, "img:v");
    free(image);
    image = string_render("", &ctx, NULL, &err);
    assert_string_equal(image, "");
    free(image);
    assert_null(string_render("{{$.inputs.parameters['y']}}", &ctx, NULL, &err));
    json_decref(input);

    char *big = xmalloc(140001);
    memset(big, 'x', 140000);
    big[140000] = '\0';
    const char *long_args[] = {big};
    c.args = long_args;
    assert_null(command_render(&c, &ctx, NULL, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    expect_has("long", err.msg, "args[0]: becomes 140000 bytes long");
    free(big);
}

/* Which bytes the author did not write. */
static void test_values(void **state UNUSED)
{
    json_t *input = j("{'inputs': {'parameterValues': {'x': '$(HOME)', 'none': '', 'l': ['a']}}, "
                      "'outputs': {'outputFile': '/o'}}");
    const struct run_context run = {.run_id = "r-1"};
    const struct render_context ctx = {.executor_input = input, .run = &run};
    const char *args[] = {
        "$(HOME) {{$.inputs.parameters['x']}}",
        "plain $(HOME) {{$.unknown}}",
        "{\"Concat\": [\"$(A)\", \"{{$.inputs.parameters['x']}}\", {\"IfPresent\": {\"InputName\": "
        "\"x\", \"Then\": [\"b\", "
        "\"<{{$.inputs.parameters['none']}}{{$.pipeline_job_uuid}}>\"]}}]}",
        "{{$.outputs.output_file}}",
        "{{$.inputs.parameters['l'].json_escape[1]}}!",
    };
    const struct container c = {.args = args, .arg_count = ARRAY_LEN(args)};
    struct err err = ERR_INIT;
    json_t *values = json_array();
    expect_json("texts", command_render(&c, &ctx, values, &err),
        "['$(HOME) $(HOME)', 'plain $(HOME) {{$.unknown}}', '$(A)$(HOME)b<r-1>', '/o', "
        "'[\\\\\\\"a\\\\\\\"]!']");
    expect_json("values", values, "[[0, 8, 7], [2, 4, 7, 13, 0, 13, 3], [3, 0, 2], [4, 0, 7]]");
    values = json_array();
    char *text =
        string_render("{{$.inputs.parameters['x']}}/{{$.outputs.output_file}}", &ctx, values, &err);
    assert_string_equal(text, "$(HOME)//o");
    expect_json("values of one text", values, "[0, 7, 8, 2]");
    free(text);
    json_decref(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_executor_input),
        cmocka_unit_test(test_inputs_elsewhere),
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
