/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushes in: verify, decide, start the run, then answer. The run's id is derived from trigger
 * and delivery id, so the same delivery sent again finds the same run and starts no second one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/http_msg.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/store.h"
#include "base/util.h"
#include "scheduler/catalog.h"
#include "scheduler/plan.h"
#include "scheduler/run.h"
#include "webhooks/forge.h"
#include "webhooks/git_push.h"
#include "webhooks/git_trigger.h"
#include "webhooks/webhooks.h"

#define TRIGGERS_MAX 10000
#define RUN_NAME_MAX 200
#define SHORT_COMMIT 10
#define ACTOR_MAX 256
#define MESSAGE_MAX 1024

/* What is under way is kept in lists, for the end of the daemon. */
struct git_hooks {
    struct git_hooks_settings set;
    struct reception *receptions;
    struct trigger_request *requests;
};

/* ---- one push under way ---- */

struct reception {
    struct git_hooks *hooks;
    struct reception *prev, *next;
    struct store_call *call;
    const struct http_request *req;
    struct http_response *resp;
    void (*done)(void *owner);
    void *owner;
    const char *trigger_id;
    json_t *trigger;
    struct hook_message message;
    const struct git_push *push; /* the first of the message */
    json_t *parameters;
    const char *experiment_id, *version_id, *spec, *pipeline_name; /* in req->pool */
};

static void reception_free(struct reception *r)
{
    if (r->prev != NULL) {
        r->prev->next = r->next;
    } else {
        r->hooks->receptions = r->next;
    }
    if (r->next != NULL) {
        r->next->prev = r->prev;
    }
    store_cancel(r->call);
    json_decref(r->trigger);
    json_decref(r->parameters);
    free(r);
}

static void reception_end(struct reception *r, int status, json_t *body)
{
    char *text = jtext(body);
    r->resp->status = status;
    http_fields_add(r->req->pool, &r->resp->headers, "Content-Type", "application/json");
    buf_adds(&r->resp->body, text);
    free(text);
    json_decref(body);
    void (*done)(void *) = r->done;
    void *owner = r->owner;
    reception_free(r);
    done(owner);
}

static void reception_refuse(struct reception *r, const struct err *err)
{
    LOG_WARN("push refused", "trigger=%s peer=%s error=%s", LOG_Q(r->trigger_id), r->req->peer,
        LOG_Q(err->msg));
    int status = err->code == ERR_INVALID ? 400 : err_is_transient(err) ? 503 : 500;
    if (status == 503) {
        http_fields_add(r->req->pool, &r->resp->headers, "Retry-After", "10");
    }
    if (err->code == ERR_UNAUTHENTICATED || err->code == ERR_NOT_FOUND) {
        /* The same answer whichever it is: ids of triggers must not be found by trying. */
        reception_end(r, 404,
            json_pack("{s:s}", "message", "no such trigger, or the signature does not match"));
        return;
    }
    reception_end(r, status, json_pack("{s:s}", "message", err->msg));
}

static void reception_ignore(struct reception *r, const char *why)
{
    LOG_INFO("push ignored", "trigger=%s delivery=%s reason=%s", r->trigger_id,
        LOG_Q(r->message.delivery), LOG_Q(why));
    reception_end(r, 200, json_pack("{s:s,s:s}", "result", "ignored", "reason", why));
}

static void on_run(void *owner, const json_t *run, const struct err *err)
{
    struct reception *r = owner;
    FAULT("git.run.after");
    if (err != NULL) {
        reception_refuse(r, err);
        return;
    }
    const char *run_id = jget_str(run, "id", "");
    LOG_INFO("push started a run", "trigger=%s delivery=%s ref=%s commit=%s run=%s", r->trigger_id,
        LOG_Q(r->push->delivery), LOG_Q(r->push->ref), r->push->commit, run_id);
    if (r->hooks->set.engine != NULL) {
        engine_wake(r->hooks->set.engine, run_id);
    }
    reception_end(r, 202, json_pack("{s:s,s:s}", "result", "started", "run_id", run_id));
}

