/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commit statuses: the forge is told what becomes of a commit. git_receive.lua writes down that
 * there is something to tell, with the run itself; whoever carries the shard on looks at the run as
 * it is then and tells that, so a later state takes the place of an earlier one that could not be
 * told. A status whose run goes on stays in `git_statuses` (at +inf) until the run has ended.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/git_hooks.h"
#include "webhooks/out/retry.h"
#include "webhooks_scripts.h"

#define SCAN_MS 10000
#define SCANS_OF_RUNS 6 /* each so many scans the runs that go on are looked at, too */
#define RUNS_AT_ONCE 10000
#define AT_ONCE 64
#define AT_ONCE_EACH 4 /* of one trigger: a forge that hangs holds up no other */
#define CROWDED_S 2
#define SEEN_AT_ONCE 128
#define TRIES_MAX 8
#define BACKOFF_MIN_S 5
#define BACKOFF_FACTOR 3
#define BACKOFF_MAX_S 1800
#define RETRY_AFTER_MAX_MS 3600000
#define ANSWER_MAX ((size_t)64 << 10)
#define WHY_SHOWN 200
#define BITBUCKET_KEY_MAX 40 /* of its API */
#define BITBUCKET_KEY_HASH 8

/* One that is being told. */
struct git_status {
    struct git_statuses *all;
    struct git_status *prev, *next;
    char id[ID_LEN + 1];
    unsigned shard;
    struct store_call *call;
    struct git_remote_call *remote;
    struct git_trigger *trigger;
    struct pool *pool;
    const char *trigger_id, *event, *commit, *repository, *stage, *why, *posted;
    const char *run_state; /* "" there is no run */
    int64_t tries, created_us, started_us, finished_us;
    const char *run_error;
    enum forge_status status;
    const char *told; /* names what is told */
    int64_t again_us; /* when it is tried again; 0: when it is due anew */
};

/* A shard is looked at. */
struct status_look {
    struct git_statuses *all;
    struct store_call *call, *scan;
    struct timer start;
    bool is_wanted;  /* once more */
    int64_t next_us; /* what is known to be due later; 0: nothing */
    unsigned shard;
};

struct git_statuses {
    struct git_hooks *hooks;
    struct git_status *under_way;
    size_t count;
    struct status_look *looks; /* by shard */
    struct timer scan;
    unsigned scans;
};

static struct store *store_of(const struct git_statuses *all)
{
    return all->hooks->set.store;
}

static void look(struct git_statuses *all, unsigned shard)
{
    struct status_look *l = &all->looks[shard];
    if (all->hooks->is_ours[shard]) {
        l->is_wanted = true;
        timer_start_ms(&l->start, 0);
    }
}

static void status_free(struct git_status *s)
{
    struct git_statuses *all = s->all;
    *(s->prev != NULL ? &s->prev->next : &all->under_way) = s->next;
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    all->count--;
    store_cancel(s->call);
    git_remote_cancel(s->remote);
    git_trigger_unref(s->trigger);
    pool_free(s->pool);
    free(s);
}

/* ---- what has become of it ---- */

static void on_done(void *owner, redisReply *reply, const struct err *err)
{
    struct git_status *s = owner;
    struct git_statuses *all = s->all;
    struct status_look *l = &all->looks[s->shard];
    (void)reply;
    s->call = NULL;
    if (err == NULL && s->again_us > 0 && (l->next_us == 0 || s->again_us < l->next_us)) {
        l->next_us = s->again_us;
    }
    if (err != NULL) {
        LOG_WARN("what was told of a commit is not written down", "status=%s error=%s", s->id,
            LOG_Q(err->msg));
    }
    unsigned shard = s->shard;
    status_free(s);
    if (err == NULL) {
        look(all, shard); /* it may be due again, or others wait for the place */
    }                     /* else the next scan finds it, and tells the same again */
}

static void status_end(struct git_status *s, const char *what, int64_t wait_us, const char *why)
{
    struct git_statuses *all = s->all;
    const char *prefix = store_shard_prefix(store_of(all), s->shard);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_arg(args, prefix);
    store_arg_i(args, store_shard_epoch(store_of(all), s->shard));
    store_arg(args, s->id);
    store_arg_i(args, clock_now_us());
    store_arg(args, what);
    store_arg(args, s->stage);
    store_arg(args, s->status != FORGE_STATUS_PENDING ? "final" : "");
    store_arg(args, s->told);
    store_arg_i(args, s->again_us);
    store_arg_i(args, wait_us);
    store_arg(args, why);
    s->call = store_eval(store_of(all), &script_git_status_done, args, on_done, s);
}

