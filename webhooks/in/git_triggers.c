/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of Git triggers: create, read, change, delete. What a trigger names must be there,
 * and its parameters must fit the pipeline: at a push nobody would see the mistake. A change takes
 * the place of the record that was read, or is made anew on the one that came in between.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "webhooks/in/git_hooks.h"
#include "webhooks/in/git_mapping.h"
#include "webhooks_scripts.h"

#define TRIGGERS_MAX 10000
#define CONFLICTS_MAX 8
#define OVERLAP_DEFAULT_S (24 * 3600)
#define OVERLAP_MAX_S (90 * 24 * 3600)

enum change_kind { CHANGE_CREATE, CHANGE_PATCH, CHANGE_ROTATE };

struct trigger_request {
    struct git_hooks *hooks;
    struct trigger_request *prev, *next;
    struct store_call *call;
    struct deferred later;
    webhook_json_fn *done;
    void *owner;
    char *id;
    enum change_kind kind;
    json_t *body;
    char *before;   /* the text that was read, or NULL */
    json_t *record; /* the new one, or a page of all */
    size_t max;     /* of such a page */
    int conflicts;
    struct err err;
};

static struct trigger_request *request_new(
    struct git_hooks *h, const char *id, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = xcalloc(1, sizeof *r);
    r->hooks = h;
    r->next = h->requests;
    if (r->next != NULL) {
        r->next->prev = r;
    }
    h->requests = r;
    r->done = done;
    r->owner = owner;
    r->id = xstrdup(id != NULL ? id : "");
    return r;
}

static void forget_text(char **text)
{
    if (*text != NULL) {
        explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}

static void request_free(struct trigger_request *r)
{
    if (r->prev != NULL) {
        r->prev->next = r->next;
    } else {
        r->hooks->requests = r->next;
    }
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
    store_cancel(r->call);
    loop_defer_cancel(r->hooks->set.loop, &r->later);
    catalog_cancel(r->hooks->set.catalog, r);
    spec_plan_cancel(r->hooks->set.catalog, r);
    forget_text(&r->before);
    json_decref(r->body);
    json_decref(r->record);
    free(r->id);
    free(r);
}

void git_trigger_requests_free(struct git_hooks *h)
{
    while (h->requests != NULL) {
        request_free(h->requests);
    }
}

static void request_end(struct trigger_request *r, const json_t *record, const struct err *err)
{
    r->done(r->owner, record, err);
    request_free(r);
}

static void request_fail_now(void *owner)
{
    struct trigger_request *r = owner;
    request_end(r, NULL, &r->err);
}

/* From wherever: the answer comes from the loop. */
static void request_fail(struct trigger_request *r, const struct err *err)
{
    if (err != &r->err) {
        err_copy(&r->err, err);
    }
    loop_defer(r->hooks->set.loop, &r->later, request_fail_now, r);
}

/* ---- write ---- */

static void request_read(struct trigger_request *r);

/* The new secret is shown this once. */
static json_t *shown(const struct trigger_request *r)
{
    json_t *out = git_trigger_public(r->record);
    bool is_new = r->kind != CHANGE_PATCH || json_object_get(r->body, "secret") != NULL;
    const char *secret = git_trigger_secret(r->record);
    if (is_new && secret[0] != '\0') {
        json_object_set_new(out, "secret", json_string(secret));
    }
    return out;
}

static bool polls(const json_t *record)
{
    return jget_i64(record, "poll_s", 0) > 0 && jget_bool(record, "enabled", true);
}

static void on_put(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct trigger_request *r = owner;
    r->call = NULL;
    if (err != NULL && err->code == ERR_CONFLICT && ++r->conflicts < CONFLICTS_MAX) {
        request_read(r);
        return;
    }
    json_t *out = err == NULL ? shown(r) : NULL;
    if (err == NULL) {
        LOG_INFO("trigger stored", "trigger=%s enabled=%d", jget_str(r->record, "id", ""),
            jget_bool(r->record, "enabled", true));
        git_poll_wake(r->hooks, jget_str(r->record, "id", ""));
    }
    r->done(r->owner, out, err);
    json_decref(out);
    request_free(r);
}

static void request_put(struct trigger_request *r)
{
    struct store *store = r->hooks->set.store;
    char *text = git_record_text(r->hooks->set.seal, r->record);
    struct store_args *args = store_args_new();
    store_key(args, "%sgit_triggers", store_catalog_prefix(store));
    store_key(args, "%sgit_polls", store_catalog_prefix(store));
    store_arg(args, jget_str(r->record, "id", ""));
    store_arg(args, r->before != NULL ? r->before : "");
    store_arg(args, text);
    store_arg_i(args, TRIGGERS_MAX);
    store_arg(args, polls(r->record) ? "1" : "0");
    r->call = store_eval(store, &script_git_trigger_put, args, on_put, r);
    forget_text(&text);
}

/* ---- check ---- */

static bool is_missing(struct trigger_request *r, const char *member, const struct err *err)
{
    if (err == NULL) {
        return false;
    }
    struct err told;
    err_copy(&told, err);
    if (told.code == ERR_NOT_FOUND) {
        told.code = ERR_INVALID;
        err_wrap(&told, "%s", member);
    }
    request_fail(r, &told);
    return true;
}

static void on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct trigger_request *r = owner;
    struct err bad = ERR_INIT;
    if (is_missing(r, "pipeline_id", err)) {
        return;
    }
    if (git_mapping_check_plan(json_object_get(r->record, "parameters"), plan, &bad) != 0) {
        request_fail(r, &bad);
    } else {
        request_put(r);
    }
}

