/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_executor.h. */
#include "tests/support/fake_executor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/util.h"

struct fake_attempt {
    char *run_id, *task_id, *task;
    int attempt;
    json_t *order, *container;
    size_t starts;
    bool has_ended, is_forgotten, wants_done, is_ready;
    struct fake_end end;
    struct fake_attempt *next, *next_ready;
};

struct fake_executor {
    char ignored[256];
    struct loop *loop;
    struct executor_listener listener;
    struct map *attempts; /* name -> attempt */
    struct map *wills;    /* "task#attempt" -> struct fake_end */
    struct map *outputs;  /* "task/name" -> text */
    struct fake_attempt *all, *ready_first, *ready_last;
    struct deferred deliver;
    size_t running, running_max, forgotten, purged, begun;
    struct buf order;
    json_t *volumes; /* name -> claim */
    size_t volumes_created;
    bool volumes_held;
    struct fake_volume_call *volume_calls;
};

struct fake_volume_call {
    struct fake_executor *fake;
    executor_volume_fn *done; /* NULL: cancelled */
    void *owner;
    struct err err;
    struct deferred turn;
    struct fake_volume_call *next;
};

static void attempt_free(void *ptr)
{
    struct fake_attempt *a = ptr;
    free(a->run_id);
    free(a->task_id);
    free(a->task);
    json_decref(a->order);
    json_decref(a->container);
    free(a);
}

static char *name_text(const struct attempt_name *name)
{
    return xasprintf("%s/%s/%d", name->run_id, name->task_id, name->attempt);
}

static json_t *report_of(const struct fake_executor *fake, const struct fake_attempt *a)
{
    json_t *report = json_object();
    json_object_set_new(report, "v", json_integer(1));
    json_object_set_new(report, "state", json_string("SUCCEEDED"));
    json_object_set_new(report, "exit_code", json_integer(0));
    json_object_set_new(report, "reason", json_string(""));
    json_object_set_new(report, "output_file", json_null());
    json_t *params = json_object();
    size_t i;
    json_t *place;
    json_array_foreach(json_object_get(a->order, "output_params"), i, place)
    {
        const char *name = jget_str(place, "name", "");
        char *key CLEANUP(cleanup_free) = xasprintf("%s/%s", a->task, name);
        const char *text = map_get(fake->outputs, key);
        char *fallback CLEANUP(cleanup_free) = xasprintf("%s.%s", a->task, name);
        json_object_set_new(params, name, json_string(text == NULL ? fallback : text));
    }
    json_object_set_new(report, "params", params);
    json_t *artifacts = json_object();
    json_array_foreach(json_object_get(a->order, "outputs"), i, place)
    {
        json_t *stored = json_object();
        json_object_set(stored, "uri", json_object_get(place, "uri"));
        json_object_set(stored, "path", json_object_get(place, "path"));
        json_object_set_new(stored, "exists", json_true());
        json_object_set_new(stored, "size", json_integer(3));
        json_object_set_new(stored, "digest", json_string("sha256:00"));
        json_object_set_new(artifacts, jget_str(place, "name", ""), stored);
    }
    json_object_set_new(report, "artifacts", artifacts);
    json_object_set_new(report, "log_tail", json_string(""));
    return report;
}

static void deliver(void *owner)
{
    struct fake_executor *fake = owner;
    while (fake->ready_first != NULL) {
        struct fake_attempt *a = fake->ready_first;
        fake->ready_first = a->next_ready;
        a->is_ready = false;
        if (!a->wants_done) {
            continue;
        }
        a->wants_done = false;
        json_t *report CLEANUP(json_decrefp) =
            a->end.state == ATTEMPT_STATE_SUCCEEDED ? report_of(fake, a) : NULL;
        struct attempt_name name = {a->run_id, a->task_id, a->attempt};
        struct attempt_result result = {
            .state = a->end.state,
            .exit_code = a->end.exit_code,
            .reason = a->end.reason == NULL ? "" : a->end.reason,
            .log_tail = a->end.log_tail == NULL ? "" : a->end.log_tail,
            .report = report,
            .ended_us = clock_now_us(),
        };
        fake->listener.on_done(fake->listener.owner, &name, &result);
    }
}

