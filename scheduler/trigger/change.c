/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing recurring runs: enable, disable, pause, skip, edit, delete. A change is worked out from
 * the record as it was read and put in its place if nobody was faster; else it is worked out anew.
 * Going on after a pause or an edit forgets what was missed; what was missed while the daemon was
 * away is caught up as the policy says.
 */
#include "scheduler/recurring.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "scheduler/pools.h"
#include "trigger/op.h"
#include "trigger/policy.h"
#include "trigger/progress.h"
#include "trigger/slots.h"
#include "trigger/tick.h"
#include "trigger/ticker.h"
#include "trigger_scripts.h"

/* One that is catching up fires again and again between our look and our write: each try is as
 * likely to come through as the last, and costs little. */
#define TRIES_MAX 50
#define SKIP_MAX 1000000
#define NOTE_MAX 1024
#define TEXT_MAX ((size_t)64 << 10)

/* A change as it is being worked out. */
struct change {
    const json_t *record;
    int64_t now_us;
    struct policy policy;
    struct schedule *schedule; /* NULL: fires once */
    struct schedule_window window;
    struct progress progress;
    bool is_noop, is_quiet; /* is_quiet: nobody has changed it */
    json_t *doc;            /* own; NULL: as it is */
    struct swap swap;
    char *lines[2], *events[3];
};

/* -1 and err: it cannot be done. */
typedef int change_fn(struct recurring_op *op, struct change *c, struct err *err);
struct change_kind {
    change_fn *fn;
    bool is_fenced; /* the ticker's own doing */
};

static void change_read(struct recurring_op *op);

/* ---- parts of changes ---- */

static void add_event(
    struct recurring_op *op, struct change *c, const char *name, const char *type, json_t *more)
{
    struct id id;
    id_derive(&id, op->id.text, name);
    json_t *event CLEANUP(json_decrefp) = json_pack("{s:s,s:s,s:I,s:{s:s,s:s,s:s,s:s}}", "id",
        id.text, "type", type, "time_us", (json_int_t)c->now_us, "data", "recurring_run_id",
        op->id.text, "recurring_run_name", jget_str(c->record, "name", ""), "experiment_id",
        jget_str(c->record, "experiment_id", ""), "pipeline_name",
        jget_str(c->record, "pipeline_name", ""));
    jset_str(json_object_get(event, "data"), "pipeline_id", jget_str(c->record, "pipeline_id", ""));
    json_object_update(json_object_get(event, "data"), more);
    json_decref(more);
    c->events[c->swap.event_count++] = jtext(event);
    c->swap.events = c->events;
}

/* What was done to it. */
static void add_change_event(
    struct recurring_op *op, struct change *c, const char *type, const char *reason)
{
    char name[96];
    snprintf(name, sizeof name, "%s/%" PRId64, type, c->now_us);
    add_event(op, c, name, type, json_pack("{s:s}", "reason", reason));
}

/* `count` ticks, from slot_us to to_us: their line, their number, their event. */
static void add_ticks(struct recurring_op *op, struct change *c, int64_t slot_us,
    enum tick_outcome outcome, int64_t to_us, int64_t count, const char *why)
{
    struct buf detail, line;
    buf_init(&detail, 4096);
    buf_init(&line, 8192);
    tick_range_detail(&detail, to_us, count, why);
    tick_ledger_line(
        &line, slot_us, outcome, c->progress.generation, c->now_us, "-", buf_str(&detail));
    buf_done(&detail);
    op->passed[outcome] = count;
    c->lines[c->swap.line_count++] = buf_steal(&line, NULL);
    c->swap.lines = c->lines;
    if (outcome == TICK_FAILED_TO_START) {
        return; /* its event has the error in full */
    }
    char name[128];
    const char *type =
        outcome == TICK_SKIPPED_WINDOW ? "recurring_run.missed" : "recurring_run.skipped";
    snprintf(name, sizeof name, "%s/%" PRId64 "/%" PRId64 "/%" PRId64, type, c->progress.generation,
        slot_us, c->now_us);
    add_event(op, c, name, type,
        json_pack("{s:I,s:I,s:s,s:I,s:I,s:s}", "scheduled_us", (json_int_t)slot_us, "lateness_us",
            (json_int_t)(c->now_us > slot_us ? c->now_us - slot_us : 0), "outcome",
            tick_outcome_name(outcome), "ticks", (json_int_t)count, "to_us", (json_int_t)to_us,
            "reason", why));
}

