/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An executor that runs nothing: every step succeeds at the next turn of the loop. It measures
 * what the daemon itself costs, and lets schedules be rehearsed. Steps with declared output
 * parameters fail under it, as there is nobody to write them.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/loop.h"
#include "base/util.h"
#include "scheduler/exec.h"

struct noop {
    struct loop *loop;
    struct executor_listener listener;
    json_t *report;
};

struct noop_attempt {
    struct noop *noop;
    struct id run, task;
    int attempt;
};

struct noop_logs {
    void (*done)(void *owner, const char *text, size_t len, const struct err *err);
    void *owner;
};

static void noop_listen(void *self, const struct executor_listener *listener)
{
    ((struct noop *)self)->listener = *listener;
}

static void noop_work_dir(void *self, const struct attempt_name *name, struct buf *out)
{
    (void)self;
    buf_addf(out, "/noop/%s/%s/%d", name->run_id, name->task_id, name->attempt);
}

static void noop_artifact_path(
    void *self, const struct attempt_name *name, const char *uri, struct buf *out)
{
    (void)self;
    (void)name;
    buf_addf(out, "/noop/%s", uri);
}

static void noop_run(void *owner)
{
    struct noop_attempt *a = owner;
    struct noop *noop = a->noop;
    struct attempt_name name = {a->run.text, a->task.text, a->attempt};
    int64_t now = clock_now_us();
    struct attempt_result result = {
        .state = ATTEMPT_STATE_SUCCEEDED,
        .reason = "",
        .log_tail = "",
        .report = noop->report,
        .started_us = now,
        .ended_us = now,
    };
    noop->listener.on_running(noop->listener.owner, &name);
    noop->listener.on_done(noop->listener.owner, &name, &result);
    free(a);
}

static void noop_start(
    void *self, const struct attempt_name *name, const json_t *order, const json_t *container)
{
    (void)order;
    (void)container;
    struct noop *noop = self;
    struct noop_attempt *a = xcalloc(1, sizeof *a);
    a->noop = noop;
    a->attempt = name->attempt;
    for (size_t i = 0; i <= ID_LEN; i++) {
        a->run.text[i] = name->run_id[i];
        a->task.text[i] = name->task_id[i];
    }
    loop_defer_once(noop->loop, noop_run, a);
}

static void noop_ignore(void *self, const struct attempt_name *name)
{
    (void)self;
    (void)name;
}

static void noop_logs_done(void *owner)
{
    struct noop_logs *logs = owner;
    logs->done(logs->owner, "", 0, NULL);
    free(logs);
}

static void noop_logs(void *self, const struct attempt_name *name, int64_t max_bytes,
    void (*done)(void *owner, const char *text, size_t len, const struct err *err), void *owner)
{
    (void)name;
    (void)max_bytes;
    struct noop_logs *logs = xcalloc(1, sizeof *logs);
    logs->done = done;
    logs->owner = owner;
    loop_defer_once(((struct noop *)self)->loop, noop_logs_done, logs);
}

static void noop_free(void *self)
{
    struct noop *noop = self;
    json_decref(noop->report);
    free(noop);
}

static const struct executor_ops noop_ops = {
    .name = "noop",
    .listen = noop_listen,
    .work_dir = noop_work_dir,
    .artifact_path = noop_artifact_path,
    .start = noop_start,
    .cancel = noop_ignore,
    .forget = noop_ignore,
    .logs = noop_logs,
    .free = noop_free,
};

void executor_noop_new(struct loop *loop, struct executor *out)
{
    struct noop *noop = xcalloc(1, sizeof *noop);
    noop->loop = loop;
    noop->report = json_pack("{s:i,s:s,s:i,s:s,s:{},s:{}}", "v", 1, "state", "SUCCEEDED",
        "exit_code", 0, "reason", "", "params", "artifacts");
    out->ops = &noop_ops;
    out->self = noop;
}
