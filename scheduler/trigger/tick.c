/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a tick. Pure. */
#include "trigger/tick.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/util.h"

static const char *const outcome_names[TICK_OUTCOME_COUNT] = {"fired", "waiting", "skipped-overlap",
    "skipped-window", "skipped-paused", "skipped-excluded", "skipped-requested", "dropped-buffer",
    "failed-to-start"};

const char *tick_outcome_name(enum tick_outcome outcome)
{
    return outcome_names[outcome];
}

/* ---- ranges ---- */

static int64_t after(const struct tick_entry *e, int64_t slot_us, int64_t now_us)
{
    struct schedule_window window = tick_entry_window(e);
    return slot_after(tick_entry_schedule(e), &window, slot_us, now_us);
}

/* One by one, whatever no_catchup says. */
static int64_t next_one(const struct tick_entry *e, int64_t slot_us)
{
    struct schedule_window window = tick_entry_window(e);
    window.no_catchup = false;
    return slot_after(tick_entry_schedule(e), &window, slot_us, slot_us);
}

/* The first slot at or after `slot_us` that is not before `from_us`; how many lie before it. */
static int64_t first_from(
    const struct tick_entry *e, int64_t slot_us, int64_t from_us, int64_t *last_us, int64_t *count)
{
    *count = 0;
    *last_us = slot_us;
    while (slot_us > 0 && slot_us < from_us) {
        *last_us = slot_us;
        if (++*count >= TICK_COUNT_MAX) {
            /* Too many to go through: from here it is a matter of the calendar alone. */
            struct schedule_window window = tick_entry_window(e);
            window.no_catchup = false;
            const struct schedule *schedule = tick_entry_schedule(e);
            if (schedule == NULL) {
                return 0;
            }
            *last_us = slot_latest(schedule, &window, slot_us, from_us - 1);
            int64_t next = schedule_next(schedule, slot_us, from_us - 1);
            return next > 0 && (window.end_us == 0 || next <= window.end_us) ? next : 0;
        }
        slot_us = next_one(e, slot_us);
    }
    return slot_us;
}

/* ---- waiting ticks ---- */

static json_t *waits_of(const struct progress *p)
{
    return (json_t *)progress_more(p, "waits");
}

static int64_t first_wait(const struct progress *p)
{
    return json_integer_value(json_array_get(waits_of(p), 0));
}

static struct tick_range all_waits(const struct progress *p)
{
    const json_t *waits = waits_of(p);
    size_t count = json_array_size(waits);
    return (struct tick_range){
        .from_us = json_integer_value(json_array_get(waits, 0)),
        .to_us = count > 0 ? json_integer_value(json_array_get(waits, count - 1)) : 0,
        .count = (int64_t)count,
    };
}

static void drop_first_wait(struct progress *p)
{
    json_t *waits = waits_of(p);
    json_array_remove(waits, 0);
    if (json_array_size(waits) == 0) {
        progress_set(p, "waits", NULL);
    }
}

static void add_wait(struct progress *p, int64_t slot_us)
{
    json_t *waits = waits_of(p);
    if (waits == NULL) {
        waits = json_array();
        progress_set(p, "waits", waits);
    }
    json_array_append_new(waits, json_integer(slot_us));
}

/* ---- deciding ---- */

static int64_t due_of(const struct tick_entry *e, int64_t slot_us)
{
    return slot_us > 0 ? slot_us + e->offset_us : 0;
}

static void will_pass(struct tick *tick, enum tick_outcome outcome, int64_t next_us)
{
    tick->outcome = outcome;
    tick->passed = progress_copy(&tick->e->progress);
    tick->passed.next_us = next_us;
    tick->passed_due_us = due_of(tick->e, next_us);
    tick->passed_to_us = tick->slot_us;
    tick->passed_count = 1;
}

static void never_fires(struct tick *tick, enum tick_outcome outcome, int64_t next_us)
{
    tick->limit = TICK_NEVER_FIRE;
    tick->needs_policy = true;
    tick->fired = progress_copy(&tick->e->progress);
    will_pass(tick, outcome, next_us);
}

