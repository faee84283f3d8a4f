/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushes that the forge did not tell: whoever carries a trigger's shard on reads the refs of its
 * repository every poll_s. What has moved, and what no message told, becomes a message by the same
 * way as any other; git_receive.lua sees to it that a push is counted once, whoever tells it first.
 * Which triggers poll is in the catalog's `git_polls`, kept by the script that stores triggers.
 */
#include "webhooks/in/git_poll.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "webhooks/in/git_hooks.h"
#include "webhooks/out/retry.h"
#include "webhooks_scripts.h"

#define LIST_MS 10000
#define AT_ONCE 8 /* each may have FORGE_REFS_BYTES_MAX */
#define CROWDED_MS 1000
#define BACKOFF_DOUBLINGS 6
#define BACKOFF_MAX_S 3600
#define REST_S 5 /* the next look, when there was more than could be gone through */
#define RETRY_AFTER_MAX_MS 3600000

/* The refs of one trigger's repository. */
struct git_poll {
    struct git_polls *all;
    char id[ID_LEN + 1];
    unsigned shard;
    bool is_listed;
    bool is_under_way;
    struct timer start;
    struct store_call *call;
    struct git_remote_call *remote;
    struct git_case *one;
    struct deferred later;
    /* of the look under way */
    struct git_trigger *trigger;
    struct pool *pool, *case_pool;
    struct map *kept; /* ref -> id */
    struct git_refs refs;
    const char *url; /* of the repository */
    char digest[SHA256_HEX_LEN + 1];
    int64_t begun_us, last_us; /* of this look, and of the one before; 0: this is the first one */
    int64_t failures;          /* in a row, before this one */
    struct git_move *moves;
    bool *is_told; /* by a message */
    size_t count, at;
    bool is_all; /* there are no others */
    struct err err;
    int64_t wait_ms; /* the forge wants to be left alone */
};

struct git_polls {
    struct git_hooks *hooks;
    struct map *polls; /* trigger id -> struct git_poll */
    size_t under_way;
    struct store_call *call;
    struct timer list;
};

static struct store *store_of(const struct git_poll *p)
{
    return p->all->hooks->set.store;
}

/* What belongs to one look only. */
static void look_done(struct git_poll *p)
{
    store_cancel(p->call);
    git_remote_cancel(p->remote);
    git_case_free(p->one);
    loop_defer_cancel(p->all->hooks->set.loop, &p->later);
    git_trigger_unref(p->trigger);
    map_free(p->kept);
    git_refs_done(&p->refs);
    if (p->case_pool != NULL) {
        pool_free(p->case_pool);
    }
    if (p->pool != NULL) {
        pool_free(p->pool);
    }
    p->call = NULL;
    p->remote = NULL;
    p->one = NULL;
    p->trigger = NULL;
    p->kept = NULL;
    p->pool = p->case_pool = NULL;
    p->moves = NULL;
    p->count = p->at = 0;
    p->failures = p->last_us = p->wait_ms = 0;
    p->err.code = ERR_NONE;
    p->all->under_way -= p->is_under_way;
    p->is_under_way = false;
}

static void poll_free(void *value)
{
    struct git_poll *p = value;
    if (p != NULL) {
        look_done(p);
        timer_done(&p->start);
        free(p);
    }
}

/* ---- the end of a look ---- */

static int64_t jitter(int64_t us)
{
    uint16_t random;
    random_bytes(&random, sizeof random);
    return us - us / 10 + us / 5 * random / UINT16_MAX;
}

static int64_t next_us(const struct git_poll *p)
{
    int64_t now_us = clock_now_us(), every_s = p->trigger->remote.poll_s;
    if (p->err.code == ERR_NONE) {
        return now_us + jitter((p->is_all ? every_s : REST_S) * US_PER_S);
    }
    int64_t wait_s = every_s, most_s = every_s > BACKOFF_MAX_S ? every_s : BACKOFF_MAX_S;
    for (int64_t i = 0; i < p->failures && i < BACKOFF_DOUBLINGS; i++) {
        wait_s *= 2;
    }
    int64_t wait_us = jitter((wait_s < most_s ? wait_s : most_s) * US_PER_S);
    return now_us + (wait_us > p->wait_ms * US_PER_MS ? wait_us : p->wait_ms * US_PER_MS);
}