/* At most max bytes, and no half characters. */
static const char *clip(struct pool *pool, const char *text, size_t max)
{
    size_t len = 0, all = strlen(text), step;
    while (len < all && (step = utf8_step(text + len, all - len)) > 0 && len + step <= max) {
        len += step;
    }
    return len == all ? text : pool_printf(pool, "%.*s", (int)len, text);
}

static void reception_create_run(struct reception *r)
{
    struct id id;
    struct pool *pool = r->req->pool;
    const char *name = pool_printf(
        pool, "%s %s %.*s", r->pipeline_name, r->push->branch, SHORT_COMMIT, r->push->commit);
    id_derive(&id, r->trigger_id, pool_printf(pool, "push/%s", r->push->delivery));
    json_t *trigger = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "kind", "git", "trigger_id",
        r->trigger_id, "delivery", r->push->delivery, "repository", r->push->repository, "ref",
        r->push->ref, "commit", r->push->commit, "actor", clip(pool, r->push->actor, ACTOR_MAX),
        "message", clip(pool, r->push->message, MESSAGE_MAX));
    struct run_request req = {
        .id = id.text,
        .name = clip(pool, name, RUN_NAME_MAX),
        .experiment_id = r->experiment_id,
        .spec = r->spec,
        .pipeline_name = r->pipeline_name,
        .pipeline_id = jget_str(r->trigger, "pipeline_id", NULL),
        .version_id = r->version_id,
        .parameters = r->parameters,
        .trigger = trigger,
    };
    FAULT("git.run.before");
    run_create(r->hooks->set.store, &req, on_run, r);
    json_decref(trigger);
}

static void on_plan(void *owner, struct plan *plan, const struct err *err)
{
    struct reception *r = owner;
    if (err != NULL) {
        reception_refuse(r, err);
        return;
    }
    r->pipeline_name = pool_strdup(r->req->pool, plan->name);
    reception_create_run(r);
}

static void on_version(void *owner, const json_t *version, const struct err *err)
{
    struct reception *r = owner;
    if (err != NULL) {
        struct err told;
        err_copy(&told, err);
        if (told.code == ERR_NOT_FOUND) {
            told.code = ERR_PRECONDITION; /* our set-up is wrong, not the sender's request */
        }
        err_wrap(&told, "trigger %s", r->trigger_id);
        reception_refuse(r, &told);
        return;
    }
    r->version_id = pool_strdup(r->req->pool, jget_str(version, "id", ""));
    r->spec = pool_strdup(r->req->pool, jget_str(version, "spec", ""));
    spec_plan(r->hooks->set.catalog, r->spec, on_plan, r);
}

static void reception_find_version(struct reception *r)
{
    const char *version = jget_str(r->trigger, "version_id", NULL);
    if (version != NULL) {
        version_get(r->hooks->set.catalog, version, on_version, r);
    } else {
        version_latest(
            r->hooks->set.catalog, jget_str(r->trigger, "pipeline_id", ""), on_version, r);
    }
}

static void on_experiment(void *owner, const json_t *experiment, const struct err *err)
{
    struct reception *r = owner;
    if (err != NULL) {
        reception_refuse(r, err);
        return;
    }
    r->experiment_id = pool_strdup(r->req->pool, jget_str(experiment, "id", ""));
    reception_find_version(r);
}

/* The push is genuine and wanted. */
static void reception_accept(struct reception *r)
{
    struct err err = ERR_INIT;
    r->parameters = git_trigger_parameters(r->trigger, r->push, &err);
    if (r->parameters == NULL) {
        reception_refuse(r, &err);
        return;
    }
    r->experiment_id = jget_str(r->trigger, "experiment_id", NULL);
    if (r->experiment_id == NULL) {
        experiment_default(r->hooks->set.catalog, on_experiment, r);
        return;
    }
    reception_find_version(r);
}