static void posted(struct git_status *s)
{
    s->all->hooks->counts.statuses++;
    LOG_INFO("commit status told", "trigger=%s commit=%s status=%s run=%s", s->trigger_id,
        s->commit, s->told, s->id);
    status_end(s, "posted", 0, "");
}

/* It would not be taken another time either. */
static void refused(struct git_status *s, const char *why)
{
    s->all->hooks->counts.statuses_failed++;
    LOG_WARN("commit status given up", "trigger=%s commit=%s status=%s run=%s error=%s",
        s->trigger_id, s->commit, s->told, s->id, LOG_Q(why));
    status_end(s, "over", 0, why);
}

static int64_t backoff_us(int64_t tries)
{
    int64_t wait_s = BACKOFF_MIN_S;
    for (int64_t i = 0; i < tries && wait_s < BACKOFF_MAX_S; i++) {
        wait_s *= BACKOFF_FACTOR;
    }
    wait_s = wait_s < BACKOFF_MAX_S ? wait_s : BACKOFF_MAX_S;
    uint16_t jitter;
    random_bytes(&jitter, sizeof jitter);
    return wait_s * US_PER_S + wait_s * US_PER_S / 4 * jitter / UINT16_MAX;
}

/* wait_ms: the forge wants to be left alone for so long. */
static void failed(struct git_status *s, int64_t wait_ms, const char *why)
{
    bool is_last = s->tries + 1 >= TRIES_MAX;
    if (is_last && s->status != FORGE_STATUS_PENDING) {
        refused(s, why);
        return;
    }
    int64_t now_us = clock_now_us(), wait_us = wait_ms > 0 ? now_us + wait_ms * US_PER_MS : 0;
    int64_t due_us = now_us + backoff_us(s->tries);
    LOG_WARN("commit status has to wait", "trigger=%s commit=%s status=%s tries=%lld error=%s",
        s->trigger_id, s->commit, s->told, (long long)s->tries + 1, LOG_Q(why));
    s->again_us = is_last ? 0 : due_us > wait_us ? due_us : wait_us;
    status_end(s, is_last ? "parked" : "later", wait_us, why); /* the run's end is told anew */
}

/* ---- telling ---- */

/* How long a forge that counts calls wants us to wait; 0: it does not say so. */
static int64_t throttle_ms(const struct http_reply *reply)
{
    int64_t now_us = clock_now_us(), reset_s = 0;
    int64_t ms = retry_after_ms(reply->header(reply, "Retry-After"), now_us, RETRY_AFTER_MAX_MS);
    const char *left = reply->header(reply, "X-RateLimit-Remaining");
    const char *reset = reply->header(reply, "X-RateLimit-Reset");
    if (ms == 0 && str_eq(left, "0") && reset != NULL &&
        parse_i64(reset, 0, INT32_MAX, "", &reset_s, NULL) == 0 && reset_s > now_us / US_PER_S) {
        ms = (reset_s - now_us / US_PER_S) * 1000;
    }
    return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
}

/* GitLab refuses to set the state that a commit has: it was told before, and nobody wrote it down.
 */
static bool is_told_already(const struct git_status *s, const struct http_reply *reply)
{
    return s->trigger->remote.api.forge == FORGE_GITLAB && reply->status == 400 &&
           strstr(reply->body, "Cannot transition status") != NULL;
}

static void on_answer(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct git_status *s = owner;
    s->remote = NULL;
    FAULT("git.status.after");
    if (err != NULL) {
        failed(s, 0, err->msg);
        return;
    }
    int status = reply->status;
    if ((status >= 200 && status < 300) || is_told_already(s, reply)) {
        posted(s);
        return;
    }
    int64_t wait_ms = throttle_ms(reply);
    const char *forge = forge_name(s->trigger->remote.api.forge);
    if (status == 408 || status == 429 || status >= 500 || (status == 403 && wait_ms > 0)) {
        failed(s, wait_ms, pool_printf(s->pool, "%s answered %d", forge, status));
        return;
    }
    refused(
        s, pool_printf(s->pool, "%s answered %d%s", forge, status,
               status == 401 || status == 403 ? "; api.token may not set commit statuses"
               : status == 404 || status == 422
                   ? "; is there such a commit, and may api.token set statuses?"
               : status >= 300 && status < 400 ? "; api.url leads elsewhere, which is not followed"
                                               : ""));
}