static void will_fire(struct tick *tick, int64_t next_us)
{
    const struct tick_entry *e = tick->e;
    tick->fired = progress_copy(&e->progress);
    struct progress *p = &tick->fired;
    if (tick->was_waiting) {
        drop_first_wait(p);
    }
    p->index++;
    p->last_us = tick->slot_us > p->last_us ? tick->slot_us : p->last_us;
    p->next_us = next_us;
    progress_set(p, "error", NULL);
    if (policy_is_over(&e->policy, p->index)) {
        p->next_us = 0;
        tick->left = all_waits(p);
        progress_set(p, "waits", NULL);
    }
    tick->fired_due_us = due_of(e, p->next_us);
}

/* The first of those that wait has a place, perhaps. */
static void plan_waiting(struct tick *tick)
{
    struct tick_entry *e = tick->e;
    tick->slot_us = first_wait(&e->progress);
    tick->due_us = due_of(e, tick->slot_us);
    tick->was_waiting = true;
    tick->needs_policy = true;
    if (e->policy.overlap == OVERLAP_ALLOW || e->policy.overlap == OVERLAP_TERMINATE_OTHER) {
        tick->limit = 0;
    }
    will_fire(tick, e->progress.next_us);
    int64_t second = first_wait(&tick->fired);
    if (second > 0) {
        tick->fired_due_us = due_of(e, second); /* in the past: the next one is tried at once */
    }
    tick->outcome = TICK_WAITING;
    tick->is_waiting_in_place = true;
    tick->passed = progress_copy(&e->progress);
    tick->passed_due_us = due_of(e, e->progress.next_us);
    tick->mark_us = tick->due_us;
}

static void plan_buffer(struct tick *tick, int64_t next_us, size_t room)
{
    const struct tick_entry *e = tick->e;
    size_t waiting = json_array_size(waits_of(&e->progress));
    if (waiting >= room) {
        will_pass(tick,
            e->policy.overlap == OVERLAP_BUFFER_ONE ? TICK_SKIPPED_OVERLAP : TICK_DROPPED_BUFFER,
            next_us);
        return;
    }
    will_pass(tick, TICK_WAITING, next_us);
    add_wait(&tick->passed, tick->slot_us);
    tick->mark_us = due_of(e, first_wait(&tick->passed));
}

/* What happens when as many as may be are active. */
static void plan_overlap(struct tick *tick, int64_t next_us)
{
    struct tick_entry *e = tick->e;
    switch (e->policy.overlap) {
    case OVERLAP_ALLOW:
    case OVERLAP_TERMINATE_OTHER:
        tick->limit = 0;
        tick->cancels_others = e->policy.overlap == OVERLAP_TERMINATE_OTHER;
        will_pass(tick, TICK_SKIPPED_OVERLAP, next_us);
        break;
    case OVERLAP_SKIP:
        will_pass(tick, TICK_SKIPPED_OVERLAP, next_us);
        break;
    case OVERLAP_BUFFER_ONE:
        plan_buffer(tick, next_us, 1);
        break;
    case OVERLAP_BUFFER_ALL:
        plan_buffer(tick, next_us, (size_t)e->policy.buffer_max);
        break;
    case OVERLAP_CANCEL_OTHER:
        will_pass(tick, TICK_WAITING, next_us);
        tick->replaced = all_waits(&tick->passed);
        progress_set(&tick->passed, "waits", NULL);
        add_wait(&tick->passed, tick->slot_us);
        tick->mark_us = tick->due_us;
        tick->cancels_others = true;
        break;
    case OVERLAP_QUEUE:
        will_pass(tick, TICK_WAITING, e->progress.next_us);
        tick->is_waiting_in_place = true;
        tick->passed_due_us = 0;
        tick->mark_us = tick->due_us;
        break;
    }
}