/* The ticks that have passed unseen, up to this instant. */
static void add_missed(struct recurring_op *op, struct change *c, int64_t until_us,
    enum tick_outcome outcome, const char *why)
{
    struct schedule_window each = c->window;
    each.no_catchup = false;
    int64_t first = c->progress.next_us, slot = first, last = first, count = 0;
    while (slot > 0 && slot <= until_us && count < TICK_COUNT_MAX) {
        last = slot;
        count++;
        slot = c->schedule == NULL ? 0 : slot_after(c->schedule, &each, slot, slot);
    }
    if (slot > 0 && slot <= until_us) {
        last = slot_latest(c->schedule, &each, slot, until_us); /* more than anybody counts */
    }
    if (count > 0) {
        add_ticks(op, c, first, outcome, last, count, why);
    }
}

/* Those that wait will not fire any more. */
static void drop_waits(struct recurring_op *op, struct change *c, const char *why)
{
    const json_t *waits = progress_more(&c->progress, "waits");
    size_t count = json_array_size(waits);
    if (count > 0) {
        add_ticks(op, c, json_integer_value(json_array_get(waits, 0)), TICK_DROPPED_BUFFER,
            json_integer_value(json_array_get(waits, count - 1)), (int64_t)count, why);
        progress_set(&c->progress, "waits", NULL);
    }
    c->swap.mark = "0";
}

/* From the first slot after this instant on; intervals keep their phase. */
static void go_on_after(struct change *c, int64_t at_us)
{
    struct slot_state state = {
        .last_us = c->progress.last_us,
        .anchor_us = c->progress.anchor_us,
        .next_us = c->progress.next_us,
    };
    slot_resume(c->schedule, &c->window, &state, at_us);
    c->progress.anchor_us = state.anchor_us;
    c->progress.next_us = policy_is_over(&c->policy, c->progress.index) ? 0 : state.next_us;
}

/* ---- kinds of changes ---- */

static int enable(struct recurring_op *op, struct change *c, struct err *err)
{
    (void)err;
    int64_t at_us = c->now_us;
    if (op->kind->is_fenced) {
        /* By itself it goes on from the end of the pause, however late that was noticed. */
        int64_t until_us = jget_i64(progress_more(&c->progress, "pause"), "until_us", 0);
        c->is_noop = until_us == 0 || until_us > c->now_us; /* it has got another end */
        at_us = until_us - 1;
    }
    if (c->progress.enabled || c->is_noop) {
        c->is_noop = true;
        return 0;
    }
    if (!slot_is_backfill(c->record)) { /* that is all past: its pause has only held it up */
        at_us -= policy_offset_us(&c->policy, op->id.text);
        add_missed(op, c, at_us, TICK_SKIPPED_PAUSED, "paused");
        go_on_after(c, at_us);
    }
    c->progress.enabled = true;
    progress_set(&c->progress, "pause", NULL);
    progress_set(&c->progress, "error", NULL);
    c->swap.enabled = 1;
    c->swap.mark = "0";
    if (c->policy.pause_after_failures > 0) {
        c->swap.fails = "0";
    }
    add_change_event(op, c, "recurring_run.enabled", "");
    return 0;
}

