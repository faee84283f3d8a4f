/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts of container tasks. begin: recorded, not yet started. start: the record is saved, the
 * executor gets it. done: the executor says how it ended. Whether another one follows: retry.c.
 */
#include "run/live.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "run/engine.h"
#include "run/notice.h"

#define ERROR_MAX_BYTES 4096
#define ERROR_LOG_LINES 5
#define ERROR_LOG_BYTES 1000
#define LOG_TAIL_KEPT 8192

void attempt_begin(struct task *task)
{
    struct live *run = task->run;
    task->tries++;
    if (task->first_us == 0) {
        task->first_us = clock_now_us();
    }
    task->started_us = 0;
    task->retry_us = 0;
    task->exit_code = -1;
    task->is_started = false;
    task->is_adopted = false;
    task->is_canceling = false;
    task_set_error(task, NULL);
    task_set_state(task, TASK_STATE_RUNNING);
    task_event(task, "task.started", NULL);
    if (run->start_count == run->start_cap) {
        run->start_cap = run->start_cap == 0 ? 8 : run->start_cap * 2;
        run->starts = xreallocarray(run->starts, run->start_cap, sizeof(*run->starts));
    }
    run->starts[run->start_count++] = task;
}

/* Its slot is free, nothing of it runs any more. */
static void attempt_over(struct task *task)
{
    task->is_started = false;
    json_decref(task->executor_input);
    task->executor_input = NULL;
    engine_slot_release(task);
}

/* For good: another attempt would end the same. */
static void attempt_fail(struct task *task, const char *text)
{
    task->run->engine->counts.steps_failed++;
    task_fail(task, text);
}

/* The program failed, or did not give what was declared: that is what retries are for. */
static void attempt_fail_or_retry(struct task *task, const char *text)
{
    int64_t at_us = retry_after_failure(task);
    if (at_us == 0) {
        attempt_fail(task, text);
        return;
    }
    LOG_INFO("step failed, trying again", "run=%s task=%s attempt=%d in_ms=%lld",
        task->run->id.text, LOG_Q(task->path), task->tries - 1,
        (long long)((at_us - clock_now_us()) / US_PER_MS));
    retry_at(task, at_us, text, task->exit_code);
}

void attempt_start(struct task *task)
{
    struct live *run = task->run;
    if (task->state != TASK_STATE_RUNNING || task->is_started) {
        return;
    }
    /* Recorded, never started, and the run was asked to end meanwhile. */
    bool is_canceling = task_is_to_end(task);
    if (is_canceling && !task->is_adopted) {
        attempt_over(task);
        task_end(task, TASK_STATE_CANCELED);
        return;
    }
    struct err err = ERR_INIT;
    json_t *order CLEANUP(json_decrefp) = NULL;
    json_t *container CLEANUP(json_decrefp) = NULL;
    if (order_build(task, &order, &container, &err) != 0) {
        char *text CLEANUP(cleanup_free) = xasprintf("task %s: %s", task->path, err.msg);
        attempt_over(task);
        attempt_fail(task, text);
        return;
    }
    notice_ignored(task, container);
    struct attempt_name name = task_attempt_name(task);
    const struct executor *executor = &run->engine->set.executor;
    task->is_started = true;
    FAULT("run.attempt.before_start");
    executor->ops->start(executor->self, &name, order, container);
    FAULT("run.attempt.after_start");
    LOG_DEBUG(
        "step started", "run=%s task=%s attempt=%d", run->id.text, LOG_Q(task->path), name.attempt);
    if (is_canceling) {
        task->is_canceling = true;
        executor->ops->cancel(executor->self, &name);
    }
}

/* It runs on another machine, whose daemon does not carry the run on any more. */
static bool is_elsewhere(const struct task *task)
{
    const struct engine_settings *set = &task->run->engine->set;
    const char *instance = jget_str(task->place, "instance", NULL);
    return set->executor.ops->is_bound && set->instance != NULL && instance != NULL &&
           strcmp(instance, set->instance) != 0;
}

void attempt_resume(struct task *task)
{
    if (!is_elsewhere(task)) {
        attempt_start(task);
        return;
    }
    char *reason CLEANUP(cleanup_free) =
        xasprintf("it ran on %s, under a daemon that does not carry it on any more",
            jget_str(task->place, "host", "another machine"));
    const struct attempt_result lost = {
        .state = ATTEMPT_STATE_LOST,
        .exit_code = -1,
        .reason = reason,
        .log_tail = "",
        .ended_us = clock_now_us(),
    };
    attempt_on_done(task, &lost);
}