/* The latest up to `latest_us` that calendars let run; the one at slot_us is one. */
static int64_t latest_running(const struct tick_entry *e, int64_t slot_us, int64_t latest_us)
{
    char why[SCHEDULE_WHY_MAX];
    const struct schedule *schedule = tick_entry_schedule(e);
    if (schedule == NULL || !schedule_has_calendars(schedule) ||
        !schedule_is_excluded(schedule, latest_us, why)) {
        return latest_us;
    }
    int64_t found = slot_us;
    for (int64_t count = 0; slot_us > 0 && slot_us < latest_us && count < TICK_COUNT_MAX; count++) {
        found = schedule_is_excluded(schedule, slot_us, why) ? found : slot_us;
        slot_us = next_one(e, slot_us);
    }
    return found;
}

/* Those that were missed and that catch-up leaves out. True: the decision is made. */
static bool plan_catchup(struct tick *tick, int64_t now_us, int64_t *next_us)
{
    struct tick_entry *e = tick->e;
    int64_t window_us = e->policy.catchup_window_us;
    if (window_us > 0 && now_us - tick->due_us > window_us) {
        int64_t last, count;
        int64_t next =
            first_from(e, tick->slot_us, now_us - window_us - e->offset_us, &last, &count);
        never_fires(tick, TICK_SKIPPED_WINDOW, next);
        tick->passed_to_us = last;
        tick->passed_count = count;
        snprintf(tick->why, sizeof tick->why, "%s",
            e->policy.catchup == CATCHUP_NONE ? "catchup none" : "older than the window");
        return true;
    }
    if (e->policy.catchup == CATCHUP_FIRST) {
        int64_t last, count;
        int64_t first = next_one(e, tick->slot_us);
        *next_us = first_from(e, first, now_us - e->offset_us + 1, &last, &count);
        tick->also.from_us = first;
        tick->also.to_us = last;
        tick->also.count = count;
        return false;
    }
    if (e->policy.catchup != CATCHUP_LAST) {
        return false;
    }
    struct schedule_window window = tick_entry_window(e);
    struct slot_state state = tick_entry_slots(e);
    int64_t latest = slot_due(tick_entry_schedule(e), &window, &state, now_us - e->offset_us);
    int64_t running = latest > tick->slot_us ? latest_running(e, tick->slot_us, latest) : latest;
    if (running < latest) {
        *next_us = next_one(e, running); /* the excluded ones behind it have their own lines */
        latest = running;
    } else if (latest > tick->slot_us) {
        *next_us = after(e, latest, now_us - e->offset_us);
    }
    if (latest > tick->slot_us) {
        int64_t last, count;
        (void)first_from(e, tick->slot_us, latest, &last, &count);
        tick->also.from_us = tick->slot_us;
        tick->also.to_us = last;
        tick->also.count = count;
        tick->slot_us = latest;
        tick->due_us = due_of(e, latest);
    }
    return false;
}

static void plan_next(struct tick *tick, int64_t now_us)
{
    struct tick_entry *e = tick->e;
    tick->slot_us = e->progress.next_us;
    tick->due_us = due_of(e, tick->slot_us);
    int64_t skip = json_integer_value(progress_more(&e->progress, "skip"));
    int64_t next_us = after(e, tick->slot_us, now_us - e->offset_us);
    if (tick_entry_schedule(e) != NULL &&
        schedule_is_excluded(tick_entry_schedule(e), tick->slot_us, tick->why)) {
        never_fires(tick, TICK_SKIPPED_EXCLUDED, next_one(e, tick->slot_us));
        return;
    }
    if (skip > 0) {
        never_fires(tick, TICK_SKIPPED_REQUESTED, next_one(e, tick->slot_us));
        progress_set(&tick->passed, "skip", skip > 1 ? json_integer(skip - 1) : NULL);
        return;
    }
    if (plan_catchup(tick, now_us, &next_us)) {
        return;
    }
    tick->limit = e->policy.max_concurrency;
    plan_overlap(tick, next_us);
    if (json_array_size(waits_of(&e->progress)) > 0 && tick->limit > 0) {
        tick->limit = TICK_NEVER_FIRE; /* those that wait come first */
        tick->needs_policy = true;
    }
    will_fire(tick, next_us);
    tick->needs_policy |= e->wants_policy || tick->also.count > 0 || tick->left.count > 0 ||
                          e->policy.pause_after_failures > 0;
}

