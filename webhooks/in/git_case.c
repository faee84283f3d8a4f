/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message at one trigger: match its changes, find what their runs need, and settle it all by
 * one script (git_receive.lua), so that an event that was answered is an event that is stored, with
 * its runs. Ids are derived from trigger and delivery: the same message finds what it did before.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/http_msg.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/secret.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "scheduler/run.h"
#include "webhooks/in/git_hooks.h"
#include "webhooks/in/git_poll.h"
#include "webhooks_scripts.h"

#define SEEN_MAX 20000

/* ---- life ---- */

struct git_case *git_case_new(struct git_hooks *h, struct pool *pool, struct git_trigger *trigger,
    const struct hook_message *message, json_t *headers)
{
    struct git_case *c = xcalloc(1, sizeof *c);
    struct id id;
    c->hooks = h;
    c->next = h->cases;
    if (c->next != NULL) {
        c->next->prev = c;
    }
    h->cases = c;
    c->pool = pool;
    c->trigger = trigger;
    c->message = message;
    c->headers = headers;
    c->begun_us = clock_mono_us();
    c->payload = c->content_type = "";
    git_changes_of(pool, message, &c->changes);
    c->findings =
        pool_calloc(pool, c->changes.count > 0 ? c->changes.count : 1, sizeof *c->findings);
    id_derive(&id, trigger->id, pool_printf(pool, "event/%s", message->delivery));
    c->event_id = pool_strdup(pool, id.text);
    return c;
}

void git_case_free(struct git_case *c)
{
    if (c == NULL) {
        return;
    }
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        c->hooks->cases = c->next;
    }
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    store_cancel(c->call);
    loop_defer_cancel(c->hooks->set.loop, &c->later);
    catalog_cancel(c->hooks->set.catalog, c);
    spec_plan_cancel(c->hooks->set.catalog, c);
    for (size_t i = 0; i < c->changes.count; i++) {
        json_decref(c->findings[i].steps);
        json_decref(c->findings[i].parameters);
        if (c->findings[i].plan != NULL) {
            plan_unref(c->findings[i].plan);
        }
    }
    git_remote_cancel(c->remote);
    json_decref(c->headers);
    git_trigger_unref(c->trigger);
    free(c);
}

/* ---- settle ---- */

const char *git_case_run_id(const struct git_case *c, size_t i)
{
    const char *delivery = c->changes.items[i].delivery;
    struct id id;
    id_derive(&id, c->trigger->id,
        c->forced != NULL ? pool_printf(c->pool, "push/%s/again/%s", delivery, c->forced)
                          : pool_printf(c->pool, "push/%s", delivery));
    return pool_strdup(c->pool, id.text);
}

static void put(json_t *out, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        json_object_set_new(out, key, json_string(text));
    }
}

static void add_change(struct store_args *args, const struct git_case *c, size_t i)
{
    const struct git_finding *f = &c->findings[i];
    const struct git_change *change = &c->changes.items[i];
    bool starts = f->is_wanted && f->failure == NULL && !f->needs_file;
    bool is_forced = c->forced != NULL;
    CLEANUP(cleanup_free) char *doc = starts ? git_case_run_text(c, i) : NULL;
    CLEANUP(cleanup_free) char *fired = starts ? git_case_fired_text(c, i) : NULL;
    CLEANUP(cleanup_free) char *rejected = git_case_rejected_text(c, i);
    store_arg_i(args, (int64_t)i + 1);
    store_arg(args, starts               ? "match"
                    : f->failure != NULL ? "failed"
                    : f->is_wanted       ? "fetch"
                                         : "ignored");
    store_arg(args, pool_clip(c->pool, git_finding_reason(f), GIT_TEXT_MAX));
    store_arg(args, starts ? f->run_id : "-");
    store_arg(args, starts ? c->experiment_id : "-");
    store_arg(args, starts ? doc : "-");
    store_arg(args, change->key != NULL && !is_forced ? change->key : "-");
    store_arg(args, change->ref_key != NULL && !is_forced ? change->ref_key : "-");
    store_arg(args, change->push.before);
    store_arg(args, change->push.after);
    store_arg(args, starts && f->group_hash != NULL ? f->group_hash : "-");
    store_arg(args, starts && f->group != NULL ? f->group : "-");
    store_arg(args, git_policy_name(c->trigger->policy));
    store_arg_i(args, c->trigger->max_waiting);
    store_arg(args, starts ? fired : "-");
    store_arg(args, rejected != NULL ? rejected : "-");
    bool has_status = c->trigger->remote.posts_status && f->is_wanted && !change->push.is_deleted &&
                      change->push.commit[0] != '\0';
    store_arg(args,
        !has_status ? "-"
                    : pool_printf(c->pool, "%s %s", git_case_run_id(c, i), change->push.commit));
}