/* " after 3 min"; "" when it is not known. */
static const char *duration(const struct git_status *s)
{
    int64_t from_us = s->started_us > 0 ? s->started_us : s->created_us;
    int64_t took_s = (s->finished_us - from_us) / US_PER_S;
    if (from_us <= 0 || took_s < 0) {
        return "";
    }
    return took_s < 60     ? pool_printf(s->pool, " after %lld s", (long long)took_s)
           : took_s < 3600 ? pool_printf(s->pool, " after %lld min", (long long)took_s / 60)
                           : pool_printf(s->pool, " after %lld h %lld min",
                                 (long long)took_s / 3600, (long long)took_s / 60 % 60);
}

static const char *first_line(const struct git_status *s, const char *text)
{
    return pool_clip(s->pool, pool_strndup(s->pool, text, strcspn(text, "\r\n")), WHY_SHOWN);
}

/* As the run is now. NULL: nobody need be told. */
static const char *describe(struct git_status *s)
{
    struct pool *pool = s->pool;
    s->status = FORGE_STATUS_PENDING;
    if (str_eq(s->stage, "waiting")) {
        return pool_printf(pool, "Waits %s", s->why);
    }
    if (str_eq(s->stage, "superseded")) {
        s->status = FORGE_STATUS_CANCELED;
        return pool_printf(pool, "Superseded by %s", s->why);
    }
    if (str_eq(s->stage, "dropped")) {
        s->status = FORGE_STATUS_CANCELED;
        return "Taken out of the queue";
    }
    if (str_eq(s->stage, "failed")) {
        s->status = FORGE_STATUS_FAILURE;
        return pool_printf(pool, "Could not start: %s", first_line(s, s->why));
    }
    if (str_eq(s->run_state, "SUCCEEDED")) {
        s->status = FORGE_STATUS_SUCCESS;
        return pool_printf(pool, "Succeeded%s", duration(s));
    }
    if (str_eq(s->run_state, "FAILED")) {
        s->status = FORGE_STATUS_FAILURE;
        return pool_printf(pool, "FAILED%s%s%s", duration(s), s->run_error[0] != '\0' ? ": " : "",
            first_line(s, s->run_error));
    }
    if (str_eq(s->run_state, "CANCELED")) {
        s->status = FORGE_STATUS_CANCELED;
        return pool_printf(pool, "Canceled%s", duration(s));
    }
    if (s->run_state[0] == '\0') {
        s->status = FORGE_STATUS_CANCELED;
        return "The run was deleted";
    }
    return "The run has begun";
}

/* Where people find more: the run, or the event when there is none. */
static const char *link_of(const struct git_status *s)
{
    const char *url = s->all->hooks->set.public_url;
    return url == NULL ? ""
           : s->run_state[0] != '\0'
               ? pool_printf(s->pool, "%s/apis/v2beta1/runs/%s", url, s->id)
               : pool_printf(s->pool, "%s/apis/rondo/v1/triggers/git/%s/events/%s", url,
                     s->trigger_id, s->event);
}

/* What tells this status from others of the commit. */
static const char *context_of(const struct git_status *s)
{
    const struct git_remote *remote = &s->trigger->remote;
    const char *context = remote->status_context[0] != '\0'
                              ? remote->status_context
                              : pool_printf(s->pool, "rondo/%s", s->trigger->name);
    if (remote->api.forge == FORGE_BITBUCKET && strlen(context) > BITBUCKET_KEY_MAX) {
        char hex[SHA256_HEX_LEN + 1];
        sha256_hex(context, strlen(context), hex);
        return pool_printf(s->pool, "%s-%.*s",
            pool_clip(s->pool, context, BITBUCKET_KEY_MAX - BITBUCKET_KEY_HASH - 1),
            BITBUCKET_KEY_HASH, hex);
    }
    return pool_clip(s->pool, context, GIT_STATUS_CONTEXT_MAX);
}

static void tell(struct git_status *s, const char *description)
{
    const struct git_remote *remote = &s->trigger->remote;
    struct forge_call call;
    struct err err = ERR_INIT;
    if (forge_api_status(&remote->api, s->commit, s->status, context_of(s), description, link_of(s),
            &call, &err) != 0) {
        refused(s, err.msg);
        return;
    }
    FAULT("git.status.before");
    s->remote = git_remote_start(
        s->all->hooks->set.http, s->all->hooks->set.egress, &call, ANSWER_MAX, on_answer, s, &err);
    forge_call_done(&call);
    if (s->remote == NULL) {
        refused(s, err.msg);
    }
}

