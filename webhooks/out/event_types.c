/* SPDX-License-Identifier: Apache-2.0 */
/* The table of event types. What is made of it: event_schema.c. */
#include "webhooks/event_types.h"

#include <string.h>

#include "base/util.h"

#define R EVENT_REQUIRED
#define T EVENT_THIN
#define ID(name, flags, meaning)                                                                   \
    {                                                                                              \
        name, "string", (flags) | EVENT_THIN, meaning, "\"4f9c1b1e-7c1d-4e0a-9a53-0d9b1c4f7e21\"", \
            NULL                                                                                   \
    }
#define GROUP(array)                                                                               \
    {                                                                                              \
        array, ARRAY_LEN(array)                                                                    \
    }
#define INSTANT "1764408600000000"

/* ---- shared by several types ---- */

/* What subscribers filter by. */
static const struct event_member of_pipeline[] = {
    ID("experiment_id", R, "its experiment"),
    {"pipeline_name", "string", R, "name of the pipeline", "\"nightly\"", NULL},
    ID("pipeline_id", 0, "the stored pipeline, if it is one"),
    {"namespace", "string", T, "namespace of the pods, on Kubernetes", "\"ml\"", NULL},
};

static const struct event_member of_run[] = {
    ID("run_id", R, "the run"),
    {"run_name", "string", R, "its name", "\"train-nightly-17\"", NULL},
    ID("experiment_id", R, "its experiment"),
    {"pipeline_name", "string", R, "name of its pipeline", "\"nightly\"", NULL},
    ID("pipeline_id", 0, "the stored pipeline, if it is one"),
    ID("recurring_run_id", 0, "the recurring run, if one started it"),
    {"namespace", "string", T, "namespace of its pods, on Kubernetes", "\"ml\"", NULL},
    {"repository", "string", 0, "repository of the push, if one started it", "\"acme/models\"",
        NULL},
    {"commit", "string", T, "commit of that push", "\"5d2f0c9d7d3c4b1e8a6f90c2b7e1d4a3f8c6b5e0\"",
        NULL},
};

static const struct event_member of_task[] = {
    ID("task_id", R, "the task"),
    {"task", "string", R | T, "its path in the run: names and numbers of iterations",
        "\"for-loop-1/3/evaluate\"", NULL},
    {"attempt", "integer", R | T, "number of the attempt, from 0", "0", NULL},
};

static const struct event_member of_recurring_run[] = {
    ID("recurring_run_id", R, "the recurring run"),
    {"recurring_run_name", "string", R, "its name", "\"train-nightly\"", NULL},
};

static const struct event_member of_ticks[] = {
    {"scheduled_us", "integer", R | T, "the tick; of a range the first one", INSTANT, NULL},
    {"lateness_us", "integer", R, "how long after its time this was found", "1200", NULL},
    {"outcome", "string", R | T, "what became of it, as in the ledger of ticks",
        "\"skipped-overlap\"", NULL},
    {"ticks", "integer", R | T, "how many ticks, when it is a range", "1", NULL},
    {"to_us", "integer", R | T, "the last of them", INSTANT, NULL},
    {"reason", "string", 0, "why, where the outcome does not say it", "\"catchup last\"", NULL},
};

static const struct event_member of_trigger[] = {
    ID("trigger_id", R, "the Git trigger"),
    {"trigger_name", "string", R, "its name", "\"on-push\"", NULL},
    {"forge", "string", R, "the dialect of the message", "\"github\"", NULL},
    {"delivery", "string", R | T, "the forge's id of the message",
        "\"72d3162e-cc78-11e3-81ab-4c9367dc0958\"", NULL},
    {"event", "string", R | T, "kind of message, as the forge calls it", "\"push\"", NULL},
    {"repository", "string", R, "repository it came from", "\"acme/models\"", NULL},
    {"ref", "string", R, "full name of the ref", "\"refs/heads/main\"", NULL},
    {"commit", "string", T, "commit that the ref points to now",
        "\"5d2f0c9d7d3c4b1e8a6f90c2b7e1d4a3f8c6b5e0\"", NULL},
    {"actor", "string", 0, "who pushed, as the forge says", "\"octocat\"", NULL},
};

static const struct event_member of_subscription[] = {
    ID("subscription_id", R, "the subscription that this is about, not the one it goes to"),
    {"subscription_name", "string", R, "its name", "\"alerts\"", NULL},
    {"host", "string", R, "host of its URL", "\"hooks.example.com\"", NULL},
};

static const struct event_member webhook_ping[] = {
    ID("subscription_id", R, "the subscription that is tried"),
    {"subscription_name", "string", R, "its name", "\"alerts\"", NULL},
};

static const struct event_member of_start[] = {
    {"scheduled_us", "integer", R, "when it was to start", INSTANT, NULL},
    {"trigger", "object", R,
        "why it runs: kind (api, schedule, manual, git) and what belongs to it",
        "{\"kind\":\"schedule\"}", NULL},
};

