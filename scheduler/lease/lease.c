/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease: beats, and what follows from what they show. At each beat the list of members is
 * renewed and, unless we are alone and hold everything, each shard is looked at: is it ours still,
 * is it free and ours to take, is it to be given up, has somebody knocked.
 *
 *   members.c   who is alive         shares.c   whose turn it is for which shard
 *   held.c      one shard: taking it, giving it up, losing it
 */
#include "lease/inside.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "lease_scripts.h"

/*
 * The form of what is kept in the shards, one more whenever a daemon that does not know the change
 * would do wrong by it. The first daemon that joins with a later one ends those before it.
 * 1: ticks claimed ahead (contrib/docs/storage.md).
 */
#define LAYOUT 1
/* Alone and content: look at the shards nevertheless, for a Redis that lost something. */
#define LOOK_EVERY_BEATS 10
/* After Redis was away others may be back later than we: they try again up to every two seconds. */
#define GRACE_US (3 * US_PER_S)
/* An orderly stop waits so long for what is being written, and then for Redis. */
#define STOP_QUIET_MS 100
#define STOP_MAX_MS 1000
#define DRAIN_MS 5
#define NEWS_MAX_BYTES 8192

static void lease_beat(void *owner);

/* ---- whose turn it is ---- */

static void compute_targets(struct lease *lease)
{
    const struct members *m = &lease->members;
    const char **ids CLEANUP(cleanup_free) = xcalloc(m->count + 1, sizeof(*ids));
    size_t *out CLEANUP(cleanup_free) = xcalloc(lease->shard_count, sizeof(*out));
    size_t count = 0;
    ids[count++] = m->self;
    for (size_t i = 0; i < m->count; i++) {
        if (m->all[i].is_alive && strcmp(m->all[i].id, m->self) != 0) {
            ids[count++] = m->all[i].id;
        }
    }
    shares_compute(ids, count, lease->shard_count, out);
    for (unsigned i = 0; i < lease->shard_count; i++) {
        snprintf(lease->shards[i].target, sizeof(lease->shards[i].target), "%s", ids[out[i]]);
    }
}

static void log_members(const struct lease *lease)
{
    struct buf text;
    buf_init(&text, 4096);
    for (size_t i = 0; i < lease->members.count; i++) {
        const struct member *one = &lease->members.all[i];
        buf_addf(&text, "%s%s@%s%s", text.len > 0 ? "," : "", one->id,
            jget_str(one->record, "host", ""), one->is_alive ? "" : "(dead)");
    }
    LOG_INFO("daemons on this Redis", "alive=%zu members=%s", members_others(&lease->members) + 1,
        LOG_Q(buf_str(&text)));
    buf_done(&text);
}

static void bury(struct lease *lease)
{
    for (size_t i = 0; i < lease->members.count; i++) {
        const struct member *one = &lease->members.all[i];
        if (!one->is_alive) {
            struct store_args *args = store_args_new();
            store_key(args, "%sdaemons", store_catalog_prefix(lease->store));
            store_arg(args, one->id);
            store_arg(args, one->text);
            store_eval(lease->store, &script_member_remove, args, NULL, NULL);
        }
    }
}

/* ---- beats ---- */

static bool is_alone(const struct lease *lease)
{
    return lease->members.count == 0 ||
           (lease->members.count == 1 && members_find(&lease->members, lease->instance) != NULL);
}

static char *record_text(struct lease *lease, bool alone)
{
    json_t *record CLEANUP(json_decrefp) = json_object();
    json_object_set_new(record, "v", json_integer(1));
    json_object_set_new(record, "boot", json_string(lease->boot.text));
    json_object_set_new(record, "beat", json_integer(++lease->beats));
    json_object_set_new(record, "silent_ms", json_integer(alone ? SILENT_ALONE_MS : SILENT_MS));
    json_object_set_new(record, "pid", json_integer(getpid()));
    json_object_set_new(record, "started_us", json_integer(lease->started_us));
    jset_str(record, "host", lease->host);
    jset_str(record, "url", lease->url);
    jset_str(record, "version", lease->version);
    return jtext(record);
}

/* Ours is to be in the list, and says how often it changes: while we are alone, never. */
static bool must_write(const struct lease *lease, bool alone)
{
    const struct member *self = members_find(&lease->members, lease->instance);
    return !alone || self == NULL ||
           !str_eq(jget_str(self->record, "boot", ""), lease->boot.text) ||
           jget_i64(self->record, "silent_ms", 0) != SILENT_ALONE_MS;
}

static void next_beat(struct lease *lease)
{
    if (!lease->is_leaving) {
        timer_start_ms(&lease->timer, is_alone(lease) ? BEAT_ALONE_MS : BEAT_MS);
    }
}

