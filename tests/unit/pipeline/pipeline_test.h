/* SPDX-License-Identifier: Apache-2.0 */
/* What the pipeline tests share: JSON in single quotes, compiling, comparing. */
#ifndef TEST_PIPELINE_H
#define TEST_PIPELINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "scheduler/plan.h"

/* JSON written with ' for ", so that tables stay readable; \x27 cannot occur in it. */
__attribute__((unused)) static json_t *j(const char *text)
{
    char *copy = xstrdup(text);
    for (char *p = copy; *p != '\0'; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json_error_t error;
    json_t *value = json_loads(copy, JSON_DECODE_ANY, &error);
    if (value == NULL) {
        print_error("bad JSON in the test: %s: %s\n", error.text, copy);
        abort();
    }
    free(copy);
    return value;
}

/* Text with the first `from` replaced; malloc'd. */
__attribute__((unused)) static char *edited(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (at == NULL) {
        print_error("the test looks for '%s', which is not in the text\n", from);
        abort();
    }
    return xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

/* Complaints as text; malloc'd. */
__attribute__((unused)) static char *complaint_text(const struct complaints *c)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    complaints_format(c, 100, &text);
    char *out = xstrdup(buf_str(&text));
    buf_done(&text);
    return out;
}

__attribute__((unused)) static struct plan *must_compile(const char *text)
{
    struct complaints c;
    complaints_init(&c);
    struct plan *plan = plan_compile(text, strlen(text), &c);
    if (plan == NULL) {
        char *why = complaint_text(&c);
        print_error("does not compile: %s\n", why);
        free(why);
        abort();
    }
    complaints_done(&c);
    return plan;
}

__attribute__((unused)) static const struct task_def *task_named(
    const struct component *dag, const char *key)
{
    for (size_t i = 0; i < dag->dag->task_count; i++) {
        if (strcmp(dag->dag->tasks[i].key, key) == 0) {
            return &dag->dag->tasks[i];
        }
    }
    return NULL;
}

/* Fails with both texts shown. Takes got. */
__attribute__((unused)) static void expect_json(
    const char *row, json_t *got, const char *expected_text)
{
    json_t *expected = j(expected_text);
    if (got == NULL || !json_equal(got, expected)) {
        char *text = got != NULL ? jtext(got) : xstrdup("(nothing)");
        print_error("%s: got %s, expected %s\n", row, text, expected_text);
        free(text);
        fail();
    }
    json_decref(expected);
    json_decref(got);
}

__attribute__((unused)) static void expect_has(const char *row, const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        print_error("%s: '%s' does not say '%s'\n", row, text, part);
        fail();
    }
}

/* Two steps: load makes a model and a number, train uses them. */
#define BASE_PIPELINE                                                                              \
    "components:\n"                                                                                \
    "  comp-load:\n"                                                                               \
    "    executorLabel: exec-load\n"                                                               \
    "    inputDefinitions:\n"                                                                      \
    "      parameters:\n"                                                                          \
    "        rows: {parameterType: NUMBER_INTEGER, defaultValue: 10.0}\n"                          \
    "        tag: {parameterType: STRING, isOptional: true}\n"                                     \
    "    outputDefinitions:\n"                                                                     \
    "      artifacts:\n"                                                                           \
    "        data: {artifactType: {schemaTitle: system.Dataset, schemaVersion: 0.0.1}}\n"          \
    "      parameters:\n"                                                                          \
    "        count: {parameterType: NUMBER_INTEGER}\n"                                             \
    "  comp-train:\n"                                                                              \
    "    executorLabel: exec-train\n"                                                              \
    "    inputDefinitions:\n"                                                                      \
    "      artifacts:\n"                                                                           \
    "        data: {artifactType: {schemaTitle: system.Dataset, schemaVersion: 0.0.1}}\n"          \
    "      parameters:\n"                                                                          \
    "        count: {parameterType: NUMBER_INTEGER}\n"                                             \
    "        note: {parameterType: STRING}\n"                                                      \
    "deploymentSpec:\n"                                                                            \
    "  executors:\n"                                                                               \
    "    exec-load:\n"                                                                             \
    "      container: {image: python, command: [load], args: ['{{$}}']}\n"                         \
    "    exec-train:\n"                                                                            \
    "      container: {image: python, command: [train]}\n"                                         \
    "pipelineInfo: {name: base}\n"                                                                 \
    "root:\n"                                                                                      \
    "  dag:\n"                                                                                     \
    "    tasks:\n"                                                                                 \
    "      train:\n"                                                                               \
    "        componentRef: {name: comp-train}\n"                                                   \
    "        inputs:\n"                                                                            \
    "          artifacts:\n"                                                                       \
    "            data: {taskOutputArtifact: {producerTask: load, outputArtifactKey: data}}\n"      \
    "          parameters:\n"                                                                      \
    "            count: {taskOutputParameter: {producerTask: load, outputParameterKey: count}}\n"  \
    "            note: {componentInputParameter: note}\n"                                          \
    "      load:\n"                                                                                \
    "        componentRef: {name: comp-load}\n"                                                    \
    "        taskInfo: {name: load it}\n"                                                          \
    "  inputDefinitions:\n"                                                                        \
    "    parameters:\n"                                                                            \
    "      note: {parameterType: STRING, defaultValue: none}\n"                                    \
    "schemaVersion: 2.1.0\n"                                                                       \
    "sdkVersion: kfp-2.17.0\n"

#endif
