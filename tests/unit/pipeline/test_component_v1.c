/* SPDX-License-Identifier: Apache-2.0 */
/* Component files of KFP 1: what becomes of their parts, and what is refused, where and why. */
#include "pipeline_test.h"

#define PORTS                                                                                      \
    "inputs:\n"                                                                                    \
    "- {name: Training data}\n"                                                                    \
    "- {name: Rounds, type: Integer, default: '30', description: how often}\n"                     \
    "- {name: opt, type: String, optional: true}\n"                                                \
    "- {name: on, type: Bool, default: 'no'}\n"                                                    \
    "- {name: uri, type: Model, optional: true}\n"                                                 \
    "- {name: status, type: PipelineTaskFinalStatus}\n"                                            \
    "outputs:\n"                                                                                   \
    "- {name: Model File, type: XGBoost model}\n"                                                  \
    "- {name: n, type: Integer}\n"

#define COMPONENT(args)                                                                            \
    "name: Train - It (v2)\n"                                                                      \
    "description: about it\n" PORTS                                                                \
    "implementation:\n  container:\n    image: alpine\n    command: [run]\n    args: " args "\n"

static void test_the_pipeline_around(void **state UNUSED)
{
    struct plan *plan = must_compile(COMPONENT("[{inputPath: Training data}, {inputUri: uri}]"));
    assert_string_equal(plan->name, "train-it-v2");
    assert_string_equal(plan->display_name, "Train - It (v2)");
    assert_string_equal(plan->description, "about it");
    assert_int_equal(plan->root->param_in_count, 4);
    assert_int_equal(plan->root->artifact_in_count, 1);
    const struct param_def *data = component_param_in(plan->root, "training_data");
    assert_int_equal(data->type, VALUE_STRING);
    assert_false(data->is_optional);
    assert_string_equal(data->display_name, "Training data");
    const struct param_def *rounds = component_param_in(plan->root, "rounds");
    assert_int_equal(rounds->type, VALUE_INTEGER);
    assert_true(rounds->is_optional);
    assert_int_equal(json_integer_value(rounds->default_value), 30);
    assert_string_equal(rounds->description, "how often");
    assert_true(component_artifact_in(plan->root, "uri")->is_optional);
    assert_string_equal(component_artifact_in(plan->root, "uri")->schema_title, "system.Model");
    assert_null(component_param_in(plan->root, "status"));
    const struct task_def *task = task_named(plan->root, "train-it-v2");
    assert_string_equal(task->display_name, "Train - It (v2)");
    assert_true(task->cache_enabled);
    assert_int_equal(task->component->container->arg_count, 2);
    expect_json("input files", json_incref((json_t *)(uintptr_t)task->component->input_files),
        "['training_data']");
    assert_string_equal(
        component_artifact_out(plan->root, "model_file")->schema_title, "system.Artifact");
    assert_int_equal(component_param_out(plan->root, "n")->type, VALUE_INTEGER);
    assert_string_equal(plan->root->dag->artifacts[0].name, "model_file");
    assert_string_equal(plan->root->dag->params[0].name, "n");
    plan_unref(plan);
}

static void test_it_is_stored_as_a_pipeline(void **state UNUSED)
{
    struct plan *plan = must_compile(COMPONENT("[{inputPath: Rounds}]\n"
                                               "    fileOutputs: {n: /tmp/n.txt}"));
    char *text = plan_canonical(plan);
    struct plan *again = must_compile(text);
    const struct component *c = task_named(again->root, "train-it-v2")->component;
    expect_json("file outputs", json_incref((json_t *)(uintptr_t)c->container->file_outputs),
        "[{'name': 'n', 'path': '/tmp/n.txt'}]");
    expect_json("input files", json_incref((json_t *)(uintptr_t)c->input_files), "['rounds']");
    free(text);
    plan_unref(again);
    plan_unref(plan);
}

static void test_volatile_is_not_cached(void **state UNUSED)
{
    struct plan *plan = must_compile("metadata: {annotations: {volatile_component: 'true'}}\n"
                                     "implementation: {container: {image: a, command: [b]}}\n");
    assert_string_equal(plan->name, "component");
    assert_false(plan->root->dag->tasks[0].cache_enabled);
    plan_unref(plan);
}

/* ---- types and defaults ---- */

struct type_row {
    const char *name, *port;
    enum value_type type;
    const char *value; /* NULL: none */
};

