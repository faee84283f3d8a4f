/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pod's status says about its attempt, in words for people. Whether it is to blame (FAILED)
 * or the cluster (LOST: it may be run again) is decided here, for when there is no report.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "exec/pods.h"

static int64_t time_of(const json_t *obj, const char *key)
{
    int64_t us = 0;
    struct err ignored;
    const char *text = jget_str(obj, key, NULL);
    if (text == NULL || clock_parse(text, &us, &ignored) != 0) {
        return 0;
    }
    return us;
}

static void say(struct pod_status *out, const char *what, const char *reason, const char *message)
{
    snprintf(out->words, sizeof out->words, "%s%s%s%s%.700s", what,
        what[0] != '\0' && reason[0] != '\0' ? ": " : "", reason,
        reason[0] != '\0' && message[0] != '\0' ? ": " : "", message);
    text_sanitise(out->words);
}

static const json_t *container_status(const json_t *status, const char *list, const char *name)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(status, list), i, one)
    {
        if (str_eq(jget_str(one, "name", NULL), name)) {
            return one;
        }
    }
    return NULL;
}

static const json_t *state_of(const json_t *container, const char *state)
{
    return json_object_get(json_object_get(container, "state"), state);
}

static bool has_condition(
    const json_t *status, const char *type, const char *value, const json_t **out)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(status, "conditions"), i, one)
    {
        if (str_eq(jget_str(one, "type", NULL), type) &&
            str_eq(jget_str(one, "status", NULL), value)) {
            *out = one;
            return true;
        }
    }
    return false;
}

/* ---- waiting ---- */

static void read_waiting(const json_t *status, struct pod_status *out)
{
    static const char *const hopeless[] = {"InvalidImageName", "ErrImageNeverPull"};
    static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
    const json_t *condition;
    out->phase = POD_PHASE_WAITING;
    if (has_condition(status, "PodScheduled", "False", &condition)) {
        say(out, "no node takes it", jget_str(condition, "reason", ""),
            jget_str(condition, "message", ""));
        return;
    }
    for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
        size_t i;
        const json_t *one;
        json_array_foreach(json_object_get(status, lists[l]), i, one)
        {
            const json_t *waiting = state_of(one, "waiting");
            const char *reason = jget_str(waiting, "reason", "");
            /* The usual steps of every start. */
            if (reason[0] == '\0' || strcmp(reason, "PodInitializing") == 0 ||
                strcmp(reason, "ContainerCreating") == 0) {
                continue;
            }
            char what[256];
            snprintf(what, sizeof what, "container %.60s cannot start", jget_str(one, "name", "?"));
            say(out, what, reason, jget_str(waiting, "message", ""));
            for (size_t h = 0; h < ARRAY_LEN(hopeless); h++) {
                out->is_hopeless |= strcmp(reason, hopeless[h]) == 0;
            }
            return;
        }
    }
}

/* ---- over ---- */

static bool is_of_the_cluster(const char *reason)
{
    static const char *const known[] = {"Evicted", "NodeLost", "NodeShutdown", "Shutdown",
        "Terminated", "NodeAffinity", "Preempting", "Preempted", "UnexpectedAdmissionError",
        "ContainerStatusUnknown", "TerminationByKubelet"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(reason, known[i]) == 0) {
            return true;
        }
    }
    return str_starts(reason, "OutOf"); /* OutOfcpu, OutOfmemory, OutOfpods: refused by the node */
}

/* The launcher's last words, if it wrote any. */
static bool read_verdict(const char *message, struct pod_status *out)
{
    struct err ignored;
    CLEANUP(json_decrefp)
    json_t *verdict =
        message[0] == '{' ? jread_text(message, strlen(message), "verdict", &ignored) : NULL;
    const char *state = jget_str(verdict, "state", NULL);
    if (state == NULL) {
        return false;
    }
    out->exit_code = (int)jget_i64(verdict, "exit_code", -1);
    if (strcmp(state, "SUCCEEDED") == 0) {
        out->state = ATTEMPT_STATE_LOST;
        say(out, "its program ended well, but its report never arrived", "", "");
    } else if (strcmp(state, "CANCELED") == 0) {
        out->state = ATTEMPT_STATE_LOST;
        say(out, "its pod was told to stop by somebody else", "", "");
    } else {
        out->state = ATTEMPT_STATE_FAILED;
        say(out, "", "", jget_str(verdict, "reason", ""));
    }
    return true;
}