/* ---- of one type ---- */

static const struct event_member run_finished[] = {
    {"state", "string", R | T, "how it ended", "\"FAILED\"", "SUCCEEDED FAILED CANCELED"},
    {"error", "string", R, "why it failed, or empty",
        "\"task evaluate failed with exit code 1: no such table\"", NULL},
    {"started_us", "integer", R, "when it started, 0: it never did", INSTANT, NULL},
    {"ended_us", "integer", R, "when it ended", "1764408780000000", NULL},
    {"outputs", "object", R, "outputs of the pipeline: parameters and artifacts",
        "{\"parameters\":{},\"artifacts\":{}}", NULL},
};

static const struct event_member run_notice[] = {
    ID("task_id", R, "the first task that it is about"),
    {"task", "string", R | T, "its path", "\"train\"", NULL},
    {"about", "string", R, "the part of the pipeline", "\"tolerations\"", NULL},
    {"text", "string", R, "what is to be said of it",
        "\"tolerations: has no meaning for the local executor and is ignored\"", NULL},
};

static const struct event_member task_finished[] = {
    {"state", "string", R | T, "how it ended", "\"SUCCEEDED\"", "SUCCEEDED CACHED FAILED CANCELED"},
    {"cached", "boolean", R | T, "it was not run: an earlier result was taken over", "false", NULL},
    {"cached_from", "object", 0, "whose result that was", "{\"run\":\"\",\"task\":\"evaluate\"}",
        NULL},
    {"error", "string", R, "why it failed, or empty", "\"\"", NULL},
    {"exit_code", "integer", T, "of its program, where one ran", "0", NULL},
    {"started_us", "integer", R, "when its last attempt started, 0: none did", INSTANT, NULL},
    {"ended_us", "integer", R, "when it ended", "1764408660000000", NULL},
    {"outputs", "object", R, "its outputs: parameters and artifacts",
        "{\"parameters\":{\"accuracy\":0.93},\"artifacts\":{}}", NULL},
};

static const struct event_member task_retrying[] = {
    {"error", "string", R, "why the attempt failed or was lost",
        "\"task evaluate failed with exit code 1\"", NULL},
    {"exit_code", "integer", R | T, "of its program, -1: not known", "1", NULL},
    {"retry_us", "integer", R | T, "when the next attempt may start", INSTANT, NULL},
};

static const struct event_member task_skipped[] = {
    {"state", "string", R | T, "its state", "\"UNSCHEDULABLE\"",
        "NOT_TRIGGERED UNSCHEDULABLE CANCELED"},
    {"reason", "string", R | T, "why it did not run", "\"upstream_failed\"",
        "condition_false upstream_failed upstream_skipped upstream_canceled run_canceled "
        "run_timed_out"},
    {"upstream", "string", T, "path of the task that it would have followed", "\"train\"", NULL},
};