static void on_written(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct git_poll *p = owner;
    p->call = NULL;
    FAULT("git.poll.after");
    if (err != NULL) {
        LOG_WARN("what was seen of a repository is not written down", "trigger=%s error=%s", p->id,
            LOG_Q(err->msg));
        timer_start_ms(&p->start, LIST_MS); /* the same is found again */
    }
    look_done(p);
}

static const char *whose(const struct git_poll *p)
{
    return pool_printf(
        p->pool, "%s %s", p->trigger->remote.api.url, p->trigger->remote.api.repository);
}

/* Writes down how far this has come. */
static void look_end(void *owner)
{
    struct git_poll *p = owner;
    const char *prefix = store_shard_prefix(store_of(p), p->shard);
    bool is_first = p->last_us == 0, failed = p->err.code != ERR_NONE;
    int64_t at_us = next_us(p);
    struct store_args *args = store_args_new();
    store_key(args, "%sepoch", prefix);
    store_arg(args, prefix);
    store_arg_i(args, store_shard_epoch(store_of(p), p->shard));
    store_arg(args, p->id);
    store_arg_i(args, p->begun_us);
    store_arg_i(args, at_us);
    store_arg(args, failed ? p->err.msg : "");
    store_arg(args, whose(p));
    store_arg(args, p->is_all ? p->digest : "");
    store_arg_i(args, (int64_t)p->refs.count);
    store_arg(args, is_first && !failed ? "all" : "");
    for (size_t i = 0; is_first && !failed && i < p->refs.count; i++) {
        store_arg(args, p->refs.items[i].name);
        store_arg(args, p->refs.items[i].id);
    }
    for (size_t i = 0; i < p->at; i++) {
        bool is_gone = p->moves[i].after[strspn(p->moves[i].after, "0")] == '\0';
        store_arg(args, p->moves[i].ref);
        store_arg(args, is_gone ? "" : p->moves[i].after);
    }
    if (failed) {
        p->all->hooks->counts.polls_failed++;
        LOG_WARN("the refs of a repository could not be read", "trigger=%s failures=%lld error=%s",
            p->id, (long long)p->failures + 1, LOG_Q(p->err.msg));
    } else {
        p->all->hooks->counts.polls++;
    }
    timer_start_at(&p->start, at_us);
    FAULT("git.poll.before");
    p->call = store_eval(store_of(p), &script_git_poll_done, args, on_written, p);
}

static void look_fail(struct git_poll *p, const struct err *err)
{
    if (err != &p->err) {
        err_copy(&p->err, err);
    }
    loop_defer(p->all->hooks->set.loop, &p->later, look_end, p);
}

/* ---- what has moved ---- */

static void next_move(void *owner);

static void move_done(struct git_poll *p)
{
    git_case_free(p->one);
    p->one = NULL;
    if (p->case_pool != NULL) {
        pool_free(p->case_pool);
    }
    p->case_pool = NULL;
    p->at++;
    next_move(p);
}

static void move_over(void *owner)
{
    move_done(owner);
}

static void on_settled(void *owner, const struct err *err)
{
    struct git_poll *p = owner;
    if (err != NULL) {
        look_fail(p, err);
    } else {
        loop_defer(p->all->hooks->set.loop, &p->later, move_over, p);
    }
}

static void on_examined(void *owner, const struct err *err)
{
    struct git_poll *p = owner;
    if (err != NULL) {
        look_fail(p, err);
    } else {
        git_case_settle(p->one, on_settled, p);
    }
}

