/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions, branches, skips and what they mean for others; outputs of nested pipelines, oneof. */
#include "flow.h"

#define IN_PARAM(name) "inputs.parameter_values['" name "']"
#define TAKES(name, type) "inputDefinitions: {parameters: {" name ": {parameterType: " type "}}}"

/* A branch that passes x on: its own step gives its output. */
#define BRANCH(name)                                                                               \
    "  " name ": {" TAKES("x", "STRING") ", " OUT_IS("STRING") ", dag: {" GIVES(                   \
        "t") ", tasks: {t: {" REF("step") ", " X(INPUT("x")) "}}}}\n"
#define IF(name, component, condition)                                                             \
    name ": {" REF(component) ", " X(INPUT("x")) ", triggerPolicy: {condition: \"" condition "\"}" \
                                                                                             "}"

/* If x is 'a', else if it is 'b', else; oneof. */
#define BRANCHES                                                                                                  \
    BRANCH("one")                                                                                                 \
    BRANCH("two")                                                                                                 \
    BRANCH("three")                                                                                               \
    "  branches: {" TAKES("x", "STRING") ", " OUT_IS(                                                             \
        "STRING") ", dag: {outputs: {parameters: {"                                                               \
                  "out: {valueFromOneof: {parameterSelectors: ["                                                  \
                  "{producerSubtask: c1, outputParameterKey: out}, "                                              \
                  "{producerSubtask: c2, outputParameterKey: out}, "                                              \
                  "{producerSubtask: c3, outputParameterKey: out}]}}}}, tasks: {" IF(                             \
                      "c1", "one", IN_PARAM("x") " == 'a'") ", " IF("c2", "two",                                  \
                      "!(" IN_PARAM("x") " == 'a') && " IN_PARAM("x") " == 'b'") ", " IF("c3",                    \
                      "three",                                                                                    \
                      "!(" IN_PARAM("x") " == 'a') && !(" IN_PARAM(                                               \
                          "x") " == 'b')") "}}}\n"                                                                \
                                           "root: {" TAKES("x", "STRING") ", " OUT_IS("STRING") ", dag: {" GIVES( \
                                               "last") ", tasks: {"                                               \
                                                       "g: {" REF("branches") ", " X(INPUT(                       \
                                                           "x")) "}, "                                            \
                                                                 "last: {" REF("step") ", " X(                    \
                                                                     FROM("g")) "}}}}\n"

#define TWO(condition)                                                                             \
    "root: {dag: {tasks: {a: {" REF("step") "}, b: {" REF("step") ", " X(FROM("a")) ", " WHEN(     \
        condition) "}, c: {" REF("step") ", dependentTasks: [b]}, "                                \
                                         "d: {" REF("step") ", dependentTasks: [c]}}}}\n"