/* That the others are to be asked to end is written down with the tick, and it stays due: whoever
 * comes after us asks them (others.c). */
static void plan_ending(struct tick *tick)
{
    if (tick->e->policy.overlap == OVERLAP_TERMINATE_OTHER) {
        progress_set(&tick->fired, "ending", json_string(tick->run_id.text));
        tick->fired_due_us = tick->due_us;
    } else {
        progress_set(&tick->passed, "ending", json_string(""));
        tick->passed_due_us = tick->due_us;
    }
}

void tick_plan(struct tick *tick, struct tick_entry *e, int64_t now_us)
{
    *tick = (struct tick){.e = e, .limit = e->policy.max_concurrency};
    bool next_is_due = e->progress.next_us > 0 && due_of(e, e->progress.next_us) <= now_us;
    if (json_array_size(waits_of(&e->progress)) > 0 && !(e->is_marked && next_is_due)) {
        plan_waiting(tick);
    } else {
        plan_next(tick, now_us);
    }
    char name[64];
    snprintf(
        name, sizeof(name), "tick/%" PRId64 "/%" PRId64, e->progress.generation, tick->slot_us);
    id_derive(&tick->run_id, e->id.text, name);
    if (tick->cancels_others) {
        plan_ending(tick);
    }
}

bool tick_is_certain(const struct tick *tick)
{
    return tick->limit != TICK_NEVER_FIRE && !tick->needs_policy && !tick->was_waiting &&
           !tick->cancels_others && tick->fired_due_us != tick->due_us;
}

void tick_done(struct tick *tick)
{
    progress_done(&tick->fired);
    progress_done(&tick->passed);
}

/* ---- texts ---- */

void tick_ledger_line(struct buf *out, int64_t slot_us, enum tick_outcome outcome,
    int64_t generation, int64_t at_us, const char *run_id, const char *detail)
{
    buf_addf(out, "%" PRId64 " %s %" PRId64 " %" PRId64 " %s %s", slot_us,
        tick_outcome_name(outcome), generation, at_us, run_id, detail);
}

void tick_detail(const struct tick_entry *e, int64_t slot_us, struct buf *out)
{
    char wanted[16];
    const struct schedule *schedule = tick_entry_schedule(e);
    if (schedule != NULL && schedule_is_shifted(schedule, slot_us, wanted)) {
        buf_addf(out, "{\"dst\":\"gap-shifted\",\"wanted\":\"%s\"}", wanted);
    } else {
        buf_addc(out, '-');
    }
}

void tick_range_detail(struct buf *out, int64_t to_us, int64_t count, const char *why)
{
    buf_addf(out, "{\"count\":%" PRId64 ",\"to_us\":%" PRId64, count, to_us);
    if (count >= TICK_COUNT_MAX) {
        buf_adds(out, ",\"at_least\":true");
    }
    if (why[0] != '\0') {
        jadd_str(out, "why", why);
    }
    buf_addc(out, '}');
}

static const char *also_why(const struct tick *tick)
{
    return tick->e->policy.catchup == CATCHUP_FIRST ? "catchup first" : "catchup last";
}

/* With a newline behind it; nothing for an empty range. */
static void add_range_line(const struct tick *tick, const struct tick_range *range,
    enum tick_outcome outcome, const char *why, int64_t now_us, struct buf *out)
{
    if (range->count == 0) {
        return;
    }
    struct buf detail;
    buf_init(&detail, 512);
    if (range->count > 1 || why[0] != '\0') {
        tick_range_detail(&detail, range->to_us, range->count, why);
    } else {
        buf_addc(&detail, '-');
    }
    tick_ledger_line(
        out, range->from_us, outcome, tick->e->progress.generation, now_us, "-", buf_str(&detail));
    buf_addc(out, '\n');
    buf_done(&detail);
}