static int disable(struct recurring_op *op, struct change *c, struct err *err)
{
    (void)err;
    if (!c->progress.enabled && op->changes == NULL) {
        c->is_noop = true;
        return 0;
    }
    bool waits_in_place =
        jget_str(c->record, "mark", "")[0] != '\0' && progress_more(&c->progress, "waits") == NULL;
    if (slot_is_backfill(c->record)) {
        c->swap.mark = "0";
    } else if (waits_in_place) {
        int64_t at_us = c->now_us - policy_offset_us(&c->policy, op->id.text);
        add_missed(op, c, at_us, TICK_DROPPED_BUFFER, "paused");
        go_on_after(c, at_us);
        c->swap.mark = "0";
    } else {
        drop_waits(op, c, "paused");
    }
    c->swap.enabled = c->progress.enabled ? -1 : 0;
    c->progress.enabled = false;
    json_t *pause = op->changes != NULL ? json_deep_copy(op->changes) : NULL;
    if (pause != NULL) {
        json_object_set_new(pause, "since_us", json_integer(c->now_us));
    }
    const char *note = jget_str(pause, "note", "");
    add_change_event(op, c, "recurring_run.disabled", note);
    progress_set(&c->progress, "pause", pause);
    return 0;
}

static int disable_failing(struct recurring_op *op, struct change *c, struct err *err)
{
    int64_t fails = jget_i64(c->record, "failures", 0);
    if (c->policy.pause_after_failures == 0 || fails < c->policy.pause_after_failures ||
        !c->progress.enabled) {
        c->is_noop = true; /* somebody has repaired it */
        return 0;
    }
    char note[96];
    snprintf(note, sizeof note, "%" PRId64 " runs in a row have failed", fails);
    json_decref(op->changes);
    op->changes = json_pack("{s:s,s:s}", "note", note, "by", "failures");
    return disable(op, c, err);
}

/* The tick that cannot fire is tried again and again; the ledger has it once for each reason. */
static int note_error(struct recurring_op *op, struct change *c, struct err *err)
{
    (void)err;
    const char *error = jget_str(op->changes, "error", "");
    if (strcmp(progress_error(&c->progress), error) == 0) {
        c->is_noop = true;
        return 0;
    }
    progress_set(&c->progress, "error", json_string(error));
    /* Those that wait come first. */
    const json_t *waits = progress_more(&c->progress, "waits");
    int64_t slot_us = waits != NULL && jget_str(c->record, "mark", "")[0] == '\0'
                          ? json_integer_value(json_array_get(waits, 0))
                          : c->progress.next_us;
    add_ticks(op, c, slot_us, TICK_FAILED_TO_START, slot_us, 1, error);
    add_change_event(op, c, "recurring_run.failed_to_start", error);
    return 0;
}

static int settle(struct recurring_op *op, struct change *c, struct err *err)
{
    (void)err;
    const char *ending = json_string_value(progress_more(&c->progress, "ending"));
    if (ending == NULL || strcmp(ending, jget_str(op->changes, "ending", "")) != 0) {
        c->is_noop = true; /* a later tick has taken their place */
        return 0;
    }
    progress_set(&c->progress, "ending", NULL);
    c->is_quiet = true;
    return 0;
}

static int skip(struct recurring_op *op, struct change *c, struct err *err)
{
    if (op->number < 0 || op->number > SKIP_MAX) {
        return err_set(
            err, ERR_INVALID, "n: it is %" PRId64 ", allowed are 0 to %d", op->number, SKIP_MAX);
    }
    progress_set(&c->progress, "skip", op->number > 0 ? json_integer(op->number) : NULL);
    return 0;
}

/* What says when it fires. */
static const char *const schedule_members[] = {"cron", "time_zone", "interval_s", "start_us",
    "end_us", "schedules", "profile", "dst", "include", "exclude", NULL};
static const char *const other_members[] = {"name", "description", "parameters", "spec",
    "pipeline_name", "pipeline_id", "version_id", "pipeline_root", "service_account", "no_catchup",
    "artifacts", NULL};

/* defaults: what counts when a member is taken out. */
static int edit_member(struct change *c, const json_t *defaults, const char *key, json_t *value,
    bool *is_rescheduled, struct err *err)
{
    bool is_schedule = is_one_of(key, schedule_members);
    if (!is_schedule && !is_one_of(key, other_members) && !is_one_of(key, policy_members) &&
        !is_one_of(key, pool_members)) {
        return err_set(err, ERR_INVALID, "%.60s: this cannot be changed", key);
    }
    json_t *before = json_object_get(c->doc, key);
    json_t *after = json_is_null(value) ? json_object_get(defaults, key) : value;
    if (before == after || (before != NULL && after != NULL && json_equal(before, after))) {
        return 0;
    }
    *is_rescheduled |= is_schedule;
    if (after == NULL) {
        json_object_del(c->doc, key);
    } else {
        json_object_set_new(c->doc, key, json_deep_copy(after));
    }
    return 0;
}

