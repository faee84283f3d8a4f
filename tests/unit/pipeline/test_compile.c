/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling: the plan that comes out, and what is complained about with which words and line. */
#include "pipeline_test.h"

static void test_plan(void **state UNUSED)
{
    struct plan *plan = must_compile(BASE_PIPELINE);
    assert_string_equal(plan->name, "base");
    assert_string_equal(plan->sdk_version, "kfp-2.17.0");
    assert_int_equal(plan->task_total, 2);
    const struct dag *dag = plan->root->dag;
    assert_int_equal(dag->task_count, 2);
    assert_string_equal(dag->tasks[0].key, "load"); /* although written second */
    assert_string_equal(dag->tasks[0].display_name, "load it");
    const struct task_def *train = &dag->tasks[1];
    assert_string_equal(train->display_name, "train");
    assert_int_equal(train->dep_count, 1); /* implied by its inputs */
    assert_int_equal(train->deps[0], 0);
    assert_int_equal(train->param_count, 2);
    assert_string_equal(train->params[0].name, "count");
    assert_int_equal(train->params[0].kind, SOURCE_TASK_OUTPUT);
    assert_int_equal(train->params[0].producer, 0);
    assert_non_null(train->params[0].param);
    assert_string_equal(train->params[1].source, "note");
    assert_int_equal(train->artifacts[0].producer, 0);
    assert_non_null(train->artifacts[0].artifact);
    const struct component *load = dag->tasks[0].component;
    assert_int_equal(load->kind, COMPONENT_CONTAINER);
    assert_string_equal(load->container->image, "python");
    assert_string_equal(load->container->args[0], "{{$}}");
    assert_int_equal(json_integer_value(component_param_in(load, "rows")->default_value), 10);
    assert_string_equal(component_artifact_out(load, "data")->schema_version, "0.0.1");
    assert_null(component_param_in(load, "none"));
    plan_ref(plan);
    plan_unref(plan);
    plan_unref(plan);
}

/* ---- forms in which a pipeline travels ---- */

static void test_forms(void **state UNUSED)
{
    struct plan *plan = must_compile(BASE_PIPELINE);
    char *spec = jtext(plan->spec);
    char *canonical = plan_canonical(plan);
    const struct {
        const char *name;
        char *text;
    } rows[] = {
        {"bare JSON", xstrdup(spec)},
        {"snake case wrap", xasprintf("{\"pipeline_spec\": %s, \"platform_spec\": null}", spec)},
        {"camel case wrap", xasprintf("{\"pipelineSpec\": %s, \"platformSpec\": {}}", spec)},
        {"PipelineJob", xasprintf("{\"name\": \"x\", \"displayName\": \"y\", \"pipelineSpec\": %s, "
                                  "\"runtimeConfig\": {\"parameterValues\": {}}}",
                            spec)},
        {"canonical", xstrdup(canonical)},
        {"platform document with empty settings",
            xstrdup(BASE_PIPELINE "---\nplatforms:\n  kubernetes:\n    deploymentSpec:\n      "
                                  "executors:\n        exec-load: {}\n")},
        {"platform document first, null and foreign documents",
            xstrdup("platforms: {kubernetes: {}}\n---\n---\nhello: world\n---\n" BASE_PIPELINE)},
        {"byte order mark", xstrdup("\xEF\xBB\xBF" BASE_PIPELINE)},
        {"comment block", xstrdup("# PIPELINE DEFINITION\n# Name: x\n" BASE_PIPELINE)},
        {"JSON with surrogate pairs, which YAML refuses",
            xasprintf("{\"pipeline_spec\": %.*s, \"sdkVersion\": \"\\ud83d\\ude00\"}}",
                (int)(strstr(spec, ",\"sdkVersion\"") - spec), spec)},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct complaints c;
        complaints_init(&c);
        struct plan *other = plan_compile(rows[i].text, strlen(rows[i].text), &c);
        if (other == NULL) {
            char *why = complaint_text(&c);
            print_error("%s: %s\n%s\n", rows[i].name, why, rows[i].text);
            free(why);
            fail();
        }
        char *again = plan_canonical(other);
        if (i < 5) {
            assert_string_equal(again, canonical);
        }
        free(again);
        plan_unref(other);
        complaints_done(&c);
        free(rows[i].text);
    }
    struct complaints c;
    complaints_init(&c);
    struct plan *json = plan_compile_json(plan->spec, &c);
    assert_non_null(json);
    plan_unref(json);
    complaints_done(&c);
    free(spec);
    free(canonical);
    plan_unref(plan);
}