static void on_version(void *owner, const json_t *version, const struct err *err)
{
    struct trigger_request *r = owner;
    const char *pipeline = jget_str(r->record, "pipeline_id", "");
    struct err other = ERR_INIT;
    bool is_named = jget_str(r->record, "version_id", NULL) != NULL;
    if (err == NULL && !str_eq(jget_str(version, "pipeline_id", NULL), pipeline)) {
        err_set(&other, ERR_INVALID, "version_id: not a version of pipeline %s", pipeline);
        err = &other;
    }
    if (!is_missing(r, is_named ? "version_id" : "pipeline_id", err)) {
        spec_plan(r->hooks->set.catalog, jget_str(version, "spec", ""), on_plan, r);
    }
}

static void find_version(struct trigger_request *r)
{
    const char *id = jget_str(r->record, "version_id", NULL);
    if (json_object_get(r->record, "file") != NULL) {
        request_put(r); /* which inputs it has is known at each commit only */
        return;
    }
    if (id != NULL) {
        version_get(r->hooks->set.catalog, id, on_version, r);
    } else {
        version_latest(
            r->hooks->set.catalog, jget_str(r->record, "pipeline_id", ""), on_version, r);
    }
}

static void on_experiment(void *owner, const json_t *experiment, const struct err *err)
{
    (void)experiment;
    struct trigger_request *r = owner;
    if (!is_missing(r, "experiment_id", err)) {
        find_version(r);
    }
}

static void on_pipeline(void *owner, const json_t *pipeline, const struct err *err)
{
    (void)pipeline;
    struct trigger_request *r = owner;
    if (is_missing(r, "pipeline_id", err)) {
        return;
    }
    const char *id = jget_str(r->record, "experiment_id", NULL);
    if (id != NULL) {
        experiment_get(r->hooks->set.catalog, id, on_experiment, r);
    } else {
        find_version(r);
    }
}

