/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of forges: verify, examine, settle, and only then answer. What a trigger makes of one is
 * git_case.c's.
 */
#include "webhooks/in/git_hooks.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/http_msg.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/util.h"
#include "webhooks_scripts.h"

#define REFUSED_KEPT 20
#define RETRY_AFTER_S "10"

/* ---- one message under way ---- */

struct reception {
    struct git_hooks *hooks;
    struct reception *prev, *next;
    struct store_call *call;
    const struct http_request *req;
    struct http_response *resp;
    void (*done)(void *owner);
    void *owner;
    const char *trigger_id;
    struct git_case *one;
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
    git_case_free(r->one);
    free(r);
}

static void reception_end(struct reception *r, int status, json_t *body)
{
    char *text = jtext(body);
    r->resp->status = status;
    http_fields_add(r->req->pool, &r->resp->headers, "Content-Type", "application/json");
    if (status == 503 || status == 429) {
        http_fields_add(r->req->pool, &r->resp->headers, "Retry-After", RETRY_AFTER_S);
    }
    buf_adds(&r->resp->body, text);
    free(text);
    json_decref(body);
    void (*done)(void *) = r->done;
    void *owner = r->owner;
    reception_free(r);
    done(owner);
}

/* Seen by whoever looks at the trigger; nothing of the message itself. */
static void note_refusal(struct git_hooks *h, const char *trigger_id,
    const struct http_request *req, const struct err *err)
{
    const char *agent = http_header(req, "User-Agent");
    json_t *entry = json_pack("{s:I,s:s,s:s,s:b}", "at_us", (json_int_t)clock_now_us(), "peer",
        req->peer != NULL ? req->peer : "", "reason", err->msg, "genuine",
        err->code != ERR_UNAUTHENTICATED);
    json_t *name = json_string(agent != NULL && strlen(agent) < 200 ? agent : "");
    if (name != NULL) {
        json_object_set_new(entry, "user_agent", name);
    }
    CLEANUP(cleanup_free) char *text = jtext(entry);
    struct store_args *args = store_args_new();
    const char *prefix = store_id_prefix(h->set.store, trigger_id);
    store_key(args, "%sgit:%s:refused", prefix, trigger_id);
    store_arg(args, prefix);
    store_arg(args, trigger_id);
    store_arg(args, text);
    store_arg_i(args, REFUSED_KEPT);
    store_eval(h->set.store, &script_git_refused, args, NULL, NULL);
    json_decref(entry);
}

static void reception_refuse(struct reception *r, const struct err *err)
{
    LOG_WARN("message refused", "trigger=%s peer=%s error=%s", LOG_Q(r->trigger_id), r->req->peer,
        LOG_Q(err->msg));
    if (err->code == ERR_UNAUTHENTICATED || err->code == ERR_NOT_FOUND) {
        r->hooks->counts.refused++;
        git_limit_refused(r->hooks->limit, r->trigger_id, r->req->peer);
        /* The same answer whichever it is: ids of triggers must not be found by trying. */
        reception_end(r, 404,
            json_pack("{s:s}", "message", "no such trigger, or the signature does not match"));
        return;
    }
    int status = err->code == ERR_INVALID                          ? 400
                 : err_is_transient(err) || err->code == ERR_LIMIT ? 503
                                                                   : 500;
    reception_end(r, status, json_pack("{s:s}", "message", err->msg));
}

static void on_settled(void *owner, const struct err *err)
{
    struct reception *r = owner;
    if (err != NULL) {
        reception_refuse(r, err);
        return;
    }
    int status;
    json_t *answer = git_case_answer(r->one, &status);
    reception_end(r, status, answer);
}

static void on_examined(void *owner, const struct err *err)
{
    struct reception *r = owner;
    if (err != NULL) {
        reception_refuse(r, err);
        return;
    }
    git_case_settle(r->one, on_settled, r);
}

/* What can be read again later: the body, or for a payload in the URL its JSON. */
static void keep_payload(const struct reception *r, struct git_case *one)
{
    const char *type = http_header(r->req, "Content-Type");
    one->payload = r->req->body;
    one->payload_len = r->req->body_len;
    one->content_type = type != NULL ? type : "";
    if (r->req->body_len == 0 && one->message->payload != NULL) {
        char *text = jtext(one->message->payload);
        one->payload = pool_strdup(r->req->pool, text);
        one->payload_len = strlen(text);
        one->content_type = "application/json";
        free(text);
    }
}