/* A PipelineJob says what to give to its run; types are those of the root. */
static void test_job(void **state UNUSED)
{
    static const struct {
        const char *name, *config, *parameters, *root;
    } rows[] = {
        {"values", "{'parameterValues': {'note': 'x'}}", "{'note': 'x'}", NULL},
        {"root, snake case",
            "{'gcs_output_directory': 'gs://b/r', 'parameter_values': {'note': 'x'}}",
            "{'note': 'x'}", "gs://b/r"},
        {"typed values, as they were",
            "{'parameters': {'note': {'stringValue': 'x'}}, 'parameterValues': {}}",
            "{'note': 'x'}", NULL},
        {"both", "{'parameters': {'note': {'intValue': '5'}}, 'parameterValues': {'note': 'y'}}",
            "{'note': 'y'}", NULL},
        {"number for a text", "{'parameters': {'note': {'intValue': '5'}}}", "{'note': '5'}", NULL},
        {"not of the pipeline", "{'parameterValues': {'other': 1}}", "{}", NULL},
        {"nothing", "{}", "{}", NULL},
    };
    struct plan *plan = must_compile(BASE_PIPELINE);
    assert_null(plan->job_parameters);
    char *spec = jtext(plan->spec);
    plan_unref(plan);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *config = j(rows[i].config);
        char *config_text = jtext(config);
        char *text = xasprintf("{\"pipelineSpec\": %s, \"runtimeConfig\": %s}", spec, config_text);
        plan = must_compile(text);
        expect_json(rows[i].name, json_incref((json_t *)plan->job_parameters), rows[i].parameters);
        assert_true(str_eq(plan->job_root, rows[i].root));
        plan_unref(plan);
        free(text);
        free(config_text);
        json_decref(config);
    }
    free(spec);
}

static void test_snake_case(void **state UNUSED)
{
    static const char *const words[][2] = {{"executorLabel", "executor_label"},
        {"inputDefinitions", "input_definitions"}, {"parameterType", "parameter_type"},
        {"defaultValue", "default_value"}, {"isOptional", "is_optional"},
        {"outputDefinitions", "output_definitions"}, {"artifactType", "artifact_type"},
        {"schemaTitle", "schema_title"}, {"deploymentSpec", "deployment_spec"},
        {"pipelineInfo", "pipeline_info"}, {"componentRef", "component_ref"},
        {"taskOutputArtifact", "task_output_artifact"}, {"producerTask", "producer_task"},
        {"outputArtifactKey", "output_artifact_key"},
        {"taskOutputParameter", "task_output_parameter"},
        {"outputParameterKey", "output_parameter_key"},
        {"componentInputParameter", "component_input_parameter"}, {"taskInfo", "task_info"},
        {"schemaVersion: 2", "schema_version: 2"}, {"sdkVersion", "sdk_version"}};
    char *text = edited(BASE_PIPELINE, "command: [load]",
        "command: [load], resources: {resource_cpu_limit: 1, accelerator: {resource_count: 2}}");
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        while (strstr(text, words[i][0]) != NULL) {
            char *next = edited(text, words[i][0], words[i][1]);
            free(text);
            text = next;
        }
    }
    struct complaints c;
    complaints_init(&c);
    struct plan *plan = plan_compile(text, strlen(text), &c);
    assert_non_null(plan);
    assert_int_equal(c.count, 0);
    assert_int_equal(plan->root->dag->task_count, 2);
    const struct component *load = task_named(plan->root, "load")->component;
    expect_json("type", json_incref((json_t *)component_artifact_out(load, "data")->type),
        "{'schemaTitle':'system.Dataset','schemaVersion':'0.0.1'}");
    expect_json("resources", json_incref((json_t *)load->container->resources),
        "{'resourceCpuLimit':'1','accelerator':{'resourceCount':'2'}}");
    plan_unref(plan);
    complaints_done(&c);
    free(text);
}

/* ---- complaints ---- */

struct bad_row {
    const char *name, *from, *to;
    unsigned line;
    const char *says;
};