static const struct type_row type_rows[] = {
    {"no type", "name: x", VALUE_STRING, NULL},
    {"unknown type", "name: x, type: GCSPath, default: 'gs://a'", VALUE_STRING, "'gs://a'"},
    {"map as type", "name: x, type: {JsonObject: {a: b}}", VALUE_STRING, NULL},
    {"dataset by path", "name: x, type: Dataset, default: hello", VALUE_STRING, "'hello'"},
    {"any case", "name: x, type: INT, default: ' 7 '", VALUE_INTEGER, "7"},
    {"int without quotes", "name: x, type: Integer, default: 7", VALUE_INTEGER, "7"},
    {"int as 7.0", "name: x, type: Integer, default: 7.0", VALUE_INTEGER, "7"},
    {"float", "name: x, type: Float, default: '1e3'", VALUE_DOUBLE, "1000"},
    {"double", "name: x, type: Double, default: '.5'", VALUE_DOUBLE, "0.5"},
    {"text", "name: x, type: text, default: 1.0", VALUE_STRING, "'1.0'"},
    {"bool yes", "name: x, type: Boolean, default: 'Yes'", VALUE_BOOLEAN, "true"},
    {"bool off", "name: x, type: bool, default: off", VALUE_BOOLEAN, "false"},
    {"bool bare", "name: x, type: bool, default: True", VALUE_BOOLEAN, "true"},
    {"list as text", "name: x, type: JsonArray, default: '[1, \"a\"]'", VALUE_LIST, "[1, 'a']"},
    {"list as list", "name: x, type: List, default: [1, 2]", VALUE_LIST, "[1, 2]"},
    {"generic", "name: x, type: 'List[str]', default: '[]'", VALUE_LIST, "[]"},
    {"typing", "name: x, type: 'typing.Dict[str, int]', default: '{}'", VALUE_STRUCT, "{}"},
    {"optional generic", "name: x, type: 'Optional[int]', default: '1'", VALUE_INTEGER, "1"},
    {"null default", "name: x, type: String, default: null", VALUE_STRING, NULL},
    {"empty text", "name: x, type: String, default: ''", VALUE_STRING, "''"},
};

static void test_types(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(type_rows); i++) {
        const struct type_row *row = &type_rows[i];
        char *text = xasprintf("inputs:\n- {%s}\nimplementation: {container: {image: a, command: "
                               "[b, {inputPath: x}]}}\n",
            row->port);
        struct plan *plan = must_compile(text);
        const struct param_def *p = component_param_in(plan->root, "x");
        if (p == NULL || p->type != row->type || (p->default_value != NULL) != p->is_optional ||
            (p->default_value != NULL) != (row->value != NULL)) {
            fail_msg("%s: not as expected", row->name);
        }
        if (row->value != NULL) {
            expect_json(row->name, json_incref((json_t *)(uintptr_t)p->default_value), row->value);
        }
        plan_unref(plan);
        free(text);
    }
}

