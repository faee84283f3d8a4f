/* SPDX-License-Identifier: Apache-2.0 */
/* What `rondo lint` warns of: each warning with its place, and that good pipelines get none. */
#include "pipeline_test.h"

/* Nothing to say about this one. */
#define CLEAN                                                                                      \
    "pipelineInfo: {name: clean}\n"                                                                \
    "schemaVersion: 2.1.0\n"                                                                       \
    "deploymentSpec:\n"                                                                            \
    "  executors:\n"                                                                               \
    "    e:\n"                                                                                     \
    "      container:\n"                                                                           \
    "        image: python:3.11\n"                                                                 \
    "        command: [run]\n"                                                                     \
    "        args: ['{{$.inputs.parameters[''a'']}}', '{{$.inputs.parameters[''n'']}}', "          \
    "'{{$.outputs.parameters[''out''].output_file}}', "                                            \
    "'{{$.outputs.artifacts[''data''].path}}']\n"                                                  \
    "components:\n"                                                                                \
    "  leaf:\n"                                                                                    \
    "    executorLabel: e\n"                                                                       \
    "    inputDefinitions:\n"                                                                      \
    "      parameters:\n"                                                                          \
    "        a: {parameterType: STRING, literals: [x, y], defaultValue: x}\n"                      \
    "        n: {parameterType: NUMBER_INTEGER, defaultValue: 1}\n"                                \
    "    outputDefinitions:\n"                                                                     \
    "      parameters:\n"                                                                          \
    "        out: {parameterType: STRING}\n"                                                       \
    "      artifacts:\n"                                                                           \
    "        data: {artifactType: {schemaTitle: system.Dataset}}\n"                                \
    "root:\n"                                                                                      \
    "  inputDefinitions:\n"                                                                        \
    "    parameters:\n"                                                                            \
    "      p: {parameterType: STRING, defaultValue: x}\n"                                          \
    "  outputDefinitions:\n"                                                                       \
    "    parameters:\n"                                                                            \
    "      result: {parameterType: STRING}\n"                                                      \
    "  dag:\n"                                                                                     \
    "    outputs:\n"                                                                               \
    "      parameters:\n"                                                                          \
    "        result: {valueFromParameter: {producerSubtask: first, outputParameterKey: out}}\n"    \
    "    tasks:\n"                                                                                 \
    "      first:\n"                                                                               \
    "        componentRef: {name: leaf}\n"                                                         \
    "        cachingOptions: {enableCache: true}\n"                                                \
    "        inputs:\n"                                                                            \
    "          parameters:\n"                                                                      \
    "            a: {componentInputParameter: p}\n"                                                \
    "      second:\n"                                                                              \
    "        componentRef: {name: leaf}\n"                                                         \
    "        dependentTasks: [first]\n"                                                            \
    "      third:\n"                                                                               \
    "        componentRef: {name: leaf}\n"                                                         \
    "        dependentTasks: [second]\n"

#define FIRST "        cachingOptions: {enableCache: true}\n"
#define WHEN(condition) "        triggerPolicy: {condition: \"" condition "\"}\n"
#define FIRST_A "{componentInputParameter: p}"
#define P "inputs.parameter_values"