static void on_beat_refused(struct lease *lease, const struct err *err)
{
    const struct member *self = members_find(&lease->members, lease->instance);
    switch (err->code) {
    case ERR_FENCED:
        LOG_ERROR("another daemon has joined under our instance id: is its data folder a copy "
                  "of ours?",
            "instance=%s", lease->instance);
        lease->is_leaving = true; /* what is in the list is the other's */
        lease->is_displaced = true;
        lease->on.displaced(lease->on.owner);
        break;
    case ERR_PRECONDITION:
        LOG_ERROR("cannot stay on this Redis", "error=%s", LOG_Q(err->msg));
        free(lease->last_text); /* that was not written */
        lease->last_text = self != NULL ? xstrdup(self->text) : NULL;
        lease->on.displaced(lease->on.owner);
        break;
    default:
        next_beat(lease); /* while Redis is away a command waits for it: no busy loop */
    }
}

static void on_beat(void *owner, redisReply *reply, const struct err *err)
{
    struct lease *lease = owner;
    lease->call = NULL;
    if (err != NULL) {
        on_beat_refused(lease, err);
        return;
    }
    int64_t now_us = clock_mono_us();
    lease->is_first = false;
    if (lease->connection != store_connections(lease->store)) {
        bool is_first = lease->connection == 0;
        lease->connection = store_connections(lease->store);
        lease->answered_us = now_us;
        if (!is_first) {
            members_excuse(&lease->members, GRACE_US);
            held_reconnected(lease);
        }
    }
    bool changed = members_take(&lease->members, reply, now_us - lease->answered_us);
    lease->answered_us = now_us;
    if (changed) {
        compute_targets(lease);
        log_members(lease);
    }
    bury(lease);
    held_tell_settled(lease);
    next_beat(lease);
}

static bool must_look(struct lease *lease)
{
    if (!is_alone(lease) || !lease->is_settled || lease->looked_beats++ % LOOK_EVERY_BEATS == 0 ||
        lease->connection != store_connections(lease->store)) {
        return true;
    }
    for (unsigned i = 0; i < lease->shard_count; i++) {
        if (lease->shards[i].state != SHARD_STATE_HELD) {
            return true;
        }
    }
    return false;
}

static void lease_beat(void *owner)
{
    struct lease *lease = owner;
    if (lease->call != NULL) {
        return;
    }
    bool alone = !lease->is_first && is_alone(lease);
    const char *text = "";
    if (must_write(lease, alone)) {
        free(lease->last_text);
        text = lease->last_text = record_text(lease, alone);
    }
    struct store_args *args = store_args_new();
    store_key(args, "%sdaemons", store_catalog_prefix(lease->store));
    store_key(args, "%slayout", store_catalog_prefix(lease->store));
    store_arg(args, lease->instance);
    store_arg(args, lease->boot.text);
    store_arg(args, text);
    store_arg(args, lease->is_first ? "1" : "0");
    store_arg_i(args, LAYOUT);
    lease->call = store_eval(lease->store, &script_beat, args, on_beat, lease);
    /* Their answers come behind the list's, so they are judged by it. */
    if (must_look(lease)) {
        for (unsigned i = 0; i < lease->shard_count; i++) {
            held_look(&lease->shards[i]);
        }
    }
}

/* ---- leaving ---- */

static void leave_end(struct lease *lease)
{
    store_cancel(STEAL(lease->leave_call));
    timer_stop(&lease->drain);
    void (*stopped)(void *) = STEAL(lease->stopped);
    if (stopped != NULL) {
        stopped(lease->stopped_owner);
    }
}

static void on_left(void *owner, redisReply *reply, const struct err *err)
{
    struct lease *lease = owner;
    (void)reply;
    (void)err;
    lease->leave_call = NULL;
    leave_end(lease);
}

/* All shards are given up, which others see once we are not in the list any more. */
static void leave_list(struct lease *lease)
{
    lease->has_left = true;
    if (lease->last_text == NULL || lease->is_displaced || !store_is_up(lease->store)) {
        leave_end(lease);
        return;
    }
    struct store_args *args = store_args_new();
    store_key(args, "%sdaemons", store_catalog_prefix(lease->store));
    store_arg(args, lease->instance);
    store_arg(args, lease->last_text);
    lease->leave_call = store_eval(lease->store, &script_member_remove, args, on_left, lease);
}

static void leave_step(void *owner)
{
    struct lease *lease = owner;
    int64_t waited_ms = (clock_mono_us() - lease->leaving_us) / US_PER_MS;
    if (lease->has_left) {
        leave_end(lease); /* Redis does not answer */
        return;
    }
    bool is_over = waited_ms >= STOP_QUIET_MS || !store_is_up(lease->store);
    bool any = false;
    for (unsigned i = 0; i < lease->shard_count; i++) {
        any |= held_leave(&lease->shards[i], is_over);
    }
    if (any) {
        timer_start_ms(&lease->drain, DRAIN_MS);
        return;
    }
    timer_start_ms(&lease->drain, STOP_MAX_MS);
    leave_list(lease);
}

