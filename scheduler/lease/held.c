/* SPDX-License-Identifier: Apache-2.0 */
/* One shard: taking it, giving it up, losing it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/util.h"
#include "lease/inside.h"
#include "lease_scripts.h"

#define QUIET_MS 1000
#define DRAIN_MS 10
#define OWNER_FIELDS 3

static bool is_ours(const struct shard *s)
{
    return store_shard_epoch(s->lease->store, s->number) != 0;
}

/* Redis says that it is ours, whether we carry it on or not. */
static bool is_written_as_ours(const struct shard *s)
{
    return strcmp(s->owner, s->lease->instance) == 0;
}

static void release(struct shard *s);

/* ---- taking it ---- */

static void tell_news(void *owner)
{
    struct lease *lease = owner;
    LOG_INFO("shards taken", "shards=%s", LOG_Q(buf_str(&lease->news)));
    buf_reset(&lease->news);
}

static void note_taken(struct shard *s)
{
    struct lease *lease = s->lease;
    bool is_from_another = s->owner[0] != '\0' && !is_written_as_ours(s);
    buf_addf(&lease->news, "%s%02x%s%s%s", lease->news.len > 0 ? " " : "", s->number,
        is_from_another ? "(of " : "", is_from_another ? s->owner : "", is_from_another ? ")" : "");
    loop_defer(lease->loop, &lease->tell_news, tell_news, lease);
}

static void taken(struct shard *s, int64_t epoch, int64_t knocks)
{
    struct lease *lease = s->lease;
    bool is_regained = s->state == SHARD_STATE_REGAINING;
    bool was_left = s->owner[0] == '\0' || is_written_as_ours(s);
    if (!is_regained) {
        lease->counts.taken++;
        lease->counts.taken_over += !was_left;
    }
    note_taken(s);
    snprintf(s->owner, sizeof(s->owner), "%s", lease->instance);
    s->epoch = epoch;
    s->knocks = knocks;
    s->state = SHARD_STATE_HELD;
    store_set_epoch(lease->store, s->number, epoch);
    if (lease->is_leaving) {
        release(s);
        return;
    }
    (is_regained ? lease->on.regained : lease->on.start)(lease->on.owner, s->number);
    held_tell_settled(lease);
}

static void lost(struct shard *s)
{
    struct lease *lease = s->lease;
    lease->counts.fenced++;
    LOG_WARN("shard is another daemon's now", "shard=%02x ours=%lld epoch=%lld owner=%s", s->number,
        (long long)store_shard_epoch(lease->store, s->number), (long long)s->epoch, s->owner);
    s->state = SHARD_STATE_OTHER;
    timer_stop(&s->drain);
    store_cancel(STEAL(s->knock_call));
    store_set_epoch(lease->store, s->number, 0);
    lease->on.stop(lease->on.owner, s->number, true);
}

static void on_acquired(void *owner, redisReply *reply, const struct err *err)
{
    struct shard *s = owner;
    s->call = NULL;
    FAULT("lease.acquire.after");
    bool is_there = err == NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3;
    if (is_there && reply_int(reply->element[0], 0) == 1) {
        taken(s, reply_int(reply->element[1], 0), reply_int(reply->element[2], 0));
    } else if (s->state == SHARD_STATE_REGAINING) {
        s->state = SHARD_STATE_HELD; /* the next look tells whose it is */
    } else {
        s->state = SHARD_STATE_OTHER;
    }
}

static void acquire(struct shard *s, enum shard_state state)
{
    struct lease *lease = s->lease;
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", s->prefix);
    store_key(args, "%sowner", s->prefix);
    store_key(args, "%sknocks", s->prefix);
    store_key(args, "%sknocks:ids", s->prefix);
    store_arg_i(args, s->epoch);
    store_arg(args, lease->instance);
    s->state = state;
    s->call = store_eval(lease->store, &script_shard_acquire, args, on_acquired, s);
}

/* ---- giving it up ---- */

