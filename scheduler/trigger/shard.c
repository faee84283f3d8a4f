/* SPDX-License-Identifier: Apache-2.0 */
/* One shard of the ticker: looking ahead in `due`, and loading what is due soon. */
#include "trigger/ticker.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "trigger_scripts.h"

static void shard_retry(void *owner)
{
    struct tick_shard *s = owner;
    ticker_poke(s->t);
}

void shard_init(struct tick_shard *s, struct ticker *t, unsigned number)
{
    s->t = t;
    s->number = number;
    s->prefix = store_shard_prefix(t->set.store, number);
    s->loaded_until_us = INT64_MIN;
    s->beyond_us = INT64_MAX;
    s->claim_limit = (size_t)t->set.claim_batch;
    s->backoff_ms = RETRY_MIN_MS;
    timer_init(&s->retry, t->set.loop, shard_retry, s);
}

static void shard_forget(struct tick_shard *s, struct tick_entry *e)
{
    map_remove(s->t->entries, e->id.text);
    s->loaded--;
    tick_entry_free(e);
}

void shard_start(struct tick_shard *s, void (*done)(void *owner), void *owner)
{
    s->started = done;
    s->started_owner = owner;
    s->is_ours = true;
    s->is_known = false; /* again: the next look counts */
    s->scan_wanted = true;
    ticker_poke(s->t);
}

void shard_stop(struct tick_shard *s)
{
    s->is_ours = false;
    s->started = NULL;
    store_cancel(STEAL(s->scan_call));
    store_cancel(STEAL(s->load_call));
    claim_cancel(STEAL(s->claim));
    ahead_stop(s);
    hatch_stop(s);
    timer_stop(&s->retry);
    struct map_iter it = {0};
    const char *id;
    void *value;
    while (map_next(s->t->entries, &it, &id, &value)) {
        if (ticker_shard(s->t, id) == s) {
            shard_forget(s, value);
        }
    }
    s->heap.count = 0;
    s->to_load_count = s->loading = 0;
    s->loaded_until_us = INT64_MIN;
    s->beyond_us = INT64_MAX;
    s->is_known = s->was_cut = s->scan_wanted = false;
    s->recurring_runs = s->enabled = 0;
    s->backoff_ms = RETRY_MIN_MS;
}

void shard_done(struct tick_shard *s)
{
    shard_stop(s);
    timer_done(&s->retry);
    tick_heap_done(&s->heap);
    ahead_done(s);
    free(s->to_load);
    free(s->to_hatch);
}

void shard_back_off(struct tick_shard *s, const struct err *err, const char *what)
{
    LOG_WARN("recurring runs wait", "shard=%02x what=%s retry_ms=%lld error=%s", s->number, what,
        (long long)s->backoff_ms, LOG_Q(err->msg));
    timer_start_ms(&s->retry, ticker_jitter_ms(s->backoff_ms));
    s->backoff_ms = s->backoff_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : s->backoff_ms * 2;
}

void shard_worked(struct tick_shard *s)
{
    s->backoff_ms = RETRY_MIN_MS;
}

void shard_fenced(struct tick_shard *s, const struct err *err, const char *what)
{
    shard_back_off(s, err, what);
    if (s->t->on_fenced != NULL) {
        s->t->on_fenced(s->t->on_fenced_owner, s->number);
    }
}

void shard_load(struct tick_shard *s, const char *id)
{
    if (!s->is_ours) {
        return;
    }
    if (s->to_load_count == s->to_load_cap) {
        s->to_load_cap = s->to_load_cap == 0 ? 16 : s->to_load_cap * 2;
        s->to_load = xreallocarray(s->to_load, s->to_load_cap, sizeof(*s->to_load));
    }
    struct id *slot = &s->to_load[s->to_load_count++];
    memcpy(slot->text, id, ID_LEN);
    slot->text[ID_LEN] = '\0';
    ticker_poke(s->t);
}

void shard_note(struct tick_shard *s, const char *id, int64_t next_us)
{
    if (!s->is_ours || next_us <= 0) {
        return;
    }
    if (next_us <= s->loaded_until_us) {
        shard_load(s, id);
    } else {
        s->beyond_us = next_us < s->beyond_us ? next_us : s->beyond_us;
        ticker_poke(s->t);
    }
}

void shard_drop(struct tick_shard *s, struct tick_entry *e)
{
    if (e->state != TICK_STATE_READY) {
        e->must_drop = true; /* whoever is busy with it places it, and then it goes */
        return;
    }
    tick_heap_remove(e->heap, e);
    shard_forget(s, e);
}