static void ready(struct fake_executor *fake, struct fake_attempt *a)
{
    if (a->is_ready || !a->has_ended) {
        return;
    }
    a->is_ready = true;
    a->next_ready = NULL;
    *(fake->ready_first == NULL ? &fake->ready_first : &fake->ready_last->next_ready) = a;
    fake->ready_last = a;
    loop_defer(fake->loop, &fake->deliver, deliver, fake);
}

static void end_attempt(struct fake_executor *fake, struct fake_attempt *a, struct fake_end end)
{
    a->has_ended = true;
    a->end = end;
    fake->running--;
    ready(fake, a);
}

static void fake_listen(void *self, const struct executor_listener *listener)
{
    struct fake_executor *fake = self;
    fake->listener = *listener;
}

static void fake_work_dir(void *self UNUSED, const struct attempt_name *name, struct buf *out)
{
    buf_addf(out, "/fake/work/%s/%d", name->task_id, name->attempt);
}

static void fake_artifact_path(
    void *self UNUSED, const struct attempt_name *name UNUSED, const char *uri, struct buf *out)
{
    buf_adds(out, str_starts(uri, "file://") ? uri + strlen("file://") : uri);
}

static void fake_start(
    void *self, const struct attempt_name *name, const json_t *order, const json_t *container)
{
    struct fake_executor *fake = self;
    char *key CLEANUP(cleanup_free) = name_text(name);
    struct fake_attempt *a = map_get(fake->attempts, key);
    if (a != NULL) {
        a->starts++;
        a->wants_done = true;
        ready(fake, a);
        return;
    }
    a = xcalloc(1, sizeof(*a));
    a->run_id = xstrdup(name->run_id);
    a->task_id = xstrdup(name->task_id);
    a->task = xstrdup(jget_str(order, "task", ""));
    a->attempt = name->attempt;
    a->order = json_deep_copy(order);
    a->container = json_deep_copy(container);
    a->starts = 1;
    a->wants_done = true;
    a->next = fake->all;
    fake->all = a;
    map_put(fake->attempts, key, a);
    fake->begun++;
    fake->running++;
    if (fake->running > fake->running_max) {
        fake->running_max = fake->running;
    }
    buf_addf(&fake->order, fake->order.len == 0 ? "%s" : " %s", a->task);
    char *one CLEANUP(cleanup_free) = xasprintf("%s#%d", a->task, a->attempt);
    char *any CLEANUP(cleanup_free) = xasprintf("%s#-1", a->task);
    const struct fake_end *will = map_get(fake->wills, one);
    will = will == NULL ? map_get(fake->wills, any) : will;
    if (will == NULL) {
        end_attempt(fake, a, (struct fake_end){.state = ATTEMPT_STATE_SUCCEEDED});
    } else if (!will->is_held) {
        end_attempt(fake, a, *will);
    }
}

static void fake_cancel(void *self, const struct attempt_name *name)
{
    struct fake_executor *fake = self;
    char *key CLEANUP(cleanup_free) = name_text(name);
    struct fake_attempt *a = map_get(fake->attempts, key);
    if (a != NULL && !a->has_ended) {
        end_attempt(fake, a,
            (struct fake_end){
                .state = ATTEMPT_STATE_CANCELED, .exit_code = 143, .reason = "asked"});
    }
}

static void fake_forget(void *self, const struct attempt_name *name)
{
    struct fake_executor *fake = self;
    char *key CLEANUP(cleanup_free) = name_text(name);
    struct fake_attempt *a = map_get(fake->attempts, key);
    if (a != NULL && !a->is_forgotten) {
        a->is_forgotten = true;
        fake->forgotten++;
    }
}

struct fake_log {
    void (*done)(void *owner, const char *text, size_t len, const struct err *err);
    void *owner;
    char *text;
};

static void fake_log_on_turn(void *owner)
{
    struct fake_log *log = owner;
    struct err err = ERR_INIT;
    if (log->text == NULL) {
        err_set(&err, ERR_NOT_FOUND, "no such attempt");
        log->done(log->owner, NULL, 0, &err);
    } else {
        log->done(log->owner, log->text, strlen(log->text), NULL);
    }
    free(log->text);
    free(log);
}

