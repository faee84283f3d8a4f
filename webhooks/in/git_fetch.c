/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages whose pipelines are to be read from repositories. The sender has had its answer, and
 * git_receive.lua has written the message down in `git_fetches`; whoever carries the shard on reads
 * the files and evaluates the message again, which takes it off. What does not work is tried again
 * for about an hour; the last time, what went wrong becomes the message's result.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/util.h"
#include "webhooks/in/git_hooks.h"
#include "webhooks_scripts.h"

#define SCAN_MS 10000
#define AT_ONCE 4
#define SEEN_AT_ONCE 16
#define TRIES_MAX 10
#define BACKOFF_MIN_S 5
#define BACKOFF_MAX_S 600
#define NAME_LEN (2 * ID_LEN + 1)

/* One message. */
struct git_fetch {
    struct git_fetcher *fetcher;
    struct git_fetch *prev, *next;
    char name[NAME_LEN + 1]; /* "<trigger> <event>" */
    char trigger[ID_LEN + 1], event[ID_LEN + 1];
    unsigned shard;
    int64_t tries;    /* before this one */
    int64_t again_us; /* 0: it is not tried again */
    struct store_call *call;
};

/* A shard is looked at. */
struct git_fetch_look {
    struct git_fetcher *fetcher;
    struct store_call *call;
    struct timer start;
    bool is_wanted;  /* once more */
    int64_t next_us; /* what is known to be due later; 0: nothing */
    unsigned shard;
};

struct git_fetcher {
    struct git_hooks *hooks;
    struct git_fetch *fetches;
    size_t count;
    struct git_fetch_look *looks; /* by shard */
    struct timer scan;
};

static struct store *store_of(const struct git_fetcher *f)
{
    return f->hooks->set.store;
}

static void look(struct git_fetcher *f, unsigned shard)
{
    struct git_fetch_look *l = &f->looks[shard];
    if (f->hooks->is_ours[shard]) {
        l->is_wanted = true;
        timer_start_ms(&l->start, 0);
    }
}

/* ---- one message ---- */

static void fetch_free(struct git_fetch *fetch)
{
    struct git_fetcher *f = fetch->fetcher;
    *(fetch->prev != NULL ? &fetch->prev->next : &f->fetches) = fetch->next;
    if (fetch->next != NULL) {
        fetch->next->prev = fetch->prev;
    }
    f->count--;
    store_cancel(fetch->call);
    free(fetch);
}

static void fetch_end(struct git_fetch *fetch)
{
    struct git_fetcher *f = fetch->fetcher;
    unsigned shard = fetch->shard;
    fetch_free(fetch);
    look(f, shard); /* others may wait for the place */
}

static void on_later(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct git_fetch *fetch = owner;
    fetch->call = NULL;
    if (err != NULL) {
        LOG_WARN("a message waits for its pipeline", "trigger=%s event=%s error=%s", fetch->trigger,
            fetch->event, LOG_Q(err->msg));
        fetch_free(fetch); /* the next look finds it */
        return;
    }
    struct git_fetch_look *l = &fetch->fetcher->looks[fetch->shard];
    if (fetch->again_us > 0 && (l->next_us == 0 || fetch->again_us < l->next_us)) {
        l->next_us = fetch->again_us;
    }
    fetch_end(fetch);
}

static int64_t backoff_s(int64_t tries)
{
    int64_t wait_s = BACKOFF_MIN_S;
    for (int64_t i = 0; i < tries && wait_s < BACKOFF_MAX_S; i++) {
        wait_s *= 2;
    }
    wait_s = wait_s < BACKOFF_MAX_S ? wait_s : BACKOFF_MAX_S;
    uint16_t jitter;
    random_bytes(&jitter, sizeof jitter);
    return wait_s + wait_s * jitter / UINT16_MAX / 4;
}

static void fetch_later(struct git_fetch *fetch, bool is_over)
{
    struct git_fetcher *f = fetch->fetcher;
    const char *prefix = store_shard_prefix(store_of(f), fetch->shard);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_arg(args, prefix);
    store_arg_i(args, store_shard_epoch(store_of(f), fetch->shard));
    store_arg(args, fetch->name);
    fetch->again_us = is_over ? 0 : clock_now_us() + backoff_s(fetch->tries) * US_PER_S;
    store_arg_i(args, fetch->again_us);
    fetch->call = store_eval(store_of(f), &script_git_fetch_later, args, on_later, fetch);
}

static void on_evaluated(void *owner, const json_t *answer, const struct err *err)
{
    (void)answer;
    struct git_fetch *fetch = owner;
    if (err == NULL) {
        fetch_end(fetch); /* by one script with its result it is no longer written there */
        return;
    }
    /* The trigger or the event is gone, or neither this nor later tries can work. */
    bool is_over = err->code == ERR_NOT_FOUND || fetch->tries > TRIES_MAX;
    LOG_WARN(is_over ? "a message is given up" : "a message waits for its pipeline",
        "trigger=%s event=%s tries=%lld error=%s", fetch->trigger, fetch->event,
        (long long)fetch->tries + 1, LOG_Q(err->msg));
    fetch_later(fetch, is_over);
}