static int edit(struct recurring_op *op, struct change *c, struct err *err)
{
    static const char *const not_doc[] = {"generation", "index", "last_us", "anchor_us", "next_us",
        "updated_us", "active", "failures", "waits", "skip", "pause", "error", "progress", "mark",
        "enabled", "waiting", NULL};
    c->doc = json_deep_copy(c->record);
    for (size_t i = 0; not_doc[i] != NULL; i++) {
        json_object_del(c->doc, not_doc[i]);
    }
    json_t *before CLEANUP(json_decrefp) = json_deep_copy(c->doc);
    /* What is taken out counts as it does in a request that does not have it. */
    const struct recurring_request plain = {.max_concurrency = 1};
    json_t *defaults CLEANUP(json_decrefp) =
        recurring_doc_of(&plain, op->id.text, jget_i64(c->record, "created_us", 0));
    bool is_rescheduled = false;
    const char *key;
    json_t *value;
    json_object_foreach(op->changes, key, value)
    {
        if (edit_member(c, defaults, key, value, &is_rescheduled, err) != 0) {
            return -1;
        }
    }
    if (json_equal(before, c->doc)) {
        c->is_noop = true;
        return 0;
    }
    struct schedule *schedule;
    if (recurring_check(c->doc, &schedule, err) != 0) {
        return -1;
    }
    struct policy old = c->policy;
    (void)policy_parse(c->doc, &c->policy, NULL); /* has been checked */
    bool was_over = policy_is_over(&old, c->progress.index);
    bool is_over = policy_is_over(&c->policy, c->progress.index);
    bool forgets = is_rescheduled || (is_over && !was_over);
    if (forgets) { /* by the schedule that it had */
        add_missed(op, c, c->now_us,
            c->progress.enabled ? TICK_SKIPPED_WINDOW : TICK_SKIPPED_PAUSED, "edited");
        drop_waits(op, c, "edited");
    }
    schedule_free(c->schedule);
    c->schedule = schedule;
    slot_window(c->doc, &c->window);
    if (c->policy.overlap != old.overlap || c->policy.max_concurrency > old.max_concurrency) {
        c->swap.mark = "0"; /* what waits for a place may have one now */
    }
    if (is_rescheduled) {
        c->progress.generation++;
        /* An interval's phase begins anew; a calendar goes on with the first slot after now. */
        c->progress.last_us = 0;
        c->progress.anchor_us = c->now_us;
        c->progress.next_us = slot_first_after(c->schedule, &c->window, c->now_us);
    } else if (was_over && !is_over) {
        go_on_after(c, c->now_us);
    }
    if (is_over) {
        c->progress.next_us = 0;
    }
    progress_set(&c->progress, "error", NULL);
    bool counts = jget_i64(c->record, "pause_after_failures", 0) > 0;
    if ((c->policy.pause_after_failures > 0) != counts) {
        c->swap.fails = counts ? "-" : "0";
    }
    return 0;
}

/* ---- carrying them out ---- */