static void next_move(void *owner)
{
    struct git_poll *p = owner;
    while (p->at < p->count && p->is_told[p->at]) {
        p->at++;
    }
    if (p->at == p->count) {
        look_end(p);
        return;
    }
    struct pool *pool = pool_new();
    p->case_pool = pool;
    struct hook_message *message = pool_calloc(pool, 1, sizeof *message);
    const char *payload = git_poll_payload(
        pool, p->trigger->remote.api.repository, p->url, p->last_us, &p->moves[p->at]);
    struct err err = ERR_INIT;
    if (payload == NULL || git_poll_read(pool, p->trigger->source.forge, payload, strlen(payload),
                               message, &err) != 0) {
        LOG_WARN("a ref is left out", "trigger=%s error=%s", p->id,
            LOG_Q(payload == NULL ? "its name is not UTF-8" : err.msg));
        move_done(p);
        return;
    }
    LOG_INFO("a push that no message told", "trigger=%s ref=%s after=%s", p->id,
        LOG_Q(p->moves[p->at].ref), p->moves[p->at].after);
    p->one = git_case_new(p->all->hooks, pool, git_trigger_ref(p->trigger), message, json_object());
    p->one->payload = payload;
    p->one->payload_len = strlen(payload);
    p->one->content_type = "application/json";
    git_case_examine(p->one, false, on_examined, p);
}

/* Where messages say that these refs went. */
static void on_told(void *owner, redisReply *reply, const struct err *err)
{
    struct git_poll *p = owner;
    p->call = NULL;
    if (err != NULL) {
        look_fail(p, err);
        return;
    }
    for (size_t i = 0; i < p->count && 2 * i + 1 < reply->elements; i++) {
        const char *after = reply_str(reply->element[2 * i]);
        struct git_move *move = &p->moves[i];
        int64_t told_us = reply_int(reply->element[2 * i + 1], 0);
        if (after == NULL || strlen(after) != strlen(move->after)) {
            continue;
        }
        p->is_told[i] =
            strcmp(after, move->after) == 0 && told_us > p->last_us - GIT_POLL_OVERLAP_US;
        if (told_us > p->last_us) {
            move->before = pool_strdup(p->pool, after);
        }
    }
    next_move(p);
}

static void on_kept(void *owner, redisReply *reply, const struct err *err)
{
    struct git_poll *p = owner;
    p->call = NULL;
    if (err != NULL) {
        look_fail(p, err);
        return;
    }
    p->kept = map_new(NULL);
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const char *ref = reply_str(reply->element[i]), *id = reply_str(reply->element[i + 1]);
        if (ref != NULL && id != NULL) {
            map_put(p->kept, ref, pool_strdup(p->pool, id));
        }
    }
    p->is_all = git_moves(p->pool, p->kept, &p->refs, &p->moves, &p->count);
    if (p->count == 0) {
        look_end(p);
        return;
    }
    p->is_told = pool_calloc(p->pool, p->count, sizeof *p->is_told);
    struct store_args *args = store_args_new();
    const char *prefix = store_shard_prefix(store_of(p), p->shard);
    store_key(args, "%sgit:%s:seen", prefix, p->id);
    store_key(args, "%sgit:%s:seen_at", prefix, p->id);
    for (size_t i = 0; i < p->count; i++) {
        store_arg(args, git_ref_key(p->pool, p->trigger->remote.api.repository, p->moves[i].ref));
    }
    p->call = store_eval(store_of(p), &script_git_poll_told, args, on_told, p);
}

/* ---- reading ---- */

static void on_state(void *owner, redisReply *reply, const struct err *err)
{
    struct git_poll *p = owner;
    p->call = NULL;
    if (err != NULL) {
        look_fail(p, err);
        return;
    }
    const char *of = reply_field(reply, "of"), *digest = reply_field(reply, "digest");
    if (!str_eq(of, whose(p))) {
        p->last_us = 0; /* of another repository, or there are none */
        look_end(p);
    } else if (str_eq(digest, p->digest)) {
        look_end(p);
    } else {
        p->call = store_cmd(store_of(p), on_kept, p, "HGETALL %sgit:%s:refs",
            store_shard_prefix(store_of(p), p->shard), p->id);
    }
}