static int read_message(const struct reception *r, const struct git_trigger *trigger,
    struct hook_message *out, struct err *err)
{
    struct hook_verified verified;
    if (hook_verify(r->req, &trigger->source, clock_now_us(), &verified, err) != 0) {
        return -1;
    }
    if (hook_read(r->req, &trigger->source, out, err) != 0) {
        return -1;
    }
    out->verified = verified;
    return 0;
}

/* An unknown trigger takes as long as a known one. */
static void verify_in_vain(const struct http_request *req)
{
    const struct hook_source decoy = {
        .secrets = {{.text = "there is no such trigger"}}, .secret_count = 1};
    struct hook_verified verified;
    struct err err = ERR_INIT;
    if (hook_verify(req, &decoy, clock_now_us(), &verified, &err) == 0) {
        LOG_DEBUG("a message for no trigger is signed with the decoy", "peer=%s", req->peer);
    }
}

static void on_trigger(void *owner, redisReply *reply, const struct err *err)
{
    struct reception *r = owner;
    struct hook_message *message = pool_alloc(r->req->pool, sizeof *message);
    struct err bad = ERR_INIT;
    r->call = NULL;
    if (err != NULL) {
        reception_refuse(r, err);
        return;
    }
    struct git_trigger *trigger = git_known_get(r->hooks, r->trigger_id, reply_str(reply), &bad);
    if (trigger == NULL) {
        if (bad.code == ERR_NOT_FOUND) {
            verify_in_vain(r->req);
        }
        reception_refuse(r, &bad);
        return;
    }
    if (read_message(r, trigger, message, &bad) != 0) {
        if (bad.code == ERR_UNAUTHENTICATED || bad.code == ERR_INVALID) {
            note_refusal(r->hooks, r->trigger_id, r->req, &bad);
        }
        git_trigger_unref(trigger);
        reception_refuse(r, &bad);
        return;
    }
    r->one =
        git_case_new(r->hooks, r->req->pool, trigger, message, git_headers_safe(&r->req->headers));
    keep_payload(r, r->one);
    git_case_examine(r->one, false, on_examined, r);
}

static void on_too_many(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    (void)err;
    struct reception *r = owner;
    r->call = NULL;
    reception_end(r, 429,
        json_pack("{s:s}", "message", "too many messages from this address were refused; wait"));
}

static void on_bare_ping(void *owner, redisReply *reply, const struct err *err)
{
    (void)reply;
    (void)err;
    struct reception *r = owner;
    r->call = NULL;
    reception_end(r, 200,
        json_pack("{s:s,s:s}", "result", "ignored", "reason", "diagnostics:ping: not signed"));
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
    if (!git_limit_allows(h->limit, trigger_id, req->peer)) {
        r->call = store_cmd(h->set.store, on_too_many, r, "PING");
        return;
    }
    if (hook_is_bare_ping(req)) {
        r->call = store_cmd(h->set.store, on_bare_ping, r, "PING");
        return;
    }
    /* An id that cannot exist takes the same way as one that does not. */
    r->call = store_cmd(h->set.store, on_trigger, r, "HGET %sgit_triggers %s",
        store_catalog_prefix(h->set.store), id_is_valid(trigger_id) ? trigger_id : "-");
}

/* ---- life ---- */

void git_hooks_counts(const struct git_hooks *hooks, struct git_counts *out)
{
    *out = hooks->counts;
}

struct git_hooks *git_hooks_new(const struct git_hooks_settings *settings)
{
    struct git_hooks *h = xcalloc(1, sizeof *h);
    h->set = *settings;
    h->known = map_new(git_known_free);
    h->limit = git_limit_new();
    git_groups_init(h);
    git_fetch_init(h);
    git_status_init(h);
    git_poll_init(h);
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
    git_inquiries_free(hooks);
    git_trigger_requests_free(hooks);
    git_fetch_done(hooks);
    git_status_finish(hooks);
    git_poll_finish(hooks);
    git_groups_done(hooks);
    map_free(hooks->known);
    git_limit_free(hooks->limit);
    free(hooks);
}
