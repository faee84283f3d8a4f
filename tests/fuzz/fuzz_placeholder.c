/* SPDX-License-Identifier: Apache-2.0 */
/* Texts with placeholders, macros and selectors in them. */
#include "base/err.h"
#include "base/util.h"
#include "pipeline/draft.h"
#include "scheduler/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void render(const char *text, const json_t *value)
{
    const struct run_context run = {.run_id = "r", .run_name = "n", .task_key = "t"};
    json_t *input = json_pack("{s:{s:{s:s,s:i,s:O},s:{s:{s:[{s:s,s:s,s:{s:i}}]}}},s:{s:s}}",
        "inputs", "parameterValues", "text", "{{$.inputs.parameters['n']}}", "n", 5, "v", value,
        "artifacts", "a", "artifacts", "uri", "u", "name", "n", "metadata", "k", 1, "outputs",
        "outputFile", "/f");
    const struct render_context ctx = {.executor_input = input, .run = &run};
    const char *args[] = {text, "end"};
    const struct container container = {.args = args, .arg_count = 2};
    struct err err = ERR_INIT;
    json_t *argv = command_render(&container, &ctx, NULL, &err);
    assert((argv == NULL) == (err.code != ERR_NONE));
    json_decref(argv);
    err_clear(&err);
    free(string_render(text, &ctx, NULL, &err));
    json_decref(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xmalloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    json_t *value = json_string(text);
    if (value != NULL) { /* else it is not UTF-8, which nothing lets this far */
        const struct run_context run = {.run_id = "r", .run_name = "n", .task_key = "t"};
        const struct macro_context macro = {.run_id = "r", .created_us = 1, .index = 3};
        render(text, value);
        json_decref(placeholder_resolve_run(value, &run));
        json_decref(macro_expand(value, &macro));
        struct err err = ERR_INIT;
        json_decref(selector_apply(text, value, "x", &err));
        selector_trouble(text);
    }
    json_decref(value);
    free(text);
    return 0;
}