static const struct bad_row bad_rows[] = {
    {"no name", "pipelineInfo: {name: base}", "pipelineInfo: {}", 27,
        "pipelineInfo.name: is missing or empty"},
    {"no info", "pipelineInfo: {name: base}\n", "", 1, "pipelineInfo: is missing"},
    {"name with a slash in it", "{name: base}", "{name: a/b}", 27, "'a/b': 1 to 128 characters"},
    {"name that begins with a dot", "{name: base}", "{name: .a}", 27, "not beginning with '.'"},
    {"name without a letter", "{name: base}", "{name: ÄÖ}", 27, "with a letter of a-z or a digit"},
    {"wrong schema version", "schemaVersion: 2.1.0\n", "schemaVersion: 2.0.0\n", 45,
        "'2.0.0' is not known"},
    {"no root", "root:\n", "roots:\n", 1, "root: is missing"},
    {"unknown component", "componentRef: {name: comp-load}", "componentRef: {name: comp-lod}", 39,
        "there is no component 'comp-lod'"},
    {"no component", "componentRef: {name: comp-load}", "dependentTasks: []", 40,
        "every task names its component"},
    {"unknown executor", "executorLabel: exec-load", "executorLabel: exec-lod", 3,
        "there is no executor 'exec-lod'"},
    {"unknown producer", "producerTask: load, outputParameterKey",
        "producerTask: lod, outputParameterKey", 37, "task 'lod' is not in this DAG"},
    {"unknown output parameter", "outputParameterKey: count", "outputParameterKey: counts", 37,
        "has no output parameter 'counts'"},
    {"unknown output artifact", "outputArtifactKey: data", "outputArtifactKey: date", 35,
        "has no output artifact 'date'"},
    {"unknown component input", "componentInputParameter: note", "componentInputParameter: notes",
        38, "'notes' is not an input parameter of root"},
    {"two sources", "{componentInputParameter: note}",
        "{componentInputParameter: note, runtimeValue: {constant: x}}", 38, "needs exactly one of"},
    {"no source", "{componentInputParameter: note}", "{}", 38, "needs exactly one of"},
    {"wrong constant", "{taskOutputParameter: {producerTask: load, outputParameterKey: count}}",
        "{runtimeValue: {constant: five}}", 37, "the constant is not a NUMBER_INTEGER"},
    {"required input not passed", "            note: {componentInputParameter: note}\n", "", 31,
        "parameter 'note' of comp-train is not passed"},
    {"required artifact not passed",
        "            data: {taskOutputArtifact: {producerTask: load, outputArtifactKey: data}}\n",
        "            {}\n", 31, "artifact 'data' of comp-train is not passed"},
    {"parameter passed as artifact",
        "            data: {taskOutputArtifact: {producerTask: load, outputArtifactKey: data}}\n",
        "            count: {taskOutputArtifact: {producerTask: load, outputArtifactKey: data}}\n",
        35, "has no artifact input of this name"},
    {"cycle", "        componentRef: {name: comp-load}\n",
        "        componentRef: {name: comp-load}\n        dependentTasks: [train]\n", 0,
        "train -> load -> train"},
    {"waits for itself", "        componentRef: {name: comp-load}\n",
        "        componentRef: {name: comp-load}\n        dependentTasks: [load]\n", 39,
        "load -> load"},
    {"unknown dependency", "        componentRef: {name: comp-load}\n",
        "        componentRef: {name: comp-load}\n        dependentTasks: [laod]\n", 39,
        "task 'laod' is not in this DAG"},
    {"bad type", "rows: {parameterType: NUMBER_INTEGER", "rows: {parameterType: INTEGER", 6,
        "'INTEGER' is not known; it must be STRING"},
    {"missing type", "rows: {parameterType: NUMBER_INTEGER, ", "rows: {", 6,
        "is missing; it must be"},
    {"wrong default", "defaultValue: 10.0", "defaultValue: ten", 6,
        "the default is not a NUMBER_INTEGER"},
    {"wrong kind: map for list", "command: [load]", "command: {a: b}", 24,
        "exec-load.container.command: expected a list"},
    {"wrong kind: list for text", "image: python, command: [load]",
        "image: [python], command: [load]", 24, "image: expected a text, found a list"},
    {"null in a list of texts", "command: [load]", "command: [null]", 24, "found null"},
    {"no image", "{image: python, command: [load]", "{command: [load]", 24,
        "a container needs an image"},
    {"nothing to run", "command: [train]", "command: []", 26, "neither 'command' nor 'args'"},
    {"two kinds of executor", "      container: {image: python, command: [train]}\n",
        "      container: {image: python, command: [train]}\n      importer: {}\n", 25,
        "needs exactly one of container, importer"},
    {"duplicate key", "  comp-train:\n", "  comp-load:\n", 13,
        "components.comp-load: the key 'comp-load' is there twice in one map, first in line 2"},
    {"duplicate key, flow style", "taskInfo: {name: load it}", "taskInfo: {name: a, name: b}", 41,
        "root.dag.tasks.load.taskInfo.name: the key 'name' is there twice"},
    {"name with a slash", "      load:\n", "      lo/ad:\n", 39, "'lo/ad' is not usable as a task"},
    {"isOptional is no boolean", "isOptional: true", "isOptional: maybe", 7,
        "expected true or false"},
    {"a bare text", BASE_PIPELINE, "hello", 1, "expected a map with pipelineInfo"},
    {"a list", BASE_PIPELINE, "- a\n- b\n", 1, "expected a map with pipelineInfo"},
    {"some other YAML", BASE_PIPELINE, "a: b\n", 0, "no pipeline in this file"},
    {"empty", BASE_PIPELINE, "", 0, "the file is empty"},
    {"only comments", BASE_PIPELINE, "# nothing\n", 0, "the file is empty"},
    {"Argo Workflow", BASE_PIPELINE, "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n", 1,
        "this is an Argo Workflow"},
    {"two pipelines", BASE_PIPELINE, BASE_PIPELINE "---\n" BASE_PIPELINE, 48,
        "a second pipeline document; the first begins in line 1"},
    {"bad indentation", "  comp-train:\n", " comp-train:\n", 13, "not valid YAML"},
    {"tab", "  comp-train:\n", "\tcomp-train:\n", 13, "not valid YAML"},
    {"not UTF-8", "note: {parameterType", "n\xff: {parameterType", 0, "the file must be UTF-8"},
    {"broken JSON", BASE_PIPELINE, "{\"pipelineInfo\": ", 0, "not valid YAML"},
    {"unknown alias", "name: base", "name: *base", 27, "an alias (*name) refers to"},
    {"unknown tag", "name: base", "name: !secret base", 27, "tags such as '!x' are not supported"},
    {"list as key", "name: base", "? [a]\n: b\n", 27, "a key must be a plain text"},
};