static void on_trigger(void *owner, redisReply *reply, const struct err *err)
{
    struct git_status *s = owner;
    struct err bad = ERR_INIT;
    s->call = NULL;
    if (err == NULL) {
        s->trigger = git_known_get(s->all->hooks, s->trigger_id, reply_str(reply), &bad);
    }
    if (s->trigger == NULL && (err != NULL || bad.code != ERR_NOT_FOUND)) {
        LOG_WARN("a commit status has to wait", "trigger=%s error=%s", s->trigger_id,
            LOG_Q(err != NULL ? err->msg : bad.msg));
        status_free(s); /* the next scan finds it */
        return;
    }
    const char *description = describe(s);
    s->told = s->status == FORGE_STATUS_PENDING   ? pool_printf(s->pool, "pending %s", s->stage)
              : s->status == FORGE_STATUS_SUCCESS ? "success"
              : s->status == FORGE_STATUS_FAILURE ? "failure"
                                                  : "canceled";
    if (s->trigger == NULL || !s->trigger->remote.posts_status ||
        !str_eq(s->trigger->remote.api.repository, s->repository)) {
        status_end(s, "gone", 0, "");
    } else if (str_eq(s->told, s->posted)) {
        status_end(s, "parked", 0, "");
    } else {
        tell(s, description);
    }
}

static bool is_crowded(const struct git_status *s)
{
    size_t count = 0;
    for (const struct git_status *other = s->all->under_way; other != NULL; other = other->next) {
        count += other->remote != NULL && str_eq(other->trigger_id, s->trigger_id);
    }
    return count >= AT_ONCE_EACH;
}

static const char *field(const struct git_status *s, const redisReply *fields, const char *name)
{
    const char *text = reply_field(fields, name);
    return pool_strdup(s->pool, text != NULL ? text : "");
}

static void on_read(void *owner, redisReply *reply, const struct err *err)
{
    struct git_status *s = owner;
    s->call = NULL;
    if (err != NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 6) {
        status_free(s);
        return;
    }
    const redisReply *fields = reply->element[0];
    const char *error = reply_str(reply->element[5]), *state = reply_str(reply->element[1]);
    const char *tries = reply_field(fields, "tries");
    s->trigger_id = field(s, fields, "trigger");
    s->event = field(s, fields, "event");
    s->commit = field(s, fields, "commit");
    s->repository = field(s, fields, "repository");
    s->stage = field(s, fields, "stage");
    s->why = field(s, fields, "why");
    s->posted = field(s, fields, "posted");
    s->run_state = pool_strdup(s->pool, state != NULL ? state : "");
    s->run_error = pool_strdup(s->pool, error != NULL ? error : "");
    s->created_us = reply_int(reply->element[2], 0);
    s->started_us = reply_int(reply->element[3], 0);
    s->finished_us = reply_int(reply->element[4], 0);
    if (tries == NULL || parse_i64(tries, 0, INT32_MAX, "", &s->tries, NULL) != 0) {
        s->tries = 0;
    }
    if (is_crowded(s)) {
        s->told = "";
        s->again_us = clock_now_us() + CROWDED_S * US_PER_S;
        status_end(s, "crowded", 0, "");
        return;
    }
    s->call = store_cmd(store_of(s->all), on_trigger, s, "HGET %sgit_triggers %s",
        store_catalog_prefix(store_of(s->all)), id_is_valid(s->trigger_id) ? s->trigger_id : "-");
}

static bool is_under_way(const struct git_statuses *all, const char *id)
{
    for (const struct git_status *s = all->under_way; s != NULL; s = s->next) {
        if (strcmp(s->id, id) == 0) {
            return true;
        }
    }
    return false;
}

static void status_start(struct git_statuses *all, unsigned shard, const char *id)
{
    if (!id_is_valid(id) || is_under_way(all, id)) {
        return;
    }
    struct git_status *s = xcalloc(1, sizeof *s);
    s->all = all;
    s->pool = pool_new();
    s->shard = shard;
    memcpy(s->id, id, ID_LEN);
    s->next = all->under_way;
    if (s->next != NULL) {
        s->next->prev = s;
    }
    all->under_way = s;
    all->count++;
    struct store_args *args = store_args_new();
    const char *prefix = store_shard_prefix(store_of(all), shard);
    store_key(args, "%sgit_status:%s", prefix, id);
    store_key(args, "%srun:%s", prefix, id);
    s->call = store_eval(store_of(all), &script_git_status_get, args, on_read, s);
}