void shard_place(struct tick_shard *s, struct tick_entry *e)
{
    if (e->must_reload && !e->must_drop) {
        shard_load(s, e->id.text);
    }
    int64_t due_us = tick_entry_due_us(e);
    if (e->must_drop || e->must_reload || due_us <= 0) {
        shard_forget(s, e);
        return;
    }
    if (due_us > s->loaded_until_us) {
        s->beyond_us = due_us < s->beyond_us ? due_us : s->beyond_us;
        shard_forget(s, e);
        return;
    }
    e->state = TICK_STATE_READY;
    tick_heap_add(ahead_heap_of(s, e), e);
}

void shard_delay(struct tick_shard *s, struct tick_entry *e, int64_t after_ms)
{
    e->ready_us = ticker_now_us(s->t) + ticker_jitter_ms(after_ms) * US_PER_MS;
    shard_place(s, e);
}

/* ---- looking ahead ---- */

static int64_t shard_scan_at(const struct tick_shard *s)
{
    if (s->beyond_us == INT64_MAX) {
        return INT64_MAX;
    }
    /* Not more often than every half of the way ahead, however dense the schedule. */
    int64_t soonest = s->loaded_until_us - LOAD_AHEAD_US / 2;
    int64_t at = s->beyond_us - LOAD_AHEAD_US;
    return at > soonest ? at : soonest;
}

static int64_t element_i64(const redisReply *reply, size_t at, int64_t fallback)
{
    const redisReply *element = reply->element[at];
    return element->type == REDIS_REPLY_STRING && element->len == 0 ? fallback
                                                                    : reply_int(element, fallback);
}

static void shard_on_scanned(void *owner, redisReply *reply, const struct err *err)
{
    struct tick_shard *s = owner;
    s->scan_call = NULL;
    if (err != NULL) {
        s->scan_wanted = true;
        shard_back_off(s, err, "looking-ahead");
        return;
    }
    shard_worked(s);
    const redisReply *ids = reply->element[0];
    for (size_t i = 0; i < ids->elements; i++) {
        const char *id = ids->element[i]->str;
        if (id_is_valid(id) && !map_has(s->t->entries, id)) {
            shard_load(s, id);
        }
    }
    s->was_cut = ids->elements >= s->t->loaded_max;
    if (s->was_cut) {
        s->loaded_until_us = element_i64(reply, 1, s->loaded_until_us);
    }
    s->beyond_us = element_i64(reply, 2, INT64_MAX);
    s->recurring_runs = reply_int(reply->element[3], 0);
    s->enabled = reply_int(reply->element[4], 0);
    ticker_heard_clock(s->t, reply_int(reply->element[6], s->scan_sent_us), s->scan_sent_us);
    const redisReply *ahead = reply->element[7];
    for (size_t i = 0; i < ahead->elements; i++) {
        ahead_note(s, reply_int(ahead->element[i], 0));
    }
    /* Those of a daemon that died; our own we know of. */
    s->hatch_wanted |= reply_int(reply->element[5], 0) > (int64_t)s->to_hatch_count;
    s->is_known = true;
    ticker_poke(s->t);
    void (*started)(void *) = STEAL(s->started);
    if (started != NULL) {
        started(s->started_owner);
    }
}

static void shard_scan(struct tick_shard *s, int64_t now_us)
{
    s->scan_wanted = false;
    /* Replies come in order: what is placed or noted from now on is judged by the new limit, and
     * everything before was written before this look. */
    s->loaded_until_us = now_us + LOAD_AHEAD_US;
    struct store_args *args = store_args_new();
    store_key(args, "%sdue", s->prefix);
    store_key(args, "%srrs", s->prefix);
    store_key(args, "%srr_counts", s->prefix);
    store_key(args, "%sahead", s->prefix);
    store_arg_i(args, s->loaded_until_us);
    store_arg_i(args, (int64_t)s->t->loaded_max);
    store_arg_i(args, clock_shift_us());
    store_arg(args, s->prefix);
    s->scan_sent_us = clock_now_us();
    s->scan_call = store_eval(s->t->set.store, &script_due_scan, args, shard_on_scanned, s);
}

/* ---- loading ---- */

static void shard_take_in(struct tick_shard *s, const char *id, const redisReply *fields)
{
    struct tick_entry *old = map_get(s->t->entries, id);
    if (old != NULL && old->state != TICK_STATE_READY) {
        old->must_reload = true;
        return;
    }
    if (old != NULL) {
        shard_drop(s, old);
    }
    struct err err = ERR_INIT;
    struct tick_entry *e = tick_entry_new(s->t->schedules, id, fields, &err);
    if (e == NULL) {
        if (err.code != ERR_NONE) {
            LOG_ERROR("recurring run cannot fire: its record cannot be used",
                "recurring_run=%s error=%s", id, LOG_Q(err.msg));
        }
        return;
    }
    map_put(s->t->entries, id, e);
    s->loaded++;
    if (e->policy.pause_after_failures > 0 && e->fails >= e->policy.pause_after_failures) {
        recurring_pause_failing(s->t, id);
    }
    if (progress_more(&e->progress, "ending") != NULL) {
        others_cancel_of(s->t, e); /* somebody died before all were asked */
    }
    shard_place(s, e);
}