static const struct {
    const char *name, *from, *to;
    unsigned line; /* 0: no warning at all */
    const char *says;
} rows[] = {
    {"clean", "", "", 0, NULL},
    {"no tag", "image: python:3.11", "image: python", 7, "e.container.image: 'python' has no tag"},
    {"no tag behind a port", "image: python:3.11", "image: host:5000/a/python", 7, "has no tag"},
    {"latest", "image: python:3.11", "image: python:latest", 7, "is the latest image"},
    {"digest", "image: python:3.11", "image: python@sha256:abc", 0, NULL},
    {"image that an input chooses", "image: python:3.11", "image: \"{{$.inputs.parameters['a']}}\"",
        0, NULL},
    {"input nobody reads", "'{{$.inputs.parameters[''n'']}}', ", "", 16,
        "components.leaf.inputDefinitions.parameters.n: nobody reads this parameter"},
    {"input that only IfPresent asks for", "'{{$.inputs.parameters[''n'']}}', ",
        "'{\"IfPresent\": {\"InputName\": \"n\", \"Then\": \"x\"}}', ", 0, NULL},
    {"root parameter nobody reads", FIRST_A, "{runtimeValue: {constant: x}}", 25,
        "root.inputDefinitions.parameters.p: nobody reads this parameter: no task is passed it"},
    {"output parameter nobody writes", "'{{$.outputs.parameters[''out''].output_file}}', ", "", 19,
        "leaf.outputDefinitions.parameters.out: nobody writes this output"},
    {"output artifact nobody writes", ", '{{$.outputs.artifacts[''data''].path}}'", "", 21,
        "leaf.outputDefinitions.artifacts.data: nobody writes this output"},
    {"the whole ExecutorInput", "'{{$.outputs.artifacts[''data''].path}}'", "'{{$}}'", 0, NULL},
    {"output of a DAG that no task gives",
        "        result: {valueFromParameter: {producerSubtask: first, outputParameterKey: out}}\n",
        "        {}\n", 27, "root.outputDefinitions: nobody writes the output 'result'"},
    {"unused component", "components:\n", "components:\n  spare: {executorLabel: e}\n", 11,
        "components.spare: no task uses it"},
    {"default that is no literal", "defaultValue: x}", "defaultValue: z}", 15,
        "parameters.a: the default is not one of its literals"},
    {"constant that is no literal", FIRST_A, "{runtimeValue: {constant: z}}", 39,
        "first.inputs.parameters.a: the constant is not one of the literals of 'a'"},
    {"constant that is not known yet", FIRST_A,
        "{runtimeValue: {constant: \"{{$.inputs.parameters['p']}}\"}}\n            p: "
        "{componentInputParameter: p}",
        0, NULL},
    {"cache that never hits", FIRST_A, "{runtimeValue: {constant: 'a {{$.pipeline_job_uuid}}'}}",
        39, "first.inputs.parameters.a: differs in each run, so this task is never taken from"},
    {"cache with a key of its own",
        "{enableCache: true}\n        inputs:\n          parameters:\n"
        "            a: {componentInputParameter: p}\n",
        "{enableCache: true, cacheKey: k}\n        inputs:\n          parameters:\n            a: "
        "{runtimeValue: {constant: 'a {{$.pipeline_job_uuid}}'}}\n            x: "
        "{componentInputParameter: p}\n",
        0, NULL},
    {"empty loop", FIRST, "        parameterIterator: {itemInput: n, items: {raw: '[ ]'}}\n", 36,
        "first.parameterIterator: the list is always empty"},
    {"empty loop over a constant", FIRST "        inputs:\n          parameters:\n",
        "        parameterIterator: {itemInput: n, items: {inputParameter: l}}\n        inputs:\n"
        "          parameters:\n            l: {runtimeValue: {constant: []}}\n",
        36, "the list is always empty"},
    {"limit without a loop", FIRST, "        iteratorPolicy: {parallelismLimit: 2}\n", 36,
        "first.iteratorPolicy: has no effect: the task is no loop"},
    {"always false", "        dependentTasks: [first]\n", WHEN("1 > 2"), 42,
        "second.triggerPolicy.condition: is always false, so this task never runs"},
    {"behind what never runs", "        dependentTasks: [first]\n", WHEN("1 > 2"), 43,
        "root.dag.tasks.third: never runs: it waits for 'second', which never runs"},
    {"behind it and not minding", "        dependentTasks: [second]\n",
        "        dependentTasks: [second]\n        triggerPolicy: {strategy: "
        "ALL_UPSTREAM_TASKS_COMPLETED}\n",
        0, NULL},
    {"always true", "        dependentTasks: [second]\n", WHEN("1 < 2"), 45,
        "third.triggerPolicy.condition: is always true"},
    {"decided by constants", FIRST_A,
        "{runtimeValue: {constant: x}}\n        triggerPolicy: {condition: \"" P "['a'] == 'y'\"}",
        40, "first.triggerPolicy.condition: is always false"},
    {"an output that never comes", FIRST, WHEN("false"), 32,
        "root.dag.outputs.parameters.result: never has a value"},
    {"behind a condition", FIRST, WHEN(P "['a'] == 'x'"), 40,
        "root.dag.tasks.second: is skipped with 'first' when its condition does not hold"},
    {"kinds that are never equal", FIRST, WHEN(P "['a'] == 1"), 36,
        "first.triggerPolicy.condition: compares a string with a number, which is always false"},
    {"kinds that always differ", FIRST, WHEN(P "['n'] != 'x'"), 36,
        "compares a number with a string, which is always true"},
    {"kinds that have no order", FIRST, WHEN("'b' < " P "['n']"), 36,
        "compares a string with a number, which fails when it is evaluated"},
    {"the same kinds", "        dependentTasks: [second]\n", WHEN("int(" P "['n']) == 1"), 0, NULL},
    {"compared with null", "        dependentTasks: [second]\n", WHEN(P "['n'] == null"), 0, NULL},
    {"input that is not there", FIRST, WHEN(P "['b'] == 'x'"), 36,
        "reads the input 'b', which this task has not"},
    {"input that it asks for", "        dependentTasks: [second]\n",
        WHEN("'b' in " P " && " P "['b'] == 'x'"), 0, NULL},
    {"artifact that a run lacks", "    parameters:\n      p:",
        "    artifacts: {m: {artifactType: {schemaTitle: system.Model}}}\n    parameters:\n      "
        "p:",
        23, "the pipeline needs the artifact 'm', which KFP's clients cannot give to a run"},
    {"parameter that a run cannot be given", "      p: {",
        "      s: {parameterType: TASK_FINAL_STATUS}\n      p: {", 23,
        "needs the TASK_FINAL_STATUS 's', which a run cannot be given"},
};

