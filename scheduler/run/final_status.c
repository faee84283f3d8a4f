/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit task is told of the task that it follows (kfp-semantics.md 6.4): the words that
 * KFP's documentation promises, or on request those that its backend uses.
 */
#include "run/live.h"

#include "base/json.h"
#include "base/util.h"
#include "run/engine.h"

#define CODE_CANCELLED 1 /* google.rpc.Code */

struct words {
    const char *succeeded, *cached, *failed, *canceled;
};
static const struct words documented = {"SUCCEEDED", "SUCCEEDED", "FAILED", "CANCELLED"};
static const struct words backend = {"COMPLETE", "CACHED", "FAILED", "CANCELED"};

static json_t *error_of(int code, const char *message)
{
    json_t *error = json_object();
    json_object_set_new(error, "code", json_integer(code));
    json_object_set_new(error, "message", json_string(message));
    return error;
}

/* What the placeholder of this name gives, so that a program can compare the two. */
static json_t *resource_name(const struct task *of)
{
    const struct run_context ctx = task_run_context(of);
    json_t *reference = json_string("{{$.pipeline_job_resource_name}}");
    json_t *name = placeholder_resolve_run(reference, &ctx);
    json_decref(reference);
    return name;
}

json_t *final_status(const struct task *of)
{
    const struct words *words = of->run->engine->set.backend_final_status ? &backend : &documented;
    const char *state = words->canceled;
    json_t *error = NULL;
    switch (of->state) {
    case TASK_STATE_SUCCEEDED:
        state = words->succeeded;
        break;
    case TASK_STATE_CACHED:
        state = words->cached;
        break;
    case TASK_STATE_FAILED:
        state = words->failed;
        error = error_of(of->exit_code > 0 ? of->exit_code : 1, of->error == NULL ? "" : of->error);
        break;
    case TASK_STATE_NOT_TRIGGERED:
        error = error_of(CODE_CANCELLED, "it did not run: its condition was false");
        break;
    case TASK_STATE_UNSCHEDULABLE:
        error =
            error_of(CODE_CANCELLED, "it did not run: a task that it depends on did not succeed");
        break;
    case TASK_STATE_CANCELED:
    case TASK_STATE_WAITING: /* not a dependency, and not final yet */
    case TASK_STATE_RUNNING:
        error = error_of(CODE_CANCELLED, "the run was asked to end");
        break;
    }
    json_t *status = json_object();
    json_object_set_new(status, "state", json_string(state));
    json_object_set_new(status, "pipelineTaskName", json_string(of->def->key));
    json_object_set_new(status, "pipelineJobResourceName", resource_name(of));
    json_object_set_new(status, "error", error == NULL ? json_object() : error);
    return status;
}