void lease_stop(struct lease *lease, void (*done)(void *owner), void *owner)
{
    lease->stopped = done;
    lease->stopped_owner = owner;
    lease->is_leaving = true;
    lease->leaving_us = clock_mono_us();
    timer_stop(&lease->timer);
    for (unsigned i = 0; i < lease->shard_count; i++) {
        held_begin_leave(&lease->shards[i]);
    }
    timer_start_ms(&lease->drain, 0);
}

/* ---- life ---- */

struct lease *lease_new(const struct lease_settings *settings, const struct lease_owner *owner)
{
    struct lease *lease = xcalloc(1, sizeof(*lease));
    lease->loop = settings->loop;
    lease->store = settings->store;
    lease->on = *owner;
    lease->instance = xstrdup(settings->instance);
    lease->host = xstrdup(settings->host != NULL ? settings->host : "");
    lease->version = xstrdup(settings->version);
    lease->url = xstrdup("");
    lease->is_first = true;
    id_new(&lease->boot);
    members_init(&lease->members, lease->instance);
    buf_init(&lease->news, NEWS_MAX_BYTES);
    lease->shard_count = store_shards(lease->store);
    lease->shards = xcalloc(lease->shard_count, sizeof(*lease->shards));
    for (unsigned i = 0; i < lease->shard_count; i++) {
        held_init(&lease->shards[i], lease, i);
    }
    timer_init(&lease->timer, lease->loop, lease_beat, lease);
    timer_init(&lease->drain, lease->loop, leave_step, lease);
    return lease;
}

void lease_set_url(struct lease *lease, const char *url)
{
    free(lease->url);
    lease->url = xstrdup(url);
}

void lease_start(struct lease *lease)
{
    lease->started_us = clock_now_us();
    lease_beat(lease);
}

void lease_free(struct lease *lease)
{
    if (lease == NULL) {
        return;
    }
    store_cancel(lease->call);
    store_cancel(lease->leave_call);
    timer_done(&lease->timer);
    timer_done(&lease->drain);
    for (unsigned i = 0; i < lease->shard_count; i++) {
        held_done(&lease->shards[i]);
    }
    members_done(&lease->members);
    free(lease->shards);
    free(lease->instance);
    free(lease->host);
    free(lease->version);
    free(lease->url);
    free(lease->last_text);
    buf_done(&lease->news);
    loop_defer_cancel(lease->loop, &lease->tell_news);
    free(lease);
}

/* ---- who is there ---- */

bool lease_has_others(const struct lease *lease)
{
    return members_others(&lease->members) > 0;
}

const char *lease_url_of(const struct lease *lease, const char *instance)
{
    const struct member *one = members_find(&lease->members, instance);
    const char *url = one != NULL && one->is_alive && strcmp(instance, lease->instance) != 0
                          ? jget_str(one->record, "url", "")
                          : "";
    return url[0] != '\0' ? url : NULL;
}

const char *lease_url(const struct lease *lease, unsigned shard)
{
    const struct shard *s = &lease->shards[shard];
    return s->state == SHARD_STATE_HELD ? NULL : lease_url_of(lease, s->owner);
}

static json_t *member_json(const struct lease *lease, const struct member *one)
{
    json_t *out = json_object();
    json_t *shards = json_array();
    static const char *const copied[] = {"host", "pid", "version", "url", "started_us"};
    json_object_set_new(out, "id", json_string(one->id));
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *value = json_object_get(one->record, copied[i]);
        if (value != NULL) {
            json_object_set(out, copied[i], value);
        }
    }
    bool is_self = strcmp(one->id, lease->instance) == 0;
    json_object_set_new(out, "self", json_boolean(is_self));
    json_object_set_new(out, "alive", json_boolean(one->is_alive));
    for (unsigned i = 0; i < lease->shard_count; i++) {
        const struct shard *s = &lease->shards[i];
        bool is_ours = store_shard_epoch(lease->store, i) != 0;
        if (is_self ? is_ours : !is_ours && strcmp(s->owner, one->id) == 0) {
            json_array_append_new(shards, json_integer(i));
        }
    }
    json_object_set_new(out, "shards", shards);
    return out;
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const struct member *const *)a)->id, (*(const struct member *const *)b)->id);
}

json_t *lease_members(const struct lease *lease)
{
    const struct members *m = &lease->members;
    const struct member **sorted CLEANUP(cleanup_free) = xcalloc(m->count + 1, sizeof(*sorted));
    for (size_t i = 0; i < m->count; i++) {
        sorted[i] = &m->all[i];
    }
    qsort(sorted, m->count, sizeof(*sorted), by_id);
    json_t *out = json_array();
    for (size_t i = 0; i < m->count; i++) {
        json_array_append_new(out, member_json(lease, sorted[i]));
    }
    return out;
}

void lease_counts(const struct lease *lease, struct lease_counts *out)
{
    *out = lease->counts;
    out->members = (int64_t)members_others(&lease->members) + 1;
    for (unsigned i = 0; i < lease->shard_count; i++) {
        out->held += store_shard_epoch(lease->store, i) != 0;
    }
}