static bool check(size_t i)
{
    char *text = edited(CLEAN, rows[i].from, rows[i].to);
    struct complaints c;
    complaints_init(&c);
    struct plan *plan = plan_lint(text, strlen(text), &c);
    char *said = complaint_text(&c);
    bool good = plan != NULL && (rows[i].says != NULL || c.count == 0);
    bool found = rows[i].says == NULL;
    for (size_t k = 0; k < c.count; k++) {
        char whole[4096];
        snprintf(whole, sizeof whole, "%s: %s", c.items[k].path, c.items[k].text);
        found = found || (strstr(whole, rows[i].says) != NULL && c.items[k].line == rows[i].line);
        good = good && c.items[k].is_warning && c.items[k].column > 0;
    }
    if (!good || !found) {
        print_error("%s: expected '%s' in line %u, in:\n%s\n", rows[i].name,
            rows[i].says != NULL ? rows[i].says : "nothing", rows[i].line, said);
    }
    plan_unref(plan);
    free(said);
    complaints_done(&c);
    free(text);
    return good && found;
}

static void test_warnings(void **state UNUSED)
{
    size_t bad = 0;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bad += !check(i);
    }
    assert_int_equal(bad, 0);
}

/* Compiling alone stays quiet, and errors are not drowned in warnings. */
static void test_only_for_lint(void **state UNUSED)
{
    char *text = edited(CLEAN, "image: python:3.11", "image: python");
    struct complaints c;
    complaints_init(&c);
    struct plan *plan = plan_compile(text, strlen(text), &c);
    assert_non_null(plan);
    assert_int_equal(c.count, 0);
    plan_unref(plan);
    char *broken = edited(text, "dependentTasks: [first]", "dependentTasks: [frist]");
    assert_null(plan_lint(broken, strlen(broken), &c));
    assert_int_equal(c.count, 1);
    complaints_done(&c);
    free(broken);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_only_for_lint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