static void read_terminated(const json_t *main, struct pod_status *out)
{
    const json_t *end = state_of(main, "terminated");
    const char *reason = jget_str(end, "reason", ""), *message = jget_str(end, "message", "");
    out->exit_code = (int)jget_i64(end, "exitCode", -1);
    out->started_us = time_of(end, "startedAt");
    out->ended_us = time_of(end, "finishedAt");
    out->has_tail = true;
    if (is_of_the_cluster(reason)) {
        out->state = ATTEMPT_STATE_LOST;
        say(out, "its container vanished", reason, message);
        return;
    }
    if (strcmp(reason, "OOMKilled") == 0) {
        out->state = ATTEMPT_STATE_FAILED;
        say(out, "it used more memory than its limit allows and was killed (OOMKilled)", "", "");
        return;
    }
    if (read_verdict(message, out)) {
        return;
    }
    out->state = ATTEMPT_STATE_FAILED;
    char what[128];
    snprintf(
        what, sizeof what, "its launcher ended with exit code %d and no report", out->exit_code);
    say(out, what, strcmp(reason, "Error") == 0 ? "" : reason, message);
    if (out->exit_code == 0 || out->exit_code == 128 + 9 || out->exit_code == 128 + 15) {
        /* It took itself for superfluous, or something killed it from outside. */
        out->state = ATTEMPT_STATE_LOST;
    }
}

static void read_failed_init(const json_t *status, struct pod_status *out)
{
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(status, "initContainerStatuses"), i, one)
    {
        const json_t *end = state_of(one, "terminated");
        if (end != NULL && jget_i64(end, "exitCode", 0) != 0) {
            char what[256];
            snprintf(what, sizeof what, "init container %.60s ended with exit code %lld",
                jget_str(one, "name", "?"), (long long)jget_i64(end, "exitCode", 0));
            const char *reason = jget_str(end, "reason", "");
            out->state = ATTEMPT_STATE_FAILED;
            say(out, what, strcmp(reason, "Error") == 0 ? "" : reason,
                jget_str(end, "message", ""));
            return;
        }
    }
}

static void read_over(const json_t *status, struct pod_status *out)
{
    const char *reason = jget_str(status, "reason", ""), *message = jget_str(status, "message", "");
    const json_t *main = container_status(status, "containerStatuses", "main");
    const json_t *condition;
    out->phase = POD_PHASE_OVER;
    out->state = ATTEMPT_STATE_LOST;
    say(out, "its pod ended without saying why", reason, message);
    if (is_of_the_cluster(reason)) {
        say(out, "its pod was ended by the cluster", reason, message);
    } else if (strcmp(reason, "DeadlineExceeded") == 0) {
        out->state = ATTEMPT_STATE_FAILED;
        out->has_tail = true;
        say(out, "it timed out", reason, message);
    } else if (has_condition(status, "DisruptionTarget", "True", &condition)) {
        say(out, "its pod was ended by the cluster", jget_str(condition, "reason", ""),
            jget_str(condition, "message", ""));
    } else if (state_of(main, "terminated") != NULL) {
        read_terminated(main, out);
    } else {
        read_failed_init(status, out);
    }
}

void pod_status_read(const json_t *pod, struct pod_status *out)
{
    const json_t *status = json_object_get(pod, "status");
    const json_t *main = container_status(status, "containerStatuses", "main");
    const char *phase = jget_str(status, "phase", "");
    *out = (struct pod_status){.exit_code = -1};
    if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
        read_over(status, out);
    } else if (state_of(main, "terminated") != NULL &&
               json_array_size(json_object_get(status, "containerStatuses")) > 1) {
        read_over(status, out); /* somebody put a sidecar in, which keeps the pod running */
    } else if (state_of(main, "terminated") != NULL) {
        out->phase = POD_PHASE_RUNNING; /* the pod's own end follows, with its reason */
    } else if (state_of(main, "running") != NULL) {
        out->phase = POD_PHASE_RUNNING;
        out->started_us = time_of(state_of(main, "running"), "startedAt");
    } else if (strcmp(phase, "Unknown") == 0) {
        out->phase = POD_PHASE_RUNNING; /* its node does not answer; it may come back */
        say(out, "its node does not answer", jget_str(status, "reason", ""),
            jget_str(status, "message", ""));
    } else {
        read_waiting(status, out);
    }
}