/* ---- ends ---- */

/* The last lines of a log, at most so many bytes, as one line of text after another. */
static const char *last_lines(const char *text, size_t *len_out)
{
    size_t end = strlen(text);
    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == '\r')) {
        end--;
    }
    size_t start = end;
    int lines = 0;
    while (start > 0 && end - start < ERROR_LOG_BYTES) {
        if (text[start - 1] == '\n' && ++lines == ERROR_LOG_LINES) {
            break;
        }
        start--;
    }
    /* Do not begin within a UTF-8 character. */
    while (start < end && ((unsigned char)text[start] & 0xc0) == 0x80) {
        start++;
    }
    *len_out = end - start;
    return text + start;
}

/* "task train failed with exit code 3: <last log lines>" */
static char *failure_text(const struct task *task, const struct attempt_result *result)
{
    struct buf text;
    buf_init(&text, ERROR_MAX_BYTES);
    const char *reason = result->reason == NULL ? "" : result->reason;
    buf_addf(&text, "task %s failed", task->path);
    if (result->exit_code > 0) {
        buf_addf(&text, " with exit code %d", result->exit_code);
    }
    /* "exit code 3" again would say nothing new. */
    if (reason[0] != '\0' && (result->exit_code <= 0 || strstr(reason, "exit code") == NULL)) {
        buf_addf(&text, result->exit_code > 0 ? " (%s)" : ": %s", reason);
    }
    if (result->log_tail != NULL && result->log_tail[0] != '\0') {
        size_t len;
        const char *lines = last_lines(result->log_tail, &len);
        if (len > 0) {
            buf_adds(&text, ": ");
            buf_add(&text, lines, len);
        }
    }
    char *whole = buf_steal(&text, NULL);
    text_sanitise(whole); /* the ceiling may have cut a character in two */
    return whole;
}

static void keep_log_tail(struct task *task, const char *log_tail)
{
    free(task->log_tail);
    task->log_tail = NULL;
    size_t len = log_tail == NULL ? 0 : strlen(log_tail);
    if (len > 0) {
        task->log_tail = xstrdup(len > LOG_TAIL_KEPT ? log_tail + (len - LOG_TAIL_KEPT) : log_tail);
    }
}

static void attempt_forget_later(struct task *task)
{
    struct live *run = task->run;
    if (run->end_count == run->end_cap) {
        run->end_cap = run->end_cap == 0 ? 8 : run->end_cap * 2;
        run->ends = xreallocarray(run->ends, run->end_cap, sizeof(*run->ends));
    }
    run->ends[run->end_count++] =
        (struct ended_attempt){.task_id = task->id, .attempt = task->tries - 1};
}

static void artifact_created(
    struct task *task, const char *output, size_t i, const json_t *artifact, const json_t *stored)
{
    json_t *data = json_object();
    const json_t *type = json_object_get(artifact, "type");
    const json_t *metadata = json_object_get(artifact, "metadata");
    json_object_set_new(data, "artifact_id", json_string(jget_str(artifact, "id", "")));
    json_object_set_new(data, "task_id", json_string(task->id.text));
    json_object_set_new(data, "task", json_string(task->path));
    json_object_set_new(data, "attempt", json_integer(task->tries - 1));
    json_object_set_new(data, "name", json_string(output));
    json_object_set_new(data, "uri", json_string(jget_str(artifact, "uri", "")));
    json_object_set_new(data, "artifact_type", json_string(jget_str(type, "schemaTitle", "")));
    event_set_bounded(
        data, "metadata", json_is_object(metadata) ? json_deep_copy(metadata) : json_object());
    static const char *const facts[] = {"size", "digest"};
    for (size_t k = 0; k < ARRAY_LEN(facts); k++) {
        json_t *fact = json_object_get(stored, facts[k]);
        if (fact != NULL) {
            json_object_set(data, facts[k], fact);
        }
    }
    char *what CLEANUP(cleanup_free) =
        xasprintf("artifact.created/%s/%s/%zu", task->path, output, i);
    live_event(task->run, "artifact.created", what, data);
}