static bool check_bad(const struct bad_row *row)
{
    char *text = edited(BASE_PIPELINE, row->from, row->to);
    struct complaints c;
    complaints_init(&c);
    struct plan *plan = plan_compile(text, strlen(text), &c);
    char *said = complaint_text(&c);
    if (plan != NULL) {
        print_error("%s: compiles\n", row->name);
        plan_unref(plan);
    }
    bool found = plan == NULL && row->line == 0 && strstr(said, row->says) != NULL;
    for (size_t i = 0; i < c.count; i++) {
        char whole[4096];
        snprintf(whole, sizeof whole, "%s: %s", c.items[i].path, c.items[i].text);
        found = found || (strstr(whole, row->says) != NULL && c.items[i].line == row->line);
    }
    if (!found) {
        print_error("%s: expected '%s', line %u, in:\n%s\n", row->name, row->says, row->line, said);
    }
    free(said);
    complaints_done(&c);
    free(text);
    return found;
}

static void test_bad(void **state UNUSED)
{
    size_t good = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad_rows); i++) {
        good += check_bad(&bad_rows[i]);
    }
    assert_int_equal(good, ARRAY_LEN(bad_rows));
}

static void test_all_at_once(void **state UNUSED)
{
    char *a = edited(BASE_PIPELINE, "{name: base}", "{name: a/b}");
    char *b = edited(a, "outputParameterKey: count", "outputParameterKey: x");
    char *text = edited(b, "executorLabel: exec-load", "executorLabel: none");
    struct complaints c;
    complaints_init(&c);
    assert_null(plan_compile(text, strlen(text), &c));
    assert_int_equal(c.errors, 3);
    assert_int_equal(c.items[0].line, 3); /* by line */
    assert_int_equal(c.items[1].line, 27);
    assert_int_equal(c.items[2].line, 37);
    struct buf shown;
    buf_init(&shown, 1000);
    complaints_format(&c, 1, &shown);
    expect_has(
        "format", buf_str(&shown), "line 3, column 20: components.comp-load.executorLabel: ");
    expect_has("format", buf_str(&shown), "and 2 more");
    buf_done(&shown);
    complaints_done(&c);
    free(a);
    free(b);
    free(text);
}

