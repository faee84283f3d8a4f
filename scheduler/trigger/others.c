/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the active runs of a recurring run to end, because a new one is to take their place. */
#include "trigger/ticker.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "scheduler/run.h"

#define HATCH_MAX 500

struct others {
    struct ticker *t;
    struct id recurring_run_id, except; /* except may be empty */
    int64_t max;
    bool at_once; /* exit tasks are not run either: asked twice */
    bool settles, has_failed;
    bool is_left; /* the ticker has gone */
    unsigned pending;
    struct run_hatching *hatching;
    struct others *prev, *next;
};

static void others_unlink(struct others *o)
{
    if (o->is_left) {
        return;
    }
    *(o->prev != NULL ? &o->prev->next : &o->t->others) = o->next;
    if (o->next != NULL) {
        o->next->prev = o->prev;
    }
}

static void others_drop_one(struct others *o)
{
    if (--o->pending == 0) {
        others_unlink(o);
        if (o->settles && !o->has_failed && !o->is_left) {
            recurring_settle(o->t, o->recurring_run_id.text, o->except.text);
        }
        free(o);
    }
}

static void on_canceled(void *owner, const json_t *record, const struct err *err)
{
    struct others *o = owner;
    if (err != NULL) {
        o->has_failed |= err->code != ERR_NOT_FOUND;
        LOG_WARN("a run could not be asked to end", "recurring_run=%s error=%s",
            o->recurring_run_id.text, LOG_Q(err->msg));
    } else if (!o->is_left && o->t->set.engine != NULL) {
        engine_wake(o->t->set.engine, jget_str(record, "id", ""));
    }
    others_drop_one(o);
}

/* Runs are in the order of their creation: those before the one that takes their place. */
static size_t how_many(const struct others *o, const json_t *runs)
{
    size_t count = json_array_size(runs);
    for (size_t i = 0; i < count && o->except.text[0] != '\0'; i++) {
        if (strcmp(jget_str(json_array_get(runs, i), "id", ""), o->except.text) == 0) {
            return i;
        }
    }
    return count;
}

static void on_runs(void *owner, const json_t *runs, const struct err *err)
{
    struct others *o = owner;
    o->has_failed |= err != NULL;
    if (err == NULL && !o->is_left) {
        size_t count = how_many(o, runs);
        for (size_t i = 0; i < count; i++) {
            enum run_state state;
            const json_t *run = json_array_get(runs, i);
            const char *id = jget_str(run, "id", "");
            if (run_state_parse(jget_str(run, "state", ""), &state) != 0 ||
                run_state_is_final(state) || (state == RUN_STATE_CANCELING && !o->at_once)) {
                continue; /* asking twice would be asking to end at once */
            }
            for (int times = o->at_once ? 2 : 1; times > 0; times--) {
                o->pending++;
                run_cancel(o->t->set.store, id, on_canceled, o);
            }
        }
    }
    others_drop_one(o);
}

static void on_hatched(void *owner, const struct id *ids UNUSED, size_t count UNUSED,
    int64_t left UNUSED, const struct err *err UNUSED)
{
    struct others *o = owner;
    o->hatching = NULL;
    /* Active ones are among the newest: those that were catching up may be older by their slot, but
     * lists go by when they were created. */
    run_all(
        o->t->set.store, NULL, o->recurring_run_id.text, (size_t)o->max + HATCH_MAX, on_runs, o);
}

static void others_start(struct ticker *t, const struct others *what)
{
    struct others *o = xcalloc(1, sizeof(*o));
    *o = *what;
    o->t = t;
    o->max = o->max < 1000 ? o->max : 1000;
    o->pending = 1;
    o->next = t->others;
    if (t->others != NULL) {
        t->others->prev = o;
    }
    t->others = o;
    /* Those that were created a moment ago count too. */
    o->hatching = run_hatch(t->set.store, id_shard(o->recurring_run_id.text, t->shard_count), NULL,
        0, HATCH_MAX, t->set.history_max_ticks, on_hatched, o);
}

void others_cancel(struct ticker *t, const struct id *recurring_run_id, int64_t limit, bool at_once,
    const char *except_run_id)
{
    struct others what = {.recurring_run_id = *recurring_run_id, .max = limit, .at_once = at_once};
    if (id_is_valid(except_run_id)) {
        memcpy(what.except.text, except_run_id, ID_LEN);
    }
    others_start(t, &what);
}

void others_cancel_of(struct ticker *t, const struct tick_entry *e)
{
    struct others what = {.recurring_run_id = e->id,
        .max = e->policy.max_concurrency,
        .at_once = e->policy.overlap == OVERLAP_TERMINATE_OTHER,
        .settles = true};
    const char *ending = json_string_value(progress_more(&e->progress, "ending"));
    if (ending != NULL && id_is_valid(ending)) {
        memcpy(what.except.text, ending, ID_LEN);
    }
    others_start(t, &what);
}

void others_stop(struct ticker *t)
{
    while (t->others != NULL) {
        struct others *o = t->others;
        others_unlink(o);
        o->is_left = true;
        if (o->hatching != NULL) {
            run_hatch_cancel(STEAL(o->hatching));
            others_drop_one(o);
        } /* else what is under way ends by itself */
    }
}