static int64_t *count_of(struct git_counts *counts, const char *result)
{
    return strcmp(result, "started") == 0     ? &counts->started
           : strcmp(result, "waiting") == 0   ? &counts->waiting
           : strcmp(result, "fetching") == 0  ? &counts->fetching
           : strcmp(result, "duplicate") == 0 ? &counts->duplicates
           : strcmp(result, "failed") == 0    ? &counts->failed
                                              : &counts->ignored;
}

static int read_results(struct git_case *c, const redisReply *reply, struct err *err)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < c->changes.count) {
        return err_set(err, ERR_INTERNAL, "git_receive.lua: unexpected reply");
    }
    for (size_t i = 0; i < c->changes.count; i++) {
        const redisReply *one = reply->element[i];
        struct git_finding *f = &c->findings[i];
        if (one->type != REDIS_REPLY_ARRAY || one->elements != 3) {
            return err_set(err, ERR_INTERNAL, "git_receive.lua: unexpected reply");
        }
        f->result = pool_strdup(c->pool, reply_str(one->element[0]));
        f->result_run = pool_strdup(c->pool, reply_str(one->element[1]));
        f->result_reason = pool_strdup(c->pool, reply_str(one->element[2]));
        ++*count_of(&c->hooks->counts, f->result);
        LOG_INFO("push",
            "trigger=%s event=%s ref=%s commit=%s result=%s run=%s clause=%s reason=%s",
            c->trigger->id, c->event_id, LOG_Q(c->changes.items[i].push.ref),
            c->changes.items[i].push.after, f->result, f->result_run, git_finding_clause(f),
            LOG_Q(f->result_reason[0] != '\0' ? f->result_reason : f->reason.text));
    }
    return 0;
}

static void wake(const struct git_case *c, const char *run_id)
{
    if (c->hooks->set.engine != NULL) {
        engine_wake(c->hooks->set.engine, run_id);
    }
}

static void on_settled(void *owner, redisReply *reply, const struct err *err)
{
    struct git_case *c = owner;
    struct err bad = ERR_INIT;
    c->call = NULL;
    FAULT("git.receive.after");
    if (err == NULL && read_results(c, reply, &bad) != 0) {
        err = &bad;
    }
    if (err == NULL) {
        for (size_t i = 0; i < c->changes.count; i++) {
            if (strcmp(c->findings[i].result, "started") == 0) {
                wake(c, c->findings[i].result_run);
            } else if (strcmp(c->findings[i].result, "fetching") == 0) {
                git_fetch_wake(c->hooks, c->trigger->id);
            }
        }
        if (c->trigger->remote.posts_status) {
            git_status_wake(c->hooks, c->trigger->id); /* of the same shard */
        }
        for (size_t i = c->changes.count; i + 1 < reply->elements; i += 2) {
            const char *word = reply_str(reply->element[i]);
            const char *run = reply_str(reply->element[i + 1]);
            if (word != NULL && run != NULL && strcmp(word, "cancel") == 0) {
                git_groups_cancel(c->hooks, run);
            } else if (run != NULL) {
                wake(c, run);
            }
        }
    }
    if (err == NULL && c->hooks->set.events != NULL) {
        struct store *store = c->hooks->set.store;
        c->hooks->set.events(
            c->hooks->set.events_owner, id_shard(c->trigger->id, store_shards(store)));
    }
    c->done(c->owner, err);
}

void git_case_settle(struct git_case *c, git_case_fn *done, void *owner)
{
    const struct git_hooks_settings *set = &c->hooks->set;
    struct store *store = set->store;
    const char *prefix = store_id_prefix(store, c->trigger->id);
    bool is_kept = c->payload_len > 0 && (int64_t)c->payload_len <= set->payload_max;
    for (size_t i = 0; i < c->changes.count && c->payload_len > 0; i++) {
        is_kept |= c->findings[i].needs_file; /* it will be looked at once more */
    }
    CLEANUP(cleanup_free) char *doc = git_case_event_text(c, is_kept);
    CLEANUP(cleanup_free) char *headers = jtext(c->headers);
    struct store_args *args = store_args_new();
    c->done = done;
    c->owner = owner;
    store_key(args, "%sepoch", prefix);
    store_arg(args, prefix);
    store_arg_i(args, store_id_epoch(store, c->trigger->id));
    store_arg(args, c->trigger->id);
    store_arg(args, c->event_id);
    store_arg_i(args, clock_now_us());
    store_arg(args, doc);
    store_arg_b(args, is_kept ? c->payload : "", is_kept ? c->payload_len : 0);
    store_arg(args, headers);
    store_arg_i(args, set->events_max);
    store_arg_i(args, set->dedupe_ms * US_PER_MS);
    store_arg_i(args, SEEN_MAX);
    store_arg(args, c->by_hand ? "again" : "message");
    store_arg(args, c->trigger->remote.posts_status ? c->trigger->remote.api.repository : "");
    if (c->message->is_polled) {
        store_arg_i(args, c->message->since_us - GIT_POLL_OVERLAP_US);
    } else {
        store_arg(args, "");
    }
    for (size_t i = 0; i < c->changes.count; i++) {
        add_change(args, c, i);
    }
    FAULT("git.receive.before");
    c->call = store_eval(store, &script_git_receive, args, on_settled, c);
}