static void on_released(void *owner, redisReply *reply, const struct err *err)
{
    struct shard *s = owner;
    (void)reply;
    (void)err; /* not released: it is found free when we are gone, or as ours and taken again */
    FAULT("lease.release.after");
    s->call = NULL;
    s->state = SHARD_STATE_OTHER;
    s->is_known = false;
}

static void release(struct shard *s)
{
    struct lease *lease = s->lease;
    timer_stop(&s->drain);
    store_cancel(STEAL(s->knock_call));
    int64_t epoch = store_shard_epoch(lease->store, s->number);
    lease->on.stop(lease->on.owner, s->number, false);
    FAULT("lease.release.before");
    /* Behind all that was sent for it. */
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", s->prefix);
    store_key(args, "%sowner", s->prefix);
    store_arg_i(args, epoch);
    s->state = SHARD_STATE_RELEASING;
    s->owner[0] = '\0';
    store_set_epoch(lease->store, s->number, 0);
    s->call = store_eval(lease->store, &script_shard_release, args, on_released, s);
}

static void drain_step(void *owner)
{
    struct shard *s = owner;
    struct lease *lease = s->lease;
    bool is_late = clock_mono_us() - s->leaving_us > QUIET_MS * US_PER_MS;
    if (!is_late && !lease->on.is_quiet(lease->on.owner, s->number)) {
        timer_start_ms(&s->drain, DRAIN_MS);
        return;
    }
    lease->counts.given_up++;
    LOG_INFO("shard given up", "shard=%02x to=%s", s->number, s->target);
    release(s);
}

static void begin_leave(struct shard *s)
{
    struct lease *lease = s->lease;
    s->state = SHARD_STATE_LEAVING;
    s->leaving_us = clock_mono_us();
    lease->on.hold(lease->on.owner, s->number);
}

void held_begin_leave(struct shard *s)
{
    if (s->state == SHARD_STATE_HELD) {
        begin_leave(s);
    }
    timer_stop(&s->drain);
}

bool held_leave(struct shard *s, bool now)
{
    struct lease *lease = s->lease;
    if (s->state == SHARD_STATE_LEAVING &&
        (now || lease->on.is_quiet(lease->on.owner, s->number))) {
        release(s);
        return false;
    }
    bool is_acquiring = s->state == SHARD_STATE_ACQUIRING || s->state == SHARD_STATE_REGAINING;
    return s->state == SHARD_STATE_LEAVING || (is_acquiring && !now);
}

/* ---- knocks ---- */

static void on_knocks(void *owner, redisReply *reply, const struct err *err)
{
    struct shard *s = owner;
    struct lease *lease = s->lease;
    s->knock_call = NULL;
    if (s->state != SHARD_STATE_HELD || (err != NULL && err->code == ERR_FENCED)) {
        return;
    }
    /* No more are kept than that: some may have been pushed out. Or the answer was lost, and they
     * may be gone from the list all the same. */
    if (err != NULL || reply->elements == 0 || reply->elements >= 256) {
        lease->on.knock(lease->on.owner, s->number, NULL, NULL);
        return;
    }
    for (size_t i = 0; i < reply->elements && s->state == SHARD_STATE_HELD; i++) {
        const char *text = reply_str(reply->element[i]);
        const char *space = text != NULL ? strchr(text, ' ') : NULL;
        if (space != NULL && id_is_valid(space + 1)) {
            char *kind CLEANUP(cleanup_free) = xstrndup(text, (size_t)(space - text));
            lease->on.knock(lease->on.owner, s->number, kind, space + 1);
        }
    }
}

static void answer_knocks(struct shard *s, int64_t knocks)
{
    struct store *store = s->lease->store;
    if (knocks == s->knocks || s->knock_call != NULL) {
        return;
    }
    s->knocks = knocks;
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", s->prefix);
    store_key(args, "%sknocks:ids", s->prefix);
    store_arg_i(args, store_shard_epoch(store, s->number));
    s->knock_call = store_eval(store, &script_knocks_take, args, on_knocks, s);
}

/* ---- looking ---- */

