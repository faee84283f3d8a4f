/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline as JSON, as the API gets it, then its parameters are bound; and the same text as a file
 * with the warnings of lint.
 */
#include "base/err.h"
#include "scheduler/plan.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *spec = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
    if (spec == NULL) {
        return 0;
    }
    struct complaints c;
    complaints_init(&c);
    struct plan *plan = plan_compile_json(spec, &c);
    assert((plan == NULL) == (c.errors > 0));
    complaints_done(&c);
    if (plan != NULL) {
        struct err err = ERR_INIT;
        json_t *given = json_pack("{s:s,s:i}", "text", "x", "n", 1);
        json_decref(plan_bind_params(plan, given, &err));
        json_decref(plan_bind_params(plan, NULL, &err));
        json_decref(given);
        for (size_t i = 0; i < plan->root->dag->task_count; i++) {
            json_t *provided = NULL, *params = NULL;
            if (task_params_finish(
                    &plan->root->dag->tasks[i], NULL, NULL, &provided, &params, &err) == 0) {
                json_decref(provided);
                json_decref(params);
            }
        }
    }
    complaints_init(&c);
    struct plan *linted = plan_lint((const char *)data, size, &c);
    assert((linted == NULL) == (c.errors > 0));
    complaints_done(&c);
    plan_unref(linted);
    plan_unref(plan);
    json_decref(spec);
    return 0;
}
