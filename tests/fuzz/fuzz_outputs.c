/* SPDX-License-Identifier: Apache-2.0 */
/* executor_output.json as a program may have written it. */
#include "base/err.h"
#include "scheduler/plan.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct param_def params[] = {
        {.name = "n", .type = VALUE_INTEGER}, {.name = "s", .type = VALUE_STRING}};
    struct artifact_def artifacts[] = {{.name = "m", .schema_title = "system.Model"},
        {.name = "l", .schema_title = "system.Dataset", .is_list = true}};
    const struct component component = {.name = "c",
        .kind = COMPONENT_CONTAINER,
        .params_out = params,
        .param_out_count = 2,
        .artifacts_out = artifacts,
        .artifact_out_count = 2};
    json_t *text = json_stringn((const char *)data, size);
    if (text == NULL) {
        return 0;
    }
    json_t *report = json_pack("{s:o,s:{s:s},s:{s:{s:s,s:[{s:s}]}}}", "output_file", text, "params",
        "s", "x", "artifacts", "l", "uri", "file:///l/0", "more", "uri", "file:///l/1");
    json_t *input = executor_input_build(&component, NULL, NULL, NULL, "/w", NULL);
    json_t *params_out = NULL, *artifacts_out = NULL;
    struct err err = ERR_INIT;
    if (outputs_read(&component, input, report, &params_out, &artifacts_out, &err) == 0) {
        assert(json_array_size(json_object_get(artifacts_out, "m")) == 1);
        assert(json_is_array(json_object_get(artifacts_out, "l")));
        json_decref(params_out);
        json_decref(artifacts_out);
    } else {
        assert(err.code != ERR_NONE);
    }
    json_decref(input);
    json_decref(report);
    return 0;
}
