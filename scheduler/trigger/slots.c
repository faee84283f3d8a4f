/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of recurring runs. The calendar itself: scheduler/cron. */
#include "trigger/slots.h"

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"

static int64_t never_is_0(int64_t slot_us)
{
    return slot_us > 0 ? slot_us : 0;
}

int64_t slot_first(
    const struct schedule *schedule, const struct schedule_window *window, int64_t now_us)
{
    return never_is_0(schedule_next_slot(schedule, window, 0, now_us));
}

int64_t slot_first_after(
    const struct schedule *schedule, const struct schedule_window *window, int64_t now_us)
{
    if (schedule == NULL) {
        return 0; /* what fires once has its time at creation */
    }
    struct schedule_window fresh = *window;
    fresh.created_us = now_us;
    fresh.start_us = window->start_us > now_us ? window->start_us : 0;
    fresh.no_catchup = false;
    return never_is_0(schedule_next_slot(schedule, &fresh, 0, now_us));
}

/* From where the next slot is counted. */
static int64_t base_of(const struct slot_state *state)
{
    return state->last_us > state->anchor_us ? state->last_us : state->anchor_us;
}

int64_t slot_due(const struct schedule *schedule, const struct schedule_window *window,
    const struct slot_state *state, int64_t now_us)
{
    if (schedule == NULL || !window->no_catchup || state->next_us > now_us) {
        return state->next_us;
    }
    int64_t slot = schedule_next_slot(schedule, window, base_of(state), now_us);
    return slot > state->next_us ? slot : state->next_us;
}

int64_t slot_after(const struct schedule *schedule, const struct schedule_window *window,
    int64_t slot_us, int64_t now_us)
{
    return never_is_0(schedule_next_slot(schedule, window, slot_us, now_us));
}

int64_t slot_latest(const struct schedule *schedule, const struct schedule_window *window,
    int64_t slot_us, int64_t limit_us)
{
    struct schedule_window latest = *window;
    latest.no_catchup = true;
    int64_t end_us = window->end_us != 0 && window->end_us < limit_us ? window->end_us : limit_us;
    int64_t found = slot_us;
    if (schedule != NULL && schedule_is_interval(schedule)) {
        int64_t interval_us = schedule_next(schedule, slot_us, slot_us) - slot_us;
        found += (end_us - slot_us) / interval_us * interval_us;
    } else if (schedule != NULL) {
        found = schedule_next_slot(schedule, &latest, slot_us, end_us);
    }
    return found > slot_us && found <= end_us ? found : slot_us;
}

void slot_resume(const struct schedule *schedule, const struct schedule_window *window,
    struct slot_state *state, int64_t now_us)
{
    /* Where it would have gone on, one by one. */
    struct schedule_window each = *window;
    each.no_catchup = false;
    int64_t next = schedule_next_slot(schedule, &each, base_of(state), now_us);
    if (schedule == NULL || next <= 0 || next > now_us) {
        state->next_us = never_is_0(next);
        return;
    }
    if (schedule_is_interval(schedule)) {
        int64_t interval = schedule_next(schedule, next, next) - next;
        state->anchor_us = next + (now_us - next) / interval * interval;
    } else {
        state->anchor_us = now_us;
    }
    state->next_us = never_is_0(schedule_next_slot(schedule, &each, state->anchor_us, now_us));
}

const char *slot_hash_key(const json_t *doc)
{
    return jget_str(doc, "backfill_of", jget_str(doc, "id", ""));
}

bool slot_is_backfill(const json_t *doc)
{
    return jget_str(doc, "backfill_of", "")[0] != '\0';
}

int slot_schedule(const json_t *doc, struct schedule **out, struct err *err)
{
    *out = NULL;
    if (!schedule_is_given(doc)) {
        return 0;
    }
    const char *id = slot_hash_key(doc);
    *out = schedule_parse(doc, id[0] != '\0' ? id : NULL, err);
    return *out == NULL ? -1 : 0;
}

void slot_window(const json_t *doc, struct schedule_window *out)
{
    *out = (struct schedule_window){
        .start_us = jget_i64(doc, "start_us", 0),
        .end_us = jget_i64(doc, "end_us", 0),
        .created_us = jget_i64(doc, "created_us", 0),
        .no_catchup = jget_bool(doc, "no_catchup", false),
    };
}