static void test_types_of_outputs(void **state UNUSED)
{
    static const struct {
        const char *type, *title; /* NULL: a parameter */
    } outputs[] = {{"Model", "system.Model"}, {"html", "system.HTML"}, {"CSV", "system.Artifact"},
        {"google.VertexModel", "google.VertexModel"}, {"google.2", "system.Artifact"},
        {"{GCSPath: {a: b}}", "system.Artifact"}, {"String", NULL}, {"'Dict[str, str]'", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(outputs); i++) {
        char *text = xasprintf("outputs:\n- {name: x, type: %s}\nimplementation: {container: "
                               "{image: a, command: [b, {outputPath: x}]}}\n",
            outputs[i].type);
        struct plan *plan = must_compile(text);
        const struct artifact_def *a = component_artifact_out(plan->root, "x");
        if (a == NULL ? outputs[i].title != NULL : !str_eq(a->schema_title, outputs[i].title)) {
            fail_msg("%s: not as expected", outputs[i].type);
        }
        plan_unref(plan);
        free(text);
    }
}

/* ---- arguments ---- */

struct argument_row {
    const char *name, *args, *params, *expected; /* expected NULL: fails, saying params */
    const char *says;
};

static const struct argument_row argument_rows[] = {
    {"texts", "[a, 5, 1.0, true, 'x y']", "{}", "['a', '5', '1.0', 'true', 'x y']", NULL},
    {"value", "[--r, {inputValue: Rounds}]", "{'rounds': 3}", "['--r', '3']", NULL},
    {"value of an artifact's type", "[{inputValue: Training data}]", "{'training_data': 'hi'}",
        "['hi']", NULL},
    {"path", "[{inputPath: Rounds}]", "{'rounds': 3}", "['/f/rounds']", NULL},
    {"optional, given", "[a, {inputValue: opt}, b]", "{'opt': 'x'}", "['a', 'x', 'b']", NULL},
    {"optional, absent", "[a, {inputValue: opt}, b]", "{}", "['a', 'b']", NULL},
    {"optional path, absent", "[a, {inputPath: opt}]", "{}", "['a']", NULL},
    {"status is never there", "[a, {inputValue: status}]", "{}", "['a']", NULL},
    {"outputs", "[{outputPath: n}, {outputPath: Model File}]", "{}", "['/w/outputs/n', '/f/model']",
        NULL},
    {"concat", "[{concat: [--r=, {inputValue: Rounds}, '/', {concat: [a, b]}]}]", "{'rounds': 3}",
        "['--r=3/ab']", NULL},
    {"concat leaves out what is absent", "[{concat: [a, {inputValue: opt}, b]}]", "{}", "['ab']",
        NULL},
    {"if present", "[{if: {cond: {isPresent: opt}, then: [--opt, {inputValue: opt}], else: [no]}}]",
        "{'opt': 'x'}", "['--opt', 'x']", NULL},
    {"if absent", "[{if: {cond: {isPresent: opt}, then: [--opt, {inputValue: opt}], else: [no]}}]",
        "{}", "['no']", NULL},
    {"if absent without else", "[a, {if: {cond: {isPresent: opt}, then: [--opt]}}]", "{}", "['a']",
        NULL},
    {"one argument instead of a list",
        "[{if: {cond: {isPresent: opt}, then: {inputValue: opt}, else: none}}]", "{}", "['none']",
        NULL},
    {"else with placeholders",
        "[{if: {cond: {isPresent: opt}, then: [a], else: {concat: [x, {inputValue: Rounds}]}}}]",
        "{'rounds': 1}", "['x1']", NULL},
    {"ifPresent", "[{ifPresent: {inputName: opt, then: [a], else: [b, c]}}]", "{}", "['b', 'c']",
        NULL},
    {"cond true", "[{if: {cond: true, then: [a, b], else: [c]}}]", "{}", "['a', 'b']", NULL},
    {"cond text", "[z, {if: {cond: 'off', then: [a]}}]", "{}", "['z']", NULL},
    {"cond by value, true", "[{if: {cond: {inputValue: on}, then: [a], else: [b]}}]",
        "{'on': true}", "['a']", NULL},
    {"cond by value, false", "[{if: {cond: {inputValue: on}, then: [a], else: [b]}}]",
        "{'on': false}", "['b']", NULL},
    {"cond by value, a text", "[{if: {cond: {inputValue: opt}, then: [a], else: [b]}}]",
        "{'opt': 'Y'}", "['a']", NULL},
    {"cond by value, absent", "[{if: {cond: {inputValue: opt}, then: [a], else: [b]}}]", "{}",
        "['b']", NULL},
    {"cond by value, no truth", "[{if: {cond: {inputValue: opt}, then: [a]}}]", "{'opt': 'maybe'}",
        NULL, "decides here and is neither of"},
    {"nested",
        "[{if: {cond: {isPresent: opt}, then: [{if: {cond: {inputValue: on}, then: [a], "
        "else: [{concat: [b, {inputValue: opt}]}]}}]}}]",
        "{'opt': '1', 'on': false}", "['b1']", NULL},
    {"in a concat", "[{concat: [x, {if: {cond: {isPresent: opt}, then: [a], else: [b]}}]}]", "{}",
        "['xb']", NULL},
    {"metadata file", "[{outputMetadata: null}]", "{}", "['/w/executor_output.json']", NULL},
};

static json_t *render(const struct argument_row *row, struct err *err)
{
    char *text = xasprintf("name: c\n" PORTS "implementation:\n  container:\n    image: alpine\n"
                           "    command: [run]\n    args: %s\n",
        row->args);
    struct plan *plan = must_compile(text);
    const struct component *c = task_named(plan->root, "c")->component;
    json_t *params = j(row->params), *paths, *provided = json_object();
    json_t *places = j("{'model_file': {'uri': 's3://b/m', 'path': '/f/model'}}");
    json_t *input = executor_input_build(c, params, NULL, places, "/w", &paths);
    size_t i;
    json_t *name;
    json_array_foreach(c->input_files, i, name)
    {
        json_object_set_new(json_object_get(paths, "in"), json_string_value(name),
            json_sprintf("/f/%s", json_string_value(name)));
    }
    json_object_update(provided, params);
    struct render_context context = {.executor_input = input, .provided = provided, .paths = paths};
    json_t *argv = command_render(c->container, &context, NULL, err);
    if (argv != NULL) {
        json_array_remove(argv, 0);
    }
    json_decref(params);
    json_decref(paths);
    json_decref(places);
    json_decref(provided);
    json_decref(input);
    plan_unref(plan);
    free(text);
    return argv;
}

static void test_arguments(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(argument_rows); i++) {
        const struct argument_row *row = &argument_rows[i];
        struct err err = ERR_INIT;
        json_t *argv = render(row, &err);
        if (row->expected != NULL) {
            if (argv == NULL) {
                fail_msg("%s: %s", row->name, err.msg);
            }
            expect_json(row->name, argv, row->expected);
        } else {
            assert_null(argv);
            expect_has(row->name, err.msg, row->says);
        }
    }
}