static void fake_logs(void *self, const struct attempt_name *name, int64_t max_bytes UNUSED,
    void (*done)(void *owner, const char *text, size_t len, const struct err *err), void *owner)
{
    struct fake_executor *fake = self;
    char *key CLEANUP(cleanup_free) = name_text(name);
    const struct fake_attempt *a = map_get(fake->attempts, key);
    struct fake_log *log = xcalloc(1, sizeof(*log));
    log->done = done;
    log->owner = owner;
    /* What a real executor keeps is its business; this one drops the logs of failed attempts. */
    bool is_kept = a != NULL && (!a->has_ended || a->end.state == ATTEMPT_STATE_SUCCEEDED);
    log->text = is_kept ? xasprintf("log of %s %d\n", a->task, a->attempt) : NULL;
    loop_defer_once(fake->loop, fake_log_on_turn, log);
}

static void fake_purge(void *self, const char *run_id)
{
    assert(id_is_valid(run_id));
    ((struct fake_executor *)self)->purged++;
}

/* ---- volumes ---- */

static void fake_volume_on_turn(void *owner)
{
    struct fake_volume_call *call = owner;
    executor_volume_fn *done = call->done;
    call->done = NULL; /* the memory goes with the fake */
    if (done != NULL) {
        done(call->owner, call->err.code == ERR_NONE ? NULL : &call->err);
    }
}

static struct fake_volume_call *volume_call(
    struct fake_executor *fake, executor_volume_fn *done, void *owner)
{
    struct fake_volume_call *call = xcalloc(1, sizeof(*call));
    call->fake = fake;
    call->done = done;
    call->owner = owner;
    call->next = fake->volume_calls;
    fake->volume_calls = call;
    if (!fake->volumes_held) {
        loop_defer(fake->loop, &call->turn, fake_volume_on_turn, call);
    }
    return call;
}

static const json_t *claim_labels(const json_t *claim)
{
    return json_object_get(json_object_get(claim, "metadata"), "labels");
}

static void fake_volume_create(
    void *self, const json_t *claim, executor_volume_fn *done, void *owner)
{
    struct fake_executor *fake = self;
    struct fake_volume_call *call = volume_call(fake, done, owner);
    const char *name = jget_str(json_object_get(claim, "metadata"), "name", "");
    const json_t *there = json_object_get(fake->volumes, name);
    if (there == NULL) {
        fake->volumes_created++;
        json_object_set_new(fake->volumes, name, json_deep_copy(claim));
    } else if (!json_equal((json_t *)claim_labels(there), (json_t *)claim_labels(claim))) {
        err_set(&call->err, ERR_EXISTS, "there is a volume %s already", name);
    }
}

static void fake_volume_delete(void *self, const char *name, executor_volume_fn *done, void *owner)
{
    struct fake_executor *fake = self;
    struct fake_volume_call *call = volume_call(fake, done, owner);
    if (json_object_del(fake->volumes, name) != 0) {
        err_set(&call->err, ERR_NOT_FOUND, "there is no volume %s", name);
    }
}

static void fake_volume_cancel(void *self, void *owner)
{
    struct fake_executor *fake = self;
    for (struct fake_volume_call *call = fake->volume_calls; call != NULL; call = call->next) {
        if (call->owner == owner) {
            call->done = NULL;
        }
    }
}

const json_t *fake_volumes(const struct fake_executor *fake)
{
    return fake->volumes;
}

size_t fake_volumes_created(const struct fake_executor *fake)
{
    return fake->volumes_created;
}

void fake_volumes_hold(struct fake_executor *fake, bool hold)
{
    fake->volumes_held = hold;
    for (struct fake_volume_call *call = fake->volume_calls; !hold && call != NULL;
         call = call->next) {
        loop_defer(fake->loop, &call->turn, fake_volume_on_turn, call);
    }
}

static void fake_free(void *self UNUSED)
{
}

static void fake_ignored(void *self, const json_t *container, struct buf *out)
{
    (void)container;
    buf_adds(out, ((struct fake_executor *)self)->ignored);
}

void fake_ignores(struct fake_executor *fake, const char *names)
{
    snprintf(fake->ignored, sizeof(fake->ignored), "%s", names);
}

