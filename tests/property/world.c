/* SPDX-License-Identifier: Apache-2.0 */
/* See world.h. */
#include "tests/property/world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/util.h"

/* ---- the world ---- */

struct world *world_new(void)
{
    void *memory =
        mmap(NULL, sizeof(struct world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void world_reset(struct world *world, uint64_t seed)
{
    world->random = seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
    world->shift_us = 0;
    world->cancels_asked = 0;
    world->running = world->forgotten = world->attempt_count = world->event_count = 0;
}

uint32_t world_random(struct world *world, uint32_t below)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (uint32_t)(world->random >> 32) % below;
}

void world_tell(struct world *world, char kind, uint32_t attempt)
{
    if (world->event_count < WORLD_EVENTS_MAX) {
        world->events[world->event_count] = (struct world_event){kind, attempt};
        world->event_count++;
    }
}

json_t *world_trace(const struct world *world)
{
    json_t *trace = json_array();
    for (uint32_t i = 0; i < world->event_count; i++) {
        const struct world_event *event = &world->events[i];
        char kind[2] = {event->kind, '\0'};
        bool is_of_run = strchr("KCL", event->kind) != NULL;
        const struct world_attempt *a = &world->attempts[event->attempt];
        json_array_append_new(trace,
            is_of_run ? json_pack("[s]", kind) : json_pack("[s,s,i]", kind, a->path, a->attempt));
    }
    return trace;
}

static uint32_t world_find(const struct world *world, const struct attempt_name *name)
{
    for (uint32_t i = 0; i < world->attempt_count; i++) {
        const struct world_attempt *a = &world->attempts[i];
        if (a->attempt == name->attempt && strcmp(a->task_id, name->task_id) == 0) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* Written before it is counted: this process may be killed at any moment. */
static uint32_t world_add(struct world *world, const struct attempt_name *name, const char *path)
{
    assert(world->attempt_count < WORLD_ATTEMPTS_MAX && strlen(path) < WORLD_PATH_MAX);
    struct world_attempt *a = &world->attempts[world->attempt_count];
    *a = (struct world_attempt){.attempt = name->attempt};
    snprintf(a->task_id, sizeof(a->task_id), "%s", name->task_id);
    snprintf(a->path, sizeof(a->path), "%s", path);
    world_tell(world, 'B', world->attempt_count);
    world->running++;
    return world->attempt_count++;
}

static void world_end(struct world *world, uint32_t i)
{
    assert(!world->attempts[i].has_ended);
    world->attempts[i].has_ended = true;
    world->running--;
    world_tell(world, 'E', i);
}

/* ---- the executor ---- */

/* What this engine knows of an attempt. */
struct known {
    json_t *order;
    bool wants_done, is_ready;
    uint32_t next_ready;
};

struct world_executor {
    struct loop *loop;
    struct world *world;
    struct executor_listener listener;
    const json_t *script;
    bool may_restart;
    struct known *known;
    uint32_t known_end;               /* those from here on were never touched */
    uint32_t ready_first, ready_last; /* UINT32_MAX: none */
    struct deferred deliver;
};

static const json_t *script_of(const struct world_executor *we, const struct world_attempt *a)
{
    return json_object_get(we->script, a->path);
}

static enum attempt_state end_of(const struct world_executor *we, const struct world_attempt *a)
{
    const char *ends = jget_str(script_of(we, a), "ends", "S");
    size_t last = strlen(ends) - 1, at = (size_t)a->attempt < last ? (size_t)a->attempt : last;
    return a->is_canceled    ? ATTEMPT_STATE_CANCELED
           : ends[at] == 'F' ? ATTEMPT_STATE_FAILED
           : ends[at] == 'L' ? ATTEMPT_STATE_LOST
                             : ATTEMPT_STATE_SUCCEEDED;
}

static json_t *report_of(const struct world_executor *we, uint32_t i)
{
    const json_t *script = script_of(we, &we->world->attempts[i]);
    const json_t *order = we->known[i].order;
    json_t *report = json_pack("{s:i,s:s,s:i,s:s,s:s}", "v", 1, "state", "SUCCEEDED", "exit_code",
        0, "reason", "", "log_tail", "");
    const char *file = jget_str(script, "output_file", NULL);
    json_object_set_new(report, "output_file", file == NULL ? json_null() : json_string(file));
    json_t *params = json_object_get(script, "params");
    json_object_set_new(report, "params", params == NULL ? json_object() : json_incref(params));
    json_t *artifacts = json_object();
    size_t k, m;
    json_t *place, *name;
    json_array_foreach(json_object_get(order, "outputs"), k, place)
    {
        json_t *stored = json_pack("{s:O,s:O}", "uri", json_object_get(place, "uri"), "path",
            json_object_get(place, "path"));
        bool exists = true;
        json_array_foreach(json_object_get(script, "missing"), m, name)
        {
            exists = exists && !str_eq(json_string_value(name), jget_str(place, "name", ""));
        }
        json_object_set_new(stored, "exists", json_boolean(exists));
        json_object_set_new(artifacts, jget_str(place, "name", ""), stored);
    }
    json_object_set_new(report, "artifacts", artifacts);
    return report;
}

static void deliver_one(struct world_executor *we, uint32_t i)
{
    struct world_attempt *a = &we->world->attempts[i];
    struct known *known = &we->known[i];
    known->is_ready = false;
    if (!known->wants_done) {
        return;
    }
    known->wants_done = false;
    enum attempt_state state = end_of(we, a);
    json_t *report CLEANUP(json_decrefp) =
        state == ATTEMPT_STATE_SUCCEEDED ? report_of(we, i) : NULL;
    struct attempt_name name = {"", a->task_id, a->attempt};
    const json_t *order = known->order;
    name.run_id = jget_str(order, "run_id", "");
    struct attempt_result result = {
        .state = state,
        .exit_code = state == ATTEMPT_STATE_SUCCEEDED  ? 0
                     : state == ATTEMPT_STATE_CANCELED ? 143
                     : state == ATTEMPT_STATE_LOST     ? -1
                                                       : 1,
        .reason = state == ATTEMPT_STATE_SUCCEEDED ? "" : "as the script says",
        .log_tail = "",
        .report = report,
        .ended_us = clock_now_us(),
    };
    world_tell(we->world, 'D', i);
    we->listener.on_done(we->listener.owner, &name, &result);
}

static void deliver(void *owner)
{
    struct world_executor *we = owner;
    while (we->ready_first != UINT32_MAX) {
        uint32_t i = we->ready_first;
        we->ready_first = we->known[i].next_ready;
        deliver_one(we, i);
    }
}

static void make_ready(struct world_executor *we, uint32_t i)
{
    struct known *known = &we->known[i];
    if (known->is_ready || !known->wants_done || !we->world->attempts[i].has_ended) {
        return;
    }
    known->is_ready = true;
    known->next_ready = UINT32_MAX;
    *(we->ready_first == UINT32_MAX ? &we->ready_first : &we->known[we->ready_last].next_ready) = i;
    we->ready_last = i;
    loop_defer(we->loop, &we->deliver, deliver, we);
}

static void we_listen(void *self, const struct executor_listener *listener)
{
    ((struct world_executor *)self)->listener = *listener;
}

static void we_work_dir(void *self UNUSED, const struct attempt_name *name, struct buf *out)
{
    buf_addf(out, "/world/%s/%d", name->task_id, name->attempt);
}

static void we_artifact_path(
    void *self UNUSED, const struct attempt_name *name UNUSED, const char *uri, struct buf *out)
{
    buf_adds(out, str_starts(uri, "file://") ? uri + strlen("file://") : uri);
}

static void we_start(void *self, const struct attempt_name *name, const json_t *order,
    const json_t *container UNUSED)
{
    struct world_executor *we = self;
    uint32_t i = world_find(we->world, name);
    if (i == UINT32_MAX) {
        i = world_add(we->world, name, jget_str(order, "task", ""));
    } else if (we->world->attempts[i].is_forgotten) {
        world_tell(we->world, 'A', i);
    } else if (we->known[i].wants_done && !we->may_restart) {
        world_tell(we->world, 'S', i);
    }
    we->known_end = i >= we->known_end ? i + 1 : we->known_end;
    json_decref(we->known[i].order);
    we->known[i].order = json_deep_copy(order);
    we->known[i].wants_done = true;
    make_ready(we, i);
}

static void we_cancel(void *self, const struct attempt_name *name)
{
    struct world_executor *we = self;
    uint32_t i = world_find(we->world, name);
    if (i != UINT32_MAX && !we->world->attempts[i].has_ended) {
        we->world->attempts[i].is_canceled = true;
        world_end(we->world, i);
        make_ready(we, i);
    }
}

static void we_forget(void *self, const struct attempt_name *name)
{
    struct world_executor *we = self;
    uint32_t i = world_find(we->world, name);
    if (i != UINT32_MAX && !we->world->attempts[i].is_forgotten) {
        we->world->attempts[i].is_forgotten = true;
        we->world->forgotten++;
        world_tell(we->world, 'F', i);
    }
}

struct no_logs {
    void (*done)(void *owner, const char *text, size_t len, const struct err *err);
    void *owner;
};

static void we_no_logs(void *owner)
{
    struct no_logs *logs = owner;
    logs->done(logs->owner, "", 0, NULL);
    free(logs);
}

static void we_logs(void *self, const struct attempt_name *name UNUSED, int64_t max_bytes UNUSED,
    void (*done)(void *owner, const char *text, size_t len, const struct err *err), void *owner)
{
    struct no_logs *logs = xcalloc(1, sizeof(*logs));
    *logs = (struct no_logs){done, owner};
    loop_defer_once(((struct world_executor *)self)->loop, we_no_logs, logs);
}

static void we_purge(void *self UNUSED, const char *run_id UNUSED)
{
}

static void we_free(void *self UNUSED)
{
}

static const struct executor_ops we_ops = {
    .name = "world",
    .listen = we_listen,
    .work_dir = we_work_dir,
    .artifact_path = we_artifact_path,
    .start = we_start,
    .cancel = we_cancel,
    .forget = we_forget,
    .logs = we_logs,
    .purge = we_purge,
    .free = we_free,
};

struct world_executor *world_executor_new(
    struct loop *loop, struct world *world, struct executor *out)
{
    struct world_executor *we = xcalloc(1, sizeof(*we));
    we->loop = loop;
    we->world = world;
    we->known = xcalloc(WORLD_ATTEMPTS_MAX, sizeof(*we->known));
    we->ready_first = UINT32_MAX;
    *out = (struct executor){.ops = &we_ops, .self = we};
    return we;
}

void world_executor_begin(struct world_executor *we, const json_t *script, bool may_restart)
{
    loop_defer_cancel(we->loop, &we->deliver);
    for (uint32_t i = 0; i < we->known_end; i++) {
        json_decref(we->known[i].order);
        we->known[i] = (struct known){0};
    }
    we->known_end = 0;
    we->ready_first = UINT32_MAX;
    we->script = script;
    we->may_restart = may_restart;
}

void world_executor_free(struct world_executor *we)
{
    world_executor_begin(we, NULL, false);
    free(we->known);
    free(we);
}

bool world_executor_end_one(struct world_executor *we)
{
    struct world *world = we->world;
    if (world->running == 0) {
        return false;
    }
    uint32_t nth = world_random(world, world->running);
    for (uint32_t i = 0; i < world->attempt_count; i++) {
        if (!world->attempts[i].has_ended && nth-- == 0) {
            world_end(world, i);
            make_ready(we, i);
            return true;
        }
    }
    return false;
}