/* ---- answers ---- */

const char *git_result_clause(const char *result)
{
    return strcmp(result, "duplicate") == 0 ? "duplicate"
           : strcmp(result, "waiting") == 0 || strcmp(result, "skipped") == 0 ||
                   strcmp(result, "superseded") == 0 || strcmp(result, "dropped") == 0
               ? "concurrency"
               : NULL;
}

/* What the message as a whole has come to: the best of its changes. */
static const struct git_finding *best_of(const struct git_case *c)
{
    static const char *const order[] = {"started", "waiting", "fetching", "duplicate", "superseded",
        "dropped", "failed", "skipped", "ignored"};
    for (size_t o = 0; o < ARRAY_LEN(order); o++) {
        for (size_t i = 0; i < c->changes.count; i++) {
            if (str_eq(c->findings[i].result, order[o])) {
                return &c->findings[i];
            }
        }
    }
    return NULL;
}

static void add_result(json_t *out, const struct git_finding *f)
{
    const char *clause = git_result_clause(f->result);
    put(out, "result", f->result);
    if (f->result_run != NULL && strcmp(f->result_run, "-") != 0) {
        put(out, "run_id", f->result_run);
    }
    put(out, "clause", clause != NULL ? clause : git_finding_clause(f));
    put(out, "reason", f->result_reason);
}

json_t *git_case_answer(const struct git_case *c, int *status_out)
{
    const struct git_finding *best = best_of(c);
    json_t *out = json_object();
    put(out, "event_id", c->event_id);
    *status_out = 200;
    if (best == NULL) {
        put(out, "result", c->message->kind == HOOK_PING ? "ping" : "ignored");
        put(out, "reason", c->message->why);
        return out;
    }
    bool is_accepted = strcmp(best->result, "started") == 0 ||
                       strcmp(best->result, "waiting") == 0 ||
                       strcmp(best->result, "fetching") == 0;
    *status_out = is_accepted ? 202 : 200;
    add_result(out, best);
    if (c->changes.count > 1) {
        json_t *refs = json_array();
        for (size_t i = 0; i < c->changes.count; i++) {
            json_t *one = json_object();
            put(one, "ref", c->changes.items[i].push.ref);
            add_result(one, &c->findings[i]);
            json_array_append_new(refs, one);
        }
        json_object_set_new(out, "refs", refs);
    }
    return out;
}

static json_t *explain_change(const struct git_case *c, size_t i)
{
    const struct git_finding *f = &c->findings[i];
    json_t *one = git_case_ref_json(c, i);
    json_object_set(one, "push", (json_t *)git_change_facts(&c->changes.items[i]));
    json_object_set_new(one, "starts", json_boolean(f->is_wanted && f->failure == NULL));
    if (f->is_wanted) {
        json_array_append_new(f->steps,
            json_pack("{s:s,s:b,s:s}", "clause", "run", "passed", f->failure == NULL, "detail",
                f->failure != NULL ? f->failure : "pipeline and parameters fit"));
    }
    json_object_set(one, "steps", f->steps);
    if (f->is_wanted && f->failure == NULL) {
        json_object_set(one, "parameters", f->parameters);
        put(one, "run_id", f->run_id);
        put(one, "run_name", f->run_name);
        put(one, "pipeline_version_id", f->version_id);
        put(one, "experiment_id", c->experiment_id);
        put(one, "group", f->group);
    }
    return one;
}

json_t *git_case_explanation(const struct git_case *c)
{
    const struct hook_message *m = c->message;
    json_t *out = json_object();
    json_t *refs = json_array();
    bool starts = false;
    put(out, "forge", forge_name(m->forge));
    put(out, "event", m->event);
    put(out, "delivery", m->delivery);
    put(out, "event_id", c->event_id);
    for (size_t i = 0; i < c->changes.count; i++) {
        json_t *one = explain_change(c, i);
        starts = starts || json_is_true(json_object_get(one, "starts"));
        json_array_append_new(refs, one);
    }
    if (c->changes.count == 0) {
        put(out, "reason", m->why);
    }
    json_object_set_new(out, "starts", json_boolean(starts));
    json_object_set_new(out, "refs", refs);
    return out;
}