static const struct event_member artifact_created[] = {
    ID("artifact_id", R, "the artifact"),
    {"name", "string", R | T, "name of the task's output", "\"model\"", NULL},
    {"uri", "string", R, "where it is", "\"s3://models/nightly/17/train/model\"", NULL},
    {"artifact_type", "string", R, "its schema", "\"system.Model\"", NULL},
    {"metadata", "object", R, "what the program has said of it", "{\"accuracy\":0.93}", NULL},
    {"size", "integer", 0, "bytes, where they are known", "12904448", NULL},
    {"digest", "string", T, "of its content, where it is known",
        "\"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"", NULL},
};

static const struct event_member recurring_run_fired[] = {
    ID("run_id", R, "the run that was created"),
    {"run_name", "string", R, "its name", "\"train-nightly-17\"", NULL},
    {"index", "integer", R | T, "how many times it has fired, 0: fired by hand", "17", NULL},
    {"scheduled_us", "integer", R | T, "the tick", INSTANT, NULL},
    {"lateness_us", "integer", R, "how long after its time", "1200", NULL},
    {"manual", "boolean", T, "true: fired by hand", "false", NULL},
    {"request_id", "string", T, "of a run fired by hand: the name of that request", "\"again\"",
        NULL},
};

static const struct event_member recurring_run_reason[] = {
    {"reason", "string", R, "why; empty: nobody said", "\"out of season\"", NULL},
};

static const struct event_member trigger_fired[] = {
    ID("run_id", R, "the run"),
    {"result", "string", R | T, "whether it was created, or waits for another of its group",
        "\"started\"", "started waiting"},
};

static const struct event_member trigger_rejected[] = {
    {"reason", "string", R, "what did not match, or why no run could be made",
        "\"branch feature/x matches none of main, release-*\"", NULL},
};

static const struct event_member subscription_disabled[] = {
    {"reason", "string", R, "why", "\"the receiver answered 410 Gone\"", NULL},
};

static const struct event_member delivery_exhausted[] = {
    ID("delivery_id", R, "the delivery, which is given up"),
    ID("event_id", R, "the event that did not arrive"),
    {"event_type", "string", R | T, "its type", "\"run.finished\"", NULL},
    ID("run_id", 0, "the run that it is about, if any"),
    {"attempts", "integer", R | T, "how often it was tried", "12", NULL},
    {"status", "integer", R | T, "HTTP status of the last answer, 0: none came", "503", NULL},
    {"error", "string", R, "what was wrong the last time", "\"the receiver answered 503\"", NULL},
};

/* ---- the table ---- */

static const struct event_type table[] = {
    {"run.created", 1, "the API or a push has created a run, which waits for its turn",
        {GROUP(of_run), GROUP(of_start)}},
    {"run.started", 1, "a run has begun", {GROUP(of_run), GROUP(of_start)}},
    {"run.canceling", 1, "somebody asked the run to end", {GROUP(of_run)}},
    {"run.notice", 1, "a part of the pipeline has no meaning here",
        {GROUP(of_run), GROUP(run_notice)}},
    {"run.finished", 1, "a run has ended", {GROUP(of_run), GROUP(run_finished)}},
    {"task.started", 1, "an attempt has begun", {GROUP(of_run), GROUP(of_task)}},
    {"task.retrying", 1, "an attempt failed or was lost, another one follows",
        {GROUP(of_run), GROUP(of_task), GROUP(task_retrying)}},
    {"task.finished", 1, "a task has ended", {GROUP(of_run), GROUP(of_task), GROUP(task_finished)}},
    {"task.skipped", 1, "a task ended without having begun",
        {GROUP(of_run), GROUP(of_task), GROUP(task_skipped)}},
    {"artifact.created", 1, "a task has made an artifact",
        {GROUP(of_run), GROUP(of_task), GROUP(artifact_created)}},
    {"recurring_run.fired", 1, "a recurring run has created a run, which waits for its turn",
        {GROUP(of_recurring_run), GROUP(of_pipeline), GROUP(recurring_run_fired)}},
    {"recurring_run.waiting", 1, "a tick waits for a run to end",
        {GROUP(of_recurring_run), GROUP(of_pipeline), GROUP(of_ticks)}},
    {"recurring_run.skipped", 1, "ticks were passed over, as the policy says",
        {GROUP(of_recurring_run), GROUP(of_pipeline), GROUP(of_ticks)}},
    {"recurring_run.missed", 1, "ticks went by while nobody could fire them, and are not made up",
        {GROUP(of_recurring_run), GROUP(of_pipeline), GROUP(of_ticks)}},
    {"recurring_run.failed_to_start", 1, "a tick cannot fire; told once for each reason",
        {GROUP(of_recurring_run), GROUP(of_pipeline), GROUP(recurring_run_reason)}},
    {"recurring_run.enabled", 1, "it was enabled",
        {GROUP(of_recurring_run), GROUP(of_pipeline), GROUP(recurring_run_reason)}},
    {"recurring_run.disabled", 1, "it was disabled: by somebody, or after failures",
        {GROUP(of_recurring_run), GROUP(of_pipeline), GROUP(recurring_run_reason)}},
    {"trigger.fired", 1, "a message of a forge starts a run, at once or when its group lets it",
        {GROUP(of_trigger), GROUP(of_pipeline), GROUP(trigger_fired)}},
    {"trigger.rejected", 1, "a verified message of a forge has started nothing",
        {GROUP(of_trigger), GROUP(trigger_rejected)}},
    {"subscription.disabled", 1, "nothing is sent to this subscription any more",
        {GROUP(of_subscription), GROUP(subscription_disabled)}},
    {"subscription.recovered", 1, "a subscription that failed for a while takes deliveries again",
        {GROUP(of_subscription)}},
    {"delivery.exhausted", 1, "a delivery was given up",
        {GROUP(of_subscription), GROUP(delivery_exhausted)}},
    {"webhook.ping", 1, "somebody tries whether this subscription works", {GROUP(webhook_ping)}},
};

const struct event_type *event_types(size_t *count_out)
{
    *count_out = ARRAY_LEN(table);
    return table;
}

const struct event_type *event_type_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].type, name) == 0) {
            return &table[i];
        }
    }
    return NULL;
}

const struct event_member *event_type_member(const struct event_type *type, size_t i)
{
    for (size_t g = 0; g < EVENT_GROUPS_MAX; g++) {
        if (i < type->groups[g].count) {
            return &type->groups[g].members[i];
        }
        i -= type->groups[g].count;
    }
    return NULL;
}

const struct event_member *event_type_member_named(const struct event_type *type, const char *name)
{
    const struct event_member *member;
    for (size_t i = 0; (member = event_type_member(type, i)) != NULL; i++) {
        if (strcmp(member->name, name) == 0) {
            return member;
        }
    }
    return NULL;
}