/* Switching a trigger off or on, or renaming it, needs no pipeline. */
static bool needs_check(const struct trigger_request *r)
{
    static const char *const members[] = {
        "pipeline_id", "version_id", "experiment_id", "parameters"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (r->kind == CHANGE_CREATE || json_object_get(r->body, members[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void request_check(struct trigger_request *r)
{
    if (r->kind != CHANGE_ROTATE && needs_check(r)) {
        pipeline_get(r->hooks->set.catalog, jget_str(r->record, "pipeline_id", ""), on_pipeline, r);
    } else {
        request_put(r);
    }
}

/* ---- create and change ---- */

void git_trigger_create(struct git_hooks *h, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = request_new(h, NULL, done, owner);
    r->kind = CHANGE_CREATE;
    r->record = git_trigger_from_body(body, NULL, &r->err);
    if (r->record == NULL) {
        request_fail(r, &r->err);
        return;
    }
    request_check(r);
}

static json_t *rotated(const struct trigger_request *r, const json_t *before, struct err *err)
{
    static const char *const known[] = {"secret", "overlap_s", NULL};
    const char *secret = NULL;
    int64_t overlap_s = OVERLAP_DEFAULT_S;
    if (jread_only(r->body, "", known, err) != 0 ||
        jread_string(r->body, "", "secret", &secret, err) != 0 ||
        jread_i64(r->body, "", "overlap_s", 0, OVERLAP_MAX_S, &overlap_s, err) != 0) {
        return NULL;
    }
    return git_trigger_rotated(before, secret, overlap_s * US_PER_S, err);
}

static void on_before(void *owner, redisReply *reply, const struct err *err)
{
    struct trigger_request *r = owner;
    r->call = NULL;
    const char *text = err == NULL ? reply_str(reply) : NULL;
    if (text == NULL) {
        if (err == NULL) {
            err_set(&r->err, ERR_NOT_FOUND, "trigger %.64s does not exist", r->id);
        }
        request_fail(r, err != NULL ? err : &r->err);
        return;
    }
    json_t *before = git_record_read(r->hooks->set.seal, text, &r->err);
    forget_text(&r->before);
    r->before = xstrdup(text);
    json_decref(r->record);
    r->record = before == NULL             ? NULL
                : r->kind == CHANGE_ROTATE ? rotated(r, before, &r->err)
                                           : git_trigger_from_body(r->body, before, &r->err);
    json_decref(before);
    if (r->record == NULL) {
        request_fail(r, &r->err);
        return;
    }
    request_check(r);
}

static void request_read(struct trigger_request *r)
{
    r->call = store_cmd(r->hooks->set.store, on_before, r, "HGET %sgit_triggers %s",
        store_catalog_prefix(r->hooks->set.store), r->id);
}

void git_trigger_patch(
    struct git_hooks *h, const char *id, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = request_new(h, id, done, owner);
    r->kind = CHANGE_PATCH;
    r->body = json_deep_copy(body);
    request_read(r);
}

void git_trigger_rotate(
    struct git_hooks *h, const char *id, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = request_new(h, id, done, owner);
    r->kind = CHANGE_ROTATE;
    r->body = json_deep_copy(body);
    request_read(r);
}

/* ---- read and delete ---- */

/* {"last_us": 1, "error": "..."} of what of it people may want to see. New reference. */
static json_t *health_json(const redisReply *fields)
{
    static const char *const numbers[] = {"last_us", "next_us", "error_us", "failures", "refs"};
    static const char *const texts[] = {"error", "error_commit", "last_commit"};
    json_t *out = json_object();
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const char *text = reply_field(fields, numbers[i]);
        int64_t value = 0;
        if (text != NULL && parse_i64(text, 0, INT64_MAX, numbers[i], &value, NULL) == 0) {
            json_object_set_new(out, numbers[i], json_integer(value));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        jset_str(out, texts[i], reply_field(fields, texts[i]));
    }
    return out;
}

static void on_health(void *owner, redisReply *reply, const struct err *err)
{
    struct trigger_request *r = owner;
    r->call = NULL;
    if (err == NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        if (jget_bool(r->record, "commit_status", false)) {
            json_object_set_new(r->record, "status", health_json(reply->element[0]));
        }
        if (jget_i64(r->record, "poll_s", 0) > 0) {
            json_object_set_new(r->record, "poll", health_json(reply->element[1]));
        }
    }
    request_end(r, err == NULL ? r->record : NULL, err);
}

static void on_read(void *owner, redisReply *reply, const struct err *err)
{
    struct trigger_request *r = owner;
    r->call = NULL;
    const char *text = err == NULL ? reply_str(reply) : NULL;
    json_t *record = text != NULL ? json_loads(text, 0, NULL) : NULL;
    if (err == NULL && record == NULL) {
        err_set(&r->err, ERR_NOT_FOUND, "trigger %.64s does not exist", r->id);
        err = &r->err;
    }
    r->record = record != NULL ? git_trigger_public(record) : NULL;
    bool has_health =
        jget_bool(record, "commit_status", false) || jget_i64(record, "poll_s", 0) > 0;
    json_decref(record);
    if (!has_health || !id_is_valid(r->id)) {
        request_end(r, r->record, err);
        return;
    }
    struct store_args *args = store_args_new();
    const char *prefix = store_id_prefix(r->hooks->set.store, r->id);
    store_key(args, "%sgit:%s:status", prefix, r->id);
    store_key(args, "%sgit:%s:poll", prefix, r->id);
    r->call = store_eval(r->hooks->set.store, &script_git_trigger_health, args, on_health, r);
}

void git_trigger_get(struct git_hooks *h, const char *id, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = request_new(h, id, done, owner);
    r->call = store_cmd(
        h->set.store, on_read, r, "HGET %sgit_triggers %s", store_catalog_prefix(h->set.store), id);
}

/* Oldest first. Is a before b? */
static bool is_before(int64_t a_us, const char *a, int64_t b_us, const char *b)
{
    return a_us != b_us ? a_us < b_us : strcmp(a, b) < 0;
}

static int by_created(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    return is_before(jget_i64(x, "created_us", 0), jget_str(x, "id", ""),
               jget_i64(y, "created_us", 0), jget_str(y, "id", ""))
               ? -1
               : 1;
}

/* A token is "created_us.id" of the last one of the page before. */
static int read_token(const char *token, int64_t *created_us, const char **id, struct err *err)
{
    const char *dot = strchr(token, '.');
    CLEANUP(cleanup_free)
    char *number = dot != NULL ? xstrndup(token, (size_t)(dot - token)) : NULL;
    if (number == NULL || !id_is_valid(dot + 1) ||
        parse_i64(number, 0, INT64_MAX, "page_token", created_us, NULL) != 0) {
        return err_set(err, ERR_INVALID,
            "page_token: not one that this list gave as next_page_token; begin without it");
    }
    *id = dot + 1;
    return 0;
}

static void on_all(void *owner, redisReply *reply, const struct err *err)
{
    struct trigger_request *r = owner;
    int64_t after_us = -1;
    const char *after = "";
    r->call = NULL;
    if (err == NULL && r->id[0] != '\0' && read_token(r->id, &after_us, &after, &r->err) != 0) {
        err = &r->err;
    }
    if (err != NULL) {
        request_end(r, NULL, err);
        return;
    }
    json_t **all = xcalloc(reply->elements / 2 + 1, sizeof *all);
    size_t count = 0, total = 0, i = 0;
    for (size_t e = 1; e < reply->elements && e < 2 * TRIGGERS_MAX; e += 2) {
        json_t *record = json_loads(reply_str(reply->element[e]), 0, NULL);
        total += record != NULL ? 1 : 0;
        if (record != NULL && is_before(after_us, after, jget_i64(record, "created_us", 0),
                                  jget_str(record, "id", ""))) {
            all[count++] = record;
        } else {
            json_decref(record);
        }
    }
    qsort(all, count, sizeof *all, by_created);
    json_t *rows = json_array();
    for (; i < count && i < r->max; i++) {
        json_array_append_new(rows, git_trigger_public(all[i]));
    }
    r->record = json_pack("{s:o,s:I}", "triggers", rows, "total_size", (json_int_t)total);
    if (i > 0 && i < count) {
        json_object_set_new(r->record, "next_page_token",
            json_sprintf("%lld.%s", (long long)jget_i64(all[i - 1], "created_us", 0),
                jget_str(all[i - 1], "id", "")));
    }
    for (i = 0; i < count; i++) {
        json_decref(all[i]);
    }
    free(all);
    request_end(r, r->record, NULL);
}

void git_trigger_all(
    struct git_hooks *h, size_t max, const char *page_token, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = request_new(h, page_token, done, owner);
    r->max = max;
    r->call = store_cmd(
        h->set.store, on_all, r, "HGETALL %sgit_triggers", store_catalog_prefix(h->set.store));
}

static void on_forgotten(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct trigger_request *r = owner;
    r->call = NULL;
    r->record = json_object();
    request_end(r, err == NULL ? r->record : NULL, err);
}

static void on_deleted(void *owner, redisReply *reply, const struct err *err)
{
    struct trigger_request *r = owner;
    r->call = NULL;
    if (err == NULL && reply_int(reply, 0) == 0) {
        err_set(&r->err, ERR_NOT_FOUND, "trigger %.64s does not exist", r->id);
        err = &r->err;
    }
    if (err != NULL) {
        request_end(r, NULL, err);
        return;
    }
    map_remove(r->hooks->known, r->id);
    git_poll_wake(r->hooks, r->id);
    struct store_args *args = store_args_new();
    const char *prefix = store_id_prefix(r->hooks->set.store, r->id);
    store_key(args, "%sgit:%s:events", prefix, r->id);
    store_arg(args, prefix);
    store_arg(args, r->id);
    r->call = store_eval(r->hooks->set.store, &script_git_forget, args, on_forgotten, r);
}

void git_trigger_delete(struct git_hooks *h, const char *id, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = request_new(h, id, done, owner);
    struct store_args *args = store_args_new();
    store_key(args, "%sgit_triggers", store_catalog_prefix(h->set.store));
    store_key(args, "%sgit_polls", store_catalog_prefix(h->set.store));
    store_arg(args, id);
    r->call = store_eval(h->set.store, &script_git_trigger_drop, args, on_deleted, r);
}