static void on_refs(void *owner, const struct http_reply *reply, const struct err *err)
{
    struct git_poll *p = owner;
    p->remote = NULL;
    if (err != NULL) {
        look_fail(p, err);
        return;
    }
    if (reply->status != 200) {
        p->wait_ms =
            retry_after_ms(reply->header(reply, "Retry-After"), clock_now_us(), RETRY_AFTER_MAX_MS);
        err_set(&p->err, ERR_TRANSIENT, "%s answered %d%s", forge_name(p->trigger->source.forge),
            reply->status,
            reply->status == 401 || reply->status == 403 || reply->status == 404
                ? "; is there such a repository, and may api.token read it?"
            : reply->status >= 300 && reply->status < 400
                ? "; the repository is elsewhere, which is not followed"
                : "");
        look_fail(p, &p->err);
        return;
    }
    sha256_hex(reply->body, reply->body_len, p->digest);
    if (git_refs_parse(reply->body, reply->body_len, &p->refs, &p->err) != 0) {
        look_fail(p, &p->err);
        return;
    }
    p->call = store_cmd(store_of(p), on_state, p, "HGETALL %sgit:%s:poll",
        store_shard_prefix(store_of(p), p->shard), p->id);
}

static void ask(struct git_poll *p)
{
    struct forge_call call;
    if (forge_api_refs(&p->trigger->remote.api, &call, &p->err) != 0) {
        look_fail(p, &p->err);
        return;
    }
    const char *end = strstr(call.url, "/info/refs?");
    p->url =
        pool_strndup(p->pool, call.url, end != NULL ? (size_t)(end - call.url) : strlen(call.url));
    p->remote = git_remote_start(p->all->hooks->set.http, p->all->hooks->set.egress, &call,
        FORGE_REFS_BYTES_MAX, on_refs, p, &p->err);
    forge_call_done(&call);
    if (p->remote == NULL) {
        look_fail(p, &p->err);
    }
}

/* When it is due: what another daemon or an earlier start of this one has written. */
static void on_due(void *owner, redisReply *reply, const struct err *err)
{
    struct git_poll *p = owner;
    p->call = NULL;
    if (err != NULL) {
        timer_start_ms(&p->start, LIST_MS);
        look_done(p);
        return;
    }
    const char *of = reply_field(reply, "of");
    const char *const texts[] = {reply_field(reply, "next_us"), reply_field(reply, "last_us"),
        reply_field(reply, "failures"), reply_field(reply, "error_us")};
    int64_t values[ARRAY_LEN(texts)] = {0};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i] == NULL || parse_i64(texts[i], 0, INT64_MAX, "", &values[i], NULL) != 0) {
            values[i] = 0;
        }
    }
    int64_t now_us = clock_now_us(), every_us = p->trigger->remote.poll_s * US_PER_S;
    bool is_mended = values[2] > 0 && jget_i64(p->trigger->record, "updated_us", 0) > values[3];
    /* After a change of poll_s, of the repository, or of what has failed, not only when it was due
     * before. */
    bool is_early = values[0] > now_us && !is_mended && (of == NULL || str_eq(of, whose(p))) &&
                    (values[2] > 0 || values[0] - now_us < every_us + every_us / 5);
    if (is_early) {
        timer_start_at(&p->start, values[0]);
        look_done(p);
        return;
    }
    p->last_us = values[1];
    p->failures = values[2];
    ask(p);
}

static void on_trigger(void *owner, redisReply *reply, const struct err *err)
{
    struct git_poll *p = owner;
    struct err bad = ERR_INIT;
    p->call = NULL;
    if (err == NULL) {
        p->trigger = git_known_get(p->all->hooks, p->id, reply_str(reply), &bad);
    }
    if (p->trigger == NULL || p->trigger->remote.poll_s == 0 || !p->trigger->is_enabled) {
        timer_start_ms(&p->start, LIST_MS); /* by then the list says whether this goes on */
        look_done(p);
        return;
    }
    p->call = store_cmd(store_of(p), on_due, p, "HGETALL %sgit:%s:poll",
        store_shard_prefix(store_of(p), p->shard), p->id);
}

static void look_start(void *owner)
{
    struct git_poll *p = owner;
    if (!p->all->hooks->is_ours[p->shard]) {
        return;
    }
    if (p->is_under_way || p->all->under_way >= AT_ONCE) {
        timer_start_ms(&p->start, CROWDED_MS);
        return;
    }
    p->is_under_way = true;
    p->all->under_way++;
    p->is_all = true;
    p->begun_us = clock_now_us();
    p->pool = pool_new();
    p->call = store_cmd(store_of(p), on_trigger, p, "HGET %sgit_triggers %s",
        store_catalog_prefix(store_of(p)), p->id);
}

