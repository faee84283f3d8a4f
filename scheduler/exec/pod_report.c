/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports from launchers: kept in Redis before the launcher hears that we have them, so that
 * neither of us needs the other afterwards. They expire: an attempt that nobody asks for again
 * leaves nothing behind.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"
#include "exec/pods.h"
#include "scheduler/order.h"

#define KEPT_S "604800"

struct report_op {
    struct pods *pods;
    char *key; /* of the attempt */
    json_t *report;
    struct store_call *call;
    struct deferred refuse;
    struct err err;
    void (*done)(void *owner, const struct err *err);
    void *owner;
    struct report_op *prev, *next;
};

char *pod_report_key(const struct pods *pods, const struct attempt_name *name)
{
    return xasprintf("%srun:%s:report:%s:%d", store_id_prefix(pods->store, name->run_id),
        name->run_id, name->task_id, name->attempt);
}

json_t *pod_report_parse(const char *text, size_t len, struct err *err)
{
    json_t *report = jread_text(text, len, "report", err);
    if (report == NULL) {
        return NULL;
    }
    int64_t version = jget_i64(report, "v", 0);
    const char *state = NULL;
    if (version != REPORT_VERSION) {
        err_set(err, ERR_INVALID,
            "the launcher's report has version %lld, and this daemon knows %d; is --launcher-image "
            "of another version?",
            (long long)version, REPORT_VERSION);
    } else if (jread_need_string(report, "report", "state", &state, err) == 0) {
        return report;
    }
    json_decref(report);
    return NULL;
}

static void op_free(struct report_op *op)
{
    if (op->prev != NULL) {
        op->prev->next = op->next;
    } else {
        op->pods->reports = op->next;
    }
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
    store_cancel(op->call);
    loop_defer_cancel(op->pods->loop, &op->refuse);
    json_decref(op->report);
    free(op->key);
    free(op);
}

static void op_finish(struct report_op *op, const struct err *err)
{
    void (*done)(void *owner, const struct err *err) = op->done;
    void *owner = op->owner;
    op_free(op);
    done(owner, err);
}

static void on_refuse(void *owner)
{
    struct report_op *op = owner;
    struct err err;
    err_copy(&err, &op->err);
    op_finish(op, &err);
}

static void on_saved(void *owner, redisReply *reply, const struct err *err)
{
    struct report_op *op = owner;
    (void)reply;
    op->call = NULL;
    FAULT("pods.report.after");
    struct pod_attempt *a = map_get(op->pods->attempts, op->key);
    if (a != NULL) {
        a->saving -= a->saving > 0; /* 0: we had let go of it meanwhile */
        if (err == NULL) {
            pod_attempt_report(a, json_incref(op->report));
        } else {
            pod_attempt_look(a); /* the launcher asks again, unless it is gone */
        }
    }
    op_finish(op, err);
}

void pods_report(struct pods *pods, const struct attempt_name *name, const char *text, size_t len,
    void (*done)(void *owner, const struct err *err), void *owner)
{
    struct report_op *op = xcalloc(1, sizeof *op);
    op->pods = pods;
    op->key = pods_key(name);
    op->done = done;
    op->owner = owner;
    op->next = pods->reports;
    if (op->next != NULL) {
        op->next->prev = op;
    }
    pods->reports = op;
    struct pod_attempt *a = pods_find(pods, name);
    if (pods_running(pods, name, &op->err) != 0 ||
        (op->report = pod_report_parse(text, len, &op->err)) == NULL) {
        loop_defer(pods->loop, &op->refuse, on_refuse, op);
        return;
    }
    a->saving++;
    FAULT("pods.report.before");
    CLEANUP(cleanup_free) char *key = pod_report_key(pods, name);
    op->call = store_cmd(pods->store, on_saved, op, "SET %s %b EX " KEPT_S, key, text, len);
}

void pod_report_free_all(struct pods *pods)
{
    while (pods->reports != NULL) {
        op_free(pods->reports);
    }
}