static void test_env_and_image(void **state UNUSED)
{
    struct plan *plan = must_compile(COMPONENT("[a]\n"
                                               "    env: {A: 1, B: {inputValue: Rounds}, C: "
                                               "{concat: [x, {inputValue: on}]}}"));
    const struct container *c = task_named(plan->root, "train-it-v2")->component->container;
    assert_int_equal(c->env_count, 3);
    assert_string_equal(c->env[0].value, "1");
    assert_string_equal(c->env[1].value, "{{$.inputs.parameters['rounds']}}");
    assert_string_equal(c->env[2].value, "x{{$.inputs.parameters['on']}}");
    plan_unref(plan);
}

/* ---- run parameters ---- */

static void test_both_names(void **state UNUSED)
{
    struct plan *plan = must_compile(COMPONENT("[{inputPath: Training data}]"));
    static const struct {
        const char *given, *bound, *says;
    } rows[] = {
        {"{'Training data': 'x'}",
            "{'training_data': 'x', 'rounds': 30, 'opt': null, 'on': false, 'uri': null}", NULL},
        {"{'training_data': 'x', 'Rounds': 2}",
            "{'training_data': 'x', 'rounds': 2, 'opt': null, 'on': false, 'uri': null}", NULL},
        {"{'training_data': 'x', 'Training data': 'y'}", NULL, "given twice"},
        {"{'Training Data': 'x'}", NULL, "did you mean"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = ERR_INIT;
        json_t *given = j(rows[i].given);
        json_t *bound = plan_bind_params(plan, given, &err);
        if (rows[i].bound != NULL) {
            expect_json(rows[i].given, bound, rows[i].bound);
        } else {
            assert_null(bound);
            expect_has(rows[i].given, err.msg, rows[i].says);
        }
        json_decref(given);
    }
    assert_string_equal(plan_find_param(plan, "Training data")->name, "training_data");
    assert_null(plan_find_param(plan, "nobody"));
    plan_unref(plan);
}

/* ---- what is refused ---- */

static const struct {
    const char *name, *text, *says;
} refused[] = {
    {"graph", "name: g\nimplementation:\n  graph: {tasks: {}}\n",
        "line 3, column 3: implementation: a graph of components"},
    {"no container", "implementation: {}\n", "needs 'container'"},
    {"no image", "implementation:\n  container:\n    command: [a]\n", "needs an image"},
    {"nothing to run", "implementation: {container: {image: a}}\n", "neither 'command' nor 'args'"},
    {"unknown input", COMPONENT("[{inputValue: Round}]"),
        "line 17, column 25: implementation.container.args[0].inputValue: the component has no "
        "input 'Round'; did you mean 'Rounds'?"},
    {"unknown output", COMPONENT("[{outputPath: zzzzzz}]"), "no output 'zzzzzz'; declare it"},
    {"unknown placeholder", COMPONENT("[{inputFile: Rounds}]"), "one of inputValue, inputPath"},
    {"two keys", COMPONENT("[{inputValue: Rounds, inputPath: Rounds}]"), "one of inputValue"},
    {"list in list", COMPONENT("[[a]]"), "a list within the list"},
    {"null", COMPONENT("[a, null]"), "expected a text, found null"},
    {"placeholder of a placeholder", COMPONENT("[{inputValue: {inputValue: a}}]"),
        "expected the name of an input"},
    {"URI of a parameter", COMPONENT("[{inputUri: Rounds}]"), "which has no URI"},
    {"URI of an output parameter", COMPONENT("[{outputUri: n}]"), "use outputPath"},
    {"value and URI", COMPONENT("[{inputUri: uri}, {inputValue: uri}]"),
        "inputs[4]: 'uri' is used by its value and by its URI"},
    {"if without then", COMPONENT("[{if: {cond: true}}]"), "needs 'cond' and 'then'"},
    {"strange cond", COMPONENT("[{if: {cond: opt, then: [a]}}]"), "expected {isPresent: input}"},
    {"strange cond map", COMPONENT("[{if: {cond: {a: b}, then: [a]}}]"),
        "expected {isPresent: input}"},
    {"if in the environment", COMPONENT("[a]\n    env: {A: {if: {cond: true, then: [a]}}}"),
        "works in command and args only"},
    {"inputMetadata", COMPONENT("[{inputMetadata: opt}]"), "never part of a released KFP"},
    {"executorInput with a name", COMPONENT("[{executorInput: opt}]"), "takes null"},
    {"concat of a text", COMPONENT("[{concat: abc}]"), "takes a list"},
    {"relative file output", COMPONENT("[a]\n    fileOutputs: {n: out.txt}"),
        "is not an absolute path"},
    {"unknown file output", COMPONENT("[a]\n    fileOutputs: {m: /tmp/a}"), "no output 'm'"},
    {"same name twice",
        "inputs: [{name: a}, {name: A}]\nimplementation: {container: {image: a, "
        "command: [b]}}\n",
        "are both called 'a'"},
    {"name without letters",
        "inputs: [{name: '!?'}]\nimplementation: {container: {image: a, command: [b]}}\n",
        "has none of the characters"},
    {"port without name",
        "inputs: [{type: a}]\nimplementation: {container: {image: a, command: [b]}}\n",
        "inputs[0].name: is missing"},
    {"bad default",
        "inputs:\n- {name: a, type: Integer, default: x}\nimplementation: {container: {image: a, "
        "command: [b]}}\n",
        "line 2, column 37: inputs[0].default: the default of an input of this type must be a "
        "whole number"},
    {"broken int",
        "inputs:\n- {name: a, type: Integer, default: 1.5}\nimplementation: {container: {image: a, "
        "command: [b]}}\n",
        "must be a whole number"},
    {"Python for JSON",
        "inputs:\n- {name: a, type: Dict, default: \"{'a': 1}\"}\nimplementation: {container: "
        "{image: a, command: [b]}}\n",
        "must be a JSON object"},
};

static void test_refused(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct complaints c;
        complaints_init(&c);
        struct plan *plan = plan_compile(refused[i].text, strlen(refused[i].text), &c);
        char *text = complaint_text(&c);
        if (plan != NULL) {
            fail_msg("%s: was accepted", refused[i].name);
        }
        expect_has(refused[i].name, text, refused[i].says);
        free(text);
        complaints_done(&c);
    }
}

static void test_deep_nesting_is_refused(void **state UNUSED)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_adds(&text, "implementation: {container: {image: a, command: [b, ");
    for (int i = 0; i < 60; i++) {
        buf_adds(&text, "{concat: [");
    }
    buf_adds(&text, "x");
    for (int i = 0; i < 60; i++) {
        buf_adds(&text, "]}");
    }
    buf_adds(&text, "]}}\n");
    struct complaints c;
    complaints_init(&c);
    assert_null(plan_compile(text.data, text.len, &c));
    char *why = complaint_text(&c);
    expect_has("deep", why, "nested deeper");
    free(why);
    complaints_done(&c);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_pipeline_around),
        cmocka_unit_test(test_it_is_stored_as_a_pipeline),
        cmocka_unit_test(test_volatile_is_not_cached),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_types_of_outputs),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_env_and_image),
        cmocka_unit_test(test_both_names),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