static void change_done(struct change *c)
{
    for (size_t i = 0; i < ARRAY_LEN(c->lines); i++) {
        free(c->lines[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(c->events); i++) {
        free(c->events[i]);
    }
    json_decref(c->doc);
    progress_done(&c->progress);
    schedule_free(c->schedule);
}

/* The ticker's own picture follows what is stored. */
static void ticker_follow(struct recurring_op *op, const json_t *record)
{
    struct tick_shard *s = ticker_shard(op->t, op->id.text);
    struct tick_entry *e = map_get(op->t->entries, op->id.text);
    s->enabled += op->enabled;
    if (e != NULL && e->state != TICK_STATE_READY) {
        e->must_reload = true;
    } else if (e != NULL) {
        shard_load(s, op->id.text);
    } else {
        const json_t *pause = json_object_get(record, "pause");
        bool is_enabled = jget_bool(record, "enabled", false);
        shard_note(s, op->id.text,
            is_enabled ? jget_i64(record, "next_us", 0) : jget_i64(pause, "until_us", 0));
    }
}

static void on_swapped(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    FAULT("recurring.change.after");
    if (err != NULL) {
        recurring_op_finish(op, NULL, err);
        return;
    }
    struct err local = ERR_INIT;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
        reply_int(reply->element[0], 0) == 0) {
        if (++op->tries < TRIES_MAX) {
            change_read(op);
            return;
        }
        err_set(&local, ERR_CONFLICT, "recurring run %s is being changed by others; try again",
            op->id.text);
        recurring_op_finish(op, NULL, &local);
        return;
    }
    json_t *record CLEANUP(json_decrefp) = recurring_record(reply, 1, op->id.text, &local);
    if (record == NULL) {
        recurring_op_finish(op, NULL, &local);
        return;
    }
    for (size_t i = 0; i < TICK_OUTCOME_COUNT; i++) {
        op->t->counts.outcomes[i] += op->passed[i];
    }
    ticker_follow(op, record);
    if (op->t->on_events != NULL) {
        op->t->on_events(op->t->on_events_owner, id_shard(op->id.text, op->t->shard_count));
    }
    recurring_op_finish(op, record, NULL);
}

static int64_t change_due_us(const struct recurring_op *op, const struct change *c)
{
    const struct progress *p = &c->progress;
    bool is_marked = jget_str(c->record, "mark", "")[0] != '\0' && !str_eq(c->swap.mark, "0");
    if (p->enabled && is_marked && progress_more(p, "waits") == NULL) {
        return 0; /* the end of a run brings it back */
    }
    return progress_due_us(p, is_marked, policy_offset_us(&c->policy, op->id.text));
}

static void change_send(struct recurring_op *op, struct change *c)
{
    if (!c->is_quiet) {
        c->progress.updated_us = c->now_us;
    }
    char *to CLEANUP(cleanup_free) = progress_text(&c->progress);
    char *doc CLEANUP(cleanup_free) =
        c->doc != NULL ? recurring_doc_text(c->doc, op->id.text) : NULL;
    c->swap.from = jget_str(c->record, "progress", "");
    c->swap.from_mark = jget_str(c->record, "mark", "");
    c->swap.to = to;
    c->swap.doc = doc;
    c->swap.due_us = change_due_us(op, c);
    c->swap.is_fenced = op->kind->is_fenced;
    op->enabled = c->swap.enabled;
    FAULT("recurring.change.before");
    recurring_op_swap(op, &c->swap, on_swapped);
}

static void change_on_read(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    struct err local = ERR_INIT;
    json_t *record CLEANUP(json_decrefp) = NULL;
    struct change c = {.now_us = ticker_now_us(op->t)};
    memset(op->passed, 0, sizeof op->passed);
    if (err != NULL) {
        err_copy(&local, err);
    } else {
        record = recurring_record(reply->element[0], 0, op->id.text, &local);
        if (record == NULL && local.code == ERR_NONE) {
            err_set(&local, ERR_NOT_FOUND, "recurring run %s does not exist", op->id.text);
        }
    }
    c.record = record;
    const char *progress = jget_str(record, "progress", "");
    if (record == NULL || slot_schedule(record, &c.schedule, &local) != 0 ||
        policy_parse(record, &c.policy, &local) != 0 ||
        progress_parse(progress, strlen(progress), &c.progress, &local) != 0) {
        change_done(&c);
        recurring_op_finish(op, NULL, &local);
        return;
    }
    slot_window(record, &c.window);
    if (op->kind->fn(op, &c, &local) != 0) {
        change_done(&c);
        recurring_op_finish(op, NULL, &local);
    } else if (c.is_noop) {
        change_done(&c);
        recurring_op_finish(op, record, NULL);
    } else {
        change_send(op, &c);
        change_done(&c);
    }
}

static void change_read(struct recurring_op *op)
{
    recurring_op_read(op, change_on_read);
}

/* changes is taken. */
static void change_start(struct ticker *t, const char *id, const struct change_kind *kind,
    json_t *changes, int64_t number, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    op->kind = kind;
    op->changes = changes;
    op->number = number;
    if (recurring_op_id_ok(op, id)) {
        change_read(op);
    }
}

/* ---- the calls ---- */

void recurring_set_enabled(
    struct ticker *t, const char *id, bool enabled, recurring_json_fn *done, void *owner)
{
    static const struct change_kind enabling = {enable, false}, disabling = {disable, false};
    change_start(t, id, enabled ? &enabling : &disabling, NULL, 0, done, owner);
}

void recurring_pause(struct ticker *t, const char *id, const char *note, const char *by,
    int64_t until_us, recurring_json_fn *done, void *owner)
{
    static const struct change_kind pausing = {disable, false};
    json_t *pause = json_object();
    json_object_set_new(pause, "note", json_stringn(note, strnlen(note, NOTE_MAX)));
    json_object_set_new(pause, "by", json_stringn(by, strnlen(by, NOTE_MAX)));
    if (until_us > 0) {
        json_object_set_new(pause, "until_us", json_integer(until_us));
    }
    change_start(t, id, &pausing, pause, 0, done, owner);
}

void recurring_pause_failing(struct ticker *t, const char *id)
{
    static const struct change_kind failing = {disable_failing, true};
    LOG_WARN(
        "recurring run pauses: too many of its runs have failed in a row", "recurring_run=%s", id);
    change_start(t, id, &failing, NULL, 0, NULL, NULL);
}

void recurring_note_error(struct ticker *t, const char *id, const char *error)
{
    static const struct change_kind noting = {note_error, true};
    change_start(t, id, &noting, json_pack("{s:s}", "error", error), 0, NULL, NULL);
}

void recurring_settle(struct ticker *t, const char *id, const char *ending)
{
    static const struct change_kind settling = {settle, true};
    change_start(t, id, &settling, json_pack("{s:s}", "ending", ending), 0, NULL, NULL);
}

void recurring_skip(
    struct ticker *t, const char *id, int64_t n, recurring_json_fn *done, void *owner)
{
    static const struct change_kind skipping = {skip, false};
    change_start(t, id, &skipping, NULL, n, done, owner);
}

void recurring_edit(
    struct ticker *t, const char *id, const json_t *changes, recurring_json_fn *done, void *owner)
{
    static const struct change_kind editing = {edit, false};
    change_start(t, id, &editing, json_deep_copy(changes), 0, done, owner);
}

void resume_start(struct tick_shard *s, struct tick_entry *e)
{
    struct id id = e->id;
    e->must_drop = true;
    shard_place(s, e);
    static const struct change_kind resuming = {enable, true};
    change_start(s->t, id.text, &resuming, NULL, 0, NULL, NULL);
}

static void on_deleted(void *owner, redisReply *reply, const struct err *err)
{
    struct recurring_op *op = owner;
    op->call = NULL;
    FAULT("recurring.change.after");
    if (err == NULL) {
        struct tick_shard *s = ticker_shard(op->t, op->id.text);
        struct tick_entry *e = map_get(op->t->entries, op->id.text);
        if (e != NULL) {
            shard_drop(s, e);
        }
        s->recurring_runs--;
        s->enabled -= reply_int(reply, 0);
    }
    recurring_op_finish(op, NULL, err);
}

void recurring_delete(struct ticker *t, const char *id, recurring_json_fn *done, void *owner)
{
    struct recurring_op *op = recurring_op_new(t, done, owner);
    if (!recurring_op_id_ok(op, id)) {
        return;
    }
    const char *prefix = store_id_prefix(op->t->set.store, id);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_key(args, "%srr:%s", prefix, id);
    store_key(args, "%srrs", prefix);
    store_key(args, "%sdue", prefix);
    store_key(args, "%srr_counts", prefix);
    store_key(args, "%sprogress", prefix);
    store_key(args, "%srr:%s:ticks", prefix, id);
    store_arg_i(args, store_id_epoch(t->set.store, id));
    store_arg(args, id);
    store_arg_i(args, clock_shift_us());
    FAULT("recurring.change.before");
    op->call = store_eval(t->set.store, &script_rr_delete, args, on_deleted, op);
}