static void on_trigger(void *owner, redisReply *reply, const struct err *err)
{
    struct reception *r = owner;
    r->call = NULL;
    struct err bad = ERR_INIT;
    const char *text = err == NULL ? reply_str(reply) : NULL;
    if (text != NULL) {
        r->trigger = jread_text(text, strlen(text), "trigger record", &bad);
    } else if (err != NULL) {
        err_copy(&bad, err);
    } else {
        err_set(&bad, ERR_NOT_FOUND, "no such trigger");
    }
    struct hook_source source = {.forge = FORGE_GITHUB, .secret_count = 1};
    source.secrets[0].text = jget_str(r->trigger, "secret", "");
    if (r->trigger == NULL ||
        hook_verify(r->req, &source, clock_now_us(), &r->message.verified, &bad) != 0 ||
        hook_read(r->req, &source, &r->message, &bad) != 0) {
        reception_refuse(r, &bad);
        return;
    }
    char why[512];
    const char *refusal = r->message.kind == HOOK_PUSH ? NULL : r->message.why;
    if (refusal != NULL && refusal[0] == '\0') {
        refusal = "only push events start runs";
    }
    if (refusal == NULL) {
        r->push = r->message.pushes;
        refusal = git_trigger_refuses(r->trigger, r->push, why, sizeof why);
    }
    if (refusal != NULL) {
        reception_ignore(r, refusal);
        return;
    }
    reception_accept(r);
}

void git_hooks_receive(struct git_hooks *h, const char *trigger_id, const struct http_request *req,
    struct http_response *resp, void (*done)(void *owner), void *owner)
{
    struct reception *r = xcalloc(1, sizeof *r);
    r->hooks = h;
    r->next = h->receptions;
    if (r->next != NULL) {
        r->next->prev = r;
    }
    h->receptions = r;
    r->req = req;
    r->resp = resp;
    r->done = done;
    r->owner = owner;
    r->trigger_id = pool_strdup(req->pool, trigger_id);
    /* An id that cannot exist takes the same way as one that does not. */
    r->call = store_cmd(h->set.store, on_trigger, r, "HGET %sgit_triggers %s",
        store_catalog_prefix(h->set.store), id_is_valid(trigger_id) ? trigger_id : "-");
}

/* ---- the triggers themselves ---- */

struct trigger_request {
    struct git_hooks *hooks;
    struct trigger_request *prev, *next;
    struct store_call *call;
    struct deferred failing;
    webhook_json_fn *done;
    void *owner;
    json_t *record;
    char *id;
    struct err err;
};

static struct trigger_request *trigger_request_new(
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

static void trigger_request_free(struct trigger_request *r)
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
    loop_defer_cancel(r->hooks->set.loop, &r->failing);
    json_decref(r->record);
    free(r->id);
    free(r);
}

static void trigger_request_end(
    struct trigger_request *r, const json_t *record, const struct err *err)
{
    r->done(r->owner, record, err);
    trigger_request_free(r);
}

static void trigger_request_fail(void *owner)
{
    struct trigger_request *r = owner;
    trigger_request_end(r, NULL, &r->err);
}

static void on_trigger_stored(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    struct trigger_request *r = owner;
    r->call = NULL;
    trigger_request_end(r, err == NULL ? r->record : NULL, err);
}

static void trigger_store(struct trigger_request *r)
{
    char *text = jtext(r->record);
    r->call = store_cmd(r->hooks->set.store, on_trigger_stored, r, "HSET %sgit_triggers %s %s",
        store_catalog_prefix(r->hooks->set.store), jget_str(r->record, "id", ""), text);
    explicit_bzero(text, strlen(text));
    free(text);
}

/* What a trigger names must be there: at a push nobody would see the mistake. */
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
    trigger_request_end(r, NULL, &told);
    return true;
}

static void on_trigger_version(void *owner, const json_t *version, const struct err *err)
{
    struct trigger_request *r = owner;
    const char *pipeline = jget_str(r->record, "pipeline_id", "");
    struct err other = ERR_INIT;
    if (err == NULL && !str_eq(jget_str(version, "pipeline_id", NULL), pipeline)) {
        err_set(&other, ERR_INVALID, "version_id: not a version of pipeline %s", pipeline);
        err = &other;
    }
    if (!is_missing(r, "version_id", err)) {
        trigger_store(r);
    }
}

