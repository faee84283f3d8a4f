/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts whose end is saved, and that the executor may forget. Not at once: a Redis that syncs
 * its file every second loses what it confirmed last when the power goes, and the attempt would
 * run a second time if nobody remembered its result. So an attempt is forgotten when Redis still
 * answers on the same connection some time after the save. The logs of a run that was deleted go
 * behind its attempts, for forgetting one keeps its log.
 */
#include "run/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/map.h"
#include "base/store.h"
#include "base/util.h"

#define PURGE (-1)

struct farewell {
    struct id run, task;
    int attempt;    /* PURGE: the run itself */
    int64_t due_us; /* monotonic */
    struct farewell *next;
};

struct farewells {
    struct engine *engine;
    struct farewell *first, *last; /* in the order of due_us */
    struct map *runs;              /* id -> how many are in the list */
    struct timer timer;
    struct store_call *ping;
    int64_t asked_us;    /* when the ping was sent */
    uint64_t connection; /* on which all that is in the list was saved */
};

static void farewell_say(struct engine *engine, const struct attempt_name *name)
{
    const struct executor *executor = &engine->set.executor;
    FAULT("run.attempt.before_forget");
    executor->ops->forget(executor->self, name);
    FAULT("run.attempt.after_forget");
}

static void farewell_purge(struct engine *engine, const char *run_id)
{
    const struct executor *executor = &engine->set.executor;
    if (executor->ops->purge != NULL) {
        executor->ops->purge(executor->self, run_id);
    }
}

/* Runs with none in the list are found without looking through it: that is nearly all. */
static void farewell_count(struct farewells *f, const char *run_id, int change)
{
    uintptr_t count = (uintptr_t)map_get(f->runs, run_id) + (uintptr_t)change;
    if (count == 0) {
        map_remove(f->runs, run_id);
    } else {
        map_put(f->runs, run_id, (void *)count);
    }
}

static struct farewell *farewell_pop(struct farewells *f)
{
    struct farewell *one = f->first;
    farewell_count(f, one->run.text, -1);
    f->first = one->next;
    f->last = f->first == NULL ? NULL : f->last;
    return one;
}

static void farewell_say_first(struct farewells *f)
{
    struct farewell *one = farewell_pop(f);
    struct attempt_name name = {
        .run_id = one->run.text, .task_id = one->task.text, .attempt = one->attempt};
    if (one->attempt == PURGE) {
        farewell_purge(f->engine, one->run.text);
    } else {
        farewell_say(f->engine, &name);
    }
    free(one);
}

static void farewells_arm(struct farewells *f)
{
    if (f->first != NULL && f->ping == NULL && !timer_is_armed(&f->timer)) {
        int64_t left_us = f->first->due_us - clock_mono_us();
        timer_start_ms(&f->timer, left_us / US_PER_MS + 1);
    }
}

/* Redis was away: all of it is written there for good only some time from now. */
static void farewells_check_connection(struct farewells *f)
{
    uint64_t connection = store_connections(f->engine->set.store);
    if (f->connection == connection) {
        return;
    }
    f->connection = connection;
    int64_t due_us = clock_mono_us() + f->engine->set.forget_after_ms * US_PER_MS;
    for (struct farewell *one = f->first; one != NULL; one = one->next) {
        one->due_us = due_us;
    }
}

static void on_pong(void *owner, redisReply *reply UNUSED, const struct err *err)
{
    struct farewells *f = owner;
    f->ping = NULL;
    farewells_check_connection(f);
    while (err == NULL && f->first != NULL && f->first->due_us <= f->asked_us) {
        farewell_say_first(f);
    }
    farewells_arm(f);
}

static void farewells_ask(void *owner)
{
    struct farewells *f = owner;
    farewells_check_connection(f);
    f->asked_us = clock_mono_us();
    f->ping = store_cmd(f->engine->set.store, on_pong, f, "PING");
}

/* task_id NULL: the run itself. */
static void farewell_later(
    struct farewells *f, const char *run_id, const char *task_id, int attempt)
{
    farewells_check_connection(f);
    struct farewell *one = xcalloc(1, sizeof(*one));
    memcpy(one->run.text, run_id, ID_LEN);
    if (task_id != NULL) {
        memcpy(one->task.text, task_id, ID_LEN);
    }
    one->attempt = attempt;
    one->due_us = clock_mono_us() + f->engine->set.forget_after_ms * US_PER_MS;
    *(f->first == NULL ? &f->first : &f->last->next) = one;
    f->last = one;
    farewell_count(f, one->run.text, 1);
    farewells_arm(f);
}

void farewell_add(struct farewells *f, const struct attempt_name *name)
{
    if (f->engine->set.forget_after_ms <= 0 || f->engine->is_stopping) {
        farewell_say(f->engine, name);
    } else {
        farewell_later(f, name->run_id, name->task_id, name->attempt);
    }
}

void farewell_add_purge(struct farewells *f, const char *run_id)
{
    if (map_has(f->runs, run_id)) {
        farewell_later(f, run_id, NULL, PURGE);
    } else {
        farewell_purge(f->engine, run_id);
    }
}

bool farewells_has(const struct farewells *f, const char *run_id)
{
    return map_has(f->runs, run_id);
}

void farewells_recall(struct farewells *f, const char *run_id)
{
    if (!map_has(f->runs, run_id)) {
        return;
    }
    map_remove(f->runs, run_id);
    struct farewell **link = &f->first;
    f->last = NULL;
    while (*link != NULL) {
        struct farewell *one = *link;
        if (strcmp(one->run.text, run_id) == 0) {
            *link = one->next;
            free(one);
        } else {
            f->last = one;
            link = &one->next;
        }
    }
}

void farewells_say_all(struct farewells *f)
{
    while (f->first != NULL) {
        farewell_say_first(f);
    }
}

struct farewells *farewells_new(struct engine *engine)
{
    struct farewells *f = xcalloc(1, sizeof(*f));
    f->engine = engine;
    f->runs = map_new(NULL);
    timer_init(&f->timer, engine->set.loop, farewells_ask, f);
    return f;
}

void farewells_free(struct farewells *f)
{
    while (f->first != NULL) {
        free(farewell_pop(f));
    }
    store_cancel(f->ping);
    timer_done(&f->timer);
    map_free(f->runs);
    free(f);
}