/* ---- looking ---- */

static void on_due(void *owner, redisReply *reply, const struct err *err)
{
    struct status_look *l = owner;
    struct git_statuses *all = l->all;
    l->call = NULL;
    for (size_t i = 0; err == NULL && i < reply->elements && all->count < AT_ONCE; i++) {
        const char *id = reply_str(reply->element[i]);
        if (id != NULL) {
            status_start(all, l->shard, id);
        }
    }
    if (l->is_wanted) {
        look(all, l->shard);
    } else if (l->next_us > 0) {
        timer_start_at(&l->start, l->next_us);
        l->next_us = 0;
    }
}

static void look_now(void *owner)
{
    struct status_look *l = owner;
    struct git_statuses *all = l->all;
    if (l->call != NULL || all->count >= AT_ONCE || !all->hooks->is_ours[l->shard]) {
        return; /* each end looks again, and so does the scan */
    }
    l->is_wanted = false;
    l->call =
        store_cmd(store_of(all), on_due, l, "ZRANGEBYSCORE %sgit_statuses -inf %lld LIMIT 0 %d",
            store_shard_prefix(store_of(all), l->shard), (long long)clock_now_us(), SEEN_AT_ONCE);
}

static void on_scanned(void *owner, redisReply *reply, const struct err *err)
{
    struct status_look *l = owner;
    l->scan = NULL;
    if (err != NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        return;
    }
    int64_t later_us = reply_int(reply->element[1], 0);
    if (reply_int(reply->element[0], 0) > 0) {
        look(l->all, l->shard);
    } else if (later_us > 0 && !timer_is_armed(&l->start)) {
        timer_start_at(&l->start, later_us);
    }
}

static void scan_runs(struct git_statuses *all, unsigned shard)
{
    struct status_look *l = &all->looks[shard];
    if (l->scan != NULL || !all->hooks->is_ours[shard]) {
        return;
    }
    const char *prefix = store_shard_prefix(store_of(all), shard);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_arg(args, prefix);
    store_arg_i(args, store_shard_epoch(store_of(all), shard));
    store_arg_i(args, clock_now_us());
    store_arg_i(args, RUNS_AT_ONCE);
    l->scan = store_eval(store_of(all), &script_git_status_scan, args, on_scanned, l);
}

void git_status_wake(struct git_hooks *h, const char *id)
{
    look(h->statuses, id_shard(id, store_shards(h->set.store)));
}

void git_status_shard_start(struct git_hooks *h, unsigned shard)
{
    look(h->statuses, shard);
    scan_runs(h->statuses, shard);
}

void git_status_shard_stop(struct git_hooks *h, unsigned shard)
{
    for (struct git_status *s = h->statuses->under_way, *next; s != NULL; s = next) {
        next = s->next;
        if (s->shard == shard) {
            status_free(s); /* whoever has it now tells the same again */
        }
    }
}

static void look_everywhere(void *owner)
{
    struct git_statuses *all = owner;
    all->scans++;
    for (unsigned i = 0; i < store_shards(store_of(all)); i++) {
        look(all, i);
        if (all->scans % SCANS_OF_RUNS == 0) {
            scan_runs(all, i);
        }
    }
    timer_start_ms(&all->scan, SCAN_MS);
}

/* ---- life ---- */

void git_status_init(struct git_hooks *h)
{
    struct git_statuses *all = xcalloc(1, sizeof *all);
    unsigned shards = store_shards(h->set.store);
    h->statuses = all;
    all->hooks = h;
    all->looks = xcalloc(shards, sizeof *all->looks);
    for (unsigned i = 0; i < shards; i++) {
        all->looks[i] = (struct status_look){.all = all, .shard = i};
        timer_init(&all->looks[i].start, h->set.loop, look_now, &all->looks[i]);
    }
    timer_init(&all->scan, h->set.loop, look_everywhere, all);
    timer_start_ms(&all->scan, SCAN_MS);
}

void git_status_finish(struct git_hooks *h)
{
    struct git_statuses *all = h->statuses;
    while (all->under_way != NULL) {
        status_free(all->under_way);
    }
    for (unsigned i = 0; i < store_shards(h->set.store); i++) {
        store_cancel(all->looks[i].call);
        store_cancel(all->looks[i].scan);
        timer_done(&all->looks[i].start);
    }
    timer_done(&all->scan);
    free(all->looks);
    free(all);
}