static void shard_on_loaded(void *owner, redisReply *reply, const struct err *err)
{
    struct tick_shard *s = owner;
    s->load_call = NULL;
    size_t count = s->loading;
    s->loading = 0;
    if (err != NULL) {
        shard_back_off(s, err, "loading");
        return;
    }
    shard_worked(s);
    for (size_t i = 0; i < reply->elements && i < count; i++) {
        struct id id = s->to_load[i];
        shard_take_in(s, id.text, reply->element[i]);
    }
    s->to_load_count -= count;
    memmove(s->to_load, s->to_load + count, s->to_load_count * sizeof(*s->to_load));
    ticker_poke(s->t);
}

static void shard_load_batch(struct tick_shard *s)
{
    s->loading = s->to_load_count < LOAD_BATCH ? s->to_load_count : LOAD_BATCH;
    struct store_args *args = store_args_new();
    store_key(args, "%sprogress", s->prefix);
    for (size_t i = 0; i < s->loading; i++) {
        store_key(args, "%srr:%s", s->prefix, s->to_load[i].text);
    }
    store_arg(args, "1");
    store_arg_i(args, clock_shift_us());
    for (size_t i = 0; i < s->loading; i++) {
        store_arg_b(args, s->to_load[i].text, ID_LEN);
    }
    s->load_call = store_eval(s->t->set.store, &script_rr_load, args, shard_on_loaded, s);
}

void shard_place_all(struct tick_shard *s, struct tick_heap *heap)
{
    struct tick_heap old = *heap;
    *heap = (struct tick_heap){0};
    for (size_t i = 0; i < old.count; i++) {
        struct tick_entry *e = old.items[i];
        e->ready_us = tick_entry_due_us(e);
        shard_place(s, e);
    }
    tick_heap_done(&old);
}

/* The clock was set back: what was "soon" is far away again, and has no place in memory. */
static void shard_check_clock(struct tick_shard *s, int64_t now_us)
{
    if (s->loaded_until_us <= now_us + LOAD_AHEAD_US + US_PER_S) {
        return;
    }
    s->loaded_until_us = now_us + LOAD_AHEAD_US;
    s->scan_wanted = true;
    struct tick_heap *heaps[] = {&s->heap, &s->soon, &s->held};
    for (size_t h = 0; h < ARRAY_LEN(heaps); h++) {
        shard_place_all(s, heaps[h]);
    }
}

void shard_reveal(struct tick_shard *s, int64_t now_us)
{
    if (s->is_ours && !timer_is_armed(&s->retry)) {
        ahead_step(s, now_us);
    }
}

void shard_step(struct tick_shard *s, int64_t now_us)
{
    if (!s->is_ours) {
        return;
    }
    shard_check_clock(s, now_us);
    if (timer_is_armed(&s->retry)) {
        return;
    }
    if (s->was_cut && s->loaded < (s->t->loaded_max + 1) / 2) {
        s->scan_wanted = true;
        s->was_cut = false;
    }
    bool may_scan = s->scan_call == NULL && (s->to_load_count == 0 || !s->is_known);
    if (may_scan && (s->scan_wanted || now_us >= shard_scan_at(s))) {
        shard_scan(s, now_us);
    }
    /* The first look tells of groups; what were loaded before might be claimed in spite of them. */
    if (s->load_call == NULL && s->to_load_count > 0 && s->is_known) {
        shard_load_batch(s);
    }
    if (s->claim == NULL) {
        claim_start(s, now_us);
    }
}

int64_t shard_wakes_at(const struct tick_shard *s)
{
    if (!s->is_ours || timer_is_armed(&s->retry)) {
        return INT64_MAX;
    }
    int64_t at = INT64_MAX;
    const struct tick_entry *top = tick_heap_top(&s->heap);
    if (s->claim == NULL && top != NULL) {
        at = top->ready_us;
    }
    int64_t ahead_at = ahead_wakes_at(s);
    at = ahead_at < at ? ahead_at : at;
    if (s->scan_call == NULL && s->to_load_count == 0 && s->is_known) {
        int64_t scan_at = shard_scan_at(s);
        at = scan_at < at ? scan_at : at;
    }
    return at;
}