static void decide_ours(struct shard *s, int64_t knocks)
{
    struct lease *lease = s->lease;
    bool is_anothers = !is_written_as_ours(s) && members_is_alive(&lease->members, s->owner);
    if (s->epoch != store_shard_epoch(lease->store, s->number)) {
        if (is_anothers) {
            lost(s);
        } else if (s->state == SHARD_STATE_HELD) {
            LOG_ERROR("redis has lost that this shard is ours (an older file, or emptied?); taking "
                      "it again",
                "shard=%02x found=%lld", s->number, (long long)s->epoch);
            acquire(s, SHARD_STATE_REGAINING);
        }
        return;
    }
    if (s->state != SHARD_STATE_HELD) {
        return;
    }
    answer_knocks(s, knocks);
    const struct member *target = members_find(&lease->members, s->target);
    bool is_for_another = strcmp(s->target, lease->instance) != 0 && target != NULL &&
                          target->is_alive && target->is_sure;
    if (is_for_another && lease->on.may_go(lease->on.owner, s->number)) {
        begin_leave(s);
        drain_step(s);
    }
}

static void decide_others(struct shard *s)
{
    struct lease *lease = s->lease;
    bool is_free = s->owner[0] == '\0' || !members_is_alive(&lease->members, s->owner);
    /*
     * The process before this one held it, or the answer was lost when it was taken or released.
     * Whoever's turn it is leaves it to us while we live, so we take it, and give it up as any
     * other.
     */
    if (is_written_as_ours(s) || (is_free && strcmp(s->target, lease->instance) == 0)) {
        acquire(s, SHARD_STATE_ACQUIRING);
    }
}

static void on_looked(void *owner, redisReply *reply, const struct err *err)
{
    struct shard *s = owner;
    s->look_call = NULL;
    if (err != NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != OWNER_FIELDS ||
        s->call != NULL || s->lease->is_leaving || s->lease->is_first) {
        return;
    }
    const char *seen = reply_str(reply->element[1]);
    s->epoch = reply_int(reply->element[0], 0);
    snprintf(s->owner, sizeof(s->owner), "%s", seen != NULL ? seen : "");
    s->is_known = true;
    if (is_ours(s)) {
        decide_ours(s, reply_int(reply->element[2], 0));
    } else {
        decide_others(s);
    }
    held_tell_settled(s->lease);
}

void held_look(struct shard *s)
{
    if (s->look_call == NULL) {
        s->look_call = store_cmd(s->lease->store, on_looked, s, "MGET %sepoch %sowner %sknocks",
            s->prefix, s->prefix, s->prefix);
    }
}

void lease_check(struct lease *lease, unsigned shard)
{
    if (!lease->is_leaving) {
        held_look(&lease->shards[shard]);
    }
}

void held_reconnected(struct lease *lease)
{
    for (unsigned i = 0; i < lease->shard_count; i++) {
        if (lease->shards[i].state == SHARD_STATE_HELD) {
            lease->on.reconnected(lease->on.owner, i);
        }
    }
}

void held_tell_settled(struct lease *lease)
{
    if (lease->is_settled || lease->is_first || lease->is_leaving ||
        !members_are_sure(&lease->members)) {
        return;
    }
    for (unsigned i = 0; i < lease->shard_count; i++) {
        const struct shard *s = &lease->shards[i];
        bool is_taken = members_is_alive(&lease->members, s->owner) && !is_written_as_ours(s);
        bool is_for_us = strcmp(s->target, lease->instance) == 0 || is_written_as_ours(s);
        if (!s->is_known || (is_for_us && !is_taken && s->state != SHARD_STATE_HELD)) {
            return;
        }
    }
    lease->is_settled = true;
    lease->on.settled(lease->on.owner);
}

/* ---- life ---- */

void held_init(struct shard *s, struct lease *lease, unsigned number)
{
    s->lease = lease;
    s->number = number;
    s->prefix = store_shard_prefix(lease->store, number);
    timer_init(&s->drain, lease->loop, drain_step, s);
}

void held_done(struct shard *s)
{
    store_cancel(s->look_call);
    store_cancel(s->knock_call);
    store_cancel(s->call);
    timer_done(&s->drain);
}
