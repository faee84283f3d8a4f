/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline as JSON, as the API gets it, then its parameters are bound, and its tasks get their
 * inputs, pod settings and fingerprints; and the same text as a file with the warnings of lint.
 */
#include "base/err.h"
#include "scheduler/plan.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const json_t *same_for_all(void *owner, const struct scope_ref *ref)
{
    assert(ref->source != NULL || ref->key != NULL);
    return owner;
}

/* Settings of the task's pod, whatever value all references have; its claims and sources are in its
 * key. */
static void settle(const struct task_def *task, const json_t *provided, json_t *value)
{
    const struct container *container = task->component->container;
    if (container == NULL) {
        return;
    }
    struct err err = ERR_INIT;
    json_t *parts = json_object(), *claims = NULL, *sources = NULL;
    if (container->pod != NULL) {
        json_decref(parts);
        parts = pod_config_resolve(container->pod, same_for_all, value, NULL, &err);
        assert((parts == NULL) == (err.code != ERR_NONE));
    }
    if (parts != NULL) {
        struct fingerprint one, other;
        claims = pod_parts_claims(parts);
        sources = pod_parts_sources(parts);
        task_fingerprint(task, provided, NULL, claims, sources, &one);
        task_fingerprint(task, provided, NULL, claims, sources, &other);
        assert(strcmp(one.hex, other.hex) == 0 && json_equal(one.parts, other.parts));
        json_decref(one.parts);
        json_decref(other.parts);
    }
    json_decref(claims);
    json_decref(sources);
    json_decref(parts);
}

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
                json_t *text = json_string("x"), *object = json_pack("{s:s}", "k", "v");
                settle(&plan->root->dag->tasks[i], provided, NULL);
                settle(&plan->root->dag->tasks[i], provided, text);
                settle(&plan->root->dag->tasks[i], provided, object);
                json_decref(text);
                json_decref(object);
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