static void on_tries(void *owner, redisReply *reply, const struct err *err)
{
    struct git_fetch *fetch = owner;
    struct git_fetcher *f = fetch->fetcher;
    fetch->call = NULL;
    if (err != NULL) {
        fetch_free(fetch);
        return;
    }
    fetch->tries = reply_int(reply, 0);
    git_event_fetch(
        f->hooks, fetch->trigger, fetch->event, fetch->tries >= TRIES_MAX, on_evaluated, fetch);
}

static bool is_under_way(const struct git_fetcher *f, const char *name)
{
    for (const struct git_fetch *fetch = f->fetches; fetch != NULL; fetch = fetch->next) {
        if (strcmp(fetch->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void fetch_start(struct git_fetcher *f, unsigned shard, const char *name)
{
    if (strlen(name) != NAME_LEN || name[ID_LEN] != ' ' || is_under_way(f, name)) {
        return;
    }
    struct git_fetch *fetch = xcalloc(1, sizeof *fetch);
    fetch->fetcher = f;
    fetch->shard = shard;
    memcpy(fetch->name, name, NAME_LEN);
    memcpy(fetch->trigger, name, ID_LEN);
    memcpy(fetch->event, name + ID_LEN + 1, ID_LEN);
    fetch->next = f->fetches;
    if (fetch->next != NULL) {
        fetch->next->prev = fetch;
    }
    f->fetches = fetch;
    f->count++;
    fetch->call = store_cmd(store_of(f), on_tries, fetch, "HGET %sgit_fetch_tries %b",
        store_shard_prefix(store_of(f), shard), fetch->name, (size_t)NAME_LEN);
}

/* ---- looking ---- */

static void on_due(void *owner, redisReply *reply, const struct err *err)
{
    struct git_fetch_look *l = owner;
    struct git_fetcher *f = l->fetcher;
    l->call = NULL;
    for (size_t i = 0; err == NULL && i < reply->elements && f->count < AT_ONCE; i++) {
        const char *name = reply_str(reply->element[i]);
        if (name != NULL) {
            fetch_start(f, l->shard, name);
        }
    }
    if (l->is_wanted) {
        look(f, l->shard);
    } else if (l->next_us > 0) {
        timer_start_at(&l->start, l->next_us);
        l->next_us = 0;
    }
}

static void look_now(void *owner)
{
    struct git_fetch_look *l = owner;
    struct git_fetcher *f = l->fetcher;
    if (l->call != NULL || f->count >= AT_ONCE || !f->hooks->is_ours[l->shard]) {
        return; /* each end of a fetch looks again */
    }
    l->is_wanted = false;
    l->call = store_cmd(store_of(f), on_due, l, "ZRANGEBYSCORE %sgit_fetches -inf %lld LIMIT 0 %d",
        store_shard_prefix(store_of(f), l->shard), (long long)clock_now_us(), SEEN_AT_ONCE);
}

void git_fetch_wake(struct git_hooks *h, const char *trigger_id)
{
    look(h->fetcher, id_shard(trigger_id, store_shards(h->set.store)));
}

void git_fetch_look(struct git_hooks *h, unsigned shard)
{
    look(h->fetcher, shard);
}

static void look_everywhere(void *owner)
{
    struct git_fetcher *f = owner;
    for (unsigned i = 0; i < store_shards(store_of(f)); i++) {
        look(f, i);
    }
    timer_start_ms(&f->scan, SCAN_MS);
}

/* ---- life ---- */

void git_fetch_init(struct git_hooks *h)
{
    struct git_fetcher *f = xcalloc(1, sizeof *f);
    unsigned shards = store_shards(h->set.store);
    h->fetcher = f;
    f->hooks = h;
    f->looks = xcalloc(shards, sizeof *f->looks);
    for (unsigned i = 0; i < shards; i++) {
        f->looks[i] = (struct git_fetch_look){.fetcher = f, .shard = i};
        timer_init(&f->looks[i].start, h->set.loop, look_now, &f->looks[i]);
    }
    timer_init(&f->scan, h->set.loop, look_everywhere, f);
    timer_start_ms(&f->scan, SCAN_MS);
}

void git_fetch_done(struct git_hooks *h)
{
    struct git_fetcher *f = h->fetcher;
    while (f->fetches != NULL) {
        fetch_free(f->fetches);
    }
    for (unsigned i = 0; i < store_shards(h->set.store); i++) {
        store_cancel(f->looks[i].call);
        timer_done(&f->looks[i].start);
    }
    timer_done(&f->scan);
    free(f->looks);
    free(f);
}