/* ---- which triggers ---- */

static void poll_add(struct git_polls *all, const char *id)
{
    unsigned shard = id_shard(id, store_shards(all->hooks->set.store));
    struct git_poll *p = map_get(all->polls, id);
    if (p == NULL && all->hooks->is_ours[shard]) {
        p = xcalloc(1, sizeof *p);
        p->all = all;
        p->shard = shard;
        memcpy(p->id, id, ID_LEN);
        timer_init(&p->start, all->hooks->set.loop, look_start, p);
        map_put(all->polls, id, p);
        timer_start_ms(&p->start, 0);
    }
    if (p != NULL) {
        p->is_listed = true;
    }
}

/* It has stopped: what its refs are when it begins again is not news. */
static void poll_forget(struct git_polls *all, const struct git_poll *p)
{
    store_cmd(all->hooks->set.store, NULL, NULL, "DEL %sgit:%s:poll %sgit:%s:refs",
        store_shard_prefix(all->hooks->set.store, p->shard), p->id,
        store_shard_prefix(all->hooks->set.store, p->shard), p->id);
}

typedef bool poll_test(const struct git_poll *p, unsigned shard);

static void drop_where(struct git_polls *all, poll_test *test, unsigned shard, bool forget)
{
    for (;;) {
        struct map_iter it = {0};
        const char *id;
        void *value;
        bool found = false;
        while (!found && map_next(all->polls, &it, &id, &value)) {
            found = test(value, shard);
        }
        if (!found) {
            return;
        }
        struct git_poll *p = map_take(all->polls, ((struct git_poll *)value)->id);
        if (forget) {
            poll_forget(all, p);
        }
        poll_free(p);
    }
}

static bool is_unlisted(const struct git_poll *p, unsigned shard)
{
    (void)shard;
    return !p->is_listed;
}

static bool is_of_shard(const struct git_poll *p, unsigned shard)
{
    return p->shard == shard;
}

static void on_list(void *owner, redisReply *reply, const struct err *err)
{
    struct git_polls *all = owner;
    all->call = NULL;
    timer_start_ms(&all->list, LIST_MS);
    if (err != NULL || reply->type != REDIS_REPLY_ARRAY) {
        return;
    }
    struct map_iter it = {0};
    const char *id;
    void *value;
    while (map_next(all->polls, &it, &id, &value)) {
        ((struct git_poll *)value)->is_listed = false;
    }
    for (size_t i = 0; i < reply->elements; i++) {
        const char *text = reply_str(reply->element[i]);
        if (text != NULL && id_is_valid(text)) {
            poll_add(all, text);
        }
    }
    drop_where(all, is_unlisted, 0, true);
}

static void list(void *owner)
{
    struct git_polls *all = owner;
    if (all->call == NULL) {
        all->call = store_cmd(all->hooks->set.store, on_list, all, "SMEMBERS %sgit_polls",
            store_catalog_prefix(all->hooks->set.store));
    }
}

/* ---- from outside ---- */

void git_poll_wake(struct git_hooks *h, const char *trigger_id)
{
    struct git_poll *p = map_get(h->polls->polls, trigger_id);
    timer_start_ms(&h->polls->list, 0);
    if (p != NULL) {
        timer_start_ms(&p->start, 0);
    }
}

void git_poll_shard_start(struct git_hooks *h)
{
    timer_start_ms(&h->polls->list, 0);
}

void git_poll_shard_stop(struct git_hooks *h, unsigned shard)
{
    drop_where(h->polls, is_of_shard, shard, false);
}

void git_poll_init(struct git_hooks *h)
{
    struct git_polls *all = xcalloc(1, sizeof *all);
    h->polls = all;
    all->hooks = h;
    all->polls = map_new(poll_free);
    timer_init(&all->list, h->set.loop, list, all);
    timer_start_ms(&all->list, LIST_MS);
}

void git_poll_finish(struct git_hooks *h)
{
    store_cancel(h->polls->call);
    timer_done(&h->polls->list);
    map_free(h->polls->polls);
    free(h->polls);
}