static void test_warnings(void **state UNUSED)
{
    static const struct {
        const char *name, *from, *to, *says;
    } rows[] = {
        {"misspelt field", "taskInfo: {name", "taskinfo: {name", "did you mean 'taskInfo'?"},
        {"unknown field", "image: python, command: [load]", "image: python, zz: 1, command: [load]",
            "unknown field, ignored"},
        {"kinds differ", "note: {componentInputParameter: note}\n",
            "note: {componentInputParameter: note}\n            x: {componentInputParameter: "
            "note}\n",
            NULL},
        {"text into a number",
            "count: {taskOutputParameter: {producerTask: load, outputParameterKey: count}}",
            "count: {componentInputParameter: note}", "gets a STRING but is declared"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = edited(BASE_PIPELINE, rows[i].from, rows[i].to);
        struct complaints c;
        complaints_init(&c);
        struct plan *plan = plan_compile(text, strlen(text), &c);
        assert_non_null(plan);
        assert_int_equal(c.errors, 0);
        char *said = complaint_text(&c);
        if (rows[i].says != NULL) {
            expect_has(rows[i].name, said, "warning: ");
            expect_has(rows[i].name, said, rows[i].says);
        } else {
            assert_int_equal(c.count, 0);
        }
        free(said);
        complaints_done(&c);
        plan_unref(plan);
        free(text);
    }
}

static void test_allowed(void **state UNUSED)
{
    static const struct {
        const char *name, *from, *to;
    } rows[] = {
        {"retry zero times", "taskInfo: {name: load it}", "retryPolicy: {maxRetryCount: 0}"},
        {"caching", "taskInfo: {name: load it}",
            "cachingOptions: {enableCache: true, cacheKey: k}"},
        {"a name that the SDK would refuse", "{name: base}", "{name: Bäse 1.0_x}"},
        {"names with dots, dashes and unicode",
            "      load:\n        componentRef: {name: comp-load}\n",
            "      lo.ad-ö_1 x:\n        componentRef: {name: comp-load}\n      load:\n        "
            "componentRef: {name: comp-load}\n"},
        {"empty trigger policy", "taskInfo: {name: load it}", "triggerPolicy: {}"},
        {"explicit default strategy", "taskInfo: {name: load it}",
            "triggerPolicy: {strategy: ALL_UPSTREAM_TASKS_SUCCEEDED}"},
        {"enum by number", "tag: {parameterType: STRING", "tag: {parameterType: 3"},
        {"deprecated type", "tag: {parameterType: STRING", "tag: {type: STRING"},
        {"deprecated type by number", "rows: {parameterType: NUMBER_INTEGER", "rows: {type: 1"},
        {"deprecated type beside none", "rows: {parameterType: NUMBER_INTEGER",
            "rows: {type: INT, parameterType: PARAMETER_TYPE_ENUM_UNSPECIFIED"},
        {"integer constant",
            "{taskOutputParameter: {producerTask: load, outputParameterKey: count}}",
            "{runtimeValue: {constant: 5.0}}"},
        {"exponent for a declared number",
            "{taskOutputParameter: {producerTask: load, outputParameterKey: count}}",
            "{runtimeValue: {constant: 1e3}}"},
        {"runtimeParameter", "{componentInputParameter: note}",
            "{runtimeValue: {runtimeParameter: note}}"},
        {"constantValue", "{componentInputParameter: note}",
            "{runtimeValue: {constantValue: {stringValue: x}}}"},
        {"undeclared extra input", "note: {componentInputParameter: note}\n",
            "note: {componentInputParameter: note}\n            extra: {runtimeValue: {constant: "
            "1}}\n"},
        {"selector", "note: {componentInputParameter: note}",
            "note: {componentInputParameter: note, parameterExpressionSelector: "
            "'parseJson(string_value)[\"a\"]'}"},
        {"merge key", "    exec-train:\n      container: {image: python, command: [train]}\n",
            "    exec-train:\n      container: {<<: {image: python}, command: [train]}\n"},
        {"anchor and alias", "{name: base}", "{name: &n base, displayName: *n}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = edited(BASE_PIPELINE, rows[i].from, rows[i].to);
        struct complaints c;
        complaints_init(&c);
        struct plan *plan = plan_compile(text, strlen(text), &c);
        if (plan == NULL || c.count > 0) {
            char *said = complaint_text(&c);
            print_error("%s: %s\n", rows[i].name, said);
            fail();
        }
        plan_unref(plan);
        complaints_done(&c);
        free(text);
    }
}

/* ---- nesting ---- */

/* root contains dag-1 contains ... dag-n contains one container task. */
static char *nested(unsigned levels, const char *innermost)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_adds(&text, "pipelineInfo: {name: deep}\nschemaVersion: 2.1.0\ndeploymentSpec: {executors: "
                    "{e: {container: {image: x, command: [y]}}}}\nroot: {dag: {tasks: {t: "
                    "{componentRef: {name: c1}}}}}\ncomponents:\n");
    for (unsigned i = 1; i < levels; i++) {
        buf_addf(&text, "  c%u: {dag: {tasks: {t: {componentRef: {name: c%u}}}}}\n", i, i + 1);
    }
    buf_addf(&text, "  c%u: %s\n", levels, innermost);
    char *out = xstrdup(buf_str(&text));
    buf_done(&text);
    return out;
}

static void test_nesting(void **state UNUSED)
{
    static const struct {
        const char *name;
        unsigned levels;
        const char *innermost, *says;
    } rows[] = {
        {"100 levels", 100, "{executorLabel: e}", NULL},
        {"101 levels", 101, "{executorLabel: e}", "nested more than 100 levels"},
        {"5000 levels", 5000, "{executorLabel: e}", "nested more than 100 levels"},
        {"recursion", 3, "{dag: {tasks: {t: {componentRef: {name: c1}}}}}",
            "component c1 contains itself"},
        {"doubling", 40,
            "{dag: {tasks: {t: {componentRef: {name: b1}}}}}\n"
            "  b1: {dag: {tasks: {t: {componentRef: {name: b2}}, u: {componentRef: {name: b2}}}}}\n"
            "  b2: {dag: {tasks: {t: {componentRef: {name: b3}}, u: {componentRef: {name: b3}}}}}\n"
            "  b3: {executorLabel: e}",
            NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = nested(rows[i].levels, rows[i].innermost);
        struct complaints c;
        complaints_init(&c);
        struct plan *plan = plan_compile(text, strlen(text), &c);
        char *said = complaint_text(&c);
        if ((plan != NULL) != (rows[i].says == NULL)) {
            print_error("%s: %s\n", rows[i].name, said);
            fail();
        }
        if (rows[i].says != NULL) {
            expect_has(rows[i].name, said, rows[i].says);
        }
        if (strcmp(rows[i].name, "doubling") == 0) {
            assert_int_equal(plan->task_total, 41 + 2 + 2 * 2);
        }
        free(said);
        plan_unref(plan);
        complaints_done(&c);
        free(text);
    }
}

/* 2^25 tasks from 25 small components. */
static void test_task_bomb(void **state UNUSED)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_adds(&text, "pipelineInfo: {name: deep}\nschemaVersion: 2.1.0\ndeploymentSpec: {executors: "
                    "{e: {container: {image: x, command: [y]}}}}\nroot: {dag: {tasks: {t: "
                    "{componentRef: {name: c1}}}}}\ncomponents:\n  c26: {executorLabel: e}\n");
    for (unsigned i = 1; i < 26; i++) {
        buf_addf(&text,
            "  c%u: {dag: {tasks: {t: {componentRef: {name: c%u}}, u: {componentRef: {name: "
            "c%u}}}}}\n",
            i, i + 1, i + 1);
    }
    struct complaints c;
    complaints_init(&c);
    assert_null(plan_compile(buf_str(&text), text.len, &c));
    char *said = complaint_text(&c);
    expect_has("bomb", said, "comes to more than 100000 tasks");
    free(said);
    complaints_done(&c);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_job),
        cmocka_unit_test(test_snake_case),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_task_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