void tick_fired_lines(const struct tick *tick, int64_t now_us, struct buf *out)
{
    add_range_line(tick, &tick->also, TICK_SKIPPED_WINDOW, also_why(tick), now_us, out);
    add_range_line(tick, &tick->left, TICK_DROPPED_BUFFER, "max_fires", now_us, out);
}

void tick_passed_lines(const struct tick *tick, int64_t now_us, struct buf *out)
{
    if (tick->is_waiting_in_place && tick->was_waiting) {
        return; /* it is known to wait */
    }
    if (!tick->is_waiting_in_place) {
        add_range_line(tick, &tick->also, TICK_SKIPPED_WINDOW, also_why(tick), now_us, out);
    }
    add_range_line(tick, &tick->replaced, TICK_SKIPPED_OVERLAP, "", now_us, out);
    struct buf detail;
    buf_init(&detail, 512);
    if (tick->passed_count > 1 || tick->why[0] != '\0') {
        tick_range_detail(&detail, tick->passed_to_us, tick->passed_count, tick->why);
    } else {
        tick_detail(tick->e, tick->slot_us, &detail);
    }
    tick_ledger_line(out, tick->slot_us, tick->outcome, tick->e->progress.generation, now_us, "-",
        buf_str(&detail));
    buf_done(&detail);
}

/* `count` ticks, from slot_us to to_us. */
static void add_event(const struct tick_entry *e, enum tick_outcome outcome, int64_t slot_us,
    int64_t to_us, int64_t count, const char *why, int64_t now_us, struct buf *out)
{
    const char *type = outcome == TICK_WAITING          ? "recurring_run.waiting"
                       : outcome == TICK_SKIPPED_WINDOW ? "recurring_run.missed"
                                                        : "recurring_run.skipped";
    int64_t late_us = now_us - slot_us - e->offset_us;
    char name[96];
    snprintf(name, sizeof name, "%s/%" PRId64 "/%" PRId64, type, e->progress.generation, slot_us);
    struct id id;
    id_derive(&id, e->id.text, name);
    buf_addf(out, "{\"id\":\"%s\",\"type\":\"%s\",\"time_us\":%" PRId64 ",\"data\":{%s", id.text,
        type, now_us, e->data);
    tick_entry_add_pipeline(e, out);
    buf_addf(out,
        ",\"scheduled_us\":%" PRId64 ",\"lateness_us\":%" PRId64
        ",\"outcome\":\"%s\",\"ticks\":%" PRId64 ",\"to_us\":%" PRId64,
        slot_us, late_us > 0 ? late_us : 0, tick_outcome_name(outcome), count, to_us);
    if (why[0] != '\0') {
        jadd_str(out, "reason", why);
    }
    buf_adds(out, "}}");
}

/* With a newline behind it; nothing for an empty range. */
static void add_range_event(const struct tick *tick, const struct tick_range *range,
    enum tick_outcome outcome, const char *why, int64_t now_us, struct buf *out)
{
    if (range->count > 0) {
        add_event(tick->e, outcome, range->from_us, range->to_us, range->count, why, now_us, out);
        buf_addc(out, '\n');
    }
}

void tick_fired_events(const struct tick *tick, int64_t now_us, struct buf *out)
{
    add_range_event(tick, &tick->also, TICK_SKIPPED_WINDOW, also_why(tick), now_us, out);
    add_range_event(tick, &tick->left, TICK_DROPPED_BUFFER, "max_fires", now_us, out);
}

void tick_passed_events(const struct tick *tick, int64_t now_us, struct buf *out)
{
    if (tick->is_waiting_in_place && tick->was_waiting) {
        return;
    }
    if (!tick->is_waiting_in_place) {
        add_range_event(tick, &tick->also, TICK_SKIPPED_WINDOW, also_why(tick), now_us, out);
    }
    add_range_event(tick, &tick->replaced, TICK_SKIPPED_OVERLAP, "", now_us, out);
    add_event(tick->e, tick->outcome, tick->slot_us, tick->passed_to_us, tick->passed_count,
        tick->why, now_us, out);
}