/* Give each artifact its id and tell of those that are really there. */
static void attempt_name_artifacts(struct task *task, const json_t *report)
{
    const json_t *stored = json_object_get(report, "artifacts");
    const char *output;
    json_t *list;
    json_object_foreach(task->out_artifacts, output, list)
    {
        const json_t *facts = json_object_get(stored, output);
        size_t i;
        json_t *artifact;
        json_array_foreach(list, i, artifact)
        {
            char *name CLEANUP(cleanup_free) =
                xasprintf("artifact/%s/%s/%zu", task->path, output, i);
            struct id id;
            id_derive(&id, task->run->id.text, name);
            json_object_set_new(artifact, "id", json_string(id.text));
            bool is_ours = str_eq(jget_str(facts, "uri", NULL), jget_str(artifact, "uri", ""));
            if (!is_ours || jget_bool(facts, "exists", true)) {
                artifact_created(task, output, i, artifact, is_ours ? facts : NULL);
            }
        }
    }
}

static void attempt_succeed(struct task *task, const json_t *report, json_t *executor_input)
{
    struct err err = ERR_INIT;
    json_t *params = NULL, *artifacts = NULL;
    if (outputs_read(task->component, executor_input, report, &params, &artifacts, &err) != 0) {
        char *text CLEANUP(cleanup_free) =
            xasprintf("task %s: its program ended well, but %s", task->path, err.msg);
        attempt_fail_or_retry(task, text);
        return;
    }
    task->out_params = params;
    task->out_artifacts = artifacts;
    attempt_name_artifacts(task, report);
    task->run->engine->counts.steps_succeeded++;
    task_end(task, TASK_STATE_SUCCEEDED);
}

static void attempt_lose(struct task *task, const struct attempt_result *result)
{
    struct live *run = task->run;
    run->engine->counts.steps_lost++;
    task->lost++;
    if (task->lost > run->engine->set.lost_retries) {
        char *text CLEANUP(cleanup_free) =
            xasprintf("task %s failed: its attempt was lost %d times, the last time: %s",
                task->path, task->lost, result->reason);
        attempt_fail(task, text);
        return;
    }
    int64_t wait_ms = retry_lost_ms(task->lost);
    LOG_WARN("step lost, trying again", "run=%s task=%s attempt=%d in_ms=%lld reason=%s",
        run->id.text, LOG_Q(task->path), task->tries - 1, (long long)wait_ms,
        LOG_Q(result->reason));
    retry_at(task, clock_now_us() + wait_ms * US_PER_MS, result->reason, result->exit_code);
    timer_start_ms(&task->retry, wait_ms); /* short: no matter what becomes of the clock */
}

static void attempt_end(
    struct task *task, const struct attempt_result *result, json_t *executor_input)
{
    bool was_canceled = task_is_to_end(task);
    char *text CLEANUP(cleanup_free) = NULL;
    switch (result->state) {
    case ATTEMPT_STATE_SUCCEEDED:
        attempt_succeed(task, result->report, executor_input);
        return;
    case ATTEMPT_STATE_LOST:
        if (!was_canceled) {
            attempt_lose(task, result);
            return;
        }
        task_end(task, TASK_STATE_CANCELED);
        return;
    case ATTEMPT_STATE_CANCELED:
        if (was_canceled) {
            task_end(task, TASK_STATE_CANCELED);
            return;
        }
        break;
    case ATTEMPT_STATE_FAILED:
        break;
    }
    keep_log_tail(task, result->log_tail);
    text = failure_text(task, result);
    attempt_fail_or_retry(task, text);
}

void attempt_on_done(struct task *task, const struct attempt_result *result)
{
    LOG_INFO("step ended", "run=%s task=%s attempt=%d exit_code=%d reason=%s", task->run->id.text,
        LOG_Q(task->path), task->tries - 1, result->exit_code,
        LOG_Q(result->reason == NULL ? "" : result->reason));
    task->exit_code = result->exit_code;
    if (result->started_us > 0) {
        task->started_us = result->started_us;
    }
    task->ended_us = result->ended_us;
    attempt_forget_later(task);
    json_t *executor_input CLEANUP(json_decrefp) = json_incref(task->executor_input);
    attempt_over(task);
    attempt_end(task, result, executor_input);
    if (task->state == TASK_STATE_WAITING) {
        task->ended_us = 0;
    }
    live_touch(task->run);
}