static const struct executor_ops fake_ops = {
    .name = "fake",
    .listen = fake_listen,
    .work_dir = fake_work_dir,
    .artifact_path = fake_artifact_path,
    .start = fake_start,
    .cancel = fake_cancel,
    .forget = fake_forget,
    .logs = fake_logs,
    .purge = fake_purge,
    .ignored = fake_ignored,
    .volume_create = fake_volume_create,
    .volume_delete = fake_volume_delete,
    .volume_cancel = fake_volume_cancel,
    .free = fake_free,
};

struct fake_executor *fake_executor_new(struct loop *loop, struct executor *out)
{
    struct fake_executor *fake = xcalloc(1, sizeof(*fake));
    fake->loop = loop;
    fake->attempts = map_new(attempt_free);
    fake->wills = map_new(free);
    fake->outputs = map_new(free);
    buf_init(&fake->order, 16 * 1024 * 1024);
    fake->volumes = json_object();
    out->ops = &fake_ops;
    out->self = fake;
    return fake;
}

void fake_executor_free(struct fake_executor *fake)
{
    loop_defer_cancel(fake->loop, &fake->deliver);
    while (fake->volume_calls != NULL) {
        struct fake_volume_call *call = fake->volume_calls;
        fake->volume_calls = call->next;
        loop_defer_cancel(fake->loop, &call->turn);
        free(call);
    }
    json_decref(fake->volumes);
    map_free(fake->attempts);
    map_free(fake->wills);
    map_free(fake->outputs);
    buf_done(&fake->order);
    free(fake);
}

void fake_will(struct fake_executor *fake, const char *task, int attempt, struct fake_end end)
{
    char *key CLEANUP(cleanup_free) = xasprintf("%s#%d", task, attempt);
    struct fake_end *copy = xmalloc(sizeof(*copy));
    *copy = end;
    map_put(fake->wills, key, copy);
}

void fake_output(struct fake_executor *fake, const char *task, const char *name, const char *text)
{
    char *key CLEANUP(cleanup_free) = xasprintf("%s/%s", task, name);
    map_put(fake->outputs, key, xstrdup(text));
}

bool fake_finish(struct fake_executor *fake, const char *task, struct fake_end end)
{
    for (struct fake_attempt *a = fake->all; a != NULL; a = a->next) {
        if (!a->has_ended && strcmp(a->task, task) == 0) {
            end_attempt(fake, a, end);
            return true;
        }
    }
    return false;
}

size_t fake_begun(const struct fake_executor *fake, const char *task)
{
    size_t count = 0;
    for (const struct fake_attempt *a = fake->all; a != NULL; a = a->next) {
        count += task == NULL || strcmp(a->task, task) == 0;
    }
    return count;
}

size_t fake_starts(const struct fake_executor *fake, const char *task)
{
    size_t count = 0;
    for (const struct fake_attempt *a = fake->all; a != NULL; a = a->next) {
        count += task == NULL || strcmp(a->task, task) == 0 ? a->starts : 0;
    }
    return count;
}

size_t fake_forgotten(const struct fake_executor *fake)
{
    return fake->forgotten;
}

size_t fake_purged(const struct fake_executor *fake)
{
    return fake->purged;
}

size_t fake_running(const struct fake_executor *fake)
{
    return fake->running;
}

size_t fake_running_max(const struct fake_executor *fake)
{
    return fake->running_max;
}

const char *fake_order(const struct fake_executor *fake)
{
    return buf_str(&fake->order);
}

static const struct fake_attempt *find_last(const struct fake_executor *fake, const char *task)
{
    for (const struct fake_attempt *a = fake->all; a != NULL; a = a->next) {
        if (strcmp(a->task, task) == 0) {
            return a;
        }
    }
    return NULL;
}

const json_t *fake_work_order(const struct fake_executor *fake, const char *task)
{
    const struct fake_attempt *a = find_last(fake, task);
    return a == NULL ? NULL : a->order;
}

const json_t *fake_container(const struct fake_executor *fake, const char *task)
{
    const struct fake_attempt *a = find_last(fake, task);
    return a == NULL ? NULL : a->container;
}