static void trigger_check_version(struct trigger_request *r)
{
    const char *id = jget_str(r->record, "version_id", NULL);
    if (id != NULL) {
        version_get(r->hooks->set.catalog, id, on_trigger_version, r);
    } else {
        trigger_store(r);
    }
}

static void on_trigger_experiment(void *owner, const json_t *experiment, const struct err *err)
{
    (void)experiment;
    struct trigger_request *r = owner;
    if (!is_missing(r, "experiment_id", err)) {
        trigger_check_version(r);
    }
}

static void on_trigger_pipeline(void *owner, const json_t *pipeline, const struct err *err)
{
    (void)pipeline;
    struct trigger_request *r = owner;
    if (is_missing(r, "pipeline_id", err)) {
        return;
    }
    const char *id = jget_str(r->record, "experiment_id", NULL);
    if (id != NULL) {
        experiment_get(r->hooks->set.catalog, id, on_trigger_experiment, r);
    } else {
        trigger_check_version(r);
    }
}

void git_trigger_create(struct git_hooks *h, const json_t *body, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = trigger_request_new(h, NULL, done, owner);
    r->record = git_trigger_from_body(body, &r->err);
    if (r->record == NULL) {
        loop_defer(h->set.loop, &r->failing, trigger_request_fail, r);
        return;
    }
    pipeline_get(h->set.catalog, jget_str(r->record, "pipeline_id", ""), on_trigger_pipeline, r);
}

static void on_trigger_read(void *owner, redisReply *reply, const struct err *err)
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
    json_decref(record);
    trigger_request_end(r, r->record, err);
}

void git_trigger_get(struct git_hooks *h, const char *id, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = trigger_request_new(h, id, done, owner);
    r->call = store_cmd(h->set.store, on_trigger_read, r, "HGET %sgit_triggers %s",
        store_catalog_prefix(h->set.store), id);
}

static void on_triggers_read(void *owner, redisReply *reply, const struct err *err)
{
    struct trigger_request *r = owner;
    r->call = NULL;
    r->record = json_array();
    for (size_t i = 1; err == NULL && i < reply->elements && i < 2 * TRIGGERS_MAX; i += 2) {
        json_t *record = json_loads(reply_str(reply->element[i]), 0, NULL);
        if (record != NULL) {
            json_array_append_new(r->record, git_trigger_public(record));
        }
        json_decref(record);
    }
    trigger_request_end(r, err == NULL ? r->record : NULL, err);
}

void git_trigger_all(struct git_hooks *h, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = trigger_request_new(h, NULL, done, owner);
    r->call = store_cmd(h->set.store, on_triggers_read, r, "HGETALL %sgit_triggers",
        store_catalog_prefix(h->set.store));
}

static void on_trigger_deleted(void *owner, redisReply *reply, const struct err *err)
{
    struct trigger_request *r = owner;
    r->call = NULL;
    if (err == NULL && reply_int(reply, 0) == 0) {
        err_set(&r->err, ERR_NOT_FOUND, "trigger %.64s does not exist", r->id);
        err = &r->err;
    }
    r->record = json_object();
    trigger_request_end(r, err == NULL ? r->record : NULL, err);
}

void git_trigger_delete(struct git_hooks *h, const char *id, webhook_json_fn *done, void *owner)
{
    struct trigger_request *r = trigger_request_new(h, id, done, owner);
    r->call = store_cmd(h->set.store, on_trigger_deleted, r, "HDEL %sgit_triggers %s",
        store_catalog_prefix(h->set.store), id);
}

/* ---- life ---- */

struct git_hooks *git_hooks_new(const struct git_hooks_settings *settings)
{
    struct git_hooks *h = xcalloc(1, sizeof *h);
    h->set = *settings;
    return h;
}

void git_hooks_free(struct git_hooks *hooks)
{
    if (hooks == NULL) {
        return;
    }
    while (hooks->receptions != NULL) {
        reception_free(hooks->receptions);
    }
    while (hooks->requests != NULL) {
        trigger_request_free(hooks->requests);
    }
    free(hooks);
}