static const struct flow_case cases[] =
    {
        {
            .name = "a condition that holds",
            .yaml = TWO("inputs.parameter_values['x'] == 'a.out'"),
            .states = "a=S b=S c=S d=S",
        },
        {
            .name = "one that does not: what depends on it cannot run",
            .yaml = TWO("inputs.parameter_values['x'] != 'a.out'"),
            .states = "a=S b=N c=U d=U",
        },
        {
            .name = "one that cannot be evaluated",
            .yaml = TWO("int(inputs.parameter_values['x']) > 3"),
            .state = "FAILED",
            .states = "a=S b=F c=U d=U",
            .error = "task b: condition int(inputs.parameter_values['x']) > 3: ",
        },
        {
            .name = "the values are in the error",
            .yaml = TWO("int(inputs.parameter_values['x']) > 3"),
            .state = "FAILED",
            .states = "a=S b=F c=U d=U",
            .error = "a.out",
        },
        {
            .name = "upstream failed: the condition is not looked at",
            .yaml = TWO("int(inputs.parameter_values['x']) > 3"),
            .programs = "a=F",
            .state = "FAILED",
            .states = "a=F b=U c=U d=U",
        },
        {
            .name = "if",
            .yaml = BRANCHES,
            .parameters = "{\"x\":\"a\"}",
            .states = "g=S g/c1=S g/c1/t=S g/c2=N g/c3=N last=S",
            .args = "g/c1/t=a;last=g/c1/t.out",
            .outputs = "{\"out\":\"last.out\"}",
        },
        {
            .name = "elif",
            .yaml = BRANCHES,
            .parameters = "{\"x\":\"b\"}",
            .states = "g=S g/c1=N g/c2=S g/c2/t=S g/c3=N last=S",
            .args = "last=g/c2/t.out",
        },
        {
            .name = "else",
            .yaml = BRANCHES,
            .parameters = "{\"x\":\"z\"}",
            .states = "g=S g/c1=N g/c2=N g/c3=S g/c3/t=S last=S",
            .args = "last=g/c3/t.out",
        },
        {
            .name = "the branch that was taken fails",
            .yaml = BRANCHES,
            .parameters = "{\"x\":\"b\"}",
            .programs = "g/c2/t=F",
            .state = "FAILED",
            .states = "g=F g/c1=N g/c2=F g/c2/t=F g/c3=N last=U",
            .error = "task g/c2/t failed with exit code 3: went wrong",
        },
        {
            .name = "oneof: the first of several",
            .yaml = "  both: {" OUT_IS(
                "STRING") ", dag: {outputs: {parameters: {out: {valueFromOneof: "
                          "{parameterSelectors: [{producerSubtask: q, outputParameterKey: out}, "
                          "{producerSubtask: p, outputParameterKey: out}]}}}}, "
                          "tasks: {p: {" REF("step") "}, q: {" REF(
                              "step") "}}}}\n"
                                      "root: {dag: {tasks: {g: {" REF("both") "}, l: {" REF(
                                          "step") ", " X(FROM("g")) "}}}}\n",
            .states = "g=S g/p=S g/q=S l=S",
            .args = "l=g/q.out",
        },
        {
            .name = "no branch was taken: a consumer that needs the output fails",
            .yaml = BRANCH("one") "  maybe: {" TAKES("x", "STRING") ", " OUT_IS(
                "STRING") ", dag: {" GIVES("c1") ", tasks: {" IF("c1", "one",
                IN_PARAM(
                    "x") " == 'no'") "}}}\n"
                                     "root: {dag: {tasks: {g: {" REF("maybe") ", " X(CONST(
                                         "yes")) "}, "
                                                 "n: {" REF("list") ", " X(FROM("g")) "}, s: {" REF(
                                                     "step") ", " X(FROM("g")) "}}}}\n",
            .state = "FAILED",
            .states = "g=S g/c1=N n=F s=S",
            .args = "s=none",
            .error = "input 'x' is required, but output 'out' that it comes from has no value",
        },
        {
            .name = "a skipped pipeline's tasks do not exist",
            .yaml =
                BRANCH("one") "root: {dag: {tasks: {g: {" REF("one") ", " X(CONST("v")) ", " WHEN(
                    "inputs.parameter_values['x'] == 'w'") "}, l: {" REF("step") ", " X(FROM("g")) "}, "
                                                                                                   "m: {" REF(
                                                                                                       "step") "}}}}\n",
            .states = "g=N l=U m=S",
        },
        {
            .name = "numbers, booleans and the other input",
            .yaml = "root: {inputDefinitions: {parameters: {n: {parameterType: NUMBER_INTEGER}, "
                    "m: {parameterType: NUMBER_INTEGER}, b: {parameterType: BOOLEAN}}}, dag: "
                    "{tasks: {"
                    "p: {" REF("number") ", inputs: {parameters: {n: {" INPUT("n") "}, m: {" INPUT("m") "}}}, " WHEN(
                        "int(inputs.parameter_values['n']) >= "
                        "int(inputs.parameter_values['m'])") "}, "
                                                             "q: {" REF("number") ", inputs: "
                                                                                  "{parameters: "
                                                                                  "{n: {" INPUT("n") "}, m: {" INPUT("m") "}}}, " WHEN(
                                                                                      "int(inputs."
                                                                                      "parameter_"
                                                                                      "values['n'])"
                                                                                      " < "
                                                                                      "int(inputs."
                                                                                      "parameter_"
                                                                                      "values['m']"
                                                                                      ")") "}, "
                                                                                           "r: "
                                                                                           "{" REF("number") ", inputs: {parameters: {n: {" INPUT(
                                                                                               "n") "}, b: {" INPUT("b") "}}}, " WHEN("inputs.parameter_values['b'] == true") "}}}}\n",
            .parameters = "{\"n\":5,\"m\":5,\"b\":false}",
            .writes = "p/out=1;q/out=1;r/out=1",
            .states = "p=S q=N r=N",
        },
        {
            .name = "an input that is missing for the condition",
            .yaml = "root: {dag: {tasks: {a: {" REF("step") ", " WHEN(
                "inputs.parameter_values['y'] == 'v'") "}, b: {" REF("step") "}}}}\n",
            .state = "FAILED",
            .states = "a=F b=S",
            .error = "task a: condition inputs.parameter_values['y'] == 'v'",
        },
};

static void test_conditions(void **state)
{
    (void)state;
    flow_run_all(cases, ARRAY_LEN(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conditions)};
    return cmocka_run_group_tests_name("run/conditions", tests, NULL, NULL);
}
